/* Tests of quic/conn_sleep.h: connections whose streams rest sleep with them, and wake. */
#include <errno.h>
#include <string.h>

#include "quic/conn_sleep.h"
#include "quic/endpoint_memory.h"
#include "tests/support/move_app.h"
#include "tests/unit/harness.h"

enum {
    SEEDS = 12,
    PLACES = 6, /* of the shards, awake */
    STREAMS = 6,
    MANY = 8, /* that the peer allows at a time */
    BYTES = 9000,
    REST_AT = 3000
};

static struct mr_endpoint *owner(const struct move_world *w)
{
    return w->node[w->app[0].node].ep;
}

static mr_handle handle(const struct move_world *w)
{
    return w->app[0].conn;
}

static const struct mr_counters *counters(const struct move_world *w)
{
    return mr_endpoint_counters(owner(w));
}

static bool is_asleep(const struct move_world *w)
{
    return mr_conn_is_asleep(owner(w), handle(w));
}

/* Let time pass, and no more. */
static void pass(struct move_world *w, uint64_t span_ns)
{
    uint64_t until = w->now + span_ns;

    for (;;) {
        uint64_t next = sim_network_next(&w->net);
        for (uint32_t i = 0; i < MOVE_NODES; i++)
            next = MR_MIN(next, mr_endpoint_deadline(w->node[i].ep));
        if (next > until || !move_world_step(w))
            break;
    }
    w->now = MR_MAX(w->now, until);
}

/* Connected; `streams` streams have carried REST_AT bytes each way, and rest. */
static struct move_world *begin(uint64_t seed, enum mr_role role, uint32_t streams)
{
    struct move_config config = {.seed = seed,
                                 .role = role,
                                 .streams = streams,
                                 .bytes = BYTES,
                                 .rest_at = REST_AT,
                                 .limits = move_world_limits()};

    config.limits.awake_max = PLACES;
    config.limits.sleepers_max = config.limits.connections_max;
    struct move_world *w = move_world_open(&config);
    CU_ASSERT_FATAL(move_world_connect(w));
    pass(w, 4 * MR_SECOND);
    return w;
}

static void sleep_now(struct move_world *w)
{
    CU_ASSERT_EQUAL_FATAL(mr_conn_sleep(owner(w), handle(w)), 0);
    CU_ASSERT(is_asleep(w));
    CU_ASSERT_EQUAL(owner(w)->streams.used, 0);
    mr_endpoint_check(owner(w));
}

/* The rest of all streams, both ways, every byte looked at. */
static void finish(struct move_world *w)
{
    w->config.rest_at = 0;
    move_world_settle(w);
    for (int i = 0; i < 40 && !move_world_is_done(w); i++)
        pass(w, MR_SECOND / 4);
    CU_ASSERT(move_world_is_done(w));
}

static void end(struct move_world *w)
{
    move_world_finish(w);
    CU_ASSERT_EQUAL(w->app[0].wrong + w->app[1].wrong, 0);
    CU_ASSERT_EQUAL(counters(w)->protocol_errors, 0);
    CU_ASSERT_EQUAL(move_world_close(w), 0);
}

/* ------------------------------------------------------------------ nothing is lost */

/* All of a connection's streams, without their places; how many. */
static uint32_t copy_streams(const struct move_world *w, struct mr_stream *out)
{
    const struct mr_conn *conn = mr_conn_of_number(owner(w), handle(w));
    uint32_t count = 0;

    for (uint32_t i = conn->stream_head; i != MR_NONE; i = mr_stream_at(owner(w), i)->conn_next) {
        struct mr_stream *copy = &out[count++];

        *copy = *mr_stream_at(owner(w), i);
        copy->index = copy->generation = copy->conn = copy->conn_next = copy->conn_previous = 0;
        copy->send_next = copy->send_previous = copy->send_child = MR_NONE; /* in no list */
        copy->control_next = copy->dirty_next = MR_NONE;
    }
    return count;
}

