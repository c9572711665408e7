/* Tests of interest sets (mr_pollset_new(), ...). */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "app/socket_internal.h"
#include "tests/unit/harness.h"
#include "tests/unit/sock_pair.h"

static struct mr_sock *dialled;

static void dial(void)
{
    struct mr_connect_options options = world_options();

    CU_ASSERT_EQUAL(mr_sock_host_connect(world.host[CLIENT], &options, true, &dialled),
                    -EINPROGRESS);
}

static uint64_t visits(void)
{
    struct mr_sock_host_stats stats;

    world_stats(SERVER, &stats);
    return stats.visits;
}

static void a_level_is_told_as_long_as_it_holds(void)
{
    struct mr_pollset *set;
    struct mr_pollset_event e[4];
    char c;

    open_pair();
    CU_ASSERT_EQUAL(mr_sock_host_pollset(world.host[SERVER], &set), 0);
    CU_ASSERT_EQUAL(mr_pollset_add(set, theirs, POLLIN, &c), 0);
    CU_ASSERT_EQUAL(mr_pollset_add(set, theirs, POLLIN, &c), -EEXIST);
    CU_ASSERT_EQUAL(mr_pollset_add(set, world.listener, POLLIN, set), 0);
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 4, 0), 0);
    CU_ASSERT_EQUAL(mr_sock_write(ours, "xy", 2), 2);
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 4, -1), 1);
    CU_ASSERT_PTR_EQUAL(e[0].sock, theirs);
    CU_ASSERT_PTR_EQUAL(e[0].context, &c);
    CU_ASSERT_EQUAL(e[0].events, POLLIN);
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 4, 0), 1); /* still */
    CU_ASSERT_EQUAL(mr_sock_read(theirs, &c, 1), 1);
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 4, 0), 1);
    CU_ASSERT_EQUAL(mr_sock_read(theirs, &c, 1), 1);
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 4, 0), 0);
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 4, 5), 0);
    CU_ASSERT_EQUAL(mr_pollset_mod(set, theirs, POLLIN | POLLOUT, NULL), 0);
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 4, -1), 1);
    CU_ASSERT_EQUAL(e[0].events, POLLOUT);
    CU_ASSERT_EQUAL(mr_pollset_del(set, theirs), 0);
    CU_ASSERT_EQUAL(mr_pollset_del(set, theirs), -ENOENT);
    CU_ASSERT_EQUAL(mr_pollset_mod(set, theirs, POLLIN, NULL), -ENOENT);
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 4, 0), 0);
    world_later(5 * MS, dial);
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 4, -1), 1);
    CU_ASSERT_PTR_EQUAL(e[0].sock, world.listener);
    mr_sock_close(dialled, 0);
    /* Closing takes it out. */
    CU_ASSERT_EQUAL(mr_pollset_add(set, theirs, POLLOUT, NULL), 0);
    drop(&theirs);
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 4, 0), 1);
    CU_ASSERT_PTR_EQUAL(e[0].sock, world.listener);
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 0, 0), -EINVAL);
    mr_pollset_free(set);
    close_pair();
}

static void an_edge_is_told_once_each_time(void)
{
    struct mr_pollset *set;
    struct mr_pollset_event e[4];
    char c;

    open_pair();
    CU_ASSERT_EQUAL(mr_sock_host_pollset(world.host[SERVER], &set), 0);
    CU_ASSERT_EQUAL(mr_pollset_add(set, theirs, (uint32_t)POLLIN | POLLOUT | MR_POLLSET_EDGE, NULL),
                    0);
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 4, 0), 1); /* what holds at first */
    CU_ASSERT_EQUAL(e[0].events, POLLOUT);
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 4, 0), 0);
    CU_ASSERT_EQUAL(mr_sock_write(ours, "xy", 2), 2);
    world_run();
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 4, 0), 1);
    CU_ASSERT_EQUAL(e[0].events, POLLIN | POLLOUT); /* all that holds, as epoll */
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 4, 0), 0);
    CU_ASSERT_EQUAL(mr_sock_read(theirs, &c, 1), 1);
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 4, 5), 0); /* not drained: not anew */
    CU_ASSERT_EQUAL(mr_sock_read(theirs, &c, 1), 1);
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 4, 5), 0);
    CU_ASSERT_EQUAL(mr_sock_write(ours, "a", 1), 1);
    world_run();
    CU_ASSERT_EQUAL(mr_sock_read(theirs, &c, 1), 1); /* it has risen and fallen */
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 4, 0), 0);
    world_later(5 * MS, dial);
    CU_ASSERT_EQUAL(mr_sock_write(ours, "z", 1), 1);
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 4, -1), 1);
    CU_ASSERT_EQUAL(mr_pollset_mod(set, theirs, (uint32_t)POLLIN | MR_POLLSET_EDGE, NULL), 0);
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 4, 0), 1); /* a change arms it */
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 4, 0), 0);
    world_run();
    mr_sock_close(dialled, 0);
    mr_pollset_free(set);
    close_pair();
}

