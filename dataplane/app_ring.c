/*
 * dataplane/app_ring.c - rings on the shard's thread: taken up, polled, let go of a little at a
 * time.
 */
#include <errno.h>

#include "dataplane/app_internal.h"
#include "dataplane/app_move.h"
#include "dataplane/app_send.h"
#include "quic/counters.h"

#define TIMER_LINK offsetof(struct mr_app_timer, link)
#define LATER      1

/* release: pairs with the acquire in mr_app_host_ring_state; what the ring refers to no more is the
 * control thread's */
static void set_state(struct mr_app_ring *ring, enum mr_app_ring_state state)
{
    atomic_store_explicit(&ring->state, (uint32_t)state, memory_order_release);
}

static void set_gauge(uint32_t *gauge, uint32_t value)
{
    /* relaxed: a figure, it orders nothing */
    atomic_store_explicit((_Atomic uint32_t *)gauge, value, memory_order_relaxed);
}

static void show_gauges(struct mr_app_ring *ring)
{
    set_gauge(&ring->stats.conns, ring->conn_count);
    set_gauge(&ring->stats.objects, ring->objects);
    set_gauge(&ring->stats.sends, ring->sends);
    set_gauge(&ring->stats.slots_held, ring->region.sizes.slot_count - ring->free_count);
}

/* ------------------------------------------------------------------ timers */

int mr_app_timer_start(struct mr_app_host *host, struct mr_app_ring *ring, uint64_t delay_ns,
                       uint64_t user_data)
{
    uint64_t now = host->transport->ops->now(host->transport);

    if (ring->timers == ring->config.timers_max)
        return -ENOBUFS;
    uint32_t index = mr_pool_get(&host->timers);
    MR_ASSERT(index != MR_NONE);
    *(struct mr_app_timer *)mr_pool_at(&host->timers, index) =
        (struct mr_app_timer){.ring = ring->index, .user_data = user_data};
    mr_app_chain_push(&ring->running, &host->timers, TIMER_LINK, index);
    ring->timers++;
    mr_wheel_set(&host->wheel, index,
                 delay_ns > MR_WHEEL_DEADLINE_MAX - now ? MR_WHEEL_DEADLINE_MAX : now + delay_ns);
    return LATER;
}

uint32_t mr_app_timers_expire(struct mr_app_host *host)
{
    uint32_t due[MR_APP_OBJECTS_PER_POLL];
    uint64_t now = host->transport->ops->now(host->transport);

    if (mr_wheel_next(&host->wheel) > now)
        return 0;
    uint32_t count = mr_wheel_expire(&host->wheel, due, MR_COUNT_OF(due), now);
    for (uint32_t i = 0; i < count; i++) {
        const struct mr_app_timer *timer = mr_pool_at(&host->timers, due[i]);
        struct mr_app_ring *ring = &host->rings[timer->ring];

        mr_app_chain_remove(&ring->running, &host->timers, TIMER_LINK, due[i]);
        mr_app_chain_push(&ring->fired, &host->timers, TIMER_LINK, due[i]);
    }
    return count;
}

/* At most `room` of the chain. */
static void drop_timers(struct mr_app_host *host, struct mr_app_ring *ring,
                        struct mr_app_chain *chain, uint32_t room)
{
    for (uint32_t i = 0; i < room && chain->head != MR_NONE; i++) {
        uint32_t index = chain->head;

        mr_wheel_clear(&host->wheel, index);
        mr_app_chain_remove(chain, &host->timers, TIMER_LINK, index);
        mr_pool_put(&host->timers, index);
        ring->timers--;
    }
}

/* ------------------------------------------------------------------ letting go */

/* The application's last completion, if there is room, and the word that it may look at. */
static void say_gone(struct mr_app_host *host, struct mr_app_ring *ring)
{
    if (mr_app_has_room(ring))
        mr_app_complete(host, ring, &(struct mr_cqe){.type = MR_CQE_GONE});
    /* release: pairs with the acquire of the application's library; completions are written */
    atomic_store_explicit(ring->region.is_gone, 1, memory_order_release);
    mr_outbox_publish(&ring->completions);
    if (ring->config.wake != NULL)
        ring->config.wake(ring->config.argument);
}

/* From now on it submits nothing and is told nothing; what it has goes in wind_down(). */
static void let_go(struct mr_app_host *host, struct mr_app_ring *ring)
{
    if (!ring->is_attached)
        return;
    ring->is_attached = false;
    mr_app_accepts_drop(host, ring);
    mr_app_moves_cancel(host, ring);
    say_gone(host, ring);
    set_state(ring, MR_APP_RING_LETTING_GO);
}

void mr_app_ring_free_conn(struct mr_app_host *host, struct mr_app_object *conn)
{
    while (conn->kindred.head != MR_NONE)
        mr_app_object_free(host, mr_app_object_at(host, conn->kindred.head));
    mr_app_object_free(host, conn);
}

/* Streams that are over, and of which nobody needs to hear. */
static void free_closed_streams(struct mr_app_host *host, struct mr_app_object *conn)
{
    for (uint32_t i = conn->kindred.head; i != MR_NONE;) {
        struct mr_app_object *stream = mr_app_object_at(host, i);

        i = stream->kin.next;
        if ((stream->kinds & MR_EVENT_CLOSED) != 0)
            mr_app_object_free(host, stream);
    }
}

/* A connection whose application is gone: to an heir, or its end. */
static void hand_on(struct mr_app_host *host, struct mr_app_object *conn)
{
    if ((conn->kinds & MR_EVENT_CLOSED) != 0) {
        mr_app_ring_free_conn(host, conn);
        return;
    }
    free_closed_streams(host, conn);
    if (mr_app_heir(host, conn) != NULL)
        return;
    mr_app_object_bury(host, conn);
    host->transport->ops->close(host->transport, conn->handle, mr_app_death_code(host, conn),
                                "the application is gone");
}

