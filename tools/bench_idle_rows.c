/* tools/bench_idle_rows.c - see bench_idle_rows.h. */
#include "tools/bench_idle_rows.h"

#include <math.h>
#include <stdio.h>

#include "base/compiler.h"
#include "base/table.h"
#include "tools/alloc_count.h"

const uint32_t mr_idle_bursts[MR_IDLE_BURSTS] = {MR_IDLE_AWAKE, 1};

uint32_t mr_idle_burst_of(uint32_t way)
{
    return way == 0 ? 0 : mr_idle_bursts[way - 1];
}

/* ------------------------------------------------------------------ weighing */

struct mr_limits mr_idle_limits(const struct mr_bench *b)
{
    struct mr_limits limits = mr_limits_for(b->config.connections);

    mr_limits_let_sleep(&limits, b->config.awake);
    return limits;
}

double mr_idle_packets(const struct mr_interval *i)
{
    return (double)(i->server.datagrams_received + i->server.datagrams_sent);
}

/* Bytes that each connection that there may be adds to what an endpoint lays out at its start
 * beside its object: its number, its connection IDs' and its token's table entries, its timer. */
static double table_bytes_each(const struct mr_bench *b)
{
    const struct mr_limits all = mr_idle_limits(b);
    struct mr_limits less = all;

    less.connections_max -= (all.connections_max - all.awake_max) / 2;
    double slope = (double)(mr_endpoint_footprint(&all) - mr_endpoint_footprint(&less)) /
                   (double)(all.connections_max - less.connections_max);
    return all.awake_max == 0 ? slope - (double)mr_endpoint_object_bytes() : slope;
}

#define NUMBER_BYTES 8 /* of a stream, asleep or awake */

static double connections_of(const struct mr_idle_row *row)
{
    return (double)(row->memory.conns + row->memory.asleep);
}

/* Of the streams of a connection awake: their objects, and their entries of the table. */
static double stream_bytes_awake(const struct mr_idle_row *row)
{
    const struct mr_endpoint_memory *m = &row->memory;
    uint64_t numbers = (m->streams + m->streams_asleep) * NUMBER_BYTES;
    double entry = (double)mr_table8_footprint(1u << 20) / (1u << 20);

    return m->conns == 0 ? 0
                         : ((double)(m->stream_bytes - numbers) + entry * (double)m->streams) /
                               (double)m->conns;
}

/* Everything but its object, the objects of its streams, and the cache of expanded keys, which does
 * not grow. */
static double bytes_beside(const struct mr_bench *b, const struct mr_idle_row *row)
{
    const struct mr_endpoint_memory *m = &row->memory;
    double held = (double)(m->handshake_bytes + m->name_bytes + m->other_bytes);
    double numbers = (double)((m->streams + m->streams_asleep) * NUMBER_BYTES);

    return (held + numbers + (double)row->http3.bytes + (double)row->tls_bytes) /
               connections_of(row) +
           table_bytes_each(b);
}

double mr_idle_bytes_awake(const struct mr_bench *b, const struct mr_idle_row *row)
{
    return row->memory.conns == 0 ? 0
                                  : (double)mr_endpoint_object_bytes() + stream_bytes_awake(row) +
                                        bytes_beside(b, row);
}

double mr_idle_bytes_asleep(const struct mr_bench *b, const struct mr_idle_row *row)
{
    const struct mr_endpoint_memory *m = &row->memory;

    return m->asleep == 0 ? 0 : (double)m->sleeper_bytes / (double)m->asleep + bytes_beside(b, row);
}

/* ------------------------------------------------------------------ reporting */

/* Time per packet by the thread's CPU time, in which others did not have the core: without the
 * iterations that had nothing to do. */
static double packet_cpu_ns(const struct mr_bench *b, const struct mr_idle_row *row)
{
    const struct mr_interval *interval = &row->woken.interval;
    const struct mr_shard_stats *s = &interval->server;
    double ns = interval->server_cpu * 1e9 * b->config.server_shards -
                (double)(s->loops - s->busy_loops) * row->poll_ns;
    double packets = mr_idle_packets(interval);

    return packets == 0 ? 0 : fmax(ns, 0) / packets;
}

