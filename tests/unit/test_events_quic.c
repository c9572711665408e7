/* Tests of millrace/events.h: paths, RESET_STREAM_AT, 0-RTT. */
#include <errno.h>
#include <pthread.h>

#include "tests/unit/events_trace.h"

/* Run `function` on another thread, to its end. */
static void on_another_thread(void *(*function)(void *argument), void *argument)
{
    pthread_t thread;

    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, function, argument), 0);
    pthread_join(thread, NULL);
}

/* ------------------------------------------------------------------ paths */

static uint16_t ports_told[2]; /* with PATH_CHANGED, by side */

static bool note_path(struct node *node, struct mr_ev *event, enum mr_ev_answer *answer_out)
{
    (void)answer_out;
    if (event->type == MR_EV_PATH_CHANGED)
        ports_told[node->side] =
            node->side == CLIENT ? event->info->local.port : event->info->remote.port;
    return false;
}

static void *migrate_elsewhere(void *argument)
{
    int *answer = argument;
    const struct mr_address local = {.port = 0};

    *answer = mr_ev_migrate(world.reg[CLIENT], world.conn.object, &local);
    return NULL;
}

static void a_new_path_is_told_with_its_addresses(void)
{
    const struct mr_address local = {.port = 7000};
    const struct mr_address deaf = {.port = LOOP_DEAF_PORT};
    int answer = 0;

    world_connect(3);
    world.conn.react = world.server_conn.react = note_path;
    CU_ASSERT_EQUAL(mr_ev_migrate(world.reg[CLIENT], world.conn.object, &local), 0);
    world_run();
    CU_ASSERT_EQUAL(ports_told[CLIENT], 7000);
    CU_ASSERT_EQUAL(ports_told[SERVER], 7000);
    CU_ASSERT_EQUAL(mr_ev_migrate(world.reg[CLIENT], world.conn.object, &deaf), 0);
    world_run();
    CU_ASSERT_EQUAL(world.conn.told[MR_EV_PATH_FAILED], 1);
    CU_ASSERT_EQUAL(world.conn.told[MR_EV_PATH_CHANGED], 1);
    CU_ASSERT_EQUAL(mr_ev_migrate(world.reg[CLIENT], 12345, &local), -ESTALE);
    CU_ASSERT_EQUAL(mr_ev_migrate(world.reg[SERVER], world.server_conn.object, &local),
                    -EOPNOTSUPP);
    on_another_thread(migrate_elsewhere, &answer);
    CU_ASSERT_EQUAL(answer, -EPERM);
    world_end();
}

static int64_t ask_path(int side, mr_object conn, uint8_t kind, uint16_t port)
{
    return mr_ev_path(world.reg[side], conn,
                      &(struct mr_path_call){.kind = kind, .path = 1, .local.port = port});
}

static void *ask_path_elsewhere(void *argument)
{
    *(int *)argument = (int)ask_path(CLIENT, world.conn.object, MR_PATH_CALL_OPEN, 7001);
    return NULL;
}

static void paths_are_opened_and_both_sides_told(void)
{
    int answer = 0;

    world_connect(3);
    CU_ASSERT_EQUAL(ask_path(CLIENT, world.conn.object, MR_PATH_CALL_OPEN, 7000), 1);
    world_run();
    CU_ASSERT_EQUAL(world.conn.told[MR_EV_PATHS_CHANGED], 1);
    CU_ASSERT_EQUAL(world.server_conn.told[MR_EV_PATHS_CHANGED], 1);
    CU_ASSERT_EQUAL(ask_path(CLIENT, world.conn.object, MR_PATH_CALL_BACKUP, 0), 0);
    world_run();
    CU_ASSERT_EQUAL(world.server_conn.told[MR_EV_PATHS_CHANGED], 2);
    CU_ASSERT_EQUAL(ask_path(CLIENT, 12345, MR_PATH_CALL_ABANDON, 0), -ESTALE);
    CU_ASSERT_EQUAL(ask_path(SERVER, world.server_conn.object, MR_PATH_CALL_OPEN, 0), -EOPNOTSUPP);
    on_another_thread(ask_path_elsewhere, &answer);
    CU_ASSERT_EQUAL(answer, -EPERM);
    world_end();
}

/* ------------------------------------------------------------------ RESET_STREAM_AT, 0-RTT */

static void *reset_at_elsewhere(void *argument)
{
    CU_ASSERT_EQUAL(mr_ev_reset_at(world.reg[CLIENT], *(mr_object *)argument, 9, 4), 0);
    return NULL;
}

