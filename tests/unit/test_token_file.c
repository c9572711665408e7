/* tests/unit/test_token_file.c - the contract of control/token_file.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "control/token_file.h"
#include "tests/unit/harness.h"

static char folder[64];
static char path[96];

static int make_folder(void)
{
    strcpy(folder, "/tmp/millrace-tokens-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/keys", folder);
    return 0;
}

static int remove_folder(void)
{
    char name[128];

    unlink(path);
    snprintf(name, sizeof(name), "%s.lock", path);
    unlink(name);
    return rmdir(folder);
}

static void set_age(int64_t seconds)
{
    const struct timespec times[2] = {{.tv_sec = time(NULL) - seconds},
                                      {.tv_sec = time(NULL) - seconds}};

    CU_ASSERT_EQUAL(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void put(const uint8_t *bytes, size_t size, mode_t mode)
{
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);

    CU_ASSERT_EQUAL(write(fd, bytes, size), (ssize_t)size);
    fchmod(fd, mode);
    close(fd);
}

static void a_file_that_is_not_there_is_made_private(void)
{
    struct mr_token_file file;
    struct mr_token_secrets made;
    struct mr_token_secrets again;
    struct mr_fault fault = {0};
    struct stat info;

    unlink(path);
    CU_ASSERT_EQUAL(mr_token_file_open(&file, path, &made, &fault), 0);
    CU_ASSERT_EQUAL_FATAL(stat(path, &info), 0);
    CU_ASSERT_EQUAL(info.st_mode & 0777, 0600);
    CU_ASSERT_EQUAL(mr_token_file_open(&file, path, &again, &fault), 0);
    CU_ASSERT_EQUAL(memcmp(&made, &again, sizeof(made)), 0);
    static const uint8_t zeros[MR_STATIC_KEY];
    CU_ASSERT_NOT_EQUAL(memcmp(made.reset, zeros, sizeof(zeros)), 0);
    unlink(path);
    CU_ASSERT_EQUAL(mr_token_file_open(&file, path, &again, &fault), 0);
    CU_ASSERT_NOT_EQUAL(memcmp(made.reset, again.reset, sizeof(made.reset)), 0);
    CU_ASSERT_EQUAL(mr_token_file_look(&file, &again, time(NULL) - 100, &fault), 0);
}

/* The secret of resets stays; those of address tokens come one by one, and are shared. */
static void secrets_of_address_tokens_are_renewed_and_shared(void)
{
    struct mr_token_file one;
    struct mr_token_file other;
    struct mr_token_secrets first;
    struct mr_token_secrets mine;
    struct mr_token_secrets others;
    struct mr_fault fault = {0};
    int64_t since = time(NULL) - 100;

    unlink(path);
    CU_ASSERT_EQUAL(mr_token_file_open(&one, path, &first, &fault), 0);
    CU_ASSERT_EQUAL(mr_token_file_open(&other, path, &others, &fault), 0);
    for (uint8_t round = 1; round <= 6; round++) {
        set_age(200);
        CU_ASSERT_EQUAL(mr_token_file_look(&one, &mine, since, &fault), 1);
        CU_ASSERT_EQUAL(mine.writing, round % MR_TOKEN_KEYS);
        CU_ASSERT_NOT_EQUAL(mine.present & 1u << mine.writing, 0);
        CU_ASSERT_EQUAL(memcmp(mine.reset, first.reset, sizeof(first.reset)), 0);
        CU_ASSERT_EQUAL(mr_token_file_look(&one, &mine, since, &fault), 0);
        CU_ASSERT_EQUAL(mr_token_file_look(&other, &others, since, &fault), 1);
        CU_ASSERT_EQUAL(memcmp(&mine, &others, sizeof(mine)), 0);
        CU_ASSERT_EQUAL(mr_token_file_look(&other, &others, since, &fault), 0);
    }
    CU_ASSERT_EQUAL(mine.present, 0x0f);
    set_age(200);
    CU_ASSERT_EQUAL(mr_token_file_look(&one, &mine, INT64_MIN, &fault), 1); /* its age changed */
    CU_ASSERT_EQUAL(mine.writing, 6 % MR_TOKEN_KEYS);
}

