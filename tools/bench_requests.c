/*
 * tools/bench_requests.c - `millrace bench handshake`, `request` and `latency`.
 *
 * All three are the same load with other numbers: connections made and closed,
 * small exchanges with many or one outstanding.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/histogram.h"
#include "bench/tls_ceiling.h"
#include "control/eal.h"
#include "tools/bench.h"
#include "tools/bench_compare.h"
#include "tools/bench_http3.h"
#include "tools/bench_jitter.h"

#define SLICE_SECONDS    0.025
#define OUTSTANDING      16
#define CONNECTS_AT_ONCE 64

/* ------------------------------------------------------------------ common */

static int fail(const struct mr_fault *fault)
{
    fprintf(stderr, "millrace bench: %s\n", fault->text);
    return 1;
}

static struct mr_bench *make(void)
{
    static struct mr_bench bench;

    bench.options = mr_bench_options_default();
    bench.config = mr_world_config_default();
    return &bench;
}

/* Rounded up: every shard has as many. */
static uint32_t connections_per_shard(const struct mr_bench_options *o)
{
    return o->connections / o->shards + (o->connections % o->shards != 0);
}

static void configure(struct mr_bench *b, const struct mr_bench_load *load)
{
    b->config.server_shards = b->config.client_shards = b->options.shards;
    b->config.server_io_lcores = b->options.io_lcores;
    b->config.payload_max = b->options.payload;
    b->config.cipher = (enum mr_cipher)b->options.cipher;
    b->config.crypto = (enum mr_aead_backend)b->options.crypto;
    b->config.connections = load->connections + 256;
}

/* ------------------------------------------------------------------ handshake */

struct tls_alone {
    struct mr_tls_ceiling_options options;
    struct mr_tls_ceiling *ceiling;
    struct mr_fault fault;
};

/* On the server's worker. */
static int open_tls(void *argument)
{
    struct tls_alone *t = argument;

    return mr_tls_ceiling_open(&t->options, &t->ceiling, &t->fault);
}

static bool prepare_tls(struct mr_bench *b, struct mr_fault *fault)
{
    struct tls_alone *t = b->yardstick.argument;

    mr_eal_launch(0, open_tls, t);
    mr_eal_join(0);
    if (t->ceiling == NULL)
        *fault = t->fault;
    return t->ceiling != NULL;
}

static double tls_slice(void *argument)
{
    struct tls_alone *t = argument;

    return mr_tls_ceiling_slice(t->ceiling, SLICE_SECONDS);
}

/* The server's busy time for each; infinite if there was none. */
static double handshake_cost_ns(const struct mr_bench *b, const struct mr_interval *i)
{
    uint64_t done = i->server_counters.handshakes_completed;

    return done == 0 ? INFINITY : mr_bench_ns(b, i->server.busy_cycles) / (double)done;
}

static struct json_object *report_handshakes(struct mr_bench *b, const struct mr_interval *i,
                                             uint32_t leaked)
{
    uint64_t done = i->server_counters.handshakes_completed;
    double tls_ns = mr_samples_median(&b->comparison.slices_ns);
    struct json_object *json = json_object_new_object();

    mr_bench_text(json, "bench",
                  b->options.is_early           ? "handshake, 0-RTT"
                  : b->options.wants_resumption ? "handshake, resumed"
                                                : "handshake");
    mr_bench_count(json, "tls_helpers", b->options.tls_helpers);
    mr_bench_real(json, "seconds", i->seconds);
    mr_bench_real(json, "handshakes_per_s", (double)done / i->seconds);
    mr_bench_real(json, "server_us_per_handshake", done == 0 ? 0 : handshake_cost_ns(b, i) * 1e-3);
    mr_bench_real(json, "server_tls_us_per_handshake",
                  done == 0 ? 0 : mr_bench_ns(b, i->server.tls_cycles) * 1e-3 / (double)done);
    mr_bench_ratio(json, "tls_us_per_handshake", tls_ns * 1e-3, tls_ns < 0 ? 0 : 1);
    if (b->options.tls_helpers > 0) /* then it is not all of the handshake that is compared */
        b->comparison.ratios.count = 0;
    mr_bench_add_samples(json, "ratio_to_tls", &b->comparison.ratios);
    mr_bench_add_stages(b, json, "server_stage_ns", &i->server, done);
    mr_bench_add_allocations(json, "allocations_per_handshake", i, done);
    mr_bench_add_cpu(json, i);
    mr_bench_count(json, "resumed", i->clients.resumed);
    mr_bench_count(json, "early_data_accepted", i->server_counters.early_data_accepted);
    mr_bench_count(json, "early_requests_answered", i->clients.requests);
    mr_bench_count(json, "failed", i->clients.failed);
    mr_bench_count(json, "last_error", i->clients.last_error);
    mr_bench_count(json, "leaked_buffers", leaked);
    return json;
}

