/*
 * quic/frame.h - frames of RFC 9000, Section 19, and RFC 9221: bytes to values and back.
 *
 * Reading.  The caller reads the type, finds the row of its own table, and calls the decoder:
 *
 *     mr_frame_read_type(&r, &type)  ->  mr_frame_decode_x(&r, type, &x)
 *
 * A decoder reads the fields after the type and checks what the frame alone can show (lengths,
 * Section 19's value rules). False means FRAME_ENCODING_ERROR, always; `*out` is then undefined.
 * Data, tokens and reasons are borrowed from the packet. Rules that need connection state (limits,
 * roles, stream states) are the trunk's.
 *
 * Writing.  mr_frame_write_x() writes a whole frame, or returns false and leaves the writer as it
 * was when there is no room.
 *
 * Pure functions, no state.
 */
#ifndef MR_QUIC_FRAME_H
#define MR_QUIC_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quic/ack_ranges.h"
#include "quic/types.h"
#include "quic/wire_fields.h"

enum mr_frame_type {
    MR_FRAME_PADDING = 0x00,
    MR_FRAME_PING = 0x01,
    MR_FRAME_ACK = 0x02,
    MR_FRAME_ACK_ECN = 0x03,
    MR_FRAME_RESET_STREAM = 0x04,
    MR_FRAME_STOP_SENDING = 0x05,
    MR_FRAME_CRYPTO = 0x06,
    MR_FRAME_NEW_TOKEN = 0x07,
    MR_FRAME_STREAM = 0x08, /* .. 0x0f: | MR_STREAM_OFF | MR_STREAM_LEN | MR_STREAM_FIN */
    MR_FRAME_MAX_DATA = 0x10,
    MR_FRAME_MAX_STREAM_DATA = 0x11,
    MR_FRAME_MAX_STREAMS_BIDI = 0x12,
    MR_FRAME_MAX_STREAMS_UNI = 0x13,
    MR_FRAME_DATA_BLOCKED = 0x14,
    MR_FRAME_STREAM_DATA_BLOCKED = 0x15,
    MR_FRAME_STREAMS_BLOCKED_BIDI = 0x16,
    MR_FRAME_STREAMS_BLOCKED_UNI = 0x17,
    MR_FRAME_NEW_CONNECTION_ID = 0x18,
    MR_FRAME_RETIRE_CONNECTION_ID = 0x19,
    MR_FRAME_PATH_CHALLENGE = 0x1a,
    MR_FRAME_PATH_RESPONSE = 0x1b,
    MR_FRAME_CONNECTION_CLOSE = 0x1c,
    MR_FRAME_CONNECTION_CLOSE_APP = 0x1d,
    MR_FRAME_HANDSHAKE_DONE = 0x1e,
    MR_FRAME_DATAGRAM = 0x30,
    MR_FRAME_DATAGRAM_LEN = 0x31
};

#define MR_STREAM_FIN  0x01
#define MR_STREAM_LEN  0x02
#define MR_STREAM_OFF  0x04

#define MR_STREAMS_MAX (UINT64_C(1) << 60) /* RFC 9000, Section 4.6 */
#define MR_PATH_DATA   8                   /* bytes of PATH_CHALLENGE and PATH_RESPONSE */
#define MR_FRAME_SMALL_MAX                                                                         \
    25 /* bytes, more than any frame of integers, PATH_x included, ever takes */
#define MR_FRAME_NEW_CONNECTION_ID_MAX (1 + 8 + 8 + 1 + MR_CID_MAX + MR_RESET_TOKEN) /* bytes */

/* ---------------------------------------------------------------- values */

/* RFC 9000, Section 19.3.2. */
struct mr_ecn_counts {
    uint64_t ect0;
    uint64_t ect1;
    uint64_t ce;
};

/* A decoded ACK: walk its ranges, newest first, with mr_frame_ack_next(). */
struct mr_frame_ack {
    uint64_t largest;
    uint64_t delay;           /* as on the wire: units of 2^ack_delay_exponent us of the peer */
    uint64_t first_range;     /* packets acknowledged before `largest` */
    uint64_t range_count;     /* further ranges */
    struct mr_ecn_counts ecn; /* zero without has_ecn */
    bool has_ecn;
    /* the walk; mr_frame_ack_next()'s own */
    bool has_first;          /* the first range was not handed out yet */
    struct mr_reader ranges; /* at the next range */
    uint64_t smallest;       /* of the range handed out last */
};

