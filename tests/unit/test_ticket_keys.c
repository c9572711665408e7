/* Tests of control/ticket_keys.h. */
#include "control/ticket_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/harness.h"

static struct mr_fault fault;
static char folder[64];
static char path[128];
static char lock[160];

static void make_folder(void)
{
    snprintf(folder, sizeof(folder), "/tmp/mr-keys-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/keys", folder);
    snprintf(lock, sizeof(lock), "%s/keys.lock", folder);
}

static void remove_folder(void)
{
    unlink(path);
    unlink(lock);
    CU_ASSERT_EQUAL(rmdir(folder), 0); /* nothing else is left behind */
}

/* Write `size` bytes with the given permissions. */
static void put(size_t size, mode_t mode)
{
    static const uint8_t bytes[MR_TICKET_KEYS_SIZE * 10] = {1};
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(write(fd, bytes, size), (ssize_t)size);
    CU_ASSERT_EQUAL(fchmod(fd, mode), 0);
    close(fd);
}

static void rotation_keeps_some(void)
{
    struct mr_ticket_keys keys = {0};
    struct mr_ticket_keys before;

    CU_ASSERT_EQUAL(mr_ticket_keys_rotate(&keys, 2, &fault), 0);
    CU_ASSERT_EQUAL(keys.count, 1);
    before = keys;
    CU_ASSERT_EQUAL(mr_ticket_keys_rotate(&keys, 2, &fault), 0);
    CU_ASSERT_EQUAL(mr_ticket_keys_rotate(&keys, 2, &fault), 0);
    CU_ASSERT_EQUAL(keys.count, 3);
    CU_ASSERT_EQUAL(mr_ticket_keys_find(&keys, before.key[0]), 2);
    CU_ASSERT_EQUAL(memcmp(keys.key[2], before.key[0], MR_TICKET_KEYS_SIZE), 0);
    CU_ASSERT_EQUAL(mr_ticket_keys_rotate(&keys, 2, &fault), 0);
    CU_ASSERT_EQUAL(keys.count, 3);
    CU_ASSERT_EQUAL(mr_ticket_keys_find(&keys, before.key[0]), MR_TICKET_KEYS_MAX);
    CU_ASSERT_EQUAL(mr_ticket_keys_rotate(&keys, 0, &fault), 0);
    CU_ASSERT_EQUAL(keys.count, 1);
    for (size_t i = 0; i < MR_TICKET_KEYS_SIZE; i++)
        CU_ASSERT_EQUAL(keys.key[1][i], 0); /* what is forgotten is wiped */
    for (uint32_t i = 0; i < 9; i++)
        CU_ASSERT_EQUAL(mr_ticket_keys_rotate(&keys, MR_TICKET_KEYS_MAX - 1, &fault), 0);
    CU_ASSERT_EQUAL(keys.count, MR_TICKET_KEYS_MAX);
}

static void only_sound_files_are_read(void)
{
    struct mr_ticket_keys keys = {.count = 7};

    make_folder();
    CU_ASSERT_EQUAL(mr_ticket_keys_read(&keys, path, &fault), -ENOENT);
    put(MR_TICKET_KEYS_SIZE * 2, 0640);
    CU_ASSERT_EQUAL(mr_ticket_keys_read(&keys, path, &fault), 0);
    CU_ASSERT_EQUAL(keys.count, 2);
    CU_ASSERT_EQUAL(keys.key[0][0], 1);
    put(MR_TICKET_KEYS_SIZE * 2, 0644);
    CU_ASSERT_EQUAL(mr_ticket_keys_read(&keys, path, &fault), -EPERM);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "chmod 600"));
    put(MR_TICKET_KEYS_SIZE - 1, 0600);
    CU_ASSERT_EQUAL(mr_ticket_keys_read(&keys, path, &fault), -EINVAL);
    put(0, 0600);
    CU_ASSERT_EQUAL(mr_ticket_keys_read(&keys, path, &fault), -EINVAL);
    put(MR_TICKET_KEYS_SIZE * 9, 0600);
    CU_ASSERT_EQUAL(mr_ticket_keys_read(&keys, path, &fault), -EINVAL);
    CU_ASSERT_EQUAL(keys.count, 2);
    put(MR_TICKET_KEYS_SIZE * 8, 0600);
    CU_ASSERT_EQUAL(mr_ticket_keys_read(&keys, path, &fault), 0);
    CU_ASSERT_EQUAL(mr_ticket_keys_read(&keys, folder, &fault), -EINVAL);
    remove_folder();
}

static void one_process_renews_the_file(void)
{
    const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    struct mr_ticket_keys first = {0};
    struct mr_ticket_keys keys = {0};
    struct stat info;

    make_folder();
    CU_ASSERT_EQUAL(mr_ticket_keys_renew(&first, path, 2, 500, &fault), 1); /* it is not there */
    CU_ASSERT_EQUAL(first.count, 1);
    CU_ASSERT_EQUAL(stat(path, &info), 0);
    CU_ASSERT_EQUAL(info.st_mode & 0777, 0600);
    CU_ASSERT_EQUAL(chmod(path, 0640), 0);
    CU_ASSERT_EQUAL(mr_ticket_keys_renew(&keys, path, 2, 500, &fault), 0); /* new enough */
    CU_ASSERT_EQUAL(keys.count, 0);

    CU_ASSERT_EQUAL(utimensat(AT_FDCWD, path, old, 0), 0);
    CU_ASSERT_EQUAL(mr_ticket_keys_renew(&keys, path, 2, 1000, &fault), 0);
    int fd = open(lock, O_RDWR);
    CU_ASSERT_EQUAL(flock(fd, LOCK_EX), 0);
    CU_ASSERT_EQUAL(mr_ticket_keys_renew(&keys, path, 2, 1001, &fault), 0); /* another is at it */
    close(fd);
    CU_ASSERT_EQUAL(mr_ticket_keys_renew(&keys, path, 2, 1001, &fault), 1);
    CU_ASSERT_EQUAL(keys.count, 2);
    CU_ASSERT_EQUAL(mr_ticket_keys_find(&keys, first.key[0]), 1);
    CU_ASSERT_EQUAL(stat(path, &info), 0);
    CU_ASSERT_EQUAL(info.st_mode & 0777, 0640);
    CU_ASSERT_EQUAL(mr_ticket_keys_read(&first, path, &fault), 0);
    CU_ASSERT_EQUAL(memcmp(&first, &keys, sizeof(keys)), 0);
    remove_folder();
}

/* A file that is broken is not replaced by one that nobody asked for. */
static void a_broken_file_stays(void)
{
    const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    struct mr_ticket_keys keys = {0};
    struct stat info;

    make_folder();
    put(3, 0600);
    CU_ASSERT_EQUAL(utimensat(AT_FDCWD, path, old, 0), 0);
    CU_ASSERT_EQUAL(mr_ticket_keys_renew(&keys, path, 2, 2000, &fault), -EINVAL);
    CU_ASSERT_EQUAL(stat(path, &info), 0);
    CU_ASSERT_EQUAL(info.st_size, 3);
    remove_folder();
    CU_ASSERT(mr_ticket_keys_renew(&keys, path, 2, 2000, &fault) < 0); /* no such folder */
}

static CU_TestInfo tests[] = {
    {"rotation keeps some", rotation_keeps_some},
    {"only sound files are read", only_sound_files_are_read},
    {"one process renews the file", one_process_renews_the_file},
    {"a broken file stays", a_broken_file_stays},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "control/ticket_keys", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
