/*
 * dataplane/app_receive.c - received data and datagrams: into slots, or shown where they are.
 *
 *     by value       transport's views --copy--> slot --DATA--> application --RELEASE--> free slot
 *     by reference   transport's views --DATA--> application --RELEASE--> transport
 */
#include <errno.h>

#include "dataplane/app_internal.h"
#include "quic/counters.h"

#define FETCH_MAX  2048 /* bytes of a slot that are fetched ahead: a packet's */
#define REASON_MAX 96u  /* bytes */

/* What a submission or completion calls this place of the region. */
static uint64_t address_of(const struct mr_app_ring *ring, uint64_t offset)
{
    return ring->is_by_reference ? (uintptr_t)(ring->region.base + offset) : offset;
}

/* How many slots a stream may hold: half of what is free, times the part that this is of all.  So
 * streams that are not read, however many, leave some to the others (alone one holds a quarter). */
static uint32_t share_of(const struct mr_app_ring *ring)
{
    uint64_t free_count = ring->free_count;

    return MR_MAX(
        (uint32_t)(free_count * free_count / ring->region.sizes.slot_count / MR_APP_STREAM_SHARE),
        1u);
}

/* Is there a slot for the object now?  If not, it goes on when there is. */
static bool may_take_slot(struct mr_app_host *host, struct mr_app_ring *ring,
                          struct mr_app_object *object)
{
    if (object->held >= share_of(ring))
        return false; /* goes on when it gives some back */
    if (ring->free_count > 0)
        return true;
    mr_app_list_push(host, object, MR_APP_HUNGRY);
    return false;
}

static uint64_t slot_at(const struct mr_app_ring *ring, uint32_t slot)
{
    return ring->region.receive_at + (uint64_t)slot * ring->region.sizes.slot_size;
}

/* The offset of the slot that is taken next. */
static uint64_t next_slot(const struct mr_app_ring *ring)
{
    return slot_at(ring, ring->free_slots[ring->free_count - 1]);
}

/* Take it for data of `object`. */
static void take_slot(struct mr_app_ring *ring, struct mr_app_object *object)
{
    uint32_t slot = ring->free_slots[--ring->free_count];

    ring->slots[slot] =
        (struct mr_app_slot){.object = object->index, .generation = object->generation};
    object->held++;
}

/* ------------------------------------------------------------------ by value */

/* What the transport shows of a stream, and how far it was copied. */
struct shown {
    struct mr_view views[MR_APP_GATHER];
    size_t count;
    size_t next;    /* view */
    size_t offset;  /* in that */
    uint64_t taken; /* bytes of all */
    bool has_fin;   /* the stream ends behind them */
};

/* Lines that the application's core has read last: all of them together, while something else is
 * copied, instead of one after the other. */
static void fetch(const uint8_t *dst, size_t size)
{
    for (size_t at = 0; at < MR_MIN(size, (size_t)FETCH_MAX); at += MR_CACHE_LINE)
        MR_PREFETCH_WRITE(dst + at);
}

/* What arrived a moment ago is in the cache: nothing is asked for. */
static void copy(const struct mr_app_host *host, uint8_t *dst, const uint8_t *src, uint32_t size)
{
    if (size >= MR_COPY_BLOCK)
        host->copy(dst, src, size, src);
    else
        memcpy(dst, src, size);
}

/* Copy what comes next, at most `room` bytes.  Returns how many. */
static uint32_t copy_shown(const struct mr_app_host *host, struct shown *shown, uint8_t *dst,
                           uint32_t room)
{
    uint32_t copied = 0;

    while (shown->next < shown->count && copied < room) {
        const struct mr_view *view = &shown->views[shown->next];
        uint32_t take = (uint32_t)MR_MIN(view->size - shown->offset, (size_t)(room - copied));

        if (shown->next + 1 < shown->count)
            fetch(dst + copied + take, MR_MIN(view[1].size, (size_t)(room - copied - take)));
        copy(host, dst + copied, view->data + shown->offset, take);
        copied += take;
        shown->offset += take;
        if (shown->offset == view->size) {
            shown->next++;
            shown->offset = 0;
        }
    }
    shown->taken += copied;
    return copied;
}

/* Hand over one slot of what is shown, or its end alone. */
static void copy_slot(struct mr_app_host *host, struct mr_app_ring *ring,
                      struct mr_app_object *object, struct shown *shown)
{
    struct mr_cqe cqe = mr_app_about(host, object, MR_CQE_DATA);

    cqe.value = object->told_to;
    if (shown->next < shown->count) {
        cqe.address = next_slot(ring);
        cqe.size =
            copy_shown(host, shown, ring->region.base + cqe.address, ring->region.sizes.slot_size);
        take_slot(ring, object);
    }
    object->told_to += cqe.size;
    object->is_fin_told = shown->has_fin && shown->next == shown->count;
    cqe.flags = object->is_fin_told ? MR_CQE_FIN : 0;
    mr_count_add(&host->stats.bytes_copied, cqe.size);
    mr_count_add(&ring->stats.bytes_copied, cqe.size);
    mr_count_add(&ring->stats.bytes_received, cqe.size);
    mr_app_complete(host, ring, &cqe);
}

