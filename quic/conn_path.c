/*
 * quic/conn_path.c - the path in use: amplification limit, validation, following a peer that has a
 * new address, pacing input.
 *
 * RFC 9000, Sections 8 and 9.  A server follows its peer to a new address when the newest
 * non-probing packet comes from there, sends at most three times what it received until
 * PATH_RESPONSE comes back, and returns to the last validated address when none does.  The path
 * that is left is asked whether it still lives, and kept for a while with all that is known of it
 * (quic/conn_side.c): whoever comes back finds its round trip and its window, so that a peer gains
 * nothing by going to and fro.
 */
#include "quic/conn_bits.h"
#include "quic/conn_multipath.h"
#include "quic/conn_observed.h"
#include "quic/conn_resume.h"
#include "quic/conn_timer.h"
#include "quic/conn_undo.h"
#include "quic/path_policy.h"

/* A path that begins sooner than so after another did gets no larger window than was there. */
#define FRESH_APART_NS (10 * MR_SECOND)

/* ------------------------------------------------------------------ amplification */

uint64_t mr_path_room(const struct mr_conn *conn)
{
    const struct mr_path *path = &conn->path;

    if (path->is_validated)
        return UINT64_MAX;
    return path->bytes_received * 3 > path->bytes_sent ? path->bytes_received * 3 - path->bytes_sent
                                                       : 0;
}

void mr_path_heard(struct mr_endpoint *ep, struct mr_conn *conn, const struct mr_datagram *d)
{
    if (!mr_path_addr_equal(&d->path, &conn->path.addr))
        return;
    conn->path.bytes_received += d->size;
    if (!conn->loss.is_amplification_limited)
        return;
    conn->loss.is_amplification_limited = false; /* RFC 9002, Section 6.2.2.1: timers run again */
    mr_conn_wake(ep, conn);
}

/* ------------------------------------------------------------------ validation */

static uint64_t checks_due(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    const struct mr_conn_extra *extra = mr_conn_extra(ep, conn);
    uint64_t at = conn->multipath == MR_NONE ? MR_NEVER : mr_multipath_due(ep, conn);

    if (extra == NULL)
        return at;
    at = MR_MIN(at, mr_path_check_due(&extra->check));
    for (int i = 0; i < MR_SIDES; i++)
        at = MR_MIN(at, mr_path_check_due(&extra->side[i].check));
    return at;
}

void mr_path_update_due(struct mr_endpoint *ep, struct mr_conn *conn)
{
    conn->path_due_ns = MR_MIN(checks_due(ep, conn), mr_keep_alive_due(ep, conn));
}

void mr_path_check_in_use(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    struct mr_conn_extra *extra = mr_conn_extra_use(ep, conn, MR_EXTRA_PATH_CHECK);

    if (extra == NULL)
        return; /* only its MTU is in question: whoever has no validated path has an extra */
    mr_path_check_begin(&extra->check, mr_rtt_pto(&conn->path.rtt, MR_SPACE_APP), now);
    mr_conn_want(ep, conn, &conn->app, MR_WANT_PATH_CHALLENGE);
    mr_path_update_due(ep, conn);
}

static void end_check(struct mr_endpoint *ep, struct mr_conn *conn)
{
    struct mr_conn_extra *extra = mr_conn_extra(ep, conn);

    conn->app.wants &= ~(uint32_t)MR_WANT_PATH_CHALLENGE;
    if (extra == NULL)
        return;
    extra->check = (struct mr_path_check){0};
    mr_conn_extra_end(ep, conn, MR_EXTRA_PATH_CHECK);
    mr_path_update_due(ep, conn);
}

void mr_path_validated(struct mr_endpoint *ep, struct mr_conn *conn)
{
    conn->path.is_validated = true;
    conn->loss.is_amplification_limited = false;
    if (mr_conn_is_traced(conn))
        mr_trace_path(ep, conn);
    end_check(ep, conn);
    mr_conn_wake(ep, conn);
}

void mr_path_give_token(struct mr_endpoint *ep, struct mr_conn *conn)
{
    const struct mr_side_path *kept = mr_side(ep, conn, MR_SIDE_KEPT);
    bool is_known = kept != NULL && memcmp(kept->addr.remote.ip, conn->path.addr.remote.ip,
                                           sizeof(kept->addr.remote.ip)) == 0;

    if (conn->role == MR_SERVER && ep->config.has_new_token && !is_known)
        mr_conn_want(ep, conn, &conn->app, MR_WANT_NEW_TOKEN);
}

