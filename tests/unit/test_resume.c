/* Tests of quic/resume.h: the phases of Careful Resume, RFC 9959. */
#include "quic/resume.h"

#include "quic/pacer.h"
#include "tests/unit/harness.h"

enum {
    DATAGRAM = 1200,
    INITIAL = 12000,
    SAVED = 400000
};

static const struct mr_saved_path saved = {.window = SAVED, .rtt_us = 100000};

/* A path whose packets are sent and acknowledged by hand. */
struct rig {
    struct mr_cc cc;
    struct mr_resume resume;
    uint64_t rtt_ns;
    uint64_t now;
    bool is_app_limited;
};

static void rig_open(struct rig *rig, enum mr_cc_kind kind)
{
    *rig = (struct rig){.rtt_ns = 100 * MR_MS, .now = MR_SECOND};
    mr_cc_init(&rig->cc, kind, DATAGRAM, 0);
    CU_ASSERT_TRUE_FATAL(mr_resume_begin(&rig->resume, &saved));
}

/* Send; the time of sending. */
static uint64_t send(struct rig *rig, uint64_t bytes)
{
    rig->now += MR_MS;
    mr_cc_on_sent(&rig->cc, bytes, rig->now);
    return rig->now;
}

static enum mr_resume_step ack(struct rig *rig, uint64_t bytes, uint64_t sent_ns)
{
    struct mr_cc_ack cc = {.bytes = bytes,
                           .newest_sent_ns = sent_ns,
                           .rtt_ns = rig->rtt_ns,
                           .smoothed_ns = 100 * MR_MS,
                           .is_app_limited = rig->is_app_limited};
    struct mr_resume_ack in = {.bytes = bytes,
                               .newest_sent_ns = sent_ns,
                               .min_rtt_ns = rig->rtt_ns,
                               .is_app_limited = rig->is_app_limited};

    rig->now += MR_MS;
    mr_cc_on_acked(&rig->cc, &cc, rig->now);
    enum mr_resume_step step = mr_resume_on_acked(&rig->resume, &rig->cc, &in, rig->now);
    mr_cc_check(&rig->cc);
    return step;
}

static enum mr_resume_step lose(struct rig *rig, uint64_t bytes, uint64_t sent_ns)
{
    rig->now += MR_MS;
    mr_cc_on_lost(&rig->cc, bytes);
    CU_ASSERT_TRUE_FATAL(mr_cc_on_congestion(&rig->cc, sent_ns, rig->now));
    enum mr_resume_step step = mr_resume_on_congestion(&rig->resume, &rig->cc, rig->now);
    mr_cc_check(&rig->cc);
    return step;
}

/* The initial window arrived, and 4,000 bytes are in flight still. */
static enum mr_resume_step reconnoitre(struct rig *rig)
{
    uint64_t sent = send(rig, INITIAL);

    CU_ASSERT_EQUAL(ack(rig, INITIAL, sent), MR_RESUME_STAYS);
    sent = send(rig, 7000);
    return ack(rig, 3000, sent);
}

static void rig_jump(struct rig *rig, enum mr_cc_kind kind)
{
    rig_open(rig, kind);
    CU_ASSERT_EQUAL_FATAL(reconnoitre(rig), MR_RESUME_JUMPED);
}

/* Section 3.3: "jump_cwnd MUST be no more than half of the saved_cwnd". */
static void the_window_jumps_to_half_of_what_was_saved(void)
{
    for (int kind = 0; kind < MR_CC_SELF_CONTAINED; kind++) {
        struct rig rig;

        rig_jump(&rig, (enum mr_cc_kind)kind);
        CU_ASSERT_EQUAL(mr_cc_window(&rig.cc), SAVED / 2);
        CU_ASSERT_TRUE(mr_cc_in_slow_start(&rig.cc));
    }
}

static void the_initial_window_must_have_arrived(void)
{
    struct rig rig;

    rig_open(&rig, MR_CC_NEWRENO);
    uint64_t sent = send(&rig, 2 * INITIAL);
    CU_ASSERT_EQUAL(ack(&rig, MR_CC_INITIAL_BYTES - 1, sent), MR_RESUME_STAYS);
    CU_ASSERT_EQUAL(ack(&rig, 1, sent), MR_RESUME_JUMPED);
}

static void who_has_nothing_to_send_does_not_jump(void)
{
    struct rig rig;

    rig_open(&rig, MR_CC_NEWRENO);
    rig.is_app_limited = true;
    for (int i = 0; i < 10; i++)
        CU_ASSERT_EQUAL(ack(&rig, 5000, send(&rig, 5000)), MR_RESUME_STAYS);
    rig.is_app_limited = false;
    CU_ASSERT_EQUAL(ack(&rig, 5000, send(&rig, 5000)), MR_RESUME_JUMPED);
}

