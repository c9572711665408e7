/*
 * quic/conn_on_ack.c - ACK frames, losses, and what becomes of the frames in each packet.
 *
 *     ACK -> ranges -> packets newly acknowledged -> their frames (on_frame_acked)
 *         -> RTT sample, congestion window        -> packets lost -> their frames (on_frame_lost)
 *
 * RFC 9002, Appendix A.7; the steps are in its order.
 */
#include "quic/conn_ack_frequency.h"
#include "quic/conn_multipath.h"
#include "quic/conn_observed.h"
#include "quic/conn_reset_at.h"
#include "quic/conn_resume.h"
#include "quic/conn_undo.h"
#include "quic/sent_late.h"
#include "quic/sent_run.h"

#define RUN_MAX           (UINT32_C(1) << 30) /* bytes that a run of acknowledged frames may have */
#define REQUEUE_MAX       32                  /* packets that a probe timeout looks at */
#define HURRIES_MAX       3                   /* flights of a server repeated before their PTO */
#define HURRY_CROSSING_NS (100 * MR_MS)       /* a flight may be under way, round trip unknown */

/* What an ACK frame, or a timer, did. */
struct ack_sums {
    struct mr_cc_ack cc;
    struct mr_sent_frame run; /* STREAM data acknowledged and not told its stream yet */
    uint32_t run_size;        /* bytes; 0: none */
    uint64_t newest_pn;       /* largest packet number newly acknowledged */
    uint64_t marked;          /* packets newly acknowledged that carried the path's ECN mark */
    uint64_t large_pn;        /* the largest of those larger than the base MTU */
    bool is_any;
    bool is_ack_eliciting;
    bool is_largest_new; /* the frame raises the largest packet number acknowledged */
};

/* ------------------------------------------------------------------ frames acknowledged */

static void stream_acked(struct mr_endpoint *ep, struct mr_conn *conn,
                         const struct mr_sent_frame *frame, uint32_t size)
{
    struct mr_stream *stream = mr_stream_of_key(ep, frame->object);
    if (stream == NULL)
        return;

    bool was_full = stream->was_refused;
    enum mr_send_ack ack = mr_send_queue_acked(
        &stream->send, &ep->send_pools,
        (struct mr_send_span){
            .offset = frame->offset, .size = size, .has_fin = (frame->flags & MR_SENT_FIN) != 0});
    if (ack == MR_SEND_ACK_DROPPED) {
        mr_count(&ep->counters.limit_ranges);
        mr_stream_schedule(ep, conn, stream);
    }
    if (ack != MR_SEND_ACK_ADVANCED)
        return;
    mr_stream_event(ep, stream, MR_EVENT_ACKED);
    if (was_full && mr_send_queue_unsent_bytes(&stream->send) <= MR_LOW_WATER_BYTES) {
        stream->was_refused = false;
        mr_stream_event(ep, stream, MR_EVENT_WRITABLE);
    }
    if (mr_stream_is_all_acked(stream) &&
        mr_send_state_allows(stream->send_state, MR_SEND_ON_ALL_ACKED)) {
        if (mr_conn_is_traced(conn))
            mr_trace_stream(ep, conn, stream, true, MR_SEND_DATA_RECVD);
        stream->send_state = (uint8_t)mr_send_state_next(stream->send_state, MR_SEND_ON_ALL_ACKED);
        mr_stream_maybe_done(ep, stream);
    }
}

/* Tell the stream of what is acknowledged so far. */
static void end_run(struct mr_endpoint *ep, struct mr_conn *conn, struct ack_sums *sums)
{
    if (sums->run_size == 0)
        return;
    stream_acked(ep, conn, &sums->run, sums->run_size);
    sums->run_size = 0;
}

/* The frames of a bulk transfer follow each other: their stream is told once for all.  `size`:
 * bytes from the frame's offset on, of frames like it. */
static void add_to_run(struct mr_endpoint *ep, struct mr_conn *conn, struct ack_sums *sums,
                       const struct mr_sent_frame *frame, uint32_t size)
{
    bool follows = sums->run_size > 0 && sums->run_size < RUN_MAX &&
                   frame->object == sums->run.object &&
                   frame->offset == sums->run.offset + sums->run_size;

    if (follows) {
        sums->run_size += size;
        sums->run.flags |= frame->flags;
        return;
    }
    mr_stream_prefetch(mr_stream_place_of_key(ep, frame->object)); /* told after the one before */
    end_run(ep, conn, sums);
    sums->run = *frame;
    sums->run_size = size;
    if (size == 0) /* FIN alone */
        stream_acked(ep, conn, frame, 0);
}

