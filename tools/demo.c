/*
 * tools/demo.c - `millrace demo`, which is what `make run` runs: a real directory over HTTP/3, from
 * one core to another over a wire in memory, every byte checked.
 *
 *     site -> EAL -> edge's server | wire | client -> downloads, small requests, handshakes
 *     -> the AEAD ceiling on the server's core -> table
 */
#include <json-c/json.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/aead_ceiling.h"
#include "control/eal.h"
#include "http3/server.h"
#include "tools/bench_world.h"
#include "tools/demo_client.h"
#include "tools/host.h"
#include "tools/report.h"
#include "tools/tools.h"
#include "tools/verdict.h"

#define PAYLOAD         1452u
#define CONNECTIONS     2048 /* closing ones linger for three PTO */
#define HELPERS         2
#define WINDOW_MAX      ((uint64_t)64 << 20)
#define MEMORY_MB       256
#define DOWNLOAD_SHARE  0.6 /* of the time given; requests and handshakes share the rest */
#define REQUEST_SHARE   0.2
#define CEILING_SECONDS 0.4
#define PATIENCE_NS     (5 * MR_SECOND) /* for a load to begin, and for the first of what it does */
#define POLL_SECONDS    0.05
#define OVERHEAD_BYTES  41 /* short header, STREAM header, tag of a full packet, typically */

enum phase {
    DOWNLOADS,
    REQUESTS,
    HANDSHAKES,
    PHASES
};

/* What one phase measured. */
struct figures {
    double seconds;
    struct mr_shard_stats stats; /* the server's */
    struct mr_counters quic;
    struct mr_demo_counts counts;
};

struct demo {
    const char *root;
    double seconds;
    uint64_t size;
    bool is_json;
    bool is_verbose;

    struct mr_site site;
    struct mr_h3_server *server;
    struct mr_demo_client *client;
    struct mr_application server_application;
    struct mr_application client_application;
    struct mr_world world;
    bool has_eal;
    bool was_interrupted;
    struct figures figures[PHASES];
    double ceiling_ns;
    const char *backend;
    uint32_t lost_mbufs;
};

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ------------------------------------------------------------------ making */

static bool open_site(struct demo *demo, struct mr_fault *fault)
{
    return demo->root != NULL ? mr_site_open(&demo->site, demo->root, fault)
                              : mr_site_open_default(&demo->site, demo->size, fault);
}

static bool make_applications(struct demo *demo, struct mr_fault *fault)
{
    struct mr_h3_server_config config = mr_h3_server_config_default(CONNECTIONS);

    config.root = demo->site.root;
    if (mr_h3_server_new(&config, &demo->server, fault) != 0)
        return false;
    demo->client = mr_demo_client_make(&demo->site, mr_world_server_address(), fault);
    if (demo->client == NULL)
        return false;
    demo->server_application = *mr_h3_server_application(demo->server);
    demo->client_application = *mr_demo_client_application(demo->client);
    return true;
}

static bool make_world(struct demo *demo, struct mr_fault *fault)
{
    struct mr_eal_config eal = {.worker_count = 2,
                                .memory_mb = MEMORY_MB,
                                .shares_cores = true,
                                .is_verbose = demo->is_verbose};
    struct mr_world_config config = mr_world_config_default();

    config.payload_max = PAYLOAD;
    config.connections = CONNECTIONS;
    config.alpn = (const uint8_t *)"\002h3";
    config.alpn_size = 3;
    config.helper_count = HELPERS;
    config.window_max = WINDOW_MAX;
    config.server_applications = &demo->server_application;
    config.client_applications = &demo->client_application;
    demo->has_eal = mr_eal_start(&eal, fault);
    return demo->has_eal && mr_world_make(&demo->world, &config, fault);
}

/* ------------------------------------------------------------------ measuring */

