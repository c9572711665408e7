/*
 * tools/bench_models.c - `millrace bench models`: what a message costs in each I/O model.
 *
 * One lane for each model (bench_lanes.h), one process for each application, the same load for all:
 *
 *     round 1   inline | rings | events | own | readiness | fibers | coroutines | blocking
 *     round 2   inline | rings | ...                                  a slice of 0.1 s each
 *
 * Figures are medians over rounds; what one model costs more than another is the median of the
 * differences within a round.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/eal.h"
#include "dataplane/app_internal.h"
#include "tools/bench.h"
#include "tools/bench_attached.h"
#include "tools/bench_echo.h"
#include "tools/bench_lanes.h"
#include "tools/model.h"

#define SLICE_S     0.1
#define READY_S     10.0 /* for an application to attach, and for all to be connected */
#define WEIGH_S     0.2  /* from the last connection until memory is looked at */
#define TELL_S      0.25 /* until an application has told what it copied */
#define END_S       5.0
#define MEMORY_MB   768
#define SPARE       64 /* objects and the like of a ring, beside those of connections */
#define TABLE_NAME  12
#define TABLE_WIDTH 11

/* ------------------------------------------------------------------ the models */

struct model {
    const char *name;
    const char *about;
    mr_bench_task_function function; /* NULL: inline */
    uint32_t connections_max;        /* 0: any */
    bool is_threaded;                /* a thread for each connection */
};

static const struct model models[] = {
    {.name = "inline", .about = "handlers on the lcore"},
    {.name = "rings", .about = "entries in, entries out", .function = mr_model_rings},
    {.name = "events", .about = "callbacks on a loop's thread", .function = mr_model_events},
    {.name = "own", .about = "the same, in an event queue of its own", .function = mr_model_own},
    {.name = "readiness", .about = "non-blocking sockets", .function = mr_model_readiness},
    {.name = "fibers", .about = "a fiber for each connection", .function = mr_model_fibers},
    {.name = "coroutines", .about = "C++20 tasks", .function = mr_model_coroutines},
    {.name = "blocking",
     .about = "a thread for each connection",
     .function = mr_model_blocking,
     .connections_max = MR_MODEL_THREADS,
     .is_threaded = true},
};

enum {
    MODELS = MR_COUNT_OF(models),
    INLINE = 0,
    RINGS = 1
};

_Static_assert(MODELS <= MR_LANES_MAX, "a lane for each");

/* Of one slice. */
struct slice {
    double messages_per_s;
    double shard_ns; /* per message, all of it */
    double app_ns;   /* the application's CPU time; inline: of the shard's, in its handlers */
    double total_ns; /* shard and application */
    double wakes;
};

struct row {
    const struct model *model;
    struct mr_model_config config;
    struct mr_bench_attached attached;
    struct mr_echo_client *client;
    struct slice *slices;
    uint64_t bytes_before; /* of the application's memory, without connections */
    uint64_t bytes_after;
    uint64_t ring_bytes; /* of its regions */
    double copies_in;    /* bytes copied to bytes echoed */
    double copies_out;
    double worker_share;
};

struct run {
    struct mr_bench_options *options;
    struct mr_lanes lanes;
    struct mr_model_inline inline_server;
    struct row rows[MODELS];
    uint32_t rounds;
    uint32_t rounds_max;
    bool is_app_alone; /* on its core */
    uint32_t leaked;
};

static bool is_built(const struct model *model)
{
    return model->function != mr_model_coroutines || mr_model_has_coroutines();
}

/* ------------------------------------------------------------------ making it */

static bool fork_applications(struct run *r, struct mr_fault *fault)
{
    for (uint32_t i = 0; i < MODELS; i++) {
        struct row *row = &r->rows[i];

        row->model = &models[i];
        row->config.connections =
            row->model->connections_max == 0
                ? r->options->connections
                : MR_MIN(r->options->connections, row->model->connections_max);
        if (row->model->function != NULL && is_built(row->model) &&
            !mr_bench_attached_fork(&row->attached, row->model->function, &row->config, fault))
            return false;
    }
    return true;
}

static bool make_clients(struct run *r, struct mr_fault *fault)
{
    r->rounds_max = (uint32_t)fmax(ceil(r->options->seconds / SLICE_S), 1);
    for (uint32_t i = 0; i < MODELS; i++) {
        struct row *row = &r->rows[i];

        row->client = mr_echo_client_make(row->config.connections, (uint32_t)r->options->bytes);
        row->slices = calloc(r->rounds_max, sizeof(*row->slices));
        if (row->client == NULL || row->slices == NULL) {
            mr_fault_set(fault, ENOMEM, "not enough memory for %u rounds", r->rounds_max);
            return false;
        }
    }
    return true;
}

