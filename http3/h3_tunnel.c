/* http3/h3_tunnel.c - tunnels (RFC 9220) and their datagrams (RFC 9297); see h3_conn.h. */
#include <errno.h>

#include "base/compiler.h"
#include "http3/h3_internal.h"

#define QUARTER_ID_MAX ((UINT64_C(1) << 60) - 1)

bool mr_h3_make_tunnel(struct mr_h3_stream *stream)
{
    struct mr_h3_conn *conn = stream->conn;

    if (conn->tunnel_count == MR_H3_TUNNELS_PER_CONN)
        return false;
    stream->is_tunnel = true;
    stream->next_tunnel = conn->tunnels;
    conn->tunnels = stream;
    conn->tunnel_count++;
    return true;
}

void mr_h3_tunnel_remove(struct mr_h3_stream *stream)
{
    struct mr_h3_stream **at = &stream->conn->tunnels;

    if (!stream->is_tunnel)
        return;
    while (*at != stream)
        at = &(*at)->next_tunnel;
    *at = stream->next_tunnel;
    stream->is_tunnel = false;
    stream->conn->tunnel_count--;
}

/* ---- what comes ---- */

/* Its tunnel, if what it brings is still wanted. */
static struct mr_h3_stream *find(const struct mr_h3_conn *conn, uint64_t id)
{
    struct mr_h3_stream *stream = conn->tunnels;

    while (stream != NULL && stream->id != id)
        stream = stream->next_tunnel;
    return stream != NULL && stream->is_reading && !stream->is_fin_received ? stream : NULL;
}

/* A request that is no tunnel, and can still bring something; a server knows that when its head has
 * come. */
static struct mr_h3_stream *find_other(const struct mr_h3 *h3, const struct mr_h3_conn *conn,
                                       uint64_t id)
{
    struct mr_h3_stream *stream = conn->streams;

    while (stream != NULL && (stream->kind != MR_H3_KIND_REQUEST || stream->id != id))
        stream = stream->next;
    return stream != NULL && !stream->is_tunnel && stream->is_reading && !stream->is_fin_received &&
                   (!h3->is_server || stream->phase != MR_H3_PHASE_HEAD)
               ? stream
               : NULL;
}

static void take_datagram(struct mr_h3 *h3, struct mr_h3_conn *conn, size_t size)
{
    uint64_t quarter;
    size_t at = 0;

    if (!mr_h3_frame_get_varint(h3->datagram, size, &at, &quarter) || quarter > QUARTER_ID_MAX) {
        mr_h3_conn_fail(h3, conn, MR_H3_DATAGRAM_ERROR, "datagram without a stream");
        return; /* RFC 9297, Section 2.1 */
    }
    if (h3->is_traced)
        mr_h3_trace_datagram(h3, conn, 4 * quarter, size - at, false);
    struct mr_h3_stream *stream = find(conn, 4 * quarter);
    if (stream != NULL) {
        h3->user.on_datagram(h3->user.context, stream, h3->datagram + at, size - at);
        return;
    }
    mr_count(&h3->counters->datagrams_dropped);
    stream = find_other(h3, conn, 4 * quarter);
    if (stream != NULL) /* Section 2: datagrams mean nothing there */
        mr_h3_stream_fail(h3, stream, MR_H3_DATAGRAM_ERROR);
}

void mr_h3_on_datagrams(struct mr_h3 *h3, struct mr_h3_conn *conn)
{
    struct mr_transport *t = h3->transport;

    while (!conn->is_closing) {
        int64_t size = t->ops->receive_datagram(t, conn->handle, h3->datagram, MR_H3_DATAGRAM_ROOM);
        if (size < 0)
            return;
        take_datagram(h3, conn, (size_t)size);
    }
}

/* ---- what goes ---- */

void mr_h3_on_datagram_room(struct mr_h3 *h3, struct mr_h3_conn *conn)
{
    struct mr_h3_stream *next;

    for (struct mr_h3_stream *s = conn->tunnels; s != NULL; s = next) {
        next = s->next_tunnel;
        h3->user.on_writable(h3->user.context, s);
    }
}

int mr_h3_send_datagram(struct mr_h3 *h3, struct mr_h3_stream *stream, const uint8_t *data,
                        size_t size)
{
    struct mr_transport *t = h3->transport;
    const struct mr_h3_conn *conn = stream->conn;
    uint8_t quarter[MR_H3_VARINT_MAX_SIZE];
    struct mr_view views[] = {{quarter, 0}, {data, size}};

    if (conn->is_closing || stream->is_send_over)
        return -EPIPE;
    if (!conn->peer.has_datagrams || !conn->has_sent_settings || !h3->limits.has_tunnels ||
        t->ops->send_datagram == NULL) /* RFC 9297, Section 2.1.1 */
        return -EOPNOTSUPP;
    views[0].size = mr_h3_varint_put(quarter, stream->id / 4);
    int result = t->ops->send_datagram(t, conn->handle, views, size > 0 ? 2 : 1);
    if (result == 0 && h3->is_traced)
        mr_h3_trace_datagram(h3, conn, stream->id, size, true);
    return result;
}