static int run_handshakes(struct mr_bench *b)
{
    struct mr_fault fault = {0};
    struct mr_interval i;
    bool is_resumed = b->options.wants_resumption || b->options.is_early;
    struct tls_alone tls = {.options = {.is_resumed = is_resumed, .is_early = b->options.is_early}};
    struct mr_bench_load load = {.server = mr_world_server_address(),
                                 .connections = b->options.connections,
                                 .connects_at_once = b->options.connections,
                                 .is_handshake = true,
                                 .is_early = b->options.is_early,
                                 .down_bytes = MR_BENCH_HEADER,
                                 .wants_resumption = is_resumed};
    uint32_t leaked;

    configure(b, &load);
    b->config.connections = 16384; /* closing connections stay for three PTOs */
    b->config.has_early_data = b->options.is_early;
    b->config.tls_helpers = b->options.tls_helpers;
    b->prepare = prepare_tls;
    b->yardstick = (struct mr_bench_yardstick){
        .slice = tls_slice, .cost_ns = handshake_cost_ns, .argument = &tls};
    if (!mr_bench_start(b, &load, &fault)) {
        mr_tls_ceiling_close(tls.ceiling);
        return fail(&fault);
    }
    mr_bench_run(b, &i, &leaked);
    if (mr_tls_ceiling_reason(tls.ceiling)[0] != 0)
        fprintf(stderr, "millrace bench: the TLS library alone: %s\n",
                mr_tls_ceiling_reason(tls.ceiling));
    mr_tls_ceiling_close(tls.ceiling);
    return mr_bench_finish(report_handshakes(b, &i, leaked), b, false,
                           i.server_counters.handshakes_completed > 0 ? NULL : "handshake");
}

int mr_bench_handshake(int argc, char **argv)
{
    struct mr_bench *b = make();

    b->options.connections = 64;
    enum mr_parse_result parsed = mr_bench_parse(
        &b->options, argc, argv, "millrace bench handshake [options]",
        "Connections made and closed, as fast as the client can; server time per handshake.",
        MR_BENCH_CONNECTIONS | MR_BENCH_SHARDS | MR_BENCH_CRYPTO | MR_BENCH_RESUME |
            MR_BENCH_EARLY | MR_BENCH_HELPERS);

    return parsed == MR_PARSE_OK ? run_handshakes(b) : parsed == MR_PARSE_HELP ? 0 : 2;
}

/* ------------------------------------------------------------------ request, latency */

/* Busy time of a side for each; 0 if there was none. */
static double ns_per_request(const struct mr_bench *b, const struct mr_shard_stats *side,
                             const struct mr_interval *i)
{
    uint64_t requests = i->clients.requests;

    return requests == 0 ? 0 : mr_bench_ns(b, side->busy_cycles) / (double)requests;
}

