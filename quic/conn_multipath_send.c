/*
 * quic/conn_multipath_send.c - which path sends, and the frames that several paths add.
 *
 * A visit goes through the paths, nearest first: each sends what it owes for itself (ACKs,
 * challenges, probes), and those that carry data send as much as window and pacer let out, until
 * nothing is left to send.  Data goes by the best of these kinds of path that there is:
 *
 *     available      validated, answering, no backup by either side's wish
 *     backup         validated, answering
 *     changed        the peer has a new address, which is being validated: at most three times
 *                    what came from there, as with one path (RFC 9000, Section 9.3.1)
 *     silent         probes went unanswered
 *
 * What silent paths had is sent again by the others, as soon as there is one that answers: their
 * own probes come ever more rarely.
 */
#include "quic/conn_bits.h"
#include "quic/conn_multipath.h"

/* Of a path's own in `wants`: sent by no other. */
#define WANTS_OF_PATH                                                                              \
    (MR_WANT_ACK | MR_WANT_PATH_RESPONSE | MR_WANT_PATH_CHALLENGE | MR_WANT_PATH_PROBE |           \
     MR_WANT_MTU_PROBE | MR_WANT_PING | MR_WANT_IMMEDIATE_ACK | MR_WANT_OBSERVED_ADDRESS)

enum rank {
    RANK_AVAILABLE,
    RANK_BACKUP,
    RANK_CHANGED,
    RANK_SILENT,
    RANK_NO_DATA,
    RANK_NONE /* nothing is sent by it */
};

struct candidate {
    uint64_t rtt_ns;
    uint32_t record;
    enum rank rank;
};

/* ------------------------------------------------------------------ the order */

static enum rank rank_of(const struct mr_path_life *life, bool is_validated, uint32_t ptos,
                         const struct mr_peer_cid *cid)
{
    if ((life->state != MR_PATH_OPEN && life->state != MR_PATH_CHECKING) || !cid->is_used)
        return RANK_NONE;
    if (life->state != MR_PATH_OPEN)
        return RANK_NO_DATA;
    if (ptos >= MR_PATH_LOST_PTOS)
        return RANK_SILENT;
    if (!is_validated)
        return RANK_CHANGED;
    return life->status == MR_PATH_BACKUP || life->peer_status == MR_PATH_BACKUP ? RANK_BACKUP
                                                                                 : RANK_AVAILABLE;
}

static struct candidate candidate_of(const struct mr_endpoint *ep, const struct mr_conn *conn,
                                     struct mr_multipath *mp, uint32_t record)
{
    struct candidate c = {.record = record};
    const struct mr_path_life *life = mr_multipath_life(ep, mp, record);

    if (record == MR_PATH_ZERO) {
        c.rtt_ns = conn->path.rtt.smoothed_ns;
        c.rank = rank_of(life, conn->path.is_validated, conn->loss.pto_count,
                         &conn->peer_cids[conn->peer_cid_current]);
        return c;
    }
    const struct mr_path_record *r = mr_path_record_at(ep, record);
    c.rtt_ns = r->path.rtt.smoothed_ns;
    c.rank =
        rank_of(life, r->path.is_validated, r->loss.pto_count, &r->peer_cids[r->peer_cid_current]);
    return c;
}

static bool goes_first(const struct candidate *a, const struct candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->rtt_ns < b->rtt_ns;
}

/* The paths that may send, in their order.  Returns how many. */
static uint32_t list_candidates(const struct mr_endpoint *ep, const struct mr_conn *conn,
                                struct mr_multipath *mp, struct candidate *out)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i <= mp->count; i++) {
        struct candidate c =
            candidate_of(ep, conn, mp, i == mp->count ? MR_PATH_ZERO : mp->records[i]);
        uint32_t at = count;

        if (c.rank == RANK_NONE)
            continue;
        for (; at > 0 && goes_first(&c, &out[at - 1]); at--)
            out[at] = out[at - 1];
        out[at] = c;
        count++;
    }
    return count;
}

/* ------------------------------------------------------------------ what silent paths had */

