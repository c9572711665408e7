/* tests/sim/sim_move.c - see sim_move.h. */
#include "tests/sim/sim_move.h"

#include <stdio.h>

#include "tests/support/move_world.h"

enum {
    MOVED_CLIENT = 1,
    SHARDS = 0,
    PEER = 1
};

static struct move_config move_config(const struct sim_config *config)
{
    return (struct move_config){
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
               move_world_step(w))
            refused += !move_world_roam(w);
        is_done = move_world_is_done(w) && w->phase == MOVE_NONE;
        move_world_finish(w);
    }
    fill_result(w, is_done, result);
    result->bad_bytes += refused;
    result->leaks = move_world_close(w);
}
