/*
 * quic/conn_tls.c - a connection's side of TLS jobs: input, and what each output changes.
 *
 *     CRYPTO frames -> crypto stream -> job input     mr_endpoint_take_jobs()
 *     job outputs   -> secrets, parameters, CRYPTO    mr_endpoint_complete_job()
 *                      to send, completion, ticket
 *
 * A connection has at most one job out.  Packets whose keys are not there yet wait
 * in the handshake's pending list and are walked again after the job.
 */
#include "quic/conn_ack_frequency.h"
#include "quic/conn_early.h"
#include "quic/conn_multipath.h"
#include "quic/conn_observed.h"

/* ------------------------------------------------------------------ keys of the handshake levels
 */

void mr_handshake_init_keys(struct mr_handshake *hs)
{
    struct mr_level_key *const keys[] = {&hs->open[0], &hs->open[1], &hs->seal[0],
                                         &hs->seal[1], &hs->early,   &hs->open_original};

    for (size_t i = 0; i < MR_COUNT_OF(keys); i++) {
        mr_aead_key_init(&keys[i]->aead);
        mr_hp_key_init(&keys[i]->hp);
        keys[i]->is_set = false;
    }
}

bool mr_conn_set_level_key(struct mr_endpoint *ep, uint32_t version, struct mr_level_key *to,
                           const struct mr_secret *secret, bool is_seal)
{
    struct mr_key_material material;

    mr_keys_derive(version, secret, &material);
    to->is_set =
        mr_aead_key_set(ep->aead, &to->aead, material.cipher, material.key, material.iv, is_seal) &&
        mr_hp_key_set(ep->aead, &to->hp, material.cipher, material.hp);
    mr_key_material_wipe(&material);
    return to->is_set;
}

bool mr_conn_set_initial_keys(struct mr_endpoint *ep, struct mr_conn *conn,
                              const struct mr_cid *dcid)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);
    struct mr_initial_secrets secrets;
    enum mr_role peer = conn->role == MR_CLIENT ? MR_SERVER : MR_CLIENT;

    hs->initial_dcid = *dcid;
    mr_keys_initial(conn->version, dcid, &secrets);
    if (mr_conn_is_traced(conn)) {
        mr_trace_key(ep, conn, MR_LEVEL_INITIAL, true);
        mr_trace_key(ep, conn, MR_LEVEL_INITIAL, false);
    }
    return mr_conn_set_level_key(ep, conn->version, &hs->seal[MR_SPACE_INITIAL],
                                 &secrets.of[conn->role], true) &&
           mr_conn_set_level_key(ep, conn->version, &hs->open[MR_SPACE_INITIAL], &secrets.of[peer],
                                 false);
}

bool mr_conn_set_refusal_key(struct mr_endpoint *ep, uint32_t version, const struct mr_cid *dcid,
                             struct mr_level_key *out)
{
    struct mr_initial_secrets secrets;

    mr_keys_initial(version, dcid, &secrets);
    return mr_conn_set_level_key(ep, version, out, &secrets.of[MR_SERVER], true);
}

bool mr_conn_set_initial_open_key(struct mr_endpoint *ep, uint32_t version,
                                  const struct mr_cid *dcid, enum mr_role sender,
                                  struct mr_level_key *out)
{
    struct mr_initial_secrets secrets;

    mr_keys_initial(version, dcid, &secrets);
    return mr_conn_set_level_key(ep, version, out, &secrets.of[sender], false);
}

/* ------------------------------------------------------------------ our transport parameters */

/* A server asks its clients to use another address: RFC 9000, Section 9.6.1.  The connection ID
 * that goes with it has the sequence number 1 (Section 5.1.1). */
static void offer_preferred(struct mr_endpoint *ep, struct mr_conn *conn,
                            struct mr_transport_params *params)
{
    const struct mr_addr *ipv6 = &ep->config.preferred[0];
    const struct mr_addr *ipv4 = &ep->config.preferred[1];
    struct mr_preferred_address *out = &params->preferred_address;

