/* Tests of quic/bbr.h: the example cases of draft-ietf-ccwg-bbr, over a link made of arithmetic. */
#include "quic/bbr.h"

#include <math.h>

#include "base/compiler.h"
#include "quic/pacer.h"
#include "tests/unit/harness.h"

#define SIZE  1200
#define RTT   (20 * MR_MS)
#define QUEUE 65536 /* packets in flight at most */
#define START MR_SECOND

/* A sender over a bottleneck with a queue; each packet is acknowledged alone, RTT after it left. */
struct link {
    struct mr_cc cc;
    struct mr_bbr bbr;
    struct mr_pacer pacer;
    uint64_t now;
    uint64_t free_ns;    /* when the bottleneck has sent all it has */
    double bytes_per_ns; /* its rate */
    uint64_t queue_ns;   /* longest wait; more is lost */
    uint64_t mark_ns;    /* packets that wait longer get CE; 0: none */
    uint32_t limit_each; /* the application has so many packets per RTT; 0: as many as can be */
    uint64_t limit_left;
    uint64_t limit_at_ns;
    uint64_t delivered;
    uint64_t lost;
    uint64_t smoothed_ns;
    uint32_t first;
    uint32_t count;
    struct {
        uint64_t sent_ns;
        uint64_t back_ns; /* 0: lost, noticed with the next that comes back */
        bool is_ce;
    } packet[QUEUE];
};

static struct link *open_link(double bytes_per_ns)
{
    static struct link l;

    l = (struct link){.now = START,
                      .free_ns = START,
                      .bytes_per_ns = bytes_per_ns,
                      .queue_ns = 4 * RTT,
                      .smoothed_ns = RTT};
    mr_cc_init_bbr(&l.cc, &l.bbr, SIZE, 0, 7, START);
    struct mr_pacer_input input = {.smoothed_ns = RTT, .datagram_size = SIZE};
    input.window = mr_cc_pacing_window(&l.cc, RTT, &input.is_slow_start);
    mr_pacer_init(&l.pacer, &input, START);
    return &l;
}

static void send(struct link *l)
{
    uint64_t starts = MR_MAX(l->free_ns, l->now);
    bool is_lost = starts - l->now > l->queue_ns;
    uint32_t at = (l->first + l->count++) % QUEUE;

    CU_ASSERT_TRUE_FATAL(l->count < QUEUE);
    l->packet[at].sent_ns = l->now;
    l->packet[at].is_ce = l->mark_ns > 0 && starts - l->now > l->mark_ns;
    l->packet[at].back_ns = 0;
    if (!is_lost) {
        l->free_ns = starts + (uint64_t)(SIZE / l->bytes_per_ns);
        l->packet[at].back_ns = l->free_ns + RTT;
    }
    mr_cc_on_sent(&l->cc, SIZE, l->now);
    mr_pacer_on_sent(&l->pacer, SIZE);
}

static bool may_send(struct link *l)
{
    if (l->limit_each > 0 && l->now >= l->limit_at_ns) {
        l->limit_left = l->limit_each;
        l->limit_at_ns = l->now + RTT;
    }
    if (l->limit_each > 0 && l->limit_left == 0) {
        mr_cc_on_drained(&l->cc);
        return false;
    }
    return mr_cc_room(&l->cc) >= SIZE && mr_pacer_allow(&l->pacer, l->now) > 0;
}

/* The oldest packet comes back; those lost before it are noticed. */
static void take(struct link *l)
{
    uint64_t lost_ns = 0;
    uint32_t lost = 0;

    while (l->count > 0 && l->packet[l->first].back_ns == 0) {
        lost_ns = l->packet[l->first].sent_ns;
        l->first = (l->first + 1) % QUEUE;
        l->count--;
        lost++;
    }
    if (lost > 0) {
        mr_cc_on_lost(&l->cc, (uint64_t)lost * SIZE);
        mr_cc_on_loss(&l->cc, &(struct mr_cc_loss){(uint64_t)lost * SIZE, lost_ns, 1}, l->now);
        mr_cc_on_congestion(&l->cc, lost_ns, l->now);
        l->lost += lost;
    }
    if (l->count == 0)
        return;
    uint64_t sent_ns = l->packet[l->first].sent_ns;
    mr_cc_on_ecn(&l->cc, &(struct mr_cc_ecn){1, l->packet[l->first].is_ce, sent_ns}, l->now);
    l->first = (l->first + 1) % QUEUE;
    l->count--;
    l->delivered += SIZE;
    l->smoothed_ns = (7 * l->smoothed_ns + l->now - sent_ns) / 8;
    mr_cc_on_acked(&l->cc,
                   &(struct mr_cc_ack){.bytes = SIZE,
                                       .newest_sent_ns = sent_ns,
                                       .rtt_ns = l->now - sent_ns,
                                       .smoothed_ns = l->smoothed_ns},
                   l->now);
    struct mr_pacer_input input = {.smoothed_ns = l->smoothed_ns, .datagram_size = SIZE};
    input.window = mr_cc_pacing_window(&l->cc, l->smoothed_ns, &input.is_slow_start);
    mr_pacer_update(&l->pacer, &input, l->now);
}

