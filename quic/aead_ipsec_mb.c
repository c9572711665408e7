/*
 * The intel-ipsec-mb back end: its direct AES-GCM calls, which are plain functions over a flat key
 * table.  Half the time per packet of EVP at 1,452 bytes, because there is nothing to set up.
 * The library's QUIC helpers loop over the same calls and want one key per batch: not used.
 * ChaCha20-Poly1305 goes through EVP.
 */
#include <intel-ipsec-mb.h>
#include <stdlib.h>

#include "quic/aead_backend.h"
#include "quic/ipsec_mb_copy.h"

/* The content of struct mr_aead_key. */
struct table {
    struct mr_key_head head;
    _Alignas(64) struct gcm_key_data gcm;
};

_Static_assert(sizeof(struct table) <= MR_AEAD_KEY_SIZE, "fits the public struct");

static const struct table *table_of(const struct mr_aead_key *key)
{
    return (const struct table *)(const void *)key->state;
}

/* ------------------------------------------------------------------ keys */

static bool ipsec_mb_key_set(struct mr_aead *aead, struct mr_aead_key *key, enum mr_cipher cipher,
                             const uint8_t *secret_key, const uint8_t *iv, bool is_seal)
{
    struct table *table = (struct table *)(void *)key->state;
    IMB_MGR *manager = aead->manager;

    memcpy(table->head.iv, iv, sizeof(table->head.iv));
    table->head.cipher = (uint8_t)cipher;
    table->head.is_seal = is_seal;
    switch (cipher) {
    case MR_CIPHER_AES_128_GCM:
        IMB_AES128_GCM_PRE(manager, secret_key, &table->gcm);
        break;
    case MR_CIPHER_AES_256_GCM:
        IMB_AES256_GCM_PRE(manager, secret_key, &table->gcm);
        break;
    default:
        return mr_evp_key_set(aead, &table->head, secret_key);
    }
    return true;
}

static void ipsec_mb_key_clear(struct mr_aead *aead, struct mr_aead_key *key)
{
    (void)aead;
    mr_evp_key_clear((struct mr_key_head *)(void *)key->state);
}

/* ------------------------------------------------------------------ the four calls, by key size */

/* What differs between AES-128 and AES-256: everything's first argument. */
struct calls {
    aes_gcm_enc_dec_t encrypt;
    aes_gcm_enc_dec_t decrypt;
    aes_gcm_init_t init;
    aes_gcm_enc_dec_update_t update;
    aes_gcm_enc_dec_finalize_t finalize;
};

MR_INLINE struct calls calls_of(const IMB_MGR *manager, uint8_t cipher)
{
    if (cipher == MR_CIPHER_AES_128_GCM)
        return (struct calls){manager->gcm128_enc, manager->gcm128_dec, manager->gcm128_init,
                              manager->gcm128_enc_update, manager->gcm128_enc_finalize};
    return (struct calls){manager->gcm256_enc, manager->gcm256_dec, manager->gcm256_init,
                          manager->gcm256_enc_update, manager->gcm256_enc_finalize};
}

/* ------------------------------------------------------------------ nonces */

/*
 * A burst's nonces are written before anything else of the burst.  The library loads 16 bytes where
 * 12 were just stored, which no store can be forwarded to: it waits until the store has left the
 * store buffer, behind all that was stored before, a whole packet's copy with lines that come from
 * another core.  That took more time than encrypting.
 */
enum {
    GROUP = 32, /* packets whose nonces are written together */
};

struct nonces {
    uint8_t nonce[GROUP][16]; /* the first MR_AEAD_IV bytes of each */
};

/* ------------------------------------------------------------------ seal */

/* Seal a packet whose bytes are all in place. */
MR_INLINE void seal_in_place(const struct calls *calls, const struct table *table,
                             const struct mr_seal_job *job, const uint8_t *nonce)
{
    uint8_t *payload = job->packet + job->header_size;
    struct gcm_context_data scratch;

    calls->encrypt(&table->gcm, &scratch, payload, payload, job->payload_size, nonce, job->packet,
                   job->header_size, payload + job->payload_size, MR_AEAD_TAG);
}

/* Seal a packet in up to three pieces, the bytes of `direct` straight from where they are. */
static void seal_direct(const struct calls *calls, const struct table *table,
                        const struct mr_seal_job *job, const uint8_t *nonce,
                        const struct mr_seal_copy *direct)
{
    uint8_t *payload = job->packet + job->header_size;
    uint8_t *tag = payload + job->payload_size;
    uint8_t *at = job->packet + direct->at;
    uint8_t *after = at + direct->size;
    struct gcm_context_data scratch;

    calls->init(&table->gcm, &scratch, nonce, job->packet, job->header_size);
    if (at > payload)
        calls->update(&table->gcm, &scratch, payload, payload, (uint64_t)(at - payload));
    calls->update(&table->gcm, &scratch, at, direct->source, direct->size);
    if (tag > after)
        calls->update(&table->gcm, &scratch, after, after, (uint64_t)(tag - after));
    calls->finalize(&table->gcm, &scratch, tag, MR_AEAD_TAG);
}

