/* Tests of http3/hq.c: HTTP/0.9 in the server and the client, together and against a raw peer. */
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "http3/h3_conn.h"
#include "tests/support/h3_pair.h"
#include "tests/support/raw_h3.h"
#include "tests/unit/harness.h"

static struct h3_pair *started_pair(void)
{
    struct h3_pair *pair = h3_pair_new();
    struct mr_h3_server_config config = h3_pair_server_config(pair);
    struct loop_config loop = loop_config_default(1);

    h3_pair_write_text(pair, "index.html", "<p>index</p>");
    h3_pair_write_text(pair, "a.txt", "0123456789");
    h3_pair_write_text(pair, "empty", "");
    h3_pair_write_pattern(pair, "big.bin", 3000000);
    config.has_hq = true;
    pair->is_hq = true;
    h3_pair_start(pair, &config, &loop);
    return pair;
}

static void check_done(const struct h3_fetch *fetch, const char *text)
{
    CU_ASSERT_TRUE(fetch->is_done);
    CU_ASSERT_EQUAL(fetch->result.outcome, MR_H3_DONE);
    CU_ASSERT_EQUAL(fetch->result.status, 200);
    CU_ASSERT_EQUAL(fetch->response.content_length, UINT64_MAX);
    CU_ASSERT_EQUAL(fetch->body_size, strlen(text));
    CU_ASSERT_STRING_EQUAL(fetch->body == NULL ? "" : fetch->body, text);
}

static void serves_a_file_without_any_head(void)
{
    struct h3_pair *pair = started_pair();

    check_done(h3_pair_get(pair, "/a.txt"), "0123456789");
    check_done(h3_pair_get(pair, "/a.txt?from=cache"), "0123456789");
    check_done(h3_pair_get(pair, "/"), "<p>index</p>");
    CU_ASSERT_EQUAL(h3_pair_counter(pair, responses_200), 3);
    h3_pair_free(pair);
}

static void an_empty_file_is_an_end_and_nothing_else(void)
{
    struct h3_pair *pair = started_pair();

    check_done(h3_pair_get(pair, "/empty"), "");
    h3_pair_free(pair);
}

static void serves_a_large_file_byte_for_byte(void)
{
    struct h3_pair *pair = started_pair();
    struct h3_fetch *fetch =
        h3_pair_begin(pair, &(struct mr_h3_request_options){.path = "/big.bin"});

    fetch->keeps_body = false;
    fetch->checks_pattern = true;
    fetch->take_max = 1000;
    h3_pair_run(pair);
    CU_ASSERT_EQUAL(fetch->result.outcome, MR_H3_DONE);
    CU_ASSERT_EQUAL(fetch->body_size, 3000000);
    CU_ASSERT_FALSE(fetch->is_wrong);
    CU_ASSERT_EQUAL(mr_h3_client_close(pair->client, pair->conn), 0);
    h3_pair_run(pair);
    CU_ASSERT_TRUE(h3_pair_is_idle(pair));
    h3_pair_free(pair);
}

static void a_file_that_is_not_there_is_a_reset_with_its_status(void)
{
    struct h3_pair *pair = started_pair();
    const struct h3_fetch *fetch = h3_pair_get(pair, "/nothing");

    CU_ASSERT_EQUAL(fetch->result.outcome, MR_H3_RESET);
    CU_ASSERT_EQUAL(fetch->result.code, 404);
    CU_ASSERT_EQUAL(fetch->headers, 0);
    CU_ASSERT_EQUAL(mr_h3_client_close(pair->client, pair->conn), 0);
    h3_pair_run(pair);
    CU_ASSERT_TRUE(h3_pair_is_idle(pair));
    h3_pair_free(pair);
}

static void there_is_no_head(void)
{
    struct h3_pair *pair = started_pair();
    const struct h3_fetch *fetch =
        h3_pair_fetch(pair, &(struct mr_h3_request_options){.path = "/a.txt", .is_head = true});

    CU_ASSERT_EQUAL(fetch->result.outcome, MR_H3_CANCELLED);
    h3_pair_free(pair);
}

static void one_server_speaks_both(void)
{
    struct h3_pair *pair = h3_pair_new();
    struct mr_h3_server_config config = h3_pair_server_config(pair);
    struct loop_config loop = loop_config_default(1);

    h3_pair_write_text(pair, "a.txt", "0123456789");
    config.has_hq = true;
    h3_pair_start(pair, &config, &loop);
    CU_ASSERT_EQUAL(h3_pair_get(pair, "/a.txt")->response.content_length, 10);
    h3_pair_free(pair);
}

static void a_server_that_drains_answers_what_was_asked_and_closes(void)
{
    struct h3_pair *pair = started_pair();
    struct h3_fetch *fetch = h3_pair_begin(pair, &(struct mr_h3_request_options){.path = "/a.txt"});

    h3_pair_run(pair);
    loop_go_away(pair->loop, 1);
    h3_pair_run(pair);
    loop_pass(pair->loop, MR_H3_LINGER_NS + 1);
    h3_pair_run(pair);
    check_done(fetch, "0123456789");
    CU_ASSERT_EQUAL(pair->closed_count, 1);
    CU_ASSERT_EQUAL(pair->closed.code, MR_H3_NO_ERROR);
    h3_pair_free(pair);
}

