/* Tests of quic/conn_sleep.h: connections go to sleep and wake, between real endpoints. */
#include "quic/conn_sleep.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "quic/endpoint_memory.h"
#include "quic/keys.h"
#include "tests/support/move_app.h"
#include "tests/unit/harness.h"

enum {
    SEEDS = 24,
    PLACES = 6 /* of the shards, awake */
};

static struct move_config config_of(uint64_t seed, enum mr_role role)
{
    struct move_config config = {
        .seed = seed, .role = role, .bytes = 3000, .limits = move_world_limits()};

    config.limits.awake_max = PLACES;
    config.limits.sleepers_max = config.limits.connections_max;
    return config;
}

static struct mr_endpoint *owner(const struct move_world *w)
{
    return w->node[w->app[0].node].ep;
}

static mr_handle handle(const struct move_world *w)
{
    return w->app[0].conn;
}

static struct mr_conn *awake(const struct move_world *w)
{
    return mr_conn_of_number(owner(w), handle(w));
}

static const struct mr_counters *counters(const struct move_world *w)
{
    return mr_endpoint_counters(owner(w));
}

/* Let time pass, and no more: a step alone goes to the next event, however far it is. */
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

/* Connected, and at rest. */
static struct move_world *begin_with(const struct move_config *config)
{
    struct move_world *w = move_world_open(config);

    CU_ASSERT_FATAL(move_world_connect(w));
    pass(w, 2 * MR_SECOND);
    return w;
}

static struct move_world *begin(uint64_t seed, enum mr_role role)
{
    struct move_config config = config_of(seed, role);

    return begin_with(&config);
}

static void end(struct move_world *w)
{
    move_world_finish(w);
    CU_ASSERT_EQUAL(w->app[0].wrong + w->app[1].wrong, 0);
    CU_ASSERT_EQUAL(counters(w)->protocol_errors, 0);
    CU_ASSERT_EQUAL(move_world_close(w), 0);
}

static void sleep_now(struct move_world *w)
{
    int answer = mr_conn_sleep(owner(w), handle(w));
    for (size_t i = 0; answer != 0 && i < MR_COUNTERS; i++) {
        if (strncmp(mr_counter_name(i), "kept_awake", 10) == 0 &&
            mr_counter_value(counters(w), i) > 0)
            printf("# %s\n", mr_counter_name(i));
    }
    CU_ASSERT_EQUAL_FATAL(answer, 0);
    CU_ASSERT(mr_conn_is_asleep(owner(w), handle(w)));
    CU_ASSERT_PTR_NULL(awake(w));
    mr_endpoint_check(owner(w));
}

static void rouse(struct move_world *w)
{
    struct mr_conn *conn = mr_conn_rouse(owner(w), (uint32_t)handle(w), true);

    CU_ASSERT_PTR_NOT_NULL_FATAL(conn);
    CU_ASSERT_PTR_EQUAL(conn, awake(w));
    mr_endpoint_check(owner(w));
}

/* One more stream of the client's, there and back. */
static void transfer(struct move_world *w)
{
    w->config.streams++;
    move_world_settle(w);
    for (int i = 0; i < 20 && !move_world_is_done(w); i++)
        pass(w, MR_SECOND / 4);
    CU_ASSERT(move_world_is_done(w));
    pass(w, MR_SECOND);
}

/* ------------------------------------------------------------------ every field */

/* What may differ afterwards; everything else is the same, byte for byte. */
static void forgive(struct mr_conn *conn)
{
    struct mr_ack_ranges *received = &conn->app.received;

    conn->index = 0;                /* another place */
    conn->keys = MR_NONE;           /* expanded keys: they are made again */
    conn->last_stream = MR_NONE;    /* a stream found last: there is none */
    conn->key_state.seal_burst = 0; /* the next burst is a new one */
    conn->app.sent.base = conn->app.sent.scan = conn->app.sent.next; /* packets without an answer */
    conn->app.sent.tail = NULL;
    memset(conn->app.sent.direct, 0, sizeof(conn->app.sent.direct));
    conn->app.sent.lost_run_ns = 0;
    conn->ready_next = conn->ready_previous = conn->dirty_next = MR_NONE; /* in no list */
    for (uint32_t i = received->count; i < MR_ACK_RANGES_MAX; i++)        /* behind the last */
        received->range[i] = (struct mr_ack_range){0};
    for (uint32_t i = conn->retire_count; i < MR_RETIRE_QUEUE_MAX; i++)
        conn->retire[i] = 0;
    for (uint32_t i = 0; i < MR_CIDS_SLOTS; i++)
        conn->issued.sequence[i] = conn->issued.key[i] == 0 ? 0 : conn->issued.sequence[i];
    for (uint32_t i = 0; i < MR_CIDS_PEER_MAX; i++) {
        if (!conn->peer_cids[i].is_used)
            memset(&conn->peer_cids[i], 0, sizeof(conn->peer_cids[i]));
    }
}

