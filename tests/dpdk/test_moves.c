/*
 * tests/dpdk/test_moves.c - connections that move between shards on threads of their own.
 *
 *     client shard 0 -- wire -- server shards 0, 1, 2
 *
 * The client opens streams for ever, each side sends a pattern on each and checks the other's.  The
 * server's connections move: as often as they may, because its applications and the control thread
 * want it; to where their datagrams arrive; or away from a busy shard.  Every handler call of a
 * connection of the server's enters and leaves a gate: two at a time are an error.
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "control/balance.h"
#include "dataplane/shard_order.h"
#include "tests/dpdk/dpdk_harness.h"
#include "tools/bench_world.h"

enum {
    SHARDS = 3,
    CONNS = 6,
    STREAMS = 4, /* that the client has open in a connection */
    SLOTS = 16,  /* and the server: it hears later that one is over */
    STREAM_BYTES = 300000,
    PERIOD = 65521,
    MOVES = 60, /* to be seen */
    WORK = 5,   /* of a connection, in any unit */
    TABLES = 5, /* of receive queues, one after the other */
    SECONDS_MAX = 40
};

struct conn;

struct stream {
    struct conn *conn;
    mr_handle handle;
    uint64_t id;
    uint64_t queued;
    uint64_t received;
    bool is_used;
    bool has_fin;
};

struct conn {
    _Atomic uint32_t gate; /* handlers in it */
    uint32_t shard;        /* of the server's; SHARDS: between two */
    mr_handle handle;
    bool is_leaving; /* let go, and not told what became of it */
    uint32_t moves;
    struct stream streams[SLOTS];
};

struct app {
    uint32_t shard;
    bool is_client;
    struct mr_transport *transport;
    uint64_t turn;
};

static uint8_t pattern[2 * PERIOD];
static struct conn client_conns[CONNS];
static struct conn server_conns[CONNS];
static struct app client_app;
static struct app server_apps[SHARDS];
static _Atomic uint32_t accepted;
static _Atomic uint32_t streams_done; /* by the client */
static _Atomic uint32_t streams_open; /* by the client */
static _Atomic uint32_t moved_in;
static _Atomic uint32_t failed_moves;
static _Atomic uint32_t wrong;
static _Atomic bool is_ending;
static bool has_calls; /* the server's applications move connections, and refuse some */

static void expect(bool is_right, const char *what)
{
    if (!is_right && atomic_fetch_add(&wrong, 1) == 0)
        fprintf(stderr, "# %s\n", what);
}

static const uint8_t *bytes_at(bool by_client, uint64_t id, uint64_t offset)
{
    return pattern + (id * 977 + (by_client ? 13 : 0) + offset) % PERIOD;
}

/* ------------------------------------------------------------------ streams */

static void send_more(const struct app *app, struct stream *s)
{
    while (s->queued < STREAM_BYTES) {
        size_t size = MR_MIN((size_t)(STREAM_BYTES - s->queued), (size_t)20000);
        struct mr_view view = {.data = bytes_at(app->is_client, s->id, s->queued), .size = size};
        bool is_last = s->queued + size == STREAM_BYTES;

        if (app->transport->ops->send(app->transport, s->handle, &view, 1,
                                      is_last ? MR_SEND_FIN : 0) != 0)
            return;
        s->queued += size;
    }
}

static void receive(const struct app *app, struct stream *s)
{
    const struct mr_transport_ops *ops = app->transport->ops;
    struct mr_view views[8];
    bool fin = false;
    int64_t count;

    while (!s->has_fin && (count = ops->receive(app->transport, s->handle, views, 8, &fin)) >= 0) {
        size_t size = 0;

        for (int64_t i = 0; i < count; i++) {
            expect(s->received + size + views[i].size <= STREAM_BYTES &&
                       memcmp(views[i].data, bytes_at(!app->is_client, s->id, s->received + size),
                              views[i].size) == 0,
                   "bytes differ");
            size += views[i].size;
        }
        s->received += size;
        s->has_fin = fin;
        expect(!fin || s->received == STREAM_BYTES, "a stream ends early");
        ops->release(app->transport, s->handle, size);
        if (count == 0)
            return;
    }
}

