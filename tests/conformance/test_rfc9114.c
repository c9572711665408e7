/*
 * RFC 9114, Section 4: messages.  The HTTP/3 server against a peer that sends any bytes.
 * The sentences quoted are the RFC's.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "http3/frame.h"
#include "tests/support/h3_cases.h"
#include "tests/unit/harness.h"

/* ---- Section 4.1: message framing ---- */

/* "In particular, a DATA frame before any HEADERS frame ... is considered invalid."  "DATA frames
 * MUST be associated with an HTTP request or response." (Section 7.2.1) */
static void data_before_headers_is_frame_unexpected(void)
{
    h3_begin_bytes();
    raw_put_frame(&h3_bytes, MR_H3_FRAME_DATA, "x", 1);
    h3_expect_close(false, true, MR_H3_FRAME_UNEXPECTED);
}

/* "... or a HEADERS or DATA frame after the trailing HEADERS frame, is considered invalid." */
static void frames_after_the_trailers_are_frame_unexpected(void)
{
    for (int kind = 0; kind < 2; kind++) {
        h3_begin_bytes();
        raw_put_get(&h3_section, "/a.txt");
        raw_put_headers(&h3_bytes, &h3_section);
        raw_begin_section(&h3_section);
        raw_put_field(&h3_section, "x-trailer", "1");
        raw_put_headers(&h3_bytes, &h3_section);
        raw_put_frame(&h3_bytes, kind == 0 ? MR_H3_FRAME_DATA : MR_H3_FRAME_HEADERS,
                      h3_section.data, h3_section.size);
        h3_expect_close(false, true, MR_H3_FRAME_UNEXPECTED);
    }
}

/* "... optionally, the trailer section, if present, sent as a single HEADERS frame." */
static void content_and_trailers_of_a_request_are_read_over(void)
{
    h3_begin_bytes();
    raw_put_get(&h3_section, "/a.txt");
    raw_put_field(&h3_section, "content-length", "5");
    raw_put_headers(&h3_bytes, &h3_section);
    raw_put_frame(&h3_bytes, MR_H3_FRAME_DATA, "ab", 2);
    raw_put_frame(&h3_bytes, MR_H3_FRAME_DATA, NULL, 0);
    raw_put_frame(&h3_bytes, MR_H3_FRAME_DATA, "cde", 3);
    raw_begin_section(&h3_section);
    raw_put_field(&h3_section, "x-trailer", "1");
    raw_put_headers(&h3_bytes, &h3_section);
    h3_expect_status(200);
}

/* "Frames of unknown types (Section 9), including reserved frames (Section 7.2.8) MAY be sent on a
 * request ... stream before, after, or interleaved with other frames" */
static void unknown_frames_are_ignored_everywhere(void)
{
    struct raw_server_test *test = raw_server_test_new(NULL, NULL);

    h3_begin_bytes();
    raw_put_control(&h3_bytes);
    raw_put_frame(&h3_bytes, 0x21, "abc", 3);
    raw_put_frame(&h3_bytes, 0x1f * 1000 + 0x21, NULL, 0);
    h3_send_new(test, true, false);
    h3_begin_bytes();
    raw_put_frame(&h3_bytes, 0x21, "abc", 3);
    raw_put_get(&h3_section, "/a.txt");
    raw_put_headers(&h3_bytes, &h3_section);
    raw_put_frame(&h3_bytes, 0x40, "abc", 3);
    raw_put_frame(&h3_bytes, MR_H3_FRAME_DATA, "x", 1);
    raw_put_frame(&h3_bytes, 0x1f * 7 + 0x21, "abc", 3);
    int stream = h3_send_new(test, false, true);
    CU_ASSERT_EQUAL(raw_status(&test->raw.streams[stream]), 200);
    h3_check_serves(test);
    raw_server_test_free(test);
}

/* "If a client-initiated stream terminates without enough of the HTTP message to provide a complete
 * response, the server SHOULD abort its response stream with the error code H3_REQUEST_INCOMPLETE."
 */
