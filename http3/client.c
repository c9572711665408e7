/* http3/client.c - the client as an application: what comes; see client.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "http3/client_internal.h"

enum {
    TOO_EARLY = 425, /* RFC 8470, Section 5.2 */
};

/* ---- what the layer says ---- */

static void on_conn_open(void *context, struct mr_h3_conn *conn)
{
    struct mr_h3_client *client = context;
    struct mr_h3_peer *peer = mr_h3_peer_of(client, conn);

    peer->was_connected = true;
    if (client->callbacks.on_connected != NULL)
        client->callbacks.on_connected(client->callbacks.context,
                                       mr_h3_conn_word(&client->h3, conn), peer->user);
    mr_h3_client_open_waiting(client, conn);
}

/* All requests of a connection that has no streams any more. */
static void lose_requests(struct mr_h3_client *client, struct mr_h3_conn *conn, uint64_t code,
                          const char *reason)
{
    struct mr_h3_peer *peer = mr_h3_peer_of(client, conn);

    while (peer->waiting != NULL) {
        struct mr_h3_request *request = peer->waiting;
        peer->waiting = request->next_waiting;
        mr_h3_request_end(client, request, MR_H3_CONN_LOST, code, reason);
    }
    peer->waiting_tail = &peer->waiting;
}

static void on_conn_closed(void *context, struct mr_h3_conn *conn, const struct mr_event *event)
{
    struct mr_h3_client *client = context;
    struct mr_h3_peer *peer = mr_h3_peer_of(client, conn);
    struct mr_h3_closed closed = {
        .was_connected = peer->was_connected,
        .is_application = event->is_application,
        .is_remote = event->is_remote,
        .code = event->error,
        .reason = event->reason,
    };

    lose_requests(client, conn, event->error, "the connection ended");
    mr_h3_client_drain_queue(client); /* every request ends before its connection */
    if (client->callbacks.on_closed != NULL)
        client->callbacks.on_closed(client->callbacks.context, mr_h3_conn_word(&client->h3, conn),
                                    peer->user, &closed);
}

static void on_goaway(void *context, struct mr_h3_conn *conn, uint64_t id)
{
    struct mr_h3_client *client = context;
    struct mr_h3_peer *peer = mr_h3_peer_of(client, conn);

    for (struct mr_h3_stream *s = conn->streams; s != NULL; s = s->next) {
        struct mr_h3_request *request = mr_h3_request_of(client, s->owner);
        if (request == NULL || s->id < id)
            continue;
        mr_h3_abort(&client->h3, s, MR_H3_REQUEST_CANCELLED);
        mr_h3_request_end(client, request, MR_H3_REJECTED, 0, "the server drains the connection");
    }
    while (peer->waiting != NULL) {
        struct mr_h3_request *request = peer->waiting;
        peer->waiting = request->next_waiting;
        mr_h3_request_end(client, request, MR_H3_REJECTED, 0, "the server drains the connection");
    }
    peer->waiting_tail = &peer->waiting;
    if (client->callbacks.on_goaway != NULL)
        client->callbacks.on_goaway(client->callbacks.context, mr_h3_conn_word(&client->h3, conn),
                                    peer->user);
}

static void on_streams_allowed(void *context, struct mr_h3_conn *conn)
{
    mr_h3_client_open_waiting(context, conn);
}

static bool on_request(void *context, struct mr_h3_stream *stream)
{
    (void)context;
    (void)stream;
    return false; /* a client gets no requests; the layer has refused the stream before */
}

static struct mr_h3_text keep(char copy[MR_H3_VALUE_MAX], struct mr_text value)
{
    size_t size = MR_MIN(value.size, (size_t)MR_H3_VALUE_MAX);

    memcpy(copy, value.data, size);
    return (struct mr_h3_text){copy, size};
}

/* "bytes 0-9/100", "bytes 0-9/" and a star */
static void take_content_range(struct mr_h3_response *response, struct mr_text value)
{
    char text[80];
    unsigned long long first;
    unsigned long long last;
    unsigned long long size;

    if (value.size >= sizeof(text))
        return;
    memcpy(text, value.data, value.size);
    text[value.size] = '\0';
    int count = sscanf(text, "bytes %20llu-%20llu/%20llu", &first, &last, &size);
    if (count >= 2)
        response->range_first = first;
    if (count == 3)
        response->range_size = size;
}

static void on_field(void *context, struct mr_h3_stream *stream, enum mr_h3_field field,
                     struct mr_text name, struct mr_text value)
{
    struct mr_h3_client *client = context;
    struct mr_h3_head *head = &client->head;

