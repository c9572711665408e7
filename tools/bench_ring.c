/*
 * tools/bench_ring.c - `millrace bench ring`: what handing a message over costs.
 *
 *     application's core                                worker's core
 *     cache lines             <--- back and forth --->  the same lines         the least possible
 *     submit, look            ==== a real ring =======  a whole shard's loop   one at a time
 *     submit 32, take 32      ==== the same ==========  the same               in batches
 *
 * Messages are NOPs: a submission and its completion, both checked and copied as between processes
 * that do not trust each other.  Slices of all three alternate, and each figure is the lower
 * quartile of its slices.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "control/eal.h"
#include "tools/bench.h"
#include "tools/bench_attached.h"
#include "tools/bench_lanes.h"
#include "tools/bench_ring.h"
#include "tools/tools.h"

#define CONNECTIONS 64 /* limits of a shard that has none */
#define END_S       5.0
#define IDLE_S      0.1
#define MEMORY_MB   256

struct run {
    struct mr_bench_options options;
    struct mr_lanes lanes;
    struct mr_bench_attached attached;
    struct mr_ring_bench bench;
    struct mr_clock clock;
    double idle_turn_ns; /* of the shard's loop, when there is nothing to do */
    double worker_share;
    uint32_t leaked;
};

/* ------------------------------------------------------------------ for the application's thread
 */

static void lend(void *context)
{
    struct run *r = context;

    mr_lanes_lend(&r->lanes, mr_ring_bench_echo, &r->bench.lines);
}

static void take_back(void *context)
{
    mr_lanes_take_back(&((struct run *)context)->lanes);
}

static struct mr_ring_bench_shard read_shard(void *context)
{
    const struct run *r = context;
    struct mr_lane_figures now;

    mr_lanes_read(&r->lanes, 0, &now);
    return (struct mr_ring_bench_shard){.busy_cycles = now.server.busy_cycles,
                                        .submissions = now.host.submissions};
}

/* ------------------------------------------------------------------ running */

static bool make(struct run *r, struct mr_fault *fault)
{
    struct mr_eal_config eal = {.worker_count = mr_lanes_workers(false),
                                .memory_mb = MEMORY_MB,
                                .is_verbose = r->options.is_verbose};
    struct mr_lanes_config config = {
        .count = 1, .world = mr_world_config_default(), .rings = mr_ring_sizes_default()};

    config.world.connections = CONNECTIONS;
    r->bench.seconds = r->options.seconds;
    r->bench.lend = lend;
    r->bench.take_back = take_back;
    r->bench.read = read_shard;
    r->bench.context = r;
    if (!mr_eal_start(&eal, fault))
        return false;
    if (mr_bench_attached_thread(&r->attached, mr_ring_bench_run, &r->bench, fault) &&
        mr_lanes_make(&r->lanes, &config, fault)) {
        r->clock = r->lanes.clock;
        mr_lanes_launch(&r->lanes);
        return true;
    }
    mr_eal_stop();
    return false;
}

/* By the worker's CPU time: others may have its core. */
static void measure_idle(struct run *r)
{
    struct mr_lane_figures begin;
    struct mr_lane_figures end;

    mr_lanes_read(&r->lanes, 0, &begin);
    mr_lanes_sleep(&r->lanes, IDLE_S);
    mr_lanes_read(&r->lanes, 0, &end);
    mr_lanes_subtract(&end, &begin);
    r->idle_turn_ns = end.worker_cpu * 1e9 / (double)MR_MAX(end.server.loops, (uint64_t)1);
}

static void measure(struct run *r, uint32_t cpu)
{
    struct mr_lane_figures begin;
    struct mr_lane_figures end;

    measure_idle(r);
    mr_lanes_read(&r->lanes, 0, &begin);
    mr_bench_attached_go(&r->attached, r->lanes.socket, 1, cpu);
    while (mr_bench_attached_is_alive(&r->attached))
        mr_lanes_sleep(&r->lanes, 0.01);
    mr_lanes_read(&r->lanes, 0, &end);
    mr_lanes_subtract(&end, &begin);
    r->worker_share = end.worker_cpu / end.seconds;
}

/* What a quarter of the slices stay below: another thread of the machine makes a slice slower,
 * never faster, and may do so to half of them. */
