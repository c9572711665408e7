/*
 * examples/rings/side.h - a ring whose queues may be full, as all queues may.
 *
 * A program that waits for room to submit, and a shard that waits for room to complete, wait for
 * each other.  So nothing here waits: what finds the queue full is submitted later, and the program
 * goes on taking completions.
 */
#ifndef EXAMPLES_RINGS_SIDE_H
#define EXAMPLES_RINGS_SIDE_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <millrace/ring.h>

enum {
    SLOT = 4096, /* bytes of what is received at a time */
    SLOTS = 1024
};

/* A slot that we did not give back yet. */
struct held {
    struct held *next;
    struct mr_cqe cqe;
};

/* A shard's ring. */
struct side {
    struct mr_ring *ring;
    struct mr_sqe *late; /* submissions that found the queue full: a circle */
    uint32_t late_begin, late_end, late_room;
    struct held held[SLOTS]; /* as many as there are slots */
    struct held *free;
    uint32_t sends;             /* that are out */
    struct flow *first, **last; /* who waits for room to send (rings/flow.h) */
};

/* NULL: no memory. */
static inline struct side *side_new(struct mr_ring *ring)
{
    struct side *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return NULL;
    s->ring = ring;
    s->last = &s->first;
    for (uint32_t i = 0; i < SLOTS; i++) {
        s->held[i].next = s->free;
        s->free = &s->held[i];
    }
    /* Enough: no slot, SEND or object comes again before what was said of it was submitted. */
    s->late_room = SLOTS + mr_ring_sends_max(ring) + 4 * mr_ring_objects_max(ring) + 16;
    s->late = calloc(s->late_room, sizeof(*s->late));
    if (s->late == NULL) {
        free(s);
        return NULL;
    }
    return s;
}

static inline void side_free(struct side *s)
{
    if (s != NULL)
        free(s->late);
    free(s);
}

/* Submit, now or with a later flush. */
static inline void submit(struct side *s, const struct mr_sqe *sqe)
{
    struct mr_sqe *to = s->late_begin == s->late_end ? mr_ring_sqe(s->ring) : NULL;

    *(to != NULL ? to : &s->late[s->late_end++ % s->late_room]) = *sqe;
}

/* Hand over what there is.  False: some is late, flush again soon. */
static inline bool flush(struct side *s)
{
    struct mr_sqe *to;

    mr_ring_submit(s->ring);
    while (s->late_begin != s->late_end && (to = mr_ring_sqe(s->ring)) != NULL)
        *to = s->late[s->late_begin++ % s->late_room];
    mr_ring_submit(s->ring);
    return s->late_begin == s->late_end;
}

/* Give a slot back. */
static inline void release(struct side *s, const struct mr_cqe *cqe)
{
    struct mr_sqe sqe = {0};

    mr_sqe_release(&sqe, cqe);
    if (cqe->size > 0) /* an end alone has none */
        submit(s, &sqe);
}

/* Why a connection is over lies in a slot, too, if the attachment wants_reasons; "": not told. */
static inline void take_reason(struct side *s, const struct mr_cqe *cqe, char *text, size_t room)
{
    text[0] = '\0';
    if ((cqe->flags & MR_CQE_REASON) == 0)
        return;
    snprintf(text, room, "%.*s", (int)cqe->size, (const char *)mr_ring_data(s->ring, cqe));
    release(s, cqe);
}

/* Abandon sending, or ask the peer to. */
static inline void reset(struct side *s, uint64_t stream, uint64_t code)
{
    struct mr_sqe sqe = {.flags = MR_SQE_QUIET};

    mr_sqe_reset(&sqe, stream, code);
    submit(s, &sqe);
}

static inline void stop(struct side *s, uint64_t stream, uint64_t code)
{
    struct mr_sqe sqe = {.flags = MR_SQE_QUIET};

    mr_sqe_stop(&sqe, stream, code);
    submit(s, &sqe);
}

#endif /* EXAMPLES_RINGS_SIDE_H */