/* Look once at what the transport has, and hand it over in as many slots as it takes.  False: the
 * completion queue is full. */
static bool copy_some(struct mr_app_host *host, struct mr_app_ring *ring,
                      struct mr_app_object *object)
{
    const struct mr_transport_ops *ops = host->transport->ops;
    struct shown shown = {.count = 0};
    bool has_room = true;
    int64_t count =
        ops->receive(host->transport, object->handle, shown.views, MR_APP_GATHER, &shown.has_fin);

    object->is_readable = count > 0 || (count == 0 && shown.has_fin);
    if (!object->is_readable)
        return true;
    shown.count = (size_t)count;
    if (count > 0)
        fetch(ring->region.base + next_slot(ring), shown.views[0].size);
    do {
        copy_slot(host, ring, object, &shown);
        if (shown.next == shown.count)
            break;
        has_room = mr_app_has_room(ring);
    } while (has_room && may_take_slot(host, ring, object));
    ops->release(host->transport, object->handle, shown.taken); /* of an end alone, too: it is seen
                                                                 */
    object->released_to = object->told_to;
    object->is_readable = !object->is_fin_told;
    return has_room;
}

/* False: the completion queue is full.  Where slots are missing, the stream stands in line for one,
 * and nothing else has to wait: what is told next may be what frees them. */
static bool copy_data(struct mr_app_host *host, struct mr_app_ring *ring,
                      struct mr_app_object *object)
{
    while (object->is_readable && may_take_slot(host, ring, object)) {
        if (!mr_app_has_room(ring) || !copy_some(host, ring, object))
            return false;
    }
    return true;
}

/* ------------------------------------------------------------------ by reference */

static void tell_view(struct mr_app_host *host, struct mr_app_ring *ring,
                      struct mr_app_object *object, struct mr_view view)
{
    struct mr_cqe cqe = mr_app_about(host, object, MR_CQE_DATA);

    MR_ASSERT(view.size <= UINT32_MAX);
    cqe.address = (uintptr_t)view.data;
    cqe.size = (uint32_t)view.size;
    cqe.value = object->told_to;
    cqe.flags = object->is_fin_told ? MR_CQE_FIN : 0;
    object->told_to += view.size;
    mr_count_add(&ring->stats.bytes_received, view.size);
    mr_app_complete(host, ring, &cqe);
}

/* The transport shows what is not released, from the begin: what was told of is skipped.  False:
 * no room. */
static bool show_data(struct mr_app_host *host, struct mr_app_ring *ring,
                      struct mr_app_object *object)
{
    struct mr_view views[MR_APP_VIEWS];
    bool fin = false;
    const struct mr_transport_ops *ops = host->transport->ops;
    int64_t count = ops->receive(host->transport, object->handle, views, MR_APP_VIEWS, &fin);
    uint64_t skip = object->told_to - object->released_to;

    for (int64_t i = 0; i < count; i++) {
        if (views[i].size <= skip) {
            skip -= views[i].size;
            continue;
        }
        if (!mr_app_has_room(ring))
            return false;
        object->is_fin_told = fin && i == count - 1;
        tell_view(host, ring, object,
                  (struct mr_view){views[i].data + skip, views[i].size - (size_t)skip});
        skip = 0;
    }
    if (count >= 0 && fin && !object->is_fin_told) {
        if (!mr_app_has_room(ring))
            return false;
        object->is_fin_told = true;
        tell_view(host, ring, object, (struct mr_view){NULL, 0});
        if (object->told_to == object->released_to)
            ops->release(host->transport, object->handle, 0);
    }
    object->is_readable = false; /* more is shown when some is released */
    return true;
}

/* ------------------------------------------------------------------ datagrams */

/* One that no slot can hold: taken, and dropped. */
static void drop_datagram(struct mr_app_host *host, const struct mr_app_object *conn)
{
    host->transport->ops->receive_datagram(host->transport, conn->handle, host->scratch,
                                           sizeof(host->scratch));
    mr_count_add(&host->stats.datagrams_dropped, 1);
}

/* False: no room. */
static bool tell_datagrams(struct mr_app_host *host, struct mr_app_ring *ring,
                           struct mr_app_object *conn)
{
    while (conn->is_readable && may_take_slot(host, ring, conn)) {
        uint64_t slot = next_slot(ring);

        if (!mr_app_has_room(ring))
            return false;
        int64_t size = host->transport->ops->receive_datagram(
            host->transport, conn->handle, ring->region.base + slot, ring->region.sizes.slot_size);
        if (size == -ENOBUFS) {
            drop_datagram(host, conn);
            continue;
        }
        conn->is_readable = size >= 0;
        if (size < 0)
            break;
        struct mr_cqe cqe = mr_app_about(host, conn, MR_CQE_DATAGRAM);
        cqe.address = address_of(ring, slot);
        cqe.size = (uint32_t)size;
        take_slot(ring, conn);
        mr_count_add(&ring->stats.bytes_received, cqe.size);
        mr_app_complete(host, ring, &cqe);
    }
    return true;
}

