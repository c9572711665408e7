/* Tests of dataplane/app_host.h: two hosts joined by a transport in memory, the applications' ends
 * of their rings played by the test. */
#include "dataplane/app_host.h"

#include <errno.h>
#include <stdlib.h>

#include "base/random.h"
#include "tests/support/app_side.h"
#include "tests/support/loop_transport.h"
#include "tests/unit/harness.h"

enum {
    CLIENT = APP_CLIENT,
    SERVER = APP_SERVER,
    STREAMS_MAX = 32,
    STEPS = 200000,
};

struct stream {
    uint64_t handle;
    uint64_t sent; /* queued so far */
    uint64_t received;
    bool has_opened;
    bool has_fin;
    bool is_over;
};

static struct app_world w;
static struct stream streams[STREAMS_MAX];
static uint64_t conn; /* the client's */
static uint64_t total;
static uint32_t closed;
static uint64_t closed_code;
static uint64_t bad;

static void start(const struct loop_config *config, const struct mr_ring_sizes *sizes)
{
    memset(streams, 0, sizeof(streams));
    conn = total = closed_code = bad = 0;
    closed = 0;
    app_world_start(&w, config, sizes, NULL, NULL);
}

static struct loop_config plain(uint64_t seed)
{
    struct loop_config config = loop_config_default(seed);

    config.close_order = LOOP_STREAMS_FIRST;
    return config;
}

static void stop(void)
{
    app_world_stop(&w);
}

/* ------------------------------------------------------------------ an echo service */

static uint8_t byte_at(uint64_t stream, uint64_t offset)
{
    return (uint8_t)(stream * 7 + offset * 31 + offset / 253);
}

/* The server sends back out of the send area what it got, and releases it then. */
static void echo_back(const struct mr_cqe *cqe)
{
    struct app_side *app = &w.app[SERVER];
    uint64_t slot = (cqe->address - app->region.receive_at) / 1024;
    uint64_t at = app->region.send_at + slot * 1024;

    if (cqe->size > 0)
        memcpy(app->region.base + at, app->region.base + cqe->address, cqe->size);
    while (!app_side_submit(
        app, &(struct mr_sqe){.op = MR_OP_SEND,
                              .flags = (cqe->flags & MR_CQE_FIN) != 0 ? MR_SQE_FIN : 0,
                              .handle = cqe->stream,
                              .address = cqe->size > 0 ? at : app->region.send_at,
                              .size = cqe->size,
                              .user_data = cqe->size > 0 ? cqe->address : 0}))
        loop_step(w.loop);
}

/* A refused send is tried again: the transport has refusals of its own. */
static void on_sent_back(const struct mr_cqe *cqe)
{
    struct app_side *app = &w.app[SERVER];

    bad += cqe->result != 0 && cqe->result != -ECANCELED;
    if (cqe->user_data != 0)
        while (!app_side_submit(app, &(struct mr_sqe){.op = MR_OP_RELEASE,
                                                      .flags = MR_SQE_QUIET,
                                                      .address = cqe->user_data}))
            loop_step(w.loop);
}

static void serve(void)
{
    struct mr_cqe cqe;

    while (app_side_next(&w.app[SERVER], &cqe)) {
        if (cqe.type == MR_CQE_DATA)
            echo_back(&cqe);
        else if (cqe.type == MR_CQE_DONE && cqe.op == MR_OP_SEND)
            on_sent_back(&cqe);
        else if (cqe.type == MR_CQE_DONE)
            bad += cqe.result != 0;
    }
}

static void on_client_data(const struct mr_cqe *cqe)
{
    struct app_side *app = &w.app[CLIENT];
    uint64_t id = cqe->user_data;
    struct stream *s = &streams[id];

    bad += cqe->value != s->received;
    for (uint32_t i = 0; i < cqe->size; i++)
        bad += app->region.base[cqe->address + i] != byte_at(id, s->received + i);
    s->received += cqe->size;
    s->has_fin |= (cqe->flags & MR_CQE_FIN) != 0;
    if (cqe->size > 0)
        while (!app_side_submit(
            app,
            &(struct mr_sqe){.op = MR_OP_RELEASE, .flags = MR_SQE_QUIET, .address = cqe->address}))
            loop_step(w.loop);
}

