/*
 * quic/hmac.h - HMAC-SHA-256 of short messages, under keys that are absorbed once (RFC 2104): key
 * derivation and reset tokens take dozens for each handshake.
 *
 *     key --> two states of SHA-256 --message, one block--> inner --one block--> 32 bytes
 *
 * Owner: the caller; keys are values.  Threads: any.  Limit: MR_HMAC_SHORT bytes.
 */
#ifndef MR_QUIC_HMAC_H
#define MR_QUIC_HMAC_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"

#define MR_HMAC_SHORT 55 /* bytes of a message that fits into one block, with its length */

/* A key of HMAC-SHA-256, absorbed.  A secret: its owner wipes it. */
struct mr_hmac_key {
    uint32_t inner[8];
    uint32_t outer[8];
};

/* Absorb a key of at most 64 bytes. */
void mr_hmac_key_set(struct mr_hmac_key *key, const uint8_t *bytes, size_t size);

/* HMAC-SHA-256 of at most MR_HMAC_SHORT bytes: 32 bytes at `dst`, which may be `bytes`.  Two blocks
 * of SHA-256; allocates nothing, cannot fail. */
void mr_hmac_short(const struct mr_hmac_key *key, const void *bytes, size_t size, uint8_t *dst);

/* Both, for a key that is used once. */
void mr_hmac_sha256(const uint8_t *key, size_t key_size, const void *bytes, size_t size,
                    uint8_t *dst);

/* The key's block, XORed with `pad` (RFC 2104, Section 2). */
static inline void mr_hmac_pad(uint8_t *block, size_t block_size, const uint8_t *key,
                               size_t key_size, uint8_t pad)
{
    MR_ASSERT(key_size <= block_size);
    memset(block, pad, block_size);
    for (size_t i = 0; i < key_size; i++)
        block[i] ^= key[i];
}

#endif /* MR_QUIC_HMAC_H */
