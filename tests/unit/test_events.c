/* Tests of millrace/events.h: objects, their events in order, what handlers answer. */
#include "millrace/events.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/events_trace.h"

/* ------------------------------------------------------------------ objects */

static void every_object_has_a_handle_of_its_own_and_stale_ones_are_refused(void)
{
    struct mr_conn_info info;
    mr_object stream;

    world_connect(1);
    struct mr_registration *r = world.reg[CLIENT];
    CU_ASSERT_EQUAL(world_open(&world.stream, MR_OPEN_BIDI, &stream), 0);
    CU_ASSERT(stream != 0 && world.conn.object != 0 && stream != world.conn.object);
    CU_ASSERT_EQUAL(mr_ev_conn_of(r, stream), world.conn.object);
    CU_ASSERT_EQUAL(mr_ev_conn_of(r, world.conn.object), 0);
    CU_ASSERT_EQUAL(mr_ev_stream_id(r, stream), 0);
    CU_ASSERT_EQUAL(mr_ev_conn_info(r, world.conn.object, &info), 0);
    CU_ASSERT(info.is_client);
    CU_ASSERT_EQUAL(mr_registration_objects(r), 2);
    CU_ASSERT_EQUAL(mr_registration_objects(world.reg[SERVER]), 2); /* listener, connection */

    CU_ASSERT_EQUAL(mr_ev_close(r, stream), 0);
    CU_ASSERT_EQUAL(mr_ev_close(r, stream), -ESTALE);
    CU_ASSERT_EQUAL(mr_ev_shutdown(r, stream, 0, 0), -ESTALE);
    CU_ASSERT_EQUAL(world_send(CLIENT, stream, "x", 0, NULL), -ESTALE);
    CU_ASSERT_EQUAL(mr_ev_stream_id(r, stream), UINT64_MAX);
    CU_ASSERT_EQUAL(mr_ev_conn_of(r, stream), 0);
    CU_ASSERT_EQUAL(world_send(CLIENT, world.conn.object, "x", 0, NULL), -ESTALE);
    CU_ASSERT_EQUAL(mr_ev_receive_complete(r, 12345, 0), -ESTALE);
    world_run();
    CU_ASSERT_EQUAL(mr_registration_objects(r), 1);
    world_end();
}

static void an_object_without_a_handler_is_refused(void)
{
    struct mr_connect_options options = world_options();
    mr_object object = 1;

    world_connect(1);
    struct mr_registration *r = world.reg[CLIENT];
    CU_ASSERT_EQUAL(mr_ev_connect(r, &options, NULL, NULL, &object), -EINVAL);
    CU_ASSERT_EQUAL(object, 0);
    CU_ASSERT_EQUAL(mr_ev_listen(r, "x", NULL, NULL, &object), -EINVAL);
    CU_ASSERT_EQUAL(mr_ev_open(r, world.conn.object, 0, NULL, NULL, &object), -EINVAL);
    CU_ASSERT_EQUAL(mr_ev_set_handler(r, world.conn.object, NULL, NULL), -EINVAL);
    world_end();
}

static bool accept_without_handler(struct node *node, struct mr_ev *event,
                                   enum mr_ev_answer *answer_out)
{
    (void)node;
    *answer_out = MR_EV_ACCEPT;
    return event->type == MR_EV_NEW_CONNECTION || event->type == MR_EV_PEER_STREAM_STARTED;
}

static uint64_t refuse_code;

static bool refuse(struct node *node, struct mr_ev *event, enum mr_ev_answer *answer_out)
{
    (void)node;
    event->error = refuse_code;
    *answer_out = MR_EV_REFUSE;
    return event->type == MR_EV_NEW_CONNECTION || event->type == MR_EV_PEER_STREAM_STARTED;
}

/* A client's connection to a listener that answers with `react`. */
static void connect_to(node_react react)
{
    struct mr_connect_options options = world_options();

    world_prepare(1);
    world.listener.react = react;
    world_start();
    CU_ASSERT_EQUAL(
        mr_ev_connect(world.reg[CLIENT], &options, node_handler, &world.conn, &world.conn.object),
        0);
    world_run();
}

