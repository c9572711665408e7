/* Tests of dataplane/app_send.c: SENDs that go, wait, are refused, and are done. */
#include <errno.h>

#include "tests/support/app_side.h"
#include "tests/unit/harness.h"

static struct app_world w;
static struct app_side *client;
static struct app_side *server;
static uint64_t conn;
static uint64_t stream;

static uint8_t byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 31 + offset / 253);
}

/* A client with a stream, and `sends_max` records; the send area holds what is to be sent. */
static void start_with(const struct loop_config *config, uint32_t sends_max)
{
    struct mr_ring_sizes sizes = app_world_sizes(256, 64);

    sizes.sends_max = sends_max;
    app_world_start(&w, config, &sizes, NULL, NULL);
    client = &w.app[APP_CLIENT];
    server = &w.app[APP_SERVER];
    conn = app_world_connect(&w, client);
    stream = app_world_open(&w, client, conn);
    CU_ASSERT_NOT_EQUAL_FATAL(stream, 0);
    for (uint64_t i = 0; i < 1 << 20; i++)
        *app_side_bytes(client, i) = byte_at(i);
}

static void start(size_t queue_max, uint32_t sends_max)
{
    struct loop_config config = loop_config_default(1);

    config.close_order = LOOP_STREAMS_FIRST;
    config.queue_max = queue_max;
    start_with(&config, sends_max);
}

/* What the server has received so far; bytes must be those of the send area, in order. */
struct received {
    uint64_t size;
    uint64_t bad;
    bool has_fin;
};

static void receive(struct received *got)
{
    struct mr_cqe cqe;

    while (app_side_next(server, &cqe)) {
        if (cqe.type != MR_CQE_DATA)
            continue;
        got->bad += cqe.value != got->size;
        for (uint32_t i = 0; i < cqe.size; i++)
            got->bad += app_side_data(server, &cqe)[i] != byte_at(got->size + i);
        got->size += cqe.size;
        got->has_fin |= (cqe.flags & MR_CQE_FIN) != 0;
        if (cqe.size > 0)
            app_side_release(server, &cqe);
    }
}

/* Step until `size` bytes and the end have come. */
static struct received receive_all(uint64_t size)
{
    struct received got = {0};

    for (int i = 0; i < 5000 && (got.size < size || !got.has_fin); i++) {
        app_world_step(&w, 1);
        receive(&got);
    }
    return got;
}

/* ------------------------------------------------------------------ waiting */

/* A queue of one byte takes one send at a time; 40 are submitted at once. */
static void what_the_transport_cannot_take_waits_in_order(void)
{
    start(1, 64);
    for (uint32_t i = 0; i < 40; i++)
        app_side_send(client, stream, i * 500, 500, i == 39 ? MR_SQE_FIN : 0, i);
    struct received got = receive_all(20000);
    CU_ASSERT_EQUAL(got.size, 20000);
    CU_ASSERT_EQUAL(got.bad, 0);
    CU_ASSERT(got.has_fin);
    for (uint32_t i = 0; i < 40; i++) { /* each is done, in order */
        struct mr_cqe cqe = app_world_answer(&w, client, MR_OP_SEND);
        CU_ASSERT_EQUAL(cqe.user_data, i);
        CU_ASSERT_EQUAL(cqe.result, 0);
    }
    app_world_stop(&w);
}

/* The transport refuses half of all calls for want of memory: nobody notices. */
static void want_of_memory_is_tried_again(void)
{
    struct loop_config config = loop_config_default(2);

    config.close_order = LOOP_STREAMS_FIRST;
    for (config.seed = 1; config.seed < 8; config.seed++) {
        config.refuse_percent = 0;
        config.queue_max = config.seed % 2 == 0 ? 1000 : 1 << 20;
        struct loop_config refusing = config;
        refusing.refuse_percent = 50;
        struct mr_ring_sizes sizes = app_world_sizes(256, 64);
        app_world_start(&w, &refusing, &sizes, NULL, NULL);
        client = &w.app[APP_CLIENT];
        server = &w.app[APP_SERVER];
        conn = stream = 0;
        for (int i = 0; i < 100 && conn == 0; i++)
            conn = app_world_connect(&w, client);
        for (int i = 0; i < 100 && stream == 0; i++)
            stream = app_world_open(&w, client, conn);
        for (uint64_t i = 0; i < 1 << 20; i++)
            *app_side_bytes(client, i) = byte_at(i);
        for (uint32_t i = 0; i < 40; i++)
            app_side_send(client, stream, i * 500, 500, 0, i);
        app_side_send(client, stream, 0, 0, MR_SQE_FIN, 40); /* the end alone waits, too */
        struct received got = receive_all(20000);
        CU_ASSERT_EQUAL(got.size, 20000);
        CU_ASSERT_EQUAL(got.bad, 0);
        CU_ASSERT(got.has_fin);
        for (uint32_t i = 0; i <= 40; i++) {
            struct mr_cqe cqe = app_world_answer(&w, client, MR_OP_SEND);
            CU_ASSERT_EQUAL(cqe.user_data, i);
            CU_ASSERT_EQUAL(cqe.result, 0);
        }
        app_world_stop(&w);
    }
}

