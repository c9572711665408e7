/* control/qlog_frame.c - frames and transport parameters as JSON; see qlog_event.h. */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "control/qlog_event.h"
#include "quic/frame_extension.h"
#include "quic/frame_multipath.h"
#include "quic/trace_frames.h"
#include "quic/transport_params.h"

/* ------------------------------------------------------------------ members */

void mr_qlog_put(struct json_object *object, const char *key, const char *text)
{
    json_object_object_add(object, key, json_object_new_string(text));
}

void mr_qlog_put_number(struct json_object *object, const char *key, uint64_t value)
{
    json_object_object_add(object, key, json_object_new_uint64(value));
}

void mr_qlog_put_bool(struct json_object *object, const char *key, bool value)
{
    json_object_object_add(object, key, json_object_new_boolean(value));
}

static struct json_object *hex(const uint8_t *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    char text[2 * MR_TRACE_BODY_MAX];

    size = MR_MIN(size, (size_t)MR_TRACE_BODY_MAX);
    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    return json_object_new_string_len(text, (int)(2 * size));
}

void mr_qlog_put_hex(struct json_object *object, const char *key, const uint8_t *bytes, size_t size)
{
    json_object_object_add(object, key, hex(bytes, size));
}

void mr_qlog_put_ms(struct json_object *object, const char *key, uint64_t ns)
{
    char text[40];

    snprintf(text, sizeof(text), "%llu.%06u", (unsigned long long)(ns / MR_MS),
             (unsigned)(ns % MR_MS));
    json_object_object_add(object, key, json_object_new_double_s((double)ns / 1e6, text));
}

void mr_qlog_put_peers_text(struct json_object *object, const char *key, const char *key_bytes,
                            const uint8_t *bytes, size_t size)
{
    bool is_text = true;

    for (size_t i = 0; i < size; i++)
        is_text = is_text && bytes[i] >= 0x20 && bytes[i] < 0x7f;
    if (is_text)
        json_object_object_add(object, key,
                               json_object_new_string_len((const char *)bytes, (int)size));
    else if (key_bytes != NULL)
        mr_qlog_put_hex(object, key_bytes, bytes, size);
}

void mr_qlog_put_error(struct json_object *object, const char *key, uint64_t error, bool is_app)
{
    static const char *const names[] = {
        [MR_NO_ERROR] = "no_error",
        [MR_INTERNAL_ERROR] = "internal_error",
        [MR_CONNECTION_REFUSED] = "connection_refused",
        [MR_FLOW_CONTROL_ERROR] = "flow_control_error",
        [MR_STREAM_LIMIT_ERROR] = "stream_limit_error",
        [MR_STREAM_STATE_ERROR] = "stream_state_error",
        [MR_FINAL_SIZE_ERROR] = "final_size_error",
        [MR_FRAME_ENCODING_ERROR] = "frame_encoding_error",
        [MR_TRANSPORT_PARAMETER_ERROR] = "transport_parameter_error",
        [MR_CONNECTION_ID_LIMIT_ERROR] = "connection_id_limit_error",
        [MR_PROTOCOL_VIOLATION] = "protocol_violation",
        [MR_INVALID_TOKEN] = "invalid_token",
        [MR_APPLICATION_ERROR] = "application_error",
        [MR_CRYPTO_BUFFER_EXCEEDED] = "crypto_buffer_exceeded",
        [MR_KEY_UPDATE_ERROR] = "key_update_error",
        [MR_AEAD_LIMIT_REACHED] = "aead_limit_reached",
        [MR_NO_VIABLE_PATH] = "no_viable_path",
    };
    char crypto[32];

    if (!is_app && error < MR_COUNT_OF(names)) {
        mr_qlog_put(object, key, names[error]);
    } else if (!is_app && error >= MR_CRYPTO_ERROR && error < MR_CRYPTO_ERROR + 256) {
        snprintf(crypto, sizeof(crypto), "crypto_error_0x%03x", (unsigned)error);
        mr_qlog_put(object, key, crypto);
    } else {
        mr_qlog_put(object, key, "unknown");
        mr_qlog_put_number(object, "error_code", error);
    }
}

/* ------------------------------------------------------------------ frames */

