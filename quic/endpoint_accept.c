/*
 * quic/endpoint_accept.c - datagrams that no connection of ours has asked for.
 *
 *     unsupported version  -> Version Negotiation          RFC 9000, Section 6
 *     Initial              -> known first DCID, or accept, Retry, refuse    Sections 7.2, 8.1
 *     Handshake, 1-RTT     -> another shard's, or stateless reset           Section 10.3
 *
 * Answers without state go through a short queue; what does not fit is dropped and
 * counted.  None is larger than what it answers, except within the limits the RFC sets.
 * The client's side of Retry is here too.
 */
#include "quic/conn_bits.h"
#include "quic/conn_multipath.h"
#include "quic/conn_resume.h"
#include "quic/path_policy.h"

#define DCID_MIN          8 /* bytes of a client's first DCID, RFC 9000, Section 7.2 */
#define INITIAL_COPY_MAX  9216
#define RESETS_PER_PERIOD 64 /* and RESET_PERIOD_NS: stateless resets are rationed */
#define RESET_PERIOD_NS   MR_MS

/* ------------------------------------------------------------------ stateless answers */

struct mr_reply *mr_endpoint_reply(struct mr_endpoint *ep, const struct mr_path_addr *path)
{
    if (ep->reply_count == MR_REPLIES_MAX) {
        mr_count(&ep->counters.replies_dropped);
        return NULL;
    }
    struct mr_reply *reply = &ep->replies[ep->reply_count++];
    reply->path = *path;
    reply->size = 0;
    return reply;
}

static void answer_version(struct mr_endpoint *ep, const struct mr_datagram *d,
                           const struct mr_packet_header *header)
{
    /* RFC 9000, Section 5.2.2 and attacks by reflection: large datagrams only, and never to port 0.
     */
    if (d->size < MR_INITIAL_MIN || header->version == 0 || ep->config.server == NULL) {
        mr_count(&ep->counters.dropped_unsupported_version);
        return;
    }
    struct mr_reply *reply = mr_endpoint_reply(ep, &d->path);
    if (reply == NULL)
        return;
    struct mr_writer w = mr_writer(reply->bytes, sizeof(reply->bytes));
    uint32_t versions[2];
    size_t count = mr_endpoint_versions(ep, versions);
    mr_packet_write_version_negotiation(&w, header, versions, count,
                                        (uint32_t)mr_random_u64(&ep->random));
    reply->size = (uint32_t)mr_writer_size(&w);
    if (reply->size == 0) { /* connection IDs of other versions may be too long for the queue */
        ep->reply_count--;
        mr_count(&ep->counters.dropped_unsupported_version);
        return;
    }
    mr_count(&ep->counters.version_negotiations_sent);
}

void mr_endpoint_stateless_reset(struct mr_endpoint *ep, const struct mr_datagram *d, uint64_t now)
{
    uint8_t random[32];
    uint8_t token[MR_RESET_TOKEN];

    if (now - ep->reset_period_ns >= RESET_PERIOD_NS) {
        ep->reset_period_ns = now;
        ep->reset_count = 0;
    }
    if (d->size <= MR_LOCAL_CID_SIZE || ep->reset_count >= RESETS_PER_PERIOD)
        return;
    struct mr_reply *reply = mr_endpoint_reply(ep, &d->path);
    if (reply == NULL)
        return;
    mr_random_fill(&ep->random, random, sizeof(random));
    mr_reset_token(&ep->tokens,
                   (struct mr_cid_view){.bytes = d->data + 1, .size = MR_LOCAL_CID_SIZE}, token);
    reply->size = (uint32_t)mr_packet_write_stateless_reset(reply->bytes, sizeof(reply->bytes),
                                                            d->size, random, token);
    if (reply->size == 0) {
        ep->reply_count--;
        return;
    }
    ep->reset_count++;
    mr_count(&ep->counters.stateless_resets_sent);
}

