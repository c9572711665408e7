/* Tests of quic/ecn.h. */
#include "quic/ecn.h"

#include "base/random.h"
#include "tests/unit/harness.h"

/* A path under test, its one packet number space, and what the peer has counted. */
struct rig {
    struct mr_ecn_path path;
    struct mr_ecn_reports reports;
    struct mr_ecn_counts counts;
    uint64_t ce;
    uint64_t packets;
};

static struct rig begin(uint8_t codepoint)
{
    struct rig rig = {.ce = 0};

    mr_ecn_begin(&rig.path, codepoint, 0);
    mr_ecn_check(&rig.path);
    return rig;
}

/* `count` packets, in flight, one by one. */
static void send_packets(struct rig *rig, uint32_t count)
{
    for (uint32_t i = 0; i < count && rig->path.mark != MR_ECN_NOT_ECT; i++) {
        rig->reports.sent++;
        if (rig->path.state == MR_ECN_TESTING)
            mr_ecn_on_test_sent(&rig->path, 1, true);
        mr_ecn_check(&rig->path);
    }
}

static enum mr_ecn_verdict ack(struct rig *rig, uint64_t marked)
{
    struct mr_ecn_ack ack = {.counts = &rig->counts, .marked = marked, .is_largest_new = true};
    struct mr_ecn_arrived arrived;
    enum mr_ecn_verdict verdict = mr_ecn_on_ack(&rig->path, &rig->reports, &ack, &arrived);

    rig->ce = arrived.ce;
    rig->packets = arrived.packets;

    mr_ecn_check(&rig->path);
    return verdict;
}

/* RFC 9000, Section 13.4.2: "the endpoint could set an ECT codepoint for only the first ten
 * outgoing packets on a path". */
static void ten_packets_are_marked_until_there_is_an_answer(void)
{
    struct rig rig = begin(MR_ECN_ECT0);

    send_packets(&rig, 9);
    CU_ASSERT_EQUAL(rig.path.mark, MR_ECN_ECT0);
    send_packets(&rig, 5);
    CU_ASSERT_EQUAL(rig.reports.sent, 10);
    CU_ASSERT_EQUAL(rig.path.state, MR_ECN_UNKNOWN);
    CU_ASSERT_EQUAL(rig.path.mark, MR_ECN_NOT_ECT);
    rig.counts.ect0 = 10;
    CU_ASSERT_EQUAL(ack(&rig, 10), MR_ECN_NOW_CAPABLE);
    CU_ASSERT_EQUAL(rig.path.mark, MR_ECN_ECT0);
    CU_ASSERT_EQUAL(rig.ce, 0);
}

/* Appendix A.4: "unless no marked packet has been acknowledged". */
static void an_answer_during_the_test_counts_when_it_is_over(void)
{
    struct rig rig = begin(MR_ECN_ECT1);

    send_packets(&rig, 4);
    rig.counts.ect1 = 4;
    CU_ASSERT_EQUAL(ack(&rig, 4), MR_ECN_NO_CHANGE);
    CU_ASSERT_EQUAL(rig.path.state, MR_ECN_TESTING);
    send_packets(&rig, 6);
    CU_ASSERT_EQUAL(ack(&rig, 0), MR_ECN_NOW_CAPABLE); /* of a packet without a mark */
    CU_ASSERT_EQUAL(rig.path.mark, MR_ECN_ECT1);

    struct rig none = begin(MR_ECN_ECT0);
    send_packets(&none, 10);
    CU_ASSERT_EQUAL(ack(&none, 0), MR_ECN_NO_CHANGE);
    CU_ASSERT_EQUAL(none.path.state, MR_ECN_UNKNOWN);
}

/* Section 13.4.2: "or for a period of three PTOs": of 1, and of 2, which is the second. */
static void three_probe_timeouts_end_the_test(void)
{
    struct rig rig = begin(MR_ECN_ECT0);

    send_packets(&rig, 1);
    mr_ecn_on_pto(&rig.path, 1);
    CU_ASSERT_EQUAL(rig.path.mark, MR_ECN_ECT0);
    mr_ecn_on_pto(&rig.path, 2);
    CU_ASSERT_EQUAL(rig.path.mark, MR_ECN_NOT_ECT);
    rig.path.state = MR_ECN_CAPABLE;
    mr_ecn_on_pto(&rig.path, 9);
    CU_ASSERT_EQUAL(rig.path.state, MR_ECN_CAPABLE);
}

/* Section 13.4.2: "If all packets marked with non-zero ECN codepoints are subsequently lost, it can
 * disable marking". */
static void a_path_that_loses_all_marks_has_failed(void)
{
    struct rig rig = begin(MR_ECN_ECT0);

    send_packets(&rig, 10);
    CU_ASSERT_FALSE(mr_ecn_on_lost(&rig.path, 9));
    CU_ASSERT_TRUE(mr_ecn_on_lost(&rig.path, 1));
    CU_ASSERT_EQUAL(rig.path.state, MR_ECN_FAILED);
    CU_ASSERT_FALSE(mr_ecn_on_lost(&rig.path, 1));

    struct rig some = begin(MR_ECN_ECT0);
    send_packets(&some, 10);
    some.counts.ect0 = 1;
    ack(&some, 1);
    CU_ASSERT_FALSE(mr_ecn_on_lost(&some.path, 9));
    CU_ASSERT_EQUAL(some.path.state, MR_ECN_CAPABLE);
}

