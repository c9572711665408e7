/*
 * tests/conformance/test_rfc9000_paths.c - RFC 9000, Sections 8.2, 9, 19.17, 19.18: path validation
 * and peers that change their address.
 */
#include "tests/support/peer_cases.h"

#define C MR_CLIENT
#define S MR_SERVER

static const char challenge[] = "\x1a\1\2\3\4\5\6\7\10";

/* Section 8.2.2: "On receiving a PATH_CHALLENGE frame, an endpoint MUST respond by echoing the data
 * contained in the PATH_CHALLENGE frame in a PATH_RESPONSE frame."  "An endpoint MUST expand
 * datagrams that contain a PATH_RESPONSE frame to at least the smallest allowed maximum datagram
 * size of 1200 bytes."
 * Section 8.2.2: "An endpoint MUST NOT delay transmission of a packet containing a PATH_RESPONSE
 * frame unless constrained by congestion control." Section 19.17: "The recipient of this frame MUST
 * generate a PATH_RESPONSE frame (Section 19.18) containing the same Data value." */
static void a_challenge_is_answered_and_padded(void)
{
    for (int role = 0; role < 2; role++) {
        struct peer *p = peer_at((enum mr_role)role, PEER_DONE);
        uint8_t frames[1200] = {0};
        struct mr_reader r;

        memcpy(frames, challenge, 9);
        peer_send(p, MR_PACKET_ONE_RTT, frames, 1150);
        const struct peer_packet *packet = peer_find(p, MR_FRAME_PATH_RESPONSE, 0, &r);
        CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
        CU_ASSERT_EQUAL(memcmp(r.at, challenge + 1, 8), 0);
        CU_ASSERT_TRUE(packet->datagram_size >= MR_INITIAL_MIN);
        CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_PATH_RESPONSE), 1);
        /* Section 8.2.2: "An endpoint MUST NOT send more than one PATH_RESPONSE frame in response
         * to one PATH_CHALLENGE frame". */
        peer_clear(p);
        peer_advance(p, 5 * MR_SECOND);
        CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_PATH_RESPONSE), 0);
        peer_end(p);
    }
}

/* Section 8.2.2: "An endpoint MUST expand datagrams that contain a PATH_RESPONSE frame to at least
 * the smallest allowed maximum datagram size of 1200 bytes."  However small the challenge was:
 * nothing limits what a validated address gets. */
static void an_answer_to_a_validated_address_is_padded(void)
{
    for (int role = 0; role < 2; role++) {
        struct peer *p = peer_at((enum mr_role)role, PEER_DONE);
        struct mr_reader r;

        peer_send(p, MR_PACKET_ONE_RTT, challenge, 9);
        const struct peer_packet *packet = peer_find(p, MR_FRAME_PATH_RESPONSE, 0, &r);
        CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
        CU_ASSERT_TRUE(packet->datagram_size >= MR_INITIAL_MIN);
        peer_end(p);
    }
}

/* Section 8.2.2: "A PATH_RESPONSE frame MUST be sent on the network path where the PATH_CHALLENGE
 * frame was received."
 * Section 8.2.1: "Unlike other cases where datagrams are expanded, endpoints MUST NOT discard
 * datagrams that appear to be too small when they contain PATH_CHALLENGE or PATH_RESPONSE."
 * Section 8.2.2: "However, an endpoint MUST NOT expand the datagram containing the PATH_RESPONSE if
 * the resulting data exceeds the anti-amplification limit." */
static void a_challenge_is_answered_where_it_came_from(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_reader r;

    p->path.remote.port = 6000;
    peer_send(p, MR_PACKET_ONE_RTT, challenge, 9); /* a probing packet: no migration */
    const struct peer_packet *packet = peer_find(p, MR_FRAME_PATH_RESPONSE, 0, &r);
    CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
    CU_ASSERT_EQUAL(packet->path.remote.port, 6000);
    CU_ASSERT_TRUE(packet->datagram_size <= 3 * 60); /* not validated: 3x */
    CU_ASSERT_EQUAL(peer_conn(p)->path.addr.remote.port, 5000);
    peer_end(p);
}

