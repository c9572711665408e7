/* Tests of control/secret_file.h. */
#include "control/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "tests/unit/harness.h"

static char folder[64];
static char path[96];
static char fresh[128];
static char lock[128];

static int prepare(void)
{
    snprintf(folder, sizeof(folder), "/tmp/test_secret_file.XXXXXX");
    if (mkdtemp(folder) == NULL)
        return 1;
    snprintf(path, sizeof(path), "%s/secret", folder);
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    snprintf(lock, sizeof(lock), "%s.lock", path);
    return 0;
}

static int clean(void)
{
    unlink(path);
    unlink(fresh);
    unlink(lock);
    return rmdir(folder);
}

static void put(const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    CU_ASSERT_EQUAL(fchmod(fd, mode), 0);
    close(fd);
}

static void expect_content(const char *text, mode_t mode)
{
    char read_back[32] = "";
    struct stat info;
    int fd = open(path, O_RDONLY);

    CU_ASSERT_EQUAL(read(fd, read_back, sizeof(read_back) - 1), (ssize_t)strlen(text));
    CU_ASSERT_STRING_EQUAL(read_back, text);
    CU_ASSERT_EQUAL(fstat(fd, &info), 0);
    CU_ASSERT_EQUAL(info.st_mode & 07777, mode);
    close(fd);
}

static int open_it(struct mr_fault *fault)
{
    struct stat info = {0};
    int fd = mr_secret_file_open(path, "keys", &info, fault);

    if (fd >= 0) {
        CU_ASSERT_EQUAL(info.st_size, 3);
        close(fd);
    }
    return fd;
}

static void no_permission_may_be_everybodys(void)
{
    static const mode_t good[] = {0600, 0400, 0640, 0660};
    static const mode_t bad[] = {0604, 0602, 0601, 0644, 0666, 0777};

    for (size_t i = 0; i < MR_COUNT_OF(good); i++) {
        struct mr_fault fault = {0};

        put("abc", good[i]);
        CU_ASSERT(open_it(&fault) >= 0);
        CU_ASSERT_STRING_EQUAL(fault.text, "");
    }
    for (size_t i = 0; i < MR_COUNT_OF(bad); i++) {
        struct mr_fault fault = {0};

        put("abc", bad[i]);
        CU_ASSERT_EQUAL(open_it(&fault), -EPERM);
        CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "everybody may use these keys; chmod 600"));
        CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, path));
    }
}

/* A pipe with nobody to write does not keep us waiting. */
static void what_is_no_regular_file_is_none(void)
{
    struct mr_fault fault = {0};

    unlink(path);
    CU_ASSERT_EQUAL(open_it(&fault), -ENOENT);
    CU_ASSERT_EQUAL_FATAL(mkfifo(path, 0600), 0);
    CU_ASSERT_EQUAL(open_it(&fault), -EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "no regular file"));
    unlink(path);
    CU_ASSERT_EQUAL_FATAL(mkdir(path, 0700), 0);
    CU_ASSERT_EQUAL(open_it(&fault), -EINVAL);
    rmdir(path);
}

static void a_file_is_replaced_with_its_permissions_or_made_private(void)
{
    struct mr_fault fault = {0};
    mode_t before = umask(0);

    unlink(path);
    CU_ASSERT_EQUAL(mr_secret_file_write(path, "new", 3, &fault), 0);
    expect_content("new", 0600);
    put("old", 0640);
    CU_ASSERT_EQUAL(mr_secret_file_write(path, "next", 4, &fault), 0);
    expect_content("next", 0640);
    CU_ASSERT_EQUAL(access(fresh, F_OK), -1);
    umask(before);
}

static void what_cannot_be_written_leaves_the_file(void)
{
    char long_path[5000];
    struct mr_fault fault = {0};

    put("old", 0600);
    CU_ASSERT_EQUAL_FATAL(symlink("elsewhere", fresh), 0); /* somebody's who wants to have it */
    CU_ASSERT_EQUAL(mr_secret_file_write(path, "new", 3, &fault), -ELOOP);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "let this user write its folder"));
    expect_content("old", 0600);
    unlink(fresh);
    memset(long_path, 'a', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = '\0';
    CU_ASSERT_EQUAL(mr_secret_file_write(long_path, "new", 3, &fault), -ENAMETOOLONG);
    CU_ASSERT_EQUAL(mr_secret_file_lock(long_path, false, &fault), -ENAMETOOLONG);
}

static void one_at_a_time_has_the_lock(void)
{
    struct mr_fault fault = {0};
    int first = mr_secret_file_lock(path, true, &fault);

    CU_ASSERT_FATAL(first >= 0);
    CU_ASSERT_EQUAL(mr_secret_file_lock(path, false, &fault), -EAGAIN);
    CU_ASSERT_STRING_EQUAL(fault.text, "");
    close(first);
    int second = mr_secret_file_lock(path, false, &fault);
    CU_ASSERT(second >= 0);
    close(second);
    CU_ASSERT_EQUAL(mr_secret_file_lock("/nowhere/secret", false, &fault), -ENOENT);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "/nowhere/secret.lock"));
}

static CU_TestInfo tests[] = {
    {"no permission may be everybody's", no_permission_may_be_everybodys},
    {"what is no regular file is none", what_is_no_regular_file_is_none},
    {"a file is replaced with its permissions, or made private",
     a_file_is_replaced_with_its_permissions_or_made_private},
    {"what cannot be written leaves the file", what_cannot_be_written_leaves_the_file},
    {"one at a time has the lock", one_at_a_time_has_the_lock},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "control/secret_file", .pInitFunc = prepare, .pCleanupFunc = clean, .pTests = tests},
    CU_SUITE_INFO_NULL,
};
