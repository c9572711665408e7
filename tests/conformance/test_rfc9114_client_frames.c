/*
 * RFC 9114, Sections 4 to 8 for the client: orders of frames, streams, errors.  The HTTP/3 client
 * against a server that sends any bytes.  The sentences quoted are the RFC's.
 */
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "http3/frame.h"
#include "tests/support/h3_cases.h"
#include "tests/unit/harness.h"

/* A control stream with SETTINGS. */
static void begin_control(void)
{
    h3_begin_bytes();
    raw_put_control(&h3_bytes);
}

static void put_head(const char *status)
{
    raw_begin_section(&h3_section);
    raw_put_field(&h3_section, ":status", status);
    raw_put_headers(&h3_bytes, &h3_section);
}

static void put_trailers(const char *name)
{
    raw_begin_section(&h3_section);
    raw_put_field(&h3_section, name, "1");
    raw_put_headers(&h3_bytes, &h3_section);
}

/* ---- Section 4.1: message framing ---- */

/* "Receipt of an invalid sequence of frames MUST be treated as a connection error of type
 * H3_FRAME_UNEXPECTED." */
static void frames_out_of_order_are_frame_unexpected(void)
{
    for (int kind = 0; kind < 4; kind++) {
        h3_begin_bytes();
        if (kind == 1)
            put_head("103");
        if (kind > 1) {
            put_head("200");
            put_trailers("x");
        }
        if (kind == 3)
            put_trailers("y");
        else
            raw_put_frame(&h3_bytes, MR_H3_FRAME_DATA, "x", 1);
        h3_client_expect_close(true, MR_H3_FRAME_UNEXPECTED);
    }
}

/* "On a given stream, receipt of multiple requests or receipt of an additional HTTP response
 * following a final HTTP response MUST be treated as malformed."  "Pseudo-header fields MUST NOT
 * appear in trailer sections."  "Clients MUST NOT accept a malformed response." */
static void what_follows_a_final_response_is_malformed(void)
{
    static const char *const second[] = {"200", "103", "404"};

    for (size_t i = 0; i < MR_COUNT_OF(second); i++) {
        struct raw_client_test *test = raw_client_test_new(false);
        h3_begin_bytes();
        put_head("200");
        put_head(second[i]);
        h3_client_answer(test, true);
        CU_ASSERT_EQUAL(test->result.outcome, MR_H3_MALFORMED);
        CU_ASSERT_EQUAL(test->result.code, MR_H3_MESSAGE_ERROR);
        CU_ASSERT_FALSE(test->is_closed);
        raw_client_test_free(test);
    }
}

/* "... followed by a single final HTTP response": a stream that ends before it has none. */
static void a_response_without_a_final_head_is_malformed(void)
{
    for (int heads = 0; heads < 3; heads++) {
        struct raw_client_test *test = raw_client_test_new(false);
        h3_begin_bytes();
        for (int i = 0; i < heads; i++)
            put_head("103");
        h3_client_answer(test, true);
        CU_ASSERT_EQUAL(test->result.outcome, MR_H3_MALFORMED);
        CU_ASSERT_EQUAL(test->headers, 0);
        CU_ASSERT_FALSE(test->is_closed);
        raw_client_test_free(test);
    }
}

/* "Clients MUST NOT discard complete responses as a result of having their request terminated
 * abruptly, though clients can always discard responses at their discretion for other reasons." */
static void a_request_that_is_stopped_still_has_its_response(void)
{
    static const uint64_t codes[] = {MR_H3_NO_ERROR, MR_H3_REQUEST_CANCELLED, 0x1234567};

    for (size_t i = 0; i < MR_COUNT_OF(codes); i++) {
        struct raw_client_test *test = raw_client_test_new(false);
        const struct raw_stream *request = raw_client_test_request(test);
        raw_stop(&test->raw, (int)(request - test->raw.streams), codes[i]);
        h3_client_run(test);
        CU_ASSERT_FALSE(test->is_done);
        h3_begin_bytes();
        put_head("200");
        raw_put_frame(&h3_bytes, MR_H3_FRAME_DATA, "abc", 3);
        h3_client_answer(test, true);
        CU_ASSERT_EQUAL(test->result.outcome, MR_H3_DONE);
        CU_ASSERT_EQUAL(test->result.body_bytes, 3);
        CU_ASSERT_FALSE(test->is_closed);
        raw_client_test_free(test);
    }
}