static void send_retry(struct mr_endpoint *ep, const struct mr_datagram *d,
                       const struct mr_packet_header *header, uint64_t now)
{
    struct mr_retry_claims claims;
    uint8_t token[MR_TOKEN_RETRY_SIZE];
    struct mr_reply *reply = mr_endpoint_reply(ep, &d->path);

    if (reply == NULL)
        return;
    mr_cid_copy(&claims.original_dcid, header->dcid);
    claims.retry_scid = mr_endpoint_new_cid(ep);
    mr_token_write_retry(&ep->tokens, header->version, &d->path.remote, &claims,
                         mr_endpoint_secret_random(ep), token, mr_endpoint_wall_s(ep, now));

    struct mr_packet_header retry = {.type = MR_PACKET_RETRY,
                                     .version = header->version,
                                     .dcid = header->scid,
                                     .scid = mr_cid_view(&claims.retry_scid),
                                     .token = token,
                                     .token_size = sizeof(token)};
    struct mr_writer w = mr_writer(reply->bytes, sizeof(reply->bytes));
    uint8_t *tag = mr_packet_write_retry(&w, &retry, (uint8_t)mr_random_u64(&ep->random));
    MR_ASSERT(tag != NULL);
    mr_retry_tag(&ep->tokens, header->dcid, reply->bytes, (size_t)(tag - reply->bytes), tag);
    reply->size = (uint32_t)mr_writer_size(&w);
    mr_count(&ep->counters.retries_sent);
}

/* Refuse with CONNECTION_CLOSE in an Initial, sealed with the keys of the client's DCID. */
MR_COLD static void refuse(struct mr_endpoint *ep, const struct mr_datagram *d,
                           const struct mr_packet_header *header, uint64_t error)
{
    struct mr_reply *reply = mr_endpoint_reply(ep, &d->path);
    struct mr_cid dcid;
    struct mr_level_key key;

    mr_count(&ep->counters.refusals_needed);
    if (reply == NULL)
        return;
    mr_cid_copy(&dcid, header->dcid);
    memset(&key, 0, sizeof(key));
    struct mr_cid scid = mr_endpoint_new_cid(ep);
    struct mr_packet_header initial = {.type = MR_PACKET_INITIAL,
                                       .version = header->version,
                                       .dcid = header->scid,
                                       .scid = mr_cid_view(&scid)};
    struct mr_frame_connection_close close = {.error = error, .frame_type = 0};
    struct mr_writer w = mr_writer(reply->bytes, sizeof(reply->bytes) - MR_AEAD_TAG);
    uint8_t *hole = mr_packet_write_long(&w, &initial, 0, 1);
    size_t header_size = mr_writer_size(&w);
    mr_frame_write_connection_close(&w, &close);
    size_t size = mr_writer_size(&w);
    if (hole == NULL || size == 0 || !mr_conn_set_refusal_key(ep, header->version, &dcid, &key)) {
        ep->reply_count--;
        return;
    }
    mr_packet_set_length(hole, 1 + (size - header_size) + MR_AEAD_TAG);
    struct mr_seal_job job = {.key = &key.aead,
                              .hp = &key.hp,
                              .packet = reply->bytes,
                              .header_size = (uint16_t)header_size,
                              .payload_size = (uint16_t)(size - header_size),
                              .pn_size = 1};
    mr_seal_burst(ep->aead, &job, 1);
    reply->size = (uint32_t)size + MR_AEAD_TAG;
    mr_aead_key_clear(ep->aead, &key.aead);
    mr_hp_key_clear(ep->aead, &key.hp);
}

/* ------------------------------------------------------------------ accept */

/* What a client's token says. */
struct admission {
    bool is_validated; /* its address is */
    bool has_retry;
    struct mr_retry_claims claims;
    struct mr_saved_path saved; /* what is known of its path */
};

static void count_token(struct mr_endpoint *ep, enum mr_token_verdict verdict)
{
    uint64_t *const counters[] = {
        [MR_TOKEN_VALID] = &ep->counters.tokens_valid,
        [MR_TOKEN_EXPIRED] = &ep->counters.tokens_expired,
        [MR_TOKEN_WRONG_ADDRESS] = &ep->counters.tokens_wrong_address,
        [MR_TOKEN_WRONG_CID] = &ep->counters.tokens_wrong_cid,
        [MR_TOKEN_WRONG_KIND] = &ep->counters.tokens_wrong_kind,
        [MR_TOKEN_MALFORMED] = &ep->counters.tokens_malformed,
    };

    mr_count(counters[verdict]);
}

/* Is it a Retry token of ours, whole or not?  One that was cut has its kind still, and comes to a
 * connection ID of ours: both by chance once in 2^28. */
