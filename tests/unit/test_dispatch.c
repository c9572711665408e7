/*
 * Tests of dataplane/dispatch.h: inline applications beside a host of rings.
 *
 *     client (recorder) -- loop -- dispatcher: members 0 and 1 (recorders), host with one ring
 *
 * The listener of UDP port 1 is member 0's, that of port 2 member 1's, that of port 3 the ring's.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/dispatch.h"
#include "tests/support/app_side.h"
#include "tests/unit/harness.h"

enum {
    KEPT = 256,
    CONNS_MAX = 6,
    CALLS_MAX = 4,
};

/* An application that keeps what it is told. */
struct recorder {
    struct mr_application application;
    struct mr_transport *transport;
    struct mr_event events[KEPT];
    uint32_t count;
    uint32_t starts;
    uint32_t polls;
    uint32_t stops;
    uint64_t slow_ns; /* that the next call takes, by the clock of the test */
    bool echoes;
};

struct world {
    struct loop *loop;
    struct mr_app_host *host;
    struct mr_dispatcher *dispatcher;
    struct app_side ring;
    struct recorder client;
    struct recorder member[2];
};

static struct world w;
static uint64_t clock_ns;

/* ------------------------------------------------------------------ recorders */

static void on_start(void *context, struct mr_transport *transport)
{
    struct recorder *r = context;

    r->transport = transport;
    r->starts++;
}

/* Send back what a stream brings. */
static void echo(const struct recorder *r, mr_handle stream)
{
    const struct mr_transport_ops *ops = r->transport->ops;
    struct mr_view views[8];
    bool fin = false;
    uint8_t copy[1024];
    size_t size = 0;
    int64_t count = ops->receive(r->transport, stream, views, 8, &fin);

    for (int64_t i = 0; i < count && size + views[i].size <= sizeof(copy); i++) {
        memcpy(copy + size, views[i].data, views[i].size);
        size += views[i].size;
    }
    struct mr_view answer = {copy, size};
    if (count >= 0 && (size > 0 || fin))
        CU_ASSERT_EQUAL(ops->send(r->transport, stream, &answer, size > 0,
                                  MR_SEND_COPY | (fin ? (uint32_t)MR_SEND_FIN : 0)),
                        0);
    CU_ASSERT(count < 0 || ops->release(r->transport, stream, size) == 0);
}

static void on_events(void *context, const struct mr_event *events, size_t count)
{
    struct recorder *r = context;

    clock_ns += r->slow_ns;
    r->slow_ns = 0;
    for (size_t i = 0; i < count; i++) {
        CU_ASSERT_FATAL(r->count < KEPT);
        r->events[r->count++] = events[i];
        if (r->echoes && events[i].stream != 0 && (events[i].kinds & MR_EVENT_READABLE) != 0)
            echo(r, events[i].stream);
    }
}

static uint32_t on_poll(void *context)
{
    ((struct recorder *)context)->polls++;
    return 0;
}

static void on_stop(void *context)
{
    ((struct recorder *)context)->stops++;
}

static void make_recorder(struct recorder *r, const char *name)
{
    *r = (struct recorder){.application = {.name = name,
                                           .context = r,
                                           .on_start = on_start,
                                           .on_events = on_events,
                                           .on_poll = on_poll,
                                           .on_stop = on_stop}};
}

/* Events with any of these kinds; the last one, unless NULL. */
static uint32_t told(const struct recorder *r, uint32_t kinds, struct mr_event *last_out)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < r->count; i++) {
        if ((r->events[i].kinds & kinds) == 0)
            continue;
        count++;
        if (last_out != NULL)
            *last_out = r->events[i];
    }
    return count;
}

/* ------------------------------------------------------------------ the world */

static uint64_t test_clock(void *context)
{
    (void)context;
    return clock_ns;
}

static struct mr_handoff make_policy(void)
{
    struct mr_handoff policy = {.listener_count = 3};