/* quic-go CVE-2023-49295: a flood without acknowledgements is answered within limits. */
static void a_flood_of_challenges_is_bounded(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    uint8_t frames[9 * 130];

    for (int i = 0; i < 130; i++)
        memcpy(frames + 9 * i, challenge, 9);
    for (int i = 0; i < 300; i++) {
        peer_clear(p);
        peer_send(p, MR_PACKET_ONE_RTT, frames, sizeof(frames));
        CU_ASSERT_TRUE(peer_endpoint(p)->chunks.used < 16); /* of sent packets' records */
        CU_ASSERT_TRUE(peer_count(p, MR_FRAME_PATH_RESPONSE) <= MR_PATH_RESPONSES_MAX);
        CU_ASSERT_TRUE(peer_endpoint(p)->extras.used <= 1);
    }
    CU_ASSERT_TRUE(peer_counters(p)->limit_path_challenges > 0);
    peer_clear(p);
    peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1);
    CU_ASSERT_TRUE(peer_count(p, MR_FRAME_PATH_RESPONSE) > 0); /* the last ones, when they may go */
    peer_expect_close(p, "flood", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* Section 8.2.2: "An endpoint MUST NOT delay transmission of a packet containing a PATH_RESPONSE
 * frame unless constrained by congestion control."  A peer that moved may send nothing that would
 * open the window before it has the answer.  RFC 9002, Section 7.5: "Probe packets MUST NOT be
 * blocked by the congestion controller": the answer is one of these. */
static void an_answer_that_waits_for_the_window_goes_as_a_probe(void)
{
    for (int role = 0; role < 2; role++) {
        struct peer *p = peer_at((enum mr_role)role, PEER_DONE);
        const struct mr_cc *cc = &peer_conn(p)->path.cc;
        uint8_t frames[1150] = {0};

        for (int i = 0; i < 4; i++)
            memcpy(frames + 9 * i, challenge, 9);
        for (int i = 0; i < 100 && mr_cc_room(cc) >= MR_INITIAL_MIN; i++)
            peer_send(p, MR_PACKET_ONE_RTT, frames, sizeof(frames));
        peer_clear(p);
        peer_send(p, MR_PACKET_ONE_RTT, frames, sizeof(frames));
        CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_PATH_RESPONSE), 0);
        uint64_t ptos = peer_counters(p)->ptos;
        for (int i = 0; i < 2000 && peer_counters(p)->ptos == ptos; i++)
            peer_advance(p, MR_MS);
        CU_ASSERT_EQUAL(peer_counters(p)->ptos, ptos + 1);
        uint32_t count = peer_count(p, MR_FRAME_PATH_RESPONSE);
        CU_ASSERT_TRUE(count > 0 && count <= 2); /* of four that wait */
        CU_ASSERT_EQUAL(mr_conn_extra(peer_endpoint(p), peer_conn(p))->path_response_count,
                        4 - count);
        peer_expect_close(p, "answered by a probe", PEER_NO_CLOSE, 0);
        peer_end(p);
    }
}

static uint16_t port_seen_by_application(struct peer *p)
{
    struct mr_conn_info info;

    CU_ASSERT_EQUAL(mr_conn_info(peer_endpoint(p), p->conn, &info), 0);
    return info.remote.port;
}

/* Section 9.3: "Receiving a packet from a new peer address containing a non-probing frame indicates
 * that the peer has migrated to that address."  nginx CVE-2026-40460: the application sees the old
 * address until the new one is validated.
 * Section 9: "An endpoint MUST perform path validation (Section 8.2) if it detects any change to a
 * peer's address, unless it has previously validated that address." Section 9.3: "If the recipient
 * permits the migration, it MUST send subsequent packets to the new peer address and MUST initiate
 * path validation (Section 8.2) to verify the peer's ownership of the address if validation is not
 * already underway." */
static void a_rebinding_is_validated(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_reader r;

    p->path.remote.port = 6000;
    PEER_SEND(p, "\x08\x00hello");
    const struct peer_packet *packet = peer_challenge_here(p, 0, &r);
    CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
    CU_ASSERT_EQUAL(packet->path.remote.port, 6000);
    CU_ASSERT_EQUAL(port_seen_by_application(p), 5000);
    CU_ASSERT_FALSE(peer_conn(p)->path.is_validated);
    PEER_SEND(p, "\x1b\1\2\3\4\5\6\7\10"); /* not the right one */
    CU_ASSERT_FALSE(peer_conn(p)->path.is_validated);
    CU_ASSERT_TRUE(peer_answer_challenge(p, 0));
    CU_ASSERT_TRUE(peer_conn(p)->path.is_validated);
    CU_ASSERT_EQUAL(port_seen_by_application(p), 6000);
    CU_ASSERT_EQUAL(peer_counters(p)->paths_validated, 1);
    CU_ASSERT_EQUAL(peer_counters(p)->rebindings, 1);
    peer_end(p);
}

/* Section 8.2.1: "To ensure that the path MTU is large enough, the endpoint MUST perform a second
 * path validation by sending a PATH_CHALLENGE frame in a datagram of at least 1200 bytes."
 * Section 8.2.1: "An endpoint MUST expand datagrams that contain a PATH_CHALLENGE frame to at least
 * the smallest allowed maximum datagram size of 1200 bytes" Section 8.2.3: "However, the endpoint
 * MUST initiate another path validation with an expanded datagram to verify that the path supports
 * the required MTU." */
