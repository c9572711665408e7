/* Tests of quic/range_list.h. */
#include "quic/range_list.h"

#include "tests/unit/harness.h"
#include "tests/unit/stream_pools.h"

static struct mr_range_list list;

static void start(uint32_t nodes)
{
    stream_pools_init(nodes, 1, 1);
    mr_range_list_init(&list);
}

static bool add(uint64_t begin, uint64_t end)
{
    bool is_added = mr_range_list_add(&list, &ranges_pool, (struct mr_range){begin, end});

    mr_range_list_check(&list, &ranges_pool);
    return is_added;
}

static bool subtract(uint64_t begin, uint64_t end)
{
    bool is_gone = mr_range_list_subtract(&list, &ranges_pool, (struct mr_range){begin, end});

    mr_range_list_check(&list, &ranges_pool);
    return is_gone;
}

/* True if the list is exactly `count` ranges: begin, end, begin, end, ... */
static bool is_list(const uint64_t *ends, uint32_t count)
{
    uint32_t i = 0;

    for (uint32_t at = list.head; at != MR_NONE; i++) {
        const struct mr_range_node *node = mr_pool_at(&ranges_pool, at);

        if (i == count || node->range.begin != ends[2 * i] || node->range.end != ends[2 * i + 1])
            return false;
        at = node->next;
    }
    return i == count;
}

#define LIST_IS(...)                                                                               \
    is_list((const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / 16)

static void ranges_that_touch_become_one(void)
{
    start(8);
    CU_ASSERT(add(10, 20));
    CU_ASSERT(add(20, 30));
    CU_ASSERT(LIST_IS(10, 30));
    CU_ASSERT(add(5, 10));
    CU_ASSERT(LIST_IS(5, 30));
    CU_ASSERT(add(31, 32));
    CU_ASSERT(LIST_IS(5, 30, 31, 32));
    CU_ASSERT(add(30, 31));
    CU_ASSERT(LIST_IS(5, 32));
    CU_ASSERT_EQUAL(ranges_pool.used, 1);
}

static void a_wide_range_swallows_all_below_it(void)
{
    start(8);
    add(0, 1);
    add(4, 5);
    add(8, 9);
    add(20, 21);
    CU_ASSERT(add(3, 12));
    CU_ASSERT(LIST_IS(0, 1, 3, 12, 20, 21));
    CU_ASSERT(add(0, 40));
    CU_ASSERT(LIST_IS(0, 40));
    CU_ASSERT_EQUAL(ranges_pool.used, 1);
}

static void ranges_are_sorted_whatever_the_order(void)
{
    start(8);
    add(40, 41);
    add(20, 21);
    add(0, 1);
    add(30, 31);
    add(60, 61);
    CU_ASSERT(LIST_IS(0, 1, 20, 21, 30, 31, 40, 41, 60, 61));
}

static void an_empty_range_is_no_range(void)
{
    start(1);
    CU_ASSERT(add(7, 7));
    CU_ASSERT(mr_range_list_is_empty(&list));
    CU_ASSERT(subtract(7, 7));
}

static void subtracting_trims_removes_and_splits(void)
{
    start(8);
    add(0, 10);
    add(20, 30);
    add(40, 50);
    CU_ASSERT(subtract(5, 45));
    CU_ASSERT(LIST_IS(0, 5, 45, 50));
    CU_ASSERT(subtract(46, 48));
    CU_ASSERT(LIST_IS(0, 5, 45, 46, 48, 50));
    CU_ASSERT(subtract(0, 100));
    CU_ASSERT(mr_range_list_is_empty(&list));
    CU_ASSERT_EQUAL(ranges_pool.used, 0);
}

static void without_a_node_nothing_changes(void)
{
    start(2);
    add(0, 10);
    add(20, 30);
    CU_ASSERT_FALSE(add(12, 13));
    CU_ASSERT_FALSE(add(40, 41));
    CU_ASSERT_FALSE(subtract(4, 5));
    CU_ASSERT(LIST_IS(0, 10, 20, 30));
    CU_ASSERT(add(10, 20)); /* joining needs no node, and gives one back */
    CU_ASSERT(LIST_IS(0, 30));
    CU_ASSERT(subtract(4, 5));
    CU_ASSERT(LIST_IS(0, 4, 5, 30));
}

static void what_lies_below_a_watermark_goes(void)
{
    start(8);
    add(0, 10);
    add(20, 30);
    mr_range_list_remove_below(&list, &ranges_pool, 5);
    CU_ASSERT(LIST_IS(5, 10, 20, 30));
    mr_range_list_remove_below(&list, &ranges_pool, 10);
    CU_ASSERT(LIST_IS(20, 30));
    mr_range_list_remove_below(&list, &ranges_pool, 15);
    CU_ASSERT(LIST_IS(20, 30));
    mr_range_list_remove_below(&list, &ranges_pool, 31);
    CU_ASSERT(mr_range_list_is_empty(&list));
}

static void missing_parts_are_found_in_order(void)
{
    start(8);
    add(10, 20);
    add(30, 40);

    struct mr_range missing =
        mr_range_list_first_missing(&list, &ranges_pool, (struct mr_range){5, 50});
    CU_ASSERT(missing.begin == 5 && missing.end == 10);
    missing = mr_range_list_first_missing(&list, &ranges_pool, (struct mr_range){10, 50});
    CU_ASSERT(missing.begin == 20 && missing.end == 30);
    missing = mr_range_list_first_missing(&list, &ranges_pool, (struct mr_range){30, 50});
    CU_ASSERT(missing.begin == 40 && missing.end == 50);
    missing = mr_range_list_first_missing(&list, &ranges_pool, (struct mr_range){12, 18});
    CU_ASSERT(missing.begin == 18 && missing.end == 18);
    CU_ASSERT(mr_range_list_contains(&list, &ranges_pool, (struct mr_range){10, 20}));
    CU_ASSERT_FALSE(mr_range_list_contains(&list, &ranges_pool, (struct mr_range){10, 31}));
}

static CU_TestInfo tests[] = {
    {"ranges that touch become one", ranges_that_touch_become_one},
    {"a wide range swallows all below it", a_wide_range_swallows_all_below_it},
    {"ranges are sorted whatever the order", ranges_are_sorted_whatever_the_order},
    {"an empty range is no range", an_empty_range_is_no_range},
    {"subtracting trims, removes and splits", subtracting_trims_removes_and_splits},
    {"without a node nothing changes", without_a_node_nothing_changes},
    {"what lies below a watermark goes", what_lies_below_a_watermark_goes},
    {"missing parts are found in order", missing_parts_are_found_in_order},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/range_list", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
