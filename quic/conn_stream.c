/*
 * quic/conn_stream.c - a connection's streams: found, opened, scheduled, ended.
 *
 * A stream is found by (connection, stream ID) in the endpoint's table, the last
 * one found first.  The peer's opening of a stream opens all lower ones of its
 * type (RFC 9000, Section 3.2), so an ID below the count that is not in the table was
 * closed.
 */
#include "quic/conn_sleep.h"

#define STREAM_IS_SERVER 1 /* bits of a stream ID, RFC 9000, Section 2.1 */
#define STREAM_IS_UNI    2

static uint64_t table_key(uint32_t conn, uint64_t id)
{
    MR_DASSERT(id >> 40 == 0);
    return (uint64_t)conn << 40 | id;
}

static bool is_ours(const struct mr_conn *conn, uint64_t id)
{
    return ((id & STREAM_IS_SERVER) != 0) == (conn->role == MR_SERVER);
}

uint32_t mr_stream_key(const struct mr_stream *stream)
{
    return stream->index | stream->generation >> 1 << MR_STREAM_KEY_BITS;
}

struct mr_stream *mr_stream_of_key(const struct mr_endpoint *ep, uint32_t key)
{
    struct mr_stream *stream = mr_stream_place_of_key(ep, key);

    return (stream->generation & 1) != 0 && mr_stream_key(stream) == key ? stream : NULL;
}

/* ------------------------------------------------------------------ life */

static void link_to_conn(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream)
{
    stream->conn_previous = MR_NONE;
    stream->conn_next = conn->stream_head;
    if (conn->stream_head != MR_NONE)
        mr_stream_at(ep, conn->stream_head)->conn_previous = stream->index;
    conn->stream_head = stream->index;
    conn->streams_open++;
}

static void unlink_from_conn(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream)
{
    if (stream->conn_previous == MR_NONE)
        conn->stream_head = stream->conn_next;
    else
        mr_stream_at(ep, stream->conn_previous)->conn_next = stream->conn_next;
    if (stream->conn_next != MR_NONE)
        mr_stream_at(ep, stream->conn_next)->conn_previous = stream->conn_previous;
    conn->streams_open--;
}

static void init_flow(const struct mr_endpoint *ep, const struct mr_conn *conn,
                      struct mr_stream *stream)
{
    bool is_uni = (stream->id & STREAM_IS_UNI) != 0;
    uint64_t window = MR_MIN(ep->config.stream_window_max, MR_STREAM_WINDOW_FIRST);
    uint64_t limit = is_uni                      ? conn->stream_window_uni
                     : is_ours(conn, stream->id) ? conn->stream_window_bidi_remote
                                                 : conn->stream_window_bidi_local;

    mr_flow_recv_init(&stream->flow_recv, window, ep->config.stream_window_max);
    mr_flow_send_init(&stream->flow_send, limit);
}

void mr_stream_init(const struct mr_endpoint *ep, const struct mr_conn *conn, uint64_t id,
                    struct mr_stream *stream)
{
    memset(stream, 0, sizeof(*stream));
    stream->id = id;
    stream->conn = conn->index;
    stream->has_send = (id & STREAM_IS_UNI) == 0 || is_ours(conn, id);
    stream->has_recv = (id & STREAM_IS_UNI) == 0 || !is_ours(conn, id);
    stream->send_state = stream->has_send ? MR_SEND_READY : MR_SEND_DATA_RECVD;
    stream->recv_state = stream->has_recv ? MR_RECV_RECV : MR_RECV_DATA_READ;
    stream->dirty_next = stream->control_next = MR_NONE;
    stream->send_next = stream->send_previous = stream->send_child = MR_NONE;
    stream->conn_next = stream->conn_previous = MR_NONE;
    stream->urgency = MR_URGENCY_DEFAULT;
    stream->is_incremental = true;
    mr_send_queue_init(&stream->send);
    mr_recv_queue_init(&stream->recv);
    init_flow(ep, conn, stream);
}

struct mr_stream *mr_stream_place(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t id)
{
    bool is_fresh = ep->streams.free_head == MR_NONE;
    uint32_t index = mr_pool_get(&ep->streams);
    if (index == MR_NONE)
        return NULL;

