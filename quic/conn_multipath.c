/*
 * quic/conn_multipath.c - several paths of one connection: their memory, the path in hand, their
 * timers (draft-ietf-quic-multipath).
 *
 * Whatever works on a connection works on one path, whose values are in struct mr_conn.  Those of a
 * further path lie in its record, and change places with path 0's for as long as they are needed:
 *
 *     rest       mr_conn: path 0     record 1: path 1     record 2: path 2
 *     hand(1)    mr_conn: path 1     record 1: path 0     record 2: path 2
 *
 * What the connection as a whole wants to send goes along: `wants` of the path in hand are those of
 * the path and of the connection.
 */
#include <stddef.h>

#include "quic/conn_multipath.h"
#include "quic/conn_timer.h"
#include "quic/conn_undo.h"

/* What belongs to a path, among the reasons to send. */
#define WANTS_OF_PATH                                                                              \
    (MR_WANT_ACK | MR_WANT_PATH_RESPONSE | MR_WANT_PATH_CHALLENGE | MR_WANT_PATH_PROBE |           \
     MR_WANT_MTU_PROBE | MR_WANT_PING | MR_WANT_IMMEDIATE_ACK | MR_WANT_OBSERVED_ADDRESS)

/* ------------------------------------------------------------------ what changes places */

#define PART(field, is_cids) PART_OF(field, field, is_cids)
#define PART_OF(in_conn, in_record, is_cids)                                                       \
    {                                                                                              \
        offsetof(struct mr_conn, in_conn), offsetof(struct mr_path_record, in_record),             \
            sizeof(((struct mr_path_record *)0)->in_record), is_cids                               \
    }

static const struct part {
    size_t conn;
    size_t record;
    size_t size;
    bool is_cids;
} parts[] = {
    PART(app, false),
    PART(path, false),
    PART(loss, false),
    PART(mtu_search, false),
    PART(pacing_until_ns, false),
    PART(path_due_ns, false),
    PART(tell_window, false),
    PART(path_fresh_ns, false),
    PART(skip_pn, false),
    PART_OF(key_state.phase_first_pn, phase_first_pn, false),
    PART_OF(key_state.opened_first_pn, opened_first_pn, false),
    PART(path_numbers, false),
    PART(side_packets, false),
    PART(is_on_preferred, false),
    PART(was_cwnd_limited, false),
    PART(extra, true), /* its side paths use connection IDs */
    PART(peer_chose, true),
    PART(cid_config, true),
    PART(cids_due_ns, true),
    PART(issued, true),
    PART(issued_next_sequence, true),
    PART(issued_prior_to, true),
    PART(issued_announced, true),
    PART(issued_known, true),
    PART(issued_limit, true),
    PART(peer_cids, true),
    PART(peer_cid_current, true),
    PART(retire_count, true),
    PART(peer_retire_prior_to, true),
    PART(peer_seen, true),
    PART(peer_seen_from, true),
    PART(retire, true),
    PART(retire_waiting, true),
    PART(tracked_token, true),
    PART(is_token_tracked, true),
};

_Static_assert(sizeof(((struct mr_conn *)0)->app) == sizeof(((struct mr_path_record *)0)->app) &&
                   sizeof(((struct mr_conn *)0)->path) ==
                       sizeof(((struct mr_path_record *)0)->path),
               "the same things");

static void exchange(struct mr_conn *conn, struct mr_path_record *record, bool is_cids_only)
{
    uint8_t one[sizeof(struct mr_pn_space)];

    for (size_t i = 0; i < MR_COUNT_OF(parts); i++) {
        const struct part *part = &parts[i];
        uint8_t *a = (uint8_t *)conn + part->conn;
        uint8_t *b = (uint8_t *)record + part->record;

        if (is_cids_only && !part->is_cids)
            continue;
        memcpy(one, a, part->size);
        memcpy(a, b, part->size);
        memcpy(b, one, part->size);
    }
}

/* ------------------------------------------------------------------ the path in hand */

static void change_places(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t record)
{
    uint32_t wants = conn->app.wants & ~(uint32_t)WANTS_OF_PATH;

    conn->app.wants &= WANTS_OF_PATH;
    exchange(conn, mr_path_record_at(ep, record), false);
    conn->app.wants |= wants;
}

