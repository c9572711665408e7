/*
 * base/table.c - see table.h.
 *
 * The two tables differ in their keys only.  What does not look at a key is written once,
 * for slots of any stride, and comes first.
 */
#include "base/table.h"

#include <string.h>

#include "base/assert.h"

#define BURST_MAX 32 /* homes that mr_table8_find_burst() keeps at a time */

_Static_assert(sizeof(struct mr_table_slot) == 32, "two slots per cache line");
_Static_assert(sizeof(struct mr_table8_slot) == 16, "four slots per cache line");
_Static_assert(offsetof(struct mr_table_slot, head) == 0, "head_at() relies on it");
_Static_assert(offsetof(struct mr_table8_slot, head) == 0, "head_at() relies on it");

/* Homes for `capacity` keys: one third more, so that 3/4 are in use at most. */
static uint32_t homes_for(uint32_t capacity)
{
    MR_ASSERT(capacity >= 1 && capacity <= MR_TABLE_CAPACITY_MAX);
    return capacity + capacity / 3 + 1;
}

static size_t footprint(uint32_t capacity, size_t stride)
{
    return ((size_t)homes_for(capacity) + MR_TABLE_PROBE_MAX + 1) * stride;
}

static void init(struct mr_table_core *core, void *mem, uint32_t capacity, size_t stride,
                 const struct mr_siphash_key *hash_key)
{
    memset(mem, 0, footprint(capacity, stride));
    *core = (struct mr_table_core){
        .slots = mem,
        .stride = (uint32_t)stride,
        .homes = homes_for(capacity),
        .capacity = capacity,
        .hash_key = *hash_key,
    };
}

static struct mr_table_head *head_at(const struct mr_table_core *core, uint32_t i)
{
    return (struct mr_table_head *)(void *)(core->slots + (size_t)i * core->stride);
}

static uint32_t home_of_hash(const struct mr_table_core *core, uint64_t hash)
{
    return (uint32_t)((hash >> 32) * core->homes >> 32);
}

/* Move slots [begin, end) by one to the right, or to the left. */
static void shift(struct mr_table_core *core, uint32_t begin, uint32_t end, int by)
{
    memmove(head_at(core, begin + (uint32_t)by), head_at(core, begin),
            (size_t)(end - begin) * core->stride);
    for (uint32_t i = begin; i < end; i++)
        head_at(core, i + (uint32_t)by)->reach += (uint32_t)by;
}

/*
 * Make slot `i`, which is `reach` - 1 from its new key's home, free for it by moving the rest
 * of the cluster.  False, and nothing changed, if the table is full, or a key would get too
 * far from its home.
 */
static bool make_room(struct mr_table_core *core, uint32_t i, uint32_t reach)
{
    uint32_t end = i;

    if (core->count == core->capacity || reach > MR_TABLE_PROBE_MAX + 1)
        return false;
    for (; head_at(core, end)->reach != 0; end++)
        if (head_at(core, end)->reach > MR_TABLE_PROBE_MAX)
            return false;
    shift(core, i, end, 1);
    core->count++;
    return true;
}

/* Empty slot `i` and move the keys after it that are not at home back.  Returns its value. */
static uint32_t remove_at(struct mr_table_core *core, uint32_t i)
{
    uint32_t value = head_at(core, i)->value;
    uint32_t end = i + 1;

    while (head_at(core, end)->reach > 1)
        end++;
    shift(core, i + 1, end, -1);
    memset(head_at(core, end - 1), 0, core->stride);
    core->count--;
    return value;
}

/* Panic if slot `i` does not lie where a search for its key, whose home is `home`, looks. */
static void check_slot(const struct mr_table_core *core, uint32_t i, uint32_t home)
{
    const struct mr_table_head *head = head_at(core, i);

    MR_ASSERT(head->value != MR_NONE);
    MR_ASSERT(head->reach <= MR_TABLE_PROBE_MAX + 1);
    MR_ASSERT(home < core->homes);
    MR_ASSERT(home + head->reach - 1 == i);
    if (head->reach > 1)
        MR_ASSERT(head_at(core, i - 1)->reach + 1 >= head->reach); /* in the order of the homes */
}

