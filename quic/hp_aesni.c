#include "quic/hp_aesni.h"

#include <cpuid.h>
#include <immintrin.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"

#define VAES_BIT (1u << 9) /* leaf 7, ECX */
#define WITH_AES __attribute__((target("aes,sse4.1")))
#define WIDTH    8 /* lanes in flight: covers the latency of aesenc on every core since 2010 */

bool mr_hp_aesni_is_available(void)
{
    return __builtin_cpu_supports("aes") && __builtin_cpu_supports("sse4.1");
}

bool mr_hp_aesni_is_wide(void)
{
    unsigned a;
    unsigned b;
    unsigned c;
    unsigned d;

    return __get_cpuid_count(7, 0, &a, &b, &c, &d) == 1 && (c & VAES_BIT) != 0;
}

/* ------------------------------------------------------------------ key schedule, FIPS 197,
 * Section 5.2 */

/* XOR each word with all words below it: w0, w0^w1, w0^w1^w2, ... */
WITH_AES static inline __m128i smear(__m128i words)
{
    words = _mm_xor_si128(words, _mm_slli_si128(words, 4));
    words = _mm_xor_si128(words, _mm_slli_si128(words, 4));
    return _mm_xor_si128(words, _mm_slli_si128(words, 4));
}

/* The instruction takes its round constant as an immediate: one switch for both key sizes. */
WITH_AES static __m128i assist(__m128i words, uint32_t round)
{
    switch (round) {
    case 1:
        return _mm_aeskeygenassist_si128(words, 0x01);
    case 2:
        return _mm_aeskeygenassist_si128(words, 0x02);
    case 3:
        return _mm_aeskeygenassist_si128(words, 0x04);
    case 4:
        return _mm_aeskeygenassist_si128(words, 0x08);
    case 5:
        return _mm_aeskeygenassist_si128(words, 0x10);
    case 6:
        return _mm_aeskeygenassist_si128(words, 0x20);
    case 7:
        return _mm_aeskeygenassist_si128(words, 0x40);
    case 8:
        return _mm_aeskeygenassist_si128(words, 0x80);
    case 9:
        return _mm_aeskeygenassist_si128(words, 0x1b);
    default:
        return _mm_aeskeygenassist_si128(words, 0x36);
    }
}

WITH_AES static void expand_128(__m128i *keys)
{
    for (uint32_t round = 1; round <= 10; round++) {
        __m128i last = keys[round - 1];
        __m128i word = _mm_shuffle_epi32(assist(last, round), 0xff); /* RotWord, SubWord, Rcon */

        keys[round] = _mm_xor_si128(smear(last), word);
    }
}

WITH_AES static void expand_256(__m128i *keys)
{
    for (uint32_t i = 2; i < 15; i++) {
        bool is_even = i % 2 == 0;
        __m128i assisted = assist(keys[i - 1], i / 2);
        __m128i word = is_even ? _mm_shuffle_epi32(assisted, 0xff)  /* RotWord, SubWord, Rcon */
                               : _mm_shuffle_epi32(assisted, 0xaa); /* SubWord alone */

        keys[i] = _mm_xor_si128(smear(keys[i - 2]), word);
    }
}

WITH_AES void mr_hp_aesni_expand(uint8_t *schedule, const uint8_t *key, size_t key_size)
{
    MR_ASSERT(key_size == 16 || key_size == 32);
    memcpy(schedule, key, key_size);
    if (key_size == 16)
        expand_128((__m128i *)(void *)schedule);
    else
        expand_256((__m128i *)(void *)schedule);
}

/* ------------------------------------------------------------------ masks */

MR_INLINE WITH_AES __m128i round_key(const struct mr_hp_lane *lane, uint32_t round)
{
    return _mm_load_si128((const __m128i *)(const void *)lane->schedule + round);
}

/* `width` is a constant in every call, so that the blocks live in registers. */
MR_INLINE WITH_AES void encrypt(const struct mr_hp_lane *lanes, uint32_t width)
{
    uint32_t rounds = lanes[0].rounds;
    __m128i block[WIDTH];

    for (uint32_t i = 0; i < width; i++)
        block[i] = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(const void *)lanes[i].sample),
                                 round_key(&lanes[i], 0));
    for (uint32_t round = 1; round < rounds; round++)
        for (uint32_t i = 0; i < width; i++)
            block[i] = _mm_aesenc_si128(block[i], round_key(&lanes[i], round));
    for (uint32_t i = 0; i < width; i++)
        _mm_storeu_si128((__m128i *)(void *)lanes[i].mask,
                         _mm_aesenclast_si128(block[i], round_key(&lanes[i], rounds)));
}

/* True if the first `count` lanes have one key size. */
static bool is_uniform(const struct mr_hp_lane *lanes, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        if (lanes[i].rounds != lanes[0].rounds)
            return false;
    return true;
}

WITH_AES void mr_hp_aesni_masks(const struct mr_hp_lane *lanes, uint32_t count)
{
    while (count >= WIDTH && is_uniform(lanes, WIDTH)) {
        encrypt(lanes, WIDTH);
        lanes += WIDTH;
        count -= WIDTH;
    }
    while (count >= WIDTH / 2 && is_uniform(lanes, WIDTH / 2)) {
        encrypt(lanes, WIDTH / 2);
        lanes += WIDTH / 2;
        count -= WIDTH / 2;
    }
    for (uint32_t i = 0; i < count; i++)
        encrypt(&lanes[i], 1);
}
