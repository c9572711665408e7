/*
 * quic/cid.h - the connection IDs we issue: eight bytes, with the owner's shard inside, in one of
 * the formats that load balancers route by.
 *
 * QUIC-LB (draft-ietf-quic-load-balancers, "CID format"), here in plain text; a load balancer
 * routes by the server ID:
 *
 *      byte 0              1..3 (server ID, 24 bits)              4..7
 *     +--------+----------+-----------+------------+-------------+-----------+
 *     | config | length 7 | node (12) | shard (10) | generation  | nonce     |
 *     | (3)    | (5)      |           |            | (2)         | (32)      |
 *     +--------+----------+-----------+------------+-------------+-----------+
 *
 * Katran, as mvfst's servers write it; Katran routes by the host ID, which is the node.  The worker
 * ID is the shard, the process ID the generation; everything else is nonce:
 *
 *     version    bits 0-1   host ID         worker ID       process ID   nonce
 *     1          01         bits 2-17       bits 18-25      bit 26       37 bits
 *     2          10         bits 8-31       bits 32-39      bit 40       29 bits
 *     3          11         bits 8-39       bits 40-47      bit 48       21 bits
 *
 * The nonce is the caller's: of QUIC-LB no two are the same while a configuration is in use, and
 * nobody can tell which of them follow each other; Katran's are random.
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
#define MR_CID_NONCES      (UINT64_C(1) << 32) /* of a configuration, for a shard and generation */
#define MR_CID_WORKERS     256                 /* Katran: shards, 8 bits */
#define MR_CID_PROCESSES   2                   /* Katran: generations, 1 bit */
#define MR_CID_FOREIGN     UINT32_MAX

enum mr_cid_kind {
    MR_CID_QUIC_LB,
    MR_CID_KATRAN_1, /* the number is the version in bits 0-1 */
    MR_CID_KATRAN_2,
    MR_CID_KATRAN_3
};

/* What this shard writes into its connection IDs. */
struct mr_cid_format {
    uint32_t node;      /* mr_cid_node_min() to mr_cid_node_max() */
    uint16_t shard;     /* < MR_CID_SHARDS; Katran: < MR_CID_WORKERS */
    uint8_t generation; /* < MR_CID_GENERATIONS; Katran: < MR_CID_PROCESSES */
    uint8_t config;     /* config rotation bits, < MR_CID_CONFIGS; Katran has none: 0 */
    bool is_encrypted;  /* nothing can be read without the key (quic/cid_cipher.h); QUIC-LB only */
    uint8_t kind;       /* enum mr_cid_kind */
};

/* The least and the greatest node that a kind has room for.  Katran takes host ID 0 for none. */
uint32_t mr_cid_node_min(enum mr_cid_kind kind);
uint32_t mr_cid_node_max(enum mr_cid_kind kind);

/* True if every field of `format` fits its bits. */
bool mr_cid_format_is_valid(const struct mr_cid_format *format);

/* The connection ID of `format` with as many bits of the random `nonce` as there is room for.
 * `format` must be valid. */
struct mr_cid mr_cid_encode(const struct mr_cid_format *format, uint64_t nonce);

/*
 * The shard that issued the connection ID `cid` of `size` bytes, or MR_CID_FOREIGN if this node did
 * not: wrong size, other kind, config rotation, self-described length or node; or they are
 * encrypted.  `mine` is any shard's format of this process; its shard and generation are not looked
 * at.
 *
 * A client's random first DCID looks like one of ours once in 2^20 (Katran's: 2^18, 2^26, 2^34):
 * look in the local table first, and take Initial and 0-RTT packets where they arrive.
 */
uint32_t mr_cid_owner(const uint8_t *cid, size_t size, const struct mr_cid_format *mine);

/* The generation in a connection ID of ours (mr_cid_owner() is not MR_CID_FOREIGN). */
uint8_t mr_cid_generation(const uint8_t *cid, const struct mr_cid_format *mine);

#endif /* MR_QUIC_CID_H */
