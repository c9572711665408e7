/*
 * RFC 9204: QPACK's dynamic table and the streams that wait for it: the example of Appendix B,
 * broken inputs, and a server whose peer sends sections before what they refer to.
 * The sentences quoted are the RFC's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "http3/frame.h"
#include "http3/qpack.h"
#include "http3/server_internal.h"
#include "tests/support/h3_cases.h"
#include "tests/support/h3_pair.h"
#include "tests/unit/harness.h"

enum {
    HEAP = 1 << 18,
    BLOCKED = 3, /* streams that the server lets wait */
};

#define BYTES(s) (const uint8_t *)(s), sizeof(s) - 1

/* ------------------------------------------------------------------ the decoder by itself */

static _Alignas(16) uint8_t memory[HEAP];
static struct mr_heap heap;
static struct mr_h3_counters counters;
static struct mr_heap_share share;
static struct mr_qpack_decoder decoder;
static char seen[512]; /* "name: value\n" of each field */

static void begin(uint32_t capacity, uint32_t blocked_max)
{
    mr_heap_init(&heap, memory, HEAP);
    mr_heap_share_init(&share, &heap, &counters, HEAP);
    CU_ASSERT_TRUE_FATAL(mr_qpack_decoder_init(&decoder, &share, capacity, blocked_max));
}

static void end(void)
{
    mr_qpack_decoder_fini(&decoder);
    CU_ASSERT_EQUAL(heap.live, 0);
}

static bool take(void *context, struct mr_text name, struct mr_text value)
{
    size_t at = strlen(seen);

    (void)context;
    CU_ASSERT_FATAL(at + name.size + value.size + 4 < sizeof(seen));
    memcpy(seen + at, name.data, name.size);
    memcpy(seen + at + name.size, ": ", 2);
    memcpy(seen + at + name.size + 2, value.data, value.size);
    strcpy(seen + at + name.size + 2 + value.size, "\n");
    return true;
}

static uint64_t decode(uint64_t stream_id, const uint8_t *data, size_t size, uint64_t *needs)
{
    const struct mr_qpack_section section = {stream_id, data, size};

    seen[0] = '\0';
    return mr_qpack_decode(&decoder, &share, &section, take, NULL, needs);
}

static void expect_feedback(const char *bytes, size_t size)
{
    uint8_t feedback[64];

    CU_ASSERT_EQUAL_FATAL(mr_qpack_decoder_feedback_size(&decoder), size);
    mr_qpack_decoder_take_feedback(&decoder, feedback, size);
    CU_ASSERT_EQUAL(memcmp(feedback, bytes, size), 0);
}

/* Appendix B, step by step; the sections of streams 4 and 8 come before what they refer to. */
static void the_example_of_appendix_b_decodes(void)
{
    uint64_t needs;

    begin(220, 2);
    CU_ASSERT_EQUAL(decode(0, BYTES("\x00\x00\x51\x0b/index.html"), &needs), 0); /* B.1 */
    CU_ASSERT_STRING_EQUAL(seen, ":path: /index.html\n");

    CU_ASSERT_EQUAL(decode(4, BYTES("\x03\x81\x10\x11"), &needs), 0); /* B.2 */
    CU_ASSERT_EQUAL(needs, 2);
    CU_ASSERT_STRING_EQUAL(seen, "");
    CU_ASSERT_EQUAL(mr_qpack_decoder_read(&decoder, BYTES("\x3f\xbd\x01\xc0\x0fwww.example.com")),
                    0);
    CU_ASSERT_EQUAL(mr_qpack_decoder_inserted(&decoder), 1);
    CU_ASSERT_EQUAL(decode(4, BYTES("\x03\x81\x10\x11"), &needs), 0);
    CU_ASSERT_EQUAL(needs, 2);
    CU_ASSERT_EQUAL(mr_qpack_decoder_read(&decoder, BYTES("\xc1\x0c/sample/path")), 0);
    CU_ASSERT_EQUAL(mr_qpack_decoder_inserted(&decoder), 2);
    CU_ASSERT_EQUAL(decode(4, BYTES("\x03\x81\x10\x11"), &needs), 0);
    CU_ASSERT_EQUAL(needs, 0);
    CU_ASSERT_STRING_EQUAL(seen, ":authority: www.example.com\n:path: /sample/path\n");
    expect_feedback("\x84", 1); /* Section Acknowledgment: stream 4 */

    CU_ASSERT_EQUAL(mr_qpack_decoder_read(&decoder, BYTES("\x4a"
                                                          "custom-key\x0c"
                                                          "custom-value")),
                    0);
    expect_feedback("\x01", 1); /* B.3: Insert Count Increment */

    CU_ASSERT_EQUAL(decode(8, BYTES("\x05\x00\x80\xc1\x81"), &needs), 0); /* B.4 */
    CU_ASSERT_EQUAL(needs, 4);
    CU_ASSERT_EQUAL(mr_qpack_decoder_read(&decoder, BYTES("\x02")), 0);
    CU_ASSERT_EQUAL(decode(8, BYTES("\x05\x00\x80\xc1\x81"), &needs), 0);
    CU_ASSERT_STRING_EQUAL(seen,
                           ":authority: www.example.com\n:path: /\ncustom-key: custom-value\n");
    expect_feedback("\x88", 1);

    CU_ASSERT_EQUAL(mr_qpack_decoder_read(&decoder, BYTES("\x81\x0d"
                                                          "custom-value2")),
                    0); /* B.5 */
    CU_ASSERT_EQUAL(mr_qpack_decoder_inserted(&decoder), 5);
    CU_ASSERT_EQUAL(decode(12, BYTES("\x06\x00\x80"), &needs), 0);
    CU_ASSERT_STRING_EQUAL(seen, "custom-key: custom-value2\n");
    end();
}

