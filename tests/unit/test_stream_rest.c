/* Tests of quic/stream_rest.h. */
#include "quic/stream_rest.h"

#include <stddef.h>
#include <string.h>

#include "base/random.h"
#include "tests/unit/harness.h"

enum {
    WINDOW = 65536,
    LIMIT = 1 << 20
};

/* A new stream, as a connection makes it. */
static struct mr_stream fresh_of(uint64_t id)
{
    struct mr_stream s;

    memset(&s, 0, sizeof(s));
    s.id = id;
    s.has_send = s.has_recv = true;
    s.dirty_next = s.control_next = s.send_next = s.send_previous = s.send_child = MR_NONE;
    s.conn_next = s.conn_previous = MR_NONE;
    mr_send_queue_init(&s.send);
    mr_recv_queue_init(&s.recv);
    mr_flow_recv_init(&s.flow_recv, WINDOW, LIMIT);
    mr_flow_send_init(&s.flow_send, LIMIT);
    return s;
}

/* One that has sent and received so much, all acknowledged and read. */
static struct mr_stream rested(uint64_t id, uint64_t sent, uint64_t received)
{
    struct mr_stream s = fresh_of(id);

    s.send_state = MR_SEND_SEND;
    s.send.acked_to = s.send.next_offset = s.send.end_offset = s.flow_send.used = sent;
    s.recv.released_to = s.recv.shown_to = s.recv.ready_to = s.recv.highest = received;
    s.flow_recv.received = s.flow_recv.consumed = received;
    s.handle = UINT64_C(0x3980000004);
    return s;
}

/* What comes back, in the place of another. */
static struct mr_stream there_and_back(const struct mr_stream *s, size_t *size_out)
{
    struct mr_stream fresh = fresh_of(s->id);
    struct mr_stream back;
    uint8_t bytes[MR_STREAM_REST_MAX];
    uint64_t id = 0;

    *size_out = mr_stream_rest_pack(s, &fresh, bytes, sizeof(bytes));
    CU_ASSERT_FATAL(*size_out > 0);
    CU_ASSERT_EQUAL(mr_stream_rest_pack(s, &fresh, bytes, *size_out - 1), 0);
    CU_ASSERT_EQUAL(mr_stream_rest_pack(s, &fresh, bytes, *size_out), *size_out);
    CU_ASSERT(mr_stream_rest_id(bytes, *size_out, &id) > 0);
    CU_ASSERT_EQUAL(id, s->id);
    fresh.index = 77;
    fresh.generation = 99;
    fresh.conn = 5;
    fresh.conn_next = 6;
    fresh.conn_previous = 8;
    CU_ASSERT_EQUAL(mr_stream_rest_unpack(&back, &fresh, bytes, *size_out - 1), 0);
    CU_ASSERT_EQUAL(mr_stream_rest_unpack(&back, &fresh, bytes, sizeof(bytes)), *size_out);
    CU_ASSERT(back.index == 77 && back.generation == 99 && back.conn == 5);
    CU_ASSERT(back.conn_next == 6 && back.conn_previous == 8);
    back.index = s->index;
    back.generation = s->generation;
    back.conn = s->conn;
    back.conn_next = s->conn_next;
    back.conn_previous = s->conn_previous;
    return back;
}

static void nothing_but_its_place_is_lost(void)
{
    struct mr_random random;

    mr_random_init_number(&random, 3);
    for (uint64_t i = 0; i < 2000; i++) {
        uint64_t sent = mr_random_below(&random, UINT64_C(1) << (i % 60));
        uint64_t received = mr_random_below(&random, UINT64_C(1) << (i * 7 % 60));
        struct mr_stream s =
            rested(mr_random_below(&random, UINT64_C(1) << (i % 40)), sent, received);
        size_t size;

        s.index = (uint32_t)mr_random_u64(&random);
        s.conn_next = 3;
        s.conn_previous = 4;
        s.recv.highest += i % 3;
        s.recv.shown_to -= received > 0;
        s.user_data = i % 4 == 0 ? mr_random_u64(&random) : 0;
        s.moved_from = i % 5 == 0 ? mr_random_u64(&random) : 0;
        s.peer_code = i % 7;
        s.urgency = (uint8_t)(i % 8);
        const struct mr_stream back = there_and_back(&s, &size);
        CU_ASSERT_EQUAL(memcmp(&back, &s, sizeof(s)), 0);
        CU_ASSERT(size <= MR_STREAM_REST_MAX);
    }
}

