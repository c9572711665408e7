/*
 * RFC 9114 for the client: the HTTP/3 client against a server that sends any bytes.
 * The sentences quoted are the RFC's.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "http3/frame.h"
#include "tests/support/h3_cases.h"
#include "tests/unit/harness.h"

/* "After sending a request, a client MUST close the stream for sending."  "Unless using the CONNECT
 * method (see Section 4.4), clients MUST NOT make stream closure dependent on receiving a response
 * to their request." (Section 4.1) */
static void the_client_ends_its_request(void)
{
    struct raw_client_test *test = raw_client_test_new(false);

    CU_ASSERT_TRUE(raw_client_test_request(test)->has_fin);
    raw_client_test_free(test);
}

/* "A server sends zero or more interim HTTP responses on the same stream as the request, followed
 * by a single final HTTP response" */
static void interim_responses_precede_the_final_one(void)
{
    struct raw_client_test *test = raw_client_test_new(false);

    h3_put_response("103");
    raw_put_field(&h3_section, "link", "</a.css>");
    raw_put_headers(&h3_bytes, &h3_section);
    raw_put_headers(&h3_bytes, &h3_section);
    raw_begin_section(&h3_section);
    raw_put_field(&h3_section, ":status", "200");
    raw_put_headers(&h3_bytes, &h3_section);
    raw_put_frame(&h3_bytes, MR_H3_FRAME_DATA, "abc", 3);
    h3_client_answer(test, true);
    CU_ASSERT_EQUAL(test->headers, 1);
    CU_ASSERT_EQUAL(test->result.outcome, MR_H3_DONE);
    CU_ASSERT_EQUAL(test->result.status, 200);
    CU_ASSERT_EQUAL(test->result.body_bytes, 3);
    raw_client_test_free(test);
}

/* "This pseudo-header field MUST be included in all responses; otherwise, the response is
 * malformed"  "A request or response containing uppercase characters in field names MUST be treated
 * as malformed." (Section 4.2)  "Pseudo-header fields defined for requests MUST NOT appear in
 * responses; pseudo-header fields defined for responses MUST NOT appear in requests." (Section 4.3)
 * "Endpoints MUST treat a request or response that contains undefined or invalid pseudo-header
 * fields as malformed." (Section 4.3)  "Any request or response that contains a pseudo-header field
 * that appears in a header section after a regular header field MUST be treated as malformed."
 * (Section 4.3) */
static void malformed_responses_are_message_errors_of_their_stream(void)
{
    static const struct {
        const char *why;
        const char *fields[6];
    } cases[] = {
        {"no :status", {"x", "y"}},
        {"two of :status", {":status", "200", ":status", "200"}},
        {"a request's pseudo-header", {":status", "200", ":path", "/"}},
        {":status of two digits", {":status", "20"}},
        {":status of letters", {":status", "2xx"}},
        {"101", {":status", "101"}},
        {":status after a field", {"x", "y", ":status", "200"}},
        {"upper case", {":status", "200", "X", "y"}},
        {"transfer-encoding", {":status", "200", "transfer-encoding", "chunked"}},
        {"CR LF", {":status", "200", "x", "a\r\nb"}},
        {"content-length without content", {":status", "200", "content-length", "5"}},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct raw_client_test *test = raw_client_test_new(false);
        unsigned failures = CU_get_number_of_failures();
        h3_begin_bytes();
        for (size_t f = 0; f < MR_COUNT_OF(cases[i].fields) && cases[i].fields[f] != NULL; f += 2)
            raw_put_field(&h3_section, cases[i].fields[f], cases[i].fields[f + 1]);
        raw_put_headers(&h3_bytes, &h3_section);
        h3_client_answer(test, true);
        CU_ASSERT_EQUAL(test->result.outcome, MR_H3_MALFORMED);
        CU_ASSERT_EQUAL(test->result.code, MR_H3_MESSAGE_ERROR);
        CU_ASSERT_FALSE(test->is_closed);
        if (CU_get_number_of_failures() != failures)
            printf("# in: %s\n", cases[i].why);
        raw_client_test_free(test);
    }
}

static void a_response_without_an_end_of_its_content_is_malformed(void)
{
    struct raw_client_test *test = raw_client_test_new(false);

    h3_put_response("200");
    raw_put_field(&h3_section, "content-length", "5");
    raw_put_headers(&h3_bytes, &h3_section);
    raw_put_frame(&h3_bytes, MR_H3_FRAME_DATA, "abc", 3);
    h3_client_answer(test, true);
    CU_ASSERT_EQUAL(test->result.outcome, MR_H3_MALFORMED);
    CU_ASSERT_EQUAL(test->result.body_bytes, 3);
    raw_client_test_free(test);
}

