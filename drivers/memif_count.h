/*
 * drivers/memif_count.h - what a memif has counted since it was opened, over all its connections.
 *
 * DPDK's driver forgets with each connection what it has counted in it.  So its counters are looked
 * at before the gate opens, and after it was closed, when the driver does not know of the end yet:
 * the difference is kept.
 *
 * Owner: the port.  Threads: any but lcores; a mutex is inside.
 */
#ifndef MR_DRIVERS_MEMIF_COUNT_H
#define MR_DRIVERS_MEMIF_COUNT_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_ethdev.h>

struct mr_memif_count;

/* NULL: no memory. */
struct mr_memif_count *mr_memif_count_new(uint16_t ethdev);

/* NULL is allowed. */
void mr_memif_count_free(struct mr_memif_count *count);

/* The driver is about to count, or has done so; nothing is counted before the first time. */
void mr_memif_count_turn(struct mr_memif_count *count, bool begins);

/* As rte_eth_stats_get(), of all connections. */
void mr_memif_count_stats(struct mr_memif_count *count, struct rte_eth_stats *stats_out);

/* As rte_eth_xstats_get(), of all connections. */
int mr_memif_count_values(struct mr_memif_count *count, struct rte_eth_xstat *values_out,
                          unsigned room);

#endif /* MR_DRIVERS_MEMIF_COUNT_H */
