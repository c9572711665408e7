/*
 * quic/conn_api.c - what an application may do with connections and streams.
 *
 * Meanings and errors are stated in millrace/transport.h.  State changes at once;
 * packets follow with the next mr_endpoint_send(), events with the next
 * mr_endpoint_events().
 */
#include <errno.h>
#include <stdio.h>

#include "quic/conn_multipath.h"
#include "quic/conn_observed.h"
#include "quic/conn_reset_at.h"
#include "quic/conn_resume.h"
#include "quic/conn_sleep.h"
#include "quic/conn_timer.h"

#define STREAMS_ASKED 64 /* of a connection, the newest: whether their windows are used up */

/* ------------------------------------------------------------------ connections */

/* RFC 9000, Section 8.1.3: "The client MUST include the token in all Initial packets it sends,
 * unless a Retry replaces the token with a newer one."  Not to another server than it is of, nor in
 * another version (RFC 9369, Section 5). */
static void take_token(const struct mr_conn *conn, struct mr_handshake *hs,
                       const struct mr_connect_options *options)
{
    const uint8_t *token;
    size_t size = mr_tls_ticket_token(options->ticket, options->ticket_size, options->server_name,
                                      conn->version, &token);

    if (size == 0 || size > sizeof(hs->token))
        return;
    hs->token_size = (uint16_t)size;
    memcpy(hs->token, token, size);
}

/* With what the ticket says of the path, if it is the same one. */
static void resume(struct mr_endpoint *ep, struct mr_conn *conn,
                   const struct mr_connect_options *options, uint64_t now)
{
    const uint8_t *past =
        mr_tls_ticket_past(options->ticket, options->ticket_size, options->server_name);
    struct mr_saved_path saved = mr_conn_past_read(ep, conn, past, now);

    mr_conn_resume_begin(ep, conn, &saved);
}

int mr_conn_connect(struct mr_endpoint *ep, const struct mr_connect_options *options,
                    const struct mr_addr *local, uint64_t now, mr_handle *conn_out)
{
    struct mr_path_addr path = {.local = *local};

    if (ep->config.client == NULL || options->alpn == NULL || options->alpn_size < 2 ||
        options->remote.port == 0)
        return -EINVAL;
    memcpy(path.remote.ip, options->remote.ip, sizeof(path.remote.ip));
    path.remote.port = options->remote.port;

    struct mr_conn *conn = mr_conn_new(ep, MR_CLIENT, &path, now);
    if (conn == NULL)
        return -EAGAIN;

    /* The first DCID is the client's choice: at least 8 unpredictable bytes (RFC 9000,
     * Section 7.2). */
    struct mr_peer_cid *peer = mr_cid_current(conn);
    peer->is_used = true;
    peer->cid.size = 8;
    uint64_t random = mr_endpoint_secret_random(ep);
    memcpy(peer->cid.bytes, &random, peer->cid.size);

    struct mr_handshake *hs = mr_conn_handshake(ep, conn);
    hs->original_dcid = peer->cid;
    conn->user_data = options->user_data;
    bool is_offered = mr_conn_offer_versions(conn, hs, options);
    take_token(conn, hs, options);
    resume(ep, conn, options, now);
    mr_trace_clock(ep, now);
    if (ep->tracer != NULL)
        mr_trace_new(ep, conn);
    if (!is_offered || !mr_conn_set_initial_keys(ep, conn, &peer->cid) ||
        !mr_conn_tls_start(ep, conn, options)) {
        mr_conn_free(ep, conn);
        return -EINVAL;
    }
    mr_count(&ep->counters.connections_opened);
    mr_conn_timer_update(ep, conn);
    *conn_out = mr_conn_handle(conn);
    return 0;
}

