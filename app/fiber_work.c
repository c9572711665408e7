/*
 * app/fiber_work.c - mr_fiber_work(): a function on a helper thread, and its fiber waiting.
 *
 * The job lies on the fiber's stack, so the fiber does not go on while a helper has it.  The
 * semaphore of room keeps the queue from ever being full.
 */
#include <errno.h>

#include "app/fiber_internal.h"
#include "app/work.h"
#include "base/compiler.h"

struct fiber_job {
    struct mr_offload_job job;
    struct mr_hub_note note;
    struct mr_fiber *fiber;
    bool is_done;
};

/* On the hub. */
static void on_note(void *arg)
{
    struct fiber_job *own = arg;

    own->is_done = true;
    if (own->fiber->state == MR_FIBER_WAITING)
        mr_fiber_wake(own->fiber, 0);
}

/* On a helper thread. */
static void on_done(struct mr_offload_job *job)
{
    struct fiber_job *own = MR_CONTAINER_OF(job, struct fiber_job, job);

    mr_hub_post(own->fiber->hub, &own->note);
}

/* Wait for the end of a job that was submitted.  0; -ECANCELED, -ETIMEDOUT: it was taken
 * back. */
static int wait_for(struct fiber_job *own)
{
    struct mr_fiber *fiber = own->fiber;

    fiber->is_checked = true; /* waiting for room may have used it up */
    int64_t result = mr_fiber_suspend(NULL, MR_FOREVER);
    if (result == 0)
        return 0;
    if (mr_offload_cancel(fiber->hub->offload, &own->job))
        return (int)result;
    if (result == -ECANCELED)
        fiber->is_cancelled = true; /* too late: the next switchpoint's */
    while (!own->is_done)
        mr_fiber_suspend_again(NULL);
    return 0;
}

static bool start_helpers(struct mr_hub *hub)
{
    uint32_t threads = MR_MIN(hub->options.work_threads, (uint32_t)MR_OFFLOAD_THREADS_MAX);

    if (hub->offload == NULL)
        hub->offload = mr_offload_new(threads, hub->options.work_queue_max, NULL);
    return hub->offload != NULL;
}

int mr_fiber_work(mr_fiber_function function, void *argument, int64_t *result_out)
{
    int result = mr_switchpoint_check("mr_fiber_work");
    struct mr_fiber *fiber = mr_fiber_current();

    if (fiber == NULL)
        return -EPERM;
    if (result != 0)
        return result;
    if (!start_helpers(fiber->hub))
        return -ENOMEM;
    result = mr_fiber_semaphore_take(&fiber->hub->offload_room, MR_FOREVER);
    if (result != 0)
        return result;

    struct fiber_job own = {
        .job = {.function = function, .argument = argument, .done = on_done},
        .fiber = fiber,
    };
    own.note = (struct mr_hub_note){.fn = on_note, .arg = &own};
    result = mr_offload_submit(fiber->hub->offload, &own.job);
    MR_ASSERT(result == 0); /* there is room */
    fiber->hub->offload_running++;
    result = wait_for(&own);
    fiber->hub->offload_running--;
    mr_fiber_semaphore_give(&fiber->hub->offload_room, 1);
    if (result == 0 && result_out != NULL)
        *result_out = own.job.result;
    return result;
}
