/*
 * tools/perf_limiter.h - why connections were not sending: samples of them, by reason.  Both ends
 * of `millrace perf` take them, perf_plan.h judges them.
 *
 * Threads: one writes, any may read what it has counted (relaxed).
 */
#ifndef MR_TOOLS_PERF_LIMITER_H
#define MR_TOOLS_PERF_LIMITER_H

#include <stdint.h>

#include "millrace/conn_info.h"

#define MR_PERF_SAMPLE_NS UINT64_C(1000000) /* between looks at a connection */

enum mr_perf_limiter {
    MR_PERF_BY_CWND,
    MR_PERF_BY_PACING,
    MR_PERF_BY_FLOW_CONTROL,
    MR_PERF_BY_APPLICATION, /* it had nothing to send */
    MR_PERF_BY_AMPLIFICATION,
    MR_PERF_BY_PORT,
    MR_PERF_BY_MEMORY,
    MR_PERF_LIMITERS,
};

/* As `limited_by` of a connection has it. */
const char *mr_perf_limiter_name(uint32_t index);

/* Add `samples` of a connection that was found so. */
void mr_perf_limiter_count(uint64_t limited[MR_PERF_LIMITERS], const struct mr_conn_info *info,
                           uint64_t samples);

#endif /* MR_TOOLS_PERF_LIMITER_H */
