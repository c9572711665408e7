/*
 * What RFC 9000 (Sections 6, 10.3, 12.2, 14 and 17), RFC 8999 and RFC 9001 (Section 5.8) demand of
 * packet headers. Each test quotes its sentence.
 */
#include "quic/packet.h"
#include "quic/token.h"
#include "tests/hex.h"
#include "tests/unit/harness.h"

static uint8_t bytes[1500];

/* Parse the packet that `hex` spells; a datagram's room beyond it stays zero. */
static enum mr_packet_verdict parse(const char *hex, struct mr_packet_header *out)
{
    return mr_packet_parse(bytes, mr_hex(hex, bytes, sizeof(bytes)), 8, out);
}

/*
 * Section 17.2: "Packets containing a zero value for this bit are not valid packets in this version
 * and MUST be discarded."
 */
static void without_fixed_bit_a_packet_is_not_valid(void)
{
    struct mr_packet_header h;

    CU_ASSERT_EQUAL(parse("e0000000010100010000" /* Length 0 */, &h), MR_PACKET_OK);
    CU_ASSERT_EQUAL(parse("a0000000010100010000", &h), MR_PACKET_NO_FIXED_BIT);
    CU_ASSERT_EQUAL(parse("40010203040506070800", &h), MR_PACKET_OK);
    CU_ASSERT_EQUAL(parse("00010203040506070800", &h), MR_PACKET_NO_FIXED_BIT);
}

/* RFC 9287, Section 3: with grease_quic_bit sent, such packets are to be accepted: all else must be
 * parsed. */
static void without_fixed_bit_all_else_is_parsed(void)
{
    struct mr_packet_header h;

    CU_ASSERT_EQUAL(parse("a000000001010a010b03000000", &h), MR_PACKET_NO_FIXED_BIT);
    CU_ASSERT_EQUAL(h.type, MR_PACKET_HANDSHAKE);
    CU_ASSERT_EQUAL(h.size, 13);
    CU_ASSERT_EQUAL(h.pn_offset, 10);
    CU_ASSERT_EQUAL(h.scid.bytes[0], 0x0b);
    CU_ASSERT_EQUAL(parse("00010203040506070800", &h), MR_PACKET_NO_FIXED_BIT);
    CU_ASSERT_EQUAL(h.size, 10);
    CU_ASSERT_EQUAL(h.dcid.size, 8);
}

/*
 * Section 17.2: "Endpoints that receive a version 1 long header with a value larger than 20 MUST
 * drop the packet." "In order to properly form a Version Negotiation packet, servers SHOULD be able
 * to read longer connection IDs from other QUIC versions."
 */
static void a_version_1_connection_id_is_at_most_20_bytes(void)
{
    static const struct {
        uint8_t dcid;
        uint8_t scid;
        enum mr_packet_verdict verdict;
    } rows[] = {
        {20, 20, MR_PACKET_OK},        {21, 0, MR_PACKET_MALFORMED},
        {0, 21, MR_PACKET_MALFORMED},  {255, 255, MR_PACKET_MALFORMED},
        {255, 0, MR_PACKET_MALFORMED},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct mr_packet_header h;

        memset(bytes, 0, sizeof(bytes));
        bytes[0] = 0xe0;
        bytes[4] = 1;
        bytes[5] = rows[i].dcid;
        bytes[6 + rows[i].dcid] = rows[i].scid;
        CU_ASSERT_EQUAL(mr_packet_parse(bytes, 1200, 8, &h), rows[i].verdict);

        bytes[1] = 0x7f; /* some other version */
        CU_ASSERT_EQUAL(mr_packet_parse(bytes, 1200, 8, &h), MR_PACKET_UNSUPPORTED_VERSION);
        CU_ASSERT_EQUAL(h.dcid.size, rows[i].dcid);
        CU_ASSERT_EQUAL(h.scid.size, rows[i].scid);
        CU_ASSERT_EQUAL(h.version, 0x7f000001);
    }
}

