/*
 * quic/conn_path.c - the path in use: rebinding, validation, amplification limit, pacing input.
 *
 * RFC 9000, Sections 8 and 9.  A server follows its peer to a new
 * address when the newest non-probing packet comes from there, sends at most three
 * times what it received until PATH_RESPONSE comes back, and returns to the last
 * validated address when none does.
 */
#include "quic/conn_bits.h"
#include "quic/conn_observed.h"

#define CHALLENGES_MAX 3 /* sent before validation has failed */

/* ------------------------------------------------------------------ amplification */

uint64_t mr_path_room(const struct mr_conn *conn)
{
    const struct mr_path *path = &conn->path;

    if (path->is_validated)
        return UINT64_MAX;
    return path->bytes_received * 3 > path->bytes_sent ? path->bytes_received * 3 - path->bytes_sent
                                                       : 0;
}

/* ------------------------------------------------------------------ validation */

static void send_challenge(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    uint64_t pto = mr_rtt_pto(&conn->path.rtt, MR_SPACE_APP);

    conn->validation.resend_ns = now + pto;
    mr_conn_want(ep, conn, &conn->app, MR_WANT_PATH_CHALLENGE);
}

static void begin_validation(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    struct mr_path_validation *v = &conn->validation;
    uint64_t random = mr_endpoint_secret_random(ep);
    uint64_t pto = MR_MAX(mr_rtt_pto(&conn->path.rtt, MR_SPACE_APP), 3 * MR_RTT_INITIAL);

    memcpy(v->challenge, &random, sizeof(v->challenge));
    v->deadline_ns = now + 3 * pto; /* RFC 9000, Section 8.2.4 */
    v->sent_count = 0;
    v->is_running = true;
    v->is_small = false;
    send_challenge(ep, conn, now);
}

static void end_validation(struct mr_conn *conn)
{
    conn->validation.is_running = false;
    conn->validation.has_fallback = false;
    conn->validation.deadline_ns = MR_NEVER;
    conn->validation.resend_ns = MR_NEVER;
    conn->app.wants &= ~(uint32_t)MR_WANT_PATH_CHALLENGE;
}

void mr_path_validated(struct mr_endpoint *ep, struct mr_conn *conn)
{
    conn->path.is_validated = true;
    conn->loss.is_amplification_limited = false;
    if (mr_conn_is_traced(conn))
        mr_trace_path(ep, conn);
    end_validation(conn);
    mr_conn_wake(ep, conn);
}

void mr_path_expire(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    struct mr_path_validation *v = &conn->validation;

    if (!v->is_running || (v->resend_ns > now && v->deadline_ns > now))
        return;
    if (v->deadline_ns > now) {
        if (v->sent_count < CHALLENGES_MAX)
            send_challenge(ep, conn, now);
        else
            v->resend_ns = MR_NEVER;
        return;
    }
    mr_count(&ep->counters.paths_failed);
    bool has_fallback = v->has_fallback;
    end_validation(conn);
    if (conn->path.is_validated) /* the address is, only its MTU was in question */
        return;
    if (!has_fallback) {
        mr_conn_die(ep, conn, MR_NO_VIABLE_PATH, false,
                    "the peer's new address could not be validated");
        return;
    }
    conn->path.addr = v->fallback;
    mr_spin_restart(ep, conn);
    mr_observed_on_path(ep, conn);
    conn->path.is_validated = true;
    mr_conn_wake(ep, conn);
}

bool mr_on_path_response(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    struct mr_conn *conn = rx->conn;
    struct mr_frame_path frame;

    if (!mr_frame_decode_path(r, type, &frame))
        return mr_conn_fail(rx->ep, conn, MR_FRAME_ENCODING_ERROR, type, "malformed PATH_RESPONSE",
                            rx->now);
    if (!conn->validation.is_running ||
        memcmp(frame.data, conn->validation.challenge, MR_PATH_DATA) != 0)
        return true; /* late, or not to us */
    if (!conn->path.is_validated)
        mr_count(&rx->ep->counters.paths_validated);
    bool is_small = conn->validation.is_small;
    mr_path_validated(rx->ep, conn);
    if (is_small) /* the address is proved, not that 1,200 bytes pass: once more */
        begin_validation(rx->ep, conn, rx->now);
    return true;
}

void mr_path_forget_responses(struct mr_endpoint *ep, struct mr_conn *conn)
{
    if (mr_conn_extra(ep, conn) != NULL)
        mr_conn_extra(ep, conn)->path_response_count = 0;
    mr_conn_extra_end(ep, conn, MR_EXTRA_PATH_RESPONSES);
    conn->app.wants &= ~(uint32_t)MR_WANT_PATH_RESPONSE;
}

