/*
 * tests/conformance/test_reset_stream_at.c - draft-ietf-quic-reliable-stream-reset: a stream ends
 * with an error behind bytes that are delivered.
 */
#include <errno.h>

#include "tests/support/peer_cases.h"

#define C  MR_CLIENT
#define S  MR_SERVER
#define ON MR_EXTENSION_RESET_STREAM_AT

static uint8_t bytes[1 << 20];

static struct peer *pair(enum mr_role role, uint32_t ours, uint32_t theirs, enum peer_stage stage)
{
    struct peer_options options = {
        .under_test = role, .extensions = ours, .partner_extensions = theirs};
    struct peer *p = peer_new(&options);

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251);
    peer_run(p, stage);
    return p;
}

/* ------------------------------------------------------------------ receiving */

/* `size` bytes of stream 0 (of a client) from `offset` on. */
static void send_data(struct peer *p, uint64_t offset, uint16_t size, bool fin)
{
    uint8_t frame[1400];
    struct mr_writer w = mr_writer(frame, sizeof(frame));

    mr_frame_write_stream_header(
        &w, &(struct mr_frame_stream){.stream_id = 0, .offset = offset, .size = size, .fin = fin},
        true);
    mr_write_bytes(&w, bytes + offset, size);
    peer_send(p, MR_PACKET_ONE_RTT, frame, mr_writer_size(&w));
}

static void send_reset_at(struct peer *p, uint64_t code, uint64_t final_size, uint64_t reliable)
{
    uint8_t frame[64];
    struct mr_writer w = mr_writer(frame, sizeof(frame));

    mr_frame_write_reset_stream_at(
        &w,
        &(struct mr_frame_reset_stream_at){
            .stream_id = 0, .error = code, .final_size = final_size, .reliable_size = reliable});
    peer_send(p, MR_PACKET_ONE_RTT, frame, mr_writer_size(&w));
}

static void send_reset(struct peer *p, uint64_t code, uint64_t final_size)
{
    uint8_t frame[64];
    struct mr_writer w = mr_writer(frame, sizeof(frame));

    mr_frame_write_reset_stream(&w, &(struct mr_frame_reset_stream){
                                        .stream_id = 0, .error = code, .final_size = final_size});
    peer_send(p, MR_PACKET_ONE_RTT, frame, mr_writer_size(&w));
}

/* The stream that the peer opened. */
static mr_handle opened(const struct peer *p)
{
    const struct peer_event *event = peer_event(p, MR_EVENT_STREAM_OPENED);

    return event == NULL ? MR_HANDLE_NONE : event->event.stream;
}

/* All that is shown; what it is, is checked.  Released if `is_released`.  -errno. */
static int64_t read_all(struct peer *p, mr_handle stream, uint64_t from, bool is_released)
{
    struct mr_view views[16];
    bool fin = false;
    int64_t count = mr_stream_receive(peer_endpoint(p), stream, views, 16, &fin);
    size_t size = count < 0 ? 0 : mr_views_size(views, (size_t)count);

    CU_ASSERT_FALSE(fin);
    for (int64_t i = 0; i < count; i++) {
        CU_ASSERT_EQUAL(memcmp(views[i].data, bytes + from, views[i].size), 0);
        from += views[i].size;
    }
    if (count >= 0 && is_released)
        CU_ASSERT_EQUAL(mr_stream_release(peer_endpoint(p), stream, size), 0);
    peer_drain(p);
    mr_endpoint_check(peer_endpoint(p));
    return count < 0 ? count : (int64_t)size;
}

/* Let its events come. */
static const struct peer_event *reset_event(struct peer *p)
{
    peer_advance(p, MR_MS);
    return peer_event(p, MR_EVENT_RESET);
}

/* "Once all data up to the smallest Reliable Size have been received, it enters the "Data Recvd"
 * state." - The application gets the bytes, and then the reset. */
