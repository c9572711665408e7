/*
 * tests/fuzz/fuzz_table.c - property test of base/table.h against a model.
 *
 * The input is a program of three-byte steps: an operation and a 16-bit number that names a
 * key.  Keys are few, so that steps meet each other, and half of them are chosen so that
 * their homes lie close together: real tables are never that full, and clusters are where
 * mistakes would be.  The model is an array of values by key.  Properties:
 *   1. insert says ADDED, EXISTS or FULL as the model has it (FULL also for a distance that
 *      the table refuses: then a search of that many slots was really needed);
 *   2. find and remove give the model's value, single and in a burst;
 *   3. replace changes the value of a key that is there, and adds none;
 *   4. the table's invariants hold after each step that changes it.
 */
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/table.h"

enum {
    CAPACITY = 200,
    KEYS = 256,
    STEP = 3,
    SLOTS = 2 * CAPACITY + MR_TABLE_PROBE_MAX
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mr_table table;
static struct mr_table8 table8;
static uint64_t mem[SLOTS * 32 / 8], mem8[SLOTS * 16 / 8];
static uint32_t model[KEYS], model8[KEYS]; /* MR_NONE: not there */
static uint64_t words[KEYS];               /* the key that a number names */
static uint32_t steps;

/* Half of the keys crowd into the first 32 homes, and the last 8 (where the array ends). */
static void choose_keys(void)
{
    uint64_t candidate = 0;

    for (uint32_t i = 0; i < KEYS; i++) {
        uint32_t home;
        do {
            home = mr_table8_home(&table8, ++candidate);
        } while (i < KEYS / 2 && home > 32 && home < table8.core.homes - 8);
        words[i] = candidate;
    }
}

static void start(void)
{
    static const struct mr_siphash_key hash_key = {0x0706050403020100, 0x0f0e0d0c0b0a0908};

    MR_ASSERT(mr_table_footprint(CAPACITY) <= sizeof(mem));
    MR_ASSERT(mr_table8_footprint(CAPACITY) <= sizeof(mem8));
    mr_table_init(&table, mem, CAPACITY, &hash_key);
    mr_table8_init(&table8, mem8, CAPACITY, &hash_key);
    memset(model, 0xff, sizeof(model));
    memset(model8, 0xff, sizeof(model8));
    if (words[0] == 0)
        choose_keys();
}

/* A key of any length, its first bytes a word's; two numbers never name the same. */
struct key {
    uint8_t bytes[MR_TABLE_KEY_MAX];
    size_t size;
};

static struct key key_of(uint32_t number)
{
    struct key key = {.size = number % 4 == 0 ? 8 : number % 4 == 1 ? 20 : 1 + number % 20};

    mr_store_le64(key.bytes, words[number]);
    key.bytes[0] = (uint8_t)number; /* in every key, however short */
    return key;
}

static enum mr_table_verdict expected(const uint32_t *values, uint32_t number, uint32_t count)
{
    if (values[number] != MR_NONE)
        return MR_TABLE_EXISTS;
    return count == CAPACITY ? MR_TABLE_FULL : MR_TABLE_ADDED;
}

static void insert(uint32_t number)
{
    struct key key = key_of(number);
    enum mr_table_verdict wanted = expected(model, number, table.core.count);
    enum mr_table_verdict wanted8 = expected(model8, number, table8.core.count);

    MR_ASSERT(mr_table_insert(&table, key.bytes, key.size, steps) == wanted);
    if (wanted == MR_TABLE_ADDED)
        model[number] = steps;

    enum mr_table_verdict verdict = mr_table8_insert(&table8, words[number], steps);
    if (verdict == MR_TABLE_ADDED)
        model8[number] = steps;
    if (verdict == MR_TABLE_FULL && wanted8 == MR_TABLE_ADDED)
        MR_ASSERT(table8.core.count > MR_TABLE_PROBE_MAX); /* refused for its distance */
    else
        MR_ASSERT(verdict == wanted8);
}

static void remove_key(uint32_t number)
{
    struct key key = key_of(number);

    MR_ASSERT(mr_table_remove(&table, key.bytes, key.size) == model[number]);
    MR_ASSERT(mr_table8_remove(&table8, words[number]) == model8[number]);
    model[number] = MR_NONE;
    model8[number] = MR_NONE;
}

static void replace(uint32_t number)
{
    struct key key = key_of(number);

    MR_ASSERT(mr_table_replace(&table, key.bytes, key.size, steps) == (model[number] != MR_NONE));
    MR_ASSERT(mr_table8_replace(&table8, words[number], steps) == (model8[number] != MR_NONE));
    model[number] = model[number] == MR_NONE ? MR_NONE : steps;
    model8[number] = model8[number] == MR_NONE ? MR_NONE : steps;
}

static void find(uint32_t number)
{
    struct key key = key_of(number);

    MR_ASSERT(mr_table_find(&table, key.bytes, key.size) == model[number]);
    MR_ASSERT(mr_table8_find(&table8, words[number]) == model8[number]);
}

static void find_all(void)
{
    uint32_t values[KEYS];

    mr_table8_find_burst(&table8, words, KEYS, values);
    MR_ASSERT(memcmp(values, model8, sizeof(values)) == 0);
    for (uint32_t number = 0; number < KEYS; number++)
        find(number);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    start();
    for (steps = 0; size >= STEP; data += STEP, size -= STEP, steps++) {
        /* the table drifts between almost empty and full: a phase lasts 256 steps */
        bool grows = steps / 256 % 2 == 0;
        uint32_t number = (uint32_t)(data[1] << 8 | data[2]) % KEYS;

        if (data[0] < 32) {
            if (data[0] < 16)
                replace(number);
            find(number);
            continue;
        }
        if ((data[0] < 190) == grows)
            insert(number);
        else
            remove_key(number);
        find(number);
        if (data[2] % 64 == 0) {
            mr_table_check(&table);
            mr_table8_check(&table8);
        }
    }
    mr_table_check(&table);
    mr_table8_check(&table8);
    find_all();
    return 0;
}
