/*
 * app/fiber_seat.c - how other threads reach a hub: notes, switchbacks, wake-ups.
 *
 * A switchback's arg is a number, so that one which is called too late meets no freed memory:
 *
 *     | seat of the hub: 8 | index of the fiber: 24 | generation of the switchback: 32 |
 *
 * Seats are for ever; each has the lock of whatever is inbound to the hub that sits there.
 * Generations go on where the seat's hub before left off.
 */
#include "app/fiber_internal.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "base/compiler.h"

#define INDEX_BITS      24
#define GENERATION_BITS 32

_Static_assert(MR_HUBS_MAX == 1 << (64 - INDEX_BITS - GENERATION_BITS), "a seat has 8 bits");
_Static_assert(sizeof(void *) == sizeof(uint64_t), "a switchback's arg holds 64 bits");

static struct seat {
    pthread_mutex_t lock;
    struct mr_hub *hub;   /* NULL: free */
    uint32_t generation;  /* at which its next hub begins */
    uint32_t chunk_count; /* that other threads may look into */
} seats[MR_HUBS_MAX];

static void init_seats(void)
{
    for (uint32_t i = 0; i < MR_HUBS_MAX; i++)
        pthread_mutex_init(&seats[i].lock, NULL);
}

static _Thread_local struct mr_hub *own_hub;

struct mr_hub *mr_hub_current(void)
{
    return own_hub;
}

bool mr_hub_seat_take(struct mr_hub *hub)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, init_seats);
    for (uint32_t i = 0; i < MR_HUBS_MAX; i++) {
        struct seat *seat = &seats[i];

        pthread_mutex_lock(&seat->lock);
        bool is_free = seat->hub == NULL;
        if (is_free) {
            seat->hub = hub;
            seat->chunk_count = 0;
            hub->seat = i;
            hub->first_generation = seat->generation;
            own_hub = hub;
        }
        pthread_mutex_unlock(&seat->lock);
        if (is_free)
            return true;
    }
    return false;
}

void mr_hub_seat_leave(struct mr_hub *hub, uint32_t generation)
{
    struct seat *seat = &seats[hub->seat];

    pthread_mutex_lock(&seat->lock);
    seat->hub = NULL;
    seat->generation = generation;
    pthread_mutex_unlock(&seat->lock);
    own_hub = NULL;
}

void mr_hub_chunk_publish(struct mr_hub *hub, uint32_t chunk, struct mr_fiber *fibers)
{
    struct seat *seat = &seats[hub->seat];

    pthread_mutex_lock(&seat->lock);
    hub->chunks[chunk] = fibers;
    seat->chunk_count = chunk + 1;
    pthread_mutex_unlock(&seat->lock);
}

/* ------------------------------------------------------------------ waking the hub */

/* Once until the hub looks.  Under the seat's lock, so that the descriptor is readable just while
 * the flag is set, and because the hub may be gone after it. */
static void signal_hub(struct mr_hub *hub)
{
    static const uint64_t one = 1;

    if (atomic_load_explicit(&hub->is_signalled, memory_order_relaxed))
        return;
    /* release: pairs with the acquire in mr_hub_take_inbound() */
    atomic_store_explicit(&hub->is_signalled, true, memory_order_release);
    if (hub->options.source.wake != NULL) {
        hub->options.source.wake(hub->options.source.context);
        return;
    }
    ssize_t size = write(hub->fd, &one, sizeof(one));
    (void)size; /* a counter of 0 takes it */
}

int mr_hub_fd(const struct mr_hub *hub)
{
    return hub->fd;
}

void mr_hub_stop(struct mr_hub *hub)
{
    struct seat *seat = &seats[hub->seat];

    pthread_mutex_lock(&seat->lock);
    /* release: pairs with the exchange in mr_hub_run() */
    atomic_store_explicit(&hub->is_stopping, true, memory_order_release);
    signal_hub(hub);
    pthread_mutex_unlock(&seat->lock);
}

/* ------------------------------------------------------------------ what comes in */

void mr_hub_post(struct mr_hub *hub, struct mr_hub_note *note)
{
    struct seat *seat = &seats[hub->seat];

    note->next = NULL;
    pthread_mutex_lock(&seat->lock);
    if (hub->inbound.notes_last != NULL)
        hub->inbound.notes_last->next = note;
    else
        hub->inbound.notes = note;
    hub->inbound.notes_last = note;
    signal_hub(hub);
    pthread_mutex_unlock(&seat->lock);
}

/* Is switchback `a` one that was made after `b`, of the same fiber? */
static bool is_newer(uint64_t a, uint64_t b)
{
    return (int32_t)((uint32_t)a - (uint32_t)b) > 0;
}

/* One call of a fiber's switchbacks may be on its way: the newest, and of that the first. */
static void post_fire(struct mr_hub *hub, struct mr_fiber *fiber, uint64_t handle, int64_t value)
{
    if (fiber->inbound_handle != 0 && !is_newer(handle, fiber->inbound_handle))
        return;
    if (fiber->inbound_handle == 0) {
        fiber->inbound_next = NULL;
        if (hub->inbound.fires_last != NULL)
            hub->inbound.fires_last->inbound_next = fiber;
        else
            hub->inbound.fires = fiber;
        hub->inbound.fires_last = fiber;
    }
    fiber->inbound_handle = handle;
    fiber->inbound_value = value;
    signal_hub(hub);
}

