/*
 * tests/dpdk/test_moves.c - connections that move between shards on threads of their own: as often
 * as they may, because their applications and the control thread want it; to where their datagrams
 * arrive; or away from a busy shard.
 */
#include <errno.h>

#include "control/balance.h"
#include "dataplane/shard_order.h"
#include "tests/dpdk/moving.h"

enum {
    CONNS = MOVING_CONNS,
    STREAMS = MOVING_STREAMS,
    MOVES = 60, /* to be seen */
    WORK = 5,   /* of a connection, in any unit */
    TABLES = 5  /* of receive queues, one after the other */
};

/* The connections of a shard; how many there are, and of these can move. */
static struct mr_shard_order list(const struct mr_world *w, uint32_t shard,
                                  struct mr_shard_conn conns[CONNS], uint32_t *movable_out)
{
    struct mr_shard_order order = {.kind = MR_ORDER_LIST, .conns = conns, .room = CONNS};

    moving_carry_out(w->server.shards[shard], &order);
    *movable_out = 0;
    for (uint32_t i = 0; i < order.count; i++)
        *movable_out += conns[i].can_move;
    return order;
}

/* Have connections of `from` go to `to`, of `work` each and 2 * WORK together, if they can.  How
 * many do. */
static uint32_t ask(const struct mr_world *w, uint32_t from, uint32_t to, uint64_t work)
{
    struct mr_shard_conn conns[CONNS];
    struct mr_conn_work works[CONNS];
    uint32_t movable;
    uint32_t count = list(w, from, conns, &movable).count;

    for (uint32_t i = 0; i < count; i++)
        works[i] = (struct mr_conn_work){.conn = conns[i].conn, .work = work};
    struct mr_shard_order order = {
        .kind = MR_ORDER_SPREAD, .works = works, .work_count = count, .to = to, .budget = 2 * WORK};
    moving_carry_out(w->server.shards[from], &order);
    CU_ASSERT_EQUAL(order.moved * work + order.budget, 2 * WORK);
    return order.moved;
}

static void connections_move_while_they_transfer(void)
{
    struct mr_world w;
    struct mr_world_config config = moving_config();

    moving_forget();
    moving.has_calls = true;
    moving_launch(&w, &config);
    for (int i = 0; i < MOVING_SECONDS * 20; i++) {
        if (atomic_load(&moving.moved_in) >= MOVES && moving_stats(&w).balance_moves > 0 &&
            atomic_load(&moving.streams_done) >= 4 * CONNS * STREAMS)
            break;
        ask(&w, (uint32_t)i % MOVING_SHARDS, (uint32_t)(i + 1 + i / 7 % 2) % MOVING_SHARDS, WORK);
        moving_pause_ms(50);
    }
    CU_ASSERT(atomic_load(&moving.moved_in) >= MOVES);
    CU_ASSERT(atomic_load(&moving.streams_done) >= 4 * CONNS * STREAMS);
    CU_ASSERT(moving_stats(&w).balance_moves > 0);
    moving_end(&w);
}

/* Of those that fit, one in a second; and none that came a moment ago. */
static void no_more_move_than_are_allowed(void)
{
    struct mr_world w;
    struct mr_world_config config = moving_config();
    struct mr_shard_conn conns[CONNS];
    uint32_t movable = 0;

    moving_forget();
    config.server_shards = 2;
    config.server_balance = (struct mr_shard_balance){.moves_max = 1, .stay_ns = 3600 * MR_SECOND};
    moving_launch(&w, &config);
    for (int i = 0; i < MOVING_SECONDS * 20 && movable < CONNS; i++) {
        moving_pause_ms(50);
        list(&w, 0, conns, &movable);
    }
    CU_ASSERT_EQUAL(ask(&w, 0, 1, 1), 1);
    CU_ASSERT_EQUAL(ask(&w, 0, 1, 1), 0);
    CU_ASSERT(moving_stats(&w).balance_limited > 0);
    moving_pause_ms(2000);
    CU_ASSERT_EQUAL(moving_stats(&w).balance_moves, 1);
    CU_ASSERT_EQUAL(ask(&w, 0, 1, 1), 1);
    for (int i = 0; i < MOVING_SECONDS * 20 && movable != 2; i++) {
        moving_pause_ms(50);
        list(&w, 1, conns, &movable);
    }
    uint64_t unready = moving_stats(&w).balance_unready;
    CU_ASSERT_EQUAL(ask(&w, 1, 0, 1), 0);
    CU_ASSERT_EQUAL(moving_stats(&w).balance_unready, unready + 2);
    moving_end(&w);
}

