/*
 * RFC 9114, Sections 5 to 7: shutdown, streams, frames.  The HTTP/3 server against a peer that
 * sends any bytes. The sentences quoted are the RFC's.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "http3/frame.h"
#include "http3/h3_conn.h"
#include "tests/support/h3_cases.h"
#include "tests/unit/harness.h"

/* ---- Section 5.2 ---- */

/* "Receiving a GOAWAY containing a larger identifier than previously received MUST be treated as a
 * connection error of type H3_ID_ERROR." */
static void a_goaway_that_grows_is_an_id_error(void)
{
    h3_begin_bytes();
    raw_put_control(&h3_bytes);
    raw_put_id_frame(&h3_bytes, MR_H3_FRAME_GOAWAY, 4);
    raw_put_id_frame(&h3_bytes, MR_H3_FRAME_GOAWAY, 5);
    h3_expect_control_close(MR_H3_ID_ERROR);
}

/* "The GOAWAY frame contains an identifier that indicates to the receiver the range of requests ...
 * that were or might be processed" */
static void goaway_names_the_first_request_that_is_not_processed(void)
{
    struct raw_server_test *test = h3_new_server();
    size_t size;

    h3_check_serves(test);
    h3_begin_bytes();
    raw_put_get(&h3_section, "/a.txt");
    raw_put_headers(&h3_bytes, &h3_section);
    int open = h3_send_new(test, false, false); /* its end is still to come */
    loop_go_away(test->loop, 1);
    loop_run(test->loop, H3_STEPS);
    int late = h3_send_new(test, false, true);

    const struct raw_stream *control = raw_find_uni(&test->raw, MR_H3_STREAM_CONTROL);
    const uint8_t *payload = raw_find_frame(control, 1, MR_H3_FRAME_GOAWAY, &size);
    CU_ASSERT_PTR_NOT_NULL_FATAL(payload);
    CU_ASSERT_EQUAL(size, 1);
    CU_ASSERT_EQUAL(payload[0], test->raw.streams[open].id + 4);
    CU_ASSERT_EQUAL(test->raw.streams[late].reset_code, MR_H3_REQUEST_REJECTED);
    CU_ASSERT_EQUAL(test->raw.streams[late].stop_code, RAW_NONE); /* it had ended */
    CU_ASSERT_EQUAL(test->raw.close_code, RAW_NONE);
    h3_bytes.size = 0;
    raw_send(&test->raw, open, &h3_bytes, true);
    loop_run(test->loop, H3_STEPS);
    CU_ASSERT_EQUAL(raw_status(&test->raw.streams[open]), 200);
    raw_server_test_free(test);
}

/* "An endpoint that completes a graceful shutdown SHOULD use the H3_NO_ERROR error code when
 * closing the connection."  The client may still have to read what it has acknowledged: it gets a
 * while to close. */
static void a_drained_server_closes_when_the_client_has_not(void)
{
    struct raw_server_test *test = h3_new_server();

    h3_check_serves(test);
    loop_go_away(test->loop, 1);
    loop_pass(test->loop, MR_H3_LINGER_NS / 2);
    CU_ASSERT_FALSE(test->raw.is_closed);
    loop_pass(test->loop, MR_H3_LINGER_NS / 2);
    h3_check_closed(test, MR_H3_NO_ERROR);
    raw_server_test_free(test);
}

static void a_drained_server_closes_at_once_what_was_quiet_for_a_while(void)
{
    struct raw_server_test *test = h3_new_server();

    h3_check_serves(test);
    loop_pass(test->loop, MR_H3_LINGER_NS);
    CU_ASSERT_FALSE(test->raw.is_closed);
    loop_go_away(test->loop, 1);
    loop_run(test->loop, H3_STEPS);
    h3_check_closed(test, MR_H3_NO_ERROR);
    raw_server_test_free(test);
}

/* ---- Section 6.2: unidirectional streams ---- */

/* Streams that the server opened: control and QPACK decoder. */
static uint32_t count_uni(const struct raw_server_test *test)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < test->raw.stream_count; i++)
        count += !test->raw.streams[i].is_ours && (test->raw.streams[i].id & 2) != 0 &&
                 !raw_is_reserved(&test->raw.streams[i]);
    return count;
}

/* "The recipient MUST NOT consider unknown stream types to be a connection error of any kind."
 * "Endpoints MUST NOT consider these streams to have any meaning upon receipt." (Section 6.2.3) */
