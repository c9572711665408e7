/*
 * RFC 9218: priorities, as the HTTP/3 server takes them from a peer that sends any bytes, and as
 * the client sends them.  The sentences quoted are the RFC's.
 */
#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "http3/frame.h"
#include "http3/priority.h"
#include "http3/server_internal.h"
#include "tests/support/h3_cases.h"
#include "tests/support/h3_pair.h"
#include "tests/unit/harness.h"

enum {
    SERVER = 1,
};

/* A PRIORITY_UPDATE frame. */
static void put_update(uint64_t type, uint64_t id, const char *value)
{
    struct raw_bytes payload = {0};

    raw_put_varint(&payload, id);
    raw_put(&payload, value, strlen(value));
    raw_put_frame(&h3_bytes, type, payload.data, payload.size);
}

/* A request of a file, with a Priority field; NULL: without. */
static int request(struct raw_server_test *test, const char *priority)
{
    h3_begin_bytes();
    raw_put_get(&h3_section, "/a.txt");
    if (priority != NULL)
        raw_put_field(&h3_section, "priority", priority);
    raw_put_headers(&h3_bytes, &h3_section);
    return h3_send_new(test, false, false); /* its end does not come: the stream stays */
}

static void expect(struct raw_server_test *test, int stream, uint8_t urgency, bool is_incremental)
{
    struct mr_priority p = loop_priority(test->loop, SERVER, test->raw.streams[stream].id);

    CU_ASSERT_EQUAL(p.urgency, urgency);
    CU_ASSERT_EQUAL(p.is_incremental, is_incremental);
}

/* A server, and the stream of our control stream, with SETTINGS. */
static struct raw_server_test *begin(int *control)
{
    struct raw_server_test *test = raw_server_test_new(NULL, NULL);

    h3_begin_bytes();
    raw_put_control(&h3_bytes);
    *control = h3_send_new(test, true, false);
    h3_begin_bytes();
    return test;
}

static void send_control(struct raw_server_test *test, int control)
{
    raw_send(&test->raw, control, &h3_bytes, false);
    CU_ASSERT_TRUE(loop_run(test->loop, H3_STEPS));
    h3_begin_bytes();
}

/* Section 4: "When receiving an HTTP request that does not carry these priority parameters, a
 * server SHOULD act as if their default values were specified."  Section 4.1: "The default is 3."
 * Section 4.2: "The default value of the incremental parameter is false (0)." */
static void requests_have_the_priority_of_their_field(void)
{
    int control;
    struct raw_server_test *test = begin(&control);

    expect(test, request(test, NULL), 3, false);
    expect(test, request(test, "u=5, i"), 5, true);
    expect(test, request(test, "i"), 3, true);
    expect(test, request(test, "u=9, i"), 3, true);
    expect(test, request(test, "u=5,, i"), 3, false);
    expect(test, request(test, "not a dictionary"), 3, false);
    h3_check_serves(test);
    raw_server_test_free(test);
}

/* Our own streams are not behind any response. */
static void control_goes_first(void)
{
    int control;
    struct raw_server_test *test = begin(&control);
    const struct raw_stream *ours = raw_find_uni(&test->raw, MR_H3_STREAM_CONTROL);

    CU_ASSERT_PTR_NOT_NULL_FATAL(ours);
    struct mr_priority p = loop_priority(test->loop, SERVER, ours->id);
    CU_ASSERT_EQUAL(p.urgency, 0);
    CU_ASSERT(p.is_incremental);
    raw_server_test_free(test);
}

/* Section 7: "A PRIORITY_UPDATE frame communicates a complete set of all priority parameters in the
 * Priority Field Value field.  Omitting a priority parameter is a signal to use its default value."
 */