static void begin_stream(const struct app *app, struct conn *conn, struct stream *s,
                         mr_handle handle)
{
    *s = (struct stream){.conn = conn,
                         .handle = handle,
                         .id = app->transport->ops->stream_id(app->transport, handle),
                         .is_used = true};
    app->transport->ops->set_user_data(app->transport, handle, (uint64_t)(uintptr_t)s);
    send_more(app, s);
}

static void end_stream(const struct app *app, struct stream *s, bool is_ended_early)
{
    expect(is_ended_early || (s->has_fin && s->received == STREAM_BYTES), "a stream is not whole");
    s->is_used = false;
    if (!app->is_client)
        return;
    atomic_fetch_sub(&streams_open, 1);
    atomic_fetch_add(&streams_done, 1);
}

static struct stream *free_stream(struct conn *conn, uint32_t slots)
{
    for (uint32_t i = 0; i < slots; i++) {
        if (!conn->streams[i].is_used)
            return &conn->streams[i];
    }
    return NULL;
}

static void on_stream(const struct app *app, struct conn *conn, const struct mr_event *event)
{
    struct stream *s = (struct stream *)(uintptr_t)event->user_data;

    if ((event->kinds & MR_EVENT_STREAM_OPENED) != 0) {
        expect(s == NULL, "a stream is opened twice");
        s = free_stream(conn, SLOTS);
        expect(s != NULL, "more streams than the client has");
        if (s == NULL)
            return;
        begin_stream(app, conn, s, event->stream);
    }
    if (s == NULL || !s->is_used || s->handle != event->stream) {
        expect(false, "an event of an unknown stream");
        return;
    }
    if ((event->kinds & MR_EVENT_READABLE) != 0)
        receive(app, s);
    if ((event->kinds & MR_EVENT_WRITABLE) != 0)
        send_more(app, s);
    if ((event->kinds & MR_EVENT_CLOSED) != 0)
        end_stream(app, s, event->is_application || event->is_remote);
}

/* ------------------------------------------------------------------ connections */

static void open_streams(const struct app *app, struct conn *conn)
{
    struct stream *s;
    mr_handle handle;

    while (!atomic_load(&is_ending) && (s = free_stream(conn, STREAMS)) != NULL &&
           app->transport->ops->open(app->transport, conn->handle, MR_OPEN_BIDI, 0, &handle) == 0) {
        atomic_fetch_add(&streams_open, 1);
        begin_stream(app, conn, s, handle);
    }
}

static void arrive(const struct app *app, struct conn *conn, const struct mr_event *event)
{
    struct mr_moved_stream map[64];
    int64_t count =
        app->transport->ops->moved_streams(app->transport, event->conn, map, MR_COUNT_OF(map));

    expect(event->kinds == MR_EVENT_MOVED_IN, "MOVED_IN is not alone");
    expect(conn->shard == SHARDS, "MOVED_IN before MOVED");
    expect((mr_handle)event->result == conn->handle, "MOVED_IN of another handle");
    conn->shard = app->shard;
    conn->handle = event->conn;
    conn->is_leaving = false;
    conn->moves++;
    atomic_fetch_add(&moved_in, 1);
    for (int64_t i = 0; i < count; i++) {
        struct stream *s = (struct stream *)(uintptr_t)map[i].user_data;

        if (s == NULL) /* opened, and not told yet */
            continue;
        expect(s->handle == map[i].old_stream && s->conn == conn, "another stream in the map");
        s->handle = map[i].stream;
    }
}

static void on_server_conn(const struct app *app, struct conn *conn, const struct mr_event *event)
{
    if ((event->kinds & MR_EVENT_MOVED_IN) != 0)
        arrive(app, conn, event);
    expect(event->conn == conn->handle && conn->shard == app->shard,
           "an event where the connection is not");
    if ((event->kinds & MR_EVENT_MOVED) == 0)
        return;
    expect(conn->is_leaving || event->result < 0, "MOVED of one that was not let go");
    if (event->result == 0) {
        conn->shard = SHARDS;
        return;
    }
    conn->is_leaving = false;
    atomic_fetch_add(&failed_moves, 1);
}

