/*
 * quic/endpoint_receive.c - a burst of datagrams on its way to the connections.
 *
 *     lookup:  header form, DCID -> connection (the table's cache misses overlap)
 *              1-RTT packets get an open job; header protection of all of them together
 *     open:    AEAD of all of them, back to back
 *     frames:  in order of arrival: opened packets to their frames; everything else
 *              (long headers, a flipped key phase, keys not there yet) packet by packet
 *     settle:  one ACK decision, one timer update per connection and burst
 */
#include "quic/conn_bits.h"
#include "quic/conn_multipath.h"
#include "quic/conn_sleep.h"
#include "quic/conn_timer.h"
#include "quic/receive_ahead.h"

#define ASKED_AHEAD 2 /* datagrams: that many keys may have to be expanded meanwhile */

/* ------------------------------------------------------------------ lookup */

static bool is_short(const struct mr_datagram *d)
{
    return d->size > MR_LOCAL_CID_SIZE && !mr_packet_is_long(d->data[0]);
}

static uint64_t short_key(const struct mr_datagram *d)
{
    uint64_t key;

    memcpy(&key, d->data + 1, sizeof(key));
    return key;
}

/* Whose is a packet that no table of ours knows?  True: another shard's, noted in the datagram. */
bool mr_endpoint_is_foreign(struct mr_endpoint *ep, struct mr_datagram *d, const uint8_t *dcid,
                            size_t size)
{
    uint32_t owner = mr_endpoint_cid_owner(ep, dcid, size);

    if (d->hops > 0 || owner == MR_CID_FOREIGN || owner == ep->config.cid.shard ||
        (ep->config.shards != 0 && owner >= ep->config.shards)) /* there were more, once */
        return false;
    d->redirect = owner;
    mr_count(&ep->counters.redirects_out);
    return true;
}

void mr_endpoint_forward(struct mr_endpoint *ep, const struct mr_conn *conn, struct mr_datagram *d)
{
    if (d->hops >= MR_HOPS_MAX) {
        mr_count(&ep->counters.dropped_hops);
        return;
    }
    d->redirect = conn->moved_to;
    mr_count(&ep->counters.datagrams_forwarded);
}

/* A 1-RTT packet of a connection with keys: it is opened with the burst.  False: packet by packet.
 */
static bool add_open_job(struct mr_endpoint *ep, struct mr_slot *slot, struct mr_conn *conn)
{
    const struct mr_datagram *d = slot->datagram;

    if (conn->state != MR_CONN_OPEN || !conn->key_state.can_open)
        return false;
    struct mr_conn_keys *keys = mr_keys_use(ep, conn);
    if (keys == NULL)
        return false;

    uint64_t expected = conn->app.received.count == 0 ? 0 : conn->app.received.range[0].hi + 1;
    slot->job = ep->open_count;
    ep->open_jobs[ep->open_count++] =
        (struct mr_open_job){.key = &keys->open[conn->key_state.phase],
                             .hp = &keys->open_hp,
                             .packet = d->data,
                             .expected_pn = expected,
                             .path_id = MR_PATH_0,
                             .pn_offset = 1 + MR_LOCAL_CID_SIZE,
                             .size = (uint16_t)d->size};
    return true;
}

/* A 1-RTT packet that is opened like the last one. */
MR_INLINE void add_same_job(struct mr_endpoint *ep, struct mr_slot *slot)
{
    const struct mr_open_job *last = &ep->open_jobs[ep->open_count - 1];
    struct mr_open_job *job = &ep->open_jobs[ep->open_count];

    memcpy(job, last, offsetof(struct mr_open_job, packet));
    job->packet = slot->datagram->data;
    job->size = (uint16_t)slot->datagram->size;
    slot->job = ep->open_count++;
}

