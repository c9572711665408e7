/* Tests of control/routing.h. */
#include "control/routing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compiler.h"
#include "tests/unit/harness.h"

static char path[64];

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs(text, file);
    fclose(file);
    CU_ASSERT_EQUAL(chmod(path, 0600), 0);
}

static void a_key_is_thirty_two_digits(void)
{
    static const struct {
        const char *text;
        bool is_key;
    } rows[] = {{"8f95f09245765f80256934e50c66207f", true},
                {"8F95F09245765f80256934e50c66207f\n", true},
                {"8f95f09245765f80256934e50c66207f\r\n", true},
                {"8f95f09245765f80256934e50c66207f\n\n", false},
                {"8f95f09245765f80256934e50c66207", false},
                {"8f95f09245765f80256934e50c66207f0", false},
                {"8f95f09245765f80256934e50c66207g", false},
                {" 8f95f09245765f80256934e50c6620", false},
                {"", false}};

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        uint8_t key[MR_ROUTING_KEY] = {0};
        struct mr_fault fault = {0};

        write_file(rows[i].text);
        CU_ASSERT_EQUAL(mr_routing_key_read(path, key, &fault), rows[i].is_key);
        CU_ASSERT_EQUAL(key[0], rows[i].is_key ? 0x8f : 0);
        CU_ASSERT_EQUAL(key[15], rows[i].is_key ? 0x7f : 0);
        CU_ASSERT_EQUAL(fault.text[0] == '\0', rows[i].is_key);
    }
}

static void a_file_that_is_not_there_is_a_fault(void)
{
    uint8_t key[MR_ROUTING_KEY];
    struct mr_fault fault = {0};

    unlink(path);
    CU_ASSERT_FALSE(mr_routing_key_read(path, key, &fault));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "check the path"));
    CU_ASSERT_TRUE(mr_routing_key_read("", key, &fault)); /* none */
}

static void a_key_that_everybody_may_read_is_none(void)
{
    uint8_t key[MR_ROUTING_KEY] = {0};
    struct mr_fault fault = {0};

    write_file("8f95f09245765f80256934e50c66207f");
    CU_ASSERT_EQUAL(chmod(path, 0604), 0);
    CU_ASSERT_FALSE(mr_routing_key_read(path, key, &fault));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "chmod 600"));
    CU_ASSERT_EQUAL(key[0], 0);
    CU_ASSERT_EQUAL(chmod(path, 0640), 0); /* a group's is fine, as with tickets' keys */
    CU_ASSERT_TRUE(mr_routing_key_read(path, key, &fault));
}

static CU_TestInfo tests[] = {
    {"a key is thirty-two digits", a_key_is_thirty_two_digits},
    {"a file that is not there is a fault", a_file_that_is_not_there_is_a_fault},
    {"a key that everybody may read is none", a_key_that_everybody_may_read_is_none},
    CU_TEST_INFO_NULL,
};

static int prepare(void)
{
    snprintf(path, sizeof(path), "/tmp/test_routing.%d", (int)getpid());
    return 0;
}

static int clean(void)
{
    unlink(path);
    return 0;
}

CU_SuiteInfo mr_suites[] = {
    {.pName = "control/routing", .pInitFunc = prepare, .pCleanupFunc = clean, .pTests = tests},
    CU_SUITE_INFO_NULL,
};
