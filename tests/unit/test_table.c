/* Tests of base/table.h. */
#include "base/table.h"

#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "tests/unit/harness.h"

#define CAPACITY 1000

static const struct mr_siphash_key hash_key = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
static void *mem;
static struct mr_table table;
static struct mr_table8 table8;

static void init_tables(void)
{
    mem = malloc(2 * mr_table_footprint(CAPACITY)); /* half of it for each */
    CU_ASSERT_PTR_NOT_NULL_FATAL(mem);
    memset(mem, 0xa5, 2 * mr_table_footprint(CAPACITY));
    mr_table_init(&table, mem, CAPACITY, &hash_key);
    mr_table8_init(&table8, (uint8_t *)mem + mr_table_footprint(CAPACITY), CAPACITY, &hash_key);
}

static void free_tables(void)
{
    free(mem);
}

static void what_was_inserted_is_found_until_it_is_removed(void)
{
    CU_ASSERT_EQUAL(mr_table_find(&table, "abc", 3), MR_NONE);
    CU_ASSERT_EQUAL(mr_table_insert(&table, "abc", 3, 7), MR_TABLE_ADDED);
    CU_ASSERT_EQUAL(mr_table_find(&table, "abc", 3), 7);
    CU_ASSERT(mr_table_replace(&table, "abc", 3, 8));
    CU_ASSERT_FALSE(mr_table_replace(&table, "ab", 2, 9));
    CU_ASSERT_EQUAL(mr_table_remove(&table, "abc", 3), 8);
    CU_ASSERT_FALSE(mr_table_replace(&table, "abc", 3, 9));
    CU_ASSERT_EQUAL(mr_table_find(&table, "abc", 3), MR_NONE);
    CU_ASSERT_EQUAL(mr_table_remove(&table, "abc", 3), MR_NONE);

    CU_ASSERT_EQUAL(mr_table8_find(&table8, 5), MR_NONE);
    CU_ASSERT_EQUAL(mr_table8_insert(&table8, 5, 7), MR_TABLE_ADDED);
    CU_ASSERT_EQUAL(mr_table8_find(&table8, 5), 7);
    CU_ASSERT(mr_table8_replace(&table8, 5, 8));
    CU_ASSERT_FALSE(mr_table8_replace(&table8, 6, 9));
    CU_ASSERT_EQUAL(mr_table8_remove(&table8, 5), 8);
    CU_ASSERT_FALSE(mr_table8_replace(&table8, 5, 9));
    CU_ASSERT_EQUAL(mr_table8_find(&table8, 5), MR_NONE);
    CU_ASSERT_EQUAL(mr_table8_remove(&table8, 5), MR_NONE);
}

static void a_key_that_is_there_keeps_its_value(void)
{
    CU_ASSERT_EQUAL(mr_table_insert(&table, "abc", 3, 7), MR_TABLE_ADDED);
    CU_ASSERT_EQUAL(mr_table_insert(&table, "abc", 3, 8), MR_TABLE_EXISTS);
    CU_ASSERT_EQUAL(mr_table_find(&table, "abc", 3), 7);
    CU_ASSERT_EQUAL(mr_table8_insert(&table8, 0, 7), MR_TABLE_ADDED);
    CU_ASSERT_EQUAL(mr_table8_insert(&table8, 0, 8), MR_TABLE_EXISTS);
    CU_ASSERT_EQUAL(mr_table8_find(&table8, 0), 7);
}

static void keys_that_differ_in_length_only_are_different(void)
{
    static const uint8_t zeros[MR_TABLE_KEY_MAX + 1];

    /* so small that searches meet other keys */
    mr_table_init(&table, mem, MR_TABLE_KEY_MAX + 1, &hash_key);
    for (uint32_t size = 0; size <= MR_TABLE_KEY_MAX; size++)
        CU_ASSERT_EQUAL(mr_table_insert(&table, zeros, size, size), MR_TABLE_ADDED);
    for (uint32_t size = 0; size <= MR_TABLE_KEY_MAX; size++)
        CU_ASSERT_EQUAL(mr_table_find(&table, zeros, size), size);
    CU_ASSERT_EQUAL(mr_table_find(&table, zeros, MR_TABLE_KEY_MAX + 1), MR_NONE);
    CU_ASSERT_EQUAL(mr_table_remove(&table, zeros, MR_TABLE_KEY_MAX + 1), MR_NONE);
    mr_table_check(&table);
}

