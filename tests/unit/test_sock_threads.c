/* Tests of millrace/socket.h on real loops over rings; the datapath runs on a thread of its own. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

#include "app/loop_internal.h"
#include "millrace/socket.h"
#include "tests/support/ring_world.h"
#include "tests/unit/harness.h"
#include "tests/unit/loop_backend.h"

#define MS UINT64_C(1000000)

enum {
    THREADS = 4,
    REQUESTS = 8,
    BYTES = 30000,
    MANY = 1100, /* more than select() can hold */
    REFUSE_CODE = 71,
};

static struct ring_world *world;
static struct mr_attachment *attachments[2];
static _Atomic uint32_t failures;
static _Atomic uint32_t served; /* connections */

/* CUnit's assertions are the main thread's. */
static bool check(bool is_right, const char *what, long value)
{
    if (!is_right) {
        atomic_fetch_add(&failures, 1);
        printf("# %s: %ld\n", what, value);
    }
    return is_right;
}

static void start(uint64_t seed)
{
    struct ring_world_config config = ring_world_config_default(seed);

    config.has_thread = true;
    config.loop.bidi_max = MANY + 10;
    config.sizes.objects_max = 4096;
    config.sizes.sends_max = 4096;
    config.sizes.alias_count = 4096;
    world = ring_world_new(&config);
    atomic_store(&failures, 0);
    atomic_store(&served, 0);
}

static struct mr_loop *loop_on(struct mr_attachment *attachment)
{
    struct mr_loop *loop = NULL;
    struct mr_loop_config config = {.is_detached = true};

    MR_ASSERT(loop_backend_new(&config, &loop) == 0);
    MR_ASSERT(mr_loop_adopt(loop, attachment) == 0);
    return loop;
}

static struct mr_loop *open_loop(unsigned side)
{
    return loop_on(ring_world_attach(world, side, 1));
}

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static void fill(uint8_t *bytes, size_t size, uint32_t seed)
{
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(seed >> 24);
    }
}

/* ------------------------------------------------------------------ blocking threads */

/* Echo every stream of a connection until it is over. */
static void serve(struct mr_sock *conn)
{
    uint8_t *bytes = malloc(BYTES);
    struct mr_sock *stream;
    int error;

    MR_ASSERT(bytes != NULL);
    while ((error = mr_sock_accept_stream(conn, &stream)) == 0) {
        ssize_t size = mr_sock_read_all(stream, bytes, BYTES);
        if (check(size >= 0, "server reads", size)) {
            ssize_t written = mr_sock_write(stream, bytes, (size_t)size);
            check(written == size, "server writes", written);
            check(mr_sock_shutdown(stream) == 0, "server ends", 0);
        }
        mr_sock_close(stream, 0);
    }
    check(error == -ENOTCONN, "server's connection ends", error);
    free(bytes);
}

/* One request and its answer; false: the connection is over. */
static bool request(struct mr_sock *conn, const uint8_t *sent, uint8_t *got, size_t size)
{
    struct mr_sock *stream;

    if (mr_sock_open(conn, MR_OPEN_BIDI, &stream) != 0)
        return false;
    ssize_t written = mr_sock_write(stream, sent, size);
    (void)mr_sock_shutdown(stream);
    ssize_t size_got = mr_sock_read_all(stream, got, size);
    mr_sock_close(stream, 0);
    if (size_got < 0 && (mr_sock_ready(conn) & POLLHUP) != 0)
        return false;
    check(written == (ssize_t)size, "client writes", written);
    check(size_got == (ssize_t)size, "client reads", size_got);
    check(memcmp(sent, got, size) == 0, "answer", 0);
    return true;
}

static struct mr_sock *dial(struct mr_loop *loop)
{
    struct mr_connect_options options = {
        .server_name = "rings", .alpn = (const uint8_t *)"\x02h3", .alpn_size = 3};
    struct mr_sock *conn = NULL;
    int error;

    while ((error = mr_sock_connect(loop, &options, false, &conn)) != 0) {
        check(error == -ECONNREFUSED || error == -ECONNRESET || error == -EAGAIN, "connect", error);
        sleep_ms(1);
    }
    return conn;
}

static void *client(void *argument)
{
    uint32_t number = (uint32_t)(uintptr_t)argument;
    struct mr_loop *loop = open_loop(RING_WORLD_CLIENT);
    uint8_t *bytes = malloc(2 * BYTES);

    MR_ASSERT(bytes != NULL);
    struct mr_sock *conn = dial(loop);
    for (uint32_t i = 0; i < REQUESTS;) { /* all on one connection, once it was accepted */
        size_t size = (size_t)(number * 31 + i * 997) % BYTES;
        fill(bytes, BYTES, number * 100 + i);
        if (request(conn, bytes, bytes + BYTES, size)) {
            i++;
            continue;
        }
        check(i == 0, "an accepted connection is over", i);
        mr_sock_close(conn, 0); /* its listener went away */
        sleep_ms(1);
        conn = dial(loop);
    }
    mr_sock_close(conn, 0);
    mr_loop_free(loop);
    free(bytes);
    return NULL;
}