/* ------------------------------------------------------------------ reasons */

void mr_app_keep_reason(struct mr_app_host *host, struct mr_app_object *conn, const char *reason)
{
    struct mr_app_ring *ring = &host->rings[conn->ring];
    size_t size = strnlen(reason, MR_MIN(ring->region.sizes.slot_size, REASON_MAX));

    if ((ring->region.sizes.flags & MR_RING_REASONS) == 0 || size == 0 || ring->free_count == 0)
        return;
    uint8_t *to = ring->region.base + next_slot(ring);
    for (size_t i = 0; i < size; i++) /* a peer's words: nothing that moves a terminal */
        to[i] = (uint8_t)((uint8_t)reason[i] < 0x20 || reason[i] == 0x7f ? '?' : reason[i]);
    if (size < MR_MIN(ring->region.sizes.slot_size, REASON_MAX))
        to[size] = '\0';
    conn->reason = ring->free_slots[ring->free_count - 1] + 1;
    take_slot(ring, conn);
}

void mr_app_tell_reason(struct mr_app_ring *ring, struct mr_app_object *conn, struct mr_cqe *cqe)
{
    if (conn->reason == 0)
        return;
    uint64_t at = slot_at(ring, conn->reason - 1);
    cqe->flags |= MR_CQE_REASON;
    cqe->address = address_of(ring, at);
    cqe->size = (uint32_t)strnlen((const char *)ring->region.base + at,
                                  MR_MIN(ring->region.sizes.slot_size, REASON_MAX));
    conn->reason = 0;
}

bool mr_app_receive_end(struct mr_app_host *host, struct mr_app_ring *ring,
                        struct mr_app_object *object)
{
    if (!object->is_fin_due)
        return true;
    if (!mr_app_has_room(ring))
        return false;
    object->is_fin_due = false;
    object->is_fin_told = true;
    tell_view(host, ring, object, (struct mr_view){NULL, 0});
    return true;
}

bool mr_app_receive(struct mr_app_host *host, struct mr_app_ring *ring,
                    struct mr_app_object *object)
{
    if (!object->is_readable)
        return true;
    if (!object->is_stream)
        return host->transport->ops->receive_datagram == NULL || tell_datagrams(host, ring, object);
    return ring->is_by_reference ? show_data(host, ring, object) : copy_data(host, ring, object);
}

/* ------------------------------------------------------------------ RELEASE */

int mr_app_release_slot(struct mr_app_host *host, struct mr_app_ring *ring, uint64_t address)
{
    uint64_t offset = address - address_of(ring, ring->region.receive_at);
    uint64_t slot = offset / ring->region.sizes.slot_size;

    if (address < address_of(ring, ring->region.receive_at) ||
        slot >= ring->region.sizes.slot_count || ring->slots[slot].object == MR_NONE)
        return -EINVAL;
    struct mr_app_object *object = mr_app_object_at(host, ring->slots[slot].object);
    bool is_current = object->generation == ring->slots[slot].generation;

    ring->slots[slot].object = MR_NONE;
    ring->free_slots[ring->free_count++] = (uint32_t)slot;
    ring->hoards_since = 0;
    if (is_current) {
        object->held--;
        if (object->is_readable)
            mr_app_object_mark(host, object, 0);
    }
    object = mr_app_list_pop(host, ring, MR_APP_HUNGRY);
    if (object != NULL)
        mr_app_object_mark(host, object, 0);
    return 0;
}

/* The end has come behind what was told: once that is released, the transport takes it for
 * consumed, and the stream may be over before it can be told. */
static bool has_end_behind(struct mr_app_host *host, const struct mr_app_object *object)
{
    struct mr_view views[MR_APP_VIEWS];
    bool fin = false;
    int64_t count =
        host->transport->ops->receive(host->transport, object->handle, views, MR_APP_VIEWS, &fin);

    return count >= 0 && fin &&
           mr_views_size(views, (size_t)count) == object->told_to - object->released_to;
}

int mr_app_release_bytes(struct mr_app_host *host, struct mr_app_object *object, uint32_t size)
{
    if (object->is_stopped)
        return 0; /* the transport took all of it back */
    if (size > object->told_to - object->released_to)
        return -EINVAL;
    bool is_end = !object->is_fin_told && !object->is_fin_due &&
                  size == object->told_to - object->released_to && has_end_behind(host, object);
    int answer = host->transport->ops->release(host->transport, object->handle, size);
    if (answer != 0)
        return answer;
    object->released_to += size;
    object->is_fin_due |= is_end;
    object->is_readable = !object->is_fin_told && !object->is_fin_due;
    if (object->is_readable || object->is_fin_due)
        mr_app_object_mark(host, object, 0);
    return 0;
}