    struct mr_stream *stream = mr_stream_at(ep, index);
    uint32_t generation = is_fresh ? 1 : (stream->generation + 1) | 1;
    mr_stream_init(ep, conn, id, stream);
    stream->index = index;
    stream->generation = generation;
    if (mr_table8_insert(&ep->stream_ids, table_key(conn->index, id), index) != MR_TABLE_ADDED) {
        stream->generation++;
        mr_pool_put(&ep->streams, index);
        return NULL;
    }
    link_to_conn(ep, conn, stream);
    return stream;
}

/* A number that leads to it. */
static void give_number(struct mr_endpoint *ep, struct mr_stream *stream)
{
    bool is_fresh = ep->stream_numbers.free_head == MR_NONE;
    uint32_t number = mr_pool_get(&ep->stream_numbers);
    struct mr_number *entry = mr_stream_number_at(ep, number);

    entry->generation = is_fresh ? 1 : (entry->generation + 1) | 1;
    entry->place = stream->index;
    stream->handle = mr_handle_of(number, entry->generation, true);
}

struct mr_stream *mr_stream_new(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t id)
{
    bool has_number = mr_pool_free_count(&ep->stream_numbers) > 0;
    struct mr_stream *stream = has_number ? mr_stream_place(ep, conn, id) : NULL;

    if (stream == NULL) {
        mr_count(&ep->counters.limit_streams);
        mr_sleep_on_taken(ep);
        return NULL;
    }
    give_number(ep, stream);
    return stream;
}

struct mr_stream *mr_stream_adopt(struct mr_endpoint *ep, struct mr_conn *conn,
                                  const struct mr_stream *from)
{
    struct mr_stream *stream = mr_stream_new(ep, conn, from->id);
    if (stream == NULL)
        return NULL;

    struct mr_stream fresh = *stream;
    *stream = *from;
    stream->index = fresh.index;
    stream->generation = fresh.generation;
    stream->conn = fresh.conn;
    stream->conn_next = fresh.conn_next;
    stream->conn_previous = fresh.conn_previous;
    stream->handle = fresh.handle;
    stream->dirty_next = stream->control_next = MR_NONE;
    stream->send_next = stream->send_previous = stream->send_child = MR_NONE;
    stream->is_dirty = stream->is_sendable = stream->is_controlled = false;
    stream->moved_from = from->handle;
    mr_send_queue_init(&stream->send);
    mr_recv_queue_init(&stream->recv);
    return stream;
}

static void remove_from_list(struct mr_endpoint *ep, struct mr_stream_list *list,
                             struct mr_stream *stream)
{
    uint32_t previous = MR_NONE;

    for (uint32_t i = list->head; i != stream->index; i = mr_stream_at(ep, i)->control_next)
        previous = i;
    if (previous == MR_NONE)
        list->head = stream->control_next;
    else
        mr_stream_at(ep, previous)->control_next = stream->control_next;
    if (list->tail == stream->index)
        list->tail = previous;
}

/* A closed stream of the peer's makes room for another. */
static void credit_peer(struct mr_endpoint *ep, struct mr_conn *conn,
                        const struct mr_stream *stream)
{
    bool is_uni = (stream->id & STREAM_IS_UNI) != 0;

    if (is_ours(conn, stream->id) || !mr_conn_is_alive(conn))
        return;
    mr_streams_recv_close(&conn->streams_recv[is_uni]);
    if (mr_streams_recv_is_due(&conn->streams_recv[is_uni]))
        mr_conn_want(ep, conn, &conn->app,
                     is_uni ? MR_WANT_MAX_STREAMS_UNI : MR_WANT_MAX_STREAMS_BIDI);
}

void mr_stream_unplace(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream)
{
    mr_table8_remove(&ep->stream_ids, table_key(conn->index, stream->id));
    if (conn->last_stream == stream->index)
        conn->last_stream = MR_NONE;
    unlink_from_conn(ep, conn, stream);
    stream->generation++; /* even: free */
    mr_pool_put(&ep->streams, stream->index);
}

/* Its handle is stale from here on. */
static void take_number(struct mr_endpoint *ep, const struct mr_stream *stream)
{
    uint32_t number = mr_stream_number_of(stream->handle);

    mr_stream_number_at(ep, number)->generation++;
    mr_pool_put(&ep->stream_numbers, number);
}

