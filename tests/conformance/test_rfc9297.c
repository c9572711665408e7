/*
 * RFC 9220 (extended CONNECT), RFC 8441 and RFC 9297 (HTTP datagrams, capsules), as server and
 * client take them from a peer that sends any bytes.  The sentences quoted are the RFCs'.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "http3/frame.h"
#include "http3/server_internal.h"
#include "tests/support/h3_cases.h"
#include "tests/unit/harness.h"

/* ------------------------------------------------------------------ a server with tunnels */

static struct {
    uint32_t requests, datagrams, ends;
    int error;
    size_t size; /* of the last datagram */
    char last[64];
    struct mr_http3_tunnel *tunnel;
    uint32_t verdict;
} app;

static uint32_t on_request(void *context, struct mr_http3_tunnel *tunnel,
                           const struct mr_http3_tunnel_request *request)
{
    (void)context;
    app.requests++;
    app.tunnel = tunnel;
    CU_ASSERT_EQUAL(mr_http3_tunnel_send(tunnel, "x", 1), -ENOTCONN); /* not yet one */
    return strcmp(request->protocol, "test") == 0 ? app.verdict : 501;
}

static void on_datagram(void *context, struct mr_http3_tunnel *tunnel, const void *data,
                        size_t size)
{
    (void)context;
    CU_ASSERT_PTR_EQUAL(tunnel, app.tunnel);
    app.datagrams++;
    app.size = size;
    snprintf(app.last, sizeof(app.last), "%.*s", (int)size, (const char *)data);
}

static void on_end(void *context, struct mr_http3_tunnel *tunnel, int error, const char *reason)
{
    (void)context;
    (void)tunnel;
    (void)reason;
    app.ends++;
    app.error = error;
}

static const struct mr_http3_tunnel_handlers handlers = {
    .on_request = on_request, .on_datagram = on_datagram, .on_end = on_end};

static struct raw_server_test *new_server(void)
{
    struct mr_h3_server_config config = mr_h3_server_config_default(4);
    struct loop_config loop = loop_config_default(1);

    memset(&app, 0, sizeof(app));
    app.verdict = 200;
    config.tunnels = &handlers;
    config.tunnels_max = 20;
    loop.datagram_max = 1200;
    loop.bidi_max = 30;
    loop.datagram_queue_max = 64;
    struct raw_server_test *test = raw_server_test_new(&config, &loop);
    h3_begin_bytes();
    raw_put_control(&h3_bytes);
    h3_send_new(test, true, false);
    h3_begin_bytes();
    return test;
}

/* The fields of an extended CONNECT, without those whose letter is in `without`. */
static void put_connect(const char *without)
{
    static const char *const fields[][2] = {{":method", "CONNECT"},
                                            {":protocol", "test"},
                                            {":scheme", "https"},
                                            {":authority", "host"},
                                            {":path", "/x"}};
    static const char letters[] = "mpsau";

    h3_begin_bytes();
    for (size_t i = 0; i < MR_COUNT_OF(fields); i++) {
        if (strchr(without, letters[i]) == NULL)
            raw_put_field(&h3_section, fields[i][0], fields[i][1]);
    }
}

/* Open a tunnel; the index of its stream. */
static int open_tunnel(struct raw_server_test *test)
{
    put_connect("");
    raw_put_field(&h3_section, "capsule-protocol", "?1");
    raw_put_headers(&h3_bytes, &h3_section);
    int stream = h3_send_new(test, false, false);
    h3_begin_bytes();
    return stream;
}

/* Send `content` in a DATA frame. */
static void send_content(struct raw_server_test *test, int stream, const void *content, size_t size,
                         bool is_last)
{
    h3_begin_bytes();
    raw_put_frame(&h3_bytes, MR_H3_FRAME_DATA, content, size);
    raw_send(&test->raw, stream, &h3_bytes, is_last);
    CU_ASSERT_TRUE(loop_run(test->loop, H3_STEPS));
}

static void send_datagram(struct raw_server_test *test, const void *bytes, size_t size)
{
    struct mr_transport *t = test->raw.transport;
    struct mr_view view = {bytes, size};

    CU_ASSERT_EQUAL(t->ops->send_datagram(t, test->raw.conn, &view, 1), 0);
    CU_ASSERT_TRUE(loop_run(test->loop, H3_STEPS));
}

#define CONTENT(test, stream, s) send_content(test, stream, s, sizeof(s) - 1, false)
#define DATAGRAM(test, s)        send_datagram(test, s, sizeof(s) - 1)

