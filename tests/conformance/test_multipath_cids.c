/*
 * tests/conformance/test_multipath_cids.c - draft-ietf-quic-multipath: connection IDs of no bytes,
 * and what goes before new ones.
 */
#include "quic/aead_backend.h"
#include "quic/packet.h"
#include "tests/support/peer_cases.h"
#include "tests/support/peer_paths.h"

#define S              MR_SERVER
#define INITIAL_SCID   0x0f
#define RESERVED_PARAM 0x3a /* 31 * 1 + 27 */

/* ------------------------------------------------------------------ no bytes */

/* The partner has no connection ID: initial_source_connection_id of the same room as before, the
 * rest of which is a parameter that says nothing. */
static void take_cid_away(uint8_t *params, size_t size)
{
    for (size_t i = 0; i + 2 + PEER_CID_SIZE <= size; i++) {
        if (params[i] != INITIAL_SCID || params[i + 1] != PEER_CID_SIZE)
            continue;
        params[i + 1] = 0;
        params[i + 2] = RESERVED_PARAM;
        params[i + 3] = PEER_CID_SIZE - 2;
        return;
    }
    CU_FAIL("no initial_source_connection_id");
}

/* The frames of the first packet of a client that has no connection ID. */
static size_t hello_without_cid(uint32_t extensions, uint8_t *bytes, size_t room)
{
    struct peer *p = peer_new(&(struct peer_options){.under_test = S,
                                                     .partner_extensions = extensions,
                                                     .paths_max = PEER_SEVERAL,
                                                     .edit_params = take_cid_away});
    const struct peer_key *key = &p->seal[MR_SPACE_INITIAL];
    struct mr_packet_header header;

    peer_run(p, PEER_HELLO);
    CU_ASSERT_FATAL(p->hello.size <= room);
    memcpy(bytes, p->hello.bytes, p->hello.size);
    CU_ASSERT_EQUAL_FATAL(mr_packet_parse(bytes, p->hello.size, PEER_CID_SIZE, &header),
                          MR_PACKET_OK);
    struct mr_open_job job = {.key = &key->aead,
                              .hp = &key->hp,
                              .packet = bytes,
                              .path_id = MR_PATH_0,
                              .pn_offset = header.pn_offset,
                              .size = header.size};
    mr_unmask_burst(p->aead, &job, 1);
    mr_open_burst(p->aead, &job, 1);
    CU_ASSERT_FATAL(job.is_open);
    size_t size = (size_t)job.size - job.header_size - MR_AEAD_TAG;
    memmove(bytes, bytes + job.header_size, size);
    peer_end(p);
    return size;
}

/* Section 2.1: "If an initial_max_path_id transport parameter is received and the carrying packet
 * contains a zero-length connection ID, the receiver MUST treat this as a connection error of type
 * PROTOCOL_VIOLATION and close the connection."  Without the parameter it may. */
static void a_peer_without_connection_ids_has_no_paths(void)
{
    for (int offers = 0; offers < 2; offers++) {
        struct peer *p = peer_new(&(struct peer_options){
            .under_test = S, .extensions = MR_EXTENSION_MULTIPATH, .paths_max = PEER_SEVERAL});
        uint8_t frames[PEER_DATAGRAM];

        size_t size =
            hello_without_cid(offers ? MR_EXTENSION_MULTIPATH : 0, frames, sizeof(frames));
        peer_run(p, PEER_NOTHING);
        p->scid.size = 0;
        peer_send(p, MR_PACKET_INITIAL, frames, size);
        CU_ASSERT_EQUAL(mr_cid_current(peer_conn(p))->cid.size, 0);
        CU_ASSERT_EQUAL(peer_counters(p)->multipath_agreed, 0);
        peer_expect_close(p, offers ? "with the parameter" : "without",
                          offers ? MR_PROTOCOL_VIOLATION : PEER_NO_CLOSE, PEER_ANY_FRAME);
        CU_ASSERT(offers || p->inbox_count > 0);
        peer_end(p);
    }
}

