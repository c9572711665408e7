/*
 * quic/cid_cipher.c - see cid_cipher.h.
 */
#include "quic/cid_cipher.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/assert.h"

enum {
    BLOCK = 16
};

/* ------------------------------------------------------------------ AES-128 */

static EVP_CIPHER_CTX *open_context(const uint8_t *key, int is_encrypting)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();

    if (context != NULL &&
        EVP_CipherInit_ex(context, EVP_aes_128_ecb(), NULL, key, NULL, is_encrypting) == 1 &&
        EVP_CIPHER_CTX_set_padding(context, 0) == 1)
        return context;
    EVP_CIPHER_CTX_free(context);
    return NULL;
}

bool mr_cid_cipher_open(struct mr_cid_cipher *cipher, const uint8_t key[MR_CID_KEY])
{
    cipher->encrypt = open_context(key, 1);
    cipher->decrypt = open_context(key, 0);
    if (cipher->encrypt != NULL && cipher->decrypt != NULL)
        return true;
    mr_cid_cipher_close(cipher);
    return false;
}

void mr_cid_cipher_close(struct mr_cid_cipher *cipher)
{
    EVP_CIPHER_CTX_free(cipher->encrypt);
    EVP_CIPHER_CTX_free(cipher->decrypt);
    *cipher = (struct mr_cid_cipher){.encrypt = NULL};
}

static void block(void *context, uint8_t *bytes)
{
    uint8_t out[BLOCK];
    int size = 0;

    MR_ASSERT(EVP_CipherUpdate(context, out, &size, bytes, BLOCK) == 1 && size == BLOCK);
    memcpy(bytes, out, BLOCK);
}

/* ------------------------------------------------------------------ four passes */

/* Both halves; of an odd size they share the middle byte, four bits each. */
struct halves {
    uint8_t left[BLOCK];
    uint8_t right[BLOCK];
    size_t size; /* of each */
    size_t whole;
};

static void clear_shared(struct halves *h)
{
    if (h->whole % 2 == 0)
        return;
    h->left[h->size - 1] &= 0xf0;
    h->right[0] &= 0x0f;
}

static struct halves split(const uint8_t *bytes, size_t size)
{
    struct halves h = {.size = (size + 1) / 2, .whole = size};

    memcpy(h.left, bytes, h.size);
    memcpy(h.right, bytes + size - h.size, h.size);
    clear_shared(&h);
    return h;
}

static void join(const struct halves *h, uint8_t *bytes)
{
    memcpy(bytes, h->left, h->size);
    if (h->whole % 2 != 0)
        bytes[h->size - 1] |= h->right[0];
    memcpy(bytes + h->size, h->right + h->whole % 2, h->size - h->whole % 2);
}

/* Change one half by the other: expand, AES, truncate, XOR. */
static void pass(const struct mr_cid_cipher *cipher, struct halves *h, uint8_t number)
{
    bool is_right = number % 2 != 0; /* passes 1 and 3 change the right half */
    const uint8_t *from = is_right ? h->left : h->right;
    uint8_t *to = is_right ? h->right : h->left;
    uint8_t expanded[BLOCK] = {0};

    memcpy(expanded, from, h->size);
    expanded[BLOCK - 2] = (uint8_t)h->whole;
    expanded[BLOCK - 1] = number;
    block(cipher->encrypt, expanded);
    for (size_t i = 0; i < h->size; i++)
        to[i] ^= expanded[i];
    clear_shared(h);
}

void mr_cid_encrypt(const struct mr_cid_cipher *cipher, uint8_t *bytes, size_t size)
{
    MR_ASSERT(size >= MR_CID_PLAIN_MIN && size <= MR_CID_PLAIN_MAX);
    if (size == BLOCK) {
        block(cipher->encrypt, bytes);
        return;
    }
    struct halves h = split(bytes, size);
    for (uint8_t number = 1; number <= 4; number++)
        pass(cipher, &h, number);
    join(&h, bytes);
}

void mr_cid_decrypt(const struct mr_cid_cipher *cipher, uint8_t *bytes, size_t size)
{
    MR_ASSERT(size >= MR_CID_PLAIN_MIN && size <= MR_CID_PLAIN_MAX);
    if (size == BLOCK) {
        block(cipher->decrypt, bytes);
        return;
    }
    struct halves h = split(bytes, size);
    for (uint8_t number = 4; number >= 1; number--)
        pass(cipher, &h, number);
    join(&h, bytes);
}
