/* Tests of http3/server.h and http3/client.h together, over a transport in memory and real files.
 */
#include "http3/server.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compiler.h"
#include "tests/support/h3_pair.h"
#include "tests/unit/harness.h"

/* A pair that serves a few files. */
static struct h3_pair *new_pair(void)
{
    struct h3_pair *pair = h3_pair_new();

    h3_pair_write_text(pair, "index.html", "<p>index</p>");
    h3_pair_write_text(pair, "a.txt", "0123456789");
    h3_pair_write_text(pair, "with space.css", "body {}");
    h3_pair_write_text(pair, "empty", "");
    h3_pair_write_pattern(pair, "big.bin", 3000000);
    h3_pair_mkdir(pair, "docs");
    h3_pair_write_text(pair, "docs/index.html", "<p>docs</p>");
    h3_pair_mkdir(pair, "bare");
    h3_pair_write_text(pair, "bare/<x>.txt", "x");
    return pair;
}

static struct h3_pair *started_pair(void)
{
    struct h3_pair *pair = new_pair();

    h3_pair_start_default(pair);
    return pair;
}

static void check_done(const struct h3_fetch *fetch, uint32_t status)
{
    CU_ASSERT_TRUE(fetch->is_done);
    CU_ASSERT_EQUAL(fetch->result.outcome, MR_H3_DONE);
    CU_ASSERT_EQUAL(fetch->result.status, status);
    CU_ASSERT_EQUAL(fetch->result.body_bytes, fetch->body_size);
    if (fetch->result.outcome != MR_H3_DONE || fetch->result.status != status)
        printf("# outcome %d, status %u, %s\n", (int)fetch->result.outcome, fetch->result.status,
               fetch->reason);
}

static void check_body(const struct h3_fetch *fetch, const char *text)
{
    CU_ASSERT_EQUAL(fetch->body_size, strlen(text));
    CU_ASSERT_EQUAL(fetch->response.content_length, strlen(text));
    CU_ASSERT_STRING_EQUAL(fetch->body == NULL ? "" : fetch->body, text);
}

static void serves_a_file_with_its_type_length_and_validators(void)
{
    struct h3_pair *pair = started_pair();
    const struct h3_fetch *fetch = h3_pair_get(pair, "/a.txt");

    check_done(fetch, 200);
    check_body(fetch, "0123456789");
    CU_ASSERT_STRING_EQUAL(fetch->content_type, "text/plain; charset=utf-8");
    CU_ASSERT_EQUAL(strlen(fetch->last_modified), 29);
    CU_ASSERT_EQUAL(fetch->etag[0], '"');
    CU_ASSERT_TRUE(fetch->result.first_byte_ns >= fetch->result.sent_ns);
    CU_ASSERT_EQUAL(fetch->headers, 1);
    h3_pair_free(pair);
}

static void serves_a_large_file_byte_for_byte(void)
{
    struct h3_pair *pair = started_pair();
    struct h3_fetch *fetch =
        h3_pair_begin(pair, &(struct mr_h3_request_options){.path = "/big.bin"});

    fetch->keeps_body = false;
    fetch->checks_pattern = true;
    h3_pair_run(pair);
    check_done(fetch, 200);
    CU_ASSERT_EQUAL(fetch->body_size, 3000000);
    CU_ASSERT_FALSE(fetch->is_wrong);
    h3_pair_free(pair);
}

CU_TestInfo http_server_tests[] = {
    {"serves a file with its type, length and validators",
     serves_a_file_with_its_type_length_and_validators},
    {"serves a large file byte for byte", serves_a_large_file_byte_for_byte},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "http3/server", .pTests = http_server_tests},
    CU_SUITE_INFO_NULL,
};
