/*
 * quic/frame_extension.c - see frame_extension.h.
 */
#include "quic/frame_extension.h"

#include <string.h>

bool mr_frame_decode_ack_frequency(struct mr_reader *r, uint64_t type,
                                   struct mr_frame_ack_frequency *out)
{
    (void)type;
    out->sequence = mr_read_varint(r);
    out->threshold = mr_read_varint(r);
    out->max_delay_us = mr_read_varint(r);
    out->reordering = mr_read_varint(r);
    return !r->failed;
}

bool mr_frame_write_ack_frequency(struct mr_writer *w, const struct mr_frame_ack_frequency *frame)
{
    struct mr_writer before = *w;

    mr_write_varint(w, MR_FRAME_ACK_FREQUENCY);
    mr_write_varint(w, frame->sequence);
    mr_write_varint(w, frame->threshold);
    mr_write_varint(w, frame->max_delay_us);
    mr_write_varint(w, frame->reordering);
    return mr_write_whole(w, before);
}

bool mr_frame_decode_reset_stream_at(struct mr_reader *r, uint64_t type,
                                     struct mr_frame_reset_stream_at *out)
{
    (void)type;
    out->stream_id = mr_read_varint(r);
    out->error = mr_read_varint(r);
    out->final_size = mr_read_varint(r);
    out->reliable_size = mr_read_varint(r);
    return !r->failed && out->reliable_size <= out->final_size;
}

bool mr_frame_write_reset_stream_at(struct mr_writer *w,
                                    const struct mr_frame_reset_stream_at *frame)
{
    struct mr_writer before = *w;

    mr_write_varint(w, MR_FRAME_RESET_STREAM_AT);
    mr_write_varint(w, frame->stream_id);
    mr_write_varint(w, frame->error);
    mr_write_varint(w, frame->final_size);
    mr_write_varint(w, frame->reliable_size);
    return mr_write_whole(w, before);
}

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

bool mr_frame_decode_observed_address(struct mr_reader *r, uint64_t type,
                                      struct mr_frame_observed_address *out)
{
    size_t size = type == MR_FRAME_OBSERVED_ADDRESS_4 ? 4 : sizeof(out->addr.ip);

    *out = (struct mr_frame_observed_address){.sequence = mr_read_varint(r)};
    const uint8_t *ip = mr_read_bytes(r, size);
    out->addr.port = mr_read_u16(r);
    if (r->failed)
        return false;
    memcpy(out->addr.ip, mapped, sizeof(mapped));
    memcpy(out->addr.ip + sizeof(out->addr.ip) - size, ip, size);
    return true;
}

bool mr_frame_write_observed_address(struct mr_writer *w,
                                     const struct mr_frame_observed_address *frame)
{
    struct mr_writer before = *w;
    bool is_ipv4 = memcmp(frame->addr.ip, mapped, sizeof(mapped)) == 0;
    size_t size = is_ipv4 ? 4 : sizeof(frame->addr.ip);

    mr_write_varint(w, is_ipv4 ? MR_FRAME_OBSERVED_ADDRESS_4 : MR_FRAME_OBSERVED_ADDRESS_6);
    mr_write_varint(w, frame->sequence);
    mr_write_bytes(w, frame->addr.ip + sizeof(frame->addr.ip) - size, size);
    mr_write_be(w, frame->addr.port, 2);
    return mr_write_whole(w, before);
}