static void snapshot(const struct demo *demo, struct figures *out)
{
    mr_group_stats(&demo->world.server, &out->stats);
    mr_group_counters(&demo->world.server, &out->quic);
    mr_demo_client_read(demo->client, &out->counts);
    out->seconds = now_s();
}

/* All but `seconds` are words. */
static void subtract(struct figures *from, const struct figures *what)
{
    double seconds = from->seconds - what->seconds;
    uint64_t *to = (uint64_t *)(void *)&from->stats;
    const uint64_t *less = (const uint64_t *)(const void *)&what->stats;

    for (size_t i = 0; i < (sizeof(*from) - offsetof(struct figures, stats)) / sizeof(*to); i++)
        to[i] -= less[i];
    from->seconds = seconds;
}

/* Wait at most `seconds`; a signal ends the demo. */
static void wait_s(struct demo *demo, double seconds)
{
    if (seconds > 0 && !demo->was_interrupted)
        demo->was_interrupted = mr_signal_wait((uint64_t)(seconds * 1e9));
}

static void show(const struct demo *demo, double at, const struct figures *step)
{
    char text[MR_REPORT_BYTES];
    struct mr_demo_counts all;

    if (demo->is_json)
        return;
    mr_demo_client_read(demo->client, &all);
    fprintf(stderr,
            "%4.0f s  %7.2f Gbit/s  %8.0f packets/s  %7.0f requests/s  %5.0f handshakes/s"
            "  %s checked, %llu bytes wrong\n",
            at, (double)step->counts.bytes * 8e-9 / step->seconds,
            (double)step->stats.datagrams_sent / step->seconds,
            (double)step->counts.requests / step->seconds,
            (double)step->counts.handshakes / step->seconds,
            mr_report_bytes((double)all.bytes, text), (unsigned long long)all.bad_bytes);
}

/* Nothing of what a phase is for has been done since `first`. */
static bool is_empty(enum phase phase, const struct figures *first, const struct figures *last)
{
    const struct mr_demo_counts *a = &first->counts;
    const struct mr_demo_counts *b = &last->counts;

    switch (phase) {
    case DOWNLOADS:
        return a->bytes == b->bytes;
    case REQUESTS:
        return a->requests == b->requests;
    default:
        return a->handshakes == b->handshakes;
    }
}

/* Run a load for `seconds`, with a line each second of the whole demo, which began at `begin`.  On
 * cores that others have, one that nothing was done of goes on until something is. */
static bool run_phase(struct demo *demo, enum phase phase, double begin, double seconds)
{
    static const enum mr_demo_load loads[PHASES] = {[DOWNLOADS] = MR_DEMO_TRANSFER,
                                                    [REQUESTS] = MR_DEMO_REQUESTS,
                                                    [HANDSHAKES] = MR_DEMO_HANDSHAKES};
    double patience = now_s() + (double)PATIENCE_NS * 1e-9;
    struct figures first;
    struct figures last;
    struct figures now;

    mr_demo_client_set_load(demo->client, loads[phase]);
    while (mr_demo_client_load(demo->client) != loads[phase] && now_s() < patience)
        wait_s(demo, 0.002);
    snapshot(demo, &first);
    last = first;
    double end = first.seconds + seconds;
    double limit = end + (double)PATIENCE_NS * 1e-9;
    while (!demo->was_interrupted && last.seconds < end) {
        double next = begin + (double)((long)(last.seconds - begin) + 1);

        wait_s(demo, (next < end ? next : end) - now_s());
        snapshot(demo, &now);
        struct figures step = now;
        subtract(&step, &last);
        if (next < end)
            show(demo, now.seconds - begin, &step);
        last = now;
        if (last.seconds >= end && last.seconds < limit && is_empty(phase, &first, &last))
            end = last.seconds + POLL_SECONDS;
    }
    demo->figures[phase] = last;
    subtract(&demo->figures[phase], &first);
    return !demo->was_interrupted;
}

