/* Test of fibers in large numbers: one for each connection, and the memory of each. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/compiler.h"
#include "tests/unit/fiber_hub.h"

enum {
    MANY = MR_ASAN || MR_TSAN ? 2000 : 100000,
    RSS_MAX = 5 * 1024, /* bytes for each idle fiber, as docs/fibers.md says */
    ECHOES = 2
};

/* A figure of this process in kB, from /proc/self/status. */
static long status_kb(const char *name)
{
    char line[256];
    long value = 0;
    FILE *file = fopen("/proc/self/status", "r");

    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            value = strtol(line + strlen(name), NULL, 10);
    if (file != NULL)
        fclose(file);
    return value;
}

/* A connection without a network: who waits at its ends. */
struct connection {
    struct mr_switchback server;
    struct mr_switchback client;
};

static struct connection connections[MANY];
static struct mr_fiber *fibers[MANY];

static int64_t serve(void *argument)
{
    struct connection *connection = argument;

    for (int i = 0; i < ECHOES; i++) {
        int64_t value = 0;

        connection->server = mr_fiber_switchback();
        CU_ASSERT_EQUAL(mr_hub_switch(MR_SECONDS(1000), &value), 0);
        connection->client.fn(connection->client.arg, value);
    }
    return 0;
}

/* With all fibers waiting. */
static long measure_memory(long rss_before, long tables_before)
{
    struct mr_hub_stats stats;
    long rss = status_kb("VmRSS:") - rss_before;
    long tables = status_kb("VmPTE:") - tables_before;
    long each = rss * 1024 / MANY;

    mr_hub_stats_get(mr_hub_current(), &stats);
    CU_ASSERT_EQUAL(stats.fibers, MANY + 1);
    CU_ASSERT_EQUAL(stats.switches, MANY + 2);
    printf("# %d idle fibers: %ld MiB resident, %ld bytes each, and %ld of page tables; %u of %u "
           "stacks guarded\n",
           MANY, rss / 1024, each, tables * 1024 / MANY, stats.stacks_guarded, stats.stacks);
    if (!MR_ASAN && !MR_TSAN)
        CU_ASSERT_TRUE(each <= RSS_MAX);
    CU_ASSERT_TRUE(mr_fiber_stack_used(fibers[MANY - 1]) <= 4096);
    return rss;
}

static void echo(int64_t number)
{
    for (int i = 0; i < MANY; i++) {
        int64_t sent = i * 10 + number;
        int64_t value = -1;

        connections[i].client = mr_fiber_switchback();
        connections[i].server.fn(connections[i].server.arg, sent);
        CU_ASSERT_EQUAL(mr_hub_switch(MR_FOREVER, &value), 0);
        CU_ASSERT_EQUAL(value, sent);
    }
}

static int64_t talk_to_all(void *argument)
{
    struct mr_hub_stats stats;
    long rss = status_kb("VmRSS:");
    long tables = status_kb("VmPTE:");

    (void)argument;
    for (int i = 0; i < MANY; i++)
        fibers[i] = spawn(serve, &connections[i], "server");
    mr_fiber_yield();
    long peak = measure_memory(rss, tables);
    for (int i = 0; i < ECHOES; i++)
        echo(i);
    for (int i = 0; i < MANY; i++)
        CU_ASSERT_EQUAL(join(fibers[i]), 0);

    long left = status_kb("VmRSS:");
    mr_hub_stats_get(mr_hub_current(), &stats);
    CU_ASSERT_TRUE(stats.stacks_warm <= 1024);
    mr_hub_check(mr_hub_current());
    printf("# after their end %ld MiB are resident\n", left / 1024);
    if (!MR_ASAN && !MR_TSAN)
        CU_ASSERT_TRUE(left < peak / 4);
    return 0;
}

static void a_hundred_thousand_fibers_serve_one_connection_each(void)
{
    memset(connections, 0, sizeof(connections)); /* its pages are not the fibers' */
    memset(fibers, 0, sizeof(fibers));
    run_in_hub(talk_to_all, NULL, NULL);
}

static CU_TestInfo tests[] = {
    {"G6 G7 a hundred thousand fibers serve one connection each, in the documented memory",
     a_hundred_thousand_fibers_serve_one_connection_each},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/fiber, many", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
