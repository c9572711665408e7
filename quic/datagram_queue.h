/*
 * quic/datagram_queue.h - payloads of DATAGRAM frames (RFC 9221) that wait, in order: to be sent,
 * or to be read by the application.
 *
 *     head                              tail            a chunk: next | begin | end | bytes
 *     [s payload s pay] -> [load s payload s] -> [payload ....]    s: size, 2 bytes, never split
 *
 * Payloads lie one behind the other, so that a queue of small ones takes little memory.
 * A payload goes in whole or not at all, and comes out whole.  An empty queue holds no
 * chunk.
 *
 * Owner: a connection, by value, one per direction.  Threads: the shard's only.
 * Limits: the chunks that the caller allows the queue, and the pool, which the shard's
 * connections share.  An empty queue takes one payload of any size.
 */
#ifndef MR_QUIC_DATAGRAM_QUEUE_H
#define MR_QUIC_DATAGRAM_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/pool.h"
#include "millrace/transport.h"
#include "quic/chunk.h"

#define MR_DATAGRAM_SIZE_MAX    UINT16_MAX /* bytes of a payload */
#define MR_DATAGRAM_CHUNK_BYTES (MR_CHUNK_SIZE - 8)

/* A pool object. */
struct mr_datagram_chunk {
    uint32_t next; /* MR_NONE: the tail */
    uint16_t begin;
    uint16_t end;
    uint8_t bytes[MR_DATAGRAM_CHUNK_BYTES];
};

_Static_assert(sizeof(struct mr_datagram_chunk) == MR_CHUNK_SIZE, "one chunk");

struct mr_datagram_queue {
    uint32_t head; /* MR_NONE: empty */
    uint32_t tail;
    uint16_t count; /* payloads */
    uint16_t chunk_count;
};

enum mr_datagram_push {
    MR_DATAGRAM_QUEUED,
    MR_DATAGRAM_FULL,      /* the queue has its chunks, or UINT16_MAX payloads */
    MR_DATAGRAM_NO_MEMORY, /* the pool is empty */
};

static inline void mr_datagram_queue_init(struct mr_datagram_queue *q)
{
    *q = (struct mr_datagram_queue){.head = MR_NONE, .tail = MR_NONE};
}

/*
 * Append the `count` views as one payload, copied.  Their sizes are <= MR_DATAGRAM_SIZE_MAX in all;
 * none at all is an empty payload.  The queue takes at most `chunks_max` chunks, unless it was
 * empty.
 */
enum mr_datagram_push mr_datagram_queue_push(struct mr_datagram_queue *q, struct mr_pool *chunks,
                                             const struct mr_view *views, size_t count,
                                             uint32_t chunks_max);

/* Bytes of the first payload.  The queue is not empty. */
uint32_t mr_datagram_queue_first_size(const struct mr_datagram_queue *q,
                                      const struct mr_pool *chunks);

/* Take the first payload out: mr_datagram_queue_first_size() bytes to `dst`; NULL: they are
 * dropped. The queue is not empty. */
void mr_datagram_queue_pop(struct mr_datagram_queue *q, struct mr_pool *chunks, uint8_t *dst);

/* Drop all. */
void mr_datagram_queue_clear(struct mr_datagram_queue *q, struct mr_pool *chunks);

/* Panic if an invariant is broken.  O(chunks + payloads).  For tests and MR_DEBUG. */
void mr_datagram_queue_check(const struct mr_datagram_queue *q, const struct mr_pool *chunks);

#endif /* MR_QUIC_DATAGRAM_QUEUE_H */
