/* quic/pack.c - see pack.h. */
#include "quic/pack.h"

#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"

enum {
    WORD = 8,
    GROUP = 64, /* words with a word of the bitmap */
    GROUPS_MAX = MR_PACK_WORDS_MAX / GROUP
};

static uint32_t group_count(uint32_t words)
{
    return (words + GROUP - 1) / GROUP;
}

static uint64_t read_word(const void *from)
{
    uint64_t word;

    memcpy(&word, from, sizeof(word));
    return word;
}

/* A number as it lies in memory with its low bytes first, and back. */
static uint64_t low_first(uint64_t number)
{
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? number : __builtin_bswap64(number);
}

static uint64_t word_at(const void *image, size_t i)
{
    return read_word((const uint8_t *)image + i * WORD);
}

/* Low bytes of a number that is not 0, up to the last that is not 0. */
static uint32_t length_of(uint64_t number)
{
    return WORD - (uint32_t)__builtin_clzll(number) / 8;
}

/* Which words differ: their bits.  How many. */
static uint32_t compare(const void *image, const void *base, uint32_t words,
                        uint64_t bitmap[GROUPS_MAX])
{
    uint32_t count = 0;

    for (uint32_t begin = 0; begin < words; begin += GROUP) {
        uint32_t end = MR_MIN(words - begin, (uint32_t)GROUP);
        uint64_t bits = 0;

        for (uint32_t i = 0; i < end; i++)
            bits |= (uint64_t)(word_at(image, begin + i) != word_at(base, begin + i)) << i;
        bitmap[begin / GROUP] = bits;
        count += (uint32_t)__builtin_popcountll(bits);
    }
    return count;
}

/* The low `length` bytes; what follows them, of `room` in all, is written to, too. */
static void write_low(uint8_t *to, size_t room, uint64_t number, uint32_t length)
{
    uint64_t word = low_first(number);

    memcpy(to, &word, room >= WORD ? WORD : length);
}

size_t mr_pack(const void *image, const void *base, uint32_t words, uint8_t *out, size_t room)
{
    uint64_t bitmap[GROUPS_MAX];
    size_t lengths = (size_t)group_count(words) * WORD;
    uint32_t number = 0;

    MR_ASSERT(words <= MR_PACK_WORDS_MAX);
    uint32_t count = compare(image, base, words, bitmap);
    size_t at = lengths + (count + 1) / 2;
    if (room < at)
        return 0;

    memset(out + lengths, 0, at - lengths);
    for (uint32_t group = 0; group < group_count(words); group++) {
        uint64_t bits = low_first(bitmap[group]);

        memcpy(out + (size_t)group * WORD, &bits, WORD);
        for (bits = bitmap[group]; bits != 0; bits &= bits - 1) {
            size_t i = (size_t)group * GROUP + (size_t)__builtin_ctzll(bits);
            uint64_t difference = word_at(image, i) ^ word_at(base, i);
            uint32_t length = length_of(difference);

            if (room - at < length)
                return 0;
            out[lengths + number / 2] |= (uint8_t)((length - 1) << number % 2 * 4);
            number++;
            write_low(out + at, room - at, difference, length);
            at += length;
        }
    }
    return at;
}

/* The first `length` of the bytes at `from`, of which there are `left`. */
static uint64_t read_low(const uint8_t *from, size_t left, uint32_t length)
{
    uint64_t word = 0;

    if (left >= WORD)
        return low_first(read_word(from)) & UINT64_MAX >> (WORD - length) * 8;
    memcpy(&word, from, length);
    return low_first(word);
}

bool mr_unpack(void *image_out, const void *base, uint32_t words, const uint8_t *packed,
               size_t size)
{
    size_t lengths = (size_t)group_count(words) * WORD;
    uint32_t count = 0;
    uint32_t number = 0;

    MR_ASSERT(words <= MR_PACK_WORDS_MAX);
    if (size < lengths)
        return false;
    for (uint32_t group = 0; group < group_count(words); group++)
        count += (uint32_t)__builtin_popcountll(word_at(packed, group));
    size_t at = lengths + (count + 1) / 2;
    if (size < at)
        return false;

    memcpy(image_out, base, (size_t)words * WORD);
    for (uint32_t group = 0; group < group_count(words); group++) {
        for (uint64_t bits = low_first(word_at(packed, group)); bits != 0; bits &= bits - 1) {
            size_t i = (size_t)group * GROUP + (size_t)__builtin_ctzll(bits);
            uint32_t length = ((uint32_t)packed[lengths + number / 2] >> number % 2 * 4 & 0xf) + 1;

            number++;
            if (i >= words || length > WORD || size - at < length)
                return false;
            uint64_t word = word_at(image_out, i) ^ read_low(packed + at, size - at, length);
            memcpy((uint8_t *)image_out + i * WORD, &word, sizeof(word));
            at += length;
        }
    }
    return at == size;
}