static void reset_acked(struct mr_endpoint *ep, const struct mr_sent_frame *frame)
{
    struct mr_stream *stream = mr_stream_of_key(ep, frame->object);

    if (stream == NULL || !mr_send_state_allows(stream->send_state, MR_SEND_ON_RESET_ACKED))
        return;
    if (mr_conn_is_traced(mr_conn_at(ep, stream->conn)))
        mr_trace_stream(ep, mr_conn_at(ep, stream->conn), stream, true, MR_SEND_RESET_RECVD);
    stream->send_state = (uint8_t)mr_send_state_next(stream->send_state, MR_SEND_ON_RESET_ACKED);
    mr_stream_maybe_done(ep, stream);
}

static void reset_at_acked(struct mr_endpoint *ep, const struct mr_sent_frame *frame)
{
    struct mr_stream *stream = mr_stream_of_key(ep, frame->object);

    if (stream != NULL)
        mr_stream_reset_at_acked(ep, stream, frame->offset);
}

static void crypto_acked(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space which,
                         const struct mr_sent_frame *frame)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);

    if (hs != NULL)
        mr_send_queue_acked(&hs->crypto[which].send, &ep->send_pools,
                            (struct mr_send_span){.offset = frame->offset, .size = frame->length});
}

MR_INLINE void on_frame_acked(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space which,
                              const struct mr_sent_frame *frame, struct ack_sums *sums)
{
    switch ((enum mr_sent_kind)frame->kind) {
    case MR_SENT_STREAM:
        add_to_run(ep, conn, sums, frame, frame->length);
        return;
    case MR_SENT_ACK:
        mr_ack_ranges_forget(&mr_conn_space(ep, conn, which)->received, frame->offset);
        return;
    case MR_SENT_CRYPTO:
        crypto_acked(ep, conn, which, frame);
        return;
    case MR_SENT_RESET_STREAM:
        reset_acked(ep, frame);
        return;
    case MR_SENT_RESET_STREAM_AT:
        reset_at_acked(ep, frame);
        return;
    case MR_SENT_NEW_CID:
        mr_cid_on_announce_acked(conn, frame->offset);
        return;
    case MR_SENT_RETIRE_CID:
        mr_cid_on_retire_acked(conn, frame->offset);
        return;
    case MR_SENT_HANDSHAKE_DONE:
        conn->is_handshake_done_acked = true;
        return;
    case MR_SENT_ACK_FREQUENCY:
        mr_ack_request_on_acked(conn, frame->offset);
        return;
    default:
        if (frame->kind >= MR_SENT_PATH_ACK)
            mr_multipath_on_frame_acked(ep, conn, frame);
        return;
    }
}

/* ------------------------------------------------------------------ frames lost */

static bool stream_lost(struct mr_endpoint *ep, struct mr_conn *conn,
                        const struct mr_sent_frame *frame)
{
    struct mr_stream *stream = mr_stream_of_key(ep, frame->object);
    if (stream == NULL)
        return false;

    mr_send_queue_lost(&stream->send, &ep->send_pools,
                       (struct mr_send_span){.offset = frame->offset,
                                             .size = frame->length,
                                             .has_fin = (frame->flags & MR_SENT_FIN) != 0});
    if (!mr_send_queue_has_lost(&stream->send))
        return false;
    mr_stream_schedule(ep, conn, stream);
    return true;
}

static bool crypto_lost(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space which,
                        const struct mr_sent_frame *frame)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);
    if (hs == NULL)
        return false;

    mr_send_queue_lost(&hs->crypto[which].send, &ep->send_pools,
                       (struct mr_send_span){.offset = frame->offset, .size = frame->length});
    if (!mr_send_queue_has_lost(&hs->crypto[which].send))
        return false;
    mr_conn_want(ep, conn, mr_conn_space(ep, conn, which), MR_WANT_CRYPTO);
    return true;
}

