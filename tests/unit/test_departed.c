/* Tests of quic/departed.h. */
#include "quic/departed.h"

#include <stdlib.h>

#include "tests/unit/harness.h"

#define LIFE UINT64_C(1000)

static struct mr_departed *make(void)
{
    struct mr_departed *d = calloc(1, sizeof(*d));

    d->key = (struct mr_siphash_key){.k0 = 3, .k1 = 5};
    return d;
}

static void remembers_for_its_time(void)
{
    struct mr_departed *d = make();

    CU_ASSERT_FALSE(mr_departed_may_have(d, 7, 10));
    mr_departed_add(d, 7, 10 + LIFE, 10);
    CU_ASSERT(mr_departed_may_have(d, 7, 10));
    CU_ASSERT(mr_departed_may_have(d, 7, 9 + LIFE));
    CU_ASSERT_FALSE(mr_departed_may_have(d, 7, 10 + LIFE));
    mr_departed_add(d, 8, 20 + 2 * LIFE, 20 + LIFE);
    mr_departed_add(d, 9, 20 + 2 * LIFE, 20 + LIFE);
    mr_departed_add(d, 10, 21 + LIFE, 20 + LIFE); /* a shorter one shortens no other */
    CU_ASSERT(mr_departed_may_have(d, 8, 19 + 2 * LIFE));
    CU_ASSERT(mr_departed_may_have(d, 9, 19 + 2 * LIFE));
    free(d);
}

/* However steadily entries are made: none is forgotten early, none lasts for two more lifetimes. */
static void halves_take_turns(void)
{
    struct mr_departed *d = make();
    uint64_t forgotten = 0, late = 0;

    for (uint64_t now = 1; now < 20 * LIFE; now += 10) {
        mr_departed_add(d, now, now + LIFE, now);
        for (uint64_t back = 0; back < LIFE && back < now; back += 10)
            forgotten += !mr_departed_may_have(d, now - back, now);
        if (now > 2 * LIFE + 10)
            late += mr_departed_may_have(d, now - 2 * LIFE - 10, now);
    }
    CU_ASSERT_EQUAL(forgotten, 0);
    CU_ASSERT(late < 40); /* of 1,800, whose bits others have set */
    free(d);
}

static void others_are_seldom_taken_for_departed(void)
{
    struct mr_departed *d = make();
    uint32_t wrong = 0;

    for (uint64_t i = 0; i < 6000; i++)
        mr_departed_add(d, i, LIFE, 1);
    for (uint64_t i = 0; i < 10000; i++)
        wrong += mr_departed_may_have(d, 1000000 + i, 1);
    CU_ASSERT(wrong > 700 && wrong < 1100);
    for (uint64_t i = 0; i < 1000000; i++) /* all bits: it says yes, and that is all */
        mr_departed_add(d, i, LIFE, 1);
    CU_ASSERT(mr_departed_may_have(d, 5000000, 1));
    CU_ASSERT_FALSE(mr_departed_may_have(d, 5000000, LIFE));
    free(d);
}

static CU_TestInfo tests[] = {
    {"remembers for its time", remembers_for_its_time},
    {"halves take turns", halves_take_turns},
    {"others are seldom taken for departed", others_are_seldom_taken_for_departed},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/departed", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
