/*
 * examples/rings/flow.h - back pressure with rings: bytes of one stream go out on another.
 *
 *     slot --DATA--> held --room?--> piece of the send area --SEND ... DONE--> free
 *      ^               |
 *      +----RELEASE----+
 *
 * What is received lies in slots until we release them, what is sent lies in the send area until it
 * is acknowledged.  A flow sends as long as it has less out than its share.  Until then it holds
 * its slots: it gets no more, its window closes, and its peer has to wait.
 */
#ifndef EXAMPLES_RINGS_FLOW_H
#define EXAMPLES_RINGS_FLOW_H

#include <string.h>

#include "examples/rings/side.h"

/* Bytes on their way from one stream to another, or to the same one. */
struct flow {
    struct side *side;
    uint64_t in, out; /* handles; out 0: not there yet */
    struct held *first, *last;
    const uint8_t *text; /* where nothing is held, this is sent, */
    size_t left;         /* so many bytes */
    uint32_t sends;      /* that are out, */
    uint64_t bytes;      /* of so many bytes */
    bool has_end, is_end_sent;
    bool is_over; /* nothing more is sent */
    bool is_waiting;
    struct flow *next_waiting;
};

/* What a SEND sends. */
struct piece {
    struct flow *flow;
    uint32_t size;
    uint8_t *bytes; /* in the send area */
};

static inline void flow_drop_first(struct flow *f)
{
    struct held *held = f->first;

    release(f->side, &held->cqe);
    f->first = held->next;
    held->next = f->side->free;
    f->side->free = held;
}

static inline void flow_wait(struct flow *f)
{
    struct side *s = f->side;

    if (f->is_waiting)
        return;
    f->is_waiting = true;
    f->next_waiting = NULL;
    *s->last = f;
    s->last = &f->next_waiting;
}

/* Room for one more SEND; NULL: the flow goes on later. */
static inline struct piece *flow_take_piece(struct flow *f, uint32_t size)
{
    struct side *s = f->side;
    uint32_t max = mr_ring_sends_max(s->ring);
    uint32_t left = max - s->sends;
    struct piece *piece;

    /* A share that falls as things fill up: so flows that do not go on, however many, leave some to
     * the others. */
    if (f->sends > 0 && (f->sends >= (uint64_t)left * left / (2 * (uint64_t)max) ||
                         f->bytes >= mr_ring_share(s->ring)))
        return NULL; /* when the next of its own is done */
    piece = left == 0 ? NULL : malloc(sizeof(*piece));
    if (piece != NULL)
        *piece = (struct piece){f, size, mr_ring_alloc(s->ring, size)};
    if (piece != NULL && piece->bytes != NULL)
        return piece;
    free(piece);
    flow_wait(f);
    return NULL;
}

static inline bool flow_has_more(const struct flow *f)
{
    return f->out != 0 && !f->is_over && !f->is_end_sent &&
           (f->first != NULL || f->left > 0 || f->has_end);
}

/* Send what may be sent. */
static inline void flow_send(struct flow *f)
{
    while (flow_has_more(f)) {
        const struct mr_cqe *cqe = f->first == NULL ? NULL : &f->first->cqe;
        uint32_t size = cqe != NULL ? cqe->size : (uint32_t)(f->left < SLOT ? f->left : SLOT);
        struct piece *piece = flow_take_piece(f, size);
        struct mr_sqe sqe = {.user_data = (uintptr_t)piece};

        if (piece == NULL)
            return;
        if (size > 0)
            memcpy(piece->bytes, cqe != NULL ? mr_ring_data(f->side->ring, cqe) : f->text, size);
        if (cqe != NULL) {
            flow_drop_first(f);
        } else if (size > 0) {
            f->text += size;
            f->left -= size;
        }
        f->is_end_sent = f->has_end && f->first == NULL && f->left == 0;
        mr_sqe_send(&sqe, f->out, mr_ring_offset(f->side->ring, piece->bytes), size,
                    f->is_end_sent ? MR_SQE_FIN : 0);
        submit(f->side, &sqe);
        f->sends++;
        f->bytes += size;
        f->side->sends++;
    }
}

/* DATA: sent on, now or later. */
static inline void flow_take(struct flow *f, const struct mr_cqe *cqe)
{
    struct held *held = f->side->free;

    f->has_end |= (cqe->flags & MR_CQE_FIN) != 0;
    if (f->is_over) {
        release(f->side, cqe);
    } else if (cqe->size > 0) {
        f->side->free = held->next;
        *held = (struct held){.cqe = *cqe};
        *(f->first == NULL ? &f->first : &f->last->next) = held;
        f->last = held;
    }
    flow_send(f);
}

/* A SEND's DONE: there is room, for its flow first, then for who waits. */
static inline void flow_sent(struct side *s, struct piece *piece)
{
    struct flow *f = piece->flow;

    s->sends--;
    f->sends--;
    f->bytes -= piece->size;
    mr_ring_free(s->ring, piece->bytes);
    free(piece);
    flow_send(f);
    f = s->first;
    if (f == NULL)
        return;
    s->first = f->next_waiting;
    if (s->first == NULL)
        s->last = &s->first;
    f->is_waiting = false;
    flow_send(f);
}

/* Nothing more is sent: drop what is held. */
static inline void flow_end(struct flow *f)
{
    struct flow **at = &f->side->first;

    f->is_over = true;
    while (f->first != NULL)
        flow_drop_first(f);
    if (!f->is_waiting)
        return;
    while (*at != f)
        at = &(*at)->next_waiting;
    *at = f->next_waiting;
    if (*at == NULL)
        f->side->last = at;
    f->is_waiting = false;
}

#endif /* EXAMPLES_RINGS_FLOW_H */
