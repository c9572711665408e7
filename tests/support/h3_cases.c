/* tests/support/h3_cases.c - see h3_cases.h. */
#include "tests/support/h3_cases.h"

#include <stdio.h>

#include "http3/frame.h"
#include "tests/unit/harness.h"

struct raw_bytes h3_bytes;
struct raw_bytes h3_section;

/* Send `bytes` on a fresh stream and run. */
int h3_send_new(struct raw_server_test *test, bool is_uni, bool is_last)
{
    int stream = raw_open(&test->raw, is_uni);

    CU_ASSERT_TRUE_FATAL(stream >= 0);
    raw_send(&test->raw, stream, &h3_bytes, is_last);
    CU_ASSERT_TRUE(loop_run(test->loop, H3_STEPS));
    return stream;
}

void h3_begin_bytes(void)
{
    h3_bytes.size = 0;
    raw_begin_section(&h3_section);
}

/* A server with which the peer has exchanged SETTINGS. */
struct raw_server_test *h3_new_server(void)
{
    struct raw_server_test *test = raw_server_test_new(NULL, NULL);

    h3_begin_bytes();
    raw_put_control(&h3_bytes);
    h3_send_new(test, true, false);
    CU_ASSERT_EQUAL(test->raw.close_code, RAW_NONE);
    h3_begin_bytes();
    return test;
}

/* The connection is still of use: a request on it is answered. */
void h3_check_serves(struct raw_server_test *test)
{
    h3_begin_bytes();
    raw_put_get(&h3_section, "/a.txt");
    raw_put_headers(&h3_bytes, &h3_section);
    int stream = h3_send_new(test, false, true);

    CU_ASSERT_EQUAL(raw_status(&test->raw.streams[stream]), 200);
    CU_ASSERT_TRUE(test->raw.streams[stream].has_fin);
    CU_ASSERT_EQUAL(test->raw.close_code, RAW_NONE);
}

void h3_check_closed(const struct raw_server_test *test, uint64_t code)
{
    CU_ASSERT_TRUE(test->raw.is_closed);
    CU_ASSERT_TRUE(test->raw.is_application);
    CU_ASSERT_EQUAL(test->raw.close_code, code);
    if (test->raw.close_code != code)
        printf("# closed with %s, expected %s\n", mr_h3_error_name(test->raw.close_code),
               mr_h3_error_name(code));
}

/* Send `bytes` on a fresh stream of a fresh connection: it must be closed with `code`. */
void h3_expect_close(bool is_uni, bool is_last, uint64_t code)
{
    struct raw_bytes keep = h3_bytes;
    struct raw_server_test *test = h3_new_server();

    h3_bytes = keep;
    h3_send_new(test, is_uni, is_last);
    h3_check_closed(test, code);
    raw_server_test_free(test);
}

/* Send `bytes` as the peer's control stream. */
void h3_expect_control_close(uint64_t code)
{
    struct raw_server_test *test = raw_server_test_new(NULL, NULL);

    h3_send_new(test, true, false);
    h3_check_closed(test, code);
    raw_server_test_free(test);
}

/* Send `bytes` as a request: the stream must be reset with `code`, and the connection live on. */
void h3_expect_reset(uint64_t code)
{
    struct raw_bytes keep = h3_bytes;
    struct raw_server_test *test = h3_new_server();

    h3_bytes = keep;
    int stream = h3_send_new(test, false, true);
    CU_ASSERT_EQUAL(test->raw.streams[stream].reset_code, code);
    CU_ASSERT_EQUAL(raw_status(&test->raw.streams[stream]), 0);
    CU_ASSERT_EQUAL(mr_h3_server_counters(test->server)->requests_malformed,
                    code == MR_H3_MESSAGE_ERROR);
    h3_check_serves(test);
    raw_server_test_free(test);
}

/* Send `section` as a request without content. */
void h3_expect_section_reset(uint64_t code)
{
    h3_bytes.size = 0;
    raw_put_headers(&h3_bytes, &h3_section);
    h3_expect_reset(code);
}

void h3_expect_status(unsigned status)
{
    struct raw_bytes keep = h3_bytes;
    struct raw_server_test *test = h3_new_server();

    h3_bytes = keep;
    int stream = h3_send_new(test, false, true);
    CU_ASSERT_EQUAL(raw_status(&test->raw.streams[stream]), status);
    CU_ASSERT_TRUE(test->raw.streams[stream].has_fin);
    h3_check_serves(test);
    raw_server_test_free(test);
}

/* ---- a client ---- */

void h3_client_run(struct raw_client_test *test)
{
    CU_ASSERT_TRUE(loop_run(test->loop, H3_STEPS));
}

/* The raw server's control stream with SETTINGS and what follows in `bytes`. */
int h3_client_uni(struct raw_client_test *test)
{
    int stream = raw_open(&test->raw, true);

    CU_ASSERT_TRUE_FATAL(stream >= 0);
    raw_send(&test->raw, stream, &h3_bytes, false);
    h3_client_run(test);
    return stream;
}

void h3_client_answer(struct raw_client_test *test, bool is_last)
{
    struct raw_stream *request = raw_client_test_request(test);

    raw_send(&test->raw, (int)(request - test->raw.streams), &h3_bytes, is_last);
    h3_client_run(test);
}

void h3_client_check_closed(const struct raw_client_test *test, uint64_t code)
{
    CU_ASSERT_TRUE(test->raw.is_closed);
    CU_ASSERT_EQUAL(test->raw.close_code, code);
    CU_ASSERT_TRUE(test->is_closed);
    CU_ASSERT_TRUE(test->is_done);
    CU_ASSERT_EQUAL(test->result.outcome, MR_H3_CONN_LOST);
}

void h3_put_response(const char *status)
{
    h3_begin_bytes();
    raw_put_field(&h3_section, ":status", status);
}

void h3_client_expect_uni_close(uint64_t code)
{
    struct raw_client_test *test = raw_client_test_new(false);

    h3_client_uni(test);
    h3_client_check_closed(test, code);
    raw_client_test_free(test);
}

void h3_client_expect_close(bool is_last, uint64_t code)
{
    struct raw_client_test *test = raw_client_test_new(false);

    h3_client_answer(test, is_last);
    h3_client_check_closed(test, code);
    raw_client_test_free(test);
}
