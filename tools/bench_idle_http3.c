/* tools/bench_idle_http3.c - see bench_idle_http3.h. */
#include "tools/bench_idle_http3.h"

#include <errno.h>
#include <stdlib.h>

#include "base/compiler.h"

enum {
    FILE_BYTES = 64,
    CLOSES_PER_TURN = 32,
    TURN_NS = 1000000, /* from turn to turn, without events */
};

/* The server of one shard: its application, which tells what it holds. */
struct server {
    struct mr_h3_server *h3;
    struct mr_application application;
    const struct mr_application *inner;
    struct mr_bench_shared shared;
    _Atomic uint64_t bytes;
    _Atomic uint64_t connections;
    _Atomic uint64_t streams;
    _Atomic uint64_t requests;
};

struct client {
    struct mr_h3_client *h3;
    struct mr_idle_orders orders;
    struct mr_bench_shared shared;
    struct mr_idle_load load;
    struct mr_random random;
    mr_h3_client_conn *conns; /* 0: it was lost */
    uint32_t begun;           /* connections, ever */
    uint32_t connecting;
    uint32_t closed; /* of conns, from the front */
    uint32_t asked;  /* requests under way */
    uint64_t woken;
};

struct mr_idle_http3 {
    uint32_t shards;
    struct mr_bench_http3 *http3;
    struct server servers[MR_SHARDS_MAX];
    struct client clients[MR_SHARDS_MAX];
};

/* ------------------------------------------------------------------ the server */

static void tell(struct server *s)
{
    const struct mr_h3_server_usage usage = mr_h3_server_usage(s->h3);

    atomic_store_explicit(&s->bytes, usage.bytes, memory_order_relaxed);
    atomic_store_explicit(&s->connections, usage.connections, memory_order_relaxed);
    atomic_store_explicit(&s->streams, usage.streams, memory_order_relaxed);
    atomic_store_explicit(&s->requests, usage.requests, memory_order_relaxed);
}

static void on_server_start(void *context, struct mr_transport *transport)
{
    struct server *s = context;

    s->inner->on_start(s->inner->context, transport);
}

static void on_server_events(void *context, const struct mr_event *events, size_t count)
{
    struct server *s = context;

    s->inner->on_events(s->inner->context, events, count);
}

static uint32_t on_server_poll(void *context)
{
    struct server *s = context;
    uint32_t work = s->inner->on_poll == NULL ? 0 : s->inner->on_poll(s->inner->context);

    tell(s);
    return work;
}

static void on_server_stop(void *context)
{
    struct server *s = context;

    s->inner->on_stop(s->inner->context);
}

static void wrap(struct server *s, struct mr_h3_server *h3)
{
    s->h3 = h3;
    s->inner = mr_h3_server_application(h3);
    s->application = *s->inner;
    s->application.context = s;
    s->application.on_start = on_server_start;
    s->application.on_events = on_server_events;
    s->application.on_poll = on_server_poll;
    s->application.on_stop = on_server_stop;
}

struct mr_idle_http3_usage mr_idle_http3_usage(struct mr_idle_http3 *http3)
{
    struct mr_idle_http3_usage sum = {0};

    for (uint32_t i = 0; i < http3->shards; i++) {
        struct server *s = &http3->servers[i];

        sum.bytes += atomic_load_explicit(&s->bytes, memory_order_relaxed);
        sum.connections += atomic_load_explicit(&s->connections, memory_order_relaxed);
        sum.streams += atomic_load_explicit(&s->streams, memory_order_relaxed);
        sum.requests += atomic_load_explicit(&s->requests, memory_order_relaxed);
    }
    return sum;
}

/* ------------------------------------------------------------------ the client */

static bool is_closing(const struct client *c)
{
    return atomic_load_explicit(&c->orders.is_closing, memory_order_relaxed) ||
           atomic_load_explicit(&c->shared.is_stopped, memory_order_relaxed);
}

static void fail(struct client *c, uint64_t error)
{
    mr_bench_count_up(&c->shared.counts.failed, 1);
    mr_bench_count_up(&c->shared.counts.last_error, error - c->shared.counts.last_error);
}

static void connect_more(struct client *c)
{
    const struct mr_connect_options options = {.remote = c->load.server,
                                               .server_name = "localhost"};
    uint32_t target = atomic_load_explicit(&c->orders.target, memory_order_relaxed);

    while (c->begun < MR_MIN(target, c->load.connections) &&
           c->connecting < c->load.connects_at_once) {
        mr_h3_client_conn conn;

        if (mr_h3_client_connect(c->h3, &options, c->begun, &conn) != 0)
            return; /* in the next turn */
        c->begun++;
        c->connecting++;
    }
}

/* Ask for the file on one of the connections.  False: not now. */
static bool wake(struct client *c)
{
    static const struct mr_h3_request_options options = {.authority = "localhost",
                                                         .path = MR_BENCH_HTTP3_FILE};
    mr_h3_client_conn conn = c->conns[mr_random_below(&c->random, c->begun)];
    mr_h3_client_request request;

    if (conn == 0)
        return true; /* it was counted as failed when it went */
    if (mr_h3_client_request_make(c->h3, conn, &options, 0, &request) != 0)
        return false;
    c->asked++;
    atomic_fetch_add_explicit(&c->shared.outstanding, 1, memory_order_relaxed);
    return true;
}

