/* quic/conn_trace.c - see conn_trace.h. */
#include "quic/conn_trace.h"

#include <errno.h>

#include "quic/conn_multipath.h"
#include "quic/trace_frames.h"

#define BYTES(value) ((struct mr_trace_bytes){.at = &(value), .size = sizeof(value)})

static const struct mr_trace_bytes nothing = {.size = 0};

static struct mr_traced *traced_of(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    return &ep->tracer->traced[conn->trace];
}

static bool has_events(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    return (traced_of(ep, conn)->what & MR_TRACE_EVENTS) != 0;
}

static void write_more(struct mr_endpoint *ep, const struct mr_conn *conn, enum mr_trace_kind kind,
                       struct mr_trace_bytes body, struct mr_trace_bytes more)
{
    if (has_events(ep, conn))
        (void)mr_tracer_write(ep->tracer, conn->trace, kind, body, more);
}

static void write(struct mr_endpoint *ep, const struct mr_conn *conn, enum mr_trace_kind kind,
                  struct mr_trace_bytes body)
{
    write_more(ep, conn, kind, body, nothing);
}

/* ------------------------------------------------------------------ a trace */

static struct mr_cid local_cid(const struct mr_conn *conn)
{
    struct mr_cid cid = {.size = 0};

    for (uint32_t i = 0; i < MR_CIDS_SLOTS && cid.size == 0; i++) {
        if (conn->issued.key[i] == 0)
            continue;
        cid.size = MR_LOCAL_CID_SIZE;
        memcpy(cid.bytes, &conn->issued.key[i], MR_LOCAL_CID_SIZE);
    }
    return cid;
}

/* The first record of a trace.  Without it nobody would know whose the others are. */
static bool write_start(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t what, bool is_late)
{
    const struct mr_handshake *hs = mr_conn_handshake(ep, conn);
    struct mr_trace_start start = {.path = conn->path.addr,
                                   .name = hs != NULL ? hs->original_dcid : local_cid(conn),
                                   .local = local_cid(conn),
                                   .peer = mr_cid_current(conn)->cid,
                                   .version = conn->version,
                                   .mtu = conn->path.mtu,
                                   .role = conn->role,
                                   .what = (uint8_t)what,
                                   .is_late = is_late,
                                   .cc_kind = (uint8_t)mr_cc_kind_of(&conn->path.cc)};

    return mr_tracer_write(ep->tracer, conn->trace, MR_TRACE_START, BYTES(start), nothing);
}

static bool begin(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t what, bool is_late)
{
    conn->trace = mr_tracer_begin(ep->tracer, what, 0);
    if (conn->trace == MR_NONE) {
        mr_count(&ep->counters.limit_traces);
        return false;
    }
    if (write_start(ep, conn, what, is_late))
        return true;
    mr_count(&ep->counters.limit_traces);
    mr_trace_end(ep, conn, MR_TRACE_STOPPED);
    return false;
}

void mr_trace_new(struct mr_endpoint *ep, struct mr_conn *conn)
{
    uint32_t what = mr_tracer_wants(ep->tracer, &conn->path.addr.remote);

    if (what != 0 && begin(ep, conn, what, false))
        mr_trace_state(ep, conn, MR_TRACE_ATTEMPTED, MR_TRACE_ATTEMPTED);
}

void mr_trace_end(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_trace_end end)
{
    mr_count_add(&ep->counters.trace_records_lost, traced_of(ep, conn)->lost_all);
    mr_tracer_end(ep->tracer, conn->trace, end);
    conn->trace = MR_NONE;
}

bool mr_trace_has_keys(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    return (traced_of(ep, conn)->what & MR_TRACE_KEYS) != 0;
}

void mr_trace_leave(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_trace_ticket *out)
{
    *out = (struct mr_trace_ticket){.number = traced_of(ep, conn)->number,
                                    .from = ep->tracer->number,
                                    .moves = traced_of(ep, conn)->moves + 1,
                                    .what = traced_of(ep, conn)->what};
    mr_trace_end(ep, conn, MR_TRACE_MOVED);
}

