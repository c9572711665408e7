/*
 * tools/bench_established.c - `millrace bench established`: what new handshakes do to connections
 * that are there.
 *
 *     as fast as it goes | quiet | visited | quiet | visited | ...
 *       the ceiling      |    a share of the ceiling is asked for
 *
 * Requests are due at even times on some connections, whatever becomes of the ones before; in every
 * second window others connect and leave besides.  The handshakes' part of the server's core is
 * known from its TLS jobs, and with what was left of it in the quiet windows, what must be kept.
 */
#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>

#include "tools/bench.h"

#define WINDOW_SECONDS  0.5
#define CEILING_TRIES   4
#define SETTLE_SECONDS  0.1 /* after a change, not measured */
#define CONNECTIONS     16
#define OUTSTANDING     64 /* at most: what a millisecond leaves undone is made up for */
#define ANSWER_BYTES    (UINT64_C(64) << 10)
#define VISITORS        64
#define CONNECTIONS_MAX 16384 /* visitors stay for three PTOs */
#define CORES_APART     3     /* with so many, visitors have a core of their own */
#define CORES_HELPED    4     /* fewer, and helpers take what they are to give */
#define RATE_REACHED    0.9   /* of the handshakes that are wanted: else it says nothing */

/* One kind of windows, all together. */
struct windows {
    struct mr_interval sum;
    struct mr_histogram latency;
};

struct established {
    struct windows ceiling;
    struct windows quiet;
    struct windows visited;
};

/* ------------------------------------------------------------------ windows */

static void sleep_s(double seconds)
{
    const struct timespec span = {.tv_sec = (time_t)seconds,
                                  .tv_nsec = (long)((seconds - floor(seconds)) * 1e9)};

    nanosleep(&span, NULL);
}

static void set_measuring(struct mr_bench *b, bool is_measuring)
{
    for (uint32_t i = 0; i < b->config.client_shards; i++)
        atomic_store(&b->clients[i].shared->is_measuring, is_measuring);
}

static void add(void *to, const void *what, size_t size)
{
    for (size_t i = 0; i < size / sizeof(uint64_t); i++)
        ((uint64_t *)to)[i] += ((const uint64_t *)what)[i];
}

/* Measure for `seconds`; the clients' histograms are the control thread's while nothing is
 * measured. */
static void measure(struct mr_bench *b, double seconds, struct windows *windows)
{
    struct mr_interval begin;
    struct mr_interval end;

    sleep_s(SETTLE_SECONDS);
    for (uint32_t i = 0; i < b->config.client_shards; i++)
        mr_histogram_init(b->clients[i].shared->latency);
    set_measuring(b, true);
    mr_bench_snapshot(b, &begin);
    sleep_s(seconds);
    mr_bench_snapshot(b, &end);
    set_measuring(b, false);
    mr_bench_difference(&end, &begin);
    sleep_s(SETTLE_SECONDS / 10);
    windows->sum.seconds += end.seconds;
    windows->sum.server_cpu += end.server_cpu;
    windows->sum.client_cpu += end.client_cpu;
    add(&windows->sum.server, &end.server, sizeof(end.server));
    add(&windows->sum.server_counters, &end.server_counters, sizeof(end.server_counters));
    add(&windows->sum.clients, &end.clients, sizeof(end.clients));
    for (uint32_t i = 0; i < b->config.client_shards; i++)
        mr_histogram_merge(&windows->latency, b->clients[i].shared->latency);
}

static double goodput_gbps(const struct windows *w)
{
    return (double)w->sum.clients.bytes_received * 8e-9 / w->sum.seconds;
}

static double handshakes_per_s(const struct windows *w)
{
    return (double)w->sum.server_counters.handshakes_completed / w->sum.seconds;
}

/* Of the server's core. */
static double busy_share(const struct mr_bench *b, const struct windows *w)
{
    return mr_bench_ns(b, w->sum.server.busy_cycles) * 1e-9 / w->sum.seconds;
}

/* TLS jobs, wherever they ran; 0: no handshake. */
static double tls_us(const struct mr_bench *b, const struct windows *w)
{
    uint64_t count = w->sum.server_counters.handshakes_completed;

    return count == 0 ? 0 : mr_bench_ns(b, w->sum.server.tls_cycles) * 1e-3 / (double)count;
}