static void check_same(const struct mr_conn *before, const struct mr_conn *after)
{
    const uint8_t *a = (const uint8_t *)before;
    const uint8_t *b = (const uint8_t *)after;
    uint32_t shown = 0;

    CU_ASSERT_EQUAL(memcmp(a, b, sizeof(*before)), 0);
    for (size_t i = 0; i < sizeof(*before) && shown < 8; i++) {
        if (a[i] != b[i]) {
            printf("# byte %zu: %02x, now %02x\n", i, a[i], b[i]);
            shown++;
        }
    }
}

/* To sleep and up again; its record's size. */
static uint32_t check_round_trip(struct move_world *w)
{
    if (w->config.loss > 0) /* the last ones may have been lost */
        pass(w, 5 * MR_SECOND);
    struct mr_conn before = *awake(w);
    uint64_t deadline = mr_wheel_deadline(&owner(w)->wheel, before.number);

    sleep_now(w);
    const struct mr_number *number = mr_conn_number_at(owner(w), before.number);
    const struct mr_sleeper *sleeper =
        mr_pool_at(&owner(w)->sleepers, number->place & ~MR_PLACE_ASLEEP);
    uint32_t size = sleeper->size;
    rouse(w);
    struct mr_conn after = *awake(w);
    CU_ASSERT_EQUAL(deadline, mr_wheel_deadline(&owner(w)->wheel, before.number));
    forgive(&before);
    forgive(&after);
    check_same(&before, &after);
    return size;
}

static void nothing_is_lost(void)
{
    uint32_t largest = 0;

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct move_config config = config_of(seed, seed % 2 == 0 ? MR_SERVER : MR_CLIENT);
        config.loss = seed % 3 == 0 ? 0.05 : 0;
        config.datagrams = seed % 4 == 0 ? 4 : 0;
        struct move_world *w = begin_with(&config);
        for (int i = 0; i < 3; i++) {
            largest = MR_MAX(largest, check_round_trip(w));
            transfer(w);
        }
        largest = MR_MAX(largest, check_round_trip(w));
        end(w);
    }
    printf("# largest image: %u of %zu bytes\n", largest, sizeof((struct mr_sleeper){0}.bytes));
    CU_ASSERT(largest <= sizeof((struct mr_sleeper){0}.bytes));
}

/* Longer keys, and connection IDs of the peer's of 20 bytes. */
static void the_largest_fits(void)
{
    struct move_world *w = begin(2, MR_SERVER);
    struct mr_random random;

    transfer(w);
    struct mr_conn *conn = awake(w);
    const struct mr_conn before = *conn;
    mr_random_init_number(&random, 7);
    struct mr_key_state *keys = &conn->key_state;
    struct mr_secret *secrets[] = {&keys->seal_secret, &keys->open_secret, &keys->next_open_secret};
    struct mr_key_material *materials[] = {&keys->seal, &keys->open, &keys->other};
    for (int i = 0; i < 3; i++) {
        for (size_t at = 0; at < sizeof(secrets[i]->bytes); at++)
            secrets[i]->bytes[at] = (uint8_t)(1 + mr_random_below(&random, 255));
        for (size_t at = 0; at < 76; at++) /* key, IV, header protection */
            ((uint8_t *)materials[i])[at] = (uint8_t)(1 + mr_random_below(&random, 255));
    }
    for (uint32_t i = 0; i < MR_CIDS_PEER_MAX; i++) {
        conn->peer_cids[i].cid.size = MR_CID_MAX;
        for (size_t at = 0; at < MR_CID_MAX; at++)
            conn->peer_cids[i].cid.bytes[at] = (uint8_t)(1 + mr_random_below(&random, 255));
    }
    printf("# the largest image: %u of %zu bytes\n", check_round_trip(w),
           sizeof((struct mr_sleeper){0}.bytes));
    conn = awake(w);
    conn->key_state = before.key_state;
    memcpy(conn->peer_cids, before.peer_cids, sizeof(conn->peer_cids));
    transfer(w);
    end(w);
}

