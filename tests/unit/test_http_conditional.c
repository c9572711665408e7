/* Tests of http3/conditional.h. */
#include "http3/conditional.h"

#include <string.h>

#include "base/compiler.h"
#include "tests/unit/harness.h"

#define NOW 1700000000

static const struct mr_file_version version = {
    .inode = 0xab,
    .size = 10,
    .modified_ns = INT64_C(784111777123456789), /* 6 Nov 1994 08:49:37 */
    .changed_ns = 0xc0ffee};
static const char etag[] = "\"ab-a-ae1b981c3a4d715-c0ffee\"";
static const char date[] = "Sun, 06 Nov 1994 08:49:37 GMT";
static const char earlier[] = "Sun, 06 Nov 1994 08:49:36 GMT";
static const char later[] = "Sun, 06 Nov 1994 08:49:38 GMT";

static enum mr_condition_verdict evaluate(struct mr_conditions conditions)
{
    return mr_conditions_evaluate(&conditions, &version, NOW);
}

static bool allows_range(const char *if_range)
{
    struct mr_conditions conditions = {.if_range = if_range};

    return mr_conditions_allow_range(&conditions, &version, NOW);
}

static void an_entity_tag_holds_all_that_tells_versions_apart(void)
{
    char text[MR_ETAG_MAX];
    char other[MR_ETAG_MAX];
    struct mr_file_version changed[4] = {version, version, version, version};

    CU_ASSERT_EQUAL(mr_etag_format(text, &version), strlen(etag));
    CU_ASSERT_STRING_EQUAL(text, etag);
    changed[0].inode++;
    changed[1].size++;
    changed[2].modified_ns++;
    changed[3].changed_ns++;
    for (size_t i = 0; i < 4; i++) {
        mr_etag_format(other, &changed[i]);
        CU_ASSERT_STRING_NOT_EQUAL(other, text);
        CU_ASSERT_FALSE(mr_file_version_equal(&version, &changed[i]));
    }
    CU_ASSERT_TRUE(mr_file_version_equal(&version, &version));
    mr_etag_format(text, &(struct mr_file_version){0, 0, 0, 0});
    CU_ASSERT_STRING_EQUAL(text, "\"0-0-0-0\"");
    size_t longest =
        mr_etag_format(text, &(struct mr_file_version){UINT64_MAX, UINT64_MAX, -1, -1});
    CU_ASSERT_TRUE(longest < MR_ETAG_MAX);
}

static void without_conditions_the_request_proceeds(void)
{
    CU_ASSERT_EQUAL(evaluate((struct mr_conditions){0}), MR_CONDITION_PROCEED);
}

static void if_none_match_compares_weakly(void)
{
    static const struct {
        const char *field;
        bool is_match;
    } cases[] = {
        {"*", true},
        {etag, true},
        {"W/\"ab-a-ae1b981c3a4d715-c0ffee\"", true},
        {"\"x\", \"ab-a-ae1b981c3a4d715-c0ffee\"", true},
        {"\"x\",W/\"y\" ,\t\"ab-a-ae1b981c3a4d715-c0ffee\"", true},
        {",,\"ab-a-ae1b981c3a4d715-c0ffee\"", true},
        {"\"x\"", false},
        {"\"ab-a-ae1b981c3a4d715", false},
        {"ab-a-ae1b981c3a4d715", false},
        {"\"\"", false},
        {"", false},
        {"W/", false},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++)
        CU_ASSERT_EQUAL(evaluate((struct mr_conditions){.if_none_match = cases[i].field}),
                        cases[i].is_match ? MR_CONDITION_NOT_MODIFIED : MR_CONDITION_PROCEED);
}

