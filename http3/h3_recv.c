/* http3/h3_recv.c - what comes: stream types, frames, messages; see h3_conn.h. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "http3/h3_internal.h"

enum {
    MR_FIELD_NAME_MAX = 256, /* bytes of a field's name; longer ones QPACK does not decode */
};

static enum mr_h3_place place_of(const struct mr_h3 *h3, const struct mr_h3_stream *stream)
{
    if (stream->kind == MR_H3_KIND_CONTROL)
        return h3->is_server ? MR_H3_CONTROL_AT_SERVER : MR_H3_CONTROL_AT_CLIENT;
    return h3->is_server ? MR_H3_REQUEST_AT_SERVER : MR_H3_REQUEST_AT_CLIENT;
}

/* ---- messages ---- */

/* A section being decoded. */
struct section {
    struct mr_h3 *h3;
    struct mr_h3_stream *stream;
    enum mr_message_verdict verdict;
};

static bool take_field(void *context, struct mr_text name, struct mr_text value)
{
    struct section *section = context;
    struct mr_h3 *h3 = section->h3;
    enum mr_h3_field field;

    if (h3->is_traced)
        mr_h3_trace_field(&h3->traced, name, value);
    section->verdict = mr_message_add(&h3->message, name, value, &field);
    if (section->verdict != MR_MESSAGE_OK)
        return false;
    if (field == MR_FIELD_PRIORITY && h3->message.kind == MR_MESSAGE_REQUEST &&
        !section->stream->is_reprioritized)
        mr_h3_priority_field(section->stream, value);
    if (h3->message.kind != MR_MESSAGE_TRAILERS)
        h3->user.on_field(h3->user.context, section->stream, field, name, value);
    return true;
}

/* RFC 9110, Sections 6.4.1 and 15: responses that never have content. */
static bool status_has_no_content(uint16_t status)
{
    return status == 204 || status == 304;
}

/* A head that is well formed, or too large to be read. */
static void end_head(struct mr_h3 *h3, struct mr_h3_stream *stream, enum mr_message_verdict verdict)
{
    const struct mr_message *message = &h3->message;

    if (message->kind == MR_MESSAGE_RESPONSE && verdict == MR_MESSAGE_OK) {
        if (message->status < 200) /* interim: another head follows */
            return;
        if (status_has_no_content(message->status))
            stream->is_head_only = true;
    }
    stream->phase = MR_H3_PHASE_BODY;
    if (message->kind == MR_MESSAGE_REQUEST) {
        mr_h3_priority_apply(h3, stream);
        if (h3->is_traced)
            mr_h3_trace_priority(h3, stream, NULL, false);
        stream->is_early = stream->conn->is_early || mr_message_was_early(message);
        mr_count_add(&h3->counters->requests_early, stream->is_early);
    }
    if (verdict == MR_MESSAGE_OK)
        stream->content_length = message->content_length;
    h3->user.on_head(h3->user.context, stream, message, verdict);
}

static void malformed(struct mr_h3 *h3, struct mr_h3_stream *stream)
{
    mr_count(&h3->counters->requests_malformed);
    mr_h3_stream_fail(h3, stream, MR_H3_MESSAGE_ERROR);
}

static void begin_message(struct mr_h3 *h3, const struct mr_h3_stream *stream)
{
    struct mr_message_limits limits = {
        .section_bytes = h3->limits.field_section_max,
        .fields = h3->limits.fields_max,
        .name_bytes = MR_FIELD_NAME_MAX,
        .value_bytes = h3->limits.field_section_max,
        .allows_protocol = h3->limits.has_tunnels,
    };
    enum mr_message_kind kind = stream->phase != MR_H3_PHASE_HEAD ? MR_MESSAGE_TRAILERS
                                : h3->is_server                   ? MR_MESSAGE_REQUEST
                                                                  : MR_MESSAGE_RESPONSE;

    mr_message_begin(&h3->message, kind, &limits);
    h3->traced.count = h3->traced.size = 0;
}

