/*
 * quic/conn_on_frame.c - the handlers of conn_recv.c's table: decode, check, act.
 *
 * False means that the connection failed or is closing: the rest of the packet is
 * not looked at.  Handlers of ACK are in conn_on_ack.c, of connection IDs in
 * conn_cid.c, of paths in conn_path.c.
 */
#include "quic/conn_reset_at.h"

/* A decoder said no. */
MR_COLD static bool malformed(struct mr_rx *rx, uint64_t type)
{
    return mr_conn_fail(rx->ep, rx->conn, MR_FRAME_ENCODING_ERROR, type, "malformed frame",
                        rx->now);
}

bool mr_on_ping(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    (void)r;
    (void)type;
    if (rx->space_id == MR_SPACE_INITIAL)
        mr_conn_hurry(rx->ep, rx->conn, rx->now);
    return true;
}

bool mr_on_padding(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    (void)rx;
    (void)type;
    mr_frame_skip_padding(r);
    return true;
}

/* ------------------------------------------------------------------ stream data */

bool mr_conn_wants_copy(struct mr_endpoint *ep, const struct mr_datagram *d, uint64_t size)
{
    if (mr_conn_copies_small(d, size))
        return true;
    if (ep->recv_pools.pinned_count < ep->limits.pinned_max)
        return false;
    mr_count(&ep->counters.limit_pinned);
    return true;
}

/* A stream whose application could read more than its share of the memory for copies gets no more
 * of it: half of what is free, times the part that this is of all.  So streams that are not read,
 * however many, leave some to the others.  What is not new, and what a reader waits for, is taken
 * as long as there is any. */
static bool is_over_share(const struct mr_endpoint *ep, const struct mr_recv_queue *q, uint64_t end)
{
    uint64_t free_blocks = ep->blocks.count - ep->blocks.used;
    uint64_t share = free_blocks * free_blocks / 2 * sizeof(struct mr_compact) / ep->blocks.count;

    return end > q->ready_to && q->ready_to - q->released_to > share;
}

/* Flow control of the stream and the connection, RFC 9000, Section 4.1. */
static bool check_flow(struct mr_rx *rx, const struct mr_stream *stream, uint64_t growth,
                       uint64_t type)
{
    if (mr_flow_recv_allows(&stream->flow_recv, growth) &&
        mr_flow_recv_allows(&rx->conn->flow_recv, growth))
        return true;
    return mr_conn_fail(rx->ep, rx->conn, MR_FLOW_CONTROL_ERROR, type,
                        "more data than the window allows", rx->now);
}

void mr_stream_count_received(struct mr_endpoint *ep, struct mr_conn *conn,
                              struct mr_stream *stream, uint64_t growth)
{
    mr_flow_recv_add(&stream->flow_recv, growth);
    mr_flow_recv_add(&conn->flow_recv, growth);
    mr_count_add(&ep->counters.stream_bytes_received, growth);
    conn->bytes_received_total += growth;
}

static void recv_state_on(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream,
                          enum mr_recv_event event)
{
    if (!mr_recv_state_allows(stream->recv_state, event))
        return;
    uint8_t next = (uint8_t)mr_recv_state_next(stream->recv_state, event);
    if (mr_conn_is_traced(conn))
        mr_trace_stream(ep, conn, stream, false, next);
    stream->recv_state = next;
}

/* Nobody reads a stopped stream, nor one that was reset: its bytes count as consumed, but for those
 * that are shown still, and it is over when its size is known. */
MR_COLD void mr_stream_discarded(struct mr_endpoint *ep, struct mr_conn *conn,
                                 struct mr_stream *stream)
{
    mr_stream_consumed(ep, conn, stream,
                       stream->flow_recv.received - stream->flow_recv.consumed -
                           mr_recv_queue_readable_bytes(&stream->recv));
    if (stream->recv.final_size == MR_RECV_SIZE_UNKNOWN)
        return;
    recv_state_on(ep, conn, stream, MR_RECV_ON_ALL_DATA);
    recv_state_on(ep, conn, stream, MR_RECV_ON_DATA_READ);
    mr_stream_maybe_done(ep, stream);
}

/* Data came above a gap, and the application has read all below.  Full packets count alone: a byte
 * at the end of a window is no reason for a larger one. */