/* ---- a raw client ---- */

static struct raw_server_test *raw_test(void)
{
    struct mr_h3_server_config config = mr_h3_server_config_default(4);

    config.has_hq = true;
    return raw_server_test_new(&config, NULL);
}

/* Send `text` in `pieces`, its end too; the stream as it is then. */
static struct raw_stream *ask(struct raw_server_test *test, const char *text, size_t piece)
{
    static struct raw_bytes bytes;
    int stream = raw_open(&test->raw, false);
    size_t size = strlen(text);

    CU_ASSERT_FATAL(stream >= 0);
    for (size_t at = 0; at < size || at == 0; at += piece) {
        size_t part = MR_MIN(piece, size - at);

        bytes.size = 0;
        raw_put(&bytes, text + at, part);
        raw_send(&test->raw, stream, &bytes, at + part == size);
        loop_run(test->loop, 100000);
    }
    return &test->raw.streams[stream];
}

static void check_answer(const struct raw_stream *stream, const char *text)
{
    CU_ASSERT_EQUAL(stream->in.size, strlen(text));
    CU_ASSERT_EQUAL(memcmp(stream->in.data, text, stream->in.size), 0);
    CU_ASSERT_TRUE(stream->has_fin);
}

static void nothing_but_the_bytes_goes_over_the_wire(void)
{
    struct raw_server_test *test = raw_test();

    check_answer(ask(test, "GET /a.txt\r\n", 4096), "0123456789");
    CU_ASSERT_EQUAL(test->raw.stream_count, 1); /* the server has opened none */
    raw_server_test_free(test);
}

static void a_line_may_come_byte_by_byte_and_end_as_it_likes(void)
{
    static const char *const lines[] = {"GET /a.txt\r\n", "GET /a.txt\n", "GET /a.txt",
                                        "GET /a.txt\r\nmore\r\n"};
    struct raw_server_test *test = raw_test();

    for (size_t i = 0; i < MR_COUNT_OF(lines); i++) {
        check_answer(ask(test, lines[i], 1), "0123456789");
        check_answer(ask(test, lines[i], 4096), "0123456789");
    }
    raw_server_test_free(test);
}

static void what_is_no_get_of_a_path_is_reset_with_its_status(void)
{
    static const struct {
        const char *line;
        uint64_t code;
    } cases[] = {{"", 405},
                 {"\r\n", 405},
                 {"GET ", 405},
                 {"POST /a\r\n", 405},
                 {"GET nothing\r\n", 400},
                 {"GET /../a.txt\r\n", 400},
                 {"GET /b\r\n", 404}};
    struct raw_server_test *test = raw_test();

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        const struct raw_stream *stream = ask(test, cases[i].line, 3);

        CU_ASSERT_EQUAL(stream->reset_code, cases[i].code);
        CU_ASSERT_EQUAL(stream->in.size, 0);
    }
    raw_server_test_free(test);
}

static void a_line_without_end_is_refused_at_the_limit(void)
{
    static char text[MR_HQ_LINE_MAX + 10];
    struct raw_server_test *test = raw_test();

    memset(text, 'a', sizeof(text) - 1);
    memcpy(text, "GET /", 5);
    CU_ASSERT_EQUAL(ask(test, text, 1000)->reset_code, 414);
    CU_ASSERT_EQUAL(ask(test, text, sizeof(text))->reset_code, 414);
    check_answer(ask(test, "GET /a.txt\r\n", 4096), "0123456789");
    raw_server_test_free(test);
}

static void a_stream_of_one_direction_is_refused(void)
{
    static struct raw_bytes bytes;
    struct raw_server_test *test = raw_test();
    int stream = raw_open(&test->raw, true);

    bytes.size = 0;
    raw_put_control(&bytes);
    raw_send(&test->raw, stream, &bytes, false);
    loop_run(test->loop, 100000);
    CU_ASSERT_EQUAL(test->raw.streams[stream].stop_code, MR_H3_STREAM_CREATION_ERROR);
    check_answer(ask(test, "GET /a.txt\r\n", 4096), "0123456789");
    raw_server_test_free(test);
}

CU_TestInfo http_hq_tests[] = {
    {"serves a file without any head", serves_a_file_without_any_head},
    {"an empty file is an end and nothing else", an_empty_file_is_an_end_and_nothing_else},
    {"serves a large file byte for byte", serves_a_large_file_byte_for_byte},
    {"a file that is not there is a reset with its status",
     a_file_that_is_not_there_is_a_reset_with_its_status},
    {"there is no head", there_is_no_head},
    {"one server speaks both", one_server_speaks_both},
    {"a server that drains answers what was asked and closes",
     a_server_that_drains_answers_what_was_asked_and_closes},
    {"nothing but the bytes goes over the wire", nothing_but_the_bytes_goes_over_the_wire},
    {"a line may come byte by byte and end as it likes",
     a_line_may_come_byte_by_byte_and_end_as_it_likes},
    {"what is no get of a path is reset with its status",
     what_is_no_get_of_a_path_is_reset_with_its_status},
    {"a line without end is refused at the limit", a_line_without_end_is_refused_at_the_limit},
    {"a stream of one direction is refused", a_stream_of_one_direction_is_refused},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "http3/hq", .pTests = http_hq_tests},
    CU_SUITE_INFO_NULL,
};