static void a_refused_connection_is_closed_with_the_answers_code(void)
{
    refuse_code = 77;
    connect_to(refuse);
    trace_is(SERVER, "L.NEW_CONNECTION");
    trace_is(CLIENT, "C.CONNECTED C.SHUTDOWN_BY_PEER(77) C.SHUTDOWN_COMPLETE");
    CU_ASSERT_EQUAL(mr_registration_objects(world.reg[SERVER]), 1);
    CU_ASSERT_EQUAL(mr_registration_objects(world.reg[CLIENT]), 0);
    world_end();
    refuse_code = UINT64_MAX; /* the largest that a frame can carry */
    connect_to(refuse);
    trace_is(CLIENT, "C.CONNECTED C.SHUTDOWN_BY_PEER(4611686018427387903) C.SHUTDOWN_COMPLETE");
    world_end();
    connect_to(accept_without_handler);
    trace_is(CLIENT, "C.CONNECTED C.SHUTDOWN_BY_PEER(0) C.SHUTDOWN_COMPLETE");
    world_end();
}

static void a_refused_stream_is_reset_and_stopped(void)
{
    mr_object stream;

    world_connect(1);
    refuse_code = UINT64_MAX;
    world.server_conn.react = refuse;
    world_forget();
    CU_ASSERT_EQUAL(world_open(&world.stream, MR_OPEN_BIDI, &stream), 0);
    CU_ASSERT_EQUAL(world_send(CLIENT, stream, "hello", 0, (void *)1), 0);
    world_run();
    trace_is(SERVER, "C.PEER_STREAM_STARTED");
    CU_ASSERT_EQUAL(world.stream.told[MR_EV_PEER_SEND_ABORTED], 1);
    CU_ASSERT_EQUAL(world.stream.told[MR_EV_PEER_RECEIVE_ABORTED], 1);
    CU_ASSERT_EQUAL(world.stream.told[MR_EV_SHUTDOWN_COMPLETE], 1);
    CU_ASSERT_EQUAL(mr_registration_objects(world.reg[SERVER]), 2);
    CU_ASSERT_EQUAL(mr_registration_objects(world.reg[CLIENT]), 1);
    world_end();
}

static void a_full_table_refuses_and_goes_on(void)
{
    struct mr_connect_options options = world_options();
    mr_object conns[3];

    world_prepare(1);
    world.limits.objects_max = 2; /* and two set aside */
    world_start();
    world.is_quiet = true;
    for (int i = 0; i < 2; i++)
        CU_ASSERT_EQUAL(
            mr_ev_connect(world.reg[CLIENT], &options, node_handler, &world.conn, &conns[i]), 0);
    CU_ASSERT_EQUAL(
        mr_ev_connect(world.reg[CLIENT], &options, node_handler, &world.conn, &conns[2]), -ENOMEM);
    world_run(); /* the server has room for its listener and one connection */
    CU_ASSERT_EQUAL(world.listener.told[MR_EV_NEW_CONNECTION], 1);
    CU_ASSERT_EQUAL(world.conn.told[MR_EV_SHUTDOWN_BY_PEER], 1);
    CU_ASSERT_EQUAL(mr_registration_objects(world.reg[CLIENT]), 1);
    CU_ASSERT_EQUAL(
        mr_ev_connect(world.reg[CLIENT], &options, node_handler, &world.conn, &conns[2]), 0);
    world_run();
    world_end();
}

/* ------------------------------------------------------------------ order */

static void echo_everything(enum loop_close_order order, uint64_t seed)
{
    mr_object stream;

    world_prepare(seed);
    world.config.close_order = order;
    world_start();
    struct mr_connect_options options = world_options();
    CU_ASSERT_EQUAL(
        mr_ev_connect(world.reg[CLIENT], &options, node_handler, &world.conn, &world.conn.object),
        0);
    world_run();
    CU_ASSERT_EQUAL(world_open(&world.stream, MR_OPEN_BIDI, &stream), 0);
    CU_ASSERT_EQUAL(world_send(CLIENT, stream, "hello", MR_SEND_FIN, (void *)7), 0);
    world_run();
    CU_ASSERT_EQUAL(world_send(SERVER, world.server_stream.object, "hi", MR_SEND_FIN, (void *)8),
                    0);
    world_run();
    CU_ASSERT_EQUAL(mr_ev_shutdown(world.reg[CLIENT], world.conn.object, 0, 5), 0);
    world_run();
    CU_ASSERT_EQUAL(mr_ev_shutdown(world.reg[SERVER], world.listener.object, 0, 0), 0);
    world_run();
}

