/* tools/bench_idle_few.c - see bench_idle_few.h. */
#include "tools/bench_idle_few.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/compiler.h"

enum {
    SERVER,
    CLIENT,
    SIDES
};

#define NAP_US        500
#define PATIENCE_NAPS 40000 /* 20 s, for what takes a second */
#define SETTLE_US     300000
#define CLOSE_NS      (200 * MR_MS)
#define SPARE         24 /* connections beyond those, in the limits */
#define WORLD_NUMBER  1  /* the many's is 0 */

/* In front of an application of the many's. */
struct side {
    struct mr_application inner;
    struct mr_idle_few *few;
    struct mr_shard *shard; /* the few's */
    bool has_begun;         /* the worker's */
    _Atomic bool has_ended;
    _Atomic bool is_inside; /* its worker is with the few */
};

struct mr_idle_few {
    struct side side[SIDES];
    struct mr_world world;
    const struct mr_bench *bench;
    struct mr_bench_app *server;
    struct mr_idle_app *client;
    struct mr_application applications[SIDES];
    bool has_world;
    _Atomic bool is_running;
};

/* ------------------------------------------------------------------ the workers */

/* Turns of the few's shard, until they are to rest. */
static void join(struct side *side)
{
    if (!side->has_begun)
        mr_shard_begin(side->shard);
    side->has_begun = true;
    atomic_store_explicit(&side->is_inside, true, memory_order_relaxed);
    /* acquire: pairs with the release in mr_idle_few_run */
    while (atomic_load_explicit(&side->few->is_running, memory_order_acquire)) {
        if (atomic_load_explicit(&side->has_ended, memory_order_relaxed) ||
            mr_shard_turn(side->shard))
            continue;
        mr_shard_end(side->shard);
        atomic_store_explicit(&side->has_ended, true, memory_order_relaxed);
    }
    atomic_store_explicit(&side->is_inside, false, memory_order_release); /* pairs with the acquire
                                                                             in mr_idle_few_run */
}

static void on_start(void *context, struct mr_transport *transport)
{
    struct side *side = context;

    side->inner.on_start(side->inner.context, transport);
}

static void on_events(void *context, const struct mr_event *events, size_t count)
{
    struct side *side = context;

    side->inner.on_events(side->inner.context, events, count);
}

static uint32_t on_poll(void *context)
{
    struct side *side = context;

    /* acquire: pairs with the release in mr_idle_few_run */
    if (atomic_load_explicit(&side->few->is_running, memory_order_acquire))
        join(side);
    return side->inner.on_poll == NULL ? 0 : side->inner.on_poll(side->inner.context);
}

static void on_stop(void *context)
{
    struct side *side = context;

    side->inner.on_stop(side->inner.context);
}

static void put_in_front(struct mr_idle_few *few, int which, struct mr_application *application)
{
    struct side *side = &few->side[which];

    side->inner = *application;
    side->few = few;
    *application = (struct mr_application){.name = side->inner.name,
                                           .context = side,
                                           .on_start = on_start,
                                           .on_events = on_events,
                                           .on_poll = on_poll,
                                           .on_stop = on_stop};
}

struct mr_idle_few *mr_idle_few_new(struct mr_application *server, struct mr_application *client)
{
    struct mr_idle_few *few = calloc(1, sizeof(*few));

    if (few == NULL)
        return NULL;
    put_in_front(few, SERVER, server);
    put_in_front(few, CLIENT, client);
    return few;
}

/* ------------------------------------------------------------------ the control thread */

void mr_idle_few_run(struct mr_idle_few *few, bool is_running)
{
    atomic_store_explicit(&few->is_running, is_running, memory_order_release); /* pairs with the
                                                             acquires in on_poll and join */
    for (int i = 0; i < SIDES; i++)
        /* acquire: pairs with the release in join */
        while (atomic_load_explicit(&few->side[i].is_inside, memory_order_acquire) != is_running)
            usleep(NAP_US / 10);
}

static bool are_connected(const struct mr_idle_few *few)
{
    struct mr_bench_counts counts;

    mr_bench_read_counts(&few->client->shared, &counts);
    return counts.connected >= MR_IDLE_FEW &&
           mr_group_conn_count(&few->world.server) >= MR_IDLE_FEW;
}

static bool are_answered(const struct mr_idle_few *few)
{
    struct mr_bench_counts counts;

    mr_bench_read_counts(&few->client->shared, &counts);
    return counts.requests + counts.failed >=
           atomic_load_explicit(&few->client->orders.wakes, memory_order_relaxed);
}

