/*
 * examples/echo_pair.h - a stream, the stream that it is echoed on, and one buffer between them:
 * for the echoes on non-blocking sockets.
 *
 * Mostly it is one stream that goes both ways.  One that goes one way (RFC 9000, Section 2.1) needs
 * another for the way back.
 */
#ifndef EXAMPLES_ECHO_PAIR_H
#define EXAMPLES_ECHO_PAIR_H

#include "examples/echo_sock.h"

#define PAIR_LATER_NS UINT64_C(5000000) /* until it is asked again for what was not to be had */

enum {
    PAIR_BUFFER = 16384
};

struct pair {
    struct mr_sock *in, *out; /* out NULL: not there yet */
    const uint8_t *bytes;     /* that were read, or are to be sent, and are not written yet */
    size_t size;
    bool has_end; /* nothing follows them */
    uint8_t buffer[PAIR_BUFFER];
};

static inline struct pair *pair_new(struct mr_sock *stream)
{
    struct pair *p = malloc(sizeof(*p));

    if (p == NULL)
        exit(echo_fail("no memory"));
    p->in = stream;
    p->out = (mr_sock_stream_id(stream) & 2) == 0 ? stream : NULL;
    p->size = 0;
    p->has_end = false;
    return p;
}

/* 0: there is a way back; -EAGAIN: the peer lets us open none now; -ENOTCONN, ... */
static inline int pair_open(struct pair *p)
{
    struct mr_sock *conn = mr_sock_conn(p->in);

    if (p->out != NULL)
        return 0;
    return conn == NULL ? -ENOTCONN : mr_sock_open(conn, MR_OPEN_UNI, &p->out);
}

/* Close both, with what the peer said to the one that failed (NULL: none did).  What was shut down
 * is sent all the same. */
static inline void pair_end(struct pair *p, struct mr_sock *failed)
{
    uint64_t code = 0;

    if (failed != NULL)
        mr_sock_error(failed, &code, NULL);
    mr_sock_close(p->in, code);
    if (p->out != p->in && p->out != NULL)
        mr_sock_close(p->out, code);
    free(p);
}

#endif /* EXAMPLES_ECHO_PAIR_H */
