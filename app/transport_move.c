/*
 * app/transport_move.c - see transport_internal.h: connections that change their ring
 * (millrace/ring_layout.h, Moves).
 *
 *     MOVED --> leaving --ready?--> MOVE_ACK: it and its streams are `is_moving`
 *                                      what is submitted about them is held, data to send is queued
 *     MOVED_IN of the connection, of each stream: name and ring are the new ones; it goes on
 *     MOVED, < 0: they are the old ones; it goes on
 *
 * The application keeps its handles, and notices nothing but an event.  A ring's MOVED_IN is taken
 * when everything that the old ring had about the connection was taken, its MOVE_ACK's answer being
 * the last.
 */
#include <stdlib.h>

#include "app/transport_internal.h"
#include "app/transport_move.h"
#include "app/transport_send.h"

/* ------------------------------------------------------------------ submissions meanwhile */

/* False: no memory. */
static bool hold(struct mr_ring_transport *t, const struct mr_rt_held *held)
{
    if (t->held_count == t->held_room) {
        uint32_t room = t->held_room == 0 ? 16 : 2 * t->held_room;
        struct mr_rt_held *all = realloc(t->held, room * sizeof(*all));

        if (all == NULL)
            return false;
        t->held = all;
        t->held_room = room;
    }
    t->held[t->held_count++] = *held;
    return true;
}

static void submit_named(struct mr_ring_transport *t, const struct mr_rt_object *object,
                         const struct mr_sqe *sqe)
{
    struct mr_sqe named = *sqe;

    named.handle = object->wire;
    mr_rt_submit(t, &t->rings[object->ring], &named);
}

static void submit_close(struct mr_ring_transport *t, const struct mr_rt_object *conn,
                         uint64_t code, const char *reason, size_t size)
{
    struct mr_rt_ring *ring = &t->rings[conn->ring];
    struct mr_sqe sqe = {.flags = MR_SQE_QUIET};
    void *block = size == 0 ? NULL : mr_ring_alloc(ring->ring, size);
    struct mr_rt_record *record =
        block == NULL ? NULL : mr_rt_record_new(t, mr_rt_at(t, conn->index), MR_OP_CLOSE, block);

    mr_sqe_close(&sqe, conn->wire, code);
    if (record != NULL) {
        memcpy(block, reason, size);
        sqe.flags = 0; /* the answer frees it */
        sqe.address = mr_ring_offset(ring->ring, block);
        sqe.size = (uint32_t)size;
        sqe.user_data = mr_rt_record_word(t, record);
    } else {
        mr_ring_free(ring->ring, block); /* without a reason, then */
    }
    mr_rt_submit(t, ring, &sqe);
}

/* A submission that is lost leaves nothing that could go on. */
static void hold_or_fail(struct mr_ring_transport *t, const struct mr_rt_object *object,
                         const struct mr_rt_held *held)
{
    if (!hold(t, held))
        mr_rt_ring_gone(t, &t->rings[object->ring]);
}

void mr_rt_submit_about(struct mr_ring_transport *t, const struct mr_rt_object *object,
                        const struct mr_sqe *sqe)
{
    if (object->is_moving)
        hold_or_fail(t, object, &(struct mr_rt_held){.object = mr_rt_handle(object), .sqe = *sqe});
    else
        submit_named(t, object, sqe);
}

void mr_rt_submit_close(struct mr_ring_transport *t, const struct mr_rt_object *conn, uint64_t code,
                        const char *reason, size_t size)
{
    struct mr_rt_held held = {.object = mr_rt_handle(conn), .reason_size = (uint32_t)size};

    if (!conn->is_moving) {
        submit_close(t, conn, code, reason, size);
        return;
    }
    mr_sqe_close(&held.sqe, 0, code);
    if (size > 0)
        memcpy(held.reason, reason, size);
    hold_or_fail(t, conn, &held);
}

/* Submit what was held about the object, in order; forget what was held about those that are gone.
 */
