/* Tests of quic/mtu.h: the search over paths of any size, and what may interrupt it. */
#include "quic/mtu.h"

#include "base/compiler.h"
#include "tests/unit/harness.h"

#define BASE MR_INITIAL_MIN
#define NOW  MR_SECOND

/* Search up to `ceiling` where `path` passes; probes sent in all.  The MTU found in *mtu. */
static uint32_t search(struct mr_mtu_search *s, uint32_t *mtu, uint32_t ceiling, uint32_t path)
{
    uint32_t probes = 0;
    bool goes_on = mr_mtu_search_begin(s, *mtu, ceiling, NOW);

    while (goes_on) {
        CU_ASSERT_TRUE_FATAL(++probes < 100);
        CU_ASSERT_TRUE(s->target > *mtu && s->target <= ceiling);
        if (s->target <= path) {
            *mtu = s->target;
            goes_on = mr_mtu_search_acked(s, *mtu, NOW);
        } else {
            goes_on = mr_mtu_search_lost(s, *mtu, s->target, NOW);
        }
    }
    CU_ASSERT_EQUAL(s->target, 0);
    return probes;
}

/* RFC 8899, Section 5.3: what is found passes, and little more would.  "Such methods MUST be robust
 * to the wide variety of underlying network forwarding behaviors." (RFC 8899, Section 3) */
static void every_path_is_found_within_its_part(void)
{
    for (uint32_t path = BASE; path <= 9100; path += 7) {
        struct mr_mtu_search s;
        uint32_t mtu = BASE;

        mr_mtu_search_init(&s);
        uint32_t probes = search(&s, &mtu, 8952, path);
        CU_ASSERT_TRUE(mtu <= path || path < BASE);
        CU_ASSERT_TRUE(mtu + mtu / MR_MTU_PART >= MR_MIN(path, 8952u));
        CU_ASSERT_TRUE(probes <= 60);
    }
}

static void the_largest_is_tried_first(void)
{
    static const uint32_t ceilings[] = {1201, 1252, 1452, 8952, 65527};

    for (size_t i = 0; i < MR_COUNT_OF(ceilings); i++) {
        struct mr_mtu_search s;
        uint32_t mtu = BASE;

        mr_mtu_search_init(&s);
        CU_ASSERT_EQUAL(search(&s, &mtu, ceilings[i], UINT16_MAX), 1);
        CU_ASSERT_EQUAL(mtu, ceilings[i]);
    }
    struct mr_mtu_search none;
    mr_mtu_search_init(&none);
    CU_ASSERT_FALSE(mr_mtu_search_begin(&none, BASE, BASE, NOW));
    CU_ASSERT_FALSE(mr_mtu_search_begin(&none, BASE, 100, NOW)); /* never below the base */
    none.is_in_flight = true; /* a probe on a path that is left: nobody will hear of it */
    CU_ASSERT_TRUE(mr_mtu_search_begin(&none, BASE, 1452, NOW));
    CU_ASSERT_FALSE(none.is_in_flight);
}

/* RFC 8899, Section 5.1.2: "The default value of MAX_PROBES is 3."  "The PL is REQUIRED to be
 * robust in the case where probe packets are lost due to other reasons (including link transmission
 * error, congestion)." (RFC 8899, Section 3)  "Datagram reordering: A method is REQUIRED to be
 * robust to the possibility that a flow encounters reordering or that the traffic (including probe
 * packets) is divided over more than one network path." (RFC 8899, Section 3)  "Datagram delay and
 * duplication: The feedback mechanism is REQUIRED to be robust to the possibility that packets
 * could be significantly delayed or duplicated along a network path." (RFC 8899, Section 3) */
static void a_size_is_given_up_after_three_losses(void)
{
    struct mr_mtu_search s;

    mr_mtu_search_init(&s);
    mr_mtu_search_begin(&s, BASE, 1452, NOW);
    CU_ASSERT_TRUE(mr_mtu_search_lost(&s, BASE, 1452, NOW));
    CU_ASSERT_FALSE(mr_mtu_search_lost(&s, BASE, 1400, NOW)); /* of an earlier search */
    CU_ASSERT_TRUE(mr_mtu_search_lost(&s, BASE, 1452, NOW));
    CU_ASSERT_EQUAL(s.target, 1452);
    CU_ASSERT_TRUE(mr_mtu_search_lost(&s, BASE, 1452, NOW));
    CU_ASSERT_EQUAL(s.target, 1432);
    CU_ASSERT_EQUAL(s.tries, 0);
}

