/* Tests of millrace/fiber_socket.h: blocking calls in fibers, over a transport in memory, and over
 * a real loop. */
#include "millrace/fiber_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

#include "app/fiber_internal.h"
#include "tests/unit/fiber_world.h"
#include "tests/unit/loop_backend.h"

enum {
    MANY = 100,
    TEXT_MAX = 64
};

static struct mr_sock *ours, *theirs;

static void open_world(void)
{
    world_connect(1);
    world_stream(&ours, &theirs);
    mr_sock_set(ours, MR_SOCK_NONBLOCK, 0);
    mr_sock_set(theirs, MR_SOCK_NONBLOCK, 0);
}

static void close_world(void)
{
    if (ours != NULL)
        mr_sock_close(ours, 0);
    mr_sock_close(theirs, 0);
    world_end();
}

/* ------------------------------------------------------------------ calls that switch */

static uint32_t turns;

static int64_t count_turns(void *argument)
{
    const bool *is_over = argument;

    while (!*is_over) {
        turns++;
        mr_fiber_sleep(MS);
    }
    return 0;
}

static int64_t answer(void *argument)
{
    char byte = 0;

    (void)argument;
    CU_ASSERT_EQUAL(mr_sock_read(theirs, &byte, 1), 1);
    mr_fiber_sleep(20 * MS);
    CU_ASSERT_EQUAL(mr_sock_write(theirs, &byte, 1), 1);
    return 0;
}

static int64_t ask(void *argument)
{
    bool is_over = false;
    char byte = 'a';
    struct mr_fiber *other = spawn(answer, NULL, "answer");
    struct mr_fiber *counter = spawn(count_turns, &is_over, "counter");

    (void)argument;
    CU_ASSERT_EQUAL(mr_sock_write(ours, &byte, 1), 1);
    byte = 0;
    CU_ASSERT_EQUAL(mr_sock_read(ours, &byte, 1), 1);
    CU_ASSERT_EQUAL(byte, 'a');
    is_over = true;
    CU_ASSERT(turns >= 10);
    join(other);
    join(counter);
    return 0;
}

static void blocking_calls_let_other_fibers_run(void)
{
    turns = 0;
    open_world();
    run_in_world(ask, NULL);
    close_world();
}

static int64_t read_one(void *argument)
{
    char byte;

    (void)argument;
    return mr_sock_read(ours, &byte, 1);
}

static int64_t time_out(void *argument)
{
    uint64_t start = world_now();

    (void)argument;
    mr_sock_set(ours, MR_SOCK_READ_TIMEOUT, 50 * MS);
    CU_ASSERT_EQUAL(read_one(NULL), -ETIMEDOUT);
    CU_ASSERT(world_now() - start >= 50 * MS);
    CU_ASSERT(world_now() - start < 60 * MS);
    mr_sock_set(ours, MR_SOCK_READ_TIMEOUT, 0);

    struct mr_fiber *waiting = spawn(read_one, NULL, "waiting");
    mr_fiber_sleep(5 * MS);
    CU_ASSERT_FALSE(mr_fiber_has_ended(waiting));
    CU_ASSERT_EQUAL(mr_fiber_cancel(waiting), 0);
    CU_ASSERT_EQUAL(join(waiting), -ECANCELED);

    waiting = spawn(read_one, NULL, "waiting");
    mr_fiber_cancel(waiting); /* before its first turn */
    CU_ASSERT_EQUAL(join(waiting), -ECANCELED);
    waiting = spawn(read_one, NULL, "waiting");
    mr_fiber_sleep(5 * MS);
    mr_sock_cancel(ours);
    CU_ASSERT_EQUAL(join(waiting), -ECANCELED);
    return 0;
}

