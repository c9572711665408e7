/*
 * app/fiber_hub.c - the hub: whose turn it is, and the end of all fibers.
 *
 * Order in this file: life, the table of fibers, turns, closing, invariants.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "app/fiber_internal.h"
#include "app/work.h"
#include "base/compiler.h"
#include "base/log.h"

#define STACK_SIZE_DEFAULT ((MR_ASAN || MR_TSAN) ? (size_t)256 * 1024 : (size_t)32 * 1024)
#define STACK_SIZE_MAX     ((size_t)1 << 40) /* a slab of 2^7 times that is still a size_t */
#define FIBERS_MAX_DEFAULT (1u << 20)
#define FIBERS_MAX         (1u << 24)
#define WARM_DEFAULT       1024
#define NS_PER_SECOND      UINT64_C(1000000000)
#define CLOSE_WAIT_NS      MR_MILLISECONDS(10) /* for work under way */

/* ------------------------------------------------------------------ life */

static uint64_t monotonic_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_SECOND + (uint64_t)ts.tv_nsec;
}

/* The default source: nothing happens but timers and what other threads leave. */
static int sleep_once(void *context, uint64_t timeout_ns)
{
    struct mr_hub *hub = context;
    struct pollfd poller = {.fd = hub->fd, .events = POLLIN};
    struct timespec ts = {.tv_sec = (time_t)(timeout_ns / NS_PER_SECOND),
                          .tv_nsec = (long)(timeout_ns % NS_PER_SECOND)};

    if (timeout_ns == 0)
        return 0;
    if (ppoll(&poller, 1, timeout_ns == MR_FOREVER ? NULL : &ts, NULL) < 0 && errno != EINTR)
        return -errno;
    return 0;
}

static void set_defaults(struct mr_hub *hub, const struct mr_hub_options *options)
{
    struct mr_hub_options *own = &hub->options;

    if (options != NULL)
        *own = *options;
    if (own->source.run_once == NULL)
        own->source = (struct mr_event_source){.run_once = sleep_once, .context = hub};
    if (own->clock == NULL)
        own->clock = monotonic_now;
    if (own->stack_size == 0)
        own->stack_size = STACK_SIZE_DEFAULT;
    if (own->fibers_max == 0)
        own->fibers_max = FIBERS_MAX_DEFAULT;
    own->fibers_max = MR_MIN(own->fibers_max, FIBERS_MAX);
    if (own->warm_stacks_max == 0)
        own->warm_stacks_max = WARM_DEFAULT;
    if (own->guards_max == 0)
        own->guards_max = mr_stack_guards_default();
    if (own->work_threads == 0)
        own->work_threads = 2;
    if (own->work_queue_max == 0)
        own->work_queue_max = 1024;
}

static struct mr_hub *fail(struct mr_hub *hub, struct mr_error *error, const char *why)
{
    if (error != NULL)
        snprintf(error->text, sizeof(error->text), "hub: %s", why);
    if (hub != NULL) {
        if (hub->fd >= 0)
            close(hub->fd);
        free(hub->chunks);
        free(hub);
    }
    return NULL;
}

struct mr_hub *mr_hub_new(const struct mr_hub_options *options, struct mr_error *error)
{
    if (mr_hub_current() != NULL)
        return fail(NULL, error, "this thread has one already; one hub per thread");
    if (options != NULL && options->stack_size > STACK_SIZE_MAX)
        return fail(NULL, error, "stack_size is above 2^40 bytes");
    struct mr_hub *hub = calloc(1, sizeof(*hub));

