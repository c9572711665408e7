/*
 * tests/conformance/test_rfc9000_frames.c - RFC 9000, Sections 12.4, 17, 19: which frames may come
 * in which packets, and what each refuses.
 */
#include "tests/support/peer_cases.h"

#define C         MR_CLIENT
#define S         MR_SERVER
#define INITIAL   PEER_HELLO, MR_PACKET_INITIAL
#define HANDSHAKE PEER_FLIGHT, MR_PACKET_HANDSHAKE
#define APP       PEER_DONE, MR_PACKET_ONE_RTT
#define EIGHT     "\1\2\3\4\5\6\7\10"
#define SIXTEEN   EIGHT EIGHT

/* Section 12.4: "An endpoint MUST treat receipt of a frame in a packet type that is not permitted
 * as a connection error of type PROTOCOL_VIOLATION." */
static const struct {
    const char *name;
    const char *frame;
    size_t size;
} only_one_rtt[] = {
    {"RESET_STREAM", PEER_BYTES("\x04\x00\x00\x00")},
    {"STOP_SENDING", PEER_BYTES("\x05\x00\x00")},
    {"NEW_TOKEN", PEER_BYTES("\x07\x01x")},
    {"STREAM", PEER_BYTES("\x08\x00x")},
    {"STREAM OFF LEN FIN", PEER_BYTES("\x0f\x00\x00\x00")},
    {"MAX_DATA", PEER_BYTES("\x10\x01")},
    {"MAX_STREAM_DATA", PEER_BYTES("\x11\x00\x01")},
    {"MAX_STREAMS bidi", PEER_BYTES("\x12\x01")},
    {"MAX_STREAMS uni", PEER_BYTES("\x13\x01")},
    {"DATA_BLOCKED", PEER_BYTES("\x14\x01")},
    {"STREAM_DATA_BLOCKED", PEER_BYTES("\x15\x00\x01")},
    {"STREAMS_BLOCKED bidi", PEER_BYTES("\x16\x01")},
    {"STREAMS_BLOCKED uni", PEER_BYTES("\x17\x01")},
    {"NEW_CONNECTION_ID", PEER_BYTES("\x18\x01\x00\x08" EIGHT SIXTEEN)},
    {"RETIRE_CONNECTION_ID", PEER_BYTES("\x19\x00")},
    {"PATH_CHALLENGE", PEER_BYTES("\x1a" EIGHT)},
    {"PATH_RESPONSE", PEER_BYTES("\x1b" EIGHT)},
    {"CONNECTION_CLOSE app", PEER_BYTES("\x1d\x00\x00")},
    {"HANDSHAKE_DONE", PEER_BYTES("\x1e")},
    {"DATAGRAM", PEER_BYTES("\x30x")},
    {"DATAGRAM with Length", PEER_BYTES("\x31\x01x")},
};

static void refuse_all_in(enum mr_role role, enum peer_stage stage, enum mr_packet_type type)
{
    for (size_t i = 0; i < MR_COUNT_OF(only_one_rtt); i++) {
        struct peer_case c = {.name = only_one_rtt[i].name,
                              .under_test = role,
                              .stage = stage,
                              .type = type,
                              .frames = only_one_rtt[i].frame,
                              .size = only_one_rtt[i].size,
                              .error = MR_PROTOCOL_VIOLATION,
                              .frame_type = (uint8_t)only_one_rtt[i].frame[0]};
        peer_run_cases(&c, 1);
    }
}

/* Section 12.5: "CONNECTION_CLOSE frames signaling application errors (type 0x1d) MUST only appear
 * in the application data packet number space." */
static void one_rtt_frames_in_initials_are_refused_by_a_server(void)
{
    refuse_all_in(S, INITIAL);
}

/* Section 12.5: "All other frame types MUST only be sent in the application data packet number
 * space." Section 17.2.4: "Endpoints MUST treat receipt of Handshake packets with other frames as a
 * connection error of type PROTOCOL_VIOLATION." */
static void one_rtt_frames_in_handshake_packets_are_refused_by_a_server(void)
{
    refuse_all_in(S, HANDSHAKE);
}

/* Section 12.5: "All other frame types MUST only be sent in the application data packet number
 * space." */
static void one_rtt_frames_in_initials_are_refused_by_a_client(void)
{
    refuse_all_in(C, INITIAL);
}

/* Section 17.2.4: "Endpoints MUST treat receipt of Handshake packets with other frames as a
 * connection error of type PROTOCOL_VIOLATION." */
static void one_rtt_frames_in_handshake_packets_are_refused_by_a_client(void)
{
    refuse_all_in(C, HANDSHAKE);
}

