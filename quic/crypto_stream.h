/*
 * quic/crypto_stream.h - the CRYPTO bytes of one encryption level, both ways (RFC 9000,
 * Sections 7.5, 19.6).
 *
 * Sending: TLS's bytes are copied to chunks and sent like a stream without flow
 * control and FIN (quic/send_queue.h on `send`: next, acked, lost, rewind).
 * Receiving: bytes are copied to a chain of chunks, each with a bit per byte that
 * has arrived, so that any number of pieces in any order costs the same memory.
 * The first copy of a byte wins: what was shown to TLS never changes.
 *
 *     read_offset      ready_to                 read_offset + limit
 *        |################|    ##  #   ###           |  --> offset
 *     [ chunk of 896 bytes ][ chunk ][ chunk ]
 *
 * Owner: one per level, embedded by value; its chunks are the shard's.
 * Threads: the shard's only.
 * Limits: MR_CRYPTO_SEND_MAX bytes unacknowledged; `recv_limit` bytes beyond what
 * was read (MR_CRYPTO_BUFFER_EXCEEDED is the connection's answer); chunks of the shard.
 */
#ifndef MR_QUIC_CRYPTO_STREAM_H
#define MR_QUIC_CRYPTO_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/pool.h"
#include "quic/send_queue.h"

#define MR_CRYPTO_SEND_MAX    65536u /* bytes queued and not acknowledged */
#define MR_CRYPTO_RECV_LIMIT  16384u /* a usual limit */
#define MR_CRYPTO_RECV_MIN    4096u  /* the least limit: RFC 9000, Section 7.5 */
#define MR_CRYPTO_CHUNK_BYTES 896u   /* data bytes of a receive chunk */

struct mr_crypto_recv {
    uint64_t read_offset;  /* TLS has every byte below */
    uint64_t ready_to;     /* every byte below has arrived */
    uint64_t chunk_offset; /* stream offset of the first chunk's first byte */
    uint32_t head;         /* chunks; MR_NONE: none, and nothing is unread */
    uint32_t tail;
    uint32_t chunk_count;
    uint32_t unread_bytes; /* arrived, in order or not, and not read */
    uint32_t limit;        /* bytes that may arrive beyond read_offset */
};

struct mr_crypto_stream {
    struct mr_send_queue send;
    struct mr_crypto_recv recv;
};

enum mr_crypto_verdict {
    MR_CRYPTO_OK,        /* some bytes were new */
    MR_CRYPTO_DUPLICATE, /* nothing new */
    MR_CRYPTO_NO_ROOM, /* no chunk is free, nothing has changed; the packet must not be acknowledged
                        */
    MR_CRYPTO_EXCEEDED, /* beyond the limit: close with MR_CRYPTO_BUFFER_EXCEEDED */
};

/* `recv_limit` >= MR_CRYPTO_RECV_MIN, bytes. */
void mr_crypto_stream_init(struct mr_crypto_stream *stream, uint32_t recv_limit);

/* Queue TLS's bytes; all or nothing.  False: over MR_CRYPTO_SEND_MAX, or no chunk or segment is
 * free. */
bool mr_crypto_stream_write(struct mr_crypto_stream *stream, const struct mr_send_pools *pools,
                            const uint8_t *data, size_t size);

/*
 * Insert a CRYPTO frame's data, copied.  offset + size is at most 2^62 - 1 + 2^32.
 * Cost: O(size) + a walk over at most limit / 896 + 2 chunks.
 */
enum mr_crypto_verdict mr_crypto_stream_insert(struct mr_crypto_stream *stream,
                                               struct mr_pool *chunks, uint64_t offset,
                                               const uint8_t *data, size_t size);

/* Bytes that mr_crypto_stream_read() can give. */
static inline size_t mr_crypto_stream_readable(const struct mr_crypto_stream *stream)
{
    return (size_t)(stream->recv.ready_to - stream->recv.read_offset);
}

/* Copy at most `room` bytes that are next in order to `dst` and consume them.  Returns how many. */
size_t mr_crypto_stream_read(struct mr_crypto_stream *stream, struct mr_pool *chunks, uint8_t *dst,
                             size_t room);

/* True if bytes have arrived that nobody read: a violation when the level's keys are dropped or TLS
 * moves on. */
static inline bool mr_crypto_stream_has_unread(const struct mr_crypto_stream *stream)
{
    return stream->recv.unread_bytes > 0;
}

/* Drop everything, both ways, and give the nodes back: the level's keys are discarded, or the
 * connection is gone. */
void mr_crypto_stream_clear(struct mr_crypto_stream *stream, const struct mr_send_pools *pools);

/* Panic unless every invariant above holds.  For tests, fuzzers and MR_DEBUG. */
void mr_crypto_stream_check(const struct mr_crypto_stream *stream,
                            const struct mr_send_pools *pools);

#endif /* MR_QUIC_CRYPTO_STREAM_H */
