/*
 * quic/conn_ack_frequency.c - see conn_ack_frequency.h.
 */
#include "quic/conn_ack_frequency.h"

#include "quic/conn_build.h"
#include "quic/frame_extension.h"

#define ASK_SHARE       8                   /* ACKs in a round trip, at least */
#define DELAY_SHARE     4                   /* of the smoothed round trip */
#define MAX_DELAY_LIMIT (UINT64_C(1) << 14) /* ms: RFC 9000, Section 18.2 */

void mr_ack_frequency_init(struct mr_conn *conn)
{
    conn->ack_policy = (struct mr_ack_policy){.max_delay_ns = MR_ACK_DELAY_MAX_NS,
                                              .largest_sent = MR_PN_NONE,
                                              .after = MR_ACK_AFTER,
                                              .reordering = 1};
    conn->ack_request = (struct mr_ack_request){.review_ns = MR_NEVER, .after = MR_ACK_AFTER};
}

/* ------------------------------------------------------------------ what the peer asks */

bool mr_on_immediate_ack(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    (void)r;
    (void)type;
    mr_count(&rx->ep->counters.immediate_acks_received);
    rx->space->wants |= MR_WANT_ACK;
    return true;
}

bool mr_on_ack_frequency(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    struct mr_conn *conn = rx->conn;
    struct mr_ack_policy *policy = &conn->ack_policy;
    struct mr_frame_ack_frequency frame;

    if (!mr_frame_decode_ack_frequency(r, type, &frame))
        return mr_conn_fail(rx->ep, conn, MR_FRAME_ENCODING_ERROR, type, "malformed ACK_FREQUENCY",
                            rx->now);
    if (frame.max_delay_us >= MAX_DELAY_LIMIT * 1000 || frame.max_delay_us < MR_ACK_DELAY_MIN_US)
        return mr_conn_fail(rx->ep, conn, MR_PROTOCOL_VIOLATION, type,
                            "Requested Max Ack Delay below min_ack_delay, or of 2^14 ms or more",
                            rx->now);
    if (frame.sequence < policy->next_sequence) {
        mr_count(&rx->ep->counters.ack_frequency_obsolete);
        return true;
    }
    policy->next_sequence = frame.sequence + 1;
    policy->after = (uint32_t)MR_MIN(frame.threshold + 1, (uint64_t)MR_ACK_AFTER_MAX);
    policy->reordering = (uint32_t)MR_MIN(frame.reordering, (uint64_t)UINT32_MAX);
    policy->max_delay_ns = frame.max_delay_us * MR_US;
    if (conn->app.ack_deadline_ns != MR_NEVER)
        conn->app.ack_deadline_ns =
            MR_MIN(conn->app.ack_deadline_ns, rx->now + policy->max_delay_ns);
    mr_count(&rx->ep->counters.ack_frequency_received);
    return true;
}

/* An out-of-order packet below everything that the peer could declare lost by our last ACK. */
static bool is_late(const struct mr_ack_policy *policy, uint64_t pn)
{
    return policy->largest_sent != MR_PN_NONE && pn + policy->reordering <= policy->largest_sent;
}

bool mr_ack_wants_now(const struct mr_rx *rx, bool is_next)
{
    const struct mr_ack_policy *policy = &rx->conn->ack_policy;

    if (rx->space_id != MR_SPACE_APP)
        return true;
    if (rx->datagram->ecn == MR_ECN_CE && (policy->after <= MR_ACK_AFTER || !rx->space->was_ce))
        return true;
    if (is_next)
        return false;
    if (rx->space->received.count >= MR_ACK_RANGES_MAX - 1) /* told before one is forgotten */
        return true;
    return policy->reordering == 1 || (policy->reordering > 1 && is_late(policy, rx->pn));
}

MR_COLD bool mr_ack_is_reordering_due(const struct mr_conn *conn)
{
    const struct mr_ack_policy *policy = &conn->ack_policy;
    const struct mr_ack_ranges *received = &conn->app.received;
    uint64_t from = 0; /* the smallest number that may be missing and was not reported */

    if (conn->app.unacked_count == 0)
        return false;
    if (policy->largest_sent != MR_PN_NONE && policy->largest_sent >= policy->reordering)
        from = policy->largest_sent - policy->reordering + 1;
    for (uint32_t i = received->count - 1; i > 0; i--) { /* gaps, the oldest first */
        uint64_t gap_end = received->range[i - 1].lo;

        if (gap_end <= from)
            continue;
        return received->range[0].hi - MR_MAX(from, received->range[i].hi + 1) >=
               policy->reordering;
    }
    return false;
}

