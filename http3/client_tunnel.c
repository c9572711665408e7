/* http3/client_tunnel.c - requests of the client that are tunnels (RFC 9220); see client.h. */
#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "http3/client_internal.h"

size_t mr_h3_tunnel_lines(const struct mr_h3_request *request,
                          struct mr_field_line lines[MR_H3_REQUEST_LINES])
{
    const struct mr_h3_request_options *options = &request->options;
    const char *const texts[][2] = {
        {":method", "CONNECT"},     {":protocol", options->protocol},
        {":scheme", "https"},       {":authority", options->authority},
        {":path", options->path},   {"user-agent", "millrace"},
        {"capsule-protocol", "?1"}, /* RFC 9297, Section 3.4 */
    };

    _Static_assert(MR_COUNT_OF(texts) <= MR_H3_REQUEST_LINES, "they fit");
    for (size_t i = 0; i < MR_COUNT_OF(texts); i++)
        lines[i] = (struct mr_field_line){texts[i][0], {texts[i][1], strlen(texts[i][1])}};
    return MR_COUNT_OF(texts);
}

bool mr_h3_tunnel_prepare(struct mr_h3_client *client, struct mr_h3_request *request)
{
    uint32_t index = client->config.has_tunnels ? mr_pool_get(&client->tunnels) : MR_NONE;

    if (index == MR_NONE)
        return false;
    request->tunnel = mr_pool_at(&client->tunnels, index);
    mr_tunnel_init(request->tunnel, &client->h3, NULL, request->options.tunnel);
    return true;
}

void mr_h3_tunnel_finish(struct mr_h3_client *client, struct mr_h3_request *request)
{
    static const int errors[] = {[MR_H3_DONE] = -ECONNREFUSED,     [MR_H3_RESET] = -ECONNRESET,
                                 [MR_H3_REJECTED] = -ECONNREFUSED, [MR_H3_MALFORMED] = -EBADMSG,
                                 [MR_H3_CANCELLED] = -ECANCELED,   [MR_H3_CONN_LOST] = -ECONNRESET};

    if (request->tunnel == NULL)
        return;
    int error = errors[request->result.outcome];
    if (request->result.outcome == MR_H3_CONN_LOST && !request->tunnel->is_open)
        error = -ECONNREFUSED; /* none came about, or nothing came of it */
    mr_tunnel_over(request->tunnel, error, request->result.reason);
    if (request->tunnel->wants_end && request->stream != NULL) /* nobody will try again */
        mr_h3_abort(&client->h3, request->stream, MR_H3_NO_ERROR);
    request->tunnel->stream = NULL;
    mr_pool_put(&client->tunnels, mr_pool_index(&client->tunnels, request->tunnel));
    request->tunnel = NULL;
}

bool mr_h3_tunnel_may_be_asked_for(struct mr_h3_client *client, struct mr_h3_request *request)
{
    const struct mr_h3_conn *conn = request->conn;

    if (!conn->has_settings) /* RFC 8441, Section 3: not before the server has said that it may */
        return false;
    if (conn->peer.has_connect_protocol && mr_h3_make_tunnel(request->stream)) {
        request->tunnel->stream = request->stream;
        return true;
    }
    mr_h3_abort(&client->h3, request->stream, MR_H3_REQUEST_CANCELLED);
    mr_h3_request_end(client, request, MR_H3_REJECTED, 0, "the server offers no tunnels");
    return false;
}

/* RFC 9297, Section 3.2: what a response that accepts may not be. */
static bool is_acceptance_malformed(const struct mr_message *message)
{
    return message->status == 204 || message->status == 205 || message->status == 206 ||
           mr_message_has(message, MR_FIELD_CONTENT_LENGTH) ||
           mr_message_has(message, MR_FIELD_CONTENT_TYPE);
}

void mr_h3_tunnel_on_head(struct mr_h3_client *client, struct mr_h3_request *request,
                          const struct mr_message *message)
{
    const struct mr_http3_tunnel_handlers *handlers = request->options.tunnel;

    if (message->status < 200 || message->status > 299) {
        mr_h3_abort(&client->h3, request->stream, MR_H3_REQUEST_CANCELLED);
        mr_h3_request_end(client, request, MR_H3_REJECTED, 0, "the server refuses the tunnel");
    } else if (is_acceptance_malformed(message)) {
        mr_count(&client->counters.requests_malformed);
        mr_h3_abort(&client->h3, request->stream, MR_H3_MESSAGE_ERROR);
        mr_h3_request_end(client, request, MR_H3_MALFORMED, MR_H3_MESSAGE_ERROR,
                          "an answer that opens a tunnel has content");
    } else {
        request->tunnel->is_open = true;
        mr_count(&client->counters.tunnels_opened);
        if (handlers->on_open != NULL)
            handlers->on_open(handlers->context, request->tunnel);
    }
}

void mr_h3_tunnel_on_settings(void *context, struct mr_h3_conn *conn)
{
    struct mr_h3_client *client = context;
    struct mr_h3_stream *next;

    for (struct mr_h3_stream *s = conn->streams; s != NULL; s = next) {
        struct mr_h3_request *request = mr_h3_request_of(client, s->owner);
        next = s->next;
        if (request != NULL && request->tunnel != NULL && !request->is_sent &&
            request->state == MR_H3_STATE_OPEN)
            mr_h3_request_send(client, request);
    }
}

void mr_h3_tunnel_on_datagram(void *context, struct mr_h3_stream *stream, const uint8_t *data,
                              size_t size)
{
    const struct mr_h3_request *request = mr_h3_request_of(context, stream->owner);

    if (request != NULL && request->tunnel != NULL && request->state == MR_H3_STATE_OPEN)
        mr_tunnel_datagram(request->tunnel, data, size);
}
