/*
 * Tests of dataplane/app_move.c: moves that do not come about, and ends in the middle of one; the
 * world in move_world.h.
 */
#include "tests/unit/move_world.h"

/* ------------------------------------------------------------------ staying */

/* Nothing is asked of an application that does not want it, or has no ring there. */
static void check_pinned(uint32_t flags, uint64_t siblings)
{
    struct loop_config loop = loop_config_default(1);

    start_with(&loop, sizes_of(flags), NULL, siblings);
    order(0);
    app_world_step(&w, PATIENCE);
    CU_ASSERT_EQUAL(count_events(at[0], MR_EVENT_MOVED), 0);
    CU_ASSERT_EQUAL(stats_of(0)->moves_begun, 0);
    CU_ASSERT_EQUAL(
        app_world_call(&w, at[0], (struct mr_sqe){.op = MR_OP_MOVE_ACK, .handle = conn}).result,
        -ECANCELED);
    stop();
}

static void whoever_cannot_move_is_not_asked(void)
{
    check_pinned(0, 3);
    check_pinned(MOVES, 1);
}

static void no_answer_in_time_and_it_stays(void)
{
    uint64_t clients;

    start(MOVES);
    uint64_t stream = begin_stream(&clients, "x");
    order(0);
    struct mr_cqe moved = wait_moved(0);
    send_text(client, clients, 8192, "y", 0, 2);
    app_world_step(&w, PATIENCE / 2);
    struct mr_cqe none = app_side_peek(at[0]);
    CU_ASSERT(app_is_none(&none));
    app_world_step(&w, PATIENCE / 2 + 10);
    struct mr_cqe stays = app_side_peek(at[0]);
    CU_ASSERT_EQUAL(stays.kinds, MR_EVENT_MOVED);
    CU_ASSERT_EQUAL(stays.result, -ETIMEDOUT);
    CU_ASSERT_EQUAL(stays.conn, conn);
    hear(at[0], "y", 1);
    CU_ASSERT_EQUAL(app_world_call(&w, at[0], ack_of(&moved)).result, -ECANCELED); /* too late */
    CU_ASSERT_EQUAL(stats_of(0)->bad_submissions, 0);
    send_text(at[0], stream, 0, "still", 0, 5);
    hear(client, "still", 0);
    CU_ASSERT_EQUAL(stats_of(0)->moves_stayed, 1);
    move(0); /* another time it goes */
    CU_ASSERT_EQUAL(app_world_call(&w, at[0], ack_of(&moved)).result, -ESTALE);
    stop();
}

/* The answer to an earlier question is none to a later one. */
static void an_old_answer_is_none(void)
{
    start(MOVES);
    order(0);
    struct mr_cqe first = wait_moved(0);
    app_world_step(&w, PATIENCE + 10);
    wait_moved(0); /* it stays */
    order(0);
    struct mr_cqe second = wait_moved(0);
    CU_ASSERT_NOT_EQUAL(first.value, second.value);
    CU_ASSERT_EQUAL(app_world_call(&w, at[0], ack_of(&first)).result, -ECANCELED);
    app_world_step(&w, 10);
    CU_ASSERT_EQUAL(stats_of(0)->moves_out, 0);
    CU_ASSERT_EQUAL(app_world_call(&w, at[0], ack_of(&second)).result, 0);
    CU_ASSERT_FALSE(app_world_event(&w, at[1], MR_EVENT_MOVED_IN).conn == 0);
    stop();
}

/* Refused by the new shard: everything is where and as it was, SENDs that are out included. */
static void check_refused(int error)
{
    uint64_t clients;

    uint64_t stream = begin_stream(&clients, "x");
    loop_hold_acks(w.loop, 1, true);
    send_text(at[0], stream, 0, "out ", 0, 7);
    order(0);
    struct mr_cqe moved = wait_moved(0);
    CU_ASSERT_EQUAL(app_world_call(&w, at[0], ack_of(&moved)).result, 0);
    struct mr_cqe stays = wait_moved(0);
    CU_ASSERT_EQUAL(stays.result, error);
    loop_hold_acks(w.loop, 1, false);
    CU_ASSERT_EQUAL(app_world_answer(&w, at[0], MR_OP_SEND).user_data, 7);
    send_text(at[0], stream, 64, "again", 0, 8);
    hear(client, "out ", 0);
    hear(client, "again", 4);
    send_text(client, clients, 8192, "y", 0, 9);
    hear(at[0], "y", 1);
    CU_ASSERT_EQUAL(stats_of(0)->moves_out, 0);
    CU_ASSERT_EQUAL(count_events(at[1], UINT32_MAX), 0);
}