    for (uint32_t i = 0; i < 3; i++) {
        struct mr_handoff_listener *l = &policy.listener[i];

        l->port = (uint16_t)(i + 1);
        l->member = (uint8_t)(i < 2 ? i + 1 : 0);
        l->refuse_code = 70 + i;
        snprintf(l->name, sizeof(l->name), "listener%u", i);
        snprintf(l->application, sizeof(l->application), "app%u", i);
    }
    return policy;
}

static void step(uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++) {
        loop_step(w.loop);
        mr_dispatcher_check(w.dispatcher);
        mr_app_host_check(w.host);
    }
}

/* The dispatcher is the loop's server, or its client if `is_client`: only clients connect. */
static void start(const struct mr_handoff *policy, bool is_client)
{
    static const uint8_t key[16] = {1};
    struct loop_config config = loop_config_default(1);
    struct mr_app_host_config host = app_world_host_config();
    struct mr_handoff own = make_policy();

    memset(&w, 0, sizeof(w));
    w.host = mr_app_host_new(&host, key);
    CU_ASSERT_EQUAL(mr_app_host_set_policy(w.host, policy == NULL ? &own : policy), 0);
    make_recorder(&w.client, "client");
    make_recorder(&w.member[0], "first");
    make_recorder(&w.member[1], "second");
    w.member[0].echoes = w.member[1].echoes = true;
    struct mr_dispatch_config dispatch = {
        .host = w.host,
        .members = {&w.member[0].application, &w.member[1].application},
        .member_count = 2,
        .conns_max = CONNS_MAX,
        .calls_max = CALLS_MAX,
        .clock = test_clock};
    w.dispatcher = mr_dispatcher_new(&dispatch, key);
    const struct mr_application *both = mr_dispatcher_application(w.dispatcher);
    w.loop = is_client ? loop_new(&config, both, &w.client.application)
                       : loop_new(&config, &w.client.application, both);
    struct mr_ring_sizes sizes = app_world_sizes(64, 16);
    app_side_attach(&w.ring, w.host, &sizes);
    app_side_submit(&w.ring,
                    &(struct mr_sqe){.op = MR_OP_LISTEN, .value = MR_RING_EVERY, .address = 1});
    step(3);
}

static void stop(void)
{
    mr_app_host_detach(w.host, (uint32_t)w.ring.ring);
    step(50);
    loop_free(w.loop);
    app_side_free(&w.ring);
    mr_dispatcher_check(w.dispatcher);
    mr_dispatcher_free(w.dispatcher);
    mr_app_host_free(w.host);
}

static mr_handle begin_connect(struct recorder *r, uint16_t port)
{
    struct mr_connect_options options = {.remote.port = port,
                                         .server_name = "localhost",
                                         .alpn = (const uint8_t *)"\001x",
                                         .alpn_size = 2,
                                         .user_data = 1000u + port};
    mr_handle conn = MR_HANDLE_NONE;

    CU_ASSERT_EQUAL(r->transport->ops->connect(r->transport, &options, &conn), 0);
    return conn;
}

static mr_handle connect_to(struct recorder *r, uint16_t port)
{
    mr_handle conn = begin_connect(r, port);

    step(20);
    return conn;
}

static void close_conn(struct recorder *r, mr_handle conn)
{
    CU_ASSERT_EQUAL(r->transport->ops->close(r->transport, conn, 5, "bye"), 0);
    step(30);
}

/* Send a text on a new stream of the client's; what comes back. */
static const char *say(mr_handle conn, const char *text)
{
    static char back[64];
    const struct mr_transport_ops *ops = w.client.transport->ops;
    struct mr_view view = {(const uint8_t *)text, strlen(text)};
    struct mr_view views[8];
    bool fin = false;
    size_t size = 0;
    mr_handle stream;

    CU_ASSERT_EQUAL_FATAL(ops->open(w.client.transport, conn, MR_OPEN_BIDI, 0, &stream), 0);
    CU_ASSERT_EQUAL(ops->send(w.client.transport, stream, &view, 1, MR_SEND_COPY | MR_SEND_FIN), 0);
    step(60);
    int64_t count = ops->receive(w.client.transport, stream, views, 8, &fin);
    for (int64_t i = 0; i < count; i++) {
        memcpy(back + size, views[i].data, views[i].size);
        size += views[i].size;
    }
    back[size] = '\0';
    CU_ASSERT(fin);
    if (count >= 0)
        ops->release(w.client.transport, stream, size);
    step(20);
    return back;
}

