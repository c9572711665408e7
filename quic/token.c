#include "quic/token.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/assert.h"
#include "base/compiler.h"

enum {
    SUBKEY = 32,      /* bytes of every derived key */
    MAC = 32,         /* bytes of HMAC-SHA256 */
    TAG = 16,         /* bytes of an address token's tag, which is its IV, too */
    NUMBER_SHIFT = 2, /* of a key's number in the first byte */
    NUMBER_MASK = 3 << NUMBER_SHIFT,
    CID_FIELD = 1 + MR_CID_MAX,
    COMMON_PLAIN = 8 + 8 + 16,                     /* issue time, nonce, IP address */
    NEW_PLAIN = COMMON_PLAIN + 4 + 4,              /* window, round trip */
    RETRY_PLAIN = COMMON_PLAIN + 2 + 2 * CID_FIELD /* port, two connection IDs */
};

_Static_assert(MR_TOKEN_NEW_SIZE == 1 + TAG + NEW_PLAIN, "a NEW_TOKEN token's size");
_Static_assert(MR_TOKEN_RETRY_SIZE == 1 + TAG + RETRY_PLAIN, "a Retry token's size");
_Static_assert((MR_TOKEN_RETRY & NUMBER_MASK) == 0, "the number has its own bits");
_Static_assert((MR_TOKEN_NEW & NUMBER_MASK) == 0, "the number has its own bits");
_Static_assert(MR_TOKEN_KEYS - 1 == NUMBER_MASK >> NUMBER_SHIFT, "every number is a key's");
_Static_assert(MR_RESET_TOKEN <= MAC, "a reset token is cut from a MAC");

/* RFC 9001, Section 5.8, and RFC 9369, Section 3.3.3: public values, equal for everyone. */
static const struct retry_secret {
    uint8_t key[16];
    uint8_t nonce[12];
} retry_secrets[] = {
    {.key = {0xbe, 0x0c, 0x69, 0x0b, 0x9f, 0x66, 0x57, 0x5a, 0x1d, 0x76, 0x6b, 0x54, 0xe3, 0x68,
             0xc8, 0x4e},
     .nonce = {0x46, 0x15, 0x99, 0xd3, 0x5d, 0x63, 0x2b, 0xf2, 0x23, 0x98, 0x25, 0xbb}},
    {.key = {0x8f, 0xb4, 0xb0, 0x1b, 0x56, 0xac, 0x48, 0xe2, 0x60, 0xfb, 0xcb, 0xce, 0xad, 0x7c,
             0xcc, 0x92},
     .nonce = {0xd8, 0x69, 0x69, 0xbc, 0x2d, 0x7c, 0x6d, 0x99, 0x90, 0xef, 0xb0, 0x4a}},
};

/* ---------------------------------------------------------------- keys */

static bool derive(const uint8_t *static_key, const char *label, uint8_t *out)
{
    size_t size = 0;

    return EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, static_key, MR_STATIC_KEY,
                     (const uint8_t *)label, strlen(label), out, SUBKEY, &size) != NULL &&
           size == SUBKEY;
}

static EVP_MAC_CTX *new_mac(const uint8_t *key)
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = mac != NULL ? EVP_MAC_CTX_new(mac) : NULL;
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("digest", digest, 0),
                                 OSSL_PARAM_construct_end()};

    EVP_MAC_free(mac);
    if (ctx != NULL && EVP_MAC_init(ctx, key, SUBKEY, params) == 1)
        return ctx;
    EVP_MAC_CTX_free(ctx);
    return NULL;
}

static EVP_CIPHER_CTX *new_cipher(const char *name, const uint8_t *key)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool is_set =
        cipher != NULL && ctx != NULL && EVP_EncryptInit_ex2(ctx, cipher, key, NULL, NULL) == 1;

    EVP_CIPHER_free(cipher);
    if (is_set)
        return ctx;
    EVP_CIPHER_CTX_free(ctx);
    return NULL;
}