static void a_shard_without_room_gives_it_back(void)
{
    start(MOVES);
    loop_refuse_move(w.loop, -ENOMEM); /* after its application had taken it */
    check_refused(-ENOMEM);
    stop();
}

static void a_ring_without_room_gives_it_back(void)
{
    struct mr_app_host_config host = app_world_host_config();
    struct loop_config loop = loop_config_default(1);
    struct mr_ring_sizes small = sizes_of(MOVES);
    struct mr_ring_sizes plain = sizes_of(0);

    host.move_ns = MOVE_NS;
    app_world_start(&w, &loop, &plain, &host, NULL);
    client = &w.app[APP_CLIENT];
    app_world_step(&w, 2);
    app_world_call(&w, &w.app[APP_SERVER],
                   (struct mr_sqe){.op = MR_OP_LISTEN, .value = MR_RING_EVERY});
    app_world_add_shard(&w, &host);
    app_world_step(&w, 2);
    for (uint32_t i = 0; i < 2; i++) {
        small.objects_max = i == 0 ? 64 : 1; /* the connection, but not its stream */
        at[i] = app_world_attach(&w, APP_SERVER + i, &small,
                                 &(struct mr_app_ring_config){.listeners = UINT64_MAX,
                                                              .numa_node = -1,
                                                              .attachment = NUMBER,
                                                              .siblings = 3,
                                                              .first_shard = 4});
        app_world_call(&w, at[i],
                       (struct mr_sqe){.op = MR_OP_LISTEN, .value = MR_RING_EVERY, .address = 1});
    }
    connect_one();
    check_refused(-ENOMEM);
    stop();
}

static void an_attachment_without_a_ring_there_any_more_keeps_it(void)
{
    start(MOVES);
    mr_app_host_detach(w.host[APP_SECOND], (uint32_t)at[1]->ring);
    app_world_step(&w, 10);
    struct app_side *gone = at[1];
    struct mr_cqe cqe;
    while (app_side_next(gone, &cqe))
        continue;
    check_refused(-ECANCELED);
    stop();
}

/* A SEND that is to come again must come where its memory is. */
static void a_refused_send_keeps_it(void)
{
    struct mr_ring_sizes sizes = sizes_of(MOVES);
    struct loop_config loop = loop_config_default(1);
    uint64_t clients;

    sizes.sends_max = 2;
    start_with(&loop, sizes, NULL, 3);
    uint64_t stream = begin_stream(&clients, "x");
    loop_hold_acks(w.loop, 1, true);
    for (uint32_t i = 0; i < 3; i++)
        send_text(at[0], stream, i * 64, "part", 0, 100 + i);
    struct mr_cqe refused = app_world_answer(&w, at[0], MR_OP_SEND);
    CU_ASSERT_EQUAL(refused.result, -ENOBUFS);
    order(0);
    struct mr_cqe moved = wait_moved(0);
    CU_ASSERT_EQUAL(app_world_call(&w, at[0], ack_of(&moved)).result, -ECANCELED);
    CU_ASSERT_EQUAL(wait_moved(0).result, -EBUSY);
    loop_hold_acks(w.loop, 1, false);
    CU_ASSERT_EQUAL(app_world_answer(&w, at[0], MR_OP_SEND).user_data, 100);
    CU_ASSERT_EQUAL(app_world_answer(&w, at[0], MR_OP_SEND).user_data, 101);
    send_text(at[0], stream, 128, "part", MR_SQE_AGAIN, 102);
    CU_ASSERT_EQUAL(app_world_answer(&w, at[0], MR_OP_SEND).user_data, 102);
    move(0);
    stop();
}

