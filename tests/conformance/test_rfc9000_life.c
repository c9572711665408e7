/*
 * tests/conformance/test_rfc9000_life.c - RFC 9000, Sections 10.3, 13; RFC 9002, Section 6.2: when
 * packets are acknowledged and probed, and what a connection outlives.
 */
#include <errno.h>

#include "tests/support/peer_cases.h"

#define C MR_CLIENT
#define S MR_SERVER

/* ------------------------------------------------------------------ acknowledgements */

/* Section 13.2.2: "A receiver SHOULD send an ACK frame after receiving at least two ack-eliciting
 * packets."
 * Section 13.2.1: "Since packets containing only ACK frames are not congestion controlled, an
 * endpoint MUST NOT send more than one such packet in response to receiving an ack-eliciting
 * packet." */
static void every_second_packet_is_acknowledged_at_once(void)
{
    struct peer *p = peer_at(S, PEER_DONE);

    for (uint32_t i = 1; i <= 10; i++) {
        PEER_SEND(p, "\x01");
        CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_ACK), i / 2);
    }
    peer_end(p);
}

/* Section 13.2.1: "An endpoint MUST acknowledge all ack-eliciting Initial and Handshake packets
 * immediately and all ack-eliciting 0-RTT and 1-RTT packets within its advertised max_ack_delay".
 * Section 13.2.1: "Every packet SHOULD be acknowledged at least once, and ack-eliciting packets
 * MUST be acknowledged at least once within the maximum delay an endpoint communicated using the
 * max_ack_delay transport parameter." Section 13.2.5: "An endpoint MUST NOT include delays that it
 * does not control when populating the ACK Delay field in an ACK frame." */
static void a_single_packet_is_acknowledged_within_max_ack_delay(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_frame_ack ack;
    struct mr_reader r;

    PEER_SEND(p, "\x01");
    uint64_t sent_at = p->now;
    uint64_t pn = p->next_pn[MR_SPACE_APP] - 1;
    CU_ASSERT_EQUAL(p->inbox_count, 0);
    peer_advance(p, 100 * MR_MS);
    const struct peer_packet *packet = peer_find(p, MR_FRAME_ACK, 0, &r);
    CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
    CU_ASSERT_TRUE(packet->at_ns - sent_at <= 26 * MR_MS);
    CU_ASSERT_TRUE(mr_frame_decode_ack(&r, MR_FRAME_ACK, &ack));
    CU_ASSERT_EQUAL(ack.largest, pn);
    /* Section 13.2.5: the delay is the time that we held it back */
    CU_ASSERT_TRUE((ack.delay << 3) * MR_US <= packet->at_ns - sent_at);
    CU_ASSERT_TRUE((ack.delay << 3) * MR_US + MR_MS >= packet->at_ns - sent_at);
    peer_end(p);
}

static void handshake_packets_are_acknowledged_at_once(void)
{
    static const enum mr_packet_type types[] = {MR_PACKET_INITIAL, MR_PACKET_HANDSHAKE};

    for (size_t i = 0; i < 2; i++) {
        struct peer *p = peer_at(S, i == 0 ? PEER_HELLO : PEER_FLIGHT);

        peer_clear(p);
        peer_send(p, types[i], "\1", 1);
        CU_ASSERT_TRUE(peer_count(p, MR_FRAME_ACK) >= 1);
        peer_end(p);
    }
}

/* Section 13.2.1: "an endpoint SHOULD generate and send an ACK frame without delay when it receives
 * an ack-eliciting packet either: when the received packet has a packet number less than another
 * ack-eliciting packet that has been received, or when the packet has a packet number larger than
 * the highest-numbered ack-eliciting packet that has been received and there are missing packets
 * between that packet and this packet." */
static void gaps_are_acknowledged_at_once(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct peer_out ping = {.type = MR_PACKET_ONE_RTT, .frames = "\x01", .size = 1};
    uint64_t next = p->next_pn[MR_SPACE_APP];

    ping.pn = next + 2;
    peer_send_packet(p, &ping);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_ACK), 1);
    ping.pn = next + 1;
    peer_send_packet(p, &ping);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_ACK), 2);
    p->ecn = MR_ECN_CE; /* "marked with the ECN Congestion Experienced (CE) codepoint" */
    ping.pn = next + 3;
    peer_send_packet(p, &ping);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_ACK_ECN), 1);
    peer_end(p);
}

