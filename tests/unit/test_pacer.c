/* Tests of quic/pacer.h. */
#include "quic/pacer.h"

#include "tests/unit/harness.h"

#define SIZE 1200

static const struct mr_pacer_input slow = {
    .window = 125000, .smoothed_ns = 100 * MR_MS, .datagram_size = SIZE}; /* 1.5625 Mbyte/s */

/* Send all that is allowed, in datagrams; returns the bytes. */
static uint64_t drain(struct mr_pacer *pacer, uint64_t now)
{
    uint64_t bytes = 0;

    while (mr_pacer_allow(pacer, now) > 0) {
        mr_pacer_on_sent(pacer, SIZE);
        bytes += SIZE;
    }
    return bytes;
}

static void a_new_path_may_send_16_datagrams_at_once(void)
{
    struct mr_pacer pacer;
    mr_pacer_init(&pacer, &slow, MR_SECOND);

    CU_ASSERT_EQUAL(mr_pacer_next(&pacer, MR_SECOND), MR_SECOND);
    CU_ASSERT_EQUAL(mr_pacer_allow(&pacer, MR_SECOND), 16 * SIZE);
    CU_ASSERT_EQUAL(drain(&pacer, MR_SECOND), 16 * SIZE);
    CU_ASSERT_EQUAL(mr_pacer_allow(&pacer, MR_SECOND), 0);
    CU_ASSERT(mr_pacer_next(&pacer, MR_SECOND) > MR_SECOND);
}

/* What is sent in a second when the path is looked at exactly when it asks for it. */
static double rate_of(const struct mr_pacer_input *input, uint64_t *wakeups_out)
{
    struct mr_pacer pacer;
    uint64_t begin = 5 * MR_SECOND;
    uint64_t bytes = 0;
    uint64_t wakeups = 0;

    mr_pacer_init(&pacer, input, begin);
    drain(&pacer, begin);
    for (uint64_t now = begin; now < begin + MR_SECOND; wakeups++) {
        uint64_t next = mr_pacer_next(&pacer, now);
        CU_ASSERT_FATAL(next > now);
        now = next;
        uint64_t sent = drain(&pacer, now);
        CU_ASSERT(sent > 0); /* no wake-up for nothing */
        bytes += sent;
    }
    *wakeups_out = wakeups;
    return (double)bytes;
}

static void the_rate_is_a_quarter_more_than_the_window_per_round_trip(void)
{
    static const struct {
        uint64_t window, smoothed_ns;
    } rows[] = {{2400, 500 * MR_MS},    {14720, 333 * MR_MS},   {125000, 100 * MR_MS},
                {1250000, 100 * MR_MS}, {12500000, 10 * MR_MS}, {12500000, 1 * MR_MS},
                {1000000, 20 * MR_US}};

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        for (int is_slow_start = 0; is_slow_start < 2; is_slow_start++) {
            struct mr_pacer_input input = {.window = rows[i].window,
                                           .smoothed_ns = rows[i].smoothed_ns,
                                           .datagram_size = SIZE,
                                           .is_slow_start = is_slow_start != 0};
            uint64_t wakeups;
            double expected = (is_slow_start ? 2.0 : 1.25) * (double)rows[i].window * 1e9 /
                              (double)rows[i].smoothed_ns;
            double tolerance = 2 * SIZE + expected / 500;
            CU_ASSERT_DOUBLE_EQUAL(rate_of(&input, &wakeups), expected, tolerance);
            CU_ASSERT(wakeups <= 400 * 1000); /* bursts, not single packets, at high rates */
        }
    }
}

static void a_blocked_path_wakes_up_for_bursts_at_high_rates(void)
{
    /* 12.5 Gbyte/s: a datagram takes 96 ns, but wake-ups come 100 us apart. */
    struct mr_pacer_input fast = {
        .window = 100000000, .smoothed_ns = 10 * MR_MS, .datagram_size = SIZE};
    uint64_t wakeups;

    rate_of(&fast, &wakeups);
    CU_ASSERT(wakeups > 9000 && wakeups <= 10001);
}

static void idle_time_fills_the_bucket_only_to_its_capacity(void)
{
    struct mr_pacer pacer;
    mr_pacer_init(&pacer, &slow, 0);
    drain(&pacer, 0);

    uint64_t now = 0;
    for (int shift = 25; shift < 62; shift++) {
        now += UINT64_C(1) << shift;
        CU_ASSERT_EQUAL(drain(&pacer, now), 16 * SIZE);
        CU_ASSERT_EQUAL(drain(&pacer, now), 0);
    }

    struct mr_pacer_input fast = {
        .window = 12500000, .smoothed_ns = 10 * MR_MS, .datagram_size = SIZE};
    mr_pacer_init(&pacer, &fast, 0);
    CU_ASSERT_EQUAL(pacer.capacity, 781250); /* 500 us at 1.5625 Gbyte/s */
}

