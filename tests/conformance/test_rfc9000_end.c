/* tests/conformance/test_rfc9000_end.c - RFC 9000, Sections 10.1 and 10.2: how a connection ends.
 */
#include <errno.h>

#include "tests/support/peer_cases.h"

#define C MR_CLIENT
#define S MR_SERVER

/* Section 10.1: "the connection is silently closed and its state is discarded when it remains idle
 * for longer than the minimum of the max_idle_timeout value advertised by both endpoints." */
static void an_idle_connection_ends_silently(void)
{
    struct peer_options options = {.under_test = S, .idle_timeout_ns = 5 * MR_SECOND};
    struct peer *p = peer_new(&options);

    peer_run(p, PEER_DONE);
    PEER_SEND(p, "\x01");
    peer_advance(p, MR_SECOND);
    peer_clear(p);
    peer_advance(p, 3 * MR_SECOND);
    CU_ASSERT_TRUE(mr_conn_is_alive(peer_conn(p)));
    PEER_SEND(p, "\x01"); /* a packet restarts the clock */
    peer_advance(p, 4 * MR_SECOND);
    CU_ASSERT_TRUE(mr_conn_is_alive(peer_conn(p)));
    peer_clear(p);
    peer_advance(p, 2 * MR_SECOND);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(p)), 0);
    CU_ASSERT_EQUAL(p->inbox_count, 0);
    CU_ASSERT_PTR_NOT_NULL(peer_event(p, MR_EVENT_CLOSED));
    CU_ASSERT_EQUAL(peer_counters(p)->idle_timeouts, 1);
    peer_end(p);
}

/* Section 10.2.1: "An endpoint SHOULD limit the rate at which it generates packets in the closing
 * state." */
static void a_closing_endpoint_repeats_itself_ever_more_rarely(void)
{
    struct peer *p = peer_at(S, PEER_DONE);

    /* no frame can carry more (Section 16) */
    CU_ASSERT_EQUAL(mr_conn_close(peer_endpoint(p), p->conn, MR_ERROR_CODE_MAX + 1, "bye", p->now),
                    -EINVAL);
    CU_ASSERT_EQUAL(mr_conn_close(peer_endpoint(p), p->conn, 0x123, "bye", p->now), 0);
    peer_drain(p);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_CONNECTION_CLOSE_APP), 1);
    for (int i = 0; i < 1000; i++)
        PEER_SEND(p, "\x01");
    uint32_t count = peer_count(p, MR_FRAME_CONNECTION_CLOSE_APP);
    CU_ASSERT_TRUE(count >= 2 && count <= 12);
    CU_ASSERT_EQUAL(p->inbox_count, count); /* and says nothing else */
    peer_advance(p, 10 * MR_SECOND);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(p)), 0);
    peer_end(p);
}

/* Section 10.2.2: "an endpoint in the draining state MUST NOT send any packets."
 * Section 10.2.2: "An endpoint MUST NOT send further packets." */
static void a_draining_endpoint_is_silent(void)
{
    static const struct {
        const char *bytes;
        size_t size;
        uint64_t error;
        bool is_app;
    } cases[] = {
        {PEER_BYTES("\x1c\x0a\x08\x03why\x01\x1f"), 0x0a, false},
        {PEER_BYTES("\x1d\x2a\x00\x1f"), 0x2a, true},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct peer *p = peer_at(S, PEER_DONE);

        PEER_SEND(p, "\x08\x00hello");
        peer_clear(p);
        peer_send(p, MR_PACKET_ONE_RTT, cases[i].bytes, cases[i].size);
        const struct peer_event *event = NULL;
        for (uint32_t e = 0; e < p->event_count; e++) {
            if (p->events[e].event.stream == MR_HANDLE_NONE)
                event = &p->events[e];
        }
        CU_ASSERT_PTR_NOT_NULL_FATAL(event);
        CU_ASSERT_TRUE((event->event.kinds & MR_EVENT_CLOSED) != 0);
        CU_ASSERT_EQUAL(event->event.error, cases[i].error);
        CU_ASSERT_EQUAL(event->event.is_application, cases[i].is_app);
        CU_ASSERT_TRUE(event->event.is_remote);
        for (int k = 0; k < 100; k++)
            PEER_SEND(p, "\x01");
        peer_advance(p, 30 * MR_MS);
        CU_ASSERT_EQUAL(p->inbox_count, 0);
        peer_advance(p, 10 * MR_SECOND);
        CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(p)), 0);
        peer_end(p);
    }
}

/* Section 10.2: "These states SHOULD persist for at least three times the current PTO interval". */
static void closing_lasts_three_probe_timeouts(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    uint64_t pto = mr_rtt_pto(&peer_conn(p)->path.rtt, MR_SPACE_APP);

    mr_conn_close(peer_endpoint(p), p->conn, 0, "", p->now);
    peer_drain(p);
    peer_advance(p, 3 * pto - MR_MS);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(p)), 1);
    peer_advance(p, 10 * MR_MS);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(p)), 0);
    /* afterwards its packets meet a stateless reset */
    peer_clear(p);
    PEER_SEND(p, "\x08\x00this packet is long enough to be answered with a reset");
    CU_ASSERT_EQUAL(peer_counters(p)->stateless_resets_sent, 1);
    peer_end(p);
}

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

/* Section 10.2.3: "an endpoint MUST send" the close "in an Initial packet" when the peer may have
 * no later keys; an application's reason stays secret until then: "A CONNECTION_CLOSE of type 0x1d
 * MUST be replaced by a CONNECTION_CLOSE of type 0x1c when sending the frame in Initial or
 * Handshake packets."
 * Section 10.2.3: "Endpoints MUST clear the value of the Reason Phrase field and SHOULD use the
 * APPLICATION_ERROR code when converting to a CONNECTION_CLOSE of type 0x1c."
 * Section 12.5: "CONNECTION_CLOSE frames signaling application errors (type 0x1d) MUST only appear
 * in the application data packet number space." */
static void an_early_close_goes_where_the_peer_can_read_it(void)
{
    struct peer *p = peer_at(C, PEER_HELLO);
    struct mr_frame_connection_close close;
    struct mr_reader r;

    peer_clear(p);
    mr_conn_close(peer_endpoint(p), p->conn, 0x123, "a secret", p->now);
    peer_drain(p);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_CONNECTION_CLOSE_APP), 0);
    const struct peer_packet *packet = peer_find(p, MR_FRAME_CONNECTION_CLOSE, 0, &r);
    CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
    CU_ASSERT_EQUAL(packet->type, MR_PACKET_INITIAL);
    CU_ASSERT_TRUE(mr_frame_decode_connection_close(&r, MR_FRAME_CONNECTION_CLOSE, &close));
    CU_ASSERT_EQUAL(close.error, MR_APPLICATION_ERROR);
    CU_ASSERT_EQUAL(close.reason_size, 0);
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"an idle connection ends silently", an_idle_connection_ends_silently},
    {"a closing endpoint repeats itself ever more rarely",
     a_closing_endpoint_repeats_itself_ever_more_rarely},
    {"a draining endpoint is silent", a_draining_endpoint_is_silent},
    {"closing lasts three probe timeouts", closing_lasts_three_probe_timeouts},
    {"a close that waits for the port is sent all the same",
     a_close_that_waits_for_the_port_is_sent_all_the_same},
    {"a close waits for the port no longer than the idle timeout",
     a_close_waits_for_the_port_no_longer_than_the_idle_timeout},
    {"an early close goes where the peer can read it",
     an_early_close_goes_where_the_peer_can_read_it},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9000 end of a connection", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
