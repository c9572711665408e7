/*
 * tools/perf_internal.h - what perf_client.c (command), perf_run.c (phases) and perf_report.c
 * (results) share.
 *
 * Owner: the command.  Threads: the control thread.
 */
#ifndef MR_TOOLS_PERF_INTERNAL_H
#define MR_TOOLS_PERF_INTERNAL_H

#include "drivers/port.h"
#include "drivers/port_facts.h"
#include "tools/host.h"
#include "tools/perf_far_report.h"
#include "tools/perf_plan.h"
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
    uint64_t busy_cycles[MR_SHARDS_MAX];
};

/* A point of the time line: since the one before. */
struct mr_perf_sample {
    double at_s; /* since the load began */
    double up_bps;
    double down_bps;
    double done_ps;
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
    double done;     /* operations per second */
    double late;     /* part of those begun */
    uint64_t failed; /* or not begun, or lost with their connection */
    bool is_kept;
};

/* What a run came to. */
struct mr_perf_result {
    double connect_s; /* until the connections were open */
    double seconds;   /* measured */
    uint32_t open;    /* connections at its end */
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
    char why[MR_PERF_WHY];
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
    uint32_t key_update_after;
    uint32_t seed;
    bool is_json;
    const char *html_path;    /* NULL: none */
    const char *control_path; /* of the secret that the server wants; NULL: it is not asked */
    bool stops_server;

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

/* ---- perf_run.c ---- */

/* Connect, warm up, measure, drain, close: into `result`.  False with `fault` set: nothing was
 * measured. */
bool mr_perf_run(struct mr_perf *perf, struct mr_fault *fault);

/* ---- perf_report.c ---- */

/* A line of progress on standard error: the newest sample. */
void mr_perf_show_progress(const struct mr_perf *perf, const char *phase, bool is_live);

/* The results, as a table or as JSON.  The exit status. */
int mr_perf_report(const struct mr_perf *perf, uint32_t lost_mbufs);

/* ---- perf_html.c ---- */

/* The results as a page of its own.  False with `fault` set: it could not be written. */
bool mr_perf_html_write(const struct mr_perf *perf, const char *path, struct mr_fault *fault);

#endif /* MR_TOOLS_PERF_INTERNAL_H */
