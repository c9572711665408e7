/* With registers of 256 or 512 bits, where the CPU has them. */
#include <immintrin.h>

#include "base/copy_ahead.h"

#define WITH_AVX2   __attribute__((target("avx2")))
#define WITH_AVX512 __attribute__((target("avx512f")))

_Static_assert(MR_COPY_BLOCK == 4 * sizeof(__m256i), "four registers");
_Static_assert(MR_CACHE_LINE == sizeof(__m512i), "a line at a time");

MR_INLINE WITH_AVX2 void copy_block(uint8_t *to, const uint8_t *from, const uint8_t *ahead)
{
    const __m256i *source = (const void *)from;
    __m256i *target = (void *)to;
    __m256i a = _mm256_loadu_si256(source);
    __m256i b = _mm256_loadu_si256(source + 1);
    __m256i c = _mm256_loadu_si256(source + 2);
    __m256i d = _mm256_loadu_si256(source + 3);

    __builtin_prefetch(ahead);
    __builtin_prefetch(ahead + MR_CACHE_LINE);
    _mm256_storeu_si256(target, a);
    _mm256_storeu_si256(target + 1, b);
    _mm256_storeu_si256(target + 2, c);
    _mm256_storeu_si256(target + 3, d);
}

WITH_AVX2 static void copy_blocks(uint8_t *to, const uint8_t *from, size_t size,
                                  const uint8_t *ahead)
{
    size_t last = size - MR_COPY_BLOCK;

    for (size_t at = 0; at < last; at += MR_COPY_BLOCK)
        copy_block(to + at, from + at, ahead + at);
    copy_block(to + last, from + last, ahead + last);
}

/*
 * One store for each line of the target, the first and the last aside.  Stores that wait for lines
 * which another core has fill the store buffer, and what is behind them waits for a place in it:
 * half as many stores, half as long.
 */
WITH_AVX512 static void copy_lines(uint8_t *to, const uint8_t *from, size_t size,
                                   const uint8_t *ahead)
{
    size_t last = size - MR_CACHE_LINE;
    size_t at = MR_CACHE_LINE - ((uintptr_t)to & (MR_CACHE_LINE - 1));

    __builtin_prefetch(ahead);
    _mm512_storeu_si512(to, _mm512_loadu_si512(from));
    for (; at < last; at += MR_CACHE_LINE) {
        __m512i line = _mm512_loadu_si512(from + at);

        __builtin_prefetch(ahead + at);
        _mm512_store_si512(to + at, line);
    }
    __builtin_prefetch(ahead + last);
    _mm512_storeu_si512(to + last, _mm512_loadu_si512(from + last));
}

mr_copy_ahead mr_copy_ahead_of(uint32_t bits)
{
    if (bits == 256 && __builtin_cpu_supports("avx2"))
        return copy_blocks;
    /* Older CPUs lower their clock for such registers; those with VAES encrypt with them, too. */
    if (bits == 512 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vbmi2"))
        return copy_lines;
    return NULL;
}