static void an_update_changes_a_request_completely(void)
{
    int control;
    struct raw_server_test *test = begin(&control);
    int stream = request(test, "u=5, i");

    h3_begin_bytes();
    put_update(0xf0700, test->raw.streams[stream].id, "u=1");
    send_control(test, control);
    expect(test, stream, 1, false);
    put_update(0xf0700, test->raw.streams[stream].id, "i");
    send_control(test, control);
    expect(test, stream, 3, true);
    put_update(0xf0700, test->raw.streams[stream].id, "");
    send_control(test, control);
    expect(test, stream, 3, false);
    CU_ASSERT_EQUAL(mr_h3_server_counters(test->server)->priority_updates, 3);
    h3_check_serves(test);
    raw_server_test_free(test);
}

/* Section 7: "Servers SHOULD buffer the most recently received PRIORITY_UPDATE frame and apply it
 * once the referenced stream is opened."  "... that overrides any other signal" */
static void an_update_waits_for_its_request_and_overrides_the_field(void)
{
    int control;
    struct raw_server_test *test = begin(&control);
    uint64_t next = test->raw.streams[request(test, NULL)].id + 4;

    h3_begin_bytes();
    put_update(0xf0700, next, "u=6");
    put_update(0xf0700, next, "u=2, i");
    put_update(0xf0700, next + 8, "u=7");
    send_control(test, control);
    expect(test, request(test, "u=0"), 2, true);
    expect(test, request(test, "u=0"), 0, false);
    expect(test, request(test, NULL), 7, false);
    raw_server_test_free(test);
}

/* Section 7.2: "Receiving a PRIORITY_UPDATE frame on a stream other than the client control stream
 * MUST be treated as a connection error of type H3_FRAME_UNEXPECTED." */
static void an_update_elsewhere_is_unexpected(void)
{
    h3_begin_bytes();
    put_update(0xf0700, 0, "u=1");
    h3_expect_close(false, false, MR_H3_FRAME_UNEXPECTED);
    h3_begin_bytes();
    raw_put_get(&h3_section, "/a.txt");
    raw_put_headers(&h3_bytes, &h3_section);
    put_update(0xf0701, 0, "u=1");
    h3_expect_close(false, false, MR_H3_FRAME_UNEXPECTED);
}

/* Section 7.2: "If a server receives a PRIORITY_UPDATE (type=0xF0700) for a stream ID that is not a
 * request stream, this MUST be treated as a connection error of type H3_ID_ERROR."  "If a server
 * receives a PRIORITY_UPDATE (type=0xF0701) with a push ID that is greater than the maximum push ID
 * or that has not yet been promised, this MUST be treated as a connection error of type
 * H3_ID_ERROR." */
static void an_update_of_something_else_is_an_id_error(void)
{
    for (uint64_t id = 1; id < 4; id++) {
        h3_begin_bytes();
        raw_put_control(&h3_bytes);
        put_update(0xf0700, id, "u=1");
        h3_expect_control_close(MR_H3_ID_ERROR);
    }
    h3_begin_bytes();
    raw_put_control(&h3_bytes);
    put_update(0xf0701, 0, "u=1");
    h3_expect_control_close(MR_H3_ID_ERROR);
}

/* Section 7: "Failure to parse the Priority Field Value MAY be treated as a connection error. ...
 * in HTTP/3, the error is of type H3_GENERAL_PROTOCOL_ERROR." */
static void an_update_that_is_not_readable_ends_the_connection(void)
{
    h3_begin_bytes();
    raw_put_control(&h3_bytes);
    put_update(0xf0700, 0, "u=1,,");
    h3_expect_control_close(MR_H3_GENERAL_PROTOCOL_ERROR);
    h3_begin_bytes();
    raw_put_control(&h3_bytes);
    raw_put_frame(&h3_bytes, 0xf0700, "", 0);
    h3_expect_control_close(MR_H3_FRAME_ERROR);
    h3_begin_bytes();
    raw_put_control(&h3_bytes);
    raw_put_frame(&h3_bytes, 0xf0700, "\x40", 1);
    h3_expect_control_close(MR_H3_FRAME_ERROR);
}

