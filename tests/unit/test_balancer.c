/* Tests of control/balancer.h. */
#include "control/balancer.h"

#include <string.h>

#include "base/random.h"
#include "tests/unit/harness.h"

enum {
    PERIOD = 1000
};

static const struct mr_balance_rule rule = {.gap_percent = 20, .busy_percent = 50};

static bool decide(struct mr_balancer *b, uint64_t busy0, uint64_t busy1, uint64_t busy2,
                   struct mr_balance_move *move)
{
    const struct mr_shard_load loads[] = {{.busy_ns = busy0, .conn_count = 100},
                                          {.busy_ns = busy1, .conn_count = 50},
                                          {.busy_ns = busy2, .conn_count = 40}};

    return mr_balancer_decide(b, loads, MR_COUNT_OF(loads), PERIOD, move);
}

/* How many of `periods` alike bring a move. */
static uint32_t count_moves(uint64_t busy0, uint64_t busy1, uint64_t busy2, uint32_t periods)
{
    struct mr_balancer b = mr_balancer_make(&rule);
    struct mr_balance_move move;
    uint32_t moves = 0;

    for (uint32_t i = 0; i < periods; i++)
        moves += decide(&b, busy0, busy1, busy2, &move);
    return moves;
}

static void names_the_busiest_and_the_least_busy(void)
{
    struct mr_balancer b = mr_balancer_make(&rule);
    struct mr_balance_move move = {0};

    CU_ASSERT_FALSE(decide(&b, 900, 500, 100, &move));
    CU_ASSERT_FALSE(decide(&b, 900, 500, 100, &move));
    CU_ASSERT(decide(&b, 900, 500, 100, &move));
    CU_ASSERT_EQUAL(move.from, 0);
    CU_ASSERT_EQUAL(move.to, 2);
    CU_ASSERT_EQUAL(move.share, 444); /* 400 of 900 make them even */

    b = mr_balancer_make(&rule);
    for (int i = 0; i < MR_BALANCE_PERIODS - 1; i++)
        CU_ASSERT_FALSE(decide(&b, 0, 990, 300, &move));
    CU_ASSERT(decide(&b, 0, 990, 300, &move));
    CU_ASSERT_EQUAL(move.from, 1);
    CU_ASSERT_EQUAL(move.to, 0);
    CU_ASSERT_EQUAL(move.share, MR_BALANCE_WHOLE / 2); /* never more */
}

static void leaves_the_balanced_alone(void)
{
    CU_ASSERT_EQUAL(count_moves(900, 900, 900, 50), 0);
    CU_ASSERT_EQUAL(count_moves(900, 800, 700, 50), 0); /* the gap is not more than 20 % */
    CU_ASSERT_EQUAL(count_moves(0, 0, 0, 50), 0);
    CU_ASSERT_EQUAL(count_moves(500, 10, 10, 50), 0); /* nobody is busy */
    CU_ASSERT(count_moves(900, 800, 690, 50) > 0);
    CU_ASSERT(count_moves(510, 10, 10, 50) > 0);
}

static void heeds_the_rule(void)
{
    const struct mr_balance_rule strict = {.gap_percent = 60, .busy_percent = 80};
    struct mr_balancer gap = mr_balancer_make(&strict);
    struct mr_balancer busy = mr_balancer_make(&strict);
    struct mr_balancer both = mr_balancer_make(&strict);
    struct mr_balance_move move;
    bool is_any = false;

    for (int i = 0; i < 20; i++) {
        CU_ASSERT_FALSE(decide(&gap, 900, 300, 300, &move));
        CU_ASSERT_FALSE(decide(&busy, 800, 10, 10, &move));
        is_any |= decide(&both, 810, 200, 200, &move);
    }
    CU_ASSERT(is_any);
}

