/* Tests of CUBIC (quic/cc_cubic.c) against the formulas of RFC 9438. */
#include <math.h>
#include <stdio.h>

#include "base/compiler.h"
#include "quic/cc.h"
#include "tests/unit/harness.h"

#define SIZE 1200

/* A sender whose packets are acknowledged one by one, evenly over each round trip. */
struct flow {
    struct mr_cc cc;
    uint64_t rtt_ns;
    double now_ns;
    uint64_t packets;
};

static void flow_begin(struct flow *flow, uint64_t rtt_ns)
{
    *flow = (struct flow){.rtt_ns = rtt_ns, .now_ns = 1e9};
    mr_cc_init(&flow->cc, MR_CC_CUBIC, SIZE, 0);
    mr_cc_on_sent(&flow->cc, SIZE, 1); /* something is always in flight */
}

static uint64_t flow_now(const struct flow *flow)
{
    return (uint64_t)flow->now_ns;
}

static double segments(const struct flow *flow)
{
    return (double)mr_cc_window(&flow->cc) / SIZE;
}

/* The next packet is acknowledged. */
static void flow_step(struct flow *flow, bool is_app_limited)
{
    uint64_t now = flow_now(flow);
    struct mr_cc_ack ack = {.bytes = SIZE,
                            .newest_sent_ns = now - flow->rtt_ns,
                            .rtt_ns = flow->rtt_ns,
                            .smoothed_ns = flow->rtt_ns,
                            .is_app_limited = is_app_limited};

    mr_cc_on_sent(&flow->cc, SIZE, now);
    mr_cc_on_acked(&flow->cc, &ack, now);
    flow->now_ns += (double)flow->rtt_ns / segments(flow);
    flow->packets++;
}

static void flow_lose(struct flow *flow)
{
    uint64_t now = flow_now(flow);

    CU_ASSERT(mr_cc_on_congestion(&flow->cc, now, now));
    flow->now_ns += 1;
}

/* Run for `seconds`. */
static void flow_run(struct flow *flow, double run_s, bool is_app_limited)
{
    double end_ns = flow->now_ns + run_s * 1e9;

    while (flow->now_ns < end_ns)
        flow_step(flow, is_app_limited);
}

/* Grow to `count` segments in slow start, lose a packet, and let the recovery period pass. */
static void flow_to_avoidance(struct flow *flow, double count)
{
    while (segments(flow) < count)
        flow_step(flow, false);
    flow_lose(flow);
    flow_run(flow, (double)flow->rtt_ns * 1.0001e-9, false);
}

/* Section 5, equation 7: the average window when every 1/p-th packet is lost. */
static double average_window(double rtt_s, double p)
{
    return pow(0.4 * 3.7 / 1.2, 0.25) * pow(rtt_s / p, 0.75);
}

static double simulated_window(uint64_t rtt_ns, double p)
{
    struct flow flow;
    uint64_t period = (uint64_t)(1 / p);
    double begin_ns = 0;
    uint64_t begin_packets = 0;

    flow_begin(&flow, rtt_ns);
    for (int loss = 0; loss < 60; loss++) {
        if (loss == 20) { /* settled */
            begin_ns = flow.now_ns;
            begin_packets = flow.packets;
        }
        for (uint64_t i = 0; i < period; i++)
            flow_step(&flow, false);
        flow_lose(&flow);
    }
    return (double)(flow.packets - begin_packets) * (double)rtt_ns / (flow.now_ns - begin_ns);
}

/* Section 5 assumes that the window is back at W_max when the next packet is lost. */
static void one_period_has_the_average_window_of_the_formula(void)
{
    static const uint64_t rtts[] = {20 * MR_MS, 50 * MR_MS, 100 * MR_MS, 200 * MR_MS};

    for (size_t i = 0; i < MR_COUNT_OF(rtts); i++) {
        struct flow flow;
        flow_begin(&flow, rtts[i]);
        flow_to_avoidance(&flow, 3000);

        double rtt_s = (double)rtts[i] * 1e-9;
        double k_s = cbrt(flow.cc.cubic.max / SIZE * 0.3 / 0.4);
        uint64_t before = flow.packets;
        flow_run(&flow, k_s, false);
        double packets = (double)(flow.packets - before);
        double ratio = packets * rtt_s / k_s / average_window(rtt_s, 1 / packets);

        printf("# rtt %3.0f ms: %.3f of AVG_W\n", rtt_s * 1e3, ratio);
        CU_ASSERT_DOUBLE_EQUAL(ratio, 1, 0.03);
    }
}