static bool make_lanes(struct run *r, struct mr_fault *fault)
{
    struct mr_lanes_config config = {
        .count = MODELS, .world = mr_world_config_default(), .rings = mr_ring_sizes_default()};
    uint32_t objects = 2 * r->options->connections + SPARE;

    config.world.connections = r->options->connections + SPARE;
    config.world.idle_timeout_ns = 3600 * MR_SECOND; /* lanes rest for long */
    config.world.tickets = 0;
    config.rings.objects_max = MR_MAX(config.rings.objects_max, objects);
    config.rings.alias_count = MR_MAX(config.rings.alias_count, objects);
    config.rings.sends_max = MR_MAX(config.rings.sends_max, objects);
    mr_model_inline_init(&r->inline_server);
    for (uint32_t i = 0; i < MODELS; i++)
        config.lane[i] = (struct mr_lane_config){
            .server = models[i].function == NULL ? &r->inline_server.application : NULL,
            .client = &r->rows[i].client->application,
            .client_shared = &r->rows[i].client->shared};
    return mr_lanes_make(&r->lanes, &config, fault);
}

static bool make(struct run *r, struct mr_fault *fault)
{
    struct mr_eal_config eal = {.worker_count = mr_lanes_workers(false),
                                .memory_mb = MEMORY_MB,
                                .shares_cores = true,
                                .is_verbose = r->options->is_verbose};

    if (!fork_applications(r, fault) || !make_clients(r, fault) || !mr_eal_start(&eal, fault))
        return false;
    if (make_lanes(r, fault)) {
        mr_lanes_launch(&r->lanes);
        return true;
    }
    mr_eal_stop();
    return false;
}

/* ------------------------------------------------------------------ one after the other */

static uint64_t region_bytes(const struct run *r)
{
    return mr_control_attachments_stats(r->lanes.control).region_bytes;
}

/* Until `is_true(row)`, or it has taken too long. */
static bool await(struct run *r, struct row *row, bool (*is_true)(struct row *row))
{
    double until = mr_lanes_now() + READY_S;

    while (!is_true(row) && mr_lanes_now() < until)
        mr_lanes_sleep(&r->lanes, 0.01);
    return is_true(row);
}

static bool is_ready(struct row *row)
{
    return atomic_load_explicit(&row->attached.task->is_ready, memory_order_acquire) ||
           !mr_bench_attached_is_alive(&row->attached);
}

static uint64_t messages_of(const struct row *row)
{
    struct mr_bench_counts counts;

    mr_bench_read_counts(&row->client->shared, &counts);
    return counts.requests;
}

static bool is_connected(struct row *row)
{
    struct mr_bench_counts counts;

    mr_bench_read_counts(&row->client->shared, &counts);
    return counts.connected == row->config.connections && messages_of(row) >= counts.connected;
}

static bool attach(struct run *r, struct row *row, uint32_t index, struct mr_fault *fault)
{
    uint64_t before = region_bytes(r);
    uint32_t cpu = 0;

    r->is_app_alone = mr_lanes_app_cpu(&cpu);
    if (row->model->is_threaded) /* threads and loops are there because of connections */
        row->bytes_before = mr_bench_attached_bytes(&row->attached);
    mr_bench_attached_go(&row->attached, r->lanes.socket,
                         UINT64_C(1) << r->lanes.lane[index].number, cpu);
    if (!await(r, row, is_ready) || !mr_bench_attached_is_alive(&row->attached)) {
        mr_fault_set(fault, EIO, "the application of model %s does not attach: %s",
                     row->model->name, row->attached.task->fault.text);
        return false;
    }
    if (!row->model->is_threaded)
        row->bytes_before = mr_bench_attached_bytes(&row->attached);
    row->ring_bytes = region_bytes(r) - before;
    return true;
}

static bool attach_all(struct run *r, struct mr_fault *fault)
{
    for (uint32_t i = 0; i < MODELS; i++) {
        struct row *row = &r->rows[i];

        if (is_built(row->model) && row->model->function != NULL && !attach(r, row, i, fault))
            return false;
    }
    return true;
}

