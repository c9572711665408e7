/*
 * tests/conformance/test_rfc9000_cids.c - RFC 9000, Sections 5.1, 10.3, 19.15, 19.16: connection
 * IDs and stateless resets.
 */
#include "tests/support/peer_cases.h"

#define C       MR_CLIENT
#define S       MR_SERVER
#define APP     PEER_DONE, MR_PACKET_ONE_RTT
#define EIGHT   "\1\2\3\4\5\6\7\10"
#define SIXTEEN EIGHT EIGHT
#define TWENTY  SIXTEEN "\1\2\3\4"

/* Send NEW_CONNECTION_ID with a CID and token made of `mark`. */
static void send_new_cid(struct peer *p, uint64_t sequence, uint64_t prior_to, uint8_t mark)
{
    struct mr_frame_new_connection_id frame = {
        .sequence = sequence, .retire_prior_to = prior_to, .cid = {.size = PEER_CID_SIZE}};
    uint8_t bytes[MR_FRAME_NEW_CONNECTION_ID_MAX + 8];
    struct mr_writer w = mr_writer(bytes, sizeof(bytes));

    memset(frame.cid.bytes, mark, PEER_CID_SIZE);
    memset(frame.reset_token, mark ^ 0xff, MR_RESET_TOKEN);
    mr_frame_write_new_connection_id(&w, &frame);
    peer_send(p, MR_PACKET_ONE_RTT, bytes, mr_writer_size(&w));
}

/* The client is under test where the peer's CID 0 is the only one; a server has had them all
 * announced, too: the sequence numbers that the real handshake used. */
static uint64_t next_sequence(struct peer *p)
{
    uint64_t next = 0;

    for (int i = 0; i < MR_CIDS_PEER_MAX; i++) {
        if (peer_conn(p)->peer_cids[i].is_used)
            next = MR_MAX(next, peer_conn(p)->peer_cids[i].sequence + 1);
    }
    return next;
}

static void malformed_cid_frames_are_refused(void)
{
    static const struct peer_case cases[] = {
        /* Section 19.15: "Receiving a value in the Retire Prior To field that is greater than that
         * in the Sequence Number field MUST be treated as a connection error of type
         * FRAME_ENCODING_ERROR." */
        {"retires itself", S, APP, PEER_BYTES("\x18\x05\x06\x08" EIGHT SIXTEEN),
         MR_FRAME_ENCODING_ERROR, 0x18},
        /* Section 19.15: "Values less than 1 and greater than 20 are invalid and MUST be treated as
         * a connection error of type FRAME_ENCODING_ERROR." */
        {"length 0", S, APP, PEER_BYTES("\x18\x05\x00\x00" SIXTEEN), MR_FRAME_ENCODING_ERROR, 0x18},
        {"length 21", S, APP, PEER_BYTES("\x18\x05\x00\x15" TWENTY "x" SIXTEEN),
         MR_FRAME_ENCODING_ERROR, 0x18},
        {"no token", S, APP, PEER_BYTES("\x18\x05\x00\x08" EIGHT EIGHT), MR_FRAME_ENCODING_ERROR,
         0x18},
        /* Section 19.16: "Receipt of a RETIRE_CONNECTION_ID frame containing a sequence number
         * greater than any previously sent to the peer MUST be treated as a connection error of
         * type PROTOCOL_VIOLATION." */
        {"retires what was never issued", S, APP, PEER_BYTES("\x19\x3f"), MR_PROTOCOL_VIOLATION,
         0x19},
        {"retires the next one", S, APP, PEER_BYTES("\x19\x04"), MR_PROTOCOL_VIOLATION, 0x19},
        /* Section 19.16: "The sequence number specified in a RETIRE_CONNECTION_ID frame MUST NOT
         * refer to the Destination Connection ID field of the packet in which the frame is
         * contained." */
        {"retires its own packet's", S, APP, PEER_BYTES("\x19\x00"), MR_PROTOCOL_VIOLATION, 0x19},
        {"retires another", S, APP, PEER_BYTES("\x19\x01"), PEER_NO_CLOSE, 0},
        {"retires one twice", S, APP, PEER_BYTES("\x19\x01\x19\x01"), PEER_NO_CLOSE, 0},
    };

    peer_run_cases(cases, MR_COUNT_OF(cases));
}

