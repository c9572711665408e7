/* Tests of how a loop waits (app/loop_epoll.c, loop_uring.c): descriptors of all kinds, over both.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "app/loop_internal.h"
#include "tests/unit/loop_backend.h"

#define MS UINT64_C(1000000)

static struct mr_loop *loop;
static uint32_t timer_calls;

static void open_loop(struct mr_loop_config config)
{
    config.is_detached = true;
    CU_ASSERT_EQUAL_FATAL(loop_backend_new(&config, &loop), 0);
}

struct ear {
    uint32_t calls;
    uint32_t events;
    int fd;
    bool reads;
};

static void hear(void *context, uint32_t events)
{
    struct ear *ear = context;
    char bytes[64];

    ear->calls++;
    ear->events = events;
    if (ear->reads)
        CU_ASSERT(read(ear->fd, bytes, sizeof(bytes)) > 0);
}

static void watch(struct ear *ear, uint32_t events)
{
    CU_ASSERT_EQUAL(mr_loop_watch(loop, ear->fd, events, events == 0 ? NULL : hear, ear), 0);
}

static void put(int fd, const char *text)
{
    CU_ASSERT_EQUAL(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* ------------------------------------------------------------------ descriptors */

enum kind {
    PIPE,
    STREAM_SOCKET,
    DATAGRAM_SOCKET,
    EVENTFD,
    TIMERFD,
    EPOLL,
    KINDS
};

/* Two ends: what is written to the second, or done to it, makes the first readable. */
static void make_ends(enum kind kind, int *ends)
{
    ends[1] = -1;
    switch (kind) {
    case PIPE:
        CU_ASSERT_EQUAL(pipe(ends), 0);
        break;
    case STREAM_SOCKET:
        CU_ASSERT_EQUAL(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        break;
    case DATAGRAM_SOCKET:
        CU_ASSERT_EQUAL(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
        break;
    case TIMERFD:
        ends[0] = timerfd_create(CLOCK_MONOTONIC, 0);
        break;
    case EPOLL:
        ends[0] = epoll_create1(0);
        ends[1] = eventfd(0, 0);
        CU_ASSERT_EQUAL(
            epoll_ctl(ends[0], EPOLL_CTL_ADD, ends[1], &(struct epoll_event){.events = EPOLLIN}),
            0);
        break;
    default:
        ends[0] = eventfd(0, 0);
        break;
    }
}

static void make_ready(enum kind kind, const int *ends)
{
    uint64_t one = 1;

    if (kind == TIMERFD)
        timerfd_settime(ends[0], 0, &(struct itimerspec){.it_value.tv_nsec = 1000000}, NULL);
    else
        CU_ASSERT_EQUAL(write(ends[ends[1] >= 0], &one, sizeof(one)), 8);
}

static void make_unready(enum kind kind, const int *ends)
{
    uint64_t value;

    CU_ASSERT_EQUAL(read(ends[kind == EPOLL], &value, sizeof(value)), 8);
}

static void all_kinds_of_descriptors_are_told_level_triggered(void)
{
    open_loop((struct mr_loop_config){0});
    for (enum kind kind = 0; kind < KINDS; kind++) {
        struct ear ear = {0};
        int ends[2];

        make_ends(kind, ends);
        ear.fd = ends[0];
        watch(&ear, POLLIN);
        CU_ASSERT_EQUAL(mr_loop_run_once(loop, 0), 0);
        for (uint32_t round = 0; round < 2; round++) {
            make_ready(kind, ends);
            for (uint32_t i = 1; i <= 3; i++) {
                CU_ASSERT_EQUAL(mr_loop_run_once(loop, MR_FOREVER), 1);
                CU_ASSERT_EQUAL(ear.calls, 3 * round + i);
                CU_ASSERT_EQUAL(ear.events, POLLIN);
            }
            make_unready(kind, ends);
            CU_ASSERT_EQUAL(mr_loop_run_once(loop, 0), 0);
            CU_ASSERT_EQUAL(mr_loop_run_once(loop, MS), 0);
        }
        watch(&ear, 0);
        make_ready(kind, ends);
        CU_ASSERT_EQUAL(mr_loop_run_once(loop, 2 * MS), 0);
        close(ends[0]);
        if (ends[1] >= 0)
            close(ends[1]);
    }
    mr_loop_free(loop);
}

/* Ready before the round, and not any more when it comes to it: nobody may be told, who could block
 * reading. */
static void what_was_ready_and_is_not_any_more_is_not_told(void)
{
    struct ear ear = {0};
    int ends[2];

    open_loop((struct mr_loop_config){0});
    make_ends(PIPE, ends);
    ear.fd = ends[0];
    watch(&ear, POLLIN);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(mr_loop_run_once(loop, 0), 0);
        make_ready(PIPE, ends);
        make_unready(PIPE, ends);
    }
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, MS), 0);
    make_ready(PIPE, ends);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, 5000 * MS), 1);
    watch(&ear, 0);
    close(ends[0]);
    close(ends[1]);
    mr_loop_free(loop);
}

