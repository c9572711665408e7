/* Tests of dataplane/handoff.h. */
#include "dataplane/handoff.h"

#include <string.h>

#include "tests/unit/harness.h"

static struct mr_handoff table;

/* Append a listener for `server_name`, `alpn` and `port`. */
static void add(uint16_t port, const char *alpn, const char *server_name)
{
    struct mr_handoff_listener *listener = &table.listener[table.listener_count++];

    *listener = (struct mr_handoff_listener){.port = port};
    memcpy(listener->alpn, alpn, strlen(alpn));
    memcpy(listener->server_name, server_name, strlen(server_name));
}

static void an_empty_table_has_no_listener(void)
{
    table.listener_count = 0;
    CU_ASSERT_EQUAL(mr_handoff_find(&table, 443, "h3", "example.com"), MR_LISTENERS_MAX);
}

static void a_listener_without_demands_takes_everything(void)
{
    table.listener_count = 0;
    add(0, "", "");
    CU_ASSERT_EQUAL(mr_handoff_find(&table, 443, "h3", "example.com"), 0);
    CU_ASSERT_EQUAL(mr_handoff_find(&table, 1, "", ""), 0);
}

static void each_demand_counts(void)
{
    table.listener_count = 0;
    add(443, "h3", "example.com");
    CU_ASSERT_EQUAL(mr_handoff_find(&table, 443, "h3", "example.com"), 0);
    CU_ASSERT_EQUAL(mr_handoff_find(&table, 444, "h3", "example.com"), MR_LISTENERS_MAX);
    CU_ASSERT_EQUAL(mr_handoff_find(&table, 443, "h3-29", "example.com"), MR_LISTENERS_MAX);
    CU_ASSERT_EQUAL(mr_handoff_find(&table, 443, "H3", "example.com"), MR_LISTENERS_MAX);
    CU_ASSERT_EQUAL(mr_handoff_find(&table, 443, "", "example.com"), MR_LISTENERS_MAX);
    CU_ASSERT_EQUAL(mr_handoff_find(&table, 443, "h3", "example.org"), MR_LISTENERS_MAX);
    CU_ASSERT_EQUAL(mr_handoff_find(&table, 443, "h3", ""), MR_LISTENERS_MAX);
}

static void the_first_that_matches_wins(void)
{
    table.listener_count = 0;
    add(443, "h3", "a.example.com");
    add(443, "h3", "*.example.com");
    add(443, "", "");
    CU_ASSERT_EQUAL(mr_handoff_find(&table, 443, "h3", "a.example.com"), 0);
    CU_ASSERT_EQUAL(mr_handoff_find(&table, 443, "h3", "b.example.com"), 1);
    CU_ASSERT_EQUAL(mr_handoff_find(&table, 443, "kv", "b.example.com"), 2);
}

static void the_last_listener_is_found(void)
{
    table.listener_count = 0;
    for (uint16_t i = 0; i < MR_LISTENERS_MAX; i++)
        add((uint16_t)(i + 1), "", "");
    CU_ASSERT_EQUAL(mr_handoff_find(&table, MR_LISTENERS_MAX, "x", "y"), MR_LISTENERS_MAX - 1);
}

static void names_match_in_any_case_and_wildcards_one_label(void)
{
    static const struct {
        const char *pattern;
        const char *name;
        bool matches;
    } cases[] = {
        {"example.com", "EXAMPLE.Com", true},
        {"example.com", "example.com.", false},
        {"example.com", "xexample.com", false},
        {"*.example.com", "A.Example.Com", true},
        {"*.example.com", "example.com", false},
        {"*.example.com", ".example.com", false},
        {"*.example.com", "a.b.example.com", false},
        {"*.example.com", "aexample.com", false},
        {"*.example.com", "", false},
        {"*.example.com", "a.example.comx", false},
        {"*.com", "example.com", true},
        {"a.*.com", "a.b.com", false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        CU_ASSERT_EQUAL(mr_server_name_matches(cases[i].pattern, cases[i].name), cases[i].matches);
}

static CU_TestInfo tests[] = {
    {"an empty table has no listener", an_empty_table_has_no_listener},
    {"a listener without demands takes everything", a_listener_without_demands_takes_everything},
    {"each demand counts", each_demand_counts},
    {"the first that matches wins", the_first_that_matches_wins},
    {"the last listener is found", the_last_listener_is_found},
    {"names match in any case, wildcards one label",
     names_match_in_any_case_and_wildcards_one_label},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "dataplane/handoff", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
