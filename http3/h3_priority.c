/* http3/h3_priority.c - priorities of request streams (RFC 9218); see h3_conn.h. */
#include <errno.h>
#include <string.h>

#include "http3/h3_internal.h"

void mr_h3_priority_begin(struct mr_h3_conn *conn, struct mr_h3_stream *stream)
{
    stream->priority = mr_priority_default();
    stream->is_reprioritized = mr_priorities_take(&conn->priorities, stream->id, &stream->priority);
}

void mr_h3_priority_field(struct mr_h3_stream *stream, struct mr_text value)
{
    (void)mr_priority_parse(value, &stream->priority); /* what is no Dictionary says nothing */
}

void mr_h3_priority_apply(struct mr_h3 *h3, const struct mr_h3_stream *stream)
{
    struct mr_transport *t = h3->transport;

    if (t->ops->set_priority != NULL)
        (void)t->ops->set_priority(t, stream->handle, stream->priority);
}

/* A frame costs a look at the connection's streams: more than these are an attack. */
static bool is_flood(struct mr_h3_conn *conn)
{
    uint64_t requests = conn->next_request_id / 4;

    return ++conn->priority_updates >
           MR_H3_PRIORITY_UPDATES + requests * MR_H3_PRIORITY_UPDATES_PER_REQUEST;
}

void mr_h3_priority_drop(struct mr_h3 *h3, struct mr_h3_conn *conn)
{
    mr_count(&h3->counters->priority_updates_dropped);
    if (is_flood(conn))
        mr_h3_conn_fail(h3, conn, MR_H3_EXCESSIVE_LOAD, "too many PRIORITY_UPDATE frames");
}

static struct mr_h3_stream *request_of_id(const struct mr_h3_conn *conn, uint64_t id)
{
    struct mr_h3_stream *stream = conn->streams;

    while (stream != NULL && (stream->kind != MR_H3_KIND_REQUEST || stream->id != id))
        stream = stream->next;
    return stream;
}

static void update(struct mr_h3 *h3, struct mr_h3_conn *conn, uint64_t id,
                   struct mr_priority priority)
{
    mr_count(&h3->counters->priority_updates);
    if (id >= conn->next_request_id) { /* it is not open yet */
        if (!conn->has_sent_goaway && !mr_priorities_put(&conn->priorities, id, priority))
            mr_count(&h3->counters->priority_updates_dropped);
        return;
    }
    struct mr_h3_stream *stream = request_of_id(conn, id);
    if (stream == NULL) /* it is closed */
        return;
    struct mr_priority before = stream->priority;
    stream->priority = priority;
    stream->is_reprioritized = true;
    mr_h3_priority_apply(h3, stream);
    if (h3->is_traced)
        mr_h3_trace_priority(h3, stream, &before, false);
}

void mr_h3_priority_update(struct mr_h3 *h3, struct mr_h3_conn *conn, const uint8_t *payload,
                           size_t size)
{
    struct mr_priority priority = mr_priority_default(); /* what is left out has its default */
    size_t at = 0;
    uint64_t id;

    if (!mr_h3_frame_get_varint(payload, size, &at, &id))
        mr_h3_conn_fail(h3, conn, MR_H3_FRAME_ERROR, "PRIORITY_UPDATE of a wrong length");
    else if ((id & 3) != 0) /* RFC 9218, Section 7.2 */
        mr_h3_conn_fail(h3, conn, MR_H3_ID_ERROR, "PRIORITY_UPDATE names no request");
    else if (!mr_priority_parse((struct mr_text){(const char *)payload + at, size - at}, &priority))
        mr_h3_conn_fail(h3, conn, MR_H3_GENERAL_PROTOCOL_ERROR, "PRIORITY_UPDATE not readable");
    else if (is_flood(conn))
        mr_h3_conn_fail(h3, conn, MR_H3_EXCESSIVE_LOAD, "too many PRIORITY_UPDATE frames");
    else
        update(h3, conn, id, priority);
}

int mr_h3_prioritize(struct mr_h3 *h3, struct mr_h3_stream *stream, struct mr_priority priority)
{
    uint8_t frame[MR_H3_FRAME_HEADER_MAX + MR_H3_VARINT_MAX_SIZE + MR_PRIORITY_TEXT];
    uint8_t id[MR_H3_VARINT_MAX_SIZE];
    char text[MR_PRIORITY_TEXT];
    struct mr_h3_conn *conn = stream->conn;
    size_t id_size = mr_h3_varint_put(id, stream->id);
    size_t text_size = mr_priority_format(priority, text);

    if (conn->is_closing)
        return -EPIPE;
    if (!conn->has_sent_settings)
        return -EAGAIN;
    size_t size = mr_h3_frame_put_header(frame, MR_H3_FRAME_PRIORITY_UPDATE, id_size + text_size);
    memcpy(frame + size, id, id_size);
    memcpy(frame + size + id_size, text, text_size);
    size += id_size + text_size;
    int result = mr_h3_send_copy(h3, conn->our_control, frame, size, false);
    if (result == 0 && h3->is_traced)
        mr_h3_trace_made(h3, conn->our_control, frame, size);
    return result;
}
