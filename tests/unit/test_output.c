/* Tests of tools/output.h. */
#include "tools/output.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/harness.h"

struct fixture {
    char folder[64];
    char path[128];
    struct mr_url url;
    struct mr_output output;
    struct mr_fault fault;
};

static void begin(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    snprintf(f->folder, sizeof(f->folder), "/tmp/mr-output-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(f->folder));
    snprintf(f->path, sizeof(f->path), "%s/file", f->folder);
    CU_ASSERT_FATAL(mr_url_parse("https://a.test/x/file", &f->url, &f->fault));
}

static void end(struct fixture *f)
{
    unlink(f->path);
    CU_ASSERT_EQUAL(rmdir(f->folder), 0); /* nothing else was left */
}

static bool has(const char *path)
{
    return access(path, F_OK) == 0;
}

static void a_file_gets_its_name_when_it_is_complete(void)
{
    struct fixture f;

    begin(&f);
    CU_ASSERT(mr_output_name(&f.output, f.path, &f.url, &f.fault));
    CU_ASSERT(mr_output_open(&f.output, &f.fault));
    CU_ASSERT_FALSE(f.output.is_stream);
    CU_ASSERT_EQUAL(write(f.output.fd, "x", 1), 1);
    char part[MR_OUTPUT_PATH_MAX];
    memcpy(part, f.output.part, sizeof(part));
    CU_ASSERT(strncmp(part, f.path, strlen(f.path)) == 0 && strstr(part, ".part") != NULL);
    CU_ASSERT(has(part) && !has(f.path));
    CU_ASSERT(mr_output_commit(&f.output, &f.fault));
    CU_ASSERT(!has(part) && has(f.path));
    CU_ASSERT_EQUAL(f.output.fd, -1);
    mr_output_discard(&f.output); /* nothing is to be discarded any more */
    CU_ASSERT(has(f.path));
    end(&f);
}

static void what_is_discarded_leaves_nothing_and_harms_nothing(void)
{
    struct fixture f;
    FILE *old;

    begin(&f);
    old = fopen(f.path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(old);
    fclose(old);
    CU_ASSERT(mr_output_name(&f.output, f.path, &f.url, &f.fault));
    CU_ASSERT(mr_output_open(&f.output, &f.fault));
    mr_output_discard(&f.output); /* end() finds what is left */
    CU_ASSERT(has(f.path));       /* the file that was there before */
    mr_output_discard(&f.output);
    end(&f);
}

static bool has_text(const char *path, const char *text)
{
    char got[64] = "";
    FILE *file = fopen(path, "r");
    bool is_equal = file != NULL && fgets(got, sizeof(got), file) != NULL && strcmp(got, text) == 0;

    if (file != NULL)
        fclose(file);
    return is_equal;
}

/* Whoever may write to the folder cannot have another file written to or removed. */
static void files_and_links_of_others_stay_as_they_are(void)
{
    struct fixture f;
    char victim[160];
    char part[160];
    struct stat info;

    begin(&f);
    snprintf(victim, sizeof(victim), "%s/victim", f.folder);
    snprintf(part, sizeof(part), "%s.part", f.path);
    FILE *file = fopen(victim, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs("old", file);
    fclose(file);
    CU_ASSERT_EQUAL(symlink(victim, part), 0);
    CU_ASSERT_EQUAL(symlink(victim, f.path), 0);
    for (int is_good = 0; is_good < 2; is_good++) {
        CU_ASSERT(mr_output_name(&f.output, f.path, &f.url, &f.fault));
        CU_ASSERT(mr_output_open(&f.output, &f.fault));
        CU_ASSERT_EQUAL(write(f.output.fd, "new", 3), 3);
        if (is_good)
            CU_ASSERT(mr_output_commit(&f.output, &f.fault));
        mr_output_discard(&f.output);
        CU_ASSERT(lstat(part, &info) == 0 && S_ISLNK(info.st_mode));
        CU_ASSERT(has_text(victim, "old"));
        CU_ASSERT(has_text(f.path, is_good ? "new" : "old"));
    }
    CU_ASSERT(lstat(f.path, &info) == 0 && S_ISREG(info.st_mode)); /* the link was replaced */
    unlink(victim);
    unlink(part);
    end(&f);
}

static void two_downloads_of_one_name_do_not_mix(void)
{
    static struct mr_output second;
    struct fixture f;

    begin(&f);
    CU_ASSERT(mr_output_name(&f.output, f.path, &f.url, &f.fault));
    CU_ASSERT(mr_output_name(&second, f.path, &f.url, &f.fault));
    CU_ASSERT(mr_output_open(&f.output, &f.fault) && mr_output_open(&second, &f.fault));
    CU_ASSERT_STRING_NOT_EQUAL(f.output.part, second.part);
    CU_ASSERT_EQUAL(write(f.output.fd, "a", 1), 1);
    CU_ASSERT_EQUAL(write(second.fd, "b", 1), 1);
    CU_ASSERT(mr_output_commit(&f.output, &f.fault) && has_text(f.path, "a"));
    CU_ASSERT(mr_output_commit(&second, &f.fault) && has_text(f.path, "b"));
    end(&f);
}

static void the_longest_name_a_folder_takes_is_possible(void)
{
    struct fixture f;
    char path[512];

    begin(&f);
    snprintf(path, sizeof(path), "%s/%0255d", f.folder, 7);
    CU_ASSERT(mr_output_name(&f.output, path, &f.url, &f.fault));
    CU_ASSERT(mr_output_open(&f.output, &f.fault));
    CU_ASSERT(mr_output_commit(&f.output, &f.fault));
    CU_ASSERT_EQUAL(unlink(path), 0);
    end(&f);
}

static void a_folder_gets_a_file_with_the_urls_name(void)
{
    struct fixture f;

    begin(&f);
    CU_ASSERT(mr_output_name(&f.output, f.folder, &f.url, &f.fault));
    CU_ASSERT_STRING_EQUAL(f.output.path, f.path);
    CU_ASSERT(mr_output_name(&f.output, NULL, &f.url, &f.fault));
    CU_ASSERT_STRING_EQUAL(f.output.path, "file");
    CU_ASSERT_FALSE(mr_output_name(&f.output, "", &f.url, &f.fault));
    end(&f);
}

static void a_pipe_or_a_device_is_written_directly(void)
{
    struct fixture f;
    struct stat info;

    begin(&f);
    CU_ASSERT(mr_output_name(&f.output, "/dev/null", &f.url, &f.fault));
    CU_ASSERT(mr_output_open(&f.output, &f.fault));
    CU_ASSERT(f.output.is_direct && f.output.is_stream);
    CU_ASSERT(mr_output_commit(&f.output, &f.fault));
    CU_ASSERT(stat("/dev/null", &info) == 0 && S_ISCHR(info.st_mode));

    CU_ASSERT_EQUAL_FATAL(mkfifo(f.path, 0600), 0);
    FILE *reader = fopen(f.path, "r+");
    CU_ASSERT(mr_output_name(&f.output, f.path, &f.url, &f.fault));
    CU_ASSERT(mr_output_open(&f.output, &f.fault));
    CU_ASSERT(f.output.is_direct && f.output.is_stream);
    mr_output_discard(&f.output);
    CU_ASSERT(has(f.path));
    fclose(reader);
    end(&f);
}

static void standard_output_stays_open(void)
{
    struct fixture f;

    begin(&f);
    CU_ASSERT(mr_output_name(&f.output, "-", &f.url, &f.fault));
    CU_ASSERT(mr_output_open(&f.output, &f.fault));
    CU_ASSERT(f.output.is_direct);
    CU_ASSERT(mr_output_commit(&f.output, &f.fault));
    CU_ASSERT_EQUAL(fcntl(STDOUT_FILENO, F_GETFD), 0);
    end(&f);
}

static void a_missing_folder_is_named(void)
{
    struct fixture f;

    begin(&f);
    snprintf(f.path, sizeof(f.path), "%s/none/file", f.folder);
    CU_ASSERT(mr_output_name(&f.output, f.path, &f.url, &f.fault));
    CU_ASSERT_FALSE(mr_output_open(&f.output, &f.fault));
    CU_ASSERT_PTR_NOT_NULL(strstr(f.fault.text, "make its directory first"));
    end(&f);
}

static CU_TestInfo tests[] = {
    {"a file gets its name when it is complete", a_file_gets_its_name_when_it_is_complete},
    {"what is discarded leaves nothing and harms nothing",
     what_is_discarded_leaves_nothing_and_harms_nothing},
    {"files and links of others stay as they are", files_and_links_of_others_stay_as_they_are},
    {"two downloads of one name do not mix", two_downloads_of_one_name_do_not_mix},
    {"the longest name a folder takes is possible", the_longest_name_a_folder_takes_is_possible},
    {"a folder gets a file with the URL's name", a_folder_gets_a_file_with_the_urls_name},
    {"a pipe or a device is written directly", a_pipe_or_a_device_is_written_directly},
    {"standard output stays open", standard_output_stays_open},
    {"a missing folder is named", a_missing_folder_is_named},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "tools/output", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
