/*
 * tests/conformance/test_rfc9000_streams.c - RFC 9000, Sections 2 to 4, 19: streams, their limits,
 * and flow control, as a hostile peer tries them.
 */
#include <errno.h>
#include <stdio.h>

#include "tests/support/peer_cases.h"

#define C   MR_CLIENT
#define S   MR_SERVER
#define APP PEER_DONE, MR_PACKET_ONE_RTT

/* Numbers as varints of fixed size, for the tables: windows are 512 KiB, the connection's 1 MiB. */
#define AT_512K        "\x80\x08\x00\x00"
#define AT_512K_LESS_1 "\x80\x07\xff\xff"
#define AT_512K_PLUS_1 "\x80\x08\x00\x01"

/* Streams from the server's side (it is under test): 0 bidi and 2 uni are the client's, 1 and 3 its
 * own. */
static void frames_for_the_wrong_direction_are_refused(void)
{
    static const struct peer_case cases[] = {
        /* Section 19.8: "An endpoint MUST terminate the connection with error STREAM_STATE_ERROR if
         * it receives a STREAM frame for a locally initiated stream that has not yet been created,
         * or for a send-only stream." */
        {"STREAM on 1", S, APP, PEER_BYTES("\x08\x01x"), MR_STREAM_STATE_ERROR, 0x08},
        {"STREAM on 3", S, APP, PEER_BYTES("\x08\x03x"), MR_STREAM_STATE_ERROR, 0x08},
        {"STREAM on 0", C, APP, PEER_BYTES("\x08\x00x"), MR_STREAM_STATE_ERROR, 0x08},
        {"STREAM on 2", C, APP, PEER_BYTES("\x0b\x02\x00"), MR_STREAM_STATE_ERROR, 0x0b},
        /* Section 19.4: "An endpoint that receives a RESET_STREAM frame for a send-only stream MUST
         * terminate the connection with error STREAM_STATE_ERROR." */
        {"RESET_STREAM on 3", S, APP, PEER_BYTES("\x04\x03\x00\x00"), MR_STREAM_STATE_ERROR, 0x04},
        {"RESET_STREAM on 1", S, APP, PEER_BYTES("\x04\x01\x00\x00"), MR_STREAM_STATE_ERROR, 0x04},
        /* Section 19.5: "An endpoint that receives a STOP_SENDING frame for a receive-only stream
         * MUST terminate the connection with error STREAM_STATE_ERROR." */
        {"STOP_SENDING on 2", S, APP, PEER_BYTES("\x05\x02\x00"), MR_STREAM_STATE_ERROR, 0x05},
        /* Section 19.5: "Receiving a STOP_SENDING frame for a locally initiated stream that has not
         * yet been created MUST be treated as a connection error of type STREAM_STATE_ERROR." */
        {"STOP_SENDING on 1", S, APP, PEER_BYTES("\x05\x01\x00"), MR_STREAM_STATE_ERROR, 0x05},
        {"STOP_SENDING on 3", S, APP, PEER_BYTES("\x05\x03\x00"), MR_STREAM_STATE_ERROR, 0x05},
        /* Section 19.10: "Receiving a MAX_STREAM_DATA frame for a locally initiated stream that has
         * not yet been created MUST be treated as a connection error of type STREAM_STATE_ERROR."
         */
        {"MAX_STREAM_DATA on 1", S, APP, PEER_BYTES("\x11\x01\x05"), MR_STREAM_STATE_ERROR, 0x11},
        /* Section 19.10: "An endpoint that receives a MAX_STREAM_DATA frame for a receive-only
         * stream MUST terminate the connection with error STREAM_STATE_ERROR." */
        {"MAX_STREAM_DATA on 2", S, APP, PEER_BYTES("\x11\x02\x05"), MR_STREAM_STATE_ERROR, 0x11},
        /* Section 19.13: "An endpoint that receives a STREAM_DATA_BLOCKED frame for a send-only
         * stream MUST terminate the connection with error STREAM_STATE_ERROR." */
        {"STREAM_DATA_BLOCKED on 3", S, APP, PEER_BYTES("\x15\x03\x05"), MR_STREAM_STATE_ERROR,
         0x15},
        /* and what is allowed */
        {"STOP_SENDING opens 0", S, APP, PEER_BYTES("\x05\x00\x00"), PEER_NO_CLOSE, 0},
        {"MAX_STREAM_DATA opens 0", S, APP, PEER_BYTES("\x11\x00\x05"), PEER_NO_CLOSE, 0},
        {"STREAM_DATA_BLOCKED opens 2", S, APP, PEER_BYTES("\x15\x02\x05"), PEER_NO_CLOSE, 0},
        {"RESET_STREAM opens 2", S, APP, PEER_BYTES("\x04\x02\x00\x00"), PEER_NO_CLOSE, 0},
    };

    peer_run_cases(cases, MR_COUNT_OF(cases));
}