/* Appendix A.4: "if marked packets are all declared lost or if they are all ECN-CE marked". */
static void a_path_that_makes_all_marks_ce_has_failed(void)
{
    struct rig rig = begin(MR_ECN_ECT0);

    send_packets(&rig, 10);
    rig.counts.ce = 6;
    CU_ASSERT_EQUAL(ack(&rig, 6), MR_ECN_NO_CHANGE);
    CU_ASSERT_EQUAL(rig.ce, 6);
    CU_ASSERT_FALSE(mr_ecn_on_lost(&rig.path, 1));
    rig.counts.ce = 9;
    CU_ASSERT_EQUAL(ack(&rig, 3), MR_ECN_NOW_FAILED);
    CU_ASSERT_EQUAL(rig.path.mark, MR_ECN_NOT_ECT);
}

/* Section 13.4.2.1, each rule from a path that has sent 20 packets, 15 of them reported. */
static void counts_that_do_not_add_up_fail(void)
{
    static const struct {
        struct mr_ecn_counts counts;
        uint64_t marked;
        bool is_right;
    } rows[] = {
        {{15, 0, 5}, 5, true},  /* all as CE */
        {{20, 0, 0}, 5, true},  /* all as sent */
        {{18, 0, 2}, 3, true},  /* more than acknowledged: an ACK was lost */
        {{17, 0, 2}, 5, false}, /* one is missing */
        {{15, 0, 0}, 1, false}, /* bleached */
        {{14, 0, 6}, 1, false}, /* ECT(0) falls */
        {{21, 0, 0}, 5, false}, /* more than were sent */
        {{15, 0, 6}, 5, false}, /* the sum is more than was sent */
        {{15, 5, 0}, 5, false}, /* a codepoint that was never sent */
        {{20, 1, 0}, 5, false}, {{(UINT64_C(1) << 62) - 1, 0, (UINT64_C(1) << 62) - 1}, 5, false},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct rig rig = begin(MR_ECN_ECT0);
        send_packets(&rig, 10);
        rig.counts.ect0 = 10;
        ack(&rig, 10);
        send_packets(&rig, 5);
        rig.counts.ect0 = 15;
        CU_ASSERT_EQUAL(ack(&rig, 5), MR_ECN_NO_CHANGE);
        send_packets(&rig, 5);
        rig.counts = rows[i].counts;
        CU_ASSERT_EQUAL(ack(&rig, rows[i].marked),
                        rows[i].is_right ? MR_ECN_NO_CHANGE : MR_ECN_NOW_FAILED);
        CU_ASSERT_EQUAL(rig.path.state, rows[i].is_right ? MR_ECN_CAPABLE : MR_ECN_FAILED);
        CU_ASSERT_EQUAL(rig.ce, rows[i].is_right ? rows[i].counts.ce : 0);
        CU_ASSERT_EQUAL(rig.packets,
                        rows[i].is_right ? rows[i].counts.ect0 + rows[i].counts.ce - 15 : 0);
    }
}

static void a_ce_count_that_falls_fails(void)
{
    struct rig rig = begin(MR_ECN_ECT0);

    send_packets(&rig, 10);
    rig.counts = (struct mr_ecn_counts){.ect0 = 5, .ce = 5};
    CU_ASSERT_EQUAL(ack(&rig, 10), MR_ECN_NOW_CAPABLE);
    send_packets(&rig, 5);
    rig.counts = (struct mr_ecn_counts){.ect0 = 11, .ce = 4};
    CU_ASSERT_EQUAL(ack(&rig, 5), MR_ECN_NOW_FAILED);
}

/* A path that keeps marks never fails, whatever is lost, marked, reordered or not acknowledged. */
static void an_honest_path_never_fails(void)
{
    struct mr_random random;

    mr_random_init_number(&random, 11);
    for (int run = 0; run < 2000; run++) {
        struct rig rig = begin(MR_ECN_ECT0);
        uint64_t unreported = 0; /* arrived, their ACKs were lost */
        uint64_t ce = 0;

        rig.counts.ect0 = 0;
        for (int i = 0; i < 40; i++) {
            uint64_t before = rig.reports.sent;
            send_packets(&rig, 1 + (uint32_t)mr_random_below(&random, 4));
            for (uint64_t k = before; k < rig.reports.sent; k++) {
                if (mr_random_below(&random, 8) == 0)
                    continue;
                unreported++;
                if (k > 0 && mr_random_below(&random, 4) == 0)
                    rig.counts.ce++;
                else
                    rig.counts.ect0++;
            }
            if (mr_random_below(&random, 3) == 0)
                continue;
            CU_ASSERT_NOT_EQUAL(ack(&rig, mr_random_below(&random, unreported + 1)),
                                MR_ECN_NOW_FAILED);
            ce += rig.ce;
            CU_ASSERT_EQUAL(ce, rig.counts.ce);
            unreported = 0;
        }
    }
}

static CU_TestInfo tests[] = {
    {"ten packets are marked until there is an answer",
     ten_packets_are_marked_until_there_is_an_answer},
    {"an answer during the test counts when it is over",
     an_answer_during_the_test_counts_when_it_is_over},
    {"three probe timeouts end the test", three_probe_timeouts_end_the_test},
    {"a path that loses all marks has failed", a_path_that_loses_all_marks_has_failed},
    {"a path that makes all marks CE has failed", a_path_that_makes_all_marks_ce_has_failed},
    {"counts that do not add up fail", counts_that_do_not_add_up_fail},
    {"a CE count that falls fails", a_ce_count_that_falls_fails},
    {"an honest path never fails", an_honest_path_never_fails},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/ecn", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
