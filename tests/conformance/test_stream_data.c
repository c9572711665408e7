/* RFC 9000, Sections 2.2, 3, 4 and 7.5: what a stream's data must do, sentence by sentence. */
#include <string.h>

#include "quic/crypto_stream.h"
#include "quic/flow.h"
#include "quic/recv_queue.h"
#include "quic/recv_state.h"
#include "quic/send_queue.h"
#include "tests/unit/harness.h"
#include "tests/unit/stream_pools.h"

static uint8_t memory[1 << 14];

static void start(void)
{
    for (uint32_t i = 0; i < sizeof(memory); i++)
        memory[i] = stream_byte(i);
    stream_pools_init(256, 8, 32);
}

static enum mr_recv_verdict insert(struct mr_recv_queue *q, uint64_t offset, uint32_t size,
                                   bool has_fin)
{
    static struct mr_buf buf = {.references = 1};
    static struct mr_buf_list released;

    mr_buf_list_init(&released);
    return mr_recv_queue_insert(q, &recv_pools, &released,
                                &(struct mr_recv_frame){.offset = offset,
                                                        .data = memory + offset,
                                                        .buf = &buf,
                                                        .size = size,
                                                        .has_fin = has_fin});
}

static void append(struct mr_send_queue *q, uint32_t size, uint32_t flags)
{
    struct mr_view view = {.data = memory + q->end_offset, .size = size};

    CU_ASSERT_EQUAL(mr_send_queue_append(q, &send_pools, &view, 1, flags), MR_APPEND_OK);
}

/*
 * RFC 9000, Section 2.2: "Endpoints MUST be able to deliver stream data to an application as an
 * ordered byte stream."
 */
static void stream_data_is_delivered_in_order(void)
{
    enum {
        FRAMES = 64,
        SIZE = 100,
        STRIDE = 37 /* prime to FRAMES */
    };
    struct mr_recv_queue q;
    struct mr_view views[FRAMES];
    bool has_fin;

    start();
    mr_recv_queue_init(&q);
    for (uint32_t i = 0; i < FRAMES; i++)
        CU_ASSERT_EQUAL(insert(&q, (i * STRIDE + 5) % FRAMES * SIZE, SIZE, false), MR_RECV_OK);
    CU_ASSERT_EQUAL(mr_recv_queue_peek(&q, &recv_pools, views, FRAMES, &has_fin), FRAMES);
    for (uint32_t i = 0; i < FRAMES; i++)
        CU_ASSERT_EQUAL(memcmp(views[i].data, memory + i * SIZE, SIZE), 0);
}

/*
 * RFC 9000, Section 2.2: "The data at a given offset MUST NOT change if it is sent multiple times".
 */
static void a_retransmission_repeats_the_data(void)
{
    struct mr_send_queue q;
    struct mr_send_frame first, again;

    start();
    mr_send_queue_init(&q);
    append(&q, 3000, 0);
    CU_ASSERT(mr_send_queue_next(&q, &send_pools, 1200, UINT64_MAX, &first));
    mr_send_queue_lost(&q, &send_pools, first.span);
    CU_ASSERT(mr_send_queue_next(&q, &send_pools, 700, UINT64_MAX, &again));
    CU_ASSERT_EQUAL(again.span.offset, first.span.offset);
    CU_ASSERT_EQUAL(memcmp(again.pieces[0].data, first.pieces[0].data, 700), 0);
}

/*
 * RFC 9000, Section 2.2: "An endpoint MUST NOT send data on any stream without ensuring that it is
 * within the flow control limits set by its peer."
 * RFC 9000, Section 19.10: "The data sent on a stream MUST NOT exceed the largest maximum stream
 * data value advertised by the receiver." */
static void no_new_data_beyond_the_limit(void)
{
    struct mr_send_queue q;
    struct mr_send_frame frame;

    start();
    mr_send_queue_init(&q);
    append(&q, 1000, 0);
    CU_ASSERT(mr_send_queue_next(&q, &send_pools, 1200, 600, &frame));
    CU_ASSERT_EQUAL(frame.span.size, 600);
    CU_ASSERT(mr_send_queue_is_blocked(&q, 600));
    CU_ASSERT_FALSE(mr_send_queue_wants(&q, 600));
    CU_ASSERT_FALSE(mr_send_queue_next(&q, &send_pools, 1200, 600, &frame));
    CU_ASSERT(mr_send_queue_next(&q, &send_pools, 1200, 601, &frame));
    CU_ASSERT_EQUAL(frame.span.size, 1);
}

