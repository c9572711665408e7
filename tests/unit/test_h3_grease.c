/* Tests of http3/grease.h, and of connections that send what it makes. */
#include "http3/grease.h"

#include <string.h>

#include "tests/support/h3_cases.h"
#include "tests/support/h3_pair.h"
#include "tests/unit/harness.h"

enum {
    DRAWS = 2000,
    CONNECTIONS = 100, /* of which some six send it */
    RAW_CONNECTIONS = 40,
    SERVER = 1,
};

/* RFC 9114, Section 7.2.8: "Frame types of the format 0x1f * N + 0x21 for non-negative integer
 * values of N are reserved" */
static void numbers_have_the_reserved_form(void)
{
    struct mr_random random;
    bool has_size[9] = {false};

    mr_random_init_number(&random, 1);
    for (int i = 0; i < DRAWS; i++) {
        uint8_t wire[MR_H3_VARINT_MAX_SIZE];
        uint64_t number = mr_h3_reserved_draw(&random);
        CU_ASSERT_EQUAL(number % 0x1f, 0x21 % 0x1f);
        CU_ASSERT_TRUE(number >= 0x21 && mr_h3_reserved_is(number));
        CU_ASSERT_FALSE(mr_h3_reserved_is(number + 1) || mr_h3_reserved_is(number - 1));
        has_size[mr_h3_varint_put(wire, number)] = true;
    }
    CU_ASSERT_TRUE(has_size[1] && has_size[2] && has_size[4] && has_size[8]);
    CU_ASSERT_FALSE(mr_h3_reserved_is(2)); /* 0x21 - 0x1f */
}

static void frames_read_back_and_are_skipped(void)
{
    struct mr_random random;

    mr_random_init_number(&random, 2);
    for (int i = 0; i < DRAWS; i++) {
        uint8_t wire[MR_H3_GREASE_FRAME_MAX];
        struct mr_h3_frame_reader reader = {0};
        size_t size = mr_h3_grease_put_frame(&random, wire);
        size_t header = mr_h3_frame_read_header(&reader, wire, size);
        CU_ASSERT_TRUE(reader.has_header && reader.left == size - header);
        for (int place = 0; place < MR_H3_PLACES; place++)
            CU_ASSERT_EQUAL(mr_h3_frame_action(reader.type, (enum mr_h3_place)place),
                            MR_H3_FRAME_SKIP);
        CU_ASSERT_TRUE(mr_h3_grease_put_stream(&random, wire) <= MR_H3_GREASE_STREAM_MAX);
    }
}

/* RFC 9114, Section 6.2.3: "Endpoints MUST NOT consider these streams to have any meaning upon
 * receipt." */
static void both_ends_send_it_now_and_then_and_ignore_it(void)
{
    struct h3_pair *pair = h3_pair_new();

    h3_pair_write_text(pair, "a", "content");
    h3_pair_start_default(pair);
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        if (i > 0)
            pair->conn = h3_pair_connect(pair);
        h3_pair_run(pair); /* connected: the head goes with the frame, if any does */
        for (int k = 0; k < 2; k++) {
            const struct h3_fetch *fetch = h3_pair_get(pair, "/a");
            CU_ASSERT_EQUAL(fetch->result.status, 200);
            CU_ASSERT_EQUAL(fetch->body_size, 7);
        }
        CU_ASSERT_EQUAL(mr_h3_client_close(pair->client, pair->conn), 0);
        h3_pair_run(pair);
    }
    uint64_t sent[2] = {mr_h3_client_counters(pair->client)->greased,
                        h3_pair_counter(pair, greased)};
    for (int i = 0; i < 2; i++)
        CU_ASSERT_TRUE(sent[i] > 0 && sent[i] < CONNECTIONS / 4);
    CU_ASSERT_EQUAL(h3_pair_counter(pair, connection_errors), 0);
    CU_ASSERT_EQUAL(mr_h3_client_counters(pair->client)->connection_errors, 0);
    CU_ASSERT_TRUE(h3_pair_is_idle(pair));
    h3_pair_free(pair);
}

/* ---- what is on the wire ---- */

static struct mr_transport_ops ops;
static uint64_t now; /* of the server: what it sends is made of it */

static uint64_t some_time(const struct mr_transport *t)
{
    (void)t;
    return now;
}

static int (*real_conn_info)(struct mr_transport *t, mr_handle conn, struct mr_conn_info *info_out);
static uint64_t uni_limit;

