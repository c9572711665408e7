/*
 * quic/conn_early.c - 0-RTT: see conn_early.h.
 */
#include "quic/conn_early.h"

#include "quic/conn_trace.h"

/* ------------------------------------------------------------------ what is remembered */

uint64_t mr_early_tag(const struct mr_endpoint *ep)
{
    static const struct mr_siphash_key key = {.k0 = 0x30525454, .k1 = 1};
    const struct mr_endpoint_config *config = &ep->config;
    const uint64_t parts[] = {MR_MIN(config->conn_window_max, MR_CONN_WINDOW_FIRST),
                              MR_MIN(config->stream_window_max, MR_STREAM_WINDOW_FIRST),
                              config->streams_bidi_max,
                              config->streams_uni_max,
                              config->datagram_max,
                              config->remembered,
                              config->extensions & (MR_EXTENSION_RESET_STREAM_AT |
                                                    MR_EXTENSION_OBSERVES | MR_EXTENSION_OBSERVED)};

    return mr_siphash24(&key, parts, sizeof(parts));
}

bool mr_conn_early_remember(struct mr_handshake *hs, const struct mr_connect_options *options)
{
    const uint8_t *bytes;
    size_t size;
    struct mr_params_error error;

    if (!options->is_early || options->ticket == NULL ||
        !mr_tls_ticket_params(options->ticket, options->ticket_size, &bytes, &size) || size == 0 ||
        mr_transport_params_decode(bytes, size, MR_SERVER, &hs->remembered, &error) != MR_PARAMS_OK)
        return false;
    mr_transport_params_forget(&hs->remembered);
    return true;
}

static void set_windows(struct mr_conn *conn, const struct mr_transport_params *params)
{
    conn->stream_window_bidi_local = params->initial_max_stream_data_bidi_local;
    conn->stream_window_bidi_remote = params->initial_max_stream_data_bidi_remote;
    conn->stream_window_uni = params->initial_max_stream_data_uni;
}

/* The client's first limits, until the server says its own. */
static void apply_remembered(struct mr_endpoint *ep, struct mr_conn *conn,
                             const struct mr_transport_params *params)
{
    mr_flow_send_raise(&conn->flow_send, params->initial_max_data);
    mr_streams_send_raise(&conn->streams_send[0], params->initial_max_streams_bidi);
    mr_streams_send_raise(&conn->streams_send[1], params->initial_max_streams_uni);
    set_windows(conn, params);
    conn->peer_datagram_max =
        (uint16_t)MR_MIN(params->max_datagram_frame_size, (uint64_t)UINT16_MAX);
    mr_conn_event(ep, conn, MR_EVENT_EARLY | MR_EVENT_STREAMS_ALLOWED);
}

bool mr_conn_early_install(struct mr_endpoint *ep, struct mr_conn *conn,
                           const struct mr_secret *secret, bool is_write)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);

    /* RFC 9369, Section 4.1: "The client MUST NOT send 0-RTT packets using the negotiated version,
     * even after processing a packet of that version from the server." */
    if (!mr_conn_set_level_key(ep, hs->original_version, &hs->early, secret, is_write))
        return false;
    if (is_write)
        apply_remembered(ep, conn, &hs->remembered);
    if (is_write && mr_conn_is_traced(conn))
        mr_trace_restored(ep, conn, &hs->remembered);
    return true;
}

/* ------------------------------------------------------------------ the client: accepted or not */

/* What the server really allows a stream. */
static uint64_t stream_limit(const struct mr_conn *conn, const struct mr_stream *stream)
{
    return (stream->id & 2) != 0 ? conn->stream_window_uni : conn->stream_window_bidi_remote;
}

bool mr_conn_early_params(struct mr_endpoint *ep, struct mr_conn *conn,
                          const struct mr_transport_params *params, uint64_t now)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);
    struct mr_params_error error;

    if (conn->early == MR_EARLY_REJECTED) { /* dropped before: mr_conn_early_drop() */
        hs->remembered = *params;
        return mr_conn_early_rewind(ep, conn, now);
    }
    if (!hs->early.is_set || conn->role == MR_SERVER)
        return true;
    hs->is_reduced =
        mr_transport_params_compare_early(params, &hs->remembered, &error) != MR_PARAMS_OK;
    hs->remembered = *params;
    for (uint32_t i = conn->stream_head; i != MR_NONE; i = mr_stream_at(ep, i)->conn_next) {
        struct mr_stream *stream = mr_stream_at(ep, i);

        mr_flow_send_raise(&stream->flow_send, stream_limit(conn, stream));
    }
    return true;
}

