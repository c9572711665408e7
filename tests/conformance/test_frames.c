/*
 * What RFC 9000 (Sections 4.6, 12.4 and 19) demands of frames as such: what a decoder can see
 * without the connection. Each test quotes its sentence.  A decoder that returns false means
 * FRAME_ENCODING_ERROR.
 */
#include "quic/frame.h"
#include "tests/hex.h"
#include "tests/unit/harness.h"

/* A reader over the bytes that `hex` spells, which follow a frame's type. */
static struct mr_reader fields(const char *hex)
{
    static uint8_t bytes[256];

    return mr_reader(bytes, mr_hex(hex, bytes, sizeof(bytes)));
}

static enum mr_frame_type_verdict read_type(const char *hex)
{
    struct mr_reader r = fields(hex);
    uint64_t type = 0;

    return mr_frame_read_type(&r, &type);
}

/*
 * Section 12.4: "a frame type MUST use the shortest possible encoding."  "An endpoint MAY treat the
 * receipt of a frame type that uses a longer encoding than necessary as a connection error of type
 * PROTOCOL_VIOLATION."
 */
static void a_frame_type_uses_the_shortest_encoding(void)
{
    CU_ASSERT_EQUAL(read_type("01"), MR_FRAME_TYPE_OK);
    CU_ASSERT_EQUAL(read_type("4001"), MR_FRAME_TYPE_NOT_MINIMAL);
    CU_ASSERT_EQUAL(read_type("80000001"), MR_FRAME_TYPE_NOT_MINIMAL);
    CU_ASSERT_EQUAL(read_type("c000000000000001"), MR_FRAME_TYPE_NOT_MINIMAL);
    CU_ASSERT_EQUAL(read_type("4000"), MR_FRAME_TYPE_NOT_MINIMAL);
    CU_ASSERT_EQUAL(read_type("80003fff"), MR_FRAME_TYPE_NOT_MINIMAL);
    CU_ASSERT_EQUAL(read_type("80004000"), MR_FRAME_TYPE_OK);
}

/* Section 12.4: "Each frame begins with a Frame Type": a packet that ends inside one has no such
 * frame, and no PADDING either. */
static void a_cut_frame_type_is_not_padding(void)
{
    CU_ASSERT_EQUAL(read_type("40"), MR_FRAME_TYPE_TRUNCATED);
    CU_ASSERT_EQUAL(read_type("800000"), MR_FRAME_TYPE_TRUNCATED);
    CU_ASSERT_EQUAL(read_type("c0000000000000"), MR_FRAME_TYPE_TRUNCATED);
}

static const struct {
    const char *hex; /* largest, delay, count, first range, {gap, range}... */
    bool is_valid;
} acks[] = {
    {"05000005", true},                    /* 5..0 */
    {"05000006", false},                   /* 5..-1 */
    {"0a0001050300", true},                /* 10..5, then 0 */
    {"0a0001050301", false},               /* ... then 0..-1 */
    {"0a0001050400", false},               /* ... then -1 */
    {"0a0001050302", false},               /* ... then 0..-2 */
    {"0a00020000000606", false},           /* 10, 8, then 0..-6 */
    {"0a00020000000600", true},            /* 10, 8, 0 */
    {"0a00020000030003", true},            /* 10, 8..5, then 3..0 */
    {"0a00020000030004", false},           /* ... then 3..-1 */
    {"000001000000", false},               /* 0, then -2 */
    {"010001000000", false},               /* 1, then -1 */
    {"020001000000", true},                /* 2, then 0 */
    {"0a000105ffffffffffffffff00", false}, /* a gap that wraps */
    {"0a00010500ffffffffffffffff", false}, /* a range that wraps */
    {"0a000105fffffffffffffffe00", false},
    {"0a0000ffffffffffffffff", false}, /* a first range that wraps */
    {"ffffffffffffffff0000ffffffffffffffff", true},
    {"ffffffffffffffff00013f003f", true},
};

/* Section 19.3.1: "If any computed packet number is negative, an endpoint MUST generate a
 * connection error of type FRAME_ENCODING_ERROR." */
static void no_acknowledged_number_is_negative(void)
{
    for (size_t i = 0; i < MR_COUNT_OF(acks); i++) {
        struct mr_reader r = fields(acks[i].hex);
        struct mr_frame_ack ack;

        CU_ASSERT_EQUAL(mr_frame_decode_ack(&r, MR_FRAME_ACK, &ack), acks[i].is_valid);
    }
}

