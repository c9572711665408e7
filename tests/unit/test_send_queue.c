/* Tests of quic/send_queue.h. */
#include "quic/send_queue.h"

#include <string.h>

#include "quic/varint.h"
#include "tests/unit/harness.h"
#include "tests/unit/stream_pools.h"

#define NO_LIMIT UINT64_MAX

static struct mr_send_queue queue;
static struct mr_send_frame frame;
static uint8_t memory[1 << 16];

static void start(uint32_t nodes, uint32_t chunks)
{
    for (uint32_t i = 0; i < sizeof(memory); i++)
        memory[i] = stream_byte(i);
    stream_pools_init(nodes, 1, chunks);
    mr_send_queue_init(&queue);
}

static enum mr_append_verdict append(const uint8_t *data, size_t size, uint32_t flags)
{
    struct mr_view view = {.data = data, .size = size};
    enum mr_append_verdict verdict = mr_send_queue_append(&queue, &send_pools, &view, 1, flags);

    mr_send_queue_check(&queue, &send_pools);
    return verdict;
}

static bool next(uint32_t room, uint64_t flow_limit)
{
    bool has_frame = mr_send_queue_next(&queue, &send_pools, room, flow_limit, &frame);

    mr_send_queue_check(&queue, &send_pools);
    return has_frame;
}

static bool frame_is(uint64_t offset, uint32_t size, bool has_fin, bool is_retransmission)
{
    return frame.span.offset == offset && frame.span.size == size &&
           frame.span.has_fin == has_fin && frame.is_retransmission == is_retransmission;
}

static enum mr_send_ack acked(uint64_t offset, uint32_t size, bool has_fin)
{
    enum mr_send_ack verdict = mr_send_queue_acked(
        &queue, &send_pools,
        (struct mr_send_span){.offset = offset, .size = size, .has_fin = has_fin});

    mr_send_queue_check(&queue, &send_pools);
    return verdict;
}

static void lost(uint64_t offset, uint32_t size, bool has_fin)
{
    mr_send_queue_lost(&queue, &send_pools,
                       (struct mr_send_span){.offset = offset, .size = size, .has_fin = has_fin});
    mr_send_queue_check(&queue, &send_pools);
}

/* Queue 1000 bytes and send them as ten frames of 100. */
static void send_ten_frames(void)
{
    append(memory, 1000, 0);
    for (int i = 0; i < 10; i++)
        next(100, NO_LIMIT);
}

static void data_goes_out_by_reference_in_order(void)
{
    start(8, 1);
    CU_ASSERT_EQUAL(append(memory, 3000, 0), MR_APPEND_OK);
    CU_ASSERT(next(1400, NO_LIMIT));
    CU_ASSERT(frame_is(0, 1400, false, false));
    CU_ASSERT_EQUAL(frame.piece_count, 1);
    CU_ASSERT_PTR_EQUAL(frame.pieces[0].data, memory);
    CU_ASSERT(next(1400, NO_LIMIT));
    CU_ASSERT(next(1400, NO_LIMIT));
    CU_ASSERT(frame_is(2800, 200, false, false));
    CU_ASSERT_PTR_EQUAL(frame.pieces[0].data, memory + 2800);
    CU_ASSERT_FALSE(next(1400, NO_LIMIT));
    CU_ASSERT_FALSE(mr_send_queue_wants(&queue, NO_LIMIT));
}

static void one_frame_gathers_at_most_eight_pieces(void)
{
    start(16, 1);
    for (uint32_t i = 0; i < 10; i++)
        append(memory + 1000 * i, 10, 0);
    CU_ASSERT(next(1400, NO_LIMIT));
    CU_ASSERT_EQUAL(frame.piece_count, MR_SEND_PIECES);
    CU_ASSERT(frame_is(0, 80, false, false));
    CU_ASSERT_PTR_EQUAL(frame.pieces[7].data, memory + 7000);
    CU_ASSERT(next(1400, NO_LIMIT));
    CU_ASSERT(frame_is(80, 20, false, false));
}

