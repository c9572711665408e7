/*
 * tests/conformance/test_rfc9000_ids.c - RFC 9000, Sections 2.1, 3.3, 4.4, 5.1: numbers of streams
 * and connection IDs that we give out, and what a stream says when it is over.
 */
#include <stdio.h>

#include "tests/support/peer_cases.h"

#define C MR_CLIENT
#define S MR_SERVER

/* ------------------------------------------------------------------ streams */

/* Section 2.1: "A QUIC endpoint MUST NOT reuse a stream ID within a connection." */
static void stream_ids_are_never_used_twice(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    uint8_t credit[] = {MR_FRAME_MAX_STREAMS_UNI, 0};

    for (uint8_t i = 0; i < 60; i++) {
        mr_handle stream;

        credit[1] = i + 1;
        peer_send(p, MR_PACKET_ONE_RTT, credit, sizeof(credit));
        CU_ASSERT_EQUAL_FATAL(mr_stream_open(peer_endpoint(p), p->conn, MR_OPEN_UNI, 0, &stream),
                              0);
        CU_ASSERT_EQUAL(mr_stream_id(peer_endpoint(p), stream), 3 + 4 * (uint64_t)i);
        CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), stream, NULL, 0, MR_SEND_FIN), 0);
        peer_drain(p);
        peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1); /* it is closed */
        peer_clear(p);
    }
    peer_end(p);
}

/* A server's end of the client's stream 0, with `text` on its way. */
static mr_handle answer_with(struct peer *p, const char *text)
{
    struct mr_view view = {.data = (const uint8_t *)text, .size = strlen(text)};

    PEER_SEND(p, "\x08\x00hello");
    const struct peer_event *event = peer_event(p, MR_EVENT_STREAM_OPENED);
    CU_ASSERT_PTR_NOT_NULL_FATAL(event);
    mr_handle stream = event->event.stream;
    peer_clear(p);
    CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), stream, &view, 1, 0), 0);
    peer_drain(p);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_STREAM), 1);
    return stream;
}

static uint32_t stream_frames(const struct peer *p)
{
    uint32_t count = peer_count(p, MR_FRAME_STREAM_DATA_BLOCKED);

    for (uint64_t type = 0x08; type <= 0x0f; type++)
        count += peer_count(p, type);
    return count;
}

/* Nothing is acknowledged: the reset is repeated, the data is not.
 * Section 3.3: "A sender MUST NOT send a STREAM or STREAM_DATA_BLOCKED frame for a stream in the
 * "Reset Sent" state or any terminal state -- that is, after sending a RESET_STREAM frame."
 * Section 13.3: "The content of a RESET_STREAM frame MUST NOT change when it is sent again." */
static void a_reset_stream_only_repeats_its_reset(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    mr_handle stream = answer_with(p, "never acknowledged");
    struct mr_frame_reset_stream reset;
    struct mr_reader r;

    peer_clear(p);
    CU_ASSERT_EQUAL(mr_stream_reset(peer_endpoint(p), stream, 7), 0);
    peer_drain(p);
    PEER_SEND(p, "\x11\x00\x80\xff\xff\xff"); /* MAX_STREAM_DATA */
    peer_advance(p, 4 * MR_SECOND);
    PEER_SEND(p, "\x05\x00\x09"); /* STOP_SENDING, with another code */
    peer_advance(p, 4 * MR_SECOND);
    CU_ASSERT_EQUAL(stream_frames(p), 0);
    uint32_t count = peer_count(p, MR_FRAME_RESET_STREAM);
    CU_ASSERT_TRUE(count > 1);
    for (uint32_t i = 0; i < count; i++) {
        CU_ASSERT_PTR_NOT_NULL_FATAL(peer_find(p, MR_FRAME_RESET_STREAM, i, &r));
        CU_ASSERT_TRUE(mr_frame_decode_reset_stream(&r, MR_FRAME_RESET_STREAM, &reset));
        CU_ASSERT_TRUE(reset.stream_id == 0 && reset.error == 7 && reset.final_size == 18);
    }
    peer_end(p);
}

/* All is acknowledged, the FIN or the reset: whatever the peer says, the stream is silent.
 * Section 3.3: "A sender MUST NOT send any of these frames from a terminal state ("Data Recvd" or
 * "Reset Recvd")." */
