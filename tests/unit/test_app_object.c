/* Tests of dataplane/app_submit.c and app_object.c: names, words, limits, what a connection says.
 */
#include <errno.h>

#include "millrace/ring.h"
#include "millrace/transport.h"
#include "tests/support/app_side.h"
#include "tests/unit/harness.h"

static struct app_world w;
static struct app_side *client;
static struct app_side *server;

static void start_with(const struct loop_config *config)
{
    struct mr_ring_sizes sizes = app_world_sizes(256, 16);

    app_world_start(&w, config, &sizes, NULL, NULL);
    client = &w.app[APP_CLIENT];
    server = &w.app[APP_SERVER];
}

static struct loop_config plain(void)
{
    struct loop_config config = loop_config_default(1);

    config.close_order = LOOP_STREAMS_FIRST;
    return config;
}

static void start(void)
{
    struct loop_config config = plain();

    start_with(&config);
}

static int32_t result_of(struct app_side *app, struct mr_sqe sqe)
{
    return app_world_call(&w, app, sqe).result;
}

/* CONNECT with an alias, n + 1; 0: none. */
static struct mr_sqe connect_as(uint32_t alias)
{
    static const struct mr_ring_connect wish = {
        .port = 443, .alpn_size = 5, .alpn = "\004echo", .server_name = "localhost"};

    memcpy(app_side_bytes(client, 0), &wish, sizeof(wish));
    return (struct mr_sqe){.op = MR_OP_CONNECT,
                           .alias = alias,
                           .address = app_side_address(client, 0),
                           .size = sizeof(wish)};
}

/* ------------------------------------------------------------------ completions */

/* Every operation is handed over in one go, before the shard looks at any: that is the call.  Each
 * completes by itself, later. */
static void every_call_returns_and_completes_later(void)
{
    start();
    uint64_t conn = app_world_connect(&w, client);
    uint64_t stream = app_world_open(&w, client, conn);
    struct mr_sqe accept = {.op = MR_OP_ACCEPT, .user_data = 10};
    struct mr_sqe calls[] = {
        {.op = MR_OP_OPEN, .handle = conn, .user_data = 1},
        {.op = MR_OP_SEND,
         .handle = stream,
         .address = app_side_address(client, 0),
         .size = 4,
         .user_data = 2},
        {.op = MR_OP_TIMER, .value = 5 * LOOP_STEP_NS, .user_data = 3},
        {.op = MR_OP_CONNECT,
         .address = app_side_address(client, 0),
         .size = sizeof(struct mr_ring_connect),
         .user_data = 4},
        {.op = MR_OP_CLOSE, .handle = conn, .user_data = 5},
    };

    app_side_submit(server, &accept);
    for (size_t i = 0; i < MR_COUNT_OF(calls); i++)
        app_side_submit(client, &calls[i]);
    CU_ASSERT(app_is_none(&(struct mr_cqe){.type = app_side_peek(client).type}));
    for (size_t i = 0; i < MR_COUNT_OF(calls); i++) {
        struct mr_cqe cqe = app_world_answer(&w, client, calls[i].op);
        CU_ASSERT_EQUAL(cqe.user_data, i + 1);
        CU_ASSERT_EQUAL(cqe.result, calls[i].op == MR_OP_SEND ? -ECANCELED : 0); /* by CLOSE */
    }
    struct mr_cqe cqe = app_world_answer(&w, server, MR_OP_ACCEPT);
    CU_ASSERT_EQUAL(cqe.user_data, 10);
    CU_ASSERT_EQUAL(cqe.result, 0);
    app_world_stop(&w);
}

