/* Tests of quic/loss.h. */
#include "quic/loss.h"

#include "tests/unit/harness.h"

#define I    MR_SPACE_INITIAL
#define H    MR_SPACE_HANDSHAKE
#define A    MR_SPACE_APP
#define NONE MR_NEVER

/* Round trip 100 ms, variation 50 ms, peer's delay 25 ms: PTO 300 ms, 325 ms in the application
 * space. */
static struct mr_rtt round_trip(void)
{
    struct mr_rtt rtt;

    mr_rtt_init(&rtt, 100 * MR_MS);
    rtt.max_ack_delay_ns = 25 * MR_MS;
    return rtt;
}

/* The state of three spaces in ms, and the timer it must give. */
struct row {
    const char *what;
    struct mr_loss loss;
    struct mr_loss_timer timer;
};

static const struct row rows[] = {
    {"nothing in flight, server, confirmed",
     {.space = {{0, NONE, 0}, {0, NONE, 0}, {0, NONE, 0}},
      .is_server = true,
      .has_validated = true,
      .handshake_confirmed = true},
     {NONE, MR_LOSS_IDLE, I}},
    {"nothing in flight, client whose address is valid",
     {.space = {{0, NONE, 0}, {0, NONE, 0}, {0, NONE, 0}}, .has_validated = true},
     {NONE, MR_LOSS_IDLE, I}},
    {"a server that waits for more of the ClientHello probes",
     {.space = {{0, NONE, 0}, {0, NONE, 0}, {0, NONE, 0}},
      .is_server = true,
      .has_validated = true,
      .restart_ns = 40},
     {340, MR_LOSS_UNBLOCK, I}},
    {"a server that waits for Finished probes, and not for its 1-RTT data",
     {.space = {{0, NONE, 0}, {50, NONE, 0}, {60, NONE, 2}},
      .is_server = true,
      .has_validated = true,
      .has_handshake_keys = true,
      .restart_ns = 40},
     {350, MR_LOSS_UNBLOCK, H}},
    {"a server's idle probes get rarer, whatever its PTOs",
     {.space = {{0, NONE, 0}, {50, NONE, 0}, {0, NONE, 0}},
      .is_server = true,
      .has_validated = true,
      .has_handshake_keys = true,
      .restart_ns = 40,
      .pto_count = 5,
      .idle_probes = 2},
     {1250, MR_LOSS_UNBLOCK, H}},
    {"nor are its probes of an idle handshake repeated sooner",
     {.space = {{10, NONE, 1}, {0, NONE, 0}, {0, NONE, 0}},
      .is_server = true,
      .has_validated = true,
      .pto_count = 1,
      .idle_probes = 2},
     {1210, MR_LOSS_PTO, I}},
    {"a limited server does not probe",
     {.space = {{10, NONE, 0}, {0, NONE, 0}, {0, NONE, 0}},
      .is_server = true,
      .has_validated = true,
      .is_amplification_limited = true},
     {NONE, MR_LOSS_IDLE, I}},
    {"one space in flight",
     {.space = {{10, NONE, 2}, {0, NONE, 0}, {0, NONE, 0}}, .has_validated = true},
     {310, MR_LOSS_PTO, I}},
    {"the earlier of two spaces",
     {.space = {{10, NONE, 1}, {5, NONE, 1}, {0, NONE, 0}}, .has_validated = true},
     {305, MR_LOSS_PTO, H}},
    {"backed off twice",
     {.space = {{10, NONE, 1}, {0, NONE, 0}, {0, NONE, 0}}, .has_validated = true, .pto_count = 2},
     {1210, MR_LOSS_PTO, I}},
    {"a loss time goes before a PTO that is earlier",
     {.space = {{10, NONE, 1}, {0, NONE, 0}, {900, 950, 1}}, .has_validated = true},
     {950, MR_LOSS_TIME, A}},
    {"the earliest of three loss times",
     {.space = {{10, 70, 1}, {10, 60, 1}, {10, 65, 1}}, .has_validated = true},
     {60, MR_LOSS_TIME, H}},
    {"application data waits for the handshake",
     {.space = {{0, NONE, 0}, {50, NONE, 1}, {10, NONE, 3}}, .has_validated = true},
     {350, MR_LOSS_PTO, H}},
    {"application data alone, not confirmed: what the handshake lost may wait behind it",
     {.space = {{0, NONE, 0}, {50, NONE, 0}, {60, NONE, 3}},
      .has_handshake_keys = true,
      .has_validated = true},
     {350, MR_LOSS_UNBLOCK, H}},
    {"application data, confirmed: the peer may delay its ACK",
     {.space = {{0, NONE, 0}, {0, NONE, 0}, {10, NONE, 3}},
      .has_validated = true,
      .handshake_confirmed = true,
      .pto_count = 1},
     {660, MR_LOSS_PTO, A}},
    {"a limited server waits",
     {.space = {{10, NONE, 2}, {12, NONE, 1}, {0, NONE, 0}},
      .has_validated = true,
      .is_amplification_limited = true},
     {NONE, MR_LOSS_IDLE, I}},
    {"a limited server still declares losses",
     {.space = {{10, 40, 2}, {0, NONE, 0}, {0, NONE, 0}},
      .has_validated = true,
      .is_amplification_limited = true},
     {40, MR_LOSS_TIME, I}},
    {"a client unblocks its server, Initial",
     {.space = {{10, NONE, 0}, {0, NONE, 0}, {0, NONE, 0}}, .restart_ns = 40},
     {340, MR_LOSS_UNBLOCK, I}},
    {"a client that has just sent an Initial gives it its time",
     {.space = {{60, NONE, 0}, {0, NONE, 0}, {0, NONE, 0}}, .restart_ns = 40},
     {360, MR_LOSS_UNBLOCK, I}},
    {"a client unblocks its server, Handshake",
     {.space = {{10, NONE, 0}, {0, NONE, 0}, {0, NONE, 0}},
      .restart_ns = 40,
      .has_handshake_keys = true,
      .pto_count = 1},
     {640, MR_LOSS_UNBLOCK, H}},
    {"a client with only 0-RTT data in flight unblocks its server",
     {.space = {{10, NONE, 0}, {0, NONE, 0}, {12, NONE, 4}}, .restart_ns = 40},
     {340, MR_LOSS_UNBLOCK, I}},
    {"a client with Initials in flight just waits for the PTO",
     {.space = {{50, NONE, 1}, {0, NONE, 0}, {0, NONE, 0}}, .restart_ns = 40},
     {350, MR_LOSS_PTO, I}},
};

