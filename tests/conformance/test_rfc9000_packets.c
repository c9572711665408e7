/*
 * tests/conformance/test_rfc9000_packets.c - RFC 9000, Sections 10.1, 10.2, 12, 13: what packets of
 * ours hold, how they are numbered, what is acknowledged where, and what a closing connection says.
 */
#include <stdio.h>

#include "tests/support/peer_cases.h"

#define C MR_CLIENT
#define S MR_SERVER

/* ------------------------------------------------------------------ numbers */

/* All packets of the inbox, probes and repetitions among them. */
static void expect_rising_numbers(const struct peer *p)
{
    uint64_t next[MR_SPACES] = {0};

    for (uint32_t i = 0; i < p->inbox_count; i++) {
        const struct peer_packet *packet = &p->inbox[i];
        enum mr_space space = mr_packet_space(packet->type);

        if (!packet->is_open)
            continue;
        CU_ASSERT_TRUE(packet->pn >= next[space]);
        next[space] = packet->pn + 1;
    }
}

/* Section 12.3: "Subsequent packets sent in the same packet number space MUST increase the packet
 * number by at least one." Section 12.3: "A QUIC endpoint MUST NOT reuse a packet number within the
 * same packet number space in one connection." Section 17.2.3: "New packet numbers MUST be used for
 * any new packets that are sent; as described in Section 17.2.5.3, reusing packet numbers could
 * compromise packet protection." */
static void packet_numbers_only_rise(void)
{
    static const enum peer_stage stages[] = {PEER_HELLO, PEER_FLIGHT, PEER_DONE};

    for (size_t i = 0; i < 2 * MR_COUNT_OF(stages); i++) {
        struct peer *p = peer_at((enum mr_role)(i % 2), stages[i / 2]);

        for (int k = 0; k < 20 && stages[i / 2] == PEER_DONE; k++)
            PEER_SEND(p, "\x08\x00hello");
        peer_advance(p, 3 * MR_SECOND); /* nobody answers: probes */
        CU_ASSERT_TRUE(p->inbox_count > 0);
        expect_rising_numbers(p);
        peer_end(p);
    }
}

/* A server that has keys of every level: what was lost goes where it was.
 * RFC 9001, Section 4: "If QUIC needs to retransmit that data, it MUST use the same keys even if
 * TLS has already updated to newer keys." RFC 9001, Section 4.9: "If packets from a lower
 * encryption level contain CRYPTO frames, frames that retransmit that data MUST be sent at the same
 * encryption level." */
static void lost_crypto_data_is_repeated_at_its_level(void)
{
    struct peer *p = peer_at(S, PEER_HELLO);
    uint32_t levels = 0;
    struct mr_reader r;

    peer_clear(p);
    for (int i = 0; i < 3; i++) { /* what cannot be read makes room for what is sent */
        uint8_t bytes[MR_INITIAL_MIN] = {0xe0, 0, 0, 0, 1, 8};

        memcpy(bytes + 6, p->dcid.bytes, PEER_CID_SIZE);
        peer_deliver(p, bytes, sizeof(bytes));
        peer_advance(p, MR_SECOND);
    }
    for (uint32_t i = 0; peer_find(p, MR_FRAME_CRYPTO, i, &r) != NULL; i++) {
        const struct peer_packet *packet = peer_find(p, MR_FRAME_CRYPTO, i, &r);

        (void)mr_read_varint(&r);
        uint64_t size = mr_read_varint(&r);
        if (size > 0 && packet->type == MR_PACKET_INITIAL) {
            CU_ASSERT_EQUAL(r.at[0], 2); /* the ServerHello from its start */
            levels |= 1;
        }
        levels |= packet->type == MR_PACKET_HANDSHAKE ? 2 : 0;
        CU_ASSERT_NOT_EQUAL(packet->type, MR_PACKET_ONE_RTT);
    }
    CU_ASSERT_EQUAL(levels, 3);
    peer_end(p);
}

/* ------------------------------------------------------------------ coalescing */

/* Section 12.2: "Senders MUST NOT coalesce QUIC packets with different connection IDs into a single
 * UDP datagram." */
