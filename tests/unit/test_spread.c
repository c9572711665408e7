/* Tests of control/spread.h. */
#include "control/spread.h"

#include <string.h>

#include "tests/unit/harness.h"

static void a_queue_without_any_is_told_of_once_enough_have_come(void)
{
    const uint64_t received[4] = {900, 1, 0, 70};

    CU_ASSERT_EQUAL(mr_spread_judge(received, 4, 63).state, MR_SPREAD_UNKNOWN);
    CU_ASSERT_EQUAL(mr_spread_judge(received, 4, 64).state, MR_SPREAD_BAD);
    CU_ASSERT_EQUAL(mr_spread_judge(received, 4, 64).queue, 2);
    CU_ASSERT_EQUAL(mr_spread_judge(received, 2, 0).state, MR_SPREAD_GOOD); /* known at once */
}

static void the_last_queue_counts(void)
{
    const uint64_t received[3] = {5, 5, 0};

    CU_ASSERT_EQUAL(mr_spread_judge(received, 3, 48).state, MR_SPREAD_BAD);
    CU_ASSERT_EQUAL(mr_spread_judge(received, 3, 48).queue, 2);
}

static void it_is_described(void)
{
    const struct {
        struct mr_spread spread;
        const char *text;
    } cases[] = {{{MR_SPREAD_GOOD, 2}, "all"},
                 {{MR_SPREAD_BAD, 3}, "none at 3"},
                 {{MR_SPREAD_UNKNOWN, 0}, "known after 64 connections"}};
    char text[40];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        mr_spread_describe(&cases[i].spread, 4, text, sizeof(text));
        CU_ASSERT_STRING_EQUAL(text, cases[i].text);
    }
}

static CU_TestInfo tests[] = {
    {"a queue without any is told of once enough have come",
     a_queue_without_any_is_told_of_once_enough_have_come},
    {"the last queue counts", the_last_queue_counts},
    {"it is described", it_is_described},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "control/spread", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