MR_COLD static void arrived_early(struct mr_endpoint *ep, struct mr_conn *conn,
                                  struct mr_stream *stream)
{
    uint64_t waiting = (uint64_t)stream->recv.pinned_count * MR_INITIAL_MIN;

    if (mr_recv_queue_readable_bytes(&stream->recv) > 0 || waiting < stream->flow_recv.window / 4 ||
        !mr_recv_state_wants_credit(stream->recv_state) ||
        !mr_flow_recv_grow_early(&stream->flow_recv))
        return;
    mr_flow_recv_cover(&conn->flow_recv, &stream->flow_recv);
    stream->wants_max_data = true;
    mr_stream_control(ep, conn, stream);
    if (mr_flow_recv_is_due(&conn->flow_recv))
        mr_conn_want(ep, conn, &conn->app, MR_WANT_MAX_DATA);
}

/* The queue took the data: states, and news for the application. */
static void accept_data(struct mr_rx *rx, struct mr_stream *stream,
                        const struct mr_frame_stream *frame, uint64_t ready_before)
{
    if (frame->fin)
        recv_state_on(rx->ep, rx->conn, stream, MR_RECV_ON_FIN);
    if (stream->recv.is_discarding) {
        mr_stream_discarded(rx->ep, rx->conn, stream);
        return;
    }
    bool is_complete = mr_recv_queue_is_complete(&stream->recv) && !stream->has_reliable_in;
    if (is_complete)
        recv_state_on(rx->ep, rx->conn, stream, MR_RECV_ON_ALL_DATA);
    if (stream->recv.ready_to != ready_before || is_complete)
        mr_stream_event(rx->ep, stream, MR_EVENT_READABLE);
    else
        arrived_early(rx->ep, rx->conn, stream);
}

static bool insert_data(struct mr_rx *rx, struct mr_stream *stream,
                        const struct mr_frame_stream *frame, uint64_t type)
{
    struct mr_endpoint *ep = rx->ep;
    uint64_t growth = mr_recv_queue_growth(&stream->recv, frame->offset + frame->size);
    uint64_t ready_before = stream->recv.ready_to;

    if (growth > 0 && !check_flow(rx, stream, growth, type))
        return false;

    struct mr_recv_frame piece = {.offset = frame->offset,
                                  .data = frame->data,
                                  .buf = rx->datagram->buf,
                                  .size = (uint32_t)frame->size,
                                  .has_fin = frame->fin,
                                  .is_copy = frame->size > 0 &&
                                             mr_conn_wants_copy(ep, rx->datagram, frame->size)};
    bool is_refused =
        piece.is_copy && is_over_share(ep, &stream->recv, frame->offset + frame->size);
    if (piece.is_copy && !is_refused)
        mr_count(&ep->counters.copies_to_compact);
    switch (is_refused
                ? MR_RECV_NO_ROOM
                : mr_recv_queue_insert(&stream->recv, &ep->recv_pools, &ep->released, &piece)) {
    case MR_RECV_FINAL_SIZE_ERROR:
        return mr_conn_fail(ep, rx->conn, MR_FINAL_SIZE_ERROR, type,
                            "data beyond the final size, or another final size", rx->now);
    case MR_RECV_NO_ROOM:
        mr_count(piece.is_copy ? &ep->counters.limit_compact : &ep->counters.limit_ranges);
        rx->is_refused = true;
        return true;
    case MR_RECV_DUPLICATE:
        return true;
    case MR_RECV_OK:
        mr_stream_count_received(rx->ep, rx->conn, stream, growth);
        accept_data(rx, stream, frame, ready_before);
        return true;
    }
    return true;
}

bool mr_on_stream(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    struct mr_frame_stream frame;
    struct mr_stream *stream = NULL;

    if (!mr_frame_decode_stream(r, type, &frame))
        return malformed(rx, type);
    switch (mr_stream_find(rx, frame.stream_id, true, type, &stream)) {
    case MR_STREAM_ERROR:
        return false;
    case MR_STREAM_FOUND:
        return insert_data(rx, stream, &frame, type);
    default: /* closed: old news; refused: is_refused is set */
        return true;
    }
}

