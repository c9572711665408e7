/*
 * tests/conformance/test_rfc9000_ecn.c - RFC 9000, Section 13.4: marks on what we send, their
 * validation, and what a peer may lie about them.
 */
#include "tests/support/peer_cases.h"

#define C MR_CLIENT
#define S MR_SERVER

static struct peer *marking_peer(enum mr_role under_test, enum peer_stage stage)
{
    struct peer_options options = {.under_test = under_test, .has_ecn = true};
    struct peer *p = peer_new(&options);

    peer_run(p, stage);
    return p;
}

/* A peer of a server whose path begins to be tested with its next packet. */
static struct peer *fresh_peer(void)
{
    struct peer *p = marking_peer(S, PEER_DONE);
    struct mr_conn *conn = peer_conn(p);

    conn->app.ecn_reports = (struct mr_ecn_reports){0};
    mr_ecn_begin(&conn->path.ecn, MR_ECN_ECT0, mr_sent_next(&conn->app.sent));
    peer_clear(p);
    return p;
}

/* Let it send `count` packets that ask for an ACK; the number of the first. */
static uint64_t pings(struct peer *p, uint32_t count)
{
    struct mr_conn *conn = peer_conn(p);
    uint64_t first = mr_sent_next(&conn->app.sent);

    conn->skip_pn = UINT64_MAX;
    for (uint32_t i = 0; i < count; i++) {
        mr_conn_want(peer_endpoint(p), conn, &conn->app, MR_WANT_PING);
        peer_drain(p);
    }
    CU_ASSERT_EQUAL(mr_sent_next(&conn->app.sent), first + count);
    return first;
}

/* An ACK of lo..hi; `counts` NULL: without. */
static void ack(struct peer *p, uint64_t lo, uint64_t hi, const struct mr_ecn_counts *counts)
{
    uint8_t frame[64];
    struct mr_writer w = mr_writer(frame, sizeof(frame));
    struct mr_ack_range range = {.lo = lo, .hi = hi};

    mr_frame_write_ack(&w, &range, 1, 0, counts);
    peer_send(p, MR_PACKET_ONE_RTT, frame, mr_writer_size(&w));
}

static uint8_t state_of(struct peer *p)
{
    struct mr_conn_info info;

    CU_ASSERT_EQUAL(mr_conn_info(peer_endpoint(p), p->conn, &info), 0);
    CU_ASSERT_EQUAL(info.ecn, peer_conn(p)->path.ecn.state);
    return info.ecn;
}

/* Section 13.4.2: "The endpoint sets an ECT(0) codepoint in the IP header of early outgoing packets
 * sent on a new path to the peer". */
static void early_packets_of_all_spaces_carry_ect0(void)
{
    static const struct {
        enum mr_role under_test;
        enum peer_stage stage;
    } rows[] = {{C, PEER_FLIGHT}, {S, PEER_HELLO}, {S, PEER_FLIGHT}};

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct peer *p = marking_peer(rows[i].under_test, rows[i].stage);
        CU_ASSERT_TRUE(p->inbox_count > 0 && p->inbox_count <= MR_ECN_TEST_PACKETS);
        for (uint32_t k = 0; k < p->inbox_count; k++)
            CU_ASSERT_EQUAL(p->inbox[k].ecn, MR_ECN_ECT0);
        peer_end(p);
    }
    struct peer *off = peer_at(S, PEER_HELLO);
    for (uint32_t k = 0; k < off->inbox_count; k++)
        CU_ASSERT_EQUAL(off->inbox[k].ecn, MR_ECN_NOT_ECT);
    peer_end(off);
}

/* Two endpoints that mark validate each other within a handshake and some round trips; both report
 * in ACK frames of type 0x03 (Section 13.4.1: "the endpoint MUST provide feedback about ECN
 * markings it receives").
 * Section 19.3: "QUIC implementations MUST properly handle both types, and, if they have enabled
 * ECN for packets they send, they SHOULD use the information in the ECN section to manage their
 * congestion state." */
static void two_endpoints_validate_each_other(void)
{
    struct peer *p = marking_peer(S, PEER_BOTH);

    for (int i = 0; i < 12; i++) {
        struct mr_conn *conn = peer_conn(p);
        mr_conn_want(peer_endpoint(p), conn, &conn->app, MR_WANT_PING);
        peer_round_trip(p);
        peer_round_trip(p);
        p->now += 30 * MR_MS;
    }
    CU_ASSERT_EQUAL(state_of(p), MR_CONN_ECN_CAPABLE);
    CU_ASSERT_EQUAL(peer_counters(p)->ecn_validated, 1);
    CU_ASSERT_EQUAL(peer_counters(p)->ecn_failures, 0);
    peer_end(p);
}

/* Section 13.4.2.1, from a path of which 10 packets were validated and 3 more are out.
 * Section 13.4.2.2: "Network routing and path elements can change mid-connection; an endpoint MUST
 * disable ECN if validation later fails." */
