/* Tests of control/topology.h, on whatever machine this is. */
#include "control/topology.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/harness.h"

static void every_cpu_has_a_node(void)
{
    uint32_t nodes = mr_topology_node_count();
    cpu_set_t set;

    CU_ASSERT(nodes >= 1);
    CU_ASSERT_EQUAL(sched_getaffinity(0, sizeof(set), &set), 0);
    for (uint32_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &set))
            CU_ASSERT(mr_topology_node_of_cpu(cpu) >= 0);
    CU_ASSERT_EQUAL(mr_topology_node_of_cpu(1000000), MR_NODE_UNKNOWN);
}

static void a_pinned_thread_has_its_cpus_node(void)
{
    cpu_set_t before;
    cpu_set_t one;

    CU_ASSERT_EQUAL(sched_getaffinity(0, sizeof(before), &before), 0);
    for (uint32_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &before))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        CU_ASSERT_EQUAL(sched_setaffinity(0, sizeof(one), &one), 0);
        CU_ASSERT_EQUAL(mr_topology_node_of_thread(0), mr_topology_node_of_cpu(cpu));
        CU_ASSERT_EQUAL(mr_topology_node_of_thread(gettid()), mr_topology_node_of_cpu(cpu));
    }
    sched_setaffinity(0, sizeof(before), &before);
    CU_ASSERT(mr_topology_node_of_thread(getpid()) >= 0);
}

static void a_thread_that_is_gone_has_none(void)
{
    pid_t child = fork();

    if (child == 0)
        _exit(0);
    CU_ASSERT_FATAL(child > 0);
    CU_ASSERT_EQUAL(waitpid(child, NULL, 0), child);
    CU_ASSERT_EQUAL(mr_topology_node_of_thread(child), MR_NODE_UNKNOWN);
}

static void memory_is_where_it_is_wanted(void)
{
    const size_t size = 64 * 4096;
    int32_t node = mr_topology_node_of_thread(0);
    char *memory = mr_topology_alloc(size, node);

    CU_ASSERT_PTR_NOT_NULL_FATAL(memory);
    CU_ASSERT_EQUAL(mr_topology_node_of_memory(memory), MR_NODE_UNKNOWN); /* not touched */
    for (size_t i = 0; i < size; i++)
        CU_ASSERT_EQUAL_FATAL(memory[i], 0);
    memset(memory, 1, size);
    if (mr_topology_node_of_memory(memory) == MR_NODE_UNKNOWN) {
        mr_test_skip("the system does not tell where memory is");
        mr_topology_free(memory, size);
        return;
    }
    CU_ASSERT_EQUAL(mr_topology_node_of_memory(memory), node);
    CU_ASSERT(mr_topology_bind(memory + 100, size - 200, node)); /* in use; whole pages of it */
    CU_ASSERT_EQUAL(memory[size - 1], 1);
    CU_ASSERT_EQUAL(mr_topology_node_of_memory(memory + size - 1), node);
    CU_ASSERT_FALSE(mr_topology_bind(memory + 100, 200, node)); /* no whole page */
    CU_ASSERT_FALSE(mr_topology_bind(memory, size, MR_NODE_UNKNOWN));
    CU_ASSERT_FALSE(mr_topology_bind(memory, size, 4000));
    mr_topology_free(memory, size);

    memory = mr_topology_alloc(size, MR_NODE_UNKNOWN);
    CU_ASSERT_PTR_NOT_NULL_FATAL(memory);
    memory[0] = 1;
    mr_topology_free(memory, size);
    mr_topology_free(NULL, size);
    CU_ASSERT_PTR_NULL(mr_topology_alloc(SIZE_MAX / 2, node));
}

static void a_dump_says_who_shares(void)
{
    struct mr_topology_worker workers[2] = {
        {.worker = 0, .thread = gettid(), .loop = "shard", .shard = 0},
        {.worker = 1, .thread = gettid(), .loop = "shard", .shard = 1}};
    char text[4096];
    cpu_set_t set;
    size_t size = mr_topology_dump(workers, 2, text, sizeof(text));

    CU_ASSERT_EQUAL(size, strlen(text));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"one_to_one\":false"));
    CU_ASSERT_EQUAL(mr_topology_dump(workers, 2, text, 10), size);
    CU_ASSERT_EQUAL(strlen(text), 9);
    mr_topology_dump(workers, 0, text, sizeof(text));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"workers\":[],\"one_to_one\":true"));
    CU_ASSERT_EQUAL(sched_getaffinity(0, sizeof(set), &set), 0);
    mr_topology_dump(workers, 1, text, sizeof(text)); /* alone: it depends on its CPUs */
    CU_ASSERT_EQUAL(strstr(text, "\"one_to_one\":true") != NULL, CPU_COUNT(&set) == 1);
    CU_ASSERT_EQUAL(strstr(text, "\"cpu\":") != NULL, CPU_COUNT(&set) == 1);
}

static CU_TestInfo tests[] = {
    {"every CPU has a node", every_cpu_has_a_node},
    {"a pinned thread has its CPU's node", a_pinned_thread_has_its_cpus_node},
    {"a thread that is gone has none", a_thread_that_is_gone_has_none},
    {"memory is where it is wanted", memory_is_where_it_is_wanted},
    {"a dump says who shares", a_dump_says_who_shares},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "control/topology", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
