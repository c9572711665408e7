/* Tests of base/pool.h. */
#include "base/pool.h"

#include "base/compiler.h"
#include "base/random.h"
#include "tests/unit/harness.h"

enum {
    COUNT = 50,
    SIZE = 40,
    ALIGN = 64
};

static struct mr_pool pool;
static uint8_t mem[COUNT * 64 + ALIGN];

static void init_pool(void)
{
    CU_ASSERT_FATAL(mr_pool_footprint(COUNT, SIZE, ALIGN) < sizeof(mem));
    mr_pool_init(&pool, mem + 1, COUNT, SIZE, ALIGN); /* memory of no alignment */
}

static void gives_as_many_aligned_objects_as_it_promised(void)
{
    uint8_t seen[COUNT] = {0};

    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t index = mr_pool_get(&pool);
        CU_ASSERT_FATAL(index < COUNT);
        uint8_t *object = mr_pool_at(&pool, index);

        CU_ASSERT_EQUAL((uintptr_t)object % ALIGN, 0);
        CU_ASSERT(object > mem && object + SIZE <= mem + 1 + mr_pool_footprint(COUNT, SIZE, ALIGN));
        CU_ASSERT_EQUAL(mr_pool_index(&pool, object), index);
        CU_ASSERT_EQUAL(mr_pool_index(&pool, object + SIZE - 1), index);
        CU_ASSERT_EQUAL(seen[index]++, 0);
        mr_pool_check(&pool);
    }
    CU_ASSERT_EQUAL(mr_pool_free_count(&pool), 0);
    CU_ASSERT_EQUAL(mr_pool_get(&pool), MR_NONE);
    CU_ASSERT_EQUAL(pool.used, COUNT);
}

static void the_object_given_back_last_is_used_next(void)
{
    uint32_t a = mr_pool_get(&pool);
    uint32_t b = mr_pool_get(&pool);

    mr_pool_put(&pool, a);
    mr_pool_put(&pool, b);
    CU_ASSERT_EQUAL(mr_pool_get(&pool), b);
    CU_ASSERT_EQUAL(mr_pool_get(&pool), a);
    mr_pool_check(&pool);
}

static void counts_what_is_used_and_the_peak(void)
{
    uint32_t a = mr_pool_get(&pool);
    mr_pool_get(&pool);
    mr_pool_put(&pool, a);
    CU_ASSERT_EQUAL(pool.used, 1);
    CU_ASSERT_EQUAL(pool.used_peak, 2);
    CU_ASSERT_EQUAL(mr_pool_free_count(&pool), COUNT - 1);
    mr_pool_get(&pool);
    CU_ASSERT_EQUAL(pool.used_peak, 2);
    mr_pool_check(&pool);
}

/* Each object holds its holder's number; no two holders may share one. */
static void no_object_is_given_twice_in_any_order_of_use(void)
{
    struct mr_random random;
    uint32_t held[COUNT], count = 0, tag = 0, tags[COUNT];

    mr_random_init_number(&random, 1);
    for (int step = 0; step < 20000; step++) {
        bool grows = step / 500 % 2 == 0;

        if (mr_random_below(&random, 100) < (grows ? 60 : 40)) {
            uint32_t index = mr_pool_get(&pool);
            CU_ASSERT_EQUAL_FATAL(index == MR_NONE, count == COUNT);
            if (index == MR_NONE)
                continue;
            memcpy(mr_pool_at(&pool, index), &tag, sizeof(tag));
            held[count] = index;
            tags[count++] = tag++;
        } else if (count > 0) {
            uint32_t at = (uint32_t)mr_random_below(&random, count--);
            CU_ASSERT_EQUAL_FATAL(memcmp(mr_pool_at(&pool, held[at]), &tags[at], sizeof(tag)), 0);
            mr_pool_put(&pool, held[at]);
            held[at] = held[count];
            tags[at] = tags[count];
        }
        mr_pool_check(&pool);
    }
}

static CU_TestInfo tests[] = {
    {"gives as many aligned objects as it promised", gives_as_many_aligned_objects_as_it_promised},
    {"the object given back last is used next", the_object_given_back_last_is_used_next},
    {"counts what is used and the peak", counts_what_is_used_and_the_peak},
    {"no object is given twice, in any order of use", no_object_is_given_twice_in_any_order_of_use},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "base/pool", .pSetUpFunc = init_pool, .pTests = tests},
    CU_SUITE_INFO_NULL,
};
