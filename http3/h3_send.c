/* http3/h3_send.c - what goes: heads, content, our own streams; see h3_conn.h. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "base/siphash.h"
#include "http3/grease.h"
#include "http3/h3_internal.h"

enum {
    COPY_MAX = 1024,     /* bytes that a transport copies in one send */
    FIELD_OVERHEAD = 32, /* RFC 9114, Section 4.2.2 */
};

_Static_assert((int)MR_H3_HEAD_MAX <= (int)COPY_MAX, "a head goes out in one piece");
_Static_assert((int)MR_H3_DATA_MAX + (int)MR_H3_FRAME_HEADER_MAX <= (int)COPY_MAX,
               "as does content");
_Static_assert((int)MR_H3_SETTINGS_MAX + (int)MR_H3_GREASE_FRAME_MAX < (int)COPY_MAX,
               "SETTINGS go out in one piece");

int mr_h3_send_copy(struct mr_h3 *h3, struct mr_h3_stream *stream, const uint8_t *data, size_t size,
                    bool is_last)
{
    struct mr_transport *t = h3->transport;
    struct mr_view view = {data, size};
    int result = t->ops->send(t, stream->handle, &view, 1,
                              MR_SEND_COPY | (is_last ? (uint32_t)MR_SEND_FIN : 0));

    if (result == 0)
        stream->sent_bytes += size;
    else if (result == -EAGAIN || result == -ENOMEM)
        mr_count(&h3->counters->send_waits);
    return result;
}

/* ---- requests ---- */

uint64_t mr_h3_section_bytes(const struct mr_field_line *lines, size_t count)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < count; i++)
        bytes += strlen(lines[i].name) + lines[i].value.size + FIELD_OVERHEAD;
    return bytes;
}

/* What the table has inserted goes before what refers to it, if there is room. */
static void flush_instructions(struct mr_h3 *h3, struct mr_h3_conn *conn);

/* RFC 9218, Section 8: what the response says of its priority. */
static void merge_priority(struct mr_h3 *h3, struct mr_h3_stream *stream,
                           const struct mr_field_line *lines, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(lines[i].name, "priority") != 0)
            continue;
        struct mr_priority before = stream->priority;
        mr_h3_priority_field(stream, lines[i].value);
        mr_h3_priority_apply(h3, stream);
        if (h3->is_traced)
            mr_h3_trace_priority(h3, stream, &before, true);
    }
}

/* Encode a head, and the frame header for what follows.  Its bytes; 0: it is too large.
 * *is_owed_out: it refers to the table, and the encoder counts on its being sent. */
static size_t build_head(struct mr_h3 *h3, struct mr_h3_stream *stream,
                         const struct mr_field_line *lines, size_t count,
                         const struct mr_h3_body *body, uint8_t head[MR_H3_HEAD_MAX],
                         bool *is_owed_out)
{
    struct mr_h3_conn *conn = stream->conn;
    size_t size = 0;
    const uint8_t *section =
        mr_qpack_table_encode(&conn->table, &h3->encoder, stream->id, lines, count, &size);

    if (section == NULL)
        section = mr_qpack_encode(&h3->encoder, lines, count, &size);
    size_t rest = MR_H3_HEAD_MAX - 2 * MR_H3_FRAME_HEADER_MAX;
    if (section == NULL || size > rest)
        return 0;
    *is_owed_out = section[0] != 0; /* Required Insert Count: RFC 9204, Section 4.5.1 */
    size_t at = mr_h3_frame_put_header(head, MR_H3_FRAME_HEADERS, size);
    memcpy(head + at, section, size);
    at += size;
    if (rest - size >= MR_H3_GREASE_FRAME_MAX && !body->is_open) /* not in a tunnel */
        at += mr_h3_grease_head(conn, head + at);
    if (body->size > 0)
        at += mr_h3_frame_put_header(head + at, MR_H3_FRAME_DATA, body->size);
    return at;
}

/* Keep a head that found no room, as it is: encoded again it would refer to the table twice.  If
 * there is no memory for that it does. */
static void keep_head(struct mr_h3_stream *stream, const uint8_t *head, size_t size)
{
    stream->head = mr_heap_share_alloc(&stream->conn->sections, size);
    stream->head_size = size;
    if (stream->head != NULL)
        memcpy(stream->head, head, size);
}

