/* Tests of millrace/loop.h: timers, descriptors, own entries, waiting, stalls; one thread. */
#include "millrace/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "app/loop_internal.h"
#include "tests/unit/harness.h"
#include "tests/unit/loop_backend.h"

#define MS UINT64_C(1000000)

static struct mr_loop *loop;

static void open_loop(struct mr_loop_config config)
{
    config.is_detached = true;
    CU_ASSERT_EQUAL_FATAL(loop_backend_new(&config, &loop), 0);
}

static uint32_t thread_count(void)
{
    char line[128];
    unsigned count = 0;
    FILE *file = fopen("/proc/self/status", "r");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    while (fgets(line, sizeof(line), file) != NULL)
        (void)sscanf(line, "Threads: %u", &count);
    fclose(file);
    return count;
}

static void sleep_ns(uint64_t ns)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)ns}, NULL);
}

/* ------------------------------------------------------------------ timers */

struct wait {
    uint64_t due; /* earliest */
    uint64_t called;
    mr_timer timer;
};

static uint32_t called;

static void note_time(void *context)
{
    struct wait *w = context;

    w->called = mr_loop_clock();
    called++;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

enum {
    TIMERS = 200,
    ROUNDS = 10
};

/* Timers of 0 to 20 ms.  How late the tenth of them was at most that was the most punctual: of
 * others that use this machine, the median knows little. */
static uint64_t lateness(void)
{
    static struct wait waits[TIMERS];
    uint64_t late[TIMERS];

    called = 0;
    for (uint64_t i = 0; i < TIMERS; i++) {
        uint64_t delay = (i * 7919 % TIMERS) * 100000;
        waits[i].due = mr_loop_clock() + delay;
        waits[i].timer = mr_loop_timer(loop, delay, note_time, &waits[i]);
        CU_ASSERT_NOT_EQUAL(waits[i].timer, 0);
    }
    while (called < TIMERS)
        CU_ASSERT_FATAL(mr_loop_run_once(loop, MR_FOREVER) >= 0);
    for (int i = 0; i < TIMERS; i++) {
        CU_ASSERT(waits[i].called >= waits[i].due);
        late[i] = waits[i].called - waits[i].due;
    }
    qsort(late, TIMERS, sizeof(late[0]), by_value);
    return late[TIMERS / 10];
}

static void timers_are_never_early_and_hardly_late(void)
{
    static struct wait later;
    uint64_t best = UINT64_MAX;

    open_loop((struct mr_loop_config){0});
    for (int round = 0; round < ROUNDS && best >= 2 * MS; round++)
        best = MR_MIN(best, lateness());
    CU_ASSERT(best < 2 * MS);
    CU_ASSERT_NOT_EQUAL(mr_loop_timer(loop, 300 * MS, note_time, &later), 0);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, MR_FOREVER), 1); /* one wait, whatever the wheel does */
    mr_loop_free(loop);
}

static void cancel_the_context(void *context)
{
    mr_timer *other = context;

    called++;
    CU_ASSERT(mr_loop_cancel(loop, *other));
}

static void a_cancelled_timer_is_not_called(void)
{
    static struct wait w;
    mr_timer second;

    open_loop((struct mr_loop_config){.timers_max = 2});
    called = 0;
    mr_timer timer = mr_loop_timer(loop, MS, note_time, &w);
    second = mr_loop_timer(loop, MS, note_time, &w);
    CU_ASSERT_EQUAL(mr_loop_timer(loop, MS, note_time, &w), 0); /* none is free */
    CU_ASSERT(mr_loop_cancel(loop, timer));
    CU_ASSERT(!mr_loop_cancel(loop, timer));
    CU_ASSERT(!mr_loop_cancel(loop, 0));
    CU_ASSERT(!mr_loop_cancel(loop, UINT64_MAX));
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, 5000 * MS), 1);
    CU_ASSERT_EQUAL(called, 1);
    CU_ASSERT(!mr_loop_cancel(loop, second)); /* called already */

    timer = mr_loop_timer(loop, 0, cancel_the_context, &second); /* both due in the same tick */
    second = mr_loop_timer(loop, 0, note_time, &w);
    sleep_ns(MS);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, 5000 * MS), 1);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, 2 * MS), 0);
    CU_ASSERT_EQUAL(called, 2);
    CU_ASSERT(!mr_loop_cancel(loop, timer)); /* a new one has its place, perhaps */
    mr_loop_free(loop);
}