/* Words of all kinds come back untouched, and stay an object's until it gets another. */
static void user_data_comes_back(void)
{
    static const uint64_t words[] = {0, 1, UINT64_MAX, UINT64_C(0x8000000000000001)};

    start();
    for (size_t i = 0; i < MR_COUNT_OF(words); i++) {
        app_side_submit(client, &(struct mr_sqe){.op = MR_OP_NOP, .user_data = words[i]});
        CU_ASSERT_EQUAL(app_world_answer(&w, client, MR_OP_NOP).user_data, words[i]);
    }
    struct mr_sqe sqe = connect_as(0);
    sqe.user_data = 77;
    app_side_submit(client, &sqe);
    struct mr_cqe cqe = app_world_event(&w, client, MR_EVENT_CONNECTED);
    CU_ASSERT_EQUAL(cqe.user_data, 77);
    uint64_t stream = app_world_open(&w, client, cqe.conn);
    CU_ASSERT_EQUAL(
        result_of(client, (struct mr_sqe){.op = MR_OP_USERDATA, .handle = cqe.conn, .value = 78}),
        0);
    CU_ASSERT_EQUAL(
        result_of(client, (struct mr_sqe){.op = MR_OP_USERDATA, .handle = stream, .value = 79}), 0);
    CU_ASSERT_EQUAL(result_of(client, (struct mr_sqe){.op = MR_OP_USERDATA, .handle = 5}), -ESTALE);
    app_side_submit(client, &(struct mr_sqe){.op = MR_OP_CLOSE, .handle = cqe.conn});
    CU_ASSERT_EQUAL(app_world_event(&w, client, MR_EVENT_CLOSED).user_data, 79);
    CU_ASSERT_EQUAL(app_world_event(&w, client, MR_EVENT_CLOSED).user_data, 78);
    app_world_stop(&w);
}

/* ------------------------------------------------------------------ aliases */

/* A whole exchange in one go: connect, open, send, under names of the application's. */
static void an_alias_can_be_used_at_once(void)
{
    start();
    struct mr_sqe sqe = connect_as(4);
    app_side_submit(client, &sqe);
    app_world_step(&w, 1); /* connected with the next */
    app_side_submit(client,
                    &(struct mr_sqe){.op = MR_OP_OPEN, .handle = MR_RING_ALIAS | 3, .alias = 64});
    app_side_send(client, MR_RING_ALIAS | 63, 8192, 300, MR_SQE_FIN, 0);
    app_side_submit(client, &(struct mr_sqe){.op = MR_OP_STOP, .handle = MR_RING_ALIAS | 63});
    struct mr_cqe open = app_world_answer(&w, client, MR_OP_OPEN);
    CU_ASSERT_EQUAL(open.result, 0);
    CU_ASSERT_EQUAL(open.stream & MR_RING_ALIAS, 0);
    struct mr_cqe cqe = app_world_answer(&w, client, MR_OP_SEND);
    CU_ASSERT_EQUAL(cqe.result, 0);
    CU_ASSERT_EQUAL(cqe.stream, open.stream); /* the same object under both names */
    CU_ASSERT_EQUAL(app_world_answer(&w, client, MR_OP_STOP).result, 0);
    app_world_stop(&w);
}

static void an_alias_names_one_thing_at_a_time(void)
{
    start();
    CU_ASSERT_EQUAL(result_of(client, (struct mr_sqe){.op = MR_OP_CLOSE, .handle = MR_RING_ALIAS}),
                    -ESTALE);
    CU_ASSERT_EQUAL(result_of(client, connect_as(1)), 0);
    CU_ASSERT_EQUAL(result_of(client, connect_as(1)), -EEXIST);
    CU_ASSERT_EQUAL(result_of(client, connect_as(65)), -EINVAL);
    CU_ASSERT_EQUAL(result_of(client, connect_as(UINT32_MAX)), -EINVAL);
    app_world_event(&w, client, MR_EVENT_CONNECTED);
    CU_ASSERT_EQUAL(
        result_of(client, (struct mr_sqe){.op = MR_OP_OPEN, .handle = MR_RING_ALIAS, .alias = 1}),
        -EEXIST);
    CU_ASSERT_EQUAL(result_of(client, (struct mr_sqe){.op = MR_OP_SEND, .handle = MR_RING_ALIAS}),
                    -ESTALE); /* no stream */
    CU_ASSERT_EQUAL(
        result_of(client, (struct mr_sqe){.op = MR_OP_CLOSE, .handle = MR_RING_ALIAS | 64}),
        -ESTALE);
    CU_ASSERT_EQUAL(result_of(client, (struct mr_sqe){.op = MR_OP_CLOSE, .handle = UINT64_MAX}),
                    -ESTALE);
    CU_ASSERT_EQUAL(result_of(server, (struct mr_sqe){.op = MR_OP_CLOSE, .handle = MR_RING_ALIAS}),
                    -ESTALE); /* another ring's aliases are others */
    CU_ASSERT_EQUAL(result_of(client, (struct mr_sqe){.op = MR_OP_CLOSE, .handle = MR_RING_ALIAS}),
                    0);
    app_world_event(&w, client, MR_EVENT_CLOSED);
    CU_ASSERT_EQUAL(result_of(client, (struct mr_sqe){.op = MR_OP_CLOSE, .handle = MR_RING_ALIAS}),
                    -ESTALE); /* free again */
    CU_ASSERT_EQUAL(result_of(client, connect_as(1)), 0);
    app_world_stop(&w);
}