static void the_trace_of_connect_streams_and_shutdown_is_the_specified_one(void)
{
    for (int order = LOOP_STREAMS_LAST; order <= LOOP_STREAMS_NONE; order++) {
        echo_everything((enum loop_close_order)order, 1);
        trace_is(CLIENT, "C.CONNECTED S.START_COMPLETE S.SEND_COMPLETE(7) S.RECEIVE(2,FIN) "
                         "S.SEND_SHUTDOWN_COMPLETE S.SHUTDOWN_COMPLETE C.SHUTDOWN_COMPLETE");
        trace_is(SERVER, "L.NEW_CONNECTION C.CONNECTED C.PEER_STREAM_STARTED S.RECEIVE(5,FIN) "
                         "S.SEND_COMPLETE(8) S.SEND_SHUTDOWN_COMPLETE S.SHUTDOWN_COMPLETE "
                         "C.SHUTDOWN_BY_PEER(5) C.SHUTDOWN_COMPLETE L.STOP_COMPLETE");
        CU_ASSERT_EQUAL(mr_registration_objects(world.reg[SERVER]), 0);
        world_end();
    }
}

static void streams_end_before_their_connection_whatever_the_transports_order(void)
{
    for (int order = LOOP_STREAMS_LAST; order <= LOOP_STREAMS_NONE; order++) {
        mr_object stream;

        world_prepare(1);
        world.config.close_order = (enum loop_close_order)order;
        world_start();
        struct mr_connect_options options = world_options();
        CU_ASSERT_EQUAL(mr_ev_connect(world.reg[CLIENT], &options, node_handler, &world.conn,
                                      &world.conn.object),
                        0);
        world_run();
        CU_ASSERT_EQUAL(world_open(&world.stream, MR_OPEN_BIDI, &stream), 0);
        loop_hold_acks(world.loop, CLIENT, true);
        CU_ASSERT_EQUAL(world_send(CLIENT, stream, "hello", 0, (void *)1), 0);
        CU_ASSERT_EQUAL(world_send(CLIENT, stream, "world", 0, (void *)2), 0);
        for (int i = 0; i < 10; i++)
            loop_step(world.loop);
        world_forget();
        loop_cut(world.loop);
        world_run();
        trace_is(CLIENT, "S.SEND_COMPLETE(1)!125 S.SEND_COMPLETE(2)!125 S.SHUTDOWN_COMPLETE "
                         "C.SHUTDOWN_BY_TRANSPORT C.SHUTDOWN_COMPLETE");
        trace_is(SERVER, "S.SHUTDOWN_COMPLETE C.SHUTDOWN_BY_TRANSPORT C.SHUTDOWN_COMPLETE");
        world_end();
    }
}

static void a_drained_datapath_stops_listeners(void)
{
    world_connect(1);
    world_forget();
    loop_go_away(world.loop, SERVER);
    world_run();
    trace_is(SERVER, "L.STOP_COMPLETE!108"); /* ESHUTDOWN */
    world_end();
}

static void on_stop_tells_every_object_its_last_event(void)
{
    mr_object stream;

    world_connect(1);
    CU_ASSERT_EQUAL(world_open(&world.stream, MR_OPEN_BIDI, &stream), 0);
    CU_ASSERT_EQUAL(world_send(CLIENT, stream, "hello", 0, (void *)1), 0);
    world_run();
    world_forget();
    world_end();
    trace_is(CLIENT, "S.SHUTDOWN_COMPLETE C.SHUTDOWN_BY_TRANSPORT C.SHUTDOWN_COMPLETE");
    trace_is(SERVER, "L.STOP_COMPLETE!107 S.SHUTDOWN_COMPLETE C.SHUTDOWN_BY_TRANSPORT "
                     "C.SHUTDOWN_COMPLETE");
}

/* ------------------------------------------------------------------ listeners by name */

static int listen_by_name(void *context, const char *name, bool is_on)
{
    uint32_t *calls = context;

    calls[is_on]++;
    if (name == NULL)
        return 0;
    if (strcmp(name, "web") == 0)
        return 1;
    return strcmp(name, "rpc") == 0 ? 2 : -ENOENT;
}

