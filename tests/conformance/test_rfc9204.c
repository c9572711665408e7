/*
 * RFC 9204: QPACK, as the HTTP/3 server uses it, against a peer that sends any bytes.
 * The sentences quoted are the RFC's.
 */
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "http3/frame.h"
#include "http3/qpack.h"
#include "tests/support/h3_cases.h"
#include "tests/unit/harness.h"

enum {
    CAPACITY = 4096, /* of the server's decoder */
};

/* Field lines of the static table (RFC 9204, Appendix A): indexed ":method: GET", ":path: /",
 * ":scheme: https". */
#define GET_ROOT "\xd1\xc1\xd7"

static void put_text(struct raw_bytes *bytes, const char *text)
{
    raw_put(bytes, text, strlen(text));
}

/* Set Dynamic Table Capacity (Section 4.3.1) to CAPACITY: 31 + 4065. */
static void put_capacity(void)
{
    raw_put(&h3_bytes, "\x3f\xe1\x1f", 3);
}

/* Insert with Literal Name (Section 4.3.3): "x-name: value". */
static void put_insert(const char *value)
{
    char length[2] = {(char)strlen(value), '\0'};

    put_text(&h3_bytes, "\x46"
                        "x-name");
    raw_put(&h3_bytes, length, 1);
    put_text(&h3_bytes, value);
}

/* Send h3_bytes as the peer's encoder stream. */
static int send_encoder(struct raw_server_test *test)
{
    struct raw_bytes keep = h3_bytes;

    int stream = -1;

    h3_bytes.size = 0;
    raw_put_varint(&h3_bytes, MR_H3_STREAM_QPACK_ENCODER);
    raw_put(&h3_bytes, keep.data, keep.size);
    while (stream < 0) /* the loop may refuse now and then */
        stream = raw_open(&test->raw, true);
    raw_send(&test->raw, stream, &h3_bytes, false);
    CU_ASSERT_TRUE(loop_run(test->loop, H3_STEPS));
    h3_begin_bytes();
    return stream;
}

static void expect_encoder_close(uint64_t code)
{
    struct raw_server_test *test = raw_server_test_new(NULL, NULL);

    send_encoder(test);
    h3_check_closed(test, code);
    raw_server_test_free(test);
}

/* A request whose section is `prefix`, the static fields of a GET and `lines`, after `inserts`
 * entries. */
static struct raw_server_test *send_section(int inserts, const char *prefix, const char *lines,
                                            size_t lines_size, int *stream_out)
{
    struct raw_server_test *test = raw_server_test_new(NULL, NULL);

    h3_begin_bytes();
    put_capacity();
    for (int i = 0; i < inserts; i++)
        put_insert("value");
    send_encoder(test);
    h3_section.size = 0;
    raw_put(&h3_section, prefix, 2);
    put_text(&h3_section, GET_ROOT);
    put_text(&h3_section, "\x50\x01"
                          "h"); /* :authority, by name of the static table */
    raw_put(&h3_section, lines, lines_size);
    raw_put_headers(&h3_bytes, &h3_section);
    *stream_out = h3_send_new(test, false, true);
    return test;
}

static void expect_section_close(int inserts, const char *prefix, const char *lines,
                                 size_t lines_size, uint64_t code)
{
    int stream;
    struct raw_server_test *test = send_section(inserts, prefix, lines, lines_size, &stream);

    h3_check_closed(test, code);
    raw_server_test_free(test);
}

/* "After the decoder finishes decoding a field section encoded using representations containing
 * dynamic table references, it MUST emit a Section Acknowledgment instruction" (Section 2.2.2.1) */