static void streams_come_back_as_they_were(void)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct move_world *w = begin(seed, seed % 2 == 0 ? MR_SERVER : MR_CLIENT, STREAMS);
        struct mr_stream before[MOVE_STREAMS_MAX];
        struct mr_stream after[MOVE_STREAMS_MAX];
        uint32_t count = copy_streams(w, before);

        CU_ASSERT_EQUAL(count, STREAMS);
        for (uint32_t sleeps = 0; sleeps < 3; sleeps++) {
            sleep_now(w);
            CU_ASSERT_PTR_NOT_NULL(mr_conn_rouse(owner(w), (uint32_t)handle(w), true));
            mr_endpoint_check(owner(w));
            CU_ASSERT_EQUAL(copy_streams(w, after), count);
            for (uint32_t i = 0; i < count; i++)
                CU_ASSERT_EQUAL(memcmp(&before[i], &after[i], sizeof(before[i])), 0);
        }
        sleep_now(w);
        finish(w);
        end(w);
    }
}

/* In other places than they had. */
static void their_places_may_be_others(void)
{
    struct move_world *w = begin(3, MR_SERVER, STREAMS);
    struct mr_pool *streams = &owner(w)->streams;
    uint32_t taken[3];

    sleep_now(w);
    for (uint32_t i = 0; i < MR_COUNT_OF(taken); i++) {
        taken[i] = mr_pool_get(streams);
        mr_stream_at(owner(w), taken[i])->generation += 2;
    }
    CU_ASSERT_PTR_NOT_NULL(mr_conn_rouse(owner(w), (uint32_t)handle(w), true));
    for (uint32_t i = 0; i < STREAMS; i++) {
        mr_handle stream = w->app[0].streams[i].handle;
        CU_ASSERT_EQUAL(mr_stream_of_handle(owner(w), stream)->handle, stream);
        CU_ASSERT_EQUAL(mr_stream_id(owner(w), stream), w->app[0].streams[i].id);
    }
    for (uint32_t i = 0; i < MR_COUNT_OF(taken); i++) {
        mr_stream_at(owner(w), taken[i])->generation |= 1;
        mr_stream_at(owner(w), taken[i])->generation++;
        mr_pool_put(streams, taken[i]);
    }
    finish(w);
    end(w);
}

/* Numbers that are of no use as long as the stream is as it is, but take room. */
static void make_large(struct move_world *w)
{
    for (uint32_t i = 0; i < w->app[0].stream_count; i++) {
        struct mr_stream *stream = mr_stream_of_handle(owner(w), w->app[0].streams[i].handle);

        stream->reset_code = stream->stop_code = stream->peer_code = UINT64_C(0x1122334455667788);
        stream->reliable_in = stream->reliable_out = stream->reset_code + 1;
        stream->reset_in_code = stream->reset_code + 2;
    }
}

/* More than one sleeper has room for. */
static void many_streams_take_more_sleepers(void)
{
    struct move_world *w = begin(4, MR_CLIENT, MANY);
    struct mr_pool *sleepers = &owner(w)->sleepers;
    uint32_t taken[16];
    uint32_t count = 0;

    make_large(w);
    sleep_now(w);
    uint32_t parts = sleepers->used;
    struct mr_endpoint_memory memory;
    mr_endpoint_memory(owner(w), &memory);
    CU_ASSERT_EQUAL(memory.asleep, 1);
    CU_ASSERT_EQUAL(memory.sleepers, parts);
    CU_ASSERT(parts > 1 && parts <= MR_SLEEPER_PARTS);
    CU_ASSERT_PTR_NOT_NULL(mr_conn_rouse(owner(w), (uint32_t)handle(w), true));
    CU_ASSERT_EQUAL(sleepers->used, 0);
    while (mr_pool_free_count(sleepers) >= parts)
        taken[count++] = mr_pool_get(sleepers);
    CU_ASSERT_EQUAL(mr_conn_sleep(owner(w), handle(w)), -ENOMEM);
    CU_ASSERT_EQUAL(counters(w)->limit_sleepers, 1);
    CU_ASSERT_EQUAL(mr_pool_free_count(sleepers), parts - 1);
    while (count > 0)
        mr_pool_put(sleepers, taken[--count]);
    sleep_now(w);
    finish(w);
    end(w);
}

/* As different from a new one as it can be; restored before anybody looks. */
static void garble(struct mr_stream *stream)
{
    memset(&stream->flow_send, 0x35, sizeof(stream->flow_send));
    memset(&stream->flow_recv, 0x35, sizeof(stream->flow_recv));
    memset(&stream->reset_code, 0x35, sizeof(uint64_t) * 8);
    stream->send.repeat_below = stream->send.notify_offset = UINT64_C(0x3535353535353535);
    stream->send.lost_hull = (struct mr_range){UINT64_C(1) << 61, UINT64_C(1) << 60};
}