struct mr_frame_stream { /* offset + size <= 2^62 - 1 */
    uint64_t stream_id;
    uint64_t offset;
    uint64_t size;       /* bytes at data */
    const uint8_t *data; /* not looked at by mr_frame_write_stream_header() */
    bool fin;
};

struct mr_frame_crypto { /* offset + size <= 2^62 - 1 */
    uint64_t offset;
    uint64_t size;
    const uint8_t *data;
};

struct mr_frame_datagram {
    uint64_t size;
    const uint8_t *data;
};

struct mr_frame_reset_stream {
    uint64_t stream_id;
    uint64_t error;
    uint64_t final_size;
};

struct mr_frame_stop_sending {
    uint64_t stream_id;
    uint64_t error;
};

struct mr_frame_new_token { /* size > 0 */
    uint64_t size;
    const uint8_t *token;
};

/* MAX_DATA, DATA_BLOCKED; and with `is_uni` MAX_STREAMS and STREAMS_BLOCKED, where the limit is <=
 * MR_STREAMS_MAX. */
struct mr_frame_limit {
    uint64_t limit;
    bool is_uni;
};

/* MAX_STREAM_DATA, STREAM_DATA_BLOCKED. */
struct mr_frame_stream_limit {
    uint64_t stream_id;
    uint64_t limit;
};

struct mr_frame_new_connection_id { /* retire_prior_to <= sequence; cid.size 1..20 */
    uint64_t sequence;
    uint64_t retire_prior_to;
    struct mr_cid cid;
    uint8_t reset_token[MR_RESET_TOKEN];
};

struct mr_frame_retire_connection_id {
    uint64_t sequence;
};

struct mr_frame_path { /* PATH_CHALLENGE, PATH_RESPONSE */
    uint8_t data[MR_PATH_DATA];
};

struct mr_frame_connection_close {
    uint64_t error;
    uint64_t frame_type;  /* 0 if unknown, and with is_app */
    uint64_t reason_size; /* bytes; not terminated, not necessarily UTF-8 */
    const uint8_t *reason;
    bool is_app; /* type 0x1d: `error` is the application's */
};

/* ---------------------------------------------------------------- type */

enum mr_frame_type_verdict {
    MR_FRAME_TYPE_OK,
    MR_FRAME_TYPE_TRUNCATED,   /* the packet ends inside the type: FRAME_ENCODING_ERROR */
    MR_FRAME_TYPE_NOT_MINIMAL, /* a longer form than necessary: PROTOCOL_VIOLATION (RFC 9000,
                                  Section 12.4) */
};

/* Read a frame's type.  On TRUNCATED the reader is failed and `*type_out` 0: stop, do not take it
 * for PADDING. */
static inline enum mr_frame_type_verdict mr_frame_read_type(struct mr_reader *r, uint64_t *type_out)
{
    const uint8_t *start = r->at;

    *type_out = mr_read_varint(r);
    if (r->failed)
        return MR_FRAME_TYPE_TRUNCATED;
    return (size_t)(r->at - start) == mr_varint_size(*type_out) ? MR_FRAME_TYPE_OK
                                                                : MR_FRAME_TYPE_NOT_MINIMAL;
}

/* After a PADDING type: step over the PADDING frames that follow. */
static inline void mr_frame_skip_padding(struct mr_reader *r)
{
    uint64_t word = 0;

    while (r->end - r->at >= (ptrdiff_t)sizeof(word)) { /* most are a thousand bytes of it */
        memcpy(&word, r->at, sizeof(word));
        if (word != 0)
            break;
        r->at += sizeof(word);
    }
    while (r->at < r->end && *r->at == 0)
        r->at++;
}

static inline bool mr_frame_type_is_stream(uint64_t type)
{
    return type - MR_FRAME_STREAM < 8;
}

/* ---------------------------------------------------------------- ACK */

/*
 * Decode ACK and ACK_ECN, and check every range: the walk that follows cannot fail.  The reader is
 * left behind the frame. Cost: one pass over the frame's ranges, at most one per two bytes of the
 * packet.
 */
bool mr_frame_decode_ack(struct mr_reader *r, uint64_t type, struct mr_frame_ack *out);

/* The next range, newest first, into `*range_out`; false after the last.  RFC 9000, Section 19.3.1.
 */
static inline bool mr_frame_ack_next(struct mr_frame_ack *ack, struct mr_ack_range *range_out)
{
    if (ack->has_first) {
        ack->has_first = false;
        range_out->hi = ack->largest;
        range_out->lo = ack->largest - ack->first_range;
    } else if (mr_reader_left(&ack->ranges) > 0) {
        range_out->hi = ack->smallest - mr_read_varint(&ack->ranges) - 2;
        range_out->lo = range_out->hi - mr_read_varint(&ack->ranges);
    } else {
        return false;
    }
    ack->smallest = range_out->lo;
    return true;
}

