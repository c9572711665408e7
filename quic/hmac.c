/*
 * The SHA-256 of OpenSSL's low-level functions on purpose: it works on the stack, a block at a
 * time, and cannot fail; EVP takes longer to begin than to hash.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "quic/hmac.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "base/bytes.h"
#include "base/compiler.h"

static void absorb_sha256(uint32_t state[8], const uint8_t *key, size_t key_size, uint8_t pad)
{
    uint8_t block[SHA256_CBLOCK];
    SHA256_CTX ctx;

    mr_hmac_pad(block, sizeof(block), key, key_size, pad);
    SHA256_Init(&ctx);
    SHA256_Transform(&ctx, block);
    memcpy(state, ctx.h, sizeof(ctx.h));
    OPENSSL_cleanse(block, sizeof(block));
    OPENSSL_cleanse(ctx.h, sizeof(ctx.h));
}

void mr_hmac_key_set(struct mr_hmac_key *key, const uint8_t *bytes, size_t size)
{
    absorb_sha256(key->inner, bytes, size, 0x36);
    absorb_sha256(key->outer, bytes, size, 0x5c);
}

/* The one block that follows the key's: `size` bytes of it are there, and the length of all (FIPS
 * 180-4, Section 5.1.1). */
static void last_block(SHA256_CTX *ctx, uint8_t block[SHA256_CBLOCK], size_t size)
{
    block[size] = 0x80;
    memset(block + size + 1, 0, SHA256_CBLOCK - 2 - size - 1);
    mr_store_be16(block + SHA256_CBLOCK - 2, (uint16_t)((SHA256_CBLOCK + size) * 8));
    SHA256_Transform(ctx, block);
}

/* In words: single bytes would be waited for by the next block's loads. */
static void store_state(const SHA256_CTX *ctx, uint8_t *dst)
{
    for (size_t i = 0; i < MR_COUNT_OF(ctx->h); i++) {
        uint32_t word = mr_load_be32(&ctx->h[i]);

        memcpy(dst + sizeof(word) * i, &word, sizeof(word));
    }
}

void mr_hmac_short(const struct mr_hmac_key *key, const void *bytes, size_t size, uint8_t *dst)
{
    uint8_t block[SHA256_CBLOCK];
    SHA256_CTX ctx;

    MR_ASSERT(size <= MR_HMAC_SHORT);
    memcpy(ctx.h, key->inner, sizeof(ctx.h));
    if (size > 0)
        memcpy(block, bytes, size);
    last_block(&ctx, block, size);
    store_state(&ctx, block);
    memcpy(ctx.h, key->outer, sizeof(ctx.h));
    last_block(&ctx, block, SHA256_DIGEST_LENGTH);
    store_state(&ctx, dst);
    OPENSSL_cleanse(block, SHA256_DIGEST_LENGTH);
    OPENSSL_cleanse(ctx.h, sizeof(ctx.h));
}

void mr_hmac_sha256(const uint8_t *key, size_t key_size, const void *bytes, size_t size,
                    uint8_t *dst)
{
    struct mr_hmac_key absorbed;

    mr_hmac_key_set(&absorbed, key, key_size);
    mr_hmac_short(&absorbed, bytes, size, dst);
    OPENSSL_cleanse(&absorbed, sizeof(absorbed));
}
