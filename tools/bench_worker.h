/*
 * tools/bench_worker.h - an application of a bench, and what the control thread sees of it.
 *
 *     shard -> worker -> the application     (the thread notes itself on start)
 *                |
 *                +-> the aside, if the control thread has asked for one: after the events
 *
 * An aside is something that has to be measured on a server's core while everything is there, but
 * not at the same time as the rest: the control thread asks for it between two measured intervals.
 *
 *     IDLE --ask--> ASKED --a worker has events--> RUNNING --> RAN --it has events again--> DONE
 *
 * Done means that the loop iteration in which it ran is over, and counted.
 *
 * Owner: the bench.  Threads: the application's functions run on its shard's thread;
 * everything else may be called by the control thread.
 */
#ifndef MR_TOOLS_BENCH_WORKER_H
#define MR_TOOLS_BENCH_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/histogram.h"
#include "millrace/transport.h"
#include "tools/alloc_count.h"

/* Written by the shard's thread, read by the control thread. */
struct mr_bench_counts {
    uint64_t bytes_received;
    uint64_t bad_bytes;
    uint64_t requests; /* answered in full */
    uint64_t connected;
    uint64_t failed; /* connections that ended with an error, or never began; bad answers */
    uint64_t closed;
    uint64_t resumed;
    uint64_t last_error;
};

/* What the two threads share about an application. */
struct mr_bench_shared {
    struct mr_histogram *latency; /* ns per request; NULL: not wanted */
    _Atomic bool is_measuring;    /* latency is recorded, and bytes of each stream */
    _Atomic bool is_stopped;      /* open nothing more */
    _Atomic bool is_paused;       /* ask for nothing more, for now */
    _Atomic uint32_t outstanding; /* asked for, and not answered in full */
    struct mr_bench_counts counts;
};

struct mr_bench_worker;

/* For the workers that share it: the first that has events takes it. */
struct mr_bench_aside {
    void (*function)(void *argument);
    void *argument;
    const struct mr_bench_worker *taker; /* valid in RAN */
    _Atomic int state;
};

/* One application on one shard. */
struct mr_bench_worker {
    struct mr_application application; /* for the shard */
    struct mr_application inner;
    struct mr_bench_shared *shared;
    struct mr_bench_aside *aside; /* NULL: none; set before the shard starts */
    struct mr_alloc_bytes bytes;  /* of its thread: TLS, with what the rest allocates */
    pthread_t thread;
    _Atomic bool has_thread; /* release: `thread` is set */
};

/* Put `worker`, which stays where it is, in front of `inner`; `shared` is inner's. */
void mr_bench_worker_init(struct mr_bench_worker *worker, const struct mr_application *inner,
                          struct mr_bench_shared *shared);

/* Run `function`, which returns soon, on the thread of one of the workers that have this aside, and
 * wait.  False, and it is not run: no event came to any of them within `patience_ns`. */
bool mr_bench_aside_run(struct mr_bench_aside *aside, void (*function)(void *argument),
                        void *argument, uint64_t patience_ns);

/* CPU time that the worker's thread has had so far, ns; 0 if it has not started. */
uint64_t mr_bench_worker_cpu_ns(const struct mr_bench_worker *worker);

/* Add to a counter of one's own. */
void mr_bench_count_up(uint64_t *field, uint64_t n);

/* A snapshot, from any thread. */
void mr_bench_read_counts(const struct mr_bench_shared *shared, struct mr_bench_counts *out);

#endif /* MR_TOOLS_BENCH_WORKER_H */
