/* control/qlog_http3.c - what HTTP/3 does, as events of draft-ietf-quic-qlog-h3-events-13; see
 * qlog_event.h. */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "control/qlog_event.h"
#include "millrace/trace.h"
#include "quic/wire.h"

#define CATEGORY "http"

enum {
    FRAME_DATA = 0x00, /* RFC 9114, Section 7.2 */
    FRAME_HEADERS = 0x01,
    FRAME_CANCEL_PUSH = 0x03,
    FRAME_SETTINGS = 0x04,
    FRAME_PUSH_PROMISE = 0x05,
    FRAME_GOAWAY = 0x07,
    FRAME_MAX_PUSH_ID = 0x0d,
    FRAME_PRIORITY_UPDATE = 0xf0700, /* RFC 9218, Section 7.2 */
    FRAME_PRIORITY_UPDATE_PUSH = 0xf0701,
};

/* A record, and what follows it. */
struct told {
    struct mr_trace_http3 record;
    const uint8_t *bytes;
    size_t size;
};

/* RFC 9114, Sections 6.2.3, 7.2.4.1 and 7.2.8: 0x1f * N + 0x21. */
static bool is_reserved(uint64_t type)
{
    return type >= 0x21 && (type - 0x21) % 0x1f == 0;
}

static void put_raw(struct json_object *object, uint64_t payload)
{
    struct json_object *raw = json_object_new_object();

    mr_qlog_put_number(raw, "payload_length", payload);
    json_object_object_add(object, "raw", raw);
}

/* ------------------------------------------------------------------ settings */

static const struct setting {
    uint64_t id;
    const char *name;
    const char *parameter; /* of parameters_set */
} settings[] = {
    {0x01, "settings_qpack_max_table_capacity", "max_table_capacity"},   /* RFC 9204, Section 5 */
    {0x06, "settings_max_field_section_size", "max_field_section_size"}, /* RFC 9114 */
    {0x07, "settings_qpack_blocked_streams", "blocked_streams_count"},
    {0x08, "settings_enable_connect_protocol", "extended_connect"}, /* RFC 9220, Section 5 */
    {0x33, "settings_h3_datagram", "h3_datagram"},                  /* RFC 9297, Section 2.1.1 */
};

static const struct setting *setting_of(uint64_t id)
{
    for (size_t i = 0; i < MR_COUNT_OF(settings); i++)
        if (settings[i].id == id)
            return &settings[i];
    return NULL;
}

static void put_settings(struct json_object *frame, const struct told *told)
{
    struct json_object *list = json_object_new_array();
    struct mr_reader r = mr_reader(told->bytes, told->size);

    while (mr_reader_left(&r) > 0) {
        uint64_t id = mr_read_varint(&r);
        uint64_t value = mr_read_varint(&r);
        const struct setting *known = setting_of(id);

        if (r.failed)
            break;
        struct json_object *one = json_object_new_object();
        mr_qlog_put(one, "name",
                    known != NULL     ? known->name
                    : is_reserved(id) ? "reserved"
                                      : "unknown");
        if (known == NULL && !is_reserved(id))
            mr_qlog_put_number(one, "name_bytes", id);
        mr_qlog_put_number(one, "value", value);
        json_object_array_add(list, one);
    }
    json_object_object_add(frame, "settings", list);
}

/* parameters_set, of the same SETTINGS frame. */
static struct json_object *parameters_of(const struct told *told)
{
    struct json_object *data = json_object_new_object();
    struct mr_reader r = mr_reader(told->bytes, told->size);

    mr_qlog_put(data, "initiator", told->record.is_ours ? "local" : "remote");
    while (mr_reader_left(&r) > 0) {
        const struct setting *known = setting_of(mr_read_varint(&r));
        uint64_t value = mr_read_varint(&r);

        if (r.failed)
            break;
        if (known != NULL)
            mr_qlog_put_number(data, known->parameter, value);
    }
    return data;
}

/* ------------------------------------------------------------------ frames */

