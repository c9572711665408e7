/* Tests of quic/cc.h: what all algorithms have in common, and NewReno. */
#include "quic/cc.h"

#include "base/compiler.h"
#include "tests/unit/harness.h"

#define SIZE 1200
#define RTT  (50 * MR_MS)

static struct mr_cc begin(enum mr_cc_kind kind)
{
    struct mr_cc cc;

    mr_cc_init(&cc, kind, SIZE, 0);
    mr_cc_check(&cc);
    return cc;
}

/* Send `bytes` one round trip ago and acknowledge them at `now`. */
static void exchange(struct mr_cc *cc, uint64_t bytes, uint64_t now)
{
    struct mr_cc_ack ack = {
        .bytes = bytes, .newest_sent_ns = now - RTT, .rtt_ns = RTT, .smoothed_ns = RTT};

    mr_cc_on_sent(cc, bytes, now - RTT);
    mr_cc_on_acked(cc, &ack, now);
    mr_cc_check(cc);
}

/* RFC 9002, Section 7.2. */
static void the_initial_window_is_ten_datagrams_within_limits(void)
{
    static const struct {
        uint32_t datagram_size;
        uint64_t window;
    } rows[] = {{1200, 12000}, {1472, 14720}, {1500, 14720}, {9000, 18000}, {65527, 131054}};

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        for (int kind = 0; kind < MR_CC_SELF_CONTAINED; kind++) {
            struct mr_cc cc;
            mr_cc_init(&cc, (enum mr_cc_kind)kind, rows[i].datagram_size, 0);
            CU_ASSERT_EQUAL(mr_cc_window(&cc), rows[i].window);
            CU_ASSERT_EQUAL(mr_cc_room(&cc), rows[i].window);
            CU_ASSERT(mr_cc_in_slow_start(&cc));
        }
    }
}

/* "An update to the PLPMTU (or MPS) MUST NOT increase the congestion window measured in bytes
 * [RFC4821]." (RFC 8899, Section 3) */
static void a_new_datagram_size_changes_the_initial_window_only(void)
{
    struct mr_cc cc = begin(MR_CC_CUBIC);

    mr_cc_set_datagram_size(&cc, 1400);
    CU_ASSERT_EQUAL(mr_cc_window(&cc), 14000);
    exchange(&cc, 1400, MR_SECOND);
    mr_cc_set_datagram_size(&cc, 1200);
    CU_ASSERT_EQUAL(mr_cc_window(&cc), 15400);
    mr_cc_set_datagram_size(&cc, 9000);
    CU_ASSERT_EQUAL(mr_cc_window(&cc), 18000); /* the minimum of two */
}

/* "C.SMSS MUST include transport protocol payload data." (draft-ietf-ccwg-bbr: Transport Connection
 * State)  "This MUST NOT include pure ACK packets." (draft-ietf-ccwg-bbr: Transport Connection
 * State) */
static void bytes_in_flight_follow_the_packets(void)
{
    struct mr_cc cc = begin(MR_CC_NEWRENO);

    mr_cc_on_sent(&cc, 5000, 1);
    mr_cc_on_sent(&cc, 9000, 2);
    CU_ASSERT_EQUAL(mr_cc_room(&cc), 0); /* probes may exceed the window */
    mr_cc_on_lost(&cc, 4000);
    CU_ASSERT_EQUAL(mr_cc_room(&cc), 2000);
    mr_cc_on_discarded(&cc, 1000);
    mr_cc_on_acked(&cc, &(struct mr_cc_ack){.bytes = 9000, .newest_sent_ns = 2}, 3);
    CU_ASSERT_EQUAL(cc.in_flight, 0);
    CU_ASSERT_EQUAL(mr_cc_window(&cc), 21000);
}

static void slow_start_doubles_the_window_each_round(void)
{
    for (int kind = 0; kind < MR_CC_SELF_CONTAINED; kind++) {
        struct mr_cc cc = begin((enum mr_cc_kind)kind);
        for (int round = 1; round <= 8; round++)
            exchange(&cc, mr_cc_window(&cc), (uint64_t)round * MR_SECOND);
        CU_ASSERT_EQUAL(mr_cc_window(&cc), 12000 * 256);
    }
}

