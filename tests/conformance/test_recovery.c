/*
 * RFC 9002, sentence by sentence: round trip, loss detection, probe timeout, congestion control.
 */
#include <stdlib.h>

#include "quic/cc.h"
#include "quic/loss.h"
#include "quic/pacer.h"
#include "quic/rtt.h"
#include "quic/sent.h"
#include "tests/unit/harness.h"

#define SIZE 1200
#define DATA (MR_SENT_ACK_ELICITING | MR_SENT_IN_FLIGHT)

static struct mr_rtt round_trip(const uint64_t *samples_ms, size_t count)
{
    struct mr_rtt rtt;

    mr_rtt_init(&rtt, MR_RTT_INITIAL);
    rtt.max_ack_delay_ns = 25 * MR_MS;
    for (size_t i = 0; i < count; i++)
        mr_rtt_add(&rtt, &(struct mr_rtt_sample){.latest_ns = samples_ms[i] * MR_MS}, 1);
    return rtt;
}

/*
 * Section 5.2: "min_rtt MUST be set to the latest_rtt on the first RTT sample.  min_rtt MUST be
 * set to the lesser of min_rtt and latest_rtt (Section 5.1) on all other samples."
 */
static void min_rtt(void)
{
    static const uint64_t samples[] = {50, 70, 30, 40};
    static const uint64_t least[] = {50, 50, 30, 30};

    for (size_t i = 0; i < MR_COUNT_OF(samples); i++)
        CU_ASSERT_EQUAL(round_trip(samples, i + 1).min_ns, least[i] * MR_MS);
}

/*
 * Section 5.3: "MUST use the lesser of the acknowledgment delay and the peer's max_ack_delay after
 * the handshake is confirmed"
 */
static void ack_delay_is_limited_after_the_handshake(void)
{
    struct mr_rtt rtt = round_trip((const uint64_t[]){20}, 1);
    struct mr_rtt before = rtt;
    struct mr_rtt_sample sample = {.latest_ns = 100 * MR_MS, .ack_delay_ns = 60 * MR_MS};

    mr_rtt_add(&before, &sample, 2);
    CU_ASSERT_EQUAL(before.smoothed_ns, (7 * 20 + 40) * MR_MS / 8);
    sample.handshake_confirmed = true;
    mr_rtt_add(&rtt, &sample, 2);
    CU_ASSERT_EQUAL(rtt.smoothed_ns, (7 * 20 + 75) * MR_MS / 8);
}

/*
 * Section 5.3: "MUST NOT subtract the acknowledgment delay from the RTT sample if the resulting
 * value is smaller than the min_rtt."
 */
static void ack_delay_never_goes_below_min_rtt(void)
{
    struct mr_rtt rtt = round_trip((const uint64_t[]){80}, 1);
    struct mr_rtt equal = rtt;
    struct mr_rtt_sample sample = {.latest_ns = 100 * MR_MS, .ack_delay_ns = 20 * MR_MS};

    mr_rtt_add(&equal, &sample, 2);
    CU_ASSERT_EQUAL(equal.smoothed_ns, 80 * MR_MS);
    sample.ack_delay_ns++;
    mr_rtt_add(&rtt, &sample, 2);
    CU_ASSERT_EQUAL(rtt.smoothed_ns, (7 * 80 + 100) * MR_MS / 8);
}

/*
 * Section 6.1.2: "To avoid declaring packets as lost too early, this time threshold MUST be set to
 * at least the local timer granularity, as indicated by the kGranularity constant."
 */
static void time_threshold(void)
{
    static const struct {
        uint64_t samples_ms[2];
        uint64_t delay_us;
    } rows[] = {{{80, 80}, 90000}, {{80, 160}, 180000}, {{160, 80}, 168750}, {{0, 0}, 1000}};

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct mr_rtt rtt = round_trip(rows[i].samples_ms, 2);
        CU_ASSERT_EQUAL(mr_rtt_loss_delay(&rtt), rows[i].delay_us * MR_US);
    }
}

