#include "quic/frame.h"

/* ---------------------------------------------------------------- ACK */

/* Step over the ranges after the first, checking that none goes below zero (RFC 9000,
 * Section 19.3.1). */
static bool walk_ranges(struct mr_reader *r, uint64_t smallest, uint64_t range_count)
{
    for (uint64_t i = 0; i < range_count; i++) {
        uint64_t gap = mr_read_varint(r);
        uint64_t range = mr_read_varint(r);

        if (r->failed || gap + 2 > smallest || range > smallest - gap - 2)
            return false;
        smallest -= gap + 2 + range;
    }
    return true;
}

bool mr_frame_decode_ack(struct mr_reader *r, uint64_t type, struct mr_frame_ack *out)
{
    *out = (struct mr_frame_ack){.has_first = true, .has_ecn = type == MR_FRAME_ACK_ECN};
    out->largest = mr_read_varint(r);
    out->delay = mr_read_varint(r);
    out->range_count = mr_read_varint(r);
    out->first_range = mr_read_varint(r);
    if (r->failed || out->first_range > out->largest || out->range_count > mr_reader_left(r) / 2)
        return false;

    const uint8_t *ranges = r->at;

    if (!walk_ranges(r, out->largest - out->first_range, out->range_count))
        return false;
    out->ranges = mr_reader(ranges, (size_t)(r->at - ranges));

    if (out->has_ecn) {
        out->ecn.ect0 = mr_read_varint(r);
        out->ecn.ect1 = mr_read_varint(r);
        out->ecn.ce = mr_read_varint(r);
    }
    return !r->failed;
}

static uint64_t gap_between(const struct mr_ack_range *newer, const struct mr_ack_range *older)
{
    return newer->lo - older->hi - 2;
}

/* How many of `ranges` after the first fit `room` bytes. */
static uint32_t ranges_that_fit(const struct mr_ack_range *ranges, uint32_t count, size_t room)
{
    uint32_t fit = 0;

    for (uint32_t i = 1; i < count; i++) {
        size_t size = mr_varint_size(gap_between(&ranges[i - 1], &ranges[i])) +
                      mr_varint_size(ranges[i].hi - ranges[i].lo);

        if (size > room)
            break;
        room -= size;
        fit++;
    }
    return fit;
}

static size_t ecn_size(const struct mr_ecn_counts *ecn)
{
    if (ecn == NULL)
        return 0;
    return mr_varint_size(ecn->ect0) + mr_varint_size(ecn->ect1) + mr_varint_size(ecn->ce);
}

uint32_t mr_frame_write_ack_fields(struct mr_writer *w, const struct mr_ack_range *ranges,
                                   uint32_t count, uint64_t delay, const struct mr_ecn_counts *ecn)
{
    MR_DASSERT(count >= 1);

    uint64_t first = ranges[0].hi - ranges[0].lo;
    size_t fixed = mr_varint_size(ranges[0].hi) + mr_varint_size(delay) +
                   mr_varint_size(count - 1) + mr_varint_size(first) + ecn_size(ecn);

    if (w->failed || fixed > mr_writer_room(w))
        return 0;

    uint32_t more = ranges_that_fit(ranges, count, mr_writer_room(w) - fixed);

    mr_write_varint(w, ranges[0].hi);
    mr_write_varint(w, delay);
    mr_write_varint(w, more);
    mr_write_varint(w, first);
    for (uint32_t i = 1; i <= more; i++) {
        mr_write_varint(w, gap_between(&ranges[i - 1], &ranges[i]));
        mr_write_varint(w, ranges[i].hi - ranges[i].lo);
    }
    if (ecn != NULL) {
        mr_write_varint(w, ecn->ect0);
        mr_write_varint(w, ecn->ect1);
        mr_write_varint(w, ecn->ce);
    }
    MR_DASSERT(!w->failed);
    return 1 + more;
}

