/*
 * fuzz/fuzz_frame.c - property test of quic/frame.h.
 *
 * The input is taken twice: as the payload of a packet (uniform bytes), and as a program that
 * writes likely frames, which are then read back, also with a byte changed here and there.
 * Properties:
 *   1. no read leaves the payload; borrowed bytes lie inside it;
 *   2. reading ends: each frame consumes at least its type;
 *   3. decode -> encode -> decode gives the same values, encoded again the same bytes;
 *   4. an ACK's ranges descend, do not touch, and are as many as announced;
 *   5. a writer with too little room writes nothing, with exactly enough everything;
 *   6. what was written and not damaged is read back completely;
 *   7. the most data that is said to fit a room fits, and one byte more does not.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "quic/frame.h"
#include "quic/frame_extension.h"
#include "quic/frame_multipath.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    ROOM = 8192,
    RANGES = 4096,
    DAMAGES = 16
};

/* Any decoded frame. */
struct any {
    uint64_t type;
    union {
        struct mr_frame_ack ack;
        struct mr_frame_stream stream;
        struct mr_frame_crypto crypto;
        struct mr_frame_datagram datagram;
        struct mr_frame_reset_stream reset;
        struct mr_frame_stop_sending stop;
        struct mr_frame_new_token token;
        struct mr_frame_limit limit;
        struct mr_frame_stream_limit stream_limit;
        struct mr_frame_new_connection_id cid;
        struct mr_frame_retire_connection_id retire;
        struct mr_frame_path path;
        struct mr_frame_connection_close close;
        struct mr_frame_ack_frequency ack_frequency;
        struct mr_frame_reset_stream_at reset_at;
        struct mr_frame_observed_address observed;
        struct mr_frame_path_value path_value;
        struct {
            uint64_t path;
            struct mr_frame_ack ack;
        } path_ack;
        struct {
            uint64_t path;
            struct mr_frame_new_connection_id cid;
        } path_cid;
    } u;
};

/* ---------------------------------------------------------------- one frame */