    if ((ipv6->port == 0 && ipv4->port == 0) || !mr_cid_issue(ep, conn))
        return;
    conn->issued_announced |= 1u << 1; /* the slot after that of the first */
    conn->issued_known |= 1u << 1;
    memcpy(out->ipv6, ipv6->ip, sizeof(out->ipv6));
    out->ipv6_port = ipv6->port;
    memcpy(out->ipv4, ipv4->ip + 12, sizeof(out->ipv4));
    out->ipv4_port = ipv4->port;
    out->cid.size = MR_LOCAL_CID_SIZE;
    memcpy(out->cid.bytes, &conn->issued.key[1], MR_LOCAL_CID_SIZE);
    mr_reset_token(&ep->tokens, mr_cid_view(&out->cid), out->reset_token);
    params->has_preferred_address = true;
}

static void fill_params(struct mr_endpoint *ep, struct mr_conn *conn,
                        struct mr_transport_params *params)
{
    const struct mr_endpoint_config *config = &ep->config;
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);
    uint64_t window = MR_MIN(config->stream_window_max, MR_STREAM_WINDOW_FIRST);

    mr_transport_params_init(params);
    params->max_idle_timeout_ms = config->idle_timeout_ns / MR_MS;
    params->max_udp_payload_size = MR_UDP_PAYLOAD_MAX;
    params->initial_max_data = conn->flow_recv.limit;
    params->initial_max_stream_data_bidi_local = window;
    params->initial_max_stream_data_bidi_remote = window;
    params->initial_max_stream_data_uni = window;
    params->initial_max_streams_bidi = config->streams_bidi_max;
    params->initial_max_streams_uni = config->streams_uni_max;
    params->ack_delay_exponent = MR_ACK_DELAY_EXPONENT;
    params->max_ack_delay_ms = MR_ACK_DELAY_MAX_NS / MR_MS;
    params->active_connection_id_limit = MR_CIDS_PEER_MAX;
    params->max_datagram_frame_size = config->datagram_max;
    params->address_discovery = mr_observed_declaration(ep);
    params->reset_stream_at = (config->extensions & MR_EXTENSION_RESET_STREAM_AT) != 0;
    if ((config->extensions & MR_EXTENSION_ACK_FREQUENCY) != 0)
        params->min_ack_delay_us = MR_ACK_DELAY_MIN_US;
    params->initial_max_path_id = mr_multipath_offer(ep, conn);
    params->grease_quic_bit = (config->extensions & MR_EXTENSION_QUIC_BIT) != 0;
    params->has_initial_scid = true;
    params->initial_scid.size = MR_LOCAL_CID_SIZE;
    memcpy(params->initial_scid.bytes, &conn->issued.key[0], MR_LOCAL_CID_SIZE);
    mr_conn_fill_versions(ep, conn, hs, params);
    if (conn->role == MR_CLIENT)
        return;
    params->has_original_dcid = true;
    params->original_dcid = hs->original_dcid;
    params->has_retry_scid = hs->has_retry;
    params->retry_scid = hs->retry_scid;
    params->has_stateless_reset_token = true;
    mr_reset_token(&ep->tokens, mr_cid_view(&params->initial_scid), params->stateless_reset_token);
    offer_preferred(ep, conn, params);
}

static void write_params(struct mr_endpoint *ep, struct mr_conn *conn)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);
    struct mr_transport_params params;
    struct mr_writer w = mr_writer(hs->params, sizeof(hs->params));

    fill_params(ep, conn, &params);
    mr_transport_params_write(&w, &params, conn->role, mr_random_u64(&ep->random));
    MR_ASSERT(!w.failed);
    hs->params_size = (uint16_t)mr_writer_size(&w);
    if (mr_conn_is_traced(conn))
        mr_trace_params(ep, conn, hs->params, hs->params_size, false);
}