static uint64_t next_back(const struct link *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        if (l->packet[(l->first + i) % QUEUE].back_ns != 0)
            return l->packet[(l->first + i) % QUEUE].back_ns;
    }
    return MR_NEVER;
}

static void step(struct link *l)
{
    while (may_send(l)) {
        send(l);
        l->limit_left -= l->limit_left > 0;
    }
    uint64_t next = next_back(l);
    if (l->limit_each > 0 && l->limit_left == 0)
        next = MR_MIN(next, l->limit_at_ns);
    else if (mr_cc_room(&l->cc) >= SIZE)
        next = MR_MIN(next, mr_pacer_next(&l->pacer, l->now));
    if (next == MR_NEVER) /* all that was sent is lost: a probe timeout */
        next = l->now + RTT;
    l->now = MR_MAX(next, l->now);
    if (next_back(l) <= l->now || next_back(l) == MR_NEVER)
        take(l);
    mr_cc_check(&l->cc);
}

/* Until a state is entered; false: not within `ns`. */
static bool run_to(struct link *l, enum mr_bbr_state state, uint64_t ns)
{
    uint64_t until = l->now + ns;

    while (l->now < until && l->bbr.state != state)
        step(l);
    return l->bbr.state == state;
}

static void run_for(struct link *l, uint64_t ns)
{
    uint64_t until = l->now + ns;

    while (l->now < until)
        step(l);
}

/* Appendix "Exiting STARTUP on Bandwidth Plateau", "Exiting DRAIN Based on Inflight".  "The state
 * machine and associated pseudocode defined in this section through {{updating-control-parameters}}
 * define the BBRv3 algorithm and MUST be included in any BBRv3 implementation."
 * (draft-ietf-ccwg-bbr: State Machine) */
static void startup_ends_where_the_rate_stops_growing(void)
{
    struct link *l = open_link(0.00625); /* 50 Mbit/s */

    CU_ASSERT_TRUE(run_to(l, MR_BBR_DRAIN, 30 * RTT));
    CU_ASSERT_TRUE(l->bbr.is_full);
    CU_ASSERT_TRUE(l->bbr.max_bw[0] > 0.95 * 0.00625 && l->bbr.max_bw[0] < 1.1 * 0.00625);
    CU_ASSERT_TRUE(run_to(l, MR_BBR_CRUISE, 12 * RTT)); /* DOWN may pass within one ACK */
    CU_ASSERT_TRUE((double)l->cc.in_flight <= 1.1 * 0.00625 * RTT + 5 * SIZE);
    run_for(l, 10 * RTT); /* at the rate of the path no queue grows again */
    CU_ASSERT_TRUE((double)l->cc.in_flight <= 1.1 * 0.00625 * RTT + 5 * SIZE);
}

/* Section "ProbeBW": the cycle, and that it finds a rate that has grown. */
static void a_rate_that_grows_is_found(void)
{
    struct link *l = open_link(0.00625);

    CU_ASSERT_TRUE(run_to(l, MR_BBR_CRUISE, MR_SECOND));
    CU_ASSERT_TRUE(run_to(l, MR_BBR_REFILL, 4 * MR_SECOND));
    CU_ASSERT_TRUE(run_to(l, MR_BBR_UP, 5 * RTT));
    CU_ASSERT_TRUE(run_to(l, MR_BBR_DOWN, 20 * RTT));
    l->bytes_per_ns = 0.0125;
    run_for(l, 4 * MR_SECOND); /* one cycle, at least, while no RTT is probed for */
    uint64_t before = l->delivered;
    run_for(l, 4 * MR_SECOND);
    CU_ASSERT_TRUE((double)(l->delivered - before) > 0.85 * 0.0125 * 4 * MR_SECOND);
}

