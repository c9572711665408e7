/* Tests of dataplane/app_accept.c: LISTEN, ACCEPT, and who gets a connection. */
#include <errno.h>

#include "tests/support/app_side.h"
#include "tests/unit/harness.h"

static struct app_world w;

/* A world whose server has `count` rings, of which none listens; objects of 8 each. */
static void start(const struct mr_handoff *policy, uint32_t count)
{
    struct loop_config config = loop_config_default(1);
    struct mr_ring_sizes sizes = app_world_sizes(64, 8);

    sizes.objects_max = 8;
    app_world_start(&w, &config, &sizes, NULL, policy);
    app_world_call(&w, &w.app[APP_SERVER],
                   (struct mr_sqe){.op = MR_OP_LISTEN, .value = MR_RING_EVERY});
    for (uint32_t i = 1; i < count; i++)
        app_world_attach(&w, APP_SERVER, &sizes, NULL);
}

static struct app_side *server(uint32_t index)
{
    return &w.app[1 + index];
}

static int32_t listen_at(struct app_side *app, uint64_t listener, bool is_on)
{
    return app_world_call(&w, app,
                          (struct mr_sqe){.op = MR_OP_LISTEN, .value = listener, .address = is_on})
        .result;
}

static void listen_all(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        CU_ASSERT_EQUAL(listen_at(server(i), MR_RING_EVERY, true), 0);
}

/* Connect to port, ALPN "x" or "y", name. */
static uint64_t connect_to(uint16_t port, const char *alpn, const char *server_name)
{
    struct mr_ring_connect wish = {.port = port, .alpn_size = 2, .alpn = {1, (uint8_t)alpn[0]}};

    snprintf(wish.server_name, sizeof(wish.server_name), "%s", server_name);
    return app_world_connect_to(&w, &w.app[APP_CLIENT], &wish);
}

static bool is_connected(const struct mr_cqe *cqe)
{
    return cqe->type == MR_CQE_EVENT && (cqe->kinds & MR_EVENT_CONNECTED) != 0;
}

/* Connections that a server ring was told of since the last time. */
static uint32_t count_connected(struct app_side *app, uint64_t *listener_out)
{
    struct mr_cqe cqe;
    uint32_t count = 0;

    while (app_side_next(app, &cqe))
        if (is_connected(&cqe)) {
            count++;
            if (listener_out != NULL)
                *listener_out = cqe.value;
        }
    return count;
}

static void connect_some(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        connect_to(443, "x", "a.test");
    app_world_step(&w, 20);
}

/* ------------------------------------------------------------------ ACCEPT */

static void submit_accept(struct app_side *app, uint64_t listener, uint64_t user_data)
{
    app_side_submit(
        app, &(struct mr_sqe){.op = MR_OP_ACCEPT, .value = listener, .user_data = user_data});
}

/* Both wait; each connection goes to exactly one of them, the one that asked first. */
static void one_connection_two_acceptors(void)
{
    struct mr_handoff policy = app_world_policy();
    struct mr_cqe got[2];

    policy.listener[0].policy = MR_HANDOFF_ACCEPT;
    start(&policy, 2);
    for (uint32_t first = 0; first < 2; first++) {
        submit_accept(server(first), 0, 100);
        app_world_step(&w, 1);
        submit_accept(server(1 - first), 0, 200);
        app_world_step(&w, 20);
        CU_ASSERT(app_is_none(&(struct mr_cqe){.type = app_side_peek(server(0)).type}));

        connect_some(1);
        got[0] = app_side_peek(server(first));
        got[1] = app_side_peek(server(1 - first));
        CU_ASSERT_EQUAL(got[0].type, MR_CQE_DONE);
        CU_ASSERT_EQUAL(got[0].op, MR_OP_ACCEPT);
        CU_ASSERT_EQUAL(got[0].result, 0);
        CU_ASSERT_EQUAL(got[0].user_data, 100);
        CU_ASSERT(app_is_none(&got[1]));
        struct mr_cqe event = app_side_peek(server(first));
        CU_ASSERT(is_connected(&event));
        CU_ASSERT_EQUAL(event.conn, got[0].conn);
        CU_ASSERT_EQUAL(event.user_data, 100);

        connect_some(1); /* the other one's turn */
        CU_ASSERT(app_is_none(&(struct mr_cqe){.type = app_side_peek(server(first)).type}));
        got[1] = app_side_peek(server(1 - first));
        CU_ASSERT_EQUAL(got[1].op, MR_OP_ACCEPT);
        CU_ASSERT_EQUAL(got[1].user_data, 200);
        while (!app_is_none(&(struct mr_cqe){.type = app_side_peek(server(1 - first)).type}))
            ;
    }
    app_world_stop(&w);
}

