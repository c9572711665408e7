/* tests/sim/sim_move.c - see sim_move.h. */
#include "tests/sim/sim_move.h"

#include <stdio.h>

#include "quic/conn_sleep.h"
#include "tests/support/move_world.h"

enum {
    MOVED_CLIENT = 1,
    RESTS = 6,       /* that streams are cut into, where they rest */
    SHARD_AWAKE = 6, /* connections of a shard, then */
    SHARDS = 0,
    PEER = 1
};

static struct move_config move_config(const struct sim_config *config)
{
    struct move_config mine = {
        .seed = config->seed,
        .role = config->seed % 2 == MOVED_CLIENT ? MR_CLIENT : MR_SERVER,
        .links = config->link,
        .rebind_every_ns = config->rebind_every_ns,
        .rebinds_max = config->rebinds_max,
        .keep_alive_ns = config->keep_alive_ns,
        .streams = config->streams,
        .bytes = config->down_bytes,
        .datagrams = config->datagrams,
    };

    if (config->rest_max_ns > 0) {
        mine.rest_at = mine.bytes / RESTS;
        mine.limits = move_world_limits();
        mine.limits.awake_max = SHARD_AWAKE;
        mine.limits.sleepers_max = mine.limits.connections_max;
    }
    return mine;
}

/* ------------------------------------------------------------------ resting */

/* Every stream has carried what it may for now, both ways. */
static bool is_resting(const struct move_world *w)
{
    for (int side = 0; side < 2; side++) {
        const struct move_app *app = &w->app[side];

        for (uint32_t i = 0; i < app->stream_count; i++) {
            const struct move_stream *s = &app->streams[i];

            if (!s->is_closed && (s->acked < w->config.rest_at || s->received < w->config.rest_at))
                return false;
        }
        if (app->stream_count < w->config.streams)
            return false;
    }
    return true;
}

/* Let time pass, and no more; the connection falls asleep as soon as it can. */
static void rest(struct move_world *w, uint64_t span_ns)
{
    uint64_t until = w->now + span_ns;
    const struct move_app *app = &w->app[SHARDS];

    for (;;) {
        uint64_t next = sim_network_next(&w->net);

        if (app->node != MR_NONE && w->phase == MOVE_NONE)
            (void)mr_conn_sleep(w->node[app->node].ep, app->conn);
        for (uint32_t i = 0; i < MOVE_NODES; i++)
            next = MR_MIN(next, mr_endpoint_deadline(w->node[i].ep));
        if (next > until || !move_world_step(w))
            break;
    }
    w->now = MR_MAX(w->now, until);
}

/* A rest, and what comes after it: more of the streams, or a move first. */
static void rest_once(struct move_world *w, const struct sim_config *config, uint64_t *refused)
{
    if (w->phase != MOVE_NONE || w->config.rest_at == 0 || !is_resting(w))
        return;
    rest(w, MR_SECOND + mr_random_below(&w->random, config->rest_max_ns));
    if (mr_random_below(&w->random, 2) == 0)
        *refused += !move_world_roam(w);
    w->config.rest_at += w->config.bytes / RESTS;
    if (w->config.rest_at >= w->config.bytes)
        w->config.rest_at = 0;
    move_world_settle(w);
}

static void add_counters(const struct mr_endpoint *ep, struct mr_counters *sum)
{
    for (size_t i = 0; i < MR_COUNTERS; i++)
        ((uint64_t *)(void *)sum)[i] += mr_counter_value(mr_endpoint_counters(ep), i);
}

static void fill_result(const struct move_world *w, bool is_done, struct sim_result *r)
{
    const struct move_app *shards = &w->app[SHARDS];
    const struct move_app *peer = &w->app[PEER];

    *r = (struct sim_result){
        .is_complete = is_done && shards->moves == w->moved,
        .is_client_closed = peer->is_closed,
        .is_server_closed = shards->is_closed,
        .client_error = peer->error,
        .server_error = shards->error,
        .bad_bytes = shards->wrong + peer->wrong,
        .duration_ns = w->now,
        .datagrams = w->net.datagrams,
        .digest = w->net.digest,
        .seen = w->net.seen,
        .moves = w->moved,
    };
    const char *wrong = shards->wrong > 0 ? shards->first_wrong : peer->first_wrong;
    snprintf(r->client_reason, sizeof(r->client_reason), "%s", wrong == NULL ? "" : wrong);
    for (uint32_t i = 0; i < MOVE_NODES; i++)
        add_counters(w->node[i].ep, &r->counters[i == MOVE_PEER ? MR_CLIENT : MR_SERVER]);
    const struct mr_counters *moved = &r->counters[MR_SERVER];
    r->bad_bytes += moved->moves_in != moved->moves_out || moved->moves_failed != w->came_back;
}

void sim_move_run(const struct sim_config *config, struct sim_result *result)
{
    struct move_config mine = move_config(config);
    struct move_world *w = move_world_open(&mine);
    uint64_t until = w->now + config->time_limit_ns;
    uint64_t refused = 0;
    bool is_done = false;

    if (move_world_connect(w)) {
        while (w->now < until && (!move_world_is_done(w) || w->phase != MOVE_NONE) &&
               move_world_step(w)) {
            refused += !move_world_roam(w);
            if (config->rest_max_ns > 0)
                rest_once(w, config, &refused);
        }
        is_done = move_world_is_done(w) && w->phase == MOVE_NONE;
        move_world_finish(w);
    }
    fill_result(w, is_done, result);
    result->bad_bytes += refused;
    result->leaks = move_world_close(w);
}
