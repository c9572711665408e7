/* quic/stream_record.c - see stream_record.h. */
#include "quic/stream_record.h"

#include "base/compiler.h"

/* A segment of a send queue. */
struct segment {
    uint64_t offset;
    uint64_t address; /* of application memory; 0: the bytes follow */
    uint32_t size;
    uint32_t reserved;
};

/* Bytes that have arrived; they follow. */
struct extent {
    uint64_t begin;
    uint64_t end;
};

/* Says how many items follow. */
struct item_count {
    uint64_t items;
};

static void put_count(struct mr_record_writer *w, uint64_t items)
{
    mr_record_put(w, &(struct item_count){.items = items}, sizeof(struct item_count));
}

/* UINT64_MAX: the record ends here. */
static uint64_t take_count(struct mr_record_reader *r)
{
    const struct item_count *count = mr_record_take(r, sizeof(*count));

    return count == NULL ? UINT64_MAX : count->items;
}

/* ------------------------------------------------------------------ sending */

static struct mr_send_segment *segment_at(const struct mr_send_pools *pools, uint32_t index)
{
    return mr_pool_at(pools->segments, index);
}

void mr_stream_record_write_send(struct mr_record_writer *w, const struct mr_send_queue *q,
                                 const struct mr_send_pools *pools)
{
    uint64_t segments = 0;

    for (uint32_t i = q->head; i != MR_NONE; i = segment_at(pools, i)->next)
        segments++;
    put_count(w, segments);
    for (uint32_t i = q->head; i != MR_NONE; i = segment_at(pools, i)->next) {
        const struct mr_send_segment *from = segment_at(pools, i);
        bool is_copy = from->chunk != MR_NONE;
        struct segment to = {.offset = from->offset,
                             .address = is_copy ? 0 : (uint64_t)(uintptr_t)from->data,
                             .size = from->size};

        mr_record_put(w, &to, sizeof(to));
        if (is_copy)
            mr_record_put(w, from->data, from->size);
        else
            w->has_references = true;
    }
    put_count(w, q->acked.count);
    for (uint32_t i = q->acked.head; i != MR_NONE;) {
        const struct mr_range_node *node = mr_pool_at(pools->ranges, i);

        mr_record_put(w, &node->range, sizeof(node->range));
        i = node->next;
    }
}

/* One more segment behind the last. */
static bool read_segment(struct mr_record_reader *r, struct mr_send_queue *q,
                         const struct mr_send_pools *pools)
{
    const struct segment *from = mr_record_take(r, sizeof(*from));
    if (from == NULL)
        return false;
    const void *bytes = from->address == 0 ? mr_record_take(r, from->size) : NULL;
    if (from->address == 0 && (bytes == NULL || from->size > MR_CHUNK_SIZE))
        return false;
    if (mr_pool_free_count(pools->segments) == 0 ||
        (bytes != NULL && mr_pool_free_count(pools->chunks) == 0))
        return false;

    uint32_t index = mr_pool_get(pools->segments);
    struct mr_send_segment *to = segment_at(pools, index);
    *to = (struct mr_send_segment){.data = (const uint8_t *)(uintptr_t)from->address,
                                   .offset = from->offset,
                                   .size = from->size,
                                   .chunk = MR_NONE,
                                   .next = MR_NONE};
    if (bytes != NULL) {
        to->chunk = mr_pool_get(pools->chunks);
        uint8_t *chunk = mr_pool_at(pools->chunks, to->chunk);
        memcpy(chunk, bytes, from->size);
        to->data = chunk;
    }
    if (q->tail == MR_NONE)
        q->head = index;
    else
        segment_at(pools, q->tail)->next = index;
    q->tail = index;
    if (q->cursor == MR_NONE && to->offset + to->size > q->next_offset)
        q->cursor = index;
    return true;
}

static bool read_acked(struct mr_record_reader *r, struct mr_send_queue *q,
                       const struct mr_send_pools *pools)
{
    uint64_t count = take_count(r);

    for (uint64_t i = 0; i < count; i++) {
        const struct mr_range *range = mr_record_take(r, sizeof(*range));

        if (range == NULL || !mr_range_list_add(&q->acked, pools->ranges, *range))
            return false;
    }
    return true;
}