    (void)stream;
    (void)name;
    switch (field) {
    case MR_FIELD_STATUS: /* always the first field */
        head->response = (struct mr_h3_response){
            .content_length = UINT64_MAX, .range_first = UINT64_MAX, .range_size = UINT64_MAX};
        break;
    case MR_FIELD_CONTENT_TYPE:
        head->response.content_type = keep(head->content_type, value);
        break;
    case MR_FIELD_CONTENT_RANGE:
        take_content_range(&head->response, value);
        break;
    case MR_FIELD_ETAG:
        head->response.etag = keep(head->etag, value);
        break;
    case MR_FIELD_LAST_MODIFIED:
        head->response.last_modified = keep(head->last_modified, value);
        break;
    case MR_FIELD_LOCATION:
        head->response.location = keep(head->location, value);
        break;
    case MR_FIELD_SERVER:
        head->response.server = keep(head->server, value);
        break;
    default:
        break;
    }
}

static void on_head(void *context, struct mr_h3_stream *stream, const struct mr_message *message,
                    enum mr_message_verdict verdict)
{
    struct mr_h3_client *client = context;
    struct mr_transport *t = client->h3.transport;
    struct mr_h3_request *request = mr_h3_request_of(client, stream->owner);

    if (request == NULL)
        return;
    if (verdict != MR_MESSAGE_OK) {
        mr_h3_abort(&client->h3, stream, MR_H3_EXCESSIVE_LOAD);
        mr_h3_request_end(client, request, MR_H3_MALFORMED, MR_H3_EXCESSIVE_LOAD,
                          "the response's header section is too large");
        return;
    }
    if (message->status == TOO_EARLY && request->is_early) {
        mr_h3_request_again(client, request);
        return;
    }
    request->result.status = message->status;
    if (request->tunnel != NULL) {
        mr_h3_tunnel_on_head(client, request, message);
        return;
    }
    request->result.first_byte_ns = t->ops->now(t);
    client->head.response.status = message->status;
    client->head.response.content_length = message->content_length;
    if (client->callbacks.on_headers != NULL)
        client->callbacks.on_headers(client->callbacks.context, mr_h3_request_word(client, request),
                                     request->user, &client->head.response);
}

static size_t on_data(void *context, struct mr_h3_stream *stream, const uint8_t *data, size_t size)
{
    struct mr_h3_client *client = context;
    struct mr_h3_request *request = mr_h3_request_of(client, stream->owner);

    if (request != NULL && request->tunnel != NULL && request->state == MR_H3_STATE_OPEN) {
        mr_tunnel_data(request->tunnel, data, size);
        return size;
    }
    if (request == NULL || client->callbacks.on_data == NULL ||
        request->state != MR_H3_STATE_OPEN) {
        if (request != NULL)
            request->result.body_bytes += size;
        return size;
    }
    size_t taken = client->callbacks.on_data(
        client->callbacks.context, mr_h3_request_word(client, request), request->user, data, size);
    MR_ASSERT(taken <= size);
    request->result.body_bytes += taken;
    return taken;
}

static void on_end(void *context, struct mr_h3_stream *stream)
{
    struct mr_h3_client *client = context;
    struct mr_h3_request *request = mr_h3_request_of(client, stream->owner);

    if (request == NULL)
        return;
    if (request->tunnel != NULL && request->state == MR_H3_STATE_OPEN &&
        !mr_tunnel_peer_end(request->tunnel))
        mr_h3_request_end(client, request, MR_H3_MALFORMED, MR_H3_MESSAGE_ERROR,
                          "the server cut a capsule off");
    mr_h3_request_end(client, request, MR_H3_DONE, 0, "");
}

/* What is wrong with a response that we took for malformed. */
static const char *describe_fault(const struct mr_h3_stream *stream, uint64_t code)
{
    if (stream->is_too_short)
        return "the server sent less content than its content-length says";
    if (stream->is_too_long)
        return stream->is_head_only ? "the server sent content where none may be"
                                    : "the server sent more content than its content-length says";
    return mr_h3_error_name(code);
}