/* The frames that are a name and numbers. */
static const struct simple {
    const char *name;
    const char *key[3];
    const char *stream_type;
} simple_frames[] = {
    [MR_FRAME_PING] = {.name = "ping"},
    [MR_FRAME_CRYPTO] = {.name = "crypto", .key = {"offset"}},
    [MR_FRAME_NEW_TOKEN] = {.name = "new_token"},
    [MR_FRAME_STREAM] = {.name = "stream", .key = {"stream_id", "offset"}},
    [MR_FRAME_STREAM + 1] = {.name = "stream", .key = {"stream_id", "offset"}},
    [MR_FRAME_MAX_DATA] = {.name = "max_data", .key = {"maximum"}},
    [MR_FRAME_MAX_STREAM_DATA] = {.name = "max_stream_data", .key = {"stream_id", "maximum"}},
    [MR_FRAME_MAX_STREAMS_BIDI] = {.name = "max_streams",
                                   .key = {"maximum"},
                                   .stream_type = "bidirectional"},
    [MR_FRAME_MAX_STREAMS_UNI] = {.name = "max_streams",
                                  .key = {"maximum"},
                                  .stream_type = "unidirectional"},
    [MR_FRAME_DATA_BLOCKED] = {.name = "data_blocked", .key = {"limit"}},
    [MR_FRAME_STREAM_DATA_BLOCKED] = {.name = "stream_data_blocked", .key = {"stream_id", "limit"}},
    [MR_FRAME_STREAMS_BLOCKED_BIDI] = {.name = "streams_blocked",
                                       .key = {"limit"},
                                       .stream_type = "bidirectional"},
    [MR_FRAME_STREAMS_BLOCKED_UNI] = {.name = "streams_blocked",
                                      .key = {"limit"},
                                      .stream_type = "unidirectional"},
    [MR_FRAME_NEW_CONNECTION_ID] = {.name = "new_connection_id",
                                    .key = {"sequence_number", "retire_prior_to"}},
    [MR_FRAME_RETIRE_CONNECTION_ID] = {.name = "retire_connection_id", .key = {"sequence_number"}},
    [MR_FRAME_PATH_CHALLENGE] = {.name = "path_challenge"},
    [MR_FRAME_PATH_RESPONSE] = {.name = "path_response"},
    [MR_FRAME_HANDSHAKE_DONE] = {.name = "handshake_done"},
    [MR_FRAME_DATAGRAM] = {.name = "datagram"},
};

static void put_raw(struct json_object *object, uint64_t size)
{
    struct json_object *raw = json_object_new_object();

    mr_qlog_put_number(raw, "length", size);
    mr_qlog_put_number(raw, "payload_length", size);
    json_object_object_add(object, "raw", raw);
}

/* Of stream data; qvis's graphs of streams want its size under the name that an earlier draft had.
 */
static void put_data(struct json_object *object, uint64_t size)
{
    mr_qlog_put_number(object, "length", size);
    put_raw(object, size);
}

static void put_token(struct json_object *object, uint64_t size)
{
    struct json_object *token = json_object_new_object();
    struct json_object *raw = json_object_new_object();

    mr_qlog_put(token, "type", "resumption");
    mr_qlog_put_number(raw, "length", size);
    json_object_object_add(token, "raw", raw);
    json_object_object_add(object, "token", token);
}

static void put_ack(struct json_object *object, const struct mr_trace_frame *frame,
                    uint32_t exponent)
{
    struct mr_reader r = mr_reader(frame->bytes, (size_t)frame->size);
    struct json_object *ranges = json_object_new_array();
    struct mr_frame_ack ack;
    struct mr_ack_range range;
    uint64_t type = mr_read_varint(&r);
    bool is_path = type == MR_FRAME_PATH_ACK || type == MR_FRAME_PATH_ACK_ECN;
    uint64_t path = 0;

    mr_qlog_put(object, "frame_type", is_path ? "path_ack" : "ack");
    if (!(is_path ? mr_frame_decode_path_ack(&r, type, &path, &ack)
                  : mr_frame_decode_ack(&r, type,
                                        &ack))) { /* ranges below zero: an error of the peer's */
        json_object_put(ranges);
        return;
    }
    if (is_path)
        mr_qlog_put_number(object, "path_id", path);
    uint64_t delay_us = MR_MIN(ack.delay, (uint64_t)1 << 40) << MR_MIN(exponent, 20u);
    mr_qlog_put_ms(object, "ack_delay", delay_us * MR_US);
    while (mr_frame_ack_next(&ack, &range)) {
        struct json_object *pair = json_object_new_array();

        json_object_array_add(pair, json_object_new_uint64(range.lo));
        if (range.hi != range.lo)
            json_object_array_add(pair, json_object_new_uint64(range.hi));
        json_object_array_add(ranges, pair);
    }
    json_object_object_add(object, "acked_ranges", ranges);
    if (!ack.has_ecn)
        return;
    mr_qlog_put_number(object, "ect1", ack.ecn.ect1);
    mr_qlog_put_number(object, "ect0", ack.ecn.ect0);
    mr_qlog_put_number(object, "ce", ack.ecn.ce);
}

