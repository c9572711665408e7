/* tests/dpdk/moving.c - see moving.h. */
#include "tests/dpdk/moving.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

enum {
    SLOTS = 16, /* of streams at the server: it hears later that one is over */
    STREAM_BYTES = 300000,
    PERIOD = 65521
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
    uint32_t shard;        /* of the server's; MOVING_SHARDS: between two */
    mr_handle handle;
    bool is_leaving;     /* let go, and not told what became of it */
    uint64_t let_go_ns;  /* when */
    uint32_t stream_max; /* the client's */
    uint32_t moves;
    struct stream streams[SLOTS];
};

struct app {
    uint32_t shard;
    bool is_client;
    struct mr_transport *transport;
    uint64_t turn;
};

struct moving moving;

static uint8_t pattern[2 * PERIOD];
static struct conn client_conns[MOVING_MANY];
static struct conn server_conns[MOVING_MANY];
static struct app client_app;
static struct app server_apps[MOVING_SHARDS];
static clockid_t thread_clock; /* of the thread that shards share; known once a connection is */
static uint64_t launched_ns;
static uint64_t launched_cpu_ns;
static _Atomic bool is_stopping;
static _Atomic uint64_t marked_wanted; /* datagrams; 0: no marks are set */
static struct moving_mark marks[MOVING_SHARDS];

static void expect(bool is_right, const char *what)
{
    if (!is_right && atomic_fetch_add(&moving.wrong, 1) == 0)
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
        if (!app->is_client)
            atomic_fetch_add_explicit(&moving.bytes_checked[app->shard], size,
                                      memory_order_relaxed);
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
    atomic_fetch_sub(&moving.streams_open, 1);
    atomic_fetch_add(&moving.streams_done, 1);
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
    if ((event->kinds & MR_EVENT_CLOSED) != 0 && event->reason[0] != '\0' &&
        atomic_load(&moving.wrong) == 0)
        fprintf(stderr, "# a stream is closed: %s\n", event->reason);
    if ((event->kinds & MR_EVENT_CLOSED) != 0)
        end_stream(app, s, event->is_application || event->is_remote);
}

/* ------------------------------------------------------------------ connections */

static void open_streams(const struct app *app, struct conn *conn)
{
    struct stream *s;
    mr_handle handle;

    while (!atomic_load(&moving.is_ending) && (s = free_stream(conn, conn->stream_max)) != NULL &&
           app->transport->ops->open(app->transport, conn->handle, MR_OPEN_BIDI, 0, &handle) == 0) {
        atomic_fetch_add(&moving.streams_open, 1);
        begin_stream(app, conn, s, handle);
    }
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * MR_SECOND + (uint64_t)t.tv_nsec;
}

static void note_move(uint64_t ns)
{
    uint64_t longest = atomic_load(&moving.longest_move_ns);

    atomic_fetch_add(&moving.moved_in, 1);
    atomic_fetch_add(&moving.move_ns, ns);
    while (ns > longest && !atomic_compare_exchange_weak(&moving.longest_move_ns, &longest, ns)) {
    }
}

static void arrive(const struct app *app, struct conn *conn, const struct mr_event *event)
{
    struct mr_moved_stream map[64];
    int64_t count =
        app->transport->ops->moved_streams(app->transport, event->conn, map, MR_COUNT_OF(map));

    expect(event->kinds == MR_EVENT_MOVED_IN, "MOVED_IN is not alone");
    expect(conn->shard == MOVING_SHARDS, "MOVED_IN before MOVED");
    expect((mr_handle)event->result == conn->handle, "MOVED_IN of another handle");
    conn->shard = app->shard;
    conn->handle = event->conn;
    conn->is_leaving = false;
    conn->moves++;
    note_move(clock_ns(CLOCK_MONOTONIC) - conn->let_go_ns);
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
        conn->shard = MOVING_SHARDS;
        return;
    }
    conn->is_leaving = false;
    atomic_fetch_add(&moving.failed_moves, 1);
}

static struct conn *find_conn(const struct app *app, mr_handle handle)
{
    for (uint32_t i = 0; i < moving.conn_count; i++) {
        if (server_conns[i].shard == app->shard && server_conns[i].handle == handle)
            return &server_conns[i];
    }
    return NULL;
}

static struct conn *accept_conn(const struct app *app, const struct mr_event *event)
{
    uint32_t number = atomic_fetch_add(&moving.accepted, 1);

    expect(number < moving.conn_count, "more connections than the client has");
    struct conn *conn = &server_conns[number % moving.conn_count];
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
        else if ((event->kinds & MR_EVENT_CLOSED) != 0 && !atomic_load(&moving.is_ending))
            expect(false, event->reason);
        if (event->stream == MR_HANDLE_NONE || (event->kinds & MR_EVENT_CLOSED) != 0)
            open_streams(app, conn);
    }
}

