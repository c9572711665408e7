/* tools/demo_client.c - see demo_client.h. */
#include "tools/demo_client.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "quic/types.h"

#define TICK_NS      MR_MS
#define SMALL_MAX    65536   /* bytes of a small file */
#define LARGE_MIN    1048576 /* of a large one */
#define RANGE_BYTES  4096    /* of a large file, asked for where there are no small ones */
#define FAILURE_TEXT 200
#define STATUS_OK    200
#define STATUS_RANGE 206

/* One connection. */
struct slot {
    mr_h3_client_conn conn;
    bool is_open; /* until on_closed() */
};

/* One request; as many as connections, or as downloads. */
struct asked {
    const struct mr_site_file *file;
    uint64_t offset;   /* of the next byte in the file */
    uint64_t expected; /* bytes of the answer */
};

struct mr_demo_client {
    const struct mr_site *site;
    struct mr_connect_options connect;
    struct mr_h3_client *client;
    enum mr_demo_load load;
    bool is_ending; /* connections are being closed for another load */
    uint32_t open_count;
    uint32_t large_count; /* files [0, large_count) are large, they are sorted */
    uint32_t small_first; /* files [small_first, count) are small */
    uint32_t next_file;
    struct slot slots[MR_DEMO_CONNECTIONS];
    struct asked asked[MR_DEMO_CONNECTIONS];
    struct mr_histogram latency;
    struct mr_demo_counts counts;
    char failure[FAILURE_TEXT];
    _Atomic int wanted_load;
    _Atomic int shown_load;
};

_Static_assert(MR_DEMO_DOWNLOADS <= MR_DEMO_CONNECTIONS, "each has its struct asked");

static void count(uint64_t *field, uint64_t n)
{
    _Atomic uint64_t *counter = (_Atomic uint64_t *)field;
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);

    atomic_store_explicit(counter, value + n, memory_order_relaxed);
}

static void fail(struct mr_demo_client *c, const char *what, const char *path, const char *why)
{
    count(&c->counts.failed, 1);
    if (c->failure[0] == '\0')
        snprintf(c->failure, sizeof(c->failure), "%s %.100s: %.80s", what, path, why);
}

/* ------------------------------------------------------------------ what is asked for */

/* The files of the load: [first, end). */
static void files_of(const struct mr_demo_client *c, uint32_t *first, uint32_t *end)
{
    bool is_transfer = c->load == MR_DEMO_TRANSFER;

    *first = is_transfer ? 0 : MR_MIN(c->small_first, c->site->count - 1);
    *end = is_transfer && c->large_count > 0 ? c->large_count : c->site->count;
}

/* Ask for the next file on a connection. */
static void ask(struct mr_demo_client *c, uint32_t slot, uint32_t index)
{
    static char range[32];
    struct asked *asked = &c->asked[index];
    struct mr_h3_request_options options = {.authority = "localhost"};
    mr_h3_client_request request;
    uint32_t first;
    uint32_t end;

    files_of(c, &first, &end);
    asked->file = &c->site->files[first + c->next_file++ % (end - first)];
    asked->offset = 0;
    asked->expected = asked->file->size;
    options.path = asked->file->path;
    if (c->load == MR_DEMO_REQUESTS && asked->file->size > SMALL_MAX) {
        snprintf(range, sizeof(range), "bytes=0-%d", RANGE_BYTES - 1);
        options.range = range;
        asked->expected = RANGE_BYTES;
    }
    int result =
        mr_h3_client_request_make(c->client, c->slots[slot].conn, &options, index, &request);
    if (result != 0 && !c->is_ending)
        fail(c, "cannot ask for", asked->file->path, strerror(-result));
}

static void on_headers(void *context, mr_h3_client_request request, uint64_t user,
                       const struct mr_h3_response *response)
{
    struct mr_demo_client *c = context;
    char status[16];

    if (response->status == STATUS_OK || response->status == STATUS_RANGE)
        return;
    snprintf(status, sizeof(status), "status %u", response->status);
    fail(c, "bad answer for", c->asked[user].file->path, status);
    mr_h3_client_cancel(c->client, request);
}