/* The malformed inputs of the QPACK offline interop (qpackers/qifs, errors/): each is refused.  Two
 * are whole sections of one field of the static table, and no whole request. */
static void broken_inputs_are_refused(void)
{
    static const struct {
        const char *bytes;
        size_t size;
        uint64_t code;
        bool is_encoder;
    } cases[] = {
#define SECTION(s) {s, sizeof(s) - 1, MR_QPACK_DECOMPRESSION_FAILED, false}
#define ENCODER(s)                                                                                 \
    {                                                                                              \
        s, sizeof(s) - 1, MR_QPACK_ENCODER_STREAM_ERROR, true                                      \
    }
        SECTION("\xff"),
        SECTION("\x00"),
        SECTION("\x00\xff"),
        SECTION("\x00\x81"),
        SECTION("\x00\x00\x41"),
        SECTION("\x00\x00\x27"),
        SECTION("\x00\x00\x51\xff"),
        SECTION("\x00\x00\xbf"),
        ENCODER("\x01"),
        ENCODER("\xff\x80\xff\xff\xff\xff\x01"),
#undef SECTION
#undef ENCODER
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        const uint8_t *bytes = (const uint8_t *)cases[i].bytes;
        uint64_t needs;
        uint64_t code;
        begin(4096, 100);
        if (cases[i].is_encoder)
            code = mr_qpack_decoder_read(&decoder, bytes, cases[i].size);
        else
            code = decode(1, bytes, cases[i].size, &needs);
        CU_ASSERT_EQUAL(code, cases[i].code);
        end();
    }
}

static void sections_of_one_field_are_no_requests(void)
{
    static const char *const sections[] = {"\xc0", "\xfe"};

    for (size_t i = 0; i < MR_COUNT_OF(sections); i++) {
        h3_begin_bytes();
        raw_put(&h3_section, sections[i], 1);
        h3_expect_section_reset(MR_H3_MESSAGE_ERROR);
    }
}

/* ------------------------------------------------------------------ the server */

static struct raw_server_test *new_server(void)
{
    struct mr_h3_server_config config = mr_h3_server_config_default(4);

    config.qpack_blocked_max = BLOCKED;
    config.cache_bytes = 1 << 20;
    config.buffers_max = 8;
    struct raw_server_test *test = raw_server_test_new(&config, NULL);
    h3_begin_bytes();
    raw_put_control(&h3_bytes);
    h3_send_new(test, true, false);
    h3_begin_bytes();
    return test;
}

static void put_text(const char *text)
{
    raw_put(&h3_bytes, text, strlen(text));
}

