/*
 * quic/compact.h - 2 KiB blocks that small received pieces are copied to.
 *
 * A piece that uses little of its packet buffer must not pin it: it is copied
 * behind its predecessors into a block, and the packet buffer goes back to its
 * port at once.  A block is counted like a packet buffer (struct mr_buf with
 * MR_BUF_COMPACT) and comes back through the same release list.
 *
 *     [struct mr_buf][ piece piece piece | room ]
 *                                        ^ used
 *
 * Owner: the shard's compact pool; the queue that appends holds one reference.
 * Threads: the shard's only.  Limit: the pool's blocks, MR_NONE when empty.
 */
#ifndef MR_QUIC_COMPACT_H
#define MR_QUIC_COMPACT_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/pool.h"

#define MR_COMPACT_BYTES 2024u /* data bytes of a block */

/* A pool object of 2 KiB. */
struct mr_compact {
    struct mr_buf buf;
    uint32_t used;  /* bytes appended so far */
    uint32_t index; /* in its pool */
    uint8_t bytes[MR_COMPACT_BYTES];
};

_Static_assert(sizeof(struct mr_compact) == 2048, "a block fills 2 KiB");

/* Take an empty block with one reference, the appender's.  NULL: the pool is empty. */
struct mr_compact *mr_compact_get(struct mr_pool *blocks);

static inline uint32_t mr_compact_room(const struct mr_compact *block)
{
    return MR_COMPACT_BYTES - block->used;
}

/* Copy `size` <= mr_compact_room() bytes behind the last and return where they lie.  Takes no
 * reference. */
const uint8_t *mr_compact_append(struct mr_compact *block, const uint8_t *data, uint32_t size);

/*
 * Give the compact blocks of `released` (a list by `next`, or NULL) back to their pool.
 * Returns the others, in order: packet buffers, for their port.
 */
struct mr_buf *mr_compact_reclaim(struct mr_pool *blocks, struct mr_buf *released);

#endif /* MR_QUIC_COMPACT_H */
