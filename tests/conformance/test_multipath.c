/*
 * tests/conformance/test_multipath.c - draft-ietf-quic-multipath, Sections 2 and 3: how paths come
 * and go, and what is sent by which.
 */
#include "quic/aead_backend.h"
#include "tests/support/peer_paths.h"

#define C MR_CLIENT
#define S MR_SERVER
#define CHALLENGE                                                                                  \
    "\x1a"                                                                                         \
    "12345678"
#define PATH_ABANDON "\x7e\x75"

/* ------------------------------------------------------------------ packet protection */

/* Section 2.4: "assuming the IV value is 0x6b26114b9cba2b63a9e8dd4f, the path ID is 3, and the
 * packet number is 54321 (hex value 0xd431), the nonce will be set to 0x6b2611489cba2b63a9e8097e".
 */
static void the_nonce_has_the_path_id(void)
{
    static const uint8_t iv[] = {0x6b, 0x26, 0x11, 0x4b, 0x9c, 0xba,
                                 0x2b, 0x63, 0xa9, 0xe8, 0xdd, 0x4f};
    static const uint8_t expected[] = {0x6b, 0x26, 0x11, 0x48, 0x9c, 0xba,
                                       0x2b, 0x63, 0xa9, 0xe8, 0x09, 0x7e};
    uint8_t nonce[MR_AEAD_IV];

    mr_nonce(nonce, iv, 3, 54321);
    CU_ASSERT_EQUAL(memcmp(nonce, expected, sizeof(nonce)), 0);
}

static void a_packet_is_of_the_path_of_its_connection_id(void)
{
    struct peer *p = peer_several(S, PEER_DONE);
    struct mr_cid dcid = peer_path_cid(p, 1, 0);
    uint64_t before = peer_counters(p)->dropped_undecryptable;

    peer_send_packet(p, &(struct peer_out){.type = MR_PACKET_ONE_RTT,
                                           .frames = "\1",
                                           .size = 1,
                                           .pn = 0,
                                           .dcid = &dcid,
                                           .path_id = 2});
    CU_ASSERT_EQUAL(peer_counters(p)->dropped_undecryptable, before + 1);
    CU_ASSERT_EQUAL(peer_path_record(p, 1)->life.state, MR_PATH_UNUSED);
    /* Section 1: "Each path ID-specific packet number space starts at packet number 0." */
    peer_send_by(p, 1, 0, "\1", 1);
    CU_ASSERT_EQUAL(peer_path_record(p, 1)->app.received.range[0].hi, 0);
    CU_ASSERT(peer_conn(p)->app.received.range[0].hi > 0);
    peer_end(p);
}

/* ------------------------------------------------------------------ opening */

/* Section 3.2.1: "it is RECOMMENDED to proactively issue at least one Connection ID for each unused
 * path ID up to the minimum of the peer's and the local maximum path ID limits"; "Endpoints MUST
 * NOT issue new connection IDs with path IDs greater than the Maximum Path Identifier". */
static void connection_ids_are_given_for_each_path_id(void)
{
    struct peer *p = peer_new(&(struct peer_options){.under_test = S,
                                                     .extensions = MR_EXTENSION_MULTIPATH,
                                                     .partner_extensions = MR_EXTENSION_MULTIPATH,
                                                     .paths_max = PEER_SEVERAL});
    uint32_t given[PEER_SEVERAL + 1] = {0};
    struct mr_frame_new_connection_id frame;
    struct mr_reader r;
    uint64_t path;

    peer_run(p, PEER_BOTH);
    for (int i = 0; i < 4; i++)
        peer_round_trip(p);
    for (uint32_t i = 0; peer_find(p, MR_FRAME_PATH_NEW_CONNECTION_ID, i, &r) != NULL; i++) {
        CU_ASSERT(mr_frame_decode_path_new_connection_id(&r, MR_FRAME_PATH_NEW_CONNECTION_ID, &path,
                                                         &frame));
        given[MR_MIN(path, (uint64_t)PEER_SEVERAL)]++;
        CU_ASSERT_EQUAL(frame.sequence < (path == 0 ? MR_CIDS_ISSUED_MAX : MR_PATH_CIDS), true);
    }
    for (int i = 1; i < PEER_SEVERAL; i++)
        CU_ASSERT_EQUAL(given[i], MR_PATH_CIDS);
    CU_ASSERT_EQUAL(given[PEER_SEVERAL], 0);
    peer_end(p);
}

