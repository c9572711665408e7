/* Tests of dataplane/app_ring.c: applications that are gone, what becomes of what they had. */
#include <errno.h>

#include "tests/support/app_side.h"
#include "tests/unit/harness.h"

#define BEGIN 8192 /* of what is sent, in the send area */

static struct app_world w;
static struct app_side *client;
static struct app_side *first;  /* of the server's: accepts the connection */
static struct app_side *second; /* may inherit it */
static uint64_t conn;

static uint8_t byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 31 + offset / 253);
}

static void fill(struct app_side *app)
{
    for (uint64_t i = 0; i < 600000; i++)
        *app_side_bytes(app, BEGIN + i) = byte_at(i);
}

static void start_with(const struct loop_config *config, uint8_t death, uint32_t heir_flags,
                       uint32_t heir_objects)
{
    struct mr_ring_sizes sizes = app_world_sizes(64, 16);
    struct mr_handoff policy = app_world_policy();

    policy.listener[0].death = death;
    app_world_start(&w, config, &sizes, NULL, &policy);
    client = &w.app[APP_CLIENT];
    first = &w.app[APP_SERVER];
    conn = app_world_connect(&w, client);
    sizes.flags = heir_flags;
    second = app_world_attach(
        &w, APP_SERVER, &sizes,
        &(struct mr_app_ring_config){.listeners = 1, .objects_max = heir_objects, .numa_node = -1});
    app_world_call(&w, second, (struct mr_sqe){.op = MR_OP_LISTEN, .address = 1});
    fill(client);
    fill(first);
    fill(second);
}

static struct loop_config plain(void)
{
    struct loop_config config = loop_config_default(3);

    config.close_order = LOOP_STREAMS_FIRST;
    return config;
}

static void start(uint8_t death)
{
    struct loop_config config = plain();

    start_with(&config, death, 0, 64);
}

static enum mr_app_ring_state state_of(const struct app_side *app)
{
    return mr_app_host_ring_state(app->host, (uint32_t)app->ring);
}

static void detach(struct app_side *app)
{
    mr_app_host_detach(app->host, (uint32_t)app->ring);
}

static bool is_data(const struct mr_cqe *cqe, uint64_t stream)
{
    return cqe->type == MR_CQE_DATA && (stream == 0 || cqe->stream == stream);
}

/* Take `size` bytes of a stream that begin at `offset`; releases them.  Returns where it ended. */
static uint64_t take_bytes(struct app_side *app, uint64_t stream, uint64_t offset, uint64_t size)
{
    for (uint64_t end = offset + size; offset < end;) {
        struct mr_cqe cqe = app_world_wait(&w, app, is_data, stream);

        if (app_is_none(&cqe))
            return 0;
        CU_ASSERT_EQUAL(cqe.value, offset);
        uint64_t bad = 0;
        for (uint32_t i = 0; i < cqe.size; i++)
            bad += app_side_data(app, &cqe)[i] != byte_at(offset + i);
        CU_ASSERT_EQUAL(bad, 0);
        offset += cqe.size;
        if (cqe.size > 0)
            app_side_release(app, &cqe);
    }
    return offset;
}

static bool is_gone(const struct mr_cqe *cqe, uint64_t word)
{
    (void)word;
    return cqe->type == MR_CQE_GONE;
}

/* ------------------------------------------------------------------ closed */

static void connections_of_the_dead_are_closed_with_the_listeners_code(void)
{
    start(MR_DEATH_CLOSE);
    app_side_send(client, app_world_open(&w, client, conn), BEGIN, 50000, 0, 0);
    app_world_step(&w, 20);
    detach(first);
    struct mr_cqe cqe = app_world_wait(&w, first, is_gone, 0);
    CU_ASSERT_FALSE(app_is_none(&cqe));
    CU_ASSERT_EQUAL(atomic_load(first->region.is_gone), 1);
    first->kept_count = 0; /* what came before */
    do
        cqe = app_world_event(&w, client, MR_EVENT_CLOSED);
    while (cqe.stream != 0);
    CU_ASSERT_EQUAL(cqe.value, 73);
    CU_ASSERT_EQUAL(cqe.flags, MR_CQE_APPLICATION | MR_CQE_REMOTE);
    app_world_step(&w, 20);
    CU_ASSERT_EQUAL(state_of(first), MR_APP_RING_DRAINED);
    CU_ASSERT_EQUAL(app_side_peek(first).type, MR_CQE_GONE + 1); /* it was the last */
    app_world_stop(&w);
}