static void the_reset_comes_behind_the_reliable_bytes(void)
{
    struct peer *p = pair(S, ON, 0, PEER_DONE);

    send_data(p, 0, 500, false);
    mr_handle stream = opened(p);
    send_reset_at(p, 77, 1500, 1000);
    CU_ASSERT_PTR_NULL(reset_event(p));
    CU_ASSERT_EQUAL(read_all(p, stream, 0, true), 500);
    CU_ASSERT_PTR_NULL(reset_event(p));
    send_data(p, 500, 500, false);
    CU_ASSERT_PTR_NULL(reset_event(p));
    CU_ASSERT_EQUAL(read_all(p, stream, 500, true), 500);
    const struct peer_event *event = reset_event(p);
    CU_ASSERT_PTR_NOT_NULL_FATAL(event);
    CU_ASSERT_EQUAL(event->event.error, 77);
    CU_ASSERT_EQUAL(event->event.result, 1);
    CU_ASSERT_EQUAL(read_all(p, stream, 1000, true), -ECONNRESET);
    /* the bytes that never came count as consumed (RFC 9000, Section 4.5) */
    CU_ASSERT_EQUAL(peer_conn(p)->flow_recv.received, 1500);
    CU_ASSERT_EQUAL(peer_conn(p)->flow_recv.consumed, 1500);
    peer_expect_close(p, "reset at", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* Data beyond the Reliable Size is not shown, whether or not it came; the reset may come first. "It
 * MUST NOT expect the sender to deliver any data beyond that byte offset."
 * (draft-ietf-quic-reliable-stream-reset: Multiple RESET_STREAM_AT / RESET_STREAM frames) */
static void no_more_than_the_reliable_bytes_are_shown(void)
{
    struct peer *p = pair(S, ON, 0, PEER_DONE);

    send_reset_at(p, 5, 1200, 600);
    CU_ASSERT_PTR_NULL(reset_event(p));
    send_data(p, 600, 600, true);
    send_data(p, 0, 600, false);
    CU_ASSERT_EQUAL(read_all(p, opened(p), 0, false), 600);
    CU_ASSERT_PTR_NULL(reset_event(p));
    CU_ASSERT_EQUAL(read_all(p, opened(p), 0, true), 600);
    CU_ASSERT_PTR_NOT_NULL(reset_event(p));
    peer_end(p);
}

/* "Note that a Reliable Size value of zero is valid.  For purposes of data delivery, a
 * RESET_STREAM_AT frame with this value is logically equivalent to a RESET_STREAM frame". */
static void a_reliable_size_of_zero_is_a_reset(void)
{
    struct peer *p = pair(S, ON, 0, PEER_DONE);

    send_data(p, 0, 100, false);
    mr_handle stream = opened(p);
    send_reset_at(p, 5, 100, 0);
    CU_ASSERT_PTR_NOT_NULL(reset_event(p));
    CU_ASSERT_EQUAL(read_all(p, stream, 0, true), -ECONNRESET);
    peer_end(p);
}

/* What the application was shown stays, as it is, until it gives it back; what it was not shown is
 * dropped at once (transport.h, `receive`).  Only then does its window open. */
static void what_was_shown_outlives_the_reset(void)
{
    for (int i = 0; i < 4; i++) {
        struct peer *p = pair(S, ON, 0, PEER_DONE);
        const struct mr_flow_recv *window = &peer_conn(p)->flow_recv;
        struct mr_view views[2];
        bool fin;

        send_data(p, 0, 500, false);
        mr_handle stream = opened(p);
        CU_ASSERT_EQUAL(mr_stream_receive(peer_endpoint(p), stream, views, 2, &fin), 1);
        send_data(p, 500, 500, false);
        send_data(p, 2000, 500, false);
        if (i == 1)
            send_reset_at(p, 5, 2500, 0);
        else
            send_reset(p, 5, 2500);
        CU_ASSERT_PTR_NOT_NULL(reset_event(p));
        CU_ASSERT_EQUAL(p->side[S].buffers_out, 1);
        CU_ASSERT_EQUAL(read_all(p, stream, 0, false), -ECONNRESET);
        send_data(p, 1000, 500, false); /* late */
        CU_ASSERT_EQUAL(memcmp(views[0].data, bytes, 500), 0);
        CU_ASSERT_EQUAL(window->consumed, 2000);
        CU_ASSERT_EQUAL(mr_stream_release(peer_endpoint(p), stream, 501), -EINVAL);
        if (i < 2) {
            CU_ASSERT_EQUAL(mr_stream_release(peer_endpoint(p), stream, 200), 0);
            CU_ASSERT_EQUAL(window->consumed, 2200);
            CU_ASSERT_EQUAL(memcmp(views[0].data + 200, bytes + 200, 300), 0);
            CU_ASSERT_EQUAL(mr_stream_release(peer_endpoint(p), stream, 300), 0);
        } else if (i == 2) {
            CU_ASSERT_EQUAL(mr_stream_stop(peer_endpoint(p), stream, 1), 0);
        } else { /* or its CLOSED takes it */
            CU_ASSERT_EQUAL(mr_stream_reset(peer_endpoint(p), stream, 1), 0);
            peer_advance(p, MR_MS);
            CU_ASSERT_EQUAL(memcmp(views[0].data, bytes, 500), 0);
            peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1);
            peer_advance(p, MR_MS);
            CU_ASSERT_PTR_NOT_NULL(peer_event(p, MR_EVENT_CLOSED));
        }
        peer_advance(p, MR_MS);
        CU_ASSERT_EQUAL(window->consumed, 2500);
        CU_ASSERT_EQUAL(p->side[S].buffers_out, 0);
        peer_expect_close(p, "reset", PEER_NO_CLOSE, 0);
        peer_end(p);
    }
}

/* What was released already is enough. */
static void bytes_that_were_read_before_are_not_waited_for(void)
{
    struct peer *p = pair(S, ON, 0, PEER_DONE);

    send_data(p, 0, 100, false);
    CU_ASSERT_EQUAL(read_all(p, opened(p), 0, true), 100);
    send_reset_at(p, 5, 400, 60);
    CU_ASSERT_PTR_NOT_NULL(reset_event(p));
    peer_end(p);
}

/* "When receiving a RESET_STREAM_AT frame with a lower Reliable Size, the receiver only needs to
 * provide data up to the lower Reliable Size to the application."  "The receiver MUST ignore any
 * RESET_STREAM_AT frame that increases the Reliable Size." */
static void the_reliable_size_only_falls(void)
{
    struct peer *p = pair(S, ON, 0, PEER_DONE);

    send_data(p, 0, 300, false);
    mr_handle stream = opened(p);
    send_reset_at(p, 5, 900, 600);
    CU_ASSERT_EQUAL(read_all(p, stream, 0, true), 300);
    send_reset_at(p, 5, 900, 700);
    send_data(p, 300, 300, false);
    CU_ASSERT_EQUAL(read_all(p, stream, 300, false), 300);
    send_reset_at(p, 5, 900, 400);
    CU_ASSERT_EQUAL(read_all(p, stream, 300, false), 100);
    CU_ASSERT_PTR_NULL(reset_event(p));
    send_reset_at(p, 5, 900, 500);
    CU_ASSERT_EQUAL(read_all(p, stream, 300, true), 100);
    CU_ASSERT_PTR_NOT_NULL(reset_event(p));
    send_reset_at(p, 5, 900, 100);
    peer_expect_close(p, "reset at", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* "It MAY also send a RESET_STREAM frame, which for purposes of data delivery is equivalent to
 * sending a RESET_STREAM_AT frame with a Reliable Size of zero." */
static void a_reset_stream_ends_the_wait(void)
{
    struct peer *p = pair(S, ON, 0, PEER_DONE);

    send_data(p, 0, 300, false);
    mr_handle stream = opened(p);
    send_reset_at(p, 5, 900, 600);
    CU_ASSERT_PTR_NULL(reset_event(p));
    send_reset(p, 5, 900);
    CU_ASSERT_PTR_NOT_NULL(reset_event(p));
    CU_ASSERT_EQUAL(read_all(p, stream, 0, true), -ECONNRESET);
    peer_end(p);
}

/* RFC 9000, Section 3.2: a reset that arrives after all data may be ignored. */
static void a_reset_behind_all_data_is_ignored(void)
{
    struct peer *p = pair(S, ON, 0, PEER_DONE);
    struct mr_view view;
    bool fin = false;

    send_data(p, 0, 300, true);
    send_reset_at(p, 5, 300, 100);
    CU_ASSERT_PTR_NULL(reset_event(p));
    CU_ASSERT_EQUAL(mr_stream_receive(peer_endpoint(p), opened(p), &view, 1, &fin), 1);
    CU_ASSERT(fin && view.size == 300);
    peer_end(p);
}

/* An application that wants no more of the stream (STOP_SENDING) waits for nothing. */
static void a_stopped_stream_waits_for_nothing(void)
{
    for (int i = 0; i < 2; i++) {
        struct peer *p = pair(S, ON, 0, PEER_DONE);

        send_data(p, 0, 300, false);
        mr_handle stream = opened(p);
        if (i == 0)
            CU_ASSERT_EQUAL(mr_stream_stop(peer_endpoint(p), stream, 3), 0);
        send_reset_at(p, 5, 900, 600);
        if (i == 1)
            CU_ASSERT_EQUAL(mr_stream_stop(peer_endpoint(p), stream, 3), 0);
        CU_ASSERT_PTR_NOT_NULL(reset_event(p));
        CU_ASSERT_EQUAL(peer_conn(p)->flow_recv.consumed, 900);
        peer_end(p);
    }
}

/* "If the Reliable Size is larger than the Final Size, the receiver MUST close the connection with
 * a connection error of type FRAME_ENCODING_ERROR."  "If an endpoint receives a RESET_STREAM_AT
 * frame that violates either flow control limit, it MUST close the connection with an error of type
 * FLOW_CONTROL_ERROR."  "the initiator MUST NOT change the Application Error Code or the Final
 * Size. If the receiver detects a change in those fields, it MUST close the connection with a
 * connection error of type STREAM_STATE_ERROR or FINAL_SIZE_ERROR, respectively." */
static void broken_frames_end_the_connection(void)
{
    static const struct {
        const char *name;
        struct {
            char what; /* 'a': RESET_STREAM_AT, 'r': RESET_STREAM, 'd': data, 'f': with FIN */
            uint64_t code, final_size, reliable;
        } frames[3];
        uint64_t error;
    } rows[] = {
        {"over the final size", {{'a', 1, 100, 101}}, MR_FRAME_ENCODING_ERROR},
        {"over the stream's window", {{'a', 1, UINT64_C(1) << 30, 0}}, MR_FLOW_CONTROL_ERROR},
        {"below what came", {{'d', 0, 300, 0}, {'a', 1, 299, 10}}, MR_FINAL_SIZE_ERROR},
        {"another than FIN's", {{'f', 0, 300, 0}, {'a', 1, 301, 10}}, MR_FINAL_SIZE_ERROR},
        {"another than before", {{'a', 1, 400, 10}, {'a', 1, 401, 5}}, MR_FINAL_SIZE_ERROR},
        {"another than RESET_STREAM's", {{'r', 1, 400, 0}, {'a', 1, 401, 5}}, MR_FINAL_SIZE_ERROR},
        {"RESET_STREAM with another", {{'a', 1, 400, 5}, {'r', 1, 401, 0}}, MR_FINAL_SIZE_ERROR},
        {"FIN beyond", {{'a', 1, 200, 5}, {'f', 0, 300, 0}}, MR_FINAL_SIZE_ERROR},
        {"another code", {{'a', 1, 400, 10}, {'a', 2, 400, 5}}, MR_STREAM_STATE_ERROR},
        {"another code, higher", {{'a', 1, 400, 10}, {'a', 2, 400, 50}}, MR_STREAM_STATE_ERROR},
        {"another code in RESET_STREAM",
         {{'a', 1, 400, 9}, {'r', 2, 400, 0}},
         MR_STREAM_STATE_ERROR},
        {"another code behind RESET_STREAM",
         {{'r', 1, 9, 0}, {'a', 2, 9, 0}},
         MR_STREAM_STATE_ERROR},
        {"all the same", {{'a', 1, 400, 10}, {'a', 1, 400, 10}, {'r', 1, 400, 0}}, PEER_NO_CLOSE},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct peer *p = pair(S, ON, 0, PEER_DONE);

        for (size_t k = 0; k < MR_COUNT_OF(rows[i].frames) && rows[i].frames[k].what != 0; k++) {
            if (rows[i].frames[k].what == 'a')
                send_reset_at(p, rows[i].frames[k].code, rows[i].frames[k].final_size,
                              rows[i].frames[k].reliable);
            else if (rows[i].frames[k].what == 'r')
                send_reset(p, rows[i].frames[k].code, rows[i].frames[k].final_size);
            else
                send_data(p, 0, (uint16_t)rows[i].frames[k].final_size,
                          rows[i].frames[k].what == 'f');
        }
        peer_expect_close(p, rows[i].name, rows[i].error, PEER_ANY_FRAME);
        peer_end(p);
    }
}

/* RFC 9000, Section 19.4: a stream that the peer may only receive on; Section 12.4: a frame of an
 * extension that was not offered.  "RESET_STREAM_AT frames are ack-eliciting, and MUST only be sent
 * in the application data packet number space." (draft-ietf-quic-reliable-stream-reset:
 * RESET_STREAM_AT Frame) */
static void frames_that_must_not_come_end_the_connection(void)
{
    static const char ours[] = "\x24\3\1\2\1"; /* a unidirectional stream of a server */
    struct peer *p = pair(S, ON, 0, PEER_DONE);

    peer_send(p, MR_PACKET_ONE_RTT, ours, sizeof(ours) - 1);
    peer_expect_close(p, "direction", MR_STREAM_STATE_ERROR, MR_FRAME_RESET_STREAM_AT);
    peer_end(p);
    p = pair(S, 0, ON, PEER_DONE);
    send_reset_at(p, 5, 100, 0);
    peer_expect_close(p, "not offered", MR_FRAME_ENCODING_ERROR, MR_FRAME_RESET_STREAM_AT);
    peer_end(p);
    p = pair(S, ON, 0, PEER_HELLO);
    peer_send(p, MR_PACKET_INITIAL, "\x24\0\1\2\1", 5);
    peer_expect_close(p, "in an Initial", MR_PROTOCOL_VIOLATION, MR_FRAME_RESET_STREAM_AT);
    peer_end(p);
    for (size_t size = 1; size < 5; size++) {
        p = pair(S, ON, 0, PEER_DONE);
        peer_send(p, MR_PACKET_ONE_RTT, "\x24\0\1\2\1", size);
        peer_expect_close(p, "cut", MR_FRAME_ENCODING_ERROR, MR_FRAME_RESET_STREAM_AT);
        peer_end(p);
    }
}

/* A peer that guarantees bytes and never sends them holds no more than an open stream does: it is
 * one of its streams, in its flow control, and ends with the connection. */
static void promises_that_are_not_kept_are_bounded(void)
{
    struct peer *p = pair(S, ON, 0, PEER_DONE);
    uint8_t frame[64];

    for (uint64_t i = 0; i < 9; i++) { /* streams_bidi_max is 8 */
        struct mr_writer w = mr_writer(frame, sizeof(frame));

        mr_frame_write_reset_stream_at(
            &w, &(struct mr_frame_reset_stream_at){
                    .stream_id = 4 * i, .error = 1, .final_size = 1000, .reliable_size = 900});
        CU_ASSERT_EQUAL(peer_close_error(p, NULL), PEER_NO_CLOSE);
        peer_send(p, MR_PACKET_ONE_RTT, frame, mr_writer_size(&w));
    }
    peer_expect_close(p, "limit", MR_STREAM_LIMIT_ERROR, MR_FRAME_RESET_STREAM_AT);
    peer_end(p);
}

/* ------------------------------------------------------------------ sending */

static mr_handle open_stream(struct peer *p)
{
    mr_handle stream = MR_HANDLE_NONE;

    CU_ASSERT_EQUAL(mr_stream_open(peer_endpoint(p), p->conn, 0, 0, &stream), 0);
    return stream;
}

static int give(struct peer *p, mr_handle stream, uint64_t from, size_t size, uint32_t flags)
{
    struct mr_view view = {.data = bytes + from, .size = size};

    return mr_stream_send(peer_endpoint(p), stream, &view, 1, flags);
}

static int reset_at(struct peer *p, mr_handle stream, uint64_t code, uint64_t reliable)
{
    int answer = mr_stream_reset_at(peer_endpoint(p), stream, code, reliable);

    mr_endpoint_check(peer_endpoint(p));
    return answer;
}

static bool find_reset_at(struct peer *p, uint32_t nth, struct mr_frame_reset_stream_at *out)
{
    struct mr_reader r;

    return peer_find(p, MR_FRAME_RESET_STREAM_AT, nth, &r) != NULL &&
           mr_frame_decode_reset_stream_at(&r, MR_FRAME_RESET_STREAM_AT, out);
}

/* The end of what the endpoint under test has sent of a stream. */
static uint64_t sent_to(const struct peer *p)
{
    struct mr_frame_stream frame;
    struct mr_reader r;
    uint64_t end = 0;

    for (uint32_t i = 0; i < p->inbox_count; i++) {
        uint64_t type;

        r = mr_reader(p->inbox[i].bytes, p->inbox[i].size);
        if (p->inbox[i].is_open && mr_frame_read_type(&r, &type) == MR_FRAME_TYPE_OK &&
            mr_frame_type_is_stream(type) && mr_frame_decode_stream(&r, type, &frame))
            end = MR_MAX(end, frame.offset + frame.size);
    }
    return end;
}

/* "A sender that wants to reset a stream but also deliver some bytes to the receiver sends a
 * RESET_STREAM_AT frame with the Reliable Size field specifying the amount of data to be
 * delivered."  Two endpoints: the bytes come, then the reset, and both sides are done. */
static void two_endpoints_do_it(void)
{
    for (int role = 0; role < 2; role++) {
        struct peer *p = pair((enum mr_role)role, ON, ON, PEER_BOTH);
        struct mr_endpoint *partner = p->side[!p->role].ep;
        mr_handle stream;
        struct mr_view views[64];
        bool fin;
        uint64_t got = 0;

        CU_ASSERT_EQUAL(mr_stream_open(peer_endpoint(p), p->conn, MR_OPEN_UNI, 0, &stream), 0);
        CU_ASSERT_EQUAL(give(p, stream, 0, 100000, MR_SEND_FIN), 0);
        CU_ASSERT_EQUAL(reset_at(p, stream, 99, 30000), 0);
        CU_ASSERT_EQUAL(give(p, stream, 0, 1, 0), -EPIPE);
        peer_round_trip(p);
        const struct mr_stream *theirs = mr_stream_at(partner, 0);
        for (int i = 0; i < 40; i++) {
            peer_round_trip(p);
            mr_handle handle = theirs->handle;
            int64_t count = mr_stream_receive(partner, handle, views, 64, &fin);

            for (int64_t k = 0; k < count; k++) {
                CU_ASSERT_EQUAL(memcmp(views[k].data, bytes + got, views[k].size), 0);
                got += views[k].size;
            }
            if (count > 0)
                mr_stream_release(partner, handle, mr_views_size(views, (size_t)count));
        }
        CU_ASSERT_EQUAL(got, 30000);
        CU_ASSERT_EQUAL(theirs->peer_code, 99);
        CU_ASSERT_EQUAL(mr_endpoint_counters(partner)->streams_reset_received, 1);
        CU_ASSERT_PTR_NOT_NULL(peer_event(p, MR_EVENT_CLOSED));
        CU_ASSERT_EQUAL(partner->streams.used, 0);
        CU_ASSERT_EQUAL(peer_endpoint(p)->streams.used, 0);
        CU_ASSERT_EQUAL(peer_endpoint(p)->segments.used, 0);
        peer_end(p);
    }
}

/* "An endpoint MUST NOT send a RESET_STREAM_AT frame that exceeds the largest maximum stream data
 * value advertised by the receiver for the stream, or that violates the receiver's maximum data
 * limit. Consequently, the sender might need to defer sending RESET_STREAM_AT". */
static void the_frame_waits_for_flow_control(void)
{
    struct peer_options options = {
        .under_test = S, .extensions = ON, .partner_extensions = ON, .stream_window = 16384};
    struct peer *p = peer_new(&options);

    peer_run(p, PEER_DONE);
    struct mr_frame_reset_stream_at frame = {0};
    mr_handle stream = open_stream(p);
    uint8_t limit[32];

    CU_ASSERT_EQUAL(give(p, stream, 0, 20000, 0), 0);
    CU_ASSERT_EQUAL(reset_at(p, stream, 4, 18000), 0);
    for (int i = 0; i < 20; i++) {
        peer_advance(p, 10 * MR_MS);
        peer_clear(p);
        peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1);
        CU_ASSERT_FALSE(find_reset_at(p, 0, &frame));
    }
    struct mr_writer w = mr_writer(limit, sizeof(limit));
    mr_frame_write_max_stream_data(
        &w, &(struct mr_frame_stream_limit){.stream_id = 1, .limit = 100000});
    peer_send(p, MR_PACKET_ONE_RTT, limit, mr_writer_size(&w));
    for (int i = 0; i < 20 && !find_reset_at(p, 0, &frame); i++) {
        peer_clear(p);
        peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1);
        peer_advance(p, 10 * MR_MS);
    }
    CU_ASSERT_TRUE(find_reset_at(p, 0, &frame));
    CU_ASSERT_EQUAL(frame.final_size, 18000);
    CU_ASSERT_EQUAL(frame.reliable_size, 18000);
    CU_ASSERT_EQUAL(frame.error, 4);
    CU_ASSERT_EQUAL(frame.stream_id, 1);
    peer_end(p);
}

/* A server of the peer's that sent `size` bytes of stream 1, of which nothing is acknowledged. */
static mr_handle send_some(struct peer *p, size_t size)
{
    mr_handle stream = open_stream(p);

    CU_ASSERT_EQUAL(give(p, stream, 0, size, 0), 0);
    peer_drain(p);
    CU_ASSERT_EQUAL(sent_to(p), size);
    return stream;
}

/* "the initiator MUST guarantee reliable delivery of stream data of at least Reliable Size bytes.
 * If STREAM frames containing data up to that byte offset are lost, the initiator MUST retransmit
 * this data [...] Data sent beyond that byte offset SHOULD NOT be retransmitted." */
static void only_the_reliable_bytes_are_sent_again(void)
{
    struct peer *p = pair(S, ON, ON, PEER_DONE);
    struct mr_frame_reset_stream_at frame = {0};
    mr_handle stream = send_some(p, 8000);

    CU_ASSERT_EQUAL(reset_at(p, stream, 4, 3000), 0);
    peer_drain(p);
    CU_ASSERT_TRUE_FATAL(find_reset_at(p, 0, &frame));
    CU_ASSERT_EQUAL(frame.final_size, 8000);
    CU_ASSERT_EQUAL(frame.reliable_size, 3000);
    uint64_t last = p->expected_pn[MR_SPACE_APP] - 1;
    peer_clear(p);
    peer_ack(p, last, last); /* RESET_STREAM_AT came, the data is lost */
    peer_advance(p, 200 * MR_MS);
    CU_ASSERT_EQUAL(sent_to(p), 3000);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_RESET_STREAM_AT), 0);
    CU_ASSERT_PTR_NULL(peer_event(p, MR_EVENT_CLOSED));
    CU_ASSERT_EQUAL(mr_stream_at(peer_endpoint(p), 0)->send_state, MR_SEND_DATA_SENT);
    peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1);
    CU_ASSERT_EQUAL(mr_stream_at(peer_endpoint(p), 0)->send_state, MR_SEND_DATA_RECVD);
    peer_end(p);
}