static void unknown_stream_types_are_stopped_and_nothing_else(void)
{
    struct raw_server_test *test = h3_new_server();

    raw_put_varint(&h3_bytes, 0x21);
    raw_put(&h3_bytes, "some bytes", 10);
    int stream = h3_send_new(test, true, false);
    CU_ASSERT_EQUAL(test->raw.streams[stream].stop_code, MR_H3_STREAM_CREATION_ERROR);
    h3_begin_bytes();
    raw_put_varint(&h3_bytes, UINT64_C(0x1f) * 123456789 + 0x21);
    h3_send_new(test, true, true);
    h3_check_serves(test);
    CU_ASSERT_EQUAL(count_uni(test), 2);
    raw_server_test_free(test);
}

/* "A receiver MUST tolerate unidirectional streams being closed or reset prior to the reception of
 * the unidirectional stream header." */
static void streams_that_end_before_their_type_are_tolerated(void)
{
    struct raw_server_test *test = h3_new_server();

    h3_send_new(test, true, true);
    raw_put(&h3_bytes, "\x40", 1); /* half a type */
    h3_send_new(test, true, true);
    int stream = h3_send_new(test, true, false);
    raw_reset(&test->raw, stream, MR_H3_NO_ERROR);
    loop_run(test->loop, H3_STEPS);
    h3_check_serves(test);
    raw_server_test_free(test);
}

/* "Each side MUST initiate a single control stream at the beginning of the connection and send its
 * SETTINGS frame as the first frame on this stream."  "After the QUIC connection is established, a
 * SETTINGS frame MUST be sent by each endpoint as the initial frame of their respective HTTP
 * control stream." (Section 3.2)  "The server MUST include all settings that differ from their
 * default values." (Section 7.2.4.2) */
