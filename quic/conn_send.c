/*
 * quic/conn_send.c - what a connection sends: datagrams, their packets, and the producers of
 * frames.
 *
 * A producer is a row of one table in priority order.  Building a datagram:
 *
 *     limits (amplification, congestion window, pacing) -> which producers may write
 *     for each packet number space that wants something: header, producers
 *     padding -> records of what was sent -> seal jobs
 *
 * Nothing is sealed here: mr_endpoint_seal() does it for the whole burst.
 */
#include "quic/conn_bits.h"
#include "quic/conn_build.h"
#include "quic/conn_early.h"
#include "quic/conn_multipath.h"
#include "quic/conn_timer.h"

#define PADDED_SIZE MR_INITIAL_MIN
#define PAYLOAD_LEAST                                                                              \
    4 /* bytes of packet number and payload, for the header-protection sample (RFC 9001, 5.4.2) */
#define HEADROOM_LEAST   64 /* not worth a packet below this many bytes */
#define PATH_FRAME_BYTES (1 + MR_PATH_DATA)
#define PROBES_KEPT      3 /* challenges that a new address must be good for, whatever else is sent */

enum {
    I = 1 << MR_SPACE_INITIAL,
    H = 1 << MR_SPACE_HANDSHAKE,
    A = 1 << MR_SPACE_APP
};

static const struct producer {
    uint32_t want;   /* enum mr_want */
    uint32_t spaces; /* where it may write */
    void (*write)(struct mr_build *b);
} in_priority_order[] = {
    {MR_WANT_CLOSE | MR_WANT_MULTIPATH, I | H | A, mr_produce_first},
    {MR_WANT_PATH_CHALLENGE, A, mr_produce_path_challenge}, /* there may be little room */
    {MR_WANT_PATH_PROBE, A, mr_produce_path_probe},
    {MR_WANT_ACK, I | H | A, mr_produce_ack},
    {MR_WANT_CRYPTO, I | H | A, mr_produce_crypto},
    {MR_WANT_PATH_RESPONSE, A, mr_produce_path_response},
    {MR_WANT_OBSERVED_ADDRESS, A, mr_produce_observed_address},
    {MR_WANT_HANDSHAKE_DONE, A, mr_produce_handshake_done},
    {MR_WANT_NEW_TOKEN, A, mr_produce_new_token},
    {MR_WANT_MAX_DATA, A, mr_produce_max_data},
    {MR_WANT_MAX_STREAMS_BIDI | MR_WANT_MAX_STREAMS_UNI, A, mr_produce_max_streams},
    {MR_WANT_DATA_BLOCKED, A, mr_produce_data_blocked},
    {MR_WANT_STREAMS_BLOCKED_BIDI | MR_WANT_STREAMS_BLOCKED_UNI, A, mr_produce_streams_blocked},
    {MR_WANT_NEW_CID, A, mr_produce_new_cid},
    {MR_WANT_RETIRE_CID, A, mr_produce_retire_cid},
    {MR_WANT_STREAM_CONTROL, A, mr_produce_stream_control},
    {MR_WANT_ACK_FREQUENCY, A, mr_produce_ack_frequency},
    {MR_WANT_IMMEDIATE_ACK, A, mr_produce_immediate_ack},
    {MR_WANT_DATAGRAM, A, mr_produce_datagram_in_turn},
    {MR_WANT_STREAM, A, mr_produce_stream},
    {MR_WANT_DATAGRAM, A, mr_produce_datagram},
    {MR_WANT_PING | MR_WANT_MTU_PROBE, I | H | A, mr_produce_ping},
};

/* The packets of one datagram. */
struct datagram {
    struct mr_endpoint *ep;
    struct mr_conn *conn;
    struct mr_outgoing *out;
    struct mr_side_path *side; /* that it goes by, beside the path in use; NULL */
    uint64_t now;
    uint32_t limit;   /* bytes it may have */
    uint32_t used;    /* bytes of packets so far, tags included */
    uint32_t allowed; /* of enum mr_want */
    uint32_t pad_to;  /* bytes; 0: as it is */
    uint32_t count;
    uint8_t ecn; /* enum mr_ecn */
    struct packet {
        struct mr_build b;
        uint8_t *start;
        uint8_t *length_hole; /* long header; NULL: short */
        uint64_t pn;
        uint16_t header_size;
        uint8_t pn_size;
        bool is_early; /* 0-RTT */
        const struct mr_aead_key *key;
        const struct mr_hp_key *hp;
    } packets[MR_SPACES];
};

