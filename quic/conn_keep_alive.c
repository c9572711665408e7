/*
 * quic/conn_keep_alive.c - a client that awaits an answer and hears nothing sends a PING.
 *
 * It would be silent otherwise, and after a NAT has given it another address nobody could reach it:
 * what it sends shows the address (RFC 9000, Sections 9.3 and 10.1.2).
 *
 *     silence -> PING -> ACK -> twice the silence -> PING ... -> MR_KEEP_ALIVE_MAX of them
 *                   \-> nothing: PTOs repeat it            \-> stream data: from the start
 *
 * Only the count is kept, in the connection's extra, from the first PING on; times are those of the
 * idle timeout.  The deadline is part of path_due_ns, which nothing per packet looks after: packets
 * that come make it fire once for nothing.
 */
#include "quic/conn.h"
#include "quic/conn_multipath.h"
#include "quic/conn_timer.h"

#define STREAMS_LOOKED_AT 64 /* at a time; where there are more, one of them awaits something */

/* PINGs sent since stream data came last. */
static uint32_t count_of(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    const struct mr_conn_extra *extra = mr_conn_extra(ep, conn);

    if (extra == NULL || (extra->uses & MR_EXTRA_KEEP_ALIVE) == 0 ||
        extra->keep_alive.bytes != conn->bytes_received_total)
        return 0;
    return extra->keep_alive.count;
}

/* Silence before PING number `count`: it is heard of before half of the idle timeout is over. */
static uint64_t silence(const struct mr_endpoint *ep, const struct mr_conn *conn, uint32_t count)
{
    uint64_t pto = mr_rtt_pto(&conn->path.rtt, MR_SPACE_APP);
    uint64_t ns = MR_MAX(ep->config.keep_alive_ns, 3 * pto) << MR_MIN(count, MR_KEEP_ALIVE_DOUBLED);

    if (conn->idle_timeout_ns == 0)
        return ns;
    return MR_MIN(ns, MR_MAX(conn->idle_timeout_ns, 3 * pto) / 2);
}

uint64_t mr_keep_alive_due(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    if (ep->config.keep_alive_ns == 0 || conn->role != MR_CLIENT || conn->streams_open == 0)
        return MR_NEVER;
    return conn->idle_base_ns + silence(ep, conn, count_of(ep, conn));
}

void mr_keep_alive_begin(struct mr_endpoint *ep, struct mr_conn *conn)
{
    uint64_t at = mr_keep_alive_due(ep, conn);

    if (at >= conn->path_due_ns)
        return;
    conn->path_due_ns = at;
    mr_conn_timer_update(ep, conn);
}

/* Has a request of ours no whole answer?  The unidirectional streams of HTTP/3 never end. */
static bool awaits_data(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    uint32_t index = conn->stream_head;

    for (int i = 0; i < STREAMS_LOOKED_AT && index != MR_NONE; i++) {
        const struct mr_stream *stream = mr_stream_at(ep, index);

        if ((stream->id & 3) == 0 && !stream->is_gone &&
            mr_recv_state_wants_stop((enum mr_recv_state)stream->recv_state))
            return true;
        index = stream->conn_next;
    }
    return index != MR_NONE;
}

/* Something is on its way, or about to be: that shows the address as well. */
static bool is_busy(const struct mr_conn *conn)
{
    return conn->is_ready || conn->loss.space[MR_SPACE_APP].ack_eliciting_count > 0;
}

static bool is_path_open(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    struct mr_multipath *mp = mr_multipath(ep, conn);

    return mp == NULL || mr_multipath_life(ep, mp, mp->hand)->state == MR_PATH_OPEN;
}

static void ping(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t number)
{
    struct mr_conn_extra *extra = mr_conn_extra_use(ep, conn, MR_EXTRA_KEEP_ALIVE);

    if (extra == NULL)
        return; /* without a count it would have no end */
    extra->keep_alive =
        (struct mr_keep_alive){.bytes = conn->bytes_received_total, .count = number};
    mr_conn_want(ep, conn, &conn->app, MR_WANT_PING);
    mr_count(&ep->counters.keep_alive_pings);
}

uint64_t mr_keep_alive_expire(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    uint64_t due = mr_keep_alive_due(ep, conn);

    if (due == MR_NEVER || !awaits_data(ep, conn)) {
        mr_conn_extra_end(ep, conn, MR_EXTRA_KEEP_ALIVE);
        return MR_NEVER;
    }
    if (due > now)
        return due;
    uint32_t count = count_of(ep, conn);
    if (conn->is_confirmed && !is_busy(conn) && is_path_open(ep, conn)) {
        if (count >= MR_KEEP_ALIVE_MAX)
            return now + silence(ep, conn, count);
        ping(ep, conn, ++count);
    }
    return now + silence(ep, conn, count);
}