bool mr_on_reset_stream(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    struct mr_frame_reset_stream frame;
    struct mr_stream *stream = NULL;

    if (!mr_frame_decode_reset_stream(r, type, &frame))
        return malformed(rx, type);
    enum mr_stream_found found = mr_stream_find(rx, frame.stream_id, true, type, &stream);
    if (found != MR_STREAM_FOUND)
        return found != MR_STREAM_ERROR;

    if (!mr_stream_note_reset(rx, stream, frame.final_size, frame.error, type))
        return false;
    if (stream->recv_state == MR_RECV_RECV || stream->recv_state == MR_RECV_SIZE_KNOWN) {
        stream->has_reliable_in = false; /* nothing is guaranteed any more */
        mr_stream_take_reset(rx->ep, rx->conn, stream);
    }
    /* else all data is here, or the reset was known */
    return true;
}

bool mr_on_stop_sending(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    struct mr_frame_stop_sending frame;
    struct mr_stream *stream = NULL;

    if (!mr_frame_decode_stop_sending(r, type, &frame))
        return malformed(rx, type);
    enum mr_stream_found found = mr_stream_find(rx, frame.stream_id, false, type, &stream);
    if (found != MR_STREAM_FOUND)
        return found != MR_STREAM_ERROR;
    if (stream->wants_reset || !mr_send_state_allows(stream->send_state, MR_SEND_ON_RESET) ||
        stream->send_state == MR_SEND_RESET_SENT)
        return true;

    /* RFC 9000, Section 3.5: answered with RESET_STREAM, the code copied. */
    stream->peer_code = frame.error;
    mr_stream_abort_send(rx->ep, rx->conn, stream, frame.error);
    mr_stream_event(rx->ep, stream, MR_EVENT_STOPPED);
    return true;
}

/* ------------------------------------------------------------------ limits */

/* Every stream with data may go on. */
static void unblock_streams(struct mr_endpoint *ep, struct mr_conn *conn)
{
    if (conn->sendable.head != MR_NONE)
        mr_conn_want(ep, conn, &conn->app, MR_WANT_STREAM);
}

bool mr_on_max_data(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    struct mr_frame_limit frame;

    if (!mr_frame_decode_max_data(r, type, &frame))
        return malformed(rx, type);
    if (mr_flow_send_raise(&rx->conn->flow_send, frame.limit))
        unblock_streams(rx->ep, rx->conn);
    return true;
}

bool mr_on_max_stream_data(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    struct mr_frame_stream_limit frame;
    struct mr_stream *stream = NULL;

    if (!mr_frame_decode_max_stream_data(r, type, &frame))
        return malformed(rx, type);
    enum mr_stream_found found = mr_stream_find(rx, frame.stream_id, false, type, &stream);
    if (found != MR_STREAM_FOUND)
        return found != MR_STREAM_ERROR;
    if (mr_flow_send_raise(&stream->flow_send, frame.limit) &&
        mr_send_queue_wants(&stream->send, UINT64_MAX))
        mr_stream_schedule(rx->ep, rx->conn, stream);
    return true;
}

bool mr_on_max_streams(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    struct mr_frame_limit frame;

    if (!mr_frame_decode_max_streams(r, type, &frame))
        return malformed(rx, type);
    if (mr_streams_send_raise(&rx->conn->streams_send[frame.is_uni], frame.limit))
        mr_conn_event(rx->ep, rx->conn, MR_EVENT_STREAMS_ALLOWED);
    return true;
}

bool mr_on_data_blocked(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    struct mr_frame_limit frame;

    if (!mr_frame_decode_data_blocked(r, type, &frame))
        return malformed(rx, type);
    /* Streams that are not read may have so much of the window that half of it is never consumed.
     */
    if (mr_flow_recv_can_rise(&rx->conn->flow_recv))
        mr_conn_want(rx->ep, rx->conn, &rx->conn->app, MR_WANT_MAX_DATA);
    return true;
}

bool mr_on_stream_data_blocked(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    struct mr_frame_stream_limit frame;
    struct mr_stream *stream = NULL;

    if (!mr_frame_decode_stream_data_blocked(r, type, &frame))
        return malformed(rx, type);
    return mr_stream_find(rx, frame.stream_id, true, type, &stream) != MR_STREAM_ERROR;
}

bool mr_on_streams_blocked(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    struct mr_frame_limit frame;

    return mr_frame_decode_streams_blocked(r, type, &frame) || malformed(rx, type);
}

