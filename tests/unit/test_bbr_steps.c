/*
 * Tests of quic/bbr.h, step by step: a model is put into a state by hand, one round trip passes,
 * and what the draft's function makes of it is compared.  tests/unit/test_cc_bbr.c has whole flows.
 *
 * A round trip sends everything at once and gets it back at once, RTT later: its rate is what was
 * sent / RTT.  The path of the model has 100 Mbit/s, of which 100 ms are 1,250,000 bytes.
 */
#include <math.h>

#include "base/compiler.h"
#include "quic/bbr_internal.h"
#include "tests/unit/harness.h"

#define SIZE     1000
#define RTT      (100 * MR_MS)
#define BW       0.0125 /* bytes per ns */
#define BDP      1250000
#define NO_BOUND MR_BBR_NO_BOUND

struct model {
    struct mr_cc cc;
    struct mr_bbr bbr;
    uint64_t now;
};

/* A model that knows the path, in `state`. */
static struct model *begin(enum mr_bbr_state state)
{
    static struct model m;

    m.now = 100 * MR_SECOND;
    mr_cc_init_bbr(&m.cc, &m.bbr, SIZE, 0, 7, m.now);
    mr_cc_set_window(&m.cc, 4 * BDP);
    m.bbr.min_rtt_ns = m.bbr.probe_min_ns = RTT;
    m.bbr.max_bw[0] = m.bbr.bw = BW;
    m.bbr.pacing_rate = BW;
    m.bbr.is_full = true;
    m.bbr.delivery.delivered = 10 * BDP;
    m.bbr.probe_wait_ns = 2 * MR_SECOND;
    m.bbr.cycle_ns = m.now;
    mr_bbr_set_state(&m.bbr, state);
    return &m;
}

static void send(struct model *m, uint64_t bytes)
{
    mr_cc_on_sent(&m->cc, bytes, m->now);
}

static void acknowledge(struct model *m, uint64_t bytes, uint64_t sent_ns)
{
    mr_cc_on_acked(&m->cc,
                   &(struct mr_cc_ack){.bytes = bytes,
                                       .newest_sent_ns = sent_ns,
                                       .rtt_ns = m->now - sent_ns,
                                       .smoothed_ns = m->now - sent_ns},
                   m->now);
    mr_cc_check(&m->cc);
}

/* A round trip of `ns`, of whose bytes some are lost, in so many places. */
static void lossy_round(struct model *m, uint64_t bytes, uint64_t lost, uint32_t ranges,
                        uint64_t ns)
{
    uint64_t sent_ns = m->now;

    send(m, bytes);
    m->now += ns;
    if (lost > 0) {
        mr_cc_on_lost(&m->cc, lost);
        mr_cc_on_loss(&m->cc, &(struct mr_cc_loss){lost, sent_ns, ranges}, m->now);
        mr_cc_on_congestion(&m->cc, sent_ns, m->now);
    }
    acknowledge(m, bytes - lost, sent_ns);
}

static void a_round(struct model *m, uint64_t bytes)
{
    lossy_round(m, bytes, 0, 0, RTT);
}

/* ------------------------------------------------------------------ control parameters */

/* Section "Summary of Control Behavior in the State Machine": its table; and
 * "BBR.PacingMarginPercent constant of 1 aims to cause BBR to pace at 1% below the bw". */
