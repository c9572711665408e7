/*
 * RFC 9110, Sections 9, 13, 14 and 15, as far as a server of files is concerned: methods,
 * conditions, ranges. A raw client sends the fields; http3/conditional.h and range.h have their own
 * tests.
 */
#include <string.h>

#include "base/compiler.h"
#include "http3/frame.h"
#include "tests/support/h3_cases.h"
#include "tests/unit/harness.h"

static const char past[] = "Sun, 06 Nov 1994 08:49:37 GMT";
static const char future[] = "Fri, 31 Dec 2100 23:59:59 GMT";

/* The status of a request for a.txt with `method` and the fields; *size_out: bytes of content. */
static unsigned status_of(const char *method, const char *const *fields, size_t *size_out)
{
    struct raw_server_test *test = h3_new_server();

    raw_put_field(&h3_section, ":method", method);
    raw_put_field(&h3_section, ":scheme", "https");
    raw_put_field(&h3_section, ":authority", "localhost");
    raw_put_field(&h3_section, ":path", "/a.txt");
    for (; *fields != NULL; fields += 2)
        raw_put_field(&h3_section, fields[0], fields[1]);
    raw_put_headers(&h3_bytes, &h3_section);
    int stream = h3_send_new(test, false, true);
    unsigned status = raw_status(&test->raw.streams[stream]);
    *size_out = 0;
    bool has_data =
        raw_find_frame(&test->raw.streams[stream], 0, MR_H3_FRAME_DATA, size_out) != NULL;
    CU_ASSERT_EQUAL(has_data, *size_out > 0); /* no empty frames */
    CU_ASSERT_TRUE(test->raw.streams[stream].has_fin);
    raw_server_test_free(test);
    return status;
}

static const struct {
    const char *fields[7];
    unsigned status;
    size_t size;
} cases[] = {
    {{NULL}, 200, 10},
    {{"if-modified-since", future}, 304, 0},
    {{"if-modified-since", past}, 200, 10},
    {{"if-modified-since", "never"}, 200, 10},
    {{"if-unmodified-since", past}, 412, 24},
    {{"if-unmodified-since", future}, 200, 10},
    {{"if-match", "\"x\""}, 412, 24},
    {{"if-match", "*"}, 200, 10},
    {{"if-none-match", "*"}, 304, 0},
    {{"if-none-match", "\"x\""}, 200, 10},
    {{"if-none-match", "\"x\"", "if-modified-since", future}, 200, 10},
    {{"if-match", "*", "if-unmodified-since", past}, 200, 10},
    {{"range", "bytes=2-4"}, 206, 3},
    {{"range", "bytes=20-"}, 416, 26},
    {{"range", "bytes=2-4", "if-range", "\"x\""}, 200, 10},
    {{"range", "bytes=2-4", "if-range", past}, 200, 10},
    {{"range", "bytes=2-4", "if-none-match", "*"}, 304, 0},
    {{"range", "bytes=20-", "if-match", "\"x\""}, 412, 24},
    {{"range", "bytes=2-4", "range", "bytes=5-5"}, 206, 3}, /* the first counts */
};

/* "A server MUST ignore all received preconditions if its response to the same request without
 * those conditions, prior to processing the request content, would have been a status code other
 * than a 2xx (Successful) or 412 (Precondition Failed)." and the order of Section 13.2.2 */
static void conditions_and_ranges_are_evaluated_in_order(void)
{
    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        size_t size;
        CU_ASSERT_EQUAL(status_of("GET", cases[i].fields, &size), cases[i].status);
        CU_ASSERT_EQUAL(size, cases[i].size);
    }
}

/* "The HEAD method is identical to GET except that the server MUST NOT send content in the
 * response." (Section 9.3.2) "A server MUST ignore a Range header field received with a request
 * method that is unrecognized or for which range handling is not defined.  For this specification,
 * GET is the only method for which range handling is defined." (Section 14.2) */
static void head_has_no_content_and_no_ranges(void)
{
    static const char *const none[] = {NULL};
    static const char *const range[] = {"range", "bytes=2-4", NULL};
    static const char *const unsatisfiable[] = {"range", "bytes=20-", NULL};
    static const char *const match[] = {"if-match", "\"x\"", NULL};
    size_t size;

    CU_ASSERT_EQUAL(status_of("HEAD", none, &size), 200);
    CU_ASSERT_EQUAL(size, 0);
    CU_ASSERT_EQUAL(status_of("HEAD", range, &size), 200);
    CU_ASSERT_EQUAL(size, 0);
    CU_ASSERT_EQUAL(status_of("HEAD", unsatisfiable, &size), 200);
    CU_ASSERT_EQUAL(status_of("HEAD", match, &size), 412);
    CU_ASSERT_EQUAL(size, 0);
}

