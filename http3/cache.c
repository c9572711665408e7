/* http3/cache.c - see cache.h. */
#include "http3/cache.h"

#include <string.h>

#include "base/assert.h"

static uint32_t chain_count(size_t size)
{
    uint32_t count = 16;

    while ((size_t)count * MR_CACHE_BYTES_PER_CHAIN < size && count < UINT32_C(1) << 24)
        count *= 2;
    return count;
}

size_t mr_cache_footprint(size_t size)
{
    return size == 0 ? 0 : chain_count(size) * sizeof(struct mr_cache_entry *) + size + 1024;
}

void mr_cache_init(struct mr_cache *cache, void *mem, size_t size, const struct mr_siphash_key *key)
{
    memset(cache, 0, sizeof(*cache));
    cache->key = *key;
    if (size == 0)
        return;

    uint32_t count = chain_count(size);
    cache->chains = mem;
    cache->chain_mask = count - 1;
    memset(mem, 0, count * sizeof(struct mr_cache_entry *));
    mr_heap_init(&cache->heap, (uint8_t *)mem + count * sizeof(struct mr_cache_entry *),
                 size + 1024);
}

/* ---- the order of use ---- */

static void use_add(struct mr_cache *cache, struct mr_cache_entry *entry)
{
    entry->newer = NULL;
    entry->older = cache->newest;
    if (cache->newest != NULL)
        cache->newest->newer = entry;
    else
        cache->oldest = entry;
    cache->newest = entry;
}

static void use_remove(struct mr_cache *cache, struct mr_cache_entry *entry)
{
    if (entry->newer != NULL)
        entry->newer->older = entry->older;
    else
        cache->newest = entry->older;
    if (entry->older != NULL)
        entry->older->newer = entry->newer;
    else
        cache->oldest = entry->newer;
}

/* ---- chains ---- */

static uint32_t chain_of(const struct mr_cache *cache, const char *key, size_t key_size)
{
    return (uint32_t)mr_siphash13(&cache->key, key, key_size) & cache->chain_mask;
}

static struct mr_cache_entry *search(const struct mr_cache *cache, uint32_t chain, const void *key,
                                     size_t key_size)
{
    for (struct mr_cache_entry *e = cache->chains[chain]; e != NULL; e = e->next) {
        if (e->key_size == key_size && memcmp(e->bytes, key, key_size) == 0)
            return e;
    }
    return NULL;
}

struct mr_cache_entry *mr_cache_find(struct mr_cache *cache, const char *key, size_t key_size)
{
    if (cache->chains == NULL)
        return NULL;

    struct mr_cache_entry *entry = search(cache, chain_of(cache, key, key_size), key, key_size);
    if (entry != NULL) {
        use_remove(cache, entry);
        use_add(cache, entry);
    }
    return entry;
}

/* Memory for an entry, giving up others for it. */
static struct mr_cache_entry *alloc_entry(struct mr_cache *cache, size_t bytes)
{
    struct mr_cache_entry *entry = mr_heap_alloc(&cache->heap, bytes);
    struct mr_cache_entry *victim = cache->oldest;

    for (int i = 0; entry == NULL && victim != NULL && i < MR_CACHE_EVICTIONS_MAX; i++) {
        struct mr_cache_entry *newer = victim->newer;
        if (victim->pins == 0) {
            mr_cache_drop(cache, victim);
            cache->evictions++;
            entry = mr_heap_alloc(&cache->heap, bytes);
        }
        victim = newer;
    }
    return entry;
}

struct mr_cache_entry *mr_cache_reserve(struct mr_cache *cache, const char *key, size_t key_size,
                                        size_t size)
{
    if (cache->chains == NULL || size > cache->heap.size)
        return NULL;

    struct mr_cache_entry *entry = alloc_entry(cache, sizeof(*entry) + key_size + size);
    if (entry == NULL)
        return NULL;
    *entry = (struct mr_cache_entry){
        .pins = 1,
        .key_size = (uint32_t)key_size,
        .chain = chain_of(cache, key, key_size),
        .size = size,
    };
    memcpy(entry->bytes, key, key_size);
    cache->pins++;
    return entry;
}

void mr_cache_insert(struct mr_cache *cache, struct mr_cache_entry *entry)
{
    struct mr_cache_entry *other = search(cache, entry->chain, entry->bytes, entry->key_size);

    MR_ASSERT(!entry->is_cached);
    if (other != NULL)
        mr_cache_drop(cache, other);
    entry->is_cached = true;
    entry->next = cache->chains[entry->chain];
    cache->chains[entry->chain] = entry;
    use_add(cache, entry);
    cache->entries++;
}

static void free_if_unused(struct mr_cache *cache, struct mr_cache_entry *entry)
{
    if (!entry->is_cached && entry->pins == 0)
        mr_heap_free(&cache->heap, entry);
}

void mr_cache_drop(struct mr_cache *cache, struct mr_cache_entry *entry)
{
    if (entry->is_cached) {
        struct mr_cache_entry **at = &cache->chains[entry->chain];
        while (*at != entry)
            at = &(*at)->next;
        *at = entry->next;
        use_remove(cache, entry);
        entry->is_cached = false;
        cache->entries--;
    }
    free_if_unused(cache, entry);
}

void mr_cache_pin(struct mr_cache *cache, struct mr_cache_entry *entry)
{
    entry->pins++;
    cache->pins++;
}

void mr_cache_unpin(struct mr_cache *cache, struct mr_cache_entry *entry)
{
    MR_ASSERT(entry->pins > 0);
    entry->pins--;
    cache->pins--;
    free_if_unused(cache, entry);
}

void mr_cache_check(const struct mr_cache *cache)
{
    uint32_t used = 0;
    uint32_t chained = 0;

    if (cache->chains == NULL)
        return;
    for (const struct mr_cache_entry *e = cache->newest; e != NULL; e = e->older) {
        MR_ASSERT(e->is_cached);
        MR_ASSERT(e->older == NULL ? cache->oldest == e : e->older->newer == e);
        used++;
    }
    for (uint32_t i = 0; i <= cache->chain_mask; i++) {
        for (const struct mr_cache_entry *e = cache->chains[i]; e != NULL; e = e->next) {
            MR_ASSERT(e->chain == i);
            chained++;
        }
    }
    MR_ASSERT(used == cache->entries);
    MR_ASSERT(chained == cache->entries);
    MR_ASSERT(cache->heap.live >= cache->entries);
    mr_heap_check(&cache->heap);
}