static void on_client_event(const struct mr_cqe *cqe)
{
    if ((cqe->kinds & MR_EVENT_CLOSED) == 0)
        return;
    if (cqe->stream != 0) {
        streams[cqe->user_data].is_over = true;
    } else {
        closed++;
        closed_code = cqe->value;
    }
}

/* All of a stream in one submission. */
static void send_all(uint64_t id, uint64_t handle)
{
    struct app_side *app = &w.app[CLIENT];
    uint64_t at = app->region.send_at + 4096 + id * (total + 64);

    streams[id] = (struct stream){.handle = handle, .sent = total, .has_opened = true};
    for (uint64_t i = 0; i < total; i++)
        app->region.base[at + i] = byte_at(id, i);
    while (!app_side_submit(app, &(struct mr_sqe){.op = MR_OP_SEND,
                                                  .flags = MR_SQE_FIN,
                                                  .handle = handle,
                                                  .address = at,
                                                  .size = (uint32_t)total,
                                                  .user_data = id}))
        loop_step(w.loop);
}

static void ask(void)
{
    struct mr_cqe cqe;

    while (app_side_next(&w.app[CLIENT], &cqe)) {
        if (cqe.type == MR_CQE_DATA)
            on_client_data(&cqe);
        else if (cqe.type == MR_CQE_EVENT)
            on_client_event(&cqe);
        else if (cqe.type == MR_CQE_DONE && cqe.op == MR_OP_CONNECT)
            conn = cqe.result == 0 ? cqe.conn : 0;
        else if (cqe.type == MR_CQE_DONE && cqe.op == MR_OP_OPEN && cqe.result == 0)
            send_all(cqe.user_data, cqe.stream);
        else if (cqe.type == MR_CQE_DONE && cqe.op != MR_OP_OPEN)
            bad += cqe.result != 0 && cqe.result != -ECANCELED;
    }
}

static void connect_client(void)
{
    for (int i = 0; i < 200 && conn == 0; i++) {
        if (i % 40 == 0) /* a transport may refuse */
            app_side_connect(&w.app[CLIENT], 0);
        loop_step(w.loop);
        ask();
        serve();
    }
    CU_ASSERT_NOT_EQUAL_FATAL(conn, 0);
}

/* `count` streams of `size` bytes each there and back. */
static void run_echo(uint32_t count, uint64_t size)
{
    uint32_t over = 0;

    total = size;
    connect_client();
    for (uint64_t step = 0; step < STEPS && over < count; step++) {
        over = 0;
        for (uint32_t id = 0; id < count; id++) {
            over += streams[id].is_over;
            if (!streams[id].has_opened && step % 8 == 0)
                app_side_submit(
                    &w.app[CLIENT],
                    &(struct mr_sqe){.op = MR_OP_OPEN, .handle = conn, .user_data = id});
        }
        loop_step(w.loop);
        serve();
        ask();
        if (step % 16 == 0) {
            mr_app_host_check(w.host[CLIENT]);
            mr_app_host_check(w.host[SERVER]);
        }
    }
    CU_ASSERT_EQUAL(over, count);
    CU_ASSERT_EQUAL(bad, 0);
    for (uint32_t id = 0; id < count; id++) {
        CU_ASSERT_EQUAL(streams[id].received, size);
        CU_ASSERT(streams[id].has_fin);
    }
}

static void streams_are_echoed_byte_by_byte(void)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct loop_config config = plain(seed);
        struct mr_ring_sizes sizes = app_world_sizes(256, 64);

        config.idle_percent = 30;
        start(&config, &sizes);
        run_echo(8, 20000);
        stop();
    }
}

/* Memory and room are short all the time: what waits in the hosts comes through all the same. */
static void a_transport_that_refuses_loses_nothing(void)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct loop_config config = plain(seed);
        struct mr_ring_sizes sizes = app_world_sizes(256, 64);

        config.refuse_percent = 30;
        config.queue_max = 1500;
        config.idle_percent = 20;
        start(&config, &sizes);
        run_echo(8, 20000);
        stop();
    }
}

