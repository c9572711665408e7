/* Tests of quic/hystart.h. */
#include "quic/hystart.h"

#include "tests/unit/harness.h"

/* A connection whose rounds are driven by hand: one ACK per ms, `rtt_ms` long. */
struct rig {
    struct mr_hystart hystart;
    uint64_t now;
};

static void rig_open(struct rig *rig)
{
    mr_hystart_init(&rig->hystart);
    rig->now = MR_SECOND;
}

/* An ACK with a sample; it acknowledges a packet of the current round, or one sent before it. */
static enum mr_hystart_state ack(struct rig *rig, uint64_t rtt_us, bool ends_round)
{
    uint64_t round = rig->hystart.round_start_ns;
    struct mr_hystart_ack in = {.rtt_ns = rtt_us * MR_US,
                                .newest_sent_ns = ends_round ? round : round - 1};

    rig->now += MR_MS;
    return mr_hystart_on_acked(&rig->hystart, &in, rig->now);
}

/* A round that begins with this call and has `count` samples. */
static enum mr_hystart_state round_of(struct rig *rig, uint64_t rtt_us, int count)
{
    enum mr_hystart_state state = ack(rig, rtt_us, true);

    for (int i = 1; i < count; i++)
        state = ack(rig, rtt_us, false);
    return state;
}

/* RFC 9406, Section 4.2: an eighth of the last round's delay, but 4 to 16 ms. */
static void the_delay_must_rise_by_an_eighth_within_limits(void)
{
    static const struct {
        uint64_t last_us, rise_us;
    } rows[] = {{1000, 4000}, {31999, 4000}, {64000, 8000}, {100000, 12500}, {400000, 16000}};

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        uint64_t last = rows[i].last_us;
        struct rig rig;
        rig_open(&rig);
        round_of(&rig, last, 20);
        CU_ASSERT_EQUAL(round_of(&rig, last + rows[i].rise_us - 1, 20), MR_HYSTART_SLOW_START);

        rig_open(&rig);
        round_of(&rig, last, 20);
        CU_ASSERT_EQUAL(round_of(&rig, last + rows[i].rise_us, 7), MR_HYSTART_SLOW_START);
        CU_ASSERT_EQUAL(ack(&rig, last + rows[i].rise_us, false), MR_HYSTART_CONSERVATIVE);
    }
}

static void the_least_sample_of_a_round_counts(void)
{
    struct rig rig;
    rig_open(&rig);

    round_of(&rig, 50000, 10);
    ack(&rig, 51000, true);
    for (int i = 0; i < 20; i++)
        CU_ASSERT_EQUAL(ack(&rig, 90000, false), MR_HYSTART_SLOW_START);
}

static void each_round_is_compared_with_the_one_before(void)
{
    struct rig rig;
    rig_open(&rig);

    for (uint64_t rtt_us = 50000; rtt_us <= 100000; rtt_us += 5000)
        CU_ASSERT_EQUAL(round_of(&rig, rtt_us, 10), MR_HYSTART_SLOW_START);
}

static void conservative_slow_start_grows_by_a_quarter(void)
{
    struct rig rig;
    rig_open(&rig);

    CU_ASSERT_EQUAL(mr_hystart_growth(&rig.hystart, 4000), 4000);
    round_of(&rig, 50000, 10);
    round_of(&rig, 70000, 10);
    CU_ASSERT_EQUAL(mr_hystart_growth(&rig.hystart, 4000), 1000);
}

static void five_conservative_rounds_end_slow_start(void)
{
    struct rig rig;
    rig_open(&rig);

    round_of(&rig, 50000, 10);
    CU_ASSERT_EQUAL(round_of(&rig, 70000, 10), MR_HYSTART_CONSERVATIVE); /* the first, in part */
    for (int i = 2; i <= MR_HYSTART_ROUNDS; i++)
        CU_ASSERT_EQUAL(round_of(&rig, 70000, 10), MR_HYSTART_CONSERVATIVE);
    CU_ASSERT_EQUAL(ack(&rig, 70000, true), MR_HYSTART_DONE);
}

static void a_delay_that_falls_again_resumes_slow_start(void)
{
    struct rig rig;
    rig_open(&rig);

    round_of(&rig, 50000, 10);
    CU_ASSERT_EQUAL(round_of(&rig, 70000, 10), MR_HYSTART_CONSERVATIVE);
    CU_ASSERT_EQUAL(round_of(&rig, 69999, 7), MR_HYSTART_CONSERVATIVE);
    CU_ASSERT_EQUAL(ack(&rig, 69999, false), MR_HYSTART_SLOW_START);
    CU_ASSERT_EQUAL(round_of(&rig, 90000, 8), MR_HYSTART_CONSERVATIVE); /* and can end again */
    CU_ASSERT_EQUAL(rig.hystart.round_count, 0);
}

static void an_ack_without_a_sample_changes_no_minimum(void)
{
    struct rig rig;
    rig_open(&rig);

    round_of(&rig, 50000, 10);
    for (int i = 0; i < 20; i++)
        ack(&rig, 0, false);
    CU_ASSERT_EQUAL(rig.hystart.current_min_us, 50000);
    CU_ASSERT_EQUAL(rig.hystart.sample_count, MR_HYSTART_SAMPLES);
}

static CU_TestInfo tests[] = {
    {"the delay must rise by an eighth within limits",
     the_delay_must_rise_by_an_eighth_within_limits},
    {"the least sample of a round counts", the_least_sample_of_a_round_counts},
    {"each round is compared with the one before", each_round_is_compared_with_the_one_before},
    {"conservative slow start grows by a quarter", conservative_slow_start_grows_by_a_quarter},
    {"five conservative rounds end slow start", five_conservative_rounds_end_slow_start},
    {"a delay that falls again resumes slow start", a_delay_that_falls_again_resumes_slow_start},
    {"an ack without a sample changes no minimum", an_ack_without_a_sample_changes_no_minimum},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/hystart", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
