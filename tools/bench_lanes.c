/* tools/bench_lanes.c - see bench_lanes.h. */
#include "tools/bench_lanes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "control/cpu_list.h"
#include "control/eal.h"
#include "control/group.h"
#include "tools/scratch.h"

#define NAP_S       0.002
#define QUIET_S     0.030 /* after the last answer: delayed acknowledgements */
#define SETTLE_S    0.010 /* after a lane was begun, until all flows */
#define REST_S      5.0   /* for all to be answered */
#define DETACH_NS   MR_SECOND
#define PATIENCE_NS (20 * MR_MS) /* for connections to be closed */
#define ATTACHED    64           /* applications, of one user */
#define BYTES_MAX   (UINT64_C(4) << 30)

_Static_assert(MR_LANES_MAX <= 32, "a bit mask of lanes");
_Static_assert(MR_LANES_MAX <= MR_ATTACH_RINGS_MAX, "a lane is a shard to whoever attaches");

double mr_lanes_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

uint32_t mr_lanes_workers(bool has_client_worker)
{
    return has_client_worker ? 2 : 1;
}

bool mr_lanes_app_cpu(uint32_t *cpu_out)
{
    const struct mr_eal_info *eal = mr_eal_info();
    struct mr_cpu_list list;

    mr_cpu_list_of_thread(&list);
    for (uint32_t i = 0; i < list.count; i++) {
        bool is_free = true;

        for (uint32_t w = 0; w < eal->worker_count; w++)
            is_free = is_free && eal->worker_cpu[w] != list.cpu[i];
        *cpu_out = list.cpu[i];
        if (is_free)
            return true;
    }
    return false;
}

/* ------------------------------------------------------------------ clients */

static struct mr_bench_shared *shared_of(struct mr_lanes *lanes, uint32_t index)
{
    return lanes->lane[index].has_client ? lanes->lane[index].worker.shared : NULL;
}

static void pause_clients(struct mr_lanes *lanes, uint32_t index, bool is_paused)
{
    for (uint32_t i = 0; i < lanes->count; i++) {
        struct mr_bench_shared *shared = shared_of(lanes, i);

        if (shared != NULL && (index == MR_LANES_ALL || i == index))
            atomic_store_explicit(&shared->is_paused, is_paused, memory_order_relaxed);
    }
}

/* ------------------------------------------------------------------ worker threads */

static struct mr_shard *shard_of(const struct mr_lane *lane, bool is_server)
{
    return is_server ? lane->world.server.shards[0] : lane->world.client.shards[0];
}

/* What one worker polls. */
struct poller {
    struct mr_lanes *lanes;
    uint32_t number;
    bool has_servers;
    bool has_clients;
};

static bool polls(const struct poller *p, const struct mr_lane *lane, bool is_server)
{
    return is_server ? p->has_servers : p->has_clients && lane->has_client;
}

static void for_each(const struct poller *p, void (*function)(struct mr_shard *shard))
{
    for (uint32_t i = 0; i < p->lanes->count; i++) {
        const struct mr_lane *lane = &p->lanes->lane[i];

        if (polls(p, lane, false)) /* who asks ends first */
            function(shard_of(lane, false));
        if (polls(p, lane, true))
            function(shard_of(lane, true));
    }
}

/* What a turn looks at before and after. */
struct look {
    struct mr_shard_stats server;
    struct mr_shard_stats client;
    uint64_t requests;
};

static void look_at(const struct mr_lane *lane, struct look *out)
{
    mr_shard_read_stats(shard_of(lane, true), &out->server);
    mr_shard_read_stats(shard_of(lane, false), &out->client);
    out->requests = lane->worker.shared->counts.requests;
}

static void count_clean(const struct mr_lanes *lanes, struct mr_lane *lane,
                        const struct look *before)
{
    struct mr_lane_clean *clean = &lane->clean;
    struct look after;

    look_at(lane, &after);
    uint64_t server = after.server.busy_cycles - before->server.busy_cycles;
    if (server > lanes->turn_cycles ||
        after.client.busy_cycles - before->client.busy_cycles > lanes->turn_cycles) {
        mr_bench_count_up(&clean->interrupted, 1);
        return;
    }
    mr_bench_count_up(&clean->server_cycles, server);
    for (int i = 0; i < MR_STAGES && server > 0; i++)
        mr_bench_count_up(&clean->stage_cycles[i],
                          after.server.stage_cycles[i] - before->server.stage_cycles[i]);
    mr_bench_count_up(&clean->server_packets,
                      after.server.full_packets_sent - before->server.full_packets_sent);
    mr_bench_count_up(&clean->client_packets,
                      after.client.full_packets_sent - before->client.full_packets_sent);
    mr_bench_count_up(&clean->requests, after.requests - before->requests);
}

