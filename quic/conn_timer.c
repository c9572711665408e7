/*
 * quic/conn_timer.c - every deadline of a connection, as one.
 *
 * Modules keep their own times (ACK delay, loss detection, pacing, idle, key
 * update, path validation, closing); this file alone turns them into the
 * connection's entry in the wheel, and acts when it fires.  A deadline that moves
 * later leaves the entry alone: it fires once for nothing.  Not where what it was set for is over
 * and nothing may come for long (mr_conn_timer_exact): the connection, in no cache by then, would
 * be looked at for nothing, or woken.
 */
#include "quic/conn_timer.h"

#include "quic/conn_early.h"
#include "quic/conn_multipath.h"

/* RFC 9000, Section 10.1: at least three times the probe timeout, of the slowest path. */
static uint64_t idle_deadline(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    if (conn->idle_timeout_ns == 0)
        return MR_NEVER;
    uint64_t pto = conn->multipath == MR_NONE ? mr_rtt_pto(&conn->path.rtt, MR_SPACE_APP)
                                              : mr_multipath_pto(ep, conn);
    uint64_t least = 3 * pto;

    return conn->idle_base_ns + MR_MAX(conn->idle_timeout_ns, least);
}

static uint64_t handshake_deadline(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    const struct mr_handshake *hs = mr_conn_handshake(ep, conn);

    if (hs == NULL)
        return MR_NEVER;
    if (conn->is_confirmed)
        return MR_MIN(hs->ticket_wait_until_ns, hs->early_until_ns);
    return hs->started_ns + MR_HANDSHAKE_TIMEOUT + (ep->paused_ns - hs->paused_before_ns);
}

static uint64_t ack_deadline(const struct mr_conn *conn)
{
    return (conn->app.wants & MR_WANT_ACK) != 0 ? MR_NEVER : conn->app.ack_deadline_ns;
}

static uint64_t deadline(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    if (!mr_conn_is_alive(conn))
        return conn->state == MR_CONN_CLOSING /* CONNECTION_CLOSE may wait for expanded keys */
                   ? MR_MIN(conn->close_until_ns, conn->pacing_until_ns)
                   : conn->close_until_ns;

    uint64_t at = mr_loss_timer(&conn->loss, &conn->path.rtt).at_ns;
    at = MR_MIN(at, handshake_deadline(ep, conn));
    at = MR_MIN(at, ack_deadline(conn));
    at = MR_MIN(at, conn->pacing_until_ns);
    at = MR_MIN(at, conn->key_state.other_until_ns);
    at = MR_MIN(at, conn->path_due_ns);
    if (at <= conn->idle_base_ns + conn->idle_timeout_ns) /* whatever the probe timeouts are */
        return at;
    return MR_MIN(at, idle_deadline(ep, conn));
}

static void arm(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t at)
{
    conn->armed_ns = at;
    mr_wheel_set(&ep->wheel, conn->number, at);
}

void mr_conn_timer_update(struct mr_endpoint *ep, struct mr_conn *conn)
{
    if (conn->state == MR_CONN_DEAD)
        return;
    uint64_t at = deadline(ep, conn);

    if (at < conn->armed_ns)
        arm(ep, conn, at);
}

void mr_conn_timer_exact(struct mr_endpoint *ep, struct mr_conn *conn)
{
    if (conn->state == MR_CONN_DEAD)
        return;
    uint64_t at = deadline(ep, conn);

    if (at == conn->armed_ns)
        return;
    bool was_near = conn->armed_ns < ep->now + MR_SECOND;

    if (at > conn->armed_ns && was_near && mr_endpoint_is_crowded(ep))
        mr_wheel_clear(&ep->wheel, conn->number); /* out of a slot where it would be found cold */
    arm(ep, conn, at);
}

/* Nothing is to be acknowledged by the peer, nor sent: it may be long until the next packet. */
static bool has_come_to_rest(const struct mr_conn *conn)
{
    return conn->loss.space[MR_SPACE_APP].ack_eliciting_count == 0 && !conn->is_ready;
}

void mr_conn_timer_settle(struct mr_endpoint *ep, struct mr_conn *conn, bool is_over)
{
    if (is_over || has_come_to_rest(conn))
        mr_conn_timer_exact(ep, conn);
    else
        mr_conn_timer_update(ep, conn);
}

/*
 * What wakes a connection that has something to send and is not in the send list.  Not the
 * deadlines that end it.
 */
static uint64_t next_chance(const struct mr_conn *conn)
{
    uint64_t at = mr_loss_timer(&conn->loss, &conn->path.rtt).at_ns;

    at = MR_MIN(at, ack_deadline(conn));
    at = MR_MIN(at, conn->pacing_until_ns);
    return MR_MIN(at, conn->path_due_ns);
}

/* Something to send, in a space whose keys are there.  A probe of the MTU is nobody's need: it may
 * wait for the path's validation. */