/* At 50 Mbit/s 16 datagrams are 3 ms of a queue that marks from 1 ms on; two are less than half. */
static void a_smooth_path_sends_short_bursts(void)
{
    struct mr_pacer_input smooth = slow;
    struct mr_pacer pacer;

    mr_pacer_init(&pacer, &slow, 0);
    smooth.is_smooth = true;
    smooth.smoothed_ns--;
    mr_pacer_update(&pacer, &smooth, 0);
    CU_ASSERT_EQUAL(drain(&pacer, 0), 2 * SIZE);
    CU_ASSERT_EQUAL(drain(&pacer, MR_SECOND), 2 * SIZE);

    smooth.window = 12500000; /* 156 Mbyte/s */
    mr_pacer_update(&pacer, &smooth, 2 * MR_SECOND);
    CU_ASSERT_EQUAL(pacer.capacity, 39062); /* 250 us */
}

static void small_steps_of_time_lose_nothing(void)
{
    struct mr_pacer often;
    struct mr_pacer once;
    mr_pacer_init(&often, &slow, 0);
    mr_pacer_init(&once, &slow, 0);
    drain(&often, 0);
    drain(&once, 0);

    for (uint64_t now = 0; now <= 2 * MR_MS; now += 7)
        mr_pacer_allow(&often, now);
    CU_ASSERT_EQUAL(mr_pacer_allow(&often, 2 * MR_MS), mr_pacer_allow(&once, 2 * MR_MS));
    CU_ASSERT_DOUBLE_EQUAL((double)mr_pacer_allow(&once, 2 * MR_MS), 3125, 2);
}

static void a_changed_rate_counts_from_now_on(void)
{
    struct mr_pacer pacer;
    struct mr_pacer_input faster = slow;
    mr_pacer_init(&pacer, &slow, 0);
    drain(&pacer, 0);

    faster.window *= 4;
    mr_pacer_update(&pacer, &faster, 2 * MR_MS);
    CU_ASSERT_DOUBLE_EQUAL((double)mr_pacer_allow(&pacer, 2 * MR_MS), 3125, 2);
    CU_ASSERT_DOUBLE_EQUAL((double)mr_pacer_allow(&pacer, 3 * MR_MS), 3125 + 6250, 2);
    mr_pacer_update(&pacer, &slow, 4 * MR_MS);
    CU_ASSERT_DOUBLE_EQUAL((double)mr_pacer_allow(&pacer, 4 * MR_MS), 3125 + 12500, 2);
}

static void a_slower_rate_takes_what_exceeds_its_capacity(void)
{
    struct mr_pacer_input fast = {
        .window = 12500000, .smoothed_ns = 10 * MR_MS, .datagram_size = SIZE};
    struct mr_pacer pacer;
    mr_pacer_init(&pacer, &fast, 0);

    mr_pacer_update(&pacer, &slow, 0);
    CU_ASSERT_EQUAL(drain(&pacer, 0), 16 * SIZE);
}

static void a_debt_of_probes_is_bounded(void)
{
    struct mr_pacer pacer;
    struct mr_pacer_input slowest = {
        .window = 1, .smoothed_ns = 60 * MR_SECOND, .datagram_size = SIZE};
    mr_pacer_init(&pacer, &slowest, 0);

    for (int i = 0; i < 1000; i++)
        mr_pacer_on_sent(&pacer, UINT32_MAX);
    uint64_t next = mr_pacer_next(&pacer, 1);
    CU_ASSERT(next > 1 && next < 4 * 3600 * MR_SECOND);
    CU_ASSERT_EQUAL(mr_pacer_allow(&pacer, next - pacer.quantum_ns - MR_SECOND), 0);
    CU_ASSERT(mr_pacer_allow(&pacer, next) > 0);
}

/* Departures of a path that is looked at when it asks for it, in calls of a few datagrams as in
 * bursts: gaps are alike to a grain and what the last call's rounding takes. */