/* `how`: MR_POLLSET_EDGE, or nothing. */
static void check_once(uint32_t how)
{
    struct mr_pollset *set;
    struct mr_pollset_event e[4];
    char c;

    how |= (uint32_t)POLLIN | MR_POLLSET_ONESHOT;
    open_pair();
    CU_ASSERT_EQUAL(mr_sock_host_pollset(world.host[SERVER], &set), 0);
    CU_ASSERT_EQUAL(mr_pollset_add(set, theirs, how, NULL), 0);
    CU_ASSERT_EQUAL(mr_sock_write(ours, "xy", 2), 2);
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 4, -1), 1);
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 4, 0), 0);
    CU_ASSERT_EQUAL(mr_sock_read(theirs, &c, 1), 1);
    CU_ASSERT_EQUAL(mr_sock_read(theirs, &c, 1), 1);
    CU_ASSERT_EQUAL(mr_sock_write(ours, "z", 1), 1);
    world_run();
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 4, 5), 0);
    CU_ASSERT_EQUAL(mr_pollset_mod(set, theirs, how, NULL), 0);
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 4, 0), 1);
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 4, 0), 0);
    mr_pollset_free(set);
    close_pair();
}

static void once_is_told_until_it_is_armed_again(void)
{
    check_once(0);
    check_once(MR_POLLSET_EDGE);
}

static void everybody_has_a_turn(void)
{
    enum {
        COUNT = 5
    };
    struct mr_sock *a[COUNT], *b[COUNT];
    struct mr_pollset *set;
    struct mr_pollset_event e[2];
    int told[COUNT] = {0};

    open_pair();
    CU_ASSERT_EQUAL(mr_sock_host_pollset(world.host[SERVER], &set), 0);
    for (int i = 0; i < COUNT; i++) {
        world_stream(&a[i], &b[i]);
        CU_ASSERT_EQUAL(mr_pollset_add(set, b[i], POLLOUT, &told[i]), 0);
    }
    for (int i = 0; i < COUNT; i++) {
        CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 2, 0), 2);
        ++*(int *)e[0].context;
        ++*(int *)e[1].context;
    }
    for (int i = 0; i < COUNT; i++) {
        CU_ASSERT_EQUAL(told[i], 2);
        mr_sock_close(a[i], 0);
        mr_sock_close(b[i], 0);
    }
    mr_pollset_free(set);
    close_pair();
}

/* Processor time of the cheapest of some waits. */
static uint64_t wait_cost(struct mr_pollset *set)
{
    struct mr_pollset_event e[64];
    uint64_t best = UINT64_MAX;

    for (int i = 0; i < 100; i++) {
        struct timespec begin, end;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
        CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 64, 0), 0);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
        uint64_t took =
            (uint64_t)((end.tv_sec - begin.tv_sec) * 1000000000 + end.tv_nsec - begin.tv_nsec);
        best = took < best ? took : best;
    }
    return best;
}

static void idle_sockets_cost_nothing(void)
{
    enum {
        IDLE = 100000,
        BUSY = 10
    };
    struct mr_sock **idle = calloc(IDLE, sizeof(*idle));
    struct mr_sock *a[BUSY], *b[BUSY];
    struct mr_pollset *set;
    struct mr_pollset_event e[64];

    CU_ASSERT_PTR_NOT_NULL_FATAL(idle);
    open_pair();
    world.is_checking = false;
    CU_ASSERT_EQUAL(mr_sock_host_pollset(world.host[SERVER], &set), 0);
    uint64_t cost = wait_cost(set);
    for (int i = 0; i < IDLE; i++) {
        idle[i] = mr_sock_make(world.host[SERVER], KIND_STREAM, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(idle[i]);
        CU_ASSERT_EQUAL(mr_pollset_add(set, idle[i], POLLIN | POLLOUT, NULL), 0);
    }
    for (int i = 0; i < BUSY; i++) {
        world_stream(&a[i], &b[i]);
        CU_ASSERT_EQUAL(mr_pollset_add(set, b[i], POLLIN, NULL), 0);
    }
    uint64_t cost_of_many = wait_cost(set);
    printf("# a wait over %d idle sockets: %llu ns; over none: %llu ns\n", IDLE,
           (unsigned long long)cost_of_many, (unsigned long long)cost);
    CU_ASSERT(cost_of_many < 5 * cost + 20000); /* to look at each takes far longer */
    uint64_t before = visits();
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 64, 0), 0);
    CU_ASSERT_EQUAL(visits() - before, 0);
    for (int i = 0; i < BUSY; i++)
        CU_ASSERT_EQUAL(mr_sock_write(a[i], "x", 1), 1);
    world_run();
    before = visits();
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 64, 0), BUSY);
    CU_ASSERT_EQUAL(visits() - before, BUSY);
    for (int i = 0; i < BUSY; i++) {
        char c;
        CU_ASSERT_EQUAL(mr_sock_read(b[i], &c, 1), 1);
    }
    before = visits();
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 64, 0), 0);
    CU_ASSERT_EQUAL(visits() - before, BUSY); /* they are found idle, once */
    CU_ASSERT_EQUAL(mr_pollset_wait(set, e, 64, 0), 0);
    CU_ASSERT_EQUAL(visits() - before, BUSY);
    for (int i = 0; i < BUSY; i++) {
        mr_sock_close(a[i], 0);
        mr_sock_close(b[i], 0);
    }
    for (int i = 0; i < IDLE; i++) {
        idle[i]->is_over = true; /* it was never anything else */
        mr_sock_close(idle[i], 0);
    }
    free(idle);
    mr_pollset_free(set);
    close_pair();
}

static CU_TestInfo sets[] = {
    {"T13 a level is told as long as it holds", a_level_is_told_as_long_as_it_holds},
    {"T13 an edge is told once each time", an_edge_is_told_once_each_time},
    {"T13 once is told until it is armed again", once_is_told_until_it_is_armed_again},
    {"T13 everybody has a turn", everybody_has_a_turn},
    {"T13 100,000 idle sockets cost nothing", idle_sockets_cost_nothing},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/poll_set", .pTests = sets},
    CU_SUITE_INFO_NULL,
};
