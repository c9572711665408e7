/* Tests of millrace/loop.h over rings: a datapath in memory, in a thread of its own. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "app/loop_internal.h"
#include "millrace/events.h"
#include "tests/support/ring_world.h"
#include "tests/unit/harness.h"
#include "tests/unit/loop_backend.h"

#define MS UINT64_C(1000000)

enum {
    STREAMS = 40,
    BYTES = 20000,
    REFUSE_CODE = 71, /* of a ring_world */
};

static struct ring_world *world;
static struct mr_loop *loops[2]; /* client's, server's */
static struct mr_attachment *attachments[2];
static uint8_t data[BYTES];
static mr_object conn;

static uint32_t opened;
static uint32_t ended;
static uint32_t conns_ended;
static uint32_t stopped;
static size_t received;
static uint32_t sends_complete;
static bool must_stall;
static bool is_accepted;

static struct mr_registration *reg(unsigned side)
{
    return mr_loop_registration(loops[side]);
}

/* ------------------------------------------------------------------ the server echoes */

static enum mr_ev_answer echo_stream(void *context, struct mr_ev *event)
{
    struct mr_registration *r = context;

    if (event->type == MR_EV_RECEIVE) {
        /* One view at a time, as it has to be copied for the answer. */
        size_t size = event->view_count == 0 ? 0 : MR_MIN(event->views[0].size, (size_t)1000);
        bool is_end = event->is_fin && size == event->size;
        struct mr_view view = {size == 0 ? NULL : event->views[0].data, size};

        int error = mr_ev_send(r, event->object, &view, 1,
                               MR_SEND_COPY | (is_end ? (uint32_t)MR_SEND_FIN : 0), NULL);
        event->consumed = error == 0 ? size : 0;
        if (error == 0 && !is_end)
            (void)mr_ev_receive_enable(r, event->object, true);
    }
    if (event->type == MR_EV_WRITABLE)
        (void)mr_ev_receive_enable(r, event->object, true);
    if (event->type == MR_EV_SHUTDOWN_COMPLETE)
        (void)mr_ev_close(r, event->object);
    return MR_EV_OK;
}

static enum mr_ev_answer serve(void *context, struct mr_ev *event)
{
    struct mr_registration *r = context;

    if (event->type == MR_EV_NEW_CONNECTION) {
        (void)mr_ev_set_handler(r, event->conn, serve, r);
        (void)mr_ev_set_name(r, event->conn, "served");
    }
    if (event->type == MR_EV_PEER_STREAM_STARTED)
        (void)mr_ev_set_handler(r, event->stream, echo_stream, r);
    if (event->type == MR_EV_CONNECTED && must_stall)
        nanosleep(&(struct timespec){.tv_nsec = 6000000}, NULL);
    if (event->type == MR_EV_SHUTDOWN_COMPLETE || event->type == MR_EV_STOP_COMPLETE) {
        stopped += event->type == MR_EV_STOP_COMPLETE;
        (void)mr_ev_close(r, event->object);
    }
    return MR_EV_OK;
}

/* ------------------------------------------------------------------ the client */

static enum mr_ev_answer client_stream(void *context, struct mr_ev *event)
{
    (void)context;
    received += event->type == MR_EV_RECEIVE ? event->size : 0;
    sends_complete += event->type == MR_EV_SEND_COMPLETE && event->status == 0;
    if (event->type == MR_EV_SHUTDOWN_COMPLETE) {
        ended++;
        (void)mr_ev_close(reg(RING_WORLD_CLIENT), event->object);
    }
    return MR_EV_CONSUMED;
}

static void open_streams(void)
{
    struct mr_registration *r = reg(RING_WORLD_CLIENT);
    mr_object stream;

    while (opened < STREAMS &&
           mr_ev_open(r, conn, MR_OPEN_BIDI, client_stream, NULL, &stream) == 0) {
        struct mr_view view = {data, BYTES};
        CU_ASSERT_EQUAL(mr_ev_send(r, stream, &view, 1, MR_SEND_FIN, NULL), 0);
        opened++;
    }
}

static void connect_client(void);

