/* dataplane/app_object.c - objects of attached applications: made, found, marked, given, freed. */
#include "dataplane/app_internal.h"
#include "dataplane/app_send.h"

#define GENERATION_MASK UINT32_C(0x7fffffff) /* a handle's highest bit says alias */
#define KIN             offsetof(struct mr_app_object, kin)
#define LIST(which)     (offsetof(struct mr_app_object, lists) + (which) * sizeof(struct mr_app_link))

/* The chain in which the object stands among its like. */
static struct mr_app_chain *kindred_of(struct mr_app_host *host, const struct mr_app_object *object)
{
    struct mr_app_ring *ring = &host->rings[object->ring];

    if (object->is_stream)
        return &mr_app_object_at(host, object->conn)->kindred;
    return object->is_buried ? &ring->buried : &ring->conns;
}

struct mr_app_object *mr_app_object_new(struct mr_app_host *host, struct mr_app_ring *ring,
                                        mr_handle handle, struct mr_app_object *conn)
{
    bool is_first_use = host->objects.free_head == MR_NONE;
    uint32_t index =
        ring->objects < ring->config.objects_max ? mr_pool_get(&host->objects) : MR_NONE;
    if (index == MR_NONE)
        return NULL;

    struct mr_app_object *object = mr_app_object_at(host, index);
    uint32_t generation = is_first_use ? 1 : (object->generation + 1) & GENERATION_MASK;
    *object = (struct mr_app_object){.handle = handle,
                                     .index = index,
                                     .generation = generation,
                                     .ring = ring->index,
                                     .conn = conn == NULL ? MR_NONE : conn->index,
                                     .listener = MR_NONE,
                                     .kindred = MR_APP_CHAIN_EMPTY,
                                     .sends = MR_APP_CHAIN_EMPTY,
                                     .waiting = MR_APP_CHAIN_EMPTY,
                                     .is_stream = conn != NULL};
    if (handle != MR_HANDLE_NONE &&
        mr_table8_insert(&host->by_handle, handle, index) != MR_TABLE_ADDED) {
        object->generation = (generation + 1) & GENERATION_MASK;
        mr_pool_put(&host->objects, index);
        return NULL;
    }
    ring->objects++;
    if (conn != NULL)
        conn->streams++;
    else
        ring->conn_count++;
    mr_app_chain_push(kindred_of(host, object), &host->objects, KIN, index);
    return object;
}

static void leave_lists(struct mr_app_host *host, struct mr_app_object *object)
{
    for (uint32_t which = 0; which < MR_APP_LISTS; which++)
        mr_app_list_drop(host, object, (enum mr_app_list)which);
}

/* Its ring's, and its user's, part of the connections is not used up. */
bool mr_app_may_open_conn(const struct mr_app_host *host, const struct mr_app_ring *ring)
{
    const struct mr_app_host_config *most = &host->config;
    uint32_t opened = 0, connecting = 0;

    if (most->connects_max != 0 && ring->opened >= most->connects_max)
        return false;
    if (ring->config.user == 0)
        return true;
    for (uint64_t left = host->active; left != 0; left &= left - 1) {
        const struct mr_app_ring *other = &host->rings[__builtin_ctzll(left)];

        if (other->config.user != ring->config.user)
            continue;
        opened += other->opened;
        connecting += other->connecting;
    }
    return (most->user_connects_max == 0 || opened < most->user_connects_max) &&
           (most->user_handshakes_max == 0 || connecting < most->user_handshakes_max);
}

/* A connection more (1) or less (-1). */
static void count_conn(struct mr_app_ring *ring, const struct mr_app_object *conn, int32_t change)
{
    ring->conn_count += (uint32_t)change;
    if (conn->listener == MR_NONE)
        ring->opened += (uint32_t)change;
    if (conn->is_connecting)
        ring->connecting += (uint32_t)change;
}

/* Its handshake goes on, or is over. */
void mr_app_set_connecting(struct mr_app_host *host, struct mr_app_object *conn, bool is_on)
{
    struct mr_app_ring *ring = &host->rings[conn->ring];

    ring->connecting += (uint32_t)is_on - (uint32_t)conn->is_connecting;
    conn->is_connecting = is_on;
}

static void free_alias(struct mr_app_host *host, struct mr_app_object *object)
{
    if (object->alias != 0)
        host->rings[object->ring].aliases[object->alias - 1] = MR_NONE;
    object->alias = 0;
}

void mr_app_object_free(struct mr_app_host *host, struct mr_app_object *object)
{
    struct mr_app_ring *ring = &host->rings[object->ring];

    MR_ASSERT(object->streams == 0);
    leave_lists(host, object);
    free_alias(host, object);
    mr_app_send_drop(host, object);
    if (object->handle != MR_HANDLE_NONE)
        mr_table8_remove(&host->by_handle, object->handle);
    mr_app_chain_remove(kindred_of(host, object), &host->objects, KIN, object->index);
    if (object->is_stream)
        mr_app_object_at(host, object->conn)->streams--;
    else
        count_conn(ring, object, -1);
    ring->objects--;
    object->generation = (object->generation + 1) & GENERATION_MASK;
    mr_pool_put(&host->objects, object->index);
}

