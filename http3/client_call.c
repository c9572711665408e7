/* http3/client_call.c - the client's calls: what is asked for; see client.h. */
#include <errno.h>
#include <string.h>

#include "http3/client_internal.h"

/* ---- words ---- */

struct mr_h3_request *mr_h3_request_of(struct mr_h3_client *client, uint64_t word)
{
    uint32_t index = (uint32_t)word;

    if (mr_h3_tag_of(word) != MR_H3_TAG_REQUEST || index >= client->requests.fresh)
        return NULL;
    struct mr_h3_request *request = mr_pool_at(&client->requests, index);
    bool is_it = request->serial != 0 && request->serial == (uint32_t)(word >> 32 & 0xffffff);
    return is_it ? request : NULL;
}

uint64_t mr_h3_request_word(const struct mr_h3_client *client, const struct mr_h3_request *request)
{
    return mr_h3_tagged(MR_H3_TAG_REQUEST, (uint64_t)request->serial << 32 |
                                               mr_pool_index(&client->requests, request));
}

struct mr_h3_peer *mr_h3_peer_of(struct mr_h3_client *client, const struct mr_h3_conn *conn)
{
    return &client->peers[mr_pool_index(&client->h3.conns, conn)];
}

/* ---- the queue of requests to look at ---- */

/* Make sure that the queue is looked at, if this call comes from outside of a callback. */
void mr_h3_client_wake(struct mr_h3_client *client)
{
    struct mr_transport *t = client->h3.transport;

    if (!client->is_inside)
        (void)t->ops->timer(t, 0, mr_h3_tagged(MR_H3_TAG_WAKE, 0));
}

static void enqueue(struct mr_h3_client *client, struct mr_h3_request *request)
{
    if (request->is_queued)
        return;
    request->is_queued = true;
    request->next = NULL;
    *client->queue_tail = request;
    client->queue_tail = &request->next;
    mr_h3_client_wake(client);
}

void mr_h3_request_end(struct mr_h3_client *client, struct mr_h3_request *request,
                       enum mr_h3_outcome outcome, uint64_t code, const char *reason)
{
    struct mr_transport *t = client->h3.transport;

    if (request->state == MR_H3_STATE_ENDING)
        return;
    request->state = MR_H3_STATE_ENDING;
    request->result.outcome = outcome;
    request->result.code = code;
    request->result.reason = reason;
    request->result.done_ns = t->ops->now(t);
    enqueue(client, request);
}

static void finish_request(struct mr_h3_client *client, struct mr_h3_request *request)
{
    uint64_t word = mr_h3_request_word(client, request);

    if (request->stream != NULL)
        request->stream->owner = MR_H3_OWNER_NONE;
    if (request->result.outcome == MR_H3_DONE)
        mr_count(&client->counters.requests_done);
    mr_h3_tunnel_finish(client, request);
    if (client->callbacks.on_done != NULL)
        client->callbacks.on_done(client->callbacks.context, word, request->user, &request->result);
    request->serial = 0;
    mr_pool_put(&client->requests, mr_pool_index(&client->requests, request));
}

/* Say what became due while events were handled.  Callbacks may add to the queue. */
void mr_h3_client_drain_queue(struct mr_h3_client *client)
{
    while (client->queue != NULL) {
        struct mr_h3_request *request = client->queue;
        client->queue = request->next;
        if (client->queue == NULL)
            client->queue_tail = &client->queue;
        request->is_queued = false;
        if (request->is_resumed && request->state == MR_H3_STATE_OPEN && request->stream != NULL) {
            request->is_resumed = false;
            mr_h3_resume(&client->h3, request->stream); /* its end queues it again */
        } else if (request->state == MR_H3_STATE_ENDING) {
            finish_request(client, request);
        }
    }
}

/* ---- making requests ---- */

static void wait_for_stream(struct mr_h3_client *client, struct mr_h3_request *request)
{
    struct mr_h3_peer *peer = mr_h3_peer_of(client, request->conn);

    request->state = MR_H3_STATE_WAITING;
    request->next_waiting = NULL;
    *peer->waiting_tail = request;
    peer->waiting_tail = &request->next_waiting;
}

static void leave_waiting(struct mr_h3_client *client, struct mr_h3_request *request)
{
    struct mr_h3_peer *peer = mr_h3_peer_of(client, request->conn);

    for (struct mr_h3_request **at = &peer->waiting; *at != NULL; at = &(*at)->next_waiting) {
        if (*at == request) {
            *at = request->next_waiting;
            if (*at == NULL)
                peer->waiting_tail = at;
            return;
        }
    }
}