uint32_t mr_frame_write_ack(struct mr_writer *w, const struct mr_ack_range *ranges, uint32_t count,
                            uint64_t delay, const struct mr_ecn_counts *ecn)
{
    struct mr_writer before = *w;

    mr_write_u8(w, ecn == NULL ? MR_FRAME_ACK : MR_FRAME_ACK_ECN);
    uint32_t written = mr_frame_write_ack_fields(w, ranges, count, delay, ecn);
    if (written == 0)
        *w = before;
    return written;
}

/* ---------------------------------------------------------------- reading */

bool mr_frame_decode_crypto(struct mr_reader *r, uint64_t type, struct mr_frame_crypto *out)
{
    (void)type;
    out->offset = mr_read_varint(r);
    out->size = mr_read_varint(r);
    out->data = mr_read_bytes(r, out->size);
    return !r->failed && out->offset + out->size <= MR_VARINT_MAX;
}

bool mr_frame_decode_reset_stream(struct mr_reader *r, uint64_t type,
                                  struct mr_frame_reset_stream *out)
{
    (void)type;
    out->stream_id = mr_read_varint(r);
    out->error = mr_read_varint(r);
    out->final_size = mr_read_varint(r);
    return !r->failed;
}

bool mr_frame_decode_stop_sending(struct mr_reader *r, uint64_t type,
                                  struct mr_frame_stop_sending *out)
{
    (void)type;
    out->stream_id = mr_read_varint(r);
    out->error = mr_read_varint(r);
    return !r->failed;
}

bool mr_frame_decode_new_token(struct mr_reader *r, uint64_t type, struct mr_frame_new_token *out)
{
    (void)type;
    out->size = mr_read_varint(r);
    out->token = mr_read_bytes(r, out->size);
    return !r->failed && out->size > 0;
}

bool mr_frame_decode_max_data(struct mr_reader *r, uint64_t type, struct mr_frame_limit *out)
{
    (void)type;
    out->limit = mr_read_varint(r);
    out->is_uni = false;
    return !r->failed;
}

bool mr_frame_decode_data_blocked(struct mr_reader *r, uint64_t type, struct mr_frame_limit *out)
{
    return mr_frame_decode_max_data(r, type, out);
}

bool mr_frame_decode_max_streams(struct mr_reader *r, uint64_t type, struct mr_frame_limit *out)
{
    out->limit = mr_read_varint(r);
    out->is_uni = (type & 1) != 0; /* 0x13 and 0x17 */
    return !r->failed && out->limit <= MR_STREAMS_MAX;
}

bool mr_frame_decode_streams_blocked(struct mr_reader *r, uint64_t type, struct mr_frame_limit *out)
{
    return mr_frame_decode_max_streams(r, type, out);
}

bool mr_frame_decode_max_stream_data(struct mr_reader *r, uint64_t type,
                                     struct mr_frame_stream_limit *out)
{
    (void)type;
    out->stream_id = mr_read_varint(r);
    out->limit = mr_read_varint(r);
    return !r->failed;
}

bool mr_frame_decode_stream_data_blocked(struct mr_reader *r, uint64_t type,
                                         struct mr_frame_stream_limit *out)
{
    return mr_frame_decode_max_stream_data(r, type, out);
}

/* Copy the next `size` bytes to `dst`; nothing after a failure. */
static void read_into(struct mr_reader *r, uint8_t *dst, size_t size)
{
    const uint8_t *src = mr_read_bytes(r, size);

    if (src != NULL)
        memcpy(dst, src, size);
}

bool mr_frame_decode_new_connection_id(struct mr_reader *r, uint64_t type,
                                       struct mr_frame_new_connection_id *out)
{
    (void)type;
    out->sequence = mr_read_varint(r);
    out->retire_prior_to = mr_read_varint(r);
    out->cid.size = mr_read_u8(r);
    if (r->failed || out->retire_prior_to > out->sequence || out->cid.size < 1 ||
        out->cid.size > MR_CID_MAX)
        return false;

    read_into(r, out->cid.bytes, out->cid.size);
    read_into(r, out->reset_token, MR_RESET_TOKEN);
    return !r->failed;
}

