/*
 * RFC 9114, for what our server and client say: well-formed messages, their own streams, the end.
 * The sentences quoted are the RFC's.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "http3/frame.h"
#include "http3/grease.h"
#include "http3/message.h"
#include "tests/support/h3_cases.h"
#include "tests/unit/harness.h"

/* Is the head that came on a stream a well-formed message, as the layer checks those of others?
 * "Characters in field names MUST be converted to lowercase prior to their encoding."  "Endpoints
 * MUST NOT generate pseudo-header fields other than those defined in this document."  "All
 * pseudo-header fields MUST appear in the header section before regular header fields."  "An
 * endpoint MUST NOT generate an HTTP/3 field section containing connection-specific fields" */
static bool is_well_formed(const struct raw_stream *stream, enum mr_message_kind kind)
{
    const struct mr_message_limits limits = {1 << 20, 100, 100, 10000, true};
    const char *at = raw_fields(stream);
    struct mr_message message;
    enum mr_h3_field field;
    bool is_ok = at[0] != '\0';

    mr_message_begin(&message, kind, &limits);
    while (is_ok && at[0] != '\0') {
        const char *colon = strstr(at, ": ");
        size_t size = strcspn(at, "\n");
        struct mr_text name = {at, (size_t)(colon - at)};
        struct mr_text value = {colon + 2, size - name.size - 2};
        is_ok = mr_message_add(&message, name, value, &field) == MR_MESSAGE_OK;
        at += size + 1;
    }
    return is_ok && mr_message_end(&message) == MR_MESSAGE_OK;
}

/* ---- the server ---- */

static const struct {
    unsigned status;
    const char *fields[12];
} answers[] = {
    {200, {":method", "GET", ":path", "/a.txt"}},
    {200, {":method", "HEAD", ":path", "/a.txt"}},
    {206, {":method", "GET", ":path", "/a.txt", "range", "bytes=1-2"}},
    {304, {":method", "GET", ":path", "/a.txt", "if-none-match", "*"}},
    {412, {":method", "GET", ":path", "/a.txt", "if-match", "\"x\""}},
    {416, {":method", "GET", ":path", "/a.txt", "range", "bytes=20-"}},
    {404, {":method", "GET", ":path", "/b.txt"}},
    {400, {":method", "GET", ":path", "/%zz"}},
    {405, {":method", "POST", ":path", "/a.txt"}},
    {405, {":method", "OPTIONS", ":path", "*"}},
    {425, {":method", "POST", ":path", "/a.txt", "early-data", "1"}},
};

/* "This pseudo-header field MUST be included in all responses" (:status) and, of Section 4.1,
 * "After sending a final response, the server MUST close the stream for sending."  "Transfer
 * codings (see Section 7 of [HTTP/1.1]) are not defined for HTTP/3; the Transfer-Encoding header
 * field MUST NOT be used." (Section 4.1)  "Characters in field names MUST be converted to lowercase
 * prior to their encoding." (Section 4.2)  "Endpoints MUST NOT generate pseudo-header fields other
 * than those defined in this document." (Section 4.3)  "All pseudo-header fields MUST appear in the
 * header section before regular header fields." (Section 4.3)  "An endpoint MUST NOT generate an
 * HTTP/3 field section containing connection-specific fields; any message containing
 * connection-specific fields MUST be treated as malformed." (Section 4.2) */
static void every_answer_is_well_formed_and_ends(void)
{
    for (size_t i = 0; i < MR_COUNT_OF(answers); i++) {
        struct raw_server_test *test = h3_new_server();
        raw_put_field(&h3_section, ":scheme", "https");
        raw_put_field(&h3_section, ":authority", "localhost");
        for (size_t f = 0; f < MR_COUNT_OF(answers[i].fields) && answers[i].fields[f] != NULL;
             f += 2)
            raw_put_field(&h3_section, answers[i].fields[f], answers[i].fields[f + 1]);
        raw_put_headers(&h3_bytes, &h3_section);
        const struct raw_stream *stream = &test->raw.streams[h3_send_new(test, false, true)];
        CU_ASSERT_EQUAL(raw_status(stream), answers[i].status);
        CU_ASSERT_TRUE(is_well_formed(stream, MR_MESSAGE_RESPONSE));
        CU_ASSERT_TRUE(stream->has_fin);
        CU_ASSERT_FALSE(test->raw.is_closed);
        raw_server_test_free(test);
    }
}

