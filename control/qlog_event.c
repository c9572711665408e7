/* control/qlog_event.c - see qlog_event.h. */
#include "control/qlog_event.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "quic/cc.h"
#include "quic/ecn.h"
#include "quic/packet.h"
#include "quic/recv_state.h"
#include "quic/rtt.h"
#include "quic/send_state.h"
#include "quic/sent.h"

/* Events of one record, as they are made. */
struct made {
    struct mr_qlog_event *out;
    uint32_t count;
    const struct mr_trace_head *head;
    const uint8_t *body;
};

static struct json_object *add(struct made *m, const char *category, const char *name)
{
    struct json_object *data = json_object_new_object();

    m->out[m->count++] = (struct mr_qlog_event){.name = name, .category = category, .data = data};
    return data;
}

/* Copy the struct that a body begins with.  False: the record is too short for it. */
static bool take(const struct made *m, void *to, size_t size)
{
    if (m->head->size < size)
        return false;
    memcpy(to, m->body, size);
    return true;
}

static const char *name_of(const char *const *names, size_t count, uint64_t value)
{
    return value < count && names[value] != NULL ? names[value] : "unknown";
}

#define NAME(names, value) name_of(names, MR_COUNT_OF(names), value)

static const char *const packet_types[] = {
    [MR_PACKET_INITIAL] = "initial",     [MR_PACKET_ZERO_RTT] = "0RTT",
    [MR_PACKET_HANDSHAKE] = "handshake", [MR_PACKET_RETRY] = "retry",
    [MR_PACKET_ONE_RTT] = "1RTT",        [MR_PACKET_VERSION_NEGOTIATION] = "version_negotiation"};

static const char *const space_types[] = {"initial", "handshake", "1RTT"};
static const char *const space_names[] = {"initial", "handshake", "application_data"};

/* ------------------------------------------------------------------ values */

static void put_version(struct json_object *object, const char *key, uint32_t version)
{
    uint8_t bytes[4];

    mr_store_be(bytes, version, sizeof(bytes));
    mr_qlog_put_hex(object, key, bytes, sizeof(bytes));
}

static void put_cid(struct json_object *object, const char *key, const struct mr_cid *cid)
{
    mr_qlog_put_hex(object, key, cid->bytes, MR_MIN((size_t)cid->size, sizeof(cid->bytes)));
}

static void put_ip_v6(struct json_object *object, const uint8_t *ip)
{
    char text[40];
    size_t used = 0;

    for (int i = 0; i < 16; i += 2)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%02x%02x", i > 0 ? ":" : "",
                                 ip[i], ip[i + 1]);
    mr_qlog_put(object, "ip_v6", text);
}

/* TupleEndpointInfo. */
static void put_end(struct json_object *object, const char *key, const struct mr_addr *addr,
                    const struct mr_cid *cid)
{
    struct json_object *end = json_object_new_object();

    if (mr_addr_is_ipv4(addr)) {
        char text[20];

        snprintf(text, sizeof(text), "%u.%u.%u.%u", addr->ip[12], addr->ip[13], addr->ip[14],
                 addr->ip[15]);
        mr_qlog_put(end, "ip_v4", text);
        mr_qlog_put_number(end, "port_v4", addr->port);
    } else {
        put_ip_v6(end, addr->ip);
        mr_qlog_put_number(end, "port_v6", addr->port);
    }
    if (cid != NULL && cid->size > 0) {
        struct json_object *holder = json_object_new_object();
        struct json_object *cids = json_object_new_array();
        struct json_object *text = NULL;

        put_cid(holder, "cid", cid);
        if (json_object_object_get_ex(holder, "cid", &text))
            json_object_array_add(cids, json_object_get(text));
        json_object_put(holder);
        json_object_object_add(end, "connection_ids", cids);
    }
    json_object_object_add(object, key, end);
}

/* ------------------------------------------------------------------ the beginning */