static void a_stream_in_a_terminal_state_says_nothing(void)
{
    for (int is_reset = 0; is_reset < 2; is_reset++) {
        struct peer *p = peer_at(S, PEER_DONE);
        mr_handle stream = answer_with(p, "text");

        int result = is_reset != 0 ? mr_stream_reset(peer_endpoint(p), stream, 7)
                                   : mr_stream_send(peer_endpoint(p), stream, NULL, 0, MR_SEND_FIN);
        CU_ASSERT_EQUAL(result, 0);
        peer_drain(p);
        peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1);
        peer_clear(p);
        PEER_SEND(p, "\x05\x00\x09");             /* STOP_SENDING */
        PEER_SEND(p, "\x11\x00\x80\xff\xff\xff"); /* MAX_STREAM_DATA */
        peer_advance(p, 5 * MR_SECOND);
        CU_ASSERT_EQUAL(stream_frames(p) + peer_count(p, MR_FRAME_RESET_STREAM), 0);
        peer_expect_close(p, "a terminal state", PEER_NO_CLOSE, 0);
        peer_end(p);
    }
}

/* The client has ended its direction: ours keeps to the limit, and goes on with a higher one.
 * Section 4.4: "Both endpoints MUST maintain flow control state for the stream in the unterminated
 * direction until that direction enters a terminal state." */
static void each_direction_keeps_its_own_credit(void)
{
    static const uint8_t data[5000];
    struct peer_options options = {.under_test = S, .stream_window = 3000};
    struct peer *p = peer_new(&options);
    struct mr_view view = {.data = data, .size = sizeof(data)};

    peer_run(p, PEER_DONE);
    PEER_SEND(p, "\x0b\x00\x05hello");
    const struct peer_event *event = peer_event(p, MR_EVENT_STREAM_OPENED);
    CU_ASSERT_PTR_NOT_NULL_FATAL(event);
    uint64_t before = peer_conn(p)->flow_send.used;
    CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), event->event.stream, &view, 1, 0), 0);
    peer_advance(p, 50 * MR_MS);
    CU_ASSERT_EQUAL(peer_conn(p)->flow_send.used - before, 3000);
    peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1);
    PEER_SEND(p, "\x11\x00\x4f\xa0"); /* MAX_STREAM_DATA 4000 */
    peer_advance(p, 50 * MR_MS);
    CU_ASSERT_EQUAL(peer_conn(p)->flow_send.used - before, 4000);
    peer_end(p);
}

/* ------------------------------------------------------------------ connection IDs */

static uint32_t issued(const struct mr_conn *conn, struct mr_cid *cids)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < MR_CIDS_SLOTS; i++) {
        if (conn->issued.key[i] == 0)
            continue;
        cids[count].size = MR_LOCAL_CID_SIZE;
        memcpy(cids[count++].bytes, &conn->issued.key[i], MR_LOCAL_CID_SIZE);
    }
    return count;
}

static uint32_t common_bytes(const uint8_t *a, const uint8_t *b, size_t size)
{
    uint32_t count = 0;

    for (size_t i = 0; i < size; i++)
        count += a[i] == b[i];
    return count;
}

/* Two IDs of one connection have no more in common than those of two connections: what tells the
 * server, 4 bytes of 8, and chance.
 * Section 5.1: "Connection IDs MUST NOT contain any information that can be used by an external
 * observer (that is, one that does not cooperate with the issuer) to correlate them with other
 * connection IDs for the same connection." Section 5.1: "As a trivial example, this means the same
 * connection ID MUST NOT be issued more than once on the same connection." Section 10.3.2: "An
 * endpoint that uses this design MUST either use the same connection ID length for all connections
 * or encode the length of the connection ID such that it can be recovered without state."
 * Section 10.3.2: "The same stateless reset token MUST NOT be used for multiple connection IDs." */
static void connection_ids_have_only_the_server_in_common(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    uint8_t tokens[MR_CIDS_SLOTS][MR_RESET_TOKEN];
    struct mr_cid cids[MR_CIDS_SLOTS];
    uint32_t count = issued(peer_conn(p), cids);

    CU_ASSERT_EQUAL_FATAL(count, MR_CIDS_ISSUED_MAX);
    for (uint32_t i = 0; i < count; i++) {
        mr_reset_token(&peer_endpoint(p)->tokens, mr_cid_view(&cids[i]), tokens[i]);
        struct mr_cid other = mr_endpoint_new_cid(peer_endpoint(p)); /* another connection's */
        CU_ASSERT_EQUAL(memcmp(cids[i].bytes, other.bytes, 4), 0);
        for (uint32_t k = 0; k < i; k++) {
            CU_ASSERT_FALSE(mr_cid_equal(&cids[i], &cids[k]));
            CU_ASSERT_TRUE(common_bytes(cids[i].bytes + 4, cids[k].bytes + 4, 4) <= 2);
            CU_ASSERT_TRUE(common_bytes(tokens[i], tokens[k], MR_RESET_TOKEN) <= 4);
        }
    }
    peer_end(p);
}

