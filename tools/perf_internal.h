/*
 * tools/perf_internal.h - what perf_client.c (command), perf_run.c (phases) and perf_report.c
 * (results) share.
 *
 * Owner: the command.  Threads: the control thread.
 */
#ifndef MR_TOOLS_PERF_INTERNAL_H
#define MR_TOOLS_PERF_INTERNAL_H

#include <stdio.h>

#include "control/eal.h"
#include "drivers/port.h"
#include "drivers/port_facts.h"
#include "tools/host.h"
#include "tools/perf_far_report.h"
#include "tools/perf_plan.h"
#include "tools/perf_windows.h"
#include "tools/report.h"

#define MR_PERF_SAMPLES_MAX 36000 /* of the time line: an hour of 100 ms */
#define MR_PERF_SAMPLE_MS   100
#define MR_PERF_FAR_WHY     160 /* bytes */

/* Sums over the shards, at one moment. */
struct mr_perf_snapshot {
    uint64_t ns; /* monotonic */
    struct mr_perf_counts counts;
    struct mr_report report;
    struct mr_port_stats port;
    struct mr_port_losses losses; /* on purpose */
    uint64_t busy_cycles[MR_SHARDS_MAX];
    bool knows_waits;
    uint64_t core_wait_ns[MR_EAL_WORKERS_MAX]; /* of each polling thread: mr_perf_core_wait() */
};

/* A point of the time line: since the one before. */
struct mr_perf_sample {
    double at_s; /* since the load began */
    double up_bps;
    double down_bps;
    double done_ps;
    double lost; /* packets declared lost, of those sent */
    double busy; /* the busiest core's part */
    bool is_measured;
};

#define MR_PERF_TRIALS_MAX 64

/* All that the port's driver counts, at one moment. */
struct mr_perf_counters {
    uint32_t count;
    struct mr_port_counter counter[MR_PORT_COUNTERS_MAX];
};

/* A rate that was tried. */
struct mr_perf_trial {
    double rate;
    double done;         /* operations per second */
    double late;         /* part of those begun */
    double late_stalled; /* of these, where this side had stood still when they were due */
    double dropped;      /* frames, by the port that dropped more, of all its frames */
    uint64_t failed;     /* or lost with their connection */
    uint64_t not_begun;
    bool is_kept;
};

/* The least rate of a search that was not kept, and what limited it. */
struct mr_perf_over {
    double rate; /* 0: all were kept */
    double done_part;
    double late;
    enum mr_perf_limit limit;
    char why[MR_PERF_WHY];
};

/* What a run came to. */
struct mr_perf_result {
    double connect_s;                 /* until the connections were open */
    double seconds;                   /* measured */
    bool is_interrupted;              /* fewer than were asked for */
    char not_measured[MR_FAULT_SIZE]; /* why there are none, though something was tried; "" */
    uint32_t open;                    /* connections at its end */
    uint64_t unfinished;
    struct mr_perf_snapshot begin;
    struct mr_perf_snapshot end;
    struct mr_port_facts port; /* that it ran on */
    struct mr_perf_counters counters_begin;
    struct mr_perf_counters counters_end;
    struct mr_perf_kind_result kinds[MR_PERF_KINDS_MAX]; /* of all shards */
    uint32_t reason_count;
    struct mr_perf_reason reasons[MR_PERF_REASONS_MAX];
    struct json_object *far_begin;
    struct json_object *far;       /* NULL: the server was not asked, or did not answer */
    char far_why[MR_PERF_FAR_WHY]; /* why it did not */
    struct mr_perf_figures figures;
    enum mr_perf_limit limit;
    char why[2 * MR_PERF_WHY];
    struct mr_perf_over over;
    char not_kept[MR_PERF_WHY]; /* of a search: why what was measured then did not keep the rate */
    uint32_t trial_count;
    struct mr_perf_trial trials[MR_PERF_TRIALS_MAX];
    uint32_t sample_count;
    struct mr_perf_sample *samples; /* MR_PERF_SAMPLES_MAX */
};

