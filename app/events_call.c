/*
 * app/events_call.c - calls of other threads; see events_internal.h.
 *
 * Three rings of words: free calls and set-aside objects towards the callers, filled calls towards
 * the registration's thread.  Callers take a mutex among themselves, so that each ring has one
 * producer and one consumer at a time; the registration's thread never waits.
 */
#include <errno.h>
#include <stdlib.h>

#include "app/events_internal.h"

enum {
    CALLS_PER_POLL = 256,
};

/* ------------------------------------------------------------------ whose thread */

static const void *this_thread(void)
{
    static _Thread_local char marker;

    return &marker;
}

bool mr_events_is_owner(const struct mr_registration *r)
{
    /* relaxed: a thread compares with what only itself writes */
    return atomic_load_explicit(&r->owner, memory_order_relaxed) == this_thread();
}

void mr_events_own(struct mr_registration *r)
{
    if (!mr_events_is_owner(r))
        atomic_store_explicit(&r->owner, this_thread(), memory_order_relaxed);
}

/* ------------------------------------------------------------------ memory */

static uint32_t power_of_two(uint32_t count)
{
    uint32_t power = 1;

    while (power < count)
        power *= 2;
    return power;
}

static bool make_ring(struct mr_spsc *ring, void **mem_out, uint32_t count)
{
    uint32_t capacity = power_of_two(count);

    *mem_out = malloc(mr_spsc_footprint(capacity));
    if (*mem_out == NULL)
        return false;
    mr_spsc_init(ring, *mem_out, capacity);
    return true;
}

bool mr_events_calls_new(struct calls *calls, uint32_t count, uint32_t stock)
{
    size_t size = sizeof(struct call) * (size_t)count;

    pthread_mutex_init(&calls->mutex, NULL);
    calls->spare = MR_NONE;
    calls->call = aligned_alloc(MR_CACHE_LINE, (size + MR_CACHE_LINE - 1) & ~(size_t)63);
    if (calls->call == NULL || !make_ring(&calls->queue, &calls->queue_mem, count) ||
        !make_ring(&calls->free, &calls->free_mem, count) ||
        !make_ring(&calls->stock, &calls->stock_mem, stock))
        return false;
    for (uint64_t i = 0; i < count; i++)
        (void)mr_spsc_push(&calls->free, &i, 1);
    return true;
}

void mr_events_calls_free(struct calls *calls)
{
    free(calls->call);
    free(calls->queue_mem);
    free(calls->free_mem);
    free(calls->stock_mem);
    pthread_mutex_destroy(&calls->mutex);
}

/* ------------------------------------------------------------------ the callers' side */

struct call *mr_events_begin_call(struct mr_registration *r, enum call_type type)
{
    struct calls *calls = &r->calls;
    uint64_t index = MR_NONE;

    pthread_mutex_lock(&calls->mutex);
    if (calls->spare != MR_NONE)
        index = calls->spare;
    else if (mr_spsc_pop(&calls->free, &index, 1) == 0)
        index = MR_NONE;
    if (index == MR_NONE) {
        pthread_mutex_unlock(&calls->mutex);
        return NULL;
    }
    calls->spare = MR_NONE;
    struct call *call = &calls->call[index];
    call->type = type;
    call->flags = 0;
    call->object = 0;
    call->made = 0;
    call->value = 0;
    call->count = 0;
    call->has_name = false;
    return call;
}

int mr_events_end_call(struct mr_registration *r, struct call *call, int error)
{
    struct calls *calls = &r->calls;
    uint64_t index = (uint64_t)(call - calls->call);

    if (error < 0)
        calls->spare = (uint32_t)index;
    else
        (void)mr_spsc_push(&calls->queue, &index, 1); /* there is room for all */
    pthread_mutex_unlock(&calls->mutex);
    if (error == 0 && r->host.wake != NULL)
        r->host.wake(r->host.context);
    return error;
}

mr_object mr_events_take_stock(struct mr_registration *r)
{
    uint64_t id = 0;

    return mr_spsc_pop(&r->calls.stock, &id, 1) == 1 ? id : 0;
}

/* ------------------------------------------------------------------ the registration's side */

void mr_events_fill_stock(struct mr_registration *r)
{
    while (mr_spsc_room(&r->calls.stock, 1) > 0) {
        const struct object *o = mr_events_make(r, OBJECT_SET_ASIDE);
        if (o == NULL)
            return;
        uint64_t id = mr_events_id(o);
        (void)mr_spsc_push(&r->calls.stock, &id, 1);
    }
}

uint32_t mr_events_run_calls(struct mr_registration *r)
{
    uint64_t index;
    uint32_t count = 0;

    if (r->transport == NULL)
        return 0;
    while (count < CALLS_PER_POLL && mr_spsc_pop(&r->calls.queue, &index, 1) == 1) {
        mr_events_execute(r, &r->calls.call[index]);
        (void)mr_spsc_push(&r->calls.free, &index, 1);
        count++;
    }
    r->stats.calls_queued += count;
    return count;
}

bool mr_events_has_calls(const struct mr_registration *r)
{
    struct mr_spsc *queue = (struct mr_spsc *)(uintptr_t)&r->calls.queue;

    return r->transport != NULL && mr_spsc_count(queue, 1) > 0;
}
