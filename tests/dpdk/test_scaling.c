/*
 * tests/dpdk/test_scaling.c - what makes shards scale: a hundred connections that are all on one of
 * two shards go where there is room, and nothing of any is lost; and what a packet costs other
 * cores.
 *
 * All connections of the client share a pair of addresses, so that all arrive at one shard.
 */
#include "control/balance.h"
#include "tests/dpdk/moving.h"

enum {
    CONNS = MOVING_MANY,
    HALF = CONNS / 2,
    REST_MS = 3000,
    JUDGED_MS = 5000,
    MARKED = 50000, /* datagrams that are looked at */
    LOOKS = 2 * 3   /* that a shard takes at rings in a turn: two shards, three rings from each */
};

#define SHARE_MIN 0.8

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

/* ------------------------------------------------------------------ away from a busy shard */

/* What the shards have done in all. */
struct done {
    uint64_t busy[2];
    uint64_t packets[2];
    uint64_t bytes[2];
};

static struct done done_by(const struct mr_world *w)
{
    struct done done;

    for (int i = 0; i < 2; i++) {
        struct mr_shard_stats stats;

        mr_shard_read_stats(w->server.shards[i], &stats);
        done.busy[i] = stats.busy_cycles;
        done.packets[i] = stats.datagrams_sent + stats.datagrams_received;
        done.bytes[i] = atomic_load(&moving.bytes_checked[i]);
    }
    return done;
}

/* How far each of two is from their mean, in per cent of it. */
static double off(const uint64_t *after, const uint64_t *before)
{
    double a = (double)(after[0] - before[0]);
    double b = (double)(after[1] - before[1]);

    return a + b > 0 ? 100 * (a > b ? a - b : b - a) / (a + b) : 100;
}

/* The control thread's part of a datapath. */
static void poll_for_ms(struct mr_balance *balance, uint32_t ms)
{
    for (uint32_t i = 0; i < ms; i++) {
        (void)mr_balance_poll(balance);
        moving_pause_ms(1);
    }
}

/* Until none has moved for REST_MS.  False: they do not stop. */
static bool comes_to_rest(struct mr_balance *balance)
{
    for (int i = 0; i < MOVING_SECONDS * 1000 / REST_MS; i++) {
        uint32_t moved = atomic_load(&moving.moved_in);

        poll_for_ms(balance, REST_MS);
        if (moved > 0 && atomic_load(&moving.moved_in) == moved)
            return true;
    }
    return false;
}

static void end_even(struct mr_world_config *config)
{
    const struct mr_balance_rule rule = {.gap_percent = 20, .busy_percent = 20};
    struct mr_world w;

    moving.shares_thread = true;
    config->polling = MR_POLLING_BUSY;
    config->server_balance = (struct mr_shard_balance){.moves_max = 20, .stay_ns = 5 * MR_SECOND};
    moving_launch(&w, config);
    struct mr_balance *balance = mr_balance_new(&w.server, &rule);
    CU_ASSERT_PTR_NOT_NULL_FATAL(balance);
    bool is_at_rest = comes_to_rest(balance);
    uint32_t moved = atomic_load(&moving.moved_in);
    struct done before = done_by(&w);
    poll_for_ms(balance, JUDGED_MS);
    struct done after = done_by(&w);
    double share = moving_cpu_share();
    printf("# %u and %u connections; from even: busy time %.1f %%, packets %.1f %%, bytes received "
           "%.1f %%\n",
           mr_shard_conn_count(w.server.shards[0]), mr_shard_conn_count(w.server.shards[1]),
           off(after.busy, before.busy), off(after.packets, before.packets),
           off(after.bytes, before.bytes));
    print_moves();
    if (share < SHARE_MIN) { /* what took its core counts as work of the shard that had it */
        printf("# not judged: the polling thread had %.2f of a core\n", share);
    } else {
        CU_ASSERT(is_at_rest);
        CU_ASSERT(off(after.busy, before.busy) < 10);
        CU_ASSERT_EQUAL(atomic_load(&moving.moved_in), moved);
    }
    CU_ASSERT(moved > 0);
    moving_end(&w);
    mr_balance_free(balance);
}

/* Datagrams of those that have moved go on arriving at the first shard, which passes them on. */
static void redirected_ones_end_even(void)
{
    struct mr_world_config config = world_of_two_shards();

    end_even(&config);
}

/* An I/O lcore reads connection IDs: datagrams go where their connections do. */
static void steered_ones_end_even(void)
{
    struct mr_world_config config = world_of_two_shards();

    config.server_io_lcores = 1;
    end_even(&config);
}