void mr_stream_free(struct mr_endpoint *ep, struct mr_stream *stream)
{
    struct mr_conn *conn = mr_conn_at(ep, stream->conn);

    MR_ASSERT(!stream->is_dirty || !mr_conn_is_alive(conn));
    if (stream->is_sendable)
        mr_schedule_remove(&conn->sendable, &ep->streams, stream);
    if (stream->is_controlled)
        remove_from_list(ep, &conn->controlled, stream);
    mr_recv_queue_discard(&stream->recv, &ep->recv_pools, &ep->released);
    mr_conn_consumed(ep, conn, stream->flow_recv.received - stream->flow_recv.consumed);
    mr_send_queue_reset(&stream->send, &ep->send_pools);
    credit_peer(ep, conn, stream);
    take_number(ep, stream);
    mr_stream_unplace(ep, conn, stream);
}

void mr_stream_maybe_done(struct mr_endpoint *ep, struct mr_stream *stream)
{
    if (stream->is_gone || !mr_send_state_is_final(stream->send_state) ||
        !mr_recv_state_is_final(stream->recv_state))
        return;
    stream->is_gone = true;
    mr_stream_event(ep, stream, MR_EVENT_CLOSED);
}

void mr_conn_end_streams(struct mr_endpoint *ep, struct mr_conn *conn)
{
    mr_schedule_init(&conn->sendable);
    conn->controlled = (struct mr_stream_list){.head = MR_NONE, .tail = MR_NONE};
    for (uint32_t i = conn->stream_head; i != MR_NONE; i = mr_stream_at(ep, i)->conn_next) {
        struct mr_stream *stream = mr_stream_at(ep, i);

        stream->is_sendable = stream->is_controlled = false;
        stream->is_gone = true;
        mr_send_queue_reset(&stream->send, &ep->send_pools);
        mr_stream_event(ep, stream, MR_EVENT_CLOSED);
    }
}

void mr_stream_abort_send(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream,
                          uint64_t code)
{
    if (!stream->has_reliable_out &&
        stream->send_state != MR_SEND_RESET_SENT) /* else it was told */
        stream->reset_code = code;
    stream->has_reliable_out = stream->wants_reset_at = false;
    stream->wants_reset = true;
    mr_send_queue_reset(&stream->send, &ep->send_pools);
    mr_stream_control(ep, conn, stream);
}

/* ------------------------------------------------------------------ finding */

static struct mr_stream *look_up(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t id)
{
    if (conn->last_stream != MR_NONE) {
        struct mr_stream *last = mr_stream_at(ep, conn->last_stream);

        if (last->id == id)
            return last;
    }
    uint32_t index = mr_table8_find(&ep->stream_ids, table_key(conn->index, id));
    if (index == MR_NONE)
        return NULL;
    conn->last_stream = index;
    return mr_stream_at(ep, index);
}

void mr_stream_ask_for_next(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    uint64_t id = conn->streams_recv[0].opened << 2 | (conn->role == MR_CLIENT);

    mr_table8_prefetch(&ep->stream_ids,
                       mr_table8_home(&ep->stream_ids, table_key(conn->index, id)));
}

void mr_stream_ask_for_end(const struct mr_endpoint *ep, const struct mr_stream *stream)
{
    uint64_t key = table_key(stream->conn, stream->id);

    if (stream->send.head != MR_NONE)
        MR_PREFETCH_WRITE(mr_pool_at(&ep->segments, stream->send.head));
    mr_table8_prefetch(&ep->stream_ids, mr_table8_home(&ep->stream_ids, key));
    MR_PREFETCH_WRITE(mr_stream_number_at(ep, mr_stream_number_of(stream->handle)));
}

/* The peer opens `id`, and every lower stream of its type that is not open yet. */
MR_COLD static enum mr_stream_found open_by_peer(struct mr_rx *rx, uint64_t id,
                                                 struct mr_stream **out)
{
    struct mr_conn *conn = rx->conn;
    struct mr_streams_recv *streams = &conn->streams_recv[(id & STREAM_IS_UNI) != 0];