static void each_state_has_its_gains(void)
{
    static const struct {
        enum mr_bbr_state state;
        double pacing, window;
    } rows[] = {{MR_BBR_STARTUP, 2.77, 2}, {MR_BBR_DRAIN, 0.5, 2}, {MR_BBR_DOWN, 0.9, 2},
                {MR_BBR_CRUISE, 1, 2},     {MR_BBR_REFILL, 1, 2},  {MR_BBR_UP, 1.25, 2.25},
                {MR_BBR_PROBE_RTT, 1, 0.5}};

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct model *m = begin(MR_BBR_CRUISE);
        uint64_t sent_ns = m->now;
        send(m, 3 * BDP); /* so much that no state is left for having drained */
        m->now += RTT;
        acknowledge(m, SIZE, sent_ns);
        mr_bbr_set_state(&m->bbr, rows[i].state);
        m->bbr.is_full = rows[i].state != MR_BBR_STARTUP;
        m->bbr.drain_start_round = m->bbr.round_count;
        m->bbr.extra[0] = m->bbr.extra[1] = 0;
        mr_cc_set_window(&m->cc, 4 * BDP);
        acknowledge(m, SIZE, sent_ns);
        CU_ASSERT_EQUAL(m->bbr.state, rows[i].state);
        CU_ASSERT_DOUBLE_EQUAL(m->bbr.pacing_rate, rows[i].pacing * BW * 0.99, 1e-9);
        double window = rows[i].window * BDP;
        if (rows[i].state != MR_BBR_PROBE_RTT) /* BDPMultiple() alone */
            window += (double)m->bbr.extra[0];
        if (rows[i].state == MR_BBR_UP) /* QuantizationBudget() */
            window += 2 * SIZE;
        if (rows[i].state != MR_BBR_STARTUP) /* there max_inflight is no bound */
            CU_ASSERT_DOUBLE_EQUAL((double)mr_cc_window(&m->cc), window, 1);
    }
}

/* Section "BBR.extra_acked": "BBR augments C.cwnd by BBR.extra_acked to allow the connection to
 * keep sending during inter-ACK silences". */
static void the_window_grows_by_what_comes_at_once(void)
{
    struct model *m = begin(MR_BBR_CRUISE);
    uint64_t sent_ns = m->now;

    send(m, 2 * BDP);
    m->now += RTT;
    m->bbr.extra_from_ns = m->now; /* as the last acknowledgement left it */
    acknowledge(m, 300 * SIZE, sent_ns);
    CU_ASSERT_EQUAL(mr_cc_window(&m->cc), 2 * BDP + 300 * SIZE);
    for (int i = 0; i < 11; i++) /* "10 round trips after exiting STARTUP" */
        lossy_round(m, SIZE, 0, 0, 101 * MR_MS);
    CU_ASSERT_TRUE(mr_cc_window(&m->cc) < 2 * BDP + 100 * SIZE);
}

/* Section "Bounding cwnd Based on Recent Congestion". */
static void bounds_of_the_window_are_the_states(void)
{
    static const struct {
        enum mr_bbr_state state;
        uint64_t window;
    } rows[] = {{MR_BBR_CRUISE, 850000},
                {MR_BBR_DOWN, 1000000},
                {MR_BBR_UP, 1000000},
                {MR_BBR_PROBE_RTT, 625000}};

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct model *m = begin(rows[i].state);
        uint64_t sent_ns = m->now;
        m->bbr.inflight_longterm = 1000000;
        m->bbr.next_round_delivered = UINT64_MAX; /* in the middle of a round */
        send(m, 1000000);
        m->now += RTT;
        acknowledge(m, SIZE, sent_ns);
        CU_ASSERT_EQUAL(m->bbr.state, rows[i].state);
        CU_ASSERT_EQUAL(mr_cc_window(&m->cc), rows[i].window);
        m->bbr.inflight_shortterm = 500000;
        acknowledge(m, SIZE, sent_ns);
        CU_ASSERT_EQUAL(mr_cc_window(&m->cc), 500000);
    }
}

/* Section "Pacing Rate": "this prevents the pacing rate from being reduced when the connection has
 * only seen application-limited bandwidth samples". */
static void the_rate_falls_only_when_the_pipe_was_full(void)
{
    for (int is_full = 0; is_full < 2; is_full++) {
        struct model *m = begin(MR_BBR_STARTUP);

        m->bbr.is_full = is_full != 0;
        m->bbr.max_bw[0] = 0;
        m->bbr.pacing_rate = 10 * BW;
        a_round(m, BDP / 10);
        CU_ASSERT_EQUAL(m->bbr.pacing_rate < 10 * BW, is_full != 0);
    }
}

