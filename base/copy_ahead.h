/*
 * base/copy_ahead.h - copy application data into a packet, and meanwhile ask for what a later
 * packet will copy.
 *
 *     from   |== line ==|== line ==|== line ==| ...        copied to `to`
 *     ahead  |    ..    |    ..    |    ..    | ...        one prefetch per line copied
 *
 * A core has some ten misses under way at once: prefetches of a whole packet's lines in a row fill
 * all places and then wait, one for each line copied does not.  With data out of a cold working set
 * that is a tenth less time for copying alone, and a quarter less with other work between packets.
 * meson picks copy_x86.c on x86-64 and copy_portable.c elsewhere.
 *
 * Threads: any.
 */
#ifndef MR_BASE_COPY_AHEAD_H
#define MR_BASE_COPY_AHEAD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"

#define MR_COPY_BLOCK 128 /* bytes copied at a time; the least that can be */

/* Copy `size` >= MR_COPY_BLOCK bytes, and ask for `size` bytes at `ahead`, which are not read. */
typedef void (*mr_copy_ahead)(uint8_t *to, const uint8_t *from, size_t size, const uint8_t *ahead);

/* The one with registers of `bits`, 256 or 512; NULL: this CPU has none, or does better without. */
mr_copy_ahead mr_copy_ahead_of(uint32_t bits);

/* The one of every CPU.  The last block ends with the last byte, over what is copied already. */
static inline void mr_copy_ahead_narrow(uint8_t *to, const uint8_t *from, size_t size,
                                        const uint8_t *ahead)
{
    size_t last = size - MR_COPY_BLOCK;

    for (size_t at = 0; at < last; at += MR_COPY_BLOCK) {
        __builtin_prefetch(ahead + at);
        __builtin_prefetch(ahead + at + MR_CACHE_LINE);
        memcpy(to + at, from + at, MR_COPY_BLOCK);
    }
    __builtin_prefetch(ahead + last);
    __builtin_prefetch(ahead + last + MR_CACHE_LINE);
    memcpy(to + last, from + last, MR_COPY_BLOCK);
}

/* The fastest one of this CPU. */
static inline mr_copy_ahead mr_copy_ahead_best(void)
{
    for (uint32_t bits = 512; bits >= 256; bits /= 2)
        if (mr_copy_ahead_of(bits) != NULL)
            return mr_copy_ahead_of(bits);
    return mr_copy_ahead_narrow;
}

#endif /* MR_BASE_COPY_AHEAD_H */