/* Section 17.2: "In QUIC version 1, this value MUST NOT exceed 20 bytes.": also when a connection
 * ID ends with the datagram. */
static void a_connection_id_beyond_the_datagram_is_no_connection_id(void)
{
    struct mr_packet_header h;

    CU_ASSERT_EQUAL(parse("ff7f00000105aabbccdd", &h), MR_PACKET_SHORT);
    CU_ASSERT_EQUAL(parse("ff7f000001ffaabbccddee", &h), MR_PACKET_SHORT);
    CU_ASSERT_EQUAL(parse("ff7f00000102aabb", &h), MR_PACKET_SHORT);
    CU_ASSERT_EQUAL(parse("ff7f00000102aabb01", &h), MR_PACKET_SHORT);
    CU_ASSERT_EQUAL(parse("ff7f00000102aabb00", &h), MR_PACKET_UNSUPPORTED_VERSION);
}

/* Section 17.2.1: "Upon receipt by a client, it will be identified as a Version Negotiation packet
 * based on the Version field having a value of 0." "Clients MUST ignore the value of this field
 * [Unused]."  RFC 8999, Section 6: "The remaining 7 bits, labeled "Unused", can be set to any value
 * when sending and MUST be ignored on receipt." */
static void version_0_is_a_version_negotiation_whatever_the_first_byte(void)
{
    struct mr_packet_header h;

    for (unsigned first = 0x80; first <= 0xff; first++) {
        CU_ASSERT_EQUAL(parse("8000000000010a010b00000001", &h), MR_PACKET_OK);
        bytes[0] = (uint8_t)first;
        CU_ASSERT_EQUAL(mr_packet_parse(bytes, 13, 8, &h), MR_PACKET_OK);
        CU_ASSERT_EQUAL(h.type, MR_PACKET_VERSION_NEGOTIATION);
        CU_ASSERT_TRUE(mr_packet_lists_version(&h, 1));
        CU_ASSERT_EQUAL(h.size, 13);
    }
}

/* RFC 8999, Section 6: "An endpoint MUST ignore a packet that contains no Supported Version fields
 * or contains a truncated Supported Version value." */
static void a_version_negotiation_without_whole_versions_is_ignored(void)
{
    struct mr_packet_header h;

    CU_ASSERT_EQUAL(parse("8000000000010a010b", &h), MR_PACKET_MALFORMED);
    CU_ASSERT_EQUAL(parse("8000000000010a010b000000", &h), MR_PACKET_MALFORMED);
    CU_ASSERT_EQUAL(parse("8000000000010a010b0000000100", &h), MR_PACKET_MALFORMED);
    CU_ASSERT_EQUAL(parse("8000000000010a010b0000000100000002", &h), MR_PACKET_OK);
    CU_ASSERT_TRUE(mr_packet_lists_version(&h, 2));
}

/*
 * Section 17.2.1: "The server MUST include the value from the Source Connection ID field of the
 * packet it receives in the Destination Connection ID field.  The value for Source Connection ID
 * MUST be copied from the Destination Connection ID of the received packet".  "Version-specific
 * rules for the connection ID therefore MUST NOT influence a decision about whether to send a
 * Version Negotiation packet."  "servers SHOULD set the most significant bit of this field (0x40)
 * to 1".
 */
static void a_version_negotiation_answers_with_swapped_connection_ids(void)
{
    uint8_t expected[64];
    uint8_t answer[64];
    struct mr_packet_header h;
    struct mr_writer w = mr_writer(answer, sizeof(answer));

    CU_ASSERT_EQUAL(parse("c0faceb00c16000102030405060708090a0b0c0d0e0f10111213141502aabb", &h),
                    MR_PACKET_UNSUPPORTED_VERSION);
    mr_packet_write_version_negotiation(&w, &h, &(uint32_t){MR_VERSION_1}, 1, 0);
    size_t size =
        mr_hex("c00000000002aabb16000102030405060708090a0b0c0d0e0f1011121314150a0a0a0a00000001",
               expected, sizeof(expected));
    CU_ASSERT_EQUAL_FATAL(mr_writer_size(&w), size);
    CU_ASSERT_EQUAL(memcmp(answer, expected, size), 0);

    for (uint32_t random = 0; random < 64; random++) {
        w = mr_writer(answer, sizeof(answer));
        mr_packet_write_version_negotiation(&w, &h, &(uint32_t){MR_VERSION_1}, 1,
                                            random << 26 | random);
        CU_ASSERT_EQUAL(answer[0] & 0xc0, 0xc0);
    }
}