/* The section just put is refused: H3_MESSAGE_ERROR on the stream. */
static void expect_malformed(struct raw_server_test *test)
{
    raw_put_headers(&h3_bytes, &h3_section);
    int stream = h3_send_new(test, false, true);

    CU_ASSERT_EQUAL(test->raw.streams[stream].reset_code, MR_H3_MESSAGE_ERROR);
    CU_ASSERT_FALSE(test->raw.is_closed);
    CU_ASSERT_EQUAL(app.requests, 0);
}

/* RFC 9220, Section 3: "SETTINGS_ENABLE_CONNECT_PROTOCOL"; RFC 9297, Section 2.1.1:
 * "SETTINGS_H3_DATAGRAM (0x33) setting with a value of 1".  A server without tunnels offers
 * neither.  "The value of the SETTINGS_H3_DATAGRAM setting MUST be either 0 or 1." (Section 2.1.1)
 */
static void settings_say_what_is_taken(void)
{
    for (int has = 0; has < 2; has++) {
        struct raw_server_test *test = has ? new_server() : h3_new_server();
        const struct raw_stream *control = raw_find_uni(&test->raw, MR_H3_STREAM_CONTROL);
        struct mr_h3_settings settings;
        size_t size;
        CU_ASSERT_PTR_NOT_NULL_FATAL(control);
        const uint8_t *payload = raw_find_frame(control, 1, MR_H3_FRAME_SETTINGS, &size);
        CU_ASSERT_PTR_NOT_NULL_FATAL(payload);
        CU_ASSERT_EQUAL(mr_h3_settings_parse(payload, size, &settings), 0);
        CU_ASSERT_EQUAL(settings.has_connect_protocol, has == 1);
        CU_ASSERT_EQUAL(settings.has_datagrams, has == 1);
        raw_server_test_free(test);
    }
}

/* RFC 9297, Section 2.1.1: "If the SETTINGS_H3_DATAGRAM setting is received with a value that is
 * neither 0 nor 1, the receiver MUST terminate the connection with error H3_SETTINGS_ERROR." */
static void a_setting_of_another_value_is_an_error(void)
{
    h3_begin_bytes();
    raw_put_varint(&h3_bytes, MR_H3_STREAM_CONTROL);
    raw_put_frame(&h3_bytes, MR_H3_FRAME_SETTINGS, "\x33\x02", 2);
    h3_expect_control_close(MR_H3_SETTINGS_ERROR);
    h3_begin_bytes();
    raw_put_varint(&h3_bytes, MR_H3_STREAM_CONTROL);
    raw_put_frame(&h3_bytes, MR_H3_FRAME_SETTINGS, "\x08\x02", 2);
    h3_expect_control_close(MR_H3_SETTINGS_ERROR);
}

/* RFC 9220, Section 3: "The semantics of the pseudo-header fields and setting are identical to
 * those in HTTP/2 as defined in [RFC8441]": beside :protocol there are method, scheme, path and
 * authority.
 */
static void an_extended_connect_is_whole(void)
{
    static const char *const missing[] = {"s", "u", "a", "m", "su"};
    struct raw_server_test *test = new_server();

    for (size_t i = 0; i < MR_COUNT_OF(missing); i++) {
        put_connect(missing[i]);
        expect_malformed(test);
    }
    put_connect(""); /* twice */
    raw_put_field(&h3_section, ":protocol", "test");
    expect_malformed(test);
    h3_begin_bytes(); /* a GET has none */
    raw_put_get(&h3_section, "/a.txt");
    raw_put_field(&h3_section, ":protocol", "test");
    expect_malformed(test);
    put_connect("p");
    raw_put_field(&h3_section, ":protocol", "te st");
    expect_malformed(test);
    h3_check_serves(test);
    raw_server_test_free(test);
}

/* A pseudo-header field that was not negotiated is not defined (RFC 9114, Section 4.3). */
static void a_server_without_tunnels_knows_no_protocol(void)
{
    put_connect("");
    h3_expect_section_reset(MR_H3_MESSAGE_ERROR);
}

/* RFC 9297, Section 3.2: "The Capsule Protocol MUST NOT be used with messages that contain
 * Content-Length, Content-Type, or Transfer-Encoding header fields. ... A receiver that observes a
 * violation of these requirements MUST treat the HTTP message as malformed." */
static void capsules_and_content_exclude_each_other(void)
{
    static const char *const fields[][2] = {{"content-length", "5"}, {"content-type", "a/b"}};
    struct raw_server_test *test = new_server();

    for (size_t i = 0; i < MR_COUNT_OF(fields); i++) {
        put_connect("");
        raw_put_field(&h3_section, "capsule-protocol", "?1");
        raw_put_field(&h3_section, fields[i][0], fields[i][1]);
        expect_malformed(test);
    }
    raw_server_test_free(test);
}

/* RFC 9297, Section 3.4: "Its value MUST be a Boolean; any other value type MUST be handled as if
 * the field were not present by recipients (for example, if this field is included multiple times,
 * its type will become a List and the field will be ignored)."  "Receivers MUST ignore unknown
 * parameters." */
