/* base/checksum.c - long pieces, with the registers that the CPU has. */
#include "base/checksum.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define WITH_AVX2 __attribute__((target("avx2")))

/* Eight words of 32 bits, into four sums of 64 bits. */
WITH_AVX2 static inline __m256i add_eight(__m256i sums, const uint8_t *from)
{
    __m256i words = _mm256_loadu_si256((const __m256i *)(const void *)from);
    __m256i low = _mm256_and_si256(words, _mm256_set1_epi64x(0xffffffff));

    return _mm256_add_epi64(_mm256_add_epi64(sums, low), _mm256_srli_epi64(words, 32));
}

WITH_AVX2 static uint64_t add_wide(uint64_t sum, const uint8_t *from, size_t blocks)
{
    __m256i a = _mm256_setzero_si256();
    __m256i b = _mm256_setzero_si256();
    uint64_t parts[4];

    for (; blocks > 0; blocks--, from += MR_CHECKSUM_BLOCK) {
        a = add_eight(a, from);
        b = add_eight(b, from + MR_CHECKSUM_BLOCK / 2);
    }
    _mm256_storeu_si256((__m256i *)(void *)parts, _mm256_add_epi64(a, b));
    return sum + parts[0] + parts[1] + parts[2] + parts[3];
}
#endif

uint64_t mr_checksum_add_narrow(uint64_t sum, const uint8_t *from, size_t blocks)
{
    for (size_t i = 0; i < blocks * MR_CHECKSUM_BLOCK; i += sizeof(uint32_t)) {
        uint32_t word;

        memcpy(&word, from + i, sizeof(word));
        sum += word;
    }
    return sum;
}

uint64_t mr_checksum_add_blocks(uint64_t sum, const uint8_t *from, size_t blocks)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        return add_wide(sum, from, blocks);
#endif
    return mr_checksum_add_narrow(sum, from, blocks);
}