/* More than one may wait on a socket. */
static int64_t end_all_waits(void *argument)
{
    bool is_close = *(const bool *)argument;
    struct mr_fiber *waiting[3];

    for (int i = 0; i < 3; i++)
        waiting[i] = spawn(read_one, NULL, "waiting");
    mr_fiber_sleep(5 * MS);
    if (is_close)
        mr_sock_close(ours, 0);
    else
        mr_sock_cancel(ours);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(join(waiting[i]), is_close ? -EBADF : -ECANCELED);
    if (is_close)
        ours = NULL;
    return 0;
}

static void all_who_wait_hear_of_cancelling_and_of_closing(void)
{
    static bool is_close[2] = {false, true};

    for (int i = 0; i < 2; i++) {
        open_world();
        run_in_world(end_all_waits, &is_close[i]);
        close_world();
    }
}

static void waits_end_by_timeout_and_by_cancelling(void)
{
    open_world();
    run_in_world(time_out, NULL);
    close_world();
}

/* A cancellation that comes while a long write goes on is seen by its next wait. */
static int64_t write_much(void *argument)
{
    static const char much[1 << 20];

    (void)argument;
    return mr_sock_write(ours, much, sizeof(much));
}

static int64_t cancel_writer(void *argument)
{
    struct mr_fiber *writer = spawn(write_much, NULL, "writer");
    static char some[64 * 1024];

    (void)argument;
    for (int i = 0; i < 5; i++)
        CU_ASSERT(mr_sock_read(theirs, some, sizeof(some)) > 0);
    mr_fiber_cancel(writer);
    int64_t written = join(writer);
    CU_ASSERT(written > 0 && written < 1 << 20);
    return 0;
}

static struct mr_fiber *long_writer;

/* In a step that has just woken it, before its turn. */
static void cancel_when_ready(void)
{
    if (long_writer == NULL || long_writer->state != MR_FIBER_READY)
        return;
    mr_fiber_cancel(long_writer);
    long_writer = NULL;
}

static int64_t cancel_between_waits(void *argument)
{
    static char some[64 * 1024];
    struct mr_fiber *writer = spawn(write_much, NULL, "writer");
    size_t size = 0;

    (void)argument;
    mr_fiber_sleep(5 * MS); /* it waits */
    long_writer = writer;
    world.react = cancel_when_ready;
    mr_sock_set(theirs, MR_SOCK_READ_TIMEOUT, 100 * MS);
    for (ssize_t taken; (taken = mr_sock_read(theirs, some, sizeof(some))) > 0;)
        size += (size_t)taken;
    world.react = NULL;
    CU_ASSERT_PTR_NULL(long_writer);
    CU_ASSERT_EQUAL(join(writer), (int64_t)size);
    CU_ASSERT(size < 1 << 20);
    return 0;
}

static void a_cancellation_between_two_waits_is_seen(void)
{
    open_world();
    run_in_world(cancel_between_waits, NULL);
    close_world();
}

static void a_long_write_is_cancelled_half_way(void)
{
    open_world();
    run_in_world(cancel_writer, NULL);
    close_world();
}

static void outside_fibers_nothing_waits(void)
{
    struct mr_hub_options options = {.source = {.run_once = step_world}, .clock = world_now};
    char byte;

    open_world();
    struct mr_hub *hub = mr_hub_new(&options, NULL);
    mr_hub_serve_host(hub, world.host[CLIENT]);
    CU_ASSERT_EQUAL(mr_sock_read(ours, &byte, 1), -EDEADLK);
    CU_ASSERT_EQUAL(mr_hub_close(hub, NULL), 0);
    mr_sock_host_set_waiter(world.host[CLIENT], NULL);
    close_world();
}

/* ------------------------------------------------------------------ transport calls */