int mr_h3_send_head(struct mr_h3 *h3, struct mr_h3_stream *stream,
                    const struct mr_field_line *lines, size_t count, const struct mr_h3_body *body)
{
    uint8_t head[MR_H3_HEAD_MAX];
    struct mr_h3_conn *conn = stream->conn;
    bool is_last = body->size == 0 && !body->is_open;
    bool is_owed = false;

    if (conn->is_hq)
        return mr_h3_hq_send_head(h3, stream, lines, count, body);
    if (conn->is_closing)
        return -EPIPE;
    if (stream->head == NULL) {
        if (mr_h3_section_bytes(lines, count) > conn->peer.field_section_max)
            return -EMSGSIZE;
        size_t size = build_head(h3, stream, lines, count, body, head, &is_owed);
        if (size == 0)
            return -EMSGSIZE;
        if (h3->is_server)
            merge_priority(h3, stream, lines, count);
        flush_instructions(h3, conn);
        int result = mr_h3_send_copy(h3, stream, head, size, is_last);
        if (result == 0 && h3->is_traced)
            mr_h3_trace_head(h3, stream, lines, count, (struct mr_view){head, size});
        if (is_owed && (result == -EAGAIN || result == -ENOMEM))
            keep_head(stream, head, size);
        return result;
    }
    int result = mr_h3_send_copy(h3, stream, stream->head, stream->head_size, is_last);
    if (result == 0) {
        if (h3->is_traced)
            mr_h3_trace_head(h3, stream, lines, count,
                             (struct mr_view){stream->head, stream->head_size});
        mr_heap_share_free(&conn->sections, stream->head);
        stream->head = NULL;
    }
    return result;
}

int mr_h3_send_data(struct mr_h3 *h3, struct mr_h3_stream *stream, const uint8_t *data, size_t size,
                    bool is_last)
{
    uint8_t frame[MR_H3_FRAME_HEADER_MAX + MR_H3_DATA_MAX];
    size_t at = 0;

    MR_ASSERT(size <= MR_H3_DATA_MAX);
    frame[0] = 0; /* nothing of it is sent with the end alone */
    if (stream->conn->is_closing || stream->is_send_over)
        return -EPIPE;
    if (size > 0) {
        at = mr_h3_frame_put_header(frame, MR_H3_FRAME_DATA, size);
        memcpy(frame + at, data, size);
    }
    int result = mr_h3_send_copy(h3, stream, frame, at + size, is_last);
    if (result == 0) {
        stream->is_send_over = is_last;
        if (h3->is_traced && size > 0)
            mr_h3_trace_made(h3, stream, frame, at);
        mr_count_add(&h3->counters->body_bytes_sent, size);
    }
    return result;
}

int mr_h3_send_body(struct mr_h3 *h3, struct mr_h3_stream *stream, const uint8_t *data, size_t size,
                    bool is_last)
{
    struct mr_transport *t = h3->transport;
    struct mr_view view = {data, size};

    if (stream->conn->is_closing)
        return -EPIPE;
    int result = t->ops->send(t, stream->handle, &view, 1, is_last ? (uint32_t)MR_SEND_FIN : 0);
    if (result == 0) {
        stream->sent_bytes += size;
        mr_count_add(&h3->counters->body_bytes_sent, size);
    } else if (result == -EAGAIN || result == -ENOMEM) {
        mr_count(&h3->counters->send_waits);
    }
    return result;
}

/* ---- our own streams ---- */

/* What keeps a connection's own streams from being flushed. */
enum flush_verdict {
    FLUSH_DONE,
    FLUSH_WAIT,  /* an event follows */
    FLUSH_RETRY, /* no event follows */
};

static enum flush_verdict verdict_of(struct mr_h3 *h3, struct mr_h3_conn *conn, int result)
{
    switch (result) {
    case 0:
        return FLUSH_DONE;
    case -EAGAIN:
        return FLUSH_WAIT;
    case -ENOMEM:
        return FLUSH_RETRY;
    case -ESTALE:
        return FLUSH_WAIT; /* its end is on the way */
    default:
        mr_h3_conn_fail(h3, conn, MR_H3_CLOSED_CRITICAL_STREAM, "critical stream ended");
        return FLUSH_WAIT;
    }
}

int mr_h3_open_own(struct mr_h3 *h3, struct mr_h3_conn *conn, enum mr_h3_stream_kind kind,
                   uint64_t type, struct mr_h3_stream **stream)
{
    struct mr_transport *t = h3->transport;

    if (*stream != NULL)
        return 0;
    struct mr_h3_stream *opened = mr_h3_stream_add(h3, conn, kind);
    if (opened == NULL)
        return -ENOMEM;
    int result =
        t->ops->open(t, conn->handle, MR_OPEN_UNI, mr_h3_stream_word(h3, opened), &opened->handle);
    if (result != 0) {
        mr_h3_stream_remove(h3, opened);
        return result;
    }
    opened->id = t->ops->stream_id(t, opened->handle);
    opened->priority = (struct mr_priority){.urgency = 0, .is_incremental = true};
    mr_h3_priority_apply(h3, opened);
    if (h3->is_traced)
        mr_h3_trace_stream(h3, opened, type, true);
    *stream = opened;
    return 0;
}