/* Section 13.2.1: "An endpoint MUST NOT send a non-ack-eliciting packet in response to a
 * non-ack-eliciting packet, even if there are packet gaps that precede the received packet." */
static void acknowledgements_are_not_acknowledged(void)
{
    struct peer *p = peer_at(S, PEER_DONE);

    for (int i = 0; i < 20; i++) {
        p->next_pn[MR_SPACE_APP] += 3;
        PEER_SEND(p, "\x02\x00\x00\x00\x00");
        PEER_SEND(p, "\x00\x00\x00");
    }
    peer_advance(p, MR_SECOND);
    CU_ASSERT_EQUAL(p->inbox_count, 0);
    peer_end(p);
}

/* Section 13.1: "An endpoint SHOULD treat receipt of an acknowledgment for a packet it did not send
 * as a connection error of type PROTOCOL_VIOLATION, if it is able to detect the condition." */
static void acknowledgements_of_unsent_packets_end_the_connection(void)
{
    static const struct peer_case cases[] = {
        {"1-RTT", S, PEER_DONE, MR_PACKET_ONE_RTT, PEER_BYTES("\x02\x50\x00\x00\x00\x00"),
         MR_PROTOCOL_VIOLATION, 0x02},
        {"the largest", C, PEER_DONE, MR_PACKET_ONE_RTT,
         PEER_BYTES("\x02\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00"), MR_PROTOCOL_VIOLATION,
         0x02},
        {"Initial", S, PEER_HELLO, MR_PACKET_INITIAL, PEER_BYTES("\x02\x3f\x00\x00\x00"),
         MR_PROTOCOL_VIOLATION, 0x02},
        {"Handshake", C, PEER_FLIGHT, MR_PACKET_HANDSHAKE, PEER_BYTES("\x02\x3f\x00\x00\x00"),
         MR_PROTOCOL_VIOLATION, 0x02},
    };
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_pn_space *space = &peer_conn(p)->app;

    peer_run_cases(cases, MR_COUNT_OF(cases));
    /* Section 21.4: a number that was left out is one that was not sent */
    uint64_t skipped = mr_sent_next(&space->sent);
    mr_sent_reserve(&space->sent);
    mr_sent_skip(&space->sent);
    PEER_SEND(p, "\x01");
    PEER_SEND(p, "\x01");
    CU_ASSERT_TRUE(p->expected_pn[MR_SPACE_APP] > skipped);
    peer_ack(p, skipped, skipped + 1);
    peer_expect_close(p, "a skipped number", MR_PROTOCOL_VIOLATION, 0x02);
    peer_end(p);
}

/* ------------------------------------------------------------------ probes */

#define PEER_SEND_INITIAL(p, frames) peer_send(p, MR_PACKET_INITIAL, frames, sizeof(frames) - 1)

/* RFC 9002, Section 6.2.4: "When a PTO timer expires, a sender MUST send at least one ack-eliciting
 * packet in the packet number space as a probe."
 * RFC 9002, Section 6.2: "A PTO timer expiration event does not indicate packet loss and MUST NOT
 * cause prior unacknowledged packets to be marked as lost." RFC 9002, Section 6.2.4: "All probe
 * packets sent on a PTO MUST be ack-eliciting." */
static void probes_carry_the_data(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_view view = {.data = (const uint8_t *)"unacknowledged", .size = 14};

    PEER_SEND(p, "\x08\x00hello");
    const struct peer_event *event = peer_event(p, MR_EVENT_STREAM_OPENED);
    CU_ASSERT_PTR_NOT_NULL_FATAL(event);
    CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), event->event.stream, &view, 1, 0), 0);
    peer_drain(p);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_STREAM), 1);
    uint64_t first = peer_counters(p)->ptos;
    peer_advance(p, 300 * MR_MS);
    uint64_t soon = peer_counters(p)->ptos - first;
    CU_ASSERT_TRUE(soon >= 1);
    CU_ASSERT_TRUE(peer_count(p, MR_FRAME_STREAM) >= 2);
    /* Section 6.2.1: "When a PTO timer expires, the PTO backoff MUST be increased": later ones come
     * ever more rarely */
    peer_advance(p, 20 * MR_SECOND);
    CU_ASSERT_TRUE(peer_counters(p)->ptos - first <= soon + 10);
    CU_ASSERT_TRUE(peer_counters(p)->ptos - first >= soon + 3);
    CU_ASSERT_TRUE(mr_conn_is_alive(peer_conn(p)));
    CU_ASSERT_EQUAL(peer_conn(p)->packets_lost, 0);
    CU_ASSERT_TRUE(peer_count(p, MR_FRAME_STREAM) + peer_count(p, MR_FRAME_PING) >= p->inbox_count);
    peer_end(p);
}

