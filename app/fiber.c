/*
 * app/fiber.c - see millrace/fiber.h: fibers, waiting, and the assertions on switchpoints.
 */
#include "millrace/fiber.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "app/fiber_internal.h"
#include "base/compiler.h"

struct mr_fiber *mr_fiber_current(void)
{
    struct mr_hub *hub = mr_hub_current();

    return hub == NULL ? NULL : hub->running;
}

/* ------------------------------------------------------------------ spawning */

/* The first function on a fiber's stack. */
static void run_fiber(void *argument)
{
    struct mr_fiber *fiber = argument;

    fiber->result = fiber->function(fiber->argument);
    fiber->state = MR_FIBER_ENDED;
    mr_context_leave(&fiber->context, &fiber->hub->context);
}

/* The hub's pool of stacks of at least `size`; NULL: there are none so large. */
static struct mr_stack_pool *pool_for(struct mr_hub *hub, size_t size)
{
    for (uint32_t i = 0; i < MR_FIBER_STACK_SIZES; i++)
        if (hub->stack_pools[i].stack_size >= size)
            return &hub->stack_pools[i];
    return NULL;
}

static void init_fiber(struct mr_fiber *fiber, mr_fiber_function function, void *argument,
                       const char *name)
{
    fiber->function = function;
    fiber->argument = argument;
    fiber->result = 0;
    fiber->is_cancelled = fiber->is_shielded = fiber->is_checked = false;
    fiber->is_armed = fiber->is_fired = fiber->is_switched = false;
    fiber->is_joined = false;
    fiber->limit = MR_FOREVER;
    fiber->queue = NULL;
    fiber->joiners = (struct mr_fiber_queue){NULL, NULL};
    snprintf(fiber->name, sizeof(fiber->name), "%s", name == NULL ? "fiber" : name);
}

int mr_fiber_spawn(mr_fiber_function function, void *argument, const char *name,
                   const struct mr_fiber_options *options, struct mr_fiber **fiber_out)
{
    struct mr_hub *hub = mr_hub_current();
    bool is_detached = options != NULL && options->is_detached;
    int error = 0;

    if (hub == NULL || (fiber_out == NULL && !is_detached))
        return -EINVAL;
    if (hub->is_closing)
        return -ESHUTDOWN;
    struct mr_stack_pool *pool = pool_for(hub, options == NULL ? 0 : options->stack_size);
    if (pool == NULL)
        return -EINVAL;
    struct mr_fiber *fiber = mr_hub_fiber_get(hub, &error);
    if (fiber == NULL)
        return error;
    fiber->stack = mr_stack_get(pool);
    if (fiber->stack == NULL) {
        mr_hub_fiber_put(hub, fiber);
        return -ENOMEM;
    }
    fiber->stack_pool = pool;
    fiber->is_detached = is_detached;
    init_fiber(fiber, function, argument, name);
    mr_context_init(&fiber->context, fiber->stack->low,
                    (size_t)(fiber->stack->top - fiber->stack->low), run_fiber, fiber);
    hub->spawned++;
    hub->live_count++;
    hub->live_peak = MR_MAX(hub->live_peak, hub->live_count);
    mr_hub_make_ready(hub, fiber);
    if (fiber_out != NULL)
        *fiber_out = fiber;
    return 0;
}

/* ------------------------------------------------------------------ waiting */

static void set_timer(struct mr_fiber *fiber, uint64_t timeout_ns)
{
    if (timeout_ns == MR_FOREVER)
        return;
    uint64_t now = mr_hub_now(fiber->hub);
    uint64_t deadline =
        timeout_ns < MR_WHEEL_DEADLINE_MAX - now ? now + timeout_ns : MR_WHEEL_DEADLINE_MAX;
    mr_wheel_set(&fiber->hub->wheel, fiber->index, deadline);
}

void mr_fiber_leave(struct mr_fiber *fiber)
{
    MR_ASSERT(fiber->is_checked); /* who calls this is a switchpoint, and has said so */
    fiber->is_checked = false;
    mr_context_switch(&fiber->context, &fiber->hub->context);
}

int64_t mr_fiber_suspend(struct mr_fiber_queue *queue, uint64_t timeout_ns)
{
    struct mr_fiber *fiber = mr_fiber_current();

    if (fiber != NULL && fiber->limit != MR_FOREVER && !fiber->is_shielded)
        timeout_ns = MR_MIN(timeout_ns, mr_hub_time_left(fiber->hub, fiber->limit));
    if (timeout_ns == 0)
        return -ETIMEDOUT;
    if (fiber == NULL)
        return -EPERM;
    fiber->state = MR_FIBER_WAITING;
    fiber->queue = queue;
    if (queue != NULL)
        mr_fiber_queue_push(queue, fiber);
    set_timer(fiber, timeout_ns);
    mr_fiber_leave(fiber);
    return fiber->value;
}

int64_t mr_fiber_suspend_again(struct mr_fiber_queue *queue)
{
    struct mr_fiber *fiber = mr_fiber_current();

    fiber->is_shielded = true;
    fiber->is_checked = true;
    int64_t value = mr_fiber_suspend(queue, MR_FOREVER);
    fiber->is_shielded = false;
    return value;
}

void mr_fiber_wake(struct mr_fiber *fiber, int64_t value)
{
    MR_ASSERT(fiber->state == MR_FIBER_WAITING);
    if (fiber->queue != NULL)
        mr_fiber_queue_remove(fiber->queue, fiber);
    fiber->queue = NULL;
    mr_wheel_clear(&fiber->hub->wheel, fiber->index);
    fiber->value = value;
    mr_hub_make_ready(fiber->hub, fiber);
}