static void memory_that_continues_the_last_segment_takes_no_new_one(void)
{
    start(1, 1);
    CU_ASSERT_EQUAL(append(memory, 10, 0), MR_APPEND_OK);
    CU_ASSERT(next(10, NO_LIMIT));
    CU_ASSERT_EQUAL(segments_pool.used, 1);
    CU_ASSERT_EQUAL(append(memory + 20, 10, 0), MR_APPEND_NO_MEMORY);
    CU_ASSERT_EQUAL(acked(0, 10, false), MR_SEND_ACK_ADVANCED);
    CU_ASSERT_EQUAL(segments_pool.used, 0);
    start(2, 1);
    append(memory, 10, 0);
    next(10, NO_LIMIT);
    CU_ASSERT_EQUAL(append(memory + 10, 10, 0), MR_APPEND_OK);
    CU_ASSERT_EQUAL(segments_pool.used, 1);
    CU_ASSERT(next(100, NO_LIMIT));
    CU_ASSERT(frame_is(10, 10, false, false));
    CU_ASSERT_PTR_EQUAL(frame.pieces[0].data, memory + 10);
}

static void append_is_all_or_nothing(void)
{
    struct mr_view views[3] = {{memory, 5}, {memory + 100, 5}, {memory + 200, 5}};

    start(2, 1);
    CU_ASSERT_EQUAL(mr_send_queue_append(&queue, &send_pools, views, 3, MR_SEND_FIN),
                    MR_APPEND_NO_MEMORY);
    CU_ASSERT_EQUAL(queue.end_offset, 0);
    CU_ASSERT_FALSE(queue.has_fin);
    CU_ASSERT_EQUAL(stream_pools_used(), 0);
    CU_ASSERT_EQUAL(mr_send_queue_append(&queue, &send_pools, views, 2, 0), MR_APPEND_OK);
}

static void copied_bytes_fill_chunks(void)
{
    uint8_t scratch[600];

    start(8, 2);
    memcpy(scratch, memory, sizeof(scratch));
    CU_ASSERT_EQUAL(append(scratch, 600, MR_SEND_COPY), MR_APPEND_OK);
    memcpy(scratch, memory + 600, sizeof(scratch));
    CU_ASSERT_EQUAL(append(scratch, 600, MR_SEND_COPY), MR_APPEND_OK);
    memset(scratch, 0, sizeof(scratch));
    CU_ASSERT_EQUAL(chunks_pool.used, 2);
    CU_ASSERT_EQUAL(append(memory, 849, MR_SEND_COPY), MR_APPEND_NO_MEMORY);
    CU_ASSERT_EQUAL(append(memory, 1025, MR_SEND_COPY), MR_APPEND_TOO_BIG);

    CU_ASSERT(next(1400, NO_LIMIT));
    CU_ASSERT_EQUAL(frame.piece_count, 2);
    CU_ASSERT_EQUAL(frame.pieces[0].size, MR_CHUNK_SIZE);
    CU_ASSERT_EQUAL(memcmp(frame.pieces[0].data, memory, MR_CHUNK_SIZE), 0);
    CU_ASSERT_EQUAL(memcmp(frame.pieces[1].data, memory + MR_CHUNK_SIZE, 176), 0);
    acked(0, 1024, false);
    CU_ASSERT_EQUAL(chunks_pool.used, 1);
    acked(1024, 176, false);
    CU_ASSERT_EQUAL(stream_pools_used(), 0);
}

static void a_view_beyond_the_segment_limit_is_split(void)
{
    size_t size = (size_t)MR_SEND_SEGMENT_MAX + 5; /* described, never read */
    const uint8_t *behind = (const uint8_t *)((uintptr_t)memory + size);

    start(8, 1);
    CU_ASSERT_EQUAL(append(memory, size, 0), MR_APPEND_OK);
    CU_ASSERT_EQUAL(segments_pool.used, 2);
    CU_ASSERT_EQUAL(queue.end_offset, size);
    CU_ASSERT_EQUAL(append(behind, MR_SEND_SEGMENT_MAX, 0), MR_APPEND_OK);
    CU_ASSERT_EQUAL(segments_pool.used, 3); /* the second is filled up first */
}

