/* Tests of quic/cc_prague.c: how much of the window marks and losses cost, and how it grows back.
 */
#include "quic/cc.h"

#include "base/compiler.h"
#include "tests/unit/harness.h"

#define SIZE 1200

static struct mr_cc begin(uint64_t window, double alpha)
{
    struct mr_cc cc;

    mr_cc_init(&cc, MR_CC_PRAGUE, SIZE, 0);
    mr_cc_set_window(&cc, window);
    cc.ssthresh = window;
    cc.prague.alpha = alpha;
    cc.prague.reduced_ns = 1; /* long ago */
    return cc;
}

/* One round trip of `packets`, `ce` of them marked, which ends at `now`. */
static bool round_trip(struct mr_cc *cc, uint64_t packets, uint64_t ce, uint64_t rtt_ns,
                       uint64_t now)
{
    bool is_reduced =
        mr_cc_on_ecn(cc,
                     &(struct mr_cc_ecn){
                         .packets = packets, .ce = ce, .sent_ns = now - rtt_ns, .rtt_ns = rtt_ns},
                     now);

    mr_cc_on_sent(cc, packets * SIZE, now - rtt_ns);
    mr_cc_on_acked(cc,
                   &(struct mr_cc_ack){.bytes = packets * SIZE,
                                       .newest_sent_ns = now - rtt_ns,
                                       .rtt_ns = rtt_ns,
                                       .smoothed_ns = rtt_ns},
                   now);
    mr_cc_check(cc);
    return is_reduced;
}

static void the_first_mark_halves_and_ends_slow_start(void)
{
    struct mr_cc cc;

    mr_cc_init(&cc, MR_CC_PRAGUE, SIZE, 0);
    uint64_t window = mr_cc_window(&cc);
    CU_ASSERT_TRUE(mr_cc_on_ecn(&cc, &(struct mr_cc_ecn){10, 10, MR_SECOND, 0}, 2 * MR_SECOND));
    CU_ASSERT_EQUAL(mr_cc_window(&cc), window / 2);
    CU_ASSERT_FALSE(mr_cc_in_slow_start(&cc));
}

/* What was seen of a path before it marked says nothing of how much a mark is to cost. */
static void alpha_waits_for_the_first_mark(void)
{
    struct mr_cc cc;

    mr_cc_init(&cc, MR_CC_PRAGUE, SIZE, 0);
    for (uint64_t i = 1; i < 10; i++)
        round_trip(&cc, mr_cc_window(&cc) / SIZE, 0, 25 * MR_MS, MR_SECOND + i * 25 * MR_MS);
    CU_ASSERT_EQUAL(cc.prague.alpha, 1);
    uint64_t window = mr_cc_window(&cc);
    CU_ASSERT_TRUE(
        mr_cc_on_ecn(&cc, &(struct mr_cc_ecn){10, 1, 2 * MR_SECOND, 0}, 2 * MR_SECOND + 1));
    CU_ASSERT_EQUAL(mr_cc_window(&cc), window / 2);
    round_trip(&cc, 10, 0, 25 * MR_MS, 3 * MR_SECOND);
    CU_ASSERT_TRUE(cc.prague.alpha < 1);
}

/* alpha follows the share of marks, 1/16 of the way each round trip. */
static void alpha_becomes_the_share_of_marks(void)
{
    struct mr_cc cc = begin(1000 * SIZE, 1);

    for (uint64_t i = 1; i < 200; i++)
        round_trip(&cc, 100, 20, 25 * MR_MS, MR_SECOND + i * 25 * MR_MS);
    CU_ASSERT_TRUE(cc.prague.alpha > 0.199 && cc.prague.alpha < 0.201);
    double before = cc.prague.alpha;
    round_trip(&cc, 100, 0, 25 * MR_MS, 10 * MR_SECOND);
    CU_ASSERT_TRUE(cc.prague.alpha > before * 0.937 && cc.prague.alpha < before * 0.938);
}

