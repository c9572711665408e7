/*
 * Tests of dataplane/app_move.c: what goes along with a connection that moves, and what stays; the
 * world in move_world.h.
 */
#include "tests/unit/move_world.h"

/* ------------------------------------------------------------------ what goes along */

static void a_connection_goes_with_its_streams(void)
{
    uint64_t clients;

    start(MOVES);
    uint64_t stream = begin_stream(&clients, "one ");
    move(0);
    stream = follow(1, stream);
    send_text(client, clients, 8192, "two", MR_SQE_FIN, 2);
    hear(at[1], "two", 4);
    send_text(at[1], stream, 0, "back", MR_SQE_FIN, 7);
    hear(client, "back", 0);
    CU_ASSERT_EQUAL(app_world_answer(&w, at[1], MR_OP_SEND).user_data, 7);
    CU_ASSERT_EQUAL(app_world_event(&w, at[1], MR_EVENT_CLOSED).stream, stream);
    CU_ASSERT_EQUAL(stats_of(0)->moves_out, 1);
    CU_ASSERT_EQUAL(stats_of(1)->moves_in, 1);
    CU_ASSERT_EQUAL(count_events(at[0], UINT32_MAX), 0);
    stop();
}

/* User data, too, and the old names are stale. */
static void old_names_are_stale_and_words_stay(void)
{
    uint64_t clients;

    start(MOVES);
    uint64_t stream = begin_stream(&clients, "x");
    uint64_t before = conn;
    app_world_call(&w, at[0], (struct mr_sqe){.op = MR_OP_USERDATA, .handle = conn, .value = 4711});
    app_world_call(&w, at[0],
                   (struct mr_sqe){.op = MR_OP_USERDATA, .handle = stream, .value = 4712});
    order(0);
    struct mr_cqe moved = wait_moved(0);
    CU_ASSERT_EQUAL(moved.user_data, 4711);
    CU_ASSERT_EQUAL(app_world_call(&w, at[0], ack_of(&moved)).result, 0);
    CU_ASSERT_EQUAL(app_world_event(&w, at[1], MR_EVENT_MOVED_IN).user_data, 4711);
    CU_ASSERT_EQUAL(app_world_event(&w, at[1], MR_EVENT_MOVED_IN).user_data, 4712);
    app_world_step(&w, 5);
    CU_ASSERT_EQUAL(
        app_world_call(&w, at[0], (struct mr_sqe){.op = MR_OP_CLOSE, .handle = before}).result,
        -ESTALE);
    CU_ASSERT_EQUAL(
        app_world_call(&w, at[0], (struct mr_sqe){.op = MR_OP_RESET, .handle = stream}).result,
        -ESTALE);
    stop();
}

/* Between MOVED and MOVED_IN nothing is told; then all of it, in order. */
static void what_happens_meanwhile_is_told_afterwards(void)
{
    uint64_t clients;
    uint64_t more;

    start(MOVES);
    uint64_t stream = begin_stream(&clients, "a");
    order(0);
    struct mr_cqe moved = wait_moved(0);
    send_text(client, clients, 8192, "b", 0, 2);
    more = app_world_open(&w, client, client_conn); /* a stream that nobody was told of */
    send_text(client, more, 12288, "new", 0, 3);
    app_world_call(&w, client, (struct mr_sqe){.op = MR_OP_RESET, .handle = clients, .value = 5});
    app_world_step(&w, 20);
    struct mr_cqe none = app_side_peek(at[0]);
    CU_ASSERT(app_is_none(&none));
    app_world_call(&w, at[0], ack_of(&moved));
    struct mr_cqe in = app_world_event(&w, at[1], MR_EVENT_MOVED_IN);
    conn = in.conn;
    stream = follow(1, stream);
    struct mr_cqe reset = app_world_event(&w, at[1], MR_EVENT_RESET);
    CU_ASSERT_EQUAL(reset.stream, stream);
    CU_ASSERT_EQUAL(reset.value, 5);
    struct mr_cqe opened = app_world_event(&w, at[1], MR_EVENT_STREAM_OPENED);
    CU_ASSERT_EQUAL(opened.kinds, MR_EVENT_STREAM_OPENED);
    CU_ASSERT_EQUAL(expect_text(at[1], "new", 0).stream, opened.stream);
    stop();
}