static bool ring_was_told(uint32_t kinds)
{
    struct mr_cqe cqe;
    bool was_told = false;

    while (app_side_next(&w.ring, &cqe))
        was_told |= cqe.type == MR_CQE_EVENT && (cqe.kinds & kinds) != 0;
    return was_told;
}

static struct mr_dispatch_stats stats_of(uint32_t member)
{
    struct mr_dispatch_stats stats;

    mr_dispatcher_stats(w.dispatcher, member, &stats);
    return stats;
}

/* ------------------------------------------------------------------ tests */

static void a_connection_belongs_to_the_listeners_application(void)
{
    struct mr_event event;

    start(NULL, false);
    CU_ASSERT_EQUAL(w.member[0].starts + w.member[1].starts, 2);
    connect_to(&w.client, 2);
    CU_ASSERT_EQUAL(w.member[0].count, 0);
    CU_ASSERT_EQUAL(told(&w.member[1], MR_EVENT_CONNECTED, &event), 1);
    CU_ASSERT_EQUAL(event.listener, 1);
    CU_ASSERT_FALSE(ring_was_told(MR_EVENT_CONNECTED));
    connect_to(&w.client, 1);
    CU_ASSERT_EQUAL(told(&w.member[0], MR_EVENT_CONNECTED, &event), 1);
    CU_ASSERT_EQUAL(event.listener, 0);
    CU_ASSERT_EQUAL(told(&w.member[1], MR_EVENT_CONNECTED, NULL), 1);
    connect_to(&w.client, 3);
    CU_ASSERT(ring_was_told(MR_EVENT_CONNECTED));
    CU_ASSERT_EQUAL(told(&w.member[0], MR_EVENT_CONNECTED, NULL), 1);
    connect_to(&w.client, 4); /* nobody's: the host refuses it */
    CU_ASSERT_EQUAL(told(&w.client, MR_EVENT_CLOSED, NULL), 1);
    CU_ASSERT_EQUAL(stats_of(0).conns_accepted, 1);
    CU_ASSERT_EQUAL(stats_of(1).conns, 1);
    CU_ASSERT(w.member[0].polls > 0);
    CU_ASSERT(w.member[1].polls > 0);
    stop();
    CU_ASSERT_EQUAL(w.member[0].stops + w.member[1].stops, 2);
}

/* The events of several are in one call of on_events. */
static void connections_that_come_together_go_each_to_its_own(void)
{
    start(NULL, false);
    for (uint32_t i = 0; i < 6; i++)
        begin_connect(&w.client, (uint16_t)(3 - i % 3));
    step(20);
    CU_ASSERT_EQUAL(told(&w.member[0], MR_EVENT_CONNECTED, NULL), 2);
    CU_ASSERT_EQUAL(told(&w.member[1], MR_EVENT_CONNECTED, NULL), 2);
    struct mr_app_ring_stats ring;
    mr_app_host_ring_stats(w.host, (uint32_t)w.ring.ring, &ring);
    CU_ASSERT_EQUAL(ring.conns, 2);
    CU_ASSERT_EQUAL(told(&w.client, MR_EVENT_CLOSED, NULL), 0);
    stop();
}