static void waits_for_a_streak_and_for_the_effect(void)
{
    struct mr_balancer b = mr_balancer_make(&rule);
    struct mr_balance_move move;

    for (int i = 0; i < 20; i++) { /* now this one, now that */
        CU_ASSERT_FALSE(decide(&b, 900, 100, 100, &move));
        CU_ASSERT_FALSE(decide(&b, 100, 900, 100, &move));
    }
    for (int i = 0; i < 20; i++) { /* a quiet period ends a streak */
        CU_ASSERT_FALSE(decide(&b, 900, 100, 100, &move));
        CU_ASSERT_FALSE(decide(&b, 900, 100, 100, &move));
        CU_ASSERT_FALSE(decide(&b, 300, 300, 300, &move));
    }
    /* one answer, then rest, and as many periods are looked at anew */
    CU_ASSERT_EQUAL(count_moves(900, 100, 100, MR_BALANCE_PERIODS), 1);
    CU_ASSERT_EQUAL(count_moves(900, 100, 100, 2 * MR_BALANCE_PERIODS), 1);
    CU_ASSERT_EQUAL(count_moves(900, 100, 100, 2 * MR_BALANCE_PERIODS + 1), 2);
}

/* Shards whose connections cost the same end up even, and stay so. */
static void comes_to_rest(void)
{
    struct mr_balancer b = mr_balancer_make(&rule);
    struct mr_shard_load loads[3] = {{.conn_count = 95}, {.conn_count = 3}, {.conn_count = 2}};
    struct mr_balance_move move;
    uint32_t last = 0;

    for (uint32_t period = 0; period < 200; period++) {
        for (uint32_t i = 0; i < 3; i++)
            loads[i].busy_ns = loads[i].conn_count * 10;
        if (!mr_balancer_decide(&b, loads, 3, PERIOD, &move))
            continue;
        uint32_t count = loads[move.from].conn_count * move.share / MR_BALANCE_WHOLE;
        loads[move.from].conn_count -= count;
        loads[move.to].conn_count += count;
        CU_ASSERT(count > 0 && loads[move.from].conn_count >= loads[move.to].conn_count);
        last = period;
    }
    CU_ASSERT(last < 60);
    CU_ASSERT(loads[0].conn_count * 10 * 100 <= rule.busy_percent * PERIOD ||
              loads[0].conn_count - loads[2].conn_count <= 20);
}

static void keeps_the_last_connection(void)
{
    struct mr_balancer b = mr_balancer_make(&rule);
    struct mr_shard_load loads[2] = {{.busy_ns = 990, .conn_count = 1}, {.conn_count = 0}};
    struct mr_balance_move move;
    bool is_any = false;

    for (int i = 0; i < 20; i++)
        CU_ASSERT_FALSE(mr_balancer_decide(&b, loads, 2, PERIOD, &move));
    loads[0].conn_count = 2;
    for (int i = 0; i < 20; i++)
        is_any |= mr_balancer_decide(&b, loads, 2, PERIOD, &move);
    CU_ASSERT(is_any);
    for (int i = 0; i < 20; i++)
        CU_ASSERT_FALSE(mr_balancer_decide(&b, loads, 1, PERIOD, &move)); /* alone */
}

/* Handles: a generation and a place. */
static mr_handle at(uint64_t generation, uint64_t place)
{
    return generation << 32 | place;
}

static void weighs_what_connections_did_meanwhile(void)
{
    struct mr_conn_work then[] = {{at(1, 0), 100}, {at(3, 2), 7}, {at(1, 5), 50}, {at(9, 6), 0}};
    struct mr_conn_work now[] = {{at(1, 0), 110}, {at(1, 1), 9000}, {at(5, 2), 8000},
                                 {at(1, 5), 90},  {at(9, 6), 0},    {at(1, 8), 7000}};
    const struct mr_work_list before = {.works = then, .count = MR_COUNT_OF(then)};
    struct mr_work_list list = {.works = now, .count = MR_COUNT_OF(now)};

    CU_ASSERT_EQUAL(mr_balancer_weigh(&before, &list), 50);
    CU_ASSERT_EQUAL_FATAL(list.count, 2); /* not the new, the silent, and those in others' places */
    CU_ASSERT_EQUAL(list.works[0].conn, at(1, 5));
    CU_ASSERT_EQUAL(list.works[0].work, 40);
    CU_ASSERT_EQUAL(list.works[1].conn, at(1, 0));
    CU_ASSERT_EQUAL(list.works[1].work, 10);
}