/* No connection's, of one that sleeps, or of a further path of one. */
MR_COLD static enum mr_slot_kind classify_rare(struct mr_endpoint *ep, struct mr_slot *slot)
{
    struct mr_datagram *d = slot->datagram;

    if (slot->conn == MR_NONE)
        return mr_endpoint_is_foreign(ep, d, d->data + 1, MR_LOCAL_CID_SIZE) ? MR_SLOT_DONE
                                                                             : MR_SLOT_WALK;
    if (slot->conn >= MR_CID_ASLEEP) { /* it is woken in its turn */
        mr_sleep_ask(ep, slot->conn & ~MR_CID_ASLEEP);
        return MR_SLOT_WALK;
    }
    bool is_clear = (d->data[0] & MR_PACKET_FIXED_BIT) == 0 && !mr_takes_clear_quic_bit(ep);
    if (!is_clear && mr_multipath_classify(ep, slot, slot->conn & ~MR_CID_OF_PATH))
        return MR_SLOT_PATH;
    d->buf->references = 1;
    mr_buf_drop(d->buf, &ep->released);
    mr_count(is_clear ? &ep->counters.dropped_no_fixed_bit : &ep->counters.dropped_no_key);
    return MR_SLOT_DONE;
}

/* What to do with the datagram of `slot`, whose connection is known if it has a short header. */
static enum mr_slot_kind classify(struct mr_endpoint *ep, struct mr_slot *slot)
{
    struct mr_datagram *d = slot->datagram;

    if (!is_short(d) || d->size > UINT16_MAX)
        return MR_SLOT_WALK;
    if (slot->conn >= MR_CID_OF_PATH)
        return classify_rare(ep, slot);
    if ((d->data[0] & MR_PACKET_FIXED_BIT) == 0 && !mr_takes_clear_quic_bit(ep))
        return MR_SLOT_WALK;
    return add_open_job(ep, slot, mr_conn_at(ep, slot->conn)) ? MR_SLOT_FAST : MR_SLOT_WALK;
}

/* Of the first connections of a burst, which nothing was asked for before. */
MR_COLD static void ask_for_first(const struct mr_endpoint *ep, const uint32_t *found,
                                  uint32_t count)
{
    for (uint32_t i = 0; i < MR_MIN(count, (uint32_t)ASKED_AHEAD + 1); i++)
        if (i == 0 || found[i] != found[i - 1])
            mr_receive_ask_conn(ep, found[i]);
}

/* What to do with each datagram; `found`: its connection if it has a short header.  Those that come
 * one after the other for one connection are mostly alike. */
static void classify_burst(struct mr_endpoint *ep, struct mr_datagram *datagrams,
                           const uint32_t *found, uint32_t count)
{
    uint8_t needs = mr_takes_clear_quic_bit(ep) ? 0 : MR_PACKET_FIXED_BIT;
    uint8_t looked_at = needs | MR_PACKET_FORM_LONG;
    struct mr_slot *slot = ep->slots;
    bool is_last_fast = false;

    if (mr_endpoint_is_crowded(ep))
        ask_for_first(ep, found, count);
    for (uint32_t i = 0; i < count; i++, slot++) {
        struct mr_datagram *d = &datagrams[i];

        d->redirect = MR_STAY;
        slot->datagram = d;
        slot->conn = found[i];
        if (is_last_fast && found[i] == found[i - 1] && d->size > MR_LOCAL_CID_SIZE &&
            d->size <= UINT16_MAX && (d->data[0] & looked_at) == needs) {
            add_same_job(ep, slot);
            slot->kind = MR_SLOT_FAST;
            continue;
        }
        if (i > 0 && i + ASKED_AHEAD < count)
            mr_receive_ask_conn(ep, found[i + ASKED_AHEAD]);
        slot->kind = (uint8_t)classify(ep, slot);
        is_last_fast = slot->kind == MR_SLOT_FAST;
    }
    ep->slot_count = count;
}