static void report_woken(const struct mr_bench *b, struct json_object *json,
                         const struct mr_idle_woken *woken)
{
    const struct mr_interval *interval = &woken->interval;
    double requests = (double)interval->clients.requests;

    mr_bench_count(json, "requests", interval->clients.requests);
    mr_bench_ratio(json, "packets_per_request", mr_idle_packets(interval), requests);
    mr_bench_ratio(json, "server_ns_per_packet", woken->packet_ns, requests > 0);
    mr_bench_ratio(json, "server_ns_per_request", mr_bench_ns(b, interval->server.busy_cycles),
                   requests);
    mr_bench_ratio(json, "keys_rebuilt_per_request", (double)interval->server_counters.keys_rebuilt,
                   requests);
    mr_bench_add_stages(b, json, "server_stage_ns", &interval->server,
                        (uint64_t)mr_idle_packets(interval));
}

static void report_paced(const struct mr_bench *b, struct json_object *json,
                         const struct mr_idle_row *row)
{
    struct json_object *paced = json_object_new_object();

    for (size_t i = 0; i < MR_IDLE_BURSTS; i++) {
        struct json_object *at = json_object_new_object();
        char name[16];

        report_woken(b, at, &row->paced[i]);
        snprintf(name, sizeof(name), "%u", mr_idle_bursts[i]);
        json_object_object_add(paced, name, at);
    }
    json_object_object_add(json, "paced", paced);
}

static struct json_object *report_row(const struct mr_bench *b, const struct mr_idle_row *row)
{
    struct json_object *json = json_object_new_object();
    double requests = (double)row->woken.interval.clients.requests;

    mr_bench_real(json, "seconds_to_connect", row->seconds);
    mr_bench_ratio(json, "handshakes_per_s", row->made, row->made > 0 ? row->seconds : 0);
    mr_bench_real(json, "bytes_per_idle_connection", mr_idle_bytes_awake(b, row));
    mr_bench_count(json, "asleep", row->memory.asleep);
    mr_bench_ratio(json, "bytes_per_sleeping_connection", mr_idle_bytes_asleep(b, row),
                   row->memory.asleep > 0);
    if (b->options.has_http3) {
        double all = connections_of(row);

        mr_bench_ratio(json, "streams_per_connection",
                       (double)(row->memory.streams + row->memory.streams_asleep), all);
        mr_bench_real(json, "stream_bytes_awake", stream_bytes_awake(row));
        mr_bench_ratio(json, "http3_bytes_per_connection", (double)row->http3.bytes, all);
    }
    mr_bench_count(json, "expanded_key_bytes", row->memory.key_bytes);
    mr_bench_count(json, "resident_bytes_both_sides", row->resident);
    mr_bench_real(json, "idle_poll_ns", row->poll_ns);
    report_woken(b, json, &row->woken);
    mr_bench_ratio(json, "server_cpu_ns_per_packet", packet_cpu_ns(b, row), requests > 0);
    mr_bench_ratio(json, "woken_per_request",
                   (double)row->woken.interval.server_counters.connections_woken, requests);
    mr_bench_count(json, "limit_awake", row->woken.interval.server_counters.limit_awake);
    if (!b->options.has_http3)
        report_paced(b, json, row);
    return json;
}

static void report_handshakes(struct json_object *json, const struct mr_idle *idle)
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
static double resident_slope(const struct mr_idle_row *first, const struct mr_idle_row *last)
{
    uint32_t more = last->connections - first->connections;

    return more == 0 ? 0 : ((double)last->resident - (double)first->resident) / 2 / more;
}

static void report_growth(struct json_object *json, const struct mr_idle *idle)
{
    const struct mr_bench *b = idle->bench;
    const struct mr_idle_row *first = &idle->rows[0];
    const struct mr_idle_row *last = &idle->rows[idle->row_count - 1];
    struct json_object *at = json_object_new_object();

    mr_bench_real(json, "bytes_per_idle_connection", mr_idle_bytes_awake(b, last));
    mr_bench_real(json, "bytes_of_a_connection_object", (double)mr_endpoint_object_bytes());
    mr_bench_count(json, "asleep", last->memory.asleep);
    mr_bench_ratio(json, "bytes_per_sleeping_connection", mr_idle_bytes_asleep(b, last),
                   last->memory.asleep > 0);
    if (b->options.has_http3)
        mr_bench_ratio(json, "http3_bytes_per_connection", (double)last->http3.bytes,
                       connections_of(last));
    mr_bench_ratio(json, "tls_bytes_per_connection", (double)last->tls_bytes,
                   mr_alloc_count_is_available() ? last->connections : 0);
    bool has_two = last != first;
    mr_bench_ratio(json, "bytes_last_to_first", mr_idle_bytes_awake(b, last),
                   has_two ? mr_idle_bytes_awake(b, first) : 0);
    mr_bench_ratio(json, "resident_bytes_each", resident_slope(first, last), has_two);
    mr_bench_ratio(json, "packet_ns_last_to_first", last->woken.packet_ns,
                   has_two ? first->woken.packet_ns : 0);
    mr_bench_ratio(json, "idle_poll_ns_last_to_first", last->poll_ns, has_two ? first->poll_ns : 0);
    for (uint32_t i = 0; i < idle->row_count; i++) {
        char name[16];

        snprintf(name, sizeof(name), "%u", idle->rows[i].connections);
        json_object_object_add(at, name, report_row(b, &idle->rows[i]));
    }
    json_object_object_add(json, "at_connections", at);
}