/* Panic unless `used` slots are the ones that count, and the last slot is empty. */
static void check_count(const struct mr_table_core *core, uint32_t used)
{
    MR_ASSERT(used == core->count);
    MR_ASSERT(used <= core->capacity);
    MR_ASSERT(head_at(core, core->homes + MR_TABLE_PROBE_MAX)->reach == 0);
}

/* struct mr_table */

size_t mr_table_footprint(uint32_t capacity)
{
    return footprint(capacity, sizeof(struct mr_table_slot));
}

void mr_table_init(struct mr_table *table, void *mem, uint32_t capacity,
                   const struct mr_siphash_key *hash_key)
{
    init(&table->core, mem, capacity, sizeof(struct mr_table_slot), hash_key);
}

static struct mr_table_slot *slots_of(const struct mr_table *table)
{
    return (struct mr_table_slot *)(void *)table->core.slots;
}

static struct mr_table_key padded(const void *bytes, size_t size)
{
    struct mr_table_key key = {.size = (uint8_t)size};

    memcpy(key.bytes, bytes, size);
    return key;
}

/* In a time that says nothing of where two keys differ: some are reset tokens (RFC 9000,
 * Section 10.3.1). */
static bool is_same(const struct mr_table_key *a, const struct mr_table_key *b)
{
    uint64_t x[3];
    uint64_t y[3];

    _Static_assert(sizeof(x) == sizeof(*a), "every byte is compared");
    memcpy(x, a, sizeof(x));
    memcpy(y, b, sizeof(y));
    return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2])) == 0;
}

static uint32_t home_of(const struct mr_table *table, const struct mr_table_key *key)
{
    return home_of_hash(&table->core, mr_siphash13(&table->core.hash_key, key->bytes, key->size));
}

/* Where a search for a key ended. */
struct place {
    uint32_t slot;
    uint32_t reach; /* of the key, if it were put there */
    bool is_found;
};

static struct place search(const struct mr_table *table, const struct mr_table_key *key)
{
    const struct mr_table_slot *slots = slots_of(table);
    struct place at = {.slot = home_of(table, key), .reach = 1};

    for (; slots[at.slot].head.reach >= at.reach; at.slot++, at.reach++) {
        if (is_same(&slots[at.slot].key, key)) {
            at.is_found = true;
            break;
        }
    }
    return at;
}

uint32_t mr_table_find(const struct mr_table *table, const void *key, size_t size)
{
    if (size > MR_TABLE_KEY_MAX)
        return MR_NONE;

    struct mr_table_key wanted = padded(key, size);
    struct place at = search(table, &wanted);
    return at.is_found ? slots_of(table)[at.slot].head.value : MR_NONE;
}

enum mr_table_verdict mr_table_insert(struct mr_table *table, const void *key, size_t size,
                                      uint32_t value)
{
    MR_ASSERT(size <= MR_TABLE_KEY_MAX);
    MR_DASSERT(value != MR_NONE);

    struct mr_table_key added = padded(key, size);
    struct place at = search(table, &added);
    if (at.is_found)
        return MR_TABLE_EXISTS;
    if (!make_room(&table->core, at.slot, at.reach))
        return MR_TABLE_FULL;
    slots_of(table)[at.slot] = (struct mr_table_slot){{.reach = at.reach, .value = value}, added};
    return MR_TABLE_ADDED;
}

uint32_t mr_table_remove(struct mr_table *table, const void *key, size_t size)
{
    if (size > MR_TABLE_KEY_MAX)
        return MR_NONE;

    struct mr_table_key wanted = padded(key, size);
    struct place at = search(table, &wanted);
    return at.is_found ? remove_at(&table->core, at.slot) : MR_NONE;
}

bool mr_table_replace(struct mr_table *table, const void *key, size_t size, uint32_t value)
{
    MR_ASSERT(size <= MR_TABLE_KEY_MAX);
    MR_DASSERT(value != MR_NONE);

    struct mr_table_key wanted = padded(key, size);
    struct place at = search(table, &wanted);
    if (at.is_found)
        slots_of(table)[at.slot].head.value = value;
    return at.is_found;
}