/* RFC 9000, Section 4.1: "Senders MUST NOT send data in excess of either limit." */
static void credit_is_used_up_exactly(void)
{
    struct mr_flow_send f;

    mr_flow_send_init(&f, 10);
    mr_flow_send_use(&f, 10);
    CU_ASSERT_EQUAL(mr_flow_send_room(&f), 0);
}

/*
 * RFC 9000, Section 4.1: "A receiver MUST close the connection with an error of type
 * FLOW_CONTROL_ERROR if the sender violates the advertised connection or stream data limits".
 */
static void data_beyond_the_limit_is_recognised(void)
{
    struct mr_recv_queue q;
    struct mr_flow_recv f;

    start();
    mr_recv_queue_init(&q);
    mr_flow_recv_init(&f, 100, 100);
    CU_ASSERT(mr_flow_recv_allows(&f, mr_recv_queue_growth(&q, 100)));
    CU_ASSERT_FALSE(mr_flow_recv_allows(&f, mr_recv_queue_growth(&q, 101)));
    CU_ASSERT_EQUAL(insert(&q, 50, 50, false), MR_RECV_OK);
    mr_flow_recv_add(&f, 100);
    CU_ASSERT(mr_flow_recv_allows(&f, mr_recv_queue_growth(&q, 80))); /* below: no new credit */
    CU_ASSERT_FALSE(mr_flow_recv_allows(&f, mr_recv_queue_growth(&q, 101)));
}

/*
 * RFC 9000, Section 4.1: "A sender MUST ignore any MAX_STREAM_DATA or MAX_DATA frames that do not
 * increase flow control limits."
 * RFC 9000, Section 13.3: "A receiver MUST accept packets containing an outdated frame, such as a
 * MAX_DATA frame carrying a smaller maximum data value than one found in an older packet." */
static void lower_limits_are_ignored(void)
{
    struct mr_flow_send f;

    mr_flow_send_init(&f, 100);
    CU_ASSERT_FALSE(mr_flow_send_raise(&f, 100));
    CU_ASSERT_FALSE(mr_flow_send_raise(&f, 50));
    CU_ASSERT_EQUAL(f.limit, 100);
    CU_ASSERT(mr_flow_send_raise(&f, 101));
}

/*
 * RFC 9000, Section 4.2: "Therefore, a receiver MUST NOT wait for a STREAM_DATA_BLOCKED or
 * DATA_BLOCKED frame before sending a MAX_STREAM_DATA or MAX_DATA frame".
 */
static void credit_follows_consumption_alone(void)
{
    struct mr_flow_recv f;

    mr_flow_recv_init(&f, 100, 100);
    mr_flow_recv_add(&f, 60);
    mr_flow_recv_consume(&f, 60);
    CU_ASSERT(mr_flow_recv_is_due(&f));
}

/*
 * RFC 9000, Section 4.5: "The receiver MUST use the final size of the stream to account for all
 * bytes sent on the stream in its connection-level flow controller."
 */
static void a_reset_stream_counts_to_its_final_size(void)
{
    struct mr_recv_queue q;

    start();
    mr_recv_queue_init(&q);
    CU_ASSERT_EQUAL(insert(&q, 0, 100, false), MR_RECV_OK);
    CU_ASSERT_EQUAL(mr_recv_queue_growth(&q, 500), 400);
    CU_ASSERT_EQUAL(mr_recv_queue_set_final_size(&q, 500), MR_RECV_OK);
    CU_ASSERT_EQUAL(q.highest, 500);
    CU_ASSERT_EQUAL(mr_recv_queue_growth(&q, 500), 0);
}

/*
 * RFC 9000, Section 4.5: "An endpoint MUST NOT send data on a stream at or beyond the final size."
 */
