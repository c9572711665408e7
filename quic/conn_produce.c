/*
 * quic/conn_produce.c - the producers of conn_send.c's table: each writes its kind of frame while
 * room remains.
 *
 * A producer asks for a record before it writes (a frame that cannot be recorded
 * is not sent), and clears its bit of space->wants when it has nothing left.
 */
#include "quic/conn_build.h"
#include "quic/conn_multipath.h"
#include "quic/conn_reset_at.h"
#include "quic/conn_resume.h"

#define FRAME_LEAST 16 /* bytes of room below which a STREAM frame is not begun */

static void clear_want(struct mr_build *b, uint32_t want)
{
    b->space->wants &= ~want;
}

/* Write one frame of integers, recorded: false when it does not fit. */
#define WRITE_RECORDED(b, writing, kind, offset, object)                                           \
    (mr_build_can_record(b) && (writing)                                                           \
         ? (mr_build_record(b, kind, offset, object, 0, false), true)                              \
         : ((b)->is_full = true, false))

/* ------------------------------------------------------------------ acknowledgements */

/* The oldest of the packets that wait for an ACK, and what came before, where one ACK is not to
 * acknowledge them all.  False: it is, as it is where some are missing, or ECN counts go along,
 * which are of all that came (RFC 9000, Section 13.4.1). */
static bool acks_in_parts(const struct mr_build *b, struct mr_ack_range *part)
{
    const struct mr_pn_space *space = b->space;
    const struct mr_ack_range *newest = &space->received.range[0];
    uint32_t most = b->ep->config.ack_packets;

    if (most == 0 || space->unacked_count <= most || space->has_ecn ||
        newest->hi - newest->lo < space->unacked_count)
        return false;
    *part = (struct mr_ack_range){.lo = newest->lo, .hi = newest->hi - space->unacked_count + most};
    return true;
}

void mr_produce_ack(struct mr_build *b)
{
    struct mr_pn_space *space = b->space;
    uint64_t delay_us = (b->now - space->largest_at_ns) / MR_US;
    uint64_t delay = b->space_id == MR_SPACE_APP ? delay_us >> MR_ACK_DELAY_EXPONENT : 0;

    if (space->received.count == 0) {
        clear_want(b, MR_WANT_ACK);
        return;
    }
    if (b->conn->multipath != MR_NONE && mr_multipath_produce_ack(b))
        return;
    if (!mr_build_can_record(b))
        return;
    struct mr_ack_range part;
    bool is_part = acks_in_parts(b, &part);
    const struct mr_ack_range *ranges = is_part ? &part : space->received.range;
    if (mr_frame_write_ack(&b->w, ranges, is_part ? 1 : space->received.count, delay,
                           space->has_ecn ? &space->ecn : NULL) == 0)
        return;
    mr_build_record(b, MR_SENT_ACK, ranges->hi, 0, 0, false);
    if (b->space_id == MR_SPACE_APP)
        b->conn->ack_policy.largest_sent = ranges->hi;
    mr_count(&b->ep->counters.acks_sent);
    if (is_part) { /* the next datagram has the next */
        space->unacked_count -= b->ep->config.ack_packets;
        return;
    }
    space->unacked_count = 0;
    space->ack_deadline_ns = MR_NEVER;
    clear_want(b, MR_WANT_ACK);
}

/* What several paths add goes before all else, but for the end. */
void mr_produce_first(struct mr_build *b)
{
    if ((b->space->wants & MR_WANT_CLOSE) != 0)
        mr_produce_close(b);
    else
        mr_multipath_produce(b);
}

/* ------------------------------------------------------------------ CRYPTO */

static void copy_pieces(uint8_t *dst, const struct mr_send_frame *frame)
{
    for (uint32_t i = 0; i < frame->piece_count; i++) {
        memcpy(dst, frame->pieces[i].data, frame->pieces[i].size);
        dst += frame->pieces[i].size;
    }
}

