/* tools/bench.c - see bench.h: what the kinds share. */
#include "tools/bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/eal.h"
#include "drivers/mbuf_pool.h"
#include "tools/alloc_count.h"

#define DATA_BYTES     ((size_t)256 << 20)
#define MEMORY_MB      512 /* for DPDK, besides the send buffers */
#define FRAME_HEADERS  80
#define SAMPLE_SECONDS 0.1
#define AWAIT_SECONDS  60 /* for the connections to be there */

struct mr_bench_options mr_bench_options_default(void)
{
    return (struct mr_bench_options){.connections = 1,
                                     .streams = 1,
                                     .shards = 1,
                                     .payload = 1452,
                                     .seconds = 3,
                                     .warm_seconds = 0.5,
                                     .bytes = 64};
}

/* ------------------------------------------------------------------ options */

enum {
    GROUPS_ALL = 0
};

enum mr_parse_result mr_bench_parse(struct mr_bench_options *o, int argc, char **argv,
                                    const char *usage, const char *about, uint32_t groups)
{
    static const char *const ciphers[] = {"aes128", "aes256", "chacha20", NULL};
    static const char *const cryptos[] = {"auto", "openssl", "ipsec-mb", "null", NULL};
    /* clang-format off */
    const struct {
        uint32_t group;
        struct mr_option option;
    } all[] = {
        {MR_BENCH_CONNECTIONS, {.name = "connections", .kind = MR_OPTION_U32, .to = &o->connections, .argument = "N", .help = "connections", .min = 1, .max = 2000000}},
        {MR_BENCH_STREAMS, {.name = "streams", .kind = MR_OPTION_U32, .to = &o->streams, .argument = "N", .help = "streams per connection, at a time", .min = 1, .max = 1000}},
        {MR_BENCH_SHARDS, {.name = "shards", .kind = MR_OPTION_U32, .to = &o->shards, .argument = "N", .help = "server lcores, and as many client lcores (1)", .min = 1, .max = 16}},
        {MR_BENCH_PAYLOAD, {.name = "payload", .kind = MR_OPTION_U32, .to = &o->payload, .argument = "BYTES", .help = "UDP payload of a full packet (1452)", .min = 1200, .max = 9000}},
        {MR_BENCH_CRYPTO, {.name = "cipher", .kind = MR_OPTION_CHOICE, .to = &o->cipher, .argument = "C", .help = "aes128, aes256 or chacha20 (aes128)", .choices = ciphers}},
        {MR_BENCH_CRYPTO, {.name = "crypto", .kind = MR_OPTION_CHOICE, .to = &o->crypto, .argument = "B", .help = "auto, openssl or ipsec-mb (auto)", .choices = cryptos}},
        {MR_BENCH_TRANSFER, {.name = "up", .kind = MR_OPTION_FLAG, .to = &o->is_up, .help = "the client sends"}},
        {MR_BENCH_TRANSFER, {.name = "rtt-us", .kind = MR_OPTION_REAL, .to = &o->rtt_us, .argument = "U", .help = "round trip of the wire, microseconds (0)", .min = 0, .max = 2e6}},
        {MR_BENCH_TRANSFER, {.name = "loss", .kind = MR_OPTION_REAL, .to = &o->loss_percent, .argument = "PCT", .help = "of the data's direction, percent (0)", .min = 0, .max = 50}},
        {MR_BENCH_TRANSFER, {.name = "copy", .kind = MR_OPTION_FLAG, .to = &o->is_copied, .help = "the wire copies at the receiver, as DMA would"}},
        {MR_BENCH_TRANSFER, {.name = "misdirect", .kind = MR_OPTION_FLAG, .to = &o->is_misdirected, .help = "once connected, datagrams arrive at another shard, which passes them on"}},
        {MR_BENCH_TRANSFER, {.name = "samples", .kind = MR_OPTION_FLAG, .to = &o->has_samples, .help = "goodput of every 100 ms as well, in the JSON object"}},
        {MR_BENCH_TRANSFER, {.name = "no-floor", .kind = MR_OPTION_FLAG, .to = &o->has_no_floor, .help = "do not measure the floor afterwards"}},
        {MR_BENCH_VERIFY, {.name = "verify", .kind = MR_OPTION_FLAG, .to = &o->is_verified, .help = "compare every byte"}},
        {MR_BENCH_RESUME, {.name = "resume", .kind = MR_OPTION_FLAG, .to = &o->wants_resumption, .help = "resume with a ticket"}},
        {MR_BENCH_BYTES, {.name = "bytes", .kind = MR_OPTION_SIZE, .to = &o->bytes, .argument = "B", .help = "of an answer", .min = 0, .max = 1e9}},
        {MR_BENCH_HTTP3, {.name = "http3", .kind = MR_OPTION_FLAG, .to = &o->has_http3, .help = "ask the file server of `millrace edge` over HTTP/3"}},
        {GROUPS_ALL, {.name = "seconds", .kind = MR_OPTION_REAL, .to = &o->seconds, .argument = "S", .help = "measured (3)", .min = 0.1, .max = 3600}},
        {GROUPS_ALL, {.name = "warm-up", .kind = MR_OPTION_REAL, .to = &o->warm_seconds, .argument = "S", .help = "before that (0.5)", .min = 0, .max = 3600}},
        {GROUPS_ALL, {.name = "json", .kind = MR_OPTION_FLAG, .to = &o->is_json, .help = "one JSON object on standard output"}},
        {GROUPS_ALL, {.name = "verbose", .kind = MR_OPTION_FLAG, .to = &o->is_verbose, .help = "show DPDK's log"}},
    };
    /* clang-format on */
    struct mr_option options[MR_COUNT_OF(all) + 1] = {{0}};
    struct mr_command_line line = {.usage = usage, .about = about, .options = options};
    struct mr_fault fault = {0};
    size_t count = 0;

    for (size_t i = 0; i < MR_COUNT_OF(all); i++) {
        if (all[i].group == GROUPS_ALL || (all[i].group & groups) != 0)
            options[count++] = all[i].option;
    }
    enum mr_parse_result result = mr_options_parse(&line, argc, argv, &fault);
    if (result == MR_PARSE_ERROR)
        fprintf(stderr, "millrace bench: %s\n", fault.text);
    return result;
}