static void frames_that_may_come_anywhere_are_taken(void)
{
    static const struct peer_case cases[] = {
        {"PADDING PING, Initial", S, INITIAL, PEER_BYTES("\x00\x00\x01"), PEER_NO_CLOSE, 0},
        {"PADDING PING, Handshake", S, HANDSHAKE, PEER_BYTES("\x00\x00\x01"), PEER_NO_CLOSE, 0},
        {"PADDING PING, client", C, HANDSHAKE, PEER_BYTES("\x00\x00\x01"), PEER_NO_CLOSE, 0},
        {"an old CRYPTO byte, Initial", S, INITIAL, PEER_BYTES("\x06\x00\x01\x01"), PEER_NO_CLOSE,
         0},
        {"PADDING PING, 1-RTT", S, APP, PEER_BYTES("\x00\x00\x01"), PEER_NO_CLOSE, 0},
        {"STREAM, 1-RTT", S, APP, PEER_BYTES("\x08\x00hello"), PEER_NO_CLOSE, 0},
        {"empty STREAM, 1-RTT", S, APP, PEER_BYTES("\x0a\x00\x00"), PEER_NO_CLOSE, 0},
        {"NEW_TOKEN to a client", C, APP, PEER_BYTES("\x07\x01x"), PEER_NO_CLOSE, 0},
        {"BLOCKED frames", S, APP, PEER_BYTES("\x14\x01\x16\x01\x17\x01"), PEER_NO_CLOSE, 0},
        {"a lower MAX_DATA", S, APP, PEER_BYTES("\x10\x00"), PEER_NO_CLOSE, 0},
        {"a lower MAX_STREAMS", S, APP, PEER_BYTES("\x12\x00\x13\x00"), PEER_NO_CLOSE, 0},
        {"a PATH_RESPONSE nobody asked for", S, APP, PEER_BYTES("\x1b" EIGHT), PEER_NO_CLOSE, 0},
        {"a second HANDSHAKE_DONE", C, APP, PEER_BYTES("\x1e\x1e"), PEER_NO_CLOSE, 0},
    };

    peer_run_cases(cases, MR_COUNT_OF(cases));
}

/* Section 5.2: "An endpoint MUST generate a connection error if processing the contents of these
 * packets prior to discovering an error, or fully revert any changes made during that processing."
 * Section 12.4: "An endpoint MUST treat receipt of a packet containing no frames as a connection
 * error of type PROTOCOL_VIOLATION." */
static void frames_are_checked_before_they_act(void)
{
    static const struct peer_case cases[] = {
        /* Section 12.4: "An endpoint MUST treat the receipt of a frame of unknown type as a
         * connection error of type FRAME_ENCODING_ERROR." */
        {"unknown type 0x1f", S, APP, PEER_BYTES("\x1f"), MR_FRAME_ENCODING_ERROR, 0x1f},
        {"unknown type 0x20 to a client", C, APP, PEER_BYTES("\x20"), MR_FRAME_ENCODING_ERROR,
         0x20},
        {"unknown type of eight bytes", S, APP, PEER_BYTES("\xff\xff\xff\xff\xff\xff\xff\xff"),
         MR_FRAME_ENCODING_ERROR, MR_VARINT_MAX},
        {"unknown type in an Initial", S, INITIAL, PEER_BYTES("\x21\x00\x00"),
         MR_FRAME_ENCODING_ERROR, 0x21},
        /* Section 12.4: "An endpoint MAY treat the receipt of a frame type that uses a longer
         * encoding than necessary as a connection error of type PROTOCOL_VIOLATION." */
        {"PING in two bytes", S, APP, PEER_BYTES("\x40\x01"), MR_PROTOCOL_VIOLATION,
         PEER_ANY_FRAME},
        {"PADDING in four bytes", S, APP, PEER_BYTES("\x80\x00\x00\x00"), MR_PROTOCOL_VIOLATION,
         PEER_ANY_FRAME},
        /* Section 12.4: "The payload of a packet that contains frames MUST contain at least one
         * frame, and MAY contain multiple frames and multiple frame types." */
        {"no frame, 1-RTT", S, APP, PEER_BYTES(""), MR_PROTOCOL_VIOLATION, PEER_ANY_FRAME},
        {"no frame, client", C, APP, PEER_BYTES(""), MR_PROTOCOL_VIOLATION, PEER_ANY_FRAME},
        {"no frame, Initial", S, INITIAL, PEER_BYTES(""), MR_PROTOCOL_VIOLATION, PEER_ANY_FRAME},
        {"no frame, Handshake", S, HANDSHAKE, PEER_BYTES(""), MR_PROTOCOL_VIOLATION,
         PEER_ANY_FRAME},
        /* a type that the packet's end cuts off is not PADDING */
        {"half a type", S, APP, PEER_BYTES("\x01\x40"), MR_FRAME_ENCODING_ERROR, PEER_ANY_FRAME},
        {"an eighth of a type", S, APP, PEER_BYTES("\xc0"), MR_FRAME_ENCODING_ERROR,
         PEER_ANY_FRAME},
    };

    peer_run_cases(cases, MR_COUNT_OF(cases));
}