static void run(struct demo *demo)
{
    double begin = now_s();
    double rest = 1 - DOWNLOAD_SHARE - REQUEST_SHARE;

    if (run_phase(demo, DOWNLOADS, begin, demo->seconds * DOWNLOAD_SHARE) &&
        run_phase(demo, REQUESTS, begin, demo->seconds * REQUEST_SHARE))
        run_phase(demo, HANDSHAKES, begin, demo->seconds * rest);
    mr_demo_client_set_load(demo->client, MR_DEMO_NONE);
    for (int i = 0; i < 100 && mr_demo_client_load(demo->client) != MR_DEMO_NONE; i++)
        (void)mr_signal_wait(10 * MR_MS);
}

/* On the server's worker, after the server. */
static int measure_ceiling(void *argument)
{
    struct demo *demo = argument;
    struct mr_aead *aead = mr_aead_open(MR_AEAD_AUTO);

    demo->backend = mr_aead_name(aead);
    demo->ceiling_ns = mr_aead_ceiling_ns(aead, MR_CIPHER_AES_128_GCM, PAYLOAD, (size_t)256 << 20,
                                          CEILING_SECONDS);
    mr_aead_close(aead);
    return 0;
}

/* ------------------------------------------------------------------ results */

/* What the table and the JSON object are made of. */
struct results {
    double goodput_gbps;
    double packets_per_s;
    double requests_per_s;
    double handshakes_per_s;
    double latency_us[3]; /* p50, p99, p99.9 */
    double ns_per_packet;
    double stage_cycles[MR_STAGES]; /* per packet */
    double stage_ns[MR_STAGES];
    double ceiling_gbps;
    struct mr_demo_counts all;
};

static struct results results_of(const struct demo *demo)
{
    static const double quantiles[3] = {0.5, 0.99, 0.999};
    const struct figures *down = &demo->figures[DOWNLOADS];
    const struct figures *small = &demo->figures[REQUESTS];
    const struct figures *shake = &demo->figures[HANDSHAKES];
    const struct mr_histogram *latency = mr_demo_client_latency(demo->client);
    double packets = (double)MR_MAX(down->stats.datagrams_sent, (uint64_t)1);
    struct mr_clock clock = mr_clock_init();
    struct results r = {
        .goodput_gbps = (double)down->counts.bytes * 8e-9 / down->seconds,
        .packets_per_s = (double)down->stats.datagrams_sent / down->seconds,
        .requests_per_s = small->seconds > 0 ? (double)small->counts.requests / small->seconds : 0,
        .handshakes_per_s =
            shake->seconds > 0 ? (double)shake->counts.handshakes / shake->seconds : 0,
        .ns_per_packet = (double)mr_clock_ns(&clock, down->stats.busy_cycles) / packets,
        .ceiling_gbps = (PAYLOAD - OVERHEAD_BYTES) * 8 / demo->ceiling_ns,
    };

    for (int i = 0; i < 3; i++)
        r.latency_us[i] = (double)mr_histogram_quantile(latency, quantiles[i]) * 1e-3;
    for (int i = 0; i < MR_STAGES; i++) {
        r.stage_cycles[i] = (double)down->stats.stage_cycles[i] / packets;
        r.stage_ns[i] = (double)mr_clock_ns(&clock, down->stats.stage_cycles[i]) / packets;
    }
    mr_demo_client_read(demo->client, &r.all);
    return r;
}

static void add_number(struct json_object *json, const char *name, double value)
{
    json_object_object_add(json, name, json_object_new_double(value));
}