/* Everybody is there, and what each connection takes is known. */
static bool connect_all(struct run *r, struct mr_fault *fault)
{
    for (uint32_t i = 0; i < MODELS; i++) {
        struct row *row = &r->rows[i];

        if (!is_built(row->model))
            continue;
        mr_lanes_select(&r->lanes, i);
        atomic_store_explicit(&row->client->wanted, row->config.connections, memory_order_relaxed);
        if (!await(r, row, is_connected)) {
            mr_fault_set(fault, ETIMEDOUT,
                         "model %s: %llu messages came back of %u connections within %.0f s",
                         row->model->name, (unsigned long long)messages_of(row),
                         row->config.connections, READY_S);
            return false;
        }
        mr_lanes_sleep(&r->lanes, WEIGH_S);
        if (row->model->function != NULL)
            row->bytes_after = mr_bench_attached_bytes(&row->attached);
    }
    return true;
}

static double per(double what, uint64_t count)
{
    return count == 0 ? NAN : what / (double)count;
}

static struct slice measure_slice(struct run *r, struct row *row, uint32_t index)
{
    bool is_inline = row->model->function == NULL;
    struct mr_lane_figures begin;
    struct mr_lane_figures end;
    struct slice slice;

    mr_lanes_select(&r->lanes, index);
    double app = is_inline ? 0 : mr_bench_attached_cpu(&row->attached);
    mr_lanes_read(&r->lanes, index, &begin);
    mr_lanes_sleep(&r->lanes, SLICE_S);
    mr_lanes_read(&r->lanes, index, &end);
    app = is_inline ? 0 : mr_bench_attached_cpu(&row->attached) - app;
    mr_lanes_subtract(&end, &begin);
    uint64_t messages = end.clients.requests;
    slice.messages_per_s = (double)messages / end.seconds;
    slice.shard_ns =
        per((double)mr_clock_ns(&r->lanes.clock, end.clean.server_cycles), end.clean.requests);
    slice.app_ns =
        is_inline ? per((double)mr_clock_ns(&r->lanes.clock, end.server.stage_cycles[MR_STAGE_APP]),
                        messages)
                  : per(app * 1e9, messages);
    slice.total_ns = slice.shard_ns + (is_inline ? 0 : slice.app_ns);
    slice.wakes = per((double)end.host.wakes, messages);
    row->worker_share += end.worker_cpu / end.seconds / r->rounds_max;
    return slice;
}

static void measure(struct run *r)
{
    for (; r->rounds < r->rounds_max; r->rounds++) {
        for (uint32_t i = 0; i < MODELS; i++)
            if (is_built(r->rows[i].model))
                r->rows[i].slices[r->rounds] = measure_slice(r, &r->rows[i], i);
        if (!r->options->is_json)
            fprintf(stderr, "round %u of %u\n", r->rounds + 1, r->rounds_max);
    }
}

static void count_copies(struct run *r)
{
    mr_lanes_select(&r->lanes, MR_LANES_ALL);
    for (uint32_t i = 0; i < MODELS; i++) /* at rest again: all was told */
        atomic_store(&r->rows[i].client->shared.is_stopped, true);
    mr_lanes_sleep(&r->lanes, TELL_S);
    for (uint32_t i = 0; i < MODELS; i++) {
        struct row *row = &r->rows[i];
        struct mr_lane_figures all;

        mr_lanes_read(&r->lanes, i, &all);
        double bytes = (double)all.clients.bytes_received;
        double in = (double)all.host.bytes_copied;
        double out = (double)r->inline_server.bytes_copied;
        if (row->attached.task != NULL) {
            in += (double)atomic_load(&row->attached.task->copied_in);
            out = (double)atomic_load(&row->attached.task->copied_out);
        }
        row->copies_in = in / bytes;
        row->copies_out = out / bytes;
    }
}

/* ------------------------------------------------------------------ figures */

enum figure {
    MESSAGES,
    SHARD,
    APPLICATION,
    TOTAL,
    WAKES
};

static double value_of(const struct slice *s, enum figure which)
{
    const double values[] = {s->messages_per_s, s->shard_ns, s->app_ns, s->total_ns, s->wakes};

    return values[which];
}

/* Of the rounds in which there was one, less the same of `other` (NULL: nothing). */
static void gather(const struct run *r, const struct row *row, const struct row *other,
                   enum figure which, struct mr_samples *out)
{
    out->count = 0;
    for (uint32_t i = 0; i < r->rounds; i++) {
        double value = value_of(&row->slices[i], which) -
                       (other == NULL ? 0 : value_of(&other->slices[i], which));
        if (!isnan(value))
            mr_samples_add(out, value);
    }
}

