/* Tests of millrace/events.h: calls in handlers, from other threads; recursion. */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/events_trace.h"

/* Run `function` on another thread, to its end. */
static void on_another_thread(void *(*function)(void *argument), void *argument)
{
    pthread_t thread;

    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, function, argument), 0);
    pthread_join(thread, NULL);
}

/* ------------------------------------------------------------------ calls in handlers */

/* Opens, sends, and shuts down in CONNECTED; nothing may be told meanwhile. */
static bool call_in_connected(struct node *node, struct mr_ev *event, enum mr_ev_answer *answer_out)
{
    mr_object stream;

    *answer_out = MR_EV_OK;
    if (event->type != MR_EV_CONNECTED)
        return false;
    uint32_t told = world.stream.told[MR_EV_START_COMPLETE];
    CU_ASSERT_EQUAL(mr_ev_open(world.reg[node->side], event->object, MR_OPEN_BIDI, node_handler,
                               &world.stream, &stream),
                    0);
    CU_ASSERT_EQUAL(world_send(node->side, stream, "hello", MR_SEND_FIN, (void *)1), 0);
    CU_ASSERT_EQUAL(mr_ev_stream_id(world.reg[node->side], stream), 0); /* it is open already */
    CU_ASSERT_EQUAL(world.stream.told[MR_EV_START_COMPLETE], told);     /* told when we are back */
    world_note(node->side, "back");
    return true;
}

static void start_client(node_react react)
{
    struct mr_connect_options options = world_options();

    world_prepare(1);
    world.conn.react = react;
    world_start();
    CU_ASSERT_EQUAL(
        mr_ev_connect(world.reg[CLIENT], &options, node_handler, &world.conn, &world.conn.object),
        0);
    world_run();
}

static void calls_in_a_handler_take_effect_at_once_and_call_nobody(void)
{
    struct mr_events_stats stats;

    start_client(call_in_connected);
    trace_is(CLIENT, "C.CONNECTED back S.START_COMPLETE S.SEND_COMPLETE(1)");
    CU_ASSERT_EQUAL(world.server_stream.received, 5);
    mr_registration_stats(world.reg[CLIENT], &stats);
    CU_ASSERT_EQUAL(stats.depth_peak, 1);
    world_end();
}

static void *queue_a_send(void *argument)
{
    CU_ASSERT_EQUAL(world_send(CLIENT, *(mr_object *)argument, "B", 0, NULL), 0);
    return NULL;
}

static mr_object shared_stream;

/* While this handler runs another thread queues "B"; then the handler sends "A". */
static bool let_another_queue_first(struct node *node, struct mr_ev *event,
                                    enum mr_ev_answer *answer_out)
{
    *answer_out = MR_EV_OK;
    if (event->type != MR_EV_START_COMPLETE)
        return false;
    on_another_thread(queue_a_send, &shared_stream);
    CU_ASSERT_EQUAL(world_send(node->side, event->object, "A", 0, NULL), 0);
    return true;
}

static void a_handlers_send_precedes_one_that_was_queued_before(void)
{
    static uint8_t bytes[WORLD_BYTES];

    world_connect(1);
    world.stream.react = let_another_queue_first;
    world.server_stream.bytes = bytes;
    CU_ASSERT_EQUAL(world_open(&world.stream, MR_OPEN_UNI, &shared_stream), 0);
    world_run();
    CU_ASSERT_EQUAL(world.server_stream.received, 2);
    CU_ASSERT_NSTRING_EQUAL(bytes, "AB", 2);
    world_end();
}

/* ------------------------------------------------------------------ closing in handlers */

static enum mr_ev_type close_at;

/* Closes its object at the first event of a type, and lets a context of the heap go with it. */
static enum mr_ev_answer heap_handler(void *context, struct mr_ev *event)
{
    uint32_t *calls = context;

    (*calls)++;
    if (event->type != close_at && event->type != MR_EV_SHUTDOWN_COMPLETE)
        return MR_EV_OK;
    CU_ASSERT_EQUAL(mr_ev_close(world.reg[CLIENT], event->object), 0);
    CU_ASSERT_EQUAL(mr_ev_close(world.reg[CLIENT], event->object), -ESTALE);
    free(calls); /* nobody may call with it any more */
    return event->type == MR_EV_RECEIVE ? MR_EV_PENDING : MR_EV_OK;
}

