/*
 * quic/aead_backend.h - what the back ends of quic/aead.h share; for quic/aead*.c and their tests
 * only.
 *
 * A back end brings a table of operations.  Header protection is not part of it: each expanded
 * header-protection key says how its masks are made, and quic/aead.c makes them, many at a time
 * where the CPU can, after the back end has sealed (or before it opens) the whole burst.
 */
#ifndef MR_QUIC_AEAD_BACKEND_H
#define MR_QUIC_AEAD_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "base/copy_ahead.h"
#include "quic/aead.h"

/* Packets whose application data is prefetched while another is sealed. */
#define MR_SEAL_AHEAD 2

/* Bytes of a copy that is prefetched; on longer ones the hardware's own prefetch does better. */
#define MR_SEAL_PREFETCH_MAX 3072

/* What every back end keeps at the start of struct mr_aead_key; one cache line. */
struct mr_key_head {
    uint8_t iv[MR_AEAD_IV];
    uint8_t cipher; /* enum mr_cipher */
    bool is_seal;
    void *evp; /* EVP_CIPHER_CTX, or NULL when the back end needs none for this cipher */
};

_Static_assert(sizeof(struct mr_key_head) <= MR_CACHE_LINE, "tables start in the next line");

/* How masks are made with a header-protection key. */
enum mr_hp_kind {
    MR_HP_NONE,  /* all masks are zero */
    MR_HP_AESNI, /* from the schedule, by quic/hp_aesni.h */
    MR_HP_EVP_AES,
    MR_HP_EVP_CHACHA
};

/* The content of struct mr_hp_key. */
struct mr_hp_state {
    void *evp;                          /* EVP_CIPHER_CTX, or NULL */
    uint8_t kind;                       /* enum mr_hp_kind */
    uint8_t rounds;                     /* 10 or 14 */
    _Alignas(16) uint8_t schedule[240]; /* MR_HP_AESNI: 11 or 15 round keys */
};

_Static_assert(sizeof(struct mr_hp_state) <= MR_HP_KEY_SIZE, "fits the public struct");

struct mr_aead_ops {
    const char *name;
    bool has_header_protection;
    bool (*key_set)(struct mr_aead *aead, struct mr_aead_key *key, enum mr_cipher cipher,
                    const uint8_t *secret_key, const uint8_t *iv, bool is_seal);
    void (*key_clear)(struct mr_aead *aead, struct mr_aead_key *key);
    void (*seal)(struct mr_aead *aead, const struct mr_seal_job *jobs, uint32_t count);
    void (*open)(struct mr_aead *aead, struct mr_open_job *jobs,
                 uint32_t count); /* sets is_open of all */
    void (*close)(struct mr_aead *aead);
};

struct mr_aead {
    const struct mr_aead_ops *ops;
    void *manager;              /* of the accelerated library */
    void *evp_aead[MR_CIPHERS]; /* EVP_CIPHER, fetched once */
    void *evp_hp[MR_CIPHERS];
    mr_copy_ahead copy_ahead;
    uint32_t copy_max; /* bytes; a larger last copy is sealed out of place */
};

/* Set aead->ops and what else they need; false if not available here.  aead->evp_x are set already.
 */
bool mr_aead_openssl_init(struct mr_aead *aead);
bool mr_aead_ipsec_mb_init(struct mr_aead *aead);
bool mr_aead_null_init(struct mr_aead *aead);

/* The EVP way for single packets, which other back ends use for ciphers they lack. */
bool mr_evp_fetch(struct mr_aead *aead);
void mr_evp_release(struct mr_aead *aead);
bool mr_evp_key_set(struct mr_aead *aead, struct mr_key_head *head, const uint8_t *secret_key);
void mr_evp_key_clear(struct mr_key_head *head);
void mr_evp_seal_one(const struct mr_aead *aead, const struct mr_seal_job *job,
                     const struct mr_seal_job *ahead);
void mr_evp_open_one(struct mr_open_job *job);
bool mr_evp_hp_set(struct mr_aead *aead, struct mr_hp_state *hp, enum mr_cipher cipher,
                   const uint8_t *secret_key);
void mr_evp_hp_clear(struct mr_hp_state *hp);
void mr_evp_mask(const struct mr_hp_state *hp, const uint8_t *sample, uint8_t *mask);

/* Overwrite with zeroes that the compiler may not leave out. */
void mr_wipe(void *bytes, size_t size);

/*
 * Build the nonce of packet `pn` on path `path_id`: the IV XOR (path ID, packet number), 32 and 64
 * bits in network order.  Path 0 gives RFC 9001, Section 5.3; the others follow the multipath
 * extension.
 */
MR_INLINE void mr_nonce(uint8_t nonce[MR_AEAD_IV], const uint8_t iv[MR_AEAD_IV], uint32_t path_id,
                        uint64_t pn)
{
    uint32_t high;
    uint64_t low;

    memcpy(&high, iv, sizeof(high));
    memcpy(&low, iv + sizeof(high), sizeof(low));
    high ^= __builtin_bswap32(path_id);
    low ^= __builtin_bswap64(pn);
    memcpy(nonce, &high, sizeof(high));
    memcpy(nonce + sizeof(high), &low, sizeof(low));
}