static void packets_of_a_datagram_have_one_connection_id(void)
{
    struct peer *p = peer_at(S, PEER_HELLO);
    uint32_t coalesced = 0;

    peer_advance(p, 3 * MR_SECOND);
    for (uint32_t i = 1; i < p->inbox_count; i++) {
        if (p->inbox[i].datagram != p->inbox[i - 1].datagram)
            continue;
        CU_ASSERT_TRUE(mr_cid_equal(&p->inbox[i].dcid, &p->inbox[i - 1].dcid));
        coalesced++;
    }
    CU_ASSERT_TRUE(coalesced > 0);
    peer_end(p);
}

static uint32_t acks_in(const struct peer *p, enum mr_packet_type type)
{
    struct mr_reader r;
    uint32_t count = 0;

    for (uint32_t i = 0; peer_find(p, MR_FRAME_ACK, i, &r) != NULL; i++)
        count += peer_find(p, MR_FRAME_ACK, i, &r)->type == type;
    return count;
}

/* Section 12.2: "The receiver of coalesced QUIC packets MUST individually process each QUIC packet
 * and separately acknowledge them, as if they were received as the payload of different UDP
 * datagrams." Section 12.2: "For example, if decryption fails (because the keys are not available
 * or for any other reason), the receiver MAY either discard or buffer the packet for later
 * processing and MUST attempt to process the remaining packets." */
static void coalesced_packets_are_acknowledged_one_by_one(void)
{
    struct peer *p = peer_at(S, PEER_FLIGHT);
    struct peer_out initial = {
        .type = MR_PACKET_INITIAL, .frames = "\1", .size = 1, .pn = PEER_NEXT_PN};
    struct peer_out handshake = {
        .type = MR_PACKET_HANDSHAKE, .frames = "\1", .size = 1, .pn = PEER_NEXT_PN};
    uint8_t bytes[PEER_DATAGRAM] = {0};

    peer_clear(p);
    uint64_t received = peer_counters(p)->packets_received;
    size_t size = peer_build(p, &initial, bytes, sizeof(bytes));
    bytes[size - 1] ^= 1; /* what cannot be opened does not stop what follows */
    size += peer_build(p, &initial, bytes + size, sizeof(bytes) - size);
    size += peer_build(p, &handshake, bytes + size, sizeof(bytes) - size);
    peer_deliver(p, bytes, MR_MAX(size, (size_t)MR_INITIAL_MIN));
    CU_ASSERT_EQUAL(peer_counters(p)->packets_received, received + 2);
    CU_ASSERT_EQUAL(acks_in(p, MR_PACKET_HANDSHAKE), 1);
    peer_end(p);
}

/* ------------------------------------------------------------------ acknowledgements */

/* Section 13.2.6: "ACK frames MUST only be carried in a packet that has the same packet number
 * space as the packet being acknowledged." Section 13.2.6: "For instance, packets that are
 * protected with 1-RTT keys MUST be acknowledged in packets that are also protected with 1-RTT
 * keys." Section 17.2.3: "An acknowledgment for a 1-RTT packet MUST be carried in a 1-RTT packet."
 */
static void acknowledgements_stay_in_their_space(void)
{
    static const struct {
        enum peer_stage stage;
        enum mr_packet_type type;
    } cases[] = {
        {PEER_HELLO, MR_PACKET_INITIAL},
        {PEER_FLIGHT, MR_PACKET_HANDSHAKE},
        {PEER_DONE, MR_PACKET_ONE_RTT},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct peer *p = peer_at(S, cases[i].stage);

        peer_clear(p);
        peer_send(p, cases[i].type, "\1", 1);
        peer_send(p, cases[i].type, "\1", 1);
        uint32_t count = peer_count(p, MR_FRAME_ACK);
        CU_ASSERT_TRUE(count > 0);
        CU_ASSERT_EQUAL(acks_in(p, cases[i].type), count);
        peer_end(p);
    }
}

/* A packet whose tag is wrong, between two that are right.
 * Section 13.1: "A packet MUST NOT be acknowledged until packet protection has been successfully
 * removed and all frames contained in the packet have been processed." */