/* Section 12.2: "Using the Length field, a sender can coalesce multiple QUIC packets into one UDP
 * datagram." "Receivers MUST be able to process coalesced packets." A Length beyond the datagram
 * belongs to no packet. */
static void length_ends_a_packet_inside_the_datagram(void)
{
    struct mr_packet_header h;

    CU_ASSERT_EQUAL(parse("c000000001010a010b00054142434445e000", &h), MR_PACKET_OK);
    CU_ASSERT_EQUAL(h.pn_offset, 11);
    CU_ASSERT_EQUAL(h.size, 16);
    CU_ASSERT_EQUAL(parse("c000000001010a010b000541424344", &h), MR_PACKET_SHORT);
    CU_ASSERT_EQUAL(parse("c000000001010a010b00ffffffffffffffff41", &h), MR_PACKET_SHORT);
    CU_ASSERT_EQUAL(parse("c000000001010a010b00c00000000000000541424344450000", &h), MR_PACKET_OK);
    CU_ASSERT_EQUAL(h.size, 23);
}

/* Section 17.2.2: "Token Length: A variable-length integer specifying the length of the Token
 * field, in bytes."  A token beyond the datagram is none (the check is on the integer, not on a sum
 * that may wrap). */
static void a_token_ends_inside_the_datagram(void)
{
    struct mr_packet_header h;

    CU_ASSERT_EQUAL(parse("c000000001010a010b02747504aabbccdd", &h), MR_PACKET_OK);
    CU_ASSERT_EQUAL(h.token_size, 2);
    CU_ASSERT_EQUAL(memcmp(h.token, "tu", 2), 0);
    CU_ASSERT_EQUAL(h.size, 17);
    CU_ASSERT_EQUAL(parse("c000000001010a010bffffffffffffffff7475", &h), MR_PACKET_SHORT);
    CU_ASSERT_EQUAL(parse("c000000001010a010b80010000747504aabbccdd", &h), MR_PACKET_SHORT);
    CU_ASSERT_EQUAL(parse("c000000001010a010b0874750411", &h), MR_PACKET_SHORT);
    CU_ASSERT_EQUAL(parse("c000000001010a010b40", &h), MR_PACKET_SHORT);
}

/* Section 17.2.5.2: "A client MUST discard a Retry packet with a zero-length Retry Token field." */
static void a_retry_without_token_is_discarded(void)
{
    struct mr_packet_header h;

    CU_ASSERT_EQUAL(parse("f000000001010a010b00112233445566778899aabbccddeeff", &h),
                    MR_PACKET_MALFORMED);
    CU_ASSERT_EQUAL(parse("f000000001010a010b7400112233445566778899aabbccddeeff", &h),
                    MR_PACKET_OK);
    CU_ASSERT_EQUAL(h.token_size, 1);
    CU_ASSERT_EQUAL(parse("f000000001010a010b112233445566778899aabbccddeeff", &h), MR_PACKET_SHORT);
}

/* Section 17.2.5: "The value in the Unused field is set to an arbitrary value by the server; a
 * client MUST ignore these bits." */
static void a_retry_may_have_any_unused_bits(void)
{
    struct mr_packet_header h;

    for (unsigned low = 0; low < 16; low++) {
        parse("f000000001010a010b7400112233445566778899aabbccddeeff", &h);
        bytes[0] = (uint8_t)(0xf0 | low);
        CU_ASSERT_EQUAL(mr_packet_parse(bytes, 26, 8, &h), MR_PACKET_OK);
        CU_ASSERT_EQUAL(h.type, MR_PACKET_RETRY);
    }
}