/* The failure of the making leaves it free. */
static void an_alias_of_nothing_is_free(void)
{
    start();
    uint64_t conn = app_world_connect(&w, client);
    struct mr_sqe open = {.op = MR_OP_OPEN, .handle = conn + (UINT64_C(2) << 32), .alias = 9};
    CU_ASSERT_EQUAL(result_of(client, open), -ESTALE);
    CU_ASSERT_EQUAL(
        result_of(client, (struct mr_sqe){.op = MR_OP_RESET, .handle = MR_RING_ALIAS | 8}),
        -ESTALE);
    open.handle = conn;
    CU_ASSERT_EQUAL(result_of(client, open), 0);
    CU_ASSERT_EQUAL(
        result_of(client, (struct mr_sqe){.op = MR_OP_RESET, .handle = MR_RING_ALIAS | 8}), 0);
    app_world_stop(&w);
}

/* ------------------------------------------------------------------ limits */

/* Others, and connections that come, have their room all the same. */
static void who_has_opened_its_connections_opens_no_more(void)
{
    struct mr_ring_sizes sizes = app_world_sizes(256, 16);
    struct mr_app_host_config host = app_world_host_config();
    struct loop_config config = plain();

    host.connects_max = 2;
    app_world_start(&w, &config, &sizes, &host, NULL);
    client = &w.app[APP_CLIENT];
    struct app_side *other = app_world_attach(&w, APP_CLIENT, &sizes, NULL);
    uint64_t first = app_world_connect(&w, client);
    app_world_connect(&w, client);
    CU_ASSERT_EQUAL(result_of(client, connect_as(0)), -EDQUOT);
    CU_ASSERT_EQUAL(mr_app_host_stats(w.host[APP_CLIENT])->connects_refused, 1);
    app_world_connect(&w, other);
    CU_ASSERT_EQUAL(result_of(client, (struct mr_sqe){.op = MR_OP_CLOSE, .handle = first}), 0);
    (void)app_world_event(&w, client, MR_EVENT_CLOSED);
    app_world_connect(&w, client);
    CU_ASSERT_EQUAL(result_of(client, connect_as(0)), -EDQUOT);
    app_world_stop(&w);
}

/* One user's rings together, too: others have the rest. */
static void a_user_opens_no_more_over_several_rings(void)
{
    struct mr_ring_sizes sizes = app_world_sizes(256, 16);
    struct mr_app_host_config host = app_world_host_config();
    struct mr_app_ring_config own = {.numa_node = -1, .user = 7};
    struct mr_app_ring_config others = {.numa_node = -1, .user = 8};
    struct loop_config config = plain();

    host.connects_max = 2;
    host.user_connects_max = 3;
    app_world_start(&w, &config, &sizes, &host, NULL);
    struct app_side *first = app_world_attach(&w, APP_CLIENT, &sizes, &own);
    struct app_side *second = app_world_attach(&w, APP_CLIENT, &sizes, &own);
    struct app_side *other = app_world_attach(&w, APP_CLIENT, &sizes, &others);
    app_world_connect(&w, first);
    uint64_t conn = app_world_connect(&w, first);
    app_world_connect(&w, second);
    CU_ASSERT_EQUAL(result_of(second, connect_as(0)), -EDQUOT);
    app_world_connect(&w, other);
    CU_ASSERT_EQUAL(result_of(first, (struct mr_sqe){.op = MR_OP_CLOSE, .handle = conn}), 0);
    (void)app_world_event(&w, first, MR_EVENT_CLOSED);
    app_world_connect(&w, second);
    CU_ASSERT_EQUAL(mr_app_host_stats(w.host[APP_CLIENT])->connects_refused, 1);
    app_world_stop(&w);

    host.connects_max = host.user_connects_max = 0;
    host.user_handshakes_max = 2; /* at once */
    app_world_start(&w, &config, &sizes, &host, NULL);
    first = app_world_attach(&w, APP_CLIENT, &sizes, &own);
    second = app_world_attach(&w, APP_CLIENT, &sizes, &own);
    app_side_connect(first, 0);
    app_side_connect(second, 0);
    CU_ASSERT_EQUAL(result_of(second, connect_as(0)), -EDQUOT);
    (void)app_world_event(&w, first, MR_EVENT_CONNECTED);
    (void)app_world_event(&w, second, MR_EVENT_CONNECTED);
    app_world_connect(&w, second);
    app_world_connect(&w, first);
    CU_ASSERT_EQUAL(mr_app_host_stats(w.host[APP_CLIENT])->connects_refused, 1);
    app_world_stop(&w);
}

