/* app/transport_object.c - see transport_internal.h: objects, records, submissions. */
#include <errno.h>
#include <stdlib.h>

#include "app/transport_internal.h"
#include "app/transport_receive.h"
#include "app/transport_send.h"

/* ------------------------------------------------------------------ queues */

static uint32_t *next_of(const struct mr_pool *pool, uint32_t index)
{
    return mr_pool_at(pool, index);
}

void mr_rt_queue_push(const struct mr_pool *pool, struct mr_rt_queue *queue, uint32_t index)
{
    *next_of(pool, index) = MR_NONE;
    if (queue->head == MR_NONE)
        queue->head = index;
    else
        *next_of(pool, queue->tail) = index;
    queue->tail = index;
}

uint32_t mr_rt_queue_pop(const struct mr_pool *pool, struct mr_rt_queue *queue)
{
    uint32_t index = queue->head;

    if (index != MR_NONE)
        queue->head = *next_of(pool, index);
    return index;
}

void mr_rt_push(struct mr_ring_transport *t, struct mr_rt_queue *queue, enum mr_rt_list which,
                struct mr_rt_object *object)
{
    if (object->is_listed[which])
        return;
    object->is_listed[which] = true;
    object->next[which] = MR_NONE;
    if (queue->head == MR_NONE)
        queue->head = object->index;
    else
        mr_rt_at(t, queue->tail)->next[which] = object->index;
    queue->tail = object->index;
}

struct mr_rt_object *mr_rt_pop(struct mr_ring_transport *t, struct mr_rt_queue *queue,
                               enum mr_rt_list which)
{
    if (queue->head == MR_NONE)
        return NULL;
    struct mr_rt_object *object = mr_rt_at(t, queue->head);

    queue->head = object->next[which];
    object->is_listed[which] = false;
    return object;
}

/* Out of the middle: the others go round once, in the same order. */
void mr_rt_unlist(struct mr_ring_transport *t, struct mr_rt_queue *queue, enum mr_rt_list which,
                  struct mr_rt_object *object)
{
    if (!object->is_listed[which])
        return;
    uint32_t last = queue->tail;
    for (;;) {
        struct mr_rt_object *other = mr_rt_pop(t, queue, which);
        uint32_t index = other->index;

        if (other != object)
            mr_rt_push(t, queue, which, other);
        if (index == last)
            return;
    }
}

/* ------------------------------------------------------------------ objects */

struct mr_rt_object *mr_rt_find(const struct mr_ring_transport *t, mr_handle handle)
{
    uint32_t index = (uint32_t)handle - 1;

    if (index >= t->objects.fresh)
        return NULL;
    struct mr_rt_object *object = mr_rt_at(t, index);
    bool is_it = object->is_used && object->generation == (uint32_t)(handle >> 32);
    return is_it ? object : NULL;
}

struct mr_rt_object *mr_rt_by_name(const struct mr_ring_transport *t, const struct mr_rt_ring *ring,
                                   uint64_t name)
{
    uint32_t index = name == 0 ? MR_NONE : mr_table8_find(&ring->by_name, name);

    return index == MR_NONE ? NULL : mr_rt_at(t, index);
}

static struct mr_rt_object *object_new(struct mr_ring_transport *t, uint32_t ring_index,
                                       bool with_alias)
{
    struct mr_rt_ring *ring = &t->rings[ring_index];

    if (with_alias && ring->alias_free == 0)
        return NULL;
    uint32_t index = mr_pool_get(&t->objects);
    if (index == MR_NONE)
        return NULL;
    struct mr_rt_object *object = mr_rt_at(t, index);
    *object = (struct mr_rt_object){.index = index,
                                    .generation = object->generation + 1,
                                    .is_used = true,
                                    .ring = (uint8_t)ring_index,
                                    .reason = ""};
    if (with_alias) {
        object->alias = ring->aliases[--ring->alias_free] + 1;
        object->wire = MR_RING_ALIAS | (object->alias - 1);
    }
    return object;
}

static void object_put(struct mr_ring_transport *t, struct mr_rt_object *object)
{
    struct mr_rt_ring *ring = mr_rt_ring_of(t, object);

    if (object->alias != 0)
        ring->aliases[ring->alias_free++] = object->alias - 1;
    if (object->name != 0)
        mr_table8_remove(&ring->by_name, object->name);
    object->is_used = false;
    mr_pool_put(&t->objects, object->index);
}

