/*
 * tests/unit/stream_pools.h - the pools that stream data lives in, for tests and fuzz targets.
 *
 * One static set per test program, emptied by stream_pools_init().  Hoarding
 * takes objects away, so that a test meets an empty pool whenever it wants to.
 */
#ifndef MR_TESTS_STREAM_POOLS_H
#define MR_TESTS_STREAM_POOLS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/pool.h"
#include "quic/recv_queue.h"
#include "quic/send_queue.h"

enum {
    POOL_NODES_MAX = 1024,
    POOL_BLOCKS_MAX = 64,
    POOL_CHUNKS_MAX = 128
};

/* Objects of a pool that a test keeps from the code under test. */
struct hoard {
    struct mr_pool *pool;
    uint32_t count;
    uint32_t index[POOL_NODES_MAX];
};

static inline void hoard_all_but(struct hoard *hoard, struct mr_pool *pool, uint32_t left)
{
    hoard->pool = pool;
    while (mr_pool_free_count(pool) > left)
        hoard->index[hoard->count++] = mr_pool_get(pool);
}

static inline void hoard_give_back(struct hoard *hoard)
{
    while (hoard->count > 0)
        mr_pool_put(hoard->pool, hoard->index[--hoard->count]);
}

static struct mr_pool segments_pool, ranges_pool, chunks_pool, nodes_pool, blocks_pool;

static const struct mr_send_pools send_pools = {
    .segments = &segments_pool, .ranges = &ranges_pool, .chunks = &chunks_pool};
static struct mr_recv_pools recv_pools;

static inline void stream_pools_init(uint32_t nodes, uint32_t blocks, uint32_t chunks)
{
    static uint8_t segments_mem[POOL_NODES_MAX * 32 + 64];
    static uint8_t ranges_mem[POOL_NODES_MAX * 32 + 64];
    static uint8_t nodes_mem[POOL_NODES_MAX * 32 + 64];
    static uint8_t chunks_mem[POOL_CHUNKS_MAX * MR_CHUNK_SIZE + 64];
    static uint8_t blocks_mem[POOL_BLOCKS_MAX * sizeof(struct mr_compact) + 64];

    mr_pool_init(&segments_pool, segments_mem, nodes, sizeof(struct mr_send_segment), 32);
    mr_pool_init(&ranges_pool, ranges_mem, nodes, sizeof(struct mr_range_node), 8);
    mr_pool_init(&nodes_pool, nodes_mem, nodes, MR_RECV_NODE_SIZE, 32);
    mr_pool_init(&chunks_pool, chunks_mem, chunks, MR_CHUNK_SIZE, 64);
    mr_pool_init(&blocks_pool, blocks_mem, blocks, sizeof(struct mr_compact), 64);
    recv_pools = (struct mr_recv_pools){.nodes = &nodes_pool, .blocks = &blocks_pool};
    (void)send_pools;
}

/* Objects in use, in all pools. */
static inline uint32_t stream_pools_used(void)
{
    return segments_pool.used + ranges_pool.used + chunks_pool.used + nodes_pool.used +
           blocks_pool.used;
}

/* The bytes of a fuzz input, zero behind its end. */
struct input {
    const uint8_t *at;
    size_t left;
};

static inline uint8_t input_u8(struct input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->at++;
}

/* Below `bound`, from one byte if that is enough. */
static inline uint32_t input_below(struct input *in, uint32_t bound)
{
    uint32_t value = input_u8(in);

    if (bound > 256)
        value = value << 8 | input_u8(in);
    return value % bound;
}

/* The byte that a stream carries at `offset`. */
static inline uint8_t stream_byte(uint64_t offset)
{
    return (uint8_t)(offset * 167 + offset / 251);
}

#endif /* MR_TESTS_STREAM_POOLS_H */
