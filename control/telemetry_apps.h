/*
 * control/telemetry_apps.h - who uses the datapath, on DPDK's telemetry socket: /millrace/apps.
 *
 *     control thread --publish--> rows --answer--> DPDK's telemetry thread
 *
 *     {"attachment3":{"name":"kv", "pid":4711, "conns":12, ...}, "inline0":{"name":"echo", ...}}
 *
 * Attachments are the control thread's, who is asked is another: so the rows are a copy, as old as
 * the control thread's last round.
 *
 * Owner: the process.  Threads: the control thread's; the answer is made on DPDK's, under a lock
 * that is held for copies only.  Limits: MR_TELEMETRY_APPS rows; `more` counts those left out.
 */
#ifndef MR_CONTROL_TELEMETRY_APPS_H
#define MR_CONTROL_TELEMETRY_APPS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "millrace/attach_layout.h"

#define MR_TELEMETRY_APPS 64

struct mr_telemetry_app {
    uint64_t number; /* of the attachment, or of the inline application */
    char name[MR_ATTACH_NAME];
    bool is_inline;
    uint64_t conns;
    uint64_t pid; /* attached: whose; then sums over its rings */
    uint64_t submissions;
    uint64_t completions;
    uint64_t wakes;
    uint64_t bytes_received;
    uint64_t bytes_sent;
    uint64_t events; /* inline: sums over the shards */
    uint64_t stalls;
    uint64_t longest_stall_ns;
};

/* Add the command.  False with `fault` set. */
bool mr_telemetry_apps_add(struct mr_fault *fault);

/* Replace the rows by copies of these. */
void mr_telemetry_apps_publish(const struct mr_telemetry_app *rows, uint32_t count);

#endif /* MR_CONTROL_TELEMETRY_APPS_H */