static void turn_lane(const struct poller *p, struct mr_lane *lane)
{
    bool has_both = polls(p, lane, true) && polls(p, lane, false);
    struct look before;

    if (has_both)
        look_at(lane, &before);
    if (polls(p, lane, true))
        mr_shard_turn(shard_of(lane, true));
    if (polls(p, lane, false))
        mr_shard_turn(shard_of(lane, false));
    if (has_both)
        count_clean(p->lanes, lane, &before);
}

static void turn(const struct poller *p, uint32_t active)
{
    for (; active != 0; active &= active - 1)
        turn_lane(p, &p->lanes->lane[__builtin_ctz(active)]);
}

static void run_lent(struct mr_lanes *lanes)
{
    /* acquire: pairs with the release in mr_lanes_lend */
    if (!atomic_load_explicit(&lanes->is_lent, memory_order_acquire))
        return;
    lanes->lent_function(lanes->lent_argument);
    atomic_store_explicit(&lanes->is_lent, false, memory_order_release); /* pairs with the acquire
                                                                           in ..._take_back */
}

static int poll_lanes(void *argument)
{
    const struct poller *p = argument;
    struct mr_lanes *lanes = p->lanes;

    if (p->number == 0) {
        lanes->thread = pthread_self();
        atomic_store_explicit(&lanes->has_thread, true, memory_order_release); /* pairs with the
                                                                     acquire in worker_seconds */
    }
    for_each(p, mr_shard_begin);
    while (!atomic_load_explicit(&lanes->is_stopping, memory_order_relaxed)) {
        uint32_t active = atomic_load_explicit(&lanes->active, memory_order_relaxed);

        turn(p, active);
        atomic_store_explicit(&lanes->seen[p->number], active, memory_order_relaxed);
        if (p->number == 0)
            run_lent(lanes);
    }
    for_each(p, mr_shard_end);
    return 0;
}

void mr_lanes_launch(struct mr_lanes *lanes)
{
    static struct poller pollers[2];
    bool is_one = lanes->worker_count == 1;

    pollers[0] = (struct poller){lanes, 0, true, is_one};
    pollers[1] = (struct poller){lanes, 1, false, true};
    lanes->selected = MR_LANES_ALL;
    pause_clients(lanes, MR_LANES_ALL, true);
    atomic_store(&lanes->active, (uint32_t)((UINT64_C(1) << lanes->count) - 1));
    for (uint32_t i = 0; i < lanes->worker_count; i++)
        mr_eal_launch(i, poll_lanes, &pollers[i]);
    lanes->is_launched = true;
}

void mr_lanes_lend(struct mr_lanes *lanes, void (*function)(void *argument), void *argument)
{
    lanes->lent_function = function;
    lanes->lent_argument = argument;
    atomic_store_explicit(&lanes->is_lent, true, memory_order_release); /* pairs with the acquire in
                                                                           run_lent */
}

void mr_lanes_take_back(struct mr_lanes *lanes)
{
    /* acquire: pairs with the release in run_lent */
    while (atomic_load_explicit(&lanes->is_lent, memory_order_acquire))
        usleep(100);
}

/* ------------------------------------------------------------------ which lane */

void mr_lanes_sleep(struct mr_lanes *lanes, double seconds)
{
    double end = mr_lanes_now() + seconds;
    double left = seconds;

    do {
        mr_control_poll(lanes->control, left > 0 ? (uint64_t)(left * 1e9) : 0);
        left = end - mr_lanes_now();
    } while (left > 0);
}

static uint32_t outstanding(struct mr_lanes *lanes)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < lanes->count; i++) {
        const struct mr_bench_shared *shared = shared_of(lanes, i);

        if (shared != NULL && (lanes->selected == MR_LANES_ALL || i == lanes->selected))
            sum += atomic_load_explicit(&shared->outstanding, memory_order_relaxed);
    }
    return sum;
}