static void submit_held(struct mr_ring_transport *t, const struct mr_rt_object *object)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < t->held_count; i++) {
        const struct mr_rt_held *held = &t->held[i];

        if (mr_rt_find(t, held->object) == NULL)
            continue;
        if (held->object != mr_rt_handle(object))
            t->held[kept++] = *held;
        else if (held->sqe.op == MR_OP_CLOSE)
            submit_close(t, object, held->sqe.value, held->reason, held->reason_size);
        else
            submit_named(t, object, &held->sqe);
    }
    t->held_count = kept;
}

/* ------------------------------------------------------------------ leaving */

/* By reference what was shown must be given back to the ring that it came from. */
static bool holds_pieces(const struct mr_ring_transport *t, const struct mr_rt_object *stream)
{
    return mr_ring_is_by_reference(t->rings[stream->ring].ring) &&
           stream->stream.pieces.head != MR_NONE;
}

/* Nothing is left that only the old ring can take. */
static bool is_ready(const struct mr_ring_transport *t, const struct mr_rt_object *conn)
{
    for (uint32_t i = mr_rt_conn_of(t, conn)->first; i != MR_NONE; i = mr_rt_at(t, i)->stream.next)
        if (holds_pieces(t, mr_rt_at(t, i)) || mr_rt_has_refused(t, mr_rt_at(t, i)))
            return false;
    return true;
}

/* Those whose end was told by the datapath stay where they were: it knows them no more. */
static void set_moving(struct mr_ring_transport *t, struct mr_rt_object *conn)
{
    conn->is_moving = true;
    for (uint32_t i = mr_rt_conn_of(t, conn)->first; i != MR_NONE; i = mr_rt_at(t, i)->stream.next)
        mr_rt_at(t, i)->is_moving = (mr_rt_at(t, i)->kinds & MR_EVENT_CLOSED) == 0;
}

/* Say MOVE_ACK, if it can be said.  False: later. */
static bool leave(struct mr_ring_transport *t, struct mr_rt_object *conn)
{
    const struct mr_rt_conn *c = mr_rt_conn_of(t, conn);
    struct mr_rt_record *record =
        is_ready(t, conn) ? mr_rt_record_new(t, conn, MR_OP_MOVE_ACK, NULL) : NULL;

    if (record == NULL)
        return false;
    mr_rt_submit(t, mr_rt_ring_of(t, conn),
                 &(struct mr_sqe){.op = MR_OP_MOVE_ACK,
                                  .user_data = mr_rt_record_word(t, record),
                                  .handle = conn->name,
                                  .value = c->move});
    set_moving(t, conn);
    return true;
}

void mr_rt_leave_ready(struct mr_ring_transport *t)
{
    uint32_t last = t->leaving.head == MR_NONE ? MR_NONE : t->leaving.tail;
    uint32_t index = MR_NONE;

    while (t->leaving.head != MR_NONE && index != last) {
        struct mr_rt_object *conn = mr_rt_pop(t, &t->leaving, MR_RT_LEAVE);

        index = conn->index;
        if (!conn->is_over && !leave(t, conn))
            mr_rt_push(t, &t->leaving, MR_RT_LEAVE, conn);
    }
}

/* ------------------------------------------------------------------ going on */

static void go_on_stream(struct mr_ring_transport *t, struct mr_rt_object *object)
{
    object->is_moving = false;
    submit_held(t, object);
    if (object->stream.segments.head != MR_NONE)
        mr_rt_push(t, &mr_rt_ring_of(t, object)->lists[MR_RT_PUMP], MR_RT_PUMP, object);
}

static void go_on_conn(struct mr_ring_transport *t, struct mr_rt_object *conn)
{
    struct mr_rt_conn *c = mr_rt_conn_of(t, conn);

    conn->is_moving = c->has_left = false;
    submit_held(t, conn);
    mr_rt_fetch(t, conn);
    mr_rt_look_for_streams(t, conn);
    if (c->was_datagram_refused && !c->is_datagram_held) {
        c->was_datagram_refused = false;
        mr_rt_mark(t, conn, MR_EVENT_WRITABLE);
    }
}