static void count_call(void *context)
{
    (*(uint32_t *)context)++;
}

/* Whoever keeps the name of a timer that is over does no harm to the next one in its place. */
static void a_stale_name_cancels_no_other_timer(void)
{
    uint32_t calls = 0;

    open_loop((struct mr_loop_config){.timers_max = 1});
    mr_timer stale = mr_loop_timer(loop, MS, count_call, &calls);
    CU_ASSERT(mr_loop_cancel(loop, stale));
    for (int i = 0; i < 3; i++) { /* the only place there is */
        mr_timer timer = mr_loop_timer(loop, 0, count_call, &calls);
        CU_ASSERT_NOT_EQUAL(timer, stale);
        CU_ASSERT(!mr_loop_cancel(loop, stale));
        CU_ASSERT_EQUAL(mr_loop_run_once(loop, 5000 * MS), 1);
        CU_ASSERT(!mr_loop_cancel(loop, timer));
        stale = timer;
    }
    CU_ASSERT_EQUAL(calls, 3);
    mr_loop_free(loop);
}

static void a_million_timers_are_no_burden(void)
{
    enum {
        COUNT = 1000000
    };
    uint32_t calls = 0;
    uint32_t cancelled = 0;
    mr_timer *timers = malloc(sizeof(*timers) * COUNT);

    CU_ASSERT_PTR_NOT_NULL_FATAL(timers);
    open_loop((struct mr_loop_config){.timers_max = COUNT});
    uint64_t begin = mr_loop_clock();
    for (uint64_t i = 0; i < COUNT; i++) /* half within 50 ms, half in an hour */
        timers[i] = mr_loop_timer(loop, i % 2 == 0 ? i * 50 : 3600000 * MS, count_call, &calls);
    CU_ASSERT_NOT_EQUAL(timers[COUNT - 1], 0);
    CU_ASSERT_EQUAL(mr_loop_timer(loop, 0, count_call, &calls), 0);
    while (calls < COUNT / 2)
        CU_ASSERT_FATAL(mr_loop_run_once(loop, MR_FOREVER) >= 0);
    for (uint64_t i = 0; i < COUNT; i++)
        cancelled += mr_loop_cancel(loop, timers[i]);
    CU_ASSERT_EQUAL(calls, COUNT / 2);
    CU_ASSERT_EQUAL(cancelled, COUNT / 2);
    printf("# 1M timers set, 500k expired, 500k cancelled in %.0f ms\n",
           (double)(mr_loop_clock() - begin) / 1e6);
    free(timers);
    mr_loop_free(loop);
}

/* ------------------------------------------------------------------ descriptors */

struct fd_wait {
    uint32_t calls;
    uint32_t events;
    int fd;
    bool reads;
};

static void note_events(void *context, uint32_t events)
{
    struct fd_wait *w = context;
    char bytes[8];

    w->calls++;
    w->events = events;
    if (w->reads)
        CU_ASSERT(read(w->fd, bytes, sizeof(bytes)) >= 0);
}