static bool start_client(struct mr_endpoint *ep, struct mr_conn *conn,
                         struct mr_tls_client_options *options)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);

    write_params(ep, conn);
    options->params = hs->params;
    options->params_size = hs->params_size;
    options->version = conn->version;
    if (!mr_tls_start_client(&hs->tls, ep->config.client, options))
        return false;
    mr_conn_tls_want(ep, conn); /* the ClientHello */
    return true;
}

bool mr_conn_tls_start(struct mr_endpoint *ep, struct mr_conn *conn,
                       const struct mr_connect_options *options)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);

    if (conn->role == MR_SERVER) {
        write_params(ep, conn);
        bool is_started =
            mr_tls_start_server(&hs->tls, ep->config.server, hs->params, hs->params_size);
        hs->tls.versions = mr_endpoint_version_set(ep);
        hs->tls.early_tag = mr_early_tag(ep);
        return is_started;
    }
    if (options->alpn_size > sizeof(hs->alpn))
        return false;
    memcpy(hs->alpn, options->alpn, options->alpn_size);
    hs->alpn_size = (uint8_t)options->alpn_size;
    bool wants_early = mr_conn_early_remember(hs, options);
    return start_client(ep, conn,
                        &(struct mr_tls_client_options){.server_name = options->server_name,
                                                        .alpn = options->alpn,
                                                        .alpn_size = options->alpn_size,
                                                        .is_insecure = options->is_insecure,
                                                        .ticket = options->ticket,
                                                        .wants_early = wants_early,
                                                        .ticket_size = options->ticket_size});
}

bool mr_conn_tls_again(struct mr_endpoint *ep, struct mr_conn *conn)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);
    char server_name[MR_TLS_NAME_MAX + 1];
    bool is_insecure = hs->tls.is_insecure;

    memcpy(server_name, hs->tls.name, strlen(hs->tls.name) + 1);
    mr_tls_free(&hs->tls);
    mr_conn_resend_all(ep, conn, MR_SPACE_INITIAL);
    mr_crypto_stream_clear(&hs->crypto[MR_SPACE_INITIAL], &ep->send_pools);
    mr_crypto_stream_init(&hs->crypto[MR_SPACE_INITIAL], MR_CRYPTO_RECV_LIMIT);
    mr_conn_space(ep, conn, MR_SPACE_INITIAL)->wants = 0;
    return start_client(ep, conn,
                        &(struct mr_tls_client_options){.server_name = server_name,
                                                        .alpn = hs->alpn,
                                                        .alpn_size = hs->alpn_size,
                                                        .is_insecure = is_insecure});
}

/* ------------------------------------------------------------------ jobs out */

void mr_conn_tls_want(struct mr_endpoint *ep, struct mr_conn *conn)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);

    if (hs == NULL || hs->wants_job || hs->job != NULL || hs->is_tls_done)
        return;
    hs->wants_job = true;
    hs->job_next = MR_NONE;
    if (ep->job_tail == MR_NONE)
        ep->job_head = conn->index;
    else
        mr_conn_handshake(ep, mr_conn_at(ep, ep->job_tail))->job_next = conn->index;
    ep->job_tail = conn->index;
}

/* Move readable CRYPTO bytes of one level into the job.  False: the connection failed. */
static bool feed_level(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space which,
                       struct mr_tls_job *job)
{
    static const enum mr_level level_of[] = {MR_LEVEL_INITIAL, MR_LEVEL_HANDSHAKE, MR_LEVEL_APP};
    struct mr_crypto_stream *stream = &mr_conn_handshake(ep, conn)->crypto[which];
    uint8_t piece[MR_CRYPTO_CHUNK_BYTES];

