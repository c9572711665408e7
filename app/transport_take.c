/*
 * app/transport_take.c - see transport_internal.h: completions change objects.
 *
 * An event names its object by the datapath's handle.  One that is not known is new: the peer's
 * stream, or an accepted connection.  Data of a stream may come before its MR_EVENT_STREAM_OPENED;
 * the application is told of neither before that.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "app/transport_internal.h"
#include "app/transport_move.h"
#include "app/transport_path.h"
#include "app/transport_receive.h"
#include "app/transport_send.h"

#define KNOWN_KINDS                                                                                \
    (MR_EVENT_CONNECTED | MR_EVENT_CLOSED | MR_EVENT_STREAM_OPENED | MR_EVENT_READABLE |           \
     MR_EVENT_SENT | MR_EVENT_ACKED | MR_EVENT_WRITABLE | MR_EVENT_RESET | MR_EVENT_STOPPED |      \
     MR_EVENT_STREAMS_ALLOWED | MR_EVENT_TICKET | MR_EVENT_GO_AWAY | MR_EVENT_DATAGRAM |           \
     MR_EVENT_EARLY | MR_EVENT_CONFIRMED | MR_EVENT_PATH_CHANGED | MR_EVENT_PATH_FAILED |          \
     MR_EVENT_PATHS_CHANGED)

static const char refused[] = "the datapath refused it";
static const char gone[] = "the datapath is gone";

/* ------------------------------------------------------------------ fetching */

/* Ask for something about a connection, written into `room` bytes of the send area.  False: no
 * memory now. */
static bool fetch(struct mr_ring_transport *t, struct mr_rt_object *conn, uint8_t op, uint32_t room)
{
    struct mr_rt_ring *ring = mr_rt_ring_of(t, conn);
    void *block = mr_ring_alloc(ring->ring, room);
    struct mr_rt_record *record = block == NULL ? NULL : mr_rt_record_new(t, conn, op, block);

    if (record == NULL) {
        mr_ring_free(ring->ring, block);
        return false;
    }
    record->size = room;
    mr_rt_submit(t, ring,
                 &(struct mr_sqe){.op = op,
                                  .user_data = mr_rt_record_word(t, record),
                                  .handle = conn->wire,
                                  .value = op == MR_OP_PATH ? MR_PATH_CALL_LIST : 0,
                                  .address = mr_ring_offset(ring->ring, block),
                                  .size = room});
    return true;
}

void mr_rt_fetch(struct mr_ring_transport *t, struct mr_rt_object *conn)
{
    struct mr_rt_conn *c = mr_rt_conn_of(t, conn);

    if (conn->is_moving)
        return; /* when it is there */
    if (c->wants_info && !c->is_info_out &&
        fetch(t, conn, MR_OP_INFO, sizeof(struct mr_ring_info))) {
        c->wants_info = false;
        c->is_info_out = true;
    }
    if (c->wants_ticket && !c->is_ticket_out && fetch(t, conn, MR_OP_TICKET, MR_RT_TICKET_ROOM)) {
        c->wants_ticket = false;
        c->is_ticket_out = true;
    }
    if (c->wants_paths && !c->is_paths_out &&
        fetch(t, conn, MR_OP_PATH, MR_PATHS_LIST_MAX * sizeof(struct mr_ring_path))) {
        c->wants_paths = false;
        c->is_paths_out = true;
    }
    if ((c->wants_info && !c->is_info_out) || (c->wants_ticket && !c->is_ticket_out) ||
        (c->wants_paths && !c->is_paths_out))
        mr_rt_push(t, &mr_rt_ring_of(t, conn)->lists[MR_RT_WANTS], MR_RT_WANTS, conn);
}

void mr_rt_want_info(struct mr_ring_transport *t, struct mr_rt_object *conn)
{
    mr_rt_conn_of(t, conn)->wants_info = true;
    mr_rt_fetch(t, conn);
}

void mr_rt_want_ticket(struct mr_ring_transport *t, struct mr_rt_object *conn)
{
    mr_rt_conn_of(t, conn)->wants_ticket = true;
    mr_rt_fetch(t, conn);
}

void mr_rt_want_paths(struct mr_ring_transport *t, struct mr_rt_object *conn)
{
    mr_rt_conn_of(t, conn)->wants_paths = true;
    mr_rt_fetch(t, conn);
}