/* Section 3.1: "To open a new path, an endpoint MUST use a new connection ID associated with an
 * unused path ID"; "A client that wants to use a new path MUST validate the peer's address"; "Each
 * endpoint MUST also validate that a minimum QUIC packet MTU of 1200 bytes is supported on the
 * path." */
static void a_client_opens_a_path(void)
{
    struct peer *p = peer_several(C, PEER_BOTH);
    struct mr_path_info info[PEER_SEVERAL];
    struct mr_reader r;

    CU_ASSERT_EQUAL(peer_open_path(p), 1);
    const struct peer_packet *packet = peer_find(p, MR_FRAME_PATH_CHALLENGE, 0, &r);
    CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
    CU_ASSERT_EQUAL(packet->path_id, 1);
    CU_ASSERT_EQUAL(packet->path.local.port, PEER_OTHER_PORT);
    CU_ASSERT(packet->datagram_size >= MR_INITIAL_MIN);
    CU_ASSERT_EQUAL(mr_conn_paths(peer_endpoint(p), p->conn, info, PEER_SEVERAL), 2);
    CU_ASSERT_EQUAL(info[1].state, MR_PATH_INFO_CHECKING);
    for (int i = 0; i < 4; i++)
        peer_round_trip(p);
    CU_ASSERT_EQUAL(mr_conn_paths(peer_endpoint(p), p->conn, info, PEER_SEVERAL), 2);
    CU_ASSERT_EQUAL(info[0].state, MR_PATH_INFO_OPEN);
    CU_ASSERT_EQUAL(info[1].state, MR_PATH_INFO_OPEN);
    CU_ASSERT_EQUAL(info[1].path, 1);
    CU_ASSERT_EQUAL(info[1].local.port, PEER_OTHER_PORT);
    CU_ASSERT(info[1].rtt_ns > 0);
    CU_ASSERT_PTR_NOT_NULL(peer_event(p, MR_EVENT_PATHS_CHANGED));
    CU_ASSERT_PTR_NULL(peer_event(p, MR_EVENT_PATH_CHANGED));
    CU_ASSERT_EQUAL(peer_conn(p)->path.addr.local.port == PEER_OTHER_PORT,
                    false); /* path 0 stays */
    peer_end(p);
}

/* Section 3: "this extension only enables clients to open a new path". */
static void a_server_opens_none(void)
{
    struct peer *p = peer_several(S, PEER_DONE);

    CU_ASSERT_EQUAL(peer_open_path(p), -95); /* EOPNOTSUPP */
    peer_end(p);
}

/* Section 3.1: "After receiving packets from the client on a new path, if the server decides to use
 * the new path, the server MUST validate the peer's address before sending any data"; "Until the
 * client's address is validated, the anti-amplification limit ... applies." */
