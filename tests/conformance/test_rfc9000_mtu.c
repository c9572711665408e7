/*
 * tests/conformance/test_rfc9000_mtu.c - RFC 9000, Section 14: probes of the path's MTU, and ICMP
 * messages about packets that are too big, true and false.
 */
#include "tests/support/peer_cases.h"

#define S          MR_SERVER
#define QUOTE_SIZE 40

/* A server with a path of 1,452 bytes. */
static struct peer *wide_peer(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_conn *conn = peer_conn(p);

    conn->path.mtu = 1452;
    mr_mtu_search_init(&conn->mtu_search);
    conn->app.wants &= ~(uint32_t)MR_WANT_MTU_PROBE;
    conn->skip_pn = UINT64_MAX;
    peer_clear(p);
    return p;
}

/* What a router quotes of a 1-RTT packet to us. */
static void quote(struct peer *p, uint8_t bytes[QUOTE_SIZE])
{
    const struct mr_cid *cid = &mr_cid_current(peer_conn(p))->cid;

    memset(bytes, 0x5a, QUOTE_SIZE);
    bytes[0] = 0x43;
    memcpy(&bytes[1], cid->bytes, cid->size);
}

static void look(struct peer *p)
{
    for (int i = 0; i < 10 && mr_endpoint_deadline(peer_endpoint(p)) == 0; i++)
        mr_endpoint_expire(peer_endpoint(p), p->now);
}

static bool tell(struct peer *p, const struct mr_path_addr *path, uint32_t size,
                 const uint8_t *bytes, size_t count)
{
    bool answer = mr_endpoint_too_big(peer_endpoint(p), path, size, bytes, count);

    look(p);
    peer_drain(p);
    return answer;
}

/* Section 14.4: "PMTU probes are ack-eliciting packets."  "Probe packets: The network interface
 * below the PL is REQUIRED to provide a way to transmit a probe packet that is larger than the
 * PLPMTU." (RFC 8899, Section 3)  "Reception feedback: The destination PL endpoint is REQUIRED to
 * provide a feedback method that indicates to the DPLPMTUD sender when a probe packet has been
 * received by the destination PL endpoint." (RFC 8899, Section 3)  "A receiver is REQUIRED to be
 * able to distinguish an in-band data block from any added padding." (RFC 8899, Section 4.1) "Probe
 * messages sent by a PL MUST contain enough information to uniquely identify the probe within the
 * Maximum Segment Lifetime ..." (RFC 8899, Section 4.1) */
static void probes_ask_for_an_ack_and_have_their_size(void)
{
    struct peer *p = wide_peer();
    struct mr_conn *conn = peer_conn(p);
    struct mr_reader r;

    conn->path.mtu = 1200;
    uint64_t raised = peer_counters(p)->mtu_raised;
    mr_mtu_begin(peer_endpoint(p), conn, p->now);
    peer_drain(p);
    const struct peer_packet *probe = peer_find(p, MR_FRAME_PING, 0, &r);
    CU_ASSERT_PTR_NOT_NULL_FATAL(probe);
    CU_ASSERT_EQUAL(probe->datagram_size, 1452);
    peer_ack(p, probe->pn, probe->pn);
    CU_ASSERT_EQUAL(conn->path.mtu, 1452);
    CU_ASSERT_EQUAL(peer_counters(p)->mtu_raised, raised + 1);
    peer_end(p);
}

/* RFC 8899, Section 3: "A PL MUST NOT send a datagram (other than a probe packet) with a size at
 * the PL that is larger than the current PLPMTU."  Section 8: "To avoid excessive load, the
 * interval between individual probe packets MUST be at least one RTT": there is one at a time, and
 * the next when it is acknowledged or lost. */
