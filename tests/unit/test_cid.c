/* Tests of quic/cid.h. */
#include "quic/cid.h"

#include "tests/unit/harness.h"

static void the_bytes_are_as_drawn(void)
{
    const struct mr_cid_format format = {
        .node = 0xabc, .shard = 0x155, .generation = 2, .config = 5};
    static const uint8_t expected[] = {0xa7, 0xab, 0xc5, 0x56, 0x01, 0x02, 0x03, 0x04};
    struct mr_cid cid = mr_cid_encode(&format, 0x01020304);

    CU_ASSERT_EQUAL(cid.size, MR_LOCAL_CID_SIZE);
    CU_ASSERT_EQUAL(memcmp(cid.bytes, expected, sizeof(expected)), 0);
}

static void the_owner_is_whoever_encoded_it(void)
{
    for (uint16_t node = 0; node < MR_CID_NODES; node += 273)
        for (uint16_t shard = 0; shard < MR_CID_SHARDS; shard++)
            for (uint8_t generation = 0; generation < MR_CID_GENERATIONS; generation++) {
                struct mr_cid_format issuer = {node, shard, generation, 3};
                struct mr_cid_format mine = {node, 0, 0, 3};
                struct mr_cid cid = mr_cid_encode(&issuer, UINT32_MAX - shard);

                CU_ASSERT_EQUAL(mr_cid_owner(cid.bytes, cid.size, &mine), shard);
                CU_ASSERT_EQUAL(mr_cid_generation(cid.bytes), generation);
            }
}

static void what_another_node_or_configuration_issued_is_foreign(void)
{
    const struct mr_cid_format mine = {.node = 5, .shard = 7, .generation = 1, .config = 2};
    struct mr_cid_format other = mine;

    other.node = 6;
    struct mr_cid cid = mr_cid_encode(&other, 1);
    CU_ASSERT_EQUAL(mr_cid_owner(cid.bytes, cid.size, &mine), MR_CID_FOREIGN);
    other.node = 5 | 0x800; /* the highest bit of a node counts */
    cid = mr_cid_encode(&other, 1);
    CU_ASSERT_EQUAL(mr_cid_owner(cid.bytes, cid.size, &mine), MR_CID_FOREIGN);

    other = mine;
    other.config = 3;
    cid = mr_cid_encode(&other, 1);
    CU_ASSERT_EQUAL(mr_cid_owner(cid.bytes, cid.size, &mine), MR_CID_FOREIGN);
}

static void a_connection_id_of_another_size_is_foreign(void)
{
    const struct mr_cid_format mine = {.node = 5, .shard = 7};
    uint8_t bytes[MR_CID_MAX] = {0};
    struct mr_cid cid = mr_cid_encode(&mine, 1);

    memcpy(bytes, cid.bytes, cid.size);
    for (size_t size = 0; size <= MR_CID_MAX; size++)
        CU_ASSERT_EQUAL(mr_cid_owner(bytes, size, &mine),
                        size == MR_LOCAL_CID_SIZE ? 7 : MR_CID_FOREIGN);
    CU_ASSERT_EQUAL(mr_cid_owner(NULL, 0, &mine), MR_CID_FOREIGN);

    bytes[0] ^= 0x01; /* says it is 7 bytes long */
    CU_ASSERT_EQUAL(mr_cid_owner(bytes, MR_LOCAL_CID_SIZE, &mine), MR_CID_FOREIGN);
}

static void a_format_that_does_not_fit_its_bits_is_not_valid(void)
{
    struct mr_cid_format format = {4095, 1023, 3, 6};

    CU_ASSERT_TRUE(mr_cid_format_is_valid(&format));
    format.node = 4096;
    CU_ASSERT_FALSE(mr_cid_format_is_valid(&format));
    format = (struct mr_cid_format){0, 1024, 0, 0};
    CU_ASSERT_FALSE(mr_cid_format_is_valid(&format));
    format = (struct mr_cid_format){0, 0, 4, 0};
    CU_ASSERT_FALSE(mr_cid_format_is_valid(&format));
    format = (struct mr_cid_format){0, 0, 0, 7}; /* QUIC-LB: unroutable */
    CU_ASSERT_FALSE(mr_cid_format_is_valid(&format));
}

static CU_TestInfo tests[] = {
    {"the bytes are as drawn", the_bytes_are_as_drawn},
    {"the owner is whoever encoded it", the_owner_is_whoever_encoded_it},
    {"what another node or configuration issued is foreign",
     what_another_node_or_configuration_issued_is_foreign},
    {"a connection ID of another size is foreign", a_connection_id_of_another_size_is_foreign},
    {"a format that does not fit its bits is not valid",
     a_format_that_does_not_fit_its_bits_is_not_valid},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/cid", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
