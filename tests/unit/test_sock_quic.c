/* Tests of millrace/socket.h: what sockets of TCP have not: RESET_STREAM_AT, paths, 0-RTT. */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "tests/support/sock_world.h"
#include "tests/unit/harness.h"

static struct mr_sock *ours, *theirs;
static uint8_t out[100000], in[100000];

static void open_world(uint64_t seed)
{
    for (size_t i = 0; i < sizeof(out); i++)
        out[i] = (uint8_t)(i * 7 + i / 251);
    world_connect(seed);
    world_stream(&ours, &theirs);
}

static void close_world(void)
{
    mr_sock_close(ours, 0);
    mr_sock_close(theirs, 0);
    world_end();
}

static size_t arrived;

static void gather(void)
{
    ssize_t n;

    while ((n = mr_sock_read(theirs, in + arrived, sizeof(in) - arrived)) > 0)
        arrived += (size_t)n;
}

/* ------------------------------------------------------------------ RESET_STREAM_AT */

/* What is guaranteed arrives, whether it was sent before, waits to be sent, or is little enough to
 * be copied at the other end; then the code, and not before. */
static void the_first_bytes_arrive_and_then_the_code(void)
{
    static const size_t sizes[][2] = {{3, 3},         {3, 1},         {3, 0},
                                      {90000, 90000}, {90000, 50000}, {90000, 1000}};

    for (size_t i = 0; i < MR_COUNT_OF(sizes); i++) {
        for (uint64_t seed = 1; seed < 6; seed++) {
            uint64_t code = 0;

            open_world(seed);
            arrived = 0;
            CU_ASSERT_EQUAL(mr_sock_write(ours, out, sizes[i][0]), (ssize_t)sizes[i][0]);
            if (seed % 2 == 0) /* some of it has left */
                world_step();
            /* the byte by which the peer learned of the stream is the first */
            CU_ASSERT_EQUAL(mr_sock_reset_at(ours, 77, sizes[i][1] + 1), 0);
            CU_ASSERT_EQUAL(mr_sock_write(ours, out, 1), -EPIPE);
            CU_ASSERT(mr_sock_ready(ours) & POLLOUT);
            if (seed % 3 != 0) /* late: all of it is there, and nobody has looked */
                world.react = gather;
            world_run();
            world.react = NULL;
            for (int k = 0; k < 200; k++) {
                gather();
                world_run();
            }
            CU_ASSERT(arrived >= sizes[i][1]);
            CU_ASSERT(arrived <= sizes[i][0]);
            CU_ASSERT_EQUAL(memcmp(in, out, arrived), 0);
            CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 1), -ECONNRESET);
            CU_ASSERT_EQUAL(mr_sock_error(theirs, &code, NULL), -ECONNRESET);
            CU_ASSERT_EQUAL(code, 77);
            CU_ASSERT_EQUAL(mr_sock_read(ours, in, 1), -EAGAIN); /* the other way goes on */
            CU_ASSERT_EQUAL(mr_sock_write(theirs, "back", 4), 4);
            world_run();
            CU_ASSERT_EQUAL(mr_sock_read(ours, in, 4), 4);
            close_world();
        }
    }
}

static void what_cannot_be_reset_so_is_refused(void)
{
    open_world(1);
    CU_ASSERT_EQUAL(mr_sock_write(ours, out, 10), 10);
    CU_ASSERT_EQUAL(mr_sock_reset_at(ours, MR_ERROR_CODE_MAX + 1, 0), -EINVAL);
    CU_ASSERT_EQUAL(mr_sock_reset_at(ours, 5, 12), -EINVAL);
    CU_ASSERT_EQUAL(mr_sock_reset_at(world.conn, 5, 0), -EINVAL);
    CU_ASSERT_EQUAL(mr_sock_reset_at(ours, 5, 8), 0);
    CU_ASSERT_EQUAL(mr_sock_reset_at(ours, 5, 9), -EINVAL); /* only less */
    CU_ASSERT_EQUAL(mr_sock_reset_at(ours, 6, 7), -EINVAL); /* and the same code */
    CU_ASSERT_EQUAL(mr_sock_reset_at(ours, 5, 7), 0);
    CU_ASSERT_EQUAL(mr_sock_reset(ours, 5), 0);
    CU_ASSERT_EQUAL(mr_sock_reset_at(ours, 5, 7), -EPIPE);
    close_world();
}

