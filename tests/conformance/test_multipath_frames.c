/*
 * tests/conformance/test_multipath_frames.c - draft-ietf-quic-multipath, Sections 2.1 and 4: the
 * transport parameter and the frames, one by one.
 */
#include "quic/transport_params.h"
#include "tests/support/peer_paths.h"

#define C       MR_CLIENT
#define S       MR_SERVER
#define EIGHT   "\1\2\3\4\5\6\7\10"
#define SIXTEEN EIGHT EIGHT

/* Two-byte types on the wire. */
#define PATH_ABANDON          "\x7e\x75"
#define PATH_STATUS_BACKUP    "\x7e\x76"
#define PATH_STATUS_AVAILABLE "\x7e\x77"
#define PATH_NEW_CID          "\x7e\x78"
#define PATH_RETIRE_CID       "\x7e\x79"
#define MAX_PATH_ID           "\x7e\x7a"
#define PATHS_BLOCKED         "\x7e\x7b"
#define PATH_CIDS_BLOCKED     "\x7e\x7c"

/* A case of frames in one packet. */
struct frames_case {
    const char *name;
    const char *frames;
    size_t size;
    uint64_t error;
    uint64_t frame_type;
};

static void run(const struct frames_case *cases, size_t count, enum mr_role role)
{
    for (size_t i = 0; i < count; i++) {
        struct peer *p = peer_several(role, PEER_DONE);

        peer_send(p, MR_PACKET_ONE_RTT, cases[i].frames, cases[i].size);
        peer_expect_close(p, cases[i].name, cases[i].error, cases[i].frame_type);
        peer_end(p);
    }
}

static void path_ids_beyond_the_limit_end_the_connection(void)
{
    /* Section 4: "Receipt of multipath-specific frames that use a path ID that is greater than the
     * announced Maximum Paths value in the MAX_PATH_ID frame or in the initial_max_path_id
     * transport parameter, if no MAX_PATH_ID frame was received yet, MUST be treated as a
     * connection error of type PROTOCOL_VIOLATION." */
    static const struct frames_case cases[] = {
        {"PATH_ACK", PEER_BYTES("\x3e\x04\x00\x00\x00\x00"), MR_PROTOCOL_VIOLATION, 0x3e},
        {"PATH_ACK with ECN", PEER_BYTES("\x3f\x04\x00\x00\x00\x00\x00\x00\x00"),
         MR_PROTOCOL_VIOLATION, 0x3f},
        {"PATH_ABANDON", PEER_BYTES(PATH_ABANDON "\x04\x00"), MR_PROTOCOL_VIOLATION, 0x3e75},
        {"PATH_STATUS_BACKUP", PEER_BYTES(PATH_STATUS_BACKUP "\x04\x00"), MR_PROTOCOL_VIOLATION,
         0x3e76},
        {"PATH_STATUS_AVAILABLE", PEER_BYTES(PATH_STATUS_AVAILABLE "\x04\x00"),
         MR_PROTOCOL_VIOLATION, 0x3e77},
        {"PATH_NEW_CONNECTION_ID", PEER_BYTES(PATH_NEW_CID "\x04\x00\x00\x08" EIGHT SIXTEEN),
         MR_PROTOCOL_VIOLATION, 0x3e78},
        {"PATH_RETIRE_CONNECTION_ID", PEER_BYTES(PATH_RETIRE_CID "\x04\x00"), MR_PROTOCOL_VIOLATION,
         0x3e79},
        /* Section 4.7: "Receipt of a value of Maximum Path Identifier or Path Identifier that is
         * higher than the local maximum value MUST be treated as a connection error of type
         * PROTOCOL_VIOLATION." */
        {"PATHS_BLOCKED", PEER_BYTES(PATHS_BLOCKED "\x04"), MR_PROTOCOL_VIOLATION, 0x3e7b},
        {"PATH_CIDS_BLOCKED", PEER_BYTES(PATH_CIDS_BLOCKED "\x04\x00"), MR_PROTOCOL_VIOLATION,
         0x3e7c},
    };

    run(cases, MR_COUNT_OF(cases), S);
    run(cases, MR_COUNT_OF(cases), C);
}

