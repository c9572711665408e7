/*
 * tools/bench_idle_few.h - few connections beside the many of `millrace bench idle`, so that both
 * are measured within the same second: a world of its own, on the same two threads.
 *
 *     worker of the server:  the many's shard --on_poll--> [ the few's shard, as long as they run ]
 *     worker of the client:  likewise
 *
 * For one shard at each side.  While the few run, the many rest, and the other way round.  What a
 * machine's neighbours, its clock, and the way between its CPUs do to the one, they do to the
 * other.
 *
 * Owner: the bench.  Threads: the control thread, and the two workers, when they poll those
 * applications.
 */
#ifndef MR_TOOLS_BENCH_IDLE_FEW_H
#define MR_TOOLS_BENCH_IDLE_FEW_H

#include "tools/bench.h"
#include "tools/bench_idle_app.h"

#define MR_IDLE_FEW 1000

struct mr_idle_few;

/* Before the bench is launched: the few's shards will run on the threads of `server` and `client`,
 * applications of the many's, which become what is in front of them.  NULL: no memory. */
struct mr_idle_few *mr_idle_few_new(struct mr_application *server, struct mr_application *client);

/* MiB that DPDK needs for them. */
uint32_t mr_idle_few_memory_mb(const struct mr_world_config *many);

/* When the bench runs: make them, connected as `load` says, at rest.  False with `fault` set. */
bool mr_idle_few_make(struct mr_idle_few *few, const struct mr_bench *bench,
                      const struct mr_idle_load *load, struct mr_fault *fault);

/* They run, and the many rest, or the other way round; the many must be at rest before. */
void mr_idle_few_run(struct mr_idle_few *few, bool is_running);

/* While they run: so many requests in bursts of `burst` (0: at random).  Returns the server's ns
 * per packet; 0: not all were answered. */
double mr_idle_few_wake(struct mr_idle_few *few, uint32_t requests, uint32_t burst);

/* Close all, while the bench still runs.  Returns the mbufs that did not come back. */
uint32_t mr_idle_few_end(struct mr_idle_few *few);
/* When it does not run any more, or never did; NULL is allowed. */
void mr_idle_few_free(struct mr_idle_few *few);

#endif /* MR_TOOLS_BENCH_IDLE_FEW_H */
