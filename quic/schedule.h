/*
 * quic/schedule.h - which stream of a connection sends next (RFC 9218, Section 10).
 *
 *     urgency 0   ordered: 4, 8        ring: 12 -> 16 -> 12 ...
 *     urgency 1   ordered: 20          ring: (empty)
 *     ...         lowest ID first      take turns
 *
 * The lowest urgency that has a stream is served alone.  Its streams that are not incremental go
 * one after the other, in the order of their IDs; those that are incremental take turns.  Where it
 * has both kinds, each kind gets every other turn, so that neither starves.
 *
 * Streams that nobody gave a priority are incremental ones of MR_URGENCY_DEFAULT: one ring, whose
 * turn is one comparison when it has one stream.  A ring is a circular list, the ordered ones of
 * all urgencies are one pairing heap: to add, to end a turn and to remove from a ring are O(1), to
 * remove from the heap O(log n), amortized.
 *
 * Owner: the connection; links and priority are in the stream.  Threads: the shard's only.
 */
#ifndef MR_QUIC_SCHEDULE_H
#define MR_QUIC_SCHEDULE_H

#include "base/pool.h"
#include "quic/stream.h"

/* Streams that have something to send. */
struct mr_schedule {
    uint32_t head;               /* whose turn it is; MR_NONE: nobody has anything */
    uint32_t ordered;            /* root of the heap, MR_NONE: empty */
    uint32_t ring[MR_URGENCIES]; /* the last of each; valid if it has a bit in `rings` */
    uint8_t rings;
    bool is_rings_turn; /* where both kinds wait: incremental ones are next */
    uint8_t zero[2];    /* in place of padding, as in struct mr_sent */
};

void mr_schedule_init(struct mr_schedule *schedule);

/* A stream that is not in it has something to send; it gets its turn behind those of its kind. */
void mr_schedule_add(struct mr_schedule *schedule, const struct mr_pool *streams,
                     struct mr_stream *stream);

/* A stream that is in it has nothing to send any more. */
void mr_schedule_remove(struct mr_schedule *schedule, const struct mr_pool *streams,
                        struct mr_stream *stream);

/* mr_schedule_turn(), if there is another to choose. */
void mr_schedule_next(struct mr_schedule *schedule, const struct mr_pool *streams,
                      struct mr_stream *stream);

/* No other stream waits with the one whose turn it is; those of higher urgency numbers aside. */
static inline bool mr_schedule_is_alone(const struct mr_schedule *schedule,
                                        const struct mr_stream *head)
{
    return head->send_next == head->index && schedule->ordered == MR_NONE;
}

/* The stream has sent, and has more.  No change if it is not the head. */
static inline void mr_schedule_turn(struct mr_schedule *schedule, const struct mr_pool *streams,
                                    struct mr_stream *stream)
{
    if (!mr_schedule_is_alone(schedule, stream))
        mr_schedule_next(schedule, streams, stream);
}

/* Give the stream another priority; it may be in the schedule or not. */
void mr_schedule_set_priority(struct mr_schedule *schedule, const struct mr_pool *streams,
                              struct mr_stream *stream, struct mr_priority priority);

/* Panic unless every invariant holds.  O(streams). */
void mr_schedule_check(const struct mr_schedule *schedule, const struct mr_pool *streams);

#endif /* MR_QUIC_SCHEDULE_H */