static void what_did_not_open_is_not_acknowledged(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct peer_out ping = {
        .type = MR_PACKET_ONE_RTT, .frames = "\1", .size = 1, .pn = PEER_NEXT_PN};
    uint8_t bytes[PEER_DATAGRAM];
    struct mr_frame_ack ack;
    struct mr_reader r;

    uint64_t first = p->next_pn[MR_SPACE_APP];
    PEER_SEND(p, "\x01");
    size_t size = peer_build(p, &ping, bytes, sizeof(bytes));
    bytes[size - 1] ^= 1;
    peer_deliver(p, bytes, size);
    peer_clear(p);
    PEER_SEND(p, "\x01");
    CU_ASSERT_PTR_NOT_NULL_FATAL(peer_find(p, MR_FRAME_ACK, 0, &r));
    CU_ASSERT_TRUE(mr_frame_decode_ack(&r, MR_FRAME_ACK, &ack));
    CU_ASSERT_EQUAL(ack.largest, first + 2);
    CU_ASSERT_EQUAL(ack.first_range, 0); /* first + 1 is missing */
    peer_end(p);
}

/* The peer acknowledges nothing: we ask for it now and then, not with each ACK.
 * Section 13.2.1: "In that case, an endpoint MUST NOT send an ack-eliciting frame in all packets
 * that would otherwise be non-ack-eliciting, to avoid an infinite feedback loop of
 * acknowledgments." */
static void few_acknowledgements_ask_for_one(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    uint32_t packets = 0;
    uint32_t asking = 0;

    for (int i = 0; i < 400; i++) {
        PEER_SEND(p, "\x01");
        packets += p->inbox_count;
        asking += peer_count(p, MR_FRAME_PING);
        peer_clear(p);
    }
    CU_ASSERT_TRUE(packets >= 150);
    CU_ASSERT_TRUE(asking * 4 < packets);
    peer_end(p);
}

/* An ACK frame of ours is acknowledged, a second late: nobody had to answer it.
 * RFC 9002, Section 5.1: "An RTT sample MUST NOT be generated on receiving an ACK frame that does
 * not newly acknowledge at least one ack-eliciting packet." */
static void an_acknowledged_ack_is_no_rtt_sample(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_rtt before = peer_conn(p)->path.rtt;
    struct mr_reader r;

    PEER_SEND(p, "\x01");
    PEER_SEND(p, "\x01");
    const struct peer_packet *packet = peer_find(p, MR_FRAME_ACK, 0, &r);
    CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
    uint64_t pn = packet->pn;
    peer_advance(p, MR_SECOND);
    peer_ack(p, pn, pn);
    CU_ASSERT_EQUAL(memcmp(&before, &peer_conn(p)->path.rtt, sizeof(before)), 0);
    peer_end(p);
}

/* The same while data is in flight, so that the ACK frame's packet is remembered with it. */
static void an_acknowledged_ack_behind_data_is_no_rtt_sample(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_view view = {.data = (const uint8_t *)"hello", .size = 5};
    struct mr_reader r;

    PEER_SEND(p, "\x08\x00hello");
    mr_handle stream = peer_event(p, MR_EVENT_STREAM_OPENED)->event.stream;
    CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), stream, &view, 1, 0), 0);
    peer_drain(p);
    peer_clear(p);
    struct mr_rtt before = peer_conn(p)->path.rtt;
    PEER_SEND(p, "\x01");
    PEER_SEND(p, "\x01");
    const struct peer_packet *packet = peer_find(p, MR_FRAME_ACK, 0, &r);
    CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
    uint64_t pn = packet->pn;
    peer_advance(p, 20 * MR_MS);
    peer_ack(p, pn, pn);
    CU_ASSERT_EQUAL(memcmp(&before, &peer_conn(p)->path.rtt, sizeof(before)), 0);
    peer_end(p);
}

/* A frame that newly acknowledges an ack-eliciting packet, but whose largest was acknowledged
 * before: the delay that it tells is not of that packet.  RFC 9002, Section 5.1: "An endpoint
 * generates an RTT sample on receiving an ACK frame that meets the following two conditions: the
 * largest acknowledged packet number is newly acknowledged, and at least one of the newly
 * acknowledged packets was ack-eliciting." */