/* A server that takes connections one after the other, until all are served. */
static void *server(void *argument)
{
    struct mr_loop *loop = open_loop(RING_WORLD_SERVER);
    struct mr_sock *listener, *conn;

    (void)argument;
    check(mr_sock_listen(loop, "any", 0, &listener) == 0, "listen", 0);
    mr_sock_set(listener, MR_SOCK_READ_TIMEOUT, 20 * MS);
    while (atomic_load(&served) < THREADS) {
        int error = mr_sock_accept(listener, &conn);
        if (error == -ETIMEDOUT)
            continue;
        if (!check(error == 0, "accept", error))
            break;
        mr_sock_set(conn, MR_SOCK_READ_TIMEOUT, 0);
        serve(conn);
        mr_sock_close(conn, 0);
        atomic_fetch_add(&served, 1);
    }
    mr_sock_close(listener, 0);
    mr_loop_free(loop);
    return NULL;
}

static void threads_serve_a_connection_each(void)
{
    pthread_t threads[2 * THREADS];

    start(1);
    for (uintptr_t i = 0; i < THREADS; i++) {
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, server, NULL), 0);
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[THREADS + i], NULL, client, (void *)i), 0);
    }
    for (int i = 0; i < 2 * THREADS; i++)
        pthread_join(threads[i], NULL);
    CU_ASSERT_EQUAL(atomic_load(&failures), 0);
    CU_ASSERT_EQUAL(atomic_load(&served), THREADS);
    ring_world_free(world);
}

static pthread_t workers[THREADS];

/* Accept one connection, let the next thread wait for the next, serve. */
static void *worker(void *argument)
{
    uintptr_t number = (uintptr_t)argument;
    struct mr_loop *loop = open_loop(RING_WORLD_SERVER);
    struct mr_sock *listener, *conn;

    check(mr_sock_listen(loop, "any", 1, &listener) == 0, "listen", 0);
    int error = mr_sock_accept(listener, &conn);
    check(error == 0, "accept", error);
    mr_sock_close(listener, REFUSE_CODE);
    if (number + 1 < THREADS)
        MR_ASSERT(pthread_create(&workers[number + 1], NULL, worker, (void *)(number + 1)) == 0);
    if (error == 0) {
        serve(conn);
        mr_sock_close(conn, 0);
        atomic_fetch_add(&served, 1);
    }
    mr_loop_free(loop);
    return NULL;
}

static void a_thread_is_started_for_each_connection(void)
{
    pthread_t clients[THREADS];

    start(2);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&workers[0], NULL, worker, NULL), 0);
    for (uintptr_t i = 0; i < THREADS; i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&clients[i], NULL, client, (void *)i), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(clients[i], NULL);
    for (int i = 0; i < THREADS; i++) /* each was started before the one before it ended */
        pthread_join(workers[i], NULL);
    CU_ASSERT_EQUAL(atomic_load(&failures), 0);
    CU_ASSERT_EQUAL(atomic_load(&served), THREADS);
    ring_world_free(world);
}

/* ------------------------------------------------------------------ one thread, many handles */

/* Both ends in this thread: loops are run in turn. */
static struct mr_loop *loops[2];
static struct mr_sock *listener, *conns[2];
static struct mr_sock *streams[MANY], *peers[MANY];

static void turn(void)
{
    (void)mr_loop_run_once(loops[RING_WORLD_SERVER], 100000);
    (void)mr_loop_run_once(loops[RING_WORLD_CLIENT], 100000);
}

static void open_ends(void)
{
    struct mr_connect_options options = {
        .server_name = "rings", .alpn = (const uint8_t *)"\x02h3", .alpn_size = 3};

    for (unsigned side = 0; side < 2; side++) {
        attachments[side] = ring_world_attach(world, side, 1);
        loops[side] = loop_on(attachments[side]);
    }
    CU_ASSERT_EQUAL_FATAL(mr_sock_listen(loops[RING_WORLD_SERVER], "any", 0, &listener), 0);
    mr_sock_set(listener, MR_SOCK_NONBLOCK, 1);
    conns[RING_WORLD_CLIENT] = NULL;
    while (mr_sock_accept(listener, &conns[RING_WORLD_SERVER]) == -EAGAIN) {
        struct mr_sock *c = conns[RING_WORLD_CLIENT];
        if (c != NULL && (mr_sock_ready(c) & POLLHUP) != 0) { /* before the LISTEN was there */
            mr_sock_close(c, 0);
            c = NULL;
        }
        if (c == NULL)
            (void)mr_sock_connect(loops[RING_WORLD_CLIENT], &options, true, &c);
        conns[RING_WORLD_CLIENT] = c;
        turn();
    }
    mr_sock_set(conns[RING_WORLD_SERVER], MR_SOCK_BACKLOG, MANY);
    while ((mr_sock_ready(conns[RING_WORLD_CLIENT]) & POLLOUT) == 0)
        turn();
}