/* RFC 9000, Section 8.1.3: what a server handed out before it began again is good afterwards. */
static void tokens_of_every_secret_in_the_file_are_understood(void)
{
    const struct mr_addr client = {.ip = {1, 2, 3}, .port = 7};
    struct mr_token_file file;
    struct mr_token_secrets secrets;
    struct mr_token_keys keys[6];
    uint8_t tokens[6][MR_TOKEN_NEW_SIZE];
    uint8_t resets[2][MR_RESET_TOKEN];
    struct mr_cid_view cid = {.bytes = (const uint8_t *)"abcdefgh", .size = 8};
    struct mr_fault fault = {0};

    unlink(path);
    CU_ASSERT_EQUAL(mr_token_file_open(&file, path, &secrets, &fault), 0);
    for (int i = 0; i < 6; i++) {
        CU_ASSERT_TRUE_FATAL(mr_token_keys_load(&keys[i], &secrets));
        mr_token_write_new(&keys[i], MR_VERSION_1, &client, NULL, 5, tokens[i], 1000);
        set_age(200);
        if (i < 5)
            CU_ASSERT_EQUAL(mr_token_file_look(&file, &secrets, time(NULL) - 100, &fault), 1);
    }
    struct mr_token_keys last;
    CU_ASSERT_TRUE_FATAL(mr_token_keys_load(&last, &secrets));
    for (int i = 0; i < 6; i++) {
        enum mr_token_verdict verdict = mr_token_validate_new(
            &last, MR_VERSION_1, tokens[i], MR_TOKEN_NEW_SIZE, &client, NULL, 1001);

        CU_ASSERT_EQUAL(verdict, i < 2 ? MR_TOKEN_MALFORMED : MR_TOKEN_VALID); /* four are kept */
    }
    mr_reset_token(&keys[0], cid, resets[0]);
    mr_reset_token(&last, cid, resets[1]);
    CU_ASSERT_EQUAL(memcmp(resets[0], resets[1], MR_RESET_TOKEN), 0);
    for (int i = 0; i < 6; i++)
        mr_token_keys_wipe(&keys[i]);
    mr_token_keys_wipe(&last);
}

static void what_is_no_file_of_secrets_is_named_and_left_alone(void)
{
    static const struct {
        size_t size;
        uint8_t head[4];
        mode_t mode;
        const char *said;
    } cases[] = {
        {0, {0}, 0600, "0 bytes"},
        {163, {0x6b, 1}, 0600, "163 bytes"},
        {165, {0x6b, 1}, 0600, "165 bytes"},
        {164, {0x6a, 1}, 0600, "no secrets of tokens"},
        {164, {0x6b, 2}, 0600, "another version"},
        {164, {0x6b, 1, 4, 0x1f}, 0600, "no secrets of tokens"},
        {164, {0x6b, 1, 2, 0x0b}, 0600, "no secrets of tokens"},
        {164, {0x6b, 1}, 0604, "everybody may use"},
    };
    struct mr_token_file file;
    struct mr_token_secrets secrets;

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        uint8_t bytes[200] = {0};
        struct mr_fault fault = {0};

        memcpy(bytes, cases[i].head, sizeof(cases[i].head));
        put(bytes, cases[i].size, cases[i].mode);
        CU_ASSERT_NOT_EQUAL(mr_token_file_open(&file, path, &secrets, &fault), 0);
        CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, cases[i].said));
        CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, path));
    }
    uint8_t good[164] = {0x6b, 1};
    put(good, sizeof(good), 0600);
    struct mr_fault fault = {0};
    CU_ASSERT_EQUAL(mr_token_file_open(&file, path, &secrets, &fault), 0);
    unlink(path);
    CU_ASSERT_EQUAL(mr_token_file_look(&file, &secrets, INT64_MIN, &fault), -ENOENT);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "goes on"));
    CU_ASSERT_NOT_EQUAL(mr_token_file_open(&file, folder, &secrets, &fault), 0);
    CU_ASSERT_NOT_EQUAL(mr_token_file_open(&file, "/nowhere/keys", &secrets, &fault), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "/nowhere/keys"));
}

static CU_TestInfo tests[] = {
    {"a file that is not there is made, private", a_file_that_is_not_there_is_made_private},
    {"secrets of address tokens are renewed and shared",
     secrets_of_address_tokens_are_renewed_and_shared},
    {"tokens of every secret in the file are understood",
     tokens_of_every_secret_in_the_file_are_understood},
    {"what is no file of secrets is named and left alone",
     what_is_no_file_of_secrets_is_named_and_left_alone},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "control/token_file",
     .pTests = tests,
     .pInitFunc = make_folder,
     .pCleanupFunc = remove_folder},
    CU_SUITE_INFO_NULL,
};
