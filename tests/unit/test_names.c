/* Tests of quic/names.h. */
#include "quic/names.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/harness.h"

enum {
    NAMES = 3
};

static struct mr_names fresh(void)
{
    static uint8_t pool_memory[NAMES * sizeof(struct mr_name) + 16];
    static uint64_t table_memory[4096];
    const struct mr_siphash_key key = {1, 2};
    struct mr_names names = {.key = {3, 4}};

    CU_ASSERT_TRUE_FATAL(mr_table8_footprint(NAMES) <= sizeof(table_memory));
    mr_pool_init(&names.pool, pool_memory, NAMES, sizeof(struct mr_name), 16);
    mr_table8_init(&names.table, table_memory, NAMES, &key);
    return names;
}

static void a_name_is_kept_once(void)
{
    struct mr_names names = fresh();
    uint32_t first = mr_name_keep(&names, "mill.example");
    uint32_t second = mr_name_keep(&names, "mill.example");
    uint32_t other = mr_name_keep(&names, "race.example");

    CU_ASSERT_EQUAL(first, second);
    CU_ASSERT_NOT_EQUAL(first, other);
    CU_ASSERT_EQUAL(names.pool.used, 2);
    CU_ASSERT_STRING_EQUAL(mr_name_text(&names, second), "mill.example");
    CU_ASSERT_STRING_EQUAL(mr_name_text(&names, other), "race.example");

    mr_name_drop(&names, first);
    CU_ASSERT_STRING_EQUAL(mr_name_text(&names, second), "mill.example");
    mr_name_drop(&names, second);
    CU_ASSERT_EQUAL(names.pool.used, 1);
    CU_ASSERT_EQUAL(names.table.core.count, 1);
    mr_name_drop(&names, other);
    CU_ASSERT_EQUAL(names.pool.used, 0);
    CU_ASSERT_EQUAL(names.table.core.count, 0);
}

static void no_name_and_too_long_names_are_none(void)
{
    struct mr_names names = fresh();
    char text[MR_NAME_MAX + 2];

    memset(text, 'a', sizeof(text));
    text[MR_NAME_MAX + 1] = '\0';
    CU_ASSERT_EQUAL(mr_name_keep(&names, text), MR_NONE);
    CU_ASSERT_EQUAL(mr_name_keep(&names, ""), MR_NONE);
    CU_ASSERT_STRING_EQUAL(mr_name_text(&names, MR_NONE), "");
    mr_name_drop(&names, MR_NONE);

    text[MR_NAME_MAX] = '\0';
    uint32_t longest = mr_name_keep(&names, text);
    CU_ASSERT_STRING_EQUAL(mr_name_text(&names, longest), text);
}

static void a_full_store_keeps_only_what_it_has(void)
{
    struct mr_names names = fresh();
    uint32_t a = mr_name_keep(&names, "a");

    mr_name_keep(&names, "b");
    mr_name_keep(&names, "c");
    CU_ASSERT_EQUAL(mr_name_keep(&names, "d"), MR_NONE);
    CU_ASSERT_EQUAL(mr_name_keep(&names, "a"), a);
    mr_name_drop(&names, a);
    mr_name_drop(&names, a);
    CU_ASSERT_NOT_EQUAL(mr_name_keep(&names, "d"), MR_NONE);
}

/* As if SipHash had given two names one number: the second is kept for itself. */
static void names_with_one_hash_are_not_mixed_up(void)
{
    struct mr_names names = fresh();
    uint32_t a = mr_name_keep(&names, "a");
    struct mr_name *object = mr_pool_at(&names.pool, a);

    memcpy(object->text, "b", 2);
    uint32_t own = mr_name_keep(&names, "a");
    CU_ASSERT_NOT_EQUAL(own, a);
    CU_ASSERT_STRING_EQUAL(mr_name_text(&names, own), "a");
    mr_name_drop(&names, own);
    CU_ASSERT_EQUAL(names.table.core.count, 1);
    mr_name_drop(&names, a);
    CU_ASSERT_EQUAL(names.table.core.count, 0);
    CU_ASSERT_EQUAL(names.pool.used, 0);
}

static CU_TestInfo tests[] = {
    {"a name is kept once", a_name_is_kept_once},
    {"no name, and names too long, are none", no_name_and_too_long_names_are_none},
    {"a full store keeps only what it has", a_full_store_keeps_only_what_it_has},
    {"names with one hash are not mixed up", names_with_one_hash_are_not_mixed_up},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/names", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