static size_t add_line(struct mr_field_line *lines, size_t at, const char *name, const char *value)
{
    if (value == NULL)
        return at;
    lines[at] = (struct mr_field_line){name, {value, strlen(value)}};
    return at + 1;
}

static size_t request_lines(const struct mr_h3_request *request,
                            struct mr_field_line lines[MR_H3_REQUEST_LINES])
{
    const struct mr_h3_request_options *options = &request->options;
    size_t count = 0;

    if (request->tunnel != NULL)
        return mr_h3_tunnel_lines(request, lines);
    count = add_line(lines, count, ":method", options->is_head ? "HEAD" : "GET");
    count = add_line(lines, count, ":scheme", "https");
    count = add_line(lines, count, ":authority", options->authority);
    count = add_line(lines, count, ":path", options->path);
    count = add_line(lines, count, "user-agent", "millrace");
    if (request->priority[0] != '\0')
        count = add_line(lines, count, "priority", request->priority);
    count = add_line(lines, count, "range", options->range);
    return add_line(lines, count, "if-none-match", options->if_none_match);
}

/* Send the request on its stream, if that has not been done. */
void mr_h3_request_send(struct mr_h3_client *client, struct mr_h3_request *request)
{
    struct mr_transport *t = client->h3.transport;
    struct mr_field_line lines[MR_H3_REQUEST_LINES];
    size_t count = request_lines(request, lines);
    const struct mr_h3_body body = {.is_open = request->tunnel != NULL};

    if (request->tunnel != NULL && !request->stream->is_tunnel &&
        !mr_h3_tunnel_may_be_asked_for(client, request))
        return;
    int result = mr_h3_send_head(&client->h3, request->stream, lines, count, &body);

    switch (result) {
    case 0:
        request->is_sent = true;
        request->is_early = request->conn->is_early;
        request->result.sent_ns = t->ops->now(t);
        mr_count(&client->counters.requests);
        break;
    case -EAGAIN: /* on_writable follows */
        break;
    case -ENOMEM:
        mr_h3_want_retry(&client->h3);
        break;
    case -EMSGSIZE:
        mr_h3_abort(&client->h3, request->stream, MR_H3_REQUEST_CANCELLED);
        mr_h3_request_end(client, request, MR_H3_CANCELLED, 0,
                          "the server takes no request of this size");
        break;
    default: /* the stream's or the connection's end is on the way */
        break;
    }
}

/* Give the request a stream.  False: it has to wait. */
static bool open_request(struct mr_h3_client *client, struct mr_h3_request *request)
{
    int result = mr_h3_open_request(&client->h3, request->conn, mr_h3_request_word(client, request),
                                    &request->stream);

    switch (result) {
    case 0:
        request->state = MR_H3_STATE_OPEN;
        request->stream->is_head_only = request->options.is_head;
        mr_h3_request_send(client, request);
        return true;
    case -EAGAIN:
    case -ESTALE: /* the connection's end is on the way, which says why */
        return false;
    case -ENOMEM:
        mr_h3_want_retry(&client->h3);
        return false;
    default:
        mr_h3_request_end(client, request, MR_H3_REJECTED, 0,
                          "the connection takes no new requests");
        return true;
    }
}

/* Tunnels wait for the end of the handshake, and the server's SETTINGS. */
static bool may_open(const struct mr_h3_conn *conn, const struct mr_h3_request *request)
{
    return conn->is_connected || (conn->is_early && request->tunnel == NULL);
}

void mr_h3_request_again(struct mr_h3_client *client, struct mr_h3_request *request)
{
    struct mr_h3_stream *stream = request->stream;

    mr_count(&client->counters.requests_retried);
    stream->owner = MR_H3_OWNER_NONE;
    mr_h3_stop_reading(&client->h3, stream);
    request->stream = NULL;
    request->is_sent = false;
    request->result.status = 0;
    wait_for_stream(client, request);
    mr_h3_client_open_waiting(client, request->conn);
}

void mr_h3_client_open_waiting(struct mr_h3_client *client, struct mr_h3_conn *conn)
{
    struct mr_h3_peer *peer = mr_h3_peer_of(client, conn);

    while (peer->waiting != NULL) {
        struct mr_h3_request *request = peer->waiting;
        struct mr_h3_request *next = request->next_waiting;
        if (!may_open(conn, request) || !open_request(client, request))
            return;
        peer->waiting = next;
        if (next == NULL)
            peer->waiting_tail = &peer->waiting;
    }
}

