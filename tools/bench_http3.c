/* tools/bench_http3.c - see bench_http3.h. */
#include "tools/bench_http3.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "tools/scratch.h"

#define PATTERN_SEED      1
#define CHUNK             65536 /* bytes of the file written at once */
#define RETRY_NS          1000000
#define HELPERS_PER_SHARD 2

/* A request that is made again and again on one connection. */
struct loop {
    mr_h3_client_conn conn;
    uint64_t received;
};

struct client {
    struct mr_h3_client *h3;
    const struct mr_pattern *pattern;
    const struct mr_bench_load *load;
    struct mr_bench_shared shared;
    uint32_t begun; /* connections, ever */
    uint32_t connecting;
    struct loop *loops; /* load->connections * load->streams: those of connection 0 first */
};

struct mr_bench_http3 {
    struct mr_pattern pattern;
    struct mr_bench_load load;
    const char *folder; /* of the file that is served */
    struct mr_h3_server *servers[MR_SHARDS_MAX];
    struct mr_bench_shared server_shared[MR_SHARDS_MAX];
    struct client clients[MR_SHARDS_MAX];
};

/* ------------------------------------------------------------------ the clients' load */

static bool is_stopped(const struct client *c)
{
    return atomic_load_explicit(&c->shared.is_stopped, memory_order_relaxed);
}

/* `error`: of HTTP/3 or the transport, or an errno; the last one is reported. */
static void count_failure(struct client *c, uint64_t error)
{
    if (is_stopped(c))
        return;
    mr_bench_count_up(&c->shared.counts.failed, 1);
    mr_bench_count_up(&c->shared.counts.last_error, error - c->shared.counts.last_error);
}

static void ask(struct client *c, struct loop *loop)
{
    static const struct mr_h3_request_options options = {.authority = "localhost",
                                                         .path = MR_BENCH_HTTP3_FILE};
    mr_h3_client_request request;

    if (is_stopped(c))
        return;
    loop->received = 0;
    int answer = mr_h3_client_request_make(c->h3, loop->conn, &options, (uint64_t)(loop - c->loops),
                                           &request);
    if (answer != 0)
        count_failure(c, (uint64_t)-answer);
}

static void connect_more(struct client *c)
{
    struct mr_connect_options options = {.remote = c->load->server, .server_name = "localhost"};

    while (c->begun < c->load->connections && c->connecting < c->load->connects_at_once &&
           !is_stopped(c)) {
        mr_h3_client_conn conn;

        if (mr_h3_client_connect(c->h3, &options, c->begun, &conn) != 0) {
            mr_h3_client_timer(c->h3, RETRY_NS, 0);
            return;
        }
        c->begun++;
        c->connecting++;
    }
}

static void on_start(void *context, struct mr_h3_client *h3)
{
    (void)context;
    mr_h3_client_timer(h3, RETRY_NS, 0); /* the server's lcore starts as well */
}

static void on_timer(void *context, uint64_t user)
{
    (void)user;
    connect_more(context);
}

static void on_connected(void *context, mr_h3_client_conn conn, uint64_t user)
{
    struct client *c = context;
    struct loop *loops = &c->loops[user * c->load->streams];

    c->connecting--;
    mr_bench_count_up(&c->shared.counts.connected, 1);
    for (uint32_t i = 0; i < c->load->streams; i++) {
        loops[i].conn = conn;
        ask(c, &loops[i]);
    }
    connect_more(c);
}

static void on_closed(void *context, mr_h3_client_conn conn, uint64_t user,
                      const struct mr_h3_closed *closed)
{
    struct client *c = context;

    (void)conn;
    (void)user;
    if (!closed->was_connected)
        c->connecting--;
    mr_bench_count_up(&c->shared.counts.closed, 1);
    count_failure(c, closed->code);
}

static size_t on_data(void *context, mr_h3_client_request request, uint64_t user,
                      const uint8_t *data, size_t size)
{
    struct client *c = context;
    struct loop *loop = &c->loops[user];

    (void)request;
    if (c->load->is_verified && !mr_pattern_matches(c->pattern, loop->received, data, size))
        mr_bench_count_up(&c->shared.counts.bad_bytes, 1);
    loop->received += size;
    mr_bench_count_up(&c->shared.counts.bytes_received, size);
    return size;
}

static void on_done(void *context, mr_h3_client_request request, uint64_t user,
                    const struct mr_h3_result *result)
{
    struct client *c = context;

    (void)request;
    if (result->outcome == MR_H3_CONN_LOST)
        return; /* on_closed counts */
    if (result->outcome != MR_H3_DONE || result->status != 200 ||
        result->body_bytes != c->load->down_bytes) {
        count_failure(c, result->code != 0 ? result->code : result->status);
    } else {
        mr_bench_count_up(&c->shared.counts.requests, 1);
        if (atomic_load_explicit(&c->shared.is_measuring, memory_order_relaxed))
            mr_histogram_add(c->shared.latency, result->done_ns - result->sent_ns);
    }
    ask(c, &c->loops[user]);
}

/* ------------------------------------------------------------------ the file */