static void check_spacing(const struct mr_pacer_input *input, uint64_t begin)
{
    struct mr_pacer pacer;
    uint64_t last = 0;

    mr_pacer_init(&pacer, input, begin);
    drain(&pacer, begin);
    double ideal = SIZE / (MR_PACER_GAIN * (double)input->window / (double)input->smoothed_ns);
    for (uint64_t now = mr_pacer_next(&pacer, begin), round = 0; round < 200; round++) {
        for (uint32_t visit = 0; mr_pacer_allow(&pacer, now + visit) > 0; visit++) {
            uint64_t at = now + visit; /* nanoseconds later, as in one turn of a shard */
            uint32_t count = 0;

            while (count < 1 + visit % 8 && mr_pacer_allow(&pacer, at) > 0) {
                mr_pacer_on_sent(&pacer, SIZE);
                count++;
            }
            struct mr_pacer_departures departures = mr_pacer_spread(&pacer, count, SIZE, at);
            for (uint32_t i = 0; i < count; i++) {
                uint32_t hold = mr_pacer_departure(&departures, i);
                uint64_t leaves = at + hold;

                CU_ASSERT(hold <= pacer.quantum_ns);
                CU_ASSERT(leaves + MR_PACER_GRAIN >= last); /* in order, but for the rounding */
                if (round > 2)
                    CU_ASSERT_DOUBLE_EQUAL((double)leaves - (double)last, ideal,
                                           MR_PACER_GRAIN + 0.15 * ideal);
                last = leaves;
            }
        }
        now = mr_pacer_next(&pacer, now);
    }
}

static void what_a_quantum_lets_out_leaves_evenly_spaced(void)
{
    static const struct mr_pacer_input inputs[] = {
        {.window = 12500000, .smoothed_ns = 100 * MR_MS, .datagram_size = SIZE}, /* 1.25 Gbit/s */
        {.window = 1250000, .smoothed_ns = 2 * MR_MS, .datagram_size = SIZE},    /* 6.25 Gbit/s */
        {.window = 125000, .smoothed_ns = 400 * MR_US, .datagram_size = SIZE},   /* quantum 50 us */
    };

    for (size_t i = 0; i < MR_COUNT_OF(inputs); i++) {
        check_spacing(&inputs[i], MR_SECOND);
        check_spacing(&inputs[i],
                      (UINT64_C(1) << 32) - 50000); /* the low bits of times turn over */
    }
}

/* A full bucket, more than a quantum takes at the rate; and a path that comes back after a rest in
 * which the low bits of its last departure have come round. */
static void nothing_is_held_longer_than_a_quantum(void)
{
    struct mr_pacer pacer;

    mr_pacer_init(&pacer, &slow, MR_SECOND);
    struct mr_pacer_departures departures = mr_pacer_spread(&pacer, 16, SIZE, MR_SECOND);
    CU_ASSERT_EQUAL(mr_pacer_departure(&departures, 0), 0);
    CU_ASSERT(departures.step_ns > 5000);
    CU_ASSERT(mr_pacer_departure(&departures, 15) <= pacer.quantum_ns);
    departures = mr_pacer_spread(&pacer, 4, SIZE, MR_SECOND + 10 * MR_US);
    CU_ASSERT(departures.first_ns > 80 * MR_US); /* behind the others */
    CU_ASSERT(mr_pacer_departure(&departures, 3) <= pacer.quantum_ns);
    departures = mr_pacer_spread(&pacer, 1, SIZE, 4500 * MR_MS);
    CU_ASSERT_EQUAL(departures.first_ns, 0);
    for (int i = 0; i < 5; i++) { /* one at a time, faster than the rate */
        departures = mr_pacer_spread(&pacer, 1, SIZE, 4500 * MR_MS + (uint64_t)i * 10 * MR_US);
        CU_ASSERT(mr_pacer_departure(&departures, 0) <= pacer.quantum_ns);
    }
}

static CU_TestInfo tests[] = {
    {"what a quantum lets out leaves evenly spaced", what_a_quantum_lets_out_leaves_evenly_spaced},
    {"nothing is held longer than a quantum", nothing_is_held_longer_than_a_quantum},
    {"a new path may send 16 datagrams at once", a_new_path_may_send_16_datagrams_at_once},
    {"the rate is a quarter more than the window per round trip",
     the_rate_is_a_quarter_more_than_the_window_per_round_trip},
    {"a blocked path wakes up for bursts at high rates",
     a_blocked_path_wakes_up_for_bursts_at_high_rates},
    {"idle time fills the bucket only to its capacity",
     idle_time_fills_the_bucket_only_to_its_capacity},
    {"a smooth path sends short bursts", a_smooth_path_sends_short_bursts},
    {"small steps of time lose nothing", small_steps_of_time_lose_nothing},
    {"a changed rate counts from now on", a_changed_rate_counts_from_now_on},
    {"a slower rate takes what exceeds its capacity",
     a_slower_rate_takes_what_exceeds_its_capacity},
    {"a debt of probes is bounded", a_debt_of_probes_is_bounded},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/pacer", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