static void a_path_validated_with_small_datagrams_is_validated_again(void)
{
    for (int is_answered = 0; is_answered < 2; is_answered++) {
        struct peer *p = peer_at(S, PEER_DONE);
        struct mr_reader r;

        p->path.remote.port = 6000;
        PEER_SEND(p, "\x08\x00hello");
        const struct peer_packet *packet = peer_challenge_here(p, 0, &r);
        CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
        CU_ASSERT_TRUE(packet->datagram_size < MR_INITIAL_MIN); /* three times what came */
        CU_ASSERT_TRUE(peer_answer_challenge(p, 0));
        packet = peer_challenge_here(p, 1, &r);
        CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
        CU_ASSERT_TRUE(packet->datagram_size >= MR_INITIAL_MIN);
        if (is_answered != 0) {
            peer_answer_challenge(p, 1);
            CU_ASSERT_EQUAL(peer_conn(p)->app.wants & MR_WANT_PATH_CHALLENGE, 0);
        }
        peer_advance(p, 10 * MR_SECOND); /* without an answer, the address is good all the same */
        CU_ASSERT_EQUAL(port_seen_by_application(p), 6000);
        CU_ASSERT_EQUAL(peer_counters(p)->paths_validated, 1);
        CU_ASSERT_EQUAL(peer_counters(p)->paths_failed, is_answered != 0 ? 0 : 1);
        peer_expect_close(p, "second validation", PEER_NO_CLOSE, 0);
        peer_end(p);
    }
}

/* Section 9.3.2: "To protect the connection from failing due to such a spurious migration, an
 * endpoint MUST revert to using the last validated peer address when validation of a new peer
 * address fails."
 * Section 9.3: "An endpoint MAY send data to an unvalidated peer address, but it MUST protect
 * against potential attacks as described in Sections 9.3.1 and 9.3.2." */
static void a_migration_that_is_not_validated_is_taken_back(void)
{
    struct peer *p = peer_at(S, PEER_DONE);

    p->path.remote.port = 6000;
    PEER_SEND(p, "\x08\x00hello");
    CU_ASSERT_EQUAL(peer_conn(p)->path.addr.remote.port, 6000);
    peer_advance(p, 10 * MR_SECOND);
    CU_ASSERT_TRUE(mr_conn_is_alive(peer_conn(p)));
    CU_ASSERT_EQUAL(peer_conn(p)->path.addr.remote.port, 5000);
    CU_ASSERT_EQUAL(port_seen_by_application(p), 5000);
    CU_ASSERT_EQUAL(peer_counters(p)->paths_failed, 1);
    peer_end(p);
}

/* Section 8: "an endpoint MUST limit the amount of data it sends to the unvalidated address to
 * three times the amount of data received from that address." */
static void send_much_to_an_unvalidated_address(uint8_t host, uint16_t port)
{
    static const uint8_t data[60000];
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_view view = {.data = data, .size = sizeof(data)};
    uint64_t bytes = 0;
    struct mr_reader r;

    PEER_SEND(p, "\x08\x00hello");
    const struct peer_event *event = peer_event(p, MR_EVENT_STREAM_OPENED);
    CU_ASSERT_PTR_NOT_NULL_FATAL(event);
    peer_clear(p);
    p->path.remote.ip[15] = host;
    p->path.remote.port = port;
    CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), event->event.stream, &view, 1, 0), 0);
    PEER_SEND(p, "\x01");
    peer_advance(p, 100 * MR_MS);
    for (uint32_t i = 0; i < p->inbox_count; i++)
        bytes += mr_path_addr_equal(&p->inbox[i].path, &p->path) ? p->inbox[i].datagram_size : 0;
    CU_ASSERT_TRUE(bytes > 0 && bytes <= 3 * 30);
    CU_ASSERT_PTR_NOT_NULL(peer_challenge_here(p, 0, &r));
    peer_end(p);
}

/* Section 8: "Therefore, after receiving packets from an address that is not yet validated, an
 * endpoint MUST limit the amount of data it sends to the unvalidated address to three times the
 * amount of data received from that address." Section 9.3: "An endpoint MAY send data to an
 * unvalidated peer address, but it MUST protect against potential attacks as described in
 * Sections 9.3.1 and 9.3.2." */
static void an_unvalidated_address_gets_three_times_what_came(void)
{
    send_much_to_an_unvalidated_address(2, 6000);
    send_much_to_an_unvalidated_address(99, 5000);
}

/* Section 9.3: "An endpoint only changes the address to which it sends packets in response to the
 * highest-numbered non-probing packet." */
static void an_overtaken_packet_from_elsewhere_is_no_migration(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct peer_out ping = {.type = MR_PACKET_ONE_RTT, .frames = "\x01", .size = 1};

    ping.pn = p->next_pn[MR_SPACE_APP] + 10;
    peer_send_packet(p, &ping);
    p->path.remote.port = 6000;
    ping.pn -= 5;
    peer_send_packet(p, &ping);
    CU_ASSERT_EQUAL(peer_conn(p)->path.addr.remote.port, 5000);
    CU_ASSERT_EQUAL(peer_counters(p)->rebindings, 0);
    peer_end(p);
}

