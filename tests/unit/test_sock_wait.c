/* Tests of how the calls of millrace/socket.h wait: timeouts, cancelling, flags, waiters. */
#include "millrace/socket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/sock_bytes.h"

static uint64_t drain_at;

static void drain_then(void)
{
    if (world_now() >= drain_at)
        drain();
}

static void write_hello(void)
{
    CU_ASSERT_EQUAL(mr_sock_write(ours, "hello", 5), 5);
}

static void cancel_both(void)
{
    mr_sock_cancel(theirs);
    mr_sock_cancel(ours);
}

static void close_theirs(void)
{
    mr_sock_close(theirs, 9);
    theirs = NULL;
}

static void close_ours(void)
{
    mr_sock_close(ours, 9);
    ours = NULL;
}

static void blocking_calls_wait_for_data_and_for_room(void)
{
    open_world();
    block(theirs, true);
    world_later(30 * MS, write_hello);
    uint64_t begin = world_now();
    CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 100), 5);
    CU_ASSERT(world_now() - begin >= 30 * MS);

    block(theirs, false);
    block(ours, true);
    CU_ASSERT_EQUAL(mr_sock_set(ours, MR_SOCK_SEND_BUFFER, 1000), 0);
    drain_at = world_now() + 30 * MS;
    world.react = drain_then;
    in_size = 0;
    size_t size = 1000 + COMPACT + world.config.stream_window;
    begin = world_now();
    CU_ASSERT_EQUAL(mr_sock_write(ours, out, size), (ssize_t)size);
    CU_ASSERT(world_now() - begin >= 30 * MS);
    close_pair();
}

static void blocking_calls_time_out(void)
{
    open_world();
    block(theirs, true);
    block(ours, true);
    CU_ASSERT_EQUAL(mr_sock_set(theirs, MR_SOCK_READ_TIMEOUT, 20 * MS), 0);
    CU_ASSERT_EQUAL(mr_sock_set(ours, MR_SOCK_WRITE_TIMEOUT, 20 * MS), 0);
    uint64_t begin = world_now();
    CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 100), -ETIMEDOUT);
    CU_ASSERT(world_now() - begin >= 20 * MS && world_now() - begin < 22 * MS);
    CU_ASSERT_EQUAL(mr_sock_set(ours, MR_SOCK_SEND_BUFFER, 1000), 0);
    size_t window = world.config.stream_window;
    ssize_t n = mr_sock_write(ours, out, 1000000); /* nobody reads: a part is taken */
    CU_ASSERT(n >= (ssize_t)window && n <= (ssize_t)window + COMPACT + 1000);
    CU_ASSERT_EQUAL(mr_sock_write(ours, out, 10), -ETIMEDOUT);
    close_pair();
}

static void blocking_calls_are_cancelled(void)
{
    open_world();
    block(theirs, true);
    block(ours, true);
    world_later(10 * MS, cancel_both);
    CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 100), -ECANCELED);
    CU_ASSERT_EQUAL(mr_sock_set(ours, MR_SOCK_SEND_BUFFER, 1000), 0);
    world_later(10 * MS, cancel_both);
    size_t window = world.config.stream_window;
    CU_ASSERT(mr_sock_write(ours, out, 1000000) >= (ssize_t)window);
    world_later(10 * MS, cancel_both);
    CU_ASSERT_EQUAL(mr_sock_write(ours, out, 10), -ECANCELED);
    close_pair();
}

static void cancel_what_is_woken(void)
{
    if ((mr_sock_ready(theirs) & POLLIN) != 0)
        mr_sock_cancel(theirs);
}

static void who_is_woken_and_cancelled_at_once_is_cancelled(void)
{
    open_world();
    block(theirs, true);
    CU_ASSERT_EQUAL(mr_sock_write(ours, "x", 1), 1);
    world.react = cancel_what_is_woken;
    CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 1), -ECANCELED);
    world.react = NULL;
    CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 1), 1); /* nothing is lost */
    close_pair();
}

static void closing_wakes_who_waits(void)
{
    open_world();
    block(theirs, true);
    world_later(10 * MS, close_theirs);
    CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 100), -EBADF);
    world_run();
    CU_ASSERT_EQUAL(mr_sock_read(ours, in, 100), -ECONNRESET);
    uint64_t code = 0;
    CU_ASSERT_EQUAL(mr_sock_error(ours, &code, NULL), -ECONNRESET);
    CU_ASSERT_EQUAL(code, 9);
    CU_ASSERT_EQUAL(mr_sock_write(ours, "x", 1), -EPIPE);
    mr_sock_close(ours, 0);
    world_stream(&ours, &theirs);
    block(ours, true);
    CU_ASSERT_EQUAL(mr_sock_set(ours, MR_SOCK_SEND_BUFFER, 1000), 0);
    world_later(10 * MS, close_ours);
    CU_ASSERT(mr_sock_write(ours, out, 1000000) > 0);
    close_pair();
}

static void the_flag_is_switched_at_run_time(void)
{
    open_world();
    CU_ASSERT_EQUAL(mr_sock_get(theirs, MR_SOCK_NONBLOCK), 1); /* as its connection */
    CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 1), -EAGAIN);
    block(theirs, true);
    CU_ASSERT_EQUAL(mr_sock_get(theirs, MR_SOCK_NONBLOCK), 0);
    world_later(5 * MS, write_hello);
    CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 5), 5);
    block(theirs, false);
    CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 1), -EAGAIN);
    /* Inherited. */
    struct mr_sock *stream;
    block(world.conn, true);
    CU_ASSERT_EQUAL(mr_sock_open(world.conn, 0, &stream), 0);
    CU_ASSERT_EQUAL(mr_sock_get(stream, MR_SOCK_NONBLOCK), 0);
    mr_sock_close(stream, 0);
    block(world.conn, false);
    CU_ASSERT_EQUAL(mr_sock_open(world.conn, 0, &stream), 0);
    CU_ASSERT_EQUAL(mr_sock_get(stream, MR_SOCK_NONBLOCK), 1);
    mr_sock_close(stream, 0);
    /* Accepting, too. */
    struct mr_sock *conn;
    CU_ASSERT_EQUAL(mr_sock_accept(world.listener, &conn), -EAGAIN);
    block(world.listener, true);
    CU_ASSERT_EQUAL(mr_sock_set(world.listener, MR_SOCK_READ_TIMEOUT, 3 * MS), 0);
    CU_ASSERT_EQUAL(mr_sock_accept(world.listener, &conn), -ETIMEDOUT);
    close_pair();
}