static void capsule_protocol_is_true_or_not_there(void)
{
    static const struct {
        const char *value;
        int times;
        bool is_true;
    } cases[] = {
        {"?1", 1, true},      {"?1;a=1", 1, true}, {"?1; a;b=\"x\"", 1, true},
        {"?1", 2, false},     {"?1", 3, false},    {"?0", 1, false},
        {"1", 1, false},      {"true", 1, false},  {"\"?1\"", 1, false},
        {"?1x", 1, false},    {"?1 x", 1, false},  {"?1;", 1, false},
        {"?1, ?1", 1, false},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct raw_server_test *test = new_server();
        put_connect("");
        for (int n = 0; n < cases[i].times; n++)
            raw_put_field(&h3_section, "capsule-protocol", cases[i].value);
        raw_put_field(&h3_section, "content-type", "a/b"); /* forbidden beside a true one */
        raw_put_headers(&h3_bytes, &h3_section);
        int stream = h3_send_new(test, false, false);
        CU_ASSERT_EQUAL(test->raw.streams[stream].reset_code == MR_H3_MESSAGE_ERROR,
                        cases[i].is_true);
        CU_ASSERT_EQUAL(app.requests, !cases[i].is_true);
        raw_server_test_free(test);
    }
}

/* RFC 9297, Section 3.4: "The Capsule-Protocol header field MUST NOT be used on HTTP responses with
 * a status code that is both different from 101 (Switching Protocols) and outside the 2xx
 * (Successful) range." */
static void only_an_acceptance_says_capsule_protocol(void)
{
    static const uint32_t verdicts[] = {200, 403, 503};

    for (size_t i = 0; i < MR_COUNT_OF(verdicts); i++) {
        struct raw_server_test *test = new_server();
        app.verdict = verdicts[i];
        const struct raw_stream *stream = &test->raw.streams[open_tunnel(test)];
        CU_ASSERT_EQUAL(raw_status(stream), verdicts[i]);
        CU_ASSERT_EQUAL(strstr(raw_fields(stream), "\ncapsule-protocol: ?1\n") != NULL,
                        verdicts[i] == 200);
        raw_server_test_free(test);
    }
}

/* RFC 9220, Section 3: "the server SHOULD respond to the request with a 501 (Not Implemented)
 * status code" */
static void an_unknown_protocol_is_not_implemented(void)
{
    struct raw_server_test *test = new_server();

    put_connect("p");
    h3_section.size = 0;
    raw_begin_section(&h3_section);
    raw_put_field(&h3_section, ":method", "CONNECT");
    raw_put_field(&h3_section, ":protocol", "other");
    raw_put_field(&h3_section, ":scheme", "https");
    raw_put_field(&h3_section, ":authority", "host");
    raw_put_field(&h3_section, ":path", "/");
    raw_put_headers(&h3_bytes, &h3_section);
    int stream = h3_send_new(test, false, false);
    CU_ASSERT_EQUAL(raw_status(&test->raw.streams[stream]), 501);
    CU_ASSERT_TRUE(test->raw.streams[stream].has_fin);
    CU_ASSERT_EQUAL(app.ends, 0);
    h3_check_serves(test);
    raw_server_test_free(test);
}

/* Section 3.5: the DATAGRAM capsule; Section 3.2: "Endpoints that receive a Capsule with an unknown
 * Capsule Type MUST silently drop that Capsule and skip over it to parse the next Capsule." */
static void capsules_bring_datagrams_and_others_are_skipped(void)
{
    struct raw_server_test *test = new_server();
    int stream = open_tunnel(test);

    CU_ASSERT_EQUAL(raw_status(&test->raw.streams[stream]), 200);
    CU_ASSERT_FALSE(test->raw.streams[stream].has_fin);
    CONTENT(test, stream, "\x00\x05hello");
    CU_ASSERT_STRING_EQUAL(app.last, "hello");
    CONTENT(test, stream,
            "\x17\x03xyz\x40\x29\x00\x00\x04"
            "four");
    CU_ASSERT_EQUAL(app.datagrams, 2);
    CU_ASSERT_STRING_EQUAL(app.last, "four");
    CONTENT(test, stream, "\x00\x00"); /* empty */
    CU_ASSERT_EQUAL(app.datagrams, 3);
    CU_ASSERT_EQUAL(app.size, 0);
    CONTENT(test, stream, "\x40\x00\x40"); /* in pieces, of any form */
    CONTENT(test, stream,
            "\x03"
            "a");
    CONTENT(test, stream, "bc\x00\x01z");
    CU_ASSERT_EQUAL(app.datagrams, 5);
    CU_ASSERT_STRING_EQUAL(app.last, "z");
    CU_ASSERT_EQUAL(mr_h3_server_counters(test->server)->capsules_skipped, 2);
    CU_ASSERT_EQUAL(app.ends, 0);
    raw_server_test_free(test);
}

