/*
 * dataplane/work_pool.c - see work_pool.h.
 *
 * Sleeping: a helper raises `is_sleeping`, looks at its rings once more, and reads
 * its eventfd; a shard pushes, then reads `is_sleeping` and writes the eventfd if
 * it was raised.  Both sides put a sequentially consistent fence between their
 * store and their load, so that one of them sees the other.
 */
#include "dataplane/work_pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cache_line.h"
#include "base/compiler.h"
#include "base/spsc.h"

#define SPINS_BEFORE_SLEEP 200

/* The rings between one shard and one helper; jobs travel by index of `jobs`. */
struct lane {
    struct mr_spsc submissions;
    struct mr_spsc completions;
    uint64_t submission_items[MR_WORK_RING];
    uint64_t completion_items[MR_WORK_RING];
    struct mr_work_job jobs[MR_WORK_RING];
    MR_ALIGNED(MR_CACHE_LINE) uint32_t free_list[MR_WORK_RING]; /* the shard's */
    uint32_t free_count;
};

struct helper {
    pthread_t thread;
    struct mr_work_pool *pool;
    uint32_t index;
    int fd;
    MR_ALIGNED(MR_CACHE_LINE) _Atomic uint32_t is_sleeping;
};

/* Which helper a shard asks next. */
struct turn {
    MR_ALIGNED(MR_CACHE_LINE) uint32_t next_helper;
};

MR_ASSERT_OWN_LINE(struct lane, submission_items);
MR_ASSERT_OWN_LINE(struct lane, completion_items);
MR_ASSERT_OWN_LINE(struct lane, jobs);
MR_ASSERT_OWN_LINE(struct lane, free_list);
MR_ASSERT_WHOLE_LINES(struct lane);
MR_ASSERT_OWN_LINE(struct helper, is_sleeping);
MR_ASSERT_WHOLE_LINES(struct helper);
MR_ASSERT_WHOLE_LINES(struct turn);

struct mr_work_pool {
    uint32_t helper_count;
    uint32_t shard_count;
    uint32_t started;
    _Atomic bool is_stopping;
    struct turn turns[MR_WORK_SHARDS_MAX]; /* each the shard's own */
    struct helper helpers[MR_WORK_HELPERS_MAX];
    struct lane *lanes; /* [shard][helper] */
};

static struct lane *lane_of(const struct mr_work_pool *pool, uint32_t shard, uint32_t helper)
{
    return &pool->lanes[shard * pool->helper_count + helper];
}

/* ------------------------------------------------------------------ the helper's side */

static bool run_one(struct lane *lane)
{
    uint64_t index;

    if (mr_spsc_pop(&lane->submissions, &index, 1) == 0)
        return false;
    struct mr_work_job *job = &lane->jobs[index];
    job->result = job->function(job->argument);
    mr_spsc_push(&lane->completions, &index, 1);
    return true;
}

static bool run_all(struct mr_work_pool *pool, uint32_t helper)
{
    bool is_any = false;

    for (uint32_t shard = 0; shard < pool->shard_count; shard++)
        is_any |= run_one(lane_of(pool, shard, helper));
    return is_any;
}

