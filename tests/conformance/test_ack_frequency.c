/*
 * tests/conformance/test_ack_frequency.c - draft-ietf-quic-ack-frequency: a sender says how often
 * it needs acknowledgments.
 */
#include "tests/support/peer_cases.h"

#define C  MR_CLIENT
#define S  MR_SERVER
#define ON MR_EXTENSION_ACK_FREQUENCY

static struct peer *pair(enum mr_role role, uint32_t ours, uint32_t theirs, enum peer_stage stage)
{
    struct peer_options options = {
        .under_test = role, .extensions = ours, .partner_extensions = theirs};
    struct peer *p = peer_new(&options);

    peer_run(p, stage);
    return p;
}

/* ACK_FREQUENCY to the endpoint under test; what it answers is forgotten. */
static void ask(struct peer *p, uint64_t sequence, uint64_t threshold, uint64_t delay_us,
                uint64_t reordering)
{
    uint8_t frame[64];
    struct mr_writer w = mr_writer(frame, sizeof(frame));

    mr_frame_write_ack_frequency(&w, &(struct mr_frame_ack_frequency){.sequence = sequence,
                                                                      .threshold = threshold,
                                                                      .max_delay_us = delay_us,
                                                                      .reordering = reordering});
    peer_send(p, MR_PACKET_ONE_RTT, frame, mr_writer_size(&w));
    peer_advance(p, 30 * MR_MS);
    peer_advance(p, delay_us * MR_US);
    peer_clear(p);
}

/* A PING with number `pn`: is it acknowledged at once? */
static bool ping_is_answered(struct peer *p, uint64_t pn)
{
    peer_clear(p);
    peer_send_packet(
        p, &(struct peer_out){.type = MR_PACKET_ONE_RTT, .frames = "\1", .size = 1, .pn = pn});
    return peer_count(p, MR_FRAME_ACK) + peer_count(p, MR_FRAME_ACK_ECN) > 0;
}

/* ------------------------------------------------------------------ what the peer asks */

/* "A receiving endpoint SHOULD send at least one ACK frame after receiving more than this many
 * ack-eliciting packets.  A value of 0 results in a receiver immediately acknowledging every
 * ack-eliciting packet." */
static void the_threshold_is_obeyed(void)
{
    static const uint64_t thresholds[] = {0, 1, 2, 5, 40};

    for (size_t i = 0; i < MR_COUNT_OF(thresholds); i++) {
        struct peer *p = pair(S, ON, 0, PEER_DONE);

        ask(p, 0, thresholds[i], 1000000, 1);
        for (uint64_t n = 0; n < 3 * (thresholds[i] + 1); n++)
            CU_ASSERT_EQUAL(ping_is_answered(p, PEER_NEXT_PN),
                            n % (thresholds[i] + 1) == thresholds[i]);
        peer_end(p);
    }
}

/* "By default, an endpoint sends an ACK frame for every other ack-eliciting packet".  "Until an
 * ACK_FREQUENCY or IMMEDIATE_ACK frame is received, sending the min_ack_delay transport parameter
 * does not cause the endpoint to change its acknowledgment behavior." */
static void nothing_changes_until_a_frame_comes(void)
{
    struct peer *p = pair(S, ON, 0, PEER_DONE);

    for (int i = 0; i < 6; i++)
        CU_ASSERT_EQUAL(ping_is_answered(p, PEER_NEXT_PN), i % 2 == 1);
    peer_end(p);
}

/* "max_ack_delay amount of time has passed and at least one ack-eliciting packet has been
 * received."  "On receipt of a valid value, the endpoint SHOULD update its max_ack_delay to the
 * value provided by the peer." */
static void the_delay_is_obeyed(void)
{
    static const uint64_t delays_us[] = {1000, 5000, 25000, 300000};

    for (size_t i = 0; i < MR_COUNT_OF(delays_us); i++) {
        struct peer *p = pair(S, ON, 0, PEER_DONE);

        ask(p, 0, 1000, delays_us[i], 1);
        CU_ASSERT_FALSE(ping_is_answered(p, PEER_NEXT_PN));
        peer_advance(p, delays_us[i] * MR_US * 9 / 10);
        CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_ACK), 0);
        peer_advance(p, delays_us[i] * MR_US / 5);
        CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_ACK), 1);
        peer_end(p);
    }
}

