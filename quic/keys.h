/*
 * quic/keys.h - from secrets to packet protection keys (RFC 9001, Section 5).
 *
 *     client's first DCID --mr_keys_initial()--> Initial secrets
 *     TLS job             ---------------------> Handshake and 1-RTT secrets
 *
 *     secret --mr_keys_derive()--> key, iv, hp   (44 or 76 bytes, what an idle connection keeps)
 *        |
 *     mr_keys_update(): the next generation, "quic ku"; hp stays
 *
 * Everything here is a pure function over value types: it cannot fail, allocates
 * nothing, and holds no state.  About 0.2 us per expansion.
 *
 * Owner: the connection that embeds the values; wipe them when done.
 * Threads: any.
 */
#ifndef MR_QUIC_KEYS_H
#define MR_QUIC_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "quic/aead.h"
#include "quic/hmac.h"
#include "quic/types.h"

#define MR_SECRET_MAX 48 /* bytes; SHA-384's size */

/* A traffic secret: one direction, one level, one generation. */
struct mr_secret {
    uint8_t bytes[MR_SECRET_MAX];
    uint8_t size;   /* 32 or 48, mr_cipher_hash_size() of the cipher */
    uint8_t cipher; /* enum mr_cipher */
};

/* Unexpanded packet protection keys of one direction. */
struct mr_key_material {
    uint8_t key[MR_AEAD_KEY_MAX]; /* mr_cipher_key_size() bytes are used */
    uint8_t iv[MR_AEAD_IV];
    uint8_t hp[MR_AEAD_KEY_MAX]; /* as many as in key */
    uint8_t cipher;              /* enum mr_cipher */
};

/* The two secrets of the Initial level, by the role of the endpoint that seals with them. */
struct mr_initial_secrets {
    struct mr_secret of[2]; /* [enum mr_role] */
};

/*
 * Derive the Initial secrets from the Destination Connection ID of the client's first Initial
 * (RFC 9001, Section 5.2; version 2: RFC 9369, Section 3.3.1).  `version`: MR_VERSION_1 or
 * MR_VERSION_2.
 */
void mr_keys_initial(uint32_t version, const struct mr_cid *dcid, struct mr_initial_secrets *out);

/* Derive key, iv and hp from `secret` (RFC 9001, Section 5.1). */
void mr_keys_derive(uint32_t version, const struct mr_secret *secret, struct mr_key_material *out);

/*
 * Move `secret` to the next generation and derive its key and iv into `material`; material->hp
 * is left alone (RFC 9001, Section 6.1).  `material` must hold the current generation.
 */
void mr_keys_update(uint32_t version, struct mr_secret *secret, struct mr_key_material *material);

/* HKDF-Expand-Label with an empty context (RFC 8446, Section 7.1): `size` <= secret->size bytes;
 * `label` without "tls13 ". */
void mr_expand_label(const struct mr_secret *secret, const char *label, uint8_t *dst, size_t size);

/* Overwrite with zeroes that the compiler may not leave out. */
void mr_bytes_wipe(void *bytes, size_t size);
void mr_secret_wipe(struct mr_secret *secret);
void mr_key_material_wipe(struct mr_key_material *material);

#endif /* MR_QUIC_KEYS_H */