static void what_is_asked_for_can_be_changed_at_any_time(void)
{
    struct ear ear = {0};
    int ends[2];

    open_loop((struct mr_loop_config){0});
    make_ends(STREAM_SOCKET, ends);
    ear.fd = ends[0];
    watch(&ear, POLLIN);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, 0), 0); /* the kernel has it */
    watch(&ear, POLLOUT);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, 5000 * MS), 1);
    CU_ASSERT_EQUAL(ear.events, POLLOUT);
    put(ends[1], "x");
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, 5000 * MS), 1);
    CU_ASSERT_EQUAL(ear.events, POLLOUT);
    watch(&ear, POLLIN | POLLOUT);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, 5000 * MS), 1);
    CU_ASSERT_EQUAL(ear.events, POLLIN | POLLOUT);
    watch(&ear, POLLPRI);
    watch(&ear, POLLOUT);
    watch(&ear, POLLPRI);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, 2 * MS), 0);
    shutdown(ends[1], SHUT_WR);
    watch(&ear, POLLRDHUP);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, 5000 * MS), 1);
    CU_ASSERT_EQUAL(ear.events, POLLRDHUP);
    watch(&ear, 0);
    close(ends[0]);
    close(ends[1]);
    mr_loop_free(loop);
}

static bool is_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

static void a_watch_that_is_changed_or_ended_wakes_nobody(void)
{
    struct ear ear = {0};
    int ends[2];

    open_loop((struct mr_loop_config){0});
    int fd = mr_loop_fd(loop);
    make_ends(STREAM_SOCKET, ends);
    ear.fd = ends[0];
    watch(&ear, POLLIN);
    while (mr_exec_poll(loop) == 0)
        continue;
    watch(&ear, POLLPRI);
    CU_ASSERT(!is_readable(fd));
    put(ends[1], "x");
    CU_ASSERT(!is_readable(fd));
    watch(&ear, POLLIN);
    CU_ASSERT(is_readable(fd));
    watch(&ear, POLLPRI);
    (void)mr_exec_poll(loop);
    CU_ASSERT(!is_readable(fd));
    watch(&ear, 0);
    CU_ASSERT(!is_readable(fd));
    CU_ASSERT_EQUAL(ear.calls, 0);
    close(ends[0]);
    close(ends[1]);
    mr_loop_free(loop);
}

/* io_uring tells of POLLRDHUP unasked. */
static void a_half_closed_socket_is_told_of_what_was_asked_for_and_does_not_spin(void)
{
    struct mr_loop_stats before, after;
    struct ear ear = {0};
    char bytes[4096] = {0};
    int ends[2];

    open_loop((struct mr_loop_config){0});
    make_ends(STREAM_SOCKET, ends);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    while (write(ends[0], bytes, sizeof(bytes)) > 0)
        continue;
    ear.fd = ends[0];
    watch(&ear, POLLOUT);
    shutdown(ends[1], SHUT_WR);
    for (uint32_t i = 0; i < 3; i++) { /* again and again: full, not full */
        mr_loop_stats_get(loop, &before);
        CU_ASSERT_EQUAL(mr_loop_run_once(loop, 20 * MS), 0);
        mr_loop_stats_get(loop, &after);
        CU_ASSERT(after.rounds - before.rounds < 10);
        while (recv(ends[1], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
            continue;
        CU_ASSERT_EQUAL(mr_loop_run_once(loop, 5000 * MS), 1);
        CU_ASSERT_EQUAL(mr_loop_run_once(loop, 5000 * MS), 1);
        CU_ASSERT_EQUAL(ear.calls, 2 * i + 2);
        CU_ASSERT_EQUAL(ear.events, POLLOUT);
        while (write(ends[0], bytes, sizeof(bytes)) > 0)
            continue;
    }
    watch(&ear, 0);
    close(ends[0]);
    close(ends[1]);
    mr_loop_free(loop);
}

enum {
    MANY = 2000
};

static struct ear ears[MANY];

static void hear_once(void *context, uint32_t events)
{
    struct ear *ear = context;
    uint64_t value;

    ear->calls++;
    ear->events |= events;
    CU_ASSERT_EQUAL(read(ear->fd, &value, sizeof(value)), 8);
}

/* Make every `step`-th ready; each is told once, the others never. */
static void tell_some(uint32_t step)
{
    uint64_t one = 1;
    uint32_t want = 0;
    int got = 0;

    for (uint32_t i = 0; i < MANY; i++)
        ears[i].calls = 0;
    for (uint32_t i = 0; i < MANY; i += step, want++)
        CU_ASSERT_EQUAL(write(ears[i].fd, &one, sizeof(one)), 8);
    while (got < (int)want) {
        int result = mr_loop_run_once(loop, 5000 * MS);
        CU_ASSERT_FATAL(result > 0 && result <= 64);
        got += result;
    }
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, MS), 0);
    for (uint32_t i = 0; i < MANY; i++)
        CU_ASSERT_EQUAL(ears[i].calls, i % step == 0);
}

