/*
 * quic/conn_cid.c - connection IDs: ours in the endpoint's table, the peer's in the connection.
 *
 * RFC 9000, Sections 5.1, 19.15, 19.16.  We issue as many as the peer's limit and ours
 * allow, and one more whenever one is retired.  Reset tokens of ours are computed,
 * not stored (quic/token.h).
 */
#include <errno.h>

#include "quic/conn_bits.h"
#include "quic/conn_multipath.h"

#define RENEWAL_PUT_OFF_NS MR_SECOND

/* ------------------------------------------------------------------ ours */

/* How many more the peer may hold, beside those that it must retire; *slot_out is free, if any. */
static uint32_t room(const struct mr_conn *conn, uint32_t *slot_out)
{
    uint32_t slot = MR_NONE;
    uint32_t held = 0;
    uint32_t free_slots = 0;

    for (uint32_t i = 0; i < MR_CIDS_SLOTS; i++) {
        if (conn->issued.key[i] == 0) {
            slot = slot == MR_NONE ? i : slot;
            free_slots++;
        } else {
            held += conn->issued.sequence[i] >= conn->issued_prior_to;
        }
    }
    *slot_out = slot;
    return held < conn->issued_limit ? MR_MIN(free_slots, conn->issued_limit - held) : 0;
}

/* The places of several in the table are far apart: they are fetched before the first is needed. */
static void fetch_place(struct mr_endpoint *ep, uint64_t key)
{
    mr_table8_prefetch(&ep->cids, mr_table8_home(&ep->cids, key));
}

/* Issue one more: `cid`, or another if its nonce is taken. */
static bool issue(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_cid cid)
{
    uint32_t slot;
    uint32_t owner = mr_multipath_cid_owner(ep, conn);

    if (room(conn, &slot) == 0 || conn->issued_next_sequence > UINT32_MAX)
        return false;
    for (int tries = 0; tries < 4; tries++, cid = mr_endpoint_new_cid(ep)) {
        uint64_t key;

        memcpy(&key, cid.bytes, sizeof(key));
        if (mr_table8_insert(&ep->cids, key, owner) != MR_TABLE_ADDED)
            continue;
        conn->issued.key[slot] = key;
        conn->issued.sequence[slot] = (uint32_t)conn->issued_next_sequence;
        uint16_t bit = (uint16_t)(1u << slot);
        conn->issued_announced &= (uint16_t)~bit;
        conn->issued_known &= (uint16_t)~bit;
        if (conn->issued_next_sequence == 0)
            conn->peer_chose = key;
        if (conn->issued_next_sequence == 0 && owner == conn->index) { /* the handshake tells */
            conn->issued_announced |= bit;
            conn->issued_known |= bit;
        }
        conn->issued_next_sequence++;
        return true;
    }
    return false;
}

bool mr_cid_issue(struct mr_endpoint *ep, struct mr_conn *conn)
{
    uint32_t slot;

    return room(conn, &slot) > 0 && issue(ep, conn, mr_endpoint_new_cid(ep));
}

void mr_cid_issue_all(struct mr_endpoint *ep, struct mr_conn *conn)
{
    struct mr_cid cids[MR_CIDS_SLOTS];
    uint32_t slot;
    uint32_t count = room(conn, &slot);

    for (uint32_t i = 0; i < count; i++) {
        uint64_t key;

        cids[i] = mr_endpoint_new_cid(ep);
        memcpy(&key, cids[i].bytes, sizeof(key));
        fetch_place(ep, key);
    }
    for (uint32_t i = 0; i < count && issue(ep, conn, cids[i]); i++) {
        mr_count(&ep->counters.cids_issued);
        mr_conn_want(ep, conn, &conn->app, MR_WANT_NEW_CID);
    }
}

bool mr_cid_has_retired_all(const struct mr_conn *conn)
{
    for (uint32_t i = 0; i < MR_CIDS_SLOTS; i++) {
        if (conn->issued.key[i] != 0 && conn->issued.sequence[i] < conn->issued_prior_to)
            return false;
    }
    return true;
}