/* SENDs are done where the connection is, and their memory is held until then. */
static void sends_that_are_out_are_done_in_the_new_ring(void)
{
    uint64_t clients;

    start(MOVES);
    uint64_t stream = begin_stream(&clients, "x");
    loop_hold_acks(w.loop, 1, true);
    for (uint32_t i = 0; i < 5; i++)
        send_text(at[0], stream, i * 64, "part", 0, 100 + i);
    app_world_step(&w, 10);
    move(0);
    stream = follow(1, stream);
    send_text(at[1], stream, 0, "last", MR_SQE_FIN, 105);
    app_world_step(&w, 20);
    CU_ASSERT_EQUAL(count_events(at[1], UINT32_MAX), 0);
    mr_app_host_detach(w.host[APP_SERVER], (uint32_t)at[0]->ring); /* its memory is named still */
    app_world_step(&w, 50);
    CU_ASSERT_EQUAL(mr_app_host_ring_state(w.host[APP_SERVER], (uint32_t)at[0]->ring),
                    MR_APP_RING_LETTING_GO);
    loop_hold_acks(w.loop, 1, false);
    for (uint32_t i = 0; i < 6; i++) {
        struct mr_cqe cqe = app_world_answer(&w, at[1], MR_OP_SEND);

        CU_ASSERT_EQUAL(cqe.user_data, 100 + i);
        CU_ASSERT_EQUAL(cqe.result, 0);
        CU_ASSERT_EQUAL(cqe.stream, stream);
    }
    app_world_step(&w, 5);
    CU_ASSERT_EQUAL(mr_app_host_ring_state(w.host[APP_SERVER], (uint32_t)at[0]->ring),
                    MR_APP_RING_DRAINED);
    stop();
}

/* What the transport had no room for is sent over there, in order. */
static void sends_that_wait_go_along(void)
{
    struct loop_config loop = loop_config_default(1);
    uint64_t clients;
    uint8_t got[1000];
    uint32_t done = 0;
    struct mr_cqe cqe;
    uint32_t size = 0;

    loop.queue_max = 100;
    loop.stream_window = 100;
    start_with(&loop, sizes_of(MOVES), NULL, 3);
    uint64_t stream = begin_stream(&clients, "x");
    for (uint32_t i = 0; i < 10; i++) {
        memset(app_side_bytes(at[0], i * 128), 'a' + (int)i, 100);
        app_side_send(at[0], stream, i * 128, 100, i == 9 ? MR_SQE_FIN : 0, 200 + i);
    }
    app_world_step(&w, 20); /* the client holds what it has: the rest is stuck */
    move(0);
    follow(1, stream);
    while (size < sizeof(got)) {
        cqe = app_world_wait(&w, client, is_data, 0);
        CU_ASSERT_FALSE_FATAL(app_is_none(&cqe));
        CU_ASSERT_EQUAL_FATAL(cqe.value, size);
        memcpy(got + size, app_side_data(client, &cqe), cqe.size);
        size += cqe.size;
        app_side_release(client, &cqe);
    }
    for (uint32_t i = 0; i < sizeof(got); i++)
        CU_ASSERT_EQUAL(got[i], 'a' + i / 100);
    while (app_side_next(at[0], &cqe))
        if (cqe.type == MR_CQE_DONE && cqe.op == MR_OP_SEND)
            CU_ASSERT_EQUAL(cqe.user_data, 200 + done++);
    CU_ASSERT(done < 8); /* the others had not even been given to the transport */
    while (done < 10)
        CU_ASSERT_EQUAL(app_world_answer(&w, at[1], MR_OP_SEND).user_data, 200 + done++);
    stop();
}

