#include "quic/aead.h"
#include "base/bytes.h"

#include <stdlib.h>

#include "quic/aead_backend.h"
#include "quic/hp_aesni.h"
#include "quic/packet_number.h"

/* From the packet number on: as if it had four bytes (RFC 9001, Section 5.4.2). */
#define SAMPLE_OFFSET 4

/*
 * Bytes of a last copy up to which copying it and sealing in place beats sealing it from where it
 * is, measured with prefetched data: the faster the cipher, the more its extra calls weigh.
 */
#define COPY_MAX_WIDE 1536 /* CPUs that encrypt several blocks per instruction */
#define COPY_MAX      1024

/* clang-format off */
static const struct {
    uint8_t key_size;
    uint8_t hash_size;
    uint64_t seal_limit;
    uint64_t open_limit;
} ciphers[MR_CIPHERS] = {
    /*                               key hash  packets sealed     failed opens     */
    [MR_CIPHER_AES_128_GCM]       = { 16, 32, UINT64_C(1) << 23, UINT64_C(1) << 52 },
    [MR_CIPHER_AES_256_GCM]       = { 32, 48, UINT64_C(1) << 23, UINT64_C(1) << 52 },
    [MR_CIPHER_CHACHA20_POLY1305] = { 32, 32, UINT64_C(1) << 62, UINT64_C(1) << 36 },
};
/* clang-format on */

size_t mr_cipher_key_size(enum mr_cipher cipher)
{
    return ciphers[cipher].key_size;
}

size_t mr_cipher_hash_size(enum mr_cipher cipher)
{
    return ciphers[cipher].hash_size;
}

uint64_t mr_cipher_seal_limit(enum mr_cipher cipher)
{
    return ciphers[cipher].seal_limit;
}

uint64_t mr_cipher_open_limit(enum mr_cipher cipher)
{
    return ciphers[cipher].open_limit;
}

/* ------------------------------------------------------------------ opening a back end */

static bool init_backend(struct mr_aead *aead, enum mr_aead_backend backend)
{
    switch (backend) {
    case MR_AEAD_AUTO:
        return mr_aead_ipsec_mb_init(aead) || mr_aead_openssl_init(aead);
    case MR_AEAD_OPENSSL:
        return mr_aead_openssl_init(aead);
    case MR_AEAD_IPSEC_MB:
        return mr_aead_ipsec_mb_init(aead);
    case MR_AEAD_NULL:
        return mr_aead_null_init(aead);
    }
    return false;
}

struct mr_aead *mr_aead_open(enum mr_aead_backend backend)
{
    struct mr_aead *aead = calloc(1, sizeof(*aead));

    if (aead == NULL)
        return NULL;
    aead->copy_ahead = mr_copy_ahead_best();
    aead->copy_max = mr_hp_aesni_is_wide() ? COPY_MAX_WIDE : COPY_MAX;
    if (mr_evp_fetch(aead) && init_backend(aead, backend))
        return aead;

    mr_evp_release(aead);
    free(aead);
    return NULL;
}

void mr_aead_close(struct mr_aead *aead)
{
    if (aead == NULL)
        return;
    aead->ops->close(aead);
    mr_evp_release(aead);
    free(aead);
}

const char *mr_aead_name(const struct mr_aead *aead)
{
    return aead->ops->name;
}

/* ------------------------------------------------------------------ keys */

static struct mr_hp_state *hp_state(struct mr_hp_key *hp)
{
    return (struct mr_hp_state *)(void *)hp->state;
}

void mr_aead_key_init(struct mr_aead_key *key)
{
    memset(key->state, 0, sizeof(struct mr_key_head)); /* the rest is read only when it was set */
}

void mr_hp_key_init(struct mr_hp_key *hp)
{
    *hp_state(hp) = (struct mr_hp_state){.evp = NULL};
}