void mr_trace_arrive(struct mr_endpoint *ep, struct mr_conn *conn,
                     const struct mr_trace_ticket *ticket)
{
    conn->trace = MR_NONE;
    if (ticket->what == 0 || ep->tracer == NULL)
        return;
    conn->trace = mr_tracer_begin(ep->tracer, (uint32_t)ticket->what, ticket->number);
    if (conn->trace == MR_NONE) {
        mr_count(&ep->counters.limit_traces);
        if (!mr_tracer_refuse(ep->tracer, ticket))
            mr_count(&ep->counters.trace_records_lost);
        return;
    }
    traced_of(ep, conn)->moves = ticket->moves;
    (void)mr_tracer_write(ep->tracer, conn->trace, MR_TRACE_ARRIVAL, BYTES(*ticket), nothing);
}

/* ------------------------------------------------------------------ orders */

static void stop_all(struct mr_endpoint *ep)
{
    for (uint32_t i = 0; i < ep->conns.fresh; i++) {
        struct mr_conn *conn = mr_conn_at(ep, i);

        if ((conn->generation & 1) != 0 && mr_conn_is_traced(conn))
            mr_trace_end(ep, conn, MR_TRACE_STOPPED);
    }
}

void mr_endpoint_set_tracer(struct mr_endpoint *ep, struct mr_tracer *tracer, uint64_t now)
{
    mr_trace_clock(ep, now);
    if (ep->tracer != NULL && ep->tracer != tracer)
        stop_all(ep);
    ep->tracer = tracer;
    mr_trace_clock(ep, now);
}

void mr_endpoint_trace_new(struct mr_endpoint *ep, const struct mr_trace_rule *rule)
{
    if (ep->tracer != NULL)
        ep->tracer->rule = *rule;
}

void mr_endpoint_trace_stop(struct mr_endpoint *ep, uint64_t now)
{
    if (ep->tracer == NULL)
        return;
    mr_trace_clock(ep, now);
    ep->tracer->rule = (struct mr_trace_rule){.what = 0};
    stop_all(ep);
}

int mr_conn_trace(struct mr_endpoint *ep, mr_handle handle, uint32_t what, uint64_t now)
{
    struct mr_conn *conn = mr_conn_of_handle(ep, handle);

    if (conn == NULL)
        return mr_conn_absence(ep, handle);
    if (ep->tracer == NULL)
        return -EOPNOTSUPP;
    if ((what & MR_TRACE_KEYS) != 0 && conn->state != MR_CONN_HANDSHAKE)
        return -EBUSY;
    mr_trace_clock(ep, now);
    if (mr_conn_is_traced(conn))
        mr_trace_end(ep, conn, MR_TRACE_STOPPED);
    if (what == 0)
        return 0;
    return begin(ep, conn, what, true) ? 0 : -EAGAIN;
}

/* ------------------------------------------------------------------ HTTP/3 */

bool mr_endpoint_is_tracing(const struct mr_endpoint *ep)
{
    return ep->tracer != NULL && ep->tracer->count > 0;
}

int mr_conn_trace_http3(struct mr_endpoint *ep, mr_handle handle,
                        const struct mr_trace_http3 *record, struct mr_view bytes, uint64_t now)
{
    struct mr_conn copy;
    const struct mr_conn *conn = mr_conn_look(ep, handle, &copy);

    if (conn == NULL)
        return -ESTALE;
    if (!mr_conn_is_traced(conn) || !has_events(ep, conn))
        return -ENOENT;
    if (bytes.size > MR_TRACE_HTTP3_BYTES)
        return -EINVAL;
    mr_trace_clock(ep, now);
    struct mr_trace_bytes body = {.at = record, .size = sizeof(*record)};
    struct mr_trace_bytes more = {.at = bytes.data, .size = bytes.size};
    return mr_tracer_write(ep->tracer, conn->trace, MR_TRACE_HTTP3, body, more) ? 0 : -ENOBUFS;
}

/* ------------------------------------------------------------------ packets */

/* ID of the path in hand. */
static uint32_t path_of(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    const struct mr_multipath *mp = mr_multipath(ep, conn);

    return mp == NULL ? 0 : mr_multipath_hand_id(ep, mp);
}

/* The record of a packet, its frames packed behind it. */
static void write_packet(struct mr_endpoint *ep, const struct mr_conn *conn,
                         enum mr_trace_kind kind, struct mr_trace_packet *packet,
                         const uint8_t *payload, size_t size)
{
    uint8_t frames[MR_TRACE_FRAMES_MAX];
    struct mr_trace_bytes more = {.at = frames};

    if (!has_events(ep, conn))
        return;
    packet->frame_size = (uint32_t)size;
    packet->path = path_of(ep, conn);
    more.size = mr_trace_frames_pack(frames, sizeof(frames), payload, size, &packet->is_cut);
    write_more(ep, conn, kind, BYTES(*packet), more);
}