/* Section 9.1: PATH_CHALLENGE, PATH_RESPONSE, NEW_CONNECTION_ID and PADDING are probing frames. */
static void probing_packets_are_no_migration(void)
{
    struct peer *p = peer_at(S, PEER_DONE);

    p->path.remote.port = 6000;
    PEER_SEND(p, "\x1b\1\2\3\4\5\6\7\10\0\0\0");
    PEER_SEND(p, "\x1a\1\2\3\4\5\6\7\10");
    CU_ASSERT_EQUAL(peer_conn(p)->path.addr.remote.port, 5000);
    PEER_SEND(p, "\x1a\1\2\3\4\5\6\7\10\x01");
    CU_ASSERT_EQUAL(peer_conn(p)->path.addr.remote.port, 6000);
    peer_end(p);
}

/* Section 9: "An endpoint MUST NOT initiate connection migration before the handshake is
 * confirmed"; a client's address does not change under it either. */
static void nobody_migrates_before_the_handshake_is_confirmed(void)
{
    struct peer *p = peer_at(S, PEER_FLIGHT);

    p->path.remote.port = 6000;
    peer_send(p, MR_PACKET_HANDSHAKE, "\x01", 1);
    CU_ASSERT_EQUAL(peer_conn(p)->path.addr.remote.port, 5000);
    peer_end(p);
    p = peer_at(C, PEER_DONE); /* Section 9: a server does not migrate at all */
    p->path.remote.port = 6000;
    PEER_SEND(p, "\x01");
    CU_ASSERT_EQUAL(peer_conn(p)->path.addr.remote.port, 443);
    peer_end(p);
}

/* Section 9.5: "an endpoint MUST NOT reuse a connection ID when sending to more than one
 * destination address". */
