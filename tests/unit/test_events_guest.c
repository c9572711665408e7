/* Tests of app/events_guest.c: whole applications beside handlers. */
#include <errno.h>
#include <string.h>

#include "tests/unit/events_trace.h"

struct visitor {
    struct mr_application application;
    struct mr_transport *transport;
    uint32_t timers, works, conns, closed, streams, polls, stops;
    size_t received;
    bool must_connect;
};

static int64_t forty_two(void *argument)
{
    (void)argument;
    return 42;
}

static void visitor_start(void *context, struct mr_transport *transport)
{
    struct visitor *v = context;
    struct mr_connect_options options = world_options();
    mr_handle conn;

    v->transport = transport;
    CU_ASSERT_EQUAL(transport->ops->timer(transport, 1000, 7), 0);
    CU_ASSERT_EQUAL(transport->ops->work(transport, forty_two, NULL, 8), 0);
    options.user_data = 9;
    if (v->must_connect)
        CU_ASSERT_EQUAL(transport->ops->connect(transport, &options, &conn), 0);
}

static void visitor_event(struct visitor *v, const struct mr_event *event)
{
    struct mr_transport *t = v->transport;
    struct mr_view views[8];
    mr_handle stream;
    bool is_fin;

    if ((event->kinds & MR_EVENT_TIMER) != 0)
        v->timers += event->user_data == 7;
    if ((event->kinds & MR_EVENT_WORK_DONE) != 0)
        v->works += event->user_data == 8 && event->result == 42;
    if ((event->kinds & MR_EVENT_CONNECTED) != 0) {
        v->conns++;
        CU_ASSERT_EQUAL(event->user_data, v->must_connect ? 9 : 0);
        if (v->must_connect) {
            CU_ASSERT_EQUAL(t->ops->open(t, event->conn, MR_OPEN_UNI, 1, &stream), 0);
            CU_ASSERT_EQUAL(t->ops->send(t, stream, &(struct mr_view){(const uint8_t *)"hi", 2}, 1,
                                         MR_SEND_FIN),
                            0);
        }
    }
    v->streams += (event->kinds & MR_EVENT_STREAM_OPENED) != 0;
    if ((event->kinds & MR_EVENT_READABLE) != 0) {
        int64_t count = t->ops->receive(t, event->stream, views, 8, &is_fin);
        for (int64_t i = 0; i < count; i++) {
            v->received += views[i].size;
            CU_ASSERT_EQUAL(t->ops->release(t, event->stream, views[i].size), 0);
        }
    }
    v->closed += (event->kinds & MR_EVENT_CLOSED) != 0 && event->stream == MR_HANDLE_NONE;
}

static void visitor_events(void *context, const struct mr_event *events, size_t count)
{
    for (size_t i = 0; i < count; i++)
        visitor_event(context, &events[i]);
}

static uint32_t visitor_poll(void *context)
{
    ((struct visitor *)context)->polls++;
    return 0;
}

static void visitor_stop(void *context)
{
    ((struct visitor *)context)->stops++;
}

static void visitor_init(struct visitor *v, bool must_connect)
{
    *v = (struct visitor){.must_connect = must_connect};
    v->application = (struct mr_application){.name = "visitor",
                                             .context = v,
                                             .on_start = visitor_start,
                                             .on_events = visitor_events,
                                             .on_poll = visitor_poll,
                                             .on_stop = visitor_stop};
}

static int two_names(void *context, const char *name, bool is_on)
{
    (void)context;
    (void)is_on;
    return name != NULL && strcmp(name, "guests") == 0 ? 1 : 0;
}

static void guests_have_connections_beside_handlers(void)
{
    struct mr_connect_options options = world_options();
    struct visitor client, server;

    world_prepare(1);
    world_start();
    visitor_init(&client, true);
    visitor_init(&server, false);
    mr_registration_set_host(world.reg[SERVER], &(struct mr_events_host){.listen = two_names});
    CU_ASSERT_EQUAL(mr_ev_guest(world.reg[SERVER], "guests", &server.application), 0);
    CU_ASSERT_EQUAL(mr_ev_guest(world.reg[SERVER], "guests", &server.application), -EEXIST);
    loop_set_listener(world.loop, 1); /* the client's guest connects to the server's */
    CU_ASSERT_EQUAL(mr_ev_guest(world.reg[CLIENT], "nothing", &client.application), 0);
    world_run();
    loop_set_listener(world.loop, 0); /* and handlers to handlers */
    CU_ASSERT_EQUAL(
        mr_ev_connect(world.reg[CLIENT], &options, node_handler, &world.conn, &world.conn.object),
        0);
    world_run();
    trace_is(CLIENT, "C.CONNECTED");
    trace_is(SERVER, "L.NEW_CONNECTION C.CONNECTED");
    CU_ASSERT_EQUAL(client.conns, 1);
    CU_ASSERT_EQUAL(server.conns, 1);
    CU_ASSERT_EQUAL(server.streams, 1);
    CU_ASSERT_EQUAL(server.received, 2);
    CU_ASSERT(server.polls > 0);
    CU_ASSERT_EQUAL(mr_registration_objects(world.reg[SERVER]), 3);
    loop_cut(world.loop);
    world_run();
    loop_pass(world.loop, 1000000);
    CU_ASSERT_EQUAL(client.closed, 1);
    CU_ASSERT_EQUAL(server.closed, 1);
    CU_ASSERT_EQUAL(client.timers, 1);
    CU_ASSERT_EQUAL(server.works, 1);
    CU_ASSERT_EQUAL(mr_registration_objects(world.reg[SERVER]), 1);
    world_end();
    CU_ASSERT_EQUAL(client.stops + server.stops, 2);
}

static CU_TestInfo tests[] = {
    {"G3 guests have connections beside handlers", guests_have_connections_beside_handlers},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/events, guests", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
