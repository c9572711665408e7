/* tests/conformance/test_rfc9000_close.c - RFC 9000, Section 10.2: a close that cannot be sent yet.
 */
#include "tests/support/peer_cases.h"

#define S MR_SERVER

/* Section 10.2: "After sending a CONNECTION_CLOSE frame, an endpoint immediately enters the closing
 * state".  "These states SHOULD persist for at least three times the current PTO interval": from
 * then on, however long the port takes nothing. */
static void a_close_that_waits_for_the_port_is_sent_all_the_same(void)
{
    struct peer *p = peer_at(S, PEER_DONE); /* idle after 60 s */
    struct mr_endpoint *ep = peer_endpoint(p);

    mr_conn_close(ep, p->conn, 0x123, "", p->now);
    for (uint64_t end = p->now + 10 * MR_SECOND; p->now < end; p->now += 10 * MR_MS)
        mr_endpoint_expire(ep, p->now);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(ep), 1);
    peer_drain(p);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_CONNECTION_CLOSE_APP), 1);
    peer_advance(p, 10 * MR_MS);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(ep), 1); /* the period has only begun */
    peer_advance(p, 10 * MR_SECOND);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(ep), 0);
    peer_end(p);
}

/* The peer has given the connection up by itself then. */
static void a_close_waits_for_the_port_no_longer_than_the_idle_timeout(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_endpoint *ep = peer_endpoint(p);

    mr_conn_close(ep, p->conn, 0x123, "", p->now);
    for (uint64_t end = p->now + 61 * MR_SECOND; p->now < end; p->now += 10 * MR_MS)
        mr_endpoint_expire(ep, p->now);
    peer_advance(p, MR_MS);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_CONNECTION_CLOSE_APP), 0);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(ep), 0);
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"a close that waits for the port is sent all the same",
     a_close_that_waits_for_the_port_is_sent_all_the_same},
    {"a close waits for the port no longer than the idle timeout",
     a_close_waits_for_the_port_no_longer_than_the_idle_timeout},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9000 a close that waits", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