/*
 * Write an ACK of `count` >= 1 disjoint, non-adjacent ranges, newest first (struct mr_ack_ranges'
 * array), with ECN counts unless `ecn` is NULL.  `delay` as on the wire. Returns how many ranges it
 * wrote, the newest that fit; 0, and the writer as it was, if not even one fits.
 */
uint32_t mr_frame_write_ack(struct mr_writer *w, const struct mr_ack_range *ranges, uint32_t count,
                            uint64_t delay, const struct mr_ecn_counts *ecn);

/* The same without the type.  0: not one range fits; nothing was written. */
uint32_t mr_frame_write_ack_fields(struct mr_writer *w, const struct mr_ack_range *ranges,
                                   uint32_t count, uint64_t delay, const struct mr_ecn_counts *ecn);

/* ---------------------------------------------------------------- STREAM */

static inline bool mr_frame_decode_stream(struct mr_reader *r, uint64_t type,
                                          struct mr_frame_stream *out)
{
    out->stream_id = mr_read_varint(r);
    out->offset = (type & MR_STREAM_OFF) != 0 ? mr_read_varint(r) : 0;
    out->size = (type & MR_STREAM_LEN) != 0 ? mr_read_varint(r) : mr_reader_left(r);
    out->data = mr_read_bytes(r, out->size);
    out->fin = (type & MR_STREAM_FIN) != 0;
    return !r->failed && out->offset + out->size <= MR_VARINT_MAX;
}

/* Bytes of the header of `frame`, with Length. */
static inline size_t mr_frame_stream_header_size(const struct mr_frame_stream *frame)
{
    return 1 + mr_varint_size(frame->stream_id) +
           (frame->offset > 0 ? mr_varint_size(frame->offset) : 0) + mr_varint_size(frame->size);
}

/* The most data that fits `room` behind a header with `prefix` bytes before its Length, and Length;
 * 0: nothing fits. */
static inline size_t mr_frame_data_max(size_t room, size_t prefix)
{
    if (room <= prefix + 1)
        return 0;

    size_t left = room - prefix; /* for Length and data */

    if (left <= 1 + 63)
        return left - 1;
    if (left <= 2 + 16383)
        return left - 2;
    return left - 4 <= 16383 ? 16383 : left - 4;
}

/* The most data of stream `stream_id` at `offset` that fits `room` bytes, header with Length
 * included; 0: none. */
static inline size_t mr_frame_stream_data_max(size_t room, uint64_t stream_id, uint64_t offset)
{
    return mr_frame_data_max(room, 1 + mr_varint_size(stream_id) +
                                       (offset > 0 ? mr_varint_size(offset) : 0));
}

/*
 * Write the header of `frame`; its `size` bytes of data must follow.  Without `has_length` the data
 * extends to the end of the packet: nothing may follow it.
 */
static inline bool mr_frame_write_stream_header(struct mr_writer *w,
                                                const struct mr_frame_stream *frame,
                                                bool has_length)
{
    struct mr_writer before = *w;

    mr_write_u8(w, (uint8_t)(MR_FRAME_STREAM | (frame->offset > 0 ? MR_STREAM_OFF : 0) |
                             (has_length ? MR_STREAM_LEN : 0) | (frame->fin ? MR_STREAM_FIN : 0)));
    mr_write_varint(w, frame->stream_id);
    if (frame->offset > 0)
        mr_write_varint(w, frame->offset);
    if (has_length)
        mr_write_varint(w, frame->size);
    return mr_write_whole(w, before);
}

/* ---------------------------------------------------------------- CRYPTO */

bool mr_frame_decode_crypto(struct mr_reader *r, uint64_t type, struct mr_frame_crypto *out);

/* The most CRYPTO data at `offset` that fits `room` bytes, header included; 0: none. */
static inline size_t mr_frame_crypto_data_max(size_t room, uint64_t offset)
{
    return mr_frame_data_max(room, 1 + mr_varint_size(offset));
}

/* Write the header of `frame`; its `size` bytes of data must follow. */
bool mr_frame_write_crypto_header(struct mr_writer *w, const struct mr_frame_crypto *frame);

/* ---------------------------------------------------------------- the others: reading */

bool mr_frame_decode_reset_stream(struct mr_reader *r, uint64_t type,
                                  struct mr_frame_reset_stream *out);
bool mr_frame_decode_stop_sending(struct mr_reader *r, uint64_t type,
                                  struct mr_frame_stop_sending *out);