static enum mr_ev_answer client_conn(void *context, struct mr_ev *event)
{
    (void)context;
    is_accepted |= event->type == MR_EV_STREAMS_AVAILABLE || event->type == MR_EV_CONNECTED;
    if (event->type == MR_EV_CONNECTED || event->type == MR_EV_STREAMS_AVAILABLE)
        open_streams();
    if (event->type == MR_EV_SHUTDOWN_BY_PEER && event->error == REFUSE_CODE)
        is_accepted = false; /* it came before the server's LISTEN */
    if (event->type == MR_EV_SHUTDOWN_COMPLETE) {
        conns_ended += is_accepted;
        (void)mr_ev_close(reg(RING_WORLD_CLIENT), event->object);
        if (!is_accepted)
            connect_client();
    }
    return MR_EV_OK;
}

static void connect_client(void)
{
    is_accepted = false;
    opened = 0;
    ended = 0;
    received = 0;
    sends_complete = 0;
    struct mr_connect_options options = {
        .server_name = "rings", .alpn = (const uint8_t *)"\x02h3", .alpn_size = 3};

    CU_ASSERT_EQUAL(mr_ev_connect(reg(RING_WORLD_CLIENT), &options, client_conn, NULL, &conn), 0);
}

/* Streams of a connection that was refused end, too. */
static bool is_all(void)
{
    return ended == STREAMS && received == (size_t)STREAMS * BYTES;
}

static void *run_loop(void *argument)
{
    return (void *)(intptr_t)mr_loop_run(argument);
}

static void start(uint64_t seed, const struct mr_loop_config *config)
{
    struct ring_world_config world_config = ring_world_config_default(seed);
    struct mr_loop_config own = *config;
    mr_object listener;

    world_config.has_thread = true;
    world = ring_world_new(&world_config);
    own.is_detached = true;
    opened = ended = conns_ended = stopped = sends_complete = 0;
    received = 0;
    for (unsigned side = 0; side < 2; side++) {
        CU_ASSERT_EQUAL_FATAL(loop_backend_new(&own, &loops[side]), 0);
        attachments[side] = ring_world_attach(world, side, 1);
        CU_ASSERT_EQUAL_FATAL(mr_loop_adopt(loops[side], attachments[side]), 0);
    }
    CU_ASSERT_EQUAL(
        mr_ev_listen(reg(RING_WORLD_SERVER), "any", serve, reg(RING_WORLD_SERVER), &listener), 0);
    connect_client();
}

static void stop(void)
{
    mr_loop_free(loops[RING_WORLD_CLIENT]);
    mr_loop_free(loops[RING_WORLD_SERVER]);
    ring_world_free(world);
}

static void echo_is_done(void)
{
    CU_ASSERT_EQUAL(opened, STREAMS);
    CU_ASSERT_EQUAL(received, (size_t)STREAMS * BYTES);
    CU_ASSERT_EQUAL(sends_complete, STREAMS);
}

/* ------------------------------------------------------------------ tests */

static void a_client_and_a_server_talk_from_two_threads(void)
{
    pthread_t thread;

    start(1, &(struct mr_loop_config){0});
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, run_loop, loops[RING_WORLD_SERVER]), 0);
    while (!is_all())
        CU_ASSERT_FATAL(mr_loop_run_once(loops[RING_WORLD_CLIENT], 5000 * MS) >= 0);
    echo_is_done();
    CU_ASSERT_EQUAL(mr_ev_shutdown(reg(RING_WORLD_CLIENT), conn, 0, 0), 0);
    while (conns_ended == 0)
        CU_ASSERT_FATAL(mr_loop_run_once(loops[RING_WORLD_CLIENT], 5000 * MS) >= 0);
    mr_loop_stop(loops[RING_WORLD_SERVER]);
    pthread_join(thread, NULL);
    stop();
}

/* One thread, one poll() over both loops' descriptors: nothing is lost, and nobody is asked twice
 * for nothing. */
static void two_loops_and_a_pipe_in_one_poll(void)
{
    uint32_t timeouts = 0;

    start(2, &(struct mr_loop_config){.batch = 8});
    while (!is_all() && timeouts == 0) {
        struct pollfd fds[2];
        uint64_t wait = MR_FOREVER;

        for (int i = 0; i < 2; i++) {
            fds[i] = (struct pollfd){.fd = mr_loop_fd(loops[i]), .events = POLLIN};
            uint64_t its_wait = mr_exec_poll(loops[i]);
            wait = MR_MIN(wait, its_wait);
        }
        if (wait > 0) /* only the descriptors are relied on: timers are in them, too */
            timeouts += poll(fds, 2, 5000) == 0;
    }
    CU_ASSERT_EQUAL(timeouts, 0);
    echo_is_done();
    stop();
}