static struct conn *find_conn(const struct app *app, mr_handle handle)
{
    for (uint32_t i = 0; i < CONNS; i++) {
        if (server_conns[i].shard == app->shard && server_conns[i].handle == handle)
            return &server_conns[i];
    }
    return NULL;
}

static struct conn *accept_conn(const struct app *app, const struct mr_event *event)
{
    uint32_t number = atomic_fetch_add(&accepted, 1);

    expect(number < CONNS, "more connections than the client has");
    struct conn *conn = &server_conns[number % CONNS];
    conn->handle = event->conn;
    conn->shard = app->shard;
    app->transport->ops->set_user_data(app->transport, event->conn, (uint64_t)(uintptr_t)conn);
    return conn;
}

static void on_server_event(const struct app *app, const struct mr_event *event)
{
    struct conn *conn = NULL;

    if (event->stream != MR_HANDLE_NONE) { /* streams that were just opened know nothing */
        conn = find_conn(app, event->conn);
    } else {
        conn = (struct conn *)(uintptr_t)event->user_data;
        if (conn == NULL && (event->kinds & MR_EVENT_CONNECTED) != 0)
            conn = accept_conn(app, event);
    }
    if (conn == NULL) {
        expect(false, "an event of an unknown connection");
        return;
    }
    expect(atomic_fetch_add(&conn->gate, 1) == 0, "two handlers for one connection");
    if (event->stream != MR_HANDLE_NONE)
        on_stream(app, conn, event);
    else
        on_server_conn(app, conn, event);
    atomic_fetch_sub(&conn->gate, 1);
}

/* ------------------------------------------------------------------ applications */

static void on_events(void *context, const struct mr_event *events, size_t count)
{
    const struct app *app = context;

    for (size_t i = 0; i < count; i++) {
        const struct mr_event *event = &events[i];

        if (event->conn == MR_HANDLE_NONE)
            continue;
        if (!app->is_client) {
            on_server_event(app, event);
            continue;
        }
        struct conn *conn = event->stream == MR_HANDLE_NONE
                                ? (struct conn *)(uintptr_t)event->user_data
                                : ((struct stream *)(uintptr_t)event->user_data)->conn;
        if (event->stream != MR_HANDLE_NONE)
            on_stream(app, conn, event);
        else if ((event->kinds & MR_EVENT_CLOSED) != 0 && !atomic_load(&is_ending))
            expect(false, event->reason);
        if (event->stream == MR_HANDLE_NONE || (event->kinds & MR_EVENT_CLOSED) != 0)
            open_streams(app, conn);
    }
}

/* Ask for a move of one of the connections, now and then. */
static uint32_t poll_server(void *context)
{
    struct app *app = context;

    if (!has_calls)
        return 0;
    struct conn *conn = &server_conns[++app->turn % CONNS];
    if (atomic_load(&is_ending) || app->turn % 64 > CONNS || conn->shard != app->shard ||
        conn->is_leaving)
        return 0;
    int answer = app->transport->ops->move(
        app->transport, conn->handle, (app->shard + 1 + (uint32_t)(app->turn >> 8) % 2) % SHARDS);
    expect(answer == 0 || answer == -EBUSY || answer == -ENOMEM, "move() answers something else");
    return 0;
}

static bool let_go(void *context, mr_handle handle, uint32_t shard)
{
    const struct app *app = context;
    struct conn *conn = find_conn(app, handle);

    expect(shard < SHARDS && shard != app->shard, "a move to nowhere");
    expect(conn != NULL && !conn->is_leaving, "an unknown connection is to move, or one twice");
    if (conn == NULL || (has_calls && app->turn % 7 == 0)) /* now and then it does not want to */
        return false;
    conn->is_leaving = true;
    return true;
}

static void on_start(void *context, struct mr_transport *transport)
{
    struct app *app = context;

    app->transport = transport;
    for (uint32_t i = 0; app->is_client && i < CONNS; i++) {
        struct mr_connect_options options = {.remote = mr_world_server_address(),
                                             .server_name = "localhost",
                                             .alpn = (const uint8_t *)"\004perf",
                                             .alpn_size = 5,
                                             .user_data = (uint64_t)(uintptr_t)&client_conns[i]};

        expect(transport->ops->connect(transport, &options, &client_conns[i].handle) == 0,
               "connect");
    }
}