static bool echo(struct node *node, struct mr_ev *event, enum mr_ev_answer *answer_out)
{
    (void)answer_out;
    if (event->type == MR_EV_RECEIVE)
        (void)world_send(node->side, event->object, "echo", event->is_fin ? MR_SEND_FIN : 0, NULL);
    return false;
}

static void closing_inside_any_handler_is_safe(void)
{
    static const enum mr_ev_type types[] = {MR_EV_START_COMPLETE, MR_EV_RECEIVE,
                                            MR_EV_SEND_COMPLETE, MR_EV_SEND_SHUTDOWN_COMPLETE,
                                            MR_EV_SHUTDOWN_COMPLETE};

    for (size_t i = 0; i < MR_COUNT_OF(types); i++) {
        mr_object stream;

        world_connect(i + 1);
        world.server_stream.react = echo;
        close_at = types[i];
        uint32_t *calls = calloc(1, sizeof(*calls));
        CU_ASSERT_EQUAL(mr_ev_open(world.reg[CLIENT], world.conn.object, MR_OPEN_BIDI, heap_handler,
                                   calls, &stream),
                        0);
        CU_ASSERT_EQUAL(world_send(CLIENT, stream, "one", 0, NULL), 0);
        CU_ASSERT_EQUAL(world_send(CLIENT, stream, "two", MR_SEND_FIN, NULL), 0);
        world_run();
        CU_ASSERT_EQUAL(mr_registration_objects(world.reg[CLIENT]), 1);
        world_end();
    }
}

/* Closes its connection at the first event of a type. */
static bool close_conn(struct node *node, struct mr_ev *event, enum mr_ev_answer *answer_out)
{
    struct mr_registration *r = world.reg[node->side];

    *answer_out = MR_EV_OK;
    if (event->type != close_at)
        return false;
    CU_ASSERT_EQUAL(mr_ev_close(r, event->object), 0);
    CU_ASSERT_EQUAL(mr_ev_close(r, event->object), -ESTALE);
    node->react = NULL;
    world_forget(); /* nothing more is told of it: the node might be gone */
    return true;
}

static void closing_a_connection_inside_any_of_its_handlers_is_safe(void)
{
    static const enum mr_ev_type types[] = {MR_EV_CONNECTED, MR_EV_PEER_STREAM_STARTED,
                                            MR_EV_SHUTDOWN_BY_PEER, MR_EV_SHUTDOWN_COMPLETE};

    for (size_t i = 0; i < MR_COUNT_OF(types); i++) {
        struct mr_connect_options options = world_options();
        mr_object stream;

        world_prepare(i + 1);
        close_at = types[i];
        world.server_conn.react = close_conn;
        world_start();
        CU_ASSERT_EQUAL(mr_ev_connect(world.reg[CLIENT], &options, node_handler, &world.conn,
                                      &world.conn.object),
                        0);
        world_run();
        if (world_open(&world.stream, MR_OPEN_BIDI, &stream) == 0)
            (void)world_send(CLIENT, stream, "hello", MR_SEND_FIN, NULL);
        world_run();
        (void)mr_ev_shutdown(world.reg[CLIENT], world.conn.object, 0, 5);
        world_run();
        CU_ASSERT_PTR_NULL(world.server_conn.react);
        CU_ASSERT_PTR_NULL(strstr(world.trace[SERVER], "C."));
        CU_ASSERT_EQUAL(mr_registration_objects(world.reg[SERVER]), 1); /* the listener */
        world_end();
    }
}

static void closing_a_connection_still_ends_its_streams(void)
{
    mr_object stream;

    world_connect(1);
    CU_ASSERT_EQUAL(world_open(&world.stream, MR_OPEN_BIDI, &stream), 0);
    loop_hold_acks(world.loop, CLIENT, true);
    CU_ASSERT_EQUAL(world_send(CLIENT, stream, "hello", 0, (void *)3), 0);
    for (int i = 0; i < 10; i++)
        loop_step(world.loop);
    world_forget();
    CU_ASSERT_EQUAL(mr_ev_close(world.reg[CLIENT], world.conn.object), 0);
    CU_ASSERT_EQUAL(world_send(CLIENT, stream, "x", 0, NULL), -ESTALE);
    world_run();
    trace_is(CLIENT, "S.SEND_COMPLETE(3)!125 S.SHUTDOWN_COMPLETE");
    CU_ASSERT_EQUAL(mr_registration_objects(world.reg[CLIENT]), 0);
    world_end();
}