/* What a renewal takes is not what other connections, and those to come, need. */
static bool can_spare_cids(const struct mr_endpoint *ep)
{
    uint32_t others = mr_pool_free_count(&ep->numbers) + ep->handshakes_in_flight;

    return ep->cids.core.count + MR_CIDS_ISSUED_MAX * (others + 1) <= ep->cids.core.capacity;
}

/* Ask the peer to go over to new ones.  0; -EBUSY: it cannot be asked now; -ENOSPC: others need
 * them (counted); -ENOMEM: none is free. */
static int renew(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    uint64_t before = conn->issued_prior_to;

    if (conn->state != MR_CONN_OPEN || !conn->is_confirmed || !mr_cid_has_retired_all(conn))
        return -EBUSY;
    if (conn->cid_config == ep->config.cid.config && !can_spare_cids(ep)) {
        mr_count(&ep->counters.limit_cid_renewals);
        return -ENOSPC;
    }
    conn->issued_prior_to = conn->issued_next_sequence;
    mr_cid_issue_all(ep, conn);
    if (conn->issued_next_sequence == conn->issued_prior_to) {
        conn->issued_prior_to = before;
        return -ENOMEM;
    }
    conn->cid_config = ep->config.cid.config;
    conn->cids_due_ns = mr_cid_due(ep, now);
    mr_count(&ep->counters.cids_renewed);
    return 0;
}

MR_COLD void mr_cid_renew(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    if (renew(ep, conn, now) == -ENOSPC) /* otherwise with a later packet */
        conn->cids_due_ns = now + RENEWAL_PUT_OFF_NS;
}

int mr_conn_renew_cids(struct mr_endpoint *ep, mr_handle handle, uint64_t now)
{
    struct mr_conn *conn = mr_conn_of_handle(ep, handle);

    if (conn == NULL)
        return mr_conn_absence(ep, handle);
    mr_trace_clock(ep, now);
    int answer = renew(ep, conn, now);
    return answer == -ENOSPC ? -ENOMEM : answer;
}

void mr_cid_forget_hand(struct mr_endpoint *ep, struct mr_conn *conn)
{
    for (uint32_t i = 0; i < MR_CIDS_SLOTS; i++) {
        if (conn->issued.key[i] != 0)
            fetch_place(ep, conn->issued.key[i]);
    }
    for (uint32_t i = 0; i < MR_CIDS_SLOTS; i++) {
        if (conn->issued.key[i] != 0)
            mr_table8_remove(&ep->cids, conn->issued.key[i]);
        conn->issued.key[i] = 0;
    }
}

void mr_cid_forget_all(struct mr_endpoint *ep, struct mr_conn *conn)
{
    mr_cid_forget_hand(ep, conn);
    mr_multipath_forget_cids(ep, conn);
}

bool mr_cid_next_new(struct mr_endpoint *ep, const struct mr_conn *conn, uint32_t slot,
                     struct mr_frame_new_connection_id *out)
{
    uint64_t sequence = conn->issued.sequence[slot];
    bool is_old = sequence < conn->issued_prior_to; /* told, so that it is retired */

    if (conn->issued.key[slot] == 0 || (conn->issued_announced & 1u << slot) != 0)
        return false;
    *out = (struct mr_frame_new_connection_id){
        .sequence = sequence, .retire_prior_to = is_old ? 0 : conn->issued_prior_to};
    out->cid.size = MR_LOCAL_CID_SIZE;
    memcpy(out->cid.bytes, &conn->issued.key[slot], MR_LOCAL_CID_SIZE);
    mr_reset_token(&ep->tokens, mr_cid_view(&out->cid), out->reset_token);
    return true;
}

void mr_cid_on_announce_acked(struct mr_conn *conn, uint64_t sequence)
{
    for (uint32_t i = 0; i < MR_CIDS_SLOTS; i++) {
        if (conn->issued.key[i] != 0 && conn->issued.sequence[i] == sequence)
            conn->issued_known |= (uint16_t)(1u << i);
    }
}