/* ------------------------------------------------------------------ one packet */

/* A client without 1-RTT keys may have those of 0-RTT. */
MR_COLD static bool find_early_keys(struct datagram *d, struct packet *p)
{
    const struct mr_handshake *hs = mr_conn_handshake(d->ep, d->conn);

    if (hs == NULL || d->conn->role != MR_CLIENT || !hs->early.is_set)
        return false;
    p->key = &hs->early.aead;
    p->hp = &hs->early.hp;
    p->is_early = true;
    d->allowed &= MR_WANTS_EARLY;
    return (d->conn->app.wants & d->allowed) != 0;
}

static bool find_keys(struct datagram *d, enum mr_space which, struct packet *p)
{
    struct mr_endpoint *ep = d->ep;
    struct mr_conn *conn = d->conn;

    if (which == MR_SPACE_APP) {
        const struct mr_conn_keys *keys = mr_keys_for_seal(ep, conn, d->now);

        if (keys == NULL) {
            if (!conn->key_state.can_seal)
                return find_early_keys(d, p);
            conn->limited_by = MR_LIMITED_MEMORY;
            return false;
        }
        p->key = &keys->seal;
        p->hp = &keys->seal_hp;
        return true;
    }
    struct mr_level_key *key = &mr_conn_handshake(ep, conn)->seal[which];
    p->key = &key->aead;
    p->hp = &key->hp;
    return key->is_set;
}

/* Once in a while a packet number is left out, so that a peer that acknowledges blindly is caught.
 */
static void maybe_skip(struct datagram *d, struct mr_pn_space *space)
{
    struct mr_conn *conn = d->conn;

    if (space != &conn->app || mr_sent_next(&space->sent) < conn->skip_pn ||
        (space->wants & d->allowed & MR_WANT_STREAM) == 0)
        return;
    mr_sent_skip(&space->sent);
    conn->skip_pn = mr_sent_next(&space->sent) + 1024 + mr_random_below(&d->ep->random, 65536);
}

static void write_header(struct datagram *d, enum mr_space which, struct packet *p)
{
    struct mr_conn *conn = d->conn;
    struct mr_pn_space *space = p->b.space;

    p->pn = mr_sent_next(&space->sent);
    p->pn_size = mr_space_pn_size(space, p->pn);
    if (which == MR_SPACE_APP && !p->is_early) {
        const struct mr_peer_cid *cid =
            d->side == NULL ? mr_cid_current(conn) : &conn->peer_cids[d->side->cid];

        mr_conn_write_short(conn, &p->b.w, &cid->cid, p->pn, p->pn_size);
        return;
    }
    struct mr_handshake *hs = mr_conn_handshake(d->ep, conn);
    struct mr_cid scid;
    scid.size = MR_LOCAL_CID_SIZE;
    memcpy(scid.bytes, &conn->issued.key[0], MR_LOCAL_CID_SIZE);
    static const enum mr_packet_type types[] = {
        [MR_SPACE_INITIAL] = MR_PACKET_INITIAL,
        [MR_SPACE_HANDSHAKE] = MR_PACKET_HANDSHAKE,
        [MR_SPACE_APP] = MR_PACKET_ZERO_RTT,
    };
    struct mr_packet_header header = {.type = types[which],
                                      .version = p->is_early ? hs->original_version : conn->version,
                                      .dcid = mr_cid_view(&mr_cid_current(conn)->cid),
                                      .scid = mr_cid_view(&scid)};
    if (which == MR_SPACE_INITIAL && conn->role == MR_CLIENT) {
        header.token = hs->token;
        header.token_size = hs->token_size;
    }
    p->length_hole = mr_packet_write_long(&p->b.w, &header, p->pn, p->pn_size);
}