static void the_server_sends_settings_first_without_waiting(void)
{
    struct raw_server_test *test = raw_server_test_new(NULL, NULL);
    struct mr_h3_settings settings;
    size_t size;

    const struct raw_stream *control = raw_find_uni(&test->raw, MR_H3_STREAM_CONTROL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(control);
    CU_ASSERT_EQUAL(control->in.data[1], MR_H3_FRAME_SETTINGS);
    const uint8_t *payload = raw_find_frame(control, 1, MR_H3_FRAME_SETTINGS, &size);
    CU_ASSERT_PTR_NOT_NULL_FATAL(payload);
    CU_ASSERT_EQUAL(mr_h3_settings_parse(payload, size, &settings), 0);
    CU_ASSERT_EQUAL(settings.field_section_max, 16384);
    CU_ASSERT_EQUAL(settings.qpack_capacity, 4096);
    CU_ASSERT_EQUAL(settings.qpack_blocked_max, 0);
    raw_server_test_free(test);
}

/* "If the first frame of the control stream is any other frame type, this MUST be treated as a
 * connection error of type H3_MISSING_SETTINGS." */
static void a_control_stream_without_settings_is_missing_settings(void)
{
    static const uint64_t types[] = {MR_H3_FRAME_GOAWAY, 0x21, MR_H3_FRAME_DATA,
                                     MR_H3_FRAME_MAX_PUSH_ID};

    for (size_t i = 0; i < MR_COUNT_OF(types); i++) {
        h3_begin_bytes();
        raw_put_varint(&h3_bytes, MR_H3_STREAM_CONTROL);
        raw_put_id_frame(&h3_bytes, types[i], 0);
        h3_expect_control_close(MR_H3_MISSING_SETTINGS);
    }
}

/* "receipt of a second stream claiming to be a control stream MUST be treated as a connection error
 * of type H3_STREAM_CREATION_ERROR"  "Receipt of a second instance of either stream type MUST be
 * treated as a connection error of type H3_STREAM_CREATION_ERROR." (RFC 9204, Section 4.2) */
static void a_second_stream_of_a_type_is_a_stream_creation_error(void)
{
    for (uint64_t type = 0; type < 4; type++) {
        struct raw_server_test *test = raw_server_test_new(NULL, NULL);
        if (type == MR_H3_STREAM_PUSH) {
            raw_server_test_free(test);
            continue;
        }
        for (int i = 0; i < 2; i++) {
            h3_begin_bytes();
            raw_put_varint(&h3_bytes, type);
            h3_send_new(test, true, false);
            CU_ASSERT_EQUAL(test->raw.is_closed, i == 1);
        }
        h3_check_closed(test, MR_H3_STREAM_CREATION_ERROR);
        raw_server_test_free(test);
    }
}

/* "If either control stream is closed at any point, this MUST be treated as a connection error of
 * type H3_CLOSED_CRITICAL_STREAM." */
static void ending_a_critical_stream_is_closed_critical_stream(void)
{
    static const uint64_t types[] = {MR_H3_STREAM_CONTROL, MR_H3_STREAM_QPACK_ENCODER,
                                     MR_H3_STREAM_QPACK_DECODER};

    for (size_t i = 0; i < MR_COUNT_OF(types); i++) {
        for (int way = 0; way < 2; way++) {
            struct raw_server_test *test = raw_server_test_new(NULL, NULL);
            h3_begin_bytes();
            if (types[i] == MR_H3_STREAM_CONTROL)
                raw_put_control(&h3_bytes);
            else
                raw_put_varint(&h3_bytes, types[i]);
            int stream = h3_send_new(test, true, way == 0);
            if (way == 1)
                raw_reset(&test->raw, stream, MR_H3_NO_ERROR);
            loop_run(test->loop, H3_STEPS);
            h3_check_closed(test, MR_H3_CLOSED_CRITICAL_STREAM);
            raw_server_test_free(test);
        }
    }
}

/* "... and the receiver MUST NOT request that the sender close the control stream." */
static void stopping_our_control_stream_is_closed_critical_stream(void)
{
    struct raw_server_test *test = h3_new_server();
    const struct raw_stream *control = raw_find_uni(&test->raw, MR_H3_STREAM_CONTROL);

    CU_ASSERT_PTR_NOT_NULL_FATAL(control);
    raw_stop(&test->raw, (int)(control - test->raw.streams), MR_H3_NO_ERROR);
    loop_run(test->loop, H3_STEPS);
    h3_check_closed(test, MR_H3_CLOSED_CRITICAL_STREAM);
    raw_server_test_free(test);
}

/* "Only servers can push; if a server receives a client-initiated push stream, this MUST be treated
 * as a connection error of type H3_STREAM_CREATION_ERROR." */
static void a_push_stream_to_the_server_is_a_stream_creation_error(void)
{
    h3_begin_bytes();
    raw_put_varint(&h3_bytes, MR_H3_STREAM_PUSH);
    raw_put_varint(&h3_bytes, 0);
    h3_expect_close(true, false, MR_H3_STREAM_CREATION_ERROR);
}

/* ---- Section 7: frames ---- */

/* "A frame payload that contains additional bytes after the identified fields or a frame payload
 * that terminates before the end of the identified fields MUST be treated as a connection error of
 * type H3_FRAME_ERROR."  "In particular, redundant length encodings MUST be verified to be
 * self-consistent; see Section 10.8." (Section 7.1)  "An implementation MUST ensure that the length
 * of a frame exactly matches the length of the fields it contains." (Section 10.8) */
static void payloads_of_a_wrong_length_are_frame_errors(void)
{
    static const uint64_t types[] = {MR_H3_FRAME_GOAWAY, MR_H3_FRAME_MAX_PUSH_ID};
    static const struct {
        const char *payload;
        size_t size;
    } payloads[] = {{"", 0}, {"\x40", 1}, {"\x01\x01", 2}, {"\x01\0\0\0\0\0\0\0\0", 9}};

    for (size_t t = 0; t < MR_COUNT_OF(types); t++) {
        for (size_t p = 0; p < MR_COUNT_OF(payloads); p++) {
            h3_begin_bytes();
            raw_put_control(&h3_bytes);
            raw_put_frame(&h3_bytes, types[t], payloads[p].payload, payloads[p].size);
            h3_expect_control_close(MR_H3_FRAME_ERROR);
        }
    }
    h3_begin_bytes();
    raw_put_varint(&h3_bytes, MR_H3_STREAM_CONTROL);
    raw_put_frame(&h3_bytes, MR_H3_FRAME_SETTINGS, "\x06", 1); /* an identifier without its value */
    h3_expect_control_close(MR_H3_FRAME_ERROR);
}

/* "When a stream terminates cleanly, if the last frame on the stream was truncated, this MUST be
 * treated as a connection error of type H3_FRAME_ERROR." */
static void a_stream_that_ends_inside_a_frame_is_a_frame_error(void)
{
    h3_begin_bytes();
    raw_put_get(&h3_section, "/a.txt");
    raw_put_headers(&h3_bytes, &h3_section);
    size_t whole = h3_bytes.size;
    for (size_t size = 1; size < whole; size++) {
        h3_bytes.size = size;
        h3_expect_close(false, true, MR_H3_FRAME_ERROR);
    }
    h3_bytes.size = whole;
    raw_put(&h3_bytes,
            "\x00\x05"
            "abc",
            5); /* two bytes of DATA are missing */
    h3_expect_close(false, true, MR_H3_FRAME_ERROR);
}

/* "If a DATA frame is received on a control stream, the recipient MUST respond with a connection
 * error of type H3_FRAME_UNEXPECTED." and so for HEADERS, PUSH_PROMISE and a second SETTINGS */
static void request_frames_on_the_control_stream_are_frame_unexpected(void)
{
    static const uint64_t types[] = {MR_H3_FRAME_DATA, MR_H3_FRAME_HEADERS,
                                     MR_H3_FRAME_PUSH_PROMISE, MR_H3_FRAME_SETTINGS};

    for (size_t i = 0; i < MR_COUNT_OF(types); i++) {
        h3_begin_bytes();
        raw_put_control(&h3_bytes);
        raw_put_frame(&h3_bytes, types[i], NULL, 0);
        h3_expect_control_close(MR_H3_FRAME_UNEXPECTED);
    }
}

/* "If an endpoint receives a SETTINGS frame on a different stream, the endpoint MUST respond with a
 * connection error of type H3_FRAME_UNEXPECTED." and so for CANCEL_PUSH, PUSH_PROMISE, GOAWAY and
 * MAX_PUSH_ID  "A server MUST treat the receipt of a PUSH_PROMISE frame as a connection error of
 * type H3_FRAME_UNEXPECTED." (Section 7.2.5) */
static void control_frames_on_a_request_stream_are_frame_unexpected(void)
{
    static const uint64_t types[] = {MR_H3_FRAME_SETTINGS,
                                     MR_H3_FRAME_CANCEL_PUSH,
                                     MR_H3_FRAME_PUSH_PROMISE,
                                     MR_H3_FRAME_GOAWAY,
                                     MR_H3_FRAME_MAX_PUSH_ID,
                                     0xf0700,
                                     0xf0701};

    for (size_t i = 0; i < MR_COUNT_OF(types); i++) {
        h3_begin_bytes();
        raw_put_id_frame(&h3_bytes, types[i], 0);
        h3_expect_close(false, false, MR_H3_FRAME_UNEXPECTED);
    }
}

/* "These frame types MUST NOT be sent, and their receipt MUST be treated as a connection error of
 * type H3_FRAME_UNEXPECTED." */
static void frame_types_of_http2_are_frame_unexpected(void)
{
    static const uint64_t types[] = {0x02, 0x06, 0x08, 0x09};

    for (size_t i = 0; i < MR_COUNT_OF(types); i++) {
        h3_begin_bytes();
        raw_put_frame(&h3_bytes, types[i], "12345678", 8);
        h3_expect_close(false, false, MR_H3_FRAME_UNEXPECTED);
        h3_begin_bytes();
        raw_put_control(&h3_bytes);
        raw_put_frame(&h3_bytes, types[i], "12345678", 8);
        h3_expect_control_close(MR_H3_FRAME_UNEXPECTED);
    }
}

/* "If a server receives a CANCEL_PUSH frame for a push ID that has not yet been mentioned by a
 * PUSH_PROMISE frame, this MUST be treated as a connection error of type H3_ID_ERROR." */
static void cancelling_a_push_that_was_never_promised_is_an_id_error(void)
{
    h3_begin_bytes();
    raw_put_control(&h3_bytes);
    raw_put_id_frame(&h3_bytes, MR_H3_FRAME_CANCEL_PUSH, 0);
    h3_expect_control_close(MR_H3_ID_ERROR);
}

/* "receipt of a MAX_PUSH_ID frame that contains a smaller value than previously received MUST be
 * treated as a connection error of type H3_ID_ERROR" */
static void a_push_limit_that_shrinks_is_an_id_error(void)
{
    h3_begin_bytes();
    raw_put_control(&h3_bytes);
    raw_put_id_frame(&h3_bytes, MR_H3_FRAME_MAX_PUSH_ID, 8);
    raw_put_id_frame(&h3_bytes, MR_H3_FRAME_MAX_PUSH_ID, 8);
    raw_put_id_frame(&h3_bytes, MR_H3_FRAME_MAX_PUSH_ID, 7);
    h3_expect_control_close(MR_H3_ID_ERROR);
}

/* "The same setting identifier MUST NOT occur more than once in the SETTINGS frame.  A receiver MAY
 * treat the presence of duplicate setting identifiers as a connection error of type
 * H3_SETTINGS_ERROR." "Setting identifiers that were defined in [HTTP/2] ... their receipt MUST be
 * treated as a connection error of type H3_SETTINGS_ERROR." */
static void forbidden_settings_are_settings_errors(void)
{
    static const struct {
        const char *payload;
        size_t size;
    } cases[] = {
        {"\x02\x00", 2},         {"\x03\x01", 2},         {"\x04\x01", 2}, {"\x05\x01", 2},
        {"\x06\x3f\x06\x3f", 4}, {"\x01\x00\x01\x00", 4}, {"\x33\x02", 2}, {"\x08\x02", 2},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        h3_begin_bytes();
        raw_put_varint(&h3_bytes, MR_H3_STREAM_CONTROL);
        raw_put_frame(&h3_bytes, MR_H3_FRAME_SETTINGS, cases[i].payload, cases[i].size);
        h3_expect_control_close(MR_H3_SETTINGS_ERROR);
    }
}

/* "An implementation MUST ignore any parameter with an identifier it does not understand."
 * "Endpoints MUST NOT consider such settings to have any meaning upon receipt." (Section 7.2.4.1)
 */
static void unknown_settings_are_ignored(void)
{
    struct raw_server_test *test = raw_server_test_new(NULL, NULL);

    h3_begin_bytes();
    raw_put_varint(&h3_bytes, MR_H3_STREAM_CONTROL);
    raw_put_frame(&h3_bytes, MR_H3_FRAME_SETTINGS, "\x21\x05\x40\x99\x01\x21\x06", 7);
    h3_send_new(test, true, false);
    h3_check_serves(test);
    raw_server_test_free(test);
}

CU_TestInfo rfc9114_frames_tests[] = {
    {"a goaway that grows is an id error", a_goaway_that_grows_is_an_id_error},
    {"goaway names the first request that is not processed",
     goaway_names_the_first_request_that_is_not_processed},
    {"a drained server closes when the client has not",
     a_drained_server_closes_when_the_client_has_not},
    {"a drained server closes at once what was quiet for a while",
     a_drained_server_closes_at_once_what_was_quiet_for_a_while},
    {"unknown stream types are stopped and nothing else",
     unknown_stream_types_are_stopped_and_nothing_else},
    {"streams that end before their type are tolerated",
     streams_that_end_before_their_type_are_tolerated},
    {"the server sends settings first without waiting",
     the_server_sends_settings_first_without_waiting},
    {"a control stream without settings is missing settings",
     a_control_stream_without_settings_is_missing_settings},
    {"a second stream of a type is a stream creation error",
     a_second_stream_of_a_type_is_a_stream_creation_error},
    {"ending a critical stream is closed critical stream",
     ending_a_critical_stream_is_closed_critical_stream},
    {"stopping our control stream is closed critical stream",
     stopping_our_control_stream_is_closed_critical_stream},
    {"a push stream to the server is a stream creation error",
     a_push_stream_to_the_server_is_a_stream_creation_error},
    {"payloads of a wrong length are frame errors", payloads_of_a_wrong_length_are_frame_errors},
    {"a stream that ends inside a frame is a frame error",
     a_stream_that_ends_inside_a_frame_is_a_frame_error},
    {"request frames on the control stream are frame unexpected",
     request_frames_on_the_control_stream_are_frame_unexpected},
    {"control frames on a request stream are frame unexpected",
     control_frames_on_a_request_stream_are_frame_unexpected},
    {"frame types of http2 are frame unexpected", frame_types_of_http2_are_frame_unexpected},
    {"cancelling a push that was never promised is an id error",
     cancelling_a_push_that_was_never_promised_is_an_id_error},
    {"a push limit that shrinks is an id error", a_push_limit_that_shrinks_is_an_id_error},
    {"forbidden settings are settings errors", forbidden_settings_are_settings_errors},
    {"unknown settings are ignored", unknown_settings_are_ignored},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9114, streams and frames", .pTests = rfc9114_frames_tests},
    CU_SUITE_INFO_NULL,
};