static void the_engines_own_bytes_are_copied_at_any_size(void)
{
    start(8, 3);
    CU_ASSERT_EQUAL(mr_send_queue_append_copy(&queue, &send_pools, memory, 3073),
                    MR_APPEND_NO_MEMORY);
    CU_ASSERT_EQUAL(mr_send_queue_append_copy(&queue, &send_pools, memory, 3072), MR_APPEND_OK);
    CU_ASSERT_EQUAL(chunks_pool.used, 3);
    CU_ASSERT(next(3072, NO_LIMIT));
    CU_ASSERT_EQUAL(memcmp(frame.pieces[2].data, memory + 2048, 1024), 0);
    mr_send_queue_reset(&queue, &send_pools);
    CU_ASSERT_EQUAL(mr_send_queue_append_copy(&queue, &send_pools, memory, 1), MR_APPEND_CLOSED);

    start(8, 3);
    append(memory, 10, MR_SEND_FIN);
    CU_ASSERT_EQUAL(mr_send_queue_append_copy(&queue, &send_pools, memory, 1), MR_APPEND_CLOSED);
}

static void an_offset_beyond_62_bits_is_refused(void)
{
    const struct mr_view views[2] = {{memory, 6}, {memory + 100, 6}};

    start(8, 1);
    queue.acked_to = queue.next_offset = queue.end_offset = MR_VARINT_MAX - 10;
    CU_ASSERT_EQUAL(append(memory, 11, 0), MR_APPEND_TOO_BIG);
    CU_ASSERT_EQUAL(append(memory, SIZE_MAX, 0), MR_APPEND_TOO_BIG);
    CU_ASSERT_EQUAL(mr_send_queue_append(&queue, &send_pools, views, 2, 0), MR_APPEND_TOO_BIG);
    CU_ASSERT_EQUAL(mr_send_queue_append_copy(&queue, &send_pools, memory, 11), MR_APPEND_TOO_BIG);
    CU_ASSERT_EQUAL(mr_send_queue_append_copy(&queue, &send_pools, memory, 1), MR_APPEND_OK);
    CU_ASSERT_EQUAL(mr_send_queue_append_copy(&queue, &send_pools, memory, 9), MR_APPEND_OK);
    mr_send_queue_init(&queue);
    queue.acked_to = queue.next_offset = queue.end_offset = MR_VARINT_MAX - 10;
    CU_ASSERT_EQUAL(append(memory, 10, 0), MR_APPEND_OK);
}

static void fin_goes_with_the_last_byte(void)
{
    start(8, 1);
    append(memory, 100, MR_SEND_FIN);
    CU_ASSERT(next(60, NO_LIMIT));
    CU_ASSERT(frame_is(0, 60, false, false));
    CU_ASSERT(next(60, NO_LIMIT));
    CU_ASSERT(frame_is(60, 40, true, false));
    CU_ASSERT_EQUAL(append(memory, 1, 0), MR_APPEND_CLOSED);
    CU_ASSERT_EQUAL(acked(0, 60, false), MR_SEND_ACK_ADVANCED);
    CU_ASSERT_FALSE(mr_send_queue_is_all_acked(&queue));
    CU_ASSERT_EQUAL(acked(60, 40, true), MR_SEND_ACK_ADVANCED);
    CU_ASSERT(mr_send_queue_is_all_acked(&queue));
    CU_ASSERT_EQUAL(stream_pools_used(), 0);
}

static void fin_alone_needs_no_room_and_no_credit(void)
{
    start(8, 1);
    append(memory, 100, 0);
    next(100, NO_LIMIT);
    CU_ASSERT_EQUAL(append(NULL, 0, MR_SEND_FIN), MR_APPEND_OK);
    CU_ASSERT(mr_send_queue_wants(&queue, 100));
    CU_ASSERT(next(0, 100));
    CU_ASSERT(frame_is(100, 0, true, false));
    CU_ASSERT_EQUAL(frame.piece_count, 0);
    CU_ASSERT_FALSE(next(0, NO_LIMIT));
    lost(100, 0, true);
    CU_ASSERT(mr_send_queue_wants(&queue, 0));
    CU_ASSERT_EQUAL(mr_send_queue_next_at(&queue, &send_pools), 100);
    CU_ASSERT(next(0, 0));
    CU_ASSERT(frame_is(100, 0, true, true));
    CU_ASSERT_EQUAL(acked(100, 0, true), MR_SEND_ACK_ADVANCED);
    CU_ASSERT_EQUAL(acked(100, 0, true), MR_SEND_ACK_OLD);
    CU_ASSERT_FALSE(mr_send_queue_is_all_acked(&queue));
    acked(0, 100, false);
    CU_ASSERT(mr_send_queue_is_all_acked(&queue));
    lost(100, 0, true);
    CU_ASSERT_FALSE(mr_send_queue_wants(&queue, NO_LIMIT));
}