static uint64_t from_ms(uint64_t ms)
{
    return ms == NONE ? MR_NEVER : ms * MR_MS;
}

static void the_timer_follows_the_table(void)
{
    struct mr_rtt rtt = round_trip();

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct mr_loss loss = rows[i].loss;
        loss.restart_ns = from_ms(loss.restart_ns);
        for (int space = 0; space < MR_SPACES; space++) {
            loss.space[space].last_ack_eliciting_ns =
                from_ms(loss.space[space].last_ack_eliciting_ns);
            loss.space[space].loss_time_ns = from_ms(loss.space[space].loss_time_ns);
        }

        struct mr_loss_timer timer = mr_loss_timer(&loss, &rtt);
        bool is_right = timer.at_ns == from_ms(rows[i].timer.at_ns) &&
                        timer.action == rows[i].timer.action &&
                        (timer.action == MR_LOSS_IDLE || timer.space == rows[i].timer.space);
        CU_assertImplementation(is_right, __LINE__, rows[i].what, __FILE__, __func__, CU_FALSE);
    }
}

static void a_pto_doubles_the_next_and_an_ack_ends_that(void)
{
    struct mr_rtt rtt = round_trip();
    struct mr_loss loss;
    mr_loss_init(&loss, MR_SERVER, 0);
    loss.space[H] = (struct mr_loss_space){.loss_time_ns = MR_NEVER, .ack_eliciting_count = 1};

    for (uint64_t factor = 1; factor <= 1024; factor *= 2) {
        CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).at_ns, factor * 300 * MR_MS);
        mr_loss_on_pto(&loss, 1);
    }
    for (int i = 0; i < 5000; i++)
        mr_loss_on_pto(&loss, 1);
    CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).at_ns, UINT64_C(1024) * 300 * MR_MS);
    mr_loss_on_acked(&loss, I, 2);
    CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).at_ns, 300 * MR_MS);
}