/* Section 2.1: "When advertising the initial_max_path_id transport parameter, endpoints MUST use
 * Source and Destination Connection IDs with non-zero lengths." */
static void who_offers_paths_has_connection_ids(void)
{
    struct peer *p = peer_several(S, PEER_HELLO);
    struct mr_packet_header header;

    CU_ASSERT_EQUAL(mr_packet_parse(p->hello.bytes, p->hello.size, PEER_CID_SIZE, &header),
                    MR_PACKET_OK);
    CU_ASSERT(header.scid.size > 0 && header.dcid.size > 0);
    CU_ASSERT(mr_cid_current(peer_conn(p))->cid.size > 0);
    peer_end(p);
}

/* ------------------------------------------------------------------ new ones */

/* Is there a PATH_ACK of what we sent by `path` up to `pn`, in this packet, before `end`? */
static bool has_ack(const struct peer *p, const struct peer_packet *packet, const uint8_t *end,
                    uint64_t path, uint64_t pn)
{
    const struct peer_packet *of_ack;
    struct mr_frame_ack ack;
    struct mr_reader r;
    uint64_t of_path;

    for (uint32_t i = 0; (of_ack = peer_find(p, MR_FRAME_PATH_ACK, i, &r)) != NULL; i++) {
        if (of_ack == packet && r.at < end &&
            mr_frame_decode_path_ack(&r, MR_FRAME_PATH_ACK, &of_path, &ack) && of_path == path &&
            ack.largest >= pn)
            return true;
    }
    return false;
}

/* Each PATH_NEW_CONNECTION_ID comes behind the PATH_ACKs of both paths. */
static void expect_acks_before_new(struct peer *p, uint64_t pn_0, uint64_t pn_1)
{
    const struct peer_packet *packet;
    struct mr_reader r;
    uint32_t count = 0;

    for (; (packet = peer_find(p, MR_FRAME_PATH_NEW_CONNECTION_ID, count, &r)) != NULL; count++) {
        CU_ASSERT(has_ack(p, packet, r.at, 0, pn_0));
        CU_ASSERT(has_ack(p, packet, r.at, 1, pn_1));
    }
    CU_ASSERT(count >= MR_CIDS_ISSUED_MAX);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_ACK), 0); /* of path 1's numbers it would be wrong */
}

/* RFC 9000, Section 5.1.2: "An endpoint SHOULD limit the number of connection IDs it has retired
 * locally for which RETIRE_CONNECTION_ID frames have not yet been acknowledged."  Any path may have
 * brought these, and have lost our acknowledgments: whatever packet asks for more, by whichever
 * path, brings all of them again. */
static void who_is_asked_again_is_told_what_was_retired(void)
{
    struct peer *p = peer_server_with_path();

    PEER_SEND(p, "\x01");
    uint64_t pn = p->next_pn[MR_SPACE_APP] - 1;
    peer_advance(p, MR_SECOND);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_PATH_ACK), 1); /* of one path, where nothing is asked */
    peer_send_by(p, 1, 2, "\x01", 1);
    peer_advance(p, MR_SECOND); /* their ACKs are out, and nothing else is owed */
    peer_clear(p);

    CU_ASSERT_EQUAL(mr_conn_renew_cids(peer_endpoint(p), p->conn, p->now), 0);
    peer_advance(p, MR_MS);
    expect_acks_before_new(p, pn, 2);
    peer_clear(p);
    peer_advance(p, 2 * MR_SECOND); /* so do probes, and what another path sends again */
    expect_acks_before_new(p, pn, 2);
    peer_clear(p);
    peer_expect_close(p, "asked again", PEER_NO_CLOSE, 0);
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"a peer without connection IDs has no paths", a_peer_without_connection_ids_has_no_paths},
    {"who offers paths has connection IDs", who_offers_paths_has_connection_ids},
    {"who is asked again is told what was retired", who_is_asked_again_is_told_what_was_retired},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "draft-ietf-quic-multipath: connection IDs", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
