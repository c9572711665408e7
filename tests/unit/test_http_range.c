/* Tests of http3/range.h. */
#include "http3/range.h"

#include <string.h>

#include "base/compiler.h"
#include "tests/unit/harness.h"

static void reads_ranges_as_rfc_9110_does(void)
{
    static const struct {
        const char *text;
        uint64_t whole;
        enum mr_range_verdict verdict;
        struct mr_range range;
    } cases[] = {
        {"bytes=0-499", 10000, MR_RANGE_PART, {0, 500}}, /* the examples of Section 14.1.2 */
        {"bytes=500-999", 10000, MR_RANGE_PART, {500, 500}},
        {"bytes=-500", 10000, MR_RANGE_PART, {9500, 500}},
        {"bytes=9500-", 10000, MR_RANGE_PART, {9500, 500}},
        {"bytes=0-0,-1", 10000, MR_RANGE_WHOLE, {0, 0}},
        {"bytes= 0-999, 4500-5499, -1000", 10000, MR_RANGE_WHOLE, {0, 0}},
        {"BYTES=1-2", 10, MR_RANGE_PART, {1, 2}},
        {"bytes= \t1-2 ", 10, MR_RANGE_PART, {1, 2}},
        {"bytes=9-9", 10, MR_RANGE_PART, {9, 1}},
        {"bytes=9-10", 10, MR_RANGE_PART, {9, 1}},
        {"bytes=10-10", 10, MR_RANGE_UNSATISFIABLE, {0, 0}},
        {"bytes=10-", 10, MR_RANGE_UNSATISFIABLE, {0, 0}},
        {"bytes=-10", 10, MR_RANGE_PART, {0, 10}},
        {"bytes=-11", 10, MR_RANGE_PART, {0, 10}},
        {"bytes=-0", 10, MR_RANGE_UNSATISFIABLE, {0, 0}},
        {"bytes=0-", 0, MR_RANGE_UNSATISFIABLE, {0, 0}},
        {"bytes=-5", 0, MR_RANGE_WHOLE, {0, 0}},
        {"bytes=-0", 0, MR_RANGE_UNSATISFIABLE, {0, 0}},
        {"bytes=0-18446744073709551615", 10, MR_RANGE_PART, {0, 10}},
        {"bytes=0-99999999999999999999999", 10, MR_RANGE_PART, {0, 10}},
        {"bytes=99999999999999999999999-", 10, MR_RANGE_UNSATISFIABLE, {0, 0}},
        {"bytes=-99999999999999999999999", 10, MR_RANGE_PART, {0, 10}},
        {"bytes=0-0", UINT64_MAX, MR_RANGE_PART, {0, 1}},
        {"bytes=2-1", 10, MR_RANGE_WHOLE, {0, 0}},
        {"bytes=", 10, MR_RANGE_WHOLE, {0, 0}},
        {"bytes=-", 10, MR_RANGE_WHOLE, {0, 0}},
        {"bytes=1", 10, MR_RANGE_WHOLE, {0, 0}},
        {"bytes=1-x", 10, MR_RANGE_WHOLE, {0, 0}},
        {"bytes=x-1", 10, MR_RANGE_WHOLE, {0, 0}},
        {"bytes=1-2-3", 10, MR_RANGE_WHOLE, {0, 0}},
        {"bytes=--1", 10, MR_RANGE_WHOLE, {0, 0}},
        {"bytes=-1-", 10, MR_RANGE_WHOLE, {0, 0}},
        {"bytes=+1-2", 10, MR_RANGE_WHOLE, {0, 0}},
        {"bytes:1-2", 10, MR_RANGE_WHOLE, {0, 0}},
        {"lines=1-2", 10, MR_RANGE_WHOLE, {0, 0}},
        {"byte", 10, MR_RANGE_WHOLE, {0, 0}},
        {"", 10, MR_RANGE_WHOLE, {0, 0}},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct mr_range range = {77, 77};
        enum mr_range_verdict verdict =
            mr_range_parse(cases[i].text, strlen(cases[i].text), cases[i].whole, &range);
        CU_ASSERT_EQUAL(verdict, cases[i].verdict);
        if (verdict != MR_RANGE_PART) {
            CU_ASSERT_EQUAL(range.first, 77);
            continue;
        }
        CU_ASSERT_EQUAL(range.first, cases[i].range.first);
        CU_ASSERT_EQUAL(range.size, cases[i].range.size);
    }
}

CU_TestInfo http_range_tests[] = {
    {"reads ranges as rfc 9110 does", reads_ranges_as_rfc_9110_does},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "http3/range", .pTests = http_range_tests},
    CU_SUITE_INFO_NULL,
};