/* The outcome of a section that QPACK could read. */
static void end_section(struct mr_h3 *h3, struct mr_h3_stream *stream,
                        enum mr_message_verdict verdict)
{
    if (verdict == MR_MESSAGE_OK)
        verdict = mr_message_end(&h3->message);
    if (verdict == MR_MESSAGE_MALFORMED) {
        malformed(h3, stream);
    } else if (h3->message.kind != MR_MESSAGE_TRAILERS) {
        if (verdict == MR_MESSAGE_TOO_LARGE)
            mr_count(&h3->counters->requests_too_large);
        end_head(h3, stream, verdict);
    } else if (verdict == MR_MESSAGE_TOO_LARGE) {
        mr_count(&h3->counters->requests_too_large);
        mr_h3_stream_fail(h3, stream, MR_H3_EXCESSIVE_LOAD);
    } else {
        stream->phase = MR_H3_PHASE_TRAILERS;
    }
}

/* The section waits for `needs` entries of the dynamic table, or does not any more (0).  False: too
 * many do, the connection has failed. */
static bool block(struct mr_h3 *h3, struct mr_h3_stream *stream, uint64_t needs)
{
    struct mr_h3_conn *conn = stream->conn;
    bool was_blocked = stream->blocked_until != 0;

    if (needs != 0 && !was_blocked && conn->blocked_count == h3->limits.qpack_blocked_max) {
        mr_h3_conn_fail(h3, conn, MR_QPACK_DECOMPRESSION_FAILED, "too many blocked streams");
        return false; /* RFC 9204, Section 2.1.2 */
    }
    if (needs != 0 && !was_blocked)
        mr_count(&h3->counters->streams_blocked);
    conn->blocked_count += (uint32_t)(needs != 0) - was_blocked;
    stream->blocked_until = needs;
    stream->is_paused = needs != 0;
    return true;
}

/* A HEADERS frame is there as a whole.  False: it cannot be decoded yet, and is to stay. */
static bool take_headers(struct mr_h3 *h3, struct mr_h3_stream *stream, const uint8_t *payload,
                         size_t size)
{
    struct mr_h3_conn *conn = stream->conn;
    struct section section = {h3, stream, MR_MESSAGE_OK};
    const struct mr_qpack_section bytes = {stream->id, payload, size};
    uint64_t needs;

    begin_message(h3, stream);
    uint64_t code =
        mr_qpack_decode(&conn->decoder, &conn->share, &bytes, take_field, &section, &needs);
    if (code != 0) {
        mr_h3_conn_fail(h3, conn, code, "field section not decodable");
        return true;
    }
    if (!block(h3, stream, needs) || needs != 0)
        return needs == 0;
    if (mr_qpack_decoder_feedback_size(&conn->decoder) > 0 || conn->owes_grease_stream)
        mr_h3_mark_dirty(h3, conn);
    if (h3->is_traced)
        mr_h3_trace_section(h3, stream, size);
    end_section(h3, stream, section.verdict);
    return true;
}

/* Entries have come: go on with the streams that waited for no more. */
static void unblock(struct mr_h3 *h3, struct mr_h3_conn *conn)
{
    uint64_t inserted = mr_qpack_decoder_inserted(&conn->decoder);

    for (struct mr_h3_stream *s = conn->streams; s != NULL && conn->blocked_count > 0; s = s->next)
        if (s->blocked_until != 0 && s->blocked_until <= inserted && !conn->is_closing)
            mr_h3_resume(h3, s);
}

/* A HEADERS frame longer than any section we would accept: it is not even decoded. */
static void refuse_headers(struct mr_h3 *h3, struct mr_h3_stream *stream)
{
    struct mr_h3_conn *conn = stream->conn;
    uint64_t code = mr_qpack_decoder_cancel(&conn->decoder, stream->id);

    if (code != 0) {
        mr_h3_conn_fail(h3, conn, code, "QPACK feedback is not taken");
        return;
    }
    mr_h3_mark_dirty(h3, conn);
    begin_message(h3, stream);
    end_section(h3, stream, MR_MESSAGE_TOO_LARGE);
}