static void a_small_completion_queue_loses_nothing(void)
{
    struct loop_config config = plain(3);
    struct mr_ring_sizes sizes = app_world_sizes(16, 8);

    start(&config, &sizes);
    run_echo(6, 50000);
    stop();
}

/* ------------------------------------------------------------------ what is refused */

/* Submit, run, and return the result of the completion with this user data. */
static int32_t result_of(struct app_side *app, struct mr_sqe sqe)
{
    struct mr_cqe cqe;

    sqe.user_data = 0xabcdef;
    app_side_submit(app, &sqe);
    for (int i = 0; i < 100; i++) {
        loop_step(w.loop);
        while (app_side_next(app, &cqe))
            if (cqe.user_data == 0xabcdef && cqe.type == MR_CQE_DONE)
                return cqe.result;
    }
    return 1;
}

static void submissions_that_make_no_sense_are_refused(void)
{
    struct loop_config config = plain(1);
    struct mr_ring_sizes sizes = app_world_sizes(64, 8);

    start(&config, &sizes);
    connect_client();
    struct app_side *app = &w.app[CLIENT];
    uint64_t area = app->region.send_at;
    uint64_t end = area + sizes.send_bytes;

    CU_ASSERT_EQUAL(result_of(app, (struct mr_sqe){.op = MR_OP_NOP}), 0);
    CU_ASSERT_EQUAL(result_of(app, (struct mr_sqe){.op = MR_OPS}), -EOPNOTSUPP);
    CU_ASSERT_EQUAL(result_of(app, (struct mr_sqe){.op = 255}), -EOPNOTSUPP);
    CU_ASSERT_EQUAL(result_of(app, (struct mr_sqe){.op = MR_OP_OPEN, .handle = 77}), -ESTALE);
    CU_ASSERT_EQUAL(result_of(app, (struct mr_sqe){.op = MR_OP_OPEN, .handle = conn + 1}), -ESTALE);
    CU_ASSERT_EQUAL(
        result_of(app, (struct mr_sqe){.op = MR_OP_OPEN, .handle = conn + (UINT64_C(1) << 32)}),
        -ESTALE);
    CU_ASSERT_EQUAL(result_of(app, (struct mr_sqe){.op = MR_OP_SEND, .handle = conn}), -ESTALE);
    CU_ASSERT_EQUAL(result_of(app, (struct mr_sqe){.op = MR_OP_PRIORITY, .handle = conn}), -ESTALE);
    CU_ASSERT_EQUAL(
        result_of(app, (struct mr_sqe){.op = MR_OP_CLOSE, .handle = conn, .address = 0, .size = 5}),
        -EINVAL);
    CU_ASSERT_EQUAL(
        result_of(app, (struct mr_sqe){.op = MR_OP_CLOSE, .handle = conn, .value = UINT64_MAX}),
        -EINVAL);
    CU_ASSERT_EQUAL(result_of(app, (struct mr_sqe){.op = MR_OP_CONNECT,
                                                   .address = end - 8,
                                                   .size = sizeof(struct mr_ring_connect)}),
                    -EINVAL);
    CU_ASSERT_EQUAL(result_of(app, (struct mr_sqe){.op = MR_OP_RELEASE, .address = 0}), -EINVAL);
    CU_ASSERT_EQUAL(
        result_of(app, (struct mr_sqe){.op = MR_OP_RELEASE, .address = app->region.receive_at}),
        -EINVAL);
    CU_ASSERT_EQUAL(result_of(app, (struct mr_sqe){.op = MR_OP_RELEASE,
                                                   .address = app->region.receive_at + 8 * 1024}),
                    -EINVAL);
    CU_ASSERT_EQUAL(result_of(app, (struct mr_sqe){.op = MR_OP_RELEASE, .address = UINT64_MAX}),
                    -EINVAL);
    stop();
}

