/*
 * quic/endpoint_events.c - what the application is told: object state, collected from a dirty list.
 *
 * A connection or stream is at most once on the list.  An event says everything
 * that happened to its object since the last one.  Order: a stream's last event
 * comes before its connection's, and bytes that arrived before the end can be
 * received before CLOSED is told.
 */
#include "quic/conn.h"

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
    if (conn->is_dirty)
        return;
    conn->is_dirty = true;
    push(ep, conn->index);
}

void mr_stream_event(struct mr_endpoint *ep, struct mr_stream *stream, uint32_t kinds)
{
    stream->pending_events |= kinds;
    if (stream->is_dirty)
        return;
    stream->is_dirty = true;
    push(ep, stream->index | MR_OBJECT_STREAM);
}

/* The connection's event into `out`; false: nothing to tell yet. */
static bool collect_conn(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_event *out)
{
    uint32_t kinds = conn->pending_events;

    conn->is_dirty = false;
    if ((kinds & MR_EVENT_CLOSED) != 0 &&
        conn->streams_open > 0) { /* its streams' last events come first */
        conn->pending_events = MR_EVENT_CLOSED;
        kinds &= ~(uint32_t)MR_EVENT_CLOSED;
        conn->is_dirty = true;
        push(ep, conn->index);
    } else {
        conn->pending_events = 0;
    }
    if (kinds == 0)
        return false;

    *out = (struct mr_event){
        .kinds = kinds,
        .conn = mr_handle_of(conn->index, conn->generation, false),
        .user_data = conn->user_data,
        .error = conn->close.error,
        .is_application = conn->close.is_app,
        .is_remote = conn->close.is_remote,
        .reason = "",
    };
    if ((kinds & MR_EVENT_CLOSED) != 0) {
        out->reason = conn->close.reason;
        if (conn->state == MR_CONN_DEAD)
            mr_conn_free(
                ep, conn); /* the reason stays readable until a new connection takes the object */
        else
            conn->generation += 2; /* the handle is stale from here on */
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
        .conn = mr_handle_of(conn->index, conn->generation, false),
        .stream = mr_handle_of(stream->index, stream->generation, true),
        .user_data = stream->user_data,
        .acked_to = stream->send.acked_to,
        .error = stream->peer_code,
        .reason = "",
    };
    if ((kinds & MR_EVENT_RESET) != 0 &&
        mr_recv_state_allows(stream->recv_state, MR_RECV_ON_RESET_READ)) {
        stream->recv_state = (uint8_t)mr_recv_state_next(stream->recv_state, MR_RECV_ON_RESET_READ);
        mr_stream_maybe_done(ep, stream);
    }
    if ((kinds & MR_EVENT_CLOSED) != 0) {
        if (conn->close.is_set) {
            out->error = conn->close.error;
            out->is_application = conn->close.is_app;
            out->is_remote = conn->close.is_remote;
        }
        mr_stream_free(ep, stream);
    }
    return true;
}

uint32_t mr_endpoint_events(struct mr_endpoint *ep, struct mr_event *out, uint32_t room)
{
    uint32_t count = 0;

    /* Objects pushed back while we collect wait for the next call. */
    for (uint32_t left = ep->dirty_count; left > 0 && count < room; left--) {
        uint32_t key = pop(ep);
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
