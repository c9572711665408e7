/* Tests of quic/rtt.h.  What RFC 9002 demands of it is in tests/conformance/test_recovery.c. */
#include "quic/rtt.h"

#include "tests/unit/harness.h"

static void without_a_sample_the_initial_rtt_counts(void)
{
    struct mr_rtt rtt;
    mr_rtt_init(&rtt, MR_RTT_INITIAL);

    CU_ASSERT_FALSE(mr_rtt_has_sample(&rtt));
    CU_ASSERT_EQUAL(rtt.smoothed_ns, 333 * MR_MS);
    /* A first PTO of about one second, as for TCP (RFC 9002, Section 6.2.2). */
    CU_ASSERT_EQUAL(mr_rtt_pto(&rtt, MR_SPACE_INITIAL) / MR_MS, 999);
}

/* Appendix A.7 worked by hand. */
static const struct {
    struct mr_rtt_sample sample;
    uint64_t min_ns, smoothed_ns, var_ns;
} steps[] = {
    {{100 * MR_MS, 50 * MR_MS, false}, 100 * MR_MS, 100 * MR_MS, 50 * MR_MS},
    {{140 * MR_MS, 0, false}, 100 * MR_MS, 105 * MR_MS, 47500000},
    {{125 * MR_MS, 20 * MR_MS, true}, 100 * MR_MS, 105 * MR_MS, 35625000},
    {{133 * MR_MS, 90 * MR_MS, true}, 100 * MR_MS, 105375000, 27468750},
    {{60 * MR_MS, 10 * MR_MS, true}, 60 * MR_MS, 99703125, 31945312},
};

static void samples_evolve_as_in_the_appendix(void)
{
    struct mr_rtt rtt;
    mr_rtt_init(&rtt, MR_RTT_INITIAL);
    rtt.max_ack_delay_ns = 25 * MR_MS;

    for (size_t i = 0; i < MR_COUNT_OF(steps); i++) {
        mr_rtt_add(&rtt, &steps[i].sample, 1000 + i);
        CU_ASSERT_EQUAL(rtt.latest_ns, steps[i].sample.latest_ns);
        CU_ASSERT_EQUAL(rtt.min_ns, steps[i].min_ns);
        CU_ASSERT_EQUAL(rtt.smoothed_ns, steps[i].smoothed_ns);
        CU_ASSERT_EQUAL(rtt.var_ns, steps[i].var_ns);
        CU_ASSERT_EQUAL(rtt.first_sample_ns, 1000);
    }
}

static void extreme_samples_neither_vanish_nor_overflow(void)
{
    struct mr_rtt rtt;
    mr_rtt_init(&rtt, MR_RTT_INITIAL);
    rtt.max_ack_delay_ns = 16383 * MR_MS;

    for (int i = 0; i < 100; i++)
        mr_rtt_add(&rtt, &(struct mr_rtt_sample){.latest_ns = 0, .ack_delay_ns = MR_NEVER}, 1);
    CU_ASSERT_EQUAL(rtt.smoothed_ns, 1);
    CU_ASSERT_EQUAL(rtt.min_ns, 1);
    CU_ASSERT(mr_rtt_pto(&rtt, MR_SPACE_INITIAL) >= MR_RTT_GRANULARITY);

    for (int i = 0; i < 1000; i++)
        mr_rtt_add(&rtt, &(struct mr_rtt_sample){.latest_ns = MR_NEVER}, 1);
    CU_ASSERT(rtt.smoothed_ns <= MR_RTT_SAMPLE_MAX);
    CU_ASSERT(mr_rtt_persistent_duration(&rtt) < 3600 * MR_SECOND);
}

static void the_backoff_doubles_ten_times_and_never_overflows(void)
{
    CU_ASSERT_EQUAL(mr_rtt_backoff(100, 0), 100);
    CU_ASSERT_EQUAL(mr_rtt_backoff(100, 1), 200);
    CU_ASSERT_EQUAL(mr_rtt_backoff(100, 3), 800);
    CU_ASSERT_EQUAL(mr_rtt_backoff(100, 10), 102400);
    CU_ASSERT_EQUAL(mr_rtt_backoff(100, 4000000000), 102400);
    CU_ASSERT_EQUAL(mr_rtt_backoff(MR_NEVER / 2, 1), MR_NEVER - 1);
    CU_ASSERT_EQUAL(mr_rtt_backoff(MR_NEVER / 2, 2), MR_NEVER);
}

static void after_persistent_congestion_the_newest_sample_is_the_least(void)
{
    struct mr_rtt rtt;
    mr_rtt_init(&rtt, MR_RTT_INITIAL);
    mr_rtt_add(&rtt, &(struct mr_rtt_sample){.latest_ns = 10 * MR_MS}, 1);
    mr_rtt_add(&rtt, &(struct mr_rtt_sample){.latest_ns = 90 * MR_MS}, 2);

    mr_rtt_restart_min(&rtt);
    CU_ASSERT_EQUAL(rtt.min_ns, 90 * MR_MS);
}

static CU_TestInfo tests[] = {
    {"without a sample the initial rtt counts", without_a_sample_the_initial_rtt_counts},
    {"samples evolve as in the appendix", samples_evolve_as_in_the_appendix},
    {"extreme samples neither vanish nor overflow", extreme_samples_neither_vanish_nor_overflow},
    {"the backoff doubles ten times and never overflows",
     the_backoff_doubles_ten_times_and_never_overflows},
    {"after persistent congestion the newest sample is the least",
     after_persistent_congestion_the_newest_sample_is_the_least},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/rtt", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
