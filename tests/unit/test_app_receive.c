/* Tests of dataplane/app_receive.c: data by reference, datagrams, and who gives nothing back. */
#include <errno.h>

#include "tests/support/app_side.h"
#include "tests/unit/harness.h"

#define BEGIN 8192 /* of what is sent, in the send area */

static struct app_world w;
static struct app_side *client;
static struct app_side *server;
static uint64_t conn;
static uint64_t peer_conn; /* the same at the server */

static uint8_t byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 31 + offset / 253);
}

static void start(const struct loop_config *config, const struct mr_ring_sizes *sizes,
                  const struct mr_app_host_config *host)
{
    app_world_start(&w, config, sizes, host, NULL);
    client = &w.app[APP_CLIENT];
    server = &w.app[APP_SERVER];
    conn = app_world_connect(&w, client);
    peer_conn = app_world_event(&w, server, MR_EVENT_CONNECTED).conn;
    CU_ASSERT_NOT_EQUAL_FATAL(peer_conn, 0);
    for (uint64_t i = 0; i < 600000; i++)
        *app_side_bytes(client, BEGIN + i) = byte_at(i);
}

static struct loop_config plain(void)
{
    struct loop_config config = loop_config_default(5);

    config.close_order = LOOP_STREAMS_FIRST;
    return config;
}

static void start_plain(uint32_t slots, uint32_t flags)
{
    struct loop_config config = plain();
    struct mr_ring_sizes sizes = app_world_sizes(256, slots);

    sizes.flags = flags;
    start(&config, &sizes, NULL);
}

static bool is_data(const struct mr_cqe *cqe, uint64_t stream)
{
    return cqe->type == MR_CQE_DATA && (stream == 0 || cqe->stream == stream);
}

/* A stream of the client's that sends `size` bytes and ends. */
static uint64_t send_stream(uint32_t size)
{
    uint64_t stream = app_world_open(&w, client, conn);

    app_side_send(client, stream, BEGIN, size, MR_SQE_FIN, 0);
    return stream;
}

static struct mr_app_ring_stats stats_of(const struct app_side *app)
{
    struct mr_app_ring_stats stats;

    mr_app_host_ring_stats(app->host, (uint32_t)app->ring, &stats);
    return stats;
}

/* ------------------------------------------------------------------ by reference */

/* Everything arrives, in order, nothing of it is copied. */
static void by_reference_nothing_is_copied(void)
{
    uint64_t offset = 0;
    uint64_t bad = 0;
    bool has_fin = false;

    start_plain(8, MR_RING_BY_REFERENCE);
    send_stream(300000);
    while (!has_fin) {
        struct mr_cqe cqe = app_world_wait(&w, server, is_data, 0);
        if (app_is_none(&cqe))
            break;
        bad += cqe.value != offset;
        for (uint32_t i = 0; i < cqe.size; i++)
            bad += app_side_data(server, &cqe)[i] != byte_at(offset + i);
        offset += cqe.size;
        has_fin = (cqe.flags & MR_CQE_FIN) != 0;
        bad += cqe.size == 0; /* the end comes with the last bytes */
        app_side_release(server, &cqe);
    }
    CU_ASSERT_EQUAL(offset, 300000);
    CU_ASSERT_EQUAL(bad, 0);
    CU_ASSERT_EQUAL(mr_app_host_stats(w.host[APP_SERVER])->bytes_copied, 0);
    CU_ASSERT_EQUAL(stats_of(server).bytes_copied, 0);
    CU_ASSERT_EQUAL(stats_of(server).bytes_received, 300000);
    CU_ASSERT_EQUAL(stats_of(client).bytes_sent, 300000);
    CU_ASSERT_EQUAL(app_world_answer(&w, client, MR_OP_SEND).result, 0);
    app_world_stop(&w);
}

static void fill_completions(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        app_side_submit(server, &(struct mr_sqe){.op = MR_OP_NOP});
}

/* An end that comes while the bytes before it are released, early or late, and where the completion
 * queue is full just then: it is told, once. */