static void nobody_waits_and_the_connection_is_refused(void)
{
    struct mr_handoff policy = app_world_policy();

    policy.listener[0].policy = MR_HANDOFF_ACCEPT;
    start(&policy, 1);
    listen_all(1); /* that is not enough */
    connect_some(1);
    struct mr_cqe cqe = app_world_event(&w, &w.app[APP_CLIENT], MR_EVENT_CLOSED);
    CU_ASSERT_EQUAL(cqe.value, 71);
    CU_ASSERT_EQUAL(mr_app_host_stats(w.host[APP_SERVER])->conns_refused, 1);
    app_world_stop(&w);
}

static void who_drains_takes_no_new_connection(void)
{
    struct mr_handoff policy = app_world_policy();

    start(&policy, 1);
    listen_all(1);
    connect_some(1);
    (void)app_world_event(&w, &w.app[APP_CLIENT], MR_EVENT_CONNECTED);
    (void)app_world_event(&w, server(0), MR_EVENT_CONNECTED);
    loop_go_away(w.loop, APP_SERVER);
    app_world_step(&w, 1);
    connect_some(1);
    struct mr_cqe cqe = app_world_event(&w, &w.app[APP_CLIENT], MR_EVENT_CLOSED);
    CU_ASSERT_EQUAL(cqe.value, 71);
    CU_ASSERT_EQUAL(mr_app_host_stats(w.host[APP_SERVER])->conns_refused, 1);
    CU_ASSERT_EQUAL(mr_app_host_stats(w.host[APP_SERVER])->conns_accepted, 1);
    app_world_stop(&w);
}

static void accepts_of_one_ring_come_in_order_and_have_a_limit(void)
{
    struct mr_handoff policy = app_world_policy();
    struct mr_cqe cqe;

    start(&policy, 1);
    for (uint64_t i = 0; i < MR_APP_ACCEPTS_MAX + 2; i++) {
        submit_accept(server(0), 0, i);
        app_world_step(&w, 1);
    }
    for (uint64_t i = 0; i < 2; i++) {
        cqe = app_side_peek(server(0));
        CU_ASSERT_EQUAL(cqe.result, -ENOBUFS);
        CU_ASSERT_EQUAL(cqe.user_data, MR_APP_ACCEPTS_MAX + i);
    }
    for (uint64_t i = 0; i < 3; i++) {
        connect_some(1);
        cqe = app_world_answer(&w, server(0), MR_OP_ACCEPT);
        CU_ASSERT_EQUAL(cqe.user_data, i);
        CU_ASSERT_EQUAL(cqe.value, 0);
    }
    app_world_stop(&w);
}

/* Who waits is served before who listens; who cannot take one is passed over, and keeps waiting. */
static void who_waits_is_served_first(void)
{
    struct mr_handoff policy = app_world_policy();

    policy.listener[0].conns_max = 1;
    start(&policy, 2);
    listen_all(1);
    submit_accept(server(1), 0, 5);
    submit_accept(server(1), 0, 6);
    connect_some(1);
    CU_ASSERT_EQUAL(count_connected(server(0), NULL), 0);
    CU_ASSERT_EQUAL(count_connected(server(1), NULL), 1);
    connect_some(1); /* 1 has its one */
    CU_ASSERT_EQUAL(count_connected(server(0), NULL), 1);
    CU_ASSERT_EQUAL(count_connected(server(1), NULL), 0);
    app_world_stop(&w);
}

/* ------------------------------------------------------------------ LISTEN */

static struct mr_handoff three_listeners(void)
{
    struct mr_handoff policy = {
        .listener_count = 3,
        .listener = {{.port = 443, .alpn = "x", .server_name = "a.test", .refuse_code = 80},
                     {.port = 443, .alpn = "y", .refuse_code = 81},
                     {.port = 444, .refuse_code = 82}}};

    return policy;
}

