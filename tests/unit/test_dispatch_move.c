/*
 * Tests of dataplane/dispatch_move.c: connections of inline applications that move between the
 * dispatchers of two shards.
 *
 *     client -- loop -- shard 0 and 1, each: a dispatcher with a mover and a stayer, and its host
 *
 * The listener of UDP port 1 is the mover's, which has an on_move; that of port 2 the stayer's.
 */
#include <errno.h>
#include <string.h>

#include "dataplane/dispatch.h"
#include "tests/support/app_side.h"
#include "tests/unit/harness.h"

enum {
    MOVER,
    STAYER,
    MEMBERS
};

#define WORD 4711 /* user data that goes along */

/* An application that counts what it is told, and keeps the last event of some kinds. */
struct member {
    struct mr_application application;
    struct mr_transport *transport;
    struct mr_event connected;
    struct mr_event moved;
    struct mr_event moved_in;
    struct mr_event stream;
    uint32_t readable;
    uint32_t closed;
    uint32_t asked;
    bool refuses;
};

struct shard {
    struct mr_app_host *host;
    struct mr_dispatcher *dispatcher;
    struct member member[MEMBERS];
};

static struct {
    struct loop *loop;
    struct member client;
    struct shard shard[2];
} w;

static void on_start(void *context, struct mr_transport *transport)
{
    ((struct member *)context)->transport = transport;
}

static void on_events(void *context, const struct mr_event *events, size_t count)
{
    struct member *m = context;

    for (size_t i = 0; i < count; i++) {
        if ((events[i].kinds & MR_EVENT_CONNECTED) != 0) {
            m->connected = events[i];
            m->transport->ops->set_user_data(m->transport, events[i].conn, WORD);
        }
        if ((events[i].kinds & MR_EVENT_MOVED) != 0)
            m->moved = events[i];
        if ((events[i].kinds & MR_EVENT_MOVED_IN) != 0)
            m->moved_in = events[i];
        if ((events[i].kinds & MR_EVENT_STREAM_OPENED) != 0)
            m->stream = events[i];
        m->readable += (events[i].kinds & MR_EVENT_READABLE) != 0;
        m->closed += (events[i].kinds & MR_EVENT_CLOSED) != 0 && events[i].stream == MR_HANDLE_NONE;
    }
}

static bool on_move(void *context, mr_handle conn, uint32_t shard)
{
    struct member *m = context;

    (void)conn;
    (void)shard;
    m->asked++;
    return !m->refuses;
}

static void make_member(struct member *m, bool can_move)
{
    *m = (struct member){.application = {.name = "member",
                                         .context = m,
                                         .on_start = on_start,
                                         .on_events = on_events,
                                         .on_move = can_move ? on_move : NULL}};
}

static void make_shard(struct shard *s, uint32_t conns_max)
{
    static const uint8_t key[16] = {1};
    struct mr_app_host_config host = app_world_host_config();
    struct mr_handoff policy = {
        .listener_count = 2,
        .listener = {{.port = 1, .member = MOVER + 1}, {.port = 2, .member = STAYER + 1}}};

    s->host = mr_app_host_new(&host, key);
    CU_ASSERT_EQUAL(mr_app_host_set_policy(s->host, &policy), 0);
    make_member(&s->member[MOVER], true);
    make_member(&s->member[STAYER], false);
    struct mr_dispatch_config config = {
        .host = s->host,
        .members = {&s->member[MOVER].application, &s->member[STAYER].application},
        .member_count = MEMBERS,
        .conns_max = conns_max,
        .calls_max = 4};
    s->dispatcher = mr_dispatcher_new(&config, key);
}

static void step(void)
{
    for (uint32_t i = 0; i < 40; i++) {
        loop_step(w.loop);
        for (uint32_t n = 0; n < 2; n++) {
            mr_dispatcher_check(w.shard[n].dispatcher);
            mr_app_host_check(w.shard[n].host);
        }
    }
}

/* `room`: connections that shard 1 has room for. */
static void start(uint32_t room)
{
    struct loop_config config = loop_config_default(1);

    memset(&w, 0, sizeof(w));
    make_member(&w.client, false);
    make_shard(&w.shard[0], 8);
    make_shard(&w.shard[1], room);
    w.loop =
        loop_new(&config, &w.client.application, mr_dispatcher_application(w.shard[0].dispatcher));
    loop_add_shard(w.loop, 1, mr_dispatcher_application(w.shard[1].dispatcher),
                   mr_dispatcher_move_hooks(w.shard[0].dispatcher),
                   mr_dispatcher_move_hooks(w.shard[1].dispatcher));
    step();
}