static void a_largest_that_is_not_new_is_no_rtt_sample(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_view view = {.data = (const uint8_t *)"hello", .size = 5};

    PEER_SEND(p, "\x08\x00hello");
    mr_handle stream = peer_event(p, MR_EVENT_STREAM_OPENED)->event.stream;
    peer_advance(p, 100 * MR_MS); /* its ACK has gone */
    uint64_t first = p->expected_pn[MR_SPACE_APP];
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), stream, &view, 1, 0), 0);
        peer_drain(p);
    }
    CU_ASSERT_EQUAL_FATAL(p->expected_pn[MR_SPACE_APP], first + 2);
    peer_advance(p, 4 * MR_MS);
    struct mr_rtt before = peer_conn(p)->path.rtt;
    uint64_t acked = peer_conn(p)->path.cc.in_flight;
    peer_ack(p, first + 1, first + 1);
    CU_ASSERT_NOT_EQUAL(memcmp(&before, &peer_conn(p)->path.rtt, sizeof(before)), 0);
    before = peer_conn(p)->path.rtt;
    CU_ASSERT_TRUE(peer_conn(p)->path.cc.in_flight < acked);
    acked = peer_conn(p)->path.cc.in_flight;
    peer_advance(p, MR_MS);
    peer_ack(p, first, first + 1);
    CU_ASSERT_TRUE(peer_conn(p)->path.cc.in_flight < acked); /* it was news */
    CU_ASSERT_EQUAL(peer_counters(p)->packets_lost, 0);
    CU_ASSERT_EQUAL(memcmp(&before, &peer_conn(p)->path.rtt, sizeof(before)), 0);
    peer_end(p);
}

/* ------------------------------------------------------------------ who says what */

/* Section 19.7: "Clients MUST NOT send NEW_TOKEN frames." */
static void a_client_sends_nothing_of_a_servers(void)
{
    static const enum peer_stage stages[] = {PEER_HELLO, PEER_FLIGHT, PEER_DONE};

    for (size_t i = 0; i < MR_COUNT_OF(stages); i++) {
        struct peer_options options = {.under_test = C, .has_new_token = true};
        struct peer *p = peer_new(&options);

        peer_run(p, stages[i]);
        peer_advance(p, 5 * MR_SECOND);
        CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_NEW_TOKEN), 0);
        CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_HANDSHAKE_DONE), 0);
        peer_end(p);
    }
}

/* The response comes by the old path.
 * Section 8.2.2: "This requirement MUST NOT be enforced by the endpoint that initiates path
 * validation, as that would enable an attack on migration." */
static void a_response_counts_by_whatever_path_it_comes(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    uint8_t frame[9] = {0x1b};
    struct mr_reader r;

    p->path.remote.port = 6000;
    PEER_SEND(p, "\x08\x00hello");
    const struct peer_packet *packet = peer_find(p, MR_FRAME_PATH_CHALLENGE, 0, &r);
    for (uint32_t i = 1; packet != NULL && packet->path.remote.port != 6000; i++)
        packet = peer_find(p, MR_FRAME_PATH_CHALLENGE, i, &r); /* the old path is asked, too */
    CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
    memcpy(frame + 1, r.at, 8);
    p->path.remote.port = 5000;
    peer_send(p, MR_PACKET_ONE_RTT, frame, sizeof(frame));
    CU_ASSERT_EQUAL(peer_conn(p)->path.addr.remote.port, 6000);
    CU_ASSERT_TRUE(peer_conn(p)->path.is_validated);
    peer_end(p);
}

/* ------------------------------------------------------------------ the end */

/* An idle timeout of a millisecond: three probe timeouts it is, at the least.
 * Section 10.1: "To avoid excessively small idle timeout periods, endpoints MUST increase the idle
 * timeout period to be at least three times the current Probe Timeout (PTO)." */