/* Section 6.2.1: "The PTO period MUST be at least kGranularity". */
static void pto_period(void)
{
    struct mr_rtt rtt = round_trip((const uint64_t[]){100}, 1);
    CU_ASSERT_EQUAL(mr_rtt_pto(&rtt, MR_SPACE_INITIAL), 300 * MR_MS);
    CU_ASSERT_EQUAL(mr_rtt_pto(&rtt, MR_SPACE_HANDSHAKE), 300 * MR_MS);
    CU_ASSERT_EQUAL(mr_rtt_pto(&rtt, MR_SPACE_APP), 325 * MR_MS);

    rtt = round_trip((const uint64_t[]){0}, 1);
    CU_ASSERT(mr_rtt_pto(&rtt, MR_SPACE_INITIAL) >= MR_MS);
}

static struct mr_loss two_spaces_in_flight(void)
{
    struct mr_loss loss;

    mr_loss_init(&loss, MR_SERVER, 0);
    loss.space[MR_SPACE_INITIAL].last_ack_eliciting_ns = 20 * MR_MS;
    loss.space[MR_SPACE_INITIAL].ack_eliciting_count = 1;
    loss.space[MR_SPACE_HANDSHAKE].last_ack_eliciting_ns = 10 * MR_MS;
    loss.space[MR_SPACE_HANDSHAKE].ack_eliciting_count = 1;
    return loss;
}

/*
 * Section 6.2.1: "When ack-eliciting packets in multiple packet number spaces are in flight, the
 * timer MUST be set to the earlier value of the Initial and Handshake packet number spaces."
 */
static void the_earlier_pto(void)
{
    struct mr_rtt rtt = round_trip((const uint64_t[]){100}, 1);
    struct mr_loss loss = two_spaces_in_flight();

    CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).space, MR_SPACE_HANDSHAKE);
    CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).at_ns, 310 * MR_MS);
    loss.space[MR_SPACE_HANDSHAKE].last_ack_eliciting_ns = 30 * MR_MS;
    CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).space, MR_SPACE_INITIAL);
}

/*
 * Section 6.2.1: "An endpoint MUST NOT set its PTO timer for the Application Data packet number
 * space until the handshake is confirmed."
 */
static void no_pto_for_application_data_before_confirmation(void)
{
    struct mr_rtt rtt = round_trip((const uint64_t[]){100}, 1);
    struct mr_loss loss;
    mr_loss_init(&loss, MR_SERVER, 0);
    loss.space[MR_SPACE_APP].ack_eliciting_count = 1;

    loss.has_handshake_keys = true;
    for (int i = 0; i < 2; i++) { /* not for that data */
        CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).action, MR_LOSS_UNBLOCK);
        CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).space, MR_SPACE_HANDSHAKE);
        loss.is_server = false;
        loss.has_validated = true;
    }
    loss.handshake_confirmed = true;
    CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).action, MR_LOSS_PTO);
}

/*
 * Section 6.2.1: "When a PTO timer expires, the PTO backoff MUST be increased, resulting in the PTO
 * period being set to twice its current value."
 */
static void backoff(void)
{
    struct mr_rtt rtt = round_trip((const uint64_t[]){100}, 1);
    struct mr_loss loss = two_spaces_in_flight();

    mr_loss_on_pto(&loss, 310 * MR_MS);
    CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).at_ns, 610 * MR_MS);
    mr_loss_on_pto(&loss, 610 * MR_MS);
    CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).at_ns, 1210 * MR_MS);
}

/*
 * Section 6.2.1: "The PTO timer MUST NOT be set if a timer is set for time threshold loss
 * detection"
 */
static void no_pto_beside_a_loss_time(void)
{
    struct mr_rtt rtt = round_trip((const uint64_t[]){100}, 1);
    struct mr_loss loss = two_spaces_in_flight();

    loss.space[MR_SPACE_APP].loss_time_ns = 5 * MR_SECOND;
    CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).action, MR_LOSS_TIME);
    CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).at_ns, 5 * MR_SECOND);
}

/*
 * Section 6.2.2: "When Initial or Handshake keys are discarded, the PTO and loss detection timers
 * MUST be reset"
 */
static void discarded_keys_reset_the_timers(void)
{
    struct mr_rtt rtt = round_trip((const uint64_t[]){100}, 1);
    struct mr_loss loss = two_spaces_in_flight();
    loss.space[MR_SPACE_INITIAL].loss_time_ns = 1;
    mr_loss_on_pto(&loss, 1);

    mr_loss_on_discarded(&loss, MR_SPACE_INITIAL, 2);
    CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).at_ns, 310 * MR_MS);
    loss.handshake_confirmed = true;
    mr_loss_on_discarded(&loss, MR_SPACE_HANDSHAKE, 3);
    CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).action, MR_LOSS_IDLE);
}