static int pipe_fds[2];
static uint32_t pipe_bytes;

enum {
    PIPE_BYTES = 20
};

static void *write_pipe(void *argument)
{
    for (int i = 0; i < PIPE_BYTES; i++) {
        MR_ASSERT(write(pipe_fds[1], argument, 1) == 1);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return NULL;
}

static void read_pipe(void *context, uint32_t events)
{
    char byte;

    (void)context;
    CU_ASSERT_EQUAL(events, POLLIN);
    CU_ASSERT_EQUAL(read(pipe_fds[0], &byte, 1), 1);
    pipe_bytes++;
}

static void kernel_descriptors_and_rings_in_one_loop(void)
{
    pthread_t server, writer;

    start(6, &(struct mr_loop_config){0});
    pipe_bytes = 0;
    CU_ASSERT_EQUAL_FATAL(pipe(pipe_fds), 0);
    CU_ASSERT_EQUAL(mr_loop_watch(loops[RING_WORLD_CLIENT], pipe_fds[0], POLLIN, read_pipe, NULL),
                    0);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&server, NULL, run_loop, loops[RING_WORLD_SERVER]), 0);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&writer, NULL, write_pipe, "x"), 0);
    while (!is_all() || pipe_bytes < PIPE_BYTES) /* nobody polls: each of them ends the wait */
        CU_ASSERT_FATAL(mr_loop_run_once(loops[RING_WORLD_CLIENT], 5000 * MS) >= 0);
    echo_is_done();
    pthread_join(writer, NULL);
    mr_loop_stop(loops[RING_WORLD_SERVER]);
    pthread_join(server, NULL);
    CU_ASSERT_EQUAL(mr_loop_watch(loops[RING_WORLD_CLIENT], pipe_fds[0], 0, NULL, NULL), 0);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    stop();
}

static bool was_named;

static void note_stall(void *context, const char *name, uint64_t took_ns)
{
    (void)context;
    (void)took_ns;
    was_named |= strcmp(name, "served") == 0; /* others may be slow today, too */
}

static void a_slow_connection_handler_is_reported_by_its_name(void)
{
    start(3, &(struct mr_loop_config){.stall_ns = 5 * MS, .on_stall = note_stall});
    must_stall = true;
    was_named = false;
    for (uint64_t end = mr_loop_clock() + 10000 * MS; !was_named && mr_loop_clock() < end;) {
        CU_ASSERT_FATAL(mr_loop_run_once(loops[0], MS) >= 0);
        CU_ASSERT_FATAL(mr_loop_run_once(loops[1], MS) >= 0);
    }
    CU_ASSERT(was_named);
    must_stall = false;
    stop();
}

/* Talk for a while, then lose the datapath: by its word, or without one. */
static void lose_the_datapath(uint64_t seed, void (*lose)(struct ring_world *world,
                                                          const struct mr_attachment *attachment))
{
    int result = 0;

    start(seed, &(struct mr_loop_config){0});
    while (received == 0) {
        CU_ASSERT_FATAL(mr_loop_run_once(loops[0], MS) >= 0);
        CU_ASSERT_FATAL(mr_loop_run_once(loops[1], MS) >= 0);
    }
    for (unsigned side = 0; side < 2; side++) {
        lose(world, attachments[side]);
        uint64_t end = mr_loop_clock() + 10000 * MS;
        do {
            result = mr_loop_run_once(loops[side], 100 * MS);
        } while (result >= 0 && mr_loop_clock() < end);
        CU_ASSERT_EQUAL(result, -ENOTCONN);
        CU_ASSERT_EQUAL(mr_loop_run_once(loops[side], 0), 0); /* once */
        CU_ASSERT_EQUAL(mr_registration_objects(reg(side)), 0);
    }
    CU_ASSERT_EQUAL(conns_ended, 1);
    CU_ASSERT_EQUAL(ended, opened);
    CU_ASSERT_EQUAL(stopped, 1);
}

static void a_datapath_that_dies_is_told_of_once(void)
{
    lose_the_datapath(4, ring_world_die);
    stop();
}