/* Nor is it woken for completions that it waits for. */
static void who_cannot_be_woken_is_let_go_of(void)
{
    const struct mr_app_ring_config config = {
        .listeners = 1, .objects_max = 4, .numa_node = -1, .wake = app_side_no_wake};
    struct mr_ring_sizes sizes = app_world_sizes(64, 16);

    start(MR_DEATH_CLOSE);
    struct app_side *silent = app_world_attach(&w, APP_SERVER, &sizes, &config);
    app_world_step(&w, 20);
    CU_ASSERT_TRUE(mr_inbox_may_sleep(&silent->completions, silent->region.sleeps));
    app_side_submit(silent, &(struct mr_sqe){.op = MR_OP_NOP});
    app_world_step(&w, 20);
    CU_ASSERT_EQUAL(app_side_peek(silent).type, MR_CQE_DONE);
    detach(silent);
    struct mr_cqe cqe = app_world_wait(&w, silent, is_gone, 0);
    CU_ASSERT_FALSE(app_is_none(&cqe));
    app_world_step(&w, 20);
    CU_ASSERT_EQUAL(state_of(silent), MR_APP_RING_DRAINED);
    app_world_stop(&w);
}

/* Those that it opened itself have no listener: the host's code. */
static void a_dead_clients_connections_are_closed_with_the_hosts_code(void)
{
    start(MR_DEATH_INHERIT);
    detach(client);
    struct mr_cqe cqe = app_world_event(&w, first, MR_EVENT_CLOSED);
    CU_ASSERT_EQUAL(cqe.value, 72);
    app_world_stop(&w);
}

/* Many connections, timers, ACCEPTs: all of it comes back, a little at a time. */
static void everything_of_the_dead_comes_back(void)
{
    struct mr_app_ring_stats stats;

    start(MR_DEATH_CLOSE);
    detach(second);
    for (int i = 0; i < 40; i++)
        app_world_connect(&w, client);
    for (int i = 0; i < 10; i++)
        app_side_submit(first, &(struct mr_sqe){.op = MR_OP_TIMER, .value = UINT64_MAX / 2});
    for (int i = 0; i < 10; i++)
        app_side_submit(first, &(struct mr_sqe){.op = MR_OP_ACCEPT});
    app_side_submit(first, &(struct mr_sqe){.op = MR_OP_TIMER, .value = 0});
    app_world_step(&w, 10);
    mr_app_host_ring_stats(w.host[APP_SERVER], (uint32_t)first->ring, &stats);
    CU_ASSERT_EQUAL(stats.conns, 41);
    for (int i = 0; i < 100; i++) /* once is enough */
        detach(first);
    app_world_step(&w, 1);
    CU_ASSERT_EQUAL(state_of(first), MR_APP_RING_LETTING_GO);
    app_world_step(&w, 60);
    CU_ASSERT_EQUAL(state_of(first), MR_APP_RING_DRAINED);
    CU_ASSERT_EQUAL(loop_conn_count(w.loop), 0);
    app_world_stop(&w);
}

/* ------------------------------------------------------------------ inherited */

/* CONNECTED, then STREAM_OPENED, then data from where the dead one's ended: nothing that it was not
 * shown is missing. */