static void an_idle_timeout_is_at_least_three_probe_timeouts(void)
{
    struct peer *p = peer_at(S, PEER_DONE);

    peer_conn(p)->idle_timeout_ns = MR_MS;
    PEER_SEND(p, "\x01\x01");
    uint64_t pto = mr_rtt_pto(&peer_conn(p)->path.rtt, MR_SPACE_APP);
    peer_advance(p, 3 * pto - 2 * MR_MS);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(p)), 1);
    peer_advance(p, pto);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(p)), 0);
    peer_end(p);
}

/* Section 10.1: "Each endpoint advertises a max_idle_timeout, but the effective value at an
 * endpoint is computed as the minimum of the two advertised values (or the sole advertised value,
 * if only one endpoint advertises a non-zero value)." */
static void the_smaller_idle_timeout_counts(void)
{
    static const struct {
        uint64_t ours_ns;
        uint64_t theirs_ns;
        bool ends; /* after 5 s */
    } rows[] = {
        {60 * MR_SECOND, 5 * MR_SECOND, true},   {5 * MR_SECOND, 60 * MR_SECOND, true},
        {PEER_NEVER_IDLE, 5 * MR_SECOND, true},  {5 * MR_SECOND, PEER_NEVER_IDLE, true},
        {60 * MR_SECOND, 59 * MR_SECOND, false}, {PEER_NEVER_IDLE, PEER_NEVER_IDLE, false},
    };

    for (size_t i = 0; i < 2 * MR_COUNT_OF(rows); i++) {
        struct peer_options options = {.under_test = i % 2 == 0 ? C : S,
                                       .idle_timeout_ns = rows[i / 2].ours_ns,
                                       .partner_idle_timeout_ns = rows[i / 2].theirs_ns};
        struct peer *p = peer_new(&options);

        peer_run(p, PEER_DONE);
        PEER_SEND(p, "\x01");
        peer_advance(p, 4 * MR_SECOND);
        CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(p)), 1);
        peer_advance(p, 2 * MR_SECOND);
        CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(p)), rows[i / 2].ends ? 0 : 1);
        CU_ASSERT_EQUAL(peer_counters(p)->idle_timeouts, rows[i / 2].ends);
        peer_end(p);
    }
}

/* Section 10.1: "An endpoint also restarts its idle timer when sending an ack-eliciting packet if
 * no other ack-eliciting packets have been sent since last receiving and processing a packet."  The
 * probes that repeat it restart nothing. */
static void the_first_packet_that_asks_restarts_the_idle_timer(void)
{
    struct peer_options options = {.under_test = S, .idle_timeout_ns = 5 * MR_SECOND};
    struct peer *p = peer_new(&options);
    struct mr_view view = {.data = (const uint8_t *)"hello", .size = 5};

    peer_run(p, PEER_DONE);
    PEER_SEND(p, "\x08\x00hello");
    mr_handle stream = peer_event(p, MR_EVENT_STREAM_OPENED)->event.stream;
    peer_advance(p, 4 * MR_SECOND);
    CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), stream, &view, 1, 0), 0);
    peer_advance(p, 3 * MR_SECOND);
    CU_ASSERT_TRUE(mr_conn_is_alive(peer_conn(p)));
    CU_ASSERT_TRUE(peer_count(p, MR_FRAME_STREAM) > 1); /* probes */
    peer_advance(p, 3 * MR_SECOND);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(p)), 0);
    CU_ASSERT_EQUAL(peer_counters(p)->idle_timeouts, 1);
    peer_end(p);
}

/* The keys are kept: what does not open is not answered, nor is another address.
 * Section 10.2.1: "To avoid being used for an amplification attack, such endpoints MUST limit the
 * cumulative size of packets it sends to three times the cumulative size of the packets that are
 * received and attributed to the connection." Section 10.2.1: "An endpoint in the closing state
 * MUST either discard packets received from an unvalidated address or limit the cumulative size of
 * packets it sends to an unvalidated address to three times the size of packets it receives from
 * that address." Section 10.2.3: "After the handshake is confirmed (see Section 4.1.2 of
 * [QUIC-TLS]), an endpoint MUST send any CONNECTION_CLOSE frames in a 1-RTT packet." */