/* Whoever wants them to move: that is counted, and said. */
static void connections_with_several_paths_stay(void)
{
    struct mr_world w;
    struct mr_world_config config = moving_config();
    struct mr_shard_conn conns[CONNS];
    uint32_t movable = 0;

    moving_forget();
    config.server_shards = 2;
    config.paths_max = 4;
    config.server_balance = (struct mr_shard_balance){.moves_max = 1};
    moving_launch(&w, &config);
    moving_pause_ms(500); /* what else could keep them is over */
    struct mr_shard_order all = list(&w, 0, conns, &movable);
    CU_ASSERT_FATAL(all.count > 0);
    CU_ASSERT_EQUAL(movable, 0);
    CU_ASSERT_EQUAL(conns[0].paths, 1);
    CU_ASSERT_EQUAL(moving_stats(&w).moves_refused_paths, 0); /* nobody wants one to move */

    struct mr_shard_order move = {.kind = MR_ORDER_MOVE, .conn = conns[0].conn, .to = 1};
    moving_carry_out(w.server.shards[0], &move);
    CU_ASSERT_EQUAL(move.answer, -EMLINK);
    CU_ASSERT_EQUAL(moving_stats(&w).moves_refused_paths, 1);
    CU_ASSERT_EQUAL(ask(&w, 0, 1, 1), 0);
    CU_ASSERT_EQUAL(moving_stats(&w).moves_refused_paths, 1 + all.count);

    struct mr_shard_order paths = {.kind = MR_ORDER_PATHS, .conn = conns[0].conn};
    moving_carry_out(w.server.shards[0], &paths);
    CU_ASSERT_EQUAL(paths.answer, 0);
    CU_ASSERT_EQUAL(paths.count, 1);
    CU_ASSERT_EQUAL(paths.paths[0].state, MR_PATH_INFO_OPEN);
    CU_ASSERT(paths.paths[0].rtt_ns > 0 && paths.paths[0].cwnd_bytes > 0);
    CU_ASSERT(paths.paths[0].bytes_sent > 0 && paths.paths[0].mtu >= 1200);
    paths.conn += UINT64_C(1) << 32;
    moving_carry_out(w.server.shards[0], &paths);
    CU_ASSERT_EQUAL(paths.answer, -ESTALE);
    CU_ASSERT_EQUAL(paths.count, 0);
    moving_end(&w);
}

/* ------------------------------------------------------------------ to their datagrams */

static void set_table(const struct mr_world *w, uint16_t queue)
{
    uint16_t reta[MR_WIRE_RETA_COUNT];

    for (uint32_t i = 0; i < MR_WIRE_RETA_COUNT; i++)
        reta[i] = queue;
    mr_wire_set_reta(w->server.port, reta);
}

/* Streams go on, and for a while no shard passes anything on. */
static bool comes_to_rest(const struct mr_world *w)
{
    for (int i = 0; i < MOVING_SECONDS * 5; i++) {
        uint64_t before = moving_stats(w).redirected_in;
        uint32_t streams = atomic_load(&moving.streams_done);

        moving_pause_ms(200);
        if (moving_stats(w).redirected_in == before && atomic_load(&moving.streams_done) > streams)
            return true;
    }
    return false;
}