static void it_watches_pipes_sockets_and_timerfds(void)
{
    struct fd_wait in = {0}, out = {0}, clock = {.reads = true};
    int fds[2];

    open_loop((struct mr_loop_config){0});
    CU_ASSERT_EQUAL_FATAL(pipe(fds), 0);
    clock.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    timerfd_settime(clock.fd, 0, &(struct itimerspec){.it_value.tv_nsec = 1000000}, NULL);
    in.fd = fds[0];
    CU_ASSERT_EQUAL(mr_loop_watch(loop, fds[0], POLLIN, note_events, &in), 0);
    CU_ASSERT_EQUAL(mr_loop_watch(loop, fds[1], POLLOUT, note_events, &out), 0);
    CU_ASSERT_EQUAL(mr_loop_watch(loop, clock.fd, POLLIN, note_events, &clock), 0);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, MR_FOREVER), 1);
    CU_ASSERT_EQUAL(out.events, POLLOUT);
    CU_ASSERT_EQUAL(mr_loop_watch(loop, fds[1], 0, NULL, NULL), 0);
    CU_ASSERT_EQUAL(mr_loop_watch(loop, fds[1], 0, NULL, NULL), -ENOENT);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, MR_FOREVER), 1);
    CU_ASSERT_EQUAL(clock.calls, 1);
    CU_ASSERT_EQUAL(write(fds[1], "xy", 2), 2);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, MR_FOREVER), 1);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, MR_FOREVER), 1); /* level triggered */
    in.reads = true;
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, MR_FOREVER), 1);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, 0), 0);
    close(fds[1]);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, MR_FOREVER), 1);
    CU_ASSERT_EQUAL(in.events, POLLHUP);
    CU_ASSERT_EQUAL(in.calls, 4);
    close(fds[0]); /* closed, and its number used again: watched anew */
    CU_ASSERT_EQUAL_FATAL(pipe(fds), 0);
    in.fd = fds[0];
    CU_ASSERT_EQUAL(mr_loop_watch(loop, fds[0], POLLIN, note_events, &in), 0);
    CU_ASSERT_EQUAL(write(fds[1], "z", 1), 1);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, 100 * MS), 1);
    close(fds[0]);
    close(fds[1]);
    close(clock.fd);
    mr_loop_free(loop);
}

static void a_regular_file_cannot_be_watched(void)
{
    struct fd_wait w = {0};
    FILE *file = tmpfile();

    open_loop((struct mr_loop_config){0});
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(mr_loop_watch(loop, fileno(file), POLLIN, note_events, &w), -EPERM);
    CU_ASSERT_EQUAL(mr_loop_watch(loop, fileno(file), 0, NULL, NULL), -ENOENT);
    CU_ASSERT_EQUAL(mr_loop_watch(loop, -1, POLLIN, note_events, &w), -EBADF);
    CU_ASSERT_EQUAL(mr_loop_watch(loop, 0, POLLNVAL, note_events, &w), -EINVAL);
    CU_ASSERT_EQUAL(mr_loop_watch(loop, 0, POLLIN, NULL, &w), -EINVAL);
    fclose(file);
    mr_loop_free(loop);
}

static struct fd_wait others[2];
static int other_fds[2];

/* Ends the watch of the other descriptor, which has events in the same batch. */
static void end_the_other(void *context, uint32_t events)
{
    struct fd_wait *w = context;

    (void)events;
    w->calls++;
    (void)mr_loop_watch(loop, other_fds[w == &others[0]], 0, NULL, NULL);
}

static void a_watch_that_was_ended_is_not_told_of_the_same_batch(void)
{
    int a[2], b[2];

    memset(others, 0, sizeof(others));
    open_loop((struct mr_loop_config){0});
    CU_ASSERT_EQUAL_FATAL(pipe(a), 0);
    CU_ASSERT_EQUAL_FATAL(pipe(b), 0);
    other_fds[0] = a[0];
    other_fds[1] = b[0];
    for (int i = 0; i < 2; i++)
        CU_ASSERT_EQUAL(mr_loop_watch(loop, other_fds[i], POLLIN, end_the_other, &others[i]), 0);
    CU_ASSERT_EQUAL(write(a[1], "x", 1) + write(b[1], "x", 1), 2);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, MR_FOREVER), 1);
    CU_ASSERT_EQUAL(others[0].calls + others[1].calls, 1);
    mr_loop_free(loop);
    for (int i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
    }
}

/* ------------------------------------------------------------------ the queue */

static char order[64];

static void append(void *argument)
{
    strcat(order, argument);
}

struct own_entry {
    struct mr_loop_entry entry;
    char name[2];
};

static void append_own(struct mr_loop_entry *entry)
{
    strcat(order, ((struct own_entry *)entry)->name);
}

static void post_again(void *argument)
{
    append(argument);
    (void)mr_loop_post(loop, append, "Z");
}

