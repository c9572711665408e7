/*
 * quic/cid.h - the connection IDs we issue: QUIC-LB plaintext, eight bytes, the owner's shard
 * inside.
 *
 *      byte 0              1..3 (server ID, 24 bits)              4..7
 *     +--------+----------+-----------+------------+-------------+-----------+
 *     | config | length 7 | node (12) | shard (10) | generation  | nonce     |
 *     | (3)    | (5)      |           |            | (2)         | (32)      |
 *     +--------+----------+-----------+------------+-------------+-----------+
 *
 * A load balancer that speaks QUIC-LB (draft-ietf-quic-load-balancers, "CID format") routes by the
 * server ID; inside the process a datagram for another shard is redirected to mr_cid_owner().
 * The nonce is random (the caller's), so that CIDs of one connection are not linkable by it.
 *
 * Pure functions, no state.  Threads: any.
 */
#ifndef MR_QUIC_CID_H
#define MR_QUIC_CID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quic/types.h"

#define MR_LOCAL_CID_SIZE  8    /* bytes of every connection ID we issue */
#define MR_CID_NODES       4096 /* 12 bits */
#define MR_CID_SHARDS      1024 /* 10 bits */
#define MR_CID_GENERATIONS 4    /* 2 bits: which process after a restart */
#define MR_CID_CONFIGS     7    /* config rotation 0..6; 7 is QUIC-LB's "unroutable" */
#define MR_CID_FOREIGN     UINT32_MAX

/* What this shard writes into its connection IDs. */
struct mr_cid_format {
    uint16_t node;      /* < MR_CID_NODES */
    uint16_t shard;     /* < MR_CID_SHARDS */
    uint8_t generation; /* < MR_CID_GENERATIONS */
    uint8_t config;     /* config rotation bits, < MR_CID_CONFIGS */
    bool is_encrypted;  /* nothing can be read without the key (quic/cid_cipher.h) */
};

/* True if every field of `format` fits its bits. */
bool mr_cid_format_is_valid(const struct mr_cid_format *format);

/* The connection ID of `format` with the random `nonce`.  `format` must be valid. */
struct mr_cid mr_cid_encode(const struct mr_cid_format *format, uint32_t nonce);

/*
 * The shard that issued the connection ID `cid` of `size` bytes, or MR_CID_FOREIGN if this node did
 * not: wrong size, other config rotation, self-described length or node; or they are encrypted.
 * `mine` is any shard's format of this process; its shard and generation are not looked at.
 *
 * A client's random first DCID looks like one of ours once in 2^20: look in the local table
 * first, and take Initial and 0-RTT packets where they arrive.
 */
uint32_t mr_cid_owner(const uint8_t *cid, size_t size, const struct mr_cid_format *mine);

/* The generation in a connection ID of ours (mr_cid_owner() is not MR_CID_FOREIGN). */
uint8_t mr_cid_generation(const uint8_t *cid);

#endif /* MR_QUIC_CID_H */
