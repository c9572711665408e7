/*
 * tools/bench_compare.c - `millrace bench transfer --attached` and `latency --attached`: the same
 * server inline on its lcore and attached to it, in turns.
 *
 *     lane 0   client -- wire -- server shard, application inline
 *     lane 1   client -- wire -- server shard, host == ring == application: another process, or
 *                                                              --by-reference: a thread of this one
 *
 * It is one and the same application (bench_app.h), once on the shard's transport, once on the
 * ring's.  A transfer asks for pieces at a rate that both can keep up with, so that what differs is
 * the shard's time per packet.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cpu_list.h"
#include "control/eal.h"
#include "tools/bench.h"
#include "tools/bench_attached.h"
#include "tools/bench_compare.h"
#include "tools/bench_lanes.h"
#include "tools/tools.h"

#define SLICE_S       0.2
#define PARTS         20 /* of a slice */
#define CALIBRATE_S   0.4
#define RATE_SHARE    0.5 /* of what the attached one can do */
#define RATE_KEPT     0.9 /* of what was asked for: less, and it was too much */
#define READY_S       10.0
#define TELL_S        0.1
#define END_S         5.0
#define ROUNDS_MAX    MR_SAMPLES_MAX
#define DATA_BYTES    ((size_t)256 << 20)
#define PIECE_BYTES   (UINT64_C(1) << 20) /* of a stream */
#define AT_ONCE       4                   /* streams */
#define MEMORY_MB     512
#define LATENCY_CORES 3

enum {
    INLINE,
    ATTACHED,
    SIDES
};

struct side {
    struct mr_bench_app *client;
    struct mr_bench_app *server; /* inline's */
    struct mr_histogram *latency;
    struct mr_samples cost_ns;  /* of the shard, per packet */
    struct mr_lane_clean clean; /* of all slices */
    uint64_t wakes;             /* of the application */
    uint64_t packets;
    uint64_t bytes;
    double seconds;
    uint64_t app_ns; /* of the application, in turns that did something */
};

struct compare {
    const struct mr_bench_options *options;
    struct mr_compare_task task;
    struct mr_lanes lanes;
    struct mr_bench_attached attached;
    struct mr_perf_buffer data;
    struct mr_clock clock;
    struct side sides[SIDES];
    struct mr_samples ratios; /* of the shard's time per packet, round by round */
    double rate_gbps;
    double copies_in;  /* bytes copied to bytes that came */
    double copies_out; /* to bytes that went; of a direction without any: 0 */
    double worker_s;   /* CPU time of the worker, in slices */
    uint32_t leaked;
    bool is_latency;
    bool is_app_alone;
};

/* ------------------------------------------------------------------ making it */

static struct mr_bench_load load_of(const struct compare *c)
{
    const struct mr_bench_options *o = c->options;
    bool is_up = o->is_up;

    if (c->is_latency)
        return (struct mr_bench_load){.server = mr_world_server_address(),
                                      .connections = 1,
                                      .streams = 1,
                                      .down_bytes = o->bytes,
                                      .connects_at_once = 1,
                                      .is_paced = true};
    return (struct mr_bench_load){.server = mr_world_server_address(),
                                  .connections = 1,
                                  .streams = AT_ONCE,
                                  .down_bytes = is_up ? 0 : PIECE_BYTES,
                                  .up_bytes = is_up ? PIECE_BYTES : 0,
                                  .connects_at_once = 1,
                                  .is_verified = o->is_verified,
                                  .is_paced = true};
}

static bool make_apps(struct compare *c, struct mr_fault *fault)
{
    struct mr_bench_load load = load_of(c);
    bool has_memory = mr_perf_buffer_make(&c->data, DATA_BYTES);

    for (int i = 0; i < SIDES && has_memory; i++) {
        struct side *side = &c->sides[i];

        side->client = mr_bench_client_make(&c->data, &load);
        side->server = mr_bench_server_make(&c->data);
        side->latency = malloc(sizeof(*side->latency));
        has_memory = side->client != NULL && side->server != NULL && side->latency != NULL;
        if (!has_memory)
            break;
        side->server->load.is_verified = c->options->is_verified;
        side->server->load.is_read = true;
        mr_histogram_init(side->latency);
        side->client->shared.latency = c->is_latency ? side->latency : NULL;
    }
    if (!has_memory)
        mr_fault_set(fault, ENOMEM, "not enough memory for the applications; free 1 GiB");
    return has_memory;
}

