/*
 * tests/conformance/test_rfc9221.c - RFC 9221: DATAGRAM frames negotiated, sent, received, lost.
 */
#include <errno.h>

#include "tests/support/peer_cases.h"

#define S MR_SERVER
#define C MR_CLIENT

static const uint8_t bytes[2000] = {'m', 'i', 'l', 'l'};

/* A pair where the endpoint under test takes frames of `ours` bytes, its partner of `theirs`. */
static struct peer *pair(enum mr_role role, uint32_t ours, uint32_t theirs, enum peer_stage stage)
{
    struct peer_options options = {
        .under_test = role, .datagram_max = ours, .partner_datagram_max = theirs};
    struct peer *p = peer_new(&options);

    peer_run(p, stage);
    return p;
}

static int send(struct peer *p, size_t size)
{
    struct mr_view view = {.data = bytes, .size = size};
    int answer = mr_conn_send_datagram(peer_endpoint(p), p->conn, &view, 1);

    mr_endpoint_check(peer_endpoint(p));
    return answer;
}

static int64_t receive(struct peer *p, uint8_t *dst, size_t room)
{
    int64_t answer = mr_conn_receive_datagram(peer_endpoint(p), p->conn, dst, room);

    mr_endpoint_check(peer_endpoint(p));
    return answer;
}

static struct mr_conn_info info_of(struct peer *p)
{
    struct mr_conn_info info;

    CU_ASSERT_EQUAL(mr_conn_info(peer_endpoint(p), p->conn, &info), 0);
    return info;
}

/* Data of DATAGRAM frame number `nth` that the endpoint under test has sent; -1: there is none. */
static int64_t sent_size(const struct peer *p, uint32_t nth, const struct peer_packet **packet_out)
{
    struct mr_reader r;
    struct mr_frame_datagram frame;
    const struct peer_packet *packet = peer_find(p, MR_FRAME_DATAGRAM_LEN, nth, &r);

    if (packet_out != NULL)
        *packet_out = packet;
    if (packet == NULL || !mr_frame_decode_datagram(&r, MR_FRAME_DATAGRAM_LEN, &frame))
        return -1;
    CU_ASSERT_EQUAL(memcmp(frame.data, bytes, frame.size), 0);
    return (int64_t)frame.size;
}

/* ------------------------------------------------------------------ the whole */

/* Everything that `side` has to read goes back to where it came from. */
static void echo(struct peer_side *side)
{
    struct mr_conn *conn = mr_conn_at(side->ep, 0);
    mr_handle handle = mr_conn_handle(conn);
    uint8_t data[1500];
    int64_t size;

    while ((size = mr_conn_receive_datagram(side->ep, handle, data, sizeof(data))) >= 0) {
        struct mr_view view = {.data = data, .size = (size_t)size};

        CU_ASSERT_EQUAL(mr_conn_send_datagram(side->ep, handle, &view, 1), 0);
    }
    CU_ASSERT_EQUAL(size, -EAGAIN);
}

static void two_endpoints_echo(enum mr_role role)
{
    struct peer *p = pair(role, UINT16_MAX, UINT16_MAX, PEER_BOTH);
    uint32_t max = info_of(p).datagram_max;
    const size_t sizes[] = {max, 0, 4, 1000};
    uint8_t data[1500];

    CU_ASSERT_EQUAL(send(p, max + 1), -EMSGSIZE);
    for (size_t i = 0; i < MR_COUNT_OF(sizes); i++)
        CU_ASSERT_EQUAL(send(p, sizes[i]), 0);
    peer_round_trip(p);
    echo(&p->side[!role]);
    CU_ASSERT_PTR_NULL(peer_event(p, MR_EVENT_DATAGRAM));
    peer_round_trip(p);

    CU_ASSERT_PTR_NOT_NULL(peer_event(p, MR_EVENT_DATAGRAM));
    for (size_t i = 0; i < MR_COUNT_OF(sizes); i++) {
        if (sizes[i] > 0)
            CU_ASSERT_EQUAL(receive(p, data, sizes[i] - 1), -ENOBUFS);
        CU_ASSERT_EQUAL(receive(p, data, sizes[i]), (int64_t)sizes[i]);
        CU_ASSERT_EQUAL(memcmp(data, bytes, sizes[i]), 0);
    }
    CU_ASSERT_EQUAL(receive(p, data, sizeof(data)), -EAGAIN);
    CU_ASSERT_EQUAL(peer_counters(p)->datagram_frames_sent, 4);
    CU_ASSERT_EQUAL(peer_counters(p)->datagram_frames_received, 4);
    CU_ASSERT_EQUAL(peer_counters(p)->datagram_frames_lost, 0);
    peer_end(p);
}

static void datagrams_are_echoed_and_too_large_ones_refused(void)
{
    two_endpoints_echo(C);
    two_endpoints_echo(S);
}