static void streams_up_to_the_limit_then_an_event(void)
{
    struct loop_config config = plain();

    config.bidi_max = 2;
    config.uni_max = 3;
    start_with(&config);
    app_side_connect(client, 0);
    struct mr_cqe cqe = app_world_event(&w, client, MR_EVENT_CONNECTED);
    uint64_t conn = cqe.conn;
    CU_ASSERT_EQUAL(cqe.address, 2);
    CU_ASSERT_EQUAL(cqe.size, 3);
    struct mr_cqe first =
        app_world_call(&w, client, (struct mr_sqe){.op = MR_OP_OPEN, .handle = conn});
    CU_ASSERT_EQUAL(first.result, 0);
    CU_ASSERT_EQUAL(first.value, 0); /* its ID */
    CU_ASSERT_EQUAL(
        app_world_call(&w, client, (struct mr_sqe){.op = MR_OP_OPEN, .handle = conn}).value, 4);
    CU_ASSERT_EQUAL(result_of(client, (struct mr_sqe){.op = MR_OP_OPEN, .handle = conn}), -EAGAIN);

    /* Both directions of the first end; then there is room for a third. */
    app_side_send(client, first.stream, 8192, 10, MR_SQE_FIN, 0);
    struct mr_cqe opened = app_world_event(&w, server, MR_EVENT_STREAM_OPENED);
    CU_ASSERT_EQUAL(opened.value, 0);
    app_side_send(server, opened.stream, 8192, 10, MR_SQE_FIN, 0);
    cqe = app_world_event(&w, client, MR_EVENT_STREAMS_ALLOWED);
    CU_ASSERT_EQUAL(cqe.conn, conn);
    CU_ASSERT_EQUAL(cqe.address, 3);
    CU_ASSERT_EQUAL(cqe.size, 3);
    cqe = app_world_call(&w, client, (struct mr_sqe){.op = MR_OP_OPEN, .handle = conn});
    CU_ASSERT_EQUAL(cqe.result, 0);
    CU_ASSERT_EQUAL(cqe.value, 8);
    cqe = app_world_call(&w, client,
                         (struct mr_sqe){.op = MR_OP_OPEN, .handle = conn, .value = MR_OPEN_UNI});
    CU_ASSERT_EQUAL(cqe.value, 2);
    app_world_stop(&w);
}

/* A ring has no more objects than its own, and leaves the others theirs. */
static void who_has_all_its_objects_gets_no_more(void)
{
    struct mr_ring_sizes sizes = app_world_sizes(64, 8);

    start();
    struct app_side *small = app_world_attach(
        &w, APP_CLIENT, &sizes, &(struct mr_app_ring_config){.objects_max = 2, .timers_max = 1});
    uint64_t conn = app_world_connect(&w, small);
    CU_ASSERT_NOT_EQUAL(app_world_open(&w, small, conn), 0);
    CU_ASSERT_EQUAL(result_of(small, (struct mr_sqe){.op = MR_OP_OPEN, .handle = conn}), -ENOMEM);
    CU_ASSERT_EQUAL(app_world_connect(&w, small), 0);
    app_side_submit(small, &(struct mr_sqe){.op = MR_OP_TIMER, .value = UINT64_MAX});
    CU_ASSERT_EQUAL(result_of(small, (struct mr_sqe){.op = MR_OP_TIMER, .value = 1}), -ENOBUFS);
    uint64_t other = app_world_connect(&w, client);
    for (int i = 0; i < 20; i++)
        CU_ASSERT_NOT_EQUAL(app_world_open(&w, client, other), 0);
    app_world_stop(&w);
}