static void own_entries_and_posts_share_a_queue_in_order(void)
{
    struct own_entry own[2] = {{.entry = {.handler = append_own}, .name = "b"},
                               {.entry = {.handler = append_own}, .name = "d"}};

    open_loop((struct mr_loop_config){0});
    order[0] = '\0';
    CU_ASSERT_EQUAL(mr_loop_post(loop, post_again, "a"), 0);
    mr_loop_post_entry(loop, &own[0].entry);
    CU_ASSERT_EQUAL(mr_loop_post(loop, append, "c"), 0);
    mr_loop_post_entry(loop, &own[1].entry);
    CU_ASSERT_STRING_EQUAL(order, ""); /* never inside the call */
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, MR_FOREVER), 5);
    CU_ASSERT_STRING_EQUAL(order, "abcdZ");
    mr_loop_post_entry(loop, &own[1].entry); /* the application's again */
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, MR_FOREVER), 1);
    CU_ASSERT_STRING_EQUAL(order, "abcdZd");
    mr_loop_free(loop);
}

enum {
    MORE = 40 /* than a batch */
};

/* A call of mr_exec_poll() takes at most two batches of a kind, as it looks twice; it is asked for
 * again while there are more. */
static void poll_in_batches(const uint32_t *calls, uint32_t batches)
{
    for (uint32_t before = 0; *calls < MORE; before = *calls) {
        uint64_t wait = mr_exec_poll(loop);

        CU_ASSERT_FATAL(*calls > before);
        CU_ASSERT(*calls - before <= 8 * batches);
        CU_ASSERT(wait == 0 || *calls == MORE);
    }
    CU_ASSERT_EQUAL(*calls, MORE);
    while (mr_exec_poll(loop) == 0)
        continue;
    CU_ASSERT_EQUAL(*calls, MORE);
}

static void read_and_count(void *context, uint32_t events)
{
    struct fd_wait *w = context;
    char byte;

    w->events = events;
    CU_ASSERT_EQUAL(read(w->fd, &byte, 1), 1);
    called++;
}

static void each_kind_is_taken_in_batches(void)
{
    struct fd_wait in[MORE];
    uint32_t calls = 0;
    int ends[MORE][2];

    open_loop((struct mr_loop_config){.batch = 8});
    for (int i = 0; i < MORE; i++)
        CU_ASSERT_EQUAL(mr_loop_post(loop, count_call, &calls), 0);
    poll_in_batches(&calls, 2);
    calls = 0;
    for (int i = 0; i < MORE; i++)
        CU_ASSERT_NOT_EQUAL(mr_loop_timer(loop, 0, count_call, &calls), 0);
    sleep_ns(MS);
    poll_in_batches(&calls, 2);
    called = 0;
    for (int i = 0; i < MORE; i++) {
        CU_ASSERT_EQUAL_FATAL(pipe(ends[i]), 0);
        in[i] = (struct fd_wait){.fd = ends[i][0]};
        CU_ASSERT_EQUAL(mr_loop_watch(loop, ends[i][0], POLLIN, read_and_count, &in[i]), 0);
        CU_ASSERT_EQUAL(write(ends[i][1], "x", 1), 1);
    }
    poll_in_batches(&called, 1);
    mr_loop_free(loop);
    for (int i = 0; i < MORE; i++) {
        close(ends[i][0]);
        close(ends[i][1]);
    }
}

static void a_round_takes_a_batch_of_each(void)
{
    uint32_t calls = 0;

    open_loop((struct mr_loop_config){.batch = 8});
    for (int i = 0; i < 20; i++)
        CU_ASSERT_EQUAL(mr_loop_post(loop, count_call, &calls), 0);
    for (int i = 0; i < 20; i++)
        CU_ASSERT_NOT_EQUAL(mr_loop_timer(loop, 0, count_call, &calls), 0);
    sleep_ns(MS);
    CU_ASSERT_EQUAL(mr_exec_poll(loop), 0); /* more is there: call again */
    CU_ASSERT(calls >= 8 && calls <= 32);
    uint32_t polls = 1;
    while (mr_exec_poll(loop) == 0)
        polls++;
    CU_ASSERT(polls >= 3);
    CU_ASSERT_EQUAL(calls, 40);
    mr_loop_free(loop);
}

/* ------------------------------------------------------------------ waiting */