static void the_largest_datagram_fills_a_packet(void)
{
    struct peer *p = pair(S, UINT16_MAX, UINT16_MAX, PEER_DONE);
    uint32_t max = info_of(p).datagram_max;
    const struct peer_packet *packet;

    /* header 1 + 8, packet number at most 4, frame 1 + 2, tag 16 */
    CU_ASSERT_EQUAL(max, peer_conn(p)->path.mtu - 13 - 3 - 16);
    CU_ASSERT_EQUAL(send(p, max), 0);
    peer_drain(p);
    CU_ASSERT_EQUAL(sent_size(p, 0, &packet), max);
    CU_ASSERT_TRUE(packet->datagram_size <= peer_conn(p)->path.mtu);
    CU_ASSERT_TRUE(packet->datagram_size + 4 > peer_conn(p)->path.mtu);
    peer_end(p);
}

/* What an application learns of the connection beside. */
static void the_name_and_the_stream_limits_are_shown(void)
{
    for (int role = 0; role < 2; role++) {
        struct peer *p = peer_at((enum mr_role)role, PEER_DONE);

        CU_ASSERT_STRING_EQUAL(info_of(p).server_name, "localhost");
        CU_ASSERT_STRING_EQUAL(info_of(p).alpn, "peer");
        CU_ASSERT_EQUAL(info_of(p).streams_bidi_limit, 8);
        CU_ASSERT_EQUAL(info_of(p).streams_uni_limit, 3);
        PEER_SEND(p, "\x12\x40\x70\x13\x0c");
        CU_ASSERT_EQUAL(info_of(p).streams_bidi_limit, 0x70);
        CU_ASSERT_EQUAL(info_of(p).streams_uni_limit, 12);
        CU_ASSERT_EQUAL(info_of(p).datagram_max, 0);
        peer_end(p);
    }
}

/* ------------------------------------------------------------------ Section 3 */

/* "An endpoint MUST NOT send DATAGRAM frames until it has received the max_datagram_frame_size
 * transport parameter with a non-zero value during the handshake"
 * RFC 9000, Section 19.21: "An extension to QUIC that wishes to use a new type of frame MUST first
 * ensure that a peer is able to understand the frame." */
static void nothing_is_sent_to_a_peer_that_takes_none(void)
{
    struct peer *p = pair(C, UINT16_MAX, 0, PEER_DONE);

    CU_ASSERT_EQUAL(info_of(p).datagram_max, 0);
    CU_ASSERT_EQUAL(send(p, 0), -EOPNOTSUPP);
    CU_ASSERT_EQUAL(send(p, 10), -EOPNOTSUPP);
    peer_drain(p);
    CU_ASSERT_EQUAL(p->inbox_count, 0);
    peer_end(p);

    p = pair(C, UINT16_MAX, UINT16_MAX, PEER_HELLO); /* nothing of the server's has arrived */
    CU_ASSERT_EQUAL(send(p, 10), -EOPNOTSUPP);
    peer_end(p);
}

/* "An endpoint MUST NOT send DATAGRAM frames that are larger than the max_datagram_frame_size value
 * it has received from its peer."  The size is that "of a DATAGRAM frame (including the frame type,
 * length, and payload)". */
static void no_frame_is_larger_than_the_peer_takes(void)
{
    static const struct {
        uint32_t frame_max;
        uint32_t payload_max;
    } cases[] = {{3, 1}, {10, 8}, {65, 63}, {66, 63}, {67, 64}, {1000, 997}};

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct peer *p = pair(S, 0, cases[i].frame_max, PEER_DONE);

        CU_ASSERT_EQUAL(info_of(p).datagram_max, cases[i].payload_max);
        CU_ASSERT_EQUAL(send(p, cases[i].payload_max + 1), -EMSGSIZE);
        CU_ASSERT_EQUAL(send(p, cases[i].payload_max), 0);
        peer_drain(p);
        CU_ASSERT_EQUAL(sent_size(p, 0, NULL), cases[i].payload_max);
        peer_end(p);
    }

    /* an empty one with its Length has two bytes */
    struct peer *p = pair(S, 0, 2, PEER_DONE);
    CU_ASSERT_EQUAL(send(p, 0), 0);
    CU_ASSERT_EQUAL(send(p, 1), -EMSGSIZE);
    peer_end(p);
    p = pair(S, 0, 1, PEER_DONE);
    CU_ASSERT_EQUAL(send(p, 0), -EMSGSIZE);
    peer_end(p);
}

/* "An endpoint that receives a DATAGRAM frame when it has not indicated support via the transport
 * parameter MUST terminate the connection with an error of type PROTOCOL_VIOLATION." */
static void frames_that_were_not_negotiated_end_the_connection(void)
{
    static const struct peer_case cases[] = {
        {"DATAGRAM to a server", S, PEER_DONE, MR_PACKET_ONE_RTT, PEER_BYTES("\x30x"),
         MR_PROTOCOL_VIOLATION, 0x30},
        {"DATAGRAM to a client", C, PEER_DONE, MR_PACKET_ONE_RTT, PEER_BYTES("\x30x"),
         MR_PROTOCOL_VIOLATION, 0x30},
        {"DATAGRAM with Length", S, PEER_DONE, MR_PACKET_ONE_RTT, PEER_BYTES("\x31\x01x"),
         MR_PROTOCOL_VIOLATION, 0x31},
        {"empty DATAGRAM", S, PEER_DONE, MR_PACKET_ONE_RTT, PEER_BYTES("\x30"),
         MR_PROTOCOL_VIOLATION, 0x30},
        {"cut DATAGRAM", S, PEER_DONE, MR_PACKET_ONE_RTT, PEER_BYTES("\x31\x05x"),
         MR_PROTOCOL_VIOLATION, 0x31},
    };

    peer_run_cases(cases, MR_COUNT_OF(cases));
}