/* The peer opens more streams than the ring has objects: those are refused, the others live. */
static void streams_without_an_object_are_refused(void)
{
    struct mr_ring_sizes sizes = app_world_sizes(64, 8);

    start();
    app_world_call(&w, server, (struct mr_sqe){.op = MR_OP_LISTEN, .value = MR_RING_EVERY});
    struct app_side *small = app_world_attach(
        &w, APP_SERVER, &sizes, &(struct mr_app_ring_config){.listeners = 1, .objects_max = 2});
    app_world_call(&w, small, (struct mr_sqe){.op = MR_OP_LISTEN, .address = 1});
    uint64_t conn = app_world_connect(&w, client);
    for (int i = 0; i < 2; i++)
        app_side_send(client, app_world_open(&w, client, conn), 8192, 10, 0, 0);
    CU_ASSERT_EQUAL(app_world_event(&w, client, MR_EVENT_STOPPED).value, 70);
    CU_ASSERT_EQUAL(mr_app_host_stats(w.host[APP_SERVER])->streams_refused, 1);
    app_world_stop(&w);
}

/* ------------------------------------------------------------------ connections */

static void a_connection_says_what_is_known_of_it(void)
{
    struct mr_ring_info info;

    start();
    uint64_t conn = app_world_connect(&w, client);
    struct mr_sqe sqe = {
        .op = MR_OP_INFO, .handle = conn, .address = app_side_address(client, 4096)};
    CU_ASSERT_EQUAL(result_of(client, sqe), 0);
    memcpy(&info, app_side_bytes(client, 4096), sizeof(info));
    CU_ASSERT_STRING_EQUAL(info.alpn, "echo");
    CU_ASSERT_STRING_EQUAL(info.server_name, "localhost");
    CU_ASSERT_STRING_EQUAL(info.limited_by, "application");
    CU_ASSERT_EQUAL(info.remote_port, 443);
    CU_ASSERT_EQUAL(info.is_client, 1);
    sqe.address = client->region.receive_at - sizeof(info) + 1;
    CU_ASSERT_EQUAL(result_of(client, sqe), -EINVAL);
    sqe.address = 0;
    CU_ASSERT_EQUAL(result_of(client, sqe), -EINVAL);
    sqe.handle = app_world_open(&w, client, conn);
    CU_ASSERT_EQUAL(result_of(client, sqe), -ESTALE);
    app_world_stop(&w);
}

static void a_migration_is_checked(void)
{
    start();
    uint64_t conn = app_world_connect(&w, client);
    uint64_t end = client->region.receive_at;
    const struct {
        uint64_t value;
        uint32_t size;
        uint64_t address;
        int32_t answer;
    } cases[] = {{6000, 0, 0, 0},
                 {6001, 16, app_side_address(client, 4096), 0},
                 {70000, 0, 0, -EINVAL},
                 {6002, 15, app_side_address(client, 4096), -EINVAL},
                 {6002, 16, end - 15, -EINVAL},
                 {6002, 16, 0, -EINVAL}};

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct mr_sqe sqe = {.op = MR_OP_MIGRATE,
                             .handle = conn,
                             .value = cases[i].value,
                             .size = cases[i].size,
                             .address = cases[i].address};
        CU_ASSERT_EQUAL(result_of(client, sqe), cases[i].answer);
    }
    CU_ASSERT_EQUAL(app_world_event(&w, client, MR_EVENT_PATH_CHANGED).conn, conn);
    struct mr_sqe stale = {.op = MR_OP_MIGRATE, .handle = app_world_open(&w, client, conn)};
    CU_ASSERT_EQUAL(result_of(client, stale), -ESTALE);
    app_world_stop(&w);
}