/* A socket that is closed after it goes on sending what it has guaranteed, as behind shutdown. */
static void what_was_guaranteed_arrives_after_close(void)
{
    for (uint64_t seed = 1; seed < 10; seed++) {
        open_world(seed);
        arrived = 0;
        CU_ASSERT_EQUAL(mr_sock_write(ours, out, 90000), 90000);
        CU_ASSERT_EQUAL(mr_sock_reset_at(ours, 7, 60000), 0);
        mr_sock_close(ours, 0);
        world.react = gather;
        world_run();
        world.react = NULL;
        gather();
        CU_ASSERT(arrived >= 60000 - 1);
        CU_ASSERT_EQUAL(memcmp(in, out, arrived), 0);
        CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 1), -ECONNRESET);
        mr_sock_close(theirs, 0);
        world_end();
    }
}

/* The peer's reset gives the buffers back that nobody will read: others get them. */
static void a_reset_returns_what_was_shown(void)
{
    open_world(1);
    CU_ASSERT_EQUAL(mr_sock_write(ours, out, 50000), 50000);
    world_run(); /* shown, and not read */
    CU_ASSERT_EQUAL(mr_sock_reset(ours, 5), 0);
    world_run();
    CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 1), -ECONNRESET);
    close_world();
}

/* ------------------------------------------------------------------ paths */

static void a_migration_is_waited_for_or_not(void)
{
    const struct mr_address to = {.port = 7000};
    const struct mr_address deaf = {.port = LOOP_DEAF_PORT};
    struct mr_conn_info info;

    open_world(1);
    CU_ASSERT_EQUAL(mr_sock_path(world.conn), 0);
    CU_ASSERT_EQUAL(mr_sock_migrate(world.conn, &to), -EINPROGRESS);
    CU_ASSERT_EQUAL(mr_sock_migrate(world.conn, &to), -EALREADY);
    CU_ASSERT_EQUAL(mr_sock_path(world.conn), -EINPROGRESS);
    world_run();
    CU_ASSERT_EQUAL(mr_sock_path(world.conn), 0);
    CU_ASSERT_EQUAL(mr_sock_info(world.conn, &info), 0);
    CU_ASSERT_EQUAL(info.local.port, 7000);
    CU_ASSERT_EQUAL(mr_sock_info(world.peer, &info), 0);
    CU_ASSERT_EQUAL(info.remote.port, 7000);
    mr_sock_set(world.conn, MR_SOCK_NONBLOCK, 0);
    CU_ASSERT_EQUAL(mr_sock_migrate(world.conn, &deaf), -EHOSTUNREACH);
    CU_ASSERT_EQUAL(mr_sock_migrate(world.conn, &(struct mr_address){.port = 7001}), 0);
    CU_ASSERT_EQUAL(mr_sock_migrate(world.peer, &to), -EOPNOTSUPP);
    CU_ASSERT_EQUAL(mr_sock_migrate(ours, &to), -EINVAL);
    close_world();
}

static int64_t ask_path(struct mr_sock *sock, uint8_t kind, uint32_t path, uint16_t port)
{
    return mr_sock_path_do(sock,
                           &(struct mr_path_call){.kind = kind, .path = path, .local.port = port});
}