bool mr_token_key_make(struct mr_token_key *key, const uint8_t *static_key)
{
    uint8_t subkey[2][SUBKEY];

    *key = (struct mr_token_key){0};
    if (derive(static_key, "millrace token mac 1", subkey[0]) &&
        derive(static_key, "millrace token cipher 1", subkey[1])) {
        key->mac = new_mac(subkey[0]);
        key->cipher = new_cipher("AES-256-CTR", subkey[1]);
    }
    OPENSSL_cleanse(subkey, sizeof(subkey));

    if (key->mac != NULL && key->cipher != NULL)
        return true;
    mr_token_key_wipe(key);
    return false;
}

void mr_token_key_wipe(struct mr_token_key *key)
{
    EVP_MAC_CTX_free(key->mac);
    EVP_CIPHER_CTX_free(key->cipher);
    *key = (struct mr_token_key){0};
}

bool mr_token_keys_init(struct mr_token_keys *keys, const uint8_t *static_key)
{
    uint8_t subkey[SUBKEY];

    *keys = (struct mr_token_keys){0};
    if (derive(static_key, "millrace stateless reset", subkey)) {
        mr_hmac_key_set(&keys->reset, subkey, sizeof(subkey));
        for (size_t i = 0; i < MR_COUNT_OF(retry_secrets); i++)
            keys->retry_tag[i] = new_cipher("AES-128-GCM", retry_secrets[i].key);
    }
    OPENSSL_cleanse(subkey, sizeof(subkey));

    if (keys->retry_tag[0] != NULL && keys->retry_tag[1] != NULL &&
        mr_token_key_make(&keys->token[0], static_key))
        return true;
    mr_token_keys_wipe(keys);
    return false;
}

bool mr_token_keys_load(struct mr_token_keys *keys, const struct mr_token_secrets *secrets)
{
    bool is_good = mr_token_keys_init(keys, secrets->reset);

    for (uint8_t i = 0; i < MR_TOKEN_KEYS && is_good; i++) {
        if ((secrets->present & 1u << i) == 0)
            continue;
        mr_token_key_wipe(&keys->token[i]);
        is_good = mr_token_key_make(&keys->token[i], secrets->token[i]);
    }
    if (is_good)
        mr_token_keys_write_with(keys, secrets->writing);
    else
        mr_token_keys_wipe(keys);
    return is_good;
}

void mr_token_keys_wipe(struct mr_token_keys *keys)
{
    OPENSSL_cleanse(&keys->reset, sizeof(keys->reset));
    for (size_t i = 0; i < MR_COUNT_OF(retry_secrets); i++)
        EVP_CIPHER_CTX_free(keys->retry_tag[i]);
    for (uint8_t i = 0; i < MR_TOKEN_KEYS; i++)
        mr_token_key_wipe(&keys->token[i]);
    *keys = (struct mr_token_keys){0};
}

void mr_token_keys_swap(struct mr_token_keys *keys, uint8_t number, struct mr_token_key *key)
{
    MR_ASSERT(number < MR_TOKEN_KEYS);
    MR_ASSERT(number != keys->writing);

    struct mr_token_key before = keys->token[number];

    keys->token[number] = *key;
    *key = before;
}

void mr_token_keys_write_with(struct mr_token_keys *keys, uint8_t number)
{
    MR_ASSERT(number < MR_TOKEN_KEYS);
    MR_ASSERT(keys->token[number].mac != NULL);
    keys->writing = number;
}

struct piece {
    const uint8_t *bytes;
    size_t size;
};

/* HMAC-SHA256 of the `count` pieces.  A prepared context fails only when it is misused. */
static void mac_of(EVP_MAC_CTX *ctx, const struct piece *pieces, size_t count, uint8_t *mac)
{
    size_t size = 0;
    int ok = EVP_MAC_init(ctx, NULL, 0, NULL);

    for (size_t i = 0; i < count; i++)
        ok &= EVP_MAC_update(ctx, pieces[i].bytes, pieces[i].size);
    ok &= EVP_MAC_final(ctx, mac, &size, MAC);
    MR_ASSERT(ok == 1);
    MR_ASSERT(size == MAC);
}

