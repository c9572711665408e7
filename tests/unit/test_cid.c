/* Tests of quic/cid.h. */
#include "quic/cid.h"

#include "base/compiler.h"
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
                CU_ASSERT_EQUAL(mr_cid_generation(cid.bytes, &mine), generation);
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

/* "A configuration MUST NOT use the reserved identifier 0b111 (see {{config-failover}} below)."
 * (draft-ietf-quic-load-balancers: Config Rotation) */
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

/* Katran's, by hand: version 2 bits, host, worker 8, process 1, and the nonce in all others. */
static void katran_bytes_are_as_drawn(void)
{
    static const struct {
        struct mr_cid_format format;
        uint64_t nonce;
        uint8_t expected[MR_LOCAL_CID_SIZE];
    } rows[] = {
        /* 01 0001001000110100 11000101 1 and 37 zeros */
        {{.kind = MR_CID_KATRAN_1, .node = 0x1234, .shard = 0xc5, .generation = 1},
         0,
         {0x44, 0x8d, 0x31, 0x60, 0, 0, 0, 0}},
        /* the other way round: 01 0001001000110100 11000101 0 and 37 ones */
        {{.kind = MR_CID_KATRAN_1, .node = 0x1234, .shard = 0xc5},
         UINT64_MAX,
         {0x44, 0x8d, 0x31, 0x5f, 0xff, 0xff, 0xff, 0xff}},
        /* 01 1111111111111111 00000000 0 */
        {{.kind = MR_CID_KATRAN_1, .node = 0xffff}, 0, {0x7f, 0xff, 0xc0, 0, 0, 0, 0, 0}},
        /* 10 000000, three bytes, one byte, 1 and 23 zeros */
        {{.kind = MR_CID_KATRAN_2, .node = 0x123456, .shard = 0xc5, .generation = 1},
         0,
         {0x80, 0x12, 0x34, 0x56, 0xc5, 0x80, 0x00, 0x00}},
        {{.kind = MR_CID_KATRAN_2, .node = 0x123456, .shard = 0xc5},
         UINT64_MAX,
         {0xbf, 0x12, 0x34, 0x56, 0xc5, 0x7f, 0xff, 0xff}},
        {{.kind = MR_CID_KATRAN_2, .node = 0x123456, .shard = 0xc5},
         UINT64_C(0x0100000000000203),
         {0x81, 0x12, 0x34, 0x56, 0xc5, 0x00, 0x02, 0x03}},
        /* 11 000000, four bytes, one byte, 1 and 15 zeros */
        {{.kind = MR_CID_KATRAN_3, .node = 0x12345678, .shard = 0xc5, .generation = 1},
         0,
         {0xc0, 0x12, 0x34, 0x56, 0x78, 0xc5, 0x80, 0x00}},
        {{.kind = MR_CID_KATRAN_3, .node = UINT32_MAX},
         UINT64_MAX,
         {0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x7f, 0xff}},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct mr_cid cid = mr_cid_encode(&rows[i].format, rows[i].nonce);

        CU_ASSERT_EQUAL(cid.size, MR_LOCAL_CID_SIZE);
        CU_ASSERT_EQUAL(memcmp(cid.bytes, rows[i].expected, MR_LOCAL_CID_SIZE), 0);
        CU_ASSERT_EQUAL(mr_cid_owner(rows[i].expected, MR_LOCAL_CID_SIZE, &rows[i].format),
                        rows[i].format.shard);
        CU_ASSERT_EQUAL(mr_cid_generation(rows[i].expected, &rows[i].format),
                        rows[i].format.generation);
    }
}

static void katran_owners_are_read_back(void)
{
    for (uint8_t kind = MR_CID_KATRAN_1; kind <= MR_CID_KATRAN_3; kind++)
        for (uint16_t shard = 0; shard < MR_CID_WORKERS; shard++) {
            struct mr_cid_format issuer = {
                .kind = kind, .node = 1 + shard * 256u, .shard = shard, .generation = shard % 2};
            struct mr_cid_format mine = {.kind = kind, .node = issuer.node};
            struct mr_cid cid = mr_cid_encode(&issuer, UINT64_C(0x9e3779b97f4a7c15) * shard);

            CU_ASSERT_EQUAL(mr_cid_owner(cid.bytes, cid.size, &mine), shard);
            CU_ASSERT_EQUAL(mr_cid_owner(cid.bytes, cid.size - 1u, &mine), MR_CID_FOREIGN);
            CU_ASSERT_EQUAL(mr_cid_generation(cid.bytes, &mine), issuer.generation);
            mine.node ^= 1; /* the lowest bit counts, and so does the highest */
            CU_ASSERT_EQUAL(mr_cid_owner(cid.bytes, cid.size, &mine), MR_CID_FOREIGN);
            mine.node = issuer.node ^ (mr_cid_node_max(kind) / 2 + 1);
            CU_ASSERT_EQUAL(mr_cid_owner(cid.bytes, cid.size, &mine), MR_CID_FOREIGN);
            mine = issuer;
            mine.kind = (uint8_t)((kind + 1) % 4); /* another version, or QUIC-LB */
            CU_ASSERT_EQUAL(mr_cid_owner(cid.bytes, cid.size, &mine), MR_CID_FOREIGN);
        }
}

static void katran_formats_that_do_not_fit_are_not_valid(void)
{
    static const uint32_t most[] = {
        [MR_CID_KATRAN_1] = 0xffff, [MR_CID_KATRAN_2] = 0xffffff, [MR_CID_KATRAN_3] = UINT32_MAX};

    for (uint8_t kind = MR_CID_KATRAN_1; kind <= MR_CID_KATRAN_3; kind++) {
        const struct mr_cid_format good = {
            .kind = kind, .node = most[kind], .shard = 255, .generation = 1};
        struct mr_cid_format format = good;

        CU_ASSERT_TRUE(mr_cid_format_is_valid(&format));
        format.node = 0; /* no server, for Katran */
        CU_ASSERT_FALSE(mr_cid_format_is_valid(&format));
        format.node = most[kind] + 1;
        CU_ASSERT_FALSE(mr_cid_format_is_valid(&format));
        format = good;
        format.shard = 256;
        CU_ASSERT_FALSE(mr_cid_format_is_valid(&format));
        format = good;
        format.generation = 2;
        CU_ASSERT_FALSE(mr_cid_format_is_valid(&format));
        format = good;
        format.config = 1;
        CU_ASSERT_FALSE(mr_cid_format_is_valid(&format));
        format = good;
        format.is_encrypted = true;
        CU_ASSERT_FALSE(mr_cid_format_is_valid(&format));
    }
    const struct mr_cid_format unknown = {.kind = 4, .node = 1};
    CU_ASSERT_FALSE(mr_cid_format_is_valid(&unknown));
}

static CU_TestInfo tests[] = {
    {"the bytes are as drawn", the_bytes_are_as_drawn},
    {"the owner is whoever encoded it", the_owner_is_whoever_encoded_it},
    {"what another node or configuration issued is foreign",
     what_another_node_or_configuration_issued_is_foreign},
    {"a connection ID of another size is foreign", a_connection_id_of_another_size_is_foreign},
    {"a format that does not fit its bits is not valid",
     a_format_that_does_not_fit_its_bits_is_not_valid},
    {"Katran: the bytes are as drawn", katran_bytes_are_as_drawn},
    {"Katran: owners are read back", katran_owners_are_read_back},
    {"Katran: formats that do not fit are not valid", katran_formats_that_do_not_fit_are_not_valid},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/cid", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