static bool is_retry_token(const struct mr_endpoint *ep, const struct mr_packet_header *header)
{
    return mr_token_kind(header->token, header->token_size) == MR_TOKEN_RETRY ||
           (mr_token_kind_of_byte(header->token[0]) == MR_TOKEN_RETRY &&
            mr_endpoint_cid_owner(ep, header->dcid.bytes, header->dcid.size) != MR_CID_FOREIGN);
}

/* Is the Initial as its client sent it, but for header protection?  It is opened for that. */
MR_COLD static bool is_authentic(struct mr_endpoint *ep, const struct mr_datagram *d,
                                 const struct mr_packet_header *header)
{
    struct mr_level_key key = {.is_set = false};
    struct mr_cid dcid;

    mr_cid_copy(&dcid, header->dcid);
    struct mr_open_job job = {.key = &key.aead,
                              .hp = &key.hp,
                              .packet = d->data,
                              .path_id = MR_PATH_0,
                              .pn_offset = header->pn_offset,
                              .size = header->size};
    bool has_key = mr_conn_set_initial_open_key(ep, header->version, &dcid, MR_CLIENT, &key);

    if (has_key)
        mr_unmask_burst(ep->aead, &job, 1);
    if (has_key && job.is_unmasked)
        mr_open_burst(ep->aead, &job, 1);
    mr_aead_key_clear(ep->aead, &key.aead);
    mr_hp_key_clear(ep->aead, &key.hp);
    return job.is_open;
}

/* The same of a copy, so that the Initial stays: garbage begins no trace, and uses up none that
 * was asked for. */
MR_COLD static bool would_open(struct mr_endpoint *ep, const struct mr_datagram *d,
                               const struct mr_packet_header *header)
{
    uint8_t copy[INITIAL_COPY_MAX];
    struct mr_datagram of_copy = {.data = copy, .size = header->size};

    if (header->size > sizeof(copy)) /* nobody's */
        return false;
    memcpy(copy, d->data, header->size);
    return is_authentic(ep, &of_copy, header);
}

/* Read the token.  False: it is a Retry token that is not right, and the client was refused, if it
 * is the client's: RFC 9000, Section 8.1.2. */
static bool read_token(struct mr_endpoint *ep, const struct mr_datagram *d,
                       const struct mr_packet_header *header, struct admission *out, uint64_t now)
{
    uint64_t wall_s = mr_endpoint_wall_s(ep, now);

    if (header->token_size == 0)
        return true;
    if (!is_retry_token(ep, header)) {
        enum mr_token_verdict verdict =
            mr_token_validate_new(&ep->tokens, header->version, header->token, header->token_size,
                                  &d->path.remote, &out->saved, wall_s);
        count_token(ep, verdict);
        out->is_validated = verdict == MR_TOKEN_VALID;
        return true;
    }
    enum mr_token_verdict verdict =
        mr_token_validate_retry(&ep->tokens, header->version, header->token, header->token_size,
                                &d->path.remote, header->dcid, &out->claims, wall_s);
    count_token(ep, verdict);
    if (verdict != MR_TOKEN_VALID) {
        if (is_authentic(ep, d, header))
            refuse(ep, d, header, MR_INVALID_TOKEN);
        else
            mr_count(&ep->counters.dropped_undecryptable);
        return false;
    }
    out->is_validated = out->has_retry = true;
    return true;
}

/* No connection is free, although a handshake could begin.  With no handshake free either, a flood
 * may be the cause: the Initial is dropped, and its client tries again. */
static bool is_full(const struct mr_endpoint *ep)
{
    return mr_pool_free_count(&ep->numbers) == 0 && mr_pool_free_count(&ep->handshakes) > 0;
}

static void remember_first_dcid(struct mr_endpoint *ep, struct mr_conn *conn,
                                const struct mr_packet_header *header)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);

    hs->has_initial_key = mr_table_insert(&ep->initial_cids, header->dcid.bytes, header->dcid.size,
                                          conn->index) == MR_TABLE_ADDED;
    hs->initial_key_size = header->dcid.size;
    memcpy(hs->initial_key, header->dcid.bytes, header->dcid.size);
}