/* Section 6.2.4: "An endpoint MAY send up to two full-sized datagrams containing ack-eliciting
 * packets to avoid an expensive consecutive PTO expiration due to a single lost datagram".
 * Section 7.2: "Until a packet is received from the server, the client MUST use the same
 * Destination Connection ID value on all packets in this connection." */
static void two_datagrams_repeat_a_hello(void)
{
    struct peer *p = peer_at(C, PEER_HELLO);
    struct mr_cid first = mr_conn_handshake(peer_endpoint(p), peer_conn(p))->original_dcid;
    uint32_t hellos = 0;

    peer_clear(p);
    peer_advance(p, 1200 * MR_MS); /* one PTO: the server has answered nothing */
    for (uint32_t i = 0; i < p->inbox_count; i++) {
        CU_ASSERT_EQUAL(p->inbox[i].type, MR_PACKET_INITIAL);
        CU_ASSERT_TRUE(mr_cid_equal(&p->inbox[i].dcid, &first));
        CU_ASSERT_TRUE(p->inbox[i].datagram_size >= 1200);
        hellos += p->inbox[i].is_open && p->inbox[i].bytes[0] == 0x06;
    }
    CU_ASSERT_EQUAL(peer_counters(p)->ptos, 1);
    CU_ASSERT_EQUAL(p->inbox_count, 2);
    CU_ASSERT_EQUAL(hellos, 2);
    peer_end(p);
}

static uint32_t count_crypto(const struct peer *p, enum mr_packet_type type)
{
    const struct peer_packet *packet;
    struct mr_reader r;
    uint32_t count = 0;

    for (uint32_t i = 0; (packet = peer_find(p, MR_FRAME_CRYPTO, i, &r)) != NULL; i++)
        count += packet->type == type;
    return count;
}

/* RFC 9002, Section 6.2.4: "the sender SHOULD send ack-eliciting packets from other packet number
 * spaces with in-flight data, coalescing packets if possible." */
static void a_probe_takes_the_other_space_along(void)
{
    struct peer *p = peer_at(S, PEER_HELLO);

    peer_clear(p);
    peer_advance(p, 1200 * MR_MS); /* one PTO */
    CU_ASSERT_EQUAL(peer_counters(p)->ptos, 1);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_ACK), 1); /* the first one may be lost, too */
    CU_ASSERT_TRUE_FATAL(p->inbox_count >= 2);
    CU_ASSERT_EQUAL(p->inbox[0].type, MR_PACKET_INITIAL);
    CU_ASSERT_EQUAL(p->inbox[1].type, MR_PACKET_HANDSHAKE);
    CU_ASSERT_EQUAL(p->inbox[0].datagram, p->inbox[1].datagram);
    CU_ASSERT_TRUE(count_crypto(p, MR_PACKET_INITIAL) >= 1);
    CU_ASSERT_TRUE(count_crypto(p, MR_PACKET_HANDSHAKE) >= 1);
    peer_end(p);
}

/* Section 6.2.4: "the sender SHOULD send ... previously sent data": all of it that fits, not what
 * is oldest again and again. */
