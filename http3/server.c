/* http3/server.c - the server as an application: memory, events, helpers' work, time; see server.h.
 */
#include "http3/server.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "http3/listing.h"
#include "http3/server_internal.h"

enum {
    TICK_NS = 200000000,
    CLOCK_TICKS = 300,        /* the wall clock is read again that often */
    TICK_EXCHANGES_MAX = 256, /* looked at for timeouts in one tick: some 10 us */
    BUFFER_BYTES_MIN = 65536,
    BUFFER_BYTES_MAX = 262144,
};

_Static_assert((int)MR_LISTING_ROOM_MIN <= (int)BUFFER_BYTES_MIN, "a listing fits a buffer");

/* ---- configuration ---- */

struct mr_h3_server_config mr_h3_server_config_default(uint32_t connections)
{
    return (struct mr_h3_server_config){
        .index = "index.html",
        .connections_max = connections,
        .requests_max = MR_MIN(MR_MAX(4 * connections, 256u), 16384u),
        .requests_per_conn_max = 128,
        .field_section_max = 16384,
        .fields_max = 128,
        .qpack_capacity = 4096,
        .buffer_bytes = BUFFER_BYTES_MAX,
        .buffers_max = 256,
        .buffers_per_request_max = 32,
        .cache_bytes = (size_t)64 << 20,
        .cache_entry_max = (size_t)1 << 20,
        .cache_fresh_ns = UINT64_C(1000000000),
        .request_timeout_ns = UINT64_C(10000000000),
        .stall_timeout_ns = UINT64_C(60000000000),
    };
}

static const char *config_error(const struct mr_h3_server_config *c)
{
    if (c->root == NULL)
        return "no directory to serve; name one";
    if (c->connections_max == 0 || c->requests_max == 0 || c->requests_per_conn_max == 0)
        return "no room for a connection and a request; allow one each";
    if (c->field_section_max < 1024 || c->field_section_max > 65536 || c->fields_max < 8)
        return "limits of field sections out of range; use 1024 to 65536 bytes and 8 fields or "
               "more";
    if (c->qpack_capacity > MR_QPACK_TABLE_MAX || c->qpack_encoder_capacity > MR_QPACK_TABLE_MAX)
        return "QPACK table out of range; use at most 65536 bytes";
    if (c->qpack_blocked_max > MR_QPACK_BLOCKED_MAX)
        return "too many streams may wait for QPACK; use at most 1024";
    if (c->buffer_bytes < BUFFER_BYTES_MIN || c->buffer_bytes > BUFFER_BYTES_MAX ||
        (c->buffer_bytes & (c->buffer_bytes - 1)) != 0)
        return "file buffer size out of range; use 65536, 131072 or 262144 bytes";
    if (c->buffers_max < 2 || c->buffers_per_request_max < 2)
        return "too few file buffers; allow two";
    if (c->index != NULL &&
        (strlen(c->index) >= MR_INDEX_NAME_MAX || strchr(c->index, '/') != NULL))
        return "the index is not the name of a file; leave its directory out";
    return NULL;
}

static struct mr_h3_limits limits_of(const struct mr_h3_server_config *config)
{
    return (struct mr_h3_limits){
        .connections_max = config->connections_max,
        .requests_max = config->requests_max,
        .field_section_max = config->field_section_max,
        .fields_max = config->fields_max,
        .qpack_capacity = config->qpack_capacity,
        .qpack_blocked_max = config->qpack_blocked_max,
        .qpack_encoder_capacity = config->qpack_encoder_capacity,
        .has_tunnels = config->tunnels != NULL,
        .heap_bytes = config->heap_bytes,
    };
}

/* ---- memory ---- */

/* The regions behind the server itself; buffers begin on a page. */
struct layout {
    size_t exchanges;
    size_t conn_exchanges;
    size_t buffers;
    size_t tunnels;
    size_t layer;
    size_t cache;
    size_t buffer_memory;
    size_t end;
};

static size_t place(size_t *at, size_t size, size_t align)
{
    size_t begin = (*at + align - 1) & ~(align - 1);

    *at = begin + size;
    return begin;
}

static struct layout layout_of(const struct mr_h3_server_config *config)
{
    struct mr_h3_limits limits = limits_of(config);
    size_t at = sizeof(struct mr_h3_server);
    struct layout l;

