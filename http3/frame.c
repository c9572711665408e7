/* http3/frame.c - see frame.h. */
#include "http3/frame.h"

#include <string.h>

#include "base/compiler.h"

enum {
    SETTING_QPACK_CAPACITY = 0x01,
    SETTING_FIELD_SECTION_MAX = 0x06,
    SETTING_QPACK_BLOCKED = 0x07,
    SETTING_CONNECT_PROTOCOL = 0x08,
    SETTING_DATAGRAM = 0x33,
};

/* clang-format off */
static const struct {
    uint64_t code;
    const char *name;
} errors[] = {
    {MR_H3_NO_ERROR,                "H3_NO_ERROR"},
    {MR_H3_GENERAL_PROTOCOL_ERROR,  "H3_GENERAL_PROTOCOL_ERROR"},
    {MR_H3_INTERNAL_ERROR,          "H3_INTERNAL_ERROR"},
    {MR_H3_STREAM_CREATION_ERROR,   "H3_STREAM_CREATION_ERROR"},
    {MR_H3_CLOSED_CRITICAL_STREAM,  "H3_CLOSED_CRITICAL_STREAM"},
    {MR_H3_FRAME_UNEXPECTED,        "H3_FRAME_UNEXPECTED"},
    {MR_H3_FRAME_ERROR,             "H3_FRAME_ERROR"},
    {MR_H3_EXCESSIVE_LOAD,          "H3_EXCESSIVE_LOAD"},
    {MR_H3_ID_ERROR,                "H3_ID_ERROR"},
    {MR_H3_SETTINGS_ERROR,          "H3_SETTINGS_ERROR"},
    {MR_H3_MISSING_SETTINGS,        "H3_MISSING_SETTINGS"},
    {MR_H3_REQUEST_REJECTED,        "H3_REQUEST_REJECTED"},
    {MR_H3_REQUEST_CANCELLED,       "H3_REQUEST_CANCELLED"},
    {MR_H3_REQUEST_INCOMPLETE,      "H3_REQUEST_INCOMPLETE"},
    {MR_H3_MESSAGE_ERROR,           "H3_MESSAGE_ERROR"},
    {MR_H3_CONNECT_ERROR,           "H3_CONNECT_ERROR"},
    {MR_H3_VERSION_FALLBACK,        "H3_VERSION_FALLBACK"},
    {MR_H3_DATAGRAM_ERROR,          "H3_DATAGRAM_ERROR"},
    {MR_QPACK_DECOMPRESSION_FAILED, "QPACK_DECOMPRESSION_FAILED"},
    {MR_QPACK_ENCODER_STREAM_ERROR, "QPACK_ENCODER_STREAM_ERROR"},
    {MR_QPACK_DECODER_STREAM_ERROR, "QPACK_DECODER_STREAM_ERROR"},
};

enum {
    TAKE = MR_H3_FRAME_TAKE,
    PASS = MR_H3_FRAME_PASS,
    SKIP = MR_H3_FRAME_SKIP,
    FORB = MR_H3_FRAME_FORBIDDEN,
    NOID = MR_H3_FRAME_NO_SUCH_ID,
};

/* RFC 9114, Section 7.2, Table 1, and RFC 9218, Section 7.2; types not listed are skipped (Section 9). */
static const struct {
    uint64_t type;
    uint8_t action[MR_H3_PLACES];
} rules[] = {
    /* type                      control: server client    request: server client */
    {MR_H3_FRAME_DATA,         {          FORB,  FORB,              PASS,  PASS}},
    {MR_H3_FRAME_HEADERS,      {          FORB,  FORB,              TAKE,  TAKE}},
    {0x02,                     {          FORB,  FORB,              FORB,  FORB}}, /* HTTP/2's PRIORITY */
    {MR_H3_FRAME_CANCEL_PUSH,  {          NOID,  NOID,              FORB,  FORB}}, /* no push is ever promised */
    {MR_H3_FRAME_SETTINGS,     {          TAKE,  TAKE,              FORB,  FORB}},
    {MR_H3_FRAME_PUSH_PROMISE, {          FORB,  FORB,              FORB,  NOID}},
    {0x06,                     {          FORB,  FORB,              FORB,  FORB}}, /* HTTP/2's PING */
    {MR_H3_FRAME_GOAWAY,       {          TAKE,  TAKE,              FORB,  FORB}},
    {0x08,                     {          FORB,  FORB,              FORB,  FORB}}, /* HTTP/2's WINDOW_UPDATE */
    {0x09,                     {          FORB,  FORB,              FORB,  FORB}}, /* HTTP/2's CONTINUATION */
    {MR_H3_FRAME_MAX_PUSH_ID,  {          TAKE,  FORB,              FORB,  FORB}},
    {MR_H3_FRAME_PRIORITY_UPDATE, {       TAKE,  FORB,              FORB,  FORB}},
    {0xf0701,                  {          NOID,  FORB,              FORB,  FORB}}, /* PRIORITY_UPDATE, push */
};
/* clang-format on */

const char *mr_h3_error_name(uint64_t code)
{
    for (size_t i = 0; i < MR_COUNT_OF(errors); i++) {
        if (errors[i].code == code)
            return errors[i].name;
    }
    return "unknown error";
}