void mr_rt_fetch_wanted(struct mr_ring_transport *t, struct mr_rt_ring *ring)
{
    struct mr_rt_queue *queue = &ring->lists[MR_RT_WANTS];
    uint32_t last = queue->head == MR_NONE ? MR_NONE : queue->tail;
    uint32_t index = MR_NONE;

    while (queue->head != MR_NONE && index != last) {
        struct mr_rt_object *conn = mr_rt_pop(t, queue, MR_RT_WANTS);

        index = conn->index;
        if (!conn->is_over)
            mr_rt_fetch(t, conn);
    }
}

static void info_done(struct mr_ring_transport *t, struct mr_rt_object *conn,
                      const struct mr_rt_record *record, int32_t result)
{
    struct mr_rt_conn *c = mr_rt_conn_of(t, conn);

    c->is_info_out = false;
    if (result >= 0) {
        memcpy(&c->info, record->block, sizeof(c->info));
        c->info.alpn[sizeof(c->info.alpn) - 1] = '\0';
        c->info.server_name[sizeof(c->info.server_name) - 1] = '\0';
        c->info.limited_by[sizeof(c->info.limited_by) - 1] = '\0';
    }
    c->has_info = true; /* as much as there will be */
    mr_rt_mark(t, conn, c->has_new_path ? MR_EVENT_PATH_CHANGED : 0);
    c->has_new_path = false;
    mr_rt_fetch(t, conn);
}

/* True: it is another one than before. */
static bool keep_ticket(struct mr_rt_conn *c, const uint8_t *bytes, uint32_t size)
{
    if (size == c->ticket_size && memcmp(bytes, c->ticket, size) == 0)
        return false;
    if (size <= MR_TICKET_HEAD_SIZE && c->ticket_size > size) { /* the rest is as it was */
        memcpy(c->ticket, bytes, size);
        return true;
    }
    uint8_t *copy = malloc(size);
    if (copy == NULL)
        return false;
    memcpy(copy, bytes, size);
    free(c->ticket);
    c->ticket = copy;
    c->ticket_size = size;
    return true;
}

static void ticket_done(struct mr_ring_transport *t, struct mr_rt_object *conn,
                        const struct mr_rt_record *record, int32_t result)
{
    struct mr_rt_conn *c = mr_rt_conn_of(t, conn);

    c->is_ticket_out = false;
    if (result > 0 && result <= MR_RT_TICKET_ROOM &&
        keep_ticket(c, record->block, (uint32_t)result))
        mr_rt_mark(t, conn, MR_EVENT_TICKET);
    mr_rt_fetch(t, conn);
}

/* ------------------------------------------------------------------ made, or not */

static void connect_done(struct mr_ring_transport *t, struct mr_rt_object *conn,
                         const struct mr_cqe *cqe)
{
    if (cqe->result == 0 && mr_rt_set_name(t, conn, cqe->conn))
        return;
    t->stats.refused++;
    mr_rt_end(t, conn, MR_RING_ERROR_REFUSED, refused);
}

void mr_rt_submit_open(struct mr_ring_transport *t, struct mr_rt_object *object)
{
    struct mr_rt_object *conn = mr_rt_parent(t, object);
    struct mr_rt_conn *c = mr_rt_conn_of(t, conn);
    bool is_uni = !object->stream.can_receive;
    struct mr_sqe sqe = {.user_data = mr_rt_handle(object), .alias = object->alias};

    object->stream.id = c->opened[is_uni]++ << 2 | (is_uni ? 2u : 0u) | (c->is_client ? 0u : 1u);
    mr_sqe_open(&sqe, conn->wire, is_uni ? MR_OPEN_UNI : MR_OPEN_BIDI);
    mr_rt_submit(t, mr_rt_ring_of(t, object), &sqe);
}

bool mr_rt_probe(struct mr_ring_transport *t, struct mr_rt_object *conn, bool is_uni)
{
    struct mr_rt_conn *c = mr_rt_conn_of(t, conn);

    if (c->is_probing[is_uni] || !c->is_told || c->is_closing || conn->is_moving)
        return true; /* its answer, CONNECTED, its new ring or the end comes */
    struct mr_rt_object *object = mr_rt_stream_new(t, conn, true);
    if (object == NULL)
        return false;
    c->is_probing[is_uni] = true;
    object->is_hidden = true;
    object->stream.can_receive = !is_uni;
    mr_rt_submit_open(t, object);
    return true;
}