void mr_endpoint_receive_lookup(struct mr_endpoint *ep, struct mr_datagram *datagrams,
                                uint32_t count)
{
    uint64_t keys[MR_BURST];
    uint32_t found[MR_BURST];
    uint64_t bytes = 0;

    MR_ASSERT(count <= MR_BURST);
    keys[0] = 0; /* gcc cannot see that no more are read than are written */
    ep->burst++;
    ep->open_count = ep->touched_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        keys[i] = is_short(&datagrams[i]) ? short_key(&datagrams[i]) : 0;
        bytes += datagrams[i].size;
    }
    mr_table8_find_burst(&ep->cids, keys, count, found);
    classify_burst(ep, datagrams, found, count);
    mr_unmask_burst(ep->aead, ep->open_jobs, ep->open_count);
    mr_count_add(&ep->counters.datagrams_received, count);
    mr_count_add(&ep->counters.bytes_received, bytes);
}

/* ------------------------------------------------------------------ open */

/* A packet of the other key phase is opened later, alone: the burst would open it with the wrong
 * key. */
static void sort_out_phases(struct mr_endpoint *ep)
{
    struct mr_open_job *job = ep->open_jobs; /* of the next packet that has one */
    uint32_t conn = MR_NONE;
    uint8_t phase = 0;

    for (struct mr_slot *slot = ep->slots, *end = slot + ep->slot_count; slot < end; slot++) {
        if (slot->kind < MR_SLOT_FAST)
            continue;
        if (slot->conn != conn) {
            conn = slot->conn;
            phase = mr_conn_at(ep, conn)->key_state.phase != 0 ? MR_PACKET_KEY_PHASE : 0;
        }
        if (job->is_unmasked && (job->packet[0] & MR_PACKET_KEY_PHASE) != phase) {
            slot->kind = (uint8_t)(slot->kind + MR_SLOT_FLIPS);
            job->is_unmasked = false; /* the burst leaves it alone */
        }
        job++;
    }
}

void mr_endpoint_receive_open(struct mr_endpoint *ep)
{
    bool is_cold = mr_endpoint_is_crowded(ep);

    if (is_cold)
        mr_receive_ask_records(ep);
    sort_out_phases(ep);
    mr_open_burst(ep->aead, ep->open_jobs, ep->open_count);
    if (is_cold)
        mr_receive_ask_streams(ep);
}

/* ------------------------------------------------------------------ frames */

bool mr_endpoint_take_reset(struct mr_endpoint *ep, const struct mr_datagram *d, uint64_t now)
{
    const uint8_t *token = mr_packet_reset_token(d->data, d->size);
    uint32_t owner =
        token == NULL ? MR_NONE : mr_table_find(&ep->reset_tokens, token, MR_RESET_TOKEN);

    if (owner == MR_NONE)
        return false;
    if (owner >= MR_CID_ASLEEP) {
        const struct mr_conn *woken = mr_conn_rouse(ep, owner & ~MR_CID_ASLEEP, false);
        if (woken == NULL)
            return true; /* dropped */
        owner = woken->index;
    }
    uint32_t record = owner < MR_CID_OF_PATH ? MR_PATH_ZERO : owner & ~MR_CID_OF_PATH;
    struct mr_conn *conn =
        mr_conn_at(ep, record == MR_PATH_ZERO ? owner : mr_path_record_at(ep, record)->conn);
    if (memcmp(&mr_multipath_path(ep, conn, record)->addr.remote, &d->path.remote,
               sizeof(d->path.remote)) != 0)
        return false;
    mr_conn_on_reset(ep, conn, now);
    return true;
}

/* An opened 1-RTT packet to its frames. */
static void receive_opened(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_datagram *d,
                           struct mr_open_job *job, uint64_t now)
{
    struct mr_rx rx = {.ep = ep,
                       .conn = conn,
                       .space = &conn->app,
                       .datagram = d,
                       .dcid = job->packet + 1,
                       .now = now,
                       .pn = job->pn,
                       .space_id = MR_SPACE_APP,
                       .type = MR_PACKET_ONE_RTT};

    mr_conn_receive(&rx, job->packet[0], job->packet + job->header_size,
                    (size_t)job->size - job->header_size - MR_AEAD_TAG);
}

