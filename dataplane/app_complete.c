/*
 * dataplane/app_complete.c - objects' news become completions.
 *
 * An object's news are told in the order: that it is there, data, sends that are done, the other
 * events; its end is the last.  Whatever finds no room stays where it is, in the object.
 */
#include <errno.h>

#include "dataplane/app_internal.h"
#include "dataplane/app_move.h"
#include "dataplane/app_send.h"
#include "quic/counters.h"

#define BEGINS                                                                                     \
    ((uint32_t)(MR_EVENT_CONNECTED | MR_EVENT_EARLY | MR_EVENT_STREAM_OPENED | MR_EVENT_MOVED_IN))
#define LIMITS ((uint32_t)(MR_EVENT_CONNECTED | MR_EVENT_EARLY | MR_EVENT_STREAMS_ALLOWED))

bool mr_app_has_room(struct mr_app_ring *ring)
{
    return mr_outbox_room(&ring->completions, 1) == 1;
}

void mr_app_complete(struct mr_app_host *host, struct mr_app_ring *ring, const struct mr_cqe *cqe)
{
    struct mr_cqe *place = mr_outbox_next(&ring->completions);

    MR_ASSERT(place != NULL);
    *place = *cqe;
    mr_count_add(&host->stats.completions, 1);
    mr_count_add(&ring->stats.completions, 1);
}

struct mr_cqe mr_app_about(const struct mr_app_host *host, const struct mr_app_object *object,
                           enum mr_cqe_type type)
{
    const struct mr_app_object *conn =
        object->is_stream ? mr_app_object_at(host, object->conn) : object;

    return (struct mr_cqe){.type = (uint8_t)type,
                           .user_data = object->user_data,
                           .conn = mr_app_handle(conn),
                           .stream = object->is_stream ? mr_app_handle(object) : 0};
}

/* ------------------------------------------------------------------ events */

/* How many streams may be opened in all. */
static void add_limits(struct mr_app_host *host, const struct mr_app_object *conn,
                       struct mr_cqe *cqe)
{
    struct mr_conn_info info;

    if (host->transport->ops->conn_info(host->transport, conn->handle, &info) != 0)
        return;
    cqe->address = info.streams_bidi_limit;
    cqe->size = (uint32_t)MR_MIN(info.streams_uni_limit, (uint64_t)UINT32_MAX);
}

/* What MR_EVENT_CONNECTED, MR_EVENT_STREAM_OPENED and MR_EVENT_MOVED_IN say. */
static void add_begin(const struct mr_app_object *object, struct mr_cqe *cqe)
{
    if ((cqe->kinds & MR_EVENT_MOVED_IN) != 0) {
        cqe->value = object->old_name;
        cqe->address = object->old_shard;
        return;
    }
    cqe->flags = object->is_inherited ? MR_CQE_INHERITED : 0;
    if (!object->is_stream) {
        cqe->value = object->listener == MR_NONE ? 0 : object->listener;
        return;
    }
    cqe->value = object->id;
    if (object->is_inherited)
        cqe->address = object->given_to;
}

static void add_end(const struct mr_app_object *object, struct mr_cqe *cqe)
{
    cqe->value = object->error;
    cqe->acked_to = object->acked_to;
    cqe->flags = (uint16_t)((object->is_application ? MR_CQE_APPLICATION : 0) |
                            (object->is_remote ? MR_CQE_REMOTE : 0));
    if ((cqe->kinds & MR_EVENT_RESET) != 0 && object->is_reliable)
        cqe->flags |= MR_CQE_RELIABLE;
}

/* Tell of those of the object's news that are in `which`.  False: no room. */
static bool tell_event(struct mr_app_host *host, struct mr_app_ring *ring,
                       struct mr_app_object *object, uint32_t which)
{
    uint32_t kinds = object->kinds & which;

    if (kinds == 0)
        return true;
    if (!mr_app_has_room(ring))
        return false;
    struct mr_cqe cqe = mr_app_about(host, object, MR_CQE_EVENT);
    cqe.kinds = kinds;
    if ((kinds & BEGINS) != 0)
        add_begin(object, &cqe);
    else
        add_end(object, &cqe);
    if ((kinds & MR_EVENT_CLOSED) != 0 && !object->is_stream)
        mr_app_tell_reason(ring, object, &cqe);
    else if ((kinds & LIMITS) != 0)
        add_limits(host, object, &cqe);
    mr_app_complete(host, ring, &cqe);
    object->kinds &= ~kinds;
    return true;
}