static bool has_wants(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    const struct mr_handshake *hs = mr_conn_handshake(ep, conn);
    uint32_t wants = conn->key_state.can_seal ? conn->app.wants & ~(uint32_t)MR_WANT_MTU_PROBE : 0;

    for (int i = 0; hs != NULL && i < 2; i++)
        wants |= hs->seal[i].is_set ? hs->space[i].wants : 0;
    return wants != 0;
}

/*
 * Only the peer's next packet helps: an address that is not validated takes no more (RFC 9000,
 * Section 8.1), or 1-RTT packets fill the window of a client whose handshake is not confirmed
 * (RFC 9002, Section 6.2.1: no PTO for them).
 */
static bool waits_for_peer(const struct mr_conn *conn)
{
    return conn->loss.is_amplification_limited ||
           (!conn->is_confirmed && conn->loss.space[MR_SPACE_APP].ack_eliciting_count > 0);
}

void mr_conn_timer_check(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    if (conn->state == MR_CONN_DEAD || conn->is_ready)
        return;
    MR_ASSERT(conn->armed_ns == mr_wheel_deadline(&ep->wheel, conn->number));
    MR_ASSERT(conn->armed_ns <= deadline(ep, conn));
    if (mr_conn_is_alive(conn) && has_wants(ep, conn) && !waits_for_peer(conn))
        MR_ASSERT(next_chance(conn) != MR_NEVER);
}

/* CRYPTO that was lost waits for the congestion window. */
static bool has_lost_crypto(const struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space which)
{
    const struct mr_pn_space *space = mr_conn_space(ep, conn, which);

    return space != NULL && (space->wants & MR_WANT_CRYPTO) != 0;
}

static void expire_loss(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    struct mr_loss_timer timer = mr_loss_timer(&conn->loss, &conn->path.rtt);

    if (timer.at_ns > now)
        return;
    switch (timer.action) {
    case MR_LOSS_TIME:
        mr_conn_detect_lost(ep, conn, timer.space, now);
        return;
    case MR_LOSS_PTO:
        mr_loss_on_pto(&conn->loss, now);
        mr_conn_on_pto(ep, conn, timer.space, 2, now);
        return;
    case MR_LOSS_UNBLOCK:
        mr_loss_on_unblock(&conn->loss, now);
        mr_conn_on_pto(ep, conn, timer.space, has_lost_crypto(ep, conn, timer.space) ? 2 : 1, now);
        return;
    case MR_LOSS_IDLE:
        return;
    }
}

/* True: the connection is over. */
static bool expire_life(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    if (idle_deadline(ep, conn) <= now) {
        mr_count(&ep->counters.idle_timeouts);
        mr_conn_die(ep, conn, MR_NO_ERROR, false, "idle timeout");
        return true;
    }
    if (handshake_deadline(ep, conn) > now)
        return false;
    if (conn->is_confirmed) {
        mr_conn_early_expire(ep, conn, now);
        mr_conn_maybe_end_handshake(ep, conn, now);
        return false;
    }
    mr_count(&ep->counters.handshake_timeouts);
    mr_conn_die(ep, conn, MR_NO_ERROR, false, "handshake timeout: the peer does not answer");
    return true;
}

/* The port takes less than there is to send, or there are no expanded keys, and CONNECTION_CLOSE
 * still waits for its turn: the period begins when it is sent, unless the peer has given the
 * connection up by then. */
static bool is_close_unsent(const struct mr_endpoint *ep, const struct mr_conn *conn, uint64_t now)
{
    bool waits = conn->is_ready || conn->pacing_until_ns != MR_NEVER;

    return conn->state == MR_CONN_CLOSING && waits && idle_deadline(ep, conn) > now;
}

/* The closing or draining period is over. */
static void expire_closing(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    if (conn->state == MR_CONN_CLOSING && conn->pacing_until_ns <= now) {
        conn->pacing_until_ns = MR_NEVER;
        mr_conn_wake(ep, conn);
    }
    if (conn->close_until_ns <= now && is_close_unsent(ep, conn, now))
        conn->close_until_ns = now + 3 * mr_multipath_pto(ep, conn);
    if (conn->close_until_ns > now) {
        mr_conn_timer_update(ep, conn);
        return;
    }
    conn->state = MR_CONN_DEAD;
    mr_conn_unready(ep, conn);
    mr_cid_forget_all(ep, conn);
    if (!conn->is_dirty && !conn->is_held && conn->streams_open == 0)
        mr_conn_free(ep, conn);
}

void mr_conn_expire_path(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    expire_loss(ep, conn, now);
    if (conn->pacing_until_ns <= now) {
        conn->pacing_until_ns = MR_NEVER;
        mr_conn_wake(ep, conn);
    }
    mr_conn_decide_ack(ep, conn, now);
    mr_path_expire(ep, conn, now);
}

void mr_conn_expire(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    if (conn->state == MR_CONN_DEAD)
        return;
    if (!mr_conn_is_alive(conn)) {
        expire_closing(ep, conn, now);
        return;
    }
    if (expire_life(ep, conn, now))
        return;
    mr_keys_expire(ep, conn, now);
    mr_conn_expire_path(ep, conn, now);
    mr_conn_timer_update(ep, conn);
}