struct mr_rt_object *mr_rt_conn_new(struct mr_ring_transport *t, uint32_t ring, bool with_alias)
{
    struct mr_rt_object *object = object_new(t, ring, with_alias);

    if (object == NULL)
        return NULL;
    object->conn_data = mr_pool_get(&t->conns);
    if (object->conn_data == MR_NONE) {
        object_put(t, object);
        return NULL;
    }
    *mr_rt_conn_of(t, object) = (struct mr_rt_conn){.first = MR_NONE,
                                                    .spare = {MR_NONE, MR_NONE},
                                                    .is_client = with_alias,
                                                    .path_answer = -ENOENT,
                                                    .datagrams = {.head = MR_NONE}};
    return object;
}

struct mr_rt_object *mr_rt_stream_new(struct mr_ring_transport *t, struct mr_rt_object *conn,
                                      bool with_alias)
{
    struct mr_rt_conn *c = mr_rt_conn_of(t, conn);
    struct mr_rt_object *object = object_new(t, conn->ring, with_alias);

    if (object == NULL)
        return NULL;
    object->is_stream = true;
    object->stream = (struct mr_rt_stream){.conn = conn->index,
                                           .prev = MR_NONE,
                                           .next = c->first,
                                           .id = UINT64_MAX,
                                           .is_ours = with_alias,
                                           .can_send = true,
                                           .can_receive = true,
                                           .segments = {.head = MR_NONE},
                                           .records = {.head = MR_NONE},
                                           .pieces = {.head = MR_NONE}};
    if (c->first != MR_NONE)
        mr_rt_at(t, c->first)->stream.prev = object->index;
    c->first = object->index;
    c->streams++;
    return object;
}

bool mr_rt_set_name(struct mr_ring_transport *t, struct mr_rt_object *object, uint64_t name)
{
    struct mr_rt_ring *ring = mr_rt_ring_of(t, object);

    if (name == 0 || object->name != 0 ||
        mr_table8_insert(&ring->by_name, name, object->index) != MR_TABLE_ADDED)
        return false;
    object->name = object->wire = name;
    return true;
}

static void leave_conn(struct mr_ring_transport *t, struct mr_rt_object *object)
{
    struct mr_rt_object *conn = mr_rt_parent(t, object);
    struct mr_rt_conn *c = mr_rt_conn_of(t, conn);
    const struct mr_rt_stream *s = &object->stream;

    if (s->prev == MR_NONE)
        c->first = s->next;
    else
        mr_rt_at(t, s->prev)->stream.next = s->next;
    if (s->next != MR_NONE)
        mr_rt_at(t, s->next)->stream.prev = s->prev;
    for (int kind = 0; kind < 2; kind++)
        if (c->spare[kind] == object->index)
            c->spare[kind] = MR_NONE;
    if (--c->streams == 0 && (conn->kinds & MR_EVENT_CLOSED) != 0)
        mr_rt_mark(t, conn, 0); /* its turn */
}

void mr_rt_object_free(struct mr_ring_transport *t, struct mr_rt_object *object)
{
    struct mr_rt_ring *ring = mr_rt_ring_of(t, object);

    mr_rt_unlist(t, &t->news, MR_RT_NEWS, object);
    mr_rt_unlist(t, &t->over, MR_RT_OVER, object);
    mr_rt_unlist(t, &t->leaving, MR_RT_LEAVE, object);
    mr_rt_unlist(t, &ring->lists[MR_RT_PUMP], MR_RT_PUMP, object);
    mr_rt_unlist(t, &ring->lists[MR_RT_WANTS], MR_RT_WANTS, object);
    mr_rt_receive_drop(t, object);
    if (object->is_stream) {
        mr_rt_send_drop(t, object);
        leave_conn(t, object);
    } else {
        MR_ASSERT(mr_rt_conn_of(t, object)->streams == 0);
        free(mr_rt_conn_of(t, object)->ticket);
        mr_rt_conn_of(t, object)->ticket = NULL;
        free(mr_rt_conn_of(t, object)->paths);
        mr_rt_conn_of(t, object)->paths = NULL;
        mr_pool_put(&t->conns, object->conn_data);
    }
    object_put(t, object);
}

void mr_rt_mark(struct mr_ring_transport *t, struct mr_rt_object *object, uint32_t kinds)
{
    object->kinds |= kinds;
    if (!object->is_over)
        mr_rt_push(t, &t->news, MR_RT_NEWS, object);
}