static int64_t call_in_scope(void *argument)
{
    const bool *is_blocking = argument;
    struct mr_sock *stream = NULL;
    char bytes[8];

    mr_sock_set(ours, MR_SOCK_NONBLOCK, !*is_blocking);
    mr_sock_set(world.conn, MR_SOCK_NONBLOCK, 1);
    MR_ASSERT_NO_SWITCHPOINTS("transport")
    {
        CU_ASSERT_EQUAL(mr_sock_write(ours, "12345678", 8), 8);
        CU_ASSERT_EQUAL(mr_sock_read(ours, bytes, 8), -EAGAIN);
        CU_ASSERT_EQUAL(mr_sock_open(world.conn, MR_OPEN_BIDI, &stream), 0);
        CU_ASSERT_EQUAL(mr_sock_accept_stream(world.conn, &(struct mr_sock *){NULL}), -EAGAIN);
        CU_ASSERT_EQUAL(mr_sock_ready(ours) & POLLOUT, POLLOUT);
        CU_ASSERT_EQUAL(mr_sock_close(stream, 0), 0);
    }
    return 0;
}

static void run_scope(void *argument)
{
    open_world();
    run_in_world(call_in_scope, argument);
    mr_sock_set(ours, MR_SOCK_NONBLOCK, 1);
    close_world();
}

static void transport_calls_never_switch(void)
{
    bool is_blocking = false;
    char text[2048];

    run_scope(&is_blocking);
    is_blocking = true;
    CU_ASSERT_TRUE(was_killed_by(run_child(run_scope, &is_blocking, text, sizeof(text)), SIGABRT));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "calls switchpoint mr_sock_write() in scope 'transport'"));
}

/* ------------------------------------------------------------------ a fiber per connection */

static uint32_t served, serving, serving_peak;

static int64_t echo(void *argument)
{
    struct mr_sock *conn = argument;
    struct mr_sock *stream;
    char bytes[TEXT_MAX];
    ssize_t size;

    serving++;
    serving_peak = serving > serving_peak ? serving : serving_peak;
    CU_ASSERT_EQUAL(mr_sock_accept_stream(conn, &stream), 0);
    while ((size = mr_sock_read(stream, bytes, sizeof(bytes))) > 0)
        CU_ASSERT_EQUAL(mr_sock_write(stream, bytes, (size_t)size), size);
    CU_ASSERT_EQUAL(size, 0);
    mr_sock_shutdown(stream);
    mr_sock_close(stream, 0);
    served++;
    serving--;
    /* The client closes the connection when it has the end. */
    CU_ASSERT_EQUAL(mr_sock_accept_stream(conn, &stream), -ENOTCONN);
    mr_sock_close(conn, 0);
    return 0;
}

static int64_t accept_many(void *argument)
{
    struct mr_fiber_options detached = {.is_detached = true};
    struct mr_sock *conn;

    (void)argument;
    for (int i = 0; i < MANY; i++) {
        CU_ASSERT_EQUAL_FATAL(mr_sock_accept(world.listener, &conn), 0);
        mr_sock_set(conn, MR_SOCK_NONBLOCK, 0);
        CU_ASSERT_EQUAL(mr_fiber_spawn(echo, conn, "echo", &detached, NULL), 0);
    }
    return 0;
}

static uint32_t asking; /* clients that have not got their answer */

static int64_t ask_echo(void *argument)
{
    struct mr_connect_options options = world_options();
    struct mr_sock *conn, *stream;
    char text[TEXT_MAX], back[TEXT_MAX];
    size_t size = (size_t)snprintf(text, sizeof(text), "number %d", *(int *)argument);

    CU_ASSERT_EQUAL(mr_sock_host_connect(world.host[CLIENT], &options, false, &conn), 0);
    CU_ASSERT_EQUAL(mr_sock_open(conn, MR_OPEN_BIDI, &stream), 0);
    CU_ASSERT_EQUAL(mr_sock_write(stream, text, size), (ssize_t)size);
    asking--;
    while (asking > 0) /* all are connected at once */
        mr_fiber_sleep(MS);
    mr_sock_shutdown(stream);
    CU_ASSERT_EQUAL(mr_sock_read_all(stream, back, sizeof(back)), (ssize_t)size);
    CU_ASSERT_EQUAL(memcmp(text, back, size), 0);
    mr_sock_close(stream, 0);
    mr_sock_close(conn, 0);
    return 0;
}