/* "Similarly, an endpoint that receives a DATAGRAM frame that is larger than the value it sent in
 * its max_datagram_frame_size transport parameter MUST terminate the connection with an error of
 * type PROTOCOL_VIOLATION." */
static void frames_larger_than_we_said_end_the_connection(void)
{
    static const struct {
        const char *name;
        const char *frames;
        size_t size;
        uint64_t error;
    } cases[] = {
        {"6 bytes", PEER_BYTES("\x30hello"), PEER_NO_CLOSE},
        {"7 bytes", PEER_BYTES("\x30hello!"), MR_PROTOCOL_VIOLATION},
        {"6 bytes with Length", PEER_BYTES("\x31\x04mill"), PEER_NO_CLOSE},
        {"7 bytes with Length", PEER_BYTES("\x31\x05hello"), MR_PROTOCOL_VIOLATION},
        {"7 bytes with a long Length", PEER_BYTES("\x31\x40\x04mill"), MR_PROTOCOL_VIOLATION},
        {"twice 6 bytes", PEER_BYTES("\x31\x04mill\x31\x04race"), PEER_NO_CLOSE},
        {"cut off", PEER_BYTES("\x31\x05mill"), MR_FRAME_ENCODING_ERROR},
        {"cut off, and too large", PEER_BYTES("\x31\x07hello"), MR_FRAME_ENCODING_ERROR},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct peer *p = pair(i % 2 == 0 ? S : C, 6, 0, PEER_DONE);

        peer_send(p, MR_PACKET_ONE_RTT, cases[i].frames, cases[i].size);
        peer_expect_close(p, cases[i].name, cases[i].error, (uint8_t)cases[i].frames[0]);
        peer_end(p);
    }
}

/* "The max_datagram_frame_size transport parameter is a unidirectional limit and indication of
 * support of DATAGRAM frames." */
static void each_direction_is_negotiated_for_itself(void)
{
    struct peer *p = pair(S, 100, 0, PEER_DONE);
    uint8_t data[8];

    PEER_SEND(p, "\x30mill");
    CU_ASSERT_EQUAL(receive(p, data, sizeof(data)), 4);
    CU_ASSERT_EQUAL(send(p, 4), -EOPNOTSUPP);
    peer_end(p);

    p = pair(S, 0, 100, PEER_DONE);
    CU_ASSERT_EQUAL(send(p, 4), 0);
    PEER_SEND(p, "\x30mill");
    peer_expect_close(p, "one direction only", MR_PROTOCOL_VIOLATION, 0x30);
    peer_end(p);
}

/* ------------------------------------------------------------------ Sections 4 and 5 */

/* Section 4: "When the LEN bit is set to 0, the Datagram Data field extends to the end of the QUIC
 * packet.  Note that empty (i.e., zero-length) datagrams are allowed." */
static void frames_of_both_forms_are_delivered_in_order(void)
{
    struct peer *p = pair(S, UINT16_MAX, 0, PEER_DONE);
    uint8_t data[16];

    PEER_SEND(p, "\x31\x01x\x31\x00\x01\x30the rest\x01");
    CU_ASSERT_EQUAL(receive(p, data, sizeof(data)), 1);
    CU_ASSERT_EQUAL(receive(p, NULL, 0), 0);
    CU_ASSERT_EQUAL(receive(p, data, sizeof(data)), 9);
    CU_ASSERT_EQUAL(memcmp(data, "the rest\x01", 9), 0);
    CU_ASSERT_EQUAL(receive(p, data, sizeof(data)), -EAGAIN);
    PEER_SEND(p, "\x30");
    CU_ASSERT_EQUAL(receive(p, data, sizeof(data)), 0);
    peer_end(p);
}

static void the_event_comes_on_the_edge(void)
{
    struct peer *p = pair(S, UINT16_MAX, 0, PEER_DONE);

    PEER_SEND(p, "\x30one");
    CU_ASSERT_EQUAL(p->event_count, 1);
    CU_ASSERT_EQUAL(p->events[0].event.kinds, MR_EVENT_DATAGRAM);
    CU_ASSERT_EQUAL(p->events[0].event.conn, p->conn);
    CU_ASSERT_EQUAL(p->events[0].event.stream, MR_HANDLE_NONE);
    PEER_SEND(p, "\x30two");
    CU_ASSERT_EQUAL(p->event_count, 1);
    uint8_t data[8];
    receive(p, data, 8);
    PEER_SEND(p, "\x30three");
    CU_ASSERT_EQUAL(p->event_count, 1);
    receive(p, data, 8);
    receive(p, data, 8);
    PEER_SEND(p, "\x30"
                 "four");
    CU_ASSERT_EQUAL(p->event_count, 2);
    peer_end(p);
}