void mr_produce_crypto(struct mr_build *b)
{
    struct mr_handshake *hs = mr_conn_handshake(b->ep, b->conn);
    struct mr_send_queue *q = hs == NULL ? NULL : &hs->crypto[b->space_id].send;
    struct mr_send_frame frame;

    while (q != NULL && mr_send_queue_wants(q, UINT64_MAX)) {
        size_t room = mr_frame_crypto_data_max(mr_writer_room(&b->w),
                                               mr_send_queue_next_at(q, &b->ep->send_pools));

        if (room == 0 || !mr_build_can_record(b)) {
            b->is_full = true;
            return;
        }
        if (!mr_send_queue_next(q, &b->ep->send_pools, (uint32_t)room, UINT64_MAX, &frame))
            break;
        mr_frame_write_crypto_header(
            &b->w, &(struct mr_frame_crypto){.offset = frame.span.offset, .size = frame.span.size});
        copy_pieces(mr_write_later(&b->w, frame.span.size), &frame);
        mr_build_record(b, MR_SENT_CRYPTO, frame.span.offset, 0, frame.span.size, false);
    }
    clear_want(b, MR_WANT_CRYPTO);
}

/* ------------------------------------------------------------------ streams */

/* A frame's pieces become copies of the seal job: application memory is read while it is sealed. */
static void add_copies(struct mr_build *b, const struct mr_send_frame *frame)
{
    uint8_t *hole = mr_write_later(&b->w, frame->span.size);
    uint32_t at = (uint32_t)(hole - b->packet);

    for (uint32_t i = 0; i < frame->piece_count; i++) {
        b->ep->copies[b->copy_first + b->copy_count++] = (struct mr_seal_copy){
            .source = frame->pieces[i].data, .size = frame->pieces[i].size, .at = at};
        at += frame->pieces[i].size;
    }
    b->ep->copy_count = b->copy_first + b->copy_count;
}

static void send_state_on(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream,
                          enum mr_send_event event)
{
    if (!mr_send_state_allows(stream->send_state, event))
        return;
    uint8_t next = (uint8_t)mr_send_state_next(stream->send_state, event);
    if (next != stream->send_state && mr_conn_is_traced(conn))
        mr_trace_stream(ep, conn, stream, true, next);
    stream->send_state = next;
}

void mr_stream_sent(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream,
                    const struct mr_send_span *span, bool is_retransmission)
{
    if (!is_retransmission) {
        mr_flow_send_use(&conn->flow_send, span->size);
        stream->flow_send.used = MR_MAX(stream->flow_send.used, span->offset + span->size);
    }
    send_state_on(ep, conn, stream, span->has_fin ? MR_SEND_ON_FIN : MR_SEND_ON_DATA);
    mr_count_add(&ep->counters.stream_bytes_sent, span->size);
    if (stream->is_notify_due && mr_send_queue_is_notified(&stream->send)) {
        stream->is_notify_due = false;
        mr_stream_event(ep, stream, MR_EVENT_SENT);
    }
    if (stream->has_reliable_out)
        mr_stream_owe_reset_at(ep, conn, stream);
}

/* One frame of `stream`.  False: no room for one, or nothing to say. */
static bool write_stream_frame(struct mr_build *b, struct mr_stream *stream, uint64_t flow_limit)
{
    struct mr_send_frame frame;
    uint64_t offset = mr_send_queue_next_at(&stream->send, &b->ep->send_pools);
    size_t room = mr_frame_stream_data_max(mr_writer_room(&b->w), stream->id, offset);

    if (room == 0 || b->copy_count + MR_SEND_PIECES > MR_COPIES_PER_PACKET * 2 ||
        !mr_build_can_record(b)) {
        b->is_full = true;
        return false;
    }
    if (!mr_send_queue_next(&stream->send, &b->ep->send_pools, (uint32_t)room, flow_limit, &frame))
        return false;
    mr_frame_write_stream_header(&b->w,
                                 &(struct mr_frame_stream){.stream_id = stream->id,
                                                           .offset = frame.span.offset,
                                                           .size = frame.span.size,
                                                           .fin = frame.span.has_fin},
                                 true);
    add_copies(b, &frame);
    mr_build_record(b, MR_SENT_STREAM, frame.span.offset, mr_stream_key(stream), frame.span.size,
                    frame.span.has_fin);
    mr_stream_sent(b->ep, b->conn, stream, &frame.span, frame.is_retransmission);
    return true;
}