/* Copies stand in line like all others, and may then be overwritten only when they are done. */
static void copies_wait_their_turn(void)
{
    start(1, 64);
    app_side_send(client, stream, 0, 600, 0, 1);
    app_side_send(client, stream, 600, 600, 0, 2);
    app_side_send(client, stream, 1200, 600, MR_SQE_COPY | MR_SQE_FIN, 3);
    struct received got = receive_all(1800);
    CU_ASSERT_EQUAL(got.size, 1800);
    CU_ASSERT_EQUAL(got.bad, 0);
    for (uint32_t i = 1; i <= 3; i++)
        CU_ASSERT_EQUAL(app_world_answer(&w, client, MR_OP_SEND).user_data, i);
    app_world_stop(&w);
}

static void a_copy_is_done_at_once(void)
{
    start(1 << 20, 64);
    loop_hold_acks(w.loop, APP_CLIENT, true);
    app_side_send(client, stream, 0, 600, MR_SQE_COPY, 1);
    app_world_step(&w, 1);
    CU_ASSERT_EQUAL(app_world_answer(&w, client, MR_OP_SEND).user_data, 1);
    memset(app_side_bytes(client, 0), 0xee, 600); /* it is the application's again */
    app_side_send(client, stream, 600, 1025, MR_SQE_COPY, 2);
    struct mr_cqe cqe = app_world_answer(&w, client, MR_OP_SEND);
    CU_ASSERT_EQUAL(cqe.result, -EMSGSIZE);
    app_side_send(client, stream, 600, 0, MR_SQE_FIN | MR_SQE_AGAIN, 3);
    struct received got = receive_all(600);
    CU_ASSERT_EQUAL(got.size, 600);
    CU_ASSERT_EQUAL(got.bad, 0);
    app_world_stop(&w);
}

/* ------------------------------------------------------------------ refused */

/* Without records: -ENOBUFS, then -ECANCELED until the application has seen it; no byte is missing
 * in the middle. */
