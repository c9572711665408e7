/*
 * Tests of how ends look from the other side: the table of docs/sockets.md, "How things end", row
 * by row, and what may not be lost.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/sock_world.h"
#include "tests/unit/harness.h"

static struct mr_sock *ours, *theirs; /* both ends of a stream; we act, they look */
static uint8_t out[100000], in[100000];

static void drop(struct mr_sock **sock, uint64_t code)
{
    if (*sock != NULL)
        mr_sock_close(*sock, code);
    *sock = NULL;
}

static void open_world(uint64_t seed)
{
    for (size_t i = 0; i < sizeof(out); i++)
        out[i] = (uint8_t)(i * 7 + i / 251);
    memset(in, 0, sizeof(in));
    world_connect(seed);
    world_stream(&ours, &theirs);
}

static void close_world(void)
{
    drop(&ours, 0);
    drop(&theirs, 0);
    world_end();
}

/* ------------------------------------------------------------------ the table */

struct row {
    const char *name;
    void (*act)(void);
    ssize_t read; /* after the three bytes that were written before */
    ssize_t write;
    short ready;
    int error; /* mr_sock_error() of the stream */
    uint64_t code;
    short conn_ready;
    int conn_error;
    uint64_t conn_code;
    ssize_t bytes; /* of the three that can be read */
};

static void shut_down(void)
{
    CU_ASSERT_EQUAL(mr_sock_shutdown(ours), 0);
}

static void shut_down_and_close(void)
{
    shut_down();
    drop(&ours, 5);
}

static void close_at_once(void)
{
    world_run();
    drop(&ours, 5);
}

static void reset(void)
{
    world_run();
    CU_ASSERT_EQUAL(mr_sock_reset(ours, MR_ERROR_CODE_MAX + 1), -EINVAL);
    CU_ASSERT_EQUAL(mr_sock_reset(ours, 6), 0);
}

static void reset_at(void)
{
    CU_ASSERT_EQUAL(mr_sock_reset_at(ours, 6, 1 + 3), 0); /* one byte came before */
}

static void close_conn(void)
{
    world_run();
    drop(&world.conn, 0);
}

static void close_conn_with_code(void)
{
    world_run();
    drop(&world.conn, 7);
}

static void end_and_close_conn(void)
{
    shut_down();
    drop(&world.conn, 0);
}

static void cut(void)
{
    world_run();
    loop_cut(world.loop);
}

static const struct row rows[] = {
    {"shutdown", shut_down, 0, 1, POLLIN | POLLOUT, 0, 0, POLLOUT, 0, 0, 3},
    {"shutdown, close", shut_down_and_close, 0, -EPIPE, POLLIN | POLLOUT | POLLHUP, -EPIPE, 5,
     POLLOUT, 0, 0, 3},
    {"close", close_at_once, -ECONNRESET, -EPIPE, POLLIN | POLLOUT | POLLERR | POLLHUP, -ECONNRESET,
     5, POLLOUT, 0, 0, 0},
    {"reset", reset, -ECONNRESET, -EPIPE, POLLIN | POLLOUT | POLLERR | POLLHUP, -ECONNRESET, 6,
     POLLOUT, 0, 0, 0},
    {"reset_at", reset_at, -ECONNRESET, 1, POLLIN | POLLOUT | POLLERR, -ECONNRESET, 6, POLLOUT, 0,
     0, 3},
    {"connection closed with 0", close_conn, -ENOTCONN, -EPIPE, POLLIN | POLLOUT | POLLHUP,
     -ENOTCONN, 0, POLLIN | POLLOUT | POLLHUP, 0, 0, 3},
    {"connection closed with a code", close_conn_with_code, -ENOTCONN, -EPIPE,
     POLLIN | POLLOUT | POLLERR | POLLHUP, -ENOTCONN, 7, POLLIN | POLLOUT | POLLERR | POLLHUP,
     -ECONNRESET, 7, 3},
    {"shutdown, connection closed with 0", end_and_close_conn, 0, -EPIPE,
     POLLIN | POLLOUT | POLLHUP, -EPIPE, 0, POLLIN | POLLOUT | POLLHUP, 0, 0, 3},
    {"connection lost", cut, -ENOTCONN, -EPIPE, POLLIN | POLLOUT | POLLERR | POLLHUP, -ENOTCONN, 0,
     POLLIN | POLLOUT | POLLERR | POLLHUP, -ETIMEDOUT, 0, 3},
};

static ssize_t read_bytes(void)
{
    ssize_t total = 0, n;

    while (total < 3 && (n = mr_sock_read(theirs, in + total, 3 - (size_t)total)) > 0)
        total += n;
    return total;
}