/* A lost frame that a stream owes: what of it still matters. */
static bool stream_control_lost(struct mr_endpoint *ep, struct mr_conn *conn,
                                const struct mr_sent_frame *frame)
{
    struct mr_stream *stream = mr_stream_of_key(ep, frame->object);
    if (stream == NULL)
        return false;

    switch ((enum mr_sent_kind)frame->kind) {
    case MR_SENT_RESET_STREAM:
        if (stream->send_state != MR_SEND_RESET_SENT)
            return false;
        stream->wants_reset = true;
        break;
    case MR_SENT_RESET_STREAM_AT:
        if (!mr_stream_reset_at_lost(stream, frame->offset))
            return false;
        stream->wants_reset_at = true;
        break;
    case MR_SENT_STOP_SENDING:
        if (!mr_recv_state_wants_stop(stream->recv_state))
            return false;
        stream->wants_stop = true;
        break;
    case MR_SENT_MAX_STREAM_DATA:
        if (frame->offset < stream->flow_recv.limit ||
            !mr_recv_state_wants_credit(stream->recv_state))
            return false; /* a newer limit is on its way */
        stream->wants_max_data = true;
        break;
    default:
        mr_flow_send_blocked_lost(&stream->flow_send, frame->offset);
        return false; /* said again when data is held back again */
    }
    mr_stream_control(ep, conn, stream);
    return true;
}

/* Frames that the connection owes: the wish to send is raised again, the producer says what is
 * current. */
static uint32_t lost_wants(struct mr_conn *conn, const struct mr_sent_frame *frame)
{
    switch ((enum mr_sent_kind)frame->kind) {
    case MR_SENT_MAX_DATA:
        return frame->offset < conn->flow_recv.limit ? 0 : MR_WANT_MAX_DATA;
    case MR_SENT_MAX_STREAMS_BIDI:
        return frame->offset < conn->streams_recv[0].limit ? 0 : MR_WANT_MAX_STREAMS_BIDI;
    case MR_SENT_MAX_STREAMS_UNI:
        return frame->offset < conn->streams_recv[1].limit ? 0 : MR_WANT_MAX_STREAMS_UNI;
    case MR_SENT_DATA_BLOCKED:
        mr_flow_send_blocked_lost(&conn->flow_send, frame->offset);
        return 0;
    case MR_SENT_STREAMS_BLOCKED_BIDI:
        mr_streams_send_blocked_lost(&conn->streams_send[0], frame->offset);
        return mr_streams_send_wants_blocked(&conn->streams_send[0]) ? MR_WANT_STREAMS_BLOCKED_BIDI
                                                                     : 0;
    case MR_SENT_STREAMS_BLOCKED_UNI:
        mr_streams_send_blocked_lost(&conn->streams_send[1], frame->offset);
        return mr_streams_send_wants_blocked(&conn->streams_send[1]) ? MR_WANT_STREAMS_BLOCKED_UNI
                                                                     : 0;
    case MR_SENT_NEW_CID:
        return mr_cid_on_announce_lost(conn, frame->offset) ? MR_WANT_NEW_CID : 0;
    case MR_SENT_RETIRE_CID:
        return mr_cid_on_retire_lost(conn, frame->offset) ? MR_WANT_RETIRE_CID : 0;
    case MR_SENT_HANDSHAKE_DONE:
        return conn->is_handshake_done_acked ? 0 : MR_WANT_HANDSHAKE_DONE;
    case MR_SENT_OBSERVED_ADDRESS:
        return mr_observed_on_lost(conn, frame->offset) ? MR_WANT_OBSERVED_ADDRESS : 0;
    case MR_SENT_NEW_TOKEN:
        return MR_WANT_NEW_TOKEN;
    case MR_SENT_ACK_FREQUENCY:
        return mr_ack_request_on_lost(conn, frame->offset) ? MR_WANT_ACK_FREQUENCY : 0;
    default: /* PATH_x have timers of their own; ACK, PING and DATAGRAM are not repeated */
        return 0;
    }
}

bool mr_conn_requeue_frame(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space which,
                           const struct mr_sent_frame *frame)
{
    switch ((enum mr_sent_kind)frame->kind) {
    case MR_SENT_STREAM:
        return stream_lost(ep, conn, frame);
    case MR_SENT_CRYPTO:
        return crypto_lost(ep, conn, which, frame);
    case MR_SENT_RESET_STREAM:
    case MR_SENT_RESET_STREAM_AT:
    case MR_SENT_STOP_SENDING:
    case MR_SENT_MAX_STREAM_DATA:
    case MR_SENT_STREAM_DATA_BLOCKED:
        return stream_control_lost(ep, conn, frame);
    default:
        break;
    }
    if (frame->kind >= MR_SENT_PATH_ACK)
        return mr_multipath_on_frame_lost(ep, conn, frame);
    uint32_t wants = lost_wants(conn, frame);
    if (wants != 0)
        mr_conn_want(ep, conn, &conn->app, wants);
    return wants != 0;
}