static void lost_data_goes_first_lowest_first(void)
{
    start(8, 1);
    send_ten_frames();
    append(memory + 1000, 50, 0);
    lost(700, 100, false);
    lost(200, 100, false);
    CU_ASSERT_EQUAL(mr_send_queue_next_at(&queue, &send_pools), 200);
    CU_ASSERT(next(60, 0));
    CU_ASSERT(frame_is(200, 60, false, true));
    CU_ASSERT_PTR_EQUAL(frame.pieces[0].data, memory + 200);
    CU_ASSERT(next(60, 0));
    CU_ASSERT(frame_is(260, 40, false, true));
    CU_ASSERT(next(1400, 0));
    CU_ASSERT(frame_is(700, 100, false, true));
    CU_ASSERT_FALSE(next(1400, 0));
    CU_ASSERT(next(1400, NO_LIMIT));
    CU_ASSERT(frame_is(1000, 50, false, false));
}

static void what_is_acknowledged_is_not_sent_again(void)
{
    start(8, 1);
    send_ten_frames();
    acked(400, 100, false);
    lost(300, 300, false); /* one frame of an earlier retransmission */
    CU_ASSERT(next(1400, NO_LIMIT));
    CU_ASSERT(frame_is(300, 100, false, true));
    CU_ASSERT(next(1400, NO_LIMIT));
    CU_ASSERT(frame_is(500, 100, false, true));

    lost(600, 200, false); /* and declared lost too early */
    acked(600, 100, false);
    CU_ASSERT(next(1400, NO_LIMIT));
    CU_ASSERT(frame_is(700, 100, false, true));
    CU_ASSERT_FALSE(mr_send_queue_wants(&queue, NO_LIMIT));
}

static void the_watermark_waits_for_the_gap(void)
{
    start(8, 1);
    send_ten_frames();
    CU_ASSERT_EQUAL(acked(200, 100, false), MR_SEND_ACK_RECORDED);
    CU_ASSERT_EQUAL(acked(200, 100, false), MR_SEND_ACK_OLD);
    CU_ASSERT_EQUAL(acked(100, 100, false), MR_SEND_ACK_RECORDED);
    CU_ASSERT_EQUAL(queue.acked_to, 0);
    CU_ASSERT_EQUAL(acked(0, 100, false), MR_SEND_ACK_ADVANCED);
    CU_ASSERT_EQUAL(queue.acked_to, 300);
    CU_ASSERT_EQUAL(mr_send_queue_queued_bytes(&queue), 700);
    CU_ASSERT_EQUAL(ranges_pool.used, 0);
    CU_ASSERT_EQUAL(acked(50, 100, false), MR_SEND_ACK_OLD);
}

static void loss_without_a_node_widens_and_forgets_nothing(void)
{
    struct hoard hoard = {0};

    start(8, 1);
    send_ten_frames();
    hoard_all_but(&hoard, &ranges_pool, 1);
    lost(100, 100, false);
    lost(500, 100, false);
    lost(800, 100, false);
    CU_ASSERT_EQUAL(mr_send_queue_next_at(&queue, &send_pools), 100);
    CU_ASSERT(next(1400, NO_LIMIT));
    CU_ASSERT(frame_is(100, 100, false, true));
    CU_ASSERT(next(1400, NO_LIMIT)); /* 500 to 900, in flight in between */
    CU_ASSERT(frame_is(500, 400, false, true));
    CU_ASSERT_FALSE(mr_send_queue_wants(&queue, NO_LIMIT));
    hoard_give_back(&hoard);
}