/* Each kind, what it writes where, and what it does not take. */
static void paths_are_opened_listed_and_abandoned(void)
{
    start();
    uint64_t conn = app_world_connect(&w, client);
    uint64_t room = app_side_address(client, 4096), end = client->region.receive_at;
    struct mr_ring_path paths[2];
    const uint8_t ip[16] = {[10] = 0xff, 0xff, 10, 0, 0, 7};
    struct mr_sqe sqe = {.size = sizeof(ip), .address = room};

    memcpy(app_side_bytes(client, 4096), ip, sizeof(ip));
    mr_sqe_path_open(&sqe, conn, 7000);
    struct mr_cqe cqe = app_world_call(&w, client, sqe);
    CU_ASSERT_EQUAL(cqe.result, 0);
    CU_ASSERT_EQUAL(cqe.value, 1);
    CU_ASSERT_EQUAL(app_world_event(&w, client, MR_EVENT_PATHS_CHANGED).conn, conn);
    mr_sqe_path(&sqe, conn, 1, MR_PATH_CALL_BACKUP);
    CU_ASSERT_EQUAL(app_world_call(&w, client, sqe).result, 0);
    mr_sqe_path_list(&sqe, conn, room + 1, sizeof(paths) + sizeof(paths[0]) - 1);
    CU_ASSERT_EQUAL(app_world_call(&w, client, sqe).result, 2);
    memcpy(paths, app_side_bytes(client, 4097), sizeof(paths));
    struct mr_path_info info = mr_ring_path_info(&paths[1]);
    CU_ASSERT_EQUAL(info.path, 1);
    CU_ASSERT_EQUAL(info.state, MR_PATH_INFO_OPEN);
    CU_ASSERT(info.is_backup && !info.is_peer_backup);
    CU_ASSERT_EQUAL(memcmp(info.local.ip, ip, sizeof(ip)), 0);
    CU_ASSERT_EQUAL(info.local.port, 7000);
    CU_ASSERT_EQUAL(info.remote.port, 443);
    CU_ASSERT(info.mtu == 1201 && info.rtt_ns == 1001 && info.cwnd_bytes == 2001);
    CU_ASSERT(info.bytes_in_flight == 3001 && info.bytes_sent == 4001);
    CU_ASSERT_EQUAL(info.bytes_received, 5001);
    mr_sqe_path_list(&sqe, conn, room, sizeof(paths) - 1); /* room for one */
    CU_ASSERT_EQUAL(app_world_call(&w, client, sqe).result, 1);
    const struct {
        uint64_t value;
        uint64_t address;
        uint32_t size;
        int32_t answer;
    } cases[] = {{MR_RING_PATH(MR_PATH_CALL_ABANDON, 0, 7), 0, 0, -ENOENT},
                 {MR_RING_PATH(MR_PATH_CALL_ABANDON, 0, 1), 0, 0, 0},
                 {MR_RING_PATH(MR_PATH_CALL_ABANDON, 0, 0), 0, 0, -EBUSY},
                 {MR_RING_PATH(MR_PATH_CALL_ANSWER, 0, 0), 0, 0, -EINVAL},
                 {MR_RING_PATH(256 + MR_PATH_CALL_OPEN, 0, 0), 0, 0, -EINVAL},
                 {MR_RING_PATH(MR_PATH_CALL_OPEN, 1, 0), room, 15, -EINVAL},
                 {MR_RING_PATH(MR_PATH_CALL_OPEN, 1, 0), end - 15, 16, -EINVAL},
                 {MR_RING_PATH(MR_PATH_CALL_LIST, 0, 0), end - 15, 200, -EINVAL}};
    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct mr_sqe one = {.op = MR_OP_PATH,
                             .handle = conn,
                             .value = cases[i].value,
                             .size = cases[i].size,
                             .address = cases[i].address};
        CU_ASSERT_EQUAL(app_world_call(&w, client, one).result, cases[i].answer);
    }
    mr_sqe_path(&sqe, app_world_open(&w, client, conn), 0, MR_PATH_CALL_BACKUP);
    CU_ASSERT_EQUAL(app_world_call(&w, client, sqe).result, -ESTALE);
    app_world_stop(&w);
}

