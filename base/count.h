/*
 * base/count.h - a counter: a plain word with one writer, that any thread may read meanwhile.
 *
 * Threads: one writes (mr_count(), mr_count_add()), all read (mr_count_value()); relaxed, since no
 * counter orders anything, and the only writer needs no locked addition.
 */
#ifndef MR_BASE_COUNT_H
#define MR_BASE_COUNT_H

#include <stdatomic.h>
#include <stdint.h>

_Static_assert(sizeof(_Atomic uint64_t) == sizeof(uint64_t), "counters are plain words");

static inline uint64_t mr_count_value(const uint64_t *counter)
{
    return atomic_load_explicit((const _Atomic uint64_t *)counter, memory_order_relaxed);
}

static inline void mr_count_add(uint64_t *counter, uint64_t n)
{
    atomic_store_explicit((_Atomic uint64_t *)counter, mr_count_value(counter) + n,
                          memory_order_relaxed);
}

static inline void mr_count(uint64_t *counter)
{
    mr_count_add(counter, 1);
}

#endif /* MR_BASE_COUNT_H */
