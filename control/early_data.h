/*
 * control/early_data.h - what a process keeps in order to take 0-RTT: the register of first flights
 * of quic/replay.h, in memory of its own.
 *
 * Owner: whoever makes the server's TLS contexts; outlives them.  Threads: make and free on one;
 * the register is for all.
 */
#ifndef MR_CONTROL_EARLY_DATA_H
#define MR_CONTROL_EARLY_DATA_H

#include "base/fault.h"
#include "quic/replay.h"

#define MR_EARLY_ENTRIES (UINT32_C(1) << 18) /* first flights: 2 MiB */

/* A register for `entries` first flights, an instance of its own.  NULL with `fault` set. */
struct mr_replay *mr_early_data_make(uint32_t entries, struct mr_fault *fault);

/* NULL is harmless. */
void mr_early_data_free(struct mr_replay *replay);

/* The clock of its checks, and of the age of tickets: CLOCK_MONOTONIC, ns. */
uint64_t mr_early_data_clock(void);

#endif /* MR_CONTROL_EARLY_DATA_H */