/* The stream has data, and a limit of the peer's forbids it: say so once per limit. */
static void note_blocked(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream)
{
    if (mr_send_queue_is_blocked(&stream->send, stream->flow_send.limit)) {
        conn->limited_by = MR_LIMITED_FLOW;
        if (stream->flow_send.blocked_at != stream->flow_send.limit) {
            stream->wants_blocked = true;
            mr_stream_control(ep, conn, stream);
        }
    }
}

/* The connection's credit is used up: streams stay on the list until MAX_DATA comes. */
static bool is_conn_blocked(struct mr_build *b, struct mr_stream *stream)
{
    struct mr_conn *conn = b->conn;

    if (!mr_flow_send_is_exhausted(&conn->flow_send) || mr_send_queue_wants(&stream->send, 0))
        return false;
    conn->limited_by = MR_LIMITED_FLOW;
    if (mr_flow_send_wants_blocked(&conn->flow_send))
        b->space->wants |= MR_WANT_DATA_BLOCKED;
    return true;
}

void mr_stream_rotate(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream)
{
    if (mr_send_queue_wants(&stream->send, stream->flow_send.limit)) {
        mr_schedule_turn(&conn->sendable, &ep->streams, stream);
        return;
    }
    mr_schedule_remove(&conn->sendable, &ep->streams, stream);
    note_blocked(ep, conn, stream);
}

/* A stream that others wait behind while the connection is blocked must not stop their
 * retransmissions.  One that has any; NULL: none has. */
MR_COLD static struct mr_stream *find_retransmission(const struct mr_build *b)
{
    for (uint32_t i = b->conn->stream_head; i != MR_NONE; i = mr_stream_at(b->ep, i)->conn_next) {
        struct mr_stream *stream = mr_stream_at(b->ep, i);

        if (stream->is_sendable && mr_send_queue_wants(&stream->send, 0))
            return stream;
    }
    return NULL;
}

void mr_produce_stream(struct mr_build *b)
{
    struct mr_conn *conn = b->conn;

    while (conn->sendable.head != MR_NONE) {
        struct mr_stream *stream = mr_stream_at(b->ep, conn->sendable.head);

        if (mr_writer_room(&b->w) < FRAME_LEAST) {
            b->is_full = true;
            return;
        }
        if (stream->send_next != MR_NONE)
            mr_stream_prefetch(mr_stream_at(b->ep, stream->send_next));
        if (is_conn_blocked(b, stream))
            stream = find_retransmission(b);
        if (stream == NULL)
            break; /* the others stay: MAX_DATA will come */
        write_stream_frame(b, stream, mr_stream_flow_limit(conn, stream));
        if (b->is_full)
            return;
        mr_stream_rotate(b->ep, conn, stream);
    }
    clear_want(b, MR_WANT_STREAM);
}

