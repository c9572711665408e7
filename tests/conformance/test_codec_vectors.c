/*
 * The codec against values that others computed: RFC 9000, Appendix A; the headers and the Retry
 * packet of RFC 9001, Appendix A; the unencrypted connection ID of QUIC-LB
 * (draft-ietf-quic-load-balancers, "Unencrypted CIDs").
 */
#include "quic/cid.h"
#include "quic/packet.h"
#include "quic/token.h"
#include "tests/hex.h"
#include "tests/unit/harness.h"

/* RFC 9000, Appendix A.1 (the first five), and edges. */
static void varints_decode(void)
{
    static const struct {
        const char *hex;
        uint64_t value;
        bool is_minimal;
    } rows[] = {
        {"c2197c5eff14e88c", UINT64_C(151288809941952652), true},
        {"9d7f3e7d", 494878333, true},
        {"7bbd", 15293, true},
        {"25", 37, true},
        {"4025", 37, false},
        {"00", 0, true},
        {"3f", 63, true},
        {"4040", 64, true},
        {"7fff", 16383, true},
        {"80004000", 16384, true},
        {"bfffffff", 1073741823, true},
        {"c000000040000000", 1073741824, true},
        {"ffffffffffffffff", UINT64_C(4611686018427387903), true},
        {"c00000000000003f", 63, false},
        {"80003fff", 16383, false},
        {"c00000003fffffff", 1073741823, false},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        uint8_t bytes[8];
        uint8_t again[8];
        uint64_t value = 0;
        size_t size = mr_hex(rows[i].hex, bytes, sizeof(bytes));

        CU_ASSERT_EQUAL(mr_varint_get(bytes, size, &value), size);
        CU_ASSERT_EQUAL(value, rows[i].value);
        CU_ASSERT_EQUAL(mr_varint_size(value) == size, rows[i].is_minimal);
        if (rows[i].is_minimal) {
            CU_ASSERT_EQUAL(mr_varint_put(again, value), size);
            CU_ASSERT_EQUAL(memcmp(again, bytes, size), 0);
        }
    }
}

/* RFC 9000, Appendix A.2: the first two; the others computed with its algorithm. */
static void packet_numbers_take_the_bytes_of_the_examples(void)
{
    static const struct {
        uint64_t pn;
        uint64_t largest_acked;
        uint8_t size;
        const char *wire;
    } rows[] = {
        {11295746, 11266227, 2, "5c02"},  {11331838, 11266227, 3, "ace8fe"},
        {0, MR_PN_NONE, 1, "00"},         {127, MR_PN_NONE, 1, "7f"},
        {128, MR_PN_NONE, 2, "0080"},     {255, MR_PN_NONE, 2, "00ff"},
        {256, MR_PN_NONE, 2, "0100"},     {32767, MR_PN_NONE, 2, "7fff"},
        {32768, MR_PN_NONE, 3, "008000"}, {1000, 990, 1, "e8"},
        {16777216, 0, 4, "01000000"},     {8388609, 0, 4, "00800001"},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        static const struct mr_cid no_cid;
        uint8_t expected[4];
        uint8_t wire[MR_SHORT_HEADER_MAX];
        struct mr_writer w = mr_writer(wire, sizeof(wire));
        uint8_t size = mr_pn_size(rows[i].pn, rows[i].largest_acked);

        CU_ASSERT_EQUAL_FATAL(size, rows[i].size);
        CU_ASSERT_EQUAL(mr_hex(rows[i].wire, expected, sizeof(expected)), size);
        mr_packet_write_short(&w, &no_cid, 0, rows[i].pn, size);
        CU_ASSERT_EQUAL(memcmp(wire + 1, expected, size), 0);
    }
}

