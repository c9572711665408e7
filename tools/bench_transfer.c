/*
 * tools/bench_transfer.c - `millrace bench transfer`: how fast, and where the time goes.
 *
 * The AEAD ceiling is measured in turns with the transfer, on the server's own core (struct
 * mr_bench_yardstick); the floor (bench/floor.h), which needs both cores, before and after it.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/aead_ceiling.h"
#include "bench/floor.h"
#include "control/eal.h"
#include "tools/bench.h"
#include "tools/bench_compare.h"

#define SLICE_SECONDS  0.03
#define COLD_BYTES     ((size_t)256 << 20)
#define FLOOR_RUNS     2
#define FLOOR_RUN_MS   200
#define FLOOR_WARM_MS  100
#define FLOORS_APART   1.5 /* times the smaller one: the machine is not what it was before */
#define PACKETS_PER_US 2.0 /* a bound: 23 Gbit/s of full packets */
#define ACK_PACKETS    2
#define OVERHEAD_BYTES 41 /* short header, STREAM header, tag of a full packet, typically */

/* What the transfer is compared with. */
struct limits {
    const struct mr_bench_options *options;
    struct mr_aead *aead;
    struct mr_aead_ceiling *ceiling;
    double floor_ns[2]; /* before, and after; NAN: not measured */
};

/* ------------------------------------------------------------------ the ceiling */

/* On the server's worker: the memory is its own. */
static int open_ceiling(void *argument)
{
    struct limits *l = argument;

    l->aead = mr_aead_open(MR_AEAD_AUTO);
    l->ceiling = mr_aead_ceiling_open(l->aead, (enum mr_cipher)l->options->cipher,
                                      l->options->payload, COLD_BYTES);
    return 0;
}

static void close_ceiling(struct limits *l)
{
    mr_aead_ceiling_close(l->ceiling);
    mr_aead_close(l->aead);
}

static double ceiling_slice(void *argument)
{
    struct limits *l = argument;

    return mr_aead_ceiling_slice(l->ceiling, SLICE_SECONDS);
}

static double payload_bits(const struct mr_bench_options *o)
{
    return (o->payload - OVERHEAD_BYTES) * 8;
}

static uint64_t received_bytes(const struct mr_bench_options *o, const struct mr_interval *i)
{
    return o->is_up ? i->servers.bytes_received : i->clients.bytes_received;
}

/* How long a full packet's data took: 1 / goodput. */
static double packet_cost_ns(const struct mr_bench *b, const struct mr_interval *i)
{
    double bits = (double)received_bytes(&b->options, i) * 8;

    return payload_bits(&b->options) * i->seconds * 1e9 / bits;
}

/* What CUBIC gets by theory: RFC 9438, Section 5.1 (C = 0.4), and the Reno model. */
static double theory_gbps(double loss, double rtt_s, double payload)
{
    double cubic = 1.054 * pow(rtt_s, 0.75) / pow(loss, 0.75); /* average window, packets */
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
    b->config.wire.has_rss = b->options.is_misdirected;
    b->config.wire.seed = 1;
    b->config.wire.held_max = 1 << 18;
    if (b->options.acks_every_second) {
        b->config.ack_packets = ACK_PACKETS;
        b->config.extensions_off = MR_EXTENSION_ACK_FREQUENCY;
    }
    if (b->options.rtt_us > 0) { /* what is on the way stays in the sender's pool */
        uint32_t *mbufs =
            b->options.is_up ? &b->config.client_tx_mbufs : &b->config.server_tx_mbufs;

        *mbufs = MR_SHARD_POOL_MBUFS + (uint32_t)MR_MIN(b->options.rtt_us * PACKETS_PER_US, 1e6);
    }
}

/* ------------------------------------------------------------------ the floor of the same run */

/* On the same two workers, which are idle: the sender's busy ns per packet, into `floor_ns`. */
static void measure_floor(const struct mr_bench *b, double *floor_ns)
{
    struct mr_floor_options options = mr_floor_defaults();
    struct mr_floor_result result;

    if (b->options.has_no_floor || b->options.payload > MR_FLOOR_PACKET_MAX)
        return;
    options.sender_worker = 0;
    options.receiver_worker = mr_group_workers(b->config.server_shards, b->config.server_io_lcores);
    options.cipher = (enum mr_cipher)b->options.cipher;
    options.packet_bytes = b->options.payload;
    options.run_count = FLOOR_RUNS;
    options.run_ms = FLOOR_RUN_MS;
    options.warm_ms = FLOOR_WARM_MS;
    if (mr_floor_measure(&options, &result) == 0)
        *floor_ns = result.sender_ns.best;
}