/* Our SETTINGS. */
static struct mr_h3_settings our_settings(const struct mr_h3_limits *limits, bool is_server)
{
    return (struct mr_h3_settings){
        .field_section_max = limits->field_section_max,
        .qpack_capacity = limits->qpack_capacity,
        .qpack_blocked_max = limits->qpack_blocked_max,
        .has_connect_protocol = limits->has_tunnels && is_server,
        .has_datagrams = limits->has_tunnels,
    };
}

uint64_t mr_h3_remembered(const struct mr_h3_limits *limits)
{
    static const struct mr_siphash_key key = {.k0 = 0x68332d736574, .k1 = 1};
    const struct mr_h3_settings settings = our_settings(limits, true);
    uint8_t data[MR_H3_SETTINGS_MAX];

    return mr_siphash24(&key, data, mr_h3_settings_put(data, &settings));
}

static int send_settings(struct mr_h3 *h3, struct mr_h3_conn *conn)
{
    struct mr_h3_settings settings = our_settings(&h3->limits, h3->is_server);
    uint8_t data[1 + MR_H3_SETTINGS_MAX + MR_H3_GREASE_FRAME_MAX];

    if (conn->has_sent_settings)
        return 0;
    data[0] = MR_H3_STREAM_CONTROL;
    mr_h3_grease_settings(conn, &settings);
    size_t size = 1 + mr_h3_settings_put(data + 1, &settings);
    size += mr_h3_grease_control(conn, data + size);
    int result = mr_h3_send_copy(h3, conn->our_control, data, size, false);
    conn->has_sent_settings = result == 0;
    if (result == 0 && h3->is_traced)
        mr_h3_trace_made(h3, conn->our_control, data + 1, size - 1);
    return result;
}

static int send_goaway(struct mr_h3 *h3, struct mr_h3_conn *conn)
{
    uint8_t data[MR_H3_FRAME_HEADER_MAX + MR_H3_VARINT_MAX_SIZE];
    uint8_t id[MR_H3_VARINT_MAX_SIZE];

    if (!conn->is_draining || conn->has_sent_goaway)
        return 0;
    size_t id_size = mr_h3_varint_put(id, h3->is_server ? conn->next_request_id : 0);
    size_t size = mr_h3_frame_put_header(data, MR_H3_FRAME_GOAWAY, id_size);
    memcpy(data + size, id, id_size);
    int result = mr_h3_send_copy(h3, conn->our_control, data, size + id_size, false);
    if (result == 0) {
        if (h3->is_traced)
            mr_h3_trace_made(h3, conn->our_control, data, size + id_size);
        conn->has_sent_goaway = true;
        mr_count(&h3->counters->goaways_sent);
        mr_h3_end_if_drained(h3, conn);
    }
    return result;
}

/* Keep `data` until there is room for it. */
static bool hold(struct mr_h3_conn *conn, const uint8_t *data, size_t size)
{
    conn->held = mr_heap_share_alloc(&conn->sections, size);
    if (conn->held == NULL)
        return false;
    memcpy(conn->held, data, size);
    conn->held_size = size;
    return true;
}

/* Send what is held; then it is forgotten. */
static int send_held(struct mr_h3 *h3, struct mr_h3_conn *conn)
{
    if (conn->held == NULL)
        return 0;
    int result = mr_h3_send_copy(h3, conn->our_decoder, conn->held, conn->held_size, false);
    if (result == 0) {
        mr_heap_share_free(&conn->sections, conn->held);
        conn->held = NULL;
    }
    return result;
}