/*
 * Section 6.2.2.1: "If no additional data can be sent, the server's PTO timer MUST NOT be armed
 * until datagrams have been received from the client"
 */
static void a_limited_server_arms_no_pto(void)
{
    struct mr_rtt rtt = round_trip((const uint64_t[]){100}, 1);
    struct mr_loss loss = two_spaces_in_flight();

    loss.is_amplification_limited = true;
    CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).action, MR_LOSS_IDLE);
    mr_loss_init(&loss, MR_SERVER, 0); /* that would probe although nothing is in flight */
    CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).action, MR_LOSS_UNBLOCK);
    loss.is_amplification_limited = true;
    CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).action, MR_LOSS_IDLE);
}

/*
 * Section 6.2.2.1: "the client MUST set the PTO timer if the client has not received an
 * acknowledgment for any of its Handshake packets and the handshake is not confirmed, even if
 * there are no packets in flight.  When the PTO fires, the client MUST send a Handshake packet if
 * it has Handshake keys, otherwise it MUST send an Initial packet"
 */
static void a_client_unblocks_its_server(void)
{
    struct mr_rtt rtt = round_trip((const uint64_t[]){100}, 1);
    struct mr_loss loss;
    mr_loss_init(&loss, MR_CLIENT, 0);

    CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).action, MR_LOSS_UNBLOCK);
    CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).space, MR_SPACE_INITIAL);
    loss.has_handshake_keys = true;
    CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).space, MR_SPACE_HANDSHAKE);
    mr_loss_on_acked(&loss, MR_SPACE_HANDSHAKE, 1);
    CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).action, MR_LOSS_IDLE);
}

/* ---- packets ---- */

struct space {
    struct mr_pool chunks;
    struct mr_pool blocks;
    struct mr_sent sent;
    uint8_t chunk_mem[4 * MR_CHUNK_SIZE + MR_CACHE_LINE];
    uint8_t block_mem[4 * MR_CACHE_LINE];
};

static void space_open(struct space *space)
{
    mr_chunks_init(&space->chunks, space->chunk_mem, 4);
    mr_sent_blocks_init(&space->blocks, space->block_mem, 2);
    mr_sent_init(&space->sent, &space->chunks, &space->blocks);
}

static void space_send(struct space *space, uint64_t time_ns)
{
    struct mr_sent_info info = {.time_ns = time_ns, .size = SIZE, .flags = DATA};

    CU_ASSERT_FATAL(mr_sent_reserve(&space->sent));
    mr_sent_commit(&space->sent, mr_sent_begin(&space->sent), &info);
}

static void space_acknowledge(struct space *space, uint64_t pn)
{
    struct mr_sent_ack ack;

    mr_sent_ack_begin(&ack, &space->sent, (struct mr_sent_range){pn, pn});
    while (mr_sent_ack_next(&ack, &pn) != NULL)
        continue;
}

/*
 * Section 6.4: "The sender MUST discard all recovery state associated with those packets and MUST
 * remove them from the count of bytes in flight."
 */
static void discarded_keys_take_their_packets_along(void)
{
    struct space space;
    struct mr_cc cc;
    space_open(&space);
    mr_cc_init(&cc, MR_CC_NEWRENO, SIZE, 0);

    for (int i = 0; i < 5; i++) {
        space_send(&space, 1);
        mr_cc_on_sent(&cc, SIZE, 1);
    }
    mr_cc_on_discarded(&cc, mr_sent_discard(&space.sent));
    CU_ASSERT_EQUAL(cc.in_flight, 0);
    CU_ASSERT_EQUAL(space.chunks.used, 0);
}