static void two_thousand_descriptors_are_told_each(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < MANY + 100) {
        mr_test_skip("only %lu descriptors (ulimit -n)", (unsigned long)limit.rlim_max);
        return;
    }
    open_loop((struct mr_loop_config){0});
    for (uint32_t i = 0; i < MANY; i++) {
        ears[i].fd = eventfd(0, EFD_NONBLOCK);
        CU_ASSERT_EQUAL(mr_loop_watch(loop, ears[i].fd, POLLIN, hear_once, &ears[i]), 0);
    }
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, 0), 0);
    tell_some(1); /* more than are kept in a ring */
    tell_some(1);
    tell_some(7);
    tell_some(1999);
    for (uint32_t i = 0; i < MANY; i++) {
        CU_ASSERT_EQUAL(mr_loop_watch(loop, ears[i].fd, 0, NULL, NULL), 0);
        close(ears[i].fd);
    }
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, 0), 0);
    mr_loop_free(loop);
}

static void waits_end_to_the_microsecond(void)
{
    uint64_t best = UINT64_MAX;

    open_loop((struct mr_loop_config){0});
    for (int i = 0; i < 50; i++) {
        uint64_t begin = mr_loop_clock();
        CU_ASSERT_EQUAL(mr_loop_run_once(loop, 300000), 0);
        uint64_t took = mr_loop_clock() - begin;
        CU_ASSERT(took >= 300000);
        best = MR_MIN(best, took);
    }
    CU_ASSERT(best < 900000); /* no milliseconds */
    mr_loop_free(loop);
}

static void ignore_signal(int number)
{
    (void)number;
}

static void a_signal_ends_a_wait(void)
{
    struct sigaction action = {.sa_handler = ignore_signal};
    struct itimerval soon = {.it_value.tv_usec = 20000};
    struct ear ear = {0};
    int ends[2];

    open_loop((struct mr_loop_config){0});
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &soon, NULL);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, MR_FOREVER), -EINTR);
    make_ends(PIPE, ends);
    ear.fd = ends[0];
    watch(&ear, POLLIN); /* there is something to be said to the kernel */
    setitimer(ITIMER_REAL, &soon, NULL);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, MR_FOREVER), -EINTR);
    watch(&ear, POLLIN);
    setitimer(ITIMER_REAL, &soon, NULL);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, 10000 * MS), -EINTR);
    watch(&ear, 0);
    close(ends[0]);
    close(ends[1]);
    mr_loop_free(loop);
}

enum {
    FDS = 256
};

/* The first descriptors that are open. */
static void list_fds(bool *is_open)
{
    for (int fd = 0; fd < FDS; fd++)
        is_open[fd] = fcntl(fd, F_GETFD) >= 0;
}

static void its_descriptors_are_closed_by_exec_and_at_its_end(void)
{
    bool before[FDS], within[FDS], after[FDS];
    uint32_t count = 0;

    list_fds(before);
    open_loop((struct mr_loop_config){0});
    (void)mr_loop_fd(loop);
    (void)mr_exec_poll(loop);
    list_fds(within);
    for (int fd = 0; fd < FDS; fd++) {
        if (within[fd] && !before[fd]) {
            count++;
            CU_ASSERT_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
        }
    }
    CU_ASSERT(count >= 3);
    mr_loop_free(loop);
    list_fds(after);
    CU_ASSERT_EQUAL(memcmp(before, after, sizeof(before)), 0);
}

/* Two are ready in one wait.  The handler that comes first ends both watches, and a descriptor that
 * is not ready gets the other one's number. */
static struct {
    int ends[2];
    int quiet;
    uint32_t firsts;
    struct ear other;
} number;