static void put_close(struct json_object *object, const struct mr_trace_frame *frame)
{
    bool is_app = frame->type == MR_FRAME_CONNECTION_CLOSE_APP;

    mr_qlog_put(object, "frame_type", "connection_close");
    mr_qlog_put(object, "error_space", is_app ? "application" : "transport");
    mr_qlog_put_error(object, "error", frame->field[0], is_app);
    mr_qlog_put_peers_text(object, "reason", "reason_bytes", frame->bytes, (size_t)frame->size);
    if (!is_app)
        mr_qlog_put_number(object, "trigger_frame_type", frame->field[1]);
}

static void put_stream_error(struct json_object *object, const struct mr_trace_frame *frame)
{
    bool is_reset_at = frame->type == MR_FRAME_RESET_STREAM_AT;
    bool is_reset = frame->type == MR_FRAME_RESET_STREAM || is_reset_at;

    mr_qlog_put(object, "frame_type",
                is_reset_at ? "reset_stream_at"
                : is_reset  ? "reset_stream"
                            : "stop_sending");
    mr_qlog_put_number(object, "stream_id", frame->field[0]);
    mr_qlog_put_error(object, "error", frame->field[1], true);
    if (is_reset)
        mr_qlog_put_number(object, "final_size", frame->field[2]);
    if (is_reset_at)
        mr_qlog_put_number(object, "reliable_size", frame->field[3]);
}

/* Of draft-ietf-quic-multipath, by draft-ietf-quic-multipath-qlog: from MR_FRAME_PATH_ABANDON on.
 */
static const struct simple path_frames[] = {
    {.name = "path_abandon", .key = {"path_id", "error_code"}},
    {.name = "path_status_backup", .key = {"path_id", "path_status_sequence_number"}},
    {.name = "path_status_available", .key = {"path_id", "path_status_sequence_number"}},
    {.name = "path_new_connection_id", .key = {"path_id", "sequence_number", "retire_prior_to"}},
    {.name = "path_retire_connection_id", .key = {"path_id", "sequence_number"}},
    {.name = "max_path_id", .key = {"maximum_path_id"}},
    {.name = "paths_blocked", .key = {"maximum_path_id"}},
    {.name = "path_cids_blocked", .key = {"path_id", "next_sequence_number"}},
};

static void put_path_frame(struct json_object *object, const struct mr_trace_frame *frame)
{
    const struct simple *simple = &path_frames[frame->type - MR_FRAME_PATH_ABANDON];

    mr_qlog_put(object, "frame_type", simple->name);
    for (size_t i = 0; i < MR_COUNT_OF(simple->key) && simple->key[i] != NULL; i++)
        mr_qlog_put_number(object, simple->key[i], frame->field[i]);
    if (frame->type != MR_FRAME_PATH_NEW_CONNECTION_ID)
        return;
    mr_qlog_put_number(object, "connection_id_length", frame->size);
    mr_qlog_put_hex(object, "connection_id", frame->bytes, (size_t)frame->size);
}

/* Also those that we know and the draft does not: ACK_FREQUENCY, IMMEDIATE_ACK, OBSERVED_ADDRESS.
 */
static void put_unknown(struct json_object *object, const struct mr_trace_frame *frame)
{
    struct json_object *raw;

    mr_qlog_put(object, "frame_type", "unknown");
    mr_qlog_put_number(object, "frame_type_bytes", frame->type);
    if (frame->tail != MR_TAIL_UNREADABLE)
        return;
    raw = json_object_new_object();
    mr_qlog_put_number(raw, "length", frame->size);
    json_object_object_add(object, "raw", raw);
}