int mr_conn_close(struct mr_endpoint *ep, mr_handle handle, uint64_t code, const char *reason,
                  uint64_t now)
{
    struct mr_conn *conn = mr_conn_of_handle(ep, handle);

    if (code > MR_ERROR_CODE_MAX)
        return conn == NULL && !mr_conn_is_asleep(ep, handle) ? -ESTALE : -EINVAL;
    if (conn == NULL && mr_conn_is_asleep(ep, handle)) {
        mr_sleep_close(ep, (uint32_t)handle, code);
        return 0;
    }
    if (conn == NULL)
        return -ESTALE;
    if (!mr_conn_is_alive(conn))
        return 0;
    mr_trace_clock(ep, now);
    mr_conn_fail_app(ep, conn, code, reason, now);
    mr_count(&ep->counters.application_closes);
    return 0;
}

_Static_assert((int)MR_ECN_OFF == (int)MR_CONN_ECN_OFF &&
                   (int)MR_ECN_FAILED == (int)MR_CONN_ECN_FAILED,
               "the same states");

static void copy_address(struct mr_address *out, const struct mr_addr *addr)
{
    memcpy(out->ip, addr->ip, sizeof(out->ip));
    out->port = addr->port;
}

static bool is_early(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    const struct mr_handshake *hs = mr_conn_handshake(ep, conn);

    if (conn->role == MR_SERVER)
        return conn->early == MR_EARLY_ACCEPTED && conn->state == MR_CONN_HANDSHAKE;
    return conn->early == MR_EARLY_ACCEPTED || (hs != NULL && hs->early.is_set);
}

/* What kept the last visit from sending more.  Streams that have used up their windows, or the
 * connection's, are not asked again: a visit that finds nothing to send may find that. */
static uint8_t why_not_sending(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    bool is_used_up = mr_flow_send_is_exhausted(&conn->flow_send);
    uint32_t left = STREAMS_ASKED;

    if (conn->limited_by != MR_LIMITED_APPLICATION)
        return conn->limited_by;
    for (uint32_t i = conn->stream_head; i != MR_NONE && left > 0; left--) {
        const struct mr_stream *stream = mr_stream_at(ep, i);

        if (mr_send_queue_is_blocked(&stream->send, is_used_up ? 0 : stream->flow_send.limit))
            return MR_LIMITED_FLOW;
        i = stream->conn_next;
    }
    return MR_LIMITED_APPLICATION;
}

int mr_conn_info(const struct mr_endpoint *ep, mr_handle handle, struct mr_conn_info *out)
{
    static const char *const limiters[MR_LIMITERS] = {
        [MR_LIMITED_APPLICATION] = "application",
        [MR_LIMITED_CWND] = "cwnd",
        [MR_LIMITED_PACING] = "pacing",
        [MR_LIMITED_FLOW] = "flow control",
        [MR_LIMITED_AMPLIFICATION] = "amplification",
        [MR_LIMITED_PORT] = "port",
        [MR_LIMITED_MEMORY] = "memory",
    };
    struct mr_conn copy;
    const struct mr_conn *conn = mr_conn_look(ep, handle, &copy);

    if (conn == NULL)
        return -ESTALE;

    const struct mr_path *path = mr_multipath_shown(ep, conn);
    *out = (struct mr_conn_info){
        .rtt_ns = mr_rtt_has_sample(&path->rtt) ? path->rtt.smoothed_ns : 0,
        .cwnd_bytes = mr_cc_window(&path->cc),
        .bytes_in_flight = path->cc.in_flight,
        .packets_sent = conn->packets_sent,
        .packets_lost = conn->packets_lost,
        .bytes_received = conn->bytes_received_total,
        .key_updates = conn->key_state.updates,
        .version = conn->version == MR_VERSION_2 ? 2 : 1,
        .is_resumed = conn->is_resumed,
        .is_early = is_early(ep, conn),
        .is_client = conn->role == MR_CLIENT,
        .ecn = path->ecn.state,
        .takes_reset_at = conn->takes_reset_stream_at,
        .datagram_max = mr_conn_datagram_max(conn),
        .streams_bidi_limit = conn->streams_send[0].limit,
        .streams_uni_limit = conn->streams_send[1].limit,
        .limited_by = limiters[conn == &copy ? conn->limited_by : why_not_sending(ep, conn)],
    };
    const struct mr_side_path *kept = path->is_validated ? NULL : mr_side(ep, conn, MR_SIDE_KEPT);
    const struct mr_path_addr *addr = kept == NULL ? &path->addr : &kept->addr;
    copy_address(&out->local, &addr->local);
    copy_address(&out->remote, &addr->remote); /* the old one until the new one is validated */
    const struct mr_addr observed = mr_observed_address(ep, conn);
    copy_address(&out->observed, &observed);
    memcpy(out->alpn, conn->alpn, sizeof(out->alpn));
    snprintf(out->server_name, sizeof(out->server_name), "%s",
             mr_name_text(&ep->names, conn->name));
    return 0;
}