/* A 1-RTT packet whose protection could not be removed. */
MR_COLD static void receive_failed(struct mr_endpoint *ep, struct mr_conn *conn,
                                   const struct mr_datagram *d, const struct mr_open_job *job,
                                   uint64_t now)
{
    if (mr_endpoint_take_reset(ep, d, now))
        return;
    if (job->header_size == 0)
        mr_count(&ep->counters.dropped_small_unsampled);
    else
        mr_keys_count_failed(ep, conn, now);
    mr_conn_touch(ep, conn);
}

/* One that came with the other key phase. */
MR_COLD static void open_flipped(struct mr_endpoint *ep, struct mr_conn *conn,
                                 struct mr_open_job *job, uint64_t now)
{
    job->is_unmasked = true;
    uint8_t phase = (job->packet[0] & MR_PACKET_KEY_PHASE) != 0;
    if (phase != conn->key_state.phase) {
        mr_keys_open_other_phase(ep, conn, job, now);
        return;
    }
    /* an earlier packet of the burst turned the phase */
    job->key = &mr_keys_use(ep, conn)->open[phase];
    mr_open_burst(ep->aead, job, 1);
}

MR_COLD void mr_receive_one(struct mr_endpoint *ep, struct mr_slot *slot, uint64_t now)
{
    struct mr_conn *conn = mr_conn_at(ep, slot->conn);
    struct mr_open_job *job = &ep->open_jobs[slot->job];
    bool is_flipped = slot->kind >= MR_SLOT_FLIPPED;

    if (!conn->path.is_validated)
        mr_path_heard(ep, conn, slot->datagram);
    if (is_flipped)
        open_flipped(ep, conn, job, now);
    if (!job->is_open) {
        receive_failed(ep, conn, slot->datagram, job, now);
        return;
    }
    if (conn->multipath != MR_NONE && !mr_multipath_on_packet(ep, conn, slot->datagram, now))
        return;
    if (!is_flipped)
        mr_keys_note_opened(ep, conn, job->pn, now);
    receive_opened(ep, conn, slot->datagram, job, now);
}

static void receive_fast(struct mr_endpoint *ep, struct mr_slot *slot, uint64_t now)
{
    struct mr_conn *conn = mr_conn_at(ep, slot->conn);
    struct mr_open_job *job = &ep->open_jobs[slot->job];

    if (slot->kind != MR_SLOT_FAST) {
        if (slot->kind == MR_SLOT_FLIPPED)
            mr_receive_one(ep, slot, now);
        else
            mr_multipath_receive(ep, slot, now);
        return;
    }
    if (!conn->path.is_validated)
        mr_path_heard(ep, conn, slot->datagram);
    if (!job->is_open) {
        receive_failed(ep, conn, slot->datagram, job, now);
        return;
    }
    mr_keys_note_opened(ep, conn, job->pn, now);
    receive_opened(ep, conn, slot->datagram, job, now);
}

/* A datagram that no fast path takes: who is its connection? */
MR_COLD static void receive_walk(struct mr_endpoint *ep, struct mr_slot *slot, uint64_t now)
{
    struct mr_datagram *d = slot->datagram;
    struct mr_packet_header header;

    if (slot->conn != MR_NONE && slot->conn >= MR_CID_ASLEEP) {
        const struct mr_conn *woken = mr_conn_rouse(ep, slot->conn & ~MR_CID_ASLEEP, false);

        slot->conn = woken == NULL ? MR_NONE : woken->index;
        if (woken == NULL)
            return;
    }
    if (slot->conn != MR_NONE) {
        struct mr_conn *conn = mr_conn_at(ep, slot->conn);
        if (conn->state == MR_CONN_MOVED) {
            mr_endpoint_forward(ep, conn, d);
            return;
        }
        if (!conn->path.is_validated)
            mr_path_heard(ep, conn, d);
        mr_conn_walk(ep, conn, d, 0, now);
        return;
    }
    if (d->size == 0) {
        mr_count(&ep->counters.dropped_empty);
        return;
    }
    enum mr_packet_verdict verdict = mr_packet_parse(d->data, d->size, MR_LOCAL_CID_SIZE, &header);
    if (verdict == MR_PACKET_SHORT || verdict == MR_PACKET_MALFORMED) {
        if (mr_endpoint_take_reset(ep, d, now))
            return;
        mr_count(verdict == MR_PACKET_SHORT ? &ep->counters.dropped_short
                                            : &ep->counters.dropped_malformed);
        return;
    }
    mr_endpoint_receive_unknown(ep, d, &header, verdict, now);
}

