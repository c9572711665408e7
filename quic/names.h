/*
 * quic/names.h - server names that connections ask for (SNI), each kept once.
 *
 *     connection --index--> { references, text } <-- table of hashes
 *
 * Thousands of connections ask for a handful of names: a connection keeps four bytes
 * instead of up to 256.
 *
 * Owner: an endpoint.  Threads: the shard's only.
 * Limit: limits.names_max different names; one more is not kept, which the caller counts.
 * Everything is O(length of the name).
 */
#ifndef MR_QUIC_NAMES_H
#define MR_QUIC_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/pool.h"
#include "base/table.h"

#define MR_NAME_MAX 255 /* bytes, without the NUL */

/* A pool object. */
struct mr_name {
    uint32_t references;
    bool is_listed; /* in the table; else another name with its hash is */
    uint64_t hash;
    char text[MR_NAME_MAX + 1];
};

struct mr_names {
    struct mr_pool pool;    /* of struct mr_name, laid out by the owner */
    struct mr_table8 table; /* hash -> index; laid out by the owner */
    struct mr_siphash_key key;
};

/* A reference to `text`, to be given back with mr_name_drop().  MR_NONE: the name is empty or
 * longer than MR_NAME_MAX, or the pool is. */
uint32_t mr_name_keep(struct mr_names *names, const char *text);

/* Give a reference back; MR_NONE is allowed. */
void mr_name_drop(struct mr_names *names, uint32_t index);

/* The name, valid as long as the reference; "" for MR_NONE. */
const char *mr_name_text(const struct mr_names *names, uint32_t index);

#endif /* MR_QUIC_NAMES_H */
