/* Tests of quic/flow.h. */
#include "quic/flow.h"

#include "tests/unit/harness.h"

static void a_receiver_counts_against_its_limit(void)
{
    struct mr_flow_recv f;

    mr_flow_recv_init(&f, 1000, 4000);
    CU_ASSERT(mr_flow_recv_allows(&f, 1000));
    CU_ASSERT_FALSE(mr_flow_recv_allows(&f, 1001));
    mr_flow_recv_add(&f, 999);
    CU_ASSERT(mr_flow_recv_allows(&f, 1));
    CU_ASSERT_FALSE(mr_flow_recv_allows(&f, 2));
    CU_ASSERT_FALSE(mr_flow_recv_allows(&f, UINT64_MAX));
}

static void an_update_is_due_when_half_the_window_is_consumed(void)
{
    struct mr_flow_recv f;

    mr_flow_recv_init(&f, 1000, 2000);
    mr_flow_recv_add(&f, 1000);
    CU_ASSERT_FALSE(mr_flow_recv_is_due(&f)); /* nothing is consumed: no update would help */
    mr_flow_recv_consume(&f, 499);
    CU_ASSERT_FALSE(mr_flow_recv_is_due(&f));
    mr_flow_recv_consume(&f, 1);
    CU_ASSERT(mr_flow_recv_is_due(&f));
    CU_ASSERT_EQUAL(mr_flow_recv_update(&f, 0, MR_SECOND), 1500);
    CU_ASSERT_FALSE(mr_flow_recv_is_due(&f));
    CU_ASSERT(mr_flow_recv_allows(&f, 500));
}

/* Held up by a gap for some round trips, a sender needs all of the largest window there may be. */
static void the_largest_window_is_given_in_eighths(void)
{
    struct mr_flow_recv f;
    const uint64_t window = 16 * MR_FLOW_STEP_MIN;

    mr_flow_recv_init(&f, window, window);
    mr_flow_recv_add(&f, window);
    mr_flow_recv_consume(&f, window / 8 - 1);
    CU_ASSERT_FALSE(mr_flow_recv_is_due(&f));
    mr_flow_recv_consume(&f, 1);
    CU_ASSERT(mr_flow_recv_is_due(&f));
    CU_ASSERT_EQUAL(mr_flow_recv_update(&f, 0, MR_SECOND), window + window / 8);
    f.window_max *= 2; /* it may grow: in halves */
    mr_flow_recv_consume(&f, window / 8);
    CU_ASSERT_FALSE(mr_flow_recv_is_due(&f));
    mr_flow_recv_init(&f, 4 * MR_FLOW_STEP_MIN, 4 * MR_FLOW_STEP_MIN);
    mr_flow_recv_add(&f, 4 * MR_FLOW_STEP_MIN);
    mr_flow_recv_consume(&f, MR_FLOW_STEP_MIN - 1); /* a small one: not so often */
    CU_ASSERT_FALSE(mr_flow_recv_is_due(&f));
    mr_flow_recv_consume(&f, 1);
    CU_ASSERT(mr_flow_recv_is_due(&f));
    mr_flow_recv_init(&f, 1000, 1000);
    mr_flow_recv_add(&f, 1000);
    mr_flow_recv_consume(&f, 249); /* a very small one: in fourths */
    CU_ASSERT_FALSE(mr_flow_recv_is_due(&f));
    mr_flow_recv_consume(&f, 1);
    CU_ASSERT(mr_flow_recv_is_due(&f));
}

static void the_window_doubles_when_updates_come_fast(void)
{
    struct mr_flow_recv f;

    mr_flow_recv_init(&f, 1000, 3000);
    mr_flow_recv_add(&f, 1000);
    mr_flow_recv_consume(&f, 1000);
    CU_ASSERT_EQUAL(mr_flow_recv_update(&f, 10 * MR_MS, MR_SECOND),
                    2000); /* the first: no pace yet */
    mr_flow_recv_add(&f, 500);
    mr_flow_recv_consume(&f, 500);
    CU_ASSERT_EQUAL(mr_flow_recv_update(&f, 10 * MR_MS, MR_SECOND + 20 * MR_MS), 2500);
    CU_ASSERT_EQUAL(f.window, 1000); /* two round trips: slow enough */
    mr_flow_recv_add(&f, 500);
    mr_flow_recv_consume(&f, 500);
    CU_ASSERT_EQUAL(mr_flow_recv_update(&f, 10 * MR_MS, MR_SECOND + 39 * MR_MS), 4000);
    CU_ASSERT_EQUAL(f.window, 2000);
    mr_flow_recv_add(&f, 1000);
    mr_flow_recv_consume(&f, 1000);
    CU_ASSERT_EQUAL(mr_flow_recv_update(&f, 10 * MR_MS, MR_SECOND + 40 * MR_MS), 6000);
    CU_ASSERT_EQUAL(f.window, 3000); /* no further than its maximum */
}