/* ---- control stream ---- */

static void take_goaway(struct mr_h3 *h3, struct mr_h3_conn *conn, uint64_t id)
{
    bool is_wrong_kind = !h3->is_server && (id & 3) != 0; /* RFC 9114, Section 5.2 */

    if (is_wrong_kind || id > conn->peer_goaway_id) {
        mr_h3_conn_fail(h3, conn, MR_H3_ID_ERROR, "GOAWAY names an impossible stream");
        return;
    }
    conn->peer_goaway_id = id;
    mr_count(&h3->counters->goaways_received);
    h3->user.on_goaway(h3->user.context, conn, id);
    mr_h3_end_if_drained(h3, conn);
}

/* The peer's limits are known. */
static void on_settings(struct mr_h3 *h3, struct mr_h3_conn *conn)
{
    if (!conn->feedback.is_inside) /* else its decoder stream is in the middle of a number */
        (void)mr_qpack_table_init(
            &conn->table, &conn->share, conn->peer.qpack_capacity,
            h3->limits.qpack_encoder_capacity,
            (uint32_t)MR_MIN(conn->peer.qpack_blocked_max, (uint64_t)MR_QPACK_BLOCKED_MAX));
    if (h3->user.on_settings != NULL)
        h3->user.on_settings(h3->user.context, conn);
}

/* A control frame is there as a whole. */
static void take_control(struct mr_h3 *h3, struct mr_h3_conn *conn, uint64_t type,
                         const uint8_t *payload, size_t size)
{
    uint64_t code;
    uint64_t id;

    if (type == MR_H3_FRAME_SETTINGS) {
        code = mr_h3_settings_parse(payload, size, &conn->peer);
        conn->has_settings = true;
        if (code != 0)
            mr_h3_conn_fail(h3, conn, code, "SETTINGS not acceptable");
        else
            on_settings(h3, conn);
    } else if (type == MR_H3_FRAME_PRIORITY_UPDATE) {
        mr_h3_priority_update(h3, conn, payload, size);
    } else if (!mr_h3_frame_get_id(payload, size, &id)) {
        mr_h3_conn_fail(h3, conn, MR_H3_FRAME_ERROR, "control frame of a wrong length");
    } else if (type == MR_H3_FRAME_GOAWAY) {
        take_goaway(h3, conn, id);
    } else if (id < conn->peer_push_max) { /* RFC 9114, Section 7.2.7 */
        mr_h3_conn_fail(h3, conn, MR_H3_ID_ERROR, "MAX_PUSH_ID goes back");
    } else {
        conn->peer_push_max = id;
    }
}

/* ---- frames ---- */

/* May this frame come now?  The connection or the stream has failed if not. */
static bool is_frame_in_order(struct mr_h3 *h3, struct mr_h3_stream *stream)
{
    struct mr_h3_conn *conn = stream->conn;
    uint64_t type = stream->frame.type;

    if (stream->kind == MR_H3_KIND_CONTROL) {
        if (!conn->has_settings && type != MR_H3_FRAME_SETTINGS) { /* RFC 9114, Section 6.2.1 */
            mr_h3_conn_fail(h3, conn, MR_H3_MISSING_SETTINGS, "control stream without SETTINGS");
            return false;
        }
        if (conn->has_settings && type == MR_H3_FRAME_SETTINGS) { /* Section 7.2.4 */
            mr_h3_conn_fail(h3, conn, MR_H3_FRAME_UNEXPECTED, "second SETTINGS");
            return false;
        }
        return true;
    }
    if (stream->is_tunnel && type == MR_H3_FRAME_HEADERS &&
        stream->phase != MR_H3_PHASE_HEAD) { /* RFC 9114, Section 4.4 */
        mr_h3_conn_fail(h3, conn, MR_H3_FRAME_UNEXPECTED, "HEADERS in a tunnel");
        return false;
    }
    bool is_early = type == MR_H3_FRAME_DATA && stream->phase == MR_H3_PHASE_HEAD;
    bool is_late = (type == MR_H3_FRAME_DATA || type == MR_H3_FRAME_HEADERS) &&
                   stream->phase == MR_H3_PHASE_TRAILERS;
    if (is_early || is_late) { /* RFC 9114, Section 4.1 */
        mr_h3_conn_fail(h3, conn, MR_H3_FRAME_UNEXPECTED, "frames of a message out of order");
        return false;
    }
    return true;
}

