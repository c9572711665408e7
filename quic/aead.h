/*
 * quic/aead.h - packet protection in bursts (RFC 9001, Section 5).
 *
 * Two back ends with identical output: OpenSSL EVP (always), and
 * intel-ipsec-mb's direct AES-GCM calls with own AES-NI header protection
 * (x86-64, where the library is present).  A burst is an array of jobs; each job
 * names its own keys, so packets of many connections are protected together.
 *
 *     build (conn_send) -> seal jobs -> mr_seal_burst: copy application data in
 *     (prefetched two packets ahead), AEAD in place or, when the last copy is
 *     large, straight from where it is; header-protection masks -> datagrams
 *
 *     datagrams -> mr_unmask_burst: header protection off, packet number
 *     -> the caller picks the key by key phase -> mr_open_burst: AEAD in place
 *
 * Owner: keys live in the shard's key pools; jobs in the endpoint's scratch.
 * Threads: a struct mr_aead belongs to one thread; keys to their shard.
 * Allocation: the EVP back end allocates inside OpenSSL when a key is set, never per packet.
 */
#ifndef MR_QUIC_AEAD_H
#define MR_QUIC_AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "quic/types.h"

#define MR_AEAD_TAG     16
#define MR_AEAD_IV      12
#define MR_AEAD_KEY_MAX 32
#define MR_HP_SAMPLE    16
#define MR_AEAD_KEY_SIZE                                                                           \
    1344 /* bytes of an expanded key, either back end; static-asserted there                       \
          */
#define MR_HP_KEY_SIZE 256

enum mr_cipher { /* TLS cipher suites that QUIC v1 allows and we offer */
    MR_CIPHER_AES_128_GCM,
    MR_CIPHER_AES_256_GCM,
    MR_CIPHER_CHACHA20_POLY1305,
    MR_CIPHERS
};

enum mr_aead_backend {
    MR_AEAD_AUTO, /* the fastest that works here */
    MR_AEAD_OPENSSL,
    MR_AEAD_IPSEC_MB,
    MR_AEAD_NULL /* no protection, 16 zero tag bytes checked: engine measurements only, refused by
                    endpoints on ports */
};

/* An expanded AEAD key with its IV: one direction, one key phase. */
struct mr_aead_key {
    _Alignas(64) uint8_t state[MR_AEAD_KEY_SIZE]; /* the back end's own */
};

/* A header-protection key: one direction. */
struct mr_hp_key {
    _Alignas(64) uint8_t state[MR_HP_KEY_SIZE];
};

struct mr_aead; /* a back end, opened */

/* Bytes to bring into the packet while it is sealed. */
struct mr_seal_copy {
    const uint8_t *source; /* application memory, maybe cold */
    uint32_t size;
    uint32_t at; /* offset in the packet */
};

/* One packet to protect.  All but the copies' bytes are written at `packet` already.  What packets
 * of a burst have in common comes first. */
struct mr_seal_job {
    const struct mr_aead_key *key;
    const struct mr_hp_key *hp;
    uint32_t path_id;
    uint16_t header_size;  /* with packet number */
    uint16_t payload_size; /* frames, copies included; the tag is written after them */
    uint16_t pn_size;      /* 1..4 */
    uint16_t copy_count;
    uint8_t
        *packet; /* first byte of the header; pn unprotected, length in the first byte's low bits */
    const struct mr_seal_copy *copies;
    uint64_t pn;
};

/* One packet to open, in place.  What packets of a burst have in common comes first. */
struct mr_open_job {
    const struct mr_aead_key *key; /* in for mr_open_burst() */
    const struct mr_hp_key *hp;    /* in for mr_unmask_burst() */
    uint64_t expected_pn;          /* in: largest opened in the space + 1, RFC 9000, Appendix A.3 */
    uint32_t path_id;              /* in */
    uint16_t pn_offset;            /* in */
    uint16_t size;                 /* in: whole packet, header to tag */
    uint8_t *packet;               /* in: first byte of the header */
    uint64_t pn;                   /* out of unmask, in of open */
    uint16_t header_size;          /* out of unmask: with packet number; 0: not unmasked */
    bool is_unmasked;              /* out of unmask: false when too short to be sampled */
    bool is_open; /* out of open: the tag was right; plaintext at packet + header_size, size -
                     header_size - 16 bytes */
};

/*
 * Open a back end.  AUTO takes ipsec-mb where compiled in and the CPU has AES-NI and PCLMULQDQ,
 * else OpenSSL. NULL if `backend` is not available here.  Free with mr_aead_close().  Allocates.
 */
struct mr_aead *mr_aead_open(enum mr_aead_backend backend);
void mr_aead_close(struct mr_aead *aead);

/* "openssl", "ipsec-mb" or "null". */
const char *mr_aead_name(const struct mr_aead *aead);

size_t mr_cipher_key_size(enum mr_cipher cipher);  /* 16, 32, 32 */
size_t mr_cipher_hash_size(enum mr_cipher cipher); /* 32, 48, 32 */

/* RFC 9001, Section 6.6: packets that may be sealed, and failed opens endured, per key. */
uint64_t mr_cipher_seal_limit(enum mr_cipher cipher);
uint64_t mr_cipher_open_limit(enum mr_cipher cipher);

/* Make memory of any content a key that holds nothing, which may be set or cleared. */
void mr_aead_key_init(struct mr_aead_key *key);
void mr_hp_key_init(struct mr_hp_key *hp);

/*
 * Expand a key into `key` (or header-protection key into `hp`), which must be initialised, zeroed
 * or hold an earlier one of the same back end. `is_seal`: for sealing, else for opening.  False
 * when OpenSSL is out of memory.  Clear wipes and frees what the back end holds.
 */
bool mr_aead_key_set(struct mr_aead *aead, struct mr_aead_key *key, enum mr_cipher cipher,
                     const uint8_t *secret_key, const uint8_t *iv, bool is_seal);
bool mr_hp_key_set(struct mr_aead *aead, struct mr_hp_key *hp, enum mr_cipher cipher,
                   const uint8_t *secret_key);
void mr_aead_key_clear(struct mr_aead *aead, struct mr_aead_key *key);
void mr_hp_key_clear(struct mr_aead *aead, struct mr_hp_key *hp);

/*
 * Copy, seal and mask every job.  Cannot fail: sizes are asserted, and so is that a sample fits:
 * pn_size + payload_size >= 4 (RFC 9001, Section 5.4.2).  Any `count`; 32 and more is fastest.
 */
void mr_seal_burst(struct mr_aead *aead, struct mr_seal_job *jobs, uint32_t count);

/* Remove header protection and recover packet numbers. */
void mr_unmask_burst(struct mr_aead *aead, struct mr_open_job *jobs, uint32_t count);

/*
 * Decrypt and verify every unmasked job in place.  Jobs with is_unmasked == false are left alone,
 * is_open false. The payload of a job whose tag was wrong is garbage afterwards.
 */
void mr_open_burst(struct mr_aead *aead, struct mr_open_job *jobs, uint32_t count);

#endif /* MR_QUIC_AEAD_H */