static double lower_quartile(struct mr_samples *s)
{
    (void)mr_samples_median(s); /* sorts */
    return s->value[s->count / 4];
}

static double add_quartile(struct json_object *json, const char *name, struct mr_samples *s,
                           double scale)
{
    double value = lower_quartile(s) * scale;
    char key[64];

    mr_bench_real(json, name, value);
    snprintf(key, sizeof(key), "%s_min", name);
    mr_bench_real(json, key, s->value[0] * scale);
    snprintf(key, sizeof(key), "%s_max", name);
    mr_bench_real(json, key, s->value[s->count - 1] * scale);
    return value;
}

static struct json_object *report(struct run *r)
{
    struct mr_ring_bench *b = &r->bench;
    struct json_object *json = json_object_new_object();
    double ns_per_cycle = (double)mr_clock_ns(&r->clock, 1000000) * 1e-6;

    mr_bench_text(json, "bench", "ring");
    mr_bench_text(json, "cores", "shard and application have one each");
    json_object_object_add(json, "application_has_core", json_object_new_boolean(true));
    mr_bench_count(json, "slices", b->own_ns.count);
    double own = add_quartile(json, "cache_line_ns", &b->own_ns, 1);
    double shared = add_quartile(json, "shared_line_ns", &b->shared_ns, 1);
    double entry = add_quartile(json, "hand_over_ns", &b->entry_ns, 1);
    mr_bench_real(json, "ratio_to_cache_line", entry / own);
    mr_bench_real(json, "ratio_to_shared_line", entry / shared);
    mr_bench_real(json, "idle_turn_ns", r->idle_turn_ns);
    double batch = add_quartile(json, "batch_ns_per_message", &b->batch_ns, 1);
    mr_bench_real(json, "messages_per_s", 1e9 / batch);
    add_quartile(json, "shard_ns_per_message", &b->shard_cycles, ns_per_cycle);
    mr_bench_real(json, "worker_cpu_share", r->worker_share);
    mr_bench_count(json, "leaked_buffers", r->leaked);
    return json;
}

static int print(const struct run *r, struct json_object *json)
{
    mr_bench_print(json, r->options.is_json);
    int status = mr_bench_judge(json, false, NULL);
    json_object_put(json);
    return status;
}

/* Two threads that take turns hand over as fast as the kernel switches. */
static int say_not_measured(const struct run *r)
{
    struct json_object *json = json_object_new_object();

    mr_bench_text(json, "bench", "ring");
    mr_bench_text(json, "cores", "not measured: 1 cores");
    json_object_object_add(json, "application_has_core", json_object_new_boolean(false));
    json_object_object_add(json, "ratio_to_cache_line", NULL);
    json_object_object_add(json, "messages_per_s", NULL);
    json_object_object_add(json, "shard_ns_per_message", NULL);
    mr_bench_count(json, "leaked_buffers", r->leaked);
    return print(r, json);
}

static int run(struct run *r)
{
    struct mr_fault fault = {0};
    uint32_t cpu = 0;

    if (!make(r, &fault)) {
        fprintf(stderr, "millrace bench: %s\n", fault.text);
        mr_bench_attached_free(&r->attached);
        return 1;
    }
    bool has_core = mr_lanes_app_cpu(&cpu);
    if (has_core)
        measure(r, cpu);
    mr_lanes_stop(&r->lanes);
    bool is_good = mr_bench_attached_end(&r->attached, END_S, &fault);
    r->leaked = mr_lanes_free(&r->lanes);
    int status = MR_EXIT_FAILED;
    if (!is_good)
        fprintf(stderr, "millrace bench: %s\n", fault.text);
    else
        status = has_core ? print(r, report(r)) : say_not_measured(r);
    mr_bench_attached_free(&r->attached);
    mr_eal_stop();
    return status;
}

int mr_bench_ring(int argc, char **argv)
{
    static struct run r;

    r.options = mr_bench_options_default();
    enum mr_parse_result parsed = mr_bench_parse(
        &r.options, argc, argv, "millrace bench ring [options]",
        "Messages between a shard and an application's thread: what handing them over costs.", 0);

    return parsed == MR_PARSE_OK ? run(&r) : parsed == MR_PARSE_HELP ? 0 : 2;
}