static void a_refused_send_refuses_those_behind_it(void)
{
    struct mr_cqe cqe;

    start(1 << 20, 4);
    uint64_t other = app_world_open(&w, client, conn);
    loop_hold_acks(w.loop, APP_CLIENT, true);
    for (uint32_t i = 0; i < 4; i++)
        app_side_send(client, stream, i * 100, 100, 0, i);
    app_side_send(client, stream, 400, 100, 0, 4);
    app_side_send(client, stream, 500, 100, 0, 5);
    app_side_send(client, other, 500, 100, 0, 6); /* a stream of its own: refused for itself */
    for (uint32_t i = 4; i < 7; i++) {
        cqe = app_world_answer(&w, client, MR_OP_SEND);
        CU_ASSERT_EQUAL(cqe.user_data, i);
        CU_ASSERT_EQUAL(cqe.result, i == 5 ? -ECANCELED : -ENOBUFS);
    }
    loop_hold_acks(w.loop, APP_CLIENT, false);
    for (uint32_t i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(app_world_answer(&w, client, MR_OP_SEND).user_data, i);
    app_side_send(client, stream, 500, 100, 0, 7); /* there is room, but it was not seen */
    CU_ASSERT_EQUAL(app_world_answer(&w, client, MR_OP_SEND).result, -ECANCELED);
    app_side_send(client, stream, 400, 100, MR_SQE_AGAIN, 8);
    app_side_send(client, stream, 500, 100, MR_SQE_FIN, 9);
    struct received got = receive_all(600);
    CU_ASSERT_EQUAL(got.size, 600);
    CU_ASSERT_EQUAL(got.bad, 0);
    app_world_stop(&w);
}

/* An address outside leaves a hole, too. */
static void a_send_of_nothing_ours_refuses_those_behind_it(void)
{
    start(1 << 20, 8);
    app_side_send(client, stream, 0, 100, 0, 1);
    app_side_send(client, stream, 1 << 20, 100, 0, 2);
    app_side_send(client, stream, 200, 100, 0, 3);
    app_side_send(client, stream, 100, 100, MR_SQE_AGAIN | MR_SQE_FIN, 4);
    struct received got = receive_all(200);
    CU_ASSERT_EQUAL(got.size, 200);
    CU_ASSERT_EQUAL(got.bad, 0);
    static const int32_t results[] = {0, -EINVAL, -ECANCELED, 0};
    uint64_t order[] = {2, 3, 1, 4};
    for (int i = 0; i < 4; i++) {
        struct mr_cqe cqe = app_world_answer(&w, client, MR_OP_SEND);
        CU_ASSERT_EQUAL(cqe.user_data, order[i]);
        CU_ASSERT_EQUAL(cqe.result, results[cqe.user_data - 1]);
    }
    app_world_stop(&w);
}

static void nothing_follows_the_end(void)
{
    start(1, 8);
    app_side_send(client, stream, 0, 100, 0, 1);
    app_side_send(client, stream, 100, 100, MR_SQE_FIN, 2); /* waits */
    app_side_send(client, stream, 200, 100, 0, 3);
    CU_ASSERT_EQUAL(app_world_answer(&w, client, MR_OP_SEND).result, -EPIPE);
    CU_ASSERT_EQUAL(receive_all(200).size, 200);
    app_world_stop(&w);
}

/* ------------------------------------------------------------------ ends */

/* The application resets a stream, SENDs of which wait: those fail at once, the others at the end.
 */
static void a_reset_ends_what_waits(void)
{
    struct mr_cqe cqe;

    start(1, 8);
    loop_hold_acks(w.loop, APP_CLIENT, true);
    app_side_send(client, stream, 0, 70000, 0, 1); /* more than the peer's window */
    app_side_send(client, stream, 500, 500, 0, 2);
    app_side_send(client, stream, 1000, 500, MR_SQE_QUIET, 3); /* quiet: but it failed */
    app_side_submit(client, &(struct mr_sqe){.op = MR_OP_RESET, .handle = stream, .value = 9});
    for (uint32_t i = 2; i <= 3; i++) {
        cqe = app_world_answer(&w, client, MR_OP_SEND);
        CU_ASSERT_EQUAL(cqe.user_data, i);
        CU_ASSERT_EQUAL(cqe.result, -EPIPE);
    }
    app_side_send(client, stream, 0, 10, 0, 4);
    CU_ASSERT_EQUAL(app_world_answer(&w, client, MR_OP_SEND).result, -EPIPE);
    app_side_submit(client, &(struct mr_sqe){.op = MR_OP_STOP, .handle = stream});
    cqe = app_world_answer(&w, client, MR_OP_SEND);
    CU_ASSERT_EQUAL(cqe.user_data, 1);
    CU_ASSERT_EQUAL(cqe.result, -ECANCELED);
    CU_ASSERT_FALSE(
        app_is_none(&(struct mr_cqe){.type = app_world_event(&w, client, MR_EVENT_CLOSED).type}));
    app_world_stop(&w);
}

static struct mr_sqe reset_at(uint64_t code, uint64_t reliable)
{
    return (struct mr_sqe){
        .op = MR_OP_RESET_AT, .handle = stream, .value = code, .address = reliable};
}

/* SENDs wait when their stream is reset but for some bytes: those are given first, and come before
 * the reset does; what lies beyond is cancelled. */
static void a_reset_waits_for_the_bytes_it_guarantees(void)
{
    struct received got = {0};
    struct mr_cqe cqe;
    struct mr_sqe sqe = reset_at(9, 10250);
    bool has_reset = false;
    uint32_t cancelled = 0;

    start(1, 64);
    for (uint32_t i = 0; i < 40; i++)
        app_side_send(client, stream, i * 500, 500, 0, i);
    sqe.user_data = 77;
    app_side_submit(client, &sqe);
    for (int i = 0; i < 5000 && !has_reset; i++) {
        app_world_step(&w, 1);
        while (app_side_next(server, &cqe)) {
            if (cqe.type == MR_CQE_EVENT && (cqe.kinds & MR_EVENT_RESET) != 0) {
                has_reset = true;
                CU_ASSERT_EQUAL(cqe.value, 9);
                CU_ASSERT((cqe.flags & MR_CQE_RELIABLE) != 0);
            }
            if (cqe.type != MR_CQE_DATA)
                continue;
            CU_ASSERT_FALSE(has_reset);
            for (uint32_t k = 0; k < cqe.size; k++)
                got.bad += app_side_data(server, &cqe)[k] != byte_at(got.size + k);
            got.size += cqe.size;
            got.has_fin |= (cqe.flags & MR_CQE_FIN) != 0;
            app_side_release(server, &cqe);
        }
    }
    CU_ASSERT(has_reset && !got.has_fin);
    CU_ASSERT_EQUAL(got.bad, 0);
    CU_ASSERT(got.size >= 10250 && got.size <= 10500);
    app_side_send(client, stream, 0, 10, 0, 40);
    app_side_submit(client, &(struct mr_sqe){.op = MR_OP_STOP, .handle = stream});
    for (uint32_t answered = 0; answered < 41; answered++) {
        cqe = app_world_answer(&w, client, MR_OP_SEND);
        CU_ASSERT(cqe.user_data == 40  ? cqe.result == -EPIPE
                  : cqe.user_data < 20 ? cqe.result == 0 || cqe.result == -ECANCELED
                                       : cqe.user_data <= 20 || cqe.result == -ECANCELED);
        cancelled += cqe.result == -ECANCELED;
    }
    CU_ASSERT(cancelled >= 19);
    app_world_stop(&w);
}

/* The bytes that are guaranteed may be submitted later. */
static void a_reset_may_come_before_its_bytes(void)
{
    struct mr_cqe cqe;
    struct mr_sqe sqe = reset_at(9, 700);

    start(1 << 20, 64);
    app_side_submit(client, &sqe);
    CU_ASSERT_EQUAL(app_world_answer(&w, client, MR_OP_RESET_AT).result, 0);
    app_side_send(client, stream, 0, 500, 0, 1);
    app_side_send(client, stream, 500, 500, 0, 2);
    cqe = app_world_event(&w, server, MR_EVENT_RESET);
    CU_ASSERT(!app_is_none(&cqe) && cqe.value == 9);
    app_side_send(client, stream, 0, 10, 0, 3);
    do
        cqe = app_world_answer(&w, client, MR_OP_SEND);
    while (!app_is_none(&cqe) && cqe.user_data != 3);
    CU_ASSERT_EQUAL(cqe.result, -EPIPE);
    app_world_stop(&w);
}

static void a_reset_that_cannot_be_is_refused(void)
{
    static const struct {
        uint64_t code, reliable;
        int32_t result;
    } rows[] = {
        {MR_ERROR_CODE_MAX + 1, 10, -EINVAL}, {5, 400, 0}, {5, 401, -EINVAL}, {6, 100, -EINVAL}};
    struct loop_config config = loop_config_default(1);

    start(1 << 20, 64);
    app_side_send(client, stream, 0, 500, 0, 1);
    loop_hold_acks(w.loop, APP_CLIENT, true);
    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct mr_sqe sqe = reset_at(rows[i].code, rows[i].reliable);

        app_side_submit(client, &sqe);
        CU_ASSERT_EQUAL(app_world_answer(&w, client, MR_OP_RESET_AT).result, rows[i].result);
    }
    app_world_stop(&w);

    config.close_order = LOOP_STREAMS_FIRST;
    config.refuses_reset_at = true;
    start_with(&config, 64);
    struct mr_sqe sqe = reset_at(5, 0);
    app_side_submit(client, &sqe);
    CU_ASSERT_EQUAL(app_world_answer(&w, client, MR_OP_RESET_AT).result, -EOPNOTSUPP);
    app_world_stop(&w);
}

