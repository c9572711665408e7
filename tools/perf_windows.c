/* tools/perf_windows.c - see perf_windows.h. */
#include "tools/perf_windows.h"

#include <errno.h>
#include <string.h>

#define KIB        1024.0
#define WINDOW_MAX (KIB * KIB * KIB * KIB)

struct mr_perf_windows mr_perf_windows_default(void)
{
    return (struct mr_perf_windows){.stream_max = (uint64_t)16 << 20,
                                    .conn_max = (uint64_t)24 << 20};
}

void mr_perf_window_rows(struct mr_perf_windows *windows,
                         struct mr_option rows_out[MR_PERF_WINDOW_ROWS])
{
    const struct mr_option rows[MR_PERF_WINDOW_ROWS] = {
        {.name = "stream-window",
         .kind = MR_OPTION_SIZE,
         .to = &windows->stream_max,
         .argument = "SIZE",
         .help = "unread data of a stream, at most: flow control of who sends to us (16M)",
         .min = 4 * KIB,
         .max = WINDOW_MAX},
        {.name = "connection-window",
         .kind = MR_OPTION_SIZE,
         .to = &windows->conn_max,
         .argument = "SIZE",
         .help = "unread data of a connection, likewise (24M)",
         .min = 4 * KIB,
         .max = WINDOW_MAX},
    };

    memcpy(rows_out, rows, sizeof(rows));
}

bool mr_perf_windows_check(const struct mr_perf_windows *windows, struct mr_fault *fault)
{
    if (windows->conn_max >= windows->stream_max)
        return true;
    mr_fault_set(fault, EINVAL,
                 "--connection-window: %llu bytes are less than one stream may have, %llu; raise "
                 "it, or lower --stream-window",
                 (unsigned long long)windows->conn_max, (unsigned long long)windows->stream_max);
    return false;
}