/* Section 5.1.1: "After processing a NEW_CONNECTION_ID frame and adding and retiring active
 * connection IDs, if the number of active connection IDs exceeds the value advertised in its
 * active_connection_id_limit transport parameter, an endpoint MUST close the connection with an
 * error of type CONNECTION_ID_LIMIT_ERROR." */
static void more_cids_than_the_limit_end_the_connection(void)
{
    struct peer *p = peer_at(C, PEER_DONE);
    uint64_t next = next_sequence(p);

    CU_ASSERT_EQUAL(next, MR_CIDS_PEER_MAX); /* the server has issued all it may */
    send_new_cid(p, next - 1, 0, 0x77);      /* known, with another CID */
    peer_expect_close(p, "same sequence, other CID", MR_PROTOCOL_VIOLATION, 0x18);
    peer_end(p);

    p = peer_at(C, PEER_DONE);
    send_new_cid(p, next, 1, 0x77); /* one in, one out */
    peer_expect_close(p, "at the limit", PEER_NO_CLOSE, 0);
    send_new_cid(p, next + 1, 1, 0x78);
    peer_expect_close(p, "over the limit", MR_CONNECTION_ID_LIMIT_ERROR, 0x18);
    peer_end(p);
}

/* Section 5.1.2: "Upon receipt of an increased Retire Prior To field, the peer MUST stop using the
 * corresponding connection IDs and retire them with RETIRE_CONNECTION_ID frames before adding the
 * newly provided connection ID to the set of active connection IDs."
 * Section 19.15: "A receiver MUST ignore any Retire Prior To fields that do not increase the
 * largest received Retire Prior To value." */
static void retire_prior_to_is_obeyed(void)
{
    struct peer *p = peer_at(C, PEER_DONE);
    struct mr_reader r;

    send_new_cid(p, 8, 8, 0x77);
    peer_expect_close(p, "all retired but the new one", PEER_NO_CLOSE, 0);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_RETIRE_CONNECTION_ID), MR_CIDS_ISSUED_MAX);
    peer_clear(p);
    PEER_SEND(p, "\x01\x01");
    PEER_SEND(p, "\x01");
    const struct peer_packet *packet = peer_find(p, MR_FRAME_ACK, 0, &r);
    CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
    CU_ASSERT_EQUAL(packet->dcid.bytes[0], 0x77);

    /* Section 19.15: "An endpoint that receives a NEW_CONNECTION_ID frame with a sequence number
     * smaller than the Retire Prior To field of a previously received NEW_CONNECTION_ID frame MUST
     * send a corresponding RETIRE_CONNECTION_ID frame". */
    send_new_cid(p, 10, 10, 0x79);
    peer_clear(p);
    send_new_cid(p, 9, 0, 0x78);
    CU_ASSERT_PTR_NOT_NULL_FATAL(peer_find(p, MR_FRAME_RETIRE_CONNECTION_ID, 0, &r));
    CU_ASSERT_EQUAL(mr_read_varint(&r), 9);
    /* unless it has already done so */
    peer_clear(p);
    send_new_cid(p, 9, 0, 0x78);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_RETIRE_CONNECTION_ID), 0);
    peer_expect_close(p, "retired before", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* Section 19.15: "Transmission errors, timeouts, and retransmissions might cause the same
 * NEW_CONNECTION_ID frame to be received multiple times"; it "MUST NOT be treated as a connection
 * error". */
static void a_repeated_frame_is_no_error(void)
{
    struct peer *p = peer_at(C, PEER_DONE);

    send_new_cid(p, 8, 2, 0x77);
    peer_clear(p);
    for (int i = 0; i < 20; i++)
        send_new_cid(p, 8, 2, 0x77);
    peer_expect_close(p, "repeated", PEER_NO_CLOSE, 0);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_RETIRE_CONNECTION_ID), 0);
    peer_end(p);
}

