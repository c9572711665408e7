/*
 * dataplane/app_complete.c - objects' news become completions.
 *
 * An object's news are told in the order: data, sends that are done, events; its end is the last.
 * Whatever finds no room stays where it is, in the object.
 */
#include <errno.h>

#include "dataplane/app_internal.h"
#include "quic/counters.h"

bool mr_app_has_room(struct mr_app_ring *ring, uint32_t wanted)
{
    return mr_outbox_room(&ring->completions, wanted) == wanted;
}

void mr_app_complete(struct mr_app_host *host, struct mr_app_ring *ring, const struct mr_cqe *cqe)
{
    struct mr_cqe *place = mr_outbox_next(&ring->completions);

    MR_ASSERT(place != NULL);
    *place = *cqe;
    mr_count_add(&host->stats.completions, 1);
}

/* What every completion about an object says. */
static struct mr_cqe about(const struct mr_app_host *host, const struct mr_app_object *object,
                           enum mr_cqe_type type)
{
    const struct mr_app_object *conn =
        object->is_stream ? mr_app_object_at(host, object->conn) : object;

    return (struct mr_cqe){.type = (uint8_t)type,
                           .user_data = object->user_data,
                           .conn = mr_app_handle(conn),
                           .stream = object->is_stream ? mr_app_handle(object) : 0};
}

/* ------------------------------------------------------------------ data */

static uint32_t copy_views(uint8_t *dst, uint32_t room, const struct mr_view *views, size_t count)
{
    uint32_t copied = 0;

    for (size_t i = 0; i < count && copied < room; i++) {
        uint32_t take = (uint32_t)MR_MIN(views[i].size, (size_t)(room - copied));

        memcpy(dst + copied, views[i].data, take);
        copied += take;
    }
    return copied;
}

static uint64_t total_of(const struct mr_view *views, int64_t count)
{
    uint64_t total = 0;

    for (int64_t i = 0; i < count; i++)
        total += views[i].size;
    return total;
}

/* Take a slot for data of `object`; its offset in the region. */
static uint64_t take_slot(struct mr_app_ring *ring, struct mr_app_object *object)
{
    uint32_t slot = ring->free_slots[--ring->free_count];

    ring->slots[slot] =
        (struct mr_app_slot){.object = object->index, .generation = object->generation};
    object->held++;
    return ring->region.receive_at + (uint64_t)slot * ring->region.sizes.slot_size;
}

/* Hand over one slot of data.  False: there is nothing more now. */
static bool hand_over(struct mr_app_host *host, struct mr_app_ring *ring,
                      struct mr_app_object *object)
{
    struct mr_view views[MR_APP_VIEWS];
    bool fin = false;
    const struct mr_transport_ops *ops = host->transport->ops;
    int64_t count = ops->receive(host->transport, object->handle, views, MR_APP_VIEWS, &fin);

    if (count < 0 || (count == 0 && !fin))
        return false;
    uint64_t total = total_of(views, count);
    struct mr_cqe cqe = about(host, object, MR_CQE_DATA);
    cqe.value = object->received_to;
    if (total > 0) {
        cqe.address = take_slot(ring, object);
        cqe.size = copy_views(ring->region.base + cqe.address, ring->region.sizes.slot_size, views,
                              (size_t)count);
        ops->release(host->transport, object->handle, cqe.size);
        object->received_to += cqe.size;
        mr_count_add(&host->stats.bytes_copied, cqe.size);
    }
    bool is_end = fin && cqe.size == total;
    cqe.flags = is_end ? MR_CQE_FIN : 0;
    mr_app_complete(host, ring, &cqe);
    return !is_end;
}

/* False: the completion queue is full.  Where slots are missing, the stream stands in line for one,
 * and nothing else has to wait: what is told next may be what frees them. */
static bool tell_data(struct mr_app_host *host, struct mr_app_ring *ring,
                      struct mr_app_object *object)
{
    uint32_t share = MR_MAX(ring->region.sizes.slot_count / MR_APP_STREAM_SHARE, 1u);

    while (object->is_readable) {
        if (object->held >= share)
            return true; /* goes on when it gives some back */
        if (ring->free_count == 0) {
            mr_app_object_starve(host, object);
            return true;
        }
        if (!mr_app_has_room(ring, 1))
            return false;
        object->is_readable = hand_over(host, ring, object);
    }
    return true;
}

/* ------------------------------------------------------------------ sends */

/* Those whose bytes are below `acked_to`; all, with `result`, at the stream's end.  False: no room.
 */
