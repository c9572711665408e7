/* Tests of control/balancer.h. */
#include "control/balancer.h"

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
    /* one answer, then rest and a new streak */
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
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "control/balancer", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