static void connections_come_to_the_listener_that_they_were_made_to(void)
{
    struct mr_connect_options options = world_options();
    struct node web, rpc, none;
    uint32_t calls[2] = {0};
    mr_object conn, object;

    world_prepare(1);
    web = world.listener;
    web.name = "web";
    rpc = world.listener;
    rpc.name = "rpc";
    world_start();
    none = (struct node){.name = "none", .side = CLIENT};
    struct mr_registration *r = world.reg[SERVER];
    mr_registration_set_host(r,
                             &(struct mr_events_host){.context = calls, .listen = listen_by_name});
    CU_ASSERT_EQUAL(mr_ev_listen(r, "web", node_handler, &web, &web.object), 0);
    CU_ASSERT_EQUAL(mr_ev_listen(r, "rpc", node_handler, &rpc, &rpc.object), 0);
    CU_ASSERT_EQUAL(mr_ev_listen(r, "web", node_handler, &rpc, &object), -EEXIST);
    CU_ASSERT_EQUAL(mr_ev_listen(r, NULL, node_handler, &rpc, &object), -EEXIST);
    CU_ASSERT_EQUAL(mr_ev_listen(r, "ftp", node_handler, &rpc, &object), -ENOENT);
    for (uint32_t number = 0; number < 4; number++) { /* 0 and 3 are nobody's: "L" takes them */
        loop_set_listener(world.loop, number);
        CU_ASSERT_EQUAL(mr_ev_connect(world.reg[CLIENT], &options, node_handler, &none, &conn), 0);
        world_run();
    }
    trace_is(SERVER, "L.NEW_CONNECTION C.CONNECTED web.NEW_CONNECTION C.CONNECTED "
                     "rpc.NEW_CONNECTION C.CONNECTED L.NEW_CONNECTION C.CONNECTED");
    world_forget();
    CU_ASSERT_EQUAL(mr_ev_shutdown(r, web.object, 0, 77), 0);
    CU_ASSERT_EQUAL(calls[0], 1);
    CU_ASSERT_EQUAL(mr_ev_close(r, world.listener.object), 0);
    world_run();
    trace_is(SERVER, "web.STOP_COMPLETE");
    loop_set_listener(world.loop, 1);
    CU_ASSERT_EQUAL(mr_ev_connect(world.reg[CLIENT], &options, node_handler, &none, &conn), 0);
    world_run();
    trace_is(SERVER, "web.STOP_COMPLETE"); /* closed: nobody listens */
    CU_ASSERT_EQUAL(none.told[MR_EV_SHUTDOWN_BY_PEER], 1);
    trace_is(CLIENT, "none.CONNECTED none.SHUTDOWN_BY_PEER(77) none.SHUTDOWN_COMPLETE");
    world_end();
}

/* ------------------------------------------------------------------ receiving */

static bool pend(struct node *node, struct mr_ev *event, enum mr_ev_answer *answer_out)
{
    (void)node;
    *answer_out = MR_EV_PENDING;
    return event->type == MR_EV_RECEIVE;
}

static bool take_three(struct node *node, struct mr_ev *event, enum mr_ev_answer *answer_out)
{
    (void)node;
    *answer_out = MR_EV_CONSUMED;
    if (event->type == MR_EV_RECEIVE)
        event->consumed = MR_MIN(event->size, (size_t)3);
    return event->type == MR_EV_RECEIVE;
}

/* The client has sent "hello, world" with FIN; `react` is the receiver's. */
static mr_object receive_with(node_react react)
{
    mr_object stream;

    world_connect(1);
    world.server_stream.react = react;
    world_forget();
    CU_ASSERT_EQUAL(world_open(&world.stream, MR_OPEN_UNI, &stream), 0);
    CU_ASSERT_EQUAL(world_send(CLIENT, stream, "hello, world", MR_SEND_FIN, NULL), 0);
    world_run();
    return world.server_stream.object;
}

static void a_pending_receive_completes_later(void)
{
    struct mr_registration *r;
    mr_object stream = receive_with(pend);

    r = world.reg[SERVER];
    trace_is(SERVER, "C.PEER_STREAM_STARTED S.RECEIVE(12,FIN)");
    world_run();
    CU_ASSERT_EQUAL(world.server_stream.told[MR_EV_RECEIVE], 1); /* none until it is complete */
    CU_ASSERT_EQUAL(mr_ev_receive_complete(r, stream, 13), -EINVAL);
    CU_ASSERT_EQUAL(mr_ev_receive_complete(r, stream, 7), 0);
    CU_ASSERT_EQUAL(mr_ev_receive_complete(r, stream, 5), -EINVAL); /* it is not shown yet */
    world_run();
    CU_ASSERT_EQUAL(world.server_stream.last.offset, 7);
    CU_ASSERT_EQUAL(mr_ev_receive_complete(r, stream, 5), 0);
    world_run();
    trace_is(SERVER, "C.PEER_STREAM_STARTED S.RECEIVE(12,FIN) S.RECEIVE(5,FIN) "
                     "S.SHUTDOWN_COMPLETE");
    world_end();
}

