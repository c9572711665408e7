/* Tests of base/checksum.h. */
#include "base/checksum.h"

#include "base/random.h"
#include "tests/unit/harness.h"

/* RFC 1071, Section 4.1, with the words read one by one. */
static uint16_t naive(const uint8_t *bytes, size_t size)
{
    uint32_t sum = 0;

    for (size_t i = 0; i + 1 < size; i += 2)
        sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
    if (size % 2 == 1)
        sum += (uint32_t)bytes[size - 1] << 8;
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void gives_the_sum_of_the_rfc(void)
{
    /* RFC 1071, Section 3: the words sum to ddf2 */
    static const uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};

    CU_ASSERT_EQUAL(mr_checksum_finish(mr_checksum_add(0, bytes, sizeof(bytes))),
                    (uint16_t)~0xddf2);
}

static void equals_the_naive_sum_at_every_size_and_alignment(void)
{
    static uint8_t bytes[2048];
    struct mr_random random;

    mr_random_init_number(&random, 1);
    mr_random_fill(&random, bytes, sizeof(bytes));
    for (size_t at = 0; at < 8; at++)
        for (size_t size = 0; size < 300; size++)
            CU_ASSERT_EQUAL(mr_checksum_finish(mr_checksum_add(0, bytes + at, size)),
                            naive(bytes + at, size));
    CU_ASSERT_EQUAL(mr_checksum_finish(mr_checksum_add(0, bytes, 1500)), naive(bytes, 1500));
}

static void blocks_are_summed_alike_with_all_registers(void)
{
    static uint8_t bytes[32 * MR_CHECKSUM_BLOCK + 8];
    struct mr_random random;

    mr_random_init_number(&random, 2);
    mr_random_fill(&random, bytes, sizeof(bytes));
    for (size_t at = 0; at < 8; at++)
        for (size_t blocks = 0; blocks <= 32; blocks++) {
            uint16_t expected = naive(bytes + at, blocks * MR_CHECKSUM_BLOCK);

            CU_ASSERT_EQUAL(mr_checksum_finish(mr_checksum_add_narrow(0, bytes + at, blocks)),
                            expected);
            CU_ASSERT_EQUAL(mr_checksum_finish(mr_checksum_add_blocks(0, bytes + at, blocks)),
                            expected);
        }
    memset(bytes, 0xff, sizeof(bytes)); /* the most that can be carried */
    CU_ASSERT_EQUAL(mr_checksum_finish(mr_checksum_add_blocks(0xffff, bytes, 32)), 0);
    CU_ASSERT_EQUAL(mr_checksum_finish(mr_checksum_add_narrow(0xffff, bytes, 32)), 0);
}

/* Folding is arithmetic modulo 2^16 - 1, with 0xffff for zero. */
static void expect_fold(uint64_t sum)
{
    uint16_t word = (uint16_t) ~(sum % 0xffff == 0 ? 0xffff : sum % 0xffff);

    CU_ASSERT_EQUAL(mr_checksum_finish(sum), mr_load_be16(&word));
}

static void carries_are_folded_to_the_end(void)
{
    static uint8_t bytes[65535];

    memset(bytes, 0xff, sizeof(bytes));
    CU_ASSERT_EQUAL(mr_checksum_finish(mr_checksum_add(0, bytes, 65534)), 0);
    CU_ASSERT_EQUAL(mr_checksum_finish(mr_checksum_add(0, bytes, 65535)), naive(bytes, 65535));
    CU_ASSERT_EQUAL(mr_checksum_finish(0), 0xffff);

    expect_fold(0x0001ffffffff0000); /* carries again at the second fold of each kind */
    expect_fold(UINT64_MAX);
    for (uint64_t high = 0xfffffff0; high <= 0xffffffff; high++)
        expect_fold(high << 32 | 0xffffffff);
    struct mr_random random;
    mr_random_init_number(&random, 3);
    for (int i = 0; i < 1000; i++)
        expect_fold(mr_random_u64(&random));
}

static void pieces_of_even_size_sum_as_one(void)
{
    uint8_t bytes[101];
    struct mr_random random;

    mr_random_init_number(&random, 2);
    mr_random_fill(&random, bytes, sizeof(bytes));
    for (size_t cut = 0; cut <= sizeof(bytes); cut += 2) {
        uint64_t sum = mr_checksum_add(0, bytes, cut);
        sum = mr_checksum_add(sum, bytes + cut, sizeof(bytes) - cut);
        CU_ASSERT_EQUAL(mr_checksum_finish(sum), naive(bytes, sizeof(bytes)));
    }
}

static void the_pseudo_header_is_summed_as_bytes(void)
{
    uint8_t v4[12] = {198, 18, 0, 1, 198, 18, 0, 2, 0, MR_CHECKSUM_UDP, 0x12, 0x35};
    uint8_t v6[40] = {0xfd, [15] = 1, 0xfd, [31] = 2, 0, 1, 0x12, 0x35, 0, 0, 0, MR_CHECKSUM_UDP};

    CU_ASSERT_EQUAL(mr_checksum_finish(mr_checksum_pseudo4(v4, v4 + 4, MR_CHECKSUM_UDP, 0x1235)),
                    naive(v4, sizeof(v4)));
    CU_ASSERT_EQUAL(
        mr_checksum_finish(mr_checksum_pseudo6(v6, v6 + 16, MR_CHECKSUM_UDP, 0x00011235)),
        naive(v6, sizeof(v6)));
}

static void a_datagram_with_its_checksum_sums_to_zero(void)
{
    uint8_t src[4] = {198, 18, 0, 1}, dst[4] = {198, 18, 0, 2};

    for (size_t size = 8; size < 64; size++) {
        uint8_t udp[64];
        struct mr_random random;

        mr_random_init_number(&random, size);
        mr_random_fill(&random, udp, size);
        mr_store_be16(&udp[6], 0);
        uint64_t pseudo = mr_checksum_pseudo4(src, dst, MR_CHECKSUM_UDP, (uint16_t)size);
        mr_store_be16(&udp[6], mr_checksum_finish_udp(mr_checksum_add(pseudo, udp, size)));
        CU_ASSERT_EQUAL(mr_checksum_finish(mr_checksum_add(pseudo, udp, size)), 0);

        udp[size - 1] ^= 1;
        CU_ASSERT_NOT_EQUAL(mr_checksum_finish(mr_checksum_add(pseudo, udp, size)), 0);
    }
}

static void a_udp_checksum_is_never_zero(void)
{
    uint8_t ones[2] = {0xff, 0xff};
    uint64_t sum = mr_checksum_add(0, ones, sizeof(ones));

    CU_ASSERT_EQUAL(mr_checksum_finish(sum), 0);
    CU_ASSERT_EQUAL(mr_checksum_finish_udp(sum), 0xffff);
}

static CU_TestInfo tests[] = {
    {"gives the sum of the RFC", gives_the_sum_of_the_rfc},
    {"equals the naive sum at every size and alignment",
     equals_the_naive_sum_at_every_size_and_alignment},
    {"blocks are summed alike with all registers", blocks_are_summed_alike_with_all_registers},
    {"carries are folded to the end", carries_are_folded_to_the_end},
    {"pieces of even size sum as one", pieces_of_even_size_sum_as_one},
    {"the pseudo-header is summed as bytes", the_pseudo_header_is_summed_as_bytes},
    {"a datagram with its checksum sums to zero", a_datagram_with_its_checksum_sums_to_zero},
    {"a UDP checksum is never zero", a_udp_checksum_is_never_zero},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "base/checksum", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