void mr_rt_moved(struct mr_ring_transport *t, struct mr_rt_object *conn, const struct mr_cqe *cqe)
{
    if (cqe->result == 0) {
        mr_rt_conn_of(t, conn)->move = cqe->value;
        mr_rt_push(t, &t->leaving, MR_RT_LEAVE, conn);
        return;
    }
    mr_rt_unlist(t, &t->leaving, MR_RT_LEAVE, conn);
    if (!conn->is_moving)
        return;
    for (uint32_t i = mr_rt_conn_of(t, conn)->first; i != MR_NONE; i = mr_rt_at(t, i)->stream.next)
        if (mr_rt_at(t, i)->is_moving)
            go_on_stream(t, mr_rt_at(t, i));
    go_on_conn(t, conn);
}

/* ------------------------------------------------------------------ arriving */

/* The ring of a shard; NULL: there is none. */
static struct mr_rt_ring *ring_of_shard(const struct mr_ring_transport *t, uint64_t shard)
{
    for (uint32_t i = 0; i < t->ring_count; i++)
        if (mr_ring_shard(t->rings[i].ring) == shard)
            return (struct mr_rt_ring *)(uintptr_t)&t->rings[i];
    return NULL;
}

/* What it was called in its old ring, if it moves to `ring`; NULL: it is none of ours, or would
 * come from where it goes to. */
static struct mr_rt_object *find_moving(const struct mr_ring_transport *t,
                                        const struct mr_rt_ring *ring, const struct mr_cqe *cqe)
{
    const struct mr_rt_ring *from = ring_of_shard(t, cqe->address);
    struct mr_rt_object *object =
        from == NULL || from == ring ? NULL : mr_rt_by_name(t, from, cqe->value);

    return object == NULL || !object->is_moving || object->is_stream != (cqe->stream != 0) ? NULL
                                                                                           : object;
}

bool mr_rt_is_early(const struct mr_ring_transport *t, const struct mr_rt_ring *ring,
                    const struct mr_cqe *cqe)
{
    if (cqe->type != MR_CQE_EVENT || (cqe->kinds & MR_EVENT_MOVED_IN) == 0 || cqe->stream != 0)
        return false;
    const struct mr_rt_object *conn = find_moving(t, ring, cqe);
    return conn != NULL && !mr_rt_conn_of(t, conn)->has_left && !t->rings[conn->ring].is_gone;
}

/* Its ring and name from here on.  False: there is no room for the name. */
static bool rebind(struct mr_ring_transport *t, struct mr_rt_object *object,
                   struct mr_rt_ring *ring, uint64_t name)
{
    struct mr_rt_ring *from = mr_rt_ring_of(t, object);

    mr_rt_unlist(t, &from->lists[MR_RT_PUMP], MR_RT_PUMP, object);
    mr_rt_unlist(t, &from->lists[MR_RT_WANTS], MR_RT_WANTS, object);
    if (object->alias != 0)
        from->aliases[from->alias_free++] = object->alias - 1;
    object->alias = 0;
    mr_table8_remove(&from->by_name, object->name);
    object->name = 0;
    object->ring = (uint8_t)(ring - t->rings);
    if (object->is_stream)
        mr_rt_send_moved(t, object, from);
    return mr_rt_set_name(t, object, name);
}

void mr_rt_moved_in(struct mr_ring_transport *t, struct mr_rt_ring *ring, const struct mr_cqe *cqe)
{
    struct mr_rt_object *object = find_moving(t, ring, cqe);

    if (object == NULL)
        return; /* it is over here, or something else than the library answered */
    if (!rebind(t, object, ring, cqe->stream != 0 ? cqe->stream : cqe->conn)) {
        mr_rt_ring_gone(t, ring);
        return;
    }
    if (object->is_stream) {
        go_on_stream(t, object);
        return;
    }
    go_on_conn(t, object);
    if (object->is_over || !mr_rt_conn_of(t, object)->is_told)
        return;
    mr_rt_add_event(t, &(struct mr_event){.kinds = MR_EVENT_MOVED_IN,
                                          .conn = mr_rt_handle(object),
                                          .user_data = object->user_data,
                                          .error = cqe->address,
                                          .result = (int64_t)mr_rt_handle(object),
                                          .reason = ""});
}