bool mr_cid_on_announce_lost(struct mr_conn *conn, uint64_t sequence)
{
    for (uint32_t i = 0; i < MR_CIDS_SLOTS; i++) {
        if (conn->issued.key[i] == 0 || conn->issued.sequence[i] != sequence)
            continue;
        conn->issued_announced &= (uint16_t) ~(1u << i);
        return true;
    }
    return false;
}

/* RFC 9000, Section 19.16: the CID in use for this very packet cannot be retired by it. */
static bool is_used_by(const struct mr_rx *rx, uint64_t key)
{
    return rx->datagram->size > MR_LOCAL_CID_SIZE && memcmp(rx->dcid, &key, MR_LOCAL_CID_SIZE) == 0;
}

bool mr_cid_take_retired(struct mr_rx *rx, uint64_t sequence, uint64_t type)
{
    struct mr_conn *conn = rx->conn;

    if (sequence >= conn->issued_next_sequence)
        return mr_conn_fail(rx->ep, conn, MR_PROTOCOL_VIOLATION, type,
                            "retires a connection ID that was not issued", rx->now);

    for (uint32_t i = 0; i < MR_CIDS_SLOTS; i++) {
        uint64_t key = conn->issued.key[i];

        if (key == 0 || conn->issued.sequence[i] != sequence)
            continue;
        if (is_used_by(rx, key))
            return mr_conn_fail(rx->ep, conn, MR_PROTOCOL_VIOLATION, type,
                                "retires the connection ID of its own packet", rx->now);
        mr_table8_remove(&rx->ep->cids, key);
        conn->issued.key[i] = 0;
        mr_count(&rx->ep->counters.cids_retired);
        mr_cid_issue_all(rx->ep, conn);
        return true;
    }
    return true; /* retired before */
}

bool mr_on_retire_connection_id(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    struct mr_frame_retire_connection_id frame;

    if (!mr_frame_decode_retire_connection_id(r, type, &frame))
        return mr_conn_fail(rx->ep, rx->conn, MR_FRAME_ENCODING_ERROR, type,
                            "malformed RETIRE_CONNECTION_ID", rx->now);
    uint32_t before = mr_multipath_zero(rx->ep, rx->conn);
    bool is_ok = mr_cid_take_retired(rx, frame.sequence, type);
    mr_multipath_back(rx->ep, rx->conn, before);
    return is_ok;
}

/* ------------------------------------------------------------------ the peer's */

static struct mr_peer_cid *find_peer_cid(struct mr_conn *conn, uint64_t sequence)
{
    for (uint32_t i = 0; i < MR_CIDS_PEER_MAX; i++) {
        if (conn->peer_cids[i].is_used && conn->peer_cids[i].sequence == sequence)
            return &conn->peer_cids[i];
    }
    return NULL;
}

/* Queue RETIRE_CONNECTION_ID.  False: too many wait (the peer floods us). */
static bool retire(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t sequence)
{
    if (conn->retire_count == MR_RETIRE_QUEUE_MAX)
        return false;
    conn->retire_waiting |= 1u << conn->retire_count;
    conn->retire[conn->retire_count++] = sequence;
    mr_conn_want(ep, conn, &conn->app, MR_WANT_RETIRE_CID);
    return true;
}

/* Where `sequence` stands in the queue; retire_count: not there, its retirement was acknowledged.
 */
static uint32_t find_retired(const struct mr_conn *conn, uint64_t sequence)
{
    uint32_t i = 0;

    while (i < conn->retire_count && conn->retire[i] != sequence)
        i++;
    return i;
}

/* A probe repeats the frame: several packets may carry it, and each be acknowledged or lost. */
void mr_cid_on_retire_acked(struct mr_conn *conn, uint64_t sequence)
{
    uint32_t i = find_retired(conn, sequence);

    if (i == conn->retire_count)
        return;
    uint32_t last = --conn->retire_count; /* takes its place, with its bit */
    uint32_t last_bit = conn->retire_waiting >> last & 1;
    conn->retire[i] = conn->retire[last];
    conn->retire_waiting = (conn->retire_waiting & ~(1u << i)) | last_bit << i;
    conn->retire_waiting &= (1u << last) - 1;
}