static void by_reference_an_end_that_meets_a_release_is_told(void)
{
    struct mr_ring_sizes sizes = app_world_sizes(16, 8);
    struct loop_config config = plain();

    sizes.flags = MR_RING_BY_REFERENCE;
    for (uint32_t steps = 0; steps < 12; steps++) {
        struct mr_cqe data, cqe;
        uint32_t ends = 0;

        start(&config, &sizes, NULL);
        uint64_t stream = app_world_open(&w, client, conn);
        app_side_send(client, stream, BEGIN, 100, 0, 0);
        data = app_world_wait(&w, server, is_data, 0);
        app_side_send(server, data.stream, BEGIN, 0, MR_SQE_FIN, 0); /* the other way is over */
        app_world_step(&w, 20);
        while (app_side_next(server, &cqe))
            continue;
        fill_completions(15); /* of 16 */
        app_world_step(&w, 2);
        app_side_send(client, stream, BEGIN, 0, MR_SQE_FIN, 0);
        app_world_step(&w, steps);
        app_side_release(server, &data);
        fill_completions(1);
        app_world_step(&w, 20);
        while (app_side_next(server, &cqe)) {
            ends += cqe.type == MR_CQE_DATA && (cqe.flags & MR_CQE_FIN) != 0;
            app_world_step(&w, 2);
        }
        CU_ASSERT_EQUAL(ends, 1);
        app_world_stop(&w);
    }
}

/* Views that are kept are MR_APP_VIEWS at most; they stay as they are; giving bytes back shows as
 * many again, whatever the pieces. */
static void views_are_shown_up_to_a_number(void)
{
    struct mr_cqe views[MR_APP_VIEWS];
    uint32_t size = 0;

    start_plain(8, MR_RING_BY_REFERENCE);
    uint64_t stream = send_stream(200000);
    for (int i = 0; i < MR_APP_VIEWS; i++) {
        views[i] = app_world_wait(&w, server, is_data, 0);
        size += views[i].size;
    }
    app_world_step(&w, 100);
    struct mr_cqe more = app_side_peek(server);
    CU_ASSERT_NOT_EQUAL(more.type, MR_CQE_DATA);
    uint64_t bad = 0;
    for (int i = 0; i < MR_APP_VIEWS; i++)
        for (uint32_t k = 0; k < views[i].size; k++)
            bad += app_side_data(server, &views[i])[k] != byte_at(views[i].value + k);
    CU_ASSERT_EQUAL(bad, 0);

    struct mr_sqe release = {
        .op = MR_OP_RELEASE, .handle = views[0].stream, .size = views[0].size - 1};
    CU_ASSERT_EQUAL(app_world_call(&w, server, release).result, 0); /* all but one byte */
    app_world_step(&w, 50);
    CU_ASSERT_NOT_EQUAL(app_side_peek(server).type, MR_CQE_DATA);
    release.size = 1 + views[1].size;
    CU_ASSERT_EQUAL(app_world_call(&w, server, release).result, 0);
    for (int i = 0; i < 2; i++) {
        struct mr_cqe cqe = app_world_wait(&w, server, is_data, 0);
        CU_ASSERT_EQUAL(cqe.value, size);
        size += cqe.size;
    }
    CU_ASSERT_EQUAL(app_side_peek(server).type, MR_CQE_GONE + 1);
    release.size = size; /* more than was shown and not released */
    CU_ASSERT_EQUAL(app_world_call(&w, server, release).result, -EINVAL);
    release.handle = stream + (UINT64_C(1) << 40);
    CU_ASSERT_EQUAL(app_world_call(&w, server, release).result, -ESTALE);
    app_world_stop(&w);
}

/* All has arrived, more than is shown at a time: releasing is what shows the rest. */
static void what_waits_is_shown_without_news(void)
{
    uint64_t offset = 0;

    start_plain(8, MR_RING_BY_REFERENCE);
    send_stream(60000);
    app_world_step(&w, 200);
    while (offset < 60000) {
        struct mr_cqe cqe = app_world_wait(&w, server, is_data, 0);
        if (app_is_none(&cqe))
            break;
        CU_ASSERT_EQUAL(cqe.value, offset);
        offset += cqe.size;
        CU_ASSERT_EQUAL(cqe.flags, offset == 60000 ? MR_CQE_FIN : 0);
        app_side_release(server, &cqe);
    }
    CU_ASSERT_EQUAL(offset, 60000);
    app_world_stop(&w);
}