static void open_streams(uint32_t count)
{
    uint32_t accepted = 0;

    for (uint32_t i = 0; i < count;) {
        if (mr_sock_open(conns[RING_WORLD_CLIENT], 0, &streams[i]) == 0) {
            CU_ASSERT_EQUAL(mr_sock_write(streams[i], &i, sizeof(i)), sizeof(i));
            i++;
        }
        if (i % 16 == 0)
            turn();
    }
    while (accepted < count) {
        struct mr_sock *s;
        uint32_t number;
        if (mr_sock_accept_stream(conns[RING_WORLD_SERVER], &s) != 0) {
            turn();
            continue;
        }
        while (mr_sock_read(s, &number, sizeof(number)) != sizeof(number))
            turn();
        peers[number] = s;
        accepted++;
    }
}

static void close_ends(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        mr_sock_close(streams[i], 0);
        mr_sock_close(peers[i], 0);
    }
    mr_sock_close(conns[0], 0);
    mr_sock_close(conns[1], 0);
    mr_sock_close(listener, 0);
    mr_loop_free(loops[0]);
    mr_loop_free(loops[1]);
    ring_world_free(world);
}

/* Wait for the loop's descriptor in the kernel; 0: ready. */
static int in_select(int fd)
{
    fd_set set;
    struct timeval timeout = {.tv_sec = 5};

    FD_ZERO(&set);
    FD_SET(fd, &set);
    return select(fd + 1, &set, NULL, NULL, &timeout) == 1 ? 0 : -1;
}

static int in_poll(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 5000) == 1 ? 0 : -1;
}

static int in_epoll(int fd)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};

    CU_ASSERT_EQUAL(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), 0);
    int count;
    do { /* a ring that was closed a moment ago may still interrupt this thread, once */
        count = epoll_wait(epoll, &event, 1, 5000);
    } while (count < 0 && errno == EINTR);
    close(epoll);
    return count == 1 ? 0 : -1;
}

/* Write to one of the many: the kernel's call wakes up, and the set says who it is. */
static void wake_by_one(struct mr_pollset *set, int (*wait)(int fd), uint32_t which)
{
    struct mr_pollset_event e[4];
    int found = 0;
    char c;

    CU_ASSERT_EQUAL(mr_sock_write(peers[which], "x", 1), 1);
    (void)mr_loop_run_once(loops[RING_WORLD_SERVER], 0);
    while (found == 0) {
        (void)mr_exec_poll(loops[RING_WORLD_CLIENT]);
        found = mr_pollset_wait(set, e, 4, 0);
        if (found == 0 && wait(mr_loop_fd(loops[RING_WORLD_CLIENT])) != 0)
            break;
    }
    CU_ASSERT_EQUAL_FATAL(found, 1);
    CU_ASSERT_PTR_EQUAL(e[0].sock, streams[which]);
    CU_ASSERT_EQUAL(mr_sock_read(streams[which], &c, 1), 1);
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 4, 0), 0);
}

static void one_descriptor_stands_for_more_handles_than_select_holds(void)
{
    int (*const waits[])(int) = {in_select, in_poll, in_epoll};
    struct mr_pollset *set;

    start(3);
    open_ends();
    open_streams(MANY);
    CU_ASSERT_EQUAL(mr_pollset_new(loops[RING_WORLD_CLIENT], &set), 0);
    for (uint32_t i = 0; i < MANY; i++)
        CU_ASSERT_EQUAL(mr_pollset_add(set, streams[i], POLLIN, NULL), 0);
    for (uint32_t i = 0; i < 3; i++) {
        wake_by_one(set, waits[i], MANY - 1 - i);
        wake_by_one(set, waits[i], i * 300);
    }
    mr_pollset_free(set);
    close_ends(MANY);
}

static int pipe_fd[2];

static void *write_pipe_later(void *argument)
{
    sleep_ms(20);
    MR_ASSERT(write(pipe_fd[1], argument, 1) == 1);
    return NULL;
}