/* Section 4.6: "An endpoint that receives a frame with a stream ID exceeding the limit it has sent
 * MUST treat this as a connection error of type STREAM_LIMIT_ERROR."  Limits: 8 and 3.
 * Section 19.11: "An endpoint MUST terminate a connection with an error of type STREAM_LIMIT_ERROR
 * if a peer opens more streams than was permitted." */
static void streams_beyond_the_limit_are_refused(void)
{
    static const struct peer_case cases[] = {
        {"STREAM, the last allowed", S, APP, PEER_BYTES("\x08\x1cx"), PEER_NO_CLOSE, 0},
        {"STREAM, one more", S, APP, PEER_BYTES("\x08\x20x"), MR_STREAM_LIMIT_ERROR, 0x08},
        {"STREAM uni, the last allowed", S, APP, PEER_BYTES("\x08\x0ax"), PEER_NO_CLOSE, 0},
        {"STREAM uni, one more", S, APP, PEER_BYTES("\x08\x0ex"), MR_STREAM_LIMIT_ERROR, 0x08},
        {"STREAM, the highest of all", S, APP, PEER_BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xfcx"),
         MR_STREAM_LIMIT_ERROR, 0x08},
        {"RESET_STREAM", S, APP, PEER_BYTES("\x04\x20\x00\x00"), MR_STREAM_LIMIT_ERROR, 0x04},
        {"STOP_SENDING", S, APP, PEER_BYTES("\x05\x20\x00"), MR_STREAM_LIMIT_ERROR, 0x05},
        {"MAX_STREAM_DATA", S, APP, PEER_BYTES("\x11\x20\x00"), MR_STREAM_LIMIT_ERROR, 0x11},
        {"STREAM_DATA_BLOCKED", S, APP, PEER_BYTES("\x15\x20\x00"), MR_STREAM_LIMIT_ERROR, 0x15},
        {"a server's stream", C, APP, PEER_BYTES("\x08\x21x"), MR_STREAM_LIMIT_ERROR, 0x08},
    };

    peer_run_cases(cases, MR_COUNT_OF(cases));
}

/* lsquic 654: RESET_STREAM for a stream over the limit must not create it. */
static void a_refused_stream_is_not_created(void)
{
    struct peer *p = peer_at(S, PEER_DONE);

    PEER_SEND(p, "\x04\x20\x00\x00");
    CU_ASSERT_EQUAL(peer_counters(p)->streams_opened, 0);
    CU_ASSERT_PTR_NULL(peer_event(p, MR_EVENT_STREAM_OPENED));
    peer_end(p);
}

/* Section 3.2: before a stream is created, "all streams of the same type with lower-" numbered IDs
 * "MUST be created". */
static void lower_streams_are_created_with_a_higher_one(void)
{
    struct peer *p = peer_at(S, PEER_DONE);

    PEER_SEND(p, "\x08\x08x");
    CU_ASSERT_EQUAL(peer_counters(p)->streams_opened, 3);
    PEER_SEND(p, "\x08\x00x\x00");
    CU_ASSERT_EQUAL(peer_counters(p)->streams_opened, 3);
    CU_ASSERT_EQUAL(p->event_count, 4);
    CU_ASSERT_EQUAL(peer_close_error(p, NULL), PEER_NO_CLOSE);
    peer_end(p);
}

