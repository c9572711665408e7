/* examples/kv/kv_store.c - see kv_store.h. */
#include "examples/kv/kv_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct kv_store {
    uint32_t count;
    uint32_t max;
    uint32_t written;          /* of these, with a value */
    struct kv_entry entries[]; /* by key; each with memory of its own, the key's, value behind it */
};

struct kv_store *kv_store_new(uint32_t entries_max)
{
    struct kv_store *store = calloc(1, sizeof(*store) + entries_max * sizeof(struct kv_entry));

    if (store != NULL)
        store->max = entries_max;
    return store;
}

static void free_memory(const struct kv_entry *entry)
{
    free((void *)(uintptr_t)entry->key.data);
}

void kv_store_free(struct kv_store *store)
{
    if (store == NULL)
        return;
    for (uint32_t i = 0; i < store->count; i++)
        free_memory(&store->entries[i]);
    free(store);
}

uint32_t kv_store_count(const struct kv_store *store)
{
    return store->written;
}

bool kv_is_later(const struct kv_version *a, const struct kv_version *b)
{
    return a->counter != b->counter ? a->counter > b->counter : a->node > b->node;
}

int kv_compare(struct mr_view a, struct mr_view b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size == 0 ? 0 : memcmp(a.data, b.data, size);

    if (order != 0)
        return order;
    return a.size < b.size ? -1 : a.size > b.size;
}

bool kv_sizes_are_right(struct mr_view key, struct mr_view value)
{
    return key.size > 0 && key.size <= KV_KEY_MAX && value.size <= KV_VALUE_MAX;
}

/* The first that is not before `key`. */
static uint32_t place_of(const struct kv_store *store, struct mr_view key)
{
    uint32_t lo = 0, hi = store->count;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (kv_compare(store->entries[mid].key, key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static bool is_at(const struct kv_store *store, uint32_t place, struct mr_view key)
{
    return place < store->count && kv_compare(store->entries[place].key, key) == 0;
}

const struct kv_entry *kv_store_get(const struct kv_store *store, struct mr_view key)
{
    uint32_t place = place_of(store, key);

    return is_at(store, place, key) ? &store->entries[place] : NULL;
}

const struct kv_entry *kv_store_next(const struct kv_store *store, struct mr_view key)
{
    uint32_t place = place_of(store, key);

    place += is_at(store, place, key);
    while (place < store->count && store->entries[place].version.counter == 0)
        place++;
    return place < store->count ? &store->entries[place] : NULL;
}

static void copy(uint8_t *to, struct mr_view from)
{
    if (from.size > 0)
        memcpy(to, from.data, from.size);
}

/* Replace what is there of the key, or insert. */
static int put(struct kv_store *store, uint32_t place, const struct kv_entry *entry)
{
    struct kv_entry *at = &store->entries[place];
    bool is_there = is_at(store, place, entry->key);

    if (!kv_sizes_are_right(entry->key, entry->value))
        return -EMSGSIZE;
    if (!is_there && store->count == store->max)
        return -ENOSPC;
    uint8_t *memory = malloc(entry->key.size + entry->value.size);
    if (memory == NULL)
        return -ENOMEM;
    copy(memory, entry->key);
    copy(memory + entry->key.size, entry->value);
    if (is_there) {
        store->written -= at->version.counter != 0;
        free_memory(at);
    } else {
        memmove(at + 1, at, (store->count++ - place) * sizeof(*at));
    }
    *at = *entry;
    at->key.data = memory;
    at->value.data = memory + entry->key.size;
    store->written += at->version.counter != 0;
    return 0;
}

int kv_store_promise(struct kv_store *store, struct mr_view key, const struct kv_version *version)
{
    uint32_t place = place_of(store, key);

    if (!is_at(store, place, key))
        return put(store, place, &(struct kv_entry){.key = key, .promised = *version});
    if (!kv_is_later(version, &store->entries[place].promised))
        return -ESTALE;
    store->entries[place].promised = *version;
    return 0;
}

int kv_store_set(struct kv_store *store, const struct kv_entry *entry)
{
    uint32_t place = place_of(store, entry->key);
    struct kv_entry kept = *entry;

    if (is_at(store, place, entry->key) &&
        kv_is_later(&store->entries[place].promised, &entry->version))
        return -ESTALE;
    kept.promised = entry->version;
    return put(store, place, &kept);
}