static void more_content_than_announced_is_not_shown(void)
{
    struct raw_client_test *test = raw_client_test_new(false);

    h3_put_response("200");
    raw_put_field(&h3_section, "content-length", "2");
    raw_put_headers(&h3_bytes, &h3_section);
    raw_put_frame(&h3_bytes, MR_H3_FRAME_DATA, "abc", 3);
    h3_client_answer(test, true);
    CU_ASSERT_EQUAL(test->result.outcome, MR_H3_MALFORMED);
    CU_ASSERT_EQUAL(test->result.body_bytes, 0);
    raw_client_test_free(test);
}

/* "A response to a HEAD request ... can have a non-zero Content-Length header field even though no
 * content is included in DATA frames." (after Section 4.1.2) */
static void responses_without_content_may_name_a_length(void)
{
    for (int i = 0; i < 2; i++) {
        struct raw_client_test *test = raw_client_test_new(i == 0);
        h3_put_response(i == 0 ? "200" : "304");
        raw_put_field(&h3_section, "content-length", "5");
        raw_put_headers(&h3_bytes, &h3_section);
        h3_client_answer(test, true);
        CU_ASSERT_EQUAL(test->result.outcome, MR_H3_DONE);
        CU_ASSERT_EQUAL(test->response.content_length, 5);
        raw_client_test_free(test);
    }
    struct raw_client_test *test = raw_client_test_new(true);
    h3_put_response("200");
    raw_put_headers(&h3_bytes, &h3_section);
    raw_put_frame(&h3_bytes, MR_H3_FRAME_DATA, "abc", 3);
    h3_client_answer(test, true);
    CU_ASSERT_EQUAL(test->result.outcome, MR_H3_MALFORMED);
    raw_client_test_free(test);
}

/* "Clients MUST treat receipt of a server-initiated bidirectional stream as a connection error of
 * type H3_STREAM_CREATION_ERROR" */
static void a_bidirectional_stream_of_the_server_is_a_stream_creation_error(void)
{
    struct raw_client_test *test = raw_client_test_new(false);
    int stream = raw_open(&test->raw, false);

    h3_begin_bytes();
    raw_put_frame(&h3_bytes, 0x21, NULL, 0);
    raw_send(&test->raw, stream, &h3_bytes, false);
    h3_client_run(test);
    h3_client_check_closed(test, MR_H3_STREAM_CREATION_ERROR);
    raw_client_test_free(test);
}

/* "A client MUST treat receipt of a push stream as a connection error of type H3_ID_ERROR when no
 * MAX_PUSH_ID frame has been sent" */
static void a_push_stream_to_the_client_is_an_id_error(void)
{
    struct raw_client_test *test = raw_client_test_new(false);

    h3_begin_bytes();
    raw_put_varint(&h3_bytes, MR_H3_STREAM_PUSH);
    raw_put_varint(&h3_bytes, 0);
    h3_client_uni(test);
    h3_client_check_closed(test, MR_H3_ID_ERROR);
    raw_client_test_free(test);
}

/* "A client MUST treat receipt of a PUSH_PROMISE frame that contains a larger push ID than the
 * client has advertised as a connection error of H3_ID_ERROR." */
static void a_push_promise_to_the_client_is_an_id_error(void)
{
    struct raw_client_test *test = raw_client_test_new(false);

    h3_begin_bytes();
    raw_put_frame(&h3_bytes, MR_H3_FRAME_PUSH_PROMISE, "\0\0\0", 3);
    h3_client_answer(test, false);
    h3_client_check_closed(test, MR_H3_ID_ERROR);
    raw_client_test_free(test);
}

/* "A client MUST treat the receipt of a MAX_PUSH_ID frame as a connection error of type
 * H3_FRAME_UNEXPECTED." */
static void a_push_limit_to_the_client_is_frame_unexpected(void)
{
    struct raw_client_test *test = raw_client_test_new(false);

    h3_begin_bytes();
    raw_put_control(&h3_bytes);
    raw_put_id_frame(&h3_bytes, MR_H3_FRAME_MAX_PUSH_ID, 1);
    h3_client_uni(test);
    h3_client_check_closed(test, MR_H3_FRAME_UNEXPECTED);
    raw_client_test_free(test);
}

/* "A client MUST treat receipt of a GOAWAY frame containing a stream ID of any other type as a
 * connection error of type H3_ID_ERROR." */
static void a_goaway_with_an_impossible_stream_is_an_id_error(void)
{
    for (uint64_t id = 1; id < 4; id++) {
        struct raw_client_test *test = raw_client_test_new(false);
        h3_begin_bytes();
        raw_put_control(&h3_bytes);
        raw_put_id_frame(&h3_bytes, MR_H3_FRAME_GOAWAY, id);
        h3_client_uni(test);
        h3_client_check_closed(test, MR_H3_ID_ERROR);
        raw_client_test_free(test);
    }
}

