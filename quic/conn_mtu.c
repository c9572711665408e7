/*
 * quic/conn_mtu.c - the MTU of the path in use: its search (quic/mtu.h), black holes, and what the
 * network says about packets that are too big.
 *
 * RFC 9000, Section 14; RFC 8899.
 */
#include "quic/conn_multipath.h"

static uint32_t mtu_ceiling(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    return MR_MIN(ep->config.payload_max, (uint32_t)conn->peer_payload_max);
}

static void want_probe(struct mr_endpoint *ep, struct mr_conn *conn, bool is_wanted)
{
    if (is_wanted)
        mr_conn_want(ep, conn, &conn->app, MR_WANT_MTU_PROBE);
    else
        conn->app.wants &= ~(uint32_t)MR_WANT_MTU_PROBE;
}

static void set_mtu(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t mtu)
{
    uint32_t before = conn->path.mtu;

    conn->path.mtu = mtu;
    if (mr_conn_is_traced(conn))
        mr_trace_mtu(ep, conn, before);
    mr_cc_set_datagram_size(&conn->path.cc, mtu);
}

void mr_mtu_begin(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    want_probe(ep, conn,
               mr_mtu_search_begin(&conn->mtu_search, conn->path.mtu, mtu_ceiling(ep, conn), now));
}

void mr_mtu_on_acked(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t size, uint64_t now)
{
    if (size <= conn->path.mtu || size >= conn->mtu_search.high)
        return; /* late: it was larger than what is known not to pass any more */
    set_mtu(ep, conn, size);
    mr_count(&ep->counters.mtu_raised);
    want_probe(ep, conn, mr_mtu_search_acked(&conn->mtu_search, size, now));
}

void mr_mtu_on_lost(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t size, uint64_t now)
{
    if (conn->mtu_search.target == size)
        want_probe(ep, conn, mr_mtu_search_lost(&conn->mtu_search, conn->path.mtu, size, now));
}

void mr_mtu_resume(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    if (conn->mtu_search.target != 0)
        want_probe(ep, conn, true);
    else
        mr_mtu_begin(ep, conn, now);
}

/* Down to what the handshake proved; `ceiling` is tried at once. */
static void fall(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t ceiling, uint64_t now)
{
    set_mtu(ep, conn, MR_INITIAL_MIN);
    conn->mtu_search.is_in_flight = false;
    mr_mtu_search_large_acked(&conn->mtu_search,
                              mr_sent_next(&conn->app.sent) - 1); /* begin anew */
    want_probe(ep, conn, mr_mtu_search_begin(&conn->mtu_search, MR_INITIAL_MIN, ceiling, now));
}

void mr_mtu_on_black_hole(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    if (conn->path.mtu <= MR_INITIAL_MIN)
        return;
    mr_count(&ep->counters.mtu_black_holes);
    fall(ep, conn, mtu_ceiling(ep, conn), now);
}

void mr_mtu_on_large_lost(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t pn, uint64_t now)
{
    if (mr_mtu_search_large_lost(&conn->mtu_search, pn))
        mr_mtu_on_black_hole(ep, conn, now);
}

/* ------------------------------------------------------------------ too big */

/* The message is about the path, and its quoted beginning of a datagram shows a connection ID of
 * `cids`, that we send to on it.  A peer without connection IDs cannot be told from others: its
 * path is left to probes. */
static bool is_about(const struct mr_too_big *message, const struct mr_path *path,
                     const struct mr_peer_cid *cids)
{
    if (!mr_path_addr_equal(&message->path, &path->addr) || message->size == 0)
        return false;
    bool is_long = mr_packet_is_long(message->bytes[0]);
    uint32_t at = is_long ? 6 : 1;

    for (uint32_t i = 0; i < MR_CIDS_PEER_MAX; i++) {
        const struct mr_peer_cid *peer = &cids[i];

        if (peer->is_used && peer->cid.size > 0 && at + peer->cid.size <= message->size &&
            memcmp(&message->bytes[at], peer->cid.bytes, peer->cid.size) == 0)
            return true;
    }
    return false;
}