/* What a stop or the peer's reset took back is nothing to complain about. */
static void releases_after_the_end_are_silent(void)
{
    start_plain(8, MR_RING_BY_REFERENCE);
    for (int by_peer = 0; by_peer < 2; by_peer++) {
        uint64_t stream = app_world_open(&w, client, conn);
        app_side_send(client, stream, BEGIN, 50000, 0, 0);
        struct mr_cqe cqe = app_world_wait(&w, server, is_data, 0);
        if (by_peer == 1) {
            app_side_submit(client, &(struct mr_sqe){.op = MR_OP_RESET, .handle = stream});
            app_world_event(&w, server, MR_EVENT_RESET);
        } else {
            app_side_submit(server, &(struct mr_sqe){.op = MR_OP_STOP, .handle = cqe.stream});
            app_world_answer(&w, server, MR_OP_STOP);
        }
        struct mr_sqe release = {.op = MR_OP_RELEASE, .handle = cqe.stream, .size = cqe.size};
        CU_ASSERT_EQUAL(app_world_call(&w, server, release).result, 0);
        app_world_step(&w, 50);
        while (app_side_peek(server).type != MR_CQE_GONE + 1)
            ;
    }
    app_world_stop(&w);
}

/* Another thread may be reading: the peer's reset takes nothing that was shown. */
static void by_reference_a_reset_takes_nothing_that_was_shown(void)
{
    start_plain(8, MR_RING_BY_REFERENCE);
    uint64_t stream = app_world_open(&w, client, conn);
    app_side_send(client, stream, BEGIN, 50000, 0, 0);
    struct mr_cqe cqe = app_world_wait(&w, server, is_data, 0);
    app_side_submit(client, &(struct mr_sqe){.op = MR_OP_RESET, .handle = stream, .value = 9});
    CU_ASSERT_EQUAL(app_world_event(&w, server, MR_EVENT_RESET).value, 9);
    app_world_step(&w, 50);
    const uint8_t *shown = (const uint8_t *)(uintptr_t)cqe.address;
    struct mr_sqe release = {.op = MR_OP_RELEASE, .handle = cqe.stream, .size = cqe.size - 1};
    CU_ASSERT_EQUAL(app_world_call(&w, server, release).result, 0);
    for (uint32_t i = 0; i < cqe.size; i++)
        CU_ASSERT_EQUAL_FATAL(shown[i], byte_at(i));
    release.size = 50000;
    CU_ASSERT_EQUAL(app_world_call(&w, server, release).result, -EINVAL);
    release.size = 1;
    CU_ASSERT_EQUAL(app_world_call(&w, server, release).result, 0);
    app_world_stop(&w);
}

static void an_end_alone_is_told_by_reference(void)
{
    start_plain(8, MR_RING_BY_REFERENCE);
    uint64_t stream = app_world_open(&w, client, conn);
    app_side_send(client, stream, BEGIN, 10, 0, 1);
    struct mr_cqe cqe = app_world_wait(&w, server, is_data, 0);
    CU_ASSERT_EQUAL(cqe.size, 10);
    app_side_release(server, &cqe);
    app_side_send(client, stream, BEGIN, 0, MR_SQE_FIN, 2);
    cqe = app_world_wait(&w, server, is_data, 0);
    CU_ASSERT_EQUAL(cqe.size, 0);
    CU_ASSERT_EQUAL(cqe.value, 10);
    CU_ASSERT_EQUAL(cqe.flags, MR_CQE_FIN);
    app_side_send(server, cqe.stream, 0, 0, MR_SQE_FIN, 3);
    CU_ASSERT_EQUAL(app_world_event(&w, server, MR_EVENT_CLOSED).stream, cqe.stream);
    app_world_stop(&w);
}

static void submit_nops(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        app_side_submit(server, &(struct mr_sqe){.op = MR_OP_NOP});
}

/* The stream is over as soon as what was told before is released; its end was not told yet, for the
 * completion queue is full. */
static void an_end_behind_what_is_released_is_told_although_the_stream_is_over(void)
{
    struct loop_config config = plain();
    struct mr_ring_sizes sizes = app_world_sizes(16, 8);
    struct mr_cqe next;

    sizes.flags = MR_RING_BY_REFERENCE;
    start(&config, &sizes, NULL);
    uint64_t stream = app_world_open(&w, client, conn);
    app_side_send(client, stream, BEGIN, 10, 0, 1);
    struct mr_cqe cqe = app_world_wait(&w, server, is_data, 0);
    CU_ASSERT_EQUAL(cqe.size, 10);
    app_side_send(server, cqe.stream, 0, 0, MR_SQE_FIN, 3);
    app_world_step(&w, 40);
    while (app_side_next(server, &next)) {
    }
    submit_nops(16);
    app_side_send(client, stream, BEGIN, 0, MR_SQE_FIN, 2);
    app_world_step(&w, 40);
    CU_ASSERT(app_side_next(server, &next)); /* room for one, */
    app_side_release(server, &cqe);
    submit_nops(1); /* which this one takes */
    app_world_step(&w, 40);
    CU_ASSERT_EQUAL(loop_stream_count(w.loop), 0);
    next = app_world_wait(&w, server, is_data, cqe.stream);
    CU_ASSERT_EQUAL(next.size, 0);
    CU_ASSERT_EQUAL(next.value, 10);
    CU_ASSERT_EQUAL(next.flags, MR_CQE_FIN);
    CU_ASSERT_EQUAL(app_world_event(&w, server, MR_EVENT_CLOSED).stream, cqe.stream);
    app_world_stop(&w);
}