static void a_stream_without_a_request_is_request_incomplete(void)
{
    h3_begin_bytes();
    h3_expect_reset(MR_H3_REQUEST_INCOMPLETE);
    h3_begin_bytes();
    raw_put_frame(&h3_bytes, 0x21, "abc", 3);
    h3_expect_reset(MR_H3_REQUEST_INCOMPLETE);
}

/* "The error code H3_NO_ERROR SHOULD be used when requesting that the client stop sending on the
 * request stream." */
static void an_early_answer_stops_the_request_with_no_error(void)
{
    struct raw_server_test *test = h3_new_server();

    raw_put_field(&h3_section, ":method", "POST");
    raw_put_field(&h3_section, ":scheme", "https");
    raw_put_field(&h3_section, ":authority", "localhost");
    raw_put_field(&h3_section, ":path", "/a.txt");
    raw_put_headers(&h3_bytes, &h3_section);
    int stream = h3_send_new(test, false, false);
    CU_ASSERT_EQUAL(raw_status(&test->raw.streams[stream]), 405);
    CU_ASSERT_TRUE(test->raw.streams[stream].has_fin);
    CU_ASSERT_EQUAL(test->raw.streams[stream].stop_code, MR_H3_NO_ERROR);
    CU_ASSERT_EQUAL(test->raw.streams[stream].reset_code, RAW_NONE);
    h3_check_serves(test);
    raw_server_test_free(test);
}

/* ---- Sections 4.1.2, 4.2 and 4.3: malformed requests ---- */

