/*
 * tools/bench_idle.c - `millrace bench idle`: many connections that stay.
 *
 *     two alone  what a handshake takes at the most
 *     1,000      } for each of these numbers: connect, let it settle, weigh, hold, wake some at
 *     10,000     } random
 *     ...        }
 *     all        the same, held for --seconds
 *     close      until both sides have given everything back
 *
 * What is held is asked of the shards, between two of their iterations; what TLS holds, of the
 * allocator, for the server's threads.
 */
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

#define CONNECTS_AT_ONCE 64
#define DATA_BYTES       ((size_t)1 << 20)
#define ROWS_MAX         8
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
#define RESERVE_BYTES    (UINT64_C(256) << 20) /* for everything else in the process */

/* What was measured at one number of connections. */
struct row {
    uint32_t connections;
    double seconds; /* for those since the row before */
    uint32_t made;
    struct mr_endpoint_memory memory; /* the server's */
    int64_t tls_bytes;                /* the server's allocations beyond those at ALONE */
    uint64_t resident;                /* of both sides */
    double poll_ns;                   /* an iteration of the server with nothing to do */
    double packet_ns;                 /* of woken connections, the median of slices */
    struct mr_interval woken;
};

struct idle {
    struct mr_bench *bench;
    struct mr_idle_app *apps[MR_SHARDS_MAX];
    struct row rows[ROWS_MAX];
    uint32_t row_count;
    double begun; /* clock */
    double seconds_to_connect;
    int64_t tls_base;
    uint64_t handshake_tls_bytes;   /* allocated for one handshake at the most */
    uint64_t handshake_other_bytes; /* pool objects beside its state */
    double held_seconds;
    double close_seconds;
    struct mr_endpoint_memory left[2]; /* server, client */
    int64_t tls_left;
    struct mr_bench_counts counts;
    uint32_t held;
    bool is_complete;
};

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

/* Of the server's shards, and, where none of its connections sleep, the client's. */
static struct mr_limits limits_of(const struct mr_bench *b)
{
    struct mr_limits limits = mr_limits_for(b->config.connections);

    mr_limits_let_sleep(&limits, b->config.awake);
    return limits;
}