static void look(const struct row *row)
{
    uint64_t code = 99;

    int failures = (int)CU_get_number_of_failures();
    CU_ASSERT_EQUAL(read_bytes(), row->bytes);
    CU_ASSERT_EQUAL(memcmp(in, "abc", (size_t)row->bytes), 0);
    world_run();
    CU_ASSERT_EQUAL(mr_sock_ready(theirs), row->ready);
    CU_ASSERT_EQUAL(mr_sock_error(theirs, &code, NULL), row->error);
    CU_ASSERT_EQUAL(code, row->code);
    CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 1), row->read);
    CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 1), row->read); /* it stays so */
    CU_ASSERT_EQUAL(mr_sock_write(theirs, "x", 1), row->write);
    CU_ASSERT_EQUAL(mr_sock_ready(world.peer), row->conn_ready);
    CU_ASSERT_EQUAL(mr_sock_error(world.peer, &code, NULL), row->conn_error);
    CU_ASSERT_EQUAL(code, row->conn_code);
    if ((int)CU_get_number_of_failures() != failures)
        printf("# %s: ready %#x, error %d, conn ready %#x, error %d, code %llu\n", row->name,
               (unsigned)mr_sock_ready(theirs), mr_sock_error(theirs, NULL, NULL),
               (unsigned)mr_sock_ready(world.peer), mr_sock_error(world.peer, &code, NULL),
               (unsigned long long)code);
}

static void ends_look_as_the_table_says(void)
{
    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        for (uint64_t seed = 1; seed < 6; seed++) {
            open_world(seed);
            CU_ASSERT_EQUAL(mr_sock_write(ours, "abc", 3), 3);
            rows[i].act();
            world_run();
            look(&rows[i]);
            close_world();
        }
    }
}

static void who_acts_sees_it_too(void)
{
    open_world(1);
    shut_down();
    CU_ASSERT_EQUAL(mr_sock_write(ours, "x", 1), -EPIPE);
    CU_ASSERT_EQUAL(mr_sock_shutdown(ours), 0); /* again: no effect */
    CU_ASSERT_EQUAL(mr_sock_read(ours, in, 1), -EAGAIN);
    reset();
    CU_ASSERT_EQUAL(mr_sock_write(ours, "x", 1), -EPIPE);
    CU_ASSERT_EQUAL(mr_sock_read(ours, in, 1), -ENOTCONN);
    CU_ASSERT_EQUAL(mr_sock_ready(ours), POLLIN | POLLOUT | POLLHUP);
    drop(&ours, 0);
    drop(&theirs, 0);
    world_stream(&ours, &theirs);
    drop(&world.conn, 3);
    CU_ASSERT_PTR_NULL(mr_sock_conn(ours));
    world_run();
    CU_ASSERT_EQUAL(mr_sock_read(ours, in, 1), -ENOTCONN);
    CU_ASSERT_EQUAL(mr_sock_write(ours, in, 1), -EPIPE);
    CU_ASSERT_EQUAL(mr_sock_ready(ours) & POLLERR, 0);
    close_world();
}

static void one_way_streams_end_as_pipes_do(void)
{
    open_world(1);
    drop(&ours, 0);
    drop(&theirs, 0);
    world_uni(&ours, &theirs);
    CU_ASSERT_EQUAL(mr_sock_read(ours, in, 1), -EBADF);
    CU_ASSERT_EQUAL(mr_sock_write(theirs, in, 1), -EBADF);
    CU_ASSERT_EQUAL(mr_sock_shutdown(theirs), -EBADF);
    drop(&theirs, 8);
    world_run();
    uint64_t code = 0;
    CU_ASSERT_EQUAL(mr_sock_write(ours, in, 1), -EPIPE);
    CU_ASSERT_EQUAL(mr_sock_error(ours, &code, NULL), -EPIPE);
    CU_ASSERT_EQUAL(code, 8);
    close_world();
}

/* ------------------------------------------------------------------ nothing is lost */

static size_t arrived;

static void gather(void)
{
    ssize_t n;

    if (theirs == NULL && mr_sock_accept_stream(world.peer, &theirs) != 0)
        return;
    while ((n = mr_sock_read(theirs, in + arrived, sizeof(in) - arrived)) > 0)
        arrived += (size_t)n;
}