/* It had what no other has been given since.  Path 0 is in hand. */
static bool is_stranded(const struct mr_endpoint *ep, const struct mr_conn *conn,
                        struct mr_multipath *mp, uint32_t record)
{
    const struct mr_path_life *life = mr_multipath_life(ep, mp, record);
    const struct mr_loss *loss =
        record == MR_PATH_ZERO ? &conn->loss : &mr_path_record_at(ep, record)->loss;

    return life->has_data && life->state == MR_PATH_OPEN && loss->pto_count >= MR_PATH_LOST_PTOS;
}

/* All that is on its way by the path in hand is to be sent again. */
static void repeat_all(struct mr_endpoint *ep, struct mr_conn *conn)
{
    uint64_t pn = 0;
    const struct mr_sent_packet *packet;

    while ((packet = mr_sent_find(&conn->app.sent, pn, &pn)) != NULL) {
        if ((packet->flags & MR_SENT_MTU_PROBE) == 0)
            mr_conn_requeue(ep, conn, MR_SPACE_APP, packet);
        pn++;
    }
}

static void repeat_stranded(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_multipath *mp)
{
    for (uint32_t i = 0; i <= mp->count; i++) {
        uint32_t record = i == mp->count ? MR_PATH_ZERO : mp->records[i];

        if (!is_stranded(ep, conn, mp, record))
            continue;
        mr_multipath_life(ep, mp, record)->has_data = false;
        mr_multipath_hand(ep, conn, record);
        repeat_all(ep, conn);
        mr_multipath_hand(ep, conn, MR_PATH_ZERO);
    }
}

/* ------------------------------------------------------------------ a visit */

/* Is there an ACK of an abandoned path to be sent?  It goes by another. */
static bool owes_late_ack(const struct mr_endpoint *ep, const struct mr_conn *conn,
                          const struct mr_multipath *mp)
{
    if (mp->zero.state == MR_PATH_ABANDONED && (conn->app.wants & MR_WANT_ACK) != 0)
        return true;
    for (uint32_t i = 0; i < mp->count; i++) {
        const struct mr_path_record *r = mr_path_record_at(ep, mp->records[i]);

        if (r->life.state == MR_PATH_ABANDONED && (r->app.wants & MR_WANT_ACK) != 0)
            return true;
    }
    return false;
}

/* At most `count` datagrams by the path in hand. */
static uint32_t send_by_hand(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_multipath *mp,
                             bool carries_data, bool owes, struct mr_outgoing *out, uint32_t count,
                             uint64_t now)
{
    uint32_t first_job = ep->seal_count;
    uint32_t kept = 0;
    uint32_t id = mr_multipath_hand_id(ep, mp);

    if (!carries_data && conn->state != MR_CONN_CLOSING) {
        kept = conn->app.wants & ~(uint32_t)WANTS_OF_PATH;
        conn->app.wants &= WANTS_OF_PATH;
    }
    mp->is_data_elsewhere = !carries_data;
    if (owes || (conn->app.wants & (MR_WANT_ACK | MR_WANT_NEW_CID)) != 0 ||
        conn->app.unacked_count > 0)
        conn->app.wants |= MR_WANT_MULTIPATH;
    uint32_t built = mr_conn_send_by_path(ep, conn, out, count, now);
    mp->is_data_elsewhere = false;
    if (carries_data && built > 0)
        mr_multipath_life(ep, mp, mp->hand)->has_data = true;
    conn->app.wants = (conn->app.wants & ~(uint32_t)MR_WANT_MULTIPATH) | kept;
    if ((conn->app.wants & (MR_WANT_STREAM | MR_WANT_DATAGRAM)) == 0)
        mr_cc_on_drained(&conn->path.cc);
    for (uint32_t i = first_job; i < ep->seal_count; i++)
        ep->seal_jobs[i].path_id = id;
    return built;
}