/* Section 5: "Like STREAM frames, DATAGRAM frames contain application data and MUST be protected
 * with either 0-RTT or 1-RTT keys."  "All application data transmitted with the DATAGRAM frame,
 * like the STREAM frame, MUST be protected either by 0-RTT or 1-RTT keys." (Section 6) */
static void frames_in_other_packets_are_refused(void)
{
    static const struct {
        const char *name;
        enum mr_role role;
        enum peer_stage stage;
        enum mr_packet_type type;
    } cases[] = {{"Initial", S, PEER_HELLO, MR_PACKET_INITIAL},
                 {"Handshake", S, PEER_FLIGHT, MR_PACKET_HANDSHAKE},
                 {"Handshake, client", C, PEER_FLIGHT, MR_PACKET_HANDSHAKE}};

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct peer *p = pair(cases[i].role, UINT16_MAX, UINT16_MAX, cases[i].stage);

        peer_clear(p);
        peer_send(p, cases[i].type, "\x30x", 2);
        peer_expect_close(p, cases[i].name, MR_PROTOCOL_VIOLATION, 0x30);
        peer_end(p);
    }
}

/* Ours wait for 1-RTT keys, too.  "All application data transmitted with the DATAGRAM frame, like
 * the STREAM frame, MUST be protected either by 0-RTT or 1-RTT keys." (Section 6) */
static void datagrams_go_into_1rtt_packets_only(void)
{
    struct peer *p = pair(C, 0, UINT16_MAX, PEER_FLIGHT);
    const struct peer_packet *packet;

    CU_ASSERT_EQUAL(send(p, 4), 0);
    peer_drain(p);
    CU_ASSERT_EQUAL(sent_size(p, 0, &packet), 4);
    CU_ASSERT_EQUAL(packet->type, MR_PACKET_ONE_RTT);
    peer_end(p);
}

/* Section 5: "it SHOULD deliver the data to the application immediately, as long as it is able to
 * process the frame and can store the contents in memory."  Section 5.3: "they MAY be dropped by
 * the receiver if the receiver cannot process them." */
static void what_a_slow_application_leaves_is_dropped_and_acknowledged(void)
{
    struct peer *p = pair(S, UINT16_MAX, 0, PEER_DONE);
    static uint8_t frame[1001] = {MR_FRAME_DATAGRAM};
    uint8_t data[1000];

    for (int i = 0; i < 12; i++) { /* 8 chunks of 1,016 bytes take 8 of 1,002 */
        frame[1] = (uint8_t)i;
        peer_send(p, MR_PACKET_ONE_RTT, frame, sizeof(frame));
    }
    CU_ASSERT_EQUAL(peer_counters(p)->datagram_frames_received, 12);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_datagrams_received, 4);
    CU_ASSERT_TRUE(peer_conn(p)->app.received.range[0].hi + 1 == p->next_pn[MR_SPACE_APP]);
    CU_ASSERT_EQUAL(peer_conn(p)->app.received.count, 1);
    for (int i = 0; i < 8; i++) { /* the oldest stay */
        CU_ASSERT_EQUAL(receive(p, data, sizeof(data)), 1000);
        CU_ASSERT_EQUAL(data[0], i);
    }
    CU_ASSERT_EQUAL(receive(p, data, sizeof(data)), -EAGAIN);
    peer_end(p);
}

static void an_empty_pool_drops_and_refuses(void)
{
    struct peer *p = pair(S, UINT16_MAX, UINT16_MAX, PEER_DONE);
    struct mr_pool *pool = &peer_endpoint(p)->datagram_chunks;
    uint32_t hoard[16];
    uint32_t count = 0;

    while (mr_pool_free_count(pool) > 0)
        hoard[count++] = mr_pool_get(pool);
    PEER_SEND(p, "\x30x");
    CU_ASSERT_EQUAL(send(p, 4), -ENOMEM);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_datagram_chunks, 2);
    CU_ASSERT_PTR_NULL(peer_event(p, MR_EVENT_DATAGRAM));
    while (count > 0)
        mr_pool_put(pool, hoard[--count]);
    CU_ASSERT_EQUAL(send(p, 4), 0);
    peer_end(p);
}

/* Section 5.2: "Although DATAGRAM frames are not retransmitted upon loss detection, they are
 * ack-eliciting.  Receivers SHOULD support delaying ACK frames (within the limits specified by
 * max_ack_delay) in response to receiving packets that only contain DATAGRAM frames"
 * RFC 9000, Section 19.21: "Extension frames MUST be congestion controlled and MUST cause an ACK
 * frame to be sent." */
static void datagrams_are_acknowledged_late(void)
{
    struct peer *p = pair(S, UINT16_MAX, 0, PEER_DONE);

    PEER_SEND(p, "\x30x");
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_ACK), 0);
    peer_advance(p, 26 * MR_MS);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_ACK), 1);
    peer_clear(p);
    PEER_SEND(p, "\x30x");
    PEER_SEND(p, "\x30x");
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_ACK), 1);
    peer_end(p);
}