/* ------------------------------------------------------------------ recursion */

static uint32_t depth_flag;

static bool shut_down_in_handler(struct node *node, struct mr_ev *event,
                                 enum mr_ev_answer *answer_out)
{
    *answer_out = MR_EV_OK;
    if (event->type != MR_EV_CONNECTED)
        return false;
    CU_ASSERT_EQUAL(mr_ev_shutdown(world.reg[node->side], event->object, depth_flag, 9), 0);
    world_note(node->side, "back");
    return true;
}

static void only_the_inline_flag_makes_a_handler_run_inside_another(void)
{
    struct mr_events_stats stats;

    depth_flag = 0;
    start_client(shut_down_in_handler);
    trace_is(CLIENT, "C.CONNECTED back C.SHUTDOWN_COMPLETE");
    mr_registration_stats(world.reg[CLIENT], &stats);
    CU_ASSERT_EQUAL(stats.depth_peak, 1);
    world_end();

    depth_flag = MR_EV_INLINE;
    start_client(shut_down_in_handler);
    trace_is(CLIENT, "C.CONNECTED C.SHUTDOWN_COMPLETE back");
    mr_registration_stats(world.reg[CLIENT], &stats);
    CU_ASSERT_EQUAL(stats.depth_peak, 2);
    CU_ASSERT_EQUAL(mr_registration_objects(world.reg[SERVER]), 1); /* it is over there, too */
    world_end();
}

static mr_object nested[3];

/* Each stream's end ends the next one, inline. */
static bool shut_down_the_next(struct node *node, struct mr_ev *event,
                               enum mr_ev_answer *answer_out)
{
    int index = node->name[0] - '0';

    *answer_out = MR_EV_OK;
    bool is_begin = event->type == MR_EV_START_COMPLETE && index == 2;
    if (!is_begin && event->type != MR_EV_SHUTDOWN_COMPLETE)
        return false;
    int next = is_begin ? 0 : index + 1;
    if (next < 2)
        CU_ASSERT_EQUAL(mr_ev_shutdown(world.reg[node->side], nested[next], MR_EV_INLINE, 9), 0);
    world_note(node->side, "back");
    if (!is_begin)
        CU_ASSERT_EQUAL(mr_ev_close(world.reg[node->side], event->object), 0);
    return true;
}

/* One level: what is asked for inside of an inline call is told after all of it. */
static void inline_calls_nest_once(void)
{
    struct node nodes[3] = {{.name = "0", .side = CLIENT, .react = shut_down_the_next},
                            {.name = "1", .side = CLIENT, .react = shut_down_the_next},
                            {.name = "2", .side = CLIENT, .react = shut_down_the_next}};
    struct mr_events_stats stats;

    world_connect(1);
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(world_open(&nodes[i], MR_OPEN_BIDI, &nested[i]), 0);
        world_run();
    }
    world_forget();
    CU_ASSERT_EQUAL(world_open(&nodes[2], MR_OPEN_BIDI, &nested[2]), 0);
    world_run();
    trace_is(CLIENT, "2.START_COMPLETE 0.SHUTDOWN_COMPLETE back back 1.SHUTDOWN_COMPLETE back");
    mr_registration_stats(world.reg[CLIENT], &stats);
    CU_ASSERT_EQUAL(stats.depth_peak, 2);
    world_end();
}

static mr_object paused;

/* Lets another object show what waits, and takes its own bytes in pieces. */
static bool ask_for_more(struct node *node, struct mr_ev *event, enum mr_ev_answer *answer_out)
{
    struct mr_registration *r = world.reg[node->side];

    *answer_out = MR_EV_PENDING;
    if (event->type == MR_EV_START_COMPLETE)
        CU_ASSERT_EQUAL(mr_ev_receive_enable(r, paused, true), 0);
    if (event->type == MR_EV_RECEIVE)
        CU_ASSERT_EQUAL(mr_ev_receive_complete(r, event->object, MR_MIN(event->size, (size_t)3)),
                        0);
    if (event->type != MR_EV_START_COMPLETE && event->type != MR_EV_RECEIVE)
        return false;
    world_note(node->side, "back");
    return true;
}

