/*
 * examples/kv/kv_store.h - what one node knows: keys, values, versions.  A pure value store, sorted
 * by key.
 *
 * Of each key it keeps the latest version that it was given, and a promise: a version below which
 * it takes nothing any more.
 */
#ifndef KV_STORE_H
#define KV_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <millrace/message.h>

enum {
    KV_KEY_MAX = 256,
    KV_VALUE_MAX = 4096
}; /* bytes; a key has at least one */

/* Later is higher: by counter, then by node. */
struct kv_version {
    uint64_t counter; /* 0: never written */
    uint32_t node;
};

struct kv_entry {
    struct mr_view key;
    struct mr_view value;
    struct kv_version version;  /* counter 0: there is a promise only */
    struct kv_version promised; /* not before `version` */
};

struct kv_store;

/* NULL: no memory. */
struct kv_store *kv_store_new(uint32_t entries_max);
void kv_store_free(struct kv_store *store);

/* Keys that have a value. */
uint32_t kv_store_count(const struct kv_store *store);

bool kv_is_later(const struct kv_version *a, const struct kv_version *b);

/* Less than, equal to or greater than 0, as memcmp(3); what begins another is before it. */
int kv_compare(struct mr_view a, struct mr_view b);

/* True if it can be a key's and a value's size. */
bool kv_sizes_are_right(struct mr_view key, struct mr_view value);

/* NULL: neither value nor promise.  Valid until the next change of the store. */
const struct kv_entry *kv_store_get(const struct kv_store *store, struct mr_view key);

/* The first with a value whose key is behind `key`; NULL: none.  An empty view is before all keys.
 */
const struct kv_entry *kv_store_next(const struct kv_store *store, struct mr_view key);

/* Promise to take nothing before `version`.  0; -ESTALE: it, or a later one, is promised already;
 * -ENOSPC; -ENOMEM; -EMSGSIZE. */
int kv_store_promise(struct kv_store *store, struct mr_view key, const struct kv_version *version);

/* Copy key and value in, unless a later version is promised: -ESTALE.  Its version becomes the
 * promise. 0; -ENOSPC; -ENOMEM; -EMSGSIZE. */
int kv_store_set(struct kv_store *store, const struct kv_entry *entry);

#endif /* KV_STORE_H */