/* RFC 9000, Section 17.4. */
static void tell_spin(struct mr_endpoint *ep, struct mr_conn *conn, uint8_t first_byte)
{
    struct mr_traced *traced = traced_of(ep, conn);
    uint64_t bit = (first_byte & MR_PACKET_SPIN) != 0;
    bool is_told = traced->spin != 0 && traced->spin != 1 + bit;

    if (!conn->path.is_spinning)
        return;
    traced->spin = (uint8_t)(1 + bit);
    if (is_told)
        write(ep, conn, MR_TRACE_SPIN, BYTES(bit));
}

void mr_trace_sent(struct mr_endpoint *ep, struct mr_conn *conn, const struct mr_trace_built *b)
{
    static const uint8_t types[MR_SPACES] = {MR_PACKET_INITIAL, MR_PACKET_HANDSHAKE,
                                             MR_PACKET_ONE_RTT};
    const struct mr_handshake *hs = mr_conn_handshake(ep, conn);
    struct mr_trace_packet packet = {.number = b->pn,
                                     .size = (uint32_t)b->size + MR_AEAD_TAG,
                                     .type = types[b->space],
                                     .number_size = b->pn_size,
                                     .is_mtu_probe = b->is_mtu_probe,
                                     .ack_delay_exponent = MR_ACK_DELAY_EXPONENT};

    if (b->is_early)
        packet.type = MR_PACKET_ZERO_RTT;
    if (b->space == MR_SPACE_APP && !b->is_early) {
        packet.has_phase = true;
        packet.phase = conn->key_state.updates;
        tell_spin(ep, conn, b->packet[0]);
    } else {
        packet.version = b->is_early && hs != NULL ? hs->original_version : conn->version;
        packet.dcid = mr_cid_current(conn)->cid;
        packet.scid = local_cid(conn);
    }
    if (b->space == MR_SPACE_INITIAL && conn->role == MR_CLIENT && hs != NULL)
        packet.token_size = hs->token_size;
    write_packet(ep, conn, MR_TRACE_SENT, &packet, b->packet + b->header_size,
                 b->size - b->header_size);
}

void mr_trace_received(const struct mr_rx *rx, uint8_t first_byte, const uint8_t *payload,
                       size_t size)
{
    const struct mr_conn *conn = rx->conn;
    bool is_long = mr_packet_is_long(first_byte);
    const uint8_t *start = rx->dcid - (is_long ? 6 : 1); /* RFC 9000, Sections 17.2 and 17.3 */
    struct mr_packet_header header;
    struct mr_trace_packet packet = {
        .number = rx->pn,
        .size = (uint32_t)(size_t)(payload - start) + (uint32_t)size + MR_AEAD_TAG,
        .type = (uint8_t)rx->type,
        .number_size = mr_packet_pn_size(first_byte),
        .ecn = rx->datagram->ecn,
        .ack_delay_exponent =
            rx->space_id == MR_SPACE_APP ? conn->peer_ack_delay_exponent : MR_ACK_DELAY_EXPONENT};

    if (!is_long) {
        packet.has_phase = true;
        packet.phase = conn->key_state.updates;
        if (((first_byte & MR_PACKET_KEY_PHASE) != 0) != (conn->key_state.phase != 0))
            packet.phase--; /* overtaken by an update */
    } else if (mr_packet_parse_long(start, packet.size, &header) == MR_PACKET_OK) {
        packet.version = header.version;
        packet.token_size = header.token_size;
        (void)mr_cid_copy(&packet.dcid, header.dcid);
        (void)mr_cid_copy(&packet.scid, header.scid);
    }
    write_packet(rx->ep, conn, MR_TRACE_RECEIVED, &packet, payload, size);
}

void mr_trace_dropped(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_trace_drop drop)
{
    write(ep, conn, MR_TRACE_DROPPED, BYTES(drop));
}

void mr_trace_buffered(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_trace_drop drop)
{
    write(ep, conn, MR_TRACE_BUFFERED, BYTES(drop));
}

/* ------------------------------------------------------------------ recovery */