static void put_versions(struct json_object *data, const struct mr_trace_start *start)
{
    static const uint32_t all[] = {MR_VERSION_1, UINT32_C(0x6b3343cf)}; /* RFC 9369 */
    struct json_object *list = json_object_new_array();

    for (size_t i = 0; i < MR_COUNT_OF(all); i++) {
        char text[12];

        if (!mr_version_is_supported(all[i]))
            continue;
        snprintf(text, sizeof(text), "%08x", all[i]);
        json_object_array_add(list, json_object_new_string(text));
    }
    json_object_object_add(data, start->role == MR_CLIENT ? "client_versions" : "server_versions",
                           list);
    put_version(data, "chosen_version", start->version);
}

static void on_start(struct made *m)
{
    struct mr_trace_start start;

    if (!take(m, &start, sizeof(start)))
        return;
    struct json_object *data = add(m, "connectivity", "quic:connection_started");
    put_end(data, "local", &start.path.local, &start.local);
    put_end(data, "remote", &start.path.remote, &start.peer);
    data = add(m, "transport", "quic:version_information");
    put_versions(data, &start);
    data = add(m, "recovery", "quic:recovery_parameters_set");
    mr_qlog_put_number(data, "reordering_threshold", MR_SENT_PACKET_THRESHOLD);
    json_object_object_add(data, "time_threshold", json_object_new_double_s(1.125, "1.125"));
    mr_qlog_put_number(data, "timer_granularity", MR_RTT_GRANULARITY / MR_MS);
    mr_qlog_put_ms(data, "initial_rtt", MR_RTT_INITIAL);
    mr_qlog_put_number(data, "max_datagram_size", start.mtu);
    mr_qlog_put_number(data, "minimum_congestion_window",
                       (uint64_t)start.mtu * MR_CC_MINIMUM_PACKETS);
    mr_qlog_put_number(data, "persistent_congestion_threshold", MR_RTT_PERSISTENT_THRESHOLD);
}

static void on_parameters(struct made *m)
{
    struct mr_trace_parameters head;

    if (!take(m, &head, sizeof(head)))
        return;
    struct json_object *data = add(m, "transport", "quic:parameters_set");
    mr_qlog_put(data, "initiator", head.is_peers ? "remote" : "local");
    mr_qlog_parameters(data, m->body + sizeof(head), m->head->size - sizeof(head));
}

static void on_restored(struct made *m)
{
    struct mr_trace_restored restored;

    if (!take(m, &restored, sizeof(restored)))
        return;
    struct json_object *data = add(m, "transport", "quic:parameters_restored");
    mr_qlog_put_number(data, "initial_max_data", restored.max_data);
    mr_qlog_put_number(data, "initial_max_stream_data_bidi_local",
                       restored.max_stream_data_bidi_local);
    mr_qlog_put_number(data, "initial_max_stream_data_bidi_remote",
                       restored.max_stream_data_bidi_remote);
    mr_qlog_put_number(data, "initial_max_stream_data_uni", restored.max_stream_data_uni);
    mr_qlog_put_number(data, "initial_max_streams_bidi", restored.max_streams_bidi);
    mr_qlog_put_number(data, "initial_max_streams_uni", restored.max_streams_uni);
    mr_qlog_put_number(data, "max_datagram_frame_size", restored.max_datagram_frame_size);
}

static void on_alpn(struct made *m)
{
    struct json_object *data = add(m, "transport", "quic:alpn_information");
    struct json_object *chosen = json_object_new_object();

    mr_qlog_put_peers_text(chosen, "string_value", "byte_value", m->body, m->head->size);
    json_object_object_add(data, "chosen_alpn", chosen);
}

/* ------------------------------------------------------------------ packets */

static struct json_object *header_of(const struct mr_trace_packet *p)
{
    struct json_object *header = json_object_new_object();
    bool is_long = p->type == MR_PACKET_INITIAL || p->type == MR_PACKET_HANDSHAKE ||
                   p->type == MR_PACKET_ZERO_RTT;