static void run_producers(struct mr_build *b)
{
    for (size_t i = 0; i < MR_COUNT_OF(in_priority_order); i++) {
        const struct producer *producer = &in_priority_order[i];

        if ((b->space->wants & b->allowed & producer->want) == 0 ||
            (producer->spaces & 1u << b->space_id) == 0)
            continue;
        producer->write(b);
        if (b->is_full)
            return;
    }
}

/* A packet too short to be sampled is padded. */
static void pad_for_sample(struct packet *p)
{
    size_t payload = mr_writer_size(&p->b.w) - p->header_size;

    if (payload + p->pn_size < PAYLOAD_LEAST)
        mr_frame_write_padding(&p->b.w, PAYLOAD_LEAST - p->pn_size - payload);
}

/* Room for the record of one more packet. */
static bool has_memory(struct datagram *d, struct mr_pn_space *space)
{
    if (mr_sent_reserve(&space->sent))
        return true;
    mr_count(&d->ep->counters.limit_chunks);
    d->conn->limited_by = MR_LIMITED_MEMORY;
    return false;
}

/* Build a packet of space `which` behind the others.  False: it has nothing to say, or cannot. */
static bool build_packet(struct datagram *d, enum mr_space which, struct mr_pn_space *space)
{
    struct packet *p = &d->packets[d->count];
    struct mr_endpoint *ep = d->ep;

    p->is_early = false;
    if (!find_keys(d, which, p))
        return false;
    if (!has_memory(d, space))
        return false;
    maybe_skip(d, space);
    if (!has_memory(d, space))
        return false;

    p->start = d->out->data + d->used;
    p->length_hole = NULL;
    p->b = (struct mr_build){.ep = ep,
                             .conn = d->conn,
                             .out = d->out,
                             .space = space,
                             .w = mr_writer(p->start, d->limit - d->used - MR_AEAD_TAG),
                             .side = d->side,
                             .now = d->now,
                             .copy_first = ep->copy_count,
                             .allowed = d->allowed,
                             .space_id = which};
    write_header(d, which, p);
    if (p->b.w.failed)
        return false;
    p->header_size = (uint16_t)mr_writer_size(&p->b.w);
    p->b.packet = p->start;
    p->b.record = mr_sent_begin(&space->sent);
    run_producers(&p->b);
    if (mr_writer_size(&p->b.w) == p->header_size) {
        mr_sent_abort(&space->sent, p->b.record);
        ep->copy_count = p->b.copy_first;
        return false;
    }
    pad_for_sample(p);
    d->used += (uint32_t)mr_writer_size(&p->b.w) + MR_AEAD_TAG;
    d->count++;
    return true;
}

/* The last packet fills the datagram up. */
static bool pad(struct datagram *d, struct packet *p)
{
    uint32_t target = MR_MIN(d->pad_to, d->limit);

    if (d->used >= target)
        return false;
    mr_frame_write_padding(&p->b.w, target - d->used);
    d->used = target;
    return true;
}

/* Packets were recorded: windows, timers and counters. */
void mr_conn_count_sent(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space which,
                        const struct mr_sent_batch *batch, uint64_t now)
{
    struct mr_pn_space *space = mr_conn_space(ep, conn, which);

    if (batch->is_in_flight) {
        mr_cc_on_sent(&conn->path.cc, batch->bytes, now);
        mr_pacer_on_sent(&conn->path.pacer, batch->bytes);
    }
    if (batch->is_marked) {
        space->ecn_reports.sent += batch->packets;
        if (conn->path.ecn.state == MR_ECN_TESTING)
            mr_ecn_on_test_sent(&conn->path.ecn, batch->packets, batch->is_in_flight);
    }
    if (batch->is_ack_eliciting) {
        conn->loss.space[which].last_ack_eliciting_ns = now;
        conn->loss.space[which].ack_eliciting_count = space->sent.ack_eliciting_count;
        if (conn->idle_base_ns <= conn->last_received_ns)
            conn->idle_base_ns = MR_MAX(now, conn->last_received_ns + 1);
        if (space->probes > 0) {
            space->probes--;
            mr_conn_probe_again(ep, conn, which);
        }
    }
    if (which == MR_SPACE_APP)
        conn->key_state.sealed_count += batch->packets;
    else if (which == MR_SPACE_HANDSHAKE && conn->role == MR_CLIENT)
        mr_conn_handshake(ep, conn)->is_handshake_sent = true;
    conn->packets_sent += batch->packets;
    mr_count_add(&ep->counters.packets_sent, batch->packets);
}

