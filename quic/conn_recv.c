/*
 * quic/conn_recv.c - from an opened packet to its frames.
 *
 * One table says for each frame type in which packets it may come, whether it
 * elicits an acknowledgement, whether it is a probing frame, and who handles it
 * (RFC 9000, Section 12.4, Table 3).  A packet is: checked for duplicates, walked
 * frame by frame, recorded.
 */
#include "quic/conn_ack_frequency.h"
#include "quic/conn_bits.h"
#include "quic/conn_multipath.h"
#include "quic/conn_observed.h"
#include "quic/conn_reset_at.h"
#include "quic/frame_extension.h"

struct frame_rule {
    bool (*handle)(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
    uint8_t packets; /* bits of enum mr_packet_type */
    bool is_ack_eliciting;
    bool is_probing;
    uint8_t extension; /* enum mr_extension that it belongs to; 0: RFC 9000 */
};

enum {
    I = 1 << MR_PACKET_INITIAL,
    Z = 1 << MR_PACKET_ZERO_RTT,
    H = 1 << MR_PACKET_HANDSHAKE,
    A = 1 << MR_PACKET_ONE_RTT
};

/* clang-format off */
static const struct frame_rule frame_rules[] = {
    /*                                   handler                      packets        eliciting probing */
    [MR_FRAME_PADDING]               = { mr_on_padding,               I | H | Z | A, false,    true  },
    [MR_FRAME_PING]                  = { mr_on_ping,                  I | H | Z | A, true,     false },
    [MR_FRAME_ACK]                   = { mr_on_ack,                   I | H     | A, false,    false },
    [MR_FRAME_ACK_ECN]               = { mr_on_ack,                   I | H     | A, false,    false },
    [MR_FRAME_RESET_STREAM]          = { mr_on_reset_stream,                  Z | A, true,     false },
    [MR_FRAME_STOP_SENDING]          = { mr_on_stop_sending,                  Z | A, true,     false },
    [MR_FRAME_CRYPTO]                = { mr_on_crypto,                I | H     | A, true,     false },
    [MR_FRAME_NEW_TOKEN]             = { mr_on_new_token,                         A, true,     false },
    [MR_FRAME_STREAM]                = { mr_on_stream,                        Z | A, true,     false },
    [MR_FRAME_STREAM + 1]            = { mr_on_stream,                        Z | A, true,     false },
    [MR_FRAME_STREAM + 2]            = { mr_on_stream,                        Z | A, true,     false },
    [MR_FRAME_STREAM + 3]            = { mr_on_stream,                        Z | A, true,     false },
    [MR_FRAME_STREAM + 4]            = { mr_on_stream,                        Z | A, true,     false },
    [MR_FRAME_STREAM + 5]            = { mr_on_stream,                        Z | A, true,     false },
    [MR_FRAME_STREAM + 6]            = { mr_on_stream,                        Z | A, true,     false },
    [MR_FRAME_STREAM + 7]            = { mr_on_stream,                        Z | A, true,     false },
    [MR_FRAME_MAX_DATA]              = { mr_on_max_data,                      Z | A, true,     false },
    [MR_FRAME_MAX_STREAM_DATA]       = { mr_on_max_stream_data,               Z | A, true,     false },
    [MR_FRAME_MAX_STREAMS_BIDI]      = { mr_on_max_streams,                   Z | A, true,     false },
    [MR_FRAME_MAX_STREAMS_UNI]       = { mr_on_max_streams,                   Z | A, true,     false },
    [MR_FRAME_DATA_BLOCKED]          = { mr_on_data_blocked,                  Z | A, true,     false },
    [MR_FRAME_STREAM_DATA_BLOCKED]   = { mr_on_stream_data_blocked,           Z | A, true,     false },
    [MR_FRAME_STREAMS_BLOCKED_BIDI]  = { mr_on_streams_blocked,               Z | A, true,     false },
    [MR_FRAME_STREAMS_BLOCKED_UNI]   = { mr_on_streams_blocked,               Z | A, true,     false },
    [MR_FRAME_NEW_CONNECTION_ID]     = { mr_on_new_connection_id,             Z | A, true,     true  },
    [MR_FRAME_RETIRE_CONNECTION_ID]  = { mr_on_retire_connection_id,              A, true,     false },
    [MR_FRAME_PATH_CHALLENGE]        = { mr_on_path_challenge,                Z | A, true,     true  },
    [MR_FRAME_PATH_RESPONSE]         = { mr_on_path_response,                     A, true,     true  },
    [MR_FRAME_CONNECTION_CLOSE]      = { mr_on_connection_close,      I | H | Z | A, false,    false },
    [MR_FRAME_CONNECTION_CLOSE_APP]  = { mr_on_connection_close,              Z | A, false,    false },
    [MR_FRAME_HANDSHAKE_DONE]        = { mr_on_handshake_done,                    A, true,     false },
    [MR_FRAME_IMMEDIATE_ACK]         = { mr_on_immediate_ack,                     A, true,     false, MR_EXTENSION_ACK_FREQUENCY },
    [MR_FRAME_RESET_STREAM_AT]       = { mr_on_reset_stream_at,               Z | A, true,     false, MR_EXTENSION_RESET_STREAM_AT },
    [MR_FRAME_PATH_ACK]              = { mr_on_path_ack,                          A, false,    false, MR_EXTENSION_MULTIPATH },
    [MR_FRAME_PATH_ACK_ECN]          = { mr_on_path_ack,                          A, false,    false, MR_EXTENSION_MULTIPATH },
    [MR_FRAME_DATAGRAM]              = { mr_on_datagram,                      Z | A, true,     false },
    [MR_FRAME_DATAGRAM_LEN]          = { mr_on_datagram,                      Z | A, true,     false },
};

/* Those of types beyond the table. */
static const struct far_rule {
    uint64_t type;
    struct frame_rule rule;
} far_rules[] = {
    { MR_FRAME_OBSERVED_ADDRESS_4,     { mr_on_observed_address,              Z | A, true,     true,  0 } },
    { MR_FRAME_OBSERVED_ADDRESS_6,     { mr_on_observed_address,              Z | A, true,     true,  0 } },
    { MR_FRAME_ACK_FREQUENCY,          { mr_on_ack_frequency,                     A, true,     false, MR_EXTENSION_ACK_FREQUENCY } },
    { MR_FRAME_PATH_ABANDON,           { mr_on_path_abandon,                      A, true,     false, MR_EXTENSION_MULTIPATH } },
    { MR_FRAME_PATH_STATUS_BACKUP,     { mr_on_path_status,                       A, true,     false, MR_EXTENSION_MULTIPATH } },
    { MR_FRAME_PATH_STATUS_AVAILABLE,  { mr_on_path_status,                       A, true,     false, MR_EXTENSION_MULTIPATH } },
    { MR_FRAME_PATH_NEW_CONNECTION_ID, { mr_on_path_new_connection_id,            A, true,     true,  MR_EXTENSION_MULTIPATH } },
    { MR_FRAME_PATH_RETIRE_CONNECTION_ID, { mr_on_path_retire_connection_id,      A, true,     false, MR_EXTENSION_MULTIPATH } },
    { MR_FRAME_MAX_PATH_ID,            { mr_on_max_path_id,                       A, true,     false, MR_EXTENSION_MULTIPATH } },
    { MR_FRAME_PATHS_BLOCKED,          { mr_on_paths_blocked,                     A, true,     false, MR_EXTENSION_MULTIPATH } },
    { MR_FRAME_PATH_CIDS_BLOCKED,      { mr_on_path_cids_blocked,                 A, true,     false, MR_EXTENSION_MULTIPATH } },
};
/* clang-format on */

MR_COLD static const struct frame_rule *find_far(uint64_t type)
{
    for (size_t i = 0; i < MR_COUNT_OF(far_rules); i++)
        if (far_rules[i].type == type)
            return &far_rules[i].rule;
    return NULL;
}

/* The rule of a type; NULL: unknown, or of an extension that we do not offer. */
static const struct frame_rule *find_rule(const struct mr_endpoint *ep, uint64_t type)
{
    const struct frame_rule *rule =
        type < MR_COUNT_OF(frame_rules) ? &frame_rules[type] : find_far(type);

    if (rule == NULL || rule->handle == NULL || (rule->extension & ~ep->config.extensions) != 0)
        return NULL;
    return rule;
}

/* One frame.  False: stop, the connection failed or is closing. */
static bool handle_frame(struct mr_rx *rx, struct mr_reader *r)
{
    uint64_t type;
    enum mr_frame_type_verdict verdict = mr_frame_read_type(r, &type);

    if (verdict != MR_FRAME_TYPE_OK)
        return mr_conn_fail(rx->ep, rx->conn,
                            verdict == MR_FRAME_TYPE_TRUNCATED ? MR_FRAME_ENCODING_ERROR
                                                               : MR_PROTOCOL_VIOLATION,
                            type, "frame type cut off or not in its shortest form", rx->now);
    const struct frame_rule *rule = find_rule(rx->ep, type);
    if (rule == NULL)
        return mr_conn_fail(rx->ep, rx->conn, MR_FRAME_ENCODING_ERROR, type, "unknown frame type",
                            rx->now);

    if ((rule->packets & 1u << rx->type) == 0)
        return mr_conn_fail(rx->ep, rx->conn, MR_PROTOCOL_VIOLATION, type,
                            "frame not allowed in this packet type", rx->now);
    rx->is_ack_eliciting |= rule->is_ack_eliciting;
    rx->is_probing &= rule->is_probing;
    return rule->handle(rx, r, type);
}

static bool handle_frames(struct mr_rx *rx, const uint8_t *payload, size_t size)
{
    struct mr_reader r = mr_reader(payload, size);

    if (size == 0)
        return mr_conn_fail(rx->ep, rx->conn, MR_PROTOCOL_VIOLATION, 0, "packet without frames",
                            rx->now);
    while (mr_reader_left(&r) > 0 && !rx->is_refused) {
        if (!handle_frame(rx, &r))
            return false;
    }
    return true;
}

/* Count duplicates and numbers too old; true: go on. */
static bool check_duplicate(struct mr_rx *rx)
{
    switch (mr_ack_ranges_test(&rx->space->received, rx->pn)) {
    case MR_ACK_NEW:
        return true;
    case MR_ACK_DUPLICATE:
        mr_count(&rx->ep->counters.dropped_duplicate);
        return false;
    default:
        mr_count(&rx->ep->counters.dropped_too_old);
        return false;
    }
}

static void count_ecn(struct mr_rx *rx)
{
    struct mr_ecn_counts *ecn = &rx->space->ecn;

    switch (rx->datagram->ecn) {
    case MR_ECN_ECT0:
        ecn->ect0++;
        break;
    case MR_ECN_ECT1:
        ecn->ect1++;
        break;
    case MR_ECN_CE:
        ecn->ce++;
        mr_count(&rx->ep->counters.ecn_ce_received);
        break;
    default:
        return;
    }
    rx->space->has_ecn = true;
}

/* A number that does not follow the largest: an older range may have to give way. */
MR_COLD static void remember_apart(struct mr_rx *rx)
{
    uint64_t floor = rx->space->received.floor;

    mr_ack_ranges_add(&rx->space->received, rx->pn);
    if (rx->space->received.floor != floor)
        mr_count(&rx->ep->counters.limit_ack_ranges);
}

/* The packet is processed: remember its number, and what it asks of our ACKs. */
static void record(struct mr_rx *rx, uint8_t first_byte)
{
    struct mr_pn_space *space = rx->space;
    bool is_first = space->received.count == 0;
    uint64_t largest = is_first ? 0 : space->received.range[0].hi;
    bool is_next = is_first || rx->pn == largest + 1;

    if (is_next)
        mr_ack_ranges_add(&space->received, rx->pn);
    else
        remember_apart(rx);
    if (is_first || rx->pn > largest) {
        space->largest_at_ns = rx->now;
        if (rx->type == MR_PACKET_ONE_RTT && !rx->is_other_path)
            mr_spin_follow(rx->conn, first_byte);
    }
    count_ecn(rx);
    rx->conn->last_received_ns = rx->conn->idle_base_ns = rx->now;
    mr_count(&rx->ep->counters.packets_received);
    bool is_now = mr_ack_wants_now(rx, is_next);
    space->was_ce = rx->datagram->ecn == MR_ECN_CE;
    if (!rx->is_ack_eliciting)
        return;

    if (space->unacked_count < UINT16_MAX)
        space->unacked_count++;
    if (is_now)
        space->wants |= MR_WANT_ACK;
    if (space->ack_deadline_ns == MR_NEVER)
        space->ack_deadline_ns = rx->now + rx->conn->ack_policy.max_delay_ns;
}

void mr_conn_receive(struct mr_rx *rx, uint8_t first_byte, const uint8_t *payload, size_t size)
{
    struct mr_conn *conn = rx->conn;

    mr_conn_touch(rx->ep, conn);
    if (!mr_conn_is_alive(conn)) {
        mr_conn_on_closing_packet(rx->ep, conn);
        return;
    }
    rx->is_other_path = !mr_path_addr_equal(&rx->datagram->path, &conn->path.addr);
    if (rx->is_other_path && !mr_path_admits(rx))
        return;
    if (!check_duplicate(rx)) {
        if (mr_conn_is_traced(conn))
            mr_trace_dropped(rx->ep, conn,
                             (struct mr_trace_drop){.type = (uint8_t)rx->type,
                                                    .trigger = MR_TRACE_DUPLICATE,
                                                    .has_number = true,
                                                    .number = rx->pn});
        return;
    }
    if (mr_conn_is_traced(conn))
        mr_trace_received(rx, first_byte, payload, size);
    if (mr_packet_has_reserved_bits(first_byte)) {
        mr_conn_fail(rx->ep, conn, MR_PROTOCOL_VIOLATION, 0, "reserved header bits are not zero",
                     rx->now);
        return;
    }
    rx->is_probing = true;
    if (!handle_frames(rx, payload, size))
        return;
    if (rx->is_refused) {
        mr_count(&rx->ep->counters.stream_data_dropped);
        return;
    }
    record(rx, first_byte);
    if (rx->is_other_path)
        mr_path_on_packet(rx);
}

void mr_conn_decide_ack(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    const struct mr_ack_policy *policy = &conn->ack_policy;
    struct mr_pn_space *app = &conn->app;

    if (app->unacked_count >= policy->after || app->ack_deadline_ns <= now ||
        (policy->reordering > 1 && app->received.count > 1 && mr_ack_is_reordering_due(conn)))
        app->wants |= MR_WANT_ACK;
    if (app->wants != 0)
        mr_conn_wake(ep, conn);

    struct mr_handshake *hs = mr_conn_handshake(ep, conn);
    if (hs != NULL &&
        hs->is_handshake_sent) /* RFC 9001, Section 4.9.1: a client's Initial keys are done with */
        mr_conn_discard_space(ep, conn, MR_SPACE_INITIAL, now);
    if (hs != NULL && (hs->space[0].wants | hs->space[1].wants) != 0)
        mr_conn_wake(ep, conn);
}
