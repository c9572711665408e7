/*
 * quic/send_queue.c - see send_queue.h.
 *
 * Order in this file: life cycle, queueing, sending (new data, lost data),
 * acknowledgement, loss, invariants.
 */
#include "quic/send_queue.h"

#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "quic/varint.h"

_Static_assert(sizeof(struct mr_send_segment) == 32, "two segments to a cache line");
_Static_assert(MR_SEND_COPY_MAX <= MR_CHUNK_SIZE, "a copied append takes at most one new chunk");

static void add_by_reference(struct mr_send_queue *q, const struct mr_send_pools *pools,
                             const uint8_t *data, size_t size);
static void add_by_copy(struct mr_send_queue *q, const struct mr_send_pools *pools,
                        const uint8_t *data, size_t size);
static uint32_t new_segment(struct mr_send_queue *q, const struct mr_send_pools *pools);
static void free_head(struct mr_send_queue *q, const struct mr_send_pools *pools);
MR_COLD static bool next_lost(struct mr_send_queue *q, const struct mr_send_pools *pools,
                              uint32_t room, struct mr_send_frame *frame);
MR_COLD static void absorb_acked(struct mr_send_queue *q, const struct mr_send_pools *pools);
MR_COLD static enum mr_send_ack
record_acked(struct mr_send_queue *q, const struct mr_send_pools *pools, struct mr_range range);
static void lose(struct mr_send_queue *q, const struct mr_send_pools *pools, struct mr_range range);

static struct mr_send_segment *segment_at(const struct mr_send_pools *pools, uint32_t index)
{
    return mr_pool_at(pools->segments, index);
}

static uint64_t segment_end(const struct mr_send_segment *segment)
{
    return segment->offset + segment->size;
}

static bool has_hull(const struct mr_send_queue *q)
{
    return q->lost_hull.begin < q->lost_hull.end;
}

/* -------------------------------------------------------------- life cycle */

void mr_send_queue_init(struct mr_send_queue *q)
{
    *q = (struct mr_send_queue){.head = MR_NONE,
                                .tail = MR_NONE,
                                .cursor = MR_NONE,
                                .lost_cursor = MR_NONE,
                                .repeat_below = UINT64_MAX};
    mr_range_list_init(&q->lost);
    mr_range_list_init(&q->acked);
}

static void forget_sent(struct mr_send_queue *q, const struct mr_send_pools *pools)
{
    mr_range_list_clear(&q->lost, pools->ranges);
    mr_range_list_clear(&q->acked, pools->ranges);
    q->lost_hull = (struct mr_range){0};
    q->is_fin_sent = false;
    q->is_fin_lost = false;
    q->is_fin_acked = false;
}

void mr_send_queue_rewind(struct mr_send_queue *q, const struct mr_send_pools *pools)
{
    forget_sent(q, pools);
    q->next_offset = q->acked_to;
    q->cursor = q->head;
    q->lost_cursor = MR_NONE;
}

void mr_send_queue_reset(struct mr_send_queue *q, const struct mr_send_pools *pools)
{
    forget_sent(q, pools);
    while (q->head != MR_NONE)
        free_head(q, pools);
    q->cursor = MR_NONE;
    q->acked_to = q->next_offset;
    q->end_offset = q->next_offset;
    q->notify_offset = 0;
    q->has_fin = false;
    q->is_closed = true;
}

/* Give back segment `index`, which nothing names any more, and those behind it. */
static void free_chain(struct mr_send_queue *q, const struct mr_send_pools *pools, uint32_t index)
{
    while (index != MR_NONE) {
        const struct mr_send_segment *segment = segment_at(pools, index);
        uint32_t next = segment->next;

        if (q->lost_cursor == index)
            q->lost_cursor = MR_NONE;
        if (segment->chunk != MR_NONE)
            mr_pool_put(pools->chunks, segment->chunk);
        mr_pool_put(pools->segments, index);
        index = next;
    }
}

/* Forget the segments' bytes from `end` on. */
static void cut_segments(struct mr_send_queue *q, const struct mr_send_pools *pools, uint64_t end)
{
    uint32_t last = MR_NONE; /* that keeps some */
    uint32_t rest = q->head;

    while (rest != MR_NONE && segment_at(pools, rest)->offset < end && end > q->acked_to) {
        last = rest;
        rest = segment_at(pools, rest)->next;
    }
    free_chain(q, pools, rest);
    q->tail = last;
    if (last == MR_NONE) {
        q->head = MR_NONE;
        return;
    }
    struct mr_send_segment *segment = segment_at(pools, last);
    segment->next = MR_NONE;
    segment->size = (uint32_t)MR_MIN((uint64_t)segment->size, end - segment->offset);
}

