/*
 * base/compiler.h - the few compiler attributes millrace uses, by name.
 *
 * Use each only where a measurement or a disassembly shows that it matters, and
 * say so where it is used.
 */
#ifndef MR_BASE_COMPILER_H
#define MR_BASE_COMPILER_H

/* Keep a rare path out of the hot function that calls it. */
#define MR_COLD __attribute__((noinline, cold))

/* Prefetch helpers must be always inline: gcc 12 takes a call that only prefetches for pure and
 * deletes it. */
#define MR_INLINE             static inline __attribute__((always_inline))

#define MR_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define MR_ALIGNED(n)         __attribute__((aligned(n)))
#define MR_CACHE_LINE         64
#define MR_FALLTHROUGH        __attribute__((fallthrough))
#define MR_UNUSED             __attribute__((unused))

#define MR_MIN(a, b)          ((a) < (b) ? (a) : (b))
#define MR_MAX(a, b)          ((a) > (b) ? (a) : (b))

#define MR_COUNT_OF(array)    (sizeof(array) / sizeof((array)[0]))

/* The struct that holds `member` at `ptr`. */
#define MR_CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#endif /* MR_BASE_COMPILER_H */