static void on_stop(void *context)
{
    (void)context;
}

/* ------------------------------------------------------------------ the test */

static void pause_ms(long ms)
{
    struct timespec span = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    nanosleep(&span, NULL);
}

static void make_pattern(void)
{
    for (uint32_t i = 0; i < PERIOD; i++)
        pattern[i] = (uint8_t)(i * 2654435761u >> 13);
    memcpy(pattern + PERIOD, pattern, PERIOD);
}

/* As before the first test. */
static void forget(void)
{
    memset(client_conns, 0, sizeof(client_conns));
    memset(server_conns, 0, sizeof(server_conns));
    for (uint32_t i = 0; i < CONNS; i++)
        server_conns[i].shard = SHARDS;
    accepted = streams_done = streams_open = moved_in = failed_moves = wrong = 0;
    is_ending = false;
}

static struct mr_world_config world_config(void)
{
    struct mr_world_config config = mr_world_config_default();

    config.server_shards = SHARDS;
    config.client_shards = 1;
    config.connections = 32;
    config.polling = MR_POLLING_ADAPTIVE;
    config.window_max = 1 << 20;
    config.wire.seed = 1;
    config.wire.side[0].impairment.loss = 0.002;
    config.wire.side[1].impairment.loss = 0.002;
    return config;
}

/* Make and launch it, and wait for its connections. */
static void launch_world(struct mr_world *w, struct mr_world_config *config)
{
    static struct mr_application servers[SHARDS];
    static struct mr_application client;
    struct mr_fault fault = {0};

    forget();
    make_pattern();
    for (uint32_t i = 0; i < config->server_shards; i++) {
        server_apps[i] = (struct app){.shard = i};
        servers[i] = (struct mr_application){.name = "server",
                                             .context = &server_apps[i],
                                             .on_start = on_start,
                                             .on_events = on_events,
                                             .on_poll = poll_server,
                                             .on_stop = on_stop,
                                             .on_move = let_go};
    }
    client_app = (struct app){.is_client = true};
    client = (struct mr_application){.name = "client",
                                     .context = &client_app,
                                     .on_start = on_start,
                                     .on_events = on_events,
                                     .on_stop = on_stop};
    config->server_applications = servers;
    config->client_applications = &client;
    bool is_made = mr_world_make(w, config, &fault);
    if (!is_made)
        fprintf(stderr, "world: %s\n", fault.text);
    CU_ASSERT_FATAL(is_made);
    mr_world_launch(w);
    for (int i = 0; i < SECONDS_MAX * 20 && atomic_load(&accepted) < CONNS; i++)
        pause_ms(50);
    CU_ASSERT_EQUAL(atomic_load(&accepted), CONNS);
}

/* Every stream comes to its end, whole, and nothing went wrong. */
static void end_world(struct mr_world *w)
{
    struct mr_counters counters;
    struct mr_counters of_client;

    atomic_store(&is_ending, true);
    for (int i = 0; i < 400 && atomic_load(&streams_open) > 0; i++)
        pause_ms(50);
    CU_ASSERT_EQUAL(atomic_load(&streams_open), 0);
    mr_group_counters(&w->server, &counters);
    mr_group_counters(&w->client, &of_client);
    mr_world_stop(w);
    printf("# %u moves, %u failed, %u streams; %lu datagrams passed on by connection ID, %lu after "
           "a move\n",
           atomic_load(&moved_in), atomic_load(&failed_moves), atomic_load(&streams_done),
           (unsigned long)counters.redirects_out, (unsigned long)counters.datagrams_forwarded);
    CU_ASSERT_EQUAL(atomic_load(&wrong), 0);
    bool is_moving = w->config.paths_max < 2; /* else they stay */
    CU_ASSERT_EQUAL(counters.datagrams_forwarded > 0, is_moving);
    CU_ASSERT_EQUAL(counters.stateless_resets_sent, 0);
    CU_ASSERT_EQUAL(counters.acks_of_unsent + of_client.acks_of_unsent, 0);
    CU_ASSERT_EQUAL(counters.protocol_errors + of_client.protocol_errors, 0);
    CU_ASSERT_EQUAL(of_client.cids_retired, 0);
    CU_ASSERT_EQUAL(counters.cids_retired > 0, is_moving);
    CU_ASSERT_EQUAL(mr_world_free(w), 0);
}