/* A plain CONNECT (Section 4.4) asks for a proxy, which we are not. */
static void a_plain_connect_is_not_allowed(void)
{
    h3_begin_bytes();
    raw_put_field(&h3_section, ":method", "CONNECT");
    raw_put_field(&h3_section, ":authority", "localhost:443");
    raw_put_headers(&h3_bytes, &h3_section);
    h3_expect_status(405);
}

/* Each stream of the other side has a type of its own, none was ended, reset or stopped by us, and
 * control frames are of `types` only, SETTINGS first and once. */
static void check_own_streams(const struct raw_peer *peer, bool is_client)
{
    uint32_t seen = 0;

    for (uint32_t i = 0; i < peer->stream_count; i++) {
        const struct raw_stream *stream = &peer->streams[i];
        if ((stream->id & 2) == 0)
            continue;
        CU_ASSERT_EQUAL(stream->stop_code, RAW_NONE);
        if (stream->is_ours || stream->in.size == 0 || raw_is_reserved(stream))
            continue;
        CU_ASSERT_FALSE(stream->has_fin);
        CU_ASSERT_EQUAL(stream->reset_code, RAW_NONE);
        CU_ASSERT(stream->in.data[0] < 4);
        CU_ASSERT_NOT_EQUAL(stream->in.data[0], MR_H3_STREAM_PUSH);
        CU_ASSERT_EQUAL(seen & 1u << stream->in.data[0], 0);
        seen |= 1u << stream->in.data[0];
        size_t at = 1;
        for (bool is_first = true;
             stream->in.data[0] == MR_H3_STREAM_CONTROL && at < stream->in.size; is_first = false) {
            struct mr_h3_frame_reader reader = {0};
            at += mr_h3_frame_read_header(&reader, stream->in.data + at, stream->in.size - at);
            CU_ASSERT_TRUE_FATAL(reader.has_header);
            CU_ASSERT_EQUAL(reader.type == MR_H3_FRAME_SETTINGS, is_first);
            CU_ASSERT(reader.type == MR_H3_FRAME_SETTINGS || reader.type == MR_H3_FRAME_GOAWAY ||
                      mr_h3_reserved_is(reader.type) ||
                      (reader.type == MR_H3_FRAME_PRIORITY_UPDATE && is_client));
            at += reader.left;
        }
        CU_ASSERT(stream->in.data[0] != MR_H3_STREAM_CONTROL || at == stream->in.size);
    }
    CU_ASSERT_NOT_EQUAL(seen & 1u << MR_H3_STREAM_CONTROL, 0);
}

/* "A SETTINGS frame MUST be sent as the first frame of each control stream (see Section 6.2.1) by
 * each peer, and it MUST NOT be sent subsequently."  "SETTINGS frames MUST NOT be sent on any
 * stream other than the control stream."  "The sender MUST NOT close the control stream, and the
 * receiver MUST NOT request that the sender close the control stream."  "A server MUST NOT send a
 * MAX_PUSH_ID frame." "The sender MUST NOT close either of these streams, and the receiver MUST NOT
 * request that the sender close either of these streams." (RFC 9204, Section 4.2)  "Servers MUST
 * NOT send PRIORITY_UPDATE frames of either type." (RFC 9218, Section 7.2)  "However, stream types
 * that could modify the state or semantics of existing protocol components, including QPACK or
 * other extensions, MUST NOT be sent until the peer is known to support them." (Section 6.2)  "Each
 * frame's payload MUST contain exactly the fields identified in its description." (Section 7.1)
 * "Each endpoint MUST initiate, at most, one encoder stream and, at most, one decoder stream." (RFC
 * 9204, Section 4.2) */
static void the_servers_own_streams_are_in_order_to_the_end(void)
{
    struct raw_server_test *test = h3_new_server();
    static const uint64_t types[] = {MR_H3_STREAM_QPACK_ENCODER, MR_H3_STREAM_QPACK_DECODER};

    for (size_t i = 0; i < MR_COUNT_OF(types); i++) {
        h3_begin_bytes();
        raw_put_varint(&h3_bytes, types[i]);
        h3_send_new(test, true, false);
    }
    h3_check_serves(test);
    check_own_streams(&test->raw, false);
    loop_go_away(test->loop, 1);
    loop_run(test->loop, H3_STEPS);
    check_own_streams(&test->raw, false);
    raw_server_test_free(test);
}

/* "the identifier in each frame MUST NOT be greater than the identifier in any previous frame":
 * there is one, however often the server is told to go. */