static const struct {
    const char *why;
    const char *fields[12]; /* names and values */
} malformed[] = {
    {"no :method", {":scheme", "https", ":authority", "h", ":path", "/"}},
    {"no :scheme", {":method", "GET", ":authority", "h", ":path", "/"}},
    {"no :path", {":method", "GET", ":scheme", "https", ":authority", "h"}},
    {"no :authority and no host", {":method", "GET", ":scheme", "https", ":path", "/"}},
    {"two of :method",
     {":method", "GET", ":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/"}},
    {"two of :path",
     {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/", ":path", "/"}},
    {"unknown pseudo-header",
     {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/", ":x", "y"}},
    {":protocol without extended CONNECT",
     {":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "h",
      ":path", "/"}},
    {":status in a request",
     {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/", ":status", "200"}},
    {"pseudo-header after a field",
     {":method", "GET", ":scheme", "https", ":authority", "h", "x", "y", ":path", "/"}},
    {"empty :path", {":method", "GET", ":scheme", "https", ":authority", "h", ":path", ""}},
    {":path without /", {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "a"}},
    {":path of a star", {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "*"}},
    {":path with a blank",
     {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/a b"}},
    {"empty :authority", {":method", "GET", ":scheme", "https", ":authority", "", ":path", "/"}},
    {"user information", {":method", "GET", ":scheme", "https", ":authority", "u@h", ":path", "/"}},
    {"host differs",
     {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/", "host", "g"}},
    {"empty host", {":method", "GET", ":scheme", "https", ":path", "/", "host", ""}},
    {"empty :method", {":method", "", ":scheme", "https", ":authority", "h", ":path", "/"}},
    {":method with a blank",
     {":method", "G T", ":scheme", "https", ":authority", "h", ":path", "/"}},
    {"upper case",
     {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/", "Accept", "x"}},
    {"empty name",
     {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/", "", "x"}},
    {"name with a blank",
     {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/", "a b", "x"}},
    {"name with a colon inside",
     {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/", "a:b", "x"}},
    {"connection",
     {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/", "connection",
      "close"}},
    {"keep-alive",
     {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/", "keep-alive", "1"}},
    {"proxy-connection",
     {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/", "proxy-connection",
      "close"}},
    {"transfer-encoding",
     {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/", "transfer-encoding",
      "chunked"}},
    {"upgrade",
     {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/", "upgrade", "h2c"}},
    {"te that is not trailers",
     {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/", "te", "gzip"}},
    {"content-length that is none",
     {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/", "content-length",
      "-1"}},
    {"content-length too large to be one",
     {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/", "content-length",
      "99999999999999999999"}},
    {"content-length without content",
     {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/", "content-length",
      "1"}},
    {"CR in a value",
     {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/", "x", "a\rb"}},
    {"LF in a value",
     {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/", "x", "a\nb"}},
    {"CR LF and a field in a value",
     {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/", "x", "a\r\ny: z"}},
    {"LF in :path", {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/\n"}},
    {"LF in :authority", {":method", "GET", ":scheme", "https", ":authority", "h\n", ":path", "/"}},
    {"CONNECT with :path",
     {":method", "CONNECT", ":authority", "h:443", ":scheme", "https", ":path", "/"}},
    {"CONNECT without :authority", {":method", "CONNECT"}},
};

/* "Malformed requests or responses that are detected MUST be treated as a stream error of type
 * H3_MESSAGE_ERROR."  "Transfer codings (see Section 7 of [HTTP/1.1]) are not defined for HTTP/3;
 * the Transfer-Encoding header field MUST NOT be used." (Section 4.1)  "A request or response
 * containing uppercase characters in field names MUST be treated as malformed." (Section 4.2)  "The
 * only exception to this is the TE header field, which MAY be present in an HTTP/3 request header;
 * when it is, it MUST NOT contain any value other than "trailers"." (Section 4.2)  "Pseudo-header
 * fields defined for requests MUST NOT appear in responses; pseudo-header fields defined for
 * responses MUST NOT appear in requests." (Section 4.3)  "Endpoints MUST treat a request or
 * response that contains undefined or invalid pseudo-header fields as malformed." (Section 4.3)
 * "Any request or response that contains a pseudo-header field that appears in a header section
 * after a regular header field MUST be treated as malformed." (Section 4.3)  "A CONNECT request
 * MUST be constructed as follows:" (Section 4.4)  "Requests or responses containing invalid field
 * names MUST be treated as malformed." (Section 10.3)  "An endpoint MUST NOT generate an HTTP/3
 * field section containing connection-specific fields; any message containing connection-specific
 * fields MUST be treated as malformed." (Section 4.2) */
static void malformed_requests_are_message_errors_of_their_stream(void)
{
    for (size_t i = 0; i < MR_COUNT_OF(malformed); i++) {
        unsigned failures = CU_get_number_of_failures();
        h3_begin_bytes();
        for (size_t f = 0; f < MR_COUNT_OF(malformed[i].fields) && malformed[i].fields[f] != NULL;
             f += 2)
            raw_put_field(&h3_section, malformed[i].fields[f], malformed[i].fields[f + 1]);
        h3_expect_section_reset(MR_H3_MESSAGE_ERROR);
        if (CU_get_number_of_failures() != failures)
            printf("# in: %s\n", malformed[i].why);
    }
}

/* "Any request or response that contains a character not permitted in a field value MUST be treated
 * as malformed." (Section 10.3) */
static void nul_and_control_characters_in_values_are_message_errors(void)
{
    for (int c = 0; c < 0x20; c++) {
        char value[3] = {'a', (char)c, 'b'};
        if (c == '\t')
            continue;
        h3_begin_bytes();
        raw_put_get(&h3_section, "/a.txt");
        raw_put_field_bytes(&h3_section, "x", 1, value, sizeof(value));
        h3_expect_section_reset(MR_H3_MESSAGE_ERROR);
    }
}

/* "... values that might be present in ... :authority and Host": "If both fields are present, they
 * MUST contain the same value." */
static void host_alone_or_the_same_as_authority_is_fine(void)
{
    h3_begin_bytes();
    raw_put_get(&h3_section, "/a.txt");
    raw_put_field(&h3_section, "host", "localhost");
    raw_put_field(&h3_section, "te", "trailers");
    raw_put_field(&h3_section, "x-blank", "a\tb c");
    raw_put_headers(&h3_bytes, &h3_section);
    h3_expect_status(200);

    h3_begin_bytes();
    raw_put_field(&h3_section, ":method", "GET");
    raw_put_field(&h3_section, ":scheme", "https");
    raw_put_field(&h3_section, ":path", "/a.txt");
    raw_put_field(&h3_section, "host", "localhost");
    raw_put_headers(&h3_bytes, &h3_section);
    h3_expect_status(200);
}

/* "A request or response that is defined as having content when it contains a Content-Length header
 * field ... is malformed if the value of the Content-Length header field does not equal the sum of
 * the DATA frame lengths received." */
static void content_that_differs_from_content_length_is_a_message_error(void)
{
    static const char *const lengths[] = {"1", "3", "1000000"};

    for (size_t i = 0; i < MR_COUNT_OF(lengths); i++) {
        h3_begin_bytes();
        raw_put_get(&h3_section, "/a.txt");
        raw_put_field(&h3_section, "content-length", lengths[i]);
        raw_put_headers(&h3_bytes, &h3_section);
        raw_put_frame(&h3_bytes, MR_H3_FRAME_DATA, "ab", 2);
        h3_expect_reset(MR_H3_MESSAGE_ERROR);
    }
}

/* "Pseudo-header fields MUST NOT appear in trailer sections." */
static void pseudo_headers_in_trailers_are_a_message_error(void)
{
    h3_begin_bytes();
    raw_put_get(&h3_section, "/a.txt");
    raw_put_headers(&h3_bytes, &h3_section);
    raw_begin_section(&h3_section);
    raw_put_field(&h3_section, ":path", "/");
    raw_put_headers(&h3_bytes, &h3_section);
    h3_expect_reset(MR_H3_MESSAGE_ERROR);
}

/* "On a given stream, receipt of multiple requests ... MUST be treated as malformed." */
static void a_second_request_on_a_stream_is_a_message_error(void)
{
    h3_begin_bytes();
    raw_put_get(&h3_section, "/a.txt");
    raw_put_headers(&h3_bytes, &h3_section);
    raw_put_headers(&h3_bytes, &h3_section);
    h3_expect_reset(MR_H3_MESSAGE_ERROR);
}

/* "A server that receives a larger header section than it is willing to handle can send an HTTP 431
 * (Request Header Fields Too Large) status code" */
static void sections_over_a_limit_are_answered_with_431(void)
{
    static char value[30000];
    memset(value, 'a', sizeof(value));

    h3_begin_bytes(); /* longer than any section we take: not even decoded */
    raw_put_get(&h3_section, "/a.txt");
    raw_put_field_bytes(&h3_section, "x", 1, value, sizeof(value));
    raw_put_headers(&h3_bytes, &h3_section);
    h3_expect_status(431);

    h3_begin_bytes(); /* its size counts 32 bytes for each field */
    raw_put_get(&h3_section, "/a.txt");
    for (int i = 0; i < 100; i++)
        raw_put_field_bytes(&h3_section, "x", 1, value, 140);
    raw_put_headers(&h3_bytes, &h3_section);
    h3_expect_status(431);

    h3_begin_bytes(); /* too many */
    raw_put_get(&h3_section, "/a.txt");
    for (int i = 0; i < 200; i++)
        raw_put_field(&h3_section, "x", "");
    raw_put_headers(&h3_bytes, &h3_section);
    h3_expect_status(431);
}

CU_TestInfo rfc9114_tests[] = {
    {"data before headers is frame unexpected", data_before_headers_is_frame_unexpected},
    {"frames after the trailers are frame unexpected",
     frames_after_the_trailers_are_frame_unexpected},
    {"content and trailers of a request are read over",
     content_and_trailers_of_a_request_are_read_over},
    {"unknown frames are ignored everywhere", unknown_frames_are_ignored_everywhere},
    {"a stream without a request is request incomplete",
     a_stream_without_a_request_is_request_incomplete},
    {"an early answer stops the request with no error",
     an_early_answer_stops_the_request_with_no_error},
    {"malformed requests are message errors of their stream",
     malformed_requests_are_message_errors_of_their_stream},
    {"nul and control characters in values are message errors",
     nul_and_control_characters_in_values_are_message_errors},
    {"host alone or the same as authority is fine", host_alone_or_the_same_as_authority_is_fine},
    {"content that differs from content length is a message error",
     content_that_differs_from_content_length_is_a_message_error},
    {"pseudo headers in trailers are a message error",
     pseudo_headers_in_trailers_are_a_message_error},
    {"a second request on a stream is a message error",
     a_second_request_on_a_stream_is_a_message_error},
    {"sections over a limit are answered with 431", sections_over_a_limit_are_answered_with_431},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9114, messages", .pTests = rfc9114_tests},
    CU_SUITE_INFO_NULL,
};