    mr_qlog_put(header, "packet_type", NAME(packet_types, p->type));
    if (p->has_phase)
        mr_qlog_put_number(header, "key_phase", p->phase);
    mr_qlog_put_number(header, "packet_number_length", p->number_size);
    mr_qlog_put_number(header, "packet_number", p->number);
    if (p->path > 0) /* draft-ietf-quic-multipath-qlog */
        mr_qlog_put_number(header, "path_id", p->path);
    if (p->token_size > 0) {
        struct json_object *token = json_object_new_object();
        struct json_object *raw = json_object_new_object();

        mr_qlog_put_number(raw, "length", p->token_size);
        json_object_object_add(token, "raw", raw);
        json_object_object_add(header, "token", token);
    }
    if (!is_long)
        return header;
    mr_qlog_put_number(header, "length",
                       (uint64_t)p->number_size + p->frame_size + 16); /* the AEAD's tag */
    put_version(header, "version", p->version);
    mr_qlog_put_number(header, "scil", p->scid.size);
    mr_qlog_put_number(header, "dcil", p->dcid.size);
    put_cid(header, "scid", &p->scid);
    put_cid(header, "dcid", &p->dcid);
    return header;
}

static void put_size(struct json_object *data, uint64_t length, uint64_t payload)
{
    struct json_object *raw = json_object_new_object();

    mr_qlog_put_number(raw, "length", length);
    if (payload > 0)
        mr_qlog_put_number(raw, "payload_length", payload);
    json_object_object_add(data, "raw", raw);
}

static void on_packet(struct made *m)
{
    bool is_sent = m->head->kind == MR_TRACE_SENT;
    struct mr_trace_packet p;

    if (!take(m, &p, sizeof(p)))
        return;
    struct json_object *data =
        add(m, "transport", is_sent ? "quic:packet_sent" : "quic:packet_received");
    json_object_object_add(data, "header", header_of(&p));
    json_object_object_add(
        data, "frames",
        mr_qlog_frames(m->body + sizeof(p), m->head->size - sizeof(p), p.ack_delay_exponent));
    put_size(data, p.size, p.frame_size);
    if (p.is_mtu_probe)
        mr_qlog_put_bool(data, "is_mtu_probe_packet", true);
    if (!p.is_cut)
        return;
    data = add(m, "info", "loglevel:info");
    mr_qlog_put(data, "message", "not all frames of the packet before are shown: it has too many");
}

static void on_spin(struct made *m)
{
    uint64_t bit;

    if (take(m, &bit, sizeof(bit)))
        mr_qlog_put_bool(add(m, "transport", "quic:spin_bit_updated"), "state", bit != 0);
}

static void on_drop(struct made *m)
{
    static const char *const triggers[] = {[MR_TRACE_GENERAL] = "general",
                                           [MR_TRACE_NO_KEY] = "key_unavailable",
                                           [MR_TRACE_UNDECRYPTABLE] = "decryption_failure",
                                           [MR_TRACE_DUPLICATE] = "duplicate",
                                           [MR_TRACE_INVALID] = "invalid",
                                           [MR_TRACE_REJECTED] = "rejected"};
    bool is_dropped = m->head->kind == MR_TRACE_DROPPED;
    struct mr_trace_drop drop;

    if (!take(m, &drop, sizeof(drop)))
        return;
    struct json_object *data =
        add(m, "transport", is_dropped ? "quic:packet_dropped" : "quic:packet_buffered");
    struct json_object *header = json_object_new_object();
    mr_qlog_put(header, "packet_type", NAME(packet_types, drop.type));
    if (drop.has_number)
        mr_qlog_put_number(header, "packet_number", drop.number);
    json_object_object_add(data, "header", header);
    if (drop.size > 0)
        put_size(data, drop.size, 0);
    mr_qlog_put(data, "trigger", is_dropped ? NAME(triggers, drop.trigger) : "keys_unavailable");
}

static void on_packet_lost(struct made *m)
{
    struct mr_trace_loss loss;

    if (!take(m, &loss, sizeof(loss)))
        return;
    struct json_object *data = add(m, "recovery", "quic:packet_lost");
    struct json_object *header = json_object_new_object();
    mr_qlog_put(header, "packet_type", NAME(space_types, loss.space));
    mr_qlog_put_number(header, "packet_number", loss.number);
    if (loss.path > 0)
        mr_qlog_put_number(header, "path_id", loss.path);
    json_object_object_add(data, "header", header);
    if (loss.is_mtu_probe)
        mr_qlog_put_bool(data, "is_mtu_probe_packet", true);
    mr_qlog_put(data, "trigger", loss.is_reordered ? "reordering_threshold" : "time_threshold");
}