    for (uint64_t ordinal = streams->opened; ordinal <= id >> 2; ordinal++) {
        struct mr_stream *stream = mr_stream_new(rx->ep, conn, ordinal << 2 | (id & 3));

        if (stream == NULL) {
            rx->is_refused = true;
            return MR_STREAM_REFUSED;
        }
        streams->opened = ordinal + 1;
        mr_count(&rx->ep->counters.streams_opened);
        mr_stream_event(rx->ep, stream, MR_EVENT_STREAM_OPENED);
        *out = stream;
    }
    conn->last_stream = (*out)->index;
    return MR_STREAM_FOUND;
}

enum mr_stream_found mr_stream_find(struct mr_rx *rx, uint64_t id, bool needs_recv,
                                    uint64_t frame_type, struct mr_stream **out)
{
    struct mr_conn *conn = rx->conn;
    bool is_uni = (id & STREAM_IS_UNI) != 0;
    bool ours = is_ours(conn, id);

    /* RFC 9000, Sections 19.4-19.13: frames of the wrong direction. */
    if (is_uni && ours == needs_recv) {
        mr_conn_fail(rx->ep, conn, MR_STREAM_STATE_ERROR, frame_type,
                     "frame for the wrong direction of a stream", rx->now);
        return MR_STREAM_ERROR;
    }
    if (id >> 2 < (ours ? conn->streams_send[is_uni].opened : conn->streams_recv[is_uni].opened)) {
        *out = look_up(rx->ep, conn, id);
        return *out == NULL || (*out)->is_gone ? MR_STREAM_CLOSED : MR_STREAM_FOUND;
    }
    if (ours) {
        mr_conn_fail(rx->ep, conn, MR_STREAM_STATE_ERROR, frame_type,
                     "frame for a stream that was not opened", rx->now);
        return MR_STREAM_ERROR;
    }
    if (!mr_streams_recv_allows(&conn->streams_recv[is_uni], id >> 2)) {
        mr_conn_fail(rx->ep, conn, MR_STREAM_LIMIT_ERROR, frame_type, "stream beyond the limit",
                     rx->now);
        return MR_STREAM_ERROR;
    }
    return open_by_peer(rx, id, out);
}

/* ------------------------------------------------------------------ scheduling */

void mr_stream_list_push(struct mr_endpoint *ep, struct mr_stream_list *list,
                         struct mr_stream *stream)
{
    stream->control_next = MR_NONE;
    if (list->tail == MR_NONE)
        list->head = stream->index;
    else
        mr_stream_at(ep, list->tail)->control_next = stream->index;
    list->tail = stream->index;
}

uint64_t mr_stream_flow_limit(const struct mr_conn *conn, const struct mr_stream *stream)
{
    uint64_t by_conn = stream->send.next_offset + mr_flow_send_room(&conn->flow_send);

    return MR_MIN(stream->flow_send.limit, by_conn);
}

void mr_stream_schedule(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream)
{
    if (!stream->is_sendable)
        mr_schedule_add(&conn->sendable, &ep->streams, stream);
    mr_conn_want(ep, conn, &conn->app, MR_WANT_STREAM);
}

void mr_stream_control(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream)
{
    if (!stream->is_controlled) {
        stream->is_controlled = true;
        mr_stream_list_push(ep, &conn->controlled, stream);
    }
    mr_conn_want(ep, conn, &conn->app, MR_WANT_STREAM_CONTROL);
}

/* ------------------------------------------------------------------ flow control, receiving */

void mr_conn_consumed(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t bytes)
{
    mr_flow_recv_consume(&conn->flow_recv, bytes);
    if (mr_flow_recv_is_due(&conn->flow_recv) && mr_conn_is_alive(conn))
        mr_conn_want(ep, conn, &conn->app, MR_WANT_MAX_DATA);
}

void mr_stream_consumed(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream,
                        uint64_t bytes)
{
    mr_flow_recv_consume(&stream->flow_recv, bytes);
    mr_conn_consumed(ep, conn, bytes);
    if (mr_flow_recv_is_due(&stream->flow_recv) && mr_recv_state_wants_credit(stream->recv_state) &&
        mr_conn_is_alive(conn)) {
        stream->wants_max_data = true;
        mr_stream_control(ep, conn, stream);
    }
}