static void few_marks_cost_little_and_once_per_round_trip(void)
{
    struct mr_cc cc = begin(1000 * SIZE, 0.125);
    struct mr_cc_ecn ecn = {.packets = 8, .ce = 1, .sent_ns = MR_SECOND};

    cc.prague.round_ns = MR_SECOND + 1; /* in the middle of a round trip */
    CU_ASSERT_TRUE(mr_cc_on_ecn(&cc, &ecn, MR_SECOND + 20 * MR_MS));
    CU_ASSERT_EQUAL(mr_cc_window(&cc), 1000 * SIZE * 15 / 16);
    CU_ASSERT_FALSE(mr_cc_on_ecn(&cc, &ecn, MR_SECOND + 21 * MR_MS));
    CU_ASSERT_EQUAL(mr_cc_window(&cc), 1000 * SIZE * 15 / 16);
    ecn.sent_ns = MR_SECOND + 20 * MR_MS; /* sent with the smaller window */
    CU_ASSERT_TRUE(mr_cc_on_ecn(&cc, &ecn, MR_SECOND + 40 * MR_MS));
    CU_ASSERT_TRUE(mr_cc_window(&cc) < 1000 * SIZE * 15 / 16);
}

static void counts_without_ce_cost_nothing(void)
{
    struct mr_cc cc = begin(100 * SIZE, 0.5);

    CU_ASSERT_FALSE(mr_cc_on_ecn(&cc, &(struct mr_cc_ecn){100, 0, MR_SECOND, 0}, 2 * MR_SECOND));
    CU_ASSERT_EQUAL(mr_cc_window(&cc), 100 * SIZE);
}

/* RFC 9002, Section 7.3.2: a loss halves the window, whatever alpha is. */
static void a_loss_costs_half(void)
{
    struct mr_cc cc = begin(100 * SIZE, 0.01);

    CU_ASSERT_TRUE(mr_cc_on_congestion(&cc, 1, 2));
    CU_ASSERT_EQUAL(mr_cc_window(&cc), 50 * SIZE);
}

/* Rates - windows per round trip - grow alike below 25 ms: after a second both have as much more.
 */
static void short_round_trips_give_no_advantage(void)
{
    double gain[2];

    for (int i = 0; i < 2; i++) {
        uint64_t rtt = i == 0 ? 5 * MR_MS : 25 * MR_MS;
        uint64_t packets = i == 0 ? 40 : 200; /* the same rate */
        struct mr_cc cc = begin(packets * SIZE, 0.1);
        for (uint64_t now = MR_SECOND + rtt; now <= 2 * MR_SECOND; now += rtt)
            round_trip(&cc, mr_cc_window(&cc) / SIZE, 0, rtt, now);
        gain[i] = (double)(mr_cc_window(&cc) - packets * SIZE) / (double)rtt;
    }
    CU_ASSERT_TRUE(gain[0] > 0.9 * gain[1] && gain[0] < 1.1 * gain[1]);
}

/* All CE, for ever: two datagrams. */
static void the_window_stays_above_its_minimum(void)
{
    struct mr_cc cc = begin(1000 * SIZE, 1);

    for (uint64_t i = 1; i < 100; i++)
        round_trip(&cc, 2, 2, 5 * MR_MS, MR_SECOND + i * 5 * MR_MS);
    CU_ASSERT_TRUE(mr_cc_window(&cc) < 3 * SIZE);
    CU_ASSERT_TRUE(mr_cc_window(&cc) >= 2 * SIZE);
}

/* Round trips of 20 ms with CE, the queue so long in all of them; how many until the queue is
 * taken for what it is not yet; 0: it stays. */
static int rounds_to_change(struct mr_cc *cc, uint64_t queue_ns, uint64_t *now)
{
    bool was_classic = cc->prague.is_classic;

    for (int i = 1; i <= 100; i++) {
        *now += 20 * MR_MS + queue_ns;
        round_trip(cc, 100, 5, 20 * MR_MS + queue_ns, *now);
        if (cc->prague.is_classic != was_classic)
            return i;
    }
    return 0;
}

static void a_queue_that_marks_late_is_classic_until_it_marks_early(void)
{
    struct mr_cc cc = begin(1000 * SIZE, 0.1);
    uint64_t now = MR_SECOND;

    CU_ASSERT_EQUAL(rounds_to_change(&cc, 0, &now), 0);
    CU_ASSERT_EQUAL(rounds_to_change(&cc, 3 * MR_MS - 1, &now), 0);
    CU_ASSERT_EQUAL(rounds_to_change(&cc, 3 * MR_MS, &now), 8);
    CU_ASSERT_EQUAL(rounds_to_change(&cc, 3 * MR_MS, &now), 0);
    CU_ASSERT_EQUAL(rounds_to_change(&cc, MR_MS, &now), 8);
    CU_ASSERT_EQUAL(rounds_to_change(&cc, MR_MS, &now), 0);
}