void mr_trace_packet_lost(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space space,
                          const struct mr_sent_packet *packet, uint64_t pn)
{
    uint64_t acked = mr_conn_space(ep, conn, space)->sent.largest_acked;
    struct mr_trace_loss loss = {.number = pn,
                                 .path = path_of(ep, conn),
                                 .space = (uint8_t)space,
                                 .is_mtu_probe = (packet->flags & MR_SENT_MTU_PROBE) != 0,
                                 .is_reordered = acked != MR_SENT_NO_PN &&
                                                 pn + MR_SENT_PACKET_THRESHOLD <= acked};

    write(ep, conn, MR_TRACE_PACKET_LOST, BYTES(loss));
}

void mr_trace_pto(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space space)
{
    struct mr_trace_change change = {.before = space, .after = conn->loss.pto_count};

    write(ep, conn, MR_TRACE_PTO, BYTES(change));
}

static struct mr_trace_metrics read_metrics(const struct mr_endpoint *ep, struct mr_conn *conn)
{
    const struct mr_rtt *rtt = &conn->path.rtt;
    const struct mr_cc *cc = &conn->path.cc;
    bool has_rtt = mr_rtt_has_sample(rtt);
    struct mr_trace_metrics m = {.window = mr_cc_window(cc),
                                 .ssthresh = mr_cc_ssthresh(cc),
                                 .in_flight = cc->in_flight,
                                 .pto_count = conn->loss.pto_count};

    if (has_rtt) {
        m.min_ns = rtt->min_ns;
        m.smoothed_ns = rtt->smoothed_ns;
        m.latest_ns = rtt->latest_ns;
        m.variance_ns = rtt->var_ns;
    }
    for (int i = 0; i < MR_SPACES; i++) {
        const struct mr_pn_space *space = mr_conn_space(ep, conn, (enum mr_space)i);

        m.packets_in_flight += space == NULL ? 0 : space->sent.in_flight_count;
    }
    return m;
}

static enum mr_trace_congestion congestion_of(struct mr_traced *traced, const struct mr_cc *cc,
                                              uint64_t acked_sent_ns)
{
    if (cc->has_recovery && cc->recovery_start_ns != traced->recovery_ns) {
        traced->recovery_ns = cc->recovery_start_ns;
        return MR_TRACE_RECOVERY;
    }
    if (cc->has_recovery && traced->congestion == MR_TRACE_RECOVERY &&
        acked_sent_ns <= cc->recovery_start_ns)
        return MR_TRACE_RECOVERY;
    return mr_cc_in_slow_start(cc) ? MR_TRACE_SLOW_START : MR_TRACE_AVOIDANCE;
}

static void tell_ecn(struct mr_endpoint *ep, struct mr_conn *conn)
{
    struct mr_traced *traced = traced_of(ep, conn);
    struct mr_trace_change change = {.before = traced->ecn, .after = conn->path.ecn.state};

    if (change.after == change.before)
        return;
    traced->ecn = (uint8_t)change.after;
    write(ep, conn, MR_TRACE_ECN, BYTES(change));
}

void mr_trace_metrics(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t acked_sent_ns)
{
    struct mr_traced *traced = traced_of(ep, conn);
    struct mr_trace_metrics now = read_metrics(ep, conn);
    struct mr_trace_change change = {.before = traced->congestion};

    change.after = congestion_of(traced, &conn->path.cc, acked_sent_ns);
    if (change.after != change.before) {
        traced->congestion = (uint8_t)change.after;
        write(ep, conn, MR_TRACE_CONGESTION, BYTES(change));
    }
    tell_ecn(ep, conn);
    if (memcmp(&now, &traced->metrics, sizeof(now)) == 0)
        return;
    write_more(ep, conn, MR_TRACE_METRICS, BYTES(traced->metrics), BYTES(now));
    traced->metrics = now;
}

/* ------------------------------------------------------------------ TLS */

void mr_trace_params(struct mr_endpoint *ep, struct mr_conn *conn, const uint8_t *bytes,
                     size_t size, bool is_peers)
{
    bool is_clients = (conn->role == MR_CLIENT) != is_peers;
    struct mr_trace_parameters head = {
        .size = (uint32_t)size, .is_peers = is_peers, .sender = is_clients ? MR_CLIENT : MR_SERVER};
    size_t room = MR_TRACE_BODY_MAX - sizeof(head);

    write_more(ep, conn, MR_TRACE_PARAMETERS, BYTES(head),
               (struct mr_trace_bytes){.at = bytes, .size = MR_MIN(size, room)});
}

