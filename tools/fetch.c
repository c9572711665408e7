/* tools/fetch.c - see fetch.h. */
#include "tools/fetch.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/pool.h"
#include "quic/types.h"

#define TICKET_WAIT_NS (1000 * MR_MS) /* for a ticket, when all else is there */
#define TICK_NS        (20 * MR_MS)
#define PIPE_BYTES     4096 /* that a ready pipe takes without blocking */
#define PIPE_POLL      100  /* ms */
#define OK_STATUS      200
#define PARTIAL        206 /* an answer to a range, and none is ever asked for */
#define NOT_CONTENT    300 /* this status and above carries no content that was asked for */

/* ------------------------------------------------------------------ the helper's side */

/* Wait until the pipe takes bytes; false: given up. */
static bool wait_for_reader(const struct mr_fetcher *f, int fd)
{
    struct pollfd pipe = {.fd = fd, .events = POLLOUT};

    while (poll(&pipe, 1, PIPE_POLL) == 0) {
        if (atomic_load_explicit(&f->wants_cancel, memory_order_relaxed))
            return false;
    }
    return true;
}

/* Write all of a buffer.  0 or -errno. */
static int64_t write_buffer(void *argument)
{
    const struct mr_fetch_buffer *b = argument;
    const struct mr_fetch *fetch = &b->fetcher->fetches[b->fetch];
    uint32_t at = 0;

    while (at < b->size) {
        size_t size = fetch->is_stream ? MR_MIN(b->size - at, (uint32_t)PIPE_BYTES) : b->size - at;

        if (fetch->is_stream && !wait_for_reader(b->fetcher, fetch->fd))
            return -EINTR;
        ssize_t done = write(fetch->fd, b->data + at, size);
        if (done < 0 && errno != EINTR && errno != EAGAIN)
            return -errno;
        at += done > 0 ? (uint32_t)done : 0;
    }
    return 0;
}

/* ------------------------------------------------------------------ ends */

static uint32_t index_of(const struct mr_fetcher *f, const struct mr_fetch *fetch)
{
    return (uint32_t)(fetch - f->fetches);
}

static void keep(char *to, size_t room, const char *text)
{
    snprintf(to, room, "%s", text);
}

/* Publish: nothing of the fetcher is touched by the lcore afterwards. */
static void finish(struct mr_fetcher *f)
{
    atomic_store_explicit(&f->is_over, true, memory_order_release); /* mr_fetcher_is_over() */
}

/* What its paths carried, while the connection is there. */
static void note_paths(struct mr_fetcher *f)
{
    struct mr_path_call call = {
        .kind = MR_PATH_CALL_LIST, .out = f->path_info, .room = MR_COUNT_OF(f->path_info)};
    int64_t count = mr_h3_client_path(f->client, f->conn, &call);

    if (count > 0)
        f->path_info_count = (uint32_t)count;
}

/* Everything is there or given up: close the connection; on_closed() finishes. */
static void end_all(struct mr_fetcher *f, enum mr_fetcher_end end)
{
    if (f->end != MR_FETCHER_RUNNING)
        return;
    f->end = end;
    if (f->conn == 0)
        return;
    mr_h3_client_conn_info(f->client, f->conn, &f->info);
    if (f->path_count > 0)
        note_paths(f);
    mr_h3_client_close(f->client, f->conn);
}

/* Take the newest ticket along.  False: it has not come, and may come yet. */
static bool take_ticket(struct mr_fetcher *f)
{
    uint64_t now = mr_h3_client_now(f->client);
    int64_t size = f->ticket == NULL
                       ? 0
                       : mr_h3_client_ticket(f->client, f->conn, f->ticket, MR_FETCH_TICKET_MAX);

    if (size > 0)
        f->ticket_size = (size_t)size;
    if (f->ticket == NULL || size != 0)
        return true;
    if (f->ticket_until_ns == 0)
        f->ticket_until_ns = now + TICKET_WAIT_NS;
    return now >= f->ticket_until_ns;
}