static void a_server_validates_a_path_before_it_uses_it(void)
{
    struct peer *p = peer_several(S, PEER_DONE);
    struct mr_reader r;

    peer_send_by(p, 1, 0, "\1",
                 1); /* "packets ... that do not contain a PATH_CHALLENGE" are valid */
    uint64_t sent = peer_bytes_by(p, 1);
    CU_ASSERT(sent <= 3 * (1 + 8 + 4 + 1 + 16));
    CU_ASSERT_EQUAL(peer_path_record(p, 1)->life.state, MR_PATH_CHECKING);
    peer_advance(p, 2 * MR_SECOND);
    CU_ASSERT(peer_bytes_by(p, 1) <= 3 * (1 + 8 + 4 + 1 + 16));
    const struct peer_packet *packet = peer_find(p, MR_FRAME_PATH_CHALLENGE, 0, &r);
    CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
    CU_ASSERT_EQUAL(packet->path_id, 1);
    CU_ASSERT_EQUAL(packet->path.remote.port, PEER_OTHER_PORT);
    peer_end(p);

    p = peer_server_with_path();
    CU_ASSERT_PTR_NULL(peer_event(p, MR_EVENT_PATH_CHANGED));
    CU_ASSERT_EQUAL(peer_conn(p)->path.addr.remote.port == PEER_OTHER_PORT, false);
    peer_end(p);
}

/* Section 3.1: "An endpoint MUST use a connection ID associated to the same path ID as used in the
 * packet received by the endpoint when it intends to send packets on the same path"; "If an
 * endpoint sends a PATH_RESPONSE, it MUST be sent on the same path as used by the packet that
 * contained the PATH_CHALLENGE frame, using a connection ID associated with the same path ID." */
static void a_challenge_is_answered_by_its_path(void)
{
    struct peer *p = peer_several(S, PEER_DONE);
    uint8_t padded[1150] = CHALLENGE;
    struct mr_reader r;

    peer_send_by(p, 2, 0, padded, sizeof(padded));
    const struct peer_packet *packet = peer_find(p, MR_FRAME_PATH_RESPONSE, 0, &r);
    CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
    CU_ASSERT_EQUAL(packet->path_id, 2);
    CU_ASSERT_EQUAL(packet->path.remote.port, PEER_OTHER_PORT);
    CU_ASSERT_EQUAL(memcmp(mr_read_bytes(&r, MR_PATH_DATA), "12345678", MR_PATH_DATA), 0);
    peer_end(p);
}

/* Section 2.3: "ACK frames when used with the multipath extension acknowledge packets for the path
 * with path ID 0."  What is sent with new connection IDs acknowledges, though nothing waits for
 * it: on another path it must not say ACK. */
static void a_further_path_acknowledges_with_path_ack(void)
{
    struct peer *p = peer_server_with_path();
    struct mr_reader r;
    uint32_t path_acks = 0;

    peer_conn(p)->path.rtt.smoothed_ns = MR_SECOND; /* path 1 is nearer */
    peer_advance(p, MR_SECOND);
    peer_clear(p);
    CU_ASSERT_EQUAL(peer_conn(p)->app.unacked_count, 0);
    CU_ASSERT_EQUAL(peer_path_record(p, 1)->app.unacked_count, 0);
    CU_ASSERT_EQUAL(mr_conn_renew_cids(peer_endpoint(p), p->conn, p->now), 0);
    peer_drain(p);
    const struct peer_packet *packet = peer_find(p, MR_FRAME_PATH_NEW_CONNECTION_ID, 0, &r);
    CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
    CU_ASSERT_EQUAL(packet->path_id, 1);
    for (uint32_t i = 0; (packet = peer_find(p, MR_FRAME_ACK, i, &r)) != NULL; i++)
        CU_ASSERT_EQUAL(packet->path_id, 0);
    for (uint32_t i = 0; (packet = peer_find(p, MR_FRAME_PATH_ACK, i, &r)) != NULL; i++)
        path_acks += packet->path_id == 1;
    CU_ASSERT(path_acks > 0);
    peer_end(p);
}

/* Section 3.1: "If validation fails, the client MUST NOT use the path ...  As the used path ID is
 * consumed either way, the endpoint MUST explicitly close the path". */