/* Frames of streams' data are forgotten; others are owed again. */
static void forget_sent(struct mr_endpoint *ep, struct mr_conn *conn)
{
    struct mr_pn_space *space = &conn->app;
    struct mr_sent_loss loss;
    uint64_t bytes = 0;
    uint64_t pn;

    mr_sent_loss_begin_all(&loss, &space->sent);
    for (struct mr_sent_packet *p; (p = mr_sent_loss_next(&loss, &pn)) != NULL;) {
        struct mr_sent_frames at;

        bytes += p->size;
        for (const struct mr_sent_frame *f = mr_sent_frame_first(&at, &space->sent, p); f != NULL;
             f = mr_sent_frame_next(&at)) {
            if (f->kind == MR_SENT_DATAGRAM)
                mr_count_add(&ep->counters.datagram_frames_lost, f->object);
            else if (f->kind != MR_SENT_STREAM)
                mr_conn_requeue_frame(ep, conn, MR_SPACE_APP, f);
        }
    }
    mr_cc_on_discarded(&conn->path.cc, bytes);
    conn->loss.space[MR_SPACE_APP].ack_eliciting_count = space->sent.ack_eliciting_count;
    conn->loss.space[MR_SPACE_APP].loss_time_ns = MR_NEVER;
    mr_sent_release(&space->sent, MR_NEVER);
}

static void rewind_streams(struct mr_endpoint *ep, struct mr_conn *conn)
{
    conn->flow_send.used = 0;
    conn->flow_send.blocked_at = UINT64_MAX;
    for (uint32_t i = conn->stream_head; i != MR_NONE; i = mr_stream_at(ep, i)->conn_next) {
        struct mr_stream *stream = mr_stream_at(ep, i);

        if (stream->wants_reset || stream->send_state >= MR_SEND_RESET_SENT) {
            conn->flow_send.used += stream->send.next_offset; /* its final size counts */
            continue;
        }
        if (stream->has_reliable_out) /* owed again when its bytes were sent again */
            stream->is_reset_at_due = stream->is_reset_at_acked = stream->wants_reset_at = false;
        mr_send_queue_rewind(&stream->send, &ep->send_pools);
        mr_flow_send_init(&stream->flow_send, stream_limit(conn, stream));
        mr_stream_schedule(ep, conn, stream);
    }
}

bool mr_conn_early_rewind(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);
    const struct mr_transport_params *params = &hs->remembered;

    forget_sent(ep, conn);
    set_windows(conn, params);
    conn->flow_send.limit = params->initial_max_data;
    conn->streams_send[0].limit = params->initial_max_streams_bidi;
    conn->streams_send[1].limit = params->initial_max_streams_uni;
    conn->peer_datagram_max =
        (uint16_t)MR_MIN(params->max_datagram_frame_size, (uint64_t)UINT16_MAX);
    rewind_streams(ep, conn);
    bool is_within = conn->flow_send.used <= conn->flow_send.limit;
    for (int i = 0; i < 2; i++)
        is_within &= conn->streams_send[i].opened <= conn->streams_send[i].limit;
    if (is_within)
        return true;
    return mr_conn_fail(ep, conn, MR_INTERNAL_ERROR, 0,
                        "the server refused 0-RTT, and allows fewer streams than before", now);
}

static void clear_early(struct mr_endpoint *ep, struct mr_handshake *hs)
{
    mr_aead_key_clear(ep->aead, &hs->early.aead);
    mr_hp_key_clear(ep->aead, &hs->early.hp);
    hs->early.is_set = false;
}

bool mr_conn_early_settle(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_tls_early early,
                          uint64_t now)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);

    if (!hs->early.is_set)
        return true;
    clear_early(ep, hs);
    if (early != MR_EARLY_ACCEPTED) {
        conn->early = MR_EARLY_REJECTED;
        mr_count(&ep->counters.early_data_rejected);
        return mr_conn_early_rewind(ep, conn, now);
    }
    conn->early = MR_EARLY_ACCEPTED;
    mr_count(&ep->counters.early_data_accepted);
    if (!hs->is_reduced)
        return true;
    /* RFC 9000, Section 7.4.1: "If 0-RTT data is accepted by the server, the server MUST NOT reduce
     * any limits or alter any values that might be violated by the client with its 0-RTT data." */
    return mr_conn_fail(ep, conn, MR_PROTOCOL_VIOLATION, MR_FRAME_CRYPTO,
                        "0-RTT was accepted with lower limits than remembered", now);
}

bool mr_conn_early_drop(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    return mr_conn_early_settle(ep, conn, MR_EARLY_REJECTED, now);
}

/* ------------------------------------------------------------------ the server */

void mr_conn_early_expire(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);

    if (hs == NULL || hs->early_until_ns > now)
        return;
    hs->early_until_ns = MR_NEVER;
    clear_early(ep, hs);
}

void mr_conn_early_accept(struct mr_endpoint *ep, struct mr_conn *conn)
{
    if (conn->early == MR_EARLY_ACCEPTED)
        return;
    conn->early = MR_EARLY_ACCEPTED;
    conn->is_connected = true;
    mr_count(&ep->counters.early_data_accepted);
    mr_conn_event(ep, conn, MR_EVENT_CONNECTED | MR_EVENT_EARLY);
}