static struct mr_conn *make_conn(struct mr_endpoint *ep, const struct mr_datagram *d,
                                 const struct mr_packet_header *header,
                                 const struct admission *admission, uint64_t now)
{
    struct mr_conn *conn = mr_conn_new(ep, MR_SERVER, &d->path, now);
    struct mr_cid dcid;

    if (conn == NULL)
        return NULL;
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);
    mr_cid_copy(&dcid, header->dcid);
    hs->original_dcid = admission->has_retry ? admission->claims.original_dcid : dcid;
    hs->retry_scid = admission->claims.retry_scid;
    hs->has_retry = admission->has_retry;
    hs->has_peer_scid = true;
    conn->peer_cids[0].is_used = true;
    mr_cid_copy(&conn->peer_cids[0].cid, header->scid);
    conn->version = hs->original_version = header->version;
    conn->path.is_validated = admission->is_validated;
    conn->path.bytes_received = d->size;
    mr_conn_resume_begin(ep, conn, &admission->saved);
    remember_first_dcid(ep, conn, header);
    if (ep->tracer != NULL && mr_trace_wants_new(ep) && would_open(ep, d, header))
        mr_trace_new(ep, conn);
    if (!mr_conn_set_initial_keys(ep, conn, &dcid) || !mr_conn_tls_start(ep, conn, NULL)) {
        mr_conn_free(ep, conn);
        return NULL;
    }
    return conn;
}

/* An Initial with a DCID that we do not know. */
static void accept_initial(struct mr_endpoint *ep, struct mr_datagram *d,
                           const struct mr_packet_header *header, uint64_t now)
{
    struct admission admission = {0};

    if (ep->config.server == NULL) { /* a server's answer to another shard's client, perhaps */
        if (!mr_endpoint_is_foreign(ep, d, header->dcid.bytes, header->dcid.size))
            mr_count(&ep->counters.dropped_not_accepting);
        return;
    }
    if (d->size < MR_INITIAL_MIN || header->dcid.size < DCID_MIN) {
        mr_count(d->size < MR_INITIAL_MIN ? &ep->counters.dropped_small_initial
                                          : &ep->counters.dropped_malformed);
        return;
    }
    if (!read_token(ep, d, header, &admission, now))
        return;
    bool has_no_room = is_full(ep);
    if (has_no_room)
        mr_count(&ep->counters.limit_connections);
    if (has_no_room || ep->is_ending) {
        refuse(ep, d, header, MR_CONNECTION_REFUSED); /* RFC 9000, Section 5.2.2 */
        return;
    }
    if (!admission.is_validated && ep->handshakes_in_flight >= ep->config.retry_above) {
        mr_count(&ep->counters.retries_needed);
        send_retry(ep, d, header, now);
        return;
    }
    struct mr_conn *conn = make_conn(ep, d, header, &admission, now);
    if (conn == NULL)
        return;

    mr_conn_walk(ep, conn, d, 0, now);
    if (mr_conn_handshake(ep, conn) != NULL && mr_conn_space(ep, conn, MR_SPACE_INITIAL) != NULL &&
        mr_conn_space(ep, conn, MR_SPACE_INITIAL)->received.count == 0 && mr_conn_is_alive(conn)) {
        mr_endpoint_untouch(ep, conn); /* it was not a client's Initial: no state remains */
        mr_conn_free(ep, conn);
        return;
    }
    mr_count(&ep->counters.connections_accepted);
}

/* ------------------------------------------------------------------ dispatch */

/* NULL: nobody's; or of one that sleeps, whose handshake is over. */
static struct mr_conn *find_long(struct mr_endpoint *ep, const struct mr_packet_header *header,
                                 bool *sleeps_out)
{
    uint32_t index = MR_NONE;

    if (header->dcid.size == MR_LOCAL_CID_SIZE) {
        uint64_t key;
        memcpy(&key, header->dcid.bytes, sizeof(key));
        index = mr_table8_find(&ep->cids, key);
        *sleeps_out = index != MR_NONE && index >= MR_CID_ASLEEP;
        if (index >= MR_CID_OF_PATH) /* of 1-RTT packets only */
            index = MR_NONE;
    }
    if (index == MR_NONE && header->dcid.size <= MR_CID_MAX)
        index = mr_table_find(&ep->initial_cids, header->dcid.bytes, header->dcid.size);
    return index == MR_NONE ? NULL : mr_conn_at(ep, index);
}