/* There are all but one of the sleepers that it takes: none is kept. */
static void too_few_sleepers_are_given_back(void)
{
    struct move_world *w = begin(4, MR_CLIENT, MANY);
    struct mr_endpoint *ep = owner(w);
    struct mr_stream before[MANY];
    uint32_t taken[16];
    uint32_t count = 0;

    for (uint32_t i = 0; i < MANY; i++) {
        struct mr_stream *stream = mr_stream_of_handle(ep, w->app[0].streams[i].handle);

        before[i] = *stream;
        garble(stream);
    }
    CU_ASSERT_EQUAL_FATAL(mr_conn_sleep(ep, handle(w)), 0);
    uint32_t parts = ep->sleepers.used;
    CU_ASSERT_FATAL(parts > 1);
    CU_ASSERT_PTR_NOT_NULL(mr_conn_rouse(ep, (uint32_t)handle(w), true));
    while (mr_pool_free_count(&ep->sleepers) >= parts)
        taken[count++] = mr_pool_get(&ep->sleepers);
    CU_ASSERT_EQUAL(mr_conn_sleep(ep, handle(w)), -ENOMEM);
    CU_ASSERT_EQUAL(mr_pool_free_count(&ep->sleepers), parts - 1);
    while (count > 0)
        mr_pool_put(&ep->sleepers, taken[--count]);
    for (uint32_t i = 0; i < MANY; i++) {
        struct mr_stream *stream = mr_stream_of_handle(ep, w->app[0].streams[i].handle);

        stream->flow_send = before[i].flow_send;
        stream->flow_recv = before[i].flow_recv;
        memcpy(&stream->reset_code, &before[i].reset_code, sizeof(uint64_t) * 8);
        stream->send.repeat_below = before[i].send.repeat_below;
        stream->send.notify_offset = before[i].send.notify_offset;
        stream->send.lost_hull = before[i].send.lost_hull;
    }
    sleep_now(w);
    finish(w);
    end(w);
}

/* ------------------------------------------------------------------ what wakes it, and what not */

static void operations_on_streams_wake_it(void)
{
    struct move_world *w = begin(5, MR_SERVER, STREAMS);
    struct mr_endpoint *ep = owner(w);
    mr_handle stream = w->app[0].streams[2].handle;
    struct mr_view view;
    bool has_fin;
    uint64_t woken = 0;

    sleep_now(w);
    CU_ASSERT_EQUAL(mr_stream_receive(ep, stream, &view, 1, &has_fin), 0);
    CU_ASSERT_EQUAL(counters(w)->connections_woken, ++woken);
    sleep_now(w);
    CU_ASSERT_EQUAL(mr_object_set_user_data(ep, stream, 1234), 0);
    CU_ASSERT_EQUAL(counters(w)->connections_woken, ++woken);
    sleep_now(w);
    CU_ASSERT_EQUAL(mr_stream_set_priority(ep, stream, (struct mr_priority){.urgency = 1}), 0);
    CU_ASSERT_EQUAL(counters(w)->connections_woken, ++woken);
    CU_ASSERT_EQUAL(mr_stream_of_handle(ep, stream)->user_data, 1234);
    sleep_now(w);
    CU_ASSERT_EQUAL(mr_stream_release(ep, stream, 1), -EINVAL);
    CU_ASSERT_EQUAL(counters(w)->connections_woken, ++woken);
    CU_ASSERT_EQUAL(mr_stream_of_handle(ep, stream)->urgency, 1);
    sleep_now(w);
    CU_ASSERT_EQUAL(mr_stream_reset_at(ep, stream, 9, UINT64_C(1) << 40), -EINVAL);
    CU_ASSERT_EQUAL(counters(w)->connections_woken, ++woken);
    finish(w);
    end(w);
}

