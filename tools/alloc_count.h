/*
 * tools/alloc_count.h - how often do polling threads ask for memory?
 *
 * malloc() and its kin of this program count the calls of threads that joined.  One
 * of two files is built: with glibc and without a sanitizer the one that counts,
 * else the one that says that nothing is counted.
 *
 * Threads: any.
 */
#ifndef MR_TOOLS_ALLOC_COUNT_H
#define MR_TOOLS_ALLOC_COUNT_H

#include <stdbool.h>
#include <stdint.h>

/* True if this build counts. */
bool mr_alloc_count_is_available(void);

/* The calling thread's allocations are counted from here on, until mr_alloc_count_leave(). */
void mr_alloc_count_join(void);
void mr_alloc_count_leave(void);

/* Allocations of all threads that joined, so far. */
uint64_t mr_alloc_count(void);

#endif /* MR_TOOLS_ALLOC_COUNT_H */