/* Each datagram's buffer has one reference while it is handled: who needs it longer takes another.
 */
static void settle_buffer(struct mr_endpoint *ep, struct mr_datagram *d)
{
    if (d->redirect == MR_STAY)
        mr_buf_drop(d->buf, &ep->released);
}

void mr_endpoint_settle(struct mr_endpoint *ep, uint64_t now)
{
    for (uint32_t i = 0; i < ep->touched_count; i++) {
        struct mr_conn *conn = mr_conn_at(ep, ep->touched[i]);

        conn->is_touched = false;
        if (!mr_conn_is_alive(conn))
            continue;
        if (mr_cid_is_due(ep, conn, now))
            mr_cid_renew(ep, conn, now);
        mr_conn_decide_ack(ep, conn, now);
        mr_conn_timer_settle(ep, conn, false);
    }
    ep->touched_count = 0;
}

void mr_endpoint_untouch(struct mr_endpoint *ep, struct mr_conn *conn)
{
    MR_ASSERT(ep->touched_count > 0 && ep->touched[ep->touched_count - 1] == conn->index);
    conn->is_touched = false;
    ep->touched_count--;
}

/* The first of `count` slots, as far as they can be handled together.  Returns how many. */
static uint32_t receive_together(struct mr_endpoint *ep, const struct mr_slot *slots,
                                 uint32_t count, uint64_t now)
{
    if (slots->kind != MR_SLOT_FAST)
        return 0;
    uint32_t run = mr_conn_receive_run(ep, slots, count, now);
    if (run > 0)
        return run;
    run = mr_conn_receive_acks(ep, slots, count, now);
    for (uint32_t i = 0; i < run; i++) {
        slots[i].datagram->buf->references = 1;
        settle_buffer(ep, slots[i].datagram);
    }
    return run;
}

void mr_endpoint_receive_frames(struct mr_endpoint *ep, uint64_t now)
{
    ep->now = now;
    mr_trace_clock(ep, now);
    for (uint32_t i = 0; i < ep->slot_count; i++) {
        struct mr_slot *slot = &ep->slots[i];

        if (slot->kind == MR_SLOT_DONE)
            continue;
        uint32_t run = receive_together(ep, slot, ep->slot_count - i, now);
        if (run > 0) {
            i += run - 1;
            continue;
        }
        slot->datagram->buf->references = 1;
        if (slot->kind == MR_SLOT_WALK)
            receive_walk(ep, slot, now);
        else
            receive_fast(ep, slot, now);
        settle_buffer(ep, slot->datagram);
    }
    mr_endpoint_settle(ep, now);
}

void mr_endpoint_receive(struct mr_endpoint *ep, struct mr_datagram *datagrams, uint32_t count,
                         uint64_t now)
{
    mr_endpoint_receive_lookup(ep, datagrams, count);
    mr_endpoint_receive_open(ep);
    mr_endpoint_receive_frames(ep, now);
}

/* ------------------------------------------------------------------ packet by packet */

/* One packet of a walk. */
struct walk {
    struct mr_endpoint *ep;
    struct mr_conn *conn;
    struct mr_datagram *datagram;
    uint64_t now;
    uint32_t at;
    bool is_pending; /* the datagram waits, from `at` on */
    bool has_read;   /* a packet of it could be read */
    struct mr_packet_header header;
};

MR_COLD static struct mr_trace_drop drop_of(const struct walk *w, enum mr_trace_trigger trigger)
{
    return (struct mr_trace_drop){
        .size = w->header.size, .type = (uint8_t)w->header.type, .trigger = (uint8_t)trigger};
}