static void a_path_that_is_not_validated_is_abandoned(void)
{
    struct peer *p = peer_several(C, PEER_DONE);
    struct mr_frame_path_value frame;
    struct mr_reader r;

    CU_ASSERT_EQUAL(peer_open_path(p), 1);
    peer_advance(p, 10 * MR_SECOND);
    const struct peer_packet *packet = peer_find(p, MR_FRAME_PATH_ABANDON, 0, &r);
    CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
    CU_ASSERT_EQUAL(packet->path_id, 0);
    CU_ASSERT(mr_frame_decode_path_value(&r, MR_FRAME_PATH_ABANDON, &frame));
    CU_ASSERT_EQUAL(frame.path, 1);
    CU_ASSERT_EQUAL(frame.value, MR_PATH_UNSTABLE_OR_POOR);
    /* "After a path is abandoned, the path ID MUST NOT be reused for new paths" */
    CU_ASSERT_EQUAL(peer_open_path(p), 2);
    peer_end(p);
}

/* Section 3.1.2: "An endpoint could receive a packet with a connection ID associated to an active
 * path ID where the packet's 4-tuple does not match the 4-tuple currently used with that path ID.
 * This MUST be treated as path migration, as specified in Section 9.3 of QUIC-TRANSPORT, with the
 * constraint that all connection IDs used during path migration MUST be associated with the current
 * path ID of the path being migrated." */
static void a_path_migrates(void)
{
    struct peer *p = peer_server_with_path();
    struct mr_path_addr usual = p->path;
    struct mr_cid dcid = peer_path_cid(p, 1, 0);
    struct mr_reader r;

    p->path.remote.port = PEER_OTHER_PORT + 1;
    peer_send_packet(p, &(struct peer_out){.type = MR_PACKET_ONE_RTT,
                                           .frames = "\1",
                                           .size = 1,
                                           .pn = 5,
                                           .dcid = &dcid,
                                           .path_id = 1});
    p->path = usual;
    CU_ASSERT_EQUAL(peer_counters(p)->rebindings, 1);
    CU_ASSERT_EQUAL(peer_path_record(p, 1)->path.addr.remote.port, PEER_OTHER_PORT + 1);
    CU_ASSERT_EQUAL(peer_conn(p)->path.addr.remote.port, usual.remote.port);
    const struct peer_packet *packet = peer_find(p, MR_FRAME_PATH_CHALLENGE, 0, &r);
    CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
    CU_ASSERT_EQUAL(packet->path_id,
                    1); /* "connection IDs ... associated with the current path ID" */
    peer_end(p);
}

/* ------------------------------------------------------------------ abandoning */

/* Section 3.4: "When an endpoint receives a PATH_ABANDON frame, it MUST send a corresponding
 * PATH_ABANDON frame, if it has not already done so, and respectively treat all connection IDs
 * received from the peer for that path as immediately retired." */
static void path_abandon_is_answered_once(void)
{
    struct peer *p = peer_server_with_path();
    struct mr_frame_path_value frame;
    struct mr_reader r;

    PEER_SEND(p, PATH_ABANDON "\x01\x00");
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_PATH_ABANDON), 1);
    const struct peer_packet *packet = peer_find(p, MR_FRAME_PATH_ABANDON, 0, &r);
    CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
    CU_ASSERT_EQUAL(packet->path_id, 0);
    CU_ASSERT(mr_frame_decode_path_value(&r, MR_FRAME_PATH_ABANDON, &frame));
    CU_ASSERT_EQUAL(frame.path, 1);
    peer_ack(p, 0, packet->pn);
    peer_clear(p);
    PEER_SEND(p, PATH_ABANDON "\x01\x00");
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_PATH_ABANDON), 0);
    for (int i = 0; i < MR_CIDS_PEER_MAX; i++)
        CU_ASSERT_FALSE(peer_path_record(p, 1)->peer_cids[i].is_used);
    peer_end(p);
}

/* Section 3.4.3: "Endpoints SHOULD promptly send PATH_ACK frames for all unacknowledged packets
 * received on an abandoned path"; they "have to be sent on a different path than the path being
 * abandoned". */
