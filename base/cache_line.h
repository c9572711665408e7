/*
 * base/cache_line.h - statements about where cache lines begin, checked by the compiler.
 *
 * What two threads write must not share a cache line, or each write of one takes the line from the
 * other's core.  A struct that several threads know groups its members by who writes them, and says
 * so with these beside it.
 *
 * Owner, threads: none; nothing of it is left at run time.
 */
#ifndef MR_BASE_CACHE_LINE_H
#define MR_BASE_CACHE_LINE_H

#include <stddef.h>

#include "base/compiler.h"

/* `member` begins a cache line. */
#define MR_ASSERT_OWN_LINE(type, member)                                                           \
    _Static_assert(offsetof(type, member) % MR_CACHE_LINE == 0, #member " begins a cache line")

/* Elements of an array of `type` share no cache line. */
#define MR_ASSERT_WHOLE_LINES(type)                                                                \
    _Static_assert(sizeof(type) % MR_CACHE_LINE == 0 && _Alignof(type) >= MR_CACHE_LINE,           \
                   "one's last cache line is not the next one's first")

#endif /* MR_BASE_CACHE_LINE_H */
