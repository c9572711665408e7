/*
 * dataplane/work_pool.h - helper threads for what a polling thread must not do: file reads,
 * compression.
 *
 *     shard --submission ring--> helper thread --completion ring--> shard
 *
 * One pair of SPSC rings for each shard and helper; a shard hands a job to the helper
 * that has the fewest of its jobs, in turn among equals: one that is held up, by a slow
 * file or by the scheduler, holds up no more than what it has.  A helper without work sleeps on an
 * eventfd; the shard writes it only then.
 *
 * Owner: the control thread makes and frees the pool.  Threads: each client struct
 * is used by one shard; mr_work_submit() and mr_work_take() are that shard's.
 * Limits: MR_WORK_RING jobs out per shard and helper; then submit says false.
 */
#ifndef MR_DATAPLANE_WORK_POOL_H
#define MR_DATAPLANE_WORK_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"

#define MR_WORK_RING        256 /* jobs */
#define MR_WORK_HELPERS_MAX 8
#define MR_WORK_SHARDS_MAX  64

struct mr_work_job {
    int64_t (*function)(void *argument);
    void *argument;
    uint64_t user_data;
    int64_t result; /* of the function, once it is done */
};

struct mr_work_pool;

/* Start `helper_count` threads for `shard_count` shards.  NULL with `fault` set: no memory, threads
 * or descriptors. */
struct mr_work_pool *mr_work_pool_start(uint32_t helper_count, uint32_t shard_count,
                                        struct mr_fault *fault);

/* Finish the jobs under way, end the threads, free the pool. */
void mr_work_pool_stop(struct mr_work_pool *pool);

/* Queue a job of shard `shard`.  False: every ring is full. */
bool mr_work_submit(struct mr_work_pool *pool, uint32_t shard, const struct mr_work_job *job);

/* Take at most `room` finished jobs of shard `shard`. */
uint32_t mr_work_take(struct mr_work_pool *pool, uint32_t shard, struct mr_work_job *jobs_out,
                      uint32_t room);

#endif /* MR_DATAPLANE_WORK_POOL_H */