static bool decode(struct mr_reader *r, struct any *f)
{
    switch (f->type) {
    case MR_FRAME_PADDING:
    case MR_FRAME_PING:
    case MR_FRAME_HANDSHAKE_DONE:
    case MR_FRAME_IMMEDIATE_ACK:
        return true;
    case MR_FRAME_ACK_FREQUENCY:
        return mr_frame_decode_ack_frequency(r, f->type, &f->u.ack_frequency);
    case MR_FRAME_RESET_STREAM_AT:
        return mr_frame_decode_reset_stream_at(r, f->type, &f->u.reset_at);
    case MR_FRAME_OBSERVED_ADDRESS_4:
    case MR_FRAME_OBSERVED_ADDRESS_6:
        return mr_frame_decode_observed_address(r, f->type, &f->u.observed);
    case MR_FRAME_PATH_ACK:
    case MR_FRAME_PATH_ACK_ECN:
        return mr_frame_decode_path_ack(r, f->type, &f->u.path_ack.path, &f->u.path_ack.ack);
    case MR_FRAME_PATH_NEW_CONNECTION_ID:
        return mr_frame_decode_path_new_connection_id(r, f->type, &f->u.path_cid.path,
                                                      &f->u.path_cid.cid);
    case MR_FRAME_PATH_ABANDON:
    case MR_FRAME_PATH_STATUS_BACKUP:
    case MR_FRAME_PATH_STATUS_AVAILABLE:
    case MR_FRAME_PATH_RETIRE_CONNECTION_ID:
    case MR_FRAME_MAX_PATH_ID:
    case MR_FRAME_PATHS_BLOCKED:
    case MR_FRAME_PATH_CIDS_BLOCKED:
        return mr_frame_decode_path_value(r, f->type, &f->u.path_value);
    case MR_FRAME_ACK:
    case MR_FRAME_ACK_ECN:
        return mr_frame_decode_ack(r, f->type, &f->u.ack);
    case MR_FRAME_RESET_STREAM:
        return mr_frame_decode_reset_stream(r, f->type, &f->u.reset);
    case MR_FRAME_STOP_SENDING:
        return mr_frame_decode_stop_sending(r, f->type, &f->u.stop);
    case MR_FRAME_CRYPTO:
        return mr_frame_decode_crypto(r, f->type, &f->u.crypto);
    case MR_FRAME_NEW_TOKEN:
        return mr_frame_decode_new_token(r, f->type, &f->u.token);
    case MR_FRAME_MAX_DATA:
        return mr_frame_decode_max_data(r, f->type, &f->u.limit);
    case MR_FRAME_MAX_STREAM_DATA:
        return mr_frame_decode_max_stream_data(r, f->type, &f->u.stream_limit);
    case MR_FRAME_MAX_STREAMS_BIDI:
    case MR_FRAME_MAX_STREAMS_UNI:
        return mr_frame_decode_max_streams(r, f->type, &f->u.limit);
    case MR_FRAME_DATA_BLOCKED:
        return mr_frame_decode_data_blocked(r, f->type, &f->u.limit);
    case MR_FRAME_STREAM_DATA_BLOCKED:
        return mr_frame_decode_stream_data_blocked(r, f->type, &f->u.stream_limit);
    case MR_FRAME_STREAMS_BLOCKED_BIDI:
    case MR_FRAME_STREAMS_BLOCKED_UNI:
        return mr_frame_decode_streams_blocked(r, f->type, &f->u.limit);
    case MR_FRAME_NEW_CONNECTION_ID:
        return mr_frame_decode_new_connection_id(r, f->type, &f->u.cid);
    case MR_FRAME_RETIRE_CONNECTION_ID:
        return mr_frame_decode_retire_connection_id(r, f->type, &f->u.retire);
    case MR_FRAME_PATH_CHALLENGE:
    case MR_FRAME_PATH_RESPONSE:
        return mr_frame_decode_path(r, f->type, &f->u.path);
    case MR_FRAME_CONNECTION_CLOSE:
    case MR_FRAME_CONNECTION_CLOSE_APP:
        return mr_frame_decode_connection_close(r, f->type, &f->u.close);
    case MR_FRAME_DATAGRAM:
    case MR_FRAME_DATAGRAM_LEN:
        return mr_frame_decode_datagram(r, f->type, &f->u.datagram);
    default:
        return mr_frame_type_is_stream(f->type) && mr_frame_decode_stream(r, f->type, &f->u.stream);
    }
}

/* With `path` a PATH_ACK. */
static bool encode_ack(struct mr_writer *w, struct mr_frame_ack ack, const uint64_t *path)
{
    static struct mr_ack_range ranges[RANGES];
    uint32_t count = 0;

    while (mr_frame_ack_next(&ack, &ranges[count])) {
        MR_ASSERT(ranges[count].lo <= ranges[count].hi);
        MR_ASSERT(ranges[count].hi <= ack.largest);
        MR_ASSERT(count == 0 || ranges[count - 1].lo >= 2);
        MR_ASSERT(count == 0 || ranges[count].hi <= ranges[count - 1].lo - 2);
        count++;
        MR_ASSERT(count < RANGES);
    }
    MR_ASSERT(count == ack.range_count + 1);

    struct mr_writer before = *w;
    const struct mr_ecn_counts *ecn = ack.has_ecn ? &ack.ecn : NULL;
    uint32_t written = path == NULL
                           ? mr_frame_write_ack(w, ranges, count, ack.delay, ecn)
                           : mr_frame_write_path_ack(w, *path, ranges, count, ack.delay, ecn);

    if (written == count)
        return true;
    *w = before; /* fewer ranges are not this frame */
    return false;
}

