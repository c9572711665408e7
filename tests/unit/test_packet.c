/* Tests of quic/packet.h.  Rules of RFC 9000, Section 17, are in
 * tests/conformance/test_packet_headers.c. */
#include "quic/packet.h"

#include "tests/unit/harness.h"

static const struct mr_cid cid_8 = {8, {1, 2, 3, 4, 5, 6, 7, 8}};
static const struct mr_cid cid_20 = {20, {20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9}};
static const struct mr_cid cid_0 = {0, {0}};
static const uint8_t token[70] = {0x70, 0x71};

static struct mr_packet_header long_header(enum mr_packet_type type, const struct mr_cid *dcid,
                                           const struct mr_cid *scid, uint16_t token_size)
{
    return (struct mr_packet_header){
        .type = type,
        .version = MR_VERSION_1,
        .dcid = mr_cid_view(dcid),
        .scid = mr_cid_view(scid),
        .token = token,
        .token_size = token_size,
    };
}

/* Write `header` with pn 0x123456 in 3 bytes and `payload` bytes after it; returns the size. */
static size_t write_packet(uint8_t *dst, size_t room, const struct mr_packet_header *header,
                           size_t payload)
{
    struct mr_writer w = mr_writer(dst, room);
    uint8_t *hole = mr_packet_write_long(&w, header, 0x123456, 3);

    CU_ASSERT_PTR_NOT_NULL_FATAL(hole);
    CU_ASSERT_EQUAL(mr_writer_size(&w), mr_packet_long_size(header, 3));
    CU_ASSERT_PTR_NOT_NULL_FATAL(mr_write_later(&w, payload));
    mr_packet_set_length(hole, 3 + payload);
    return mr_writer_size(&w);
}

static void expect_same(const struct mr_packet_header *a, const struct mr_packet_header *b)
{
    struct mr_cid scid;
    struct mr_cid dcid;

    CU_ASSERT_EQUAL(a->type, b->type);
    CU_ASSERT_EQUAL(a->version, b->version);
    CU_ASSERT_TRUE(mr_cid_copy(&dcid, b->dcid));
    CU_ASSERT_TRUE(mr_cid_copy(&scid, b->scid));
    CU_ASSERT_TRUE(mr_cid_view_equal(a->dcid, &dcid));
    CU_ASSERT_TRUE(mr_cid_view_equal(a->scid, &scid));
    CU_ASSERT_EQUAL_FATAL(a->token_size, b->token_size);
    CU_ASSERT(a->token_size == 0 || memcmp(a->token, b->token, a->token_size) == 0);
}

static void a_written_long_header_parses_to_the_same_fields(void)
{
    const struct mr_packet_header headers[] = {
        long_header(MR_PACKET_INITIAL, &cid_8, &cid_20, 70),
        long_header(MR_PACKET_INITIAL, &cid_20, &cid_0, 0),
        long_header(MR_PACKET_ZERO_RTT, &cid_0, &cid_8, 0),
        long_header(MR_PACKET_HANDSHAKE, &cid_20, &cid_20, 0),
    };

    for (size_t i = 0; i < MR_COUNT_OF(headers); i++) {
        uint8_t wire[400];
        struct mr_packet_header parsed;
        size_t size = write_packet(wire, sizeof(wire), &headers[i], 100);

        CU_ASSERT_EQUAL(mr_packet_parse(wire, size, 8, &parsed), MR_PACKET_OK);
        expect_same(&parsed, &headers[i]);
        CU_ASSERT_EQUAL(parsed.size, size);
        CU_ASSERT_EQUAL(parsed.pn_offset, size - 103);
        CU_ASSERT_EQUAL(memcmp(wire + parsed.pn_offset, (uint8_t[]){0x12, 0x34, 0x56}, 3), 0);
        CU_ASSERT_EQUAL(mr_packet_pn_size(wire[0]), 3);
        CU_ASSERT_FALSE(mr_packet_has_reserved_bits(wire[0]));
    }
}