bool mr_frame_decode_retire_connection_id(struct mr_reader *r, uint64_t type,
                                          struct mr_frame_retire_connection_id *out)
{
    (void)type;
    out->sequence = mr_read_varint(r);
    return !r->failed;
}

bool mr_frame_decode_path(struct mr_reader *r, uint64_t type, struct mr_frame_path *out)
{
    (void)type;
    read_into(r, out->data, MR_PATH_DATA);
    return !r->failed;
}

bool mr_frame_decode_connection_close(struct mr_reader *r, uint64_t type,
                                      struct mr_frame_connection_close *out)
{
    out->is_app = type == MR_FRAME_CONNECTION_CLOSE_APP;
    out->error = mr_read_varint(r);
    out->frame_type = out->is_app ? 0 : mr_read_varint(r);
    out->reason_size = mr_read_varint(r);
    out->reason = mr_read_bytes(r, out->reason_size);
    return !r->failed;
}

bool mr_frame_decode_datagram(struct mr_reader *r, uint64_t type, struct mr_frame_datagram *out)
{
    out->size = type == MR_FRAME_DATAGRAM_LEN ? mr_read_varint(r) : mr_reader_left(r);
    out->data = mr_read_bytes(r, out->size);
    return !r->failed;
}

/* ---------------------------------------------------------------- writing */

/* A frame of `count` integers after its type. */
static bool write_integers(struct mr_writer *w, enum mr_frame_type type, const uint64_t *values,
                           size_t count)
{
    struct mr_writer before = *w;

    mr_write_varint(w, type);
    for (size_t i = 0; i < count; i++)
        mr_write_varint(w, values[i]);
    return mr_write_whole(w, before);
}

bool mr_frame_write_crypto_header(struct mr_writer *w, const struct mr_frame_crypto *frame)
{
    return write_integers(w, MR_FRAME_CRYPTO, (uint64_t[]){frame->offset, frame->size}, 2);
}

bool mr_frame_write_type(struct mr_writer *w, enum mr_frame_type type)
{
    return write_integers(w, type, NULL, 0);
}

bool mr_frame_write_padding(struct mr_writer *w, size_t size)
{
    struct mr_writer before = *w;
    uint8_t *dst = mr_write_later(w, size);

    if (dst != NULL)
        memset(dst, 0, size);
    return mr_write_whole(w, before);
}

bool mr_frame_write_reset_stream(struct mr_writer *w, const struct mr_frame_reset_stream *frame)
{
    const uint64_t values[] = {frame->stream_id, frame->error, frame->final_size};

    return write_integers(w, MR_FRAME_RESET_STREAM, values, 3);
}

bool mr_frame_write_stop_sending(struct mr_writer *w, const struct mr_frame_stop_sending *frame)
{
    return write_integers(w, MR_FRAME_STOP_SENDING, (uint64_t[]){frame->stream_id, frame->error},
                          2);
}

bool mr_frame_write_new_token(struct mr_writer *w, const struct mr_frame_new_token *frame)
{
    MR_DASSERT(frame->size > 0);

    struct mr_writer before = *w;

    mr_write_u8(w, MR_FRAME_NEW_TOKEN);
    mr_write_varint(w, frame->size);
    mr_write_bytes(w, frame->token, frame->size);
    return mr_write_whole(w, before);
}

bool mr_frame_write_max_data(struct mr_writer *w, uint64_t limit)
{
    return write_integers(w, MR_FRAME_MAX_DATA, &limit, 1);
}

bool mr_frame_write_data_blocked(struct mr_writer *w, uint64_t limit)
{
    return write_integers(w, MR_FRAME_DATA_BLOCKED, &limit, 1);
}

bool mr_frame_write_max_stream_data(struct mr_writer *w, const struct mr_frame_stream_limit *frame)
{
    const uint64_t values[] = {frame->stream_id, frame->limit};

    return write_integers(w, MR_FRAME_MAX_STREAM_DATA, values, 2);
}