static bool complete_inside(struct node *node, struct mr_ev *event, enum mr_ev_answer *answer_out)
{
    *answer_out = MR_EV_PENDING;
    if (event->type != MR_EV_RECEIVE)
        return false;
    CU_ASSERT_EQUAL(mr_ev_receive_complete(world.reg[node->side], event->object,
                                           MR_MIN(event->size, (size_t)5)),
                    0);
    return true;
}

static void a_receive_may_be_completed_inside_its_handler(void)
{
    receive_with(complete_inside);
    trace_is(SERVER, "C.PEER_STREAM_STARTED S.RECEIVE(12,FIN) S.RECEIVE(7,FIN) S.RECEIVE(2,FIN) "
                     "S.SHUTDOWN_COMPLETE");
    world_end();
}

static bool take_too_much(struct node *node, struct mr_ev *event, enum mr_ev_answer *answer_out)
{
    bool result = take_three(node, event, answer_out);

    event->consumed = event->type == MR_EV_RECEIVE ? event->size + 1000 : event->consumed;
    return result;
}

static void who_says_that_it_took_more_took_what_was_shown(void)
{
    (void)receive_with(take_too_much);
    trace_is(SERVER, "C.PEER_STREAM_STARTED S.RECEIVE(12,FIN) S.SHUTDOWN_COMPLETE");
    world_end();
}

static void what_was_not_consumed_is_shown_again(void)
{
    mr_object stream = receive_with(take_three);

    trace_is(SERVER, "C.PEER_STREAM_STARTED S.RECEIVE(12,FIN)");
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(mr_ev_receive_enable(world.reg[SERVER], stream, true), 0);
        world_run();
    }
    trace_is(SERVER, "C.PEER_STREAM_STARTED S.RECEIVE(12,FIN) S.RECEIVE(9,FIN) S.RECEIVE(6,FIN) "
                     "S.RECEIVE(3,FIN) S.SHUTDOWN_COMPLETE");
    world_end();
}

static void receiving_can_be_paused_and_the_peers_window_closes(void)
{
    static char big[200000];
    mr_object stream;

    world_connect(3);
    memset(big, 'x', sizeof(big) - 1);
    CU_ASSERT_EQUAL(world_open(&world.stream, MR_OPEN_UNI, &stream), 0);
    CU_ASSERT_EQUAL(world_send(CLIENT, stream, "first", 0, NULL), 0);
    world_run();
    size_t before = world.server_stream.received;
    CU_ASSERT_EQUAL(before, 5);
    CU_ASSERT_EQUAL(mr_ev_receive_enable(world.reg[SERVER], world.server_stream.object, false), 0);
    CU_ASSERT_EQUAL(world_send(CLIENT, stream, big, MR_SEND_FIN, (void *)9), 0);
    world_run();
    CU_ASSERT_EQUAL(world.server_stream.received, before);
    CU_ASSERT_EQUAL(world.stream.told[MR_EV_SEND_COMPLETE], 1); /* of "first": the window is full */
    CU_ASSERT_EQUAL(mr_ev_receive_enable(world.reg[SERVER], world.server_stream.object, true), 0);
    world_run();
    CU_ASSERT_EQUAL(world.server_stream.received, before + strlen(big));
    CU_ASSERT(world.server_stream.has_fin);
    CU_ASSERT_EQUAL(world.stream.told[MR_EV_SEND_COMPLETE], 2);
    world_end();
}