static void exec_poll_says_how_long_to_wait(void)
{
    uint32_t calls = 0;
    uint32_t polls = 0;

    open_loop((struct mr_loop_config){0});
    CU_ASSERT_EQUAL(mr_exec_poll(loop), MR_FOREVER);
    mr_timer timer = mr_loop_timer(loop, 10000 * MS, count_call, &calls);
    uint64_t wait = mr_exec_poll(loop);
    CU_ASSERT(wait > 0 && wait <= 10001 * MS);
    CU_ASSERT_EQUAL(calls, 0);
    CU_ASSERT(mr_loop_cancel(loop, timer));
    uint64_t begin = mr_loop_clock();
    timer = mr_loop_timer(loop, 50 * MS, count_call, &calls);
    while (calls == 0) { /* honour it, and never be late or early */
        wait = mr_exec_poll(loop);
        polls++;
        if (wait > 0 && wait != MR_FOREVER)
            sleep_ns(wait);
    }
    CU_ASSERT(mr_loop_clock() - begin >= 50 * MS);
    CU_ASSERT(polls <= 16); /* a wheel has eight levels, each may ask for a call */
    CU_ASSERT(!mr_loop_cancel(loop, timer));
    CU_ASSERT_EQUAL(mr_loop_post(loop, count_call, &calls), 0);
    CU_ASSERT_EQUAL(mr_exec_poll(loop), 0);
    CU_ASSERT_EQUAL(mr_exec_poll(loop), MR_FOREVER);
    mr_loop_free(loop);
}

/* Wait for the loop's descriptor with one of the kernel's ways: how many are ready, or -1. */
static int wait_once(int how, int fd, int timeout_ms)
{
    if (how == 0) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        return poll(&p, 1, timeout_ms);
    }
    if (how == 1) {
        fd_set set;
        struct timeval wait = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
        FD_ZERO(&set);
        FD_SET(fd, &set);
        return select(fd + 1, &set, NULL, NULL, &wait);
    }
    int outer = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    epoll_ctl(outer, EPOLL_CTL_ADD, fd, &event);
    int count = epoll_wait(outer, &event, 1, timeout_ms);
    close(outer);
    return count;
}

/* True: readable. */
static bool wait_with(int how, int fd, int timeout_ms)
{
    int count;

    do /* a ring that was closed a moment ago may still interrupt this thread, once */
        count = wait_once(how, fd, timeout_ms);
    while (count < 0);
    return count == 1;
}

static void one_descriptor_tells_of_everything_to_poll_select_and_epoll(void)
{
    for (int how = 0; how < 3; how++) {
        struct fd_wait in = {.reads = true};
        uint32_t calls = 0;
        int fds[2];

        open_loop((struct mr_loop_config){0});
        int fd = mr_loop_fd(loop);
        CU_ASSERT_EQUAL_FATAL(pipe(fds), 0);
        in.fd = fds[0];
        CU_ASSERT_EQUAL(mr_loop_watch(loop, fds[0], POLLIN, note_events, &in), 0);
        while (mr_exec_poll(loop) == 0)
            continue;
        CU_ASSERT(!wait_with(how, fd, 0)); /* nothing is there */
        CU_ASSERT_EQUAL(write(fds[1], "x", 1), 1);
        CU_ASSERT(wait_with(how, fd, 5000));
        while (mr_exec_poll(loop) == 0)
            continue;
        CU_ASSERT_EQUAL(in.calls, 1);
        CU_ASSERT(!wait_with(how, fd, 0));

        CU_ASSERT_NOT_EQUAL(mr_loop_timer(loop, 250 * MS, count_call, &calls), 0);
        CU_ASSERT(!wait_with(how, fd, 0));
        CU_ASSERT(wait_with(how, fd, 5000)); /* set outside of a round: the timer is in it, too */
        while (mr_exec_poll(loop) == 0)
            continue;
        while (calls == 0)
            (void)mr_exec_poll(loop);
        CU_ASSERT_EQUAL(calls, 1);

        CU_ASSERT_EQUAL(mr_loop_post(loop, count_call, &calls), 0);
        CU_ASSERT(wait_with(how, fd, 5000));
        CU_ASSERT(wait_with(how, fd, 5000)); /* until it is taken */
        CU_ASSERT_EQUAL(mr_loop_run_once(loop, 0), 1);
        while (mr_exec_poll(loop) == 0)
            continue;
        CU_ASSERT(!wait_with(how, fd, 0));
        close(fds[0]);
        close(fds[1]);
        mr_loop_free(loop);
    }
}

