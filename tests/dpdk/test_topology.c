/* tests/dpdk/test_topology.c - polling threads, their CPUs and their memory, as the kernel sees
 * them. */
#include <dirent.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "control/config.h"
#include "control/cpu_list.h"
#include "control/eal.h"
#include "control/topology.h"
#include "drivers/mbuf_pool.h"
#include "tests/unit/harness.h"

#define MEMORY ((size_t)1 << 20)

static struct mr_config config; /* large */

/* A loop that says where it runs until it is told to stop. */
struct loop {
    atomic_bool is_over;
    atomic_uint turns;
    int32_t thread;
    char *memory;
};

static struct loop loops[MR_EAL_WORKERS_MAX];

static uint32_t usable_cpu(void)
{
    struct mr_cpu_list usable;

    mr_cpu_list_of_thread(&usable);
    return usable.cpu[0];
}

static int run_loop(void *argument)
{
    struct loop *loop = argument;

    loop->thread = gettid();
    memset(loop->memory, 1, MEMORY);
    while (!atomic_load(&loop->is_over)) {
        atomic_fetch_add(&loop->turns, 1);
        sched_yield(); /* they may share a CPU with the test */
    }
    return 0;
}

/* Threads of this process that EAL has named workers. */
static uint32_t count_workers(void)
{
    DIR *dir = opendir("/proc/self/task");
    uint32_t count = 0;

    CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[300];
        char name[32] = "";
        FILE *file;

        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
        file = fopen(path, "r");
        if (file == NULL)
            continue;
        if (fgets(name, sizeof(name), file) == NULL)
            name[0] = '\0';
        fclose(file);
        count += strstr(name, "worker") != NULL;
    }
    closedir(dir);
    return count;
}

/* The configuration as a user writes it: one thread for each CPU that there is, at most two. */
static void threads_by_settings(void)
{
    struct mr_cpu_list usable;
    char text[128];
    struct mr_fault fault = {0};

    mr_cpu_list_of_thread(&usable);
    uint32_t count = usable.count < 2 ? usable.count : 2;
    snprintf(text, sizeof(text), "shards: 1\ncores: %u\nhugepages: off\n", usable.cpu[0]);
    if (count > 1)
        snprintf(text, sizeof(text), "shards: 2\ncores: %u,%u\nhugepages: off\n", usable.cpu[1],
                 usable.cpu[0]);
    mr_config_init(&config);
    CU_ASSERT_EQUAL_FATAL(mr_config_parse(&config, "test", text, strlen(text), &fault), 0);

    const struct mr_eal_config eal = {.cores = config.cores,
                                      .worker_count = config.shards,
                                      .memory_mb = 64,
                                      .hugepages = (enum mr_hugepages)config.hugepages};
    bool is_started = mr_eal_start(&eal, &fault);
    if (!is_started)
        printf("# %s\n", fault.text);
    CU_ASSERT_FATAL(is_started);
    CU_ASSERT_EQUAL(count_workers(), config.shards);
    CU_ASSERT_EQUAL(mr_eal_info()->worker_cpu[0], usable.cpu[count - 1]); /* in the given order */
    CU_ASSERT_EQUAL(mr_eal_info()->worker_cpu[count - 1], usable.cpu[0]);
}

static void start_loops(void)
{
    for (uint32_t i = 0; i < config.shards; i++) {
        int32_t node = mr_topology_node_of_cpu(mr_eal_info()->worker_cpu[i]);

        loops[i].memory = mr_topology_alloc(MEMORY, node);
        CU_ASSERT_PTR_NOT_NULL_FATAL(loops[i].memory);
        mr_eal_launch(i, run_loop, &loops[i]);
    }
    for (uint32_t i = 0; i < config.shards; i++)
        while (atomic_load(&loops[i].turns) == 0)
            sched_yield();
}

static void workers_have_hard_affinity_and_local_memory(void)
{
    start_loops();
    for (uint32_t i = 0; i < config.shards; i++) {
        uint16_t cpu = mr_eal_info()->worker_cpu[i];
        int32_t node = mr_topology_node_of_cpu(cpu);
        cpu_set_t set;

        CU_ASSERT_EQUAL(sched_getaffinity(mr_eal_info()->worker_thread[i], sizeof(set), &set), 0);
        CU_ASSERT_EQUAL(CPU_COUNT(&set), 1);
        CU_ASSERT(CPU_ISSET(cpu, &set));
        CU_ASSERT_EQUAL(mr_topology_node_of_thread(mr_eal_info()->worker_thread[i]), node);
        if (mr_topology_node_of_memory(loops[i].memory) == MR_NODE_UNKNOWN) {
            mr_test_skip("the system does not tell where memory is");
            continue;
        }
        CU_ASSERT_EQUAL(mr_topology_node_of_memory(loops[i].memory), node);
        CU_ASSERT_EQUAL(mr_topology_node_of_memory(loops[i].memory + MEMORY - 1), node);
    }
}