static void nothing_is_sent_beyond_fin_or_reset(void)
{
    struct mr_send_queue q;
    struct mr_send_frame frame;
    struct mr_view more = {.data = memory, .size = 1};

    start();
    mr_send_queue_init(&q);
    append(&q, 100, MR_SEND_FIN);
    CU_ASSERT_EQUAL(mr_send_queue_append(&q, &send_pools, &more, 1, 0), MR_APPEND_CLOSED);
    CU_ASSERT(mr_send_queue_next(&q, &send_pools, 60, UINT64_MAX, &frame));
    mr_send_queue_reset(&q, &send_pools);
    CU_ASSERT_EQUAL(mr_send_queue_append(&q, &send_pools, &more, 1, 0), MR_APPEND_CLOSED);
    mr_send_queue_lost(&q, &send_pools, frame.span);
    CU_ASSERT_FALSE(mr_send_queue_next(&q, &send_pools, 60, UINT64_MAX, &frame));
}

/*
 * RFC 9000, Section 4.5: "Once a final size for a stream is known, it cannot change.  If a
 * RESET_STREAM or STREAM frame is received indicating a change in the final size for the stream, an
 * endpoint SHOULD respond with an error of type FINAL_SIZE_ERROR".
 */
static void a_final_size_cannot_change(void)
{
    struct mr_recv_queue q;

    start();
    mr_recv_queue_init(&q);
    CU_ASSERT_EQUAL(insert(&q, 0, 100, true), MR_RECV_OK);
    CU_ASSERT_EQUAL(insert(&q, 50, 50, true), MR_RECV_DUPLICATE);
    CU_ASSERT_EQUAL(insert(&q, 0, 99, true), MR_RECV_FINAL_SIZE_ERROR);
    CU_ASSERT_EQUAL(insert(&q, 0, 101, true), MR_RECV_FINAL_SIZE_ERROR);
    CU_ASSERT_EQUAL(mr_recv_queue_set_final_size(&q, 100), MR_RECV_DUPLICATE);
    CU_ASSERT_EQUAL(mr_recv_queue_set_final_size(&q, 99), MR_RECV_FINAL_SIZE_ERROR);
    CU_ASSERT_EQUAL(mr_recv_queue_set_final_size(&q, 101), MR_RECV_FINAL_SIZE_ERROR);
    CU_ASSERT_EQUAL(q.final_size, 100);
}

/*
 * RFC 9000, Section 4.5: "A receiver SHOULD treat receipt of data at or beyond the final size as an
 * error of type FINAL_SIZE_ERROR, even after a stream is closed."
 */
static void data_beyond_the_final_size_is_an_error(void)
{
    struct mr_recv_queue q;
    struct mr_buf_list released;

    start();
    mr_buf_list_init(&released);
    mr_recv_queue_init(&q);
    CU_ASSERT_EQUAL(insert(&q, 50, 50, false), MR_RECV_OK);
    CU_ASSERT_EQUAL(insert(&q, 0, 99, true), MR_RECV_FINAL_SIZE_ERROR); /* below what arrived */
    CU_ASSERT_EQUAL(mr_recv_queue_set_final_size(&q, 99), MR_RECV_FINAL_SIZE_ERROR);
    CU_ASSERT_EQUAL(insert(&q, 0, 100, true), MR_RECV_OK);
    CU_ASSERT_EQUAL(insert(&q, 100, 1, false), MR_RECV_FINAL_SIZE_ERROR);
    mr_recv_queue_discard(&q, &recv_pools, &released);
    CU_ASSERT_EQUAL(insert(&q, 100, 1, false), MR_RECV_FINAL_SIZE_ERROR);
    CU_ASSERT_EQUAL(insert(&q, 99, 1, false), MR_RECV_DUPLICATE);
}

/*
 * RFC 9000, Section 3.5: "STREAM frames received after sending a STOP_SENDING frame are still
 * counted toward connection and stream flow control, even though these frames can be discarded upon
 * receipt."
 */
static void discarded_data_still_counts(void)
{
    struct mr_recv_queue q;
    struct mr_buf_list released;

    start();
    mr_buf_list_init(&released);
    mr_recv_queue_init(&q);
    mr_recv_queue_discard(&q, &recv_pools, &released);
    CU_ASSERT_EQUAL(mr_recv_queue_growth(&q, 100), 100);
    CU_ASSERT_EQUAL(insert(&q, 0, 100, false), MR_RECV_OK);
    CU_ASSERT_EQUAL(q.highest, 100);
    CU_ASSERT_EQUAL(stream_pools_used(), 0);
}

