/*
 * tools/bench_transfer.c - `millrace bench transfer`: how fast, and where the time goes.
 *
 * The AEAD ceiling is measured after the transfer, on the server's own core.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/aead_ceiling.h"
#include "control/eal.h"
#include "tools/bench.h"

#define CEILING_SECONDS 0.5
#define OVERHEAD_BYTES  41 /* short header, STREAM header, tag of a full packet, typically */

struct ceiling {
    const struct mr_bench_options *options;
    double ns;
    const char *backend;
};

/* On the server's worker. */
static int measure_ceiling(void *argument)
{
    struct ceiling *c = argument;
    struct mr_aead *aead = mr_aead_open(MR_AEAD_AUTO);

    c->backend = mr_aead_name(aead);
    c->ns = mr_aead_ceiling_ns(aead, (enum mr_cipher)c->options->cipher, c->options->payload,
                               (size_t)256 << 20, CEILING_SECONDS);
    mr_aead_close(aead);
    return 0;
}

/* What CUBIC gets by theory: RFC 9438, Section 5.1, and the Reno model; bytes per second. */
static double theory_gbps(double loss, double rtt_s, double payload)
{
    double cubic = 1.17 * pow(rtt_s / 0.1, 0) * pow(rtt_s, 0.75) /
                   pow(loss, 0.75); /* AVG_W, segments: C = 0.4 */
    double reno = sqrt(1.5 / loss);

    return fmax(cubic, reno) * payload * 8 / rtt_s * 1e-9;
}

static void add_distance(struct json_object *json, const struct mr_bench_options *o, double goodput)
{
    if (o->rtt_us <= 0 || o->loss_percent <= 0)
        return;
    double theory =
        theory_gbps(o->loss_percent / 100, o->rtt_us * 1e-6, o->payload - OVERHEAD_BYTES);

    mr_bench_real(json, "cubic_theory_gbps", theory);
    mr_bench_real(json, "ratio_to_theory", goodput / theory);
}

static void set_wire(struct mr_bench *b)
{
    for (int i = 0; i < MR_WIRE_ENDS; i++) {
        struct mr_wire_impairment *to = &b->config.wire.side[i].impairment;

        to->delay_ns = (uint64_t)(b->options.rtt_us * 500);
        to->loss = i == (b->options.is_up ? 1 : 0) ? b->options.loss_percent / 100 : 0;
    }
    b->config.wire.is_copied = b->options.is_copied;
    b->config.wire.seed = 1;
    b->config.wire.held_max = 1 << 18;
    if (b->options.rtt_us > 0)
        b->config.tx_mbufs = 1 << 17;
}

static struct json_object *report(struct mr_bench *b, const struct mr_interval *i,
                                  const struct ceiling *c, uint32_t leaked)
{
    const struct mr_bench_options *o = &b->options;
    struct json_object *json = json_object_new_object();
    uint64_t bytes = o->is_up ? i->servers.bytes_received : i->clients.bytes_received;
    uint64_t packets = o->is_up ? i->client.full_packets_sent : i->server.full_packets_sent;
    double goodput = (double)bytes * 8e-9 / i->seconds;
    double ceiling_gbps = (o->payload - OVERHEAD_BYTES) * 8 / c->ns;
    double server_ns = packets == 0 ? 0 : mr_bench_ns(b, i->server.busy_cycles) / (double)packets;
    double client_ns = packets == 0 ? 0 : mr_bench_ns(b, i->client.busy_cycles) / (double)packets;

    mr_bench_text(json, "bench", "transfer");
    mr_bench_text(json, "wire", o->is_copied ? "copy-at-receiver" : "by reference");
    mr_bench_text(json, "crypto", c->backend);
    mr_bench_count(json, "connections", o->connections);
    mr_bench_real(json, "seconds", i->seconds);
    mr_bench_real(json, "goodput_gbps", goodput);
    mr_bench_real(json, "packets_per_s", (double)packets / i->seconds);
    mr_bench_real(json, "server_ns_per_packet", server_ns);
    mr_bench_real(json, "client_ns_per_packet", client_ns);
    mr_bench_add_stages(b, json, "server_stage_ns", &i->server, packets);
    mr_bench_add_stages(b, json, "client_stage_ns", &i->client, packets);
    mr_bench_real(json, "aead_ceiling_gbps", ceiling_gbps);
    mr_bench_real(json, "ratio_to_ceiling", goodput / ceiling_gbps);
    mr_bench_count(json, "packets_lost", i->server_counters.packets_lost);
    mr_bench_count(json, "congestion_events", i->server_counters.congestion_events);
    mr_bench_count(json, "acks_received", i->server_counters.acks_received);
    mr_bench_count(json, "key_updates", i->server_counters.key_updates_started);
    mr_bench_count(json, "bad_bytes", (i->clients.bad_bytes + i->servers.bad_bytes));
    json_object_object_add(json, "is_verified", json_object_new_boolean(o->is_verified));
    mr_bench_count(json, "leaked_buffers", leaked);
    add_distance(json, o, goodput);
    return json;
}

static int run(struct mr_bench *b)
{
    struct mr_fault fault = {0};
    struct mr_interval interval;
    struct mr_bench_load load = {.server = mr_world_server_address(),
                                 .connections = b->options.connections / b->options.shards +
                                                (b->options.connections % b->options.shards != 0),
                                 .streams = b->options.streams,
                                 .down_bytes = b->options.is_up ? 0 : UINT64_MAX,
                                 .up_bytes = b->options.is_up ? UINT64_MAX : 0,
                                 .connects_at_once = 16,
                                 .is_verified = b->options.is_verified};

    b->config.server_shards = b->config.client_shards = b->options.shards;
    b->config.payload_max = b->options.payload;
    b->config.cipher = (enum mr_cipher)b->options.cipher;
    b->config.crypto = (enum mr_aead_backend)b->options.crypto;
    b->config.connections = load.connections + 64;
    set_wire(b);
    if (!mr_bench_start(b, &load, &fault)) {
        fprintf(stderr, "millrace bench: %s\n", fault.text);
        return 1;
    }
    uint32_t leaked;
    mr_bench_run(b, &interval, &leaked);

    struct ceiling ceiling = {.options = &b->options};
    mr_eal_launch(0, measure_ceiling, &ceiling);
    mr_eal_join(0);
    struct json_object *json = report(b, &interval, &ceiling, leaked);
    mr_bench_print(json, b->options.is_json);
    json_object_put(json);
    mr_eal_stop();
    bool is_bad = interval.clients.bad_bytes + interval.servers.bad_bytes > 0 || leaked > 0 ||
                  interval.clients.bytes_received + interval.servers.bytes_received == 0;
    return is_bad ? 1 : 0;
}

int mr_bench_transfer(int argc, char **argv)
{
    static struct mr_bench bench;

    bench.options = mr_bench_options_default();
    bench.config = mr_world_config_default();
    enum mr_parse_result parsed = mr_bench_parse(
        &bench.options, argc, argv, "millrace bench transfer [options]",
        "Bulk data over the in-memory wire: goodput, time per packet by stage, AEAD ceiling.",
        MR_BENCH_CONNECTIONS | MR_BENCH_STREAMS | MR_BENCH_SHARDS | MR_BENCH_PAYLOAD |
            MR_BENCH_CRYPTO | MR_BENCH_TRANSFER);

    return parsed == MR_PARSE_OK ? run(&bench) : parsed == MR_PARSE_HELP ? 0 : 2;
}