static void values_are_checked(void)
{
    static const struct frames_case cases[] = {
        /* Section 4.6: "This value MUST NOT exceed 2^32-1, which is the maximum allowed value for
         * the path ID"; "The Maximum Path Identifier value MUST NOT be lower than the value
         * advertised in the initial_max_path_id transport parameter"; "Receipt of an invalid
         * Maximum Path Identifier value MUST be treated as a connection error of type
         * PROTOCOL_VIOLATION."
         */
        {"MAX_PATH_ID of 2^32", PEER_BYTES(MAX_PATH_ID "\xc0\x00\x00\x01\x00\x00\x00\x00"),
         MR_PROTOCOL_VIOLATION, 0x3e7a},
        {"MAX_PATH_ID of 2^32 - 1", PEER_BYTES(MAX_PATH_ID "\xc0\x00\x00\x00\xff\xff\xff\xff"),
         PEER_NO_CLOSE, 0},
        {"MAX_PATH_ID below the transport parameter", PEER_BYTES(MAX_PATH_ID "\x02"),
         MR_PROTOCOL_VIOLATION, 0x3e7a},
        /* "MAX_PATH_ID frames that do not increase the path limit MUST be ignored." */
        {"MAX_PATH_ID as before, and after a larger one",
         PEER_BYTES(MAX_PATH_ID "\x03" MAX_PATH_ID "\x05" MAX_PATH_ID "\x04"), PEER_NO_CLOSE, 0},
        /* Section 4.7: "Receipt of a value of Next Sequence Number that is higher than the sequence
         * number of the next expected to be issued connection ID for this path MUST be treated as a
         * connection error of type PROTOCOL_VIOLATION." */
        {"blocked by the next connection ID", PEER_BYTES(PATH_CIDS_BLOCKED "\x01\x02"),
         PEER_NO_CLOSE, 0},
        {"blocked by the one behind it", PEER_BYTES(PATH_CIDS_BLOCKED "\x01\x03"),
         MR_PROTOCOL_VIOLATION, 0x3e7c},
        {"PATHS_BLOCKED at the limit", PEER_BYTES(PATHS_BLOCKED "\x03"), PEER_NO_CLOSE, 0},
        /* RFC 9000, Section 13.1, of each path's numbers. */
        {"a packet that was not sent by the path is acknowledged",
         PEER_BYTES("\x3e\x01\x00\x00\x00\x00"), MR_PROTOCOL_VIOLATION, 0x3e},
        {"PATH_ACK of path 0", PEER_BYTES("\x3e\x00\x00\x00\x00\x00"), PEER_NO_CLOSE, 0},
        /* Section 4.4: "The last paragraph of Section 5.1.2 of QUIC-TRANSPORT specifies how to
         * verify the Retire Prior To field ...  The same rule applies for PATH_NEW_CONNECTION_ID
         * frames, but it applies per path." */
        {"retires itself", PEER_BYTES(PATH_NEW_CID "\x01\x05\x06\x08" EIGHT SIXTEEN),
         MR_FRAME_ENCODING_ERROR, 0x3e78},
        {"no connection ID", PEER_BYTES(PATH_NEW_CID "\x01\x05\x00\x00" SIXTEEN),
         MR_FRAME_ENCODING_ERROR, 0x3e78},
        {"retires what was never issued", PEER_BYTES(PATH_RETIRE_CID "\x01\x02"),
         MR_PROTOCOL_VIOLATION, 0x3e79},
        {"retires one twice", PEER_BYTES(PATH_RETIRE_CID "\x01\x00" PATH_RETIRE_CID "\x01\x00"),
         PEER_NO_CLOSE, 0},
        {"retires its own packet's", PEER_BYTES(PATH_RETIRE_CID "\x00\x00"), MR_PROTOCOL_VIOLATION,
         0x3e79},
        {"more connection IDs than the limit",
         PEER_BYTES(PATH_NEW_CID "\x01\x02\x00\x08"
                                 "aaaaaaaa" SIXTEEN PATH_NEW_CID "\x01\x03\x00\x08"
                                 "bbbbbbbb" SIXTEEN PATH_NEW_CID "\x01\x04\x00\x08"
                                 "cccccccc" SIXTEEN PATH_NEW_CID "\x01\x05\x00\x08"
                                 "dddddddd" SIXTEEN PATH_NEW_CID "\x01\x06\x00\x08"
                                 "eeeeeeee" SIXTEEN PATH_NEW_CID "\x01\x07\x00\x08"
                                 "ffffffff" SIXTEEN PATH_NEW_CID "\x01\x08\x00\x08"
                                 "gggggggg" SIXTEEN),
         MR_CONNECTION_ID_LIMIT_ERROR, 0x3e78},
        /* Section 3.2.1: "connection IDs cannot be issued more than once on the same connection".
         */
        {"one connection ID for two paths",
         PEER_BYTES(PATH_NEW_CID "\x01\x02\x00\x08" EIGHT SIXTEEN PATH_NEW_CID
                                 "\x02\x02\x00\x08" EIGHT SIXTEEN),
         MR_PROTOCOL_VIOLATION, 0x3e78},
    };

    run(cases, MR_COUNT_OF(cases), S);
}

