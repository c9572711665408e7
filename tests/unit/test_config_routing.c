/* Tests of control/config.h: what connection IDs say to load balancers. */
#include <string.h>

#include "base/compiler.h"
#include "control/config.h"
#include "quic/cid.h"
#include "tests/unit/harness.h"

#define PORT     "ports: [{spec: tap:a, addresses: 10.0.0.1/24}]\n"
#define LISTENER "listeners: [{name: a, application: a, alpn: a}]\n"

static struct mr_config config; /* large */
static struct mr_fault fault;

/* Read text as the file "dir/f.yaml" over the defaults. */
static int parse(const char *text)
{
    mr_config_init(&config);
    fault = (struct mr_fault){0};
    return mr_config_parse(&config, "dir/f.yaml", text, strlen(text), &fault);
}

static void connection_ids_fit_their_format(void)
{
    static const struct {
        const char *text;
        const char *expected; /* NULL: it is right */
    } cases[] = {
        {PORT LISTENER "routing: {node: 4095, config: 6, key_file: k}", NULL},
        {PORT LISTENER "routing: {node: 0}", NULL},
        {PORT LISTENER "routing: {node: 4096}",
         "dir/f.yaml:3: routing.node: 4096 does not fit routing.format quic-lb; give 0 to 4095"},
        {PORT LISTENER "routing: {format: katran-v1}\nshards: 64\n", NULL},
        {PORT LISTENER "routing: {format: katran-v1, node: 65535}", NULL},
        {PORT LISTENER "routing: {format: katran-v1, node: 65536}",
         "dir/f.yaml:3: routing.node: 65536 does not fit routing.format katran-v1; give 1 to "
         "65535"},
        {PORT LISTENER "routing: {format: katran-v2, node: 16777215}", NULL},
        {PORT LISTENER "routing: {format: katran-v2, node: 16777216}",
         "dir/f.yaml:3: routing.node: 16777216 does not fit routing.format katran-v2; give 1 to "
         "16777215"},
        {PORT LISTENER "routing: {format: katran-v3, node: 4294967295}", NULL},
        {PORT LISTENER "routing:\n  format: katran-v3\n  node: 0\n",
         "dir/f.yaml:5: routing.node: 0 does not fit routing.format katran-v3; give 1 to "
         "4294967295"},
        {PORT LISTENER "routing: {format: katran-v1, key_file: k}",
         "dir/f.yaml:3: routing.key_file: katran-v1 has none; leave it out, or choose "
         "routing.format quic-lb"},
        {PORT LISTENER "routing: {format: katran-v2, config: 1}",
         "dir/f.yaml:3: routing.config: katran-v2 has none; leave it out, or choose "
         "routing.format quic-lb"},
        {PORT LISTENER "routing: {renew_after: 1s}", NULL},
        {PORT LISTENER "routing: {renew_after: 0}", NULL},
        {PORT LISTENER "routing: {card_rules: on}", NULL},
        {PORT LISTENER "routing: {card_rules: on, key_file: k}",
         "dir/f.yaml:3: routing.card_rules: cards cannot read encrypted connection IDs; choose one "
         "of the two, or leave routing.key_file out"},
        {PORT LISTENER "routing: {card_rules: on}\nio_lcores: 1\n",
         "dir/f.yaml:3: routing.card_rules: queues are not shards' then; choose one of the two, or "
         "leave io_lcores out"},
        {PORT LISTENER "routing: {renew_after: 999ms}",
         "dir/f.yaml:3: routing.renew_after: less than a second is too often; give 1s or more, or "
         "0"},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        CU_ASSERT_EQUAL_FATAL(parse(cases[i].text), 0);
        CU_ASSERT_EQUAL(mr_config_check(&config, &fault), cases[i].expected == NULL);
        CU_ASSERT_STRING_EQUAL(fault.text, cases[i].expected != NULL ? cases[i].expected : "");
    }
}

/* More than the settings allow today: the format's own bound. */
static void values_are_read(void)
{
    CU_ASSERT_EQUAL_FATAL(parse(PORT LISTENER), 0);
    CU_ASSERT_EQUAL(config.routing.format, MR_CID_QUIC_LB);
    CU_ASSERT_EQUAL(config.routing.renew_after_ns, 0);
    CU_ASSERT_EQUAL_FATAL(parse("routing: {format: katran-v3, node: 4294967295, renew_after: 1h}"),
                          0);
    CU_ASSERT_EQUAL(config.routing.format, MR_CID_KATRAN_3);
    CU_ASSERT_EQUAL(config.routing.node, UINT32_MAX);
    CU_ASSERT_EQUAL(config.routing.renew_after_ns, UINT64_C(3600000000000));
    CU_ASSERT(parse("routing: {format: katran}") < 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "katran-v1"));
}

/* What the user wrote is named as the user wrote it. */
static void options_that_do_not_fit_are_named(void)
{
    static const char *const options[][2] = {{"port", "loopback"},
                                             {"listener", "name=a,application=a,alpn=a"},
                                             {"cid-format", "katran-v1"},
                                             {"cid-key-file", "k"}};

    mr_config_init(&config);
    for (size_t i = 0; i < MR_COUNT_OF(options); i++)
        CU_ASSERT(mr_config_set(&config, options[i][0], options[i][1], &fault));
    CU_ASSERT_FALSE(mr_config_check(&config, &fault));
    CU_ASSERT_STRING_EQUAL(fault.text, "--cid-key-file: katran-v1 has none; leave it out, or "
                                       "choose --cid-format quic-lb");
}

static CU_TestInfo tests[] = {
    {"connection IDs fit their format", connection_ids_fit_their_format},
    {"values are read", values_are_read},
    {"options that do not fit are named", options_that_do_not_fit_are_named},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "control/config: routing", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