/* RFC 9114, Section 4.1.2: content must match content-length, and may be forbidden. */
static bool is_content_allowed(const struct mr_h3_stream *stream, uint64_t more)
{
    if (stream->is_head_only)
        return more == 0;
    return stream->content_length == MR_LENGTH_UNKNOWN ||
           (stream->body_received <= stream->content_length &&
            more <= stream->content_length - stream->body_received);
}

static uint64_t payload_max(const struct mr_h3 *h3, const struct mr_h3_stream *stream)
{
    switch (stream->frame.type) {
    case MR_H3_FRAME_HEADERS:
        return h3->limits.field_section_max;
    case MR_H3_FRAME_SETTINGS:
        return MR_H3_CONTROL_PAYLOAD_MAX;
    case MR_H3_FRAME_PRIORITY_UPDATE:
        return MR_H3_VARINT_MAX_SIZE + MR_PRIORITY_VALUE_MAX;
    default:
        return MR_H3_VARINT_MAX_SIZE;
    }
}

/* A frame whose payload is needed as a whole is longer than we take. */
static void refuse_payload(struct mr_h3 *h3, struct mr_h3_stream *stream)
{
    stream->frame.is_refused = true;
    if (h3->is_traced)
        mr_h3_trace_got(h3, stream, stream->frame.left, NULL);
    switch (stream->frame.type) {
    case MR_H3_FRAME_HEADERS:
        refuse_headers(h3, stream);
        break;
    case MR_H3_FRAME_SETTINGS:
        mr_h3_conn_fail(h3, stream->conn, MR_H3_EXCESSIVE_LOAD, "SETTINGS too long");
        break;
    case MR_H3_FRAME_PRIORITY_UPDATE:
        mr_h3_priority_drop(h3, stream->conn);
        break;
    default:
        mr_h3_conn_fail(h3, stream->conn, MR_H3_FRAME_ERROR, "control frame of a wrong length");
    }
}

/* False: it is to stay, and to be shown again. */
static bool take_payload(struct mr_h3 *h3, struct mr_h3_stream *stream, const uint8_t *payload,
                         size_t size)
{
    if (stream->kind != MR_H3_KIND_CONTROL)
        return take_headers(h3, stream, payload, size);
    if (h3->is_traced)
        mr_h3_trace_got(h3, stream, size, payload);
    take_control(h3, stream->conn, stream->frame.type, payload, size);
    return true;
}

/* A frame that is to be taken as a whole, or passed on. */
static void begin_wanted_frame(struct mr_h3 *h3, struct mr_h3_stream *stream, bool is_content)
{
    uint64_t left = stream->frame.left;

    if (is_content && !is_content_allowed(stream, left)) {
        stream->is_too_long = true;
        malformed(h3, stream);
    } else if (!is_content && left > payload_max(h3, stream)) {
        refuse_payload(h3, stream);
    } else if (!is_content && left == 0) {
        (void)take_payload(h3, stream, NULL, 0);
    }
}

