/*
 * quic/trace_frames.h - the frames of a packet without what they carry: what a trace keeps.
 *
 *     packet   STREAM 4, 0, 1100 bytes ........ | MAX_DATA 9000 | 00 00 00 00 00 00
 *     packed   STREAM 4, 0, 1100                | MAX_DATA 9000 | PADDING 6
 *
 * Frames come in their order, each with its type and its fields as on the wire, but: STREAM always
 * has Offset and Length; CRYPTO, NEW_TOKEN and DATAGRAM (with Length always) end with their Length;
 * PADDING frames that follow each other are one, with their count; NEW_CONNECTION_ID has no token.
 * What cannot be read, a frame of an unknown type or one that is cut off, is its type and the
 * number of bytes that are left of the packet from it on, and the last.
 *
 * Pure functions, no state.
 */
#ifndef MR_QUIC_TRACE_FRAMES_H
#define MR_QUIC_TRACE_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quic/frame.h"

/* What packed bytes of a frame are followed by. */
enum mr_trace_tail {
    MR_TAIL_NONE,
    MR_TAIL_UNREADABLE, /* a varint: bytes left */
    MR_TAIL_COUNT,      /* a varint: PADDING */
    MR_TAIL_SIZE,       /* the last field is the size of bytes that are left out */
    MR_TAIL_CID,        /* a byte, and so many */
    MR_TAIL_PATH,       /* MR_PATH_DATA bytes */
    MR_TAIL_ADDRESS,    /* of OBSERVED_ADDRESS: an IP address and a port */
    MR_TAIL_TEXT,       /* the last field is the size of bytes that follow */
    MR_TAIL_RANGES      /* of ACK and PATH_ACK: the fields that its counts ask for */
};

/* A packed frame. */
struct mr_trace_frame {
    uint64_t type;     /* of STREAM: with the bits that it came with, but for Offset and Length */
    uint64_t field[5]; /* varints, in the order of the RFC's figure */
    uint32_t field_count;
    uint8_t tail;         /* enum mr_trace_tail */
    uint64_t size;        /* SIZE, COUNT, UNREADABLE: so many; TEXT, CID, PATH: bytes at `bytes` */
    const uint8_t *bytes; /* borrowed; RANGES: the whole frame, type included */
};

/*
 * Pack the frames of the `size` bytes at `payload` into `dst`.  Returns the bytes written; what no
 * longer fits `room` is left out, and *is_cut_out says so.
 */
size_t mr_trace_frames_pack(uint8_t *dst, size_t room, const uint8_t *payload, size_t size,
                            bool *is_cut_out);

/* The next packed frame of `r`; false: that was all, or what follows was not packed here. */
bool mr_trace_frame_next(struct mr_reader *r, struct mr_trace_frame *out);

#endif /* MR_QUIC_TRACE_FRAMES_H */