MR_COLD static void trace(const struct datagram *d, const struct packet *p, bool is_mtu_probe)
{
    struct mr_trace_built built = {.packet = p->start,
                                   .header_size = p->header_size,
                                   .size = mr_writer_size(&p->b.w),
                                   .pn = p->pn,
                                   .pn_size = p->pn_size,
                                   .space = p->b.space_id,
                                   .is_mtu_probe = is_mtu_probe,
                                   .is_early = p->is_early};

    mr_trace_sent(d->ep, d->conn, &built);
    mr_trace_metrics(d->ep, d->conn, 0);
}

static void commit(struct datagram *d, struct packet *p, bool is_padded)
{
    struct mr_sent_batch batch = {.packets = 1,
                                  .bytes = mr_writer_size(&p->b.w) + MR_AEAD_TAG,
                                  .is_ack_eliciting = p->b.is_ack_eliciting,
                                  .is_in_flight = p->b.is_ack_eliciting || is_padded,
                                  .is_marked = d->ecn != MR_ECN_NOT_ECT};
    uint8_t flags = 0;

    if (batch.is_ack_eliciting)
        flags = MR_SENT_ACK_ELICITING | MR_SENT_IN_FLIGHT;
    else if (batch.is_in_flight)
        flags = MR_SENT_IN_FLIGHT;
    if ((d->allowed & MR_WANT_MTU_PROBE) != 0)
        flags |= MR_SENT_MTU_PROBE;
    if (batch.is_marked)
        flags |= MR_SENT_ECT;
    mr_sent_commit(
        &p->b.space->sent, p->b.record,
        &(struct mr_sent_info){.time_ns = d->now,
                               .size = (uint16_t)batch.bytes,
                               .flags = flags,
                               .path = d->side == NULL ? d->conn->path.number : MR_PATH_ELSEWHERE});
    if (d->side != NULL) { /* counts for no window */
        batch.is_in_flight = false;
        d->conn->side_packets++;
    }
    mr_conn_count_sent(d->ep, d->conn, p->b.space_id, &batch, d->now);
    if (mr_conn_is_traced(d->conn))
        trace(d, p, (flags & MR_SENT_MTU_PROBE) != 0);
}

static void make_job(struct datagram *d, struct packet *p)
{
    struct mr_endpoint *ep = d->ep;
    size_t size = mr_writer_size(&p->b.w);

    if (p->length_hole != NULL)
        mr_packet_set_length(p->length_hole, p->pn_size + (size - p->header_size) + MR_AEAD_TAG);
    MR_ASSERT(ep->seal_count < MR_SEAL_JOBS_MAX);
    ep->seal_jobs[ep->seal_count++] = (struct mr_seal_job){
        .key = p->key,
        .hp = p->hp,
        .packet = p->start,
        .copies = &ep->copies[p->b.copy_first],
        .pn = p->pn,
        .path_id = MR_PATH_0,
        .header_size = p->header_size,
        .payload_size = (uint16_t)(size - p->header_size),
        .pn_size = p->pn_size,
        .copy_count = (uint16_t)p->b.copy_count,
    };
}

/* ------------------------------------------------------------------ one datagram */

/* Pad to 1,200 bytes: a client's Initials, a server's ack-eliciting ones, and probes of a path (RFC
 * 9000, Sections 14.1, 8.2.1). */
static void decide_padding(struct datagram *d)
{
    for (uint32_t i = 0; i < d->count; i++) {
        const struct mr_build *b = &d->packets[i].b;
        bool is_initial =
            b->space_id == MR_SPACE_INITIAL && (d->conn->role == MR_CLIENT || b->is_ack_eliciting);

        if (is_initial || (b->is_path_probe && d->limit >= PADDED_SIZE))
            d->pad_to = MR_MAX(d->pad_to, (uint32_t)PADDED_SIZE);
    }
}

