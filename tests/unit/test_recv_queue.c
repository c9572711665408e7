/* Tests of quic/recv_queue.h. */
#include "quic/recv_queue.h"

#include <string.h>

#include "tests/unit/harness.h"
#include "tests/unit/stream_pools.h"

static struct mr_recv_queue queue;
static struct mr_buf_list released;
static struct mr_buf buf; /* one packet buffer, held once by the test */
static uint8_t memory[1 << 16];

static void start(uint32_t nodes, uint32_t blocks)
{
    for (uint32_t i = 0; i < sizeof(memory); i++)
        memory[i] = stream_byte(i);
    stream_pools_init(nodes, blocks, 1);
    mr_recv_queue_init(&queue);
    mr_buf_list_init(&released);
    buf = (struct mr_buf){.references = 1};
}

static enum mr_recv_verdict insert_frame(struct mr_recv_frame frame)
{
    frame.data = memory + frame.offset;
    frame.buf = &buf;
    enum mr_recv_verdict verdict = mr_recv_queue_insert(&queue, &recv_pools, &released, &frame);
    mr_recv_queue_check(&queue, &recv_pools);
    return verdict;
}

static enum mr_recv_verdict insert(uint64_t offset, uint32_t size)
{
    return insert_frame((struct mr_recv_frame){.offset = offset, .size = size});
}

static enum mr_recv_verdict insert_copy(uint64_t offset, uint32_t size)
{
    return insert_frame((struct mr_recv_frame){.offset = offset, .size = size, .is_copy = true});
}

static enum mr_recv_verdict insert_fin(uint64_t offset, uint32_t size)
{
    return insert_frame((struct mr_recv_frame){.offset = offset, .size = size, .has_fin = true});
}

static bool release(uint64_t size)
{
    bool is_released = mr_recv_queue_release(&queue, &recv_pools, &released, size);

    mr_recv_queue_check(&queue, &recv_pools);
    return is_released;
}

/* True if what is shown are the stream's bytes from released_to on, `size` of them. */
static bool shows(uint64_t size)
{
    struct mr_view views[64];
    bool has_fin;
    size_t count = mr_recv_queue_peek(&queue, &recv_pools, views, 64, &has_fin);
    uint64_t at = queue.released_to;

    for (size_t i = 0; i < count; i++) {
        if (memcmp(views[i].data, memory + at, views[i].size) != 0)
            return false;
        at += views[i].size;
    }
    return at == queue.released_to + size && has_fin == (at == queue.final_size);
}

static void bytes_in_order_are_shown_by_reference(void)
{
    struct mr_view view;
    bool has_fin;

    start(8, 1);
    CU_ASSERT_EQUAL(insert(0, 1400), MR_RECV_OK);
    CU_ASSERT_EQUAL(insert(1400, 1400), MR_RECV_OK);
    CU_ASSERT_EQUAL(mr_recv_queue_peek(&queue, &recv_pools, &view, 1, &has_fin), 1);
    CU_ASSERT_PTR_EQUAL(view.data, memory);
    CU_ASSERT_EQUAL(view.size, 1400);
    CU_ASSERT_FALSE(has_fin);
    CU_ASSERT_EQUAL(buf.references, 3);
    CU_ASSERT_EQUAL(queue.pinned_count, 2);
    CU_ASSERT(shows(2800));
}

static void release_drops_references_piece_by_piece(void)
{
    start(8, 1);
    insert(0, 100);
    insert(100, 100);
    CU_ASSERT_FALSE(release(201));
    CU_ASSERT(release(99));
    CU_ASSERT_EQUAL(buf.references, 3);
    CU_ASSERT(shows(101));
    CU_ASSERT(release(1));
    CU_ASSERT_EQUAL(buf.references, 2);
    mr_buf_drop(&buf, &released);
    CU_ASSERT_EQUAL(released.count, 0);
    CU_ASSERT(release(100));
    CU_ASSERT_EQUAL(released.count, 1);
    CU_ASSERT_PTR_EQUAL(released.head, &buf);
    CU_ASSERT_EQUAL(recv_pools.pinned_count, 0);
    CU_ASSERT_EQUAL(stream_pools_used(), 0);
}