static bool make_lanes(struct compare *c, struct mr_fault *fault)
{
    struct mr_lanes_config config = {.count = SIDES,
                                     .has_client_worker = c->is_latency,
                                     .world = mr_world_config_default(),
                                     .rings = mr_ring_sizes_default()};

    config.world.payload_max = c->options->payload;
    config.world.cipher = (enum mr_cipher)c->options->cipher;
    config.world.crypto = (enum mr_aead_backend)c->options->crypto;
    config.world.idle_timeout_ns = 3600 * MR_SECOND;
    config.world.tickets = 0;
    for (int i = 0; i < SIDES; i++)
        config.lane[i] =
            (struct mr_lane_config){.server = i == INLINE ? &c->sides[i].server->application : NULL,
                                    .client = &c->sides[i].client->application,
                                    .client_shared = &c->sides[i].client->shared};
    return mr_lanes_make(&c->lanes, &config, fault);
}

static bool start_application(struct compare *c, struct mr_fault *fault)
{
    c->task = (struct mr_compare_task){.data_bytes = DATA_BYTES,
                                       .is_verified = c->options->is_verified,
                                       .sleeps = c->options->sleeps};
    return c->options->is_by_reference
               ? mr_bench_attached_thread(&c->attached, mr_compare_serve, &c->task, fault)
               : mr_bench_attached_fork(&c->attached, mr_compare_serve, &c->task, fault);
}

static bool make(struct compare *c, struct mr_fault *fault)
{
    struct mr_eal_config eal = {.worker_count = mr_lanes_workers(c->is_latency),
                                .memory_mb = MEMORY_MB,
                                .shares_cores = true,
                                .is_verbose = c->options->is_verbose};

    if (!start_application(c, fault) || !make_apps(c, fault) || !mr_eal_start(&eal, fault))
        return false;
    if (make_lanes(c, fault)) {
        c->clock = c->lanes.clock;
        mr_lanes_launch(&c->lanes);
        return true;
    }
    mr_eal_stop();
    return false;
}

/* ------------------------------------------------------------------ measuring */

static bool await_side(struct compare *c, uint32_t index)
{
    double until = mr_lanes_now() + READY_S;
    struct mr_bench_counts counts;

    do {
        mr_lanes_sleep(&c->lanes, 0.01);
        mr_bench_read_counts(&c->sides[index].client->shared, &counts);
    } while (counts.requests == 0 && mr_lanes_now() < until);
    return counts.requests > 0;
}

static bool attach(struct compare *c, struct mr_fault *fault)
{
    double until = mr_lanes_now() + READY_S;
    uint32_t cpu = 0;

    c->is_app_alone = mr_lanes_app_cpu(&cpu);
    mr_bench_attached_go(&c->attached, c->lanes.socket,
                         UINT64_C(1) << c->lanes.lane[ATTACHED].number, cpu);
    while (!atomic_load_explicit(&c->attached.task->is_ready, memory_order_acquire) &&
           mr_bench_attached_is_alive(&c->attached) && mr_lanes_now() < until)
        mr_lanes_sleep(&c->lanes, 0.01);
    if (atomic_load(&c->attached.task->is_ready) && mr_bench_attached_is_alive(&c->attached))
        return true;
    mr_fault_set(fault, EIO, "the application does not attach: %s", c->attached.task->fault.text);
    return false;
}

static bool begin(struct compare *c, struct mr_fault *fault)
{
    if (!attach(c, fault))
        return false;
    for (uint32_t i = 0; i < SIDES; i++) {
        mr_lanes_select(&c->lanes, i);
        if (!await_side(c, i)) {
            mr_fault_set(fault, ETIMEDOUT, "nothing came from the %s server within %.0f s",
                         i == INLINE ? "inline" : "attached", READY_S);
            return false;
        }
    }
    return true;
}

static uint64_t bytes_of(const struct compare *c, const struct mr_lane_figures *f)
{
    /* upwards: what is over there is told by nobody but the answer */
    return c->options->is_up ? f->clients.requests * PIECE_BYTES : f->clients.bytes_received;
}

