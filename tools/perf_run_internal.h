/*
 * tools/perf_run_internal.h - what perf_run.c (phases, time line), perf_search.c (the highest rate)
 * and perf_figures.c (what was counted between two moments) share.
 *
 * Owner: mr_perf_run().  Threads: the control thread.
 */
#ifndef MR_TOOLS_PERF_RUN_INTERNAL_H
#define MR_TOOLS_PERF_RUN_INTERNAL_H

#include "tools/perf_internal.h"

#define MR_PERF_STEP_NS (10 * MR_MS) /* between looks */

struct mr_perf_run {
    struct mr_perf *perf;
    uint64_t began_ns; /* of the load */
    double shown_s;
    struct mr_perf_snapshot last; /* sample */
    bool is_live;
    double silent_s;         /* nothing has come for so long, with something asked for */
    double longest_silent_s; /* of such times, while measuring */
    bool needs_peer;         /* a server that is silent ends the phase, connections or not */
    struct mr_fault end;     /* why a phase was not passed */
};

static inline uint32_t mr_perf_shards(const struct mr_perf *perf)
{
    return perf->host_options.shards;
}

static inline double mr_perf_part(uint64_t what, uint64_t of)
{
    return of == 0 ? 0 : (double)what / (double)of;
}

/* ---- perf_run.c ---- */

void mr_perf_set_phase(struct mr_perf *perf, int phase);
void mr_perf_set_rate(struct mr_perf *perf, double rate);

/* Operations under way, of all shards. */
uint32_t mr_perf_under_way(const struct mr_perf *perf);

/* Wait, sampling, until `until_ns`.  False with run->end set: a signal came, or the server that is
 * needed is silent for --timeout. */
bool mr_perf_pass_time(struct mr_perf_run *run, const char *phase, uint64_t until_ns,
                       bool is_measured);

/* The far side's report.  NULL with `fault` set. */
struct json_object *mr_perf_ask_report(const struct mr_perf *perf, struct mr_fault *fault);

/* ---- perf_search.c ---- */

/* The highest rate that is kept becomes the run's; what was tried is in its result.  False with
 * run->end set: it was not found; then the best by now does. */
bool mr_perf_search(struct mr_perf_run *run);

/* Was the rate that was found kept while it was measured, too?  Writes why not into the result. */
void mr_perf_search_check(struct mr_perf *perf);

/* ---- perf_figures.c ---- */

void mr_perf_snapshot_take(const struct mr_perf *perf, struct mr_perf_snapshot *out);

/* The busiest core's part of the time between two snapshots. */
double mr_perf_busiest(const struct mr_perf *perf, const struct mr_perf_snapshot *from,
                       const struct mr_perf_snapshot *to);

/* Of the time between two snapshots; what the far side says, and how long it was silent, is in
 * `figures` already. */
void mr_perf_find_figures(const struct mr_perf *perf, const struct mr_perf_snapshot *from,
                          const struct mr_perf_snapshot *to, struct mr_perf_figures *figures);

#endif /* MR_TOOLS_PERF_RUN_INTERNAL_H */
