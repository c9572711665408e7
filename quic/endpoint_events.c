/*
 * quic/endpoint_events.c - what the application is told: object state, collected from a dirty list.
 *
 * A connection or stream is at most once on the list.  An event says everything
 * that happened to its object since the last one.  Order: a stream's last event
 * comes before its connection's, and bytes and datagrams that arrived before the end
 * can be received before CLOSED is told.
 */
#include "quic/conn_sleep.h"

static uint32_t *dirty_next_of(const struct mr_endpoint *ep, uint32_t key)
{
    return (key & MR_OBJECT_STREAM) != 0 ? &mr_stream_at(ep, key & ~MR_OBJECT_STREAM)->dirty_next
                                         : &mr_conn_at(ep, key)->dirty_next;
}

static void push(struct mr_endpoint *ep, uint32_t key)
{
    *dirty_next_of(ep, key) = MR_NONE;
    if (ep->dirty_tail == MR_NONE)
        ep->dirty_head = key;
    else
        *dirty_next_of(ep, ep->dirty_tail) = key;
    ep->dirty_tail = key;
    ep->dirty_count++;
}

static uint32_t pop(struct mr_endpoint *ep)
{
    uint32_t key = ep->dirty_head;

    ep->dirty_head = *dirty_next_of(ep, key);
    if (ep->dirty_head == MR_NONE)
        ep->dirty_tail = MR_NONE;
    ep->dirty_count--;
    return key;
}

void mr_conn_event(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t kinds)
{
    conn->pending_events |= kinds;
    if (conn->is_dirty || conn->is_held)
        return;
    conn->is_dirty = true;
    push(ep, conn->index);
}

void mr_conn_event_arrival(struct mr_endpoint *ep, struct mr_conn *conn)
{
    conn->pending_events |= MR_EVENT_MOVED_IN;
    conn->is_dirty = true;
    push(ep, conn->index);
}

void mr_stream_event(struct mr_endpoint *ep, struct mr_stream *stream, uint32_t kinds)
{
    stream->pending_events |= kinds;
    if (stream->is_dirty || mr_conn_at(ep, stream->conn)->is_held)
        return;
    stream->is_dirty = true;
    push(ep, stream->index | MR_OBJECT_STREAM);
}

/* Is the object of `key` the connection, or one of its streams? */
static bool belongs_to(const struct mr_endpoint *ep, uint32_t key, const struct mr_conn *conn)
{
    return (key & MR_OBJECT_STREAM) != 0
               ? mr_stream_at(ep, key & ~MR_OBJECT_STREAM)->conn == conn->index
               : key == conn->index;
}

void mr_conn_undirty(struct mr_endpoint *ep, struct mr_conn *conn)
{
    for (uint32_t left = ep->dirty_count; left > 0; left--) {
        uint32_t key = pop(ep);

        if (!belongs_to(ep, key, conn))
            push(ep, key);
        else if ((key & MR_OBJECT_STREAM) != 0)
            mr_stream_at(ep, key & ~MR_OBJECT_STREAM)->is_dirty = false;
        else
            conn->is_dirty = false;
    }
}

void mr_conn_redirty(struct mr_endpoint *ep, struct mr_conn *conn)
{
    uint32_t oldest = MR_NONE;

    if (conn->pending_events != 0)
        mr_conn_event(ep, conn, 0);
    for (uint32_t i = conn->stream_head; i != MR_NONE; i = mr_stream_at(ep, i)->conn_next)
        oldest = i;
    for (uint32_t i = oldest; i != MR_NONE; i = mr_stream_at(ep, i)->conn_previous) {
        struct mr_stream *stream = mr_stream_at(ep, i);

        if (stream->pending_events != 0)
            mr_stream_event(ep, stream, 0);
    }
}

/* CLOSED waits for the last events of its streams, and until datagrams that arrived were told. */
static uint32_t take_conn_kinds(struct mr_endpoint *ep, struct mr_conn *conn)
{
    uint32_t kinds = conn->pending_events;
    bool waits = (kinds & MR_EVENT_CLOSED) != 0 &&
                 (conn->streams_open > 0 || (kinds & MR_EVENT_DATAGRAM) != 0);

    conn->pending_events = waits ? MR_EVENT_CLOSED : 0;
    conn->is_dirty = waits;
    if (waits) {
        push(ep, conn->index);
        kinds &= ~(uint32_t)MR_EVENT_CLOSED;
    }
    return kinds;
}

/* It came from another shard: MOVED_IN is told alone, since nobody knows its streams' handles
 * before; the rest with the next call. */
MR_COLD static bool collect_held(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_event *out)
{
    if ((conn->pending_events & MR_EVENT_MOVED_IN) == 0) {
        conn->is_dirty = conn->is_held = false;
        mr_conn_redirty(ep, conn);
        return false;
    }
    *out = (struct mr_event){
        .kinds = MR_EVENT_MOVED_IN,
        .conn = mr_conn_handle(conn),
        .user_data = conn->user_data,
        .error = conn->moved_from_shard,
        .result = (int64_t)conn->moved_from,
        .reason = "",
    };
    conn->pending_events &= ~(uint32_t)MR_EVENT_MOVED_IN;
    push(ep, conn->index);
    return true;
}