/* ------------------------------------------------------------------ datagrams */

static bool is_datagram(const struct mr_cqe *cqe, uint64_t word)
{
    (void)word;
    return cqe->type == MR_CQE_DATAGRAM;
}

static int32_t send_datagram(struct app_side *app, uint64_t handle, uint64_t offset, uint32_t size)
{
    return app_world_call(&w, app,
                          (struct mr_sqe){.op = MR_OP_DATAGRAM,
                                          .handle = handle,
                                          .address = app_side_address(app, offset),
                                          .size = size})
        .result;
}

static void datagrams_go_both_ways(void)
{
    for (uint32_t flags = 0; flags < 2; flags++) {
        struct loop_config config = plain();
        struct mr_ring_sizes sizes = app_world_sizes(64, 8);

        config.datagram_max = 1200;
        sizes.flags = flags;
        start(&config, &sizes, NULL);
        for (uint32_t i = 0; i < 20; i++) { /* they need their slots back */
            CU_ASSERT_EQUAL(send_datagram(client, conn, i * 7, 100 * (i % 3)), 0);
            struct mr_cqe cqe = app_world_wait(&w, server, is_datagram, 0);
            CU_ASSERT_EQUAL(cqe.size, 100 * (i % 3));
            CU_ASSERT_EQUAL(cqe.conn, peer_conn);
            CU_ASSERT_EQUAL(
                memcmp(app_side_data(server, &cqe), app_side_bytes(client, i * 7), cqe.size), 0);
            app_side_release(server, &cqe);
        }
        *app_side_bytes(server, 0) = 99;
        CU_ASSERT_EQUAL(send_datagram(server, peer_conn, 0, 1), 0);
        struct mr_cqe cqe = app_world_wait(&w, client, is_datagram, 0);
        CU_ASSERT_EQUAL(app_side_data(client, &cqe)[0], 99);
        CU_ASSERT_EQUAL(send_datagram(client, conn, 0, 1201), -EMSGSIZE);
        if (flags == 0)
            CU_ASSERT_EQUAL(send_datagram(client, conn, (1 << 20) - 5, 6), -EINVAL);
        CU_ASSERT_EQUAL(send_datagram(client, 12345, 0, 6), -ESTALE);
        CU_ASSERT_EQUAL(mr_app_host_stats(w.host[APP_SERVER])->bytes_copied, 0);
        app_world_stop(&w);
    }
}

static void datagrams_that_no_slot_holds_are_dropped_and_counted(void)
{
    struct loop_config config = plain();
    struct mr_ring_sizes sizes = app_world_sizes(64, 8);

    config.datagram_max = 1200;
    start(&config, &sizes, NULL);
    CU_ASSERT_EQUAL(send_datagram(client, conn, 0, 1025), 0);
    CU_ASSERT_EQUAL(send_datagram(client, conn, 0, 1024), 0);
    CU_ASSERT_EQUAL(app_world_wait(&w, server, is_datagram, 0).size, 1024);
    CU_ASSERT_EQUAL(mr_app_host_stats(w.host[APP_SERVER])->datagrams_dropped, 1);
    app_world_stop(&w);
}

/* Without slots they wait in the transport, in order, and none is lost that it has room for. */
static void datagrams_without_slots_wait(void)
{
    struct loop_config config = plain();
    struct mr_ring_sizes sizes = app_world_sizes(64, 8);

    config.datagram_queue_max = 8;
    start(&config, &sizes, NULL);
    for (int i = 0; i < 2 + 8; i++) /* a quarter of the slots, and what the loop keeps */
        CU_ASSERT_EQUAL(send_datagram(client, conn, 0, 10), 0);
    CU_ASSERT_EQUAL(stats_of(server).slots_held, 2);
    for (int i = 0; i < 2 + 8; i++) {
        struct mr_cqe cqe = app_world_wait(&w, server, is_datagram, 0);

        CU_ASSERT_EQUAL(cqe.size, 10);
        app_side_release(server, &cqe);
    }
    CU_ASSERT_EQUAL(send_datagram(client, conn, 0, 10), 0);
    CU_ASSERT_EQUAL(app_world_wait(&w, server, is_datagram, 0).size, 10);
    app_world_stop(&w);
}