static void a_stream_that_is_given_up_wakes_it(void)
{
    struct move_world *w = begin(5, MR_SERVER, STREAMS);
    struct mr_endpoint *ep = owner(w);

    sleep_now(w);
    CU_ASSERT_EQUAL(mr_stream_stop(ep, w->app[0].streams[0].handle, 8), 0);
    CU_ASSERT_FALSE(is_asleep(w));
    CU_ASSERT_EQUAL(mr_conn_sleep(ep, handle(w)), -EBUSY); /* it owes STOP_SENDING */
    move_world_settle(w);                                  /* the peer resets it, and we do */
    pass(w, 2 * MR_SECOND);
    CU_ASSERT(w->app[0].streams[0].is_closed && w->app[1].streams[0].is_closed);
    sleep_now(w);
    CU_ASSERT_EQUAL(mr_stream_reset(ep, w->app[0].streams[0].handle, 9), -ESTALE);
    CU_ASSERT(is_asleep(w));
    end(w);
}

/* The peer's bytes, on a stream of a connection that sleeps. */
static void the_peer_wakes_it(void)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct move_world *w = begin(seed, seed % 2 == 0 ? MR_SERVER : MR_CLIENT, STREAMS);

        for (uint64_t at = REST_AT + 1000; at < BYTES; at += 1000) {
            sleep_now(w);
            w->config.rest_at = at;
            move_world_settle(w);
            pass(w, 3 * MR_SECOND);
            CU_ASSERT_FALSE(is_asleep(w));
            for (uint32_t i = 0; i < STREAMS; i++)
                CU_ASSERT_EQUAL(w->app[0].streams[i].received, at);
        }
        CU_ASSERT(counters(w)->connections_woken >= 5);
        finish(w);
        end(w);
    }
}

static void it_sleeps_on_while_its_streams_are_looked_at(void)
{
    struct move_world *w = begin(6, MR_CLIENT, STREAMS);
    struct mr_endpoint *ep = owner(w);
    struct mr_endpoint_memory memory;
    const char *state;
    uint32_t streams;

    sleep_now(w);
    for (uint32_t i = 0; i < STREAMS; i++)
        CU_ASSERT_EQUAL(mr_stream_id(ep, w->app[0].streams[i].handle), w->app[0].streams[i].id);
    CU_ASSERT_EQUAL(mr_stream_id(ep, w->app[0].streams[0].handle + (UINT64_C(2) << 32)),
                    UINT64_MAX);
    CU_ASSERT_EQUAL(mr_stream_id(ep, handle(w)), UINT64_MAX);
    mr_conn_describe(ep, handle(w), &state, &streams);
    CU_ASSERT_STRING_EQUAL(state, "asleep");
    CU_ASSERT_EQUAL(streams, STREAMS);
    mr_endpoint_memory(ep, &memory);
    CU_ASSERT_EQUAL(memory.streams, 0);
    CU_ASSERT_EQUAL(memory.streams_asleep, STREAMS);
    CU_ASSERT_EQUAL(memory.stream_bytes, STREAMS * sizeof(struct mr_number));
    CU_ASSERT_EQUAL(memory.sleepers, 1);
    CU_ASSERT_EQUAL(memory.asleep, 1);
    CU_ASSERT_EQUAL(memory.other_bytes, 0);
    CU_ASSERT(is_asleep(w));
    CU_ASSERT_EQUAL(counters(w)->connections_woken, 0);
    finish(w);
    end(w);
}

/* ------------------------------------------------------------------ what keeps it awake */

static void a_stream_that_does_not_rest_keeps_it_awake(void)
{
    struct move_world *w = begin(7, MR_SERVER, STREAMS);
    struct mr_endpoint *ep = owner(w);
    struct mr_stream *stream = mr_stream_of_handle(ep, w->app[0].streams[STREAMS - 1].handle);

    stream->recv.pinned_count++;
    CU_ASSERT_EQUAL(mr_conn_sleep(ep, handle(w)), -EBUSY);
    CU_ASSERT_EQUAL(counters(w)->kept_awake_streams, 1);
    stream->recv.pinned_count--;
    stream = mr_stream_of_handle(ep, w->app[0].streams[0].handle);
    stream->pending_events = MR_EVENT_WRITABLE;
    CU_ASSERT_EQUAL(mr_conn_sleep(ep, handle(w)), -EBUSY);
    CU_ASSERT_EQUAL(counters(w)->kept_awake_streams, 2);
    stream->pending_events = 0;
    sleep_now(w);
    finish(w);
    end(w);
}