/* Section "BBR.max_bw and Application-limited Delivery Rate Samples": "the estimator does use
 * application-limited samples if the measured delivery rate happens to be larger". */
static void a_limited_sample_counts_only_if_it_is_higher(void)
{
    for (int is_limited = 0; is_limited < 2; is_limited++) {
        struct model *m = begin(MR_BBR_CRUISE);

        m->bbr.max_bw[1] = BW;
        m->bbr.max_bw[0] = 0;
        send(m, 0);
        if (is_limited != 0)
            mr_delivery_limit(&m->bbr.delivery, BDP);
        a_round(m, BDP / 2);
        CU_ASSERT_EQUAL(m->bbr.max_bw[0] > 0, is_limited == 0);
        if (is_limited != 0)
            mr_delivery_limit(&m->bbr.delivery, 4 * BDP);
        a_round(m, 2 * BDP);
        CU_ASSERT_DOUBLE_EQUAL(m->bbr.max_bw[0], 2 * BW, 1e-6);
    }
}

/* ------------------------------------------------------------------ Startup, Drain */

/* Section "Exiting Acceleration Based on Bandwidth Plateau": three rounds with less than 25 % more.
 */
static void three_rounds_of_little_growth_fill_the_pipe(void)
{
    struct model *m = begin(MR_BBR_STARTUP);
    double bytes = 100000;

    m->bbr.is_full = false;
    m->bbr.max_bw[0] = 0;
    for (int i = 0; i < 8; i++, bytes *= 1.3)
        a_round(m, (uint64_t)bytes);
    CU_ASSERT_EQUAL(m->bbr.state, MR_BBR_STARTUP);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_FALSE(m->bbr.is_full);
        a_round(m, (uint64_t)(bytes * 0.9));
    }
    CU_ASSERT_TRUE(m->bbr.is_full);
}

/*
 * Section "Exiting Startup Based on Packet Loss": more than 2 % of a full round, in "at least
 * BBRStartupFullLossCnt=6 discontiguous sequence ranges"; and what is safe in flight is
 * "max(BBR.bdp, BBR.inflight_latest)".
 */
static void startup_ends_with_many_losses_in_many_places(void)
{
    static const struct {
        uint64_t lost;
        uint32_t ranges;
        bool ends;
    } rows[] = {{100 * SIZE, 5, false}, {100 * SIZE, 6, true}, {15 * SIZE, 9, false}};

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct model *m = begin(MR_BBR_STARTUP);

        m->bbr.is_full = false;
        lossy_round(m, 1000 * SIZE, rows[i].lost, rows[i].ranges, RTT);
        a_round(m, 1000 * SIZE);
        CU_ASSERT_EQUAL(m->bbr.is_full, rows[i].ends);
        CU_ASSERT_EQUAL(m->bbr.state != MR_BBR_STARTUP, rows[i].ends);
        CU_ASSERT_EQUAL(m->bbr.inflight_longterm, rows[i].ends ? BDP : NO_BOUND);
    }
}

/* Section "Drain": "In that case, BBR enters ProbeBW after 3 round trips". */
static void a_queue_that_stays_ends_drain_after_three_rounds(void)
{
    struct model *m = begin(MR_BBR_DRAIN);
    int rounds = 0;

    m->bbr.drain_start_round = m->bbr.round_count;
    send(m, 4 * BDP); /* never comes back */
    for (; m->bbr.state == MR_BBR_DRAIN && rounds < 10; rounds++)
        a_round(m, SIZE);
    CU_ASSERT_EQUAL(rounds, 4);
    CU_ASSERT_EQUAL(m->bbr.state, MR_BBR_DOWN);
}

/* ------------------------------------------------------------------ losses */

/*
 * Section "When not Probing for Bandwidth": "bw_shortterm = max(bw_latest, BBR.Beta *
 * BBR.bw_shortterm)", and the same of what is in flight, "once per round".
 */