    l.exchanges = place(
        &at, mr_pool_footprint(config->requests_max, sizeof(struct mr_exchange), MR_CACHE_LINE),
        MR_CACHE_LINE);
    l.conn_exchanges = place(&at, config->connections_max * sizeof(uint32_t), MR_CACHE_LINE);
    l.buffers = place(
        &at, mr_pool_footprint(config->buffers_max, sizeof(struct mr_file_buffer), MR_CACHE_LINE),
        MR_CACHE_LINE);
    l.tunnels = place(
        &at, mr_pool_footprint(config->tunnels_max, sizeof(struct mr_http3_tunnel), MR_CACHE_LINE),
        MR_CACHE_LINE);
    l.layer = place(&at, mr_h3_footprint(&limits), MR_CACHE_LINE);
    l.cache = place(&at, mr_cache_footprint(config->cache_bytes), MR_CACHE_LINE);
    l.buffer_memory = place(&at, (size_t)config->buffers_max * config->buffer_bytes, 4096);
    l.end = at;
    return l;
}

size_t mr_h3_server_footprint(const struct mr_h3_server_config *config)
{
    return layout_of(config).end;
}

/* ---- time ---- */

static int64_t transport_ns(const struct mr_h3_server *server)
{
    struct mr_transport *t = server->h3.transport;

    return (int64_t)t->ops->now(t);
}

int64_t mr_server_wall_second(struct mr_h3_server *server)
{
    return (transport_ns(server) + server->clock_offset_ns) / 1000000000;
}

const char *mr_server_date(struct mr_h3_server *server)
{
    int64_t second = mr_server_wall_second(server);
    const struct mr_field_line line = {"date", {server->date, MR_DATE_SIZE}};

    if (second != server->date_second) {
        server->date_second = second;
        mr_date_format(server->date, second);
        (void)mr_h3_lines_make(&server->h3, &line, 1, &server->date_lines); /* it fits */
    }
    return server->date;
}

const struct mr_h3_lines *mr_server_date_lines(struct mr_h3_server *server)
{
    (void)mr_server_date(server);
    return &server->date_lines;
}

/* ---- helpers' work ---- */

static bool give_work(struct mr_h3_server *server, struct mr_file_job *job)
{
    struct mr_transport *t = server->h3.transport;

    return t->ops->work(t, mr_file_job_run, job, job->user_data) == 0;
}

void mr_server_submit(struct mr_h3_server *server, struct mr_file_job *job, uint64_t tag,
                      uint64_t index)
{
    job->user_data = mr_h3_tagged(tag, index);
    job->next = NULL;
    server->jobs_out++;
    if (server->jobs == NULL && give_work(server, job))
        return;
    mr_count(&server->counters.work_waits);
    *server->jobs_tail = job;
    server->jobs_tail = &job->next;
    mr_h3_want_retry(&server->h3);
}

/* The work queue may have room again. */
static void submit_waiting(struct mr_h3_server *server)
{
    while (server->jobs != NULL) {
        struct mr_file_job *job = server->jobs;
        struct mr_file_job *next = job->next; /* a helper may have it a moment later */
        if (!give_work(server, job)) {
            mr_h3_want_retry(&server->h3);
            return;
        }
        server->jobs = next;
        if (next == NULL)
            server->jobs_tail = &server->jobs;
    }
}

static void on_work_done(struct mr_h3_server *server, const struct mr_event *event)
{
    uint32_t index = (uint32_t)event->user_data;

    server->jobs_out--;
    submit_waiting(server);
    switch (mr_h3_tag_of(event->user_data)) {
    case MR_SERVER_TAG_EXCHANGE:
        mr_exchange_job_done(server, mr_pool_at(&server->exchanges, index));
        break;
    case MR_SERVER_TAG_BUFFER:
        mr_transfer_read_done(server, mr_pool_at(&server->buffers, index));
        break;
    case MR_SERVER_TAG_CLOCK:
        server->is_clock_out = false;
        server->clock_offset_ns = server->clock_job.clock_ns - transport_ns(server);
        break;
    default:
        break;
    }
}

/* ---- five times a second ---- */

static void arm_tick(struct mr_h3_server *server)
{
    struct mr_transport *t = server->h3.transport;

    if (!server->is_tick_armed)
        server->is_tick_armed = t->ops->timer(t, TICK_NS, mr_h3_tagged(MR_SERVER_TAG_TICK, 0)) == 0;
}