/* By reference everything that was shown must have been given back first. */
static void by_reference_it_waits_for_releases(void)
{
    uint64_t clients;

    start(MOVES | MR_RING_BY_REFERENCE);
    uint64_t stream = begin_stream(&clients, "x");
    send_text(client, clients, 8192, "shown", 0, 2);
    struct mr_cqe shown = expect_text(at[0], "shown", 1);
    order(0);
    struct mr_cqe moved = wait_moved(0);
    CU_ASSERT_EQUAL(app_world_call(&w, at[0], ack_of(&moved)).result, 0);
    send_text(client, clients, 8200, " later", 0, 3);
    app_world_step(&w, 50);
    CU_ASSERT_EQUAL(stats_of(0)->moves_out, 0);
    app_side_release(at[0], &shown);
    struct mr_cqe in = app_world_event(&w, at[1], MR_EVENT_MOVED_IN);
    CU_ASSERT_FALSE_FATAL(app_is_none(&in));
    conn = in.conn;
    CU_ASSERT_EQUAL(expect_text(at[1], " later", 6).stream, follow(1, stream));
    stop();
}

static void by_reference_nobody_waits_for_ever(void)
{
    uint64_t clients;

    start(MOVES | MR_RING_BY_REFERENCE);
    begin_stream(&clients, "x");
    send_text(client, clients, 8192, "shown", 0, 2);
    struct mr_cqe shown = expect_text(at[0], "shown", 1);
    order(0);
    struct mr_cqe moved = wait_moved(0);
    app_world_call(&w, at[0], ack_of(&moved));
    app_world_step(&w, PATIENCE + 10);
    CU_ASSERT_EQUAL(wait_moved(0).result, -ETIMEDOUT);
    app_side_release(at[0], &shown);
    send_text(client, clients, 8200, "!", 0, 3);
    hear(at[0], "!", 6);
    stop();
}

static void a_connection_that_ends_does_not_go(void)
{
    start(MOVES);
    order(0);
    wait_moved(0);
    app_world_call(&w, client,
                   (struct mr_sqe){.op = MR_OP_CLOSE, .handle = client_conn, .value = 3});
    CU_ASSERT_EQUAL(wait_moved(0).result, -ENOTCONN);
    struct mr_cqe closed = app_world_event(&w, at[0], MR_EVENT_CLOSED);
    CU_ASSERT_EQUAL(closed.conn, conn);
    CU_ASSERT_EQUAL(closed.value, 3);
    stop();
}

/* ------------------------------------------------------------------ ends in between */

/* Bring a move to one of its stages: 0 asked, 1 told, 2 acknowledged, 3 packed, 4 taken, 5 told. */
static void bring_to(int stage)
{
    order(0);
    if (stage == 0)
        return;
    struct mr_cqe moved = wait_moved(0);
    if (stage == 1)
        return;
    struct mr_sqe ack = ack_of(&moved);
    loop_hold_moves(w.loop, true);
    app_side_submit(at[0], &ack);
    app_world_step(&w, 2);
    for (int i = 3; i <= stage; i++) {
        loop_hold_moves(w.loop, false);
        app_world_step(&w, 1);
        loop_hold_moves(w.loop, true);
    }
}

/* The application dies: its connection is closed, whichever shard has it, and all comes back. */
static void check_death(int stage)
{
    uint64_t clients;

    start(MOVES);
    uint64_t stream = begin_stream(&clients, "x");
    loop_hold_acks(w.loop, 1, true);
    send_text(at[0], stream, 0, "out", 0, 7);
    app_world_step(&w, 5);
    bring_to(stage);
    for (uint32_t i = 0; i < 2; i++)
        mr_app_host_detach(at[i]->host, (uint32_t)at[i]->ring);
    app_world_step(&w, 20);
    loop_hold_moves(w.loop, false);
    struct mr_cqe closed = {0};
    do
        closed = app_world_event(&w, client, MR_EVENT_CLOSED);
    while (!app_is_none(&closed) && closed.stream != 0);
    CU_ASSERT_EQUAL(closed.value, 73);
    loop_hold_acks(w.loop, 1, false);
    app_world_step(&w, 20);
    for (uint32_t i = 0; i < 2; i++)
        CU_ASSERT_EQUAL(mr_app_host_ring_state(at[i]->host, (uint32_t)at[i]->ring),
                        MR_APP_RING_DRAINED);
    stop();
}