/* Section 19.15: "An endpoint that is sending packets with a zero-length Destination Connection ID
 * MUST treat receipt of a NEW_CONNECTION_ID frame as a connection error of type
 * PROTOCOL_VIOLATION." */
static void a_peer_without_cid_cannot_give_one(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_conn *conn = peer_conn(p);

    for (int i = 1; i < MR_CIDS_PEER_MAX; i++)
        conn->peer_cids[i].is_used = false;
    conn->peer_cids[0].cid.size = 0;
    p->scid.size = 0;
    send_new_cid(p, 1, 0, 0x77);
    peer_expect_close(p, "zero-length", MR_PROTOCOL_VIOLATION, 0x18);
    peer_end(p);
}

/* quic-go CVE-2024-22189: who never acknowledges RETIRE_CONNECTION_ID cannot make the queue grow;
 * Section 5.1.2: "An endpoint SHOULD limit the number of connection IDs it has retired locally for
 * which RETIRE_CONNECTION_ID frames have not yet been acknowledged."
 * Section 5.1.2: "An endpoint MUST NOT forget a connection ID without retiring it, though it MAY
 * choose to treat having connection IDs in need of retirement that exceed this limit as a
 * connection error of type CONNECTION_ID_LIMIT_ERROR." */
static void a_flood_of_retirements_is_bounded(void)
{
    struct peer *p = peer_at(C, PEER_DONE);
    uint64_t sequence = next_sequence(p);
    int i = 0;

    while (i < 1000 && mr_conn_is_alive(peer_conn(p))) {
        send_new_cid(p, sequence + (uint64_t)i, sequence + (uint64_t)i, (uint8_t)i);
        i++;
    }
    CU_ASSERT_TRUE(i <= MR_RETIRE_QUEUE_MAX + 1);
    CU_ASSERT_EQUAL(peer_close_error(p, NULL), MR_CONNECTION_ID_LIMIT_ERROR);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_cids, 1);
    peer_end(p);
}

/* A RETIRE_CONNECTION_ID that a probe repeats is counted once, whatever is acknowledged or lost
 * later.
 * Section 5.1.2: "An endpoint MUST NOT forget a connection ID without retiring it, though it MAY
 * choose to treat having connection IDs in need of retirement that exceed this limit as a
 * connection error of type CONNECTION_ID_LIMIT_ERROR." */