static void add_figures(const struct run *r, const struct row *row, struct json_object *json)
{
    static struct mr_samples s;
    const struct row *rings = &r->rows[RINGS];
    const struct row *base = &r->rows[INLINE];

    gather(r, row, NULL, MESSAGES, &s);
    mr_bench_add_samples(json, "messages_per_s", &s);
    gather(r, row, NULL, TOTAL, &s);
    mr_bench_add_samples(json, "total_ns_per_message", &s);
    gather(r, row, NULL, SHARD, &s);
    mr_bench_add_samples(json, "shard_ns_per_message", &s);
    gather(r, row, NULL, APPLICATION, &s);
    mr_bench_add_samples(json, "application_ns_per_message", &s);
    gather(r, row, base, TOTAL, &s);
    mr_bench_add_samples(json, "overhead_over_inline_ns", &s);
    gather(r, row, rings, TOTAL, &s);
    mr_bench_add_samples(json, "overhead_over_rings_ns", &s);
    gather(r, row, NULL, WAKES, &s);
    mr_bench_ratio(json, "wakes_per_message", mr_samples_median(&s), s.count == 0 ? 0 : 1);
}

/* What a connection takes of memory, at the application and at its host. */
static void add_memory(const struct row *row, struct json_object *json)
{
    uint64_t grown =
        row->bytes_after > row->bytes_before ? row->bytes_after - row->bytes_before : 0;
    bool is_inline = row->model->function == NULL;

    mr_bench_ratio(json, "bytes_per_connection", is_inline ? 0 : (double)grown,
                   row->bytes_after == 0 && !is_inline ? 0 : row->config.connections);
    mr_bench_count(json, "host_bytes_per_connection",
                   is_inline ? 0 : 2 * sizeof(struct mr_app_object));
    mr_bench_count(json, "ring_bytes", row->ring_bytes);
}

static struct json_object *report_row(const struct run *r, const struct row *row)
{
    struct json_object *json = json_object_new_object();

    mr_bench_text(json, "model", row->model->name);
    mr_bench_text(json, "about", row->model->about);
    json_object_object_add(json, "is_measured", json_object_new_boolean(is_built(row->model)));
    if (!is_built(row->model)) {
        mr_bench_text(json, "why", "this program was built without a C++20 compiler");
        return json;
    }
    mr_bench_count(json, "connections", row->config.connections);
    mr_bench_count(json, "threads",
                   row->model->function == NULL ? 0
                   : row->model->is_threaded    ? row->config.connections
                                                : 1);
    add_figures(r, row, json);
    add_memory(row, json);
    mr_bench_real(json, "copies_in", row->copies_in);
    mr_bench_real(json, "copies_out", row->copies_out);
    mr_bench_real(json, "worker_cpu_share", row->worker_share);
    return json;
}

static struct json_object *report(const struct run *r)
{
    struct json_object *json = json_object_new_object();
    struct json_object *list = json_object_new_array();
    uint64_t failed = 0;
    uint64_t bad = 0;

    for (uint32_t i = 0; i < MODELS; i++) {
        struct mr_bench_counts counts;

        mr_bench_read_counts(&r->rows[i].client->shared, &counts);
        failed += counts.failed;
        bad += counts.bad_bytes;
        json_object_array_add(list, report_row(r, &r->rows[i]));
    }
    mr_bench_text(json, "bench", "models");
    mr_bench_text(json, "cores",
                  r->is_app_alone
                      ? "server's shard and clients take turns on one, the application has another"
                      : "shared by everybody: what follows is no measure of speed");
    mr_bench_count(json, "bytes", r->options->bytes);
    mr_bench_count(json, "connections", r->options->connections);
    mr_bench_real(json, "seconds", r->rounds * SLICE_S);
    json_object_object_add(json, "application_has_core", json_object_new_boolean(r->is_app_alone));
    json_object_object_add(json, "models", list);
    mr_bench_count(json, "bad_bytes", bad);
    mr_bench_count(json, "failed", failed);
    mr_bench_count(json, "leaked_buffers", r->leaked);
    return json;
}

/* ------------------------------------------------------------------ the table */

