/*
 * quic/conn_close.c - how a connection ends.
 *
 *     HANDSHAKE, OPEN --mr_conn_fail()--> CLOSING  --3 PTO--> DEAD --told--> free
 *                     --mr_conn_drain()-> DRAINING --3 PTO--> DEAD
 *                     --mr_conn_on_reset()-> the same
 *                     --mr_conn_die()---> DRAINING --at once-> DEAD
 *
 * RFC 9000, Section 10.  The application is told at once; the object stays until
 * the closing period is over and every event is collected.
 */
#include "quic/conn_multipath.h"

static void set_reason(struct mr_close *close, const char *reason, size_t size)
{
    close->reason_size = (uint8_t)MR_MIN(size, (size_t)MR_REASON_MAX);
    memcpy(close->reason, reason, close->reason_size);
    close->reason[close->reason_size] = '\0';
}

/* Nothing is sent or received for the application any more. */
static void quiesce(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_conn_state state)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);

    if (conn->state == MR_CONN_HANDSHAKE)
        mr_count(&ep->counters.handshakes_failed);
    conn->state = (uint8_t)state;
    for (int i = 0; i < MR_SPACES; i++) {
        struct mr_pn_space *space = mr_conn_space(ep, conn, (enum mr_space)i);
        if (space != NULL)
            space->wants = 0;
    }
    mr_conn_end_streams(ep, conn);
    mr_datagram_queue_clear(&conn->datagrams_out, &ep->datagram_chunks);
    if (hs != NULL) {
        for (uint32_t i = 0; i < hs->pending_count; i++)
            mr_buf_drop(hs->pending[i].datagram.buf, &ep->released);
        hs->pending_count = 0;
    }
    conn->pacing_until_ns = MR_NEVER;
    if (state == MR_CONN_DRAINING || conn->is_confirmed) /* nothing more is sent with its keys */
        mr_conn_end_handshake(ep, conn);
    if (state == MR_CONN_DRAINING) /* others use the warm room, not three PTOs later */
        mr_keys_drop(ep, conn);
    if (conn->is_connected ||
        conn->role == MR_CLIENT) /* a server's application never heard of the others */
        mr_conn_event(ep, conn, MR_EVENT_CLOSED);
}

/* CONNECTION_CLOSE in every packet number space whose keys the peer may have. */
static void want_close_everywhere(struct mr_endpoint *ep, struct mr_conn *conn)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);

    if (conn->key_state.can_seal)
        conn->app.wants = MR_WANT_CLOSE;
    if (hs == NULL || conn->is_confirmed)
        return;
    for (int i = 0; i < 2;
         i++) { /* the peer may not have the later keys: RFC 9000, Section 10.2.3 */
        if (!hs->space[i].is_discarded && hs->seal[i].is_set)
            hs->space[i].wants = MR_WANT_CLOSE;
    }
}

static void begin_closing(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    conn->close.is_set = true;
    conn->close.resend_after = 1;
    conn->close_until_ns = now + 3 * mr_multipath_pto(ep, conn);
    if (mr_conn_is_traced(conn)) {
        mr_trace_closed(ep, conn,
                        conn->close.is_app ? MR_TRACE_CLOSE_APPLICATION : MR_TRACE_CLOSE_ERROR);
        mr_trace_state(ep, conn, MR_TRACE_GONE, MR_TRACE_CLOSING);
    }
    quiesce(ep, conn, MR_CONN_CLOSING);
    want_close_everywhere(ep, conn);
    mr_conn_wake(ep, conn);
    mr_conn_timer_update(ep, conn);
}

bool mr_conn_fail(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t error, uint64_t frame_type,
                  const char *reason, uint64_t now)
{
    if (!mr_conn_is_alive(conn))
        return false;

    mr_count(&ep->counters.protocol_errors);
    conn->close.error = error;
    conn->close.frame_type = frame_type;
    set_reason(&conn->close, reason, strlen(reason));
    begin_closing(ep, conn, now);
    return false;
}

void mr_conn_fail_app(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t code,
                      const char *reason, uint64_t now)
{
    conn->close.error = code;
    conn->close.is_app = true;
    set_reason(&conn->close, reason == NULL ? "" : reason, reason == NULL ? 0 : strlen(reason));
    begin_closing(ep, conn, now);
}

MR_COLD static enum mr_trace_close why_dead(const struct mr_close *close)
{
    if (close->error == MR_NO_ERROR)
        return close->is_remote ? MR_TRACE_CLOSE_RESET : MR_TRACE_CLOSE_IDLE;
    return close->is_remote ? MR_TRACE_CLOSE_VERSION : MR_TRACE_CLOSE_ERROR;
}

/* The end without a word to the peer. */
static void end_silently(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t error,
                         bool is_remote, const char *reason)
{
    conn->close.error = error;
    conn->close.is_remote = is_remote;
    conn->close.is_set = true;
    set_reason(&conn->close, reason, strlen(reason));
    if (mr_conn_is_traced(conn))
        mr_trace_closed(ep, conn, why_dead(&conn->close));
    quiesce(ep, conn, MR_CONN_DRAINING);
    mr_conn_unready(ep, conn);
}

void mr_conn_die(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t error, bool is_remote,
                 const char *reason)
{
    if (!mr_conn_is_alive(conn))
        return;

    end_silently(ep, conn, error, is_remote, reason);
    conn->close_until_ns = 0; /* nothing to wait for: freed with the next expiry */
    conn->armed_ns = 0;
    mr_wheel_set(&ep->wheel, conn->number, 0);
}

void mr_conn_on_reset(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    if (!mr_conn_is_alive(conn))
        return;

    mr_count(&ep->counters.stateless_resets_received);
    conn->close_until_ns = now + 3 * mr_multipath_pto(ep, conn);
    end_silently(ep, conn, MR_NO_ERROR, true, "stateless reset: the peer has lost the connection");
    mr_conn_timer_update(ep, conn);
}

void mr_conn_drain(struct mr_endpoint *ep, struct mr_conn *conn,
                   const struct mr_frame_connection_close *frame, uint64_t now)
{
    mr_count(frame->is_app ? &ep->counters.application_closes
                           : (frame->error == MR_NO_ERROR ? &ep->counters.connections_ended
                                                          : &ep->counters.peer_errors));
    conn->close.error = frame->error;
    conn->close.frame_type = frame->frame_type;
    conn->close.is_app = frame->is_app;
    conn->close.is_remote = true;
    conn->close.is_set = true;
    set_reason(&conn->close, (const char *)frame->reason, frame->reason_size);
    if (mr_conn_is_traced(conn)) {
        mr_trace_closed(ep, conn,
                        frame->is_app ? MR_TRACE_CLOSE_APPLICATION : MR_TRACE_CLOSE_ERROR);
        mr_trace_state(ep, conn, MR_TRACE_GONE, MR_TRACE_DRAINING);
    }
    conn->close_until_ns = now + 3 * mr_multipath_pto(ep, conn);
    quiesce(ep, conn, MR_CONN_DRAINING);
    mr_conn_unready(ep, conn);
    mr_conn_timer_update(ep, conn);
}

void mr_conn_on_closing_packet(struct mr_endpoint *ep, struct mr_conn *conn)
{
    struct mr_close *close = &conn->close;

    mr_count(&ep->counters.dropped_closing);
    if (conn->state != MR_CONN_CLOSING || ++close->received < close->resend_after)
        return;
    close->resend_after *= 2; /* RFC 9000, Section 10.2.1: ever more rarely */
    want_close_everywhere(ep, conn);
    mr_conn_wake(ep, conn);
}