/* One less was opened: those behind it have the numbers before theirs. */
static void shift_ids(struct mr_ring_transport *t, const struct mr_rt_object *object)
{
    struct mr_rt_conn *c = mr_rt_conn_of(t, mr_rt_parent(t, object));
    uint64_t id = object->stream.id;

    for (uint32_t i = c->first; i != MR_NONE; i = mr_rt_at(t, i)->stream.next) {
        struct mr_rt_stream *s = &mr_rt_at(t, i)->stream;

        if (s->is_ours && (s->id & 3) == (id & 3) && s->id > id)
            s->id -= 4;
    }
    c->opened[(id & 2) != 0]--;
}

/* The answer to a stream that was opened to find out whether that is allowed. */
static void probe_done(struct mr_ring_transport *t, struct mr_rt_object *object, bool is_open,
                       int32_t result)
{
    struct mr_rt_object *conn = mr_rt_parent(t, object);
    struct mr_rt_conn *c = mr_rt_conn_of(t, conn);
    bool is_uni = (object->stream.id & 2) != 0;

    c->is_probing[is_uni] = false;
    if (is_open) {
        c->spare[is_uni] = object->index;
        c->limit[is_uni] = MR_MAX(c->limit[is_uni], c->opened[is_uni]);
    } else {
        mr_rt_object_free(t, object);
    }
    bool must_wait = !is_open && result == -EAGAIN && c->opened[is_uni] >= c->limit[is_uni];
    if (!c->wants_streams[is_uni] || must_wait)
        return; /* the datapath says when */
    c->wants_streams[is_uni] = false;
    mr_rt_mark(t, conn, MR_EVENT_STREAMS_ALLOWED);
}

static void open_done(struct mr_ring_transport *t, struct mr_rt_object *object,
                      const struct mr_cqe *cqe)
{
    bool is_open = cqe->result == 0 && mr_rt_set_name(t, object, cqe->stream);

    if (!is_open)
        shift_ids(t, object);
    if (object->is_hidden) {
        probe_done(t, object, is_open, cqe->result);
        return;
    }
    if (is_open)
        return;
    t->stats.refused++;
    mr_rt_end(t, object, MR_RING_ERROR_REFUSED, refused);
}

/* ------------------------------------------------------------------ DONE */

static void record_done(struct mr_ring_transport *t, const struct mr_cqe *cqe)
{
    struct mr_rt_record *record = mr_rt_record_find(t, cqe->user_data, cqe->op);
    struct mr_rt_object *object = record == NULL ? NULL : mr_rt_find(t, record->object);

    if (record == NULL)
        return;
    if (cqe->op == MR_OP_SEND) { /* its stream's, which frees it when it is acknowledged */
        if (cqe->result < 0)
            mr_rt_send_failed(t, record, cqe->result);
        return;
    }
    if (object != NULL && !object->is_over) {
        if (cqe->op == MR_OP_CONNECT)
            connect_done(t, object, cqe);
        else if (cqe->op == MR_OP_INFO)
            info_done(t, object, record, cqe->result);
        else if (cqe->op == MR_OP_TICKET)
            ticket_done(t, object, record, cqe->result);
        else if (cqe->op == MR_OP_DATAGRAM)
            mr_rt_datagram_done(t, object, cqe->result);
        else if (cqe->op == MR_OP_MOVE_ACK)
            mr_rt_conn_of(t, object)->has_left = cqe->result == 0;
        else if (cqe->op == MR_OP_MIGRATE && cqe->result < 0)
            mr_rt_mark(t, object, MR_EVENT_PATH_FAILED);
        else if (cqe->op == MR_OP_PATH)
            mr_rt_path_done(t, object, record, cqe);
    }
    mr_rt_record_free(t, record);
}

static void take_done(struct mr_ring_transport *t, const struct mr_cqe *cqe)
{
    struct mr_rt_object *object;

    switch (cqe->op) {
    case MR_OP_OPEN:
        object = mr_rt_find(t, cqe->user_data);
        if (object != NULL && !object->is_over && object->is_stream && object->stream.is_ours &&
            object->name == 0)
            open_done(t, object, cqe);
        return;
    case MR_OP_LISTEN:
        t->stats.listens++;
        t->stats.listens_refused += cqe->result != 0;
        return;
    case MR_OP_CONNECT:
    case MR_OP_SEND:
    case MR_OP_CLOSE:
    case MR_OP_INFO:
    case MR_OP_TICKET:
    case MR_OP_DATAGRAM:
    case MR_OP_MOVE_ACK:
    case MR_OP_MIGRATE:
    case MR_OP_PATH:
        record_done(t, cqe);
        return;
    default: /* RESET, RESET_AT, STOP, RELEASE of what was over already */
        return;
    }
}