static void weighs_nothing(void)
{
    struct mr_conn_work one = {at(1, 0), 10};
    const struct mr_work_list none = {.count = 0};
    struct mr_work_list list = {.works = &one, .count = 1};

    CU_ASSERT_EQUAL(mr_balancer_weigh(&none, &list), 0);
    CU_ASSERT_EQUAL(list.count, 0);
}

/* It began at a gap of more than 20 %, and goes on below. */
static void levels_until_the_gap_is_small(void)
{
    struct mr_balancer b = mr_balancer_make(&rule);
    struct mr_balance_move move;
    uint32_t rounds = 0;

    for (int i = 0; i < MR_BALANCE_PERIODS; i++)
        rounds += decide(&b, 900, 100, 500, &move);
    CU_ASSERT_EQUAL(rounds, 1);
    mr_balancer_done(&b, MR_BALANCE_WENT);
    for (int i = 0; i < MR_BALANCE_REST + MR_BALANCE_PERIODS; i++)
        rounds += decide(&b, 560, 490, 500, &move); /* 70 are more than a tenth of 525 */
    CU_ASSERT_EQUAL(rounds, 2);
    CU_ASSERT(move.from == 0 && move.to == 1);
    CU_ASSERT_EQUAL(move.share, 62); /* 35 of 560 */
    mr_balancer_done(&b, MR_BALANCE_WENT);
    for (int i = 0; i < 20; i++)
        rounds += decide(&b, 526, 475, 500, &move); /* 51 are, too */
    CU_ASSERT(rounds > 3);
    b = mr_balancer_make(&rule);
    for (int i = 0; i < MR_BALANCE_PERIODS; i++)
        CU_ASSERT_EQUAL(decide(&b, 900, 100, 500, &move), i == MR_BALANCE_PERIODS - 1);
    mr_balancer_done(&b, MR_BALANCE_WENT);
    for (int i = 0; i < 20; i++)
        CU_ASSERT_FALSE(decide(&b, 525, 476, 500, &move)); /* 49 are not */
    for (int i = 0; i < 20; i++)
        CU_ASSERT_FALSE(decide(&b, 560, 490, 500, &move)); /* and now it watches */
}

static void takes_hardly_anything_back_in_noise(void)
{
    uint32_t returns = 0;
    struct mr_balancer b = mr_balancer_make(&rule);
    struct mr_balance_move move;

    for (int i = 0; i < MR_BALANCE_PERIODS; i++)
        CU_ASSERT_EQUAL(decide(&b, 900, 100, 500, &move), i == MR_BALANCE_PERIODS - 1);
    for (int i = 0; i < 50; i++)
        returns += decide(&b, 450, 600, 500, &move);
    CU_ASSERT_EQUAL(returns, MR_BALANCE_RETURNS);
    for (int i = 0; i < MR_BALANCE_PERIODS; i++) /* more than the rule's: that is no noise */
        CU_ASSERT_EQUAL(decide(&b, 300, 700, 500, &move), i == MR_BALANCE_PERIODS - 1);
    CU_ASSERT(move.from == 1 && move.to == 0);
}

/* Nothing could go: it waits, up to a limit, longer and longer. */
static void waits_longer_after_rounds_in_vain(void)
{
    struct mr_balancer b = mr_balancer_make(&rule);
    struct mr_balance_move move;
    uint32_t waited = 0;
    uint32_t expected = 0;

    for (uint32_t round = 1; round < 10; round++) {
        for (waited = 1; !decide(&b, 900, 100, 100, &move); waited++)
            CU_ASSERT_FATAL(waited < 1000);
        CU_ASSERT_EQUAL(waited, expected + MR_BALANCE_PERIODS);
        mr_balancer_done(&b, MR_BALANCE_VAIN);
        expected = (uint32_t)MR_BALANCE_PERIODS << MR_MIN(round, (uint32_t)MR_BALANCE_VAIN_MAX);
    }
    for (waited = 1; !decide(&b, 900, 100, 100, &move); waited++)
        CU_ASSERT_FATAL(waited < 1000);
    mr_balancer_done(&b, MR_BALANCE_WENT);
    for (waited = 1; !decide(&b, 900, 100, 100, &move); waited++)
        CU_ASSERT_FATAL(waited < 1000);
    CU_ASSERT_EQUAL(waited, MR_BALANCE_REST + MR_BALANCE_PERIODS);
}

