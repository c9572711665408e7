/*
 * quic/token.h - what a server hands out and recognises without keeping state: stateless reset
 * tokens, address tokens (Retry and NEW_TOKEN), and the integrity tag of Retry packets.
 *
 * All keys derive from one 32-byte static key of the process, so that any shard, and the process
 * after a restart, understands tokens of any other.
 *
 *     static key --HMAC-SHA256(label)--> reset key, token MAC key, token cipher key
 *
 *     reset token   = HMAC-SHA256(reset key, connection ID), first 16 bytes
 *
 *     address token = | kind (1) | tag (16) | encrypted: issue time, nonce, address,
 *                      connection IDs or what is known of the path | tag = HMAC-SHA256(MAC key,
 * kind, QUIC version, plaintext), first 16 bytes; AES-256-CTR with the tag as its IV
 *
 * The address token is a synthetic-IV construction: authenticated, and a nonce that repeats costs
 * nothing but that the token repeats.  AES-GCM with random nonces would allow 2^32 tokens per key,
 * some hours of a flood. Each kind has one size; any other size is refused before a byte is looked
 * at.
 *
 * The keys of address tokens can be changed: MR_TOKEN_KEYS of them are understood at a time, each
 * by its number, which is in a token's first byte; one writes.  Reset tokens keep their key, since
 * a peer remembers them for as long as a connection ID.
 *
 *     first byte  | version (4) = 3 | key number (2) | kind (2) |
 *
 * Owner: each shard initialises its own struct from the same static key.  Threads: the owner's
 * only. Allocation: OpenSSL's, in init; none per token.
 */
#ifndef MR_QUIC_TOKEN_H
#define MR_QUIC_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quic/hmac.h"
#include "quic/packet.h"
#include "quic/resume.h"
#include "quic/types.h"

#define MR_STATIC_KEY             32 /* bytes */

#define MR_TOKEN_RETRY_SIZE       93 /* bytes of a Retry token: 1 + 16 + 76 */
#define MR_TOKEN_NEW_SIZE         57 /* bytes of a NEW_TOKEN token: 1 + 16 + 40 */
#define MR_TOKEN_SIZE_MAX         MR_TOKEN_RETRY_SIZE
#define MR_TOKEN_RETRY_LIFETIME_S 15 /* seconds: used at once, RFC 9000, Section 8.1.3 */
#define MR_TOKEN_NEW_LIFETIME_S   (UINT64_C(86400)) /* seconds */
#define MR_TOKEN_SKEW_S           2 /* seconds a token may seem to come from the future */

#define MR_TOKEN_KEYS             4 /* of address tokens, at a time */

enum mr_token_kind { /* its value is the token's first byte, but for the number of the key */
    MR_TOKEN_UNKNOWN = 0,
    MR_TOKEN_RETRY = 0x31, /* sent in a Retry packet: bound to address, port and connection ID */
    MR_TOKEN_NEW = 0x32    /* sent in a NEW_TOKEN frame: bound to the address */
};

enum mr_token_verdict {
    MR_TOKEN_VALID,
    MR_TOKEN_EXPIRED,
    MR_TOKEN_WRONG_ADDRESS,
    MR_TOKEN_WRONG_CID,  /* a Retry token with another connection ID than that Retry gave */
    MR_TOKEN_WRONG_KIND, /* not of the kind asked for */
    MR_TOKEN_MALFORMED   /* impossible size, not authentic, or of a key that is gone */
};

/* A prepared key of address tokens; all zero bytes: none.  The members are token.c's. */
struct mr_token_key {
    struct evp_mac_ctx_st *mac;
    struct evp_cipher_ctx_st *cipher;
};

/* What keys are made of, to be kept beyond a process. */
struct mr_token_secrets {
    uint8_t reset[MR_STATIC_KEY]; /* of reset tokens; and of address tokens number 0, unless it is
                                     present */
    uint8_t token[MR_TOKEN_KEYS][MR_STATIC_KEY]; /* of address tokens, by number; */
    uint8_t present;                             /* bit i: number i is there */
    uint8_t writing;                             /* number that new tokens are made with */
};

/* Prepared keys.  The members are token.c's. */
struct mr_token_keys {
    struct mr_hmac_key reset;
    struct evp_cipher_ctx_st *retry_tag[2]; /* of version 1, and 2 */
    struct mr_token_key token[MR_TOKEN_KEYS];
    uint8_t writing; /* number of the key that new tokens are made with */
};

/* What a Retry token says about the connection attempt. */
struct mr_retry_claims {
    struct mr_cid original_dcid; /* of the client's first Initial */
    struct mr_cid retry_scid;    /* that the Retry gave */
};

/*
 * Derive all keys from `static_key` (MR_STATIC_KEY bytes, not kept), or from `secrets`.  False,
 * with nothing held, if OpenSSL is out of memory or lacks an algorithm.  Allocates; end with
 * mr_token_keys_wipe(), which is harmless on a zeroed struct.
 */