/* The connection's event into `out`; false: nothing to tell yet. */
static bool collect_conn(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_event *out)
{
    if (conn->is_held)
        return collect_held(ep, conn, out);

    uint32_t kinds = take_conn_kinds(ep, conn);
    if (kinds == 0)
        return false;

    *out = (struct mr_event){
        .kinds = kinds,
        .conn = mr_conn_handle(conn),
        .user_data = conn->user_data,
        .error = conn->close.error,
        .is_application = conn->close.is_app,
        .is_remote = conn->close.is_remote,
        .reason = "",
    };
    if ((kinds & MR_EVENT_CLOSED) != 0) {
        out->reason = conn->close.reason;
        mr_datagram_queue_clear(&conn->datagrams_in, &ep->datagram_chunks);
        if (conn->state == MR_CONN_DEAD || mr_sleep_cuts_draining(ep, conn))
            mr_conn_free(
                ep, conn); /* the reason stays readable until a new connection takes the object */
        else
            mr_conn_end_handle(ep, conn);
    }
    return true;
}

/* Views that were shown stay valid until CLOSED, so readable bytes are told, alone, before it. */
static uint32_t take_stream_kinds(struct mr_endpoint *ep, struct mr_stream *stream)
{
    uint32_t kinds = stream->pending_events;
    bool is_readable_first = (kinds & MR_EVENT_CLOSED) != 0 && (kinds & MR_EVENT_READABLE) != 0;

    stream->pending_events = is_readable_first ? MR_EVENT_CLOSED : 0;
    stream->is_dirty = is_readable_first;
    if (is_readable_first) {
        push(ep, stream->index | MR_OBJECT_STREAM);
        kinds &= ~(uint32_t)MR_EVENT_CLOSED;
    }
    return kinds;
}

static bool collect_stream(struct mr_endpoint *ep, struct mr_stream *stream, struct mr_event *out)
{
    struct mr_conn *conn = mr_conn_at(ep, stream->conn);
    uint32_t kinds = take_stream_kinds(ep, stream);

    if ((kinds & MR_EVENT_READABLE) != 0 && stream->recv.is_discarding)
        kinds &= ~(uint32_t)MR_EVENT_READABLE;
    if (kinds == 0)
        return false;

    *out = (struct mr_event){
        .kinds = kinds,
        .conn = mr_conn_handle(conn),
        .stream = stream->handle,
        .user_data = stream->user_data,
        .acked_to = stream->send.acked_to,
        .error = stream->peer_code,
        .result = (kinds & MR_EVENT_RESET) != 0 && stream->has_reliable_in,
        .reason = "",
    };
    if ((kinds & MR_EVENT_RESET) != 0 &&
        mr_recv_state_allows(stream->recv_state, MR_RECV_ON_RESET_READ)) {
        if (mr_conn_is_traced(conn))
            mr_trace_stream(ep, conn, stream, false, MR_RECV_RESET_READ);
        stream->recv_state = (uint8_t)mr_recv_state_next(stream->recv_state, MR_RECV_ON_RESET_READ);
        mr_stream_maybe_done(ep, stream);
    }
    if ((kinds & MR_EVENT_CLOSED) != 0) {
        if (!mr_conn_is_alive(conn) && conn->close.is_set) {
            out->error = conn->close.error;
            out->is_application = conn->close.is_app;
            out->is_remote = conn->close.is_remote;
        }
        mr_stream_free(ep, stream);
    }
    return true;
}

/* The lines of a stream that an event is made of. */
MR_INLINE void prefetch(const struct mr_endpoint *ep, uint32_t key)
{
    if (key != MR_NONE && (key & MR_OBJECT_STREAM) != 0)
        mr_stream_prefetch(mr_stream_at(ep, key & ~MR_OBJECT_STREAM));
}

uint32_t mr_endpoint_events(struct mr_endpoint *ep, struct mr_event *out, uint32_t room)
{
    uint32_t count = 0;

    /* Objects pushed back while we collect wait for the next call. */
    for (uint32_t left = ep->dirty_count; left > 0 && count < room; left--) {
        uint32_t key = pop(ep);

        prefetch(ep, ep->dirty_head);
        bool has_event =
            (key & MR_OBJECT_STREAM) != 0
                ? collect_stream(ep, mr_stream_at(ep, key & ~MR_OBJECT_STREAM), &out[count])
                : collect_conn(ep, mr_conn_at(ep, key), &out[count]);

        if (has_event)
            count++;
    }
    if (count == room && room > 0)
        mr_count(&ep->counters.limit_events);
    return count;
}
