/*
 * The SHA functions below are OpenSSL's low-level ones on purpose: they work on the stack, cannot
 * fail, and a Server Hello's worth of Initial keys takes 1.5 us instead of 8.7 with EVP_KDF.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "quic/keys.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "base/assert.h"

#define INFO_MAX MR_HMAC_SHORT /* bytes of an HkdfLabel, plus the counter */

/* What a version changes in key derivation: RFC 9001, Section 5; RFC 9369, Section 3.3. */
struct version_labels {
    uint8_t salt[20];
    const char *key;
    const char *iv;
    const char *hp;
    const char *ku;
};

static const struct version_labels version_1 = {
    .salt = {0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17,
             0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a},
    .key = "quic key",
    .iv = "quic iv",
    .hp = "quic hp",
    .ku = "quic ku",
};

static const struct version_labels version_2 = {
    .salt = {0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93,
             0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9},
    .key = "quicv2 key",
    .iv = "quicv2 iv",
    .hp = "quicv2 hp",
    .ku = "quicv2 ku",
};

/* A key, absorbed: HMAC resumes from here for every message. */
struct hmac {
    size_t size; /* of the digest: 32 or 48 */
    union {
        struct mr_hmac_key sha256;
        struct {
            SHA512_CTX inner;
            SHA512_CTX outer;
        } sha384;
    } state;
};

/* ------------------------------------------------------------------ HMAC */

static void absorb_sha384(SHA512_CTX *ctx, const uint8_t *key, size_t key_size, uint8_t pad)
{
    uint8_t block[SHA512_CBLOCK];

    mr_hmac_pad(block, sizeof(block), key, key_size, pad);
    SHA384_Init(ctx);
    SHA384_Update(ctx, block, sizeof(block));
    OPENSSL_cleanse(block, sizeof(block));
}

static void hmac_begin(struct hmac *hmac, size_t digest_size, const uint8_t *key, size_t key_size)
{
    hmac->size = digest_size;
    if (digest_size == SHA256_DIGEST_LENGTH) {
        mr_hmac_key_set(&hmac->state.sha256, key, key_size);
        return;
    }
    absorb_sha384(&hmac->state.sha384.inner, key, key_size, 0x36);
    absorb_sha384(&hmac->state.sha384.outer, key, key_size, 0x5c);
}

static void hmac_end(struct hmac *hmac)
{
    OPENSSL_cleanse(&hmac->state, hmac->size == SHA256_DIGEST_LENGTH ? sizeof(struct mr_hmac_key)
                                                                     : sizeof(hmac->state));
}

/* At most MR_HMAC_SHORT bytes. */
static void hmac_digest(const struct hmac *hmac, const void *bytes, size_t size, uint8_t *digest)
{
    SHA512_CTX ctx;

    if (hmac->size == SHA256_DIGEST_LENGTH) {
        mr_hmac_short(&hmac->state.sha256, bytes, size, digest);
        return;
    }
    ctx = hmac->state.sha384.inner;
    SHA384_Update(&ctx, bytes, size);
    SHA384_Final(digest, &ctx);
    ctx = hmac->state.sha384.outer;
    SHA384_Update(&ctx, digest, SHA384_DIGEST_LENGTH);
    SHA384_Final(digest, &ctx);
    OPENSSL_cleanse(&ctx, sizeof(ctx));
}

/* ------------------------------------------------------------------ HKDF */

/*
 * Write HkdfLabel (RFC 8446, Section 7.1) with an empty context, and HKDF-Expand's counter after
 * it: length (2), label length (1), "tls13 " label, context length (1) = 0, counter (1) = 1
 */
static size_t write_info(uint8_t *dst, const char *label, size_t size)
{
    static const char prefix[6] = {'t', 'l', 's', '1', '3', ' '};
    size_t label_size = strlen(label);

    MR_ASSERT(5 + sizeof(prefix) + label_size <= INFO_MAX);
    dst[0] = (uint8_t)(size >> 8);
    dst[1] = (uint8_t)size;
    dst[2] = (uint8_t)(sizeof(prefix) + label_size);
    memcpy(dst + 3, prefix, sizeof(prefix));
    memcpy(dst + 3 + sizeof(prefix), label, label_size);
    dst[9 + label_size] = 0;
    dst[10 + label_size] = 1;
    return 11 + label_size;
}

