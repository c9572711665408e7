/*
 * dataplane/clock.h - nanoseconds of a monotonic clock, without a system call.
 *
 * The TSC, scaled once at start.  All shards of a process see the same clock.
 * Threads: any, after mr_clock_init().
 */
#ifndef MR_DATAPLANE_CLOCK_H
#define MR_DATAPLANE_CLOCK_H

#include <stdint.h>

#include <rte_cycles.h>

#include "base/compiler.h"

struct mr_clock {
    uint64_t ns_per_cycle; /* << 32 */
};

static inline struct mr_clock mr_clock_init(void)
{
    __extension__ typedef unsigned __int128 wide;

    return (struct mr_clock){.ns_per_cycle =
                                 (uint64_t)(((wide)1000000000 << 32) / rte_get_tsc_hz())};
}

static inline uint64_t mr_clock_ns(const struct mr_clock *clock, uint64_t cycles)
{
    __extension__ typedef unsigned __int128 wide;

    return (uint64_t)((wide)cycles * clock->ns_per_cycle >> 32);
}

MR_INLINE uint64_t mr_clock_now(const struct mr_clock *clock)
{
    return mr_clock_ns(clock, rte_rdtsc());
}

#endif /* MR_DATAPLANE_CLOCK_H */
