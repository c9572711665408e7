/*
 * quic/conn_reset_at.c - see conn_reset_at.h.
 */
#include "quic/conn_reset_at.h"

#include <errno.h>

#include "quic/conn_build.h"
#include "quic/frame_extension.h"

/* ------------------------------------------------------------------ receiving */

bool mr_stream_note_reset(struct mr_rx *rx, struct mr_stream *stream, uint64_t final_size,
                          uint64_t error, uint64_t type)
{
    struct mr_conn *conn = rx->conn;
    uint64_t growth = mr_recv_queue_growth(&stream->recv, final_size);

    if (growth > 0 && !(mr_flow_recv_allows(&stream->flow_recv, growth) &&
                        mr_flow_recv_allows(&conn->flow_recv, growth)))
        return mr_conn_fail(rx->ep, conn, MR_FLOW_CONTROL_ERROR, type,
                            "more data than the window allows", rx->now);
    if (mr_recv_queue_set_final_size(&stream->recv, final_size) == MR_RECV_FINAL_SIZE_ERROR)
        return mr_conn_fail(rx->ep, conn, MR_FINAL_SIZE_ERROR, type,
                            "another final size than before", rx->now);
    bool is_strict = stream->has_reliable_in || type == MR_FRAME_RESET_STREAM_AT;
    if (is_strict && stream->has_reset_in && stream->reset_in_code != error)
        return mr_conn_fail(rx->ep, conn, MR_STREAM_STATE_ERROR, type,
                            "another error code than the stream was reset with", rx->now);
    stream->has_reset_in = true;
    stream->reset_in_code = error;
    mr_stream_count_received(rx->ep, conn, stream, growth);
    mr_count(&rx->ep->counters.streams_reset_received);
    return true;
}

void mr_stream_take_reset(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream)
{
    uint8_t next = (uint8_t)mr_recv_state_next(stream->recv_state, MR_RECV_ON_RESET);
    if (mr_conn_is_traced(conn))
        mr_trace_stream(ep, conn, stream, false, next);
    stream->recv_state = next;
    uint64_t kept = mr_recv_queue_abandon(&stream->recv, &ep->recv_pools, &ep->released);
    mr_stream_consumed(ep, conn, stream,
                       stream->flow_recv.received - stream->flow_recv.consumed - kept);
    stream->peer_code = stream->reset_in_code;
    mr_stream_event(ep, stream, MR_EVENT_RESET);
}

void mr_stream_reset_if_read(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream)
{
    bool is_waiting =
        stream->recv_state == MR_RECV_RECV || stream->recv_state == MR_RECV_SIZE_KNOWN;

    if (is_waiting &&
        (stream->recv.is_discarding || stream->recv.released_to >= stream->reliable_in))
        mr_stream_take_reset(ep, conn, stream);
}

bool mr_on_reset_stream_at(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    struct mr_frame_reset_stream_at frame;
    struct mr_stream *stream = NULL;

    if (!mr_frame_decode_reset_stream_at(r, type, &frame))
        return mr_conn_fail(rx->ep, rx->conn, MR_FRAME_ENCODING_ERROR, type,
                            "malformed RESET_STREAM_AT", rx->now);
    enum mr_stream_found found = mr_stream_find(rx, frame.stream_id, true, type, &stream);
    if (found != MR_STREAM_FOUND)
        return found != MR_STREAM_ERROR;
    if (!mr_stream_note_reset(rx, stream, frame.final_size, frame.error, type))
        return false;
    if (stream->recv_state != MR_RECV_RECV && stream->recv_state != MR_RECV_SIZE_KNOWN)
        return true; /* all data is here, or the reset counted already */
    if (stream->has_reliable_in && frame.reliable_size >= stream->reliable_in)
        return true; /* late: the bound only falls */
    stream->has_reliable_in = true;
    stream->reliable_in = frame.reliable_size;
    stream->recv_state = (uint8_t)mr_recv_state_next(stream->recv_state, MR_RECV_ON_FIN);
    mr_stream_reset_if_read(rx->ep, rx->conn, stream);
    return true;
}

/* ------------------------------------------------------------------ sending */

int mr_stream_reset_at(struct mr_endpoint *ep, mr_handle handle, uint64_t code, uint64_t reliable)
{
    struct mr_stream *stream = mr_stream_of_handle(ep, handle);

    if (stream == NULL)
        return mr_stream_absence(ep, handle);
    if (code > MR_ERROR_CODE_MAX || reliable > stream->send.end_offset)
        return -EINVAL;
    if (!stream->has_send || stream->is_gone || stream->wants_reset ||
        !mr_send_state_allows(stream->send_state, MR_SEND_ON_FIN))
        return -EPIPE;
    struct mr_conn *conn = mr_conn_at(ep, stream->conn);
    if (!conn->takes_reset_stream_at)
        return -EOPNOTSUPP;
    if (stream->has_reliable_out && (reliable > stream->reliable_out || code != stream->reset_code))
        return -EINVAL;
    if (stream->has_reliable_out && reliable == stream->reliable_out)
        return 0;

    stream->has_reliable_out = true;
    stream->reliable_out = reliable;
    stream->reset_code = code;
    stream->is_reset_at_due = stream->is_reset_at_acked = false;
    mr_send_queue_truncate(&stream->send, &ep->send_pools, reliable);
    mr_stream_owe_reset_at(ep, conn, stream);
    return 0;
}

void mr_stream_owe_reset_at(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream)
{
    if (stream->is_reset_at_due || stream->send.next_offset < stream->reliable_out)
        return;
    stream->is_reset_at_due = stream->wants_reset_at = true;
    mr_stream_control(ep, conn, stream);
}

bool mr_produce_reset_at(struct mr_build *b, struct mr_stream *stream)
{
    struct mr_frame_reset_stream_at frame = {.stream_id = stream->id,
                                             .error = stream->reset_code,
                                             .final_size = stream->send.next_offset,
                                             .reliable_size = stream->reliable_out};

    if (!mr_send_state_allows(stream->send_state, MR_SEND_ON_FIN)) {
        stream->wants_reset_at = false; /* the peer has all of it meanwhile */
        return true;
    }
    if (!mr_build_can_record(b) || !mr_frame_write_reset_stream_at(&b->w, &frame)) {
        b->is_full = true;
        return false;
    }
    mr_build_record(b, MR_SENT_RESET_STREAM_AT, frame.reliable_size, mr_stream_key(stream), 0,
                    false);
    stream->wants_reset_at = false;
    stream->send_state = (uint8_t)mr_send_state_next(stream->send_state, MR_SEND_ON_FIN);
    mr_count(&b->ep->counters.streams_reset_sent);
    return true;
}

void mr_stream_reset_at_acked(struct mr_endpoint *ep, struct mr_stream *stream, uint64_t reliable)
{
    if (!stream->has_reliable_out || reliable != stream->reliable_out)
        return;
    stream->is_reset_at_acked = true;
    stream->wants_reset_at = false;
    if (!mr_stream_is_all_acked(stream) ||
        !mr_send_state_allows(stream->send_state, MR_SEND_ON_ALL_ACKED))
        return;
    stream->send_state = (uint8_t)mr_send_state_next(stream->send_state, MR_SEND_ON_ALL_ACKED);
    mr_stream_maybe_done(ep, stream);
}

bool mr_stream_reset_at_lost(const struct mr_stream *stream, uint64_t reliable)
{
    return stream->has_reliable_out && reliable == stream->reliable_out &&
           !stream->is_reset_at_acked && stream->send_state == MR_SEND_DATA_SENT;
}