/* Section 3.5: "If an incoming DATAGRAM Capsule has a length that is known to be so large as to not
 * be usable, the implementation SHOULD discard the Capsule without buffering its contents into
 * memory." */
static void a_capsule_that_is_too_long_is_discarded(void)
{
    struct raw_server_test *test = new_server();
    int stream = open_tunnel(test);
    static char bytes[5000];

    memset(bytes, 'x', sizeof(bytes));
    memcpy(bytes, "\x00\x48\x01", 3); /* 2,049 bytes */
    send_content(test, stream, bytes, 3 + 2049, false);
    CU_ASSERT_EQUAL(app.datagrams, 0);
    CU_ASSERT_EQUAL(mr_h3_server_counters(test->server)->datagrams_dropped, 1);
    memcpy(bytes, "\x00\x48\x00", 3);
    send_content(test, stream, bytes, 3 + 2048, false);
    CU_ASSERT_EQUAL(app.datagrams, 1);
    CU_ASSERT_EQUAL(app.size, 2048);
    CONTENT(test, stream,
            "\x00\xff\xff\xff\xff\xff\xff\xff\xff"
            "and so on, for ever");
    CONTENT(test, stream, "\x00\x01x"); /* is a part of it */
    CU_ASSERT_EQUAL(app.datagrams, 1);
    CU_ASSERT_FALSE(test->raw.is_closed);
    raw_server_test_free(test);
}

/* Section 3.3: "If the receive side of a stream carrying Capsules is terminated cleanly ... and the
 * last Capsule on the stream was truncated, this MUST be treated as if it were a malformed or
 * incomplete message."  "When a receiver encounters an error processing the Capsule Protocol, the
 * receiver MUST treat it as if it had received a malformed or incomplete HTTP message."
 * (Section 3.3) */
static void a_truncated_capsule_is_malformed(void)
{
    static const struct {
        const char *bytes;
        size_t size;
    } cases[] = {{"\x00", 1},
                 {"\x00\x05", 2},
                 {"\x00\x05"
                  "abcd",
                  6},
                 {"\x40", 1},
                 {"\x17\x05x", 3}};

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct raw_server_test *test = new_server();
        int stream = open_tunnel(test);
        send_content(test, stream, cases[i].bytes, cases[i].size, true);
        CU_ASSERT_EQUAL(test->raw.streams[stream].reset_code, MR_H3_MESSAGE_ERROR);
        CU_ASSERT_EQUAL(app.ends, 1);
        CU_ASSERT_EQUAL(app.error, -EBADMSG);
        h3_check_serves(test);
        raw_server_test_free(test);
    }
}

static void the_end_of_one_half_ends_the_other(void)
{
    struct raw_server_test *test = new_server();
    int stream = open_tunnel(test);

    send_content(test, stream, "\x00\x01x", 3, true);
    CU_ASSERT_EQUAL(app.datagrams, 1);
    CU_ASSERT_EQUAL(app.ends, 1);
    CU_ASSERT_EQUAL(app.error, 0);
    CU_ASSERT_TRUE(test->raw.streams[stream].has_fin);
    CU_ASSERT_EQUAL(test->raw.streams[stream].reset_code, RAW_NONE);
    h3_check_serves(test);
    CU_ASSERT_EQUAL(mr_h3_server_usage(test->server).requests, 0);
    raw_server_test_free(test);
}

/* RFC 9220, Section 3: "RST exceptions are represented with a stream error ... of type
 * H3_REQUEST_CANCELLED" */
static void a_reset_ends_a_tunnel(void)
{
    struct raw_server_test *test = new_server();
    int stream = open_tunnel(test);

    raw_reset(&test->raw, stream, MR_H3_REQUEST_CANCELLED);
    CU_ASSERT_TRUE(loop_run(test->loop, H3_STEPS));
    CU_ASSERT_EQUAL(app.ends, 1);
    CU_ASSERT_EQUAL(app.error, -ECONNRESET);
    CU_ASSERT_EQUAL(test->raw.streams[stream].reset_code, MR_H3_REQUEST_CANCELLED);
    stream = open_tunnel(test);
    raw_stop(&test->raw, stream, MR_H3_REQUEST_CANCELLED);
    CU_ASSERT_TRUE(loop_run(test->loop, H3_STEPS));
    CU_ASSERT_EQUAL(app.ends, 2);
    CU_ASSERT_EQUAL(app.error, -ECONNRESET);
    h3_check_serves(test);
    raw_server_test_free(test);
}

