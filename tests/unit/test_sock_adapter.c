/* Tests of millrace/adapter.h: readiness turned into completions. */
#include "millrace/adapter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/sock_world.h"
#include "tests/unit/harness.h"

static struct mr_sock *ours, *theirs;
static uint8_t out[300000], in[300000];

struct note {
    int told;
    ssize_t result;
    int order;
    struct mr_sock *accepted;
};

static int order;

static void done(void *context, ssize_t result)
{
    struct note *note = context;

    note->told++;
    note->result = result;
    note->order = ++order;
}

static void accepted(void *context, int status, struct mr_sock *sock)
{
    struct note *note = context;

    done(note, status);
    note->accepted = sock;
}

static void whole(void *context, const uint8_t *bytes, ssize_t result)
{
    CU_ASSERT_EQUAL(bytes == NULL, result < 0);
    if (result > 0)
        memcpy(in, bytes, (size_t)result);
    done(context, result);
}

static void open_world(void)
{
    for (size_t i = 0; i < sizeof(out); i++)
        out[i] = (uint8_t)(i * 7 + i / 251);
    memset(in, 0, sizeof(in));
    order = 0;
    world_connect(1);
    world_stream(&ours, &theirs);
}

static void close_world(void)
{
    if (ours != NULL)
        mr_sock_close(ours, 0);
    if (theirs != NULL)
        mr_sock_close(theirs, 0);
    world_end();
}

static void a_read_completes_when_bytes_are_there(void)
{
    struct note note = {0};

    open_world();
    CU_ASSERT_EQUAL(mr_read_then(theirs, in, 100, done, &note), 0);
    world_run();
    CU_ASSERT_EQUAL(note.told, 0);
    CU_ASSERT_EQUAL(mr_sock_write(ours, "hello", 5), 5);
    world_run();
    CU_ASSERT_EQUAL(note.told, 1);
    CU_ASSERT_EQUAL(note.result, 5);
    CU_ASSERT_EQUAL(memcmp(in, "hello", 5), 0);
    /* Bytes that are there already: not inside the call all the same. */
    CU_ASSERT_EQUAL(mr_sock_write(ours, "again", 5), 5);
    world_run();
    CU_ASSERT_EQUAL(mr_read_then(theirs, in, 100, done, &note), 0);
    CU_ASSERT_EQUAL(note.told, 1);
    world_run();
    CU_ASSERT_EQUAL(note.told, 2);
    CU_ASSERT_EQUAL(mr_sock_shutdown(ours), 0);
    CU_ASSERT_EQUAL(mr_read_then(theirs, in, 100, done, &note), 0);
    world_run();
    CU_ASSERT_EQUAL(note.told, 3);
    CU_ASSERT_EQUAL(note.result, 0);
    close_world();
}