static void frames_that_are_cut_off_are_refused(void)
{
    static const struct frames_case cases[] = {
        {"cut off: PATH_ACK", PEER_BYTES("\x3e\x01\x00\x00\x00"), MR_FRAME_ENCODING_ERROR, 0x3e},
        {"cut off: PATH_ABANDON", PEER_BYTES(PATH_ABANDON "\x01"), MR_FRAME_ENCODING_ERROR, 0x3e75},
        {"cut off: PATH_STATUS", PEER_BYTES(PATH_STATUS_BACKUP "\x01"), MR_FRAME_ENCODING_ERROR,
         0x3e76},
        {"cut off: PATH_RETIRE_CONNECTION_ID", PEER_BYTES(PATH_RETIRE_CID "\x01"),
         MR_FRAME_ENCODING_ERROR, 0x3e79},
        {"cut off: MAX_PATH_ID", PEER_BYTES(MAX_PATH_ID), MR_FRAME_ENCODING_ERROR, 0x3e7a},
        {"cut off: PATHS_BLOCKED", PEER_BYTES(PATHS_BLOCKED), MR_FRAME_ENCODING_ERROR, 0x3e7b},
        {"cut off: PATH_CIDS_BLOCKED", PEER_BYTES(PATH_CIDS_BLOCKED "\x01"),
         MR_FRAME_ENCODING_ERROR, 0x3e7c},
    };

    run(cases, MR_COUNT_OF(cases), S);
}

/* Section 4: "All frames defined in this document MUST only be sent in 1-RTT packets.  If an
 * endpoint receives a multipath-specific frame in a different packet type, it MUST close the
 * connection with an error of type PROTOCOL_VIOLATION." */
static void other_packets_do_not_carry_them(void)
{
    static const struct {
        const char *frames;
        size_t size;
        uint64_t type;
    } cases[] = {{PEER_BYTES("\x3e\x00\x00\x00\x00\x00"), 0x3e},
                 {PEER_BYTES("\x3f\x00\x00\x00\x00\x00\x00\x00\x00"), 0x3f},
                 {PEER_BYTES(PATH_ABANDON "\x01\x00"), 0x3e75},
                 {PEER_BYTES(PATH_STATUS_BACKUP "\x01\x00"), 0x3e76},
                 {PEER_BYTES(PATH_STATUS_AVAILABLE "\x01\x00"), 0x3e77},
                 {PEER_BYTES(PATH_NEW_CID "\x01\x00\x00\x08" EIGHT SIXTEEN), 0x3e78},
                 {PEER_BYTES(PATH_RETIRE_CID "\x01\x00"), 0x3e79},
                 {PEER_BYTES(MAX_PATH_ID "\x03"), 0x3e7a},
                 {PEER_BYTES(PATHS_BLOCKED "\x03"), 0x3e7b},
                 {PEER_BYTES(PATH_CIDS_BLOCKED "\x01\x00"), 0x3e7c}};

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        for (int k = 0; k < 2; k++) {
            struct peer *p = peer_several(S, PEER_HELLO);

            peer_send(p, k == 0 ? MR_PACKET_INITIAL : MR_PACKET_HANDSHAKE, cases[i].frames,
                      cases[i].size);
            peer_expect_close(p, "a frame of multipath before 1-RTT", MR_PROTOCOL_VIOLATION,
                              cases[i].type);
            peer_end(p);
        }
    }
}