int64_t mr_conn_ticket(const struct mr_endpoint *ep, mr_handle handle, uint8_t *dst, size_t room,
                       uint64_t now)
{
    struct mr_conn copy;
    const struct mr_conn *conn = mr_conn_look(ep, handle, &copy);

    if (conn == NULL)
        return -ESTALE;
    const struct mr_handshake *hs = mr_conn_handshake(ep, conn);
    uint8_t past[MR_TICKET_PAST_SIZE];
    bool has_past = mr_conn_past_write(ep, conn, now, past);
    if (hs == NULL ? !has_past : hs->ticket_size == 0)
        return 0;
    const struct mr_tls_ticket_with with = {
        .past = past,
        .token = hs == NULL ? NULL : hs->new_token,
        .token_size = hs == NULL ? 0 : hs->new_token_size,
    };
    size_t size = hs == NULL ? mr_tls_ticket_write_head(past, dst, room)
                             : mr_tls_ticket_with(hs->ticket, hs->ticket_size, &with, dst, room);
    return size == 0 ? -ENOBUFS : (int64_t)size;
}

int mr_conn_update_keys(struct mr_endpoint *ep, mr_handle handle, uint64_t now)
{
    struct mr_conn *conn = mr_conn_of_handle(ep, handle);

    if (conn == NULL)
        return mr_conn_absence(ep, handle);
    return mr_keys_update_now(ep, conn, now) ? 0 : -EAGAIN;
}

int mr_object_set_user_data(struct mr_endpoint *ep, mr_handle object, uint64_t user_data)
{
    struct mr_conn *conn = mr_conn_of_handle(ep, object);
    struct mr_stream *stream = mr_stream_of_handle(ep, object);

    if (conn != NULL)
        conn->user_data = user_data;
    else if (stream != NULL)
        stream->user_data = user_data;
    else
        return mr_conn_is_asleep(ep, object) ? -ENOMEM : mr_stream_absence(ep, object);
    return 0;
}

/* ------------------------------------------------------------------ streams */

int mr_stream_open(struct mr_endpoint *ep, mr_handle handle, uint32_t flags, uint64_t user_data,
                   mr_handle *stream_out)
{
    struct mr_conn *conn = mr_conn_of_handle(ep, handle);
    bool is_uni = (flags & MR_OPEN_UNI) != 0;

    if (conn == NULL)
        return mr_conn_absence(ep, handle);
    if (!mr_conn_is_alive(conn))
        return -ESTALE;
    struct mr_streams_send *streams = &conn->streams_send[is_uni];
    if (mr_pool_free_count(&ep->streams) == 0 || mr_pool_free_count(&ep->stream_numbers) == 0 ||
        streams->opened >= MR_STREAM_ORDINAL_MAX) {
        mr_count(&ep->counters.limit_streams);
        mr_sleep_on_taken(ep);
        return -ENOMEM;
    }
    uint64_t ordinal;
    if (!mr_streams_send_open(streams, &ordinal)) {
        if (mr_streams_send_wants_blocked(streams))
            mr_conn_want(ep, conn, &conn->app,
                         is_uni ? MR_WANT_STREAMS_BLOCKED_UNI : MR_WANT_STREAMS_BLOCKED_BIDI);
        return -EAGAIN;
    }

    uint64_t id = ordinal << 2 | (is_uni ? 2u : 0u) | (conn->role == MR_SERVER ? 1u : 0u);
    struct mr_stream *stream = mr_stream_new(ep, conn, id);
    if (stream == NULL) {
        streams->opened--;
        return -ENOMEM;
    }
    mr_count(&ep->counters.streams_opened);
    stream->user_data = user_data;
    *stream_out = stream->handle;
    if (ep->config.keep_alive_ns != 0)
        mr_keep_alive_begin(ep, conn);
    return 0;
}

