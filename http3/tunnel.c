/* http3/tunnel.c - see tunnel.h. */
#include "http3/tunnel.h"

#include <errno.h>
#include <string.h>

#include "base/compiler.h"

void mr_tunnel_init(struct mr_http3_tunnel *tunnel, struct mr_h3 *h3, struct mr_h3_stream *stream,
                    const struct mr_http3_tunnel_handlers *handlers)
{
    memset(tunnel, 0, offsetof(struct mr_http3_tunnel, value));
    tunnel->h3 = h3;
    tunnel->stream = stream;
    tunnel->handlers = handlers;
}

/* ---- what comes ---- */

void mr_tunnel_datagram(struct mr_http3_tunnel *tunnel, const uint8_t *data, size_t size)
{
    const struct mr_http3_tunnel_handlers *handlers = tunnel->handlers;

    if (!tunnel->is_open || tunnel->is_told) {
        mr_count(&tunnel->h3->counters->datagrams_dropped);
        return;
    }
    mr_count(&tunnel->h3->counters->datagrams_received);
    if (handlers->on_datagram != NULL)
        handlers->on_datagram(handlers->context, tunnel, data, size);
}

/* A capsule's header is complete. */
static void begin_capsule(struct mr_http3_tunnel *tunnel)
{
    struct mr_h3_frame_reader *capsule = &tunnel->capsule;
    struct mr_h3_counters *counters = tunnel->h3->counters;

    tunnel->used = 0;
    if (capsule->type != MR_CAPSULE_DATAGRAM) {
        capsule->is_refused = true;
        mr_count(&counters->capsules_skipped);
    } else if (capsule->left > MR_TUNNEL_CAPSULE_MAX) {
        capsule->is_refused = true;
        mr_count(&counters->datagrams_dropped);
    }
}

/* Some of a capsule's value. */
static void take_value(struct mr_http3_tunnel *tunnel, const uint8_t *data, size_t size)
{
    struct mr_h3_frame_reader *capsule = &tunnel->capsule;

    if (!capsule->is_refused && size > 0) {
        memcpy(tunnel->value + tunnel->used, data, size);
        tunnel->used += (uint32_t)size;
    }
    capsule->left -= size;
    if (capsule->left > 0)
        return;
    if (!capsule->is_refused)
        mr_tunnel_datagram(tunnel, tunnel->value, tunnel->used);
    mr_h3_frame_next(capsule);
}

void mr_tunnel_data(struct mr_http3_tunnel *tunnel, const uint8_t *data, size_t size)
{
    struct mr_h3_frame_reader *capsule = &tunnel->capsule;
    size_t used = 0;

    while (used < size && tunnel->stream != NULL) {
        if (!capsule->has_header) {
            used += mr_h3_frame_read_header(capsule, data + used, size - used);
            if (!capsule->has_header)
                return;
            begin_capsule(tunnel);
            if (capsule->left > 0)
                continue;
        }
        size_t part = (size_t)MR_MIN((uint64_t)(size - used), capsule->left);
        take_value(tunnel, data + used, part);
        used += part;
    }
}

bool mr_tunnel_peer_end(struct mr_http3_tunnel *tunnel)
{
    if (!mr_h3_frame_is_between(&tunnel->capsule)) { /* RFC 9297, Section 3.3 */
        mr_count(&tunnel->h3->counters->requests_malformed);
        mr_h3_abort(tunnel->h3, tunnel->stream, MR_H3_MESSAGE_ERROR);
        mr_tunnel_over(tunnel, -EBADMSG, "the peer cut a capsule off");
        return false;
    }
    mr_http3_tunnel_end(tunnel);
    mr_tunnel_over(tunnel, 0, "");
    return true;
}

void mr_tunnel_over(struct mr_http3_tunnel *tunnel, int error, const char *reason)
{
    const struct mr_http3_tunnel_handlers *handlers = tunnel->handlers;

    if (tunnel->is_told)
        return;
    tunnel->is_told = true;
    if (handlers->on_end != NULL)
        handlers->on_end(handlers->context, tunnel, error, reason);
}

/* ---- what goes ---- */

/* What the transport said, for the application. */
static int answer(struct mr_http3_tunnel *tunnel, int result)
{
    if (result == -ENOMEM) { /* no event follows */
        mr_h3_want_retry(tunnel->h3);
        result = -EAGAIN;
    }
    tunnel->was_refused = tunnel->was_refused || result == -EAGAIN;
    return result == -ESTALE ? -EPIPE : result;
}

static int send_capsule(struct mr_http3_tunnel *tunnel, const void *data, size_t size)
{
    uint8_t capsule[MR_H3_DATA_MAX];

    if (size > MR_TUNNEL_SEND_MAX)
        return -EMSGSIZE;
    size_t at = mr_h3_frame_put_header(capsule, MR_CAPSULE_DATAGRAM, size);
    if (size > 0)
        memcpy(capsule + at, data, size);
    return mr_h3_send_data(tunnel->h3, tunnel->stream, capsule, at + size, false);
}

int mr_http3_tunnel_send(struct mr_http3_tunnel *tunnel, const void *data, size_t size)
{
    if (tunnel->stream == NULL || tunnel->is_told || tunnel->wants_end)
        return -EPIPE;
    if (!tunnel->is_open)
        return -ENOTCONN;
    int result = mr_h3_send_datagram(tunnel->h3, tunnel->stream, data, size);
    if (result == -EOPNOTSUPP)
        result = send_capsule(tunnel, data, size);
    if (result == 0)
        mr_count(&tunnel->h3->counters->datagrams_sent);
    return answer(tunnel, result);
}

void mr_http3_tunnel_end(struct mr_http3_tunnel *tunnel)
{
    if (tunnel->stream == NULL || tunnel->stream->is_send_over)
        return;
    if (!tunnel->is_open) { /* nobody waits for an answer any more */
        mr_h3_abort(tunnel->h3, tunnel->stream, MR_H3_REQUEST_CANCELLED);
        return;
    }
    int result = mr_h3_send_data(tunnel->h3, tunnel->stream, NULL, 0, true);
    tunnel->wants_end = result == -EAGAIN || result == -ENOMEM;
    if (result == -ENOMEM)
        mr_h3_want_retry(tunnel->h3);
}

void mr_tunnel_writable(struct mr_http3_tunnel *tunnel)
{
    const struct mr_http3_tunnel_handlers *handlers = tunnel->handlers;

    if (tunnel->wants_end) {
        tunnel->wants_end = false;
        mr_http3_tunnel_end(tunnel);
    } else if (tunnel->was_refused && !tunnel->is_told) {
        tunnel->was_refused = false;
        if (handlers->on_room != NULL)
            handlers->on_room(handlers->context, tunnel);
    }
}

void mr_http3_tunnel_set_user(struct mr_http3_tunnel *tunnel, void *user)
{
    tunnel->user = user;
}

void *mr_http3_tunnel_user(const struct mr_http3_tunnel *tunnel)
{
    return tunnel->user;
}