/*
 * RFC 9000, Section 3.3: "A receiver could receive any of these three frames in any state, due to
 * the possibility of delayed delivery of packets carrying them."
 */
static void frames_may_arrive_in_any_state(void)
{
    for (int s = 0; s < MR_RECV_STATES; s++) {
        CU_ASSERT(mr_recv_state_allows((enum mr_recv_state)s, MR_RECV_ON_DATA));
        CU_ASSERT(mr_recv_state_allows((enum mr_recv_state)s, MR_RECV_ON_FIN));
        CU_ASSERT(mr_recv_state_allows((enum mr_recv_state)s, MR_RECV_ON_RESET));
    }
}

/*
 * RFC 9000, Section 3.2: "Before a stream is created, all streams of the same type with
 * lower-numbered stream IDs MUST be created."
 */
static void lower_numbered_streams_are_created_too(void)
{
    struct mr_streams_recv s;

    mr_streams_recv_init(&s, 100);
    CU_ASSERT_EQUAL(mr_streams_recv_open(&s, 0), 1);
    CU_ASSERT_EQUAL(mr_streams_recv_open(&s, 9), 9);
    CU_ASSERT_EQUAL(s.opened, 10);
}

/*
 * RFC 9000, Section 4.6: "An endpoint that receives a frame with a stream ID exceeding the limit it
 * has sent MUST treat this as a connection error of type STREAM_LIMIT_ERROR".
 */
static void a_stream_beyond_the_limit_is_recognised(void)
{
    struct mr_streams_recv s;

    mr_streams_recv_init(&s, 3);
    CU_ASSERT(mr_streams_recv_allows(&s, 8 / 4)); /* of IDs 0, 4, 8 */
    CU_ASSERT_FALSE(mr_streams_recv_allows(&s, 12 / 4));
}

/* RFC 9000, Section 4.6: "Endpoints MUST NOT exceed the limit set by their peer." */
static void no_stream_is_opened_beyond_the_limit(void)
{
    struct mr_streams_send s;
    uint64_t ordinal;

    mr_streams_send_init(&s, 1);
    CU_ASSERT(mr_streams_send_open(&s, &ordinal));
    CU_ASSERT_FALSE(mr_streams_send_open(&s, &ordinal));
}

/*
 * RFC 9000, Section 4.6: "MAX_STREAMS frames that do not increase the stream limit MUST be
 * ignored."
 */
static void lower_stream_limits_are_ignored(void)
{
    struct mr_streams_send s;

    mr_streams_send_init(&s, 5);
    mr_streams_send_raise(&s, 4);
    CU_ASSERT_EQUAL(s.limit, 5);
}

/*
 * RFC 9000, Section 4.6: "If a max_streams transport parameter or a MAX_STREAMS frame is received
 * with a value greater than 2^60, this would allow a maximum stream ID that cannot be expressed as
 * a variable-length integer".
 */
static void a_stream_limit_over_2_to_the_60_is_invalid(void)
{
    CU_ASSERT(mr_streams_limit_is_valid(UINT64_C(1) << 60));
    CU_ASSERT_FALSE(mr_streams_limit_is_valid((UINT64_C(1) << 60) + 1));
}

/*
 * RFC 9000, Section 4.6: "An endpoint MUST NOT wait to receive this signal before advertising
 * additional credit".
 */
static void stream_credit_follows_closing_alone(void)
{
    struct mr_streams_recv s;

    mr_streams_recv_init(&s, 1);
    mr_streams_recv_open(&s, 0);
    mr_streams_recv_close(&s);
    CU_ASSERT(mr_streams_recv_is_due(&s));
}

/*
 * RFC 9000, Section 7.5: "Implementations MUST support buffering at least 4096 bytes of data
 * received in out-of-order CRYPTO frames."
 */