static void late_packets_are_acknowledged_by_another_path(void)
{
    struct peer *p = peer_server_with_path();
    struct mr_frame_ack ack;
    struct mr_reader r;
    uint64_t path = 0;

    PEER_SEND(p, PATH_ABANDON "\x01\x00");
    peer_clear(p);
    peer_send_by(p, 1, 9, "\1", 1);
    peer_advance(p, 30 * MR_MS);
    CU_ASSERT_EQUAL(peer_bytes_by(p, 1), 0);
    bool is_found = false;
    for (uint32_t i = 0; peer_find(p, MR_FRAME_PATH_ACK, i, &r) != NULL; i++) {
        CU_ASSERT(mr_frame_decode_path_ack(&r, MR_FRAME_PATH_ACK, &path, &ack));
        is_found |= path == 1 && ack.largest == 9;
    }
    CU_ASSERT(is_found);
    peer_end(p);
}

/* Section 3.4: "knowledge of the connection IDs issued to the peer and of the state of the number
 * space associated to the path SHOULD be retained for 3 PTO after the PATH_ABANDON frame has been
 * received"; Section 4: "If an endpoint receives a multipath-specific frame with a path ID that it
 * cannot process anymore (e.g., because the path might have been abandoned), it MUST silently
 * ignore the frame." */
static void an_abandoned_path_is_forgotten_and_its_frames_ignored(void)
{
    struct peer *p = peer_server_with_path();
    struct mr_cid cid = peer_path_cid(p, 1, 0);
    struct mr_frame_path_value frame;
    struct mr_reader r;
    uint64_t key;

    memcpy(&key, cid.bytes, sizeof(key));
    PEER_SEND(p, PATH_ABANDON "\x01\x00");
    CU_ASSERT_NOT_EQUAL(mr_table8_find(&peer_endpoint(p)->cids, key), MR_NONE);
    peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1);
    peer_advance(p, 3 * MR_SECOND);
    CU_ASSERT_EQUAL(mr_table8_find(&peer_endpoint(p)->cids, key), MR_NONE);
    CU_ASSERT_PTR_NULL(peer_path_record(p, 1));
    CU_ASSERT_PTR_NOT_NULL_FATAL(peer_find(p, MR_FRAME_MAX_PATH_ID, 0, &r));
    CU_ASSERT(mr_frame_decode_path_value(&r, MR_FRAME_MAX_PATH_ID, &frame));
    CU_ASSERT_EQUAL(frame.path, PEER_SEVERAL); /* one more in its place */
    PEER_SEND(p, "\x3e\x01\x00\x00\x00\x00" PATH_ABANDON "\x01\x00"
                 "\x7e\x76\x01\x07\x7e\x79\x01\x3f\x7e\x7c\x01\x3f");
    peer_expect_close(p, "frames of a path that is gone", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* Section 3.4: "If a PATH_ABANDON frame is received for the only open path of a QUIC connection,
 * the receiving peer SHOULD send a CONNECTION_CLOSE frame and enter the closing state." */
static void the_last_path_ends_the_connection(void)
{
    struct peer *p = peer_several(S, PEER_DONE);

    CU_ASSERT_EQUAL(mr_conn_path_abandon(peer_endpoint(p), p->conn, 0, p->now), -16); /* EBUSY */
    PEER_SEND(p, PATH_ABANDON "\x00\x00");
    peer_expect_close(p, "the last path", MR_NO_ERROR, 0x3e75);
    peer_end(p);
}

/* Section 3.4: "An endpoint that wants to abandon a path MUST explicitly close the path by sending
 * a PATH_ABANDON frame"; "Endpoints that send a PATH_ABANDON frame MUST treat all connection IDs
 * received from the peer for the path ID indicated in the PATH_ABANDON as immediately retired, and
 * subsequently cannot send any packet on that path anymore." */
static void nothing_is_sent_by_an_abandoned_path(void)
{
    struct peer *p = peer_several(C, PEER_BOTH);
    struct mr_path_info info[PEER_SEVERAL];

    peer_open_path(p);
    for (int i = 0; i < 4; i++)
        peer_round_trip(p);
    CU_ASSERT_EQUAL(mr_conn_path_abandon(peer_endpoint(p), p->conn, 0, p->now), 0);
    peer_clear(p);
    for (int i = 0; i < MR_CIDS_PEER_MAX; i++)
        CU_ASSERT_FALSE(peer_conn(p)->peer_cids[i].is_used);
    for (int i = 0; i < 6; i++)
        peer_round_trip(p);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_PATH_ABANDON), 1);
    CU_ASSERT_EQUAL(peer_bytes_by(p, 0), 0);
    CU_ASSERT(peer_bytes_by(p, 1) > 0);
    CU_ASSERT_EQUAL(mr_conn_paths(peer_endpoint(p), p->conn, info, PEER_SEVERAL), 2);
    CU_ASSERT_EQUAL(info[0].state, MR_PATH_INFO_ABANDONED);
    CU_ASSERT_EQUAL(info[1].state, MR_PATH_INFO_OPEN);
    CU_ASSERT(mr_conn_is_alive(peer_conn(p)));
    struct mr_conn_info shown;
    CU_ASSERT_EQUAL(mr_conn_info(peer_endpoint(p), p->conn, &shown), 0);
    CU_ASSERT_EQUAL(shown.local.port, PEER_OTHER_PORT); /* not of the path that is over */
    CU_ASSERT_EQUAL(mr_conn_path_abandon(peer_endpoint(p), p->conn, 1, p->now), -16);
    peer_end(p);
}