static void an_heir_goes_on_where_the_dead_one_ended(void)
{
    start(MR_DEATH_INHERIT);
    uint64_t stream = app_world_open(&w, client, conn);
    app_side_send(client, stream, BEGIN, 100000, MR_SQE_FIN, 0);
    struct mr_cqe opened = app_world_event(&w, first, MR_EVENT_STREAM_OPENED);
    uint64_t taken = take_bytes(first, 0, 0, 30000);
    app_world_call(&w, first,
                   (struct mr_sqe){.op = MR_OP_USERDATA, .handle = opened.conn, .value = 5});
    detach(first);
    app_world_wait(&w, first, is_gone, 0);
    uint64_t shown = 0; /* to the dead one, seen or not */
    struct mr_cqe cqe;

    cqe = app_world_event(&w, second, MR_EVENT_CONNECTED);
    CU_ASSERT_EQUAL(cqe.flags, MR_CQE_INHERITED);
    CU_ASSERT_EQUAL(cqe.value, 0); /* the listener */
    CU_ASSERT_EQUAL(cqe.conn, opened.conn);
    CU_ASSERT_EQUAL(cqe.user_data, 0);
    cqe = app_side_peek(second);
    CU_ASSERT_EQUAL(cqe.type, MR_CQE_EVENT);
    CU_ASSERT_EQUAL(cqe.kinds, MR_EVENT_STREAM_OPENED);
    CU_ASSERT_EQUAL(cqe.flags, MR_CQE_INHERITED);
    CU_ASSERT_EQUAL(cqe.value, 0); /* its ID */
    CU_ASSERT_EQUAL(cqe.stream, opened.stream);
    cqe = app_side_peek(second);
    CU_ASSERT_EQUAL(cqe.type, MR_CQE_DATA);
    CU_ASSERT(cqe.value >= taken);
    shown = cqe.value;
    CU_ASSERT(shown <= taken + 4 * 1024); /* what the dead one's slots hold of a stream */
    CU_ASSERT_EQUAL(app_side_data(second, &cqe)[0], byte_at(shown));
    app_side_release(second, &cqe);
    CU_ASSERT_EQUAL(take_bytes(second, opened.stream, shown + cqe.size, 100000 - shown - cqe.size),
                    100000);
    CU_ASSERT_EQUAL(mr_app_host_stats(w.host[APP_SERVER])->conns_inherited, 1);
    CU_ASSERT_EQUAL(state_of(first), MR_APP_RING_DRAINED);
    app_world_stop(&w);
}

/* What the dead one submitted goes out first, then what the heir sends; its region stays until it
 * is acknowledged, and the heir hears nothing of it. */
static void sends_of_the_dead_keep_its_region(void)
{
    struct loop_config config = plain();
    struct mr_app_ring_stats stats;

    config.queue_max = 1; /* the second waits in the host */
    start_with(&config, MR_DEATH_INHERIT, 0, 64);
    uint64_t stream = app_world_open(&w, client, conn);
    app_side_send(client, stream, BEGIN, 10, 0, 0);
    struct mr_cqe opened = app_world_event(&w, first, MR_EVENT_STREAM_OPENED);
    loop_hold_acks(w.loop, APP_SERVER, true);
    app_side_send(first, opened.stream, BEGIN, 70000, 0, 1);
    app_side_send(first, opened.stream, BEGIN + 70000, 30000, 0, 2);
    app_world_step(&w, 3);
    detach(first);
    struct mr_cqe cqe = app_world_event(&w, second, MR_EVENT_STREAM_OPENED);
    CU_ASSERT_EQUAL(cqe.address, 100000);
    app_side_send(second, opened.stream, BEGIN + 100000, 20000, MR_SQE_FIN, 3);
    CU_ASSERT_EQUAL(take_bytes(client, 0, 0, 120000), 120000);
    CU_ASSERT_EQUAL(state_of(first), MR_APP_RING_LETTING_GO);
    mr_app_host_ring_stats(w.host[APP_SERVER], (uint32_t)first->ring, &stats);
    CU_ASSERT_EQUAL(stats.sends, 2);
    CU_ASSERT_EQUAL(stats.objects, 0);
    loop_hold_acks(w.loop, APP_SERVER, false);
    cqe = app_world_answer(&w, second, MR_OP_SEND);
    CU_ASSERT_EQUAL(cqe.user_data, 3);
    CU_ASSERT_EQUAL(cqe.result, 0);
    app_world_step(&w, 2);
    CU_ASSERT_EQUAL(state_of(first), MR_APP_RING_DRAINED);
    app_side_free(first); /* nothing reads it any more */
    app_world_step(&w, 50);
    app_world_stop(&w);
}

