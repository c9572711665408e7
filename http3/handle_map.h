/*
 * http3/handle_map.h - from a transport's handle to an index.  Fixed size, open addressing.
 *
 * Keys are the transport's own words, which no peer chooses.  At most half of the slots are in use,
 * so that a search ends soon.  Removal closes the gap; there are no tombstones.
 *
 * Owner and threads: as the table it serves.
 */
#ifndef MR_HTTP3_HANDLE_MAP_H
#define MR_HTTP3_HANDLE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/pool.h"

struct mr_handle_slot {
    uint64_t key; /* 0: free */
    uint32_t index;
};

struct mr_handle_map {
    struct mr_handle_slot *slots;
    uint32_t mask;
    uint32_t used;
};

/* Slots for `count` keys: a power of two. */
static inline uint32_t mr_handle_map_slots(uint32_t count)
{
    uint32_t slots = 4;

    while (slots < 2 * count)
        slots *= 2;
    return slots;
}

static inline size_t mr_handle_map_footprint(uint32_t count)
{
    return mr_handle_map_slots(count) * sizeof(struct mr_handle_slot);
}

/* Lay a map for `count` keys out in `mem` (mr_handle_map_footprint() bytes), which stays borrowed.
 */
void mr_handle_map_init(struct mr_handle_map *map, void *mem, uint32_t count);

/* Remember `index` under `key`, which is not 0 and not in the map; there are fewer than `count`
 * keys. */
void mr_handle_map_put(struct mr_handle_map *map, uint64_t key, uint32_t index);

/* The index under `key`; MR_NONE: it is not in the map. */
uint32_t mr_handle_map_get(const struct mr_handle_map *map, uint64_t key);

/* Forget `key`, if it is in the map. */
void mr_handle_map_remove(struct mr_handle_map *map, uint64_t key);

#endif /* MR_HTTP3_HANDLE_MAP_H */