/* "RESET_STREAM_AT frames are ack-eliciting [...] When lost, they MUST be retransmitted".  "When
 * lost, they MUST be retransmitted, unless the stream state has transitioned to "Data Recvd" or
 * "Reset Recvd" due to transmission and acknowledgement of other frames (see {{multiple-frames}})."
 * (draft-ietf-quic-reliable-stream-reset: RESET_STREAM_AT Frame) */
static void a_lost_frame_is_sent_again(void)
{
    struct peer *p = pair(S, ON, ON, PEER_DONE);
    struct mr_frame_reset_stream_at frame = {0};
    mr_handle stream = send_some(p, 2000);
    uint64_t data = p->expected_pn[MR_SPACE_APP] - 1;

    CU_ASSERT_EQUAL(reset_at(p, stream, 4, 2000), 0);
    peer_drain(p);
    CU_ASSERT_TRUE_FATAL(find_reset_at(p, 0, &frame));
    peer_clear(p);
    peer_ack(p, 0, data);
    peer_advance(p, 500 * MR_MS); /* probes repeat it */
    CU_ASSERT_TRUE(find_reset_at(p, 0, &frame));
    CU_ASSERT_EQUAL(frame.reliable_size, 2000);
    peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1);
    CU_ASSERT_EQUAL(mr_stream_at(peer_endpoint(p), 0)->send_state, MR_SEND_DATA_RECVD);
    peer_clear(p);
    peer_advance(p, MR_SECOND);
    CU_ASSERT_FALSE(find_reset_at(p, 0, &frame));
    peer_end(p);
}

