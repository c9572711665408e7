/* Tests of quic/hp_aesni.h.  Vectors: FIPS 197, Appendices A.1, A.3, C.1 and C.3. */
#include "quic/hp_aesni.h"

#include <string.h>

#include "tests/hex.h"
#include "tests/unit/harness.h"

static bool is_missing(void)
{
    if (!mr_hp_aesni_is_available())
        mr_test_skip("this CPU has no AES instructions that millrace uses");
    return !mr_hp_aesni_is_available();
}

static void key_schedules_match_fips_197(void)
{
    static const struct {
        const char *key;
        size_t last_offset;
        const char *last; /* round key */
    } cases[] = {
        {"2b7e151628aed2a6abf7158809cf4f3c", 160, "d014f9a8c9ee2589e13f0cc8b6630ca6"},
        {"603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4", 224,
         "fe4890d1e6188d0b046df344706c631e"},
    };

    if (is_missing())
        return;
    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        _Alignas(16) uint8_t schedule[240];
        uint8_t key[32];
        uint8_t last[16];

        mr_hp_aesni_expand(schedule, key, mr_hex(cases[i].key, key, sizeof(key)));
        mr_hex(cases[i].last, last, sizeof(last));
        CU_ASSERT_EQUAL(memcmp(schedule + cases[i].last_offset, last, 16), 0);
    }
}

static void one_block_matches_fips_197(void)
{
    static const struct {
        const char *key;
        uint32_t rounds;
        const char *cipher_text;
    } cases[] = {
        {"000102030405060708090a0b0c0d0e0f", 10, "69c4e0d86a7b0430d8cdb78070b4c55a"},
        {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", 14,
         "8ea2b7ca516745bfeafc49904b496089"},
    };

    if (is_missing())
        return;
    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        _Alignas(16) uint8_t schedule[240];
        uint8_t key[32];
        uint8_t sample[16];
        uint8_t expected[16];
        uint8_t mask[16];
        struct mr_hp_lane lane = {schedule, sample, mask, cases[i].rounds};

        mr_hp_aesni_expand(schedule, key, mr_hex(cases[i].key, key, sizeof(key)));
        mr_hex("00112233445566778899aabbccddeeff", sample, sizeof(sample));
        mr_hex(cases[i].cipher_text, expected, sizeof(expected));
        mr_hp_aesni_masks(&lane, 1);
        CU_ASSERT_EQUAL(memcmp(mask, expected, 16), 0);
    }
}

/* Lanes with keys of both sizes, so that groups of 8, of 4 and single lanes all occur. */
static void many_lanes_give_what_single_lanes_give(void)
{
    _Alignas(16) uint8_t schedules[MR_HP_LANES][240];
    uint8_t samples[MR_HP_LANES][16];
    uint8_t masks[MR_HP_LANES][16];
    struct mr_hp_lane lanes[MR_HP_LANES];

    if (is_missing())
        return;
    for (uint32_t long_from = 0; long_from <= MR_HP_LANES; long_from++) {
        for (uint32_t i = 0; i < MR_HP_LANES; i++) {
            uint8_t key[32];

            memset(key, (int)(i + 1), sizeof(key));
            memset(samples[i], (int)(200 - i), sizeof(samples[i]));
            mr_hp_aesni_expand(schedules[i], key, i >= long_from ? 32 : 16);
            lanes[i] =
                (struct mr_hp_lane){schedules[i], samples[i], masks[i], i >= long_from ? 14 : 10};
        }
        mr_hp_aesni_masks(lanes, MR_HP_LANES);
        for (uint32_t i = 0; i < MR_HP_LANES; i++) {
            uint8_t alone[16];
            struct mr_hp_lane lane = lanes[i];

            lane.mask = alone;
            mr_hp_aesni_masks(&lane, 1);
            CU_ASSERT_EQUAL(memcmp(alone, masks[i], 16), 0);
        }
    }
}

static CU_TestInfo tests[] = {
    {"key schedules match FIPS 197", key_schedules_match_fips_197},
    {"one block matches FIPS 197", one_block_matches_fips_197},
    {"many lanes give what single lanes give", many_lanes_give_what_single_lanes_give},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/hp_aesni", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