/* Fast convergence, which the formula leaves out, takes up to a seventh. */
static void many_periods_have_about_the_average_window_of_the_formula(void)
{
    static const struct {
        uint64_t rtt_ns;
        double p;
    } rows[] = {{100 * MR_MS, 1e-4}, {100 * MR_MS, 1e-5}, {50 * MR_MS, 3e-6}, {200 * MR_MS, 1e-5}};

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        double expected = average_window((double)rows[i].rtt_ns * 1e-9, rows[i].p);
        double ratio = simulated_window(rows[i].rtt_ns, rows[i].p) / expected;
        printf("# rtt %3u ms, p %.0e: AVG_W %.0f, simulated %.3f of it\n",
               (unsigned)(rows[i].rtt_ns / MR_MS), rows[i].p, expected, ratio);
        CU_ASSERT(ratio > 0.86 && ratio < 1.05);
    }
}

/* Section 4.3: with a short round trip, CUBIC gets what Reno gets: sqrt(3/2 / p). */
static void short_round_trips_get_what_reno_gets(void)
{
    for (double p = 1e-2; p > 1e-5; p /= 10) {
        double expected = sqrt(1.5 / p);
        double ratio = simulated_window(1 * MR_MS, p) / expected;
        printf("# rtt 1 ms, p %.0e: Reno %.0f, simulated %.3f of it\n", p, expected, ratio);
        CU_ASSERT(ratio > 0.85 && ratio < 1.15);
    }
}

/* Section 4.2: the window returns to W_max after K seconds. */
static void the_window_returns_to_its_maximum_after_k_seconds(void)
{
    struct flow flow;
    flow_begin(&flow, 100 * MR_MS);
    flow_to_avoidance(&flow, 1000);
    CU_ASSERT_DOUBLE_EQUAL(segments(&flow), 700, 2);

    double k_s = cbrt(1000 * 0.3 / 0.4);
    flow_run(&flow, k_s * 0.5, false); /* W(K/2) = W_max - C (K/2)^3 */
    CU_ASSERT_DOUBLE_EQUAL(segments(&flow), 1000 - 0.4 * pow(k_s * 0.5, 3), 6);
    flow_run(&flow, k_s * 0.5, false);
    CU_ASSERT_DOUBLE_EQUAL(segments(&flow), 1000, 2);
    flow_run(&flow, k_s, false); /* convex: the same curve beyond */
    CU_ASSERT_DOUBLE_EQUAL(segments(&flow), 1300, 12);
}

/* With 100,000 segments in flight each of them adds less than a byte. */
static void growth_of_less_than_a_byte_per_ack_is_not_lost(void)
{
    struct flow flow;
    flow_begin(&flow, 100 * MR_MS);
    mr_cc_set_window(&flow.cc, UINT64_C(100000) * SIZE);
    flow_lose(&flow);
    flow.now_ns += 1e9;
    flow_step(&flow, false);

    double k_s = cbrt(30000 / 0.4);
    double before = 100000 + 0.4 * pow(20 - k_s, 3);
    mr_cc_set_window(&flow.cc, (uint64_t)(before * SIZE));
    flow.now_ns += 20e9;
    flow_run(&flow, 0.2, false);
    CU_ASSERT_DOUBLE_EQUAL(segments(&flow), 100000 + 0.4 * pow(20.2 - k_s, 3), 10);
    CU_ASSERT(segments(&flow) > before + 100);
}

/* Section 4.7. */
static void fast_convergence_gives_bandwidth_to_new_flows(void)
{
    struct flow flow;
    flow_begin(&flow, 100 * MR_MS);
    flow_to_avoidance(&flow, 1000);
    CU_ASSERT_DOUBLE_EQUAL(flow.cc.cubic.max / SIZE, 1000, 1);

    flow_run(&flow, 1, false);
    double window = segments(&flow);
    CU_ASSERT(window < 1000);
    flow_lose(&flow);
    CU_ASSERT_DOUBLE_EQUAL(flow.cc.cubic.max / SIZE, window * 0.85, 0.01);
    CU_ASSERT_DOUBLE_EQUAL(segments(&flow), window * 0.7, 1);
}

/* Section 4.2: time without growth does not count. */
static void time_without_growth_does_not_count(void)
{
    struct flow limited;
    struct flow idle;
    struct flow busy;
    flow_begin(&limited, 100 * MR_MS);
    flow_to_avoidance(&limited, 500);
    flow_run(&limited, 1, false);
    idle = limited;
    busy = limited;

    flow_run(&limited, 100, true);
    CU_ASSERT_EQUAL(mr_cc_window(&limited.cc), mr_cc_window(&busy.cc));

    uint64_t now = flow_now(&idle);
    mr_cc_on_acked(
        &idle.cc,
        &(struct mr_cc_ack){.bytes = SIZE, .newest_sent_ns = now - 1, .is_app_limited = true}, now);
    CU_ASSERT_EQUAL(idle.cc.in_flight, 0);
    idle.now_ns += 100e9; /* nothing in flight for 100 s */
    mr_cc_on_sent(&idle.cc, SIZE, flow_now(&idle));

    flow_run(&limited, 2, false);
    flow_run(&idle, 2, false);
    flow_run(&busy, 2, false);
    CU_ASSERT_DOUBLE_EQUAL(segments(&limited), segments(&busy), 1);
    CU_ASSERT_DOUBLE_EQUAL(segments(&idle), segments(&busy), 1);
}