static void keys_that_differ_in_their_last_byte_only_are_different(void)
{
    uint8_t key[MR_TABLE_KEY_MAX] = {0};

    mr_table_init(&table, mem, 256, &hash_key);
    for (uint32_t last = 0; last < 256; last++) {
        key[sizeof(key) - 1] = (uint8_t)last;
        CU_ASSERT_EQUAL(mr_table_insert(&table, key, sizeof(key), last), MR_TABLE_ADDED);
    }
    for (uint32_t last = 0; last < 256; last++) {
        key[sizeof(key) - 1] = (uint8_t)last;
        CU_ASSERT_EQUAL(mr_table_find(&table, key, sizeof(key)), last);
    }
    mr_table_check(&table);
}

/* `i` spread over the key, so that every byte matters in some key. */
static void make_key(uint8_t key[MR_TABLE_KEY_MAX], uint32_t i)
{
    struct mr_random random;

    mr_random_init_number(&random, i);
    mr_random_fill(&random, key, MR_TABLE_KEY_MAX);
}

static void takes_as_many_keys_as_it_promised_and_no_more(void)
{
    uint8_t key[MR_TABLE_KEY_MAX];

    for (uint32_t i = 0; i < CAPACITY; i++) {
        make_key(key, i);
        CU_ASSERT_EQUAL_FATAL(mr_table_insert(&table, key, sizeof(key), i), MR_TABLE_ADDED);
        CU_ASSERT_EQUAL_FATAL(mr_table8_insert(&table8, i * 3, i), MR_TABLE_ADDED);
    }
    mr_table_check(&table);
    mr_table8_check(&table8);
    CU_ASSERT_EQUAL(mr_table_insert(&table, "one more", 8, 1), MR_TABLE_FULL);
    CU_ASSERT_EQUAL(mr_table8_insert(&table8, 1, 1), MR_TABLE_FULL);
    CU_ASSERT_EQUAL(mr_table8_insert(&table8, 3, 1), MR_TABLE_EXISTS);

    for (uint32_t i = 0; i < CAPACITY; i++) {
        make_key(key, i);
        CU_ASSERT_EQUAL(mr_table_find(&table, key, sizeof(key)), i);
        CU_ASSERT_EQUAL(mr_table8_find(&table8, i * 3), i);
        CU_ASSERT_EQUAL(mr_table8_find(&table8, i * 3 + 1), MR_NONE);
    }
    CU_ASSERT_EQUAL(mr_table8_remove(&table8, 300), 100);
    CU_ASSERT_EQUAL(mr_table8_insert(&table8, 1, 1), MR_TABLE_ADDED);
}

static void removing_leaves_the_others_where_they_are_found(void)
{
    uint8_t key[MR_TABLE_KEY_MAX];

    for (uint32_t i = 0; i < CAPACITY; i++) {
        make_key(key, i);
        mr_table_insert(&table, key, sizeof(key), i);
        mr_table8_insert(&table8, mr_load_le64(key), i);
    }
    for (uint32_t i = 0; i < CAPACITY; i += 2) {
        make_key(key, i);
        CU_ASSERT_EQUAL(mr_table_remove(&table, key, sizeof(key)), i);
        CU_ASSERT_EQUAL(mr_table8_remove(&table8, mr_load_le64(key)), i);
        mr_table_check(&table);
        mr_table8_check(&table8);
    }
    for (uint32_t i = 0; i < CAPACITY; i++) {
        make_key(key, i);
        CU_ASSERT_EQUAL(mr_table_find(&table, key, sizeof(key)), i % 2 == 0 ? MR_NONE : i);
        CU_ASSERT_EQUAL(mr_table8_find(&table8, mr_load_le64(key)), i % 2 == 0 ? MR_NONE : i);
    }
}

/* A table does not age: after any number of changes it is as good as a new one. */
static void churn_leaves_probes_short(void)
{
    uint32_t reach_max = 0;

    for (uint32_t i = 0; i < 50 * CAPACITY; i++) {
        if (i >= CAPACITY)
            CU_ASSERT_EQUAL_FATAL(mr_table8_remove(&table8, i - CAPACITY), i - CAPACITY);
        CU_ASSERT_EQUAL_FATAL(mr_table8_insert(&table8, i, i), MR_TABLE_ADDED);
    }
    mr_table8_check(&table8);
    for (uint32_t i = 0; i < table8.core.homes + MR_TABLE_PROBE_MAX; i++)
        reach_max = MR_MAX(reach_max, mr_table8_slots(&table8, i)->head.reach);
    CU_ASSERT(reach_max < 40);
}

/*
 * Have `wanted` keys of one home in the table, found by trying, as an attacker who knows the
 * hash key would.  Returns how many are there when one is refused.
 */
static uint32_t insert_keys_of_home(uint32_t home, uint32_t wanted)
{
    uint32_t added = 0;

    for (uint64_t key = 0; added < wanted; key++) {
        if (mr_table8_home(&table8, key) != home)
            continue;
        if (mr_table8_insert(&table8, key, added) == MR_TABLE_FULL)
            break;
        added++;
    }
    return added;
}