static void a_full_batch_leaves_the_descriptor_readable(void)
{
    uint32_t calls = 0;

    open_loop((struct mr_loop_config){.batch = 4});
    int fd = mr_loop_fd(loop);
    for (int i = 0; i < 100; i++)
        CU_ASSERT_EQUAL(mr_loop_post(loop, count_call, &calls), 0);
    while (wait_with(0, fd, 10))
        (void)mr_loop_run_once(loop, 0);
    CU_ASSERT_EQUAL(calls, 100);
    for (int i = 0; i < 100; i++)
        CU_ASSERT_NOT_EQUAL(mr_loop_timer(loop, 0, count_call, &calls), 0);
    sleep_ns(MS);
    while (wait_with(0, fd, 10)) /* whoever only waits for it loses nothing */
        (void)mr_loop_run_once(loop, 0);
    CU_ASSERT_EQUAL(calls, 200);
    mr_loop_free(loop);
}

static void a_spinning_loop_looks_before_it_sleeps(void)
{
    struct mr_loop_stats stats;
    uint32_t calls = 0;

    open_loop((struct mr_loop_config){.spin_ns = 5000 * MS});
    CU_ASSERT_NOT_EQUAL(mr_loop_timer(loop, 2 * MS, count_call, &calls), 0);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, MR_FOREVER), 1);
    mr_loop_stats_get(loop, &stats);
    CU_ASSERT_EQUAL(stats.sleeps, 0);
    mr_loop_free(loop);

    open_loop((struct mr_loop_config){.spin_ns = MS});
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, 100 * MS), 0); /* the rest of the wait it sleeps */
    mr_loop_stats_get(loop, &stats);
    CU_ASSERT(stats.sleeps >= 1);
    mr_loop_free(loop);
}

static void the_thread_is_moved_to_the_ideal_processor(void)
{
    cpu_set_t before, after;

    CU_ASSERT_EQUAL_FATAL(sched_getaffinity(0, sizeof(before), &before), 0);
    int cpu = 0;
    while (!CPU_ISSET((unsigned)cpu, &before))
        cpu++;
    open_loop((struct mr_loop_config){.cpu = cpu + 1});
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, 0), 0);
    CU_ASSERT_EQUAL(sched_getaffinity(0, sizeof(after), &after), 0);
    CU_ASSERT_EQUAL(CPU_COUNT(&after), 1);
    CU_ASSERT(CPU_ISSET((unsigned)cpu, &after));
    CU_ASSERT_EQUAL(sched_setaffinity(0, sizeof(before), &before), 0);
    mr_loop_free(loop);
}

/* ------------------------------------------------------------------ threads, stalls */

static void run_again(void *argument)
{
    CU_ASSERT(mr_loop_is_inside(loop));
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, 0), -EBUSY);
    CU_ASSERT_EQUAL(mr_loop_run(loop), -EBUSY);
    mr_loop_stop(argument);
}

static void it_runs_on_the_callers_thread_and_makes_none(void)
{
    uint32_t calls = 0;
    uint32_t threads = thread_count();

    open_loop((struct mr_loop_config){0});
    CU_ASSERT(!mr_loop_is_inside(loop));
    CU_ASSERT_NOT_EQUAL(mr_loop_timer(loop, MS, count_call, &calls), 0);
    CU_ASSERT_EQUAL(mr_loop_post(loop, run_again, loop), 0);
    CU_ASSERT_EQUAL(mr_loop_run(loop), 0);
    CU_ASSERT_EQUAL(thread_count(), threads);
    mr_loop_free(loop);
    CU_ASSERT_EQUAL(thread_count(), threads);
    CU_ASSERT(threads == 1 || threads == 2); /* a sanitizer has one of its own */
}

static char stalled[MR_LOOP_NAME];
static uint32_t stalls;

static void note_stall(void *context, const char *name, uint64_t took_ns)
{
    (void)context;
    stalls++;
    CU_ASSERT(took_ns >= 5 * MS);
    snprintf(stalled, sizeof(stalled), "%s", name);
}

static void take_long(void *argument)
{
    if (argument != NULL)
        mr_loop_name_handler(loop, argument);
    sleep_ns(6 * MS);
}