/* "When reducing the Reliable Size, the sender MUST retransmit the RESET_STREAM_AT frame carrying
 * the smallest Reliable Size as well as stream data up to that size, until all acknowledgements for
 * the stream data and the RESET_STREAM_AT frame are received."  "the initiator MUST NOT increase
 * the Reliable Size", nor "change the Application Error Code or the Final Size".  "When sending
 * another RESET_STREAM_AT, RESET_STREAM or STREAM frame carrying a FIN bit for the same stream, the
 * initiator MUST NOT change the Application Error Code or the Final Size."
 * (draft-ietf-quic-reliable-stream-reset: Multiple RESET_STREAM_AT / RESET_STREAM frames) */
static void the_smallest_reliable_size_counts(void)
{
    struct peer *p = pair(S, ON, ON, PEER_DONE);
    struct mr_frame_reset_stream_at frame = {0};
    mr_handle stream = send_some(p, 8000);

    CU_ASSERT_EQUAL(reset_at(p, stream, 4, 8001), -EINVAL);
    CU_ASSERT_EQUAL(reset_at(p, stream, MR_ERROR_CODE_MAX + 1, 10), -EINVAL);
    CU_ASSERT_EQUAL(reset_at(p, stream, 4, 5000), 0);
    peer_drain(p);
    uint64_t first = p->expected_pn[MR_SPACE_APP] - 1;
    CU_ASSERT_EQUAL(reset_at(p, stream, 4, 5001), -EINVAL);
    CU_ASSERT_EQUAL(reset_at(p, stream, 5, 100), -EINVAL);
    CU_ASSERT_EQUAL(reset_at(p, stream, 4, 5000), 0);
    CU_ASSERT_EQUAL(reset_at(p, stream, 4, 1000), 0);
    peer_clear(p);
    peer_ack(p, first, first); /* of the larger one: not enough */
    peer_advance(p, 500 * MR_MS);
    CU_ASSERT_TRUE(find_reset_at(p, 0, &frame));
    CU_ASSERT(frame.reliable_size == 1000 && frame.final_size == 8000 && frame.error == 4);
    CU_ASSERT_TRUE(sent_to(p) <= 1000);
    peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1);
    CU_ASSERT_EQUAL(mr_stream_at(peer_endpoint(p), 0)->send_state, MR_SEND_DATA_RECVD);
    peer_end(p);
}