/* What QPACK has to say to the peer, on a stream that begins with its type. */
static int send_feedback(struct mr_h3 *h3, struct mr_h3_conn *conn)
{
    const uint8_t type = MR_H3_STREAM_QPACK_DECODER;
    uint8_t data[COPY_MAX];
    int result = conn->our_decoder->sent_bytes == 0
                     ? mr_h3_send_copy(h3, conn->our_decoder, &type, 1, false)
                     : send_held(h3, conn);
    size_t size = mr_qpack_decoder_feedback_size(&conn->decoder);

    if (result != 0 || size == 0)
        return result;
    if (size > COPY_MAX) {
        mr_h3_conn_fail(h3, conn, MR_H3_EXCESSIVE_LOAD, "QPACK feedback is not taken");
        return -ESTALE;
    }
    mr_qpack_decoder_take_feedback(&conn->decoder, data, size);
    result = mr_h3_send_copy(h3, conn->our_decoder, data, size, false);
    if ((result == -EAGAIN || result == -ENOMEM) && !hold(conn, data, size)) {
        mr_h3_conn_fail(h3, conn, MR_H3_INTERNAL_ERROR, "no memory for QPACK feedback");
        return -ESTALE;
    }
    return result;
}

/* QPACK's insertions, on a stream that begins with its type. */
static int send_instructions(struct mr_h3 *h3, struct mr_h3_conn *conn)
{
    const uint8_t type = MR_H3_STREAM_QPACK_ENCODER;
    size_t size;
    const uint8_t *bytes = mr_qpack_table_instructions(&conn->table, &size);

    if (size == 0)
        return 0;
    int result = mr_h3_open_own(h3, conn, MR_H3_KIND_OUR_ENCODER, type, &conn->our_encoder);
    if (result == 0 && conn->our_encoder->sent_bytes == 0)
        result = mr_h3_send_copy(h3, conn->our_encoder, &type, 1, false);
    while (result == 0 && size > 0) {
        size_t part = MR_MIN(size, (size_t)COPY_MAX);
        result = mr_h3_send_copy(h3, conn->our_encoder, bytes, part, false);
        if (result != 0)
            break;
        mr_qpack_table_sent(&conn->table, part);
        bytes = mr_qpack_table_instructions(&conn->table, &size);
    }
    return result;
}

static void flush_instructions(struct mr_h3 *h3, struct mr_h3_conn *conn)
{
    if (send_instructions(h3, conn) != 0)
        mr_h3_mark_dirty(h3, conn); /* flush() goes on, or says why not */
}

static enum flush_verdict flush(struct mr_h3 *h3, struct mr_h3_conn *conn)
{
    if (conn->is_hq) { /* no streams of ours: what comes after GOAWAY is refused all the same */
        conn->has_sent_goaway = conn->is_draining;
        mr_h3_end_if_drained(h3, conn);
        return FLUSH_DONE;
    }
    int result =
        mr_h3_open_own(h3, conn, MR_H3_KIND_OUR_CONTROL, MR_H3_STREAM_CONTROL, &conn->our_control);

    if (result == 0)
        result = send_settings(h3, conn);
    if (result == 0)
        result = send_goaway(h3, conn);
    if (result == 0 && !conn->is_closing)
        result = send_instructions(h3, conn);
    if (result == 0 && h3->limits.qpack_capacity > 0 && !conn->is_closing) {
        result = mr_h3_open_own(h3, conn, MR_H3_KIND_OUR_DECODER, MR_H3_STREAM_QPACK_DECODER,
                                &conn->our_decoder);
        if (result == 0)
            result = send_feedback(h3, conn);
    }
    if (result == 0)
        mr_h3_grease_stream(h3, conn);
    return verdict_of(h3, conn, result);
}

void mr_h3_mark_dirty(struct mr_h3 *h3, struct mr_h3_conn *conn)
{
    if (conn->is_dirty || !(conn->is_connected || conn->is_early))
        return;
    conn->is_dirty = true;
    conn->next_dirty = h3->dirty;
    h3->dirty = conn;
}

void mr_h3_flush_dirty(struct mr_h3 *h3)
{
    struct mr_h3_conn *later = NULL;

    while (h3->dirty != NULL) {
        struct mr_h3_conn *conn = h3->dirty;
        h3->dirty = conn->next_dirty;
        conn->is_dirty = false;
        if (conn->is_closing || flush(h3, conn) != FLUSH_RETRY)
            continue;
        conn->is_dirty = true;
        conn->next_dirty = later;
        later = conn;
    }
    h3->dirty = later;
    if (later != NULL)
        mr_h3_want_retry(h3);
}

/* ---- retries ---- */

void mr_h3_want_retry(struct mr_h3 *h3)
{
    h3->wants_retry = true;
    mr_h3_arm_retry(h3);
}

void mr_h3_arm_retry(struct mr_h3 *h3)
{
    struct mr_transport *t = h3->transport;

    if (!h3->wants_retry || h3->is_retry_armed)
        return;
    h3->is_retry_armed = t->ops->timer(t, MR_H3_RETRY_NS, mr_h3_tagged(MR_H3_TAG_RETRY, 0)) == 0;
}