static void retirements_survive_probes_and_losses(void)
{
    struct peer *p = peer_at(C, PEER_DONE);

    send_new_cid(p, 8, 2, 0x77);
    uint64_t first = p->expected_pn[MR_SPACE_APP] - 1;
    peer_advance(p, 2 * MR_SECOND); /* probes: the frames go out again */
    CU_ASSERT_TRUE(peer_count(p, MR_FRAME_RETIRE_CONNECTION_ID) > 2);
    uint64_t last = p->expected_pn[MR_SPACE_APP] - 1;
    peer_ack(p, last, last); /* all the others are lost */
    peer_advance(p, MR_SECOND);
    peer_ack(p, first, p->expected_pn[MR_SPACE_APP] - 1);
    peer_advance(p, MR_SECOND);
    peer_ack(p, first, p->expected_pn[MR_SPACE_APP] - 1);
    CU_ASSERT_EQUAL(peer_conn(p)->retire_count, 0);
    peer_expect_close(p, "probed", PEER_NO_CLOSE, 0);
    /* and so the next round is not refused */
    for (uint64_t i = 9; i < 40; i++) {
        send_new_cid(p, i, i - 1, (uint8_t)i);
        peer_ack(p, first, p->expected_pn[MR_SPACE_APP] - 1);
    }
    peer_expect_close(p, "an orderly stream of CIDs", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* Section 5.1.1: "An endpoint SHOULD supply a new connection ID when the peer retires a connection
 * ID."
 * Section 5.1.1: "The sequence number on each newly issued connection ID MUST increase by 1." */
static void a_retired_cid_of_ours_is_replaced(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_frame_new_connection_id frame;
    struct mr_reader r;

    for (uint8_t i = 1; i < 60; i++) {
        uint8_t bytes[2] = {0x19, i};

        peer_clear(p);
        peer_send(p, MR_PACKET_ONE_RTT, bytes, 2);
        CU_ASSERT_PTR_NOT_NULL_FATAL(peer_find(p, MR_FRAME_NEW_CONNECTION_ID, 0, &r));
        CU_ASSERT_TRUE(mr_frame_decode_new_connection_id(&r, MR_FRAME_NEW_CONNECTION_ID, &frame));
        CU_ASSERT_EQUAL(frame.sequence, i + MR_CIDS_ISSUED_MAX - 1u);
        peer_ack(p, p->expected_pn[MR_SPACE_APP] - 1, p->expected_pn[MR_SPACE_APP] - 1);
    }
    /* the newest works, and a retired one does not */
    p->dcid = frame.cid;
    PEER_SEND(p, "\x19\x00");
    peer_expect_close(p, "on the newest", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* Ours have numbers of 32 bits: whoever retires so many gets no more, and keeps what it has. */
static void no_cid_beyond_32_bits(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_frame_new_connection_id frame;
    struct mr_reader r;

    peer_conn(p)->issued_next_sequence = UINT32_MAX;
    peer_clear(p);
    PEER_SEND(p, "\x19\x01");
    CU_ASSERT_PTR_NOT_NULL_FATAL(peer_find(p, MR_FRAME_NEW_CONNECTION_ID, 0, &r));
    CU_ASSERT_TRUE(mr_frame_decode_new_connection_id(&r, MR_FRAME_NEW_CONNECTION_ID, &frame));
    CU_ASSERT_EQUAL(frame.sequence, UINT32_MAX);
    peer_clear(p);
    PEER_SEND(p, "\x19\x02");
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_NEW_CONNECTION_ID), 0);
    PEER_SEND(p, "\x19\xc0\x00\x00\x00\xff\xff\xff\xff");
    p->dcid = frame.cid;
    PEER_SEND(p, "\x01");
    peer_expect_close(p, "without new ones", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* ------------------------------------------------------------------ stateless reset */

static const struct peer_packet *last_packet(const struct peer *p)
{
    return p->inbox_count == 0 ? NULL : &p->inbox[p->inbox_count - 1];
}

/* Section 10.3.3: "An endpoint MUST ensure that every Stateless Reset that it sends is smaller than
 * the packet that triggered it, unless it maintains state sufficient to prevent looping."
 * Section 10.3: "An endpoint MUST NOT send a Stateless Reset that is three times or more larger
 * than the packet it receives to avoid being used for amplification." */
static void a_stateless_reset_is_shorter_than_its_trigger(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    uint8_t bytes[PEER_DATAGRAM];
    uint8_t token[MR_RESET_TOKEN];

    memset(bytes, 0x5a, sizeof(bytes));
    bytes[0] = 0x40;
    struct mr_cid cid = mr_cid_encode(&peer_endpoint(p)->config.cid, 0x12345678);
    memcpy(bytes + 1, cid.bytes, PEER_CID_SIZE);
    mr_reset_token(&peer_endpoint(p)->tokens, mr_cid_view(&cid), token);
    for (size_t size = 1; size < 1452; size += size < 60 ? 1 : 97) {
        peer_clear(p);
        p->now += MR_MS; /* they are rationed */
        peer_deliver(p, bytes, size);
        const struct peer_packet *reset = last_packet(p);
        if (reset == NULL) {
            CU_ASSERT_TRUE(size <= 43); /* too short to be answered */
            continue;
        }
        CU_ASSERT_TRUE(reset->size < size && reset->size >= MR_STATELESS_RESET_MIN);
        CU_ASSERT_EQUAL(reset->first_byte & 0xc0, 0x40);
        CU_ASSERT_EQUAL(memcmp(reset->bytes + reset->size - MR_RESET_TOKEN, token, MR_RESET_TOKEN),
                        0);
    }
    CU_ASSERT_TRUE(peer_counters(p)->stateless_resets_sent > 10);
    peer_end(p);
}

static void stateless_resets_are_rationed(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    uint8_t bytes[100] = {0x40, 9, 9, 9, 9, 9, 9, 9, 9};

    for (int i = 0; i < 1000; i++)
        peer_deliver(p, bytes, sizeof(bytes));
    CU_ASSERT_TRUE(peer_counters(p)->stateless_resets_sent <= 64);
    peer_end(p);
}

/* The token of the CID that the client uses. */
static void server_token(struct peer *p, uint8_t *token)
{
    struct mr_cid cid = mr_cid_current(peer_conn(p))->cid;

    mr_reset_token(&p->side[MR_SERVER].ep->tokens, mr_cid_view(&cid), token);
}

/* Section 10.3.1: "If the last 16 bytes of the datagram are identical in value to a stateless reset
 * token, the endpoint MUST enter the draining period and not send any further packets on this
 * connection." */
static void a_stateless_reset_ends_the_connection(void)
{
    struct peer *p = peer_at(C, PEER_DONE);
    uint8_t bytes[60];

    memset(bytes, 0x3c, sizeof(bytes));
    bytes[0] = 0x41;
    memcpy(bytes + 1, p->dcid.bytes, PEER_CID_SIZE); /* of the connection */
    server_token(p, bytes + 44);
    bytes[59] ^= 1;
    peer_deliver(p, bytes, sizeof(bytes));
    CU_ASSERT_TRUE(mr_conn_is_alive(peer_conn(p))); /* one bit is wrong */
    bytes[59] ^= 1;
    peer_deliver(p, bytes, sizeof(bytes));
    CU_ASSERT_FALSE(mr_conn_is_alive(peer_conn(p)));
    CU_ASSERT_EQUAL(peer_counters(p)->stateless_resets_received, 1);
    const struct peer_event *event = peer_event(p, MR_EVENT_CLOSED);
    CU_ASSERT_PTR_NOT_NULL_FATAL(event);
    CU_ASSERT_TRUE(event->event.is_remote);
    CU_ASSERT_EQUAL(p->datagrams, p->inbox_count == 0 ? p->datagrams : 0);
    peer_advance(p, 10 * MR_SECOND);
    CU_ASSERT_EQUAL(p->inbox_count, 0);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(p)), 0);
    peer_end(p);
}

/* Section 10.3: a reset's connection ID is random to the receiver: the token alone counts. */
static void a_stateless_reset_with_a_random_cid_ends_the_connection(void)
{
    struct peer *p = peer_at(C, PEER_DONE);
    uint8_t bytes[41];

    memset(bytes, 0x3c, sizeof(bytes));
    bytes[0] = 0x41;
    server_token(p, bytes + 25);
    peer_deliver(p, bytes, sizeof(bytes));
    CU_ASSERT_FALSE(mr_conn_is_alive(peer_conn(p)));
    peer_end(p);
}

/* Section 10.3: "However, endpoints MUST treat any packet ending in a valid stateless reset token
 * as a Stateless Reset, as other QUIC versions might allow the use of a long header."
 * Section 10.3.1: "the comparison MUST be performed when the first packet in an incoming datagram
 * either cannot be associated with a connection or cannot be decrypted."  And: "comparing the last
 * 16 bytes of the datagram with all stateless reset tokens associated with the remote address on
 * which the datagram was received". */
static void any_datagram_that_cannot_be_read_may_be_a_reset(void)
{
    static const struct {
        const char *name;
        enum peer_stage stage;
        size_t size;
        uint8_t head[6];
        uint8_t head_size;
        uint8_t tail[4]; /* behind the connection ID */
        bool is_to_us;
    } cases[] = {
        {"a short header", PEER_DONE, 60, {0x41}, 1, "<<<", true},
        {"the least that there is", PEER_DONE, 21, {0x41}, 1, "<<<", false},
        {"an unknown connection ID", PEER_DONE, 60, {0x41}, 1, "<<<", false},
        {"no fixed bit", PEER_DONE, 60, {0x01}, 1, "<<<", true},
        {"no fixed bit, unknown", PEER_DONE, 60, {0x01}, 1, "<<<", false},
        {"Handshake, keys gone", PEER_DONE, 60, {0xe1, 0, 0, 0, 1, 8}, 6, {0, 44}, true},
        {"Handshake, with keys", PEER_FLIGHT, 60, {0xe1, 0, 0, 0, 1, 8}, 6, {0, 44}, true},
        {"Handshake, unknown", PEER_DONE, 60, {0xe1, 0, 0, 0, 1, 8}, 6, {0, 44}, false},
        {"no length of one", PEER_FLIGHT, 60, {0xe1, 0, 0, 0, 1, 8}, 6, {0, 45}, true},
        {"Initial", PEER_FLIGHT, 1200, {0xc1, 0, 0, 0, 1, 8}, 6, {0, 0, 0x44, 0x9e}, true},
        {"Initial, unknown", PEER_DONE, 1200, {0xc1, 0, 0, 0, 1, 8}, 6, {0, 0, 0x44, 0x9e}, false},
        {"0-RTT", PEER_FLIGHT, 60, {0xd1, 0, 0, 0, 1, 8}, 6, {0, 44}, true},
        {"Retry", PEER_DONE, 60, {0xf1, 0, 0, 0, 1, 8}, 6, {0}, true},
        {"Version Negotiation", PEER_DONE, 59, {0x81, 0, 0, 0, 0, 8}, 6, {0}, true},
        {"another version", PEER_DONE, 60, {0xc1, 0x2a, 0x2a, 0x2a, 0x2a, 8}, 6, {0}, true},
        {"another one, unknown", PEER_DONE, 60, {0xc1, 0x2a, 0x2a, 0x2a, 0x2a, 8}, 6, {0}, false},
        {"too long a connection ID", PEER_DONE, 60, {0xc1, 0, 0, 0, 1, 255}, 6, {0}, false},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases) * 2; i++) {
        bool is_elsewhere = i % 2 != 0;
        struct peer *p = peer_at(C, cases[i / 2].stage);
        size_t size = cases[i / 2].size;
        uint8_t bytes[1200];

        memset(bytes, 0x3c, sizeof(bytes));
        memcpy(bytes, cases[i / 2].head, cases[i / 2].head_size);
        if (cases[i / 2].is_to_us)
            memcpy(bytes + cases[i / 2].head_size, p->dcid.bytes, PEER_CID_SIZE);
        memcpy(bytes + cases[i / 2].head_size + PEER_CID_SIZE, cases[i / 2].tail, 4);
        server_token(p, bytes + size - MR_RESET_TOKEN);
        p->path.remote.port ^= is_elsewhere;
        peer_clear(p);
        peer_deliver(p, bytes, size);
        if (mr_conn_is_alive(peer_conn(p)) != is_elsewhere)
            fprintf(stderr, "# %s, %s\n", cases[i / 2].name, is_elsewhere ? "elsewhere" : "peer");
        CU_ASSERT_EQUAL(mr_conn_is_alive(peer_conn(p)), is_elsewhere);
        CU_ASSERT_TRUE(is_elsewhere || p->inbox_count == 0);
        peer_end(p);
    }
}

/* Section 10.3.1: "the endpoint MUST enter the draining period and not send any further packets on
 * this connection."  The connection is remembered, so that late packets start nothing. */
static void a_reset_connection_drains(void)
{
    struct peer *p = peer_at(C, PEER_DONE);
    uint8_t bytes[60] = {0x41};

    server_token(p, bytes + 44);
    peer_deliver(p, bytes, sizeof(bytes));
    peer_clear(p);
    peer_advance(p, 2 * MR_MS);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(p)), 1);
    peer_deliver(p, bytes, sizeof(bytes));
    for (int i = 0; i < 20; i++)
        PEER_SEND(p, "\x01");
    CU_ASSERT_EQUAL(p->inbox_count, 0);
    CU_ASSERT_EQUAL(peer_counters(p)->stateless_resets_received, 1);
    CU_ASSERT_EQUAL(peer_counters(p)->stateless_resets_sent, 0);
    peer_advance(p, 10 * MR_SECOND);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(p)), 0);
    peer_end(p);
}