static bool is_timed_out(const struct mr_h3_server *server, const struct mr_exchange *x,
                         uint64_t now)
{
    uint64_t idle = now - x->progress_ns;

    if (x->state == MR_EXCHANGE_RECEIVING)
        return idle > server->config.request_timeout_ns;
    if (x->state == MR_EXCHANGE_SENDING || x->state == MR_EXCHANGE_SENT)
        return idle > server->config.stall_timeout_ns;
    return false; /* it waits for us, not for the peer */
}

/* A part of the exchanges each time, so that a tick stays short; all get their turn. */
static void expire_exchanges(struct mr_h3_server *server)
{
    uint64_t now = (uint64_t)transport_ns(server);
    uint32_t count = MR_MIN(server->exchanges.fresh, (uint32_t)TICK_EXCHANGES_MAX);

    for (uint32_t i = 0; i < count; i++) {
        if (server->expire_index >= server->exchanges.fresh)
            server->expire_index = 0;
        struct mr_exchange *x = mr_pool_at(&server->exchanges, server->expire_index++);
        if (x->is_live && is_timed_out(server, x, now)) {
            mr_count(&server->counters.requests_timed_out);
            mr_exchange_abort(server, x, MR_H3_REQUEST_CANCELLED);
        }
    }
}

static void on_tick(struct mr_h3_server *server)
{
    server->is_tick_armed = false;
    expire_exchanges(server);
    mr_count_add(&server->counters.cache_evictions,
                 server->cache.evictions - server->counters.cache_evictions);
    if (++server->ticks % CLOCK_TICKS == 0 && !server->is_clock_out) {
        server->is_clock_out = true;
        server->clock_job.kind = MR_FILE_JOB_CLOCK;
        mr_server_submit(server, &server->clock_job, MR_SERVER_TAG_CLOCK, 0);
    }
}

/* ---- the application ---- */

static void on_other(void *context, const struct mr_event *event)
{
    struct mr_h3_server *server = context;

    if ((event->kinds & MR_EVENT_WORK_DONE) != 0)
        on_work_done(server, event);
    else if (mr_h3_tag_of(event->user_data) == MR_SERVER_TAG_TICK)
        on_tick(server);
}

static void on_retry(void *context)
{
    struct mr_h3_server *server = context;

    submit_waiting(server);
    mr_exchange_user.on_retry(server);
}

static void on_start(void *context, struct mr_transport *transport)
{
    struct mr_h3_server *server = context;
    struct layout l = layout_of(&server->config);
    uint8_t *base = (uint8_t *)server;
    struct mr_h3_user user = mr_exchange_user;

    user.context = server;
    user.on_other = on_other;
    user.on_retry = on_retry;
    mr_h3_init(&server->h3, base + l.layer, &server->limits, true, &user, &server->counters,
               transport);
    server->h3.speaks_hq = server->config.has_hq;
    mr_pool_init(&server->exchanges, base + l.exchanges, server->config.requests_max,
                 sizeof(struct mr_exchange), MR_CACHE_LINE);
    mr_pool_init(&server->buffers, base + l.buffers, server->config.buffers_max,
                 sizeof(struct mr_file_buffer), MR_CACHE_LINE);
    mr_pool_init(&server->tunnels, base + l.tunnels, server->config.tunnels_max,
                 sizeof(struct mr_http3_tunnel), MR_CACHE_LINE);
    mr_cache_init(&server->cache, base + l.cache, server->config.cache_bytes, &server->hash_key);
    server->conn_exchanges = (uint32_t *)(void *)(base + l.conn_exchanges);
    server->buffer_memory = base + l.buffer_memory;
    server->waiting_tail = &server->waiting;
    server->jobs_tail = &server->jobs;
    server->clock_offset_ns = mr_file_clock_ns() - transport_ns(server);
    server->heap_base = server->h3.heap.used_bytes;
    server->date_second = -1;
    server->is_started = true;
    arm_tick(server);
}

static void on_events(void *context, const struct mr_event *events, size_t count)
{
    struct mr_h3_server *server = context;

    mr_h3_on_events(&server->h3, events, count);
    arm_tick(server);
}