uint32_t mr_multipath_send(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_outgoing *out,
                           uint32_t count, uint64_t now)
{
    struct mr_multipath *mp = mr_multipath(ep, conn);
    struct candidate order[MR_PATHS_MAX + 1];
    uint32_t limit = MR_MIN(count, (uint32_t)MR_QUANTUM_PACKETS);
    uint32_t paths = list_candidates(ep, conn, mp, order);
    bool has_late = owes_late_ack(ep, conn, mp);
    bool is_short_of_memory = false;
    uint32_t built = 0;

    if (paths > 0 && order[0].rank < RANK_SILENT && mr_conn_is_alive(conn))
        repeat_stranded(ep, conn, mp);
    mr_conn_unready(ep, conn);
    for (uint32_t i = 0; i < paths && built < limit; i++) {
        bool carries_data = order[i].rank != RANK_NO_DATA && order[i].rank == order[0].rank;

        mr_multipath_hand(ep, conn, order[i].record);
        bool owes = carries_data && (mp->owes_any || has_late);
        if (conn->app.wants != 0 || owes || conn->app.probes > 0)
            built +=
                send_by_hand(ep, conn, mp, carries_data, owes, &out[built], limit - built, now);
        is_short_of_memory |= conn->limited_by == MR_LIMITED_MEMORY;
        if (is_short_of_memory)
            conn->pacing_until_ns = now + MR_MEMORY_RETRY_NS;
    }
    mr_multipath_rest(ep, conn);
    if (conn->clears_quic_bit)
        mr_quic_bit_grease(ep, out, built);
    /* Cut short by its turn, it goes on after the others. */
    mr_conn_end_visit(ep, conn, built, built == limit || conn->is_ready);
    mr_conn_timer_update(ep, conn);
    return built;
}

/* ------------------------------------------------------------------ frames */

static bool write_value(struct mr_build *b, enum mr_frame_multipath_type type,
                        enum mr_sent_kind kind, uint32_t path, uint64_t value)
{
    struct mr_frame_path_value frame = {.path = path, .value = value};

    if (type == MR_FRAME_MAX_PATH_ID || type == MR_FRAME_PATHS_BLOCKED)
        frame.path = value;
    if (!mr_build_can_record(b) || !mr_frame_write_path_value(&b->w, type, &frame)) {
        b->is_full = true;
        return false;
    }
    mr_build_record(b, kind, value, path, 0, false);
    return true;
}

/* The frame of write_ack(), and nothing else: what the path owes it owes still. */
static bool write_ack_frame(struct mr_build *b, const struct mr_pn_space *space, uint32_t path,
                            bool is_own)
{
    uint64_t delay = ((b->now - space->largest_at_ns) / MR_US) >> MR_ACK_DELAY_EXPONENT;

    if (space->received.count == 0)
        return true;
    if (!mr_build_can_record(b) ||
        mr_frame_write_path_ack(&b->w, path, space->received.range, space->received.count, delay,
                                space->has_ecn ? &space->ecn : NULL) == 0)
        return false;
    bool was_eliciting = b->is_ack_eliciting;
    mr_build_record(b, is_own ? MR_SENT_ACK : MR_SENT_PATH_ACK, space->received.range[0].hi, path,
                    0, false);
    b->is_ack_eliciting = was_eliciting;
    mr_count(&b->ep->counters.acks_sent);
    return true;
}

/* PATH_ACK of `space`.  The path's own: quic/conn_on_ack.c knows it by MR_SENT_ACK. */
static bool write_ack(struct mr_build *b, struct mr_pn_space *space, uint32_t path, bool is_own)
{
    if (!write_ack_frame(b, space, path, is_own))
        return false;
    if (is_own && space->received.count > 0)
        b->conn->ack_policy.largest_sent = space->received.range[0].hi;
    space->unacked_count = 0;
    space->ack_deadline_ns = MR_NEVER;
    space->wants &= ~(uint32_t)MR_WANT_ACK;
    return true;
}

bool mr_multipath_produce_ack(struct mr_build *b)
{
    const struct mr_multipath *mp = mr_multipath(b->ep, b->conn);

    if (mp == NULL || mp->hand == MR_PATH_ZERO)
        return false;
    if (!write_ack(b, b->space, mr_multipath_hand_id(b->ep, mp), true))
        b->is_full = true;
    return true;
}

