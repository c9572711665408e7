/* Tests of quic/frame.h.  Rules of RFC 9000, Section 19, are in tests/conformance/test_frames.c. */
#include "quic/frame.h"

#include "tests/unit/harness.h"

static uint8_t wire[2048];

/* A reader over what `w` wrote, behind the type, which must be `type`. */
static struct mr_reader behind_type(const struct mr_writer *w, uint64_t type)
{
    struct mr_reader r = mr_reader(w->start, mr_writer_size(w));
    uint64_t read = 0;

    CU_ASSERT_EQUAL(mr_frame_read_type(&r, &read), MR_FRAME_TYPE_OK);
    CU_ASSERT_EQUAL(read, type);
    return r;
}

static struct mr_writer fresh(void)
{
    memset(wire, 0xee, sizeof(wire));
    return mr_writer(wire, sizeof(wire));
}

/* ---------------------------------------------------------------- types */

static void types_are_read_with_their_verdict(void)
{
    static const struct {
        uint8_t bytes[8];
        size_t size;
        enum mr_frame_type_verdict verdict;
        uint64_t type;
    } rows[] = {
        {{0x06}, 1, MR_FRAME_TYPE_OK, 0x06},
        {{0x40, 0x06}, 2, MR_FRAME_TYPE_NOT_MINIMAL, 0x06},
        {{0x80, 0, 0, 0x06}, 4, MR_FRAME_TYPE_NOT_MINIMAL, 0x06},
        {{0x40, 0x40}, 2, MR_FRAME_TYPE_OK, 0x40},
        {{0xaf, 0x5c, 0x12, 0x34}, 4, MR_FRAME_TYPE_OK, 0x2f5c1234},
        {{0x40}, 1, MR_FRAME_TYPE_TRUNCATED, 0},
        {{0xc0, 0, 0}, 3, MR_FRAME_TYPE_TRUNCATED, 0},
        {{0}, 0, MR_FRAME_TYPE_TRUNCATED, 0},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct mr_reader r = mr_reader(rows[i].bytes, rows[i].size);
        uint64_t type = 99;

        CU_ASSERT_EQUAL(mr_frame_read_type(&r, &type), rows[i].verdict);
        CU_ASSERT_EQUAL(type, rows[i].type);
        CU_ASSERT_EQUAL(r.failed, rows[i].verdict == MR_FRAME_TYPE_TRUNCATED);
    }
}

static void padding_is_skipped_up_to_the_next_frame(void)
{
    static const uint8_t bytes[] = {0, 0, 0, 1, 0};
    struct mr_reader r = mr_reader(bytes, sizeof(bytes));

    mr_frame_skip_padding(&r);
    CU_ASSERT_EQUAL(mr_read_u8(&r), 1);
    mr_frame_skip_padding(&r);
    CU_ASSERT_EQUAL(mr_reader_left(&r), 0);
    CU_ASSERT_FALSE(r.failed);
}

static void padding_of_any_length_ends_at_what_follows(void)
{
    for (size_t size = 0; size <= 40; size++) {
        for (size_t at = 0; at <= size; at++) { /* `at` == size: nothing follows */
            uint8_t bytes[40] = {0};
            struct mr_reader r = mr_reader(bytes, size);

            if (at < size)
                bytes[at] = 0x80;
            mr_frame_skip_padding(&r);
            CU_ASSERT_EQUAL(mr_reader_left(&r), size - at);
            CU_ASSERT_FALSE(r.failed);
        }
    }
}

static void stream_types_are_eight(void)
{
    for (uint64_t type = 0; type < 0x40; type++)
        CU_ASSERT_EQUAL(mr_frame_type_is_stream(type), type >= 0x08 && type <= 0x0f);
}

/* ---------------------------------------------------------------- ACK */

static const struct mr_ack_range three[] = {{10, 10}, {4, 6}, {1, 2}};