static void a_connection_says_its_listener(void)
{
    struct mr_handoff policy = three_listeners();
    uint64_t listener = 99;

    start(&policy, 1);
    listen_all(1);
    connect_to(443, "x", "A.TEST");
    CU_ASSERT_EQUAL(count_connected(server(0), &listener), 1);
    CU_ASSERT_EQUAL(listener, 0);
    connect_to(443, "y", "any");
    CU_ASSERT_EQUAL(count_connected(server(0), &listener), 1);
    CU_ASSERT_EQUAL(listener, 1);
    connect_to(444, "x", "a.test");
    CU_ASSERT_EQUAL(count_connected(server(0), &listener), 1);
    CU_ASSERT_EQUAL(listener, 2);
    connect_to(445, "x", "a.test"); /* nobody's: the host's code */
    CU_ASSERT_EQUAL(count_connected(server(0), &listener), 0);
    CU_ASSERT_EQUAL(app_world_event(&w, &w.app[APP_CLIENT], MR_EVENT_CLOSED).value, 70);
    app_world_stop(&w);
}

static void who_listens_for_one_gets_only_its_connections(void)
{
    struct mr_handoff policy = three_listeners();

    start(&policy, 2);
    CU_ASSERT_EQUAL(listen_at(server(0), 0, true), 0);
    CU_ASSERT_EQUAL(listen_at(server(1), 1, true), 0);
    connect_to(443, "y", "any");
    connect_to(443, "y", "any");
    connect_to(443, "x", "a.test");
    CU_ASSERT_EQUAL(count_connected(server(0), NULL), 1);
    CU_ASSERT_EQUAL(count_connected(server(1), NULL), 2);
    connect_to(444, "x", "a.test"); /* nobody listens there */
    CU_ASSERT_EQUAL(app_world_event(&w, &w.app[APP_CLIENT], MR_EVENT_CLOSED).value, 82);
    CU_ASSERT_EQUAL(listen_at(server(1), 1, false), 0);
    connect_to(443, "y", "any");
    CU_ASSERT_EQUAL(app_world_event(&w, &w.app[APP_CLIENT], MR_EVENT_CLOSED).value, 81);
    CU_ASSERT_EQUAL(count_connected(server(1), NULL), 0);
    app_world_stop(&w);
}

/* A ring may serve what its attachment says. */
static void anothers_listener_is_not_found(void)
{
    struct mr_handoff policy = three_listeners();
    struct mr_ring_sizes sizes = app_world_sizes(64, 8);

    start(&policy, 1);
    struct app_side *app = app_world_attach(
        &w, APP_SERVER, &sizes, &(struct mr_app_ring_config){.listeners = 2, .numa_node = -1});
    CU_ASSERT_EQUAL(listen_at(app, 0, true), -ENOENT);
    CU_ASSERT_EQUAL(listen_at(app, 64, true), -ENOENT);
    CU_ASSERT_EQUAL(listen_at(app, UINT64_MAX - 1, true), -ENOENT);
    CU_ASSERT_EQUAL(app_world_call(&w, app, (struct mr_sqe){.op = MR_OP_ACCEPT, .value = 0}).result,
                    -ENOENT);
    CU_ASSERT_EQUAL(
        app_world_call(&w, app, (struct mr_sqe){.op = MR_OP_ACCEPT, .value = 1000}).result,
        -ENOENT);
    CU_ASSERT_EQUAL(listen_at(app, MR_RING_EVERY, true), 0);
    connect_to(443, "x", "a.test");
    connect_to(443, "y", "a.test");
    uint64_t listener = 0;
    CU_ASSERT_EQUAL(count_connected(app, &listener), 1);
    CU_ASSERT_EQUAL(listener, 1);
    app_world_stop(&w);
}

/* ------------------------------------------------------------------ policies */