/* An heir that does not read its completions keeps nobody's region. */
static void a_deaf_heir_keeps_no_region(void)
{
    start(MR_DEATH_INHERIT);
    uint64_t stream = app_world_open(&w, client, conn);
    app_side_send(client, stream, BEGIN, 10, 0, 0);
    struct mr_cqe opened = app_world_event(&w, first, MR_EVENT_STREAM_OPENED);
    for (int i = 0; i < 64; i++) { /* fill its completion queue */
        app_side_submit(second, &(struct mr_sqe){.op = MR_OP_NOP});
        app_world_step(&w, 1);
    }
    loop_hold_acks(w.loop, APP_SERVER, true);
    app_side_send(first, opened.stream, BEGIN, 5000, 0, 1);
    app_world_step(&w, 3);
    detach(first);
    app_world_step(&w, 3);
    CU_ASSERT_EQUAL(state_of(first), MR_APP_RING_LETTING_GO);
    loop_hold_acks(w.loop, APP_SERVER, false);
    app_world_step(&w, 30);
    CU_ASSERT_EQUAL(state_of(first), MR_APP_RING_DRAINED);
    app_world_stop(&w);
}

/* What the peer did once is news to the heir: that it stopped, reset, ended. */
static void check_what_was(uint32_t heir_flags)
{
    struct loop_config config = plain();

    start_with(&config, MR_DEATH_INHERIT, heir_flags, 64);
    uint64_t ids[3];
    for (int i = 0; i < 3; i++) {
        ids[i] = app_world_open(&w, client, conn);
        app_side_send(client, ids[i], BEGIN, 10, i == 2 ? MR_SQE_FIN : 0, 0);
        app_world_event(&w, first, MR_EVENT_STREAM_OPENED);
    }
    for (int i = 0; i < 3; i++) {
        struct mr_cqe data = app_world_wait(&w, first, is_data, 0);
        app_side_release(first, &data);
    }
    app_side_submit(client, &(struct mr_sqe){.op = MR_OP_RESET, .handle = ids[0], .value = 41});
    app_side_submit(client, &(struct mr_sqe){.op = MR_OP_STOP, .handle = ids[1], .value = 42});
    app_world_event(&w, first, MR_EVENT_RESET);
    app_world_event(&w, first, MR_EVENT_STOPPED);
    detach(first);
    CU_ASSERT_EQUAL(app_world_event(&w, second, MR_EVENT_RESET).value, 41);
    CU_ASSERT_EQUAL(app_world_event(&w, second, MR_EVENT_STOPPED).value, 42);
    struct mr_cqe cqe = app_world_wait(&w, second, is_data, 0);
    CU_ASSERT_EQUAL(cqe.size, 0);
    CU_ASSERT_EQUAL(cqe.value, 10);
    CU_ASSERT_EQUAL(cqe.flags, MR_CQE_FIN);
    app_world_stop(&w);
}

static void an_heir_is_told_of_what_was(void)
{
    check_what_was(0);
    check_what_was(MR_RING_BY_REFERENCE);
}

static bool is_of_conn(const struct mr_cqe *cqe, uint64_t unused)
{
    (void)unused;
    return cqe->type == MR_CQE_EVENT && cqe->stream == 0;
}

/* That what came may be a copy is said to the heir, too, as long as it may; that the client itself
 * sent it only to who was told so. */
static void an_heir_is_told_what_is_early(void)
{
    for (int confirmed = 0; confirmed < 3; confirmed++) {
        struct loop_config config = plain();

        config.has_early = true;
        start_with(&config, MR_DEATH_INHERIT, 0, 64);
        if (confirmed == 1)
            loop_confirm(w.loop);
        app_world_step(&w, confirmed == 1 ? 2 : 0);
        if (confirmed == 2) { /* and in the same iteration in which it dies */
            loop_confirm(w.loop);
            loop_step(w.loop);
        }
        detach(first);
        uint32_t kinds = app_world_wait(&w, second, is_of_conn, 0).kinds;
        CU_ASSERT_EQUAL(kinds,
                        confirmed == 0 ? MR_EVENT_CONNECTED | MR_EVENT_EARLY : MR_EVENT_CONNECTED);
        loop_confirm(w.loop);
        app_world_step(&w, 5);
        kinds = app_world_wait(&w, second, is_of_conn, 0).kinds;
        CU_ASSERT_EQUAL(kinds, confirmed == 0 ? MR_EVENT_CONFIRMED : 0);
        app_world_stop(&w);
    }
}