static void lies_about_counts_disable_ecn(void)
{
    static const struct {
        const char *name;
        bool has_counts;
        struct mr_ecn_counts counts;
        bool is_right;
    } rows[] = {
        {"as sent", true, {13, 0, 0}, true},
        {"CE", true, {12, 0, 1}, true},
        {"missing: \"ECN validation fails if the corresponding ECN counts are not present\"",
         false,
         {0, 0, 0},
         false},
        {"\"less than the number of newly acknowledged packets\"", true, {12, 0, 0}, false},
        {"falling", true, {9, 0, 4}, false},
        {"\"exceeds the total number of packets sent\"", true, {14, 0, 0}, false},
        {"far too large", true, {1000, 0, (UINT64_C(1) << 62) - 1}, false},
        {"\"an ECT codepoint that it never applied\"", true, {13, 1, 0}, false},
        {"remarked", true, {10, 3, 0}, false},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct peer *p = fresh_peer();
        uint64_t first = pings(p, 10);
        ack(p, first, first + 9, &(struct mr_ecn_counts){.ect0 = 10});
        CU_ASSERT_EQUAL(state_of(p), MR_CONN_ECN_CAPABLE);
        first = pings(p, 3);
        peer_clear(p);
        ack(p, first, first + 2, rows[i].has_counts ? &rows[i].counts : NULL);
        CU_ASSERT_EQUAL(state_of(p), rows[i].is_right ? MR_CONN_ECN_CAPABLE : MR_CONN_ECN_FAILED);
        CU_ASSERT_EQUAL(peer_counters(p)->ecn_failures, rows[i].is_right ? 0 : 1);
        /* Section 13.4.2.2: "If validation fails, then the endpoint MUST disable ECN." */
        peer_clear(p);
        pings(p, 1);
        CU_ASSERT_EQUAL(p->inbox[0].ecn, rows[i].is_right ? MR_ECN_ECT0 : MR_ECN_NOT_ECT);
        CU_ASSERT_EQUAL(peer_close_error(p, NULL), PEER_NO_CLOSE); /* the connection goes on */
        peer_end(p);
    }
}

/* Section 13.4.2.1: "An endpoint MUST NOT fail ECN validation as a result of processing an ACK
 * frame that does not increase the largest acknowledged packet number." */
static void a_reordered_ack_fails_nothing(void)
{
    struct peer *p = fresh_peer();
    uint64_t first = pings(p, 10);

    ack(p, first, first + 6, &(struct mr_ecn_counts){.ect0 = 7});
    ack(p, first + 9, first + 9, &(struct mr_ecn_counts){.ect0 = 10});
    CU_ASSERT_EQUAL(state_of(p), MR_CONN_ECN_CAPABLE);
    uint32_t in_flight = peer_conn(p)->app.sent.in_flight_count;
    CU_ASSERT_EQUAL(in_flight, 2);
    ack(p, first + 7, first + 7, &(struct mr_ecn_counts){.ect0 = 8}); /* sent before the last */
    CU_ASSERT_EQUAL(state_of(p), MR_CONN_ECN_CAPABLE);
    ack(p, first + 8, first + 8, NULL);
    CU_ASSERT_EQUAL(state_of(p), MR_CONN_ECN_CAPABLE);
    CU_ASSERT_EQUAL(peer_conn(p)->app.sent.in_flight_count, 0); /* both were taken */
    peer_end(p);
}

/* RFC 9002, Section 7.1: "If a path has been validated to support ECN, QUIC treats a Congestion
 * Experienced (CE) codepoint in the IP header as a signal of congestion", and Section 7.3.2: once
 * per recovery period. */
static void ce_is_congestion_once_per_round_trip(void)
{
    struct peer *p = fresh_peer();
    struct mr_cc *cc = &peer_conn(p)->path.cc;
    uint64_t first = pings(p, 10);
    uint64_t events = peer_counters(p)->congestion_events;

    p->now += 5 * MR_MS;
    ack(p, first, first + 4, &(struct mr_ecn_counts){.ect0 = 4, .ce = 1});
    uint64_t window = mr_cc_window(cc);
    CU_ASSERT_EQUAL(peer_counters(p)->congestion_events, events + 1);
    CU_ASSERT_EQUAL(peer_counters(p)->ecn_ce_reported, 1);
    CU_ASSERT_TRUE(cc->has_recovery);
    ack(p, first + 5, first + 9, &(struct mr_ecn_counts){.ect0 = 4, .ce = 6});
    CU_ASSERT_EQUAL(mr_cc_window(cc), window); /* sent before recovery began */
    CU_ASSERT_EQUAL(peer_counters(p)->congestion_events, events + 1);
    p->now += 5 * MR_MS;
    first = pings(p, 1);
    p->now += 5 * MR_MS;
    ack(p, first, first, &(struct mr_ecn_counts){.ect0 = 4, .ce = 7});
    CU_ASSERT_EQUAL(peer_counters(p)->congestion_events, events + 2);
    peer_end(p);
}

/* A peer whose every mark comes back as CE: the window stays at its minimum or above, and the
 * connection lives. */