bool mr_cid_on_retire_lost(struct mr_conn *conn, uint64_t sequence)
{
    uint32_t i = find_retired(conn, sequence);

    if (i == conn->retire_count)
        return false;
    conn->retire_waiting |= 1u << i;
    return true;
}

void mr_cid_untrack_token(struct mr_endpoint *ep, struct mr_conn *conn)
{
    if (conn->is_token_tracked)
        mr_table_remove(&ep->reset_tokens, conn->tracked_token, MR_RESET_TOKEN);
    conn->is_token_tracked = false;
}

void mr_cid_track_token(struct mr_endpoint *ep, struct mr_conn *conn)
{
    const struct mr_peer_cid *current = mr_cid_current(conn);

    mr_cid_untrack_token(ep, conn);
    if (!current->has_token)
        return;
    memcpy(conn->tracked_token, current->reset_token, MR_RESET_TOKEN);
    conn->is_token_tracked = mr_table_insert(&ep->reset_tokens, conn->tracked_token, MR_RESET_TOKEN,
                                             mr_multipath_cid_owner(ep, conn)) == MR_TABLE_ADDED;
}

uint32_t mr_cid_unused(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    for (uint32_t i = 0; i < MR_CIDS_PEER_MAX; i++) {
        const struct mr_peer_cid *cid = &conn->peer_cids[i];

        if (cid->is_used && !cid->is_spent && i != conn->peer_cid_current &&
            !mr_side_uses_cid(ep, conn, i))
            return i;
    }
    return MR_NONE;
}

void mr_cid_switch(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t slot)
{
    MR_ASSERT(slot < MR_CIDS_PEER_MAX);
    if (slot != conn->peer_cid_current)
        mr_spin_restart(ep, conn);
    conn->peer_cid_current = slot;
    mr_cid_track_token(ep, conn);
}

void mr_cid_release(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t slot)
{
    if (slot == MR_NONE || slot == conn->peer_cid_current || mr_side_uses_cid(ep, conn, slot) ||
        !conn->peer_cids[slot].is_used)
        return;
    if (retire(ep, conn, conn->peer_cids[slot].sequence)) {
        conn->peer_cids[slot].is_used = false;
        return;
    }
    conn->peer_cids[slot].is_spent = true;
    mr_count(&ep->counters.limit_cids);
}

/* Retire every CID below `prior_to`; the one in use gives way to another. */
static bool retire_prior_to(struct mr_rx *rx, uint64_t prior_to, uint64_t type)
{
    struct mr_conn *conn = rx->conn;

    if (prior_to <= conn->peer_retire_prior_to)
        return true;
    conn->peer_retire_prior_to = prior_to;
    for (uint32_t i = 0; i < MR_CIDS_PEER_MAX; i++) {
        struct mr_peer_cid *cid = &conn->peer_cids[i];

        if (!cid->is_used || cid->sequence >= prior_to)
            continue;
        if (!retire(rx->ep, conn, cid->sequence)) {
            mr_count(&rx->ep->counters.limit_cids);
            return mr_conn_fail(rx->ep, conn, MR_CONNECTION_ID_LIMIT_ERROR, type,
                                "too many connection IDs to retire", rx->now);
        }
        cid->is_used = false;
        mr_side_lost_cid(rx->ep, conn, i);
    }
    return true;
}

/* After a retirement: make sure that the current CID is one that lives.  Its slot may hold the new
 * one by now, so its token is looked at in any case.  `before`: the sequence number in use. */
static bool choose_current(struct mr_rx *rx, uint64_t before, uint64_t type)
{
    struct mr_conn *conn = rx->conn;
    uint32_t i = conn->peer_cid_current;

    if (!conn->peer_cids[i].is_used)
        i = mr_cid_unused(rx->ep, conn);
    if (i == MR_NONE) /* a side path's is better than none */
        i = mr_side_take_cid(rx->ep, conn);
    if (i == MR_NONE)
        return mr_conn_fail(rx->ep, conn, MR_PROTOCOL_VIOLATION, type,
                            "no connection ID is left to use", rx->now);
    if (i != conn->peer_cid_current || conn->peer_cids[i].sequence != before)
        mr_spin_restart(rx->ep, conn);
    conn->peer_cid_current = i;
    mr_cid_track_token(rx->ep, conn);
    return true;
}