/* A frame's header is complete: check it, and act if there is no payload. */
static void begin_frame(struct mr_h3 *h3, struct mr_h3_stream *stream)
{
    struct mr_h3_conn *conn = stream->conn;
    enum mr_h3_frame_action action = mr_h3_frame_action(stream->frame.type, place_of(h3, stream));

    if (h3->is_traced && action != MR_H3_FRAME_TAKE) /* those are told of when they are whole */
        mr_h3_trace_got(h3, stream, stream->frame.left, NULL);
    if (!is_frame_in_order(h3, stream))
        return;
    switch (action) {
    case MR_H3_FRAME_FORBIDDEN:
        mr_h3_conn_fail(h3, conn, MR_H3_FRAME_UNEXPECTED, "frame type not allowed here");
        return;
    case MR_H3_FRAME_NO_SUCH_ID:
        mr_h3_conn_fail(h3, conn, MR_H3_ID_ERROR, "push was never allowed");
        return;
    case MR_H3_FRAME_TAKE:
    case MR_H3_FRAME_PASS:
        begin_wanted_frame(h3, stream, action == MR_H3_FRAME_PASS);
        break;
    case MR_H3_FRAME_SKIP:
        break;
    }
    if (stream->frame.left == 0)
        mr_h3_frame_next(&stream->frame);
}

static void skip_payload(struct mr_h3_stream *stream, uint64_t size)
{
    stream->frame.left -= size;
    if (stream->frame.left == 0)
        mr_h3_frame_next(&stream->frame);
}

/* Content is there: give it to the user. */
static size_t pass_payload(struct mr_h3 *h3, struct mr_h3_stream *stream, const uint8_t *data,
                           size_t size)
{
    size_t taken = h3->user.on_data(h3->user.context, stream, data, size);

    MR_ASSERT(taken <= size);
    mr_count_add(&h3->counters->body_bytes_received, taken);
    stream->body_received += taken;
    stream->is_paused = taken < size;
    skip_payload(stream, taken);
    return taken;
}

/* No memory to put a payload together. */
static void refuse_assembly(struct mr_h3 *h3, struct mr_h3_stream *stream)
{
    if (stream->kind == MR_H3_KIND_CONTROL) {
        mr_h3_conn_fail(h3, stream->conn, MR_H3_EXCESSIVE_LOAD, "no memory for a control frame");
        return;
    }
    mr_count(&h3->counters->requests_refused);
    mr_h3_stream_fail(h3, stream,
                      h3->is_server && stream->phase == MR_H3_PHASE_HEAD ? MR_H3_REQUEST_REJECTED
                                                                         : MR_H3_EXCESSIVE_LOAD);
}

/* Part of a payload that is needed as a whole, or all of it. */
static size_t assemble_payload(struct mr_h3 *h3, struct mr_h3_stream *stream, const uint8_t *data,
                               size_t size)
{
    struct mr_heap_share *share = &stream->conn->sections;
    uint64_t whole = stream->frame.left;

    if (stream->assembly == NULL && size >= whole) {
        if (!take_payload(h3, stream, data, whole))
            return 0;
        mr_h3_frame_next(&stream->frame);
        return whole;
    }
    if (stream->assembly == NULL) {
        stream->assembly = mr_heap_share_alloc(share, whole);
        stream->assembled = 0;
        if (stream->assembly == NULL) {
            refuse_assembly(h3, stream);
            return size;
        }
    }
    size_t part = (size_t)MR_MIN((uint64_t)size, whole);
    memcpy(stream->assembly + stream->assembled, data, part);
    stream->assembled += part;
    stream->frame.left -= part;
    if (stream->frame.left > 0)
        return part;

    uint8_t *assembly = stream->assembly;
    stream->assembly = NULL;
    if (!take_payload(h3, stream, assembly, stream->assembled)) {
        stream->assembly = assembly; /* its last part stays with the transport */
        stream->assembled -= part;
        stream->frame.left += part;
        return 0;
    }
    mr_heap_share_free(share, assembly);
    mr_h3_frame_next(&stream->frame);
    return part;
}

/* Bytes of a stream made of frames.  Returns how many were taken; fewer if the user takes no more.
 */