static void an_acknowledgement_without_a_node_means_sending_again(void)
{
    struct hoard hoard = {0};

    start(8, 1);
    send_ten_frames();
    hoard_all_but(&hoard, &ranges_pool, 0);
    CU_ASSERT_EQUAL(acked(300, 100, false), MR_SEND_ACK_DROPPED);
    CU_ASSERT(next(1400, 0));
    CU_ASSERT(frame_is(300, 100, false, true));
    CU_ASSERT_EQUAL(acked(0, 300, false), MR_SEND_ACK_ADVANCED);
    CU_ASSERT_EQUAL(acked(300, 700, false), MR_SEND_ACK_ADVANCED);
    CU_ASSERT_EQUAL(queue.acked_to, 1000);
    hoard_give_back(&hoard);
    CU_ASSERT_EQUAL(stream_pools_used(), 0);
}

static void notify_is_reached_when_the_bytes_were_sent_once(void)
{
    start(8, 1);
    CU_ASSERT(mr_send_queue_is_notified(&queue));
    append(memory, 100, MR_SEND_NOTIFY);
    append(memory + 500, 100, 0);
    CU_ASSERT_FALSE(mr_send_queue_is_notified(&queue));
    next(99, NO_LIMIT);
    CU_ASSERT_FALSE(mr_send_queue_is_notified(&queue));
    next(1, NO_LIMIT);
    CU_ASSERT(mr_send_queue_is_notified(&queue));
    lost(0, 99, false);
    CU_ASSERT(mr_send_queue_is_notified(&queue));
}

static void rewinding_sends_all_again_as_new(void)
{
    start(8, 1);
    append(memory, 1000, MR_SEND_FIN);
    for (int i = 0; i < 10; i++)
        next(100, NO_LIMIT);
    acked(0, 100, false);
    acked(500, 100, false);
    lost(200, 100, false);
    mr_send_queue_rewind(&queue, &send_pools);
    mr_send_queue_check(&queue, &send_pools);
    CU_ASSERT_FALSE(mr_send_queue_wants(&queue, 100));
    CU_ASSERT(next(1400, NO_LIMIT));
    CU_ASSERT(frame_is(100, 900, true, false));
}

static void a_reset_queue_takes_and_gives_nothing(void)
{
    start(8, 2);
    append(memory, 100, MR_SEND_COPY);
    append(memory, 100, MR_SEND_FIN);
    next(150, NO_LIMIT);
    lost(0, 10, false);
    mr_send_queue_reset(&queue, &send_pools);
    mr_send_queue_check(&queue, &send_pools);
    CU_ASSERT_EQUAL(stream_pools_used(), 0);
    CU_ASSERT_EQUAL(queue.next_offset, 150); /* the Final Size */
    CU_ASSERT_FALSE(mr_send_queue_wants(&queue, NO_LIMIT));
    CU_ASSERT_EQUAL(append(memory, 1, 0), MR_APPEND_CLOSED);
    lost(20, 20, true);
    CU_ASSERT_EQUAL(acked(50, 20, true), MR_SEND_ACK_OLD);
    CU_ASSERT_FALSE(mr_send_queue_wants(&queue, NO_LIMIT));
    CU_ASSERT_FALSE(mr_send_queue_is_all_acked(&queue));
    CU_ASSERT_EQUAL(stream_pools_used(), 0);
}

static void truncated(uint64_t reliable)
{
    mr_send_queue_truncate(&queue, &send_pools, reliable);
    mr_send_queue_check(&queue, &send_pools);
}