/* Which path of the connection, at rest, the message is about; MR_PATH_GONE: none. */
static uint32_t find_path(const struct mr_endpoint *ep, const struct mr_conn *conn,
                          const struct mr_too_big *message)
{
    if ((conn->generation & 1) == 0 || !mr_conn_is_alive(conn) || !conn->is_confirmed)
        return MR_PATH_GONE;
    if (is_about(message, &conn->path, conn->peer_cids))
        return MR_PATH_ZERO;
    const struct mr_multipath *mp = mr_multipath(ep, conn);
    for (uint32_t i = 0; mp != NULL && i < mp->count; i++) {
        const struct mr_path_record *record = mr_path_record_at(ep, mp->records[i]);

        if (record->life.state != MR_PATH_UNUSED &&
            is_about(message, &record->path, record->peer_cids))
            return mp->records[i];
    }
    return MR_PATH_GONE;
}

/* Of the path in hand. */
static void take_too_big(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t size, uint64_t now)
{
    size = MR_MIN(size, mtu_ceiling(ep, conn));
    switch (mr_mtu_search_too_big(&conn->mtu_search, conn->path.mtu, size, now)) {
    case MR_MTU_IGNORED:
        mr_count(&ep->counters.too_big_ignored);
        return;
    case MR_MTU_LOWERED:
        conn->mtu_search.is_in_flight = false;
        want_probe(ep, conn, conn->mtu_search.target != 0);
        break;
    case MR_MTU_SHRUNK:
        fall(ep, conn, size, now);
        break;
    }
    mr_count(&ep->counters.too_big_taken);
}

static void take_by_path(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t record,
                         uint32_t size, uint64_t now)
{
    if (record != MR_PATH_ZERO)
        mr_multipath_hand(ep, conn, record);
    take_too_big(ep, conn, size, now);
    if (record != MR_PATH_ZERO)
        mr_multipath_rest(ep, conn);
    mr_conn_timer_update(ep, conn);
}

bool mr_endpoint_too_big(struct mr_endpoint *ep, const struct mr_path_addr *path, uint32_t size,
                         const uint8_t *quoted, size_t quoted_size)
{
    if (size < MR_INITIAL_MIN) { /* RFC 9000, Section 14.2.1: a lie, or no path for QUIC */
        mr_count(&ep->counters.too_big_ignored);
        return false;
    }
    if (ep->too_big_count == MR_TOO_BIG_MAX) {
        mr_count(&ep->counters.limit_too_big);
        return false;
    }
    struct mr_too_big *message = &ep->too_big[ep->too_big_count++];
    *message = (struct mr_too_big){.path = *path, .mtu = size};
    message->size = (uint8_t)MR_MIN(quoted_size, sizeof(message->bytes));
    memcpy(message->bytes, quoted, message->size);
    return true;
}

void mr_endpoint_expire_too_big(struct mr_endpoint *ep, uint64_t now)
{
    struct mr_too_big *message = &ep->too_big[0];
    uint32_t end = MR_MIN(message->next + MR_TOO_BIG_SLICE, ep->conns.fresh);
    uint32_t record = MR_PATH_GONE;

    while (message->next < end && record == MR_PATH_GONE) {
        struct mr_conn *conn = mr_conn_at(ep, message->next++);

        record = find_path(ep, conn, message);
        if (record != MR_PATH_GONE)
            take_by_path(ep, conn, record, message->mtu, now);
    }
    if (record == MR_PATH_GONE && message->next < ep->conns.fresh)
        return;
    if (record == MR_PATH_GONE) /* nobody's */
        mr_count(&ep->counters.too_big_ignored);
    ep->too_big_count--;
    memmove(&ep->too_big[0], &ep->too_big[1], ep->too_big_count * sizeof(ep->too_big[0]));
}