static bool finish(struct datagram *d)
{
    if (d->count == 0)
        return false;

    decide_padding(d);
    for (uint32_t i = 0; i < d->count; i++) {
        struct packet *p = &d->packets[i];
        bool is_padded = i + 1 == d->count && pad(d, p);

        if (p->b.check != NULL)
            p->b.check->is_small |= d->used < PADDED_SIZE;
        commit(d, p, is_padded);
        make_job(d, p);
    }
    d->out->size = d->used;
    d->out->ecn = d->ecn;
    if (d->side != NULL) {
        d->side->bytes_sent += d->used;
        d->conn->path.bytes_sent -= d->used; /* counted next */
    }
    mr_conn_count_datagrams(d->ep, d->conn, 1, d->used);
    return true;
}

static void build_spaces(struct datagram *d)
{
    for (int which = MR_SPACE_INITIAL; which < MR_SPACES; which++) {
        struct mr_pn_space *space = mr_conn_space(d->ep, d->conn, (enum mr_space)which);
        uint32_t before = d->allowed;

        if (space == NULL || d->limit < d->used + HEADROOM_LEAST)
            continue;
        if (space->probes > 0)
            d->allowed |= ~(uint32_t)MR_WANTS_APART;
        uint32_t wants = space->wants & d->allowed;
        if (wants != 0) {
            if (space->unacked_count > 0 || (wants & MR_WANT_NEW_CID) != 0)
                space->wants |= MR_WANT_ACK; /* of retirements, before more are asked for */
            build_packet(d, (enum mr_space)which, space);
        }
        d->allowed = before;
    }
}

/* Which producers the congestion window and the pacer let write; says what holds the others back.
 */
static uint32_t allowed_by_congestion(struct mr_conn *conn, uint32_t mtu, uint64_t now)
{
    struct mr_path *path = &conn->path;

    conn->pacing_until_ns = MR_NEVER;
    if (mr_cc_room(&path->cc) < mtu) {
        conn->was_cwnd_limited = true;
        conn->limited_by = MR_LIMITED_CWND;
        return MR_WANTS_UNCONGESTED;
    }
    if (mr_pacer_allow(&path->pacer, now) == 0) {
        conn->pacing_until_ns = mr_pacer_next(&path->pacer, now);
        conn->was_cwnd_limited = true; /* paced within the window: the window is what limits */
        conn->limited_by = MR_LIMITED_PACING;
        return MR_WANTS_UNCONGESTED;
    }
    return ~(uint32_t)MR_WANTS_APART;
}

static void begin(struct datagram *d, struct mr_endpoint *ep, struct mr_conn *conn,
                  struct mr_outgoing *out, uint64_t now)
{
    d->ep = ep;
    d->conn = conn;
    d->out = out;
    d->side = NULL;
    d->now = now;
    d->used = 0;
    d->pad_to = 0;
    d->count = 0;
    d->ecn = conn->path.ecn.mark;
    out->path = conn->path.addr;
}

/* The amplification limit: RFC 9000, Section 8.1.  Initials need room for their padding. */
static bool fits_amplification(struct datagram *d)
{
    uint64_t room = mr_path_room(d->conn);
    struct mr_pn_space *initial = mr_conn_space(d->ep, d->conn, MR_SPACE_INITIAL);
    uint32_t least = initial != NULL && initial->wants != 0 ? MR_INITIAL_MIN : HEADROOM_LEAST;

    d->conn->loss.is_amplification_limited = room < least;
    if (room < least) {
        d->conn->limited_by = MR_LIMITED_AMPLIFICATION;
        mr_count(&d->ep->counters.amplification_blocked);
        return false;
    }
    d->limit = (uint32_t)MR_MIN((uint64_t)d->limit, room);
    return true;
}

/* Room for a packet with `frames` of PATH_CHALLENGE and PATH_RESPONSE.  Where 1,200 bytes may not
 * be sent it is not filled up (RFC 9000, Section 8.2.1): what a few small packets of the peer's
 * allow would be gone with the first challenge, and when that is lost nobody speaks again. */
static uint32_t probe_size(uint32_t frames)
{
    return MR_SHORT_HEADER_MAX + frames * PATH_FRAME_BYTES + MR_AEAD_TAG;
}

static uint32_t probe_limit(const struct datagram *d, uint64_t room, uint32_t probe)
{
    uint32_t limit = MR_MIN(d->out->room, (uint32_t)PADDED_SIZE);

    return room >= limit ? limit : (uint32_t)MR_MIN(room, (uint64_t)probe);
}