void mr_send_queue_truncate(struct mr_send_queue *q, const struct mr_send_pools *pools,
                            uint64_t reliable)
{
    uint64_t end = MR_MAX(q->next_offset, reliable);

    MR_ASSERT(reliable <= q->end_offset);
    MR_ASSERT(reliable <= q->repeat_below);
    cut_segments(q, pools, end);
    if (q->next_offset == end)
        q->cursor = MR_NONE;
    q->end_offset = end;
    q->repeat_below = reliable;
    q->has_fin = q->is_fin_sent;
    q->is_fin_lost = false;
    q->is_closed = true;
    q->notify_offset = MR_MIN(q->notify_offset, end);
    mr_range_list_subtract(&q->lost, pools->ranges, (struct mr_range){reliable, UINT64_MAX});
    q->lost_hull.end = MR_MIN(q->lost_hull.end, reliable);
    if (!has_hull(q))
        q->lost_hull = (struct mr_range){0};
}

/* ---------------------------------------------------------------- queueing */

/* Sum of the views' sizes, or UINT64_MAX if the stream cannot hold them. */
static uint64_t total_size(const struct mr_send_queue *q, const struct mr_view *views, size_t count)
{
    uint64_t room = MR_VARINT_MAX - q->end_offset;
    uint64_t total = 0;

    for (size_t i = 0; i < count; i++) {
        if (views[i].size > room - total)
            return UINT64_MAX;
        total += views[i].size;
    }
    return total;
}

/* Segments that the views take at most. */
static uint64_t segments_needed(const struct mr_view *views, size_t count)
{
    uint64_t needed = 0;

    for (size_t i = 0; i < count; i++)
        needed += (views[i].size + MR_SEND_SEGMENT_MAX - 1) / MR_SEND_SEGMENT_MAX;
    return needed;
}

/* Bytes that can be copied behind the last segment. */
static uint32_t chunk_room(const struct mr_send_queue *q, const struct mr_send_pools *pools)
{
    if (q->tail == MR_NONE || segment_at(pools, q->tail)->chunk == MR_NONE)
        return 0;
    return MR_CHUNK_SIZE - segment_at(pools, q->tail)->size;
}

static bool has_room_to_copy(const struct mr_send_queue *q, const struct mr_send_pools *pools,
                             uint64_t size)
{
    uint64_t room = chunk_room(q, pools);
    uint64_t needed = size <= room ? 0 : (size - room + MR_CHUNK_SIZE - 1) / MR_CHUNK_SIZE;

    return needed <= mr_pool_free_count(pools->segments) &&
           needed <= mr_pool_free_count(pools->chunks);
}

enum mr_append_verdict mr_send_queue_append(struct mr_send_queue *q,
                                            const struct mr_send_pools *pools,
                                            const struct mr_view *views, size_t count,
                                            uint32_t flags)
{
    bool is_copy = (flags & MR_SEND_COPY) != 0;
    uint64_t total = total_size(q, views, count);

    if (q->is_closed || q->has_fin)
        return MR_APPEND_CLOSED;
    if (total == UINT64_MAX || (is_copy && total > MR_SEND_COPY_MAX))
        return MR_APPEND_TOO_BIG;
    if (is_copy ? !has_room_to_copy(q, pools, total)
                : segments_needed(views, count) > mr_pool_free_count(pools->segments))
        return MR_APPEND_NO_MEMORY;

    for (size_t i = 0; i < count; i++) {
        if (is_copy)
            add_by_copy(q, pools, views[i].data, views[i].size);
        else
            add_by_reference(q, pools, views[i].data, views[i].size);
    }
    q->has_fin = (flags & MR_SEND_FIN) != 0;
    if ((flags & MR_SEND_NOTIFY) != 0)
        q->notify_offset = q->end_offset;
    return MR_APPEND_OK;
}

enum mr_append_verdict mr_send_queue_append_copy(struct mr_send_queue *q,
                                                 const struct mr_send_pools *pools,
                                                 const uint8_t *data, size_t size)
{
    if (q->is_closed || q->has_fin)
        return MR_APPEND_CLOSED;
    if (size > MR_VARINT_MAX - q->end_offset)
        return MR_APPEND_TOO_BIG;
    if (!has_room_to_copy(q, pools, size))
        return MR_APPEND_NO_MEMORY;
    add_by_copy(q, pools, data, size);
    return MR_APPEND_OK;
}