static void bytes_outside_the_send_area_are_not_sent(void)
{
    struct loop_config config = plain(1);
    struct mr_ring_sizes sizes = app_world_sizes(64, 8);
    struct mr_cqe cqe = {0};

    start(&config, &sizes);
    connect_client();
    struct app_side *app = &w.app[CLIENT];
    uint64_t area = app->region.send_at;
    uint64_t end = area + sizes.send_bytes;
    const struct {
        uint64_t address;
        uint32_t size;
    } outside[] = {{0, 1},
                   {area - 1, 1},
                   {end, 1},
                   {end - 1, 2},
                   {area, UINT32_MAX},
                   {UINT64_MAX, 1},
                   {UINT64_MAX - 3, 8},
                   {app->region.receive_at, 64}};

    app_side_submit(app, &(struct mr_sqe){.op = MR_OP_OPEN, .handle = conn});
    for (int i = 0; i < 50 && cqe.stream == 0; i++) {
        loop_step(w.loop);
        while (app_side_next(app, &cqe) && cqe.op != MR_OP_OPEN)
            ;
    }
    CU_ASSERT_NOT_EQUAL_FATAL(cqe.stream, 0);
    for (size_t i = 0; i < MR_COUNT_OF(outside); i++)
        CU_ASSERT_EQUAL(result_of(app, (struct mr_sqe){.op = MR_OP_SEND,
                                                       .handle = cqe.stream,
                                                       .address = outside[i].address,
                                                       .size = outside[i].size}),
                        -EINVAL);
    stop();
}

static void anothers_handles_are_stale(void)
{
    struct loop_config config = plain(1);
    struct mr_ring_sizes sizes = app_world_sizes(64, 8);

    start(&config, &sizes);
    connect_client();
    struct app_side *other = app_world_attach(&w, CLIENT, &sizes, NULL);
    CU_ASSERT_EQUAL(result_of(other, (struct mr_sqe){.op = MR_OP_CLOSE, .handle = conn}), -ESTALE);
    CU_ASSERT_EQUAL(result_of(other, (struct mr_sqe){.op = MR_OP_USERDATA, .handle = conn}),
                    -ESTALE);
    stop();
}

/* ------------------------------------------------------------------ back pressure */

/* The server releases nothing: it gets its share of slots, and the stream's sender waits. */
static void who_never_releases_holds_only_itself(void)
{
    struct loop_config config = plain(2);
    struct mr_ring_sizes sizes = app_world_sizes(64, 16);
    struct mr_cqe cqe;
    uint32_t slots = 0;
    uint64_t first = 0;
    uint64_t bytes_of_second = 0;

    start(&config, &sizes);
    total = 100000;
    connect_client();
    for (uint32_t id = 0; id < 2; id++)
        app_side_submit(&w.app[CLIENT],
                        &(struct mr_sqe){.op = MR_OP_OPEN, .handle = conn, .user_data = id});
    for (int i = 0; i < 3000; i++) {
        loop_step(w.loop);
        ask();
        while (app_side_next(&w.app[SERVER], &cqe)) {
            if (cqe.type != MR_CQE_DATA)
                continue;
            first = first == 0 ? cqe.stream : first;
            if (cqe.stream == first) {
                slots++; /* kept */
                continue;
            }
            bytes_of_second += cqe.size;
            app_side_submit(&w.app[SERVER], &(struct mr_sqe){.op = MR_OP_RELEASE,
                                                             .flags = MR_SQE_QUIET,
                                                             .address = cqe.address});
        }
    }
    CU_ASSERT_EQUAL(slots, 4); /* a quarter */
    CU_ASSERT_EQUAL(bytes_of_second, total);
    mr_app_host_check(w.host[SERVER]);
    stop();
}

/* ------------------------------------------------------------------ death */