/* The peer's encoder stream: its capacity, 4,096. */
static int open_encoder(struct raw_server_test *test)
{
    h3_begin_bytes();
    put_text("\x02\x3f\xe1\x1f");
    int stream = h3_send_new(test, true, false);
    h3_begin_bytes();
    return stream;
}

/* Insert "x-name: value". */
static void insert(struct raw_server_test *test, int encoder)
{
    h3_begin_bytes();
    put_text("\x46x-name\x05value");
    raw_send(&test->raw, encoder, &h3_bytes, false);
    CU_ASSERT_TRUE(loop_run(test->loop, H3_STEPS));
}

/* A GET of a file with the prefix `needs` + 1 and a reference to the newest entry. */
static void put_request(uint8_t needs)
{
    const uint8_t prefix[] = {(uint8_t)(needs + 1), 0};

    h3_begin_bytes();
    h3_section.size = 0;
    raw_put(&h3_section, prefix, 2);
    raw_put(&h3_section, "\xd1\xd7\x51\x06/a.txt\x50\x01h\x80", 13);
    raw_put_headers(&h3_bytes, &h3_section);
}

static int request(struct raw_server_test *test, uint8_t needs)
{
    put_request(needs);
    return h3_send_new(test, false, true);
}

static struct mr_h3_conn *conn_of(struct raw_server_test *test)
{
    return test->server->h3.all;
}

/* Section 2.1.2: "a decoder might receive a field section that it cannot process immediately ...
 * the stream is said to be blocked" and goes on "when the decoder receives all the entries" */
static void a_section_waits_for_what_it_refers_to(void)
{
    struct raw_server_test *test = new_server();
    int first = request(test, 2);
    int second = request(test, 1);

    CU_ASSERT_EQUAL(conn_of(test)->blocked_count, 2);
    CU_ASSERT_EQUAL(test->raw.streams[first].in.size, 0);
    int encoder = open_encoder(test);
    CU_ASSERT_EQUAL(conn_of(test)->blocked_count, 2);
    insert(test, encoder);
    CU_ASSERT_EQUAL(conn_of(test)->blocked_count, 1);
    CU_ASSERT_EQUAL(raw_status(&test->raw.streams[second]), 200);
    CU_ASSERT_EQUAL(test->raw.streams[first].in.size, 0);
    insert(test, encoder);
    CU_ASSERT_EQUAL(conn_of(test)->blocked_count, 0);
    CU_ASSERT_EQUAL(raw_status(&test->raw.streams[first]), 200);
    CU_ASSERT_TRUE(test->raw.streams[first].has_fin);
    CU_ASSERT_EQUAL(mr_h3_server_counters(test->server)->streams_blocked, 2);
    h3_check_serves(test);
    raw_server_test_free(test);
}

/* The same when it comes in pieces, and what is behind it with it. */
static void a_section_in_pieces_waits_as_well(void)
{
    for (size_t cut = 1; cut < 15; cut++) {
        struct raw_server_test *test = new_server();
        struct raw_bytes whole;
        int stream = raw_open(&test->raw, false);

        put_request(1);
        whole = h3_bytes;
        h3_bytes.size = cut;
        raw_send(&test->raw, stream, &h3_bytes, false);
        CU_ASSERT_TRUE(loop_run(test->loop, H3_STEPS));
        h3_bytes.size = 0;
        raw_put(&h3_bytes, whole.data + cut, whole.size - cut);
        raw_put_frame(&h3_bytes, 0x21, "skipped", 7);
        raw_send(&test->raw, stream, &h3_bytes, true);
        CU_ASSERT_TRUE(loop_run(test->loop, H3_STEPS));
        CU_ASSERT_EQUAL(conn_of(test)->blocked_count, 1);
        mr_h3_check(&test->server->h3);
        insert(test, open_encoder(test));
        CU_ASSERT_EQUAL(raw_status(&test->raw.streams[stream]), 200);
        CU_ASSERT_TRUE(test->raw.streams[stream].has_fin);
        h3_check_serves(test);
        raw_server_test_free(test);
    }
}

/* Section 2.1.2: "If a decoder encounters more blocked streams than it promised to support, it MUST
 * treat this as a connection error of type QPACK_DECOMPRESSION_FAILED." */