static void an_ack_is_written_as_the_rfc_draws_it(void)
{
    static const uint8_t plain[] = {0x02, 10, 25, 2, 0, 2, 2, 0, 1};
    static const uint8_t ecn[] = {0x03, 10, 25, 2, 0, 2, 2, 0, 1, 7, 8, 9};
    struct mr_writer w = fresh();

    CU_ASSERT_EQUAL(mr_frame_write_ack(&w, three, 3, 25, NULL), 3);
    CU_ASSERT_EQUAL_FATAL(mr_writer_size(&w), sizeof(plain));
    CU_ASSERT_EQUAL(memcmp(wire, plain, sizeof(plain)), 0);

    w = fresh();
    CU_ASSERT_EQUAL(mr_frame_write_ack(&w, three, 3, 25, &(struct mr_ecn_counts){7, 8, 9}), 3);
    CU_ASSERT_EQUAL_FATAL(mr_writer_size(&w), sizeof(ecn));
    CU_ASSERT_EQUAL(memcmp(wire, ecn, sizeof(ecn)), 0);
}

static void an_ack_of_one_range_has_no_more(void)
{
    static const uint8_t expected[] = {0x02, 0x40, 100, 0, 0, 36};
    struct mr_writer w = fresh();
    struct mr_frame_ack ack;
    struct mr_ack_range range;

    CU_ASSERT_EQUAL(mr_frame_write_ack(&w, &(struct mr_ack_range){64, 100}, 1, 0, NULL), 1);
    CU_ASSERT_EQUAL_FATAL(mr_writer_size(&w), sizeof(expected));
    CU_ASSERT_EQUAL(memcmp(wire, expected, sizeof(expected)), 0);

    struct mr_reader r = behind_type(&w, MR_FRAME_ACK);
    CU_ASSERT_TRUE_FATAL(mr_frame_decode_ack(&r, MR_FRAME_ACK, &ack));
    CU_ASSERT_TRUE(mr_frame_ack_next(&ack, &range));
    CU_ASSERT_EQUAL(range.hi, 100);
    CU_ASSERT_EQUAL(range.lo, 64);
    CU_ASSERT_FALSE(mr_frame_ack_next(&ack, &range));
}

static void an_ack_is_walked_newest_first(void)
{
    struct mr_writer w = fresh();
    struct mr_frame_ack ack;
    struct mr_ack_range range;

    mr_frame_write_ack(&w, three, 3, 25, &(struct mr_ecn_counts){7, 8, 9});
    mr_frame_write_type(&w, MR_FRAME_PING);
    struct mr_reader r = behind_type(&w, MR_FRAME_ACK_ECN);
    CU_ASSERT_TRUE_FATAL(mr_frame_decode_ack(&r, MR_FRAME_ACK_ECN, &ack));

    CU_ASSERT_EQUAL(mr_read_u8(&r), MR_FRAME_PING); /* the reader is behind the frame */
    CU_ASSERT_EQUAL(ack.largest, 10);
    CU_ASSERT_EQUAL(ack.delay, 25);
    CU_ASSERT_EQUAL(ack.range_count, 2);
    CU_ASSERT_TRUE(ack.has_ecn);
    CU_ASSERT_EQUAL(ack.ecn.ect0, 7);
    CU_ASSERT_EQUAL(ack.ecn.ect1, 8);
    CU_ASSERT_EQUAL(ack.ecn.ce, 9);
    for (size_t i = 0; i < 3; i++) {
        CU_ASSERT_TRUE_FATAL(mr_frame_ack_next(&ack, &range));
        CU_ASSERT_EQUAL(range.lo, three[i].lo);
        CU_ASSERT_EQUAL(range.hi, three[i].hi);
    }
    CU_ASSERT_FALSE(mr_frame_ack_next(&ack, &range));
    CU_ASSERT_FALSE(mr_frame_ack_next(&ack, &range));
}