/* Section 4.1: "A receiver MUST close the connection with an error of type FLOW_CONTROL_ERROR if
 * the sender violates the advertised connection or stream data limits".
 * Section 19.9: "The sum of the final sizes on all streams -- including streams in terminal states
 * -- MUST NOT exceed the value advertised by a receiver." Section 19.9: "An endpoint MUST terminate
 * a connection with an error of type FLOW_CONTROL_ERROR if it receives more data than the maximum
 * data value that it has sent." Section 19.10: "An endpoint MUST terminate a connection with an
 * error of type FLOW_CONTROL_ERROR if it receives more data than the largest maximum stream data
 * that it has sent for the affected stream." */
static void data_beyond_the_windows_is_refused(void)
{
    static const struct peer_case cases[] = {
        {"the last byte", S, APP, PEER_BYTES("\x0e\x00" AT_512K_LESS_1 "\x01x"), PEER_NO_CLOSE, 0},
        {"one more", S, APP, PEER_BYTES("\x0e\x00" AT_512K "\x01x"), MR_FLOW_CONTROL_ERROR, 0x0e},
        {"across the limit", S, APP, PEER_BYTES("\x0e\x00" AT_512K_LESS_1 "\x02xy"),
         MR_FLOW_CONTROL_ERROR, 0x0e},
        {"FIN at the limit", S, APP, PEER_BYTES("\x0f\x00" AT_512K "\x00"), PEER_NO_CLOSE, 0},
        {"FIN beyond it", S, APP, PEER_BYTES("\x0f\x00" AT_512K_PLUS_1 "\x00"),
         MR_FLOW_CONTROL_ERROR, 0x0f},
        {"unidirectional", S, APP, PEER_BYTES("\x0e\x02" AT_512K "\x01x"), MR_FLOW_CONTROL_ERROR,
         0x0e},
        {"to a client", C, APP, PEER_BYTES("\x0e\x01" AT_512K "\x01x"), MR_FLOW_CONTROL_ERROR,
         0x0e},
        {"RESET_STREAM at the limit", S, APP, PEER_BYTES("\x04\x00\x00" AT_512K), PEER_NO_CLOSE, 0},
        {"RESET_STREAM beyond it", S, APP, PEER_BYTES("\x04\x00\x00" AT_512K_PLUS_1),
         MR_FLOW_CONTROL_ERROR, 0x04},
        {"RESET_STREAM far beyond it", S, APP,
         PEER_BYTES("\x04\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"), MR_FLOW_CONTROL_ERROR, 0x04},
        /* three times 512 KiB are too much for the connection */
        {"the connection's window", S, APP,
         PEER_BYTES("\x0e\x00" AT_512K_LESS_1 "\x01x\x0e\x04" AT_512K_LESS_1 "\x01x"),
         PEER_NO_CLOSE, 0},
        {"one byte over the connection's window", S, APP,
         PEER_BYTES("\x0e\x00" AT_512K_LESS_1 "\x01x\x0e\x04" AT_512K_LESS_1 "\x01x\x0a\x08\x01x"),
         MR_FLOW_CONTROL_ERROR, 0x0a},
        {"the same byte twice takes no credit", S, APP,
         PEER_BYTES("\x0e\x00" AT_512K_LESS_1 "\x01x\x0e\x04" AT_512K_LESS_1
                    "\x01x\x0e\x04" AT_512K_LESS_1 "\x01x"),
         PEER_NO_CLOSE, 0},
        {"RESET_STREAMs over the connection's window", S, APP,
         PEER_BYTES("\x0e\x00" AT_512K_LESS_1 "\x01x\x0e\x04" AT_512K_LESS_1
                    "\x01x\x04\x08\x00\x01"),
         MR_FLOW_CONTROL_ERROR, 0x04},
    };

    peer_run_cases(cases, MR_COUNT_OF(cases));
}

/* Section 4.5: "If a RESET_STREAM or STREAM frame is received indicating a change in the final size
 * for the stream, an endpoint SHOULD respond with an error of type FINAL_SIZE_ERROR". */