/* ------------------------------------------------------------------ what we ask */

void mr_ack_request_begin(struct mr_conn *conn, uint64_t min_delay_us)
{
    conn->ack_request.min_delay_us = (uint32_t)min_delay_us;
    conn->ack_request.delay_us = (uint32_t)(conn->path.rtt.max_ack_delay_ns / MR_US);
    conn->ack_request.own_delay_us = conn->ack_request.delay_us;
    conn->ack_request.review_ns = 0;
}

static uint32_t wanted_after(const struct mr_conn *conn)
{
    const struct mr_cc *cc = &conn->path.cc;
    uint64_t packets = mr_cc_window(cc) / conn->path.mtu;

    if (mr_cc_in_slow_start(cc) || mr_cc_kind_of(cc) == MR_CC_PRAGUE)
        return MR_ACK_AFTER;
    return (uint32_t)MR_MIN(MR_MAX(packets / ASK_SHARE, (uint64_t)MR_ACK_AFTER),
                            (uint64_t)MR_ACK_ASK_MAX);
}

static uint32_t wanted_delay_us(const struct mr_conn *conn)
{
    const struct mr_ack_request *request = &conn->ack_request;
    uint64_t delay_us = conn->path.rtt.smoothed_ns / DELAY_SHARE / MR_US;

    return (uint32_t)MR_MAX(MR_MIN(delay_us, (uint64_t)request->own_delay_us),
                            (uint64_t)request->min_delay_us);
}

static bool differs(uint64_t wanted, uint64_t asked)
{
    return wanted >= 2 * asked || 2 * wanted <= asked;
}

MR_COLD void mr_ack_request_review(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    struct mr_ack_request *request = &conn->ack_request;

    request->review_ns = now + conn->path.rtt.smoothed_ns;
    if (!conn->is_confirmed || request->is_in_flight)
        return;
    uint32_t after = wanted_after(conn);
    /* The delay alone is not worth a frame: with ACKs after 2 packets it seldom counts. */
    if (differs(after, request->after) ||
        (request->after > MR_ACK_AFTER && differs(wanted_delay_us(conn), request->delay_us)))
        mr_conn_want(ep, conn, &conn->app, MR_WANT_ACK_FREQUENCY);
}

void mr_produce_ack_frequency(struct mr_build *b)
{
    struct mr_conn *conn = b->conn;
    struct mr_ack_request *request = &conn->ack_request;
    struct mr_frame_ack_frequency frame = {.sequence = request->next_sequence,
                                           .threshold = wanted_after(conn) - 1,
                                           .max_delay_us = wanted_delay_us(conn),
                                           .reordering = MR_SENT_PACKET_THRESHOLD};

    if (!mr_build_can_record(b) || !mr_frame_write_ack_frequency(&b->w, &frame)) {
        b->is_full = true;
        return;
    }
    mr_build_record(b, MR_SENT_ACK_FREQUENCY, frame.sequence, 0, 0, false);
    request->next_sequence++;
    request->after = (uint16_t)(frame.threshold + 1);
    request->delay_us = (uint32_t)frame.max_delay_us;
    request->is_in_flight = true;
    /* "MUST use the greater of the current max_ack_delay and the value that is in flight" */
    conn->path.rtt.max_ack_delay_ns =
        MR_MAX(conn->path.rtt.max_ack_delay_ns, frame.max_delay_us * MR_US);
    b->space->wants &= ~(uint32_t)MR_WANT_ACK_FREQUENCY;
    mr_count(&b->ep->counters.ack_frequency_sent);
}

void mr_produce_immediate_ack(struct mr_build *b)
{
    if (!mr_build_can_record(b) || !mr_frame_write_immediate_ack(&b->w)) {
        b->is_full = true;
        return;
    }
    mr_build_record(b, MR_SENT_PING, 0, 0, 0, false); /* not sent again, as PING */
    b->space->wants &= ~(uint32_t)MR_WANT_IMMEDIATE_ACK;
}

void mr_ack_request_on_acked(struct mr_conn *conn, uint64_t sequence)
{
    struct mr_ack_request *request = &conn->ack_request;

    if (sequence + 1 != request->next_sequence)
        return; /* a later one was sent, whose value may be larger */
    request->is_in_flight = false;
    conn->path.rtt.max_ack_delay_ns = request->delay_us * MR_US;
}

bool mr_ack_request_on_lost(struct mr_conn *conn, uint64_t sequence)
{
    return sequence + 1 == conn->ack_request.next_sequence && conn->ack_request.is_in_flight;
}