static void a_path_is_waited_for_or_not(void)
{
    struct mr_path_info paths[MR_PATHS_LIST_MAX];
    struct mr_path_call list = {
        .kind = MR_PATH_CALL_LIST, .out = paths, .room = MR_COUNT_OF(paths)};

    open_world(1);
    CU_ASSERT_EQUAL(ask_path(world.conn, MR_PATH_CALL_OPEN, 0, 7000), 1);
    CU_ASSERT_EQUAL(mr_sock_path_do(world.conn, &list), 2);
    CU_ASSERT_EQUAL(paths[1].state, MR_PATH_INFO_CHECKING);
    CU_ASSERT_EQUAL(mr_sock_paths_wait(world.conn), -EAGAIN);
    world_run();
    CU_ASSERT_EQUAL(mr_sock_path_do(world.conn, &list), 2);
    CU_ASSERT_EQUAL(paths[1].state, MR_PATH_INFO_OPEN);
    mr_sock_set(world.conn, MR_SOCK_NONBLOCK, 0);
    CU_ASSERT_EQUAL(ask_path(world.conn, MR_PATH_CALL_OPEN, 0, 7001), 2);
    CU_ASSERT_EQUAL(mr_sock_path_do(world.conn, &list), 3);
    CU_ASSERT_EQUAL(paths[2].state, MR_PATH_INFO_OPEN);
    CU_ASSERT_EQUAL(ask_path(world.conn, MR_PATH_CALL_OPEN, 0, LOOP_DEAF_PORT), -EHOSTUNREACH);
    CU_ASSERT_EQUAL(ask_path(world.conn, MR_PATH_CALL_ABANDON, 7, 0), -ENOENT);
    CU_ASSERT_EQUAL(ask_path(world.conn, MR_PATH_CALL_BACKUP, 2, 0), 0);
    world_run();
    CU_ASSERT_EQUAL(mr_sock_path_do(world.peer, &list), 4);
    CU_ASSERT(paths[2].is_peer_backup);
    CU_ASSERT_EQUAL(ask_path(world.conn, MR_PATH_CALL_ANSWER, 0, 0), -ENOENT);
    CU_ASSERT_EQUAL(ask_path(world.peer, MR_PATH_CALL_OPEN, 0, 0), -EOPNOTSUPP);
    CU_ASSERT_EQUAL(ask_path(ours, MR_PATH_CALL_OPEN, 0, 0), -EINVAL);
    CU_ASSERT_EQUAL(mr_sock_paths_wait(ours), -EINVAL);
    close_world();
}

/* ------------------------------------------------------------------ 0-RTT */

static void confirm(void)
{
    loop_confirm(world.loop);
}

/* A server can use its connection at once, and wait until what came cannot be a copy any more. */
static void a_server_waits_for_the_end_of_the_handshake(void)
{
    struct mr_conn_info info;

    world_prepare(1);
    world.config.has_early = true;
    world_start();
    struct mr_connect_options options = world_options();
    CU_ASSERT_EQUAL(mr_sock_host_connect(world.host[CLIENT], &options, true, &world.conn),
                    -EINPROGRESS);
    world_run();
    CU_ASSERT_EQUAL_FATAL(mr_sock_accept(world.listener, &world.peer), 0);
    CU_ASSERT_EQUAL(mr_sock_info(world.peer, &info), 0);
    CU_ASSERT(info.is_early);
    CU_ASSERT_EQUAL(mr_sock_confirm(world.peer), -EAGAIN);
    CU_ASSERT_EQUAL(mr_sock_confirm(world.conn), 0);
    world_stream(&ours, &theirs);
    CU_ASSERT_EQUAL(mr_sock_confirm(theirs), -EINVAL);
    mr_sock_set(world.peer, MR_SOCK_NONBLOCK, 0);
    world_later(5 * MS, confirm);
    CU_ASSERT_EQUAL(mr_sock_confirm(world.peer), 0);
    CU_ASSERT_EQUAL(mr_sock_info(world.peer, &info), 0);
    CU_ASSERT_FALSE(info.is_early);
    close_world();
}

static CU_TestInfo tests[] = {
    {"the first bytes arrive, and then the code", the_first_bytes_arrive_and_then_the_code},
    {"what cannot be reset so is refused", what_cannot_be_reset_so_is_refused},
    {"what was guaranteed arrives after close", what_was_guaranteed_arrives_after_close},
    {"a reset returns what was shown", a_reset_returns_what_was_shown},
    {"a migration is waited for, or not", a_migration_is_waited_for_or_not},
    {"a path is waited for, or not", a_path_is_waited_for_or_not},
    {"a server waits for the end of the handshake", a_server_waits_for_the_end_of_the_handshake},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "sockets of QUIC", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