static void a_packet_number_takes_one_to_four_bytes(void)
{
    const struct mr_packet_header header = long_header(MR_PACKET_HANDSHAKE, &cid_8, &cid_8, 0);

    for (uint8_t pn_size = 1; pn_size <= 4; pn_size++) {
        uint8_t wire[64];
        struct mr_writer w = mr_writer(wire, sizeof(wire));

        CU_ASSERT_PTR_NOT_NULL(mr_packet_write_long(&w, &header, 0xa1b2c3d4, pn_size));
        CU_ASSERT_EQUAL(mr_packet_pn_size(wire[0]), pn_size);
        CU_ASSERT_EQUAL(w.at[-1], 0xd4);
        w = mr_writer(wire, sizeof(wire));
        mr_packet_write_short(&w, &cid_8, 0, 0xa1b2c3d4, pn_size);
        CU_ASSERT_EQUAL(mr_packet_pn_size(wire[0]), pn_size);
        CU_ASSERT_EQUAL(mr_writer_size(&w), 9u + pn_size);
        CU_ASSERT_EQUAL(w.at[-1], 0xd4);
    }
}

static void a_handshake_packet_has_no_token_even_if_the_struct_names_one(void)
{
    struct mr_packet_header header = long_header(MR_PACKET_HANDSHAKE, &cid_8, &cid_8, 70);

    CU_ASSERT_EQUAL(mr_packet_long_size(&header, 1), 1 + 4 + 9 + 9 + 2 + 1);
}

static void coalesced_packets_are_walked_by_their_size(void)
{
    const struct mr_packet_header initial = long_header(MR_PACKET_INITIAL, &cid_8, &cid_20, 5);
    const struct mr_packet_header handshake = long_header(MR_PACKET_HANDSHAKE, &cid_8, &cid_20, 0);
    static const enum mr_packet_type expected[] = {MR_PACKET_INITIAL, MR_PACKET_HANDSHAKE,
                                                   MR_PACKET_ONE_RTT};
    uint8_t wire[600];
    size_t size = write_packet(wire, sizeof(wire), &initial, 90);

    size += write_packet(wire + size, sizeof(wire) - size, &handshake, 30);
    struct mr_writer w = mr_writer(wire + size, 50);
    mr_packet_write_short(&w, &cid_8, MR_PACKET_SPIN, 7, 1);
    mr_write_later(&w, 40);
    size += mr_writer_size(&w);

    size_t at = 0;
    for (size_t i = 0; i < MR_COUNT_OF(expected); i++) {
        struct mr_packet_header parsed;

        CU_ASSERT_EQUAL_FATAL(mr_packet_parse(wire + at, size - at, 8, &parsed), MR_PACKET_OK);
        CU_ASSERT_EQUAL(parsed.type, expected[i]);
        CU_ASSERT_TRUE(mr_cid_view_equal(parsed.dcid, &cid_8));
        at += parsed.size;
    }
    CU_ASSERT_EQUAL(at, size);
}

static void a_header_cut_anywhere_is_short_and_leaves_nothing_behind(void)
{
    const struct mr_packet_header header = long_header(MR_PACKET_INITIAL, &cid_8, &cid_20, 70);
    uint8_t wire[300];
    size_t size = write_packet(wire, sizeof(wire), &header, 40);

    for (size_t len = 0; len < size; len++) {
        uint8_t *exact = malloc(len + 1); /* so that a sanitizer sees a read beyond it */
        struct mr_packet_header parsed = {.size = 1};

        CU_ASSERT_PTR_NOT_NULL_FATAL(exact);
        memcpy(exact + 1, wire, len);
        CU_ASSERT_EQUAL(mr_packet_parse(exact + 1, len, 8, &parsed), MR_PACKET_SHORT);
        CU_ASSERT_EQUAL(parsed.size, 0);
        CU_ASSERT_PTR_NULL(parsed.dcid.bytes);
        free(exact);
    }
}

