/*
 * control/telemetry.h - answers on DPDK's telemetry socket, for its dpdk-telemetry.py and for
 * collectors that speak it.
 *
 *     socket: mr_eal_folder()/dpdk_telemetry.v2, if EAL was started with has_telemetry
 *     /millrace/counters   {"quic":{...}, "net":{...}, "shards":{...}}   sums over the shards
 *     /millrace/conns      {"total":N, "shard0":N, ...}
 *     /millrace/apps       control/telemetry_apps.h
 *
 * Names are those of quic/counters.h, dataplane/net_counters.h and struct mr_shard_stats.
 *
 * Owner: the process; commands stay until mr_telemetry_stop(), and can be added again after it.
 * Threads: the control thread's; answers are made on DPDK's telemetry thread, one at a time, under
 * a lock that only these functions take.  Limits: MR_TELEMETRY_COMMANDS; 256 members of a group.
 */
#ifndef MR_CONTROL_TELEMETRY_H
#define MR_CONTROL_TELEMETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"

#define MR_TELEMETRY_COMMANDS 8

struct mr_group_set;
struct mr_telemetry_answer;

struct mr_telemetry_command {
    const char *name; /* "/millrace/apps"; static */
    const char *help; /* one line; static */
    /* On the telemetry thread: read only what any thread may read.  `parameters`: what followed the
     * name and a comma, "" if nothing did. */
    void (*answer)(void *argument, const char *parameters, struct mr_telemetry_answer *answer);
    void *argument;
};

/* Add a command, or replace the one of that name.  False with `fault` set: there are too many, or
 * DPDK refuses the name. */
bool mr_telemetry_add(const struct mr_telemetry_command *command, struct mr_fault *fault);

/* Add /millrace/counters and /millrace/conns of the shards of a set, which must outlive
 * mr_telemetry_stop(). */
bool mr_telemetry_add_groups(const struct mr_group_set *set, struct mr_fault *fault);

/* From here on commands have nothing to tell: what they read may be freed. */
void mr_telemetry_stop(void);

/* ---- for answers ---- */

/* Members come into a group `name` until mr_telemetry_end(); groups do not nest. */
void mr_telemetry_begin(struct mr_telemetry_answer *answer, const char *name);
void mr_telemetry_end(struct mr_telemetry_answer *answer);
void mr_telemetry_number(struct mr_telemetry_answer *answer, const char *name, uint64_t value);
void mr_telemetry_text(struct mr_telemetry_answer *answer, const char *name, const char *text);

#endif /* MR_CONTROL_TELEMETRY_H */