static void put_simple(struct json_object *object, const struct mr_trace_frame *frame)
{
    const struct simple *simple = &simple_frames[frame->type];

    mr_qlog_put(object, "frame_type", simple->name);
    for (size_t i = 0; i < MR_COUNT_OF(simple->key) && simple->key[i] != NULL; i++)
        mr_qlog_put_number(object, simple->key[i], frame->field[i]);
    if (simple->stream_type != NULL)
        mr_qlog_put(object, "stream_type", simple->stream_type);
    switch (frame->type) {
    case MR_FRAME_STREAM:
    case MR_FRAME_STREAM + 1:
        if (frame->type != MR_FRAME_STREAM)
            mr_qlog_put_bool(object, "fin", true);
        put_data(object, frame->size);
        return;
    case MR_FRAME_CRYPTO:
        put_data(object, frame->size);
        return;
    case MR_FRAME_DATAGRAM:
        put_raw(object, frame->size);
        return;
    case MR_FRAME_NEW_TOKEN:
        put_token(object, frame->size);
        return;
    case MR_FRAME_NEW_CONNECTION_ID:
        mr_qlog_put_number(object, "connection_id_length", frame->size);
        mr_qlog_put_hex(object, "connection_id", frame->bytes, (size_t)frame->size);
        return;
    case MR_FRAME_PATH_CHALLENGE:
    case MR_FRAME_PATH_RESPONSE:
        mr_qlog_put_hex(object, "data", frame->bytes, (size_t)frame->size);
        return;
    default:
        return;
    }
}

static struct json_object *frame_object(const struct mr_trace_frame *frame, uint32_t exponent)
{
    struct json_object *object = json_object_new_object();

    if (frame->tail == MR_TAIL_UNREADABLE) {
        put_unknown(object, frame);
        return object;
    }
    switch (frame->type) {
    case MR_FRAME_PADDING:
        mr_qlog_put(object, "frame_type", "padding");
        put_raw(object, frame->size);
        break;
    case MR_FRAME_ACK:
    case MR_FRAME_ACK_ECN:
    case MR_FRAME_PATH_ACK:
    case MR_FRAME_PATH_ACK_ECN:
        put_ack(object, frame, exponent);
        break;
    case MR_FRAME_RESET_STREAM:
    case MR_FRAME_RESET_STREAM_AT:
    case MR_FRAME_STOP_SENDING:
        put_stream_error(object, frame);
        break;
    case MR_FRAME_CONNECTION_CLOSE:
    case MR_FRAME_CONNECTION_CLOSE_APP:
        put_close(object, frame);
        break;
    default:
        if (frame->type < MR_COUNT_OF(simple_frames) && simple_frames[frame->type].name != NULL)
            put_simple(object, frame);
        else if (frame->type - MR_FRAME_PATH_ABANDON < MR_COUNT_OF(path_frames))
            put_path_frame(object, frame);
        else
            put_unknown(object, frame);
    }
    return object;
}

struct json_object *mr_qlog_frames(const uint8_t *frames, size_t size, uint32_t exponent)
{
    struct json_object *array = json_object_new_array();
    struct mr_reader r = mr_reader(frames, size);
    struct mr_trace_frame frame;

    while (mr_trace_frame_next(&r, &frame))
        json_object_array_add(array, frame_object(&frame, exponent));
    return array;
}

/* ------------------------------------------------------------------ transport parameters */

enum parameter_kind {
    PARAMETER_NUMBER,
    PARAMETER_CID,
    PARAMETER_FLAG,
    PARAMETER_SECRET, /* not shown */
    PARAMETER_ADDRESS
};

static const struct parameter {
    uint64_t id;
    enum parameter_kind kind;
    const char *key;
} parameters[] = {
    {MR_PARAM_ORIGINAL_DCID, PARAMETER_CID, "original_destination_connection_id"},
    {MR_PARAM_MAX_IDLE_TIMEOUT, PARAMETER_NUMBER, "max_idle_timeout"},
    {MR_PARAM_STATELESS_RESET_TOKEN, PARAMETER_SECRET, ""},
    {MR_PARAM_MAX_UDP_PAYLOAD_SIZE, PARAMETER_NUMBER, "max_udp_payload_size"},
    {MR_PARAM_INITIAL_MAX_DATA, PARAMETER_NUMBER, "initial_max_data"},
    {MR_PARAM_INITIAL_MAX_STREAM_DATA_BIDI_LOCAL, PARAMETER_NUMBER,
     "initial_max_stream_data_bidi_local"},
    {MR_PARAM_INITIAL_MAX_STREAM_DATA_BIDI_REMOTE, PARAMETER_NUMBER,
     "initial_max_stream_data_bidi_remote"},
    {MR_PARAM_INITIAL_MAX_STREAM_DATA_UNI, PARAMETER_NUMBER, "initial_max_stream_data_uni"},
    {MR_PARAM_INITIAL_MAX_STREAMS_BIDI, PARAMETER_NUMBER, "initial_max_streams_bidi"},
    {MR_PARAM_INITIAL_MAX_STREAMS_UNI, PARAMETER_NUMBER, "initial_max_streams_uni"},
    {MR_PARAM_ACK_DELAY_EXPONENT, PARAMETER_NUMBER, "ack_delay_exponent"},
    {MR_PARAM_MAX_ACK_DELAY, PARAMETER_NUMBER, "max_ack_delay"},
    {MR_PARAM_DISABLE_ACTIVE_MIGRATION, PARAMETER_FLAG, "disable_active_migration"},
    {MR_PARAM_PREFERRED_ADDRESS, PARAMETER_ADDRESS, "preferred_address"},
    {MR_PARAM_ACTIVE_CONNECTION_ID_LIMIT, PARAMETER_NUMBER, "active_connection_id_limit"},
    {MR_PARAM_INITIAL_SCID, PARAMETER_CID, "initial_source_connection_id"},
    {MR_PARAM_RETRY_SCID, PARAMETER_CID, "retry_source_connection_id"},
    {MR_PARAM_MAX_DATAGRAM_FRAME_SIZE, PARAMETER_NUMBER, "max_datagram_frame_size"},
    {MR_PARAM_INITIAL_MAX_PATH_ID, PARAMETER_NUMBER, "initial_max_path_id"},
    {MR_PARAM_RESET_STREAM_AT, PARAMETER_FLAG, "reset_stream_at"},
    {MR_PARAM_GREASE_QUIC_BIT, PARAMETER_FLAG, "grease_quic_bit"},
};