static int run_requests(struct mr_bench *b, const struct mr_bench_load *load, const char *name)
{
    struct mr_fault fault = {0};
    struct mr_interval i;
    struct mr_histogram all;
    struct mr_bench_http3 *http3 = NULL;
    static struct mr_bench_jitter jitter;
    uint32_t leaked;

    mr_bench_jitter_init(&jitter);
    b->yardstick = (struct mr_bench_yardstick){
        .slice = mr_bench_jitter_slice, .argument = &jitter, .is_apart = true};
    configure(b, load);
    b->wants_latency = true;
    b->awaited = load->connections * b->options.shards;
    if (b->options.has_http3 ? (http3 = mr_bench_http3_start(b, load, &fault)) == NULL
                             : !mr_bench_start(b, load, &fault))
        return fail(&fault);
    mr_bench_run_with(b, &i, &leaked, &all);
    mr_bench_http3_free(http3);
    uint64_t packets = i.server.datagrams_sent;
    struct json_object *json = json_object_new_object();
    mr_bench_text(json, "bench", name);
    mr_bench_text(json, "protocol", b->options.has_http3 ? "HTTP/3" : "perf");
    mr_bench_count(json, "connections", b->awaited);
    mr_bench_count(json, "request_bytes", b->options.request_bytes);
    mr_bench_count(json, "bytes", b->options.bytes);
    mr_bench_count(json, "outstanding",
                   (uint64_t)(load->has_one_active ? 1 : load->connections) * load->streams);
    mr_bench_real(json, "seconds", i.seconds);
    mr_bench_real(json, "requests_per_s", (double)i.clients.requests / i.seconds);
    mr_bench_real(json, "server_ns_per_request", ns_per_request(b, &i.server, &i));
    mr_bench_real(json, "client_ns_per_request", ns_per_request(b, &i.client, &i));
    mr_bench_real(json, "requests_per_packet",
                  packets == 0 ? 0 : (double)i.clients.requests / (double)packets);
    mr_bench_real(json, "packets_per_s", (double)packets / i.seconds);
    mr_bench_add_latency(json, &all);
    mr_bench_jitter_add(json, &jitter);
    mr_bench_add_allocations(json, "allocations_per_request", &i, i.clients.requests);
    mr_bench_add_cpu(json, &i);
    mr_bench_add_stages(b, json, "server_stage_ns", &i.server, i.clients.requests);
    mr_bench_add_stages(b, json, "client_stage_ns", &i.client, i.clients.requests);
    mr_bench_add_io(b, json, &i, packets);
    mr_bench_count(json, "bad_bytes", i.clients.bad_bytes);
    mr_bench_count(json, "failed", i.clients.failed);
    mr_bench_count(json, "last_error", i.clients.last_error);
    mr_bench_count(json, "leaked_buffers", leaked);
    return mr_bench_finish(json, b, !i.is_complete, i.clients.requests > 0 ? NULL : "whole answer");
}

int mr_bench_request(int argc, char **argv)
{
    struct mr_bench *b = make();

    b->options.connections = 100;
    b->options.streams = OUTSTANDING;
    enum mr_parse_result parsed =
        mr_bench_parse(&b->options, argc, argv, "millrace bench request [options]",
                       "Exchanges of a small request and an answer, each on a stream of its own.",
                       MR_BENCH_CONNECTIONS | MR_BENCH_STREAMS | MR_BENCH_SHARDS | MR_BENCH_CRYPTO |
                           MR_BENCH_BYTES | MR_BENCH_HTTP3 | MR_BENCH_VERIFY | MR_BENCH_REQUEST);
    if (parsed != MR_PARSE_OK)
        return parsed == MR_PARSE_HELP ? 0 : 2;
    if (b->options.has_http3 && b->options.request_bytes != MR_BENCH_HEADER) {
        fprintf(stderr, "millrace bench: --request-bytes is not for --http3, whose requests are as "
                        "long as their fields\n");
        return 2;
    }
    struct mr_bench_load load = {.server = mr_world_server_address(),
                                 .connections = connections_per_shard(&b->options),
                                 .is_verified = b->options.is_verified,
                                 .streams = b->options.streams,
                                 .up_bytes = b->options.request_bytes - MR_BENCH_HEADER,
                                 .down_bytes = b->options.bytes,
                                 .connects_at_once = CONNECTS_AT_ONCE};

    return run_requests(b, &load, "request");
}

int mr_bench_latency(int argc, char **argv)
{
    struct mr_bench *b = make();
    enum mr_parse_result parsed =
        mr_bench_parse(&b->options, argc, argv, "millrace bench latency [options]",
                       "One exchange at a time on one connection, the others idle: how long it "
                       "takes.",
                       MR_BENCH_CONNECTIONS | MR_BENCH_CRYPTO | MR_BENCH_BYTES | MR_BENCH_ATTACHED);
    if (parsed != MR_PARSE_OK)
        return parsed == MR_PARSE_HELP ? 0 : 2;
    if (mr_bench_lacks_attached(&b->options))
        return 2;
    if (b->options.is_attached)
        return mr_compare_latency(&b->options);
    struct mr_bench_load load = {.server = mr_world_server_address(),
                                 .connections = b->options.connections,
                                 .streams = 1,
                                 .down_bytes = b->options.bytes,
                                 .connects_at_once = CONNECTS_AT_ONCE,
                                 .has_one_active = true};

    b->config.idle_timeout_ns = 3600 * MR_SECOND;
    return run_requests(b, &load, "latency");
}