static bool are_gone(const struct mr_idle_few *few)
{
    return mr_group_conn_count(&few->world.server) + mr_group_conn_count(&few->world.client) == 0;
}

static bool have_ended(const struct mr_idle_few *few)
{
    return atomic_load_explicit(&few->side[SERVER].has_ended, memory_order_relaxed) &&
           atomic_load_explicit(&few->side[CLIENT].has_ended, memory_order_relaxed);
}

static bool await(const struct mr_idle_few *few, bool (*has)(const struct mr_idle_few *few))
{
    for (uint32_t naps = 0; !has(few); naps++) {
        if (naps == PATIENCE_NAPS)
            return false;
        usleep(NAP_US);
    }
    return true;
}

static struct mr_world_config world_config(const struct mr_world_config *many)
{
    struct mr_world_config config = *many;

    config.number = WORLD_NUMBER;
    config.client_worker = mr_group_workers(many->server_shards, many->server_io_lcores);
    config.connections = MR_IDLE_FEW + SPARE;
    config.server_shards = config.client_shards = 1;
    config.server_io_lcores = 0;
    config.awake = 0;
    return config;
}

uint32_t mr_idle_few_memory_mb(const struct mr_world_config *many)
{
    struct mr_world_config config = world_config(many);

    return mr_bench_memory_mb(&config);
}

static bool make_world(struct mr_idle_few *few, struct mr_fault *fault)
{
    struct mr_world_config config = world_config(&few->bench->config);

    config.server_applications = &few->applications[SERVER];
    config.client_applications = &few->applications[CLIENT];
    few->has_world = mr_world_make(&few->world, &config, fault);
    if (!few->has_world)
        return false;
    few->side[SERVER].shard = few->world.server.shards[0];
    few->side[CLIENT].shard = few->world.client.shards[0];
    return true;
}

bool mr_idle_few_make(struct mr_idle_few *few, const struct mr_bench *bench,
                      const struct mr_idle_load *load, struct mr_fault *fault)
{
    struct mr_idle_load own = *load;

    own.connections = MR_IDLE_FEW + SPARE;
    few->bench = bench;
    few->server = mr_bench_server_make(&bench->data);
    few->client = mr_idle_app_make(&own, &bench->data);
    if (few->server == NULL || few->client == NULL) {
        mr_fault_set(fault, ENOMEM, "not enough memory for %u connections more", MR_IDLE_FEW);
        return false;
    }
    few->applications[SERVER] = few->server->application;
    few->applications[CLIENT] = few->client->application;
    if (!make_world(few, fault))
        return false;
    atomic_store_explicit(&few->client->orders.target, MR_IDLE_FEW, memory_order_relaxed);
    mr_idle_few_run(few, true);
    bool is_made = await(few, are_connected);
    usleep(SETTLE_US);
    mr_idle_few_run(few, false);
    if (!is_made)
        mr_fault_set(fault, ETIMEDOUT, "%u connections more did not come about", MR_IDLE_FEW);
    return is_made;
}

double mr_idle_few_wake(struct mr_idle_few *few, uint32_t requests, uint32_t burst)
{
    struct mr_shard_stats begin;
    struct mr_shard_stats end;

    atomic_store_explicit(&few->client->orders.burst, burst, memory_order_relaxed);
    mr_group_stats(&few->world.server, &begin);
    atomic_fetch_add_explicit(&few->client->orders.wakes, requests, memory_order_relaxed);
    if (!await(few, are_answered))
        return 0;
    mr_group_stats(&few->world.server, &end);
    uint64_t packets = end.datagrams_received + end.datagrams_sent - begin.datagrams_received -
                       begin.datagrams_sent;
    return packets == 0
               ? 0
               : mr_bench_ns(few->bench, end.busy_cycles - begin.busy_cycles) / (double)packets;
}

uint32_t mr_idle_few_end(struct mr_idle_few *few)
{
    if (!few->has_world)
        return 0;
    mr_idle_few_run(few, true);
    atomic_store_explicit(&few->client->orders.is_closing, true, memory_order_relaxed);
    await(few, are_gone);
    mr_group_stop(&few->world.client, CLOSE_NS);
    mr_group_stop(&few->world.server, CLOSE_NS);
    await(few, have_ended);
    mr_idle_few_run(few, false);
    few->has_world = false;
    return mr_world_free(&few->world);
}

void mr_idle_few_free(struct mr_idle_few *few)
{
    if (few == NULL)
        return;
    mr_bench_app_free(few->server);
    mr_idle_app_free(few->client);
    free(few);
}
