/* Tests of base/bytes.h. */
#include "base/bytes.h"

#include <string.h>

#include "tests/unit/harness.h"

static const uint8_t wire[] = {0xff, 0x81, 0x92, 0xa3, 0xb4, 0xc5, 0xd6, 0xe7, 0xf8, 0xff};

static void network_order_is_the_first_byte_highest(void)
{
    CU_ASSERT_EQUAL(mr_load_be16(wire + 1), 0x8192);
    CU_ASSERT_EQUAL(mr_load_be24(wire + 1), 0x8192a3);
    CU_ASSERT_EQUAL(mr_load_be32(wire + 1), 0x8192a3b4);
    CU_ASSERT_EQUAL(mr_load_be64(wire + 1), 0x8192a3b4c5d6e7f8);
    CU_ASSERT_EQUAL(mr_load_le64(wire + 1), 0xf8e7d6c5b4a39281);
}

static void a_store_writes_what_a_load_reads_and_no_byte_more(void)
{
    for (size_t at = 0; at < 8; at++) {
        uint8_t b[24];

        memset(b, 0x55, sizeof(b));
        mr_store_be16(b + at + 1, 0x8192);
        CU_ASSERT(b[at] == 0x55 && b[at + 3] == 0x55);
        CU_ASSERT_EQUAL(mr_load_be16(b + at + 1), 0x8192);

        mr_store_be24(b + at + 1, 0xff8192a3); /* the low 24 bits */
        CU_ASSERT(b[at] == 0x55 && b[at + 4] == 0x55);
        CU_ASSERT_EQUAL(mr_load_be24(b + at + 1), 0x8192a3);

        mr_store_be32(b + at + 1, 0x8192a3b4);
        CU_ASSERT(b[at] == 0x55 && b[at + 5] == 0x55);
        CU_ASSERT_EQUAL(mr_load_be32(b + at + 1), 0x8192a3b4);

        mr_store_be64(b + at + 1, 0x8192a3b4c5d6e7f8);
        CU_ASSERT(b[at] == 0x55 && b[at + 9] == 0x55);
        CU_ASSERT_EQUAL(memcmp(b + at + 1, wire + 1, 8), 0);

        mr_store_le64(b + at + 1, 0xf8e7d6c5b4a39281);
        CU_ASSERT(b[at] == 0x55 && b[at + 9] == 0x55);
        CU_ASSERT_EQUAL(memcmp(b + at + 1, wire + 1, 8), 0);
    }
}

static CU_TestInfo tests[] = {
    {"network order is the first byte highest", network_order_is_the_first_byte_highest},
    {"a store writes what a load reads, and no byte more",
     a_store_writes_what_a_load_reads_and_no_byte_more},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "base/bytes", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
