/*
 * quic/conn_side.c - paths beside the one in use: the last validated one, and one that is being
 * probed.
 *
 *     candidate   probed by the peer, or by us before we go there
 *     kept        what was in use before: to go back to, and asked whether it still lives, so that
 *                 an attacker who forwards packets does not stay (RFC 9000, Section 9.3.3)
 *
 * They carry probing packets only, each with a connection ID of its own (Section 9.5), and until
 * the address is validated at most three times what came from it.
 */
#include "quic/conn.h"
#include "quic/path_policy.h"

struct mr_side_path *mr_side(const struct mr_endpoint *ep, const struct mr_conn *conn,
                             enum mr_side which)
{
    struct mr_conn_extra *extra = mr_conn_extra(ep, conn);

    return extra != NULL && extra->side[which].is_used ? &extra->side[which] : NULL;
}

struct mr_side_path *mr_side_find(const struct mr_endpoint *ep, const struct mr_conn *conn,
                                  const struct mr_path_addr *addr)
{
    for (int i = 0; i < MR_SIDES; i++) {
        struct mr_side_path *side = mr_side(ep, conn, (enum mr_side)i);

        if (side != NULL && mr_path_addr_equal(&side->addr, addr))
            return side;
    }
    return NULL;
}

bool mr_side_has_control(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    const struct mr_side_path *kept = mr_side(ep, conn, MR_SIDE_KEPT);

    return kept != NULL && !mr_path_is_same_network(&kept->addr, &conn->path.addr);
}

/* ------------------------------------------------------------------ connection IDs */

bool mr_side_uses_cid(const struct mr_endpoint *ep, const struct mr_conn *conn, uint32_t slot)
{
    for (int i = 0; i < MR_SIDES; i++) {
        const struct mr_side_path *side = mr_side(ep, conn, (enum mr_side)i);

        if (side != NULL && side->cid == slot)
            return true;
    }
    return false;
}

void mr_side_lost_cid(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t slot)
{
    for (int i = 0; i < MR_SIDES; i++) {
        struct mr_side_path *side = mr_side(ep, conn, (enum mr_side)i);

        if (side != NULL && side->cid == slot)
            side->cid = MR_NONE;
    }
}

uint32_t mr_side_take_cid(struct mr_endpoint *ep, struct mr_conn *conn)
{
    for (int i = 0; i < MR_SIDES; i++) {
        struct mr_side_path *side = mr_side(ep, conn, (enum mr_side)i);
        uint32_t slot = side == NULL ? MR_NONE : side->cid;

        if (slot == MR_NONE || !conn->peer_cids[slot].is_used)
            continue;
        side->cid = MR_NONE;
        return slot;
    }
    return MR_NONE;
}

bool mr_side_has_cid(const struct mr_endpoint *ep, const struct mr_conn *conn,
                     struct mr_side_path *side)
{
    if (side->cid == MR_NONE)
        side->cid = mr_cid_unused(ep, conn);
    return side->cid != MR_NONE;
}

/* ------------------------------------------------------------------ begin and end */

static uint64_t pto_of(const struct mr_conn *conn)
{
    return mr_rtt_pto(&conn->path.rtt, MR_SPACE_APP);
}

void mr_side_probe(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_side_path *side,
                   uint64_t now)
{
    mr_path_check_begin(&side->check, pto_of(conn), now);
    mr_conn_want(ep, conn, &conn->app, MR_WANT_PATH_PROBE);
    mr_path_update_due(ep, conn);
}

struct mr_side_path *mr_side_open(struct mr_endpoint *ep, struct mr_conn *conn,
                                  const struct mr_path_addr *addr, uint32_t slot, uint64_t now)
{
    struct mr_conn_extra *extra = mr_conn_extra_use(ep, conn, MR_EXTRA_PATH_CANDIDATE);
    if (extra == NULL)
        return NULL;

    struct mr_side_path *side = &extra->side[MR_SIDE_CANDIDATE];
    *side = (struct mr_side_path){.addr = *addr, .cid = slot, .is_used = true};
    mr_side_probe(ep, conn, side, now);
    return side;
}

void mr_side_close(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_side which)
{
    static const enum mr_extra_use uses[] = {
        [MR_SIDE_KEPT] = MR_EXTRA_PATH_KEPT, [MR_SIDE_CANDIDATE] = MR_EXTRA_PATH_CANDIDATE};
    struct mr_side_path *side = mr_side(ep, conn, which);

    if (side == NULL)
        return;
    uint32_t slot = side->cid;
    if (which == MR_SIDE_KEPT && mr_side_has_control(ep, conn))
        mr_path_end_control(ep, &mr_conn_extra(ep, conn)->kept);
    *side = (struct mr_side_path){.cid = MR_NONE};
    mr_cid_release(ep, conn, slot);
    mr_conn_extra_end(ep, conn, uses[which]);
    mr_path_update_due(ep, conn);
}

/* ------------------------------------------------------------------ from the peer */

