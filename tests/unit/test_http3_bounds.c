/*
 * tests/unit/test_http3_bounds.c - what HTTP/3 does when a bound of ours is hit: each
 * answers as it is said to, counts it, and the connection goes on, or ends with the code that says
 * why. docs/http3.md has the list.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/compiler.h"
#include "http3/frame.h"
#include "http3/h3_conn.h"
#include "http3/server_internal.h"
#include "tests/support/h3_cases.h"
#include "tests/unit/harness.h"

static char filler[40000];

/* Send a request whose fields are `put`'s; the index of its stream. */
static int ask(struct raw_server_test *test, void (*put)(void))
{
    h3_begin_bytes();
    put();
    if (h3_section.size > 2)
        raw_put_headers(&h3_bytes, &h3_section);
    return h3_send_new(test, false, false);
}

static void put_get(void)
{
    raw_put_get(&h3_section, "/a.txt");
}

/* ---- a message ---- */

static void put_value_too_long(void)
{
    put_get();
    raw_put_field_bytes(&h3_section, "x", 1, filler, 17000);
}

static void put_sum_too_long(void)
{
    put_get();
    for (int i = 0; i < 100; i++)
        raw_put_field_bytes(&h3_section, "x", 1, filler, 140);
}

static void put_fields_too_many(void)
{
    put_get();
    for (int i = 0; i < 125; i++) /* 129 with the others */
        raw_put_field(&h3_section, "x", "");
}

static void put_authority_too_long(void)
{
    raw_put_field(&h3_section, ":method", "GET");
    raw_put_field(&h3_section, ":scheme", "https");
    raw_put_field(&h3_section, ":path", "/a.txt");
    raw_put_field_bytes(&h3_section, ":authority", 10, filler, MR_AUTHORITY_MAX + 1);
}

static void put_kept_too_long(void)
{
    put_get();
    raw_put_field_bytes(&h3_section, "if-match", 8, filler, MR_EXCHANGE_TEXT_MAX);
}

