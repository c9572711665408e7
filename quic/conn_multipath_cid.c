/*
 * quic/conn_multipath_cid.c - connection IDs of each path (draft-ietf-quic-multipath, Section 3.2).
 *
 * quic/conn_cid.c works on those in hand; here they are taken in hand, path by path.  Frames of any
 * path's connection IDs go by any path.
 */
#include "quic/conn_bits.h"
#include "quic/conn_multipath.h"

uint32_t mr_multipath_cid_owner(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    const struct mr_multipath *mp = mr_multipath(ep, conn);

    return mp == NULL || mp->cids_hand == MR_PATH_ZERO ? conn->index
                                                       : MR_CID_OF_PATH | mp->cids_hand;
}

uint64_t mr_multipath_peer_cid_next(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t record)
{
    uint64_t next;

    mr_multipath_exchange_cids(ep, conn, record);
    next = conn->peer_seen_from;
    for (uint64_t seen = conn->peer_seen; seen != 0; seen >>= 1)
        next++;
    mr_multipath_exchange_cids(ep, conn, record);
    return next;
}

/* ------------------------------------------------------------------ for path IDs to come */

static void init_record(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_multipath *mp,
                        struct mr_path_record *record, uint32_t id)
{
    memset(record, 0, sizeof(*record));
    record->conn = conn->index;
    record->id = id;
    record->life.until_ns = MR_NEVER;
    mr_space_init(ep, &record->app);
    record->app.largest_acked = MR_PN_NONE;
    mr_loss_init(&record->loss, (enum mr_role)conn->role, 0);
    record->loss.handshake_confirmed = record->loss.has_validated = true;
    mr_mtu_search_init(&record->mtu_search);
    record->pacing_until_ns = record->path_due_ns = record->tell_window = MR_NEVER;
    record->opened_first_pn = MR_NEVER;
    record->skip_pn = 64 + mr_random_below(&ep->random, 1024);
    record->extra = MR_NONE;
    record->cid_config = ep->config.cid.config;
    record->cids_due_ns = MR_NEVER;
    record->issued_limit = mp->cid_limit;
}

/* The record of the next path ID; MR_NONE: none is free (counted). */
static uint32_t add_record(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_multipath *mp)
{
    uint32_t index = mp->count == MR_PATHS_MAX ? MR_NONE : mr_pool_get(&ep->path_records);

    if (index == MR_NONE) {
        mr_count(&ep->counters.limit_path_records);
        return MR_NONE;
    }
    mp->given++;
    mp->records[mp->count++] = index;
    init_record(ep, conn, mp, mr_path_record_at(ep, index), (uint32_t)mp->given);
    return index;
}

/* Section 3.2.1: "it is RECOMMENDED to proactively issue at least one Connection ID for each unused
 * path ID up to the minimum of the peer's and the local maximum path ID limits", without
 * discontinuity. */
void mr_multipath_provide(struct mr_endpoint *ep, struct mr_conn *conn)
{
    struct mr_multipath *mp = mr_multipath(ep, conn);
    uint64_t max = MR_MIN(mp->our_max, mp->peer_max);

    while (mp->given < max && add_record(ep, conn, mp) != MR_NONE)
        ;
    for (uint32_t i = 0; i < mp->count; i++) {
        const struct mr_path_record *record = mr_path_record_at(ep, mp->records[i]);

        if (record->life.state == MR_PATH_ABANDONED || record->id > max)
            continue;
        mr_multipath_exchange_cids(ep, conn, mp->records[i]);
        mr_cid_issue_all(ep, conn);
        mr_multipath_exchange_cids(ep, conn, mp->records[i]);
    }
}

void mr_multipath_forget_cids(struct mr_endpoint *ep, struct mr_conn *conn)
{
    const struct mr_multipath *mp = mr_multipath(ep, conn);

    for (uint32_t i = 0; mp != NULL && i < mp->count; i++) {
        mr_multipath_exchange_cids(ep, conn, mp->records[i]);
        mr_cid_forget_hand(ep, conn);
        mr_cid_untrack_token(ep, conn);
        mr_multipath_exchange_cids(ep, conn, mp->records[i]);
    }
}

/* ------------------------------------------------------------------ to the peer */

