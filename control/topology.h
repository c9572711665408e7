/*
 * control/topology.h - which CPU, thread and memory belong to which NUMA node.
 *
 *     node 0: CPU 0 CPU 1 | memory        a shard's thread is pinned to one CPU (control/eal.h);
 *     node 1: CPU 2 CPU 3 | memory        its memory is wanted on the same node, not demanded
 *
 * On a machine with one node, without NUMA, or where the system calls are forbidden (containers),
 * everything is node 0 and memory is where it is: nothing fails for that.
 *
 * Owner: none.  Threads: any, but for mr_topology_dump(): the control thread.  Slow path: system
 * calls and files.
 */
#ifndef MR_CONTROL_TOPOLOGY_H
#define MR_CONTROL_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MR_NODE_UNKNOWN (-1)

/* Nodes with memory or CPUs, at least 1. */
uint32_t mr_topology_node_count(void);

/* The node of a CPU; 0 where there is no NUMA, MR_NODE_UNKNOWN for a CPU that is not there. */
int32_t mr_topology_node_of_cpu(uint32_t cpu);

/*
 * The node of a thread, or of a process's first thread (`thread` as gettid() or getpid() gives it;
 * 0: the caller): of all CPUs it may run on, if they have one node, else of the CPU it ran on last.
 * MR_NODE_UNKNOWN: it is gone.
 */
int32_t mr_topology_node_of_thread(int32_t thread);

/* Zeroed pages whose memory is taken from `node` if it has any; NULL: there is none.  With
 * MR_NODE_UNKNOWN from anywhere. */
void *mr_topology_alloc(size_t size, int32_t node);
void mr_topology_free(void *memory, size_t size);

/*
 * Prefer `node` for the whole pages within `memory`, which may be in use: what is elsewhere is
 * moved if it can be.  False: the system refuses; nothing else is wrong.
 */
bool mr_topology_bind(void *memory, size_t size, int32_t node);

/* The node that a page's memory is on; MR_NODE_UNKNOWN: it was never touched, or the system does
 * not tell. */
int32_t mr_topology_node_of_memory(const void *memory);

/* Where a shard and what belongs to it are; MR_NODE_UNKNOWN where the system does not tell, or
 * where there is no such thing. */
struct mr_topology_shard {
    uint32_t shard;
    uint32_t cpu;
    int32_t cpu_node;
    int32_t memory_node; /* connections, tables */
    int32_t buffer_node; /* what it sends from */
    int32_t card_node;
};

#define MR_TOPOLOGY_TEXT 256 /* bytes of a complaint */

/* Is something of it on another node than its CPU?  Then say what, and what to do about it. */
bool mr_topology_complain(const struct mr_topology_shard *shard, char text_out[MR_TOPOLOGY_TEXT]);

/* One polling thread, as whoever started it knows it. */
struct mr_topology_worker {
    uint32_t worker;  /* its number, control/eal.h */
    int32_t thread;   /* the kernel's number for it */
    const char *loop; /* what it runs: "shard" */
    uint32_t shard;
    const void *memory; /* of the shard; NULL: not told */
};

/*
 * Write what runs where as JSON text with its end:
 *
 *     {"nodes":1, "workers":[{"worker":0, "thread":4711, "loop":"shard", "shard":0, "cpus":[2],
 *       "cpu":2, "node":0, "memory_node":0}, ...], "one_to_one":true}
 *
 * `cpus` is what the kernel says that the thread may run on, `cpu` is there if that is a single
 * one. `one_to_one`: no thread, CPU or shard is there twice, and each thread has one CPU.  Returns
 * the bytes without the end; what does not fit in `room` is cut, as by snprintf().
 */
size_t mr_topology_dump(const struct mr_topology_worker *workers, uint32_t count, char *out,
                        size_t room);

#endif /* MR_CONTROL_TOPOLOGY_H */
