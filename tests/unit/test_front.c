/* Tests of millrace/front.h: many threads on one attachment. */
#include "millrace/front.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "millrace/transport.h"
#include "tests/support/ring_world.h"
#include "tests/unit/harness.h"

enum {
    THREADS = 8,
    CONNS = 6,
    MESSAGES = 200, /* per connection */
    MESSAGE = 100
};

#define SECONDS UINT64_C(1000000000)

static struct ring_world *world;
static struct mr_attachment *ends[2];
static struct mr_ring *client;
static struct mr_ring *server;
static struct mr_front *front; /* of the server */

static void start(bool has_thread)
{
    struct ring_world_config config = ring_world_config_default(1);

    config.has_thread = has_thread;
    world = ring_world_new(&config);
    for (unsigned i = 0; i < 2; i++)
        ends[i] = ring_world_attach(world, i, 1);
    client = mr_attach_ring(ends[0], 0);
    server = mr_attach_ring(ends[1], 0);
    CU_ASSERT_EQUAL_FATAL(mr_front_new(ends[1], &front, NULL), 0);
}

static void finish(void)
{
    mr_front_free(front);
    for (int i = 0; i < 2; i++)
        mr_detach(ends[i]);
    ring_world_free(world);
}

static void rest(long us)
{
    nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

/* ------------------------------------------------------------------ many waiters */

struct waiter {
    pthread_t thread;
    _Atomic uint32_t taken;
    int result; /* of the last wait */
};

static _Atomic uint32_t seen[10000]; /* how often, by user_data */

static void *wait_and_count(void *argument)
{
    struct waiter *w = argument;
    struct mr_front_seat seat = {0};
    struct mr_cqe cqe;
    struct mr_ring *ring;

    while ((w->result = mr_front_wait(front, &seat, &cqe, &ring, UINT64_MAX)) == 1) {
        atomic_fetch_add(&seen[cqe.user_data], 1);
        atomic_fetch_add(&w->taken, 1);
    }
    mr_front_leave(front, &seat);
    return NULL;
}

static void start_waiters(struct waiter *waiters, void *(*run)(void *))
{
    for (uint32_t i = 0; i < MR_COUNT_OF(seen); i++)
        atomic_store(&seen[i], 0);
    for (int i = 0; i < THREADS; i++) {
        waiters[i] = (struct waiter){.result = 1};
        CU_ASSERT_EQUAL_FATAL(pthread_create(&waiters[i].thread, NULL, run, &waiters[i]), 0);
    }
}

static void join_waiters(struct waiter *waiters, int result)
{
    for (int i = 0; i < THREADS; i++) {
        pthread_join(waiters[i].thread, NULL);
        CU_ASSERT_EQUAL(waiters[i].result, result);
    }
}

static uint64_t taken_of(const struct waiter *waiters)
{
    uint64_t sum = 0;

    for (int i = 0; i < THREADS; i++)
        sum += atomic_load(&waiters[i].taken);
    return sum;
}

static bool comes_about(const struct waiter *waiters, uint64_t taken)
{
    for (int i = 0; i < 100000 && taken_of(waiters) < taken; i++)
        rest(100);
    return taken_of(waiters) == taken;
}

static void submit_nops(uint64_t first, uint32_t count)
{
    struct mr_sqe sqes[16] = {0};

    for (uint32_t i = 0; i < count; i++) {
        mr_sqe_nop(&sqes[i]);
        sqes[i].user_data = first + i;
    }
    while (mr_front_submit(front, server, sqes, count) == -EAGAIN)
        rest(10);
}

static void each_completion_is_taken_once(void)
{
    struct waiter waiters[THREADS];
    uint32_t wrong = 0;

    start(true);
    start_waiters(waiters, wait_and_count);
    for (uint64_t n = 0; n < 9600; n += 16)
        submit_nops(n, 16);
    CU_ASSERT(comes_about(waiters, 9600));
    for (uint32_t i = 0; i < 9600; i++)
        wrong += atomic_load(&seen[i]) != 1;
    CU_ASSERT_EQUAL(wrong, 0);
    mr_front_stop(front);
    join_waiters(waiters, -ECANCELED);
    finish();
}

/* All sleep; what comes wakes one, and one more to look out in its place. */
static void B8_a_completion_wakes_one_waiter_and_no_herd(void)
{
    struct waiter waiters[THREADS];
    struct mr_front_stats stats;
    enum {
        COUNT = 300
    };

    start(true);
    start_waiters(waiters, wait_and_count);
    for (uint64_t n = 0; n < COUNT; n++) {
        submit_nops(n, 1);
        CU_ASSERT_FATAL(comes_about(waiters, n + 1));
        rest(50); /* for all to sleep again */
    }
    mr_front_stats_get(front, &stats);
    CU_ASSERT_EQUAL(stats.taken, COUNT);
    CU_ASSERT(stats.sleeps >= COUNT); /* they did sleep */
    CU_ASSERT(stats.sleeps <= 2 * COUNT + 2 * THREADS);
    CU_ASSERT(stats.vain <= COUNT / 10);
    for (int i = 0; i < THREADS; i++) /* and nobody is left out */
        CU_ASSERT(atomic_load(&waiters[i].taken) > 0);
    mr_front_stop(front);
    join_waiters(waiters, -ECANCELED);
    finish();
}

/* ------------------------------------------------------------------ connections */

/* What the server's threads keep of a connection, without a lock; user_data of its events. */
static struct conn {
    _Atomic bool is_inside; /* a thread has a completion of it */
    uint64_t conn;
    uint64_t offset; /* of its stream's data, next */
    bool has_end;
} conns[CONNS];
static _Atomic uint32_t conn_count;
static _Atomic uint32_t faults; /* order, or two at a time */
static _Atomic uint32_t ends_seen;

static struct conn *conn_of(const struct mr_cqe *cqe)
{
    uint32_t count = atomic_load(&conn_count);

    for (uint32_t i = 0; i < count; i++)
        if (conns[i].conn == cqe->conn)
            return &conns[i];
    return NULL;
}

static void take_data(struct conn *conn, const struct mr_cqe *cqe, struct mr_ring *ring)
{
    struct mr_sqe sqe = {0};

    atomic_fetch_add(&faults, cqe->value != conn->offset);
    conn->offset += cqe->size;
    if (cqe->size % 7 == 0)
        rest(20); /* others come past, if they can */
    mr_sqe_release(&sqe, cqe);
    while (cqe->size > 0 && mr_front_submit(front, ring, &sqe, 1) == -EAGAIN)
        rest(10);
    if ((cqe->flags & MR_CQE_FIN) != 0)
        atomic_fetch_add(&ends_seen, 1);
}

static void *serve(void *argument)
{
    struct waiter *w = argument;
    struct mr_front_seat seat = {0};
    struct mr_cqe cqe;
    struct mr_ring *ring;

    while ((w->result = mr_front_wait(front, &seat, &cqe, &ring, UINT64_MAX)) == 1) {
        struct conn *conn = conn_of(&cqe);

        if (conn == NULL)
            continue;
        atomic_fetch_add(&faults, atomic_exchange(&conn->is_inside, true));
        if (cqe.type == MR_CQE_DATA)
            take_data(conn, &cqe, ring);
        atomic_store(&conn->is_inside, false);
        atomic_fetch_add(&w->taken, 1);
    }
    mr_front_leave(front, &seat);
    return NULL;
}

static struct mr_sqe *prepare(void)
{
    struct mr_sqe *sqe;

    while ((sqe = mr_ring_sqe(client)) == NULL) {
        mr_ring_submit(client);
        rest(10);
    }
    return sqe;
}

/* Let the client's completions go by, so that its queue does not fill. */
static void drain_client(void)
{
    struct mr_cqe cqe;

    mr_ring_submit(client);
    while (mr_ring_take(client, &cqe, 1) == 1) {
    }
}

/* Make a connection, whose alias is its index, with a stream. */
static void connect_one(uint32_t index)
{
    struct mr_ring_connect *wish = mr_ring_alloc(client, sizeof(*wish));
    struct mr_sqe *sqe = prepare();

    *wish = (struct mr_ring_connect){
        .port = 443, .alpn_size = 3, .alpn = "\002h3", .server_name = "localhost"};
    mr_sqe_connect(sqe, mr_ring_offset(client, wish));
    sqe->alias = index + 1;
    drain_client();
}

/* The server's connection of it, taken by ACCEPT through the front. */
static uint64_t accept_one(struct mr_front_seat *seat)
{
    struct mr_sqe sqe = {0};
    struct mr_cqe cqe = {0};
    struct mr_ring *ring;

    mr_sqe_accept(&sqe, 0);
    CU_ASSERT_EQUAL(mr_front_submit(front, server, &sqe, 1), 0);
    while (cqe.type != MR_CQE_DONE || cqe.op != MR_OP_ACCEPT)
        CU_ASSERT_EQUAL_FATAL(mr_front_wait(front, seat, &cqe, &ring, 5 * SECONDS), 1);
    return cqe.conn;
}

static void open_conns(void)
{
    struct mr_front_seat seat = {0};

    atomic_store(&conn_count, 0);
    for (uint32_t i = 0; i < CONNS; i++) {
        connect_one(i);
        conns[i] = (struct conn){.conn = accept_one(&seat)};
        atomic_fetch_add(&conn_count, 1);
        struct mr_sqe *sqe = prepare();
        mr_sqe_open(sqe, MR_RING_ALIAS | i, MR_OPEN_BIDI);
        sqe->alias = CONNS + i + 1;
        drain_client();
    }
    mr_front_leave(front, &seat);
    atomic_store(&faults, 0);
    atomic_store(&ends_seen, 0);
}

static void a_connection_comes_in_order_to_one_thread_at_a_time(void)
{
    struct waiter waiters[THREADS];
    uint8_t *bytes;

    start(true);
    open_conns();
    start_waiters(waiters, serve);
    bytes = mr_ring_alloc(client, MESSAGE);
    memset(bytes, 'x', MESSAGE);
    for (uint32_t n = 0; n < MESSAGES; n++) {
        for (uint32_t i = 0; i < CONNS; i++)
            mr_sqe_send(prepare(), MR_RING_ALIAS | (CONNS + i), mr_ring_offset(client, bytes),
                        1 + (n + i) % MESSAGE, n == MESSAGES - 1 ? MR_SQE_FIN : 0);
        drain_client();
        rest(20);
    }
    for (int i = 0; i < 20000 && atomic_load(&ends_seen) < CONNS; i++) {
        drain_client();
        rest(100);
    }
    CU_ASSERT_EQUAL(atomic_load(&ends_seen), CONNS);
    CU_ASSERT_EQUAL(atomic_load(&faults), 0);
    mr_front_stop(front);
    join_waiters(waiters, -ECANCELED);
    for (uint32_t i = 0; i < CONNS; i++)
        CU_ASSERT(conns[i].offset > MESSAGES);
    finish();
}

/* One seat holds a connection and rests; the others are served. */
static void what_a_seat_holds_keeps_nobody_else_waiting(void)
{
    struct mr_front_seat holder = {0};
    struct mr_front_seat other = {0};
    struct mr_cqe cqe;
    struct mr_ring *ring;

    start(true);
    open_conns();
    while (mr_front_wait(front, &holder, &cqe, &ring, SECONDS / 50) == 1) {
    }
    uint8_t *bytes = mr_ring_alloc(client, MESSAGE);
    for (uint32_t n = 0; n < 3; n++) { /* the first connection's stream, and two messages more */
        mr_sqe_send(prepare(), MR_RING_ALIAS | (CONNS + 0), mr_ring_offset(client, bytes), 10, 0);
        drain_client();
        rest(2000);
    }
    CU_ASSERT_EQUAL(mr_front_wait(front, &holder, &cqe, &ring, SECONDS), 1);
    CU_ASSERT_EQUAL(cqe.conn, conns[0].conn);
    CU_ASSERT_EQUAL(mr_front_wait(front, &other, &cqe, &ring, SECONDS / 50), 0);
    mr_sqe_send(prepare(), MR_RING_ALIAS | (CONNS + 1), mr_ring_offset(client, bytes), 10, 0);
    drain_client();
    CU_ASSERT_EQUAL(mr_front_wait(front, &other, &cqe, &ring, SECONDS), 1);
    CU_ASSERT_EQUAL(cqe.conn, conns[1].conn);
    mr_front_leave(front, &holder); /* what it kept from others is theirs */
    while (cqe.conn != conns[0].conn)
        CU_ASSERT_EQUAL_FATAL(mr_front_wait(front, &other, &cqe, &ring, SECONDS), 1);
    mr_front_leave(front, &other);
    finish();
}

/* ------------------------------------------------------------------ the rest */

static void a_post_is_a_completion_of_ones_own(void)
{
    struct mr_front_seat seat = {0};
    struct mr_ring *ring = server;
    struct mr_cqe cqe;

    start(false);
    CU_ASSERT_EQUAL(mr_front_wait(front, &seat, &cqe, &ring, 0), 0);
    CU_ASSERT_EQUAL(mr_front_wait(front, &seat, &cqe, &ring, SECONDS / 500), 0);
    for (uint64_t i = 0; i < MR_FRONT_QUEUE; i++)
        CU_ASSERT_EQUAL(mr_front_post(front, 100 + i), 0);
    CU_ASSERT_EQUAL(mr_front_post(front, 0), -EAGAIN);
    for (uint64_t i = 0; i < MR_FRONT_QUEUE; i++) {
        CU_ASSERT_EQUAL(mr_front_wait(front, &seat, &cqe, &ring, UINT64_MAX), 1);
        CU_ASSERT_EQUAL(cqe.user_data, 100 + i);
        CU_ASSERT_EQUAL(cqe.type, MR_CQE_DONE);
        CU_ASSERT_PTR_NULL(ring);
    }
    finish();
}

static void submissions_go_in_together_or_not_at_all(void)
{
    struct mr_sqe sqes[40] = {0};
    struct mr_front_seat seat = {0};
    struct mr_cqe cqe;
    struct mr_ring *ring;
    uint32_t given = 0;

    start(false);
    for (uint64_t i = 0; i < 40; i++)
        sqes[i].user_data = i;
    while (mr_front_submit(front, server, sqes, 40) == 0)
        given += 40;
    CU_ASSERT(given >= 40);
    for (int i = 0; i < 10000; i++)
        ring_world_step(world);
    for (uint32_t i = 0; i < given; i++) {
        CU_ASSERT_EQUAL_FATAL(mr_front_wait(front, &seat, &cqe, &ring, 0), 1);
        CU_ASSERT_EQUAL(cqe.user_data, i % 40);
        ring_world_step(world);
    }
    CU_ASSERT_EQUAL(mr_front_wait(front, &seat, &cqe, &ring, 0), 0);
    void *memory = mr_front_alloc(front, server, 100);
    CU_ASSERT(mr_ring_owns(server, memory, 100));
    mr_front_give(front, server, memory);
    finish();
}

static void the_datapaths_end_is_told_to_every_thread(void)
{
    struct waiter waiters[THREADS];

    start(true);
    start_waiters(waiters, wait_and_count);
    rest(2000);
    ring_world_die(world, ends[1]);
    join_waiters(waiters, -ENOTCONN);
    CU_ASSERT_EQUAL(taken_of(waiters), 0);
    finish();
}

static void posts_are_handed_out_after_the_datapaths_end(void)
{
    struct mr_front_seat seat = {0};
    struct mr_cqe cqe;
    struct mr_ring *ring;

    start(false);
    CU_ASSERT_EQUAL(mr_front_post(front, 5), 0);
    ring_world_die(world, ends[1]);
    CU_ASSERT_EQUAL(mr_front_wait(front, &seat, &cqe, &ring, UINT64_MAX), 1);
    CU_ASSERT_EQUAL(mr_front_wait(front, &seat, &cqe, &ring, UINT64_MAX), -ENOTCONN);
    finish();
}

static CU_TestInfo tests[] = {
    {"each completion is taken once", each_completion_is_taken_once},
    {"B8 a completion wakes one waiter and no herd", B8_a_completion_wakes_one_waiter_and_no_herd},
    {"a connection comes in order, to one thread at a time",
     a_connection_comes_in_order_to_one_thread_at_a_time},
    {"what a seat holds keeps nobody else waiting", what_a_seat_holds_keeps_nobody_else_waiting},
    {"a post is a completion of one's own", a_post_is_a_completion_of_ones_own},
    {"submissions go in together or not at all", submissions_go_in_together_or_not_at_all},
    {"the datapath's end is told to every thread", the_datapaths_end_is_told_to_every_thread},
    {"posts are handed out after the datapath's end", posts_are_handed_out_after_the_datapaths_end},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/front", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
