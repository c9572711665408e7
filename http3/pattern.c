/* http3/pattern.c - see pattern.h. */
#include "http3/pattern.h"

#include <string.h>

#define LAP_STEP UINT64_C(0x9e3779b97f4a7c15) /* odd: a lap's addend repeats after 2^64 laps */

void mr_pattern_init(struct mr_pattern *pattern, uint64_t seed)
{
    for (size_t i = 0; i < MR_PATTERN_WORDS; i++) { /* splitmix64 */
        uint64_t z = seed += LAP_STEP;
        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        pattern->word[i] = z ^ z >> 31;
    }
}

static uint64_t word_at(const struct mr_pattern *pattern, uint64_t index)
{
    return pattern->word[index % MR_PATTERN_WORDS] + index / MR_PATTERN_WORDS * LAP_STEP;
}

/* Content of [offset, offset + size) that lies in one word. */
static void part_of_word(const struct mr_pattern *pattern, uint64_t offset, uint8_t *dst,
                         size_t size)
{
    uint64_t word = word_at(pattern, offset / 8);

    memcpy(dst, (const uint8_t *)&word + offset % 8, size);
}

/* Bytes up to the next whole word, at most `size`. */
static size_t head_size(uint64_t offset, size_t size)
{
    size_t head = (size_t)(-offset % 8);

    return head < size ? head : size;
}

/* Whole words from `index` on that belong to one lap, at most `count`. */
static size_t lap_count(uint64_t index, size_t count)
{
    size_t left = MR_PATTERN_WORDS - (size_t)(index % MR_PATTERN_WORDS);

    return left < count ? left : count;
}

void mr_pattern_fill(const struct mr_pattern *pattern, uint64_t offset, uint8_t *dst, size_t size)
{
    size_t head = head_size(offset, size);

    if (head > 0)
        part_of_word(pattern, offset, dst, head);
    for (dst += head, offset += head, size -= head; size >= 8;) {
        size_t count = lap_count(offset / 8, size / 8);
        const uint64_t *table = &pattern->word[offset / 8 % MR_PATTERN_WORDS];
        uint64_t addend = offset / 8 / MR_PATTERN_WORDS * LAP_STEP;

        for (size_t i = 0; i < count; i++) {
            uint64_t word = table[i] + addend;
            memcpy(dst + 8 * i, &word, 8);
        }
        dst += 8 * count;
        offset += 8 * count;
        size -= 8 * count;
    }
    if (size > 0)
        part_of_word(pattern, offset, dst, size);
}

static bool part_matches(const struct mr_pattern *pattern, uint64_t offset, const uint8_t *data,
                         size_t size)
{
    uint8_t expected[8];

    part_of_word(pattern, offset, expected, size);
    return memcmp(expected, data, size) == 0;
}

bool mr_pattern_matches(const struct mr_pattern *pattern, uint64_t offset, const uint8_t *data,
                        size_t size)
{
    size_t head = head_size(offset, size);
    uint64_t difference = 0;

    if (head > 0 && !part_matches(pattern, offset, data, head))
        return false;
    for (data += head, offset += head, size -= head; size >= 8;) {
        size_t count = lap_count(offset / 8, size / 8);
        const uint64_t *table = &pattern->word[offset / 8 % MR_PATTERN_WORDS];
        uint64_t addend = offset / 8 / MR_PATTERN_WORDS * LAP_STEP;

        for (size_t i = 0; i < count; i++) { /* vectorised: no branch in the loop */
            uint64_t word;
            memcpy(&word, data + 8 * i, 8);
            difference |= word ^ (table[i] + addend);
        }
        data += 8 * count;
        offset += 8 * count;
        size -= 8 * count;
    }
    return difference == 0 && (size == 0 || part_matches(pattern, offset, data, size));
}