static struct mr_shard_stats stats_of(const struct mr_world *w)
{
    struct mr_shard_stats stats;

    mr_group_stats(&w->server, &stats);
    return stats;
}

/* ------------------------------------------------------------------ by call */

static void carry_out(struct mr_shard *shard, struct mr_shard_order *order)
{
    mr_shard_give_order(shard, order);
    while (!mr_shard_order_is_done(shard))
        pause_ms(1);
}

/* The connections of a shard; how many there are, and of these can move. */
static struct mr_shard_order list(const struct mr_world *w, uint32_t shard,
                                  struct mr_shard_conn conns[CONNS], uint32_t *movable_out)
{
    struct mr_shard_order order = {.kind = MR_ORDER_LIST, .conns = conns, .room = CONNS};

    carry_out(w->server.shards[shard], &order);
    *movable_out = 0;
    for (uint32_t i = 0; i < order.count; i++)
        *movable_out += conns[i].can_move;
    return order;
}

/* Have connections of `from` go to `to`, of `work` each and 2 * WORK together, if they can.  How
 * many do. */
static uint32_t ask(const struct mr_world *w, uint32_t from, uint32_t to, uint64_t work)
{
    struct mr_shard_conn conns[CONNS];
    struct mr_conn_work works[CONNS];
    uint32_t movable;
    uint32_t count = list(w, from, conns, &movable).count;

    for (uint32_t i = 0; i < count; i++)
        works[i] = (struct mr_conn_work){.conn = conns[i].conn, .work = work};
    struct mr_shard_order order = {
        .kind = MR_ORDER_SPREAD, .works = works, .work_count = count, .to = to, .budget = 2 * WORK};
    carry_out(w->server.shards[from], &order);
    CU_ASSERT_EQUAL(order.moved * work + order.budget, 2 * WORK);
    return order.moved;
}

static void connections_move_while_they_transfer(void)
{
    struct mr_world w;
    struct mr_world_config config = world_config();

    has_calls = true;
    launch_world(&w, &config);
    for (int i = 0; i < SECONDS_MAX * 20; i++) {
        if (atomic_load(&moved_in) >= MOVES && stats_of(&w).balance_moves > 0 &&
            atomic_load(&streams_done) >= 4 * CONNS * STREAMS)
            break;
        ask(&w, (uint32_t)i % SHARDS, (uint32_t)(i + 1 + i / 7 % 2) % SHARDS, WORK);
        pause_ms(50);
    }
    CU_ASSERT(atomic_load(&moved_in) >= MOVES);
    CU_ASSERT(atomic_load(&streams_done) >= 4 * CONNS * STREAMS);
    CU_ASSERT(stats_of(&w).balance_moves > 0);
    end_world(&w);
}

/* Of those that fit, one in a second; and none that came a moment ago. */
static void no_more_move_than_are_allowed(void)
{
    struct mr_world w;
    struct mr_world_config config = world_config();
    struct mr_shard_conn conns[CONNS];
    uint32_t movable = 0;

    has_calls = false;
    config.server_shards = 2;
    config.server_balance = (struct mr_shard_balance){.moves_max = 1, .stay_ns = 3600 * MR_SECOND};
    launch_world(&w, &config);
    for (int i = 0; i < SECONDS_MAX * 20 && movable < CONNS; i++) {
        pause_ms(50);
        list(&w, 0, conns, &movable);
    }
    CU_ASSERT_EQUAL(ask(&w, 0, 1, 1), 1);
    CU_ASSERT_EQUAL(ask(&w, 0, 1, 1), 0);
    CU_ASSERT(stats_of(&w).balance_limited > 0);
    pause_ms(2000);
    CU_ASSERT_EQUAL(stats_of(&w).balance_moves, 1);
    CU_ASSERT_EQUAL(ask(&w, 0, 1, 1), 1);
    for (int i = 0; i < SECONDS_MAX * 20 && movable != 2; i++) {
        pause_ms(50);
        list(&w, 1, conns, &movable);
    }
    uint64_t unready = stats_of(&w).balance_unready;
    CU_ASSERT_EQUAL(ask(&w, 1, 0, 1), 0);
    CU_ASSERT_EQUAL(stats_of(&w).balance_unready, unready + 2);
    end_world(&w);
}