static void a_section_that_uses_the_dynamic_table_is_acknowledged(void)
{
    int stream;
    struct raw_server_test *test = send_section(1, "\x02\x00", "\x80", 1, &stream);
    const struct raw_stream *feedback = raw_find_uni(&test->raw, MR_H3_STREAM_QPACK_DECODER);

    CU_ASSERT_EQUAL(raw_status(&test->raw.streams[stream]), 404);
    CU_ASSERT_PTR_NOT_NULL_FATAL(feedback);
    CU_ASSERT_EQUAL(feedback->in.size, 3); /* type, insert count increment or not, acknowledgment */
    CU_ASSERT_EQUAL(feedback->in.data[feedback->in.size - 1], 0x80 | test->raw.streams[stream].id);
    raw_server_test_free(test);
}

/* The same when the transport refuses every other send: nothing is lost, and nothing is said twice.
 */
static void feedback_waits_for_room_and_is_not_lost(void)
{
    enum {
        REQUESTS = 20
    };
    struct loop_config loop = loop_config_default(3);
    loop.refuse_percent = 50;
    struct raw_server_test *test = raw_server_test_new(NULL, &loop);
    uint32_t acknowledged = 0;

    h3_begin_bytes();
    put_capacity();
    put_insert("value");
    send_encoder(test);
    for (int i = 0; i < REQUESTS; i++) {
        int stream = -1;
        h3_begin_bytes();
        h3_section.size = 0;
        raw_put(&h3_section, "\x02\x00", 2);
        put_text(&h3_section, GET_ROOT);
        put_text(&h3_section, "\x50\x01"
                              "h"
                              "\x80");
        raw_put_headers(&h3_bytes, &h3_section);
        while (stream < 0)
            stream = raw_open(&test->raw, false);
        raw_send(&test->raw, stream, &h3_bytes, true);
        loop_step(test->loop);
    }
    loop_pass(test->loop, UINT64_C(5000000000));
    const struct raw_stream *feedback = raw_find_uni(&test->raw, MR_H3_STREAM_QPACK_DECODER);
    CU_ASSERT_PTR_NOT_NULL_FATAL(feedback);
    for (size_t i = 1; i < feedback->in.size; i++)
        acknowledged += (feedback->in.data[i] & 0x80) != 0;
    CU_ASSERT_EQUAL(acknowledged, REQUESTS);
    CU_ASSERT_EQUAL(test->raw.close_code, RAW_NONE);
    raw_server_test_free(test);
}

/* "The Insert Count Increment instruction ... informs the encoder ... of the total number of
 * dynamic table inserts ... processed" (Section 4.4.3) */
static void insertions_are_counted_to_the_peer(void)
{
    struct raw_server_test *test = raw_server_test_new(NULL, NULL);
    const struct raw_stream *feedback;

    h3_begin_bytes();
    put_capacity();
    put_insert("a");
    put_insert("b");
    send_encoder(test);
    feedback = raw_find_uni(&test->raw, MR_H3_STREAM_QPACK_DECODER);
    CU_ASSERT_PTR_NOT_NULL_FATAL(feedback);
    CU_ASSERT_EQUAL(feedback->in.size, 2);
    CU_ASSERT_EQUAL(feedback->in.data[1], 0x02);
    raw_server_test_free(test);
}

/* "when it abandons reading of a stream ... it generates a Stream Cancellation instruction"
 * (Section 2.2.2.2) */
static void a_request_that_is_abandoned_is_cancelled_to_the_peer(void)
{
    struct raw_server_test *test = h3_new_server();

    put_text(&h3_bytes, "\x01\x10"); /* the beginning of a HEADERS frame */
    int stream = h3_send_new(test, false, false);
    raw_reset(&test->raw, stream, MR_H3_REQUEST_CANCELLED);
    loop_run(test->loop, H3_STEPS);
    const struct raw_stream *feedback = raw_find_uni(&test->raw, MR_H3_STREAM_QPACK_DECODER);
    CU_ASSERT_PTR_NOT_NULL_FATAL(feedback);
    CU_ASSERT_EQUAL(feedback->in.size, 2);
    CU_ASSERT_EQUAL(feedback->in.data[1], 0x40 | test->raw.streams[stream].id);
    h3_check_serves(test);
    raw_server_test_free(test);
}