/* The frames of the path whose connection IDs are in hand.  False: no room. */
static bool write_new(struct mr_build *b, uint32_t path)
{
    struct mr_conn *conn = b->conn;

    for (uint32_t i = 0; i < MR_CIDS_SLOTS; i++) {
        struct mr_frame_new_connection_id frame;

        if (!mr_cid_next_new(b->ep, conn, i, &frame))
            continue;
        if (!mr_build_can_record(b) ||
            !mr_frame_write_path_new_connection_id(&b->w, path, &frame)) {
            b->is_full = true;
            return false;
        }
        mr_build_record(b, MR_SENT_PATH_NEW_CID, frame.sequence, path, 0, false);
        conn->issued_announced |= (uint16_t)(1u << i);
    }
    return true;
}

static bool write_retired(struct mr_build *b, uint32_t path)
{
    struct mr_conn *conn = b->conn;

    for (uint32_t i = 0; i < conn->retire_count; i++) {
        struct mr_frame_path_value frame = {.path = path, .value = conn->retire[i]};

        if ((conn->retire_waiting & 1u << i) == 0)
            continue;
        if (!mr_build_can_record(b) ||
            !mr_frame_write_path_value(&b->w, MR_FRAME_PATH_RETIRE_CONNECTION_ID, &frame)) {
            b->is_full = true;
            return false;
        }
        mr_build_record(b, MR_SENT_PATH_RETIRE_CID, frame.value, path, 0, false);
        conn->retire_waiting &= ~(1u << i);
    }
    return true;
}

/* `write` for every path that is not abandoned. */
static void for_all(struct mr_build *b, uint32_t want, bool (*write)(struct mr_build *b, uint32_t))
{
    struct mr_multipath *mp = mr_multipath(b->ep, b->conn);

    for (uint32_t i = 0; i <= mp->count; i++) {
        uint32_t record = i == mp->count ? MR_PATH_ZERO : mp->records[i];

        if (mr_multipath_life(b->ep, mp, record)->state == MR_PATH_ABANDONED)
            continue;
        mr_multipath_exchange_cids(b->ep, b->conn, record);
        bool is_done = write(b, mr_multipath_id(b->ep, record));
        mr_multipath_exchange_cids(b->ep, b->conn, record);
        if (!is_done)
            return;
    }
    b->space->wants &= ~want;
}

void mr_multipath_produce_new_cids(struct mr_build *b)
{
    for_all(b, MR_WANT_NEW_CID, write_new);
}

void mr_multipath_produce_retired_cids(struct mr_build *b)
{
    for_all(b, MR_WANT_RETIRE_CID, write_retired);
}

/* ------------------------------------------------------------------ from the peer */

/* The record of a path ID in a frame that gives us a connection ID: the peer may be ahead of us. */
static uint32_t find_or_add(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_multipath *mp,
                            uint64_t path)
{
    while (mp->given < path && add_record(ep, conn, mp) != MR_NONE)
        ;
    return mr_multipath_find(ep, mp, path);
}

/* Is it of another path than the one in hand, whose record has path 0's?  Section 3.2.1:
 * "connection IDs cannot be issued more than once on the same connection". */
static bool is_known_elsewhere(const struct mr_endpoint *ep, const struct mr_multipath *mp,
                               const struct mr_cid *cid)
{
    for (uint32_t i = 0; i < mp->count; i++) {
        const struct mr_path_record *record = mr_path_record_at(ep, mp->records[i]);

        for (uint32_t k = 0; k < MR_CIDS_PEER_MAX; k++) {
            if (record->peer_cids[k].is_used && mr_cid_equal(&record->peer_cids[k].cid, cid))
                return true;
        }
    }
    return false;
}

/* The path in hand has got a connection ID: the token of the one in use counts, of no other (RFC
 * 9000, Section 10.3.1). */
static void update_token(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_multipath *mp)
{
    if (mr_multipath_life(ep, mp, mp->hand)->state == MR_PATH_UNUSED)
        mr_cid_untrack_token(ep, conn);
    else if (!conn->is_token_tracked)
        mr_cid_track_token(ep, conn);
}