    while (mr_crypto_stream_readable(stream) > 0 && job->input_size < MR_TLS_INPUT_MAX) {
        size_t room = MR_MIN(sizeof(piece), (size_t)(MR_TLS_INPUT_MAX - job->input_size));
        size_t size = mr_crypto_stream_read(stream, &ep->chunks, piece, room);

        uint64_t error =
            which == MR_SPACE_APP ? mr_tls_late_error(&conn->late, conn->role, piece, size) : 0;
        conn->late_offset += which == MR_SPACE_APP ? size : 0;

        if (error != 0)
            return mr_conn_fail(ep, conn, error, MR_FRAME_CRYPTO,
                                "TLS message that is not allowed after the handshake",
                                conn->last_received_ns);
        mr_tls_job_input(job, level_of[which], piece, size);
    }
    return true;
}

/* The lowest level with bytes to read. */
static bool feed(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_tls_job *job)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);

    for (int which = 0; which < MR_SPACES; which++) {
        if (mr_crypto_stream_readable(&hs->crypto[which]) > 0)
            return feed_level(ep, conn, (enum mr_space)which, job);
    }
    return true;
}

static struct mr_job_slot *free_job(struct mr_endpoint *ep)
{
    for (uint32_t i = 0; i < MR_JOBS; i++) {
        if (!ep->jobs[i].is_out)
            return &ep->jobs[i];
    }
    return NULL;
}

uint32_t mr_endpoint_take_jobs(struct mr_endpoint *ep, struct mr_tls_job **jobs_out, uint32_t room)
{
    uint32_t count = 0;

    while (count < room && ep->job_head != MR_NONE) {
        struct mr_job_slot *slot = free_job(ep);
        struct mr_conn *conn = mr_conn_at(ep, ep->job_head);
        struct mr_handshake *hs = mr_conn_handshake(ep, conn);

        if (slot == NULL)
            break;
        ep->job_head = hs->job_next;
        if (ep->job_head == MR_NONE)
            ep->job_tail = MR_NONE;
        hs->wants_job = false;
        if (!mr_conn_is_alive(conn))
            continue;

        hs->tls.version = conn->version;
        mr_tls_job_prepare(&slot->job, &hs->tls);
        slot->job.wants_keylog =
            ep->config.has_keylog || (mr_conn_is_traced(conn) && mr_trace_has_keys(ep, conn));
        slot->job.owner = conn->index;
        slot->job.remember_size = hs->remember_size;
        memcpy(slot->job.remember, hs->remember, hs->remember_size);
        if (!feed(ep, conn, &slot->job))
            continue;
        slot->conn = conn->index;
        slot->is_out = true;
        hs->job = &slot->job;
        mr_count(&ep->counters.tls_jobs);
        jobs_out[count++] = &slot->job;
    }
    return count;
}

/* ------------------------------------------------------------------ what a job changes */

static bool install_secret(struct mr_endpoint *ep, struct mr_conn *conn,
                           const struct mr_tls_secret *secret)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);

    if (mr_conn_is_traced(conn))
        mr_trace_key(ep, conn, (enum mr_level)secret->level, secret->is_write);
    switch (secret->level) {
    case MR_LEVEL_HANDSHAKE:
        mr_loss_on_handshake_keys(&conn->loss);
        return mr_conn_set_level_key(ep, conn->version,
                                     secret->is_write ? &hs->seal[MR_SPACE_HANDSHAKE]
                                                      : &hs->open[MR_SPACE_HANDSHAKE],
                                     &secret->secret, secret->is_write);
    case MR_LEVEL_APP:
        mr_keys_install(ep, conn, &secret->secret, secret->is_write);
        return true;
    case MR_LEVEL_EARLY:
        return mr_conn_early_install(ep, conn, &secret->secret, secret->is_write);
    default:
        return true;
    }
}

static void apply_idle_timeout(struct mr_conn *conn, uint64_t peer_ns)
{
    if (peer_ns != 0 && (conn->idle_timeout_ns == 0 || peer_ns < conn->idle_timeout_ns))
        conn->idle_timeout_ns = peer_ns;
}

