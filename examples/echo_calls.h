/*
 * examples/echo_calls.h - the echo of a stream in blocking calls: for a thread that waits
 * (echo_blocking.c), and unchanged for a fiber that lets others run meanwhile (echo_fibers.c).
 *
 * What was read is written before more is read: who does not read is not read from.
 */
#ifndef EXAMPLES_ECHO_CALLS_H
#define EXAMPLES_ECHO_CALLS_H

#include "examples/echo_sock.h"

enum {
    BUFFER = 8192 /* on the stack; a fiber's has 32 KiB */
};

/* Until the end, or until one of them fails: that one, else NULL. */
static inline struct mr_sock *pass_on(struct mr_sock *in, struct mr_sock *out)
{
    uint8_t buffer[BUFFER];
    ssize_t n;

    while ((n = mr_sock_read(in, buffer, sizeof(buffer))) > 0)
        if (mr_sock_write(out, buffer, (size_t)n) < 0)
            return out;
    if (n < 0)
        return in;
    return mr_sock_shutdown(out) < 0 ? out : NULL;
}

/* A stream that the peer opened, to its end. */
static inline void serve_stream(struct mr_sock *in)
{
    struct mr_sock *conn = mr_sock_conn(in), *out = in, *failed = NULL;
    uint64_t code = 0;

    /* One that goes one way (RFC 9000, Section 2.1) is answered on another, which we may have to
     * wait for. */
    if ((mr_sock_stream_id(in) & 2) != 0 &&
        (conn == NULL || mr_sock_open(conn, MR_OPEN_UNI, &out) != 0))
        failed = in;
    if (failed == NULL)
        failed = pass_on(in, out);
    if (failed != NULL)
        mr_sock_error(failed, &code, NULL); /* what the peer said */
    mr_sock_close(in, code);                /* what was shut down is sent all the same */
    if (out != in && out != NULL)
        mr_sock_close(out, code);
}

#endif /* EXAMPLES_ECHO_CALLS_H */