static bool prepare(struct mr_bench *b, struct mr_fault *fault)
{
    struct limits *l = b->yardstick.argument;

    mr_eal_launch(0, open_ceiling, l);
    mr_eal_join(0);
    if (l->ceiling == NULL) {
        mr_fault_set(fault, ENOMEM, "not enough memory for the ceiling; free 256 MiB");
        return false;
    }
    measure_floor(b, &l->floor_ns[0]);
    return true;
}

/* The better one is the floor.  Two that are far apart are two machines': nobody knows which of
 * them the transfer had, and it is compared with neither. */
static void add_floor(struct json_object *json, const double floor_ns[2], double sender_ns)
{
    double best = fmin(floor_ns[0], floor_ns[1]); /* of NAN and a number: the number */
    bool is_judged = !isnan(best) && fmax(floor_ns[0], floor_ns[1]) <= FLOORS_APART * best;

    mr_bench_ratio(json, "floor_ns_per_packet", best, !isnan(best));
    mr_bench_ratio(json, "floor_ns_before", floor_ns[0], !isnan(floor_ns[0]));
    mr_bench_ratio(json, "floor_ns_after", floor_ns[1], !isnan(floor_ns[1]));
    mr_bench_ratio(json, "ratio_to_floor", sender_ns, is_judged ? best : 0);
    mr_bench_text(
        json, "not_judged",
        is_judged || isnan(best) ? "" : "ratio_to_floor: the floor was another before than after");
}

/* ------------------------------------------------------------------ figures */

static void add_sender(struct json_object *json, const struct mr_counters *sender)
{
    mr_bench_count(json, "packets_lost", sender->packets_lost);
    mr_bench_count(json, "congestion_events", sender->congestion_events);
    mr_bench_count(json, "acks_received", sender->acks_received);
    mr_bench_ratio(json, "packets_per_ack", (double)sender->packets_sent,
                   (double)sender->acks_received);
    mr_bench_count(json, "key_updates", sender->key_updates_started);
}

static const struct mr_shard_stats *sender_stats(const struct mr_bench_options *o,
                                                 const struct mr_interval *i)
{
    return o->is_up ? &i->client : &i->server;
}

/* Jain's index of what each stream got: 1, all the same; 1/n, one has it all.  One that
 * got nothing counts, too. */
static void add_fairness(struct json_object *json, const struct mr_bench *b,
                         const struct mr_bench_shares *shares)
{
    double all = (double)b->awaited * b->options.streams;

    mr_bench_count(json, "streams_served", shares->streams);
    mr_bench_ratio(json, "fairness", shares->sum * shares->sum, shares->squares * all);
}

static void add_redirects(struct json_object *json, const struct mr_interval *i)
{
    mr_bench_count(json, "redirects_out", i->server_counters.redirects_out);
    mr_bench_count(json, "redirects_in", i->server.redirected_in);
    mr_bench_count(json, "redirects_dropped", i->server.redirect_dropped);
    mr_bench_count(json, "client_redirects_out", i->client_counters.redirects_out);
    mr_bench_count(json, "client_redirects_in", i->client.redirected_in);
    mr_bench_count(json, "client_redirects_dropped", i->client.redirect_dropped);
}

static void add_samples(struct json_object *json, const struct mr_bench_samples *s)
{
    struct json_object *gbps = json_object_new_array();
    struct json_object *updates = json_object_new_array();

    for (uint32_t i = 0; i < s->count; i++) {
        json_object_array_add(gbps, json_object_new_double(s->gbps[i]));
        json_object_array_add(updates, json_object_new_int64((int64_t)s->key_updates[i]));
    }
    json_object_object_add(json, "goodput_samples_gbps", gbps);
    json_object_object_add(json, "key_updates_samples", updates);
}