static void a_short_header_has_a_connection_id_of_our_size(void)
{
    uint8_t wire[64];
    struct mr_writer w = mr_writer(wire, sizeof(wire));
    struct mr_packet_header parsed;

    mr_packet_write_short(&w, &cid_8, MR_PACKET_SPIN | MR_PACKET_KEY_PHASE, 0xaabbccdd, 4);
    CU_ASSERT_EQUAL(mr_writer_size(&w), 13);
    CU_ASSERT_EQUAL(wire[0], 0x40 | 0x20 | 0x04 | 0x03);
    CU_ASSERT_EQUAL(memcmp(wire + 9, (uint8_t[]){0xaa, 0xbb, 0xcc, 0xdd}, 4), 0);

    CU_ASSERT_EQUAL(mr_packet_parse(wire, 33, 8, &parsed), MR_PACKET_OK);
    CU_ASSERT_EQUAL(parsed.type, MR_PACKET_ONE_RTT);
    CU_ASSERT_EQUAL(parsed.version, 0);
    CU_ASSERT_TRUE(mr_cid_view_equal(parsed.dcid, &cid_8));
    CU_ASSERT_EQUAL(parsed.pn_offset, 9);
    CU_ASSERT_EQUAL(parsed.size, 33);

    CU_ASSERT_EQUAL(mr_packet_parse(wire, 9, 8, &parsed), MR_PACKET_OK);
    CU_ASSERT_EQUAL(mr_packet_parse(wire, 8, 8, &parsed), MR_PACKET_SHORT);
    CU_ASSERT_EQUAL(mr_packet_parse(wire, 1, 0, &parsed), MR_PACKET_OK);
    CU_ASSERT_EQUAL(mr_packet_parse(wire, 0, 0, &parsed), MR_PACKET_SHORT);
    CU_ASSERT_EQUAL(mr_packet_parse(NULL, 0, 0, &parsed), MR_PACKET_SHORT);
}

static void more_bytes_than_a_datagram_holds_are_refused(void)
{
    static uint8_t wire[UINT16_MAX + 1];
    const struct mr_packet_header header = long_header(MR_PACKET_HANDSHAKE, &cid_8, &cid_8, 0);
    struct mr_packet_header parsed;

    wire[0] = MR_PACKET_FIXED_BIT;
    CU_ASSERT_EQUAL(mr_packet_parse(wire, UINT16_MAX, 8, &parsed), MR_PACKET_OK);
    CU_ASSERT_EQUAL(parsed.size, UINT16_MAX);
    CU_ASSERT_EQUAL(mr_packet_parse(wire, UINT16_MAX + 1, 8, &parsed), MR_PACKET_SHORT);

    write_packet(wire, sizeof(wire), &header, 100);
    CU_ASSERT_EQUAL(mr_packet_parse(wire, UINT16_MAX, 8, &parsed), MR_PACKET_OK);
    CU_ASSERT_EQUAL(mr_packet_parse(wire, UINT16_MAX + 1, 8, &parsed), MR_PACKET_SHORT);
}

static void a_header_that_does_not_fit_fails_the_writer(void)
{
    const struct mr_packet_header header = long_header(MR_PACKET_INITIAL, &cid_8, &cid_20, 5);
    size_t needed = mr_packet_long_size(&header, 2);

    for (size_t room = 0; room <= needed; room++) {
        uint8_t wire[100];
        struct mr_writer w = mr_writer(wire, room);
        memset(wire, 0xee, sizeof(wire));
        uint8_t *hole = mr_packet_write_long(&w, &header, 1, 2);

        CU_ASSERT_EQUAL(hole != NULL, room == needed);
        CU_ASSERT_EQUAL(w.failed, room < needed);
        CU_ASSERT_EQUAL(wire[room], 0xee);
    }

    uint8_t wire[MR_SHORT_HEADER_MAX];
    struct mr_writer w = mr_writer(wire, MR_SHORT_HEADER_MAX - 1);

    memset(wire, 0xee, sizeof(wire));
    mr_packet_write_short(&w, &cid_8, 0, 1, 3);
    CU_ASSERT_TRUE(w.failed);
    CU_ASSERT_PTR_EQUAL(w.at, wire);
    CU_ASSERT_EQUAL(wire[0], 0xee);
    w = mr_writer(wire, MR_SHORT_HEADER_MAX);
    mr_packet_write_short(&w, &cid_20, 0, UINT64_MAX, 4);
    CU_ASSERT_FALSE(w.failed);
    CU_ASSERT_EQUAL(mr_writer_room(&w), 0);
    CU_ASSERT_EQUAL(memcmp(wire + 1, cid_20.bytes, 20), 0);
}