static void wake_more(struct client *c)
{
    uint64_t wanted = atomic_load_explicit(&c->orders.wakes, memory_order_relaxed);

    while (c->woken < wanted && c->asked < MR_IDLE_AWAKE && c->begun > 0 && wake(c))
        c->woken++;
}

static void close_more(struct client *c)
{
    uint32_t end = MR_MIN(c->begun, c->closed + CLOSES_PER_TURN);

    for (; c->closed < end; c->closed++) {
        if (c->conns[c->closed] != 0)
            mr_h3_client_close(c->h3, c->conns[c->closed]);
    }
}

static void act(struct client *c)
{
    if (is_closing(c)) {
        close_more(c);
        return;
    }
    connect_more(c);
    wake_more(c);
}

static void on_start(void *context, struct mr_h3_client *h3)
{
    struct client *c = context;

    c->h3 = h3;
    mr_h3_client_timer(h3, TURN_NS, 0);
}

static void on_timer(void *context, uint64_t user)
{
    struct client *c = context;

    (void)user;
    act(c);
    mr_h3_client_timer(c->h3, TURN_NS, 0);
}

static void on_connected(void *context, mr_h3_client_conn conn, uint64_t user)
{
    struct client *c = context;

    c->conns[user] = conn;
    c->connecting--;
    mr_bench_count_up(&c->shared.counts.connected, 1);
    connect_more(c);
}

static void on_closed(void *context, mr_h3_client_conn conn, uint64_t user,
                      const struct mr_h3_closed *closed)
{
    struct client *c = context;

    (void)conn;
    c->conns[user] = 0;
    c->connecting -= !closed->was_connected;
    mr_bench_count_up(&c->shared.counts.closed, 1);
    if (!is_closing(c))
        fail(c, closed->code);
}

static size_t on_data(void *context, mr_h3_client_request request, uint64_t user,
                      const uint8_t *data, size_t size)
{
    struct client *c = context;

    (void)request;
    (void)user;
    (void)data;
    mr_bench_count_up(&c->shared.counts.bytes_received, size);
    return size;
}

static void on_done(void *context, mr_h3_client_request request, uint64_t user,
                    const struct mr_h3_result *result)
{
    struct client *c = context;

    (void)request;
    (void)user;
    c->asked--;
    atomic_fetch_sub_explicit(&c->shared.outstanding, 1, memory_order_relaxed);
    if (result->outcome == MR_H3_DONE && result->status == 200 && result->body_bytes == FILE_BYTES)
        mr_bench_count_up(&c->shared.counts.requests, 1);
    else
        fail(c, result->code != 0 ? result->code : result->status);
    if (!is_closing(c))
        wake_more(c);
}

static bool make_client(struct client *c, const struct mr_idle_load *load, uint64_t seed,
                        struct mr_fault *fault)
{
    const struct mr_h3_client_config config =
        mr_h3_client_config_default(load->connections, 2 * MR_IDLE_AWAKE);
    const struct mr_h3_client_callbacks callbacks = {.context = c,
                                                     .on_start = on_start,
                                                     .on_timer = on_timer,
                                                     .on_connected = on_connected,
                                                     .on_closed = on_closed,
                                                     .on_data = on_data,
                                                     .on_done = on_done};

    c->load = *load;
    mr_random_init_number(&c->random, seed);
    c->conns = calloc(load->connections, sizeof(*c->conns));
    if (c->conns == NULL) {
        mr_fault_set(fault, ENOMEM, "not enough memory for %u connections", load->connections);
        return false;
    }
    return mr_h3_client_new(&config, &callbacks, &c->h3, fault) == 0;
}

/* ------------------------------------------------------------------ life cycle */

struct mr_idle_http3 *mr_idle_http3_make(struct mr_bench *b, const struct mr_idle_load *load,
                                         struct mr_fault *fault)
{
    struct mr_bench_load served = {
        .connections = load->connections, .streams = 1, .down_bytes = FILE_BYTES};
    struct mr_idle_http3 *h = calloc(1, sizeof(*h));

    if (h == NULL) {
        mr_fault_set(fault, ENOMEM, "not enough memory");
        return NULL;
    }
    h->shards = b->config.server_shards;
    h->http3 = mr_bench_http3_serve(b, &served, fault);
    bool is_ok = h->http3 != NULL;
    for (uint32_t i = 0; is_ok && i < h->shards; i++) {
        struct server *s = &h->servers[i];
        struct client *c = &h->clients[i];

        wrap(s, mr_bench_http3_server(h->http3, i));
        is_ok = make_client(c, load, i + 1, fault);
        if (!is_ok)
            break;
        mr_bench_worker_init(&b->servers[i], &s->application, &s->shared);
        mr_bench_worker_init(&b->clients[i], mr_h3_client_application(c->h3), &c->shared);
    }
    if (is_ok)
        return h;
    mr_idle_http3_free(h);
    return NULL;
}

void mr_idle_http3_free(struct mr_idle_http3 *h)
{
    if (h == NULL)
        return;
    for (uint32_t i = 0; i < MR_SHARDS_MAX; i++) {
        if (h->clients[i].h3 != NULL)
            mr_h3_client_free(h->clients[i].h3);
        free(h->clients[i].conns);
    }
    mr_bench_http3_free(h->http3);
    free(h);
}

struct mr_idle_orders *mr_idle_http3_orders(struct mr_idle_http3 *h, uint32_t i)
{
    return &h->clients[i].orders;
}
