/* Tests of sockets in fibers: paths, RESET_STREAM_AT, datagrams. */
#include <errno.h>
#include <string.h>

#include "tests/unit/fiber_world.h"

static struct mr_sock *ours, *theirs;

static void open_world(void)
{
    world_connect(1);
    world_stream(&ours, &theirs);
    mr_sock_set(ours, MR_SOCK_NONBLOCK, 0);
    mr_sock_set(theirs, MR_SOCK_NONBLOCK, 0);
    mr_sock_set(world.conn, MR_SOCK_NONBLOCK, 0);
    mr_sock_set(world.peer, MR_SOCK_NONBLOCK, 0);
}

static void close_world(void)
{
    mr_sock_close(ours, 0);
    mr_sock_close(theirs, 0);
    world_end();
}

static uint32_t turns;

static int64_t count_turns(void *argument)
{
    const bool *is_over = argument;

    for (; !*is_over; turns++)
        mr_fiber_yield();
    return 0;
}

/* What QUIC has beside TCP waits like everything else. */
static int64_t wait_for_paths(void *argument)
{
    (void)argument;
    return mr_sock_paths_wait(world.peer);
}

/* Two at a time: each has its own answer. */
static int64_t open_another(void *argument)
{
    (void)argument;
    return mr_sock_path_do(world.conn, &(struct mr_path_call){.local.port = 7001});
}

static int64_t migrate_and_reset(void *argument)
{
    bool is_over = false;
    char bytes[8];
    struct mr_conn_info info;
    struct mr_fiber *counter = spawn(count_turns, &is_over, "counter");

    (void)argument;
    CU_ASSERT_EQUAL(mr_sock_confirm(world.conn), 0);
    CU_ASSERT_EQUAL(mr_sock_migrate(world.conn, &(struct mr_address){.port = 7000}), 0);
    CU_ASSERT_EQUAL(mr_sock_info(world.conn, &info), 0);
    CU_ASSERT_EQUAL(info.local.port, 7000);
    CU_ASSERT_EQUAL(mr_sock_migrate(world.conn, &(struct mr_address){.port = LOOP_DEAF_PORT}),
                    -EHOSTUNREACH);
    struct mr_fiber *waiter = spawn(wait_for_paths, NULL, "waiter");
    struct mr_fiber *other = spawn(open_another, NULL, "other");
    int64_t path = mr_sock_path_do(world.conn, &(struct mr_path_call){.local.port = 7000});
    CU_ASSERT_EQUAL(join(other) + path, 1 + 2);
    CU_ASSERT_EQUAL(join(waiter), 0);
    CU_ASSERT_EQUAL(
        mr_sock_path_do(world.conn, &(struct mr_path_call){.local.port = LOOP_DEAF_PORT}),
        -EHOSTUNREACH);
    CU_ASSERT_EQUAL(mr_sock_write(ours, "abcdef", 6), 6);
    CU_ASSERT_EQUAL(mr_sock_reset_at(ours, 5, 1 + 4), 0); /* one came before */
    ssize_t n = mr_sock_read(theirs, bytes, sizeof(bytes));
    CU_ASSERT(n >= 4);
    CU_ASSERT_EQUAL(memcmp(bytes, "abcdef", (size_t)n), 0);
    CU_ASSERT_EQUAL(mr_sock_read(theirs, bytes, sizeof(bytes)), -ECONNRESET);
    CU_ASSERT_EQUAL(mr_sock_send_datagram(world.conn, "datagram", 8), 0);
    CU_ASSERT_EQUAL(mr_sock_recv_datagram(world.peer, bytes, sizeof(bytes)), 8);
    is_over = true;
    CU_ASSERT(turns > 2);
    join(counter);
    return 0;
}

static void paths_resets_and_datagrams_let_other_fibers_run(void)
{
    turns = 0;
    open_world();
    run_in_world(migrate_and_reset, NULL);
    close_world();
}

static CU_TestInfo tests[] = {
    {"paths, resets and datagrams let other fibers run",
     paths_resets_and_datagrams_let_other_fibers_run},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "sockets of QUIC in fibers", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