/* Section 5.1.1: "When an endpoint issues a connection ID, it MUST accept packets that carry this
 * connection ID for the duration of the connection or until its peer invalidates the connection ID
 * via a RETIRE_CONNECTION_ID frame (Section 19.16)." */
static void a_connection_id_is_accepted_until_it_is_retired(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_cid cids[MR_CIDS_SLOTS];
    uint32_t count = issued(peer_conn(p), cids);

    for (uint32_t i = 0; i < count; i++) {
        uint64_t received = peer_counters(p)->packets_received;

        p->dcid = cids[i];
        PEER_SEND(p, "\x01");
        CU_ASSERT_EQUAL(peer_counters(p)->packets_received, received + 1);
        peer_advance(p, 2 * MR_SECOND); /* it does not age */
    }
    for (uint32_t i = 0; i < count; i++) {
        uint8_t retire[] = {MR_FRAME_RETIRE_CONNECTION_ID,
                            (uint8_t)peer_conn(p)->issued.sequence[i]};

        p->dcid = cids[(i + 1) % count];
        if (i + 1 == count)
            issued(peer_conn(p), &p->dcid);
        peer_send(p, MR_PACKET_ONE_RTT, retire, sizeof(retire));
        uint64_t received = peer_counters(p)->packets_received;
        p->dcid = cids[i];
        PEER_SEND(p, "\x01");
        CU_ASSERT_EQUAL(peer_counters(p)->packets_received, received);
    }
    peer_expect_close(p, "all retired", PEER_NO_CLOSE, 0);
    peer_end(p);
}

static void take_two_connection_ids(uint8_t *params, size_t size)
{
    for (size_t at = 0; at + 2 < size; at += 2 + (size_t)params[at + 1]) {
        if (params[at] == 0x0e && params[at + 1] == 1)
            params[at + 2] = 2;
    }
}

/* Section 5.1.1: "An endpoint MUST NOT provide more connection IDs than the peer's limit." */
static void no_more_connection_ids_than_the_peer_takes(void)
{
    for (int is_few = 0; is_few < 2; is_few++) {
        struct peer_options options = {.under_test = S,
                                       .edit_params = is_few ? take_two_connection_ids : NULL};
        struct peer *p = peer_new(&options);
        struct mr_cid cids[MR_CIDS_SLOTS];

        peer_run(p, PEER_DONE);
        uint32_t most = is_few != 0 ? 2 : MR_CIDS_ISSUED_MAX;
        CU_ASSERT_EQUAL(issued(peer_conn(p), cids), most);
        PEER_SEND(p, "\x19\x01"); /* one goes, one comes */
        CU_ASSERT_EQUAL(issued(peer_conn(p), cids), most);
        peer_end(p);
    }
}

/* ------------------------------------------------------------------ strangers */

/* Whatever comes with the connection's own ID: no stateless reset, nothing at all.
 * Section 11: "A stateless reset MUST NOT be used by an endpoint that has the state necessary to
 * send a frame on the connection." */
static void a_living_connection_is_never_reset_by_us(void)
{
    for (int role = 0; role < 2; role++) {
        struct peer *p = peer_at((enum mr_role)role, PEER_DONE);
        uint8_t bytes[600];

        for (size_t size = 9; size < sizeof(bytes); size += 13) {
            memset(bytes, (int)size, sizeof(bytes));
            bytes[0] = 0x40 | (bytes[0] & 0x3f);
            memcpy(bytes + 1, p->dcid.bytes, PEER_CID_SIZE);
            peer_deliver(p, bytes, size);
        }
        CU_ASSERT_EQUAL(p->inbox_count, 0);
        CU_ASSERT_EQUAL(peer_counters(p)->stateless_resets_sent, 0);
        CU_ASSERT_TRUE(mr_conn_is_alive(peer_conn(p)));
        peer_end(p);
    }
}

static CU_TestInfo tests[] = {
    {"stream IDs are never used twice", stream_ids_are_never_used_twice},
    {"a reset stream only repeats its reset", a_reset_stream_only_repeats_its_reset},
    {"a stream in a terminal state says nothing", a_stream_in_a_terminal_state_says_nothing},
    {"each direction keeps its own credit", each_direction_keeps_its_own_credit},
    {"connection IDs have only the server in common",
     connection_ids_have_only_the_server_in_common},
    {"a connection ID is accepted until it is retired",
     a_connection_id_is_accepted_until_it_is_retired},
    {"no more connection IDs than the peer takes", no_more_connection_ids_than_the_peer_takes},
    {"a living connection is never reset by us", a_living_connection_is_never_reset_by_us},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9000 IDs", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