uint64_t mr_stream_id(const struct mr_endpoint *ep, mr_handle handle)
{
    struct mr_stream copy;
    const struct mr_stream *stream = mr_stream_look(ep, handle, &copy);

    return stream == NULL ? UINT64_MAX : stream->id;
}

/* What send() answers before anything is queued; 0: go on. */
static int check_send(struct mr_endpoint *ep, const struct mr_stream *stream,
                      const struct mr_conn *conn)
{
    if (!mr_conn_is_alive(conn) || !stream->has_send || stream->is_gone)
        return -EPIPE;
    if (mr_send_queue_unsent_bytes(&stream->send) >= MR_QUEUED_MAX_BYTES)
        return -EAGAIN;
    if (mr_pool_free_count(&ep->segments) == 0) {
        mr_count(&ep->counters.limit_segments);
        return -ENOMEM;
    }
    return 0;
}

int mr_stream_send(struct mr_endpoint *ep, mr_handle handle, const struct mr_view *views,
                   size_t count, uint32_t flags)
{
    static const int answers[] = {[MR_APPEND_OK] = 0,
                                  [MR_APPEND_NO_MEMORY] = -ENOMEM,
                                  [MR_APPEND_CLOSED] = -EPIPE,
                                  [MR_APPEND_TOO_BIG] = -EMSGSIZE};
    struct mr_stream *stream = mr_stream_of_handle(ep, handle);

    if (stream == NULL)
        return mr_stream_absence(ep, handle);
    struct mr_conn *conn = mr_conn_at(ep, stream->conn);
    int refusal = check_send(ep, stream, conn);
    if (refusal != 0) {
        stream->was_refused = stream->was_refused || refusal == -EAGAIN;
        return refusal;
    }

    int answer = answers[mr_send_queue_append(&stream->send, &ep->send_pools, views, count, flags)];
    if (answer == 0) {
        stream->is_notify_due = stream->is_notify_due || (flags & MR_SEND_NOTIFY) != 0;
        if (mr_send_queue_wants(&stream->send, UINT64_MAX))
            mr_stream_schedule(ep, conn, stream);
    }
    return answer;
}

/* No more than the peer guarantees, and no end: its reset comes behind them. */
MR_COLD static size_t cut_views(const struct mr_stream *stream, struct mr_view *views, size_t count,
                                bool *fin)
{
    uint64_t left = stream->reliable_in > stream->recv.released_to
                        ? stream->reliable_in - stream->recv.released_to
                        : 0;
    size_t kept = 0;

    *fin = false;
    for (; kept < count && left > 0; kept++) {
        views[kept].size = (size_t)MR_MIN((uint64_t)views[kept].size, left);
        left -= views[kept].size;
    }
    return kept;
}

int64_t mr_stream_receive(struct mr_endpoint *ep, mr_handle handle, struct mr_view *views_out,
                          size_t room, bool *fin_out)
{
    struct mr_stream *stream = mr_stream_of_handle(ep, handle);

    *fin_out = false;
    if (stream == NULL)
        return mr_stream_absence(ep, handle);
    if (stream->recv_state == MR_RECV_RESET_RECVD || stream->recv_state == MR_RECV_RESET_READ)
        return -ECONNRESET;
    size_t count = mr_recv_queue_peek(&stream->recv, &ep->recv_pools, views_out, room, fin_out);
    return (int64_t)(stream->has_reliable_in ? cut_views(stream, views_out, count, fin_out)
                                             : count);
}