static bool encode_stream(struct mr_writer *w, const struct mr_frame_stream *frame)
{
    struct mr_writer before = *w;

    if (!mr_frame_write_stream_header(w, frame, true))
        return false;
    MR_ASSERT((size_t)(w->at - before.at) == mr_frame_stream_header_size(frame));
    mr_write_bytes(w, frame->data, frame->size);
    return mr_write_whole(w, before);
}

static bool encode_crypto(struct mr_writer *w, const struct mr_frame_crypto *frame)
{
    struct mr_writer before = *w;

    if (!mr_frame_write_crypto_header(w, frame))
        return false;
    mr_write_bytes(w, frame->data, frame->size);
    return mr_write_whole(w, before);
}

static bool encode_datagram(struct mr_writer *w, const struct mr_frame_datagram *frame)
{
    struct mr_writer before = *w;
    struct mr_writer whole = *w;
    bool fits = mr_frame_write_datagram(&whole, frame);

    MR_ASSERT(mr_frame_write_datagram_header(w, frame) == fits); /* it goes by all of the frame */
    if (!fits)
        return false;
    MR_ASSERT(mr_write_later(w, frame->size) != NULL && w->at == whole.at);
    MR_ASSERT((size_t)(w->at - before.at) == mr_frame_datagram_size(frame->size));
    return mr_write_whole(w, before);
}

/* Those of draft-ietf-quic-multipath. */
static bool encode_path(struct mr_writer *w, const struct any *f)
{
    if (f->type == MR_FRAME_PATH_ACK || f->type == MR_FRAME_PATH_ACK_ECN)
        return encode_ack(w, f->u.path_ack.ack, &f->u.path_ack.path);
    if (f->type == MR_FRAME_PATH_NEW_CONNECTION_ID)
        return mr_frame_write_path_new_connection_id(w, f->u.path_cid.path, &f->u.path_cid.cid);
    return mr_frame_write_path_value(w, (enum mr_frame_multipath_type)f->type, &f->u.path_value);
}

static bool encode(struct mr_writer *w, const struct any *f)
{
    switch (f->type) {
    case MR_FRAME_PADDING:
        return mr_frame_write_padding(w, 1);
    case MR_FRAME_PING:
    case MR_FRAME_HANDSHAKE_DONE:
        return mr_frame_write_type(w, (enum mr_frame_type)f->type);
    case MR_FRAME_IMMEDIATE_ACK:
        return mr_frame_write_immediate_ack(w);
    case MR_FRAME_ACK_FREQUENCY:
        return mr_frame_write_ack_frequency(w, &f->u.ack_frequency);
    case MR_FRAME_RESET_STREAM_AT:
        return mr_frame_write_reset_stream_at(w, &f->u.reset_at);
    case MR_FRAME_OBSERVED_ADDRESS_4:
    case MR_FRAME_OBSERVED_ADDRESS_6:
        return mr_frame_write_observed_address(w, &f->u.observed);
    case MR_FRAME_ACK:
    case MR_FRAME_ACK_ECN:
        return encode_ack(w, f->u.ack, NULL);
    case MR_FRAME_RESET_STREAM:
        return mr_frame_write_reset_stream(w, &f->u.reset);
    case MR_FRAME_STOP_SENDING:
        return mr_frame_write_stop_sending(w, &f->u.stop);
    case MR_FRAME_CRYPTO:
        return encode_crypto(w, &f->u.crypto);
    case MR_FRAME_NEW_TOKEN:
        return mr_frame_write_new_token(w, &f->u.token);
    case MR_FRAME_MAX_DATA:
        return mr_frame_write_max_data(w, f->u.limit.limit);
    case MR_FRAME_MAX_STREAM_DATA:
        return mr_frame_write_max_stream_data(w, &f->u.stream_limit);
    case MR_FRAME_MAX_STREAMS_BIDI:
    case MR_FRAME_MAX_STREAMS_UNI:
        return mr_frame_write_max_streams(w, &f->u.limit);
    case MR_FRAME_DATA_BLOCKED:
        return mr_frame_write_data_blocked(w, f->u.limit.limit);
    case MR_FRAME_STREAM_DATA_BLOCKED:
        return mr_frame_write_stream_data_blocked(w, &f->u.stream_limit);
    case MR_FRAME_STREAMS_BLOCKED_BIDI:
    case MR_FRAME_STREAMS_BLOCKED_UNI:
        return mr_frame_write_streams_blocked(w, &f->u.limit);
    case MR_FRAME_NEW_CONNECTION_ID:
        return mr_frame_write_new_connection_id(w, &f->u.cid);
    case MR_FRAME_RETIRE_CONNECTION_ID:
        return mr_frame_write_retire_connection_id(w, f->u.retire.sequence);
    case MR_FRAME_PATH_CHALLENGE:
    case MR_FRAME_PATH_RESPONSE:
        return mr_frame_write_path(w, (enum mr_frame_type)f->type, f->u.path.data);
    case MR_FRAME_CONNECTION_CLOSE:
    case MR_FRAME_CONNECTION_CLOSE_APP:
        return mr_frame_write_connection_close(w, &f->u.close);
    case MR_FRAME_DATAGRAM:
    case MR_FRAME_DATAGRAM_LEN:
        return encode_datagram(w, &f->u.datagram);
    default:
        return mr_frame_type_is_stream(f->type) ? encode_stream(w, &f->u.stream)
                                                : encode_path(w, f);
    }
}