/* That the peer's reset came behind bytes that it guaranteed, too. */
static void an_heir_is_told_what_was_guaranteed(void)
{
    struct loop_config config = plain();

    start_with(&config, MR_DEATH_INHERIT, 0, 64);
    uint64_t stream = app_world_open(&w, client, conn);
    app_side_send(client, stream, BEGIN, 100, 0, 0);
    app_side_submit(
        client,
        &(struct mr_sqe){.op = MR_OP_RESET_AT, .handle = stream, .value = 43, .address = 60});
    app_world_event(&w, first, MR_EVENT_STREAM_OPENED);
    struct mr_cqe data = app_world_wait(&w, first, is_data, 0);
    app_side_release(first, &data);
    CU_ASSERT_EQUAL(app_world_event(&w, first, MR_EVENT_RESET).value, 43);
    detach(first);
    struct mr_cqe reset = app_world_event(&w, second, MR_EVENT_RESET);
    CU_ASSERT_EQUAL(reset.value, 43);
    CU_ASSERT_EQUAL(reset.flags & MR_CQE_RELIABLE, MR_CQE_RELIABLE);
    app_world_stop(&w);
}

/* The end of a stream that the dead one's SENDs are of: they are nobody's to be told of. */
static void an_heir_hears_nothing_of_the_deads_sends(void)
{
    struct loop_config config = plain();
    struct mr_cqe cqe;

    config.queue_max = 1;
    start_with(&config, MR_DEATH_INHERIT, 0, 64);
    app_side_send(client, app_world_open(&w, client, conn), BEGIN, 10, 0, 0);
    struct mr_cqe opened = app_world_event(&w, first, MR_EVENT_STREAM_OPENED);
    loop_hold_acks(w.loop, APP_SERVER, true);
    app_side_send(first, opened.stream, BEGIN, 70000, 0, 1);
    app_side_send(first, opened.stream, BEGIN, 500, 0, 2);
    app_world_step(&w, 3);
    detach(first);
    app_world_event(&w, second, MR_EVENT_STREAM_OPENED);
    loop_cut(w.loop);
    app_world_event(&w, second, MR_EVENT_CLOSED);
    app_world_event(&w, second, MR_EVENT_CLOSED);
    while (app_side_next(second, &cqe))
        CU_ASSERT(cqe.type != MR_CQE_DONE || cqe.op != MR_OP_SEND);
    app_world_step(&w, 1);
    CU_ASSERT_EQUAL(state_of(first), MR_APP_RING_DRAINED);
    app_world_stop(&w);
}

/* Neither of streams that were over already. */
static void an_heir_hears_nothing_of_what_is_over(void)
{
    struct mr_cqe cqe;

    start(MR_DEATH_INHERIT);
    uint64_t stream = app_world_open(&w, client, conn);
    app_side_send(client, stream, BEGIN, 10, MR_SQE_FIN, 0);
    struct mr_cqe opened = app_world_event(&w, first, MR_EVENT_STREAM_OPENED);
    for (int i = 0; i < 64; i++) { /* its completion queue is full, so that it is not told */
        app_side_submit(first, &(struct mr_sqe){.op = MR_OP_NOP});
        app_world_step(&w, 1);
    }
    app_side_submit(first, &(struct mr_sqe){.op = MR_OP_NOP});
    app_side_submit(client, &(struct mr_sqe){.op = MR_OP_STOP, .handle = stream});
    app_world_step(&w, 30);
    detach(first);
    app_world_event(&w, second, MR_EVENT_CONNECTED);
    app_world_step(&w, 10);
    while (app_side_next(second, &cqe))
        CU_ASSERT_NOT_EQUAL(cqe.stream, opened.stream);
    app_world_stop(&w);
}