/* Everything is there. */
static void end_well(struct mr_fetcher *f)
{
    if (f->end == MR_FETCHER_RUNNING && take_ticket(f))
        end_all(f, MR_FETCHER_DONE);
}

static void begin_fetches(struct mr_fetcher *f);

/* All of a fetch is over, its message and its writes: the next one. */
static void settle(struct mr_fetcher *f, struct mr_fetch *fetch)
{
    if (!fetch->is_open || !fetch->is_received || fetch->writes_out > 0)
        return;
    fetch->is_open = false;
    f->active--;
    if (fetch->end == MR_FETCH_PENDING)
        fetch->end = MR_FETCH_DONE;
    if (fetch->end == MR_FETCH_CONN_LOST)
        return; /* on_closed() follows */
    begin_fetches(f);
    if (f->active == 0 && f->next == f->fetch_count)
        end_well(f);
}

/* The first reason counts. */
static void fail(struct mr_fetch *fetch, enum mr_fetch_end end, int error, const char *reason)
{
    if (fetch->end != MR_FETCH_PENDING)
        return;
    fetch->end = end;
    fetch->error = error;
    keep(fetch->reason, sizeof(fetch->reason), reason);
}

/* ------------------------------------------------------------------ buffers */

static bool take_buffer(struct mr_fetcher *f, struct mr_fetch *fetch)
{
    if (fetch->filling != MR_NONE)
        return true;
    if (f->buffer_free_count == 0)
        return false;
    fetch->filling = f->buffer_free[--f->buffer_free_count];
    struct mr_fetch_buffer *b = &f->buffers[fetch->filling];
    b->fetch = index_of(f, fetch);
    b->size = 0;
    return true;
}

static void give_buffer(struct mr_fetcher *f, uint32_t index)
{
    f->buffer_free[f->buffer_free_count++] = index;
}

/* Have a helper write what is in the fetch's buffer. */
static void write_out(struct mr_fetcher *f, struct mr_fetch *fetch)
{
    uint32_t index = fetch->filling;

    fetch->filling = MR_NONE;
    if (index == MR_NONE)
        return;
    /* There are fewer buffers than places in the queue of work: it is never full. */
    if (f->buffers[index].size > 0 && fetch->end == MR_FETCH_PENDING &&
        mr_h3_client_work(f->client, write_buffer, &f->buffers[index], index) == 0) {
        fetch->writes_out++;
        f->writes_out++;
    } else {
        give_buffer(f, index);
    }
}

/* If a buffer is free, one of those that wait goes on. */
static void resume_one(struct mr_fetcher *f)
{
    for (uint32_t i = 0; f->buffer_free_count > 0 && i < f->fetch_count; i++) {
        struct mr_fetch *fetch = &f->fetches[i];

        if (!fetch->is_paused)
            continue;
        fetch->is_paused = false;
        mr_h3_client_resume(f->client, fetch->request);
        return;
    }
}

static void on_work_done(void *context, uint64_t user, int64_t result)
{
    struct mr_fetcher *f = context;
    struct mr_fetch *fetch = &f->fetches[f->buffers[user].fetch];

    fetch->writes_out--;
    f->writes_out--;
    f->progress_ns = mr_h3_client_now(f->client);
    give_buffer(f, (uint32_t)user);
    if (result < 0) {
        fail(fetch, MR_FETCH_WRITE, (int)-result, "");
        if (!fetch->is_received)
            mr_h3_client_cancel(f->client, fetch->request);
    }
    resume_one(f);
    settle(f, fetch);
}

/* ------------------------------------------------------------------ a response */

static void keep_text(char to[MR_FETCH_TEXT], struct mr_h3_text from)
{
    size_t size = from.data == NULL ? 0 : MR_MIN(from.size, (size_t)MR_FETCH_TEXT - 1);

    for (size_t i = 0; i < size; i++) /* a server's text reaches a terminal */
        to[i] = (unsigned char)from.data[i] < 0x20 || from.data[i] == 0x7f ? '?' : from.data[i];
    to[size] = '\0';
}