static void a_migration_changes_the_connection_id(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_reader r;

    p->path.remote.ip[15] = 99;
    PEER_SEND(p, "\x01");
    const struct peer_packet *packet = peer_challenge_here(p, 0, &r);
    CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
    CU_ASSERT_NOT_EQUAL(memcmp(packet->dcid.bytes, p->scid.bytes, PEER_CID_SIZE), 0);
    CU_ASSERT_TRUE(peer_answer_challenge(p, 0));
    CU_ASSERT_EQUAL(peer_counters(p)->migrations, 1);
    peer_advance(p, 10 * MR_SECOND); /* the old path is asked first whether it lives */
    CU_ASSERT_TRUE(peer_count(p, MR_FRAME_RETIRE_CONNECTION_ID) >= 1);
    peer_expect_close(p, "migration", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* Fifty addresses in a row: nothing grows, nothing breaks. */
static void many_rebindings_are_endured(void)
{
    struct peer *p = peer_at(S, PEER_DONE);

    for (uint16_t i = 0; i < 50; i++) {
        p->path.remote.port = (uint16_t)(6000 + i);
        if (i % 3 == 0)
            p->path.remote.ip[15] ^= 1;
        peer_clear(p);
        PEER_SEND(p, "\x01");
        if (i % 4 == 0)
            peer_answer_challenge(p, 0);
        peer_advance(p, 10 * MR_MS);
    }
    peer_expect_close(p, "rebindings", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* A datagram from where the peer is now, with the given connection ID of the endpoint's. */
static void send_to_cid(struct peer *p, uint32_t slot, const char *frames, size_t size)
{
    struct mr_cid dcid = {.size = PEER_CID_SIZE};
    struct peer_out out = {.type = MR_PACKET_ONE_RTT,
                           .frames = frames,
                           .size = size,
                           .pn = PEER_NEXT_PN,
                           .dcid = &dcid};

    memcpy(dcid.bytes, &peer_conn(p)->issued.key[slot], PEER_CID_SIZE);
    peer_send_packet(p, &out);
}

/* Section 9.3.3: "In response to an apparent migration, endpoints MUST validate the previously
 * active path using a PATH_CHALLENGE frame." */
static void the_path_that_is_left_is_asked_whether_it_lives(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_path_addr old = p->path;
    struct mr_reader r;

    p->path.remote.ip[15] = 99;
    PEER_SEND(p, "\x01");
    CU_ASSERT_PTR_NOT_NULL(peer_challenge_here(p, 0, &r));
    struct mr_path_addr new = p->path;
    p->path = old;
    const struct peer_packet *packet = peer_challenge_here(p, 0, &r);
    CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
    CU_ASSERT_TRUE(packet->datagram_size >= MR_INITIAL_MIN); /* it is validated */
    CU_ASSERT_EQUAL(memcmp(packet->dcid.bytes, p->scid.bytes, PEER_CID_SIZE), 0); /* and its own */

    /* "A non-probing packet received on the original path that increases the maximum received
     * packet number will cause the endpoint to move back to that path." */
    peer_clear(p);
    PEER_SEND(p, "\x01");
    CU_ASSERT_TRUE(mr_path_addr_equal(&peer_conn(p)->path.addr, &old));
    CU_ASSERT_TRUE(peer_conn(p)->path.is_validated);
    CU_ASSERT_PTR_NULL(peer_challenge_here(p, 0, &r));
    p->path = new; /* nor is the attacker's asked any more */
    peer_advance(p, 5 * MR_SECOND);
    CU_ASSERT_PTR_NULL(peer_challenge_here(p, 0, &r));
    CU_ASSERT_PTR_NULL(peer_event(p, MR_EVENT_PATH_CHANGED));
    CU_ASSERT_EQUAL(peer_endpoint(p)->extras.used, 0);
    peer_expect_close(p, "back", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* Section 9.3.3: "An endpoint that receives a PATH_CHALLENGE on an active path SHOULD send a
 * non-probing packet in response." */
static void a_challenge_by_the_active_path_is_answered_with_more_than_a_probe(void)
{
    for (int role = 0; role < 2; role++) {
        struct peer *p = peer_at((enum mr_role)role, PEER_DONE);

        peer_send(p, MR_PACKET_ONE_RTT, challenge, 9);
        CU_ASSERT_TRUE(peer_count(p, MR_FRAME_ACK) + peer_count(p, MR_FRAME_ACK_ECN) > 0);
        CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_PATH_RESPONSE), 1);
        peer_end(p);
    }
}

/* Section 8.2.1: "The endpoint MUST use unpredictable data in every PATH_CHALLENGE frame so that it
 * can associate the peer's response with the corresponding PATH_CHALLENGE." */
static void every_challenge_has_data_of_its_own(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    static const uint8_t frames[1100] = {MR_FRAME_PING};
    struct mr_reader r[2];

    p->path.remote.port = 6000;
    peer_send(p, MR_PACKET_ONE_RTT, frames, sizeof(frames));
    peer_advance(p, 100 * MR_MS);
    CU_ASSERT_PTR_NOT_NULL_FATAL(peer_challenge_here(p, 0, &r[0]));
    CU_ASSERT_PTR_NOT_NULL_FATAL(peer_challenge_here(p, 1, &r[1]));
    CU_ASSERT_NOT_EQUAL(memcmp(r[0].at, r[1].at, MR_PATH_DATA), 0);
    CU_ASSERT_TRUE(peer_answer_challenge(p, 0)); /* the answer to an earlier one is good */
    CU_ASSERT_EQUAL(port_seen_by_application(p), 6000);
    const struct peer_event *event = peer_event(p, MR_EVENT_PATH_CHANGED);
    CU_ASSERT_PTR_NOT_NULL(event);
    peer_end(p);
}

/* Section 8.2.1: "The endpoint MUST expand datagrams [...] unless the anti-amplification limit for
 * the path does not permit sending a datagram of this size."  A client that only receives says
 * little after its address has changed: what it says must do for more than one challenge. */
static void a_lost_challenge_is_repeated_although_little_may_be_sent(void)
{
    static const uint8_t data[60000];
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_view view = {.data = data, .size = sizeof(data)};
    struct mr_reader r;

    PEER_SEND(p, "\x08\x00hello");
    mr_handle stream = peer_event(p, MR_EVENT_STREAM_OPENED)->event.stream;
    CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), stream, &view, 1, 0), 0);
    peer_drain(p);
    peer_clear(p);
    p->path.remote.ip[15] = 99;
    for (uint64_t i = 0; i < 6; i++)
        PEER_SEND(p, "\x01");
    peer_advance(p, 2 * MR_SECOND);
    CU_ASSERT_PTR_NOT_NULL(peer_challenge_here(p, 0, &r));
    CU_ASSERT_TRUE(peer_answer_challenge(p, 1)); /* the first was lost */
    CU_ASSERT_TRUE(peer_conn(p)->path.is_validated);
    peer_end(p);
}

/* Section 9.6.3: "Servers SHOULD initiate path validation to the client's new address upon
 * receiving a probe packet from a different address".  Whoever is validated there already needs no
 * more when the client comes. */
static void a_probed_path_is_validated_before_the_client_comes(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    static char probe[1160] = "\x1a\1\2\3\4\5\6\7\10";
    struct mr_reader r;

    p->path.remote.ip[15] = 99;
    send_to_cid(p, 1, probe, sizeof(probe));
    const struct peer_packet *packet = peer_find(p, MR_FRAME_PATH_RESPONSE, 0, &r);
    CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
    CU_ASSERT_TRUE(packet->datagram_size >= MR_INITIAL_MIN);
    CU_ASSERT_EQUAL(packet->path.remote.ip[15], 99);
    CU_ASSERT_NOT_EQUAL(memcmp(packet->dcid.bytes, p->scid.bytes, PEER_CID_SIZE), 0);
    CU_ASSERT_EQUAL(peer_challenge_here(p, 0, &r), packet); /* both in one */
    CU_ASSERT_EQUAL(peer_conn(p)->path.addr.remote.ip[15], 2);
    memcpy(probe, "\x1b", 1);
    memcpy(probe + 1, r.at, 8);
    send_to_cid(p, 1, probe, sizeof(probe));
    CU_ASSERT_EQUAL(peer_conn(p)->path.addr.remote.ip[15], 2);
    peer_clear(p);
    send_to_cid(p, 1, "\x01", 1);
    CU_ASSERT_EQUAL(peer_conn(p)->path.addr.remote.ip[15], 99);
    CU_ASSERT_TRUE(peer_conn(p)->path.is_validated);
    CU_ASSERT_PTR_NULL(peer_challenge_here(p, 0, &r));
    CU_ASSERT_PTR_NOT_NULL(peer_event(p, MR_EVENT_PATH_CHANGED));
    CU_ASSERT_EQUAL(peer_counters(p)->migrations, 1);
    peer_advance(p, 10 * MR_SECOND);
    CU_ASSERT_EQUAL(peer_endpoint(p)->extras.used, 0);
    peer_end(p);
}

/* Section 9.4: "Packets sent on the old path MUST NOT contribute to congestion control or RTT
 * estimation for the new path."
 * Section 9.4: "On confirming a peer's ownership of its new address, an endpoint MUST immediately
 * reset the congestion controller and round-trip time estimator for the new path to initial values
 * (see Appendices A.3 and B.3 of [QUIC-RECOVERY]) unless the only change in the peer's address is
 * its port number." */
static void packets_of_the_old_path_say_nothing_about_the_new_one(void)
{
    static const uint8_t data[4000];
    struct mr_view view = {.data = data, .size = sizeof(data)};

    for (int is_lost = 0; is_lost < 2; is_lost++) {
        struct peer *p = peer_at(S, PEER_DONE);
        struct mr_conn *conn = peer_conn(p);

        PEER_SEND(p, "\x08\x00hello");
        uint64_t first = p->expected_pn[MR_SPACE_APP];
        mr_handle stream = peer_event(p, MR_EVENT_STREAM_OPENED)->event.stream;
        CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), stream, &view, 1, 0), 0);
        peer_drain(p);
        uint64_t last = p->expected_pn[MR_SPACE_APP] - 1;
        CU_ASSERT_TRUE(last > first);
        p->path.remote.ip[15] = 99;
        PEER_SEND(p, "\x01");
        CU_ASSERT_TRUE(peer_answer_challenge(p, 0));
        uint64_t window = mr_cc_window(&conn->path.cc);
        uint64_t in_flight = conn->path.cc.in_flight;
        CU_ASSERT_TRUE(window > 10000);
        if (is_lost != 0) {
            peer_ack(p, p->expected_pn[MR_SPACE_APP] - 1, p->expected_pn[MR_SPACE_APP] - 1);
            CU_ASSERT_TRUE(conn->packets_lost > 0);
            CU_ASSERT_TRUE(mr_cc_window(&conn->path.cc) >= window);
        } else {
            peer_advance(p, MR_MS);
            peer_ack(p, first, last);
            CU_ASSERT_FALSE(mr_rtt_has_sample(&conn->path.rtt));
            CU_ASSERT_EQUAL(mr_cc_window(&conn->path.cc), window);
            CU_ASSERT_TRUE(conn->path.cc.in_flight >= in_flight);
        }
        peer_end(p);
    }
}