static void too_many_keys_of_one_home_are_refused(void)
{
    CU_ASSERT_EQUAL(insert_keys_of_home(100, CAPACITY), MR_TABLE_PROBE_MAX + 1);
    mr_table8_check(&table8);

    /* others still find room; one left of the cluster would push its last key too far */
    CU_ASSERT_EQUAL(insert_keys_of_home(99, 1), 1);
    CU_ASSERT_EQUAL(insert_keys_of_home(99, 2), 1);
    CU_ASSERT_EQUAL(insert_keys_of_home(101, 2), 1); /* behind the cluster, as far as allowed */
    CU_ASSERT_EQUAL(insert_keys_of_home(300, 2), 2);
    mr_table8_check(&table8);
}

static void a_cluster_moves_as_far_as_its_last_key_may(void)
{
    CU_ASSERT_EQUAL(insert_keys_of_home(100, MR_TABLE_PROBE_MAX), MR_TABLE_PROBE_MAX);
    CU_ASSERT_EQUAL(insert_keys_of_home(99, 3), 2); /* one at home, one moves the others */
    mr_table8_check(&table8);
}

static void the_last_home_has_its_slots_too(void)
{
    uint32_t last = table8.core.homes - 1;

    CU_ASSERT_EQUAL(insert_keys_of_home(last, CAPACITY), MR_TABLE_PROBE_MAX + 1);
    mr_table8_check(&table8);
    for (uint64_t key = 0; table8.core.count > 0; key++)
        mr_table8_remove(&table8, key);
    mr_table8_check(&table8);
}

static void a_burst_finds_what_single_searches_find(void)
{
    static uint64_t keys[100];
    static uint32_t values[MR_COUNT_OF(keys) + 1];

    for (uint32_t i = 0; i < MR_COUNT_OF(keys); i++) {
        keys[i] = i * 7;
        if (i % 3 != 0)
            mr_table8_insert(&table8, keys[i], i);
    }
    for (uint32_t n = 0; n <= MR_COUNT_OF(keys); n++) {
        values[n] = 12345;
        mr_table8_find_burst(&table8, keys, n, values);
        for (uint32_t i = 0; i < n; i++)
            CU_ASSERT_EQUAL(values[i], i % 3 != 0 ? i : MR_NONE);
        CU_ASSERT_EQUAL(values[n], 12345);
    }
}

static void another_hash_key_orders_keys_differently(void)
{
    struct mr_siphash_key other = {1, 2};
    struct mr_table8 second = table8;
    uint32_t same = 0;

    second.core.hash_key = other;
    for (uint64_t key = 0; key < 1000; key++)
        same += mr_table8_home(&table8, key) == mr_table8_home(&second, key);
    CU_ASSERT(same < 20);
}

static void the_smallest_table_works(void)
{
    static uint64_t small[1024];
    struct mr_table8 one;

    CU_ASSERT_FATAL(mr_table8_footprint(1) <= sizeof(small));
    mr_table8_init(&one, small, 1, &hash_key);
    for (uint64_t key = 0; key < 100; key++) {
        CU_ASSERT_EQUAL(mr_table8_insert(&one, key, 1), MR_TABLE_ADDED);
        CU_ASSERT_EQUAL(mr_table8_insert(&one, key + 1, 1), MR_TABLE_FULL);
        CU_ASSERT_EQUAL(mr_table8_remove(&one, key), 1);
        mr_table8_check(&one);
    }
}

static CU_TestInfo tests[] = {
    {"what was inserted is found until it is removed",
     what_was_inserted_is_found_until_it_is_removed},
    {"a key that is there keeps its value", a_key_that_is_there_keeps_its_value},
    {"keys that differ in length only are different",
     keys_that_differ_in_length_only_are_different},
    {"keys that differ in their last byte only are different",
     keys_that_differ_in_their_last_byte_only_are_different},
    {"takes as many keys as it promised and no more",
     takes_as_many_keys_as_it_promised_and_no_more},
    {"removing leaves the others where they are found",
     removing_leaves_the_others_where_they_are_found},
    {"churn leaves probes short", churn_leaves_probes_short},
    {"too many keys of one home are refused", too_many_keys_of_one_home_are_refused},
    {"a cluster moves as far as its last key may", a_cluster_moves_as_far_as_its_last_key_may},
    {"the last home has its slots too", the_last_home_has_its_slots_too},
    {"a burst finds what single searches find", a_burst_finds_what_single_searches_find},
    {"another hash key orders keys differently", another_hash_key_orders_keys_differently},
    {"the smallest table works", the_smallest_table_works},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "base/table",
     .pSetUpFunc = init_tables,
     .pTearDownFunc = free_tables,
     .pTests = tests},
    CU_SUITE_INFO_NULL,
};