static void the_length_hole_takes_up_to_fourteen_bits(void)
{
    uint8_t hole[2];
    uint64_t length = 0;

    for (size_t value = 0; value <= MR_PACKET_LENGTH_MAX; value += 127) {
        mr_packet_set_length(hole, value);
        CU_ASSERT_EQUAL(mr_varint_get(hole, 2, &length), 2);
        CU_ASSERT_EQUAL(length, value);
    }
}

static void levels_and_spaces_of_packet_types(void)
{
    CU_ASSERT_EQUAL(mr_packet_level(MR_PACKET_INITIAL), MR_LEVEL_INITIAL);
    CU_ASSERT_EQUAL(mr_packet_level(MR_PACKET_ZERO_RTT), MR_LEVEL_EARLY);
    CU_ASSERT_EQUAL(mr_packet_level(MR_PACKET_HANDSHAKE), MR_LEVEL_HANDSHAKE);
    CU_ASSERT_EQUAL(mr_packet_level(MR_PACKET_ONE_RTT), MR_LEVEL_APP);
    CU_ASSERT_EQUAL(mr_packet_space(MR_PACKET_INITIAL), MR_SPACE_INITIAL);
    CU_ASSERT_EQUAL(mr_packet_space(MR_PACKET_ZERO_RTT), MR_SPACE_APP);
    CU_ASSERT_EQUAL(mr_packet_space(MR_PACKET_HANDSHAKE), MR_SPACE_HANDSHAKE);
    CU_ASSERT_EQUAL(mr_packet_space(MR_PACKET_ONE_RTT), MR_SPACE_APP);
}

static void a_version_negotiation_lists_ours_and_a_reserved_version(void)
{
    uint8_t request[700] = {0xff, 0xba, 0xba, 0xba, 0xba, 255};
    uint8_t wire[700];
    struct mr_packet_header parsed;
    struct mr_writer w = mr_writer(wire, sizeof(wire));

    request[6] = 0xd0;
    request[6 + 255] = 200;
    request[6 + 255 + 1] = 0x50;
    CU_ASSERT_EQUAL(mr_packet_parse(request, sizeof(request), 8, &parsed),
                    MR_PACKET_UNSUPPORTED_VERSION);
    CU_ASSERT_EQUAL(parsed.version, 0xbabababa);
    CU_ASSERT_EQUAL(parsed.dcid.size, 255);
    CU_ASSERT_EQUAL(parsed.scid.size, 200);

    mr_packet_write_version_negotiation(&w, &parsed, &(uint32_t){MR_VERSION_1}, 1, 0x12345678);
    CU_ASSERT_EQUAL(mr_writer_size(&w), 1 + 4 + 1 + 200 + 1 + 255 + 8);
    CU_ASSERT_EQUAL(mr_packet_parse(wire, mr_writer_size(&w), 8, &parsed), MR_PACKET_OK);
    CU_ASSERT_EQUAL(parsed.type, MR_PACKET_VERSION_NEGOTIATION);
    CU_ASSERT_EQUAL(parsed.pn_offset, 0);
    CU_ASSERT_EQUAL(parsed.dcid.size, 200);
    CU_ASSERT_EQUAL(parsed.dcid.bytes[0], 0x50);
    CU_ASSERT_EQUAL(parsed.scid.size, 255);
    CU_ASSERT_EQUAL(parsed.scid.bytes[0], 0xd0);
    CU_ASSERT_TRUE(mr_packet_lists_version(&parsed, MR_VERSION_1));
    CU_ASSERT_TRUE(mr_packet_lists_version(&parsed, 0x1a3a5a7a));
    CU_ASSERT_FALSE(mr_packet_lists_version(&parsed, 2));
    CU_ASSERT_FALSE(mr_packet_lists_version(&parsed, 0x5a7a0000)); /* not across two of them */
}