/* An ACK that is owed already comes by the new delay. */
static void a_shorter_delay_counts_for_what_is_owed(void)
{
    struct peer *p = pair(S, ON, 0, PEER_DONE);
    uint8_t frame[64];
    struct mr_writer w = mr_writer(frame, sizeof(frame));

    ask(p, 0, 1000, 1000000, 1);
    CU_ASSERT_FALSE(ping_is_answered(p, PEER_NEXT_PN));
    mr_frame_write_ack_frequency(
        &w, &(struct mr_frame_ack_frequency){
                .sequence = 1, .threshold = 1000, .max_delay_us = 2000, .reordering = 1});
    peer_send(p, MR_PACKET_ONE_RTT, frame, mr_writer_size(&w));
    peer_advance(p, 3 * MR_MS);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_ACK), 1);
    peer_end(p);
}

/* "values of 2^14 milliseconds or greater are invalid for max_ack_delay [...] A value smaller than
 * the min_ack_delay advertised by the peer is also invalid.  Receipt of an invalid value MUST be
 * treated as a connection error of type PROTOCOL_VIOLATION." */
static void invalid_delays_end_the_connection(void)
{
    static const struct {
        uint64_t delay_us;
        bool is_valid;
    } rows[] = {{0, false},
                {MR_ACK_DELAY_MIN_US - 1, false},
                {MR_ACK_DELAY_MIN_US, true},
                {16383999, true},
                {16384000, false},
                {MR_VARINT_MAX, false}};

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct peer *p = pair(C, ON, 0, PEER_DONE);
        uint8_t frame[64];
        struct mr_writer w = mr_writer(frame, sizeof(frame));

        mr_frame_write_ack_frequency(
            &w, &(struct mr_frame_ack_frequency){.max_delay_us = rows[i].delay_us});
        peer_send(p, MR_PACKET_ONE_RTT, frame, mr_writer_size(&w));
        peer_expect_close(p, "delay", rows[i].is_valid ? PEER_NO_CLOSE : MR_PROTOCOL_VIOLATION,
                          MR_FRAME_ACK_FREQUENCY);
        peer_end(p);
    }
}

/* "A receiving endpoint MUST ignore a received ACK_FREQUENCY frame unless the Sequence Number value
 * in the frame is greater than the largest processed value." */
static void obsolete_frames_are_ignored(void)
{
    struct peer *p = pair(S, ON, 0, PEER_DONE);

    ask(p, 7, 3, 1000000, 1);
    ask(p, 7, 0, 1000000, 1);
    ask(p, 3, 0, 1000000, 1);
    CU_ASSERT_EQUAL(peer_counters(p)->ack_frequency_obsolete, 2);
    for (int i = 0; i < 8; i++)
        CU_ASSERT_EQUAL(ping_is_answered(p, PEER_NEXT_PN), i % 4 == 3);
    ask(p, 8, 0, 1000000, 1);
    CU_ASSERT_TRUE(ping_is_answered(p, PEER_NEXT_PN));
    ask(p, MR_VARINT_MAX, 1, 1000000, 1);
    CU_ASSERT_EQUAL(peer_counters(p)->ack_frequency_received, 3);
    peer_end(p);
}

/* "If the most recent ACK_FREQUENCY frame received from the peer has a Reordering Threshold value
 * of 0, the endpoint SHOULD NOT send an immediate acknowledgment in response to packets received
 * out of order".  The default of 1: any packet out of order. */
static void reordering_thresholds_of_zero_and_one(void)
{
    for (uint64_t threshold = 0; threshold < 2; threshold++) {
        struct peer *p = pair(S, ON, 0, PEER_DONE);

        ask(p, 0, 1000, 1000000, threshold);
        uint64_t pn = p->next_pn[MR_SPACE_APP];
        CU_ASSERT_FALSE(ping_is_answered(p, pn));
        CU_ASSERT_EQUAL(ping_is_answered(p, pn + 5), threshold == 1);
        CU_ASSERT_EQUAL(ping_is_answered(p, pn + 3), threshold == 1);
        CU_ASSERT_FALSE(ping_is_answered(p, pn + 6));
        peer_end(p);
    }
}

