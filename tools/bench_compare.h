/*
 * tools/bench_compare.h - an attached application beside the same one inline; see bench_compare.c.
 *
 * Owner: the bench.  Threads: the control thread; mr_compare_serve() runs on the application's.
 */
#ifndef MR_TOOLS_BENCH_COMPARE_H
#define MR_TOOLS_BENCH_COMPARE_H

#include <stdbool.h>
#include <stddef.h>

struct mr_bench_options;
struct mr_bench_task;

/* The whole of `millrace bench transfer --attached` and `latency --attached`.  Exit statuses. */
int mr_compare_transfer(const struct mr_bench_options *options);
int mr_compare_latency(const struct mr_bench_options *options);

/* What the attached application is told. */
struct mr_compare_task {
    size_t data_bytes;
    bool is_verified;
    bool sleeps; /* it waits in the kernel when there is nothing; else it polls */
};

/* The server of bench_app.h over the rings of an attachment, until the datapath lets go; `config`:
 * a struct mr_compare_task. */
int mr_compare_serve(struct mr_bench_task *task, void *config);

#endif /* MR_TOOLS_BENCH_COMPARE_H */