/* `size` bytes were put behind the last segment's. */
static void grow_tail(struct mr_send_queue *q, const struct mr_send_pools *pools, uint32_t size)
{
    segment_at(pools, q->tail)->size += size;
    q->end_offset += size;
    if (q->cursor == MR_NONE)
        q->cursor = q->tail;
}

/* True if `data` lies right behind the last segment in application memory, which has room for more.
 */
static bool follows_tail(const struct mr_send_queue *q, const struct mr_send_pools *pools,
                         const uint8_t *data)
{
    if (q->tail == MR_NONE)
        return false;
    const struct mr_send_segment *tail = segment_at(pools, q->tail);
    return tail->chunk == MR_NONE && tail->data + tail->size == data &&
           tail->size < MR_SEND_SEGMENT_MAX;
}

static void add_by_reference(struct mr_send_queue *q, const struct mr_send_pools *pools,
                             const uint8_t *data, size_t size)
{
    while (size > 0) {
        if (!follows_tail(q, pools, data))
            segment_at(pools, new_segment(q, pools))->data = data;

        uint32_t room = MR_SEND_SEGMENT_MAX - segment_at(pools, q->tail)->size;
        uint32_t take = (uint32_t)MR_MIN(size, room);
        grow_tail(q, pools, take);
        data += take;
        size -= take;
    }
}

static void add_by_copy(struct mr_send_queue *q, const struct mr_send_pools *pools,
                        const uint8_t *data, size_t size)
{
    while (size > 0) {
        if (chunk_room(q, pools) == 0) {
            uint32_t chunk = mr_pool_get(pools->chunks);
            MR_ASSERT(chunk != MR_NONE);
            struct mr_send_segment *fresh = segment_at(pools, new_segment(q, pools));
            fresh->chunk = chunk;
            fresh->data = mr_pool_at(pools->chunks, chunk);
        }

        uint32_t used = segment_at(pools, q->tail)->size;
        uint32_t take = (uint32_t)MR_MIN(size, MR_CHUNK_SIZE - used);
        uint8_t *chunk = mr_pool_at(pools->chunks, segment_at(pools, q->tail)->chunk);
        memcpy(chunk + used, data, take);
        grow_tail(q, pools, take);
        data += take;
        size -= take;
    }
}

/* An empty segment behind the last, for application memory.  The caller made sure that one is free.
 */
static uint32_t new_segment(struct mr_send_queue *q, const struct mr_send_pools *pools)
{
    uint32_t index = mr_pool_get(pools->segments);

    MR_ASSERT(index != MR_NONE);
    *segment_at(pools, index) =
        (struct mr_send_segment){.offset = q->end_offset, .chunk = MR_NONE, .next = MR_NONE};
    if (q->tail == MR_NONE)
        q->head = index;
    else
        segment_at(pools, q->tail)->next = index;
    q->tail = index;
    return index;
}

static void free_head(struct mr_send_queue *q, const struct mr_send_pools *pools)
{
    uint32_t index = q->head;
    const struct mr_send_segment *segment = segment_at(pools, index);

    q->head = segment->next;
    if (q->head == MR_NONE)
        q->tail = MR_NONE;
    if (q->lost_cursor == index)
        q->lost_cursor = MR_NONE;
    if (segment->chunk != MR_NONE)
        mr_pool_put(pools->chunks, segment->chunk);
    mr_pool_put(pools->segments, index);
}

/* ----------------------------------------------------------------- sending */

/*
 * Describe at most `size` > 0 bytes from `offset` on, which lies in segment `index`, in
 * frame->pieces. Sets the frame's size; returns the segment of the byte behind them, MR_NONE behind
 * the last.
 */
static uint32_t gather(const struct mr_send_pools *pools, uint32_t index, uint64_t offset,
                       uint32_t size, struct mr_send_frame *frame)
{
    uint32_t count = 0;
    uint32_t gathered = 0;

    do {
        const struct mr_send_segment *segment = segment_at(pools, index);
        uint32_t within = (uint32_t)(offset + gathered - segment->offset);
        uint32_t left = segment->size - within;
        uint32_t take = MR_MIN(left, size - gathered);

        frame->pieces[count++] = (struct mr_send_piece){segment->data + within, take};
        gathered += take;
        if (take == left)
            index = segment->next;
    } while (gathered < size && count < MR_SEND_PIECES);

    frame->piece_count = count;
    frame->span.size = gathered;
    return index;
}

