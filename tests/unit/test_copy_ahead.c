/* Tests of base/copy_ahead.h: what every CPU does, and what this one does best. */
#include "base/copy_ahead.h"

#include "tests/unit/harness.h"

#define SIZE_MAX_COPIED 1600
#define GUARD           128
#define GUARD_BYTE      0xee

static uint8_t source[SIZE_MAX_COPIED + 2 * GUARD];
static uint8_t target[SIZE_MAX_COPIED + 2 * GUARD];

static void copies_every_size(mr_copy_ahead copy)
{
    for (size_t i = 0; i < sizeof(source); i++)
        source[i] = (uint8_t)(i * 7 + i / 256);
    for (size_t size = MR_COPY_BLOCK; size <= SIZE_MAX_COPIED; size++) {
        size_t from = size % 33;
        size_t to = size % 67;

        memset(target, GUARD_BYTE, sizeof(target));
        copy(target + to, source + from, size, source + sizeof(source));
        CU_ASSERT_EQUAL(memcmp(target + to, source + from, size), 0);
        for (size_t i = 0; i < sizeof(target); i++)
            if ((i < to || i >= to + size) && target[i] != GUARD_BYTE)
                CU_FAIL("wrote beyond what was to be copied");
    }
}

static void what_every_cpu_does_copies_every_size(void)
{
    copies_every_size(mr_copy_ahead_narrow);
}

static void what_this_cpu_does_copies_every_size(void)
{
    for (uint32_t bits = 512; bits >= 256; bits /= 2) {
        if (mr_copy_ahead_of(bits) != NULL)
            copies_every_size(mr_copy_ahead_of(bits));
        else
            printf("registers of %u bits: not on this CPU\n", bits);
    }
    CU_ASSERT_PTR_NULL(mr_copy_ahead_of(128));
}

static void the_widest_is_chosen(void)
{
    mr_copy_ahead widest = mr_copy_ahead_narrow;

    for (uint32_t bits = 256; bits <= 512; bits *= 2)
        if (mr_copy_ahead_of(bits) != NULL)
            widest = mr_copy_ahead_of(bits);
    CU_ASSERT_TRUE(mr_copy_ahead_best() == widest);
}

static CU_TestInfo tests[] = {
    {"what every CPU does copies every size", what_every_cpu_does_copies_every_size},
    {"what this CPU does copies every size", what_this_cpu_does_copies_every_size},
    {"the widest is chosen", the_widest_is_chosen},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "base/copy_ahead", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
