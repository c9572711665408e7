/*
 * examples/rings/bytes.h - bytes between streams of the datapath and HTTP/3, in both directions.
 *
 *     slot --DATA--> fed --taken?--> RELEASE            what is not taken stays in its slot: it
 *                     |                                 gets no more, and its peer has to wait
 *                     +--> held <--READ
 *     SEND --room?--> copied to the send area --SEND ... DONE--> free
 *                     |                                 without room it waits for a DONE
 *                     +--> waiting
 */
#ifndef EXAMPLES_RINGS_BYTES_H
#define EXAMPLES_RINGS_BYTES_H

#include "examples/rings/ends.h"

enum {
    PIECE_MAX = 65536 /* bytes of one SEND */
};

/* ------------------------------------------------------------------ receiving */

/* Feed what is held, as far as it is taken; a READ comes when the rest is wanted. */
static inline void end_feed(struct end *e)
{
    struct side *s = e->side;

    while (e->first != NULL) {
        struct held *held = e->first;
        size_t left = held->cqe.size - e->taken;
        size_t part =
            mr_http3_io_feed(web.io, e->handle, mr_ring_data(s->ring, &held->cqe) + e->taken, left,
                             (held->cqe.flags & MR_CQE_FIN) != 0);
        e->taken += part;
        if (part < left)
            return;
        release(s, &held->cqe);
        e->first = held->next;
        held->next = s->free;
        s->free = held;
        e->taken = 0;
    }
    if (e->has_end)
        (void)mr_http3_io_feed(web.io, e->handle, NULL, 0, true);
}

static inline void end_take(struct end *e, const struct mr_cqe *cqe)
{
    struct held *held = e->side->free;

    e->has_end = (cqe->flags & MR_CQE_FIN) != 0;
    if (cqe->size > 0) {
        e->side->free = held->next;
        *held = (struct held){.cqe = *cqe};
        *(e->first == NULL ? &e->first : &e->last->next) = held;
        e->last = held;
    }
    if (cqe->size == 0 || e->first == held) /* else those before it were not taken */
        end_feed(e);
}

/* ------------------------------------------------------------------ sending */

/* What a SEND sends. */
struct piece {
    uint64_t conn; /* its name: an answer that comes behind the stream's end does not say it */
    uint32_t size;
    void *bytes; /* in the send area */
};

/* Room for one more SEND; NULL: there is none now. */
static inline struct piece *piece_new(const struct end *e, uint32_t size)
{
    struct side *s = e->side;
    bool has_share = e->sends == 0 || e->bytes < mr_ring_share(s->ring);
    struct piece *piece =
        has_share && s->sends < mr_ring_sends_max(s->ring) ? malloc(sizeof(*piece)) : NULL;

    if (piece == NULL)
        return NULL;
    *piece = (struct piece){.size = size, .bytes = mr_ring_alloc(s->ring, size)};
    if (piece->bytes != NULL)
        return piece;
    free(piece);
    return NULL;
}

/* Copy some of it to the send area, and submit that; without room it waits for a DONE. */
static inline void end_send(struct end *e, const struct mr_http3_io_wish *wish)
{
    struct end *conn = wish->conn_user;
    uint32_t size = (uint32_t)(wish->size < PIECE_MAX ? wish->size : PIECE_MAX);
    struct piece *piece = piece_new(e, size);
    struct mr_sqe sqe = {.user_data = (uintptr_t)piece};

    if (piece == NULL) {
        e->next_waiting = waiting;
        waiting = e;
        e->is_waiting = true;
        return;
    }
    piece->conn = conn->name;
    if (size > 0)
        memcpy(piece->bytes, wish->data, size);
    mr_sqe_send(&sqe, e->name, mr_ring_offset(e->side->ring, piece->bytes), size,
                wish->is_fin && size == wish->size ? MR_SQE_FIN : 0);
    submit(e->side, &sqe);
    e->side->sends++;
    e->sends++;
    e->bytes += size;
    conn->sends++;
    mr_http3_io_sent(web.io, e->handle, size); /* it was copied */
}

/* DONE of a SEND: there is room for those that wait.  Returns its connection; NULL: it is over. */
static inline struct end *end_sent(struct side *s, const struct mr_cqe *cqe)
{
    struct piece *piece = (struct piece *)(uintptr_t)cqe->user_data;
    struct end *e = end_of(s, cqe->stream), *conn = end_of(s, piece->conn), *all = waiting, *next;

    s->sends--;
    if (e != NULL) {
        e->sends--;
        e->bytes -= piece->size;
    }
    mr_ring_free(s->ring, piece->bytes);
    free(piece);
    waiting = NULL;
    for (e = all; e != NULL; e = next) {
        next = e->next_waiting;
        e->is_waiting = false;
        mr_http3_io_retry(web.io, e->handle);
    }
    return conn;
}

#endif /* EXAMPLES_RINGS_BYTES_H */
