/* Tests of dataplane/app_control.c: attaching and detaching while a shard runs, from another
 * thread. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "tests/support/app_side.h"
#include "tests/unit/harness.h"

static const uint8_t key[16] = {1, 2, 3};
static struct app_world w;

static void start(void)
{
    struct loop_config config = loop_config_default(1);
    struct mr_ring_sizes sizes = app_world_sizes(64, 8);

    app_world_start(&w, &config, &sizes, NULL, NULL);
}

static enum mr_app_ring_state state_of(const struct app_side *app)
{
    return mr_app_host_ring_state(app->host, (uint32_t)app->ring);
}

static void a_ring_goes_through_its_states(void)
{
    struct mr_ring_sizes sizes = app_world_sizes(64, 8);
    struct mr_cqe cqe;

    start();
    struct app_side *app = app_world_attach(&w, APP_SERVER, &sizes, NULL);
    CU_ASSERT_EQUAL(state_of(app), MR_APP_RING_ATTACHING);
    app_side_submit(app, &(struct mr_sqe){.op = MR_OP_NOP}); /* may be there before */
    app_world_step(&w, 1);
    CU_ASSERT_EQUAL(state_of(app), MR_APP_RING_ATTACHED);
    CU_ASSERT(app_side_next(app, &cqe));
    mr_app_host_detach(w.host[APP_SERVER], (uint32_t)app->ring);
    CU_ASSERT_EQUAL(state_of(app), MR_APP_RING_ATTACHED); /* the shard has not seen it */
    app_world_step(&w, 1);
    CU_ASSERT_EQUAL(state_of(app), MR_APP_RING_DRAINED);
    CU_ASSERT_EQUAL(app_side_peek(app).type, MR_CQE_GONE);
    app_side_free(app);
    CU_ASSERT_EQUAL(state_of(app), MR_APP_RING_FREE);
    mr_app_host_detach(w.host[APP_SERVER], (uint32_t)app->ring); /* no effect */
    app_world_stop(&w);
}

/* Its application may still do to the memory what a shard must not meet. */
static void no_shard_looks_at_a_ring_that_is_held(void)
{
    struct mr_ring_sizes sizes = app_world_sizes(64, 8);
    struct mr_app_ring_config held = {.is_held = true, .numa_node = -1};
    struct mr_cqe cqe;

    start();
    struct app_side *app = app_world_attach(&w, APP_SERVER, &sizes, &held);
    app_side_submit(app, &(struct mr_sqe){.op = MR_OP_NOP});
    app_world_step(&w, 3);
    CU_ASSERT_EQUAL(state_of(app), MR_APP_RING_ATTACHING);
    CU_ASSERT_FALSE(app_side_next(app, &cqe));
    mr_app_host_begin(w.host[APP_SERVER], (uint32_t)app->ring);
    app_world_step(&w, 1);
    CU_ASSERT_EQUAL(state_of(app), MR_APP_RING_ATTACHED);
    CU_ASSERT(app_side_next(app, &cqe));

    struct app_side *other = app_world_attach(&w, APP_SERVER, &sizes, &held);
    mr_app_host_detach(w.host[APP_SERVER], (uint32_t)other->ring);
    CU_ASSERT_EQUAL(state_of(other), MR_APP_RING_DRAINED); /* no shard knows it */
    app_world_step(&w, 1);
    CU_ASSERT_EQUAL(state_of(other), MR_APP_RING_DRAINED);
    app_side_free(other);
    app_world_stop(&w);
}

static void attached_and_detached_before_the_shard_looks(void)
{
    struct mr_ring_sizes sizes = app_world_sizes(64, 8);

    start();
    struct app_side *app = app_world_attach(&w, APP_SERVER, &sizes, NULL);
    mr_app_host_detach(w.host[APP_SERVER], (uint32_t)app->ring);
    app_world_step(&w, 1);
    CU_ASSERT_EQUAL(state_of(app), MR_APP_RING_DRAINED);
    app_world_stop(&w);
}

/* So many rings, and not more; numbers are used again. */
static void rings_have_a_number_of_their_own(void)
{
    struct mr_ring_sizes sizes = app_world_sizes(16, 1);
    struct mr_app_host_config config = app_world_host_config();
    struct mr_app_ring_config ring = {.objects_max = 1, .sends_max = 1, .timers_max = 1};
    static struct app_side apps[MR_APP_RINGS_MAX + 1];
    struct mr_app_host *host = mr_app_host_new(&config, key);

    for (int i = 0; i < MR_APP_RINGS_MAX; i++)
        CU_ASSERT_EQUAL(app_side_try_attach(&apps[i], host, &sizes, &ring), i);
    CU_ASSERT_EQUAL(app_side_try_attach(&apps[MR_APP_RINGS_MAX], host, &sizes, &ring), -ENOSPC);
    mr_app_host_application(host)->on_stop(host);
    app_side_free(&apps[5]);
    CU_ASSERT_EQUAL(app_side_try_attach(&apps[MR_APP_RINGS_MAX], host, &sizes, &ring), 5);
    for (int i = 0; i <= MR_APP_RINGS_MAX; i++)
        free(apps[i].memory);
    mr_app_host_free(host);
}