/* Its keys are not there yet, and may come: the datagram waits. */
static bool pend(struct walk *w)
{
    struct mr_handshake *hs = mr_conn_handshake(w->ep, w->conn);

    if (hs == NULL || w->conn->state != MR_CONN_HANDSHAKE)
        return false;
    if (w->header.type == MR_PACKET_ZERO_RTT &&
        (w->conn->role == MR_CLIENT || hs->seal[MR_SPACE_HANDSHAKE].is_set)) {
        mr_count(&w->ep->counters.dropped_early); /* 0-RTT is refused */
        return true;
    }
    if (hs->pending_count == MR_PENDING_DATAGRAMS_MAX) {
        mr_count(&w->ep->counters.dropped_pending_full);
        if (mr_conn_is_traced(w->conn))
            mr_trace_dropped(w->ep, w->conn, drop_of(w, MR_TRACE_REJECTED));
        return true;
    }
    if (mr_conn_is_traced(w->conn))
        mr_trace_buffered(w->ep, w->conn, drop_of(w, MR_TRACE_NO_KEY));
    mr_buf_hold(w->datagram->buf);
    hs->pending[hs->pending_count++] = (struct mr_pending){.datagram = *w->datagram, .at = w->at};
    w->is_pending = true;
    return true;
}

/* Set the keys of the packet's level in `job`; false: there are none. */
static bool find_open_keys(struct walk *w, struct mr_open_job *job)
{
    struct mr_conn *conn = w->conn;

    if (w->header.type == MR_PACKET_ONE_RTT) {
        /* RFC 9001, Section 5.7: 1-RTT packets are not processed before the handshake is complete.
         */
        struct mr_conn_keys *keys = conn->key_state.can_open && conn->state != MR_CONN_HANDSHAKE
                                        ? mr_keys_use(w->ep, conn)
                                        : NULL;
        if (keys == NULL)
            return false;
        job->key = &keys->open[conn->key_state.phase];
        job->hp = &keys->open_hp;
        return true;
    }
    struct mr_handshake *hs = mr_conn_handshake(w->ep, conn);
    enum mr_space space = mr_packet_space(w->header.type);
    if (w->header.type == MR_PACKET_ZERO_RTT) {
        if (hs == NULL || conn->role != MR_SERVER || !hs->early.is_set)
            return false;
        job->key = &hs->early.aead;
        job->hp = &hs->early.hp;
        return true;
    }
    if (hs == NULL || !hs->open[space].is_set)
        return false;
    struct mr_level_key *key = w->header.version != conn->version && hs->open_original.is_set
                                   ? &hs->open_original
                                   : &hs->open[space];
    job->key = &key->aead;
    job->hp = &key->hp;
    return true;
}

/* A client's packet of another version that it offered: with the Initial keys of that version.
 * True: it opened, and the connection goes on in it. */
MR_COLD static bool open_negotiated(struct walk *w, struct mr_open_job *job)
{
    struct mr_conn *conn = w->conn;
    const struct mr_handshake *hs = mr_conn_handshake(w->ep, conn);
    struct mr_level_key key = {.is_set = false};
    bool is_open =
        mr_conn_set_initial_open_key(w->ep, w->header.version, &hs->initial_dcid, MR_SERVER, &key);

    job->key = &key.aead;
    job->hp = &key.hp;
    if (is_open)
        mr_unmask_burst(w->ep->aead, job, 1);
    if (is_open && job->is_unmasked)
        mr_open_burst(w->ep->aead, job, 1);
    is_open = job->is_open && mr_conn_change_version(w->ep, conn, w->header.version);
    mr_aead_key_clear(w->ep->aead, &key.aead);
    mr_hp_key_clear(w->ep->aead, &key.hp);
    if (!job->is_open)
        mr_count(&w->ep->counters.dropped_undecryptable);
    return is_open;
}