static void a_rate_that_falls_is_followed(void)
{
    struct link *l = open_link(0.0125);

    run_for(l, 3 * MR_SECOND);
    l->bytes_per_ns = 0.00625;
    run_for(l, 8 * MR_SECOND);
    CU_ASSERT_TRUE(l->bbr.bw < 1.1 * 0.00625);
    uint64_t lost = l->lost;
    uint64_t before = l->delivered;
    run_for(l, 4 * MR_SECOND);
    CU_ASSERT_TRUE((double)(l->delivered - before) > 0.9 * 0.00625 * 4 * MR_SECOND);
    CU_ASSERT_TRUE(l->lost - lost < 100);
}

/* Appendix "Entering and Exiting PROBE_RTT": after 5 s without a lower RTT, for 200 ms, with half
 * of the window.  "To allow coordination with other BBR flows, each BBR flow MUST use the standard
 * BBR.ProbeRTTInterval of 5 secs." (draft-ietf-ccwg-bbr: ProbeRTT Design Rationale) */
static void the_round_trip_is_probed_every_five_seconds(void)
{
    struct link *l = open_link(0.00625);

    CU_ASSERT_TRUE(run_to(l, MR_BBR_PROBE_RTT, 8 * MR_SECOND));
    CU_ASSERT_TRUE(l->now > START + 5 * MR_SECOND);
    uint64_t entered = l->now;
    uint64_t window = mr_cc_window(&l->cc);
    CU_ASSERT_TRUE((double)window <= 0.55 * 0.00625 * 1.1 * RTT);
    while (l->bbr.state == MR_BBR_PROBE_RTT && l->now < entered + MR_SECOND)
        step(l);
    CU_ASSERT_EQUAL(l->bbr.state, MR_BBR_CRUISE);
    CU_ASSERT_TRUE(l->now - entered >= 200 * MR_MS && l->now - entered < 400 * MR_MS);
    CU_ASSERT_TRUE(mr_cc_window(&l->cc) > window);
    CU_ASSERT_TRUE(l->bbr.min_rtt_ns < RTT + 2 * MR_MS);
}

/* Section "Probing for Bandwidth In ProbeBW": "reduces BBR.inflight_longterm" when more than 2 % of
 * a probe is lost. */
static void a_shallow_queue_bounds_what_is_in_flight(void)
{
    struct link *l = open_link(0.00625);

    l->queue_ns = RTT / 10;
    run_for(l, 4 * MR_SECOND);
    CU_ASSERT_TRUE((double)l->bbr.inflight_longterm < 1.5 * 0.00625 * RTT + 10 * SIZE);
    uint64_t lost = l->lost;
    uint64_t before = l->delivered;
    run_for(l, 4 * MR_SECOND);
    uint64_t delivered = l->delivered - before;
    CU_ASSERT_TRUE((double)delivered > 0.85 * 0.00625 * 4 * MR_SECOND);
    CU_ASSERT_TRUE((double)(l->lost - lost) * SIZE < 0.02 * (double)delivered);
}

/* Section "ECN": "the congestion controller response MUST treat any CE marks as congestion". */
static void marks_count_like_losses(void)
{
    struct link *l = open_link(0.00625);

    l->mark_ns = RTT / 4;
    run_for(l, 2 * MR_SECOND);
    CU_ASSERT_TRUE((double)l->bbr.inflight_longterm < 2 * 0.00625 * RTT);
    CU_ASSERT_EQUAL(l->lost, 0);
    double shortterm = l->bbr.bw_shortterm;
    CU_ASSERT_TRUE(run_to(l, MR_BBR_CRUISE, 4 * MR_SECOND));
    mr_cc_on_ecn(&l->cc, &(struct mr_cc_ecn){100, 1, l->now - RTT}, l->now);
    run_for(l, 2 * RTT);
    CU_ASSERT_TRUE(l->bbr.bw_shortterm <= shortterm);
    CU_ASSERT_TRUE(l->bbr.bw_shortterm < 1); /* bounded: not infinite any more */
}

