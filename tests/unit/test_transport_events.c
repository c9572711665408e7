/* Tests of app/transport_ring.h: datagrams, timers, work, and the datapath's end. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "app/attach_internal.h"
#include "tests/support/ring_recorder.h"
#include "tests/unit/harness.h"

/* ------------------------------------------------------------------ datagrams */

static int send_datagram(const void *data, size_t size)
{
    struct mr_view view = {data, size};

    return rec.sides[REC_CLIENT].t->ops->send_datagram(rec.sides[REC_CLIENT].t, rec.conn, &view, 1);
}

static void datagrams_cross(void)
{
    static uint8_t bytes[1500];
    uint8_t room[1500];

    rec_prepare();
    rec.config.sizes.slot_size = 2048;
    rec_start_connected();
    CU_ASSERT_EQUAL(send_datagram(bytes, 1201), -EMSGSIZE);
    for (uint8_t i = 0; i < 5; i++) {
        bytes[0] = i;
        CU_ASSERT_EQUAL(send_datagram(bytes, 1000u + i), 0);
    }
    CU_ASSERT_EQUAL(send_datagram(bytes, 0), 0);
    mr_handle other = rec_wait_for(REC_SERVER, MR_EVENT_DATAGRAM)->conn;
    rec_run(20);
    CU_ASSERT_EQUAL(rec_times(REC_SERVER, MR_EVENT_DATAGRAM), 1);
    struct mr_transport *t = rec.sides[REC_SERVER].t;
    CU_ASSERT_EQUAL(t->ops->receive_datagram(t, other, room, 10), -ENOBUFS);
    for (uint8_t i = 0; i < 5; i++) {
        CU_ASSERT_EQUAL(t->ops->receive_datagram(t, other, room, sizeof(room)), 1000 + i);
        CU_ASSERT_EQUAL(room[0], i);
    }
    CU_ASSERT_EQUAL(t->ops->receive_datagram(t, other, room, sizeof(room)), 0);
    CU_ASSERT_EQUAL(t->ops->receive_datagram(t, other, room, sizeof(room)), -EAGAIN);
    rec_forget();
    CU_ASSERT_EQUAL(send_datagram(bytes, 1), 0);
    rec_wait_for(REC_SERVER, MR_EVENT_DATAGRAM);
    struct mr_app_ring_stats stats;
    CU_ASSERT_EQUAL(t->ops->receive_datagram(t, other, room, sizeof(room)), 1);
    rec_run(5);
    mr_app_host_ring_stats(ring_world_host(rec.world, REC_SERVER), 0, &stats);
    CU_ASSERT_EQUAL(stats.slots_held, 0);
    CU_ASSERT_EQUAL(mr_attach_ring(rec.sides[REC_CLIENT].attachment, 0)->area.used, 0);
    rec_finish();
}

/* The largest is as the path was when it was asked about last: one that is too large is refused,
 * or dropped and counted, and then it is known. */
static void the_largest_datagram_follows_the_path(void)
{
    static const uint8_t bytes[1200];
    struct loop *loop;

    rec_prepare();
    rec_start_connected();
    loop = ring_world_loop(rec.world);
    loop_set_datagram_max(loop, 800);
    CU_ASSERT_EQUAL(send_datagram(bytes, 1000), 0);
    rec_run(20);
    CU_ASSERT_EQUAL(rec_times(REC_SERVER, MR_EVENT_DATAGRAM), 0);
    CU_ASSERT_EQUAL(send_datagram(bytes, 1000), -EMSGSIZE);
    rec_run(20);
    loop_set_datagram_max(loop, 1200);
    CU_ASSERT_EQUAL(send_datagram(bytes, 1000), -EMSGSIZE);
    rec_run(20);
    CU_ASSERT_EQUAL(send_datagram(bytes, 1000), 0);
    rec_wait_for(REC_SERVER, MR_EVENT_DATAGRAM);
    rec_finish();
}

static void too_many_datagrams_are_refused(void)
{
    int sent = 0;

    rec_prepare();
    rec_start_connected();
    while (sent < 1000 && send_datagram("x", 1) == 0)
        sent++;
    CU_ASSERT(sent > 10);
    CU_ASSERT(sent < 1000);
    CU_ASSERT_EQUAL(send_datagram("x", 1), -EAGAIN);
    rec_wait_for(REC_CLIENT, MR_EVENT_WRITABLE);
    CU_ASSERT_EQUAL(rec_seen(REC_CLIENT, MR_EVENT_WRITABLE)->stream, MR_HANDLE_NONE);
    CU_ASSERT_EQUAL(send_datagram("x", 1), 0);
    rec_finish();
}