static void early_bytes_wait_for_the_gap(void)
{
    start(16, 1);
    CU_ASSERT_EQUAL(insert(300, 100), MR_RECV_OK);
    CU_ASSERT_EQUAL(insert(100, 100), MR_RECV_OK);
    CU_ASSERT_EQUAL(insert(400, 100), MR_RECV_OK); /* one run with the first */
    CU_ASSERT_EQUAL(queue.run_count, 2);
    CU_ASSERT_EQUAL(queue.highest, 500);
    CU_ASSERT(shows(0));
    CU_ASSERT_EQUAL(insert(0, 100), MR_RECV_OK);
    CU_ASSERT(shows(200));
    CU_ASSERT_EQUAL(insert(200, 100), MR_RECV_OK);
    CU_ASSERT(shows(500));
    CU_ASSERT_EQUAL(queue.run_count, 0);
    CU_ASSERT(release(500));
    CU_ASSERT_EQUAL(stream_pools_used(), 0);
    CU_ASSERT_EQUAL(buf.references, 1);
}

static void overlaps_deliver_no_byte_twice(void)
{
    start(16, 1);
    insert(100, 100);
    insert(300, 100);
    CU_ASSERT_EQUAL(insert(50, 400), MR_RECV_OK); /* fills 50..100, 200..300, 400..450 */
    CU_ASSERT_EQUAL(queue.run_count, 1);
    CU_ASSERT_EQUAL(insert(60, 300), MR_RECV_DUPLICATE);
    CU_ASSERT_EQUAL(insert(0, 450), MR_RECV_OK);
    CU_ASSERT(shows(450));
    CU_ASSERT_EQUAL(queue.pinned_count, 6);
    CU_ASSERT_EQUAL(insert(0, 450), MR_RECV_DUPLICATE);
    CU_ASSERT_EQUAL(insert(440, 20), MR_RECV_OK);
    CU_ASSERT(shows(460));
    release(460);
    CU_ASSERT_EQUAL(insert(100, 20), MR_RECV_DUPLICATE);
    CU_ASSERT_EQUAL(buf.references, 1);
}

static void the_first_copy_of_a_byte_wins(void)
{
    uint8_t other[100] = {0};
    struct mr_recv_frame frame = {.offset = 0, .data = other, .buf = &buf, .size = 100};

    start(8, 1);
    insert(20, 50);
    CU_ASSERT_EQUAL(mr_recv_queue_insert(&queue, &recv_pools, &released, &frame), MR_RECV_OK);
    memcpy(memory, other, 20);
    memcpy(memory + 70, other, 30);
    CU_ASSERT(shows(100));
}

static void fin_is_shown_behind_the_last_byte(void)
{
    start(8, 1);
    CU_ASSERT_EQUAL(insert_fin(100, 50), MR_RECV_OK);
    CU_ASSERT_FALSE(mr_recv_queue_is_complete(&queue));
    CU_ASSERT_EQUAL(insert(0, 100), MR_RECV_OK);
    CU_ASSERT(mr_recv_queue_is_complete(&queue));
    CU_ASSERT_FALSE(mr_recv_queue_is_consumed(&queue));
    CU_ASSERT(shows(150));
    release(150);
    CU_ASSERT(mr_recv_queue_is_consumed(&queue));
    CU_ASSERT_EQUAL(insert_fin(100, 50), MR_RECV_DUPLICATE);
}

static void an_empty_fin_ends_the_stream(void)
{
    start(8, 1);
    insert(0, 10);
    CU_ASSERT_EQUAL(insert(10, 0), MR_RECV_DUPLICATE);
    CU_ASSERT_EQUAL(insert_fin(10, 0), MR_RECV_OK);
    CU_ASSERT_EQUAL(insert_fin(10, 0), MR_RECV_DUPLICATE);
    CU_ASSERT(mr_recv_queue_is_complete(&queue));
    CU_ASSERT(shows(10));
    release(10);
    CU_ASSERT(shows(0)); /* with FIN */
}