static void ask_every(struct mr_bench *b, double ns)
{
    atomic_store_explicit(&b->client_apps[0]->every_ns, (uint64_t)ns, memory_order_relaxed);
}

static void visit_every(struct mr_bench *b, double per_s)
{
    struct mr_bench_app *app = b->client_apps[b->config.client_shards - 1];

    atomic_store_explicit(&app->visit_ns, per_s > 0 ? (uint64_t)(1e9 / per_s) : 0,
                          memory_order_relaxed);
}

/* What the search for the ceiling has asked for is no part of what follows. */
static void drain(const struct mr_bench *b)
{
    atomic_store(&b->clients[0].shared->is_paused, true);
    for (int i = 0; i < 3000 && atomic_load(&b->clients[0].shared->outstanding) > 0; i++)
        sleep_s(0.001);
    atomic_store(&b->clients[0].shared->is_paused, false);
}

/* False: they did not come. */
static bool await(const struct mr_bench *b)
{
    struct mr_bench_counts counts = {0};

    for (int i = 0; i < 3000 && counts.connected < b->options.connections; i++) {
        sleep_s(0.01);
        mr_bench_client_counts(b, &counts);
    }
    return counts.connected >= b->options.connections;
}

static bool run_windows(struct mr_bench *b, struct established *e)
{
    const struct mr_bench_options *o = &b->options;
    uint32_t rounds = (uint32_t)fmax(1, o->seconds / (2 * WINDOW_SECONDS));
    double window = o->seconds / rounds / 2;

    if (!await(b))
        return false;
    sleep_s(o->warm_seconds);
    for (int i = 0; i < CEILING_TRIES && e->ceiling.sum.clients.bytes_received == 0; i++)
        measure(b, WINDOW_SECONDS, &e->ceiling);
    if (e->ceiling.sum.clients.bytes_received == 0)
        return false;
    drain(b);
    ask_every(b, (double)ANSWER_BYTES * 8 / (goodput_gbps(&e->ceiling) * o->load_share));
    for (uint32_t i = 0; i < rounds; i++) {
        visit_every(b, 0);
        measure(b, window, &e->quiet);
        visit_every(b, o->handshakes_per_s);
        measure(b, window, &e->visited);
    }
    visit_every(b, 0);
    sleep_s(SETTLE_SECONDS);
    return true;
}

/* ------------------------------------------------------------------ figures */

/* What the core can still do of the goodput: it was busy for `busy` of the time, and handshakes
 * take `tls` of it.  1: all. */
static double predicted(double busy, double tls)
{
    return busy <= 0 ? 1 : fmax(0, fmin(1, (1 - tls) / busy));
}

static struct json_object *describe(const struct mr_bench *b, const struct windows *w)
{
    struct json_object *json = json_object_new_object();

    mr_bench_real(json, "goodput_gbps", goodput_gbps(w));
    mr_bench_real(json, "server_busy_share", busy_share(b, w));
    mr_bench_real(json, "handshakes_per_s", handshakes_per_s(w));
    mr_bench_add_latency(json, &w->latency);
    return json;
}

/* Why the figures say nothing about handshakes; NULL: they do. */
static const char *objection(const struct mr_bench *b, const struct established *e, int cores)
{
    if (b->options.tls_helpers > 0 && cores < CORES_HELPED)
        return "helpers take the cores that they are to spare, with fewer than 4";
    if (handshakes_per_s(&e->visited) < b->options.handshakes_per_s * RATE_REACHED)
        return "the client does not come to as many handshakes";
    return NULL;
}

