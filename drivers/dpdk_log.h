/*
 * drivers/dpdk_log.h - DPDK's log, kept from the terminal and kept for error messages.
 *
 * Owner: the process.  Threads: DPDK writes from any; read on the control thread.
 * Limits: the last MR_DPDK_LOG_SIZE bytes.
 */
#ifndef MR_DRIVERS_DPDK_LOG_H
#define MR_DRIVERS_DPDK_LOG_H

#include <stdbool.h>

#define MR_DPDK_LOG_SIZE 4096 /* bytes */

/* Catch DPDK's log from now on; also before rte_eal_init().  `is_verbose`: show it on standard
 * error as well. */
void mr_dpdk_log_start(bool is_verbose);

/* Forget what was caught. */
void mr_dpdk_log_clear(void);

/* What was caught since, whole lines, newest last; valid until the next call. */
const char *mr_dpdk_log(void);

/* The last line caught that is an error's or warning's text, "" if none; valid until the next call.
 */
const char *mr_dpdk_log_last(void);

#endif /* MR_DRIVERS_DPDK_LOG_H */