uint32_t mr_multipath_hand(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t record)
{
    struct mr_multipath *mp = mr_multipath(ep, conn);
    uint32_t before = mp->hand;

    MR_ASSERT(mp->cids_hand == before);
    if (record == before)
        return before;
    if (before != MR_PATH_ZERO)
        change_places(ep, conn, before);
    if (record != MR_PATH_ZERO)
        change_places(ep, conn, record);
    mp->hand = mp->cids_hand = record;
    return before;
}

void mr_multipath_rest(struct mr_endpoint *ep, struct mr_conn *conn)
{
    mr_multipath_hand(ep, conn, MR_PATH_ZERO);
    mr_path_update_due(ep, conn);
}

void mr_multipath_exchange_cids(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t record)
{
    struct mr_multipath *mp = mr_multipath(ep, conn);

    if (record == mp->hand)
        return;
    MR_ASSERT(mp->cids_hand == mp->hand || mp->cids_hand == record);
    /* With a further path in hand, path 0's are in that one's record. */
    if (record == MR_PATH_ZERO)
        exchange(conn, mr_path_record_at(ep, mp->hand), true);
    else
        exchange(conn, mr_path_record_at(ep, record), true);
    mp->cids_hand = mp->cids_hand == mp->hand ? record : mp->hand;
}

uint32_t mr_multipath_id(const struct mr_endpoint *ep, uint32_t record)
{
    return record == MR_PATH_ZERO ? 0 : mr_path_record_at(ep, record)->id;
}

uint32_t mr_multipath_hand_id(const struct mr_endpoint *ep, const struct mr_multipath *mp)
{
    return mr_multipath_id(ep, mp->hand);
}

uint32_t mr_multipath_find(const struct mr_endpoint *ep, const struct mr_multipath *mp,
                           uint64_t path)
{
    if (path == 0)
        return mp->zero.is_gone ? MR_PATH_GONE : MR_PATH_ZERO;
    for (uint32_t i = 0; i < mp->count; i++) {
        if (mr_path_record_at(ep, mp->records[i])->id == path)
            return mp->records[i];
    }
    return MR_PATH_GONE;
}

struct mr_path_life *mr_multipath_life(const struct mr_endpoint *ep, struct mr_multipath *mp,
                                       uint32_t record)
{
    return record == MR_PATH_ZERO ? &mp->zero : &mr_path_record_at(ep, record)->life;
}

struct mr_pn_space *mr_multipath_space(const struct mr_endpoint *ep, struct mr_conn *conn,
                                       uint32_t record)
{
    const struct mr_multipath *mp = mr_multipath(ep, conn);

    if (record == mp->hand)
        return &conn->app;
    return &mr_path_record_at(ep, record == MR_PATH_ZERO ? mp->hand : record)->app;
}

const struct mr_path *mr_multipath_path(const struct mr_endpoint *ep, const struct mr_conn *conn,
                                        uint32_t record)
{
    const struct mr_multipath *mp = mr_multipath(ep, conn);

    if (mp == NULL || record == mp->hand)
        return &conn->path;
    return &mr_path_record_at(ep, record == MR_PATH_ZERO ? mp->hand : record)->path;
}

const struct mr_path *mr_multipath_shown(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    const struct mr_multipath *mp = mr_multipath(ep, conn);

    for (uint32_t i = 0; mp != NULL && mp->zero.state == MR_PATH_ABANDONED && i < mp->count; i++) {
        const struct mr_path_record *record = mr_path_record_at(ep, mp->records[i]);

        if (record->life.state == MR_PATH_OPEN)
            return &record->path;
    }
    return &conn->path;
}

static bool is_live(const struct mr_path_life *life)
{
    return life->state == MR_PATH_CHECKING || life->state == MR_PATH_OPEN;
}

uint32_t mr_multipath_live_count(const struct mr_endpoint *ep, struct mr_multipath *mp)
{
    uint32_t count = is_live(&mp->zero);

    for (uint32_t i = 0; i < mp->count; i++)
        count += is_live(&mr_path_record_at(ep, mp->records[i])->life);
    return count;
}

/* ------------------------------------------------------------------ negotiation */

