/*
 * tests/conformance/test_rfc9002.c - RFC 9002 on a whole connection: what the congestion controller
 * and the pacer say is done.  Rules of one module each are in test_recovery.c.
 */
#include "tests/support/peer_cases.h"

#define BURST 16 /* datagrams that may go back to back */

static mr_handle stream;

/* It gets so many bytes to send, and sends what it may at once. */
static void give(struct peer *p, size_t bytes)
{
    static const uint8_t data[1 << 20];
    struct mr_view view = {.data = data, .size = bytes};

    CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), stream, &view, 1, 0), 0);
    peer_drain(p);
}

static uint64_t newest_pn(struct peer *p)
{
    return mr_sent_next(&peer_conn(p)->app.sent) - 1;
}

static uint64_t window(struct peer *p)
{
    return mr_cc_window(&peer_conn(p)->path.cc);
}

/* The most packets that came at one time. */
static uint32_t largest_burst(const struct peer *p)
{
    uint32_t most = 0;
    uint32_t count = 0;

    for (uint32_t i = 0; i < p->inbox_count; i++) {
        count = i > 0 && p->inbox[i].at_ns == p->inbox[i - 1].at_ns ? count + 1 : 1;
        most = MR_MAX(most, count);
    }
    return most;
}

/*
 * Section 7.7: "A sender SHOULD pace sending of all in-flight packets based on input from the
 * congestion controller.": a window of 40 packets takes half of a round trip in slow start.
 */
static void a_window_is_spread_over_the_round_trip(void)
{
    struct peer *p = peer_sender(&stream);
    uint64_t rtt_ns = peer_conn(p)->path.rtt.smoothed_ns;
    uint64_t begun = p->now;

    mr_cc_set_window(&peer_conn(p)->path.cc, UINT64_C(40) * peer_conn(p)->path.mtu);
    mr_pacer_refresh(peer_conn(p), p->now);
    give(p, 100000);
    CU_ASSERT_EQUAL(p->inbox_count, BURST);
    CU_ASSERT_NOT_EQUAL(peer_conn(p)->pacing_until_ns, MR_NEVER);
    while (peer_conn(p)->pacing_until_ns != MR_NEVER && p->now < begun + MR_SECOND)
        peer_advance(p, 100 * MR_US);
    CU_ASSERT_EQUAL(p->inbox_count, 40);
    CU_ASSERT_TRUE(largest_burst(p) <= BURST);
    uint64_t took = p->inbox[39].at_ns - begun;
    CU_ASSERT_TRUE(took >= rtt_ns * 30 / 40 / 2 - MR_MS && took <= rtt_ns);
    peer_end(p);
}

/* The same: "To avoid delaying their delivery to the peer, packets containing only ACK frames
 * SHOULD therefore not be paced." */
static void acknowledgements_are_not_paced(void)
{
    struct peer *p = peer_sender(&stream);

    mr_cc_set_window(&peer_conn(p)->path.cc, UINT64_C(40) * peer_conn(p)->path.mtu);
    mr_pacer_refresh(peer_conn(p), p->now);
    give(p, 100000);
    CU_ASSERT_NOT_EQUAL(peer_conn(p)->pacing_until_ns, MR_NEVER);
    peer_clear(p);
    uint64_t now = p->now;
    PEER_SEND(p, "\x01");
    PEER_SEND(p, "\x01");
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_ACK), 1);
    CU_ASSERT_EQUAL(p->now, now);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_STREAM), 0);
    peer_end(p);
}

/* Section 7.8: "When this occurs, the congestion window SHOULD NOT be increased in either slow
 * start or congestion avoidance.": when the window is underutilized. */
static void a_window_that_is_not_used_does_not_grow(void)
{
    for (int is_avoiding = 0; is_avoiding < 2; is_avoiding++) {
        struct peer *p = peer_sender(&stream);
        struct mr_cc *cc = &peer_conn(p)->path.cc;

        if (is_avoiding != 0)
            cc->ssthresh = window(p);
        uint64_t before = window(p);
        for (int i = 0; i < 30; i++) {
            give(p, 1000);
            peer_advance(p, 10 * MR_MS);
            peer_ack(p, newest_pn(p), newest_pn(p));
        }
        CU_ASSERT_EQUAL(window(p), before);
        give(p, 100000); /* all of it is used */
        peer_advance(p, 20 * MR_MS);
        for (int i = 0; i < 2; i++) {
            peer_ack(p, 0, newest_pn(p));
            peer_advance(p, 20 * MR_MS);
        }
        CU_ASSERT_TRUE(window(p) > before);
        peer_end(p);
    }
}

/* The same: "A sender SHOULD NOT consider itself application limited if it would have fully
 * utilized the congestion window without pacing delay." */
static void a_paced_sender_is_not_limited_by_its_application(void)
{
    struct peer *p = peer_sender(&stream);

    mr_cc_set_window(&peer_conn(p)->path.cc, UINT64_C(100) * peer_conn(p)->path.mtu);
    mr_pacer_refresh(peer_conn(p), p->now);
    uint64_t before = window(p);
    give(p, 200000);
    CU_ASSERT_NOT_EQUAL(peer_conn(p)->pacing_until_ns, MR_NEVER);
    CU_ASSERT_TRUE(peer_conn(p)->path.cc.in_flight < before / 2);
    uint64_t acked = peer_conn(p)->path.cc.in_flight;
    peer_ack(p, 0, newest_pn(p));
    CU_ASSERT_EQUAL(window(p), before + acked);
    peer_end(p);
}