static void put_headers(struct json_object *frame, const struct told *told)
{
    struct json_object *list = json_object_new_array();
    const uint8_t *at = told->bytes;
    size_t left = told->size;

    while (left > 0) {
        size_t name_size = at[0];
        if (left < 3 + name_size)
            break;
        size_t value_size = (size_t)at[1 + name_size] | (size_t)at[2 + name_size] << 8;
        bool is_there = value_size != MR_TRACE_HTTP3_LEFT_OUT;
        size_t whole = 3 + name_size + (is_there ? value_size : 0);
        if (left < whole)
            break;
        struct json_object *field = json_object_new_object();
        mr_qlog_put_peers_text(field, "name", "name_bytes", at + 1, name_size);
        if (is_there)
            mr_qlog_put_peers_text(field, "value", "value_bytes", at + 3 + name_size, value_size);
        json_object_array_add(list, field);
        at += whole;
        left -= whole;
    }
    json_object_object_add(frame, "headers", list);
    mr_qlog_put_number(frame, "field_count", told->record.fields);
}

/* A frame that is an ID and nothing else.  False: it is not. */
static bool put_id(struct json_object *frame, const struct told *told, const char *name,
                   const char *key)
{
    struct mr_reader r = mr_reader(told->bytes, told->size);
    uint64_t id = mr_read_varint(&r);

    if (r.failed)
        return false;
    mr_qlog_put(frame, "frame_type", name);
    mr_qlog_put_number(frame, key, id);
    return true;
}

static bool put_priority_update(struct json_object *frame, const struct told *told)
{
    bool is_push = told->record.type == FRAME_PRIORITY_UPDATE_PUSH;
    struct mr_reader r = mr_reader(told->bytes, told->size);

    (void)mr_read_varint(&r);
    if (r.failed || !put_id(frame, told, "priority_update", is_push ? "push_id" : "stream_id"))
        return false;
    size_t left = mr_reader_left(&r);
    char text[3 * MR_TRACE_HTTP3_BYTES];
    size_t used = 0;
    for (const uint8_t *at = told->bytes + (told->size - left); left > 0; left--, at++) {
        bool is_plain = *at >= 0x20 && *at < 0x7f;
        used += (size_t)snprintf(text + used, 4, is_plain ? "%c" : "%%%02x", *at);
    }
    json_object_object_add(frame, "priority_field_value",
                           json_object_new_string_len(text, (int)used));
    return true;
}

/* What a type with fields of its own says of itself.  False: it has none, or cannot be read. */
static bool put_known(struct json_object *frame, const struct told *told)
{
    switch (told->record.type) {
    case FRAME_DATA:
        mr_qlog_put(frame, "frame_type", "data");
        return true;
    case FRAME_HEADERS:
        mr_qlog_put(frame, "frame_type", "headers");
        put_headers(frame, told);
        return true;
    case FRAME_SETTINGS:
        mr_qlog_put(frame, "frame_type", "settings");
        put_settings(frame, told);
        return true;
    case FRAME_GOAWAY:
        return put_id(frame, told, "goaway", "id");
    case FRAME_MAX_PUSH_ID:
        return put_id(frame, told, "max_push_id", "push_id");
    case FRAME_CANCEL_PUSH:
        return put_id(frame, told, "cancel_push", "push_id");
    case FRAME_PRIORITY_UPDATE:
    case FRAME_PRIORITY_UPDATE_PUSH:
        return put_priority_update(frame, told);
    default:
        return false;
    }
}

static struct json_object *frame_of(const struct told *told)
{
    struct json_object *frame = json_object_new_object();

    if (!put_known(frame, told)) {
        mr_qlog_put(frame, "frame_type", is_reserved(told->record.type) ? "reserved" : "unknown");
        mr_qlog_put_number(frame, "frame_type_bytes", told->record.type);
    }
    put_raw(frame, told->record.size);
    return frame;
}

