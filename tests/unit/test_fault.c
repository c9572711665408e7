/* Tests of base/fault.h. */
#include "base/fault.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/harness.h"

static void a_fault_keeps_the_message_and_gives_the_error_back_negative(void)
{
    struct mr_fault fault = {0};

    int result = mr_fault_set(&fault, EPERM, "cannot open %s: %s; run as root", "/dev/x", "denied");
    CU_ASSERT_EQUAL(result, -EPERM);
    CU_ASSERT_STRING_EQUAL(fault.text, "cannot open /dev/x: denied; run as root");
}

static void no_error_number_is_still_a_failure(void)
{
    struct mr_fault fault = {0};

    CU_ASSERT_EQUAL(mr_fault_set(&fault, 0, "odd"), -EINVAL);
}

static void context_goes_in_front(void)
{
    struct mr_fault fault = {0};

    int result = mr_fault_set(&fault, ENOENT, "no such file");
    result = mr_fault_add_context(&fault, result, "certificate %s", "a.pem");
    result = mr_fault_add_context(&fault, result, "edge");
    CU_ASSERT_EQUAL(result, -ENOENT);
    CU_ASSERT_STRING_EQUAL(fault.text, "edge: certificate a.pem: no such file");
}

static void text_that_is_too_long_loses_its_middle_visibly(void)
{
    struct mr_fault fault = {0};
    char name[400];

    memset(name, 'x', sizeof(name));
    name[MR_FAULT_SIZE - 1] = '\0'; /* just fits */
    mr_fault_set(&fault, EINVAL, "%s", name);
    CU_ASSERT_STRING_EQUAL(fault.text, name);

    name[0] = 'a';
    name[MR_FAULT_SIZE - 1] = 'z';
    name[MR_FAULT_SIZE] = '\0'; /* one too many */
    mr_fault_set(&fault, EINVAL, "%s", name);
    CU_ASSERT_EQUAL(strlen(fault.text), MR_FAULT_SIZE - 1);
    CU_ASSERT_EQUAL(strncmp(fault.text, "axx", 3), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "x...x"));
    CU_ASSERT_STRING_EQUAL(fault.text + MR_FAULT_SIZE - 4, "xxz");
}

static void a_long_name_takes_nothing_from_cause_and_remedy(void)
{
    static const char end[] = ": File name too long; name a directory that exists";
    struct mr_fault fault = {0};
    static char name[8192];

    memset(name, 'x', sizeof(name) - 1);
    mr_fault_set(&fault, ENAMETOOLONG, "cannot serve %s%s", name, end);
    CU_ASSERT_EQUAL(strlen(fault.text), MR_FAULT_SIZE - 1);
    CU_ASSERT_EQUAL(strncmp(fault.text, "cannot serve xxx", 16), 0);
    CU_ASSERT_STRING_EQUAL(fault.text + strlen(fault.text) - strlen(end), end);

    mr_fault_add_context(&fault, -ENAMETOOLONG, "port %s", name);
    CU_ASSERT_EQUAL(strlen(fault.text), MR_FAULT_SIZE - 1);
    CU_ASSERT_EQUAL(strncmp(fault.text, "port xxx", 8), 0);
    CU_ASSERT_STRING_EQUAL(fault.text + strlen(fault.text) - strlen(end), end);
}

static void control_characters_cannot_forge_a_line(void)
{
    struct mr_fault fault = {0};

    mr_fault_set(&fault, EINVAL, "file %s", "a\nb\x1b[2J\x7f");
    CU_ASSERT_STRING_EQUAL(fault.text, "file a?b?[2J?");
    mr_fault_set(&fault, EINVAL, "%s", "caf\xc3\xa9"); /* UTF-8 stays */
    CU_ASSERT_STRING_EQUAL(fault.text, "caf\xc3\xa9");
}

static void nobody_needs_to_take_the_text(void)
{
    CU_ASSERT_EQUAL(mr_fault_set(NULL, EPERM, "x"), -EPERM);
    CU_ASSERT_EQUAL(mr_fault_add_context(NULL, -EPERM, "x"), -EPERM);
}

static CU_TestInfo tests[] = {
    {"a fault keeps the message and gives the error back negative",
     a_fault_keeps_the_message_and_gives_the_error_back_negative},
    {"no error number is still a failure", no_error_number_is_still_a_failure},
    {"context goes in front", context_goes_in_front},
    {"text that is too long loses its middle visibly",
     text_that_is_too_long_loses_its_middle_visibly},
    {"a long name takes nothing from cause and remedy",
     a_long_name_takes_nothing_from_cause_and_remedy},
    {"control characters cannot forge a line", control_characters_cannot_forge_a_line},
    {"nobody needs to take the text", nobody_needs_to_take_the_text},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "base/fault", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