static void take_long_over(void *context, uint32_t events)
{
    (void)events;
    take_long(context);
}

static void a_handler_that_stalls_is_reported_by_its_name(void)
{
    struct mr_loop_stats stats;
    uint32_t calls = 0;
    int ends[2];

    open_loop((struct mr_loop_config){.stall_ns = 5 * MS, .on_stall = note_stall});
    stalls = 0;
    CU_ASSERT_EQUAL(mr_loop_post(loop, count_call, &calls), 0);
    CU_ASSERT_EQUAL(mr_loop_post(loop, take_long, "reindex"), 0);
    CU_ASSERT_EQUAL(mr_loop_post(loop, count_call, &calls), 0);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, 0), 3);
    CU_ASSERT_EQUAL(stalls, 1);
    CU_ASSERT_STRING_EQUAL(stalled, "reindex");
    CU_ASSERT_NOT_EQUAL(mr_loop_timer(loop, 0, take_long, NULL), 0);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, MR_FOREVER), 1);
    CU_ASSERT_EQUAL(stalls, 2);
    CU_ASSERT(strncmp(stalled, "timer test_loop+0x", 18) == 0 || strcmp(stalled, "take_long") == 0);
    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    CU_ASSERT_EQUAL(mr_loop_watch(loop, ends[1], POLLOUT, take_long_over, NULL), 0);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, MR_FOREVER), 1);
    CU_ASSERT_EQUAL(stalls, 3);
    CU_ASSERT(strncmp(stalled, "descriptor test_loop+0x", 23) == 0 ||
              strcmp(stalled, "take_long_over") == 0);
    mr_loop_stats_get(loop, &stats);
    CU_ASSERT_EQUAL(stats.stalls, 3);
    CU_ASSERT_EQUAL(stats.handlers, 5);
    CU_ASSERT(stats.longest_stall_ns >= 6 * MS);
    CU_ASSERT_STRING_NOT_EQUAL(stats.longest_stall_name, "");
    mr_loop_free(loop);
    close(ends[0]);
    close(ends[1]);
}

static CU_TestInfo tests[] = {
    {"T21 timers are never early, and hardly late", timers_are_never_early_and_hardly_late},
    {"T21 a cancelled timer is not called", a_cancelled_timer_is_not_called},
    {"T21 a stale name cancels no other timer", a_stale_name_cancels_no_other_timer},
    {"T21 a million timers are no burden", a_million_timers_are_no_burden},
    {"M15 T15 it watches pipes and timerfds", it_watches_pipes_sockets_and_timerfds},
    {"M15 T18 a regular file cannot be watched", a_regular_file_cannot_be_watched},
    {"M15 a watch that was ended is not told of the same batch",
     a_watch_that_was_ended_is_not_told_of_the_same_batch},
    {"Q23 own entries and posts share a queue, in order",
     own_entries_and_posts_share_a_queue_in_order},
    {"Q24 a round takes a batch of each", a_round_takes_a_batch_of_each},
    {"Q24 posts, timers and descriptors are taken in batches", each_kind_is_taken_in_batches},
    {"Q22 mr_exec_poll says how long to wait", exec_poll_says_how_long_to_wait},
    {"T14 M15 one descriptor tells of everything, to poll, select and epoll",
     one_descriptor_tells_of_everything_to_poll_select_and_epoll},
    {"T14 a full batch leaves the descriptor readable",
     a_full_batch_leaves_the_descriptor_readable},
    {"Q21 a spinning loop looks before it sleeps", a_spinning_loop_looks_before_it_sleeps},
    {"Q21 the thread is moved to the ideal processor", the_thread_is_moved_to_the_ideal_processor},
    {"T17 Q20 it runs on the caller's thread, and makes none",
     it_runs_on_the_callers_thread_and_makes_none},
    {"T20 Q25 a handler that stalls is reported by its name",
     a_handler_that_stalls_is_reported_by_its_name},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/loop", .pSetUpFunc = loop_backend_epoll, .pTests = tests},
    {.pName = "app/loop, io_uring", .pSetUpFunc = loop_backend_uring, .pTests = tests},
    CU_SUITE_INFO_NULL,
};
