/* Tests of quic/delivery.h. */
#include "quic/delivery.h"

#include "base/compiler.h"
#include "quic/types.h"
#include "tests/unit/harness.h"

#define SIZE 1000
#define RTT  (10 * MR_MS)

/* Packets that are sent each `every_ns` and delivered RTT later, one ACK each. */
struct rig {
    struct mr_delivery delivery;
    uint64_t sent; /* packets */
    uint64_t acked;
    uint64_t every_ns;
    struct mr_delivery_sample sample;
};

static void begin(struct rig *rig, uint64_t every_ns)
{
    *rig = (struct rig){.every_ns = every_ns};
    mr_delivery_init(&rig->delivery, 0);
    mr_delivery_set_rtt(&rig->delivery, RTT);
}

static uint64_t sent_at(const struct rig *rig, uint64_t packet)
{
    return MR_SECOND + packet * rig->every_ns;
}

static void send(struct rig *rig)
{
    uint64_t now = sent_at(rig, rig->sent++);

    mr_delivery_on_sent(&rig->delivery, (rig->sent - rig->acked) * SIZE,
                        rig->sent - rig->acked == 1, now);
    mr_delivery_check(&rig->delivery);
}

static void ack(struct rig *rig)
{
    uint64_t sent_ns = sent_at(rig, rig->acked++);

    mr_delivery_on_acked(&rig->delivery, SIZE, sent_ns, RTT, sent_ns + RTT, &rig->sample);
    mr_delivery_check(&rig->delivery);
}

/* Send `count` more, with the acknowledgements that come meanwhile. */
static void run(struct rig *rig, uint64_t count)
{
    for (; count > 0; count--) {
        while (rig->acked < rig->sent && sent_at(rig, rig->acked) + RTT <= sent_at(rig, rig->sent))
            ack(rig);
        send(rig);
    }
}

/* "RS.delivery_rate = RS.delivered / RS.interval", whatever the packets of a snapshot.  "If the
 * following state variables are not tracked by an existing implementation, all the following
 * parameters MUST be tracked to implement this algorithm:" (draft-ietf-ccwg-bbr: Per-connection (C)
 * state) */
static void a_steady_flow_has_the_rate_it_is_sent_at(void)
{
    static const uint64_t every[] = {MR_US, 10 * MR_US, 100 * MR_US, MR_MS};

    for (size_t i = 0; i < MR_COUNT_OF(every); i++) {
        struct rig rig;
        begin(&rig, every[i]);
        run(&rig, 4 * RTT / every[i]);
        double want = SIZE / (double)every[i];
        CU_ASSERT_TRUE(rig.sample.rate > 0.97 * want && rig.sample.rate < 1.03 * want);
        CU_ASSERT_FALSE(rig.sample.is_app_limited);
        CU_ASSERT_TRUE(rig.sample.in_flight >= RTT / every[i] * SIZE * 95 / 100);
        CU_ASSERT_TRUE(rig.sample.in_flight <= RTT / every[i] * SIZE * 105 / 100);
    }
}

/* "Use the longer of the send_elapsed and ack_elapsed": ACKs that were held back and come together
 * do not look like a faster path to the packet that is sent between them. */
static void acks_that_come_together_do_not_raise_the_rate(void)
{
    struct rig rig;
    uint64_t held = MR_SECOND + 3 * RTT;

    begin(&rig, 100 * MR_US);
    for (int i = 0; i < 200; i++) /* for two RTT */
        send(&rig);
    mr_delivery_on_acked(&rig.delivery, SIZE, sent_at(&rig, rig.acked++), RTT, held, &rig.sample);
    mr_delivery_on_sent(&rig.delivery, 200 * SIZE, false, held);
    while (rig.acked < 200)
        mr_delivery_on_acked(&rig.delivery, SIZE, sent_at(&rig, rig.acked++), RTT, held + MR_US,
                             &rig.sample);
    mr_delivery_on_acked(&rig.delivery, SIZE, held, RTT, held + RTT, &rig.sample);
    CU_ASSERT_EQUAL(rig.sample.delivered, 200 * SIZE);
    CU_ASSERT_TRUE(rig.sample.rate > 0 && rig.sample.rate <= SIZE / (double)(100 * MR_US));
}

/* "if (RS.interval < C.min_rtt) return": no rate, but data. */
static void a_sample_over_less_than_a_round_trip_has_no_rate(void)
{
    struct rig rig;

    begin(&rig, 100 * MR_US);
    send(&rig);
    mr_delivery_on_acked(&rig.delivery, SIZE, sent_at(&rig, 0), RTT, sent_at(&rig, 0) + RTT - 1,
                         &rig.sample);
    CU_ASSERT_TRUE(rig.sample.has_data);
    CU_ASSERT_EQUAL(rig.sample.rate, 0);
    CU_ASSERT_EQUAL(rig.sample.delivered, SIZE);
}

static void packets_older_than_all_snapshots_give_no_sample(void)
{
    struct rig rig;

    begin(&rig, RTT / MR_DELIVERY_PER_RTT);
    for (int i = 0; i < MR_DELIVERY_SNAPSHOTS + 1; i++)
        send(&rig);
    CU_ASSERT_PTR_NULL(mr_delivery_find(&rig.delivery, sent_at(&rig, 0)));
    CU_ASSERT_PTR_NOT_NULL(mr_delivery_find(&rig.delivery, sent_at(&rig, 1)));
    ack(&rig);
    CU_ASSERT_FALSE(rig.sample.has_data);
    CU_ASSERT_EQUAL(rig.sample.rate, 0);
    CU_ASSERT_EQUAL(rig.delivery.delivered, SIZE); /* it counts all the same */
}

/* "P.is_app_limited = (C.app_limited != 0)", and "Clear app-limited field if bubble is ACKed and
 * gone". */
static void a_bubble_marks_the_packets_behind_it(void)
{
    struct rig rig;

    begin(&rig, MR_MS);
    run(&rig, 30);
    mr_delivery_limit(&rig.delivery, (rig.sent - rig.acked) * SIZE);
    run(&rig, 5);
    CU_ASSERT_FALSE(rig.sample.is_app_limited); /* sent before */
    run(&rig, 8);
    CU_ASSERT_TRUE(rig.sample.is_app_limited);
    CU_ASSERT_EQUAL(rig.delivery.app_limited, 0);
    run(&rig, 30);
    CU_ASSERT_FALSE(rig.sample.is_app_limited);
}

static void losses_since_sending_are_counted(void)
{
    struct rig rig;

    begin(&rig, MR_MS);
    run(&rig, 20);
    rig.delivery.lost += 3 * SIZE;
    ack(&rig);
    CU_ASSERT_EQUAL(rig.sample.lost, 3 * SIZE);
    run(&rig, 20);
    CU_ASSERT_EQUAL(rig.sample.lost, 0);
}

static CU_TestInfo tests[] = {
    {"a steady flow has the rate it is sent at", a_steady_flow_has_the_rate_it_is_sent_at},
    {"ACKs that come together do not raise the rate",
     acks_that_come_together_do_not_raise_the_rate},
    {"a sample over less than a round trip has no rate",
     a_sample_over_less_than_a_round_trip_has_no_rate},
    {"packets older than all snapshots give no sample",
     packets_older_than_all_snapshots_give_no_sample},
    {"a bubble marks the packets behind it", a_bubble_marks_the_packets_behind_it},
    {"losses since sending are counted", losses_since_sending_are_counted},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/delivery", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