/* Section 19.3: "ACK Range Count: A variable-length integer specifying the number of ACK Range
 * fields in the frame." */
static void ranges_that_are_announced_must_be_there(void)
{
    struct mr_frame_ack ack;
    struct mr_reader r = fields("3f000200"
                                "0000"
                                "00");

    CU_ASSERT_FALSE(mr_frame_decode_ack(&r, MR_FRAME_ACK, &ack));
    r = fields("3f00"
               "ffffffffffffffff"
               "00"
               "0000");
    CU_ASSERT_FALSE(mr_frame_decode_ack(&r, MR_FRAME_ACK, &ack));
    r = fields("3f000100"
               "0000");
    CU_ASSERT_TRUE(mr_frame_decode_ack(&r, MR_FRAME_ACK, &ack));
}

/* Section 19.3.2: "ECN counts are only present when the ACK frame type is 0x03." */
static void ecn_counts_belong_to_type_3(void)
{
    struct mr_frame_ack ack;
    struct mr_reader r = fields("05000000"
                                "010203");

    CU_ASSERT_TRUE(mr_frame_decode_ack(&r, MR_FRAME_ACK, &ack));
    CU_ASSERT_FALSE(ack.has_ecn);
    CU_ASSERT_EQUAL(mr_reader_left(&r), 3);

    r = fields("05000000"
               "010203");
    CU_ASSERT_TRUE(mr_frame_decode_ack(&r, MR_FRAME_ACK_ECN, &ack));
    CU_ASSERT_EQUAL(ack.ecn.ect0, 1);
    CU_ASSERT_EQUAL(ack.ecn.ect1, 2);
    CU_ASSERT_EQUAL(ack.ecn.ce, 3);
    CU_ASSERT_EQUAL(mr_reader_left(&r), 0);

    r = fields("05000000"
               "0102");
    CU_ASSERT_FALSE(mr_frame_decode_ack(&r, MR_FRAME_ACK_ECN, &ack));
}

/* Section 19.6: "The largest offset delivered on a stream -- the sum of the offset and data length
 * -- cannot exceed 2^62-1. Receipt of a frame that exceeds this limit MUST be treated as a
 * connection error of type FRAME_ENCODING_ERROR or CRYPTO_BUFFER_EXCEEDED." */
static void crypto_data_ends_below_2_to_the_62(void)
{
    struct mr_frame_crypto frame;
    struct mr_reader r = fields("fffffffffffffffe"
                                "01"
                                "aa");

    CU_ASSERT_TRUE(mr_frame_decode_crypto(&r, MR_FRAME_CRYPTO, &frame));
    r = fields("ffffffffffffffff"
               "01"
               "aa");
    CU_ASSERT_FALSE(mr_frame_decode_crypto(&r, MR_FRAME_CRYPTO, &frame));
    r = fields("ffffffffffffffff"
               "00");
    CU_ASSERT_TRUE(mr_frame_decode_crypto(&r, MR_FRAME_CRYPTO, &frame));
    r = fields("00"
               "02"
               "aa");
    CU_ASSERT_FALSE(mr_frame_decode_crypto(&r, MR_FRAME_CRYPTO, &frame));
    r = fields("00"
               "ffffffffffffffff"
               "aa");
    CU_ASSERT_FALSE(mr_frame_decode_crypto(&r, MR_FRAME_CRYPTO, &frame));
}

/* Section 19.7: "A client MUST treat receipt of a NEW_TOKEN frame with an empty Token field as a
 * connection error of type FRAME_ENCODING_ERROR."
 * RFC 9000, Section 19.7: "The token MUST NOT be empty." */
static void a_new_token_is_not_empty(void)
{
    struct mr_frame_new_token frame;
    struct mr_reader r = fields("00");

    CU_ASSERT_FALSE(mr_frame_decode_new_token(&r, MR_FRAME_NEW_TOKEN, &frame));
    r = fields("01aa");
    CU_ASSERT_TRUE(mr_frame_decode_new_token(&r, MR_FRAME_NEW_TOKEN, &frame));
    r = fields("02aa");
    CU_ASSERT_FALSE(mr_frame_decode_new_token(&r, MR_FRAME_NEW_TOKEN, &frame));
}

