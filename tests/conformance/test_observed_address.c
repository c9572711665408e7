/*
 * tests/conformance/test_observed_address.c - draft-ietf-quic-address-discovery: each side may
 * learn from the other which address its packets come from.
 */
#include "tests/support/peer_cases.h"

#define C     MR_CLIENT
#define S     MR_SERVER
#define GIVES MR_EXTENSION_OBSERVES
#define TAKES MR_EXTENSION_OBSERVED
#define BOTH  (GIVES | TAKES)

/* PING, and PADDING: three times as much may be answered to a new address. */
static const uint8_t large[1200] = {1};

static struct peer *pair(enum mr_role role, uint32_t ours, uint32_t theirs, enum peer_stage stage)
{
    struct peer_options options = {
        .under_test = role, .extensions = ours, .partner_extensions = theirs};
    struct peer *p = peer_new(&options);

    peer_run(p, stage);
    return p;
}

static struct mr_address observed(struct peer *p)
{
    struct mr_conn_info info;

    CU_ASSERT_EQUAL(mr_conn_info(peer_endpoint(p), p->conn, &info), 0);
    return info.observed;
}

/* Number `nth` of the endpoint under test. */
static bool find_frame(struct peer *p, uint32_t nth, struct mr_frame_observed_address *out)
{
    struct mr_reader r;

    return peer_find(p, MR_FRAME_OBSERVED_ADDRESS_4, nth, &r) != NULL &&
           mr_frame_decode_observed_address(&r, MR_FRAME_OBSERVED_ADDRESS_4, out);
}

static void tell(struct peer *p, uint64_t sequence, uint8_t last, uint16_t port)
{
    uint8_t frame[64];
    struct mr_writer w = mr_writer(frame, sizeof(frame));
    struct mr_frame_observed_address f = {
        .sequence = sequence,
        .addr = {.ip = {[10] = 0xff, [11] = 0xff, [15] = last}, .port = port}};

    mr_frame_write_observed_address(&w, &f);
    peer_send(p, MR_PACKET_ONE_RTT, frame, mr_writer_size(&w));
}

/* "An endpoint that negotiated this extension and offered to provide address observations to the
 * peer MUST send an OBSERVED_ADDRESS frame on every new path. This also applies to the path used
 * for the QUIC handshake."  "An endpoint MUST NOT send an OBSERVED_ADDRESS frame to a node that did
 * not request the receipt of address observations". */
static void who_wants_to_know_is_told(void)
{
    static const uint32_t wishes[] = {0, GIVES, TAKES, BOTH};

    for (int role = 0; role < 2; role++) {
        for (int i = 0; i < 16; i++) {
            uint32_t ours = wishes[i % 4];
            uint32_t theirs = wishes[i / 4];
            struct peer *p = pair((enum mr_role)role, ours, theirs, PEER_BOTH);

            for (int k = 0; k < 4; k++)
                peer_round_trip(p);
            bool gives = (ours & GIVES) != 0 && (theirs & TAKES) != 0;
            bool takes = (ours & TAKES) != 0 && (theirs & GIVES) != 0;
            CU_ASSERT_EQUAL(peer_counters(p)->observed_addresses_sent > 0, gives);
            CU_ASSERT_EQUAL(peer_counters(p)->observed_addresses_received > 0, takes);
            struct mr_address seen = observed(p);
            struct mr_address real = {.port = takes ? p->path.local.port : 0};
            memcpy(real.ip, takes ? p->path.local.ip : real.ip, sizeof(real.ip));
            CU_ASSERT(memcmp(seen.ip, real.ip, sizeof(real.ip)) == 0 && seen.port == real.port);
            peer_expect_close(p, "told", PEER_NO_CLOSE, 0);
            peer_end(p);
        }
    }
}

/* The bytes on the wire: type 0x9f81a6, sequence number, address, port. */
static void the_frame_is_as_the_draft_draws_it(void)
{
    struct peer *p = pair(S, GIVES, TAKES, PEER_DONE);
    struct mr_frame_observed_address frame = {0};

    p->path.remote.port = 6000; /* another path: it is told again */
    peer_send(p, MR_PACKET_ONE_RTT, large, sizeof(large));
    CU_ASSERT_TRUE_FATAL(find_frame(p, 0, &frame));
    CU_ASSERT_EQUAL(memcmp(&frame.addr, &p->path.remote, sizeof(frame.addr)), 0);
    CU_ASSERT_EQUAL(frame.sequence, 1);
    peer_end(p);
}

