/*
 * tools/perf_windows.h - what a side of `millrace perf` holds unread for its peer: options of both.
 *
 * Threads: none of its own.
 */
#ifndef MR_TOOLS_PERF_WINDOWS_H
#define MR_TOOLS_PERF_WINDOWS_H

#include "tools/options.h"

#define MR_PERF_WINDOW_ROWS 3 /* of the table, its end included */

/* Windows grow by themselves, up to these bytes. */
struct mr_perf_windows {
    uint64_t stream_max;
    uint64_t conn_max;
};

/* 16 and 24 MiB: 100 Gbit/s over 1.3 ms. */
struct mr_perf_windows mr_perf_windows_default(void);

/* The rows of --stream-window and --connection-window, and the end. */
void mr_perf_window_rows(struct mr_perf_windows *windows,
                         struct mr_option rows_out[MR_PERF_WINDOW_ROWS]);

/* False with `fault` set: a stream's is more than its connection's. */
bool mr_perf_windows_check(const struct mr_perf_windows *windows, struct mr_fault *fault);

#endif /* MR_TOOLS_PERF_WINDOWS_H */