/* The peer stops it: the same, without being asked. */
static void a_stop_ends_what_waits(void)
{
    start(1, 8);
    loop_hold_acks(w.loop, APP_CLIENT, true);
    app_side_send(client, stream, 0, 70000, 0, 1);
    app_side_send(client, stream, 500, 500, 0, 2);
    struct mr_cqe opened = app_world_event(&w, server, MR_EVENT_STREAM_OPENED);
    app_side_submit(server,
                    &(struct mr_sqe){.op = MR_OP_STOP, .handle = opened.stream, .value = 33});
    struct mr_cqe event = app_world_event(&w, client, MR_EVENT_STOPPED);
    CU_ASSERT_EQUAL(event.value, 33);
    struct mr_cqe cqe = app_world_answer(&w, client, MR_OP_SEND);
    CU_ASSERT_EQUAL(cqe.user_data, 2);
    CU_ASSERT_EQUAL(cqe.result, -EPIPE);
    app_world_stop(&w);
}

/* A connection's end: every SEND is answered, once. */
static void a_connections_end_answers_every_send(void)
{
    for (int order = LOOP_STREAMS_LAST; order <= LOOP_STREAMS_NONE; order++) {
        struct loop_config config = loop_config_default(1);

        config.close_order = (enum loop_close_order)order;
        config.queue_max = 1;
        start_with(&config, 8);
        loop_hold_acks(w.loop, APP_CLIENT, true);
        for (uint32_t i = 1; i <= 3; i++)
            app_side_send(client, stream, i * 500, 500, 0, i);
        app_world_step(&w, 10);
        loop_cut(w.loop);
        for (uint32_t i = 1; i <= 3; i++) {
            struct mr_cqe cqe = app_world_answer(&w, client, MR_OP_SEND);
            CU_ASSERT_EQUAL(cqe.user_data, i);
            CU_ASSERT_EQUAL(cqe.result, -ECANCELED);
        }
        struct mr_cqe closed = app_world_event(&w, client, MR_EVENT_CLOSED);
        CU_ASSERT_EQUAL(closed.stream, stream);
        closed = app_world_event(&w, client, MR_EVENT_CLOSED);
        CU_ASSERT_EQUAL(closed.conn, conn);
        CU_ASSERT_EQUAL(closed.stream, 0);
        CU_ASSERT_EQUAL(closed.flags & MR_CQE_APPLICATION, 0);
        app_world_step(&w, 10);
        CU_ASSERT_EQUAL(app_side_peek(client).type, MR_CQE_GONE + 1);
        app_world_stop(&w);
    }
}

