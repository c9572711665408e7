/*
 * fuzz/fuzz_pack.c - property test of quic/pack.h.
 *
 * The input is a base and an image that differs from it here and there, in few or all bytes of a
 * word; then the same bytes as something that was never packed.  Properties:
 *   1. what is packed comes back as it was;
 *   2. it takes no more than bitmap, half bytes and the bytes of each word that differs;
 *   3. in one byte less it is not packed, and nothing is written beyond the room;
 *   4. of whatever bytes: an image, or none; one that comes back packs into no more bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "quic/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    WORDS_MAX = MR_PACK_WORDS_MAX,
    STEP = 4,
    ROOM = WORDS_MAX / 8 + WORDS_MAX / 2 + WORDS_MAX * 8
};

static uint64_t base[WORDS_MAX];
static uint64_t image[WORDS_MAX];
static uint64_t back[WORDS_MAX];

static uint32_t read_words(const uint8_t *data, size_t size)
{
    uint32_t words = size == 0 ? 0 : (uint32_t)data[0] * 2 + 1;

    for (uint32_t i = 0; i < WORDS_MAX; i++)
        base[i] = size < 2 ? 0 : (uint64_t)data[1] * (i % 5) * UINT64_C(0x0101010101010101);
    memcpy(image, base, sizeof(image));
    for (size_t at = 2; at + STEP <= size; at += STEP) {
        uint64_t number = (uint64_t)data[at + 1] << 8 | data[at + 2];
        image[data[at] * 2u + (data[at + 3] & 1)] ^= number << data[at + 3] / 5;
    }
    return words;
}

static uint32_t differing(uint32_t words)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < words; i++)
        count += image[i] != base[i];
    return count;
}

/* In memory of just that room, so that whoever writes beyond is seen. */
static size_t pack_in(uint32_t words, size_t room, uint8_t **out)
{
    *out = malloc(room == 0 ? 1 : room);
    return mr_pack(image, base, words, *out, room);
}

static void check_image(uint32_t words)
{
    uint32_t count = differing(words);
    uint8_t *packed;
    uint8_t *less;
    size_t size = pack_in(words, ROOM, &packed);

    MR_ASSERT(size >= (words + 63) / 64 * 8);
    MR_ASSERT(size <= (words + 63) / 64 * 8 + (count + 1) / 2 + (size_t)count * 8);
    memset(back, 0x77, sizeof(back));
    MR_ASSERT(mr_unpack(back, base, words, packed, size));
    MR_ASSERT(memcmp(back, image, (size_t)words * 8) == 0);
    MR_ASSERT(pack_in(words, size - 1, &less) == 0);
    free(less);
    MR_ASSERT(pack_in(words, size, &less) == size);
    MR_ASSERT(memcmp(less, packed, size) == 0);
    free(less);
    free(packed);
}

static void check_anything(uint32_t words, const uint8_t *data, size_t size)
{
    uint8_t *packed = malloc(size == 0 ? 1 : size);
    uint8_t *again;

    if (size > 0)
        memcpy(packed, data, size);
    if (mr_unpack(image, base, words, packed, size)) {
        size_t now = pack_in(words, size, &again);
        MR_ASSERT(now > 0 && now <= size);
        MR_ASSERT(mr_unpack(back, base, words, again, now));
        MR_ASSERT(memcmp(back, image, (size_t)words * 8) == 0);
        free(again);
    }
    free(packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t words = read_words(data, size);

    if (words == 0)
        return 0;
    check_image(words);
    check_anything(words, data + 1, size - 1);
    return 0;
}