static void an_ack_keeps_the_newest_ranges_that_fit(void)
{
    for (size_t room = 0; room <= 12; room++) {
        struct mr_writer w = fresh();
        w.end = w.at + room;
        uint32_t ranges = mr_frame_write_ack(&w, three, 3, 0, NULL);

        CU_ASSERT_EQUAL(ranges, room < 5 ? 0 : room < 7 ? 1 : room < 9 ? 2 : 3);
        CU_ASSERT_EQUAL(mr_writer_size(&w), ranges == 0 ? 0 : 3 + 2 * (size_t)ranges);
        CU_ASSERT_FALSE(w.failed);
        if (ranges > 0)
            CU_ASSERT_EQUAL(wire[3], ranges - 1);
    }

    struct mr_writer w = fresh();
    w.failed = true;
    CU_ASSERT_EQUAL(mr_frame_write_ack(&w, three, 3, 0, NULL), 0);
}

static void ecn_counts_are_not_cut_off_for_ranges(void)
{
    const struct mr_ecn_counts ecn = {1 << 20, 1, 100}; /* 4 + 1 + 2 bytes */

    for (size_t room = 0; room <= 16; room++) {
        struct mr_writer w = fresh();
        w.end = w.at + room;

        CU_ASSERT_EQUAL(mr_frame_write_ack(&w, three, 3, 0, &ecn), room < 12   ? 0
                                                                   : room < 14 ? 1
                                                                   : room < 16 ? 2
                                                                               : 3);
    }
}

static void an_ack_that_ends_early_is_refused(void)
{
    struct mr_writer w = fresh();
    mr_frame_write_ack(&w, three, 3, 25, &(struct mr_ecn_counts){7, 8, 9});

    for (size_t size = 1; size < mr_writer_size(&w); size++) {
        struct mr_reader r = mr_reader(wire + 1, size - 1);
        struct mr_frame_ack ack;

        CU_ASSERT_FALSE(mr_frame_decode_ack(&r, MR_FRAME_ACK_ECN, &ack));
    }
}

/* ---------------------------------------------------------------- STREAM, CRYPTO */

static void a_stream_header_has_only_the_fields_it_needs(void)
{
    static const struct {
        struct mr_frame_stream frame;
        bool has_length;
        uint8_t bytes[20];
        size_t size;
    } rows[] = {
        {{.stream_id = 4, .size = 3}, true, {0x0a, 4, 3}, 3},
        {{.stream_id = 4, .size = 3}, false, {0x08, 4}, 2},
        {{.stream_id = 4, .size = 3, .fin = true}, true, {0x0b, 4, 3}, 3},
        {{.stream_id = 4, .offset = 64, .size = 3}, true, {0x0e, 4, 0x40, 64, 3}, 5},
        {{.stream_id = 64, .offset = 1, .fin = true}, false, {0x0d, 0x40, 64, 1}, 4},
        {{.stream_id = 0, .offset = 1, .size = 64}, true, {0x0e, 0, 1, 0x40, 64}, 5},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct mr_writer w = fresh();

        CU_ASSERT_TRUE(mr_frame_write_stream_header(&w, &rows[i].frame, rows[i].has_length));
        CU_ASSERT_EQUAL_FATAL(mr_writer_size(&w), rows[i].size);
        CU_ASSERT_EQUAL(memcmp(wire, rows[i].bytes, rows[i].size), 0);
        if (rows[i].has_length)
            CU_ASSERT_EQUAL(mr_frame_stream_header_size(&rows[i].frame), rows[i].size);

        w = fresh();
        w.end = w.at + rows[i].size - 1;
        CU_ASSERT_FALSE(mr_frame_write_stream_header(&w, &rows[i].frame, rows[i].has_length));
        CU_ASSERT_PTR_EQUAL(w.at, wire);
        CU_ASSERT_FALSE(w.failed);
    }
}

static void stream_data_without_length_goes_to_the_end(void)
{
    static const uint8_t bytes[] = {4, 0x40, 64, 'a', 'b', 'c'};
    struct mr_reader r = mr_reader(bytes, sizeof(bytes));
    struct mr_frame_stream frame;

    CU_ASSERT_TRUE(mr_frame_decode_stream(&r, 0x0c, &frame));
    CU_ASSERT_EQUAL(frame.stream_id, 4);
    CU_ASSERT_EQUAL(frame.offset, 64);
    CU_ASSERT_EQUAL(frame.size, 3);
    CU_ASSERT_PTR_EQUAL(frame.data, bytes + 3);
    CU_ASSERT_FALSE(frame.fin);
    CU_ASSERT_EQUAL(mr_reader_left(&r), 0);
}