/* The tables of "Examples": packet numbers, and where an ACK comes. */
static void the_examples_of_the_draft(void)
{
    static const struct {
        uint64_t threshold;
        struct {
            uint8_t pn;
            bool is_acked;
        } rows[8];
    } tables[] = {
        {3,
         {{0, false},
          {1, false},
          {3, false},
          {4, false},
          {5, true},
          {8, false},
          {9, true},
          {10, true}}},
        {5,
         {{0, false},
          {1, false},
          {3, false},
          {5, false},
          {6, false},
          {7, true},
          {8, false},
          {9, true}}},
    };

    for (size_t i = 0; i < MR_COUNT_OF(tables); i++) {
        struct peer *p = pair(S, ON, 0, PEER_DONE);

        ask(p, 0, 1000, 1000000, tables[i].threshold);
        uint64_t pn = p->next_pn[MR_SPACE_APP];
        for (size_t k = 0; k < MR_COUNT_OF(tables[i].rows); k++)
            CU_ASSERT_EQUAL(ping_is_answered(p, pn + tables[i].rows[k].pn),
                            tables[i].rows[k].is_acked);
        peer_end(p);
    }
}

/* "the received packet number is less than or equal to `Largest Acked - Reordering Threshold`": it
 * was declared lost already, and the sender should know. */
static void a_packet_that_counts_as_lost_is_acknowledged_at_once(void)
{
    struct peer *p = pair(S, ON, 0, PEER_DONE);

    ask(p, 0, 1000, 1000000, 4);
    uint64_t pn = p->next_pn[MR_SPACE_APP];
    CU_ASSERT_FALSE(ping_is_answered(p, pn));
    for (uint64_t i = 2; i < 5; i++)
        CU_ASSERT_FALSE(ping_is_answered(p, pn + i));
    CU_ASSERT_TRUE(ping_is_answered(p, pn + 5)); /* 1 is missing */
    CU_ASSERT_TRUE(ping_is_answered(p, pn + 1)); /* there it is: 5 - 4 */
    CU_ASSERT_FALSE(ping_is_answered(p, pn + 7));
    CU_ASSERT_FALSE(ping_is_answered(p, pn + 6)); /* not late: 6 > 5 - 4 */
    peer_end(p);
}

/* "implementations have to take more care to avoid truncating ACK ranges before they are sent at
 * least once." */
static void ranges_are_told_before_they_are_forgotten(void)
{
    struct peer *p = pair(S, ON, 0, PEER_DONE);
    bool is_answered = false;

    ask(p, 0, 1000, 1000000, 0);
    uint64_t pn = p->next_pn[MR_SPACE_APP];
    for (uint64_t i = 1; i < MR_ACK_RANGES_MAX + 8 && !is_answered; i++) {
        is_answered = ping_is_answered(p, pn + 2 * i);
        CU_ASSERT_TRUE(is_answered || peer_conn(p)->app.received.count < MR_ACK_RANGES_MAX);
    }
    CU_ASSERT_TRUE(is_answered);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_ack_ranges, 0);
    peer_end(p);
}

/* "If the Ack-Eliciting Threshold is larger than 1, an endpoint SHOULD send an immediate
 * acknowledgement when a packet marked with the ECN Congestion Experienced (CE) codepoint in the IP
 * header is received and the previously received packet was not marked CE."  "If the Ack-Eliciting
 * Threshold is 1, the default behavior as specified in RFC9000 applies, which recommends to
 * immediately acknowledge all packets marked with CE". */
static void the_first_of_marked_packets_is_acknowledged_at_once(void)
{
    for (uint64_t threshold = 1; threshold < 10; threshold += 8) {
        struct peer *p = pair(S, ON, 0, PEER_DONE);

        ask(p, 0, threshold, 1000000, 1);
        p->ecn = MR_ECN_CE;
        CU_ASSERT_TRUE(ping_is_answered(p, PEER_NEXT_PN));
        CU_ASSERT_EQUAL(ping_is_answered(p, PEER_NEXT_PN), threshold == 1);
        p->ecn = MR_ECN_ECT0;
        CU_ASSERT_FALSE(ping_is_answered(p, PEER_NEXT_PN));
        p->ecn = MR_ECN_CE;
        CU_ASSERT_TRUE(ping_is_answered(p, PEER_NEXT_PN));
        peer_end(p);
    }
}

