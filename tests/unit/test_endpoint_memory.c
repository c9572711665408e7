/* Tests of quic/endpoint_memory.h, over a connection's life. */
#include "quic/endpoint_memory.h"

#include "quic/limits.h"
#include "tests/support/peer_cases.h"

#define S MR_SERVER

static struct mr_endpoint_memory memory_of(struct peer *p)
{
    struct mr_endpoint_memory memory;

    mr_endpoint_memory(peer_endpoint(p), &memory);
    return memory;
}

static void a_handshake_holds_its_state_until_it_is_over(void)
{
    struct peer *p = peer_at(S, PEER_HELLO);
    struct mr_endpoint_memory during = memory_of(p);

    CU_ASSERT_EQUAL(during.conns, 1);
    CU_ASSERT_EQUAL(during.handshakes, 1);
    CU_ASSERT_EQUAL(during.handshakes_peak, 1);
    CU_ASSERT(during.handshakes_max >= 1);
    CU_ASSERT(during.handshake_bytes_each > 1024);
    CU_ASSERT_EQUAL(during.handshake_bytes, during.handshake_bytes_each);
    CU_ASSERT(during.other_bytes > 0); /* its flight, until it is acknowledged */
    CU_ASSERT(during.other_bytes_peak >= during.other_bytes);
    CU_ASSERT_EQUAL(during.timers, 1);
    peer_end(p);
}

static void an_idle_connection_holds_its_object_and_keys(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_endpoint_memory idle = memory_of(p);

    CU_ASSERT_EQUAL(idle.conns, 1);
    CU_ASSERT(idle.conn_bytes >= 2048 && idle.conn_bytes <= 3584);
    CU_ASSERT_EQUAL(idle.handshakes, 0);
    CU_ASSERT_EQUAL(idle.handshake_bytes, 0);
    CU_ASSERT_EQUAL(idle.handshakes_peak, 1);
    CU_ASSERT_EQUAL(idle.other_bytes, 0);
    CU_ASSERT(idle.key_bytes > 0);
    CU_ASSERT(idle.name_bytes > 0);
    CU_ASSERT(idle.table_entries >= 2); /* connection IDs of ours */
    CU_ASSERT_EQUAL(idle.timers, 1);
    peer_end(p);
}

static void a_stream_is_counted_while_it_is_open(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    uint64_t entries = memory_of(p).table_entries;

    PEER_SEND(p, "\x0a\x00\x01x"); /* STREAM 0, one byte, no FIN */
    struct mr_endpoint_memory open = memory_of(p);
    CU_ASSERT(open.other_bytes > 0);
    CU_ASSERT_EQUAL(open.table_entries, entries + 1);
    peer_end(p);
}

static void a_draining_connection_has_no_expanded_keys(void)
{
    struct peer *p = peer_at(S, PEER_DONE);

    CU_ASSERT(memory_of(p).key_bytes > 0);
    PEER_SEND(p, "\x1d\x00\x00"); /* CONNECTION_CLOSE */
    struct mr_endpoint_memory draining = memory_of(p);
    CU_ASSERT_EQUAL(draining.conns, 1);
    CU_ASSERT_EQUAL(draining.key_bytes, 0);
    peer_end(p);
}

static void nothing_is_left_of_a_connection_that_is_over(void)
{
    struct peer *p = peer_at(S, PEER_DONE);

    PEER_SEND(p, "\x0a\x00\x01x");
    PEER_SEND(p, "\x1d\x00\x00"); /* CONNECTION_CLOSE */
    peer_advance(p, 100 * MR_SECOND);
    struct mr_endpoint_memory left = memory_of(p);
    CU_ASSERT_EQUAL(left.conns, 0);
    CU_ASSERT_EQUAL(left.conn_bytes + left.handshake_bytes + left.key_bytes, 0);
    CU_ASSERT_EQUAL(left.name_bytes + left.other_bytes, 0);
    CU_ASSERT_EQUAL(left.table_entries, 0);
    CU_ASSERT_EQUAL(left.timers, 0);
    CU_ASSERT(left.other_bytes_peak > 0);
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"a handshake holds its state until it is over", a_handshake_holds_its_state_until_it_is_over},
    {"an idle connection holds its object and keys", an_idle_connection_holds_its_object_and_keys},
    {"a stream is counted while it is open", a_stream_is_counted_while_it_is_open},
    {"a draining connection has no expanded keys", a_draining_connection_has_no_expanded_keys},
    {"nothing is left of a connection that is over", nothing_is_left_of_a_connection_that_is_over},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/endpoint_memory", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