void mr_fiber_interrupt(struct mr_fiber *fiber)
{
    if (fiber != NULL && fiber->state == MR_FIBER_WAITING && !fiber->is_shielded)
        mr_fiber_wake(fiber, -ECANCELED);
}

uint64_t mr_fiber_limit_begin(uint64_t timeout_ns)
{
    struct mr_fiber *fiber = mr_fiber_current();

    if (fiber == NULL)
        return MR_FOREVER;
    uint64_t outer = fiber->limit;
    fiber->limit = MR_MIN(outer, mr_hub_deadline(fiber->hub, timeout_ns));
    return outer;
}

void mr_fiber_limit_end(uint64_t outer)
{
    struct mr_fiber *fiber = mr_fiber_current();

    if (fiber != NULL)
        fiber->limit = outer;
}

/* By the limit of what it is called in, not by the timeout of the wait itself. */
static bool is_late(const struct mr_fiber *fiber)
{
    return mr_hub_time_left(fiber->hub, fiber->limit) == 0;
}

int mr_fiber_yield(void)
{
    int result = mr_switchpoint_check("mr_fiber_yield");
    struct mr_fiber *fiber = mr_fiber_current();

    if (fiber == NULL)
        return -EPERM;
    if (result != 0)
        return result;
    mr_hub_make_ready(fiber->hub, fiber);
    mr_fiber_leave(fiber);
    return 0;
}

int mr_fiber_sleep(uint64_t duration_ns)
{
    int result = mr_switchpoint_check("mr_fiber_sleep");
    struct mr_fiber *fiber = mr_fiber_current();

    if (fiber == NULL)
        return -EPERM;
    if (result != 0)
        return result;
    result = (int)mr_fiber_suspend(NULL, MR_MAX(duration_ns, 1));
    return result == -ETIMEDOUT && !is_late(fiber) ? 0 : result;
}

/* ------------------------------------------------------------------ ending */

int mr_fiber_join(struct mr_fiber *fiber, uint64_t timeout_ns, int64_t *result_out)
{
    int result = mr_switchpoint_check("mr_fiber_join");

    if (fiber->is_detached)
        return -EINVAL;
    if (fiber == mr_fiber_current())
        return -EDEADLK;
    if (fiber->is_joined)
        return -EBUSY;
    if (result == 0 && fiber->state != MR_FIBER_ENDED) {
        fiber->is_joined = true;
        result = (int)mr_fiber_suspend(&fiber->joiners, timeout_ns);
        fiber->is_joined = false;
    }
    if (result != 0)
        return result;
    if (result_out != NULL)
        *result_out = fiber->result;
    mr_hub_fiber_put(fiber->hub, fiber);
    return 0;
}

void mr_fiber_detach(struct mr_fiber *fiber)
{
    MR_ASSERT(!fiber->is_detached);
    MR_ASSERT(!fiber->is_joined);
    fiber->is_detached = true;
    if (fiber->state == MR_FIBER_ENDED)
        mr_hub_fiber_put(fiber->hub, fiber);
}

int mr_fiber_cancel(struct mr_fiber *fiber)
{
    if (fiber->state == MR_FIBER_ENDED || fiber->state == MR_FIBER_FREE)
        return -ESRCH;
    if (fiber->state == MR_FIBER_WAITING && !fiber->is_shielded)
        mr_fiber_wake(fiber, -ECANCELED);
    else
        fiber->is_cancelled = true;
    return 0;
}

/* ------------------------------------------------------------------ what is known of one */

const char *mr_fiber_name(const struct mr_fiber *fiber)
{
    return fiber->name;
}

bool mr_fiber_has_ended(const struct mr_fiber *fiber)
{
    return fiber->state == MR_FIBER_ENDED;
}

size_t mr_fiber_stack_used(const struct mr_fiber *fiber)
{
    return fiber->stack == NULL ? 0 : mr_stack_used(fiber->stack);
}

size_t mr_fiber_stack_size(const struct mr_fiber *fiber)
{
    return fiber->stack == NULL ? 0 : (size_t)(fiber->stack->top - fiber->stack->low);
}

/* ------------------------------------------------------------------ assertions on switchpoints */

/* The innermost scope without switchpoints; nothing switches within one, so that the thread's is
 * the fiber's. */
static _Thread_local const char *scope_now;

static _Noreturn MR_COLD void panic_at(const char *switchpoint)
{
    const struct mr_fiber *fiber = mr_fiber_current();
    char text[256];

    snprintf(text, sizeof(text), "fiber '%s' calls switchpoint %s() in scope '%s'",
             fiber == NULL ? "none" : fiber->name, switchpoint, scope_now);
    mr_panic(__FILE__, __LINE__, text);
}

int mr_switchpoint_check(const char *name)
{
    struct mr_fiber *fiber = mr_fiber_current();

    if (scope_now != NULL)
        panic_at(name);
    if (fiber == NULL)
        return 0;
    fiber->is_checked = true;
    if (!fiber->is_cancelled)
        return 0;
    fiber->is_cancelled = false;
    return -ECANCELED;
}

struct mr_no_switchpoints mr_no_switchpoints_begin(const char *scope_name)
{
    struct mr_no_switchpoints scope = {.outer = scope_now};

    scope_now = scope_name;
    return scope;
}

void mr_no_switchpoints_end(struct mr_no_switchpoints *scope)
{
    scope_now = scope->outer;
}
