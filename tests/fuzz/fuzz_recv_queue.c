/*
 * tests/fuzz/fuzz_recv_queue.c - property test of quic/recv_queue.h and quic/compact.h.
 *
 * The input is a program of frames that overlap in any way, by reference and
 * copied, with FIN and RESET_STREAM; the application reads now and then; nodes
 * and blocks run out.  Every copy of a byte differs, so that the model knows
 * which was taken; buffers are poisoned when they are released.  Properties:
 *   1. what is shown are the first accepted copies of the bytes, in order, once;
 *   2. readable ends at the first byte that has not arrived;
 *   3. verdicts: DUPLICATE means nothing new, FINAL_SIZE_ERROR is RFC 9000,
 *      Section 4.5 computed on its own, NO_ROOM changes nothing and is said only
 *      when a limit is near;
 *   4. highest and final_size are the model's;
 *   5. a buffer is released once, when its last piece is gone, and never before:
 *      all references, nodes and blocks are back at the end;
 *   6. copied data never holds a packet buffer.
 */
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "quic/recv_queue.h"
#include "tests/unit/stream_pools.h"

enum {
    STREAM_MAX = 1 << 13,
    FRAME_MAX = 600,
    BUFFERS = 64,
    NODES = 64,
    BLOCKS = 6,
    VIEWS = 5
};

struct buffer {
    struct mr_buf buf;
    bool is_out; /* held by someone */
    uint8_t bytes[FRAME_MAX];
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct buffer buffers[BUFFERS];
static uint8_t value[STREAM_MAX];
static bool has[STREAM_MAX + 1];
static struct mr_recv_queue queue;
static struct mr_buf_list released;
static uint64_t model_ready, model_shown, model_highest, model_final;
static uint8_t copy_number; /* makes every copy of a byte differ */
static struct hoard nodes_hoard, blocks_hoard;

static void drain_released(void)
{
    for (struct mr_buf *buf = released.head; buf != NULL; buf = buf->next)
        if ((buf->flags & MR_BUF_COMPACT) != 0)
            memset(MR_CONTAINER_OF(buf, struct mr_compact, buf)->bytes, 0xdd, MR_COMPACT_BYTES);

    struct mr_buf *buf = mr_compact_reclaim(&blocks_pool, mr_buf_list_take(&released));
    while (buf != NULL) {
        struct buffer *buffer = MR_CONTAINER_OF(buf, struct buffer, buf);
        buf = buf->next;
        MR_ASSERT(buffer->is_out && buffer->buf.references == 0);
        buffer->is_out = false;
        memset(buffer->bytes, 0xdd, sizeof(buffer->bytes));
    }
}

static struct buffer *take_buffer(void)
{
    for (uint32_t i = 0; i < BUFFERS; i++) {
        if (buffers[i].is_out)
            continue;
        buffers[i].is_out = true;
        buffers[i].buf = (struct mr_buf){.references = 1};
        return &buffers[i];
    }
    return NULL;
}

static bool model_size_error(uint64_t end, bool has_fin)
{
    if (model_final != MR_RECV_SIZE_UNKNOWN)
        return end > model_final || (has_fin && end != model_final);
    return has_fin && end < model_highest;
}

/* Bytes of the frame that the model lacks. */
static uint32_t count_new(const struct mr_recv_frame *frame)
{
    uint32_t count = 0;

    if (queue.is_discarding)
        return 0;
    for (uint64_t at = frame->offset; at < frame->offset + frame->size; at++)
        count += !has[at];
    return count;
}

/* Room enough that no limit can be the reason to refuse a frame of FRAME_MAX bytes. */
static bool has_plenty(void)
{
    return mr_pool_free_count(&nodes_pool) > NODES / 8 + NODES / 2 &&
           mr_pool_free_count(&blocks_pool) > BLOCKS / 8;
}

static void accept_frame(const struct mr_recv_frame *frame)
{
    uint64_t end = frame->offset + frame->size;

    model_highest = MR_MAX(model_highest, end);
    if (frame->has_fin)
        model_final = end;
    if (queue.is_discarding)
        return;
    for (uint64_t at = frame->offset; at < end; at++) {
        if (!has[at])
            value[at] = frame->data[at - frame->offset];
        has[at] = true;
    }
}

static void insert(const struct mr_recv_frame *frame)
{
    uint64_t end = frame->offset + frame->size;
    uint32_t new_bytes = count_new(frame);
    bool is_news = new_bytes > 0 || end > model_highest ||
                   (frame->has_fin && model_final == MR_RECV_SIZE_UNKNOWN);
    bool had_plenty = has_plenty();
    struct mr_recv_queue before = queue;
    uint32_t used = stream_pools_used();
    uint32_t references = frame->buf->references;

    enum mr_recv_verdict verdict = mr_recv_queue_insert(&queue, &recv_pools, &released, frame);
    if (model_size_error(end, frame->has_fin)) {
        MR_ASSERT(verdict == MR_RECV_FINAL_SIZE_ERROR);
    } else if (verdict == MR_RECV_NO_ROOM) {
        MR_ASSERT(new_bytes > 0 && !had_plenty);
    } else {
        MR_ASSERT(verdict == (is_news ? MR_RECV_OK : MR_RECV_DUPLICATE));
    }
    if (verdict == MR_RECV_OK) {
        accept_frame(frame);
    } else {
        MR_ASSERT(memcmp(&before, &queue, sizeof(queue)) == 0);
        MR_ASSERT(stream_pools_used() == used && frame->buf->references == references);
    }
    if (frame->is_copy)
        MR_ASSERT(frame->buf->references == references);
}

static void receive(struct input *in, uint8_t op)
{
    struct buffer *buffer = take_buffer();
    if (buffer == NULL)
        return;

    uint64_t base = (op & 1) != 0 ? queue.ready_to : model_highest;
    int64_t offset = (int64_t)base + (int8_t)input_u8(in);
    if ((op & 6) == 6)
        offset = (int64_t)queue.ready_to;
    offset = MR_MAX(offset, 0);
    uint32_t size = (op & 8) != 0 ? input_below(in, FRAME_MAX) : input_below(in, 48);
    if (offset + size > STREAM_MAX) {
        offset = STREAM_MAX - FRAME_MAX;
        size = (uint32_t)MR_MIN(size, FRAME_MAX);
    }

    copy_number++;
    for (uint32_t i = 0; i < size; i++)
        buffer->bytes[i] = (uint8_t)(stream_byte((uint64_t)offset + i) + copy_number);
    insert(&(struct mr_recv_frame){
        .offset = (uint64_t)offset,
        .data = buffer->bytes,
        .buf = &buffer->buf,
        .size = size,
        .has_fin = input_u8(in) >= 252,
        .is_copy = (op & 16) != 0,
    });
    mr_buf_drop(&buffer->buf, &released);
}

static void read_some(uint32_t most)
{
    struct mr_view views[VIEWS];
    bool has_fin;
    uint64_t at = queue.released_to;
    size_t count = mr_recv_queue_peek(&queue, &recv_pools, views, VIEWS, &has_fin);

    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < views[i].size; j++, at++)
            MR_ASSERT(has[at] && views[i].data[j] == value[at]);
    MR_ASSERT(count == VIEWS || at == queue.ready_to);
    MR_ASSERT(has_fin == (at == model_final));
    model_shown = MR_MAX(model_shown, at);

