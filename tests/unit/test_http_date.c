/* Tests of http3/date.h. */
#include "http3/date.h"

#include <string.h>
#include <time.h>

#include "base/compiler.h"
#include "tests/unit/harness.h"

#define EXAMPLE 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */
#define NOW     1700000000

static bool parse(const char *text, int64_t *seconds_out)
{
    return mr_date_parse(text, strlen(text), seconds_out, NOW);
}

static void writes_dates_as_the_c_library_does(void)
{
    static const int64_t seconds[] = {0,         1,          EXAMPLE,    951782399,  951782400,
                                      951868800, 1709164800, 1709251199, 4102444800, 253402300799};

    for (size_t i = 0; i < MR_COUNT_OF(seconds); i++) {
        char expected[64];
        char text[MR_DATE_SIZE + 1] = {0};
        time_t t = (time_t)seconds[i];
        struct tm tm;
        strftime(expected, sizeof(expected), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&t, &tm));
        mr_date_format(text, seconds[i]);
        CU_ASSERT_STRING_EQUAL(text, expected);
    }
}

static void reads_back_what_it_writes(void)
{
    uint64_t random = 88172645463325252u;

    for (int i = 0; i < 20000; i++) {
        char text[MR_DATE_SIZE];
        int64_t seconds;
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        int64_t wanted = (int64_t)(random % 253402300800u);
        mr_date_format(text, wanted);
        CU_ASSERT_TRUE(mr_date_parse(text, sizeof(text), &seconds, NOW));
        CU_ASSERT_EQUAL(seconds, wanted);
    }
}

/* "a recipient ... MUST accept all three HTTP-date formats" (RFC 9110, Section 5.6.7) */
static void reads_all_three_forms(void)
{
    int64_t seconds = 0;

    CU_ASSERT_TRUE(parse("Sun, 06 Nov 1994 08:49:37 GMT", &seconds));
    CU_ASSERT_EQUAL(seconds, EXAMPLE);
    CU_ASSERT_TRUE(parse("Sunday, 06-Nov-94 08:49:37 GMT", &seconds));
    CU_ASSERT_EQUAL(seconds, EXAMPLE);
    CU_ASSERT_TRUE(parse("Sun Nov  6 08:49:37 1994", &seconds));
    CU_ASSERT_EQUAL(seconds, EXAMPLE);
    CU_ASSERT_TRUE(parse("Wed Nov 16 08:49:37 1994", &seconds));
    CU_ASSERT_EQUAL(seconds, EXAMPLE + 10 * 86400);
}

/* "... MUST interpret a timestamp that appears to be more than 50 years in the future as
 * representing the most recent year in the past that had the same last two digits." */
static void two_digit_years_are_at_most_fifty_years_ahead(void)
{
    int64_t seconds = 0;
    int64_t expected = 0;

    CU_ASSERT_TRUE(parse("Friday, 01-Jan-73 00:00:00 GMT", &seconds)); /* now is 2023 */
    CU_ASSERT_TRUE(parse("Sun, 01 Jan 2073 00:00:00 GMT", &expected));
    CU_ASSERT_EQUAL(seconds, expected);
    CU_ASSERT_TRUE(parse("Tuesday, 01-Jan-74 00:00:00 GMT", &seconds));
    CU_ASSERT_TRUE(parse("Tue, 01 Jan 1974 00:00:00 GMT", &expected));
    CU_ASSERT_EQUAL(seconds, expected);
}

static void refuses_what_is_no_date(void)
{
    static const char *const texts[] = {
        "",
        "Sun",
        "Sun,",
        "Sun, ",
        "Xyz, 06 Nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nox 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1969 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sunday, 06 Nov 1994 08:49:37 GMT",
        "784111777",
    };

    for (size_t i = 0; i < MR_COUNT_OF(texts); i++) {
        int64_t seconds = 5;
        CU_ASSERT_FALSE(parse(texts[i], &seconds));
        CU_ASSERT_EQUAL(seconds, 5);
    }
}

CU_TestInfo http_date_tests[] = {
    {"writes dates as the c library does", writes_dates_as_the_c_library_does},
    {"reads back what it writes", reads_back_what_it_writes},
    {"reads all three forms", reads_all_three_forms},
    {"two digit years are at most fifty years ahead",
     two_digit_years_are_at_most_fifty_years_ahead},
    {"refuses what is no date", refuses_what_is_no_date},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "http3/date", .pTests = http_date_tests},
    CU_SUITE_INFO_NULL,
};