/* ------------------------------------------------------------------ what a packet crosses */

static struct mr_world_config world_of_one_connection(void)
{
    struct mr_world_config config = world_of_two_shards();

    moving.conn_count = 1;
    moving.differ = false;
    moving.shares_thread = true;
    config.polling = MR_POLLING_BUSY;
    return config;
}

static void print_mark(const struct moving_mark *mark)
{
    const struct mr_crossings *c = &mark->crossings;
    double per = 1 / (double)MR_MAX(mark->datagrams, (uint64_t)1);

    printf("# %lu datagrams, %lu redirected here; of each: %.3f words and %.3f entries of rings, "
           "%.3f exchanges, %.3f pool calls; %.2f looks in a turn\n",
           mark->datagrams, mark->redirected_in, (double)c->ring_words * per,
           (double)c->ring_entries * per, (double)c->exchanges * per, (double)c->pool_calls * per,
           (double)c->ring_looks / (double)MR_MAX(mark->turns, (uint64_t)1));
}

/* Acknowledgements, losses and new streams included. */
static void a_packet_reaches_out_to_nobody(void)
{
    struct mr_world_config config = world_of_one_connection();
    struct moving_mark marks[MOVING_SHARDS];
    struct mr_world w;

    moving_launch(&w, &config);
    moving_pause_ms(500); /* the handshake and what follows it are over */
    moving_mark(MARKED, marks);
    print_mark(&marks[0]);
    CU_ASSERT(marks[0].datagrams >= MARKED && marks[1].datagrams == 0);
    CU_ASSERT_EQUAL(marks[0].redirected_in + marks[1].redirected_in, 0);
    for (int i = 0; i < 2; i++) {
        const struct mr_crossings *c = &marks[i].crossings;

        CU_ASSERT_EQUAL(c->ring_words, 0);
        CU_ASSERT_EQUAL(c->ring_entries, 0);
        CU_ASSERT_EQUAL(c->exchanges, 0);
        CU_ASSERT(c->ring_looks <= marks[i].turns * LOOKS);
    }
    CU_ASSERT(marks[0].crossings.pool_calls < marks[0].datagrams);
    CU_ASSERT(!MR_CROSSINGS_COUNT ||
              (marks[0].crossings.ring_looks > 0 && marks[0].crossings.pool_calls > 0));
    moving_end(&w);
}

/* The counts do count: one word goes in and comes out for each datagram that is passed on. */
static void a_redirected_packet_takes_a_ring(void)
{
    struct mr_world_config config = world_of_one_connection();
    struct moving_mark marks[MOVING_SHARDS];
    struct mr_shard_conn conn;
    struct mr_world w;

    moving_launch(&w, &config);
    for (int i = 0; i < MOVING_SECONDS * 20 && atomic_load(&moving.moved_in) == 0; i++) {
        struct mr_shard_order list = {.kind = MR_ORDER_LIST, .conns = &conn, .room = 1};
        struct mr_shard_order move = {.kind = MR_ORDER_MOVE, .to = 1};

        moving_pause_ms(50);
        moving_carry_out(w.server.shards[0], &list);
        move.conn = conn.conn;
        if (list.count == 1)
            moving_carry_out(w.server.shards[0], &move);
    }
    CU_ASSERT_EQUAL(atomic_load(&moving.moved_in), 1);
    moving_pause_ms(500);
    moving_mark(MARKED, marks);
    print_mark(&marks[0]);
    print_mark(&marks[1]);
    CU_ASSERT(marks[1].redirected_in > 0);
    for (int i = 0; i < 2 && MR_CROSSINGS_COUNT; i++) {
        CU_ASSERT(marks[i].crossings.ring_words + MR_BURST >= marks[1].redirected_in);
        CU_ASSERT(marks[i].crossings.ring_words <= marks[1].redirected_in + MR_BURST);
    }
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
    {"Q17 a hundred connections of one shard end within a tenth of even, redirected",
     redirected_ones_end_even},
    {"Q17 a hundred connections of one shard end within a tenth of even, steered",
     steered_ones_end_even},
    {"a packet of a shard's own reaches out to nobody", a_packet_reaches_out_to_nobody},
    {"a redirected packet takes a ring", a_redirected_packet_takes_a_ring},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "dpdk/scaling", .pInitFunc = start, .pTests = tests},
    CU_SUITE_INFO_NULL,
};
