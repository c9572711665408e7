#include "control/topology.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <json-c/json.h>
#include <numa.h>
#include <numaif.h>

#define NODES_MAX     1024 /* bits of a mask of nodes */
#define WORD_BITS     (8 * sizeof(unsigned long))
#define STAT_LAST_CPU 39 /* field of /proc/TID/stat, proc(5) */
#define STAT_FIRST    3  /* the field after the name in parentheses */
#define STAT_SIZE     1024
#define CPU_UNKNOWN   UINT32_MAX

/* ------------------------------------------------------------------ CPUs and threads */

static bool has_numa(void)
{
    return numa_available() >= 0;
}

uint32_t mr_topology_node_count(void)
{
    int count = has_numa() ? numa_num_configured_nodes() : 1;

    return count < 1 ? 1 : (uint32_t)count;
}

int32_t mr_topology_node_of_cpu(uint32_t cpu)
{
    long configured = sysconf(_SC_NPROCESSORS_CONF);

    if (has_numa() && cpu < INT32_MAX)
        return numa_node_of_cpu((int)cpu);
    return cpu < (unsigned long)configured ? 0 : MR_NODE_UNKNOWN;
}

/* The CPU that a thread ran on last. */
static uint32_t last_cpu(int32_t thread)
{
    char path[64];
    char text[STAT_SIZE];
    FILE *file;
    size_t size;

    snprintf(path, sizeof(path), "/proc/%d/stat", thread != 0 ? thread : (int32_t)gettid());
    file = fopen(path, "re");
    if (file == NULL)
        return CPU_UNKNOWN;
    size = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[size] = '\0';
    const char *at = strrchr(text, ')'); /* names may hold anything */
    for (int field = STAT_FIRST - 1; at != NULL && field < STAT_LAST_CPU; field++)
        at = strchr(at + 1, ' ');
    return at == NULL ? CPU_UNKNOWN : (uint32_t)strtoul(at, NULL, 10);
}

int32_t mr_topology_node_of_thread(int32_t thread)
{
    int32_t node = MR_NODE_UNKNOWN;
    cpu_set_t set;

    if (sched_getaffinity(thread, sizeof(set), &set) != 0)
        return MR_NODE_UNKNOWN;
    for (uint32_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        int32_t its = CPU_ISSET(cpu, &set) ? mr_topology_node_of_cpu(cpu) : MR_NODE_UNKNOWN;

        if (its == MR_NODE_UNKNOWN || its == node)
            continue;
        if (node != MR_NODE_UNKNOWN)
            return mr_topology_node_of_cpu(last_cpu(thread)); /* it may run on several */
        node = its;
    }
    return node;
}

/* ------------------------------------------------------------------ memory */

bool mr_topology_bind(void *memory, size_t size, int32_t node)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = ((uintptr_t)memory + page - 1) & ~(page - 1);
    uintptr_t end = ((uintptr_t)memory + size) & ~(page - 1);
    unsigned long mask[NODES_MAX / WORD_BITS] = {0};

    if (node < 0 || node >= NODES_MAX || !has_numa() || begin >= end)
        return false;
    mask[(size_t)node / WORD_BITS] = 1UL << ((size_t)node % WORD_BITS);
    return mbind((char *)memory + (begin - (uintptr_t)memory), end - begin, MPOL_PREFERRED, mask,
                 NODES_MAX, MPOL_MF_MOVE) == 0;
}

void *mr_topology_alloc(size_t size, int32_t node)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return NULL;
    (void)mr_topology_bind(memory, size, node); /* wanted, not needed */
    return memory;
}

void mr_topology_free(void *memory, size_t size)
{
    if (memory != NULL)
        munmap(memory, size);
}

int32_t mr_topology_node_of_memory(const void *memory)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *pages[1] = {(void *)((uintptr_t)memory & ~(page - 1))};
    int status[1] = {MR_NODE_UNKNOWN};

    if (!has_numa() || move_pages(0, 1, pages, NULL, status, 0) != 0)
        return MR_NODE_UNKNOWN;
    return status[0] >= 0 ? status[0] : MR_NODE_UNKNOWN;
}

/* ------------------------------------------------------------------ complaints */

static bool is_elsewhere(int32_t node, int32_t cpu_node)
{
    return node != MR_NODE_UNKNOWN && node != cpu_node;
}

