/* http3/h3_trace.c - what a connection's trace is told (millrace/trace.h); see h3_trace.h. */
#include "http3/h3_trace.h"

#include <string.h>

#include "http3/h3_conn.h"

void mr_h3_trace_look(struct mr_h3 *h3)
{
    struct mr_transport *t = h3->transport;

    h3->is_traced = t->ops->trace != NULL &&
                    t->ops->trace(t, MR_HANDLE_NONE, NULL, (struct mr_view){.data = NULL}) == 0;
}

/* What is not taken is counted by the transport, or of a connection that is not traced. */
static void tell(struct mr_h3 *h3, const struct mr_h3_conn *conn,
                 const struct mr_trace_http3 *record, struct mr_view bytes)
{
    struct mr_transport *t = h3->transport;

    if (bytes.size > MR_TRACE_HTTP3_BYTES)
        bytes.size = 0;
    (void)t->ops->trace(t, conn->handle, record, bytes);
}

/* ---- streams, datagrams, priorities ---- */

void mr_h3_trace_stream(struct mr_h3 *h3, const struct mr_h3_stream *stream, uint64_t type,
                        bool is_ours)
{
    const struct mr_trace_http3 record = {
        .kind = MR_TRACE_HTTP3_STREAM, .stream = stream->id, .type = type, .is_ours = is_ours};

    if (!stream->conn->is_hq)
        tell(h3, stream->conn, &record, (struct mr_view){.data = NULL});
}

void mr_h3_trace_datagram(struct mr_h3 *h3, const struct mr_h3_conn *conn, uint64_t id, size_t size,
                          bool is_ours)
{
    const struct mr_trace_http3 record = {
        .kind = MR_TRACE_HTTP3_DATAGRAM, .stream = id, .size = size, .is_ours = is_ours};

    tell(h3, conn, &record, (struct mr_view){.data = NULL});
}

void mr_h3_trace_priority(struct mr_h3 *h3, const struct mr_h3_stream *stream,
                          const struct mr_priority *before, bool is_ours)
{
    struct mr_trace_http3 record = {.kind = MR_TRACE_HTTP3_PRIORITY,
                                    .stream = stream->id,
                                    .is_ours = is_ours,
                                    .is_first = before == NULL,
                                    .after = stream->priority};

    if (before != NULL)
        record.before = *before;
    tell(h3, stream->conn, &record, (struct mr_view){.data = NULL});
}

/* ---- frames ---- */

void mr_h3_trace_got(struct mr_h3 *h3, const struct mr_h3_stream *stream, uint64_t size,
                     const uint8_t *payload)
{
    const struct mr_trace_http3 record = {.kind = MR_TRACE_HTTP3_FRAME,
                                          .stream = stream->id,
                                          .type = stream->frame.type,
                                          .size = size};

    tell(h3, stream->conn, &record, (struct mr_view){payload, payload == NULL ? 0 : (size_t)size});
}

void mr_h3_trace_made(struct mr_h3 *h3, const struct mr_h3_stream *stream, const uint8_t *frames,
                      size_t size)
{
    struct mr_trace_http3 record = {
        .kind = MR_TRACE_HTTP3_FRAME, .stream = stream->id, .is_ours = true};

    for (size_t at = 0; at < size;) {
        if (!mr_h3_frame_get_varint(frames, size, &at, &record.type) ||
            !mr_h3_frame_get_varint(frames, size, &at, &record.size))
            return;
        bool has_payload = record.type != MR_H3_FRAME_DATA && record.size <= size - at;
        size_t shown = has_payload ? (size_t)record.size : 0;
        tell(h3, stream->conn, &record, (struct mr_view){frames + at, shown});
        at += shown;
    }
}

/* ---- field sections ---- */

/* Of a path what is in front of a query: that may have what is nobody's business. */
static size_t shown_size(struct mr_text name, struct mr_text value)
{
    const char *query = NULL;

    if (name.size == 5 && memcmp(name.data, ":path", 5) == 0 && value.size > 0)
        query = memchr(value.data, '?', value.size);
    return query == NULL ? value.size : (size_t)(query - value.data) + 1;
}

void mr_h3_trace_field(struct mr_h3_traced *section, struct mr_text name, struct mr_text value)
{
    size_t room = sizeof(section->bytes) - section->size;
    size_t shown = shown_size(name, value);
    uint8_t *at = section->bytes + section->size;

    section->count++;
    if (name.size == 0 || name.data[0] != ':' || name.size > UINT8_MAX || room < 3 + name.size)
        return;
    bool is_shown = shown <= room - 3 - name.size;
    uint16_t said = is_shown ? (uint16_t)shown : (uint16_t)MR_TRACE_HTTP3_LEFT_OUT;
    *at++ = (uint8_t)name.size;
    memcpy(at, name.data, name.size);
    at += name.size;
    *at++ = (uint8_t)said;
    *at++ = (uint8_t)(said >> 8);
    if (is_shown && shown > 0) {
        memcpy(at, value.data, shown);
        at += shown;
    }
    section->size = (uint32_t)(at - section->bytes);
}

void mr_h3_trace_section(struct mr_h3 *h3, const struct mr_h3_stream *stream, size_t size)
{
    const struct mr_trace_http3 record = {.kind = MR_TRACE_HTTP3_FRAME,
                                          .stream = stream->id,
                                          .type = MR_H3_FRAME_HEADERS,
                                          .size = size,
                                          .fields = h3->traced.count};

    tell(h3, stream->conn, &record, (struct mr_view){h3->traced.bytes, h3->traced.size});
}

void mr_h3_trace_head(struct mr_h3 *h3, const struct mr_h3_stream *stream,
                      const struct mr_field_line *lines, size_t count, struct mr_view head)
{
    struct mr_h3_traced section = {.size = 0};
    struct mr_trace_http3 record = {
        .kind = MR_TRACE_HTTP3_FRAME, .stream = stream->id, .is_ours = true};
    size_t at = 0;

    for (size_t i = 0; i < count; i++)
        mr_h3_trace_field(&section, (struct mr_text){lines[i].name, strlen(lines[i].name)},
                          lines[i].value);
    record.fields = section.count;
    if (!mr_h3_frame_get_varint(head.data, head.size, &at, &record.type) ||
        !mr_h3_frame_get_varint(head.data, head.size, &at, &record.size) ||
        record.size > head.size - at)
        return;
    tell(h3, stream->conn, &record, (struct mr_view){section.bytes, section.size});
    at += (size_t)record.size;
    mr_h3_trace_made(h3, stream, head.data + at, head.size - at);
}