/* "Endpoints MUST NOT initiate new requests ... on the connection after receipt of a GOAWAY frame
 * from the peer."  "Endpoints MUST NOT initiate new requests or promise new pushes on the
 * connection after receipt of a GOAWAY frame from the peer." (Section 5.2) */
static void the_client_makes_no_request_after_goaway(void)
{
    struct raw_client_test *test = raw_client_test_new(false);
    struct mr_h3_request_options options = {.authority = "localhost", .path = "/"};
    mr_h3_client_request request;

    h3_begin_bytes();
    raw_put_control(&h3_bytes);
    raw_put_id_frame(&h3_bytes, MR_H3_FRAME_GOAWAY, 4);
    h3_client_uni(test);
    CU_ASSERT_EQUAL(test->goaways, 1);
    CU_ASSERT_FALSE(test->is_done); /* its ID is below GOAWAY's */
    CU_ASSERT_EQUAL(mr_h3_client_request_make(test->client, test->conn, &options, 0, &request),
                    -EPIPE);
    CU_ASSERT_FALSE(test->is_closed);
    raw_client_test_free(test);
}

/* "Once all accepted requests have been processed, the server can permit the connection to become
 * idle, or MAY initiate an immediate closure of the connection.  An endpoint that completes a
 * graceful shutdown SHOULD use the H3_NO_ERROR error code when closing the connection."  Who has
 * read the last answer is the client. */
static void the_client_closes_when_nothing_of_it_is_left_after_goaway(void)
{
    struct raw_client_test *test = raw_client_test_new(false);

    h3_begin_bytes();
    raw_put_control(&h3_bytes);
    raw_put_id_frame(&h3_bytes, MR_H3_FRAME_GOAWAY, 0);
    h3_client_uni(test);
    CU_ASSERT_EQUAL(test->goaways, 1);
    CU_ASSERT_EQUAL(test->result.outcome, MR_H3_REJECTED); /* its ID is not below GOAWAY's */
    CU_ASSERT_TRUE(test->is_closed);
    CU_ASSERT_EQUAL(test->raw.close_code, MR_H3_NO_ERROR);
    raw_client_test_free(test);
}

/* "The client can treat requests rejected by the server as though they had never been sent at all"
 */
static void a_rejected_request_is_reported_as_such(void)
{
    static const struct {
        uint64_t code;
        enum mr_h3_outcome outcome;
    } cases[] = {{MR_H3_REQUEST_REJECTED, MR_H3_REJECTED}, {MR_H3_INTERNAL_ERROR, MR_H3_RESET}};

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct raw_client_test *test = raw_client_test_new(false);
        const struct raw_stream *request = raw_client_test_request(test);
        raw_reset(&test->raw, (int)(request - test->raw.streams), cases[i].code);
        h3_client_run(test);
        CU_ASSERT_EQUAL(test->result.outcome, cases[i].outcome);
        CU_ASSERT_EQUAL(test->result.code, cases[i].code);
        raw_client_test_free(test);
    }
}

CU_TestInfo rfc9114_client_tests[] = {
    {"the client ends its request", the_client_ends_its_request},
    {"interim responses precede the final one", interim_responses_precede_the_final_one},
    {"malformed responses are message errors of their stream",
     malformed_responses_are_message_errors_of_their_stream},
    {"a response without an end of its content is malformed",
     a_response_without_an_end_of_its_content_is_malformed},
    {"more content than announced is not shown", more_content_than_announced_is_not_shown},
    {"responses without content may name a length", responses_without_content_may_name_a_length},
    {"a bidirectional stream of the server is a stream creation error",
     a_bidirectional_stream_of_the_server_is_a_stream_creation_error},
    {"a push stream to the client is an id error", a_push_stream_to_the_client_is_an_id_error},
    {"a push promise to the client is an id error", a_push_promise_to_the_client_is_an_id_error},
    {"a push limit to the client is frame unexpected",
     a_push_limit_to_the_client_is_frame_unexpected},
    {"a goaway with an impossible stream is an id error",
     a_goaway_with_an_impossible_stream_is_an_id_error},
    {"the client makes no request after goaway", the_client_makes_no_request_after_goaway},
    {"the client closes when nothing of it is left after goaway",
     the_client_closes_when_nothing_of_it_is_left_after_goaway},
    {"a rejected request is reported as such", a_rejected_request_is_reported_as_such},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9114, client", .pTests = rfc9114_client_tests},
    CU_SUITE_INFO_NULL,
};