/* An end without bytes is the last thing that the receiver needs to see. */
static void an_end_alone_closes_the_stream(void)
{
    start(1 << 20, 8);
    app_side_send(client, stream, 0, 100, 0, 1);
    app_world_step(&w, 20);
    app_side_send(client, stream, 0, 0, MR_SQE_FIN, 2);
    struct mr_cqe opened = app_world_event(&w, server, MR_EVENT_STREAM_OPENED);
    struct received got = receive_all(100);
    CU_ASSERT_EQUAL(got.size, 100);
    app_side_send(server, opened.stream, 0, 0, MR_SQE_FIN, 3);
    CU_ASSERT_EQUAL(app_world_event(&w, client, MR_EVENT_CLOSED).stream, stream);
    CU_ASSERT_EQUAL(app_world_event(&w, server, MR_EVENT_CLOSED).stream, opened.stream);
    CU_ASSERT_EQUAL(app_world_answer(&w, client, MR_OP_SEND).user_data, 1);
    CU_ASSERT_EQUAL(app_world_answer(&w, client, MR_OP_SEND).user_data, 2);
    app_world_stop(&w);
}

/* No byte of it is missing when all before it is acknowledged. */
static void an_end_behind_acknowledged_bytes_is_done_at_once(void)
{
    start(1 << 20, 8);
    app_side_send(client, stream, 0, 100, 0, 1);
    CU_ASSERT_EQUAL(app_world_answer(&w, client, MR_OP_SEND).user_data, 1);
    loop_hold_acks(w.loop, APP_CLIENT, true);
    app_side_send(client, stream, 0, 0, MR_SQE_FIN, 2);
    CU_ASSERT_EQUAL(app_world_answer(&w, client, MR_OP_SEND).user_data, 2);
    app_world_stop(&w);
}

static CU_TestInfo tests[] = {
    {"what the transport cannot take waits, in order",
     what_the_transport_cannot_take_waits_in_order},
    {"want of memory is tried again", want_of_memory_is_tried_again},
    {"copies wait their turn", copies_wait_their_turn},
    {"a copy is done at once", a_copy_is_done_at_once},
    {"a refused send refuses those behind it", a_refused_send_refuses_those_behind_it},
    {"a send of nothing of ours refuses those behind it",
     a_send_of_nothing_ours_refuses_those_behind_it},
    {"nothing follows the end", nothing_follows_the_end},
    {"a reset ends what waits", a_reset_ends_what_waits},
    {"a reset waits for the bytes it guarantees", a_reset_waits_for_the_bytes_it_guarantees},
    {"a reset may come before its bytes", a_reset_may_come_before_its_bytes},
    {"a reset that cannot be is refused", a_reset_that_cannot_be_is_refused},
    {"a stop ends what waits", a_stop_ends_what_waits},
    {"a connection's end answers every send", a_connections_end_answers_every_send},
    {"an end behind acknowledged bytes is done at once",
     an_end_behind_acknowledged_bytes_is_done_at_once},
    {"an end alone closes the stream", an_end_alone_closes_the_stream},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "dataplane/app_send", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
