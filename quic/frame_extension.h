/*
 * quic/frame_extension.h - frames of extensions: bytes to values and back, as in quic/frame.h.
 *
 *     ACK_FREQUENCY, IMMEDIATE_ACK   draft-ietf-quic-ack-frequency
 *     RESET_STREAM_AT                draft-ietf-quic-reliable-stream-reset
 *     OBSERVED_ADDRESS               draft-ietf-quic-address-discovery
 *
 * A decoder reads the fields after the type; false means FRAME_ENCODING_ERROR.  Pure functions, no
 * state.
 */
#ifndef MR_QUIC_FRAME_EXTENSION_H
#define MR_QUIC_FRAME_EXTENSION_H

#include <stdbool.h>
#include <stdint.h>

#include "quic/types.h"
#include "quic/wire_fields.h"

enum mr_frame_extension_type {
    MR_FRAME_IMMEDIATE_ACK = 0x1f,
    MR_FRAME_RESET_STREAM_AT = 0x24,
    MR_FRAME_ACK_FREQUENCY = 0xaf,
    MR_FRAME_OBSERVED_ADDRESS_4 = 0x9f81a6,
    MR_FRAME_OBSERVED_ADDRESS_6 = 0x9f81a7,
};

struct mr_frame_ack_frequency {
    uint64_t sequence;
    uint64_t threshold;    /* ack-eliciting packets that need no ACK; the next one does */
    uint64_t max_delay_us; /* of an ACK */
    uint64_t reordering;   /* packets that a missing one may be behind; 0: any number */
};

struct mr_frame_reset_stream_at { /* reliable_size <= final_size */
    uint64_t stream_id;
    uint64_t error;
    uint64_t final_size;
    uint64_t reliable_size; /* bytes that are delivered before the reset counts */
};

struct mr_frame_observed_address {
    uint64_t sequence;
    struct mr_addr addr; /* IPv4: mapped */
};

bool mr_frame_decode_ack_frequency(struct mr_reader *r, uint64_t type,
                                   struct mr_frame_ack_frequency *out);
bool mr_frame_write_ack_frequency(struct mr_writer *w, const struct mr_frame_ack_frequency *frame);

bool mr_frame_decode_reset_stream_at(struct mr_reader *r, uint64_t type,
                                     struct mr_frame_reset_stream_at *out);
bool mr_frame_write_reset_stream_at(struct mr_writer *w,
                                    const struct mr_frame_reset_stream_at *frame);

/* The type says which family; written as IPv4 if the address is mapped. */
bool mr_frame_decode_observed_address(struct mr_reader *r, uint64_t type,
                                      struct mr_frame_observed_address *out);
bool mr_frame_write_observed_address(struct mr_writer *w,
                                     const struct mr_frame_observed_address *frame);

/* Only its type. */
static inline bool mr_frame_write_immediate_ack(struct mr_writer *w)
{
    struct mr_writer before = *w;

    mr_write_u8(w, MR_FRAME_IMMEDIATE_ACK);
    return mr_write_whole(w, before);
}

#endif /* MR_QUIC_FRAME_EXTENSION_H */