/* Slots are the ring's in which they were told, and are given back there, at any time. */
static void slots_that_are_held_stay_behind(void)
{
    struct mr_app_ring_stats stats;
    struct mr_cqe held[3];
    uint64_t clients;

    start(MOVES);
    uint64_t stream = begin_stream(&clients, "x");
    for (uint32_t i = 0; i < 3; i++) {
        send_text(client, clients, 8192 + i * 64, "yz", 0, 2);
        held[i] = expect_text(at[0], "yz", 1 + i * 2);
    }
    move(0);
    follow(1, stream);
    app_world_step(&w, 3);
    mr_app_host_ring_stats(w.host[APP_SERVER], (uint32_t)at[0]->ring, &stats);
    CU_ASSERT_EQUAL(stats.slots_held, 3);
    CU_ASSERT_EQUAL(memcmp(app_side_data(at[0], &held[0]), "yz", 2), 0);
    for (uint32_t i = 0; i < 3; i++)
        app_side_release(at[0], &held[i]);
    app_world_step(&w, 3);
    mr_app_host_ring_stats(w.host[APP_SERVER], (uint32_t)at[0]->ring, &stats);
    CU_ASSERT_EQUAL(stats.slots_held, 0);
    CU_ASSERT_EQUAL(stats.bad_submissions, 0);
    send_text(client, clients, 8192, "more", 0, 3);
    hear(at[1], "more", 7);
    stop();
}

/* Data for which there was no slot waits, and is told over there. */
static void hungry_streams_are_fed_by_the_new_ring(void)
{
    struct mr_ring_sizes sizes = sizes_of(MOVES);
    struct loop_config loop = loop_config_default(1);
    uint64_t clients;

    sizes.slot_count = 4; /* one of a stream at most */
    start_with(&loop, sizes, NULL, 3);
    uint64_t stream = begin_stream(&clients, "x");
    send_text(client, clients, 8192, "held", 0, 2);
    expect_text(at[0], "held", 1);
    send_text(client, clients, 8200, "waits", MR_SQE_FIN, 3);
    app_world_step(&w, 10);
    move(0);
    stream = follow(1, stream);
    struct mr_cqe cqe = expect_text(at[1], "waits", 5);
    CU_ASSERT_EQUAL(cqe.stream, stream);
    CU_ASSERT_EQUAL(cqe.flags & MR_CQE_FIN, MR_CQE_FIN);
    stop();
}

/* What the application has begun before MOVE_ACK goes along, too; aliases stay behind, and are
 * free. */
static void what_is_opened_before_the_answer_goes_along(void)
{
    start(MOVES);
    order(0);
    struct mr_cqe moved = wait_moved(0);
    app_side_submit(
        at[0], &(struct mr_sqe){.op = MR_OP_OPEN, .handle = conn, .alias = 3, .user_data = 33});
    send_text(at[0], MR_RING_ALIAS | 2, 0, "by alias", MR_SQE_FIN, 34);
    struct mr_sqe ack = ack_of(&moved);
    app_side_submit(at[0], &ack);
    struct mr_cqe opened = app_world_answer(&w, at[0], MR_OP_OPEN);
    CU_ASSERT_EQUAL(opened.result, 0);
    CU_ASSERT_EQUAL(app_world_answer(&w, at[0], MR_OP_MOVE_ACK).result, 0);
    struct mr_cqe in = app_world_event(&w, at[1], MR_EVENT_MOVED_IN);
    conn = in.conn;
    uint64_t stream = follow(1, opened.stream);
    hear(client, "by alias", 0);
    struct mr_cqe sent = app_world_answer(&w, at[1], MR_OP_SEND);
    CU_ASSERT_EQUAL(sent.user_data, 34);
    CU_ASSERT_EQUAL(sent.stream, stream);
    move(1); /* back, where the alias is free */
    CU_ASSERT_EQUAL(
        app_world_call(&w, at[0], (struct mr_sqe){.op = MR_OP_OPEN, .handle = conn, .alias = 3})
            .result,
        0);
    stop();
}

