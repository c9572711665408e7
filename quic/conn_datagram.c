/*
 * quic/conn_datagram.c - unreliable datagrams of a connection (RFC 9221): sent, received, dropped.
 *
 *     application -> datagrams_out -> DATAGRAM frames, once each, as soon as congestion control
 * lets DATAGRAM frames -> datagrams_in -> application
 *
 * Nothing here is repeated or flow-controlled.  Each way to lose one has a counter.
 * A UDP payload is called a datagram, too, everywhere else in the engine.
 */
#include <errno.h>

#include "quic/conn_build.h"

#define PN_SIZE_MAX 4 /* bytes of a packet number */

/* ------------------------------------------------------------------ the application */

uint32_t mr_conn_datagram_max(const struct mr_conn *conn)
{
    size_t around =
        1 + conn->peer_cids[conn->peer_cid_current].cid.size + PN_SIZE_MAX + MR_AEAD_TAG;
    size_t room = conn->path.mtu - around;

    return (uint32_t)mr_frame_datagram_data_max(MR_MIN(room, (size_t)conn->peer_datagram_max));
}

/* True if the sizes add up to something that can be sent now. */
static bool is_sendable(const struct mr_conn *conn, const struct mr_view *views, size_t count)
{
    size_t left = mr_conn_datagram_max(conn);

    for (size_t i = 0; i < count; i++) {
        if (views[i].size > left)
            return false;
        left -= views[i].size;
    }
    return conn->peer_datagram_max >= mr_frame_datagram_size(0);
}

int mr_conn_send_datagram(struct mr_endpoint *ep, mr_handle handle, const struct mr_view *views,
                          size_t count)
{
    struct mr_conn *conn = mr_conn_of_handle(ep, handle);

    if (conn == NULL)
        return mr_conn_absence(ep, handle);
    if (!mr_conn_is_alive(conn))
        return -ESTALE;
    if (conn->peer_datagram_max == 0)
        return -EOPNOTSUPP;
    if (!is_sendable(conn, views, count))
        return -EMSGSIZE;

    switch (mr_datagram_queue_push(&conn->datagrams_out, &ep->datagram_chunks, views, count,
                                   ep->limits.datagram_queue_max)) {
    case MR_DATAGRAM_FULL:
        mr_count(&ep->counters.limit_datagrams_sent);
        conn->was_datagram_refused = true;
        return -EAGAIN;
    case MR_DATAGRAM_NO_MEMORY:
        mr_count(&ep->counters.limit_datagram_chunks);
        return -ENOMEM;
    case MR_DATAGRAM_QUEUED:
        mr_conn_want(ep, conn, &conn->app, MR_WANT_DATAGRAM);
        return 0;
    }
    return 0;
}

int64_t mr_conn_receive_datagram(struct mr_endpoint *ep, mr_handle handle, uint8_t *dst,
                                 size_t room)
{
    struct mr_conn *conn = mr_conn_of_number(ep, handle);

    if (mr_conn_is_asleep(ep, handle)) /* one to whom nothing has come */
        return -EAGAIN;
    if (conn == NULL || conn->state == MR_CONN_MOVED)
        return -ESTALE;
    if (conn->datagrams_in.count == 0)
        return -EAGAIN;

    uint32_t size = mr_datagram_queue_first_size(&conn->datagrams_in, &ep->datagram_chunks);
    if (size > room)
        return -ENOBUFS;
    mr_datagram_queue_pop(&conn->datagrams_in, &ep->datagram_chunks, dst);
    return size;
}

/* ------------------------------------------------------------------ receiving */

/* Keep what arrived, if there is room: a packet whose datagram is dropped is acknowledged all the
 * same. */
static void keep(struct mr_endpoint *ep, struct mr_conn *conn,
                 const struct mr_frame_datagram *frame)
{
    struct mr_view view = {.data = frame->data, .size = (size_t)frame->size};

    switch (mr_datagram_queue_push(&conn->datagrams_in, &ep->datagram_chunks, &view, 1,
                                   ep->limits.datagram_queue_max)) {
    case MR_DATAGRAM_FULL:
        mr_count(&ep->counters.limit_datagrams_received);
        return;
    case MR_DATAGRAM_NO_MEMORY:
        mr_count(&ep->counters.limit_datagram_chunks);
        return;
    case MR_DATAGRAM_QUEUED:
        if (conn->datagrams_in.count == 1)
            mr_conn_event(ep, conn, MR_EVENT_DATAGRAM);
        return;
    }
}

