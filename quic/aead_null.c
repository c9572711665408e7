/*
 * No protection: data is copied in, tags are zeroes, headers stay readable.  What remains is the
 * cost of everything but cryptography, for measurements of the engine.
 */
#include "quic/aead_backend.h"

static const uint8_t zero_tag[MR_AEAD_TAG];

static bool null_key_set(struct mr_aead *aead, struct mr_aead_key *key, enum mr_cipher cipher,
                         const uint8_t *secret_key, const uint8_t *iv, bool is_seal)
{
    (void)aead;
    (void)key;
    (void)cipher;
    (void)secret_key;
    (void)iv;
    (void)is_seal;
    return true;
}

static void null_key_clear(struct mr_aead *aead, struct mr_aead_key *key)
{
    (void)aead;
    (void)key;
}

static void null_seal(struct mr_aead *aead, const struct mr_seal_job *jobs, uint32_t count)
{
    mr_seal_prefetch_first(jobs, count);
    for (uint32_t i = 0; i < count; i++) {
        mr_seal_copy_in(aead, &jobs[i], NULL, mr_seal_ahead(jobs, count, i));
        memcpy(jobs[i].packet + jobs[i].header_size + jobs[i].payload_size, zero_tag, MR_AEAD_TAG);
    }
}

static void null_open(struct mr_aead *aead, struct mr_open_job *jobs, uint32_t count)
{
    (void)aead;
    for (uint32_t i = 0; i < count; i++)
        jobs[i].is_open = jobs[i].is_unmasked &&
                          mr_tag_equal(jobs[i].packet + jobs[i].size - MR_AEAD_TAG, zero_tag);
}

static void null_close(struct mr_aead *aead)
{
    (void)aead;
}

bool mr_aead_null_init(struct mr_aead *aead)
{
    static const struct mr_aead_ops ops = {
        .name = "null",
        .has_header_protection = false,
        .key_set = null_key_set,
        .key_clear = null_key_clear,
        .seal = null_seal,
        .open = null_open,
        .close = null_close,
    };

    aead->ops = &ops;
    return true;
}