/* The transport has ended: what is still open is closed here. */
static void on_stop(void *context)
{
    struct mr_h3_server *server = context;

    for (uint32_t i = 0; i < server->exchanges.fresh; i++) {
        const struct mr_exchange *x = mr_pool_at(&server->exchanges, i);
        if (x->is_live && x->fd >= 0)
            close(x->fd);
    }
    mr_h3_fini(&server->h3);
    server->is_started = false;
}

/* ---- making and freeing ---- */

static int root_fault(struct mr_fault *fault, const char *root, int error)
{
    const char *remedy = error == EACCES    ? "let this user read and enter it"
                         : error == ENOTDIR ? "name a directory"
                                            : "name a directory that exists";

    return mr_fault_set(fault, error, "cannot serve %s: %s; %s", root, strerror(error), remedy);
}

static struct mr_h3_server *map_server(const struct mr_h3_server_config *config)
{
    size_t footprint = mr_h3_server_footprint(config);
    struct mr_h3_server *server = mmap(NULL, footprint, PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (server == MAP_FAILED)
        return NULL;
    server->footprint = footprint;
    return server;
}

static int random_key(struct mr_siphash_key *key)
{
    uint8_t bytes[MR_SIPHASH_KEY_SIZE];

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return -errno;
    *key = mr_siphash_key(bytes);
    return 0;
}

int mr_h3_server_new(const struct mr_h3_server_config *config, struct mr_h3_server **server_out,
                     struct mr_fault *fault)
{
    const char *error = config_error(config);
    struct mr_siphash_key key;

    if (error != NULL)
        return mr_fault_set(fault, EINVAL, "HTTP/3 server: %s", error);
    if (random_key(&key) != 0)
        return mr_fault_set(fault, errno, "HTTP/3 server: no random numbers: %s; mount /dev",
                            strerror(errno));
    int root_fd = mr_file_open_root(config->root);
    if (root_fd < 0)
        return root_fault(fault, config->root, -root_fd);
    struct mr_h3_server *server = map_server(config);
    if (server == NULL) {
        int result = mr_fault_set(fault, errno,
                                  "HTTP/3 server: no %zu MiB of memory; configure a smaller cache, "
                                  "fewer buffers or connections",
                                  mr_h3_server_footprint(config) >> 20);
        close(root_fd);
        return result;
    }
    server->config = *config;
    server->config.root = NULL; /* not ours to keep */
    server->config.index = NULL;
    server->has_index = config->index != NULL;
    if (server->has_index)
        memcpy(server->index, config->index, strlen(config->index) + 1);
    server->limits = limits_of(config);
    server->hash_key = key;
    server->root_fd = root_fd;
    server->application = (struct mr_application){
        .name = "HTTP/3 server",
        .context = server,
        .on_start = on_start,
        .on_events = on_events,
        .on_stop = on_stop,
        .remembered = mr_h3_remembered(&server->limits),
    };
    *server_out = server;
    return 0;
}

void mr_h3_server_free(struct mr_h3_server *server)
{
    if (server == NULL)
        return;
    MR_ASSERT(!server->is_started);
    close(server->root_fd);
    munmap(server, server->footprint);
}

const struct mr_application *mr_h3_server_application(struct mr_h3_server *server)
{
    return &server->application;
}

const struct mr_h3_counters *mr_h3_server_counters(const struct mr_h3_server *server)
{
    return &server->counters;
}

static size_t bytes_in_use(const struct mr_h3_server *server)
{
    const struct mr_pool *conns = &server->h3.conns;
    size_t map = mr_handle_map_footprint(conns->count + 1) / (conns->count + 1);

    return conns->used * (conns->stride + map) +
           (size_t)server->h3.streams.used * server->h3.streams.stride +
           (size_t)server->exchanges.used * server->exchanges.stride +
           (server->h3.heap.used_bytes - server->heap_base);
}

struct mr_h3_server_usage mr_h3_server_usage(const struct mr_h3_server *server)
{
    return (struct mr_h3_server_usage){
        .connections = server->h3.conns.used,
        .streams = server->h3.streams.used,
        .requests = server->exchanges.used,
        .buffers = server->buffers.used,
        .files = server->files_open,
        .jobs = server->jobs_out,
        .heap_bytes = server->h3.heap.used_bytes - server->heap_base,
        .cache_bytes = server->cache.heap.used_bytes,
        .cache_pins = server->cache.pins,
        .bytes = bytes_in_use(server),
    };
}
