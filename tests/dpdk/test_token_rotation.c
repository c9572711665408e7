/* tests/dpdk/test_token_rotation.c - new keys of address tokens in running shards: every step, as
 * the control thread sees it.  What tokens then mean is in tests/unit/test_token.c. */
#include "control/token_rotation.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "drivers/wire.h"
#include "tests/dpdk/dpdk_harness.h"
#include "tests/dpdk/nobody.h"

#define INTERVAL (UINT64_C(3600) * MR_SECOND)

static struct mr_group group;
static struct mr_port *other_end;

/* Two shards on one end of a wire, running. */
static int start(void)
{
    static const uint8_t static_key[32];
    static struct mr_application applications[2];
    struct mr_wire_config wire = {.side = {{.queue_count = 2}, {.queue_count = 1}}};
    struct mr_port *ends[MR_WIRE_ENDS];
    struct mr_fault fault = {0};
    struct mr_group_config config = {
        .name = "tokens",
        .shard_count = 2,
        .shard = {.payload_max = 1452,
                  .net = mr_net_config_default(),
                  .limits = mr_limits_for(4),
                  .local_port = 4433,
                  .polling = MR_POLLING_ADAPTIVE,
                  .keylog_fd = -1,
                  .endpoint = {.static_key = static_key,
                               .payload_max = 1452,
                               .idle_timeout_ns = MR_SECOND,
                               .stream_window_max = 65536,
                               .conn_window_max = 65536,
                               .streams_bidi_max = 1,
                               .streams_uni_max = 1}},
        .applications = applications,
    };

    for (int i = 0; i < 2; i++)
        applications[i] = nobody;
    mr_prefix_parse("198.18.0.1/15", &config.shard.net.self.address[0]);
    config.shard.net.self.address_count = 1;
    config.shard.net.path_count = 64;
    if (dpdk_start() != 0 || !mr_wire_open(&wire, ends, &fault)) {
        fprintf(stderr, "%s\n", fault.text);
        return 1;
    }
    other_end = ends[1];
    config.port = ends[0];
    if (!mr_group_make(&group, &config, &fault)) {
        fprintf(stderr, "%s\n", fault.text);
        return 1;
    }
    mr_group_launch(&group);
    return 0;
}

/* Poll until the step is another one. */
static void leave_step(struct mr_token_rotation *r, uint64_t now)
{
    enum mr_token_step step = r->step;
    struct mr_fault fault = {0};

    for (int i = 0; i < 5000 && r->step == step; i++) {
        CU_ASSERT(mr_token_rotation_poll(r, &fault, now));
        usleep(1000);
    }
    CU_ASSERT_NOT_EQUAL(r->step, step);
}

static void keys_go_round_in_running_shards(void)
{
    static struct mr_token_rotation rotation;
    struct mr_fault fault = {0};
    uint64_t now = 1000;

    mr_token_rotation_init(&rotation, &group, INTERVAL, now);
    CU_ASSERT(mr_token_rotation_poll(&rotation, &fault, now + INTERVAL - 1));
    CU_ASSERT_EQUAL(rotation.step, MR_TOKENS_WAITING);
    for (uint32_t round = 1; round <= 6; round++) {
        now += INTERVAL;
        CU_ASSERT(mr_token_rotation_poll(&rotation, &fault, now));
        CU_ASSERT_EQUAL(rotation.step, MR_TOKENS_ADDING);
        leave_step(&rotation, now);
        CU_ASSERT_EQUAL(rotation.step, MR_TOKENS_WRITING);
        leave_step(&rotation, now);
        CU_ASSERT_EQUAL(rotation.step, MR_TOKENS_WAITING);
        CU_ASSERT_EQUAL(rotation.number, round % MR_TOKEN_KEYS);
        CU_ASSERT(mr_token_rotation_poll(&rotation, &fault, now + INTERVAL - 1));
        CU_ASSERT_EQUAL(rotation.step, MR_TOKENS_WAITING);
    }
    mr_token_rotation_wipe(&rotation);
}

static void without_an_interval_nothing_changes(void)
{
    static struct mr_token_rotation rotation;
    struct mr_fault fault = {0};

    mr_token_rotation_init(&rotation, &group, 0, 0);
    CU_ASSERT(mr_token_rotation_poll(&rotation, &fault, UINT64_MAX));
    CU_ASSERT_EQUAL(rotation.step, MR_TOKENS_WAITING);
    mr_token_rotation_wipe(&rotation);
}

/* Last. */
static void an_order_in_flight_is_let_go_of(void)
{
    static struct mr_token_rotation rotation;
    struct mr_fault fault = {0};
    uint32_t leaked = 0;

    mr_token_rotation_init(&rotation, &group, INTERVAL, 0);
    mr_group_stop(&group, 0);
    mr_group_join(&group);
    CU_ASSERT(mr_token_rotation_poll(&rotation, &fault, INTERVAL));
    CU_ASSERT(mr_token_rotation_poll(&rotation, &fault, INTERVAL));
    CU_ASSERT_EQUAL(rotation.step, MR_TOKENS_ADDING); /* nobody is there to take it */
    mr_token_rotation_wipe(&rotation);
    mr_group_close(&group);
    mr_port_close(other_end);
    mr_group_free(&group, &leaked);
    CU_ASSERT_EQUAL(leaked, 0);
    mr_eal_stop();
}

static CU_TestInfo tests[] = {
    {"keys go round in running shards", keys_go_round_in_running_shards},
    {"without an interval nothing changes", without_an_interval_nothing_changes},
    {"an order in flight is let go of", an_order_in_flight_is_let_go_of},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "control/token_rotation", .pTests = tests, .pInitFunc = start},
    CU_SUITE_INFO_NULL,
};