bool mr_aead_key_set(struct mr_aead *aead, struct mr_aead_key *key, enum mr_cipher cipher,
                     const uint8_t *secret_key, const uint8_t *iv, bool is_seal)
{
    return aead->ops->key_set(aead, key, cipher, secret_key, iv, is_seal);
}

void mr_aead_key_clear(struct mr_aead *aead, struct mr_aead_key *key)
{
    aead->ops->key_clear(aead, key);
    mr_wipe(key, sizeof(*key));
}

static const struct mr_hp_state *hp_state_const(const struct mr_hp_key *hp)
{
    return (const struct mr_hp_state *)(const void *)hp->state;
}

bool mr_hp_key_set(struct mr_aead *aead, struct mr_hp_key *hp, enum mr_cipher cipher,
                   const uint8_t *secret_key)
{
    struct mr_hp_state *state = hp_state(hp);

    if (!aead->ops->has_header_protection) {
        state->kind = MR_HP_NONE;
        return true;
    }
    if (cipher == MR_CIPHER_CHACHA20_POLY1305 || !mr_hp_aesni_is_available())
        return mr_evp_hp_set(aead, state, cipher, secret_key);

    mr_evp_hp_clear(state);
    mr_hp_aesni_expand(state->schedule, secret_key, mr_cipher_key_size(cipher));
    state->kind = MR_HP_AESNI;
    state->rounds = cipher == MR_CIPHER_AES_128_GCM ? 10 : 14;
    return true;
}

void mr_hp_key_clear(struct mr_aead *aead, struct mr_hp_key *hp)
{
    (void)aead;
    mr_evp_hp_clear(hp_state(hp));
    mr_wipe(hp, sizeof(*hp));
}

/* ------------------------------------------------------------------ header protection, RFC 9001,
 * Section 5.4 */

/* Masks of up to MR_HP_LANES packets: AES-NI lanes are gathered, the others made at once. */
struct masks {
    uint32_t lane_count;
    struct mr_hp_lane lanes[MR_HP_LANES];
    uint8_t mask[MR_HP_LANES][16]; /* by packet */
};

MR_INLINE void masks_add(struct masks *masks, uint32_t at, const struct mr_hp_key *hp,
                         const uint8_t *sample)
{
    const struct mr_hp_state *state = hp_state_const(hp);

    if (state->kind == MR_HP_AESNI)
        masks->lanes[masks->lane_count++] = (struct mr_hp_lane){.schedule = state->schedule,
                                                                .sample = sample,
                                                                .mask = masks->mask[at],
                                                                .rounds = state->rounds};
    else if (state->kind == MR_HP_NONE)
        memset(masks->mask[at], 0, sizeof(masks->mask[at]));
    else
        mr_evp_mask(state, sample, masks->mask[at]);
}

MR_INLINE void masks_finish(struct masks *masks)
{
    if (masks->lane_count > 0)
        mr_hp_aesni_masks(masks->lanes, masks->lane_count);
}

/* The bits of the first byte that are protected: reserved bits, key phase, packet number length. */
MR_INLINE uint8_t protected_bits(uint8_t first_byte)
{
    return (first_byte & 0x80) != 0 ? 0x0f : 0x1f;
}

/* Which of the four bytes at a packet number of 1..4 bytes are its own. */
static const uint8_t pn_bytes[MR_PN_SIZE_MAX + 1][4] = {
    {0}, {0xff}, {0xff, 0xff}, {0xff, 0xff, 0xff}, {0xff, 0xff, 0xff, 0xff}};

MR_INLINE uint32_t load_word(const uint8_t *from)
{
    uint32_t word;

    memcpy(&word, from, sizeof(word));
    return word;
}

/* XOR the packet number with its mask, and return the four bytes there, in network order.  They are
 * there to be read and written: the sample begins behind them. */
MR_INLINE uint32_t mask_pn(uint8_t *pn, size_t pn_size, const uint8_t *mask)
{
    uint32_t word = load_word(pn) ^ (load_word(mask + 1) & load_word(pn_bytes[pn_size]));

    memcpy(pn, &word, sizeof(word));
    return word;
}