static void a_pipe_and_a_stream_in_one_poll(void)
{
    struct mr_pollfd p[2];
    pthread_t thread;
    char c = 'x';

    start(4);
    open_ends();
    open_streams(1);
    CU_ASSERT_EQUAL(pipe(pipe_fd), 0);
    p[0] = (struct mr_pollfd){.fd = pipe_fd[0], .events = POLLIN};
    p[1] = (struct mr_pollfd){.sock = streams[0], .fd = -1, .events = POLLIN};
    CU_ASSERT_EQUAL(mr_poll(loops[RING_WORLD_CLIENT], p, 2, 5), 0);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, write_pipe_later, &c), 0);
    CU_ASSERT_EQUAL(mr_poll(loops[RING_WORLD_CLIENT], p, 2, 5000), 1);
    CU_ASSERT_EQUAL(p[0].revents, POLLIN);
    pthread_join(thread, NULL);
    CU_ASSERT_EQUAL(read(pipe_fd[0], &c, 1), 1);
    CU_ASSERT_EQUAL(mr_sock_write(peers[0], "y", 1), 1);
    (void)mr_loop_run_once(loops[RING_WORLD_SERVER], 0);
    CU_ASSERT_EQUAL(mr_poll(loops[RING_WORLD_CLIENT], p, 2, 5000), 1);
    CU_ASSERT_EQUAL(p[1].revents, POLLIN);
    CU_ASSERT_EQUAL(p[0].revents, 0);
    struct mr_sock *want[1] = {streams[0]};
    size_t count = 1;
    CU_ASSERT_EQUAL(mr_wait_for_readiness(loops[RING_WORLD_CLIENT], want, &count, NULL, NULL, 5000),
                    1);
    CU_ASSERT_EQUAL(count, 1);
    CU_ASSERT_PTR_EQUAL(mr_sock_loop(streams[0]), loops[RING_WORLD_CLIENT]);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
    close_ends(1);
}

static void a_loop_that_is_freed_leaves_sockets_that_say_so(void)
{
    start(5);
    open_ends();
    open_streams(2);
    mr_loop_free(loops[RING_WORLD_CLIENT]);
    char c;
    CU_ASSERT_EQUAL(mr_sock_read(streams[0], &c, 1), -ENOTCONN);
    CU_ASSERT_EQUAL(mr_sock_write(streams[0], &c, 1), -EPIPE);
    mr_sock_close(streams[0], 0);
    mr_sock_close(streams[1], 0);
    mr_sock_close(conns[RING_WORLD_CLIENT], 0);
    while ((mr_sock_ready(conns[RING_WORLD_SERVER]) & POLLHUP) == 0)
        (void)mr_loop_run_once(loops[RING_WORLD_SERVER], 100000);
    mr_sock_close(conns[RING_WORLD_SERVER], 0);
    mr_sock_close(peers[0], 0);
    mr_sock_close(peers[1], 0);
    mr_sock_close(listener, 0);
    mr_loop_free(loops[RING_WORLD_SERVER]);
    ring_world_free(world);
}

/* The loop says it once, and perhaps to somebody else; a wait that came later would never end. */
static void a_wait_for_nothing_says_that_the_datapath_is_gone(void)
{
    struct mr_pollset_event event;
    struct mr_pollset *set;
    int result = 0;

    start(6);
    open_ends();
    CU_ASSERT_EQUAL(mr_pollset_new(loops[RING_WORLD_CLIENT], &set), 0);
    ring_world_die(world, attachments[RING_WORLD_CLIENT]);
    while (result >= 0)
        result = mr_loop_run_once(loops[RING_WORLD_CLIENT], 100 * MS);
    CU_ASSERT_EQUAL(result, -ENOTCONN);
    CU_ASSERT_EQUAL(mr_pollset_wait(set, &event, 1, 2000), -ENOTCONN);
    CU_ASSERT_EQUAL(mr_pollset_wait(set, &event, 1, 0), 0); /* which does not wait */
    mr_pollset_free(set);
    close_ends(0);
}

static CU_TestInfo tests[] = {
    {"M7 T1 threads serve a connection each, blocking", threads_serve_a_connection_each},
    {"T1 a thread is started for each connection", a_thread_is_started_for_each_connection},
    {"a wait for nothing says that the datapath is gone",
     a_wait_for_nothing_says_that_the_datapath_is_gone},
    {"T14 one descriptor stands for more handles than select() holds",
     one_descriptor_stands_for_more_handles_than_select_holds},
    {"T15 a pipe and a stream in one poll", a_pipe_and_a_stream_in_one_poll},
    {"a loop that is freed leaves sockets that say so",
     a_loop_that_is_freed_leaves_sockets_that_say_so},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/socket, loops", .pSetUpFunc = loop_backend_epoll, .pTests = tests},
    {.pName = "app/socket, loops, io_uring", .pSetUpFunc = loop_backend_uring, .pTests = tests},
    CU_SUITE_INFO_NULL,
};
