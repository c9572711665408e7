/* Tests of quic/follow.h. */
#include "quic/follow.h"

#include "tests/unit/harness.h"

/* `count` datagrams that arrive at `shard`, while the peer's packet numbers grow by `step` for
 * each.  How many times the connection should go there. */
static uint32_t arrive(struct mr_follow *f, uint16_t shard, uint32_t count, uint64_t *pn,
                       uint64_t step)
{
    uint32_t times = 0;

    for (uint32_t i = 0; i < count; i++)
        times += mr_follow_note(f, shard, *pn += step);
    return times;
}

static void goes_where_enough_arrive_in_a_row(void)
{
    struct mr_follow f = {0};
    uint64_t pn = 7;

    CU_ASSERT_EQUAL(arrive(&f, 3, MR_FOLLOW_DATAGRAMS - 1, &pn, 1), 0);
    CU_ASSERT(mr_follow_note(&f, 3, ++pn));
    CU_ASSERT_EQUAL(arrive(&f, 3, MR_FOLLOW_DATAGRAMS - 1, &pn, 1), 0); /* it begins anew */
    CU_ASSERT(mr_follow_note(&f, 3, ++pn));
}

static void shard_zero_is_one_like_others(void)
{
    struct mr_follow f = {0};
    uint64_t pn = 0;

    CU_ASSERT_EQUAL(arrive(&f, 0, MR_FOLLOW_DATAGRAMS - 1, &pn, 1), 0);
    CU_ASSERT(mr_follow_note(&f, 0, ++pn));
}

static void stays_where_they_come_from_everywhere(void)
{
    struct mr_follow f = {0};
    uint64_t pn = 0;

    for (int i = 0; i < 100; i++) {
        CU_ASSERT_EQUAL(arrive(&f, 1, MR_FOLLOW_DATAGRAMS - 1, &pn, 1), 0);
        CU_ASSERT_EQUAL(arrive(&f, 2, 1, &pn, 1), 0);
    }
    CU_ASSERT_EQUAL(arrive(&f, 1, MR_FOLLOW_DATAGRAMS, &pn, 1), 1);
}

/* The packet numbers of those that arrive here and are not noted grow, too. */
static void stays_where_most_arrive(void)
{
    struct mr_follow f = {0};
    uint64_t pn = 0;

    CU_ASSERT_EQUAL(arrive(&f, 1, 20 * MR_FOLLOW_DATAGRAMS, &pn, 3), 0);
    CU_ASSERT_EQUAL(arrive(&f, 1, 2 * MR_FOLLOW_DATAGRAMS, &pn, 2), 2); /* half of them */
}

/* What somebody else sends with its connection ID counts no packet number. */
static void forgeries_move_nothing(void)
{
    struct mr_follow f = {0};
    uint64_t pn = 1000;

    CU_ASSERT_EQUAL(arrive(&f, 1, 20 * MR_FOLLOW_DATAGRAMS, &pn, 0), 0);
}

static void numbers_may_pass_32_bits(void)
{
    struct mr_follow f = {0};
    uint64_t pn = UINT32_MAX - 10;

    CU_ASSERT_EQUAL(arrive(&f, 1, MR_FOLLOW_DATAGRAMS, &pn, 1), 1);
}

static CU_TestInfo tests[] = {
    {"Q17 a connection goes where enough datagrams in a row arrive",
     goes_where_enough_arrive_in_a_row},
    {"shard 0 is a shard like others", shard_zero_is_one_like_others},
    {"it stays where they arrive now here, now there", stays_where_they_come_from_everywhere},
    {"it stays where most arrive", stays_where_most_arrive},
    {"forgeries move nothing", forgeries_move_nothing},
    {"packet numbers may pass 32 bits", numbers_may_pass_32_bits},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/follow", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
