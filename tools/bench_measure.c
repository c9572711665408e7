/*
 * tools/bench_measure.c - see bench.h: what happens between warm-up and stop.
 *
 * A window is the difference of two snapshots; an interval is the sum of windows.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tools/alloc_count.h"
#include "tools/bench.h"

#define AWAIT_SECONDS  60   /* for the connections to be there, */
#define AWAITED_PER_S  300  /* and longer for so many */
#define WINDOW_SECONDS 0.25 /* with the yardstick in between */
#define WINDOWS_MAX    1024 /* more than 256 s: longer ones */
#define SETTLE_SECONDS 0.02 /* after the yardstick, until all flows as before */
#define SLICES_APART   4    /* of a yardstick that is only measured before and after */
#define PATIENCE_NS    UINT64_C(2000000000) /* for an event at the server */

_Static_assert(WINDOWS_MAX + 1 <= MR_SAMPLES_MAX, "a slice next to each window");

/* ------------------------------------------------------------------ snapshots */

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void sleep_s(double seconds)
{
    struct timespec span = {.tv_sec = (time_t)seconds,
                            .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};

    if (seconds > 0)
        nanosleep(&span, NULL);
}

static void add_counts(struct mr_bench_counts *sum, const struct mr_bench_worker *workers,
                       uint32_t count)
{
    memset(sum, 0, sizeof(*sum));
    for (uint32_t i = 0; i < count; i++) {
        struct mr_bench_counts one;

        mr_bench_read_counts(workers[i].shared, &one);
        for (size_t k = 0; k < sizeof(one) / sizeof(uint64_t); k++)
            ((uint64_t *)(void *)sum)[k] += ((const uint64_t *)(const void *)&one)[k];
    }
}

void mr_bench_client_counts(const struct mr_bench *b, struct mr_bench_counts *out)
{
    add_counts(out, b->clients, b->config.client_shards);
}

/* Seconds of CPU time, per thread. */
static double cpu_seconds(const struct mr_bench_worker *workers, uint32_t count)
{
    uint64_t ns = 0;

    for (uint32_t i = 0; i < count; i++)
        ns += mr_bench_worker_cpu_ns(&workers[i]);
    return (double)ns * 1e-9 / count;
}

void mr_bench_snapshot(const struct mr_bench *b, struct mr_interval *out)
{
    memset(out, 0, sizeof(*out));
    out->seconds = now_s();
    mr_group_stats(&b->world.server, &out->server);
    mr_group_io_stats(&b->world.server, &out->server_io);
    mr_group_stats(&b->world.client, &out->client);
    mr_group_counters(&b->world.server, &out->server_counters);
    mr_group_counters(&b->world.client, &out->client_counters);
    add_counts(&out->clients, b->clients, b->config.client_shards);
    add_counts(&out->servers, b->servers, b->config.server_shards);
    out->allocations = mr_alloc_count();
    out->server_cpu = cpu_seconds(b->servers, b->config.server_shards);
    out->client_cpu = cpu_seconds(b->clients, b->config.client_shards);
}

static void subtract(void *from, const void *what, size_t size)
{
    for (size_t i = 0; i < size / sizeof(uint64_t); i++)
        ((uint64_t *)from)[i] -= ((const uint64_t *)what)[i];
}

static void add(void *to, const void *what, size_t size)
{
    for (size_t i = 0; i < size / sizeof(uint64_t); i++)
        ((uint64_t *)to)[i] += ((const uint64_t *)what)[i];
}

void mr_bench_difference(struct mr_interval *end, const struct mr_interval *begin)
{
    end->seconds -= begin->seconds;
    subtract(&end->server, &begin->server, sizeof(end->server));
    subtract(&end->server_io, &begin->server_io, sizeof(end->server_io));
    subtract(&end->client, &begin->client, sizeof(end->client));
    subtract(&end->server_counters, &begin->server_counters, sizeof(end->server_counters));
    subtract(&end->client_counters, &begin->client_counters, sizeof(end->client_counters));
    subtract(&end->clients, &begin->clients, sizeof(end->clients));
    subtract(&end->servers, &begin->servers, sizeof(end->servers));
    end->allocations -= begin->allocations;
    end->server_cpu -= begin->server_cpu;
    end->client_cpu -= begin->client_cpu;
}

static void add_window(struct mr_interval *sum, const struct mr_interval *window)
{
    sum->seconds += window->seconds;
    add(&sum->server, &window->server, sizeof(sum->server));
    add(&sum->server_io, &window->server_io, sizeof(sum->server_io));
    add(&sum->client, &window->client, sizeof(sum->client));
    add(&sum->server_counters, &window->server_counters, sizeof(sum->server_counters));
    add(&sum->client_counters, &window->client_counters, sizeof(sum->client_counters));
    add(&sum->clients, &window->clients, sizeof(sum->clients));
    add(&sum->servers, &window->servers, sizeof(sum->servers));
    sum->allocations += window->allocations;
    sum->server_cpu += window->server_cpu;
    sum->client_cpu += window->client_cpu;
}