/* ------------------------------------------------------------------ limits */

static void without_memory_nothing_is_offered_or_kept(void)
{
    struct peer *p = peer_several(S, PEER_DONE);
    struct mr_endpoint *ep = peer_endpoint(p);

    while (mr_pool_get(&ep->path_records) != MR_NONE)
        ;
    uint64_t before = peer_counters(p)->limit_path_records;
    PEER_SEND(p, "\x7e\x7a\x09"); /* MAX_PATH_ID */
    peer_paths(p)->our_max = 9;
    PEER_SEND(p, "\x7e\x78\x09\x00\x00\x08"
                 "abcdefgh"
                 "0123456789abcdef");
    peer_expect_close(p, "no record is free", PEER_NO_CLOSE, 0);
    CU_ASSERT(peer_counters(p)->limit_path_records > before);
    CU_ASSERT_EQUAL(peer_paths(p)->count, PEER_SEVERAL - 1);
    ep->path_records.used = PEER_SEVERAL - 1; /* as if they had come back */
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"the nonce has the path ID", the_nonce_has_the_path_id},
    {"a packet is of the path of its connection ID", a_packet_is_of_the_path_of_its_connection_id},
    {"connection IDs are given for each path ID", connection_ids_are_given_for_each_path_id},
    {"a client opens a path", a_client_opens_a_path},
    {"a server opens none", a_server_opens_none},
    {"a server validates a path before it uses it", a_server_validates_a_path_before_it_uses_it},
    {"a challenge is answered by its path", a_challenge_is_answered_by_its_path},
    {"a further path acknowledges with PATH_ACK", a_further_path_acknowledges_with_path_ack},
    {"a path that is not validated is abandoned", a_path_that_is_not_validated_is_abandoned},
    {"a path migrates", a_path_migrates},
    {"PATH_ABANDON is answered once", path_abandon_is_answered_once},
    {"late packets are acknowledged by another path",
     late_packets_are_acknowledged_by_another_path},
    {"an abandoned path is forgotten and its frames ignored",
     an_abandoned_path_is_forgotten_and_its_frames_ignored},
    {"the last path ends the connection", the_last_path_ends_the_connection},
    {"nothing is sent by an abandoned path", nothing_is_sent_by_an_abandoned_path},
    {"without memory nothing is offered or kept", without_memory_nothing_is_offered_or_kept},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "draft-ietf-quic-multipath, paths", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