static void each_edge_is_told_once(void)
{
    mr_object stream;

    world_connect(1);
    CU_ASSERT_EQUAL(world_open(&world.stream, MR_OPEN_UNI, &stream), 0);
    CU_ASSERT_EQUAL(world_send(CLIENT, stream, "one", 0, NULL), 0);
    world_run();
    world_run();
    CU_ASSERT_EQUAL(world.server_stream.told[MR_EV_RECEIVE], 1);
    CU_ASSERT_EQUAL(world_send(CLIENT, stream, "two", 0, NULL), 0);
    world_run();
    CU_ASSERT_EQUAL(world.server_stream.told[MR_EV_RECEIVE], 2);
    world_end();
}

/* M11: collect until FIN, then look at all. */
static bool read_all(struct node *node, struct mr_ev *event, enum mr_ev_answer *answer_out)
{
    *answer_out = MR_EV_CONSUMED;
    if (event->type != MR_EV_RECEIVE)
        return false;
    if (!event->is_fin)
        event->consumed = 0; /* leave it where it is until all of it is there */
    else
        node->received = event->size;
    return true;
}

static void a_whole_stream_can_be_read_at_once(void)
{
    mr_object stream;
    uint32_t receives = 0;

    world_connect(5);
    world.server_stream.react = read_all;
    CU_ASSERT_EQUAL(world_open(&world.stream, MR_OPEN_UNI, &stream), 0);
    for (int i = 0; i < 5; i++) {
        CU_ASSERT_EQUAL(world_send(CLIENT, stream, "0123456789", i == 4 ? MR_SEND_FIN : 0, NULL),
                        0);
        world_run();
        receives = world.server_stream.told[MR_EV_RECEIVE];
        CU_ASSERT_EQUAL(world.server_stream.received, i == 4 ? 50 : 0);
    }
    CU_ASSERT_EQUAL(receives, 5);
    world_end();
}

static void an_aborted_stream_tells_both_codes(void)
{
    mr_object stream;

    world_connect(1);
    CU_ASSERT_EQUAL(world_open(&world.stream, MR_OPEN_BIDI, &stream), 0);
    CU_ASSERT_EQUAL(world_send(CLIENT, stream, "hello", 0, NULL), 0);
    world_run();
    world_forget();
    CU_ASSERT_EQUAL(mr_ev_shutdown(world.reg[CLIENT], stream, 0, MR_ERROR_CODE_MAX + 1), -EINVAL);
    CU_ASSERT_EQUAL(mr_ev_shutdown(world.reg[CLIENT], stream, 0, 66), 0);
    CU_ASSERT_EQUAL(mr_ev_shutdown(world.reg[CLIENT], stream, 0, 67), 0); /* once */
    CU_ASSERT_EQUAL(world_send(CLIENT, stream, "more", 0, NULL), -EPIPE);
    world_run();
    trace_is(CLIENT, "S.SHUTDOWN_COMPLETE");
    trace_is(SERVER, "S.PEER_SEND_ABORTED(66) S.PEER_RECEIVE_ABORTED(66) S.SHUTDOWN_COMPLETE");
    world_end();
}

static void bytes_of_a_pending_receive_outlive_the_peers_reset(void)
{
    mr_object stream;

    world_connect(1);
    world.server_stream.react = pend;
    CU_ASSERT_EQUAL(world_open(&world.stream, MR_OPEN_BIDI, &stream), 0);
    CU_ASSERT_EQUAL(world_send(CLIENT, stream, "hello", 0, NULL), 0);
    world_run();
    CU_ASSERT_EQUAL(mr_ev_shutdown(world.reg[CLIENT], stream, 0, 66), 0);
    world_run();
    CU_ASSERT_EQUAL(world.server_stream.told[MR_EV_PEER_SEND_ABORTED], 1);
    CU_ASSERT_EQUAL(mr_ev_receive_complete(world.reg[SERVER], world.server_stream.object, 5),
                    -ESTALE);
    world_end();
}

/* ------------------------------------------------------------------ sending */