static void a_final_size_does_not_change(void)
{
    static const struct peer_case cases[] = {
        {"data behind FIN", S, APP, PEER_BYTES("\x0b\x00\x02xy\x0e\x00\x02\x01z"),
         MR_FINAL_SIZE_ERROR, 0x0e},
        {"another FIN, later", S, APP, PEER_BYTES("\x0b\x00\x02xy\x0f\x00\x03\x00"),
         MR_FINAL_SIZE_ERROR, 0x0f},
        {"another FIN, earlier", S, APP, PEER_BYTES("\x0b\x00\x02xy\x0f\x00\x01\x00"),
         MR_FINAL_SIZE_ERROR, 0x0f},
        {"FIN below data", S, APP, PEER_BYTES("\x0e\x00\x05\x01x\x0b\x00\x02xy"),
         MR_FINAL_SIZE_ERROR, 0x0b},
        {"RESET_STREAM below data", S, APP, PEER_BYTES("\x0e\x00\x05\x01x\x04\x00\x00\x05"),
         MR_FINAL_SIZE_ERROR, 0x04},
        {"RESET_STREAM above FIN", S, APP, PEER_BYTES("\x0f\x00\x05\x01x\x04\x00\x00\x07"),
         MR_FINAL_SIZE_ERROR, 0x04},
        {"two RESET_STREAMs", S, APP, PEER_BYTES("\x04\x00\x00\x05\x04\x00\x00\x06"),
         MR_FINAL_SIZE_ERROR, 0x04},
        {"data behind a RESET_STREAM", S, APP, PEER_BYTES("\x04\x00\x00\x05\x0e\x00\x05\x01x"),
         MR_FINAL_SIZE_ERROR, 0x0e},
        {"the same FIN twice", S, APP, PEER_BYTES("\x0b\x00\x02xy\x0b\x00\x02xy"), PEER_NO_CLOSE,
         0},
        {"RESET_STREAM at FIN's size", S, APP, PEER_BYTES("\x0f\x00\x05\x01x\x04\x00\x00\x06"),
         PEER_NO_CLOSE, 0},
        {"two equal RESET_STREAMs", S, APP, PEER_BYTES("\x04\x00\x00\x05\x04\x00\x01\x05"),
         PEER_NO_CLOSE, 0},
        {"data below a RESET_STREAM", S, APP, PEER_BYTES("\x04\x00\x00\x05\x0e\x00\x04\x01x"),
         PEER_NO_CLOSE, 0},
    };

    peer_run_cases(cases, MR_COUNT_OF(cases));
}

/* Section 3.5: "An endpoint that receives a STOP_SENDING frame MUST send a RESET_STREAM frame if
 * the stream is in the "Ready" or "Send" state." */
static void stop_sending_is_answered_with_reset_stream(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_frame_reset_stream reset;
    struct mr_reader r;

    PEER_SEND(p, "\x0a\x00\x01x\x05\x00\x2a");
    CU_ASSERT_PTR_NOT_NULL_FATAL(peer_find(p, MR_FRAME_RESET_STREAM, 0, &r));
    CU_ASSERT_TRUE(mr_frame_decode_reset_stream(&r, MR_FRAME_RESET_STREAM, &reset));
    CU_ASSERT_EQUAL(reset.stream_id, 0);
    CU_ASSERT_EQUAL(reset.error, 0x2a); /* copied */
    CU_ASSERT_EQUAL(reset.final_size, 0);
    const struct peer_event *event = peer_event(p, MR_EVENT_STOPPED);
    CU_ASSERT_PTR_NOT_NULL_FATAL(event);
    CU_ASSERT_EQUAL(event->event.error, 0x2a);
    PEER_SEND(p, "\x05\x00\x2b"); /* once is enough */
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_RESET_STREAM), 1);
    peer_end(p);
}

static mr_handle opened_stream(const struct peer *p)
{
    const struct peer_event *event = peer_event(p, MR_EVENT_STREAM_OPENED);

    return event == NULL ? MR_HANDLE_NONE : event->event.stream;
}

/* Close the client's stream 0 on both sides. */
static void close_stream(struct peer *p)
{
    PEER_SEND(p, "\x0b\x00\x02xy");
    mr_handle stream = opened_stream(p);

    CU_ASSERT_EQUAL(mr_stream_release(peer_endpoint(p), stream, 2), 0);
    CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), stream, NULL, 0, MR_SEND_FIN), 0);
    peer_drain(p);
    peer_ack(p, p->expected_pn[MR_SPACE_APP] - 1, p->expected_pn[MR_SPACE_APP] - 1);
}