/* ------------------------------------------------------------------ start and stop */

/* Send buffers need more memory the longer the wire is. */
static uint32_t memory_mb(const struct mr_world_config *c)
{
    uint32_t frame = c->payload_max + FRAME_HEADERS;
    size_t bytes = c->server_shards * mr_mbuf_pool_footprint(c->server_tx_mbufs, frame) +
                   c->client_shards * mr_mbuf_pool_footprint(c->client_tx_mbufs, frame);

    return MEMORY_MB + (uint32_t)(bytes >> 20) * 5 / 4;
}

static bool start_eal(const struct mr_bench *b, struct mr_fault *fault)
{
    struct mr_eal_config eal = {.worker_count = b->config.server_shards + b->config.client_shards,
                                .memory_mb = memory_mb(&b->config),
                                .shares_cores = true,
                                .is_verbose = b->options.is_verbose};

    return mr_eal_start(&eal, fault);
}

static bool make_apps(struct mr_bench *b, const struct mr_bench_load *load)
{
    for (uint32_t i = 0; i < b->config.server_shards; i++) {
        b->server_apps[i] = mr_bench_server_make(&b->data);
        if (b->server_apps[i] == NULL)
            return false;
        b->server_apps[i]->load.is_verified = b->options.is_verified;
        mr_bench_worker_init(&b->servers[i], &b->server_apps[i]->application,
                             &b->server_apps[i]->shared);
    }
    for (uint32_t i = 0; i < b->config.client_shards; i++) {
        b->client_apps[i] = mr_bench_client_make(&b->data, load);
        if (b->client_apps[i] == NULL)
            return false;
        mr_bench_worker_init(&b->clients[i], &b->client_apps[i]->application,
                             &b->client_apps[i]->shared);
    }
    return true;
}

static bool make_histograms(struct mr_bench *b)
{
    for (uint32_t i = 0; i < b->config.client_shards && b->wants_latency; i++) {
        struct mr_histogram *latency = malloc(sizeof(*latency));

        if (latency == NULL)
            return false;
        mr_histogram_init(latency);
        b->clients[i].shared->latency = latency;
    }
    return true;
}

static bool make_samples(struct mr_bench *b)
{
    struct mr_bench_samples *s = &b->samples;

    if (!b->options.has_samples)
        return true;
    s->room = (uint32_t)(b->options.seconds / SAMPLE_SECONDS) + 1;
    s->gbps = calloc(s->room, sizeof(*s->gbps));
    s->key_updates = calloc(s->room, sizeof(*s->key_updates));
    return s->gbps != NULL && s->key_updates != NULL;
}