static void on_headers(void *context, mr_h3_client_request request, uint64_t user,
                       const struct mr_h3_response *response)
{
    struct mr_fetcher *f = context;
    struct mr_fetch *fetch = &f->fetches[user];

    fetch->status = response->status;
    fetch->content_length = response->content_length;
    keep_text(fetch->content_type, response->content_type);
    keep_text(fetch->etag, response->etag);
    keep_text(fetch->last_modified, response->last_modified);
    keep_text(fetch->location, response->location);
    keep_text(fetch->server, response->server);
    f->progress_ns = mr_h3_client_now(f->client);
    atomic_store_explicit(&fetch->expected, response->content_length, memory_order_relaxed);
    if (response->status < OK_STATUS || response->status >= NOT_CONTENT ||
        response->status == PARTIAL) {
        fail(fetch, MR_FETCH_STATUS, 0, "");
        mr_h3_client_cancel(f->client, request);
    }
}

static size_t on_data(void *context, mr_h3_client_request request, uint64_t user,
                      const uint8_t *data, size_t size)
{
    struct mr_fetcher *f = context;
    struct mr_fetch *fetch = &f->fetches[user];
    size_t taken = 0;

    (void)request;
    f->progress_ns = mr_h3_client_now(f->client);
    if (fetch->fd < 0 || fetch->end != MR_FETCH_PENDING)
        taken = size;
    while (taken < size) {
        if (!take_buffer(f, fetch)) {
            fetch->is_paused = true;
            break;
        }
        struct mr_fetch_buffer *b = &f->buffers[fetch->filling];
        uint32_t piece = (uint32_t)MR_MIN(size - taken, (size_t)(MR_FETCH_BUFFER - b->size));

        memcpy(b->data + b->size, data + taken, piece);
        b->size += piece;
        taken += piece;
        if (b->size == MR_FETCH_BUFFER)
            write_out(f, fetch);
    }
    uint64_t received = atomic_load_explicit(&fetch->received, memory_order_relaxed);
    atomic_store_explicit(&fetch->received, received + taken, memory_order_relaxed);
    return taken;
}

static void on_done(void *context, mr_h3_client_request request, uint64_t user,
                    const struct mr_h3_result *result)
{
    struct mr_fetcher *f = context;
    struct mr_fetch *fetch = &f->fetches[user];

    (void)request;
    fetch->is_received = true;
    fetch->is_paused = false;
    fetch->sent_ns = result->sent_ns;
    fetch->first_byte_ns = result->first_byte_ns;
    fetch->done_ns = result->done_ns;
    switch (result->outcome) {
    case MR_H3_DONE: /* the end comes with the last write */
        break;
    case MR_H3_CONN_LOST:
        fail(fetch, MR_FETCH_CONN_LOST, 0, result->reason);
        break;
    case MR_H3_CANCELLED:
    case MR_H3_RESET:
    case MR_H3_REJECTED:
        fail(fetch, MR_FETCH_RESET, 0, result->reason);
        break;
    case MR_H3_MALFORMED:
        fail(fetch, MR_FETCH_MALFORMED, 0, result->reason);
        break;
    }
    write_out(f, fetch);
    resume_one(f);
    settle(f, fetch);
}

/* ------------------------------------------------------------------ requests */

static bool begin_fetch(struct mr_fetcher *f, struct mr_fetch *fetch)
{
    struct mr_h3_request_options options = {.is_head = f->is_head,
                                            .authority = fetch->authority,
                                            .path = fetch->path,
                                            .priority = &fetch->priority};
    int result = mr_h3_client_request_make(f->client, f->conn, &options, index_of(f, fetch),
                                           &fetch->request);

    if (result != 0) {
        fail(fetch, MR_FETCH_RESET, -result,
             result == -EPIPE ? "the server takes no more requests on this connection"
                              : "the request cannot be made");
        return false;
    }
    fetch->is_open = true;
    f->active++;
    return true;
}