static void a_peer_that_takes_no_datagrams_is_known(void)
{
    rec_prepare();
    rec.config.loop.datagram_max = 0;
    rec_start_connected();
    CU_ASSERT_EQUAL(send_datagram("x", 1), -EOPNOTSUPP);
    rec_finish();
}

/* ------------------------------------------------------------------ timers and work */

static void timers_are_kept_here(void)
{
    rec_prepare();
    rec.limits.timers_max = 2;
    rec_start();
    struct mr_transport *t = rec.sides[REC_CLIENT].t;
    CU_ASSERT_EQUAL(mr_ring_transport_deadline(rec.sides[REC_CLIENT].rt), UINT64_MAX);
    CU_ASSERT_EQUAL(t->ops->timer(t, 30000000, 1), 0);
    CU_ASSERT_EQUAL(t->ops->timer(t, 10000000, 2), 0);
    CU_ASSERT_EQUAL(t->ops->timer(t, 10000000, 3), -ENOMEM);
    uint64_t deadline = mr_ring_transport_deadline(rec.sides[REC_CLIENT].rt);
    CU_ASSERT(deadline > rec.clock_ns);
    CU_ASSERT(deadline <= rec.clock_ns + 11000000);
    rec_run(2);
    CU_ASSERT_PTR_NULL(rec_seen(REC_CLIENT, MR_EVENT_TIMER));
    rec.clock_ns += 11000000;
    rec_step();
    CU_ASSERT_EQUAL(rec_times(REC_CLIENT, MR_EVENT_TIMER), 1);
    CU_ASSERT_EQUAL(rec_seen(REC_CLIENT, MR_EVENT_TIMER)->user_data, 2);
    rec.clock_ns += 21000000;
    rec_step();
    CU_ASSERT_EQUAL(rec_times(REC_CLIENT, MR_EVENT_TIMER), 2);
    CU_ASSERT_EQUAL(t->ops->now(t), rec.clock_ns);
    CU_ASSERT_EQUAL(mr_ring_transport_deadline(rec.sides[REC_CLIENT].rt), UINT64_MAX);
    rec_finish();
}

static int64_t add_one(void *argument)
{
    return ++*(int64_t *)argument;
}

static struct {
    uint32_t count;
    uint64_t user_data;
} started;

static int start_work(void *context, int64_t (*function)(void *argument), void *argument,
                      uint64_t user_data)
{
    (void)context;
    if (started.count == 1)
        return -EAGAIN;
    started.count++;
    started.user_data = user_data;
    function(argument);
    return 0;
}

static void work_goes_to_the_pool_or_is_done_here(void)
{
    int64_t number = 41;

    rec_prepare();
    rec.limits.work_max = 2;
    rec_start();
    struct mr_transport *t = rec.sides[REC_CLIENT].t;
    CU_ASSERT_EQUAL(t->ops->work(t, add_one, &number, 8), 0);
    CU_ASSERT_EQUAL(number, 41);
    CU_ASSERT(mr_ring_transport_deadline(rec.sides[REC_CLIENT].rt) <= rec.clock_ns);
    CU_ASSERT_EQUAL(t->ops->work(t, add_one, &number, 9), 0);
    CU_ASSERT_EQUAL(t->ops->work(t, add_one, &number, 10), -EAGAIN);
    rec_step();
    CU_ASSERT_EQUAL(rec_times(REC_CLIENT, MR_EVENT_WORK_DONE), 2);
    CU_ASSERT_EQUAL(rec_seen(REC_CLIENT, MR_EVENT_WORK_DONE)->user_data, 8);
    CU_ASSERT_EQUAL(rec_seen(REC_CLIENT, MR_EVENT_WORK_DONE)->result, 42);
    rec_finish();

    rec_prepare();
    memset(&started, 0, sizeof(started));
    rec.limits.work.start = start_work;
    rec_start();
    t = rec.sides[REC_CLIENT].t;
    CU_ASSERT_EQUAL(t->ops->work(t, add_one, &number, 11), 0);
    CU_ASSERT_EQUAL(t->ops->work(t, add_one, &number, 12), -EAGAIN);
    CU_ASSERT_EQUAL(started.user_data, 11);
    rec_step();
    CU_ASSERT_PTR_NULL(rec_seen(REC_CLIENT, MR_EVENT_WORK_DONE));
    mr_ring_transport_work_done(rec.sides[REC_CLIENT].rt, 11, 44);
    rec_step();
    CU_ASSERT_EQUAL(rec_seen(REC_CLIENT, MR_EVENT_WORK_DONE)->result, 44);
    rec_finish();
}