static uint32_t rounds_after(enum mr_balance_result result, uint64_t busy0, uint64_t busy1)
{
    struct mr_balancer b = mr_balancer_make(&rule);
    struct mr_balance_move move;
    uint32_t rounds = 0;

    for (int i = 0; i < MR_BALANCE_PERIODS; i++)
        (void)decide(&b, 900, 100, 500, &move);
    mr_balancer_done(&b, result);
    for (int i = 0; i < 50; i++)
        rounds += decide(&b, busy0, busy1, busy1, &move);
    return rounds;
}

static void goes_on_if_they_may_go_later(void)
{
    CU_ASSERT(rounds_after(MR_BALANCE_WENT, 560, 490) > 1);
    CU_ASSERT(rounds_after(MR_BALANCE_HELD, 560, 490) > 1);
    CU_ASSERT_EQUAL(rounds_after(MR_BALANCE_VAIN, 560, 490), 0);
    CU_ASSERT_EQUAL(rounds_after(MR_BALANCE_WENT, 20, 1), 0); /* now nobody does anything */
    CU_ASSERT(rounds_after(MR_BALANCE_WENT, 22, 1) > 0);
}

/* ------------------------------------------------------------------ worlds */

enum {
    CONNS_MAX = 400,
    PERIODS = 1500, /* 300 s of 200 ms */
    STILL = 1000,   /* from here on */
    STAY = 25,      /* periods that one that has moved stays: balance_stay */
    ALLOWED = 4     /* moves in a period: balance_moves */
};

/* Shards, and connections that want a part of a shard's time each. */
struct world {
    struct mr_random random;
    uint32_t shard_count;
    uint32_t conn_count;
    double wants[CONNS_MAX]; /* of a period */
    double noise;            /* how much a period may differ */
    uint32_t at[CONNS_MAX];
    uint32_t arrived[CONNS_MAX]; /* in which period */
    uint32_t moves;
    uint32_t last_move;
};

static double unit(struct world *w)
{
    return (double)mr_random_below(&w->random, 1u << 30) / (1u << 30);
}

static double wanted(const struct world *w, uint32_t shard)
{
    double sum = 0;

    for (uint32_t i = 0; i < w->conn_count; i++)
        sum += w->at[i] == shard ? w->wants[i] : 0;
    return sum;
}

/* A shard does what it has time for. */
static void measure(struct world *w, struct mr_shard_load *loads)
{
    for (uint32_t s = 0; s < w->shard_count; s++) {
        double busy = wanted(w, s) * (1 + w->noise * (2 * unit(w) - 1));

        loads[s] = (struct mr_shard_load){.busy_ns = (uint64_t)(MR_MIN(busy, 1.0) * 1e9)};
    }
    for (uint32_t i = 0; i < w->conn_count; i++)
        loads[w->at[i]].conn_count++;
}