/* Section 19.10 and others know no error for a stream that was: what comes late is old news. */
static void frames_for_a_closed_stream_are_ignored(void)
{
    static const struct {
        const char *name;
        const char *bytes;
        size_t size;
    } late[] = {
        {"STREAM", PEER_BYTES("\x0b\x00\x02xy")},
        {"STREAM beyond", PEER_BYTES("\x0e\x00\x05\x01x")},
        {"RESET_STREAM", PEER_BYTES("\x04\x00\x00\x02")},
        {"STOP_SENDING", PEER_BYTES("\x05\x00\x00")},
        {"MAX_STREAM_DATA", PEER_BYTES("\x11\x00\x3f")},
        {"STREAM_DATA_BLOCKED", PEER_BYTES("\x15\x00\x05")},
    };
    struct peer *p = peer_at(S, PEER_DONE);

    close_stream(p);
    CU_ASSERT_PTR_NOT_NULL(peer_event(p, MR_EVENT_CLOSED));
    peer_clear(p);
    for (size_t i = 0; i < MR_COUNT_OF(late); i++) {
        peer_send(p, MR_PACKET_ONE_RTT, late[i].bytes, late[i].size);
        peer_expect_close(p, late[i].name, PEER_NO_CLOSE, 0);
    }
    CU_ASSERT_EQUAL(p->event_count, 0);
    CU_ASSERT_EQUAL(peer_counters(p)->streams_opened, 1);
    peer_end(p);
}

/* Section 3.5: "STREAM frames received after sending a STOP_SENDING frame are still counted toward
 * connection and stream flow control, even though these frames can be discarded upon receipt."  So
 * nothing is waited for when the size was known before: what fills the gap tells nothing new. */