/* "An endpoint SHOULD send a packet containing an ACK frame immediately upon receiving an
 * IMMEDIATE_ACK frame." */
static void an_immediate_ack_is_answered_at_once(void)
{
    struct peer *p = pair(S, ON, 0, PEER_DONE);

    ask(p, 0, 1000, 1000000, 0);
    CU_ASSERT_FALSE(ping_is_answered(p, PEER_NEXT_PN));
    peer_clear(p);
    PEER_SEND(p, "\x1f");
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_ACK), 1);
    CU_ASSERT_EQUAL(peer_counters(p)->immediate_acks_received, 1);
    peer_end(p);
}

/* A flood of either costs one ACK for a burst of packets, and no memory. */
static void a_flood_is_answered_once_a_burst(void)
{
    struct peer *p = pair(S, ON, 0, PEER_DONE);
    struct peer_raw raws[MR_BURST];
    uint8_t frames[1000];
    uint32_t chunks = peer_endpoint(p)->chunks.used;

    memset(frames, MR_FRAME_IMMEDIATE_ACK, sizeof(frames));
    for (int round = 0; round < 50; round++) {
        for (uint32_t i = 0; i < MR_BURST; i++) {
            raws[i].path = p->path;
            raws[i].size = (uint32_t)peer_build(p,
                                                &(struct peer_out){.type = MR_PACKET_ONE_RTT,
                                                                   .frames = frames,
                                                                   .size = sizeof(frames),
                                                                   .pn = PEER_NEXT_PN},
                                                raws[i].bytes, sizeof(raws[i].bytes));
        }
        peer_clear(p);
        peer_deliver_burst(p, raws, MR_BURST);
        CU_ASSERT_EQUAL(p->inbox_count, 1);
        peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1);
    }
    CU_ASSERT_TRUE(peer_endpoint(p)->chunks.used <= chunks + 2);
    for (uint64_t i = 0; i < 2000; i++) {
        ask(p, i, i % 7, 1000 + i, i % 5);
        peer_conn(p)->idle_base_ns = p->now;
    }
    peer_expect_close(p, "flood", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* The largest threshold is cut to what is remembered: bounded by MR_ACK_AFTER_MAX. */
static void thresholds_are_bounded(void)
{
    struct peer *p = pair(S, ON, 0, PEER_DONE);
    uint64_t n = 0;

    ask(p, 0, MR_VARINT_MAX, 16000000, MR_VARINT_MAX);
    while (n < 2 * MR_ACK_AFTER_MAX && !ping_is_answered(p, PEER_NEXT_PN))
        n++;
    CU_ASSERT_EQUAL(n, MR_ACK_AFTER_MAX - 1);
    peer_end(p);
}

/* RFC 9000, Section 12.4: "An endpoint MUST treat the receipt of a frame of unknown type as a
 * connection error of type FRAME_ENCODING_ERROR": so it is without the parameter.  "ACK_FREQUENCY
 * and IMMEDIATE_ACK frames cannot be sent in 0-RTT packets", nor in any but 1-RTT. */
static void frames_that_were_not_offered_end_the_connection(void)
{
    static const char frequency[] = "\x40\xaf\0\1\x80\0\x61\xa8\1";

    for (int i = 0; i < 4; i++) {
        struct peer *p = pair(S, (i & 1) != 0 ? ON : 0, ON, PEER_DONE);

        peer_send(p, MR_PACKET_ONE_RTT, (i & 2) != 0 ? "\x1f" : frequency,
                  (i & 2) != 0 ? 1 : sizeof(frequency) - 1);
        peer_expect_close(p, "unknown", (i & 1) != 0 ? PEER_NO_CLOSE : MR_FRAME_ENCODING_ERROR,
                          (i & 2) != 0 ? MR_FRAME_IMMEDIATE_ACK : MR_FRAME_ACK_FREQUENCY);
        peer_end(p);
    }
    for (int i = 0; i < 2; i++) {
        struct peer *p = pair(S, ON, ON, PEER_HELLO);

        peer_send(p, MR_PACKET_INITIAL, i == 0 ? "\x1f" : frequency,
                  i == 0 ? 1 : sizeof(frequency) - 1);
        peer_expect_close(p, "in an Initial", MR_PROTOCOL_VIOLATION,
                          i == 0 ? MR_FRAME_IMMEDIATE_ACK : MR_FRAME_ACK_FREQUENCY);
        peer_end(p);
    }
}

static void cut_frames_end_the_connection(void)
{
    static const char frequency[] = "\x40\xaf\0\1\x80\0\x61\xa8\1";

    for (size_t size = 2; size < sizeof(frequency) - 1; size++) {
        struct peer *p = pair(C, ON, 0, PEER_DONE);

        peer_send(p, MR_PACKET_ONE_RTT, frequency, size);
        peer_expect_close(p, "cut", MR_FRAME_ENCODING_ERROR, MR_FRAME_ACK_FREQUENCY);
        peer_end(p);
    }
}

/* ------------------------------------------------------------------ what we ask */

/* A round trip of it: something is sent and acknowledged. */
static void exchange(struct peer *p)
{
    peer_conn(p)->app.wants |= MR_WANT_PING;
    mr_conn_wake(peer_endpoint(p), peer_conn(p));
    peer_drain(p);
    peer_advance(p, 20 * MR_MS);
    peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1);
}