/* A transport that knows none. */
static void datagrams_may_be_unknown(void)
{
    struct loop_config config = plain();
    struct mr_ring_sizes sizes = app_world_sizes(64, 8);

    config.datagram_max = 0;
    start(&config, &sizes, NULL);
    CU_ASSERT_EQUAL(send_datagram(client, conn, 0, 10), -EOPNOTSUPP);
    app_world_stop(&w);
}

/* ------------------------------------------------------------------ who gives nothing back */

/* Two applications on one host: one stops reading.  Its streams wait, the other's come through. */
static void who_stops_reading_holds_only_its_own(void)
{
    struct mr_ring_sizes sizes = app_world_sizes(64, 8);
    struct mr_cqe cqe = {0};
    uint64_t got = 0;

    start_plain(8, 0); /* the connection is the first server ring's, which reads nothing any more */
    app_world_call(&w, server, (struct mr_sqe){.op = MR_OP_LISTEN, .value = MR_RING_EVERY});
    struct app_side *other = app_world_attach(&w, APP_SERVER, &sizes, NULL);
    app_world_call(&w, other, (struct mr_sqe){.op = MR_OP_LISTEN, .address = 1});
    for (int i = 0; i < 4; i++)
        send_stream(100000);
    conn = app_world_connect(&w, client);
    send_stream(500000);
    while (got < 500000 && !app_is_none(&cqe)) {
        cqe = app_world_wait(&w, other, is_data, 0);
        got += cqe.size;
        if (cqe.size > 0)
            app_side_release(other, &cqe);
    }
    CU_ASSERT_EQUAL(got, 500000);
    CU_ASSERT_EQUAL(stats_of(server).slots_held, 5); /* a quarter, and one each of what is left */
    CU_ASSERT_EQUAL(stats_of(server).conns, 1);
    app_world_stop(&w);
}

/* However many are not read, each holds a share of what is free at most: some are left. */
static void streams_that_are_not_read_leave_slots_to_another(void)
{
    uint64_t got = 0;

    start_plain(64, 0);
    for (int i = 0; i < 12; i++)
        send_stream(200000);
    app_world_step(&w, 200);
    CU_ASSERT(stats_of(server).slots_held >= 40);
    CU_ASSERT(stats_of(server).slots_held < 60);
    send_stream(300);
    while (got < 300) {
        struct mr_cqe cqe = app_world_wait(&w, server, is_data, 0);
        if (app_is_none(&cqe))
            break;
        if (cqe.size != 300)
            continue;
        got += cqe.size;
        app_side_release(server, &cqe);
    }
    CU_ASSERT_EQUAL(got, 300);
    app_world_stop(&w);
}

/* A full completion queue: nothing is lost, and everything comes in order once it is read. */
static void a_full_completion_queue_loses_nothing(void)
{
    struct loop_config config = plain();
    struct mr_ring_sizes sizes = app_world_sizes(16, 64);
    uint64_t got[2] = {0};
    uint32_t opened = 0;
    uint32_t fins = 0;
    uint64_t first = 0;

    start(&config, &sizes, NULL);
    for (int i = 0; i < 2; i++)
        send_stream(60000);
    app_world_step(&w, 500); /* nobody reads */
    CU_ASSERT(mr_app_host_stats(w.host[APP_SERVER])->completions_late > 0);
    for (int i = 0; i < 3000 && fins < 2; i++) {
        struct mr_cqe cqe;
        app_world_step(&w, 1);
        if (!app_side_next(server, &cqe)) /* one at a time */
            continue;
        opened += (cqe.kinds & MR_EVENT_STREAM_OPENED) != 0;
        if (cqe.type != MR_CQE_DATA)
            continue;
        first = first == 0 ? cqe.stream : first;
        CU_ASSERT_EQUAL(cqe.value, got[cqe.stream != first]);
        got[cqe.stream != first] += cqe.size;
        fins += (cqe.flags & MR_CQE_FIN) != 0;
        if (cqe.size > 0)
            app_side_release(server, &cqe);
    }
    CU_ASSERT_EQUAL(opened, 2);
    CU_ASSERT_EQUAL(got[0], 60000);
    CU_ASSERT_EQUAL(got[1], 60000);
    app_world_stop(&w);
}

