/*
 * Tests of base/siphash.h.  Key 00 01 .. 0f, input 00 01 .. n-1, as in the vectors of the
 * SipHash paper's reference; the values of both variants were computed with OpenSSL's
 * SIPHASH (c-rounds, d-rounds).
 */
#include "base/siphash.h"

#include "tests/unit/harness.h"

static const struct {
    size_t size;
    uint8_t hash13[8]; /* lowest byte first */
    uint8_t hash24[8];
} vectors[] = {
    {0,
     {0xdc, 0xc4, 0x0f, 0x05, 0x58, 0x01, 0xac, 0xab},
     {0x31, 0x0e, 0x0e, 0xdd, 0x47, 0xdb, 0x6f, 0x72}},
    {1,
     {0x93, 0xca, 0x57, 0x7d, 0xf3, 0x9b, 0xf4, 0xc9},
     {0xfd, 0x67, 0xdc, 0x93, 0xc5, 0x39, 0xf8, 0x74}},
    {7,
     {0x40, 0x11, 0xb1, 0x9b, 0x98, 0x7d, 0x92, 0xd3},
     {0x37, 0xd1, 0x01, 0x8b, 0xf5, 0x00, 0x02, 0xab}},
    {8,
     {0x8e, 0x9a, 0x29, 0x8d, 0x11, 0x95, 0x90, 0x36},
     {0x62, 0x24, 0x93, 0x9a, 0x79, 0xf5, 0xf5, 0x93}},
    {9,
     {0xe4, 0x3d, 0x06, 0x6c, 0xb3, 0x8e, 0xa4, 0x25},
     {0xb0, 0xe4, 0xa9, 0x0b, 0xdf, 0x82, 0x00, 0x9e}},
    {15,
     {0x56, 0x99, 0x51, 0x2a, 0x6d, 0xd8, 0x20, 0xd3},
     {0xe5, 0x45, 0xbe, 0x49, 0x61, 0xca, 0x29, 0xa1}},
    {16,
     {0x66, 0x8b, 0x90, 0x7d, 0x1a, 0xdd, 0x4f, 0xcc},
     {0xdb, 0x9b, 0xc2, 0x57, 0x7f, 0xcc, 0x2a, 0x3f}},
    {20,
     {0x40, 0xe0, 0xcc, 0xa6, 0x46, 0x2f, 0xdc, 0xc0},
     {0x98, 0xee, 0xa2, 0x1a, 0xf2, 0x5c, 0xd6, 0xbe}},
    {31,
     {0xbc, 0xd1, 0x21, 0x8c, 0x1f, 0xdd, 0x70, 0x23},
     {0x42, 0xc3, 0x41, 0xd8, 0xfa, 0x92, 0xd8, 0x32}},
};

static struct mr_siphash_key key;
static uint8_t input[64];

static int make_input(void)
{
    for (uint8_t i = 0; i < sizeof(input); i++)
        input[i] = i;
    key = mr_siphash_key(input);
    return 0;
}

static void gives_the_published_hashes(void)
{
    for (size_t i = 0; i < MR_COUNT_OF(vectors); i++) {
        CU_ASSERT_EQUAL(mr_siphash13(&key, input, vectors[i].size),
                        mr_load_le64(vectors[i].hash13));
        CU_ASSERT_EQUAL(mr_siphash24(&key, input, vectors[i].size),
                        mr_load_le64(vectors[i].hash24));
    }
}

static void a_word_hashes_as_its_eight_bytes(void)
{
    for (size_t at = 0; at + 8 <= sizeof(input); at++) {
        uint64_t word = mr_load_le64(input + at);
        CU_ASSERT_EQUAL(mr_siphash13_word(&key, word), mr_siphash13(&key, input + at, 8));
    }
}

static void both_halves_of_the_key_matter(void)
{
    struct mr_siphash_key other = key;

    other.k0 ^= UINT64_C(1) << 63;
    CU_ASSERT_NOT_EQUAL(mr_siphash13(&key, input, 8), mr_siphash13(&other, input, 8));
    other = key;
    other.k1 ^= 1;
    CU_ASSERT_NOT_EQUAL(mr_siphash13(&key, input, 8), mr_siphash13(&other, input, 8));
}

static CU_TestInfo tests[] = {
    {"gives the published hashes", gives_the_published_hashes},
    {"a word hashes as its eight bytes", a_word_hashes_as_its_eight_bytes},
    {"both halves of the key matter", both_halves_of_the_key_matter},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "base/siphash", .pInitFunc = make_input, .pTests = tests},
    CU_SUITE_INFO_NULL,
};
