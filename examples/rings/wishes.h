/*
 * examples/rings/wishes.h - what HTTP/3 wants (mr_http3_io_next()), as entries for a ring, and
 * their answers.
 */
#ifndef EXAMPLES_RINGS_WISHES_H
#define EXAMPLES_RINGS_WISHES_H

#include "examples/rings/bytes.h"

enum {
    RINGS_MAX = 64
};

static struct side *sides[RINGS_MAX]; /* one for each shard */

/* What to connect to lies in the send area until DONE. */
static inline void connect_to(const struct mr_http3_io_wish *wish)
{
    static const char alpn[] = "\002h3"; /* as TLS writes it: a length, and so many bytes */
    const struct mr_connect_options *options = wish->options;
    struct end *e = end_new(sides[0], true);
    struct mr_sqe sqe = {.user_data = (uintptr_t)e};

    e->wish = mr_ring_alloc(e->side->ring, sizeof(*e->wish));
    if (e->wish == NULL)
        exit(web_fail("no room in the send area"));
    *e->wish = (struct mr_ring_connect){.port = options->remote.port,
                                        .alpn_size = sizeof(alpn) - 1,
                                        .is_insecure = options->is_insecure};
    memcpy(e->wish->ip, options->remote.ip, sizeof(e->wish->ip));
    memcpy(e->wish->alpn, alpn, sizeof(alpn) - 1);
    snprintf(e->wish->server_name, sizeof(e->wish->server_name), "%s", options->server_name);
    e->handle = wish->object;
    mr_http3_io_set_user(web.io, e->handle, e);
    mr_sqe_connect(&sqe, mr_ring_offset(e->side->ring, e->wish));
    submit(e->side, &sqe);
}

static inline void open_stream(const struct mr_http3_io_wish *wish)
{
    const struct end *conn = wish->conn_user;
    struct end *e = end_new(conn->side, false);
    struct mr_sqe sqe = {.user_data = (uintptr_t)e};

    e->handle = wish->object;
    mr_sqe_open(&sqe, conn->name, wish->is_uni ? MR_OPEN_UNI : MR_OPEN_BIDI);
    submit(e->side, &sqe);
}

/* When the peer has all that was sent. */
static inline void close_if_due(struct end *e)
{
    const struct mr_http3_io_end over = {.code = e->code, .is_application = true};
    struct mr_sqe sqe = {.flags = MR_SQE_QUIET};

    if (!e->wants_close || e->name == 0 || e->sends > 0)
        return;
    mr_sqe_close(&sqe, e->name, e->code);
    submit(e->side, &sqe);
    mr_http3_io_closed(web.io, e->handle, &over);
}

/* A CONNECT or an OPEN was answered. */
static inline void on_made(struct end *e, const struct mr_cqe *cqe)
{
    bool is_unwanted = !e->is_conn && end_of(e->side, cqe->conn) == NULL;

    if (e->wish != NULL)
        mr_ring_free(e->side->ring, e->wish);
    e->wish = NULL;
    if (e->is_conn && cqe->result < 0) {
        mr_http3_io_closed(web.io, e->handle,
                           &(struct mr_http3_io_end){.reason = strerror(-cqe->result)});
    } else if (cqe->result < 0 || is_unwanted) {
        free(e); /* -EAGAIN: MR_EVENT_STREAMS_ALLOWED follows */
    } else if (e->is_conn) {
        end_set_name(e, cqe->conn);
        close_if_due(e);
    } else {
        end_set_name(e, cqe->stream);
        mr_http3_io_opened(web.io, e->handle, e);
    }
}

static inline void do_wish(const struct mr_http3_io_wish *wish)
{
    struct end *e = wish->user;

    switch (wish->kind) {
    case MR_HTTP3_IO_CONNECT:
        connect_to(wish);
        break;
    case MR_HTTP3_IO_OPEN:
        open_stream(wish);
        break;
    case MR_HTTP3_IO_SEND:
        end_send(e, wish);
        break;
    case MR_HTTP3_IO_RESET:
        reset(e->side, e->name, wish->code);
        break;
    case MR_HTTP3_IO_STOP:
        stop(e->side, e->name, wish->code);
        break;
    case MR_HTTP3_IO_READ:
        end_feed(e);
        break;
    case MR_HTTP3_IO_CLOSE:
        if (e == NULL) /* it was never begun */
            mr_http3_io_closed(web.io, wish->object, &(struct mr_http3_io_end){0});
        if (e == NULL)
            break;
        e->wants_close = true;
        e->code = wish->code;
        close_if_due(e);
        break;
    case MR_HTTP3_IO_END:
        if (e != NULL)
            end_free(e);
    }
}

#endif /* EXAMPLES_RINGS_WISHES_H */