static void start_hoarding(uint64_t hoard_ns)
{
    struct loop_config config = plain();
    struct mr_ring_sizes sizes = app_world_sizes(64, 8);
    struct mr_app_host_config host = app_world_host_config();

    host.hoard_ns = hoard_ns;
    start(&config, &sizes, &host);
    for (int i = 0; i < 20; i++) /* the first holds a quarter, six one each, the others wait */
        send_stream(30000);
}

/* One that never releases is closed at its limit: what waits for longer than it may. */
static void one_that_never_releases_is_closed_at_its_limit(void)
{
    start_hoarding(100 * LOOP_STEP_NS);
    app_world_step(&w, 60);
    CU_ASSERT_EQUAL(stats_of(server).slots_held, 8);
    CU_ASSERT_EQUAL(mr_app_host_stats(w.host[APP_SERVER])->conns_hoarded, 0);
    struct mr_cqe cqe;
    do
        cqe = app_world_event(&w, client, MR_EVENT_CLOSED);
    while (cqe.stream != 0);
    CU_ASSERT_EQUAL(cqe.value, 73);
    CU_ASSERT_EQUAL(mr_app_host_stats(w.host[APP_SERVER])->conns_hoarded, 1);
    CU_ASSERT_EQUAL(mr_app_host_ring_state(w.host[APP_SERVER], (uint32_t)server->ring),
                    MR_APP_RING_ATTACHED);
    app_world_stop(&w);
}

/* One slot given back in time: the clock begins again. */
static void who_gives_something_back_has_time_again(void)
{
    start_hoarding(100 * LOOP_STEP_NS);
    for (int i = 0; i < 6; i++) {
        struct mr_cqe cqe = app_world_wait(&w, server, is_data, 0);
        app_world_step(&w, 80);
        app_side_release(server, &cqe);
    }
    CU_ASSERT_EQUAL(mr_app_host_stats(w.host[APP_SERVER])->conns_hoarded, 0);
    app_world_step(&w, 150);
    CU_ASSERT_EQUAL(mr_app_host_stats(w.host[APP_SERVER])->conns_hoarded, 1);
    app_world_stop(&w);
}

static void without_a_limit_it_waits_for_ever(void)
{
    start_hoarding(0);
    app_world_step(&w, 3000);
    CU_ASSERT_EQUAL(mr_app_host_stats(w.host[APP_SERVER])->conns_hoarded, 0);
    CU_ASSERT_EQUAL(stats_of(server).conns, 1);
    app_world_stop(&w);
}

static CU_TestInfo tests[] = {
    {"by reference, nothing is copied", by_reference_nothing_is_copied},
    {"by reference an end that meets a release is told",
     by_reference_an_end_that_meets_a_release_is_told},
    {"views are shown up to a number", views_are_shown_up_to_a_number},
    {"what waits is shown without news", what_waits_is_shown_without_news},
    {"releases after the end are silent", releases_after_the_end_are_silent},
    {"by reference, a reset takes nothing that was shown",
     by_reference_a_reset_takes_nothing_that_was_shown},
    {"an end alone is told by reference", an_end_alone_is_told_by_reference},
    {"an end behind what is released is told although the stream is over",
     an_end_behind_what_is_released_is_told_although_the_stream_is_over},
    {"datagrams go both ways", datagrams_go_both_ways},
    {"datagrams that no slot holds are dropped and counted",
     datagrams_that_no_slot_holds_are_dropped_and_counted},
    {"datagrams without slots wait", datagrams_without_slots_wait},
    {"datagrams may be unknown", datagrams_may_be_unknown},
    {"who stops reading holds only its own", who_stops_reading_holds_only_its_own},
    {"streams that are not read leave slots to another",
     streams_that_are_not_read_leave_slots_to_another},
    {"a full completion queue loses nothing", a_full_completion_queue_loses_nothing},
    {"one that never releases is closed at its limit",
     one_that_never_releases_is_closed_at_its_limit},
    {"who gives something back has time again", who_gives_something_back_has_time_again},
    {"without a limit it waits for ever", without_a_limit_it_waits_for_ever},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "dataplane/app_receive", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
