/*
 * tests/conformance/test_rfc9000_bursts.c - datagrams that arrive together: what the first does to
 * a connection holds for the others, though all were opened before (RFC 9000, Sections 10, 12; RFC
 * 9001, Section 6).
 */
#include "tests/support/peer_cases.h"

#define S MR_SERVER
#define C MR_CLIENT

struct burst {
    struct peer *p;
    uint32_t count;
    struct peer_raw raws[MR_BURST];
};

static void add(struct burst *b, const char *frames, size_t size)
{
    struct peer_raw *raw = &b->raws[b->count++];

    raw->path = b->p->path;
    raw->size = (uint32_t)peer_build(
        b->p,
        &(struct peer_out){
            .type = MR_PACKET_ONE_RTT, .frames = frames, .size = size, .pn = PEER_NEXT_PN},
        raw->bytes, sizeof(raw->bytes));
}
#define ADD(b, s) add((b), (s), sizeof(s) - 1)

static void deliver(struct burst *b)
{
    peer_deliver_burst(b->p, b->raws, b->count);
    b->count = 0;
}

static void a_burst_is_acknowledged_once(void)
{
    struct burst b = {.p = peer_at(S, PEER_DONE)};

    for (int i = 0; i < MR_BURST; i++)
        ADD(&b, "\x01");
    deliver(&b);
    CU_ASSERT_EQUAL(peer_count(b.p, MR_FRAME_ACK), 1);
    peer_end(b.p);
}

static void packets_behind_an_error_meet_a_closing_connection(void)
{
    struct burst b = {.p = peer_at(S, PEER_DONE)};

    ADD(&b, "\x01");
    ADD(&b, "\x1f");
    for (int i = 0; i < 20; i++)
        ADD(&b, "\x08\x00hello");
    deliver(&b);
    peer_expect_close(b.p, "error in a burst", MR_FRAME_ENCODING_ERROR, 0x1f);
    CU_ASSERT_EQUAL(peer_counters(b.p)->streams_opened, 0);
    CU_ASSERT_TRUE(peer_count(b.p, MR_FRAME_CONNECTION_CLOSE) <= 6);
    peer_end(b.p);
}

static void packets_behind_a_close_are_not_answered(void)
{
    struct burst b = {.p = peer_at(S, PEER_DONE)};

    ADD(&b, "\x08\x00hello");
    ADD(&b, "\x1c\x00\x00\x00");
    for (int i = 0; i < 10; i++)
        ADD(&b, "\x08\x04hello");
    deliver(&b);
    CU_ASSERT_EQUAL(b.p->inbox_count, 0);
    CU_ASSERT_EQUAL(peer_counters(b.p)->streams_opened, 1);
    peer_end(b.p);
}

static void packets_behind_a_stateless_reset_are_dropped(void)
{
    struct burst b = {.p = peer_at(C, PEER_DONE)};
    struct peer_raw *reset = &b.raws[1];
    struct mr_cid cid = mr_cid_current(peer_conn(b.p))->cid;

    ADD(&b, "\x01");
    reset->path = b.p->path;
    reset->size = 50;
    memset(reset->bytes, 0x4e, reset->size);
    memcpy(reset->bytes + 1, b.p->dcid.bytes, PEER_CID_SIZE);
    mr_reset_token(&b.p->side[S].ep->tokens, mr_cid_view(&cid), reset->bytes + 34);
    b.count++;
    for (int i = 0; i < 10; i++)
        ADD(&b, "\x0b\x01\x01x");
    deliver(&b);
    CU_ASSERT_FALSE(mr_conn_is_alive(peer_conn(b.p)));
    CU_ASSERT_EQUAL(peer_counters(b.p)->streams_opened, 0);
    peer_advance(b.p, MR_SECOND);
    CU_ASSERT_EQUAL(b.p->inbox_count, 0);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(b.p)), 0);
    peer_end(b.p);
}

/* Packets of both phases, in any order of arrival. */
static void a_key_update_in_a_burst_loses_nothing(void)
{
    for (int turn = 0; turn < 3; turn++) {
        struct burst b = {.p = peer_at(S, PEER_DONE)};

        ADD(&b, "\x08\x00x");
        ADD(&b, "\x08\x04x");
        peer_update_keys(b.p);
        ADD(&b, "\x08\x08x");
        ADD(&b, "\x08\x0cx");
        if (turn > 0) { /* overtaken packets */
            struct peer_raw moved = b.raws[1];
            b.raws[1] = b.raws[turn + 1];
            b.raws[turn + 1] = moved;
        }
        deliver(&b);
        CU_ASSERT_EQUAL(peer_counters(b.p)->streams_opened, 4);
        CU_ASSERT_EQUAL(peer_counters(b.p)->dropped_undecryptable, 0);
        CU_ASSERT_EQUAL(peer_counters(b.p)->key_updates_received, 1);
        CU_ASSERT_EQUAL(peer_conn(b.p)->app.received.count, 1);
        peer_expect_close(b.p, "both phases", PEER_NO_CLOSE, 0);
        peer_end(b.p);
    }
}

static void duplicates_in_a_burst_are_dropped(void)
{
    struct burst b = {.p = peer_at(S, PEER_DONE)};

    ADD(&b, "\x1a\1\2\3\4\5\6\7\10");
    for (; b.count < MR_BURST; b.count++)
        b.raws[b.count] = b.raws[0];
    deliver(&b);
    CU_ASSERT_EQUAL(peer_count(b.p, MR_FRAME_PATH_RESPONSE), 1);
    CU_ASSERT_EQUAL(peer_counters(b.p)->dropped_duplicate, MR_BURST - 1);
    peer_end(b.p);
}

/* Addresses that alternate within one burst: each of them gets at most three times what it sent. */
static void addresses_that_alternate_are_endured(void)
{
    struct burst b = {.p = peer_at(S, PEER_DONE)};

    for (uint16_t i = 0; i < MR_BURST; i++) {
        b.p->path.remote.port = (uint16_t)(7000 + i % 3);
        ADD(&b, "\x01");
    }
    deliver(&b);
    for (uint16_t port = 7000; port < 7003; port++) {
        uint32_t bytes = 0;
        for (uint32_t i = 0; i < b.p->inbox_count; i++)
            bytes += b.p->inbox[i].path.remote.port == port ? b.p->inbox[i].datagram_size : 0;
        CU_ASSERT_TRUE(bytes <= 3 * 11 * 34);
    }
    peer_expect_close(b.p, "alternating", PEER_NO_CLOSE, 0);
    peer_end(b.p);
}

static CU_TestInfo tests[] = {
    {"a burst is acknowledged once", a_burst_is_acknowledged_once},
    {"packets behind an error meet a closing connection",
     packets_behind_an_error_meet_a_closing_connection},
    {"packets behind a close are not answered", packets_behind_a_close_are_not_answered},
    {"packets behind a stateless reset are dropped", packets_behind_a_stateless_reset_are_dropped},
    {"a key update in a burst loses nothing", a_key_update_in_a_burst_loses_nothing},
    {"duplicates in a burst are dropped", duplicates_in_a_burst_are_dropped},
    {"addresses that alternate are endured", addresses_that_alternate_are_endured},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9000 bursts", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