static void all_ce_goes_no_further_than_the_minimum_window(void)
{
    struct peer *p = fresh_peer();
    uint64_t ce = 0;

    for (int i = 0; i < 50; i++) {
        uint64_t first = pings(p, 1);
        p->now += 5 * MR_MS;
        ce += peer_conn(p)->path.ecn.mark != MR_ECN_NOT_ECT;
        ack(p, first, first, &(struct mr_ecn_counts){.ce = ce});
        mr_cc_check(&peer_conn(p)->path.cc);
    }
    CU_ASSERT_EQUAL(state_of(p), MR_CONN_ECN_FAILED); /* none of ten kept its mark */
    CU_ASSERT_TRUE(mr_cc_window(&peer_conn(p)->path.cc) >= mr_cc_minimum(&peer_conn(p)->path.cc));
    CU_ASSERT_EQUAL(peer_close_error(p, NULL), PEER_NO_CLOSE);
    peer_end(p);
}

/* Section 13.4.2: "An endpoint thus attempts to use ECN and validates this for each new connection
 * [...] and on active connection migration to a new path."  Packets of the old path prove nothing
 * about the new one. */
static void a_new_path_is_tested_anew(void)
{
    static const uint8_t frames[1200] = {
        MR_FRAME_PING}; /* and padding: the address may have more */
    struct peer *p = fresh_peer();
    uint64_t first = pings(p, 10);

    ack(p, first, first + 9, NULL); /* bleached */
    CU_ASSERT_EQUAL(state_of(p), MR_CONN_ECN_FAILED);
    uint64_t old = pings(p, 1);
    p->path.remote.ip[15] = 77;
    peer_send(p, MR_PACKET_ONE_RTT, frames, sizeof(frames));
    CU_ASSERT_EQUAL(state_of(p), MR_CONN_ECN_TESTING);
    CU_ASSERT_EQUAL(peer_conn(p)->path.ecn.first_pn, old + 1);
    peer_clear(p);
    first = pings(p, 1);
    CU_ASSERT_EQUAL(p->inbox[0].ecn, MR_ECN_ECT0);
    ack(p, old, first, &(struct mr_ecn_counts){.ect0 = first - old});
    CU_ASSERT_NOT_EQUAL(state_of(p), MR_CONN_ECN_FAILED);
    peer_end(p);
}

/* Section 13.4.1: "duplicate QUIC packets are not processed and do not increase ECN counts"; counts
 * are of one packet number space. */
static void duplicates_and_other_spaces_do_not_count(void)
{
    struct peer *p = marking_peer(S, PEER_DONE);
    struct mr_conn *conn = peer_conn(p);
    struct mr_ecn_counts before = conn->app.ecn;
    struct peer_out ping = {
        .type = MR_PACKET_ONE_RTT, .frames = "\x01", .size = 1, .pn = p->next_pn[MR_SPACE_APP]};

    p->ecn = MR_ECN_ECT1;
    peer_send_packet(p, &ping);
    peer_send_packet(p, &ping);
    CU_ASSERT_EQUAL(conn->app.ecn.ect1, before.ect1 + 1);
    CU_ASSERT_EQUAL(conn->app.ecn.ect0, before.ect0);
    peer_end(p);
}

/* Bulk data is built and received many packets at once: marked and counted like the others. */
static void runs_are_marked_and_counted(void)
{
    static uint8_t data[40000];
    struct peer *p = marking_peer(S, PEER_BOTH);
    struct mr_view view = {.data = data, .size = sizeof(data)};
    mr_handle stream;

    CU_ASSERT_EQUAL(mr_stream_open(peer_endpoint(p), p->conn, MR_OPEN_UNI, 0, &stream), 0);
    for (int i = 0; i < 8; i++) {
        CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), stream, &view, 1, 0), 0);
        for (int k = 0; k < 30; k++) {
            peer_clear(p);
            peer_round_trip(p);
        }
    }
    CU_ASSERT_EQUAL(state_of(p), MR_CONN_ECN_CAPABLE);
    const struct mr_ecn_counts *counted = &mr_conn_at(p->side[MR_CLIENT].ep, 0)->app.ecn;
    CU_ASSERT_TRUE(counted->ect0 > 200);
    CU_ASSERT_EQUAL(counted->ect1 + counted->ce, 0);
    CU_ASSERT_EQUAL(counted->ect0, peer_conn(p)->app.ecn_reports.sent);
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"early packets of all spaces carry ECT(0)", early_packets_of_all_spaces_carry_ect0},
    {"two endpoints validate each other", two_endpoints_validate_each_other},
    {"lies about counts disable ECN", lies_about_counts_disable_ecn},
    {"a reordered ACK fails nothing", a_reordered_ack_fails_nothing},
    {"CE is congestion once per round trip", ce_is_congestion_once_per_round_trip},
    {"all CE goes no further than the minimum window",
     all_ce_goes_no_further_than_the_minimum_window},
    {"a new path is tested anew", a_new_path_is_tested_anew},
    {"duplicates and other spaces do not count", duplicates_and_other_spaces_do_not_count},
    {"runs are marked and counted", runs_are_marked_and_counted},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9000 ECN", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