/* FIN goes with every frame that reaches the end of the stream. */
static void end_frame(struct mr_send_queue *q, struct mr_send_frame *frame)
{
    frame->span.has_fin = q->has_fin && frame->span.offset + frame->span.size == q->end_offset;
    if (frame->span.has_fin) {
        q->is_fin_sent = true;
        q->is_fin_lost = false;
    }
}

bool mr_send_queue_next(struct mr_send_queue *q, const struct mr_send_pools *pools, uint32_t room,
                        uint64_t flow_limit, struct mr_send_frame *frame_out)
{
    if (mr_send_queue_has_lost(q))
        if (next_lost(q, pools, room, frame_out))
            return true;

    uint64_t end = MR_MIN(q->end_offset, flow_limit);
    bool has_new = q->next_offset < end;

    frame_out->span.offset = q->next_offset;
    frame_out->is_retransmission = false;
    if (has_new && room > 0) {
        uint32_t size = (uint32_t)MR_MIN(end - q->next_offset, room);
        q->cursor = gather(pools, q->cursor, q->next_offset, size, frame_out);
        q->next_offset += frame_out->span.size;
    } else if (q->has_fin && !q->is_fin_sent && q->next_offset == q->end_offset) {
        frame_out->span.size = 0;
        frame_out->piece_count = 0;
    } else {
        return false;
    }
    end_frame(q, frame_out);
    return true;
}

struct mr_view mr_send_queue_run(const struct mr_send_queue *q, const struct mr_send_pools *pools,
                                 uint64_t flow_limit)
{
    if (q->cursor == MR_NONE || mr_send_queue_has_lost(q))
        return (struct mr_view){.size = 0};

    const struct mr_send_segment *segment = segment_at(pools, q->cursor);
    uint64_t end = MR_MIN(segment_end(segment), flow_limit);
    if (q->has_fin)
        end = MR_MIN(end, q->end_offset - 1); /* the last byte goes with FIN */
    if (end <= q->next_offset)
        return (struct mr_view){.size = 0};
    return (struct mr_view){.data = segment->data + (q->next_offset - segment->offset),
                            .size = end - q->next_offset};
}

void mr_send_queue_take(struct mr_send_queue *q, const struct mr_send_pools *pools, uint32_t size)
{
    const struct mr_send_segment *segment = segment_at(pools, q->cursor);

    MR_ASSERT(size > 0 && size <= segment_end(segment) - q->next_offset);
    q->next_offset += size;
    if (q->next_offset == segment_end(segment))
        q->cursor = segment->next;
}

/* The lowest bytes to be sent again; empty if only FIN is. */
static struct mr_range first_lost(const struct mr_send_queue *q, const struct mr_send_pools *pools)
{
    struct mr_range listed = {UINT64_MAX, UINT64_MAX};

    if (!mr_range_list_is_empty(&q->lost))
        listed = mr_range_list_first(&q->lost, pools->ranges);
    if (!has_hull(q) || listed.begin <= q->lost_hull.begin)
        return listed;
    return mr_range_list_first_missing(&q->acked, pools->ranges, q->lost_hull);
}

uint64_t mr_send_queue_next_at(const struct mr_send_queue *q, const struct mr_send_pools *pools)
{
    if (!mr_send_queue_has_lost(q))
        return q->next_offset;
    return MR_MIN(first_lost(q, pools).begin, q->end_offset);
}

/* The segment that holds `offset`, a byte sent before and not below the watermark. */
static uint32_t find_segment(const struct mr_send_queue *q, const struct mr_send_pools *pools,
                             uint64_t offset)
{
    uint32_t index = q->head;

    if (q->lost_cursor != MR_NONE && segment_at(pools, q->lost_cursor)->offset <= offset)
        index = q->lost_cursor;
    while (segment_end(segment_at(pools, index)) <= offset)
        index = segment_at(pools, index)->next;
    return index;
}

/* The hull begins with a byte that is not acknowledged, or is empty. */
static void trim_hull(struct mr_send_queue *q, const struct mr_send_pools *pools, uint64_t begin)
{
    if (!has_hull(q))
        return;
    q->lost_hull.begin = MR_MIN(MR_MAX(q->lost_hull.begin, begin), q->lost_hull.end);
    q->lost_hull.begin = mr_range_list_first_missing(&q->acked, pools->ranges, q->lost_hull).begin;
}