/* ------------------------------------------------------------------ what keeps it awake */

/* A field of the connection, and a value of it that keeps it awake. */
struct awake_case {
    size_t field;
    size_t size;
    uint64_t value;
    size_t counter;
};

#define AWAKE_CASE(field, value_, counter_)                                                        \
    {                                                                                              \
        offsetof(struct mr_conn, field), sizeof((struct mr_conn){0}.field), value_,                \
            offsetof(struct mr_counters, counter_)                                                 \
    }

static const struct awake_case awake_cases[] = {
    AWAKE_CASE(state, MR_CONN_HANDSHAKE, kept_awake_handshakes),
    AWAKE_CASE(state, MR_CONN_CLOSING, kept_awake_handshakes),
    AWAKE_CASE(state, MR_CONN_MOVED, kept_awake_handshakes),
    AWAKE_CASE(is_confirmed, false, kept_awake_handshakes),
    AWAKE_CASE(handshake, 0, kept_awake_handshakes),
    AWAKE_CASE(streams_open, MR_SLEEP_STREAMS_MAX + 1, kept_awake_streams),
    AWAKE_CASE(is_dirty, true, kept_awake_events),
    AWAKE_CASE(is_held, true, kept_awake_events),
    AWAKE_CASE(is_touched, true, kept_awake_events),
    AWAKE_CASE(pending_events, MR_EVENT_WRITABLE, kept_awake_events),
    AWAKE_CASE(datagrams_in.count, 1, kept_awake_datagrams),
    AWAKE_CASE(datagrams_out.count, 1, kept_awake_datagrams),
    AWAKE_CASE(is_ready, true, kept_awake_sending),
    AWAKE_CASE(app.wants, MR_WANT_PING, kept_awake_sending),
    AWAKE_CASE(app.wants, MR_WANT_NEW_CID | MR_WANT_ACK, kept_awake_sending),
    AWAKE_CASE(app.sent.in_flight_count, 1, kept_awake_sending),
    AWAKE_CASE(app.sent.ack_eliciting_count, 1, kept_awake_sending),
    AWAKE_CASE(path.cc.in_flight, 1200, kept_awake_sending),
    AWAKE_CASE(retire_count, 1, kept_awake_sending),
    AWAKE_CASE(loss.space[MR_SPACE_APP].ack_eliciting_count, 1, kept_awake_sending),
    AWAKE_CASE(pacing_until_ns, 5, kept_awake_sending),
    AWAKE_CASE(app.wants, MR_WANT_ACK, kept_awake_acks),
    AWAKE_CASE(app.unacked_count, 1, kept_awake_acks),
    AWAKE_CASE(app.ack_deadline_ns, 5, kept_awake_acks),
    AWAKE_CASE(multipath, 0, kept_awake_paths),
    AWAKE_CASE(path.is_validated, false, kept_awake_paths),
    AWAKE_CASE(side_packets, 1, kept_awake_paths),
    AWAKE_CASE(path_due_ns, 5, kept_awake_paths),
    AWAKE_CASE(key_state.other_until_ns, 5, kept_awake_keys),
    AWAKE_CASE(mtu_search.is_in_flight, true, kept_awake_mtu),
    AWAKE_CASE(trace, 0, kept_awake_traced),
};

static uint64_t counter_at(const struct move_world *w, size_t offset)
{
    uint64_t value;

    memcpy(&value, (const uint8_t *)counters(w) + offset, sizeof(value));
    return value;
}