static uint32_t index_of(uint64_t handle)
{
    return (uint32_t)(handle >> GENERATION_BITS) & ((1u << INDEX_BITS) - 1);
}

static void fire(void *arg, int64_t value)
{
    uint64_t handle = (uintptr_t)arg;
    struct seat *seat = &seats[handle >> (INDEX_BITS + GENERATION_BITS)];

    if ((uint32_t)handle == 0)
        return; /* made outside fibers */
    if (own_hub != NULL && seat == &seats[own_hub->seat]) {
        mr_hub_fire(own_hub, handle, value);
        return;
    }
    pthread_mutex_lock(&seat->lock);
    if (seat->hub != NULL && index_of(handle) / MR_FIBER_CHUNK < seat->chunk_count)
        post_fire(seat->hub, mr_hub_fiber(seat->hub, index_of(handle)), handle, value);
    pthread_mutex_unlock(&seat->lock);
}

/* Take the first fire out; under the lock, so that the fiber may be called again. */
static bool take_fire(struct mr_hub *hub, uint64_t *handle_out, int64_t *value_out)
{
    struct seat *seat = &seats[hub->seat];

    pthread_mutex_lock(&seat->lock);
    struct mr_fiber *fiber = hub->inbound.fires;
    if (fiber != NULL) {
        hub->inbound.fires = fiber->inbound_next;
        if (hub->inbound.fires == NULL)
            hub->inbound.fires_last = NULL;
        *handle_out = fiber->inbound_handle;
        *value_out = fiber->inbound_value;
        fiber->inbound_handle = 0;
    }
    pthread_mutex_unlock(&seat->lock);
    return fiber != NULL;
}

/* Take all notes; what comes later signals again. */
static struct mr_hub_note *take_notes(struct mr_hub *hub)
{
    struct seat *seat = &seats[hub->seat];
    uint64_t count;

    pthread_mutex_lock(&seat->lock);
    struct mr_hub_note *notes = hub->inbound.notes;
    hub->inbound.notes = hub->inbound.notes_last = NULL;
    if (hub->options.source.wake == NULL) {
        ssize_t size = read(hub->fd, &count, sizeof(count));
        (void)size; /* it was written with the flag */
    }
    atomic_store_explicit(&hub->is_signalled, false, memory_order_relaxed); /* under the lock */
    pthread_mutex_unlock(&seat->lock);
    return notes;
}

void mr_hub_take_inbound(struct mr_hub *hub)
{
    uint64_t handle;
    int64_t value;

    /* acquire: pairs with the release in signal_hub() */
    if (!atomic_load_explicit(&hub->is_signalled, memory_order_acquire))
        return;
    for (struct mr_hub_note *note = take_notes(hub), *next; note != NULL; note = next) {
        next = note->next;
        note->fn(note->arg);
    }
    while (take_fire(hub, &handle, &value))
        mr_hub_fire(hub, handle, value);
}

/* ------------------------------------------------------------------ switchbacks */

struct mr_switchback mr_fiber_switchback(void)
{
    struct mr_fiber *fiber = mr_fiber_current();
    uint64_t handle = 0;

    if (fiber != NULL) {
        if (++fiber->generation == 0)
            fiber->generation = 1; /* 0: none */
        fiber->is_armed = true;
        fiber->is_fired = false;
        handle = (uint64_t)fiber->hub->seat << (INDEX_BITS + GENERATION_BITS) |
                 (uint64_t)fiber->index << GENERATION_BITS | fiber->generation;
    }
    return (struct mr_switchback){.fn = fire, .arg = (void *)(uintptr_t)handle};
}

void mr_hub_fire(struct mr_hub *hub, uint64_t handle, int64_t value)
{
    uint32_t index = index_of(handle);
    struct mr_fiber *fiber = index < hub->made ? mr_hub_fiber(hub, index) : NULL;

    if (fiber == NULL || fiber->generation != (uint32_t)handle || !fiber->is_armed ||
        (fiber->is_switched && fiber->state != MR_FIBER_WAITING)) {
        hub->stale_fires++;
        return;
    }
    fiber->is_armed = false;
    fiber->is_fired = true;
    fiber->fired_value = value;
    if (fiber->is_switched)
        mr_fiber_wake(fiber, 0);
}

int mr_hub_switch(uint64_t timeout_ns, int64_t *value_out)
{
    int result = mr_switchpoint_check("mr_hub_switch");
    struct mr_fiber *fiber = mr_fiber_current();

    if (fiber == NULL)
        return -EPERM;
    bool is_wanted = fiber->is_armed || fiber->is_fired;
    if (result == 0 && is_wanted && !fiber->is_fired) {
        fiber->is_switched = true;
        result = (int)mr_fiber_suspend(NULL, timeout_ns);
        fiber->is_switched = false;
    }
    fiber->is_armed = false;
    if (result != 0)
        return result; /* cancelled before, but called: the next call may still have the value */
    if (!is_wanted)
        return -EINVAL;
    if (value_out != NULL)
        *value_out = fiber->fired_value;
    fiber->is_fired = false;
    return 0;
}
