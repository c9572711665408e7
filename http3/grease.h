/*
 * http3/grease.h - what has no meaning, and is sent so that peers do not forget to ignore it:
 * RFC 9114, Sections 6.2.3, 7.2.4.1 and 7.2.8.
 *
 *     a connection --> a setting, on every one; on one of MR_H3_GREASE_EVERY also a frame behind
 *                      SETTINGS, a frame behind the next head, and a stream, if the peer allows
 *                      more streams than it must: some end the connection at a fourth, however
 *                      many have ended before
 *
 * Everything is made of one number.  Pure.
 */
#ifndef MR_HTTP3_GREASE_H
#define MR_HTTP3_GREASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/random.h"
#include "http3/frame.h"

enum {
    MR_H3_GREASE_EVERY = 16,       /* connections: one of so many, at random */
    MR_H3_UNI_LEAST = 3,           /* streams that a peer allows at least: Section 6.2 */
    MR_H3_GREASE_VALUES = 1 << 16, /* of a reserved setting */
    MR_H3_GREASE_PAYLOAD_MAX = 15, /* bytes of a reserved frame */
    MR_H3_GREASE_FRAME_MAX = MR_H3_FRAME_HEADER_MAX + MR_H3_GREASE_PAYLOAD_MAX,
    MR_H3_GREASE_STREAM_MAX = MR_H3_VARINT_MAX_SIZE + MR_H3_GREASE_PAYLOAD_MAX,
};

/* A number of the form 0x1f * N + 0x21, of any size that a varint has, at random. */
uint64_t mr_h3_reserved_draw(struct mr_random *random);

/* Is it of that form? */
bool mr_h3_reserved_is(uint64_t number);

/* Write a reserved frame of at most MR_H3_GREASE_FRAME_MAX bytes; returns its size. */
size_t mr_h3_grease_put_frame(struct mr_random *random, uint8_t *dst);

/* Write all of a reserved stream, at most MR_H3_GREASE_STREAM_MAX bytes; returns its size. */
size_t mr_h3_grease_put_stream(struct mr_random *random, uint8_t *dst);

#endif /* MR_HTTP3_GREASE_H */