static void more_than_promised_end_the_connection(void)
{
    struct raw_server_test *test = new_server();

    for (int i = 0; i < BLOCKED; i++)
        request(test, 1);
    CU_ASSERT_EQUAL(conn_of(test)->blocked_count, BLOCKED);
    CU_ASSERT_FALSE(test->raw.is_closed);
    request(test, 1);
    h3_check_closed(test, MR_QPACK_DECOMPRESSION_FAILED);
    raw_server_test_free(test);
}

/* What is given up does not wait any more, and is cancelled to the peer (Section 2.2.2.2). */
static void a_blocked_request_that_is_reset_makes_room(void)
{
    struct raw_server_test *test = new_server();

    for (int round = 0; round < 4; round++) {
        int streams[BLOCKED];
        for (int i = 0; i < BLOCKED; i++) {
            put_request(1);
            streams[i] = h3_send_new(test, false, false);
        }
        CU_ASSERT_EQUAL(conn_of(test)->blocked_count, BLOCKED);
        for (int i = 0; i < BLOCKED; i++)
            raw_reset(&test->raw, streams[i], MR_H3_REQUEST_CANCELLED);
        CU_ASSERT_TRUE(loop_run(test->loop, H3_STEPS));
        CU_ASSERT_EQUAL(conn_of(test)->blocked_count, 0);
    }
    const struct raw_stream *feedback = raw_find_uni(&test->raw, MR_H3_STREAM_QPACK_DECODER);
    CU_ASSERT_PTR_NOT_NULL_FATAL(feedback);
    CU_ASSERT_EQUAL(feedback->in.size, 1 + 4 * BLOCKED);
    h3_check_serves(test);
    raw_server_test_free(test);
}

/* A peer that never sends what its requests wait for holds them as long as any other that does not
 * complete a request. */
static void a_request_that_waits_for_ever_is_ended(void)
{
    struct raw_server_test *test = new_server();
    int stream = request(test, 1);

    loop_pass(test->loop, UINT64_C(30000000000));
    CU_ASSERT_NOT_EQUAL(test->raw.streams[stream].reset_code, RAW_NONE);
    CU_ASSERT_EQUAL(conn_of(test)->blocked_count, 0);
    CU_ASSERT_EQUAL(mr_h3_server_counters(test->server)->requests_timed_out, 1);
    h3_check_serves(test);
    raw_server_test_free(test);
}

/* Section 5: SETTINGS_QPACK_BLOCKED_STREAMS (0x07) says how many may wait. */
static void the_promise_is_in_settings(void)
{
    struct raw_server_test *test = new_server();
    const struct raw_stream *control = raw_find_uni(&test->raw, MR_H3_STREAM_CONTROL);
    struct mr_h3_settings settings;
    size_t size;

    CU_ASSERT_PTR_NOT_NULL_FATAL(control);
    const uint8_t *payload = raw_find_frame(control, 1, MR_H3_FRAME_SETTINGS, &size);
    CU_ASSERT_PTR_NOT_NULL_FATAL(payload);
    CU_ASSERT_EQUAL(mr_h3_settings_parse(payload, size, &settings), 0);
    CU_ASSERT_EQUAL(settings.qpack_blocked_max, BLOCKED);
    raw_server_test_free(test);
}

/* ------------------------------------------------------------------ both ways */

/* Client and server refer to their tables, whatever the transport refuses and however the streams
 * are mixed, and every page is right.  Section 2.1.1.1: an encoder must not evict what is referred
 * to; Section 2.1.2: nor block more streams than the peer allows.  "... and the entries that would
 * be evicted are not evictable, the encoder MUST NOT insert that entry into the dynamic table
 * (including duplicates of existing entries)." (Section 2.1.1)  "An encoder MUST limit the number
 * of streams that could become blocked to the value of SETTINGS_QPACK_BLOCKED_STREAMS at all
 * times." (Section 2.1.2)  "The encoder MUST NOT cause a dynamic table entry to be evicted unless
 * that entry is evictable; see Section 2.1.1." (Section 3.2.2)  "The encoder MUST NOT set a dynamic
 * table capacity that exceeds this maximum, but it can choose to use a lower dynamic table
 * capacity; see Section 4.3.1." (Section 3.2.3)  "The new capacity MUST be lower than or equal to
 * the limit described in Section 3.2.3." (Section 4.3.1)  "This MUST NOT cause the eviction of
 * entries that are not evictable; see Section 2.1.1." (Section 4.3.1) */