static void begin_fetches(struct mr_fetcher *f)
{
    while (f->end == MR_FETCHER_RUNNING && f->active < f->at_once && f->next < f->fetch_count)
        begin_fetch(f, &f->fetches[f->next++]);
}

/* ------------------------------------------------------------------ the connection */

static void on_connected(void *context, mr_h3_client_conn conn, uint64_t user)
{
    struct mr_fetcher *f = context;

    (void)conn;
    (void)user;
    f->progress_ns = mr_h3_client_now(f->client);
    atomic_store_explicit(&f->is_connected, true, memory_order_relaxed);
    if (f->migrate_after_ns != UINT64_MAX)
        f->migrate_at_ns = f->progress_ns + f->migrate_after_ns;
    begin_fetches(f);
    if (f->active == 0)
        end_all(f, MR_FETCHER_DONE); /* none could be made */
}

/* To another UDP port, once.  The handshake may not be confirmed yet: then with the next tick. */
static void migrate(struct mr_fetcher *f)
{
    struct mr_conn_info info = {.local.port = 0};
    int answer = mr_h3_client_conn_info(f->client, f->conn, &info);

    if (answer == 0)
        answer = mr_h3_client_migrate(f->client, f->conn);
    if (answer == -EBUSY || answer == -EAGAIN)
        return;
    f->first_port = info.local.port;
    f->migrate_at_ns = 0;
}

/* Open the paths that were asked for, as soon as the server lets us. */
static void open_paths(struct mr_fetcher *f)
{
    while (f->paths_opened < f->path_count) {
        struct mr_path_call call = {.kind = MR_PATH_CALL_OPEN, .local = f->paths[f->paths_opened]};
        int64_t answer = mr_h3_client_path(f->client, f->conn, &call);

        if (answer == -EBUSY || answer == -EAGAIN)
            return;
        if (answer < 0)
            f->path_error = (int)-answer;
        f->paths_opened++;
    }
}

/* An attempt that the peer never answered may be repeated while there is time. */
static bool may_try_again(const struct mr_fetcher *f, const struct mr_h3_closed *closed)
{
    return f->end == MR_FETCHER_RUNNING && !closed->was_connected && !closed->is_remote &&
           closed->code == MR_NO_ERROR && mr_h3_client_now(f->client) < f->begun_ns + f->timeout_ns;
}

static void on_closed(void *context, mr_h3_client_conn conn, uint64_t user,
                      const struct mr_h3_closed *closed)
{
    struct mr_fetcher *f = context;

    (void)conn;
    (void)user;
    f->conn = 0;
    if (may_try_again(f, closed))
        return; /* the next tick */
    if (f->end == MR_FETCHER_RUNNING) {
        bool is_silent = !closed->was_connected && !closed->is_remote && closed->code == 0;

        f->end = closed->was_connected ? MR_FETCHER_LOST
                 : is_silent           ? MR_FETCHER_SILENT
                                       : MR_FETCHER_REFUSED;
        f->code = closed->code;
        f->is_application = closed->is_application;
        f->is_remote = closed->is_remote;
        keep(f->reason, sizeof(f->reason), closed->reason);
    }
}

static void connect_now(struct mr_fetcher *f)
{
    int result = mr_h3_client_connect(f->client, &f->connect, 0, &f->conn);

    if (result == -EAGAIN)
        return; /* the last attempt is not quite gone: the next tick */
    if (result != 0)
        end_all(f, MR_FETCHER_NO_ROUTE);
    else if (f->connect.is_early && f->connect.ticket_size > 0)
        begin_fetches(f); /* 0-RTT, or they wait for the handshake */
}