static size_t take_frames(struct mr_h3 *h3, struct mr_h3_stream *stream, const uint8_t *data,
                          size_t size)
{
    enum mr_h3_place place = place_of(h3, stream);
    size_t used = 0;

    while (used < size && stream->is_reading && !stream->conn->is_closing && !stream->is_paused) {
        if (!stream->frame.has_header) {
            used += mr_h3_frame_read_header(&stream->frame, data + used, size - used);
            if (stream->frame.has_header)
                begin_frame(h3, stream);
            continue;
        }
        size_t part = (size_t)MR_MIN((uint64_t)(size - used), stream->frame.left);
        enum mr_h3_frame_action action = mr_h3_frame_action(stream->frame.type, place);
        if (action == MR_H3_FRAME_PASS) {
            used += pass_payload(h3, stream, data + used, part);
        } else if (action == MR_H3_FRAME_TAKE && !stream->frame.is_refused) {
            used += assemble_payload(h3, stream, data + used, part);
        } else {
            skip_payload(stream, part);
            used += part;
        }
    }
    return stream->is_paused ? used : size;
}

/* ---- streams ---- */

static void set_kind(struct mr_h3 *h3, struct mr_h3_stream *stream, uint64_t type)
{
    static const uint8_t kinds[] = {
        [MR_H3_STREAM_CONTROL] = MR_H3_KIND_CONTROL,
        [MR_H3_STREAM_QPACK_ENCODER] = MR_H3_KIND_QPACK_ENCODER,
        [MR_H3_STREAM_QPACK_DECODER] = MR_H3_KIND_QPACK_DECODER,
    };
    struct mr_transport *t = h3->transport;
    struct mr_h3_conn *conn = stream->conn;

    if (h3->is_traced)
        mr_h3_trace_stream(h3, stream, type, false);
    if (type == MR_H3_STREAM_PUSH) { /* RFC 9114, Sections 4.6 and 6.2.2 */
        mr_h3_conn_fail(h3, conn, h3->is_server ? MR_H3_STREAM_CREATION_ERROR : MR_H3_ID_ERROR,
                        "push stream");
    } else if (type < MR_COUNT_OF(kinds)) {
        uint8_t bit = (uint8_t)(1u << type);
        if ((conn->peer_streams & bit) != 0) /* RFC 9114, Section 6.2.1; RFC 9204, Section 4.2 */
            mr_h3_conn_fail(h3, conn, MR_H3_STREAM_CREATION_ERROR, "second stream of its type");
        conn->peer_streams |= bit;
        stream->kind = kinds[type];
    } else {
        stream->kind = MR_H3_KIND_UNKNOWN; /* RFC 9114, Section 6.2: not wanted */
        stream->is_reading = false;
        (void)t->ops->stop(t, stream->handle, MR_H3_STREAM_CREATION_ERROR);
    }
}

/* The beginning of a unidirectional stream: its type. */
static size_t take_type(struct mr_h3 *h3, struct mr_h3_stream *stream, const uint8_t *data,
                        size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (mr_h3_varint_take(&stream->frame.varint, data[i])) {
            uint64_t type = stream->frame.varint.value;
            stream->frame.varint = (struct mr_h3_varint){0};
            set_kind(h3, stream, type);
            return i + 1;
        }
    }
    return size;
}

/* Bytes of a QPACK stream. */
static void take_qpack(struct mr_h3 *h3, struct mr_h3_stream *stream, const uint8_t *data,
                       size_t size)
{
    struct mr_h3_conn *conn = stream->conn;
    uint64_t code =
        stream->kind == MR_H3_KIND_QPACK_ENCODER ? mr_qpack_decoder_read(&conn->decoder, data, size)
        : conn->table.encoder != NULL            ? mr_qpack_table_read(&conn->table, data, size)
                                      : mr_qpack_feedback_read(&conn->feedback, data, size);

    if (code != 0) {
        mr_h3_conn_fail(h3, conn, code, "QPACK stream not acceptable");
        return;
    }
    mr_h3_mark_dirty(h3, conn);
    if (stream->kind == MR_H3_KIND_QPACK_ENCODER && conn->blocked_count > 0)
        unblock(h3, conn);
}