/* ------------------------------------------------------------------ whose is it */

static struct mr_rt_object *accept_conn(struct mr_ring_transport *t, struct mr_rt_ring *ring,
                                        const struct mr_cqe *cqe)
{
    struct mr_rt_object *conn = mr_rt_conn_new(t, (uint32_t)(ring - t->rings), false);

    if (conn != NULL && mr_rt_set_name(t, conn, cqe->conn)) {
        mr_rt_conn_of(t, conn)->listener = (uint32_t)cqe->value;
        return conn;
    }
    if (conn != NULL)
        mr_rt_object_free(t, conn);
    struct mr_sqe sqe = {.flags = MR_SQE_QUIET};
    mr_sqe_close(&sqe, cqe->conn, 0);
    mr_rt_submit(t, ring, &sqe);
    return NULL;
}

static struct mr_rt_object *accept_stream(struct mr_ring_transport *t, struct mr_rt_ring *ring,
                                          const struct mr_cqe *cqe)
{
    struct mr_rt_object *conn = mr_rt_by_name(t, ring, cqe->conn);

    if (conn == NULL || conn->is_stream || conn->is_over)
        return NULL;
    struct mr_rt_object *object = mr_rt_stream_new(t, conn, false);
    if (object != NULL && mr_rt_set_name(t, object, cqe->stream))
        return object;
    if (object != NULL)
        mr_rt_object_free(t, object);
    struct mr_sqe sqe = {.flags = MR_SQE_QUIET};
    mr_sqe_stop(&sqe, cqe->stream, 0);
    mr_rt_submit(t, ring, &sqe);
    sqe.op = MR_OP_RESET;
    mr_rt_submit(t, ring, &sqe);
    return NULL;
}

static struct mr_rt_object *stream_of(struct mr_ring_transport *t, struct mr_rt_ring *ring,
                                      const struct mr_cqe *cqe)
{
    struct mr_rt_object *object = mr_rt_by_name(t, ring, cqe->stream);

    if (object != NULL)
        return object->is_stream ? object : NULL;
    bool is_new = cqe->type == MR_CQE_DATA || (cqe->kinds & MR_EVENT_STREAM_OPENED) != 0;
    return is_new && cqe->stream != 0 ? accept_stream(t, ring, cqe) : NULL;
}

static struct mr_rt_object *conn_of(struct mr_ring_transport *t, struct mr_rt_ring *ring,
                                    const struct mr_cqe *cqe)
{
    struct mr_rt_object *object = mr_rt_by_name(t, ring, cqe->conn);

    if (object != NULL)
        return object->is_stream ? NULL : object;
    bool is_new = cqe->type == MR_CQE_EVENT &&
                  (cqe->kinds & (MR_EVENT_CONNECTED | MR_EVENT_MOVED)) == MR_EVENT_CONNECTED;
    return is_new && cqe->conn != 0 ? accept_conn(t, ring, cqe) : NULL; /* none begins by leaving */
}

/* ------------------------------------------------------------------ EVENT */

void mr_rt_look_for_streams(struct mr_ring_transport *t, struct mr_rt_object *conn)
{
    struct mr_rt_conn *c = mr_rt_conn_of(t, conn);
    bool is_more = false;

    for (int kind = 0; kind < 2; kind++) {
        if (!c->wants_streams[kind] || c->is_probing[kind])
            continue; /* nobody asks, or the answer is on its way */
        if (c->opened[kind] >= c->limit[kind] && mr_rt_probe(t, conn, kind == 1))
            continue; /* it was about the others: ask again */
        c->wants_streams[kind] = false;
        is_more = true;
    }
    if (is_more)
        mr_rt_mark(t, conn, MR_EVENT_STREAMS_ALLOWED);
}

static void take_limits(struct mr_ring_transport *t, struct mr_rt_object *conn,
                        const struct mr_cqe *cqe)
{
    struct mr_rt_conn *c = mr_rt_conn_of(t, conn);

    c->limit[0] = MR_MAX(c->limit[0], cqe->address);
    c->limit[1] = MR_MAX(c->limit[1], (uint64_t)cqe->size);
    mr_rt_look_for_streams(t, conn);
}

static void take_end(struct mr_rt_object *object, const struct mr_cqe *cqe)
{
    object->error = cqe->value;
    object->is_application = (cqe->flags & MR_CQE_APPLICATION) != 0;
    object->is_remote = (cqe->flags & MR_CQE_REMOTE) != 0;
    object->reason = object->is_remote ? "closed by the peer" : "closed";
}