/* RESET_STREAM after it guarantees nothing; STOP_SENDING asks for it: "endpoints SHOULD send a
 * RESET_STREAM frame".  The code is the first one. */
static void a_reset_stream_may_follow(void)
{
    for (int i = 0; i < 2; i++) {
        struct peer *p = pair(S, ON, ON, PEER_DONE);
        struct mr_frame_reset_stream reset = {0};
        struct mr_reader r;
        mr_handle stream = send_some(p, 8000);

        CU_ASSERT_EQUAL(reset_at(p, stream, 4, 5000), 0);
        peer_drain(p);
        if (i == 0) {
            CU_ASSERT_EQUAL(mr_stream_reset(peer_endpoint(p), stream, 44), 0);
            peer_drain(p);
        } else {
            PEER_SEND(p, "\5\1\x2c");
        }
        CU_ASSERT_PTR_NOT_NULL_FATAL(peer_find(p, MR_FRAME_RESET_STREAM, 0, &r));
        CU_ASSERT_TRUE(mr_frame_decode_reset_stream(&r, MR_FRAME_RESET_STREAM, &reset));
        CU_ASSERT(reset.error == 4 && reset.final_size == 8000);
        CU_ASSERT_EQUAL(reset_at(p, stream, 4, 100), -EPIPE);
        peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1);
        CU_ASSERT_EQUAL(mr_stream_at(peer_endpoint(p), 0)->send_state, MR_SEND_RESET_RECVD);
        peer_end(p);
    }
}

