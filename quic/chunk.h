/*
 * quic/chunk.h - the 1 KiB chunks that everything of variable length in a connection is made of.
 *
 * One pool per shard, shared by sent records and their directories (quic/sent.h)
 * and by copied send data.  A connection takes chunks while it has something in
 * flight and holds none while it is idle.
 *
 * Owner: one shard.  Threads: the owner's only.
 * Limit: limits.chunks_max; an empty pool means "cannot send now", never a failure.
 */
#ifndef MR_QUIC_CHUNK_H
#define MR_QUIC_CHUNK_H

#include "base/compiler.h"
#include "base/pool.h"

#define MR_CHUNK_SIZE 1024u /* bytes */

/* Bytes that mr_chunks_init() needs for `count` chunks. */
static inline size_t mr_chunks_footprint(uint32_t count)
{
    return mr_pool_footprint(count, MR_CHUNK_SIZE, MR_CACHE_LINE);
}

/* Lay `count` chunks out in `mem` (mr_chunks_footprint() bytes), which stays borrowed. */
static inline void mr_chunks_init(struct mr_pool *pool, void *mem, uint32_t count)
{
    mr_pool_init(pool, mem, count, MR_CHUNK_SIZE, MR_CACHE_LINE);
}

#endif /* MR_QUIC_CHUNK_H */