static const struct column {
    const char *head[2];
    const char *key;
    int decimals;
} columns[] = {
    {{"", "conns"}, "connections", 0},
    {{"messages", "/s"}, "messages_per_s", 0},
    {{"all", "ns"}, "total_ns_per_message", 0},
    {{"shard", "ns"}, "shard_ns_per_message", 0},
    {{"app", "ns"}, "application_ns_per_message", 0},
    {{"over inline", "ns"}, "overhead_over_inline_ns", 0},
    {{"over rings", "ns"}, "overhead_over_rings_ns", 0},
    {{"bytes", "/conn"}, "bytes_per_connection", 0},
    {{"copies", "in"}, "copies_in", 2},
    {{"copies", "out"}, "copies_out", 2},
};

static void print_row(struct json_object *row)
{
    struct json_object *value = NULL;

    json_object_object_get_ex(row, "model", &value);
    printf("%-*s", TABLE_NAME, json_object_get_string(value));
    if (json_object_object_get_ex(row, "why", &value)) {
        printf(" not measured: %s\n", json_object_get_string(value));
        return;
    }
    for (size_t i = 0; i < MR_COUNT_OF(columns); i++) {
        json_object_object_get_ex(row, columns[i].key, &value);
        if (value == NULL)
            printf(" %*s", TABLE_WIDTH, "-");
        else
            printf(" %*.*f", TABLE_WIDTH, columns[i].decimals, json_object_get_double(value));
    }
    putchar('\n');
}

static void print_table(struct json_object *json)
{
    struct json_object *value = NULL;

    json_object_object_get_ex(json, "cores", &value);
    printf("cores: %s\n\n", json_object_get_string(value));
    for (int line = 0; line < 2; line++) {
        printf("%-*s", TABLE_NAME, "");
        for (size_t i = 0; i < MR_COUNT_OF(columns); i++)
            printf(" %*s", TABLE_WIDTH, columns[i].head[line]);
        putchar('\n');
    }
    json_object_object_get_ex(json, "models", &value);
    for (size_t i = 0; i < json_object_array_length(value); i++)
        print_row(json_object_array_get_idx(value, i));
}

/* ------------------------------------------------------------------ running */

/* Everything that was made.  False: an application did not end well. */
static bool undo(struct run *r, bool has_lanes, struct mr_fault *fault)
{
    bool is_good = true;

    if (has_lanes)
        mr_lanes_stop(&r->lanes);
    for (uint32_t i = 0; i < MODELS; i++)
        is_good =
            mr_bench_attached_end(&r->rows[i].attached, END_S, is_good ? fault : NULL) && is_good;
    if (has_lanes) {
        r->leaked = mr_lanes_free(&r->lanes);
        mr_eal_stop();
    }
    return is_good;
}

static void free_rows(struct run *r)
{
    for (uint32_t i = 0; i < MODELS; i++) {
        mr_bench_attached_free(&r->rows[i].attached);
        mr_echo_client_free(r->rows[i].client);
        free(r->rows[i].slices);
    }
}

static int run(struct run *r)
{
    struct mr_fault fault = {0};
    bool has_lanes = make(r, &fault);
    bool is_good = has_lanes && attach_all(r, &fault) && connect_all(r, &fault);

    if (is_good) {
        measure(r);
        count_copies(r);
    }
    bool ended = undo(r, has_lanes, is_good ? &fault : NULL);
    if (!is_good || !ended) {
        fprintf(stderr, "millrace bench: %s\n", fault.text);
        free_rows(r);
        return 1;
    }
    struct json_object *json = report(r);
    if (r->options->is_json)
        mr_bench_print(json, true);
    else
        print_table(json);
    int status = mr_bench_judge(json, false, NULL);
    json_object_put(json);
    free_rows(r);
    return status;
}

int mr_bench_models(int argc, char **argv)
{
    static struct mr_bench_options options;
    static struct run r;

    options = mr_bench_options_default();
    options.connections = 100;
    options.seconds = 2;
    r.options = &options;
    enum mr_parse_result parsed = mr_bench_parse(
        &options, argc, argv, "millrace bench models [options]",
        "The same messages, sent back by a server in each I/O model: what each costs.",
        MR_BENCH_CONNECTIONS | MR_BENCH_BYTES);
    if (parsed != MR_PARSE_OK)
        return parsed == MR_PARSE_HELP ? 0 : 2;
    if (options.bytes < 1 || options.bytes > MR_ECHO_BYTES_MAX) {
        fprintf(stderr, "millrace bench: --bytes: a message has 1 to %d bytes\n",
                MR_ECHO_BYTES_MAX);
        return 2;
    }
    return run(&r);
}