/* Section 3.2. */
static void another_round_trip_is_another_path(void)
{
    static const struct {
        uint64_t rtt_ns;
        enum mr_resume_step step;
    } rows[] = {
        {50 * MR_MS, MR_RESUME_OVER},          {50 * MR_MS + 1, MR_RESUME_JUMPED},
        {1000 * MR_MS, MR_RESUME_JUMPED},      {1000 * MR_MS + 1, MR_RESUME_OVER},
        {0, MR_RESUME_STAYS /* none known */},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct rig rig;

        rig_open(&rig, MR_CC_NEWRENO);
        rig.rtt_ns = rows[i].rtt_ns;
        CU_ASSERT_EQUAL(ack(&rig, 2 * INITIAL, send(&rig, 2 * INITIAL)), rows[i].step);
    }
}

static void after_congestion_nothing_is_resumed(void)
{
    struct rig rig;

    rig_open(&rig, MR_CC_NEWRENO);
    uint64_t sent = send(&rig, INITIAL);
    CU_ASSERT_EQUAL(lose(&rig, DATAGRAM, sent), MR_RESUME_OVER);
    uint64_t window = mr_cc_window(&rig.cc);
    CU_ASSERT_EQUAL(ack(&rig, INITIAL - DATAGRAM, sent), MR_RESUME_OVER);
    CU_ASSERT_EQUAL(mr_cc_window(&rig.cc), window);
}

static void a_window_that_is_there_is_not_jumped_to(void)
{
    struct rig rig;

    rig_open(&rig, MR_CC_NEWRENO);
    mr_cc_set_window(&rig.cc, SAVED / 2 - INITIAL);
    CU_ASSERT_EQUAL(ack(&rig, INITIAL, send(&rig, INITIAL)), MR_RESUME_OVER);
}

static void what_is_saved_has_bounds(void)
{
    struct mr_saved_path path = {.window = MR_RESUME_WINDOW_MIN - 1, .rtt_us = 1};
    struct rig rig;

    CU_ASSERT_FALSE(mr_resume_begin(&rig.resume, &path));
    path = (struct mr_saved_path){.window = SAVED};
    CU_ASSERT_FALSE(mr_resume_begin(&rig.resume, &path));
    rig_open(&rig, MR_CC_NEWRENO);
    path = (struct mr_saved_path){.window = UINT32_MAX, .rtt_us = 100000};
    CU_ASSERT_TRUE(mr_resume_begin(&rig.resume, &path));
    CU_ASSERT_EQUAL(reconnoitre(&rig), MR_RESUME_JUMPED);
    CU_ASSERT_EQUAL(mr_cc_window(&rig.cc), MR_RESUME_WINDOW_MAX / 2);
}

/* One window per round trip, where slow start would send two. */
static void the_jump_is_spread_over_a_round_trip(void)
{
    struct rig rig;
    bool is_slow_start;

    rig_jump(&rig, MR_CC_CUBIC);
    double window = (double)mr_cc_pacing_window(&rig.cc, rig.rtt_ns, &is_slow_start);
    CU_ASSERT_FALSE(is_slow_start);
    CU_ASSERT_EQUAL((uint64_t)(window * MR_PACER_GAIN), SAVED / 2);
    ack(&rig, 1000, send(&rig, 1000));
    mr_cc_pacing_window(&rig.cc, rig.rtt_ns, &is_slow_start);
    CU_ASSERT_TRUE(is_slow_start);
}

/* Sections 3.3 and 3.4. */
static void with_the_first_of_it_the_window_is_what_is_in_flight(void)
{
    struct rig rig;

    rig_jump(&rig, MR_CC_NEWRENO);
    uint64_t before = rig.now - 1;
    send(&rig, 90000);
    CU_ASSERT_EQUAL(ack(&rig, 4000, before), MR_RESUME_STAYS); /* nothing of it */
    CU_ASSERT_EQUAL(mr_cc_window(&rig.cc), SAVED / 2);
    CU_ASSERT_EQUAL(ack(&rig, 1200, rig.now - MR_MS), MR_RESUME_STAYS);
    CU_ASSERT_EQUAL(mr_cc_window(&rig.cc), 90000);
    CU_ASSERT_EQUAL(ack(&rig, 1200, rig.now - MR_MS), MR_RESUME_STAYS);
    CU_ASSERT_EQUAL(mr_cc_window(&rig.cc), 91200); /* and grows */
}

static void little_in_flight_leaves_the_initial_window(void)
{
    struct rig rig;

    rig_jump(&rig, MR_CC_NEWRENO);
    ack(&rig, 1200, send(&rig, 1200));
    CU_ASSERT_EQUAL(mr_cc_window(&rig.cc), MR_CC_INITIAL_BYTES);
}

