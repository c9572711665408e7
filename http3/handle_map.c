/* http3/handle_map.c - see handle_map.h. */
#include "http3/handle_map.h"

#include <string.h>

static uint32_t home_of(const struct mr_handle_map *map, uint64_t key)
{
    return (uint32_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32) & map->mask;
}

/* The slot of `key`, or the free slot where it would go. */
static uint32_t find(const struct mr_handle_map *map, uint64_t key)
{
    uint32_t slot = home_of(map, key);

    while (map->slots[slot].key != key && map->slots[slot].key != 0)
        slot = (slot + 1) & map->mask;
    return slot;
}

void mr_handle_map_init(struct mr_handle_map *map, void *mem, uint32_t count)
{
    map->slots = mem;
    map->mask = mr_handle_map_slots(count) - 1;
    map->used = 0;
    memset(mem, 0, mr_handle_map_footprint(count));
}

void mr_handle_map_put(struct mr_handle_map *map, uint64_t key, uint32_t index)
{
    uint32_t slot = find(map, key);

    MR_ASSERT(key != 0);
    MR_ASSERT(map->slots[slot].key == 0);
    MR_ASSERT(map->used < map->mask);
    map->slots[slot] = (struct mr_handle_slot){key, index};
    map->used++;
}

uint32_t mr_handle_map_get(const struct mr_handle_map *map, uint64_t key)
{
    uint32_t slot = find(map, key);

    return key != 0 && map->slots[slot].key == key ? map->slots[slot].index : MR_NONE;
}

void mr_handle_map_remove(struct mr_handle_map *map, uint64_t key)
{
    uint32_t gap = find(map, key);

    if (key == 0 || map->slots[gap].key != key)
        return;
    map->used--;
    map->slots[gap].key = 0;
    /* move back what was pushed past the gap, so that searches still find it */
    for (uint32_t at = (gap + 1) & map->mask; map->slots[at].key != 0; at = (at + 1) & map->mask) {
        uint32_t home = home_of(map, map->slots[at].key);
        if (((at - home) & map->mask) >= ((at - gap) & map->mask)) {
            map->slots[gap] = map->slots[at];
            map->slots[at].key = 0;
            gap = at;
        }
    }
}