bool mr_conn_requeue(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space which,
                     const struct mr_sent_packet *packet)
{
    struct mr_sent_frames at;
    bool is_any = false;
    const struct mr_sent *sent = &mr_conn_space(ep, conn, which)->sent;

    for (const struct mr_sent_frame *f = mr_sent_frame_first(&at, sent, packet); f != NULL;
         f = mr_sent_frame_next(&at))
        is_any |= mr_conn_requeue_frame(ep, conn, which, f);
    return is_any;
}

/* ------------------------------------------------------------------ losses */

/* Sums over the packets of one loss detection. */
struct loss_sums {
    uint64_t bytes;
    uint64_t newest_sent_ns;
    uint64_t congestion_bytes; /* of packets other than MTU probes */
    bool is_any;               /* frames of other paths' packets are to be sent again */
    uint64_t marked;           /* packets with the path's ECN mark */
    uint64_t now;
    uint64_t next_pn; /* of a packet that would continue the last range */
    uint32_t ranges;  /* of packets other than MTU probes */
    uint32_t count;   /* of these packets */
    uint64_t first_pn;
};

static void one_lost(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space which,
                     const struct mr_sent_packet *packet, uint64_t pn, struct loss_sums *sums)
{
    conn->packets_lost++;
    mr_count(&ep->counters.packets_lost);
    mr_count_add(&ep->counters.bytes_lost, packet->size);
    if (packet->path != conn->path.number) { /* RFC 9000, Section 9.4: not this path's congestion */
        mr_path_gone_elsewhere(ep, conn, packet);
        if (which == MR_SPACE_APP)
            mr_datagrams_count_lost(ep, &conn->app.sent, packet);
        sums->is_any |= mr_conn_requeue(ep, conn, which, packet);
        return;
    }
    sums->bytes += packet->size;
    sums->marked += mr_path_count_marked(conn, packet, pn, 1);
    if ((packet->flags & MR_SENT_MTU_PROBE) != 0) {
        mr_mtu_on_lost(ep, conn, packet->size, sums->now);
        return;
    }
    if (packet->size > MR_INITIAL_MIN)
        mr_mtu_on_large_lost(ep, conn, pn, sums->now);
    sums->congestion_bytes += packet->size;
    if (sums->count++ == 0)
        sums->first_pn = pn;
    sums->ranges += sums->ranges == 0 || pn != sums->next_pn;
    sums->next_pn = pn + 1;
    sums->newest_sent_ns = MR_MAX(sums->newest_sent_ns, packet->time_ns);
    if (which == MR_SPACE_APP)
        mr_datagrams_count_lost(ep, &conn->app.sent, packet);
    mr_conn_requeue(ep, conn, which, packet);
}

static void count_loss_space(struct mr_conn *conn, enum mr_space which,
                             const struct mr_pn_space *space)
{
    conn->loss.space[which].ack_eliciting_count = space->sent.ack_eliciting_count;
}

static void on_congestion(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    mr_count(&ep->counters.congestion_events);
    mr_conn_resume_on_congestion(ep, conn, now);
    if (conn->extra != MR_NONE && (mr_conn_extra(ep, conn)->uses & MR_EXTRA_RESUME) != 0)
        mr_conn_undo_drop(ep, conn); /* the window was tried out, not grown */
}

static void settle_losses(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space which,
                          const struct loss_sums *sums, bool is_persistent, uint64_t now)
{
    struct mr_cc *cc = &conn->path.cc;

    if (sums->bytes == 0) {
        if (sums->is_any)
            mr_conn_wake(ep, conn);
        return;
    }
    mr_cc_on_lost(cc, sums->bytes);
    if (sums->marked > 0 && mr_ecn_on_lost(&conn->path.ecn, sums->marked))
        mr_count(&ep->counters.ecn_failures);
    if (sums->congestion_bytes > 0) {
        mr_conn_undo_on_lost(ep, conn,
                             &(struct mr_undo_losses){.space = which,
                                                      .count = sums->count,
                                                      .first_pn = sums->first_pn,
                                                      .newest_sent_ns = sums->newest_sent_ns});
        mr_cc_on_loss(cc,
                      &(struct mr_cc_loss){.bytes = sums->congestion_bytes,
                                           .newest_sent_ns = sums->newest_sent_ns,
                                           .ranges = sums->ranges},
                      now);
        if (mr_cc_on_congestion(cc, sums->newest_sent_ns, now))
            on_congestion(ep, conn, now);
    }
    if (is_persistent) {
        mr_cc_on_persistent_congestion(cc);
        mr_rtt_restart_min(&conn->path.rtt);
        mr_count(&ep->counters.persistent_congestions);
    }
    if (mr_conn_is_traced(conn))
        mr_trace_metrics(ep, conn, 0);
    mr_conn_wake(ep, conn);
}