static void a_connection_s_window_covers_two_of_a_stream(void)
{
    struct mr_flow_recv conn, stream;

    mr_flow_recv_init(&conn, 1000, 3000);
    mr_flow_recv_init(&stream, 400, 2000);
    mr_flow_recv_cover(&conn, &stream);
    CU_ASSERT_EQUAL(conn.window, 1000); /* it does already */
    CU_ASSERT_FALSE(mr_flow_recv_can_rise(&conn));
    stream.window = 800;
    mr_flow_recv_cover(&conn, &stream);
    CU_ASSERT_EQUAL(conn.window, 1600);
    CU_ASSERT(mr_flow_recv_can_rise(&conn));
    CU_ASSERT_EQUAL(mr_flow_recv_update(&conn, 0, MR_SECOND), 1600);
    stream.window = 2000;
    mr_flow_recv_cover(&conn, &stream);
    CU_ASSERT_EQUAL(conn.window, 3000); /* no further than its maximum */
}

static void a_gap_doubles_the_window_when_half_of_it_has_come_beyond(void)
{
    struct mr_flow_recv f;

    mr_flow_recv_init(&f, 1000, 3000);
    mr_flow_recv_add(&f, 499);
    CU_ASSERT_FALSE(mr_flow_recv_grow_early(&f));
    mr_flow_recv_add(&f, 1);
    CU_ASSERT(mr_flow_recv_grow_early(&f));
    CU_ASSERT_EQUAL(f.window, 2000);
    CU_ASSERT_EQUAL(mr_flow_recv_update(&f, 0, MR_SECOND), 2000);
    CU_ASSERT_FALSE(mr_flow_recv_grow_early(&f)); /* there is more than half again */
    mr_flow_recv_add(&f, 500);
    CU_ASSERT(mr_flow_recv_grow_early(&f));
    CU_ASSERT_EQUAL(f.window, 3000);
    mr_flow_recv_add(&f, 900);
    CU_ASSERT_FALSE(mr_flow_recv_grow_early(&f)); /* no further than its maximum */
}

static void the_window_stays_without_an_rtt_sample(void)
{
    struct mr_flow_recv f;

    mr_flow_recv_init(&f, 1000, 3000);
    mr_flow_recv_update(&f, 0, MR_SECOND);
    mr_flow_recv_update(&f, 0, MR_SECOND);
    CU_ASSERT_EQUAL(f.window, 1000);
}

static void a_receive_limit_never_falls_nor_passes_62_bits(void)
{
    struct mr_flow_recv f;

    mr_flow_recv_init(&f, MR_VARINT_MAX - 10, MR_VARINT_MAX);
    CU_ASSERT_EQUAL(mr_flow_recv_update(&f, 0, MR_SECOND), MR_VARINT_MAX - 10);
    mr_flow_recv_add(&f, 100);
    mr_flow_recv_consume(&f, 100);
    CU_ASSERT_EQUAL(mr_flow_recv_update(&f, 0, MR_SECOND), MR_VARINT_MAX);
    mr_flow_recv_add(&f, MR_VARINT_MAX - 100);
    mr_flow_recv_consume(&f, MR_VARINT_MAX - 100);
    CU_ASSERT_FALSE(mr_flow_recv_is_due(&f));
}

static void a_sender_stops_at_the_limit_and_says_so_once(void)
{
    struct mr_flow_send f;

    mr_flow_send_init(&f, 100);
    CU_ASSERT_EQUAL(mr_flow_send_room(&f), 100);
    mr_flow_send_use(&f, 99);
    CU_ASSERT_FALSE(mr_flow_send_wants_blocked(&f));
    mr_flow_send_use(&f, 1);
    CU_ASSERT(mr_flow_send_is_exhausted(&f));
    CU_ASSERT(mr_flow_send_wants_blocked(&f));
    CU_ASSERT_EQUAL(mr_flow_send_blocked_sent(&f), 100);
    CU_ASSERT_FALSE(mr_flow_send_wants_blocked(&f));
    mr_flow_send_blocked_lost(&f, 100);
    CU_ASSERT(mr_flow_send_wants_blocked(&f));
    mr_flow_send_blocked_sent(&f);
    CU_ASSERT(mr_flow_send_raise(&f, 150));
    CU_ASSERT_FALSE(mr_flow_send_wants_blocked(&f));
    mr_flow_send_use(&f, 50);
    CU_ASSERT(mr_flow_send_wants_blocked(&f)); /* blocked again, at another limit */
    mr_flow_send_blocked_sent(&f);
    mr_flow_send_blocked_lost(&f, 100); /* an old one: no matter */
    CU_ASSERT_FALSE(mr_flow_send_wants_blocked(&f));
}

static void no_credit_from_the_start_is_blocked(void)
{
    struct mr_flow_send f;

    mr_flow_send_init(&f, 0);
    CU_ASSERT(mr_flow_send_wants_blocked(&f));
}

