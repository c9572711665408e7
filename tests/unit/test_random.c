/* Tests of base/random.h.  Vectors: the authors' reference code with the state {1, 2, 3, 4}. */
#include "base/random.h"

#include "tests/unit/harness.h"

static const uint64_t one_to_four[4] = {1, 2, 3, 4};

static void gives_the_reference_numbers(void)
{
    static const uint64_t expected[] = {
        11520, 0, 1509978240, 1215971899390074240, 1216172134540287360, 607988272756665600,
    };
    struct mr_random random;

    mr_random_init(&random, one_to_four);
    for (size_t i = 0; i < MR_COUNT_OF(expected); i++)
        CU_ASSERT_EQUAL(mr_random_u64(&random), expected[i]);
}

static void a_number_is_spread_over_the_state(void)
{
    struct mr_random random;

    mr_random_init_number(&random, 1234567);
    CU_ASSERT_EQUAL(random.s[0], 6457827717110365317);
    CU_ASSERT_EQUAL(random.s[1], 3203168211198807973);
    CU_ASSERT_EQUAL(random.s[2], 9817491932198370423u);
    CU_ASSERT_EQUAL(random.s[3], 4593380528125082431);
}

static void a_seed_of_zeros_still_gives_numbers(void)
{
    struct mr_random random;
    uint64_t any = 0;

    mr_random_init(&random, (const uint64_t[4]){0});
    for (int i = 0; i < 10; i++)
        any |= mr_random_u64(&random);
    CU_ASSERT_NOT_EQUAL(any, 0);
}

static void below_is_below_and_reaches_every_number(void)
{
    struct mr_random random;
    unsigned seen[7] = {0};

    mr_random_init_number(&random, 1);
    for (int i = 0; i < 7000; i++) {
        uint64_t n = mr_random_below(&random, 7);
        CU_ASSERT_FATAL(n < 7);
        seen[n]++;
    }
    for (int i = 0; i < 7; i++)
        CU_ASSERT(seen[i] > 850 && seen[i] < 1150); /* 1000 +- 5 sigma */
    CU_ASSERT_EQUAL(mr_random_below(&random, 1), 0);
}

/* Of n = 3 * 2^62 numbers a plain product or remainder would give a third twice as often. */
static void below_favours_no_number(void)
{
    const uint64_t n = UINT64_C(3) << 62;
    struct mr_random random;
    unsigned in_third[3] = {0};

    mr_random_init_number(&random, 2);
    for (int i = 0; i < 9000; i++)
        in_third[mr_random_below(&random, n) >> 62]++;
    for (int i = 0; i < 3; i++)
        CU_ASSERT(in_third[i] > 2750 && in_third[i] < 3250);

    unsigned residue[3] = {0}; /* the product's bias shows in the low digits */
    for (int i = 0; i < 9000; i++)
        residue[mr_random_below(&random, n) % 3]++;
    for (int i = 0; i < 3; i++)
        CU_ASSERT(residue[i] > 2750 && residue[i] < 3250);
}

static void fill_writes_every_byte_and_no_more(void)
{
    struct mr_random random;

    mr_random_init_number(&random, 3);
    for (size_t size = 0; size < 20; size++) {
        uint8_t ored[24] = {0};

        for (int round = 0; round < 16; round++) {
            uint8_t bytes[24] = {0};
            mr_random_fill(&random, bytes, size);
            for (size_t i = 0; i < sizeof(bytes); i++)
                ored[i] |= bytes[i];
        }
        for (size_t i = 0; i < sizeof(ored); i++)
            CU_ASSERT_EQUAL(ored[i] != 0, i < size);
    }
}

static CU_TestInfo tests[] = {
    {"gives the reference numbers", gives_the_reference_numbers},
    {"a number is spread over the state", a_number_is_spread_over_the_state},
    {"a seed of zeros still gives numbers", a_seed_of_zeros_still_gives_numbers},
    {"below is below and reaches every number", below_is_below_and_reaches_every_number},
    {"below favours no number", below_favours_no_number},
    {"fill writes every byte and no more", fill_writes_every_byte_and_no_more},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "base/random", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
