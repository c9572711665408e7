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

/* Is the code instrumented by the address or the thread sanitizer?  1 or 0, for `if`. */
#ifdef __has_feature
#define MR_HAS_FEATURE(name) __has_feature(name)
#else
#define MR_HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || MR_HAS_FEATURE(address_sanitizer)
#define MR_ASAN 1
#else
#define MR_ASAN 0
#endif
#if defined(__SANITIZE_THREAD__) || MR_HAS_FEATURE(thread_sanitizer)
#define MR_TSAN 1
#else
#define MR_TSAN 0
#endif

/* Code that only looks at invariants: a fuzzer that counted its branches would keep inputs for
 * them, and a third of its time went into counting those of mr_wheel_check(). */
#if MR_HAS_FEATURE(coverage_sanitizer)
#define MR_UNCOUNTED __attribute__((no_sanitize("coverage")))
#else
#define MR_UNCOUNTED
#endif

/* Between two looks at memory that another core is about to write: who looks without a pause keeps
 * taking the line from the one who wants to write it. */
#if defined(__x86_64__)
#define MR_PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define MR_PAUSE() __asm__ volatile("yield")
#else
#define MR_PAUSE() ((void)0)
#endif

/* Fetch a cache line that is to be written, away from the core that has it.  gcc's builtin emits
 * this instruction only where -mprfchw says so; on an x86-64 without it, it does nothing. */
#if defined(__x86_64__)
#define MR_PREFETCH_WRITE(p) __asm__ volatile("prefetchw %0" : : "m"(*(const char *)(p)))
#else
#define MR_PREFETCH_WRITE(p) __builtin_prefetch(p, 1)
#endif

#define MR_MIN(a, b)       ((a) < (b) ? (a) : (b))
#define MR_MAX(a, b)       ((a) > (b) ? (a) : (b))

#define MR_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* The struct that holds `member` at `ptr`. */
#define MR_CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#endif /* MR_BASE_COMPILER_H */