/* Section 4.6: "If either is received, the connection MUST be closed immediately with a connection
 * error of type TRANSPORT_PARAMETER_ERROR if the offending value was received in a transport
 * parameter or of type FRAME_ENCODING_ERROR if it was received in a frame." Section 10.3: "An
 * endpoint that wishes to communicate a fatal connection error MUST use a CONNECTION_CLOSE frame if
 * it is able." Section 11.1: "Errors that result in the connection being unusable, such as an
 * obvious violation of protocol semantics or corruption of state that affects an entire connection,
 * MUST be signaled using a CONNECTION_CLOSE frame (Section 19.19)." */
static void malformed_frames_end_the_connection(void)
{
    static const struct peer_case cases[] = {
        {"cut STREAM", S, APP, PEER_BYTES("\x0e\x00\x00\x05x"), MR_FRAME_ENCODING_ERROR, 0x0e},
        {"cut RESET_STREAM", S, APP, PEER_BYTES("\x04\x00\x00"), MR_FRAME_ENCODING_ERROR, 0x04},
        {"cut STOP_SENDING", S, APP, PEER_BYTES("\x05\x00"), MR_FRAME_ENCODING_ERROR, 0x05},
        {"cut CRYPTO", S, APP, PEER_BYTES("\x06\x00\x05x"), MR_FRAME_ENCODING_ERROR, 0x06},
        {"cut ACK", S, APP, PEER_BYTES("\x02\x00\x00\x01\x00"), MR_FRAME_ENCODING_ERROR, 0x02},
        {"cut PATH_CHALLENGE", S, APP, PEER_BYTES("\x1a\x01\x02"), MR_FRAME_ENCODING_ERROR, 0x1a},
        {"cut MAX_DATA", S, APP, PEER_BYTES("\x10"), MR_FRAME_ENCODING_ERROR, 0x10},
        {"cut CONNECTION_CLOSE", S, APP, PEER_BYTES("\x1c\x00\x00\x05x"), MR_FRAME_ENCODING_ERROR,
         0x1c},
        /* Section 19.3.1: "If any computed packet number is negative, an endpoint MUST generate a
         * connection error of type FRAME_ENCODING_ERROR." */
        {"ACK below zero", S, APP, PEER_BYTES("\x02\x01\x00\x00\x05"), MR_FRAME_ENCODING_ERROR,
         0x02},
        {"ACK range below zero", S, APP, PEER_BYTES("\x02\x02\x00\x01\x00\x05\x00"),
         MR_FRAME_ENCODING_ERROR, 0x02},
        /* Section 19.7: "A client MUST treat receipt of a NEW_TOKEN frame with an empty Token field
         * as a connection error of type FRAME_ENCODING_ERROR." */
        {"empty NEW_TOKEN", C, APP, PEER_BYTES("\x07\x00"), MR_FRAME_ENCODING_ERROR, 0x07},
        /* Section 19.8: "Receipt of a frame that exceeds this limit MUST be treated as a connection
         * error of type FRAME_ENCODING_ERROR or FLOW_CONTROL_ERROR." (STREAM offsets) */
        {"STREAM beyond 2^62", S, APP, PEER_BYTES("\x0e\x00\xff\xff\xff\xff\xff\xff\xff\xff\x01x"),
         MR_FRAME_ENCODING_ERROR, 0x0e},
        /* Section 19.6: "Receipt of a frame that exceeds this limit MUST be treated as a connection
         * error of type FRAME_ENCODING_ERROR or CRYPTO_BUFFER_EXCEEDED." */
        {"CRYPTO beyond 2^62", S, INITIAL, PEER_BYTES("\x06\xff\xff\xff\xff\xff\xff\xff\xff\x01x"),
         MR_FRAME_ENCODING_ERROR, 0x06},
        /* Section 19.11: "Receipt of a frame that permits opening of a stream larger than this
         * limit MUST be treated as a connection error of type FRAME_ENCODING_ERROR." */
        {"MAX_STREAMS bidi 2^60 + 1", S, APP, PEER_BYTES("\x12\xd0\x00\x00\x00\x00\x00\x00\x01"),
         MR_FRAME_ENCODING_ERROR, 0x12},
        {"MAX_STREAMS uni 2^60 + 1", C, APP, PEER_BYTES("\x13\xd0\x00\x00\x00\x00\x00\x00\x01"),
         MR_FRAME_ENCODING_ERROR, 0x13},
        {"MAX_STREAMS 2^60", S, APP, PEER_BYTES("\x12\xd0\x00\x00\x00\x00\x00\x00\x00"),
         PEER_NO_CLOSE, 0},
        /* Section 19.14: "Receipt of a frame that encodes a larger stream ID MUST be treated as a
         * connection error of type STREAM_LIMIT_ERROR or FRAME_ENCODING_ERROR." */
        {"STREAMS_BLOCKED 2^60 + 1", S, APP, PEER_BYTES("\x16\xd0\x00\x00\x00\x00\x00\x00\x01"),
         MR_FRAME_ENCODING_ERROR, 0x16},
    };

    peer_run_cases(cases, MR_COUNT_OF(cases));
}