static void a_round_of_losses_lowers_the_short_term_bounds(void)
{
    struct model *m = begin(MR_BBR_CRUISE);

    mr_cc_set_window(&m->cc, 2 * BDP);
    lossy_round(m, BDP / 4, BDP / 20, 1, RTT);
    a_round(m, BDP / 4); /* the end of the round that began with the loss */
    CU_ASSERT_DOUBLE_EQUAL(m->bbr.bw_shortterm, 0.7 * BW, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL((double)m->bbr.inflight_shortterm, 0.7 * 2 * BDP, 0.01 * BDP);
    CU_ASSERT_DOUBLE_EQUAL(m->bbr.bw, 0.7 * BW, 1e-9);
    lossy_round(m, BDP * 9 / 10, BDP / 10, 1, RTT); /* it delivers 0.8 */
    a_round(m, BDP / 4);
    CU_ASSERT_DOUBLE_EQUAL(m->bbr.bw_shortterm, 0.8 * BW, 1e-4);
}

/* "if (IsProbingBW()) return"; and a round whose losses may be chance, which the draft counts. */
static void a_probe_or_a_lossless_round_lowers_nothing(void)
{
    static const struct {
        enum mr_bbr_state state;
        uint64_t lost;
    } rows[] = {{MR_BBR_REFILL, BDP / 20}, {MR_BBR_UP, BDP / 20}, {MR_BBR_CRUISE, BDP / 100}};

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct model *m = begin(rows[i].state);
        uint64_t sent_ns = m->now;

        send(m, BDP);
        m->now += RTT;
        mr_cc_on_lost(&m->cc, rows[i].lost);
        mr_cc_on_loss(&m->cc, &(struct mr_cc_loss){rows[i].lost, sent_ns, 1}, m->now);
        uint64_t second_ns = m->now;
        send(m, BDP);
        m->bbr.next_round_delivered = UINT64_MAX; /* the state stays */
        acknowledge(m, BDP - rows[i].lost, sent_ns);
        m->now += RTT;
        acknowledge(m, BDP, second_ns);
        CU_ASSERT_EQUAL(m->bbr.state, rows[i].state);
        CU_ASSERT_TRUE(isinf(m->bbr.bw_shortterm));
        CU_ASSERT_EQUAL(m->bbr.inflight_shortterm, NO_BOUND);
    }
}

/*
 * Section "Probing for Bandwidth In ProbeBW": HandleInflightTooHigh() and InflightAtLoss().  2 % by
 * two standard deviations is more than chance: of 1,000 packets 29 and more, of 100 five.
 */
static void losses_of_a_probe_bound_what_is_in_flight(void)
{
    static const struct {
        uint64_t bytes, lost;
        bool is_limited;
        double longterm; /* 0: none */
    } rows[] = {{1000 * SIZE, 28 * SIZE, false, 0},
                /* (0.02 x 971 - 0) / 0.98 = 19.8 packets beyond the 971 before */
                {1000 * SIZE, 29 * SIZE, false, 990816},
                {100 * SIZE, 4 * SIZE, false, 0},
                {100 * SIZE, 5 * SIZE, false, 0.7 * BDP}, /* "not more dramatically than CUBIC" */
                {1000 * SIZE, 50 * SIZE, true, 0}};

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct model *m = begin(MR_BBR_UP);
        uint64_t sent_ns = m->now;

        m->bbr.is_probe_sample = true;
        if (rows[i].is_limited)
            mr_delivery_limit(&m->bbr.delivery, BDP);
        m->bbr.is_idle_restart = false;
        send(m, rows[i].bytes);
        m->now += RTT;
        mr_cc_on_lost(&m->cc, rows[i].lost);
        mr_cc_on_loss(&m->cc, &(struct mr_cc_loss){rows[i].lost, sent_ns, 1}, m->now);
        if (rows[i].longterm > 0)
            CU_ASSERT_DOUBLE_EQUAL((double)m->bbr.inflight_longterm, rows[i].longterm, 1)
        else
            CU_ASSERT_EQUAL(m->bbr.inflight_longterm, NO_BOUND);
        bool is_over = rows[i].longterm > 0 || rows[i].is_limited;
        CU_ASSERT_EQUAL(m->bbr.state, is_over ? MR_BBR_DOWN : MR_BBR_UP);
        CU_ASSERT_EQUAL(m->bbr.was_too_high, is_over);
    }
}