bool mr_topology_complain(const struct mr_topology_shard *shard, char text[MR_TOPOLOGY_TEXT])
{
    const struct {
        const char *name;
        int32_t node;
    } parts[] = {{"memory", shard->memory_node},
                 {"buffers", shard->buffer_node},
                 {"card", shard->card_node}};
    bool is_card_elsewhere = is_elsewhere(shard->card_node, shard->cpu_node);
    const char *between = "its";
    size_t used;

    if (shard->cpu_node == MR_NODE_UNKNOWN ||
        (!is_elsewhere(shard->memory_node, shard->cpu_node) &&
         !is_elsewhere(shard->buffer_node, shard->cpu_node) && !is_card_elsewhere))
        return false;
    used = (size_t)snprintf(text, MR_TOPOLOGY_TEXT, "shard %u has CPU %u of NUMA node %d, but ",
                            shard->shard, shard->cpu, shard->cpu_node);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (!is_elsewhere(parts[i].node, shard->cpu_node))
            continue;
        used += (size_t)snprintf(text + used, MR_TOPOLOGY_TEXT - used, "%s %s on node %d", between,
                                 parts[i].name, parts[i].node);
        between = ", its";
    }
    if (is_card_elsewhere)
        snprintf(text + used, MR_TOPOLOGY_TEXT - used,
                 ": name CPUs of node %d in `cores` (`lscpu` lists them)", shard->card_node);
    else
        snprintf(text + used, MR_TOPOLOGY_TEXT - used,
                 ": node %d has too little memory for DPDK (hugepages of a node: "
                 "/sys/devices/system/node/node%d/hugepages)",
                 shard->cpu_node, shard->cpu_node);
    return true;
}

/* ------------------------------------------------------------------ the dump */

/* What the kernel allows the thread; the single CPU, or CPU_UNKNOWN. */
static uint32_t add_cpus(struct json_object *to, int32_t thread)
{
    struct json_object *list = json_object_new_array();
    uint32_t count = 0;
    uint32_t single = CPU_UNKNOWN;
    cpu_set_t set;

    if (sched_getaffinity(thread, sizeof(set), &set) != 0)
        CPU_ZERO(&set);
    for (uint32_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &set))
            continue;
        json_object_array_add(list, json_object_new_int64(cpu));
        single = count++ == 0 ? cpu : CPU_UNKNOWN;
    }
    json_object_object_add(to, "cpus", list);
    if (single != CPU_UNKNOWN)
        json_object_object_add(to, "cpu", json_object_new_int64(single));
    return single;
}

static struct json_object *dump_worker(const struct mr_topology_worker *worker, uint32_t *cpu_out)
{
    struct json_object *object = json_object_new_object();

    json_object_object_add(object, "worker", json_object_new_int64(worker->worker));
    json_object_object_add(object, "thread", json_object_new_int64(worker->thread));
    json_object_object_add(object, "loop", json_object_new_string(worker->loop));
    json_object_object_add(object, "shard", json_object_new_int64(worker->shard));
    *cpu_out = add_cpus(object, worker->thread);
    json_object_object_add(object, "node",
                           json_object_new_int64(mr_topology_node_of_thread(worker->thread)));
    if (worker->memory != NULL)
        json_object_object_add(object, "memory_node",
                               json_object_new_int64(mr_topology_node_of_memory(worker->memory)));
    return object;
}

/* Does `number` share something with an earlier one, or run on several CPUs?  Who shares a thread
 * shares its CPU. */
static bool is_shared(const struct mr_topology_worker *workers, const uint32_t *cpus,
                      uint32_t number)
{
    for (uint32_t i = 0; i < number; i++)
        if (cpus[i] == cpus[number] || workers[i].shard == workers[number].shard)
            return true;
    return cpus[number] == CPU_UNKNOWN;
}

size_t mr_topology_dump(const struct mr_topology_worker *workers, uint32_t count, char *out,
                        size_t room)
{
    struct json_object *object = json_object_new_object();
    struct json_object *list = json_object_new_array();
    uint32_t *cpus = calloc(count + 1, sizeof(*cpus));
    bool is_one_to_one = cpus != NULL;

    json_object_object_add(object, "nodes", json_object_new_int64(mr_topology_node_count()));
    for (uint32_t i = 0; cpus != NULL && i < count; i++) {
        json_object_array_add(list, dump_worker(&workers[i], &cpus[i]));
        is_one_to_one = is_one_to_one && !is_shared(workers, cpus, i);
    }
    json_object_object_add(object, "workers", list);
    json_object_object_add(object, "one_to_one", json_object_new_boolean(is_one_to_one));
    int size =
        snprintf(out, room, "%s", json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));

    free(cpus);
    json_object_put(object);
    return size < 0 ? 0 : (size_t)size;
}