static void sleep_until_woken(struct helper *self)
{
    uint64_t count;

    atomic_store_explicit(&self->is_sleeping, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* pairs with the fence in wake() */
    if (!run_all(self->pool, self->index) &&
        !atomic_load_explicit(&self->pool->is_stopping, memory_order_relaxed)) {
        ssize_t size = read(self->fd, &count, sizeof(count));
        (void)size; /* interrupted: look again */
    }
    atomic_store_explicit(&self->is_sleeping, 0, memory_order_relaxed);
}

static void *helper_main(void *argument)
{
    struct helper *self = argument;
    uint32_t idle = 0;

    while (!atomic_load_explicit(&self->pool->is_stopping, memory_order_relaxed)) {
        if (run_all(self->pool, self->index))
            idle = 0;
        else if (++idle > SPINS_BEFORE_SLEEP)
            sleep_until_woken(self);
    }
    return NULL;
}

/* ------------------------------------------------------------------ the shard's side */

static void wake(struct helper *helper)
{
    static const uint64_t one = 1;

    MR_CROSSING(exchanges, 1);
    atomic_thread_fence(memory_order_seq_cst); /* pairs with the fence in sleep_until_woken() */
    if (atomic_load_explicit(&helper->is_sleeping, memory_order_relaxed) == 0)
        return;
    ssize_t size = write(helper->fd, &one, sizeof(one));
    (void)size; /* a full counter wakes as well */
}

static bool submit_to(struct mr_work_pool *pool, uint32_t shard, uint32_t helper,
                      const struct mr_work_job *job)
{
    struct lane *lane = lane_of(pool, shard, helper);

    if (lane->free_count == 0)
        return false;
    uint64_t index = lane->free_list[--lane->free_count];
    lane->jobs[index] = *job;
    mr_spsc_push(&lane->submissions, &index, 1);
    wake(&pool->helpers[helper]);
    return true;
}

bool mr_work_submit(struct mr_work_pool *pool, uint32_t shard, const struct mr_work_job *job)
{
    uint32_t best = pool->turns[shard].next_helper;

    for (uint32_t i = 1; i < pool->helper_count; i++) {
        uint32_t helper = (pool->turns[shard].next_helper + i) % pool->helper_count;

        if (lane_of(pool, shard, helper)->free_count > lane_of(pool, shard, best)->free_count)
            best = helper;
    }
    pool->turns[shard].next_helper = (best + 1) % pool->helper_count;
    return submit_to(pool, shard, best, job);
}

uint32_t mr_work_take(struct mr_work_pool *pool, uint32_t shard, struct mr_work_job *jobs_out,
                      uint32_t room)
{
    uint32_t count = 0;

    for (uint32_t helper = 0; helper < pool->helper_count && count < room; helper++) {
        struct lane *lane = lane_of(pool, shard, helper);
        uint64_t index;

        while (count < room && mr_spsc_pop(&lane->completions, &index, 1) == 1) {
            jobs_out[count++] = lane->jobs[index];
            lane->free_list[lane->free_count++] = (uint32_t)index;
        }
    }
    return count;
}

/* ------------------------------------------------------------------ life cycle */

static void init_lane(struct lane *lane)
{
    mr_spsc_init(&lane->submissions, lane->submission_items, MR_WORK_RING);
    mr_spsc_init(&lane->completions, lane->completion_items, MR_WORK_RING);
    lane->free_count = MR_WORK_RING;
    for (uint32_t i = 0; i < MR_WORK_RING; i++)
        lane->free_list[i] = i;
}

static bool start_helper(struct mr_work_pool *pool, uint32_t index)
{
    struct helper *helper = &pool->helpers[index];

    helper->pool = pool;
    helper->index = index;
    helper->fd = eventfd(0, EFD_CLOEXEC);
    if (helper->fd < 0)
        return false;
    if (pthread_create(&helper->thread, NULL, helper_main, helper) != 0) {
        close(helper->fd);
        return false;
    }
    pool->started++;
    return true;
}

struct mr_work_pool *mr_work_pool_start(uint32_t helper_count, uint32_t shard_count,
                                        struct mr_fault *fault)
{
    struct mr_work_pool *pool = aligned_alloc(MR_CACHE_LINE, (sizeof(*pool) + MR_CACHE_LINE - 1) /
                                                                 MR_CACHE_LINE * MR_CACHE_LINE);
    size_t lanes = (size_t)helper_count * shard_count;

    if (pool == NULL)
        goto no_memory;
    memset(pool, 0, sizeof(*pool));
    pool->helper_count = helper_count;
    pool->shard_count = shard_count;
    pool->lanes = aligned_alloc(MR_CACHE_LINE, lanes * ((sizeof(struct lane) + MR_CACHE_LINE - 1) /
                                                        MR_CACHE_LINE * MR_CACHE_LINE));
    if (pool->lanes == NULL)
        goto no_memory;
    memset(pool->lanes, 0, lanes * sizeof(struct lane));
    for (size_t i = 0; i < lanes; i++)
        init_lane(&pool->lanes[i]);
    for (uint32_t i = 0; i < helper_count; i++) {
        if (!start_helper(pool, i)) {
            mr_fault_set(
                fault, errno,
                "helper threads: %s; raise the limit of threads and open files (ulimit -u, -n)",
                strerror(errno));
            mr_work_pool_stop(pool);
            return NULL;
        }
    }
    return pool;

no_memory:
    free(pool);
    mr_fault_set(fault, ENOMEM, "helper threads: not enough memory");
    return NULL;
}

void mr_work_pool_stop(struct mr_work_pool *pool)
{
    if (pool == NULL)
        return;
    atomic_store_explicit(&pool->is_stopping, true, memory_order_relaxed);
    for (uint32_t i = 0; i < pool->started; i++) {
        static const uint64_t one = 1;
        ssize_t size = write(pool->helpers[i].fd, &one, sizeof(one));
        (void)size;
        pthread_join(pool->helpers[i].thread, NULL);
        close(pool->helpers[i].fd);
    }
    free(pool->lanes);
    free(pool);
}