/* RFC 9000, Appendix A.3: the first; the others computed with its algorithm. */
static void packet_numbers_are_recovered_as_in_the_examples(void)
{
    static const struct {
        uint64_t expected; /* largest received + 1 */
        uint32_t truncated;
        uint8_t size;
        uint64_t pn;
    } rows[] = {
        {UINT64_C(0xa82f30ea) + 1, 0x9b32, 2, UINT64_C(0xa82f9b32)},
        {0, 0, 1, 0},
        {0, 5, 4, 5},
        {1, 255, 1, 255},
        {255, 0, 1, 256},
        {256, 127, 1, 383},
        {256, 128, 1, 384},
        {65535, 0, 2, 65536},
        {65537, 65535, 2, 65535},
        {UINT64_C(4294967296), 0, 4, UINT64_C(4294967296)},
        {UINT64_C(4611686018427387902), 254, 1, UINT64_C(4611686018427387902)},
        {UINT64_C(4611686018427387903), 255, 1, UINT64_C(4611686018427387903)},
        {UINT64_C(2147483648), UINT32_C(2147483648), 4, UINT64_C(2147483648)},
        {1001, 232, 1, 1000},
        {1001, 233, 1, 1001},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++)
        CU_ASSERT_EQUAL(mr_pn_decode(rows[i].expected, rows[i].truncated, rows[i].size),
                        rows[i].pn);
}

/* RFC 9001, Appendices A.2 and A.3: the headers as they stand before and after protection. */
static void the_initial_headers_are_written_and_parsed(void)
{
    static const struct {
        const char *unprotected;
        const char *protected_header;
        uint16_t length; /* packet number, payload and tag */
        uint8_t pn_size;
        uint64_t pn;
        const char *dcid;
        const char *scid;
    } rows[] = {
        {"c300000001088394c8f03e5157080000449e00000002",
         "c000000001088394c8f03e5157080000449e7b9aec34", 1182, 4, 2, "8394c8f03e515708", ""},
        {"c1000000010008f067a5502a4262b50040750001", "cf000000010008f067a5502a4262b5004075c0d9",
         117, 2, 1, "", "f067a5502a4262b5"},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        static uint8_t packet[1200];
        uint8_t expected[32];
        struct mr_cid dcid = {0};
        struct mr_cid scid = {0};
        struct mr_packet_header parsed;
        struct mr_writer w = mr_writer(packet, sizeof(packet));

        dcid.size = (uint8_t)mr_hex(rows[i].dcid, dcid.bytes, sizeof(dcid.bytes));
        scid.size = (uint8_t)mr_hex(rows[i].scid, scid.bytes, sizeof(scid.bytes));
        const struct mr_packet_header header = {.type = MR_PACKET_INITIAL,
                                                .version = MR_VERSION_1,
                                                .dcid = mr_cid_view(&dcid),
                                                .scid = mr_cid_view(&scid)};
        uint8_t *hole = mr_packet_write_long(&w, &header, rows[i].pn, rows[i].pn_size);
        CU_ASSERT_PTR_NOT_NULL_FATAL(hole);
        mr_packet_set_length(hole, rows[i].length);

        size_t size = mr_hex(rows[i].unprotected, expected, sizeof(expected));
        CU_ASSERT_EQUAL_FATAL(mr_writer_size(&w), size);
        CU_ASSERT_EQUAL(memcmp(packet, expected, size), 0);

        mr_hex(rows[i].protected_header, packet, sizeof(packet));
        size_t whole = size - rows[i].pn_size + rows[i].length;
        CU_ASSERT_EQUAL(mr_packet_parse(packet, sizeof(packet), 8, &parsed), MR_PACKET_OK);
        CU_ASSERT_EQUAL(parsed.size, whole);
        CU_ASSERT_EQUAL(parsed.pn_offset, size - rows[i].pn_size);
        CU_ASSERT_TRUE(mr_cid_view_equal(parsed.dcid, &dcid));
        CU_ASSERT_TRUE(mr_cid_view_equal(parsed.scid, &scid));
        CU_ASSERT_EQUAL(mr_packet_parse(packet, whole - 1, 8, &parsed), MR_PACKET_SHORT);
    }
}