static bool next_lost(struct mr_send_queue *q, const struct mr_send_pools *pools, uint32_t room,
                      struct mr_send_frame *frame)
{
    struct mr_range range = first_lost(q, pools);

    frame->is_retransmission = true;
    if (range.begin == range.end) { /* FIN alone */
        frame->span.offset = q->end_offset;
        frame->span.size = 0;
        frame->piece_count = 0;
        end_frame(q, frame);
        return true;
    }
    if (room == 0)
        return false;

    uint32_t size = (uint32_t)MR_MIN(range.end - range.begin, room);
    uint32_t index = find_segment(q, pools, range.begin);
    frame->span.offset = range.begin;
    q->lost_cursor = gather(pools, index, range.begin, size, frame);

    uint64_t end = range.begin + frame->span.size;
    mr_range_list_remove_below(&q->lost, pools->ranges, end);
    trim_hull(q, pools, end);
    end_frame(q, frame);
    return true;
}

/* --------------------------------------------------------- acknowledgement */

/* Every byte below `watermark` is acknowledged. */
static void advance(struct mr_send_queue *q, const struct mr_send_pools *pools, uint64_t watermark)
{
    q->acked_to = watermark;
    if (!mr_range_list_is_empty(&q->acked))
        absorb_acked(q, pools);
    if (!mr_range_list_is_empty(&q->lost))
        mr_range_list_remove_below(&q->lost, pools->ranges, q->acked_to);
    trim_hull(q, pools, q->acked_to);
    while (q->head != MR_NONE && segment_end(segment_at(pools, q->head)) <= q->acked_to)
        free_head(q, pools);
}

/* The watermark has reached ranges that were acknowledged out of order: go on behind them. */
static void absorb_acked(struct mr_send_queue *q, const struct mr_send_pools *pools)
{
    while (!mr_range_list_is_empty(&q->acked)) {
        struct mr_range first = mr_range_list_first(&q->acked, pools->ranges);

        if (first.begin > q->acked_to)
            return;
        q->acked_to = MR_MAX(q->acked_to, first.end);
        mr_range_list_remove_first(&q->acked, pools->ranges);
    }
}

enum mr_send_ack mr_send_queue_acked(struct mr_send_queue *q, const struct mr_send_pools *pools,
                                     struct mr_send_span span)
{
    uint64_t end = span.offset + span.size;
    bool is_new_fin = span.has_fin && q->has_fin && !q->is_fin_acked;

    MR_ASSERT(end <= q->next_offset);
    if (is_new_fin) {
        q->is_fin_acked = true;
        q->is_fin_lost = false;
    }
    if (end <= q->acked_to || span.size == 0)
        return is_new_fin ? MR_SEND_ACK_ADVANCED : MR_SEND_ACK_OLD;
    if (span.offset <= q->acked_to) {
        advance(q, pools, end);
        return MR_SEND_ACK_ADVANCED;
    }
    return record_acked(q, pools, (struct mr_range){span.offset, end});
}

/*
 * Remember an acknowledgement above the watermark.  A change that lacks a node changes nothing, so:
 * if `range` cannot be cut out of the lost bytes, all of it is lost still; if it cannot be added to
 * the acknowledged ones, none of it was there.
 */
static enum mr_send_ack record_acked(struct mr_send_queue *q, const struct mr_send_pools *pools,
                                     struct mr_range range)
{
    if (mr_range_list_contains(&q->acked, pools->ranges, range))
        return MR_SEND_ACK_OLD;
    if (!mr_range_list_subtract(&q->lost, pools->ranges, range))
        return MR_SEND_ACK_DROPPED;
    if (!mr_range_list_add(&q->acked, pools->ranges, range)) {
        lose(q, pools, range);
        return MR_SEND_ACK_DROPPED;
    }
    trim_hull(q, pools, q->acked_to);
    return MR_SEND_ACK_RECORDED;
}

/* -------------------------------------------------------------------- loss */

void mr_send_queue_lost(struct mr_send_queue *q, const struct mr_send_pools *pools,
                        struct mr_send_span span)
{
    struct mr_range range = {MR_MAX(span.offset, q->acked_to), span.offset + span.size};

