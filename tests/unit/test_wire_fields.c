/* Tests of quic/wire_fields.h. */
#include "quic/wire_fields.h"

#include "tests/unit/harness.h"

static const uint8_t eight[] = {0x81, 0x02, 0x93, 0x04, 0xa5, 0x06, 0xb7, 0x08};

static void integers_are_in_network_order(void)
{
    CU_ASSERT_EQUAL(mr_load_u16(eight), 0x8102);
    CU_ASSERT_EQUAL(mr_load_u32(eight), 0x81029304);
    CU_ASSERT_EQUAL(mr_load_u64(eight), UINT64_C(0x81029304a506b708));

    for (size_t size = 0; size <= 8; size++) {
        uint8_t wire[9];
        struct mr_writer w = mr_writer(wire, 8);

        memset(wire, 0xee, sizeof(wire));
        mr_write_be(&w, UINT64_C(0x81029304a506b708), size);
        CU_ASSERT_EQUAL(mr_writer_size(&w), size);
        CU_ASSERT_EQUAL(memcmp(wire, eight + 8 - size, size), 0);
        CU_ASSERT_EQUAL(wire[size], 0xee);
    }
}

static void a_read_beyond_the_end_fails_and_gives_zero(void)
{
    struct mr_reader r = mr_reader(eight, 5);

    CU_ASSERT_EQUAL(mr_read_u32(&r), 0x81029304);
    CU_ASSERT_FALSE(r.failed);
    CU_ASSERT_EQUAL(mr_read_u16(&r), 0);
    CU_ASSERT_TRUE(r.failed);

    r = mr_reader(eight, 3);
    CU_ASSERT_EQUAL(mr_read_u32(&r), 0);
    CU_ASSERT_TRUE(r.failed);
    r = mr_reader(eight, 2);
    CU_ASSERT_EQUAL(mr_read_u16(&r), 0x8102);
    CU_ASSERT_FALSE(r.failed);
}

static void no_bytes_from_nowhere_are_fine(void)
{
    uint8_t wire[1];
    struct mr_writer w = mr_writer(wire, 0);

    mr_write_bytes(&w, NULL, 0);
    CU_ASSERT_FALSE(w.failed);
    mr_write_bytes(&w, eight, 1);
    CU_ASSERT_TRUE(w.failed);
}

static void what_does_not_fit_whole_leaves_the_writer_as_it_was(void)
{
    uint8_t wire[4];
    struct mr_writer w = mr_writer(wire, sizeof(wire));

    mr_write_u8(&w, 1);
    struct mr_writer before = w;
    mr_write_be(&w, 2, 2);
    CU_ASSERT_TRUE(mr_write_whole(&w, before));
    CU_ASSERT_EQUAL(mr_writer_size(&w), 3);

    before = w;
    mr_write_u8(&w, 3);
    mr_write_u8(&w, 4);
    CU_ASSERT_FALSE(mr_write_whole(&w, before));
    CU_ASSERT_EQUAL(mr_writer_size(&w), 3);
    CU_ASSERT_FALSE(w.failed);
}

static CU_TestInfo tests[] = {
    {"integers are in network order", integers_are_in_network_order},
    {"a read beyond the end fails and gives zero", a_read_beyond_the_end_fails_and_gives_zero},
    {"no bytes from nowhere are fine", no_bytes_from_nowhere_are_fine},
    {"what does not fit whole leaves the writer as it was",
     what_does_not_fit_whole_leaves_the_writer_as_it_was},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/wire_fields", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
