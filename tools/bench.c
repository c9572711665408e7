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
#include "tools/host.h"
#include "tools/scratch.h"
#include "tools/verdict.h"

#define DATA_BYTES    ((size_t)256 << 20)
#define MEMORY_MB     512 /* for DPDK, besides the send buffers */
#define FRAME_HEADERS 80

struct mr_bench_options mr_bench_options_default(void)
{
    return (struct mr_bench_options){.connections = 1,
                                     .streams = 1,
                                     .shards = 1,
                                     .payload = 1452,
                                     .seconds = 3,
                                     .warm_seconds = 0.5,
                                     .bytes = 64,
                                     .load_share = 0.5,
                                     .handshakes_per_s = 500,
                                     .request_bytes = MR_BENCH_HEADER};
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
        {MR_BENCH_CONNECTIONS, {.name = "connections", .kind = MR_OPTION_U32, .to = &o->connections, .argument = "N", .help = "connections", .min = 1, .max = 10000000}},
        {MR_BENCH_STREAMS, {.name = "streams", .kind = MR_OPTION_U32, .to = &o->streams, .argument = "N", .help = "streams per connection, at a time", .min = 1, .max = 1000}},
        {MR_BENCH_SHARDS, {.name = "shards", .kind = MR_OPTION_U32, .to = &o->shards, .argument = "N", .help = "server lcores, and as many client lcores (1)", .min = 1, .max = 16}},
        {MR_BENCH_SHARDS, {.name = "io-lcores", .kind = MR_OPTION_U32, .to = &o->io_lcores, .argument = "N", .help = "server lcores that only receive and send frames; 0: the shards do (0)", .max = MR_IO_LCORES_MAX}},
        {MR_BENCH_PAYLOAD, {.name = "payload", .kind = MR_OPTION_U32, .to = &o->payload, .argument = "BYTES", .help = "UDP payload of a full packet (1452)", .min = 1200, .max = 9000}},
        {MR_BENCH_CRYPTO, {.name = "cipher", .kind = MR_OPTION_CHOICE, .to = &o->cipher, .argument = "C", .help = "aes128, aes256 or chacha20 (aes128)", .choices = ciphers}},
        {MR_BENCH_CRYPTO, {.name = "crypto", .kind = MR_OPTION_CHOICE, .to = &o->crypto, .argument = "B", .help = "auto, openssl, ipsec-mb or null: no protection, to measure the rest (auto)", .choices = cryptos}},
        {MR_BENCH_TRANSFER, {.name = "up", .kind = MR_OPTION_FLAG, .to = &o->is_up, .help = "the client sends"}},
        {MR_BENCH_TRANSFER, {.name = "rtt-us", .kind = MR_OPTION_REAL, .to = &o->rtt_us, .argument = "U", .help = "round trip of the wire, microseconds (0)", .min = 0, .max = 2e6}},
        {MR_BENCH_TRANSFER, {.name = "loss", .kind = MR_OPTION_REAL, .to = &o->loss_percent, .argument = "PCT", .help = "of the data's direction, percent (0)", .min = 0, .max = 50}},
        {MR_BENCH_TRANSFER, {.name = "copy", .kind = MR_OPTION_FLAG, .to = &o->is_copied, .help = "the wire copies at the receiver, as DMA would"}},
        {MR_BENCH_TRANSFER, {.name = "misdirect", .kind = MR_OPTION_FLAG, .to = &o->is_misdirected, .help = "once connected, datagrams arrive at another shard, which passes them on"}},
        {MR_BENCH_TRANSFER, {.name = "acks-every-second", .kind = MR_OPTION_FLAG, .to = &o->acks_every_second, .help = "the receiver acknowledges each second packet, not once per burst"}},
        {MR_BENCH_TRANSFER, {.name = "samples", .kind = MR_OPTION_FLAG, .to = &o->has_samples, .help = "goodput of every 100 ms as well, in the JSON object"}},
        {MR_BENCH_TRANSFER, {.name = "no-floor", .kind = MR_OPTION_FLAG, .to = &o->has_no_floor, .help = "do not measure the floor before and after"}},
        {MR_BENCH_VERIFY, {.name = "verify", .kind = MR_OPTION_FLAG, .to = &o->is_verified, .help = "compare every byte"}},
        {MR_BENCH_RESUME, {.name = "resume", .kind = MR_OPTION_FLAG, .to = &o->wants_resumption, .help = "resume with a ticket"}},
        {MR_BENCH_EARLY, {.name = "early-data", .kind = MR_OPTION_FLAG, .to = &o->is_early, .help = "resume with a ticket, and ask for 8 bytes in 0-RTT"}},
        {MR_BENCH_HELPERS, {.name = "tls-helpers", .kind = MR_OPTION_U32, .to = &o->tls_helpers, .argument = "N", .help = "threads for the server's TLS jobs; 0: its lcores (0)", .max = MR_WORK_HELPERS_MAX}},
        {MR_BENCH_VISITORS, {.name = "load-share", .kind = MR_OPTION_REAL, .to = &o->load_share, .argument = "X", .help = "asked for on the connections, of what they can do (0.5)", .min = 0.01, .max = 1}},
        {MR_BENCH_VISITORS, {.name = "handshakes-per-second", .kind = MR_OPTION_REAL, .to = &o->handshakes_per_s, .argument = "H", .help = "new connections beside them (500)", .min = 1, .max = 100000}},
        {MR_BENCH_WAKES, {.name = "wakes", .kind = MR_OPTION_U32, .to = &o->wakes, .argument = "N", .help = "requests on connections at random, at each number of them", .min = 1, .max = 100000000}},
        {MR_BENCH_WAKES, {.name = "awake", .kind = MR_OPTION_U32, .to = &o->awake, .argument = "N", .help = "of the server's connections at once; the others sleep; 0: all (0)", .min = 0, .max = 10000000}},
        {MR_BENCH_BYTES, {.name = "bytes", .kind = MR_OPTION_SIZE, .to = &o->bytes, .argument = "B", .help = "of an answer", .min = 0, .max = 1e9}},
        {MR_BENCH_REQUEST, {.name = "request-bytes", .kind = MR_OPTION_SIZE, .to = &o->request_bytes, .argument = "B", .help = "of a request, without HTTP/3 (8)", .min = MR_BENCH_HEADER, .max = 1e9}},
        {MR_BENCH_ATTACHED, {.name = "attached", .kind = MR_OPTION_FLAG, .to = &o->is_attached, .help = "with a server's application in another process, in turns with the same one inline"}},
        {MR_BENCH_ATTACHED, {.name = "by-reference", .kind = MR_OPTION_FLAG, .to = &o->is_by_reference, .help = "--attached: as a thread of this process, nothing is copied"}},
        {MR_BENCH_ATTACHED, {.name = "sleeps", .kind = MR_OPTION_FLAG, .to = &o->sleeps, .help = "--attached: the application waits in the kernel when there is nothing, and has to be woken"}},
        {MR_BENCH_TRANSFER, {.name = "rate-gbps", .kind = MR_OPTION_REAL, .to = &o->rate_gbps, .argument = "R", .help = "--attached: what is asked for, Gbit/s (half of what it can do)", .min = 0, .max = 400}},
        {MR_BENCH_TRANSFER, {.name = "total", .kind = MR_OPTION_SIZE, .to = &o->total_bytes, .argument = "SIZE", .help = "--attached: until so much has come through each, instead of --seconds", .min = 0, .max = 1e13}},
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
    if (result == MR_PARSE_OK && !mr_scratch_guard("bench", &fault))
        result = MR_PARSE_ERROR;
    if (result == MR_PARSE_ERROR)
        mr_tool_complain("bench", &fault);
    return result;
}

