/*
 * tests/conformance/test_rfc9000_keep_alive.c - RFC 9000, Section 10.1.2: a client that awaits an
 * answer and hears nothing sends PINGs, few of them.
 */
#include "quic/conn_timer.h"
#include "tests/support/peer_cases.h"

#define C      MR_CLIENT
#define S      MR_SERVER
#define AFTER  (2 * MR_SECOND) /* more than three probe timeouts of the pair */
#define WINDOW (25 * MR_MS)    /* in which a PING that is due comes; less than a PTO */

static uint64_t pings(struct peer *p)
{
    return peer_counters(p)->keep_alive_pings;
}

static void acknowledge(struct peer *p)
{
    peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1);
    peer_clear(p);
}

/* A request is sent on a stream of these flags, and acknowledged. */
static struct peer *after_request(enum mr_role under_test, uint64_t keep_alive_ns, uint32_t flags)
{
    struct peer_options options = {.under_test = under_test, .keep_alive_ns = keep_alive_ns};
    struct peer *p = peer_new(&options);
    struct mr_view view = {(const uint8_t *)"GET", 3};
    mr_handle stream;

    peer_run(p, PEER_DONE);
    CU_ASSERT_EQUAL_FATAL(mr_stream_open(peer_endpoint(p), p->conn, flags, 0, &stream), 0);
    CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), stream, &view, 1, MR_SEND_FIN | MR_SEND_COPY),
                    0);
    peer_drain(p);
    acknowledge(p);
    return p;
}

/* Nothing goes out for `ns`, then a PING. */
static bool is_pinged_after(struct peer *p, uint64_t ns)
{
    uint64_t before = pings(p);

    peer_advance(p, ns - WINDOW);
    bool was_silent = p->inbox_count == 0 && pings(p) == before;
    peer_advance(p, 2 * WINDOW);
    return was_silent && pings(p) == before + 1 && peer_count(p, MR_FRAME_PING) == 1;
}

/* Section 10.1.2: "An endpoint might need to send ack-eliciting packets to avoid an idle timeout if
 * it is expecting response data but does not have or is unable to send application data." */
static void a_client_that_awaits_an_answer_sends_a_ping(void)
{
    struct peer *p = after_request(C, AFTER, MR_OPEN_BIDI);

    CU_ASSERT_TRUE(is_pinged_after(p, AFTER));
    peer_end(p);
}

/* What comes meanwhile is no silence. */
static void a_client_that_hears_something_sends_none(void)
{
    struct peer *p = after_request(C, AFTER, MR_OPEN_BIDI);

    for (int i = 0; i < 10; i++) {
        peer_advance(p, AFTER - WINDOW);
        CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_PING), 0);
        PEER_SEND(p, "\x01");
    }
    CU_ASSERT_EQUAL(pings(p), 0);
    peer_end(p);
}

/* "Unnecessary sending of PING frames could have a detrimental effect on performance." */
static void nobody_else_sends_any(void)
{
    static const struct {
        enum mr_role role;
        uint64_t keep_alive_ns;
        uint32_t flags;
        const char *answer;
        size_t size;
    } cases[] = {
        {C, 0, MR_OPEN_BIDI, NULL, 0},                            /* it is off */
        {S, AFTER, MR_OPEN_BIDI, PEER_BYTES("\x08\x00hello")},    /* a server */
        {C, AFTER, MR_OPEN_UNI, NULL, 0},                         /* no answer can come */
        {C, AFTER, MR_OPEN_UNI, PEER_BYTES("\x0a\x03\x05hello")}, /* what never ends */
        {C, AFTER, MR_OPEN_BIDI, PEER_BYTES("\x09\x00hello")},    /* it came */
        {C, AFTER, MR_OPEN_BIDI, PEER_BYTES("\x04\x00\x00\x00")}, /* a reset came */
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct peer *p = after_request(cases[i].role, cases[i].keep_alive_ns, cases[i].flags);

        if (cases[i].size > 0)
            peer_send(p, MR_PACKET_ONE_RTT, cases[i].answer, cases[i].size);
        peer_advance(p, 50 * MR_SECOND);
        CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_PING), 0);
        CU_ASSERT_EQUAL(pings(p), 0);
        peer_end(p);
    }
}

/* Each silence is twice the one before, up to half of the idle timeout; "the peer to respond with
 * an acknowledgment, which also restarts the idle timeout for the endpoint". */