static void a_loop_in_the_program_s_own_queue_comes_to_rest_without_a_datapath(void)
{
    struct mr_loop *loop;
    uint64_t wait = 0;

    start(6, &(struct mr_loop_config){0});
    loop = loops[RING_WORLD_CLIENT];
    CU_ASSERT(mr_loop_is_attached(loop));
    while (received == 0) {
        CU_ASSERT_FATAL(mr_loop_run_once(loops[0], MS) >= 0);
        CU_ASSERT_FATAL(mr_loop_run_once(loops[1], MS) >= 0);
    }
    ring_world_die(world, attachments[RING_WORLD_CLIENT]);
    for (uint64_t end = mr_loop_clock() + 10000 * MS; wait == 0 && mr_loop_clock() < end;) {
        wait = mr_exec_poll(loop);
        if (wait > 0 && mr_loop_is_attached(loop)) {
            poll(&(struct pollfd){.fd = mr_loop_fd(loop), .events = POLLIN}, 1, 1000);
            wait = 0;
        }
    }
    CU_ASSERT_EQUAL(wait, MR_FOREVER);
    CU_ASSERT_FALSE(mr_loop_is_attached(loop));
    CU_ASSERT_EQUAL(conns_ended, 1);
    stop();
}

static void another_datapath_can_be_attached(void)
{
    mr_object listener;

    lose_the_datapath(5, ring_world_let_go);
    opened = ended = sends_complete = 0;
    received = 0;
    for (unsigned side = 0; side < 2; side++)
        CU_ASSERT_EQUAL_FATAL(mr_loop_adopt(loops[side], ring_world_attach(world, side, 1)), 0);
    CU_ASSERT_EQUAL(
        mr_ev_listen(reg(RING_WORLD_SERVER), "any", serve, reg(RING_WORLD_SERVER), &listener), 0);
    CU_ASSERT(mr_loop_is_attached(loops[RING_WORLD_CLIENT]));
    connect_client();
    for (uint64_t end = mr_loop_clock() + 20000 * MS; !is_all() && mr_loop_clock() < end;) {
        CU_ASSERT_FATAL(mr_loop_run_once(loops[0], MS) >= 0);
        CU_ASSERT_FATAL(mr_loop_run_once(loops[1], MS) >= 0);
    }
    echo_is_done();
    stop();
}

/* Who waits for the descriptor for ever because of that call would never hear of it. */
static void the_call_that_finds_the_datapath_gone_does_not_say_wait(void)
{
    struct mr_loop *loop;
    struct mr_error why;
    uint64_t wait = 0;

    lose_the_datapath(7, ring_world_let_go);
    loop = loops[RING_WORLD_CLIENT];
    struct mr_attachment *attachment = ring_world_attach(world, RING_WORLD_CLIENT, 1);
    CU_ASSERT_EQUAL_FATAL(mr_loop_adopt(loop, attachment), 0);
    while (mr_exec_poll(loop) == 0)
        continue;
    CU_ASSERT_EQUAL(mr_loop_state(loop, &why), MR_DATAPATH_THERE);
    ring_world_die(world, attachment);
    for (uint64_t end = mr_loop_clock() + 10000 * MS;
         mr_loop_is_attached(loop) && mr_loop_clock() < end;)
        wait = mr_exec_poll(loop);
    CU_ASSERT_EQUAL(wait, 0);
    while (mr_exec_poll(loop) == 0)
        continue;
    CU_ASSERT_EQUAL(mr_loop_state(loop, &why), MR_DATAPATH_GONE);
    CU_ASSERT_STRING_EQUAL(why.text, "the datapath is gone");
    stop();
}

static CU_TestInfo tests[] = {
    {"Q20 T16 a client and a server talk from two threads",
     a_client_and_a_server_talk_from_two_threads},
    {"T14 T15 Q22 two loops in one poll", two_loops_and_a_pipe_in_one_poll},
    {"T23 T15 kernel descriptors and rings in one loop", kernel_descriptors_and_rings_in_one_loop},
    {"T20 a slow connection handler is reported by its name",
     a_slow_connection_handler_is_reported_by_its_name},
    {"a datapath that dies is told of once", a_datapath_that_dies_is_told_of_once},
    {"a loop in the program's own queue comes to rest without a datapath",
     a_loop_in_the_program_s_own_queue_comes_to_rest_without_a_datapath},
    {"another datapath can be attached", another_datapath_can_be_attached},
    {"the call that finds the datapath gone does not say wait",
     the_call_that_finds_the_datapath_gone_does_not_say_wait},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/loop, rings", .pSetUpFunc = loop_backend_epoll, .pTests = tests},
    {.pName = "app/loop, rings, io_uring", .pSetUpFunc = loop_backend_uring, .pTests = tests},
    CU_SUITE_INFO_NULL,
};