/* Of a connection, as far as it was told: out of the slot, which is given back. */
static void take_reason(struct mr_ring_transport *t, struct mr_rt_object *conn,
                        const struct mr_cqe *cqe)
{
    struct mr_rt_conn *c = mr_rt_conn_of(t, conn);
    struct mr_rt_ring *ring = mr_rt_ring_of(t, conn);

    if ((cqe->flags & MR_CQE_REASON) == 0)
        return;
    snprintf(c->reason, sizeof(c->reason), "%.*s", (int)MR_MIN(cqe->size, MR_RT_REASON_MAX),
             (const char *)mr_ring_data(ring->ring, cqe));
    if (c->reason[0] != '\0')
        conn->reason = c->reason;
    mr_rt_give_back(t, ring, cqe);
}

static void take_conn_event(struct mr_ring_transport *t, struct mr_rt_object *conn,
                            const struct mr_cqe *cqe)
{
    struct mr_rt_conn *c = mr_rt_conn_of(t, conn);
    uint32_t kinds = cqe->kinds & KNOWN_KINDS;

    if ((kinds & (MR_EVENT_CONNECTED | MR_EVENT_EARLY | MR_EVENT_STREAMS_ALLOWED)) != 0 &&
        (kinds & MR_EVENT_CLOSED) == 0)
        take_limits(t, conn, cqe);
    if ((kinds & MR_EVENT_CONNECTED) != 0 && (kinds & MR_EVENT_CLOSED) == 0)
        mr_rt_want_info(t, conn);
    if ((kinds & MR_EVENT_CONFIRMED) != 0)
        c->info.is_client &= (uint8_t)~2u; /* no longer early */
    if ((kinds & MR_EVENT_TICKET) != 0)
        mr_rt_want_ticket(t, conn);
    if ((kinds & MR_EVENT_PATH_CHANGED) != 0) {
        c->has_new_path = true;
        mr_rt_want_info(t, conn);
    }
    if ((kinds & MR_EVENT_PATHS_CHANGED) != 0) {
        c->has_new_paths = true;
        mr_rt_want_paths(t, conn);
    }
    if ((kinds & MR_EVENT_WRITABLE) != 0) {
        c->is_datagram_held = false;
        if (!c->was_datagram_refused)
            kinds &= ~(uint32_t)MR_EVENT_WRITABLE;
        c->was_datagram_refused = false;
    }
    /* these come from here */
    kinds &= ~(uint32_t)(MR_EVENT_TICKET | MR_EVENT_STREAMS_ALLOWED | MR_EVENT_DATAGRAM |
                         MR_EVENT_PATH_CHANGED | MR_EVENT_PATHS_CHANGED);
    if ((kinds & MR_EVENT_CLOSED) != 0) {
        take_end(conn, cqe);
        take_reason(t, conn, cqe);
        c->has_info = true; /* it will not come any more */
        mr_rt_mark(t, conn, kinds);
        mr_rt_end(t, conn, conn->error, conn->reason);
        return;
    }
    mr_rt_mark(t, conn, kinds);
}

static void take_stream_event(struct mr_ring_transport *t, struct mr_rt_object *object,
                              const struct mr_cqe *cqe)
{
    struct mr_rt_stream *s = &object->stream;
    uint32_t kinds = cqe->kinds & KNOWN_KINDS;

    if (s->id != UINT64_MAX) /* it opens once */
        kinds &= ~(uint32_t)MR_EVENT_STREAM_OPENED;
    if ((kinds & MR_EVENT_STREAM_OPENED) != 0) {
        s->id = cqe->value;
        s->can_send = (s->id & 2) == 0;
        if ((cqe->flags & MR_CQE_INHERITED) != 0) /* what another application sent */
            s->queued_to = s->submitted_to = cqe->address;
    }
    if ((kinds & (MR_EVENT_CLOSED | MR_EVENT_RESET | MR_EVENT_STOPPED)) != 0 &&
        (kinds & MR_EVENT_STREAM_OPENED) == 0)
        take_end(object, cqe);
    mr_rt_acked(t, object, cqe->acked_to);
    if ((kinds & MR_EVENT_SENT) != 0 && s->notify_to > s->submitted_to)
        kinds &= ~(uint32_t)MR_EVENT_SENT; /* of an earlier part */
    if ((kinds & MR_EVENT_STOPPED) != 0)
        mr_rt_send_over(t, object);
    s->is_reliable |= (cqe->flags & MR_CQE_RELIABLE) != 0;
    if ((kinds & MR_EVENT_RESET) != 0 && s->is_reliable && s->released_to != s->received_to) {
        s->is_reset_due = true; /* what is here was guaranteed */
        kinds &= ~(uint32_t)MR_EVENT_RESET;
    }
    if ((kinds & MR_EVENT_RESET) != 0) {
        s->is_reset = true;
        mr_rt_receive_over(t, object);
    }
    /* data speak for themselves, room is known here */
    kinds &= ~(uint32_t)(MR_EVENT_READABLE | MR_EVENT_WRITABLE);
    mr_rt_mark(t, object, kinds);
}