/* "If the decoder encounters more blocked streams than it promised to support, it MUST treat this
 * as a connection error of type QPACK_DECOMPRESSION_FAILED." (Section 2.1.2; we promise none) */
static void a_section_that_would_block_is_decompression_failed(void)
{
    expect_section_close(1, "\x03\x00", "\x80", 1, MR_QPACK_DECOMPRESSION_FAILED);
}

/* "If the decoder encounters a reference in a field line representation to a dynamic table entry
 * that has already been evicted or that has an absolute index greater than or equal to the declared
 * Required Insert Count (Section 4.5.1), it MUST treat this as a connection error of type
 * QPACK_DECOMPRESSION_FAILED." (Section 2.2.3)  "If it encounters a Required Insert Count smaller
 * than expected, it MUST treat this as a connection error of type QPACK_DECOMPRESSION_FAILED"
 * (Section 2.2.1) */
static void references_to_what_is_not_there_are_decompression_failed(void)
{
    expect_section_close(1, "\x02\x00", "\x81", 1, MR_QPACK_DECOMPRESSION_FAILED); /* below 0 */
    expect_section_close(2, "\x02\x00", "\x10", 1,
                         MR_QPACK_DECOMPRESSION_FAILED); /* not below the count */
    expect_section_close(0, "\x00\x00", "\x80", 1, MR_QPACK_DECOMPRESSION_FAILED); /* no count */
}

/* A table whose first entry is evicted: three entries of 2,038 bytes, of which two fit. */
static struct raw_server_test *new_with_evicted(void)
{
    struct raw_server_test *test = raw_server_test_new(NULL, NULL);

    h3_begin_bytes();
    put_capacity();
    for (int entry = 0; entry < 3; entry++) {
        put_text(&h3_bytes, "\x46"
                            "x-name"
                            "\x7f\xd1\x0e"); /* a value of 2,000 bytes */
        for (int i = 0; i < 2000; i++)
            put_text(&h3_bytes, "v");
    }
    return test;
}

/* "If the decoder encounters a reference in a field line representation to a dynamic table entry
 * that has already been evicted or that has an absolute index greater than or equal to the declared
 * Required Insert Count (Section 4.5.1), it MUST treat this as a connection error of type
 * QPACK_DECOMPRESSION_FAILED."  "If the decoder encounters a reference in an encoder instruction to
 * a dynamic table entry that has already been evicted, it MUST treat this as a connection error of
 * type QPACK_ENCODER_STREAM_ERROR." (Section 2.2.3) */
static void references_to_what_is_evicted_are_errors(void)
{
    for (int age = 1; age < 3; age++) { /* of the entry: the oldest that is left, the first */
        struct raw_server_test *test = new_with_evicted();
        char line[] = {(char)(0x80 | age)};
        send_encoder(test);
        h3_section.size = 0;
        raw_put(&h3_section, "\x04\x00", 2); /* Required Insert Count and Base: 3 */
        put_text(&h3_section, GET_ROOT "\x50\x01"
                                       "h");
        raw_put(&h3_section, line, 1);
        raw_put_headers(&h3_bytes, &h3_section);
        int stream = h3_send_new(test, false, true);
        CU_ASSERT_EQUAL(raw_status(&test->raw.streams[stream]), age == 1 ? 404 : 0);
        if (age == 2)
            h3_check_closed(test, MR_QPACK_DECOMPRESSION_FAILED);
        raw_server_test_free(test);
    }
    struct raw_server_test *test = new_with_evicted();
    raw_put(&h3_bytes, "\x02", 1); /* Duplicate */
    send_encoder(test);
    h3_check_closed(test, MR_QPACK_ENCODER_STREAM_ERROR);
    raw_server_test_free(test);
}