static void a_probe_carries_all_that_is_in_flight_if_it_fits(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    const struct peer_event *event;
    struct mr_view view = {.data = (const uint8_t *)"unacknowledged", .size = 14};

    for (uint32_t i = 0; i < 3; i++) {
        static const char *const opens[] = {"\x08\x00hello", "\x08\x04hello", "\x08\x08hello"};

        p->event_count = 0;
        peer_send(p, MR_PACKET_ONE_RTT, opens[i], 7);
        event = peer_event(p, MR_EVENT_STREAM_OPENED);
        CU_ASSERT_PTR_NOT_NULL_FATAL(event);
        CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), event->event.stream, &view, 1, 0), 0);
        peer_drain(p);
    }
    peer_clear(p);
    uint64_t first = peer_counters(p)->ptos;
    while (peer_counters(p)->ptos == first)
        peer_advance(p, MR_MS);
    CU_ASSERT_TRUE(peer_count(p, MR_FRAME_STREAM) + peer_count(p, MR_FRAME_STREAM | 2) +
                       peer_count(p, MR_FRAME_STREAM | 4) + peer_count(p, MR_FRAME_STREAM | 6) >=
                   3);
    peer_end(p);
}

/* Section 6.2.3: "When a server receives an Initial packet containing duplicate CRYPTO data, it can
 * assume the client did not receive all of the server's CRYPTO data sent in Initial packets ... an
 * endpoint MAY, for a limited number of times per connection, send a packet containing
 * unacknowledged CRYPTO data earlier than the PTO expiry". */
static void a_server_repeats_its_flight_when_asked_again(void)
{
    struct peer *p = peer_at(S, PEER_HELLO);

    peer_clear(p);
    PEER_SEND_INITIAL(p, "\x01"); /* it may have crossed our flight */
    CU_ASSERT_EQUAL(count_crypto(p, MR_PACKET_INITIAL), 0);
    for (uint64_t i = 1; i <= 6; i++) {
        peer_advance(p, 110 * MR_MS);
        peer_clear(p);
        PEER_SEND_INITIAL(p, "\x01");
        CU_ASSERT_EQUAL(count_crypto(p, MR_PACKET_INITIAL), i <= 3);
        CU_ASSERT_EQUAL(count_crypto(p, MR_PACKET_HANDSHAKE) > 0, i <= 3);
    }
    CU_ASSERT_EQUAL(peer_counters(p)->flights_repeated, 3);
    CU_ASSERT_EQUAL(peer_counters(p)->ptos, 0);
    peer_end(p);
}

/* Section 6.2.2.1: "When the server receives a datagram from the client, the amplification limit is
 * increased and the server resets the PTO timer.  If the PTO timer is then set to a time in the
 * past, it is executed immediately."  Whatever is in that datagram. */
static void a_limited_server_goes_on_with_whatever_comes(void)
{
    struct peer *p = peer_at(S, PEER_HELLO);
    static const uint8_t junk[1200] = {0xe0, 0, 0, 0, 1, PEER_CID_SIZE};
    uint8_t datagram[1200];
    struct mr_packet_header header;

    peer_advance(p, 14 * MR_SECOND); /* the limit, and no timer */
    CU_ASSERT_TRUE(peer_conn(p)->loss.is_amplification_limited);
    peer_clear(p);
    memcpy(datagram, junk, sizeof(datagram)); /* a Handshake packet that cannot be opened */
    memcpy(datagram + 6, p->dcid.bytes, PEER_CID_SIZE);
    datagram[6 + PEER_CID_SIZE] = 0;
    datagram[7 + PEER_CID_SIZE] = 0x44;
    datagram[8 + PEER_CID_SIZE] = 0x00;
    CU_ASSERT_EQUAL_FATAL(p->dcid.size, PEER_CID_SIZE);
    CU_ASSERT_EQUAL(mr_packet_parse(datagram, sizeof(datagram), PEER_CID_SIZE, &header),
                    MR_PACKET_OK);
    peer_deliver(p, datagram, sizeof(datagram));
    peer_advance(p, 10 * MR_MS);
    CU_ASSERT_TRUE(count_crypto(p, MR_PACKET_INITIAL) >= 1);
    CU_ASSERT_TRUE(count_crypto(p, MR_PACKET_HANDSHAKE) >= 1);
    peer_end(p);
}

/* A server that has a part of a ClientHello has nothing to repeat.  It still sends something, so
 * that its client, whose next attempt may be far away, has reason to speak; within what Section 8.1
 * of RFC 9000 allows, ever more rarely. */