/* Answer the ACCEPT that got this connection.  False: no room. */
static bool tell_accept(struct mr_app_host *host, struct mr_app_ring *ring,
                        struct mr_app_object *conn)
{
    if (!conn->is_accept_due)
        return true;
    if (!mr_app_has_room(ring))
        return false;
    struct mr_cqe cqe = mr_app_about(host, conn, MR_CQE_DONE);
    cqe.op = MR_OP_ACCEPT;
    cqe.value = conn->listener;
    mr_app_complete(host, ring, &cqe);
    conn->is_accept_due = false;
    return true;
}

/* ------------------------------------------------------------------ objects */

/* A connection's end comes after its streams'. */
static bool is_over(const struct mr_app_object *object)
{
    return (object->kinds & MR_EVENT_CLOSED) != 0 && object->streams == 0;
}

/* All news of one object; `ends`: its end is among them.  False: the ring is full. */
static bool tell(struct mr_app_host *host, struct mr_app_ring *ring, struct mr_app_object *object,
                 bool ends)
{
    uint32_t others = ~(BEGINS | (ends ? 0u : (uint32_t)MR_EVENT_CLOSED));

    return tell_accept(host, ring, object) && mr_app_move_tell_stays(host, ring, object) &&
           tell_event(host, ring, object, BEGINS) && mr_app_receive_end(host, ring, object) &&
           (ends || mr_app_receive(host, ring, object)) &&
           mr_app_send_tell(host, ring, object, ends) && tell_event(host, ring, object, others) &&
           (ends || mr_app_move_tell(host, ring, object));
}

/* After telling: is it over, or its connection the next to be told of? */
static void settle(struct mr_app_host *host, struct mr_app_object *object, bool ends)
{
    if (!ends)
        return;
    struct mr_app_object *conn = object->is_stream ? mr_app_object_at(host, object->conn) : NULL;

    mr_app_object_free(host, object);
    if (conn != NULL && is_over(conn))
        mr_app_object_mark(host, conn, 0);
}

/* ------------------------------------------------------------------ rings */

static bool tell_timers(struct mr_app_host *host, struct mr_app_ring *ring)
{
    while (ring->fired.head != MR_NONE) {
        uint32_t index = ring->fired.head;
        const struct mr_app_timer *timer = mr_pool_at(&host->timers, index);

        if (!mr_app_has_room(ring))
            return false;
        mr_app_complete(host, ring,
                        &(struct mr_cqe){
                            .type = MR_CQE_DONE, .op = MR_OP_TIMER, .user_data = timer->user_data});
        mr_app_chain_remove(&ring->fired, &host->timers, offsetof(struct mr_app_timer, link),
                            index);
        ring->timers--;
        mr_pool_put(&host->timers, index);
    }
    return true;
}

static bool tell_ring(struct mr_app_host *host, struct mr_app_ring *ring)
{
    if (ring->news == 0)
        return true;
    if (!mr_app_has_room(ring))
        return false;
    mr_app_complete(host, ring, &(struct mr_cqe){.type = MR_CQE_EVENT, .kinds = ring->news});
    ring->news = 0;
    return true;
}

uint32_t mr_app_completions(struct mr_app_host *host, struct mr_app_ring *ring)
{
    uint32_t told = 0;
    bool has_room = tell_timers(host, ring) && tell_ring(host, ring);

    while (has_room && ring->lists[MR_APP_NEWS].head != MR_NONE && told < MR_APP_OBJECTS_PER_POLL) {
        struct mr_app_object *object = mr_app_object_at(host, ring->lists[MR_APP_NEWS].head);
        bool ends = is_over(object);

        has_room = tell(host, ring, object, ends);
        if (!has_room)
            break;
        mr_app_list_drop(host, object, MR_APP_NEWS);
        settle(host, object, ends);
        told++;
    }
    if (!has_room)
        mr_count_add(&host->stats.completions_late, 1);
    mr_app_publish(ring);
    return told;
}

void mr_app_publish(struct mr_app_ring *ring)
{
    ring->may_wake |= mr_outbox_publish(&ring->completions);
}

void mr_app_wake(struct mr_app_host *host, struct mr_app_ring *ring)
{
    if (!ring->may_wake)
        return;
    ring->may_wake = false;
    if (ring->config.wake == NULL || !mr_outbox_wakes(ring->region.sleeps))
        return;
    mr_count_add(&host->stats.wakes, 1);
    mr_count_add(&ring->stats.wakes, 1);
    ring->config.wake(ring->config.argument);
}