/* To an address that the peer has gone to, and has not proved yet: the challenge first, alone if
 * there is little room; then what leaves enough for more challenges. */
MR_COLD static bool build_unproven(struct datagram *d)
{
    struct mr_conn *conn = d->conn;
    uint64_t room = mr_path_room(conn);
    uint32_t probe = probe_size(1);
    bool is_challenge = (conn->app.wants & MR_WANT_PATH_CHALLENGE) != 0;
    uint64_t kept = is_challenge ? 0 : PROBES_KEPT * probe;

    conn->loss.is_amplification_limited = room < kept + (is_challenge ? probe : HEADROOM_LEAST);
    if (conn->loss.is_amplification_limited) {
        conn->limited_by = MR_LIMITED_AMPLIFICATION;
        mr_count(&d->ep->counters.amplification_blocked);
        return false;
    }
    if (is_challenge && room < PADDED_SIZE) {
        d->limit = probe;
        d->allowed = MR_WANT_PATH_CHALLENGE;
        build_packet(d, MR_SPACE_APP, &conn->app);
        return finish(d);
    }
    d->limit = (uint32_t)MR_MIN((uint64_t)d->limit, room - kept);
    d->allowed = allowed_by_congestion(conn, conn->path.mtu, d->now);
    build_spaces(d);
    return finish(d);
}

static bool build_ordinary(struct datagram *d)
{
    d->limit = MR_MIN(d->conn->path.mtu, d->out->room);
    if (!d->conn->path.is_validated && d->conn->is_confirmed)
        return build_unproven(d);
    if (!fits_amplification(d))
        return false;
    d->allowed = allowed_by_congestion(d->conn, d->conn->path.mtu, d->now);
    build_spaces(d);
    return finish(d);
}

/* The oldest answer to PATH_CHALLENGE cannot be sent: it is forgotten. */
static void drop_response(struct datagram *d)
{
    struct mr_conn_extra *extra = mr_conn_extra(d->ep, d->conn);

    extra->path_response_count--;
    memmove(&extra->path_responses[0], &extra->path_responses[1],
            extra->path_response_count * sizeof(extra->path_responses[0]));
    if (extra->path_response_count == 0)
        mr_path_forget_responses(d->ep, d->conn);
}

/* By a path beside the one in use: a challenge, and with `allowed` an answer.  False: not now. */
static bool build_beside(struct datagram *d, struct mr_side_path *side, uint32_t allowed)
{
    uint64_t room = mr_side_room(side);

    if (d->conn->side_packets == MR_SIDE_PACKETS_MAX) {
        mr_count(&d->ep->counters.limit_path_packets);
        return false;
    }
    if (side->cid == MR_NONE)
        side->cid = mr_cid_unused(d->ep, d->conn);
    if (side->cid == MR_NONE)
        return false;
    uint32_t probe = probe_size((allowed != 0 ? 1u : 0u) + side->check.is_wanted);
    if (room < probe)
        return false;
    d->side = side;
    d->ecn = MR_ECN_NOT_ECT; /* it says nothing about the path in use */
    d->out->path = side->addr;
    d->limit = probe_limit(d, room, probe);
    d->allowed = allowed | MR_WANT_PATH_PROBE;
    d->conn->app.wants |= MR_WANT_PATH_PROBE;
    build_packet(d, MR_SPACE_APP, &d->conn->app);
    return finish(d);
}

/* An answer to PATH_CHALLENGE goes to where the challenge came from (RFC 9000, Section 8.2.2). */
static bool build_path_response(struct datagram *d)
{
    const struct mr_path_response response = mr_conn_extra(d->ep, d->conn)->path_responses[0];
    bool is_beside = !mr_path_addr_equal(&response.addr, &d->conn->path.addr);

    if (is_beside) {
        struct mr_side_path *side = mr_side_find(d->ep, d->conn, &response.addr);

        if (side != NULL && build_beside(d, side, MR_WANT_PATH_RESPONSE))
            return true;
        drop_response(d);
        return false;
    }
    d->limit = MR_MIN(d->conn->path.mtu, d->out->room);
    d->allowed = MR_WANT_PATH_RESPONSE | MR_WANT_PATH_CHALLENGE;
    if (!d->conn->path.is_validated) {
        uint32_t most = MR_MIN(d->limit, response.bytes_max);
        d->limit = probe_limit(d, MR_MIN(mr_path_room(d->conn), (uint64_t)most), probe_size(2));
    }
    if (d->limit < probe_size(1) || !d->conn->key_state.can_seal) {
        drop_response(d);
        return false;
    }
    if (mr_cc_room(&d->conn->path.cc) < d->limit && d->conn->app.probes == 0)
        return false; /* waits: a flood of challenges without acknowledgements is not answered */
    build_packet(d, MR_SPACE_APP, &d->conn->app);
    return finish(d);
}

