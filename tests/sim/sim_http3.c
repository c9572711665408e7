/* tests/sim/sim_http3.c - see sim_http3.h. */
#include "tests/sim/sim_http3.h"

#include <stdio.h>
#include <string.h>

#include "http3/server_internal.h"
#include "tests/support/engine_world.h"
#include "tests/support/h3_pair.h"

#define LINGER      (10 * MR_SECOND)
#define SLEEP_AFTER (50 * MR_MS) /* where requests rest between their waves */

enum {
    WAVES = 3, /* of requests: the later ones find entries in the table */
    DATAGRAM = 400,
    TABLE = 4096,
    BLOCKED = 16,
};

/* One side of the tunnel. */
struct echo {
    struct mr_http3_tunnel *tunnel;
    uint32_t to_send;
    uint32_t sent;
    uint32_t received;
    uint32_t ended;
    int error;
    uint64_t wrong;
    bool echoes;
};

struct http3_world {
    const struct sim_config *config;
    struct h3_pair *pair;
    struct engine_world *engine;
    struct mr_random random;
    struct echo side[2];
    uint32_t waves;
    uint32_t changes;  /* of priorities */
    uint64_t inserted; /* into the tables, both ways, at most so far */
    bool has_asked_end;
};

/* ------------------------------------------------------------------ the tunnel */

static void send_some(struct echo *e)
{
    uint8_t bytes[DATAGRAM];

    while (!e->echoes && e->tunnel != NULL && e->sent < e->to_send) {
        memset(bytes, (int)e->sent, sizeof(bytes));
        if (mr_http3_tunnel_send(e->tunnel, bytes, sizeof(bytes)) != 0)
            return;
        e->sent++;
    }
}

static uint32_t on_request(void *context, struct mr_http3_tunnel *tunnel,
                           const struct mr_http3_tunnel_request *request)
{
    (void)context;
    (void)tunnel;
    return strcmp(request->protocol, "echo") == 0 ? 200 : 501;
}

static void on_open(void *context, struct mr_http3_tunnel *tunnel)
{
    struct echo *e = context;

    e->tunnel = tunnel;
    send_some(e);
}

static void on_datagram(void *context, struct mr_http3_tunnel *tunnel, const void *data,
                        size_t size)
{
    struct echo *e = context;
    uint8_t bytes[DATAGRAM];

    memset(bytes, *(const uint8_t *)data, sizeof(bytes));
    e->received++;
    e->wrong += size != DATAGRAM || memcmp(bytes, data, size) != 0;
    if (e->echoes)
        (void)mr_http3_tunnel_send(tunnel, data, size); /* as unreliable as what it answers */
}

static void on_room(void *context, struct mr_http3_tunnel *tunnel)
{
    (void)tunnel;
    send_some(context);
}

static void on_end(void *context, struct mr_http3_tunnel *tunnel, int error, const char *reason)
{
    struct echo *e = context;

    (void)tunnel;
    (void)reason;
    e->tunnel = NULL;
    e->ended++;
    e->error = error;
}

/* ------------------------------------------------------------------ requests */

static struct mr_priority some_priority(struct mr_random *random)
{
    return (struct mr_priority){.urgency = (uint8_t)mr_random_below(random, MR_URGENCIES),
                                .is_incremental = mr_random_below(random, 2) == 0};
}

static void request_wave(struct http3_world *w)
{
    for (uint32_t i = 0; i < w->config->streams; i++) {
        struct mr_priority priority = some_priority(&w->random);
        struct h3_fetch *fetch = h3_pair_begin(
            w->pair, &(struct mr_h3_request_options){.path = "/file", .priority = &priority});

        fetch->keeps_body = false;
        fetch->checks_pattern = true;
    }
    w->waves++;
}

/* As often as a server takes it from who has made no request: a client that waits for losses, next
 * to a clock that ticks, would do so for ever. */
static void change_priority(struct http3_world *w)
{
    uint32_t i = (uint32_t)mr_random_below(&w->random, w->pair->fetch_count);

    if (w->changes < MR_H3_PRIORITY_UPDATES && !w->pair->fetch[i].is_done &&
        mr_random_below(&w->random, 8) == 0)
        w->changes += mr_h3_client_prioritize(w->pair->client, w->pair->fetch[i].request,
                                              some_priority(&w->random)) == 0;
}

/* The first is the tunnel. */
static bool are_answered(const struct h3_pair *pair)
{
    for (uint32_t i = 1; i < pair->fetch_count; i++) {
        if (!pair->fetch[i].is_done)
            return false;
    }
    return true;
}

static bool is_right_fetch(const struct http3_world *w, const struct h3_fetch *fetch)
{
    return fetch->is_done && fetch->result.outcome == MR_H3_DONE && fetch->result.status == 200 &&
           fetch->body_size == w->config->down_bytes && !fetch->is_wrong;
}

static bool is_complete(const struct http3_world *w)
{
    const struct h3_pair *pair = w->pair;

    for (uint32_t i = 1; i < pair->fetch_count; i++) {
        if (!is_right_fetch(w, &pair->fetch[i]))
            return false;
    }
    return w->waves == WAVES && w->side[0].ended == 1 && w->side[1].ended == 1 &&
           w->side[0].error == 0 && w->side[1].error == 0;
}

/* ------------------------------------------------------------------ running */

static void note_tables(struct http3_world *w)
{
    uint64_t inserted = 0;

    for (struct mr_h3_conn *conn = w->pair->server->h3.all; conn != NULL; conn = conn->next)
        inserted += mr_qpack_decoder_inserted(&conn->decoder);
    w->inserted = MR_MAX(w->inserted, inserted);
}