/* What only time brings. */
static void look_around(struct mr_fetcher *f, uint64_t now)
{
    bool is_connected = atomic_load_explicit(&f->is_connected, memory_order_relaxed);

    if (atomic_load_explicit(&f->wants_cancel, memory_order_relaxed))
        end_all(f, MR_FETCHER_CANCELLED);
    else if (f->ticket_until_ns != 0)
        end_well(f);
    else if (!is_connected && now - f->begun_ns > f->timeout_ns)
        end_all(f, MR_FETCHER_SILENT);
    else if (is_connected && f->writes_out == 0 && now - f->progress_ns > f->timeout_ns)
        end_all(f, MR_FETCHER_STALLED);
    else if (!is_connected && f->conn == 0)
        connect_now(f);
    if (f->path_count > 0 && is_connected && f->conn != 0) {
        open_paths(f);
        note_paths(f);
    }
    if (f->migrate_at_ns != 0 && now >= f->migrate_at_ns && f->conn != 0)
        migrate(f);
}

static void on_timer(void *context, uint64_t user)
{
    struct mr_fetcher *f = context;
    uint64_t now = mr_h3_client_now(f->client);

    (void)user;
    if (f->end == MR_FETCHER_RUNNING)
        look_around(f, now);
    if (f->end != MR_FETCHER_RUNNING && f->conn == 0 && f->writes_out == 0) {
        finish(f);
        return;
    }
    mr_h3_client_timer(f->client, TICK_NS, 0);
}

static void on_start(void *context, struct mr_h3_client *client)
{
    struct mr_fetcher *f = context;

    f->client = client;
    f->begun_ns = mr_h3_client_now(client);
    mr_h3_client_timer(client, 0, 0);
}

/* ------------------------------------------------------------------ life */

static bool make_buffers(struct mr_fetcher *f)
{
    f->memory = malloc((size_t)MR_FETCH_BUFFERS * MR_FETCH_BUFFER);
    for (uint32_t i = 0; f->memory != NULL && i < MR_FETCH_BUFFERS; i++) {
        f->buffers[i].data = f->memory + (size_t)i * MR_FETCH_BUFFER;
        f->buffers[i].fetcher = f;
        give_buffer(f, i);
    }
    return f->memory != NULL;
}

bool mr_fetcher_make(struct mr_fetcher *f, struct mr_fault *fault)
{
    const struct mr_h3_client_callbacks callbacks = {.context = f,
                                                     .on_start = on_start,
                                                     .on_connected = on_connected,
                                                     .on_closed = on_closed,
                                                     .on_headers = on_headers,
                                                     .on_data = on_data,
                                                     .on_done = on_done,
                                                     .on_timer = on_timer,
                                                     .on_work_done = on_work_done};
    struct mr_h3_client_config config = mr_h3_client_config_default(2, 2 * MR_FETCHES_AT_ONCE);

    config.is_hq = f->is_hq;
    for (uint32_t i = 0; i < f->fetch_count; i++) {
        f->fetches[i].filling = MR_NONE;
        f->fetches[i].content_length = UINT64_MAX;
        atomic_store(&f->fetches[i].expected, UINT64_MAX);
    }
    if (!make_buffers(f)) {
        mr_fault_set(fault, ENOMEM, "not enough memory for %d MiB of buffers",
                     MR_FETCH_BUFFERS * (MR_FETCH_BUFFER >> 10) >> 10);
        return false;
    }
    return mr_h3_client_new(&config, &callbacks, &f->client, fault) == 0;
}

void mr_fetcher_free(struct mr_fetcher *f)
{
    mr_h3_client_free(f->client);
    free(f->memory);
    f->client = NULL;
    f->memory = NULL;
}

const struct mr_application *mr_fetcher_application(struct mr_fetcher *f)
{
    return mr_h3_client_application(f->client);
}

void mr_fetcher_cancel(struct mr_fetcher *f)
{
    atomic_store_explicit(&f->wants_cancel, true, memory_order_relaxed);
}

bool mr_fetcher_is_over(const struct mr_fetcher *f)
{
    return atomic_load_explicit(&f->is_over, memory_order_acquire); /* pairs with finish() */
}