/* ------------------------------------------------------------------ recovery */

static void on_metrics(struct made *m)
{
    struct mr_trace_metrics pair[2]; /* before, now */

    if (!take(m, pair, sizeof(pair)))
        return;
    const struct mr_trace_metrics *before = &pair[0];
    const struct mr_trace_metrics *now = &pair[1];
    struct json_object *data = add(m, "recovery", "quic:recovery_metrics_updated");
    if (now->min_ns != before->min_ns)
        mr_qlog_put_ms(data, "min_rtt", now->min_ns);
    if (now->smoothed_ns != before->smoothed_ns)
        mr_qlog_put_ms(data, "smoothed_rtt", now->smoothed_ns);
    if (now->latest_ns != before->latest_ns)
        mr_qlog_put_ms(data, "latest_rtt", now->latest_ns);
    if (now->variance_ns != before->variance_ns)
        mr_qlog_put_ms(data, "rtt_variance", now->variance_ns);
    if (now->pto_count != before->pto_count)
        mr_qlog_put_number(data, "pto_count", now->pto_count);
    if (now->window != before->window)
        mr_qlog_put_number(data, "congestion_window", now->window);
    if (now->in_flight != before->in_flight)
        mr_qlog_put_number(data, "bytes_in_flight", now->in_flight);
    if (now->ssthresh != before->ssthresh && now->ssthresh != MR_CC_UNLIMITED)
        mr_qlog_put_number(data, "ssthresh", now->ssthresh);
    if (now->packets_in_flight != before->packets_in_flight)
        mr_qlog_put_number(data, "packets_in_flight", now->packets_in_flight);
    /* once more by the name that qvis draws windows and round trips of */
    m->out[m->count++] = (struct mr_qlog_event){
        .name = "recovery:metrics_updated", .category = "recovery", .data = json_object_get(data)};
}

static void on_ecn(struct made *m)
{
    static const char *const names[] = {[MR_ECN_TESTING] = "testing",
                                        [MR_ECN_UNKNOWN] = "unknown",
                                        [MR_ECN_CAPABLE] = "capable",
                                        [MR_ECN_FAILED] = "failed"};
    struct mr_trace_change change;

    if (!take(m, &change, sizeof(change)) || change.after == MR_ECN_OFF)
        return;
    struct json_object *data = add(m, "recovery", "quic:ecn_state_updated");
    if (change.before != MR_ECN_OFF)
        mr_qlog_put(data, "old", NAME(names, change.before));
    mr_qlog_put(data, "new", NAME(names, change.after));
}

static void on_congestion(struct made *m)
{
    static const char *const names[] = {[MR_TRACE_SLOW_START] = "slow_start",
                                        [MR_TRACE_AVOIDANCE] = "congestion_avoidance",
                                        [MR_TRACE_RECOVERY] = "recovery"};
    struct mr_trace_change change;

    if (!take(m, &change, sizeof(change)))
        return;
    struct json_object *data = add(m, "recovery", "quic:congestion_state_updated");
    mr_qlog_put(data, "old", NAME(names, change.before));
    mr_qlog_put(data, "new", NAME(names, change.after));
}

static void on_pto(struct made *m)
{
    struct mr_trace_change change;

    if (!take(m, &change, sizeof(change)))
        return;
    struct json_object *data = add(m, "recovery", "quic:timer_updated");
    mr_qlog_put(data, "timer_type", "pto");
    mr_qlog_put(data, "packet_number_space", NAME(space_names, change.before));
    mr_qlog_put(data, "event_type", "expired");
}

/* ------------------------------------------------------------------ keys, states, paths, streams
 */