static void put_path_too_long(void)
{
    char path[MR_TARGET_PATH_MAX + 2];

    memset(path, 'a', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    raw_put_get(&h3_section, path);
}

static void put_content_too_long(void)
{
    put_get();
    raw_put_headers(&h3_bytes, &h3_section);
    raw_put_frame(&h3_bytes, MR_H3_FRAME_DATA, filler, 33000);
    raw_put_frame(&h3_bytes, MR_H3_FRAME_DATA, filler, MR_EXCHANGE_BODY_MAX + 1 - 33000 - 1000);
    h3_section.size = 0;
}

static const struct {
    const char *bound;
    void (*put)(void);
    unsigned status;
    size_t counter;
} messages[] = {
#define COUNTER(name) offsetof(struct mr_h3_counters, name)
    {"field_section_max", put_value_too_long, 431, COUNTER(requests_too_large)},
    {"field_section_max", put_sum_too_long, 431, COUNTER(requests_too_large)},
    {"fields_max", put_fields_too_many, 431, COUNTER(requests_too_large)},
    {"MR_AUTHORITY_MAX", put_authority_too_long, 431, COUNTER(requests_too_large)},
    {"MR_EXCHANGE_TEXT_MAX", put_kept_too_long, 431, COUNTER(requests_too_large)},
    {"MR_TARGET_PATH_MAX", put_path_too_long, 414, COUNTER(paths_too_large)},
};

static uint64_t value_of(const struct raw_server_test *test, size_t counter)
{
    return mr_h3_counter_value(mr_h3_server_counters(test->server), counter / sizeof(uint64_t));
}

static void a_message_over_a_bound_is_answered_and_counted(void)
{
    for (size_t i = 0; i < MR_COUNT_OF(messages); i++) {
        struct raw_server_test *test = h3_new_server();
        const struct raw_stream *stream = &test->raw.streams[ask(test, messages[i].put)];
        CU_ASSERT_EQUAL(raw_status(stream), messages[i].status);
        CU_ASSERT_TRUE(stream->has_fin);
        CU_ASSERT_EQUAL(stream->stop_code, MR_H3_NO_ERROR); /* the rest is not wanted */
        CU_ASSERT_EQUAL(value_of(test, messages[i].counter), 1);
        if (raw_status(stream) != messages[i].status)
            printf("# in: %s\n", messages[i].bound);
        h3_check_serves(test);
        raw_server_test_free(test);
    }
}

static void content_over_its_bound_is_answered_and_counted(void)
{
    struct raw_server_test *test = h3_new_server();
    int stream = ask(test, put_content_too_long);

    CU_ASSERT_EQUAL(raw_status(&test->raw.streams[stream]), 0); /* 1,000 bytes are left */
    h3_begin_bytes();
    raw_put_frame(&h3_bytes, MR_H3_FRAME_DATA, filler, 1000);
    raw_send(&test->raw, stream, &h3_bytes, false);
    loop_run(test->loop, H3_STEPS);
    CU_ASSERT_EQUAL(raw_status(&test->raw.streams[stream]), 413);
    CU_ASSERT_EQUAL(test->raw.streams[stream].stop_code, MR_H3_NO_ERROR);
    CU_ASSERT_EQUAL(value_of(test, COUNTER(bodies_too_large)), 1);
    h3_check_serves(test);
    raw_server_test_free(test);
}

/* "If an implementation encounters a value larger than it is able to decode, this MUST be treated
 * as a stream error of type QPACK_DECOMPRESSION_FAILED" (RFC 9204, Section 7.4): of the connection,
 * as Section 8 of RFC 9114 allows, since QPACK's decoder does not go on. */
static void a_name_over_its_bound_closes_the_connection(void)
{
    for (size_t size = 256; size <= 257; size++) {
        struct raw_server_test *test = h3_new_server();
        h3_begin_bytes();
        put_get();
        raw_put_field_bytes(&h3_section, filler, size, "", 0);
        raw_put_headers(&h3_bytes, &h3_section);
        int stream = h3_send_new(test, false, true);
        CU_ASSERT_EQUAL(raw_status(&test->raw.streams[stream]), size == 256 ? 200 : 0);
        CU_ASSERT_EQUAL(value_of(test, COUNTER(connection_errors)), size == 257);
        if (size == 257)
            h3_check_closed(test, MR_QPACK_DECOMPRESSION_FAILED);
        raw_server_test_free(test);
    }
}

/* ---- a connection ---- */

/* Fewer streams than the bound are taken, one more is refused. */
static void check_requests_bound(const struct mr_h3_server_config *config, uint32_t bound)
{
    struct raw_server_test *test = raw_server_test_new(config, NULL);
    int stream[8];

    CU_ASSERT_FATAL(bound < MR_COUNT_OF(stream));
    for (uint32_t i = 0; i <= bound; i++) {
        stream[i] = ask(test, put_get); /* its end does not come */
        CU_ASSERT_EQUAL(test->raw.streams[stream[i]].reset_code,
                        i < bound ? RAW_NONE : MR_H3_REQUEST_REJECTED);
    }
    CU_ASSERT_EQUAL(value_of(test, COUNTER(requests_refused)), 1);
    raw_reset(&test->raw, stream[0], MR_H3_REQUEST_CANCELLED); /* it makes room */
    loop_run(test->loop, H3_STEPS);
    h3_check_serves(test);
    raw_server_test_free(test);
}

static void requests_of_all_connections_are_bounded(void)
{
    struct mr_h3_server_config config = mr_h3_server_config_default(1);

    config.requests_max = 3;
    check_requests_bound(&config, 3);
}

static void requests_of_a_connection_are_bounded(void)
{
    struct mr_h3_server_config config = mr_h3_server_config_default(4);

    config.requests_per_conn_max = 5;
    check_requests_bound(&config, 5);
}

static void connections_are_bounded(void)
{
    struct mr_h3_server_config config = mr_h3_server_config_default(1);
    const struct mr_connect_options options = {
        .server_name = "localhost", .alpn = (const uint8_t *)"\x02h3", .alpn_size = 3};
    struct raw_server_test *test = raw_server_test_new(&config, NULL);
    struct mr_transport *t = test->raw.transport;
    mr_handle first = test->raw.conn;
    mr_handle second;

    CU_ASSERT_EQUAL(t->ops->connect(t, &options, &second), 0);
    loop_run(test->loop, H3_STEPS);
    CU_ASSERT_TRUE(test->raw.is_closed); /* the second */
    CU_ASSERT_EQUAL(test->raw.close_code, MR_H3_EXCESSIVE_LOAD);
    CU_ASSERT_EQUAL(value_of(test, COUNTER(connections_refused)), 1);
    test->raw.conn = first;
    test->raw.is_closed = false;
    test->raw.close_code = RAW_NONE;
    h3_check_serves(test);
    raw_server_test_free(test);
}

static void unidirectional_streams_are_bounded(void)
{
    struct loop_config loop = loop_config_default(1);
    int stream[MR_H3_PEER_UNI_MAX + 1];

    loop.uni_max = MR_H3_PEER_UNI_MAX + 4;
    struct raw_server_test *test = raw_server_test_new(NULL, &loop);
    for (int i = 0; i <= MR_H3_PEER_UNI_MAX; i++) {
        h3_begin_bytes();
        raw_put(&h3_bytes, "\x40", 1); /* half a type */
        stream[i] = h3_send_new(test, true, false);
        CU_ASSERT_EQUAL(test->raw.streams[stream[i]].stop_code,
                        i < MR_H3_PEER_UNI_MAX ? RAW_NONE : MR_H3_STREAM_CREATION_ERROR);
    }
    CU_ASSERT_EQUAL(value_of(test, COUNTER(streams_refused)), 1);
    raw_reset(&test->raw, stream[0], MR_H3_NO_ERROR); /* it makes room */
    loop_run(test->loop, H3_STEPS);
    h3_begin_bytes();
    raw_put_control(&h3_bytes);
    int control = h3_send_new(test, true, false);
    CU_ASSERT_EQUAL(test->raw.streams[control].stop_code, RAW_NONE);
    h3_check_serves(test);
    raw_server_test_free(test);
}

/* Heads that come in pieces: SECTIONS_PER_CONN of the largest may, of each connection. */
static void heads_in_pieces_are_bounded(void)
{
    struct raw_server_test *test = h3_new_server();
    uint32_t refused = 0;
    int kept = -1;

    for (int i = 0; i < 10; i++) {
        h3_begin_bytes();
        raw_put_varint(&h3_bytes, MR_H3_FRAME_HEADERS);
        raw_put_varint(&h3_bytes, 16000);
        raw_put(&h3_bytes, "\0\0", 2);
        int stream = h3_send_new(test, false, false);
        uint64_t code = test->raw.streams[stream].reset_code;
        refused += code == MR_H3_REQUEST_REJECTED;
        CU_ASSERT(code == RAW_NONE || code == MR_H3_REQUEST_REJECTED);
        kept = code == RAW_NONE ? stream : kept;
    }
    CU_ASSERT_EQUAL(refused, 4);
    CU_ASSERT_EQUAL(value_of(test, COUNTER(requests_refused)), 4);
    CU_ASSERT_EQUAL(value_of(test, COUNTER(heap_refused)), 4);
    raw_reset(&test->raw, kept, MR_H3_REQUEST_CANCELLED);
    loop_run(test->loop, H3_STEPS);
    h3_check_serves(test);
    raw_server_test_free(test);
}

/* The heap of all connections: new requests are refused while little of it is left. */
static void a_heap_that_is_used_up_refuses_requests(void)
{
    struct mr_h3_server_config config = mr_h3_server_config_default(4);

    config.heap_bytes = 65536;
    struct raw_server_test *test = raw_server_test_new(&config, NULL);
    for (int i = 0; i < 6; i++) {
        h3_begin_bytes();
        raw_put_varint(&h3_bytes, MR_H3_FRAME_HEADERS);
        raw_put_varint(&h3_bytes, 16000);
        raw_put(&h3_bytes, "\0\0", 2);
        h3_send_new(test, false, false);
    }
    CU_ASSERT(value_of(test, COUNTER(heap_exhausted)) > 0);
    CU_ASSERT(value_of(test, COUNTER(requests_refused)) > 0);
    CU_ASSERT_FALSE(test->raw.is_closed);
    for (uint32_t i = 0; i < test->raw.stream_count; i++) {
        if (test->raw.streams[i].is_ours && test->raw.streams[i].reset_code == RAW_NONE)
            raw_reset(&test->raw, (int)i, MR_H3_REQUEST_CANCELLED);
    }
    loop_run(test->loop, H3_STEPS);
    h3_check_serves(test);
    raw_server_test_free(test);
}

static void settings_without_end_close_the_connection(void)
{
    struct raw_server_test *test = raw_server_test_new(NULL, NULL);

    h3_begin_bytes();
    raw_put_varint(&h3_bytes, MR_H3_STREAM_CONTROL);
    raw_put_varint(&h3_bytes, MR_H3_FRAME_SETTINGS);
    raw_put_varint(&h3_bytes, MR_H3_CONTROL_PAYLOAD_MAX + 1);
    h3_send_new(test, true, false);
    h3_check_closed(test, MR_H3_EXCESSIVE_LOAD);
    CU_ASSERT_EQUAL(value_of(test, COUNTER(connection_errors)), 1);
    raw_server_test_free(test);
}

/* ---- the process ---- */

static void without_descriptors_requests_are_answered_with_503(void)
{
    struct raw_server_test *test = h3_new_server();
    struct rlimit before;

    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit none = {.rlim_cur = 3, .rlim_max = before.rlim_max};
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &none), 0);
    raw_put_get(&h3_section, "/a.txt");
    raw_put_headers(&h3_bytes, &h3_section);
    int stream = h3_send_new(test, false, true);
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &before), 0);
    CU_ASSERT_EQUAL(raw_status(&test->raw.streams[stream]), 503);
    CU_ASSERT_EQUAL(value_of(test, COUNTER(files_refused)), 1);
    h3_check_serves(test);
    raw_server_test_free(test);
}