/* Section 10.3.1: "An endpoint MUST NOT check for any stateless reset tokens associated with
 * connection IDs it has not used or for connection IDs that have been retired." */
static void tokens_of_unused_and_retired_cids_do_not_count(void)
{
    struct peer *p = peer_at(C, PEER_DONE);
    uint8_t bytes[60];
    uint8_t tokens[3][MR_RESET_TOKEN];

    memset(bytes, 0x3c, sizeof(bytes));
    bytes[0] = 0x41;
    server_token(p, tokens[0]);  /* of CID 0 */
    send_new_cid(p, 8, 1, 0x77); /* which is retired now */
    struct mr_cid current = mr_cid_current(peer_conn(p))->cid;
    CU_ASSERT_EQUAL(current.bytes[0], 0x77);
    mr_reset_token(&p->side[MR_SERVER].ep->tokens, mr_cid_view(&peer_conn(p)->peer_cids[1].cid),
                   tokens[1]); /* of CID 1, which nobody has used */
    memset(tokens[2], 0x77 ^ 0xff, MR_RESET_TOKEN);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_TRUE(mr_conn_is_alive(peer_conn(p)));
        memcpy(bytes + 44, tokens[i], MR_RESET_TOKEN);
        peer_deliver(p, bytes, sizeof(bytes));
    }
    CU_ASSERT_FALSE(mr_conn_is_alive(peer_conn(p)));
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"malformed CID frames are refused", malformed_cid_frames_are_refused},
    {"more CIDs than the limit end the connection", more_cids_than_the_limit_end_the_connection},
    {"Retire Prior To is obeyed", retire_prior_to_is_obeyed},
    {"a repeated frame is no error", a_repeated_frame_is_no_error},
    {"a peer without CID cannot give one", a_peer_without_cid_cannot_give_one},
    {"a flood of retirements is bounded", a_flood_of_retirements_is_bounded},
    {"retirements survive probes and losses", retirements_survive_probes_and_losses},
    {"a retired CID of ours is replaced", a_retired_cid_of_ours_is_replaced},
    {"no CID beyond 32 bits", no_cid_beyond_32_bits},
    {"a stateless reset is shorter than its trigger",
     a_stateless_reset_is_shorter_than_its_trigger},
    {"stateless resets are rationed", stateless_resets_are_rationed},
    {"a stateless reset ends the connection", a_stateless_reset_ends_the_connection},
    {"a stateless reset with a random CID ends the connection",
     a_stateless_reset_with_a_random_cid_ends_the_connection},
    {"any datagram that cannot be read may be a reset",
     any_datagram_that_cannot_be_read_may_be_a_reset},
    {"a reset connection drains", a_reset_connection_drains},
    {"tokens of unused and retired CIDs do not count",
     tokens_of_unused_and_retired_cids_do_not_count},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9000 connection IDs", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