static int64_t run_many(void *argument)
{
    static struct mr_fiber *clients[MANY];
    static int numbers[MANY];
    struct mr_fiber *server;

    (void)argument;
    mr_sock_set(world.listener, MR_SOCK_NONBLOCK, 0);
    server = spawn(accept_many, NULL, "server");
    for (int i = 0; i < MANY; i++) {
        numbers[i] = i;
        clients[i] = spawn(ask_echo, &numbers[i], "client");
        if (i % 8 == 0)
            mr_fiber_sleep(MS);
    }
    for (int i = 0; i < MANY; i++)
        join(clients[i]);
    join(server);
    return 0;
}

static void a_fiber_per_connection_echoes(void)
{
    served = serving = serving_peak = 0;
    asking = MANY;
    world_prepare(3);
    world.limits.objects_max = 4 * MANY;
    world.is_checking = false; /* O(sockets) a step */
    world_start();
    run_in_world(run_many, NULL);
    CU_ASSERT_EQUAL(served, MANY);
    CU_ASSERT_EQUAL(serving_peak, MANY);
    world_end();
}

/* ------------------------------------------------------------------ a real loop */

static struct mr_loop *loop;

/* In the first fiber of a hub that serves a loop without a datapath. */
static void run_on_loop(mr_fiber_function function, void *argument)
{
    struct mr_loop_config config = {.is_detached = true};
    struct mr_fiber_options detached = {.is_detached = true};
    struct mr_hub *hub = mr_hub_new(NULL, NULL);

    CU_ASSERT_EQUAL_FATAL(loop_backend_new(&config, &loop), 0);
    CU_ASSERT_EQUAL(mr_hub_serve_loop(hub, loop), 0);
    CU_ASSERT_EQUAL(mr_fiber_spawn(function, argument, "main", &detached, NULL), 0);
    CU_ASSERT_EQUAL(mr_hub_run(hub), 0);
    CU_ASSERT_EQUAL(mr_hub_close_loop(hub, loop, NULL), 0);
    mr_loop_free(loop);
}

static void fire(void *argument)
{
    const struct mr_switchback *back = argument;

    back->fn(back->arg, 7);
}

static void *fire_from_thread(void *argument)
{
    fire(argument);
    return NULL;
}

static int64_t use_loop(void *argument)
{
    struct mr_switchback back = mr_fiber_switchback();
    pthread_t thread;
    int64_t value = 0;
    int ends[2];

    (void)argument;
    CU_ASSERT(mr_loop_timer(loop, MS, fire, &back) != 0);
    CU_ASSERT_EQUAL(mr_hub_switch(MR_SECONDS(10), &value), 0);
    CU_ASSERT_EQUAL(value, 7);
    back = mr_fiber_switchback();
    CU_ASSERT_EQUAL(pthread_create(&thread, NULL, fire_from_thread, &back), 0);
    CU_ASSERT_EQUAL(mr_hub_switch(MR_SECONDS(10), &value), 0);
    pthread_join(thread, NULL);
    CU_ASSERT_EQUAL(mr_fiber_sleep(MS), 0);

    CU_ASSERT_EQUAL_FATAL(pipe2(ends, O_NONBLOCK), 0);
    CU_ASSERT_EQUAL(mr_fiber_wait_fd(loop, ends[0], POLLIN, MS), -ETIMEDOUT);
    CU_ASSERT_EQUAL(mr_fiber_wait_fd(loop, ends[1], POLLOUT, MR_FOREVER), POLLOUT);
    CU_ASSERT_EQUAL(write(ends[1], "x", 1), 1);
    CU_ASSERT_EQUAL(mr_fiber_wait_fd(loop, ends[0], POLLIN, MR_FOREVER), POLLIN);
    close(ends[1]);
    close(ends[0]);
    return 0;
}

