/*
 * tests/dpdk/dpdk_harness.h - EAL for a test program, without root, hugepages or a second CPU.
 *
 * Owner: the test program.  Threads: the test's.
 */
#ifndef MR_TESTS_DPDK_HARNESS_H
#define MR_TESTS_DPDK_HARNESS_H

#include <stdint.h>
#include <stdio.h>

#include "base/fault.h"
#include "control/eal.h"
#include "drivers/mbuf_pool.h"
#include "tests/unit/harness.h"

/* For CU_SuiteInfo.pInitFunc: start EAL with two workers, once in the program.  0 or an error. */
static inline int dpdk_start(void)
{
    static int result = -1;
    struct mr_eal_config config = {
        .worker_count = 2, .memory_mb = 256, .hugepages = MR_HUGEPAGES_OFF, .shares_cores = true};
    struct mr_fault fault = {0};

    if (result == 0)
        return 0;
    result = mr_eal_start(&config, &fault) ? 0 : 1;
    if (result != 0)
        fprintf(stderr, "EAL: %s\n", fault.text);
    return result;
}

/* A pool of `count` mbufs; tests fail without. */
static inline struct rte_mempool *dpdk_pool(const char *name, uint32_t count)
{
    struct mr_mbuf_pool_config config = {.name = name, .count = count, .numa_node = SOCKET_ID_ANY};
    struct mr_fault fault = {0};
    struct rte_mempool *pool = mr_mbuf_pool_create(&config, &fault);

    if (pool == NULL) {
        fprintf(stderr, "pool: %s\n", fault.text);
        CU_FAIL_FATAL("no pool");
    }
    return pool;
}

#endif /* MR_TESTS_DPDK_HARNESS_H */