static void what_waits_is_not_shown_inside_the_call_that_asks_for_it(void)
{
    struct node other = {.name = "O", .side = CLIENT, .react = ask_for_more};
    struct mr_events_stats stats;
    mr_object stream;

    world_connect(1);
    world.server_stream.react = echo;
    CU_ASSERT_EQUAL(world_open(&world.stream, MR_OPEN_BIDI, &paused), 0);
    CU_ASSERT_EQUAL(mr_ev_receive_enable(world.reg[CLIENT], paused, false), 0);
    CU_ASSERT_EQUAL(world_send(CLIENT, paused, "hello", 0, NULL), 0);
    world_run();
    world_forget();
    CU_ASSERT_EQUAL(world_open(&other, MR_OPEN_BIDI, &stream), 0);
    world_run();
    trace_is(CLIENT, "O.START_COMPLETE back S.RECEIVE(4)");
    world_forget();
    CU_ASSERT_EQUAL(world_send(CLIENT, stream, "x", 0, NULL), 0);
    world_run();
    trace_is(CLIENT, "O.SEND_COMPLETE(0) O.RECEIVE(4) back O.RECEIVE(1) back");
    mr_registration_stats(world.reg[CLIENT], &stats);
    CU_ASSERT_EQUAL(stats.depth_peak, 1);
    world_end();
}

static void without_the_flag_the_end_is_told_after_the_call(void)
{
    mr_object stream;

    for (uint32_t flag = 0; flag <= MR_EV_INLINE; flag += MR_EV_INLINE) {
        world_connect(1);
        CU_ASSERT_EQUAL(world_open(&world.stream, MR_OPEN_BIDI, &stream), 0);
        world_run();
        world_forget();
        CU_ASSERT_EQUAL(mr_ev_shutdown(world.reg[CLIENT], stream, flag, 4), 0);
        trace_is(CLIENT, flag == 0 ? "" : "S.SHUTDOWN_COMPLETE");
        CU_ASSERT_EQUAL(mr_ev_shutdown(world.reg[SERVER], world.listener.object, flag, 0), 0);
        trace_is(SERVER, flag == 0 ? "" : "L.STOP_COMPLETE");
        world_run();
        trace_is(CLIENT, "S.SHUTDOWN_COMPLETE");
        CU_ASSERT_EQUAL(world.listener.told[MR_EV_STOP_COMPLETE], 1);
        world_end();
    }
}

static void inline_waits_while_bytes_are_out(void)
{
    mr_object stream;

    world_connect(1);
    CU_ASSERT_EQUAL(world_open(&world.stream, MR_OPEN_BIDI, &stream), 0);
    loop_hold_acks(world.loop, CLIENT, true);
    CU_ASSERT_EQUAL(world_send(CLIENT, stream, "hello", 0, (void *)3), 0);
    for (int i = 0; i < 10; i++)
        loop_step(world.loop);
    world_forget();
    CU_ASSERT_EQUAL(mr_ev_shutdown(world.reg[CLIENT], stream, MR_EV_INLINE, 4), 0);
    trace_is(CLIENT, "");
    world_run();
    trace_is(CLIENT, "S.SEND_COMPLETE(3)!125 S.SHUTDOWN_COMPLETE");
    world_forget();
    CU_ASSERT_EQUAL(mr_ev_shutdown(world.reg[SERVER], world.listener.object, MR_EV_INLINE, 0), 0);
    trace_is(SERVER, "L.STOP_COMPLETE"); /* outside of handlers: inside the call, too */
    CU_ASSERT_EQUAL(mr_ev_shutdown(world.reg[CLIENT], world.conn.object, MR_EV_INLINE, 0), 0);
    trace_is(CLIENT, "C.SHUTDOWN_COMPLETE");
    world_run();
    trace_is(CLIENT, "C.SHUTDOWN_COMPLETE"); /* what the transport says later is not told */
    world_end();
}

