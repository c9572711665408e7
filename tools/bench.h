/*
 * tools/bench.h - `millrace bench`: what its kinds share.
 *
 * Each kind (transfer, handshake, established, request, latency, idle) is one file: options, a
 * world, a measured interval, figures.  Figures become a table for people or one
 * JSON object for programs.
 */
#ifndef MR_TOOLS_BENCH_H
#define MR_TOOLS_BENCH_H

#include <json-c/json.h>

#include "bench/samples.h"
#include "tools/bench_app.h"
#include "tools/bench_world.h"
#include "tools/options.h"

/* Options that several kinds have. */
struct mr_bench_options {
    uint32_t connections;
    uint32_t streams;
    uint32_t shards;
    uint32_t io_lcores; /* of the server */
    uint32_t payload;
    int cipher; /* enum mr_cipher */
    int crypto; /* enum mr_aead_backend */
    bool is_up;
    double rtt_us;
    double loss_percent;
    double seconds;
    double warm_seconds;
    bool is_json;
    bool is_verified;
    bool is_copied;      /* the wire copies at the receiver */
    bool is_misdirected; /* datagrams arrive at another shard */
    bool acks_every_second;
    bool has_no_floor;
    bool has_samples;
    bool wants_resumption;
    bool is_early; /* resumed, with a request in 0-RTT */
    uint32_t tls_helpers;
    double load_share;       /* of what the established connections can do */
    double handshakes_per_s; /* beside them */
    bool has_http3;
    uint64_t bytes;
    uint64_t request_bytes;
    bool is_attached;     /* the server's application is, beside the same one inline */
    bool is_by_reference; /* it is a thread of this process */
    bool sleeps;          /* it waits in the kernel, and does not poll */
    double rate_gbps;     /* 0: half of what it can do */
    uint64_t total_bytes; /* 0: for `seconds` */
    uint32_t wakes;
    uint32_t awake;
    bool is_verbose;
};

/* Groups of options; every kind has --seconds, --warm-up, --json, --verbose. */
enum mr_bench_option_groups {
    MR_BENCH_CONNECTIONS = 1,
    MR_BENCH_STREAMS = 2,
    MR_BENCH_SHARDS = 4,
    MR_BENCH_PAYLOAD = 8,
    MR_BENCH_CRYPTO = 16,
    MR_BENCH_TRANSFER = 32, /* --up, --rtt-us, --loss, --copy, --misdirect, --acks-every-second,
                               --samples, --no-floor */
    MR_BENCH_RESUME = 64,
    MR_BENCH_BYTES = 128,
    MR_BENCH_HTTP3 = 256,
    MR_BENCH_VERIFY = 512,
    MR_BENCH_ATTACHED = 1024, /* --attached, --by-reference, --sleeps */
    MR_BENCH_REQUEST = 2048,
    MR_BENCH_WAKES = 4096,
    MR_BENCH_EARLY = 8192,
    MR_BENCH_HELPERS = 16384,
    MR_BENCH_VISITORS = 32768, /* --load-share, --handshakes-per-second */
};

struct mr_bench_options mr_bench_options_default(void);

/* Options that need --attached, without it: said on standard error.  True: there is one. */
bool mr_bench_lacks_attached(const struct mr_bench_options *options);

/* Parse the command line of a kind that has `groups` of options; messages are printed. */
enum mr_parse_result mr_bench_parse(struct mr_bench_options *options, int argc, char **argv,
                                    const char *usage, const char *about, uint32_t groups);

/* Server and client figures over one interval. */
struct mr_interval {
    double seconds;
    bool is_complete; /* all connections were there before it began */
    struct mr_shard_stats server;
    struct mr_io_stats server_io; /* its I/O lcores' */
    struct mr_shard_stats client;
    struct mr_counters server_counters;
    struct mr_counters client_counters;
    struct mr_bench_counts clients; /* sums of the client applications */
    struct mr_bench_counts servers;
    uint64_t allocations; /* of the shards' threads */
    double server_cpu;    /* share of a core that a shard's thread had, 0..1 */
    double client_cpu;
};

#define MR_BENCH_SAMPLE_SECONDS 0.1

/* Goodput of every MR_BENCH_SAMPLE_SECONDS. */
struct mr_bench_samples {
    double *gbps;
    uint64_t *key_updates; /* of all connections so far */
    uint32_t count;
    uint32_t room;
};

struct mr_bench;

/*
 * Something that tells how fast the server's core is right now, for comparison: the same work done
 * alone.  A machine's speed may change within seconds, so the measured time is cut into windows,
 * and the yardstick measured between them, on a server's thread, while the rest waits:
 *
 *     warm-up  |slice| window |slice| window |slice| ... window |slice|
 *
 * Each window is compared with the slices next to it.  One that is_apart is measured before the
 * warm-up and after the last window only.
 */
struct mr_bench_yardstick {
    double (*slice)(void *argument); /* ns of one unit, taking some 30 ms; < 0: it failed */
    double (*cost_ns)(const struct mr_bench *bench, const struct mr_interval *window); /* of one
                                                     unit in the window, by the same measure */
    void *argument;
    bool is_apart;
};

struct mr_bench_comparison {
    struct mr_samples slices_ns;
    struct mr_samples ratios; /* of a window: yardstick to cost; 1: as fast as it can be */
};

/* A bench that runs: a world and its applications.  The perf protocol's are made by
 * mr_bench_start(), others by their kind, which then calls mr_bench_launch(). */
