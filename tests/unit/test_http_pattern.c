/* Tests of http3/pattern.h. */
#include "http3/pattern.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/harness.h"

enum {
    SIZE = 100000, /* several laps through the table */
};

static struct mr_pattern pattern;
static uint8_t content[SIZE];

static void fill(void)
{
    mr_pattern_init(&pattern, 7);
    mr_pattern_fill(&pattern, 0, content, SIZE);
}

static void any_part_is_the_same_as_in_the_whole(void)
{
    static uint8_t part[SIZE];

    fill();
    srand(1);
    for (int i = 0; i < 2000; i++) {
        size_t begin = (size_t)rand() % SIZE;
        size_t size = (size_t)rand() % (SIZE - begin) % (i % 2 == 0 ? 40 : SIZE);
        mr_pattern_fill(&pattern, begin, part, size);
        CU_ASSERT_EQUAL(memcmp(part, content + begin, size), 0);
        CU_ASSERT_TRUE(mr_pattern_matches(&pattern, begin, content + begin, size));
    }
}

static void one_wrong_bit_is_seen_wherever_it_is(void)
{
    fill();
    for (size_t at = 0; at < SIZE; at += 1 + at % 7) {
        content[at] ^= (uint8_t)(1u << at % 8);
        CU_ASSERT_FALSE(mr_pattern_matches(&pattern, 0, content, SIZE));
        size_t begin = at < 5 ? 0 : at - 5;
        size_t end = at + 3 > SIZE ? SIZE : at + 3;
        CU_ASSERT_FALSE(mr_pattern_matches(&pattern, begin, content + begin, end - begin));
        content[at] ^= (uint8_t)(1u << at % 8);
    }
}

static void content_at_another_place_is_not_taken_for_it(void)
{
    static const uint64_t shifts[] = {8,
                                      1200,
                                      1452,
                                      4096,
                                      8 * MR_PATTERN_WORDS,
                                      UINT64_C(8) * MR_PATTERN_WORDS * 1000,
                                      UINT64_C(1) << 40};

    fill();
    for (size_t i = 0; i < sizeof(shifts) / sizeof(shifts[0]); i++)
        CU_ASSERT_FALSE(mr_pattern_matches(&pattern, shifts[i], content, 1000));
}

static void seeds_differ(void)
{
    struct mr_pattern other;

    fill();
    mr_pattern_init(&other, 8);
    CU_ASSERT_FALSE(mr_pattern_matches(&other, 0, content, 64));
}

CU_TestInfo http_pattern_tests[] = {
    {"any part is the same as in the whole", any_part_is_the_same_as_in_the_whole},
    {"one wrong bit is seen wherever it is", one_wrong_bit_is_seen_wherever_it_is},
    {"content at another place is not taken for it", content_at_another_place_is_not_taken_for_it},
    {"seeds differ", seeds_differ},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "http3/pattern", .pTests = http_pattern_tests},
    CU_SUITE_INFO_NULL,
};