/* What one is promised no other can have. */
static void what_is_promised_is_not_promised_again(void)
{
    struct mr_ring_sizes sizes = app_world_sizes(16, 1);
    struct mr_app_host_config config = {.objects_max = 100, .sends_max = 200, .timers_max = 32};
    static struct app_side apps[2];
    const struct mr_app_ring_config too_much[] = {
        {.objects_max = 41, .sends_max = 1, .timers_max = 1},
        {.objects_max = 1, .sends_max = 101, .timers_max = 1},
        {.objects_max = 1, .sends_max = 1, .timers_max = 13}};
    struct mr_app_host *host = mr_app_host_new(&config, key);

    CU_ASSERT_EQUAL(app_side_try_attach(&apps[0], host, &sizes,
                                        &(struct mr_app_ring_config){
                                            .objects_max = 60, .sends_max = 100, .timers_max = 20}),
                    0);
    for (size_t i = 0; i < MR_COUNT_OF(too_much); i++)
        CU_ASSERT_EQUAL(app_side_try_attach(&apps[1], host, &sizes, &too_much[i]), -ENOSPC);
    CU_ASSERT_EQUAL(app_side_try_attach(&apps[1], host, &sizes,
                                        &(struct mr_app_ring_config){
                                            .objects_max = 40, .sends_max = 100, .timers_max = 12}),
                    1);
    mr_app_host_application(host)->on_stop(host);
    for (int i = 0; i < 2; i++)
        app_side_free(&apps[i]);
    mr_app_host_free(host);
}

/* The datapath ends: everybody is told. */
static void all_hear_of_the_end(void)
{
    struct mr_ring_sizes sizes = app_world_sizes(64, 8);

    start();
    app_world_connect(&w, &w.app[APP_CLIENT]);
    struct app_side *late = app_world_attach(&w, APP_SERVER, &sizes, NULL); /* not seen yet */
    loop_free(w.loop);
    for (int i = 0; i < 3; i++) {
        struct mr_cqe cqe;
        do
            cqe = app_side_peek(&w.app[i]);
        while (cqe.type != MR_CQE_GONE && !app_is_none(&cqe));
        CU_ASSERT_EQUAL(cqe.type, MR_CQE_GONE);
        CU_ASSERT_EQUAL(atomic_load(w.app[i].region.is_gone), 1);
        CU_ASSERT_EQUAL(state_of(&w.app[i]), MR_APP_RING_DRAINED);
        app_side_free(&w.app[i]);
    }
    (void)late;
    for (int i = 0; i < 2; i++)
        mr_app_host_free(w.host[i]);
}

/* ------------------------------------------------------------------ two threads */

static atomic_bool is_over;

static void *run_shard(void *argument)
{
    (void)argument;
    while (!atomic_load(&is_over))
        loop_step(w.loop);
    return NULL;
}

static void wait_for(const struct app_side *app, enum mr_app_ring_state state)
{
    while (state_of(app) != state)
        sched_yield();
}

/* Connect, look at the figures, go: without a step of the test's. */
static uint32_t live_once(struct app_side *app, const struct mr_ring_sizes *sizes)
{
    struct mr_app_ring_stats stats;
    struct mr_cqe cqe = {0};
    uint32_t connected = 0;

    app_side_attach(app, w.host[APP_CLIENT], sizes);
    app_side_connect(app, 0);
    while (connected == 0) {
        if (!app_side_next(app, &cqe)) {
            sched_yield();
            continue;
        }
        connected += cqe.type == MR_CQE_EVENT && (cqe.kinds & MR_EVENT_CONNECTED) != 0;
        mr_app_host_ring_stats(w.host[APP_CLIENT], (uint32_t)app->ring, &stats);
        CU_ASSERT(stats.conns <= 1);
    }
    mr_app_host_detach(w.host[APP_CLIENT], (uint32_t)app->ring);
    wait_for(app, MR_APP_RING_DRAINED);
    app_side_free(app);
    return connected;
}

static void rings_come_and_go_while_the_shard_runs(void)
{
    struct mr_ring_sizes sizes = app_world_sizes(16, 4);
    struct mr_handoff policy = app_world_policy();
    static struct app_side app;
    pthread_t thread;
    uint32_t lives = 0;

    start();
    atomic_store(&is_over, false);
    pthread_create(&thread, NULL, run_shard, NULL);
    for (uint32_t i = 0; i < 200; i++) {
        lives += live_once(&app, &sizes);
        policy.listener[0].death_code = i;
        int answer = mr_app_host_set_policy(w.host[APP_SERVER], &policy);
        CU_ASSERT(answer == 0 || answer == -EBUSY);
        while (app_side_peek(&w.app[APP_SERVER]).type <= MR_CQE_GONE)
            ;
    }
    atomic_store(&is_over, true);
    pthread_join(thread, NULL);
    CU_ASSERT_EQUAL(lives, 200);
    app_world_stop(&w);
}

static CU_TestInfo tests[] = {
    {"a ring goes through its states", a_ring_goes_through_its_states},
    {"no shard looks at a ring that is held", no_shard_looks_at_a_ring_that_is_held},
    {"attached and detached before the shard looks", attached_and_detached_before_the_shard_looks},
    {"rings have a number of their own", rings_have_a_number_of_their_own},
    {"what is promised is not promised again", what_is_promised_is_not_promised_again},
    {"all hear of the end", all_hear_of_the_end},
    {"rings come and go while the shard runs", rings_come_and_go_while_the_shard_runs},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "dataplane/app_control", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