static void pings_become_rare(void)
{
    struct peer *p = after_request(C, AFTER, MR_OPEN_BIDI);
    uint64_t half = peer_conn(p)->idle_timeout_ns / 2;
    uint64_t silence = AFTER;

    for (int i = 0; i < 10; i++) {
        CU_ASSERT_TRUE(is_pinged_after(p, silence));
        acknowledge(p);
        silence = MR_MIN(2 * silence, half);
    }
    CU_ASSERT_EQUAL(silence, half);
    peer_end(p);
}

static void stream_data_begins_them_anew(void)
{
    struct peer *p = after_request(C, AFTER, MR_OPEN_BIDI);

    CU_ASSERT_TRUE(is_pinged_after(p, AFTER));
    acknowledge(p);
    CU_ASSERT_TRUE(is_pinged_after(p, 2 * AFTER));
    acknowledge(p);
    PEER_SEND(p, "\x08\x00hello");
    peer_advance(p, 4 * AFTER); /* the deadline that was set looks first */
    acknowledge(p);
    CU_ASSERT_EQUAL(pings(p), 3);
    CU_ASSERT_TRUE(is_pinged_after(p, 2 * AFTER));
    peer_end(p);
}

/* A peer that acknowledges and never answers is not kept for ever. */
static void pings_are_bounded(void)
{
    struct peer *p = after_request(C, AFTER, MR_OPEN_BIDI);

    for (int i = 0; i < 100 && mr_endpoint_conn_count(peer_endpoint(p)) > 0; i++) {
        peer_advance(p, 30 * MR_SECOND + WINDOW);
        if (peer_count(p, MR_FRAME_PING) > 0)
            acknowledge(p);
    }
    CU_ASSERT_EQUAL(pings(p), MR_KEEP_ALIVE_MAX);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(p)), 0);
    CU_ASSERT_EQUAL(peer_counters(p)->idle_timeouts, 1);
    CU_ASSERT_EQUAL(peer_endpoint(p)->extras.used, 0);
    peer_end(p);
}

/* Probe timeouts repeat one that is not acknowledged: it is no further one. */
static void a_lost_ping_is_repeated(void)
{
    struct peer *p = after_request(C, AFTER, MR_OPEN_BIDI);

    CU_ASSERT_TRUE(is_pinged_after(p, AFTER));
    peer_advance(p, 10 * MR_SECOND);
    CU_ASSERT_TRUE(peer_count(p, MR_FRAME_PING) > 2);
    CU_ASSERT_EQUAL(pings(p), 1);
    acknowledge(p);
    CU_ASSERT_EQUAL(peer_endpoint(p)->extras.used, 1);
    PEER_SEND(p, "\x09\x00hello");
    peer_advance(p, 30 * MR_SECOND);
    CU_ASSERT_EQUAL(pings(p), 1);
    CU_ASSERT_EQUAL(peer_endpoint(p)->extras.used, 0);
    peer_end(p);
}

/* Without memory for the count none is sent, and that is counted. */
static void without_an_extra_none_is_sent(void)
{
    struct peer *p = after_request(C, AFTER, MR_OPEN_BIDI);
    struct mr_pool *extras = &peer_endpoint(p)->extras;
    uint32_t taken[64];
    uint32_t count = 0;

    while (mr_pool_free_count(extras) > 0)
        taken[count++] = mr_pool_get(extras);
    peer_advance(p, 2 * AFTER);
    CU_ASSERT_EQUAL(pings(p), 0);
    CU_ASSERT_EQUAL(p->inbox_count, 0);
    CU_ASSERT_TRUE(peer_counters(p)->limit_extras > 0);
    while (count > 0)
        mr_pool_put(extras, taken[--count]);
    peer_advance(p, AFTER + WINDOW);
    CU_ASSERT_EQUAL(pings(p), 1);
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"10.1.2: a client that awaits an answer sends a PING",
     a_client_that_awaits_an_answer_sends_a_ping},
    {"10.1.2: a client that hears something sends none", a_client_that_hears_something_sends_none},
    {"10.1.2: nobody else sends any", nobody_else_sends_any},
    {"10.1.2: PINGs become rare", pings_become_rare},
    {"10.1.2: stream data begins them anew", stream_data_begins_them_anew},
    {"10.1.2: PINGs are bounded", pings_are_bounded},
    {"10.1.2: a lost PING is repeated", a_lost_ping_is_repeated},
    {"10.1.2: without an extra none is sent", without_an_extra_none_is_sent},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9000 keep-alive", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