/* Section 19.8: "the sum of the offset and data length -- cannot exceed 2^62-1 ... Receipt of a
 * frame that exceeds this limit MUST be treated as a connection error of type FRAME_ENCODING_ERROR
 * or FLOW_CONTROL_ERROR." */
static void stream_data_ends_below_2_to_the_62(void)
{
    struct mr_frame_stream frame;
    struct mr_reader r = fields("04"
                                "fffffffffffffffe"
                                "01"
                                "aa");

    CU_ASSERT_TRUE(mr_frame_decode_stream(&r, 0x0e, &frame));
    r = fields("04"
               "fffffffffffffffe"
               "02"
               "aabb");
    CU_ASSERT_FALSE(mr_frame_decode_stream(&r, 0x0e, &frame));
    r = fields("04"
               "fffffffffffffffe"
               "aabb"); /* without Length */
    CU_ASSERT_FALSE(mr_frame_decode_stream(&r, 0x0c, &frame));
}

/* Section 19.8: the OFF, LEN and FIN bits "determine the fields that are present in the frame". */
static void the_type_of_a_stream_frame_tells_its_fields(void)
{
    for (uint64_t type = 0x08; type <= 0x0f; type++) {
        struct mr_frame_stream frame;
        struct mr_reader r = fields("04"
                                    "02"
                                    "01"
                                    "aa");

        CU_ASSERT_TRUE(mr_frame_decode_stream(&r, type, &frame));
        CU_ASSERT_EQUAL(frame.offset, type & 4 ? 2 : 0);
        CU_ASSERT_EQUAL(frame.size, (type & 6) == 6   ? 1
                                    : (type & 6) == 2 ? 2
                                    : (type & 6) == 4 ? 2
                                                      : 3);
        CU_ASSERT_EQUAL(frame.fin, (type & 1) != 0);
        CU_ASSERT_EQUAL(mr_reader_left(&r), 0);
    }
}

/*
 * Section 19.11: "This value cannot exceed 2^60 ... Receipt of a frame that permits opening of a
 * stream larger than this limit MUST be treated as a connection error of type
 * FRAME_ENCODING_ERROR." Section 19.14: "Receipt of a frame that encodes a larger stream ID MUST be
 * treated as a connection error of type STREAM_LIMIT_ERROR or FRAME_ENCODING_ERROR."
 */
static void stream_counts_do_not_exceed_2_to_the_60(void)
{
    static const char *const at = "d000000000000000";
    static const char *const above = "d000000000000001";
    struct mr_frame_limit frame;

    for (uint64_t type = 0x12; type <= 0x13; type++) {
        struct mr_reader r = fields(at);
        CU_ASSERT_TRUE(mr_frame_decode_max_streams(&r, type, &frame));
        CU_ASSERT_EQUAL(frame.is_uni, type == 0x13);
        r = fields(above);
        CU_ASSERT_FALSE(mr_frame_decode_max_streams(&r, type, &frame));
    }
    for (uint64_t type = 0x16; type <= 0x17; type++) {
        struct mr_reader r = fields(at);
        CU_ASSERT_TRUE(mr_frame_decode_streams_blocked(&r, type, &frame));
        CU_ASSERT_EQUAL(frame.is_uni, type == 0x17);
        r = fields(above);
        CU_ASSERT_FALSE(mr_frame_decode_streams_blocked(&r, type, &frame));
    }
    struct mr_reader r = fields("ffffffffffffffff"); /* MAX_DATA counts bytes: no such limit */
    CU_ASSERT_TRUE(mr_frame_decode_max_data(&r, 0x10, &frame));
}

#define TOKEN_16 "000102030405060708090a0b0c0d0e0f"

/*
 * Section 19.15: "Values less than 1 and greater than 20 are invalid and MUST be treated as a
 * connection error of type FRAME_ENCODING_ERROR."  "Receiving a value in the Retire Prior To field
 * that is greater than that in the Sequence Number field MUST be treated as a connection error of
 * type FRAME_ENCODING_ERROR."
 */