static void a_broken_ring_is_let_go_of(void)
{
    struct loop_config config = plain(1);
    struct mr_ring_sizes sizes = app_world_sizes(64, 8);

    for (int which = 0; which < 2; which++) {
        start(&config, &sizes);
        connect_client();
        struct mr_mailbox box = which == 0 ? mr_ring_submissions(&w.app[SERVER].region)
                                           : mr_ring_completions(&w.app[SERVER].region);
        atomic_store(which == 0 ? box.tail : box.head, 0x7fffffff);
        app_side_submit(&w.app[CLIENT], &(struct mr_sqe){.op = MR_OP_OPEN, .handle = conn});
        total = 200000;
        for (int i = 0; i < 2000 && closed == 0; i++) {
            loop_step(w.loop);
            ask();
        }
        if (which == 0) { /* the other index is looked at when the queue seems full */
            CU_ASSERT_EQUAL(closed, 1);
            CU_ASSERT_EQUAL(closed_code, 73); /* the listener's */
            CU_ASSERT(mr_app_host_ring_state(w.host[SERVER], (uint32_t)w.app[SERVER].ring) >=
                      MR_APP_RING_LETTING_GO);
            CU_ASSERT_EQUAL(mr_app_host_stats(w.host[SERVER])->rings_broken, 1);
            CU_ASSERT_EQUAL(atomic_load(w.app[SERVER].region.is_gone), 1);
        }
        stop();
    }
}

static void who_nobody_listens_for_is_refused(void)
{
    struct loop_config config = plain(1);
    struct mr_ring_sizes sizes = app_world_sizes(64, 8);

    start(&config, &sizes);
    loop_step(w.loop);
    app_side_submit(&w.app[SERVER], &(struct mr_sqe){.op = MR_OP_LISTEN, .value = MR_RING_EVERY});
    loop_step(w.loop);
    app_side_connect(&w.app[CLIENT], 0);
    for (int i = 0; i < 500 && closed == 0; i++) {
        loop_step(w.loop);
        ask();
    }
    CU_ASSERT_EQUAL(closed, 1);
    CU_ASSERT_EQUAL(closed_code, 71);
    CU_ASSERT_EQUAL(mr_app_host_stats(w.host[SERVER])->conns_refused, 1);
    stop();
}

static void new_connections_go_round_the_rings_that_listen(void)
{
    struct loop_config config = plain(1);
    struct mr_ring_sizes sizes = app_world_sizes(64, 8);
    struct mr_cqe cqe;
    uint32_t got[2] = {0};

    start(&config, &sizes);
    struct app_side *other = app_world_attach(&w, SERVER, &sizes, NULL);
    app_side_submit(other,
                    &(struct mr_sqe){.op = MR_OP_LISTEN, .value = MR_RING_EVERY, .address = 1});
    for (int i = 0; i < 6; i++) {
        app_side_connect(&w.app[CLIENT], 0);
        for (int k = 0; k < 100; k++)
            loop_step(w.loop);
        for (int k = 0; k < 2; k++)
            while (app_side_next(k == 0 ? &w.app[SERVER] : other, &cqe))
                got[k] += cqe.type == MR_CQE_EVENT && (cqe.kinds & MR_EVENT_CONNECTED) != 0;
    }
    CU_ASSERT_EQUAL(got[0], 3);
    CU_ASSERT_EQUAL(got[1], 3);
    stop();
}

/* ------------------------------------------------------------------ timers, sleeping */

static void a_timer_completes_when_it_is_time(void)
{
    struct loop_config config = plain(1);
    struct mr_ring_sizes sizes = app_world_sizes(64, 8);
    struct mr_cqe cqe;

    start(&config, &sizes);
    loop_step(w.loop);
    while (app_side_next(&w.app[CLIENT], &cqe))
        ;
    app_side_submit(
        &w.app[CLIENT],
        &(struct mr_sqe){.op = MR_OP_TIMER, .value = 50 * LOOP_STEP_NS, .user_data = 5});
    for (int i = 0; i < 40; i++)
        loop_step(w.loop);
    CU_ASSERT_FALSE(app_side_next(&w.app[CLIENT], &cqe));
    for (int i = 0; i < 40; i++)
        loop_step(w.loop);
    CU_ASSERT(app_side_next(&w.app[CLIENT], &cqe));
    CU_ASSERT_EQUAL(cqe.op, MR_OP_TIMER);
    CU_ASSERT_EQUAL(cqe.user_data, 5);
    CU_ASSERT_EQUAL(cqe.result, 0);
    stop();
}