/* The control frames that one stream owes.  False: no room. */
static bool write_stream_control(struct mr_build *b, struct mr_stream *stream)
{
    uint32_t key = mr_stream_key(stream);

    if (stream->wants_reset) {
        struct mr_frame_reset_stream reset = {.stream_id = stream->id,
                                              .error = stream->reset_code,
                                              .final_size = stream->send.next_offset};
        if (!WRITE_RECORDED(b, mr_frame_write_reset_stream(&b->w, &reset), MR_SENT_RESET_STREAM, 0,
                            key))
            return false;
        stream->wants_reset = false;
        send_state_on(b->ep, b->conn, stream, MR_SEND_ON_RESET);
        mr_count(&b->ep->counters.streams_reset_sent);
    }
    if (stream->wants_reset_at && !mr_produce_reset_at(b, stream))
        return false;
    if (stream->wants_stop) {
        struct mr_frame_stop_sending stop = {.stream_id = stream->id, .error = stream->stop_code};
        if (!WRITE_RECORDED(b, mr_frame_write_stop_sending(&b->w, &stop), MR_SENT_STOP_SENDING, 0,
                            key))
            return false;
        stream->wants_stop = false;
    }
    if (stream->wants_max_data) {
        if (mr_writer_room(&b->w) < MR_FRAME_SMALL_MAX || !mr_build_can_record(b)) {
            b->is_full = true;
            return false;
        }
        uint64_t limit =
            mr_flow_recv_update(&stream->flow_recv, b->conn->path.rtt.smoothed_ns, b->now);
        mr_flow_recv_cover(&b->conn->flow_recv, &stream->flow_recv);
        mr_frame_write_max_stream_data(
            &b->w, &(struct mr_frame_stream_limit){.stream_id = stream->id, .limit = limit});
        mr_build_record(b, MR_SENT_MAX_STREAM_DATA, limit, key, 0, false);
        stream->wants_max_data = false;
    }
    if (stream->wants_blocked) {
        struct mr_frame_stream_limit blocked = {.stream_id = stream->id,
                                                .limit = stream->flow_send.limit};
        if (!WRITE_RECORDED(b, mr_frame_write_stream_data_blocked(&b->w, &blocked),
                            MR_SENT_STREAM_DATA_BLOCKED, blocked.limit, key))
            return false;
        mr_flow_send_blocked_sent(&stream->flow_send);
        stream->wants_blocked = false;
    }
    return true;
}

void mr_produce_stream_control(struct mr_build *b)
{
    struct mr_stream_list *list = &b->conn->controlled;

    while (list->head != MR_NONE) {
        struct mr_stream *stream = mr_stream_at(b->ep, list->head);

        if (!write_stream_control(b, stream))
            return;
        list->head = stream->control_next;
        if (list->head == MR_NONE)
            list->tail = MR_NONE;
        stream->is_controlled = false;
    }
    clear_want(b, MR_WANT_STREAM_CONTROL);
}

/* ------------------------------------------------------------------ the connection's limits */

void mr_produce_max_data(struct mr_build *b)
{
    if (mr_writer_room(&b->w) < MR_FRAME_SMALL_MAX || !mr_build_can_record(b)) {
        b->is_full = true;
        return;
    }
    uint64_t limit =
        mr_flow_recv_update(&b->conn->flow_recv, b->conn->path.rtt.smoothed_ns, b->now);
    mr_frame_write_max_data(&b->w, limit);
    mr_build_record(b, MR_SENT_MAX_DATA, limit, 0, 0, false);
    clear_want(b, MR_WANT_MAX_DATA);
}

void mr_produce_max_streams(struct mr_build *b)
{
    static const struct {
        uint32_t want;
        enum mr_sent_kind kind;
    } of[2] = {{MR_WANT_MAX_STREAMS_BIDI, MR_SENT_MAX_STREAMS_BIDI},
               {MR_WANT_MAX_STREAMS_UNI, MR_SENT_MAX_STREAMS_UNI}};

    for (int is_uni = 0; is_uni < 2; is_uni++) {
        if ((b->space->wants & of[is_uni].want) == 0)
            continue;
        if (mr_writer_room(&b->w) < MR_FRAME_SMALL_MAX || !mr_build_can_record(b)) {
            b->is_full = true;
            return;
        }
        uint64_t limit = mr_streams_recv_update(&b->conn->streams_recv[is_uni]);
        mr_frame_write_max_streams(&b->w,
                                   &(struct mr_frame_limit){.limit = limit, .is_uni = is_uni != 0});
        mr_build_record(b, of[is_uni].kind, limit, 0, 0, false);
        clear_want(b, of[is_uni].want);
    }
}

