/* Tests of tools/url.h. */
#include "tools/url.h"

#include <string.h>

#include "tests/unit/harness.h"

static void takes_urls_apart(void)
{
    static const struct {
        const char *text;
        const char *host; /* NULL: malformed */
        uint16_t port;
        const char *authority;
        const char *path;
    } cases[] = {
        {"https://a.test", "a.test", 443, "a.test", "/"},
        {"HTTPS://a.test/", "a.test", 443, "a.test", "/"},
        {"https://a.test:443/x", "a.test", 443, "a.test", "/x"},
        {"https://a.test:8443/x/y?z=1", "a.test", 8443, "a.test:8443", "/x/y?z=1"},
        {"https://a.test?z", "a.test", 443, "a.test", "/?z"},
        {"https://a.test#part", "a.test", 443, "a.test", "/"},
        {"https://a.test/x#part", "a.test", 443, "a.test", "/x"},
        {"https://198.18.0.1/x", "198.18.0.1", 443, "198.18.0.1", "/x"},
        {"https://[fd00::1]/x", "fd00::1", 443, "[fd00::1]", "/x"},
        {"https://[fd00::1]:9/x", "fd00::1", 9, "[fd00::1]:9", "/x"},
        {"https://a.test/a b\xc3\xa4\"", "a.test", 443, "a.test", "/a%20b%C3%A4%22"},
        {"https://a.test/a%20b", "a.test", 443, "a.test", "/a%20b"},
        {"https://a.test/x@y", "a.test", 443, "a.test", "/x@y"},
        {"http://a.test/", NULL, 0, NULL, NULL},
        {"a.test/", NULL, 0, NULL, NULL},
        {"", NULL, 0, NULL, NULL},
        {"https://", NULL, 0, NULL, NULL},
        {"https:///x", NULL, 0, NULL, NULL},
        {"https://me@a.test/", NULL, 0, NULL, NULL},
        {"https://a.test:/", NULL, 0, NULL, NULL},
        {"https://a.test:0/", NULL, 0, NULL, NULL},
        {"https://a.test:65536/", NULL, 0, NULL, NULL},
        {"https://a.test:9x/", NULL, 0, NULL, NULL},
        {"https://[fd00::1/", NULL, 0, NULL, NULL},
        {"https://[]/", NULL, 0, NULL, NULL},
        {"https://a test/", NULL, 0, NULL, NULL},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct mr_fault fault = {0};
        struct mr_url url;
        bool is_good = mr_url_parse(cases[i].text, &url, &fault);

        CU_ASSERT_EQUAL(is_good, cases[i].host != NULL);
        CU_ASSERT_EQUAL(fault.text[0] == '\0', is_good);
        if (!is_good || cases[i].host == NULL)
            continue;
        CU_ASSERT_STRING_EQUAL(url.host, cases[i].host);
        CU_ASSERT_EQUAL(url.port, cases[i].port);
        CU_ASSERT_STRING_EQUAL(url.authority, cases[i].authority);
        CU_ASSERT_STRING_EQUAL(url.path, cases[i].path);
    }
}

static void what_is_too_long_is_refused(void)
{
    char text[2048] = "https://a.test/";
    struct mr_fault fault = {0};
    struct mr_url url;
    size_t begin = strlen(text);

    memset(text + begin, 'x', MR_URL_PATH_MAX - 2);
    CU_ASSERT(mr_url_parse(text, &url, &fault));
    CU_ASSERT_EQUAL(strlen(url.path), MR_URL_PATH_MAX - 1);
    text[strlen(text)] = 'x';
    CU_ASSERT_FALSE(mr_url_parse(text, &url, &fault));

    memset(text, 0, sizeof(text));
    memcpy(text, "https://", 8);
    memset(text + 8, 'a', MR_URL_HOST_MAX - 1);
    CU_ASSERT(mr_url_parse(text, &url, &fault));
    text[8 + MR_URL_HOST_MAX - 1] = 'a';
    CU_ASSERT_FALSE(mr_url_parse(text, &url, &fault));
}

static void the_last_part_of_the_path_names_the_file(void)
{
    static const struct {
        const char *text;
        const char *name;
    } cases[] = {
        {"https://a.test/x/file.bin", "file.bin"},
        {"https://a.test/file?version=2", "file"},
        {"https://a.test/a%20b", "a b"},
        {"https://a.test/100%", "100%"},
        {"https://a.test/", "index.html"},
        {"https://a.test", "index.html"},
        {"https://a.test/x/", "index.html"},
        {"https://a.test/..", "index.html"},
        {"https://a.test/%2e%2e", "index.html"},
        {"https://a.test/.", "index.html"},
        {"https://a.test/..%2fetc", "index.html"}, /* no way out of the folder */
        {"https://a.test/a%00b", "index.html"},
        {"https://a.test/a%0ab", "index.html"},
        {"https://a.test/-", "-"},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct mr_fault fault = {0};
        char name[MR_URL_NAME_MAX];
        struct mr_url url;

        CU_ASSERT_FATAL(mr_url_parse(cases[i].text, &url, &fault));
        mr_url_file_name(&url, name);
        CU_ASSERT_STRING_EQUAL(name, cases[i].name);
    }
}

static void a_name_that_is_too_long_is_not_used(void)
{
    char text[600] = "https://a.test/";
    char name[MR_URL_NAME_MAX];
    struct mr_fault fault = {0};
    struct mr_url url;

    memset(text + strlen(text), 'x', MR_URL_NAME_MAX - 1);
    CU_ASSERT_FATAL(mr_url_parse(text, &url, &fault));
    mr_url_file_name(&url, name);
    CU_ASSERT_EQUAL(strlen(name), MR_URL_NAME_MAX - 1);
    text[strlen(text)] = 'x';
    CU_ASSERT_FATAL(mr_url_parse(text, &url, &fault));
    mr_url_file_name(&url, name);
    CU_ASSERT_STRING_EQUAL(name, "index.html");
}

static void a_server_is_a_host_and_a_port(void)
{
    struct mr_fault fault = {0};
    struct mr_url a;
    struct mr_url b;

    CU_ASSERT_FATAL(mr_url_parse("https://a.test/x", &a, &fault));
    CU_ASSERT_FATAL(mr_url_parse("https://A.TEST:443/y", &b, &fault));
    CU_ASSERT(mr_url_same_server(&a, &b));
    CU_ASSERT_FATAL(mr_url_parse("https://a.test:444/x", &b, &fault));
    CU_ASSERT_FALSE(mr_url_same_server(&a, &b));
    CU_ASSERT_FATAL(mr_url_parse("https://b.test/x", &b, &fault));
    CU_ASSERT_FALSE(mr_url_same_server(&a, &b));
}

static CU_TestInfo tests[] = {
    {"takes URLs apart", takes_urls_apart},
    {"what is too long is refused", what_is_too_long_is_refused},
    {"the last part of the path names the file", the_last_part_of_the_path_names_the_file},
    {"a name that is too long is not used", a_name_that_is_too_long_is_not_used},
    {"a server is a host and a port", a_server_is_a_host_and_a_port},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "tools/url", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
