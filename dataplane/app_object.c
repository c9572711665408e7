/* dataplane/app_object.c - objects of attached applications: made, found, marked, freed. */
#include "dataplane/app_internal.h"

struct mr_app_object *mr_app_object_new(struct mr_app_host *host, struct mr_app_ring *ring,
                                        mr_handle handle, struct mr_app_object *conn)
{
    bool is_first_use = host->objects.free_head == MR_NONE;
    uint32_t index = mr_pool_get(&host->objects);
    if (index == MR_NONE)
        return NULL;

    struct mr_app_object *object = mr_app_object_at(host, index);
    uint32_t generation = is_first_use ? 1 : object->generation + 1;
    *object = (struct mr_app_object){.handle = handle,
                                     .index = index,
                                     .generation = generation,
                                     .ring = ring->index,
                                     .conn = conn == NULL ? MR_NONE : conn->index,
                                     .dirty_next = MR_NONE,
                                     .send_head = MR_NONE,
                                     .send_tail = MR_NONE,
                                     .is_stream = conn != NULL};
    if (mr_table8_insert(&host->by_handle, handle, index) != MR_TABLE_ADDED) {
        object->generation++;
        mr_pool_put(&host->objects, index);
        return NULL;
    }
    ring->objects++;
    if (conn != NULL)
        conn->streams++;
    return object;
}

static void free_sends(struct mr_app_host *host, struct mr_app_object *object)
{
    while (object->send_head != MR_NONE) {
        const struct mr_app_send *send = mr_pool_at(&host->sends, object->send_head);
        uint32_t next = send->next;

        mr_pool_put(&host->sends, object->send_head);
        object->send_head = next;
    }
}

static void take_out_of_line(struct mr_app_host *host, struct mr_app_object *object);

void mr_app_object_free(struct mr_app_host *host, struct mr_app_object *object)
{
    MR_ASSERT(!object->is_dirty);
    if (object->is_hungry)
        take_out_of_line(host, object);
    free_sends(host, object);
    mr_table8_remove(&host->by_handle, object->handle);
    if (object->conn != MR_NONE)
        mr_app_object_at(host, object->conn)->streams--;
    host->rings[object->ring].objects--;
    object->generation++;
    mr_pool_put(&host->objects, object->index);
}

struct mr_app_object *mr_app_object_of(const struct mr_app_host *host, mr_handle handle)
{
    uint32_t index = mr_table8_find(&host->by_handle, handle);

    return index == MR_NONE ? NULL : mr_app_object_at(host, index);
}

struct mr_app_object *mr_app_object_find(const struct mr_app_host *host,
                                         const struct mr_app_ring *ring, uint64_t handle)
{
    uint32_t index = (uint32_t)handle;

    if (index >= host->objects.fresh)
        return NULL;
    struct mr_app_object *object = mr_app_object_at(host, index);
    if ((object->generation & 1) == 0 || object->generation != (uint32_t)(handle >> 32) ||
        object->ring != ring->index)
        return NULL;
    return object;
}

void mr_app_object_mark(struct mr_app_host *host, struct mr_app_object *object, uint32_t kinds)
{
    struct mr_app_ring *ring = &host->rings[object->ring];

    object->kinds |= kinds;
    if (object->is_dirty)
        return;
    object->is_dirty = true;
    object->dirty_next = MR_NONE;
    if (ring->dirty_head == MR_NONE)
        ring->dirty_head = object->index;
    else
        mr_app_object_at(host, ring->dirty_tail)->dirty_next = object->index;
    ring->dirty_tail = object->index;
}

void mr_app_object_starve(struct mr_app_host *host, struct mr_app_object *object)
{
    struct mr_app_ring *ring = &host->rings[object->ring];

    if (object->is_hungry)
        return;
    object->is_hungry = true;
    object->hungry_next = MR_NONE;
    if (ring->hungry_head == MR_NONE)
        ring->hungry_head = object->index;
    else
        mr_app_object_at(host, ring->hungry_tail)->hungry_next = object->index;
    ring->hungry_tail = object->index;
}

static void take_out_of_line(struct mr_app_host *host, struct mr_app_object *object)
{
    struct mr_app_ring *ring = &host->rings[object->ring];
    uint32_t previous = MR_NONE;
    uint32_t i = ring->hungry_head;

    while (i != object->index) {
        previous = i;
        i = mr_app_object_at(host, i)->hungry_next;
    }
    if (previous == MR_NONE)
        ring->hungry_head = object->hungry_next;
    else
        mr_app_object_at(host, previous)->hungry_next = object->hungry_next;
    if (ring->hungry_tail == object->index)
        ring->hungry_tail = previous;
    object->is_hungry = false;
}

void mr_app_feed(struct mr_app_host *host, struct mr_app_ring *ring)
{
    if (ring->hungry_head == MR_NONE)
        return;
    struct mr_app_object *object = mr_app_object_at(host, ring->hungry_head);

    take_out_of_line(host, object);
    mr_app_object_mark(host, object, 0);
}