MR_INLINE void seal_one(const struct mr_aead *aead, const struct mr_seal_job *job,
                        const struct mr_seal_job *ahead, const uint8_t *nonce)
{
    const struct table *table = table_of(job->key);

    if (table->head.cipher == MR_CIPHER_CHACHA20_POLY1305) {
        mr_evp_seal_one(aead, job, ahead);
        return;
    }
    struct calls calls = calls_of(aead->manager, table->head.cipher);
    const struct mr_seal_copy *direct = mr_seal_direct(aead, job);

    mr_seal_copy_in(aead, job, direct, ahead);
    if (direct == NULL)
        seal_in_place(&calls, table, job, nonce);
    else
        seal_direct(&calls, table, job, nonce, direct);
}

static void ipsec_mb_seal(struct mr_aead *aead, const struct mr_seal_job *jobs, uint32_t count)
{
    struct nonces n;

    mr_seal_prefetch_first(jobs, count);
    for (uint32_t first = 0; first < count; first += GROUP) {
        uint32_t end = MR_MIN(first + GROUP, count);

        for (uint32_t i = first; i < end; i++)
            mr_nonce(n.nonce[i - first], mr_key_head(jobs[i].key)->iv, jobs[i].path_id, jobs[i].pn);
        for (uint32_t i = first; i < end; i++)
            seal_one(aead, &jobs[i], mr_seal_ahead(jobs, count, i), n.nonce[i - first]);
    }
}

/* ------------------------------------------------------------------ open */

/* The library computes the tag; comparing is ours. */
MR_INLINE void open_one(const struct mr_aead *aead, struct mr_open_job *job, const uint8_t *nonce)
{
    const struct table *table = table_of(job->key);
    uint8_t *payload = job->packet + job->header_size;
    size_t payload_size = (size_t)job->size - job->header_size - MR_AEAD_TAG;
    struct gcm_context_data scratch;
    uint8_t tag[MR_AEAD_TAG];

    if (table->head.cipher == MR_CIPHER_CHACHA20_POLY1305) {
        mr_evp_open_one(job);
        return;
    }
    struct calls calls = calls_of(aead->manager, table->head.cipher);

    calls.decrypt(&table->gcm, &scratch, payload, payload, payload_size, nonce, job->packet,
                  job->header_size, tag, MR_AEAD_TAG);
    job->is_open = mr_tag_equal(tag, payload + payload_size);
}

static void ipsec_mb_open(struct mr_aead *aead, struct mr_open_job *jobs, uint32_t count)
{
    struct nonces n;

    for (uint32_t first = 0; first < count; first += GROUP) {
        uint32_t end = MR_MIN(first + GROUP, count);

        for (uint32_t i = first; i < end; i++) {
            jobs[i].is_open = false;
            if (jobs[i].is_unmasked)
                mr_nonce(n.nonce[i - first], mr_key_head(jobs[i].key)->iv, jobs[i].path_id,
                         jobs[i].pn);
        }
        for (uint32_t i = first; i < end; i++)
            if (jobs[i].is_unmasked)
                open_one(aead, &jobs[i], n.nonce[i - first]);
    }
}

/* ------------------------------------------------------------------ table */

/* In front of the library's own memory, which wants whole lines. */
struct opened {
    _Alignas(MR_CACHE_LINE) uint32_t copy;
};

static IMB_MGR *manager_open(void)
{
    struct mr_ipsec_mb_functions functions;
    uint32_t copy = mr_ipsec_mb_take(&functions);
    size_t lines = (functions.size() + MR_CACHE_LINE - 1) / MR_CACHE_LINE;
    struct opened *opened =
        aligned_alloc(_Alignof(struct opened), sizeof(struct opened) + lines * MR_CACHE_LINE);
    IMB_ARCH arch;

    if (opened == NULL) {
        mr_ipsec_mb_leave(copy);
        return NULL;
    }
    opened->copy = copy;
    IMB_MGR *manager = functions.set_pointers(opened + 1, 0, 1);
    functions.init(manager, &arch);
    return manager;
}

static void manager_close(IMB_MGR *manager)
{
    struct opened *opened = (struct opened *)(void *)manager - 1;

    mr_ipsec_mb_leave(opened->copy);
    free(opened);
}

static void ipsec_mb_close(struct mr_aead *aead)
{
    manager_close(aead->manager);
}

/* Real AES and carry-less multiply instructions: the library also has slow emulations. */
static bool has_fast_gcm(const IMB_MGR *manager)
{
    const uint64_t needed = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;

    return (manager->features & needed) == needed;
}

bool mr_aead_ipsec_mb_init(struct mr_aead *aead)
{
    static const struct mr_aead_ops ops = {
        .name = "ipsec-mb",
        .has_header_protection = true,
        .key_set = ipsec_mb_key_set,
        .key_clear = ipsec_mb_key_clear,
        .seal = ipsec_mb_seal,
        .open = ipsec_mb_open,
        .close = ipsec_mb_close,
    };
    IMB_MGR *manager = manager_open();

    if (manager == NULL)
        return false;
    if (!has_fast_gcm(manager)) {
        manager_close(manager);
        return false;
    }
    aead->manager = manager;
    aead->ops = &ops;
    return true;
}