/* Bytes that nobody reads. */
static void what_was_not_read_keeps_it_awake(void)
{
    struct move_world *w = begin(8, MR_SERVER, STREAMS);

    w->is_deaf = true;
    w->config.rest_at += 500;
    move_world_settle(w);
    pass(w, 3 * MR_SECOND);
    CU_ASSERT_EQUAL(mr_conn_sleep(owner(w), handle(w)), -EBUSY);
    w->is_deaf = false;
    move_world_settle(w);
    pass(w, 3 * MR_SECOND);
    sleep_now(w);
    finish(w);
    end(w);
}

/* ------------------------------------------------------------------ moves, ends, limits */

static void it_moves_with_its_streams(void)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct move_world *w = begin(seed, seed % 2 == 0 ? MR_SERVER : MR_CLIENT, STREAMS);
        size_t awake = mr_conn_record_size(owner(w), handle(w));

        sleep_now(w);
        CU_ASSERT_EQUAL(mr_conn_record_size(owner(w), handle(w)), awake);
        CU_ASSERT(is_asleep(w));
        CU_ASSERT_EQUAL(move_world_move(w, 1), 0);
        pass(w, 5 * MR_SECOND);
        CU_ASSERT_EQUAL(w->app[0].node, 1);
        struct mr_moved_stream before[STREAMS];
        struct mr_moved_stream after[STREAMS];
        CU_ASSERT_EQUAL(mr_conn_moved_streams(owner(w), handle(w), before, STREAMS), STREAMS);
        sleep_now(w); /* in another shard */
        CU_ASSERT_EQUAL(mr_conn_moved_streams(owner(w), handle(w), after, STREAMS), STREAMS);
        CU_ASSERT_EQUAL(memcmp(before, after, sizeof(before)), 0);
        CU_ASSERT_EQUAL(mr_conn_moved_streams(owner(w), handle(w), after, 2), 2);
        CU_ASSERT(is_asleep(w));
        CU_ASSERT_EQUAL(move_world_move(w, 2), 0);
        pass(w, 5 * MR_SECOND);
        sleep_now(w);
        finish(w);
        end(w);
    }
}

/* The handles are stale as long as nobody has the connection, and as before if it comes back. */
static void it_stays_after_all_with_its_streams(void)
{
    struct move_world *w = begin(2, MR_SERVER, STREAMS);
    struct mr_endpoint *ep = owner(w);
    mr_handle stream = w->app[0].streams[1].handle;

    sleep_now(w);
    CU_ASSERT_EQUAL(move_world_export(w, 1), 0);
    CU_ASSERT_EQUAL(mr_stream_id(ep, stream), UINT64_MAX);
    CU_ASSERT_EQUAL(mr_stream_reset(ep, stream, 9), -ESTALE);
    CU_ASSERT_EQUAL(move_world_undo(w), 0);
    CU_ASSERT_EQUAL(mr_stream_id(ep, stream), w->app[0].streams[1].id);
    pass(w, 3 * MR_SECOND);
    sleep_now(w);
    finish(w);
    end(w);
}

static void each_stream_is_told_its_end(void)
{
    struct move_world *w = begin(2, MR_SERVER, STREAMS);

    sleep_now(w);
    pass(w, 40 * MR_SECOND); /* idle for 30 seconds */
    CU_ASSERT(w->app[0].is_closed);
    CU_ASSERT_EQUAL(w->app[0].closed_count, STREAMS);
    CU_ASSERT_EQUAL(counters(w)->idle_timeouts, 1);
    CU_ASSERT_EQUAL(move_world_close(w), 0);

    w = begin(2, MR_CLIENT, STREAMS);
    sleep_now(w);
    CU_ASSERT_EQUAL(mr_conn_close(owner(w), handle(w), 42, "", w->now), 0);
    pass(w, 10 * MR_SECOND);
    CU_ASSERT_EQUAL(w->app[0].closed_count, STREAMS);
    CU_ASSERT_EQUAL(w->app[1].error, 42);
    CU_ASSERT_EQUAL(move_world_close(w), 0);
}

static void a_world_that_ends_wakes_nobody(void)
{
    struct move_world *w = begin(2, MR_CLIENT, STREAMS);

    sleep_now(w);
    CU_ASSERT_EQUAL(move_world_close(w), 0);
}