static void a_clients_backoff_outlives_acks_of_initials(void)
{
    struct mr_loss loss;
    mr_loss_init(&loss, MR_CLIENT, 0);
    CU_ASSERT_FALSE(loss.has_validated);

    mr_loss_on_pto(&loss, 1);
    mr_loss_on_acked(&loss, I, 2);
    CU_ASSERT_EQUAL(loss.pto_count, 1);
    mr_loss_on_acked(&loss, H, 3);
    CU_ASSERT(loss.has_validated);
    CU_ASSERT_EQUAL(loss.pto_count, 0);
}

static void the_time_to_unblock_does_not_depend_on_asking(void)
{
    struct mr_rtt rtt = round_trip();
    struct mr_loss loss;
    mr_loss_init(&loss, MR_CLIENT, 7 * MR_MS);

    CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).at_ns, 307 * MR_MS);
    mr_loss_on_acked(&loss, I, 50 * MR_MS);
    CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).at_ns, 350 * MR_MS);
    mr_loss_on_pto(&loss, 350 * MR_MS);
    CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).at_ns, 950 * MR_MS);
}

static void a_servers_idle_probes_outlive_acks_and_leave_its_ptos_alone(void)
{
    struct mr_rtt rtt = round_trip();
    struct mr_loss loss;
    mr_loss_init(&loss, MR_SERVER, 0);

    for (uint64_t period = 300; period < 300 * 64; period *= 2) {
        struct mr_loss_timer timer = mr_loss_timer(&loss, &rtt);

        CU_ASSERT_EQUAL(timer.action, MR_LOSS_UNBLOCK);
        CU_ASSERT_EQUAL(timer.at_ns, loss.restart_ns + period * MR_MS);
        mr_loss_on_unblock(&loss, timer.at_ns);
        mr_loss_on_acked(&loss, I, timer.at_ns + MR_MS);
    }
    CU_ASSERT_EQUAL(loss.pto_count, 0);
    for (int i = 0; i < 1000; i++)
        mr_loss_on_unblock(&loss, 1);
    CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).at_ns, UINT64_C(1024) * 300 * MR_MS + 1);
    mr_loss_on_handshake_keys(&loss);
    CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).at_ns, 300 * MR_MS + 1);
    CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).space, H);
    mr_loss_on_unblock(&loss, 1);
    mr_loss_on_discarded(&loss, I, 2);
    CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).at_ns, 300 * MR_MS + 2);
    loss.handshake_confirmed = true;
    CU_ASSERT_EQUAL(mr_loss_timer(&loss, &rtt).action, MR_LOSS_IDLE);
}

static void a_client_that_unblocks_its_server_backs_off(void)
{
    struct mr_loss loss;
    mr_loss_init(&loss, MR_CLIENT, 0);

    mr_loss_on_unblock(&loss, 7);
    CU_ASSERT_EQUAL(loss.pto_count, 1);
    CU_ASSERT_EQUAL(loss.restart_ns, 7);
}

static void discarding_a_space_resets_its_times_and_the_backoff(void)
{
    struct mr_rtt rtt = round_trip();
    struct mr_loss loss;
    mr_loss_init(&loss, MR_SERVER, 0);
    loss.space[I] = (struct mr_loss_space){10, 20, 3};
    loss.space[H] = (struct mr_loss_space){30 * MR_MS, MR_NEVER, 1};
    mr_loss_on_pto(&loss, 1);

    mr_loss_on_discarded(&loss, I, 2);
    struct mr_loss_timer timer = mr_loss_timer(&loss, &rtt);
    CU_ASSERT_EQUAL(timer.action, MR_LOSS_PTO);
    CU_ASSERT_EQUAL(timer.space, H);
    CU_ASSERT_EQUAL(timer.at_ns, 330 * MR_MS);
}

static CU_TestInfo tests[] = {
    {"the timer follows the table", the_timer_follows_the_table},
    {"a pto doubles the next and an ack ends that", a_pto_doubles_the_next_and_an_ack_ends_that},
    {"a client's backoff outlives acks of initials", a_clients_backoff_outlives_acks_of_initials},
    {"the time to unblock does not depend on asking",
     the_time_to_unblock_does_not_depend_on_asking},
    {"a server's idle probes outlive acks and leave its ptos alone",
     a_servers_idle_probes_outlive_acks_and_leave_its_ptos_alone},
    {"a client that unblocks its server backs off", a_client_that_unblocks_its_server_backs_off},
    {"discarding a space resets its times and the backoff",
     discarding_a_space_resets_its_times_and_the_backoff},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/loss", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