static void stream_data_with_length_leaves_the_rest(void)
{
    static const uint8_t bytes[] = {4, 2, 'a', 'b', 0x01};
    struct mr_reader r = mr_reader(bytes, sizeof(bytes));
    struct mr_frame_stream frame;

    CU_ASSERT_TRUE(mr_frame_decode_stream(&r, 0x0b, &frame));
    CU_ASSERT_EQUAL(frame.offset, 0);
    CU_ASSERT_EQUAL(frame.size, 2);
    CU_ASSERT_TRUE(frame.fin);
    CU_ASSERT_EQUAL(mr_reader_left(&r), 1);

    r = mr_reader(bytes, 3);
    CU_ASSERT_FALSE(mr_frame_decode_stream(&r, 0x0b, &frame));
}

/* data_max is the largest size for which header and data fit, at every room around every step. */
static void the_most_data_that_fits_is_exact(void)
{
    for (size_t room = 0; room < 20000; room += room < 200 || room > 16300 ? 1 : 97)
        for (uint64_t offset = 0; offset < 100; offset += 99) {
            struct mr_frame_stream frame = {.stream_id = 4, .offset = offset};

            frame.size = mr_frame_stream_data_max(room, 4, offset);
            if (frame.size > 0)
                CU_ASSERT(mr_frame_stream_header_size(&frame) + frame.size <= room);
            frame.size++;
            CU_ASSERT(mr_frame_stream_header_size(&frame) + frame.size > room);
        }
    CU_ASSERT_EQUAL(mr_frame_crypto_data_max(70, 64), 70 - 1 - 2 - 2);
    CU_ASSERT_EQUAL(mr_frame_crypto_data_max(66, 0), 66 - 1 - 1 - 1);
}

static void crypto_round_trips(void)
{
    struct mr_writer w = fresh();
    struct mr_frame_crypto frame;

    CU_ASSERT_TRUE(
        mr_frame_write_crypto_header(&w, &(struct mr_frame_crypto){.offset = 70, .size = 5}));
    mr_write_bytes(&w, (const uint8_t *)"hello", 5);
    struct mr_reader r = behind_type(&w, MR_FRAME_CRYPTO);
    CU_ASSERT_TRUE(mr_frame_decode_crypto(&r, MR_FRAME_CRYPTO, &frame));
    CU_ASSERT_EQUAL(frame.offset, 70);
    CU_ASSERT_EQUAL(frame.size, 5);
    CU_ASSERT_EQUAL(memcmp(frame.data, "hello", 5), 0);
    CU_ASSERT_EQUAL(mr_reader_left(&r), 0);
}

/* ---------------------------------------------------------------- the others */

static void frames_that_are_only_a_type(void)
{
    struct mr_writer w = fresh();

    CU_ASSERT_TRUE(mr_frame_write_type(&w, MR_FRAME_PING));
    CU_ASSERT_TRUE(mr_frame_write_type(&w, MR_FRAME_HANDSHAKE_DONE));
    CU_ASSERT_TRUE(mr_frame_write_padding(&w, 3));
    CU_ASSERT_EQUAL(mr_writer_size(&w), 5);
    CU_ASSERT_EQUAL(memcmp(wire, (uint8_t[]){0x01, 0x1e, 0, 0, 0, 0xee}, 6), 0);
}

