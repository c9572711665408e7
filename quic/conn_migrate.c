/*
 * quic/conn_migrate.c - a client that goes elsewhere: to another address of its own, or to its
 * server's preferred address (RFC 9000, Sections 9.2 and 9.6); and the server that is met there.
 *
 * The new path is probed first, with a connection ID of its own, while everything goes on by the
 * one in use.  When it is validated the client goes there; when it is not, nothing has happened.
 */
#include <errno.h>

#include "quic/conn.h"
#include "quic/path_policy.h"

/* The path that is left goes on hearing for a while: packets are on their way, and the peer asks
 * whether it lives. */
static void linger(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    struct mr_side_path *kept = mr_side(ep, conn, MR_SIDE_KEPT);

    if (kept == NULL)
        return;
    mr_path_check_linger(&kept->check, mr_rtt_pto(&conn->path.rtt, MR_SPACE_APP), now);
    mr_path_update_due(ep, conn);
}

/* To the candidate, which is validated.  False: the peer has taken its connection ID back and left
 * no other for it; the connection stays where it is. */
static bool go(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    struct mr_side_path *side = mr_side(ep, conn, MR_SIDE_CANDIDATE);
    bool has_cid = mr_side_has_cid(ep, conn, side);
    struct mr_side_path candidate = *side;

    if (!has_cid) {
        mr_count(&ep->counters.limit_path_cids);
        if (candidate.is_ours) { /* a server goes with a later packet */
            mr_side_close(ep, conn, MR_SIDE_CANDIDATE);
            mr_conn_event(ep, conn, MR_EVENT_PATH_FAILED);
        }
        return false;
    }
    mr_conn_extra_use(ep, conn, MR_EXTRA_PATH_KEPT);
    mr_path_switch(ep, conn, &candidate.addr, candidate.cid, now);
    mr_side_close(ep, conn, MR_SIDE_CANDIDATE);
    mr_path_validated(ep, conn);
    linger(ep, conn, now);
    mr_count(&ep->counters.paths_validated);
    mr_conn_event(ep, conn, MR_EVENT_PATH_CHANGED);
    mr_path_give_token(ep, conn);
    if (candidate.check.is_small)
        mr_path_check_in_use(ep, conn, now);
    return true;
}

/* ------------------------------------------------------------------ a client */

static int can_migrate(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    if (conn->role != MR_CLIENT || (conn->is_migration_disabled && !conn->is_on_preferred) ||
        conn->peer_cids[conn->peer_cid_current].cid.size == 0)
        return -EOPNOTSUPP;
    if (!mr_conn_is_alive(conn))
        return -ESTALE;
    if (!conn->is_confirmed || mr_side(ep, conn, MR_SIDE_CANDIDATE) != NULL)
        return -EBUSY;
    return 0;
}

int mr_conn_can_migrate(const struct mr_endpoint *ep, mr_handle handle)
{
    struct mr_conn copy;
    const struct mr_conn *conn = mr_conn_look(ep, handle, &copy);

    return conn == NULL ? -ESTALE : can_migrate(ep, conn);
}

/* Probe `addr`, to go there. */
static int begin(struct mr_endpoint *ep, struct mr_conn *conn, const struct mr_path_addr *addr,
                 uint64_t now)
{
    uint32_t slot = mr_cid_unused(ep, conn);

    if (slot == MR_NONE) {
        mr_count(&ep->counters.limit_path_cids);
        return -EAGAIN;
    }
    struct mr_side_path *side = mr_side_open(ep, conn, addr, slot, now);
    if (side == NULL)
        return -ENOMEM;
    side->is_ours = side->is_trusted = true;
    mr_count(&ep->counters.migrations_begun);
    mr_conn_timer_update(ep, conn);
    return 0;
}