static bool come_to_rest(struct mr_lanes *lanes)
{
    double until = mr_lanes_now() + REST_S;

    pause_clients(lanes, lanes->selected, true);
    do {
        mr_lanes_sleep(lanes, NAP_S);
    } while (outstanding(lanes) > 0 && mr_lanes_now() < until);
    bool is_at_rest = outstanding(lanes) == 0;
    mr_lanes_sleep(lanes, QUIET_S);
    return is_at_rest;
}

static void await_seen(struct mr_lanes *lanes, uint32_t active)
{
    for (uint32_t i = 0; i < lanes->worker_count; i++)
        while (atomic_load_explicit(&lanes->seen[i], memory_order_relaxed) != active)
            usleep(20);
}

bool mr_lanes_select(struct mr_lanes *lanes, uint32_t index)
{
    uint64_t all = (UINT64_C(1) << lanes->count) - 1;
    uint32_t active = index == MR_LANES_ALL ? (uint32_t)all : UINT32_C(1) << index;
    bool is_at_rest = index == lanes->selected || come_to_rest(lanes);

    atomic_store_explicit(&lanes->active, active, memory_order_relaxed);
    await_seen(lanes, active);
    lanes->selected = index;
    pause_clients(lanes, index, false);
    mr_lanes_sleep(lanes, SETTLE_S);
    return is_at_rest;
}

/* ------------------------------------------------------------------ figures */