static void end_one(struct mr_ring_transport *t, struct mr_rt_object *object, uint64_t error,
                    const char *reason)
{
    object->is_forced = true;
    if ((object->kinds & MR_EVENT_CLOSED) == 0) {
        object->error = error;
        object->reason = reason;
    }
    mr_rt_mark(t, object, MR_EVENT_CLOSED);
}

void mr_rt_end(struct mr_ring_transport *t, struct mr_rt_object *object, uint64_t error,
               const char *reason)
{
    if (!object->is_stream)
        for (uint32_t i = mr_rt_conn_of(t, object)->first; i != MR_NONE;
             i = mr_rt_at(t, i)->stream.next)
            if (!mr_rt_at(t, i)->is_over)
                end_one(t, mr_rt_at(t, i), error, reason);
    end_one(t, object, error, reason);
}

/* ------------------------------------------------------------------ records */

struct mr_rt_record *mr_rt_record_new(struct mr_ring_transport *t, struct mr_rt_object *object,
                                      uint8_t op, void *block)
{
    uint32_t index = mr_pool_get(&t->records);

    if (index == MR_NONE)
        return NULL;
    struct mr_rt_record *record = mr_pool_at(&t->records, index);
    *record = (struct mr_rt_record){.generation = record->generation + 1,
                                    .next = MR_NONE,
                                    .op = op,
                                    .ring = object->ring,
                                    .answered_at = object->ring,
                                    .is_used = true,
                                    .object = mr_rt_handle(object),
                                    .block = block};
    if (op == MR_OP_SEND)
        t->rings[object->ring].sends_out++;
    return record;
}

struct mr_rt_record *mr_rt_record_find(const struct mr_ring_transport *t, uint64_t user_data,
                                       uint8_t op)
{
    if ((uint32_t)user_data >= t->records.fresh)
        return NULL;
    struct mr_rt_record *record = mr_pool_at(&t->records, (uint32_t)user_data);
    bool is_it =
        record->is_used && record->op == op && record->generation == (uint32_t)(user_data >> 32);
    return is_it ? record : NULL;
}

void mr_rt_record_free(struct mr_ring_transport *t, struct mr_rt_record *record)
{
    if (record->op == MR_OP_SEND)
        t->rings[record->answered_at].sends_out--;
    mr_ring_free(t->rings[record->ring].ring, record->block);
    record->is_used = false;
    mr_pool_put(&t->records, mr_pool_index(&t->records, record));
}

/* ------------------------------------------------------------------ submissions */

struct mr_sqe *mr_rt_sqe(struct mr_rt_ring *ring)
{
    return ring->late_count > 0 || ring->is_gone ? NULL : mr_ring_sqe(ring->ring);
}

/* Twice the room for late submissions.  False: no memory. */
static bool grow_late(struct mr_rt_ring *ring)
{
    uint32_t room = ring->late_room == 0 ? 64 : 2 * ring->late_room;
    struct mr_sqe *late = malloc(room * sizeof(*late));

    if (late == NULL)
        return false;
    for (uint32_t i = 0; i < ring->late_count; i++)
        late[i] = ring->late[(ring->late_begin + i) & (ring->late_room - 1)];
    free(ring->late);
    ring->late = late;
    ring->late_begin = 0;
    ring->late_room = room;
    return true;
}

void mr_rt_submit(struct mr_ring_transport *t, struct mr_rt_ring *ring, const struct mr_sqe *sqe)
{
    struct mr_sqe *place = mr_rt_sqe(ring);

    if (place != NULL) {
        *place = *sqe;
        return;
    }
    if (ring->is_gone)
        return;
    t->stats.submissions_late++;
    if (ring->late_count == ring->late_room && !grow_late(ring)) {
        mr_rt_ring_gone(t, ring); /* a submission that is lost leaves nothing that could go on */
        return;
    }
    ring->late[(ring->late_begin + ring->late_count++) & (ring->late_room - 1)] = *sqe;
}

void mr_rt_submit_late(struct mr_rt_ring *ring)
{
    struct mr_sqe *place;

    while (ring->late_count > 0 && (place = mr_ring_sqe(ring->ring)) != NULL) {
        *place = ring->late[ring->late_begin];
        ring->late_begin = (ring->late_begin + 1) & (ring->late_room - 1);
        ring->late_count--;
    }
}