    if (hub == NULL)
        return fail(NULL, error, "not enough memory");
    set_defaults(hub, options);
    hub->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (hub->fd < 0)
        return fail(hub, error, "no descriptor is free; raise the limit of open files (ulimit -n)");
    hub->chunks = calloc((hub->options.fibers_max + MR_FIBER_CHUNK - 1) / MR_FIBER_CHUNK,
                         sizeof(struct mr_fiber *));
    if (hub->chunks == NULL)
        return fail(hub, error, "not enough memory");
    if (!mr_hub_seat_take(hub))
        return fail(hub, error, "this process has as many as it may");
    for (uint32_t i = 0; i < MR_FIBER_STACK_SIZES; i++)
        mr_stack_pool_init(&hub->stack_pools[i], hub->options.stack_size << i,
                           hub->options.warm_stacks_max, hub->options.guards_max);
    mr_wheel_init(&hub->wheel, NULL, 0, mr_hub_now(hub));
    mr_context_init_thread(&hub->context);
    hub->offload_room.count = hub->options.work_queue_max;
    return hub;
}

static void free_hub(struct mr_hub *hub)
{
    uint32_t generation = hub->first_generation;

    for (uint32_t i = 0; i < hub->made; i++) {
        struct mr_fiber *fiber = mr_hub_fiber(hub, i);

        if ((int32_t)(fiber->generation - generation) > 0)
            generation = fiber->generation;
        if (fiber->stack != NULL)
            mr_context_free(&fiber->context);
    }
    mr_hub_seat_leave(hub, generation + 1);
    mr_offload_free(hub->offload);
    for (uint32_t i = 0; i < MR_FIBER_STACK_SIZES; i++)
        mr_stack_pool_free(&hub->stack_pools[i]);
    for (uint32_t i = 0; i < hub->room; i += MR_FIBER_CHUNK)
        free(hub->chunks[i / MR_FIBER_CHUNK]);
    free(hub->chunks);
    free(hub->nodes);
    close(hub->fd);
    free(hub);
}

/* ------------------------------------------------------------------ the table of fibers */

/* Make room for more: the timers of twice as many, and one chunk of fibers. */
static int grow(struct mr_hub *hub)
{
    uint32_t chunk = hub->room / MR_FIBER_CHUNK;

    if (hub->room >= hub->options.fibers_max)
        return -ENFILE;
    if (hub->room == hub->wheel.count) {
        uint32_t count = hub->room == 0 ? MR_FIBER_CHUNK : hub->room * 2;
        struct mr_wheel_node *nodes = realloc(hub->nodes, count * sizeof(*nodes));

        if (nodes == NULL)
            return -ENOMEM;
        hub->nodes = nodes;
        mr_wheel_grow(&hub->wheel, nodes, count);
    }
    struct mr_fiber *fibers = calloc(MR_FIBER_CHUNK, sizeof(*fibers));
    if (fibers == NULL)
        return -ENOMEM;
    mr_hub_chunk_publish(hub, chunk, fibers);
    hub->room += MR_FIBER_CHUNK;
    return 0;
}

struct mr_fiber *mr_hub_fiber_get(struct mr_hub *hub, int *error_out)
{
    struct mr_fiber *fiber = hub->free_fibers;

    if (fiber != NULL) {
        hub->free_fibers = fiber->next;
        fiber->next = NULL;
        return fiber;
    }
    *error_out = hub->made < hub->options.fibers_max ? 0 : -ENFILE;
    if (*error_out == 0 && hub->made == hub->room)
        *error_out = grow(hub);
    if (*error_out != 0)
        return NULL;
    fiber = mr_hub_fiber(hub, hub->made);
    fiber->index = hub->made++;
    fiber->hub = hub;
    fiber->generation = hub->first_generation;
    return fiber;
}

void mr_hub_fiber_put(struct mr_hub *hub, struct mr_fiber *fiber)
{
    fiber->state = MR_FIBER_FREE;
    fiber->next = hub->free_fibers;
    hub->free_fibers = fiber;
}

/* ------------------------------------------------------------------ turns */

void mr_hub_make_ready(struct mr_hub *hub, struct mr_fiber *fiber)
{
    fiber->state = MR_FIBER_READY;
    mr_fiber_queue_push(&hub->ready, fiber);
    hub->ready_count++;
}

static _Noreturn MR_COLD void panic_of(const struct mr_fiber *fiber, const char *what)
{
    char text[128];

    snprintf(text, sizeof(text), "fiber '%s': %s", fiber->name, what);
    mr_panic(__FILE__, __LINE__, text);
}