/*
 * Section 7.6.2: "When persistent congestion is declared, the sender's congestion window MUST be
 * reduced to the minimum congestion window (kMinimumWindow), similar to a TCP sender's response on
 * an RTO".  Section 5.2: "Endpoints SHOULD set the min_rtt to the newest RTT sample after
 * persistent congestion is established."
 */
static void persistent_congestion_begins_anew(void)
{
    for (int is_short = 0; is_short < 2; is_short++) {
        struct peer *p = peer_sender(&stream);
        struct mr_rtt *rtt = &peer_conn(p)->path.rtt;
        uint64_t least = rtt->min_ns;
        uint64_t duration = mr_rtt_persistent_duration(rtt);

        mr_cc_set_window(&peer_conn(p)->path.cc, UINT64_C(40) * peer_conn(p)->path.mtu);
        give(p, 3000);
        peer_advance(p, is_short != 0 ? duration / 2 : 2 * duration); /* and its probes */
        for (int i = 0; i < 5; i++)
            give(p, 1000);
        peer_advance(p, 3 * least);
        peer_ack(p, newest_pn(p), newest_pn(p));
        CU_ASSERT_EQUAL(peer_counters(p)->persistent_congestions, is_short == 0);
        CU_ASSERT_EQUAL(window(p) == UINT64_C(2) * peer_conn(p)->path.mtu, is_short == 0);
        CU_ASSERT_EQUAL(rtt->min_ns == rtt->latest_ns, is_short == 0);
        CU_ASSERT_TRUE(rtt->latest_ns > least);
        peer_end(p);
    }
}

/* The same: "The persistent congestion period SHOULD NOT start until there is at least one RTT
 * sample.": a client whose first answer comes late has its whole window. */
static void no_persistent_congestion_before_the_first_sample(void)
{
    struct peer *p = peer_at(MR_CLIENT, PEER_HELLO);
    uint8_t ack[] = {0x02, 0, 0, 0, 0};

    while (peer_counters(p)->ptos < 3 && p->now < 100 * MR_SECOND)
        peer_advance(p, 10 * MR_MS);
    const struct peer_packet *newest = &p->inbox[p->inbox_count - 1];
    CU_ASSERT_TRUE_FATAL(newest->type == MR_PACKET_INITIAL && newest->pn >= 3 && newest->pn < 64);
    ack[1] = (uint8_t)newest->pn;
    peer_send(p, MR_PACKET_INITIAL, ack, sizeof(ack));
    CU_ASSERT_TRUE(peer_counters(p)->packets_lost > 0);
    CU_ASSERT_EQUAL(peer_counters(p)->persistent_congestions, 0);
    CU_ASSERT_TRUE(window(p) > UINT64_C(2) * peer_conn(p)->path.mtu);
    peer_end(p);
}

/*
 * Section 6.2.1: "When a PTO timer expires, the PTO backoff MUST be increased, resulting in the PTO
 * period being set to twice its current value.  The PTO backoff factor is reset when an
 * acknowledgment is received".
 */
static void each_probe_timeout_is_twice_the_last(void)
{
    struct peer *p = peer_sender(&stream);

    for (int round = 0; round < 2; round++) {
        uint64_t times[6];
        uint64_t count = peer_counters(p)->ptos;

        give(p, 100);
        uint64_t from = p->now;
        for (int i = 0; i < 6; i++) {
            while (peer_counters(p)->ptos == count && p->now < from + 60 * MR_SECOND)
                peer_advance(p, MR_MS);
            count = peer_counters(p)->ptos;
            times[i] = p->now - from;
            from = p->now;
        }
        CU_ASSERT_TRUE(times[0] <= mr_rtt_pto(&peer_conn(p)->path.rtt, MR_SPACE_APP) + MR_MS);
        for (int i = 1; i < 6; i++)
            CU_ASSERT_TRUE(times[i] + 4 * MR_MS >= 2 * times[i - 1] &&
                           times[i] <= 2 * times[i - 1] + 4 * MR_MS);
        peer_ack(p, 0, newest_pn(p));
        peer_advance(p, 100 * MR_MS);
    }
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"5.2, 7.6.2: persistent congestion begins anew", persistent_congestion_begins_anew},
    {"7.6.2: no persistent congestion before the first sample",
     no_persistent_congestion_before_the_first_sample},
    {"6.2.1: each probe timeout is twice the last", each_probe_timeout_is_twice_the_last},
    {"7.7: a window is spread over the round trip", a_window_is_spread_over_the_round_trip},
    {"7.7: acknowledgements are not paced", acknowledgements_are_not_paced},
    {"7.8: a window that is not used does not grow", a_window_that_is_not_used_does_not_grow},
    {"7.8: a paced sender is not limited by its application",
     a_paced_sender_is_not_limited_by_its_application},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9002", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