/* Lost packets are remembered for three PTO: later ACKs of them show that they were not. */
MR_COLD static uint64_t forget_before(const struct mr_rtt *rtt, enum mr_space which, uint64_t now)
{
    uint64_t keep = 3 * mr_rtt_pto(rtt, which);

    return now > keep ? now - keep : 0;
}

void mr_conn_detect_lost(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space which,
                         uint64_t now)
{
    struct mr_pn_space *space = mr_conn_space(ep, conn, which);
    struct mr_rtt *rtt = &conn->path.rtt;
    struct mr_sent_loss loss;
    struct loss_sums sums = {.now = now};
    uint64_t pn;

    if (space == NULL)
        return;
    mr_sent_loss_begin(
        &loss, &space->sent,
        &(struct mr_sent_loss_params){.now = now,
                                      .delay_ns = mr_rtt_loss_delay(rtt),
                                      .persistent_ns = mr_rtt_persistent_duration(rtt),
                                      .first_sample_ns = rtt->first_sample_ns});
    for (struct mr_sent_packet *p; (p = mr_sent_loss_next(&loss, &pn)) != NULL;) {
        if (mr_conn_is_traced(conn))
            mr_trace_packet_lost(ep, conn, which, p, pn);
        one_lost(ep, conn, which, p, pn, &sums);
    }
    conn->loss.space[which].loss_time_ns = loss.loss_time_ns;
    count_loss_space(conn, which, space);
    settle_losses(ep, conn, which, &sums, loss.is_persistent, now);
    mr_sent_release(&space->sent, space->sent.lost_count > 0 ? forget_before(rtt, which, now) : 0);
    if (space->undo != MR_NONE)
        mr_conn_undo_on_released(ep, conn);
}

void mr_conn_resend_all(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space which)
{
    struct mr_pn_space *space = mr_conn_space(ep, conn, which);
    struct mr_sent_loss loss;
    uint64_t bytes = 0;
    uint64_t pn;

    mr_sent_loss_begin_all(&loss, &space->sent);
    for (struct mr_sent_packet *p; (p = mr_sent_loss_next(&loss, &pn)) != NULL;) {
        bytes += p->size;
        mr_conn_requeue(ep, conn, which, p);
    }
    mr_cc_on_discarded(&conn->path.cc, bytes);
    count_loss_space(conn, which, space);
    conn->loss.space[which].loss_time_ns = MR_NEVER;
    mr_sent_release(&space->sent, MR_NEVER);
}

/* What the oldest packets in flight carry is to be sent again, about so many bytes.  Copies that
 * earlier probes made follow their originals.  False: it is nothing. */
static bool requeue_oldest(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space which,
                           uint64_t bytes)
{
    struct mr_pn_space *space = mr_conn_space(ep, conn, which);
    const struct mr_sent_packet *packet;
    uint64_t pn = 0;
    uint64_t sum = 0;
    bool has_data = false;

    for (uint32_t i = 0; i < REQUEUE_MAX && sum < bytes; i++) {
        packet = mr_sent_find(&space->sent, pn, &pn);
        if (packet == NULL)
            break;
        if ((packet->flags & MR_SENT_MTU_PROBE) == 0) {
            has_data |= mr_conn_requeue(ep, conn, which, packet);
            sum += packet->size;
        }
        pn++;
    }
    return has_data;
}

/* The same of `packets` packets' bytes; as many may go beyond the congestion window.  What was
 * acknowledged is so once more: the peer may wait for that to find its own losses. */
static bool repeat_oldest(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space which,
                          uint32_t packets)
{
    struct mr_pn_space *space = mr_conn_space(ep, conn, which);

    space->probes = (uint16_t)packets;
    space->wants |= space->received.count > 0 ? MR_WANT_ACK : 0;
    return requeue_oldest(ep, conn, which, (uint64_t)packets * conn->path.mtu);
}

/* RFC 9002, Section 6.2.4: what is in flight in the other spaces goes along, as the peer may have
 * the keys of one of them only. */