/* Section 4.8: K is 0 and W_max the window where the first stage after persistent congestion
 * begins. */
static void after_persistent_congestion_the_curve_begins_at_its_plateau(void)
{
    struct flow flow;
    flow_begin(&flow, 100 * MR_MS);
    flow_to_avoidance(&flow, 1000);
    flow_lose(&flow);
    mr_cc_on_persistent_congestion(&flow.cc);
    while (mr_cc_in_slow_start(&flow.cc))
        flow_step(&flow, false);
    double window = segments(&flow);

    flow_step(&flow, false);
    CU_ASSERT_EQUAL((double)flow.cc.cubic.k_s, 0);
    CU_ASSERT_DOUBLE_EQUAL(flow.cc.cubic.max / SIZE, window, 0.01);
    CU_ASSERT_DOUBLE_EQUAL(flow.cc.cubic.estimate / SIZE, window, 0.01);
    flow_run(&flow, 5, false); /* W(5 s) = W_max + 0.4 * 125 */
    CU_ASSERT_DOUBLE_EQUAL(segments(&flow), window + 50, 5);
}

/* Section 4.10: HyStart++ ends slow start without a loss when the delay stays high. */
static void a_rising_delay_ends_the_first_slow_start(void)
{
    struct flow flow;
    flow_begin(&flow, 50 * MR_MS);
    while (segments(&flow) < 200)
        flow_step(&flow, false);
    flow.rtt_ns = 70 * MR_MS;
    double window = segments(&flow);
    for (int i = 0; i < 100000 && mr_cc_in_slow_start(&flow.cc); i++)
        flow_step(&flow, false);

    CU_ASSERT_FALSE(mr_cc_in_slow_start(&flow.cc));
    CU_ASSERT(mr_cc_ssthresh(&flow.cc) > (uint64_t)(window * SIZE));
    /* Five rounds of a quarter of the growth: at most (5/4)^5 = 3.05, after a round of full growth.
     */
    CU_ASSERT(segments(&flow) < window * 2 * 3.1);
    double at_exit = segments(&flow);
    flow_step(&flow, false);
    CU_ASSERT_EQUAL((double)flow.cc.cubic.k_s, 0);
    CU_ASSERT_DOUBLE_EQUAL(flow.cc.cubic.max / SIZE, at_exit, 0.01);
}

/* Window and growth stay finite whatever comes. */
static void extreme_inputs_keep_the_window_within_bounds(void)
{
    static const uint64_t times[] = {0, 1, MR_MS, MR_SECOND, 3600 * MR_SECOND, MR_NEVER / 4};
    static const uint64_t bytes[] = {1, SIZE, UINT64_C(1) << 30, UINT64_C(1) << 40};

    for (size_t t = 0; t < MR_COUNT_OF(times); t++) {
        for (size_t b = 0; b < MR_COUNT_OF(bytes); b++) {
            struct flow flow;
            flow_begin(&flow, 1);
            mr_cc_on_congestion(&flow.cc, 1, 1);
            for (uint64_t i = 1; i < 20; i++) {
                struct mr_cc_ack ack = {.bytes = bytes[b],
                                        .newest_sent_ns = 2,
                                        .rtt_ns = times[t],
                                        .smoothed_ns = times[t]};
                mr_cc_on_sent(&flow.cc, bytes[b], i);
                mr_cc_on_acked(&flow.cc, &ack, times[t] + i);
                mr_cc_check(&flow.cc);
            }
        }
    }
}

static CU_TestInfo tests[] = {
    {"one period has the average window of the formula",
     one_period_has_the_average_window_of_the_formula},
    {"many periods have about the average window of the formula",
     many_periods_have_about_the_average_window_of_the_formula},
    {"short round trips get what reno gets", short_round_trips_get_what_reno_gets},
    {"the window returns to its maximum after K seconds",
     the_window_returns_to_its_maximum_after_k_seconds},
    {"growth of less than a byte per ack is not lost",
     growth_of_less_than_a_byte_per_ack_is_not_lost},
    {"fast convergence gives bandwidth to new flows",
     fast_convergence_gives_bandwidth_to_new_flows},
    {"time without growth does not count", time_without_growth_does_not_count},
    {"after persistent congestion the curve begins at its plateau",
     after_persistent_congestion_the_curve_begins_at_its_plateau},
    {"a rising delay ends the first slow start", a_rising_delay_ends_the_first_slow_start},
    {"extreme inputs keep the window within bounds", extreme_inputs_keep_the_window_within_bounds},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/cc_cubic", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
