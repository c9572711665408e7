/*
 * base/spsc.h - a bounded queue of 64-bit words between exactly two threads.
 *
 *      head             tail
 *        v                v
 *     [ | x | x | x | x |   |   |   ]        head, tail: count up for ever, slot = index & mask
 *        consumer takes     producer adds
 *
 * One thread pushes, one other pops; neither waits.  Each side keeps the other's index
 * as it last saw it and reads the real one only when that does not suffice, so that a
 * burst costs at most one cache line of the other side's.
 *
 * Owner: whoever made it; the words are theirs to interpret (indexes, pointers).
 * Threads: mr_spsc_push*(), mr_spsc_room(): the producer.  mr_spsc_pop*(),
 * mr_spsc_count(): the consumer.  mr_spsc_init(), mr_spsc_check(): while no other uses it.
 * Limit: `capacity` words; a push takes what fits, the rest is the caller's to keep or count.
 */
#ifndef MR_BASE_SPSC_H
#define MR_BASE_SPSC_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "base/crossing.h"

#define MR_SPSC_CAPACITY_MAX (UINT32_C(1) << 30)

struct mr_spsc {
    /* read-mostly */
    uint64_t *slots MR_ALIGNED(MR_CACHE_LINE);
    uint32_t mask; /* capacity - 1 */

    /* written by the producer */
    _Atomic uint32_t tail MR_ALIGNED(MR_CACHE_LINE);
    uint32_t head_seen; /* head, as the producer last read it */

    /* written by the consumer */
    _Atomic uint32_t head MR_ALIGNED(MR_CACHE_LINE);
    uint32_t tail_seen; /* tail, as the consumer last read it */
};

_Static_assert(offsetof(struct mr_spsc, tail) == MR_CACHE_LINE,
               "the producer writes a line of its own");
_Static_assert(offsetof(struct mr_spsc, head) == 2 * MR_CACHE_LINE,
               "the consumer writes a line of its own");
_Static_assert(sizeof(struct mr_spsc) == 3 * MR_CACHE_LINE,
               "and the next object shares none of them");
_Static_assert(sizeof(void *) == sizeof(uint64_t), "pointers are passed as words");

/* Bytes that mr_spsc_init() needs for `capacity` words. */
static inline size_t mr_spsc_footprint(uint32_t capacity)
{
    return (size_t)capacity * sizeof(uint64_t);
}

/*
 * Make it empty.  `capacity` is a power of two, at most MR_SPSC_CAPACITY_MAX; `mem` has
 * mr_spsc_footprint() bytes, aligned to 8 (to a cache line is better), and stays borrowed.
 */
static inline void mr_spsc_init(struct mr_spsc *ring, void *mem, uint32_t capacity)
{
    MR_ASSERT(capacity > 0 && capacity <= MR_SPSC_CAPACITY_MAX);
    MR_ASSERT((capacity & (capacity - 1)) == 0);
    MR_ASSERT(((uintptr_t)mem & (sizeof(uint64_t) - 1)) == 0);

    ring->slots = mem;
    ring->mask = capacity - 1;
    ring->head_seen = 0;
    ring->tail_seen = 0;
    atomic_init(&ring->tail, 0);
    atomic_init(&ring->head, 0);
}

/* The producer: how many of `wanted` words fit now, at most `wanted`. */
static inline uint32_t mr_spsc_room(struct mr_spsc *ring, uint32_t wanted)
{
    /* relaxed: only the producer writes tail */
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint32_t room = ring->mask + 1 - (tail - ring->head_seen);

    if (room < wanted) {
        /* acquire: pairs with the release in mr_spsc_pop; the consumer has copied what it freed */
        ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
        MR_CROSSING(ring_looks, 1);
        room = ring->mask + 1 - (tail - ring->head_seen);
    }
    return MR_MIN(room, wanted);
}

/* The consumer: how many of `wanted` words are there now, at most `wanted`. */
static inline uint32_t mr_spsc_count(struct mr_spsc *ring, uint32_t wanted)
{
    /* relaxed: only the consumer writes head */
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint32_t count = ring->tail_seen - head;

    if (count < wanted) {
        /* acquire: pairs with the release in mr_spsc_push; the producer has written what it added
         */
        ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
        MR_CROSSING(ring_looks, 1);
        count = ring->tail_seen - head;
    }
    return MR_MIN(count, wanted);
}

/*
 * The producer: add the first words of words[0..n), as many as fit, in order.
 * Returns how many; what the caller wrote before is visible to the consumer of a word.
 */
static inline uint32_t mr_spsc_push(struct mr_spsc *ring, const uint64_t *words, uint32_t n)
{
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint32_t pushed = mr_spsc_room(ring, n);
    uint32_t at = tail & ring->mask;
    uint32_t before_wrap = MR_MIN(pushed, ring->mask + 1 - at);

    if (pushed == 0)
        return 0;
    MR_CROSSING(ring_words, pushed);
    memcpy(&ring->slots[at], words, before_wrap * sizeof(*words));
    memcpy(ring->slots, words + before_wrap, (pushed - before_wrap) * sizeof(*words));
    /* release: pairs with the acquire in mr_spsc_count */
    atomic_store_explicit(&ring->tail, tail + pushed, memory_order_release);
    return pushed;
}

/*
 * The consumer: take the oldest words into words[0..room), as many as there are.
 * Returns how many.
 */
static inline uint32_t mr_spsc_pop(struct mr_spsc *ring, uint64_t *words, uint32_t room)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint32_t popped = mr_spsc_count(ring, room);
    uint32_t at = head & ring->mask;
    uint32_t before_wrap = MR_MIN(popped, ring->mask + 1 - at);

    if (popped == 0)
        return 0;
    MR_CROSSING(ring_words, popped);
    memcpy(words, &ring->slots[at], before_wrap * sizeof(*words));
    memcpy(words + before_wrap, ring->slots, (popped - before_wrap) * sizeof(*words));
    /* release: pairs with the acquire in mr_spsc_room; the producer may overwrite the slots now */
    atomic_store_explicit(&ring->head, head + popped, memory_order_release);
    return popped;
}

/* mr_spsc_push() of pointers. */
static inline uint32_t mr_spsc_push_pointers(struct mr_spsc *ring, void *const *pointers,
                                             uint32_t n)
{
    return mr_spsc_push(ring, (const uint64_t *)(const void *)pointers, n);
}

/* mr_spsc_pop() of pointers. */
static inline uint32_t mr_spsc_pop_pointers(struct mr_spsc *ring, void **pointers, uint32_t room)
{
    return mr_spsc_pop(ring, (uint64_t *)(void *)pointers, room);
}

/* Panic if an index is where it cannot be. */
static inline void mr_spsc_check(const struct mr_spsc *ring)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

    MR_ASSERT((ring->mask & (ring->mask + 1)) == 0);
    MR_ASSERT(tail - head <= ring->mask + 1);
    MR_ASSERT(head - ring->head_seen <= ring->mask + 1); /* seen indexes lag behind */
    MR_ASSERT(tail - ring->tail_seen <= ring->mask + 1);
    MR_ASSERT(tail - ring->head_seen <= ring->mask + 1);
    MR_ASSERT((int32_t)(ring->tail_seen - head) >= 0);
}

#endif /* MR_BASE_SPSC_H */