static void the_window_never_grows_beyond_its_bound(void)
{
    for (int kind = 0; kind < MR_CC_SELF_CONTAINED; kind++) {
        struct mr_cc cc;
        mr_cc_init(&cc, (enum mr_cc_kind)kind, SIZE, 100000);
        for (uint64_t round = 1; round <= 300; round++) {
            exchange(&cc, mr_cc_window(&cc), round * MR_SECOND);
            CU_ASSERT(mr_cc_window(&cc) <= 100000);
            if (kind == MR_CC_CUBIC)
                CU_ASSERT(cc.cubic.fraction <= 1);
            if (round == 100)
                mr_cc_on_congestion(&cc, round * MR_SECOND, round * MR_SECOND);
        }
        CU_ASSERT_EQUAL(mr_cc_window(&cc), 100000);
    }
}

static void newreno_grows_one_datagram_per_window_in_avoidance(void)
{
    struct mr_cc cc = begin(MR_CC_NEWRENO);
    mr_cc_on_congestion(&cc, 1, 2);
    CU_ASSERT_EQUAL(mr_cc_window(&cc), 6000);

    for (uint64_t i = 0; i < 4; i++)
        exchange(&cc, SIZE, MR_SECOND + i);
    CU_ASSERT_EQUAL(mr_cc_window(&cc), 6000);
    exchange(&cc, SIZE, MR_SECOND + 5);
    CU_ASSERT_EQUAL(mr_cc_window(&cc), 7200);
    exchange(&cc, 7200 + 600, 2 * MR_SECOND);
    CU_ASSERT_EQUAL(mr_cc_window(&cc), 8400);
    exchange(&cc, 8400 - 600, 3 * MR_SECOND); /* the rest counted */
    CU_ASSERT_EQUAL(mr_cc_window(&cc), 9600);
}

static void one_reduction_per_recovery_period(void)
{
    static const uint64_t after[MR_CC_KINDS] = {
        [MR_CC_CUBIC] = 8400, [MR_CC_NEWRENO] = 6000, [MR_CC_PRAGUE] = 6000};

    for (int kind = 0; kind < MR_CC_SELF_CONTAINED; kind++) {
        struct mr_cc cc = begin((enum mr_cc_kind)kind);
        mr_cc_on_sent(&cc, 12000, 50);
        CU_ASSERT(mr_cc_on_congestion(&cc, 50, 100));
        CU_ASSERT_EQUAL(mr_cc_window(&cc), after[kind]);
        CU_ASSERT_EQUAL(mr_cc_ssthresh(&cc), after[kind]);

        CU_ASSERT_FALSE(mr_cc_on_congestion(&cc, 99, 150)); /* sent before recovery */
        CU_ASSERT_FALSE(mr_cc_on_congestion(&cc, 100, 150));
        CU_ASSERT_EQUAL(mr_cc_window(&cc), after[kind]);
        mr_cc_on_acked(&cc, &(struct mr_cc_ack){.bytes = 12000, .newest_sent_ns = 100}, 160);
        CU_ASSERT_EQUAL(mr_cc_window(&cc), after[kind]); /* no growth for packets before */

        CU_ASSERT(mr_cc_on_congestion(&cc, 101, 200)); /* sent after recovery began */
        CU_ASSERT(mr_cc_window(&cc) < after[kind]);
    }
}

static void congestion_stops_at_the_minimum_window(void)
{
    for (int kind = 0; kind < MR_CC_SELF_CONTAINED; kind++) {
        struct mr_cc cc = begin((enum mr_cc_kind)kind);
        for (uint64_t i = 1; i < 50; i++) {
            CU_ASSERT(mr_cc_on_congestion(&cc, i * 10, i * 10 + 5));
            mr_cc_check(&cc);
        }
        CU_ASSERT_EQUAL(mr_cc_window(&cc), 2 * SIZE);
        CU_ASSERT_EQUAL(mr_cc_ssthresh(&cc), 2 * SIZE);
    }
}