static void crypto_data_of_4096_bytes_is_buffered_out_of_order(void)
{
    struct mr_crypto_stream stream;

    start();
    mr_crypto_stream_init(&stream, MR_CRYPTO_RECV_MIN);
    for (uint32_t at = 4095; at > 0; at--)
        CU_ASSERT_EQUAL(mr_crypto_stream_insert(&stream, &chunks_pool, at, memory + at, 1),
                        MR_CRYPTO_OK);
    CU_ASSERT_EQUAL(mr_crypto_stream_readable(&stream), 0);
    CU_ASSERT_EQUAL(mr_crypto_stream_insert(&stream, &chunks_pool, 0, memory, 1), MR_CRYPTO_OK);
    CU_ASSERT_EQUAL(mr_crypto_stream_readable(&stream), 4096);
}

/*
 * RFC 9000, Section 7.5: "If an endpoint does not expand its buffer, it MUST close the connection
 * with a CRYPTO_BUFFER_EXCEEDED error code."
 */
static void crypto_data_beyond_the_buffer_is_recognised(void)
{
    struct mr_crypto_stream stream;

    start();
    mr_crypto_stream_init(&stream, MR_CRYPTO_RECV_MIN);
    CU_ASSERT_EQUAL(mr_crypto_stream_insert(&stream, &chunks_pool, 4095, memory, 2),
                    MR_CRYPTO_EXCEEDED);
    CU_ASSERT_EQUAL(stream_pools_used(), 0);
}

/*
 * RFC 9000, Section 19.6: "The largest offset delivered on a stream -- the sum of the offset and
 * data length -- cannot exceed 2^62-1.  Receipt of a frame that exceeds this limit MUST be treated
 * as a connection error of type FRAME_ENCODING_ERROR or CRYPTO_BUFFER_EXCEEDED."
 */
static void crypto_offsets_beyond_62_bits_are_recognised(void)
{
    struct mr_crypto_stream stream;

    start();
    mr_crypto_stream_init(&stream, MR_CRYPTO_RECV_LIMIT);
    CU_ASSERT_EQUAL(
        mr_crypto_stream_insert(&stream, &chunks_pool, MR_VARINT_MAX, memory, sizeof(memory)),
        MR_CRYPTO_EXCEEDED);
}

static CU_TestInfo tests[] = {
    {"2.2: stream data is delivered in order", stream_data_is_delivered_in_order},
    {"2.2: a retransmission repeats the data", a_retransmission_repeats_the_data},
    {"2.2: no new data beyond the limit", no_new_data_beyond_the_limit},
    {"3.2: lower-numbered streams are created too", lower_numbered_streams_are_created_too},
    {"3.3: frames may arrive in any state", frames_may_arrive_in_any_state},
    {"3.5: discarded data still counts", discarded_data_still_counts},
    {"4.1: credit is used up exactly", credit_is_used_up_exactly},
    {"4.1: data beyond the limit is recognised", data_beyond_the_limit_is_recognised},
    {"4.1: lower limits are ignored", lower_limits_are_ignored},
    {"4.2: credit follows consumption alone", credit_follows_consumption_alone},
    {"4.5: a reset stream counts to its final size", a_reset_stream_counts_to_its_final_size},
    {"4.5: nothing is sent beyond FIN or reset", nothing_is_sent_beyond_fin_or_reset},
    {"4.5: a final size cannot change", a_final_size_cannot_change},
    {"4.5: data beyond the final size is an error", data_beyond_the_final_size_is_an_error},
    {"4.6: a stream beyond the limit is recognised", a_stream_beyond_the_limit_is_recognised},
    {"4.6: no stream is opened beyond the limit", no_stream_is_opened_beyond_the_limit},
    {"4.6: lower stream limits are ignored", lower_stream_limits_are_ignored},
    {"4.6: a stream limit over 2^60 is invalid", a_stream_limit_over_2_to_the_60_is_invalid},
    {"4.6: stream credit follows closing alone", stream_credit_follows_closing_alone},
    {"7.5: CRYPTO data of 4096 bytes is buffered out of order",
     crypto_data_of_4096_bytes_is_buffered_out_of_order},
    {"7.5: CRYPTO data beyond the buffer is recognised",
     crypto_data_beyond_the_buffer_is_recognised},
    {"19.6: CRYPTO offsets beyond 62 bits are recognised",
     crypto_offsets_beyond_62_bits_are_recognised},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9000, stream data", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
