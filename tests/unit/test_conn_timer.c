/* Tests of quic/conn_timer.c: what is set in the wheel, between real endpoints. */
#include "quic/conn_timer.h"

#include "tests/support/move_app.h"
#include "tests/unit/harness.h"

#define SEEDS   8
#define LONG_NS (10 * MR_SECOND) /* but not as long as a connection may idle */

/* Nothing is on its way from it, nothing to be sent or acknowledged. */
static bool is_at_rest(const struct mr_conn *conn)
{
    return conn->handshake == MR_NONE && !conn->is_ready && conn->app.wants == 0 &&
           conn->app.ack_deadline_ns == MR_NEVER &&
           conn->loss.space[MR_SPACE_APP].ack_eliciting_count == 0;
}

static struct mr_endpoint *endpoint_of(const struct move_world *w, int side)
{
    return w->node[side == 0 ? w->app[0].node : MOVE_PEER].ep;
}

/* Is anything due within that time? */
static bool goes_on(const struct move_world *w, uint64_t span_ns)
{
    uint64_t next = sim_network_next(&w->net);

    for (uint32_t i = 0; i < MOVE_NODES; i++)
        next = MR_MIN(next, mr_endpoint_deadline(w->node[i].ep));
    return next < w->now + span_ns;
}

/* Transfer in steps.  Returns in how many of them the side was at rest; `early_out`: those of them
 * in which a timer would have fired soon all the same. */
static uint32_t rests(struct move_world *w, int side, uint32_t *early_out)
{
    struct mr_endpoint *ep = endpoint_of(w, side);
    uint32_t count = 0;

    *early_out = 0;
    while (goes_on(w, MR_SECOND) && move_world_step(w)) {
        const struct mr_conn *conn = mr_conn_of_handle(ep, w->app[side].conn);

        if (conn == NULL || !is_at_rest(conn))
            continue;
        count++;
        *early_out += mr_wheel_deadline(&ep->wheel, conn->number) < w->now + LONG_NS;
    }
    CU_ASSERT(move_world_is_done(w));
    return count;
}

/* Probe timeouts and delayed acknowledgements that are not due any more leave no timer behind,
 * which would find the connection in no cache, or wake it, for nothing. */
static void a_connection_at_rest_awaits_its_idle_timeout(void)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct move_config config = {.seed = seed,
                                     .role = seed % 2 == 0 ? MR_SERVER : MR_CLIENT,
                                     .streams = 3,
                                     .bytes = 3000,
                                     .limits = move_world_limits()};
        struct move_world *w = move_world_open(&config);
        uint32_t early;

        CU_ASSERT_FATAL(move_world_connect(w));
        move_world_run(w, MR_SECOND);
        w->config.streams += 5;
        move_world_settle(w);
        CU_ASSERT(rests(w, (int)(seed / 2 % 2), &early) > 0);
        CU_ASSERT_EQUAL(early, 0);
        move_world_finish(w);
        CU_ASSERT_EQUAL(move_world_close(w), 0);
    }
}

static CU_TestInfo tests[] = {
    {"a connection at rest awaits its idle timeout", a_connection_at_rest_awaits_its_idle_timeout},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/conn_timer", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