static void reset_stream_and_stop_sending_round_trip(void)
{
    struct mr_writer w = fresh();
    struct mr_frame_reset_stream reset;
    struct mr_frame_stop_sending stop;

    mr_frame_write_reset_stream(&w, &(struct mr_frame_reset_stream){4, 1000, 1 << 20});
    struct mr_reader r = behind_type(&w, MR_FRAME_RESET_STREAM);
    CU_ASSERT_TRUE(mr_frame_decode_reset_stream(&r, MR_FRAME_RESET_STREAM, &reset));
    CU_ASSERT_EQUAL(reset.stream_id, 4);
    CU_ASSERT_EQUAL(reset.error, 1000);
    CU_ASSERT_EQUAL(reset.final_size, 1 << 20);
    CU_ASSERT_EQUAL(mr_reader_left(&r), 0);

    w = fresh();
    mr_frame_write_stop_sending(&w, &(struct mr_frame_stop_sending){8, 77});
    r = behind_type(&w, MR_FRAME_STOP_SENDING);
    CU_ASSERT_TRUE(mr_frame_decode_stop_sending(&r, MR_FRAME_STOP_SENDING, &stop));
    CU_ASSERT_EQUAL(stop.stream_id, 8);
    CU_ASSERT_EQUAL(stop.error, 77);
    CU_ASSERT_EQUAL(mr_reader_left(&r), 0);
}

typedef bool (*decode_limit)(struct mr_reader *, uint64_t, struct mr_frame_limit *);

static void expect_limit(const struct mr_writer *w, uint64_t type, decode_limit decode,
                         uint64_t limit, bool is_uni)
{
    struct mr_reader r = behind_type(w, type);
    struct mr_frame_limit frame;

    CU_ASSERT_TRUE(decode(&r, type, &frame));
    CU_ASSERT_EQUAL(frame.limit, limit);
    CU_ASSERT_EQUAL(frame.is_uni, is_uni);
    CU_ASSERT_EQUAL(mr_reader_left(&r), 0);
}

static void limits_round_trip(void)
{
    struct mr_writer w = fresh();
    mr_frame_write_max_data(&w, MR_VARINT_MAX);
    expect_limit(&w, MR_FRAME_MAX_DATA, mr_frame_decode_max_data, MR_VARINT_MAX, false);

    w = fresh();
    mr_frame_write_data_blocked(&w, 100);
    expect_limit(&w, MR_FRAME_DATA_BLOCKED, mr_frame_decode_data_blocked, 100, false);

    for (int uni = 0; uni <= 1; uni++) {
        const struct mr_frame_limit limit = {MR_STREAMS_MAX, uni != 0};

        w = fresh();
        mr_frame_write_max_streams(&w, &limit);
        expect_limit(&w, 0x12u + (unsigned)uni, mr_frame_decode_max_streams, MR_STREAMS_MAX, uni);
        w = fresh();
        mr_frame_write_streams_blocked(&w, &limit);
        expect_limit(&w, 0x16u + (unsigned)uni, mr_frame_decode_streams_blocked, MR_STREAMS_MAX,
                     uni);
    }
}

static void stream_limits_round_trip(void)
{
    const struct mr_frame_stream_limit limit = {.stream_id = 12, .limit = 5000};
    struct mr_frame_stream_limit frame;
    struct mr_writer w = fresh();

    mr_frame_write_max_stream_data(&w, &limit);
    struct mr_reader r = behind_type(&w, MR_FRAME_MAX_STREAM_DATA);
    CU_ASSERT_TRUE(mr_frame_decode_max_stream_data(&r, MR_FRAME_MAX_STREAM_DATA, &frame));
    CU_ASSERT_EQUAL(frame.stream_id, 12);
    CU_ASSERT_EQUAL(frame.limit, 5000);

    w = fresh();
    mr_frame_write_stream_data_blocked(&w, &limit);
    r = behind_type(&w, MR_FRAME_STREAM_DATA_BLOCKED);
    CU_ASSERT_TRUE(mr_frame_decode_stream_data_blocked(&r, MR_FRAME_STREAM_DATA_BLOCKED, &frame));
    CU_ASSERT_EQUAL(frame.stream_id, 12);
    CU_ASSERT_EQUAL(frame.limit, 5000);
}

