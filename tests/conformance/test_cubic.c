/*
 * RFC 9438 (CUBIC), sentence by sentence.
 *
 * Where RFC 9002 says otherwise for QUIC it is followed: the window never falls below two
 * datagrams, also for ECN (RFC 9002, Section 7.2).
 */
#include <math.h>

#include "base/compiler.h"
#include "quic/cc.h"
#include "tests/unit/harness.h"

#define SIZE 1200
#define RTT  (100 * MR_MS)

static double segments(const struct mr_cc *cc)
{
    return (double)mr_cc_window(cc) / SIZE;
}

/* `bytes` sent after every recovery period are acknowledged `at_s` seconds after second 1. */
static void acknowledge(struct mr_cc *cc, uint64_t bytes, double at_s, bool is_app_limited)
{
    uint64_t now = MR_SECOND + (uint64_t)(at_s * 1e9);
    struct mr_cc_ack ack = {.bytes = bytes,
                            .newest_sent_ns = now,
                            .rtt_ns = RTT,
                            .smoothed_ns = RTT,
                            .is_app_limited = is_app_limited};

    mr_cc_on_sent(cc, bytes, now);
    mr_cc_on_acked(cc, &ack, now);
}

/* A window of 1000 segments when a packet is lost; the stage that follows begins at 0 s. */
static struct mr_cc after_a_loss(void)
{
    struct mr_cc cc;

    mr_cc_init(&cc, MR_CC_CUBIC, SIZE, 0);
    mr_cc_on_sent(&cc, 1, 1); /* never idle */
    mr_cc_set_window(&cc, 1000 * SIZE);
    mr_cc_on_congestion(&cc, 1, 2);
    acknowledge(&cc, 1, 0, false);
    return cc;
}

static double w_cubic(double t_s, double k_s, double w_max)
{
    return 0.4 * pow(t_s - k_s, 3) + w_max;
}

/*
 * Section 4.4: "In this region, cwnd MUST be incremented by (target - cwnd) / cwnd for each
 * received new ACK".  Section 4.5 says the same of the convex region.
 */
static void the_window_grows_towards_the_target(void)
{
    static const double times_s[] = {1, 3, 7, 9.5, 12}; /* K is 9.09 s */

    for (size_t i = 0; i < MR_COUNT_OF(times_s); i++) {
        struct mr_cc cc = after_a_loss();
        double t = times_s[i];
        double before = w_cubic(t, cbrt(750), 1000); /* on the curve */
        mr_cc_set_window(&cc, (uint64_t)(before * SIZE));
        before = segments(&cc);

        double target = w_cubic(t + 0.1, cbrt(750), 1000);
        acknowledge(&cc, SIZE, t, false);
        CU_ASSERT_DOUBLE_EQUAL(segments(&cc), before + (target - before) / before, 2.0 / SIZE);
    }
}

/* Section 4.2: the target is at least cwnd and at most 1.5 times cwnd. */
static void the_target_is_bounded(void)
{
    struct mr_cc cc = after_a_loss();
    uint64_t before;

    mr_cc_set_window(&cc, 1200 * SIZE);
    acknowledge(&cc, SIZE, 5, false);
    CU_ASSERT_EQUAL(mr_cc_window(&cc), 1200 * SIZE);

    before = mr_cc_window(&cc);
    acknowledge(&cc, before, 100, false); /* a window full: up to the target itself */
    CU_ASSERT_DOUBLE_EQUAL((double)mr_cc_window(&cc), 1.5 * (double)before, SIZE);
    before = mr_cc_window(&cc);
    acknowledge(&cc, 5 * before, 200, false); /* and not beyond */
    CU_ASSERT_DOUBLE_EQUAL((double)mr_cc_window(&cc), 1.5 * (double)before, SIZE);
}

/*
 * Section 4.3: CUBIC "SHOULD" set cwnd to W_est in the Reno-friendly region, with alpha 9/17 until
 * W_est reaches cwnd_prior, then 1.
 */
static void the_reno_friendly_region_grows_like_reno(void)
{
    struct mr_cc cc;
    mr_cc_init(&cc, MR_CC_CUBIC, SIZE, 0);
    mr_cc_on_sent(&cc, 1, 1);
    mr_cc_on_congestion(&cc, 1, 2); /* 10 segments: 7 remain */
    acknowledge(&cc, 1, 0, false);

    double expected = segments(&cc);
    for (int i = 1; i < 40; i++) {
        double alpha = expected < 10 ? 9.0 / 17 : 1;
        acknowledge(&cc, mr_cc_window(&cc), i * 1e-4, false);
        expected += alpha * floor(expected * SIZE) / SIZE / expected;
        CU_ASSERT_DOUBLE_EQUAL(segments(&cc), expected, 0.02);
    }
}

/*
 * Section 4.2: "The elapsed time t in Eq. 1 MUST NOT include periods during which cwnd has not been
 * updated due to application-limited behavior"
 */
static void application_limited_time_does_not_count(void)
{
    struct mr_cc limited = after_a_loss();
    struct mr_cc busy = after_a_loss();

    acknowledge(&limited, SIZE, 50, true);
    CU_ASSERT_EQUAL(mr_cc_window(&limited), mr_cc_window(&busy));
    for (int i = 1; i < 30; i++) {
        acknowledge(&limited, mr_cc_window(&limited), 50 + i * 0.1, false);
        acknowledge(&busy, mr_cc_window(&busy), i * 0.1, false);
        CU_ASSERT_DOUBLE_EQUAL(segments(&limited), segments(&busy), 0.01);
    }
}