uint64_t mr_multipath_offer(struct mr_endpoint *ep, struct mr_conn *conn)
{
    if ((ep->config.extensions & MR_EXTENSION_MULTIPATH) == 0 || ep->config.paths_max < 2)
        return MR_PARAM_NO_PATHS;
    if (conn->multipath == MR_NONE) {
        conn->multipath = mr_pool_get(&ep->multipaths);
        if (conn->multipath == MR_NONE) {
            mr_count(&ep->counters.limit_multipaths);
            return MR_PARAM_NO_PATHS;
        }
    }
    struct mr_multipath *mp = mr_multipath(ep, conn);
    *mp = (struct mr_multipath){
        .our_max = MR_MIN(ep->config.paths_max, (uint32_t)MR_PATHS_MAX) - 1,
        .blocked_at = MR_NEVER,
        .hand = MR_PATH_ZERO,
        .cids_hand = MR_PATH_ZERO,
        .zero = {.state = MR_PATH_OPEN,
                 .until_ns = MR_NEVER,
                 .is_ours = conn->role == MR_CLIENT,
                 .has_data = true}, /* before it is confirmed nobody takes note */
    };
    return mp->our_max;
}

bool mr_multipath_take_offer(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t max_path_id,
                             uint64_t now)
{
    struct mr_multipath *mp = mr_multipath(ep, conn);

    if (max_path_id == MR_PARAM_NO_PATHS) {
        mr_multipath_drop(ep, conn);
        return true;
    }
    if ((ep->config.extensions & MR_EXTENSION_MULTIPATH) == 0)
        return true;
    if (mr_cid_current(conn)->cid.size == 0)
        return mr_conn_fail(ep, conn, MR_PROTOCOL_VIOLATION, MR_FRAME_CRYPTO,
                            "initial_max_path_id from a peer without connection IDs", now);
    if (mp == NULL)
        return true;
    mp->peer_max = mp->peer_initial = max_path_id;
    mp->cid_limit = MR_MIN(conn->issued_limit, (uint32_t)MR_PATH_CIDS);
    mp->is_agreed = true;
    mr_count(&ep->counters.multipath_agreed);
    return true;
}

void mr_multipath_begin(struct mr_endpoint *ep, struct mr_conn *conn)
{
    if (mr_multipath_agreed(ep, conn) != NULL)
        mr_multipath_provide(ep, conn);
}

/* ------------------------------------------------------------------ the end */

/* All that the record holds goes back; it is in hand. */
static void release(struct mr_endpoint *ep, struct mr_conn *conn)
{
    mr_conn_undo_drop(ep, conn);
    mr_sent_discard(&conn->app.sent);
    conn->app.wants &= ~(uint32_t)WANTS_OF_PATH;
    mr_conn_extra_drop(ep, conn);
    mr_path_end_control(ep, &conn->path);
    conn->path.cc.in_flight = 0;
    mr_cid_forget_hand(ep, conn);
    mr_cid_untrack_token(ep, conn);
}

static void drop_record(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t at)
{
    struct mr_multipath *mp = mr_multipath(ep, conn);
    uint32_t record = mp->records[at];

    mr_multipath_hand(ep, conn, record);
    release(ep, conn);
    mr_multipath_hand(ep, conn, MR_PATH_ZERO);
    mp->records[at] = mp->records[--mp->count];
    mr_path_record_at(ep, record)->conn = MR_NONE;
    mr_pool_put(&ep->path_records, record);
}

void mr_multipath_drop(struct mr_endpoint *ep, struct mr_conn *conn)
{
    struct mr_multipath *mp = mr_multipath(ep, conn);

    if (mp == NULL)
        return;
    mr_multipath_hand(ep, conn, MR_PATH_ZERO);
    while (mp->count > 0)
        drop_record(ep, conn, mp->count - 1);
    mr_pool_put(&ep->multipaths, conn->multipath);
    conn->multipath = MR_NONE;
}

/* A path is forgotten: the peer may use another in its place. */
static void count_gone(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_multipath *mp)
{
    mr_count(&ep->counters.paths_forgotten);
    if (mp->our_max >= MR_PATH_ID_MAX || !mr_conn_is_alive(conn))
        return;
    mp->our_max++;
    mp->owes_max_path_id = mp->owes_any = true;
    mr_multipath_provide(ep, conn);
    mr_conn_wake(ep, conn);
}