static void stop(void)
{
    loop_free(w.loop);
    for (uint32_t i = 0; i < 2; i++) {
        mr_dispatcher_free(w.shard[i].dispatcher);
        mr_app_host_free(w.shard[i].host);
    }
}

/* A connection to the application of `port`, at shard 0. */
static void connect_to(uint16_t port)
{
    struct mr_connect_options options = {.remote.port = port,
                                         .server_name = "localhost",
                                         .alpn = (const uint8_t *)"\001x",
                                         .alpn_size = 2};
    mr_handle conn;

    CU_ASSERT_EQUAL(w.client.transport->ops->connect(w.client.transport, &options, &conn), 0);
    step();
    CU_ASSERT_NOT_EQUAL_FATAL(w.shard[0].member[port - 1].connected.conn, MR_HANDLE_NONE);
}

static void send_text(const struct member *from, mr_handle stream, const char *text)
{
    struct mr_view view = {(const uint8_t *)text, strlen(text)};

    CU_ASSERT_EQUAL(from->transport->ops->send(from->transport, stream, &view, 1, MR_SEND_COPY), 0);
    step();
}

static void expect_text(const struct member *at, mr_handle stream, const char *text)
{
    struct mr_view view;
    bool fin;

    CU_ASSERT_EQUAL_FATAL(at->transport->ops->receive(at->transport, stream, &view, 1, &fin), 1);
    CU_ASSERT_EQUAL(view.size, strlen(text));
    CU_ASSERT(memcmp(view.data, text, view.size) == 0);
    CU_ASSERT_EQUAL(at->transport->ops->release(at->transport, stream, view.size), 0);
}

static uint64_t conns_of(uint32_t shard, uint32_t member)
{
    struct mr_dispatch_stats stats;

    mr_dispatcher_stats(w.shard[shard].dispatcher, member, &stats);
    return stats.conns;
}

static int order(uint32_t from)
{
    struct loop_conn_place place = loop_conn_at(w.loop, 1, 0);

    CU_ASSERT_EQUAL(place.shard, from);
    return loop_order_move(w.loop, 1, from, place.conn);
}

/* ------------------------------------------------------------------ tests */

static void Q17_a_connection_goes_to_the_same_application_over_there(void)
{
    struct mr_moved_stream map[4];
    mr_handle stream;

    start(8);
    connect_to(1);
    CU_ASSERT_EQUAL_FATAL(w.client.transport->ops->open(w.client.transport, w.client.connected.conn,
                                                        MR_OPEN_BIDI, 0, &stream),
                          0);
    send_text(&w.client, stream, "before");
    struct member *old = &w.shard[0].member[MOVER];
    struct member *new = &w.shard[1].member[MOVER];
    expect_text(old, old->stream.stream, "before");

    CU_ASSERT_EQUAL(order(0), 0);
    step();
    CU_ASSERT_EQUAL(old->asked, 1);
    CU_ASSERT_EQUAL(old->moved.conn, old->connected.conn);
    CU_ASSERT_EQUAL(old->moved.result, 0);
    CU_ASSERT_EQUAL(new->moved_in.user_data, WORD);
    CU_ASSERT_EQUAL(new->moved_in.error, 0);
    CU_ASSERT_EQUAL((mr_handle) new->moved_in.result, old->connected.conn);
    CU_ASSERT_EQUAL(w.shard[1].member[STAYER].moved_in.kinds, 0);
    CU_ASSERT_EQUAL(conns_of(0, MOVER), 0);
    CU_ASSERT_EQUAL(conns_of(1, MOVER), 1);
    CU_ASSERT_EQUAL_FATAL(
        new->transport->ops->moved_streams(new->transport, new->moved_in.conn, map, 4), 1);
    CU_ASSERT_EQUAL(map[0].old_stream, old->stream.stream);
    send_text(&w.client, stream, "after");
    expect_text(new, map[0].stream, "after");
    send_text(new, map[0].stream, "back");
    expect_text(&w.client, stream, "back");

    new->transport->ops->close(new->transport, new->moved_in.conn, 0, "");
    step();
    CU_ASSERT_EQUAL(new->closed, 1);
    CU_ASSERT_EQUAL(old->closed, 0);
    CU_ASSERT_EQUAL(conns_of(1, MOVER), 0);
    stop();
}

