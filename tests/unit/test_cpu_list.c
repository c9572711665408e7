/* Tests of control/cpu_list.h. */
#include "control/cpu_list.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/harness.h"

static struct mr_fault fault;
static struct mr_cpu_list list;

static void lists_are_parsed_in_their_order(void)
{
    CU_ASSERT(mr_cpu_list_parse("4,1-3", NULL, &list, &fault));
    CU_ASSERT_EQUAL_FATAL(list.count, 4);
    CU_ASSERT(list.cpu[0] == 4 && list.cpu[1] == 1 && list.cpu[2] == 2 && list.cpu[3] == 3);
    CU_ASSERT(mr_cpu_list_parse("0-1023", NULL, &list, &fault));
    CU_ASSERT_EQUAL(list.count, MR_CPUS_MAX);
}

static void malformed_lists_are_refused(void)
{
    static const char *const wrong[] = {
        "",   ",",    "1,",   ",1",     "a",   "1-",  "-1",    "2-1",
        "1 ", "1,,2", "1024", "0-1024", "0x1", "1;2", "1-2-3", "99999999999999999999"};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        CU_ASSERT_FALSE(mr_cpu_list_parse(wrong[i], NULL, &list, &fault));
}

static void no_cpu_may_be_there_twice(void)
{
    CU_ASSERT_FALSE(mr_cpu_list_parse("0,0", NULL, &list, &fault));
    CU_ASSERT_STRING_EQUAL(
        fault.text, "core 0 is there twice in \"0,0\"; a thread polls on each, leave one out");
    CU_ASSERT_FALSE(mr_cpu_list_parse("4,1-3,2", NULL, &list, &fault));
    CU_ASSERT_FALSE(mr_cpu_list_parse("2,1-3", NULL, &list, &fault));
}

static void only_usable_cpus_are_taken(void)
{
    const struct mr_cpu_list usable = {.count = 2, .cpu = {1, 5}};

    CU_ASSERT(mr_cpu_list_parse("5,1", &usable, &list, &fault));
    CU_ASSERT_FALSE(mr_cpu_list_parse("1-5", &usable, &list, &fault));
    CU_ASSERT_STRING_EQUAL(fault.text, "core 2 does not exist or this process may not run on it");
}

static void a_thread_has_cpus(void)
{
    mr_cpu_list_of_thread(&list);
    CU_ASSERT(list.count > 0);
    CU_ASSERT(mr_cpu_list_has(&list, list.cpu[list.count - 1]));
    CU_ASSERT_FALSE(mr_cpu_list_has(&list, MR_CPUS_MAX));
}

static CU_TestInfo tests[] = {
    {"lists are parsed in their order", lists_are_parsed_in_their_order},
    {"malformed lists are refused", malformed_lists_are_refused},
    {"no CPU may be there twice", no_cpu_may_be_there_twice},
    {"only usable CPUs are taken", only_usable_cpus_are_taken},
    {"a thread has CPUs", a_thread_has_cpus},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "control/cpu_list", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