    MR_ASSERT(span.offset + span.size <= q->next_offset);
    if (span.has_fin && q->has_fin && !q->is_fin_acked && q->repeat_below == UINT64_MAX)
        q->is_fin_lost = true;
    while (range.begin < range.end) {
        struct mr_range missing = mr_range_list_first_missing(&q->acked, pools->ranges, range);

        if (missing.begin == missing.end)
            return;
        lose(q, pools, missing);
        range.begin = missing.end;
    }
}

/* `range`, of which nothing is acknowledged, must be sent again. */
static void lose(struct mr_send_queue *q, const struct mr_send_pools *pools, struct mr_range range)
{
    range.end = MR_MIN(range.end, q->repeat_below);
    if (range.begin >= range.end || mr_range_list_add(&q->lost, pools->ranges, range))
        return;
    if (!has_hull(q)) {
        q->lost_hull = range;
        return;
    }
    q->lost_hull.begin = MR_MIN(q->lost_hull.begin, range.begin);
    q->lost_hull.end = MR_MAX(q->lost_hull.end, range.end);
}

/* -------------------------------------------------------------- invariants */

static void check_segments(const struct mr_send_queue *q, const struct mr_send_pools *pools)
{
    uint64_t offset = q->head == MR_NONE ? q->end_offset : segment_at(pools, q->head)->offset;
    uint32_t last = MR_NONE;
    bool saw_cursor = false;
    bool saw_lost_cursor = q->lost_cursor == MR_NONE;

    MR_ASSERT(q->head == MR_NONE ? q->acked_to == q->end_offset : offset <= q->acked_to);
    for (uint32_t at = q->head; at != MR_NONE; at = segment_at(pools, at)->next) {
        const struct mr_send_segment *segment = segment_at(pools, at);

        MR_ASSERT(segment->offset == offset);
        MR_ASSERT(segment->size > 0 && segment->size <= MR_SEND_SEGMENT_MAX);
        MR_ASSERT(segment->chunk == MR_NONE || segment->size <= MR_CHUNK_SIZE);
        offset += segment->size;
        MR_ASSERT(offset > q->acked_to);
        if (at == q->cursor) {
            saw_cursor = true;
            MR_ASSERT(segment->offset <= q->next_offset && q->next_offset < offset);
        }
        saw_lost_cursor |= at == q->lost_cursor;
        last = at;
    }
    MR_ASSERT(offset == q->end_offset);
    MR_ASSERT(last == q->tail);
    MR_ASSERT(saw_cursor == (q->next_offset < q->end_offset));
    MR_ASSERT(saw_cursor || q->cursor == MR_NONE);
    MR_ASSERT(saw_lost_cursor);
}

void mr_send_queue_check(const struct mr_send_queue *q, const struct mr_send_pools *pools)
{
    const struct mr_pool *ranges = pools->ranges;

    MR_ASSERT(q->acked_to <= q->next_offset);
    MR_ASSERT(q->next_offset <= q->end_offset);
    MR_ASSERT(q->end_offset <= MR_VARINT_MAX);
    MR_ASSERT(!q->is_fin_sent || (q->has_fin && q->next_offset == q->end_offset));
    MR_ASSERT(!q->is_fin_acked || (q->is_fin_sent && !q->is_fin_lost));
    check_segments(q, pools);

    mr_range_list_check(&q->lost, ranges);
    mr_range_list_check(&q->acked, ranges);
    for (uint32_t at = q->acked.head; at != MR_NONE;) {
        const struct mr_range_node *node = mr_pool_at(ranges, at);

        MR_ASSERT(node->range.begin > q->acked_to && node->range.end <= q->next_offset);
        at = node->next;
    }
    for (uint32_t at = q->lost.head; at != MR_NONE;) {
        const struct mr_range_node *node = mr_pool_at(ranges, at);
        struct mr_range missing = mr_range_list_first_missing(&q->acked, ranges, node->range);

        MR_ASSERT(node->range.begin >= q->acked_to && node->range.end <= q->next_offset);
        MR_ASSERT(node->range.end <= q->repeat_below);
        MR_ASSERT(missing.begin == node->range.begin && missing.end == node->range.end);
        at = node->next;
    }
    if (has_hull(q)) {
        MR_ASSERT(q->lost_hull.begin >= q->acked_to && q->lost_hull.end <= q->next_offset);
        MR_ASSERT(q->lost_hull.end <= q->repeat_below);
        MR_ASSERT(mr_range_list_first_missing(&q->acked, ranges, q->lost_hull).begin ==
                  q->lost_hull.begin);
    }
}