static int limited_conn_info(struct mr_transport *t, mr_handle conn, struct mr_conn_info *info_out)
{
    int result = real_conn_info(t, conn, info_out);

    info_out->streams_uni_limit = uni_limit;
    return result;
}

/* Frames of the stream from `at` on that have no meaning. */
static uint32_t reserved_frames(const struct raw_stream *stream, size_t at)
{
    uint32_t count = 0;

    while (at < stream->in.size) {
        struct mr_h3_frame_reader reader = {0};
        at += mr_h3_frame_read_header(&reader, stream->in.data + at, stream->in.size - at);
        count += mr_h3_reserved_is(reader.type);
        at += (size_t)reader.left;
    }
    return count;
}

/* RFC 9114, Section 6.2.3: the peer "SHOULD abort reading"; it costs us nothing. */
static void stop_reserved_streams(struct raw_server_test *test, uint32_t first)
{
    for (uint32_t i = first; i < test->raw.stream_count; i++)
        if (raw_is_reserved(&test->raw.streams[i]))
            raw_stop(&test->raw, (int)i, MR_H3_STREAM_CREATION_ERROR);
    CU_ASSERT_TRUE(loop_run(test->loop, H3_STEPS));
}

/* Connect, ask, and look.  The reserved frames and streams that came. */
static void look(struct raw_server_test *test, uint32_t *frames_out, uint32_t *streams_out)
{
    struct mr_connect_options options = {
        .server_name = "localhost", .alpn = (const uint8_t *)"\x02h3", .alpn_size = 3};
    uint32_t first = test->raw.stream_count;

    *frames_out = *streams_out = 0;
    CU_ASSERT_EQUAL(
        test->raw.transport->ops->connect(test->raw.transport, &options, &test->raw.conn), 0);
    CU_ASSERT_TRUE(loop_run(test->loop, H3_STEPS));
    h3_begin_bytes();
    raw_put_control(&h3_bytes);
    h3_send_new(test, true, false);
    stop_reserved_streams(test, first);
    h3_begin_bytes();
    raw_put_get(&h3_section, "/a.txt");
    raw_put_headers(&h3_bytes, &h3_section);
    *frames_out += reserved_frames(&test->raw.streams[h3_send_new(test, false, true)], 0);
    for (uint32_t i = first; i < test->raw.stream_count; i++) {
        const struct raw_stream *stream = &test->raw.streams[i];
        *streams_out += raw_is_reserved(stream) && stream->has_fin;
        if (!stream->is_ours && stream->in.size > 0 && stream->in.data[0] == MR_H3_STREAM_CONTROL)
            *frames_out += reserved_frames(stream, 1);
    }
    (void)test->raw.transport->ops->close(test->raw.transport, test->raw.conn, MR_H3_NO_ERROR, "");
    CU_ASSERT_TRUE(loop_run(test->loop, H3_STEPS));
}

/* Connections that send it, of RAW_CONNECTIONS to a peer that allows so many streams. */
static uint32_t count_greased(uint64_t limit)
{
    struct raw_server_test *test = raw_server_test_new(NULL, NULL);
    struct mr_transport *t = loop_transport(test->loop, SERVER);
    uint32_t greased = 0;

    real_conn_info = t->ops->conn_info;
    uni_limit = limit;
    ops = *t->ops;
    ops.now = some_time;
    ops.conn_info = limited_conn_info;
    t->ops = &ops;
    for (uint32_t i = 0; i < RAW_CONNECTIONS && test->raw.stream_count + 6 < RAW_STREAMS_MAX; i++) {
        uint32_t frames;
        uint32_t streams;
        now = 1000 + i;
        look(test, &frames, &streams);
        CU_ASSERT_TRUE((frames == 2 && streams == 1) || (frames == 0 && streams == 0));
        greased += streams;
    }
    raw_server_test_free(test);
    return greased;
}

static void a_connection_sends_all_of_it_or_nothing(void)
{
    CU_ASSERT_TRUE(count_greased(4) > 0);
    CU_ASSERT_EQUAL(count_greased(3), 0); /* there would be no stream for more of QPACK */
}

CU_TestInfo h3_grease_tests[] = {
    {"numbers have the reserved form", numbers_have_the_reserved_form},
    {"frames read back and are skipped", frames_read_back_and_are_skipped},
    {"both ends send it now and then and ignore it", both_ends_send_it_now_and_then_and_ignore_it},
    {"a connection sends all of it or nothing", a_connection_sends_all_of_it_or_nothing},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "http3/grease", .pTests = h3_grease_tests},
    CU_SUITE_INFO_NULL,
};