/* By value from by reference: what was shown and not given back is not lost. */
static void views_not_given_back_are_shown_again(void)
{
    struct loop_config config = plain();

    start_with(&config, MR_DEATH_INHERIT, MR_RING_BY_REFERENCE, 64);
    app_world_call(&w, first, (struct mr_sqe){.op = MR_OP_LISTEN, .value = MR_RING_EVERY});
    conn = app_world_connect(&w, client); /* the second's */
    app_world_call(&w, first, (struct mr_sqe){.op = MR_OP_LISTEN, .address = 1});
    app_side_send(client, app_world_open(&w, client, conn), BEGIN, 50000, MR_SQE_FIN, 0);
    app_world_event(&w, second, MR_EVENT_STREAM_OPENED);
    struct mr_cqe cqe = app_world_wait(&w, second, is_data, 0);
    app_side_release(second, &cqe);
    app_world_step(&w, 50);
    detach(second);
    struct mr_cqe opened = app_world_event(&w, first, MR_EVENT_STREAM_OPENED);
    CU_ASSERT_EQUAL(take_bytes(first, opened.stream, cqe.size, 50000 - cqe.size), 50000);
    app_world_stop(&w);
}

/* Whoever waits with ACCEPT inherits as that; an alias of the dead one's is no name of the heir's.
 */
static void an_accept_inherits(void)
{
    start(MR_DEATH_INHERIT);
    app_world_call(&w, second, (struct mr_sqe){.op = MR_OP_LISTEN, .address = 0});
    app_side_submit(second, &(struct mr_sqe){.op = MR_OP_ACCEPT, .user_data = 6});
    struct mr_cqe accepted = app_world_event(&w, first, MR_EVENT_CONNECTED);
    app_world_call(&w, first,
                   (struct mr_sqe){.op = MR_OP_OPEN, .handle = accepted.conn, .alias = 1});
    detach(first);
    struct mr_cqe cqe = app_world_answer(&w, second, MR_OP_ACCEPT);
    CU_ASSERT_EQUAL(cqe.user_data, 6);
    CU_ASSERT_EQUAL(cqe.conn, accepted.conn);
    CU_ASSERT_EQUAL(app_world_event(&w, second, MR_EVENT_CONNECTED).flags, MR_CQE_INHERITED);
    CU_ASSERT_EQUAL(
        app_world_call(&w, second, (struct mr_sqe){.op = MR_OP_RESET, .handle = MR_RING_ALIAS})
            .result,
        -ESTALE);
    struct mr_cqe opened = app_world_event(&w, second, MR_EVENT_STREAM_OPENED);
    uint64_t own = app_world_call(&w, second,
                                  (struct mr_sqe){.op = MR_OP_OPEN, .handle = cqe.conn, .alias = 1})
                       .stream;
    CU_ASSERT_EQUAL(
        app_world_call(&w, second, (struct mr_sqe){.op = MR_OP_RESET, .handle = opened.stream})
            .result,
        0);
    app_world_call(&w, second, (struct mr_sqe){.op = MR_OP_STOP, .handle = opened.stream});
    do /* until what was inherited is over */
        cqe = app_world_event(&w, second, MR_EVENT_CLOSED);
    while (!app_is_none(&cqe) && cqe.stream != opened.stream);
    CU_ASSERT_EQUAL(cqe.stream, opened.stream);
    CU_ASSERT_EQUAL(
        app_world_call(&w, second, (struct mr_sqe){.op = MR_OP_RESET, .handle = MR_RING_ALIAS})
            .result,
        0);
    CU_ASSERT_NOT_EQUAL(own, opened.stream);
    app_world_stop(&w);
}

/* Without room for the connection and all its streams nobody inherits. */
static void who_has_no_room_does_not_inherit(void)
{
    struct loop_config config = plain();

    start_with(&config, MR_DEATH_INHERIT, 0, 2);
    for (int i = 0; i < 2; i++) {
        app_side_send(client, app_world_open(&w, client, conn), BEGIN, 10, 0, 0);
        app_world_event(&w, first, MR_EVENT_STREAM_OPENED);
    }
    detach(first);
    struct mr_cqe cqe;
    do
        cqe = app_world_event(&w, client, MR_EVENT_CLOSED);
    while (cqe.stream != 0);
    CU_ASSERT_EQUAL(cqe.value, 73);
    CU_ASSERT_EQUAL(mr_app_host_stats(w.host[APP_SERVER])->conns_inherited, 0);
    app_world_stop(&w);
}

