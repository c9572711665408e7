/*
 * The EVP back end.  Contexts are made when a key is set; a packet costs one nonce, one pass for
 * the header, one for the payload (or several, see seal_payload()), and the tag.
 */
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "quic/aead_backend.h"

/* ------------------------------------------------------------------ algorithms, fetched once */

static const struct {
    const char *aead;
    const char *hp;
} names[MR_CIPHERS] = {
    [MR_CIPHER_AES_128_GCM] = {"AES-128-GCM", "AES-128-ECB"},
    [MR_CIPHER_AES_256_GCM] = {"AES-256-GCM", "AES-256-ECB"},
    [MR_CIPHER_CHACHA20_POLY1305] = {"ChaCha20-Poly1305", "ChaCha20"},
};

bool mr_evp_fetch(struct mr_aead *aead)
{
    for (int i = 0; i < MR_CIPHERS; i++) {
        aead->evp_aead[i] = EVP_CIPHER_fetch(NULL, names[i].aead, NULL);
        aead->evp_hp[i] = EVP_CIPHER_fetch(NULL, names[i].hp, NULL);
        if (aead->evp_aead[i] == NULL || aead->evp_hp[i] == NULL)
            return false;
    }
    return true;
}

void mr_evp_release(struct mr_aead *aead)
{
    for (int i = 0; i < MR_CIPHERS; i++) {
        EVP_CIPHER_free(aead->evp_aead[i]);
        EVP_CIPHER_free(aead->evp_hp[i]);
    }
}

void mr_wipe(void *bytes, size_t size)
{
    OPENSSL_cleanse(bytes, size);
}

/* ------------------------------------------------------------------ keys */

/* The context in *slot, made if there is none yet. */
static EVP_CIPHER_CTX *slot_context(void **slot)
{
    if (*slot == NULL)
        *slot = EVP_CIPHER_CTX_new();
    return *slot;
}

bool mr_evp_key_set(struct mr_aead *aead, struct mr_key_head *head, const uint8_t *secret_key)
{
    EVP_CIPHER_CTX *ctx = slot_context(&head->evp);

    if (ctx == NULL)
        return false;
    return EVP_CipherInit_ex2(ctx, aead->evp_aead[head->cipher], secret_key, NULL, head->is_seal,
                              NULL) == 1;
}

void mr_evp_key_clear(struct mr_key_head *head)
{
    EVP_CIPHER_CTX_free(head->evp);
    head->evp = NULL;
}

static bool openssl_key_set(struct mr_aead *aead, struct mr_aead_key *key, enum mr_cipher cipher,
                            const uint8_t *secret_key, const uint8_t *iv, bool is_seal)
{
    struct mr_key_head *head = (struct mr_key_head *)(void *)key->state;

    memcpy(head->iv, iv, sizeof(head->iv));
    head->cipher = (uint8_t)cipher;
    head->is_seal = is_seal;
    return mr_evp_key_set(aead, head, secret_key);
}

static void openssl_key_clear(struct mr_aead *aead, struct mr_aead_key *key)
{
    (void)aead;
    mr_evp_key_clear((struct mr_key_head *)(void *)key->state);
}

/* ------------------------------------------------------------------ tags */

/* What EVP_CIPHER_CTX_ctrl() makes of a question for a tag, without the way there: 13 ns less. */
struct tag_params {
    OSSL_PARAM param[2];
};

static struct tag_params tag_params(uint8_t *tag)
{
    return (struct tag_params){{
        {OSSL_CIPHER_PARAM_AEAD_TAG, OSSL_PARAM_OCTET_STRING, tag, MR_AEAD_TAG, 0},
        {NULL, 0, NULL, 0, 0},
    }};
}

static bool take_tag(EVP_CIPHER_CTX *ctx, uint8_t *tag)
{
    struct tag_params params = tag_params(tag);

    return EVP_CIPHER_CTX_get_params(ctx, params.param) == 1;
}

static bool give_tag(EVP_CIPHER_CTX *ctx, uint8_t *tag)
{
    struct tag_params params = tag_params(tag);

    return EVP_CIPHER_CTX_set_params(ctx, params.param) == 1;
}

/* ------------------------------------------------------------------ seal */

/* Encrypt `size` bytes from `source` to `dst`, which may be the same. */
static void update(EVP_CIPHER_CTX *ctx, uint8_t *dst, const uint8_t *source, size_t size)
{
    int out;

    if (size > 0 && EVP_EncryptUpdate(ctx, dst, &out, source, (int)size) != 1)
        mr_panic(__FILE__, __LINE__, "EVP_EncryptUpdate");
}

/* Encrypt the payload: in place, except that the bytes of `direct` come from where they are. */
static void seal_payload(EVP_CIPHER_CTX *ctx, const struct mr_seal_job *job,
                         const struct mr_seal_copy *direct)
{
    uint8_t *payload = job->packet + job->header_size;
    uint8_t *end = payload + job->payload_size;

    if (direct == NULL) {
        update(ctx, payload, payload, job->payload_size);
        return;
    }
    uint8_t *at = job->packet + direct->at;
    update(ctx, payload, payload, (size_t)(at - payload));
    update(ctx, at, direct->source, direct->size);
    at += direct->size;
    update(ctx, at, at, (size_t)(end - at));
}