struct mr_app_object *mr_app_object_of(const struct mr_app_host *host, mr_handle handle)
{
    uint32_t index = mr_table8_find(&host->by_handle, handle);

    return index == MR_NONE ? NULL : mr_app_object_at(host, index);
}

static struct mr_app_object *find_alias(const struct mr_app_host *host,
                                        const struct mr_app_ring *ring, uint64_t number)
{
    if (number >= ring->region.sizes.alias_count || ring->aliases[number] == MR_NONE)
        return NULL;
    return mr_app_object_at(host, ring->aliases[number]);
}

struct mr_app_object *mr_app_object_find(const struct mr_app_host *host,
                                         const struct mr_app_ring *ring, uint64_t handle)
{
    uint32_t index = (uint32_t)handle;

    if ((handle & MR_RING_ALIAS) != 0)
        return find_alias(host, ring, handle & ~MR_RING_ALIAS);
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
    object->kinds |= kinds;
    if (!mr_app_is_frozen(host, object))
        mr_app_list_push(host, object, MR_APP_NEWS);
}

/* ------------------------------------------------------------------ another ring's */

/* How an object begins for who inherits it.  What came of a connection may be a copy still: that
 * its handshake is complete is news only to who was told of EARLY. */
static uint32_t first_news(struct mr_app_host *host, struct mr_app_object *object)
{
    struct mr_conn_info info;

    if (object->is_stream)
        return MR_EVENT_STREAM_OPENED;
    bool is_early = host->transport->ops->conn_info(host->transport, object->handle, &info) == 0 &&
                    info.is_early && !info.is_client;
    if (!is_early && (object->kinds & MR_EVENT_EARLY) == 0)
        object->kinds &= ~(uint32_t)MR_EVENT_CONFIRMED;
    return MR_EVENT_CONNECTED | (is_early ? (uint32_t)MR_EVENT_EARLY : 0);
}

/* To its new application it is new. */
static void renew(struct mr_app_host *host, struct mr_app_object *object, struct mr_app_ring *heir)
{
    bool wants_retry = object->is_listed[MR_APP_RETRY];

    leave_lists(host, object);
    free_alias(host, object);
    host->rings[object->ring].objects--;
    heir->objects++;
    object->ring = heir->index;
    object->user_data = 0;
    if ((object->lasting & MR_EVENT_RESET) != 0) /* nobody is shown it again */
        (void)host->transport->ops->release(host->transport, object->handle,
                                            (size_t)(object->told_to - object->released_to));
    object->told_to = object->released_to;
    object->held = 0;
    object->reason = 0; /* it lies in the old one's */
    object->is_inherited = true;
    object->is_readable = true;
    object->is_fin_told = object->is_fin_due = false;
    object->is_refusing = false;
    object->is_accept_due = false;
    object->stays = 0;
    object->kinds &= ~(uint32_t)MR_EVENT_MOVED_IN;
    mr_app_object_mark(host, object, object->lasting | first_news(host, object));
    if (wants_retry)
        mr_app_list_push(host, object, MR_APP_RETRY);
}

void mr_app_object_give(struct mr_app_host *host, struct mr_app_object *conn,
                        struct mr_app_ring *heir)
{
    struct mr_app_ring *old = &host->rings[conn->ring];

    mr_app_chain_remove(&old->conns, &host->objects, KIN, conn->index);
    mr_app_chain_push(&heir->conns, &host->objects, KIN, conn->index);
    count_conn(old, conn, -1);
    count_conn(heir, conn, 1);
    renew(host, conn, heir);
    for (uint32_t i = conn->kindred.head; i != MR_NONE; i = mr_app_object_at(host, i)->kin.next)
        renew(host, mr_app_object_at(host, i), heir);
}

void mr_app_object_bury(struct mr_app_host *host, struct mr_app_object *conn)
{
    struct mr_app_ring *ring = &host->rings[conn->ring];

    mr_app_chain_remove(&ring->conns, &host->objects, KIN, conn->index);
    conn->is_buried = true;
    mr_app_chain_push(&ring->buried, &host->objects, KIN, conn->index);
}

/* ------------------------------------------------------------------ lists */

void mr_app_list_push(struct mr_app_host *host, struct mr_app_object *object,
                      enum mr_app_list which)
{
    if (object->is_listed[which])
        return;
    object->is_listed[which] = true;
    mr_app_chain_push(&host->rings[object->ring].lists[which], &host->objects, LIST(which),
                      object->index);
}

struct mr_app_object *mr_app_list_pop(struct mr_app_host *host, struct mr_app_ring *ring,
                                      enum mr_app_list which)
{
    if (ring->lists[which].head == MR_NONE)
        return NULL;
    struct mr_app_object *object = mr_app_object_at(host, ring->lists[which].head);

    mr_app_chain_remove(&ring->lists[which], &host->objects, LIST(which), object->index);
    object->is_listed[which] = false;
    return object;
}

void mr_app_list_drop(struct mr_app_host *host, struct mr_app_object *object,
                      enum mr_app_list which)
{
    if (!object->is_listed[which])
        return;
    mr_app_chain_remove(&host->rings[object->ring].lists[which], &host->objects, LIST(which),
                        object->index);
    object->is_listed[which] = false;
}