static void goaway_is_sent_once(void)
{
    struct raw_server_test *test = h3_new_server();

    raw_put_get(&h3_section, "/a.txt");
    raw_put_headers(&h3_bytes, &h3_section);
    h3_send_new(test, false, false); /* its end is still to come */
    loop_go_away(test->loop, 1);
    loop_run(test->loop, H3_STEPS);
    int late = h3_send_new(test, false, true);
    loop_go_away(test->loop, 1);
    loop_run(test->loop, H3_STEPS);
    CU_ASSERT_EQUAL(mr_h3_server_counters(test->server)->goaways_sent, 1);
    /* "Servers MUST NOT use the H3_REQUEST_REJECTED error code for requests that were partially or
     * fully processed."  This one was not. */
    CU_ASSERT_EQUAL(test->raw.streams[late].reset_code, MR_H3_REQUEST_REJECTED);
    raw_server_test_free(test);
}

/* "Servers MUST NOT use the H3_REQUEST_REJECTED error code for requests that were partially or
 * fully processed." (Section 4.1.1) */
static void what_was_begun_is_never_rejected(void)
{
    struct mr_h3_server_config config = mr_h3_server_config_default(4);

    config.request_timeout_ns = 1000000000;
    struct raw_server_test *test = raw_server_test_new(&config, NULL);
    h3_begin_bytes();
    raw_put_get(&h3_section, "/a.txt");
    raw_put_headers(&h3_bytes, &h3_section);
    int slow = h3_send_new(test, false, false);
    int stopped = h3_send_new(test, false, false);
    raw_stop(&test->raw, stopped, MR_H3_REQUEST_CANCELLED);
    loop_pass(test->loop, UINT64_C(3000000000));
    CU_ASSERT_NOT_EQUAL(test->raw.streams[slow].reset_code, RAW_NONE);
    CU_ASSERT_NOT_EQUAL(test->raw.streams[slow].reset_code, MR_H3_REQUEST_REJECTED);
    CU_ASSERT_EQUAL(test->raw.streams[stopped].stop_code, MR_H3_REQUEST_CANCELLED);
    raw_server_test_free(test);
}

/* ---- the client ---- */

/* What the client of a test asks for beside its first request; the stream of it, NULL: none. */
static const struct raw_stream *ask(struct raw_client_test *test,
                                    const struct mr_h3_request_options *options, int *result_out)
{
    uint32_t before = test->raw.stream_count;
    mr_h3_client_request request;

    *result_out = mr_h3_client_request_make(test->client, test->conn, options, 1, &request);
    h3_client_run(test);
    return test->raw.stream_count > before ? &test->raw.streams[before] : NULL;
}

/* "All HTTP/3 requests MUST include exactly one value for the :method, :scheme, and :path
 * pseudo-header fields, unless the request is a CONNECT request"  "the request MUST contain either
 * an :authority pseudo-header field or a Host header field"  "A client MUST send only a single
 * request on a given stream."  "After sending a request, a client MUST close the stream for
 * sending."  "Characters in field names MUST be converted to lowercase prior to their encoding."
 * (Section 4.2)  "Endpoints MUST NOT generate pseudo-header fields other than those defined in this
 * document." (Section 4.3)  "All pseudo-header fields MUST appear in the header section before
 * regular header fields." (Section 4.3)  "A client MUST NOT send a PUSH_PROMISE frame."
 * (Section 7.2.5) */
static void every_request_is_well_formed_and_alone(void)
{
    static const struct mr_priority urgent = {.urgency = 0, .is_incremental = true};
    static const struct mr_h3_request_options requests[] = {
        {.authority = "localhost", .path = "/"},
        {.authority = "localhost:444", .path = "/a?b=c", .is_head = true},
        {.authority = "[fd00::1]", .path = "/", .range = "bytes=0-9"},
        {.authority = "a", .path = "/%20", .if_none_match = "\"x\"", .priority = &urgent},
    };
    struct raw_client_test *test = raw_client_test_new(false);

    CU_ASSERT_TRUE(is_well_formed(raw_client_test_request(test), MR_MESSAGE_REQUEST));
    for (size_t i = 0; i < MR_COUNT_OF(requests); i++) {
        int result;
        size_t size;
        const struct raw_stream *stream = ask(test, &requests[i], &result);
        CU_ASSERT_EQUAL(result, 0);
        CU_ASSERT_PTR_NOT_NULL_FATAL(stream);
        CU_ASSERT_TRUE(is_well_formed(stream, MR_MESSAGE_REQUEST));
        CU_ASSERT_TRUE(stream->has_fin);
        const uint8_t *section = raw_find_frame(stream, 0, MR_H3_FRAME_HEADERS, &size);
        CU_ASSERT_PTR_EQUAL(section + size, stream->in.data + stream->in.size); /* nothing more */
    }
    raw_client_test_free(test);
}

