/* HTTP/3 at both ends of rings: http3/ knows nothing of them, it is the same code as on an lcore.
 */
#include <stdlib.h>

#include "app/transport_ring.h"
#include "tests/support/h3_pair.h"
#include "tests/support/ring_world.h"
#include "tests/unit/harness.h"

static struct ring_world *world;
static struct h3_pair *pair;
static struct mr_attachment *ends[2];
static struct mr_ring_transport *transports[2];

static void start(const struct ring_world_config *config, uint32_t rings)
{
    struct mr_ring_transport_config limits = mr_ring_transport_config_default();
    struct mr_h3_server_config server = h3_pair_server_config(pair);

    h3_pair_make(pair, &server);
    world = ring_world_new(config);
    for (unsigned i = 0; i < 2; i++) {
        ends[i] = ring_world_attach(world, i, rings);
        limits.listens = i == RING_WORLD_SERVER;
        transports[i] =
            mr_ring_transport_new(ends[i], &limits,
                                  i == RING_WORLD_SERVER ? mr_h3_server_application(pair->server)
                                                         : mr_h3_client_application(pair->client));
        CU_ASSERT_PTR_NOT_NULL_FATAL(transports[i]);
    }
    pair->conn = h3_pair_connect(pair);
}

/* Without a thread both are polled in turn; with one, each after it slept. */
static void step(bool has_thread)
{
    uint32_t work = has_thread || ring_world_step(world);

    for (int i = 0; i < 2; i++)
        work += mr_ring_transport_poll(transports[i]);
    if (has_thread && work <= 1)
        (void)mr_attach_wait(ends[0], 100000);
}

static uint32_t undone(void)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < pair->fetch_count; i++)
        count += !pair->fetch[i].is_done;
    return count;
}

static void finish(void)
{
    for (int i = 0; i < 2; i++) {
        mr_ring_transport_check(transports[i]);
        mr_ring_transport_free(transports[i]);
        mr_detach(ends[i]);
    }
    ring_world_free(world);
    h3_pair_free(pair);
}

static struct h3_fetch *begin(const char *path)
{
    struct h3_fetch *fetch = h3_pair_begin(pair, &(struct mr_h3_request_options){.path = path});

    fetch->keeps_body = false;
    fetch->checks_pattern = true;
    return fetch;
}

static void fetch_files(const struct ring_world_config *config, uint32_t rings)
{
    static const struct {
        const char *path; /* it must last: a request borrows it */
        uint64_t size;
    } files[] = {
        {"/empty", 0}, {"/small", 10}, {"/page", 5000}, {"/picture", 300000}, {"/film", 2 << 20}};
    uint32_t i;

    pair = h3_pair_new();
    for (i = 0; i < MR_COUNT_OF(files); i++)
        h3_pair_write_pattern(pair, files[i].path + 1, files[i].size);
    start(config, rings);
    for (int round = 0; round < 4; round++)
        for (i = 0; i < MR_COUNT_OF(files); i++)
            begin(files[i].path);
    begin("/nothing");
    for (i = 0; i < 2000000 && undone() > 0; i++)
        step(config->has_thread);
    CU_ASSERT_EQUAL(undone(), 0);
    for (i = 0; i < pair->fetch_count - 1; i++) {
        const struct h3_fetch *fetch = &pair->fetch[i];

        CU_ASSERT_EQUAL(fetch->result.outcome, MR_H3_DONE);
        CU_ASSERT_EQUAL(fetch->response.status, 200);
        CU_ASSERT_EQUAL(fetch->body_size, files[i % MR_COUNT_OF(files)].size);
        CU_ASSERT(!fetch->is_wrong);
    }
    CU_ASSERT_EQUAL(pair->fetch[i].response.status, 404);
    finish();
}

static void files_are_served_from_process_to_process(void)
{
    struct ring_world_config config = ring_world_config_default(1);

    fetch_files(&config, 1);
}

static void files_are_served_over_tiny_rings(void)
{
    struct ring_world_config config = ring_world_config_default(2);

    config.sizes.submit_count = config.sizes.complete_count = 16;
    config.sizes.slot_size = 512;
    config.sizes.slot_count = 32;
    config.sizes.send_bytes = 32768;
    config.sizes.sends_max = 8;
    config.sizes.alias_count = 64;
    fetch_files(&config, 2);
}

static void files_are_served_by_reference(void)
{
    struct ring_world_config config = ring_world_config_default(3);

    config.sizes.flags = MR_RING_BY_REFERENCE;
    fetch_files(&config, 1);
}

static void files_are_served_while_the_datapath_runs_by_itself(void)
{
    struct ring_world_config config = ring_world_config_default(4);

    config.has_thread = true;
    fetch_files(&config, 2);
}

static CU_TestInfo tests[] = {
    {"B13 G21 files are served over rings", files_are_served_from_process_to_process},
    {"files are served over tiny rings", files_are_served_over_tiny_rings},
    {"files are served by reference", files_are_served_by_reference},
    {"files are served while the datapath runs by itself",
     files_are_served_while_the_datapath_runs_by_itself},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/transport_http3", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
