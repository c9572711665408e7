/*
 * http3/frame.h - HTTP/3 frames on the wire: headers that arrive in pieces, what each type means
 * where, SETTINGS, and writing.  RFC 9114, Section 7.
 *
 *     | type (varint) | length (varint) | payload: length bytes |
 *
 * Pure: no stream, no connection.
 */
#ifndef MR_HTTP3_FRAME_H
#define MR_HTTP3_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http3/varint.h"

#define MR_HQ_ALPN "hq-interop" /* HTTP/0.9 over QUIC, as tests of interoperability speak it */

/* RFC 9114, Section 8.1; RFC 9204, Section 6. */
enum mr_h3_error {
    MR_H3_NO_ERROR = 0x0100,
    MR_H3_GENERAL_PROTOCOL_ERROR = 0x0101,
    MR_H3_INTERNAL_ERROR = 0x0102,
    MR_H3_STREAM_CREATION_ERROR = 0x0103,
    MR_H3_CLOSED_CRITICAL_STREAM = 0x0104,
    MR_H3_FRAME_UNEXPECTED = 0x0105,
    MR_H3_FRAME_ERROR = 0x0106,
    MR_H3_EXCESSIVE_LOAD = 0x0107,
    MR_H3_ID_ERROR = 0x0108,
    MR_H3_SETTINGS_ERROR = 0x0109,
    MR_H3_MISSING_SETTINGS = 0x010a,
    MR_H3_REQUEST_REJECTED = 0x010b,
    MR_H3_REQUEST_CANCELLED = 0x010c,
    MR_H3_REQUEST_INCOMPLETE = 0x010d,
    MR_H3_MESSAGE_ERROR = 0x010e,
    MR_H3_CONNECT_ERROR = 0x010f,
    MR_H3_VERSION_FALLBACK = 0x0110,
    MR_H3_DATAGRAM_ERROR = 0x33, /* RFC 9297, Section 5.2 */
    MR_QPACK_DECOMPRESSION_FAILED = 0x0200,
    MR_QPACK_ENCODER_STREAM_ERROR = 0x0201,
    MR_QPACK_DECODER_STREAM_ERROR = 0x0202,
};

/* "H3_NO_ERROR" and so on; "unknown error" for other codes. */
const char *mr_h3_error_name(uint64_t code);

enum mr_h3_frame_type {
    MR_H3_FRAME_DATA = 0x00,
    MR_H3_FRAME_HEADERS = 0x01,
    MR_H3_FRAME_CANCEL_PUSH = 0x03,
    MR_H3_FRAME_SETTINGS = 0x04,
    MR_H3_FRAME_PUSH_PROMISE = 0x05,
    MR_H3_FRAME_GOAWAY = 0x07,
    MR_H3_FRAME_MAX_PUSH_ID = 0x0d,
    MR_H3_FRAME_PRIORITY_UPDATE = 0xf0700, /* of a request stream: RFC 9218, Section 7.2 */
};

/* Types of unidirectional streams: RFC 9114, Section 6.2; RFC 9204, Section 4.2. */
enum mr_h3_stream_type {
    MR_H3_STREAM_CONTROL = 0x00,
    MR_H3_STREAM_PUSH = 0x01,
    MR_H3_STREAM_QPACK_ENCODER = 0x02,
    MR_H3_STREAM_QPACK_DECODER = 0x03,
};

/* Where a frame was received. */
enum mr_h3_place {
    MR_H3_CONTROL_AT_SERVER,
    MR_H3_CONTROL_AT_CLIENT,
    MR_H3_REQUEST_AT_SERVER,
    MR_H3_REQUEST_AT_CLIENT,
    MR_H3_PLACES
};

enum mr_h3_frame_action {
    MR_H3_FRAME_TAKE,       /* the whole payload is needed at once */
    MR_H3_FRAME_PASS,       /* the payload is passed on as it comes: DATA */
    MR_H3_FRAME_SKIP,       /* of no interest */
    MR_H3_FRAME_FORBIDDEN,  /* connection error H3_FRAME_UNEXPECTED */
    MR_H3_FRAME_NO_SUCH_ID, /* connection error H3_ID_ERROR: names a push that was never allowed */
};

/* What to do with a frame of `type` received at `place`. */
enum mr_h3_frame_action mr_h3_frame_action(uint64_t type, enum mr_h3_place place);

/* A frame being read.  All zero: between two frames. */
struct mr_h3_frame_reader {
    struct mr_h3_varint varint;
    bool has_type;
    bool has_header; /* type and left are known; the payload follows */
    uint64_t type;
    bool is_refused; /* the payload is only stepped over */
    uint64_t left;   /* bytes of payload still to come */
};

/* Read on in a frame's header: returns how many of the `size` bytes at `data` belong to it.  Sets
 * has_header at its end. */
size_t mr_h3_frame_read_header(struct mr_h3_frame_reader *reader, const uint8_t *data, size_t size);

/* The frame is over: be ready for the next. */
void mr_h3_frame_next(struct mr_h3_frame_reader *reader);

/* True if the stream may end here. */
bool mr_h3_frame_is_between(const struct mr_h3_frame_reader *reader);

enum {
    MR_H3_FRAME_HEADER_MAX = 2 * MR_H3_VARINT_MAX_SIZE /* bytes */
};

/* Write a frame's header; returns its size, at most MR_H3_FRAME_HEADER_MAX. */
size_t mr_h3_frame_put_header(uint8_t *dst, uint64_t type, uint64_t payload_size);

/* Read a payload that is one varint and nothing else (GOAWAY, MAX_PUSH_ID, CANCEL_PUSH); false: it
 * is not. */
bool mr_h3_frame_get_id(const uint8_t *payload, size_t size, uint64_t *id_out);

/* Read the varint at payload[*at], and step over it; false: the bytes end first. */
bool mr_h3_frame_get_varint(const uint8_t *payload, size_t size, size_t *at, uint64_t *value_out);

enum {
    MR_QPACK_TABLE_MAX = 65536,  /* bytes of a dynamic table, either way; of a larger one of the
                                    peer's  nothing is used */
    MR_QPACK_BLOCKED_MAX = 1024, /* streams of a connection that may wait for entries, at most */
};

/* The settings that matter here.  RFC 9114, Section 7.2.4.1; RFC 9204, Section 5. */
struct mr_h3_settings {
    uint64_t field_section_max; /* UINT64_MAX: no limit */
    uint64_t qpack_capacity;
    uint64_t qpack_blocked_max;
    bool has_connect_protocol; /* RFC 9220: a server that takes extended CONNECT */
    bool has_datagrams;        /* RFC 9297, Section 2.1.1 */
    uint64_t reserved;         /* put: a setting without meaning (http3/grease.h); 0: none */
    uint64_t reserved_value;
};

/* Read a SETTINGS payload; 0, or the connection's error code. */
uint64_t mr_h3_settings_parse(const uint8_t *payload, size_t size,
                              struct mr_h3_settings *settings_out);

enum {
    MR_H3_SETTINGS_MAX = MR_H3_FRAME_HEADER_MAX + 6 * 2 * MR_H3_VARINT_MAX_SIZE
};

/* Write a SETTINGS frame with `settings`; returns its size, at most MR_H3_SETTINGS_MAX. */
size_t mr_h3_settings_put(uint8_t *dst, const struct mr_h3_settings *settings);

#endif /* MR_HTTP3_FRAME_H */