int mr_conn_migrate(struct mr_endpoint *ep, mr_handle handle, const struct mr_addr *local,
                    uint64_t now)
{
    struct mr_conn *conn = mr_conn_of_handle(ep, handle);
    int answer = conn != NULL                    ? can_migrate(ep, conn)
                 : mr_conn_is_asleep(ep, handle) ? -EAGAIN
                                                 : -ESTALE;

    if (answer != 0)
        return answer;
    struct mr_path_addr addr = {.local = *local, .remote = conn->path.addr.remote};
    if (local->port == 0 || mr_addr_is_ipv4(local) != mr_addr_is_ipv4(&addr.remote) ||
        mr_path_addr_equal(&addr, &conn->path.addr))
        return -EINVAL;
    if (mr_side_find(ep, conn, &addr) != NULL) /* back to where it just came from */
        mr_side_close(ep, conn, MR_SIDE_KEPT);
    return begin(ep, conn, &addr, now);
}

void mr_migrate_finish(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    const struct mr_side_path *side = mr_side(ep, conn, MR_SIDE_CANDIDATE);
    bool is_elsewhere =
        memcmp(&side->addr.remote, &conn->path.addr.remote, sizeof(side->addr.remote)) != 0;

    if (!go(ep, conn, now))
        return;
    conn->is_on_preferred |= is_elsewhere;
    mr_count(&ep->counters.migrations_done);
    /* The server follows a non-probing packet: one must come, whether or not there is data. */
    mr_conn_want(ep, conn, &conn->app, MR_WANT_PING);
}

void mr_migrate_to_preferred(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    const struct mr_handshake *hs = mr_conn_handshake(ep, conn);
    bool is_ipv4 = mr_addr_is_ipv4(&conn->path.addr.remote);

    if (hs == NULL || hs->preferred[is_ipv4].port == 0)
        return;
    struct mr_path_addr addr = {.local = conn->path.addr.local, .remote = hs->preferred[is_ipv4]};
    if (mr_path_addr_equal(&addr, &conn->path.addr))
        return;
    if (!mr_path_is_permitted(&addr.remote, &conn->path.addr)) {
        mr_count(&ep->counters.paths_refused);
        return;
    }
    (void)begin(ep, conn, &addr, now); /* if it cannot be, the connection stays where it is */
}

/* ------------------------------------------------------------------ a server */

bool mr_migrate_is_preferred(const struct mr_endpoint *ep, const struct mr_addr *local)
{
    for (int i = 0; i < 2; i++) {
        const struct mr_addr *preferred = &ep->config.preferred[i];

        if (preferred->port != 0 && memcmp(preferred, local, sizeof(*local)) == 0)
            return true;
    }
    return false;
}

void mr_preferred_finish(struct mr_rx *rx)
{
    struct mr_conn *conn = rx->conn;

    if (!go(rx->ep, conn, rx->now))
        return;
    conn->is_on_preferred = true;
    memcpy(&conn->peer_chose, rx->dcid, sizeof(conn->peer_chose));
    mr_count(&rx->ep->counters.migrations);
}

void mr_preferred_on_packet(struct mr_rx *rx, struct mr_side_path *side)
{
    struct mr_endpoint *ep = rx->ep;
    struct mr_conn *conn = rx->conn;
    const struct mr_path_addr *from = &rx->datagram->path;

    if (conn->is_on_preferred || !mr_migrate_is_preferred(ep, &from->local))
        return;
    if (!mr_path_is_permitted(&from->remote, &conn->path.addr)) {
        mr_count(&ep->counters.paths_refused);
        return;
    }
    if (side == NULL) {
        side = mr_side_rebound(rx);
        if (side == NULL && mr_side(ep, conn, MR_SIDE_CANDIDATE) != NULL) {
            mr_count(&ep->counters.limit_path_candidates);
            return;
        }
        side = side == NULL ? mr_side_open_to(rx) : side;
        if (side == NULL)
            return;
        side->bytes_received = rx->datagram->size;
    }
    side->is_peers = true;
    if (side->is_validated)
        mr_preferred_finish(rx);
}
