/*
 * quic/conn_multipath_open.c - how a path comes and goes (draft-ietf-quic-multipath, Sections 3.1,
 * 3.3 and 3.4).
 *
 *     UNUSED --a client opens it, or its first packet comes--> CHECKING --validated--> OPEN
 *        |                                                        |                     |
 *        +--------------------either side abandons it, or it fails---------------------+-->
 * ABANDONED
 *
 *     ABANDONED --3 PTO after the peer's PATH_ABANDON--> forgotten; its ID is not used again
 */
#include <errno.h>

#include "quic/conn_bits.h"
#include "quic/conn_multipath.h"
#include "quic/conn_observed.h"
#include "quic/conn_undo.h"
#include "quic/path_policy.h"

#define ANSWER_WAIT_NS (30 * MR_SECOND) /* for a peer that never says PATH_ABANDON itself */

/* ------------------------------------------------------------------ opening */

static bool is_validated_at(const struct mr_path *path, const struct mr_path_addr *addr)
{
    return path->is_validated && mr_path_addr_equal(&path->addr, addr);
}

/* Was the 4-tuple validated with another path?  Then it need not be again. */
static bool is_validated_elsewhere(const struct mr_endpoint *ep, const struct mr_multipath *mp,
                                   const struct mr_path_addr *addr)
{
    for (uint32_t i = 0; i < mp->count; i++) { /* path 0's values are in the record in hand */
        if (is_validated_at(&mr_path_record_at(ep, mp->records[i])->path, addr))
            return true;
    }
    return false;
}

/* The path in hand begins at `addr`.  False: nothing can be validated now (counted). */
static bool begin(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_multipath *mp,
                  const struct mr_path_addr *addr, uint64_t now)
{
    struct mr_path_life *life = mr_multipath_life(ep, mp, mp->hand);
    struct mr_path *path = &conn->path;
    uint64_t max_ack_delay = 0;

    for (uint32_t i = 0; i < mp->count; i++) /* the peer's, on any path */
        max_ack_delay =
            MR_MAX(max_ack_delay, mr_path_record_at(ep, mp->records[i])->path.rtt.max_ack_delay_ns);
    path->addr = *addr;
    mr_path_start(ep, path, now);
    path->rtt.max_ack_delay_ns = max_ack_delay;
    path->mtu = MR_MIN(path->mtu, (uint32_t)conn->peer_payload_max);
    conn->cids_due_ns = mr_cid_due(ep, now);
    mr_spin_restart(ep, conn);
    life->state = MR_PATH_CHECKING;
    mr_cid_track_token(ep, conn);
    path->is_validated = is_validated_elsewhere(ep, mp, addr);
    mr_path_check_in_use(ep, conn, now); /* the MTU is in question even then */
    mr_observed_on_path(ep, conn);
    if (path->is_validated)
        mr_multipath_on_validated(ep, conn, now);
    return path->is_validated || mr_conn_extra(ep, conn) != NULL;
}

/* A record to open; MR_PATH_GONE: there is none with connection IDs of both sides. */
static uint32_t find_unused(const struct mr_endpoint *ep, struct mr_multipath *mp,
                            uint32_t *without_cid_out)
{
    uint32_t found = MR_PATH_GONE;

    *without_cid_out = MR_PATH_GONE;
    for (uint32_t i = 0; i < mp->count; i++) {
        const struct mr_path_record *r = mr_path_record_at(ep, mp->records[i]);

        if (r->life.state != MR_PATH_UNUSED || r->id > mp->peer_max || r->issued_next_sequence == 0)
            continue;
        if (!r->peer_cids[r->peer_cid_current].is_used)
            *without_cid_out = mp->records[i];
        else if (found == MR_PATH_GONE || r->id < mr_multipath_id(ep, found))
            found = mp->records[i];
    }
    return found;
}

/* Section 3.2.1: "PATHS_BLOCKED ... to inform the peer that its current limit prevented the
 * creation of the new path", and Section 3.2.2 of connection IDs. */
static int64_t say_blocked(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_multipath *mp,
                           uint32_t without_cid)
{
    if (without_cid != MR_PATH_GONE) {
        mr_path_record_at(ep, without_cid)->life.owes_cids_blocked = mp->owes_any = true;
    } else if (mp->blocked_at != mp->peer_max) {
        mp->blocked_at = mp->peer_max;
        mp->owes_paths_blocked = mp->owes_any = true;
    }
    mr_conn_wake(ep, conn);
    return -EAGAIN;
}

/* Section 2.2: with disable_active_migration "it is forbidden to establish new paths to the peer's
 * handshake address", which is where path 0 goes unless it has gone to the preferred one. */