/* PATH_CHALLENGE beside the path in use.  What cannot be sent now waits for the next one's time, or
 * for bytes from there. */
static bool build_path_probe(struct datagram *d)
{
    struct mr_side_path *side = mr_side_next(d->ep, d->conn);

    if (side == NULL) {
        d->conn->app.wants &= ~(uint32_t)MR_WANT_PATH_PROBE;
        return false;
    }
    if (build_beside(d, side, 0))
        return true;
    side->check.is_wanted = side->cid != MR_NONE && mr_side_room(side) < probe_size(1);
    d->conn->app.wants &= ~(uint32_t)MR_WANT_PATH_PROBE;
    return false;
}

/* Not to an address that is not validated: the probe waits (RFC 9000, Section 8). */
static bool build_mtu_probe(struct datagram *d)
{
    if (!d->conn->path.is_validated)
        return false;
    d->conn->app.wants &= ~(uint32_t)MR_WANT_MTU_PROBE;
    if (d->out->room < d->conn->mtu_search.target ||
        mr_cc_room(&d->conn->path.cc) < d->conn->mtu_search.target)
        return false;
    d->limit = d->pad_to = d->conn->mtu_search.target;
    d->allowed = MR_WANT_MTU_PROBE;
    d->conn->app.wants |= MR_WANT_MTU_PROBE;
    build_packet(d, MR_SPACE_APP, &d->conn->app);
    d->conn->mtu_search.is_in_flight = d->count > 0;
    return finish(d);
}

/* Datagrams that are not like others: for other paths, or larger. */
MR_COLD static bool build_apart(struct datagram *d)
{
    static const struct {
        uint32_t want;
        bool (*build)(struct datagram *d);
    } kinds[] = {{MR_WANT_PATH_RESPONSE, build_path_response},
                 {MR_WANT_PATH_PROBE, build_path_probe},
                 {MR_WANT_MTU_PROBE, build_mtu_probe}};

    for (size_t i = 0; i < MR_COUNT_OF(kinds); i++) {
        begin(d, d->ep, d->conn, d->out, d->now);
        if ((d->conn->app.wants & kinds[i].want) != 0 && kinds[i].build(d))
            return true;
    }
    return false;
}

/* Nothing but stream data is wanted, and window or pacer hold it back, as build_ordinary() would
 * find. */
static bool is_held_back(struct mr_conn *conn, uint64_t now)
{
    return conn->app.wants == MR_WANT_STREAM && conn->handshake == MR_NONE &&
           conn->app.unacked_count == 0 && conn->app.probes == 0 && conn->path.is_validated &&
           !conn->loss.is_amplification_limited &&
           (allowed_by_congestion(conn, conn->path.mtu, now) & MR_WANT_STREAM) == 0;
}

static bool build_datagram(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_outgoing *out,
                           uint64_t now)
{
    struct datagram d;

    if ((conn->app.wants & MR_WANTS_APART) != 0 && mr_conn_is_alive(conn)) {
        d.ep = ep;
        d.conn = conn;
        d.out = out;
        d.now = now;
        if (build_apart(&d))
            return true;
    }
    begin(&d, ep, conn, out, now);
    return build_ordinary(&d);
}

/* A limit of the peer's was met while a packet was built, behind the producers that say so; and
 * nothing else was in it. */
static inline bool owes_blocked(const struct mr_conn *conn)
{
    return conn->limited_by == MR_LIMITED_FLOW &&
           (conn->app.wants & (MR_WANT_STREAM_CONTROL | MR_WANT_DATA_BLOCKED)) != 0;
}