/* What stands in the queue is what the shortest of a round trip's round trips shows. */
static void one_packet_that_did_not_wait_makes_a_round_an_early_one(void)
{
    struct mr_cc cc = begin(1000 * SIZE, 0.1);
    uint64_t now = MR_SECOND;

    for (int i = 0; i < 50; i++, now += 30 * MR_MS) {
        struct mr_cc_ecn ecn = {.packets = 50, .ce = 5, .sent_ns = 1, .rtt_ns = 20 * MR_MS};

        mr_cc_on_ecn(&cc, &ecn, now);
        ecn.sent_ns = now;
        ecn.rtt_ns = 30 * MR_MS;
        mr_cc_on_ecn(&cc, &ecn, now);
        CU_ASSERT_FALSE(cc.prague.is_classic);
    }
}

/* A burst of late marks, as at the end of slow start, is not enough; nor is a queue without marks.
 */
static void a_short_overshoot_is_no_classic_queue(void)
{
    struct mr_cc cc = begin(1000 * SIZE, 0.1);
    uint64_t now = MR_SECOND;

    for (int i = 0; i < 50; i++) {
        uint64_t rtt_ns = (i % 10 < 5 ? 40 : 20) * MR_MS;
        round_trip(&cc, 100, 5, rtt_ns, now += rtt_ns);
        CU_ASSERT_FALSE(cc.prague.is_classic);
    }
    for (int i = 0; i < 50; i++) {
        round_trip(&cc, 100, 0, 40 * MR_MS, now += 40 * MR_MS);
        CU_ASSERT_FALSE(cc.prague.is_classic);
    }
}

/* RFC 9438, Section 4.6: beta_cubic is 0.7; Section 4.3: 3 x (1 - 0.7) / (1 + 0.7) of a datagram
 * per window, whatever the round trip. */
static void in_a_classic_queue_it_is_as_cubic_is(void)
{
    struct mr_cc cc = begin(1000 * SIZE, 0.1);

    cc.prague.is_classic = true;
    cc.prague.classic = 8;
    CU_ASSERT_TRUE(round_trip(&cc, 1000, 1, 10 * MR_MS, MR_SECOND));
    CU_ASSERT_TRUE(mr_cc_window(&cc) >= 700 * SIZE && mr_cc_window(&cc) < 701 * SIZE);
    uint64_t window = mr_cc_window(&cc);
    for (uint64_t i = 1; i <= 10; i++)
        round_trip(&cc, 700, 0, 10 * MR_MS, MR_SECOND + i * 10 * MR_MS);
    double more = (double)(mr_cc_window(&cc) - window) / SIZE / 10;
    CU_ASSERT_TRUE(more > 0.52 && more < 0.54);
}

static CU_TestInfo tests[] = {
    {"a queue that marks late is classic until it marks early",
     a_queue_that_marks_late_is_classic_until_it_marks_early},
    {"one packet that did not wait makes a round an early one",
     one_packet_that_did_not_wait_makes_a_round_an_early_one},
    {"a short overshoot is no classic queue", a_short_overshoot_is_no_classic_queue},
    {"in a classic queue it is as CUBIC is", in_a_classic_queue_it_is_as_cubic_is},
    {"the first mark halves and ends slow start", the_first_mark_halves_and_ends_slow_start},
    {"alpha waits for the first mark", alpha_waits_for_the_first_mark},
    {"alpha becomes the share of marks", alpha_becomes_the_share_of_marks},
    {"few marks cost little, and once per round trip",
     few_marks_cost_little_and_once_per_round_trip},
    {"counts without CE cost nothing", counts_without_ce_cost_nothing},
    {"a loss costs half", a_loss_costs_half},
    {"short round trips give no advantage", short_round_trips_give_no_advantage},
    {"the window stays above its minimum", the_window_stays_above_its_minimum},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/cc_prague", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