static void tables_are_used_both_ways(void)
{
    for (uint64_t seed = 1; seed <= 24; seed++) {
        struct h3_pair *pair = h3_pair_new();
        struct mr_h3_server_config config = h3_pair_server_config(pair);
        struct loop_config loop_options = loop_config_default(seed);
        struct h3_fetch *fetches[40];
        char path[64];

        config.qpack_encoder_capacity = seed % 3 == 0 ? 200 : 4096;
        config.qpack_blocked_max = seed % 4 == 0 ? 0 : 20;
        pair->client_table = 4096;
        pair->client_blocked = seed % 2 == 0 ? 0 : 20;
        loop_options.refuse_percent = seed % 5 == 0 ? 30 : 0;
        loop_options.queue_max = 2000;
        loop_options.piece_max = 1 + 40 * (size_t)(seed % 6);
        h3_pair_write_text(pair, "page", "content of a page");
        h3_pair_start(pair, &config, &loop_options);
        for (size_t i = 0; i < MR_COUNT_OF(fetches); i++) {
            snprintf(path, sizeof(path), "/page?%zu", i % 3);
            const struct mr_h3_request_options options = {.path = strdup(path)};
            fetches[i] = h3_pair_begin(pair, &options);
            for (int k = 0; k < 20; k++)
                loop_step(pair->loop);
            if (i % 4 == 3)
                (void)mr_h3_client_cancel(pair->client, fetches[i]->request);
            h3_pair_run(pair);
            free((void *)(uintptr_t)options.path);
        }
        for (size_t i = 0; i < MR_COUNT_OF(fetches); i++) {
            if (i % 4 == 3)
                continue;
            CU_ASSERT_EQUAL(fetches[i]->result.status, 200);
            CU_ASSERT_EQUAL(fetches[i]->body_size, 17);
            CU_ASSERT_STRING_EQUAL(fetches[i]->content_type, "application/octet-stream");
        }
        struct mr_h3_conn *conn = pair->server->h3.all;
        CU_ASSERT_PTR_NOT_NULL_FATAL(conn);
        CU_ASSERT_PTR_NOT_NULL(conn->our_encoder);
        CU_ASSERT(mr_qpack_decoder_inserted(&conn->decoder) > 0);
        CU_ASSERT_EQUAL(h3_pair_counter(pair, connection_errors), 0);
        mr_h3_check(&pair->server->h3);
        h3_pair_free(pair);
    }
}

/* A peer that says nothing of a table gets no reference to one, and no third stream of ours. */
static void a_peer_without_a_table_gets_none(void)
{
    struct mr_h3_server_config config = mr_h3_server_config_default(4);

    config.qpack_encoder_capacity = 4096;
    struct raw_server_test *test = raw_server_test_new(&config, NULL);
    h3_begin_bytes();
    raw_put_control(&h3_bytes);
    h3_send_new(test, true, false);
    for (int i = 0; i < 3; i++)
        h3_check_serves(test);
    CU_ASSERT_PTR_NULL(raw_find_uni(&test->raw, MR_H3_STREAM_QPACK_ENCODER));
    raw_server_test_free(test);
}

static CU_TestInfo tests[] = {
    {"the example of Appendix B decodes", the_example_of_appendix_b_decodes},
    {"broken inputs are refused", broken_inputs_are_refused},
    {"sections of one field are no requests", sections_of_one_field_are_no_requests},
    {"a section waits for what it refers to", a_section_waits_for_what_it_refers_to},
    {"a section in pieces waits as well", a_section_in_pieces_waits_as_well},
    {"more than promised end the connection", more_than_promised_end_the_connection},
    {"a blocked request that is reset makes room", a_blocked_request_that_is_reset_makes_room},
    {"a request that waits for ever is ended", a_request_that_waits_for_ever_is_ended},
    {"the promise is in SETTINGS", the_promise_is_in_settings},
    {"tables are used both ways", tables_are_used_both_ways},
    {"a peer without a table gets none", a_peer_without_a_table_gets_none},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9204, dynamic table", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