/* Send one datagram in a packet of its own; the packet's number. */
static uint64_t send_alone(struct peer *p)
{
    const struct peer_packet *packet;

    peer_clear(p);
    CU_ASSERT_EQUAL(send(p, 100), 0);
    peer_drain(p);
    CU_ASSERT_EQUAL(sent_size(p, 0, &packet), 100);
    return packet->pn;
}

static void a_lost_datagram_is_counted_and_not_sent_again(void)
{
    struct peer *p = pair(S, 0, UINT16_MAX, PEER_DONE);
    uint64_t lost = send_alone(p);

    for (int i = 0; i < 3; i++)
        send_alone(p);
    peer_clear(p);
    peer_ack(p, lost + 1, lost + 3);
    CU_ASSERT_EQUAL(peer_counters(p)->packets_lost, 1);
    CU_ASSERT_EQUAL(peer_counters(p)->datagram_frames_lost, 1);
    peer_advance(p, 3 * MR_SECOND);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_DATAGRAM_LEN), 0);
    CU_ASSERT_EQUAL(peer_counters(p)->datagram_frames_sent, 4);
    peer_end(p);
}

/* Section 5.2: "when a sender suspects that a packet containing only DATAGRAM frames has been lost,
 * it sends probe packets to elicit a faster acknowledgement" */
static void a_silent_peer_is_probed_without_the_datagram(void)
{
    struct peer *p = pair(S, 0, UINT16_MAX, PEER_DONE);

    send_alone(p);
    peer_clear(p);
    peer_advance(p, 400 * MR_MS);
    CU_ASSERT_TRUE(peer_counters(p)->ptos > 0);
    CU_ASSERT_TRUE(peer_count(p, MR_FRAME_PING) > 0);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_DATAGRAM_LEN), 0);
    CU_ASSERT_EQUAL(peer_counters(p)->datagram_frames_lost, 0); /* not yet known to be */
    peer_end(p);
}

/* Section 5.3: "DATAGRAM frames do not provide any explicit flow control signaling and do not
 * contribute to any per-flow or connection-wide data limit." */
static void datagrams_take_no_credit(void)
{
    struct peer *p = pair(S, UINT16_MAX, UINT16_MAX, PEER_DONE);
    uint64_t used = peer_conn(p)->flow_send.used;
    uint64_t received = peer_conn(p)->flow_recv.received;

    send_alone(p);
    PEER_SEND(p, "\x30hello");
    CU_ASSERT_EQUAL(peer_conn(p)->flow_send.used, used);
    CU_ASSERT_EQUAL(peer_conn(p)->flow_recv.received, received);
    peer_end(p);
}

/* Section 5.4: "The sender MUST either delay sending the frame until the controller allows it or
 * drop the frame without sending it"
 * RFC 9000, Section 19.21: "Extension frames MUST be congestion controlled and MUST cause an ACK
 * frame to be sent."
 * RFC 9002, Section 7: "An endpoint MUST NOT send a packet if it would cause bytes_in_flight (see
 * Appendix B.2) to be larger than the congestion window" */
static void a_full_window_holds_datagrams_back(void)
{
    struct peer *p = pair(S, 0, UINT16_MAX, PEER_DONE);
    uint32_t sent = 0;
    int answer;

    while (sent < 200 && (answer = send(p, 1000)) == 0) {
        sent++;
        peer_drain(p);
        CU_ASSERT_TRUE(peer_conn(p)->path.cc.in_flight <= mr_cc_window(&peer_conn(p)->path.cc));
        if (peer_conn(p)->pacing_until_ns != MR_NEVER)
            peer_advance(p, MR_MS);
    }
    CU_ASSERT_EQUAL(answer, -EAGAIN);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_datagrams_sent, 1);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_DATAGRAM_LEN), sent - 8); /* 8 wait: the queue's limit */
    CU_ASSERT_PTR_NULL(peer_event(p, MR_EVENT_WRITABLE));

    /* an acknowledgement opens the window, the rest goes out, and the application is told */
    peer_ack(p, 0, mr_sent_next(&peer_conn(p)->app.sent) - 1);
    peer_advance(p, 100 * MR_MS);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_DATAGRAM_LEN), sent);
    CU_ASSERT_PTR_NOT_NULL(peer_event(p, MR_EVENT_WRITABLE));
    CU_ASSERT_EQUAL(send(p, 1000), 0);
    peer_end(p);
}

/* ------------------------------------------------------------------ sending beside other things */