static void apply_peer_cids(struct mr_conn *conn, const struct mr_transport_params *params)
{
    struct mr_peer_cid *first = &conn->peer_cids[0];

    conn->peer_seen |= 1;
    if (params->has_stateless_reset_token) {
        memcpy(first->reset_token, params->stateless_reset_token, MR_RESET_TOKEN);
        first->has_token = true;
    }
    if (!params->has_preferred_address)
        return;
    struct mr_peer_cid *second = &conn->peer_cids[1];
    *second = (struct mr_peer_cid){
        .sequence = 1, .cid = params->preferred_address.cid, .is_used = true, .has_token = true};
    memcpy(second->reset_token, params->preferred_address.reset_token, MR_RESET_TOKEN);
    conn->peer_seen |= 2;
}

/* Where the server would rather have its client; acted on when the handshake is confirmed. */
static void keep_preferred(struct mr_handshake *hs, const struct mr_preferred_address *address)
{
    struct mr_addr *ipv4 = &hs->preferred[1];

    memcpy(hs->preferred[0].ip, address->ipv6, sizeof(address->ipv6));
    hs->preferred[0].port = address->ipv6_port;
    ipv4->ip[10] = ipv4->ip[11] = 0xff;
    memcpy(ipv4->ip + 12, address->ipv4, sizeof(address->ipv4));
    ipv4->port = address->ipv4_port;
}

static void apply_params(struct mr_endpoint *ep, struct mr_conn *conn,
                         const struct mr_transport_params *params)
{
    conn->has_peer_params = true;
    mr_flow_send_raise(&conn->flow_send, params->initial_max_data);
    mr_streams_send_raise(&conn->streams_send[0], params->initial_max_streams_bidi);
    mr_streams_send_raise(&conn->streams_send[1], params->initial_max_streams_uni);
    conn->stream_window_bidi_local = params->initial_max_stream_data_bidi_local;
    conn->stream_window_bidi_remote = params->initial_max_stream_data_bidi_remote;
    conn->stream_window_uni = params->initial_max_stream_data_uni;
    conn->peer_ack_delay_exponent = (uint8_t)params->ack_delay_exponent;
    conn->path.rtt.max_ack_delay_ns = params->max_ack_delay_ms * MR_MS;
    conn->peer_payload_max =
        (uint16_t)MR_MIN(params->max_udp_payload_size, (uint64_t)MR_UDP_PAYLOAD_MAX);
    conn->path.mtu = (uint32_t)MR_MIN((uint64_t)conn->path.mtu, params->max_udp_payload_size);
    conn->issued_limit =
        (uint32_t)MR_MIN(params->active_connection_id_limit, (uint64_t)MR_CIDS_ISSUED_MAX);
    conn->clears_quic_bit =
        params->grease_quic_bit && (ep->config.extensions & MR_EXTENSION_QUIC_BIT) != 0;
    conn->is_migration_disabled = params->disable_active_migration;
    conn->peer_datagram_max =
        (uint16_t)MR_MIN(params->max_datagram_frame_size, (uint64_t)UINT16_MAX);
    conn->takes_reset_stream_at =
        params->reset_stream_at && (ep->config.extensions & MR_EXTENSION_RESET_STREAM_AT) != 0;
    if (params->min_ack_delay_us != MR_PARAM_NO_ACK_DELAY &&
        (ep->config.extensions & MR_EXTENSION_ACK_FREQUENCY) != 0)
        mr_ack_request_begin(conn, params->min_ack_delay_us);
    mr_observed_begin(ep, conn, params->address_discovery);
    apply_idle_timeout(conn, params->max_idle_timeout_ms * MR_MS);
    apply_peer_cids(conn, params);
}