static void sends_complete_one_by_one_as_they_are_acknowledged(void)
{
    mr_object stream;

    world_connect(1);
    CU_ASSERT_EQUAL(world_open(&world.stream, MR_OPEN_UNI, &stream), 0);
    loop_hold_acks(world.loop, CLIENT, true);
    for (uintptr_t i = 1; i <= 3; i++)
        CU_ASSERT_EQUAL(world_send(CLIENT, stream, "hello", 0, (void *)i), 0);
    CU_ASSERT_EQUAL(world_send(CLIENT, stream, "copied", MR_SEND_COPY, (void *)99), 0);
    CU_ASSERT_EQUAL(mr_ev_send(world.reg[CLIENT], stream, NULL, 0, MR_SEND_FIN, (void *)4), 0);
    for (int i = 0; i < 50; i++)
        loop_step(world.loop);
    CU_ASSERT_EQUAL(world.stream.told[MR_EV_SEND_COMPLETE], 0); /* delivered, not acknowledged */
    CU_ASSERT_EQUAL(world.server_stream.received, 21);
    world_forget();
    loop_hold_acks(world.loop, CLIENT, false);
    world_run();
    trace_is(CLIENT, "S.SEND_COMPLETE(1) S.SEND_COMPLETE(2) S.SEND_COMPLETE(3) S.SEND_COMPLETE(4) "
                     "S.SEND_SHUTDOWN_COMPLETE S.SHUTDOWN_COMPLETE");
    world_end();
}

static void a_send_that_asks_is_told_when_it_was_handed_over(void)
{
    static char big[1501];
    mr_object stream;

    memset(big, 'x', sizeof(big) - 1);
    world_prepare(1);
    world.config.stream_window = 1000;
    world_start();
    struct mr_connect_options options = world_options();
    CU_ASSERT_EQUAL(
        mr_ev_connect(world.reg[CLIENT], &options, node_handler, &world.conn, &world.conn.object),
        0);
    world_run();
    world.server_stream.react = pend; /* the window stays closed */
    loop_hold_acks(world.loop, CLIENT, true);
    CU_ASSERT_EQUAL(world_open(&world.stream, MR_OPEN_UNI, &stream), 0);
    CU_ASSERT_EQUAL(world_send(CLIENT, stream, "first", 0, (void *)1), 0);
    CU_ASSERT_EQUAL(world_send(CLIENT, stream, big, MR_SEND_NOTIFY, (void *)2), 0);
    for (int i = 0; i < 50; i++)
        loop_step(world.loop);
    trace_is(CLIENT, "C.CONNECTED S.START_COMPLETE"); /* its last bytes are here still */
    CU_ASSERT_EQUAL(mr_ev_receive_complete(world.reg[SERVER], world.server_stream.object,
                                           world.server_stream.last.size),
                    0);
    for (int i = 0; i < 50; i++)
        loop_step(world.loop);
    trace_is(CLIENT, "C.CONNECTED S.START_COMPLETE S.SENT"); /* not acknowledged: another event */
    world_forget();
    loop_hold_acks(world.loop, CLIENT, false);
    world_run();
    trace_is(CLIENT, "S.SEND_COMPLETE(1) S.SEND_COMPLETE(2)");
    world_end();
}

static void an_end_alone_completes_when_all_before_it_has(void)
{
    mr_object stream;

    world_connect(1);
    CU_ASSERT_EQUAL(world_open(&world.stream, MR_OPEN_UNI, &stream), 0);
    CU_ASSERT_EQUAL(world_send(CLIENT, stream, "hello", 0, (void *)1), 0);
    world_run();
    world_forget();
    loop_hold_acks(world.loop, CLIENT, true);
    CU_ASSERT_EQUAL(mr_ev_send(world.reg[CLIENT], stream, NULL, 0, MR_SEND_FIN, (void *)2), 0);
    for (int i = 0; i < 10; i++)
        loop_step(world.loop);
    trace_is(CLIENT, "S.SEND_COMPLETE(2)"); /* no byte of it has to be acknowledged */
    loop_hold_acks(world.loop, CLIENT, false);
    world_run();
    world_end();
}

static void too_many_sends_are_refused_and_the_place_comes_back(void)
{
    mr_object stream;

    world_prepare(1);
    world.limits.sends_max = 3;
    world_start();
    struct mr_connect_options options = world_options();
    CU_ASSERT_EQUAL(
        mr_ev_connect(world.reg[CLIENT], &options, node_handler, &world.conn, &world.conn.object),
        0);
    world_run();
    CU_ASSERT_EQUAL(world_open(&world.stream, MR_OPEN_UNI, &stream), 0);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(world_send(CLIENT, stream, "hello", 0, NULL), 0);
    CU_ASSERT_EQUAL(world_send(CLIENT, stream, "hello", 0, NULL), -ENOMEM);
    world_run();
    CU_ASSERT_EQUAL(world_send(CLIENT, stream, "hello", MR_SEND_FIN, NULL), 0);
    world_run();
    CU_ASSERT_EQUAL(world.server_stream.received, 20);
    world_end();
}

