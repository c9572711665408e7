/* tests/unit/test_path_check.c - quic/path_check.h and quic/path_policy.h: their contracts. */
#include "quic/path_check.h"

#include <string.h>

#include "quic/path_policy.h"
#include "quic/rtt.h"
#include "tests/unit/harness.h"

#define PTO (50 * MR_MS)

static bool answer(struct mr_path_check *check, uint64_t challenge)
{
    uint8_t data[MR_PATH_DATA];

    memcpy(data, &challenge, sizeof(data));
    return mr_path_check_answer(check, data);
}

static void nothing_runs_at_first(void)
{
    struct mr_path_check check = {0};

    CU_ASSERT_EQUAL(mr_path_check_due(&check), MR_NEVER);
    CU_ASSERT_EQUAL(mr_path_check_expire(&check, PTO, MR_SECOND), MR_CHECK_WAITS);
    CU_ASSERT_FALSE(answer(&check, 0));
}

/* RFC 9000, Section 9.4: "This timer SHOULD be set as described in Section 6.2.1 of [QUIC-RECOVERY]
 * and MUST NOT be more aggressive." */
static void challenges_are_repeated_ever_later(void)
{
    struct mr_path_check check;
    uint64_t now = MR_SECOND;
    uint64_t gap = 0;

    mr_path_check_begin(&check, PTO, now);
    CU_ASSERT_TRUE(check.is_wanted);
    for (uint64_t i = 1; i < 6; i++) {
        mr_path_check_sent(&check, i);
        CU_ASSERT_FALSE(check.is_wanted);
        CU_ASSERT_TRUE(mr_path_check_due(&check) - now >= MR_MAX(PTO, gap));
        gap = 2 * (mr_path_check_due(&check) - now);
        now = mr_path_check_due(&check);
        CU_ASSERT_EQUAL(mr_path_check_expire(&check, PTO, now - 1), MR_CHECK_WAITS);
        CU_ASSERT_EQUAL(mr_path_check_expire(&check, PTO, now), MR_CHECK_RESENDS);
        CU_ASSERT_TRUE(check.is_wanted);
    }
    CU_ASSERT_FALSE(answer(&check, 1)); /* of the last four only */
    CU_ASSERT_TRUE(answer(&check, 2));
    CU_ASSERT_FALSE(check.is_wanted);
    CU_ASSERT_EQUAL(mr_path_check_due(&check), check.deadline_ns);
}

/* Section 8.2.4: "a value of three times the larger of the current PTO or the PTO for the new path
 * (using kInitialRtt, as defined in [QUIC-RECOVERY]) is RECOMMENDED."  Four, so that three
 * challenges have a chance although each one waits twice as long as the one before. */
static void a_check_fails_after_four_ptos(void)
{
    struct mr_path_check check;
    const uint64_t ptos[] = {PTO, 2 * MR_SECOND};

    for (size_t i = 0; i < MR_COUNT_OF(ptos); i++) {
        uint64_t larger = MR_MAX(ptos[i], 3 * MR_RTT_INITIAL);

        mr_path_check_begin(&check, ptos[i], MR_SECOND);
        CU_ASSERT_EQUAL(check.deadline_ns, MR_SECOND + 4 * larger);
        CU_ASSERT_EQUAL(mr_path_check_expire(&check, PTO, check.deadline_ns), MR_CHECK_FAILED);
        CU_ASSERT_EQUAL(mr_path_check_due(&check), MR_NEVER);
        CU_ASSERT_FALSE(check.is_wanted);
    }
    mr_path_check_linger(&check, PTO, MR_SECOND);
    CU_ASSERT_FALSE(check.is_wanted);
    CU_ASSERT_EQUAL(mr_path_check_due(&check), check.deadline_ns);
}

static struct mr_addr ipv4(uint8_t a, uint8_t d, uint16_t port)
{
    return (struct mr_addr){.ip = {[10] = 0xff, 0xff, a, 18, 0, d}, .port = port};
}

static void addresses_are_judged(void)
{
    struct mr_path_addr path = {.local = ipv4(198, 1, 443), .remote = ipv4(198, 2, 5000)};
    struct mr_path_addr local = {.local = ipv4(127, 1, 443), .remote = ipv4(127, 2, 5000)};
    struct mr_addr multicast = {.ip = {0xff, 2, [15] = 1}, .port = 443};
    struct mr_addr any = {.port = 443};
    struct mr_addr one = {.ip = {[15] = 1}, .port = 443};
    struct mr_addr good = {.ip = {0xfd, [15] = 1}, .port = 443};
    static const struct {
        uint8_t a, d;
        uint16_t port;
        bool is_good;
    } cases[] = {{198, 2, 5001, true},  {198, 3, 5000, true},  {198, 1, 5000, false},
                 {198, 2, 53, false},   {198, 2, 0, false},    {198, 2, 11211, false},
                 {127, 2, 5000, false}, {224, 1, 5000, false}, {255, 255, 5000, false},
                 {0, 0, 5000, false},   {223, 1, 65535, true}};

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct mr_addr addr = ipv4(cases[i].a, cases[i].d, cases[i].port);
        CU_ASSERT_EQUAL(mr_path_is_permitted(&addr, &path), cases[i].is_good);
    }
    struct mr_addr loopback = ipv4(127, 3, 5000);
    CU_ASSERT_TRUE(mr_path_is_permitted(&loopback, &local)); /* among themselves */
    CU_ASSERT_FALSE(mr_path_is_permitted(&multicast, &path));
    CU_ASSERT_FALSE(mr_path_is_permitted(&any, &path));
    CU_ASSERT_FALSE(mr_path_is_permitted(&one, &path));
    CU_ASSERT_TRUE(mr_path_is_permitted(&good, &path));
    CU_ASSERT_TRUE(mr_port_is_reflector(19));
    CU_ASSERT_TRUE(mr_port_is_reflector(123));
    CU_ASSERT_FALSE(mr_port_is_reflector(443));
}

static CU_TestInfo tests[] = {
    {"nothing runs at first", nothing_runs_at_first},
    {"challenges are repeated ever later", challenges_are_repeated_ever_later},
    {"a check fails after four PTOs", a_check_fails_after_four_ptos},
    {"addresses are judged", addresses_are_judged},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/path_check", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