/* RFC 8899, Section 5.1.1: PMTU_RAISE_TIMER "has a period of 600 seconds". */
static void a_search_begins_again_after_ten_minutes(void)
{
    struct mr_mtu_search s;
    uint32_t mtu = BASE;

    mr_mtu_search_init(&s);
    CU_ASSERT_EQUAL(s.raise_ns, MR_NEVER);
    mr_mtu_search_begin(&s, mtu, 1452, NOW);
    CU_ASSERT_EQUAL(s.raise_ns, MR_NEVER);
    search(&s, &mtu, 1452, 1300);
    CU_ASSERT_EQUAL(s.raise_ns, NOW + 600 * MR_SECOND);
    CU_ASSERT_EQUAL(search(&s, &mtu, 1452, 1500), 1);
    CU_ASSERT_EQUAL(mtu, 1452);
}

/* RFC 8899, Section 4.6.2, row by row: a path of 1400 while 1452 is probed for, or found.  "A PTB
 * message MUST NOT be used to increase the PLPMTU [RFC8201] but could trigger a probe to test for a
 * larger PLPMTU." (RFC 8899, Section 3) */
static void a_message_says_what_its_size_allows(void)
{
    static const struct {
        const char *name;
        bool is_searching;
        uint32_t size;
        enum mr_mtu_verdict verdict;
        uint32_t target;
    } rows[] = {
        {"\"PL_PTB_SIZE < MIN_PLPMTU\"", true, 1199, MR_MTU_IGNORED, 1452},
        {"the same, absurd", false, 68, MR_MTU_IGNORED, 0},
        {"\"PL_PTB_SIZE >= PROBED_SIZE\"", true, 1500, MR_MTU_IGNORED, 1452},
        {"nothing new", true, 1452, MR_MTU_IGNORED, 1452},
        {"\"PLPMTU < PL_PTB_SIZE < PROBED_SIZE\"", true, 1445, MR_MTU_LOWERED, 1445},
        {"\"PL_PTB_SIZE = PLPMTU\": the search is over", true, 1400, MR_MTU_LOWERED, 0},
        {"\"BASE_PLPMTU <= PL_PTB_SIZE < PLPMTU\"", true, 1300, MR_MTU_SHRUNK, 1452},
        {"the same, later", false, 1200, MR_MTU_SHRUNK, 0},
        {"larger than what passes, and nothing is probed", false, 1440, MR_MTU_IGNORED, 0},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct mr_mtu_search s;
        mr_mtu_search_init(&s);
        if (rows[i].is_searching)
            mr_mtu_search_begin(&s, 1400, 1452, NOW);
        enum mr_mtu_verdict verdict = mr_mtu_search_too_big(&s, 1400, rows[i].size, NOW);
        CU_ASSERT_EQUAL(verdict, rows[i].verdict);
        if (verdict == MR_MTU_SHRUNK) {
            CU_ASSERT_EQUAL(s.high, rows[i].size + 1);
        } else {
            CU_ASSERT_EQUAL(s.target, rows[i].target);
        }
    }
}

/* RFC 8899, Section 4.3: black holes; small packets that arrive do not hide them, losses of packets
 * older than one that arrived are none. */
static void large_losses_in_a_row_are_a_black_hole(void)
{
    struct mr_mtu_search s;

    mr_mtu_search_init(&s);
    mr_mtu_search_large_acked(&s, 50);
    for (uint64_t pn = 10; pn <= 50; pn++)
        CU_ASSERT_FALSE(mr_mtu_search_large_lost(&s, pn));
    for (uint64_t pn = 51; pn < 51 + MR_MTU_HOLE_LOSSES - 1; pn++)
        CU_ASSERT_FALSE(mr_mtu_search_large_lost(&s, pn));
    mr_mtu_search_large_acked(&s, 70);
    for (uint64_t pn = 71; pn < 71 + MR_MTU_HOLE_LOSSES - 1; pn++)
        CU_ASSERT_FALSE(mr_mtu_search_large_lost(&s, pn));
    CU_ASSERT_TRUE(mr_mtu_search_large_lost(&s, 90));
    mr_mtu_search_large_acked(&s, UINT64_C(0x1fffffff0)); /* numbers wrap in what is kept */
    mr_mtu_search_large_acked(&s, UINT64_C(0x200000010));
    CU_ASSERT_FALSE(mr_mtu_search_large_lost(&s, UINT64_C(0x1ffffffff)));
}

static CU_TestInfo tests[] = {
    {"every path is found within its part", every_path_is_found_within_its_part},
    {"the largest is tried first", the_largest_is_tried_first},
    {"a size is given up after three losses", a_size_is_given_up_after_three_losses},
    {"a search begins again after ten minutes", a_search_begins_again_after_ten_minutes},
    {"a message says what its size allows", a_message_says_what_its_size_allows},
    {"large losses in a row are a black hole", large_losses_in_a_row_are_a_black_hole},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/mtu", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