static void a_packet_sent_after_it_validates_all(void)
{
    struct rig rig;

    rig_jump(&rig, MR_CC_NEWRENO);
    uint64_t jump = send(&rig, 90000);
    ack(&rig, 1200, jump);
    uint64_t later = send(&rig, 1200);
    CU_ASSERT_EQUAL(ack(&rig, 50000, jump), MR_RESUME_STAYS);
    CU_ASSERT_EQUAL(ack(&rig, 1200, later), MR_RESUME_VALIDATED);
}

static void so_does_an_empty_path(void)
{
    struct rig rig;

    rig_jump(&rig, MR_CC_NEWRENO);
    uint64_t jump = send(&rig, 90000);
    ack(&rig, 1200, jump);
    CU_ASSERT_EQUAL(ack(&rig, 4000 + 90000 - 1200, jump), MR_RESUME_VALIDATED);
}

/* Section 3.5: the window is "reduced to no more than (PipeSize/2)", "The CWND MUST NOT be
 * increased", and at last "ssthresh MUST be set to no larger than the most recently measured
 * PipeSize * Beta". */
static void congestion_ends_in_a_retreat(void)
{
    for (int kind = 0; kind < MR_CC_SELF_CONTAINED; kind++) {
        for (int is_validating = 0; is_validating < 2; is_validating++) {
            struct rig rig;

            rig_jump(&rig, (enum mr_cc_kind)kind);
            uint64_t before = rig.now - 1;
            uint64_t jump = send(&rig, 150000);
            ack(&rig, 4000, is_validating != 0 ? jump : before);
            CU_ASSERT_EQUAL(lose(&rig, 50000, jump), MR_RESUME_RETREATED);
            uint64_t window = mr_cc_window(&rig.cc); /* 4,000 in flight, and 4,000 acknowledged */
            CU_ASSERT_EQUAL(window, 8000 / 2);
            CU_ASSERT_EQUAL(ack(&rig, 60000, jump), MR_RESUME_STAYS);
            CU_ASSERT_EQUAL(mr_cc_window(&rig.cc), window);
            CU_ASSERT_EQUAL(mr_resume_on_congestion(&rig.resume, &rig.cc, rig.now),
                            MR_RESUME_STAYS);
            uint64_t later = send(&rig, 6000); /* more than the window: NewReno would grow */
            CU_ASSERT_EQUAL(ack(&rig, 6000, later), MR_RESUME_OVER);
            CU_ASSERT_EQUAL(mr_cc_window(&rig.cc), window);
            CU_ASSERT_EQUAL(mr_cc_ssthresh(&rig.cc), (8000 + 60000 + 6000) / 2);
            CU_ASSERT_FALSE(rig.cc.is_jumping);
        }
    }
}

/* CUBIC would climb back to the window where congestion was. */
static void a_window_that_was_never_carried_is_forgotten(void)
{
    struct rig rig;

    rig_jump(&rig, MR_CC_CUBIC);
    lose(&rig, 50000, send(&rig, 150000));
    CU_ASSERT_EQUAL(rig.cc.cubic.max, 0);
}

static void a_path_that_is_left_keeps_no_jump(void)
{
    struct rig rig;

    rig_jump(&rig, MR_CC_NEWRENO);
    send(&rig, 50000);
    mr_resume_abandon(&rig.resume, &rig.cc);
    CU_ASSERT_EQUAL(mr_cc_window(&rig.cc), 54000);
    CU_ASSERT_FALSE(rig.cc.is_jumping);
    rig_open(&rig, MR_CC_NEWRENO);
    mr_resume_abandon(&rig.resume, &rig.cc);
    CU_ASSERT_EQUAL(mr_cc_window(&rig.cc), INITIAL);
}

static CU_TestInfo tests[] = {
    {"the window jumps to half of what was saved", the_window_jumps_to_half_of_what_was_saved},
    {"the initial window must have arrived", the_initial_window_must_have_arrived},
    {"who has nothing to send does not jump", who_has_nothing_to_send_does_not_jump},
    {"another round trip is another path", another_round_trip_is_another_path},
    {"after congestion nothing is resumed", after_congestion_nothing_is_resumed},
    {"a window that is there is not jumped to", a_window_that_is_there_is_not_jumped_to},
    {"what is saved has bounds", what_is_saved_has_bounds},
    {"the jump is spread over a round trip", the_jump_is_spread_over_a_round_trip},
    {"with the first of it the window is what is in flight",
     with_the_first_of_it_the_window_is_what_is_in_flight},
    {"little in flight leaves the initial window", little_in_flight_leaves_the_initial_window},
    {"a packet sent after it validates all", a_packet_sent_after_it_validates_all},
    {"so does an empty path", so_does_an_empty_path},
    {"congestion ends in a retreat", congestion_ends_in_a_retreat},
    {"a window that was never carried is forgotten", a_window_that_was_never_carried_is_forgotten},
    {"a path that is left keeps no jump", a_path_that_is_left_keeps_no_jump},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/resume", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