static void connection_ids_round_trip(void)
{
    struct mr_frame_new_connection_id out = {.sequence = MR_VARINT_MAX,
                                             .retire_prior_to = MR_VARINT_MAX,
                                             .cid = {20, {5, 6}},
                                             .reset_token = {9}};
    struct mr_frame_new_connection_id in;
    struct mr_frame_retire_connection_id retire;
    struct mr_writer w = fresh();

    out.cid.bytes[19] = 7;
    out.reset_token[15] = 8;
    CU_ASSERT_TRUE(mr_frame_write_new_connection_id(&w, &out));
    CU_ASSERT_EQUAL(mr_writer_size(&w), MR_FRAME_NEW_CONNECTION_ID_MAX);
    struct mr_reader r = behind_type(&w, MR_FRAME_NEW_CONNECTION_ID);
    CU_ASSERT_TRUE(mr_frame_decode_new_connection_id(&r, MR_FRAME_NEW_CONNECTION_ID, &in));
    CU_ASSERT_EQUAL(in.sequence, out.sequence);
    CU_ASSERT_EQUAL(in.retire_prior_to, out.retire_prior_to);
    CU_ASSERT_TRUE(mr_cid_equal(&in.cid, &out.cid));
    CU_ASSERT_EQUAL(memcmp(in.reset_token, out.reset_token, MR_RESET_TOKEN), 0);

    for (size_t size = 1; size < mr_writer_size(&w); size++) {
        r = mr_reader(wire + 1, size - 1);
        CU_ASSERT_FALSE(mr_frame_decode_new_connection_id(&r, MR_FRAME_NEW_CONNECTION_ID, &in));
    }

    w = fresh();
    mr_frame_write_retire_connection_id(&w, 300);
    r = behind_type(&w, MR_FRAME_RETIRE_CONNECTION_ID);
    CU_ASSERT_TRUE(
        mr_frame_decode_retire_connection_id(&r, MR_FRAME_RETIRE_CONNECTION_ID, &retire));
    CU_ASSERT_EQUAL(retire.sequence, 300);
}

static void path_frames_and_tokens_round_trip(void)
{
    static const uint8_t data[MR_PATH_DATA] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct mr_frame_path path;
    struct mr_frame_new_token token;

    for (unsigned type = MR_FRAME_PATH_CHALLENGE; type <= MR_FRAME_PATH_RESPONSE; type++) {
        struct mr_writer w = fresh();
        mr_frame_write_path(&w, (enum mr_frame_type)type, data);
        struct mr_reader r = behind_type(&w, type);
        CU_ASSERT_TRUE(mr_frame_decode_path(&r, type, &path));
        CU_ASSERT_EQUAL(memcmp(path.data, data, MR_PATH_DATA), 0);
        r = mr_reader(wire + 1, MR_PATH_DATA - 1);
        CU_ASSERT_FALSE(mr_frame_decode_path(&r, type, &path));
    }

    struct mr_writer w = fresh();
    mr_frame_write_new_token(&w, &(struct mr_frame_new_token){8, data});
    struct mr_reader r = behind_type(&w, MR_FRAME_NEW_TOKEN);
    CU_ASSERT_TRUE(mr_frame_decode_new_token(&r, MR_FRAME_NEW_TOKEN, &token));
    CU_ASSERT_EQUAL(token.size, 8);
    CU_ASSERT_EQUAL(memcmp(token.token, data, 8), 0);
}

static void close_frames_round_trip(void)
{
    struct mr_frame_connection_close in;
    struct mr_frame_connection_close out = {
        .error = 0x128, .frame_type = 6, .reason_size = 3, .reason = (const uint8_t *)"why"};

    for (int app = 0; app <= 1; app++) {
        uint64_t type = app ? MR_FRAME_CONNECTION_CLOSE_APP : MR_FRAME_CONNECTION_CLOSE;
        struct mr_writer w = fresh();

        out.is_app = app != 0;
        CU_ASSERT_TRUE(mr_frame_write_connection_close(&w, &out));
        struct mr_reader r = behind_type(&w, type);
        CU_ASSERT_TRUE(mr_frame_decode_connection_close(&r, type, &in));
        CU_ASSERT_EQUAL(in.error, 0x128);
        CU_ASSERT_EQUAL(in.frame_type, app ? 0 : 6);
        CU_ASSERT_EQUAL(in.reason_size, 3);
        CU_ASSERT_EQUAL(memcmp(in.reason, "why", 3), 0);
        CU_ASSERT_EQUAL(in.is_app, app);
        CU_ASSERT_EQUAL(mr_reader_left(&r), 0);
    }
}

