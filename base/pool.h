/*
 * base/pool.h - fixed number of equal objects, taken and given back by index.
 *
 * All memory is given at start; the free objects form a LIFO list through their
 * own first four bytes, so that the warmest object is used next.  Objects refer
 * to each other by index (32 bits, no pointer to relocate when state moves).
 *
 * Owner: one shard.  Threads: the owner's only.
 * Limit: `count` objects; an empty pool answers MR_NONE, which is the caller's
 * to count and to handle.
 */
#ifndef MR_BASE_POOL_H
#define MR_BASE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"

#define MR_NONE UINT32_MAX /* no object */

struct mr_pool {
    uint8_t *objects;
    uint32_t stride;    /* bytes from one object to the next */
    uint32_t count;     /* objects in all */
    uint32_t free_head; /* MR_NONE: the list is empty */
    uint32_t fresh;     /* objects from here on were never used: start-up touches no memory */
    uint32_t used;
    uint32_t used_peak;
};

/* Bytes that mr_pool_init() needs for `count` objects of `size` bytes, aligned to `align` (a power
 * of two <= 4096). */
static inline size_t mr_pool_footprint(uint32_t count, size_t size, size_t align)
{
    size_t stride = (size + align - 1) & ~(align - 1);

    return stride * count + align - 1;
}

/* Lay `count` objects out in `mem` (mr_pool_footprint() bytes), which stays borrowed. */
static inline void mr_pool_init(struct mr_pool *pool, void *mem, uint32_t count, size_t size,
                                size_t align)
{
    MR_ASSERT(size >= sizeof(uint32_t));
    MR_ASSERT(count < MR_NONE);

    *pool = (struct mr_pool){
        .objects = (uint8_t *)(((uintptr_t)mem + align - 1) & ~(uintptr_t)(align - 1)),
        .stride = (uint32_t)((size + align - 1) & ~(align - 1)),
        .count = count,
        .free_head = MR_NONE,
    };
}

/* The object at `index`.  `index` must have come from mr_pool_get(). */
static inline void *mr_pool_at(const struct mr_pool *pool, uint32_t index)
{
    MR_DASSERT(index < pool->fresh);
    return pool->objects + (size_t)index * pool->stride;
}

static inline uint32_t mr_pool_index(const struct mr_pool *pool, const void *object)
{
    return (uint32_t)((size_t)((const uint8_t *)object - pool->objects) / pool->stride);
}

static inline uint32_t mr_pool_free_count(const struct mr_pool *pool)
{
    return pool->count - pool->used;
}

/* Take an object; its bytes are undefined.  MR_NONE if the pool is empty. */
static inline uint32_t mr_pool_get(struct mr_pool *pool)
{
    uint32_t index = pool->free_head;

    if (index != MR_NONE)
        memcpy(&pool->free_head, mr_pool_at(pool, index), sizeof(pool->free_head));
    else if (pool->fresh < pool->count)
        index = pool->fresh++;
    else
        return MR_NONE;

    pool->used++;
    if (pool->used > pool->used_peak)
        pool->used_peak = pool->used;
    return index;
}

/* Give the object at `index` back. */
static inline void mr_pool_put(struct mr_pool *pool, uint32_t index)
{
    MR_DASSERT(pool->used > 0);
    memcpy(mr_pool_at(pool, index), &pool->free_head, sizeof(pool->free_head));
    pool->free_head = index;
    pool->used--;
}

/* Panic if the free list is broken, or objects are neither used nor free.  O(count). */
static inline void mr_pool_check(const struct mr_pool *pool)
{
    uint32_t free_count = 0;

    MR_ASSERT(pool->fresh <= pool->count);
    MR_ASSERT(pool->used <= pool->fresh);
    MR_ASSERT(pool->used <= pool->used_peak);
    MR_ASSERT(pool->used_peak <= pool->fresh);
    for (uint32_t index = pool->free_head; index != MR_NONE; free_count++) {
        MR_ASSERT(index < pool->fresh);
        MR_ASSERT(free_count < pool->fresh); /* else the list is a circle */
        memcpy(&index, pool->objects + (size_t)index * pool->stride, sizeof(index));
    }
    MR_ASSERT(free_count == pool->fresh - pool->used);
}

#endif /* MR_BASE_POOL_H */