/* "Clients MUST NOT use the H3_REQUEST_REJECTED error code, except when a server has requested
 * closure of the request stream with this error code." (Section 4.1.1) */
static void a_request_that_is_given_up_is_cancelled(void)
{
    struct raw_client_test *test = raw_client_test_new(false);

    CU_ASSERT_EQUAL(mr_h3_client_cancel(test->client, test->request), 0);
    h3_client_run(test);
    CU_ASSERT_EQUAL(raw_client_test_request(test)->stop_code, MR_H3_REQUEST_CANCELLED);
    CU_ASSERT_EQUAL(test->result.outcome, MR_H3_CANCELLED);
    raw_client_test_free(test);
}

/* ---- Section 4.2 ---- */

/* "any message containing connection-specific fields MUST be treated as malformed.  The only
 * exception to this is the TE header field, which MAY be present in an HTTP/3 request header" */
static void connection_specific_fields_of_responses_are_malformed(void)
{
    static const char *const fields[][2] = {
        {"connection", "close"},          {"keep-alive", "1"}, {"proxy-connection", "close"},
        {"transfer-encoding", "chunked"}, {"upgrade", "h2c"},  {"te", "trailers"}};

    for (size_t i = 0; i < MR_COUNT_OF(fields); i++) {
        for (int in_trailers = 0; in_trailers < 2; in_trailers++) {
            struct raw_client_test *test = raw_client_test_new(false);
            h3_begin_bytes();
            if (in_trailers != 0)
                put_head("200");
            raw_begin_section(&h3_section);
            if (in_trailers == 0)
                raw_put_field(&h3_section, ":status", "200");
            raw_put_field(&h3_section, fields[i][0], fields[i][1]);
            raw_put_headers(&h3_bytes, &h3_section);
            h3_client_answer(test, true);
            CU_ASSERT_EQUAL(test->result.outcome, MR_H3_MALFORMED);
            CU_ASSERT_EQUAL(test->result.code, MR_H3_MESSAGE_ERROR);
            raw_client_test_free(test);
        }
    }
}

/* ---- Section 6.2: unidirectional streams ---- */

/* "Recipients of unknown stream types MUST either abort reading of the stream or discard incoming
 * data without further processing."  "The recipient MUST NOT consider unknown stream types to be a
 * connection error of any kind."  "Implementations MUST discard data or abort reading on
 * unidirectional streams that have unknown or unsupported types." (Section 9) */
static void unknown_stream_types_are_stopped_and_nothing_else(void)
{
    struct raw_client_test *test = raw_client_test_new(false);

    h3_begin_bytes();
    raw_put_varint(&h3_bytes, 0x21);
    raw_put(&h3_bytes, "some bytes", 10);
    int stream = h3_client_uni(test);
    CU_ASSERT_EQUAL(test->raw.streams[stream].stop_code, MR_H3_STREAM_CREATION_ERROR);
    h3_begin_bytes(); /* "closed or reset prior to the reception of the unidirectional stream
                         header" */
    raw_put(&h3_bytes, "\x40", 1);
    stream = h3_client_uni(test);
    raw_reset(&test->raw, stream, MR_H3_NO_ERROR);
    h3_client_run(test);
    h3_begin_bytes();
    put_head("200");
    h3_client_answer(test, true);
    CU_ASSERT_EQUAL(test->result.outcome, MR_H3_DONE);
    raw_client_test_free(test);
}