/* ------------------------------------------------------------------ a connection's end */

/* The first CLOSED of a connection that a side was told of. */
static uint32_t conn_end(unsigned side)
{
    const struct rec_side *s = &rec.sides[side];
    uint32_t at = 0;

    while (at < s->count &&
           ((s->events[at].kinds & MR_EVENT_CLOSED) == 0 || s->events[at].stream != MR_HANDLE_NONE))
        at++;
    CU_ASSERT_FATAL(at < s->count);
    return at;
}

/* RFC 9000, Section 19.19: a close has a code, and a reason phrase.  Slots are few: they come back.
 */
static void closes_with_reasons(bool is_by_reference)
{
    char reason[64];

    rec_prepare();
    rec.config.sizes.slot_count = 16;
    rec.config.sizes.flags = is_by_reference ? MR_RING_BY_REFERENCE : 0;
    rec_start();
    for (uint64_t i = 1; i <= 40; i++) {
        struct mr_connect_options options = rec_options();
        const struct rec_side *client = &rec.sides[REC_CLIENT], *server = &rec.sides[REC_SERVER];

        rec_forget();
        CU_ASSERT_EQUAL_FATAL(client->t->ops->connect(client->t, &options, &rec.conn), 0);
        rec_wait_for(REC_CLIENT, MR_EVENT_CONNECTED);
        mr_handle theirs = rec_wait_for(REC_SERVER, MR_EVENT_CONNECTED)->conn;
        snprintf(reason, sizeof(reason), "number %d\x1b[31m", (int)i);
        CU_ASSERT_EQUAL(server->t->ops->close(server->t, theirs, 70 + i, reason), 0);
        rec_wait_for(REC_CLIENT, MR_EVENT_CLOSED);
        rec_wait_for(REC_SERVER, MR_EVENT_CLOSED);
        snprintf(reason, sizeof(reason), "number %d?[31m", (int)i); /* no terminal is moved */
        for (unsigned side = 0; side < 2; side++) {
            const struct rec_side *s = &rec.sides[side];
            uint32_t at = conn_end(side);

            CU_ASSERT_STRING_EQUAL(s->reasons[at], reason);
            CU_ASSERT_EQUAL(s->events[at].error, 70 + i);
            CU_ASSERT_TRUE(s->events[at].is_application);
            CU_ASSERT_EQUAL(s->events[at].is_remote, side == REC_CLIENT);
        }
    }
    rec_finish();
}

static void a_close_has_its_reason(void)
{
    closes_with_reasons(false);
    closes_with_reasons(true);
}

static void a_close_without_a_reason_says_who_closed(void)
{
    rec_prepare();
    rec_start_connected();
    rec_forget();
    CU_ASSERT_EQUAL(rec.sides[REC_CLIENT].t->ops->close(rec.sides[REC_CLIENT].t, rec.conn, 9, ""),
                    0);
    rec_wait_for(REC_SERVER, MR_EVENT_CLOSED);
    rec_wait_for(REC_CLIENT, MR_EVENT_CLOSED);
    CU_ASSERT_STRING_EQUAL(rec.sides[REC_SERVER].reasons[conn_end(REC_SERVER)],
                           "closed by the peer");
    CU_ASSERT_STRING_EQUAL(rec.sides[REC_CLIENT].reasons[conn_end(REC_CLIENT)], "closed");
    rec_finish();
}

/* ------------------------------------------------------------------ the datapath's end */

static void going_away_is_told_once(void)
{
    rec_prepare();
    rec.rings = 3;
    rec_start();
    loop_go_away(ring_world_loop(rec.world), REC_SERVER);
    rec_wait_for(REC_SERVER, MR_EVENT_GO_AWAY);
    rec_run(10);
    CU_ASSERT_EQUAL(rec_times(REC_SERVER, MR_EVENT_GO_AWAY), 1);
    rec_finish();
}

