/*
 * base/crossing.h - how often a thread reached out to others: counted in builds with checks.
 *
 *     MR_CROSSING(ring_words, 1);       beside whatever hands something over, or is atomic for it
 *
 * A shard's packets are to cost no other core anything, nor wait for one.  That is counted: each
 * ring (base/spsc.h, base/mailbox.h) and each atomic read-modify-write on a shard's thread counts
 * itself, and a test looks at the sums (tests/dpdk/test_scaling.c).  Without MR_DEBUG nothing of it
 * is compiled.
 *
 * Not counted: DPDK's own, which a port's and a pool's calls do, and OpenSSL's; relaxed stores of
 * counters with one writer, which are plain stores.
 *
 * Owner and threads: each thread has its own.
 */
#ifndef MR_BASE_CROSSING_H
#define MR_BASE_CROSSING_H

#include <stdint.h>

struct mr_crossings {
    uint64_t ring_words;   /* pushed to rings of words, or popped */
    uint64_t ring_entries; /* published in mailboxes, or taken */
    uint64_t ring_looks;   /* at the other side's index: its cache line, if it has written since */
    uint64_t exchanges;    /* atomic read-modify-writes */
    uint64_t pool_calls;   /* to a pool of buffers, a burst each */
};

#ifdef MR_DEBUG
#define MR_CROSSINGS_COUNT 1
/* weak: each object that includes this has it, the program has one; hidden: so does a library */
__attribute__((weak, visibility("hidden"))) _Thread_local struct mr_crossings mr_crossings_here;
#define MR_CROSSING(what, n) ((void)(mr_crossings_here.what += (n)))
#else
#define MR_CROSSINGS_COUNT   0
#define MR_CROSSING(what, n) ((void)sizeof(n)) /* type-checked, never evaluated */
#endif

/* Those of this thread since it began; zeros where they are not counted. */
static inline struct mr_crossings mr_crossings_now(void)
{
#ifdef MR_DEBUG
    return mr_crossings_here;
#else
    return (struct mr_crossings){0};
#endif
}

#endif /* MR_BASE_CROSSING_H */