/* Cut at 250 of 500 bytes, of which 300 were sent: those above are not sent again. */
static void a_cut_queue_repeats_what_lies_below(void)
{
    start(8, 2);
    append(memory, 400, 0);
    append(memory + 1000, 100, MR_SEND_FIN | MR_SEND_NOTIFY);
    CU_ASSERT(next(300, NO_LIMIT));
    lost(200, 100, false);
    truncated(250);
    CU_ASSERT_EQUAL(queue.end_offset, 300); /* the Final Size */
    CU_ASSERT_EQUAL(append(memory, 1, 0), MR_APPEND_CLOSED);
    CU_ASSERT(mr_send_queue_is_notified(&queue));
    CU_ASSERT(next(1000, NO_LIMIT));
    CU_ASSERT(frame_is(200, 50, false, true));
    CU_ASSERT_FALSE(next(1000, NO_LIMIT));
    lost(0, 300, false);
    CU_ASSERT(next(1000, NO_LIMIT));
    CU_ASSERT(frame_is(0, 250, false, true));
    CU_ASSERT_EQUAL(acked(0, 250, false), MR_SEND_ACK_ADVANCED);
    CU_ASSERT_FALSE(mr_send_queue_wants(&queue, NO_LIMIT));
    truncated(100); /* it only falls */
    CU_ASSERT_EQUAL(queue.end_offset, 300);
    mr_send_queue_reset(&queue, &send_pools);
    CU_ASSERT_EQUAL(stream_pools_used(), 0);
}

static void a_cut_queue_sends_what_lies_below(void)
{
    start(8, 2);
    append(memory, 200, 0);
    append(memory + 1000, 200, 0);
    append(memory + 3000, 200, MR_SEND_FIN);
    CU_ASSERT(next(100, NO_LIMIT));
    truncated(300);
    CU_ASSERT_EQUAL(segments_pool.used, 2);
    CU_ASSERT(next(1000, NO_LIMIT));
    CU_ASSERT(frame_is(100, 200, false, false));
    CU_ASSERT_FALSE(mr_send_queue_wants(&queue, NO_LIMIT));
    CU_ASSERT_EQUAL(acked(0, 300, false), MR_SEND_ACK_ADVANCED);
    CU_ASSERT_EQUAL(stream_pools_used(), 0);
}

/* Everything acknowledged, more queued: nothing is left of it. */
static void a_queue_cut_at_its_watermark_is_empty(void)
{
    start(8, 2);
    append(memory, 200, 0);
    CU_ASSERT(next(100, NO_LIMIT));
    CU_ASSERT_EQUAL(acked(0, 100, false), MR_SEND_ACK_ADVANCED);
    truncated(40);
    CU_ASSERT_EQUAL(stream_pools_used(), 0);
    CU_ASSERT_EQUAL(queue.end_offset, 100);
}

static void a_cut_behind_fin_keeps_its_end(void)
{
    start(8, 2);
    append(memory, 200, MR_SEND_FIN);
    CU_ASSERT(next(1000, NO_LIMIT));
    truncated(50);
    CU_ASSERT_EQUAL(queue.end_offset, 200);
    lost(0, 200, true);
    CU_ASSERT(next(1000, NO_LIMIT));
    CU_ASSERT(frame_is(0, 50, false, true));
    CU_ASSERT_FALSE(mr_send_queue_wants(&queue, NO_LIMIT));
    CU_ASSERT_EQUAL(acked(0, 200, true), MR_SEND_ACK_ADVANCED); /* it came after all */
    CU_ASSERT(mr_send_queue_is_all_acked(&queue));
}

static struct mr_view run(uint64_t flow_limit)
{
    return mr_send_queue_run(&queue, &send_pools, flow_limit);
}

static void take(uint32_t size)
{
    mr_send_queue_take(&queue, &send_pools, size);
    mr_send_queue_check(&queue, &send_pools);
}

static void a_run_is_new_data_that_lies_together(void)
{
    start(8, 1);
    CU_ASSERT_EQUAL(run(NO_LIMIT).size, 0);
    append(memory, 1000, 0);
    append(memory + 5000, 1000, 0);
    CU_ASSERT_PTR_EQUAL(run(NO_LIMIT).data, memory);
    CU_ASSERT_EQUAL(run(NO_LIMIT).size, 1000);
    take(400);
    CU_ASSERT_PTR_EQUAL(run(NO_LIMIT).data, memory + 400);
    CU_ASSERT_EQUAL(run(NO_LIMIT).size, 600);
    take(600);
    CU_ASSERT_PTR_EQUAL(run(NO_LIMIT).data, memory + 5000);
    CU_ASSERT(next(100, NO_LIMIT));
    CU_ASSERT(frame_is(1000, 100, false, false));
    take(900);
    CU_ASSERT_EQUAL(run(NO_LIMIT).size, 0);
    CU_ASSERT_FALSE(mr_send_queue_wants(&queue, NO_LIMIT));
    CU_ASSERT_EQUAL(acked(0, 2000, false), MR_SEND_ACK_ADVANCED);
    CU_ASSERT_EQUAL(stream_pools_used(), 0);
}

