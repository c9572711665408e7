/*
 * examples/echo_sock.h - why a connection is over, for the echoes that have it as a socket.
 */
#ifndef EXAMPLES_ECHO_SOCK_H
#define EXAMPLES_ECHO_SOCK_H

#include <errno.h>

#include <millrace/socket.h>

#include "examples/echo_loop.h"

/* As echo_lose(), if `conn` is over: before it is closed, since it takes the reason with it. */
static inline void echo_lose_sock(struct echo_loss *loss, const struct mr_sock *conn)
{
    uint64_t code = 0;
    bool is_application = false;

    const char *reason = mr_sock_reason(conn);

    /* Closed by the peer with code 0 it is over in order, and may have a reason all the same. */
    if (mr_sock_error(conn, &code, &is_application) != 0 || reason[0] != '\0')
        echo_lose(loss, code, is_application, reason);
}

/*
 * A connection for calls that wait: the first of them, which is to open a stream, waits for it.
 * mr_sock_connect() could do that itself; but of what has not come about it leaves no socket, which
 * would say why.  NULL: it cannot be begun.
 */
static inline struct mr_sock *echo_begin(const struct echo_task *task, struct mr_loop *loop)
{
    struct mr_connect_options options = echo_connect(task);
    struct mr_sock *conn = NULL;

    if (mr_sock_connect(loop, &options, true, &conn) == -EINPROGRESS)
        mr_sock_set(conn, MR_SOCK_NONBLOCK, 0);
    return conn;
}

#endif /* EXAMPLES_ECHO_SOCK_H */