static void small_datagrams_share_a_packet(void)
{
    struct peer *p = pair(S, 0, UINT16_MAX, PEER_DONE);
    const struct peer_packet *first;
    const struct peer_packet *last;

    for (int i = 0; i < 20; i++)
        CU_ASSERT_EQUAL(send(p, 10), 0);
    peer_drain(p);
    CU_ASSERT_EQUAL(sent_size(p, 0, &first), 10);
    CU_ASSERT_EQUAL(sent_size(p, 19, &last), 10);
    CU_ASSERT_PTR_EQUAL(first, last);
    CU_ASSERT_EQUAL(peer_counters(p)->datagram_frames_sent, 20);

    /* all of them are lost with it */
    for (uint64_t i = 0; i < 3; i++)
        send_alone(p);
    peer_ack(p, mr_sent_next(&peer_conn(p)->app.sent) - 3,
             mr_sent_next(&peer_conn(p)->app.sent) - 1);
    CU_ASSERT_EQUAL(peer_counters(p)->datagram_frames_lost, 20);
    peer_end(p);
}

/* Section 5: "This frame SHOULD be sent as soon as possible (as determined by factors like
 * congestion control, described below) and MAY be coalesced with other frames."  A bulk transfer
 * does not starve it, nor is starved. */
static void streams_and_datagrams_take_turns(void)
{
    struct peer *p = pair(S, 0, UINT16_MAX, PEER_DONE);
    static const uint8_t bulk[100000] = {1};
    struct mr_view view = {.data = bulk, .size = sizeof(bulk)};
    mr_handle stream;
    struct mr_reader r;

    CU_ASSERT_EQUAL(mr_stream_open(peer_endpoint(p), p->conn, MR_OPEN_BIDI, 0, &stream), 0);
    CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), stream, &view, 1, 0), 0);
    for (int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(send(p, 1200), 0);
    peer_drain(p);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_DATAGRAM_LEN), 4);
    CU_ASSERT_TRUE(peer_count(p, MR_FRAME_STREAM) >= 4);
    for (uint32_t i = 0; i < 4; i++) { /* every other packet, from the first on */
        const struct peer_packet *with = peer_find(p, MR_FRAME_DATAGRAM_LEN, i, &r);

        CU_ASSERT_PTR_EQUAL(with, &p->inbox[(size_t)2 * i]);
    }
    peer_end(p);
}

/* Section 5: "DATAGRAM frames cannot be fragmented".  What was queued for a larger MTU than the
 * path has now is dropped, and does not hold up what comes after it.  "A PL MUST adjust the MPS
 * indicated by DPLPMTUD to account for any additional overhead introduced by the PL." (RFC 8899,
 * Section 5) */
static void a_datagram_that_no_longer_fits_is_dropped(void)
{
    struct peer *p = pair(S, 0, UINT16_MAX, PEER_DONE);
    uint32_t max = info_of(p).datagram_max;

    CU_ASSERT_TRUE(max > 1300);
    CU_ASSERT_EQUAL(send(p, max), 0);
    CU_ASSERT_EQUAL(send(p, 5), 0);
    CU_ASSERT_EQUAL(send(p, max), 0);
    peer_conn(p)->path.mtu = MR_INITIAL_MIN;
    peer_conn(p)->app.wants |= MR_WANT_ACK;
    peer_drain(p);
    CU_ASSERT_EQUAL(sent_size(p, 0, NULL), 5);
    CU_ASSERT_EQUAL(p->inbox_count, 1); /* in one packet with the ACK */
    CU_ASSERT_EQUAL(sent_size(p, 1, NULL), -1);
    CU_ASSERT_EQUAL(peer_counters(p)->datagram_frames_too_big, 2);
    CU_ASSERT_EQUAL(send(p, max), -EMSGSIZE);
    CU_ASSERT_EQUAL(info_of(p).datagram_max, MR_INITIAL_MIN - 13 - 3 - 16);
    CU_ASSERT_EQUAL(send(p, info_of(p).datagram_max), 0);
    peer_drain(p);
    CU_ASSERT_EQUAL(sent_size(p, 1, NULL), info_of(p).datagram_max);
    peer_end(p);
}

/* Three times what came from a new address (RFC 9000, Section 8): a datagram for which that is too
 * little waits for the address to be validated. */
static void the_amplification_limit_delays_datagrams(void)
{
    struct peer *p = pair(S, UINT16_MAX, UINT16_MAX, PEER_DONE);
    uint8_t response[9] = {MR_FRAME_PATH_RESPONSE};
    static const uint8_t frames[100] = {MR_FRAME_PING};
    struct mr_reader r;

    p->path.remote.port = 6000;
    peer_send(p, MR_PACKET_ONE_RTT, frames, sizeof(frames));
    CU_ASSERT_FALSE(peer_conn(p)->path.is_validated);
    const struct peer_packet *packet = peer_find(p, MR_FRAME_PATH_CHALLENGE, 0, &r);
    if (packet != NULL && packet->path.remote.port != 6000) /* the old path is asked, too */
        packet = peer_find(p, MR_FRAME_PATH_CHALLENGE, 1, &r);
    CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
    memcpy(response + 1, r.at, 8);
    peer_conn(p)->path.bytes_received += 100;
    CU_ASSERT_TRUE(mr_path_room(peer_conn(p)) > 64);
    CU_ASSERT_EQUAL(send(p, 1000), 0);
    CU_ASSERT_EQUAL(send(p, 10), 0);
    peer_drain(p);
    CU_ASSERT_EQUAL(sent_size(p, 0, NULL), -1);
    mr_endpoint_check(peer_endpoint(p)); /* it will go on some time */
    peer_send(p, MR_PACKET_ONE_RTT, response, sizeof(response));
    CU_ASSERT_EQUAL(sent_size(p, 0, NULL), 1000);
    CU_ASSERT_EQUAL(sent_size(p, 1, NULL), 10);
    CU_ASSERT_EQUAL(peer_counters(p)->datagram_frames_too_big, 0);
    peer_end(p);
}