/*
 * Section 4.6: "In case of packet loss, the sender MUST reduce cwnd and ssthresh immediately upon
 * entering loss recovery", and beta_cubic "SHOULD be set to 0.7".
 */
static void a_loss_reduces_at_once(void)
{
    struct mr_cc cc = after_a_loss();

    CU_ASSERT_EQUAL(mr_cc_window(&cc), 700 * SIZE);
    CU_ASSERT_EQUAL(mr_cc_ssthresh(&cc), 700 * SIZE);
}

/*
 * Section 4.6: "Implementations that use cwnd MUST use other measures to prevent cwnd from growing
 * when the volume of bytes in flight is smaller than cwnd."  "A QUIC sender that uses *cwnd* to
 * calculate new values for *cwnd* and *ssthresh* after detecting a congestion event is REQUIRED to
 * apply similar mechanisms {{?RFC9002}}." (RFC 9438, Multiplicative Decrease) */
static void an_unused_window_does_not_grow(void)
{
    struct mr_cc cc = after_a_loss();

    for (int i = 1; i < 100; i++)
        acknowledge(&cc, SIZE, i * 0.5, true);
    CU_ASSERT_EQUAL(mr_cc_window(&cc), 700 * SIZE);
}

/* Section 4.10: "CUBIC MUST employ a slow-start algorithm, when cwnd is no more than ssthresh." */
static void slow_start_below_the_threshold(void)
{
    struct mr_cc cc = after_a_loss();

    mr_cc_on_persistent_congestion(&cc);
    acknowledge(&cc, 2 * SIZE, 1, false);
    CU_ASSERT_EQUAL(mr_cc_window(&cc), 4 * SIZE);
    acknowledge(&cc, 4 * SIZE, 1.1, false);
    CU_ASSERT_EQUAL(mr_cc_window(&cc), 8 * SIZE);
}

/*
 * Section 4.9.2: "Once the previously declared packet loss is confirmed to be spurious, CUBIC MAY
 * restore the original values of the above-mentioned variables as follows if the current cwnd is
 * lower than cwnd_prior.  Restoring the original values ensures that CUBIC's performance is similar
 * to what it would be without spurious losses."
 */
static void spurious_losses_are_undone(void)
{
    struct mr_cc cc = after_a_loss();
    struct mr_cc_saved saved = {0};

    for (int i = 1; i <= 40; i++)
        acknowledge(&cc, 100 * SIZE, 0.1 * i, false);
    struct mr_cc without = cc;
    mr_cc_save(&cc, &saved);
    CU_ASSERT(mr_cc_on_congestion(&cc, 6 * MR_SECOND, 6 * MR_SECOND));
    acknowledge(&cc, SIZE, 5.1, false); /* a new epoch */
    CU_ASSERT_NOT_EQUAL(cc.cubic.epoch_ns, without.cubic.epoch_ns);
    mr_cc_undo(&cc, &saved);
    CU_ASSERT_EQUAL(cc.window, without.window);
    CU_ASSERT_EQUAL(cc.ssthresh, without.ssthresh);
    CU_ASSERT_EQUAL(cc.cubic.prior, without.cubic.prior);
    CU_ASSERT_EQUAL(cc.cubic.max, without.cubic.max);
    CU_ASSERT_EQUAL(cc.cubic.k_s, without.cubic.k_s);
    CU_ASSERT_EQUAL(cc.cubic.epoch_ns, without.cubic.epoch_ns);
    CU_ASSERT_EQUAL(cc.cubic.estimate, without.cubic.estimate);
    for (int i = 60; i <= 120; i++) {
        acknowledge(&cc, 100 * SIZE, 0.1 * i, false);
        acknowledge(&without, 100 * SIZE, 0.1 * i, false);
    }
    CU_ASSERT_DOUBLE_EQUAL(segments(&cc), segments(&without), 0.01);
}

/* The same: not "if the current cwnd is lower than cwnd_prior". */
static void a_window_beyond_is_not_undone(void)
{
    struct mr_cc cc = after_a_loss();
    struct mr_cc_saved saved = {0};

    mr_cc_save(&cc, &saved);
    mr_cc_on_congestion(&cc, 6 * MR_SECOND, 6 * MR_SECOND);
    mr_cc_set_window(&cc, saved.window);
    struct mr_cc before = cc;
    mr_cc_undo(&cc, &saved);
    CU_ASSERT_EQUAL(cc.window, before.window);
    CU_ASSERT_EQUAL(cc.ssthresh, before.ssthresh);
    CU_ASSERT_EQUAL(cc.cubic.max, before.cubic.max);
    CU_ASSERT_EQUAL(cc.cubic.epoch_ns, before.cubic.epoch_ns);
}

static CU_TestInfo tests[] = {
    {"4.4, 4.5: the window grows towards the target", the_window_grows_towards_the_target},
    {"4.2: the target is bounded", the_target_is_bounded},
    {"4.3: the Reno-friendly region grows like Reno", the_reno_friendly_region_grows_like_reno},
    {"4.2: application-limited time does not count", application_limited_time_does_not_count},
    {"4.6: a loss reduces at once", a_loss_reduces_at_once},
    {"4.6: an unused window does not grow", an_unused_window_does_not_grow},
    {"4.10: slow start below the threshold", slow_start_below_the_threshold},
    {"4.9.2: spurious losses are undone", spurious_losses_are_undone},
    {"4.9.2: a window beyond is not undone", a_window_beyond_is_not_undone},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9438", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