static bool take_params(struct mr_endpoint *ep, struct mr_conn *conn, const struct mr_tls_job *job,
                        uint64_t now)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);
    enum mr_role sender = conn->role == MR_CLIENT ? MR_SERVER : MR_CLIENT;
    struct mr_transport_params params;
    struct mr_params_error error;
    struct mr_cid_trail trail = {
        .peer_scid = &conn->peer_cids[0].cid,
        .original_dcid = conn->role == MR_CLIENT ? &hs->original_dcid : NULL,
        .retry_scid = conn->role == MR_CLIENT && hs->has_retry ? &hs->retry_scid : NULL};

    if (mr_conn_is_traced(conn))
        mr_trace_params(ep, conn, job->params, job->params_size, true);
    if (mr_transport_params_decode(job->params, job->params_size, sender, &params, &error) !=
            MR_PARAMS_OK ||
        mr_transport_params_authenticate(&params, sender, &trail, &error) != MR_PARAMS_OK)
        return mr_conn_fail(ep, conn, MR_TRANSPORT_PARAMETER_ERROR, MR_FRAME_CRYPTO, error.reason,
                            now);
    const char *fault = mr_conn_check_versions(conn, hs, &params);
    if (fault != NULL)
        return mr_conn_fail(ep, conn, MR_VERSION_NEGOTIATION_ERROR, MR_FRAME_CRYPTO, fault, now);
    apply_params(ep, conn, &params);
    if (!mr_multipath_take_offer(ep, conn, params.initial_max_path_id, now))
        return false;
    if (params.has_preferred_address)
        keep_preferred(hs, &params.preferred_address);
    if (!mr_conn_early_params(ep, conn, &params, now))
        return false;
    mr_cid_track_token(ep, conn);
    if (job->params_size <= MR_TLS_REMEMBER_MAX) {
        hs->remember_size = (uint16_t)job->params_size;
        memcpy(hs->remember, job->params, job->params_size);
    }
    return true;
}

static bool queue_output(struct mr_endpoint *ep, struct mr_conn *conn, const struct mr_tls_job *job,
                         uint64_t now)
{
    static const struct {
        enum mr_level level;
        enum mr_space space;
    } levels[] = {{MR_LEVEL_INITIAL, MR_SPACE_INITIAL},
                  {MR_LEVEL_HANDSHAKE, MR_SPACE_HANDSHAKE},
                  {MR_LEVEL_APP, MR_SPACE_APP}};
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);

    for (size_t i = 0; i < MR_COUNT_OF(levels); i++) {
        const struct mr_tls_output *out = &job->output[levels[i].level];
        struct mr_pn_space *space = mr_conn_space(ep, conn, levels[i].space);

        if (out->size == 0 || space == NULL)
            continue;
        if (!mr_crypto_stream_write(&hs->crypto[levels[i].space], &ep->send_pools,
                                    job->output_bytes + out->begin, out->size)) {
            mr_count(&ep->counters.limit_chunks);
            return mr_conn_fail(ep, conn, MR_INTERNAL_ERROR, MR_FRAME_CRYPTO,
                                "no memory for the handshake", now);
        }
        mr_conn_want(ep, conn, space, MR_WANT_CRYPTO);
    }
    return true;
}

static void take_keylog(struct mr_endpoint *ep, const struct mr_tls_job *job)
{
    if (!ep->config.has_keylog || job->keylog_size == 0)
        return;
    if (ep->keylog_size + job->keylog_size > sizeof(ep->keylog)) {
        mr_count(&ep->counters.keylog_dropped);
        return;
    }
    memcpy(ep->keylog + ep->keylog_size, job->keylog, job->keylog_size);
    ep->keylog_size += job->keylog_size;
}

static bool on_complete(struct mr_endpoint *ep, struct mr_conn *conn, const struct mr_tls_job *job,
                        uint64_t now)
{
    bool was_told = conn->is_connected; /* of a server that has accepted 0-RTT */

    conn->state = MR_CONN_OPEN;
    conn->is_resumed = job->is_resumed;
    conn->is_connected = true;
    mr_count(&ep->counters.handshakes_completed);
    if (job->is_resumed)
        mr_count(&ep->counters.handshakes_resumed);
    if (mr_conn_is_traced(conn))
        mr_trace_state(ep, conn, MR_TRACE_ATTEMPTED, MR_TRACE_COMPLETE);
    if (conn->role == MR_CLIENT && !mr_conn_early_settle(ep, conn, job->early, now))
        return false;
    mr_conn_event(ep, conn, was_told ? MR_EVENT_CONFIRMED : MR_EVENT_CONNECTED);
    if (conn->role == MR_SERVER) {
        mr_path_validated(ep, conn);
        mr_conn_want(ep, conn, &conn->app,
                     MR_WANT_HANDSHAKE_DONE | (ep->config.has_new_token ? MR_WANT_NEW_TOKEN : 0));
        mr_conn_confirm(ep, conn, now);
    }
    return true;
}