bool mr_bench_launch(struct mr_bench *b, struct mr_fault *fault)
{
    if (!make_histograms(b) || !make_samples(b)) {
        mr_fault_set(fault, ENOMEM, "bench: not enough memory");
        return false;
    }
    if (!start_eal(b, fault))
        return false;
    b->clock = mr_clock_init();
    for (uint32_t i = 0; i < MR_SHARDS_MAX; i++) {
        b->server_applications[i] = b->servers[i].application;
        b->client_applications[i] = b->clients[i].application;
    }
    b->config.server_applications = b->server_applications;
    b->config.client_applications = b->client_applications;
    if (!mr_world_make(&b->world, &b->config, fault)) {
        mr_eal_stop();
        return false;
    }
    mr_world_launch(&b->world);
    return true;
}

bool mr_bench_start(struct mr_bench *b, const struct mr_bench_load *load, struct mr_fault *fault)
{
    if (!mr_bench_data_make(&b->data, DATA_BYTES) || !make_apps(b, load)) {
        mr_fault_set(fault, ENOMEM,
                     "bench: not enough memory for the applications (256 MiB of "
                     "data); free some");
        return false;
    }
    return mr_bench_launch(b, fault);
}

static void stop_clients(struct mr_bench *b)
{
    for (uint32_t i = 0; i < b->config.client_shards; i++)
        atomic_store(&b->clients[i].shared->is_stopped, true);
    mr_world_stop(&b->world);
}

uint32_t mr_bench_stop(struct mr_bench *b)
{
    stop_clients(b);
    uint32_t leaked = mr_world_free(&b->world);
    for (uint32_t i = 0; i < b->config.client_shards; i++)
        free(b->clients[i].shared->latency);
    for (uint32_t i = 0; i < MR_SHARDS_MAX; i++) {
        mr_bench_app_free(b->server_apps[i]);
        mr_bench_app_free(b->client_apps[i]);
        b->server_apps[i] = b->client_apps[i] = NULL;
    }
    mr_bench_data_free(&b->data);
    return leaked;
}

/* ------------------------------------------------------------------ measuring */

static void add_counts(struct mr_bench_counts *sum, const struct mr_bench_worker *workers,
                       uint32_t count)
{
    memset(sum, 0, sizeof(*sum));
    for (uint32_t i = 0; i < count; i++) {
        struct mr_bench_counts one;

        mr_bench_read_counts(workers[i].shared, &one);
        for (size_t k = 0; k < sizeof(one) / sizeof(uint64_t); k++)
            ((uint64_t *)(void *)sum)[k] += ((const uint64_t *)(const void *)&one)[k];
    }
}

void mr_bench_client_counts(const struct mr_bench *b, struct mr_bench_counts *out)
{
    add_counts(out, b->clients, b->config.client_shards);
}

/* Seconds of CPU time, per thread. */
static double cpu_seconds(const struct mr_bench_worker *workers, uint32_t count)
{
    uint64_t ns = 0;

    for (uint32_t i = 0; i < count; i++)
        ns += mr_bench_worker_cpu_ns(&workers[i]);
    return (double)ns * 1e-9 / count;
}

static void snapshot(const struct mr_bench *b, struct mr_interval *out)
{
    mr_group_stats(&b->world.server, &out->server);
    mr_group_stats(&b->world.client, &out->client);
    mr_group_counters(&b->world.server, &out->server_counters);
    mr_group_counters(&b->world.client, &out->client_counters);
    add_counts(&out->clients, b->clients, b->config.client_shards);
    add_counts(&out->servers, b->servers, b->config.server_shards);
    out->allocations = mr_alloc_count();
    out->server_cpu = cpu_seconds(b->servers, b->config.server_shards);
    out->client_cpu = cpu_seconds(b->clients, b->config.client_shards);
}

static void subtract(void *from, const void *what, size_t size)
{
    for (size_t i = 0; i < size / sizeof(uint64_t); i++)
        ((uint64_t *)from)[i] -= ((const uint64_t *)what)[i];
}

/* What happened between two snapshots. */
static void take_difference(struct mr_interval *end, const struct mr_interval *begin,
                            double seconds)
{
    end->seconds = seconds;
    subtract(&end->server, &begin->server, sizeof(end->server));
    subtract(&end->client, &begin->client, sizeof(end->client));
    subtract(&end->server_counters, &begin->server_counters, sizeof(end->server_counters));
    subtract(&end->client_counters, &begin->client_counters, sizeof(end->client_counters));
    subtract(&end->clients, &begin->clients, sizeof(end->clients));
    subtract(&end->servers, &begin->servers, sizeof(end->servers));
    end->allocations -= begin->allocations;
    end->server_cpu = (end->server_cpu - begin->server_cpu) / seconds;
    end->client_cpu = (end->client_cpu - begin->client_cpu) / seconds;
}

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void sleep_s(double seconds)
{
    struct timespec span = {.tv_sec = (time_t)seconds,
                            .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};

    if (seconds > 0)
        nanosleep(&span, NULL);
}