/* To and fro between two addresses: each finds its own window, and none a larger one. */
static void going_to_and_fro_gains_no_window(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_conn *conn = peer_conn(p);
    uint64_t minimum = mr_cc_minimum(&conn->path.cc);

    mr_cc_set_window(&conn->path.cc, minimum);
    for (uint8_t i = 0; i < 20; i++) {
        peer_clear(p);
        p->path.remote.ip[15] = i % 2 == 0 ? 99 : 2;
        PEER_SEND(p, "\x01");
        peer_answer_challenge(p, 0);
        CU_ASSERT_TRUE(conn->path.is_validated);
        if (i % 2 != 0)
            CU_ASSERT_EQUAL(mr_cc_window(&conn->path.cc), minimum);
        peer_advance(p, 10 * MR_MS);
    }
    peer_end(p);
}

/* Ever new addresses: the first one has an initial window, the others what was there. */
static void a_storm_of_migrations_gains_no_window(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_conn *conn = peer_conn(p);
    uint64_t challenges = peer_counters(p)->path_challenges_sent;

    for (uint8_t i = 0; i < 50; i++) {
        peer_clear(p);
        p->path.remote.ip[15] = (uint8_t)(100 + i);
        PEER_SEND(p, "\x01");
        if (i == 0)
            mr_cc_set_window(&conn->path.cc, mr_cc_minimum(&conn->path.cc));
        peer_answer_challenge(p, 0);
        CU_ASSERT_EQUAL(mr_cc_window(&conn->path.cc), mr_cc_minimum(&conn->path.cc));
        peer_advance(p, 10 * MR_MS);
        CU_ASSERT_TRUE(peer_endpoint(p)->extras.used <= 1);
    }
    CU_ASSERT_TRUE(peer_counters(p)->limit_path_windows > 10);
    CU_ASSERT_TRUE(peer_counters(p)->path_challenges_sent - challenges < 5 * 50);
    peer_expect_close(p, "storm", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* Section 9.3: "If the recipient has no unused connection IDs from the peer, it will not be able to
 * send anything on the new path until the peer provides one".  Section 9.5: "an endpoint might
 * receive packets from a new source address with the same Destination Connection ID field value, in
 * which case it MAY continue to use the current connection ID". */
static void without_connection_ids_only_a_nat_is_followed(void)
{
    for (int is_nat = 0; is_nat < 2; is_nat++) {
        struct peer *p = peer_at(S, PEER_DONE);

        for (uint32_t i = 0; i < MR_CIDS_PEER_MAX; i++)
            peer_conn(p)->peer_cids[i].is_used = i == peer_conn(p)->peer_cid_current;
        p->path.remote.ip[15] = 99;
        send_to_cid(p, 1, challenge, 9);
        CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_PATH_RESPONSE), 0);
        CU_ASSERT_EQUAL(peer_counters(p)->limit_path_cids, 1);
        send_to_cid(p, is_nat != 0 ? 0 : 1, "\x01", 1);
        CU_ASSERT_EQUAL(peer_conn(p)->path.addr.remote.ip[15], is_nat != 0 ? 99 : 2);
        CU_ASSERT_EQUAL(peer_counters(p)->limit_path_cids, is_nat != 0 ? 1 : 2);
        peer_expect_close(p, "no connection IDs", PEER_NO_CLOSE, 0);
        peer_end(p);
    }
}