static void a_retry_round_trips(void)
{
    struct mr_packet_header header = long_header(MR_PACKET_RETRY, &cid_8, &cid_20, 70);
    struct mr_packet_header parsed;
    uint8_t wire[200];
    struct mr_writer w = mr_writer(wire, sizeof(wire));
    uint8_t *tag = mr_packet_write_retry(&w, &header, 0xab);

    CU_ASSERT_PTR_NOT_NULL_FATAL(tag);
    CU_ASSERT_EQUAL(wire[0], 0xfb);
    CU_ASSERT_PTR_EQUAL(tag, w.at - MR_RETRY_TAG);
    memset(tag, 0x99, MR_RETRY_TAG);

    size_t size = mr_writer_size(&w);
    CU_ASSERT_EQUAL(mr_packet_parse(wire, size, 8, &parsed), MR_PACKET_OK);
    expect_same(&parsed, &header);
    CU_ASSERT_EQUAL(parsed.size, size);
    CU_ASSERT_EQUAL(parsed.pn_offset, 0);
    CU_ASSERT_EQUAL(mr_packet_parse(wire, size - 70, 8, &parsed), MR_PACKET_MALFORMED);
    CU_ASSERT_EQUAL(mr_packet_parse(wire, size - 71, 8, &parsed), MR_PACKET_SHORT);

    w = mr_writer(wire, size - 1);
    CU_ASSERT_PTR_NULL(mr_packet_write_retry(&w, &header, 0));
}

static void a_long_connection_id_is_not_copied(void)
{
    uint8_t bytes[21] = {1};
    struct mr_cid cid = {.size = 3};

    CU_ASSERT_FALSE(mr_cid_copy(&cid, (struct mr_cid_view){bytes, 21}));
    CU_ASSERT_EQUAL(cid.size, 0);
    CU_ASSERT_TRUE(mr_cid_copy(&cid, (struct mr_cid_view){bytes, 20}));
    CU_ASSERT_EQUAL(cid.size, 20);
    CU_ASSERT_TRUE(mr_cid_copy(&cid, (struct mr_cid_view){NULL, 0}));
    CU_ASSERT_TRUE(mr_cid_view_equal((struct mr_cid_view){NULL, 0}, &cid));
    CU_ASSERT_FALSE(mr_cid_view_equal((struct mr_cid_view){bytes, 1}, &cid));
}

static CU_TestInfo tests[] = {
    {"a written long header parses to the same fields",
     a_written_long_header_parses_to_the_same_fields},
    {"a packet number takes one to four bytes", a_packet_number_takes_one_to_four_bytes},
    {"a Handshake packet has no token even if the struct names one",
     a_handshake_packet_has_no_token_even_if_the_struct_names_one},
    {"coalesced packets are walked by their size", coalesced_packets_are_walked_by_their_size},
    {"a header cut anywhere is short and leaves nothing behind",
     a_header_cut_anywhere_is_short_and_leaves_nothing_behind},
    {"a short header has a connection ID of our size",
     a_short_header_has_a_connection_id_of_our_size},
    {"more bytes than a datagram holds are refused", more_bytes_than_a_datagram_holds_are_refused},
    {"a header that does not fit fails the writer", a_header_that_does_not_fit_fails_the_writer},
    {"the Length hole takes up to fourteen bits", the_length_hole_takes_up_to_fourteen_bits},
    {"levels and spaces of packet types", levels_and_spaces_of_packet_types},
    {"a Version Negotiation lists ours and a reserved version",
     a_version_negotiation_lists_ours_and_a_reserved_version},
    {"a Retry round trips", a_retry_round_trips},
    {"a long connection ID is not copied", a_long_connection_id_is_not_copied},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/packet", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