/* What a stream leaves of its packet is a datagram's, whoever's turn it is. */
static void a_datagram_fills_a_streams_packet_up(void)
{
    struct peer *p = pair(S, 0, UINT16_MAX, PEER_DONE);
    struct mr_view view = {.data = bytes, .size = 1000};
    const struct peer_packet *packet;
    mr_handle stream;

    CU_ASSERT_EQUAL(mr_stream_open(peer_endpoint(p), p->conn, MR_OPEN_BIDI, 0, &stream), 0);
    CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), stream, &view, 1, 0), 0);
    CU_ASSERT_EQUAL(send(p, 1200), 0);
    CU_ASSERT_EQUAL(send(p, 400), 0);
    peer_drain(p);
    CU_ASSERT_EQUAL(sent_size(p, 0, &packet), 1200);
    CU_ASSERT_PTR_EQUAL(packet, &p->inbox[0]);
    CU_ASSERT_EQUAL(sent_size(p, 1, &packet), 400);
    CU_ASSERT_PTR_EQUAL(packet, &p->inbox[1]);
    CU_ASSERT_EQUAL(packet->bytes[0] & 0xf8, MR_FRAME_STREAM); /* behind the stream's */
    CU_ASSERT_EQUAL(p->inbox_count, 2);
    peer_end(p);
}

/* The caller's buffers may be smaller than the path's MTU. */
static void a_datagram_larger_than_the_callers_buffer_is_dropped(void)
{
    struct peer *p = pair(S, 0, UINT16_MAX, PEER_DONE);
    uint8_t room[MR_INITIAL_MIN];
    struct mr_outgoing out = {.data = room, .room = sizeof(room)};

    CU_ASSERT_EQUAL(send(p, 5), 0);
    CU_ASSERT_EQUAL(send(p, info_of(p).datagram_max), 0);
    CU_ASSERT_EQUAL(send(p, 6), 0);
    CU_ASSERT_EQUAL(mr_endpoint_send(peer_endpoint(p), &out, 1, p->now), 1);
    CU_ASSERT_EQUAL(peer_counters(p)->datagram_frames_sent, 1); /* the others may be luckier */
    CU_ASSERT_EQUAL(mr_endpoint_send(peer_endpoint(p), &out, 1, p->now), 1);
    CU_ASSERT_EQUAL(peer_counters(p)->datagram_frames_sent, 2);
    CU_ASSERT_EQUAL(peer_counters(p)->datagram_frames_too_big, 1);
    peer_end(p);
}

/* A datagram that does not fit behind an ACK goes into the next packet, whatever a stream wants. */
static void a_datagram_waits_for_a_packet_of_its_own(void)
{
    struct peer *p = pair(S, UINT16_MAX, UINT16_MAX, PEER_DONE);
    static const uint8_t bulk[20000] = {1};
    struct mr_view view = {.data = bulk, .size = sizeof(bulk)};
    uint32_t max = info_of(p).datagram_max;
    const struct peer_packet *packet;
    mr_handle stream;

    CU_ASSERT_EQUAL(mr_stream_open(peer_endpoint(p), p->conn, MR_OPEN_BIDI, 0, &stream), 0);
    CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), stream, &view, 1, 0), 0);
    CU_ASSERT_EQUAL(send(p, max), 0);
    peer_conn(p)->app.wants |= MR_WANT_ACK;
    peer_drain(p);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_ACK), 1);
    CU_ASSERT_EQUAL(sent_size(p, 0, &packet), max);
    CU_ASSERT_PTR_EQUAL(packet, &p->inbox[1]);
    CU_ASSERT_EQUAL(peer_counters(p)->datagram_frames_too_big, 0);
    peer_end(p);
}

/* Nor does one that finds the rest of a handshake's datagram too small. */
static void a_datagram_waits_behind_the_handshake(void)
{
    struct peer *p = pair(C, 0, UINT16_MAX, PEER_HELLO);
    struct mr_tls_job *job;

    p->holds_jobs = true;
    peer_deliver_flight(p);
    while (mr_endpoint_take_jobs(peer_endpoint(p), &job, 1) > 0) {
        mr_tls_job_run(job);
        mr_endpoint_complete_job(peer_endpoint(p), job, p->now);
    }
    CU_ASSERT_EQUAL(send(p, info_of(p).datagram_max), 0);
    peer_drain(p);
    CU_ASSERT_EQUAL(peer_counters(p)->datagram_frames_sent, 1);
    CU_ASSERT_EQUAL(peer_counters(p)->datagram_frames_too_big, 0);
    peer_end(p);
}

/* ------------------------------------------------------------------ the end */

