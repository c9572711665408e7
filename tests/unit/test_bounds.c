/*
 * tests/unit/test_bounds.c - the bounds of an endpoint (quic/limits.h and the _MAX of its parts):
 * what its peer and its application see when one is met, what is counted, and that all comes back.
 *
 * Bounds of single frames and of paths are tested in tests/conformance.
 */
#include "tests/support/peer_cases.h"

#define S MR_SERVER

/* ------------------------------------------------------------------ received packets */

static void ping_as(struct peer *p, uint64_t pn)
{
    peer_send_packet(
        p, &(struct peer_out){.type = MR_PACKET_ONE_RTT, .frames = "\x01", .size = 1, .pn = pn});
}

/* RFC 9000, Section 13.2.3: "A receiver limits the number of ACK Ranges (Section 19.3.1) it
 * remembers and sends in ACK frames"; "it MUST retain an ACK Range unless it can ensure that it
 * will not subsequently accept packets with numbers in that range." */
static void the_oldest_range_of_received_packets_gives_way(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    const struct mr_ack_ranges *received = &peer_conn(p)->app.received;
    uint64_t pn = p->next_pn[MR_SPACE_APP];

    while (received->count < MR_ACK_RANGES_MAX)
        ping_as(p, pn += 2);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_ack_ranges, 0);
    uint64_t oldest = received->range[MR_ACK_RANGES_MAX - 1].hi;
    for (uint64_t i = 1; i <= 5; i++) {
        ping_as(p, pn += 2);
        CU_ASSERT_EQUAL(peer_counters(p)->limit_ack_ranges, i);
        CU_ASSERT_EQUAL(received->count, MR_ACK_RANGES_MAX);
    }
    uint64_t packets = peer_counters(p)->packets_received;
    ping_as(p, oldest); /* nobody knows any more that it came: it is not processed again */
    ping_as(p, received->floor - 1);
    CU_ASSERT_EQUAL(peer_counters(p)->packets_received, packets);
    CU_ASSERT_EQUAL(peer_counters(p)->dropped_too_old, 2);
    ping_as(p, pn - 1); /* a gap is closed */
    CU_ASSERT_EQUAL(received->count, MR_ACK_RANGES_MAX - 1);
    CU_ASSERT_EQUAL(peer_counters(p)->packets_received, packets + 1);

    mr_conn_want(peer_endpoint(p), peer_conn(p), &peer_conn(p)->app, MR_WANT_PING);
    ping_as(p, pn + 1);
    p->next_pn[MR_SPACE_APP] = pn + 2;
    peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1); /* what was told is known */
    CU_ASSERT_EQUAL(received->count, 1);              /* with the ACK's own */
    ping_as(p, pn + 10);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_ack_ranges, 5);
    peer_expect_close(p, "ranges", PEER_NO_CLOSE, 0);
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"the oldest range of received packets gives way",
     the_oldest_range_of_received_packets_gives_way},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "bounds", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