/* What the client's user does between two events; true: it has closed, and all is over. */
static bool act(void *context)
{
    struct http3_world *w = context;
    struct echo *mine = &w->side[ENGINE_CLIENT];

    note_tables(w);
    if (w->pair->closed_count > 0)
        return mr_endpoint_conn_count(engine_world_endpoint(w->engine, ENGINE_CLIENT)) == 0 &&
               mr_endpoint_conn_count(engine_world_endpoint(w->engine, ENGINE_SERVER)) == 0;
    change_priority(w);
    if (!are_answered(w->pair))
        return false;
    if (w->waves < WAVES) {
        if (w->config->rest_max_ns > 0)
            engine_world_run(w->engine, 1 + mr_random_below(&w->random, w->config->rest_max_ns));
        request_wave(w);
    } else if (!w->has_asked_end && mine->tunnel != NULL && mine->sent == mine->to_send) {
        w->has_asked_end = true;
        mr_http3_tunnel_end(mine->tunnel);
    } else if (mine->ended > 0 && w->side[ENGINE_SERVER].ended > 0) {
        (void)mr_h3_client_close(w->pair->client, w->pair->conn);
    }
    return false;
}

static void fill_result(struct http3_world *w, bool is_over, struct sim_result *r)
{
    const struct mr_h3_counters *server = mr_h3_server_counters(w->pair->server);
    const struct mr_h3_counters *client = mr_h3_client_counters(w->pair->client);
    const struct sim_network *net = engine_world_network(w->engine);

    *r = (struct sim_result){
        .is_complete = is_complete(w),
        .is_client_closed = w->pair->closed_count == 1,
        .is_server_closed = is_over,
        .client_error = w->pair->closed.code,
        .bad_bytes = w->side[0].wrong + w->side[1].wrong,
        .leaks = !h3_pair_is_idle(w->pair),
        .datagrams = net->datagrams,
        .digest = net->digest,
        .seen = net->seen,
        .http3 = {.priority_updates = server->priority_updates,
                  .tunnels = MR_MIN(server->tunnels_opened, client->tunnels_opened),
                  .datagrams = MR_MIN(server->datagrams_received, client->datagrams_received),
                  .blocked = server->streams_blocked + client->streams_blocked,
                  .inserted = w->inserted},
    };
    for (unsigned i = 0; i < 2; i++) {
        r->counters[i] = *mr_endpoint_counters(engine_world_endpoint(w->engine, i));
        r->http3.datagrams = MR_MIN(r->http3.datagrams, r->counters[i].datagram_frames_received);
    }
    snprintf(r->client_reason, sizeof(r->client_reason), "%u of %u requests",
             (unsigned)client->requests_done, w->pair->fetch_count);
}

static void begin(struct http3_world *w, struct mr_http3_tunnel_handlers handlers[2])
{
    const struct sim_config *config = w->config;
    struct mr_h3_server_config server = h3_pair_server_config(w->pair);
    struct engine_options options = {.datagram_max = {UINT16_MAX, UINT16_MAX},
                                     .links = config->link,
                                     .seed = config->seed,
                                     .rebind_every_ns = config->rebind_every_ns,
                                     .rebinds_max = config->rebinds_max,
                                     .awake = config->rest_max_ns > 0 ? 1 : 0,
                                     .sleep_after_ns = SLEEP_AFTER,
                                     .keep_alive_ns = config->keep_alive_ns};

    for (int i = 0; i < 2; i++)
        handlers[i] = (struct mr_http3_tunnel_handlers){.context = &w->side[i],
                                                        .on_request = on_request,
                                                        .on_open = on_open,
                                                        .on_datagram = on_datagram,
                                                        .on_room = on_room,
                                                        .on_end = on_end};
    w->side[ENGINE_SERVER].echoes = true;
    w->side[ENGINE_CLIENT].to_send = config->datagrams;
    server.tunnels = &handlers[ENGINE_SERVER];
    server.tunnels_max = 1;
    server.qpack_capacity = server.qpack_encoder_capacity = TABLE;
    server.qpack_blocked_max = BLOCKED;
    w->pair->client_table = TABLE;
    w->pair->client_blocked = BLOCKED;
    w->pair->has_tunnels = true;
    h3_pair_write_pattern(w->pair, "file", config->down_bytes);
    h3_pair_make(w->pair, &server);
    w->engine = engine_world_new(&options, mr_h3_client_application(w->pair->client),
                                 mr_h3_server_application(w->pair->server));
}

static void connect_client(struct http3_world *w, const struct mr_http3_tunnel_handlers *handlers)
{
    const struct mr_connect_options options = {.remote = engine_world_server(),
                                               .server_name = "localhost"};

    MR_ASSERT(mr_h3_client_connect(w->pair->client, &options, 0, &w->pair->conn) == 0);
    (void)h3_pair_begin(w->pair, &(struct mr_h3_request_options){
                                     .path = "/", .protocol = "echo", .tunnel = handlers});
    request_wave(w);
}

void sim_http3_run(const struct sim_config *config, struct sim_result *result)
{
    struct http3_world w = {.config = config, .pair = h3_pair_new()};
    struct mr_http3_tunnel_handlers handlers[2];

    mr_random_init_number(&w.random, config->seed + 5);
    begin(&w, handlers);
    connect_client(&w, &handlers[ENGINE_CLIENT]);
    bool is_over = engine_world_run_until(w.engine, config->time_limit_ns, act, &w);
    engine_world_run(w.engine, LINGER); /* work that was out */
    fill_result(&w, is_over, result);
    engine_world_free(w.engine);
    h3_pair_free(w.pair);
}
