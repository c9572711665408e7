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

/* Without a cache, our directory is in one that others write to as well. */
static void a_directory_that_others_may_change_is_not_written_to(void)
{
    static struct mr_site site;
    char name[64];
    struct stat info;

    begin();
    snprintf(name, sizeof(name), "millrace-%u", (unsigned)geteuid());
    setenv("XDG_CACHE_HOME", "/dev/null", 1);
    setenv("HOME", "/dev/null", 1);
    setenv("TMPDIR", folder, 1);
    CU_ASSERT_EQUAL(mkdir(below("victim"), 0700), 0);
    for (int i = 0; i < 3; i++) {
        struct mr_fault fault = {0};

        if (i == 0) {
            CU_ASSERT_EQUAL(symlink("victim", below(name)), 0);
        } else if (i == 1) {
            CU_ASSERT_EQUAL(mkdir(below(name), 0700), 0);
            CU_ASSERT_EQUAL(chmod(below(name), 0770), 0);
        } else if (geteuid() == 0) {
            CU_ASSERT_EQUAL(mkdir(below(name), 0700), 0);
            CU_ASSERT_EQUAL(chown(below(name), 65534, 65534), 0);
        } else {
            break;
        }
        memset(&site, 0, sizeof(site));
        CU_ASSERT_FALSE(mr_site_open_default(&site, SIZE, &fault));
        CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "not a directory of this user's alone"));
        CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, name));
        mr_site_close(&site);
        CU_ASSERT_EQUAL(remove(below(name)), 0); /* it is empty */
    }
    CU_ASSERT_EQUAL(rmdir(below("victim")), 0);

    struct mr_fault fault = {0};
    memset(&site, 0, sizeof(site));
    CU_ASSERT(mr_site_open_default(&site, SIZE, &fault));
    mr_site_close(&site);
    CU_ASSERT(stat(below(name), &info) == 0 && (info.st_mode & 0777) == 0700);
    end();
}

static CU_TestInfo tests[] = {
    {"files are found with their bytes, the largest first",
     files_are_found_with_their_bytes_the_largest_first},
    {"a folder without files is refused", a_folder_without_files_is_refused},
    {"our own file is made once, and again when it is damaged",
     our_own_file_is_made_once_and_again_when_it_is_damaged},
    {"a directory that others may change is not written to",
     a_directory_that_others_may_change_is_not_written_to},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "tools/demo_site", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