/* "When a request method is received that is unrecognized or not implemented by an origin server,
 * the origin server SHOULD respond with the 501 (Not Implemented) status code.  When a request
 * method is received that is known by an origin server but not allowed for the target resource, the
 * origin server SHOULD respond with the 405 (Method Not Allowed) status code." "The origin server
 * MUST generate an Allow header field in a 405 response" (Sections 9.1, 15.5.6) */
static void other_methods_are_not_allowed(void)
{
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "X"};
    static const char *const none[] = {NULL};

    for (size_t i = 0; i < MR_COUNT_OF(methods); i++) {
        size_t size;
        CU_ASSERT_EQUAL(status_of(methods[i], none, &size), 405);
        CU_ASSERT_TRUE(size > 0);
    }
}

/* Content that comes with a GET is read over, but not without end. */
static void a_request_with_much_content_is_too_large(void)
{
    static uint8_t content[60000];
    struct raw_server_test *test = h3_new_server();

    raw_put_get(&h3_section, "/a.txt");
    raw_put_headers(&h3_bytes, &h3_section);
    raw_put_frame(&h3_bytes, MR_H3_FRAME_DATA, content, sizeof(content));
    int stream = h3_send_new(test, false, false);
    CU_ASSERT_EQUAL(raw_status(&test->raw.streams[stream]), 0); /* it waits for the end */
    h3_bytes.size = 0;
    raw_put_frame(&h3_bytes, MR_H3_FRAME_DATA, content, 10000);
    raw_send(&test->raw, stream, &h3_bytes, false);
    loop_run(test->loop, H3_STEPS);
    CU_ASSERT_EQUAL(raw_status(&test->raw.streams[stream]), 413);
    CU_ASSERT_EQUAL(test->raw.streams[stream].stop_code, MR_H3_NO_ERROR);
    h3_check_serves(test);
    raw_server_test_free(test);
}

/* A path that is too long is refused without being looked for. */
static void a_long_path_is_answered_with_414(void)
{
    static char path[3000];

    memset(path, 'a', sizeof(path) - 1);
    path[0] = '/';
    h3_begin_bytes();
    raw_put_get(&h3_section, path);
    raw_put_headers(&h3_bytes, &h3_section);
    h3_expect_status(414);
}

/* Conditions that cannot be kept must not be left out: the request is refused. */
static void fields_that_are_too_long_to_keep_are_answered_with_431(void)
{
    static char tags[2000];

    memset(tags, 'a', sizeof(tags) - 1);
    h3_begin_bytes();
    raw_put_get(&h3_section, "/a.txt");
    raw_put_field(&h3_section, "if-match", tags);
    raw_put_headers(&h3_bytes, &h3_section);
    h3_expect_status(431);
}

/* A request that never ends is reset in time. */
static void a_request_that_does_not_end_is_reset(void)
{
    struct raw_server_test *test = h3_new_server();

    raw_put_get(&h3_section, "/a.txt");
    raw_put_headers(&h3_bytes, &h3_section);
    int whole = h3_send_new(test, false, false);
    h3_bytes.size = 1;
    int part = h3_send_new(test, false, false);
    loop_pass(test->loop, UINT64_C(9000000000));
    CU_ASSERT_EQUAL(test->raw.streams[whole].reset_code, RAW_NONE);
    loop_pass(test->loop, UINT64_C(4000000000));
    CU_ASSERT_EQUAL(test->raw.streams[whole].reset_code, MR_H3_REQUEST_CANCELLED);
    CU_ASSERT_EQUAL(test->raw.streams[part].reset_code, MR_H3_REQUEST_CANCELLED);
    CU_ASSERT_EQUAL(mr_h3_server_counters(test->server)->requests_timed_out, 2);
    CU_ASSERT_EQUAL(mr_h3_server_usage(test->server).requests, 0);
    h3_check_serves(test);
    raw_server_test_free(test);
}

CU_TestInfo rfc9110_tests[] = {
    {"conditions and ranges are evaluated in order", conditions_and_ranges_are_evaluated_in_order},
    {"head has no content and no ranges", head_has_no_content_and_no_ranges},
    {"other methods are not allowed", other_methods_are_not_allowed},
    {"a request with much content is too large", a_request_with_much_content_is_too_large},
    {"a long path is answered with 414", a_long_path_is_answered_with_414},
    {"fields that are too long to keep are answered with 431",
     fields_that_are_too_long_to_keep_are_answered_with_431},
    {"a request that does not end is reset", a_request_that_does_not_end_is_reset},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9110", .pTests = rfc9110_tests},
    CU_SUITE_INFO_NULL,
};