/* Appendix "Never Exiting PROBE_UP (or STARTUP) When Application-Limited With No Loss". */
static void an_application_that_sends_little_shows_no_limit(void)
{
    struct link *l = open_link(0.00625);

    l->limit_each = 5;
    run_for(l, 3 * MR_SECOND);
    CU_ASSERT_EQUAL(l->bbr.state, MR_BBR_STARTUP);
    CU_ASSERT_FALSE(l->bbr.is_full);
    l->limit_each = 0;
    CU_ASSERT_TRUE(run_to(l, MR_BBR_CRUISE, 2 * MR_SECOND));
    CU_ASSERT_TRUE(l->bbr.bw > 0.9 * 0.00625);
    l->limit_each = 5; /* and what it knows stays, until the next probe of the RTT */
    run_for(l, 2 * MR_SECOND);
    CU_ASSERT_TRUE(l->bbr.bw > 0.9 * 0.00625);
}

/* Section "Minimum cwnd for Pipelining": four packets; after persistent congestion it recovers. */
static void persistent_congestion_is_recovered_from(void)
{
    struct link *l = open_link(0.00625);

    run_for(l, MR_SECOND);
    mr_cc_on_persistent_congestion(&l->cc);
    CU_ASSERT_EQUAL(mr_cc_window(&l->cc), 2 * SIZE);
    run_for(l, MR_SECOND);
    CU_ASSERT_TRUE(mr_cc_window(&l->cc) > (uint64_t)(0.00625 * RTT));
}

/* `count` packets in seven places are declared lost that were sent just now. */
static void lose(struct link *l, uint64_t count, struct mr_cc_saved *saved)
{
    mr_cc_on_sent(&l->cc, count * SIZE, l->now);
    l->now++;
    mr_cc_on_lost(&l->cc, count * SIZE);
    mr_cc_save(&l->cc, saved);
    mr_cc_on_loss(&l->cc, &(struct mr_cc_loss){count * SIZE, l->now - 1, 7}, l->now);
    CU_ASSERT_TRUE(mr_cc_on_congestion(&l->cc, l->now - 1, l->now));
}

/*
 * Section "Handling a Spurious Loss Recovery": "if the connection transitioned out of Startup or
 * ProbeBW_UP due to the loss recovery episode, and the connection is not currently in ProbeRTT, BBR
 * returns to the state it was in before the loss recovery episode".
 */
static void spurious_losses_lead_back_to_startup(void)
{
    struct link *l = open_link(0.00625);
    struct mr_cc_saved saved = {0};

    while (l->cc.in_flight < UINT64_C(50) * SIZE)
        step(l);
    CU_ASSERT_EQUAL(l->bbr.state, MR_BBR_STARTUP);
    uint64_t window = mr_cc_window(&l->cc);
    lose(l, 50, &saved);
    while (l->bbr.state == MR_BBR_STARTUP && l->now < 2 * MR_SECOND)
        step(l);
    CU_ASSERT_TRUE(l->bbr.is_full);
    CU_ASSERT_TRUE(l->bbr.inflight_longterm < UINT64_MAX);
    mr_cc_undo(&l->cc, &saved);
    CU_ASSERT_EQUAL(l->bbr.state, MR_BBR_STARTUP);
    CU_ASSERT_FALSE(l->bbr.is_full);
    CU_ASSERT_EQUAL(l->bbr.inflight_longterm, UINT64_MAX);
    CU_ASSERT_TRUE(mr_cc_window(&l->cc) >= window);
    CU_ASSERT_TRUE(run_to(l, MR_BBR_CRUISE, 2 * MR_SECOND));
    CU_ASSERT_TRUE(l->bbr.bw > 0.95 * 0.00625);
}

