/* With registers of 256 bits, where the CPU has them. */
#include <immintrin.h>

#include "quic/copy_ahead.h"

#define WITH_AVX2 __attribute__((target("avx2")))

_Static_assert(MR_COPY_BLOCK == 4 * sizeof(__m256i), "four registers");

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

WITH_AVX2 static void copy_ahead_wide(uint8_t *to, const uint8_t *from, size_t size,
                                      const uint8_t *ahead)
{
    size_t last = size - MR_COPY_BLOCK;

    for (size_t at = 0; at < last; at += MR_COPY_BLOCK)
        copy_block(to + at, from + at, ahead + at);
    copy_block(to + last, from + last, ahead + last);
}

mr_copy_ahead mr_copy_ahead_best(void)
{
    return __builtin_cpu_supports("avx2") ? copy_ahead_wide : mr_copy_ahead_narrow;
}