void mr_table_check(const struct mr_table *table)
{
    const struct mr_table_slot *slots = slots_of(table);
    uint32_t used = 0;

    for (uint32_t i = 0; i < table->core.homes + MR_TABLE_PROBE_MAX; i++) {
        if (slots[i].head.reach == 0)
            continue;
        used++;
        check_slot(&table->core, i, home_of(table, &slots[i].key));
        MR_ASSERT(slots[i].key.size <= MR_TABLE_KEY_MAX);
    }
    check_count(&table->core, used);
}

/* struct mr_table8 */

size_t mr_table8_footprint(uint32_t capacity)
{
    return footprint(capacity, sizeof(struct mr_table8_slot));
}

void mr_table8_init(struct mr_table8 *table, void *mem, uint32_t capacity,
                    const struct mr_siphash_key *hash_key)
{
    init(&table->core, mem, capacity, sizeof(struct mr_table8_slot), hash_key);
}

static struct mr_table8_slot *slots8_of(const struct mr_table8 *table)
{
    return (struct mr_table8_slot *)(void *)table->core.slots;
}

static struct place search8(const struct mr_table8 *table, uint64_t key)
{
    const struct mr_table8_slot *slots = slots8_of(table);
    struct place at = {.slot = mr_table8_home(table, key), .reach = 1};

    for (; slots[at.slot].head.reach >= at.reach; at.slot++, at.reach++) {
        if (slots[at.slot].key == key) {
            at.is_found = true;
            break;
        }
    }
    return at;
}

void mr_table8_find_burst(const struct mr_table8 *table, const uint64_t *keys, uint32_t n,
                          uint32_t *values_out)
{
    uint32_t home[BURST_MAX];

    for (uint32_t begin = 0; begin < n; begin += BURST_MAX) {
        uint32_t end = MR_MIN(n, begin + BURST_MAX);
        uint64_t previous = ~keys[begin]; /* bursts come in trains: it is often the same */
        uint32_t value = MR_NONE;

        for (uint32_t i = begin; i < end; previous = keys[i++]) {
            if (keys[i] == previous)
                continue;
            home[i - begin] = mr_table8_home(table, keys[i]);
            mr_table8_prefetch(table, home[i - begin]);
        }
        previous = ~keys[begin];
        for (uint32_t i = begin; i < end; previous = keys[i++]) {
            if (keys[i] != previous)
                value = mr_table8_find_from(table, keys[i], home[i - begin]);
            values_out[i] = value;
        }
    }
}

enum mr_table_verdict mr_table8_insert(struct mr_table8 *table, uint64_t key, uint32_t value)
{
    MR_DASSERT(value != MR_NONE);

    struct place at = search8(table, key);
    if (at.is_found)
        return MR_TABLE_EXISTS;
    if (!make_room(&table->core, at.slot, at.reach))
        return MR_TABLE_FULL;
    slots8_of(table)[at.slot] = (struct mr_table8_slot){{.reach = at.reach, .value = value}, key};
    return MR_TABLE_ADDED;
}

uint32_t mr_table8_remove(struct mr_table8 *table, uint64_t key)
{
    struct place at = search8(table, key);

    return at.is_found ? remove_at(&table->core, at.slot) : MR_NONE;
}

bool mr_table8_replace(struct mr_table8 *table, uint64_t key, uint32_t value)
{
    MR_DASSERT(value != MR_NONE);

    struct place at = search8(table, key);
    if (at.is_found)
        slots8_of(table)[at.slot].head.value = value;
    return at.is_found;
}

void mr_table8_check(const struct mr_table8 *table)
{
    const struct mr_table8_slot *slots = slots8_of(table);
    uint32_t used = 0;

    for (uint32_t i = 0; i < table->core.homes + MR_TABLE_PROBE_MAX; i++) {
        if (slots[i].head.reach == 0)
            continue;
        used++;
        check_slot(&table->core, i, mr_table8_home(table, slots[i].key));
    }
    check_count(&table->core, used);
}