/* The same: "returning to ProbeBW by starting a refill phase to restart the bandwidth probe". */
static void spurious_losses_lead_back_to_a_probe(void)
{
    struct link *l = open_link(0.00625);
    struct mr_cc_saved saved = {0};

    CU_ASSERT_TRUE(run_to(l, MR_BBR_UP, 8 * MR_SECOND));
    uint64_t longterm = l->bbr.inflight_longterm;
    lose(l, 50, &saved);
    CU_ASSERT_EQUAL(l->bbr.state, MR_BBR_DOWN);
    CU_ASSERT_TRUE(l->bbr.inflight_longterm < longterm);
    run_for(l, RTT);
    mr_cc_undo(&l->cc, &saved);
    CU_ASSERT_EQUAL(l->bbr.state, MR_BBR_REFILL);
    CU_ASSERT_EQUAL(l->bbr.inflight_longterm, longterm);
    CU_ASSERT_TRUE(run_to(l, MR_BBR_UP, 5 * RTT));
    lose(l, 50, &saved); /* the state of the episode before is not returned to */
    mr_cc_save(&l->cc, &saved);
    mr_cc_undo(&l->cc, &saved);
    CU_ASSERT_EQUAL(l->bbr.state, MR_BBR_DOWN);
}

/* The same: "restores the short-term and long-term model parameters to be at least the values saved
 * before the loss episode", in any state. */
static void spurious_losses_give_the_bounds_back(void)
{
    struct link *l = open_link(0.00625);
    struct mr_cc_saved saved = {0};

    CU_ASSERT_TRUE(run_to(l, MR_BBR_CRUISE, 2 * MR_SECOND));
    lose(l, 50, &saved);
    run_for(l, 2 * RTT);
    CU_ASSERT_TRUE(l->bbr.bw_shortterm < 1);
    mr_cc_undo(&l->cc, &saved);
    CU_ASSERT_TRUE(isinf(l->bbr.bw_shortterm));
    CU_ASSERT_EQUAL(l->bbr.inflight_shortterm, UINT64_MAX);
    CU_ASSERT_FALSE(l->bbr.is_loss_in_round);
    CU_ASSERT_EQUAL(l->bbr.state, MR_BBR_CRUISE);
}

/*
 * Section "Modulating cwnd in Loss Recovery": "When BBR exits loss recovery it restores C.cwnd to
 * the "last known good" value that C.cwnd held before entering recovery"; here when persistent
 * congestion, which is QUIC's RTO, was none - in ProbeRTT too, which has a small window itself.
 */
static void a_spurious_rto_gives_the_window_back(void)
{
    for (int is_probing = 0; is_probing < 2; is_probing++) {
        struct link *l = open_link(0.00625);
        struct mr_cc_saved saved = {0};

        CU_ASSERT_TRUE(run_to(l, MR_BBR_CRUISE, 2 * MR_SECOND));
        uint64_t window = mr_cc_window(&l->cc);
        if (is_probing != 0) {
            CU_ASSERT_TRUE(run_to(l, MR_BBR_PROBE_RTT, 12 * MR_SECOND));
            window = l->bbr.prior_window;
            step(l);
            CU_ASSERT_TRUE(mr_cc_window(&l->cc) < window);
        }
        lose(l, 50, &saved);
        mr_cc_on_persistent_congestion(&l->cc);
        CU_ASSERT_EQUAL(mr_cc_window(&l->cc), 2 * SIZE);
        mr_cc_undo(&l->cc, &saved);
        CU_ASSERT_TRUE(mr_cc_window(&l->cc) >= window);
        CU_ASSERT_TRUE(l->bbr.prior_window >= window);
        mr_cc_check(&l->cc);
    }
}

static CU_TestInfo tests[] = {
    {"a spurious RTO gives the window back", a_spurious_rto_gives_the_window_back},
    {"startup ends where the rate stops growing", startup_ends_where_the_rate_stops_growing},
    {"a rate that grows is found", a_rate_that_grows_is_found},
    {"a rate that falls is followed", a_rate_that_falls_is_followed},
    {"the round trip is probed every five seconds", the_round_trip_is_probed_every_five_seconds},
    {"a shallow queue bounds what is in flight", a_shallow_queue_bounds_what_is_in_flight},
    {"marks count like losses", marks_count_like_losses},
    {"an application that sends little shows no limit",
     an_application_that_sends_little_shows_no_limit},
    {"persistent congestion is recovered from", persistent_congestion_is_recovered_from},
    {"spurious losses lead back to Startup", spurious_losses_lead_back_to_startup},
    {"spurious losses lead back to a probe", spurious_losses_lead_back_to_a_probe},
    {"spurious losses give the bounds back", spurious_losses_give_the_bounds_back},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/cc_bbr", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