/* "The dynamic table can contain duplicate entries (i.e., entries with the same name and same
 * value). Therefore, duplicate entries MUST NOT be treated as an error by the decoder."
 * (Section 3.2) */
static void duplicate_entries_are_no_error(void)
{
    struct raw_server_test *test = raw_server_test_new(NULL, NULL);

    h3_begin_bytes();
    put_capacity();
    put_insert("value");
    put_insert("value");
    raw_put(&h3_bytes, "\x00", 1); /* Duplicate */
    send_encoder(test);
    h3_section.size = 0;
    raw_put(&h3_section, "\x04\x00", 2);
    put_text(&h3_section, GET_ROOT "\x50\x01"
                                   "h"
                                   "\x80\x81\x82");
    raw_put_headers(&h3_bytes, &h3_section);
    int stream = h3_send_new(test, false, true);
    CU_ASSERT_EQUAL(raw_status(&test->raw.streams[stream]), 404);
    CU_ASSERT_FALSE(test->raw.is_closed);
    raw_server_test_free(test);
}

/* "QPACK implementations MUST be able to decode integers up to and including 62 bits long."
 * (Section 4.1.1): the cancellation of a stream of the largest ID there is. */
static void integers_of_62_bits_are_decoded(void)
{
    struct raw_server_test *test = h3_new_server();

    raw_put_varint(&h3_bytes, MR_H3_STREAM_QPACK_DECODER);
    raw_put(&h3_bytes, "\x7f\xc0\xff\xff\xff\xff\xff\xff\xff\x3f", 10); /* 63 + 2^62 - 64 */
    put_text(&h3_bytes, "\x41");
    int stream = h3_send_new(test, true, false);
    h3_check_serves(test);
    h3_begin_bytes(); /* it is where it should be in the stream: an increment of 0 is an error */
    raw_put(&h3_bytes, "\x00", 1);
    raw_send(&test->raw, stream, &h3_bytes, false);
    loop_run(test->loop, H3_STEPS);
    h3_check_closed(test, MR_QPACK_DECODER_STREAM_ERROR);
    raw_server_test_free(test);
}

/* "When the decoder encounters an invalid static table index in a field line representation, it
 * MUST treat this as a connection error of type QPACK_DECOMPRESSION_FAILED." (Section 3.1) */
static void an_invalid_static_index_is_decompression_failed(void)
{
    expect_section_close(0, "\x00\x00", "\xff\x24", 2, MR_QPACK_DECOMPRESSION_FAILED); /* 99 */
    expect_section_close(0, "\x00\x00", "\x5f\x54\x01x", 4, MR_QPACK_DECOMPRESSION_FAILED);
}

/* "If the decoder encounters a value of EncodedInsertCount that could not have been produced by a
 * conformant encoder, it MUST treat this as a connection error of type QPACK_DECOMPRESSION_FAILED."
 * (Section 4.5.1.1) */
static void an_impossible_insert_count_is_decompression_failed(void)
{
    expect_section_close(0, "\xfe\x00", "", 0, MR_QPACK_DECOMPRESSION_FAILED);
}

/* "An endpoint MUST treat a field block with a Sign bit of 1 as invalid if the value of Required
 * Insert Count is less than or equal to the value of Delta Base." (Section 4.5.1.2)  "The value of
 * Base MUST NOT be negative." (Section 4.5.1.2) */
static void a_negative_base_is_decompression_failed(void)
{
    expect_section_close(1, "\x02\x81", "\x80", 1, MR_QPACK_DECOMPRESSION_FAILED);
}

/* "If an implementation encounters a value larger than it is able to decode, this MUST be treated
 * as ..." (Section 7.4): integers without end, strings beyond the section, a section cut off */