/* ------------------------------------------------------------------ progress and samples */

/* A line for each second of `sum`, the measured time so far; `shown` is what it was at the last. */
static void show_progress(const struct mr_bench *b, const struct mr_interval *sum,
                          struct mr_interval *shown)
{
    struct mr_bench_counts clients;
    uint64_t bytes = sum->clients.bytes_received + sum->servers.bytes_received -
                     shown->clients.bytes_received - shown->servers.bytes_received;

    if (b->options.is_json || b->options.has_samples ||
        floor(sum->seconds) <= floor(shown->seconds) || sum->seconds >= b->options.seconds)
        return;
    mr_bench_client_counts(b, &clients);
    fprintf(stderr, "%4.0f s  %7.2f Gbit/s  %9lu requests  %8lu connections\n", sum->seconds,
            (double)bytes * 8e-9 / (sum->seconds - shown->seconds), (unsigned long)clients.requests,
            (unsigned long)clients.connected);
    *shown = *sum;
}

/* The goodput since the last call, which was `seconds` ago. */
static void take_sample(struct mr_bench *b, double seconds, uint64_t *bytes_before)
{
    struct mr_bench_samples *s = &b->samples;
    struct mr_interval i;

    if (s->count == s->room)
        return;
    mr_bench_snapshot(b, &i);
    uint64_t bytes = i.clients.bytes_received + i.servers.bytes_received;
    s->gbps[s->count] = (double)(bytes - *bytes_before) * 8e-9 / seconds;
    s->key_updates[s->count++] =
        i.server_counters.key_updates_started + i.client_counters.key_updates_started;
    *bytes_before = bytes;
}

static void sample_until(struct mr_bench *b, double end, const struct mr_interval *begin)
{
    double last = begin->seconds;
    uint64_t bytes = begin->clients.bytes_received + begin->servers.bytes_received;

    for (double due = last + MR_BENCH_SAMPLE_SECONDS; due < end; due += MR_BENCH_SAMPLE_SECONDS) {
        sleep_s(due - now_s());
        double now = now_s();
        take_sample(b, now - last, &bytes);
        last = now;
    }
}

/* ------------------------------------------------------------------ the yardstick */

struct slice {
    struct mr_bench_yardstick *yardstick;
    double ns;
};

/* On a server's thread. */
static void run_slice(void *argument)
{
    struct slice *s = argument;

    s->ns = s->yardstick->slice(s->yardstick->argument);
}

/* The yardstick now: the mean of `count` slices; < 0: not measured, and never again. */
static double measure_yardstick(struct mr_bench *b, uint32_t count)
{
    struct slice slice = {.yardstick = &b->yardstick};
    double sum = 0;

    for (uint32_t i = 0; i < count && b->yardstick.slice != NULL; i++) {
        if (!mr_bench_aside_run(&b->aside, run_slice, &slice, PATIENCE_NS)) {
            fprintf(stderr, "millrace bench: nothing came to the server for 2 s: what its core can "
                            "do alone is not measured\n");
            b->yardstick.slice = NULL;
        } else if (slice.ns < 0) {
            b->yardstick.slice = NULL; /* its kind knows why */
        } else {
            mr_samples_add(&b->comparison.slices_ns, slice.ns);
            sum += slice.ns;
        }
    }
    if (b->yardstick.slice == NULL)
        return -1;
    sleep_s(SETTLE_SECONDS);
    return sum / count;
}

/* Compare a window, by its cost, with the yardstick before and after it. */
static void compare(struct mr_bench *b, double cost_ns, double before, double after)
{
    if (before >= 0 && after >= 0)
        mr_samples_add(&b->comparison.ratios, (before + after) / 2 / cost_ns);
}

static double cost_ns(const struct mr_bench *b, const struct mr_interval *window)
{
    return b->yardstick.cost_ns == NULL ? 0 : b->yardstick.cost_ns(b, window);
}

/* ------------------------------------------------------------------ windows */

static bool is_interleaved(const struct mr_bench *b)
{
    return b->yardstick.slice != NULL && !b->yardstick.is_apart;
}

static uint32_t window_count(const struct mr_bench *b)
{
    double length = b->options.has_samples ? b->options.seconds
                    : is_interleaved(b)    ? WINDOW_SECONDS
                                           : 1;

    return (uint32_t)fmin(fmax(b->options.seconds / length, 1), WINDOWS_MAX);
}

/* From `begin` on for `seconds`; `begin` becomes the snapshot at its end. */
static void measure_window(struct mr_bench *b, double seconds, struct mr_interval *begin,
                           struct mr_interval *out)
{
    struct mr_interval end;

