/*
 * tools/bench_ring.h - `millrace bench ring`: the two threads at the ends of a ring; see
 * bench_ring.c.
 *
 * Owner: the bench.  Threads: mr_ring_bench_run() runs on the application's, mr_ring_bench_echo()
 * on the worker.
 */
#ifndef MR_TOOLS_BENCH_RING_H
#define MR_TOOLS_BENCH_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "bench/samples.h"

struct mr_bench_task;

/*
 * What the hand-over is compared with: numbers that go there and come back, and nothing else.
 *
 *     own      each side writes a line of its own and watches the other's, as the two sides of any
 *              queue do
 *     shared   both write the same line: who has read it writes it, which many CPUs do in one go
 */
struct mr_ring_bench_lines {
    MR_ALIGNED(MR_CACHE_LINE) _Atomic uint32_t there; /* the application's; `shared`: both sides' */
    MR_ALIGNED(MR_CACHE_LINE) _Atomic uint32_t back;  /* the worker's */
    MR_ALIGNED(MR_CACHE_LINE) _Atomic uint32_t is_over;
    bool is_shared;
};

/* Shard's figures so far. */
struct mr_ring_bench_shard {
    uint64_t busy_cycles;
    uint64_t submissions;
};

struct mr_ring_bench {
    double seconds;
    struct mr_ring_bench_lines lines;
    /* have the worker run mr_ring_bench_echo() on `lines`; wait until it has returned */
    void (*lend)(void *context);
    void (*take_back)(void *context);
    struct mr_ring_bench_shard (*read)(void *context);
    void *context;
    /* what came of it, slice by slice */
    struct mr_samples own_ns;       /* one way */
    struct mr_samples shared_ns;    /* one way */
    struct mr_samples entry_ns;     /* one way, through the ring and the shard's loop */
    struct mr_samples batch_ns;     /* per message, there and back */
    struct mr_samples shard_cycles; /* of the shard, per message of a batch */
};

/* Send numbers back until told that it is over; `lines`: a struct mr_ring_bench_lines. */
void mr_ring_bench_echo(void *lines);

/* As mr_bench_task_function; `bench`: a struct mr_ring_bench. */
int mr_ring_bench_run(struct mr_bench_task *task, void *bench);

#endif /* MR_TOOLS_BENCH_RING_H */