/* RFC 9114, Section 4.4: "Receipt of any other known frame type MUST be treated as a connection
 * error of type H3_FRAME_UNEXPECTED." */
static void other_frames_in_a_tunnel_are_unexpected(void)
{
    struct raw_server_test *test = new_server();
    int stream = open_tunnel(test);

    h3_begin_bytes();
    raw_put_field(&h3_section, "x", "y");
    raw_put_headers(&h3_bytes, &h3_section);
    raw_send(&test->raw, stream, &h3_bytes, false);
    CU_ASSERT_TRUE(loop_run(test->loop, H3_STEPS));
    h3_check_closed(test, MR_H3_FRAME_UNEXPECTED);
    CU_ASSERT_EQUAL(app.ends, 1);
    raw_server_test_free(test);
}

/* ------------------------------------------------------------------ DATAGRAM frames */

/* Section 2.1: "Quarter Stream ID: A variable-length integer that contains the value of the
 * client-initiated bidirectional stream that this datagram is associated with divided by four" */
static void datagrams_find_their_tunnel(void)
{
    struct raw_server_test *test = new_server();
    int first = open_tunnel(test);
    uint8_t bytes[8] = {0};

    open_tunnel(test); /* app.tunnel is this one */
    bytes[0] = (uint8_t)(test->raw.streams[first].id / 4 + 1);
    memcpy(bytes + 1, "second", 6);
    send_datagram(test, bytes, 7);
    CU_ASSERT_EQUAL(app.datagrams, 1);
    CU_ASSERT_STRING_EQUAL(app.last, "second");
    send_datagram(test, bytes, 1); /* "this field can be empty" */
    CU_ASSERT_EQUAL(app.datagrams, 2);
    CU_ASSERT_EQUAL(app.size, 0);
    raw_server_test_free(test);
}

/* Section 2.1: "Receipt of an HTTP/3 Datagram that includes a larger value MUST be treated as an
 * HTTP/3 connection error of type H3_DATAGRAM_ERROR (0x33)."  "Receipt of a QUIC DATAGRAM frame
 * whose payload is too short to allow parsing the Quarter Stream ID field MUST be treated as" the
 * same. */
static void a_datagram_without_a_stream_is_an_error(void)
{
    static const struct {
        const char *bytes;
        size_t size;
        bool is_error;
    } cases[] = {
        {"", 0, true},
        {"\x40", 1, true},
        {"\xc0\x00\x00", 3, true},
        {"\xd0\x00\x00\x00\x00\x00\x00\x00", 8, true},  /* 2^60 */
        {"\xcf\xff\xff\xff\xff\xff\xff\xff", 8, false}, /* 2^60 - 1 */
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct raw_server_test *test = new_server();
        send_datagram(test, cases[i].bytes, cases[i].size);
        CU_ASSERT_EQUAL(test->raw.is_closed, cases[i].is_error);
        if (cases[i].is_error)
            h3_check_closed(test, MR_H3_DATAGRAM_ERROR);
        raw_server_test_free(test);
    }
}

/* Section 2.1: "If a datagram is received after the corresponding stream's receive side is closed,
 * the received datagrams MUST be silently dropped."  "... maps to a stream that has not yet been
 * created, the receiver SHALL either drop that datagram silently or buffer it" */
static void datagrams_of_no_tunnel_are_dropped(void)
{
    struct raw_server_test *test = new_server();
    uint8_t bytes[2] = {0, 'x'};

    DATAGRAM(test, "\x05x"); /* not open yet */
    CU_ASSERT_EQUAL(mr_h3_server_counters(test->server)->datagrams_dropped, 1);
    int stream = open_tunnel(test);
    bytes[0] = (uint8_t)(test->raw.streams[stream].id / 4);
    send_datagram(test, bytes, 2);
    CU_ASSERT_EQUAL(app.datagrams, 1);
    send_content(test, stream, "", 0, true);
    send_datagram(test, bytes, 2);
    CU_ASSERT_EQUAL(app.datagrams, 1);
    CU_ASSERT_EQUAL(mr_h3_server_counters(test->server)->datagrams_dropped, 2);
    h3_begin_bytes(); /* a request whose head has not come: what it is for is not known */
    raw_put_varint(&h3_bytes, MR_H3_FRAME_HEADERS);
    stream = h3_send_new(test, false, false);
    bytes[0] = (uint8_t)(test->raw.streams[stream].id / 4);
    send_datagram(test, bytes, 2);
    CU_ASSERT_EQUAL(mr_h3_server_counters(test->server)->datagrams_dropped, 3);
    CU_ASSERT_EQUAL(test->raw.streams[stream].reset_code, RAW_NONE);
    h3_check_serves(test); /* the stream of a whole request is closed, too */
    bytes[0]++;
    send_datagram(test, bytes, 2);
    CU_ASSERT_EQUAL(mr_h3_server_counters(test->server)->datagrams_dropped, 4);
    h3_check_serves(test);
    raw_server_test_free(test);
}