/* ---------------------------------------------------------------- properties */

static void check_borrowed(const struct any *f, const uint8_t *start, const uint8_t *end)
{
    const uint8_t *at = mr_frame_type_is_stream(f->type)           ? f->u.stream.data
                        : f->type == MR_FRAME_CRYPTO               ? f->u.crypto.data
                        : f->type == MR_FRAME_NEW_TOKEN            ? f->u.token.token
                        : f->type - MR_FRAME_CONNECTION_CLOSE <= 1 ? f->u.close.reason
                        : f->type - MR_FRAME_DATAGRAM <= 1         ? f->u.datagram.data
                                                                   : start;
    uint64_t size = mr_frame_type_is_stream(f->type)           ? f->u.stream.size
                    : f->type == MR_FRAME_CRYPTO               ? f->u.crypto.size
                    : f->type == MR_FRAME_NEW_TOKEN            ? f->u.token.size
                    : f->type - MR_FRAME_CONNECTION_CLOSE <= 1 ? f->u.close.reason_size
                    : f->type - MR_FRAME_DATAGRAM <= 1         ? f->u.datagram.size
                                                               : 0;

    MR_ASSERT(at >= start && at <= end && size <= (size_t)(end - at));
}

/* Properties 3 and 5. */
static void check_again(const struct any *f)
{
    static uint8_t first[ROOM];
    static uint8_t second[ROOM];
    struct mr_writer w = mr_writer(first, sizeof(first));
    struct any again = {0};

    MR_ASSERT(encode(&w, f));

    size_t size = mr_writer_size(&w);
    struct mr_reader r = mr_reader(first, size);

    MR_ASSERT(mr_frame_read_type(&r, &again.type) == MR_FRAME_TYPE_OK);
    MR_ASSERT(decode(&r, &again));
    MR_ASSERT(mr_reader_left(&r) == 0);

    w = mr_writer(second, size);
    MR_ASSERT(encode(&w, &again));
    MR_ASSERT(mr_writer_size(&w) == size);
    MR_ASSERT(memcmp(first, second, size) == 0);

    if (f->type - MR_FRAME_CONNECTION_CLOSE <= 1)
        return; /* its reason is cut to the room */
    w = mr_writer(second, size - 1);
    MR_ASSERT(!encode(&w, &again));
    MR_ASSERT(w.at == w.start && !w.failed);
}