static double worker_seconds(const struct mr_lanes *lanes)
{
    clockid_t clock;
    struct timespec t;

    /* acquire: pairs with the release in poll_lanes */
    if (!atomic_load_explicit(&lanes->has_thread, memory_order_acquire) ||
        pthread_getcpuclockid(lanes->thread, &clock) != 0 || clock_gettime(clock, &t) != 0)
        return 0;
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void read_words(void *out, const void *words, size_t size)
{
    for (size_t i = 0; i < size / sizeof(uint64_t); i++)
        ((uint64_t *)out)[i] = atomic_load_explicit(
            (const _Atomic uint64_t *)(const void *)&((const uint64_t *)words)[i],
            memory_order_relaxed);
}

void mr_lanes_read(const struct mr_lanes *lanes, uint32_t index, struct mr_lane_figures *out)
{
    const struct mr_lane *lane = &lanes->lane[index];

    memset(out, 0, sizeof(*out));
    out->seconds = mr_lanes_now();
    mr_group_stats(&lane->world.server, &out->server);
    mr_group_stats(&lane->world.client, &out->client);
    if (lane->has_client)
        mr_bench_read_counts(lane->worker.shared, &out->clients);
    if (lane->host != NULL)
        read_words(&out->host, mr_app_host_stats(lane->host), sizeof(out->host));
    read_words(&out->clean, &lane->clean, sizeof(out->clean));
    out->worker_cpu = worker_seconds(lanes);
}

static void subtract(void *from, const void *what, size_t size)
{
    for (size_t i = 0; i < size / sizeof(uint64_t); i++)
        ((uint64_t *)from)[i] -= ((const uint64_t *)what)[i];
}

void mr_lanes_subtract(struct mr_lane_figures *end, const struct mr_lane_figures *begin)
{
    end->seconds -= begin->seconds;
    subtract(&end->server, &begin->server, sizeof(end->server));
    subtract(&end->client, &begin->client, sizeof(end->client));
    subtract(&end->clients, &begin->clients, sizeof(end->clients));
    subtract(&end->host, &begin->host, sizeof(end->host));
    subtract(&end->clean, &begin->clean, sizeof(end->clean));
    end->worker_cpu -= begin->worker_cpu;
}

/* ------------------------------------------------------------------ life */

/* Nobody's application: of an end that is not polled. */
static const struct mr_application no_application = {.name = "none"};

static bool make_host(struct mr_lane *lane, const struct mr_lanes_config *config)
{
    struct mr_app_host_config host = mr_app_host_config_default();
    uint8_t key[16];

    (void)getrandom(key, sizeof(key), 0);
    host.objects_max = MR_MAX(host.objects_max, config->rings.objects_max * MR_APP_RINGS_MAX);
    host.sends_max = MR_MAX(host.sends_max, config->rings.sends_max * MR_APP_RINGS_MAX);
    lane->host = mr_app_host_new(&host, key);
    return lane->host != NULL;
}

static bool make_lane(struct mr_lanes *lanes, const struct mr_lanes_config *config, uint32_t index,
                      struct mr_fault *fault)
{
    const struct mr_lane_config *from = &config->lane[index];
    struct mr_world_config world = config->world;
    struct mr_lane *lane = &lanes->lane[index];

    if (from->server == NULL && !make_host(lane, config)) {
        mr_fault_set(fault, ENOMEM, "not enough memory for the rings of lane %u", index);
        return false;
    }
    lane->server = from->server != NULL ? *from->server : *mr_app_host_application(lane->host);
    lane->client = no_application;
    lane->has_client = from->client != NULL;
    if (lane->has_client) {
        mr_bench_worker_init(&lane->worker, from->client, from->client_shared);
        lane->client = lane->worker.application;
    }
    world.number = index;
    world.client_worker = lanes->worker_count - 1;
    world.server_applications = &lane->server;
    world.client_applications = &lane->client;
    lane->has_world = mr_world_make(&lane->world, &world, fault);
    return lane->has_world;
}

static bool open_control(struct mr_lanes *lanes, const struct mr_lanes_config *config,
                         struct mr_fault *fault)
{
    struct mr_handoff policy = {
        .listener_count = 1, .listener[0] = {.name = MR_LANES_NAME, .application = MR_LANES_NAME}};
    struct mr_control_config control = {.socket = {.path = lanes->socket, .mode = 0600},
                                        .attach = {.hosts = lanes->hosts,
                                                   .allows_any = true,
                                                   .sizes = config->rings,
                                                   .attachments_max = ATTACHED,
                                                   .user_attachments_max = ATTACHED,
                                                   .region_bytes_max = BYTES_MAX,
                                                   .attachment_bytes_max = BYTES_MAX}};

    const char *folder = mr_scratch_make(fault);
    if (folder == NULL)
        return false;
    snprintf(lanes->socket, sizeof(lanes->socket), "%s/control", folder);
    for (uint32_t i = 0; i < lanes->count; i++) {
        if (lanes->lane[i].host == NULL)
            continue;
        lanes->lane[i].number = control.attach.host_count;
        lanes->hosts[control.attach.host_count++] = lanes->lane[i].host;
    }
    lanes->control = mr_control_open(&control, fault);
    return lanes->control != NULL && mr_control_set_policy(lanes->control, &policy, fault) == 0;
}

bool mr_lanes_make(struct mr_lanes *lanes, const struct mr_lanes_config *config,
                   struct mr_fault *fault)
{
    memset(lanes, 0, sizeof(*lanes));
    lanes->worker_count = mr_lanes_workers(config->has_client_worker);
    lanes->clock = mr_clock_init();
    lanes->turn_cycles = MR_LANES_TURN_NS * UINT64_C(1000000) / mr_clock_ns(&lanes->clock, 1000000);
    for (; lanes->count < config->count; lanes->count++) {
        if (!make_lane(lanes, config, lanes->count, fault)) {
            lanes->count++;
            mr_lanes_free(lanes);
            return false;
        }
    }
    if (open_control(lanes, config, fault))
        return true;
    mr_lanes_free(lanes);
    return false;
}

void mr_lanes_stop(struct mr_lanes *lanes)
{
    if (!lanes->is_launched)
        return;
    mr_lanes_select(lanes, MR_LANES_ALL);
    for (uint32_t i = 0; i < lanes->count; i++) {
        struct mr_bench_shared *shared = shared_of(lanes, i);

        if (shared != NULL)
            atomic_store(&shared->is_stopped, true);
    }
    mr_control_detach_all(lanes->control, DETACH_NS);
    for (uint32_t i = 0; i < lanes->count; i++) {
        mr_group_stop(&lanes->lane[i].world.client, PATIENCE_NS);
        mr_group_stop(&lanes->lane[i].world.server, PATIENCE_NS);
    }
    atomic_store(&lanes->is_stopping, true);
    for (uint32_t i = 0; i < lanes->worker_count; i++)
        mr_eal_join(i);
    lanes->is_launched = false;
}

uint32_t mr_lanes_free(struct mr_lanes *lanes)
{
    uint32_t leaked = 0;

    mr_lanes_stop(lanes);
    mr_control_close(lanes->control);
    mr_scratch_remove();
    for (uint32_t i = 0; i < lanes->count; i++) {
        struct mr_lane *lane = &lanes->lane[i];

        if (lane->has_world)
            leaked += mr_world_free(&lane->world);
        mr_app_host_free(lane->host);
    }
    memset(lanes, 0, sizeof(*lanes));
    return leaked;
}