/* The peer gets the bytes that are guaranteed, then the code; here sending is over. */
static void a_stream_is_reset_but_for_its_first_bytes(void)
{
    for (int from_elsewhere = 0; from_elsewhere < 2; from_elsewhere++) {
        mr_object stream;

        world_connect(4);
        CU_ASSERT_EQUAL(world_open(&world.stream, MR_OPEN_BIDI, &stream), 0);
        CU_ASSERT_EQUAL(world_send(CLIENT, stream, "abcdef", 0, (void *)1), 0);
        CU_ASSERT_EQUAL(mr_ev_reset_at(world.reg[CLIENT], stream, 9, 7), -EINVAL);
        CU_ASSERT_EQUAL(mr_ev_reset_at(world.reg[CLIENT], stream, MR_ERROR_CODE_MAX + 1, 4),
                        -EINVAL);
        if (from_elsewhere != 0)
            on_another_thread(reset_at_elsewhere, &stream);
        else
            reset_at_elsewhere(&stream);
        world_run();
        CU_ASSERT_EQUAL(world_send(CLIENT, stream, "g", 0, NULL), -EPIPE);
        CU_ASSERT(world.server_stream.received >= 4);
        CU_ASSERT_EQUAL(world.server_stream.told[MR_EV_PEER_SEND_ABORTED], 1);
        CU_ASSERT_FALSE(world.server_stream.has_fin);
        CU_ASSERT_EQUAL(mr_ev_reset_at(world.reg[SERVER], 12345, 9, 0), -ESTALE);
        CU_ASSERT_EQUAL(mr_ev_reset_at(world.reg[CLIENT], world.conn.object, 9, 0), -ESTALE);
        world_end();
    }
}

static struct mr_ev aborted;

static bool note_abort(struct node *node, struct mr_ev *event, enum mr_ev_answer *answer_out)
{
    (void)node;
    (void)answer_out;
    if (event->type == MR_EV_PEER_SEND_ABORTED)
        aborted = *event;
    return false;
}

static void what_was_guaranteed_is_said(void)
{
    for (int is_plain = 0; is_plain < 2; is_plain++) {
        mr_object stream;

        world_connect(5);
        world.server_stream.react = note_abort;
        aborted.error = 0;
        CU_ASSERT_EQUAL(world_open(&world.stream, MR_OPEN_BIDI, &stream), 0);
        CU_ASSERT_EQUAL(world_send(CLIENT, stream, "abcdef", 0, (void *)1), 0);
        CU_ASSERT_EQUAL(is_plain != 0 ? mr_ev_shutdown(world.reg[CLIENT], stream, 0, 9)
                                      : mr_ev_reset_at(world.reg[CLIENT], stream, 9, 6),
                        0);
        world_run();
        CU_ASSERT_EQUAL(aborted.error, 9);
        CU_ASSERT_EQUAL(aborted.is_reliable, is_plain == 0);
        world_end();
    }
}

static bool early_told;

static bool note_early(struct node *node, struct mr_ev *event, enum mr_ev_answer *answer_out)
{
    (void)node;
    (void)answer_out;
    if (event->type == MR_EV_CONNECTED)
        early_told = event->info->is_early;
    return false;
}

/* A server is told with CONNECTED that what comes may be a copy, and when it cannot be any more. */
static void a_server_is_told_what_may_be_a_copy(void)
{
    for (int is_early = 0; is_early < 2; is_early++) {
        struct mr_connect_options options = world_options();
        struct mr_conn_info info;

        world_prepare(1);
        world.config.has_early = is_early != 0;
        world.server_conn.react = note_early;
        world_start();
        CU_ASSERT_EQUAL(mr_ev_connect(world.reg[CLIENT], &options, node_handler, &world.conn,
                                      &world.conn.object),
                        0);
        world_run();
        CU_ASSERT_EQUAL(early_told, is_early != 0);
        CU_ASSERT_EQUAL(world.server_conn.told[MR_EV_CONFIRMED], 0);
        loop_confirm(world.loop);
        world_run();
        CU_ASSERT_EQUAL(world.server_conn.told[MR_EV_CONFIRMED], (uint32_t)is_early);
        CU_ASSERT_EQUAL(mr_ev_conn_info(world.reg[SERVER], world.server_conn.object, &info), 0);
        CU_ASSERT_FALSE(info.is_early);
        world_end();
    }
}

static CU_TestInfo tests[] = {
    {"a stream is reset but for its first bytes", a_stream_is_reset_but_for_its_first_bytes},
    {"what was guaranteed is said", what_was_guaranteed_is_said},
    {"a server is told what may be a copy", a_server_is_told_what_may_be_a_copy},
    {"a new path is told with its addresses", a_new_path_is_told_with_its_addresses},
    {"paths are opened and both sides told", paths_are_opened_and_both_sides_told},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "callbacks of QUIC", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