static void sections_that_end_early_or_never_are_decompression_failed(void)
{
    expect_section_close(0, "\x00\x00", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12,
                         MR_QPACK_DECOMPRESSION_FAILED);
    expect_section_close(0, "\x00\x00",
                         "\x27\x7f"
                         "x",
                         3, MR_QPACK_DECOMPRESSION_FAILED);
    expect_section_close(0, "\x00\x00", "\x51", 1, MR_QPACK_DECOMPRESSION_FAILED);
    expect_section_close(0, "\x00\x00", "\x51\x81\xff", 3,
                         MR_QPACK_DECOMPRESSION_FAILED); /* Huffman padding */
    h3_begin_bytes();
    raw_put_frame(&h3_bytes, MR_H3_FRAME_HEADERS, NULL, 0); /* not even a prefix */
    h3_expect_close(false, true, MR_QPACK_DECOMPRESSION_FAILED);
}

/* "The decoder MUST treat a new dynamic table capacity value that exceeds this limit as a
 * connection error of type QPACK_ENCODER_STREAM_ERROR." (Section 4.3.1) */
static void a_capacity_over_the_limit_is_an_encoder_stream_error(void)
{
    h3_begin_bytes();
    raw_put(&h3_bytes, "\x3f\xe2\x1f", 3); /* 4097 */
    expect_encoder_close(MR_QPACK_ENCODER_STREAM_ERROR);
}

/* "It is an error if the encoder attempts to add an entry that is larger than the dynamic table
 * capacity; the decoder MUST treat this as a connection error of type QPACK_ENCODER_STREAM_ERROR."
 * (Section 3.2.2) */
static void an_entry_larger_than_the_table_is_an_encoder_stream_error(void)
{
    h3_begin_bytes();
    raw_put(&h3_bytes, "\x3f\x01", 2); /* capacity 32: every entry is larger */
    put_insert("v");
    expect_encoder_close(MR_QPACK_ENCODER_STREAM_ERROR);
    h3_begin_bytes(); /* no capacity was ever set */
    put_insert("v");
    expect_encoder_close(MR_QPACK_ENCODER_STREAM_ERROR);
}

/* "If this index is received on the encoder stream, this MUST be treated as a connection error of
 * type QPACK_ENCODER_STREAM_ERROR." (Section 3.1), and of Section 2.2.3: "If the decoder encounters
 * a reference in an encoder instruction to a dynamic table entry that has already been evicted, it
 * MUST treat this as a connection error of type QPACK_ENCODER_STREAM_ERROR." */
static void references_to_nothing_on_the_encoder_stream_are_errors_of_it(void)
{
    h3_begin_bytes();
    put_capacity();
    raw_put(&h3_bytes, "\xff\x24\x01x", 4); /* name of static entry 99 */
    expect_encoder_close(MR_QPACK_ENCODER_STREAM_ERROR);
    h3_begin_bytes();
    put_capacity();
    raw_put(&h3_bytes, "\x00", 1); /* duplicate of an empty table's newest entry */
    expect_encoder_close(MR_QPACK_ENCODER_STREAM_ERROR);
}

/* "If an implementation encounters a value larger than it is able to decode, this MUST be treated
 * as a stream error of type QPACK_DECOMPRESSION_FAILED if on a request stream or a connection error
 * of the appropriate type if on the encoder or decoder stream." (Section 7.4) */