/* Section 2: "If either of the endpoints does not advertise the initial_max_path_id transport
 * parameter, then both endpoints MUST NOT use any frame or mechanism defined in this document." */
static void nothing_is_used_that_one_side_does_not_offer(void)
{
    for (int i = 0; i < 2; i++) {
        struct peer *p = peer_new(
            &(struct peer_options){.under_test = S,
                                   .extensions = i == 0 ? MR_EXTENSION_MULTIPATH : 0,
                                   .partner_extensions = i == 0 ? 0 : MR_EXTENSION_MULTIPATH,
                                   .paths_max = PEER_SEVERAL});

        peer_run(p, PEER_DONE);
        CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_PATH_NEW_CONNECTION_ID), 0);
        CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_PATH_ACK), 0);
        CU_ASSERT_EQUAL(peer_conn(p)->multipath, MR_NONE);
        peer_clear(p);
        PEER_SEND(p, "\x01"); /* PING */
        peer_advance(p, 30 * MR_MS);
        CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_ACK), 1);
        PEER_SEND(p, MAX_PATH_ID "\x03");
        peer_expect_close(p, "not negotiated", MR_FRAME_ENCODING_ERROR, 0x3e7a);
        peer_end(p);
    }
}

/* Section 2.3: "After the handshake concludes with support for the multipath extension, endpoints
 * SHOULD use PATH_ACK frames instead of ACK frames"; "Endpoints MUST still process ACK frames that
 * acknowledge 0-RTT packets or 1-RTT packets." */