static void show_progress(const struct mr_bench *b, double second, uint64_t *bytes_before)
{
    struct mr_bench_counts clients;
    struct mr_bench_counts servers;

    add_counts(&clients, b->clients, b->config.client_shards);
    add_counts(&servers, b->servers, b->config.server_shards);
    uint64_t bytes = clients.bytes_received + servers.bytes_received;
    fprintf(stderr, "%4.0f s  %7.2f Gbit/s  %9lu requests  %8lu connections\n", second,
            (double)(bytes - *bytes_before) * 8e-9, (unsigned long)clients.requests,
            (unsigned long)clients.connected);
    *bytes_before = bytes;
}

/* The goodput since the last call, which was `seconds` ago. */
static void take_sample(struct mr_bench *b, double seconds, uint64_t *bytes_before)
{
    struct mr_bench_samples *s = &b->samples;
    struct mr_interval i;

    if (s->count == s->room)
        return;
    snapshot(b, &i);
    uint64_t bytes = i.clients.bytes_received + i.servers.bytes_received;
    s->gbps[s->count] = (double)(bytes - *bytes_before) * 8e-9 / seconds;
    s->key_updates[s->count++] =
        i.server_counters.key_updates_started + i.client_counters.key_updates_started;
    *bytes_before = bytes;
}

static void sample_until(struct mr_bench *b, double end, uint64_t bytes)
{
    double last = now_s();

    for (double due = last + SAMPLE_SECONDS; due < end; due += SAMPLE_SECONDS) {
        sleep_s(due - now_s());
        double now = now_s();
        take_sample(b, now - last, &bytes);
        last = now;
    }
}

void mr_bench_measure(struct mr_bench *b, double seconds, struct mr_interval *out)
{
    struct mr_interval begin;

    snapshot(b, &begin);
    double from = now_s();
    uint64_t bytes = begin.clients.bytes_received + begin.servers.bytes_received;
    if (b->options.has_samples)
        sample_until(b, from + seconds, bytes);
    for (double second = 1; second < seconds && !b->options.has_samples; second++) {
        sleep_s(from + second - now_s());
        if (!b->options.is_json)
            show_progress(b, second, &bytes);
    }
    sleep_s(from + seconds - now_s());
    snapshot(b, out);
    take_difference(out, &begin, now_s() - from);
}

double mr_bench_ns(const struct mr_bench *b, uint64_t cycles)
{
    return (double)mr_clock_ns(&b->clock, cycles);
}

static void set_measuring(struct mr_bench *b, bool is_measuring)
{
    for (uint32_t i = 0; i < b->config.client_shards; i++)
        atomic_store(&b->clients[i].shared->is_measuring, is_measuring);
}

/* Wait for the connections.  False: AWAIT_SECONDS were not enough. */
static bool await_connections(const struct mr_bench *b)
{
    double until = now_s() + AWAIT_SECONDS;
    struct mr_bench_counts clients;

    do {
        sleep_s(0.01);
        mr_bench_client_counts(b, &clients);
    } while (clients.connected < b->awaited && now_s() < until);
    if (clients.connected < b->awaited)
        fprintf(stderr, "millrace bench: only %lu of %u connections came within %d s\n",
                (unsigned long)clients.connected, b->awaited, AWAIT_SECONDS);
    return clients.connected >= b->awaited;
}

/* From here on every receive queue's frames go to the next one. */
static void misdirect(struct mr_port *port)
{
    uint16_t reta[MR_WIRE_RETA_COUNT];

    mr_wire_reta(port, reta);
    for (uint32_t i = 0; i < MR_WIRE_RETA_COUNT; i++)
        reta[i] = (uint16_t)((reta[i] + 1) % port->traits.queue_count);
    mr_wire_set_reta(port, reta);
}

static void warm_up_and_measure(struct mr_bench *b, struct mr_interval *interval)
{
    bool is_complete = await_connections(b);

    if (b->options.is_misdirected) {
        misdirect(b->world.server.port);
        misdirect(b->world.client.port);
    }
    sleep_s(b->options.warm_seconds);
    set_measuring(b, true);
    mr_bench_measure(b, b->options.seconds, interval);
    set_measuring(b, false);
    interval->is_complete = is_complete;
}

