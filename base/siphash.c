/* base/siphash.c - see siphash.h. */
#include "base/siphash.h"

static void mix(struct mr_siphash_state *s, uint64_t word, int rounds)
{
    s->v3 ^= word;
    for (int i = 0; i < rounds; i++)
        mr_siphash_round(s);
    s->v0 ^= word;
}

/* The last word: the bytes after the whole words, and the length in the top byte. */
static uint64_t last_word(const uint8_t *rest, size_t size)
{
    uint64_t word = (uint64_t)size << 56;

    for (size_t i = 0; i < size % 8; i++)
        word |= (uint64_t)rest[i] << 8 * i;
    return word;
}

static inline uint64_t hash(const struct mr_siphash_key *key, const uint8_t *bytes, size_t size,
                            int rounds, int final_rounds)
{
    struct mr_siphash_state s = mr_siphash_start(key);
    const uint8_t *rest = bytes + size / 8 * 8;

    for (const uint8_t *at = bytes; at < rest; at += 8)
        mix(&s, mr_load_le64(at), rounds);
    mix(&s, last_word(rest, size), rounds);

    s.v2 ^= 0xff;
    for (int i = 0; i < final_rounds; i++)
        mr_siphash_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t mr_siphash13(const struct mr_siphash_key *key, const void *bytes, size_t size)
{
    return hash(key, bytes, size, 1, 3);
}

uint64_t mr_siphash24(const struct mr_siphash_key *key, const void *bytes, size_t size)
{
    return hash(key, bytes, size, 2, 4);
}