static void on_end(struct mr_hub *hub, struct mr_fiber *fiber)
{
    hub->live_count--;
    mr_context_free(&fiber->context);
    mr_stack_put(fiber->stack_pool, fiber->stack);
    fiber->stack = NULL;
    fiber->is_armed = fiber->is_fired = false;
    if (fiber->joiners.first != NULL)
        mr_fiber_wake(fiber->joiners.first, 0);
    if (fiber->is_detached)
        mr_hub_fiber_put(hub, fiber);
}

void mr_hub_continue(struct mr_hub *hub, struct mr_fiber *fiber)
{
    fiber->state = MR_FIBER_RUNNING;
    hub->running = fiber;
    hub->switches++;
    mr_context_switch(&hub->context, &fiber->context);
    hub->running = NULL;
    if (!mr_stack_is_intact(fiber->stack))
        panic_of(fiber, "its stack has overflowed; give it a larger stack_size");
    if (fiber->state == MR_FIBER_ENDED)
        on_end(hub, fiber);
}

/* A turn for each fiber that is ready now, in order, and for no other. */
static void run_ready(struct mr_hub *hub)
{
    for (uint32_t count = hub->ready_count; count > 0; count--) {
        struct mr_fiber *fiber = hub->ready.first;

        mr_fiber_queue_remove(&hub->ready, fiber);
        hub->ready_count--;
        mr_hub_continue(hub, fiber);
    }
}

static void expire_timers(struct mr_hub *hub)
{
    uint32_t indexes[MR_FIBER_EXPIRE_BURST];
    uint64_t now;
    uint32_t count;

    if (hub->wheel.set_count == 0)
        return;
    now = mr_hub_now(hub);
    do {
        count = mr_wheel_expire(&hub->wheel, indexes, MR_COUNT_OF(indexes), now);
        for (uint32_t i = 0; i < count; i++)
            mr_fiber_wake(mr_hub_fiber(hub, indexes[i]), -ETIMEDOUT);
    } while (mr_wheel_next(&hub->wheel) <= now);
}

/* How long the event source may wait: not at all while a fiber is ready. */
static uint64_t wait_time(const struct mr_hub *hub)
{
    if (hub->ready_count > 0 || hub->live_count == 0)
        return 0;
    uint64_t next = mr_wheel_next(&hub->wheel);
    if (next == UINT64_MAX)
        return MR_FOREVER;
    uint64_t now = mr_hub_now(hub);
    return next > now ? next - now : 0;
}

static int poll_source(struct mr_hub *hub, uint64_t timeout_ns)
{
    hub->polls++;
    int result = hub->options.source.run_once(hub->options.source.context, timeout_ns);
    mr_hub_take_inbound(hub);
    expire_timers(hub);
    return result;
}

int64_t mr_hub_run(struct mr_hub *hub)
{
    int result = 0;

    if (hub->running != NULL || hub->is_running)
        return -EDEADLK;
    hub->is_running = true;
    mr_hub_take_inbound(hub);
    while (hub->live_count > 0 && result >= 0) {
        run_ready(hub);
        /* acquire: pairs with the release in mr_hub_stop() */
        if (atomic_exchange_explicit(&hub->is_stopping, false, memory_order_acquire))
            break;
        result = poll_source(hub, wait_time(hub));
    }
    hub->is_running = false;
    return result < 0 ? result : (int64_t)hub->live_count;
}

/* ------------------------------------------------------------------ closing */

/* Cancel what waits, and what has not begun. */
static void cancel_all(struct mr_hub *hub)
{
    for (uint32_t i = 0; i < hub->made; i++) {
        struct mr_fiber *fiber = mr_hub_fiber(hub, i);

        if (fiber->state == MR_FIBER_WAITING || fiber->state == MR_FIBER_READY)
            mr_fiber_cancel(fiber);
    }
}

/* One round: run until nothing is ready, or somebody will not wait; wait for work under way. */
static void run_round(struct mr_hub *hub)
{
    uint32_t turns = 0;

    do {
        run_ready(hub);
        poll_source(hub, hub->ready_count == 0 && hub->offload_running > 0 ? CLOSE_WAIT_NS : 0);
    } while (hub->offload_running > 0 || (hub->ready_count > 0 && ++turns < MR_HUB_CLOSE_ROUNDS));
}

