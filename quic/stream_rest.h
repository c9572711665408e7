/*
 * quic/stream_rest.h - streams at rest, in few bytes.
 *
 *     varint    the stream's ID
 *     varint    size of what follows
 *     bytes     what differs from a new stream of that ID (quic/pack.h)
 *
 * At rest is a stream that has nothing in any pool, list or event: nothing to send, nothing that is
 * not acknowledged, nothing received that was not read, no gap.  What is left are a few numbers,
 * most of which say the same in other words: they are written as differences from each other.  A
 * stream that nothing was sent on takes some 15 bytes, one of HTTP/3's some 25.
 *
 * Owner: the caller, of all memory.  Threads: any.  Nothing is allocated.
 */
#ifndef MR_QUIC_STREAM_REST_H
#define MR_QUIC_STREAM_REST_H

#include "quic/stream.h"

/* Bytes that one takes at the most. */
#define MR_STREAM_REST_MAX                                                                         \
    (8 + 2 + 8 + sizeof(struct mr_stream) / 16 + 1 + sizeof(struct mr_stream))

/* Is it?  What its packets in flight may still say of it, the connection knows. */
bool mr_stream_rests(const struct mr_stream *stream);

/*
 * Pack a stream at rest, against `fresh`, a new one of its ID and connection that is in no pool and
 * no list.  Its place, and that of its connection, are left out.  Returns the bytes at `out`; 0:
 * more than `room`.
 */
size_t mr_stream_rest_pack(const struct mr_stream *stream, const struct mr_stream *fresh,
                           uint8_t *out, size_t room);

/* The ID of the stream that was packed at `packed`.  Returns the bytes it takes there; 0: `size`
 * bytes are no stream. */
size_t mr_stream_rest_id(const uint8_t *packed, size_t size, uint64_t *id_out);

/* The stream itself, against the same `fresh`, whose place it has.  Returns the bytes it takes in
 * all; 0: `size` bytes are no stream. */
size_t mr_stream_rest_unpack(struct mr_stream *stream_out, const struct mr_stream *fresh,
                             const uint8_t *packed, size_t size);

#endif /* MR_QUIC_STREAM_REST_H */