/* Of each side. */
static uint64_t bytes_of_server(const struct mr_bench *b)
{
    const struct mr_limits limits = limits_of(b);

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
    uint64_t dpdk = (uint64_t)mr_bench_memory_mb(&b->config) << 20;
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

/* Bytes that each connection that there may be adds to what an endpoint lays out at its start
 * beside its object: its number, its connection IDs' and its token's table entries, its timer. */
static double table_bytes_each(const struct mr_bench *b)
{
    const struct mr_limits all = limits_of(b);
    struct mr_limits less = all;

    less.connections_max -= (all.connections_max - all.awake_max) / 2;
    double slope = (double)(mr_endpoint_footprint(&all) - mr_endpoint_footprint(&less)) /
                   (double)(all.connections_max - less.connections_max);
    return all.awake_max == 0 ? slope - (double)mr_endpoint_object_bytes() : slope;
}

/* Everything but its object and the cache of expanded keys, which does not grow. */
static double bytes_beside(const struct mr_bench *b, const struct row *row)
{
    const struct mr_endpoint_memory *m = &row->memory;
    double held = (double)(m->handshake_bytes + m->name_bytes + m->other_bytes);

    return (held + (double)row->tls_bytes) / (double)(m->conns + m->sleepers) + table_bytes_each(b);
}

/* Of one that is awake. */
static double bytes_each(const struct mr_bench *b, const struct row *row)
{
    return row->memory.conns == 0 ? 0 : (double)mr_endpoint_object_bytes() + bytes_beside(b, row);
}

/* Of one that sleeps; 0: none does. */
static double bytes_asleep(const struct mr_bench *b, const struct row *row)
{
    const struct mr_endpoint_memory *m = &row->memory;

    return m->sleepers == 0 ? 0
                            : (double)m->sleeper_bytes / (double)m->sleepers + bytes_beside(b, row);
}

/* ------------------------------------------------------------------ waiting */

/* Has what is waited for happened?  `progress_out` rises as long as it comes nearer. */
typedef bool (*has_happened)(struct idle *idle, uint64_t *progress_out);

static bool wait_for(struct idle *idle, has_happened has, const char *what)
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

static bool are_connected(struct idle *idle, uint64_t *progress_out)
{
    const struct mr_bench *b = idle->bench;
    uint64_t wanted = 0;
    struct mr_bench_counts counts;

    for (uint32_t i = 0; i < b->config.client_shards; i++)
        wanted += atomic_load_explicit(&idle->apps[i]->target, memory_order_relaxed);
    mr_bench_client_counts(b, &counts);
    *progress_out = counts.connected;
    return counts.connected >= wanted && mr_group_conn_count(&b->world.server) >= wanted;
}

static bool are_woken(struct idle *idle, uint64_t *progress_out)
{
    const struct mr_bench *b = idle->bench;
    uint64_t wanted = 0;
    struct mr_bench_counts counts;

    for (uint32_t i = 0; i < b->config.client_shards; i++)
        wanted += atomic_load_explicit(&idle->apps[i]->wakes, memory_order_relaxed);
    mr_bench_client_counts(b, &counts);
    *progress_out = counts.requests + counts.failed;
    return counts.requests + counts.failed >= wanted;
}

static bool are_closed(struct idle *idle, uint64_t *progress_out)
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

static void set_target(struct idle *idle, uint32_t connections)
{
    uint32_t shards = idle->bench->config.client_shards;

    for (uint32_t i = 0; i < shards; i++)
        atomic_store_explicit(&idle->apps[i]->target,
                              connections / shards + (i < connections % shards),
                              memory_order_relaxed);
}

/* One handshake after the other, so that the peaks are one's. */
static bool measure_alone(struct idle *idle)
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

static void hold(struct idle *idle, struct row *row, double seconds)
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

static double packets_of(const struct mr_interval *i)
{
    return (double)(i->server.datagrams_received + i->server.datagrams_sent);
}

/* So many requests more, and what they cost the server.  False: they were not all answered. */
static bool wake_slice(struct idle *idle, uint32_t requests, double *packet_ns_out)
{
    struct mr_bench *b = idle->bench;
    struct mr_interval begin;
    struct mr_interval end;

    mr_bench_snapshot(b, &begin);
    for (uint32_t i = 0; i < b->config.client_shards; i++)
        atomic_fetch_add_explicit(&idle->apps[i]->wakes, requests, memory_order_relaxed);
    bool is_done = wait_for(idle, are_woken, "requests");
    mr_bench_snapshot(b, &end);
    mr_bench_difference(&end, &begin);
    *packet_ns_out =
        packets_of(&end) == 0 ? 0 : mr_bench_ns(b, end.server.busy_cycles) / packets_of(&end);
    return is_done;
}

/* In slices: others that had the core spoil some of them, not the median. */
static bool wake(struct idle *idle, struct row *row)
{
    struct mr_bench *b = idle->bench;
    uint32_t requests = b->options.wakes / b->config.client_shards / WAKE_SLICES;
    struct mr_samples packet_ns = {.count = 0};
    struct mr_interval begin;
    bool is_done = true;

    mr_bench_snapshot(b, &begin);
    for (uint32_t i = 0; i < WAKE_SLICES && is_done; i++) {
        double ns;

        is_done = wake_slice(idle, requests, &ns);
        mr_samples_add(&packet_ns, ns);
    }
    mr_bench_snapshot(b, &row->woken);
    mr_bench_difference(&row->woken, &begin);
    row->packet_ns = mr_samples_median(&packet_ns);
    return is_done;
}

static void show_row(const struct idle *idle, const struct row *row)
{
    if (idle->bench->options.is_json)
        return;
    fprintf(stderr, "%4.0f s  %9u connections, %.0f bytes each", now_s() - idle->begun,
            row->connections, bytes_each(idle->bench, row));
    if (row->memory.sleepers > 0)
        fprintf(stderr, ", and %.0f of the %lu that sleep", bytes_asleep(idle->bench, row),
                (unsigned long)row->memory.sleepers);
    fprintf(stderr, "\n");
}

static bool measure_row(struct idle *idle, uint32_t connections, bool is_last)
{
    struct mr_bench *b = idle->bench;
    struct row *row = &idle->rows[idle->row_count];
    struct mr_bench_counts before;
    double begin = now_s();

    mr_bench_client_counts(b, &before);
    set_target(idle, connections);
    if (!wait_for(idle, are_connected, "connections"))
        return false;
    idle->row_count++;
    row->connections = connections;
    row->made = connections - (uint32_t)before.connected;
    row->seconds = now_s() - begin;
    idle->seconds_to_connect += row->seconds;
    settle(b);
    hold(idle, row, is_last ? b->options.seconds : fmin(b->options.seconds, SHORT_HOLD));
    ask_memory(&b->world.server, &row->memory);
    row->tls_bytes = tls_held(b) - idle->tls_base;
    row->resident = resident_bytes();
    show_row(idle, row);
    return wake(idle, row);
}

static bool measure_rows(struct idle *idle)
{
    uint32_t all = idle->bench->options.connections;

    for (uint64_t i = FIRST_ROW; i < all; i *= 10)
        if (!measure_row(idle, (uint32_t)i, false))
            return false;
    return measure_row(idle, all, true);
}

static bool close_all(struct idle *idle)
{
    struct mr_bench *b = idle->bench;
    double begin = now_s();

    for (uint32_t i = 0; i < b->config.client_shards; i++)
        atomic_store_explicit(&idle->apps[i]->is_closing, true, memory_order_relaxed);
    bool is_done = wait_for(idle, are_closed, "of both sides closed");
    idle->close_seconds = now_s() - begin;
    ask_memory(&b->world.server, &idle->left[0]);
    ask_memory(&b->world.client, &idle->left[1]);
    idle->tls_left = tls_held(b) - idle->tls_base;
    return is_done;
}

/* What was waited for in vain; NULL: all came. */
static const char *run_steps(struct idle *idle)
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

/* ------------------------------------------------------------------ reporting */

/* Time per packet by the thread's CPU time, in which others did not have the core: without the
 * iterations that had nothing to do. */
static double packet_cpu_ns(const struct mr_bench *b, const struct row *row)
{
    const struct mr_shard_stats *s = &row->woken.server;
    double ns = row->woken.server_cpu * 1e9 * b->config.server_shards -
                (double)(s->loops - s->busy_loops) * row->poll_ns;
    double packets = packets_of(&row->woken);

    return packets == 0 ? 0 : fmax(ns, 0) / packets;
}

static struct json_object *report_row(const struct mr_bench *b, const struct row *row)
{
    struct json_object *json = json_object_new_object();
    double requests = (double)row->woken.clients.requests;

    mr_bench_real(json, "seconds_to_connect", row->seconds);
    mr_bench_ratio(json, "handshakes_per_s", row->made, row->seconds);
    mr_bench_real(json, "bytes_per_idle_connection", bytes_each(b, row));
    mr_bench_count(json, "asleep", row->memory.sleepers);
    mr_bench_ratio(json, "bytes_per_sleeping_connection", bytes_asleep(b, row),
                   row->memory.sleepers > 0);
    mr_bench_count(json, "expanded_key_bytes", row->memory.key_bytes);
    mr_bench_count(json, "resident_bytes_both_sides", row->resident);
    mr_bench_real(json, "idle_poll_ns", row->poll_ns);
    mr_bench_count(json, "requests", row->woken.clients.requests);
    mr_bench_ratio(json, "packets_per_request", packets_of(&row->woken), requests);
    mr_bench_ratio(json, "server_ns_per_packet", row->packet_ns, requests > 0);
    mr_bench_ratio(json, "server_cpu_ns_per_packet", packet_cpu_ns(b, row), requests > 0);
    mr_bench_ratio(json, "server_ns_per_request", mr_bench_ns(b, row->woken.server.busy_cycles),
                   requests);
    mr_bench_ratio(json, "woken_per_request", (double)row->woken.server_counters.connections_woken,
                   requests);
    mr_bench_count(json, "limit_awake", row->woken.server_counters.limit_awake);
    mr_bench_ratio(json, "keys_rebuilt_per_request",
                   (double)row->woken.server_counters.keys_rebuilt, requests);
    mr_bench_add_stages(b, json, "server_stage_ns", &row->woken.server,
                        (uint64_t)packets_of(&row->woken));
    return json;
}

static void report_handshakes(struct json_object *json, const struct idle *idle)
{
    const struct mr_endpoint_memory *m = &idle->rows[idle->row_count - 1].memory;
    bool is_weighed = mr_alloc_count_is_available();
    double each =
        (double)(m->handshake_bytes_each + idle->handshake_tls_bytes + idle->handshake_other_bytes);

    mr_bench_count(json, "handshakes_at_once_max", m->handshakes_max);
    mr_bench_count(json, "handshakes_at_once", m->handshakes_peak);
    mr_bench_count(json, "handshake_state_bytes", m->handshake_bytes_each);
    mr_bench_count(json, "handshake_pool_bytes", idle->handshake_other_bytes);
    mr_bench_ratio(json, "handshake_tls_bytes", (double)idle->handshake_tls_bytes, is_weighed);
    mr_bench_ratio(json, "handshake_peak_bytes", each, is_weighed);
    mr_bench_ratio(json, "handshakes_peak_mib", each * (double)m->handshakes_max / 1048576,
                   is_weighed);
}

/* What the connections between the first and the last row added to the process, per side. */
static double resident_slope(const struct row *first, const struct row *last)
{
    uint32_t more = last->connections - first->connections;

    return more == 0 ? 0 : ((double)last->resident - (double)first->resident) / 2 / more;
}

static void report_growth(struct json_object *json, const struct idle *idle)
{
    const struct mr_bench *b = idle->bench;
    const struct row *first = &idle->rows[0];
    const struct row *last = &idle->rows[idle->row_count - 1];
    struct json_object *at = json_object_new_object();

    mr_bench_real(json, "bytes_per_idle_connection", bytes_each(b, last));
    mr_bench_real(json, "bytes_of_a_connection_object", (double)mr_endpoint_object_bytes());
    mr_bench_count(json, "asleep", last->memory.sleepers);
    mr_bench_ratio(json, "bytes_per_sleeping_connection", bytes_asleep(b, last),
                   last->memory.sleepers > 0);
    mr_bench_ratio(json, "tls_bytes_per_connection", (double)last->tls_bytes,
                   mr_alloc_count_is_available() ? last->connections : 0);
    bool has_two = last != first;
    mr_bench_ratio(json, "bytes_last_to_first", bytes_each(b, last),
                   has_two ? bytes_each(b, first) : 0);
    mr_bench_ratio(json, "resident_bytes_each", resident_slope(first, last), has_two);
    mr_bench_ratio(json, "packet_ns_last_to_first", last->packet_ns,
                   has_two ? first->packet_ns : 0);
    mr_bench_ratio(json, "idle_poll_ns_last_to_first", last->poll_ns, has_two ? first->poll_ns : 0);
    for (uint32_t i = 0; i < idle->row_count; i++) {
        char name[16];

        snprintf(name, sizeof(name), "%u", idle->rows[i].connections);
        json_object_object_add(at, name, report_row(b, &idle->rows[i]));
    }
    json_object_object_add(json, "at_connections", at);
}

/* While connections were woken, with the number of them that had least: each is compared. */
static void report_shares(struct json_object *json, const struct idle *idle)
{
    double server = idle->row_count > 0;
    double client = server;

    for (uint32_t i = 0; i < idle->row_count; i++) {
        const struct mr_interval *woken = &idle->rows[i].woken;

        server = woken->seconds > 0 ? fmin(server, woken->server_cpu / woken->seconds) : 0;
        client = woken->seconds > 0 ? fmin(client, woken->client_cpu / woken->seconds) : 0;
    }
    mr_bench_real(json, "server_cpu_share", server);
    mr_bench_real(json, "client_cpu_share", client);
}

static uint64_t objects_of(const struct mr_endpoint_memory *m)
{
    return m->conns + m->sleepers + m->handshakes + m->table_entries + m->timers + m->key_bytes +
           m->name_bytes + m->other_bytes;
}

static struct json_object *report(const struct idle *idle)
{
    struct json_object *json = json_object_new_object();

    mr_bench_text(json, "bench", "idle");
    mr_bench_count(json, "connections", idle->held);
    mr_bench_count(json, "resumed", idle->counts.resumed);
    mr_bench_real(json, "seconds_to_connect", idle->seconds_to_connect);
    mr_bench_ratio(json, "handshakes_per_s", (double)idle->counts.connected,
                   idle->seconds_to_connect);
    if (idle->row_count > 0) {
        report_growth(json, idle);
        report_handshakes(json, idle);
        mr_bench_count(json, "resident_bytes_both_sides", idle->rows[idle->row_count - 1].resident);
    }
    report_shares(json, idle);
    mr_bench_real(json, "held_seconds", idle->held_seconds);
    mr_bench_real(json, "close_seconds", idle->close_seconds);
    mr_bench_count(json, "server_left", objects_of(&idle->left[0]));
    mr_bench_count(json, "client_left", objects_of(&idle->left[1]));
    mr_bench_ratio(json, "tls_bytes_left", (double)idle->tls_left, mr_alloc_count_is_available());
    mr_bench_count(json, "bad_bytes", idle->counts.bad_bytes);
    mr_bench_count(json, "failed", idle->counts.failed);
    mr_bench_count(json, "last_error", idle->counts.last_error);
    return json;
}

/* ------------------------------------------------------------------ the command */

static bool make_apps(struct idle *idle)
{
    struct mr_bench *b = idle->bench;
    struct mr_idle_load load = {
        .server = mr_world_server_address(),
        .connections = b->config.connections,
        .connects_at_once = CONNECTS_AT_ONCE,
        .full_handshakes = ALONE,
        .wants_resumption = b->options.wants_resumption,
    };

    if (!mr_perf_buffer_make(&b->data, DATA_BYTES))
        return false;
    for (uint32_t i = 0; i < b->config.server_shards; i++) {
        load.seed = i + 1;
        b->server_apps[i] = mr_bench_server_make(&b->data);
        idle->apps[i] = mr_idle_app_make(&load, &b->data);
        if (b->server_apps[i] == NULL || idle->apps[i] == NULL)
            return false;
        mr_bench_worker_init(&b->servers[i], &b->server_apps[i]->application,
                             &b->server_apps[i]->shared);
        mr_bench_worker_init(&b->clients[i], &idle->apps[i]->application, &idle->apps[i]->shared);
    }
    return true;
}

static int run(struct idle *idle)
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
    if (!is_memory_there(b))
        return 1;
    if (!make_apps(idle)) {
        fprintf(stderr, "millrace bench: not enough memory for the applications; ask for fewer\n");
        return 1;
    }
    if (!mr_bench_launch(b, &fault)) {
        fprintf(stderr, "millrace bench: %s\n", fault.text);
        return 1;
    }
    const char *missing = run_steps(idle);
    if (missing != NULL)
        fprintf(stderr,
                "millrace bench: %s did not come, nor any more within %u s; ask for fewer\n",
                missing, PATIENCE_SECONDS);
    struct json_object *json = report(idle);
    mr_bench_count(json, "leaked_buffers", mr_bench_stop(b));
    for (uint32_t i = 0; i < MR_SHARDS_MAX; i++)
        mr_idle_app_free(idle->apps[i]);
    return mr_bench_finish(json, b, missing != NULL, NULL);
}

int mr_bench_idle(int argc, char **argv)
{
    static struct mr_bench bench;
    static struct idle idle = {.bench = &bench};

    bench.options = mr_bench_options_default();
    bench.config = mr_world_config_default();
    bench.options.connections = 10000;
    bench.options.wakes = WAKES;
    enum mr_parse_result parsed = mr_bench_parse(
        &bench.options, argc, argv, "millrace bench idle [options]",
        "Connections that stay: how long they take to make, what each costs, whether many make "
        "packets and timers dear.",
        MR_BENCH_CONNECTIONS | MR_BENCH_SHARDS | MR_BENCH_RESUME | MR_BENCH_WAKES);

    return parsed == MR_PARSE_OK ? run(&idle) : parsed == MR_PARSE_HELP ? 0 : 2;
}
