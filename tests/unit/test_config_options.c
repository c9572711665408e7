/* Tests of tools/config_options.h. */
#include "tools/config_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/harness.h"

static struct mr_config_options options; /* large */
static struct mr_config config;
static struct mr_fault fault;

/* Parse the words, up to a NULL, and apply them. */
static bool apply(const char *const *words)
{
    struct mr_command_line line = {
        .usage = "millrace test [options]", .about = "A test.", .options = options.rows};
    char *argv[32] = {(char[]){"test"}};
    int count = 1;

    fault = (struct mr_fault){0};
    mr_config_options_init(&options);
    for (; words[count - 1] != NULL; count++)
        argv[count] = (char *)(uintptr_t)words[count - 1];
    return mr_options_parse(&line, count, argv, &fault) == MR_PARSE_OK &&
           mr_config_options_apply(&options, &config, &fault);
}

static void options_alone_are_enough(void)
{
    CU_ASSERT(apply((const char *const[]){"--port", "tap:a", "--addr", "10.0.0.1/8", "--addr",
                                          "10.0.0.2/8", "--shards=2", "--telemetry", "--listener",
                                          "name=a,application=b,alpn=c", "--shards", "3", NULL}));
    CU_ASSERT_STRING_EQUAL(fault.text, "");
    CU_ASSERT_EQUAL(config.shards, 3);
    CU_ASSERT(config.has_telemetry);
    CU_ASSERT_EQUAL(config.ports[0].address_count, 2);
    CU_ASSERT_STRING_EQUAL(config.handoff.listener[0].application, "b");
}

static void options_go_before_the_file(void)
{
    static const char text[] = "shards: 4\npolling: busy\n"
                               "ports: [{spec: tap:f, addresses: 10.0.0.1/8}]\n"
                               "listeners: [{name: a, application: b, alpn: c}]\n";
    char path[] = "/tmp/mr-options-XXXXXX";
    int fd = mkstemp(path);

    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(write(fd, text, sizeof(text) - 1), (ssize_t)sizeof(text) - 1);
    close(fd);
    CU_ASSERT(apply((const char *const[]){"--shards", "2", "--config", path, NULL}));
    CU_ASSERT_EQUAL(config.shards, 2);
    CU_ASSERT_EQUAL(config.polling, 1);
    CU_ASSERT_FALSE(apply((const char *const[]){"--config", path, "--cores", "x", NULL}));
    CU_ASSERT_EQUAL(strncmp(fault.text, "--cores: malformed", 18), 0);
    CU_ASSERT_FALSE(apply((const char *const[]){"--config", path, "--addr", "11.0.0.1/8",
                                                "--gateway", "12.0.0.1", NULL}));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(fault.text, "--gateway: gateway 12.0.0.1 is in no network of its port; check both"));
    CU_ASSERT_STRING_EQUAL(config.ports[0].spec, "tap:f");
    unlink(path);
    CU_ASSERT_FALSE(apply((const char *const[]){"--config", path, NULL}));
}

static void every_setting_has_a_row(void)
{
    mr_config_options_init(&options);
    for (const struct mr_setting *row = mr_config_settings; row->path != NULL; row++) {
        uint32_t found = 0;

        for (uint32_t i = 0; options.rows[i].name != NULL; i++)
            found += strcmp(options.rows[i].name, row->option) == 0;
        CU_ASSERT_EQUAL(found, 1);
    }
    CU_ASSERT_STRING_EQUAL(options.rows[0].name, "config");
}

static CU_TestInfo tests[] = {
    {"options alone are enough", options_alone_are_enough},
    {"Q12 options go before the file", options_go_before_the_file},
    {"every setting has a row", every_setting_has_a_row},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "tools/config_options", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