/* "it is possible to send a RESET_STREAM_AT frame after a STREAM frame carrying the FIN bit": with
 * the same final size. */
static void it_may_follow_fin(void)
{
    struct peer *p = pair(S, ON, ON, PEER_DONE);
    struct mr_frame_reset_stream_at frame = {0};
    mr_handle stream = open_stream(p);

    CU_ASSERT_EQUAL(give(p, stream, 0, 5000, MR_SEND_FIN), 0);
    peer_drain(p);
    CU_ASSERT_EQUAL(reset_at(p, stream, 4, 1000), 0);
    peer_drain(p);
    CU_ASSERT_TRUE(find_reset_at(p, 0, &frame));
    CU_ASSERT(frame.final_size == 5000 && frame.reliable_size == 1000);
    peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1);
    CU_ASSERT_EQUAL(mr_stream_at(peer_endpoint(p), 0)->send_state, MR_SEND_DATA_RECVD);
    CU_ASSERT_EQUAL(reset_at(p, stream, 4, 100), -EPIPE);
    peer_end(p);
}

/* What was not sent beyond the Reliable Size never is. */
static void unsent_bytes_beyond_are_dropped(void)
{
    struct peer *p = pair(S, ON, ON, PEER_DONE);
    struct mr_frame_reset_stream_at frame = {0};
    mr_handle stream = open_stream(p);

    CU_ASSERT_EQUAL(give(p, stream, 0, 9000, 0), 0);
    CU_ASSERT_EQUAL(reset_at(p, stream, 4, 0), 0); /* nothing was sent yet */
    peer_advance(p, MR_SECOND);
    CU_ASSERT_EQUAL(sent_to(p), 0);
    CU_ASSERT_TRUE(find_reset_at(p, 0, &frame));
    CU_ASSERT(frame.final_size == 0 && frame.reliable_size == 0);
    CU_ASSERT_EQUAL(peer_endpoint(p)->segments.used, 0);
    peer_end(p);
}