static void a_closing_connection_answers_its_peer_only(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct peer_out ping = {
        .type = MR_PACKET_ONE_RTT, .frames = "\1", .size = 1, .pn = PEER_NEXT_PN};
    uint8_t bytes[PEER_DATAGRAM];

    CU_ASSERT_EQUAL(mr_conn_close(peer_endpoint(p), p->conn, 0x123, "bye", p->now), 0);
    peer_drain(p);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_CONNECTION_CLOSE_APP), 1);
    CU_ASSERT_EQUAL(p->inbox[0].type, MR_PACKET_ONE_RTT);
    peer_clear(p);
    for (int i = 0; i < 100; i++) {
        size_t size = peer_build(p, &ping, bytes, sizeof(bytes));
        bytes[size - 1] ^= 1;
        peer_deliver(p, bytes, size);
    }
    CU_ASSERT_EQUAL(p->inbox_count, 0);
    p->path.remote.port = 6000;
    for (int i = 0; i < 100; i++)
        PEER_SEND(p, "\x01");
    for (uint32_t i = 0; i < p->inbox_count; i++)
        CU_ASSERT_EQUAL(p->inbox[i].path.remote.port, 5000);
    peer_end(p);
}

/* A server that ends a handshake: the address is not known to be the client's.
 * Section 10.2.1: "To avoid being used for an amplification attack, such endpoints MUST limit the
 * cumulative size of packets it sends to three times the cumulative size of the packets that are
 * received and attributed to the connection." */
static void a_close_before_validation_keeps_to_three_times(void)
{
    struct peer *p = peer_at(S, PEER_HELLO);
    uint64_t received = p->hello.size;

    peer_advance(p, MR_SECOND); /* probes have used up what there was */
    peer_send(p, MR_PACKET_INITIAL, "\x1f", 1);
    received += MR_INITIAL_MIN;
    CU_ASSERT_FALSE(mr_conn_is_alive(peer_conn(p)));
    for (int i = 0; i < 50; i++) {
        uint8_t bytes[60] = {0xe0, 0, 0, 0, 1, 8}; /* Handshake, and no tag fits */

        memcpy(bytes + 6, p->dcid.bytes, PEER_CID_SIZE);
        bytes[15] = 44;
        peer_deliver(p, bytes, sizeof(bytes));
        received += sizeof(bytes);
        CU_ASSERT_TRUE(p->bytes <= 3 * received);
    }
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"packet numbers only rise", packet_numbers_only_rise},
    {"lost CRYPTO data is repeated at its level", lost_crypto_data_is_repeated_at_its_level},
    {"packets of a datagram have one connection ID", packets_of_a_datagram_have_one_connection_id},
    {"coalesced packets are acknowledged one by one",
     coalesced_packets_are_acknowledged_one_by_one},
    {"acknowledgements stay in their space", acknowledgements_stay_in_their_space},
    {"what did not open is not acknowledged", what_did_not_open_is_not_acknowledged},
    {"few acknowledgements ask for one", few_acknowledgements_ask_for_one},
    {"an acknowledged ACK is no RTT sample", an_acknowledged_ack_is_no_rtt_sample},
    {"an acknowledged ACK behind data is no RTT sample",
     an_acknowledged_ack_behind_data_is_no_rtt_sample},
    {"a largest that is not new is no RTT sample", a_largest_that_is_not_new_is_no_rtt_sample},
    {"a client sends nothing of a server's", a_client_sends_nothing_of_a_servers},
    {"a response counts by whatever path it comes", a_response_counts_by_whatever_path_it_comes},
    {"the smaller idle timeout counts", the_smaller_idle_timeout_counts},
    {"an idle timeout is at least three probe timeouts",
     an_idle_timeout_is_at_least_three_probe_timeouts},
    {"the first packet that asks restarts the idle timer",
     the_first_packet_that_asks_restarts_the_idle_timer},
    {"a closing connection answers its peer only", a_closing_connection_answers_its_peer_only},
    {"a close before validation keeps to three times",
     a_close_before_validation_keeps_to_three_times},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9000 packets", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