static void what_is_not_at_rest_stays_awake(void)
{
    struct move_world *w = begin(2, MR_SERVER);
    uint8_t *conn = (uint8_t *)awake(w);

    for (size_t i = 0; i < MR_COUNT_OF(awake_cases); i++) {
        const struct awake_case *c = &awake_cases[i];
        uint64_t before = counter_at(w, c->counter);
        uint8_t kept[8];

        memcpy(kept, conn + c->field, c->size);
        memcpy(conn + c->field, &c->value, c->size);
        CU_ASSERT_EQUAL(mr_conn_sleep(owner(w), handle(w)), -EBUSY);
        CU_ASSERT_EQUAL(counter_at(w, c->counter), before + 1);
        memcpy(conn + c->field, kept, c->size);
        if (counter_at(w, c->counter) != before + 1)
            printf("# case %zu\n", i);
    }
    CU_ASSERT_EQUAL(counters(w)->connections_slept, 0);
    sleep_now(w);
    CU_ASSERT_EQUAL(counters(w)->connections_slept, 1);
    CU_ASSERT_EQUAL(mr_conn_sleep(owner(w), handle(w)), -EBUSY); /* it does already */
    CU_ASSERT_EQUAL(mr_conn_sleep(owner(w), handle(w) + (UINT64_C(2) << 32)), -ESTALE);
    end(w);
}

/* A path that is checked, and what else the extra is for, but for the address that its peer sees.
 */
static void an_extra_keeps_it_awake(void)
{
    struct move_world *w = begin(3, MR_CLIENT);

    CU_ASSERT_PTR_NOT_NULL(mr_conn_extra_use(owner(w), awake(w), MR_EXTRA_PATH_RESPONSES));
    CU_ASSERT_EQUAL(mr_conn_sleep(owner(w), handle(w)), -EBUSY);
    CU_ASSERT_EQUAL(counters(w)->kept_awake_paths, 1);
    mr_conn_extra_end(owner(w), awake(w), MR_EXTRA_PATH_RESPONSES);
    CU_ASSERT_PTR_NOT_NULL(mr_conn_extra_use(owner(w), awake(w), MR_EXTRA_OBSERVED));
    sleep_now(w);
    rouse(w);
    CU_ASSERT_PTR_NOT_NULL(mr_conn_extra(owner(w), awake(w)));
    end(w);
}

static void without_a_sleeper_it_stays_awake(void)
{
    struct move_world *w = begin(2, MR_SERVER);
    struct mr_pool *sleepers = &owner(w)->sleepers;
    uint32_t taken[8];

    for (uint32_t i = 0; i < MR_COUNT_OF(taken); i++)
        taken[i] = mr_pool_get(sleepers);
    CU_ASSERT_EQUAL(mr_pool_free_count(sleepers), 0);
    CU_ASSERT_EQUAL(mr_conn_sleep(owner(w), handle(w)), -ENOMEM);
    CU_ASSERT_EQUAL(counters(w)->limit_sleepers, 1);
    for (uint32_t i = 0; i < MR_COUNT_OF(taken); i++)
        mr_pool_put(sleepers, taken[i]);
    transfer(w);
    sleep_now(w);
    end(w);
}

/* So many ranges of packet numbers that they do not fit. */
static void what_is_too_large_stays_awake(void)
{
    struct move_world *w = begin(2, MR_SERVER);
    struct mr_ack_ranges *received = &awake(w)->app.received;
    struct mr_ack_ranges before = *received;

    for (uint32_t i = 0; i < MR_ACK_RANGES_MAX; i++) {
        uint64_t pn = UINT64_C(0x3123456789abcdef) - i * UINT64_C(0x01010101010101);
        received->range[i] = (struct mr_ack_range){pn, pn};
    }
    received->count = MR_ACK_RANGES_MAX;
    CU_ASSERT_EQUAL(mr_conn_sleep(owner(w), handle(w)), -EBUSY);
    CU_ASSERT_EQUAL(counters(w)->kept_awake_large, 1);
    CU_ASSERT_EQUAL(owner(w)->sleepers.used, 0);
    *received = before;
    sleep_now(w);
    end(w);
}

/* ------------------------------------------------------------------ what wakes it */

static void a_packet_wakes_it(void)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct move_world *w = begin(seed, MR_SERVER);

        for (uint64_t i = 1; i <= 3; i++) {
            sleep_now(w);
            transfer(w); /* the peer, a client, begins */
            CU_ASSERT_EQUAL(counters(w)->connections_woken, i);
        }
        CU_ASSERT_EQUAL(counters(w)->limit_awake, 0);
        end(w);
    }
}