/* ---- the client ---- */

static void responses_are_bounded(void)
{
    for (int kind = 0; kind < 2; kind++) {
        struct raw_client_test *test = raw_client_test_new(false);
        h3_put_response("200");
        if (kind == 0)
            raw_put_field_bytes(&h3_section, "x", 1, filler, 17000);
        for (int i = 0; kind == 1 && i < 128; i++)
            raw_put_field(&h3_section, "x", "");
        raw_put_headers(&h3_bytes, &h3_section);
        h3_client_answer(test, true);
        CU_ASSERT_EQUAL(test->headers, 0);
        CU_ASSERT_EQUAL(test->result.outcome, MR_H3_MALFORMED);
        CU_ASSERT_EQUAL(test->result.code, MR_H3_EXCESSIVE_LOAD);
        CU_ASSERT_EQUAL(mr_h3_client_counters(test->client)->requests_too_large, 1);
        CU_ASSERT_FALSE(test->is_closed);
        raw_client_test_free(test);
    }
}

static CU_TestInfo tests[] = {
    {"a message over a bound is answered and counted",
     a_message_over_a_bound_is_answered_and_counted},
    {"a name over its bound closes the connection", a_name_over_its_bound_closes_the_connection},
    {"content over its bound is answered and counted",
     content_over_its_bound_is_answered_and_counted},
    {"requests of all connections are bounded", requests_of_all_connections_are_bounded},
    {"requests of a connection are bounded", requests_of_a_connection_are_bounded},
    {"connections are bounded", connections_are_bounded},
    {"unidirectional streams are bounded", unidirectional_streams_are_bounded},
    {"heads in pieces are bounded", heads_in_pieces_are_bounded},
    {"a heap that is used up refuses requests", a_heap_that_is_used_up_refuses_requests},
    {"settings without end close the connection", settings_without_end_close_the_connection},
    {"without descriptors requests are answered with 503",
     without_descriptors_requests_are_answered_with_503},
    {"responses are bounded", responses_are_bounded},
    CU_TEST_INFO_NULL,
};

static int fill(void)
{
    memset(filler, 'a', sizeof(filler));
    return 0;
}

CU_SuiteInfo mr_suites[] = {
    {.pName = "http3, bounds", .pTests = tests, .pInitFunc = fill},
    CU_SUITE_INFO_NULL,
};