static void all_but_one_probe_have_the_size_that_is_known(void)
{
    static const uint8_t data[100000];
    struct mr_view view = {.data = data, .size = sizeof(data)};
    struct peer *p = wide_peer();
    struct mr_conn *conn = peer_conn(p);
    mr_handle stream;

    conn->path.mtu = 1200;
    mr_mtu_begin(peer_endpoint(p), conn, p->now);
    CU_ASSERT_EQUAL(mr_stream_open(peer_endpoint(p), p->conn, MR_OPEN_UNI, 0, &stream), 0);
    CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), stream, &view, 1, 0), 0);
    for (int round = 0; round < 3; round++) {
        uint32_t large = 0;
        uint64_t last = 0;
        peer_drain(p);
        CU_ASSERT_TRUE(round > 0 || p->inbox_count > 3);
        for (uint32_t i = 0; i < p->inbox_count; i++) {
            large += p->inbox[i].datagram_size > 1200;
            last = p->inbox[i].datagram_size > 1200 ? last : p->inbox[i].pn;
        }
        CU_ASSERT_TRUE(large == 1 || (round > 0 && large == 0));
        CU_ASSERT_EQUAL(conn->path.mtu, 1200);
        peer_clear(p);
        p->now += MR_MS;
        peer_ack(p, last, last); /* the probe counts as lost, and is made again */
    }
    peer_expect_close(p, "beside a probe", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* In place of its max_idle_timeout the partner says max_udp_payload_size: 1300. */
static void take_1300_bytes_only(uint8_t *params, size_t size)
{
    struct mr_reader r = mr_reader(params, size);

    while (mr_reader_left(&r) > 0) {
        uint8_t *at = params + (r.at - params);
        uint64_t id = mr_read_varint(&r);
        uint64_t value_size = mr_read_varint(&r);

        mr_read_bytes(&r, value_size);
        if (id != MR_PARAM_MAX_IDLE_TIMEOUT)
            continue;
        CU_ASSERT_EQUAL_FATAL(value_size, 4);
        memcpy(at, "\x03\x04\x80\x00\x05\x14", 6);
        return;
    }
    CU_FAIL_FATAL("no max_idle_timeout");
}

/* Section 18.2: "The maximum UDP payload size parameter is an integer value that limits the size of
 * UDP payloads that the endpoint is willing to receive." */
static void no_datagram_is_larger_than_the_peer_takes(void)
{
    static const uint8_t data[60000];
    struct mr_view view = {.data = data, .size = sizeof(data)};
    struct peer *p =
        peer_new(&(struct peer_options){.under_test = S, .edit_params = take_1300_bytes_only});
    uint32_t largest = 0;

    peer_run(p, PEER_DONE);
    CU_ASSERT_PTR_NULL(p->edit_params);
    peer_conn(p)->skip_pn = UINT64_MAX;
    PEER_SEND(p, "\x08\x00hello");
    const struct peer_event *event = peer_event(p, MR_EVENT_STREAM_OPENED);
    CU_ASSERT_PTR_NOT_NULL_FATAL(event);
    CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), event->event.stream, &view, 1, 0), 0);
    for (int i = 0; i < 30; i++) {
        peer_advance(p, 50 * MR_MS);
        for (uint32_t k = 0; k < p->inbox_count; k++)
            largest = MR_MAX(largest, p->inbox[k].datagram_size);
        peer_clear(p);
        peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1);
    }
    CU_ASSERT_EQUAL(largest, 1300);
    peer_expect_close(p, "1300 bytes", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* Section 14.4: "Loss of a QUIC packet that is carried in a PMTU probe is therefore not a reliable
 * indication of congestion and SHOULD NOT trigger a congestion control reaction". */
static void a_lost_probe_is_no_congestion(void)
{
    struct peer *p = wide_peer();
    struct mr_conn *conn = peer_conn(p);
    struct mr_reader r;

    conn->path.mtu = 1200;
    uint64_t window = mr_cc_window(&conn->path.cc);
    mr_mtu_begin(peer_endpoint(p), conn, p->now);
    peer_drain(p);
    const struct peer_packet *probe = peer_find(p, MR_FRAME_PING, 0, &r);
    CU_ASSERT_PTR_NOT_NULL_FATAL(probe);
    uint64_t pn = probe->pn;
    for (int i = 0; i < 4; i++) {
        mr_conn_want(peer_endpoint(p), conn, &conn->app, MR_WANT_PING);
        peer_drain(p);
    }
    peer_ack(p, pn + 1, pn + 4);
    CU_ASSERT_EQUAL(conn->mtu_search.tries, 1);
    CU_ASSERT_EQUAL(peer_counters(p)->congestion_events, 0);
    CU_ASSERT_TRUE(mr_cc_window(&conn->path.cc) >= window);
    peer_end(p);
}

/* Section 14.2.1: "This validation SHOULD use the quoted packet [...] to associate the message with
 * a corresponding transport connection" and what was said is probed for at once.  "PTB messages
 * that have been validated MAY be utilized by the DPLPMTUD algorithm but MUST NOT be used directly
 * to set the PLPMTU." (RFC 8899, Section 4.6.2)  "A validated PTB message MAY be used as input to
 * the DPLPMTUD algorithm but MUST NOT be used directly to set the PLPMTU." (RFC 8899,
 * Section 6.1.6) */
static void a_true_message_lowers_the_mtu(void)
{
    struct peer *p = wide_peer();
    struct mr_conn *conn = peer_conn(p);
    uint8_t bytes[QUOTE_SIZE];
    struct mr_reader r;

    quote(p, bytes);
    CU_ASSERT_TRUE(tell(p, &conn->path.addr, 1300, bytes, sizeof(bytes)));
    CU_ASSERT_EQUAL(conn->path.mtu, MR_INITIAL_MIN);
    CU_ASSERT_EQUAL(peer_counters(p)->too_big_taken, 1);
    const struct peer_packet *probe = peer_find(p, MR_FRAME_PING, 0, &r);
    CU_ASSERT_PTR_NOT_NULL_FATAL(probe);
    CU_ASSERT_EQUAL(probe->datagram_size, 1300);
    peer_ack(p, probe->pn, probe->pn);
    CU_ASSERT_EQUAL(conn->path.mtu, 1300);
    CU_ASSERT_EQUAL(peer_close_error(p, NULL), PEER_NO_CLOSE);
    peer_end(p);
}

/* Section 14.2.1, false messages: "ICMP message validation MUST include matching IP addresses and
 * UDP ports [RFC8085] and, when possible, connection IDs"; "An endpoint MUST ignore an ICMP message
 * that claims the PMTU has decreased below QUIC's smallest allowed maximum datagram size"; "An
 * endpoint MUST NOT increase the PMTU based on ICMP messages".  "Any received PTB message MUST be
 * validated before it is used to update the PLPMTU discovery information [RFC8201]." (RFC 8899,
 * Section 3)  "A PL that supports PTB messages MUST validate these messages before they are further
 * processed." (RFC 8899, Section 4.6.1)  "The PL MUST check the protocol information in the quoted
 * packet carried in an ICMP PTB message payload to validate the message originated from the sending
 * node." (RFC 8899, Section 4.6.1)  "A PTB message that does not complete the validation MUST NOT
 * be further utilized by the DPLPMTUD method, as discussed in the Security Considerations section
 * (Section 8)." (RFC 8899, Section 4.6.1)  "A node supporting DPLPMTUD MUST therefore appropriately
 * validate the payload of PTB messages to ensure these are received ..." (RFC 8899, Section 8) */
static void false_messages_change_nothing(void)
{
    enum lie {
        OTHER_REMOTE,
        OTHER_PORT,
        OTHER_LOCAL,
        OTHER_CID,
        SHORT_QUOTE,
        NO_QUOTE,
        TINY,
        ZERO,
        LARGER,
        LIES
    };

    for (int lie = 0; lie < LIES; lie++) {
        struct peer *p = wide_peer();
        struct mr_path_addr path = peer_conn(p)->path.addr;
        uint8_t bytes[QUOTE_SIZE];
        quote(p, bytes);
        path.remote.ip[15] ^= lie == OTHER_REMOTE;
        path.remote.port = (uint16_t)(path.remote.port + (lie == OTHER_PORT));
        path.local.ip[15] ^= lie == OTHER_LOCAL;
        bytes[8] ^= lie == OTHER_CID;
        size_t size = lie == SHORT_QUOTE ? 8 : lie == NO_QUOTE ? 0 : sizeof(bytes);
        uint32_t mtu = lie == TINY ? 1199 : lie == ZERO ? 0 : lie == LARGER ? 9000 : 1300;

        (void)tell(p, &path, mtu, bytes, size);
        CU_ASSERT_EQUAL(peer_conn(p)->path.mtu, 1452);
        CU_ASSERT_EQUAL(peer_conn(p)->mtu_search.target, 0);
        CU_ASSERT_EQUAL(peer_counters(p)->too_big_taken, 0);
        CU_ASSERT_EQUAL(peer_counters(p)->too_big_ignored, 1);
        CU_ASSERT_EQUAL(p->inbox_count, 0);
        peer_end(p);
    }
}

/* A flood costs a part of the connections per call, and is counted. */
static void a_flood_of_messages_is_bounded(void)
{
    struct peer *p = wide_peer();
    uint8_t bytes[QUOTE_SIZE] = {0x40};
    uint32_t taken = 0;

    for (int i = 0; i < 1000; i++)
        taken += mr_endpoint_too_big(peer_endpoint(p), &peer_conn(p)->path.addr, 1300, bytes,
                                     sizeof(bytes));
    CU_ASSERT_EQUAL(taken, MR_TOO_BIG_MAX);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_too_big, 1000 - MR_TOO_BIG_MAX);
    look(p);
    CU_ASSERT_EQUAL(peer_endpoint(p)->too_big_count, 0);
    quote(p, bytes); /* and a true one is heard again */
    CU_ASSERT_TRUE(tell(p, &peer_conn(p)->path.addr, 1300, bytes, sizeof(bytes)));
    CU_ASSERT_EQUAL(peer_counters(p)->too_big_taken, 1);
    peer_end(p);
}