/* ---------------------------------------------------------------- stateless reset */

void mr_reset_token(struct mr_token_keys *keys, struct mr_cid_view cid, uint8_t *out)
{
    uint8_t mac[MAC];

    mr_hmac_short(&keys->reset, cid.bytes, cid.size, mac);
    memcpy(out, mac, MR_RESET_TOKEN);
    OPENSSL_cleanse(mac, sizeof(mac));
}

bool mr_reset_token_equal(const uint8_t *a, const uint8_t *b)
{
    return CRYPTO_memcmp(a, b, MR_RESET_TOKEN) == 0;
}

/* ---------------------------------------------------------------- address tokens: sealing */

static void token_tag(const struct mr_token_key *key, uint8_t first, uint32_t version,
                      const uint8_t *plain, size_t size, uint8_t *tag)
{
    uint8_t version_bytes[4];
    const struct piece pieces[] = {
        {&first, 1}, {version_bytes, sizeof(version_bytes)}, {plain, size}};
    uint8_t mac[MAC];

    mr_store_be(version_bytes, version, sizeof(version_bytes));
    mac_of(key->mac, pieces, MR_COUNT_OF(pieces), mac);
    memcpy(tag, mac, TAG);
}

/* AES-256-CTR is its own inverse. */
static void token_crypt(const struct mr_token_key *key, const uint8_t *tag, const uint8_t *src,
                        size_t size, uint8_t *dst)
{
    int written = 0;
    int ok = EVP_EncryptInit_ex2(key->cipher, NULL, NULL, tag, NULL);

    ok &= EVP_EncryptUpdate(key->cipher, dst, &written, src, (int)size);
    MR_ASSERT(ok == 1);
    MR_ASSERT((size_t)written == size);
}

static void token_seal(struct mr_token_keys *keys, enum mr_token_kind kind, uint32_t version,
                       const struct mr_writer *plain, uint8_t *out)
{
    MR_ASSERT(!plain->failed);

    size_t size = mr_writer_size(plain);

    const struct mr_token_key *key = &keys->token[keys->writing];

    out[0] = (uint8_t)((unsigned)kind | (unsigned)keys->writing << NUMBER_SHIFT);
    token_tag(key, out[0], version, plain->start, size, out + 1);
    token_crypt(key, out + 1, plain->start, size, out + 1 + TAG);
}

/* The fields of both kinds. */
static void write_common(struct mr_writer *w, const struct mr_addr *client, uint64_t nonce,
                         uint64_t now_s)
{
    mr_write_be(w, now_s, 8);
    mr_write_be(w, nonce, 8);
    mr_write_bytes(w, client->ip, sizeof(client->ip));
}

/* A connection ID in a field of fixed size. */
static void write_cid_field(struct mr_writer *w, const struct mr_cid *cid)
{
    uint8_t *dst = mr_write_later(w, CID_FIELD);

    MR_ASSERT(dst != NULL);
    MR_ASSERT(cid->size <= MR_CID_MAX);
    memset(dst, 0, CID_FIELD);
    dst[0] = cid->size;
    memcpy(dst + 1, cid->bytes, cid->size);
}

void mr_token_write_new(struct mr_token_keys *keys, uint32_t version, const struct mr_addr *client,
                        const struct mr_saved_path *saved, uint64_t nonce, uint8_t *out,
                        uint64_t now_s)
{
    uint8_t plain[NEW_PLAIN];
    struct mr_writer w = mr_writer(plain, sizeof(plain));

    write_common(&w, client, nonce, now_s);
    mr_write_be(&w, saved != NULL ? saved->window : 0, 4);
    mr_write_be(&w, saved != NULL ? saved->rtt_us : 0, 4);
    token_seal(keys, MR_TOKEN_NEW, version, &w, out);
}