static void a_stopped_stream_whose_size_is_known_is_over(void)
{
    struct peer *p = peer_at(S, PEER_DONE);

    PEER_SEND(p, "\x0f\x00\x02\x02xy"); /* the end; not the beginning */
    mr_handle stream = opened_stream(p);
    CU_ASSERT_EQUAL(mr_stream_stop(peer_endpoint(p), stream, 7), 0);
    CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), stream, NULL, 0, MR_SEND_FIN), 0);
    peer_drain(p);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_STOP_SENDING), 1);
    PEER_SEND(p, "\x0e\x00\x00\x02vw");
    CU_ASSERT_PTR_NULL(peer_event(p, MR_EVENT_CLOSED)); /* our part is not acknowledged */
    peer_ack(p, p->expected_pn[MR_SPACE_APP] - 1, p->expected_pn[MR_SPACE_APP] - 1);
    CU_ASSERT_PTR_NOT_NULL(peer_event(p, MR_EVENT_CLOSED));
    CU_ASSERT_EQUAL(peer_conn(p)->flow_recv.consumed, 4);
    peer_expect_close(p, "stopped", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* Section 4.6: limits count streams of the connection's whole life; a closed one makes room. */
static void a_closed_stream_makes_room_for_another(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_reader r;

    close_stream(p);
    CU_ASSERT_PTR_NOT_NULL_FATAL(peer_find(p, MR_FRAME_MAX_STREAMS_BIDI, 0, &r));
    CU_ASSERT_EQUAL(mr_read_varint(&r), 9);
    PEER_SEND(p, "\x08\x20x");
    peer_expect_close(p, "the ninth stream", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* Section 4.1: credit comes with consumption; the peer may use all of what MAX_DATA and
 * MAX_STREAM_DATA say, and no more. */
static void credit_follows_consumption(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    uint8_t frame[1203] = {0x0c, 0x00, 0x80, 0, 0, 0}; /* STREAM 0, offset, to the packet's end */
    uint32_t offset = 0;
    mr_handle stream = MR_HANDLE_NONE;
    struct mr_reader r;

    while (offset < 300 * 1024 && peer_close_error(p, NULL) == PEER_NO_CLOSE) {
        frame[3] = (uint8_t)(offset >> 16);
        frame[4] = (uint8_t)(offset >> 8);
        frame[5] = (uint8_t)offset;
        peer_send(p, MR_PACKET_ONE_RTT, frame, 6 + 1024);
        offset += 1024;
        stream = stream == MR_HANDLE_NONE ? opened_stream(p) : stream;
        mr_stream_release(peer_endpoint(p), stream, 1024);
        peer_drain(p);
        if (p->inbox_count > PEER_INBOX_MAX / 2 && peer_count(p, MR_FRAME_MAX_STREAM_DATA) == 0)
            p->inbox_count = 0;
    }
    CU_ASSERT_PTR_NOT_NULL_FATAL(peer_find(p, MR_FRAME_MAX_STREAM_DATA, 0, &r));
    CU_ASSERT_EQUAL(mr_read_varint(&r), 0);
    uint64_t limit = mr_read_varint(&r);
    CU_ASSERT_TRUE(limit > 512 * 1024 && limit <= offset + 512 * 1024);
    peer_expect_close(p, "within the window", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* Section 4.5: "The final size is the amount of flow control credit that is consumed by a stream":
 * the connection's credit is not lost with the stream. */
static void a_reset_stream_gives_its_credit_back(void)
{
    struct peer *p = peer_at(S, PEER_DONE);

    PEER_SEND(p, "\x04\x00\x00" AT_512K);
    PEER_SEND(p, "\x04\x04\x00" AT_512K);
    CU_ASSERT_TRUE(peer_count(p, MR_FRAME_MAX_DATA) >= 1);
    PEER_SEND(p, "\x04\x08\x00" AT_512K);
    peer_expect_close(p, "a third window", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* Section 4.1: "A receiver MUST NOT wait for a STREAM_DATA_BLOCKED or DATA_BLOCKED frame before
 * sending a MAX_STREAM_DATA or MAX_DATA frame"; but where a stream that is not read has half of the
 * connection's window, and others use up the rest, DATA_BLOCKED says that there is need of what
 * could be given. */
static void a_stream_that_nobody_reads_leaves_credit_to_others(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_reader r;

    PEER_SEND(p, "\x0c\x00" AT_512K_LESS_1 "x");          /* STREAM 0: all of its window */
    PEER_SEND(p, "\x04\x04\x00\x80\x07\xd0\x00");         /* stream 4 had 500 KiB, and is over */
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_MAX_DATA), 0); /* less than half a window */
    PEER_SEND(p, "\x14\x80\x10\x00\x00");                 /* DATA_BLOCKED at 1 MiB */
    CU_ASSERT_PTR_NOT_NULL_FATAL(peer_find(p, MR_FRAME_MAX_DATA, 0, &r));
    CU_ASSERT_EQUAL(mr_read_varint(&r), (500 + 1024) << 10);
    PEER_SEND(p, "\x14\x80\x10\x00\x00"); /* again, from before: nothing can be given */
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_MAX_DATA), 1);
    peer_end(p);
}

/* 250 bytes on a stream at an offset, and so much padding that they are copied. */
static void send_small(struct peer *p, uint8_t stream, uint32_t offset)
{
    uint8_t frame[1150] = {0x0e, stream, 0x80, 0, 0, 0, 0x40, 250};

    frame[3] = (uint8_t)(offset >> 16);
    frame[4] = (uint8_t)(offset >> 8);
    frame[5] = (uint8_t)offset;
    peer_send(p, MR_PACKET_ONE_RTT, frame, sizeof(frame));
    p->inbox_count = 0;
}

/* What is not read takes no more of the memory for copies than its share: then a packet is not
 * acknowledged, and comes again.  Other streams go on, and so does this one when it is read. */
static void a_stream_that_nobody_reads_leaves_memory_to_others(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    const struct mr_counters *counters = peer_counters(p);
    mr_handle stream = MR_HANDLE_NONE;
    uint32_t offset = 0;

    for (; counters->limit_compact == 0 && offset < 400000; offset += 250) {
        send_small(p, 0, offset);
        stream = stream == MR_HANDLE_NONE ? opened_stream(p) : stream;
    }
    offset -= 250;                               /* the one that was refused */
    CU_ASSERT(offset > 60000 && offset < 80000); /* a quarter of 128 blocks of 2 KiB */
    send_small(p, 0, 1000);                      /* nothing new: acknowledged */
    send_small(p, 4, 0);
    CU_ASSERT_EQUAL(counters->limit_compact, 1);
    CU_ASSERT_EQUAL(counters->stream_bytes_received, offset + 250);
    mr_stream_release(peer_endpoint(p), stream, offset / 2);
    send_small(p, 0, offset);
    CU_ASSERT_EQUAL(counters->limit_compact, 1);
    CU_ASSERT_EQUAL(counters->stream_bytes_received, offset + 500);
    peer_expect_close(p, "within the window", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* Section 21.7: "QUIC deployments SHOULD provide mitigations for stream fragmentation attacks."
 * Bytes with gaps between them: what one stream has waiting is bounded, beyond that packets are not
 * acknowledged; others go on. */
static void fragments_without_an_end_are_bounded(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    const struct mr_counters *counters = peer_counters(p);
    uint8_t frames[8 * 100];

    for (uint32_t packet = 0; packet < 20; packet++) {
        for (uint32_t i = 0; i < 100; i++) {
            uint32_t at = 2 * (100 * packet + i) + 1;
            uint8_t frame[8] = {0x0e, 0x00, 0x80, 0, (uint8_t)(at >> 8), (uint8_t)at, 1, 'x'};

            memcpy(frames + sizeof(frame) * i, frame, sizeof(frame));
        }
        peer_send(p, MR_PACKET_ONE_RTT, frames, sizeof(frames));
        p->inbox_count = 0;
    }
    CU_ASSERT_TRUE(counters->limit_compact + counters->limit_ranges > 0);
    CU_ASSERT_EQUAL(counters->stream_bytes_received, 2 * MR_RECV_RUNS_MAX);
    CU_ASSERT_TRUE(peer_endpoint(p)->ranges.used <= 2 * MR_RECV_RUNS_MAX + 8);
    CU_ASSERT_EQUAL(p->side[S].buffers_out, 0);
    PEER_SEND(p, "\x0a\x04\x01x");
    CU_ASSERT_EQUAL(counters->stream_bytes_received, 2 * MR_RECV_RUNS_MAX + 1);
    peer_expect_close(p, "fragments", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* Section 21.6: "gradually opening flow control windows in order to control the sender rate": what
 * waits for a peer that takes nothing is bounded, on each stream and in all. */
static void what_a_peer_does_not_take_is_bounded(void)
{
    static uint8_t data[1 << 20];
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_endpoint *ep = peer_endpoint(p);
    struct mr_view view = {.data = data, .size = sizeof(data)};
    mr_handle streams[2];
    uint64_t bytes = 0;
    int answer;

    for (int i = 0; i < 2; i++)
        CU_ASSERT_EQUAL_FATAL(mr_stream_open(ep, p->conn, MR_OPEN_UNI, 0, &streams[i]), 0);
    while ((answer = mr_stream_send(ep, streams[0], &view, 1, 0)) == 0 &&
           bytes < 2 * MR_QUEUED_MAX_BYTES)
        bytes += view.size;
    CU_ASSERT_EQUAL(answer, -EAGAIN);
    CU_ASSERT_EQUAL(bytes, MR_QUEUED_MAX_BYTES);
    view.size = 1;
    for (uint32_t i = 0; i < 1000 && answer != -ENOMEM; i++) { /* never next to the last one */
        view.data = data + 3 * i;
        answer = mr_stream_send(ep, streams[1], &view, 1, 0);
    }
    CU_ASSERT_EQUAL(answer, -ENOMEM);
    CU_ASSERT_EQUAL(ep->segments.used, ep->limits.segments_max);
    CU_ASSERT_TRUE(peer_counters(p)->limit_segments > 0);
    peer_expect_close(p, "full", PEER_NO_CLOSE, 0);
    CU_ASSERT_EQUAL(mr_conn_close(ep, p->conn, 0, "", p->now), 0);
    peer_advance(p, 10 * MR_SECOND);
    CU_ASSERT_EQUAL(ep->segments.used, 0);
    peer_end(p);
}

/* Streams that we open: as many as the peer allows, and no data beyond its limits.
 * Section 19.11: "An endpoint MUST NOT open more streams than permitted by the current stream limit
 * set by its peer." */
static void our_streams_obey_the_peers_limits(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    mr_handle stream;
    int opened = 0;

    while (mr_stream_open(peer_endpoint(p), p->conn, MR_OPEN_UNI, 0, &stream) == 0)
        opened++;
    CU_ASSERT_EQUAL(opened, 3);
    peer_drain(p);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_STREAMS_BLOCKED_UNI), 1);
    PEER_SEND(p, "\x13\x02"); /* a lower limit changes nothing */
    CU_ASSERT_PTR_NULL(peer_event(p, MR_EVENT_STREAMS_ALLOWED));
    PEER_SEND(p, "\x13\x04");
    CU_ASSERT_PTR_NOT_NULL(peer_event(p, MR_EVENT_STREAMS_ALLOWED));
    CU_ASSERT_EQUAL(mr_stream_open(peer_endpoint(p), p->conn, MR_OPEN_UNI, 0, &stream), 0);
    CU_ASSERT_EQUAL(mr_stream_id(peer_endpoint(p), stream), 15);
    peer_end(p);
}

/* Section 4.1: "A sender SHOULD send a STREAM_DATA_BLOCKED or DATA_BLOCKED frame to indicate to the
 * receiver that it has data to write but is blocked by flow control limits." - also when there is
 * nothing else to send. */
static void a_limit_that_is_met_is_told_at_once(void)
{
    static const uint8_t bytes[3000];
    static const uint64_t frames[] = {MR_FRAME_STREAM_DATA_BLOCKED, MR_FRAME_DATA_BLOCKED};

    for (int is_conn = 0; is_conn < 2; is_conn++) {
        struct peer_options options = {.under_test = C, .stream_window = is_conn ? 0 : 3000};
        struct peer *p = peer_new(&options);
        struct mr_view view = {bytes, sizeof(bytes)};
        struct mr_conn_info info;
        mr_handle stream;

        peer_run(p, PEER_DONE);
        if (is_conn)
            peer_conn(p)->flow_send.limit = peer_conn(p)->flow_send.used + sizeof(bytes);
        CU_ASSERT_EQUAL(mr_stream_open(peer_endpoint(p), p->conn, MR_OPEN_BIDI, 0, &stream), 0);
        CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), stream, &view, 1, 0), 0);
        peer_drain(p);
        peer_advance(p, 20 * MR_MS);
        peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1);
        CU_ASSERT_EQUAL(peer_count(p, frames[is_conn]), 0);
        CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), stream, &view, 1, 0), 0);
        peer_drain(p);
        CU_ASSERT_EQUAL(peer_count(p, frames[is_conn]), 1);
        peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1); /* it is visited once more, in vain */
        CU_ASSERT_EQUAL(mr_conn_info(peer_endpoint(p), p->conn, &info), 0);
        CU_ASSERT_STRING_EQUAL(info.limited_by, "flow control");
        mr_endpoint_check(peer_endpoint(p));
        peer_end(p);
    }
}