/* RFC 8899, Section 4.3: a path that lets large packets through no more is found out by timeouts,
 * and what is sent then has the base's size.  "A DPLPMTUD method MUST NOT rely solely on this
 * method." (RFC 8899, Section 4.3) */
static void timeouts_in_a_row_are_a_black_hole(void)
{
    static uint8_t data[20000];
    struct peer *p = wide_peer();
    struct mr_view view = {.data = data, .size = sizeof(data)};
    mr_handle stream;

    CU_ASSERT_EQUAL(mr_stream_open(peer_endpoint(p), p->conn, MR_OPEN_UNI, 0, &stream), 0);
    CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), stream, &view, 1, 0), 0);
    peer_drain(p);
    CU_ASSERT_TRUE(p->inbox[0].datagram_size > MR_INITIAL_MIN);
    peer_clear(p);
    peer_advance(p, 2 * MR_SECOND);
    CU_ASSERT_EQUAL(peer_counters(p)->mtu_black_holes, 1);
    CU_ASSERT_EQUAL(peer_conn(p)->path.mtu, MR_INITIAL_MIN);
    bool has_small = false;
    for (uint32_t i = 0; i < p->inbox_count; i++)
        has_small |= p->inbox[i].datagram_size == MR_INITIAL_MIN;
    CU_ASSERT_TRUE(has_small);
    peer_end(p);
}

