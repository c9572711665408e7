/*
 * tools/bench_idle.c - `millrace bench idle`: many connections that stay.
 *
 *     two alone  what a handshake takes at the most
 *     1,000      } for each of these numbers: connect, let it settle, weigh, hold, wake some at
 *     10,000     } random
 *     ...        }
 *     all        the same, held for --seconds
 *     in turns   all of them, and 1,000 of a world of their own (bench_idle_few.h)
 *     close      until both sides have given everything back
 *
 * What is held is asked of the shards, between two of their iterations; what TLS holds, of the
 * allocator, for the server's threads.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/compiler.h"
#include "dataplane/shard_order.h"
#include "tools/alloc_count.h"
#include "tools/bench.h"
#include "tools/bench_idle_app.h"
#include "tools/bench_idle_few.h"
#include "tools/bench_idle_http3.h"
#include "tools/bench_idle_rows.h"

#define CONNECTS_AT_ONCE 64
#define DATA_BYTES       ((size_t)1 << 20)
#define FIRST_ROW        1000
#define ALONE            2   /* connections made one after the other, with full handshakes */
#define SPARE            256 /* connections beyond those asked for, in the limits */
#define PATIENCE_SECONDS 60  /* without any progress */
#define SETTLE_SECONDS   5   /* for the last handshakes' state to go, at most, */
#define SETTLE_LEAST     0.3 /* and what delayed acknowledgements need */
#define SHORT_HOLD       0.5
#define POLL_US          2000
#define WAKES            50000
#define WAKE_SLICES      10
#define PACED_SLICES     50
#define PACED_SHARE      5                     /* of the requests at random, so many in turn */
#define PACED_QUIET      0.15                  /* seconds, in which the last timers fire */
#define TURNS            9                     /* of few and many */
#define WARM             20000                 /* requests at random before those that count */
#define RESERVE_BYTES    (UINT64_C(256) << 20) /* for everything else in the process */

/* ------------------------------------------------------------------ clock, memory of the machine
 */

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void sleep_s(double seconds)
{
    usleep((useconds_t)(seconds * 1e6));
}