/* RFC 9001, Appendix A.4. */
static void the_retry_packet_is_written_with_its_tag(void)
{
    static const uint8_t static_key[MR_STATIC_KEY] = {1};
    const struct mr_cid odcid = {8, {0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08}};
    const struct mr_cid scid = {8, {0xf0, 0x67, 0xa5, 0x50, 0x2a, 0x42, 0x62, 0xb5}};
    const struct mr_cid dcid = {0};
    const struct mr_packet_header header = {.type = MR_PACKET_RETRY,
                                            .version = MR_VERSION_1,
                                            .dcid = mr_cid_view(&dcid),
                                            .scid = mr_cid_view(&scid),
                                            .token = (const uint8_t *)"token",
                                            .token_size = 5};
    uint8_t expected[64];
    uint8_t packet[64];
    struct mr_writer w = mr_writer(packet, sizeof(packet));
    struct mr_token_keys keys;
    size_t size = mr_hex("ff000000010008f067a5502a4262b5746f6b656e04a265ba2eff4d829058fb3f0f2496ba",
                         expected, sizeof(expected));

    CU_ASSERT_TRUE_FATAL(mr_token_keys_init(&keys, static_key));
    uint8_t *tag = mr_packet_write_retry(&w, &header, 0xff);
    CU_ASSERT_PTR_NOT_NULL_FATAL(tag);
    mr_retry_tag(&keys, mr_cid_view(&odcid), packet, (size_t)(tag - packet), tag);
    CU_ASSERT_EQUAL_FATAL(mr_writer_size(&w), size);
    CU_ASSERT_EQUAL(memcmp(packet, expected, size), 0);
    CU_ASSERT_TRUE(mr_retry_tag_verify(&keys, mr_cid_view(&odcid), packet, size));
    mr_token_keys_wipe(&keys);
}

/* RFC 9369, Appendix A.4: the Retry of version 2. */
static void the_retry_of_version_2(void)
{
    struct mr_packet_header header;
    uint8_t packet[64];
    struct mr_cid odcid = {8, {0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08}};
    static const uint8_t static_key[MR_STATIC_KEY] = {1};
    struct mr_token_keys keys;
    size_t size = mr_hex("cf6b3343cf0008f067a5502a4262b5746f6b656ec8646ce8bfe33952d955543665dcc7b6",
                         packet, sizeof(packet));

    CU_ASSERT_TRUE_FATAL(mr_token_keys_init(&keys, static_key));
    CU_ASSERT_EQUAL(mr_packet_parse(packet, size, 8, &header), MR_PACKET_OK);
    CU_ASSERT_EQUAL(header.type, MR_PACKET_RETRY);
    CU_ASSERT_EQUAL(header.version, MR_VERSION_2);
    CU_ASSERT_TRUE(mr_retry_tag_verify(&keys, mr_cid_view(&odcid), packet, size));
    packet[4] ^= 1;
    CU_ASSERT_FALSE(mr_retry_tag_verify(&keys, mr_cid_view(&odcid), packet, size));
    mr_token_keys_wipe(&keys);
}

/* The draft's CID with config 0, a server ID of three bytes and a nonce of four: exactly our
 * layout. */
static void the_quic_lb_connection_id(void)
{
    /* server ID c4605e = node c46, shard 0x017, generation 2 */
    const struct mr_cid_format format = {
        .node = 0xc46, .shard = 0x017, .generation = 2, .config = 0};
    const struct mr_cid_format mine = {.node = 0xc46};
    uint8_t expected[MR_LOCAL_CID_SIZE];
    struct mr_cid cid = mr_cid_encode(&format, 0x4504cc4f);

    CU_ASSERT_EQUAL(mr_hex("07c4605e4504cc4f", expected, sizeof(expected)), MR_LOCAL_CID_SIZE);
    CU_ASSERT_EQUAL(memcmp(cid.bytes, expected, MR_LOCAL_CID_SIZE), 0);
    CU_ASSERT_EQUAL(mr_cid_owner(expected, MR_LOCAL_CID_SIZE, &mine), 0x017);
    CU_ASSERT_EQUAL(mr_cid_generation(expected, &mine), 2);
}

static CU_TestInfo tests[] = {
    {"RFC 9000 A.1: varints decode", varints_decode},
    {"RFC 9000 A.2: packet numbers take the bytes of the examples",
     packet_numbers_take_the_bytes_of_the_examples},
    {"RFC 9000 A.3: packet numbers are recovered as in the examples",
     packet_numbers_are_recovered_as_in_the_examples},
    {"RFC 9001 A.2, A.3: the Initial headers are written and parsed",
     the_initial_headers_are_written_and_parsed},
    {"RFC 9001 A.4: the Retry packet is written with its tag",
     the_retry_packet_is_written_with_its_tag},
    {"the Retry of version 2", the_retry_of_version_2},
    {"QUIC-LB: the unencrypted connection ID", the_quic_lb_connection_id},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "codec vectors", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