static uint32_t on_frame(const struct told *told, struct mr_qlog_event *out)
{
    struct json_object *data = json_object_new_object();
    uint32_t count = 0;

    mr_qlog_put_number(data, "stream_id", told->record.stream);
    json_object_object_add(data, "frame", frame_of(told));
    out[count++] = (struct mr_qlog_event){.name = told->record.is_ours ? "http3:frame_created"
                                                                       : "http3:frame_parsed",
                                          .category = CATEGORY,
                                          .data = data};
    if (told->record.type == FRAME_SETTINGS && told->size == told->record.size)
        out[count++] = (struct mr_qlog_event){
            .name = "http3:parameters_set", .category = CATEGORY, .data = parameters_of(told)};
    return count;
}

/* ------------------------------------------------------------------ the others */

static uint32_t on_stream(const struct told *told, struct mr_qlog_event *out)
{
    static const char *const names[] = {"control", "push", "qpack_encode", "qpack_decode"};
    uint64_t type = told->record.type;
    const char *name = type == MR_TRACE_HTTP3_REQUEST ? "request"
                       : type < MR_COUNT_OF(names)    ? names[type]
                       : is_reserved(type)            ? "reserved"
                                                      : "unknown";
    struct json_object *data = json_object_new_object();

    mr_qlog_put(data, "initiator", told->record.is_ours ? "local" : "remote");
    mr_qlog_put_number(data, "stream_id", told->record.stream);
    mr_qlog_put(data, "stream_type", name);
    if (strcmp(name, "unknown") == 0)
        mr_qlog_put_number(data, "stream_type_bytes", type);
    *out =
        (struct mr_qlog_event){.name = "http3:stream_type_set", .category = CATEGORY, .data = data};
    return 1;
}

static uint32_t on_datagram(const struct told *told, struct mr_qlog_event *out)
{
    struct json_object *data = json_object_new_object();

    mr_qlog_put_number(data, "quarter_stream_id", told->record.stream / 4);
    put_raw(data, told->record.size);
    *out = (struct mr_qlog_event){.name = told->record.is_ours ? "http3:datagram_created"
                                                               : "http3:datagram_parsed",
                                  .category = CATEGORY,
                                  .data = data};
    return 1;
}

static void put_priority(struct json_object *data, const char *key, struct mr_priority priority)
{
    char text[16];

    snprintf(text, sizeof(text), "u=%u%s", priority.urgency, priority.is_incremental ? ", i" : "");
    mr_qlog_put(data, key, text);
}

static uint32_t on_priority(const struct told *told, struct mr_qlog_event *out)
{
    struct json_object *data = json_object_new_object();

    mr_qlog_put_number(data, "stream_id", told->record.stream);
    if (!told->record.is_first)
        put_priority(data, "old", told->record.before);
    put_priority(data, "new", told->record.after);
    mr_qlog_put(data, "trigger", told->record.is_ours ? "local" : "client_signal_received");
    mr_qlog_put(data, "reason",
                told->record.is_ours ? "client_server_merged" : "client_signal_only");
    *out = (struct mr_qlog_event){
        .name = "http3:priority_updated", .category = CATEGORY, .data = data};
    return 1;
}

uint32_t mr_qlog_http3(const uint8_t *body, size_t size,
                       struct mr_qlog_event out[MR_QLOG_EVENTS_MAX])
{
    static uint32_t (*const handlers[MR_TRACE_HTTP3_KINDS])(const struct told *,
                                                            struct mr_qlog_event *) = {
        [MR_TRACE_HTTP3_STREAM] = on_stream,
        [MR_TRACE_HTTP3_FRAME] = on_frame,
        [MR_TRACE_HTTP3_DATAGRAM] = on_datagram,
        [MR_TRACE_HTTP3_PRIORITY] = on_priority,
    };
    struct told told = {.size = 0};

    if (size < sizeof(told.record))
        return 0;
    memcpy(&told.record, body, sizeof(told.record));
    told.bytes = body + sizeof(told.record);
    told.size = MR_MIN(size - sizeof(told.record), (size_t)MR_TRACE_HTTP3_BYTES);
    return told.record.kind < MR_TRACE_HTTP3_KINDS ? handlers[told.record.kind](&told, out) : 0;
}