static void the_fields_of_new_connection_id_are_in_bounds(void)
{
    static const struct {
        const char *hex;
        bool is_valid;
    } rows[] = {
        {"0000"
         "00" TOKEN_16,
         false},
        {"0000"
         "01"
         "aa" TOKEN_16,
         true},
        {"0000"
         "14"
         "000102030405060708090a0b0c0d0e0f10111213" TOKEN_16,
         true},
        {"0000"
         "15"
         "000102030405060708090a0b0c0d0e0f1011121314" TOKEN_16,
         false},
        {"0000"
         "ff"
         "000102030405060708090a0b0c0d0e0f1011121314" TOKEN_16 TOKEN_16,
         false},
        {"0505"
         "01"
         "aa" TOKEN_16,
         true},
        {"0506"
         "01"
         "aa" TOKEN_16,
         false},
        {"0000"
         "01"
         "aa"
         "0001020304050607",
         false},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct mr_reader r = fields(rows[i].hex);
        struct mr_frame_new_connection_id frame;

        CU_ASSERT_EQUAL(mr_frame_decode_new_connection_id(&r, MR_FRAME_NEW_CONNECTION_ID, &frame),
                        rows[i].is_valid);
    }
}

/* Section 19.17: "Data: This 8-byte field contains arbitrary data." */
static void path_data_is_eight_bytes(void)
{
    struct mr_frame_path frame;
    struct mr_reader r = fields("00010203040506");

    CU_ASSERT_FALSE(mr_frame_decode_path(&r, MR_FRAME_PATH_CHALLENGE, &frame));
    r = fields("0001020304050607"
               "01");
    CU_ASSERT_TRUE(mr_frame_decode_path(&r, MR_FRAME_PATH_CHALLENGE, &frame));
    CU_ASSERT_EQUAL(mr_reader_left(&r), 1);
}

/* Section 19.19: "The application-specific variant of CONNECTION_CLOSE (type 0x1d) does not include
 * this field [Frame Type]." */
static void an_application_close_has_no_frame_type(void)
{
    struct mr_frame_connection_close frame;
    struct mr_reader r = fields("07"
                                "02"
                                "6869");

    CU_ASSERT_TRUE(mr_frame_decode_connection_close(&r, 0x1d, &frame));
    CU_ASSERT_EQUAL(frame.error, 7);
    CU_ASSERT_EQUAL(frame.reason_size, 2);
    CU_ASSERT_TRUE(frame.is_app);

    r = fields("07"
               "02"
               "01"
               "6869");
    CU_ASSERT_TRUE(mr_frame_decode_connection_close(&r, 0x1c, &frame));
    CU_ASSERT_EQUAL(frame.frame_type, 2);
    CU_ASSERT_EQUAL(frame.reason_size, 1);
    CU_ASSERT_EQUAL(mr_reader_left(&r), 1);

    r = fields("07"
               "02"
               "03"
               "6869"); /* "a CONNECTION_CLOSE frame cannot be split between packets" */
    CU_ASSERT_FALSE(mr_frame_decode_connection_close(&r, 0x1c, &frame));
}

static CU_TestInfo tests[] = {
    {"12.4: a frame type uses the shortest encoding", a_frame_type_uses_the_shortest_encoding},
    {"12.4: a cut frame type is not PADDING", a_cut_frame_type_is_not_padding},
    {"19.3.1: no acknowledged number is negative", no_acknowledged_number_is_negative},
    {"19.3: ranges that are announced must be there", ranges_that_are_announced_must_be_there},
    {"19.3.2: ECN counts belong to type 3", ecn_counts_belong_to_type_3},
    {"19.6: CRYPTO data ends below 2^62", crypto_data_ends_below_2_to_the_62},
    {"19.7: a NEW_TOKEN is not empty", a_new_token_is_not_empty},
    {"19.8: STREAM data ends below 2^62", stream_data_ends_below_2_to_the_62},
    {"19.8: the type of a STREAM frame tells its fields",
     the_type_of_a_stream_frame_tells_its_fields},
    {"19.11, 19.14: stream counts do not exceed 2^60", stream_counts_do_not_exceed_2_to_the_60},
    {"19.15: the fields of NEW_CONNECTION_ID are in bounds",
     the_fields_of_new_connection_id_are_in_bounds},
    {"19.17: path data is eight bytes", path_data_is_eight_bytes},
    {"19.19: an application close has no frame type", an_application_close_has_no_frame_type},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "frames", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