static bool open_alone(struct walk *w, struct mr_open_job *job)
{
    struct mr_conn *conn = w->conn;

    mr_unmask_burst(w->ep->aead, job, 1);
    if (!job->is_unmasked) {
        mr_count(&w->ep->counters.dropped_small_unsampled);
        return false;
    }
    uint8_t phase = (job->packet[0] & MR_PACKET_KEY_PHASE) != 0;
    if (w->header.type == MR_PACKET_ONE_RTT && phase != conn->key_state.phase) {
        mr_keys_open_other_phase(w->ep, conn, job, w->now);
    } else {
        mr_open_burst(w->ep->aead, job, 1);
        if (job->is_open && w->header.type == MR_PACKET_ONE_RTT)
            mr_keys_note_opened(w->ep, conn, job->pn, w->now);
    }
    if (job->is_open)
        return true;
    if (w->header.type == MR_PACKET_ONE_RTT) {
        mr_keys_count_failed(w->ep, conn, w->now);
    } else {
        mr_count(&w->ep->counters.dropped_undecryptable);
        if (mr_conn_is_traced(conn))
            mr_trace_dropped(w->ep, conn, drop_of(w, MR_TRACE_UNDECRYPTABLE));
    }
    return false;
}

/* RFC 9000, Section 7.2: the peer's first SCID is where we send; a later one must be the same. */
static bool check_scid(struct walk *w)
{
    struct mr_conn *conn = w->conn;
    struct mr_handshake *hs = mr_conn_handshake(w->ep, conn);
    struct mr_peer_cid *peer = &conn->peer_cids[0];

    if (!mr_packet_is_long(w->datagram->data[w->at]) || hs == NULL)
        return true;
    if (hs->has_peer_scid) {
        if (mr_cid_view_equal(w->header.scid, &peer->cid))
            return true;
        mr_count(&w->ep->counters.dropped_other_cid);
        return false;
    }
    hs->has_peer_scid = true;
    return mr_cid_copy(&peer->cid, w->header.scid);
}

/* A processed Handshake packet proves that the client has its address (RFC 9000, Section 8.1; RFC
 * 9001, Section 4.9.1). */
static void after_handshake_packet(struct walk *w)
{
    struct mr_conn *conn = w->conn;

    if (conn->role != MR_SERVER || w->header.type != MR_PACKET_HANDSHAKE || !mr_conn_is_alive(conn))
        return;
    if (!conn->path.is_validated)
        mr_path_validated(w->ep, conn);
    mr_conn_discard_space(w->ep, conn, MR_SPACE_INITIAL, w->now);
}

static void receive_long_or_short(struct walk *w)
{
    struct mr_conn *conn = w->conn;
    enum mr_space which = mr_packet_space(w->header.type);
    struct mr_pn_space *space = mr_conn_space(w->ep, conn, which);
    struct mr_open_job job = {.packet = w->datagram->data + w->at,
                              .path_id = MR_PATH_0,
                              .pn_offset = w->header.pn_offset,
                              .size = w->header.size};

    if (space == NULL || !find_open_keys(w, &job)) {
        if (space != NULL && pend(w))
            return;
        mr_count(&w->ep->counters.dropped_no_key);
        if (mr_conn_is_traced(conn))
            mr_trace_dropped(w->ep, conn, drop_of(w, MR_TRACE_NO_KEY));
        return;
    }
    job.expected_pn = space->received.count == 0 ? 0 : space->received.range[0].hi + 1;
    bool is_negotiated =
        w->header.version != 0 && w->header.version != conn->version && conn->role == MR_CLIENT;
    if (!(is_negotiated ? open_negotiated(w, &job) : open_alone(w, &job)))
        return;
    w->has_read = true;
    if (!check_scid(w))
        return;

    struct mr_rx rx = {.ep = w->ep,
                       .conn = conn,
                       .space = space,
                       .datagram = w->datagram,
                       .dcid = w->header.dcid.bytes,
                       .now = w->now,
                       .pn = job.pn,
                       .space_id = which,
                       .type = w->header.type};
    mr_conn_receive(&rx, job.packet[0], job.packet + job.header_size,
                    (size_t)job.size - job.header_size - MR_AEAD_TAG);
    after_handshake_packet(w);
}