static void take_event(struct mr_ring_transport *t, struct mr_rt_ring *ring,
                       const struct mr_cqe *cqe)
{
    struct mr_rt_object *object;

    if (cqe->conn == 0) {
        if ((cqe->kinds & MR_EVENT_GO_AWAY) != 0 && !t->is_going_away)
            mr_rt_add_event(t, &(struct mr_event){.kinds = MR_EVENT_GO_AWAY, .reason = ""});
        t->is_going_away |= (cqe->kinds & MR_EVENT_GO_AWAY) != 0;
        return;
    }
    if ((cqe->kinds & MR_EVENT_MOVED_IN) != 0) {
        mr_rt_moved_in(t, ring, cqe);
        return;
    }
    object = cqe->stream == 0 ? conn_of(t, ring, cqe) : stream_of(t, ring, cqe);
    if (object == NULL || object->is_over) {
        if ((cqe->flags & MR_CQE_REASON) != 0)
            mr_rt_give_back(t, ring, cqe);
        return;
    }
    if ((cqe->kinds & MR_EVENT_MOVED) != 0 && !object->is_stream) {
        mr_rt_moved(t, object, cqe);
        return;
    }
    if (object->is_stream)
        take_stream_event(t, object, cqe);
    else
        take_conn_event(t, object, cqe);
}

/* ------------------------------------------------------------------ all */

static void take_data(struct mr_ring_transport *t, struct mr_rt_ring *ring,
                      const struct mr_cqe *cqe)
{
    bool is_data = cqe->type == MR_CQE_DATA;
    struct mr_rt_object *object = is_data ? stream_of(t, ring, cqe) : conn_of(t, ring, cqe);

    if (object == NULL)
        mr_rt_give_back(t, ring, cqe);
    else if (is_data)
        mr_rt_data(t, object, cqe);
    else
        mr_rt_datagram(t, object, cqe);
}

static void take_one(struct mr_ring_transport *t, struct mr_rt_ring *ring, const struct mr_cqe *cqe)
{
    switch (cqe->type) {
    case MR_CQE_DONE:
        take_done(t, cqe);
        return;
    case MR_CQE_EVENT:
        take_event(t, ring, cqe);
        return;
    case MR_CQE_DATA:
    case MR_CQE_DATAGRAM:
        take_data(t, ring, cqe);
        return;
    default:
        mr_rt_ring_gone(t, ring);
        return;
    }
}

uint32_t mr_rt_take(struct mr_ring_transport *t, struct mr_rt_ring *ring)
{
    uint32_t taken = 0;
    const struct mr_cqe *cqe;

    while (taken < MR_RT_CQES_PER_POLL && !ring->is_gone &&
           (cqe = mr_ring_peek(ring->ring)) != NULL && !mr_rt_is_early(t, ring, cqe)) {
        struct mr_cqe copy = *cqe;

        mr_ring_advance(ring->ring);
        take_one(t, ring, &copy);
        taken++;
    }
    t->stats.completions += taken;
    if (!ring->is_gone && mr_ring_is_gone(ring->ring) && !mr_ring_has_completions(ring->ring))
        mr_rt_ring_gone(t, ring);
    return taken;
}

void mr_rt_ring_gone(struct mr_ring_transport *t, struct mr_rt_ring *ring)
{
    if (ring->is_gone)
        return;
    ring->is_gone = true;
    ring->late_count = 0;
    for (uint32_t i = 0; i < t->objects.fresh; i++) {
        struct mr_rt_object *object = mr_rt_at(t, i);

        if (!object->is_used || object->is_stream || object->is_over ||
            &t->rings[object->ring] != ring)
            continue;
        mr_rt_conn_of(t, object)->has_info = true;
        mr_rt_end(t, object, MR_RING_ERROR_GONE, gone);
    }
}