/* The abandoned paths whose time has come. */
static void forget_paths(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_multipath *mp,
                         uint64_t now)
{
    if (mp->zero.until_ns <= now && !mp->zero.is_gone) {
        mp->zero.is_gone = true;
        mp->zero.until_ns = MR_NEVER;
        mr_cid_forget_hand(ep, conn);
        conn->app.wants &= ~(uint32_t)WANTS_OF_PATH;
        count_gone(ep, conn, mp);
    }
    for (uint32_t i = mp->count; i-- > 0;) {
        if (mr_path_record_at(ep, mp->records[i])->life.until_ns > now)
            continue;
        drop_record(ep, conn, i);
        count_gone(ep, conn, mp);
    }
}

/* ------------------------------------------------------------------ keys, time */

void mr_multipath_on_key_update(struct mr_endpoint *ep, struct mr_conn *conn)
{
    const struct mr_multipath *mp = mr_multipath(ep, conn);

    for (uint32_t i = 0; mp != NULL && i < mp->count; i++) {
        struct mr_path_record *record = mr_path_record_at(ep, mp->records[i]);

        record->phase_first_pn = mr_sent_next(&record->app.sent);
        record->opened_first_pn = MR_NEVER;
    }
}

uint64_t mr_multipath_pto(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    const struct mr_multipath *mp = mr_multipath(ep, conn);
    uint64_t longest = mr_rtt_pto(&conn->path.rtt, MR_SPACE_APP);

    for (uint32_t i = 0; mp != NULL && i < mp->count; i++) {
        const struct mr_path_record *record = mr_path_record_at(ep, mp->records[i]);
        bool is_hand = mp->records[i] == mp->hand; /* then path 0's values are in it */

        if (is_live(is_hand ? &mp->zero : &record->life))
            longest = MR_MAX(longest, mr_rtt_pto(&record->path.rtt, MR_SPACE_APP));
    }
    return longest;
}

static uint64_t record_due(const struct mr_path_record *record)
{
    const struct mr_pn_space *app = &record->app;
    uint64_t at = record->life.until_ns;

    if (record->life.state == MR_PATH_UNUSED)
        return at;
    at = MR_MIN(at, (app->wants & MR_WANT_ACK) != 0 ? MR_NEVER : app->ack_deadline_ns);
    if (record->life.state == MR_PATH_ABANDONED)
        return at;
    at = MR_MIN(at, mr_loss_timer(&record->loss, &record->path.rtt).at_ns);
    at = MR_MIN(at, record->pacing_until_ns);
    return MR_MIN(at, record->path_due_ns);
}

uint64_t mr_multipath_due(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    const struct mr_multipath *mp = mr_multipath(ep, conn);
    uint64_t at = MR_NEVER;

    if (mp == NULL || mp->hand != MR_PATH_ZERO)
        return MR_NEVER;
    at = mp->zero.until_ns;
    for (uint32_t i = 0; i < mp->count; i++)
        at = MR_MIN(at, record_due(mr_path_record_at(ep, mp->records[i])));
    return at;
}

void mr_multipath_expire(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    struct mr_multipath *mp = mr_multipath(ep, conn);

    if (mp == NULL || mp->hand != MR_PATH_ZERO)
        return;
    for (uint32_t i = 0; i < mp->count; i++) {
        if (record_due(mr_path_record_at(ep, mp->records[i])) > now)
            continue;
        mr_multipath_hand(ep, conn, mp->records[i]);
        mr_conn_expire_path(ep, conn, now);
        mr_multipath_hand(ep, conn, MR_PATH_ZERO);
        if (!mr_conn_is_alive(conn))
            return;
    }
    forget_paths(ep, conn, mp, now);
}

/* ------------------------------------------------------------------ invariants */

void mr_multipath_check(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    const struct mr_multipath *mp = mr_multipath(ep, conn);

    if (mp == NULL)
        return;
    MR_ASSERT(mp->hand == MR_PATH_ZERO && mp->cids_hand == MR_PATH_ZERO);
    MR_ASSERT(mp->count <= MR_PATHS_MAX);
    for (uint32_t i = 0; i < mp->count; i++) {
        const struct mr_path_record *record = mr_path_record_at(ep, mp->records[i]);

        MR_ASSERT(record->conn == conn->index);
        MR_ASSERT(record->id >= 1 && record->id <= mp->given);
        MR_ASSERT((record->app.wants & ~(uint32_t)WANTS_OF_PATH) == 0);
        mr_ack_ranges_check(&record->app.received);
        mr_sent_check(&record->app.sent);
        MR_ASSERT(record->path.cc.in_flight == 0 || record->app.sent.in_flight_count > 0 ||
                  !mr_conn_is_alive(conn));
    }
}