static CU_TestInfo tests[] = {
    {"frames for the wrong direction are refused", frames_for_the_wrong_direction_are_refused},
    {"streams beyond the limit are refused", streams_beyond_the_limit_are_refused},
    {"a refused stream is not created", a_refused_stream_is_not_created},
    {"lower streams are created with a higher one", lower_streams_are_created_with_a_higher_one},
    {"data beyond the windows is refused", data_beyond_the_windows_is_refused},
    {"a final size does not change", a_final_size_does_not_change},
    {"STOP_SENDING is answered with RESET_STREAM", stop_sending_is_answered_with_reset_stream},
    {"frames for a closed stream are ignored", frames_for_a_closed_stream_are_ignored},
    {"a closed stream makes room for another", a_closed_stream_makes_room_for_another},
    {"3.5 a stopped stream whose size is known is over",
     a_stopped_stream_whose_size_is_known_is_over},
    {"credit follows consumption", credit_follows_consumption},
    {"a reset stream gives its credit back", a_reset_stream_gives_its_credit_back},
    {"a stream that nobody reads leaves credit to others",
     a_stream_that_nobody_reads_leaves_credit_to_others},
    {"a stream that nobody reads leaves memory to others",
     a_stream_that_nobody_reads_leaves_memory_to_others},
    {"a limit that is met is told at once", a_limit_that_is_met_is_told_at_once},
    {"fragments without an end are bounded", fragments_without_an_end_are_bounded},
    {"what a peer does not take is bounded", what_a_peer_does_not_take_is_bounded},
    {"our streams obey the peer's limits", our_streams_obey_the_peers_limits},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9000 streams", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