/* Section 2: "If an HTTP Datagram is received and it is associated with a request that has no known
 * semantics for HTTP Datagrams, the receiver MUST terminate the request.  If HTTP/3 is in use, the
 * request stream MUST be aborted with H3_DATAGRAM_ERROR (0x33)." */
static void a_datagram_of_a_request_without_them_ends_the_request(void)
{
    struct raw_server_test *test = new_server();
    uint8_t bytes[2] = {0, 'x'};

    raw_put_get(&h3_section, "/a.txt");
    raw_put_headers(&h3_bytes, &h3_section);
    int stream = h3_send_new(test, false, false);
    bytes[0] = (uint8_t)(test->raw.streams[stream].id / 4);
    send_datagram(test, bytes, 2);
    CU_ASSERT_EQUAL(test->raw.streams[stream].reset_code, MR_H3_DATAGRAM_ERROR);
    CU_ASSERT_EQUAL(test->raw.streams[stream].stop_code, MR_H3_DATAGRAM_ERROR);
    CU_ASSERT_EQUAL(app.datagrams, 0);
    h3_check_serves(test);
    raw_server_test_free(test);
}

/* Section 2.1.1: "QUIC DATAGRAM frames MUST NOT be sent until the SETTINGS_H3_DATAGRAM setting has
 * been both sent and received with a value of 1."  The peer of these tests says nothing of it. */
static void without_the_setting_no_datagram_frame_is_sent(void)
{
    struct raw_server_test *test = new_server();
    struct mr_transport *t = test->raw.transport;
    int stream = open_tunnel(test);
    uint8_t bytes[100];
    size_t size;

    CU_ASSERT_EQUAL(mr_http3_tunnel_send(app.tunnel, "abc", 3), 0);
    CU_ASSERT_TRUE(loop_run(test->loop, H3_STEPS));
    CU_ASSERT_EQUAL(t->ops->receive_datagram(t, test->raw.conn, bytes, sizeof(bytes)), -EAGAIN);
    const uint8_t *content = raw_find_frame(&test->raw.streams[stream], 0, MR_H3_FRAME_DATA, &size);
    CU_ASSERT_PTR_NOT_NULL_FATAL(content);
    CU_ASSERT_EQUAL(size, 5);
    CU_ASSERT_EQUAL(memcmp(content,
                           "\x00\x03"
                           "abc",
                           5),
                    0);
    raw_server_test_free(test);
}

/* Section 2: "HTTP Datagrams MUST only be sent with an association to an HTTP request that
 * explicitly supports them."  Section 2.1: "HTTP/3 Datagrams MUST NOT be sent unless the
 * corresponding stream's send side is open." */
static void with_the_setting_it_is(void)
{
    struct mr_h3_server_config config = mr_h3_server_config_default(4);
    struct loop_config loop = loop_config_default(1);
    uint8_t bytes[100];

    memset(&app, 0, sizeof(app));
    app.verdict = 200;
    config.tunnels = &handlers;
    config.tunnels_max = 1;
    loop.datagram_max = 1200;
    struct raw_server_test *test = raw_server_test_new(&config, &loop);
    struct mr_transport *t = test->raw.transport;
    h3_begin_bytes();
    raw_put_varint(&h3_bytes, MR_H3_STREAM_CONTROL);
    raw_put_frame(&h3_bytes, MR_H3_FRAME_SETTINGS, "\x33\x01", 2);
    h3_send_new(test, true, false);
    int stream = open_tunnel(test);
    CU_ASSERT_EQUAL(mr_http3_tunnel_send(app.tunnel, "abc", 3), 0);
    CU_ASSERT_TRUE(loop_run(test->loop, H3_STEPS));
    CU_ASSERT_EQUAL(t->ops->receive_datagram(t, test->raw.conn, bytes, sizeof(bytes)), 4);
    CU_ASSERT_EQUAL(bytes[0], test->raw.streams[stream].id / 4);
    CU_ASSERT_EQUAL(memcmp(bytes + 1, "abc", 3), 0);
    mr_http3_tunnel_end(app.tunnel);
    CU_ASSERT_EQUAL(mr_h3_send_datagram(&test->server->h3, test->server->h3.all->tunnels,
                                        (const uint8_t *)"abc", 3),
                    -EPIPE);
    raw_server_test_free(test);
}