bool mr_bench_lacks_attached(const struct mr_bench_options *o)
{
    bool is_lacking = !o->is_attached &&
                      (o->is_by_reference || o->sleeps || o->rate_gbps > 0 || o->total_bytes > 0);

    if (is_lacking)
        fprintf(stderr, "millrace bench: --by-reference, --sleeps, --rate-gbps and --total say how "
                        "an application is attached; add --attached\n");
    return is_lacking;
}

/* ------------------------------------------------------------------ start and stop */

/* Send buffers need more memory the longer the wire is. */
uint32_t mr_bench_memory_mb(const struct mr_world_config *c)
{
    uint32_t frame = c->payload_max + FRAME_HEADERS;
    size_t bytes = c->server_shards * mr_mbuf_pool_footprint(c->server_tx_mbufs, frame) +
                   c->client_shards * mr_mbuf_pool_footprint(c->client_tx_mbufs, frame);

    return MEMORY_MB + (uint32_t)(bytes >> 20) * 5 / 4;
}

static bool start_eal(const struct mr_bench *b, struct mr_fault *fault)
{
    struct mr_eal_config eal = {
        .worker_count = mr_group_workers(b->config.server_shards, b->config.server_io_lcores) +
                        b->config.client_shards,
        .memory_mb = mr_bench_memory_mb(&b->config) + b->more_memory_mb,
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
    s->room = (uint32_t)(b->options.seconds / MR_BENCH_SAMPLE_SECONDS) + 1;
    s->gbps = calloc(s->room, sizeof(*s->gbps));
    s->key_updates = calloc(s->room, sizeof(*s->key_updates));
    return s->gbps != NULL && s->key_updates != NULL;
}

/* More lcores than CPUs: they take turns. */
static bool are_cores_shared(void)
{
    return mr_eal_info()->worker_count > mr_eal_info()->cpu_count;
}

static void warn_of_shared_cores(void)
{
    const struct mr_eal_info *eal = mr_eal_info();

    if (are_cores_shared())
        fprintf(stderr,
                "millrace bench: %u lcores take turns on %u CPUs: what follows is no measure of "
                "speed; use fewer --shards or more CPUs\n",
                eal->worker_count, eal->cpu_count);
}

bool mr_bench_launch(struct mr_bench *b, struct mr_fault *fault)
{
    if (!make_histograms(b) || !make_samples(b)) {
        mr_fault_set(fault, ENOMEM, "not enough memory");
        return false;
    }
    if (!start_eal(b, fault))
        return false;
    warn_of_shared_cores();
    if (b->prepare != NULL && !b->prepare(b, fault)) {
        mr_eal_stop();
        return false;
    }
    b->clock = mr_clock_init();
    for (uint32_t i = 0; i < b->config.server_shards; i++)
        b->servers[i].aside = &b->aside;
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
    if (!mr_perf_buffer_make(&b->data, DATA_BYTES) || !make_apps(b, load)) {
        mr_fault_set(fault, ENOMEM,
                     "not enough memory for the applications (256 MiB of "
                     "data); free some");
        return false;
    }
    return mr_bench_launch(b, fault);
}

void mr_bench_stop_load(struct mr_bench *b)
{
    for (uint32_t i = 0; i < b->config.client_shards; i++)
        atomic_store(&b->clients[i].shared->is_stopped, true);
    mr_world_stop(&b->world);
}

uint32_t mr_bench_stop(struct mr_bench *b)
{
    mr_bench_stop_load(b);
    for (uint32_t i = 0; i < MR_SHARDS_MAX; i++) {
        if (b->client_apps[i] != NULL)
            mr_bench_app_shares(b->client_apps[i], &b->shares[0]);
        if (b->server_apps[i] != NULL)
            mr_bench_app_shares(b->server_apps[i], &b->shares[1]);
    }
    uint32_t leaked = mr_world_free(&b->world);
    for (uint32_t i = 0; i < b->config.client_shards; i++)
        free(b->clients[i].shared->latency);
    for (uint32_t i = 0; i < MR_SHARDS_MAX; i++) {
        mr_bench_app_free(b->server_apps[i]);
        mr_bench_app_free(b->client_apps[i]);
        b->server_apps[i] = b->client_apps[i] = NULL;
    }
    mr_perf_buffer_free(&b->data);
    return leaked;
}

/* ------------------------------------------------------------------ reporting */

double mr_bench_ns(const struct mr_bench *b, uint64_t cycles)
{
    return (double)mr_clock_ns(&b->clock, cycles);
}

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

void mr_bench_add_samples(struct json_object *json, const char *name, struct mr_samples *s)
{
    static const char *const endings[] = {"", "_min", "_max"};
    double median = mr_samples_median(s);
    uint32_t last = s->count == 0 ? 0 : s->count - 1;
    const double values[] = {median, s->value[0], s->value[last]};

    for (size_t i = 0; i < MR_COUNT_OF(endings); i++) {
        char key[64];

        snprintf(key, sizeof(key), "%s%s", name, endings[i]);
        mr_bench_ratio(json, key, values[i], s->count == 0 ? 0 : 1);
    }
}

void mr_bench_add_latency(struct json_object *json, const struct mr_histogram *h)
{
    struct json_object *latency = json_object_new_object();

    mr_bench_real(latency, "p50", (double)mr_histogram_quantile(h, 0.5) * 1e-3);
    mr_bench_real(latency, "p99", (double)mr_histogram_quantile(h, 0.99) * 1e-3);
    mr_bench_real(latency, "p999", (double)mr_histogram_quantile(h, 0.999) * 1e-3);
    json_object_object_add(json, "latency_us", latency);
}

void mr_bench_add_io(const struct mr_bench *b, struct json_object *json,
                     const struct mr_interval *i, uint64_t packets)
{
    mr_bench_count(json, "io_lcores", b->config.server_io_lcores);
    if (b->config.server_io_lcores == 0)
        return;
    mr_bench_ratio(json, "io_ns_per_packet", mr_bench_ns(b, i->server_io.busy_cycles),
                   (double)packets);
    mr_bench_count(json, "io_dropped", i->server_io.dropped);
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

static uint64_t count_of(struct json_object *json, const char *name)
{
    struct json_object *value = NULL;

    return json_object_object_get_ex(json, name, &value) ? (uint64_t)json_object_get_int64(value)
                                                         : 0;
}

int mr_bench_judge(struct json_object *json, bool was_told, const char *missing)
{
    struct json_object *seconds = NULL;
    char failure[64] = "";
    struct mr_verdict v = {.command = "bench",
                           .was_told = was_told,
                           .missing = missing,
                           .failed = count_of(json, "failed"),
                           .failure = failure,
                           .bad_bytes = count_of(json, "bad_bytes"),
                           .lost_mbufs = count_of(json, "leaked_buffers")};

    if (json_object_object_get_ex(json, "seconds", &seconds))
        v.seconds = json_object_get_double(seconds);
    if (json_object_object_get_ex(json, "last_error", NULL))
        snprintf(failure, sizeof(failure), "the last with error 0x%llx",
                 (unsigned long long)count_of(json, "last_error"));
    return mr_verdict_give(&v);
}

/* What lcores do that take turns is no speed: a table does not show it. */
static void withhold_speeds(struct json_object *json)
{
    static const char *const speeds[] = {"goodput_gbps", "packets_per_s", "requests_per_s",
                                         "handshakes_per_s", "seconds_to_connect"};
    char text[48];

    snprintf(text, sizeof(text), "not measured: %u cores", mr_eal_info()->cpu_count);
    for (size_t i = 0; i < MR_COUNT_OF(speeds); i++)
        if (json_object_object_get_ex(json, speeds[i], NULL))
            mr_bench_text(json, speeds[i], text);
}

void mr_bench_print(struct json_object *json, bool is_json)
{
    json_object_object_add(json, "cores_shared", json_object_new_boolean(are_cores_shared()));
    if (!is_json && are_cores_shared())
        withhold_speeds(json);
    if (is_json) {
        printf("%s\n", json_object_to_json_string_ext(json, JSON_C_TO_STRING_PRETTY |
                                                                JSON_C_TO_STRING_NOSLASHESCAPE));
        return;
    }
    print_members(json, 0);
}

int mr_bench_finish(struct json_object *json, const struct mr_bench *b, bool was_told,
                    const char *missing)
{
    mr_bench_print(json, b->options.is_json);
    int status = mr_bench_judge(json, was_told, missing);
    json_object_put(json);
    mr_eal_stop();
    return status;
}