/* As if others had all objects of streams but one too few. */
static void without_places_for_its_streams_it_sleeps_on(void)
{
    struct move_world *w = begin(2, MR_CLIENT, STREAMS);
    struct mr_endpoint *ep = owner(w);
    mr_handle stream = w->app[0].streams[0].handle;
    uint32_t count = ep->streams.count;

    sleep_now(w);
    ep->streams.count = STREAMS - 1;
    CU_ASSERT_EQUAL(mr_stream_reset(ep, stream, 9), -ENOMEM);
    CU_ASSERT_EQUAL(mr_object_set_user_data(ep, stream, 9), -ENOMEM);
    CU_ASSERT_EQUAL(mr_object_set_user_data(ep, handle(w), 9), -ENOMEM);
    CU_ASSERT_EQUAL(mr_conn_close(ep, handle(w), 42, "", w->now), 0);
    CU_ASSERT_EQUAL(counters(w)->limit_awake, 4);
    pass(w, MR_SECOND / 10);
    CU_ASSERT(is_asleep(w));
    ep->streams.count = count;
    pass(w, 10 * MR_SECOND);
    CU_ASSERT(w->app[0].is_closed && w->app[1].is_closed);
    CU_ASSERT_EQUAL(w->app[1].error, 42);
    CU_ASSERT_EQUAL(move_world_close(w), 0);
}

/* One place for each is enough. */
static void with_just_enough_places_it_wakes(void)
{
    struct move_world *w = begin(2, MR_CLIENT, STREAMS);
    struct mr_endpoint *ep = owner(w);
    uint32_t count = ep->streams.count;

    sleep_now(w);
    ep->streams.count = STREAMS;
    CU_ASSERT_EQUAL(mr_object_set_user_data(ep, w->app[0].streams[0].handle, 0), 0);
    CU_ASSERT_EQUAL(mr_pool_free_count(&ep->streams), 0);
    ep->streams.count = count;
    finish(w);
    end(w);
}

/* A number is one stream's as long as that lives, however often its place is given to others. */
static void numbers_have_a_limit(void)
{
    struct move_world *w = begin(2, MR_CLIENT, STREAMS);
    struct mr_endpoint *ep = owner(w);
    mr_handle stream;
    uint32_t taken[1024];
    uint32_t count = 0;

    while (mr_pool_free_count(&ep->stream_numbers) > 0)
        taken[count++] = mr_pool_get(&ep->stream_numbers);
    uint64_t limit = counters(w)->limit_streams;
    CU_ASSERT_EQUAL(mr_stream_open(ep, handle(w), MR_OPEN_BIDI, 0, &stream), -ENOMEM);
    CU_ASSERT_EQUAL(counters(w)->limit_streams, limit + 1);
    while (count > 0)
        mr_pool_put(&ep->stream_numbers, taken[--count]);
    sleep_now(w);
    finish(w);
    end(w);
}

static CU_TestInfo tests[] = {
    {"streams come back as they were", streams_come_back_as_they_were},
    {"their places may be others", their_places_may_be_others},
    {"many streams take more sleepers", many_streams_take_more_sleepers},
    {"too few sleepers are given back", too_few_sleepers_are_given_back},
    {"operations on streams wake it", operations_on_streams_wake_it},
    {"a stream that is given up wakes it", a_stream_that_is_given_up_wakes_it},
    {"the peer wakes it", the_peer_wakes_it},
    {"it sleeps on while its streams are looked at", it_sleeps_on_while_its_streams_are_looked_at},
    {"a stream that does not rest keeps it awake", a_stream_that_does_not_rest_keeps_it_awake},
    {"what was not read keeps it awake", what_was_not_read_keeps_it_awake},
    {"it moves with its streams", it_moves_with_its_streams},
    {"it stays after all with its streams", it_stays_after_all_with_its_streams},
    {"each stream is told its end", each_stream_is_told_its_end},
    {"a world that ends wakes nobody", a_world_that_ends_wakes_nobody},
    {"without places for its streams it sleeps on", without_places_for_its_streams_it_sleeps_on},
    {"with just enough places it wakes", with_just_enough_places_it_wakes},
    {"numbers have a limit", numbers_have_a_limit},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/conn_sleep, streams", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