/* RFC 8899, Section 5.1.1: the PMTU_RAISE_TIMER; only with traffic, an idle connection stays so. */
static void a_search_begins_again_with_traffic_after_ten_minutes(void)
{
    struct peer *p = wide_peer();
    struct mr_conn *conn = peer_conn(p);

    conn->idle_timeout_ns = 0;
    conn->path.mtu = 1300;
    conn->mtu_search.raise_ns = p->now + MR_MTU_RAISE_NS;
    peer_advance(p, MR_MTU_RAISE_NS + MR_SECOND);
    CU_ASSERT_EQUAL(conn->mtu_search.target, 0);
    uint64_t pn = mr_sent_next(&conn->app.sent);
    mr_conn_want(peer_endpoint(p), conn, &conn->app, MR_WANT_PING);
    peer_drain(p);
    peer_ack(p, pn, pn);
    CU_ASSERT_EQUAL(conn->mtu_search.target, 1452);
    CU_ASSERT_TRUE(conn->mtu_search.is_in_flight);
    peer_end(p);
}

/* ------------------------------------------------------------------ another path */

/* The client goes on from another host: what is sent there passes up to `passes` bytes, until the
 * search is over.  Returns the largest datagram but for the probes. */
static uint32_t go_on_elsewhere(struct peer *p, uint32_t passes)
{
    static const uint8_t ping[1150] = {MR_FRAME_PING};
    struct mr_conn *conn = peer_conn(p);
    uint32_t largest = 0;

    peer_clear(p);
    p->path.remote.ip[15] ^= 64;
    peer_send(p, MR_PACKET_ONE_RTT, ping, sizeof(ping));
    CU_ASSERT_TRUE(mr_path_addr_equal(&conn->path.addr, &p->path));
    CU_ASSERT_TRUE(peer_answer_challenge(p, 0));
    CU_ASSERT_TRUE(conn->path.is_validated);
    for (int round = 0; round < 200; round++) {
        uint64_t small[PEER_INBOX_MAX];
        uint32_t count = 0;

        for (uint32_t i = 0; i < p->inbox_count; i++) {
            const struct peer_packet *packet = &p->inbox[i];
            struct mr_reader r = mr_reader(packet->bytes, packet->size);
            bool is_probe = packet->size > 1 && mr_read_varint(&r) == MR_FRAME_PING;

            largest = MR_MAX(largest, is_probe ? 0 : packet->datagram_size);
            if (packet->datagram_size <= passes)
                small[count++] = packet->pn;
        }
        peer_clear(p);
        p->now += MR_MS;
        for (uint32_t i = 0; i < count; i++)
            peer_ack(p, small[i], small[i]);
        if (count == 0)
            peer_advance(p, 100 * MR_MS);
    }
    return largest;
}