/* At most `count` datagrams that do. */
MR_COLD static uint32_t tell_blocked(struct mr_endpoint *ep, struct mr_conn *conn,
                                     struct mr_outgoing *out, uint32_t count, uint64_t now)
{
    struct datagram d;
    uint32_t built = 0;

    while (built < count && owes_blocked(conn)) {
        begin(&d, ep, conn, &out[built], now);
        if (!build_ordinary(&d))
            break;
        built++;
    }
    return built;
}

MR_INLINE uint32_t send_by_path(struct mr_endpoint *ep, struct mr_conn *conn,
                                struct mr_outgoing *out, uint32_t limit, uint64_t now)
{
    uint32_t built = 0;

    conn->was_cwnd_limited = false;
    conn->limited_by = MR_LIMITED_APPLICATION;
    while (built < limit && !is_held_back(conn, now)) {
        uint32_t more = mr_conn_send_run(ep, conn, &out[built], limit - built, now);

        if (more == 0)
            more = build_datagram(ep, conn, &out[built], now);
        if (more == 0)
            break;
        built += more;
    }
    if (built < limit && owes_blocked(conn))
        built += tell_blocked(ep, conn, &out[built], limit - built, now);
    return built;
}

uint32_t mr_conn_send_by_path(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_outgoing *out,
                              uint32_t limit, uint64_t now)
{
    return send_by_path(ep, conn, out, limit, now);
}

/* To a port that holds datagrams back: say until when.  As they are built, so they leave. */
MR_COLD static void space_out(struct mr_conn *conn, struct mr_outgoing *out, uint32_t count,
                              uint64_t now)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < count; i++)
        bytes += out[i].size;
    struct mr_pacer_departures departures =
        mr_pacer_spread(&conn->path.pacer, count, (uint32_t)(bytes / count), now);
    for (uint32_t i = 0; i < count; i++)
        out[i].hold_ns = mr_pacer_departure(&departures, i);
}

uint32_t mr_conn_send(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_outgoing *out,
                      uint32_t count, uint64_t now)
{
    uint32_t limit = MR_MIN(count, (uint32_t)MR_QUANTUM_PACKETS);

    if (conn->multipath != MR_NONE && conn->is_confirmed)
        return mr_multipath_send(ep, conn, out, count, now);
    bool is_armed_for_ack = conn->armed_ns == conn->app.ack_deadline_ns;
    uint32_t built = send_by_path(ep, conn, out, limit, now);
    if (conn->clears_quic_bit)
        mr_quic_bit_grease(ep, out, built);
    if (ep->config.spaces_departures && built > 0)
        space_out(conn, out, built, now);
    bool is_cut_short = built == limit; /* by its turn: goes on after the others */
    mr_conn_end_visit(ep, conn, built, is_cut_short);
    if ((conn->app.wants & (MR_WANT_STREAM | MR_WANT_DATAGRAM)) == 0)
        mr_cc_on_drained(&conn->path.cc);
    if (!is_cut_short &&
        conn->limited_by == MR_LIMITED_MEMORY) /* nobody tells when there is some */
        conn->pacing_until_ns = now + MR_MEMORY_RETRY_NS;
    mr_conn_timer_settle(ep, conn, is_armed_for_ack); /* which mostly has gone */
    return built;
}

/* ------------------------------------------------------------------ records */

bool mr_build_can_record(struct mr_build *b)
{
    if (mr_sent_can_add(&b->space->sent, b->record))
        return true;
    mr_count(&b->ep->counters.limit_chunks);
    b->conn->limited_by = MR_LIMITED_MEMORY;
    b->is_full = true;
    return false;
}

void mr_build_record(struct mr_build *b, enum mr_sent_kind kind, uint64_t offset, uint32_t object,
                     size_t length, bool fin)
{
    mr_sent_add_frame(&b->space->sent, b->record,
                      &(struct mr_sent_frame){.offset = offset,
                                              .object = object,
                                              .length = (uint16_t)length,
                                              .kind = (uint8_t)kind,
                                              .flags = fin ? MR_SENT_FIN : 0});
    b->is_ack_eliciting |= kind != MR_SENT_ACK;
}
