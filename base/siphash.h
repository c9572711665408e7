/*
 * base/siphash.h - a keyed hash of short bytes, for tables whose keys a peer chooses.
 *
 * SipHash (Aumasson, Bernstein 2012) with a secret random key: an attacker who does not
 * know it cannot choose connection IDs, addresses or binders that collide.  SipHash-1-3
 * is for hash tables, where only collisions in a table matter; SipHash-2-4 is the
 * original, where the hash itself is seen by others.  Neither replaces a MAC of 128 bits.
 *
 * Owner: none.  Threads: any; the functions are pure.
 */
#ifndef MR_BASE_SIPHASH_H
#define MR_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define MR_SIPHASH_KEY_SIZE 16

struct mr_siphash_key {
    uint64_t k0;
    uint64_t k1;
};

/* The key in MR_SIPHASH_KEY_SIZE random bytes. */
static inline struct mr_siphash_key mr_siphash_key(const uint8_t *bytes)
{
    return (struct mr_siphash_key){.k0 = mr_load_le64(bytes), .k1 = mr_load_le64(bytes + 8)};
}

/* SipHash-1-3 of `size` bytes. */
uint64_t mr_siphash13(const struct mr_siphash_key *key, const void *bytes, size_t size);

/* SipHash-2-4 of `size` bytes. */
uint64_t mr_siphash24(const struct mr_siphash_key *key, const void *bytes, size_t size);

/* The four words that SipHash mixes. */
struct mr_siphash_state {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t mr_siphash_rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static inline struct mr_siphash_state mr_siphash_start(const struct mr_siphash_key *key)
{
    return (struct mr_siphash_state){
        .v0 = key->k0 ^ 0x736f6d6570736575, /* "somepseudorandomlygeneratedbytes" */
        .v1 = key->k1 ^ 0x646f72616e646f6d,
        .v2 = key->k0 ^ 0x6c7967656e657261,
        .v3 = key->k1 ^ 0x7465646279746573,
    };
}

static inline void mr_siphash_round(struct mr_siphash_state *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = mr_siphash_rotate(s->v1, 13) ^ s->v0;
    s->v3 = mr_siphash_rotate(s->v3, 16) ^ s->v2;
    s->v0 = mr_siphash_rotate(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = mr_siphash_rotate(s->v1, 17) ^ s->v2;
    s->v3 = mr_siphash_rotate(s->v3, 21) ^ s->v0;
    s->v2 = mr_siphash_rotate(s->v2, 32);
}

/*
 * SipHash-1-3 of the eight bytes of `word`, lowest first: equal to mr_siphash13() over
 * mr_store_le64(word).  The datapath's case, a connection ID of eight bytes.
 */
static inline uint64_t mr_siphash13_word(const struct mr_siphash_key *key, uint64_t word)
{
    const uint64_t last = (uint64_t)sizeof(word) << 56; /* the length, and no bytes left over */
    struct mr_siphash_state s = mr_siphash_start(key);

    s.v3 ^= word;
    mr_siphash_round(&s);
    s.v0 ^= word;
    s.v3 ^= last;
    mr_siphash_round(&s);
    s.v0 ^= last;
    s.v2 ^= 0xff;
    mr_siphash_round(&s);
    mr_siphash_round(&s);
    mr_siphash_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

#endif /* MR_BASE_SIPHASH_H */
