/* app/loop_work.c - the work pool; see loop_internal.h. */
#include <errno.h>
#include <stdlib.h>

#include "app/loop_internal.h"

enum {
    WORK_THREADS = 2,
    WORK_QUEUE = 4096,
};

/* Work that is out. */
struct work {
    struct mr_offload_job job;  /* first */
    struct mr_loop_entry entry; /* back to the loop */
    struct mr_loop *loop;
    void (*done)(void *argument, int64_t result);
    void (*drop)(void *argument);
    void *argument;
};

static struct mr_offload *pool_of(struct mr_loop *loop)
{
    uint32_t threads = loop->config.work_threads;

    pthread_mutex_lock(&loop->work_mutex);
    if (loop->offload == NULL)
        loop->offload = mr_offload_new(threads == 0 ? WORK_THREADS : threads, WORK_QUEUE, NULL);
    struct mr_offload *offload = loop->offload;
    pthread_mutex_unlock(&loop->work_mutex);
    return offload;
}

static void end_work(struct work *work)
{
    /* release: pairs with the acquire in mr_loop_free; a figure else */
    atomic_fetch_sub_explicit(&work->loop->work_out, 1, memory_order_release);
    free(work);
}

/* In the loop. */
static void tell(struct mr_loop_entry *entry)
{
    struct work *work = MR_CONTAINER_OF(entry, struct work, entry);
    void (*done)(void *argument, int64_t result) = work->done;
    void (*drop)(void *argument) = work->drop;
    void *argument = work->argument;
    int64_t result = work->job.result;
    bool is_told = !work->loop->is_freeing;

    work->loop->run.function = (const void *)(uintptr_t)done;
    end_work(work);
    if (is_told)
        done(argument, result);
    else if (drop != NULL)
        drop(argument);
}

/* On the helper's thread. */
static void job_done(struct mr_offload_job *job)
{
    struct work *work = (struct work *)job;

    mr_loop_post_entry(work->loop, &work->entry);
}

int mr_loop_work(struct mr_loop *loop, int64_t (*function)(void *argument),
                 void (*done)(void *argument, int64_t result), void *argument)
{
    return mr_loop_work_or_drop(loop, function, done, NULL, argument);
}

int mr_loop_work_or_drop(struct mr_loop *loop, int64_t (*function)(void *argument),
                         void (*done)(void *argument, int64_t result), void (*drop)(void *argument),
                         void *argument)
{
    if (function == NULL || done == NULL)
        return -EINVAL;
    struct mr_offload *offload = pool_of(loop);
    struct work *work = offload == NULL ? NULL : malloc(sizeof(*work));

    if (work == NULL)
        return -ENOMEM;
    *work = (struct work){
        .job = {.function = function, .argument = argument, .done = job_done},
        .entry = {.handler = tell},
        .loop = loop,
        .done = done,
        .drop = drop,
        .argument = argument,
    };
    atomic_fetch_add_explicit(&loop->work_out, 1, memory_order_relaxed);
    int error = mr_offload_submit(offload, &work->job);
    if (error < 0)
        end_work(work);
    return error;
}

void mr_loop_work_end(struct mr_loop *loop)
{
    loop->is_freeing = true;
    mr_offload_free(loop->offload); /* what did not begin goes through job_done, too */
    loop->offload = NULL;
}

bool mr_loop_drop_work(struct mr_loop_entry *entry)
{
    if (entry->handler != tell)
        return false;
    tell(entry);
    return true;
}
