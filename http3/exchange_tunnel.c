/* http3/exchange_tunnel.c - an exchange that is a tunnel (RFC 9220); see server_internal.h. */
#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "http3/server_internal.h"

/* Keep a text of the head that is being read; one that does not fit is none. */
static void keep(char *dst, size_t room, struct mr_text value)
{
    size_t size = value.size < room ? value.size : 0;

    memcpy(dst, value.data, size);
    dst[size] = '\0';
}

void mr_exchange_tunnel_field(struct mr_h3_server *server, enum mr_h3_field field,
                              struct mr_text value)
{
    struct mr_tunnel_head *head = &server->tunnel_head;

    if (field == MR_FIELD_PATH)
        keep(head->path, sizeof(head->path), value);
    else if (field == MR_FIELD_PROTOCOL)
        keep(head->protocol, sizeof(head->protocol), value);
}

static struct mr_http3_tunnel *take_tunnel(struct mr_h3_server *server, struct mr_exchange *x)
{
    uint32_t index = mr_pool_get(&server->tunnels);

    if (index == MR_NONE)
        return NULL;
    if (!mr_h3_make_tunnel(x->stream)) {
        mr_pool_put(&server->tunnels, index);
        return NULL;
    }
    struct mr_http3_tunnel *tunnel = mr_pool_at(&server->tunnels, index);
    mr_tunnel_init(tunnel, &server->h3, x->stream, server->config.tunnels);
    return tunnel;
}

static int send_head(struct mr_h3_server *server, struct mr_exchange *x)
{
    const struct mr_field_line lines[] = {
        {":status", {"200", 3}}, {"server", {"millrace", 8}}, {"capsule-protocol", {"?1", 2}}};

    return mr_h3_send_head(&server->h3, x->stream, lines, MR_COUNT_OF(lines),
                           &(struct mr_h3_body){.is_open = true});
}

/* The answer that accepts goes out, now or later. */
static void accept(struct mr_h3_server *server, struct mr_exchange *x)
{
    switch (send_head(server, x)) {
    case 0:
        x->is_head_sent = true;
        x->tunnel->is_open = true;
        mr_count(&server->counters.responses_200);
        mr_count(&server->counters.tunnels_opened);
        if (server->config.tunnels->on_open != NULL)
            server->config.tunnels->on_open(server->config.tunnels->context, x->tunnel);
        break;
    case -EAGAIN:
        break;
    case -ENOMEM:
        mr_exchange_retry_later(server, x);
        break;
    default:
        mr_exchange_abort(server, x, MR_H3_INTERNAL_ERROR);
        break;
    }
}

uint16_t mr_exchange_tunnel_begin(struct mr_h3_server *server, struct mr_exchange *x,
                                  const struct mr_message *message)
{
    const struct mr_http3_tunnel_handlers *handlers = server->config.tunnels;
    struct mr_tunnel_head *head = &server->tunnel_head;
    const struct mr_http3_tunnel_request request = {.protocol = head->protocol,
                                                    .authority = head->authority,
                                                    .path = head->path,
                                                    .is_early = x->stream->is_early};
    uint16_t status = 503;

    keep(head->authority, sizeof(head->authority),
         (struct mr_text){message->authority, message->authority_size});
    if (head->path[0] == '\0' || head->protocol[0] == '\0')
        return 414;
    x->tunnel = take_tunnel(server, x);
    if (x->tunnel != NULL)
        status = (uint16_t)handlers->on_request(handlers->context, x->tunnel, &request);
    if (x->tunnel != NULL && status == 200) {
        x->state = MR_EXCHANGE_TUNNEL;
        accept(server, x);
        return 200;
    }
    mr_count(&server->counters.tunnels_refused);
    if (x->tunnel != NULL)
        x->tunnel->is_told = true; /* it was never one */
    return mr_response_is_known(status) && status >= 400 ? status : 403;
}

void mr_exchange_tunnel_continue(struct mr_h3_server *server, struct mr_exchange *x)
{
    if (!x->is_head_sent)
        accept(server, x);
    else
        mr_tunnel_writable(x->tunnel);
}

void mr_exchange_tunnel_end(struct mr_h3_server *server, struct mr_exchange *x, int error,
                            const char *reason)
{
    (void)server;
    if (x->tunnel != NULL)
        mr_tunnel_over(x->tunnel, error, reason);
}

void mr_exchange_tunnel_release(struct mr_h3_server *server, struct mr_exchange *x)
{
    if (x->tunnel == NULL)
        return;
    x->tunnel->stream = NULL;
    mr_pool_put(&server->tunnels, mr_pool_index(&server->tunnels, x->tunnel));
    x->tunnel = NULL;
}
