/* tests/support/h3_pair.c - see h3_pair.h. */
#include "tests/support/h3_pair.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/compiler.h"

enum {
    PATH_ROOM = 512,
    RUN_STEPS = 2000000,
};

/* ---- files ---- */

struct h3_pair *h3_pair_new(void)
{
    struct h3_pair *pair = calloc(1, sizeof(*pair));

    MR_ASSERT(pair != NULL);
    strcpy(pair->root, "/tmp/mr-h3-XXXXXX");
    MR_ASSERT(mkdtemp(pair->root) != NULL);
    mr_pattern_init(&pair->pattern, 1);
    return pair;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

void h3_pair_free(struct h3_pair *pair)
{
    if (pair->loop != NULL)
        loop_free(pair->loop);
    mr_h3_client_free(pair->client);
    mr_h3_server_free(pair->server);
    for (uint32_t i = 0; i < pair->fetch_count; i++)
        free(pair->fetch[i].body);
    (void)nftw(pair->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(pair);
}

static const char *path_of(const struct h3_pair *pair, const char *name, char path[PATH_ROOM])
{
    int size = snprintf(path, PATH_ROOM, "%s/%s", pair->root, name);

    MR_ASSERT(size > 0 && size < PATH_ROOM);
    return path;
}

void h3_pair_write(struct h3_pair *pair, const char *name, const void *data, size_t size)
{
    char path[PATH_ROOM];
    int fd = open(path_of(pair, name, path), O_WRONLY | O_CREAT | O_TRUNC, 0644);

    MR_ASSERT(fd >= 0);
    MR_ASSERT(write(fd, data, size) == (ssize_t)size);
    close(fd);
}

void h3_pair_write_text(struct h3_pair *pair, const char *name, const char *text)
{
    h3_pair_write(pair, name, text, strlen(text));
}

void h3_pair_write_pattern(struct h3_pair *pair, const char *name, uint64_t size)
{
    static uint8_t block[65536];
    char path[PATH_ROOM];
    int fd = open(path_of(pair, name, path), O_WRONLY | O_CREAT | O_TRUNC, 0644);

    MR_ASSERT(fd >= 0);
    for (uint64_t at = 0; at < size;) {
        size_t part = (size_t)MR_MIN(size - at, (uint64_t)sizeof(block));
        mr_pattern_fill(&pair->pattern, at, block, part);
        MR_ASSERT(write(fd, block, part) == (ssize_t)part);
        at += part;
    }
    close(fd);
}

void h3_pair_mkdir(struct h3_pair *pair, const char *name)
{
    char path[PATH_ROOM];

    MR_ASSERT(mkdir(path_of(pair, name, path), 0755) == 0);
}

void h3_pair_link(struct h3_pair *pair, const char *target, const char *name)
{
    char path[PATH_ROOM];

    MR_ASSERT(symlink(target, path_of(pair, name, path)) == 0);
}

/* ---- the client's side ---- */

static void copy_text(char dst[H3_TEXT_MAX], struct mr_h3_text text)
{
    snprintf(dst, H3_TEXT_MAX, "%.*s", (int)text.size, text.data == NULL ? "" : text.data);
}

static void on_connected(void *context, mr_h3_client_conn conn, uint64_t user)
{
    struct h3_pair *pair = context;

    (void)conn;
    (void)user;
    pair->connected_count++;
}

static void on_closed(void *context, mr_h3_client_conn conn, uint64_t user,
                      const struct mr_h3_closed *closed)
{
    struct h3_pair *pair = context;

    (void)conn;
    (void)user;
    pair->closed_count++;
    pair->closed = *closed;
    pair->closed.reason = NULL;
}

static void on_goaway(void *context, mr_h3_client_conn conn, uint64_t user)
{
    struct h3_pair *pair = context;

    (void)conn;
    (void)user;
    pair->goaway_count++;
}

static void on_headers(void *context, mr_h3_client_request request, uint64_t user,
                       const struct mr_h3_response *response)
{
    struct h3_pair *pair = context;
    struct h3_fetch *fetch = &pair->fetch[user];

    MR_ASSERT(fetch->request == request);
    fetch->headers++;
    fetch->response = *response;
    copy_text(fetch->content_type, response->content_type);
    copy_text(fetch->etag, response->etag);
    copy_text(fetch->last_modified, response->last_modified);
    copy_text(fetch->location, response->location);
}

static void keep_body(struct h3_fetch *fetch, const uint8_t *data, size_t size)
{
    fetch->body = realloc(fetch->body, fetch->body_size + size + 1);
    MR_ASSERT(fetch->body != NULL);
    memcpy(fetch->body + fetch->body_size, data, size);
    fetch->body[fetch->body_size + size] = '\0';
}

static size_t on_data(void *context, mr_h3_client_request request, uint64_t user,
                      const uint8_t *data, size_t size)
{
    struct h3_pair *pair = context;
    struct h3_fetch *fetch = &pair->fetch[user];
    size_t taken = fetch->take_max == 0 ? size : MR_MIN(size, fetch->take_max);

    MR_ASSERT(!fetch->is_done);
    MR_ASSERT(fetch->headers == 1);
    if (fetch->keeps_body)
        keep_body(fetch, data, taken);
    if (fetch->checks_pattern &&
        !mr_pattern_matches(&pair->pattern, fetch->pattern_at + fetch->body_size, data, taken))
        fetch->is_wrong = true;
    fetch->body_size += taken;
    if (taken < size)
        MR_ASSERT(mr_h3_client_resume(pair->client, request) == 0);
    if (fetch->cancel_at > 0 && fetch->body_size >= fetch->cancel_at) {
        fetch->cancel_at = 0;
        MR_ASSERT(mr_h3_client_cancel(pair->client, request) == 0);
    }
    return taken;
}

static void on_done(void *context, mr_h3_client_request request, uint64_t user,
                    const struct mr_h3_result *result)
{
    struct h3_pair *pair = context;
    struct h3_fetch *fetch = &pair->fetch[user];

    MR_ASSERT(fetch->request == request);
    MR_ASSERT(!fetch->is_done);
    fetch->is_done = true;
    fetch->result = *result;
    snprintf(fetch->reason, sizeof(fetch->reason), "%s", result->reason);
    fetch->result.reason = fetch->reason;
}

/* ---- both ---- */

struct mr_h3_server_config h3_pair_server_config(const struct h3_pair *pair)
{
    struct mr_h3_server_config config = mr_h3_server_config_default(16);

    config.root = pair->root;
    config.buffer_bytes = 65536;
    config.buffers_max = 8;
    config.cache_bytes = 4 << 20;
    return config;
}

mr_h3_client_conn h3_pair_connect(struct h3_pair *pair)
{
    struct mr_connect_options options = {.server_name = "localhost"};
    mr_h3_client_conn conn = 0;
    int result = -1;

    for (int i = 0; i < 1000 && result != 0; i++) /* the loop may refuse now and then */
        result = mr_h3_client_connect(pair->client, &options, 0, &conn);
    MR_ASSERT(result == 0);
    return conn;
}

void h3_pair_make(struct h3_pair *pair, const struct mr_h3_server_config *config)
{
    struct mr_h3_client_config client = mr_h3_client_config_default(64, H3_FETCHES_MAX);
    struct mr_h3_client_callbacks callbacks = {
        .context = pair,
        .on_connected = on_connected,
        .on_closed = on_closed,
        .on_goaway = on_goaway,
        .on_headers = on_headers,
        .on_data = on_data,
        .on_done = on_done,
    };
    struct mr_fault fault = {0};

    client.is_hq = pair->is_hq;
    client.has_tunnels = pair->has_tunnels;
    client.qpack_encoder_capacity = pair->client_table;
    client.qpack_blocked_max = pair->client_blocked;
    MR_ASSERT(mr_h3_server_new(config, &pair->server, &fault) == 0);
    MR_ASSERT(mr_h3_client_new(&client, &callbacks, &pair->client, &fault) == 0);
}

void h3_pair_start(struct h3_pair *pair, const struct mr_h3_server_config *config,
                   const struct loop_config *loop)
{
    h3_pair_make(pair, config);
    pair->loop = loop_new(loop, mr_h3_client_application(pair->client),
                          mr_h3_server_application(pair->server));
    pair->conn = h3_pair_connect(pair);
}

void h3_pair_start_default(struct h3_pair *pair)
{
    struct mr_h3_server_config config = h3_pair_server_config(pair);
    struct loop_config loop = loop_config_default(1);

    h3_pair_start(pair, &config, &loop);
}

struct h3_fetch *h3_pair_begin(struct h3_pair *pair, const struct mr_h3_request_options *options)
{
    struct h3_fetch *fetch = &pair->fetch[pair->fetch_count];
    struct mr_h3_request_options full = *options;

    MR_ASSERT(pair->fetch_count < H3_FETCHES_MAX);
    *fetch = (struct h3_fetch){.keeps_body = true};
    if (full.authority == NULL)
        full.authority = "localhost";
    int result = mr_h3_client_request_make(pair->client, pair->conn, &full, pair->fetch_count,
                                           &fetch->request);
    if (result != 0) {
        fetch->is_done = true;
        fetch->result =
            (struct mr_h3_result){.outcome = MR_H3_CANCELLED, .code = (uint64_t)-result};
    }
    pair->fetch_count++;
    return fetch;
}

struct h3_fetch *h3_pair_fetch(struct h3_pair *pair, const struct mr_h3_request_options *options)
{
    struct h3_fetch *fetch = h3_pair_begin(pair, options);

    h3_pair_run(pair);
    return fetch;
}

struct h3_fetch *h3_pair_get(struct h3_pair *pair, const char *path)
{
    return h3_pair_fetch(pair, &(struct mr_h3_request_options){.path = path});
}

void h3_pair_run(struct h3_pair *pair)
{
    MR_ASSERT(loop_run(pair->loop, RUN_STEPS));
}

bool h3_pair_is_idle(const struct h3_pair *pair)
{
    struct mr_h3_server_usage usage = mr_h3_server_usage(pair->server);

    return usage.connections == 0 && usage.streams == 0 && usage.requests == 0 &&
           usage.buffers == 0 && usage.files == 0 && usage.jobs == 0 && usage.heap_bytes == 0 &&
           usage.cache_pins == 0;
}