/* "Only one control stream per peer is permitted; receipt of a second stream claiming to be a
 * control stream MUST be treated as a connection error of type H3_STREAM_CREATION_ERROR."  So it is
 * with QPACK's (RFC 9204, Section 4.2).  "Receipt of a second instance of either stream type MUST
 * be treated as a connection error of type H3_STREAM_CREATION_ERROR." (RFC 9204, Section 4.2) */
static void a_second_stream_of_a_type_is_a_stream_creation_error(void)
{
    static const uint64_t types[] = {MR_H3_STREAM_CONTROL, MR_H3_STREAM_QPACK_ENCODER,
                                     MR_H3_STREAM_QPACK_DECODER};

    for (size_t i = 0; i < MR_COUNT_OF(types); i++) {
        struct raw_client_test *test = raw_client_test_new(false);
        h3_begin_bytes();
        raw_put_varint(&h3_bytes, types[i]);
        h3_client_uni(test);
        CU_ASSERT_FALSE(test->is_closed);
        h3_client_uni(test);
        h3_client_check_closed(test, MR_H3_STREAM_CREATION_ERROR);
        raw_client_test_free(test);
    }
}

/* "If either control stream is closed at any point, this MUST be treated as a connection error of
 * type H3_CLOSED_CRITICAL_STREAM."  "Closure of either unidirectional stream type MUST be treated
 * as a connection error of type H3_CLOSED_CRITICAL_STREAM." (RFC 9204, Section 4.2) */