/* Whoever wants them to move: that is counted, and said. */
static void connections_with_several_paths_stay(void)
{
    struct mr_world w;
    struct mr_world_config config = world_config();
    struct mr_shard_conn conns[CONNS];
    uint32_t movable = 0;

    has_calls = false;
    config.server_shards = 2;
    config.paths_max = 4;
    config.server_balance = (struct mr_shard_balance){.moves_max = 1};
    launch_world(&w, &config);
    pause_ms(500); /* what else could keep them is over */
    struct mr_shard_order all = list(&w, 0, conns, &movable);
    CU_ASSERT_FATAL(all.count > 0);
    CU_ASSERT_EQUAL(movable, 0);
    CU_ASSERT_EQUAL(conns[0].paths, 1);
    CU_ASSERT_EQUAL(stats_of(&w).moves_refused_paths, 0); /* nobody wants one to move */

    struct mr_shard_order move = {.kind = MR_ORDER_MOVE, .conn = conns[0].conn, .to = 1};
    carry_out(w.server.shards[0], &move);
    CU_ASSERT_EQUAL(move.answer, -EMLINK);
    CU_ASSERT_EQUAL(stats_of(&w).moves_refused_paths, 1);
    CU_ASSERT_EQUAL(ask(&w, 0, 1, 1), 0);
    CU_ASSERT_EQUAL(stats_of(&w).moves_refused_paths, 1 + all.count);

    struct mr_shard_order paths = {.kind = MR_ORDER_PATHS, .conn = conns[0].conn};
    carry_out(w.server.shards[0], &paths);
    CU_ASSERT_EQUAL(paths.answer, 0);
    CU_ASSERT_EQUAL(paths.count, 1);
    CU_ASSERT_EQUAL(paths.paths[0].state, MR_PATH_INFO_OPEN);
    CU_ASSERT(paths.paths[0].rtt_ns > 0 && paths.paths[0].cwnd_bytes > 0);
    CU_ASSERT(paths.paths[0].bytes_sent > 0 && paths.paths[0].mtu >= 1200);
    paths.conn += UINT64_C(1) << 32;
    carry_out(w.server.shards[0], &paths);
    CU_ASSERT_EQUAL(paths.answer, -ESTALE);
    CU_ASSERT_EQUAL(paths.count, 0);
    end_world(&w);
}

/* ------------------------------------------------------------------ to their datagrams */

static void set_table(const struct mr_world *w, uint16_t queue)
{
    uint16_t reta[MR_WIRE_RETA_COUNT];

    for (uint32_t i = 0; i < MR_WIRE_RETA_COUNT; i++)
        reta[i] = queue;
    mr_wire_set_reta(w->server.port, reta);
}

/* Streams go on, and for a while no shard passes anything on. */
static bool comes_to_rest(const struct mr_world *w)
{
    for (int i = 0; i < SECONDS_MAX * 5; i++) {
        uint64_t before = stats_of(w).redirected_in;
        uint32_t streams = atomic_load(&streams_done);

        pause_ms(200);
        if (stats_of(w).redirected_in == before && atomic_load(&streams_done) > streams)
            return true;
    }
    return false;
}