static void values_too_large_to_decode_are_errors_of_their_stream(void)
{
    h3_begin_bytes();
    put_capacity();
    raw_put(&h3_bytes, "\x5f\xe2\x01", 3); /* a name of 257 bytes */
    expect_encoder_close(MR_QPACK_ENCODER_STREAM_ERROR);
    h3_begin_bytes();
    put_capacity();
    raw_put(&h3_bytes, "\x5f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12);
    expect_encoder_close(MR_QPACK_ENCODER_STREAM_ERROR);
    expect_section_close(0, "\x00\x00", "\x27\xfa\x01", 3, MR_QPACK_DECOMPRESSION_FAILED); /* 257 */
}

/* Memory: a literal is announced far larger than the table; it is not waited for. */
static void a_huge_literal_on_the_encoder_stream_ends_the_connection(void)
{
    struct raw_server_test *test = raw_server_test_new(NULL, NULL);

    h3_begin_bytes();
    put_capacity();
    put_text(&h3_bytes, "\x46"
                        "x-name"
                        "\x7f\x80\xff\x03"); /* a value of 65,535 bytes */
    send_encoder(test);
    CU_ASSERT_TRUE(test->raw.is_closed);
    CU_ASSERT_TRUE(mr_h3_server_counters(test->server)->heap_refused > 0);
    loop_run(test->loop, H3_STEPS);
    CU_ASSERT_EQUAL(mr_h3_server_usage(test->server).heap_bytes, 0);
    raw_server_test_free(test);
}

/* A section of 1-byte references to one large entry would be many times as long as what was sent.
 */
static void references_that_expand_without_limit_are_answered_with_431(void)
{
    static char lines[8000];
    struct raw_server_test *test = raw_server_test_new(NULL, NULL);

    h3_begin_bytes();
    put_capacity();
    put_text(&h3_bytes, "\x46"
                        "x-name"
                        "\x7f\xa1\x1e"); /* a value of 4,000 bytes */
    for (int i = 0; i < 4000; i++)
        put_text(&h3_bytes, "v");
    send_encoder(test);
    memset(lines, 0x80, sizeof(lines));
    h3_section.size = 0;
    raw_put(&h3_section, "\x02\x00", 2);
    put_text(&h3_section, GET_ROOT);
    put_text(&h3_section, "\x50\x01"
                          "h");
    raw_put(&h3_section, lines, sizeof(lines));
    raw_put_headers(&h3_bytes, &h3_section);
    int stream = h3_send_new(test, false, true);
    CU_ASSERT_EQUAL(raw_status(&test->raw.streams[stream]), 431);
    CU_ASSERT_EQUAL(test->raw.close_code, RAW_NONE);
    h3_check_serves(test);
    raw_server_test_free(test);
}

/* "If an encoder receives a Section Acknowledgment instruction referring to a stream on which every
 * encoded field section with a non-zero Required Insert Count has already been acknowledged, this
 * MUST be treated as a connection error of type QPACK_DECODER_STREAM_ERROR." (Section 4.4.1) "An
 * encoder that receives an Increment field equal to zero, or one that increases the Known Received
 * Count beyond what the encoder has sent, MUST treat this as a connection error of type
 * QPACK_DECODER_STREAM_ERROR." (Section 4.4.3) */
static void feedback_on_what_was_never_sent_is_a_decoder_stream_error(void)
{
    static const char *const feedback[] = {"\x80", "\x84", "\x01", "\x3f\x05",
                                           "\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"};

    for (size_t i = 0; i < MR_COUNT_OF(feedback); i++) {
        h3_begin_bytes();
        raw_put_varint(&h3_bytes, MR_H3_STREAM_QPACK_DECODER);
        put_text(&h3_bytes, feedback[i]);
        h3_expect_close(true, false, MR_QPACK_DECODER_STREAM_ERROR);
    }
    h3_begin_bytes();
    raw_put_varint(&h3_bytes, MR_H3_STREAM_QPACK_DECODER);
    raw_put(&h3_bytes, "\0", 1);
    h3_expect_close(true, false, MR_QPACK_DECODER_STREAM_ERROR);
}

/* Section 4.4.2: a cancellation needs no answer. */
static void cancellations_are_read_over(void)
{
    struct raw_server_test *test = h3_new_server();

    raw_put_varint(&h3_bytes, MR_H3_STREAM_QPACK_DECODER);
    put_text(&h3_bytes, "\x40\x44\x7f\x81\x01\x41");
    h3_send_new(test, true, false);
    h3_check_serves(test);
    raw_server_test_free(test);
}

/* "When the maximum table capacity is zero, the encoder MUST NOT insert entries into the dynamic
 * table and MUST NOT send any encoder instructions on the encoder stream." (Section 3.2.3) "An
 * endpoint MUST allow its peer to create an encoder stream and a decoder stream even if the
 * connection's settings prevent their use." (Section 4.2) */
static void without_a_dynamic_table_both_streams_are_allowed_and_insertions_are_not(void)
{
    struct mr_h3_server_config config = mr_h3_server_config_default(4);
    config.qpack_capacity = 0;
    struct raw_server_test *test = raw_server_test_new(&config, NULL);

    h3_begin_bytes();
    raw_put_control(&h3_bytes);
    h3_send_new(test, true, false);
    h3_begin_bytes();
    raw_put_varint(&h3_bytes, MR_H3_STREAM_QPACK_DECODER);
    h3_send_new(test, true, false);
    h3_begin_bytes();
    int encoder = send_encoder(test);
    h3_check_serves(test);
    CU_ASSERT_PTR_NULL(raw_find_uni(&test->raw, MR_H3_STREAM_QPACK_DECODER));
    h3_begin_bytes();
    put_insert("v");
    raw_send(&test->raw, encoder, &h3_bytes, false);
    loop_run(test->loop, H3_STEPS);
    h3_check_closed(test, MR_QPACK_ENCODER_STREAM_ERROR);
    raw_server_test_free(test);
}

CU_TestInfo rfc9204_tests[] = {
    {"a section that uses the dynamic table is acknowledged",
     a_section_that_uses_the_dynamic_table_is_acknowledged},
    {"feedback waits for room and is not lost", feedback_waits_for_room_and_is_not_lost},
    {"insertions are counted to the peer", insertions_are_counted_to_the_peer},
    {"a request that is abandoned is cancelled to the peer",
     a_request_that_is_abandoned_is_cancelled_to_the_peer},
    {"a section that would block is decompression failed",
     a_section_that_would_block_is_decompression_failed},
    {"references to what is not there are decompression failed",
     references_to_what_is_not_there_are_decompression_failed},
    {"references to what is evicted are errors", references_to_what_is_evicted_are_errors},
    {"duplicate entries are no error", duplicate_entries_are_no_error},
    {"integers of 62 bits are decoded", integers_of_62_bits_are_decoded},
    {"an invalid static index is decompression failed",
     an_invalid_static_index_is_decompression_failed},
    {"an impossible insert count is decompression failed",
     an_impossible_insert_count_is_decompression_failed},
    {"a negative base is decompression failed", a_negative_base_is_decompression_failed},
    {"sections that end early or never are decompression failed",
     sections_that_end_early_or_never_are_decompression_failed},
    {"a capacity over the limit is an encoder stream error",
     a_capacity_over_the_limit_is_an_encoder_stream_error},
    {"an entry larger than the table is an encoder stream error",
     an_entry_larger_than_the_table_is_an_encoder_stream_error},
    {"references to nothing on the encoder stream are errors of it",
     references_to_nothing_on_the_encoder_stream_are_errors_of_it},
    {"values too large to decode are errors of their stream",
     values_too_large_to_decode_are_errors_of_their_stream},
    {"a huge literal on the encoder stream ends the connection",
     a_huge_literal_on_the_encoder_stream_ends_the_connection},
    {"references that expand without limit are answered with 431",
     references_that_expand_without_limit_are_answered_with_431},
    {"feedback on what was never sent is a decoder stream error",
     feedback_on_what_was_never_sent_is_a_decoder_stream_error},
    {"cancellations are read over", cancellations_are_read_over},
    {"without a dynamic table both streams are allowed and insertions are not",
     without_a_dynamic_table_both_streams_are_allowed_and_insertions_are_not},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9204", .pTests = rfc9204_tests},
    CU_SUITE_INFO_NULL,
};