/* Section 17.2.5.2: "Clients MUST discard Retry packets that have a Retry Integrity Tag that cannot
 * be validated". */
static void a_changed_retry_is_noticed(void)
{
    static const uint8_t static_key[MR_STATIC_KEY] = {1};
    struct mr_cid odcid = {8, {0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08}};
    struct mr_token_keys keys;
    size_t size = mr_hex("ff000000010008f067a5502a4262b5746f6b656e04a265ba2eff4d829058fb3f0f2496ba",
                         bytes, sizeof(bytes));

    CU_ASSERT_TRUE_FATAL(mr_token_keys_init(&keys, static_key));
    for (size_t bit = 0; bit < 8 * size; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CU_ASSERT_FALSE(mr_retry_tag_verify(&keys, mr_cid_view(&odcid), bytes, size));
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t cut = 0; cut < size; cut++)
        CU_ASSERT_FALSE(mr_retry_tag_verify(&keys, mr_cid_view(&odcid), bytes, cut));
    CU_ASSERT_TRUE(mr_retry_tag_verify(&keys, mr_cid_view(&odcid), bytes, size));
    odcid.bytes[0] ^= 1; /* answers another Initial */
    CU_ASSERT_FALSE(mr_retry_tag_verify(&keys, mr_cid_view(&odcid), bytes, size));
    mr_token_keys_wipe(&keys);
}

/* Sections 17.2 and 17.3.1: "The value included prior to protection MUST be set to 0.  An endpoint
 * MUST treat receipt of a packet that has a non-zero value for these bits after removing both
 * packet and header protection as a connection error of type PROTOCOL_VIOLATION." */
static void reserved_bits_of_both_header_forms(void)
{
    for (unsigned first = 0; first < 256; first++) {
        unsigned reserved = first & 0x80 ? 0x0c : 0x18;

        CU_ASSERT_EQUAL(mr_packet_has_reserved_bits((uint8_t)first), (first & reserved) != 0);
        CU_ASSERT_EQUAL(mr_packet_pn_size((uint8_t)first), first % 4 + 1);
    }
}

/* Section 17.1: "Prior to receiving an acknowledgment for a packet number space, the full packet
 * number MUST be included". */
static void without_acknowledgement_the_whole_number_is_written(void)
{
    static const uint64_t numbers[] = {0,     1,     127,     128,     255,    256,
                                       32767, 32768, 8388607, 8388608, 1 << 30};

    for (size_t i = 0; i < MR_COUNT_OF(numbers); i++)
        CU_ASSERT_EQUAL(numbers[i] >> (8 * mr_pn_size(numbers[i], MR_PN_NONE)), 0);
}

/* Section 17.1: "the sender MUST use a packet number size able to represent more than twice as
 * large a range as the difference between the largest acknowledged packet number and the packet
 * number being sent." (Appendix A.2 is its reading.) */
static void the_size_covers_twice_the_unacknowledged_range(void)
{
    for (uint64_t range = 1; range < UINT64_C(1) << 31; range = range * 3 / 2 + 1) {
        uint8_t size = mr_pn_size(5000000000 + range, 5000000000);

        CU_ASSERT(UINT64_C(1) << (8 * size) >= 2 * range);
        CU_ASSERT(size == 1 ||
                  UINT64_C(1) << (8 * (size - 1)) < 2 * range); /* and no more than needed */
    }
}

/* Section 10.3: "endpoints MUST treat any packet ending in a valid stateless reset token as a
 * Stateless Reset, as other QUIC versions might allow the use of a long header." */
static void a_reset_is_looked_for_in_any_datagram_long_enough(void)
{
    for (size_t len = 0; len < 100; len++) {
        const uint8_t *token = mr_packet_reset_token(bytes, len);

        bytes[0] = (uint8_t)(len % 2 == 0 ? 0xc0 : 0x40);
        CU_ASSERT_PTR_EQUAL(token, len < 21 ? NULL : bytes + len - 16);
    }
}