bool mr_frame_write_stream_data_blocked(struct mr_writer *w,
                                        const struct mr_frame_stream_limit *frame)
{
    const uint64_t values[] = {frame->stream_id, frame->limit};

    return write_integers(w, MR_FRAME_STREAM_DATA_BLOCKED, values, 2);
}

bool mr_frame_write_max_streams(struct mr_writer *w, const struct mr_frame_limit *frame)
{
    return write_integers(w, frame->is_uni ? MR_FRAME_MAX_STREAMS_UNI : MR_FRAME_MAX_STREAMS_BIDI,
                          &frame->limit, 1);
}

bool mr_frame_write_streams_blocked(struct mr_writer *w, const struct mr_frame_limit *frame)
{
    return write_integers(
        w, frame->is_uni ? MR_FRAME_STREAMS_BLOCKED_UNI : MR_FRAME_STREAMS_BLOCKED_BIDI,
        &frame->limit, 1);
}

void mr_frame_write_new_connection_id_fields(struct mr_writer *w,
                                             const struct mr_frame_new_connection_id *frame)
{
    MR_DASSERT(frame->cid.size >= 1);
    MR_DASSERT(frame->retire_prior_to <= frame->sequence);

    mr_write_varint(w, frame->sequence);
    mr_write_varint(w, frame->retire_prior_to);
    mr_write_u8(w, frame->cid.size);
    mr_write_bytes(w, frame->cid.bytes, frame->cid.size);
    mr_write_bytes(w, frame->reset_token, MR_RESET_TOKEN);
}

bool mr_frame_write_new_connection_id(struct mr_writer *w,
                                      const struct mr_frame_new_connection_id *frame)
{
    struct mr_writer before = *w;

    mr_write_u8(w, MR_FRAME_NEW_CONNECTION_ID);
    mr_frame_write_new_connection_id_fields(w, frame);
    return mr_write_whole(w, before);
}

bool mr_frame_write_retire_connection_id(struct mr_writer *w, uint64_t sequence)
{
    return write_integers(w, MR_FRAME_RETIRE_CONNECTION_ID, &sequence, 1);
}

bool mr_frame_write_path(struct mr_writer *w, enum mr_frame_type type, const uint8_t *data)
{
    MR_DASSERT(type == MR_FRAME_PATH_CHALLENGE || type == MR_FRAME_PATH_RESPONSE);

    struct mr_writer before = *w;

    mr_write_u8(w, (uint8_t)type);
    mr_write_bytes(w, data, MR_PATH_DATA);
    return mr_write_whole(w, before);
}

bool mr_frame_write_connection_close(struct mr_writer *w,
                                     const struct mr_frame_connection_close *frame)
{
    struct mr_writer before = *w;

    mr_write_varint(w, frame->is_app ? MR_FRAME_CONNECTION_CLOSE_APP : MR_FRAME_CONNECTION_CLOSE);
    mr_write_varint(w, frame->error);
    if (!frame->is_app)
        mr_write_varint(w, frame->frame_type);

    size_t room = mr_frame_data_max(mr_writer_room(w), 0);
    size_t size = frame->reason_size < room ? (size_t)frame->reason_size : room;

    mr_write_varint(w, size);
    mr_write_bytes(w, frame->reason, size);
    return mr_write_whole(w, before);
}

bool mr_frame_write_datagram_header(struct mr_writer *w, const struct mr_frame_datagram *frame)
{
    return mr_frame_datagram_size(frame->size) <= mr_writer_room(w) &&
           write_integers(w, MR_FRAME_DATAGRAM_LEN, &frame->size, 1);
}

bool mr_frame_write_datagram(struct mr_writer *w, const struct mr_frame_datagram *frame)
{
    struct mr_writer before = *w;

    if (!mr_frame_write_datagram_header(w, frame))
        return false;
    mr_write_bytes(w, frame->data, frame->size);
    return mr_write_whole(w, before);
}