struct mr_bench {
    struct mr_bench_options options;
    struct mr_world_config config;
    struct mr_world world;
    uint32_t more_memory_mb; /* of DPDK's, beyond what the world takes */
    struct mr_perf_buffer data;
    struct mr_bench_app *server_apps[MR_SHARDS_MAX];
    struct mr_bench_app *client_apps[MR_SHARDS_MAX];
    struct mr_bench_worker servers[MR_SHARDS_MAX];
    struct mr_bench_worker clients[MR_SHARDS_MAX];
    struct mr_application server_applications[MR_SHARDS_MAX];
    struct mr_application client_applications[MR_SHARDS_MAX];
    struct mr_bench_samples samples;
    struct mr_clock clock;
    struct mr_bench_yardstick yardstick; /* slice NULL: none */
    struct mr_bench_comparison comparison;
    struct mr_bench_aside aside;
    struct mr_bench_shares shares[2]; /* of the clients' streams, of the servers'; at the end */
    /* Once EAL runs, with idle workers, and before there is a world; NULL: nothing to do. */
    bool (*prepare)(struct mr_bench *bench, struct mr_fault *fault);
    uint32_t awaited;   /* connections that must be there before anything is measured */
    bool wants_latency; /* of each request, in the clients' histograms */
};

/* The perf protocol's applications, then mr_bench_launch().  False with `fault` set. */
bool mr_bench_start(struct mr_bench *bench, const struct mr_bench_load *load,
                    struct mr_fault *fault);

/* EAL, a world with `servers` and `clients`, which were initialised; it runs.  False with `fault`
 * set. */
bool mr_bench_launch(struct mr_bench *bench, struct mr_fault *fault);
/* Nothing new is begun, and the shards stop. */
void mr_bench_stop_load(struct mr_bench *bench);
/* The same, and free; returns the mbufs that were lost. */
uint32_t mr_bench_stop(struct mr_bench *bench);

/* Everything so far; `seconds`: of the clock, the CPU times: seconds of a thread in the mean. */
void mr_bench_snapshot(const struct mr_bench *bench, struct mr_interval *out);
/* `end` becomes what happened since `begin`.  CPU times stay seconds. */
void mr_bench_difference(struct mr_interval *end, const struct mr_interval *begin);

/* MiB that DPDK is given. */
uint32_t mr_bench_memory_mb(const struct mr_world_config *config);

/* What the clients counted so far. */
void mr_bench_client_counts(const struct mr_bench *bench, struct mr_bench_counts *out);

/* Nanoseconds of TSC cycles. */
double mr_bench_ns(const struct mr_bench *bench, uint64_t cycles);

/* Warm up for options.warm_seconds, measure options.seconds, the yardstick's time not counted,
 * stop, check that nothing was lost.  With a progress line on standard error each second unless
 * is_json.
 */
void mr_bench_run(struct mr_bench *bench, struct mr_interval *interval_out, uint32_t *leaked_out);
/* The same, and the clients' latencies in one. */
void mr_bench_run_with(struct mr_bench *bench, struct mr_interval *interval_out,
                       uint32_t *leaked_out, struct mr_histogram *latency_out);

/* Members of a JSON object. */
void mr_bench_real(struct json_object *json, const char *name, double value);
void mr_bench_count(struct json_object *json, const char *name, uint64_t value);
void mr_bench_text(struct json_object *json, const char *name, const char *value);

/* `what` per `count`; null if there is nothing to divide by. */
void mr_bench_ratio(struct json_object *json, const char *name, double what, double count);

/* Allocations on the polling threads per `count`; null if this build does not count. */
void mr_bench_add_allocations(struct json_object *json, const char *name,
                              const struct mr_interval *interval, uint64_t count);

/* The share of a core that the shards' threads had: below 1, others had the rest, and speeds tell
 * little. */
void mr_bench_add_cpu(struct json_object *json, const struct mr_interval *interval);

/* `name`, `name`_min and `name`_max: the median, the least and the greatest; null if there are
 * none.
 */
void mr_bench_add_samples(struct json_object *json, const char *name, struct mr_samples *samples);

/* p50, p99, p999 in microseconds, as `latency_us`. */
void mr_bench_add_latency(struct json_object *json, const struct mr_histogram *latency);

/* `io_lcores`, and what they did per packet, if the server has any. */
void mr_bench_add_io(const struct mr_bench *bench, struct json_object *json,
                     const struct mr_interval *interval, uint64_t packets);

/* Put the stage table (ns per packet) into `json` as `name`. */
void mr_bench_add_stages(const struct mr_bench *bench, struct json_object *json, const char *name,
                         const struct mr_shard_stats *stats, uint64_t packets);

/* Print `json` as one object, or as a table of its members. */
void mr_bench_print(struct json_object *json, bool is_json);

/* The exit status for what is printed: its "failed", "last_error", "bad_bytes" and "leaked_buffers"
 * are looked at.  `missing`: see tools/verdict.h; `was_told`: likewise. */
int mr_bench_judge(struct json_object *json, bool was_told, const char *missing);

/* Print `json` and free it, end EAL; the exit status: mr_bench_judge()'s. */
int mr_bench_finish(struct json_object *json, const struct mr_bench *bench, bool was_told,
                    const char *missing);

/* The kinds: argv[0] is the kind's name.  Exit statuses. */
int mr_bench_transfer(int argc, char **argv);
int mr_bench_handshake(int argc, char **argv);
int mr_bench_established(int argc, char **argv);
int mr_bench_request(int argc, char **argv);
int mr_bench_latency(int argc, char **argv);
int mr_bench_idle(int argc, char **argv);
int mr_bench_models(int argc, char **argv);
int mr_bench_ring(int argc, char **argv);
int mr_tool_bench(int argc, char **argv);

#endif /* MR_TOOLS_BENCH_H */