/* relaxed: the SEND is counted before its bytes are named elsewhere */
void mr_app_ring_hold(_Atomic uint32_t *foreign)
{
    MR_CROSSING(exchanges, 1);
    atomic_fetch_add_explicit(foreign, 1, memory_order_relaxed);
}

/* release: pairs with the acquire in is_held; nobody looks at the bytes any more */
void mr_app_ring_let(_Atomic uint32_t *foreign)
{
    MR_CROSSING(exchanges, 1);
    atomic_fetch_sub_explicit(foreign, 1, memory_order_release);
}

/* Does a SEND at another shard name its memory? */
static bool is_held(const struct mr_app_ring *ring)
{
    /* acquire: pairs with the release in mr_app_ring_let */
    return atomic_load_explicit(&ring->foreign, memory_order_acquire) > 0;
}

static uint32_t wind_down(struct mr_app_host *host, struct mr_app_ring *ring)
{
    uint32_t count = 0;

    for (uint32_t i = ring->conns.head; count < MR_APP_WIND_DOWN_PER_POLL && i != MR_NONE;) {
        struct mr_app_object *conn = mr_app_object_at(host, i);

        i = conn->kin.next;
        if (conn->is_frozen) /* between two shards: it will be here, or over there */
            continue;
        hand_on(host, conn);
        count++;
    }
    drop_timers(host, ring, &ring->running, MR_APP_OBJECTS_PER_POLL);
    drop_timers(host, ring, &ring->fired, MR_APP_OBJECTS_PER_POLL);
    show_gauges(ring);
    if (ring->objects > 0 || ring->sends > 0 || ring->timers > 0 || is_held(ring))
        return count;
    host->active &= ~(UINT64_C(1) << ring->index);
    set_state(ring, MR_APP_RING_DRAINED);
    return count + 1;
}

/* ------------------------------------------------------------------ hoarding */

static void close_hungry(struct mr_app_host *host, struct mr_app_ring *ring)
{
    for (uint32_t i = 0; i < MR_APP_OBJECTS_PER_POLL; i++) {
        struct mr_app_object *object = mr_app_list_pop(host, ring, MR_APP_HUNGRY);

        if (object == NULL)
            return;
        struct mr_app_object *conn =
            object->is_stream ? mr_app_object_at(host, object->conn) : object;
        if (conn->is_hoarded) /* for another stream of it */
            continue;
        conn->is_hoarded = true;
        if (host->transport->ops->close(host->transport, conn->handle,
                                        mr_app_death_code(host, conn),
                                        "the application gives no room back") == 0)
            mr_count_add(&host->stats.conns_hoarded, 1);
    }
}

/* All slots held, data waits, and nothing was given back for too long? */
static void watch_hoard(struct mr_app_host *host, struct mr_app_ring *ring)
{
    if (host->config.hoard_ns == 0)
        return;
    if (ring->free_count > 0 || ring->lists[MR_APP_HUNGRY].head == MR_NONE) {
        ring->hoards_since = 0;
        return;
    }
    uint64_t now = host->transport->ops->now(host->transport);
    if (ring->hoards_since == 0) {
        ring->hoards_since = now;
    } else if (now - ring->hoards_since >= host->config.hoard_ns) {
        close_hungry(host, ring);
        ring->hoards_since = 0;
    }
}

/* ------------------------------------------------------------------ polling */

uint32_t mr_app_ring_poll(struct mr_app_host *host, struct mr_app_ring *ring)
{
    if (!ring->is_attached)
        return wind_down(host, ring);
    mr_app_wake(host, ring);
    mr_app_send_retry(host, ring);
    uint32_t work = mr_app_submissions(host, ring);
    work += mr_app_completions(host, ring);
    watch_hoard(host, ring);
    show_gauges(ring);
    if (ring->submissions.is_broken || ring->completions.is_broken) {
        mr_count_add(&host->stats.rings_broken, 1);
        let_go(host, ring);
    }
    return work;
}

static void take_up(struct mr_app_host *host, struct mr_app_ring *ring)
{
    ring->is_attached = true;
    if (host->is_going_away)
        ring->news = MR_EVENT_GO_AWAY;
    host->active |= UINT64_C(1) << ring->index;
    set_state(ring, MR_APP_RING_ATTACHED);
}

static void take_policy(struct mr_app_host *host)
{
    /* acquire: pairs with the release in mr_app_host_set_policy; the policy is written */
    const struct mr_app_policy *newest = atomic_load_explicit(&host->newest, memory_order_acquire);

    if (newest == host->policy)
        return;
    host->policy = newest;
    /* release: pairs with the acquire in mr_app_host_set_policy; the one before is looked at no
     * more */
    atomic_store_explicit(&host->epoch_seen, newest->epoch, memory_order_release);
}

void mr_app_take_commands(struct mr_app_host *host)
{
    uint64_t word;

    take_policy(host);
    while (mr_spsc_pop(&host->commands, &word, 1) == 1) {
        struct mr_app_ring *ring = &host->rings[word >> 1];

        if ((word & 1) == 0)
            take_up(host, ring);
        else
            let_go(host, ring);
    }
}

void mr_app_rings_stop(struct mr_app_host *host)
{
    mr_app_take_commands(host);
    for (uint32_t i = 0; i < MR_APP_RINGS_MAX; i++)
        if (mr_app_is_active(host, i)) {
            let_go(host, &host->rings[i]);
            set_state(&host->rings[i], MR_APP_RING_DRAINED);
        }
    host->active = 0;
}