static void an_operation_wakes_it(void)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct move_world *w = begin(seed, MR_CLIENT);

        sleep_now(w);
        transfer(w); /* a client opens a stream */
        CU_ASSERT_EQUAL(counters(w)->connections_woken, 1);
        sleep_now(w);
        CU_ASSERT_EQUAL(mr_object_set_user_data(owner(w), handle(w), 0), 0);
        CU_ASSERT_EQUAL(counters(w)->connections_woken, 2);
        sleep_now(w);
        CU_ASSERT_EQUAL(mr_conn_update_keys(owner(w), handle(w), w->now), 0);
        CU_ASSERT_EQUAL(counters(w)->connections_woken, 3);
        transfer(w);
        end(w);
    }
}

static void a_close_wakes_it(void)
{
    struct move_world *w = begin(4, MR_SERVER);

    sleep_now(w);
    CU_ASSERT_EQUAL(mr_conn_close(owner(w), handle(w), 42, "", w->now), 0);
    CU_ASSERT_EQUAL(counters(w)->connections_woken, 1);
    pass(w, 10 * MR_SECOND);
    CU_ASSERT(w->app[0].is_closed && w->app[1].is_closed);
    CU_ASSERT_EQUAL(w->app[1].error, 42);
    CU_ASSERT_EQUAL(move_world_close(w), 0);
}

static void its_timer_wakes_it(void)
{
    struct move_world *w = begin(4, MR_SERVER);

    sleep_now(w);
    pass(w, 20 * MR_SECOND);
    CU_ASSERT_FALSE(w->app[0].is_closed);
    pass(w, 20 * MR_SECOND); /* idle for 30 seconds */
    CU_ASSERT(w->app[0].is_closed);
    CU_ASSERT_EQUAL(counters(w)->idle_timeouts, 1);
    CU_ASSERT_EQUAL(move_world_close(w), 0);
}

/* As a probe timeout's does, after what it was for has been acknowledged. */
static void a_timer_that_was_put_off_does_not_wake_it(void)
{
    struct move_world *w = begin(4, MR_SERVER);
    struct mr_conn *conn = awake(w);

    conn->armed_ns = w->now + MR_SECOND;
    mr_wheel_set(&owner(w)->wheel, conn->number, conn->armed_ns);
    sleep_now(w);
    pass(w, 2 * MR_SECOND);
    CU_ASSERT(mr_conn_is_asleep(owner(w), handle(w)));
    CU_ASSERT_EQUAL(counters(w)->connections_woken, 0);
    pass(w, 40 * MR_SECOND); /* idle for 30 seconds */
    CU_ASSERT(w->app[0].is_closed);
    CU_ASSERT_EQUAL(move_world_close(w), 0);
}

/* To look at it does not. */
static void it_sleeps_on_while_it_is_looked_at(void)
{
    struct move_world *w = begin(4, MR_SERVER);
    struct mr_endpoint *ep = owner(w);
    struct mr_conn_info before;
    struct mr_conn_info now;
    const char *state;
    uint32_t streams;
    uint32_t hand = 0;

    transfer(w);
    CU_ASSERT_EQUAL(mr_conn_info(ep, handle(w), &before), 0);
    sleep_now(w);
    CU_ASSERT_EQUAL(mr_conn_info(ep, handle(w), &now), 0);
    CU_ASSERT_EQUAL(memcmp(&before, &now, sizeof(now)), 0);
    mr_conn_describe(ep, handle(w), &state, &streams);
    CU_ASSERT_STRING_EQUAL(state, "asleep");
    CU_ASSERT_EQUAL(streams, 0);
    CU_ASSERT_EQUAL(mr_endpoint_next_conn(ep, &hand), handle(w));
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(ep), 1);
    CU_ASSERT_EQUAL(mr_conn_can_move(ep, handle(w), w->now), 0);
    CU_ASSERT_FALSE(mr_conn_has_paths(ep, handle(w)));
    CU_ASSERT_EQUAL(mr_conn_receive_datagram(ep, handle(w), NULL, 0), -EAGAIN);
    CU_ASSERT_EQUAL(mr_conn_moved_streams(ep, handle(w), NULL, 0), 0);
    CU_ASSERT(mr_conn_is_asleep(ep, handle(w)));
    CU_ASSERT_EQUAL(counters(w)->connections_woken, 0);
    end(w);
}

static void it_moves_out_of_its_sleep(void)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct move_world *w = begin(seed, seed % 2 == 0 ? MR_SERVER : MR_CLIENT);

        transfer(w);
        sleep_now(w);
        CU_ASSERT_EQUAL(move_world_move(w, 1), 0);
        transfer(w);
        pass(w, 5 * MR_SECOND);
        sleep_now(w); /* in another shard */
        transfer(w);
        end(w);
    }
}