static void a_server_asks_for_the_rest_of_a_client_hello(void)
{
    struct peer *p = peer_at(S, PEER_NOTHING);
    uint32_t bytes = 0;

    peer_set_initial_keys(p, &p->dcid);
    PEER_SEND_INITIAL(p, "\x06\x08\x04rest");
    peer_clear(p);
    p->bytes = 0;
    peer_advance(p, 1100 * MR_MS);
    CU_ASSERT_EQUAL_FATAL(p->inbox_count, 1);
    CU_ASSERT_EQUAL(p->inbox[0].type, MR_PACKET_INITIAL);
    CU_ASSERT_EQUAL(p->inbox[0].datagram_size, 1200); /* Section 14.1 of RFC 9000 */
    peer_advance(p, 13 * MR_SECOND);
    CU_ASSERT_TRUE(p->inbox_count >= 2);
    for (uint32_t i = 0; i < p->inbox_count; i++)
        bytes += p->inbox[i].datagram_size;
    CU_ASSERT_TRUE(bytes <= 3 * 1200);
    peer_end(p);
}

/* RFC 9002, Section 6.2.2.1: "the client MUST set the PTO timer if the client has not received an
 * acknowledgment for any of its Handshake packets and the handshake is not confirmed".
 * Section 8.1: "To prevent this deadlock, clients MUST send a packet on a Probe Timeout (PTO)."
 * Section 8.1: "Specifically, the client MUST send an Initial packet in a UDP datagram that
 * contains at least 1200 bytes if it does not have Handshake keys, and otherwise send a Handshake
 * packet." */
static void a_client_breaks_the_amplification_deadlock(void)
{
    struct peer *p = peer_at(C, PEER_HELLO);

    peer_clear(p);
    peer_send(p, MR_PACKET_INITIAL, "\x02\x00\x00\x00\x00", 5); /* all it sent is acknowledged */
    peer_clear(p);
    peer_advance(p, 5 * MR_SECOND);
    CU_ASSERT_TRUE(p->inbox_count >= 1);
    for (uint32_t i = 0; i < p->inbox_count; i++) {
        CU_ASSERT_EQUAL(p->inbox[i].type, MR_PACKET_INITIAL);
        CU_ASSERT_TRUE(p->inbox[i].datagram_size >= MR_INITIAL_MIN);
    }
    peer_end(p);
    p = peer_at(C, PEER_FLIGHT); /* it has Handshake keys; its Finished is lost */
    peer_clear(p);
    peer_advance(p, 5 * MR_SECOND);
    CU_ASSERT_TRUE(p->inbox_count >= 1);
    for (uint32_t i = 0; i < p->inbox_count; i++)
        CU_ASSERT_NOT_EQUAL(p->inbox[i].type, MR_PACKET_INITIAL);
    CU_ASSERT_EQUAL(p->inbox[0].type, MR_PACKET_HANDSHAKE);
    peer_end(p);
}

/* ------------------------------------------------------------------ floods */

/* Thousands of cheap frames and packets: no memory, few answers, no end. */
static void floods_of_cheap_frames_are_cheap(void)
{
    static const struct {
        const char *name;
        const char *bytes;
        size_t size;
    } floods[] = {
        {"PING", PEER_BYTES("\x01")},
        {"MAX_DATA", PEER_BYTES("\x10\x3f")},
        {"DATA_BLOCKED", PEER_BYTES("\x14\x3f")},
        {"STREAMS_BLOCKED", PEER_BYTES("\x16\x3f")},
        {"STOP_SENDING", PEER_BYTES("\x05\x00\x3f")},
        {"RESET_STREAM", PEER_BYTES("\x04\x00\x3f\x00")},
        {"empty STREAM", PEER_BYTES("\x0a\x00\x00")},
        {"ACK", PEER_BYTES("\x02\x00\x00\x00\x00")},
        {"PADDING", PEER_BYTES("\x00")},
        {"MAX_STREAM_DATA", PEER_BYTES("\x11\x00\x3f")},
        {"MAX_STREAMS", PEER_BYTES("\x12\x0c")},
        {"STREAM_DATA_BLOCKED", PEER_BYTES("\x15\x00\x3f")},
        {"RETIRE_CONNECTION_ID", PEER_BYTES("\x19\x01")},
        {"PATH_RESPONSE", PEER_BYTES("\x1b\1\2\3\4\5\6\7\10")},
    };

    for (size_t i = 0; i < MR_COUNT_OF(floods); i++) {
        struct peer *p = peer_at(S, PEER_DONE);
        uint8_t frames[1200];
        size_t size = 0;

        while (size + floods[i].size <= sizeof(frames)) {
            memcpy(frames + size, floods[i].bytes, floods[i].size);
            size += floods[i].size;
        }
        uint32_t before = p->datagrams;
        for (int k = 0; k < 50; k++)
            peer_send(p, MR_PACKET_ONE_RTT, frames, size);
        CU_ASSERT_TRUE(p->datagrams - before <= 60);
        CU_ASSERT_TRUE(p->side[S].buffers_out <= 1);
        peer_expect_close(p, floods[i].name, PEER_NO_CLOSE, 0);
        peer_end(p);
    }
}