static void a_run_keeps_to_the_flow_limit(void)
{
    start(8, 1);
    append(memory, 1000, 0);
    CU_ASSERT_EQUAL(run(300).size, 300);
    take(300);
    CU_ASSERT_EQUAL(run(300).size, 0);
    CU_ASSERT_EQUAL(run(301).size, 1);
}

static void a_run_leaves_the_last_byte_to_fin(void)
{
    start(8, 1);
    append(memory, 1000, MR_SEND_FIN);
    CU_ASSERT_EQUAL(run(NO_LIMIT).size, 999);
    take(999);
    CU_ASSERT_EQUAL(run(NO_LIMIT).size, 0);
    CU_ASSERT(next(100, NO_LIMIT));
    CU_ASSERT(frame_is(999, 1, true, false));
}

static void there_is_no_run_before_lost_data(void)
{
    start(8, 1);
    append(memory, 1000, 0);
    take(500);
    lost(100, 50, false);
    CU_ASSERT_EQUAL(run(NO_LIMIT).size, 0);
    CU_ASSERT(next(100, NO_LIMIT));
    CU_ASSERT(frame_is(100, 50, false, true));
    CU_ASSERT_EQUAL(run(NO_LIMIT).size, 500);
}

static CU_TestInfo tests[] = {
    {"data goes out by reference, in order", data_goes_out_by_reference_in_order},
    {"one frame gathers at most eight pieces", one_frame_gathers_at_most_eight_pieces},
    {"memory that continues the last segment takes no new one",
     memory_that_continues_the_last_segment_takes_no_new_one},
    {"append is all or nothing", append_is_all_or_nothing},
    {"copied bytes fill chunks", copied_bytes_fill_chunks},
    {"a view beyond the segment limit is split", a_view_beyond_the_segment_limit_is_split},
    {"the engine's own bytes are copied, at any size",
     the_engines_own_bytes_are_copied_at_any_size},
    {"an offset beyond 62 bits is refused", an_offset_beyond_62_bits_is_refused},
    {"FIN goes with the last byte", fin_goes_with_the_last_byte},
    {"FIN alone needs no room and no credit", fin_alone_needs_no_room_and_no_credit},
    {"lost data goes first, lowest first", lost_data_goes_first_lowest_first},
    {"what is acknowledged is not sent again", what_is_acknowledged_is_not_sent_again},
    {"the watermark waits for the gap", the_watermark_waits_for_the_gap},
    {"loss without a node widens and forgets nothing",
     loss_without_a_node_widens_and_forgets_nothing},
    {"an acknowledgement without a node means sending again",
     an_acknowledgement_without_a_node_means_sending_again},
    {"notify is reached when the bytes were sent once",
     notify_is_reached_when_the_bytes_were_sent_once},
    {"rewinding sends all again as new", rewinding_sends_all_again_as_new},
    {"a reset queue takes and gives nothing", a_reset_queue_takes_and_gives_nothing},
    {"a cut queue repeats what lies below", a_cut_queue_repeats_what_lies_below},
    {"a cut queue sends what lies below", a_cut_queue_sends_what_lies_below},
    {"a queue cut at its watermark is empty", a_queue_cut_at_its_watermark_is_empty},
    {"a cut behind FIN keeps its end", a_cut_behind_fin_keeps_its_end},
    {"a run is new data that lies together", a_run_is_new_data_that_lies_together},
    {"a run keeps to the flow limit", a_run_keeps_to_the_flow_limit},
    {"a run leaves the last byte to FIN", a_run_leaves_the_last_byte_to_fin},
    {"there is no run before lost data", there_is_no_run_before_lost_data},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/send_queue", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