static void without_a_node_a_frame_is_refused_whole(void)
{
    struct hoard hoard = {0};

    start(16, 1);
    insert(100, 10);
    insert(200, 10);
    hoard_all_but(&hoard, &nodes_pool, 4);
    CU_ASSERT_EQUAL(insert(90, 200), MR_RECV_NO_ROOM); /* three holes, and the reserve of two */
    CU_ASSERT_EQUAL(queue.highest, 210);
    CU_ASSERT_EQUAL(insert(0, 1), MR_RECV_OK);
    hoard_give_back(&hoard);
    hoard_all_but(&hoard, &nodes_pool, 0);
    CU_ASSERT_EQUAL(insert(1, 1), MR_RECV_NO_ROOM);
    CU_ASSERT_EQUAL(insert_fin(210, 0), MR_RECV_OK); /* needs none */
    hoard_give_back(&hoard);
    CU_ASSERT_EQUAL(insert(90, 120), MR_RECV_OK);
}

static void early_bytes_leave_the_reserve_to_those_in_order(void)
{
    uint64_t offset = 100;

    start(16, 1);
    while (insert(offset, 1) == MR_RECV_OK)
        offset += 2;
    CU_ASSERT(mr_pool_free_count(&nodes_pool) >= 2);
    CU_ASSERT_EQUAL(insert(0, 100), MR_RECV_OK);
    CU_ASSERT(shows(101));
}

static void runs_are_limited(void)
{
    start(1024, 1);
    for (uint32_t i = 0; i < MR_RECV_RUNS_MAX; i++)
        CU_ASSERT_EQUAL(insert(100 + 10 * i, 5), MR_RECV_OK);
    CU_ASSERT_EQUAL(insert(5000, 5), MR_RECV_NO_ROOM);
    CU_ASSERT_EQUAL(insert(105, 1), MR_RECV_OK); /* grows a run */
    CU_ASSERT_EQUAL(insert(109, 1), MR_RECV_OK);
    CU_ASSERT_EQUAL(insert(106, 3), MR_RECV_OK); /* joins two */
    CU_ASSERT_EQUAL(insert(5000, 5), MR_RECV_OK);
}

/* Random loss over a distance: what lies between the gaps pays for them. */
static void full_buffers_between_the_gaps_allow_more_runs(void)
{
    enum mr_recv_verdict verdict = MR_RECV_OK;

    start(POOL_NODES_MAX, 1);
    queue.pinned_count = 200 * MR_RECV_RUNS_SHARE; /* as if so many were referred to */
    recv_pools.pinned_count = queue.pinned_count;
    for (uint32_t i = 0; verdict == MR_RECV_OK && i < 400; i++) {
        struct mr_recv_frame frame = {.offset = 1 + 2 * i, .data = memory, .buf = &buf, .size = 1};

        verdict = mr_recv_queue_insert(&queue, &recv_pools, &released, &frame);
    }
    CU_ASSERT_EQUAL(verdict, MR_RECV_NO_ROOM);
    CU_ASSERT_EQUAL(queue.run_count, queue.pinned_count / MR_RECV_RUNS_SHARE);
}

/* And no more than so many: the walk over them must end. */
static void runs_have_a_bound_whatever_lies_between(void)
{
    struct mr_recv_frame frame = {.offset = 1, .data = memory, .buf = &buf, .size = 1};

    start(POOL_NODES_MAX, 1);
    queue.pinned_count = 2 * MR_RECV_RUNS_MOST * MR_RECV_RUNS_SHARE;
    recv_pools.pinned_count = queue.pinned_count;
    queue.run_count = MR_RECV_RUNS_MOST - 1; /* as if there were so many */
    CU_ASSERT_EQUAL(mr_recv_queue_insert(&queue, &recv_pools, &released, &frame), MR_RECV_OK);
    CU_ASSERT_EQUAL(queue.run_count, MR_RECV_RUNS_MOST);
    frame.offset = 3;
    CU_ASSERT_EQUAL(mr_recv_queue_insert(&queue, &recv_pools, &released, &frame), MR_RECV_NO_ROOM);
    frame.offset = 2; /* grows the one that there is */
    CU_ASSERT_EQUAL(mr_recv_queue_insert(&queue, &recv_pools, &released, &frame), MR_RECV_OK);
    CU_ASSERT_EQUAL(queue.run_count, MR_RECV_RUNS_MOST);
}

