/*
 * drivers/wire_impair.h - what a bad line does to a frame, decided from a seed; and the line that
 * frames wait on.
 *
 *     sender:    mr_impair_next() says lost, or when it is due
 *     receiver:  mr_delay_push(); mr_delay_pop() when due
 *
 * Pure values: no mbuf, no clock.
 *
 * Owner: an impairer a sending queue's lcore, a delay line a receiving queue's.  Threads: the
 * owner's.
 */
#ifndef MR_DRIVERS_WIRE_IMPAIR_H
#define MR_DRIVERS_WIRE_IMPAIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"

#define MR_WIRE_FRAME_OVERHEAD 24 /* bytes that Ethernet adds on the medium: preamble, FCS, gap */

/* What one direction does to frames.  All zero: nothing. */
struct mr_wire_impairment {
    uint64_t rate_bps;    /* bits per second on the medium; 0: unlimited */
    uint32_t queue_bytes; /* waiting for the rate limiter, more are dropped; 0: 100 ms of rate, at
                             least 64 KiB */
    uint64_t delay_ns;    /* of every frame */
    uint64_t jitter_ns;   /* 0..jitter more, uniformly: frames overtake each other */
    double loss;          /* 0..1 */
    double duplicate;     /* 0..1 */
    double corrupt;       /* 0..1: one random bit of the frame is flipped */
    double reorder;       /* 0..1: so many frames wait reorder_ns longer */
    uint64_t reorder_ns;  /* 0: 1 ms */
};

/* The state of one sending queue. */
struct mr_impair {
    struct mr_random random;
    double ns_per_byte;    /* 0: no rate limit */
    double free_at_ns;     /* when the medium has sent all that was given to it */
    double backlog_max_ns; /* what may wait in front of it */
    uint64_t delay_ns;
    uint64_t jitter_ns;
    uint64_t reorder_ns;
    uint64_t loss; /* probabilities in 2^-32 */
    uint64_t duplicate;
    uint64_t corrupt;
    uint64_t reorder;
};

enum mr_impair_verdict {
    MR_IMPAIR_DELIVER,
    MR_IMPAIR_LOST,
    MR_IMPAIR_OVERFLOWED /* the queue in front of the rate limiter is full */
};

/* What happens to one frame. */
struct mr_impair_fate {
    uint64_t due_ns;
    uint64_t duplicate_due_ns; /* if has_duplicate */
    uint32_t flipped_bit;      /* of the frame, if is_corrupted */
    bool has_duplicate;
    bool is_corrupted;
    bool is_reordered;
};

/* True if `what` does anything at all. */
bool mr_impairment_is_any(const struct mr_wire_impairment *what);

/* Begin; one of `share` queues that divide the rate and its queue evenly. */
void mr_impair_init(struct mr_impair *impair, const struct mr_wire_impairment *what, uint32_t share,
                    uint64_t seed);

/* Decide about the next frame, of `size` > 0 bytes; `*fate_out` is set if it is delivered. */
enum mr_impair_verdict mr_impair_next(struct mr_impair *impair, uint32_t size, uint64_t now,
                                      struct mr_impair_fate *fate_out);

/* A frame on its way. */
struct mr_delayed {
    uint64_t due_ns;
    uint64_t order; /* of arrival: equal times keep it */
    void *frame;
};

/* A heap of frames by due time, the earliest on top. */
struct mr_delay {
    struct mr_delayed *heap; /* count_max of them */
    uint32_t count;
    uint32_t count_max;
    uint64_t pushed;
};

static inline void mr_delay_init(struct mr_delay *delay, struct mr_delayed *mem, uint32_t count_max)
{
    *delay = (struct mr_delay){.heap = mem, .count_max = count_max};
}

/* Let `frame` wait until `due_ns`.  False: full.  O(log count), O(1) in order. */
bool mr_delay_push(struct mr_delay *delay, void *frame, uint64_t due_ns);

/* Take the earliest frame that is due; NULL: none.  O(log count). */
void *mr_delay_pop(struct mr_delay *delay, uint64_t now);

/* Panic unless every frame is due no earlier than its parent. */
void mr_delay_check(const struct mr_delay *delay);

#endif /* MR_DRIVERS_WIRE_IMPAIR_H */