MR_COLD static void repeat_elsewhere(struct mr_endpoint *ep, struct mr_conn *conn,
                                     enum mr_space which, uint32_t packets)
{
    for (int other = 0; other < MR_SPACES; other++) {
        struct mr_pn_space *space = mr_conn_space(ep, conn, (enum mr_space)other);

        if (other == (int)which || space == NULL)
            continue;
        bool is_lost = (space->wants & MR_WANT_CRYPTO) != 0; /* and waits for the window */
        if (space->sent.ack_eliciting_count == 0 && !is_lost)
            continue;
        if (!repeat_oldest(ep, conn, (enum mr_space)other, packets) && !is_lost)
            space->probes = 0;
    }
}

void mr_conn_on_pto(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space which,
                    uint32_t probes, uint64_t now)
{
    struct mr_pn_space *space = mr_conn_space(ep, conn, which);

    if (space == NULL)
        return;
    mr_count(&ep->counters.ptos);
    if (mr_conn_is_traced(conn))
        mr_trace_pto(ep, conn, which);
    bool has_data = repeat_oldest(ep, conn, which, probes);
    mr_conn_want(ep, conn, space, has_data ? 0 : MR_WANT_PING);
    if (!conn->is_confirmed)
        repeat_elsewhere(ep, conn, which, probes);
    if (which == MR_SPACE_APP && conn->ack_request.review_ns != MR_NEVER)
        space->wants |= MR_WANT_IMMEDIATE_ACK;
    mr_ecn_on_pto(&conn->path.ecn, conn->loss.pto_count);
    if (conn->loss.pto_count >= MR_MTU_HOLE_PTOS)
        mr_mtu_on_black_hole(ep, conn, now);
    if (conn->multipath != MR_NONE)
        mr_multipath_on_pto(ep, conn, now);
}

MR_COLD void mr_conn_hurry(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);
    const struct mr_rtt *rtt = &conn->path.rtt;
    const struct mr_loss_space *initial = &conn->loss.space[MR_SPACE_INITIAL];
    uint64_t crossing = mr_rtt_has_sample(rtt) ? rtt->smoothed_ns : HURRY_CROSSING_NS;

    if (conn->role != MR_SERVER || hs == NULL || hs->hurries == HURRIES_MAX ||
        initial->ack_eliciting_count == 0 || now < initial->last_ack_eliciting_ns + crossing)
        return;
    hs->hurries++;
    mr_count(&ep->counters.flights_repeated);
    if (repeat_oldest(ep, conn, MR_SPACE_INITIAL, 1))
        repeat_elsewhere(ep, conn, MR_SPACE_INITIAL, 1);
    mr_conn_wake(ep, conn);
}

/* RFC 9002, Section 6.2.4: one of two may be lost.  A path that carries no data carries none as a
 * probe: what is lost would wait there for an answer that may never come. */
MR_COLD void mr_conn_probe_again(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space which)
{
    struct mr_pn_space *space = mr_conn_space(ep, conn, which);

    if (space->probes == 0 || (space->wants & (MR_WANT_CRYPTO | MR_WANT_STREAM)) != 0)
        return;
    if (mr_multipath_is_data_elsewhere(ep, conn))
        space->wants |= MR_WANT_PING;
    else
        requeue_oldest(ep, conn, which, conn->path.mtu);
}

/* ------------------------------------------------------------------ the ACK frame */

/* `count` packets like `p`, the last with number `pn`, of the path in use: what they say of it. */
MR_INLINE void count_acked(struct mr_rx *rx, const struct mr_sent_packet *p, uint64_t pn,
                           uint32_t count, struct ack_sums *sums)
{
    if (sums->cc.newest_sent_ns == 0 || pn > sums->newest_pn) {
        sums->newest_pn = pn;
        sums->cc.newest_sent_ns = p->time_ns;
    }
    sums->marked += mr_path_count_marked(rx->conn, p, pn, count);
    sums->is_ack_eliciting |= (p->flags & MR_SENT_ACK_ELICITING) != 0;
    if ((p->flags & MR_SENT_IN_FLIGHT) != 0)
        sums->cc.bytes += (uint64_t)count * p->size;
    if ((p->flags & MR_SENT_MTU_PROBE) != 0)
        mr_mtu_on_acked(rx->ep, rx->conn, p->size, rx->now);
    if (p->size > MR_INITIAL_MIN && pn > sums->large_pn)
        sums->large_pn = pn;
}