static void on_key(struct made *m)
{
    static const char *const types[][2] = {
        [MR_LEVEL_INITIAL] = {"server_initial_secret", "client_initial_secret"},
        [MR_LEVEL_EARLY] = {"server_0rtt_secret", "client_0rtt_secret"},
        [MR_LEVEL_HANDSHAKE] = {"server_handshake_secret", "client_handshake_secret"},
        [MR_LEVEL_APP] = {"server_1rtt_secret", "client_1rtt_secret"}};
    struct mr_trace_key key;

    if (!take(m, &key, sizeof(key)) || key.level >= MR_COUNT_OF(types))
        return;
    struct json_object *data =
        add(m, "security", key.is_discarded ? "quic:key_discarded" : "quic:key_updated");
    mr_qlog_put(data, "key_type", types[key.level][key.is_client]);
    if (key.level == MR_LEVEL_APP)
        mr_qlog_put_number(data, "key_phase", key.phase);
    mr_qlog_put(data, "trigger",
                !key.is_update ? "tls"
                : key.is_peers ? "remote_update"
                               : "local_update");
}

static const char *const state_names[] = {[MR_TRACE_ATTEMPTED] = "attempted",
                                          [MR_TRACE_COMPLETE] = "handshake_complete",
                                          [MR_TRACE_CONFIRMED] = "handshake_confirmed",
                                          [MR_TRACE_CLOSING] = "closing",
                                          [MR_TRACE_DRAINING] = "draining",
                                          [MR_TRACE_GONE] = "closed"};

static void on_state(struct made *m)
{
    struct mr_trace_change change;

    if (!take(m, &change, sizeof(change)))
        return;
    struct json_object *data = add(m, "connectivity", "quic:connection_state_updated");
    if (change.before != change.after && change.before != MR_TRACE_GONE)
        mr_qlog_put(data, "old", NAME(state_names, change.before));
    mr_qlog_put(data, "new", NAME(state_names, change.after));
}

static void on_end(struct made *m)
{
    uint64_t end;

    if (!take(m, &end, sizeof(end)) || end == MR_TRACE_MOVED)
        return;
    if (end == MR_TRACE_OVER)
        mr_qlog_put(add(m, "connectivity", "quic:connection_state_updated"), "new",
                    state_names[MR_TRACE_GONE]);
    else
        mr_qlog_put(add(m, "info", "loglevel:info"), "message",
                    "tracing was stopped; the connection goes on");
}

static void on_closed(struct made *m)
{
    static const char *const triggers[] = {[MR_TRACE_CLOSE_ERROR] = "error",
                                           [MR_TRACE_CLOSE_APPLICATION] = "application",
                                           [MR_TRACE_CLOSE_IDLE] = "idle_timeout",
                                           [MR_TRACE_CLOSE_RESET] = "stateless_reset",
                                           [MR_TRACE_CLOSE_VERSION] = "version_mismatch"};
    struct mr_trace_closed closed;

    if (!take(m, &closed, sizeof(closed)))
        return;
    struct json_object *data = add(m, "connectivity", "quic:connection_closed");
    mr_qlog_put(data, "initiator", closed.is_remote ? "remote" : "local");
    if (closed.trigger == MR_TRACE_CLOSE_ERROR || closed.trigger == MR_TRACE_CLOSE_APPLICATION)
        mr_qlog_put_error(data, closed.is_app ? "application_error" : "connection_error",
                          closed.error, closed.is_app);
    if (m->head->size > sizeof(closed))
        mr_qlog_put_peers_text(data, "reason", NULL, m->body + sizeof(closed),
                               m->head->size - sizeof(closed));
    mr_qlog_put(data, "trigger", NAME(triggers, closed.trigger));
}

static void on_mtu(struct made *m)
{
    struct mr_trace_change change;

    if (!take(m, &change, sizeof(change)))
        return;
    struct json_object *data = add(m, "connectivity", "quic:mtu_updated");
    mr_qlog_put_number(data, "old", change.before);
    mr_qlog_put_number(data, "new", change.after);
    mr_qlog_put_bool(data, "done", change.is_done);
}

static void on_version(struct made *m)
{
    struct mr_trace_change change;

    if (take(m, &change, sizeof(change)))
        put_version(add(m, "transport", "quic:version_information"), "chosen_version",
                    (uint32_t)change.after);
}