static void a_write_never_waits_and_writable_follows(void)
{
    static char big[40000];
    mr_object stream;
    int error = 0;

    memset(big, 'x', sizeof(big) - 1);
    world_prepare(1);
    world.config.queue_max = 50000;
    world.config.stream_window = 1000;
    world_start();
    struct mr_connect_options options = world_options();
    CU_ASSERT_EQUAL(
        mr_ev_connect(world.reg[CLIENT], &options, node_handler, &world.conn, &world.conn.object),
        0);
    world_run();
    world.server_stream.react = pend; /* the peer's window stays closed */
    CU_ASSERT_EQUAL(world_open(&world.stream, MR_OPEN_UNI, &stream), 0);
    CU_ASSERT_EQUAL(world_send(CLIENT, stream, big, 0, NULL), 0); /* kept for later */
    world_run();
    CU_ASSERT_EQUAL(world.stream.told[MR_EV_SEND_COMPLETE], 0);
    error = world_send(CLIENT, stream, big, 0, NULL);
    CU_ASSERT_EQUAL(error, -EAGAIN);
    CU_ASSERT_EQUAL(world.stream.told[MR_EV_WRITABLE], 0);
    world.server_stream.react = NULL;
    CU_ASSERT_EQUAL(mr_ev_receive_complete(world.reg[SERVER], world.server_stream.object, 1000), 0);
    world_run();
    CU_ASSERT_EQUAL(world.stream.told[MR_EV_WRITABLE], 1);
    CU_ASSERT_EQUAL(world.stream.told[MR_EV_SEND_COMPLETE], 1);
    world_end();
}

static CU_TestInfo tests[] = {
    {"Q1 every object has a handle of its own, stale ones are refused",
     every_object_has_a_handle_of_its_own_and_stale_ones_are_refused},
    {"Q2 an object without a handler is refused", an_object_without_a_handler_is_refused},
    {"Q3 the trace of connect, streams and shutdown is the specified one",
     the_trace_of_connect_streams_and_shutdown_is_the_specified_one},
    {"Q3 streams end before their connection, whatever the transport's order",
     streams_end_before_their_connection_whatever_the_transports_order},
    {"Q3 a drained datapath stops listeners", a_drained_datapath_stops_listeners},
    {"Q3 on_stop tells every object its last event", on_stop_tells_every_object_its_last_event},
    {"Q3 connections come to the listener that they were made to",
     connections_come_to_the_listener_that_they_were_made_to},
    {"Q4 a refused connection is closed with the answer's code",
     a_refused_connection_is_closed_with_the_answers_code},
    {"Q4 a refused stream is reset and stopped", a_refused_stream_is_reset_and_stopped},
    {"Q4 a pending receive completes later", a_pending_receive_completes_later},
    {"Q4 a receive may be completed inside its handler",
     a_receive_may_be_completed_inside_its_handler},
    {"Q4 bytes of a pending receive outlive the peer's reset",
     bytes_of_a_pending_receive_outlive_the_peers_reset},
    {"M10 T16 each edge is told once", each_edge_is_told_once},
    {"Q4 who says that it took more took what was shown",
     who_says_that_it_took_more_took_what_was_shown},
    {"M10 what was not consumed is shown again", what_was_not_consumed_is_shown_again},
    {"M10 receiving can be paused, and the peer's window closes",
     receiving_can_be_paused_and_the_peers_window_closes},
    {"M11 a whole stream can be read at once", a_whole_stream_can_be_read_at_once},
    {"Q3 an aborted stream tells both codes", an_aborted_stream_tells_both_codes},
    {"M9 sends complete one by one, as they are acknowledged",
     sends_complete_one_by_one_as_they_are_acknowledged},
    {"M9 a send that asks is told when it was handed over, before it is acknowledged",
     a_send_that_asks_is_told_when_it_was_handed_over},
    {"M9 an end alone completes when all before it has",
     an_end_alone_completes_when_all_before_it_has},
    {"M8 a write never waits, and WRITABLE follows", a_write_never_waits_and_writable_follows},
    {"too many sends are refused, and the place comes back",
     too_many_sends_are_refused_and_the_place_comes_back},
    {"a full table refuses, and goes on", a_full_table_refuses_and_goes_on},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/events", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