static void print_json(const struct demo *demo, const struct results *r)
{
    static const char *const names[3] = {"p50", "p99", "p999"};
    struct json_object *json = json_object_new_object();
    struct json_object *latency = json_object_new_object();
    struct json_object *stages = json_object_new_object();

    json_object_object_add(json, "demo", json_object_new_string(demo->site.root));
    json_object_object_add(json, "crypto", json_object_new_string(demo->backend));
    json_object_object_add(json, "files", json_object_new_int64(demo->site.count));
    add_number(json, "seconds", demo->figures[DOWNLOADS].seconds);
    add_number(json, "goodput_gbps", r->goodput_gbps);
    add_number(json, "packets_per_s", r->packets_per_s);
    add_number(json, "requests_per_s", r->requests_per_s);
    add_number(json, "handshakes_per_s", r->handshakes_per_s);
    for (int i = 0; i < 3; i++)
        add_number(latency, names[i], r->latency_us[i]);
    json_object_object_add(json, "latency_us", latency);
    add_number(json, "server_ns_per_packet", r->ns_per_packet);
    for (int i = 0; i < MR_STAGES; i++)
        add_number(stages, mr_stage_name((enum mr_stage)i), r->stage_ns[i]);
    json_object_object_add(json, "server_stage_ns", stages);
    add_number(json, "aead_ceiling_gbps", r->ceiling_gbps);
    add_number(json, "ratio_to_ceiling", r->goodput_gbps / r->ceiling_gbps);
    json_object_object_add(json, "bytes_checked", json_object_new_int64((int64_t)r->all.bytes));
    json_object_object_add(json, "bad_bytes", json_object_new_int64((int64_t)r->all.bad_bytes));
    json_object_object_add(json, "failed", json_object_new_int64((int64_t)r->all.failed));
    json_object_object_add(json, "lost_mbufs", json_object_new_int64(demo->lost_mbufs));
    printf("%s\n", json_object_to_json_string_ext(json, JSON_C_TO_STRING_PRETTY |
                                                            JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(json);
}

static void print_stages(const struct results *r)
{
    double sum = 0;

    printf("\n  server, per packet      cycles       ns\n");
    for (int i = 0; i < MR_STAGES; i++) {
        sum += r->stage_cycles[i];
        printf("    %-18s %9.0f %8.1f\n", mr_stage_name((enum mr_stage)i), r->stage_cycles[i],
               r->stage_ns[i]);
    }
    printf("    %-18s %9.0f %8.1f\n\n", "sum", sum, r->ns_per_packet);
}

static void print_table(const struct demo *demo, const struct results *r)
{
    char text[2][MR_REPORT_BYTES];

    printf("\n%s: %u files, %s%s\n", demo->site.root, demo->site.count,
           mr_report_bytes((double)demo->site.bytes, text[0]),
           demo->site.left_out > 0 ? ", others left out" : "");
    printf("one server core, one client core, wire in memory, AES-128-GCM by %s\n\n",
           demo->backend);
    printf("  goodput            %10.2f Gbit/s     %u downloads at a time, every byte checked\n",
           r->goodput_gbps, MR_DEMO_DOWNLOADS);
    printf("  packets            %10.0f /s         %u bytes of UDP payload at most\n",
           r->packets_per_s, PAYLOAD);
    printf(
        "  requests           %10.0f /s         small files, %d connections, one at a time each\n",
        r->requests_per_s, MR_DEMO_CONNECTIONS);
    printf("  their latency      %10.0f us p50     %.0f us p99, %.0f us p99.9\n", r->latency_us[0],
           r->latency_us[1], r->latency_us[2]);
    printf("  full handshakes    %10.0f /s         ECDSA P-256, %d at a time\n",
           r->handshakes_per_s, MR_DEMO_CONNECTIONS);
    print_stages(r);
    printf("  AEAD ceiling       %10.2f Gbit/s     what this core seals and nothing else\n",
           r->ceiling_gbps);
    printf("  goodput to ceiling %10.2f\n\n", r->goodput_gbps / r->ceiling_gbps);
    printf(
        "  checked            %10s            %llu wrong bytes, %llu failures, %u buffers lost\n",
        mr_report_bytes((double)r->all.bytes, text[1]), (unsigned long long)r->all.bad_bytes,
        (unsigned long long)r->all.failed, demo->lost_mbufs);
}

/* ------------------------------------------------------------------ the command */

static int serve(struct demo *demo)
{
    mr_world_launch(&demo->world);
    run(demo);
    mr_world_stop(&demo->world);
    demo->lost_mbufs = mr_world_free(&demo->world);
    if (demo->was_interrupted) {
        fprintf(stderr, "millrace demo: interrupted\n");
        return MR_EXIT_FAILED;
    }
    mr_eal_launch(0, measure_ceiling, demo);
    mr_eal_join(0);

    struct results r = results_of(demo);
    if (demo->is_json)
        print_json(demo, &r);
    else
        print_table(demo, &r);
    fflush(stdout);
    return mr_verdict_give(&(struct mr_verdict){
        .command = "demo",
        .missing = r.all.handshakes == 0 ? "handshake"
                   : r.all.bytes == 0    ? "byte of content"
                                         : NULL,
        .seconds = demo->seconds,
        .failed = r.all.failed,
        .failure = mr_demo_client_failure(demo->client),
        .bad_bytes = r.all.bad_bytes,
        .lost_mbufs = demo->lost_mbufs,
    });
}

static enum mr_parse_result parse(struct demo *demo, int argc, char **argv, struct mr_fault *fault)
{
    const struct mr_option options[] = {
        {.name = "root",
         .kind = MR_OPTION_TEXT,
         .to = &demo->root,
         .argument = "DIR",
         .help = "serve your files (the project's docs and a large file of known content)"},
        {.name = "size",
         .kind = MR_OPTION_SIZE,
         .to = &demo->size,
         .argument = "SIZE",
         .help = "of the large file, made once in your cache directory (1G)",
         .min = 1048576,
         .max = 1099511627776.0},
        {.name = "seconds",
         .kind = MR_OPTION_REAL,
         .to = &demo->seconds,
         .argument = "S",
         .help = "how long (10)",
         .min = 0.5,
         .max = 86400},
        {.name = "json",
         .kind = MR_OPTION_FLAG,
         .to = &demo->is_json,
         .help = "print the results as one JSON object, no progress"},
        {.name = "verbose",
         .kind = MR_OPTION_FLAG,
         .to = &demo->is_verbose,
         .help = "show DPDK's log"},
        {.name = NULL},
    };
    struct mr_command_line line = {
        .usage = "millrace demo [--root DIR] [options]",
        .about = "Serve a directory over HTTP/3 from one core to another over a wire in memory, "
                 "check every byte, and say how fast that was and where the time went.",
        .options = options,
    };

    return mr_options_parse(&line, argc, argv, fault);
}

static void close_demo(struct demo *demo)
{
    if (demo->has_eal)
        mr_world_free(&demo->world);
    mr_demo_client_free(demo->client);
    mr_h3_server_free(demo->server);
    mr_site_close(&demo->site);
    if (demo->has_eal)
        mr_eal_stop();
}

int mr_tool_demo(int argc, char **argv)
{
    static struct demo demo; /* large */
    struct mr_fault fault = {0};
    int status = MR_EXIT_FAILED;

    demo = (struct demo){.seconds = 10, .size = (uint64_t)1 << 30, .backend = ""};
    switch (parse(&demo, argc, argv, &fault)) {
    case MR_PARSE_HELP:
        return MR_EXIT_OK;
    case MR_PARSE_ERROR:
        mr_tool_complain("demo", &fault);
        return MR_EXIT_USAGE;
    case MR_PARSE_OK:
        break;
    }
    mr_signal_block();
    if (mr_tls_library_check(&fault) == 0 && open_site(&demo, &fault) &&
        make_applications(&demo, &fault) && make_world(&demo, &fault))
        status = serve(&demo);
    else
        mr_tool_complain("demo", &fault);
    close_demo(&demo);
    return status;
}