/* OnEnterRTO() of Section "Modulating cwnd in Loss Recovery" takes the window, and gives up none of
 * what losses have taught before. */
static void persistent_congestion_leaves_the_short_term_bounds(void)
{
    struct model *m = begin(MR_BBR_CRUISE);

    m->bbr.bw_shortterm = BW / 2;
    m->bbr.inflight_shortterm = BDP / 2;
    mr_cc_on_persistent_congestion(&m->cc);
    CU_ASSERT_EQUAL(mr_cc_window(&m->cc), 2 * SIZE);
    a_round(m, 2 * SIZE);
    CU_ASSERT_EQUAL(m->bbr.bw, BW / 2);
    CU_ASSERT_EQUAL(m->bbr.inflight_shortterm, BDP / 2);
}

/* ------------------------------------------------------------------ ProbeBW */

/* Section "ProbeBW_REFILL": "BBR first resets the short-term model parameters". */
static void refill_forgets_the_short_term_bounds(void)
{
    struct model *m = begin(MR_BBR_CRUISE);

    m->bbr.bw_shortterm = BW / 2;
    m->bbr.inflight_shortterm = BDP / 2;
    m->now += 2 * MR_SECOND;
    a_round(m, SIZE);
    CU_ASSERT_EQUAL(m->bbr.state, MR_BBR_REFILL);
    CU_ASSERT_TRUE(isinf(m->bbr.bw_shortterm));
    CU_ASSERT_EQUAL(m->bbr.inflight_shortterm, NO_BOUND);
}

/*
 * Section "Accelerating to Probe for Bandwidth": "in each successive round trip,
 * BBR.inflight_longterm grows (in units of C.SMSS) by 1, 2, 4, 8, 16, etc"; and while it is the
 * limit, "it resets the "full pipe" estimator".
 */
static void a_probe_raises_its_limit_faster_and_faster(void)
{
    struct model *m = begin(MR_BBR_REFILL);

    m->bbr.inflight_longterm = 800 * SIZE;
    mr_cc_set_window(&m->cc, 800 * SIZE);
    a_round(m, 800 * SIZE);
    CU_ASSERT_EQUAL(m->bbr.state, MR_BBR_UP);
    for (uint64_t growth = 2; growth <= 32; growth *= 2) { /* the round that ended was the first */
        uint64_t before = m->bbr.inflight_longterm;
        uint64_t sent_ns = m->now;

        send(m, before);
        m->now += RTT;
        acknowledge(m, SIZE, sent_ns);
        acknowledge(m, before - SIZE, sent_ns);
        CU_ASSERT_EQUAL(m->bbr.inflight_longterm - before, growth * SIZE);
        CU_ASSERT_EQUAL(m->bbr.state, MR_BBR_UP);
    }
}

/*
 * Section "Precautionary Bandwidth Probing": "BBR transitions to ProbeBW_DOWN as soon as C.inflight
 * reaches this risky level", and if nothing is lost "the flow immediately returns to
 * ProbeBW_REFILL".
 */
static void a_probe_after_one_that_was_too_high_is_short(void)
{
    for (int is_high = 0; is_high < 2; is_high++) {
        struct model *m = begin(MR_BBR_UP);
        uint64_t first_ns = m->now;

        m->bbr.was_too_high = true;
        m->bbr.inflight_longterm = 500 * SIZE;
        send(m, 500 * SIZE);
        m->now += RTT;
        acknowledge(m, SIZE, first_ns);
        CU_ASSERT_EQUAL(m->bbr.state, MR_BBR_UP); /* 499 are in flight */
        uint64_t second_ns = m->now;
        send(m, 2 * SIZE);
        m->now++;
        acknowledge(m, SIZE, first_ns);
        CU_ASSERT_EQUAL(m->bbr.state, MR_BBR_DOWN);
        CU_ASSERT_TRUE(m->bbr.was_precautionary);
        CU_ASSERT_FALSE(m->bbr.was_too_high);
        m->bbr.was_too_high = is_high != 0; /* by losses that are noticed now */
        m->now += RTT;
        acknowledge(m, 400 * SIZE, second_ns);
        a_round(m, SIZE);
        CU_ASSERT_EQUAL(m->bbr.state == MR_BBR_REFILL, is_high == 0);
    }
}

