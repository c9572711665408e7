/*
 * tests/dpdk/test_scaling.c - what makes shards scale: a hundred connections that are all on one of
 * two shards go where there is room, and nothing of any is lost.
 *
 * All connections of the client share a pair of addresses, so that all arrive at one shard.
 */
#include "control/balance.h"
#include "tests/dpdk/moving.h"

enum {
    CONNS = MOVING_MANY,
    HALF = CONNS / 2
};

static struct mr_world_config world_of_two_shards(void)
{
    struct mr_world_config config = moving_config();

    moving_forget();
    moving.conn_count = CONNS;
    moving.differ = true;
    config.server_shards = 2;
    config.connections = 2 * CONNS;
    return config;
}

static void print_moves(void)
{
    uint32_t count = atomic_load(&moving.moved_in);

    printf("# a move took %.2f ms in the mean, %.2f ms at most\n",
           (double)atomic_load(&moving.move_ns) * 1e-6 / MR_MAX(count, 1u),
           (double)atomic_load(&moving.longest_move_ns) * 1e-6);
}

/* As fast as a shard can: all at once are asked for. */
static void half_of_them_move_at_once(void)
{
    struct mr_world_config config = world_of_two_shards();
    struct mr_shard_conn conns[CONNS];
    struct mr_conn_work works[CONNS];
    uint32_t moved = 0;
    struct mr_world w;

    moving_launch(&w, &config);
    for (int i = 0; i < MOVING_SECONDS * 20 && moved < HALF; i++) {
        struct mr_shard_order list = {.kind = MR_ORDER_LIST, .conns = conns, .room = CONNS};

        moving_carry_out(w.server.shards[0], &list);
        for (uint32_t k = 0; k < list.count; k++)
            works[k] = (struct mr_conn_work){.conn = conns[k].conn, .work = 1};
        struct mr_shard_order spread = {.kind = MR_ORDER_SPREAD,
                                        .works = works,
                                        .work_count = list.count,
                                        .to = 1,
                                        .budget = HALF - moved};
        moving_carry_out(w.server.shards[0], &spread);
        moved += spread.moved;
        moving_pause_ms(50);
    }
    CU_ASSERT_EQUAL(moved, HALF);
    for (int i = 0; i < MOVING_SECONDS * 20 && atomic_load(&moving.moved_in) < HALF; i++)
        moving_pause_ms(50);
    CU_ASSERT_EQUAL(atomic_load(&moving.moved_in), HALF);
    for (int i = 0; i < 2; i++)
        CU_ASSERT_EQUAL(mr_shard_conn_count(w.server.shards[i]), HALF);
    print_moves();
    moving_end(&w);
}

static int start(void)
{
    struct mr_eal_config config = {
        .worker_count = 4, .memory_mb = 384, .hugepages = MR_HUGEPAGES_OFF, .shares_cores = true};
    struct mr_fault fault = {0};

    if (mr_eal_start(&config, &fault))
        return 0;
    fprintf(stderr, "EAL: %s\n", fault.text);
    return 1;
}

static CU_TestInfo tests[] = {
    {"half of a hundred busy connections move at once, and all bytes come",
     half_of_them_move_at_once},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "dpdk/scaling", .pInitFunc = start, .pTests = tests},
    CU_SUITE_INFO_NULL,
};