static void operations_complete_in_order(void)
{
    struct note note[4] = {{0}};

    open_world();
    for (int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(mr_read_then(theirs, in + 2 * i, 2, done, &note[i]), 0);
    CU_ASSERT_EQUAL(mr_sock_write(ours, "aabbc", 5), 5);
    world_run();
    CU_ASSERT_EQUAL(note[0].order, 1);
    CU_ASSERT_EQUAL(note[1].order, 2);
    CU_ASSERT_EQUAL(note[2].order, 3);
    CU_ASSERT_EQUAL(note[2].result, 1);
    CU_ASSERT_EQUAL(note[3].told, 0);
    CU_ASSERT_EQUAL(memcmp(in, "aabbc", 5), 0);
    CU_ASSERT_EQUAL(mr_sock_shutdown(ours), 0);
    world_run();
    CU_ASSERT_EQUAL(note[3].order, 4);
    CU_ASSERT_EQUAL(note[3].result, 0);
    close_world();
}

static void a_write_completes_when_all_was_handed_over(void)
{
    struct note note[2] = {{0}}, all = {0};
    static uint8_t got[600000];

    open_world();
    CU_ASSERT_EQUAL(mr_sock_set(ours, MR_SOCK_SEND_BUFFER, 20000), 0);
    CU_ASSERT_EQUAL(mr_write_then(ours, out, sizeof(out), done, &note[0]), 0);
    CU_ASSERT_EQUAL(mr_write_then(ours, out, 1000, done, &note[1]), 0);
    CU_ASSERT_EQUAL(note[0].told, 0);
    world_run(); /* the window is full */
    CU_ASSERT_EQUAL(note[0].told, 0);
    CU_ASSERT_EQUAL(mr_sock_write(ours, "x", 1), -EAGAIN); /* it does not get between */
    CU_ASSERT_EQUAL(mr_read_all_then(theirs, got, sizeof(got), done, &all), 0);
    world_run();
    CU_ASSERT_EQUAL(note[0].result, sizeof(out));
    CU_ASSERT_EQUAL(note[1].result, 1000);
    CU_ASSERT_EQUAL(note[0].order, 1);
    CU_ASSERT_EQUAL(note[1].order, 2);
    CU_ASSERT_EQUAL(all.told, 0);
    CU_ASSERT_EQUAL(mr_sock_shutdown(ours), 0);
    world_run();
    CU_ASSERT_EQUAL(all.result, sizeof(out) + 1000);
    CU_ASSERT_EQUAL(memcmp(got, out, sizeof(out)), 0);
    CU_ASSERT_EQUAL(memcmp(got + sizeof(out), out, 1000), 0);
    close_world();
}

static struct note between;

static void start_another(void)
{
    CU_ASSERT_EQUAL(mr_write_then(ours, out, 1000, done, &between), 0);
}

static void a_write_waits_for_a_blocking_one(void)
{
    static uint8_t got[600000];
    struct note all = {0};

    open_world();
    memset(&between, 0, sizeof(between));
    CU_ASSERT_EQUAL(mr_sock_set(ours, MR_SOCK_SEND_BUFFER, 5000), 0);
    CU_ASSERT_EQUAL(mr_sock_set(ours, MR_SOCK_NONBLOCK, 0), 0);
    CU_ASSERT_EQUAL(mr_read_all_then(theirs, got, sizeof(got), done, &all), 0);
    world_later(2 * MS, start_another);
    CU_ASSERT_EQUAL(mr_sock_write(ours, out, sizeof(out)), sizeof(out));
    CU_ASSERT_EQUAL(between.told, 0);
    world_run();
    CU_ASSERT_EQUAL(between.result, 1000);
    CU_ASSERT_EQUAL(mr_sock_shutdown(ours), 0);
    world_run();
    CU_ASSERT_EQUAL(all.result, sizeof(out) + 1000);
    CU_ASSERT_EQUAL(memcmp(got, out, sizeof(out)), 0);
    CU_ASSERT_EQUAL(memcmp(got + sizeof(out), out, 1000), 0);
    close_world();
}

static void a_whole_stream_is_told_of_once(void)
{
    struct note note = {0};

    open_world();
    CU_ASSERT_EQUAL(mr_whole_then(theirs, sizeof(in), whole, &note), 0);
    CU_ASSERT_EQUAL(mr_sock_write(ours, out, 200000), 200000);
    world_run();
    CU_ASSERT_EQUAL(note.told, 0);
    CU_ASSERT_EQUAL(mr_sock_shutdown(ours), 0);
    world_run();
    CU_ASSERT_EQUAL(note.told, 1);
    CU_ASSERT_EQUAL(note.result, 200000);
    CU_ASSERT_EQUAL(memcmp(in, out, 200000), 0);
    mr_sock_close(ours, 0);
    mr_sock_close(theirs, 0);
    /* Just as much as is allowed, and a byte more; nothing at all. */
    static const size_t sizes[] = {5000, 5001, 0};
    static const ssize_t results[] = {5000, -EMSGSIZE, 0};
    for (size_t i = 0; i < 3; i++) {
        world_stream(&ours, &theirs);
        CU_ASSERT_EQUAL(mr_whole_then(theirs, 5000, whole, &note), 0);
        CU_ASSERT(sizes[i] == 0 || mr_sock_write(ours, out, sizes[i]) == (ssize_t)sizes[i]);
        CU_ASSERT_EQUAL(mr_sock_shutdown(ours), 0);
        world_run();
        CU_ASSERT_EQUAL(note.result, results[i]);
        mr_sock_close(ours, 0);
        mr_sock_close(theirs, 0);
    }
    world_stream(&ours, &theirs);
    CU_ASSERT_EQUAL(mr_whole_then(theirs, 5000, whole, &note), 0);
    CU_ASSERT_EQUAL(mr_sock_write(ours, out, 1000), 1000);
    world_run();
    CU_ASSERT_EQUAL(mr_sock_reset(ours, 1), 0);
    world_run();
    CU_ASSERT_EQUAL(note.result, -ECONNRESET);
    CU_ASSERT_EQUAL(note.told, 5);
    close_world();
}

static void accepting_completes(void)
{
    struct mr_connect_options options = world_options();
    struct note note[3] = {{0}};
    struct mr_sock *conn, *stream;

    open_world();
    for (int i = 0; i < 2; i++)
        CU_ASSERT_EQUAL(mr_accept_then(world.listener, accepted, &note[i]), 0);
    CU_ASSERT_EQUAL(mr_accept_then(world.peer, accepted, &note[2]), 0);
    CU_ASSERT_EQUAL(mr_sock_host_connect(world.host[CLIENT], &options, true, &conn), -EINPROGRESS);
    CU_ASSERT_EQUAL(mr_sock_open(world.conn, 0, &stream), 0);
    CU_ASSERT_EQUAL(mr_sock_write(stream, "x", 1), 1);
    world_run();
    CU_ASSERT_EQUAL(note[0].told, 1);
    CU_ASSERT_EQUAL(note[0].result, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(note[0].accepted);
    CU_ASSERT_EQUAL(note[1].told, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(note[2].accepted);
    mr_sock_close(note[0].accepted, 0);
    mr_sock_close(note[2].accepted, 0);
    mr_sock_close(conn, 0);
    mr_sock_close(stream, 0);
    mr_sock_cancel(world.listener);
    world_run();
    CU_ASSERT_EQUAL(note[1].result, -ECANCELED);
    CU_ASSERT_PTR_NULL(note[1].accepted);
    close_world();
}

static void close_in_done(void *context, ssize_t result)
{
    done(context, result);
    mr_sock_close(theirs, 0);
    theirs = NULL;
}

static void cancelling_and_closing_end_operations(void)
{
    struct note note[4] = {{0}};

    open_world();
    CU_ASSERT_EQUAL(mr_read_then(theirs, in, 10, done, &note[0]), 0);
    world_run();
    mr_sock_cancel(theirs);
    CU_ASSERT_EQUAL(note[0].told, 0); /* never inside a call */
    world_run();
    CU_ASSERT_EQUAL(note[0].result, -ECANCELED);
    /* A cancelled write leaves the stream to others. */
    CU_ASSERT_EQUAL(mr_sock_set(ours, MR_SOCK_SEND_BUFFER, 20000), 0);
    CU_ASSERT_EQUAL(mr_write_then(ours, out, sizeof(out), done, &note[3]), 0);
    world_run();
    mr_sock_cancel(ours);
    world_run();
    CU_ASSERT_EQUAL(note[3].told, 1);
    CU_ASSERT(note[3].result > 0 && note[3].result < (ssize_t)sizeof(out));
    /* The first closes the socket: the second ends, too. */
    CU_ASSERT_EQUAL(mr_read_then(theirs, in, 10, close_in_done, &note[1]), 0);
    CU_ASSERT_EQUAL(mr_read_then(theirs, in, 10, done, &note[2]), 0);
    world_run();
    CU_ASSERT_EQUAL(note[1].result, 10);
    CU_ASSERT_EQUAL(note[2].result, -EBADF);
    CU_ASSERT_PTR_NULL(theirs);
    CU_ASSERT_EQUAL(mr_read_then(world.conn, in, 1, done, note), -EINVAL);
    CU_ASSERT_EQUAL(mr_read_then(ours, in, 1, NULL, note), -EINVAL);
    CU_ASSERT_EQUAL(mr_accept_then(ours, accepted, note), -EINVAL);
    close_world();
}

static void nothing_is_called_when_the_world_is_gone(void)
{
    struct note note[4] = {{0}};

    open_world();
    CU_ASSERT_EQUAL(mr_read_then(theirs, in, 10, done, &note[0]), 0);
    CU_ASSERT_EQUAL(mr_whole_then(ours, 100, whole, &note[1]), 0);
    CU_ASSERT_EQUAL(mr_sock_write(theirs, "x", 1), 1);
    world_run();
    CU_ASSERT_EQUAL(mr_write_then(ours, out, sizeof(out), done, &note[2]), 0);
    mr_sock_cancel(ours); /* ended, and not told */
    loop_free(world.loop);
    for (unsigned s = 0; s < 2; s++) {
        mr_sock_host_free(world.host[s]);
        mr_registration_free(world.reg[s]);
    }
    CU_ASSERT_EQUAL(mr_read_then(theirs, in, 10, done, &note[3]), -ENOTCONN);
    for (int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(note[i].told, 0);
    mr_sock_close(ours, 0);
    mr_sock_close(theirs, 0);
    mr_sock_close(world.conn, 0);
    mr_sock_close(world.peer, 0);
    mr_sock_close(world.listener, 0);
}

static CU_TestInfo tests[] = {
    {"G3 a read completes when bytes are there", a_read_completes_when_bytes_are_there},
    {"G3 operations complete in order", operations_complete_in_order},
    {"G3 a write completes when all was handed over", a_write_completes_when_all_was_handed_over},
    {"G3 a write waits for a blocking one", a_write_waits_for_a_blocking_one},
    {"M11 a whole stream is told of once", a_whole_stream_is_told_of_once},
    {"G3 accepting completes", accepting_completes},
    {"G3 cancelling and closing end operations", cancelling_and_closing_end_operations},
    {"G3 nothing is called when the world is gone", nothing_is_called_when_the_world_is_gone},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/adapter", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