void mr_bench_run(struct mr_bench *b, struct mr_interval *interval, uint32_t *leaked_out)
{
    warm_up_and_measure(b, interval);
    *leaked_out = mr_bench_stop(b);
}

void mr_bench_run_with(struct mr_bench *b, struct mr_interval *interval, uint32_t *leaked_out,
                       struct mr_histogram *latency_out)
{
    warm_up_and_measure(b, interval);
    stop_clients(b);
    mr_histogram_init(latency_out);
    for (uint32_t i = 0; i < b->config.client_shards; i++)
        mr_histogram_merge(latency_out, b->clients[i].shared->latency);
    *leaked_out = mr_bench_stop(b);
}

/* ------------------------------------------------------------------ reporting */

void mr_bench_real(struct json_object *json, const char *name, double value)
{
    json_object_object_add(json, name, json_object_new_double(value));
}

void mr_bench_count(struct json_object *json, const char *name, uint64_t value)
{
    json_object_object_add(json, name, json_object_new_int64((int64_t)value));
}

void mr_bench_text(struct json_object *json, const char *name, const char *value)
{
    json_object_object_add(json, name, json_object_new_string(value));
}

void mr_bench_ratio(struct json_object *json, const char *name, double what, double count)
{
    json_object_object_add(json, name, count == 0 ? NULL : json_object_new_double(what / count));
}

void mr_bench_add_allocations(struct json_object *json, const char *name,
                              const struct mr_interval *i, uint64_t count)
{
    mr_bench_ratio(json, name, (double)i->allocations,
                   mr_alloc_count_is_available() ? (double)count : 0);
}

void mr_bench_add_cpu(struct json_object *json, const struct mr_interval *i)
{
    mr_bench_real(json, "server_cpu_share", i->server_cpu);
    mr_bench_real(json, "client_cpu_share", i->client_cpu);
}

void mr_bench_add_latency(struct json_object *json, const struct mr_histogram *h)
{
    struct json_object *latency = json_object_new_object();

    mr_bench_real(latency, "p50", (double)mr_histogram_quantile(h, 0.5) * 1e-3);
    mr_bench_real(latency, "p99", (double)mr_histogram_quantile(h, 0.99) * 1e-3);
    mr_bench_real(latency, "p999", (double)mr_histogram_quantile(h, 0.999) * 1e-3);
    json_object_object_add(json, "latency_us", latency);
}

void mr_bench_add_stages(const struct mr_bench *b, struct json_object *json, const char *name,
                         const struct mr_shard_stats *stats, uint64_t packets)
{
    struct json_object *stages = json_object_new_object();

    for (int i = 0; i < MR_STAGES; i++) {
        double ns = packets == 0 ? 0 : mr_bench_ns(b, stats->stage_cycles[i]) / (double)packets;
        json_object_object_add(stages, mr_stage_name((enum mr_stage)i), json_object_new_double(ns));
    }
    json_object_object_add(json, name, stages);
}

static void print_member(const char *name, struct json_object *value, int indent);

static void print_members(struct json_object *object, int indent)
{
    struct json_object_iterator end = json_object_iter_end(object);

    for (struct json_object_iterator i = json_object_iter_begin(object);
         !json_object_iter_equal(&i, &end); json_object_iter_next(&i))
        print_member(json_object_iter_peek_name(&i), json_object_iter_peek_value(&i), indent);
}

static void print_member(const char *name, struct json_object *value, int indent)
{
    if (json_object_is_type(value, json_type_object)) {
        printf("%*s%s\n", indent, "", name);
        print_members(value, indent + 2);
        return;
    }
    if (json_object_is_type(value, json_type_double)) {
        double d = json_object_get_double(value);
        printf("%*s%-*s %14.*f\n", indent, "", 34 - indent, name,
               d != 0 && d < 10 && d > -10 ? 3 : 1, d);
        return;
    }
    printf("%*s%-*s %14s\n", indent, "", 34 - indent, name,
           value == NULL ? "not measured" : json_object_get_string(value));
}

void mr_bench_print(struct json_object *json, bool is_json)
{
    if (is_json) {
        printf("%s\n", json_object_to_json_string_ext(json, JSON_C_TO_STRING_PRETTY |
                                                                JSON_C_TO_STRING_NOSLASHESCAPE));
        return;
    }
    print_members(json, 0);
}