/* "the sender SHOULD send an OBSERVED_ADDRESS frame when it detects a change in the remote address
 * on an existing path."  "The sequence number MUST be monotonically increasing for OBSERVED_ADDRESS
 * frames in the same connection."  "endpoints SHOULD bundle the OBSERVED_ADDRESS frame with probing
 * packets."  "An endpoint that negotiated (see {{negotiate-extension}}) this extension and offered
 * to provide address observations to the peer MUST send an OBSERVED_ADDRESS frame on every new
 * path." (draft-ietf-quic-address-discovery: Address Discovery) */
static void a_new_address_is_told_with_its_challenge(void)
{
    struct peer *p = pair(S, GIVES, TAKES, PEER_DONE);
    struct mr_frame_observed_address frame = {0};
    uint64_t before = 0;

    for (uint16_t i = 0; i < 5; i++) {
        struct mr_reader r;

        peer_clear(p);
        p->path.remote.port = (uint16_t)(7000 + i);
        peer_send(p, MR_PACKET_ONE_RTT, large, sizeof(large));
        const struct peer_packet *told = peer_find(p, MR_FRAME_OBSERVED_ADDRESS_4, 0, &r);
        CU_ASSERT_PTR_NOT_NULL_FATAL(told);
        const struct peer_packet *probe = NULL; /* the path that is left is asked, too */
        for (uint32_t k = 0; probe != told && k < 4; k++)
            probe = peer_find(p, MR_FRAME_PATH_CHALLENGE, k, &r);
        CU_ASSERT_PTR_EQUAL(told, probe);
        CU_ASSERT_EQUAL(told->path.remote.port, 7000 + i);
        CU_ASSERT_TRUE(find_frame(p, 0, &frame));
        CU_ASSERT_EQUAL(frame.addr.port, 7000 + i);
        CU_ASSERT(frame.sequence > before);
        before = frame.sequence;
    }
    peer_end(p);
}

/* "OBSERVED_ADDRESS frames are ack-eliciting, and SHOULD be retransmitted if lost. Retransmissions
 * MUST happen on the same path as the original frame was sent on." */
static void a_lost_frame_is_sent_again_on_its_path(void)
{
    struct peer *p = pair(S, GIVES, TAKES, PEER_DONE);
    struct mr_frame_observed_address frame = {0};

    p->path.remote.port = 6000;
    peer_send(p, MR_PACKET_ONE_RTT, large, sizeof(large));
    CU_ASSERT_TRUE(find_frame(p, 0, &frame));
    peer_clear(p);
    peer_advance(p, 500 * MR_MS);
    CU_ASSERT_TRUE(find_frame(p, 0, &frame));
    CU_ASSERT_EQUAL(frame.addr.port, 6000);
    struct mr_reader r;
    const struct peer_packet *packet;
    for (uint32_t i = 0; (packet = peer_find(p, MR_FRAME_OBSERVED_ADDRESS_4, i, &r)) != NULL; i++)
        CU_ASSERT_EQUAL(packet->path.remote.port, 6000);
    p->path.remote.port = 6001; /* what was lost of the old path is past */
    peer_clear(p);
    peer_send(p, MR_PACKET_ONE_RTT, large, sizeof(large));
    peer_advance(p, 500 * MR_MS);
    for (uint32_t i = 0; find_frame(p, i, &frame); i++)
        CU_ASSERT_EQUAL(frame.addr.port, 6001);
    peer_end(p);
}

/* "A peer SHOULD ignore an incoming OBSERVED_ADDRESS frame if it previously received another
 * OBSERVED_ADDRESS frame for the same path with a Sequence Number equal to or higher". */
static void old_frames_are_ignored(void)
{
    struct peer *p = pair(C, TAKES, GIVES, PEER_DONE);

    tell(p, 10, 1, 1001);
    CU_ASSERT(observed(p).port == 1001 && observed(p).ip[15] == 1);
    tell(p, 10, 2, 1002);
    tell(p, 9, 3, 1003);
    CU_ASSERT(observed(p).port == 1001 && observed(p).ip[15] == 1);
    tell(p, 11, 4, 1004);
    CU_ASSERT(observed(p).port == 1004 && observed(p).ip[15] == 4);
    tell(p, MR_VARINT_MAX, 5, 1005);
    CU_ASSERT_EQUAL(observed(p).port, 1005);
    peer_end(p);
}

/* An IPv6 address has a type of its own. */
static void addresses_of_both_families_are_taken(void)
{
    static const char frame[] = "\x80\x9f\x81\xa7\x40\x80"
                                "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09\x01\xbb";
    struct peer *p = pair(C, TAKES, GIVES, PEER_DONE);

    peer_send(p, MR_PACKET_ONE_RTT, frame, sizeof(frame) - 1);
    CU_ASSERT(observed(p).port == 443 && observed(p).ip[0] == 0x20 && observed(p).ip[15] == 9);
    peer_end(p);
}

/* "A node that did not request the receipt of address observations MUST close the connection with a
 * PROTOCOL_VIOLATION error if it receives an OBSERVED_ADDRESS frame."  "This frame MUST only appear
 * in the application data packet number space." */
