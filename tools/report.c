/* tools/report.c - see report.h. */
#include "tools/report.h"

#include <stddef.h>
#include <string.h>

#include "dataplane/clock.h"

typedef unsigned long long number; /* as printf wants it */

void mr_report_read(struct mr_report *report, const struct mr_group *group)
{
    memset(report, 0, sizeof(*report));
    report->connections = mr_group_conn_count(group);
    mr_group_stats(group, &report->stats);
    mr_group_counters(group, &report->quic);
    mr_group_net_counters(group, &report->net);
}

void mr_report_add_h3(struct mr_report *report, const struct mr_h3_counters *counters)
{
    uint64_t *sum = (uint64_t *)(void *)&report->h3;

    report->has_h3 = true;
    for (size_t i = 0; i < MR_H3_COUNTERS; i++)
        sum[i] += mr_h3_counter_value(counters, i);
}

const char *mr_report_bytes(double bytes, char text[MR_REPORT_BYTES])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    size_t unit = 0;

    while (bytes >= 999.5 && unit + 1 < MR_COUNT_OF(units)) {
        bytes /= 1000;
        unit++;
    }
    snprintf(text, MR_REPORT_BYTES, unit == 0 || bytes >= 99.95 ? "%.0f %s" : "%.2f %s", bytes,
             units[unit]);
    return text;
}

/* ------------------------------------------------------------------ counters by name */

static const struct {
    const char *name;
    size_t offset;
} net_rows[] = {
#define X(field, help) {#field, offsetof(struct mr_net_counters, field)},
    MR_NET_COUNTERS(X)
#undef X
};

size_t mr_report_counters(void)
{
    return MR_COUNT_OF(net_rows) + MR_COUNTERS;
}

const char *mr_report_counter_name(size_t index)
{
    return index < MR_COUNT_OF(net_rows) ? net_rows[index].name
                                         : mr_counter_name(index - MR_COUNT_OF(net_rows));
}

uint64_t mr_report_counter(const struct mr_report *r, size_t index)
{
    uint64_t count;

    if (index >= MR_COUNT_OF(net_rows))
        return mr_counter_value(&r->quic, index - MR_COUNT_OF(net_rows));
    memcpy(&count, (const uint8_t *)&r->net + net_rows[index].offset, sizeof(count));
    return count;
}

static bool begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Frames, datagrams and packets that went nowhere. */
bool mr_report_is_drop(const char *name)
{
    return begins_with(name, "dropped_") || begins_with(name, "net_drop_") ||
           begins_with(name, "net_tx_no_route") || begins_with(name, "net_tx_waiting_full") ||
           begins_with(name, "net_tx_unresolved") || strcmp(name, "replies_dropped") == 0;
}

static bool is_limit(const char *name)
{
    return begins_with(name, "limit_");
}

/* Print each counter that is wanted and not zero, unless `to` is NULL; returns their sum. */
static uint64_t sum_of(const struct mr_report *r, bool (*is_wanted)(const char *name), FILE *to)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < mr_report_counters(); i++) {
        const char *name = mr_report_counter_name(i);
        uint64_t count = mr_report_counter(r, i);

        if (count == 0 || !is_wanted(name))
            continue;
        sum += count;
        if (to != NULL)
            fprintf(to, " %s %llu", name, (number)count);
    }
    return sum;
}

/* ------------------------------------------------------------------ lines */

/* Who slept, and has not woken since. */
static uint64_t asleep_of(const struct mr_report *r)
{
    return r->quic.connections_slept - r->quic.connections_woken;
}

void mr_report_status(FILE *to, const struct mr_report *before, const struct mr_report *now,
                      double seconds)
{
    double sent = (double)(now->quic.bytes_sent - before->quic.bytes_sent) / seconds;
    double received = (double)(now->quic.bytes_received - before->quic.bytes_received) / seconds;
    double requests = (double)(now->h3.requests - before->h3.requests) / seconds;
    uint64_t drops = sum_of(now, mr_report_is_drop, NULL) -
                     sum_of(before, mr_report_is_drop, NULL) + now->h3.files_refused -
                     before->h3.files_refused;

    char asleep[32] = "";

    if (now->quic.connections_slept > 0)
        snprintf(asleep, sizeof(asleep), ", %llu asleep", (number)asleep_of(now));
    fprintf(to,
            "edge: %u connections%s, %.1f requests/s, out %.1f Mbit/s, in %.1f Mbit/s, %llu "
            "dropped\n",
            now->connections, asleep, requests, sent * 8e-6, received * 8e-6, (number)drops);
}

void mr_report_totals(FILE *to, const char *command, const struct mr_report *r, uint32_t lost_mbufs)
{
    char content[MR_REPORT_BYTES];
    char sent[MR_REPORT_BYTES];
    char received[MR_REPORT_BYTES];

    fprintf(to, "%s: %llu connections", command, (number)r->quic.handshakes_completed);
    if (r->has_h3)
        fprintf(to, ", %llu requests, %s of content", (number)r->h3.requests,
                mr_report_bytes((double)r->h3.body_bytes_sent, content));
    fprintf(to, "; %s sent, %s received in %llu datagrams\n",
            mr_report_bytes((double)r->quic.bytes_sent, sent),
            mr_report_bytes((double)r->quic.bytes_received, received),
            (number)r->quic.datagrams_received);
    struct mr_clock clock = mr_clock_init();
    bool is_any = sum_of(r, mr_report_is_drop, NULL) + r->h3.files_refused > 0;
    fprintf(to, "%s: dropped:%s", command, is_any ? "" : " nothing");
    sum_of(r, mr_report_is_drop, to);
    if (r->h3.files_refused > 0)
        fprintf(to, " files_refused %llu (no file descriptor: raise `ulimit -n`)",
                (number)r->h3.files_refused);
    if (r->quic.connections_slept > 0)
        fprintf(to, "\n%s: connections slept %llu times, woke %llu times", command,
                (number)r->quic.connections_slept, (number)r->quic.connections_woken);
    if (sum_of(r, is_limit, NULL) > 0) {
        fprintf(to, "\n%s: limits reached:", command);
        sum_of(r, is_limit, to);
    }
    fprintf(to, "\n%s: polling cores worked %.3f s", command,
            (double)mr_clock_ns(&clock, r->stats.busy_cycles) * 1e-9);
    fprintf(to, "\n%s: mbufs lost: %u\n", command, lost_mbufs);
    fflush(to);
}
