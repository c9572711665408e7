/*
 * base/table.h - keyed hash tables from connection IDs and other short keys to object indexes.
 *
 *     struct mr_table     keys of 0..20 bytes
 *     struct mr_table8    keys of exactly 64 bits, the datapath's connection IDs: half the
 *                         memory, and a lookup in steps (hash, prefetch, compare) for bursts
 *
 * Open addressing in one array without wrap-around.  A key's home is its keyed hash
 * (SipHash-1-3) scaled to the homes; it lies at its home or a little to the right, and all
 * keys lie in the order of their homes ("Robin Hood"):
 *
 *     home:        0   1   2   3   4   5   6  ...  homes-1 | MR_TABLE_PROBE_MAX more
 *     slot:      [ a0| a1|   | b3| c3| d3| e4| ...         |                             ]
 *     distance+1:  1   1   0   1   2   3   3               0 = empty
 *
 * A search ends at the first slot whose distance is smaller than the searcher's, found or
 * not.  Removal shifts the rest of the cluster back; there are no tombstones, so a table
 * does not age.
 *
 * Limits.  `capacity` keys (at most 3/4 of the homes) and a distance of MR_TABLE_PROBE_MAX.
 * At that load distances fall off as e^(-0.54 d): one insert in about 10^29 is refused for
 * its distance, if the hash key is secret and random.  A refused insert answers
 * MR_TABLE_FULL, which is the caller's to count.
 * Cost: a search compares 2.5 keys on average at full load, at most MR_TABLE_PROBE_MAX + 1;
 * insert and remove also move the rest of a cluster (8 keys on average at full load).
 *
 * Owner: one shard.  Threads: the owner's only.
 */
#ifndef MR_BASE_TABLE_H
#define MR_BASE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/pool.h"
#include "base/siphash.h"

#define MR_TABLE_KEY_MAX      20                  /* bytes of a key */
#define MR_TABLE_PROBE_MAX    127                 /* slots between a key and its home */
#define MR_TABLE_CAPACITY_MAX (UINT32_C(1) << 30) /* keys */

enum mr_table_verdict {
    MR_TABLE_ADDED,
    MR_TABLE_EXISTS, /* the key is there already; its value is unchanged */
    MR_TABLE_FULL,   /* no room, nothing changed */
};

/* Private: what every slot starts with. */
struct mr_table_head {
    uint32_t reach; /* distance from home + 1; 0: empty */
    uint32_t value;
};

/* Private: a key, padded with zeros. */
struct mr_table_key {
    uint8_t bytes[MR_TABLE_KEY_MAX];
    uint8_t size;
    uint8_t zero[3];
};

/* Private. */
struct mr_table_slot {
    struct mr_table_head head;
    struct mr_table_key key;
};

/* What both tables are made of. */
struct mr_table_core {
    uint8_t *slots;  /* homes + MR_TABLE_PROBE_MAX, and one that stays empty */
    uint32_t stride; /* bytes per slot */
    uint32_t homes;
    uint32_t capacity;
    uint32_t count; /* keys */
    struct mr_siphash_key hash_key;
};

struct mr_table {
    struct mr_table_core core;
};

/* Bytes that mr_table_init() needs for `capacity` keys. */
size_t mr_table_footprint(uint32_t capacity);

/*
 * Make it empty.  `mem` has mr_table_footprint() bytes, aligned to 8 (to a cache line is
 * better), and stays borrowed.  1 <= `capacity` <= MR_TABLE_CAPACITY_MAX.  `hash_key` is
 * secret and random when a peer can choose keys.  O(capacity).
 */
void mr_table_init(struct mr_table *table, void *mem, uint32_t capacity,
                   const struct mr_siphash_key *hash_key);

/* Add a key of `size` <= MR_TABLE_KEY_MAX bytes, which is copied, with `value` != MR_NONE. */
enum mr_table_verdict mr_table_insert(struct mr_table *table, const void *key, size_t size,
                                      uint32_t value);

/* The value of the key; MR_NONE if it is not there (also when it is longer than MR_TABLE_KEY_MAX).
 */
uint32_t mr_table_find(const struct mr_table *table, const void *key, size_t size);

/* Remove the key.  Returns the value it had; MR_NONE if it was not there. */
uint32_t mr_table_remove(struct mr_table *table, const void *key, size_t size);

/* Give the key, if it is there, another value != MR_NONE.  True: it is. */
bool mr_table_replace(struct mr_table *table, const void *key, size_t size, uint32_t value);

/* Panic if an invariant is broken.  O(capacity). */
void mr_table_check(const struct mr_table *table);

/* Private. */
struct mr_table8_slot {
    struct mr_table_head head;
    uint64_t key;
};

struct mr_table8 {
    struct mr_table_core core;
};

/* As the functions of struct mr_table; `key` is any number (bytes: mr_load_le64()). */
size_t mr_table8_footprint(uint32_t capacity);
void mr_table8_init(struct mr_table8 *table, void *mem, uint32_t capacity,
                    const struct mr_siphash_key *hash_key);
enum mr_table_verdict mr_table8_insert(struct mr_table8 *table, uint64_t key, uint32_t value);
uint32_t mr_table8_remove(struct mr_table8 *table, uint64_t key);
bool mr_table8_replace(struct mr_table8 *table, uint64_t key, uint32_t value);
void mr_table8_check(const struct mr_table8 *table);

/* The slots, from the one at `home` on. */
static inline const struct mr_table8_slot *mr_table8_slots(const struct mr_table8 *table,
                                                           uint32_t home)
{
    return (const struct mr_table8_slot *)(const void *)table->core.slots + home;
}

/* The index of the slot to start at: the keyed hash of `key`, scaled to the homes. */
static inline uint32_t mr_table8_home(const struct mr_table8 *table, uint64_t key)
{
    uint64_t hash = mr_siphash13_word(&table->core.hash_key, key) >> 32;

    return (uint32_t)(hash * table->core.homes >> 32);
}

/* Start to fetch the slots at `home` = mr_table8_home(). */
MR_INLINE void mr_table8_prefetch(const struct mr_table8 *table, uint32_t home)
{
    __builtin_prefetch(mr_table8_slots(table, home));
}

/* The value of `key`, whose home is `home`; MR_NONE if it is not there. */
static inline uint32_t mr_table8_find_from(const struct mr_table8 *table, uint64_t key,
                                           uint32_t home)
{
    const struct mr_table8_slot *slot = mr_table8_slots(table, home);

    for (uint32_t reach = 1; slot->head.reach >= reach; reach++, slot++)
        if (slot->key == key)
            return slot->head.value;
    return MR_NONE;
}

/* The value of `key`; MR_NONE if it is not there. */
static inline uint32_t mr_table8_find(const struct mr_table8 *table, uint64_t key)
{
    return mr_table8_find_from(table, key, mr_table8_home(table, key));
}

/*
 * The values of keys[0..n), MR_NONE for each that is not there.  Hashes and prefetches
 * the whole burst first, so the cache misses of different keys overlap.
 */
void mr_table8_find_burst(const struct mr_table8 *table, const uint64_t *keys, uint32_t n,
                          uint32_t *values_out);

#endif /* MR_BASE_TABLE_H */