static struct json_object *report(const struct mr_bench *b, struct established *e, int cores,
                                  uint32_t leaked)
{
    const struct mr_bench_options *o = &b->options;
    struct json_object *json = json_object_new_object();
    const char *reason = objection(b, e, cores);
    double kept = goodput_gbps(&e->visited) / goodput_gbps(&e->quiet);
    double tls_share = handshakes_per_s(&e->visited) * tls_us(b, &e->visited) * 1e-6;
    double must = predicted(busy_share(b, &e->quiet), o->tls_helpers > 0 ? 0 : tls_share);
    struct mr_interval shares = e->visited.sum;

    shares.server_cpu /= shares.seconds;
    shares.client_cpu /= shares.seconds;
    mr_bench_text(json, "bench", "established");
    mr_bench_count(json, "connections", o->connections);
    mr_bench_count(json, "cores", (uint64_t)cores);
    mr_bench_count(json, "tls_helpers", o->tls_helpers);
    mr_bench_real(json, "ceiling_gbps", goodput_gbps(&e->ceiling));
    mr_bench_real(json, "load_share", o->load_share);
    json_object_object_add(json, "quiet", describe(b, &e->quiet));
    json_object_object_add(json, "visited", describe(b, &e->visited));
    mr_bench_real(json, "tls_us_per_handshake", tls_us(b, &e->visited));
    mr_bench_real(json, "tls_core_share", tls_share);
    mr_bench_ratio(json, "goodput_kept", kept, reason == NULL ? 1 : 0);
    mr_bench_ratio(json, "goodput_kept_predicted", must, reason == NULL ? 1 : 0);
    mr_bench_ratio(json, "kept_to_predicted", kept, reason == NULL ? must : 0);
    mr_bench_text(json, "not_judged", reason == NULL ? "" : reason);
    mr_bench_add_cpu(json, &shares);
    mr_bench_count(json, "failed", shares.clients.failed);
    mr_bench_count(json, "last_error", shares.clients.last_error);
    mr_bench_count(json, "leaked_buffers", leaked);
    return json;
}

/* ------------------------------------------------------------------ a run */

/* The last of several client shards has the visitors, the first all others. */
static bool part_clients(struct mr_bench *b, struct mr_fault *fault)
{
    uint32_t last = b->config.client_shards - 1;

    (void)fault;
    if (last > 0) {
        b->client_apps[0]->load.visitors =
            VISITORS; /* its latencies count from when they are due */
        b->client_apps[last]->load.connections = 0;
    }
    return true;
}

static int usable_cores(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

static int run(struct mr_bench *b)
{
    static struct established e;
    struct mr_fault fault = {0};
    int cores = usable_cores();
    struct mr_bench_load load = {.server = mr_world_server_address(),
                                 .connections = b->options.connections,
                                 .connects_at_once = b->options.connections,
                                 .streams = OUTSTANDING,
                                 .down_bytes = ANSWER_BYTES,
                                 .is_paced = true,
                                 .visitors = VISITORS};

    mr_histogram_init(&e.ceiling.latency);
    mr_histogram_init(&e.quiet.latency);
    mr_histogram_init(&e.visited.latency);
    b->config.connections = CONNECTIONS_MAX;
    b->config.client_shards = cores >= CORES_APART ? 2 : 1;
    b->config.cipher = (enum mr_cipher)b->options.cipher;
    b->config.crypto = (enum mr_aead_backend)b->options.crypto;
    b->config.tls_helpers = b->options.tls_helpers;
    b->awaited = b->options.connections;
    b->wants_latency = true;
    b->prepare = part_clients;
    if (!mr_bench_start(b, &load, &fault)) {
        fprintf(stderr, "millrace bench: %s\n", fault.text);
        return 1;
    }
    bool is_complete = run_windows(b, &e);
    uint32_t leaked = mr_bench_stop(b);

    if (!is_complete)
        fprintf(stderr,
                "millrace bench: the connections, or their data, did not come within 30 s\n");
    return mr_bench_finish(report(b, &e, cores, leaked), b, !is_complete,
                           e.visited.sum.server_counters.handshakes_completed > 0 ? NULL
                                                                                  : "handshake");
}

int mr_bench_established(int argc, char **argv)
{
    static struct mr_bench bench;

    bench.options = mr_bench_options_default();
    bench.options.connections = CONNECTIONS;
    bench.config = mr_world_config_default();
    enum mr_parse_result parsed = mr_bench_parse(
        &bench.options, argc, argv, "millrace bench established [options]",
        "Connections that are there, without and with new ones besides: goodput, latency, and what "
        "the handshakes must cost.",
        MR_BENCH_CONNECTIONS | MR_BENCH_CRYPTO | MR_BENCH_HELPERS | MR_BENCH_VISITORS);

    if (parsed != MR_PARSE_OK)
        return parsed == MR_PARSE_HELP ? 0 : 2;
    if (bench.options.connections > MR_BENCH_PACED_MAX) {
        fprintf(stderr, "millrace bench: --connections %u: at most %d are asked in turn\n",
                bench.options.connections, MR_BENCH_PACED_MAX);
        return 2;
    }
    return run(&bench);
}