static void a_close_reason_is_cut_to_what_fits(void)
{
    static const uint8_t reason[100] = "a reason that is longer than the packet has room for";
    const struct mr_frame_connection_close out = {.error = 1, .reason_size = 100, .reason = reason};

    for (size_t room = 0; room <= 120; room++) {
        struct mr_writer w = fresh();
        struct mr_frame_connection_close in;
        w.end = w.at + room;

        CU_ASSERT_EQUAL(mr_frame_write_connection_close(&w, &out), room >= 4);
        CU_ASSERT_EQUAL(wire[room], 0xee);
        CU_ASSERT_FALSE(w.failed);
        if (room < 4)
            continue;
        struct mr_reader r = behind_type(&w, MR_FRAME_CONNECTION_CLOSE);
        CU_ASSERT_TRUE(mr_frame_decode_connection_close(&r, MR_FRAME_CONNECTION_CLOSE, &in));
        CU_ASSERT_EQUAL(in.reason_size, room <= 67   ? room - 4
                                        : room == 68 ? 63
                                                     : MR_MIN(room - 5, 100));
    }
}

static void datagrams_round_trip(void)
{
    struct mr_frame_datagram in;
    struct mr_writer w = fresh();

    CU_ASSERT_TRUE(
        mr_frame_write_datagram(&w, &(struct mr_frame_datagram){4, (const uint8_t *)"data"}));
    mr_frame_write_type(&w, MR_FRAME_PING);
    struct mr_reader r = behind_type(&w, MR_FRAME_DATAGRAM_LEN);
    CU_ASSERT_TRUE(mr_frame_decode_datagram(&r, MR_FRAME_DATAGRAM_LEN, &in));
    CU_ASSERT_EQUAL(in.size, 4);
    CU_ASSERT_EQUAL(memcmp(in.data, "data", 4), 0);
    CU_ASSERT_EQUAL(mr_reader_left(&r), 1);

    r = mr_reader(wire + 2, 5); /* the same without its Length: to the end of the packet */
    CU_ASSERT_TRUE(mr_frame_decode_datagram(&r, MR_FRAME_DATAGRAM, &in));
    CU_ASSERT_EQUAL(in.size, 5);
}

/* A header promises its data: it is written only where they fit, too. */
static void a_datagram_header_leaves_room_for_its_data(void)
{
    static const size_t sizes[] = {0, 1, 63, 64, 500};

    for (size_t i = 0; i < MR_COUNT_OF(sizes); i++) {
        struct mr_frame_datagram frame = {.size = sizes[i]};
        size_t needed = mr_frame_datagram_size(sizes[i]);
        struct mr_writer w = fresh();

        CU_ASSERT_EQUAL(needed, sizes[i] + (sizes[i] < 64 ? 2 : 3));
        w.end = w.at + needed - 1;
        CU_ASSERT_FALSE(mr_frame_write_datagram_header(&w, &frame));
        CU_ASSERT_EQUAL(mr_writer_size(&w), 0);
        CU_ASSERT_FALSE(w.failed);
        w.end++;
        CU_ASSERT_TRUE(mr_frame_write_datagram_header(&w, &frame));
        CU_ASSERT_EQUAL(mr_writer_room(&w), sizes[i]);
    }
    for (size_t room = 0; room < 600; room++) {
        size_t most = mr_frame_datagram_data_max(room);

        CU_ASSERT_TRUE(most == 0 || mr_frame_datagram_size(most) <= room);
        CU_ASSERT_TRUE(mr_frame_datagram_size(most + 1) > room);
    }
}

