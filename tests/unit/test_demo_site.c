/* Tests of tools/demo_site.h. */
#include "tools/demo_site.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/harness.h"
#include "tools/demo_site_internal.h"

#define SIZE ((uint64_t)1 << 20)

static char folder[64];

static const char *below(const char *name)
{
    static char path[256];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(below(name), "w");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs(text, file);
    fclose(file);
}

static void begin(void)
{
    snprintf(folder, sizeof(folder), "/tmp/mr-site-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
}

static void end(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", folder);
    CU_ASSERT_EQUAL(system(command), 0);
}

static void files_are_found_with_their_bytes_the_largest_first(void)
{
    static struct mr_site site;
    struct mr_fault fault = {0};

    begin();
    write_file("small", "ab");
    write_file("a b", "abc");
    write_file(".hidden", "x");
    CU_ASSERT_EQUAL(mkdir(below("sub"), 0755), 0);
    write_file("sub/large", "abcdef");
    CU_ASSERT_EQUAL(symlink("small", below("link")), 0);

    memset(&site, 0, sizeof(site));
    CU_ASSERT(mr_site_open(&site, folder, &fault));
    CU_ASSERT_EQUAL_FATAL(site.count, 3);
    CU_ASSERT_EQUAL(site.left_out, 1); /* the link */
    CU_ASSERT_EQUAL(site.bytes, 11);
    CU_ASSERT_STRING_EQUAL(site.files[0].path, "/sub/large");
    CU_ASSERT_STRING_EQUAL(site.files[1].path, "/a%20b");
    CU_ASSERT_STRING_EQUAL(site.files[2].path, "/small");

    const struct mr_site_file *large = &site.files[0];
    CU_ASSERT(mr_site_matches(&site, large, 0, (const uint8_t *)"abcdef", 6));
    CU_ASSERT(mr_site_matches(&site, large, 4, (const uint8_t *)"ef", 2));
    CU_ASSERT(mr_site_matches(&site, large, 6, (const uint8_t *)"", 0));
    CU_ASSERT_FALSE(mr_site_matches(&site, large, 4, (const uint8_t *)"eg", 2));
    CU_ASSERT_FALSE(mr_site_matches(&site, large, 4, (const uint8_t *)"efg", 3));
    CU_ASSERT_FALSE(mr_site_matches(&site, large, 7, (const uint8_t *)"", 0));
    mr_site_close(&site);
    end();
}

static void a_folder_without_files_is_refused(void)
{
    static struct mr_site site;
    struct mr_fault fault = {0};

    begin();
    memset(&site, 0, sizeof(site));
    CU_ASSERT_FALSE(mr_site_open(&site, folder, &fault));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "no file in it"));
    mr_site_close(&site);
    end();
}

static void our_own_file_is_made_once_and_again_when_it_is_damaged(void)
{
    static struct mr_site site;
    struct mr_fault fault = {0};
    static uint8_t piece[4096];
    struct stat first;
    struct stat second;
    char path[128];

    begin();
    setenv("XDG_CACHE_HOME", folder, 1);
    memset(&site, 0, sizeof(site));
    CU_ASSERT_FATAL(mr_site_open_default(&site, SIZE, &fault));
    CU_ASSERT_EQUAL(site.files[0].size, SIZE);
    CU_ASSERT(site.files[0].is_pattern);
    mr_pattern_fill(&site.pattern, 12345, piece, sizeof(piece));
    CU_ASSERT(mr_site_matches(&site, &site.files[0], 12345, piece, sizeof(piece)));
    piece[4095] ^= 1;
    CU_ASSERT_FALSE(mr_site_matches(&site, &site.files[0], 12345, piece, sizeof(piece)));
    mr_site_close(&site);

    snprintf(path, sizeof(path), "%s/millrace/site%s", folder, MR_SITE_PATTERN);
    CU_ASSERT_EQUAL(stat(path, &first), 0);
    memset(&site, 0, sizeof(site));
    CU_ASSERT(mr_site_open_default(&site, SIZE, &fault));
    mr_site_close(&site);
    CU_ASSERT_EQUAL(stat(path, &second), 0);
    CU_ASSERT_EQUAL(first.st_ino, second.st_ino); /* it is the same file */

    FILE *file = fopen(path, "r+");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputc('x', file);
    fclose(file);
    memset(&site, 0, sizeof(site));
    CU_ASSERT(mr_site_open_default(&site, SIZE, &fault));
    mr_site_close(&site);
    CU_ASSERT_EQUAL(stat(path, &second), 0);
    CU_ASSERT_NOT_EQUAL(first.st_ino, second.st_ino);
    end();
}

static CU_TestInfo tests[] = {
    {"files are found with their bytes, the largest first",
     files_are_found_with_their_bytes_the_largest_first},
    {"a folder without files is refused", a_folder_without_files_is_refused},
    {"our own file is made once, and again when it is damaged",
     our_own_file_is_made_once_and_again_when_it_is_damaged},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "tools/demo_site", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