static bool take_new(struct mr_rx *rx, uint32_t record, uint64_t type,
                     const struct mr_frame_new_connection_id *frame)
{
    struct mr_endpoint *ep = rx->ep;
    struct mr_conn *conn = rx->conn;
    struct mr_multipath *mp = mr_multipath(ep, conn);

    uint32_t before = mr_multipath_hand(ep, conn, record);
    bool is_ok = is_known_elsewhere(ep, mp, &frame->cid)
                     ? mr_conn_fail(ep, conn, MR_PROTOCOL_VIOLATION, type,
                                    "a connection ID for two paths", rx->now)
                     : mr_cid_take_new(rx, frame, type);
    update_token(ep, conn, mp);
    mr_multipath_hand(ep, conn, before);
    return is_ok;
}

bool mr_multipath_read_path(struct mr_rx *rx, uint64_t path, uint64_t type, uint32_t *record_out)
{
    const struct mr_multipath *mp = mr_multipath_agreed(rx->ep, rx->conn);

    if (mp == NULL)
        return mr_conn_fail(rx->ep, rx->conn, MR_FRAME_ENCODING_ERROR, type,
                            "multipath was not negotiated", rx->now);
    if (path > mp->our_max)
        return mr_conn_fail(rx->ep, rx->conn, MR_PROTOCOL_VIOLATION, type,
                            "a path ID beyond the limit", rx->now);
    *record_out = mr_multipath_find(rx->ep, mp, path);
    return true;
}

bool mr_on_path_new_connection_id(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    struct mr_frame_new_connection_id frame;
    uint64_t path;
    uint32_t record;

    if (!mr_frame_decode_path_new_connection_id(r, type, &path, &frame))
        return mr_conn_fail(rx->ep, rx->conn, MR_FRAME_ENCODING_ERROR, type,
                            "malformed PATH_NEW_CONNECTION_ID", rx->now);
    if (!mr_multipath_read_path(rx, path, type, &record))
        return false;
    struct mr_multipath *mp = mr_multipath(rx->ep, rx->conn);
    record = find_or_add(rx->ep, rx->conn, mp, path);
    if (record == MR_PATH_GONE || mr_multipath_life(rx->ep, mp, record)->state == MR_PATH_ABANDONED)
        return true;
    return take_new(rx, record, type, &frame);
}

bool mr_on_path_retire_connection_id(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    struct mr_frame_path_value frame;
    uint32_t record;

    if (!mr_frame_decode_path_value(r, type, &frame))
        return mr_conn_fail(rx->ep, rx->conn, MR_FRAME_ENCODING_ERROR, type,
                            "malformed PATH_RETIRE_CONNECTION_ID", rx->now);
    if (!mr_multipath_read_path(rx, frame.path, type, &record))
        return false;
    if (record == MR_PATH_GONE)
        return true;
    struct mr_multipath *mp = mr_multipath(rx->ep, rx->conn);
    bool is_abandoned = mr_multipath_life(rx->ep, mp, record)->state == MR_PATH_ABANDONED;
    uint32_t before = mr_multipath_hand(rx->ep, rx->conn, record);
    uint32_t limit = rx->conn->issued_limit;
    if (is_abandoned) /* none in its place */
        rx->conn->issued_limit = 0;
    bool is_ok = mr_cid_take_retired(rx, frame.value, type);
    rx->conn->issued_limit = limit;
    mr_multipath_hand(rx->ep, rx->conn, before);
    return is_ok;
}

bool mr_on_path_cids_blocked(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    struct mr_frame_path_value frame;
    uint32_t record;

    if (!mr_frame_decode_path_value(r, type, &frame))
        return mr_conn_fail(rx->ep, rx->conn, MR_FRAME_ENCODING_ERROR, type,
                            "malformed PATH_CIDS_BLOCKED", rx->now);
    if (!mr_multipath_read_path(rx, frame.path, type, &record))
        return false;
    mr_count(&rx->ep->counters.paths_blocked_received);
    if (record == MR_PATH_GONE)
        return true;
    uint32_t before = mr_multipath_hand(rx->ep, rx->conn, record);
    uint64_t next = rx->conn->issued_next_sequence;
    mr_multipath_hand(rx->ep, rx->conn, before);
    if (frame.value > next)
        return mr_conn_fail(rx->ep, rx->conn, MR_PROTOCOL_VIOLATION, type,
                            "blocked by a connection ID beyond the next", rx->now);
    return true;
}