/* Tunnels of one connection are bounded, and so is what a flood of datagrams costs. */
static void too_many_tunnels_of_a_connection_are_refused(void)
{
    struct raw_server_test *test = new_server();

    for (int i = 0; i < MR_H3_TUNNELS_PER_CONN; i++)
        CU_ASSERT_EQUAL(raw_status(&test->raw.streams[open_tunnel(test)]), 200);
    CU_ASSERT_EQUAL(raw_status(&test->raw.streams[open_tunnel(test)]), 503);
    CU_ASSERT_EQUAL(mr_h3_server_counters(test->server)->tunnels_refused, 1);
    mr_h3_check(&test->server->h3);
    h3_check_serves(test);
    raw_server_test_free(test);
}

/* ------------------------------------------------------------------ the client */

static void on_open(void *context, struct mr_http3_tunnel *tunnel)
{
    (void)context;
    app.tunnel = tunnel;
    app.requests++;
}

static const struct mr_http3_tunnel_handlers client_handlers = {
    .on_open = on_open, .on_datagram = on_datagram, .on_end = on_end};

/* A client that wants a tunnel of a server whose SETTINGS are these. */
static struct raw_client_test *new_client(const char *settings, size_t size)
{
    struct mr_h3_client_config config = mr_h3_client_config_default(4, 8);
    const struct mr_h3_request_options options = {
        .authority = "host", .path = "/", .protocol = "test", .tunnel = &client_handlers};
    mr_h3_client_request request;

    memset(&app, 0, sizeof(app));
    config.has_tunnels = true;
    struct raw_client_test *test = raw_client_test_new_with(&config, NULL, false);
    CU_ASSERT_EQUAL(mr_h3_client_request_make(test->client, test->conn, &options, 1, &request), 0);
    CU_ASSERT_TRUE(loop_run(test->loop, H3_STEPS));
    h3_begin_bytes();
    raw_put_varint(&h3_bytes, MR_H3_STREAM_CONTROL);
    raw_put_frame(&h3_bytes, MR_H3_FRAME_SETTINGS, settings, size);
    if (size > 0)
        raw_send(&test->raw, raw_open(&test->raw, true), &h3_bytes, false);
    CU_ASSERT_TRUE(loop_run(test->loop, H3_STEPS));
    return test;
}

#define WITH_TUNNELS "\x08\x01\x33\x01", 4

/* The stream of its extended CONNECT, -1: it has sent none. */
static int find_connect(const struct raw_client_test *test)
{
    for (uint32_t i = 0; i < test->raw.stream_count; i++) {
        if (test->raw.streams[i].id == 4 && test->raw.streams[i].in.size > 0)
            return (int)i;
    }
    return -1;
}

/* Answer with a status and a field. */
static void answer(struct raw_client_test *test, const char *status, const char *name,
                   const char *value)
{
    int stream = find_connect(test);

    CU_ASSERT_FATAL(stream >= 0);
    h3_begin_bytes();
    raw_put_field(&h3_section, ":status", status);
    if (name != NULL)
        raw_put_field(&h3_section, name, value);
    raw_put_headers(&h3_bytes, &h3_section);
    raw_send(&test->raw, stream, &h3_bytes, false);
    CU_ASSERT_TRUE(loop_run(test->loop, H3_STEPS));
}

/* RFC 9220, Section 3: "a new HTTP/2 setting sent by a server to allow the client to use Extended
 * CONNECT": before it has come nothing is sent. */
static void a_client_waits_for_the_setting(void)
{
    struct raw_client_test *test = new_client("", 0);

    CU_ASSERT_EQUAL(find_connect(test), -1);
    h3_begin_bytes();
    raw_put_varint(&h3_bytes, MR_H3_STREAM_CONTROL);
    raw_put_frame(&h3_bytes, MR_H3_FRAME_SETTINGS, WITH_TUNNELS);
    raw_send(&test->raw, raw_open(&test->raw, true), &h3_bytes, false);
    CU_ASSERT_TRUE(loop_run(test->loop, H3_STEPS));
    CU_ASSERT(find_connect(test) >= 0);
    CU_ASSERT_EQUAL(app.ends, 0);
    raw_client_test_free(test);
    test = new_client("\x33\x01", 2);
    CU_ASSERT_EQUAL(find_connect(test), -1);
    CU_ASSERT_EQUAL(app.ends, 1);
    CU_ASSERT_EQUAL(app.error, -ECONNREFUSED);
    raw_client_test_free(test);
}

/* RFC 9297, Section 3.2: "HTTP status codes 204 (No Content), 205 (Reset Content), and 206 (Partial
 * Content) MUST NOT be sent on responses that use the Capsule Protocol", nor Content-Length and the
 * others.  "A receiver that observes a violation of these requirements MUST treat the HTTP message
 * as malformed." */