/* Sections 21.5.4 and 9.3.1: a server does not send to whoever a client names. */
static void addresses_that_no_client_has_are_refused(void)
{
    static const struct {
        const char *name;
        uint8_t ip[4];
        uint16_t port;
        bool is_good;
    } cases[] = {
        {"an ordinary one", {198, 18, 0, 99}, 6000, true},
        {"the server's own", {198, 18, 0, 1}, 443, false},
        {"loopback", {127, 0, 0, 1}, 443, false},
        {"multicast", {224, 0, 0, 1}, 5000, false},
        {"broadcast", {255, 255, 255, 255}, 5000, false},
        {"this network", {0, 0, 0, 0}, 5000, false},
        {"port 0", {198, 18, 0, 2}, 0, false},
        {"character generator", {198, 18, 0, 2}, 19, false},
        {"DNS", {198, 18, 0, 99}, 53, false},
        {"NTP", {198, 18, 0, 2}, 123, false},
        {"memcached", {198, 18, 0, 2}, 11211, false},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct peer *p = peer_at(S, PEER_DONE);

        memcpy(p->path.remote.ip + 12, cases[i].ip, 4);
        p->path.remote.port = cases[i].port;
        send_to_cid(p, 1, challenge, 9);
        PEER_SEND(p, "\x01");
        peer_advance(p, MR_SECOND);
        uint32_t count = 0;
        for (uint32_t k = 0; k < p->inbox_count; k++)
            count += mr_path_addr_equal(&p->inbox[k].path, &p->path);
        if ((count > 0) != cases[i].is_good)
            fprintf(stderr, "# %s\n", cases[i].name);
        CU_ASSERT_EQUAL(count > 0, cases[i].is_good);
        CU_ASSERT_EQUAL(peer_counters(p)->paths_refused, cases[i].is_good ? 0 : 2);
        peer_end(p);
    }
}