static size_t on_data(void *context, mr_h3_client_request request, uint64_t user,
                      const uint8_t *data, size_t size)
{
    struct mr_demo_client *c = context;
    struct asked *asked = &c->asked[user];

    (void)request;
    if (mr_site_matches(c->site, asked->file, asked->offset, data, size)) {
        count(&c->counts.bytes, size);
    } else {
        count(&c->counts.bad_bytes, size);
        fail(c, "wrong bytes in", asked->file->path, "did it change meanwhile?");
    }
    asked->offset += size;
    return size;
}

static void on_done(void *context, mr_h3_client_request request, uint64_t user,
                    const struct mr_h3_result *result)
{
    struct mr_demo_client *c = context;
    struct asked *asked = &c->asked[user];

    (void)request;
    if (c->is_ending)
        return;
    if (result->outcome != MR_H3_DONE) {
        fail(c, "no answer for", asked->file->path, result->reason);
    } else if (asked->offset != asked->expected) {
        fail(c, "bad answer for", asked->file->path, "its size is wrong");
    } else {
        count(&c->counts.requests, 1);
        if (c->load == MR_DEMO_REQUESTS)
            mr_histogram_add(&c->latency, result->done_ns - result->sent_ns);
    }
    if (result->outcome != MR_H3_CONN_LOST)
        ask(c, c->load == MR_DEMO_TRANSFER ? 0 : (uint32_t)user, (uint32_t)user);
}

/* ------------------------------------------------------------------ connections */

static void on_connected(void *context, mr_h3_client_conn conn, uint64_t user)
{
    struct mr_demo_client *c = context;

    if (c->is_ending)
        return;
    switch (c->load) {
    case MR_DEMO_TRANSFER:
        for (uint32_t i = 0; i < MR_DEMO_DOWNLOADS; i++)
            ask(c, (uint32_t)user, i);
        break;
    case MR_DEMO_REQUESTS:
        ask(c, (uint32_t)user, (uint32_t)user);
        break;
    case MR_DEMO_HANDSHAKES:
        count(&c->counts.handshakes, 1);
        mr_h3_client_close(c->client, conn);
        break;
    case MR_DEMO_NONE:
        break;
    }
}

static void on_closed(void *context, mr_h3_client_conn conn, uint64_t user,
                      const struct mr_h3_closed *closed)
{
    struct mr_demo_client *c = context;

    (void)conn;
    c->slots[user].is_open = false;
    c->open_count--;
    if (!c->is_ending && (closed->is_remote || !closed->is_application))
        fail(c, "the connection ended", "", closed->reason);
}

static uint32_t connections_of(enum mr_demo_load load)
{
    static const uint32_t counts[] = {[MR_DEMO_NONE] = 0,
                                      [MR_DEMO_TRANSFER] = 1,
                                      [MR_DEMO_REQUESTS] = MR_DEMO_CONNECTIONS,
                                      [MR_DEMO_HANDSHAKES] = MR_DEMO_CONNECTIONS};

    return counts[load];
}

/* Connect wherever the load wants a connection and there is none. */
static void connect_all(struct mr_demo_client *c)
{
    for (uint32_t i = 0; i < connections_of(c->load); i++) {
        struct slot *slot = &c->slots[i];

        if (slot->is_open || mr_h3_client_connect(c->client, &c->connect, i, &slot->conn) != 0)
            continue; /* the limit is reached: the next tick */
        slot->is_open = true;
        c->open_count++;
    }
}

static void close_all(struct mr_demo_client *c)
{
    for (uint32_t i = 0; i < MR_DEMO_CONNECTIONS; i++) {
        if (c->slots[i].is_open)
            mr_h3_client_close(c->client, c->slots[i].conn);
    }
}