    if (b->options.has_samples)
        sample_until(b, begin->seconds + seconds, begin);
    sleep_s(begin->seconds + seconds - now_s());
    mr_bench_snapshot(b, &end);
    *out = end;
    mr_bench_difference(out, begin);
    *begin = end;
}

static void take_shares(struct mr_interval *sum)
{
    sum->server_cpu /= sum->seconds;
    sum->client_cpu /= sum->seconds;
}

/* Whether what ends now is one of the latencies. */
static void set_measuring(struct mr_bench *b, bool is_measuring)
{
    for (uint32_t i = 0; i < b->config.client_shards; i++)
        atomic_store(&b->clients[i].shared->is_measuring, is_measuring);
    for (uint32_t i = 0; i < b->config.server_shards; i++)
        atomic_store(&b->servers[i].shared->is_measuring, is_measuring);
}

/* Windows with the yardstick in between. */
static void measure_in_turns(struct mr_bench *b, uint32_t count, struct mr_interval *sum)
{
    double before = measure_yardstick(b, 1);
    struct mr_interval shown = {0};

    for (uint32_t i = 0; i < count; i++) {
        struct mr_interval begin;
        struct mr_interval window;

        mr_bench_snapshot(b, &begin);
        measure_window(b, b->options.seconds / count, &begin, &window);
        double after = measure_yardstick(b, 1);
        compare(b, cost_ns(b, &window), before, after);
        before = after;
        add_window(sum, &window);
        show_progress(b, sum, &shown);
    }
}

/* Windows that follow each other. */
static void measure_in_a_row(struct mr_bench *b, uint32_t count, double before,
                             struct mr_interval *sum)
{
    static double costs[WINDOWS_MAX];
    struct mr_interval begin;
    struct mr_interval shown = {0};

    mr_bench_snapshot(b, &begin);
    for (uint32_t i = 0; i < count; i++) {
        struct mr_interval window;

        measure_window(b, b->options.seconds / count, &begin, &window);
        costs[i] = cost_ns(b, &window);
        add_window(sum, &window);
        show_progress(b, sum, &shown);
    }
    set_measuring(b, false); /* what waits while the yardstick has the core is not late */
    double after = measure_yardstick(b, SLICES_APART);
    for (uint32_t i = 0; i < count; i++)
        compare(b, costs[i], before, after);
}

/* ------------------------------------------------------------------ a whole run */

/* Wait for the connections.  False: they did not come in time. */
static bool await_connections(const struct mr_bench *b)
{
    double patience = fmax(AWAIT_SECONDS, (double)b->awaited / AWAITED_PER_S);
    double until = now_s() + patience;
    struct mr_bench_counts clients;

    do {
        sleep_s(0.01);
        mr_bench_client_counts(b, &clients);
    } while (clients.connected < b->awaited && now_s() < until);
    if (clients.connected < b->awaited)
        fprintf(stderr, "millrace bench: only %lu of %u connections came within %.0f s\n",
                (unsigned long)clients.connected, b->awaited, patience);
    return clients.connected >= b->awaited;
}

/* From here on every receive queue's frames go to the next one. */
static void misdirect(struct mr_port *port)
{
    uint16_t reta[MR_WIRE_RETA_COUNT];

    mr_wire_reta(port, reta);
    for (uint32_t i = 0; i < MR_WIRE_RETA_COUNT; i++)
        reta[i] = (uint16_t)((reta[i] + 1) % port->traits.queue_count);
    mr_wire_set_reta(port, reta);
}

static void warm_up_and_measure(struct mr_bench *b, struct mr_interval *sum)
{
    bool is_complete = await_connections(b);
    uint32_t count = window_count(b);
    double before = -1;

    memset(sum, 0, sizeof(*sum));
    if (b->options.is_misdirected) {
        misdirect(b->world.server.port);
        misdirect(b->world.client.port);
    }
    if (!is_interleaved(b))
        before = measure_yardstick(b, SLICES_APART);
    sleep_s(b->options.warm_seconds);
    set_measuring(b, true);
    if (is_interleaved(b))
        measure_in_turns(b, count, sum);
    else
        measure_in_a_row(b, count, before, sum);
    set_measuring(b, false);
    take_shares(sum);
    sum->is_complete = is_complete;
}

void mr_bench_run(struct mr_bench *b, struct mr_interval *interval, uint32_t *leaked_out)
{
    warm_up_and_measure(b, interval);
    *leaked_out = mr_bench_stop(b);
}

void mr_bench_run_with(struct mr_bench *b, struct mr_interval *interval, uint32_t *leaked_out,
                       struct mr_histogram *latency_out)
{
    warm_up_and_measure(b, interval);
    mr_bench_stop_load(b);
    mr_histogram_init(latency_out);
    for (uint32_t i = 0; i < b->config.client_shards; i++)
        mr_histogram_merge(latency_out, b->clients[i].shared->latency);
    *leaked_out = mr_bench_stop(b);
}