static void worker_thread_and_loop_are_one(void)
{
    struct mr_topology_worker workers[MR_EAL_WORKERS_MAX];
    char expected[256];
    char text[8192];

    for (uint32_t i = 0; i < config.shards; i++) {
        CU_ASSERT_EQUAL(loops[i].thread, mr_eal_info()->worker_thread[i]);
        workers[i] = (struct mr_topology_worker){
            .worker = i, .thread = mr_eal_info()->worker_thread[i], .loop = "test", .shard = i};
    }
    mr_topology_dump(workers, config.shards, text, sizeof(text));
    for (uint32_t i = 0; i < config.shards; i++) {
        uint16_t cpu = mr_eal_info()->worker_cpu[i];

        snprintf(expected, sizeof(expected),
                 "{\"worker\":%u,\"thread\":%d,\"loop\":\"test\",\"shard\":%u,\"cpus\":[%u],"
                 "\"cpu\":%u,\"node\":%d}",
                 i, loops[i].thread, i, cpu, cpu, mr_topology_node_of_cpu(cpu));
        CU_ASSERT_PTR_NOT_NULL(strstr(text, expected));
    }
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"one_to_one\":true"));
    uint32_t shard = workers[config.shards - 1].shard;
    workers[config.shards - 1].shard = 0; /* two threads for one shard */
    mr_topology_dump(workers, config.shards, text, sizeof(text));
    CU_ASSERT_EQUAL(strstr(text, "\"one_to_one\":true") != NULL, config.shards == 1);
    workers[config.shards - 1].shard = shard;
    workers[1] = workers[0]; /* two loops on one thread */
    workers[1].shard = 77;
    mr_topology_dump(workers, 2, text, sizeof(text));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"one_to_one\":false"));
    workers[config.shards - 1].thread = gettid(); /* it runs anywhere */
    mr_topology_dump(workers, config.shards, text, sizeof(text));
    if (mr_eal_info()->cpu_count > 1)
        CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"one_to_one\":false"));
}

/* Machines that are not this one. */
static void what_is_on_another_node_is_complained_of(void)
{
    static const struct {
        struct mr_topology_shard shard;
        const char *text; /* NULL: nothing to complain of */
    } rows[] = {
        {{.shard = 1, .cpu = 5, .cpu_node = 1, .memory_node = 1, .buffer_node = 1, .card_node = 1},
         NULL},
        {{.cpu_node = MR_NODE_UNKNOWN, .memory_node = 1, .buffer_node = 0, .card_node = 1}, NULL},
        {{.cpu_node = 1,
          .memory_node = MR_NODE_UNKNOWN,
          .buffer_node = MR_NODE_UNKNOWN,
          .card_node = MR_NODE_UNKNOWN},
         NULL},
        {{.shard = 1, .cpu = 5, .cpu_node = 1, .memory_node = 0, .buffer_node = 1, .card_node = 1},
         "shard 1 has CPU 5 of NUMA node 1, but its memory on node 0: node 1 has too little memory "
         "for DPDK (hugepages of a node: /sys/devices/system/node/node1/hugepages)"},
        {{.shard = 3, .cpu = 9, .cpu_node = 0, .memory_node = 1, .buffer_node = 2, .card_node = -1},
         "shard 3 has CPU 9 of NUMA node 0, but its memory on node 1, its buffers on node 2: node "
         "0 "
         "has too little memory for DPDK (hugepages of a node: "
         "/sys/devices/system/node/node0/hugepages)"},
        {{.shard = 2, .cpu = 4, .cpu_node = 0, .memory_node = 0, .buffer_node = 0, .card_node = 1},
         "shard 2 has CPU 4 of NUMA node 0, but its card on node 1: name CPUs of node 1 in `cores` "
         "(`lscpu` lists them)"},
        {{.shard = UINT32_MAX,
          .cpu = UINT32_MAX,
          .cpu_node = INT32_MAX,
          .memory_node = INT32_MAX - 1,
          .buffer_node = INT32_MAX - 1,
          .card_node = INT32_MAX - 1},
         "shard 4294967295 has CPU 4294967295 of NUMA node 2147483647, but its memory on node "
         "2147483646, its buffers on node 2147483646, its card on node 2147483646: name CPUs of "
         "node 2147483646 in `cores` (`lscpu` lists them)"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char said[MR_TOPOLOGY_TEXT] = "";

        CU_ASSERT_EQUAL(mr_topology_complain(&rows[i].shard, said), rows[i].text != NULL);
        CU_ASSERT_STRING_EQUAL(said, rows[i].text != NULL ? rows[i].text : "");
    }
}

static void add_piece(void *argument, void *memory, size_t size)
{
    int32_t node = mr_topology_node_of_memory(memory);

    CU_ASSERT(size > 0);
    CU_ASSERT(node == MR_NODE_UNKNOWN || node == mr_topology_node_of_cpu(usable_cpu()));
    (*(size_t *)argument) += size;
}

/* Of a group's pools, on this machine. */
static void buffers_are_where_they_were_wanted(void)
{
    struct mr_mbuf_pool_config local = {
        .name = "local", .count = 63, .numa_node = mr_topology_node_of_cpu(usable_cpu())};
    struct mr_fault fault = {0};
    struct rte_mempool *pool = mr_mbuf_pool_create(&local, &fault);
    size_t size = 0;

    CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
    mr_mbuf_pool_visit(pool, add_piece, &size);
    CU_ASSERT(size >= 63 * 2048);
    CU_ASSERT_EQUAL(mr_mbuf_pool_free(pool), 0);
}

static void the_end(void)
{
    for (uint32_t i = 0; i < config.shards; i++) {
        atomic_store(&loops[i].is_over, true);
        CU_ASSERT_EQUAL(mr_eal_join(i), 0);
        mr_topology_free(loops[i].memory, MEMORY);
    }
    mr_eal_stop();
}

static CU_TestInfo tests[] = {
    {"Q12 threads by settings", threads_by_settings},
    {"Q13 hard affinity, local memory", workers_have_hard_affinity_and_local_memory},
    {"M16 worker, OS thread and loop are one to one", worker_thread_and_loop_are_one},
    {"what is on another node is complained of", what_is_on_another_node_is_complained_of},
    {"buffers are where they were wanted", buffers_are_where_they_were_wanted},
    {"loops end when they are told to", the_end},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "control/topology", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