/* Probes from ever new addresses: one is answered at a time, and what is answered is bounded. */
static void probes_from_many_addresses_are_bounded(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    static char probe[1160] = "\x1a\1\2\3\4\5\6\7\10";
    uint32_t answered = 0;

    for (uint32_t i = 0; i < 60; i++) {
        peer_clear(p);
        p->path.remote.port = (uint16_t)(6000 + (i < 30 ? i : 30));
        send_to_cid(p, 1 + i % (MR_CIDS_ISSUED_MAX - 1), probe, sizeof(probe));
        answered += peer_count(p, MR_FRAME_PATH_RESPONSE);
        CU_ASSERT_TRUE(peer_endpoint(p)->chunks.used < 16);
    }
    CU_ASSERT_TRUE(answered == 1);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_path_candidates, 59);
    p->path.remote.port = 6000; /* the one, without acknowledging anything */
    for (uint32_t i = 0; i < 60; i++) {
        peer_clear(p);
        send_to_cid(p, 1, probe, sizeof(probe));
        answered += peer_count(p, MR_FRAME_PATH_RESPONSE);
    }
    CU_ASSERT_TRUE(answered <= MR_SIDE_PACKETS_MAX);
    CU_ASSERT_TRUE(peer_counters(p)->limit_path_packets > 0);
    CU_ASSERT_EQUAL(peer_conn(p)->path.cc.in_flight, 0);
    p->path.remote.port = 5000;
    peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1);
    CU_ASSERT_EQUAL(peer_conn(p)->side_packets, 0);
    peer_advance(p, 10 * MR_SECOND); /* the candidate is given up, its connection ID retired */
    CU_ASSERT_EQUAL(peer_endpoint(p)->extras.used, 0);
    peer_expect_close(p, "probes", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* RFC 9000, Section 21.5: a datagram of no connection from a reflector's port is somebody's answer
 * to what was sent in our name. */
static void nobody_is_accepted_from_a_reflectors_port(void)
{
    struct peer *p = peer_at(S, PEER_NOTHING);
    uint8_t bytes[1200] = {0xc0, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0};

    p->path.remote.port = 53;
    peer_deliver(p, bytes, sizeof(bytes));
    bytes[4] = 0x77; /* nor answered with Version Negotiation */
    peer_deliver(p, bytes, sizeof(bytes));
    bytes[0] = 0x40; /* nor with a stateless reset */
    peer_deliver(p, bytes, sizeof(bytes));
    CU_ASSERT_EQUAL(p->datagrams, 0);
    CU_ASSERT_EQUAL(peer_counters(p)->dropped_reflector, 3);
    p->path.remote.port = 5000;
    peer_deliver(p, bytes, sizeof(bytes));
    CU_ASSERT_EQUAL(p->datagrams, 1);
    CU_ASSERT_TRUE(peer_free(p));
}

static CU_TestInfo tests[] = {
    {"a challenge is answered and padded", a_challenge_is_answered_and_padded},
    {"an answer to a validated address is padded", an_answer_to_a_validated_address_is_padded},
    {"a challenge is answered where it came from", a_challenge_is_answered_where_it_came_from},
    {"a flood of challenges is bounded", a_flood_of_challenges_is_bounded},
    {"8.2.2: an answer that waits for the window goes as a probe",
     an_answer_that_waits_for_the_window_goes_as_a_probe},
    {"a rebinding is validated", a_rebinding_is_validated},
    {"a path validated with small datagrams is validated again",
     a_path_validated_with_small_datagrams_is_validated_again},
    {"a migration that is not validated is taken back",
     a_migration_that_is_not_validated_is_taken_back},
    {"an unvalidated address gets three times what came",
     an_unvalidated_address_gets_three_times_what_came},
    {"an overtaken packet from elsewhere is no migration",
     an_overtaken_packet_from_elsewhere_is_no_migration},
    {"probing packets are no migration", probing_packets_are_no_migration},
    {"nobody migrates before the handshake is confirmed",
     nobody_migrates_before_the_handshake_is_confirmed},
    {"a migration changes the connection ID", a_migration_changes_the_connection_id},
    {"many rebindings are endured", many_rebindings_are_endured},
    {"the path that is left is asked whether it lives",
     the_path_that_is_left_is_asked_whether_it_lives},
    {"a challenge by the active path is answered with more than a probe",
     a_challenge_by_the_active_path_is_answered_with_more_than_a_probe},
    {"every challenge has data of its own", every_challenge_has_data_of_its_own},
    {"a lost challenge is repeated although little may be sent",
     a_lost_challenge_is_repeated_although_little_may_be_sent},
    {"a probed path is validated before the client comes",
     a_probed_path_is_validated_before_the_client_comes},
    {"packets of the old path say nothing about the new one",
     packets_of_the_old_path_say_nothing_about_the_new_one},
    {"going to and fro gains no window", going_to_and_fro_gains_no_window},
    {"a storm of migrations gains no window", a_storm_of_migrations_gains_no_window},
    {"without connection IDs only a NAT is followed",
     without_connection_ids_only_a_nat_is_followed},
    {"addresses that no client has are refused", addresses_that_no_client_has_are_refused},
    {"probes from many addresses are bounded", probes_from_many_addresses_are_bounded},
    {"nobody is accepted from a reflector's port", nobody_is_accepted_from_a_reflectors_port},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9000 paths", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