/* ------------------------------------------------------------------ no queue, no allocation */

static void everything_is_told_as_it_happens_and_nothing_is_allocated(void)
{
    struct mr_events_stats stats;
    mr_object streams[50];

    world_connect(1);
    for (int i = 0; i < 50; i++) {
        CU_ASSERT_EQUAL(world_open(&world.stream, MR_OPEN_BIDI, &streams[i]), 0);
        CU_ASSERT_EQUAL(world_send(CLIENT, streams[i], "hello", 0, NULL), 0);
        CU_ASSERT_EQUAL(world_send(CLIENT, streams[i], "world", MR_SEND_FIN, NULL), 0);
    }
    mr_registration_stats(world.reg[CLIENT], &stats);
    CU_ASSERT_EQUAL(stats.deferred, 50); /* each object once, whatever it has to tell */
    loop_step(world.loop);
    for (int s = 0; s < 2; s++) {
        mr_registration_stats(world.reg[s], &stats);
        CU_ASSERT_EQUAL(stats.deferred, 0); /* nothing waits when the transport has been driven */
    }
    world_run();
    world_end();

    /* A whole life of objects on a registration alone: the heap is as it was. */
    struct mr_registration *r = mr_registration_new(NULL);
    const struct mr_application *a = mr_registration_application(r);
    size_t before = mallinfo2().uordblks;
    mr_object listener;
    a->on_poll(a->context);
    for (int i = 0; i < 1000; i++) {
        CU_ASSERT_EQUAL(mr_ev_listen(r, "x", node_handler, &world.listener, &listener), 0);
        CU_ASSERT_EQUAL(mr_ev_close(r, listener), 0);
    }
    CU_ASSERT_EQUAL(mallinfo2().uordblks, before);
    mr_registration_free(r);
}

/* ------------------------------------------------------------------ from other threads */

struct call_all {
    mr_object stream;
    mr_object bad;
    int result[12];
};

static void *do_every_call(void *argument)
{
    struct mr_registration *r = world.reg[CLIENT];
    struct mr_connect_options options = world_options();
    struct call_all *c = argument;
    struct mr_conn_info info;
    struct mr_view view = {(const uint8_t *)"queued", 6};
    static uint8_t huge[MR_EV_CALL_BYTES + 1];
    struct mr_view too_much = {huge, sizeof(huge)};

    c->result[0] = mr_ev_connect(r, &options, node_handler, &world.conn, &world.conn.object);
    c->result[1] = mr_ev_set_name(r, world.conn.object, "a name that is longer than the room");
    c->result[2] = mr_ev_open(r, world.conn.object, 0, node_handler, &world.stream, &c->bad);
    c->result[3] = mr_ev_conn_info(r, world.conn.object, &info);
    c->result[4] = (int)mr_ev_conn_of(r, c->bad);
    for (int i = 0; i < 100; i++) /* a refused call takes no place */
        c->result[5] = mr_ev_send(r, c->bad, &too_much, 1, MR_SEND_COPY, NULL);
    c->result[6] = mr_ev_send(r, c->bad, &view, 1, MR_SEND_COPY, (void *)5);
    c->result[7] = mr_ev_guest(r, NULL, NULL);
    c->result[8] = mr_ev_connect(r, &options, NULL, NULL, &c->stream);
    return NULL;
}

static void what_goes_wrong_with_a_queued_call_arrives_as_an_event(void)
{
    struct call_all c = {0};

    world_prepare(1);
    world_start();
    on_another_thread(do_every_call, &c);
    CU_ASSERT_EQUAL(c.result[0], 0);
    CU_ASSERT_EQUAL(c.result[1], 0);
    CU_ASSERT_EQUAL(c.result[2], 0);
    CU_ASSERT_EQUAL(c.result[3], -EPERM);
    CU_ASSERT_EQUAL(c.result[4], 0);
    CU_ASSERT_EQUAL(c.result[5], -E2BIG);
    CU_ASSERT_EQUAL(c.result[6], 0);
    CU_ASSERT_EQUAL(c.result[7], -EPERM);
    CU_ASSERT_EQUAL(c.result[8], -EINVAL);
    world_run();
    /* Streams cannot be opened before CONNECTED over this transport. */
    trace_is(CLIENT, "S.START_COMPLETE!11 S.SHUTDOWN_COMPLETE!11 C.CONNECTED");
    world_end();
}

