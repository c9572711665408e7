/*
 * tools/report.h - what a group of shards has done, in lines for people.
 *
 * Owner: the caller.  Threads: the control thread; counters are read relaxed while shards run.
 */
#ifndef MR_TOOLS_REPORT_H
#define MR_TOOLS_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "control/group.h"
#include "http3/counters.h"

#define MR_REPORT_BYTES 16 /* of the text of a size */

struct mr_report {
    uint32_t connections; /* now */
    struct mr_shard_stats stats;
    struct mr_counters quic;
    struct mr_net_counters net;
    struct mr_h3_counters h3;
    bool has_h3; /* it was added */
};

/* Read all but HTTP/3, which becomes zero. */
void mr_report_read(struct mr_report *report, const struct mr_group *group);

/* Add one server's or client's. */
void mr_report_add_h3(struct mr_report *report, const struct mr_h3_counters *counters);

/* The counters of the network's layer and of QUIC's, as one list: their number, names, values.
 * mr_report_is_drop(): what it counts went nowhere. */
size_t mr_report_counters(void);
const char *mr_report_counter_name(size_t index);
uint64_t mr_report_counter(const struct mr_report *report, size_t index);
bool mr_report_is_drop(const char *name);

/* One line: connections, how many of them sleep if any ever did, rates over `seconds`, drops. */
void mr_report_status(FILE *to, const struct mr_report *before, const struct mr_report *now,
                      double seconds);

/* The last lines of a command: sums, everything dropped by its reason, lost buffers. */
void mr_report_totals(FILE *to, const char *command, const struct mr_report *report,
                      uint32_t lost_mbufs);

/* "1.5 GB", decimal; returns `text`. */
const char *mr_report_bytes(double bytes, char text[MR_REPORT_BYTES]);

#endif /* MR_TOOLS_REPORT_H */