/* ---- calls ---- */

int mr_h3_client_connect(struct mr_h3_client *client, const struct mr_connect_options *options,
                         uint64_t user, mr_h3_client_conn *conn_out)
{
    struct mr_h3_conn *conn;
    int result = mr_h3_connect(&client->h3, options, 0, &conn);

    if (result != 0)
        return result;
    struct mr_h3_peer *peer = mr_h3_peer_of(client, conn);
    *peer = (struct mr_h3_peer){.user = user};
    peer->waiting_tail = &peer->waiting;
    *conn_out = mr_h3_conn_word(&client->h3, conn);
    return 0;
}

int mr_h3_client_close(struct mr_h3_client *client, mr_h3_client_conn word)
{
    struct mr_h3_conn *conn = mr_h3_conn_of(&client->h3, word);

    if (conn == NULL)
        return -ESTALE;
    mr_h3_close(&client->h3, conn, MR_H3_NO_ERROR, "");
    return 0;
}

int mr_h3_client_conn_info(struct mr_h3_client *client, mr_h3_client_conn word,
                           struct mr_conn_info *info_out)
{
    struct mr_transport *t = client->h3.transport;
    const struct mr_h3_conn *conn = mr_h3_conn_of(&client->h3, word);

    return conn == NULL ? -ESTALE : t->ops->conn_info(t, conn->handle, info_out);
}

int64_t mr_h3_client_ticket(struct mr_h3_client *client, mr_h3_client_conn word, uint8_t *dst,
                            size_t room)
{
    struct mr_transport *t = client->h3.transport;
    const struct mr_h3_conn *conn = mr_h3_conn_of(&client->h3, word);

    return conn == NULL ? -ESTALE : t->ops->ticket(t, conn->handle, dst, room);
}

int mr_h3_client_migrate(struct mr_h3_client *client, mr_h3_client_conn word)
{
    const struct mr_address another_port = {.port = 0};
    struct mr_transport *t = client->h3.transport;
    const struct mr_h3_conn *conn = mr_h3_conn_of(&client->h3, word);

    if (conn == NULL)
        return -ESTALE;
    return t->ops->migrate == NULL ? -EOPNOTSUPP : t->ops->migrate(t, conn->handle, &another_port);
}

int64_t mr_h3_client_path(struct mr_h3_client *client, mr_h3_client_conn word,
                          const struct mr_path_call *call)
{
    const struct mr_h3_conn *conn = mr_h3_conn_of(&client->h3, word);

    return conn == NULL ? -ESTALE : mr_path_do(client->h3.transport, conn->handle, call);
}

/* Are the fields those of a well-formed request?  RFC 9114, Section 4: no other may be sent. */
static enum mr_message_verdict judge(const struct mr_field_line *lines, size_t count)
{
    const struct mr_message_limits limits = {.section_bytes = UINT32_MAX,
                                             .fields = MR_H3_REQUEST_LINES,
                                             .name_bytes = UINT32_MAX,
                                             .value_bytes = MR_H3_HEAD_MAX,
                                             .allows_protocol = true};
    struct mr_message message;
    enum mr_h3_field field;
    enum mr_message_verdict verdict = MR_MESSAGE_OK;

    mr_message_begin(&message, MR_MESSAGE_REQUEST, &limits);
    for (size_t i = 0; i < count && verdict == MR_MESSAGE_OK; i++)
        verdict = mr_message_add(&message, (struct mr_text){lines[i].name, strlen(lines[i].name)},
                                 lines[i].value, &field);
    return verdict == MR_MESSAGE_OK ? mr_message_end(&message) : verdict;
}

/* Do the fields fit a head?  They are only encoded for this if that is not plain. */
static bool fits_head(struct mr_h3_client *client, const struct mr_field_line *lines, size_t count)
{
    size_t room = MR_H3_HEAD_MAX - 2 * MR_H3_FRAME_HEADER_MAX;
    size_t size = 0;

    return mr_qpack_encoded_max(lines, count) <= room ||
           (mr_qpack_encode(&client->h3.encoder, lines, count, &size) != NULL && size <= room);
}

/* 0 if the request can be sent; -EINVAL, -EMSGSIZE. */
static int check_request(struct mr_h3_client *client, const struct mr_h3_request *request)
{
    struct mr_field_line lines[MR_H3_REQUEST_LINES];
    size_t count = request_lines(request, lines);
    enum mr_message_verdict verdict = judge(lines, count);

    if (verdict != MR_MESSAGE_OK)
        return verdict == MR_MESSAGE_TOO_LARGE ? -EMSGSIZE : -EINVAL;
    return fits_head(client, lines, count) ? 0 : -EMSGSIZE;
}