/* The kept path has served: it was heard of, or given up, and the one in use is validated. */
static void settle_kept(struct mr_endpoint *ep, struct mr_conn *conn)
{
    const struct mr_side_path *kept = mr_side(ep, conn, MR_SIDE_KEPT);

    if (kept != NULL && !kept->check.is_running)
        mr_side_close(ep, conn, MR_SIDE_KEPT);
}

/* The peer has answered on the path in use. */
static void on_answer(struct mr_rx *rx, bool is_small)
{
    struct mr_conn *conn = rx->conn;
    bool is_news = !conn->path.is_validated;

    mr_path_validated(rx->ep, conn);
    if (is_news) {
        mr_count(&rx->ep->counters.paths_validated);
        if (!mr_multipath_on_validated(rx->ep, conn, rx->now))
            mr_conn_event(rx->ep, conn, MR_EVENT_PATH_CHANGED);
        mr_path_give_token(rx->ep, conn);
    }
    if (is_small) /* the address is proved, not that 1,200 bytes pass: once more */
        mr_path_check_in_use(rx->ep, conn, rx->now);
    settle_kept(rx->ep, conn);
}

bool mr_on_path_response(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    struct mr_conn *conn = rx->conn;
    struct mr_frame_path frame;

    if (!mr_frame_decode_path(r, type, &frame))
        return mr_conn_fail(rx->ep, conn, MR_FRAME_ENCODING_ERROR, type, "malformed PATH_RESPONSE",
                            rx->now);
    struct mr_conn_extra *extra = mr_conn_extra(rx->ep, conn);
    if (extra == NULL)
        return true; /* late, or not to us */
    if (mr_path_check_answer(&extra->check, frame.data))
        on_answer(rx, extra->check.is_small);
    else
        mr_side_on_response(rx, frame.data);
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
    if (!rx->is_other_path)
        rx->space->wants |= MR_WANT_ACK; /* a non-probing packet in response: Section 9.3.3 */
    else if (!mr_side_on_challenge(rx))
        return true;
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

/* ------------------------------------------------------------------ another path */

void mr_path_start(struct mr_endpoint *ep, struct mr_path *path, uint64_t now)
{
    path->mtu = MR_INITIAL_MIN;
    mr_path_begin_control(ep, path, now);
    mr_rtt_init(&path->rtt, MR_RTT_INITIAL);
    mr_ecn_begin(&path->ecn, mr_path_codepoint(ep), 0);
    mr_pacer_init(&path->pacer,
                  &(struct mr_pacer_input){.window = mr_cc_window(&path->cc),
                                           .smoothed_ns = path->rtt.smoothed_ns,
                                           .datagram_size = MR_INITIAL_MIN,
                                           .is_slow_start = true},
                  now);
}

/* A number that no path has of which something is known. */
static uint8_t new_number(struct mr_conn *conn, const struct mr_conn_extra *extra)
{
    do {
        conn->path_numbers = (uint8_t)((conn->path_numbers + 1) % MR_PATH_ELSEWHERE);
    } while (conn->path_numbers == extra->kept.number || conn->path_numbers == conn->path.number);
    return conn->path_numbers;
}

/* RFC 9000, Section 9.4: a new path starts anew.  One that follows closely on another gets no
 * larger window by it, or changing the address would be a way to more than congestion control
 * allows. */
static void start_anew(struct mr_endpoint *ep, struct mr_conn *conn,
                       const struct mr_conn_extra *extra, uint64_t now)
{
    struct mr_path *path = &conn->path;
    uint64_t max_ack_delay = path->rtt.max_ack_delay_ns;
    uint64_t window = mr_cc_window(&path->cc);
    bool is_soon = conn->path_fresh_ns != 0 && now - conn->path_fresh_ns < FRESH_APART_NS;

    path->number = new_number(conn, extra);
    mr_path_start(ep, path, now);
    path->rtt.max_ack_delay_ns = max_ack_delay;
    if (is_soon && window < mr_cc_window(&path->cc)) {
        mr_cc_set_window(&path->cc, window);
        mr_count(&ep->counters.limit_path_windows);
    }
    conn->path_fresh_ns = now;
}

/* What is known of the path in use, as it is left. */
static void keep(struct mr_conn *conn, struct mr_conn_extra *extra)
{
    struct mr_side_path *kept = &extra->side[MR_SIDE_KEPT];

    if (conn->path.is_validated)
        *kept = (struct mr_side_path){.addr = conn->path.addr,
                                      .cid = conn->peer_cid_current,
                                      .is_used = true,
                                      .is_trusted = true,
                                      .is_validated = true};
    else if (!mr_path_is_same_network(&kept->addr, &conn->path.addr))
        return;
    extra->kept = conn->path;
}

void mr_path_switch(struct mr_endpoint *ep, struct mr_conn *conn, const struct mr_path_addr *to,
                    uint32_t slot, uint64_t now)
{
    struct mr_conn_extra *extra = mr_conn_extra(ep, conn);
    struct mr_side_path was = extra->side[MR_SIDE_KEPT];
    struct mr_path was_like = extra->kept;
    struct mr_path left = conn->path;
    uint32_t cid = conn->peer_cid_current;
    bool is_same = mr_path_is_same_network(to, &left.addr);
    bool has_memory = mr_side_has_control(ep, conn); /* and not only a copy of what goes on */
    bool is_kept =
        left.is_validated || (was.is_used && mr_path_is_same_network(&was.addr, &left.addr));
    bool is_known = !is_same && has_memory && mr_path_is_same_network(to, &was.addr);

    if (!is_same) {
        mr_conn_resume_leave_path(ep, conn);
        mr_conn_undo_drop(ep, conn);
    }
    keep(conn, extra);
    if (is_known) {
        conn->path = was_like;
        conn->path.rtt.max_ack_delay_ns = left.rtt.max_ack_delay_ns; /* the peer's, on any path */
    } else if (!is_same)
        start_anew(ep, conn, extra, now);
    if (has_memory && left.is_validated && !is_known) /* overwritten by keep() */
        mr_path_end_control(ep, &was_like);
    if (!is_kept && !is_same) /* nobody goes back there */
        mr_path_end_control(ep, &left);
    conn->path.addr = *to;
    mr_spin_restart(ep, conn);
    mr_observed_on_path(ep, conn);
    mr_cid_switch(ep, conn, slot);
    mr_cid_release(ep, conn, cid);
    if (was.is_used)
        mr_cid_release(ep, conn, was.cid);
    if (mr_path_addr_equal(to, &extra->side[MR_SIDE_KEPT].addr))
        mr_side_close(ep, conn, MR_SIDE_KEPT);
    conn->loss.pto_count = 0;
    conn->loss.is_amplification_limited = false;
    if (!is_same) {
        mr_ecn_begin(&conn->path.ecn, mr_path_codepoint(ep), mr_sent_next(&conn->app.sent));
        conn->pacing_until_ns = MR_NEVER;
        mr_mtu_begin(ep, conn, now);
    }
    if (mr_conn_is_traced(conn))
        mr_trace_path(ep, conn);
}

/* The last validated path is in use again. */
static void go_back(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    const struct mr_side_path kept = *mr_side(ep, conn, MR_SIDE_KEPT);
    bool was_validated = conn->path.is_validated;
    uint32_t slot = kept.cid != MR_NONE ? kept.cid : mr_cid_unused(ep, conn);

    mr_path_switch(ep, conn, &kept.addr, slot != MR_NONE ? slot : conn->peer_cid_current, now);
    mr_path_validated(ep, conn);
    if (!was_validated)
        return; /* the application has never heard of the other one */
    mr_conn_event(ep, conn, MR_EVENT_PATH_CHANGED);
    mr_side_probe(ep, conn, mr_side(ep, conn, MR_SIDE_KEPT), now);
}

/* The validation of the path in use has failed. */
static void on_failure(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    mr_count(&ep->counters.paths_failed);
    if (conn->path.is_validated) { /* the address is, only its MTU was in question */
        end_check(ep, conn);
        return;
    }
    if (mr_side(ep, conn, MR_SIDE_KEPT) == NULL) {
        if (mr_multipath_on_failed(ep, conn, now))
            return;
        mr_conn_die(ep, conn, MR_NO_VIABLE_PATH, false,
                    "the peer's new address could not be validated");
        return;
    }
    go_back(ep, conn, now);
}

void mr_path_expire(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    if (conn->path_due_ns > now)
        return;
    struct mr_conn_extra *extra = mr_conn_extra(ep, conn);
    uint64_t pto = mr_rtt_pto(&conn->path.rtt, MR_SPACE_APP);

    switch (extra == NULL ? MR_CHECK_WAITS : mr_path_check_expire(&extra->check, pto, now)) {
    case MR_CHECK_WAITS:
        break;
    case MR_CHECK_RESENDS:
        mr_conn_want(ep, conn, &conn->app, MR_WANT_PATH_CHALLENGE);
        break;
    case MR_CHECK_FAILED:
        on_failure(ep, conn, now);
        break;
    }
    if (!mr_conn_is_alive(conn))
        return;
    mr_side_expire(ep, conn, now);
    if (conn->multipath != MR_NONE)
        mr_multipath_expire(ep, conn, now);
    if (!mr_conn_is_alive(conn))
        return;
    uint64_t again = mr_keep_alive_expire(ep, conn, now);
    conn->path_due_ns = MR_MIN(checks_due(ep, conn), again);
}

void mr_path_gone_elsewhere(struct mr_endpoint *ep, struct mr_conn *conn,
                            const struct mr_sent_packet *packet)
{
    struct mr_conn_extra *extra = mr_conn_extra(ep, conn);

    if (packet->path == MR_PATH_ELSEWHERE)
        conn->side_packets = (uint8_t)(conn->side_packets - (conn->side_packets > 0));
    else if (extra != NULL && extra->side[MR_SIDE_KEPT].is_used &&
             extra->kept.number == packet->path && (packet->flags & MR_SENT_IN_FLIGHT) != 0)
        mr_cc_on_discarded(&extra->kept.cc, packet->size);
}

/* ------------------------------------------------------------------ a new address */

/* Did the peer send to the connection ID that it uses on this path?  Then nobody but a NAT may have
 * changed its address (RFC 9000, Section 9.5). */
static bool is_usual_cid(const struct mr_rx *rx)
{
    return memcmp(rx->dcid, &rx->conn->peer_chose, MR_LOCAL_CID_SIZE) == 0;
}

static bool is_issued(const struct mr_conn *conn, uint64_t key)
{
    for (uint32_t i = 0; i < MR_CIDS_SLOTS; i++) {
        if (conn->issued.key[i] == key)
            return true;
    }
    return false;
}

uint32_t mr_path_choose_cid(const struct mr_rx *rx)
{
    const struct mr_conn *conn = rx->conn;
    uint32_t current = conn->peer_cid_current;

    if (conn->peer_cids[current].cid.size == 0)
        return current;
    if (is_usual_cid(rx) && mr_path_is_same_network(&rx->datagram->path, &conn->path.addr))
        return current;
    uint32_t slot = mr_cid_unused(rx->ep, conn);
    if (slot != MR_NONE)
        return slot;
    if (is_usual_cid(rx) || !is_issued(conn, conn->peer_chose))
        return current;
    mr_count(&rx->ep->counters.limit_path_cids);
    return MR_NONE;
}

static bool is_permitted(struct mr_rx *rx)
{
    if (mr_path_is_permitted(&rx->datagram->path.remote, &rx->conn->path.addr))
        return true;
    mr_count(&rx->ep->counters.paths_refused);
    return false;
}

/* The peer is where the last validated path was. */
static void follow_back(struct mr_rx *rx)
{
    struct mr_conn *conn = rx->conn;
    bool is_rebinding = mr_path_is_same_network(&rx->datagram->path, &conn->path.addr);

    mr_count(is_rebinding ? &rx->ep->counters.rebindings : &rx->ep->counters.migrations);
    memcpy(&conn->peer_chose, rx->dcid, sizeof(conn->peer_chose));
    go_back(rx->ep, conn, rx->now);
}

/* What was learned of the candidate goes to the path in use. */
static void adopt(struct mr_rx *rx, const struct mr_side_path *candidate)
{
    struct mr_conn *conn = rx->conn;
    struct mr_conn_extra *extra = mr_conn_extra(rx->ep, conn);

    conn->path.bytes_received = candidate->bytes_received;
    conn->path.bytes_sent = candidate->bytes_sent;
    extra->check = candidate->check;
    if (!candidate->is_validated) {
        if (extra->check.is_wanted || !extra->check.is_running)
            mr_path_check_in_use(rx->ep, conn, rx->now);
        return;
    }
    on_answer(rx, candidate->check.is_small);
}

/* To a path that is not validated, or was before the peer came: RFC 9000, Section 9.3. */
static void follow_to(struct mr_rx *rx, struct mr_side_path *side)
{
    struct mr_endpoint *ep = rx->ep;
    struct mr_conn *conn = rx->conn;
    const struct mr_path_addr *from = &rx->datagram->path;
    uint32_t slot = side != NULL && side->cid != MR_NONE ? side->cid : mr_path_choose_cid(rx);
    bool was_validated = conn->path.is_validated;
    struct mr_side_path candidate = {.bytes_received = rx->datagram->size};

    if (slot == MR_NONE || mr_conn_extra_use(ep, conn, MR_EXTRA_PATH_KEPT) == NULL)
        return;
    mr_conn_extra_use(ep, conn, MR_EXTRA_PATH_CHECK);
    mr_count(mr_path_is_same_network(from, &conn->path.addr) ? &ep->counters.rebindings
                                                             : &ep->counters.migrations);
    if (side != NULL)
        candidate = *side;
    mr_path_switch(ep, conn, from, slot, rx->now);
    if (side != NULL)
        mr_side_close(ep, conn, MR_SIDE_CANDIDATE);
    memcpy(&conn->peer_chose, rx->dcid, sizeof(conn->peer_chose));
    conn->path.is_validated = false;
    if (was_validated) /* Section 9.3.3 */
        mr_side_probe(ep, conn, mr_side(ep, conn, MR_SIDE_KEPT), rx->now);
    adopt(rx, &candidate);
}

/* The peer has sent the newest packet from another address. */
static void follow(struct mr_rx *rx)
{
    struct mr_conn *conn = rx->conn;
    const struct mr_path_addr *from = &rx->datagram->path;
    struct mr_side_path *side = mr_side_find(rx->ep, conn, from);

    if (memcmp(&from->local, &conn->path.addr.local, sizeof(from->local)) != 0) {
        mr_preferred_on_packet(rx, side);
        return;
    }
    if (!is_permitted(rx))
        return;
    if (side != NULL && side == mr_side(rx->ep, conn, MR_SIDE_KEPT))
        follow_back(rx);
    else
        follow_to(rx, side);
}

void mr_path_on_packet(struct mr_rx *rx)
{
    struct mr_conn *conn = rx->conn;

    if (!conn->is_confirmed || rx->space_id != MR_SPACE_APP || !mr_conn_is_alive(conn))
        return;
    mr_side_on_packet(rx);
    if (conn->role != MR_SERVER || rx->is_probing || rx->pn != conn->app.received.range[0].hi ||
        mr_path_addr_equal(&rx->datagram->path, &conn->path.addr))
        return;
    follow(rx);
    mr_path_update_due(rx->ep, conn);
}

/* ------------------------------------------------------------------ packets that are not taken */

/* A client knows its server's addresses: RFC 9000, Section 9. */
static bool is_server_known(const struct mr_rx *rx)
{
    const struct mr_addr *from = &rx->datagram->path.remote;
    const struct mr_conn *conn = rx->conn;

    for (int i = 0; i < MR_SIDES; i++) {
        const struct mr_side_path *side = mr_side(rx->ep, conn, (enum mr_side)i);

        if (side != NULL && memcmp(&side->addr.remote, from, sizeof(*from)) == 0)
            return true;
    }
    return memcmp(&conn->path.addr.remote, from, sizeof(*from)) == 0;
}

/* What a client sent to the address that it has left for the preferred one, and is not late:
 * Section 9.6.2. */
static bool is_at_old_address(const struct mr_rx *rx)
{
    const struct mr_conn *conn = rx->conn;

    return conn->is_on_preferred && rx->space_id == MR_SPACE_APP &&
           memcmp(&rx->datagram->path.local, &conn->path.addr.local,
                  sizeof(conn->path.addr.local)) != 0 &&
           rx->pn > conn->app.received.range[0].hi;
}

bool mr_path_admits(const struct mr_rx *rx)
{
    if (rx->conn->role == MR_CLIENT && !is_server_known(rx)) {
        mr_count(&rx->ep->counters.dropped_unknown_server);
        return false;
    }
    if (rx->conn->role == MR_SERVER && is_at_old_address(rx)) {
        mr_count(&rx->ep->counters.dropped_old_address);
        return false;
    }
    return true;
}

/* ------------------------------------------------------------------ pacing */

void mr_pacer_refresh(struct mr_conn *conn, uint64_t now)
{
    struct mr_path *path = &conn->path;

    struct mr_pacer_input input = {.smoothed_ns = path->rtt.smoothed_ns,
                                   .datagram_size = path->mtu,
                                   .is_smooth =
                                       mr_cc_is_smooth(&path->cc) && mr_rtt_has_sample(&path->rtt)};

    input.window = mr_cc_pacing_window(&path->cc, input.smoothed_ns, &input.is_slow_start);
    mr_pacer_update(&path->pacer, &input, now);
}