/* As it comes from a port. */
static struct mr_datagram datagram_of(struct move_world *w, const uint8_t *bytes, uint32_t size,
                                      const struct mr_path_addr *path)
{
    struct move_node *node = &w->node[w->app[0].node];
    struct sim_buffer *buffer = node->free_buffers[--node->free_count];

    memcpy(buffer->bytes, bytes, size);
    buffer->is_out = true;
    return (struct mr_datagram){
        .data = buffer->bytes, .buf = &buffer->buf, .size = size, .path = *path};
}

/* The peer lost it: its token leads to the sleeper. */
static void a_stateless_reset_ends_it(void)
{
    struct move_world *w = begin(4, MR_CLIENT);
    struct mr_conn *conn = awake(w);
    const struct mr_peer_cid *cid = mr_cid_current(conn);
    uint8_t bytes[64];

    CU_ASSERT(cid->has_token && conn->is_token_tracked);
    memset(bytes, 0x55, sizeof(bytes));
    memcpy(bytes + sizeof(bytes) - MR_RESET_TOKEN, cid->reset_token, MR_RESET_TOKEN);
    struct mr_datagram d = datagram_of(w, bytes, sizeof(bytes), &conn->path.addr);
    sleep_now(w);
    mr_endpoint_receive(owner(w), &d, 1, w->now);
    CU_ASSERT_EQUAL(d.redirect, MR_STAY);
    CU_ASSERT_EQUAL(counters(w)->stateless_resets_received, 1);
    CU_ASSERT_EQUAL(counters(w)->connections_woken, 1);
    pass(w, 100 * MR_SECOND);
    CU_ASSERT(w->app[0].is_closed);
    CU_ASSERT_EQUAL(move_world_close(w), 0);
}

/* A Handshake packet that was on its way for long: its keys are no more. */
static void a_late_long_header_does_not(void)
{
    struct move_world *w = begin(4, MR_SERVER);
    const struct mr_conn *conn = awake(w);
    uint8_t bytes[100] = {0xe0, 0, 0, 0, 1, MR_LOCAL_CID_SIZE};
    uint8_t *at = bytes + 6;
    uint64_t key = 0;

    for (uint32_t i = 0; i < MR_CIDS_SLOTS && key == 0; i++)
        key = conn->issued.key[i];
    memcpy(at, &key, sizeof(key));
    at += sizeof(key) + 1; /* no Source Connection ID */
    at[0] = at[1] = 0x40;  /* Length: 64 bytes */
    struct mr_datagram d = datagram_of(w, bytes, sizeof(bytes), &conn->path.addr);
    sleep_now(w);
    uint64_t dropped = counters(w)->dropped_no_key;
    mr_endpoint_receive(owner(w), &d, 1, w->now);
    CU_ASSERT_EQUAL(d.redirect, MR_STAY);
    CU_ASSERT_EQUAL(counters(w)->dropped_no_key, dropped + 1);
    CU_ASSERT(mr_conn_is_asleep(owner(w), handle(w)));
    transfer(w);
    end(w);
}

/* ------------------------------------------------------------------ no place */

static uint32_t take_places(struct mr_endpoint *ep, uint32_t *taken)
{
    uint32_t count = 0;

    while (mr_pool_free_count(&ep->conns) > 0) {
        taken[count] = mr_pool_get(&ep->conns);
        mr_conn_at(ep, taken[count++])->generation = 0;
    }
    return count;
}

static void put_places(struct mr_endpoint *ep, const uint32_t *taken, uint32_t count)
{
    while (count > 0)
        mr_pool_put(&ep->conns, taken[--count]);
}