/* ------------------------------------------------------------------ memory */

/* limits.h: "chunks_max [...] more: sending waits" - and goes on, though nothing is in flight. */
static void what_waits_for_memory_is_sent_when_there_is_some(void)
{
    struct peer *p = peer_at(C, PEER_DONE);
    struct mr_endpoint *ep = peer_endpoint(p);
    struct mr_view view = {.data = (const uint8_t *)"hello", .size = 5};
    mr_handle stream;
    uint32_t taken = MR_NONE; /* others hold all chunks: a list through their first bytes */

    CU_ASSERT_EQUAL(mr_stream_open(ep, p->conn, MR_OPEN_UNI, 0, &stream), 0);
    CU_ASSERT_EQUAL(mr_stream_send(ep, stream, &view, 1, MR_SEND_FIN), 0);
    for (uint32_t i; (i = mr_pool_get(&ep->chunks)) != MR_NONE; taken = i)
        memcpy(mr_pool_at(&ep->chunks, i), &taken, sizeof(taken));
    peer_drain(p);
    peer_advance(p, MR_SECOND);
    CU_ASSERT_EQUAL(p->inbox_count, 0);
    CU_ASSERT_TRUE(peer_counters(p)->limit_chunks > 0);
    CU_ASSERT_TRUE(peer_counters(p)->limit_chunks < 1000); /* it does not spin */
    while (taken != MR_NONE) {
        uint32_t i = taken;

        memcpy(&taken, mr_pool_at(&ep->chunks, i), sizeof(taken));
        mr_pool_put(&ep->chunks, i);
    }
    peer_advance(p, 2 * MR_MEMORY_RETRY_NS);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_STREAM | MR_STREAM_LEN | MR_STREAM_FIN), 1);
    peer_end(p);
}

/* ------------------------------------------------------------------ ICMP */

#define QUOTED 64 /* bytes that an error quotes */

static bool end_attempt(struct peer *p, const uint8_t *quoted, size_t size)
{
    bool is_over = mr_endpoint_unreachable(peer_endpoint(p), &p->path, quoted, size);

    CU_ASSERT_EQUAL(is_over, !mr_conn_is_alive(peer_conn(p)));
    return is_over;
}

/* Section 14.2.1 wants such messages to be validated by what they quote: addresses, ports, and
 * connection IDs. */
static void an_attempt_that_nobody_answers_ends_when_its_port_is_unreachable(void)
{
    struct peer *p = peer_at(C, PEER_HELLO);

    CU_ASSERT_TRUE(end_attempt(p, p->hello.bytes, QUOTED));
    peer_advance(p, MR_MS);
    const struct peer_event *closed = peer_event(p, MR_EVENT_CLOSED);
    CU_ASSERT_PTR_NOT_NULL_FATAL(closed);
    CU_ASSERT_EQUAL(closed->event.error, MR_CONNECTION_REFUSED);
    CU_ASSERT_FALSE(closed->event.is_remote);
    peer_end(p);
}

