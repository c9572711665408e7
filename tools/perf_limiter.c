/* tools/perf_limiter.c - see perf_limiter.h. */
#include "tools/perf_limiter.h"

#include <string.h>

static const char *const names[MR_PERF_LIMITERS] = {
    [MR_PERF_BY_CWND] = "cwnd",
    [MR_PERF_BY_PACING] = "pacing",
    [MR_PERF_BY_FLOW_CONTROL] = "flow control",
    [MR_PERF_BY_APPLICATION] = "application",
    [MR_PERF_BY_AMPLIFICATION] = "amplification",
    [MR_PERF_BY_PORT] = "port",
    [MR_PERF_BY_MEMORY] = "memory",
};

const char *mr_perf_limiter_name(uint32_t index)
{
    return names[index];
}

void mr_perf_limiter_count(uint64_t limited[MR_PERF_LIMITERS], const struct mr_conn_info *info,
                           uint64_t samples)
{
    for (uint32_t i = 0; i < MR_PERF_LIMITERS && info->limited_by != NULL; i++) {
        if (strcmp(info->limited_by, names[i]) == 0)
            __atomic_store_n(&limited[i], limited[i] + samples, __ATOMIC_RELAXED);
    }
}