static void expand(const struct hmac *prk, const char *label, uint8_t *dst, size_t size)
{
    uint8_t info[INFO_MAX];
    uint8_t digest[MR_SECRET_MAX];

    MR_ASSERT(size <= prk->size);
    hmac_digest(prk, info, write_info(info, label, size), digest);
    memcpy(dst, digest, size);
    OPENSSL_cleanse(digest, sizeof(digest));
}

void mr_expand_label(const struct mr_secret *secret, const char *label, uint8_t *dst, size_t size)
{
    struct hmac prk;

    hmac_begin(&prk, secret->size, secret->bytes, secret->size);
    expand(&prk, label, dst, size);
    hmac_end(&prk);
}

/* ------------------------------------------------------------------ QUIC's secrets and keys */

static const struct version_labels *labels_of(uint32_t version)
{
    MR_ASSERT(version == MR_VERSION_1 || version == MR_VERSION_2);
    return version == MR_VERSION_2 ? &version_2 : &version_1;
}

static void expand_initial(const struct hmac *prk, const char *label, struct mr_secret *out)
{
    *out = (struct mr_secret){.size = SHA256_DIGEST_LENGTH, .cipher = MR_CIPHER_AES_128_GCM};
    expand(prk, label, out->bytes, out->size);
}

void mr_keys_initial(uint32_t version, const struct mr_cid *dcid, struct mr_initial_secrets *out)
{
    const struct version_labels *labels = labels_of(version);
    uint8_t initial_secret[SHA256_DIGEST_LENGTH];
    struct hmac prk;

    /* HKDF-Extract is HMAC with the salt as its key. */
    mr_hmac_sha256(labels->salt, sizeof(labels->salt), dcid->bytes, dcid->size, initial_secret);
    hmac_begin(&prk, SHA256_DIGEST_LENGTH, initial_secret, sizeof(initial_secret));
    expand_initial(&prk, "client in", &out->of[MR_CLIENT]);
    expand_initial(&prk, "server in", &out->of[MR_SERVER]);
    hmac_end(&prk);
    OPENSSL_cleanse(initial_secret, sizeof(initial_secret));
}

void mr_keys_derive(uint32_t version, const struct mr_secret *secret, struct mr_key_material *out)
{
    const struct version_labels *labels = labels_of(version);
    size_t key_size = mr_cipher_key_size((enum mr_cipher)secret->cipher);
    struct hmac prk;

    out->cipher = secret->cipher;
    hmac_begin(&prk, secret->size, secret->bytes, secret->size);
    expand(&prk, labels->key, out->key, key_size);
    expand(&prk, labels->iv, out->iv, sizeof(out->iv));
    expand(&prk, labels->hp, out->hp, key_size);
    hmac_end(&prk);
}

void mr_keys_update(uint32_t version, struct mr_secret *secret, struct mr_key_material *material)
{
    const struct version_labels *labels = labels_of(version);
    struct hmac prk;

    mr_expand_label(secret, labels->ku, secret->bytes, secret->size);
    hmac_begin(&prk, secret->size, secret->bytes, secret->size);
    expand(&prk, labels->key, material->key, mr_cipher_key_size((enum mr_cipher)secret->cipher));
    expand(&prk, labels->iv, material->iv, sizeof(material->iv));
    hmac_end(&prk);
}

void mr_bytes_wipe(void *bytes, size_t size)
{
    OPENSSL_cleanse(bytes, size);
}

void mr_secret_wipe(struct mr_secret *secret)
{
    OPENSSL_cleanse(secret, sizeof(*secret));
}

void mr_key_material_wipe(struct mr_key_material *material)
{
    OPENSSL_cleanse(material, sizeof(*material));
}