static void on_path(struct made *m)
{
    struct mr_trace_path path;

    if (!take(m, &path, sizeof(path)))
        return;
    struct json_object *data = add(m, "connectivity", "quic:tuple_assigned");
    mr_qlog_put(data, "tuple_id", "");
    put_end(data, "tuple_remote", &path.path.remote, &path.peer);
    put_end(data, "tuple_local", &path.path.local, NULL);
}

static void on_stream(struct made *m)
{
    static const char *const send_names[] = {
        [MR_SEND_READY] = "ready",           [MR_SEND_SEND] = "send",
        [MR_SEND_DATA_SENT] = "data_sent",   [MR_SEND_DATA_RECVD] = "data_received",
        [MR_SEND_RESET_SENT] = "reset_sent", [MR_SEND_RESET_RECVD] = "reset_received"};
    static const char *const recv_names[] = {[MR_RECV_RECV] = "receive",
                                             [MR_RECV_SIZE_KNOWN] = "size_known",
                                             [MR_RECV_DATA_RECVD] = "data_received",
                                             [MR_RECV_DATA_READ] = "data_read",
                                             [MR_RECV_RESET_RECVD] = "reset_received",
                                             [MR_RECV_RESET_READ] = "reset_read"};
    struct mr_trace_stream stream;

    if (!take(m, &stream, sizeof(stream)))
        return;
    struct json_object *data = add(m, "transport", "quic:stream_state_updated");
    mr_qlog_put_number(data, "stream_id", stream.id);
    mr_qlog_put(data, "stream_type", (stream.id & 2) != 0 ? "unidirectional" : "bidirectional");
    mr_qlog_put(data, "old",
                stream.is_sending ? NAME(send_names, stream.before)
                                  : NAME(recv_names, stream.before));
    mr_qlog_put(data, "new",
                stream.is_sending ? NAME(send_names, stream.after)
                                  : NAME(recv_names, stream.after));
    mr_qlog_put(data, "stream_side", stream.is_sending ? "sending" : "receiving");
}

static void on_http3(struct made *m)
{
    m->count = mr_qlog_http3(m->body, m->head->size, m->out);
}

static void on_lost(struct made *m)
{
    uint64_t count;
    char text[96];

    if (!take(m, &count, sizeof(count)))
        return;
    snprintf(text, sizeof(text), "%llu events are missing here: the ring to the writer was full",
             (unsigned long long)count);
    mr_qlog_put(add(m, "warning", "loglevel:warning"), "message", text);
}

/* ------------------------------------------------------------------ all of them */

uint32_t mr_qlog_events(const struct mr_trace_head *head, const uint8_t *body,
                        struct mr_qlog_event out[MR_QLOG_EVENTS_MAX])
{
    static void (*const handlers[MR_TRACE_KINDS])(struct made *) = {
        [MR_TRACE_LOST] = on_lost,         [MR_TRACE_START] = on_start,
        [MR_TRACE_END] = on_end,           [MR_TRACE_PARAMETERS] = on_parameters,
        [MR_TRACE_ALPN] = on_alpn,         [MR_TRACE_SENT] = on_packet,
        [MR_TRACE_RECEIVED] = on_packet,   [MR_TRACE_DROPPED] = on_drop,
        [MR_TRACE_BUFFERED] = on_drop,     [MR_TRACE_PACKET_LOST] = on_packet_lost,
        [MR_TRACE_METRICS] = on_metrics,   [MR_TRACE_CONGESTION] = on_congestion,
        [MR_TRACE_STATE] = on_state,       [MR_TRACE_MTU] = on_mtu,
        [MR_TRACE_KEY] = on_key,           [MR_TRACE_CLOSED] = on_closed,
        [MR_TRACE_PATH] = on_path,         [MR_TRACE_STREAM] = on_stream,
        [MR_TRACE_PTO] = on_pto,           [MR_TRACE_VERSION] = on_version,
        [MR_TRACE_ECN] = on_ecn,           [MR_TRACE_HTTP3] = on_http3,
        [MR_TRACE_RESTORED] = on_restored, [MR_TRACE_SPIN] = on_spin,
    };
    struct made m = {.out = out, .head = head, .body = body};

    if (head->kind < MR_TRACE_KINDS && handlers[head->kind] != NULL)
        handlers[head->kind](&m);
    return m.count;
}