/* The client's connections share a pair of addresses: each table leads them all to one queue. */
static void connections_follow_their_datagrams(void)
{
    struct mr_world w;
    struct mr_world_config config = moving_config();
    uint16_t at = 0;

    moving_forget();
    config.wire.has_rss = true;
    config.server_balance.follows = true;
    moving_launch(&w, &config);
    CU_ASSERT(comes_to_rest(&w));
    CU_ASSERT_EQUAL(atomic_load(&moving.moved_in), 0);
    while (at < MOVING_SHARDS && mr_shard_conn_count(w.server.shards[at]) < CONNS)
        at++;
    CU_ASSERT(at < MOVING_SHARDS);
    for (uint32_t table = 1; table <= TABLES; table++) {
        at = (uint16_t)((at + 1) % MOVING_SHARDS);
        set_table(&w, at);
        for (int i = 0; i < MOVING_SECONDS * 20 && atomic_load(&moving.moved_in) < table * CONNS;
             i++)
            moving_pause_ms(50);
        CU_ASSERT(comes_to_rest(&w));
        CU_ASSERT_EQUAL(atomic_load(&moving.moved_in), table * CONNS);
        CU_ASSERT_EQUAL(mr_shard_conn_count(w.server.shards[at]), CONNS);
    }
    CU_ASSERT_EQUAL(moving_stats(&w).balance_moves, TABLES * CONNS);
    CU_ASSERT_EQUAL(atomic_load(&moving.failed_moves), 0);
    moving_end(&w);
}

/* ------------------------------------------------------------------ away from a busy shard */

/* The control thread's part of a datapath. */
static void poll_for_ms(struct mr_balance *balance, uint32_t ms)
{
    for (uint32_t i = 0; i < ms; i++) {
        (void)mr_balance_poll(balance);
        moving_pause_ms(1);
    }
}

static void a_busy_shard_gives_connections_away(void)
{
    struct mr_world w;
    struct mr_world_config config = moving_config();
    const struct mr_balance_rule rule = {.gap_percent = 20, .busy_percent = 20};
    uint32_t moved;

    moving_forget();
    config.server_shards = 2;
    moving_launch(&w, &config);
    CU_ASSERT_EQUAL(mr_shard_conn_count(w.server.shards[0]), CONNS);
    CU_ASSERT_EQUAL(ask(&w, 0, 1, 2 * WORK + 1), 0); /* none fits */
    struct mr_balance *balance = mr_balance_new(&w.server, &rule);
    CU_ASSERT_PTR_NOT_NULL_FATAL(balance);
    for (int i = 0; i < MOVING_SECONDS * 10 && atomic_load(&moving.moved_in) == 0; i++)
        poll_for_ms(balance, 100);
    CU_ASSERT(atomic_load(&moving.moved_in) > 0);
    for (int i = 0; i < MOVING_SECONDS / 2; i++) { /* until none has moved for a while */
        moved = atomic_load(&moving.moved_in);
        poll_for_ms(balance, 2000);
        if (atomic_load(&moving.moved_in) == moved)
            break;
    }
    CU_ASSERT_EQUAL(atomic_load(&moving.moved_in), moved);
    for (int i = 0; i < 2; i++)
        CU_ASSERT(mr_shard_conn_count(w.server.shards[i]) > 0);
    CU_ASSERT_EQUAL(moving_stats(&w).balance_moves,
                    atomic_load(&moving.moved_in) + atomic_load(&moving.failed_moves));
    moving_end(&w);
    mr_balance_free(balance);
}

static int start(void)
{
    struct mr_eal_config config = {.worker_count = MOVING_SHARDS + 1,
                                   .memory_mb = 256,
                                   .hugepages = MR_HUGEPAGES_OFF,
                                   .shares_cores = true};
    struct mr_fault fault = {0};

    if (mr_eal_start(&config, &fault))
        return 0;
    fprintf(stderr, "EAL: %s\n", fault.text);
    return 1;
}

static CU_TestInfo tests[] = {
    {"Q17 Q18 connections move between threads while they transfer, and no two handle one",
     connections_move_while_they_transfer},
    {"no more connections move for balance than are allowed", no_more_move_than_are_allowed},
    {"connections with several paths stay, whoever wants them to move",
     connections_with_several_paths_stay},
    {"Q17 a new table of receive queues: connections follow their datagrams, all bytes come, "
     "nothing is redirected any more",
     connections_follow_their_datagrams},
    {"Q17 a busy shard gives connections away, all bytes come, and it comes to rest",
     a_busy_shard_gives_connections_away},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "dpdk/moves", .pInitFunc = start, .pTests = tests},
    CU_SUITE_INFO_NULL,
};