/* Section "BBR.max_bw Max Filter": "the previous ProbeBW cycle and the current ProbeBW cycle",
 * which ends "one round trip after exiting ProbeBW_UP". */
static void a_rate_is_remembered_for_two_cycles(void)
{
    struct model *m = begin(MR_BBR_CRUISE);

    for (int cycle = 0; cycle < 2; cycle++) {
        CU_ASSERT_EQUAL(mr_bbr_max_bw(&m->bbr), BW);
        mr_bbr_start_down(&m->bbr, m->now);
        a_round(m, BDP / 2);
    }
    CU_ASSERT_DOUBLE_EQUAL(mr_bbr_max_bw(&m->bbr), BW / 2, 1e-6);
}

/* Section "ProbeBW_DOWN": cruising needs headroom, and no more in flight than BBR.bdp. */
static void down_lasts_until_there_is_headroom(void)
{
    static const struct {
        uint64_t longterm, in_flight;
        bool cruises;
    } rows[] = {{NO_BOUND, BDP + SIZE, false},
                {NO_BOUND, BDP, true},
                {1000 * SIZE, 851 * SIZE, false},
                {1000 * SIZE, 850 * SIZE, true}};

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct model *m = begin(MR_BBR_DOWN);
        uint64_t sent_ns = m->now;

        m->bbr.inflight_longterm = rows[i].longterm;
        send(m, rows[i].in_flight + SIZE);
        m->bbr.delivery.snapshots[0].in_flight = 0; /* as if it had been sent with less around it */
        m->now += RTT;
        acknowledge(m, SIZE, sent_ns);
        CU_ASSERT_EQUAL(m->bbr.state, rows[i].cruises ? MR_BBR_CRUISE : MR_BBR_DOWN);
    }
}

/* ------------------------------------------------------------------ ProbeRTT, idle */

/* Section "ProbeRTT Logic", and "Exiting ProbeRTT": what it takes and gives back. */
static void probing_the_round_trip_leaves_no_trace(void)
{
    struct model *m = begin(MR_BBR_CRUISE);

    mr_cc_set_window(&m->cc, 2 * BDP);
    m->bbr.probe_min_at_ns = m->now - 5 * MR_SECOND;
    a_round(m, SIZE);
    CU_ASSERT_EQUAL(m->bbr.state, MR_BBR_PROBE_RTT);
    CU_ASSERT_EQUAL(mr_cc_window(&m->cc), BDP / 2);
    CU_ASSERT_NOT_EQUAL(m->bbr.delivery.app_limited, 0); /* "Ignore low rate samples" */
    m->bbr.bw_shortterm = BW / 2;
    m->bbr.inflight_shortterm = BDP / 2;
    for (int i = 0; i < 10 && m->bbr.state == MR_BBR_PROBE_RTT; i++)
        a_round(m, SIZE);
    CU_ASSERT_EQUAL(m->bbr.state, MR_BBR_CRUISE);
    CU_ASSERT_TRUE(mr_cc_window(&m->cc) >= 2 * BDP);
    CU_ASSERT_TRUE(isinf(m->bbr.bw_shortterm));
    CU_ASSERT_EQUAL(m->bbr.inflight_shortterm, NO_BOUND);
    CU_ASSERT_DOUBLE_EQUAL(mr_bbr_max_bw(&m->bbr), BW, 1e-9);
}

/* Section "BBR.min_rtt Min Filter": "the minimum recent RTT sample seen by the connection over that
 * past BBR.MinRTTFilterLen seconds", which are 10. */