static void ending_a_critical_stream_is_closed_critical_stream(void)
{
    static const uint64_t types[] = {MR_H3_STREAM_CONTROL, MR_H3_STREAM_QPACK_ENCODER,
                                     MR_H3_STREAM_QPACK_DECODER};

    for (size_t i = 0; i < 2 * MR_COUNT_OF(types); i++) {
        struct raw_client_test *test = raw_client_test_new(false);
        if (types[i / 2] == MR_H3_STREAM_CONTROL) {
            begin_control();
        } else {
            h3_begin_bytes();
            raw_put_varint(&h3_bytes, types[i / 2]);
        }
        int stream = h3_client_uni(test);
        h3_begin_bytes();
        if (i % 2 == 0)
            raw_send(&test->raw, stream, &h3_bytes, true);
        else
            raw_reset(&test->raw, stream, MR_H3_NO_ERROR);
        h3_client_run(test);
        h3_client_check_closed(test, MR_H3_CLOSED_CRITICAL_STREAM);
        raw_client_test_free(test);
    }
    struct raw_client_test *test = raw_client_test_new(false);
    const struct raw_stream *control = raw_find_uni(&test->raw, MR_H3_STREAM_CONTROL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(control);
    raw_stop(&test->raw, (int)(control - test->raw.streams), MR_H3_NO_ERROR);
    h3_client_run(test);
    h3_client_check_closed(test, MR_H3_CLOSED_CRITICAL_STREAM);
    raw_client_test_free(test);
}

/* ---- Section 7: frames ---- */

/* "If the first frame of the control stream is any other frame type, this MUST be treated as a
 * connection error of type H3_MISSING_SETTINGS." */
static void a_control_stream_without_settings_is_missing_settings(void)
{
    static const uint64_t types[] = {MR_H3_FRAME_GOAWAY, 0x21, MR_H3_FRAME_DATA,
                                     MR_H3_FRAME_HEADERS};

    for (size_t i = 0; i < MR_COUNT_OF(types); i++) {
        h3_begin_bytes();
        raw_put_varint(&h3_bytes, MR_H3_STREAM_CONTROL);
        raw_put_id_frame(&h3_bytes, types[i], 0);
        h3_client_expect_uni_close(MR_H3_MISSING_SETTINGS);
    }
}

/* What may not come on the server's control stream.  "If a DATA frame is received on a control
 * stream, the recipient MUST respond with a connection error of type H3_FRAME_UNEXPECTED."  "If a
 * HEADERS frame is received on a control stream, the recipient MUST respond with a connection error
 * of type H3_FRAME_UNEXPECTED."  "If an endpoint receives a second SETTINGS frame on the control
 * stream, the endpoint MUST respond with a connection error of type H3_FRAME_UNEXPECTED."  "If a
 * PUSH_PROMISE frame is received on the control stream, the client MUST respond with a connection
 * error of type H3_FRAME_UNEXPECTED."  "If a CANCEL_PUSH frame is received that references a push
 * ID greater than currently allowed on the connection, this MUST be treated as a connection error
 * of type H3_ID_ERROR."  "These frame types MUST NOT be sent, and their receipt MUST be treated as
 * a connection error of type H3_FRAME_UNEXPECTED." */
static void frames_that_are_wrong_on_the_control_stream_close(void)
{
    static const struct {
        uint64_t type, code;
    } cases[] = {
        {MR_H3_FRAME_DATA, MR_H3_FRAME_UNEXPECTED},
        {MR_H3_FRAME_HEADERS, MR_H3_FRAME_UNEXPECTED},
        {MR_H3_FRAME_SETTINGS, MR_H3_FRAME_UNEXPECTED},
        {MR_H3_FRAME_PUSH_PROMISE, MR_H3_FRAME_UNEXPECTED},
        {MR_H3_FRAME_CANCEL_PUSH, MR_H3_ID_ERROR},
        {MR_H3_FRAME_MAX_PUSH_ID, MR_H3_FRAME_UNEXPECTED},
        {0x02, MR_H3_FRAME_UNEXPECTED},
        {0x06, MR_H3_FRAME_UNEXPECTED},
        {0x08, MR_H3_FRAME_UNEXPECTED},
        {0x09, MR_H3_FRAME_UNEXPECTED},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        begin_control();
        raw_put_id_frame(&h3_bytes, cases[i].type, 0);
        h3_client_expect_uni_close(cases[i].code);
    }
}

/* What may not come on a request stream.  "Receiving a CANCEL_PUSH frame on a stream other than the
 * control stream MUST be treated as a connection error of type H3_FRAME_UNEXPECTED."  "If an
 * endpoint receives a SETTINGS frame on a different stream, the endpoint MUST respond with a
 * connection error of type H3_FRAME_UNEXPECTED."  "A client MUST treat a GOAWAY frame on a stream
 * other than the control stream as a connection error of type H3_FRAME_UNEXPECTED."  "Receipt of a
 * MAX_PUSH_ID frame on any other stream MUST be treated as a connection error of type
 * H3_FRAME_UNEXPECTED." */
static void control_frames_on_a_request_stream_are_frame_unexpected(void)
{
    static const uint64_t types[] = {MR_H3_FRAME_SETTINGS,
                                     MR_H3_FRAME_CANCEL_PUSH,
                                     MR_H3_FRAME_GOAWAY,
                                     MR_H3_FRAME_MAX_PUSH_ID,
                                     MR_H3_FRAME_PRIORITY_UPDATE,
                                     0x02,
                                     0x06,
                                     0x08,
                                     0x09};

    for (size_t i = 0; i < MR_COUNT_OF(types); i++) {
        h3_begin_bytes();
        raw_put_id_frame(&h3_bytes, types[i], 0);
        h3_client_expect_close(false, MR_H3_FRAME_UNEXPECTED);
    }
}

/* "A frame payload that contains additional bytes after the identified fields or a frame payload
 * that terminates before the end of the identified fields MUST be treated as a connection error of
 * type H3_FRAME_ERROR."  "When a stream terminates cleanly, if the last frame on the stream was
 * truncated, this MUST be treated as a connection error of type H3_FRAME_ERROR." */
static void frames_of_a_wrong_length_are_frame_errors(void)
{
    static const struct {
        const char *payload;
        size_t size;
    } payloads[] = {{"", 0}, {"\x40", 1}, {"\x00\x00", 2}};

    for (size_t i = 0; i < MR_COUNT_OF(payloads); i++) {
        begin_control();
        raw_put_frame(&h3_bytes, MR_H3_FRAME_GOAWAY, payloads[i].payload, payloads[i].size);
        h3_client_expect_uni_close(MR_H3_FRAME_ERROR);
    }
    h3_begin_bytes();
    put_head("200");
    size_t whole = h3_bytes.size;
    for (size_t size = 1; size < whole; size++) {
        h3_bytes.size = size;
        h3_client_expect_close(true, MR_H3_FRAME_ERROR);
    }
}

/* "Receiving a GOAWAY containing a larger identifier than previously received MUST be treated as a
 * connection error of type H3_ID_ERROR." */
static void a_goaway_that_grows_is_an_id_error(void)
{
    begin_control();
    raw_put_id_frame(&h3_bytes, MR_H3_FRAME_GOAWAY, 8);
    raw_put_id_frame(&h3_bytes, MR_H3_FRAME_GOAWAY, 8);
    raw_put_id_frame(&h3_bytes, MR_H3_FRAME_GOAWAY, 12);
    h3_client_expect_uni_close(MR_H3_ID_ERROR);
}

/* "These reserved settings MUST NOT be sent, and their receipt MUST be treated as a connection
 * error of type H3_SETTINGS_ERROR."  "An implementation MUST ignore any parameter with an
 * identifier it does not understand." */
static void settings_are_checked(void)
{
    static const struct {
        const char *payload;
        size_t size;
        uint64_t code; /* 0: they are fine */
    } cases[] = {
        {"\x02\x00", 2, MR_H3_SETTINGS_ERROR}, {"\x03\x01", 2, MR_H3_SETTINGS_ERROR},
        {"\x04\x01", 2, MR_H3_SETTINGS_ERROR}, {"\x05\x01", 2, MR_H3_SETTINGS_ERROR},
        {"\x33\x02", 2, MR_H3_SETTINGS_ERROR}, {"\x08\x02", 2, MR_H3_SETTINGS_ERROR},
        {"\x06", 1, MR_H3_FRAME_ERROR},        {"\x21\x05\x40\x99\x01", 5, 0},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct raw_client_test *test = raw_client_test_new(false);
        h3_begin_bytes();
        raw_put_varint(&h3_bytes, MR_H3_STREAM_CONTROL);
        raw_put_frame(&h3_bytes, MR_H3_FRAME_SETTINGS, cases[i].payload, cases[i].size);
        h3_client_uni(test);
        if (cases[i].code != 0)
            h3_client_check_closed(test, cases[i].code);
        CU_ASSERT_EQUAL(test->is_closed, cases[i].code != 0);
        raw_client_test_free(test);
    }
}

/* "Endpoints MUST NOT consider these frames to have any meaning upon receipt." (reserved types,
 * Section 7.2.8) and "Implementations MUST ignore unknown or unsupported values in all extensible
 * protocol elements." (Section 9) */
static void unknown_frames_are_ignored_everywhere(void)
{
    struct raw_client_test *test = raw_client_test_new(false);

    begin_control();
    raw_put_frame(&h3_bytes, 0x21, "abc", 3);
    raw_put_frame(&h3_bytes, 0x1f * 1000 + 0x21, NULL, 0);
    h3_client_uni(test);
    h3_begin_bytes();
    raw_put_frame(&h3_bytes, 0x21, "abc", 3);
    put_head("200");
    raw_put_frame(&h3_bytes, 0x40, "abc", 3);
    raw_put_frame(&h3_bytes, MR_H3_FRAME_DATA, "x", 1);
    put_trailers("x");
    raw_put_frame(&h3_bytes, 0x1f * 7 + 0x21, "abc", 3);
    h3_client_answer(test, true);
    CU_ASSERT_EQUAL(test->result.outcome, MR_H3_DONE);
    CU_ASSERT_EQUAL(test->result.body_bytes, 1);
    raw_client_test_free(test);
}

/* ---- Section 8 ---- */

/* "use of an error code in an unexpected context or receipt of an unknown error code MUST be
 * treated as equivalent to H3_NO_ERROR": such a reset is a reset, and such a close is a close. */
static void unknown_error_codes_are_codes_like_any(void)
{
    static const uint64_t codes[] = {MR_H3_NO_ERROR, 0x1f * 5 + 0x21, 0x3fffffffffffffff,
                                     MR_H3_SETTINGS_ERROR};

    for (size_t i = 0; i < MR_COUNT_OF(codes); i++) {
        struct raw_client_test *test = raw_client_test_new(false);
        const struct raw_stream *request = raw_client_test_request(test);
        raw_reset(&test->raw, (int)(request - test->raw.streams), codes[i]);
        h3_client_run(test);
        CU_ASSERT_EQUAL(test->result.outcome, MR_H3_RESET);
        CU_ASSERT_EQUAL(test->result.code, codes[i]);
        CU_ASSERT_FALSE(test->is_closed);
        struct mr_transport *t = test->raw.transport;
        CU_ASSERT_EQUAL(t->ops->close(t, test->raw.conn, codes[i], ""), 0);
        h3_client_run(test);
        CU_ASSERT_TRUE(test->is_closed);
        CU_ASSERT_EQUAL(test->closed_code, codes[i]);
        raw_client_test_free(test);
    }
}

/* "If a connection terminates without a GOAWAY frame, clients MUST assume that any request that was
 * sent, whether in whole or in part, might have been processed." (Section 5.4): it is not reported
 * as rejected, which could be sent again. */
static void requests_of_a_lost_connection_may_have_been_processed(void)
{
    struct raw_client_test *test = raw_client_test_new(false);
    struct mr_transport *t = test->raw.transport;

    CU_ASSERT_EQUAL(t->ops->close(t, test->raw.conn, MR_H3_NO_ERROR, ""), 0);
    h3_client_run(test);
    CU_ASSERT_EQUAL(test->result.outcome, MR_H3_CONN_LOST);
    raw_client_test_free(test);
}

static CU_TestInfo tests[] = {
    {"frames out of order are frame unexpected", frames_out_of_order_are_frame_unexpected},
    {"what follows a final response is malformed", what_follows_a_final_response_is_malformed},
    {"a response without a final head is malformed", a_response_without_a_final_head_is_malformed},
    {"a request that is stopped still has its response",
     a_request_that_is_stopped_still_has_its_response},
    {"a request that is given up is cancelled", a_request_that_is_given_up_is_cancelled},
    {"connection specific fields of responses are malformed",
     connection_specific_fields_of_responses_are_malformed},
    {"unknown stream types are stopped and nothing else",
     unknown_stream_types_are_stopped_and_nothing_else},
    {"a second stream of a type is a stream creation error",
     a_second_stream_of_a_type_is_a_stream_creation_error},
    {"ending a critical stream is closed critical stream",
     ending_a_critical_stream_is_closed_critical_stream},
    {"a control stream without settings is missing settings",
     a_control_stream_without_settings_is_missing_settings},
    {"frames that are wrong on the control stream close",
     frames_that_are_wrong_on_the_control_stream_close},
    {"control frames on a request stream are frame unexpected",
     control_frames_on_a_request_stream_are_frame_unexpected},
    {"frames of a wrong length are frame errors", frames_of_a_wrong_length_are_frame_errors},
    {"a goaway that grows is an id error", a_goaway_that_grows_is_an_id_error},
    {"settings are checked", settings_are_checked},
    {"unknown frames are ignored everywhere", unknown_frames_are_ignored_everywhere},
    {"unknown error codes are codes like any", unknown_error_codes_are_codes_like_any},
    {"requests of a lost connection may have been processed",
     requests_of_a_lost_connection_may_have_been_processed},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9114, frames to a client", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