/* A pair whose endpoint under test has a window of `packets` beyond slow start, and knows the round
 * trip. */
static struct peer *sender(uint32_t ours, uint32_t theirs, uint32_t packets)
{
    struct peer *p = pair(S, ours, theirs, PEER_DONE);
    struct mr_conn *conn = peer_conn(p);

    for (int i = 0; i < 30; i++)
        exchange(p);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_ACK_FREQUENCY), 0);
    conn->path.cc.window = (uint64_t)packets * conn->path.mtu;
    conn->path.cc.ssthresh = conn->path.cc.window;
    peer_clear(p);
    return p;
}

static bool find_request(struct peer *p, uint32_t nth, struct mr_frame_ack_frequency *out)
{
    struct mr_reader r;

    return peer_find(p, MR_FRAME_ACK_FREQUENCY, nth, &r) != NULL &&
           mr_frame_decode_ack_frequency(&r, MR_FRAME_ACK_FREQUENCY, out);
}

/* "The sender can also improve feedback and robustness to variation in the path RTT by setting the
 * Ack-Eliciting Threshold to a value no larger than number of maximum-sized packets that fit into
 * the current congestion window."  "A data sender can set the Requested Max Ack Delay value to no
 * more than the estimated round trip time." */
static void a_large_window_asks_for_fewer(void)
{
    static const struct {
        uint32_t packets;
        uint64_t threshold; /* 0: nothing is asked */
    } rows[] = {{10, 0}, {31, 0}, {32, 3}, {80, 9}, {400, 49}, {513, 63}, {100000, 63}};

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct peer *p = sender(ON, ON, rows[i].packets);
        struct mr_frame_ack_frequency frame = {0};

        exchange(p);
        CU_ASSERT_EQUAL(find_request(p, 0, &frame), rows[i].threshold > 0);
        CU_ASSERT_EQUAL(frame.threshold, rows[i].threshold);
        if (rows[i].threshold > 0) {
            CU_ASSERT_EQUAL(frame.reordering, MR_SENT_PACKET_THRESHOLD);
            CU_ASSERT_TRUE(frame.max_delay_us * MR_US <= peer_conn(p)->path.rtt.smoothed_ns);
            CU_ASSERT_TRUE(frame.max_delay_us >= MR_ACK_DELAY_MIN_US);
        }
        peer_end(p);
    }
}

/* Nobody is asked who did not say that it takes the frames, or when we are told not to.
 * RFC 9000, Section 19.21: "An extension to QUIC that wishes to use a new type of frame MUST first
 * ensure that a peer is able to understand the frame." */