bool mr_stream_record_read_send(struct mr_record_reader *r, struct mr_send_queue *q,
                                const struct mr_send_pools *pools,
                                const struct mr_send_queue *saved)
{
    uint64_t segments = take_count(r);

    mr_send_queue_init(q);
    q->acked_to = saved->acked_to;
    q->next_offset = saved->next_offset;
    q->end_offset = saved->end_offset;
    q->has_fin = saved->has_fin;
    q->is_fin_sent = saved->is_fin_sent;
    q->is_fin_acked = saved->is_fin_acked;
    q->is_closed = saved->is_closed;
    q->repeat_below = saved->repeat_below;
    q->notify_offset = saved->notify_offset;
    for (uint64_t i = 0; i < segments; i++) {
        if (!read_segment(r, q, pools))
            return false;
    }
    if (!read_acked(r, q, pools))
        return false;
    mr_send_queue_lost(q, pools,
                       (struct mr_send_span){.offset = q->acked_to,
                                             .size = (uint32_t)(q->next_offset - q->acked_to),
                                             .has_fin = q->is_fin_sent});
    return true;
}

/* ------------------------------------------------------------------ receiving */

static const struct mr_recv_piece *piece_at(const struct mr_recv_pools *pools, uint32_t index)
{
    return mr_pool_at(pools->nodes, index);
}

static void write_extent(struct mr_record_writer *w, const struct mr_recv_pools *pools,
                         struct extent extent, uint32_t head)
{
    size_t at = w->used + sizeof(extent);
    size_t size = (size_t)(extent.end - extent.begin);

    mr_record_put(w, &extent, sizeof(extent));
    w->used += mr_record_padded(size);
    if (w->bytes == NULL || w->used > w->room)
        return;
    for (uint32_t i = head; i != MR_NONE; i = piece_at(pools, i)->next) {
        memcpy(w->bytes + at, piece_at(pools, i)->data, piece_at(pools, i)->size);
        at += piece_at(pools, i)->size;
    }
    memset(w->bytes + at, 0, w->used - at);
}

void mr_stream_record_write_recv(struct mr_record_writer *w, const struct mr_recv_queue *q,
                                 const struct mr_recv_pools *pools)
{
    bool has_ready = q->ready_head != MR_NONE && !q->is_discarding; /* it is not shown again */

    put_count(w, q->run_count + has_ready);
    if (has_ready)
        write_extent(w, pools, (struct extent){q->released_to, q->ready_to}, q->ready_head);
    for (uint32_t i = q->run_head; i != MR_NONE;) {
        const struct mr_recv_run *run = mr_pool_at(pools->nodes, i);

        write_extent(w, pools, (struct extent){run->begin, run->end}, run->head);
        i = run->next;
    }
}

static bool read_extent(struct mr_record_reader *r, struct mr_recv_queue *q,
                        struct mr_recv_pools *pools, struct mr_buf_list *released)
{
    const struct extent *extent = mr_record_take(r, sizeof(*extent));
    if (extent == NULL || extent->end - extent->begin > UINT32_MAX)
        return false;

    struct mr_recv_frame frame = {.offset = extent->begin,
                                  .data = mr_record_take(r, (size_t)(extent->end - extent->begin)),
                                  .size = (uint32_t)(extent->end - extent->begin),
                                  .is_copy = true};
    return frame.data != NULL && mr_recv_queue_insert(q, pools, released, &frame) == MR_RECV_OK;
}

bool mr_stream_record_read_recv(struct mr_record_reader *r, struct mr_recv_queue *q,
                                struct mr_recv_pools *pools, struct mr_buf_list *released,
                                const struct mr_recv_queue *saved)
{
    uint64_t extents = take_count(r);

    mr_recv_queue_init(q);
    q->released_to = q->ready_to = saved->is_discarding ? saved->ready_to : saved->released_to;
    q->highest = saved->highest;
    q->final_size = saved->final_size;
    q->is_discarding = saved->is_discarding;
    if (extents == UINT64_MAX)
        return false;
    for (uint64_t i = 0; i < extents; i++) {
        if (!read_extent(r, q, pools, released))
            return false;
    }
    return true;
}