/* The client's connections share a pair of addresses: each table leads them all to one queue. */
static void connections_follow_their_datagrams(void)
{
    struct mr_world w;
    struct mr_world_config config = world_config();
    uint16_t at = 0;

    has_calls = false;
    config.wire.has_rss = true;
    config.server_balance.follows = true;
    launch_world(&w, &config);
    CU_ASSERT(comes_to_rest(&w));
    CU_ASSERT_EQUAL(atomic_load(&moved_in), 0);
    while (at < SHARDS && mr_shard_conn_count(w.server.shards[at]) < CONNS)
        at++;
    CU_ASSERT(at < SHARDS);
    for (uint32_t table = 1; table <= TABLES; table++) {
        at = (uint16_t)((at + 1) % SHARDS);
        set_table(&w, at);
        for (int i = 0; i < SECONDS_MAX * 20 && atomic_load(&moved_in) < table * CONNS; i++)
            pause_ms(50);
        CU_ASSERT(comes_to_rest(&w));
        CU_ASSERT_EQUAL(atomic_load(&moved_in), table * CONNS);
        CU_ASSERT_EQUAL(mr_shard_conn_count(w.server.shards[at]), CONNS);
    }
    CU_ASSERT_EQUAL(stats_of(&w).balance_moves, TABLES * CONNS);
    CU_ASSERT_EQUAL(atomic_load(&failed_moves), 0);
    end_world(&w);
}

/* ------------------------------------------------------------------ away from a busy shard */

/* The control thread's part of a datapath. */
static void poll_for_ms(struct mr_balance *balance, uint32_t ms)
{
    for (uint32_t i = 0; i < ms; i++) {
        (void)mr_balance_poll(balance);
        pause_ms(1);
    }
}

static void a_busy_shard_gives_connections_away(void)
{
    struct mr_world w;
    struct mr_world_config config = world_config();
    const struct mr_balance_rule rule = {.gap_percent = 20, .busy_percent = 20};
    uint32_t moved;

    has_calls = false;
    config.server_shards = 2;
    launch_world(&w, &config);
    CU_ASSERT_EQUAL(mr_shard_conn_count(w.server.shards[0]), CONNS);
    CU_ASSERT_EQUAL(ask(&w, 0, 1, 2 * WORK + 1), 0); /* none fits */
    struct mr_balance *balance = mr_balance_new(&w.server, &rule);
    CU_ASSERT_PTR_NOT_NULL_FATAL(balance);
    for (int i = 0; i < SECONDS_MAX * 10 && atomic_load(&moved_in) == 0; i++)
        poll_for_ms(balance, 100);
    CU_ASSERT(atomic_load(&moved_in) > 0);
    for (int i = 0; i < SECONDS_MAX / 2; i++) { /* until none has moved for a while */
        moved = atomic_load(&moved_in);
        poll_for_ms(balance, 2000);
        if (atomic_load(&moved_in) == moved)
            break;
    }
    CU_ASSERT_EQUAL(atomic_load(&moved_in), moved);
    for (int i = 0; i < 2; i++)
        CU_ASSERT(mr_shard_conn_count(w.server.shards[i]) > 0);
    CU_ASSERT_EQUAL(stats_of(&w).balance_moves,
                    atomic_load(&moved_in) + atomic_load(&failed_moves));
    end_world(&w);
    mr_balance_free(balance);
}

static int start(void)
{
    struct mr_eal_config config = {.worker_count = SHARDS + 1,
                                   .memory_mb = 256,
                                   .hugepages = MR_HUGEPAGES_OFF,
                                   .shares_cores = true};
    struct mr_fault fault = {0};

    if (mr_eal_start(&config, &fault))
        return 0;
    fprintf(stderr, "EAL: %s\n", fault.text);
    return 1;
}

static CU_TestInfo tests[] = {
    {"Q17 Q18 connections move between threads while they transfer, and no two handle one",
     connections_move_while_they_transfer},
    {"no more connections move for balance than are allowed", no_more_move_than_are_allowed},
    {"connections with several paths stay, whoever wants them to move",
     connections_with_several_paths_stay},
    {"Q17 a new table of receive queues: connections follow their datagrams, all bytes come, "
     "nothing is redirected any more",
     connections_follow_their_datagrams},
    {"Q17 a busy shard gives connections away, all bytes come, and it comes to rest",
     a_busy_shard_gives_connections_away},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "dpdk/moves", .pInitFunc = start, .pTests = tests},
    CU_SUITE_INFO_NULL,
};