static void change_load(struct mr_demo_client *c, enum mr_demo_load wanted)
{
    if (!c->is_ending)
        close_all(c);
    c->is_ending = true;
    if (c->open_count > 0)
        return;
    c->is_ending = false;
    c->load = wanted;
    atomic_store_explicit(&c->shown_load, (int)wanted, memory_order_relaxed);
}

static void on_timer(void *context, uint64_t user)
{
    struct mr_demo_client *c = context;
    enum mr_demo_load wanted =
        (enum mr_demo_load)atomic_load_explicit(&c->wanted_load, memory_order_relaxed);

    (void)user;
    if (wanted != c->load)
        change_load(c, wanted);
    if (!c->is_ending)
        connect_all(c);
    mr_h3_client_timer(c->client, TICK_NS, 0);
}

static void on_start(void *context, struct mr_h3_client *client)
{
    struct mr_demo_client *c = context;

    c->client = client;
    mr_h3_client_timer(client, TICK_NS, 0);
}

/* ------------------------------------------------------------------ life */

static void sort_out(struct mr_demo_client *c)
{
    while (c->large_count < c->site->count && c->site->files[c->large_count].size >= LARGE_MIN)
        c->large_count++;
    c->small_first = c->site->count;
    while (c->small_first > 0 && c->site->files[c->small_first - 1].size <= SMALL_MAX)
        c->small_first--;
}

struct mr_demo_client *mr_demo_client_make(const struct mr_site *site, struct mr_address server,
                                           struct mr_fault *fault)
{
    struct mr_demo_client *c = calloc(1, sizeof(*c));
    const struct mr_h3_client_callbacks callbacks = {.context = c,
                                                     .on_start = on_start,
                                                     .on_connected = on_connected,
                                                     .on_closed = on_closed,
                                                     .on_headers = on_headers,
                                                     .on_data = on_data,
                                                     .on_done = on_done,
                                                     .on_timer = on_timer};
    const struct mr_h3_client_config config =
        mr_h3_client_config_default(2 * MR_DEMO_CONNECTIONS, 2 * MR_DEMO_CONNECTIONS);

    if (c == NULL) {
        mr_fault_set(fault, ENOMEM, "not enough memory for the client");
        return NULL;
    }
    c->site = site;
    c->connect = (struct mr_connect_options){.remote = server, .server_name = "localhost"};
    mr_histogram_init(&c->latency);
    sort_out(c);
    if (mr_h3_client_new(&config, &callbacks, &c->client, fault) == 0)
        return c;
    free(c);
    return NULL;
}

void mr_demo_client_free(struct mr_demo_client *c)
{
    if (c == NULL)
        return;
    mr_h3_client_free(c->client);
    free(c);
}

const struct mr_application *mr_demo_client_application(struct mr_demo_client *c)
{
    return mr_h3_client_application(c->client);
}

void mr_demo_client_set_load(struct mr_demo_client *c, enum mr_demo_load load)
{
    atomic_store_explicit(&c->wanted_load, (int)load, memory_order_relaxed);
}

enum mr_demo_load mr_demo_client_load(const struct mr_demo_client *c)
{
    return (enum mr_demo_load)atomic_load_explicit(&c->shown_load, memory_order_relaxed);
}

void mr_demo_client_read(const struct mr_demo_client *c, struct mr_demo_counts *out)
{
    const uint64_t *from = (const uint64_t *)(const void *)&c->counts;
    uint64_t *to = (uint64_t *)(void *)out;

    for (size_t i = 0; i < sizeof(*out) / sizeof(uint64_t); i++)
        to[i] = atomic_load_explicit((const _Atomic uint64_t *)(const void *)&from[i],
                                     memory_order_relaxed);
}

const struct mr_histogram *mr_demo_client_latency(const struct mr_demo_client *c)
{
    return &c->latency;
}

const char *mr_demo_client_failure(const struct mr_demo_client *c)
{
    return c->failure;
}