static void an_error_that_does_not_quote_both_connection_ids_is_ignored(void)
{
    struct peer *p = peer_at(C, PEER_HELLO);
    uint8_t quoted[QUOTED];
    size_t ids = 5 + 1 + p->hello.bytes[5] + 1 + MR_LOCAL_CID_SIZE;

    memcpy(quoted, p->hello.bytes, QUOTED);
    for (size_t size = 0; size < ids; size++)
        CU_ASSERT_FALSE(end_attempt(p, quoted, size));
    for (size_t i = 5; i < ids; i++) {
        quoted[i] ^= 1;
        CU_ASSERT_FALSE(end_attempt(p, quoted, QUOTED));
        quoted[i] ^= 1;
    }
    quoted[0] &= 0x7f; /* a short header */
    CU_ASSERT_FALSE(end_attempt(p, quoted, QUOTED));
    for (int i = 0; i < 4; i++) { /* another address or port */
        struct mr_addr *a = i % 2 == 0 ? &p->path.local : &p->path.remote;
        uint8_t *byte = i / 2 == 0 ? &a->ip[15] : (uint8_t *)&a->port;

        *byte ^= 1;
        CU_ASSERT_FALSE(end_attempt(p, p->hello.bytes, QUOTED));
        *byte ^= 1;
    }
    CU_ASSERT_TRUE(end_attempt(p, p->hello.bytes, QUOTED));
    peer_end(p);
}

static void a_server_that_was_heard_of_is_not_given_up_for_an_error(void)
{
    struct peer *p = peer_at(C, PEER_HELLO);

    peer_send(p, MR_PACKET_INITIAL, "\1", 1);
    CU_ASSERT_FALSE(end_attempt(p, p->hello.bytes, QUOTED));
    peer_end(p);
    p = peer_at(C, PEER_FLIGHT);
    CU_ASSERT_FALSE(end_attempt(p, p->hello.bytes, QUOTED));
    peer_end(p);
    p = peer_at(C, PEER_DONE);
    CU_ASSERT_FALSE(end_attempt(p, p->hello.bytes, QUOTED));
    peer_end(p);
    p = peer_at(S, PEER_HELLO); /* nor does a server end anything */
    CU_ASSERT_FALSE(end_attempt(p, p->hello.bytes, QUOTED));
    peer_end(p);
}

/* ------------------------------------------------------------------ memory of handshakes */

static int connect_one(struct peer *p)
{
    struct mr_connect_options options = {.server_name = "localhost",
                                         .alpn = (const uint8_t *)"\004peer",
                                         .alpn_size = 5,
                                         .remote = {.port = 443}};
    mr_handle conn;

    memcpy(options.remote.ip, p->path.remote.ip, sizeof(options.remote.ip));
    return mr_conn_connect(peer_endpoint(p), &options, &p->path.local, p->now, &conn);
}

/* Of four handshakes that there is memory for, one only waits for tickets: it makes room.  Those
 * under way do not. */