/* As a shard does in dataplane/shard_order.c: those that fit, the busiest first. */
static enum mr_balance_result spread_round(struct world *w, const struct mr_balance_move *move,
                                           uint32_t period)
{
    struct mr_conn_work before[CONNS_MAX];
    struct mr_conn_work works[CONNS_MAX];
    struct mr_work_list list = {.works = works};
    double load = MR_MAX(wanted(w, move->from), 1.0);
    uint32_t allowed = ALLOWED * (MR_BALANCE_PERIODS + MR_BALANCE_REST);
    uint32_t moved = 0;
    uint32_t unready = 0;

    for (uint32_t i = 0; i < w->conn_count; i++) {
        double work = w->wants[i] / load * 1e6 * (1 + w->noise * (2 * unit(w) - 1));

        if (w->at[i] != move->from)
            continue;
        before[list.count] = (struct mr_conn_work){.conn = i};
        works[list.count++] = (struct mr_conn_work){.conn = i, .work = (uint64_t)work};
    }
    const struct mr_work_list none = {.works = before, .count = list.count};
    uint64_t budget = mr_balancer_weigh(&none, &list) * move->share / MR_BALANCE_WHOLE;
    for (uint32_t i = 0; i < list.count && moved < allowed; i++) {
        uint32_t conn = (uint32_t)works[i].conn;

        if (works[i].work > budget)
            continue;
        if (w->arrived[conn] > 0 && period - w->arrived[conn] < STAY) {
            unready++;
            continue;
        }
        budget -= works[i].work;
        w->at[conn] = move->to;
        w->arrived[conn] = period;
        w->last_move = period;
        moved++;
    }
    w->moves += moved;
    if (moved > 0)
        return MR_BALANCE_WENT;
    return unready > 0 ? MR_BALANCE_HELD : MR_BALANCE_VAIN;
}

static void run_world(struct world *w)
{
    struct mr_balancer b = mr_balancer_make(&rule);
    struct mr_shard_load loads[MR_BALANCE_SHARDS_MAX];
    struct mr_balance_move move;

    for (uint32_t period = 1; period < PERIODS; period++) {
        measure(w, loads);
        if (!mr_balancer_decide(&b, loads, w->shard_count, 1000000000, &move))
            continue;
        CU_ASSERT_FATAL(move.from != move.to && move.from < w->shard_count);
        CU_ASSERT_FATAL(move.share > 0 && move.share <= MR_BALANCE_WHOLE / 2 &&
                        move.to < w->shard_count);
        period++; /* between two lists */
        mr_balancer_done(&b, spread_round(w, &move, period));
    }
}

/* All on one shard; many small ones, some that do much more. */
static void make_world(struct world *w, uint64_t seed, uint32_t shard_count, double load)
{
    double heavy = seed % 2 == 0 ? 3 : 10;
    double sum = 0;

    memset(w, 0, sizeof(*w));
    mr_random_init_number(&w->random, seed);
    w->shard_count = shard_count;
    w->conn_count = 100 + (uint32_t)mr_random_below(&w->random, CONNS_MAX - 100 + 1);
    for (uint32_t i = 0; i < w->conn_count; i++) {
        w->wants[i] = 0.1 + unit(w) * (mr_random_below(&w->random, 8) == 0 ? heavy : 1);
        sum += w->wants[i];
    }
    for (uint32_t i = 0; i < w->conn_count; i++)
        w->wants[i] *= load * shard_count / sum;
}

/* How far the shard farthest from it is from even, as a part of even. */
static double imbalance(const struct world *w)
{
    double farthest = 0;
    double even = 0;

    for (uint32_t s = 0; s < w->shard_count; s++)
        even += wanted(w, s) / w->shard_count;
    for (uint32_t s = 0; s < w->shard_count; s++) {
        double off = wanted(w, s) / even - 1;

        farthest = MR_MAX(farthest, MR_MAX(off, -off));
    }
    return farthest;
}

/* What no move of a single connection improves: two shards whose gap is twice what the smallest one
 * does.  Here all may be as the largest. */
static double grain(const struct world *w)
{
    double largest = 0;
    double even = 0;

    for (uint32_t i = 0; i < w->conn_count; i++) {
        largest = MR_MAX(largest, w->wants[i]);
        even += w->wants[i] / w->shard_count;
    }
    return 2 * largest / even;
}

static void check_world(struct world *w)
{
    run_world(w);
    bool is_even = imbalance(w) < MR_MAX(grain(w), 0.1);
    bool is_still = w->last_move < STILL;
    if (!is_even || !is_still)
        fprintf(stderr, "# %u shards, %u connections: %.3f, %u moves, the last at %u\n",
                w->shard_count, w->conn_count, imbalance(w), w->moves, w->last_move);
    CU_ASSERT(is_even);
    CU_ASSERT(is_still);
    CU_ASSERT(w->moves > 0 && w->moves < 2 * w->conn_count);
}