static void what_was_written_before_the_end_arrives_after_close(void)
{
    for (uint64_t seed = 1; seed < 10; seed++) {
        open_world(seed);
        loop_set_refuse(world.loop, (uint32_t)seed * 5);
        arrived = 0;
        CU_ASSERT_EQUAL(mr_sock_write(ours, out, sizeof(out)), sizeof(out));
        CU_ASSERT_EQUAL(mr_sock_shutdown(ours), 0);
        drop(&ours, 0); /* most of it waits for the window */
        world.react = gather;
        world_run();
        CU_ASSERT_EQUAL(arrived, sizeof(out));
        CU_ASSERT_EQUAL(memcmp(in, out, sizeof(out)), 0);
        CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 1), 0);
        close_world();
    }
}

static void a_connection_waits_for_streams_that_were_ended(void)
{
    enum {
        SIZE = 60000
    }; /* within the window */

    for (uint64_t seed = 1; seed < 10; seed++) {
        struct mr_sock *cut_stream, *cut_peer;
        uint64_t code = 0;

        open_world(seed);
        world_stream(&cut_stream, &cut_peer);
        arrived = 0;
        loop_hold_acks(world.loop, CLIENT, true);
        CU_ASSERT_EQUAL(mr_sock_write(ours, out, SIZE), SIZE);
        CU_ASSERT_EQUAL(mr_sock_shutdown(ours), 0);
        if (seed % 2 == 0) /* held or not */
            drop(&ours, 0);
        drop(&world.conn, 4);
        world.react = gather;
        world_run();
        CU_ASSERT_EQUAL(arrived, SIZE);
        CU_ASSERT_EQUAL(memcmp(in, out, SIZE), 0);
        CU_ASSERT_EQUAL(mr_sock_ready(world.peer) & POLLHUP, 0);     /* nothing is acknowledged */
        CU_ASSERT_EQUAL(mr_sock_read(cut_peer, in, 1), -ECONNRESET); /* it was not ended */
        loop_hold_acks(world.loop, CLIENT, false);
        world_run();
        CU_ASSERT_EQUAL(mr_sock_error(world.peer, &code, NULL), -ECONNRESET);
        CU_ASSERT_EQUAL(code, 4);
        mr_sock_close(cut_stream, 0);
        mr_sock_close(cut_peer, 0);
        close_world();
    }
}

static void what_waits_to_be_accepted_survives_the_connection(void)
{
    open_world(1);
    drop(&ours, 0);
    drop(&theirs, 0);
    arrived = 0;
    CU_ASSERT_EQUAL(mr_sock_open(world.conn, 0, &ours), 0);
    CU_ASSERT_EQUAL(mr_sock_write(ours, out, 1), 1);
    CU_ASSERT_EQUAL(mr_sock_shutdown(ours), 0);
    world_run();
    drop(&world.conn, 0);
    world_run();
    CU_ASSERT_EQUAL(mr_sock_ready(world.peer), POLLIN | POLLOUT | POLLHUP);
    gather();
    CU_ASSERT_PTR_NOT_NULL_FATAL(theirs);
    CU_ASSERT_EQUAL(arrived, 1);
    CU_ASSERT_EQUAL(memcmp(in, out, 1), 0);
    struct mr_sock *none;
    CU_ASSERT_EQUAL(mr_sock_accept_stream(world.peer, &none), -ENOTCONN);
    close_world();
}

static void the_end_behind_bytes_that_are_being_read_is_told(void)
{
    enum {
        SIZE = 3000
    }; /* too many to be copied */

    for (uint64_t seed = 1; seed < 20; seed++) {
        size_t total = 0;
        ssize_t n = 0;

        open_world(seed);
        CU_ASSERT_EQUAL(mr_sock_write(ours, out, SIZE), SIZE);
        world_run(); /* shown, and not read */
        CU_ASSERT_EQUAL(mr_sock_shutdown(ours), 0);
        CU_ASSERT_EQUAL(mr_sock_shutdown(theirs), 0);
        world_run();
        while (total < SIZE && (n = mr_sock_read(theirs, in + total, SIZE - total)) > 0)
            total += (size_t)n;
        CU_ASSERT_EQUAL(total, SIZE);
        CU_ASSERT_EQUAL(memcmp(in, out, SIZE), 0);
        world_run();
        CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 3), 0);
        CU_ASSERT_EQUAL(mr_sock_error(theirs, NULL, NULL), 0);
        close_world();
    }
}