/* Resident memory of this process, bytes. */
static uint64_t resident_bytes(void)
{
    unsigned long size = 0;
    unsigned long resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    if (f == NULL)
        return 0;
    int n = fscanf(f, "%lu %lu", &size, &resident);
    fclose(f);
    return n == 2 ? (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

/* Bytes that processes may still have; 0: not known. */
static uint64_t available_bytes(void)
{
    unsigned long kib = 0;
    char line[128];
    FILE *f = fopen("/proc/meminfo", "r");

    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        if (sscanf(line, "MemAvailable: %lu kB", &kib) == 1)
            break;
    if (f != NULL)
        fclose(f);
    return (uint64_t)kib << 10;
}

/* Of each side. */
static uint64_t bytes_of_server(const struct mr_bench *b)
{
    const struct mr_limits limits = mr_idle_limits(b);

    return (uint64_t)mr_endpoint_footprint(&limits) * b->options.shards;
}

static uint64_t bytes_of_client(const struct mr_bench *b)
{
    const struct mr_limits limits = mr_limits_for(b->config.connections);

    return (uint64_t)mr_endpoint_footprint(&limits) * b->options.shards;
}

/* Say what it takes.  False: the machine has not got it. */
static bool is_memory_there(const struct mr_bench *b)
{
    uint64_t server = bytes_of_server(b);
    uint64_t client = bytes_of_client(b);
    uint64_t dpdk = (uint64_t)(mr_bench_memory_mb(&b->config) + b->more_memory_mb) << 20;
    uint64_t needed = server + client + RESERVE_BYTES;
    uint64_t available = available_bytes();

    if (!b->options.is_json)
        fprintf(stderr,
                "%u connections: at most %lu MiB at the server and %lu at the client, %lu MiB for "
                "DPDK; %lu MiB are available\n",
                b->options.connections, (unsigned long)(server >> 20),
                (unsigned long)(client >> 20), (unsigned long)(dpdk >> 20),
                (unsigned long)(available >> 20));
    if (available == 0 || needed + dpdk <= available)
        return true;
    fprintf(stderr,
            "millrace bench: %u connections on both sides need %lu MiB, and %lu MiB are available; "
            "ask for fewer, or free some\n",
            b->options.connections, (unsigned long)((needed + dpdk) >> 20),
            (unsigned long)(available >> 20));
    return false;
}

/* ------------------------------------------------------------------ what shards hold */

/* In use in the group's shards, which run. */
static void ask_memory(const struct mr_group *group, struct mr_endpoint_memory *sum)
{
    *sum = (struct mr_endpoint_memory){0};
    for (uint32_t i = 0; i < group->config.shard_count; i++) {
        struct mr_shard_order order = {.kind = MR_ORDER_MEMORY};

        mr_shard_give_order(group->shards[i], &order);
        while (!mr_shard_order_is_done(group->shards[i])) /* it is on this stack */
            usleep(POLL_US / 10);
        mr_words_add(sum, &order.memory, sizeof(*sum));
    }
    sum->handshake_bytes_each /= group->config.shard_count;
}

static int64_t tls_held(const struct mr_bench *b)
{
    int64_t sum = 0;

    for (uint32_t i = 0; i < b->config.server_shards; i++)
        sum += atomic_load_explicit(&b->servers[i].bytes.held, memory_order_relaxed);
    return sum;
}

/* ------------------------------------------------------------------ waiting */

/* Has what is waited for happened?  `progress_out` rises as long as it comes nearer. */
typedef bool (*has_happened)(struct mr_idle *idle, uint64_t *progress_out);

static bool wait_for(struct mr_idle *idle, has_happened has, const char *what)
{
    uint64_t progress = 0;
    uint64_t last = UINT64_MAX;
    double said = now_s();
    double moved = said;

    while (!has(idle, &progress)) {
        double now = now_s();

        if (progress != last)
            moved = now;
        if (now - moved > PATIENCE_SECONDS)
            return false;
        last = progress;
        if (!idle->bench->options.is_json && now - said >= 1) {
            said = now;
            fprintf(stderr, "%4.0f s  %9lu %s\n", now - idle->begun, (unsigned long)progress, what);
        }
        usleep(POLL_US);
    }
    return true;
}

static bool are_connected(struct mr_idle *idle, uint64_t *progress_out)
{
    const struct mr_bench *b = idle->bench;
    uint64_t wanted = 0;
    struct mr_bench_counts counts;

    for (uint32_t i = 0; i < b->config.client_shards; i++)
        wanted += atomic_load_explicit(&idle->orders[i]->target, memory_order_relaxed);
    mr_bench_client_counts(b, &counts);
    *progress_out = counts.connected;
    return counts.connected >= wanted && mr_group_conn_count(&b->world.server) >= wanted;
}

static bool are_woken(struct mr_idle *idle, uint64_t *progress_out)
{
    const struct mr_bench *b = idle->bench;
    uint64_t wanted = 0;
    struct mr_bench_counts counts;

    for (uint32_t i = 0; i < b->config.client_shards; i++)
        wanted += atomic_load_explicit(&idle->orders[i]->wakes, memory_order_relaxed);
    mr_bench_client_counts(b, &counts);
    *progress_out = counts.requests + counts.failed;
    return counts.requests + counts.failed >= wanted;
}

static bool are_closed(struct mr_idle *idle, uint64_t *progress_out)
{
    struct mr_bench *b = idle->bench;
    uint32_t left = mr_group_conn_count(&b->world.server) + mr_group_conn_count(&b->world.client);

    *progress_out = 2 * (uint64_t)b->options.connections - left;
    return left == 0;
}

static bool has_settled(const struct mr_bench *b)
{
    struct mr_endpoint_memory memory;

    ask_memory(&b->world.server, &memory);
    return memory.handshakes == 0 && memory.other_bytes == 0;
}

/* Until the handshakes' state and what waits for acknowledgements is given back. */
static void settle(const struct mr_bench *b)
{
    double until = now_s() + SETTLE_SECONDS;

    sleep_s(SETTLE_LEAST);
    while (!has_settled(b) && now_s() < until)
        usleep(POLL_US);
}

/* ------------------------------------------------------------------ the steps */

static void set_target(struct mr_idle *idle, uint32_t connections)
{
    uint32_t shards = idle->bench->config.client_shards;

    for (uint32_t i = 0; i < shards; i++)
        atomic_store_explicit(&idle->orders[i]->target,
                              connections / shards + (i < connections % shards),
                              memory_order_relaxed);
}

/* One handshake after the other, so that the peaks are one's. */
static bool measure_alone(struct mr_idle *idle)
{
    struct mr_bench *b = idle->bench;
    struct mr_endpoint_memory memory;
    int64_t base = 0;

    for (uint32_t i = 1; i <= ALONE; i++) {
        base = tls_held(b);
        for (uint32_t k = 0; k < b->config.server_shards; k++)
            atomic_store_explicit(&b->servers[k].bytes.peak, b->servers[k].bytes.held,
                                  memory_order_relaxed);
        set_target(idle, i * b->config.client_shards);
        if (!wait_for(idle, are_connected, "connections"))
            return false;
        settle(b);
    }
    for (uint32_t k = 0; k < b->config.server_shards; k++)
        idle->handshake_tls_bytes =
            (uint64_t)MR_MAX((int64_t)idle->handshake_tls_bytes,
                             atomic_load_explicit(&b->servers[k].bytes.peak, memory_order_relaxed) -
                                 (k == 0 ? base : 0));
    ask_memory(&b->world.server, &memory);
    idle->handshake_other_bytes = memory.other_bytes_peak / b->config.server_shards;
    idle->tls_base = tls_held(b);
    return true;
}

static void hold(struct mr_idle *idle, struct mr_idle_row *row, double seconds)
{
    struct mr_interval begin;
    struct mr_interval end;

    mr_bench_snapshot(idle->bench, &begin);
    sleep_s(seconds);
    mr_bench_snapshot(idle->bench, &end);
    mr_bench_difference(&end, &begin);
    idle->held_seconds = end.seconds;
    if (end.server.loops > 0)
        row->poll_ns =
            end.server_cpu * 1e9 * idle->bench->config.server_shards / (double)end.server.loops;
}

/* So many requests more, and what they cost the server.  False: they were not all answered. */
static bool wake_slice(struct mr_idle *idle, uint32_t requests, double *packet_ns_out)
{
    struct mr_bench *b = idle->bench;
    struct mr_interval begin;
    struct mr_interval end;

    mr_bench_snapshot(b, &begin);
    for (uint32_t i = 0; i < b->config.client_shards; i++)
        atomic_fetch_add_explicit(&idle->orders[i]->wakes, requests, memory_order_relaxed);
    bool is_done = wait_for(idle, are_woken, "requests");
    mr_bench_snapshot(b, &end);
    mr_bench_difference(&end, &begin);
    *packet_ns_out = mr_idle_packets(&end) == 0
                         ? 0
                         : mr_bench_ns(b, end.server.busy_cycles) / mr_idle_packets(&end);
    return is_done;
}

static void set_burst(struct mr_idle *idle, uint32_t burst)
{
    for (uint32_t i = 0; i < idle->bench->config.client_shards; i++)
        atomic_store_explicit(&idle->orders[i]->burst, burst, memory_order_relaxed);
}

/* In slices: others that had the core spoil some of them, not the median. */
static bool wake(struct mr_idle *idle, uint32_t count, uint32_t slices, double quiet_s,
                 struct mr_idle_woken *out)
{
    struct mr_bench *b = idle->bench;
    uint32_t requests = (count / b->config.client_shards + slices - 1) / slices;
    struct mr_samples packet_ns = {.count = 0};
    struct mr_interval begin;
    bool is_done = true;

    mr_bench_snapshot(b, &begin);
    for (uint32_t i = 0; i < slices && is_done; i++) {
        double ns;

        is_done = wake_slice(idle, requests, &ns);
        mr_samples_add(&packet_ns, ns);
    }
    sleep_s(quiet_s);
    mr_bench_snapshot(b, &out->interval);
    mr_bench_difference(&out->interval, &begin);
    out->packet_ns = mr_samples_median(&packet_ns);
    return is_done;
}

/* In turn, at a pace at which the last request's timers have fired when a connection is asked
 * again, among the fewest, too: the same work among any number. */
static bool wake_paced(struct mr_idle *idle, struct mr_idle_row *row)
{
    bool is_done = true;

    for (size_t i = 0; i < MR_IDLE_BURSTS && is_done; i++) {
        sleep_s(PACED_QUIET);
        set_burst(idle, mr_idle_bursts[i]);
        is_done = wake(idle, idle->bench->options.wakes / PACED_SHARE, PACED_SLICES, PACED_QUIET,
                       &row->paced[i]);
    }
    set_burst(idle, 0);
    return is_done;
}

/* One after the other, in one way, each after a tenth of a second or so that does not count: what
 * acknowledgements and timers cost that come later is that of requests before, then.  What was
 * asked last is over before others run. */
static bool compare_turn(struct mr_idle *idle, uint32_t burst, uint32_t requests,
                         struct mr_idle_compared *out)
{
    uint32_t before = burst == 0 ? MR_MIN(WARM, requests) : MR_IDLE_FEW;
    double many;

    mr_idle_few_run(idle->few, true);
    double few = mr_idle_few_wake(idle->few, before, burst) == 0
                     ? 0
                     : mr_idle_few_wake(idle->few, requests, burst);
    sleep_s(PACED_QUIET);
    mr_idle_few_run(idle->few, false);
    sleep_s(SETTLE_LEAST / 10);
    bool is_done = wake_slice(idle, before, &many) && wake_slice(idle, requests, &many);
    sleep_s(PACED_QUIET);
    if (!is_done || few == 0)
        return false;
    mr_samples_add(&out->few, few);
    mr_samples_add(&out->many, many);
    mr_samples_add(&out->ratios, many / few);
    return true;
}

static bool compare(struct mr_idle *idle)
{
    uint32_t wakes = idle->bench->options.wakes;
    bool is_done = true;

    for (uint32_t way = 0; way < MR_IDLE_WAYS; way++) {
        uint32_t burst = mr_idle_burst_of(way);
        uint32_t requests = burst == 0 ? wakes : wakes / PACED_SHARE / TURNS + 1;

        set_burst(idle, burst);
        for (uint32_t i = 0; i < TURNS && is_done; i++)
            is_done = compare_turn(idle, burst, requests, &idle->compared[way]);
    }
    set_burst(idle, 0);
    return is_done;
}

static void show_row(const struct mr_idle *idle, const struct mr_idle_row *row)
{
    if (idle->bench->options.is_json)
        return;
    fprintf(stderr, "%4.0f s  %9u connections, %.0f bytes each", now_s() - idle->begun,
            row->connections, mr_idle_bytes_awake(idle->bench, row));
    if (row->memory.asleep > 0)
        fprintf(stderr, ", and %.0f of the %lu that sleep", mr_idle_bytes_asleep(idle->bench, row),
                (unsigned long)row->memory.asleep);
    fprintf(stderr, "\n");
}

static bool measure_row(struct mr_idle *idle, uint32_t connections, bool is_last)
{
    struct mr_bench *b = idle->bench;
    struct mr_idle_row *row = &idle->rows[idle->row_count];
    struct mr_bench_counts before;
    double begin = now_s();

    mr_bench_client_counts(b, &before);
    set_target(idle, connections);
    if (!wait_for(idle, are_connected, "connections"))
        return false;
    idle->row_count++;
    row->connections = connections;
    row->made = connections - MR_MIN(connections, (uint32_t)before.connected);
    row->seconds = now_s() - begin;
    idle->seconds_to_connect += row->seconds;
    settle(b);
    hold(idle, row, is_last ? b->options.seconds : fmin(b->options.seconds, SHORT_HOLD));
    ask_memory(&b->world.server, &row->memory);
    if (idle->http3 != NULL)
        row->http3 = mr_idle_http3_usage(idle->http3);
    row->tls_bytes = tls_held(b) - idle->tls_base;
    row->resident = resident_bytes();
    show_row(idle, row);
    return wake(idle, b->options.wakes, WAKE_SLICES, 0, &row->woken) &&
           (b->options.has_http3 || wake_paced(idle, row));
}

static bool measure_rows(struct mr_idle *idle)
{
    uint32_t all = idle->bench->options.connections;

    for (uint64_t i = FIRST_ROW; i < all; i *= 10)
        if (!measure_row(idle, (uint32_t)i, false))
            return false;
    return measure_row(idle, all, true) && (idle->few == NULL || compare(idle));
}

static bool close_all(struct mr_idle *idle)
{
    struct mr_bench *b = idle->bench;
    double begin = now_s();

    for (uint32_t i = 0; i < b->config.client_shards; i++)
        atomic_store_explicit(&idle->orders[i]->is_closing, true, memory_order_relaxed);
    bool is_done = wait_for(idle, are_closed, "of both sides closed");
    idle->close_seconds = now_s() - begin;
    ask_memory(&b->world.server, &idle->left[0]);
    ask_memory(&b->world.client, &idle->left[1]);
    if (idle->http3 != NULL)
        idle->http3_left = mr_idle_http3_usage(idle->http3);
    idle->tls_left = tls_held(b) - idle->tls_base;
    return is_done;
}

/* What was waited for in vain; NULL: all came. */
static const char *run_steps(struct mr_idle *idle)
{
    struct mr_bench *b = idle->bench;
    const char *missing = NULL;

    idle->begun = now_s();
    if (!measure_alone(idle) || !measure_rows(idle))
        missing = idle->row_count > 0 && mr_group_conn_count(&b->world.server) >=
                                             idle->rows[idle->row_count - 1].connections
                      ? "all answers"
                      : "all connections";
    idle->held = mr_group_conn_count(&b->world.server);
    if (!close_all(idle) && missing == NULL)
        missing = "the end of all connections";
    mr_bench_client_counts(b, &idle->counts);
    return missing;
}

/* ------------------------------------------------------------------ the command */

/* False with `fault` set. */
static bool make_http3(struct mr_idle *idle, const struct mr_idle_load *load,
                       struct mr_fault *fault)
{
    idle->http3 = mr_idle_http3_make(idle->bench, load, fault);
    if (idle->http3 == NULL)
        return false;
    for (uint32_t i = 0; i < idle->bench->config.server_shards; i++)
        idle->orders[i] = mr_idle_http3_orders(idle->http3, i);
    return true;
}

static struct mr_idle_load load_of(const struct mr_bench *b)
{
    return (struct mr_idle_load){
        .server = mr_world_server_address(),
        .connections = b->config.connections,
        .connects_at_once = CONNECTS_AT_ONCE,
        .full_handshakes = ALONE,
        .wants_resumption = b->options.wants_resumption,
    };
}

static bool has_few(const struct mr_bench *b)
{
    return !b->options.has_http3 && b->options.connections > MR_IDLE_FEW && b->options.shards == 1;
}

static bool make_apps(struct mr_idle *idle, struct mr_fault *fault)
{
    struct mr_bench *b = idle->bench;
    struct mr_idle_load load = load_of(b);

    if (b->options.has_http3)
        return make_http3(idle, &load, fault);
    mr_fault_set(fault, ENOMEM, "not enough memory for the applications; ask for fewer");
    if (!mr_perf_buffer_make(&b->data, DATA_BYTES))
        return false;
    for (uint32_t i = 0; i < b->config.server_shards; i++) {
        load.seed = i + 1;
        b->server_apps[i] = mr_bench_server_make(&b->data);
        idle->apps[i] = mr_idle_app_make(&load, &b->data);
        if (b->server_apps[i] == NULL || idle->apps[i] == NULL)
            return false;
        idle->orders[i] = &idle->apps[i]->orders;
        mr_bench_worker_init(&b->servers[i], &b->server_apps[i]->application,
                             &b->server_apps[i]->shared);
        mr_bench_worker_init(&b->clients[i], &idle->apps[i]->application, &idle->apps[i]->shared);
    }
    if (!has_few(b))
        return true;
    idle->few = mr_idle_few_new(&b->servers[0].application, &b->clients[0].application);
    return idle->few != NULL;
}

static bool launch(struct mr_idle *idle, struct mr_fault *fault)
{
    struct mr_bench *b = idle->bench;
    struct mr_idle_load load = load_of(b);

    if (!mr_bench_launch(b, fault))
        return false;
    if (idle->few == NULL || mr_idle_few_make(idle->few, b, &load, fault))
        return true;
    mr_idle_few_end(idle->few);
    mr_bench_stop(b);
    return false;
}

static int run(struct mr_idle *idle)
{
    struct mr_bench *b = idle->bench;
    struct mr_fault fault = {0};

    b->config.server_shards = b->config.client_shards = b->options.shards;
    b->config.server_io_lcores = b->options.io_lcores;
    b->config.connections =
        b->options.connections / b->options.shards + (b->options.shards > 1) + SPARE;
    b->config.awake = b->options.awake / b->options.shards;
    b->config.idle_timeout_ns = 3600 * MR_SECOND;
    b->config.tickets = b->options.wants_resumption ? 1 : 0;
    b->more_memory_mb = has_few(b) ? mr_idle_few_memory_mb(&b->config) : 0;
    if (!is_memory_there(b))
        return 1;
    if (!make_apps(idle, &fault) || !launch(idle, &fault)) {
        fprintf(stderr, "millrace bench: %s\n", fault.text);
        return 1;
    }
    const char *missing = run_steps(idle);
    if (missing != NULL)
        fprintf(stderr,
                "millrace bench: %s did not come, nor any more within %u s; ask for fewer\n",
                missing, PATIENCE_SECONDS);
    struct json_object *json = mr_idle_report(idle);
    uint32_t leaked = idle->few == NULL ? 0 : mr_idle_few_end(idle->few);
    mr_bench_count(json, "leaked_buffers", leaked + mr_bench_stop(b));
    mr_idle_few_free(idle->few);
    for (uint32_t i = 0; i < MR_SHARDS_MAX; i++)
        mr_idle_app_free(idle->apps[i]);
    mr_idle_http3_free(idle->http3);
    return mr_bench_finish(json, b, missing != NULL, NULL);
}

int mr_bench_idle(int argc, char **argv)
{
    static struct mr_bench bench;
    static struct mr_idle idle = {.bench = &bench};

    bench.options = mr_bench_options_default();
    bench.config = mr_world_config_default();
    bench.options.connections = 10000;
    bench.options.wakes = WAKES;
    enum mr_parse_result parsed = mr_bench_parse(
        &bench.options, argc, argv, "millrace bench idle [options]",
        "Connections that stay: how long they take to make, what each costs, whether many make "
        "packets and timers dear.",
        MR_BENCH_CONNECTIONS | MR_BENCH_SHARDS | MR_BENCH_RESUME | MR_BENCH_WAKES | MR_BENCH_HTTP3);

    if (parsed == MR_PARSE_OK && bench.options.has_http3 && bench.options.wants_resumption) {
        fprintf(stderr, "millrace bench idle: --http3 does not go with --resume; choose one\n");
        return 2;
    }
    return parsed == MR_PARSE_OK ? run(&idle) : parsed == MR_PARSE_HELP ? 0 : 2;
}
