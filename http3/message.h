/*
 * http3/message.h - is this list of fields a well-formed HTTP/3 message?  RFC 9114, Sections 4.1
 * to 4.3.
 *
 *     begin -> add (a field each) ... -> end          each says: fine, malformed, or too large
 *
 * Knows no stream and no QPACK.  A malformed message must never be acted upon (it may be one half
 * of a request smuggled past us), so every rule that can be checked is, including those on
 * characters.
 *
 * Owner: the connection layer; one at a time per thread, since a section is decoded in one go.
 */
#ifndef MR_HTTP3_MESSAGE_H
#define MR_HTTP3_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MR_LENGTH_UNKNOWN UINT64_MAX /* no content-length */

enum {
    MR_AUTHORITY_MAX = 263 /* bytes: a name of 255, ":" and a port, and some */
};

/* Fields that have a meaning here; every other one is MR_FIELD_OTHER. */
enum mr_h3_field {
    MR_FIELD_OTHER,
    MR_FIELD_METHOD,
    MR_FIELD_SCHEME,
    MR_FIELD_AUTHORITY,
    MR_FIELD_PATH,
    MR_FIELD_STATUS,
    MR_FIELD_HOST,
    MR_FIELD_CONTENT_LENGTH,
    MR_FIELD_CONTENT_RANGE,
    MR_FIELD_CONTENT_TYPE,
    MR_FIELD_CAPSULE_PROTOCOL,
    MR_FIELD_EARLY_DATA,
    MR_FIELD_ETAG,
    MR_FIELD_IF_MATCH,
    MR_FIELD_IF_MODIFIED_SINCE,
    MR_FIELD_IF_NONE_MATCH,
    MR_FIELD_IF_RANGE,
    MR_FIELD_IF_UNMODIFIED_SINCE,
    MR_FIELD_LAST_MODIFIED,
    MR_FIELD_LOCATION,
    MR_FIELD_PRIORITY,
    MR_FIELD_PROTOCOL, /* ":protocol" of an extended CONNECT: RFC 8441, Section 4 */
    MR_FIELD_RANGE,
    MR_FIELD_SERVER,
    MR_FIELD_TE,
    MR_FIELD_CONNECTION_SPECIFIC, /* connection, transfer-encoding, ...: forbidden */
};

enum mr_message_kind {
    MR_MESSAGE_REQUEST,
    MR_MESSAGE_RESPONSE,
    MR_MESSAGE_TRAILERS,
};

enum mr_message_verdict {
    MR_MESSAGE_OK,
    MR_MESSAGE_MALFORMED, /* H3_MESSAGE_ERROR */
    MR_MESSAGE_TOO_LARGE, /* 431, or H3_EXCESSIVE_LOAD */
};

enum mr_method {
    MR_METHOD_OTHER,
    MR_METHOD_GET,
    MR_METHOD_HEAD,
    MR_METHOD_CONNECT,
    MR_METHOD_OPTIONS,
};

struct mr_message_limits {
    uint32_t section_bytes; /* names, values and 32 for each field (RFC 9114, Section 4.2.2) */
    uint32_t fields;
    uint32_t name_bytes;
    uint32_t value_bytes;
    bool allows_protocol; /* a request may be an extended CONNECT: both know of RFC 9220 */
};

/* Bytes, not NUL-terminated. */
struct mr_text {
    const char *data;
    size_t size;
};

struct mr_message {
    enum mr_message_kind kind;
    struct mr_message_limits limits;
    uint32_t section_bytes;
    uint32_t fields;
    uint32_t seen;    /* bit per enum mr_h3_field */
    bool has_regular; /* a field that is no pseudo-header came: no more of those */
    bool is_http;     /* request: :scheme is http or https */
    bool path_is_asterisk;
    bool has_capsules; /* Capsule-Protocol is true: RFC 9297, Section 3.4 */
    bool
        has_capsule_field; /* private: one came; of several together a List is made, which is not */
    enum mr_method method; /* request */
    uint16_t status;       /* response */
    uint16_t authority_size;
    uint16_t host_size;
    uint64_t content_length;          /* MR_LENGTH_UNKNOWN: none */
    char authority[MR_AUTHORITY_MAX]; /* to be compared with host */
    char host[MR_AUTHORITY_MAX];
};

void mr_message_begin(struct mr_message *message, enum mr_message_kind kind,
                      const struct mr_message_limits *limits);

/* Take the next field.  *field_out says which it is, with MR_MESSAGE_OK. */
enum mr_message_verdict mr_message_add(struct mr_message *message, struct mr_text name,
                                       struct mr_text value, enum mr_h3_field *field_out);

/* True if such a field was added. */
static inline bool mr_message_has(const struct mr_message *message, enum mr_h3_field field)
{
    return (message->seen & UINT32_C(1) << field) != 0;
}

/* True if the head that was added asks for a tunnel: an extended CONNECT. */
static inline bool mr_message_is_tunnel(const struct mr_message *message)
{
    return message->method == MR_METHOD_CONNECT && mr_message_has(message, MR_FIELD_PROTOCOL);
}

/* True if a hop before this one got the request in 0-RTT: any Early-Data field (RFC 8470, Section
 * 5.1). */
static inline bool mr_message_was_early(const struct mr_message *message)
{
    return mr_message_has(message, MR_FIELD_EARLY_DATA);
}

/* All fields were added: is anything missing? */
enum mr_message_verdict mr_message_end(const struct mr_message *message);

#endif /* MR_HTTP3_MESSAGE_H */