/*
 * Section 10.3: "An endpoint that sends a Stateless Reset in response to a packet that is 43 bytes
 * or shorter SHOULD send a Stateless Reset that is one byte shorter than the packet it responds
 * to." Section 10.3.3: "An endpoint MUST ensure that every Stateless Reset that it sends is smaller
 * than the packet that triggered it".  "Endpoints MUST send Stateless Resets formatted as a packet
 * with a short header."
 */
static void a_reset_is_smaller_than_its_trigger_and_looks_like_a_packet(void)
{
    static const uint8_t token[MR_RESET_TOKEN] = {1, 2, 3, [15] = 16};
    uint8_t random[32];
    uint8_t reset[64];

    memset(random, 0xff, sizeof(random));
    for (uint32_t trigger = 0; trigger < 1500; trigger++) {
        memset(reset, 0, sizeof(reset));
        size_t size = mr_packet_write_stateless_reset(reset, sizeof(reset), trigger, random, token);

        if (trigger < 22) {
            CU_ASSERT_EQUAL(size, 0);
            continue;
        }
        CU_ASSERT_EQUAL_FATAL(size, trigger <= 43 ? trigger - 1 : 43);
        CU_ASSERT_EQUAL(reset[0], 0x7f);
        CU_ASSERT_EQUAL(reset[size - 17], size == 17 ? 0x7f : 0xff);
        CU_ASSERT_EQUAL(memcmp(mr_packet_reset_token(reset, size), token, sizeof(token)), 0);
    }
    CU_ASSERT_EQUAL(mr_packet_write_stateless_reset(reset, 42, 1200, random, token), 0);
    CU_ASSERT_EQUAL(mr_packet_write_stateless_reset(reset, 43, 1200, random, token), 43);
}

static CU_TestInfo tests[] = {
    {"17.2: without Fixed Bit a packet is not valid", without_fixed_bit_a_packet_is_not_valid},
    {"RFC 9287: without Fixed Bit all else is parsed", without_fixed_bit_all_else_is_parsed},
    {"17.2: a version 1 connection ID is at most 20 bytes",
     a_version_1_connection_id_is_at_most_20_bytes},
    {"17.2: a connection ID beyond the datagram is no connection ID",
     a_connection_id_beyond_the_datagram_is_no_connection_id},
    {"17.2.1: version 0 is a Version Negotiation, whatever the first byte",
     version_0_is_a_version_negotiation_whatever_the_first_byte},
    {"RFC 8999 6: a Version Negotiation without whole versions is ignored",
     a_version_negotiation_without_whole_versions_is_ignored},
    {"17.2.1: a Version Negotiation answers with swapped connection IDs",
     a_version_negotiation_answers_with_swapped_connection_ids},
    {"12.2: Length ends a packet inside the datagram", length_ends_a_packet_inside_the_datagram},
    {"17.2.2: a token ends inside the datagram", a_token_ends_inside_the_datagram},
    {"17.2.5.2: a Retry without token is discarded", a_retry_without_token_is_discarded},
    {"17.2.5: a Retry may have any unused bits", a_retry_may_have_any_unused_bits},
    {"17.2.5.2: a changed Retry is noticed", a_changed_retry_is_noticed},
    {"17.2, 17.3.1: reserved bits of both header forms", reserved_bits_of_both_header_forms},
    {"17.1: without acknowledgement the whole number is written",
     without_acknowledgement_the_whole_number_is_written},
    {"17.1: the size covers twice the unacknowledged range",
     the_size_covers_twice_the_unacknowledged_range},
    {"10.3: a reset is looked for in any datagram long enough",
     a_reset_is_looked_for_in_any_datagram_long_enough},
    {"10.3.3: a reset is smaller than its trigger and looks like a packet",
     a_reset_is_smaller_than_its_trigger_and_looks_like_a_packet},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "packet headers", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