/* Half of what the attached server can do, from now on for both. */
static void set_rate(struct compare *c)
{
    struct mr_lane_figures begin;
    struct mr_lane_figures end;

    c->rate_gbps = c->options->rate_gbps;
    if (c->rate_gbps == 0) {
        mr_lanes_select(&c->lanes, ATTACHED);
        mr_lanes_read(&c->lanes, ATTACHED, &begin);
        mr_lanes_sleep(&c->lanes, CALIBRATE_S);
        mr_lanes_read(&c->lanes, ATTACHED, &end);
        mr_lanes_subtract(&end, &begin);
        c->rate_gbps = RATE_SHARE * (double)bytes_of(c, &end) * 8e-9 / end.seconds;
    }
    for (int i = 0; i < SIDES; i++)
        atomic_store_explicit(&c->sides[i].client->every_ns,
                              (uint64_t)(PIECE_BYTES * 8 / c->rate_gbps), memory_order_relaxed);
}

/* A part of a slice: the shard's ns per packet, or NAN.  Parts are short, so that a median of
 * theirs has none in which something else had the core. */
static double measure_part(struct compare *c, uint32_t index)
{
    struct side *side = &c->sides[index];
    struct mr_lane_figures begin;
    struct mr_lane_figures end;

    mr_lanes_read(&c->lanes, index, &begin);
    mr_lanes_sleep(&c->lanes, SLICE_S / PARTS);
    mr_lanes_read(&c->lanes, index, &end);
    mr_lanes_subtract(&end, &begin);
    uint64_t packets =
        c->options->is_up ? end.client.full_packets_sent : end.server.full_packets_sent;
    uint64_t clean = c->options->is_up ? end.clean.client_packets : end.clean.server_packets;
    mr_words_add(&side->clean, &end.clean, sizeof(side->clean));
    side->wakes += end.host.wakes;
    side->packets += packets;
    side->bytes += bytes_of(c, &end);
    side->seconds += end.seconds;
    c->worker_s += end.worker_cpu;
    return clean == 0
               ? NAN
               : (double)mr_clock_ns(&c->lanes.clock, end.clean.server_cycles) / (double)clean;
}

/* Returns the median of its parts, or NAN. */
static double measure_slice(struct compare *c, uint32_t index)
{
    static struct mr_samples parts;
    struct side *side = &c->sides[index];

    parts.count = 0;
    mr_lanes_select(&c->lanes, index);
    uint64_t busy_ns = atomic_load(&c->attached.task->busy_ns);
    atomic_store(&side->client->shared.is_measuring, true);
    for (int i = 0; i < PARTS; i++) {
        double cost = measure_part(c, index);

        if (!isnan(cost))
            mr_samples_add(&parts, cost);
    }
    atomic_store(&side->client->shared.is_measuring, false);
    if (index == ATTACHED)
        side->app_ns += atomic_load(&c->attached.task->busy_ns) - busy_ns;
    if (parts.count == 0)
        return NAN;
    double cost = mr_samples_median(&parts);
    mr_samples_add(&side->cost_ns, cost);
    return cost;
}

static bool is_enough(const struct compare *c, uint32_t round)
{
    double total = (double)c->options->total_bytes;

    if (round >= ROUNDS_MAX)
        return true;
    if (total > 0)
        return (double)c->sides[INLINE].bytes >= total && (double)c->sides[ATTACHED].bytes >= total;
    return round > 0 && c->sides[INLINE].seconds >= c->options->seconds;
}

static void measure(struct compare *c)
{
    for (uint32_t round = 0; !is_enough(c, round); round++) {
        double inline_ns = measure_slice(c, INLINE);
        double attached_ns = measure_slice(c, ATTACHED);

        if (!isnan(inline_ns) && !isnan(attached_ns))
            mr_samples_add(&c->ratios, attached_ns / inline_ns);
        if (!c->options->is_json && round % 5 == 4)
            fprintf(stderr, "round %u: inline %.0f, attached %.0f ns per packet\n", round + 1,
                    inline_ns, attached_ns);
    }
}

static void count_copies(struct compare *c)
{
    struct mr_lane_figures all;

    mr_lanes_select(&c->lanes, INLINE);
    mr_lanes_select(&c->lanes, ATTACHED);
    mr_lanes_read(&c->lanes, ATTACHED, &all);
    mr_lanes_select(&c->lanes, INLINE); /* what was asked for since is answered, and told */
    mr_lanes_sleep(&c->lanes, TELL_S);
    mr_lanes_read(&c->lanes, ATTACHED, &all);
    double sent = (double)all.clients.bytes_received;
    double received = (double)atomic_load(&c->attached.task->bytes_received);
    c->copies_in = received == 0 ? 0 : (double)all.host.bytes_copied / received;
    c->copies_out = sent == 0 ? 0 : (double)atomic_load(&c->attached.task->copied_out) / sent;
}