static void what_arrived_before_the_end_can_be_read(void)
{
    struct peer *p = pair(S, UINT16_MAX, UINT16_MAX, PEER_DONE);
    struct mr_endpoint *ep = peer_endpoint(p);
    struct mr_event events[4];
    uint8_t data[8];
    struct mr_conn *conn = peer_conn(p);
    static const char frames[] = "\x31\x04mill\x1c\x00\x00\x00";
    struct mr_rx rx = {.ep = ep,
                       .conn = conn,
                       .space = &conn->app,
                       .datagram = &(struct mr_datagram){.path = conn->path.addr},
                       .now = p->now,
                       .pn = p->next_pn[MR_SPACE_APP],
                       .space_id = MR_SPACE_APP,
                       .type = MR_PACKET_ONE_RTT};

    CU_ASSERT_EQUAL(send(p, 4), 0);
    mr_conn_receive(&rx, MR_PACKET_FIXED_BIT, (const uint8_t *)frames, sizeof(frames) - 1);
    mr_endpoint_settle(ep, p->now);
    CU_ASSERT_EQUAL(send(p, 4), -ESTALE);
    CU_ASSERT_EQUAL(conn->datagrams_out.count, 0);
    CU_ASSERT_EQUAL_FATAL(mr_endpoint_events(ep, events, 4), 1);
    CU_ASSERT_EQUAL(events[0].kinds, MR_EVENT_DATAGRAM);
    CU_ASSERT_EQUAL(receive(p, data, sizeof(data)), 4);
    CU_ASSERT_EQUAL_FATAL(mr_endpoint_events(ep, events, 4), 1);
    CU_ASSERT_EQUAL(events[0].kinds, MR_EVENT_CLOSED);
    CU_ASSERT_EQUAL(receive(p, data, sizeof(data)), -ESTALE);
    peer_end(p);
}

static void what_nobody_reads_is_given_back(void)
{
    struct peer *p = pair(S, UINT16_MAX, UINT16_MAX, PEER_DONE);

    PEER_SEND(p, "\x30hello");
    CU_ASSERT_EQUAL(peer_endpoint(p)->datagram_chunks.used, 1);
    PEER_SEND(p, "\x1c\x00\x00\x00");
    CU_ASSERT_EQUAL(peer_endpoint(p)->datagram_chunks.used, 0);
    peer_advance(p, 10 * MR_SECOND);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(p)), 0);
    CU_ASSERT_EQUAL(peer_endpoint(p)->names.pool.used, 0);
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"M3: datagrams are echoed, too large ones refused",
     datagrams_are_echoed_and_too_large_ones_refused},
    {"the largest datagram fills a packet", the_largest_datagram_fills_a_packet},
    {"the name and the stream limits are shown", the_name_and_the_stream_limits_are_shown},
    {"nothing is sent to a peer that takes none", nothing_is_sent_to_a_peer_that_takes_none},
    {"no frame is larger than the peer takes", no_frame_is_larger_than_the_peer_takes},
    {"frames that were not negotiated end the connection",
     frames_that_were_not_negotiated_end_the_connection},
    {"frames larger than we said end the connection",
     frames_larger_than_we_said_end_the_connection},
    {"each direction is negotiated for itself", each_direction_is_negotiated_for_itself},
    {"frames of both forms are delivered in order", frames_of_both_forms_are_delivered_in_order},
    {"the event comes on the edge", the_event_comes_on_the_edge},
    {"frames in other packets are refused", frames_in_other_packets_are_refused},
    {"datagrams go into 1-RTT packets only", datagrams_go_into_1rtt_packets_only},
    {"what a slow application leaves is dropped, and acknowledged",
     what_a_slow_application_leaves_is_dropped_and_acknowledged},
    {"an empty pool drops and refuses", an_empty_pool_drops_and_refuses},
    {"datagrams are acknowledged late", datagrams_are_acknowledged_late},
    {"a lost datagram is counted and not sent again",
     a_lost_datagram_is_counted_and_not_sent_again},
    {"a silent peer is probed without the datagram", a_silent_peer_is_probed_without_the_datagram},
    {"datagrams take no credit", datagrams_take_no_credit},
    {"a full window holds datagrams back", a_full_window_holds_datagrams_back},
    {"small datagrams share a packet", small_datagrams_share_a_packet},
    {"streams and datagrams take turns", streams_and_datagrams_take_turns},
    {"a datagram that no longer fits is dropped", a_datagram_that_no_longer_fits_is_dropped},
    {"the amplification limit delays datagrams", the_amplification_limit_delays_datagrams},
    {"a datagram fills a stream's packet up", a_datagram_fills_a_streams_packet_up},
    {"a datagram larger than the caller's buffer is dropped",
     a_datagram_larger_than_the_callers_buffer_is_dropped},
    {"a datagram waits for a packet of its own", a_datagram_waits_for_a_packet_of_its_own},
    {"a datagram waits behind the handshake", a_datagram_waits_behind_the_handshake},
    {"what arrived before the end can be read", what_arrived_before_the_end_can_be_read},
    {"what nobody reads is given back", what_nobody_reads_is_given_back},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9221", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