static void who_sleeps_is_woken_for_news(void)
{
    struct loop_config config = plain(1);
    struct mr_ring_sizes sizes = app_world_sizes(64, 8);
    struct mr_cqe cqe;

    start(&config, &sizes);
    loop_step(w.loop);
    while (app_side_next(&w.app[SERVER], &cqe))
        ;
    CU_ASSERT(mr_inbox_may_sleep(&w.app[SERVER].completions, w.app[SERVER].region.sleeps));
    CU_ASSERT_EQUAL(w.app[SERVER].wakes, 0);
    app_side_connect(&w.app[CLIENT], 0);
    for (int i = 0; i < 100; i++)
        loop_step(w.loop);
    CU_ASSERT_EQUAL(w.app[SERVER].wakes, 1);
    CU_ASSERT(app_side_next(&w.app[SERVER], &cqe));
    CU_ASSERT_EQUAL(cqe.kinds & MR_EVENT_CONNECTED, MR_EVENT_CONNECTED);
    stop();
}

/* ------------------------------------------------------------------ a hostile neighbour */

/* Random bytes in submissions, and anywhere in its region. */
static void misbehave(struct app_side *app, struct mr_random *random)
{
    struct mr_sqe sqe;

    for (uint32_t i = mr_random_below(random, 8) > 0 ? 4 : 0; i > 0; i--) {
        mr_random_fill(random, (uint8_t *)&sqe, sizeof(sqe));
        sqe.op = (uint8_t)mr_random_below(random, MR_OPS + 2);
        sqe.handle = UINT64_C(1) << 32 | mr_random_below(random, 16);
        if (mr_random_below(random, 2) == 0)
            sqe.address = app->region.send_at + mr_random_below(random, 1 << 20);
        if (mr_random_below(random, 2) == 0)
            sqe.size = (uint32_t)mr_random_below(random, 2000);
        if (sqe.op == MR_OP_TIMER)
            sqe.value = mr_random_below(random, 1000000);
        app_side_submit(app, &sqe);
    }
    if (mr_random_below(random, 64) == 0)
        mr_random_fill(random, app->region.base + mr_random_below(random, MR_RING_HEADER - 8), 8);
}

static void a_hostile_application_harms_only_itself(void)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct loop_config config = plain(seed);
        struct mr_ring_sizes sizes = app_world_sizes(64, 16);
        struct app_side *hostile[2];
        struct mr_random random;

        mr_random_init_number(&random, seed);
        start(&config, &sizes);
        for (int i = 0; i < 2; i++)
            hostile[i] = app_world_attach(&w, (unsigned)i, &sizes, NULL);
        total = 30000;
        connect_client();
        app_side_submit(&w.app[CLIENT], &(struct mr_sqe){.op = MR_OP_OPEN, .handle = conn});
        for (int step = 0; step < 4000 && !streams[0].is_over; step++) {
            misbehave(hostile[step % 2], &random);
            loop_step(w.loop);
            serve();
            ask();
            mr_app_host_check(w.host[step % 2]);
        }
        CU_ASSERT(streams[0].is_over);
        CU_ASSERT_EQUAL(streams[0].received, total);
        CU_ASSERT_EQUAL(bad, 0);
        stop();
    }
}

static CU_TestInfo tests[] = {
    {"streams are echoed byte by byte", streams_are_echoed_byte_by_byte},
    {"a transport that refuses loses nothing", a_transport_that_refuses_loses_nothing},
    {"a small completion queue loses nothing", a_small_completion_queue_loses_nothing},
    {"submissions that make no sense are refused", submissions_that_make_no_sense_are_refused},
    {"bytes outside the send area are not sent", bytes_outside_the_send_area_are_not_sent},
    {"another's handles are stale", anothers_handles_are_stale},
    {"who never releases holds only itself", who_never_releases_holds_only_itself},
    {"a broken ring is let go of", a_broken_ring_is_let_go_of},
    {"who nobody listens for is refused", who_nobody_listens_for_is_refused},
    {"new connections go round the rings that listen",
     new_connections_go_round_the_rings_that_listen},
    {"a timer completes when it is time", a_timer_completes_when_it_is_time},
    {"who sleeps is woken for news", who_sleeps_is_woken_for_news},
    {"a hostile application harms only itself", a_hostile_application_harms_only_itself},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "dataplane/app_host", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