static void frames_acked(struct mr_rx *rx, const struct mr_sent_packet *p, struct ack_sums *sums)
{
    struct mr_sent_frames at;

    for (const struct mr_sent_frame *f = mr_sent_frame_first(&at, &rx->space->sent, p); f != NULL;
         f = mr_sent_frame_next(&at))
        on_frame_acked(rx->ep, rx->conn, rx->space_id, f, sums);
}

/* Packet `pn` of the path in use, and those behind it that are like it. */
MR_INLINE void acked_here(struct mr_rx *rx, struct mr_sent_ack *ack, const struct mr_sent_packet *p,
                          uint64_t pn, struct ack_sums *sums)
{
    const struct mr_sent_packet *last;
    uint32_t more = mr_sent_ack_like(ack, p, &last);

    count_acked(rx, last, pn + more, more + 1, sums);
    if (more > 0)
        add_to_run(rx->ep, rx->conn, sums, &p->first, (more + 1) * p->first.length);
    else
        frames_acked(rx, p, sums);
}

/* Packets of one range that were declared lost, and were not. */
MR_COLD static void late_range(struct mr_rx *rx, const struct mr_ack_range *range,
                               struct ack_sums *sums)
{
    struct mr_sent *sent = &rx->space->sent;
    struct mr_sent_late late;
    uint64_t pn;

    mr_sent_late_begin(&late, sent, (struct mr_sent_range){.lo = range->lo, .hi = range->hi});
    for (struct mr_sent_packet *p; (p = mr_sent_late_next(&late, &pn)) != NULL;) {
        mr_count(&rx->ep->counters.packets_lost_spurious);
        frames_acked(rx, p, sums);
        if (rx->space_id == MR_SPACE_APP && p->path == rx->conn->path.number &&
            (p->flags & MR_SENT_MTU_PROBE) == 0)
            mr_conn_undo_on_late(rx->ep, rx->conn, pn);
    }
}

/* Packets of one range.  False: a packet that was never sent is acknowledged. */
static bool ack_range(struct mr_rx *rx, const struct mr_ack_range *range, struct ack_sums *sums)
{
    struct mr_sent_ack ack;
    uint64_t pn;

    if (rx->space->sent.lost_count > 0)
        late_range(rx, range, sums);
    mr_sent_ack_begin(&ack, &rx->space->sent,
                      (struct mr_sent_range){.lo = range->lo, .hi = range->hi});
    for (struct mr_sent_packet *p; (p = mr_sent_ack_next(&ack, &pn)) != NULL;) {
        sums->is_any = true;
        if (p->path == rx->conn->path.number) {
            acked_here(rx, &ack, p, pn, sums);
        } else {
            mr_path_gone_elsewhere(rx->ep, rx->conn, p);
            frames_acked(rx, p, sums);
        }
    }
    return !ack.is_violation;
}

/* RFC 9002, Section 5.1: a sample only when the largest acknowledged is new and something
 * ack-eliciting was. */
static void take_rtt(struct mr_rx *rx, const struct mr_frame_ack *ack, struct ack_sums *sums)
{
    struct mr_conn *conn = rx->conn;

    if (!sums->is_ack_eliciting || sums->newest_pn != ack->largest ||
        rx->now <= sums->cc.newest_sent_ns)
        return;
    uint64_t delay_us = MR_MIN(ack->delay, (uint64_t)1 << 40) << conn->peer_ack_delay_exponent;
    struct mr_rtt_sample sample = {.latest_ns = rx->now - sums->cc.newest_sent_ns,
                                   .ack_delay_ns =
                                       rx->space_id == MR_SPACE_APP ? delay_us * MR_US : 0,
                                   .handshake_confirmed = conn->is_confirmed};
    mr_rtt_add(&conn->path.rtt, &sample, rx->now);
    sums->cc.rtt_ns = sample.latest_ns;
}

/* RFC 9002, Section 7.8: the window was neither the limit when these were sent nor half used. */
static bool is_app_limited(const struct mr_conn *conn)
{
    const struct mr_cc *cc = &conn->path.cc;

    return !conn->was_cwnd_limited && cc->in_flight < mr_cc_window(cc) / 2;
}