bool mr_frame_decode_new_token(struct mr_reader *r, uint64_t type, struct mr_frame_new_token *out);
bool mr_frame_decode_max_data(struct mr_reader *r, uint64_t type, struct mr_frame_limit *out);
bool mr_frame_decode_max_stream_data(struct mr_reader *r, uint64_t type,
                                     struct mr_frame_stream_limit *out);
bool mr_frame_decode_max_streams(struct mr_reader *r, uint64_t type, struct mr_frame_limit *out);
bool mr_frame_decode_data_blocked(struct mr_reader *r, uint64_t type, struct mr_frame_limit *out);
bool mr_frame_decode_stream_data_blocked(struct mr_reader *r, uint64_t type,
                                         struct mr_frame_stream_limit *out);
bool mr_frame_decode_streams_blocked(struct mr_reader *r, uint64_t type,
                                     struct mr_frame_limit *out);
bool mr_frame_decode_new_connection_id(struct mr_reader *r, uint64_t type,
                                       struct mr_frame_new_connection_id *out);
bool mr_frame_decode_retire_connection_id(struct mr_reader *r, uint64_t type,
                                          struct mr_frame_retire_connection_id *out);
bool mr_frame_decode_path(struct mr_reader *r, uint64_t type,
                          struct mr_frame_path *out); /* both PATH_x */
bool mr_frame_decode_connection_close(struct mr_reader *r, uint64_t type,
                                      struct mr_frame_connection_close *out);
bool mr_frame_decode_datagram(struct mr_reader *r, uint64_t type, struct mr_frame_datagram *out);

/* ---------------------------------------------------------------- the others: writing */

/* PING, HANDSHAKE_DONE: frames that are only a type (< 64). */
bool mr_frame_write_type(struct mr_writer *w, enum mr_frame_type type);

/* `size` PADDING frames of one byte each. */
bool mr_frame_write_padding(struct mr_writer *w, size_t size);

bool mr_frame_write_reset_stream(struct mr_writer *w, const struct mr_frame_reset_stream *frame);
bool mr_frame_write_stop_sending(struct mr_writer *w, const struct mr_frame_stop_sending *frame);
bool mr_frame_write_new_token(struct mr_writer *w, const struct mr_frame_new_token *frame);
bool mr_frame_write_max_data(struct mr_writer *w, uint64_t limit);
bool mr_frame_write_max_stream_data(struct mr_writer *w, const struct mr_frame_stream_limit *frame);
bool mr_frame_write_max_streams(struct mr_writer *w, const struct mr_frame_limit *frame);
bool mr_frame_write_data_blocked(struct mr_writer *w, uint64_t limit);
bool mr_frame_write_stream_data_blocked(struct mr_writer *w,
                                        const struct mr_frame_stream_limit *frame);
bool mr_frame_write_streams_blocked(struct mr_writer *w, const struct mr_frame_limit *frame);
bool mr_frame_write_new_connection_id(struct mr_writer *w,
                                      const struct mr_frame_new_connection_id *frame);
/* What follows the type; the writer tells whether it fitted. */
void mr_frame_write_new_connection_id_fields(struct mr_writer *w,
                                             const struct mr_frame_new_connection_id *frame);
bool mr_frame_write_retire_connection_id(struct mr_writer *w, uint64_t sequence);
bool mr_frame_write_path(struct mr_writer *w, enum mr_frame_type type,
                         const uint8_t *data); /* PATH_x with MR_PATH_DATA bytes */

/* The reason is cut to what fits; false only if the frame without reason does not fit. */
bool mr_frame_write_connection_close(struct mr_writer *w,
                                     const struct mr_frame_connection_close *frame);

/* DATAGRAM with Length, data included. */
bool mr_frame_write_datagram(struct mr_writer *w, const struct mr_frame_datagram *frame);

/* The same without its data: `size` bytes of it must follow.  False: they would not fit either. */
bool mr_frame_write_datagram_header(struct mr_writer *w, const struct mr_frame_datagram *frame);

/* Bytes of a DATAGRAM frame with Length and `size` bytes of data. */
static inline size_t mr_frame_datagram_size(size_t size)
{
    return 1 + mr_varint_size(size) + size;
}

/* The most data of a DATAGRAM frame that fits `room` bytes, header with Length included; 0: none,
 * or an empty one in 2 bytes. */
static inline size_t mr_frame_datagram_data_max(size_t room)
{
    return mr_frame_data_max(room, 1);
}

#endif /* MR_QUIC_FRAME_H */