static void opening_a_stream_opens_all_below(void)
{
    struct mr_streams_recv s;

    mr_streams_recv_init(&s, 10);
    CU_ASSERT_EQUAL(mr_streams_recv_open(&s, 3), 4);
    CU_ASSERT_EQUAL(mr_streams_recv_open(&s, 1), 0);
    CU_ASSERT_EQUAL(mr_streams_recv_open(&s, 4), 1);
    CU_ASSERT(mr_streams_recv_allows(&s, 9));
    CU_ASSERT_FALSE(mr_streams_recv_allows(&s, 10));
}

static void closed_streams_give_new_ones(void)
{
    struct mr_streams_recv s;

    mr_streams_recv_init(&s, 16);
    mr_streams_recv_open(&s, 7);
    CU_ASSERT_FALSE(mr_streams_recv_is_due(&s));
    mr_streams_recv_close(&s);
    CU_ASSERT_FALSE(mr_streams_recv_is_due(&s)); /* one of sixteen: wait for more */
    mr_streams_recv_close(&s);
    CU_ASSERT(mr_streams_recv_is_due(&s));
    CU_ASSERT_EQUAL(mr_streams_recv_update(&s), 18);
    CU_ASSERT_FALSE(mr_streams_recv_is_due(&s));
    mr_streams_recv_open(&s, 17);
    CU_ASSERT_FALSE(mr_streams_recv_is_due(&s)); /* all open: nothing to give */
    mr_streams_recv_close(&s);
    CU_ASSERT(mr_streams_recv_is_due(&s)); /* the peer has none left: one is worth a frame */
}

static void the_stream_limit_ends_at_2_to_the_60(void)
{
    struct mr_streams_recv s;

    mr_streams_recv_init(&s, MR_STREAMS_COUNT_MAX);
    mr_streams_recv_open(&s, 100);
    mr_streams_recv_close(&s);
    CU_ASSERT_FALSE(mr_streams_recv_is_due(&s));
    CU_ASSERT_EQUAL(mr_streams_recv_update(&s), MR_STREAMS_COUNT_MAX);
}

static void a_refused_open_is_remembered(void)
{
    struct mr_streams_send s;
    uint64_t ordinal;

    mr_streams_send_init(&s, 1);
    CU_ASSERT(mr_streams_send_open(&s, &ordinal));
    CU_ASSERT_EQUAL(ordinal, 0);
    CU_ASSERT_FALSE(mr_streams_send_wants_blocked(&s)); /* nobody asks */
    CU_ASSERT_FALSE(mr_streams_send_open(&s, &ordinal));
    CU_ASSERT(mr_streams_send_wants_blocked(&s));
    CU_ASSERT_EQUAL(mr_streams_send_blocked_sent(&s), 1);
    CU_ASSERT_FALSE(mr_streams_send_wants_blocked(&s));
    mr_streams_send_blocked_lost(&s, 1);
    CU_ASSERT(mr_streams_send_wants_blocked(&s));
    CU_ASSERT_FALSE(mr_streams_send_raise(&s, 1));
    CU_ASSERT(mr_streams_send_raise(&s, 2)); /* tell the application */
    CU_ASSERT_FALSE(mr_streams_send_raise(&s, 3));
    CU_ASSERT_FALSE(mr_streams_send_wants_blocked(&s));
    CU_ASSERT(mr_streams_send_open(&s, &ordinal));
    CU_ASSERT_EQUAL(ordinal, 1);
}

static CU_TestInfo tests[] = {
    {"a receiver counts against its limit", a_receiver_counts_against_its_limit},
    {"an update is due when half the window is consumed",
     an_update_is_due_when_half_the_window_is_consumed},
    {"the largest window is given in eighths", the_largest_window_is_given_in_eighths},
    {"the window doubles when updates come fast", the_window_doubles_when_updates_come_fast},
    {"a connection's window covers two of a stream", a_connection_s_window_covers_two_of_a_stream},
    {"a gap doubles the window when half of it has come beyond",
     a_gap_doubles_the_window_when_half_of_it_has_come_beyond},
    {"the window stays without an RTT sample", the_window_stays_without_an_rtt_sample},
    {"a receive limit never falls nor passes 62 bits",
     a_receive_limit_never_falls_nor_passes_62_bits},
    {"a sender stops at the limit and says so once", a_sender_stops_at_the_limit_and_says_so_once},
    {"no credit from the start is blocked", no_credit_from_the_start_is_blocked},
    {"opening a stream opens all below", opening_a_stream_opens_all_below},
    {"closed streams give new ones", closed_streams_give_new_ones},
    {"the stream limit ends at 2^60", the_stream_limit_ends_at_2_to_the_60},
    {"a refused open is remembered", a_refused_open_is_remembered},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/flow", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