static int can_open(const struct mr_endpoint *ep, const struct mr_conn *conn, bool is_same_server)
{
    if (conn->role != MR_CLIENT || mr_multipath_agreed(ep, conn) == NULL ||
        (conn->is_migration_disabled && is_same_server != conn->is_on_preferred))
        return -EOPNOTSUPP;
    if (!mr_conn_is_alive(conn))
        return -ESTALE;
    return conn->is_confirmed ? 0 : -EBUSY;
}

int64_t mr_conn_path_open(struct mr_endpoint *ep, mr_handle handle, const struct mr_path_addr *addr,
                          uint64_t now)
{
    struct mr_conn *conn = mr_conn_of_handle(ep, handle);
    struct mr_path_addr to = *addr;
    uint32_t without_cid;

    if (conn == NULL)
        return mr_conn_absence(ep, handle);
    bool is_same = addr->remote.port == 0 ||
                   memcmp(&addr->remote, &conn->path.addr.remote, sizeof(addr->remote)) == 0;
    int answer = can_open(ep, conn, is_same);
    if (answer != 0)
        return answer;
    if (addr->remote.port == 0)
        to.remote = conn->path.addr.remote;
    if (to.local.port == 0 || mr_addr_is_ipv4(&to.local) != mr_addr_is_ipv4(&to.remote) ||
        !mr_path_is_permitted(&to.remote, &conn->path.addr))
        return -EINVAL;
    struct mr_multipath *mp = mr_multipath(ep, conn);
    uint32_t record = find_unused(ep, mp, &without_cid);
    if (record == MR_PATH_GONE)
        return say_blocked(ep, conn, mp, without_cid);
    mr_trace_clock(ep, now);
    mr_multipath_hand(ep, conn, record);
    mr_multipath_life(ep, mp, record)->is_ours = true;
    bool has_begun = begin(ep, conn, mp, &to, now);
    conn->path.bytes_received = UINT32_MAX; /* a client's choice: its own limit is no peer's */
    if (!has_begun)
        mr_multipath_abandon(ep, conn, record, MR_PATH_RESOURCE_LIMIT_REACHED, now);
    mr_multipath_rest(ep, conn);
    mr_conn_wake(ep, conn);
    mr_conn_timer_update(ep, conn);
    mr_count(&ep->counters.multipath_opened);
    return has_begun ? (int64_t)mr_multipath_id(ep, record) : -ENOMEM;
}

bool mr_multipath_on_packet(struct mr_endpoint *ep, struct mr_conn *conn,
                            const struct mr_datagram *datagram, uint64_t now)
{
    struct mr_multipath *mp = mr_multipath(ep, conn);
    struct mr_path_life *life = mr_multipath_life(ep, mp, mp->hand);

    if (mp->hand != MR_PATH_ZERO)
        life->bytes_received += datagram->size;
    if (life->state == MR_PATH_ABANDONED) {
        conn->path.addr = datagram->path; /* wherever it comes from: nothing goes there */
        return true;
    }
    if (life->state != MR_PATH_UNUSED)
        return true;
    if (conn->role != MR_SERVER || !conn->is_confirmed) /* only clients open paths */
        return false;
    if (!mr_path_is_permitted(&datagram->path.remote, &datagram->path)) {
        mr_count(&ep->counters.paths_refused);
        return false;
    }
    if (!begin(ep, conn, mp, &datagram->path, now)) {
        mr_multipath_abandon(ep, conn, mp->hand, MR_PATH_RESOURCE_LIMIT_REACHED, now);
        return true;
    }
    conn->path.bytes_received = datagram->size;
    mr_count(&ep->counters.multipath_opened);
    return true;
}

/* ------------------------------------------------------------------ validated, or not */

bool mr_multipath_on_validated(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    struct mr_multipath *mp = mr_multipath(ep, conn);

    if (mp == NULL || mp->hand == MR_PATH_ZERO)
        return false;
    struct mr_path_life *life = mr_multipath_life(ep, mp, mp->hand);
    if (life->state != MR_PATH_CHECKING)
        return true;
    life->state = MR_PATH_OPEN;
    mr_mtu_begin(ep, conn, now);
    mr_conn_event(ep, conn, MR_EVENT_PATHS_CHANGED);
    mr_conn_wake(ep, conn);
    return true;
}

bool mr_multipath_on_failed(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    struct mr_multipath *mp = mr_multipath_agreed(ep, conn);

    if (mp == NULL || mr_multipath_live_count(ep, mp) < 2)
        return false;
    mr_multipath_abandon(ep, conn, mp->hand, MR_PATH_UNSTABLE_OR_POOR, now);
    return true;
}

/* Is there another open path than the one in hand, without unanswered probes? */
static bool another_answers(const struct mr_endpoint *ep, const struct mr_multipath *mp)
{
    const struct mr_path_life *zero = &mp->zero;

    for (uint32_t i = 0; i < mp->count; i++) {
        const struct mr_path_record *r = mr_path_record_at(ep, mp->records[i]);
        const struct mr_path_life *life = mp->records[i] == mp->hand ? zero : &r->life;

        if (life->state == MR_PATH_OPEN && r->path.is_validated &&
            r->loss.pto_count < MR_PATH_LOST_PTOS)
            return true; /* in the record in hand are path 0's values */
    }
    return false;
}