static void path_acks_take_the_place_of_acks(void)
{
    struct peer *p = peer_several(S, PEER_DONE);
    struct mr_frame_ack ack;
    struct mr_reader r;
    uint64_t path;

    PEER_SEND(p, "\x01");
    peer_advance(p, 30 * MR_MS);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_ACK), 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(peer_find(p, MR_FRAME_PATH_ACK, 0, &r));
    CU_ASSERT(mr_frame_decode_path_ack(&r, MR_FRAME_PATH_ACK, &path, &ack));
    CU_ASSERT_EQUAL(path, 0);

    uint64_t acked = peer_counters(p)->acks_received;
    peer_ack(p, 0, 0);
    CU_ASSERT_EQUAL(peer_counters(p)->acks_received, acked + 1);
    peer_expect_close(p, "ACK", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* Section 4.3: "A peer MUST ignore an incoming PATH_STATUS_AVAILABLE or PATH_STATUS_BACKUP frame if
 * it previously received another PATH_STATUS_BACKUP frame or PATH_STATUS_AVAILABLE frame for the
 * same path ID with a Path Status sequence number equal to or higher than the Path Status sequence
 * number of the incoming frame." */
static void old_status_is_ignored(void)
{
    struct peer *p = peer_several(S, PEER_DONE);
    struct mr_multipath *mp = mr_multipath(peer_endpoint(p), peer_conn(p));
    const struct mr_path_record *one =
        mr_path_record_at(peer_endpoint(p), mr_multipath_find(peer_endpoint(p), mp, 1));

    PEER_SEND(p, PATH_STATUS_BACKUP "\x00\x05");
    CU_ASSERT_EQUAL(mp->zero.peer_status, MR_PATH_BACKUP);
    PEER_SEND(p, PATH_STATUS_AVAILABLE "\x00\x05");
    CU_ASSERT_EQUAL(mp->zero.peer_status, MR_PATH_BACKUP);
    PEER_SEND(p, PATH_STATUS_AVAILABLE "\x00\x04");
    CU_ASSERT_EQUAL(mp->zero.peer_status, MR_PATH_BACKUP);
    /* "the receiver ... needs to use and compare the sequence numbers separately for each path ID"
     */
    PEER_SEND(p, PATH_STATUS_BACKUP "\x01\x00");
    CU_ASSERT_EQUAL(one->life.peer_status, MR_PATH_BACKUP);
    PEER_SEND(p, PATH_STATUS_AVAILABLE "\x00\x06");
    CU_ASSERT_EQUAL(mp->zero.peer_status, MR_PATH_AVAILABLE);
    CU_ASSERT_EQUAL(one->life.peer_status, MR_PATH_BACKUP);
    peer_end(p);
}

/* Section 4.3: "The sequence number space is common to the two frame types, and monotonically
 * increasing values MUST be used when sending PATH_STATUS_AVAILABLE or PATH_STATUS_BACKUP frames
 * for a given path ID." */
static void status_is_numbered_for_each_path(void)
{
    struct peer *p = peer_server_with_path();
    struct mr_endpoint *ep = peer_endpoint(p);
    struct mr_frame_path_value frame;
    struct mr_reader r;

    for (uint64_t i = 0; i < 4; i++) {
        for (uint32_t path = 0; path < 2; path++) {
            uint64_t type =
                i % 2 == 0 ? MR_FRAME_PATH_STATUS_BACKUP : MR_FRAME_PATH_STATUS_AVAILABLE;

            CU_ASSERT_EQUAL(mr_conn_path_set_backup(ep, p->conn, path, i % 2 == 0), 0);
            peer_drain(p);
            CU_ASSERT_PTR_NOT_NULL_FATAL(peer_find(p, type, 0, &r));
            CU_ASSERT(mr_frame_decode_path_value(&r, type, &frame));
            CU_ASSERT_EQUAL(frame.path, path);
            CU_ASSERT_EQUAL(frame.value, i);
            peer_clear(p);
        }
    }
    peer_end(p);
}

/* Section 4.6: "MAX_PATH_ID frames that do not increase the path limit MUST be ignored." */
static void the_limit_of_path_ids_never_falls(void)
{
    struct peer *p = peer_several(S, PEER_DONE);

    PEER_SEND(p, MAX_PATH_ID "\x05");
    CU_ASSERT_EQUAL(peer_paths(p)->peer_max, 5);
    PEER_SEND(p, MAX_PATH_ID "\x04");
    CU_ASSERT_EQUAL(peer_paths(p)->peer_max, 5);
    peer_end(p);
}

/* ------------------------------------------------------------------ the transport parameter */

/* Section 2.1: "When advertising the initial_max_path_id transport parameter, endpoints MUST use
 * Source and Destination Connection IDs with non-zero lengths." */
static void who_offers_it_has_connection_ids(void)
{
    struct mr_packet_header header;

    for (int role = 0; role < 2; role++) {
        struct peer *p = peer_several((enum mr_role)role, PEER_HELLO);

        CU_ASSERT_EQUAL(mr_packet_parse(p->hello.bytes, p->hello.size, MR_LOCAL_CID_SIZE, &header),
                        MR_PACKET_OK);
        CU_ASSERT(header.scid.size > 0 && header.dcid.size > 0); /* the client's */
        peer_end(p);

        p = peer_several((enum mr_role)role, PEER_DONE);
        CU_ASSERT(p->scid.size > 0 && p->dcid.size > 0); /* of both */
        CU_ASSERT(peer_paths(p)->is_agreed);
        peer_end(p);
    }
}

/* Section 2.1: "If an initial_max_path_id transport parameter is received and the carrying packet
 * contains a zero-length connection ID, the receiver MUST treat this as a connection error of type
 * PROTOCOL_VIOLATION and close the connection." */
static void it_is_refused_from_a_peer_without_connection_ids(void)
{
    struct peer *p = peer_several(S, PEER_DONE);
    struct mr_conn *conn = peer_conn(p);

    conn->peer_cids[conn->peer_cid_current].cid.size = 0;
    CU_ASSERT(mr_multipath_take_offer(peer_endpoint(p), conn, MR_PARAM_NO_PATHS, p->now));
    CU_ASSERT(mr_conn_is_alive(conn)); /* it is the offer that is wrong */
    CU_ASSERT_FALSE(mr_multipath_take_offer(peer_endpoint(p), conn, 3, p->now));
    CU_ASSERT_FALSE(mr_conn_is_alive(conn));
    CU_ASSERT_EQUAL(conn->close.error, MR_PROTOCOL_VIOLATION);
    peer_end(p);
}

static enum mr_params_verdict decode(const void *bytes, size_t size, uint64_t *out)
{
    struct mr_transport_params params;
    struct mr_params_error error;
    enum mr_params_verdict verdict = mr_transport_params_decode(bytes, size, C, &params, &error);

    *out = params.initial_max_path_id;
    return verdict;
}

static void the_parameter_is_checked(void)
{
    uint64_t value;

    CU_ASSERT_EQUAL(decode("", 0, &value), MR_PARAMS_OK);
    CU_ASSERT_EQUAL(value, MR_PARAM_NO_PATHS);
    CU_ASSERT_EQUAL(decode(PEER_BYTES("\x3e\x01\x00"), &value), MR_PARAMS_OK);
    CU_ASSERT_EQUAL(value, 0);
    CU_ASSERT_EQUAL(decode(PEER_BYTES("\x3e\x08\xc0\x00\x00\x00\xff\xff\xff\xff"), &value),
                    MR_PARAMS_OK);
    CU_ASSERT_EQUAL(value, UINT32_MAX);
    /* Section 2.1: "This value MUST NOT exceed 2^32-1, the maximum allowed value for the path ID
     * due to restrictions on the nonce calculation"; "If an initial_max_path_id transport parameter
     * value higher than 2^32-1 is received, the receiver MUST close the connection with an error of
     * type TRANSPORT_PARAMETER_ERROR." */
    CU_ASSERT_EQUAL(decode(PEER_BYTES("\x3e\x08\xc0\x00\x00\x01\x00\x00\x00\x00"), &value),
                    MR_PARAMS_INVALID);
}

/* Section 2.1: "The initial_max_path_id parameter MUST NOT be remembered for use in a subsequent
 * connection". */
static void the_parameter_is_forgotten(void)
{
    struct mr_transport_params params;

    mr_transport_params_init(&params);
    params.initial_max_path_id = 3;
    mr_transport_params_forget(&params);
    CU_ASSERT_EQUAL(params.initial_max_path_id, MR_PARAM_NO_PATHS);
}

static CU_TestInfo tests[] = {
    {"path IDs beyond the limit end the connection", path_ids_beyond_the_limit_end_the_connection},
    {"values are checked", values_are_checked},
    {"frames that are cut off are refused", frames_that_are_cut_off_are_refused},
    {"other packets do not carry them", other_packets_do_not_carry_them},
    {"nothing is used that one side does not offer", nothing_is_used_that_one_side_does_not_offer},
    {"PATH_ACKs take the place of ACKs", path_acks_take_the_place_of_acks},
    {"old status is ignored", old_status_is_ignored},
    {"status is numbered for each path", status_is_numbered_for_each_path},
    {"the limit of path IDs never falls", the_limit_of_path_ids_never_falls},
    {"who offers it has connection IDs", who_offers_it_has_connection_ids},
    {"it is refused from a peer without connection IDs",
     it_is_refused_from_a_peer_without_connection_ids},
    {"the parameter is checked", the_parameter_is_checked},
    {"the parameter is forgotten", the_parameter_is_forgotten},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "draft-ietf-quic-multipath, frames", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