static void closing_with_unread_bytes_frees_the_stream(void)
{
    struct mr_sock_host_stats stats;

    open_world(1);
    CU_ASSERT_EQUAL(mr_sock_write(ours, out, sizeof(out)), sizeof(out));
    CU_ASSERT_EQUAL(mr_sock_shutdown(ours), 0);
    world_run();
    CU_ASSERT_EQUAL(mr_sock_shutdown(theirs), 0);
    drop(&theirs, 0);
    world_run();
    drop(&ours, 0);
    world_run();
    world_stats(SERVER, &stats);
    CU_ASSERT_EQUAL(stats.socks, 2);
    world_stats(CLIENT, &stats);
    CU_ASSERT_EQUAL(stats.socks, 1);
    close_world();
    for (uint64_t seed = 1; seed < 20; seed++) { /* more or less was shown, its end too */
        open_world(seed);
        CU_ASSERT_EQUAL(mr_sock_write(ours, out, 2100), 2100);
        CU_ASSERT_EQUAL(mr_sock_shutdown(ours), 0);
        world_run();
        CU_ASSERT_EQUAL(mr_sock_shutdown(theirs), 0);
        drop(&theirs, 0);
        world_run();
        world_stats(SERVER, &stats);
        CU_ASSERT_EQUAL(stats.socks, 2);
        close_world();
    }
}

static void listeners_end_with_what_nobody_accepted(void)
{
    struct mr_connect_options options = world_options();
    struct mr_sock *conn;

    open_world(1);
    CU_ASSERT_EQUAL(mr_sock_host_connect(world.host[CLIENT], &options, true, &conn), -EINPROGRESS);
    world_run();
    CU_ASSERT_EQUAL(mr_sock_close(world.listener, MR_ERROR_CODE_MAX + 1), -EINVAL);
    drop(&world.listener, 12);
    world_run();
    uint64_t code = 0;
    CU_ASSERT_EQUAL(mr_sock_error(conn, &code, NULL), -ECONNRESET);
    CU_ASSERT_EQUAL(code, 12);
    mr_sock_close(conn, 0);
    CU_ASSERT_EQUAL(mr_sock_host_connect(world.host[CLIENT], &options, true, &conn), -EINPROGRESS);
    world_run();
    CU_ASSERT((mr_sock_ready(conn) & POLLHUP) != 0);
    mr_sock_close(conn, 0);
    close_world();
}

/* The peer's words, as long as the socket is there. */
static void a_connection_says_why_it_is_over(void)
{
    open_world(1);
    struct mr_transport *t = loop_transport(world.loop, SERVER);
    CU_ASSERT_STRING_EQUAL(mr_sock_reason(world.conn), "");
    CU_ASSERT_EQUAL(
        t->ops->close(t, loop_conn_at(world.loop, SERVER, 0).conn, 40, "out of patience"), 0);
    world_run();
    uint64_t code = 0;
    CU_ASSERT_EQUAL(mr_sock_error(world.conn, &code, NULL), -ECONNRESET);
    CU_ASSERT_EQUAL(code, 40);
    CU_ASSERT_STRING_EQUAL(mr_sock_reason(world.conn), "out of patience");
    CU_ASSERT_STRING_EQUAL(mr_sock_reason(ours), ""); /* a stream has a code only */
    close_world();
}

static void blocking_connect_tells_how_it_went(void)
{
    struct mr_connect_options options = world_options();
    struct mr_sock *conn = NULL;

    open_world(1);
    CU_ASSERT_EQUAL(mr_sock_host_connect(world.host[CLIENT], &options, false, &conn), 0);
    CU_ASSERT_EQUAL(mr_sock_get(conn, MR_SOCK_NONBLOCK), 0);
    mr_sock_close(conn, 0);
    options.alpn_size = 0;
    CU_ASSERT_EQUAL(mr_sock_host_connect(world.host[CLIENT], &options, false, &conn), -EINVAL);
    CU_ASSERT_PTR_NULL(conn);
    close_world();
}

static CU_TestInfo tests[] = {
    {"a connection says why it is over", a_connection_says_why_it_is_over},
    {"G24 ends look as the table says", ends_look_as_the_table_says},
    {"G24 who acts sees it, too", who_acts_sees_it_too},
    {"G24 one-way streams end as pipes do", one_way_streams_end_as_pipes_do},
    {"what was written before the end arrives after close",
     what_was_written_before_the_end_arrives_after_close},
    {"a connection waits for streams that were ended",
     a_connection_waits_for_streams_that_were_ended},
    {"what waits to be accepted survives the connection",
     what_waits_to_be_accepted_survives_the_connection},
    {"the end behind bytes that are being read is told",
     the_end_behind_bytes_that_are_being_read_is_told},
    {"closing with unread bytes frees the stream", closing_with_unread_bytes_frees_the_stream},
    {"listeners end with what nobody accepted", listeners_end_with_what_nobody_accepted},
    {"blocking connect tells how it went", blocking_connect_tells_how_it_went},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/socket: ends", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