struct mr_perf {
    struct mr_host_options host_options;
    struct mr_option_list op_texts;
    const char *server_text;
    const char *server_name;
    const char *alpn; /* NULL: the protocol's own */
    const char *ca_path;
    bool is_insecure;
    uint32_t connections;
    uint32_t connecting;
    uint32_t streams;
    double rate; /* operations per second; 0: closed loop */
    bool is_even;
    bool is_search; /* of the highest rate, which is measured then; `rate` is tried first */
    double trial_s;
    double duration_s;
    double warm_up_s;
    double timeout_s;
    struct mr_perf_windows windows;
    uint32_t key_update_after;
    uint32_t seed;
    bool is_json;
    const char *html_path;    /* NULL: none */
    FILE *html;               /* open from before the run on */
    bool is_html_new;         /* there was no such file */
    const char *control_path; /* of the secret that the server wants; NULL: it is not asked */
    bool stops_server;
    const char *loss_text; /* NULL: none */
    const char *far_loss_text;
    struct mr_port_loss_rates loss; /* on purpose, at this side's port */
    struct mr_port_loss_rates far_loss;

    struct mr_perf_plan plan; /* of each shard, but for its part of the connections */
    struct mr_ip server;
    uint16_t server_port;
    struct mr_host host;
    struct mr_tls_context tls;
    bool has_tls;
    struct mr_perf_buffer buffer;
    struct mr_perf_secret secret;
    struct mr_far *far; /* NULL: as above */
    struct mr_perf_load *loads[MR_SHARDS_MAX];
    struct mr_application applications[MR_SHARDS_MAX];
    struct mr_perf_result result;
};

/* Of the measured time; 0: nothing was measured. */
static inline double mr_perf_per_second(const struct mr_perf_result *result, uint64_t count)
{
    return result->seconds > 0 ? (double)count / result->seconds : 0;
}

/* Operations of a kind that came to their end in the measured time, each second: with the other
 * kinds' they are those of the whole. */
static inline double mr_perf_done_per_second(const struct mr_perf_result *result, uint32_t kind)
{
    return mr_perf_per_second(result, result->end.counts.done_of[kind] -
                                          result->begin.counts.done_of[kind]);
}

/* ---- perf_run.c ---- */

/* Connect, search, warm up, measure, drain, close: into `result`.  False with `fault` set: there is
 * nothing to tell; what ends it later is in the result. */
bool mr_perf_run(struct mr_perf *perf, struct mr_fault *fault);

/* ---- perf_report.c ---- */

/* A line of progress on standard error: the newest sample. */
void mr_perf_show_progress(const struct mr_perf *perf, const char *phase, bool is_live);

/* The same once nothing is begun any more: what is waited for. */
void mr_perf_show_left(uint32_t under_way, bool is_live);

/* The results, as a table or as JSON.  The exit status. */
int mr_perf_report(const struct mr_perf *perf, uint32_t lost_mbufs);

/* What its port counted while measuring: sums, then each counter of the driver under `counters`;
 * datagrams lost on purpose. */
struct json_object *mr_perf_port_counts_json(const struct mr_perf_result *result);
struct json_object *mr_perf_losses_between_json(const struct mr_perf_result *result);

/* ---- perf_html.c ---- */

/* Open the file of --html, if there is one, before anything is measured; what it holds stays until
 * the results are written.  False with `fault` set: it cannot be written. */
bool mr_perf_html_open(struct mr_perf *perf, struct mr_fault *fault);

/* Close it; `is_measured`: with the results as a page of its own, else it is as it was.  False with
 * `fault` set: it could not be written. */
bool mr_perf_html_close(struct mr_perf *perf, bool is_measured, struct mr_fault *fault);

#endif /* MR_TOOLS_PERF_INTERNAL_H */