/* ------------------------------------------------------------------ figures */

static void add_stages(const struct compare *c, struct json_object *json, const char *name,
                       const struct side *side)
{
    struct json_object *stages = json_object_new_object();

    for (int i = 0; i < MR_STAGES; i++)
        mr_bench_ratio(
            stages, mr_stage_name((enum mr_stage)i),
            (double)mr_clock_ns(&c->clock, side->clean.stage_cycles[i]),
            (double)(c->options->is_up ? side->clean.client_packets : side->clean.server_packets));
    json_object_object_add(json, name, stages);
}

static double gbps(const struct side *side)
{
    return side->seconds == 0 ? 0 : (double)side->bytes * 8e-9 / side->seconds;
}

static void add_transfer(struct compare *c, struct json_object *json)
{
    struct side *inlined = &c->sides[INLINE];
    struct side *attached = &c->sides[ATTACHED];
    bool is_kept =
        gbps(inlined) >= RATE_KEPT * c->rate_gbps && gbps(attached) >= RATE_KEPT * c->rate_gbps;

    mr_bench_text(json, "direction", c->options->is_up ? "up" : "down");
    mr_bench_real(json, "seconds", inlined->seconds);
    mr_bench_real(json, "offered_gbps", c->rate_gbps);
    mr_bench_real(json, "inline_gbps", gbps(inlined));
    mr_bench_real(json, "attached_gbps", gbps(attached));
    json_object_object_add(json, "is_rate_kept", json_object_new_boolean(is_kept));
    mr_bench_count(json, "inline_bytes", inlined->bytes);
    mr_bench_count(json, "attached_bytes", attached->bytes);
    mr_bench_add_samples(json, "inline_server_ns_per_packet", &inlined->cost_ns);
    mr_bench_add_samples(json, "attached_server_ns_per_packet", &attached->cost_ns);
    mr_bench_add_samples(json, "ratio_to_inline", &c->ratios);
    add_stages(c, json, "inline_server_stage_ns", inlined);
    add_stages(c, json, "attached_server_stage_ns", attached);
    mr_bench_ratio(json, "wakes_per_packet", (double)attached->wakes, (double)attached->packets);
    mr_bench_ratio(json, "application_ns_per_packet", (double)attached->app_ns,
                   (double)attached->packets);
    mr_bench_real(json, "copies_in", c->copies_in);
    mr_bench_real(json, "copies_out", c->copies_out);
}

static double p50_us(const struct side *side)
{
    return (double)mr_histogram_quantile(side->latency, 0.5) * 1e-3;
}

static void add_latency(const struct compare *c, struct json_object *json)
{
    mr_bench_count(json, "bytes", c->options->bytes);
    mr_bench_real(json, "inline_us_p50", p50_us(&c->sides[INLINE]));
    mr_bench_real(json, "attached_us_p50", p50_us(&c->sides[ATTACHED]));
    mr_bench_real(json, "attached_over_inline_us",
                  p50_us(&c->sides[ATTACHED]) - p50_us(&c->sides[INLINE]));
}

static void add_failures(const struct compare *c, struct json_object *json)
{
    uint64_t bad = 0;
    uint64_t failed = 0;

    for (int i = 0; i < SIDES; i++) {
        bad += c->sides[i].client->shared.counts.bad_bytes;
        bad += c->sides[i].server->shared.counts.bad_bytes;
        failed += c->sides[i].client->shared.counts.failed;
    }
    bad += atomic_load(&c->attached.task->bad_bytes);
    mr_bench_count(json, "bad_bytes", bad);
    mr_bench_count(json, "failed", failed);
    mr_bench_count(json, "leaked_buffers", c->leaked);
}

static struct json_object *head_of(const struct compare *c)
{
    struct json_object *json = json_object_new_object();

    mr_bench_text(json, "bench", c->is_latency ? "latency, attached" : "transfer, attached");
    mr_bench_text(json, "application",
                  c->options->is_by_reference ? "a thread, by reference" : "another process");
    mr_bench_text(json, "application_waits", c->options->sleeps ? "in the kernel" : "polling");
    return json;
}