static void nobody_is_asked_without_the_extension(void)
{
    for (int i = 0; i < 3; i++) {
        struct peer *p = sender((i & 1) != 0 ? ON : 0, (i & 2) != 0 ? ON : 0, 1000);

        for (int k = 0; k < 4; k++)
            exchange(p);
        peer_advance(p, 5 * MR_SECOND); /* probes */
        CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_ACK_FREQUENCY), 0);
        CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_IMMEDIATE_ACK), 0);
        peer_end(p);
    }
}

/* In slow start the window grows with each ACK, and Prague's queue is short: nothing is asked. */
static void slow_start_and_prague_keep_their_acknowledgments(void)
{
    for (int i = 0; i < 2; i++) {
        struct peer *p = sender(ON, ON, 1000);
        struct mr_cc *cc = &peer_conn(p)->path.cc;

        if (i == 0)
            cc->ssthresh = MR_CC_UNLIMITED;
        else
            mr_cc_attach(cc, MR_CC_PRAGUE);
        for (int k = 0; k < 4; k++)
            exchange(p);
        CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_ACK_FREQUENCY), 0);
        peer_end(p);
    }
}

/* "A sending endpoint MUST send monotonically increasing values in the Sequence Number field".
 * "Usually, it is not necessary to send an ACK_FREQUENCY frame more than once per RTT and likely
 * even less frequently." */
static void it_is_asked_again_when_the_window_has_changed(void)
{
    struct peer *p = sender(ON, ON, 80);
    struct mr_frame_ack_frequency frame = {0};

    for (int k = 0; k < 10; k++)
        exchange(p);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_ACK_FREQUENCY), 1);
    CU_ASSERT_TRUE(find_request(p, 0, &frame) && frame.sequence == 0);
    peer_conn(p)->path.cc.window *= 3;
    peer_conn(p)->path.cc.ssthresh *= 3;
    for (int k = 0; k < 10; k++)
        exchange(p);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_ACK_FREQUENCY), 2);
    CU_ASSERT_TRUE(find_request(p, 1, &frame) && frame.sequence == 1 && frame.threshold == 29);
    peer_conn(p)->path.cc.window = peer_conn(p)->path.cc.ssthresh = 4 * peer_conn(p)->path.mtu;
    for (int k = 0; k < 10; k++)
        exchange(p);
    CU_ASSERT_TRUE(find_request(p, 2, &frame) && frame.sequence == 2 && frame.threshold == 1);
    CU_ASSERT_EQUAL(peer_counters(p)->ack_frequency_sent, 3);
    peer_end(p);
}

/* "Until the packet carrying the ACK_FREQUENCY frame is acknowledged, the endpoint MUST use the
 * greater of the current max_ack_delay and the value that is in flight when computing the PTO
 * period."  "When using max_ack_delay for PTO computations, endpoints MUST use the maximum of the
 * current value and all those in flight." (Computation of Probe Timeout Period)  "Therefore, if
 * Reordering Threshold is set to 0, the PTO MUST be larger than the peer's max_ack_delay."
 * (Computation of Probe Timeout Period) */
static void the_probe_timeout_uses_the_greater_delay(void)
{
    struct peer *p = sender(ON, ON, 400);
    struct mr_frame_ack_frequency frame = {0};
    const struct mr_rtt *rtt = &peer_conn(p)->path.rtt;

    CU_ASSERT_EQUAL(rtt->max_ack_delay_ns, 25 * MR_MS);
    exchange(p);
    CU_ASSERT_TRUE_FATAL(find_request(p, 0, &frame));
    CU_ASSERT_TRUE(frame.max_delay_us < 25000);
    CU_ASSERT_EQUAL(rtt->max_ack_delay_ns, 25 * MR_MS);
    peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1);
    CU_ASSERT_EQUAL(rtt->max_ack_delay_ns, frame.max_delay_us * MR_US);
    /* the path becomes slower: a greater one counts at once */
    peer_conn(p)->path.rtt.smoothed_ns = 80 * MR_MS;
    peer_conn(p)->ack_request.review_ns = 0;
    peer_clear(p);
    exchange(p);
    CU_ASSERT_TRUE_FATAL(find_request(p, 0, &frame));
    CU_ASSERT_EQUAL(rtt->max_ack_delay_ns, frame.max_delay_us * MR_US);
    CU_ASSERT_TRUE(mr_rtt_pto(rtt, MR_SPACE_APP) > rtt->max_ack_delay_ns);
    peer_end(p);
}

