/* tools/bench.c - see bench.h: what the kinds share. */
#include "tools/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/eal.h"

#define DATA_BYTES ((size_t)256 << 20)

struct mr_bench_options mr_bench_options_default(void)
{
    return (struct mr_bench_options){
        .connections = 1, .streams = 1, .shards = 1, .payload = 1452, .seconds = 3, .warm_seconds = 0.5, .bytes = 64};
}

/* ------------------------------------------------------------------ start and stop */

static bool start_eal(const struct mr_bench *b, struct mr_fault *fault)
{
    struct mr_eal_config eal = {.worker_count = b->config.server_shards + b->config.client_shards,
                                .memory_mb = 1024,
                                .shares_cores = true,
                                .is_verbose = b->options.is_verbose};

    return mr_eal_start(&eal, fault);
}

static bool make_apps(struct mr_bench *b, const struct mr_bench_load *load, struct mr_fault *fault)
{
    bool is_ok = mr_bench_data_make(&b->data, DATA_BYTES);

    for (uint32_t i = 0; is_ok && i < b->config.server_shards; i++) {
        b->server_apps[i] = mr_bench_server_make(&b->data);
        is_ok = b->server_apps[i] != NULL;
        if (is_ok) {
            b->server_apps[i]->load.is_verified = b->options.is_verified;
            b->server_applications[i] = b->server_apps[i]->application;
        }
    }
    for (uint32_t i = 0; is_ok && i < b->config.client_shards; i++) {
        b->client_apps[i] = mr_bench_client_make(&b->data, load);
        is_ok = b->client_apps[i] != NULL;
        if (is_ok)
            b->client_applications[i] = b->client_apps[i]->application;
    }
    if (!is_ok)
        mr_fault_set(fault, 12, "bench: not enough memory for the applications (256 MiB of data)");
    return is_ok;
}

bool mr_bench_start(struct mr_bench *b, const struct mr_bench_load *load, struct mr_fault *fault)
{
    if (!start_eal(b, fault))
        return false;
    b->clock = mr_clock_init();
    b->config.server_applications = b->server_applications;
    b->config.client_applications = b->client_applications;
    if (!make_apps(b, load, fault) || !mr_world_make(&b->world, &b->config, fault)) {
        mr_eal_stop();
        return false;
    }
    mr_world_launch(&b->world);
    return true;
}

uint32_t mr_bench_stop(struct mr_bench *b)
{
    for (uint32_t i = 0; i < b->config.client_shards; i++)
        atomic_store(&b->client_apps[i]->is_stopped, true);
    mr_world_stop(&b->world);
    uint32_t leaked = mr_world_free(&b->world);
    for (uint32_t i = 0; i < MR_SHARDS_MAX; i++) {
        mr_bench_app_free(b->server_apps[i]);
        mr_bench_app_free(b->client_apps[i]);
    }
    mr_bench_data_free(&b->data);
    return leaked;
}

/* ------------------------------------------------------------------ measuring */

static void add_counts(struct mr_bench_counts *sum, struct mr_bench_app *const *apps, uint32_t count)
{
    memset(sum, 0, sizeof(*sum));
    for (uint32_t i = 0; i < count; i++) {
        struct mr_bench_counts one;

        mr_bench_read_counts(apps[i], &one);
        for (size_t k = 0; k < sizeof(one) / sizeof(uint64_t); k++)
            ((uint64_t *)(void *)sum)[k] += ((const uint64_t *)(const void *)&one)[k];
    }
}

static void snapshot(const struct mr_bench *b, struct mr_interval *out)
{
    mr_group_stats(&b->world.server, &out->server);
    mr_group_stats(&b->world.client, &out->client);
    mr_group_counters(&b->world.server, &out->server_counters);
    mr_group_counters(&b->world.client, &out->client_counters);
    add_counts(&out->clients, b->client_apps, b->config.client_shards);
    add_counts(&out->servers, b->server_apps, b->config.server_shards);
}

static void subtract(void *from, const void *what, size_t size)
{
    for (size_t i = 0; i < size / sizeof(uint64_t); i++)
        ((uint64_t *)from)[i] -= ((const uint64_t *)what)[i];
}

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void sleep_s(double seconds)
{
    struct timespec span = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};

    nanosleep(&span, NULL);
}

static void show_progress(const struct mr_bench *b, double second, uint64_t *bytes_before)
{
    struct mr_bench_counts clients;
    struct mr_bench_counts servers;

    add_counts(&clients, b->client_apps, b->config.client_shards);
    add_counts(&servers, b->server_apps, b->config.server_shards);
    uint64_t bytes = clients.bytes_received + servers.bytes_received;
    fprintf(stderr, "%4.0f s  %7.2f Gbit/s  %9lu requests  %8lu connections\n", second,
            (double)(bytes - *bytes_before) * 8e-9, (unsigned long)clients.requests, (unsigned long)clients.connected);
    *bytes_before = bytes;
}

void mr_bench_measure(struct mr_bench *b, double seconds, struct mr_interval *out)
{
    struct mr_interval begin;

    snapshot(b, &begin);
    double from = now_s();
    uint64_t bytes = begin.clients.bytes_received + begin.servers.bytes_received;
    for (double second = 1; second < seconds; second++) {
        sleep_s(from + second - now_s());
        if (!b->options.is_json)
            show_progress(b, second, &bytes);
    }
    double left = from + seconds - now_s();
    if (left > 0)
        sleep_s(left);
    snapshot(b, out);
    out->seconds = now_s() - from;
    subtract(&out->server, &begin.server, sizeof(out->server));
    subtract(&out->client, &begin.client, sizeof(out->client));
    subtract(&out->server_counters, &begin.server_counters, sizeof(out->server_counters));
    subtract(&out->client_counters, &begin.client_counters, sizeof(out->client_counters));
    subtract(&out->clients, &begin.clients, sizeof(out->clients));
    subtract(&out->servers, &begin.servers, sizeof(out->servers));
}

double mr_bench_ns(const struct mr_bench *b, uint64_t cycles)
{
    return (double)mr_clock_ns(&b->clock, cycles);
}

/* ------------------------------------------------------------------ reporting */

void mr_bench_add_stages(const struct mr_bench *b, struct json_object *json, const char *name,
                         const struct mr_shard_stats *stats, uint64_t packets)
{
    struct json_object *stages = json_object_new_object();

    for (int i = 0; i < MR_STAGES; i++) {
        double ns = packets == 0 ? 0 : mr_bench_ns(b, stats->stage_cycles[i]) / (double)packets;
        json_object_object_add(stages, mr_stage_name((enum mr_stage)i), json_object_new_double(ns));
    }
    json_object_object_add(json, name, stages);
}

static void print_member(const char *name, struct json_object *value, int indent)
{
    if (json_object_is_type(value, json_type_object)) {
        printf("%*s%s\n", indent, "", name);
        json_object_object_foreach(value, key, member) print_member(key, member, indent + 2);
        return;
    }
    if (json_object_is_type(value, json_type_double)) {
        double d = json_object_get_double(value);
        printf("%*s%-*s %14.*f\n", indent, "", 34 - indent, name, d != 0 && d < 10 && d > -10 ? 3 : 1, d);
        return;
    }
    printf("%*s%-*s %14s\n", indent, "", 34 - indent, name, json_object_get_string(value));
}

void mr_bench_print(struct json_object *json, bool is_json)
{
    if (is_json) {
        printf("%s\n", json_object_to_json_string_ext(json, JSON_C_TO_STRING_PRETTY));
        return;
    }
    json_object_object_foreach(json, key, value) print_member(key, value, 0);
}