static void a_peer_that_does_not_take_it_is_not_asked(void)
{
    for (int i = 0; i < 3; i++) {
        struct peer *p = pair(S, (i & 1) != 0 ? ON : 0, (i & 2) != 0 ? ON : 0, PEER_DONE);
        mr_handle stream = send_some(p, 3000);

        CU_ASSERT_EQUAL(reset_at(p, stream, 4, 1000), -EOPNOTSUPP);
        CU_ASSERT_EQUAL(give(p, stream, 3000, 100, 0), 0); /* it goes on */
        peer_end(p);
    }
}

static CU_TestInfo tests[] = {
    {"the reset comes behind the reliable bytes", the_reset_comes_behind_the_reliable_bytes},
    {"no more than the reliable bytes are shown", no_more_than_the_reliable_bytes_are_shown},
    {"a reliable size of zero is a reset", a_reliable_size_of_zero_is_a_reset},
    {"what was shown outlives the reset", what_was_shown_outlives_the_reset},
    {"bytes that were read before are not waited for",
     bytes_that_were_read_before_are_not_waited_for},
    {"the reliable size only falls", the_reliable_size_only_falls},
    {"a RESET_STREAM ends the wait", a_reset_stream_ends_the_wait},
    {"a reset behind all data is ignored", a_reset_behind_all_data_is_ignored},
    {"a stopped stream waits for nothing", a_stopped_stream_waits_for_nothing},
    {"broken frames end the connection", broken_frames_end_the_connection},
    {"frames that must not come end the connection", frames_that_must_not_come_end_the_connection},
    {"promises that are not kept are bounded", promises_that_are_not_kept_are_bounded},
    {"two endpoints do it", two_endpoints_do_it},
    {"the frame waits for flow control", the_frame_waits_for_flow_control},
    {"only the reliable bytes are sent again", only_the_reliable_bytes_are_sent_again},
    {"a lost frame is sent again", a_lost_frame_is_sent_again},
    {"the smallest reliable size counts", the_smallest_reliable_size_counts},
    {"a RESET_STREAM may follow", a_reset_stream_may_follow},
    {"it may follow FIN", it_may_follow_fin},
    {"unsent bytes beyond are dropped", unsent_bytes_beyond_are_dropped},
    {"a peer that does not take it is not asked", a_peer_that_does_not_take_it_is_not_asked},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RESET_STREAM_AT", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