/* The dead one's SENDs wait for the transport's memory: they are given to it when the stream is the
 * heir's, who says nothing. */
static void sends_that_wait_for_memory_are_inherited(void)
{
    start(MR_DEATH_INHERIT);
    app_side_send(client, app_world_open(&w, client, conn), BEGIN, 10, 0, 0);
    struct mr_cqe opened = app_world_event(&w, first, MR_EVENT_STREAM_OPENED);
    loop_set_refuse(w.loop, 100);
    app_side_send(first, opened.stream, BEGIN, 3000, 0, 1);
    app_side_send(first, opened.stream, BEGIN + 3000, 2000, 0, 2);
    app_world_step(&w, 5);
    detach(first);
    CU_ASSERT_EQUAL(app_world_event(&w, second, MR_EVENT_STREAM_OPENED).address, 5000);
    loop_set_refuse(w.loop, 0);
    CU_ASSERT_EQUAL(take_bytes(client, 0, 0, 5000), 5000);
    app_world_stop(&w);
}

/* From one to the next to the last; then it is closed. */
static void an_heir_has_heirs(void)
{
    struct mr_ring_sizes sizes = app_world_sizes(64, 16);

    start(MR_DEATH_INHERIT);
    struct app_side *third = app_world_attach(&w, APP_SERVER, &sizes, NULL);
    uint64_t stream = app_world_open(&w, client, conn);
    app_side_send(client, stream, BEGIN, 100, 0, 0);
    take_bytes(first, 0, 0, 100);
    detach(first);
    app_world_event(&w, second, MR_EVENT_STREAM_OPENED);
    app_world_call(&w, third, (struct mr_sqe){.op = MR_OP_LISTEN, .address = 1});
    app_side_send(client, stream, BEGIN + 100, 100, 0, 0);
    take_bytes(second, 0, 100, 100);
    detach(second);
    app_world_event(&w, third, MR_EVENT_STREAM_OPENED);
    app_side_send(client, stream, BEGIN + 200, 100, 0, 0);
    CU_ASSERT_EQUAL(take_bytes(third, 0, 200, 100), 300);
    detach(third);
    CU_ASSERT_EQUAL(app_world_event(&w, client, MR_EVENT_CLOSED).value, 73);
    app_world_stop(&w);
}

static CU_TestInfo tests[] = {
    {"connections of the dead are closed with the listener's code",
     connections_of_the_dead_are_closed_with_the_listeners_code},
    {"a dead client's connections are closed with the host's code",
     a_dead_clients_connections_are_closed_with_the_hosts_code},
    {"everything of the dead comes back", everything_of_the_dead_comes_back},
    {"an heir goes on where the dead one ended", an_heir_goes_on_where_the_dead_one_ended},
    {"an heir is told what is early", an_heir_is_told_what_is_early},
    {"an heir is told what was guaranteed", an_heir_is_told_what_was_guaranteed},
    {"sends of the dead keep its region", sends_of_the_dead_keep_its_region},
    {"a deaf heir keeps no region", a_deaf_heir_keeps_no_region},
    {"SENDs that wait for memory are inherited", sends_that_wait_for_memory_are_inherited},
    {"an heir is told of what was", an_heir_is_told_of_what_was},
    {"an heir hears nothing of the dead one's SENDs", an_heir_hears_nothing_of_the_deads_sends},
    {"an heir hears nothing of what is over", an_heir_hears_nothing_of_what_is_over},
    {"views not given back are shown again", views_not_given_back_are_shown_again},
    {"an ACCEPT inherits", an_accept_inherits},
    {"who has no room does not inherit", who_has_no_room_does_not_inherit},
    {"an heir has heirs", an_heir_has_heirs},
    {"who cannot be woken is let go of", who_cannot_be_woken_is_let_go_of},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "dataplane/app_ring", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