static void if_match_compares_strongly(void)
{
    CU_ASSERT_EQUAL(evaluate((struct mr_conditions){.if_match = etag}), MR_CONDITION_PROCEED);
    CU_ASSERT_EQUAL(evaluate((struct mr_conditions){.if_match = "*"}), MR_CONDITION_PROCEED);
    CU_ASSERT_EQUAL(
        evaluate((struct mr_conditions){.if_match = "W/\"ab-a-ae1b981c3a4d715-c0ffee\""}),
        MR_CONDITION_FAILED);
    CU_ASSERT_EQUAL(evaluate((struct mr_conditions){.if_match = "\"x\""}), MR_CONDITION_FAILED);
}

static void dates_are_compared_by_the_second(void)
{
    CU_ASSERT_EQUAL(evaluate((struct mr_conditions){.if_modified_since = date}),
                    MR_CONDITION_NOT_MODIFIED);
    CU_ASSERT_EQUAL(evaluate((struct mr_conditions){.if_modified_since = later}),
                    MR_CONDITION_NOT_MODIFIED);
    CU_ASSERT_EQUAL(evaluate((struct mr_conditions){.if_modified_since = earlier}),
                    MR_CONDITION_PROCEED);
    CU_ASSERT_EQUAL(evaluate((struct mr_conditions){.if_modified_since = "yesterday"}),
                    MR_CONDITION_PROCEED);
    CU_ASSERT_EQUAL(evaluate((struct mr_conditions){.if_unmodified_since = date}),
                    MR_CONDITION_PROCEED);
    CU_ASSERT_EQUAL(evaluate((struct mr_conditions){.if_unmodified_since = earlier}),
                    MR_CONDITION_FAILED);
    CU_ASSERT_EQUAL(evaluate((struct mr_conditions){.if_unmodified_since = "tomorrow"}),
                    MR_CONDITION_PROCEED);
}

/* "A recipient MUST ignore If-Modified-Since if the request contains an If-None-Match header field"
 * (RFC 9110, Section 13.1.3), and of Section 13.1.4 the same of If-Unmodified-Since and If-Match */
static void entity_tags_take_precedence_over_dates(void)
{
    CU_ASSERT_EQUAL(
        evaluate((struct mr_conditions){.if_none_match = "\"x\"", .if_modified_since = date}),
        MR_CONDITION_PROCEED);
    CU_ASSERT_EQUAL(
        evaluate((struct mr_conditions){.if_match = etag, .if_unmodified_since = earlier}),
        MR_CONDITION_PROCEED);
    CU_ASSERT_EQUAL(evaluate((struct mr_conditions){.if_match = "\"x\"", .if_none_match = etag}),
                    MR_CONDITION_FAILED);
    CU_ASSERT_EQUAL(
        evaluate((struct mr_conditions){.if_unmodified_since = date, .if_none_match = etag}),
        MR_CONDITION_NOT_MODIFIED);
}

static void if_range_compares_strongly(void)
{
    CU_ASSERT_TRUE(allows_range(NULL));
    CU_ASSERT_TRUE(allows_range(etag));
    CU_ASSERT_FALSE(allows_range("W/\"ab-a-ae1b981c3a4d715-c0ffee\""));
    CU_ASSERT_FALSE(allows_range("\"x\""));
    CU_ASSERT_TRUE(allows_range(date));
    CU_ASSERT_FALSE(allows_range(earlier));
    CU_ASSERT_FALSE(allows_range(later));
    CU_ASSERT_FALSE(allows_range(""));
}

CU_TestInfo http_conditional_tests[] = {
    {"an entity tag holds all that tells versions apart",
     an_entity_tag_holds_all_that_tells_versions_apart},
    {"without conditions the request proceeds", without_conditions_the_request_proceeds},
    {"if none match compares weakly", if_none_match_compares_weakly},
    {"if match compares strongly", if_match_compares_strongly},
    {"dates are compared by the second", dates_are_compared_by_the_second},
    {"entity tags take precedence over dates", entity_tags_take_precedence_over_dates},
    {"if range compares strongly", if_range_compares_strongly},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "http3/conditional", .pTests = http_conditional_tests},
    CU_SUITE_INFO_NULL,
};