static void take_ticket(struct mr_endpoint *ep, struct mr_conn *conn, const struct mr_tls_job *job)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);

    if (job->ticket_size == 0)
        return;
    hs->ticket_size = job->ticket_size;
    memcpy(hs->ticket, job->ticket, job->ticket_size);
    mr_conn_event(ep, conn, MR_EVENT_TICKET);
}

/* The names that the two sides agreed on: each job says them, the first one counts. */
static void take_names(struct mr_endpoint *ep, struct mr_conn *conn, const struct mr_tls_job *job)
{
    if (!job->has_alpn || conn->alpn[0] != '\0')
        return;
    memcpy(conn->alpn, job->alpn, MR_MIN((size_t)job->alpn_size, sizeof(conn->alpn) - 1));
    if (mr_conn_is_traced(conn))
        mr_trace_alpn(ep, conn);
    if (conn->name != MR_NONE || job->server_name[0] == '\0')
        return;
    conn->name = mr_name_keep(&ep->names, job->server_name);
    if (conn->name == MR_NONE)
        mr_count(&ep->counters.limit_names);
}

/* Apply the outputs in the order that quic/tls.h states. */
static bool apply_job(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_tls_job *job,
                      uint64_t now)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);

    take_keylog(ep, job);
    if (mr_conn_is_traced(conn) && job->keylog_size > 0 && mr_trace_has_keys(ep, conn))
        mr_trace_keylog(ep, conn, job->keylog, job->keylog_size);
    if (job->is_failed)
        return mr_conn_fail(ep, conn, job->error, MR_FRAME_CRYPTO, job->reason, now);
    if (job->version != conn->version && !mr_conn_change_version(ep, conn, job->version))
        return mr_conn_fail(ep, conn, MR_INTERNAL_ERROR, MR_FRAME_CRYPTO, "no memory for keys",
                            now);
    if (job->has_params && !take_params(ep, conn, job, now))
        return false;
    for (uint32_t i = 0; i < job->secret_count; i++) {
        if (!install_secret(ep, conn, &job->secrets[i]))
            return mr_conn_fail(ep, conn, MR_INTERNAL_ERROR, MR_FRAME_CRYPTO, "no memory for keys",
                                now);
    }
    if (!queue_output(ep, conn, job, now))
        return false;
    take_names(ep, conn, job);
    if (job->is_complete && conn->state == MR_CONN_HANDSHAKE) {
        if (!conn->has_peer_params)
            return mr_conn_fail(ep, conn, MR_CRYPTO_ERROR + MR_ALERT_MISSING_EXTENSION,
                                MR_FRAME_CRYPTO, "no transport parameters", now);
        if (!on_complete(ep, conn, job, now))
            return false;
    } else if (conn->role == MR_SERVER && conn->state == MR_CONN_HANDSHAKE &&
               job->early == MR_EARLY_ACCEPTED && conn->has_peer_params) {
        mr_conn_early_accept(ep, conn);
    }
    take_ticket(ep, conn, job);
    if (job->is_done) {
        mr_tls_free(&hs->tls);
        hs->is_tls_done = true;
    }
    return true;
}

/* Datagrams that waited for keys: try again, in order of arrival. */
static void walk_pending(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);
    struct mr_pending pending[MR_PENDING_DATAGRAMS_MAX];
    uint32_t count = hs->pending_count;

    memcpy(pending, hs->pending, count * sizeof(pending[0]));
    hs->pending_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (mr_conn_is_alive(conn))
            mr_conn_walk(ep, conn, &pending[i].datagram, pending[i].at, now);
        mr_buf_drop(pending[i].datagram.buf, &ep->released);
    }
}