    uint64_t readable = mr_recv_queue_readable_bytes(&queue);
    MR_ASSERT(mr_recv_queue_release(&queue, &recv_pools, &released, most) == (most <= readable));
}

static void set_final_size(uint64_t final_size)
{
    enum mr_recv_verdict verdict = mr_recv_queue_set_final_size(&queue, final_size);

    if (model_size_error(final_size, true)) {
        MR_ASSERT(verdict == MR_RECV_FINAL_SIZE_ERROR);
        return;
    }
    MR_ASSERT(verdict == (model_final == final_size ? MR_RECV_DUPLICATE : MR_RECV_OK));
    model_final = final_size;
    model_highest = final_size;
}

static void hoard_some(struct input *in)
{
    uint8_t what = input_u8(in);

    hoard_give_back(&nodes_hoard);
    hoard_give_back(&blocks_hoard);
    if ((what & 1) != 0)
        hoard_all_but(&nodes_hoard, &nodes_pool, (what >> 3) % 16);
    if ((what & 2) != 0)
        hoard_all_but(&blocks_hoard, &blocks_pool, (what >> 6) % 2);
}

/* Of what is ready only what was shown stays. */
static void abandon(void)
{
    uint64_t kept = MR_MAX(model_shown, queue.released_to) - queue.released_to;

    if (queue.is_discarding)
        return;
    MR_ASSERT(mr_recv_queue_abandon(&queue, &recv_pools, &released) == kept);
    if (kept > 0)
        model_ready = model_shown;
}

static void step(struct input *in)
{
    uint8_t op = input_u8(in);
    uint8_t end = op == 255 ? input_u8(in) & 15 : 1;

    if (op < 170)
        receive(in, op);
    else if (op < 235)
        read_some(op & 1 ? input_below(in, 1024) : (uint32_t)mr_recv_queue_readable_bytes(&queue));
    else if (op < 254)
        hoard_some(in);
    else if (op == 254)
        set_final_size(model_highest + (input_u8(in) & 1));
    else if (end == 2)
        abandon();
    else if (end == 0)
        mr_recv_queue_discard(&queue, &recv_pools, &released);
}

static void check_all(void)
{
    mr_recv_queue_check(&queue, &recv_pools);
    MR_ASSERT(queue.highest == model_highest);
    MR_ASSERT(queue.final_size == model_final);
    MR_ASSERT(recv_pools.pinned_count == queue.pinned_count);
    while (has[model_ready] && !queue.is_discarding)
        model_ready++;
    MR_ASSERT(queue.ready_to == model_ready);
}

static void start(void)
{
    memset(has, 0, sizeof(has));
    memset(buffers, 0, sizeof(buffers));
    stream_pools_init(NODES, BLOCKS, 1);
    mr_recv_queue_init(&queue);
    mr_buf_list_init(&released);
    model_ready = 0;
    model_shown = 0;
    model_highest = 0;
    model_final = MR_RECV_SIZE_UNKNOWN;
    copy_number = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};

    start();
    while (in.left > 0) {
        step(&in);
        check_all();
        drain_released();
    }
    hoard_give_back(&nodes_hoard);
    hoard_give_back(&blocks_hoard);
    while (mr_recv_queue_readable_bytes(&queue) > 0)
        read_some((uint32_t)mr_recv_queue_readable_bytes(&queue));
    mr_recv_queue_discard(&queue, &recv_pools, &released);
    check_all();
    drain_released();
    MR_ASSERT(stream_pools_used() == 0);
    for (uint32_t i = 0; i < BUFFERS; i++)
        MR_ASSERT(!buffers[i].is_out);
    return 0;
}