static void frames_that_must_not_come_end_the_connection(void)
{
    static const char frame[] = "\x80\x9f\x81\xa6\1\1\2\3\4\5\6";

    for (int i = 0; i < 4; i++) {
        struct peer *p = pair(C, (uint32_t[]){0, GIVES, TAKES, BOTH}[i], BOTH, PEER_DONE);

        peer_send(p, MR_PACKET_ONE_RTT, frame, sizeof(frame) - 1);
        peer_expect_close(p, "not asked", i < 2 ? MR_PROTOCOL_VIOLATION : PEER_NO_CLOSE,
                          MR_FRAME_OBSERVED_ADDRESS_4);
        peer_end(p);
    }
    struct peer *p = pair(S, BOTH, BOTH, PEER_HELLO);
    peer_send(p, MR_PACKET_INITIAL, frame, sizeof(frame) - 1);
    peer_expect_close(p, "in an Initial", MR_PROTOCOL_VIOLATION, MR_FRAME_OBSERVED_ADDRESS_4);
    peer_end(p);
    for (size_t size = 4; size < sizeof(frame) - 1; size++) {
        p = pair(C, TAKES, GIVES, PEER_DONE);
        peer_send(p, MR_PACKET_ONE_RTT, frame, size);
        peer_expect_close(p, "cut", MR_FRAME_ENCODING_ERROR, MR_FRAME_OBSERVED_ADDRESS_4);
        peer_end(p);
    }
}

/* 'It is a "probing frame"': a packet with nothing else is no migration. */
static void it_is_a_probing_frame(void)
{
    struct peer *p = pair(S, TAKES, GIVES, PEER_DONE);

    p->path.remote.port = 6000;
    tell(p, 5, 1, 1);
    CU_ASSERT_EQUAL(peer_conn(p)->path.addr.remote.port, 5000);
    PEER_SEND(p, "\1");
    CU_ASSERT_EQUAL(peer_conn(p)->path.addr.remote.port, 6000);
    peer_end(p);
}

/* Spoofed packets: "The same protection logic SHOULD be used to prevent sending of a large number
 * of spurious OBSERVED_ADDRESS frames."  An address that is not validated gets three times what
 * came from it, and each answer has one frame. */
static void a_flood_of_addresses_is_answered_within_limits(void)
{
    struct peer *p = pair(S, GIVES, TAKES, PEER_DONE);

    for (uint16_t i = 0; i < 300; i++) {
        peer_clear(p);
        p->path.remote.port = (uint16_t)(7000 + i);
        PEER_SEND(p, "\1");
        CU_ASSERT_TRUE(peer_count(p, MR_FRAME_OBSERVED_ADDRESS_4) <= 1);
        for (uint32_t k = 0; k < p->inbox_count; k++)
            CU_ASSERT_TRUE(p->inbox[k].path.remote.port != p->path.remote.port ||
                           p->inbox[k].datagram_size <= 3 * 64);
    }
    CU_ASSERT_TRUE(peer_endpoint(p)->chunks.used < 16);
    peer_end(p);
}

/* What is kept of addresses takes no more than half of the extras. */
static void addresses_leave_extras_for_paths(void)
{
    struct peer *p = pair(S, TAKES, 0, PEER_DONE);
    struct mr_endpoint *ep = peer_endpoint(p);
    uint32_t taken[4];
    uint32_t count = 0;

    while (mr_pool_free_count(&ep->extras) > 2)
        taken[count++] = mr_pool_get(&ep->extras);
    tell(p, 1, 1, 1001);
    CU_ASSERT_EQUAL(observed(p).port, 0);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_extras, 1);
    mr_pool_put(&ep->extras, taken[--count]);
    tell(p, 2, 1, 1002);
    CU_ASSERT_EQUAL(observed(p).port, 1002);
    while (count > 0)
        mr_pool_put(&ep->extras, taken[--count]);
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"who wants to know is told", who_wants_to_know_is_told},
    {"the frame is as the draft draws it", the_frame_is_as_the_draft_draws_it},
    {"a new address is told with its challenge", a_new_address_is_told_with_its_challenge},
    {"a lost frame is sent again on its path", a_lost_frame_is_sent_again_on_its_path},
    {"old frames are ignored", old_frames_are_ignored},
    {"addresses of both families are taken", addresses_of_both_families_are_taken},
    {"frames that must not come end the connection", frames_that_must_not_come_end_the_connection},
    {"it is a probing frame", it_is_a_probing_frame},
    {"a flood of addresses is answered within limits",
     a_flood_of_addresses_is_answered_within_limits},
    {"addresses leave extras for paths", addresses_leave_extras_for_paths},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "OBSERVED_ADDRESS", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