static void *fill_the_queue(void *argument)
{
    uint32_t *count = argument;

    while (mr_ev_receive_enable(world.reg[CLIENT], 1, true) == 0)
        (*count)++;
    CU_ASSERT_EQUAL(mr_ev_close(world.reg[CLIENT], 1), -EAGAIN);
    return NULL;
}

static void a_full_queue_of_calls_says_so(void)
{
    uint32_t count = 0;

    world_connect(1);
    on_another_thread(fill_the_queue, &count);
    CU_ASSERT_EQUAL(count, 64);
    world_run();
    on_another_thread(fill_the_queue, &count);
    CU_ASSERT_EQUAL(count, 128);
    world_end();
}

static void *send_too_much_then_two(void *argument)
{
    static const struct mr_view views[MR_EV_CALL_BYTES];
    mr_object stream = *(mr_object *)argument;

    CU_ASSERT_EQUAL(mr_ev_send(world.reg[CLIENT], stream, views, MR_COUNT_OF(views), 0, NULL),
                    -E2BIG);
    CU_ASSERT_EQUAL(world_send(CLIENT, stream, "one", 0, (void *)1), 0);
    CU_ASSERT_EQUAL(world_send(CLIENT, stream, "three", MR_SEND_FIN, (void *)2), 0);
    return NULL;
}

/* What a call that was refused would have used is the next one's, and only its. */
static void a_refused_call_takes_nobodys_place(void)
{
    mr_object stream;

    world_connect(1);
    CU_ASSERT_EQUAL(world_open(&world.stream, MR_OPEN_BIDI, &stream), 0);
    world_run();
    on_another_thread(send_too_much_then_two, &stream);
    world_run();
    CU_ASSERT_EQUAL(world.server_stream.received, 8);
    CU_ASSERT_PTR_NOT_NULL(strstr(world.trace[CLIENT], "S.SEND_COMPLETE(1)"));
    CU_ASSERT_PTR_NOT_NULL(strstr(world.trace[CLIENT], "S.SEND_COMPLETE(2)"));
    world_end();
}

/* Another thread gives whole streams to the registration while it runs. */
enum {
    CALLERS = 3,
    CALLER_STREAMS = 20,
};

static _Atomic uint32_t callers_left;
static _Atomic uint32_t streams_ended;

static void retry(int *result, int answer)
{
    static const struct timespec moment = {.tv_nsec = 50000};

    *result = answer;
    if (answer == -EAGAIN)
        nanosleep(&moment, NULL);
}

static enum mr_ev_answer count_ends(void *context, struct mr_ev *event)
{
    (void)context;
    if (event->type == MR_EV_RECEIVE)
        return MR_EV_CONSUMED;
    if (event->type == MR_EV_SHUTDOWN_COMPLETE) {
        (void)mr_ev_close(world.reg[CLIENT], event->object);
        atomic_fetch_add(&streams_ended, 1);
    }
    return MR_EV_OK;
}

static void *call_around(void *argument)
{
    struct mr_registration *r = world.reg[CLIENT];
    static const struct mr_view view = {(const uint8_t *)"0123456789", 10};

    (void)argument;
    for (int i = 0; i < CALLER_STREAMS; i++) {
        mr_object stream;
        int result = -EAGAIN;

        while (result == -EAGAIN)
            retry(&result,
                  mr_ev_open(r, world.conn.object, MR_OPEN_BIDI, count_ends, NULL, &stream));
        for (int k = 0; k < 3; k++) {
            result = -EAGAIN;
            while (result == -EAGAIN)
                retry(&result, mr_ev_send(r, stream, &view, 1,
                                          k == 2   ? MR_SEND_FIN
                                          : k == 1 ? MR_SEND_COPY
                                                   : 0,
                                          NULL));
        }
        if (result != 0)
            abort();
    }
    atomic_fetch_sub(&callers_left, 1);
    return NULL;
}