/* "When an ACK_FREQUENCY frame is lost, the sender is encouraged to send another ACK_FREQUENCY
 * frame, unless an ACK_FREQUENCY frame with a larger Sequence Number value has already been sent."
 */
static void a_lost_request_is_made_again(void)
{
    struct peer *p = sender(ON, ON, 80);
    struct mr_frame_ack_frequency frame = {0};

    exchange(p);
    CU_ASSERT_TRUE(find_request(p, 0, &frame));
    uint64_t lost = p->expected_pn[MR_SPACE_APP] - 1;
    for (int i = 0; i < 8 && !find_request(p, 1, &frame); i++) {
        peer_conn(p)->app.wants |= MR_WANT_PING;
        mr_conn_wake(peer_endpoint(p), peer_conn(p));
        peer_drain(p);
        if (p->expected_pn[MR_SPACE_APP] > lost + 4)
            peer_ack(p, lost + 1, p->expected_pn[MR_SPACE_APP] - 1);
    }
    CU_ASSERT_TRUE(find_request(p, 1, &frame) && frame.sequence == 1);
    CU_ASSERT_FALSE(find_request(p, 2, &frame));
    peer_end(p);
}

/* "When sending PTO packets, one can include an IMMEDIATE_ACK frame to elicit an immediate
 * acknowledgment." */
static void a_probe_asks_for_an_immediate_ack(void)
{
    struct peer *p = sender(ON, ON, 10);

    peer_conn(p)->app.wants |= MR_WANT_PING;
    mr_conn_wake(peer_endpoint(p), peer_conn(p));
    peer_drain(p);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_IMMEDIATE_ACK), 0);
    peer_advance(p, 500 * MR_MS);
    CU_ASSERT_TRUE(peer_counters(p)->ptos > 0);
    CU_ASSERT_TRUE(peer_count(p, MR_FRAME_IMMEDIATE_ACK) > 0);
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"the threshold is obeyed", the_threshold_is_obeyed},
    {"nothing changes until a frame comes", nothing_changes_until_a_frame_comes},
    {"the delay is obeyed", the_delay_is_obeyed},
    {"a shorter delay counts for what is owed", a_shorter_delay_counts_for_what_is_owed},
    {"invalid delays end the connection", invalid_delays_end_the_connection},
    {"obsolete frames are ignored", obsolete_frames_are_ignored},
    {"reordering thresholds of zero and one", reordering_thresholds_of_zero_and_one},
    {"the examples of the draft", the_examples_of_the_draft},
    {"a packet that counts as lost is acknowledged at once",
     a_packet_that_counts_as_lost_is_acknowledged_at_once},
    {"ranges are told before they are forgotten", ranges_are_told_before_they_are_forgotten},
    {"the first of marked packets is acknowledged at once",
     the_first_of_marked_packets_is_acknowledged_at_once},
    {"an immediate ACK is answered at once", an_immediate_ack_is_answered_at_once},
    {"a flood is answered once a burst", a_flood_is_answered_once_a_burst},
    {"thresholds are bounded", thresholds_are_bounded},
    {"frames that were not offered end the connection",
     frames_that_were_not_offered_end_the_connection},
    {"cut frames end the connection", cut_frames_end_the_connection},
    {"a large window asks for fewer", a_large_window_asks_for_fewer},
    {"nobody is asked without the extension", nobody_is_asked_without_the_extension},
    {"slow start and Prague keep their acknowledgments",
     slow_start_and_prague_keep_their_acknowledgments},
    {"it is asked again when the window has changed",
     it_is_asked_again_when_the_window_has_changed},
    {"the probe timeout uses the greater delay", the_probe_timeout_uses_the_greater_delay},
    {"a lost request is made again", a_lost_request_is_made_again},
    {"a probe asks for an immediate ACK", a_probe_asks_for_an_immediate_ack},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "ACK frequency", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