/* Section 14.2: "Each pair of local and remote addresses could have a different PMTU.  QUIC
 * implementations that implement any kind of PMTU discovery therefore SHOULD maintain a maximum
 * datagram size for each combination of local and remote IP addresses." */
static void each_path_has_an_mtu_of_its_own(void)
{
    static const uint8_t data[100000];
    struct mr_view view = {.data = data, .size = sizeof(data)};
    struct peer *p = wide_peer();
    struct mr_conn *conn = peer_conn(p);
    mr_handle stream;

    CU_ASSERT_EQUAL(mr_stream_open(peer_endpoint(p), p->conn, MR_OPEN_UNI, 0, &stream), 0);
    CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), stream, &view, 1, 0), 0);
    p->path.remote.port++; /* a NAT's other port is the same path, as far as sizes go */
    PEER_SEND(p, "\x01");
    CU_ASSERT_TRUE(mr_path_addr_equal(&conn->path.addr, &p->path));
    CU_ASSERT_TRUE(peer_answer_challenge(p, 0));
    CU_ASSERT_EQUAL(conn->path.mtu, 1452);
    CU_ASSERT_TRUE(go_on_elsewhere(p, 1300) <= 1300);
    CU_ASSERT_EQUAL(conn->mtu_search.target, 0); /* it is over, within a part in 32 */
    CU_ASSERT_TRUE(conn->path.mtu > 1300 - 1300 / MR_MTU_PART && conn->path.mtu <= 1300);
    CU_ASSERT_EQUAL(peer_counters(p)->mtu_black_holes, 0); /* it was never thought to be larger */
    peer_expect_close(p, "another path", PEER_NO_CLOSE, 0);
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"probes ask for an ACK and have their size", probes_ask_for_an_ack_and_have_their_size},
    {"all but one probe have the size that is known",
     all_but_one_probe_have_the_size_that_is_known},
    {"no datagram is larger than the peer takes", no_datagram_is_larger_than_the_peer_takes},
    {"a lost probe is no congestion", a_lost_probe_is_no_congestion},
    {"a true message lowers the MTU", a_true_message_lowers_the_mtu},
    {"false messages change nothing", false_messages_change_nothing},
    {"a flood of messages is bounded", a_flood_of_messages_is_bounded},
    {"timeouts in a row are a black hole", timeouts_in_a_row_are_a_black_hole},
    {"a search begins again with traffic after ten minutes",
     a_search_begins_again_with_traffic_after_ten_minutes},
    {"each path has an MTU of its own", each_path_has_an_mtu_of_its_own},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9000 MTU", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