static void small_pieces_share_a_block_and_pin_no_buffer(void)
{
    start(8, 2);
    for (uint32_t i = 0; i < 300; i++)
        CU_ASSERT_EQUAL(insert_copy(i, 1), MR_RECV_OK);
    CU_ASSERT_EQUAL(buf.references, 1);
    CU_ASSERT_EQUAL(queue.pinned_count, 0);
    CU_ASSERT_EQUAL(blocks_pool.used, 1);
    CU_ASSERT_EQUAL(nodes_pool.used, 1); /* one piece that grew */
    CU_ASSERT(shows(300));
    CU_ASSERT(release(300));
    CU_ASSERT_EQUAL(released.count, 1);
    CU_ASSERT_PTR_NULL(mr_compact_reclaim(&blocks_pool, mr_buf_list_take(&released)));
    CU_ASSERT_EQUAL(stream_pools_used(), 0);
}

static void a_large_copy_spans_blocks(void)
{
    start(16, 4);
    CU_ASSERT_EQUAL(insert_copy(0, MR_COMPACT_BYTES), MR_RECV_OK);
    CU_ASSERT_EQUAL(blocks_pool.used, 1);
    release(MR_COMPACT_BYTES);
    start(16, 4);
    CU_ASSERT_EQUAL(insert_copy(0, 4 * MR_COMPACT_BYTES + 1), MR_RECV_NO_ROOM);
    CU_ASSERT_EQUAL(insert_copy(0, 4 * MR_COMPACT_BYTES), MR_RECV_OK);
    start(16, 4);
    CU_ASSERT_EQUAL(insert_copy(0, 100), MR_RECV_OK);
    CU_ASSERT_EQUAL(insert_copy(100, 5000), MR_RECV_OK);
    CU_ASSERT_EQUAL(blocks_pool.used, 3);
    CU_ASSERT(shows(5100));
    CU_ASSERT_EQUAL(insert_copy(5100, 4000), MR_RECV_NO_ROOM);
    CU_ASSERT_EQUAL(insert_copy(5100, 2500), MR_RECV_OK);
    CU_ASSERT(shows(7600));
    release(7600);
    mr_compact_reclaim(&blocks_pool, mr_buf_list_take(&released));
    CU_ASSERT_EQUAL(stream_pools_used(), 0);
}

static void copies_and_references_mix(void)
{
    start(16, 2);
    insert_copy(200, 100);
    insert(100, 100);
    insert_copy(0, 50);
    insert(0, 400);
    CU_ASSERT(shows(400));
    CU_ASSERT_EQUAL(queue.pinned_count, 3);
    release(400);
    mr_compact_reclaim(&blocks_pool, mr_buf_list_take(&released));
    CU_ASSERT_EQUAL(stream_pools_used(), 0);
}

static void growth_is_what_flow_control_counts(void)
{
    start(8, 1);
    CU_ASSERT_EQUAL(mr_recv_queue_growth(&queue, 100), 100);
    insert(50, 50);
    CU_ASSERT_EQUAL(mr_recv_queue_growth(&queue, 100), 0);
    CU_ASSERT_EQUAL(mr_recv_queue_growth(&queue, 130), 30);
    CU_ASSERT_EQUAL(insert(200, 0), MR_RECV_OK); /* an empty frame counts by its offset */
    CU_ASSERT_EQUAL(queue.highest, 200);
}

static void a_discarding_queue_counts_and_keeps_nothing(void)
{
    start(8, 2);
    insert(0, 100);
    insert_copy(200, 100);
    release(50);
    mr_recv_queue_discard(&queue, &recv_pools, &released);
    mr_recv_queue_check(&queue, &recv_pools);
    mr_compact_reclaim(&blocks_pool, mr_buf_list_take(&released));
    CU_ASSERT_EQUAL(stream_pools_used(), 0);
    CU_ASSERT_EQUAL(buf.references, 1);
    CU_ASSERT_EQUAL(insert(250, 100), MR_RECV_OK);
    CU_ASSERT_EQUAL(queue.highest, 350);
    CU_ASSERT_EQUAL(insert(100, 100), MR_RECV_DUPLICATE);
    CU_ASSERT_EQUAL(insert_fin(0, 349), MR_RECV_FINAL_SIZE_ERROR);
    CU_ASSERT_EQUAL(stream_pools_used(), 0);
    CU_ASSERT(shows(0));
}