static const struct parameter *find_parameter(uint64_t id)
{
    for (size_t i = 0; i < MR_COUNT_OF(parameters); i++) {
        if (parameters[i].id == id)
            return &parameters[i];
    }
    return NULL;
}

/* RFC 9000, Section 18.2, Figure 22.  The token of a stateless reset is secret: zeros. */
static void put_preferred(struct json_object *object, const char *key, const uint8_t *bytes,
                          size_t size)
{
    static const uint8_t no_token[MR_RESET_TOKEN];
    struct json_object *to = json_object_new_object();
    struct mr_reader r = mr_reader(bytes, size);
    const uint8_t *v4 = mr_read_bytes(&r, 4);
    uint16_t v4_port = mr_read_u16(&r);
    const uint8_t *v6 = mr_read_bytes(&r, 16);
    uint16_t v6_port = mr_read_u16(&r);
    uint8_t cid_size = mr_read_u8(&r);
    const uint8_t *cid = mr_read_bytes(&r, cid_size);

    if (r.failed) {
        json_object_put(to);
        return;
    }
    mr_qlog_put_hex(to, "ip_v4", v4, 4);
    mr_qlog_put_number(to, "port_v4", v4_port);
    mr_qlog_put_hex(to, "ip_v6", v6, 16);
    mr_qlog_put_number(to, "port_v6", v6_port);
    mr_qlog_put_hex(to, "connection_id", cid, cid_size);
    mr_qlog_put_hex(to, "stateless_reset_token", no_token, sizeof(no_token));
    json_object_object_add(object, key, to);
}

static void put_parameter(struct json_object *object, const struct parameter *parameter,
                          const uint8_t *value, size_t size)
{
    struct mr_reader r = mr_reader(value, size);
    uint64_t number;

    switch (parameter->kind) {
    case PARAMETER_NUMBER:
        number = mr_read_varint(&r);
        if (!r.failed)
            mr_qlog_put_number(object, parameter->key, number);
        return;
    case PARAMETER_CID:
        mr_qlog_put_hex(object, parameter->key, value, size);
        return;
    case PARAMETER_FLAG:
        mr_qlog_put_bool(object, parameter->key, true);
        return;
    case PARAMETER_ADDRESS:
        put_preferred(object, parameter->key, value, size);
        return;
    case PARAMETER_SECRET:
        return;
    }
}

void mr_qlog_parameters(struct json_object *object, const uint8_t *bytes, size_t size)
{
    struct json_object *unknown = json_object_new_array();
    struct mr_reader r = mr_reader(bytes, size);

    while (mr_reader_left(&r) > 0) {
        uint64_t id = mr_read_varint(&r);
        uint64_t value_size = mr_read_varint(&r);
        const uint8_t *value = mr_read_bytes(&r, value_size);

        if (r.failed)
            break;
        const struct parameter *parameter = find_parameter(id);
        if (parameter != NULL) {
            put_parameter(object, parameter, value, (size_t)value_size);
            continue;
        }
        struct json_object *one = json_object_new_object();
        mr_qlog_put_number(one, "id", id);
        mr_qlog_put_hex(one, "value", value, (size_t)value_size);
        json_object_array_add(unknown, one);
    }
    if (json_object_array_length(unknown) > 0)
        json_object_object_add(object, "unknown_parameters", unknown);
    else
        json_object_put(unknown);
}