static void the_largest_has_room(void)
{
    struct mr_stream s = rested(UINT64_C(1) << 39, 1, 1);
    size_t size;

    memset(&s.reset_code, 0xe7,
           offsetof(struct mr_stream, send_child) - offsetof(struct mr_stream, reset_code));
    s.user_data = s.handle = UINT64_C(0xe7e7e7e7e7e7e7e7);
    memset(&s.flow_recv, 0xe7, sizeof(s.flow_recv));
    memset(&s.send.repeat_below, 0x17, sizeof(s.send.repeat_below));
    const struct mr_stream back = there_and_back(&s, &size);
    CU_ASSERT_EQUAL(memcmp(&back, &s, sizeof(s)), 0);
    CU_ASSERT(size <= MR_STREAM_REST_MAX);
}

/* What HTTP/3 keeps open: a control stream, QPACK's two, each way. */
static void those_of_http3_are_small(void)
{
    static const uint64_t bytes[6] = {40, 1, 1, 60, 1, 1};
    size_t sum = 0;

    for (uint32_t i = 0; i < 6; i++) {
        struct mr_stream s =
            i < 3 ? rested(3 + 4 * i, bytes[i], 0) : rested(2 + 4 * i, 0, bytes[i]);
        size_t size;

        s.user_data = UINT64_C(0x7f0012345678);
        there_and_back(&s, &size);
        sum += size;
    }
    printf("# %zu bytes\n", sum);
    CU_ASSERT(sum <= 240);
}

/* ------------------------------------------------------------------ at rest */

struct restless_case {
    size_t field;
    size_t size;
    uint64_t value;
};

#define RESTLESS(field, value)                                                                     \
    {                                                                                              \
        offsetof(struct mr_stream, field), sizeof((struct mr_stream){0}.field), value              \
    }

static const struct restless_case restless[] = {
    RESTLESS(is_dirty, true),       RESTLESS(pending_events, MR_EVENT_WRITABLE),
    RESTLESS(is_sendable, true),    RESTLESS(is_controlled, true),
    RESTLESS(is_gone, true),        RESTLESS(send.head, 0),
    RESTLESS(send.acked_to, 99),    RESTLESS(send.end_offset, 101),
    RESTLESS(send.lost.count, 1),   RESTLESS(send.acked.count, 1),
    RESTLESS(send.has_fin, true),   RESTLESS(recv.ready_head, 0),
    RESTLESS(recv.run_head, 0),     RESTLESS(recv.block, 0),
    RESTLESS(recv.pinned_count, 1),
};

static void what_has_something_to_do_does_not_rest(void)
{
    for (size_t i = 0; i < MR_COUNT_OF(restless); i++) {
        struct mr_stream s = rested(4, 100, 200);

        CU_ASSERT(mr_stream_rests(&s));
        memcpy((uint8_t *)&s + restless[i].field, &restless[i].value, restless[i].size);
        CU_ASSERT_FALSE(mr_stream_rests(&s));
        if (mr_stream_rests(&s))
            printf("# case %zu\n", i);
    }
    struct mr_stream s = rested(4, 100, 200);
    s.send.has_fin = s.send.is_fin_sent = s.send.is_fin_acked = true;
    s.send_state = MR_SEND_DATA_RECVD;
    CU_ASSERT(mr_stream_rests(&s)); /* half of it is over */
    s = rested(4, 100, 200);
    s.send.end_offset = 150;
    s.send.is_closed = true;
    s.send_state = MR_SEND_RESET_SENT;
    CU_ASSERT_FALSE(mr_stream_rests(&s));
    s.send_state = MR_SEND_RESET_RECVD;
    CU_ASSERT(mr_stream_rests(&s)); /* what was not sent never will be */
}

static void what_is_no_stream_is_refused(void)
{
    struct mr_stream s = rested(8, 100, 200);
    struct mr_stream fresh = fresh_of(8);
    struct mr_stream other = fresh_of(12);
    struct mr_stream back;
    uint8_t bytes[MR_STREAM_REST_MAX];
    uint64_t id;
    size_t size = mr_stream_rest_pack(&s, &fresh, bytes, sizeof(bytes));

    CU_ASSERT_EQUAL(mr_stream_rest_unpack(&back, &other, bytes, size), 0);
    CU_ASSERT_EQUAL(mr_stream_rest_unpack(&back, &fresh, bytes, 1), 0);
    CU_ASSERT_EQUAL(mr_stream_rest_unpack(&back, &fresh, bytes, 0), 0);
    CU_ASSERT_EQUAL(mr_stream_rest_id(bytes, 0, &id), 0);
    bytes[2]++; /* longer than it is */
    CU_ASSERT_EQUAL(mr_stream_rest_unpack(&back, &fresh, bytes, sizeof(bytes)), 0);
}

static CU_TestInfo tests[] = {
    {"nothing but its place is lost", nothing_but_its_place_is_lost},
    {"the largest has room", the_largest_has_room},
    {"those of HTTP/3 are small", those_of_http3_are_small},
    {"what has something to do does not rest", what_has_something_to_do_does_not_rest},
    {"what is no stream is refused", what_is_no_stream_is_refused},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/stream_rest", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