MR_INLINE void mask_first_byte(uint8_t *packet, const uint8_t *mask)
{
    packet[0] = (uint8_t)(packet[0] ^ (mask[0] & protected_bits(packet[0])));
}

static void protect_headers(const struct mr_seal_job *jobs, uint32_t count)
{
    struct masks masks; /* most of it is not needed, and not touched */

    masks.lane_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        size_t pn_offset = (size_t)jobs[i].header_size - jobs[i].pn_size;

        masks_add(&masks, i, jobs[i].hp, jobs[i].packet + pn_offset + SAMPLE_OFFSET);
    }
    masks_finish(&masks);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *packet = jobs[i].packet;
        size_t pn_size = jobs[i].pn_size;

        mask_first_byte(packet, masks.mask[i]);
        mask_pn(packet + jobs[i].header_size - pn_size, pn_size, masks.mask[i]);
    }
}

static void check_seal_jobs(const struct mr_seal_job *jobs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        MR_ASSERT(jobs[i].pn_size - 1u < MR_PN_SIZE_MAX); /* 1..4 */
        MR_ASSERT(jobs[i].header_size > jobs[i].pn_size);
        MR_ASSERT(jobs[i].pn_size + jobs[i].payload_size >= SAMPLE_OFFSET); /* room for a sample */
    }
}

void mr_seal_burst(struct mr_aead *aead, struct mr_seal_job *jobs, uint32_t count)
{
    while (count > 0) {
        uint32_t some = MR_MIN(count, (uint32_t)MR_HP_LANES);

        check_seal_jobs(jobs, some);
        aead->ops->seal(aead, jobs, some);
        protect_headers(jobs, some); /* last: the AES units are warm, and samples are ciphertext */
        jobs += some;
        count -= some;
    }
}

MR_INLINE void unmask_one(struct mr_open_job *job, const uint8_t *mask)
{
    uint8_t *packet = job->packet;

    mask_first_byte(packet, mask);
    uint32_t pn_size = (packet[0] & 0x03u) + 1;
    uint32_t word = mask_pn(packet + job->pn_offset, pn_size, mask);

    job->pn = mr_pn_decode(job->expected_pn, mr_load_be32(&word) >> (32 - 8 * pn_size), pn_size);
    job->header_size = (uint16_t)(job->pn_offset + pn_size);
}

/* A sample must lie inside the packet; shorter packets are not QUIC's (RFC 9001, Section 5.4.2). */
MR_INLINE bool has_sample(const struct mr_open_job *job)
{
    return job->size >= (uint32_t)job->pn_offset + SAMPLE_OFFSET + MR_HP_SAMPLE;
}

static void unmask_some(struct mr_open_job *jobs, uint32_t count)
{
    struct masks masks; /* most of it is not needed, and not touched */

    masks.lane_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        jobs[i].is_unmasked = has_sample(&jobs[i]);
        if (jobs[i].is_unmasked)
            masks_add(&masks, i, jobs[i].hp, jobs[i].packet + jobs[i].pn_offset + SAMPLE_OFFSET);
        else
            jobs[i].header_size = 0;
    }
    masks_finish(&masks);
    for (uint32_t i = 0; i < count; i++)
        if (jobs[i].is_unmasked)
            unmask_one(&jobs[i], masks.mask[i]);
}

void mr_unmask_burst(struct mr_aead *aead, struct mr_open_job *jobs, uint32_t count)
{
    (void)aead;
    while (count > 0) {
        uint32_t some = MR_MIN(count, (uint32_t)MR_HP_LANES);

        unmask_some(jobs, some);
        jobs += some;
        count -= some;
    }
}

void mr_open_burst(struct mr_aead *aead, struct mr_open_job *jobs, uint32_t count)
{
    aead->ops->open(aead, jobs, count);
}