static void persistent_congestion_begins_slow_start_up_to_the_threshold(void)
{
    for (int kind = 0; kind < MR_CC_SELF_CONTAINED; kind++) {
        struct mr_cc cc = begin((enum mr_cc_kind)kind);
        exchange(&cc, 12000, MR_SECOND);
        mr_cc_on_congestion(&cc, MR_SECOND, MR_SECOND);
        uint64_t threshold = mr_cc_ssthresh(&cc);
        mr_cc_on_persistent_congestion(&cc);
        CU_ASSERT_EQUAL(mr_cc_window(&cc), 2 * SIZE);
        CU_ASSERT(mr_cc_in_slow_start(&cc));

        exchange(&cc, 2 * SIZE, MR_SECOND + 1); /* sent before, but recovery is cancelled */
        CU_ASSERT_EQUAL(mr_cc_window(&cc), 4 * SIZE);
        for (uint64_t i = 2; mr_cc_in_slow_start(&cc); i++)
            exchange(&cc, mr_cc_window(&cc), i * MR_SECOND);
        CU_ASSERT_EQUAL(mr_cc_window(&cc), threshold);
    }
}

static void an_unused_window_does_not_grow(void)
{
    for (int kind = 0; kind < MR_CC_SELF_CONTAINED; kind++) {
        struct mr_cc cc = begin((enum mr_cc_kind)kind);
        for (uint64_t i = 1; i < 100; i++) {
            if (i == 50)
                mr_cc_on_congestion(&cc, i * MR_SECOND, i * MR_SECOND);
            uint64_t before = mr_cc_window(&cc);
            struct mr_cc_ack ack = {
                .bytes = SIZE, .newest_sent_ns = i * MR_SECOND + 1, .is_app_limited = true};
            mr_cc_on_sent(&cc, SIZE, i * MR_SECOND + 1);
            mr_cc_on_acked(&cc, &ack, i * MR_SECOND + RTT);
            CU_ASSERT_EQUAL(mr_cc_window(&cc), before);
        }
    }
}

static void losses_that_were_none_take_nothing(void)
{
    for (int kind = 0; kind < MR_CC_SELF_CONTAINED; kind++) {
        struct mr_cc cc = begin((enum mr_cc_kind)kind);
        struct mr_cc_saved saved = {0};

        exchange(&cc, 12000, MR_SECOND);
        struct mr_cc before = cc;
        mr_cc_save(&cc, &saved);
        CU_ASSERT(mr_cc_is_news(&cc, MR_SECOND));
        CU_ASSERT(mr_cc_on_congestion(&cc, MR_SECOND, MR_SECOND));
        CU_ASSERT_FALSE(mr_cc_is_news(&cc, MR_SECOND));
        mr_cc_on_persistent_congestion(&cc);
        mr_cc_undo(&cc, &saved);
        CU_ASSERT_EQUAL(mr_cc_window(&cc), mr_cc_window(&before));
        CU_ASSERT_EQUAL(mr_cc_ssthresh(&cc), MR_CC_UNLIMITED);
        CU_ASSERT(mr_cc_is_news(&cc, 1)); /* the recovery period is over */
        mr_cc_check(&cc);

        mr_cc_save(&cc, &saved); /* a window that has grown meanwhile stays */
        mr_cc_on_congestion(&cc, 2 * MR_SECOND, 2 * MR_SECOND);
        mr_cc_set_window(&cc, 2 * saved.window);
        struct mr_cc grown = cc;
        mr_cc_undo(&cc, &saved);
        CU_ASSERT_EQUAL(mr_cc_window(&cc), mr_cc_window(&grown));
        CU_ASSERT_EQUAL(mr_cc_ssthresh(&cc), mr_cc_ssthresh(&grown));
    }
}

static CU_TestInfo tests[] = {
    {"the initial window is ten datagrams within limits",
     the_initial_window_is_ten_datagrams_within_limits},
    {"a new datagram size changes the initial window only",
     a_new_datagram_size_changes_the_initial_window_only},
    {"bytes in flight follow the packets", bytes_in_flight_follow_the_packets},
    {"slow start doubles the window each round", slow_start_doubles_the_window_each_round},
    {"the window never grows beyond its bound", the_window_never_grows_beyond_its_bound},
    {"newreno grows one datagram per window in avoidance",
     newreno_grows_one_datagram_per_window_in_avoidance},
    {"one reduction per recovery period", one_reduction_per_recovery_period},
    {"congestion stops at the minimum window", congestion_stops_at_the_minimum_window},
    {"persistent congestion begins slow start up to the threshold",
     persistent_congestion_begins_slow_start_up_to_the_threshold},
    {"an unused window does not grow", an_unused_window_does_not_grow},
    {"losses that were none take nothing", losses_that_were_none_take_nothing},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/cc", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