int mr_h3_client_request_make(struct mr_h3_client *client, mr_h3_client_conn word,
                              const struct mr_h3_request_options *options, uint64_t user,
                              mr_h3_client_request *request_out)
{
    struct mr_h3_conn *conn = mr_h3_conn_of(&client->h3, word);
    if (conn == NULL)
        return -ESTALE;
    if (conn->is_closing || conn->is_draining || conn->peer_goaway_id != UINT64_MAX)
        return -EPIPE;
    if (options->priority != NULL && options->priority->urgency >= MR_URGENCIES)
        return -EINVAL;
    if (options->tunnel != NULL && (!client->config.has_tunnels || options->protocol == NULL))
        return -EINVAL;
    uint32_t index = mr_pool_get(&client->requests);
    if (index == MR_NONE)
        return -EAGAIN;

    struct mr_h3_request *request = mr_pool_at(&client->requests, index);
    client->serial = client->serial % 0xffffff + 1;
    *request = (struct mr_h3_request){
        .serial = client->serial, .conn = conn, .user = user, .options = *options};
    request->result.reason = "";
    if (options->priority != NULL)
        (void)mr_priority_format(*options->priority, request->priority);
    bool has_tunnel = options->tunnel == NULL || mr_h3_tunnel_prepare(client, request);
    int result = has_tunnel ? check_request(client, request) : -EAGAIN;
    if (result != 0) {
        if (request->tunnel != NULL)
            mr_pool_put(&client->tunnels, mr_pool_index(&client->tunnels, request->tunnel));
        request->serial = 0;
        mr_pool_put(&client->requests, index);
        return result;
    }
    *request_out = mr_h3_request_word(client, request);
    struct mr_h3_peer *peer = mr_h3_peer_of(client, conn);
    if (!may_open(conn, request) || peer->waiting != NULL || !open_request(client, request))
        wait_for_stream(client, request);
    return 0;
}

int mr_h3_client_cancel(struct mr_h3_client *client, mr_h3_client_request word)
{
    struct mr_h3_request *request = mr_h3_request_of(client, word);

    if (request == NULL || request->state == MR_H3_STATE_ENDING)
        return -ESTALE;
    if (request->state == MR_H3_STATE_WAITING)
        leave_waiting(client, request);
    else if (request->stream != NULL)
        mr_h3_abort(&client->h3, request->stream, MR_H3_REQUEST_CANCELLED);
    mr_h3_request_end(client, request, MR_H3_CANCELLED, MR_H3_REQUEST_CANCELLED, "cancelled");
    return 0;
}

int mr_h3_client_prioritize(struct mr_h3_client *client, mr_h3_client_request word,
                            struct mr_priority priority)
{
    struct mr_h3_request *request = mr_h3_request_of(client, word);

    if (request == NULL || request->state == MR_H3_STATE_ENDING)
        return -ESTALE;
    if (priority.urgency >= MR_URGENCIES)
        return -EINVAL;
    if (!request->is_sent) { /* it goes with the request */
        (void)mr_priority_format(priority, request->priority);
        return 0;
    }
    return request->stream == NULL ? -ESTALE
                                   : mr_h3_prioritize(&client->h3, request->stream, priority);
}

int mr_h3_client_resume(struct mr_h3_client *client, mr_h3_client_request word)
{
    struct mr_h3_request *request = mr_h3_request_of(client, word);

    if (request == NULL || request->state != MR_H3_STATE_OPEN)
        return -ESTALE;
    request->is_resumed = true;
    enqueue(client, request);
    return 0;
}

int mr_h3_client_timer(struct mr_h3_client *client, uint64_t delay_ns, uint64_t user)
{
    struct mr_transport *t = client->h3.transport;

    return t->ops->timer(t, delay_ns, mr_h3_tagged(MR_H3_TAG_TIMER, user));
}

int mr_h3_client_work(struct mr_h3_client *client, int64_t (*function)(void *argument),
                      void *argument, uint64_t user)
{
    struct mr_transport *t = client->h3.transport;

    return t->ops->work(t, function, argument, mr_h3_tagged(MR_H3_TAG_WORK, user));
}

uint64_t mr_h3_client_now(const struct mr_h3_client *client)
{
    const struct mr_transport *t = client->h3.transport;

    return t->ops->now(t);
}