static void a_client_that_waits_for_tickets_makes_room_for_a_handshake(void)
{
    struct peer *p = peer_new(&(struct peer_options){.under_test = C, .connections = 8});
    uint8_t ticket[4096];

    peer_run(p, PEER_DONE);
    CU_ASSERT(mr_conn_ticket(peer_endpoint(p), p->conn, ticket, sizeof(ticket), p->now) >= 0);
    for (int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(connect_one(p), 0);
    CU_ASSERT_EQUAL(mr_conn_ticket(peer_endpoint(p), p->conn, ticket, sizeof(ticket), p->now), 0);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_handshakes, 0);
    CU_ASSERT_EQUAL(connect_one(p), -EAGAIN);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_handshakes, 1);
    PEER_SEND(p, "\x01"); /* the first one goes on */
    peer_expect_close(p, "without its handshake", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* Section 10.3: "A stateless reset is provided as an option of last resort for an endpoint that
 * does not have access to the state of a connection."  The server was killed, and is back: the
 * client's next packet ends its connection within a round trip. */
static void a_client_hears_at_once_that_its_server_began_again(void)
{
    struct peer *p = peer_new(&(struct peer_options){.under_test = C});
    mr_handle stream;

    peer_run(p, PEER_BOTH);
    for (int i = 0; i < 20; i++)
        peer_round_trip(p);
    peer_restart_partner(p);
    CU_ASSERT_TRUE(mr_conn_is_alive(peer_conn(p)));
    CU_ASSERT_EQUAL(mr_stream_open(p->side[C].ep, p->conn, 0, 0, &stream), 0);
    struct mr_view view = {.data = (const uint8_t *)"are you there?", .size = 14};
    CU_ASSERT_EQUAL(mr_stream_send(p->side[C].ep, stream, &view, 1, 0), 0);
    uint64_t asked_ns = p->now;
    peer_round_trip(p);                     /* there */
    peer_round_trip(p);                     /* and back */
    const struct peer_event *closed = NULL; /* the stream's comes before */
    for (uint32_t i = 0; i < p->event_count; i++) {
        if ((p->events[i].event.kinds & MR_EVENT_CLOSED) != 0 && p->events[i].event.stream == 0)
            closed = &p->events[i];
    }
    CU_ASSERT_PTR_NOT_NULL_FATAL(closed);
    CU_ASSERT_PTR_NOT_NULL(strstr(closed->reason, "stateless reset"));
    CU_ASSERT_EQUAL(p->now - asked_ns, 2 * PEER_LATENCY);
    CU_ASSERT_EQUAL(mr_endpoint_counters(p->side[S].ep)->stateless_resets_sent, 1);
    peer_end(p);
}

/* There were more shards than there are: nobody else can answer for theirs.
 * Section 21.11: "To defend against this style of denial of service, endpoints that share a static
 * key for stateless resets (see Section 10.3.2) MUST be arranged so that packets with a given
 * connection ID always arrive at an instance that has connection state" Section 21.11: "More
 * generally, servers MUST NOT generate a stateless reset if a connection with the corresponding
 * connection ID could be active on any endpoint using the same static key." */
static void a_connection_id_of_a_shard_that_is_gone_is_answered(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_cid_format gone = {.node = 1, .shard = 9};
    struct mr_cid cid = mr_cid_encode(&gone, 77);
    uint8_t packet[60] = {0x40};

    memcpy(packet + 1, cid.bytes, cid.size);
    p->side[S].ep->config.shards = 10;
    peer_deliver(p, packet, sizeof(packet));
    CU_ASSERT_EQUAL(peer_counters(p)->stateless_resets_sent, 0); /* that shard's to answer */
    CU_ASSERT_EQUAL(peer_counters(p)->redirects_out, 1);
    p->side[S].ep->config.shards = 2;
    peer_deliver(p, packet, sizeof(packet));
    CU_ASSERT_EQUAL(peer_counters(p)->stateless_resets_sent, 1);
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"every second packet is acknowledged at once", every_second_packet_is_acknowledged_at_once},
    {"a single packet is acknowledged within max_ack_delay",
     a_single_packet_is_acknowledged_within_max_ack_delay},
    {"handshake packets are acknowledged at once", handshake_packets_are_acknowledged_at_once},
    {"gaps are acknowledged at once", gaps_are_acknowledged_at_once},
    {"acknowledgements are not acknowledged", acknowledgements_are_not_acknowledged},
    {"acknowledgements of unsent packets end the connection",
     acknowledgements_of_unsent_packets_end_the_connection},
    {"probes carry the data", probes_carry_the_data},
    {"two datagrams repeat a hello", two_datagrams_repeat_a_hello},
    {"a probe takes the other space along", a_probe_takes_the_other_space_along},
    {"a probe carries all that is in flight if it fits",
     a_probe_carries_all_that_is_in_flight_if_it_fits},
    {"a server repeats its flight when asked again", a_server_repeats_its_flight_when_asked_again},
    {"a limited server goes on with whatever comes", a_limited_server_goes_on_with_whatever_comes},
    {"a server asks for the rest of a ClientHello", a_server_asks_for_the_rest_of_a_client_hello},
    {"a client breaks the amplification deadlock", a_client_breaks_the_amplification_deadlock},
    {"what waits for memory is sent when there is some",
     what_waits_for_memory_is_sent_when_there_is_some},
    {"floods of cheap frames are cheap", floods_of_cheap_frames_are_cheap},
    {"an attempt that nobody answers ends when its port is unreachable",
     an_attempt_that_nobody_answers_ends_when_its_port_is_unreachable},
    {"an error that does not quote both connection IDs is ignored",
     an_error_that_does_not_quote_both_connection_ids_is_ignored},
    {"a server that was heard of is not given up for an error",
     a_server_that_was_heard_of_is_not_given_up_for_an_error},
    {"a client that waits for tickets makes room for a handshake",
     a_client_that_waits_for_tickets_makes_room_for_a_handshake},
    {"10.3: a client hears at once that its server began again",
     a_client_hears_at_once_that_its_server_began_again},
    {"10.3: a connection ID of a shard that is gone is answered",
     a_connection_id_of_a_shard_that_is_gone_is_answered},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9000 life of a connection", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