/* Every writer, with every room below its need: false, nothing written, the writer as before. */
static void a_frame_that_does_not_fit_is_not_begun(void)
{
    static const uint8_t data[MR_PATH_DATA] = {1};
    const struct mr_frame_new_connection_id cid = {.sequence = 3, .cid = {8, {1}}};
    const struct mr_frame_stream_limit limit = {.stream_id = 100, .limit = 100000};
    const struct mr_frame_limit streams = {.limit = 1000};

    for (int kind = 0; kind < 13; kind++)
        for (size_t room = 0;; room++) {
            struct mr_writer w = fresh();
            w.end = w.at + room;
            bool fits =
                kind == 0 ? mr_frame_write_type(&w, MR_FRAME_PING)
                : kind == 1
                    ? mr_frame_write_reset_stream(&w, &(struct mr_frame_reset_stream){4, 5, 6})
                : kind == 2 ? mr_frame_write_stop_sending(&w, &(struct mr_frame_stop_sending){4, 5})
                : kind == 3
                    ? mr_frame_write_crypto_header(&w, &(struct mr_frame_crypto){.size = 90})
                : kind == 4  ? mr_frame_write_new_token(&w, &(struct mr_frame_new_token){8, data})
                : kind == 5  ? mr_frame_write_max_data(&w, 1 << 20)
                : kind == 6  ? mr_frame_write_max_stream_data(&w, &limit)
                : kind == 7  ? mr_frame_write_max_streams(&w, &streams)
                : kind == 8  ? mr_frame_write_new_connection_id(&w, &cid)
                : kind == 9  ? mr_frame_write_retire_connection_id(&w, 64)
                : kind == 10 ? mr_frame_write_path(&w, MR_FRAME_PATH_RESPONSE, data)
                : kind == 11 ? mr_frame_write_datagram(&w, &(struct mr_frame_datagram){8, data})
                             : mr_frame_write_padding(&w, 5);

            CU_ASSERT_FALSE(w.failed);
            CU_ASSERT_EQUAL(wire[room], 0xee);
            CU_ASSERT_EQUAL(mr_writer_size(&w), fits ? room : 0);
            if (fits)
                break;
        }
}

static CU_TestInfo tests[] = {
    {"types are read with their verdict", types_are_read_with_their_verdict},
    {"padding is skipped up to the next frame", padding_is_skipped_up_to_the_next_frame},
    {"padding of any length ends at what follows", padding_of_any_length_ends_at_what_follows},
    {"stream types are eight", stream_types_are_eight},
    {"an ACK is written as the RFC draws it", an_ack_is_written_as_the_rfc_draws_it},
    {"an ACK of one range has no more", an_ack_of_one_range_has_no_more},
    {"an ACK is walked newest first", an_ack_is_walked_newest_first},
    {"an ACK keeps the newest ranges that fit", an_ack_keeps_the_newest_ranges_that_fit},
    {"ECN counts are not cut off for ranges", ecn_counts_are_not_cut_off_for_ranges},
    {"an ACK that ends early is refused", an_ack_that_ends_early_is_refused},
    {"a STREAM header has only the fields it needs", a_stream_header_has_only_the_fields_it_needs},
    {"STREAM data without Length goes to the end", stream_data_without_length_goes_to_the_end},
    {"STREAM data with Length leaves the rest", stream_data_with_length_leaves_the_rest},
    {"the most data that fits is exact", the_most_data_that_fits_is_exact},
    {"CRYPTO round trips", crypto_round_trips},
    {"frames that are only a type", frames_that_are_only_a_type},
    {"RESET_STREAM and STOP_SENDING round trip", reset_stream_and_stop_sending_round_trip},
    {"limits round trip", limits_round_trip},
    {"stream limits round trip", stream_limits_round_trip},
    {"connection IDs round trip", connection_ids_round_trip},
    {"path frames and tokens round trip", path_frames_and_tokens_round_trip},
    {"close frames round trip", close_frames_round_trip},
    {"a close reason is cut to what fits", a_close_reason_is_cut_to_what_fits},
    {"datagrams round trip", datagrams_round_trip},
    {"a datagram header leaves room for its data", a_datagram_header_leaves_room_for_its_data},
    {"a frame that does not fit is not begun", a_frame_that_does_not_fit_is_not_begun},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/frame", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