/* May the packet be read although its version is not the connection's?  At a server, of the first
 * flight's version; at a client, if it may be the one that was negotiated (RFC 9369, Section 4.1).
 */
MR_COLD static bool is_of_another_version(const struct walk *w)
{
    const struct mr_conn *conn = w->conn;
    const struct mr_handshake *hs = mr_conn_handshake(w->ep, conn);

    if (hs == NULL || (w->header.type != MR_PACKET_INITIAL &&
                       (w->header.type != MR_PACKET_ZERO_RTT || conn->role != MR_SERVER)))
        return false;
    return conn->role == MR_SERVER ? w->header.version == hs->original_version
                                   : mr_conn_may_negotiate(conn, hs, w->header.version);
}

/* Packets that have no number, and those that cannot be meant. */
static void receive_packet(struct walk *w)
{
    struct mr_conn *conn = w->conn;

    switch (w->header.type) {
    case MR_PACKET_RETRY:
        mr_conn_on_retry(w->ep, conn, w->datagram->data + w->at, &w->header, w->now);
        return;
    case MR_PACKET_VERSION_NEGOTIATION:
        mr_conn_on_version_negotiation(w->ep, conn, &w->header, w->now);
        return;
    default:
        break;
    }
    if (w->header.version != 0 && w->header.version != conn->version && !is_of_another_version(w)) {
        mr_count(&w->ep->counters.dropped_version_mismatch);
        return;
    }
    /* RFC 9000, Section 14.1: the server discards Initials in small datagrams. */
    if (w->header.type == MR_PACKET_INITIAL && conn->role == MR_SERVER &&
        w->datagram->size < MR_INITIAL_MIN) {
        mr_count(&w->ep->counters.dropped_small_initial);
        return;
    }
    /* RFC 9000, Section 17.2.2: a server's Initial carries no token. */
    if (w->header.type == MR_PACKET_INITIAL && conn->role == MR_CLIENT &&
        w->header.token_size > 0) {
        mr_count(&w->ep->counters.dropped_malformed);
        return;
    }
    receive_long_or_short(w);
}

static void walk_packets(struct walk *w)
{
    struct mr_endpoint *ep = w->ep;
    const struct mr_datagram *datagram = w->datagram;
    struct mr_cid first = {.size = 0};
    bool is_first = true;

    while (w->at < datagram->size) {
        enum mr_packet_verdict verdict = mr_packet_parse(
            datagram->data + w->at, datagram->size - w->at, MR_LOCAL_CID_SIZE, &w->header);

        if (verdict == MR_PACKET_NO_FIXED_BIT && mr_takes_clear_quic_bit(ep))
            verdict = MR_PACKET_OK;
        if (verdict != MR_PACKET_OK) {
            mr_count(verdict == MR_PACKET_NO_FIXED_BIT ? &ep->counters.dropped_no_fixed_bit
                     : verdict == MR_PACKET_SHORT      ? &ep->counters.dropped_short
                     : verdict == MR_PACKET_MALFORMED  ? &ep->counters.dropped_malformed
                                                       : &ep->counters.dropped_unsupported_version);
            return;
        }
        if (is_first)
            mr_cid_copy(&first, w->header.dcid);
        else if (!mr_cid_view_equal(w->header.dcid, &first)) { /* RFC 9000, Section 12.2 */
            mr_count(&ep->counters.dropped_other_cid);
            return;
        }
        is_first = false;
        receive_packet(w);
        if (w->is_pending) /* what follows, too: opening a packet twice would spoil it */
            return;
        w->at += w->header.size;
    }
}

void mr_conn_walk(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_datagram *datagram,
                  uint32_t at, uint64_t now)
{
    struct walk w = {.ep = ep, .conn = conn, .datagram = datagram, .now = now, .at = at};

    mr_conn_touch(ep, conn);
    walk_packets(&w);
    if (!w.has_read && !w.is_pending)
        mr_endpoint_take_reset(ep, datagram, now);
}