static void skewed_worlds_end_within_a_tenth_of_even_and_are_still(void)
{
    static const uint32_t shard_counts[] = {2, 3, 4, 8};
    uint32_t fine = 0;
    struct world w;

    for (uint64_t seed = 0; seed < 200; seed++) {
        make_world(&w, seed, shard_counts[seed % MR_COUNT_OF(shard_counts)], 0.7);
        w.noise = seed % 3 == 0 ? 0.05 : 0;
        fine += grain(&w) < 0.1;
        check_world(&w);
    }
    CU_ASSERT(fine > 40); /* in which the tenth counts */
}

/* As much as a shard can do, and more than that, on one of two. */
static void an_overloaded_world_too(void)
{
    struct world w;

    for (uint64_t seed = 0; seed < 50; seed++) {
        make_world(&w, seed, 2, 0.4 + 0.012 * (double)seed);
        check_world(&w);
    }
}

/* One of 80 %, and hardly anything beside it: it has nowhere better to be. */
static void an_elephant_is_not_tossed(void)
{
    struct world w;

    for (uint64_t seed = 0; seed < 50; seed++) {
        make_world(&w, seed, 2 + (uint32_t)seed % 3, 0.05);
        w.noise = 0.2;
        w.wants[0] = 0.8;
        run_world(&w);
        CU_ASSERT_EQUAL(w.arrived[0], 0);
        CU_ASSERT(w.last_move < STILL);
    }
}

/* Two of them on one shard: one goes, once. */
static void of_two_elephants_one_goes(void)
{
    struct world w;

    for (uint64_t seed = 0; seed < 50; seed++) {
        make_world(&w, seed, 2, 0.05);
        w.noise = 0.05;
        w.wants[0] = 0.4;
        w.wants[1] = 0.42;
        run_world(&w);
        CU_ASSERT(w.at[0] != w.at[1]);
        CU_ASSERT(w.last_move < STILL);
    }
}

/* Demands that change all the time, evenly spread: not worth a move. */
static void noise_alone_moves_nothing(void)
{
    struct world w;

    for (uint64_t seed = 0; seed < 50; seed++) {
        make_world(&w, seed, 4, 0.7);
        w.noise = 0.1;
        for (uint32_t i = 0; i < w.conn_count; i++) {
            w.wants[i] = 0.7 * 4 / w.conn_count;
            w.at[i] = i % 4;
        }
        run_world(&w);
        CU_ASSERT_EQUAL(w.moves, 0);
    }
}

static CU_TestInfo tests[] = {
    {"names the busiest and the least busy shard, and how much",
     names_the_busiest_and_the_least_busy},
    {"leaves the balanced and the idle alone", leaves_the_balanced_alone},
    {"heeds its rule", heeds_the_rule},
    {"waits for a streak, and for the effect", waits_for_a_streak_and_for_the_effect},
    {"comes to rest", comes_to_rest},
    {"keeps the last connection", keeps_the_last_connection},
    {"weighs what connections did between two lists", weighs_what_connections_did_meanwhile},
    {"weighs nothing", weighs_nothing},
    {"levels until the gap is small", levels_until_the_gap_is_small},
    {"takes hardly anything back in noise", takes_hardly_anything_back_in_noise},
    {"waits longer after rounds in vain", waits_longer_after_rounds_in_vain},
    {"goes on if connections may go later", goes_on_if_they_may_go_later},
    {"skewed worlds end within a tenth of even, and are still",
     skewed_worlds_end_within_a_tenth_of_even_and_are_still},
    {"an overloaded world too", an_overloaded_world_too},
    {"an elephant is not tossed", an_elephant_is_not_tossed},
    {"of two elephants one goes", of_two_elephants_one_goes},
    {"noise alone moves nothing", noise_alone_moves_nothing},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "control/balancer", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
