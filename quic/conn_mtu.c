/*
 * quic/conn_mtu.c - the search for the MTU of the path in use: one size is probed at a time, and
 * what never arrives any more is given up.
 *
 * RFC 9000, Section 14; RFC 8899 in small.
 */
#include "quic/conn.h"

static uint32_t mtu_ceiling(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    return MR_MIN(ep->config.payload_max, (uint32_t)conn->peer_payload_max);
}

/* Sizes worth a probe, largest first: what the port can, Ethernet, common tunnels. */
static const uint16_t usual_sizes[] = {8952, 4052, 1472, 1452, 1432, 1400, 1350, 1280};

static uint16_t next_target(const struct mr_endpoint *ep, const struct mr_conn *conn,
                            uint32_t below)
{
    uint32_t ceiling = mtu_ceiling(ep, conn);

    if (ceiling < below)
        return (uint16_t)MR_MIN(ceiling, (uint32_t)UINT16_MAX);
    for (size_t i = 0; i < MR_COUNT_OF(usual_sizes); i++) {
        if (usual_sizes[i] < below && usual_sizes[i] < ceiling)
            return usual_sizes[i];
    }
    return 0;
}

static void probe(struct mr_endpoint *ep, struct mr_conn *conn, uint16_t target)
{
    struct mr_mtu_search *search = &conn->mtu_search;

    *search = (struct mr_mtu_search){.target = target > conn->path.mtu ? target : 0};
    if (search->target != 0)
        mr_conn_want(ep, conn, &conn->app, MR_WANT_MTU_PROBE);
}

void mr_mtu_begin(struct mr_endpoint *ep, struct mr_conn *conn)
{
    probe(ep, conn, next_target(ep, conn, UINT32_MAX));
}

void mr_mtu_on_acked(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t size)
{
    if (size <= conn->path.mtu)
        return;
    conn->path.mtu = size;
    conn->mtu_search = (struct mr_mtu_search){0};
    mr_cc_set_datagram_size(&conn->path.cc, size);
    mr_count(&ep->counters.mtu_raised);
}

void mr_mtu_on_lost(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t size)
{
    struct mr_mtu_search *search = &conn->mtu_search;

    search->is_in_flight = false;
    if (search->target != size)
        return;
    if (++search->tries < 3)
        mr_conn_want(ep, conn, &conn->app, MR_WANT_MTU_PROBE);
    else
        probe(ep, conn, next_target(ep, conn, size));
}

void mr_mtu_on_black_hole(struct mr_endpoint *ep, struct mr_conn *conn)
{
    if (conn->path.mtu == MR_INITIAL_MIN)
        return;
    conn->path.mtu = MR_INITIAL_MIN;
    conn->mtu_search = (struct mr_mtu_search){0};
    mr_cc_set_datagram_size(&conn->path.cc, MR_INITIAL_MIN);
    mr_count(&ep->counters.mtu_black_holes);
}