static void all_talk_at_once_and_hear_only_their_own(void)
{
    mr_handle conns[2];
    struct mr_event event;

    start(NULL, false);
    conns[0] = connect_to(&w.client, 1);
    conns[1] = connect_to(&w.client, 2);
    mr_handle rings = connect_to(&w.client, 3);
    mr_handle stream;
    struct mr_view view = {(const uint8_t *)"for the ring", 12};
    w.client.transport->ops->open(w.client.transport, rings, MR_OPEN_BIDI, 0, &stream);
    w.client.transport->ops->send(w.client.transport, stream, &view, 1, 0);
    CU_ASSERT_STRING_EQUAL(say(conns[0], "one"), "one");
    CU_ASSERT_STRING_EQUAL(say(conns[1], "two"), "two");
    CU_ASSERT(ring_was_told(MR_EVENT_STREAM_OPENED));
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(told(&w.member[i], MR_EVENT_STREAM_OPENED, NULL), 1);
        CU_ASSERT_EQUAL(told(&w.member[i], MR_EVENT_CONNECTED, &event), 1);
        for (uint32_t k = 0; k < w.member[i].count; k++)
            CU_ASSERT_EQUAL(w.member[i].events[k].conn, event.conn);
    }
    stop();
}

static void the_end_of_a_connection_is_its_owners(void)
{
    struct mr_event event;

    start(NULL, false);
    mr_handle first = connect_to(&w.client, 1);
    connect_to(&w.client, 2);
    close_conn(&w.client, first);
    CU_ASSERT_EQUAL(told(&w.member[0], MR_EVENT_CLOSED, &event), 1);
    CU_ASSERT_EQUAL(event.error, 5);
    CU_ASSERT_EQUAL(told(&w.member[1], MR_EVENT_CLOSED, NULL), 0);
    CU_ASSERT_EQUAL(stats_of(0).conns, 0);
    CU_ASSERT_EQUAL(stats_of(1).conns, 1);
    for (uint32_t i = 0; i < 2; i++)
        CU_ASSERT_EQUAL(stats_of(i).events, w.member[i].count);
    stop();
}

static void what_a_member_opens_is_its_own(void)
{
    struct mr_event event;

    start(NULL, true);
    mr_handle conn = connect_to(&w.member[1], 9);
    CU_ASSERT_EQUAL(told(&w.member[1], MR_EVENT_CONNECTED, &event), 1);
    CU_ASSERT_EQUAL(event.conn, conn);
    CU_ASSERT_EQUAL(event.user_data, 1009);
    CU_ASSERT_EQUAL(w.member[0].count, 0);
    CU_ASSERT_FALSE(ring_was_told(UINT32_MAX));
    CU_ASSERT_EQUAL(stats_of(1).conns_opened, 1);
    app_side_connect(&w.ring, 7); /* beside a ring's */
    step(20);
    CU_ASSERT(ring_was_told(MR_EVENT_CONNECTED));
    CU_ASSERT_EQUAL(w.member[1].count, 1);
    close_conn(&w.member[1], conn);
    CU_ASSERT_EQUAL(told(&w.member[1], MR_EVENT_CLOSED, NULL), 1);
    stop();
}

static void a_member_opens_no_more_than_there_is_room_for(void)
{
    struct mr_connect_options options = {
        .remote.port = 9, .server_name = "a", .alpn = (const uint8_t *)"\001x", .alpn_size = 2};
    const struct mr_transport *t;
    mr_handle conn;

    start(NULL, true);
    for (uint32_t i = 0; i < CONNS_MAX; i++)
        connect_to(&w.member[i % 2], 9);
    t = w.member[0].transport;
    CU_ASSERT_EQUAL(t->ops->connect(w.member[0].transport, &options, &conn), -EAGAIN);
    CU_ASSERT_EQUAL(stats_of(0).conns + stats_of(1).conns, CONNS_MAX);
    stop();
}

static int64_t answer_work(void *argument)
{
    return (int64_t)(uintptr_t)argument;
}