/* As if so many connections that do not rest were awake. */
static void without_a_place_it_sleeps_on(void)
{
    struct move_world *w = begin(2, MR_CLIENT);
    struct mr_endpoint *ep = owner(w);
    mr_handle stream;
    uint32_t taken[PLACES];

    sleep_now(w);
    uint32_t count = take_places(ep, taken);
    CU_ASSERT_EQUAL(count, PLACES);
    CU_ASSERT_EQUAL(mr_stream_open(ep, handle(w), MR_OPEN_BIDI, 0, &stream), -ENOMEM);
    CU_ASSERT_EQUAL(mr_object_set_user_data(ep, handle(w), 1), -ENOMEM);
    CU_ASSERT_EQUAL(mr_conn_update_keys(ep, handle(w), w->now), -ENOMEM);
    CU_ASSERT_EQUAL(mr_conn_renew_cids(ep, handle(w), w->now), -ENOMEM);
    CU_ASSERT_EQUAL(mr_conn_path_open(ep, handle(w), &(struct mr_path_addr){0}, w->now), -ENOMEM);
    CU_ASSERT_EQUAL(mr_conn_path_abandon(ep, handle(w), 1, w->now), -ENOMEM);
    CU_ASSERT_EQUAL(mr_conn_migrate(ep, handle(w), &(struct mr_addr){0}, w->now), -EAGAIN);
    CU_ASSERT_EQUAL(mr_conn_send_datagram(ep, handle(w), NULL, 0), -ENOMEM);
    CU_ASSERT_EQUAL(move_world_export(w, 1), -ENOMEM);
    CU_ASSERT_EQUAL(counters(w)->limit_awake, 9);
    CU_ASSERT(mr_conn_is_asleep(ep, handle(w)));
    put_places(ep, taken, count);
    transfer(w);
    end(w);
}

/* Nothing is lost: the peer repeats it. */
static void packets_without_a_place_are_dropped(void)
{
    struct move_world *w = begin(2, MR_SERVER);
    struct mr_endpoint *ep = owner(w);
    uint32_t taken[PLACES];

    sleep_now(w);
    w->config.streams++;
    move_world_settle(w);
    for (uint64_t dropped = 0; dropped < 2; dropped++) {
        while (w->net.count == 0 && move_world_step(w)) { /* until the peer repeats it */
        }
        CU_ASSERT_FATAL(w->net.count > 0);
        w->now = MR_MAX(w->now, sim_network_next(&w->net));
        struct sim_packet *packet = sim_network_take(&w->net);
        struct mr_datagram d = datagram_of(w, packet->bytes, packet->size, &packet->path);
        uint32_t count = take_places(ep, taken);
        mr_endpoint_receive(ep, &d, 1, w->now);
        put_places(ep, taken, count);
        CU_ASSERT_EQUAL(counters(w)->limit_awake, dropped + 1);
        free(packet);
    }
    CU_ASSERT(mr_conn_is_asleep(ep, handle(w)));
    for (int i = 0; i < 40 && !move_world_is_done(w); i++)
        pass(w, MR_SECOND / 4);
    CU_ASSERT(move_world_is_done(w));
    CU_ASSERT_EQUAL(counters(w)->connections_woken, 1);
    end(w);
}

/* An application that closes it need not ask again. */
static void a_close_without_a_place_is_done_later(void)
{
    struct move_world *w = begin(2, MR_SERVER);
    struct mr_endpoint *ep = owner(w);
    uint32_t taken[PLACES];

    sleep_now(w);
    uint32_t count = take_places(ep, taken);
    CU_ASSERT_EQUAL(mr_conn_close(ep, handle(w), MR_ERROR_CODE_MAX + 1, "", w->now), -EINVAL);
    CU_ASSERT_EQUAL(mr_conn_close(ep, handle(w), 42, "", w->now), 0);
    CU_ASSERT_EQUAL(mr_conn_close(ep, handle(w), 43, "", w->now), 0);
    CU_ASSERT(mr_conn_is_asleep(ep, handle(w)));
    CU_ASSERT_EQUAL(mr_conn_close(ep, handle(w) + (UINT64_C(2) << 32), 42, "", w->now), -ESTALE);
    CU_ASSERT_EQUAL(ep->sleep_hand.closing_count, 1);
    put_places(ep, taken, count);
    mr_endpoint_check(ep);
    pass(w, 5 * MR_SECOND);
    CU_ASSERT(w->app[0].is_closed && w->app[1].is_closed);
    CU_ASSERT_EQUAL(w->app[1].error, 42);
    CU_ASSERT_EQUAL(ep->sleep_hand.closing_count, 0);
    CU_ASSERT_EQUAL(move_world_close(w), 0);
}