void mr_multipath_on_pto(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    struct mr_multipath *mp = mr_multipath_agreed(ep, conn);

    if (mp == NULL || mr_multipath_live_count(ep, mp) < 2)
        return;
    conn->app.wants |= MR_WANT_PING; /* what it would repeat may go elsewhere */
    if (conn->loss.pto_count == MR_PATH_LOST_PTOS)
        mr_count(&ep->counters.paths_silent);
    if (conn->loss.pto_count >= MR_PATH_DEAD_PTOS && another_answers(ep, mp))
        mr_multipath_abandon(ep, conn, mp->hand, MR_PATH_UNSTABLE_OR_POOR, now);
}

/* ------------------------------------------------------------------ abandoning */

/* The packets that are on their way by the path in hand are lost, without congestion: nobody asks
 * for its window again. */
static void lose_all(struct mr_endpoint *ep, struct mr_conn *conn)
{
    struct mr_sent_loss loss;
    uint64_t pn;

    mr_conn_undo_drop(ep, conn);
    mr_sent_loss_begin_all(&loss, &conn->app.sent);
    for (struct mr_sent_packet *p; (p = mr_sent_loss_next(&loss, &pn)) != NULL;)
        mr_conn_requeue(ep, conn, MR_SPACE_APP, p);
    mr_sent_release(&conn->app.sent, MR_NEVER);
    conn->path.cc.in_flight = 0;
    conn->side_packets = 0;
    conn->loss.space[MR_SPACE_APP].ack_eliciting_count = 0;
    conn->loss.space[MR_SPACE_APP].loss_time_ns = MR_NEVER;
}

/* Section 3.4: the peer's connection IDs of the path in hand are "immediately retired", and what
 * was sent by it is lost. */
static void stop_sending(struct mr_endpoint *ep, struct mr_conn *conn)
{
    mr_cid_untrack_token(ep, conn);
    for (uint32_t i = 0; i < MR_CIDS_PEER_MAX; i++)
        conn->peer_cids[i].is_used = false;
    conn->retire_count = conn->retire_waiting = 0;
    lose_all(ep, conn);
    conn->app.probes = 0;
    conn->app.wants &= ~(uint32_t)(MR_WANT_PATH_RESPONSE | MR_WANT_PATH_CHALLENGE |
                                   MR_WANT_PATH_PROBE | MR_WANT_MTU_PROBE | MR_WANT_PING |
                                   MR_WANT_IMMEDIATE_ACK | MR_WANT_OBSERVED_ADDRESS);
    mr_conn_extra_drop(ep, conn);
    conn->pacing_until_ns = conn->path_due_ns = MR_NEVER;
}

void mr_multipath_abandon(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t record,
                          uint64_t error, uint64_t now)
{
    struct mr_multipath *mp = mr_multipath(ep, conn);
    struct mr_path_life *life = mr_multipath_life(ep, mp, record);

    if (life->state == MR_PATH_ABANDONED)
        return;
    uint32_t before = mr_multipath_hand(ep, conn, record);
    bool was_used = life->state != MR_PATH_UNUSED;
    life->state = MR_PATH_ABANDONED;
    life->error = error;
    life->owes_status = life->owes_cids_blocked = false;
    life->owes_abandon = mp->owes_any = true;
    life->until_ns = now + MR_MAX(ANSWER_WAIT_NS, 3 * mr_multipath_pto(ep, conn));
    stop_sending(ep, conn);
    mr_multipath_hand(ep, conn, before);
    mr_count(&ep->counters.paths_abandoned);
    if (was_used)
        mr_conn_event(ep, conn, MR_EVENT_PATHS_CHANGED);
    mr_conn_wake(ep, conn);
}

/* A path that is not abandoned. */
static struct mr_conn *find_path(struct mr_endpoint *ep, mr_handle handle, uint32_t path,
                                 uint32_t *record_out, int *answer_out)
{
    struct mr_conn *conn = mr_conn_of_handle(ep, handle);
    struct mr_multipath *mp = conn == NULL ? NULL : mr_multipath_agreed(ep, conn);
    bool is_there = false;

    *record_out = MR_PATH_GONE;
    if (mp != NULL)
        *record_out = mr_multipath_find(ep, mp, path);
    if (*record_out != MR_PATH_GONE)
        is_there = mr_multipath_life(ep, mp, *record_out)->state != MR_PATH_ABANDONED;
    *answer_out = conn == NULL              ? mr_conn_absence(ep, handle)
                  : !mr_conn_is_alive(conn) ? -ESTALE
                  : mp == NULL              ? -EOPNOTSUPP
                  : !is_there               ? -ENOENT
                                            : 0;
    return conn;
}