/* "This pseudo-header field MUST NOT be empty for "http" or "https" URIs" (:path)  "The authority
 * MUST NOT include the deprecated userinfo subcomponent for URIs of scheme "http" or "https"."  "If
 * these fields are present, they MUST NOT be empty." */
static void what_would_be_malformed_is_not_sent(void)
{
    static const struct mr_h3_request_options requests[] = {
        {.authority = "localhost", .path = ""},
        {.authority = "localhost", .path = "a"},
        {.authority = "localhost", .path = "*"},
        {.authority = "localhost", .path = "/a b"},
        {.authority = "localhost", .path = "/\r\n"},
        {.authority = "", .path = "/"},
        {.authority = "user@localhost", .path = "/"},
        {.authority = "localhost/x", .path = "/"},
        {.authority = "localhost", .path = "/", .range = "bytes=0-9\r\nx: y"},
        {.authority = "localhost", .path = "/", .if_none_match = "a\nb"},
    };
    struct raw_client_test *test = raw_client_test_new(false);

    for (size_t i = 0; i < MR_COUNT_OF(requests); i++) {
        int result;
        CU_ASSERT_PTR_NULL(ask(test, &requests[i], &result));
        CU_ASSERT_EQUAL(result, -EINVAL);
    }
    raw_client_test_free(test);
}

/* "Each side MUST initiate a single control stream at the beginning of the connection and send its
 * SETTINGS frame as the first frame on this stream."  "Endpoints MUST NOT require any data to be
 * received from the peer prior to sending the SETTINGS frame": the server of this test says
 * nothing.  "After the QUIC connection is established, a SETTINGS frame MUST be sent by each
 * endpoint as the initial frame of their respective HTTP control stream." (Section 3.2) */
static void the_clients_own_streams_are_in_order_to_the_end(void)
{
    struct raw_client_test *test = raw_client_test_new(false);
    const struct mr_priority urgent = {.urgency = 0};

    check_own_streams(&test->raw, true);
    h3_begin_bytes();
    raw_put_control(&h3_bytes);
    h3_client_uni(test);
    CU_ASSERT_EQUAL(mr_h3_client_prioritize(test->client, test->request, urgent), 0);
    h3_client_run(test);
    h3_put_response("200");
    raw_put_headers(&h3_bytes, &h3_section);
    h3_client_answer(test, true);
    CU_ASSERT_EQUAL(test->result.outcome, MR_H3_DONE);
    loop_go_away(test->loop, 0);
    h3_client_run(test);
    check_own_streams(&test->raw, true);
    raw_client_test_free(test);
}

/* "An HTTP implementation MUST NOT send frames or requests that would be invalid based on its
 * current understanding of the peer's settings." (Section 7.2.4.2)  "Once a server has provided new
 * settings, clients MUST comply with those values." (Section 7.2.4.2) */
static void a_request_larger_than_the_peer_takes_is_not_sent(void)
{
    const struct mr_h3_request_options options = {.authority = "localhost", .path = "/"};
    struct raw_client_test *test = raw_client_test_new(false);
    const struct raw_stream *stream;
    int result;

    h3_begin_bytes();
    raw_put_varint(&h3_bytes, MR_H3_STREAM_CONTROL);
    raw_put_frame(&h3_bytes, MR_H3_FRAME_SETTINGS, "\x06\x20", 2); /* 32 bytes of fields */
    h3_client_uni(test);
    uint32_t done = test->done_count;
    stream = ask(test, &options, &result);
    CU_ASSERT_EQUAL(result, 0);
    CU_ASSERT_EQUAL(test->done_count, done + 1);
    CU_ASSERT(stream == NULL || stream->in.size == 0);
    CU_ASSERT_FALSE(test->is_closed);
    raw_client_test_free(test);
}

static CU_TestInfo tests[] = {
    {"every answer is well formed and ends", every_answer_is_well_formed_and_ends},
    {"a plain CONNECT is not allowed", a_plain_connect_is_not_allowed},
    {"the server's own streams are in order to the end",
     the_servers_own_streams_are_in_order_to_the_end},
    {"GOAWAY is sent once", goaway_is_sent_once},
    {"what was begun is never rejected", what_was_begun_is_never_rejected},
    {"every request is well formed and alone", every_request_is_well_formed_and_alone},
    {"what would be malformed is not sent", what_would_be_malformed_is_not_sent},
    {"the client's own streams are in order to the end",
     the_clients_own_streams_are_in_order_to_the_end},
    {"a request larger than the peer takes is not sent",
     a_request_larger_than_the_peer_takes_is_not_sent},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9114, what we send", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
