/* http3/message.c - see message.h. */
#include "http3/message.h"

#include <string.h>
#include <strings.h>

#include "base/compiler.h"
#include "http3/structured.h"

enum {
    FIELD_OVERHEAD = 32, /* RFC 9114, Section 4.2.2 */
    NAME_MAX = 20,       /* names of fewer bytes may be known */
    NAMES_OF_A_SIZE = 4,
};

#define BIT(field) (UINT32_C(1) << (field))

/* clang-format off */
#define KNOWN(size, name, field) {name, (field) + 0 * sizeof(char[sizeof(name) == (size) + 1 ? 1 : -1])}

/* By the size of their names. */
static const struct known_field {
    const char *name; /* NULL: no more of the size */
    size_t field;     /* an enum mr_h3_field */
} known_fields[NAME_MAX][NAMES_OF_A_SIZE] = {
    [2]  = {KNOWN(2,  "te",                  MR_FIELD_TE)},
    [4]  = {KNOWN(4,  "host",                MR_FIELD_HOST),
            KNOWN(4,  "etag",                MR_FIELD_ETAG)},
    [5]  = {KNOWN(5,  ":path",               MR_FIELD_PATH),
            KNOWN(5,  "range",               MR_FIELD_RANGE)},
    [6]  = {KNOWN(6,  "server",              MR_FIELD_SERVER)},
    [7]  = {KNOWN(7,  ":method",             MR_FIELD_METHOD),
            KNOWN(7,  ":scheme",             MR_FIELD_SCHEME),
            KNOWN(7,  ":status",             MR_FIELD_STATUS),
            KNOWN(7,  "upgrade",             MR_FIELD_CONNECTION_SPECIFIC)},
    [8]  = {KNOWN(8,  "priority",            MR_FIELD_PRIORITY),
            KNOWN(8,  "location",            MR_FIELD_LOCATION),
            KNOWN(8,  "if-match",            MR_FIELD_IF_MATCH),
            KNOWN(8,  "if-range",            MR_FIELD_IF_RANGE)},
    [9]  = {KNOWN(9,  ":protocol",           MR_FIELD_PROTOCOL)},
    [10] = {KNOWN(10, ":authority",          MR_FIELD_AUTHORITY),
            KNOWN(10, "early-data",          MR_FIELD_EARLY_DATA),
            KNOWN(10, "connection",          MR_FIELD_CONNECTION_SPECIFIC),
            KNOWN(10, "keep-alive",          MR_FIELD_CONNECTION_SPECIFIC)},
    [12] = {KNOWN(12, "content-type",        MR_FIELD_CONTENT_TYPE)},
    [13] = {KNOWN(13, "last-modified",       MR_FIELD_LAST_MODIFIED),
            KNOWN(13, "if-none-match",       MR_FIELD_IF_NONE_MATCH),
            KNOWN(13, "content-range",       MR_FIELD_CONTENT_RANGE)},
    [14] = {KNOWN(14, "content-length",      MR_FIELD_CONTENT_LENGTH)},
    [16] = {KNOWN(16, "capsule-protocol",    MR_FIELD_CAPSULE_PROTOCOL),
            KNOWN(16, "proxy-connection",    MR_FIELD_CONNECTION_SPECIFIC)},
    [17] = {KNOWN(17, "if-modified-since",   MR_FIELD_IF_MODIFIED_SINCE),
            KNOWN(17, "transfer-encoding",   MR_FIELD_CONNECTION_SPECIFIC)},
    [19] = {KNOWN(19, "if-unmodified-since", MR_FIELD_IF_UNMODIFIED_SINCE)},
};
/* clang-format on */

static enum mr_h3_field field_of(struct mr_text name)
{
    if (name.size == 0 || name.size >= NAME_MAX)
        return MR_FIELD_OTHER;
    const struct known_field *known = known_fields[name.size];

    for (size_t i = 0; i < NAMES_OF_A_SIZE && known[i].name != NULL; i++) {
        if (known[i].name[name.size - 1] == name.data[name.size - 1] &&
            memcmp(known[i].name, name.data, name.size) == 0)
            return (enum mr_h3_field)known[i].field;
    }
    return MR_FIELD_OTHER;
}