void mr_produce_data_blocked(struct mr_build *b)
{
    uint64_t limit = b->conn->flow_send.limit;

    if (!WRITE_RECORDED(b, mr_frame_write_data_blocked(&b->w, limit), MR_SENT_DATA_BLOCKED, limit,
                        0))
        return;
    mr_flow_send_blocked_sent(&b->conn->flow_send);
    clear_want(b, MR_WANT_DATA_BLOCKED);
}

void mr_produce_streams_blocked(struct mr_build *b)
{
    for (int is_uni = 0; is_uni < 2; is_uni++) {
        uint32_t want = is_uni ? MR_WANT_STREAMS_BLOCKED_UNI : MR_WANT_STREAMS_BLOCKED_BIDI;
        struct mr_streams_send *streams = &b->conn->streams_send[is_uni];
        struct mr_frame_limit frame = {.limit = streams->limit, .is_uni = is_uni != 0};

        if ((b->space->wants & want) == 0)
            continue;
        if (!WRITE_RECORDED(b, mr_frame_write_streams_blocked(&b->w, &frame),
                            is_uni ? MR_SENT_STREAMS_BLOCKED_UNI : MR_SENT_STREAMS_BLOCKED_BIDI,
                            streams->limit, 0))
            return;
        mr_streams_send_blocked_sent(streams);
        clear_want(b, want);
    }
}

/* ------------------------------------------------------------------ connection IDs */

void mr_produce_new_cid(struct mr_build *b)
{
    struct mr_conn *conn = b->conn;

    if (mr_multipath_agreed(b->ep, conn) != NULL) {
        mr_multipath_produce_new_cids(b);
        return;
    }
    for (uint32_t i = 0; i < MR_CIDS_SLOTS; i++) {
        struct mr_frame_new_connection_id frame;

        if (!mr_cid_next_new(b->ep, conn, i, &frame))
            continue;
        if (!WRITE_RECORDED(b, mr_frame_write_new_connection_id(&b->w, &frame), MR_SENT_NEW_CID,
                            frame.sequence, 0))
            return;
        conn->issued_announced |= (uint16_t)(1u << i);
    }
    clear_want(b, MR_WANT_NEW_CID);
}

void mr_produce_retire_cid(struct mr_build *b)
{
    struct mr_conn *conn = b->conn;

    if (mr_multipath_agreed(b->ep, conn) != NULL) {
        mr_multipath_produce_retired_cids(b);
        return;
    }
    for (uint32_t i = 0; i < conn->retire_count; i++) {
        uint64_t sequence = conn->retire[i];

        if ((conn->retire_waiting & 1u << i) == 0)
            continue;
        if (!WRITE_RECORDED(b, mr_frame_write_retire_connection_id(&b->w, sequence),
                            MR_SENT_RETIRE_CID, sequence, 0))
            return;
        conn->retire_waiting &= ~(1u << i);
    }
    clear_want(b, MR_WANT_RETIRE_CID);
}

/* ------------------------------------------------------------------ paths, probes, the end */

void mr_produce_path_response(struct mr_build *b)
{
    struct mr_conn_extra *extra = mr_conn_extra(b->ep, b->conn);

    if (!WRITE_RECORDED(
            b, mr_frame_write_path(&b->w, MR_FRAME_PATH_RESPONSE, extra->path_responses[0].data),
            MR_SENT_PATH_RESPONSE, 0, 0))
        return;
    b->is_path_probe = true;
    extra->path_response_count--;
    memmove(&extra->path_responses[0], &extra->path_responses[1],
            extra->path_response_count * sizeof(extra->path_responses[0]));
    if (extra->path_response_count == 0)
        mr_path_forget_responses(b->ep, b->conn);
}