/* What a packet takes among all to what it takes among few, measured in turns; null if there are no
 * more than those. */
static void report_compared(struct json_object *json, struct mr_idle *idle)
{
    for (uint32_t way = 0; way < MR_IDLE_WAYS; way++) {
        struct mr_idle_compared *c = &idle->compared[way];
        uint32_t burst = mr_idle_burst_of(way);
        char prefix[24] = "random";
        char name[64];

        if (burst > 0)
            snprintf(prefix, sizeof(prefix), "paced_%u", burst);
        snprintf(name, sizeof(name), "%s_packet_ns_few", prefix);
        mr_bench_ratio(json, name, mr_samples_median(&c->few), c->few.count > 0);
        snprintf(name, sizeof(name), "%s_packet_ns_many", prefix);
        mr_bench_ratio(json, name, mr_samples_median(&c->many), c->many.count > 0);
        snprintf(name, sizeof(name), "%s_packet_ns_many_to_few", prefix);
        mr_bench_add_samples(json, name, &c->ratios);
    }
}

/* While connections were woken, with the number of them that had least: each is compared. */
static void report_shares(struct json_object *json, const struct mr_idle *idle)
{
    double server = idle->row_count > 0;
    double client = server;

    for (uint32_t i = 0; i < idle->row_count; i++) {
        const struct mr_interval *woken = &idle->rows[i].woken.interval;

        server = woken->seconds > 0 ? fmin(server, woken->server_cpu / woken->seconds) : 0;
        client = woken->seconds > 0 ? fmin(client, woken->client_cpu / woken->seconds) : 0;
    }
    mr_bench_real(json, "server_cpu_share", server);
    mr_bench_real(json, "client_cpu_share", client);
}

static uint64_t objects_of(const struct mr_endpoint_memory *m)
{
    return m->conns + m->sleepers + m->handshakes + m->table_entries + m->timers + m->key_bytes +
           m->name_bytes + m->stream_bytes + m->other_bytes;
}

struct json_object *mr_idle_report(struct mr_idle *idle)
{
    struct json_object *json = json_object_new_object();

    mr_bench_text(json, "bench", "idle");
    mr_bench_count(json, "connections", idle->held);
    mr_bench_count(json, "resumed", idle->counts.resumed);
    mr_bench_real(json, "seconds_to_connect", idle->seconds_to_connect);
    mr_bench_ratio(json, "handshakes_per_s", (double)idle->counts.connected,
                   idle->row_count > 0 && idle->rows[0].made > 0 ? idle->seconds_to_connect : 0);
    if (idle->row_count > 0) {
        report_growth(json, idle);
        if (!idle->bench->options.has_http3)
            report_compared(json, idle);
        report_handshakes(json, idle);
        mr_bench_count(json, "resident_bytes_both_sides", idle->rows[idle->row_count - 1].resident);
    }
    report_shares(json, idle);
    mr_bench_real(json, "held_seconds", idle->held_seconds);
    mr_bench_real(json, "close_seconds", idle->close_seconds);
    mr_bench_count(json, "server_left",
                   objects_of(&idle->left[0]) + idle->http3_left.connections +
                       idle->http3_left.streams + idle->http3_left.requests);
    mr_bench_count(json, "client_left", objects_of(&idle->left[1]));
    mr_bench_ratio(json, "tls_bytes_left", (double)idle->tls_left, mr_alloc_count_is_available());
    mr_bench_count(json, "bad_bytes", idle->counts.bad_bytes);
    mr_bench_count(json, "failed", idle->counts.failed);
    mr_bench_count(json, "last_error", idle->counts.last_error);
    return json;
}