static void an_application_without_on_move_keeps_its_connections(void)
{
    start(8);
    connect_to(2);
    const struct member *m = &w.shard[0].member[STAYER];
    CU_ASSERT_EQUAL(order(0), 0);
    step();
    CU_ASSERT_EQUAL(loop_conn_at(w.loop, 1, 0).shard, 0);
    CU_ASSERT_EQUAL(m->moved.kinds, 0);
    CU_ASSERT_EQUAL(m->transport->ops->move(m->transport, m->connected.conn, 1), -EOPNOTSUPP);
    stop();
}

static void an_application_may_say_no(void)
{
    start(8);
    connect_to(1);
    struct member *m = &w.shard[0].member[MOVER];
    m->refuses = true;
    CU_ASSERT_EQUAL(order(0), 0);
    step();
    CU_ASSERT_EQUAL(m->asked, 1);
    CU_ASSERT_EQUAL(m->moved.kinds, 0);
    CU_ASSERT_EQUAL(loop_conn_at(w.loop, 1, 0).shard, 0);
    stop();
}

static void an_application_moves_its_connection_itself(void)
{
    start(8);
    connect_to(1);
    const struct member *m = &w.shard[0].member[MOVER];
    CU_ASSERT_EQUAL(m->transport->ops->move(m->transport, m->connected.conn, 1), 0);
    step();
    CU_ASSERT_EQUAL(loop_conn_at(w.loop, 1, 0).shard, 1);
    CU_ASSERT_EQUAL(w.shard[1].member[MOVER].moved_in.user_data, WORD);
    stop();
}

static void a_shard_without_room_gives_it_back(void)
{
    start(1);
    loop_accept_on(w.loop, 1);
    struct mr_connect_options options = {.remote.port = 1,
                                         .server_name = "localhost",
                                         .alpn = (const uint8_t *)"\001x",
                                         .alpn_size = 2};
    mr_handle conn;
    CU_ASSERT_EQUAL(w.client.transport->ops->connect(w.client.transport, &options, &conn), 0);
    step();
    CU_ASSERT_EQUAL(conns_of(1, MOVER), 1);
    loop_accept_on(w.loop, 0);
    connect_to(1);
    const struct member *m = &w.shard[0].member[MOVER];
    CU_ASSERT_EQUAL(m->transport->ops->move(m->transport, m->connected.conn, 1), 0);
    step();
    CU_ASSERT_EQUAL(m->moved.result, -ENOMEM);
    CU_ASSERT_EQUAL(m->moved.conn, m->connected.conn);
    CU_ASSERT_EQUAL(conns_of(0, MOVER), 1);
    CU_ASSERT_EQUAL(conns_of(1, MOVER), 1);
    stop();
}

static void people_are_told_whose_a_connection_is_and_where_it_may_go(void)
{
    start(8);
    connect_to(2);
    const struct mr_move_hooks *hooks = mr_dispatcher_move_hooks(w.shard[0].dispatcher);
    CU_ASSERT_EQUAL(hooks->owner(hooks->context, w.shard[0].member[STAYER].connected.conn),
                    MR_OWNER_MEMBER + STAYER);
    CU_ASSERT_FALSE(hooks->is_leaving(hooks->context, w.shard[0].member[STAYER].connected.conn));
    CU_ASSERT_EQUAL(hooks->owner(hooks->context, 12345), 0);
    CU_ASSERT_EQUAL(hooks->targets(hooks->context, w.shard[0].member[STAYER].connected.conn), 0);
    connect_to(1);
    CU_ASSERT(hooks->targets(hooks->context, w.shard[0].member[MOVER].connected.conn) >> 1 & 1);
    CU_ASSERT_EQUAL(hooks->targets(hooks->context, 12345), 0);
    stop();
}

static CU_TestInfo tests[] = {
    {"Q17 a connection goes to the same application over there",
     Q17_a_connection_goes_to_the_same_application_over_there},
    {"an application without on_move keeps its connections",
     an_application_without_on_move_keeps_its_connections},
    {"an application may say no", an_application_may_say_no},
    {"an application moves its connection itself", an_application_moves_its_connection_itself},
    {"a shard without room gives it back", a_shard_without_room_gives_it_back},
    {"people are told whose a connection is, and where it may go",
     people_are_told_whose_a_connection_is_and_where_it_may_go},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "dataplane/dispatch_move", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