static void an_answer_with_content_opens_nothing(void)
{
    static const struct {
        const char *status, *name, *value;
        int error;
        uint64_t code;
    } cases[] = {
        {"204", NULL, NULL, -EBADMSG, MR_H3_MESSAGE_ERROR},
        {"205", NULL, NULL, -EBADMSG, MR_H3_MESSAGE_ERROR},
        {"206", NULL, NULL, -EBADMSG, MR_H3_MESSAGE_ERROR},
        {"200", "content-length", "3", -EBADMSG, MR_H3_MESSAGE_ERROR},
        {"200", "content-type", "a/b", -EBADMSG, MR_H3_MESSAGE_ERROR},
        {"200", "transfer-encoding", "chunked", -EBADMSG, MR_H3_MESSAGE_ERROR},
        {"404", NULL, NULL, -ECONNREFUSED, MR_H3_REQUEST_CANCELLED},
        {"302", "location", "/x", -ECONNREFUSED, MR_H3_REQUEST_CANCELLED},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct raw_client_test *test = new_client(WITH_TUNNELS);
        answer(test, cases[i].status, cases[i].name, cases[i].value);
        CU_ASSERT_EQUAL(app.requests, 0);
        CU_ASSERT_EQUAL(app.ends, 1);
        CU_ASSERT_EQUAL(app.error, cases[i].error);
        CU_ASSERT_EQUAL(test->raw.streams[find_connect(test)].reset_code, cases[i].code);
        CU_ASSERT_FALSE(test->raw.is_closed);
        raw_client_test_free(test);
    }
}

static void an_accepted_tunnel_takes_capsules_until_its_end(void)
{
    struct raw_client_test *test = new_client(WITH_TUNNELS);

    answer(test, "200", "capsule-protocol", "?1");
    CU_ASSERT_EQUAL(app.requests, 1);
    h3_begin_bytes();
    raw_put_frame(&h3_bytes, MR_H3_FRAME_DATA,
                  "\x00\x03"
                  "abc",
                  5);
    raw_send(&test->raw, find_connect(test), &h3_bytes, false);
    CU_ASSERT_TRUE(loop_run(test->loop, H3_STEPS));
    CU_ASSERT_STRING_EQUAL(app.last, "abc");
    h3_begin_bytes();
    raw_put_frame(&h3_bytes, MR_H3_FRAME_DATA,
                  "\x00\x03"
                  "ab",
                  4); /* cut off */
    raw_send(&test->raw, find_connect(test), &h3_bytes, true);
    CU_ASSERT_TRUE(loop_run(test->loop, H3_STEPS));
    CU_ASSERT_EQUAL(app.ends, 1);
    CU_ASSERT_EQUAL(app.error, -EBADMSG);
    CU_ASSERT_EQUAL(app.datagrams, 1);
    raw_client_test_free(test);
}

static CU_TestInfo tests[] = {
    {"settings say what is taken", settings_say_what_is_taken},
    {"a setting of another value is an error", a_setting_of_another_value_is_an_error},
    {"an extended CONNECT is whole", an_extended_connect_is_whole},
    {"a server without tunnels knows no protocol", a_server_without_tunnels_knows_no_protocol},
    {"capsules and content exclude each other", capsules_and_content_exclude_each_other},
    {"capsule protocol is true or not there", capsule_protocol_is_true_or_not_there},
    {"only an acceptance says capsule protocol", only_an_acceptance_says_capsule_protocol},
    {"an unknown protocol is not implemented", an_unknown_protocol_is_not_implemented},
    {"capsules bring datagrams, and others are skipped",
     capsules_bring_datagrams_and_others_are_skipped},
    {"a capsule that is too long is discarded", a_capsule_that_is_too_long_is_discarded},
    {"a truncated capsule is malformed", a_truncated_capsule_is_malformed},
    {"the end of one half ends the other", the_end_of_one_half_ends_the_other},
    {"a reset ends a tunnel", a_reset_ends_a_tunnel},
    {"other frames in a tunnel are unexpected", other_frames_in_a_tunnel_are_unexpected},
    {"datagrams find their tunnel", datagrams_find_their_tunnel},
    {"a datagram without a stream is an error", a_datagram_without_a_stream_is_an_error},
    {"datagrams of no tunnel are dropped", datagrams_of_no_tunnel_are_dropped},
    {"a datagram of a request without them ends the request",
     a_datagram_of_a_request_without_them_ends_the_request},
    {"without the setting no DATAGRAM frame is sent",
     without_the_setting_no_datagram_frame_is_sent},
    {"with the setting it is", with_the_setting_it_is},
    {"too many tunnels of a connection are refused", too_many_tunnels_of_a_connection_are_refused},
    {"a client waits for the setting", a_client_waits_for_the_setting},
    {"an answer with content opens nothing", an_answer_with_content_opens_nothing},
    {"an accepted tunnel takes capsules until its end",
     an_accepted_tunnel_takes_capsules_until_its_end},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9220 and 9297", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