static bool has_input(const struct mr_handshake *hs)
{
    return mr_crypto_stream_readable(&hs->crypto[0]) + mr_crypto_stream_readable(&hs->crypto[1]) +
               mr_crypto_stream_readable(&hs->crypto[2]) >
           0;
}

/* The connection went while its job was out. */
MR_COLD static void bury_job(struct mr_endpoint *ep, struct mr_job_slot *slot)
{
    if (slot->handshake != MR_NONE) {
        struct mr_handshake *hs = mr_pool_at(&ep->handshakes, slot->handshake);

        mr_tls_free(&hs->tls);
        mr_pool_put(&ep->handshakes, slot->handshake);
    }
    slot->handshake = MR_NONE;
}

void mr_endpoint_complete_job(struct mr_endpoint *ep, struct mr_tls_job *job, uint64_t now)
{
    struct mr_job_slot *slot = MR_CONTAINER_OF(job, struct mr_job_slot, job);

    mr_trace_clock(ep, now);
    slot->is_out = false;
    if (slot->conn == MR_NONE) {
        bury_job(ep, slot);
        mr_tls_job_wipe(job);
        return;
    }
    struct mr_conn *conn = mr_conn_at(ep, slot->conn);
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);
    slot->conn = MR_NONE;
    hs->job = NULL;
    if (mr_conn_is_alive(conn) && apply_job(ep, conn, job, now)) {
        if (has_input(hs) && !hs->is_tls_done)
            mr_conn_tls_want(ep, conn);
        walk_pending(ep, conn, now);
        mr_endpoint_settle(ep, now);
    }
    mr_tls_job_wipe(job);
    if (!mr_conn_is_alive(conn))
        return;
    mr_conn_maybe_end_handshake(ep, conn, now);
    mr_conn_decide_ack(ep, conn, now);
    mr_conn_wake(ep, conn);
    mr_conn_timer_update(ep, conn);
}

/* ------------------------------------------------------------------ the end of the handshake */

void mr_conn_confirm(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);

    if (conn->is_confirmed)
        return;
    conn->is_confirmed = true;
    if (mr_conn_is_traced(conn))
        mr_trace_state(ep, conn, MR_TRACE_COMPLETE, MR_TRACE_CONFIRMED);
    conn->loss.handshake_confirmed = true;
    conn->loss.has_validated = true;
    ep->handshakes_in_flight--;
    mr_conn_discard_space(ep, conn, MR_SPACE_INITIAL, now);
    mr_conn_discard_space(ep, conn, MR_SPACE_HANDSHAKE, now);
    if (hs != NULL && conn->role == MR_CLIENT)
        mr_conn_wait_for_ticket(ep, conn, hs, now + MR_CLIENT_TICKET_WAIT);
    if (hs != NULL && conn->role == MR_SERVER && hs->early.is_set) /* RFC 9001, Section 4.9.3 */
        hs->early_until_ns = now + 3 * mr_multipath_pto(ep, conn);
    mr_cid_issue_all(ep, conn);
    mr_multipath_begin(ep, conn);
    mr_mtu_begin(ep, conn, now);
    if (conn->role == MR_CLIENT)
        mr_migrate_to_preferred(ep, conn, now);
}

void mr_conn_maybe_end_handshake(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);

    if (hs == NULL || !conn->is_confirmed || hs->job != NULL || hs->wants_job)
        return;
    bool is_over =
        conn->role == MR_CLIENT
            ? hs->ticket_wait_until_ns <= now
            : hs->is_tls_done && mr_send_queue_queued_bytes(&hs->crypto[MR_SPACE_APP].send) == 0;
    if (is_over)
        mr_conn_end_handshake(ep, conn);
}