/* Values of STREAM and ACK, the frames whose encoding differs from what was received. */
static void check_values(const struct any *f)
{
    if (mr_frame_type_is_stream(f->type)) {
        MR_ASSERT(f->u.stream.offset + f->u.stream.size <= MR_VARINT_MAX);
        MR_ASSERT(f->u.stream.fin == ((f->type & MR_STREAM_FIN) != 0));
    } else if (f->type == MR_FRAME_CRYPTO) {
        MR_ASSERT(f->u.crypto.offset + f->u.crypto.size <= MR_VARINT_MAX);
    } else if (f->type == MR_FRAME_NEW_CONNECTION_ID) {
        MR_ASSERT(f->u.cid.cid.size >= 1 && f->u.cid.cid.size <= MR_CID_MAX);
        MR_ASSERT(f->u.cid.retire_prior_to <= f->u.cid.sequence);
    } else if (f->type == MR_FRAME_RESET_STREAM_AT) {
        MR_ASSERT(f->u.reset_at.reliable_size <= f->u.reset_at.final_size);
    } else if (f->type == MR_FRAME_NEW_TOKEN) {
        MR_ASSERT(f->u.token.size > 0);
    }
}

/* Read a payload to its end or its first error; true if all of it decoded. */
static bool read_payload(const uint8_t *payload, size_t size)
{
    struct mr_reader r = mr_reader(payload, size);

    while (mr_reader_left(&r) > 0) {
        const uint8_t *start = r.at;
        struct any f = {0};

        if (mr_frame_read_type(&r, &f.type) != MR_FRAME_TYPE_OK || !decode(&r, &f))
            return false;
        MR_ASSERT(r.at > start && r.at <= r.end);
        check_borrowed(&f, start, r.at);
        check_values(&f);
        check_again(&f);
        if (f.type == MR_FRAME_PADDING)
            mr_frame_skip_padding(&r);
    }
    return true;
}

/* ---------------------------------------------------------------- likely frames */

/* A value whose size is spread over the varint sizes. */
static uint64_t take_value(struct mr_reader *input)
{
    uint8_t size = mr_read_u8(input);
    uint64_t value = 0;

    for (uint8_t i = 0; i <= (size & 7); i++)
        value = value << 8 | mr_read_u8(input);
    return value & MR_VARINT_MAX;
}

/* An offset for `size` bytes: anywhere, or so that they end with the largest byte there is. */
static uint64_t take_offset(struct mr_reader *input, size_t size)
{
    uint64_t offset = take_value(input);

    return (offset & 7) == 0 ? MR_VARINT_MAX - size : offset >> 1;
}

/* Ranges from small steps downwards, as packets are really lost; sometimes down to 0. */
static void write_likely_ack(struct mr_reader *input, struct mr_writer *w, bool has_ecn,
                             bool is_path)
{
    struct mr_ack_range ranges[64];
    uint64_t top = take_value(input);
    uint32_t wanted = mr_read_u8(input);
    uint32_t count = 0;
    struct mr_ecn_counts ecn = {top, 1, 2};

    if ((wanted & 1) != 0)
        top &= 0x3f; /* near zero, where it ends */
    wanted = 1 + wanted % MR_COUNT_OF(ranges);

    while (count < wanted) {
        uint64_t length = mr_read_u8(input);
        ranges[count].hi = top;
        ranges[count].lo = top - MR_MIN(length, top);
        top = ranges[count].lo;
        uint64_t gap = 2 + (uint64_t)(mr_read_u8(input) & 15);
        count++;
        if (top < 2)
            break;
        top -= MR_MIN(gap, top);
    }
    if (is_path)
        mr_frame_write_path_ack(w, top & 7, ranges, count, wanted, has_ecn ? &ecn : NULL);
    else
        mr_frame_write_ack(w, ranges, count, wanted, has_ecn ? &ecn : NULL);
}

