/* Tests of http3/handle_map.h. */
#include "http3/handle_map.h"

#include <stdlib.h>

#include "tests/unit/harness.h"

enum {
    COUNT = 300,
    KEYS = 1000,
};

static void agrees_with_a_plain_table_through_many_changes(void)
{
    static uint32_t expected[KEYS]; /* by key; 0: none */
    struct mr_handle_map map;
    void *mem = malloc(mr_handle_map_footprint(COUNT));
    uint64_t random = 99;
    uint32_t used = 0;

    mr_handle_map_init(&map, mem, COUNT);
    for (int step = 0; step < 100000; step++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        uint32_t k = (uint32_t)(random >> 33) % KEYS;
        uint64_t key = (uint64_t)(k + 1) * 64; /* like handles: regular */
        if (expected[k] != 0) {
            mr_handle_map_remove(&map, key);
            expected[k] = 0;
            used--;
        } else if (used < COUNT - 1) {
            expected[k] = 1 + (uint32_t)step;
            mr_handle_map_put(&map, key, expected[k]);
            used++;
        }
        CU_ASSERT_EQUAL_FATAL(map.used, used);
        uint32_t other = (uint32_t)(random >> 13) % KEYS;
        uint32_t found = mr_handle_map_get(&map, (uint64_t)(other + 1) * 64);
        CU_ASSERT_EQUAL_FATAL(found, expected[other] == 0 ? MR_NONE : expected[other]);
    }
    CU_ASSERT_EQUAL(mr_handle_map_get(&map, 0), MR_NONE);
    mr_handle_map_remove(&map, 0);
    mr_handle_map_remove(&map, UINT64_C(1) << 60);
    CU_ASSERT_EQUAL(map.used, used);
    free(mem);
}

CU_TestInfo h3_handle_map_tests[] = {
    {"agrees with a plain table through many changes",
     agrees_with_a_plain_table_through_many_changes},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "http3/handle_map", .pTests = h3_handle_map_tests},
    CU_SUITE_INFO_NULL,
};
