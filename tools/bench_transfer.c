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

static const enum mr_aead_backend backends[] = {MR_AEAD_AUTO, MR_AEAD_OPENSSL, MR_AEAD_IPSEC_MB, MR_AEAD_NULL};

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
    c->ns = mr_aead_ceiling_ns(aead, (enum mr_cipher)c->options->cipher, c->options->payload, (size_t)256 << 20,
                               CEILING_SECONDS);
    mr_aead_close(aead);
    return 0;
}

/* What CUBIC gets by theory: RFC 9438, Section 5.1, and the Reno model; bytes per second. */
static double theory_gbps(double loss, double rtt_s, double payload)
{
    double cubic = 1.17 * pow(rtt_s / 0.1, 0) * pow(rtt_s, 0.75) / pow(loss, 0.75); /* AVG_W, segments: C = 0.4 */
    double reno = sqrt(1.5 / loss);

    return fmax(cubic, reno) * payload * 8 / rtt_s * 1e-9;
}

static void add_distance(struct json_object *json, const struct mr_bench_options *o, double goodput)
{
    if (o->rtt_us <= 0 || o->loss_percent <= 0)
        return;
    double theory = theory_gbps(o->loss_percent / 100, o->rtt_us * 1e-6, o->payload - OVERHEAD_BYTES);

    json_object_object_add(json, "cubic_theory_gbps", json_object_new_double(theory));
    json_object_object_add(json, "ratio_to_theory", json_object_new_double(goodput / theory));
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

static struct json_object *report(struct mr_bench *b, const struct mr_interval *i, const struct ceiling *c, uint32_t leaked)
{
    const struct mr_bench_options *o = &b->options;
    struct json_object *json = json_object_new_object();
    uint64_t bytes = o->is_up ? i->servers.bytes_received : i->clients.bytes_received;
    uint64_t packets = o->is_up ? i->client.full_packets_sent : i->server.full_packets_sent;
    double goodput = (double)bytes * 8e-9 / i->seconds;
    double ceiling_gbps = (o->payload - OVERHEAD_BYTES) * 8 / c->ns;
    double server_ns = packets == 0 ? 0 : mr_bench_ns(b, i->server.busy_cycles) / (double)packets;
    double client_ns = packets == 0 ? 0 : mr_bench_ns(b, i->client.busy_cycles) / (double)packets;

    json_object_object_add(json, "bench", json_object_new_string("transfer"));
    json_object_object_add(json, "wire", json_object_new_string(o->is_copied ? "copy-at-receiver" : "by reference"));
    json_object_object_add(json, "crypto", json_object_new_string(c->backend));
    json_object_object_add(json, "connections", json_object_new_int64((int64_t)o->connections));
    json_object_object_add(json, "seconds", json_object_new_double(i->seconds));
    json_object_object_add(json, "goodput_gbps", json_object_new_double(goodput));
    json_object_object_add(json, "packets_per_s", json_object_new_double((double)packets / i->seconds));
    json_object_object_add(json, "server_ns_per_packet", json_object_new_double(server_ns));
    json_object_object_add(json, "client_ns_per_packet", json_object_new_double(client_ns));
    mr_bench_add_stages(b, json, "server_stage_ns", &i->server, packets);
    mr_bench_add_stages(b, json, "client_stage_ns", &i->client, packets);
    json_object_object_add(json, "aead_ceiling_gbps", json_object_new_double(ceiling_gbps));
    json_object_object_add(json, "ratio_to_ceiling", json_object_new_double(goodput / ceiling_gbps));
    json_object_object_add(json, "packets_lost", json_object_new_int64((int64_t)i->server_counters.packets_lost));
    json_object_object_add(json, "congestion_events", json_object_new_int64((int64_t)i->server_counters.congestion_events));
    json_object_object_add(json, "acks_received", json_object_new_int64((int64_t)i->server_counters.acks_received));
    json_object_object_add(json, "key_updates", json_object_new_int64((int64_t)i->server_counters.key_updates_started));
    json_object_object_add(json, "bad_bytes", json_object_new_int64((int64_t)(i->clients.bad_bytes + i->servers.bad_bytes)));
    json_object_object_add(json, "is_verified", json_object_new_boolean(o->is_verified));
    json_object_object_add(json, "leaked_buffers", json_object_new_int64(leaked));
    add_distance(json, o, goodput);
    return json;
}

static int run(struct mr_bench *b)
{
    struct mr_fault fault = {0};
    struct mr_interval interval;
    struct mr_bench_load load = {
        .server = mr_world_server_address(),
        .connections = b->options.connections / b->options.shards + (b->options.connections % b->options.shards != 0),
        .streams = b->options.streams,
        .down_bytes = b->options.is_up ? 0 : UINT64_MAX,
        .up_bytes = b->options.is_up ? UINT64_MAX : 0,
        .connects_at_once = 16,
        .is_verified = b->options.is_verified};

    b->config.server_shards = b->config.client_shards = b->options.shards;
    b->config.payload_max = b->options.payload;
    b->config.cipher = (enum mr_cipher)b->options.cipher;
    b->config.crypto = backends[b->options.crypto];
    b->config.connections = load.connections + 64;
    set_wire(b);
    if (!mr_bench_start(b, &load, &fault)) {
        fprintf(stderr, "millrace bench: %s\n", fault.text);
        return 1;
    }
    struct mr_interval warm;
    bool was_json = b->options.is_json;
    b->options.is_json = true;
    mr_bench_measure(b, b->options.warm_seconds, &warm);
    b->options.is_json = was_json;
    mr_bench_measure(b, b->options.seconds, &interval);
    uint32_t leaked = mr_bench_stop(b);

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
    static const char *const ciphers[] = {"aes128", "aes256", "chacha20", NULL};
    static const char *const cryptos[] = {"auto", "openssl", "ipsec-mb", "null", NULL};
    static struct mr_bench bench;
    struct mr_bench_options *o = &bench.options;
    struct mr_fault fault = {0};

    *o = mr_bench_options_default();
    bench.config = mr_world_config_default();
    const struct mr_option options[] = {
        {.name = "connections", .kind = MR_OPTION_U32, .to = &o->connections, .argument = "N", .help = "connections (1)", .min = 1, .max = 60000},
        {.name = "streams", .kind = MR_OPTION_U32, .to = &o->streams, .argument = "N", .help = "streams per connection (1)", .min = 1, .max = 1000},
        {.name = "shards", .kind = MR_OPTION_U32, .to = &o->shards, .argument = "N", .help = "server lcores, and as many client lcores (1)", .min = 1, .max = 16},
        {.name = "payload", .kind = MR_OPTION_U32, .to = &o->payload, .argument = "BYTES", .help = "UDP payload of a full packet (1452)", .min = 1200, .max = 9000},
        {.name = "cipher", .kind = MR_OPTION_CHOICE, .to = &o->cipher, .argument = "C", .help = "aes128, aes256 or chacha20 (aes128)", .choices = ciphers},
        {.name = "crypto", .kind = MR_OPTION_CHOICE, .to = &o->crypto, .argument = "B", .help = "auto, openssl or ipsec-mb (auto)", .choices = cryptos},
        {.name = "up", .kind = MR_OPTION_FLAG, .to = &o->is_up, .help = "the client sends"},
        {.name = "rtt-us", .kind = MR_OPTION_REAL, .to = &o->rtt_us, .argument = "U", .help = "round trip of the wire, microseconds (0)", .min = 0, .max = 2e6},
        {.name = "loss", .kind = MR_OPTION_REAL, .to = &o->loss_percent, .argument = "PCT", .help = "of the data's direction, percent (0)", .min = 0, .max = 50},
        {.name = "copy", .kind = MR_OPTION_FLAG, .to = &o->is_copied, .help = "the wire copies at the receiver, as DMA would"},
        {.name = "verify", .kind = MR_OPTION_FLAG, .to = &o->is_verified, .help = "compare every byte"},
        {.name = "seconds", .kind = MR_OPTION_REAL, .to = &o->seconds, .argument = "S", .help = "measured (3)", .min = 0.1, .max = 3600},
        {.name = "warm-up", .kind = MR_OPTION_REAL, .to = &o->warm_seconds, .argument = "S", .help = "before that (0.5)", .min = 0, .max = 3600},
        {.name = "json", .kind = MR_OPTION_FLAG, .to = &o->is_json, .help = "one JSON object on standard output"},
        {.name = "verbose", .kind = MR_OPTION_FLAG, .to = &o->is_verbose, .help = "show DPDK's log"},
        {0},
    };
    struct mr_command_line line = {.usage = "millrace bench transfer [options]",
                                   .about = "Bulk data over the in-memory wire: goodput, time per packet by stage, AEAD ceiling.",
                                   .options = options};

    switch (mr_options_parse(&line, argc, argv, &fault)) {
    case MR_PARSE_HELP:
        return 0;
    case MR_PARSE_ERROR:
        fprintf(stderr, "millrace bench: %s\n", fault.text);
        return 2;
    case MR_PARSE_OK:
        break;
    }
    return run(&bench);
}