static void round_robin_goes_round(void)
{
    struct mr_handoff policy = app_world_policy();

    start(&policy, 3);
    listen_all(3);
    connect_some(6);
    for (uint32_t i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(count_connected(server(i), NULL), 2);
    app_world_stop(&w);
}

static void least_loaded_evens_out(void)
{
    struct mr_handoff policy = app_world_policy();

    policy.listener[0].policy = MR_HANDOFF_LEAST_LOADED;
    start(&policy, 2);
    CU_ASSERT_EQUAL(listen_at(server(1), 0, true), 0);
    connect_some(2);
    CU_ASSERT_EQUAL(count_connected(server(1), NULL), 2);
    CU_ASSERT_EQUAL(listen_at(server(0), 0, true), 0);
    connect_some(2);
    CU_ASSERT_EQUAL(count_connected(server(0), NULL), 2);
    CU_ASSERT_EQUAL(count_connected(server(1), NULL), 0);
    connect_some(2);
    CU_ASSERT_EQUAL(count_connected(server(0), NULL), 1);
    CU_ASSERT_EQUAL(count_connected(server(1), NULL), 1);
    app_world_stop(&w);
}

static void the_same_node_comes_first(void)
{
    struct mr_handoff policy = app_world_policy();
    struct mr_app_host_config host = app_world_host_config();
    struct mr_ring_sizes sizes = app_world_sizes(64, 8);
    struct loop_config config = loop_config_default(1);

    host.numa_node = 1;
    policy.listener[0].prefers_node = true;
    policy.listener[0].conns_max = 2;
    app_world_start(&w, &config, &sizes, &host, &policy); /* its ring's node is unknown */
    for (int node = 0; node < 2; node++)
        app_world_attach(&w, APP_SERVER, &sizes,
                         &(struct mr_app_ring_config){.listeners = 1, .numa_node = node});
    listen_all(3);
    connect_some(2);
    CU_ASSERT_EQUAL(count_connected(server(2), NULL), 2);
    connect_some(4); /* the near one is full */
    CU_ASSERT_EQUAL(count_connected(server(0), NULL), 2);
    CU_ASSERT_EQUAL(count_connected(server(1), NULL), 2);
    CU_ASSERT_EQUAL(count_connected(server(2), NULL), 0);
    connect_some(1);
    CU_ASSERT_EQUAL(app_world_event(&w, &w.app[APP_CLIENT], MR_EVENT_CLOSED).value, 71);
    app_world_stop(&w);
}

/* A new table is what counts from the next iteration on. */
static void a_policy_is_replaced(void)
{
    struct mr_handoff policy = app_world_policy();

    start(&policy, 1);
    listen_all(1);
    connect_some(1);
    CU_ASSERT_EQUAL(count_connected(server(0), NULL), 1);
    policy.listener[0].port = 9;
    CU_ASSERT_EQUAL(mr_app_host_set_policy(w.host[APP_SERVER], &policy), 0);
    CU_ASSERT_EQUAL(mr_app_host_set_policy(w.host[APP_SERVER], &policy), -EBUSY);
    app_world_step(&w, 1);
    connect_some(1);
    CU_ASSERT_EQUAL(count_connected(server(0), NULL), 0);
    CU_ASSERT_EQUAL(mr_app_host_set_policy(w.host[APP_SERVER], &policy), 0);
    app_world_stop(&w);
}

/* A ring that has all its objects gets nothing more. */
static void a_full_ring_is_passed_over(void)
{
    struct mr_handoff policy = app_world_policy();
    struct mr_ring_sizes sizes = app_world_sizes(64, 8);
    struct mr_app_ring_stats stats;

    start(&policy, 1);
    struct app_side *app = app_world_attach(
        &w, APP_SERVER, &sizes,
        &(struct mr_app_ring_config){.listeners = 1, .objects_max = 3, .numa_node = -1});
    listen_at(app, 0, true);
    connect_some(3);
    CU_ASSERT_EQUAL(count_connected(app, NULL), 3);
    mr_app_host_ring_stats(w.host[APP_SERVER], (uint32_t)app->ring, &stats);
    CU_ASSERT_EQUAL(stats.conns, 3);
    CU_ASSERT_EQUAL(stats.objects, 3);
    submit_accept(app, 0, 1); /* asking for it changes nothing */
    connect_some(1);
    CU_ASSERT_EQUAL(app_world_event(&w, &w.app[APP_CLIENT], MR_EVENT_CLOSED).value, 71);
    listen_all(1);
    connect_some(2);
    CU_ASSERT_EQUAL(count_connected(server(0), NULL), 2);
    CU_ASSERT_EQUAL(count_connected(app, NULL), 0);
    app_world_stop(&w);
}

static CU_TestInfo tests[] = {
    {"T8 one connection, two acceptors: exactly one gets it", one_connection_two_acceptors},
    {"nobody waits, and the connection is refused", nobody_waits_and_the_connection_is_refused},
    {"who drains takes no new connection", who_drains_takes_no_new_connection},
    {"ACCEPTs of one ring come in order and have a limit",
     accepts_of_one_ring_come_in_order_and_have_a_limit},
    {"who waits is served first", who_waits_is_served_first},
    {"a connection says its listener", a_connection_says_its_listener},
    {"who listens for one gets only its connections",
     who_listens_for_one_gets_only_its_connections},
    {"another's listener is not found", anothers_listener_is_not_found},
    {"round robin goes round", round_robin_goes_round},
    {"least loaded evens out", least_loaded_evens_out},
    {"the same node comes first", the_same_node_comes_first},
    {"a policy is replaced", a_policy_is_replaced},
    {"a full ring is passed over", a_full_ring_is_passed_over},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "dataplane/app_accept", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