/* Frames of integers, or of eight bytes. */
static void write_likely_integers(struct mr_reader *input, struct mr_writer *w, struct any *f)
{
    uint64_t *words = (uint64_t *)(void *)&f->u;

    for (size_t i = 0; i < 4; i++)
        words[i] = take_value(input);
    if (f->type == MR_FRAME_RESET_STREAM_AT)
        f->u.reset_at.reliable_size %= f->u.reset_at.final_size + 1;
    if (f->type == MR_FRAME_OBSERVED_ADDRESS_4)
        memcpy(f->u.observed.addr.ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
    if (f->type >= MR_FRAME_MAX_STREAMS_BIDI && f->type <= MR_FRAME_STREAMS_BLOCKED_UNI) {
        f->u.limit.limit %= MR_STREAMS_MAX + 1;
        f->u.limit.is_uni = (f->type & 1) != 0;
    }
    encode(w, f);
}

/* Frames that carry bytes: `size` of them at `data`. */
static void write_likely_bytes(struct mr_reader *input, struct mr_writer *w, struct any *f,
                               size_t size, const uint8_t *data)
{
    if (mr_frame_type_is_stream(f->type)) {
        f->u.stream = (struct mr_frame_stream){.stream_id = take_value(input),
                                               .offset = take_offset(input, size),
                                               .size = size,
                                               .data = data,
                                               .fin = (f->type & MR_STREAM_FIN) != 0};
    } else if (f->type == MR_FRAME_NEW_CONNECTION_ID) {
        f->u.cid.sequence = take_value(input);
        f->u.cid.retire_prior_to = f->u.cid.sequence >> (size & 31);
        f->u.cid.cid.size = (uint8_t)(1 + size % MR_CID_MAX);
    } else if (f->type == MR_FRAME_PATH_NEW_CONNECTION_ID) {
        f->u.path_cid.path = take_value(input);
        f->u.path_cid.cid.sequence = take_value(input);
        f->u.path_cid.cid.retire_prior_to = f->u.path_cid.cid.sequence >> (size & 31);
        f->u.path_cid.cid.cid.size = (uint8_t)(1 + size % MR_CID_MAX);
    } else if (f->type == MR_FRAME_CRYPTO) {
        f->u.crypto = (struct mr_frame_crypto){
            .offset = take_offset(input, size), .size = size, .data = data};
    } else if (f->type == MR_FRAME_NEW_TOKEN) {
        f->u.token = (struct mr_frame_new_token){.size = size < 128 ? 1 : size, .token = data};
    } else if (f->type - MR_FRAME_DATAGRAM <= 1) {
        f->u.datagram = (struct mr_frame_datagram){.size = size, .data = data};
    } else {
        f->u.close =
            (struct mr_frame_connection_close){.error = take_value(input),
                                               .frame_type = size,
                                               .reason_size = size,
                                               .reason = data,
                                               .is_app = f->type == MR_FRAME_CONNECTION_CLOSE_APP};
    }
    encode(w, f);
}

static void write_likely(struct mr_reader *input, struct mr_writer *w)
{
    static const uint8_t no_data[1];
    static const uint64_t far_types[] = {
        MR_FRAME_DATAGRAM,
        MR_FRAME_DATAGRAM_LEN,
        MR_FRAME_IMMEDIATE_ACK,
        MR_FRAME_ACK_FREQUENCY,
        MR_FRAME_OBSERVED_ADDRESS_4,
        MR_FRAME_OBSERVED_ADDRESS_6,
        MR_FRAME_RESET_STREAM_AT,
        MR_FRAME_PATH_ACK,
        MR_FRAME_PATH_ACK_ECN,
        MR_FRAME_PATH_ABANDON,
        MR_FRAME_PATH_STATUS_BACKUP,
        MR_FRAME_PATH_STATUS_AVAILABLE,
        MR_FRAME_MAX_PATH_ID,
        MR_FRAME_PATHS_BLOCKED,
        MR_FRAME_PATH_CIDS_BLOCKED,
        MR_FRAME_PATH_NEW_CONNECTION_ID,
        MR_FRAME_PATH_RETIRE_CONNECTION_ID,
    };
    struct any f = {.type = mr_read_u8(input) % (0x1f + MR_COUNT_OF(far_types))};

    if (f.type >= 0x1f)
        f.type = far_types[f.type - 0x1f];
    if (f.type == MR_FRAME_ACK || f.type == MR_FRAME_ACK_ECN) {
        write_likely_ack(input, w, f.type == MR_FRAME_ACK_ECN, false);
    } else if (f.type == MR_FRAME_PATH_ACK || f.type == MR_FRAME_PATH_ACK_ECN) {
        write_likely_ack(input, w, f.type == MR_FRAME_PATH_ACK_ECN, true);
    } else if (mr_frame_type_is_stream(f.type) || f.type == MR_FRAME_CRYPTO ||
               f.type == MR_FRAME_NEW_TOKEN || f.type == MR_FRAME_NEW_CONNECTION_ID ||
               f.type == MR_FRAME_PATH_NEW_CONNECTION_ID || f.type == MR_FRAME_CONNECTION_CLOSE ||
               f.type == MR_FRAME_CONNECTION_CLOSE_APP || f.type - MR_FRAME_DATAGRAM <= 1) {
        size_t wanted = mr_read_u8(input);
        size_t size = MR_MIN(wanted, mr_reader_left(input));
        const uint8_t *data = mr_read_bytes(input, size);

        write_likely_bytes(input, w, &f, size, size > 0 ? data : no_data);
    } else {
        write_likely_integers(input, w, &f);
    }
}

/* Property 7. */
static void check_data_max(uint64_t offset, size_t room)
{
    struct mr_frame_stream frame = {.stream_id = offset >> 3, .offset = offset};

    frame.size = mr_frame_stream_data_max(room, frame.stream_id, offset);
    MR_ASSERT(frame.size == 0 || mr_frame_stream_header_size(&frame) + frame.size <= room);
    frame.size++;
    MR_ASSERT(mr_frame_stream_header_size(&frame) + frame.size > room);

    size_t most = mr_frame_datagram_data_max(room);
    MR_ASSERT(most == 0 || mr_frame_datagram_size(most) <= room);
    MR_ASSERT(mr_frame_datagram_size(most + 1) > room);
}

/* Change one byte, to any other or by one up or down, read, and put it back; many times. */
static void read_damaged(uint8_t *payload, size_t len, uint32_t random)
{
    for (int round = 0; round < DAMAGES; round++) {
        random = random * 1664525 + 1013904223;
        uint8_t *byte = &payload[(random >> 8) % len];
        uint8_t before = *byte;

        *byte = (uint8_t)((round & 1) != 0 ? before + (random >> 30) - 1 : random >> 24);
        read_payload(payload, len);
        *byte = before;
    }
}

static void written(const uint8_t *data, size_t size)
{
    static uint8_t payload[ROOM / 4];
    struct mr_reader input = mr_reader(data, size);
    uint32_t random = mr_read_u32(&input);
    struct mr_writer w = mr_writer(payload, 1 + random % sizeof(payload));

    while (!input.failed && mr_reader_left(&input) > 0)
        write_likely(&input, &w);
    check_data_max(random >> (random & 31), random >> 18);

    size_t len = mr_writer_size(&w);

    MR_ASSERT(read_payload(payload, len));
    if (len > 0)
        read_damaged(payload, len, random);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t taken = MR_MIN(size, (size_t)ROOM / 4);
    uint8_t *exact = malloc(taken + 1); /* so that a sanitizer sees a read beyond it */

    MR_ASSERT(exact != NULL);
    memcpy(exact + 1, data, taken);
    read_payload(exact + 1, taken);
    free(exact);
    written(data, taken);
    return 0;
}
