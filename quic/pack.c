/* quic/pack.c - see pack.h. */
#include "quic/pack.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/compiler.h"

enum {
    WORD = 8,
    BITMAP_WORDS_MAX = MR_PACK_WORDS_MAX / 64
};

static size_t bitmap_bytes(uint32_t words)
{
    return ((size_t)words + 63) / 64 * WORD;
}

static uint64_t word_at(const void *image, uint32_t i)
{
    return mr_load_le64((const uint8_t *)image + (size_t)i * WORD);
}

/* Low bytes of a number that is not 0, up to the last that is not 0. */
static uint32_t length_of(uint64_t number)
{
    return WORD - (uint32_t)__builtin_clzll(number) / 8;
}

/* Which words differ: their bits.  How many. */
static uint32_t compare(const void *image, const void *base, uint32_t words,
                        uint64_t bitmap[BITMAP_WORDS_MAX])
{
    uint32_t count = 0;

    memset(bitmap, 0, bitmap_bytes(words));
    for (uint32_t i = 0; i < words; i++) {
        uint64_t differs = word_at(image, i) != word_at(base, i);

        bitmap[i / 64] |= differs << i % 64;
        count += (uint32_t)differs;
    }
    return count;
}

/* The low `length` bytes; what follows them, of `room` in all, is written to, too. */
static void write_low(uint8_t *to, size_t room, uint64_t number, uint32_t length)
{
    if (room >= WORD) {
        mr_store_le64(to, number);
        return;
    }
    for (uint32_t byte = 0; byte < length; byte++)
        to[byte] = (uint8_t)(number >> byte * 8);
}

size_t mr_pack(const void *image, const void *base, uint32_t words, uint8_t *out, size_t room)
{
    uint64_t bitmap[BITMAP_WORDS_MAX];

    MR_ASSERT(words <= MR_PACK_WORDS_MAX);
    uint32_t count = compare(image, base, words, bitmap);
    size_t lengths = bitmap_bytes(words);
    size_t at = lengths + (count + 1) / 2;
    if (room < at)
        return 0;

    for (uint32_t i = 0; i < lengths / WORD; i++)
        mr_store_le64(out + (size_t)i * WORD, bitmap[i]);
    memset(out + lengths, 0, at - lengths);
    uint32_t number = 0;
    for (uint32_t i = 0; i < words; i++) {
        uint64_t difference = word_at(image, i) ^ word_at(base, i);
        if (difference == 0)
            continue;

        uint32_t length = length_of(difference);
        if (room - at < length)
            return 0;
        out[lengths + number / 2] |= (uint8_t)((length - 1) << number % 2 * 4);
        number++;
        write_low(out + at, room - at, difference, length);
        at += length;
    }
    return at;
}

/* The first `length` of the bytes at `from`, of which there are `left`. */
static uint64_t read_low(const uint8_t *from, size_t left, uint32_t length)
{
    if (left >= WORD)
        return mr_load_le64(from) & UINT64_MAX >> (WORD - length) * 8;

    uint64_t number = 0;
    for (uint32_t byte = 0; byte < length; byte++)
        number |= (uint64_t)from[byte] << byte * 8;
    return number;
}

bool mr_unpack(void *image_out, const void *base, uint32_t words, const uint8_t *packed,
               size_t size)
{
    size_t lengths = bitmap_bytes(words);
    uint32_t count = 0;
    uint32_t number = 0;

    MR_ASSERT(words <= MR_PACK_WORDS_MAX);
    if (size < lengths)
        return false;
    for (size_t i = 0; i < lengths; i += WORD)
        count += (uint32_t)__builtin_popcountll(mr_load_le64(packed + i));
    size_t at = lengths + (count + 1) / 2;
    if (size < at)
        return false;

    memcpy(image_out, base, (size_t)words * WORD);
    for (size_t group = 0; group < lengths; group += WORD) {
        for (uint64_t bits = mr_load_le64(packed + group); bits != 0; bits &= bits - 1) {
            size_t i = group * 8 + (size_t)__builtin_ctzll(bits);
            uint32_t length = (packed[lengths + number / 2] >> number % 2 * 4 & 0xfu) + 1;

            number++;
            if (i >= words || length > WORD || size - at < length)
                return false;
            uint8_t *word = (uint8_t *)image_out + i * WORD;
            mr_store_le64(word, mr_load_le64(word) ^ read_low(packed + at, size - at, length));
            at += length;
        }
    }
    return at == size;
}