/* A challenge of `check`; false: no room. */
static bool write_challenge(struct mr_build *b, struct mr_path_check *check)
{
    uint64_t random = mr_endpoint_secret_random(b->ep);
    uint8_t data[MR_PATH_DATA];

    memcpy(data, &random, sizeof(data));
    if (!WRITE_RECORDED(b, mr_frame_write_path(&b->w, MR_FRAME_PATH_CHALLENGE, data),
                        MR_SENT_PATH_CHALLENGE, 0, 0))
        return false;
    mr_path_check_sent(check, random);
    b->is_path_probe = true;
    b->check = check;
    mr_count(&b->ep->counters.path_challenges_sent);
    return true;
}

void mr_produce_path_challenge(struct mr_build *b)
{
    struct mr_conn_extra *extra = mr_conn_extra(b->ep, b->conn);

    if (write_challenge(b, &extra->check))
        clear_want(b, MR_WANT_PATH_CHALLENGE);
}

void mr_produce_path_probe(struct mr_build *b)
{
    if (!b->side->check.is_wanted)
        return;
    if (write_challenge(b, &b->side->check) && mr_side_next(b->ep, b->conn) == NULL)
        clear_want(b, MR_WANT_PATH_PROBE);
}

void mr_produce_handshake_done(struct mr_build *b)
{
    if (WRITE_RECORDED(b, mr_frame_write_type(&b->w, MR_FRAME_HANDSHAKE_DONE),
                       MR_SENT_HANDSHAKE_DONE, 0, 0))
        clear_want(b, MR_WANT_HANDSHAKE_DONE);
}

/* RFC 9000, Section 8.1.3: each is another one, by its nonce.  None says that an address was
 * validated that was not: the one that is gets its own (mr_path_give_token). */
void mr_produce_new_token(struct mr_build *b)
{
    struct mr_endpoint *ep = b->ep;
    uint8_t token[MR_TOKEN_NEW_SIZE];
    struct mr_frame_new_token frame = {.token = token, .size = sizeof(token)};
    struct mr_saved_path saved = mr_conn_saved_path(ep, b->conn);

    if (!b->conn->path.is_validated) {
        clear_want(b, MR_WANT_NEW_TOKEN);
        return;
    }
    mr_token_write_new(&ep->tokens, b->conn->version, &b->conn->path.addr.remote, &saved,
                       mr_endpoint_secret_random(ep), token, mr_endpoint_wall_s(ep, b->now));
    if (!WRITE_RECORDED(b, mr_frame_write_new_token(&b->w, &frame), MR_SENT_NEW_TOKEN, 0, 0))
        return;
    clear_want(b, MR_WANT_NEW_TOKEN);
    mr_count(&ep->counters.tokens_sent);
}

void mr_produce_ping(struct mr_build *b)
{
    if (b->is_ack_eliciting) { /* something else does it */
        clear_want(b, MR_WANT_PING);
        return;
    }
    if (WRITE_RECORDED(b, mr_frame_write_type(&b->w, MR_FRAME_PING), MR_SENT_PING, 0, 0))
        clear_want(b, b->allowed & (MR_WANT_PING | MR_WANT_MTU_PROBE));
}

void mr_produce_close(struct mr_build *b)
{
    const struct mr_close *close = &b->conn->close;
    bool is_app = close->is_app && b->space_id == MR_SPACE_APP;
    struct mr_frame_connection_close frame = {
        .error = close->is_app && !is_app ? MR_APPLICATION_ERROR
                                          : close->error, /* RFC 9000, Section 10.2.3 */
        .frame_type = close->frame_type,
        .reason_size = close->is_app && !is_app ? 0 : close->reason_size,
        .reason = (const uint8_t *)close->reason,
        .is_app = is_app,
    };

    mr_frame_write_connection_close(&b->w, &frame);
    b->space->wants = 0;
    b->is_full = true;
}