/* Ask for a move of one of the connections, now and then. */
static uint32_t poll_server(void *context)
{
    struct app *app = context;

    if (!moving.has_calls)
        return 0;
    struct conn *conn = &server_conns[++app->turn % moving.conn_count];
    if (atomic_load(&moving.is_ending) || app->turn % 64 > moving.conn_count ||
        conn->shard != app->shard || conn->is_leaving)
        return 0;
    int answer = app->transport->ops->move(app->transport, conn->handle,
                                           (app->shard + 1 + (uint32_t)(app->turn >> 8) % 2) %
                                               MOVING_SHARDS);
    expect(answer == 0 || answer == -EBUSY || answer == -ENOMEM, "move() answers something else");
    return 0;
}

static bool let_go(void *context, mr_handle handle, uint32_t shard)
{
    const struct app *app = context;
    struct conn *conn = find_conn(app, handle);

    expect(shard < MOVING_SHARDS && shard != app->shard, "a move to nowhere");
    expect(conn != NULL && !conn->is_leaving, "an unknown connection is to move, or one twice");
    if (conn == NULL ||
        (moving.has_calls && app->turn % 7 == 0)) /* now and then it does not want to */
        return false;
    conn->is_leaving = true;
    conn->let_go_ns = clock_ns(CLOCK_MONOTONIC);
    return true;
}