/* The frame has ECN counts, or should have.  CE is congestion (RFC 9002, Section 7.1). */
static void take_ecn(struct mr_rx *rx, const struct mr_frame_ack *frame, struct ack_sums *sums)
{
    struct mr_conn *conn = rx->conn;
    struct mr_counters *counters = &rx->ep->counters;
    struct mr_ecn_ack ack = {.counts = frame->has_ecn ? &frame->ecn : NULL,
                             .marked = sums->marked,
                             .is_largest_new = sums->is_largest_new};
    struct mr_ecn_arrived arrived;
    enum mr_ecn_verdict verdict =
        mr_ecn_on_ack(&conn->path.ecn, &rx->space->ecn_reports, &ack, &arrived);

    if (verdict == MR_ECN_NOW_FAILED)
        mr_count(&counters->ecn_failures);
    if (verdict == MR_ECN_NOW_CAPABLE)
        mr_count(&counters->ecn_validated);
    if (arrived.packets == 0)
        return;
    mr_count_add(&counters->ecn_ce_reported, arrived.ce);
    if (arrived.ce > 0)
        mr_conn_undo_drop(rx->ep, conn);
    struct mr_cc_ecn ecn = {.packets = arrived.packets,
                            .ce = arrived.ce,
                            .sent_ns = sums->cc.newest_sent_ns,
                            .rtt_ns = sums->cc.rtt_ns};
    if (mr_cc_on_ecn(&conn->path.cc, &ecn, rx->now))
        on_congestion(rx->ep, conn, rx->now);
}

/* RFC 9001, Section 4.1.2: a client's handshake is confirmed, too, when a 1-RTT packet of its is
 * acknowledged; HANDSHAKE_DONE may be long in coming. */
MR_COLD static void on_ack_in_handshake(struct mr_rx *rx)
{
    struct mr_conn *conn = rx->conn;

    if (rx->space_id == MR_SPACE_APP && conn->role == MR_CLIENT && conn->state == MR_CONN_OPEN &&
        conn->key_state.is_confirmed)
        mr_conn_confirm(rx->ep, conn, rx->now);
    mr_conn_maybe_end_handshake(rx->ep, conn, rx->now);
}

static void settle_acked(struct mr_rx *rx, const struct mr_frame_ack *frame, struct ack_sums *sums)
{
    struct mr_conn *conn = rx->conn;

    take_rtt(rx, frame, sums);
    mr_loss_on_acked(&conn->loss, rx->space_id, rx->now);
    if (frame->has_ecn || sums->marked > 0)
        take_ecn(rx, frame, sums);
    if (sums->large_pn > 0)
        mr_mtu_search_large_acked(&conn->mtu_search, sums->large_pn);
    bool is_limited = is_app_limited(conn);
    mr_conn_detect_lost(rx->ep, conn, rx->space_id, rx->now);
    if (sums->cc.bytes > 0) {
        sums->cc.smoothed_ns = conn->path.rtt.smoothed_ns;
        sums->cc.is_app_limited = is_limited;
        mr_cc_on_acked(&conn->path.cc, &sums->cc, rx->now);
        if (mr_conn_resume_is_due(conn))
            mr_conn_resume_on_acked(rx->ep, conn, &sums->cc, rx->now);
    }
    mr_mtu_refresh(rx->ep, conn, rx->now);
    mr_pacer_refresh(conn, rx->now);
    if (mr_conn_is_traced(conn))
        mr_trace_metrics(rx->ep, conn, sums->cc.newest_sent_ns);
    if (conn->ack_request.review_ns <= rx->now)
        mr_ack_request_review(rx->ep, conn, rx->now);
    if (conn->handshake != MR_NONE)
        on_ack_in_handshake(rx);
    mr_conn_wake_if_wanted(rx->ep, conn);
}

bool mr_ack_take(struct mr_rx *rx, struct mr_frame_ack *frame, uint64_t type)
{
    struct mr_ack_range range;
    struct ack_sums sums = {0};

    mr_count(&rx->ep->counters.acks_received);
    uint64_t largest = rx->space->sent.largest_acked;
    sums.is_largest_new = largest == MR_SENT_NO_PN || frame->largest > largest;
    while (mr_frame_ack_next(frame, &range)) {
        if (!ack_range(rx, &range, &sums)) {
            mr_count(&rx->ep->counters.acks_of_unsent);
            return mr_conn_fail(rx->ep, rx->conn, MR_PROTOCOL_VIOLATION, type,
                                "a packet that was never sent is acknowledged", rx->now);
        }
    }
    end_run(rx->ep, rx->conn, &sums);
    if (rx->space_id == MR_SPACE_APP) /* of any packet: those without frames to record count, too */
        mr_keys_on_acked(rx->conn, frame->largest);
    if (sums.is_any)
        settle_acked(rx, frame, &sums);
    return true;
}