static void timers_and_work_come_back_with_their_own_words(void)
{
    struct mr_event event;
    struct mr_transport *t[2];

    start(NULL, false);
    for (uint32_t i = 0; i < 2; i++) {
        t[i] = w.member[i].transport;
        CU_ASSERT_EQUAL(t[i]->ops->timer(t[i], 1000000, 55 + i), 0);
        CU_ASSERT_EQUAL(t[i]->ops->work(t[i], answer_work, (void *)(uintptr_t)(90 + i), 65 + i), 0);
    }
    CU_ASSERT_EQUAL(t[0]->ops->timer(t[0], 1, 1), -ENOMEM); /* CALLS_MAX are out */
    CU_ASSERT_EQUAL(t[0]->ops->work(t[0], answer_work, NULL, 1), -EAGAIN);
    loop_pass(w.loop, 2000000);
    step(20);
    for (uint32_t i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(told(&w.member[i], MR_EVENT_TIMER, &event), 1);
        CU_ASSERT_EQUAL(event.user_data, 55 + i);
        CU_ASSERT_EQUAL(told(&w.member[i], MR_EVENT_WORK_DONE, &event), 1);
        CU_ASSERT_EQUAL(event.user_data, 65 + i);
        CU_ASSERT_EQUAL(event.result, 90 + i);
    }
    CU_ASSERT_EQUAL(t[0]->ops->timer(t[0], 1, 1), 0);
    CU_ASSERT(t[0]->ops->now(t[0]) > 2000000);
    stop();
}

static void a_member_has_every_operation_of_the_shard(void)
{
    enum {
        OPERATIONS = sizeof(struct mr_transport_ops) / sizeof(void (*)(void))
    };
    void (*of_shard[OPERATIONS])(void);
    void (*of_member[OPERATIONS])(void);

    start(NULL, false);
    memcpy(of_shard, w.client.transport->ops, sizeof(of_shard));
    memcpy(of_member, w.member[0].transport->ops, sizeof(of_member));
    for (size_t i = 0; i < OPERATIONS; i++)
        CU_ASSERT(of_member[i] != NULL || of_shard[i] == NULL);
    stop();
}

static void everybody_is_told_to_go_away(void)
{
    start(NULL, false);
    loop_go_away(w.loop, 1);
    step(3);
    CU_ASSERT_EQUAL(told(&w.member[0], MR_EVENT_GO_AWAY, NULL), 1);
    CU_ASSERT_EQUAL(told(&w.member[1], MR_EVENT_GO_AWAY, NULL), 1);
    CU_ASSERT(ring_was_told(MR_EVENT_GO_AWAY));
    stop();
}

static void a_listener_s_limit_counts_inline_connections_too(void)
{
    struct mr_handoff policy = make_policy();
    struct mr_event event;

    policy.listener[0].conns_max = 2;
    start(&policy, false);
    mr_handle first = connect_to(&w.client, 1);
    connect_to(&w.client, 1);
    connect_to(&w.client, 2);
    connect_to(&w.client, 1);
    CU_ASSERT_EQUAL(told(&w.client, MR_EVENT_CLOSED, &event), 1);
    CU_ASSERT_EQUAL(event.error, 70);
    CU_ASSERT_EQUAL(stats_of(0).conns_refused, 1);
    CU_ASSERT_EQUAL(told(&w.member[0], MR_EVENT_CONNECTED, NULL), 2);
    close_conn(&w.client, first);
    connect_to(&w.client, 1);
    CU_ASSERT_EQUAL(told(&w.member[0], MR_EVENT_CONNECTED, NULL), 3);
    stop();
}

static void more_connections_than_all_may_have_are_refused(void)
{
    struct mr_event event;

    start(NULL, false);
    for (uint32_t i = 0; i < CONNS_MAX + 2; i++)
        connect_to(&w.client, (uint16_t)(1 + i % 2));
    CU_ASSERT_EQUAL(told(&w.client, MR_EVENT_CLOSED, &event), 2);
    CU_ASSERT_EQUAL(event.error, 71);
    CU_ASSERT_EQUAL(stats_of(0).conns + stats_of(1).conns, CONNS_MAX);
    connect_to(&w.client, 3); /* the ring's has a place of its own */
    CU_ASSERT(ring_was_told(MR_EVENT_CONNECTED));
    stop();
}