static bool tell_sends(struct mr_app_host *host, struct mr_app_ring *ring,
                       struct mr_app_object *object, uint64_t acked_to, int32_t result)
{
    while (object->send_head != MR_NONE) {
        const struct mr_app_send *send = mr_pool_at(&host->sends, object->send_head);

        if (send->end > acked_to)
            return true;
        if (!send->is_quiet || result != 0) {
            if (!mr_app_has_room(ring, 1))
                return false;
            struct mr_cqe cqe = about(host, object, MR_CQE_DONE);
            cqe.op = MR_OP_SEND;
            cqe.user_data = send->user_data;
            cqe.result = result;
            mr_app_complete(host, ring, &cqe);
        }
        uint32_t next = send->next;
        mr_pool_put(&host->sends, object->send_head);
        object->send_head = next;
        if (next == MR_NONE)
            object->send_tail = MR_NONE;
    }
    return true;
}

/* ------------------------------------------------------------------ events */

/* A connection's end comes after its streams'. */
static uint32_t tellable(const struct mr_app_object *object)
{
    return object->streams > 0 ? object->kinds & ~(uint32_t)MR_EVENT_CLOSED : object->kinds;
}

/* False: no room. */
static bool tell_event(struct mr_app_host *host, struct mr_app_ring *ring,
                       struct mr_app_object *object)
{
    uint32_t kinds = tellable(object) & ~(uint32_t)MR_EVENT_READABLE;

    if (kinds == 0)
        return true;
    if (!mr_app_has_room(ring, 1))
        return false;
    struct mr_cqe cqe = about(host, object, MR_CQE_EVENT);
    cqe.kinds = kinds;
    cqe.value = object->error;
    cqe.acked_to = object->acked_to;
    cqe.flags = (uint16_t)((object->is_application ? MR_CQE_APPLICATION : 0) |
                           (object->is_remote ? MR_CQE_REMOTE : 0));
    mr_app_complete(host, ring, &cqe);
    object->kinds &= ~(kinds | MR_EVENT_READABLE);
    return true;
}

/* All news of one object.  False: the ring is full. */
static bool tell(struct mr_app_host *host, struct mr_app_ring *ring, struct mr_app_object *object)
{
    bool is_over = (tellable(object) & MR_EVENT_CLOSED) != 0;

    if (!is_over && !tell_data(host, ring, object))
        return false;
    if (!tell_sends(host, ring, object, object->acked_to, 0) ||
        (is_over && !tell_sends(host, ring, object, UINT64_MAX, -ECANCELED)))
        return false;
    return tell_event(host, ring, object);
}

static struct mr_app_object *take_dirty(struct mr_app_host *host, struct mr_app_ring *ring)
{
    struct mr_app_object *object = mr_app_object_at(host, ring->dirty_head);

    ring->dirty_head = object->dirty_next;
    object->is_dirty = false;
    return object;
}

/* After telling: is it over, or its connection the next to be told of? */
static void settle(struct mr_app_host *host, struct mr_app_object *object, bool is_over)
{
    if (!is_over)
        return;
    struct mr_app_object *conn = object->is_stream ? mr_app_object_at(host, object->conn) : NULL;

    mr_app_object_free(host, object);
    if (conn != NULL && conn->streams == 0 && (conn->kinds & MR_EVENT_CLOSED) != 0)
        mr_app_object_mark(host, conn, 0);
}

static bool tell_timers(struct mr_app_host *host, struct mr_app_ring *ring)
{
    while (ring->fired_head != MR_NONE) {
        uint32_t index = ring->fired_head;
        const struct mr_app_timer *timer = mr_pool_at(&host->timers, index);

        if (!mr_app_has_room(ring, 1))
            return false;
        mr_app_complete(host, ring,
                        &(struct mr_cqe){
                            .type = MR_CQE_DONE, .op = MR_OP_TIMER, .user_data = timer->user_data});
        ring->fired_head = timer->next;
        mr_pool_put(&host->timers, index);
    }
    return true;
}

uint32_t mr_app_completions(struct mr_app_host *host, struct mr_app_ring *ring)
{
    uint32_t told = 0;
    bool has_room = tell_timers(host, ring);

    while (has_room && ring->dirty_head != MR_NONE && told < MR_APP_OBJECTS_PER_POLL) {
        struct mr_app_object *object = mr_app_object_at(host, ring->dirty_head);
        bool is_over = (tellable(object) & MR_EVENT_CLOSED) != 0;

        has_room = tell(host, ring, object);
        if (!has_room)
            break;
        take_dirty(host, ring);
        settle(host, object, is_over);
        told++;
    }
    if (!has_room)
        mr_count_add(&host->stats.completions_late, 1);
    if (mr_outbox_publish_waking(&ring->completions, ring->region.sleeps)) {
        mr_count_add(&host->stats.wakes, 1);
        ring->wake(ring->argument);
    }
    return told;
}
