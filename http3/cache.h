/*
 * http3/cache.h - whole small files in memory, found by their path.
 *
 *     chains by keyed hash -> entry | key | content |      least recently used first: given up
 * first
 *
 * An entry in use is pinned: it stays in memory until the last pin is gone, even if it was dropped
 * from the cache meanwhile (its file changed, or room was needed).  How long an entry may be used
 * without looking at the disk is the caller's `fresh_until`; from `check_from` on one request looks
 * there while the others go on using the entry, so that they do not all look at once.
 *
 * Owner: one server.  Threads: the transport's; while an entry is being filled, its content belongs
 * to a helper thread. Limits: the memory given; MR_CACHE_EVICTIONS_MAX entries are given up to make
 * room for one.  An entry that finds no room is not cached.
 */
#ifndef MR_HTTP3_CACHE_H
#define MR_HTTP3_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/siphash.h"
#include "http3/conditional.h"
#include "http3/h3_lines.h"
#include "http3/heap.h"

enum {
    MR_CACHE_EVICTIONS_MAX = 64,
    MR_CACHE_BYTES_PER_CHAIN = 4096, /* of memory: decides the number of chains */
};

struct mr_cache_entry {
    struct mr_cache_entry *next;  /* in its chain */
    struct mr_cache_entry *newer; /* in the order of use */
    struct mr_cache_entry *older;
    struct mr_file_version version;
    const char *content_type; /* static */
    uint64_t check_from;
    uint64_t fresh_until;
    uint32_t pins;
    bool is_cached;        /* can be found */
    bool is_being_checked; /* somebody looks at the disk; matters until `fresh_until` */
    uint32_t key_size;
    uint32_t chain;
    size_t size;             /* of the content */
    struct mr_h3_lines head; /* of an answer with all of it, but for the date; once it was made */
    uint8_t bytes[];         /* key, then content */
};

struct mr_cache {
    struct mr_heap heap;
    struct mr_cache_entry **chains;
    uint32_t chain_mask;
    uint32_t entries; /* cached */
    uint32_t pins;
    uint64_t evictions;
    struct mr_cache_entry *newest;
    struct mr_cache_entry *oldest;
    struct mr_siphash_key key;
};

/* Bytes for mr_cache_init() of a cache with `size` bytes of entries; 0 for 0. */
size_t mr_cache_footprint(size_t size);
void mr_cache_init(struct mr_cache *cache, void *mem, size_t size,
                   const struct mr_siphash_key *key);

/* The entry of `key`, now the most recently used; NULL: none. */
struct mr_cache_entry *mr_cache_find(struct mr_cache *cache, const char *key, size_t key_size);

/* An entry of `size` bytes of content for `key`, pinned once and not yet cached; NULL: no room. */
struct mr_cache_entry *mr_cache_reserve(struct mr_cache *cache, const char *key, size_t key_size,
                                        size_t size);

/* The entry's content is complete: let it be found, instead of any other of its key. */
void mr_cache_insert(struct mr_cache *cache, struct mr_cache_entry *entry);

/* The entry must not be found any more.  It is freed once it is not pinned. */
void mr_cache_drop(struct mr_cache *cache, struct mr_cache_entry *entry);

void mr_cache_pin(struct mr_cache *cache, struct mr_cache_entry *entry);
void mr_cache_unpin(struct mr_cache *cache, struct mr_cache_entry *entry);

static inline uint8_t *mr_cache_content(struct mr_cache_entry *entry)
{
    return entry->bytes + entry->key_size;
}

/* Panic unless every invariant holds.  For tests. */
void mr_cache_check(const struct mr_cache *cache);

#endif /* MR_HTTP3_CACHE_H */