void mr_trace_restored(struct mr_endpoint *ep, struct mr_conn *conn,
                       const struct mr_transport_params *params)
{
    struct mr_trace_restored restored = {
        .max_data = params->initial_max_data,
        .max_stream_data_bidi_local = params->initial_max_stream_data_bidi_local,
        .max_stream_data_bidi_remote = params->initial_max_stream_data_bidi_remote,
        .max_stream_data_uni = params->initial_max_stream_data_uni,
        .max_streams_bidi = params->initial_max_streams_bidi,
        .max_streams_uni = params->initial_max_streams_uni,
        .max_datagram_frame_size = params->max_datagram_frame_size};

    write(ep, conn, MR_TRACE_RESTORED, BYTES(restored));
}

void mr_trace_alpn(struct mr_endpoint *ep, struct mr_conn *conn)
{
    write(ep, conn, MR_TRACE_ALPN,
          (struct mr_trace_bytes){.at = conn->alpn, .size = strlen(conn->alpn)});
}

void mr_trace_keylog(struct mr_endpoint *ep, struct mr_conn *conn, const char *lines, size_t size)
{
    (void)mr_tracer_write(ep->tracer, conn->trace, MR_TRACE_KEYLOG,
                          (struct mr_trace_bytes){.at = lines, .size = size}, nothing);
}

static void write_key(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_trace_key key,
                      bool is_ours)
{
    key.is_client = (conn->role == MR_CLIENT) == is_ours;
    write(ep, conn, MR_TRACE_KEY, BYTES(key));
}

void mr_trace_key(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_level level, bool is_ours)
{
    write_key(ep, conn, (struct mr_trace_key){.level = (uint8_t)level}, is_ours);
}

void mr_trace_key_update(struct mr_endpoint *ep, struct mr_conn *conn, bool is_peers)
{
    struct mr_trace_key key = {.level = MR_LEVEL_APP,
                               .phase = conn->key_state.updates,
                               .is_update = true,
                               .is_peers = is_peers};

    write_key(ep, conn, key, true);
    write_key(ep, conn, key, false);
}

void mr_trace_keys_discarded(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space space)
{
    struct mr_trace_key key = {.level = space == MR_SPACE_INITIAL ? MR_LEVEL_INITIAL
                                                                  : MR_LEVEL_HANDSHAKE,
                               .is_discarded = true};

    write_key(ep, conn, key, true);
    write_key(ep, conn, key, false);
}

/* ------------------------------------------------------------------ connection, path, streams */

void mr_trace_state(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_trace_state before,
                    enum mr_trace_state after)
{
    struct mr_trace_change change = {.before = before, .after = after};

    write(ep, conn, MR_TRACE_STATE, BYTES(change));
}

void mr_trace_closed(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_trace_close trigger)
{
    const struct mr_close *close = &conn->close;
    struct mr_trace_closed closed = {.error = close->error,
                                     .is_app = close->is_app,
                                     .is_remote = close->is_remote,
                                     .trigger = (uint8_t)trigger};

    write_more(ep, conn, MR_TRACE_CLOSED, BYTES(closed),
               (struct mr_trace_bytes){.at = close->reason, .size = close->reason_size});
}

void mr_trace_version(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t before)
{
    struct mr_trace_change change = {.before = before, .after = conn->version};

    write(ep, conn, MR_TRACE_VERSION, BYTES(change));
}

void mr_trace_mtu(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t before)
{
    struct mr_trace_change change = {
        .before = before, .after = conn->path.mtu, .is_done = conn->mtu_search.target == 0};

    write(ep, conn, MR_TRACE_MTU, BYTES(change));
}

void mr_trace_path(struct mr_endpoint *ep, struct mr_conn *conn)
{
    struct mr_trace_path path = {.path = conn->path.addr,
                                 .peer = mr_cid_current(conn)->cid,
                                 .is_validated = conn->path.is_validated};

    write(ep, conn, MR_TRACE_PATH, BYTES(path));
}

void mr_trace_stream(struct mr_endpoint *ep, struct mr_conn *conn, const struct mr_stream *stream,
                     bool is_sending, uint8_t after)
{
    struct mr_trace_stream change = {.id = stream->id,
                                     .is_sending = is_sending,
                                     .before = is_sending ? stream->send_state : stream->recv_state,
                                     .after = after};

    if (change.before != after)
        write(ep, conn, MR_TRACE_STREAM, BYTES(change));
}