static void a_timer_without_a_place_comes_again(void)
{
    struct move_world *w = begin(2, MR_SERVER);
    struct mr_endpoint *ep = owner(w);
    uint32_t taken[PLACES];

    sleep_now(w);
    uint32_t count = take_places(ep, taken);
    uint64_t due = mr_endpoint_deadline(ep);
    w->now = MR_MAX(w->now, due) + 40 * MR_SECOND;
    for (int i = 0; i < 3; i++) {
        mr_endpoint_expire(ep, w->now);
        CU_ASSERT(mr_endpoint_deadline(ep) > w->now || i == 0);
        w->now += 20 * MR_MS;
    }
    CU_ASSERT(counters(w)->limit_awake >= 2);
    CU_ASSERT_EQUAL(counters(w)->idle_timeouts, 0);
    put_places(ep, taken, count);
    pass(w, MR_SECOND);
    CU_ASSERT_EQUAL(counters(w)->idle_timeouts, 1);
    CU_ASSERT(w->app[0].is_closed);
    CU_ASSERT_EQUAL(move_world_close(w), 0);
}

/* ------------------------------------------------------------------ memory */

static void a_sleeper_takes_a_third(void)
{
    struct move_world *w = begin(2, MR_SERVER);
    struct mr_endpoint_memory memory;

    transfer(w);
    mr_endpoint_memory(owner(w), &memory);
    CU_ASSERT_EQUAL(memory.conns, 1);
    CU_ASSERT_EQUAL(memory.sleepers, 0);
    sleep_now(w);
    mr_endpoint_memory(owner(w), &memory);
    CU_ASSERT_EQUAL(memory.conns, 0);
    CU_ASSERT_EQUAL(memory.conn_bytes + memory.key_bytes, 0);
    CU_ASSERT_EQUAL(memory.sleepers, 1);
    CU_ASSERT_EQUAL(memory.sleeper_bytes, MR_SLEEPER_SIZE);
    CU_ASSERT_EQUAL(memory.timers, 1);
    CU_ASSERT_EQUAL(owner(w)->models.used + owner(w)->chunks.used, 0);
    end(w);
}

static void a_model_of_bbr_begins_anew(void)
{
    struct move_config config = config_of(2, MR_SERVER);
    config.is_bbr = true;
    struct move_world *w = begin_with(&config);

    transfer(w);
    CU_ASSERT_EQUAL(mr_cc_kind_of(&awake(w)->path.cc), MR_CC_BBR);
    CU_ASSERT_EQUAL(owner(w)->models.used, 1);
    uint64_t window = awake(w)->path.cc.window;
    sleep_now(w);
    CU_ASSERT_EQUAL(owner(w)->models.used, 0);
    rouse(w);
    CU_ASSERT_EQUAL(mr_cc_kind_of(&awake(w)->path.cc), MR_CC_BBR);
    CU_ASSERT_EQUAL(owner(w)->models.used, 1);
    CU_ASSERT(awake(w)->path.cc.window <= window);
    transfer(w);
    sleep_now(w);
    end(w);
}

static CU_TestInfo tests[] = {
    {"nothing is lost", nothing_is_lost},
    {"long keys and connection IDs fit", the_largest_fits},
    {"what is not at rest stays awake", what_is_not_at_rest_stays_awake},
    {"an extra keeps it awake", an_extra_keeps_it_awake},
    {"without a sleeper it stays awake", without_a_sleeper_it_stays_awake},
    {"what is too large stays awake", what_is_too_large_stays_awake},
    {"a packet wakes it", a_packet_wakes_it},
    {"an operation wakes it", an_operation_wakes_it},
    {"a close wakes it", a_close_wakes_it},
    {"its timer wakes it", its_timer_wakes_it},
    {"a timer that was put off does not wake it", a_timer_that_was_put_off_does_not_wake_it},
    {"it sleeps on while it is looked at", it_sleeps_on_while_it_is_looked_at},
    {"it moves out of its sleep", it_moves_out_of_its_sleep},
    {"a stateless reset ends it", a_stateless_reset_ends_it},
    {"a late long header does not", a_late_long_header_does_not},
    {"without a place it sleeps on", without_a_place_it_sleeps_on},
    {"packets without a place are dropped", packets_without_a_place_are_dropped},
    {"a close without a place is done later", a_close_without_a_place_is_done_later},
    {"a timer without a place comes again", a_timer_without_a_place_comes_again},
    {"a sleeper takes a third", a_sleeper_takes_a_third},
    {"a model of BBR begins anew", a_model_of_bbr_begins_anew},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/conn_sleep", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