/* May the connection of a packet that we do not know live in another shard? */
static bool may_be_elsewhere(struct mr_endpoint *ep, const struct mr_datagram *d,
                             const struct mr_packet_header *header, uint64_t now)
{
    uint64_t key;

    memcpy(&key, header->dcid.bytes, sizeof(key)); /* of a short header: MR_LOCAL_CID_SIZE */
    if (mr_departed_may_have(&ep->departed, key, now)) {
        mr_count(&ep->counters.resets_withheld);
        return true;
    }
    return d->hops > 0 &&
           mr_endpoint_cid_owner(ep, header->dcid.bytes, header->dcid.size) != ep->config.cid.shard;
}

/* It is somebody's answer to what was sent in our name, or wants us to send there. */
static bool is_reflection(struct mr_endpoint *ep, const struct mr_datagram *d)
{
    if (!mr_port_is_reflector(d->path.remote.port))
        return false;
    mr_count(&ep->counters.dropped_reflector);
    return true;
}

void mr_endpoint_receive_unknown(struct mr_endpoint *ep, struct mr_datagram *d,
                                 const struct mr_packet_header *header,
                                 enum mr_packet_verdict verdict, uint64_t now)
{
    if (header->type == MR_PACKET_ONE_RTT) {
        if (!mr_endpoint_take_reset(ep, d, now)) {
            mr_count(&ep->counters.dropped_unknown_cid);
            if (!is_reflection(ep, d) && !may_be_elsewhere(ep, d, header, now))
                mr_endpoint_stateless_reset(ep, d, now);
        }
        return;
    }
    bool sleeps = false;
    struct mr_conn *conn = find_long(ep, header, &sleeps);
    if (sleeps) {
        mr_count(&ep->counters.dropped_no_key);
        return;
    }
    if (conn != NULL && conn->state == MR_CONN_MOVED) {
        mr_endpoint_forward(ep, conn, d);
        return;
    }
    if (conn != NULL) {
        if (!conn->path.is_validated)
            mr_path_heard(ep, conn, d);
        mr_conn_walk(ep, conn, d, 0, now);
        return;
    }
    if (mr_endpoint_take_reset(ep, d, now) || is_reflection(ep, d))
        return;
    if (verdict == MR_PACKET_UNSUPPORTED_VERSION ||
        (ep->config.server != NULL && !mr_endpoint_accepts(ep, header->version))) {
        answer_version(ep, d, header);
        return;
    }
    if (verdict == MR_PACKET_NO_FIXED_BIT && !mr_takes_clear_quic_bit(ep)) {
        mr_count(&ep->counters.dropped_no_fixed_bit);
        return;
    }
    if (header->type == MR_PACKET_INITIAL) {
        accept_initial(ep, d, header, now);
        return;
    }
    if (header->type != MR_PACKET_ZERO_RTT &&
        mr_endpoint_is_foreign(ep, d, header->dcid.bytes, header->dcid.size))
        return;
    mr_count(&ep->counters.dropped_unknown_cid);
}

/* ------------------------------------------------------------------ the client's side */

void mr_conn_on_retry(struct mr_endpoint *ep, struct mr_conn *conn, const uint8_t *packet,
                      const struct mr_packet_header *header, uint64_t now)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);

    /* RFC 9000, Section 17.2.5.2: at most one, before any other packet of the server's, authentic,
     * with a new SCID; RFC 9369, Section 4.1: in the original version. */
    if (conn->role != MR_CLIENT || hs == NULL || hs->has_retry || hs->has_peer_scid ||
        header->version != hs->original_version || !mr_conn_is_alive(conn) ||
        header->token_size > MR_TOKEN_SENT_MAX ||
        mr_cid_view_equal(header->scid, &conn->peer_cids[0].cid) ||
        !mr_retry_tag_verify(&ep->tokens, mr_cid_view(&hs->original_dcid), packet, header->size)) {
        mr_count(&ep->counters.dropped_retry_invalid);
        return;
    }
    mr_count(&ep->counters.retries_received);
    hs->has_retry = true;
    mr_cid_copy(&hs->retry_scid, header->scid);
    conn->peer_cids[0].cid = hs->retry_scid;
    hs->token_size = header->token_size;
    memcpy(hs->token, header->token, header->token_size);
    mr_conn_resend_all(ep, conn, MR_SPACE_INITIAL);
    mr_conn_resend_all(ep, conn, MR_SPACE_APP); /* 0-RTT, RFC 9000, Section 17.2.5.3 */
    if (!mr_conn_set_initial_keys(ep, conn, &hs->retry_scid))
        mr_conn_fail(ep, conn, MR_INTERNAL_ERROR, 0, "no memory for keys", now);
}