static void expect_gone(mr_handle stream)
{
    struct mr_connect_options options = rec_options();
    const struct rec_side *s = &rec.sides[REC_CLIENT];

    rec_wait_for(REC_CLIENT, MR_EVENT_CLOSED);
    rec_run(3);
    CU_ASSERT_EQUAL(rec_times(REC_CLIENT, MR_EVENT_CLOSED), 2);
    CU_ASSERT_EQUAL(rec_seen(REC_CLIENT, MR_EVENT_CLOSED)->stream, stream);
    for (uint32_t i = 0; i < s->count; i++) {
        CU_ASSERT_EQUAL(s->events[i].error, MR_RING_ERROR_GONE);
        CU_ASSERT_STRING_EQUAL(s->reasons[i], "the datapath is gone");
        CU_ASSERT(!s->events[i].is_application);
    }
    CU_ASSERT(!mr_ring_transport_is_alive(s->rt));
    CU_ASSERT(!mr_attach_is_alive(s->attachment));
    CU_ASSERT_EQUAL(s->t->ops->connect(s->t, &options, &rec.conn), -ENOTCONN);
    CU_ASSERT_EQUAL(mr_ring_transport_objects(s->rt), 0);
}

static void a_datapath_that_lets_go_closes_everything(void)
{
    rec_prepare();
    rec_start_connected();
    mr_handle stream = rec_open_stream(MR_OPEN_BIDI, 5);
    CU_ASSERT_EQUAL(rec_send(REC_CLIENT, stream, "abc", 3, 0), 0);
    rec_run(20);
    CU_ASSERT(mr_ring_transport_is_alive(rec.sides[REC_CLIENT].rt));
    rec_forget();
    ring_world_let_go(rec.world, rec.sides[REC_CLIENT].attachment);
    expect_gone(stream);
    rec_finish();
}

static void a_datapath_that_dies_closes_everything(void)
{
    rec_prepare();
    rec_start_connected();
    mr_handle stream = rec_open_stream(MR_OPEN_BIDI, 5);
    CU_ASSERT_EQUAL(rec_send(REC_CLIENT, stream, "abc", 3, 0), 0);
    rec_run(20);
    rec_forget();
    ring_world_die(rec.world, rec.sides[REC_CLIENT].attachment);
    rec.clock_ns += 200000000;
    expect_gone(stream);
    rec_finish();
}

/* ------------------------------------------------------------------ a datapath that errs */

/* A ring of our own, and the datapath's end of its completions. */
static struct {
    uint8_t *memory;
    struct mr_ring_region region;
    struct mr_outbox completions;
    struct mr_attachment *attachment;
    struct mr_ring_transport *rt;
    uint32_t told; /* kinds, of all events */
    uint32_t events;
} own;

static void note_events(void *context, const struct mr_event *events, size_t count)
{
    (void)context;
    for (size_t i = 0; i < count; i++)
        own.told |= events[i].kinds;
    own.events += (uint32_t)count;
}

static void start_own(void)
{
    static const struct mr_application app = {.name = "own", .on_events = note_events};
    struct mr_ring_sizes sizes = {.submit_count = 16,
                                  .complete_count = 16,
                                  .slot_size = 64,
                                  .slot_count = 8,
                                  .send_bytes = 16384,
                                  .alias_count = 8,
                                  .sends_max = 4,
                                  .objects_max = 8};
    struct mr_ring_transport_config config = mr_ring_transport_config_default();
    uint64_t size = mr_ring_region_size(&sizes);
    struct mr_attach_region region;
    struct mr_attach_parts parts = {
        .regions = &region, .region_count = 1, .wake_fd = -1, .control_fd = -1};
    struct mr_fault fault;

    memset(&own, 0, sizeof(own));
    own.memory = aligned_alloc(4096, size);
    CU_ASSERT_PTR_NOT_NULL_FATAL(own.memory);
    memset(own.memory, 0, size);
    mr_ring_region_make(&own.region, own.memory, &sizes, 0);
    struct mr_mailbox completions = mr_ring_completions(&own.region);
    mr_outbox_init(&own.completions, &completions);
    region = (struct mr_attach_region){.memory = own.memory, .size = size};
    CU_ASSERT_EQUAL_FATAL(mr_attachment_from_memory(&parts, &own.attachment, &fault), 0);
    own.rt = mr_ring_transport_new(own.attachment, &config, &app);
    CU_ASSERT_PTR_NOT_NULL_FATAL(own.rt);
}

static void complete_own(const struct mr_cqe *cqe)
{
    *(struct mr_cqe *)mr_outbox_next(&own.completions) = *cqe;
    mr_outbox_publish(&own.completions);
    mr_ring_transport_poll(own.rt);
    mr_ring_transport_check(own.rt);
}