struct mr_side_path *mr_side_open_to(struct mr_rx *rx)
{
    uint32_t slot = mr_path_choose_cid(rx);
    struct mr_side_path *side =
        slot == MR_NONE ? NULL : mr_side_open(rx->ep, rx->conn, &rx->datagram->path, slot, rx->now);

    if (side != NULL)
        memcpy(&side->peer_chose, rx->dcid, sizeof(side->peer_chose));
    return side;
}

struct mr_side_path *mr_side_rebound(struct mr_rx *rx)
{
    struct mr_side_path *side = mr_side(rx->ep, rx->conn, MR_SIDE_CANDIDATE);
    const struct mr_path_addr *from = &rx->datagram->path;

    if (side == NULL || memcmp(&side->peer_chose, rx->dcid, sizeof(side->peer_chose)) != 0 ||
        memcmp(&side->addr.local, &from->local, sizeof(from->local)) != 0 ||
        rx->pn < rx->conn->app.received.range[0].hi)
        return NULL;
    side->addr = *from;
    side->bytes_received = side->bytes_sent = 0;
    side->is_validated = side->is_trusted = false;
    mr_side_probe(rx->ep, rx->conn, side, rx->now);
    return side;
}

/* A path that nobody knew becomes the candidate: a server validates what its client probes, too
 * (RFC 9000, Section 9.6.3).  False: not answered. */
static bool begin_candidate(struct mr_rx *rx)
{
    struct mr_endpoint *ep = rx->ep;
    struct mr_conn *conn = rx->conn;

    if (conn->role != MR_SERVER || !conn->is_confirmed)
        return false;
    if (!mr_path_is_permitted(&rx->datagram->path.remote, &conn->path.addr)) {
        mr_count(&ep->counters.paths_refused);
        return false;
    }
    if (mr_side(ep, conn, MR_SIDE_CANDIDATE) != NULL) {
        mr_count(&ep->counters.limit_path_candidates);
        return false;
    }
    return mr_side_open_to(rx) != NULL;
}

bool mr_side_on_challenge(struct mr_rx *rx)
{
    struct mr_side_path *side = mr_side_find(rx->ep, rx->conn, &rx->datagram->path);

    return side == NULL ? begin_candidate(rx) : mr_side_has_cid(rx->ep, rx->conn, side);
}

void mr_side_on_packet(struct mr_rx *rx)
{
    struct mr_side_path *side = mr_side_find(rx->ep, rx->conn, &rx->datagram->path);

    if (side == NULL)
        return;
    side->bytes_received += rx->datagram->size;
    if (side->check.is_wanted) /* may have waited for that */
        mr_conn_want(rx->ep, rx->conn, &rx->conn->app, MR_WANT_PATH_PROBE);
}

bool mr_side_on_response(struct mr_rx *rx, const uint8_t data[MR_PATH_DATA])
{
    for (int i = 0; i < MR_SIDES; i++) {
        struct mr_side_path *side = mr_side(rx->ep, rx->conn, (enum mr_side)i);

        if (side == NULL || !mr_path_check_answer(&side->check, data))
            continue;
        side->is_validated = side->is_trusted = true;
        mr_path_update_due(rx->ep, rx->conn);
        if (side->is_ours)
            mr_migrate_finish(rx->ep, rx->conn, rx->now);
        else if (side->is_peers)
            mr_preferred_finish(rx);
        return true;
    }
    return false;
}

/* ------------------------------------------------------------------ to the peer */

uint64_t mr_side_room(const struct mr_side_path *side)
{
    if (side->is_trusted)
        return UINT64_MAX;
    return side->bytes_received * 3 > side->bytes_sent ? side->bytes_received * 3 - side->bytes_sent
                                                       : 0;
}

struct mr_side_path *mr_side_next(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    for (int i = 0; i < MR_SIDES; i++) {
        struct mr_side_path *side = mr_side(ep, conn, (enum mr_side)i);

        if (side != NULL && side->check.is_wanted)
            return side;
    }
    return NULL;
}

/* ------------------------------------------------------------------ time */

/* Nothing was heard in time, or it was and nothing came of it. */
static void end(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_side which)
{
    const struct mr_side_path *side = mr_side(ep, conn, which);

    if (which == MR_SIDE_KEPT && !conn->path.is_validated)
        return; /* it may be needed yet */
    if (!side->is_validated)
        mr_count(&ep->counters.paths_failed);
    if (side->is_ours)
        mr_conn_event(ep, conn, MR_EVENT_PATH_FAILED);
    mr_side_close(ep, conn, which);
}

void mr_side_expire(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    for (int i = 0; i < MR_SIDES; i++) {
        struct mr_side_path *side = mr_side(ep, conn, (enum mr_side)i);

        if (side == NULL)
            continue;
        switch (mr_path_check_expire(&side->check, pto_of(conn), now)) {
        case MR_CHECK_WAITS:
            break;
        case MR_CHECK_RESENDS:
            mr_conn_want(ep, conn, &conn->app, MR_WANT_PATH_PROBE);
            break;
        case MR_CHECK_FAILED:
            end(ep, conn, (enum mr_side)i);
            break;
        }
    }
}