/* A value longer than anybody needs is dropped, as if it had not come. */
static void a_long_update_is_dropped(void)
{
    int control;
    struct raw_server_test *test = begin(&control);
    char value[200];

    memset(value, 'a', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    put_update(0xf0700, 0, value);
    put_update(0xf0700, 0, "u=6");
    send_control(test, control);
    expect(test, request(test, NULL), 6, false);
    CU_ASSERT_EQUAL(mr_h3_server_counters(test->server)->priority_updates_dropped, 1);
    raw_server_test_free(test);
}

/* State for streams that are not open is bounded: what is too much is dropped. */
static void updates_of_too_many_unopened_streams_are_dropped(void)
{
    int control;
    struct raw_server_test *test = begin(&control);

    for (uint64_t i = 0; i < MR_PRIORITIES_WAITING + 5; i++)
        put_update(0xf0700, 4 * i, "u=6, i");
    send_control(test, control);
    CU_ASSERT_EQUAL(mr_h3_server_counters(test->server)->priority_updates_dropped, 5);
    for (int i = 0; i < MR_PRIORITIES_WAITING; i++)
        expect(test, request(test, "u=1"), 6, true);
    expect(test, request(test, "u=1"), 1, false);
    h3_check_serves(test);
    raw_server_test_free(test);
}

/* A flood ends: of updates of one request, of unopened ones, of long ones. */
static void a_flood_of_updates_ends_the_connection(void)
{
    static const char *const values[] = {
        "u=1", "u=1",
        "u=1, aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};

    for (int kind = 0; kind < 3; kind++) {
        int control;
        struct raw_server_test *test = begin(&control);
        uint64_t limit = MR_H3_PRIORITY_UPDATES + MR_H3_PRIORITY_UPDATES_PER_REQUEST;
        request(test, NULL);
        h3_begin_bytes();
        for (uint64_t i = 0; i < limit; i++)
            put_update(0xf0700, kind == 1 ? 4 * i : 0, values[kind]);
        send_control(test, control);
        CU_ASSERT_FALSE(test->raw.is_closed);
        put_update(0xf0700, 0, values[kind]);
        send_control(test, control);
        h3_check_closed(test, MR_H3_EXCESSIVE_LOAD);
        raw_server_test_free(test);
    }
}

/* Section 7.2: "Servers MUST NOT send PRIORITY_UPDATE frames of either type.  If a client receives
 * a PRIORITY_UPDATE frame, this MUST be treated as a connection error of type H3_FRAME_UNEXPECTED."
 */
static void a_client_takes_none(void)
{
    for (uint64_t type = 0xf0700; type <= 0xf0701; type++) {
        struct raw_client_test *test = raw_client_test_new(false);
        h3_begin_bytes();
        raw_put_control(&h3_bytes);
        put_update(type, 0, "u=1");
        raw_send(&test->raw, raw_open(&test->raw, true), &h3_bytes, false);
        CU_ASSERT_TRUE(loop_run(test->loop, H3_STEPS));
        CU_ASSERT_EQUAL(test->raw.close_code, MR_H3_FRAME_UNEXPECTED);
        raw_client_test_free(test);
    }
}

/* Section 5: "The Priority HTTP header field ... can appear in requests"; Section 6: "The
 * PRIORITY_UPDATE frame (Section 7) can be used for such reprioritization."  "The PRIORITY_UPDATE
 * frame MUST be sent on the client control stream (see Section 6.2.1 of [HTTP/3])." (Section 7.2)
 * "The request-stream variant of PRIORITY_UPDATE (type=0xF0700) MUST reference a request stream."
 * (Section 7.2) */
static void the_client_sends_both(void)
{
    struct h3_pair *pair = h3_pair_new();
    struct mr_h3_server_config config = h3_pair_server_config(pair);
    struct loop_config loop = loop_config_default(1);
    const struct mr_priority first = {.urgency = 5, .is_incremental = true};
    const struct mr_priority wrong = {.urgency = 8};

    loop.stream_window = 1000;
    h3_pair_write_pattern(pair, "big", 100000);
    h3_pair_start(pair, &config, &loop);
    const struct mr_h3_request_options options = {
        .authority = "localhost", .path = "/big", .priority = &first};
    struct h3_fetch *fetch = h3_pair_begin(pair, &options);
    for (int i = 0; i < 60; i++)
        loop_step(pair->loop);
    CU_ASSERT_FALSE(fetch->is_done);
    struct mr_priority p = loop_priority(pair->loop, SERVER, 0);
    CU_ASSERT_EQUAL(p.urgency, 5);
    CU_ASSERT(p.is_incremental);

    int result =
        mr_h3_client_prioritize(pair->client, fetch->request, (struct mr_priority){1, false});
    CU_ASSERT_EQUAL(result, 0);
    CU_ASSERT_EQUAL(mr_h3_client_prioritize(pair->client, fetch->request, wrong), -EINVAL);
    for (int i = 0; i < 20; i++)
        loop_step(pair->loop);
    CU_ASSERT_FALSE(fetch->is_done);
    p = loop_priority(pair->loop, SERVER, 0);
    CU_ASSERT_EQUAL(p.urgency, 1);
    CU_ASSERT_FALSE(p.is_incremental);
    h3_pair_run(pair);
    CU_ASSERT(fetch->is_done);
    CU_ASSERT_EQUAL(mr_h3_client_prioritize(pair->client, fetch->request, first), -ESTALE);
    mr_h3_client_request request_out;
    const struct mr_h3_request_options bad = {
        .authority = "localhost", .path = "/big", .priority = &wrong};
    CU_ASSERT_EQUAL(mr_h3_client_request_make(pair->client, pair->conn, &bad, 0, &request_out),
                    -EINVAL);
    h3_pair_free(pair);
}

/* Section 8: "the intermediary might alter its understanding of the urgency from 5 to 1 ... The
 * incremental value continues to be true" */
static void a_field_of_the_response_is_merged(void)
{
    int control;
    struct raw_server_test *test = begin(&control);
    int stream = request(test, "u=5, i");
    struct mr_h3 *h3 = &test->server->h3;
    struct mr_h3_stream *s = h3->all->streams;
    const struct mr_field_line lines[] = {{":status", {"200", 3}}, {"priority", {"u=1", 3}}};

    while (s->kind != MR_H3_KIND_REQUEST)
        s = s->next;
    expect(test, stream, 5, true);
    (void)mr_h3_send_head(h3, s, lines, 2, &(struct mr_h3_body){.size = 0});
    expect(test, stream, 1, true);
    raw_server_test_free(test);
}

static CU_TestInfo tests[] = {
    {"requests have the priority of their field", requests_have_the_priority_of_their_field},
    {"control goes first", control_goes_first},
    {"an update changes a request completely", an_update_changes_a_request_completely},
    {"an update waits for its request, and overrides the field",
     an_update_waits_for_its_request_and_overrides_the_field},
    {"an update elsewhere is unexpected", an_update_elsewhere_is_unexpected},
    {"an update of something else is an ID error", an_update_of_something_else_is_an_id_error},
    {"an update that is not readable ends the connection",
     an_update_that_is_not_readable_ends_the_connection},
    {"a long update is dropped", a_long_update_is_dropped},
    {"updates of too many unopened streams are dropped",
     updates_of_too_many_unopened_streams_are_dropped},
    {"a flood of updates ends the connection", a_flood_of_updates_ends_the_connection},
    {"a client takes none", a_client_takes_none},
    {"the client sends both", the_client_sends_both},
    {"a field of the response is merged", a_field_of_the_response_is_merged},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9218", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