static void finish_own(void)
{
    mr_ring_transport_free(own.rt);
    mr_detach(own.attachment);
    free(own.memory);
}

/* MOVED is the last event of a connection that CONNECTED made known: both at once are none that the
 * application could be told of, and nothing of it stays. */
static void a_connection_that_begins_by_leaving_is_none(void)
{
    static const uint32_t others[] = {0, MR_EVENT_CLOSED, MR_EVENT_TICKET};

    for (size_t i = 0; i < MR_COUNT_OF(others); i++) {
        start_own();
        complete_own(&(struct mr_cqe){.type = MR_CQE_EVENT,
                                      .conn = 1,
                                      .kinds = MR_EVENT_CONNECTED | MR_EVENT_MOVED | others[i]});
        CU_ASSERT_EQUAL(mr_ring_transport_objects(own.rt), 0);
        complete_own(&(struct mr_cqe){.type = MR_CQE_GONE});
        CU_ASSERT_FALSE(mr_ring_transport_is_alive(own.rt));
        CU_ASSERT_EQUAL(mr_ring_transport_objects(own.rt), 0);
        CU_ASSERT_EQUAL(own.events, 0);
        finish_own();
    }
}

/* An accepted connection shows itself before its end, even if the ring goes with its INFO out. */
static void a_connection_that_was_begun_is_told_of_when_the_ring_goes(void)
{
    start_own();
    complete_own(&(struct mr_cqe){.type = MR_CQE_EVENT, .conn = 1, .kinds = MR_EVENT_CONNECTED});
    CU_ASSERT_EQUAL(mr_ring_transport_objects(own.rt), 1);
    complete_own(&(struct mr_cqe){.type = MR_CQE_EVENT, .conn = 1, .kinds = MR_EVENT_MOVED});
    CU_ASSERT_EQUAL(own.events, 0);
    complete_own(&(struct mr_cqe){.type = MR_CQE_GONE});
    CU_ASSERT_EQUAL(mr_ring_transport_objects(own.rt), 0);
    CU_ASSERT_EQUAL(own.told, MR_EVENT_CONNECTED | MR_EVENT_CLOSED);
    finish_own();
}

/* What is in front of the ring's own answer cannot wait for it. */
static void a_connection_does_not_come_from_where_it_goes_to(void)
{
    start_own();
    complete_own(&(struct mr_cqe){.type = MR_CQE_EVENT, .conn = 1, .kinds = MR_EVENT_CONNECTED});
    complete_own(&(struct mr_cqe){.type = MR_CQE_EVENT, .conn = 1, .kinds = MR_EVENT_MOVED});
    complete_own(&(struct mr_cqe){
        .type = MR_CQE_EVENT, .conn = 2, .kinds = MR_EVENT_MOVED_IN, .value = 1, .address = 0});
    CU_ASSERT_FALSE(mr_ring_has_completions(mr_attach_ring(own.attachment, 0)));
    complete_own(&(struct mr_cqe){.type = MR_CQE_EVENT, .conn = 1, .kinds = MR_EVENT_CLOSED});
    CU_ASSERT_EQUAL(mr_ring_transport_objects(own.rt), 0);
    CU_ASSERT_EQUAL(own.told, MR_EVENT_CONNECTED | MR_EVENT_CLOSED);
    finish_own();
}

static CU_TestInfo tests[] = {
    {"a close has its reason", a_close_has_its_reason},
    {"a close without a reason says who closed", a_close_without_a_reason_says_who_closed},
    {"datagrams cross", datagrams_cross},
    {"too many datagrams are refused", too_many_datagrams_are_refused},
    {"the largest datagram follows the path", the_largest_datagram_follows_the_path},
    {"a peer that takes no datagrams is known", a_peer_that_takes_no_datagrams_is_known},
    {"timers are kept here", timers_are_kept_here},
    {"work goes to the pool, or is done here", work_goes_to_the_pool_or_is_done_here},
    {"going away is told once", going_away_is_told_once},
    {"a datapath that lets go closes everything", a_datapath_that_lets_go_closes_everything},
    {"a datapath that dies closes everything", a_datapath_that_dies_closes_everything},
    {"a connection that begins by leaving is none", a_connection_that_begins_by_leaving_is_none},
    {"a connection that was begun is told of when the ring goes",
     a_connection_that_was_begun_is_told_of_when_the_ring_goes},
    {"a connection does not come from where it goes to",
     a_connection_does_not_come_from_where_it_goes_to},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/transport_events", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