/* Bytes of any stream; returns how many were taken. */
static size_t take(struct mr_h3 *h3, struct mr_h3_stream *stream, const uint8_t *data, size_t size)
{
    size_t used = 0;

    if (stream->kind == MR_H3_KIND_UNTYPED)
        used = take_type(h3, stream, data, size);
    if (used == size || !stream->is_reading || stream->conn->is_closing)
        return size;
    if (stream->conn->is_hq)
        return used + mr_h3_hq_take(h3, stream, data + used, size - used);
    switch (stream->kind) {
    case MR_H3_KIND_REQUEST:
    case MR_H3_KIND_CONTROL:
        return used + take_frames(h3, stream, data + used, size - used);
    case MR_H3_KIND_QPACK_ENCODER:
    case MR_H3_KIND_QPACK_DECODER:
        take_qpack(h3, stream, data + used, size - used);
        return size;
    default:
        return size;
    }
}

/* The peer ended a request stream: is the message whole? */
static void end_message(struct mr_h3 *h3, struct mr_h3_stream *stream)
{
    bool is_short = stream->content_length != MR_LENGTH_UNKNOWN && !stream->is_head_only &&
                    stream->body_received != stream->content_length;

    if (stream->conn->is_hq) {
        mr_h3_hq_end(h3, stream);
    } else if (!mr_h3_frame_is_between(&stream->frame)) { /* RFC 9114, Section 7.1 */
        mr_h3_conn_fail(h3, stream->conn, MR_H3_FRAME_ERROR, "stream ends inside a frame");
    } else if (stream->phase == MR_H3_PHASE_HEAD && h3->is_server) { /* Section 4.1 */
        mr_h3_stream_fail(h3, stream, MR_H3_REQUEST_INCOMPLETE);
    } else if (stream->phase == MR_H3_PHASE_HEAD || is_short) {
        stream->is_too_short = is_short;
        malformed(h3, stream);
    } else if (!stream->is_over) {
        stream->is_over = true;
        h3->user.on_end(h3->user.context, stream);
    }
}

static void on_fin(struct mr_h3 *h3, struct mr_h3_stream *stream)
{
    if (stream->is_fin_received)
        return;
    stream->is_fin_received = true;
    if (stream->kind == MR_H3_KIND_REQUEST) {
        if (stream->is_reading)
            end_message(h3, stream);
    } else if (stream->kind != MR_H3_KIND_UNTYPED && stream->kind != MR_H3_KIND_UNKNOWN) {
        mr_h3_conn_fail(h3, stream->conn, MR_H3_CLOSED_CRITICAL_STREAM, "critical stream ended");
    }
}

/* Take what one receive() shows.  False: there is nothing more to do now. */
static bool read_once(struct mr_h3 *h3, struct mr_h3_stream *stream)
{
    struct mr_transport *t = h3->transport;
    struct mr_view views[MR_H3_VIEWS];
    bool has_fin = false;
    int64_t count = t->ops->receive(t, stream->handle, views, MR_H3_VIEWS, &has_fin);
    size_t shown = 0;
    size_t used = 0;

    if (count < 0) /* reset (its event follows), or stale */
        return false;
    for (int64_t i = 0; i < count; i++) {
        if (used == shown && !stream->conn->is_closing)
            used += take(h3, stream, views[i].data, views[i].size);
        shown += views[i].size;
    }
    if (stream->conn->is_closing)
        return false;
    if (used > 0 || has_fin) /* the end alone is consumed too */
        (void)t->ops->release(t, stream->handle, used);
    if (used < shown)
        return false;
    if (has_fin)
        on_fin(h3, stream);
    return count > 0 && !has_fin && !stream->conn->is_closing;
}

void mr_h3_stream_read(struct mr_h3 *h3, struct mr_h3_stream *stream)
{
    while (read_once(h3, stream))
        continue;
}

void mr_h3_resume(struct mr_h3 *h3, struct mr_h3_stream *stream)
{
    struct mr_h3_conn *conn = stream->conn;

    if (!stream->is_paused || conn->is_closing ||
        stream->blocked_until > mr_qpack_decoder_inserted(&conn->decoder))
        return;
    stream->is_paused = false;
    mr_h3_stream_read(h3, stream);
}