enum mr_h3_frame_action mr_h3_frame_action(uint64_t type, enum mr_h3_place place)
{
    for (size_t i = 0; i < MR_COUNT_OF(rules); i++) {
        if (rules[i].type == type)
            return (enum mr_h3_frame_action)rules[i].action[place];
    }
    return MR_H3_FRAME_SKIP;
}

size_t mr_h3_frame_read_header(struct mr_h3_frame_reader *reader, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (!mr_h3_varint_take(&reader->varint, data[i]))
            continue;
        uint64_t value = reader->varint.value;
        reader->varint = (struct mr_h3_varint){0};
        if (!reader->has_type) {
            reader->has_type = true;
            reader->type = value;
            continue;
        }
        reader->has_header = true;
        reader->left = value;
        return i + 1;
    }
    return size;
}

void mr_h3_frame_next(struct mr_h3_frame_reader *reader)
{
    *reader = (struct mr_h3_frame_reader){0};
}

bool mr_h3_frame_is_between(const struct mr_h3_frame_reader *reader)
{
    return !reader->has_type && !reader->varint.has_begun;
}

size_t mr_h3_frame_put_header(uint8_t *dst, uint64_t type, uint64_t payload_size)
{
    size_t size = mr_h3_varint_put(dst, type);

    return size + mr_h3_varint_put(dst + size, payload_size);
}

bool mr_h3_frame_get_varint(const uint8_t *payload, size_t size, size_t *at, uint64_t *value_out)
{
    struct mr_h3_varint varint = {0};

    while (*at < size) {
        if (mr_h3_varint_take(&varint, payload[(*at)++])) {
            *value_out = varint.value;
            return true;
        }
    }
    return false;
}

bool mr_h3_frame_get_id(const uint8_t *payload, size_t size, uint64_t *id_out)
{
    size_t at = 0;

    return mr_h3_frame_get_varint(payload, size, &at, id_out) && at == size;
}

/* Settings of HTTP/2 that HTTP/3 has not.  RFC 9114, Section 7.2.4.1. */
static bool is_http2_setting(uint64_t id)
{
    return id >= 0x02 && id <= 0x05;
}

/* Bit of a setting that may come once; 0: not known here. */
static uint32_t setting_bit(uint64_t id)
{
    return id <= SETTING_CONNECT_PROTOCOL ? UINT32_C(1) << id
           : id == SETTING_DATAGRAM       ? 1u << 31
                                          : 0;
}

uint64_t mr_h3_settings_parse(const uint8_t *payload, size_t size,
                              struct mr_h3_settings *settings_out)
{
    uint32_t seen = 0;

    *settings_out = (struct mr_h3_settings){.field_section_max = UINT64_MAX};
    for (size_t at = 0; at < size;) {
        uint64_t id;
        uint64_t value;
        if (!mr_h3_frame_get_varint(payload, size, &at, &id) ||
            !mr_h3_frame_get_varint(payload, size, &at, &value))
            return MR_H3_FRAME_ERROR;
        if (is_http2_setting(id) || (seen & setting_bit(id)) != 0)
            return MR_H3_SETTINGS_ERROR;
        seen |= setting_bit(id);
        if ((id == SETTING_CONNECT_PROTOCOL || id == SETTING_DATAGRAM) && value > 1)
            return MR_H3_SETTINGS_ERROR;
        if (id == SETTING_FIELD_SECTION_MAX)
            settings_out->field_section_max = value;
        else if (id == SETTING_QPACK_CAPACITY)
            settings_out->qpack_capacity = value;
        else if (id == SETTING_QPACK_BLOCKED)
            settings_out->qpack_blocked_max = value;
        else if (id == SETTING_CONNECT_PROTOCOL)
            settings_out->has_connect_protocol = value == 1;
        else if (id == SETTING_DATAGRAM)
            settings_out->has_datagrams = value == 1;
    }
    return 0;
}

size_t mr_h3_settings_put(uint8_t *dst, const struct mr_h3_settings *settings)
{
    const struct {
        uint64_t id;
        uint64_t value;
        bool is_sent;
    } pairs[] = {
        {SETTING_FIELD_SECTION_MAX, settings->field_section_max, true},
        {SETTING_QPACK_CAPACITY, settings->qpack_capacity, true},
        {SETTING_QPACK_BLOCKED, settings->qpack_blocked_max, true},
        {SETTING_CONNECT_PROTOCOL, 1, settings->has_connect_protocol},
        {SETTING_DATAGRAM, 1, settings->has_datagrams},
        {settings->reserved, settings->reserved_value, settings->reserved != 0},
    };
    uint8_t payload[MR_H3_SETTINGS_MAX - MR_H3_FRAME_HEADER_MAX];
    size_t size = 0;

    for (size_t i = 0; i < MR_COUNT_OF(pairs); i++) {
        if (!pairs[i].is_sent)
            continue;
        size += mr_h3_varint_put(payload + size, pairs[i].id);
        size += mr_h3_varint_put(payload + size, pairs[i].value);
    }
    size_t header = mr_h3_frame_put_header(dst, MR_H3_FRAME_SETTINGS, size);
    memcpy(dst + header, payload, size);
    return header + size;
}
