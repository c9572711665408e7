/* Tests of quic/counters.h. */
#include "quic/counters.h"

#include <ctype.h>
#include <string.h>

#include "tests/unit/harness.h"

static void every_counter_has_a_name_and_a_help_text(void)
{
    for (size_t i = 0; i < MR_COUNTERS; i++) {
        const char *name = mr_counter_name(i);

        CU_ASSERT(strlen(name) > 0);
        for (const char *c = name; *c != '\0'; c++)
            CU_ASSERT(islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '_');
        CU_ASSERT(strlen(mr_counter_help(i)) > 10);
        CU_ASSERT_PTR_NULL(strchr(mr_counter_help(i), '\n'));
    }
}

static void help_texts_differ(void)
{
    for (size_t i = 0; i < MR_COUNTERS; i++)
        for (size_t j = i + 1; j < MR_COUNTERS; j++)
            CU_ASSERT_NOT_EQUAL(strcmp(mr_counter_help(i), mr_counter_help(j)), 0);
}

static void index_name_and_field_go_together(void)
{
    struct mr_counters counters = {0};
    size_t found = 0;

    mr_count(&counters.packets_lost);
    mr_count_add(&counters.packets_lost, 41);
    mr_count_add(&counters.datagrams_received, 3);
    for (size_t i = 0; i < MR_COUNTERS; i++) {
        uint64_t expected = strcmp(mr_counter_name(i), "packets_lost") == 0         ? 42
                            : strcmp(mr_counter_name(i), "datagrams_received") == 0 ? 3
                                                                                    : 0;

        CU_ASSERT_EQUAL(mr_counter_value(&counters, i), expected);
        found += expected != 0;
    }
    CU_ASSERT_EQUAL(found, 2);
}

static CU_TestInfo tests[] = {
    {"every counter has a name and a help text", every_counter_has_a_name_and_a_help_text},
    {"help texts differ", help_texts_differ},
    {"index, name and field go together", index_name_and_field_go_together},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/counters", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