static void timers_threads_and_descriptors_wake_fibers(void)
{
    run_on_loop(use_loop, NULL);
}

static int64_t resolve(void *argument)
{
    struct sockaddr_storage found[2];
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&found[0];
    char longest[400];

    (void)argument;
    CU_ASSERT_EQUAL(mr_fiber_resolve("192.0.2.7", "4433", found, 2), 1);
    CU_ASSERT_EQUAL(v4->sin_family, AF_INET);
    CU_ASSERT_EQUAL(v4->sin_port, htons(4433));
    CU_ASSERT_EQUAL(v4->sin_addr.s_addr, htonl(0xc0000207));
    CU_ASSERT_EQUAL(mr_fiber_resolve("2001:db8::1", "1", found, 2), 1);
    CU_ASSERT_EQUAL(found[0].ss_family, AF_INET6);
    CU_ASSERT_EQUAL(mr_fiber_resolve("192.0.2.7", "no such service", found, 2), -ENOENT);
    memset(longest, 'a', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    CU_ASSERT_EQUAL(mr_fiber_resolve(longest, "1", found, 2), -ENAMETOOLONG);
    CU_ASSERT_EQUAL(mr_fiber_resolve("192.0.2.7", NULL, found, 2), -EINVAL);
    CU_ASSERT_EQUAL(mr_fiber_resolve(NULL, "1", found, 2), -EINVAL);
    CU_ASSERT_EQUAL(mr_fiber_resolve("192.0.2.7", "1", NULL, 2), -EINVAL);
    CU_ASSERT_EQUAL(mr_fiber_resolve("192.0.2.7", "0", found, 2), 1);
    return 0;
}

static void names_are_resolved_on_a_helper_thread(void)
{
    run_on_loop(resolve, NULL);
}

static void resolve_in_scope(void)
{
    struct sockaddr_storage found;

    mr_fiber_resolve("192.0.2.7", "1", &found, 1);
}

static void wait_in_scope(void)
{
    mr_fiber_wait_fd(loop, 0, POLLIN, 0);
}

static const struct call {
    const char *name;
    void (*call)(void);
} calls[] = {
    {"mr_fiber_resolve", resolve_in_scope},
    {"mr_fiber_wait_fd", wait_in_scope},
};

static int64_t call_switchpoint(void *argument)
{
    const struct call *call = argument;

    MR_ASSERT_NO_SWITCHPOINTS("own")
    {
        call->call();
    }
    return 0;
}

static void run_switchpoint(void *argument)
{
    run_on_loop(call_switchpoint, argument);
}

static void its_switchpoints_panic_in_a_scope(void)
{
    char text[2048];

    for (size_t i = 0; i < MR_COUNT_OF(calls); i++) {
        struct call call = calls[i];

        CU_ASSERT_TRUE(
            was_killed_by(run_child(run_switchpoint, &call, text, sizeof(text)), SIGABRT));
        CU_ASSERT_PTR_NOT_NULL(strstr(text, call.name));
    }
}

/* ------------------------------------------------------------------ blocking calls in scopes */

static struct mr_sock *other;    /* with its end already there */
static struct mr_sock *spare[3]; /* the other ends of what is waited for */
static struct mr_sock *made;     /* by a call */
static struct mr_pollset *set;

static void connect_now(void)
{
    struct mr_connect_options options = world_options();

    mr_sock_host_connect(world.host[CLIENT], &options, false, &made);
}

static void accept_now(void)
{
    mr_sock_accept(world.listener, &made);
}

static void accept_stream_now(void)
{
    mr_sock_accept_stream(world.peer, &made);
}

static void open_now(void)
{
    mr_sock_open(world.conn, MR_OPEN_BIDI, &made);
}

static void read_now(void)
{
    char byte;

    mr_sock_read(theirs, &byte, 1);
}

static void read_all_now(void)
{
    char bytes[8];

    mr_sock_read_all(other, bytes, sizeof(bytes));
}

static void write_now(void)
{
    mr_sock_write(ours, "x", 1);
}

static void writev_now(void)
{
    struct iovec piece = {(void *)(uintptr_t) "x", 1};

    mr_sock_writev(ours, &piece, 1);
}

static void send_datagram_now(void)
{
    mr_sock_send_datagram(world.conn, "x", 1);
}

static void recv_datagram_now(void)
{
    char byte;

    mr_sock_recv_datagram(world.peer, &byte, 1);
}

static void confirm_now(void)
{
    mr_sock_confirm(world.peer);
}

static void migrate_now(void)
{
    mr_sock_migrate(world.conn, &(struct mr_address){.port = 7000});
}

static void path_now(void)
{
    mr_sock_path_do(world.conn, &(struct mr_path_call){.kind = MR_PATH_CALL_OPEN});
}

static void paths_wait_now(void)
{
    mr_sock_paths_wait(world.conn);
}

static void poll_now(void)
{
    struct mr_pollfd p = {.sock = theirs, .fd = -1, .events = POLLIN};

    mr_sock_host_poll(world.host[SERVER], &p, 1, -1);
}

static void readiness_now(void)
{
    struct mr_sock *reads[1] = {theirs};
    size_t count = 1;

    mr_sock_host_readiness(world.host[SERVER], reads, &count, NULL, NULL, -1);
}

static void pollset_now(void)
{
    struct mr_pollset_event event;

    mr_sock_host_pollset(world.host[SERVER], &set);
    mr_pollset_add(set, theirs, POLLIN, NULL);
    mr_pollset_wait(set, &event, 1, -1);
}

/* All blocking calls (scripts/switchpoints sees to it), called so that they need not wait. */
static const struct call blocking[] = {
    {"mr_sock_accept", accept_now},
    {"mr_sock_accept_stream", accept_stream_now},
    {"mr_sock_open", open_now},
    {"mr_sock_read", read_now},
    {"mr_sock_read_all", read_all_now},
    {"mr_sock_send_datagram", send_datagram_now},
    {"mr_sock_recv_datagram", recv_datagram_now},
    {"mr_sock_confirm", confirm_now},
    {"mr_poll", poll_now},
    {"mr_wait_for_readiness", readiness_now},
    {"mr_pollset_wait", pollset_now},
    /* These wait for the port, for the peer. */
    {"mr_sock_write", write_now},
    {"mr_sock_writev", writev_now},
    {"mr_sock_connect", connect_now},
    {"mr_sock_migrate", migrate_now},
    {"mr_sock_path_do", path_now},
    {"mr_sock_paths_wait", paths_wait_now},
};

enum {
    NEVER_WAITING = 11
};

/* Whatever is waited for is there. */
static void open_ready_world(void)
{
    struct mr_connect_options options = world_options();
    struct mr_sock *sock;

    world_prepare(1);
    world.config.datagram_max = 1200;
    world_start();
    CU_ASSERT_EQUAL(mr_sock_host_connect(world.host[CLIENT], &options, true, &world.conn),
                    -EINPROGRESS);
    world_run();
    CU_ASSERT_EQUAL_FATAL(mr_sock_accept(world.listener, &world.peer), 0);
    world_stream(&spare[0], &other);
    CU_ASSERT_EQUAL(mr_sock_shutdown(spare[0]), 0);
    world_stream(&ours, &theirs);
    CU_ASSERT_EQUAL(mr_sock_write(ours, "x", 1), 1);
    CU_ASSERT_EQUAL(mr_sock_send_datagram(world.conn, "x", 1), 0);
    CU_ASSERT_EQUAL(mr_sock_open(world.conn, MR_OPEN_BIDI, &spare[1]), 0);
    CU_ASSERT_EQUAL(mr_sock_write(spare[1], "x", 1), 1);
    CU_ASSERT_EQUAL(mr_sock_host_connect(world.host[CLIENT], &options, true, &spare[2]),
                    -EINPROGRESS);
    world_run();
    made = NULL;
    set = NULL;
    struct mr_sock *all[] = {world.listener, world.conn, world.peer, ours, theirs, other};
    for (size_t i = 0; i < MR_COUNT_OF(all); i++) {
        sock = all[i];
        mr_sock_set(sock, MR_SOCK_NONBLOCK, 0);
    }
}

static void close_ready_world(void)
{
    struct mr_sock *all[] = {made, spare[0], spare[1], spare[2], other};

    mr_pollset_free(set);
    for (size_t i = 0; i < MR_COUNT_OF(all); i++)
        if (all[i] != NULL)
            mr_sock_close(all[i], 0);
    close_world();
}

static int64_t call_blocking(void *argument)
{
    const struct call *call = argument;

    MR_ASSERT_NO_SWITCHPOINTS("own")
    {
        call->call();
    }
    return 0;
}

static void run_blocking(void *argument)
{
    open_ready_world();
    run_in_world(call_blocking, argument);
}

static void every_blocking_call_panics_in_a_scope_with_its_name(void)
{
    struct mr_sock_host_stats stats;
    char text[2048];
    char expected[128];

    for (size_t i = 0; i < MR_COUNT_OF(blocking); i++) {
        struct call call = blocking[i];

        snprintf(expected, sizeof(expected), "calls switchpoint %s() in scope 'own'", call.name);
        CU_ASSERT_TRUE(was_killed_by(run_child(run_blocking, &call, text, sizeof(text)), SIGABRT));
        CU_ASSERT_PTR_NOT_NULL(strstr(text, expected));
    }
    for (size_t i = 0; i < NEVER_WAITING; i++) { /* and really need not */
        open_ready_world();
        blocking[i].call();
        for (unsigned s = 0; s < 2; s++) {
            world_stats(s, &stats);
            CU_ASSERT_EQUAL(stats.waits, 0);
        }
        close_ready_world();
    }
}

static CU_TestInfo sockets[] = {
    {"G9 G5 blocking calls let other fibers run", blocking_calls_let_other_fibers_run},
    {"G26 waits end by timeout and by cancelling", waits_end_by_timeout_and_by_cancelling},
    {"T11 G26 all who wait hear of cancelling and of closing",
     all_who_wait_hear_of_cancelling_and_of_closing},
    {"G26 a long write is cancelled half way", a_long_write_is_cancelled_half_way},
    {"G26 a cancellation between two waits is seen", a_cancellation_between_two_waits_is_seen},
    {"outside fibers nothing waits", outside_fibers_nothing_waits},
    {"G8 G16 transport calls never switch, a blocking one panics with its name",
     transport_calls_never_switch},
    {"G15 G16 every blocking call panics in a scope, with its name",
     every_blocking_call_panics_in_a_scope_with_its_name},
    {"G7 a fiber per connection echoes", a_fiber_per_connection_echoes},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo loops[] = {
    {"G11 timers, threads and descriptors wake fibers", timers_threads_and_descriptors_wake_fibers},
    {"G1 names are resolved on a helper thread", names_are_resolved_on_a_helper_thread},
    {"G15 its switchpoints panic in a scope", its_switchpoints_panic_in_a_scope},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/fiber_socket: sockets", .pTests = sockets},
    {.pName = "app/fiber_socket: a loop", .pSetUpFunc = loop_backend_epoll, .pTests = loops},
    {.pName = "app/fiber_socket: a loop, io_uring",
     .pSetUpFunc = loop_backend_uring,
     .pTests = loops},
    CU_SUITE_INFO_NULL,
};