static void frames_of_the_wrong_side_are_refused(void)
{
    static const struct peer_case cases[] = {
        /* Section 19.7: "A server MUST treat receipt of a NEW_TOKEN frame as a connection error of
         * type PROTOCOL_VIOLATION." */
        {"NEW_TOKEN to a server", S, APP, PEER_BYTES("\x07\x01x"), MR_PROTOCOL_VIOLATION, 0x07},
        /* Section 19.20: "A server MUST treat receipt of a HANDSHAKE_DONE frame as a connection
         * error of type PROTOCOL_VIOLATION." */
        {"HANDSHAKE_DONE to a server", S, APP, PEER_BYTES("\x1e"), MR_PROTOCOL_VIOLATION, 0x1e},
    };

    peer_run_cases(cases, MR_COUNT_OF(cases));
}

/* Section 17.2: "An endpoint MUST treat receipt of a packet that has a non-zero value for these
 * bits after removing both packet and header protection as a connection error of type
 * PROTOCOL_VIOLATION." */
static void reserved_bits_end_the_connection(void)
{
    static const struct {
        const char *name;
        enum mr_role role;
        enum peer_stage stage;
        enum mr_packet_type type;
        uint8_t bits;
    } cases[] = {
        {"0x10, 1-RTT", S, APP, 0x10},           {"0x08, 1-RTT", S, APP, 0x08},
        {"0x18, client", C, APP, 0x18},          {"0x08, Initial", S, INITIAL, 0x08},
        {"0x04, Handshake", S, HANDSHAKE, 0x04}, {"0x0c, client", C, HANDSHAKE, 0x0c},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct peer *p = peer_at(cases[i].role, cases[i].stage);

        peer_clear(p);
        peer_send_packet(p, &(struct peer_out){.type = cases[i].type,
                                               .frames = "\1",
                                               .size = 1,
                                               .pn = PEER_NEXT_PN,
                                               .bits = cases[i].bits});
        peer_expect_close(p, cases[i].name, MR_PROTOCOL_VIOLATION, PEER_ANY_FRAME);
        peer_end(p);
    }
}

/* A packet whose fixed bit is 0 is no packet: Section 17.2, "Packets containing a zero value for
 * this bit are not valid packets in this version and MUST be discarded." */
static void packets_without_the_fixed_bit_are_dropped(void)
{
    struct peer *p = peer_at(S, PEER_DONE);

    peer_send_packet(p, &(struct peer_out){.type = MR_PACKET_ONE_RTT,
                                           .frames = "\x1f",
                                           .size = 1,
                                           .pn = PEER_NEXT_PN,
                                           .bits = MR_PACKET_FIXED_BIT});
    peer_expect_close(p, "fixed bit", PEER_NO_CLOSE, 0);
    CU_ASSERT_EQUAL(p->inbox_count, 0);
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"1-RTT frames in Initials are refused by a server",
     one_rtt_frames_in_initials_are_refused_by_a_server},
    {"1-RTT frames in Handshake packets are refused by a server",
     one_rtt_frames_in_handshake_packets_are_refused_by_a_server},
    {"1-RTT frames in Initials are refused by a client",
     one_rtt_frames_in_initials_are_refused_by_a_client},
    {"1-RTT frames in Handshake packets are refused by a client",
     one_rtt_frames_in_handshake_packets_are_refused_by_a_client},
    {"frames that may come anywhere are taken", frames_that_may_come_anywhere_are_taken},
    {"frames are checked before they act", frames_are_checked_before_they_act},
    {"malformed frames end the connection", malformed_frames_end_the_connection},
    {"frames of the wrong side are refused", frames_of_the_wrong_side_are_refused},
    {"reserved bits end the connection", reserved_bits_end_the_connection},
    {"packets without the fixed bit are dropped", packets_without_the_fixed_bit_are_dropped},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9000 frames", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