static void any_thread_may_call_and_handlers_need_no_lock(void)
{
    pthread_t threads[CALLERS];

    world_connect(1);
    world.is_quiet = true;
    world.server_stream.react = echo;
    atomic_store(&callers_left, CALLERS);
    atomic_store(&streams_ended, 0);
    for (int i = 0; i < CALLERS; i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, call_around, NULL), 0);
    for (uint32_t i = 0; atomic_load(&callers_left) > 0 && i < 10000000; i++)
        loop_step(world.loop);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(threads[i], NULL);
    world_run();
    CU_ASSERT_EQUAL(world.server_stream.received, CALLERS * CALLER_STREAMS * 30);
    CU_ASSERT_EQUAL(atomic_load(&streams_ended), CALLERS * CALLER_STREAMS);
    CU_ASSERT_EQUAL(mr_registration_objects(world.reg[CLIENT]), 1);
    world_end();
}

static bool no_two_at_once(struct node *node, struct mr_ev *event, enum mr_ev_answer *answer_out)
{
    (void)answer_out;
    (void)event;
    uint32_t inside = world.conn.inside + world.stream.inside;
    CU_ASSERT_EQUAL(inside, 1); /* of a connection and its streams */
    CU_ASSERT_EQUAL(node->inside, 1);
    if (event->type == MR_EV_START_COMPLETE || event->type == MR_EV_RECEIVE)
        (void)world_send(node->side, event->object, "more", MR_SEND_COPY, NULL);
    if (event->type == MR_EV_SEND_COMPLETE)
        (void)mr_ev_receive_enable(world.reg[node->side], event->object, true);
    return false;
}

static void handlers_of_one_connection_never_meet(void)
{
    mr_object stream[10];

    start_client(no_two_at_once);
    world.is_quiet = true;
    world.stream.react = no_two_at_once;
    world.server_stream.react = echo;
    for (int i = 0; i < 10; i++) {
        CU_ASSERT_EQUAL(world_open(&world.stream, MR_OPEN_BIDI, &stream[i]), 0);
        CU_ASSERT_EQUAL(world_send(CLIENT, stream[i], "x", 0, NULL), 0);
    }
    for (int i = 0; i < 300; i++)
        loop_step(world.loop);
    CU_ASSERT_EQUAL(mr_ev_shutdown(world.reg[CLIENT], world.conn.object, 0, 0), 0);
    world_run();
    world_end();
}

static CU_TestInfo tests[] = {
    {"Q8 M13 calls in a handler take effect at once, and call nobody",
     calls_in_a_handler_take_effect_at_once_and_call_nobody},
    {"Q8 a handler's send precedes one that was queued before",
     a_handlers_send_precedes_one_that_was_queued_before},
    {"Q7 closing inside any handler is safe", closing_inside_any_handler_is_safe},
    {"Q7 closing a connection inside any of its handlers is safe",
     closing_a_connection_inside_any_of_its_handlers_is_safe},
    {"Q7 closing a connection still ends its streams", closing_a_connection_still_ends_its_streams},
    {"Q9 Q10 only the inline flag makes a handler run inside another",
     only_the_inline_flag_makes_a_handler_run_inside_another},
    {"Q10 inline calls nest once", inline_calls_nest_once},
    {"Q9 what waits is not shown inside the call that asks for it",
     what_waits_is_not_shown_inside_the_call_that_asks_for_it},
    {"Q10 without the flag the end is told after the call, of streams and listeners, too",
     without_the_flag_the_end_is_told_after_the_call},
    {"Q10 inline waits while bytes are out", inline_waits_while_bytes_are_out},
    {"Q5 everything is told as it happens, and nothing is allocated",
     everything_is_told_as_it_happens_and_nothing_is_allocated},
    {"Q11 what goes wrong with a queued call arrives as an event",
     what_goes_wrong_with_a_queued_call_arrives_as_an_event},
    {"Q11 a refused call takes nobody's place", a_refused_call_takes_nobodys_place},
    {"Q11 a full queue of calls says so", a_full_queue_of_calls_says_so},
    {"Q6 Q11 M18 any thread may call, and handlers need no lock",
     any_thread_may_call_and_handlers_need_no_lock},
    {"Q18 M19 handlers of one connection never meet", handlers_of_one_connection_never_meet},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/events, calls", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