static struct json_object *report(struct compare *c)
{
    struct json_object *json = head_of(c);

    mr_bench_text(json, "cores",
                  c->is_latency ? "server, client and application have one each"
                  : c->is_app_alone
                      ? "server and client take turns on one, the application has another"
                      : "shared by everybody: what follows is no measure of speed");
    json_object_object_add(json, "application_has_core", json_object_new_boolean(c->is_app_alone));
    if (c->is_latency)
        add_latency(c, json);
    else
        add_transfer(c, json);
    mr_bench_ratio(json, "worker_cpu_share", c->worker_s,
                   c->sides[INLINE].seconds + c->sides[ATTACHED].seconds);
    mr_bench_count(json, "interrupted_turns",
                   c->sides[INLINE].clean.interrupted + c->sides[ATTACHED].clean.interrupted);
    add_failures(c, json);
    return json;
}

/* ------------------------------------------------------------------ running */

static bool undo(struct compare *c, bool has_lanes, struct mr_fault *fault)
{
    if (has_lanes)
        mr_lanes_stop(&c->lanes);
    return mr_bench_attached_end(&c->attached, END_S, fault);
}

static void free_all(struct compare *c, bool has_lanes)
{
    mr_bench_attached_free(&c->attached);
    for (int i = 0; i < SIDES; i++) {
        mr_bench_app_free(c->sides[i].client);
        mr_bench_app_free(c->sides[i].server);
        free(c->sides[i].latency);
    }
    mr_perf_buffer_free(&c->data);
    if (has_lanes)
        mr_eal_stop();
}

static int run(struct compare *c)
{
    struct mr_fault fault = {0};
    int status = MR_EXIT_FAILED;
    bool has_lanes = make(c, &fault);
    bool is_good = has_lanes && begin(c, &fault);

    if (is_good && !c->is_latency)
        set_rate(c);
    if (is_good) {
        measure(c);
        count_copies(c);
    }
    is_good = undo(c, has_lanes, is_good ? &fault : NULL) && is_good;
    if (has_lanes)
        c->leaked = mr_lanes_free(&c->lanes);
    if (is_good) {
        struct json_object *json = report(c);

        mr_bench_print(json, c->options->is_json);
        status = mr_bench_judge(json, false, NULL);
        json_object_put(json);
    } else {
        fprintf(stderr, "millrace bench: %s\n", fault.text);
    }
    free_all(c, has_lanes);
    return status;
}

/* What does not go together; NULL: it does. */
static const char *misfit(const struct mr_bench_options *o)
{
    if (o->rtt_us > 0 || o->loss_percent > 0 || o->is_copied || o->is_misdirected ||
        o->has_samples || o->shards > 1 || o->io_lcores > 0 || o->connections > 1 || o->streams > 1)
        return "--attached: one connection over a plain wire; of the others it takes --up, "
               "--payload, --cipher, --crypto, --verify and --seconds";
    return NULL;
}

int mr_compare_transfer(const struct mr_bench_options *options)
{
    static struct compare c;
    const char *why = misfit(options);

    if (why != NULL) {
        fprintf(stderr, "millrace bench: %s\n", why);
        return 2;
    }
    c.options = options;
    return run(&c);
}

/* Each of the three needs a core: what takes turns has no latency of its own. */
static int say_not_measured(const struct compare *c, uint32_t cores)
{
    struct json_object *json = head_of(c);
    char text[48];

    snprintf(text, sizeof(text), "not measured: %u cores", cores);
    mr_bench_text(json, "cores", text);
    json_object_object_add(json, "inline_us_p50", NULL);
    json_object_object_add(json, "attached_us_p50", NULL);
    json_object_object_add(json, "attached_over_inline_us", NULL);
    if (c->options->is_json)
        mr_bench_print(json, true);
    else
        puts(text);
    json_object_put(json);
    return 0;
}

int mr_compare_latency(const struct mr_bench_options *options)
{
    static struct compare c;
    struct mr_cpu_list cpus;

    if (options->connections > 1) {
        fprintf(stderr, "millrace bench: --attached: one connection, without --connections\n");
        return 2;
    }
    c.options = options;
    c.is_latency = true;
    mr_cpu_list_of_thread(&cpus);
    return cpus.count < LATENCY_CORES ? say_not_measured(&c, cpus.count) : run(&c);
}