static void a_policy_may_name_another_member(void)
{
    struct mr_handoff policy = make_policy();

    start(NULL, false);
    policy.listener[0].member = 2;
    policy.listener[1].member = 0;
    CU_ASSERT_EQUAL(mr_app_host_set_policy(w.host, &policy), 0);
    step(2);
    connect_to(&w.client, 1);
    CU_ASSERT_EQUAL(told(&w.member[1], MR_EVENT_CONNECTED, NULL), 1);
    connect_to(&w.client, 2);
    CU_ASSERT(ring_was_told(MR_EVENT_CONNECTED));
    stop();
}

/* Two rings and two members at once: what a ring does, or fails to do, changes nothing here. */
static void a_ring_that_is_let_go_of_stops_no_member(void)
{
    start(NULL, false);
    mr_handle conn = connect_to(&w.client, 1);
    connect_to(&w.client, 3);
    mr_app_host_detach(w.host, (uint32_t)w.ring.ring);
    CU_ASSERT_STRING_EQUAL(say(conn, "still here"), "still here");
    CU_ASSERT_EQUAL(told(&w.client, MR_EVENT_CLOSED, NULL), 2); /* the ring's; and the stream */
    stop();
}

static void a_slow_handler_is_counted_and_named(void)
{
    start(NULL, false);
    w.member[0].slow_ns = 19000;
    connect_to(&w.client, 1);
    CU_ASSERT_EQUAL(stats_of(0).stalls, 0);
    w.member[0].slow_ns = 21000;
    connect_to(&w.client, 1);
    CU_ASSERT_EQUAL(stats_of(0).stalls, 1);
    CU_ASSERT_EQUAL(stats_of(0).longest_stall_ns, 21000);
    CU_ASSERT_STRING_EQUAL(stats_of(0).longest_stall_name, "first");
    CU_ASSERT_EQUAL(stats_of(1).stalls, 0);
    /* one that tells by itself is not measured as a whole */
    mr_dispatcher_took(w.dispatcher, 0, "a handler with a very long name", 500000);
    w.member[0].slow_ns = 90000;
    connect_to(&w.client, 1);
    CU_ASSERT_EQUAL(stats_of(0).stalls, 2);
    CU_ASSERT_EQUAL(stats_of(0).longest_stall_ns, 500000);
    CU_ASSERT_STRING_EQUAL(stats_of(0).longest_stall_name, "a handler with a very l");
    stop();
}

static CU_TestInfo tests[] = {
    {"a connection belongs to its listener's application",
     a_connection_belongs_to_the_listeners_application},
    {"connections that come together go each to its own",
     connections_that_come_together_go_each_to_its_own},
    {"all talk at once and hear only their own", all_talk_at_once_and_hear_only_their_own},
    {"the end of a connection is its owner's", the_end_of_a_connection_is_its_owners},
    {"what a member opens is its own", what_a_member_opens_is_its_own},
    {"a member opens no more than there is room for",
     a_member_opens_no_more_than_there_is_room_for},
    {"timers and work come back with their own words",
     timers_and_work_come_back_with_their_own_words},
    {"a member has every operation of the shard", a_member_has_every_operation_of_the_shard},
    {"everybody is told to go away", everybody_is_told_to_go_away},
    {"a listener's limit counts inline connections, too",
     a_listener_s_limit_counts_inline_connections_too},
    {"more connections than all may have are refused",
     more_connections_than_all_may_have_are_refused},
    {"a policy may name another member", a_policy_may_name_another_member},
    {"a ring that is let go of stops no member", a_ring_that_is_let_go_of_stops_no_member},
    {"T20 a slow handler is counted and named", a_slow_handler_is_counted_and_named},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "dataplane/dispatch", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
