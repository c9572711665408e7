/*
 * base/random.h - fast reproducible random numbers: xoshiro256** (Blackman, Vigna 2018).
 *
 * For timers' jitter, grease, packet number skips, load and tests: one seed gives the
 * same numbers everywhere.  NOT for anything a peer must not guess once it has seen
 * some output (keys, tokens, connection IDs): those come from the TLS library.
 *
 * Owner: whoever embeds it, usually a shard.  Threads: the owner's only.
 */
#ifndef MR_BASE_RANDOM_H
#define MR_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"

struct mr_random {
    uint64_t s[4]; /* not all zero */
};

/* Start from 256 random bits.  All zero, which the generator cannot leave, is replaced by a
 * constant. */
static inline void mr_random_init(struct mr_random *random, const uint64_t seed[4])
{
    memcpy(random->s, seed, sizeof(random->s));
    if ((seed[0] | seed[1] | seed[2] | seed[3]) == 0)
        random->s[0] = 0x9e3779b97f4a7c15;
}

/* Start from one number, spread over the state by SplitMix64: for tests and simulations. */
static inline void mr_random_init_number(struct mr_random *random, uint64_t number)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = number += 0x9e3779b97f4a7c15;

        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        random->s[i] = z ^ z >> 31;
    }
}

static inline uint64_t mr_random_rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

/* Any of 2^64 values. */
static inline uint64_t mr_random_u64(struct mr_random *random)
{
    uint64_t *s = random->s;
    uint64_t result = mr_random_rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = mr_random_rotate(s[3], 45);
    return result;
}

/*
 * A number in [0, n), each as likely as the others.  n > 0.
 *
 * Drawn as the high word of a product (Lemire 2019); the few products that would
 * favour some numbers are drawn again, on average less than once.
 */
static inline uint64_t mr_random_below(struct mr_random *random, uint64_t n)
{
    __extension__ typedef unsigned __int128 product;

    MR_DASSERT(n > 0);
    product p = (product)mr_random_u64(random) * n;
    if ((uint64_t)p < n) {
        uint64_t surplus = (0 - n) % n; /* 2^64 mod n */
        while ((uint64_t)p < surplus)
            p = (product)mr_random_u64(random) * n;
    }
    return (uint64_t)(p >> 64);
}

/* Fill `size` bytes. */
static inline void mr_random_fill(struct mr_random *random, void *bytes, size_t size)
{
    uint8_t *to = bytes;

    for (; size >= sizeof(uint64_t); to += sizeof(uint64_t), size -= sizeof(uint64_t)) {
        uint64_t word = mr_random_u64(random);
        memcpy(to, &word, sizeof(word));
    }
    if (size > 0) {
        uint64_t word = mr_random_u64(random);
        memcpy(to, &word, size);
    }
}

#endif /* MR_BASE_RANDOM_H */