static void on_failed(void *context, struct mr_h3_stream *stream, uint64_t code, bool is_remote)
{
    struct mr_h3_client *client = context;
    struct mr_h3_request *request = mr_h3_request_of(client, stream->owner);

    if (request == NULL)
        return;
    if (stream->is_lost)
        mr_h3_request_end(client, request, MR_H3_CONN_LOST, code, "the connection ended");
    else if (is_remote && code == MR_H3_REQUEST_REJECTED)
        mr_h3_request_end(client, request, MR_H3_REJECTED, code, mr_h3_error_name(code));
    else if (is_remote)
        mr_h3_request_end(client, request, MR_H3_RESET, code, mr_h3_error_name(code));
    else
        mr_h3_request_end(client, request, MR_H3_MALFORMED, code, describe_fault(stream, code));
    if (is_remote && !stream->conn->is_closing) /* we have nothing to say on it any more either */
        mr_h3_abort(&client->h3, stream, MR_H3_REQUEST_CANCELLED);
}

static void on_stopped(void *context, struct mr_h3_stream *stream, uint64_t code)
{
    struct mr_h3_client *client = context;
    struct mr_h3_request *request = mr_h3_request_of(client, stream->owner);

    if (request == NULL || request->tunnel == NULL || !request->tunnel->is_open)
        return; /* a request is one send: what the server does not want is on its way already */
    mr_h3_abort(&client->h3, stream, MR_H3_REQUEST_CANCELLED);
    mr_h3_request_end(client, request, MR_H3_RESET, code, mr_h3_error_name(code));
}

static void on_acked(void *context, struct mr_h3_stream *stream, uint64_t acked_to)
{
    (void)context;
    (void)stream;
    (void)acked_to; /* requests are copied */
}

static void on_writable(void *context, struct mr_h3_stream *stream)
{
    struct mr_h3_client *client = context;
    struct mr_h3_request *request = mr_h3_request_of(client, stream->owner);

    if (request == NULL || request->state != MR_H3_STATE_OPEN)
        return;
    if (!request->is_sent)
        mr_h3_request_send(client, request);
    else if (request->tunnel != NULL)
        mr_tunnel_writable(request->tunnel);
}

static void on_stream_closed(void *context, struct mr_h3_stream *stream)
{
    struct mr_h3_request *request = mr_h3_request_of(context, stream->owner);

    if (request != NULL)
        request->stream = NULL;
}

static void on_retry(void *context)
{
    struct mr_h3_client *client = context;

    for (struct mr_h3_conn *conn = client->h3.all; conn != NULL; conn = conn->next) {
        for (struct mr_h3_stream *s = conn->streams; s != NULL; s = s->next) {
            struct mr_h3_request *request = mr_h3_request_of(client, s->owner);
            if (request != NULL && request->state == MR_H3_STATE_OPEN && !request->is_sent)
                mr_h3_request_send(client, request);
        }
        mr_h3_client_open_waiting(client, conn);
    }
}

static void on_other(void *context, const struct mr_event *event)
{
    struct mr_h3_client *client = context;
    const struct mr_h3_client_callbacks *callbacks = &client->callbacks;
    uint64_t user = mr_h3_untagged(event->user_data);

    if ((event->kinds & MR_EVENT_GO_AWAY) != 0) {
        if (callbacks->on_drain != NULL)
            callbacks->on_drain(callbacks->context);
    } else if (mr_h3_tag_of(event->user_data) == MR_H3_TAG_TIMER) {
        if (callbacks->on_timer != NULL)
            callbacks->on_timer(callbacks->context, user);
    } else if (mr_h3_tag_of(event->user_data) == MR_H3_TAG_WORK) {
        if (callbacks->on_work_done != NULL)
            callbacks->on_work_done(callbacks->context, user, event->result);
    }
}

/* ---- the application ---- */

static const struct mr_h3_user layer_user = {
    .on_conn_open = on_conn_open,
    .on_conn_closed = on_conn_closed,
    .on_goaway = on_goaway,
    .on_streams_allowed = on_streams_allowed,
    .on_request = on_request,
    .on_field = on_field,
    .on_head = on_head,
    .on_data = on_data,
    .on_datagram = mr_h3_tunnel_on_datagram,
    .on_settings = mr_h3_tunnel_on_settings,
    .on_end = on_end,
    .on_failed = on_failed,
    .on_stopped = on_stopped,
    .on_acked = on_acked,
    .on_writable = on_writable,
    .on_stream_closed = on_stream_closed,
    .on_retry = on_retry,
    .on_other = on_other,
};

/* The regions behind the client itself. */
struct layout {
    size_t requests;
    size_t peers;
    size_t tunnels;
    size_t layer;
    size_t end;
};

static struct mr_h3_limits limits_of(const struct mr_h3_client_config *config)
{
    return (struct mr_h3_limits){
        .connections_max = config->connections_max,
        .requests_max = config->requests_max,
        .field_section_max = config->field_section_max,
        .fields_max = config->fields_max,
        .qpack_capacity = config->qpack_capacity,
        .qpack_blocked_max = config->qpack_blocked_max,
        .qpack_encoder_capacity = config->qpack_encoder_capacity,
        .has_tunnels = config->has_tunnels,
        .heap_bytes = config->heap_bytes,
    };
}