static bool write_late_acks(struct mr_build *b, struct mr_multipath *mp)
{
    for (uint32_t i = 0; i <= mp->count; i++) {
        uint32_t record = i == mp->count ? MR_PATH_ZERO : mp->records[i];
        struct mr_pn_space *space = mr_multipath_space(b->ep, b->conn, record);

        if (mr_multipath_life(b->ep, mp, record)->state == MR_PATH_ABANDONED &&
            (space->wants & MR_WANT_ACK) != 0 &&
            !write_ack(b, space, mr_multipath_id(b->ep, record), false))
            return false;
    }
    return true;
}

/* Any path may have brought what the peer has retired, and have lost our acknowledgments: where it
 * is asked for more (build_spaces() of quic/conn_send.c), all of them go along, as far as there is
 * room. */
static void repeat_acks(struct mr_build *b, struct mr_multipath *mp)
{
    for (uint32_t i = 0; i <= mp->count; i++) {
        uint32_t record = i == mp->count ? MR_PATH_ZERO : mp->records[i];

        if (record != mp->hand && !(record == MR_PATH_ZERO && mp->zero.is_gone) &&
            !write_ack_frame(b, mr_multipath_space(b->ep, b->conn, record),
                             mr_multipath_id(b->ep, record), false))
            return;
    }
}

/* What the path of `record` owes. */
static bool write_owed(struct mr_build *b, struct mr_multipath *mp, uint32_t record)
{
    struct mr_path_life *life = mr_multipath_life(b->ep, mp, record);
    uint32_t id = mr_multipath_id(b->ep, record);

    if (life->owes_abandon) {
        if (!write_value(b, MR_FRAME_PATH_ABANDON, MR_SENT_PATH_ABANDON, id, life->error))
            return false;
        life->owes_abandon = false;
    }
    if (life->owes_status) {
        if (!write_value(b,
                         life->status == MR_PATH_BACKUP ? MR_FRAME_PATH_STATUS_BACKUP
                                                        : MR_FRAME_PATH_STATUS_AVAILABLE,
                         MR_SENT_PATH_STATUS, id, life->status_next))
            return false;
        life->status_next++;
        life->owes_status = false;
    }
    if (life->owes_cids_blocked) {
        uint64_t next = mr_multipath_peer_cid_next(b->ep, b->conn, record);

        if (!write_value(b, MR_FRAME_PATH_CIDS_BLOCKED, MR_SENT_PATH_CIDS_BLOCKED, id, next))
            return false;
        life->owes_cids_blocked = false;
    }
    return true;
}

static bool write_all_owed(struct mr_build *b, struct mr_multipath *mp)
{
    for (uint32_t i = 0; i <= mp->count; i++) {
        if (!write_owed(b, mp, i == mp->count ? MR_PATH_ZERO : mp->records[i]))
            return false;
    }
    if (mp->owes_max_path_id) {
        if (!write_value(b, MR_FRAME_MAX_PATH_ID, MR_SENT_MAX_PATH_ID, 0, mp->our_max))
            return false;
        mp->owes_max_path_id = false;
    }
    if (mp->owes_paths_blocked) {
        if (!write_value(b, MR_FRAME_PATHS_BLOCKED, MR_SENT_PATHS_BLOCKED, 0, mp->peer_max))
            return false;
        mp->owes_paths_blocked = false;
    }
    mp->owes_any = false;
    return true;
}

void mr_multipath_produce(struct mr_build *b)
{
    struct mr_multipath *mp = mr_multipath(b->ep, b->conn);
    uint32_t id = mr_multipath_hand_id(b->ep, mp);

    /* Without room for it an ACK waits for the next packet: as ACK it would be of path 0. */
    if ((b->space->wants & b->allowed & MR_WANT_ACK) != 0 && !write_ack(b, b->space, id, true)) {
        b->is_full = true;
        return;
    }
    bool asks_for_more = (b->space->wants & b->allowed & MR_WANT_NEW_CID) != 0;
    if (!asks_for_more) /* else in the next packet as well, if there is one */
        b->space->wants &= ~(uint32_t)MR_WANT_MULTIPATH;
    if (!write_late_acks(b, mp))
        return;
    if (asks_for_more)
        repeat_acks(b, mp);
    if ((b->allowed & MR_WANT_PING) != 0 && mp->owes_any) { /* the window has room */
        mr_multipath_life(b->ep, mp, mp->hand)->has_data = true;
        write_all_owed(b, mp);
    }
}