/* All data consumed: the receiving part is over. */
static void finish_reading(struct mr_endpoint *ep, struct mr_stream *stream)
{
    if (!mr_recv_queue_is_consumed(&stream->recv) ||
        !mr_recv_state_allows(stream->recv_state, MR_RECV_ON_DATA_READ))
        return;
    if (mr_conn_is_traced(mr_conn_at(ep, stream->conn)))
        mr_trace_stream(ep, mr_conn_at(ep, stream->conn), stream, false, MR_RECV_DATA_READ);
    stream->recv_state = (uint8_t)mr_recv_state_next(stream->recv_state, MR_RECV_ON_DATA_READ);
    mr_stream_maybe_done(ep, stream);
}

int mr_stream_release(struct mr_endpoint *ep, mr_handle handle, size_t size)
{
    struct mr_stream *stream = mr_stream_of_handle(ep, handle);

    if (stream == NULL)
        return mr_stream_absence(ep, handle);
    if (!mr_recv_queue_release(&stream->recv, &ep->recv_pools, &ep->released, size))
        return -EINVAL;

    struct mr_conn *conn = mr_conn_at(ep, stream->conn);
    mr_stream_consumed(ep, conn, stream, size);
    if (stream->has_reliable_in)
        mr_stream_reset_if_read(ep, conn, stream);
    finish_reading(ep, stream);
    return 0;
}

int mr_stream_reset(struct mr_endpoint *ep, mr_handle handle, uint64_t code)
{
    struct mr_stream *stream = mr_stream_of_handle(ep, handle);

    if (stream == NULL)
        return mr_stream_absence(ep, handle);
    if (code > MR_ERROR_CODE_MAX)
        return -EINVAL;
    if (!stream->has_send || stream->is_gone || stream->wants_reset ||
        !mr_send_state_allows(stream->send_state, MR_SEND_ON_RESET))
        return -EPIPE;

    mr_stream_abort_send(ep, mr_conn_at(ep, stream->conn), stream, code);
    return 0;
}

int mr_stream_stop(struct mr_endpoint *ep, mr_handle handle, uint64_t code)
{
    struct mr_stream *stream = mr_stream_of_handle(ep, handle);

    if (stream == NULL)
        return mr_stream_absence(ep, handle);
    if (code > MR_ERROR_CODE_MAX)
        return -EINVAL;
    if (!stream->has_recv || stream->is_gone ||
        (stream->recv.is_discarding && mr_recv_queue_readable_bytes(&stream->recv) == 0))
        return 0;

    struct mr_conn *conn = mr_conn_at(ep, stream->conn);
    mr_recv_queue_discard(&stream->recv, &ep->recv_pools, &ep->released);
    if (mr_recv_state_wants_stop(stream->recv_state) && mr_conn_is_alive(conn)) {
        stream->stop_code = code;
        stream->wants_stop = true;
        mr_stream_control(ep, conn, stream);
    }
    if (stream->has_reliable_in)
        mr_stream_reset_if_read(ep, conn, stream);
    mr_stream_discarded(ep, conn, stream);
    return 0;
}

int mr_stream_set_priority(struct mr_endpoint *ep, mr_handle handle, struct mr_priority priority)
{
    struct mr_stream *stream = mr_stream_of_handle(ep, handle);

    if (stream == NULL)
        return mr_stream_absence(ep, handle);
    if (priority.urgency >= MR_URGENCIES)
        return -EINVAL;
    mr_schedule_set_priority(&mr_conn_at(ep, stream->conn)->sendable, &ep->streams, stream,
                             priority);
    return 0;
}