void mr_token_write_retry(struct mr_token_keys *keys, uint32_t version,
                          const struct mr_addr *client, const struct mr_retry_claims *claims,
                          uint64_t nonce, uint8_t *out, uint64_t now_s)
{
    uint8_t plain[RETRY_PLAIN];
    struct mr_writer w = mr_writer(plain, sizeof(plain));

    write_common(&w, client, nonce, now_s);
    mr_write_be(&w, client->port, 2);
    write_cid_field(&w, &claims->original_dcid);
    write_cid_field(&w, &claims->retry_scid);
    token_seal(keys, MR_TOKEN_RETRY, version, &w, out);
}

/* ---------------------------------------------------------------- address tokens: validation */

static size_t size_of_kind(enum mr_token_kind kind)
{
    return kind == MR_TOKEN_RETRY ? MR_TOKEN_RETRY_SIZE : MR_TOKEN_NEW_SIZE;
}

enum mr_token_kind mr_token_kind_of_byte(uint8_t first)
{
    switch (first & ~NUMBER_MASK) {
    case MR_TOKEN_RETRY:
        return MR_TOKEN_RETRY;
    case MR_TOKEN_NEW:
        return MR_TOKEN_NEW;
    default:
        return MR_TOKEN_UNKNOWN;
    }
}

enum mr_token_kind mr_token_kind(const uint8_t *token, size_t size)
{
    enum mr_token_kind kind = size == 0 ? MR_TOKEN_UNKNOWN : mr_token_kind_of_byte(token[0]);

    return kind != MR_TOKEN_UNKNOWN && size == size_of_kind(kind) ? kind : MR_TOKEN_UNKNOWN;
}

/* Check kind and size, decrypt to `plain` (room for the kind's), and verify the tag. */
static enum mr_token_verdict token_open(struct mr_token_keys *keys, enum mr_token_kind kind,
                                        uint32_t version, const uint8_t *token, size_t size,
                                        uint8_t *plain)
{
    enum mr_token_kind claimed = mr_token_kind(token, size);

    if (claimed != kind)
        return claimed == MR_TOKEN_UNKNOWN ? MR_TOKEN_MALFORMED : MR_TOKEN_WRONG_KIND;

    const struct mr_token_key *key = &keys->token[(token[0] & NUMBER_MASK) >> NUMBER_SHIFT];
    size_t plain_size = size_of_kind(kind) - 1 - TAG;
    uint8_t tag[TAG];

    if (key->mac == NULL)
        return MR_TOKEN_MALFORMED;
    token_crypt(key, token + 1, token + 1 + TAG, plain_size, plain);
    token_tag(key, token[0], version, plain, plain_size, tag);
    return CRYPTO_memcmp(tag, token + 1, TAG) == 0 ? MR_TOKEN_VALID : MR_TOKEN_MALFORMED;
}

/* Judge the fields of both kinds; the reader is left at what follows them. */
static enum mr_token_verdict check_common(struct mr_reader *r, const struct mr_addr *client,
                                          uint64_t lifetime_s, uint64_t now_s)
{
    uint64_t issued_s = mr_load_u64(mr_read_bytes(r, 8));

    mr_read_bytes(r, 8); /* the nonce did its work */

    const uint8_t *ip = mr_read_bytes(r, sizeof(client->ip));
    bool is_future = issued_s > now_s && issued_s - now_s > MR_TOKEN_SKEW_S;
    bool is_past = issued_s < now_s && now_s - issued_s > lifetime_s;

    if (is_future || is_past)
        return MR_TOKEN_EXPIRED;
    return memcmp(ip, client->ip, sizeof(client->ip)) == 0 ? MR_TOKEN_VALID
                                                           : MR_TOKEN_WRONG_ADDRESS;
}

enum mr_token_verdict mr_token_validate_new(struct mr_token_keys *keys, uint32_t version,
                                            const uint8_t *token, size_t size,
                                            const struct mr_addr *client,
                                            struct mr_saved_path *saved_out, uint64_t now_s)
{
    uint8_t plain[NEW_PLAIN];
    enum mr_token_verdict verdict = token_open(keys, MR_TOKEN_NEW, version, token, size, plain);

    if (verdict != MR_TOKEN_VALID)
        return verdict;

