/* Tests of what an ACK leaves of a connection: its timer, its place among the send lists. */
#include "quic/conn_timer.h"
#include "quic/endpoint_internal.h"
#include "tests/support/peer_cases.h"
#include "tests/support/peer_internal.h"

#define MUCH 12000 /* bytes: within window and pacer */

static mr_handle stream;

/* A server with a stream that it may send on, and a window that does not hold it back. */
static struct peer *server(void)
{
    struct peer *p = peer_sender(&stream);

    mr_cc_set_window(&peer_conn(p)->path.cc, UINT64_C(100) * peer_conn(p)->path.mtu);
    return p;
}

static void queue(struct peer *p, size_t bytes)
{
    static const uint8_t data[1 << 16];
    struct mr_view view = {.data = data, .size = bytes};

    CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), stream, &view, 1, 0), 0);
}

/* A packet of the peer's: an ACK of all that was sent, a PING. */
static void make(struct peer *p, struct peer_raw *raw, bool has_ack, bool has_ping)
{
    uint8_t frames[40];
    struct mr_writer w = mr_writer(frames, sizeof(frames));
    struct mr_ack_range range = {.lo = 0, .hi = mr_sent_next(&peer_conn(p)->app.sent) - 1};

    if (has_ack)
        mr_frame_write_ack(&w, &range, 1, 0, NULL);
    if (has_ping)
        mr_frame_write_type(&w, MR_FRAME_PING);
    struct peer_out out = {.type = MR_PACKET_ONE_RTT,
                           .frames = frames,
                           .size = mr_writer_size(&w),
                           .pn = PEER_NEXT_PN};
    *raw = (struct peer_raw){.path = p->path};
    raw->size = (uint32_t)peer_build(p, &out, raw->bytes, sizeof(raw->bytes));
}

/* The ACK that two packets ask for leaves at once: nothing is awaited after it. */
static void an_answer_in_two_packets_leaves_no_timer_of_a_probe(void)
{
    struct peer *p = server();
    struct peer_raw raws[2];

    queue(p, 1000);
    peer_drain(p);
    CU_ASSERT(peer_conn(p)->armed_ns < p->now + MR_SECOND);
    p->now += 2 * MR_MS;
    make(p, &raws[0], true, true);
    make(p, &raws[1], false, true);
    peer_deliver_burst(p, raws, 2);
    CU_ASSERT_EQUAL(peer_conn(p)->loss.space[MR_SPACE_APP].ack_eliciting_count, 0);
    CU_ASSERT(peer_conn(p)->armed_ns > p->now + 10 * MR_SECOND);
    peer_end(p);
}

/* Who sent much, and goes on when that is acknowledged, does not go in front of small answers. */
static void who_sends_much_stays_among_those(void)
{
    struct peer *p = server();
    struct peer_raw raw;

    queue(p, MUCH);
    peer_drain(p);
    make(p, &raw, true, false);
    peer_receive(p, &p->side[p->role], &raw);
    queue(p, MUCH);
    CU_ASSERT_EQUAL(peer_endpoint(p)->few.head, MR_NONE);
    CU_ASSERT_NOT_EQUAL(peer_endpoint(p)->bulk.head, MR_NONE);
    peer_drain(p);
    peer_end(p);
}

/* The application has nothing more: it is small when it comes again. */
static void who_sent_much_is_small_when_all_is_acknowledged(void)
{
    struct peer *p = server();
    struct peer_raw raw;

    queue(p, MUCH);
    peer_drain(p);
    make(p, &raw, true, false);
    peer_deliver_burst(p, &raw, 1);
    queue(p, 100);
    CU_ASSERT_NOT_EQUAL(peer_endpoint(p)->few.head, MR_NONE);
    peer_drain(p);
    peer_end(p);
}

static void a_small_answer_that_is_acknowledged_is_not_visited_again(void)
{
    struct peer *p = server();
    struct peer_raw raw;

    queue(p, 1000);
    peer_drain(p);
    make(p, &raw, true, false);
    peer_receive(p, &p->side[p->role], &raw);
    CU_ASSERT_FALSE(peer_conn(p)->is_ready);
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"an answer in two packets leaves no timer of a probe",
     an_answer_in_two_packets_leaves_no_timer_of_a_probe},
    {"who sends much stays among those", who_sends_much_stays_among_those},
    {"who sent much is small when all is acknowledged",
     who_sent_much_is_small_when_all_is_acknowledged},
    {"a small answer that is acknowledged is not visited again",
     a_small_answer_that_is_acknowledged_is_not_visited_again},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/conn: at rest", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