static void an_application_may_die_at_any_stage(void)
{
    for (int stage = 0; stage <= 5; stage++)
        check_death(stage);
}

/* The peer closes: the application hears of it where the connection is, after MOVED_IN if it went.
 */
static void check_close(int stage)
{
    start(MOVES);
    bring_to(stage);
    app_world_call(&w, client,
                   (struct mr_sqe){.op = MR_OP_CLOSE, .handle = client_conn, .value = 3});
    app_world_step(&w, 5);
    loop_hold_moves(w.loop, false);
    app_world_step(&w, 20);
    bool went = stats_of(0)->moves_out == 1;
    CU_ASSERT_EQUAL(went, stage >= 3);
    if (went) {
        conn = app_world_event(&w, at[1], MR_EVENT_MOVED_IN).conn;
        CU_ASSERT_NOT_EQUAL(conn, 0);
    }
    struct mr_cqe closed = app_world_event(&w, at[went], MR_EVENT_CLOSED);
    CU_ASSERT_EQUAL(closed.conn, conn);
    CU_ASSERT_EQUAL(closed.value, 3);
    stop();
}

static void the_peer_may_close_at_any_stage(void)
{
    for (int stage = 0; stage <= 5; stage++)
        check_close(stage);
}

/* The one who inherits hears nothing of the move. */
static void an_heir_gets_a_connection_that_has_just_come(void)
{
    struct mr_handoff policy = app_world_policy();
    struct loop_config loop = loop_config_default(1);
    struct mr_ring_sizes plain = sizes_of(0);
    uint64_t clients;

    policy.listener[0].death = MR_DEATH_INHERIT;
    start_with(&loop, sizes_of(MOVES), &policy, 3);
    struct app_side *heir = app_world_attach(
        &w, APP_SECOND, &plain, &(struct mr_app_ring_config){.listeners = 1, .numa_node = -1});
    app_world_call(&w, heir,
                   (struct mr_sqe){.op = MR_OP_LISTEN, .value = MR_RING_EVERY, .address = 1});
    begin_stream(&clients, "x");
    bring_to(4);
    for (uint32_t i = 0; i < 2; i++)
        mr_app_host_detach(at[i]->host, (uint32_t)at[i]->ring);
    app_world_step(&w, 10);
    loop_hold_moves(w.loop, false);
    struct mr_cqe got = app_world_event(&w, heir, MR_EVENT_CONNECTED);
    CU_ASSERT_FALSE(app_is_none(&got));
    CU_ASSERT_EQUAL(got.kinds & (MR_EVENT_MOVED_IN | MR_EVENT_CONNECTED), MR_EVENT_CONNECTED);
    CU_ASSERT_EQUAL(got.flags, MR_CQE_INHERITED);
    send_text(client, clients, 8192, "y", 0, 2);
    hear(heir, "y", 1);
    stop();
}

static CU_TestInfo tests[] = {
    {"whoever cannot move is not asked", whoever_cannot_move_is_not_asked},
    {"no answer in time, and it stays", no_answer_in_time_and_it_stays},
    {"an old answer is none", an_old_answer_is_none},
    {"a shard without room gives it back", a_shard_without_room_gives_it_back},
    {"a ring without room gives it back", a_ring_without_room_gives_it_back},
    {"an attachment without a ring there any more keeps it",
     an_attachment_without_a_ring_there_any_more_keeps_it},
    {"a refused SEND keeps it", a_refused_send_keeps_it},
    {"by reference it waits for releases", by_reference_it_waits_for_releases},
    {"by reference nobody waits for ever", by_reference_nobody_waits_for_ever},
    {"a connection that ends does not go", a_connection_that_ends_does_not_go},
    {"an application may die at any stage", an_application_may_die_at_any_stage},
    {"the peer may close at any stage", the_peer_may_close_at_any_stage},
    {"an heir gets a connection that has just come", an_heir_gets_a_connection_that_has_just_come},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "dataplane/app_move, ends", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