/* The example of Section 7.6.3 (times in seconds); `lost` is the number of packets it loses. */
static bool example_is_persistent(uint64_t first_sample_ns, uint64_t *lost_out)
{
    static const uint64_t sent_at[] = {0, 1, 2, 3, 4, 5, 6, 8, 12}; /* packets 1 to 9 */
    struct space space;
    struct mr_sent_loss loss;
    uint64_t pn;
    space_open(&space);

    for (size_t i = 0; i < MR_COUNT_OF(sent_at); i++)
        space_send(&space, 100 * MR_SECOND + sent_at[i] * MR_SECOND);
    space_acknowledge(&space, 0);
    space_acknowledge(&space, 8);

    struct mr_sent_loss_params params = {.now = 112200 * MR_MS,
                                         .delay_ns = 2 * MR_SECOND,
                                         .persistent_ns = 6 * MR_SECOND,
                                         .first_sample_ns = first_sample_ns};
    mr_sent_loss_begin(&loss, &space.sent, &params);
    for (*lost_out = 0; mr_sent_loss_next(&loss, &pn) != NULL; ++*lost_out)
        CU_ASSERT(pn >= 1 && pn <= 7);
    mr_sent_discard(&space.sent);
    return loss.is_persistent;
}

/*
 * Section 7.6.2: "These two packets MUST be ack-eliciting" and "The persistent congestion period
 * SHOULD NOT start until there is at least one RTT sample."
 */
static void persistent_congestion_example(void)
{
    uint64_t lost;

    CU_ASSERT(example_is_persistent(1, &lost));
    CU_ASSERT_EQUAL(lost, 7);
    CU_ASSERT_FALSE(example_is_persistent(102 * MR_SECOND, &lost));
    CU_ASSERT_FALSE(example_is_persistent(MR_NEVER, &lost));
}

/* Section 7.6.1: the duration includes max_ack_delay in every space. */
static void persistent_congestion_duration(void)
{
    struct mr_rtt rtt = round_trip((const uint64_t[]){100}, 1);

    CU_ASSERT_EQUAL(mr_rtt_persistent_duration(&rtt), 3 * 325 * MR_MS);
}

/*
 * Section 7.6.2: "When persistent congestion is declared, the sender's congestion window MUST be
 * reduced to the minimum congestion window (kMinimumWindow)"
 */
static void persistent_congestion_reduces_the_window(void)
{
    for (int kind = 0; kind < MR_CC_SELF_CONTAINED; kind++) {
        struct mr_cc cc;
        mr_cc_init(&cc, (enum mr_cc_kind)kind, SIZE, 0);
        mr_cc_on_persistent_congestion(&cc);
        CU_ASSERT_EQUAL(mr_cc_window(&cc), 2 * SIZE);
    }
}

/* ---- congestion control ---- */

static void acknowledge_window(struct mr_cc *cc, uint64_t sent_ns, uint64_t now)
{
    uint64_t window = mr_cc_window(cc);
    struct mr_cc_ack ack = {.bytes = window, .newest_sent_ns = sent_ns, .smoothed_ns = 1};

    mr_cc_on_sent(cc, window, sent_ns);
    mr_cc_on_acked(cc, &ack, now);
}

/*
 * Section 7.3.1: "The sender MUST exit slow start and enter a recovery period when a packet is lost
 * or when the ECN-CE count reported by its peer increases."
 */
static void congestion_ends_slow_start(void)
{
    for (int kind = 0; kind < MR_CC_SELF_CONTAINED; kind++) {
        struct mr_cc cc;
        mr_cc_init(&cc, (enum mr_cc_kind)kind, SIZE, 0);
        CU_ASSERT(mr_cc_in_slow_start(&cc));
        CU_ASSERT(mr_cc_on_congestion(&cc, 1, 2));
        CU_ASSERT_FALSE(mr_cc_in_slow_start(&cc));
    }
}

/*
 * Section 7.3.2: "On entering a recovery period, a sender MUST set the slow start threshold to half
 * the value of the congestion window when loss is detected.  The congestion window MUST be set to
 * the reduced value of the slow start threshold before exiting the recovery period."
 * RFC 9000, Section 13.3: "Upon detecting losses, a sender MUST take appropriate congestion control
 * action." */
static void newreno_halves(void)
{
    struct mr_cc cc;
    mr_cc_init(&cc, MR_CC_NEWRENO, SIZE, 0);

    acknowledge_window(&cc, 1, 2);
    CU_ASSERT_EQUAL(mr_cc_window(&cc), 24000);
    mr_cc_on_congestion(&cc, 3, 4);
    CU_ASSERT_EQUAL(mr_cc_ssthresh(&cc), 12000);
    CU_ASSERT_EQUAL(mr_cc_window(&cc), 12000);
}

