/*
 * examples/rings/streams.h - the streams that are echoed, by handle.
 *
 * The datapath says which stream a completion is about by a handle; where the stream is ours, it
 * also gives back the word that we opened it with.  A stream that goes one way is answered by a
 * second one, which the peer may not let us open now: then we ask again when it allows more.
 */
#ifndef EXAMPLES_RINGS_STREAMS_H
#define EXAMPLES_RINGS_STREAMS_H

#include <errno.h>

#include <millrace/transport.h>

#include "examples/echo.h"
#include "examples/rings/flow.h"

enum {
    PLACES = 4096
};

/* One or two streams. */
struct echo {
    struct flow flow; /* first: cast back */
    struct echo *next;
    uint64_t conn, code; /* code: why the flow is over */
    uint32_t parts;      /* streams whose end was not told, and an OPEN that did not succeed yet */
    bool is_refused;     /* the peer lets us open none, now */
};

static struct echo *places[PLACES]; /* by the stream that is received from */
static uint32_t refused_count;

static inline struct echo **echo_place(const struct side *s, uint64_t in)
{
    struct echo **at = &places[(in ^ in >> 32) % PLACES]; /* a handle: generation, index */

    while (*at != NULL && ((*at)->flow.in != in || (*at)->flow.side != s))
        at = &(*at)->next;
    return at;
}

/* Who a completion is about; NULL: a stream that we do not serve. */
static inline struct echo *echo_of(const struct side *s, const struct mr_cqe *cqe)
{
    return cqe->user_data != 0 ? (struct echo *)(uintptr_t)cqe->user_data
                               : *echo_place(s, cqe->stream);
}

static inline struct echo *echo_new(struct side *s, uint64_t conn)
{
    struct echo *e = calloc(1, sizeof(*e));

    if (e != NULL)
        *e = (struct echo){.flow = {.side = s}, .conn = conn, .parts = 1};
    return e;
}

static inline void echo_end_part(struct echo *e)
{
    struct echo **place = echo_place(e->flow.side, e->flow.in);

    if (--e->parts > 0)
        return;
    flow_end(&e->flow);
    if (*place == e)
        *place = e->next;
    if (e->flow.sends == 0)
        free(e);
}

/* A SEND's DONE.  What we submitted before we heard of the stream's end is answered after it. */
static inline void echo_sent(struct side *s, struct piece *piece)
{
    struct echo *e = (struct echo *)(void *)piece->flow;

    flow_sent(s, piece);
    if (e->parts == 0 && e->flow.sends == 0)
        free(e);
}

static inline void echo_open(struct echo *e, uint32_t kind)
{
    struct mr_sqe sqe = {.user_data = (uintptr_t)e};

    mr_sqe_open(&sqe, e->conn, kind);
    submit(e->flow.side, &sqe);
}

/* The peer opened a stream. */
static inline void echo_begin(struct side *s, const struct mr_cqe *cqe)
{
    struct echo *e = echo_new(s, cqe->conn);

    if (e == NULL) {
        reset(s, cqe->stream, ECHO_NO_MEMORY);
        stop(s, cqe->stream, ECHO_NO_MEMORY);
        return;
    }
    e->flow.in = cqe->stream;
    *echo_place(s, cqe->stream) = e;
    if ((cqe->value & 2) == 0) { /* its ID: RFC 9000, Section 2.1 */
        e->flow.out = cqe->stream;
    } else {
        e->parts++;
        echo_open(e, MR_OPEN_UNI);
    }
}

/* OPEN was answered. */
static inline void echo_opened(struct echo *e, const struct mr_cqe *cqe)
{
    if (cqe->result == -EAGAIN) {
        e->is_refused = true;
        refused_count++;
    } else if (cqe->result < 0) { /* the connection is over */
        echo_end_part(e);
    } else {
        e->flow.out = cqe->stream;
        if (e->flow.is_over)
            reset(e->flow.side, e->flow.out, e->code);
        flow_send(&e->flow);
    }
}

/* The connection allows more streams, or is over: ask again for those that were refused. */
static inline void echo_open_refused(const struct side *s, uint64_t conn)
{
    for (uint32_t i = 0; i < PLACES && refused_count > 0; i++) {
        for (struct echo *e = places[i]; e != NULL; e = e->next) {
            if (!e->is_refused || e->conn != conn || e->flow.side != s)
                continue;
            e->is_refused = false;
            refused_count--;
            echo_open(e, MR_OPEN_UNI);
        }
    }
}

/* News of a stream other than data. */
static inline void echo_on_event(struct side *s, const struct mr_cqe *cqe)
{
    struct echo *e = echo_of(s, cqe);

    if ((cqe->kinds & MR_EVENT_STREAM_OPENED) != 0)
        echo_begin(s, cqe);
    if (e == NULL)
        return;
    if ((cqe->kinds & (MR_EVENT_RESET | MR_EVENT_STOPPED)) != 0) {
        flow_end(&e->flow);
        e->code = cqe->value;
    }
    if ((cqe->kinds & MR_EVENT_RESET) != 0 && e->flow.out != 0)
        reset(s, e->flow.out, e->code);
    if ((cqe->kinds & MR_EVENT_STOPPED) != 0)
        stop(s, e->flow.in, e->code);
    if ((cqe->kinds & MR_EVENT_CLOSED) != 0)
        echo_end_part(e);
}

#endif /* EXAMPLES_RINGS_STREAMS_H */