/* ------------------------------------------------------------------ how blocking calls wait */

/* A hub with one fiber, whose other work is the world. */
static struct {
    int begun, waited, woken, checked;
    bool is_woken;
    bool is_cancelled;
    const char *name;
    int refusal;
} hub;

static void *hub_begin(void *context)
{
    CU_ASSERT_PTR_EQUAL(context, &hub);
    hub.begun++;
    hub.is_woken = false;
    return &hub.is_woken;
}

static int hub_wait(void *context, void *token, uint64_t deadline_ns)
{
    (void)context;
    CU_ASSERT_PTR_EQUAL(token, &hub.is_woken);
    hub.waited++;
    while (!hub.is_woken) {
        if (hub.is_cancelled)
            return -ECANCELED;
        if (world_now() >= deadline_ns)
            return -ETIMEDOUT;
        world_step();
    }
    return 0;
}

static void hub_wake(void *context, void *token)
{
    CU_ASSERT_PTR_EQUAL(context, &hub);
    CU_ASSERT_PTR_EQUAL(token, &hub.is_woken);
    CU_ASSERT(!hub.is_woken);
    hub.is_woken = true;
    hub.woken++;
}

static int hub_check(void *context, const char *name)
{
    CU_ASSERT_PTR_EQUAL(context, &hub);
    hub.checked++;
    hub.name = name;
    return hub.refusal;
}

static void blocking_calls_wait_where_the_waiter_says(void)
{
    static const struct mr_sock_waiter waiter = {.context = &hub,
                                                 .begin = hub_begin,
                                                 .wait = hub_wait,
                                                 .wake = hub_wake,
                                                 .check = hub_check};
    struct mr_sock *stream;

    open_world();
    memset(&hub, 0, sizeof(hub));
    block(theirs, true);
    mr_sock_host_set_waiter(world.host[SERVER], &waiter);
    world_later(5 * MS, write_hello);
    CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 5), 5);
    CU_ASSERT_EQUAL(hub.begun, 1);
    CU_ASSERT_EQUAL(hub.waited, 1);
    CU_ASSERT_EQUAL(hub.woken, 1);
    CU_ASSERT_EQUAL(hub.checked, 1);
    CU_ASSERT_STRING_EQUAL(hub.name, "mr_sock_read");
    CU_ASSERT_EQUAL(mr_sock_set(theirs, MR_SOCK_READ_TIMEOUT, 5 * MS), 0);
    CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 5), -ETIMEDOUT);
    world_later(1 * MS, cancel_both);
    CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 5), -ECANCELED);
    hub.is_cancelled = true; /* the fiber is */
    CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 5), -ECANCELED);
    hub.is_cancelled = false;
    /* A call that need not wait is checked as well. */
    write_hello();
    world_run();
    int begun = hub.begun;
    hub.refusal = -ECANCELED;
    CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 5), -ECANCELED);
    CU_ASSERT_EQUAL(mr_sock_write(theirs, in, 5), -ECANCELED);
    hub.refusal = 0;
    CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 5), 5);
    CU_ASSERT_EQUAL(hub.begun, begun);
    /* A non-blocking one is not, and does not run the world: the hub does. */
    int checked = hub.checked;
    uint64_t steps = world.steps;
    block(theirs, false);
    block(world.peer, false);
    CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 5), -EAGAIN);
    CU_ASSERT_EQUAL(mr_sock_accept_stream(world.peer, &stream), -EAGAIN);
    CU_ASSERT_EQUAL(hub.checked, checked);
    CU_ASSERT_EQUAL(world.steps, steps);
    mr_sock_host_set_waiter(world.host[SERVER], NULL);
    close_pair();
}

static int blocked_result;

static void block_inside(void)
{
    block(theirs, true);
    blocked_result = (int)mr_sock_read(theirs, in, 5);
    block(theirs, false);
}

static void a_call_inside_the_loop_does_not_wait(void)
{
    open_world();
    blocked_result = 0;
    world_later(0, block_inside);
    world_run();
    CU_ASSERT_EQUAL(blocked_result, -EDEADLK);
    close_pair();
}

static CU_TestInfo waiting[] = {
    {"T11 blocking calls wait for data and for room", blocking_calls_wait_for_data_and_for_room},
    {"T11 blocking calls time out", blocking_calls_time_out},
    {"T11 blocking calls are cancelled", blocking_calls_are_cancelled},
    {"T11 who is woken and cancelled at once is cancelled",
     who_is_woken_and_cancelled_at_once_is_cancelled},
    {"T11 closing wakes who waits", closing_wakes_who_waits},
    {"T10 the flag is switched at run time", the_flag_is_switched_at_run_time},
    {"blocking calls wait where the waiter says", blocking_calls_wait_where_the_waiter_says},
    {"a call inside the loop does not wait", a_call_inside_the_loop_does_not_wait},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/socket: waiting", .pTests = waiting},
    CU_SUITE_INFO_NULL,
};
