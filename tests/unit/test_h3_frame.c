/* Tests of http3/frame.h and http3/varint.h. */
#include "http3/frame.h"

#include <string.h>

#include "base/compiler.h"
#include "tests/unit/harness.h"

static void varints_read_back_in_any_number_of_pieces(void)
{
    static const struct {
        uint64_t value;
        size_t size;
    } cases[] = {
        {0, 1},     {63, 1},         {64, 2},         {16383, 2},
        {16384, 4}, {1073741823, 4}, {1073741824, 8}, {(UINT64_C(1) << 62) - 1, 8},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        uint8_t wire[MR_H3_VARINT_MAX_SIZE];
        struct mr_h3_varint varint = {0};
        CU_ASSERT_EQUAL(mr_h3_varint_put(wire, cases[i].value), cases[i].size);
        for (size_t b = 0; b < cases[i].size; b++)
            CU_ASSERT_EQUAL(mr_h3_varint_take(&varint, wire[b]), b + 1 == cases[i].size);
        CU_ASSERT_EQUAL(varint.value, cases[i].value);
    }
}

static void frame_headers_read_back_in_any_number_of_pieces(void)
{
    uint8_t wire[MR_H3_FRAME_HEADER_MAX + 1];
    size_t size = mr_h3_frame_put_header(wire, 0x1f * 1000 + 0x21, 70000);

    for (size_t cut = 0; cut <= size; cut++) {
        struct mr_h3_frame_reader reader = {0};
        CU_ASSERT_TRUE(mr_h3_frame_is_between(&reader));
        CU_ASSERT_EQUAL(mr_h3_frame_read_header(&reader, wire, cut), cut);
        CU_ASSERT_EQUAL(mr_h3_frame_is_between(&reader), cut == 0);
        CU_ASSERT_EQUAL(reader.has_header, cut == size);
        if (cut < size)
            CU_ASSERT_EQUAL(mr_h3_frame_read_header(&reader, wire + cut, size - cut + 1),
                            size - cut);
        CU_ASSERT_TRUE(reader.has_header);
        CU_ASSERT_EQUAL(reader.type, 0x1f * 1000 + 0x21);
        CU_ASSERT_EQUAL(reader.left, 70000);
        mr_h3_frame_next(&reader);
        CU_ASSERT_TRUE(mr_h3_frame_is_between(&reader));
    }
}

static void settings_read_back(void)
{
    struct mr_h3_settings settings = {
        .field_section_max = 16384, .qpack_capacity = 4096, .qpack_blocked_max = 16};
    struct mr_h3_settings read;
    struct mr_h3_frame_reader reader = {0};
    uint8_t wire[MR_H3_SETTINGS_MAX];
    size_t size = mr_h3_settings_put(wire, &settings);
    size_t header = mr_h3_frame_read_header(&reader, wire, size);

    CU_ASSERT_EQUAL(reader.type, MR_H3_FRAME_SETTINGS);
    CU_ASSERT_EQUAL(reader.left, size - header);
    CU_ASSERT_EQUAL(mr_h3_settings_parse(wire + header, size - header, &read), 0);
    CU_ASSERT_EQUAL(read.field_section_max, settings.field_section_max);
    CU_ASSERT_EQUAL(read.qpack_capacity, settings.qpack_capacity);
    CU_ASSERT_EQUAL(read.qpack_blocked_max, settings.qpack_blocked_max);
    for (size_t cut = 1; cut < size - header; cut++) /* whole pairs, or an error */
        CU_ASSERT_TRUE(mr_h3_settings_parse(wire + header, cut, &read) == 0 ||
                       mr_h3_settings_parse(wire + header, cut, &read) == MR_H3_FRAME_ERROR);
    CU_ASSERT_EQUAL(mr_h3_settings_parse(wire, 0, &read), 0);
    CU_ASSERT_EQUAL(read.field_section_max, UINT64_MAX);
}

static void every_known_error_code_has_its_name(void)
{
    for (uint64_t code = MR_H3_NO_ERROR; code <= MR_H3_VERSION_FALLBACK; code++)
        CU_ASSERT_EQUAL(strncmp(mr_h3_error_name(code), "H3_", 3), 0);
    for (uint64_t code = MR_QPACK_DECOMPRESSION_FAILED; code <= MR_QPACK_DECODER_STREAM_ERROR;
         code++)
        CU_ASSERT_EQUAL(strncmp(mr_h3_error_name(code), "QPACK_", 6), 0);
    CU_ASSERT_STRING_EQUAL(mr_h3_error_name(0), "unknown error");
}

CU_TestInfo h3_frame_tests[] = {
    {"varints read back in any number of pieces", varints_read_back_in_any_number_of_pieces},
    {"frame headers read back in any number of pieces",
     frame_headers_read_back_in_any_number_of_pieces},
    {"settings read back", settings_read_back},
    {"every known error code has its name", every_known_error_code_has_its_name},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "http3/frame", .pTests = h3_frame_tests},
    CU_SUITE_INFO_NULL,
};