/* Append ", name". */
static void append(struct mr_error *error, const char *separator, const char *name)
{
    size_t used = strlen(error->text);

    snprintf(error->text + used, sizeof(error->text) - used, "%s%s", separator, name);
}

static void report_unended(const struct mr_hub *hub, struct mr_error *error)
{
    const char *separator = " ";

    if (error != NULL)
        snprintf(error->text, sizeof(error->text), "fibers that did not end:");
    for (uint32_t i = 0; i < hub->made; i++) {
        const struct mr_fiber *fiber = mr_hub_fiber(hub, i);

        if (fiber->stack == NULL)
            continue;
        mr_log(MR_LOG_WARN, "fiber '%s' did not end when its hub was closed; it is given up",
               fiber->name);
        if (error != NULL)
            append(error, separator, fiber->name);
        separator = ", ";
    }
}

int64_t mr_hub_close(struct mr_hub *hub, struct mr_error *error)
{
    if (hub == NULL)
        return 0;
    if (hub->running != NULL || hub->is_running)
        return -EDEADLK;
    hub->is_closing = true;
    mr_hub_take_inbound(hub);
    for (int round = 0; round < MR_HUB_CLOSE_ROUNDS && hub->live_count > 0; round++) {
        cancel_all(hub);
        run_round(hub);
    }
    uint32_t count = hub->live_count;
    if (count > 0)
        report_unended(hub, error);
    free_hub(hub);
    return count;
}

/* ------------------------------------------------------------------ invariants */

void mr_hub_stats_get(const struct mr_hub *hub, struct mr_hub_stats *stats_out)
{
    *stats_out = (struct mr_hub_stats){
        .switches = hub->switches,
        .spawned = hub->spawned,
        .stale_fires = hub->stale_fires,
        .polls = hub->polls,
        .fibers = hub->live_count,
        .fibers_peak = hub->live_peak,
    };
    for (uint32_t i = 0; i < MR_FIBER_STACK_SIZES; i++) {
        stats_out->stacks += hub->stack_pools[i].count;
        stats_out->stacks_guarded += hub->stack_pools[i].guarded_count;
        stats_out->stacks_warm += hub->stack_pools[i].warm_count;
    }
}

void mr_hub_check(const struct mr_hub *hub)
{
    uint32_t live = 0;
    uint32_t ready = 0;
    uint32_t stacks = 0;

    for (uint32_t i = 0; i < hub->made; i++) {
        const struct mr_fiber *fiber = mr_hub_fiber(hub, i);
        bool is_live = fiber->state != MR_FIBER_FREE && fiber->state != MR_FIBER_ENDED;

        MR_ASSERT(fiber->index == i);
        MR_ASSERT(is_live == (fiber->stack != NULL));
        MR_ASSERT((fiber->state == MR_FIBER_RUNNING) == (fiber == hub->running));
        MR_ASSERT(fiber->queue == NULL || fiber->state == MR_FIBER_WAITING);
        MR_ASSERT(!mr_wheel_is_set(&hub->wheel, i) || fiber->state == MR_FIBER_WAITING);
        live += is_live;
        ready += fiber->state == MR_FIBER_READY;
    }
    MR_ASSERT(live == hub->live_count);
    MR_ASSERT(ready == hub->ready_count);
    for (const struct mr_fiber *fiber = hub->ready.first; fiber != NULL;
         fiber = fiber->next, ready--)
        MR_ASSERT(fiber->state == MR_FIBER_READY);
    MR_ASSERT(ready == 0);
    for (uint32_t i = 0; i < MR_FIBER_STACK_SIZES; i++) {
        mr_stack_pool_check(&hub->stack_pools[i]);
        stacks += hub->stack_pools[i].used_count;
    }
    MR_ASSERT(stacks == hub->live_count);
    mr_wheel_check(&hub->wheel);
}
