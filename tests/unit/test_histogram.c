/* Tests of base/histogram.h. */
#include "base/histogram.h"

#include "base/random.h"
#include "tests/unit/harness.h"

static struct mr_histogram h, other;

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a < b ? b - a : a - b;
}

static void buckets_are_in_order_and_cover_every_number(void)
{
    CU_ASSERT_EQUAL(mr_histogram_bucket(0), 0);
    CU_ASSERT_EQUAL(mr_histogram_bucket(UINT64_MAX), MR_HISTOGRAM_BUCKETS - 1);

    uint32_t last = 0;
    for (uint64_t value = 1; value < 1 << 20; value++) {
        uint32_t bucket = mr_histogram_bucket(value);
        CU_ASSERT_FATAL(bucket == last || bucket == last + 1);
        last = bucket;
    }
    for (uint32_t power = 20; power < 64; power++) {
        uint64_t value = UINT64_C(1) << power;
        CU_ASSERT_EQUAL(mr_histogram_bucket(value), mr_histogram_bucket(value - 1) + 1);
    }
}

static void a_quantile_is_within_one_percent(void)
{
    struct mr_random random;

    mr_random_init_number(&random, 1);
    for (int i = 0; i < 20000; i++) {
        uint64_t value = mr_random_u64(&random) >> mr_random_below(&random, 64);

        mr_histogram_init(&h);
        mr_histogram_add(&h, 0);
        mr_histogram_add(&h, value);
        mr_histogram_add(&h, UINT64_MAX); /* so that neither min nor max helps */
        uint64_t median = mr_histogram_quantile(&h, 0.5);
        CU_ASSERT_FATAL(distance(median, value) <= value / 125);
        if (value < 2 * MR_HISTOGRAM_PARTS)
            CU_ASSERT_EQUAL(median, value);
    }
}

static void quantiles_of_a_known_distribution(void)
{
    mr_histogram_init(&h);
    for (uint64_t us = 1; us <= 1000; us++)
        mr_histogram_add(&h, us * 1000);
    mr_histogram_check(&h);

    CU_ASSERT_EQUAL(h.count, 1000);
    CU_ASSERT_EQUAL(mr_histogram_mean(&h), 500500);
    CU_ASSERT_EQUAL(mr_histogram_quantile(&h, 0), 1000);
    CU_ASSERT_EQUAL(mr_histogram_quantile(&h, 1), 1000000);
    CU_ASSERT(distance(mr_histogram_quantile(&h, 0.5), 500000) <= 500000 / 100);
    CU_ASSERT(distance(mr_histogram_quantile(&h, 0.99), 990000) <= 990000 / 100);
    CU_ASSERT(distance(mr_histogram_quantile(&h, 0.999), 999000) <= 999000 / 100);
}

static void a_quantile_counts_ranks_exactly(void)
{
    mr_histogram_init(&h);
    for (uint64_t value = 1; value <= 10; value++)
        mr_histogram_add(&h, value);

    CU_ASSERT_EQUAL(mr_histogram_quantile(&h, 0.1), 1);
    CU_ASSERT_EQUAL(mr_histogram_quantile(&h, 0.11), 2);
    CU_ASSERT_EQUAL(mr_histogram_quantile(&h, 0.5), 5);
    CU_ASSERT_EQUAL(mr_histogram_quantile(&h, 0.51), 6);
    CU_ASSERT_EQUAL(mr_histogram_quantile(&h, 0.9), 9);
    CU_ASSERT_EQUAL(mr_histogram_quantile(&h, 0.91), 10);
    CU_ASSERT_EQUAL(mr_histogram_quantile(&h, 1e-9), 1);
}

static void an_empty_one_and_odd_quantiles_have_an_answer(void)
{
    mr_histogram_init(&h);
    mr_histogram_check(&h);
    CU_ASSERT_EQUAL(mr_histogram_quantile(&h, 0.5), 0);
    CU_ASSERT_EQUAL(mr_histogram_mean(&h), 0);

    mr_histogram_add(&h, 1000003);
    CU_ASSERT_EQUAL(mr_histogram_quantile(&h, -1), 1000003);
    CU_ASSERT_EQUAL(mr_histogram_quantile(&h, 0.5), 1000003);
    CU_ASSERT_EQUAL(mr_histogram_quantile(&h, 7), 1000003);
}

static void a_quantile_stays_between_smallest_and_largest(void)
{
    mr_histogram_init(&h);
    for (int i = 0; i < 10; i++)
        mr_histogram_add(&h, 1000000); /* the lower part of its bucket */
    CU_ASSERT_EQUAL(mr_histogram_quantile(&h, 0.5), 1000000);

    mr_histogram_init(&h);
    for (int i = 0; i < 10; i++)
        mr_histogram_add(&h, (1 << 20) - 1); /* the top of its bucket */
    CU_ASSERT_EQUAL(mr_histogram_quantile(&h, 0.5), (1 << 20) - 1);
    mr_histogram_add(&h, 1);
    CU_ASSERT_EQUAL(mr_histogram_quantile(&h, 1), (1 << 20) - 1);
}

static void merging_is_adding_both(void)
{
    mr_histogram_init(&h);
    mr_histogram_init(&other);
    for (uint64_t us = 1; us <= 1000; us++)
        mr_histogram_add(us % 3 == 0 ? &h : &other, us * 1000);

    mr_histogram_merge(&h, &other);
    mr_histogram_check(&h);
    CU_ASSERT_EQUAL(h.count, 1000);
    CU_ASSERT_EQUAL(h.sum, 500500000);
    CU_ASSERT_EQUAL(h.min, 1000);
    CU_ASSERT_EQUAL(h.max, 1000000);

    mr_histogram_init(&other);
    mr_histogram_merge(&h, &other); /* an empty one changes nothing */
    CU_ASSERT_EQUAL(h.min, 1000);
    mr_histogram_merge(&other, &h);
    mr_histogram_check(&other);
    CU_ASSERT_EQUAL(other.min, 1000);
}

static CU_TestInfo tests[] = {
    {"buckets are in order and cover every number", buckets_are_in_order_and_cover_every_number},
    {"a quantile is within one percent", a_quantile_is_within_one_percent},
    {"quantiles of a known distribution", quantiles_of_a_known_distribution},
    {"a quantile counts ranks exactly", a_quantile_counts_ranks_exactly},
    {"an empty one and odd quantiles have an answer",
     an_empty_one_and_odd_quantiles_have_an_answer},
    {"a quantile stays between smallest and largest",
     a_quantile_stays_between_smallest_and_largest},
    {"merging is adding both", merging_is_adding_both},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "base/histogram", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