static void a_ticket_resumes(void)
{
    struct loop_config config = plain();
    struct mr_ring_connect wish = {
        .port = 443, .alpn_size = 5, .alpn = "\004echo", .server_name = "localhost"};
    struct mr_ring_info info;

    config.has_tickets = true;
    start_with(&config);
    uint64_t conn = app_world_connect(&w, client);
    struct mr_sqe sqe = {.op = MR_OP_TICKET,
                         .handle = conn,
                         .address = app_side_address(client, 4096),
                         .size = 1000};
    CU_ASSERT_EQUAL(result_of(client, sqe), sizeof(LOOP_TICKET));
    CU_ASSERT_EQUAL(memcmp(app_side_bytes(client, 4096), LOOP_TICKET, sizeof(LOOP_TICKET)), 0);
    sqe.size = 3;
    CU_ASSERT_EQUAL(result_of(client, sqe), -ENOBUFS);
    sqe.size = 2 << 20;
    CU_ASSERT_EQUAL(result_of(client, sqe), -EINVAL);

    wish.ticket = app_side_address(client, 4096);
    wish.ticket_size = sizeof(LOOP_TICKET);
    uint64_t second = app_world_connect_to(&w, client, &wish);
    sqe = (struct mr_sqe){
        .op = MR_OP_INFO, .handle = second, .address = app_side_address(client, 8192)};
    CU_ASSERT_EQUAL(result_of(client, sqe), 0);
    memcpy(&info, app_side_bytes(client, 8192), sizeof(info));
    CU_ASSERT_EQUAL(info.is_resumed, 1);

    wish.ticket = client->region.receive_at; /* not where it may lie */
    CU_ASSERT_EQUAL(app_world_connect_to(&w, client, &wish), 0);
    wish.ticket = app_side_address(client, 4096);
    wish.ticket_size = 8193;
    CU_ASSERT_EQUAL(app_world_connect_to(&w, client, &wish), 0);
    wish.ticket_size = UINT64_MAX;
    CU_ASSERT_EQUAL(app_world_connect_to(&w, client, &wish), 0);
    app_world_stop(&w);
}

static void a_server_has_no_ticket(void)
{
    start();
    app_world_connect(&w, client);
    struct mr_cqe cqe = app_world_event(&w, server, MR_EVENT_CONNECTED);
    CU_ASSERT_EQUAL(result_of(server, (struct mr_sqe){.op = MR_OP_TICKET,
                                                      .handle = cqe.conn,
                                                      .address = app_side_address(server, 0),
                                                      .size = 100}),
                    0);
    app_world_stop(&w);
}

/* The datapath drains: every application is told, those that come later, too. */
static void all_are_told_to_finish(void)
{
    struct mr_ring_sizes sizes = app_world_sizes(64, 8);

    start();
    app_world_step(&w, 2);
    loop_go_away(w.loop, APP_SERVER);
    struct mr_cqe cqe = app_world_event(&w, server, MR_EVENT_GO_AWAY);
    CU_ASSERT_EQUAL(cqe.conn, 0);
    struct app_side *late = app_world_attach(&w, APP_SERVER, &sizes, NULL);
    cqe = app_world_event(&w, late, MR_EVENT_GO_AWAY);
    CU_ASSERT_EQUAL(cqe.kinds, MR_EVENT_GO_AWAY);
    app_world_stop(&w);
}

static CU_TestInfo tests[] = {
    {"a migration is checked", a_migration_is_checked},
    {"paths are opened, listed and abandoned", paths_are_opened_listed_and_abandoned},
    {"B7 ACCEPT, CONNECT, OPEN, SEND, TIMER, CLOSE: each call returns at once, completes later",
     every_call_returns_and_completes_later},
    {"B9 user_data comes back untouched", user_data_comes_back},
    {"an alias can be used at once", an_alias_can_be_used_at_once},
    {"an alias names one thing at a time", an_alias_names_one_thing_at_a_time},
    {"an alias of nothing is free", an_alias_of_nothing_is_free},
    {"M4 streams up to the peer's limit, then -EAGAIN and an event",
     streams_up_to_the_limit_then_an_event},
    {"who has all its objects gets no more", who_has_all_its_objects_gets_no_more},
    {"who has opened its connections opens no more", who_has_opened_its_connections_opens_no_more},
    {"a user opens no more over several rings", a_user_opens_no_more_over_several_rings},
    {"streams without an object are refused", streams_without_an_object_are_refused},
    {"a connection says what is known of it", a_connection_says_what_is_known_of_it},
    {"a ticket resumes", a_ticket_resumes},
    {"a server has no ticket", a_server_has_no_ticket},
    {"all are told to finish", all_are_told_to_finish},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "dataplane/app_object", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
