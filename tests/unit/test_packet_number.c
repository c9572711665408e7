/* Tests of quic/packet_number.h.  The RFC's own examples are in
 * tests/conformance/test_codec_vectors.c. */
#include "quic/packet_number.h"

#include "tests/unit/harness.h"

static void the_size_grows_at_half_of_what_it_can_tell_apart(void)
{
    static const struct {
        uint64_t unacked;
        uint8_t size;
    } rows[] = {
        {1, 1},
        {128, 1},
        {129, 2},
        {1 << 15, 2},
        {(1 << 15) + 1, 3},
        {1 << 23, 3},
        {(1 << 23) + 1, 4},
        {UINT64_C(1) << 31, 4},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        CU_ASSERT_EQUAL(mr_pn_size(1000 + rows[i].unacked, 1000), rows[i].size);
        CU_ASSERT_EQUAL(mr_pn_size(rows[i].unacked - 1, MR_PN_NONE), rows[i].size);
    }
}

/* The steps of RFC 9000, Appendix A.3, DecodePacketNumber(largest_pn, truncated_pn, pn_nbits). */
static uint64_t decode_as_written(uint64_t expected, uint64_t truncated, uint8_t size)
{
    int64_t window = INT64_C(1) << 8 * size;
    int64_t half = window / 2;
    int64_t next = (int64_t)expected;
    int64_t candidate = (next & ~(window - 1)) | (int64_t)truncated;

    if (candidate <= next - half && candidate < (INT64_C(1) << 62) - window)
        return (uint64_t)(candidate + window);
    if (candidate > next + half && candidate >= window)
        return (uint64_t)(candidate - window);
    return (uint64_t)candidate;
}

static void every_number_is_decoded_as_the_rfc_writes_it(void)
{
    static const uint64_t near[] = {
        0, 128, 256, 512, 32768, 65536, 1000000, MR_PN_MAX - 127, MR_PN_MAX - 32767, MR_PN_MAX};

    for (size_t i = 0; i < MR_COUNT_OF(near); i++)
        for (int64_t step = -300; step <= 300; step++) {
            uint64_t expected = near[i] + (uint64_t)step;
            if (expected > MR_PN_MAX)
                continue;
            for (uint32_t truncated = 0; truncated < 256; truncated++) {
                CU_ASSERT_EQUAL(mr_pn_decode(expected, truncated, 1),
                                decode_as_written(expected, truncated, 1));
                CU_ASSERT_EQUAL(mr_pn_decode(expected, truncated << 8, 2),
                                decode_as_written(expected, truncated << 8, 2));
                CU_ASSERT_EQUAL(mr_pn_decode(expected, truncated << 24, 4),
                                decode_as_written(expected, truncated << 24, 4));
            }
        }
}

/* Numbers that arrive up to half a window before or after the expected one are recovered. */
static void every_number_near_the_expected_one_is_recovered(void)
{
    static const uint64_t expected[] = {0,       1,          127,           128,      129,
                                        255,     256,        257,           65535,    65536,
                                        1000000, UINT32_MAX, MR_PN_MAX - 1, MR_PN_MAX};

    for (size_t i = 0; i < MR_COUNT_OF(expected); i++)
        for (int64_t step = -127; step <= 127; step++) {
            uint64_t pn = expected[i] + (uint64_t)step;
            if (pn > MR_PN_MAX)
                continue; /* below zero, or too large to exist */
            CU_ASSERT_EQUAL(mr_pn_decode(expected[i], (uint8_t)pn, 1), pn);
            CU_ASSERT_EQUAL(mr_pn_decode(expected[i], (uint16_t)pn, 2), pn);
            CU_ASSERT_EQUAL(mr_pn_decode(expected[i], (uint32_t)pn & 0xffffff, 3), pn);
            CU_ASSERT_EQUAL(mr_pn_decode(expected[i], (uint32_t)pn, 4), pn);
        }
}

static void of_two_equally_near_numbers_the_larger_is_taken(void)
{
    CU_ASSERT_EQUAL(mr_pn_decode(0x180, 0x00, 1), 0x200);
    CU_ASSERT_EQUAL(mr_pn_decode(0x180, 0x01, 1), 0x101);
    CU_ASSERT_EQUAL(mr_pn_decode(0x17f, 0x00, 1), 0x100);
}

static void a_decoded_number_is_never_out_of_range(void)
{
    for (uint32_t truncated = 0; truncated < 256; truncated++) {
        CU_ASSERT(mr_pn_decode(MR_PN_MAX, truncated, 1) <= MR_PN_MAX);
        CU_ASSERT_EQUAL(mr_pn_decode(0, truncated, 1), truncated);
    }
    /* the next window would begin above the largest number */
    CU_ASSERT_EQUAL(mr_pn_decode(MR_PN_MAX, 0x00, 1), MR_PN_MAX - 0xff);
    CU_ASSERT_EQUAL(mr_pn_decode(MR_PN_MAX - 0x100, 0xff, 1), MR_PN_MAX - 0x100);
}

/* What the sender chose, the receiver of anything since the last acknowledgement recovers. */
static void the_chosen_size_suffices_for_a_peer_that_received_only_what_it_acknowledged(void)
{
    for (uint64_t unacked = 1; unacked < 100000; unacked = unacked * 5 / 4 + 1) {
        uint64_t largest = 77777777;
        uint64_t pn = largest + unacked;
        uint8_t size = mr_pn_size(pn, largest);
        uint32_t truncated = (uint32_t)(pn & (UINT64_MAX >> (64 - 8 * size)));

        CU_ASSERT_EQUAL(mr_pn_decode(largest + 1, truncated, size), pn);
        CU_ASSERT_EQUAL(mr_pn_decode(pn, truncated, size), pn);
    }
}

static CU_TestInfo tests[] = {
    {"the size grows at half of what it can tell apart",
     the_size_grows_at_half_of_what_it_can_tell_apart},
    {"every number near the expected one is recovered",
     every_number_near_the_expected_one_is_recovered},
    {"every number is decoded as the RFC writes it", every_number_is_decoded_as_the_rfc_writes_it},
    {"of two equally near numbers the larger is taken",
     of_two_equally_near_numbers_the_larger_is_taken},
    {"a decoded number is never out of range", a_decoded_number_is_never_out_of_range},
    {"the chosen size suffices for a peer that received only what it acknowledged",
     the_chosen_size_suffices_for_a_peer_that_received_only_what_it_acknowledged},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/packet_number", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