/* Keep a new CID.  False: the connection failed. */
static bool keep(struct mr_rx *rx, const struct mr_frame_new_connection_id *frame, uint64_t type)
{
    struct mr_conn *conn = rx->conn;

    for (uint32_t i = 0; i < MR_CIDS_PEER_MAX; i++) {
        struct mr_peer_cid *slot = &conn->peer_cids[i];

        if (slot->is_used)
            continue;
        *slot = (struct mr_peer_cid){
            .sequence = frame->sequence, .cid = frame->cid, .is_used = true, .has_token = true};
        memcpy(slot->reset_token, frame->reset_token, MR_RESET_TOKEN);
        return true;
    }
    mr_count(&rx->ep->counters.limit_cids);
    return mr_conn_fail(rx->ep, conn, MR_CONNECTION_ID_LIMIT_ERROR, type,
                        "more connection IDs than the limit", rx->now);
}

/* Note that `sequence` has come.  False: it had before, or is too old to tell (then it was
 * retired). */
static bool note_sequence(struct mr_conn *conn, uint64_t sequence)
{
    if (sequence < conn->peer_seen_from)
        return false;
    if (sequence - conn->peer_seen_from >= 64) {
        uint64_t shift = sequence - conn->peer_seen_from - 63;

        conn->peer_seen = shift < 64 ? conn->peer_seen >> shift : 0;
        conn->peer_seen_from += shift;
    }
    uint64_t bit = UINT64_C(1) << (sequence - conn->peer_seen_from);
    bool is_new = (conn->peer_seen & bit) == 0;
    conn->peer_seen |= bit;
    return is_new;
}

bool mr_cid_take_new(struct mr_rx *rx, const struct mr_frame_new_connection_id *frame,
                     uint64_t type)
{
    struct mr_conn *conn = rx->conn;
    uint64_t before = mr_cid_current(conn)->sequence;
    const struct mr_peer_cid *known = find_peer_cid(conn, frame->sequence);
    if (known != NULL && !mr_cid_equal(&known->cid, &frame->cid))
        return mr_conn_fail(rx->ep, conn, MR_PROTOCOL_VIOLATION, type,
                            "a sequence number with two connection IDs", rx->now);
    if (!retire_prior_to(rx, frame->retire_prior_to, type))
        return false;
    if (known != NULL)
        return choose_current(rx, before, type);

    if (!note_sequence(conn, frame->sequence))
        return choose_current(rx, before, type); /* it came before, and was retired */
    if (frame->sequence >= conn->peer_retire_prior_to) {
        if (!keep(rx, frame, type))
            return false;
    } else if (!retire(rx->ep, conn, frame->sequence)) {
        mr_count(&rx->ep->counters.limit_cids);
        return mr_conn_fail(rx->ep, conn, MR_CONNECTION_ID_LIMIT_ERROR, type,
                            "too many connection IDs to retire", rx->now);
    }
    return choose_current(rx, before, type);
}

bool mr_on_new_connection_id(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    struct mr_frame_new_connection_id frame;

    if (!mr_frame_decode_new_connection_id(r, type, &frame))
        return mr_conn_fail(rx->ep, rx->conn, MR_FRAME_ENCODING_ERROR, type,
                            "malformed NEW_CONNECTION_ID", rx->now);
    if (mr_cid_current(rx->conn)->cid.size == 0)
        return mr_conn_fail(rx->ep, rx->conn, MR_PROTOCOL_VIOLATION, type,
                            "NEW_CONNECTION_ID from a peer without connection IDs", rx->now);
    uint32_t before = mr_multipath_zero(rx->ep, rx->conn);
    bool is_ok = mr_cid_take_new(rx, &frame, type);
    mr_multipath_back(rx->ep, rx->conn, before);
    return is_ok;
}
