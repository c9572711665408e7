/*
 * tools/alloc_count.h - how often do polling threads ask for memory, and how much do they hold?
 *
 * malloc() and its kin of this program count the calls of threads that joined.  One
 * of two files is built: with glibc and without a sanitizer the one that counts,
 * else the one that says that nothing is counted.
 *
 * Threads: any.
 */
#ifndef MR_TOOLS_ALLOC_COUNT_H
#define MR_TOOLS_ALLOC_COUNT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* True if this build counts. */
bool mr_alloc_count_is_available(void);

/* Bytes of one thread's allocations that are not freed, what the allocator rounds up included, and
 * the most there were.  Those that another thread frees are not taken off.  Written by the thread,
 * read by any. */
struct mr_alloc_bytes {
    _Atomic int64_t held;
    _Atomic int64_t peak; /* whoever wants a new one stores `held` here */
};

/* The calling thread's allocations are counted from here on, until mr_alloc_count_leave(); their
 * bytes in `bytes`, from 0 on, unless that is NULL. */
void mr_alloc_count_join(struct mr_alloc_bytes *bytes);
void mr_alloc_count_leave(void);

/* Allocations of all threads that joined, so far. */
uint64_t mr_alloc_count(void);

#endif /* MR_TOOLS_ALLOC_COUNT_H */