    struct mr_reader r = mr_reader(plain, sizeof(plain));

    verdict = check_common(&r, client, MR_TOKEN_NEW_LIFETIME_S, now_s);
    if (verdict != MR_TOKEN_VALID || saved_out == NULL)
        return verdict;

    uint64_t issued_s = mr_load_u64(plain);

    *saved_out = (struct mr_saved_path){0};
    if (now_s > issued_s && now_s - issued_s > MR_RESUME_LIFETIME_S)
        return MR_TOKEN_VALID;
    saved_out->window = mr_load_u32(mr_read_bytes(&r, 4));
    saved_out->rtt_us = mr_load_u32(mr_read_bytes(&r, 4));
    return MR_TOKEN_VALID;
}

static bool read_cid_field(struct mr_reader *r, struct mr_cid *out)
{
    const uint8_t *field = mr_read_bytes(r, CID_FIELD);

    return mr_cid_copy(out, (struct mr_cid_view){.bytes = field + 1, .size = field[0]});
}

enum mr_token_verdict mr_token_validate_retry(struct mr_token_keys *keys, uint32_t version,
                                              const uint8_t *token, size_t size,
                                              const struct mr_addr *client, struct mr_cid_view dcid,
                                              struct mr_retry_claims *claims_out, uint64_t now_s)
{
    uint8_t plain[RETRY_PLAIN];
    struct mr_retry_claims claims;
    enum mr_token_verdict verdict = token_open(keys, MR_TOKEN_RETRY, version, token, size, plain);

    if (verdict != MR_TOKEN_VALID)
        return verdict;

    struct mr_reader r = mr_reader(plain, sizeof(plain));

    verdict = check_common(&r, client, MR_TOKEN_RETRY_LIFETIME_S, now_s);
    if (verdict != MR_TOKEN_VALID)
        return verdict;
    if (mr_read_u16(&r) != client->port)
        return MR_TOKEN_WRONG_ADDRESS;
    if (!read_cid_field(&r, &claims.original_dcid) || !read_cid_field(&r, &claims.retry_scid))
        return MR_TOKEN_MALFORMED;
    if (!mr_cid_view_equal(dcid, &claims.retry_scid))
        return MR_TOKEN_WRONG_CID;
    *claims_out = claims;
    return MR_TOKEN_VALID;
}

/* ---------------------------------------------------------------- Retry integrity */

void mr_retry_tag(struct mr_token_keys *keys, struct mr_cid_view original_dcid,
                  const uint8_t *retry, size_t size, uint8_t *out)
{
    bool is_version_2 = size > 4 && mr_load_u32(retry + 1) == MR_VERSION_2;
    EVP_CIPHER_CTX *ctx = keys->retry_tag[is_version_2];
    uint8_t nothing[1];
    int n = 0;

    MR_ASSERT(size <= UINT16_MAX);
    int ok = EVP_EncryptInit_ex2(ctx, NULL, NULL, retry_secrets[is_version_2].nonce, NULL);
    ok &= EVP_EncryptUpdate(ctx, NULL, &n, &original_dcid.size, 1);
    if (original_dcid.size > 0)
        ok &= EVP_EncryptUpdate(ctx, NULL, &n, original_dcid.bytes, original_dcid.size);
    ok &= EVP_EncryptUpdate(ctx, NULL, &n, retry, (int)size);
    ok &= EVP_EncryptFinal_ex(ctx, nothing, &n);
    ok &= EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, MR_RETRY_TAG, out);
    MR_ASSERT(ok == 1);
}

bool mr_retry_tag_verify(struct mr_token_keys *keys, struct mr_cid_view original_dcid,
                         const uint8_t *retry, size_t size)
{
    uint8_t tag[MR_RETRY_TAG];

    if (size < MR_RETRY_TAG)
        return false;
    mr_retry_tag(keys, original_dcid, retry, size - MR_RETRY_TAG, tag);
    return CRYPTO_memcmp(tag, retry + size - MR_RETRY_TAG, MR_RETRY_TAG) == 0;
}