static struct json_object *report(struct mr_bench *b, const struct mr_interval *i,
                                  const struct limits *l, uint32_t leaked)
{
    const struct mr_bench_options *o = &b->options;
    struct json_object *json = json_object_new_object();
    uint64_t packets = o->is_up ? i->client.full_packets_sent : i->server.full_packets_sent;
    double goodput = (double)received_bytes(o, i) * 8e-9 / i->seconds;
    double ceiling_ns = mr_samples_median(&b->comparison.slices_ns);
    double server_ns = mr_bench_ns(b, i->server.busy_cycles) / (double)MR_MAX(packets, 1u);
    double client_ns = mr_bench_ns(b, i->client.busy_cycles) / (double)MR_MAX(packets, 1u);

    mr_bench_text(json, "bench", "transfer");
    mr_bench_text(json, "wire", o->is_copied ? "copy-at-receiver" : "by reference");
    mr_bench_text(json, "ceiling_crypto", mr_aead_name(l->aead));
    mr_bench_count(json, "connections", b->awaited); /* as many in each shard */
    mr_bench_count(json, "shards", o->shards);
    mr_bench_real(json, "seconds", i->seconds);
    mr_bench_add_cpu(json, i);
    mr_bench_real(json, "goodput_gbps", goodput);
    mr_bench_real(json, "packets_per_s", (double)packets / i->seconds);
    mr_bench_real(json, "server_ns_per_packet", server_ns);
    mr_bench_real(json, "client_ns_per_packet", client_ns);
    mr_bench_real(json, "server_seconds_per_gb",
                  mr_bench_ns(b, i->server.busy_cycles) / fmax((double)received_bytes(o, i), 1));
    mr_bench_add_stages(b, json, "server_stage_ns", &i->server, packets);
    mr_bench_add_io(b, json, i, packets);
    mr_bench_add_stages(b, json, "client_stage_ns", &i->client, packets);
    add_floor(json, l->floor_ns, o->is_up ? client_ns : server_ns);
    mr_bench_ratio(json, "aead_ceiling_gbps", payload_bits(o), fmax(ceiling_ns, 0));
    mr_bench_add_samples(json, "ratio_to_ceiling", &b->comparison.ratios);
    mr_bench_add_allocations(json, "allocations_per_packet", i, packets);
    add_fairness(json, b, &b->shares[o->is_up ? 1 : 0]);
    mr_bench_ratio(json, "packets_per_burst", (double)sender_stats(o, i)->datagrams_sent,
                   (double)sender_stats(o, i)->bursts_sent);
    add_sender(json, o->is_up ? &i->client_counters : &i->server_counters);
    add_redirects(json, i);
    mr_bench_count(json, "bad_bytes", i->clients.bad_bytes + i->servers.bad_bytes);
    json_object_object_add(json, "is_verified", json_object_new_boolean(o->is_verified));
    mr_bench_count(json, "failed", i->clients.failed);
    mr_bench_count(json, "last_error", i->clients.last_error);
    mr_bench_count(json, "leaked_buffers", leaked);
    add_distance(json, o, goodput);
    if (o->has_samples)
        add_samples(json, &b->samples);
    return json;
}

static void configure(struct mr_bench *b, const struct mr_bench_load *load)
{
    b->config.server_shards = b->config.client_shards = b->options.shards;
    b->config.server_io_lcores = b->options.io_lcores;
    b->config.payload_max = b->options.payload;
    b->config.cipher = (enum mr_cipher)b->options.cipher;
    b->config.crypto = (enum mr_aead_backend)b->options.crypto;
    /* RSS may bring all connections to one shard of the server. */
    b->config.connections = load->connections * b->options.shards + 64;
    b->awaited = load->connections * b->options.shards;
    set_wire(b);
}

static int run(struct mr_bench *b)
{
    struct mr_fault fault = {0};
    struct mr_interval interval;
    struct limits limits = {.options = &b->options, .floor_ns = {NAN, NAN}};
    struct mr_bench_load load = {.server = mr_world_server_address(),
                                 .connections = b->options.connections / b->options.shards +
                                                (b->options.connections % b->options.shards != 0),
                                 .streams = b->options.streams,
                                 .down_bytes = b->options.is_up ? 0 : UINT64_MAX,
                                 .up_bytes = b->options.is_up ? UINT64_MAX : 0,
                                 .connects_at_once = 16,
                                 .is_verified = b->options.is_verified};

    if (b->options.is_misdirected && b->options.shards < 2) {
        fprintf(stderr, "millrace bench: --misdirect needs another shard; add --shards 2\n");
        return 2;
    }
    configure(b, &load);
    b->prepare = prepare;
    b->yardstick = (struct mr_bench_yardstick){
        .slice = ceiling_slice,
        .cost_ns = packet_cost_ns,
        .argument = &limits,
        .is_apart = b->options.has_samples || b->options.rtt_us > 0 || b->options.loss_percent > 0};
    if (!mr_bench_start(b, &load, &fault)) {
        close_ceiling(&limits);
        fprintf(stderr, "millrace bench: %s\n", fault.text);
        return 1;
    }
    uint32_t leaked;
    mr_bench_run(b, &interval, &leaked);
    measure_floor(b, &limits.floor_ns[1]);
    struct json_object *json = report(b, &interval, &limits, leaked);
    close_ceiling(&limits);
    mr_bench_print(json, b->options.is_json);
    int status = mr_bench_judge(
        json, !interval.is_complete,
        interval.clients.bytes_received + interval.servers.bytes_received > 0 ? NULL : "byte");
    json_object_put(json);
    mr_eal_stop();
    return status;
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
            MR_BENCH_CRYPTO | MR_BENCH_TRANSFER | MR_BENCH_VERIFY | MR_BENCH_ATTACHED);
    if (parsed != MR_PARSE_OK)
        return parsed == MR_PARSE_HELP ? 0 : 2;
    if (mr_bench_lacks_attached(&bench.options))
        return 2;
    return bench.options.is_attached ? mr_compare_transfer(&bench.options) : run(&bench);
}