bool mr_on_path_challenge(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    struct mr_conn *conn = rx->conn;
    struct mr_frame_path frame;

    if (!mr_frame_decode_path(r, type, &frame))
        return mr_conn_fail(rx->ep, conn, MR_FRAME_ENCODING_ERROR, type, "malformed PATH_CHALLENGE",
                            rx->now);
    struct mr_conn_extra *extra = mr_conn_extra_use(rx->ep, conn, MR_EXTRA_PATH_RESPONSES);
    if (extra == NULL)
        return true;                                           /* the peer asks again */
    if (extra->path_response_count == MR_PATH_RESPONSES_MAX) { /* the oldest gives way */
        mr_count(&rx->ep->counters.limit_path_challenges);
        extra->path_response_count--;
        memmove(&extra->path_responses[0], &extra->path_responses[1],
                extra->path_response_count * sizeof(extra->path_responses[0]));
    }
    struct mr_path_response *response = &extra->path_responses[extra->path_response_count++];
    response->addr = rx->datagram->path;
    response->bytes_max = 3 * rx->datagram->size;
    memcpy(response->data, frame.data, MR_PATH_DATA);
    mr_conn_want(rx->ep, conn, &conn->app, MR_WANT_PATH_RESPONSE);
    return true;
}

/* ------------------------------------------------------------------ a new address */

static bool is_port_only(const struct mr_path_addr *a, const struct mr_path_addr *b)
{
    return memcmp(a->remote.ip, b->remote.ip, sizeof(a->remote.ip)) == 0 &&
           memcmp(&a->local, &b->local, sizeof(a->local)) == 0;
}

/* RFC 9000, Section 9.4: a new path starts anew, unless only the port changed. */
static void reset_estimates(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    struct mr_path *path = &conn->path;
    uint64_t in_flight = path->cc.in_flight;
    uint64_t max_ack_delay = path->rtt.max_ack_delay_ns;

    mr_path_end_control(ep, path);
    mr_path_begin_control(ep, path, now);
    mr_cc_on_sent(&path->cc, in_flight, now);
    mr_rtt_init(&path->rtt, MR_RTT_INITIAL);
    path->rtt.max_ack_delay_ns = max_ack_delay;
    mr_ecn_begin(&path->ecn, mr_path_codepoint(ep), mr_sent_next(&conn->app.sent));
    path->mtu = MR_INITIAL_MIN;
}

void mr_path_on_packet(struct mr_rx *rx)
{
    struct mr_endpoint *ep = rx->ep;
    struct mr_conn *conn = rx->conn;
    const struct mr_path_addr *from = &rx->datagram->path;

    if (conn->role != MR_SERVER || !conn->is_confirmed || rx->space_id != MR_SPACE_APP ||
        rx->is_probing || rx->pn != conn->app.received.range[0].hi)
        return;

    bool is_rebinding = is_port_only(from, &conn->path.addr);
    mr_count(is_rebinding ? &ep->counters.rebindings : &ep->counters.migrations);
    if (conn->path.is_validated) {
        conn->validation.fallback = conn->path.addr;
        conn->validation.has_fallback = true;
    }
    bool is_return =
        conn->validation.has_fallback && mr_path_addr_equal(from, &conn->validation.fallback);
    conn->path.addr = *from;
    mr_spin_restart(ep, conn);
    mr_observed_on_path(ep, conn);
    if (is_return) {
        mr_path_validated(ep, conn);
        return;
    }
    conn->path.is_validated = false;
    if (mr_conn_is_traced(conn))
        mr_trace_path(ep, conn);
    conn->path.bytes_received = rx->datagram->size;
    conn->path.bytes_sent = 0;
    if (!is_rebinding) {
        reset_estimates(ep, conn, rx->now);
        mr_cid_rotate(ep, conn);
        mr_mtu_begin(ep, conn, rx->now);
    }
    begin_validation(ep, conn, rx->now);
}

/* ------------------------------------------------------------------ pacing */

void mr_pacer_refresh(struct mr_conn *conn, uint64_t now)
{
    struct mr_path *path = &conn->path;

    struct mr_pacer_input input = {.smoothed_ns = path->rtt.smoothed_ns,
                                   .datagram_size = path->mtu};

    input.window = mr_cc_pacing_window(&path->cc, input.smoothed_ns, &input.is_slow_start);
    mr_pacer_update(&path->pacer, &input, now);
}