MR_INLINE const struct mr_key_head *mr_key_head(const struct mr_aead_key *key)
{
    return (const struct mr_key_head *)(const void *)key->state;
}

/* ------------------------------------------------------------------ bringing data in */

/* The copy to be sealed straight from its source, or NULL: the last one, when it is large. */
MR_INLINE const struct mr_seal_copy *mr_seal_direct(const struct mr_aead *aead,
                                                    const struct mr_seal_job *job)
{
    if (job->copy_count == 0)
        return NULL;

    const struct mr_seal_copy *last = &job->copies[job->copy_count - 1];
    return last->size > aead->copy_max ? last : NULL;
}

/* Ask for `size` bytes, in groups of four lines: up to three too many, which are mostly the next
 * packet's. */
MR_INLINE void mr_seal_prefetch_bytes(const uint8_t *source, uint32_t size)
{
    for (const uint8_t *end = source + size; source < end; source += 4 * MR_CACHE_LINE) {
        __builtin_prefetch(source);
        __builtin_prefetch(source + MR_CACHE_LINE);
        __builtin_prefetch(source + 2 * MR_CACHE_LINE);
        __builtin_prefetch(source + 3 * MR_CACHE_LINE);
    }
}

/*
 * Ask for the application bytes of `job`, and for its packet's lines, to be written: in a buffer
 * that another core has read they are that core's.  Stores leave in order, so one that waits for
 * its line holds up all behind it, and every load that a store cannot be forwarded to.
 */
MR_INLINE void mr_seal_prefetch(const struct mr_seal_job *job)
{
    const struct mr_seal_copy *copy = job->copies;
    const uint8_t *end = job->packet + job->header_size + job->payload_size;

    for (const uint8_t *line = job->packet; line < end; line += MR_CACHE_LINE)
        MR_PREFETCH_WRITE(line);
    for (uint32_t left = job->copy_count; left > 0; left--, copy++)
        if (copy->size <= MR_SEAL_PREFETCH_MAX)
            mr_seal_prefetch_bytes(copy->source, copy->size);
}

/* Prefetch for the first packets of a burst. */
MR_INLINE void mr_seal_prefetch_first(const struct mr_seal_job *jobs, uint32_t count)
{
    for (uint32_t i = 0; i < MR_SEAL_AHEAD && i < count; i++)
        mr_seal_prefetch(&jobs[i]);
}

/* The job MR_SEAL_AHEAD behind number `at`; NULL: there is none. */
MR_INLINE const struct mr_seal_job *mr_seal_ahead(const struct mr_seal_job *jobs, uint32_t count,
                                                  uint32_t at)
{
    return at + MR_SEAL_AHEAD < count ? &jobs[at + MR_SEAL_AHEAD] : NULL;
}

/* Can `copy` take the prefetches of `ahead` along, line by line?  Packets with one copy each, as
 * long as each other but for a few lines. */
MR_INLINE bool mr_seal_copies_alike(const struct mr_seal_job *job, const struct mr_seal_job *ahead)
{
    uint32_t size = job->copies->size;

    return job->copy_count == 1 && ahead->copy_count == 1 && size >= MR_COPY_BLOCK &&
           size <= MR_SEAL_PREFETCH_MAX && size - ahead->copies->size < 4 * MR_CACHE_LINE;
}

MR_INLINE void mr_seal_check_copy(const struct mr_seal_job *job, const struct mr_seal_copy *copy)
{
    MR_ASSERT(copy->at >= job->header_size);
    MR_ASSERT((uint64_t)copy->at + copy->size <= (uint64_t)job->header_size + job->payload_size);
}

/* Copy the bytes of `job` into its packet, all but those of `direct`, and prefetch for `ahead`,
 * which may be NULL. */
MR_INLINE void mr_seal_copy_in(const struct mr_aead *aead, const struct mr_seal_job *job,
                               const struct mr_seal_copy *direct, const struct mr_seal_job *ahead)
{
    const struct mr_seal_copy *copy = job->copies;

    if (ahead != NULL && direct == NULL && mr_seal_copies_alike(job, ahead)) {
        mr_seal_check_copy(job, copy);
        aead->copy_ahead(job->packet + copy->at, copy->source, copy->size, ahead->copies->source);
        return;
    }
    if (ahead != NULL)
        mr_seal_prefetch(ahead);
    for (uint32_t left = job->copy_count; left > 0; left--, copy++) {
        mr_seal_check_copy(job, copy);
        if (copy != direct)
            memcpy(job->packet + copy->at, copy->source, copy->size);
    }
}

/* Compare two tags in constant time. */
MR_INLINE bool mr_tag_equal(const uint8_t *a, const uint8_t *b)
{
    uint64_t x[2];
    uint64_t y[2];

    memcpy(x, a, sizeof(x));
    memcpy(y, b, sizeof(y));
    return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
}

#endif /* MR_QUIC_AEAD_BACKEND_H */