/* Another path that is open. */
static bool has_other(const struct mr_endpoint *ep, struct mr_multipath *mp, uint32_t record)
{
    if (record != MR_PATH_ZERO && mp->zero.state == MR_PATH_OPEN)
        return true;
    for (uint32_t i = 0; i < mp->count; i++) {
        if (mp->records[i] != record &&
            mr_path_record_at(ep, mp->records[i])->life.state == MR_PATH_OPEN)
            return true;
    }
    return false;
}

int mr_conn_path_abandon(struct mr_endpoint *ep, mr_handle handle, uint32_t path, uint64_t now)
{
    uint32_t record;
    int answer;
    struct mr_conn *conn = find_path(ep, handle, path, &record, &answer);

    if (answer != 0)
        return answer;
    struct mr_multipath *mp = mr_multipath(ep, conn);
    if (!has_other(ep, mp, record))
        return -EBUSY;
    mr_trace_clock(ep, now);
    mr_multipath_abandon(ep, conn, record, MR_APPLICATION_ABANDON_PATH, now);
    mr_multipath_rest(ep, conn);
    mr_conn_timer_update(ep, conn);
    return 0;
}

int mr_conn_path_set_backup(struct mr_endpoint *ep, mr_handle handle, uint32_t path, bool is_backup)
{
    uint32_t record;
    int answer;
    struct mr_conn *conn = find_path(ep, handle, path, &record, &answer);

    if (answer != 0)
        return answer;
    struct mr_multipath *mp = mr_multipath(ep, conn);
    struct mr_path_life *life = mr_multipath_life(ep, mp, record);
    life->status = is_backup ? MR_PATH_BACKUP : MR_PATH_AVAILABLE;
    life->owes_status = mp->owes_any = true;
    mr_conn_wake(ep, conn);
    return 0;
}

/* ------------------------------------------------------------------ what there is */

bool mr_conn_has_paths(const struct mr_endpoint *ep, mr_handle handle)
{
    struct mr_conn copy;
    const struct mr_conn *conn = mr_conn_look(ep, handle, &copy);

    return conn != NULL && mr_multipath_agreed(ep, conn) != NULL;
}

static void describe(const struct mr_path *path, const struct mr_path_life *life, uint32_t id,
                     struct mr_path_info *out)
{
    static const uint8_t states[] = {[MR_PATH_UNUSED] = MR_PATH_INFO_CHECKING,
                                     [MR_PATH_CHECKING] = MR_PATH_INFO_CHECKING,
                                     [MR_PATH_OPEN] = MR_PATH_INFO_OPEN,
                                     [MR_PATH_ABANDONED] = MR_PATH_INFO_ABANDONED};

    *out = (struct mr_path_info){
        .path = id,
        .state = states[life->state],
        .is_backup = life->status == MR_PATH_BACKUP,
        .is_peer_backup = life->peer_status == MR_PATH_BACKUP,
        .mtu = path->mtu,
        .rtt_ns = mr_rtt_has_sample(&path->rtt) ? path->rtt.smoothed_ns : 0,
        .cwnd_bytes = path->cc.ops == NULL ? 0 : mr_cc_window(&path->cc),
        .bytes_in_flight = path->cc.in_flight,
        .bytes_sent = path->bytes_sent,
        .bytes_received = life->bytes_received,
    };
    memcpy(out->local.ip, path->addr.local.ip, sizeof(out->local.ip));
    memcpy(out->remote.ip, path->addr.remote.ip, sizeof(out->remote.ip));
    out->local.port = path->addr.local.port;
    out->remote.port = path->addr.remote.port;
}

int64_t mr_conn_paths(const struct mr_endpoint *ep, mr_handle handle, struct mr_path_info *out,
                      size_t room)
{
    struct mr_conn copy;
    const struct mr_conn *conn = mr_conn_look(ep, handle, &copy);
    const struct mr_multipath *mp = conn == NULL ? NULL : mr_multipath_agreed(ep, conn);
    static const struct mr_path_life alone = {.state = MR_PATH_OPEN};
    size_t count = 0;

    if (conn == NULL)
        return -ESTALE;
    if (room > 0 && (mp == NULL || !mp->zero.is_gone))
        describe(&conn->path, mp == NULL ? &alone : &mp->zero, 0, &out[count++]);
    for (uint32_t i = 0; mp != NULL && i < mp->count && count < room; i++) {
        const struct mr_path_record *r = mr_path_record_at(ep, mp->records[i]);

        if (r->life.state != MR_PATH_UNUSED && r->path.addr.remote.port != 0)
            describe(&r->path, &r->life, r->id, &out[count++]);
    }
    return (int64_t)count;
}