static bool write_content(const struct mr_bench_http3 *h, int fd)
{
    static uint8_t chunk[CHUNK];

    for (uint64_t at = 0; at < h->load.down_bytes;) {
        size_t size = (size_t)MR_MIN(h->load.down_bytes - at, (uint64_t)CHUNK);

        mr_pattern_fill(&h->pattern, at, chunk, size);
        if (write(fd, chunk, size) != (ssize_t)size)
            return false;
        at += size;
    }
    return true;
}

static bool make_file(struct mr_bench_http3 *h, struct mr_fault *fault)
{
    char path[MR_SCRATCH_MAX + sizeof(MR_BENCH_HTTP3_FILE)];

    h->folder = mr_scratch_make(fault);
    if (h->folder == NULL)
        return false;
    snprintf(path, sizeof(path), "%s%s", h->folder, MR_BENCH_HTTP3_FILE);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool is_ok = fd >= 0 && write_content(h, fd);
    if (!is_ok)
        mr_fault_set(fault, errno, "cannot write %s: %s; make room there", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return is_ok;
}

/* ------------------------------------------------------------------ life cycle */

static bool make_servers(struct mr_bench_http3 *h, struct mr_bench *b, struct mr_fault *fault)
{
    uint32_t requests = h->load.connections * h->load.streams * 2; /* some still end */
    struct mr_h3_server_config config = mr_h3_server_config_default(h->load.connections);

    config.root = h->folder;
    config.requests_max = MR_MAX(config.requests_max, requests);
    config.requests_per_conn_max = MR_MAX(config.requests_per_conn_max, h->load.streams * 2);
    for (uint32_t i = 0; i < b->config.server_shards; i++) {
        if (mr_h3_server_new(&config, &h->servers[i], fault) != 0)
            return false;
        mr_bench_worker_init(&b->servers[i], mr_h3_server_application(h->servers[i]),
                             &h->server_shared[i]);
    }
    return true;
}

static bool make_clients(struct mr_bench_http3 *h, struct mr_bench *b, struct mr_fault *fault)
{
    uint32_t requests = h->load.connections * h->load.streams;
    struct mr_h3_client_config config =
        mr_h3_client_config_default(h->load.connections, requests * 2); /* some still end */

    for (uint32_t i = 0; i < b->config.client_shards; i++) {
        struct client *c = &h->clients[i];
        struct mr_h3_client_callbacks callbacks = {.context = c,
                                                   .on_start = on_start,
                                                   .on_timer = on_timer,
                                                   .on_connected = on_connected,
                                                   .on_closed = on_closed,
                                                   .on_data = on_data,
                                                   .on_done = on_done};

        c->pattern = &h->pattern;
        c->load = &h->load;
        c->loops = calloc(requests, sizeof(*c->loops));
        if (c->loops == NULL) {
            mr_fault_set(fault, ENOMEM, "not enough memory for %u requests", requests);
            return false;
        }
        if (mr_h3_client_new(&config, &callbacks, &c->h3, fault) != 0)
            return false;
        mr_bench_worker_init(&b->clients[i], mr_h3_client_application(c->h3), &c->shared);
    }
    return true;
}

struct mr_bench_http3 *mr_bench_http3_serve(struct mr_bench *b, const struct mr_bench_load *load,
                                            struct mr_fault *fault)
{
    struct mr_bench_http3 *h = calloc(1, sizeof(*h));

    if (h == NULL) {
        mr_fault_set(fault, ENOMEM, "not enough memory");
        return NULL;
    }
    h->load = *load;
    mr_pattern_init(&h->pattern, PATTERN_SEED);
    b->config.alpn = (const uint8_t *)"\002h3";
    b->config.alpn_size = 3;
    b->config.helper_count =
        MR_MIN(HELPERS_PER_SHARD * b->config.server_shards, (uint32_t)MR_WORK_HELPERS_MAX);
    if (make_file(h, fault) && make_servers(h, b, fault))
        return h;
    mr_bench_http3_free(h);
    return NULL;
}

struct mr_h3_server *mr_bench_http3_server(const struct mr_bench_http3 *h, uint32_t i)
{
    return h->servers[i];
}

struct mr_bench_http3 *mr_bench_http3_start(struct mr_bench *b, const struct mr_bench_load *load,
                                            struct mr_fault *fault)
{
    struct mr_bench_http3 *h = mr_bench_http3_serve(b, load, fault);

    if (h == NULL || (make_clients(h, b, fault) && mr_bench_launch(b, fault)))
        return h;
    mr_bench_http3_free(h);
    return NULL;
}

void mr_bench_http3_free(struct mr_bench_http3 *h)
{
    if (h == NULL)
        return;
    for (uint32_t i = 0; i < MR_SHARDS_MAX; i++) {
        if (h->servers[i] != NULL)
            mr_h3_server_free(h->servers[i]);
        if (h->clients[i].h3 != NULL)
            mr_h3_client_free(h->clients[i].h3);
        free(h->clients[i].loops);
    }
    mr_scratch_remove();
    free(h);
}