void mr_evp_seal_one(const struct mr_aead *aead, const struct mr_seal_job *job,
                     const struct mr_seal_job *ahead)
{
    const struct mr_key_head *head = mr_key_head(job->key);
    const struct mr_seal_copy *direct = mr_seal_direct(aead, job);
    uint8_t *tag = job->packet + job->header_size + job->payload_size;
    EVP_CIPHER_CTX *ctx = head->evp;
    uint8_t nonce[MR_AEAD_IV];
    int out;

    mr_nonce(nonce, head->iv, job->path_id, job->pn);
    /* Before the copy: OpenSSL loads the nonce in one piece that it has stored in two, which waits
     * until all stores before have left the core. */
    if (EVP_EncryptInit_ex(ctx, NULL, NULL, NULL, nonce) != 1)
        mr_panic(__FILE__, __LINE__, "EVP_EncryptInit_ex");
    mr_seal_copy_in(aead, job, direct, ahead);
    update(ctx, NULL, job->packet, job->header_size);
    seal_payload(ctx, job, direct);
    if (EVP_EncryptFinal_ex(ctx, tag, &out) != 1)
        mr_panic(__FILE__, __LINE__, "EVP_EncryptFinal_ex");
    if (!take_tag(ctx, tag))
        mr_panic(__FILE__, __LINE__, "the tag of EVP");
}

static void openssl_seal(struct mr_aead *aead, const struct mr_seal_job *jobs, uint32_t count)
{
    mr_seal_prefetch_first(jobs, count);
    for (uint32_t i = 0; i < count; i++) {
        mr_evp_seal_one(aead, &jobs[i], mr_seal_ahead(jobs, count, i));
    }
}

/* ------------------------------------------------------------------ open */

void mr_evp_open_one(struct mr_open_job *job)
{
    const struct mr_key_head *head = mr_key_head(job->key);
    uint8_t *payload = job->packet + job->header_size;
    int payload_size = job->size - job->header_size - MR_AEAD_TAG;
    EVP_CIPHER_CTX *ctx = head->evp;
    uint8_t nonce[MR_AEAD_IV];
    int out;

    mr_nonce(nonce, head->iv, job->path_id, job->pn);
    job->is_open = EVP_DecryptInit_ex(ctx, NULL, NULL, NULL, nonce) == 1 &&
                   EVP_DecryptUpdate(ctx, NULL, &out, job->packet, job->header_size) == 1 &&
                   EVP_DecryptUpdate(ctx, payload, &out, payload, payload_size) == 1 &&
                   give_tag(ctx, payload + payload_size) &&
                   EVP_DecryptFinal_ex(ctx, payload + payload_size, &out) == 1;
}

static void openssl_open(struct mr_aead *aead, struct mr_open_job *jobs, uint32_t count)
{
    (void)aead;
    for (uint32_t i = 0; i < count; i++) {
        jobs[i].is_open = false;
        if (jobs[i].is_unmasked)
            mr_evp_open_one(&jobs[i]);
    }
}

/* ------------------------------------------------------------------ header protection */

bool mr_evp_hp_set(struct mr_aead *aead, struct mr_hp_state *hp, enum mr_cipher cipher,
                   const uint8_t *secret_key)
{
    static const uint8_t no_iv[16];
    bool is_chacha = cipher == MR_CIPHER_CHACHA20_POLY1305;
    EVP_CIPHER_CTX *ctx = slot_context(&hp->evp);

    if (ctx == NULL)
        return false;
    hp->kind = is_chacha ? MR_HP_EVP_CHACHA : MR_HP_EVP_AES;
    if (EVP_EncryptInit_ex2(ctx, aead->evp_hp[cipher], secret_key, is_chacha ? no_iv : NULL,
                            NULL) != 1)
        return false;
    return EVP_CIPHER_CTX_set_padding(ctx, 0) == 1;
}

void mr_evp_hp_clear(struct mr_hp_state *hp)
{
    EVP_CIPHER_CTX_free(hp->evp);
    hp->evp = NULL;
}

/* AES: the encrypted sample.  ChaCha20: five bytes of key stream, the sample is counter and nonce.
 */
void mr_evp_mask(const struct mr_hp_state *hp, const uint8_t *sample, uint8_t *mask)
{
    static const uint8_t zeroes[5];
    int out;
    int is_right = 1;

    switch ((enum mr_hp_kind)hp->kind) {
    case MR_HP_NONE:
    case MR_HP_AESNI:
        memset(mask, 0, 16);
        break;
    case MR_HP_EVP_AES:
        is_right = EVP_EncryptUpdate(hp->evp, mask, &out, sample, MR_HP_SAMPLE);
        break;
    case MR_HP_EVP_CHACHA:
        is_right = EVP_EncryptInit_ex(hp->evp, NULL, NULL, NULL, sample) == 1 &&
                   EVP_EncryptUpdate(hp->evp, mask, &out, zeroes, sizeof(zeroes)) == 1;
        break;
    }
    MR_ASSERT(is_right == 1);
}

/* ------------------------------------------------------------------ table */

static void openssl_close(struct mr_aead *aead)
{
    (void)aead;
}

bool mr_aead_openssl_init(struct mr_aead *aead)
{
    static const struct mr_aead_ops ops = {
        .name = "openssl",
        .has_header_protection = true,
        .key_set = openssl_key_set,
        .key_clear = openssl_key_clear,
        .seal = openssl_seal,
        .open = openssl_open,
        .close = openssl_close,
    };

    aead->ops = &ops;
    return true;
}