bool mr_token_keys_init(struct mr_token_keys *keys, const uint8_t *static_key);
bool mr_token_keys_load(struct mr_token_keys *keys, const struct mr_token_secrets *secrets);
void mr_token_keys_wipe(struct mr_token_keys *keys);

/* ---------------------------------------------------------------- rotation of address tokens */

/* Prepare a key of address tokens from MR_STATIC_KEY secret bytes, not kept.  Any thread.  False,
 * with nothing held: OpenSSL is out of memory. */
bool mr_token_key_make(struct mr_token_key *key, const uint8_t *static_key);
void mr_token_key_wipe(struct mr_token_key *key);

/*
 * Understand tokens of `*key` as number `number` < MR_TOKEN_KEYS from now on, which is not the one
 * that writes; `*key` becomes what had that number before, the caller's to wipe.  With an empty
 * `*key` the number means nothing any more.  No allocation.
 */
void mr_token_keys_swap(struct mr_token_keys *keys, uint8_t number, struct mr_token_key *key);

/* Write tokens with key `number`, which must be there.  Where others are to understand them, only
 * after these have it, too. */
void mr_token_keys_write_with(struct mr_token_keys *keys, uint8_t number);

/* ---------------------------------------------------------------- stateless reset */

/* The reset token of connection ID `cid`, MR_RESET_TOKEN bytes at `out`.  RFC 9000, Section 10.3.2.
 */
void mr_reset_token(struct mr_token_keys *keys, struct mr_cid_view cid, uint8_t *out);

/* Compare two reset tokens in constant time. */
bool mr_reset_token_equal(const uint8_t *a, const uint8_t *b);

/* ---------------------------------------------------------------- address tokens */

/* The kind that a token's first byte claims, whatever its size and its key's number. */
enum mr_token_kind mr_token_kind_of_byte(uint8_t first);

/* The kind that a token claims to be: its first byte, if the size is that kind's.  Nothing is
 * verified. */
enum mr_token_kind mr_token_kind(const uint8_t *token, size_t size);

/*
 * Make a token: MR_TOKEN_RETRY_SIZE or MR_TOKEN_NEW_SIZE bytes at `out`.
 * `nonce` is random and makes NEW_TOKEN tokens unique; `now_s` is wall-clock time in seconds.
 * `version`: QUIC's, of the connection; a token is not valid in another (RFC 9369, Section 5).
 * `saved`: what is known of the path; NULL: nothing.
 */
void mr_token_write_retry(struct mr_token_keys *keys, uint32_t version,
                          const struct mr_addr *client, const struct mr_retry_claims *claims,
                          uint64_t nonce, uint8_t *out, uint64_t now_s);
void mr_token_write_new(struct mr_token_keys *keys, uint32_t version, const struct mr_addr *client,
                        const struct mr_saved_path *saved, uint64_t nonce, uint8_t *out,
                        uint64_t now_s);

/*
 * Validate a Retry token in an Initial from `client` with Destination Connection ID `dcid`.
 * `*claims_out` is written only with VALID.  Anything else than VALID: refuse the connection with
 * INVALID_TOKEN (RFC 9000, Section 8.1.2).
 */
enum mr_token_verdict mr_token_validate_retry(struct mr_token_keys *keys, uint32_t version,
                                              const uint8_t *token, size_t size,
                                              const struct mr_addr *client, struct mr_cid_view dcid,
                                              struct mr_retry_claims *claims_out, uint64_t now_s);

/* Validate a NEW_TOKEN token.  Anything else than VALID: the address is not validated, nothing more
 * (RFC 9000, Section 8.1.3).  `*saved_out`, unless it is NULL: what a valid one says of the path,
 * all zero if that is older than MR_RESUME_LIFETIME_S. */
enum mr_token_verdict mr_token_validate_new(struct mr_token_keys *keys, uint32_t version,
                                            const uint8_t *token, size_t size,
                                            const struct mr_addr *client,
                                            struct mr_saved_path *saved_out, uint64_t now_s);

/* ---------------------------------------------------------------- Retry integrity */

/*
 * The integrity tag, MR_RETRY_TAG bytes at `out`, of the Retry packet, of version 1 or 2, whose
 * `size` > 4 bytes before the tag are at `retry`; `original_dcid` is the Destination Connection ID
 * of the Initial it answers.  RFC 9001, Section 5.8; RFC 9369, Section 3.3.3.
 */
void mr_retry_tag(struct mr_token_keys *keys, struct mr_cid_view original_dcid,
                  const uint8_t *retry, size_t size, uint8_t *out);

/* True if the Retry packet of `size` bytes, tag included, has the right tag. */
bool mr_retry_tag_verify(struct mr_token_keys *keys, struct mr_cid_view original_dcid,
                         const uint8_t *retry, size_t size);

#endif /* MR_QUIC_TOKEN_H */