static bool is_text(struct mr_text text, const char *wanted)
{
    return text.size == strlen(wanted) && memcmp(text.data, wanted, text.size) == 0;
}

/* RFC 9110, Section 5.6.2, without upper case unless `has_upper`. */
static bool is_token(const char *data, size_t size, bool has_upper)
{
    for (size_t i = 0; i < size; i++) {
        char c = data[i];
        bool is_alnum =
            (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (has_upper && c >= 'A' && c <= 'Z');
        if (!is_alnum && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
            return false;
    }
    return size > 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* May one of the eight bytes be below `limit` (0x80 at most), or 0x7f?  False: surely none is. */
static bool may_have_control(uint64_t x, uint64_t limit)
{
    uint64_t del = x ^ EACH(0x7f);

    return (((x - EACH(limit)) & ~x) | ((del - EACH(1)) & ~del & EACH(0x80))) & EACH(0x80);
}

static uint64_t eight_at(const char *data)
{
    uint64_t x;

    memcpy(&x, data, sizeof(x));
    return x;
}

/* All of fewer than eight bytes, and letters in place of the rest, or some of them twice. */
static uint64_t fewer_than_eight(struct mr_text text)
{
    uint32_t first;
    uint32_t last;

    if (text.size >= 4) {
        memcpy(&first, text.data, sizeof(first));
        memcpy(&last, text.data + text.size - 4, sizeof(last));
        return (uint64_t)last << 32 | first;
    }
    uint64_t x = EACH('a');
    for (size_t i = 0; i < text.size; i++)
        x = x << 8 | (unsigned char)text.data[i];
    return x;
}

/* Is surely no byte below `limit` (0x80 at most), or 0x7f?  False: one may be. */
static bool is_surely_plain(struct mr_text text, uint64_t limit)
{
    if (text.size < 8)
        return !may_have_control(fewer_than_eight(text), limit);
    for (size_t at = 0; at < text.size - 8; at += 8) {
        if (may_have_control(eight_at(text.data + at), limit))
            return false;
    }
    return !may_have_control(eight_at(text.data + text.size - 8), limit);
}

/* RFC 9110, Section 5.5: visible characters, blanks inside, bytes above 0x7f. */
static bool is_field_value(struct mr_text value)
{
    if (value.size > 0 && (is_blank(value.data[0]) || is_blank(value.data[value.size - 1])))
        return false;
    if (is_surely_plain(value, 0x20))
        return true;
    for (size_t i = 0; i < value.size; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

/* No blank and no control character: what a :path, an :authority or a :scheme never holds. */
static bool is_graphic(struct mr_text value)
{
    if (is_surely_plain(value, 0x21))
        return value.size > 0;
    for (size_t i = 0; i < value.size; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if (c <= 0x20 || c == 0x7f)
            return false;
    }
    return true;
}

/* ---- what each field's value must be ---- */

static enum mr_message_verdict verdict_if(bool is_ok)
{
    return is_ok ? MR_MESSAGE_OK : MR_MESSAGE_MALFORMED;
}

static enum mr_message_verdict take_method(struct mr_message *m, struct mr_text value)
{
    static const struct {
        const char *name;
        enum mr_method method;
    } methods[] = {
        {"GET", MR_METHOD_GET},
        {"HEAD", MR_METHOD_HEAD},
        {"CONNECT", MR_METHOD_CONNECT},
        {"OPTIONS", MR_METHOD_OPTIONS},
    };

    for (size_t i = 0; i < MR_COUNT_OF(methods); i++) {
        if (!is_text(value, methods[i].name))
            continue;
        m->method = methods[i].method;
        return MR_MESSAGE_OK;
    }
    return verdict_if(is_token(value.data, value.size, true));
}

static enum mr_message_verdict take_scheme(struct mr_message *m, struct mr_text value)
{
    m->is_http = (value.size == 4 && strncasecmp(value.data, "http", 4) == 0) ||
                 (value.size == 5 && strncasecmp(value.data, "https", 5) == 0);
    return verdict_if(is_graphic(value));
}

/* RFC 9114, Section 4.3.1: no user information; the same in :authority and host. */
static enum mr_message_verdict take_authority(char *copy, uint16_t *size_out, struct mr_text value)
{
    if (value.size > MR_AUTHORITY_MAX)
        return MR_MESSAGE_TOO_LARGE;
    if (!is_graphic(value) || memchr(value.data, '@', value.size) != NULL ||
        memchr(value.data, '/', value.size) != NULL)
        return MR_MESSAGE_MALFORMED;
    memcpy(copy, value.data, value.size);
    *size_out = (uint16_t)value.size;
    return MR_MESSAGE_OK;
}

static enum mr_message_verdict take_path(struct mr_message *m, struct mr_text value)
{
    m->path_is_asterisk = is_text(value, "*");
    return verdict_if(is_graphic(value) && (m->path_is_asterisk || value.data[0] == '/'));
}

static enum mr_message_verdict take_status(struct mr_message *m, struct mr_text value)
{
    if (value.size != 3)
        return MR_MESSAGE_MALFORMED;
    for (size_t i = 0; i < 3; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return MR_MESSAGE_MALFORMED;
        m->status = (uint16_t)(m->status * 10 + (value.data[i] - '0'));
    }
    return verdict_if(m->status >= 100 && m->status != 101); /* RFC 9114, Section 4.5 */
}

static enum mr_message_verdict take_content_length(struct mr_message *m, struct mr_text value)
{
    uint64_t length = 0;

    if (m->kind == MR_MESSAGE_TRAILERS || value.size == 0)
        return MR_MESSAGE_MALFORMED;
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < '0' || value.data[i] > '9' || length > (INT64_MAX - 9) / 10)
            return MR_MESSAGE_MALFORMED;
        length = length * 10 + (uint64_t)(value.data[i] - '0');
    }
    m->content_length = length;
    return MR_MESSAGE_OK;
}

static enum mr_message_verdict take_value(struct mr_message *m, enum mr_h3_field field,
                                          struct mr_text value)
{
    switch (field) {
    case MR_FIELD_METHOD:
        return take_method(m, value);
    case MR_FIELD_SCHEME:
        return take_scheme(m, value);
    case MR_FIELD_AUTHORITY:
        return take_authority(m->authority, &m->authority_size, value);
    case MR_FIELD_PATH:
        return take_path(m, value);
    case MR_FIELD_STATUS:
        return take_status(m, value);
    case MR_FIELD_HOST:
        return take_authority(m->host, &m->host_size, value);
    case MR_FIELD_CONTENT_LENGTH:
        return take_content_length(m, value);
    case MR_FIELD_CONNECTION_SPECIFIC:
        return MR_MESSAGE_MALFORMED;
    case MR_FIELD_PROTOCOL:
        return verdict_if(is_token(value.data, value.size, true));
    case MR_FIELD_CAPSULE_PROTOCOL:
        m->has_capsules = !m->has_capsule_field && mr_sf_is_true(value);
        m->has_capsule_field = true;
        return MR_MESSAGE_OK;
    case MR_FIELD_TE: /* RFC 9114, Section 4.2: in the header section of a request */
        return verdict_if(m->kind == MR_MESSAGE_REQUEST && value.size == 8 &&
                          strncasecmp(value.data, "trailers", 8) == 0);
    default:
        return MR_MESSAGE_OK;
    }
}

/* ---- the list ---- */

/* Pseudo-header fields that a kind of message may have. */
static uint32_t pseudo_fields_of(const struct mr_message *m)
{
    switch (m->kind) {
    case MR_MESSAGE_REQUEST:
        return BIT(MR_FIELD_METHOD) | BIT(MR_FIELD_SCHEME) | BIT(MR_FIELD_AUTHORITY) |
               BIT(MR_FIELD_PATH) | (m->limits.allows_protocol ? BIT(MR_FIELD_PROTOCOL) : 0);
    case MR_MESSAGE_RESPONSE:
        return BIT(MR_FIELD_STATUS);
    default:
        return 0;
    }
}

/* Fields of which a message has one at most; of others that are repeated the first counts. */
#define SINGLE_FIELDS                                                                              \
    (BIT(MR_FIELD_METHOD) | BIT(MR_FIELD_SCHEME) | BIT(MR_FIELD_AUTHORITY) | BIT(MR_FIELD_PATH) |  \
     BIT(MR_FIELD_PROTOCOL) | BIT(MR_FIELD_STATUS) | BIT(MR_FIELD_HOST) |                          \
     BIT(MR_FIELD_CONTENT_LENGTH))

void mr_message_begin(struct mr_message *message, enum mr_message_kind kind,
                      const struct mr_message_limits *limits)
{
    message->kind = kind;
    message->limits = *limits;
    message->section_bytes = 0;
    message->fields = 0;
    message->seen = 0;
    message->has_regular = false;
    message->is_http = false;
    message->path_is_asterisk = false;
    message->has_capsules = false;
    message->has_capsule_field = false;
    message->method = MR_METHOD_OTHER;
    message->status = 0;
    message->authority_size = 0;
    message->host_size = 0;
    message->content_length = MR_LENGTH_UNKNOWN;
}

static bool is_within_limits(struct mr_message *m, size_t name_size, size_t value_size)
{
    if (name_size > m->limits.name_bytes || value_size > m->limits.value_bytes ||
        m->fields == m->limits.fields)
        return false;
    m->fields++;
    m->section_bytes += (uint32_t)(name_size + value_size) + FIELD_OVERHEAD;
    return m->section_bytes <= m->limits.section_bytes;
}

/* May a field of this name come here? */
static bool is_name_in_place(struct mr_message *m, struct mr_text name, enum mr_h3_field field)
{
    if (name.size > 0 && name.data[0] == ':')
        return !m->has_regular && (pseudo_fields_of(m) & BIT(field)) != 0;
    m->has_regular = true;
    return field != MR_FIELD_OTHER || is_token(name.data, name.size, false);
}

enum mr_message_verdict mr_message_add(struct mr_message *message, struct mr_text name,
                                       struct mr_text value, enum mr_h3_field *field_out)
{
    if (!is_within_limits(message, name.size, value.size))
        return MR_MESSAGE_TOO_LARGE;

    enum mr_h3_field field = field_of(name);
    if (!is_name_in_place(message, name, field) || !is_field_value(value))
        return MR_MESSAGE_MALFORMED;
    if ((message->seen & BIT(field) & SINGLE_FIELDS) != 0)
        return MR_MESSAGE_MALFORMED;
    message->seen |= BIT(field);
    *field_out = field;
    return take_value(message, field, value);
}

static bool request_is_complete(const struct mr_message *m)
{
    if (!mr_message_has(m, MR_FIELD_METHOD))
        return false;
    if (mr_message_has(m, MR_FIELD_PROTOCOL)) /* RFC 8441, Section 4; RFC 9297, Section 3.2 */
        return m->method == MR_METHOD_CONNECT && mr_message_has(m, MR_FIELD_AUTHORITY) &&
               mr_message_has(m, MR_FIELD_SCHEME) && mr_message_has(m, MR_FIELD_PATH) &&
               !m->path_is_asterisk &&
               !(m->has_capsules && (mr_message_has(m, MR_FIELD_CONTENT_LENGTH) ||
                                     mr_message_has(m, MR_FIELD_CONTENT_TYPE)));
    if (m->method == MR_METHOD_CONNECT) /* RFC 9114, Section 4.4 */
        return mr_message_has(m, MR_FIELD_AUTHORITY) && !mr_message_has(m, MR_FIELD_SCHEME) &&
               !mr_message_has(m, MR_FIELD_PATH);
    if (!mr_message_has(m, MR_FIELD_SCHEME) || !mr_message_has(m, MR_FIELD_PATH))
        return false;
    if (m->path_is_asterisk && m->method != MR_METHOD_OPTIONS)
        return false;
    if (m->is_http && !mr_message_has(m, MR_FIELD_AUTHORITY) && !mr_message_has(m, MR_FIELD_HOST))
        return false;
    return !mr_message_has(m, MR_FIELD_AUTHORITY) || !mr_message_has(m, MR_FIELD_HOST) ||
           (m->authority_size == m->host_size &&
            strncasecmp(m->authority, m->host, m->host_size) == 0);
}

enum mr_message_verdict mr_message_end(const struct mr_message *message)
{
    switch (message->kind) {
    case MR_MESSAGE_REQUEST:
        return verdict_if(request_is_complete(message));
    case MR_MESSAGE_RESPONSE:
        return verdict_if(mr_message_has(message, MR_FIELD_STATUS));
    default:
        return MR_MESSAGE_OK;
    }
}