/* ------------------------------------------------------------------ handshake */

/* CRYPTO that no TLS waits for: what is not allowed is noticed (RFC 9001, Section 6), the rest is
 * dropped. */
MR_COLD static bool drop_late_crypto(struct mr_rx *rx, const struct mr_frame_crypto *frame,
                                     uint64_t type)
{
    struct mr_conn *conn = rx->conn;

    mr_count(&rx->ep->counters.crypto_after_handshake);
    if (frame->size == 0 || frame->offset != conn->late_offset)
        return true;
    conn->late_offset += frame->size;
    uint64_t error = mr_tls_late_error(&conn->late, conn->role, frame->data, frame->size);
    if (error != 0)
        return mr_conn_fail(rx->ep, conn, error, type,
                            "TLS message that is not allowed after the handshake", rx->now);
    return true;
}

bool mr_on_crypto(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    struct mr_endpoint *ep = rx->ep;
    struct mr_handshake *hs = mr_conn_handshake(ep, rx->conn);
    struct mr_frame_crypto frame;

    if (!mr_frame_decode_crypto(r, type, &frame))
        return malformed(rx, type);
    if (hs == NULL || (rx->space_id == MR_SPACE_APP && hs->is_tls_done))
        return drop_late_crypto(rx, &frame, type);

    switch (mr_crypto_stream_insert(&hs->crypto[rx->space_id], &ep->chunks, frame.offset,
                                    frame.data, frame.size)) {
    case MR_CRYPTO_EXCEEDED:
        mr_count(&ep->counters.limit_crypto_buffer);
        return mr_conn_fail(ep, rx->conn, MR_CRYPTO_BUFFER_EXCEEDED, type, "too much CRYPTO data",
                            rx->now);
    case MR_CRYPTO_NO_ROOM:
        mr_count(&ep->counters.limit_chunks);
        rx->is_refused = true;
        return true;
    case MR_CRYPTO_DUPLICATE:
        if (rx->space_id == MR_SPACE_INITIAL)
            mr_conn_hurry(ep, rx->conn, rx->now);
        return true;
    case MR_CRYPTO_OK:
        mr_conn_tls_want(ep, rx->conn);
        return true;
    }
    return true;
}

bool mr_on_handshake_done(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    (void)r;
    if (rx->conn->role == MR_SERVER)
        return mr_conn_fail(rx->ep, rx->conn, MR_PROTOCOL_VIOLATION, type,
                            "HANDSHAKE_DONE from a client", rx->now);
    if (rx->conn->state != MR_CONN_OPEN)
        return mr_conn_fail(rx->ep, rx->conn, MR_PROTOCOL_VIOLATION, type,
                            "HANDSHAKE_DONE before the handshake is complete", rx->now);
    mr_conn_confirm(rx->ep, rx->conn, rx->now);
    return true;
}

/* For the next connection to the server: it goes with the ticket. */
MR_COLD static void keep_token(struct mr_rx *rx, const struct mr_frame_new_token *frame)
{
    struct mr_handshake *hs = mr_conn_handshake(rx->ep, rx->conn);

    if (hs == NULL || frame->size > sizeof(hs->new_token)) {
        mr_count(&rx->ep->counters.limit_new_tokens);
        return;
    }
    mr_count(&rx->ep->counters.tokens_received);
    hs->new_token_size = (uint16_t)frame->size;
    memcpy(hs->new_token, frame->token, frame->size);
    if (hs->ticket_size > 0)
        mr_conn_event(rx->ep, rx->conn, MR_EVENT_TICKET);
}

bool mr_on_new_token(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    struct mr_frame_new_token frame;

    if (!mr_frame_decode_new_token(r, type, &frame))
        return malformed(rx, type);
    if (rx->conn->role == MR_SERVER)
        return mr_conn_fail(rx->ep, rx->conn, MR_PROTOCOL_VIOLATION, type,
                            "NEW_TOKEN from a client", rx->now);
    keep_token(rx, &frame);
    return true;
}

/* ------------------------------------------------------------------ end */

bool mr_on_connection_close(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    struct mr_frame_connection_close frame;

    if (!mr_frame_decode_connection_close(r, type, &frame))
        return malformed(rx, type);
    mr_conn_drain(rx->ep, rx->conn, &frame, rx->now);
    return false;
}