/*
 * Section 7.3.3: "A sender in congestion avoidance uses an Additive Increase Multiplicative
 * Decrease (AIMD) approach that MUST limit the increase to the congestion window to at most one
 * maximum datagram size for each congestion window that is acknowledged."
 */
static void newreno_grows_by_one_datagram_per_window(void)
{
    struct mr_cc cc;
    mr_cc_init(&cc, MR_CC_NEWRENO, SIZE, 0);
    mr_cc_on_congestion(&cc, 1, 2);

    for (uint64_t i = 0; i < 100; i++) {
        uint64_t before = mr_cc_window(&cc);
        acknowledge_window(&cc, 10 + i, 20 + i);
        CU_ASSERT(mr_cc_window(&cc) <= before + SIZE);
    }
    CU_ASSERT_EQUAL(mr_cc_window(&cc), 6000 + 100 * SIZE);
}

/*
 * Section 7.5: "Probe packets MUST NOT be blocked by the congestion controller.  A sender MUST
 * however count these packets as being additionally in flight"
 */
static void probes_count_beyond_the_window(void)
{
    struct mr_cc cc;
    mr_cc_init(&cc, MR_CC_CUBIC, SIZE, 0);

    mr_cc_on_sent(&cc, 12000, 1);
    mr_cc_on_sent(&cc, 2 * SIZE, 2);
    CU_ASSERT_EQUAL(cc.in_flight, 12000 + 2 * SIZE);
    CU_ASSERT_EQUAL(mr_cc_room(&cc), 0);
    mr_cc_on_lost(&cc, SIZE);
    CU_ASSERT_EQUAL(mr_cc_room(&cc), 0);
    mr_cc_on_lost(&cc, 2 * SIZE);
    CU_ASSERT_EQUAL(mr_cc_room(&cc), SIZE);
}

/* Section 7.7: "Senders MUST either use pacing or limit such bursts." */
static void bursts_are_limited(void)
{
    struct mr_pacer pacer;
    struct mr_pacer_input input = {
        .window = 1000 * SIZE, .smoothed_ns = 100 * MR_MS, .datagram_size = SIZE};
    mr_pacer_init(&pacer, &input, 0);

    CU_ASSERT(mr_pacer_allow(&pacer, 0) <= 16 * SIZE);
    mr_pacer_on_sent(&pacer, 16 * SIZE);
    CU_ASSERT_EQUAL(mr_pacer_allow(&pacer, 0), 0);
}

static CU_TestInfo tests[] = {
    {"5.2: min_rtt", min_rtt},
    {"5.3: the ack delay is limited after the handshake", ack_delay_is_limited_after_the_handshake},
    {"5.3: the ack delay never leads below min_rtt", ack_delay_never_goes_below_min_rtt},
    {"6.1.2: time threshold", time_threshold},
    {"6.2.1: PTO period", pto_period},
    {"6.2.1: the earlier PTO of two spaces", the_earlier_pto},
    {"6.2.1: no PTO for application data before the handshake is confirmed",
     no_pto_for_application_data_before_confirmation},
    {"6.2.1: backoff", backoff},
    {"6.2.1: no PTO beside a loss time", no_pto_beside_a_loss_time},
    {"6.2.2: discarded keys reset the timers", discarded_keys_reset_the_timers},
    {"6.2.2.1: a limited server arms no PTO", a_limited_server_arms_no_pto},
    {"6.2.2.1: a client unblocks its server", a_client_unblocks_its_server},
    {"6.4: discarded keys take their packets along", discarded_keys_take_their_packets_along},
    {"7.3.1: congestion ends slow start", congestion_ends_slow_start},
    {"7.3.2: NewReno halves the window", newreno_halves},
    {"7.3.3: NewReno grows by one datagram per window", newreno_grows_by_one_datagram_per_window},
    {"7.5: probes count beyond the window", probes_count_beyond_the_window},
    {"7.6.1: persistent congestion duration", persistent_congestion_duration},
    {"7.6.2: persistent congestion reduces the window", persistent_congestion_reduces_the_window},
    {"7.6.3: persistent congestion example", persistent_congestion_example},
    {"7.7: bursts are limited", bursts_are_limited},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9002", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
