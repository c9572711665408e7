/*
 * examples/sockets/end.h - a non-blocking socket and its place in an interest set; of a stream also
 * the bytes between it and HTTP/3 (millrace/http3_io.h), in both directions.
 *
 * Reading stops where HTTP/3 takes no more, writing where QUIC takes no more: nothing is queued
 * here, so who does not read is not read from.
 */
#ifndef EXAMPLES_SOCKETS_END_H
#define EXAMPLES_SOCKETS_END_H

#include <errno.h>

#include <millrace/socket.h>

#include "examples/web_io.h"

enum {
    BUFFER = 16384
};

/* A socket, and what HTTP/3 calls it. */
struct end {
    struct mr_sock *sock; /* NULL: closed already */
    mr_handle handle;     /* NONE: the listener's */
    bool is_stream, is_connecting;
    uint32_t waits;  /* for POLLIN, POLLOUT */
    uint64_t code;   /* that it is closed with */
    size_t at, size; /* of the buffer, read and not taken */
    bool has_end;    /* nothing follows them */
    uint8_t buffer[BUFFER];
};

static struct web_io web;
static struct mr_pollset *set;

static inline struct end *end_new(struct mr_sock *sock, bool is_stream)
{
    struct end *e = calloc(1, sizeof(*e));

    if (e == NULL)
        exit(web_fail("no memory"));
    mr_sock_set(sock, MR_SOCK_NONBLOCK, 1); /* also what comes from it */
    e->sock = sock;
    e->is_stream = is_stream;
    return e;
}

/* Hear once when one of `events` holds, beside what is waited for already. */
static inline void wait_for(struct end *e, uint32_t events)
{
    e->waits |= events;
    events = e->waits | MR_POLLSET_ONESHOT;
    if (mr_pollset_mod(set, e->sock, events, e) != 0 &&
        mr_pollset_add(set, e->sock, events, e) != 0)
        exit(web_fail("no memory"));
}

/* Read and pass on, until there is no more, or no more is taken. */
static inline void on_readable(struct end *e)
{
    ssize_t n = 0;

    for (;;) {
        if (e->at == e->size && !e->has_end) {
            if ((n = mr_sock_read(e->sock, e->buffer, BUFFER)) < 0)
                break;
            e->at = 0;
            e->size = (size_t)n;
            e->has_end = n == 0;
        }
        e->at +=
            mr_http3_io_feed(web.io, e->handle, e->buffer + e->at, e->size - e->at, e->has_end);
        if (e->at < e->size || e->has_end)
            return; /* a READ comes when the rest is wanted */
    }
    if (n == -EAGAIN)
        wait_for(e, POLLIN);
    if (n != -ECONNRESET)
        return; /* or the connection is over: that is told */
    (void)mr_sock_error(e->sock, &e->code, NULL);
    mr_http3_io_reset(web.io, e->handle, e->code);
}

/* Write what there is room for, and the end behind the last byte. */
static inline void write_some(struct end *e, const struct mr_http3_io_wish *wish)
{
    ssize_t n = wish->size == 0 ? 0 : mr_sock_write(e->sock, wish->data, wish->size);

    if (n == (ssize_t)wish->size && wish->is_fin)
        (void)mr_sock_shutdown(e->sock);
    if (n >= 0) {
        mr_http3_io_sent(web.io, e->handle, (size_t)n); /* it was copied */
    } else if (n == -EAGAIN) {
        wait_for(e, POLLOUT);
    } else if (n == -EPIPE) { /* the peer wants no more */
        (void)mr_sock_error(e->sock, &e->code, NULL);
        mr_http3_io_stopped(web.io, e->handle, e->code);
    }
}

/* The connection is over: why. */
static inline void on_over(struct end *e)
{
    struct mr_http3_io_end over = {.is_remote = true, .reason = mr_sock_reason(e->sock)};

    (void)mr_sock_error(e->sock, &over.code, &over.is_application);
    mr_http3_io_closed(web.io, e->handle, &over);
}

/* Streams that the peer has opened; room for some of ours. */
static inline void on_conn(struct end *e, uint32_t events)
{
    struct mr_sock *sock;
    int error;

    if (e->is_connecting && mr_sock_error(e->sock, NULL, NULL) == 0)
        mr_http3_io_connected(web.io, e->handle);
    e->is_connecting = false;
    while ((error = mr_sock_accept_stream(e->sock, &sock)) == 0) {
        struct end *stream = end_new(sock, true);
        stream->handle = mr_http3_io_stream(web.io, e->handle, mr_sock_stream_id(sock), stream);
        if (stream->handle != MR_HANDLE_NONE) {
            on_readable(stream);
            continue;
        }
        mr_sock_close(sock, WEB_REJECTED);
        free(stream);
    }
    if (error != -EAGAIN) {
        on_over(e);
        return;
    }
    if ((events & POLLOUT) != 0)
        mr_http3_io_retry(web.io, e->handle);
    wait_for(e, POLLIN);
}

#endif /* EXAMPLES_SOCKETS_END_H */
