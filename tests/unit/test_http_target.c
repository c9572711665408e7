/* Tests of http3/target.h. */
#include "http3/target.h"

#include <string.h>

#include "base/compiler.h"
#include "tests/unit/harness.h"

static void reads_paths_as_rfc_3986_does(void)
{
    static const struct {
        const char *text;
        const char *path;
        bool is_directory;
    } cases[] = {
        {"/", "", true},
        {"/a", "a", false},
        {"/a/", "a", true},
        {"/a/b", "a/b", false},
        {"/a/b/", "a/b", true},
        {"//a///b", "a/b", false},
        {"/.", "", true},
        {"/./", "", true},
        {"/a/.", "a", true},
        {"/a/..", "", true},
        {"/a/../", "", true},
        {"/a/../b", "b", false},
        {"/a/b/../../c", "c", false},
        {"/a/./b/../c/", "a/c", true},
        {"/...", "...", false},
        {"/..a", "..a", false},
        {"/.a", ".a", false},
        {"/%61%2Fb", NULL, false},
        {"/%41%c3%a4", "A\xc3\xa4", false},
        {"/a%20b", "a b", false},
        {"/%2e", "", true},
        {"/a/%2E%2e/b", "b", false},
        {"/a+b", "a+b", false},
        {"/a\\b", "a\\b", false},
        {"/?", "", true},
        {"/a?b/../../..", "a", false},
        {"/a%3fb", "a?b", false},
        {"/a%25", "a%", false},
    };
    struct mr_target target;

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        enum mr_target_verdict verdict =
            mr_target_parse(&target, cases[i].text, strlen(cases[i].text));
        if (cases[i].path == NULL) {
            CU_ASSERT_EQUAL(verdict, MR_TARGET_BAD);
            continue;
        }
        CU_ASSERT_EQUAL(verdict, MR_TARGET_OK);
        CU_ASSERT_STRING_EQUAL(target.path, cases[i].path);
        CU_ASSERT_EQUAL(target.size, strlen(cases[i].path));
        CU_ASSERT_EQUAL(target.is_directory, cases[i].is_directory);
    }
}

static void refuses_what_leads_out_or_cannot_be_read(void)
{
    static const char *const texts[] = {
        "",        "a",      "?",    "*",      "https://h/", "/..",  "/../", "/a/../..",
        "/%2e%2e", "/.%2e/", "/%",   "/%1",    "/%g0",       "/%0g", "/a#b", "/%00",
        "/%0a",    "/%7f",   "/%2f", "/a%2Fb", "/a/../../b", "/%1f", "/a%",  "/a%2",
    };
    struct mr_target target;

    for (size_t i = 0; i < MR_COUNT_OF(texts); i++)
        CU_ASSERT_EQUAL(mr_target_parse(&target, texts[i], strlen(texts[i])), MR_TARGET_BAD);
    CU_ASSERT_EQUAL(mr_target_parse(&target, "/a\0b", 4), MR_TARGET_BAD);
}

static void a_path_of_the_greatest_length_fits_and_one_more_is_too_long(void)
{
    char text[MR_TARGET_PATH_MAX + 8];
    struct mr_target target;

    memset(text, 'a', sizeof(text));
    text[0] = '/';
    CU_ASSERT_EQUAL(mr_target_parse(&target, text, MR_TARGET_PATH_MAX - 1), MR_TARGET_OK);
    CU_ASSERT_EQUAL(target.size, MR_TARGET_PATH_MAX - 2);
    CU_ASSERT_EQUAL(mr_target_parse(&target, text, MR_TARGET_PATH_MAX), MR_TARGET_LONG);
    text[MR_TARGET_PATH_MAX - 1] = '/';
    CU_ASSERT_EQUAL(mr_target_parse(&target, text, MR_TARGET_PATH_MAX), MR_TARGET_OK);
    CU_ASSERT_TRUE(target.is_directory);
}

static void encodes_names_so_that_they_read_back(void)
{
    char encoded[3 * 256];
    char name[256];
    struct mr_target target;
    size_t size = 0;

    for (int c = 0x20; c < 0x100; c++) {
        if (c != '/' && c != 0x7f)
            name[size++] = (char)c;
    }
    encoded[0] = '/';
    size_t used = mr_target_encode(encoded + 1, sizeof(encoded) - 1, name, size);
    CU_ASSERT_TRUE(used > size);
    CU_ASSERT_EQUAL(mr_target_parse(&target, encoded, used + 1), MR_TARGET_OK);
    CU_ASSERT_EQUAL(target.size, size);
    CU_ASSERT_EQUAL(memcmp(target.path, name, size), 0);
    CU_ASSERT_EQUAL(mr_target_encode(encoded, 5, "a b", 3), 5);
    CU_ASSERT_EQUAL(memcmp(encoded, "a%20b", 5), 0);
    CU_ASSERT_EQUAL(mr_target_encode(encoded, 4, "a b", 3), 0);
}

CU_TestInfo http_target_tests[] = {
    {"reads paths as rfc 3986 does", reads_paths_as_rfc_3986_does},
    {"refuses what leads out or cannot be read", refuses_what_leads_out_or_cannot_be_read},
    {"a path of the greatest length fits and one more is too long",
     a_path_of_the_greatest_length_fits_and_one_more_is_too_long},
    {"encodes names so that they read back", encodes_names_so_that_they_read_back},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "http3/target", .pTests = http_target_tests},
    CU_SUITE_INFO_NULL,
};