static struct layout layout_of(const struct mr_h3_client_config *config)
{
    struct mr_h3_limits limits = limits_of(config);
    struct layout l = {.requests = sizeof(struct mr_h3_client)};

    l.peers =
        l.requests + mr_pool_footprint(config->requests_max, sizeof(struct mr_h3_request), 16);
    l.peers = (l.peers + 15) & ~(size_t)15;
    l.tunnels = l.peers + config->connections_max * sizeof(struct mr_h3_peer);
    l.tunnels = (l.tunnels + 15) & ~(size_t)15;
    l.layer = l.tunnels + mr_pool_footprint(config->has_tunnels ? config->requests_max : 0,
                                            sizeof(struct mr_http3_tunnel), 16);
    l.end = l.layer + mr_h3_footprint(&limits);
    return l;
}

size_t mr_h3_client_footprint(const struct mr_h3_client_config *config)
{
    return layout_of(config).end;
}

struct mr_h3_client_config mr_h3_client_config_default(uint32_t connections, uint32_t requests)
{
    return (struct mr_h3_client_config){
        .connections_max = connections,
        .requests_max = requests,
        .field_section_max = 16384,
        .fields_max = 128,
        .qpack_capacity = 4096,
    };
}

static void on_start(void *context, struct mr_transport *transport)
{
    struct mr_h3_client *client = context;
    struct layout l = layout_of(&client->config);
    uint8_t *base = (uint8_t *)client;
    struct mr_h3_user user = layer_user;

    user.context = client;
    client->peers = (struct mr_h3_peer *)(void *)(base + l.peers);
    mr_pool_init(&client->requests, base + l.requests, client->config.requests_max,
                 sizeof(struct mr_h3_request), 16);
    mr_pool_init(&client->tunnels, base + l.tunnels,
                 client->config.has_tunnels ? client->config.requests_max : 0,
                 sizeof(struct mr_http3_tunnel), 16);
    mr_h3_init(&client->h3, base + l.layer, &client->limits, false, &user, &client->counters,
               transport);
    client->h3.speaks_hq = client->config.is_hq;
    client->queue_tail = &client->queue;
    client->is_started = true;
    client->is_inside = true;
    if (client->callbacks.on_start != NULL)
        client->callbacks.on_start(client->callbacks.context, client);
    client->is_inside = false;
    if (client->queue != NULL)
        mr_h3_client_wake(client);
}

static void on_events(void *context, const struct mr_event *events, size_t count)
{
    struct mr_h3_client *client = context;

    client->is_inside = true;
    mr_h3_on_events(&client->h3, events, count);
    mr_h3_client_drain_queue(client);
    client->is_inside = false;
}

static void on_stop(void *context)
{
    struct mr_h3_client *client = context;

    mr_h3_fini(&client->h3);
    client->is_started = false;
}

int mr_h3_client_new(const struct mr_h3_client_config *config,
                     const struct mr_h3_client_callbacks *callbacks,
                     struct mr_h3_client **client_out, struct mr_fault *fault)
{
    size_t footprint = mr_h3_client_footprint(config);

    if (config->connections_max == 0 || config->requests_max == 0)
        return mr_fault_set(
            fault, EINVAL, "HTTP/3 client: no room for a connection and a request; allow one each");
    struct mr_h3_client *client = mmap(NULL, footprint, PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (client == MAP_FAILED)
        return mr_fault_set(
            fault, errno,
            "HTTP/3 client: no %zu MiB of memory; allow fewer connections or requests",
            footprint >> 20);
    client->config = *config;
    client->callbacks = *callbacks;
    client->limits = limits_of(config);
    client->footprint = footprint;
    client->application = (struct mr_application){
        .name = "HTTP/3 client",
        .context = client,
        .on_start = on_start,
        .on_events = on_events,
        .on_stop = on_stop,
    };
    *client_out = client;
    return 0;
}

void mr_h3_client_free(struct mr_h3_client *client)
{
    if (client == NULL)
        return;
    MR_ASSERT(!client->is_started);
    munmap(client, client->footprint);
}

const struct mr_application *mr_h3_client_application(struct mr_h3_client *client)
{
    return &client->application;
}

const struct mr_h3_counters *mr_h3_client_counters(const struct mr_h3_client *client)
{
    return &client->counters;
}
