/*
 * quic/cid_cipher.h - encrypted connection IDs (draft-ietf-quic-load-balancers, "Encrypted Server
 * ID"): what follows the first octet, server ID and nonce, so that nobody but the load balancer and
 * we can tell which node and shard they lead to, or that two are of one connection.
 *
 * 16 bytes are one block of AES-128; any other size from 5 to 19 goes through four rounds of a
 * Feistel network of it.
 *
 * Owner: an endpoint.  Threads: the endpoint's only.  Memory: OpenSSL's, allocated when opened.
 */
#ifndef MR_QUIC_CID_CIPHER_H
#define MR_QUIC_CID_CIPHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MR_CID_KEY       16 /* bytes */
#define MR_CID_PLAIN_MIN 5  /* bytes of server ID and nonce */
#define MR_CID_PLAIN_MAX 19

struct mr_cid_cipher {
    void *encrypt; /* NULL: not open */
    void *decrypt;
};

static inline bool mr_cid_cipher_is_open(const struct mr_cid_cipher *cipher)
{
    return cipher->encrypt != NULL;
}

/* False: OpenSSL has no memory; nothing is held. */
bool mr_cid_cipher_open(struct mr_cid_cipher *cipher, const uint8_t key[MR_CID_KEY]);
void mr_cid_cipher_close(struct mr_cid_cipher *cipher);

/* Encrypt or decrypt `size` bytes in place, MR_CID_PLAIN_MIN to MR_CID_PLAIN_MAX. */
void mr_cid_encrypt(const struct mr_cid_cipher *cipher, uint8_t *bytes, size_t size);
void mr_cid_decrypt(const struct mr_cid_cipher *cipher, uint8_t *bytes, size_t size);

#endif /* MR_QUIC_CID_CIPHER_H */