static void on_start(void *context, struct mr_transport *transport)
{
    struct app *app = context;

    app->transport = transport;
    for (uint32_t i = 0; app->is_client && i < moving.conn_count; i++) {
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

void moving_pause_ms(long ms)
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

void moving_forget(void)
{
    memset(&moving, 0, sizeof(moving));
    moving.conn_count = MOVING_CONNS;
}

static void make_conns(void)
{
    memset(client_conns, 0, sizeof(client_conns));
    memset(server_conns, 0, sizeof(server_conns));
    for (uint32_t i = 0; i < moving.conn_count; i++) {
        client_conns[i].stream_max = moving.differ ? 1 + i % MOVING_STREAMS : MOVING_STREAMS;
        server_conns[i].shard = MOVING_SHARDS;
    }
}

struct mr_world_config moving_config(void)
{
    struct mr_world_config config = mr_world_config_default();

    config.server_shards = MOVING_SHARDS;
    config.client_shards = 1;
    config.connections = 32;
    config.polling = MR_POLLING_ADAPTIVE;
    config.window_max = 1 << 20;
    config.idle_timeout_ns = 300 * MR_SECOND; /* a thread may get no core for a while */
    config.wire.seed = 1;
    config.wire.side[0].impairment.loss = 0.002;
    config.wire.side[1].impairment.loss = 0.002;
    return config;
}

static void note(struct moving_mark *mark, const struct mr_crossings *before)
{
    const struct mr_crossings now = mr_crossings_now();

    mark->turns++;
    mark->crossings.ring_words += now.ring_words - before->ring_words;
    mark->crossings.ring_entries += now.ring_entries - before->ring_entries;
    mark->crossings.ring_looks += now.ring_looks - before->ring_looks;
    mark->crossings.exchanges += now.exchanges - before->exchanges;
    mark->crossings.pool_calls += now.pool_calls - before->pool_calls;
}

/* A turn between marks. */
static uint64_t turn_marked(struct mr_shard *shard, struct moving_mark *mark)
{
    struct mr_shard_stats before;
    struct mr_shard_stats after;

    mr_shard_read_stats(shard, &before);
    const struct mr_crossings crossings = mr_crossings_now();
    (void)mr_shard_turn(shard);
    note(mark, &crossings);
    mr_shard_read_stats(shard, &after);
    uint64_t datagrams = after.datagrams_sent + after.datagrams_received - before.datagrams_sent -
                         before.datagrams_received;
    mark->datagrams += datagrams;
    mark->redirected_in += after.redirected_in - before.redirected_in;
    return datagrams;
}

static void turn_servers(struct mr_world *w)
{
    uint64_t wanted = atomic_load_explicit(&marked_wanted, memory_order_acquire);
    uint64_t done = 0;

    for (uint32_t i = 0; i < w->config.server_shards; i++) {
        if (wanted > 0)
            done += turn_marked(w->server.shards[i], &marks[i]);
        else
            (void)mr_shard_turn(w->server.shards[i]);
    }
    if (wanted > 0) /* release: the marks are written */
        atomic_store_explicit(&marked_wanted, wanted - MR_MIN(done, wanted), memory_order_release);
}

void moving_mark(uint64_t datagrams, struct moving_mark marks_out[MOVING_SHARDS])
{
    memset(marks, 0, sizeof(marks));
    atomic_store_explicit(&marked_wanted, datagrams, memory_order_release);
    for (int i = 0; i < MOVING_SECONDS * 100; i++) {
        moving_pause_ms(10);
        if (atomic_load_explicit(&marked_wanted, memory_order_acquire) == 0)
            break;
    }
    CU_ASSERT_EQUAL_FATAL(atomic_load(&marked_wanted), 0);
    memcpy(marks_out, marks, sizeof(marks));
}

double moving_cpu_share(void)
{
    return (double)(clock_ns(thread_clock) - launched_cpu_ns) /
           (double)(clock_ns(CLOCK_MONOTONIC) - launched_ns);
}

/* The I/O lane, if there is one, and all shards in turn, the client's last. */
static int poll_in_turn(void *argument)
{
    struct mr_world *w = argument;
    uint32_t count = w->config.server_shards;
    struct mr_shard *shards[MOVING_SHARDS + 1];

    for (uint32_t i = 0; i < count; i++)
        shards[i] = w->server.shards[i];
    shards[count++] = w->client.shards[0];
    (void)pthread_getcpuclockid(pthread_self(), &thread_clock);
    launched_ns = clock_ns(CLOCK_MONOTONIC);
    launched_cpu_ns = clock_ns(thread_clock);
    for (uint32_t i = 0; i < count; i++)
        mr_shard_begin(shards[i]);
    while (!atomic_load(&is_stopping)) {
        if (w->config.server_io_lcores > 0)
            mr_io_lane_turn(mr_io_port_lane(w->server.io_port, 0));
        turn_servers(w);
        (void)mr_shard_turn(w->client.shards[0]);
    }
    while (count > 0)
        mr_shard_end(shards[--count]);
    return 0;
}

static void launch(struct mr_world *w)
{
    if (!moving.shares_thread) {
        mr_world_launch(w);
        return;
    }
    atomic_store(&is_stopping, false);
    mr_eal_launch(0, poll_in_turn, w);
}

static void stop(struct mr_world *w)
{
    if (!moving.shares_thread) {
        mr_world_stop(w);
        return;
    }
    atomic_store(&is_stopping, true);
    mr_eal_join(0);
    if (w->config.server_io_lcores == 0)
        return;
    mr_io_port_stop(w->server.io_port);
    (void)mr_io_lane_main(mr_io_port_lane(w->server.io_port, 0)); /* what the shards sent last */
}

void moving_launch(struct mr_world *w, struct mr_world_config *config)
{
    static struct mr_application servers[MOVING_SHARDS];
    static struct mr_application client;
    struct mr_fault fault = {0};

    make_conns();
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
    launch(w);
    for (int i = 0; i < MOVING_SECONDS * 20 && atomic_load(&moving.accepted) < moving.conn_count;
         i++)
        moving_pause_ms(50);
    CU_ASSERT_EQUAL(atomic_load(&moving.accepted), moving.conn_count);
}

void moving_end(struct mr_world *w)
{
    struct mr_counters counters;
    struct mr_counters of_client;

    atomic_store(&moving.is_ending, true);
    for (int i = 0; i < 400 && atomic_load(&moving.streams_open) > 0; i++)
        moving_pause_ms(50);
    CU_ASSERT_EQUAL(atomic_load(&moving.streams_open), 0);
    mr_group_counters(&w->server, &counters);
    mr_group_counters(&w->client, &of_client);
    stop(w);
    printf("# %u moves, %u failed, %u streams; %lu datagrams passed on by connection ID, %lu after "
           "a move\n",
           atomic_load(&moving.moved_in), atomic_load(&moving.failed_moves),
           atomic_load(&moving.streams_done), (unsigned long)counters.redirects_out,
           (unsigned long)counters.datagrams_forwarded);
    CU_ASSERT_EQUAL(atomic_load(&moving.wrong), 0);
    bool is_moving = atomic_load(&moving.moved_in) > 0;
    CU_ASSERT(is_moving || counters.datagrams_forwarded == 0);
    /* a few may move while nothing is under way to them */
    CU_ASSERT(atomic_load(&moving.moved_in) < MOVING_CONNS || counters.datagrams_forwarded > 0);
    CU_ASSERT_EQUAL(counters.stateless_resets_sent, 0);
    CU_ASSERT_EQUAL(counters.acks_of_unsent + of_client.acks_of_unsent, 0);
    CU_ASSERT_EQUAL(counters.protocol_errors + of_client.protocol_errors, 0);
    CU_ASSERT_EQUAL(of_client.cids_retired, 0);
    CU_ASSERT_EQUAL(counters.cids_retired > 0, is_moving);
    CU_ASSERT_EQUAL(mr_world_free(w), 0);
}

struct mr_shard_stats moving_stats(const struct mr_world *w)
{
    struct mr_shard_stats stats;

    mr_group_stats(&w->server, &stats);
    return stats;
}

void moving_carry_out(struct mr_shard *shard, struct mr_shard_order *order)
{
    mr_shard_give_order(shard, order);
    while (!mr_shard_order_is_done(shard))
        moving_pause_ms(1);
}