/* A stream that is over before its connection goes is told of where that is. */
static void a_stream_that_ends_meanwhile_is_told_of_over_there(void)
{
    uint64_t clients;

    start(MOVES);
    uint64_t stream = begin_stream(&clients, "x");
    loop_hold_acks(w.loop, 1, true);
    send_text(at[0], stream, 0, "bye", MR_SQE_FIN, 5);
    send_text(client, clients, 8192, "end", MR_SQE_FIN, 6);
    hear(client, "bye", 0);
    hear(at[0], "end", 1);
    order(0); /* before its CLOSED */
    struct mr_cqe moved = wait_moved(0);
    loop_hold_acks(w.loop, 1, false);
    app_world_step(&w, 20);
    app_world_call(&w, at[0], ack_of(&moved));
    struct mr_cqe in = app_world_event(&w, at[1], MR_EVENT_MOVED_IN);
    conn = in.conn;
    stream = follow(1, stream);
    CU_ASSERT_EQUAL(app_world_answer(&w, at[1], MR_OP_SEND).user_data, 5);
    CU_ASSERT_EQUAL(app_world_event(&w, at[1], MR_EVENT_CLOSED).stream, stream);
    stop();
}

static void datagrams_that_wait_go_along(void)
{
    start(MOVES);
    order(0);
    struct mr_cqe moved = wait_moved(0);
    fill(client, 0, "gram");
    app_world_call(&w, client,
                   (struct mr_sqe){.op = MR_OP_DATAGRAM,
                                   .handle = client_conn,
                                   .size = 4,
                                   .address = app_side_address(client, 0)});
    app_world_step(&w, 5);
    app_world_call(&w, at[0], ack_of(&moved));
    conn = app_world_event(&w, at[1], MR_EVENT_MOVED_IN).conn;
    struct mr_cqe cqe = {0};
    for (uint32_t i = 0; i < 50 && cqe.type != MR_CQE_DATAGRAM; i++) {
        app_world_step(&w, 1);
        cqe = app_side_peek(at[1]);
    }
    CU_ASSERT_EQUAL(cqe.type, MR_CQE_DATAGRAM);
    CU_ASSERT_EQUAL(cqe.conn, conn);
    CU_ASSERT_EQUAL(memcmp(app_side_data(at[1], &cqe), "gram", 4), 0);
    stop();
}

/* Each SEND counts at the ring whose memory it names, wherever it went. */
static void there_and_back_with_sends_out(void)
{
    uint64_t clients;

    start(MOVES);
    uint64_t stream = begin_stream(&clients, "x");
    loop_hold_acks(w.loop, 1, true);
    for (uint32_t i = 0; i < 6; i++) {
        uint32_t shard = i % 2;

        send_text(at[shard], stream, i * 64, "part", 0, 100 + i);
        app_world_step(&w, 3);
        move(shard);
        stream = follow(1 - shard, stream);
    }
    loop_hold_acks(w.loop, 1, false);
    for (uint32_t i = 0; i < 6; i++)
        CU_ASSERT_EQUAL(app_world_answer(&w, at[0], MR_OP_SEND).user_data, 100 + i);
    CU_ASSERT_EQUAL(stats_of(0)->moves_out + stats_of(1)->moves_out, 6);
    stop();
}

static CU_TestInfo tests[] = {
    {"Q17 a connection goes with its streams", a_connection_goes_with_its_streams},
    {"old names are stale, and words stay", old_names_are_stale_and_words_stay},
    {"what happens meanwhile is told afterwards", what_happens_meanwhile_is_told_afterwards},
    {"SENDs that are out are done in the new ring", sends_that_are_out_are_done_in_the_new_ring},
    {"SENDs that wait go along", sends_that_wait_go_along},
    {"slots that are held stay behind", slots_that_are_held_stay_behind},
    {"hungry streams are fed by the new ring", hungry_streams_are_fed_by_the_new_ring},
    {"what is opened before the answer goes along", what_is_opened_before_the_answer_goes_along},
    {"a stream that ends meanwhile is told of over there",
     a_stream_that_ends_meanwhile_is_told_of_over_there},
    {"datagrams that wait go along", datagrams_that_wait_go_along},
    {"there and back with SENDs out", there_and_back_with_sends_out},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "dataplane/app_move", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