static void take_its_number(void *context, uint32_t events)
{
    int closed = context == &number.ends[0] ? number.ends[1] : number.ends[0];

    (void)events;
    if (number.firsts++ > 0)
        return;
    for (int i = 0; i < 2; i++)
        CU_ASSERT_EQUAL(mr_loop_watch(loop, number.ends[i], 0, NULL, NULL), 0);
    close(closed);
    number.other.fd = dup2(number.quiet, closed);
    CU_ASSERT_EQUAL(number.other.fd, closed);
    watch(&number.other, POLLIN);
}

static void a_new_watch_does_not_get_what_came_for_its_number(void)
{
    int pipes[3][2];

    open_loop((struct mr_loop_config){0});
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL_FATAL(pipe(pipes[i]), 0);
    memset(&number, 0, sizeof(number));
    number.quiet = pipes[2][0];
    for (int i = 0; i < 2; i++) {
        number.ends[i] = pipes[i][0];
        CU_ASSERT_EQUAL(mr_loop_watch(loop, pipes[i][0], POLLIN, take_its_number, &number.ends[i]),
                        0);
        put(pipes[i][1], "x");
    }
    for (int i = 0; i < 3; i++)
        (void)mr_loop_run_once(loop, MS);
    CU_ASSERT_EQUAL(number.firsts, 1);
    CU_ASSERT_EQUAL(number.other.calls, 0);
    put(pipes[2][1], "x");
    (void)mr_loop_run_once(loop, 100 * MS);
    CU_ASSERT_EQUAL(number.other.calls, 1);
    mr_loop_free(loop);
    for (int i = 0; i < 3; i++) {
        close(pipes[i][0]);
        close(pipes[i][1]);
    }
}

static void set_again(void *context)
{
    (void)context;
    timer_calls++;
    CU_ASSERT_NOT_EQUAL(mr_loop_timer(loop, 5 * MS, set_again, NULL), 0);
}

/* Who waits for the descriptor alone hears of a timer that a handler has set. */
static void a_timer_of_a_handler_makes_the_descriptor_readable(void)
{
    open_loop((struct mr_loop_config){0});
    struct pollfd readable = {.fd = mr_loop_fd(loop), .events = POLLIN};

    timer_calls = 0;
    CU_ASSERT_NOT_EQUAL(mr_loop_timer(loop, 5 * MS, set_again, NULL), 0);
    for (int i = 0; i < 50 && timer_calls < 3; i++) {
        CU_ASSERT_EQUAL_FATAL(poll(&readable, 1, 5000), 1);
        (void)mr_exec_poll(loop);
    }
    CU_ASSERT_EQUAL(timer_calls, 3);
    mr_loop_free(loop);
}

static void a_number_that_is_no_descriptor_is_refused(void)
{
    struct ear ear = {0};

    open_loop((struct mr_loop_config){0});
    CU_ASSERT_EQUAL(mr_loop_watch(loop, 50000000, POLLIN, hear, &ear), -EBADF);
    CU_ASSERT_EQUAL(mr_loop_watch(loop, -1, POLLIN, hear, &ear), -EBADF);
    CU_ASSERT(loop->watches.count < 50000000); /* and no memory is taken for it */
    mr_loop_free(loop);
}

static CU_TestInfo tests[] = {
    {"T23 M15 all kinds of descriptors are told, level triggered",
     all_kinds_of_descriptors_are_told_level_triggered},
    {"T23 what was ready and is not any more is not told",
     what_was_ready_and_is_not_any_more_is_not_told},
    {"T23 what is asked for can be changed at any time",
     what_is_asked_for_can_be_changed_at_any_time},
    {"T14 T23 a watch that is changed or ended wakes nobody",
     a_watch_that_is_changed_or_ended_wakes_nobody},
    {"T23 a half closed socket is told of what was asked for, and does not spin",
     a_half_closed_socket_is_told_of_what_was_asked_for_and_does_not_spin},
    {"T15 T23 a new watch does not get what came for its number",
     a_new_watch_does_not_get_what_came_for_its_number},
    {"T14 a timer of a handler makes the descriptor readable",
     a_timer_of_a_handler_makes_the_descriptor_readable},
    {"a number that is no descriptor is refused", a_number_that_is_no_descriptor_is_refused},
    {"T23 two thousand descriptors are told each", two_thousand_descriptors_are_told_each},
    {"T23 waits end to the microsecond", waits_end_to_the_microsecond},
    {"T23 a signal ends a wait", a_signal_ends_a_wait},
    {"T23 its descriptors are closed by exec, and at its end",
     its_descriptors_are_closed_by_exec_and_at_its_end},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/loop, waiting", .pSetUpFunc = loop_backend_epoll, .pTests = tests},
    {.pName = "app/loop, waiting, io_uring", .pSetUpFunc = loop_backend_uring, .pTests = tests},
    CU_SUITE_INFO_NULL,
};