bool mr_on_datagram(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    uint32_t accepted = rx->ep->config.datagram_max;
    const uint8_t *body = r->at;
    struct mr_frame_datagram frame;

    if (accepted == 0)
        return mr_conn_fail(rx->ep, rx->conn, MR_PROTOCOL_VIOLATION, type,
                            "DATAGRAM frames were not negotiated", rx->now);
    if (!mr_frame_decode_datagram(r, type, &frame))
        return mr_conn_fail(rx->ep, rx->conn, MR_FRAME_ENCODING_ERROR, type, "malformed frame",
                            rx->now);
    if (1 + (size_t)(r->at - body) > accepted)
        return mr_conn_fail(rx->ep, rx->conn, MR_PROTOCOL_VIOLATION, type,
                            "DATAGRAM frame larger than we take", rx->now);
    mr_count(&rx->ep->counters.datagram_frames_received);
    keep(rx->ep, rx->conn, &frame);
    return true;
}

/* ------------------------------------------------------------------ sending */

/* A queue that refused has room for half of what it takes: say so. */
static void after_pop(struct mr_endpoint *ep, struct mr_conn *conn)
{
    if (!conn->was_datagram_refused ||
        conn->datagrams_out.chunk_count > ep->limits.datagram_queue_max / 2)
        return;
    conn->was_datagram_refused = false;
    mr_conn_event(ep, conn, MR_EVENT_WRITABLE);
}

/* Will the first one, which does not fit this packet, fit another?  Not if the path's MTU fell, nor
 * if the caller's buffer has less room than that.  The amplification limit passes. */
static bool is_hopeless(const struct mr_build *b, uint32_t size, uint32_t written)
{
    bool is_alone = b->packet == b->out->data && b->record->first.kind == MR_SENT_NONE &&
                    written == 0 && b->conn->path.is_validated;

    return is_alone || size > mr_conn_datagram_max(b->conn);
}

static void write_frame(struct mr_build *b, uint32_t size)
{
    struct mr_frame_datagram frame = {.size = size};

    mr_frame_write_datagram_header(&b->w, &frame);
    mr_datagram_queue_pop(&b->conn->datagrams_out, &b->ep->datagram_chunks,
                          mr_write_later(&b->w, size));
}

void mr_produce_datagram(struct mr_build *b)
{
    struct mr_endpoint *ep = b->ep;
    struct mr_conn *conn = b->conn;
    struct mr_datagram_queue *q = &conn->datagrams_out;
    uint32_t written = 0;

    if (!mr_build_can_record(b))
        return;
    while (q->count > 0) {
        uint32_t size = mr_datagram_queue_first_size(q, &ep->datagram_chunks);

        if (mr_frame_datagram_size(size) <= mr_writer_room(&b->w)) {
            write_frame(b, size);
            written++;
        } else if (is_hopeless(b, size, written)) {
            mr_datagram_queue_pop(q, &ep->datagram_chunks, NULL);
            mr_count(&ep->counters.datagram_frames_too_big);
        } else {
            break;
        }
        after_pop(ep, conn);
    }
    if (written > 0)
        mr_build_record(b, MR_SENT_DATAGRAM, 0, written, 0, false);
    mr_count_add(&ep->counters.datagram_frames_sent, written);
    if (q->count == 0)
        b->space->wants &= ~(uint32_t)MR_WANT_DATAGRAM;
}

void mr_produce_datagram_in_turn(struct mr_build *b)
{
    struct mr_conn *conn = b->conn;
    uint16_t before = conn->datagrams_out.count;
    bool has_rival = (b->space->wants & MR_WANT_STREAM) != 0;

    if (has_rival && conn->is_streams_turn) {
        conn->is_streams_turn = false;
        return;
    }
    mr_produce_datagram(b);
    conn->is_streams_turn = has_rival && conn->datagrams_out.count < before;
}

void mr_datagrams_count_lost(struct mr_endpoint *ep, const struct mr_sent *sent,
                             const struct mr_sent_packet *packet)
{
    struct mr_sent_frames at;

    for (const struct mr_sent_frame *f = mr_sent_frame_first(&at, sent, packet); f != NULL;
         f = mr_sent_frame_next(&at)) {
        if (f->kind == MR_SENT_DATAGRAM)
            mr_count_add(&ep->counters.datagram_frames_lost, f->object);
    }
}