static void a_round_trip_is_remembered_for_ten_seconds(void)
{
    struct model *m = begin(MR_BBR_CRUISE);
    uint64_t from = m->now;

    while (m->now + 150 * MR_MS <= from + 10 * MR_SECOND) {
        lossy_round(m, SIZE, 0, 0, 150 * MR_MS);
        CU_ASSERT_EQUAL(m->bbr.min_rtt_ns, RTT);
    }
    lossy_round(m, SIZE, 0, 0, 150 * MR_MS);
    CU_ASSERT_EQUAL(m->bbr.min_rtt_ns, 150 * MR_MS);
}

/*
 * Section "Restarting From Idle": "before the flow sends one or more packets BBR sets C.pacing_rate
 * to exactly BBR.bw", and "when restarting from idle and finding that the BBR.probe_rtt_min_delay
 * has expired, BBR does not enter ProbeRTT".
 */
static void idle_time_is_a_probe_of_the_round_trip(void)
{
    for (int was_limited = 0; was_limited < 2; was_limited++) {
        struct model *m = begin(MR_BBR_CRUISE);

        m->bbr.pacing_rate = 1.25 * BW;
        if (was_limited != 0)
            mr_cc_on_drained(&m->cc);
        m->now += 6 * MR_SECOND;
        m->bbr.cycle_ns = m->now;
        uint64_t sent_ns = m->now;
        send(m, 2 * SIZE);
        CU_ASSERT_DOUBLE_EQUAL(m->bbr.pacing_rate, was_limited != 0 ? 0.99 * BW : 1.25 * BW, 1e-9);
        CU_ASSERT_EQUAL(m->bbr.is_idle_restart, was_limited != 0);
        m->now += RTT;
        acknowledge(m, SIZE, sent_ns);
        CU_ASSERT_EQUAL(m->bbr.state == MR_BBR_PROBE_RTT, was_limited == 0);
        CU_ASSERT_FALSE(m->bbr.is_idle_restart);
    }
}

static CU_TestInfo tests[] = {
    {"each state has its gains", each_state_has_its_gains},
    {"the window grows by what comes at once", the_window_grows_by_what_comes_at_once},
    {"bounds of the window are the state's", bounds_of_the_window_are_the_states},
    {"the rate falls only when the pipe was full", the_rate_falls_only_when_the_pipe_was_full},
    {"a limited sample counts only if it is higher", a_limited_sample_counts_only_if_it_is_higher},
    {"three rounds of little growth fill the pipe", three_rounds_of_little_growth_fill_the_pipe},
    {"Startup ends with many losses in many places", startup_ends_with_many_losses_in_many_places},
    {"a queue that stays ends Drain after three rounds",
     a_queue_that_stays_ends_drain_after_three_rounds},
    {"a round of losses lowers the short-term bounds",
     a_round_of_losses_lowers_the_short_term_bounds},
    {"a probe or a lossless round lowers nothing", a_probe_or_a_lossless_round_lowers_nothing},
    {"losses of a probe bound what is in flight", losses_of_a_probe_bound_what_is_in_flight},
    {"persistent congestion leaves the short-term bounds",
     persistent_congestion_leaves_the_short_term_bounds},
    {"Refill forgets the short-term bounds", refill_forgets_the_short_term_bounds},
    {"a probe raises its limit faster and faster", a_probe_raises_its_limit_faster_and_faster},
    {"a probe after one that was too high is short", a_probe_after_one_that_was_too_high_is_short},
    {"a rate is remembered for two cycles", a_rate_is_remembered_for_two_cycles},
    {"Down lasts until there is headroom", down_lasts_until_there_is_headroom},
    {"probing the round trip leaves no trace", probing_the_round_trip_leaves_no_trace},
    {"a round trip is remembered for ten seconds", a_round_trip_is_remembered_for_ten_seconds},
    {"idle time is a probe of the round trip", idle_time_is_a_probe_of_the_round_trip},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/bbr", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