/* RESET_STREAM: what was shown stays until it is released, what was not goes at once. */
static void what_was_shown_is_not_abandoned(void)
{
    struct mr_view view;
    bool fin;

    start(8, 1);
    insert(0, 100);
    insert(100, 100);
    insert(300, 50);
    CU_ASSERT_EQUAL(mr_recv_queue_peek(&queue, &recv_pools, &view, 1, &fin), 1);
    release(30);
    CU_ASSERT_EQUAL(mr_recv_queue_abandon(&queue, &recv_pools, &released), 70);
    mr_recv_queue_check(&queue, &recv_pools);
    CU_ASSERT_EQUAL(buf.references, 2);
    CU_ASSERT_EQUAL(insert(100, 200), MR_RECV_DUPLICATE);
    CU_ASSERT_FALSE(release(71));
    CU_ASSERT(release(69));
    CU_ASSERT_EQUAL(buf.references, 2);
    CU_ASSERT(release(1));
    CU_ASSERT_EQUAL(buf.references, 1);
    CU_ASSERT_EQUAL(queue.pinned_count, 0);
}

/* Bytes that grew behind what was shown, in the same block, are not part of it. */
static void what_grew_behind_it_is_abandoned(void)
{
    struct mr_view view;
    bool fin;

    start(8, 2);
    insert_copy(0, 40);
    CU_ASSERT_EQUAL(mr_recv_queue_peek(&queue, &recv_pools, &view, 1, &fin), 1);
    insert_copy(40, 40);
    CU_ASSERT_EQUAL(mr_recv_queue_abandon(&queue, &recv_pools, &released), 40);
    mr_recv_queue_check(&queue, &recv_pools);
    CU_ASSERT_EQUAL(memcmp(view.data, memory, 40), 0);
    CU_ASSERT_FALSE(release(41));
    CU_ASSERT(release(40));
    CU_ASSERT_EQUAL(queue.block, MR_NONE);
}

static void without_a_view_all_is_abandoned(void)
{
    start(8, 1);
    insert(0, 100);
    shows(100);
    release(100);
    insert(100, 100);
    CU_ASSERT_EQUAL(mr_recv_queue_abandon(&queue, &recv_pools, &released), 0);
    mr_recv_queue_check(&queue, &recv_pools);
    CU_ASSERT_EQUAL(buf.references, 1);
    CU_ASSERT_EQUAL(queue.released_to, queue.ready_to);
}

static CU_TestInfo tests[] = {
    {"what was shown is not abandoned", what_was_shown_is_not_abandoned},
    {"what grew behind it is abandoned", what_grew_behind_it_is_abandoned},
    {"without a view all is abandoned", without_a_view_all_is_abandoned},
    {"bytes in order are shown by reference", bytes_in_order_are_shown_by_reference},
    {"release drops references piece by piece", release_drops_references_piece_by_piece},
    {"early bytes wait for the gap", early_bytes_wait_for_the_gap},
    {"overlaps deliver no byte twice", overlaps_deliver_no_byte_twice},
    {"the first copy of a byte wins", the_first_copy_of_a_byte_wins},
    {"FIN is shown behind the last byte", fin_is_shown_behind_the_last_byte},
    {"an empty FIN ends the stream", an_empty_fin_ends_the_stream},
    {"without a node a frame is refused whole", without_a_node_a_frame_is_refused_whole},
    {"early bytes leave the reserve to those in order",
     early_bytes_leave_the_reserve_to_those_in_order},
    {"runs are limited", runs_are_limited},
    {"full buffers between the gaps allow more runs",
     full_buffers_between_the_gaps_allow_more_runs},
    {"runs have a bound whatever lies between", runs_have_a_bound_whatever_lies_between},
    {"small pieces share a block and pin no buffer", small_pieces_share_a_block_and_pin_no_buffer},
    {"a large copy spans blocks", a_large_copy_spans_blocks},
    {"copies and references mix", copies_and_references_mix},
    {"growth is what flow control counts", growth_is_what_flow_control_counts},
    {"a discarding queue counts and keeps nothing", a_discarding_queue_counts_and_keeps_nothing},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/recv_queue", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
