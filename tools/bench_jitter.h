/*
 * tools/bench_jitter.h - what the machine itself takes from a thread that only spins.
 *
 *     spin: clock, clock, clock, ........ clock, clock      a gap: somebody else had the core
 *
 * Neighbours of a virtual machine, interrupts and other programs stop a polling thread for
 * microseconds to milliseconds.  A latency's tail that is no longer than these gaps is not ours.
 *
 * Owner: the bench.  Threads: a slice runs on the server's lcore while the control thread waits for
 * it (struct mr_bench_yardstick).
 */
#ifndef MR_TOOLS_BENCH_JITTER_H
#define MR_TOOLS_BENCH_JITTER_H

#include <json-c/json.h>

#include "base/histogram.h"

struct mr_bench_jitter {
    struct mr_histogram gaps; /* ns, those of a microsecond or more */
    uint64_t spun_ns;
};

void mr_bench_jitter_init(struct mr_bench_jitter *jitter);

/* A yardstick's slice: spin for 100 ms.  The argument is the mr_bench_jitter.  Returns 1. */
double mr_bench_jitter_slice(void *argument);

/* `machine_jitter`: gaps_per_s, their p50_us, p99_us and max_us, and the part of the time that they
 * took, lost_percent; null if nothing was spun. */
void mr_bench_jitter_add(struct json_object *json, const struct mr_bench_jitter *jitter);

#endif /* MR_TOOLS_BENCH_JITTER_H */
