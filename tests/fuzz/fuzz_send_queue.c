/*
 * tests/fuzz/fuzz_send_queue.c - property test of quic/send_queue.h.
 *
 * The input is the life of a stream: the application appends (by reference out
 * of two buffers, or copied), packets are sent, acknowledged and lost in any
 * order, range nodes and chunks run out.  The model has a state per byte.  At
 * the end everything that is left is sent and acknowledged.  Properties:
 *   1. a frame's pieces hold the stream's bytes at its offset;
 *   2. new data begins where the last ended and stays below the flow limit;
 *      a retransmission only repeats bytes that were sent;
 *   3. a frame holds no byte below the watermark, and none that is acknowledged,
 *      unless the pool of ranges ran empty before;
 *   4. lost bytes that are not acknowledged go first: none is left when new data
 *      is sent or nothing is;
 *   5. the watermark is the first byte that is not acknowledged;
 *   6. wants says what next does, next_at where; FIN goes with the last byte,
 *      again when lost, and ends in is_all_acked;
 *   7. append is all or nothing; notified means that every byte asked for was sent;
 *   8. a run is new data that may be sent, and taking it is sending it;
 *   9. all nodes and chunks are back when everything is acknowledged, or reset;
 *  10. a queue that was cut sends every byte below the cut, however often it is lost, forgets what
 *      was not sent above, and repeats nothing there.
 */
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "quic/send_queue.h"
#include "tests/unit/stream_pools.h"

enum {
    STREAM_MAX = 1 << 14,
    PACKETS_MAX = 96,
    NODES = 48
};

enum byte_state {
    QUEUED,
    IN_FLIGHT,
    LOST,
    ACKED
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t memory[2][STREAM_MAX]; /* the application's buffers: equal bytes at two places */
static uint8_t state[STREAM_MAX];
static struct mr_send_queue queue;
static struct mr_send_span packets[PACKETS_MAX]; /* in flight, oldest first */
static uint32_t packet_count;
static uint64_t notify_to;
static bool ran_out; /* of range nodes, at any time */
static struct hoard ranges_hoard, chunks_hoard;

static uint64_t checked_acked_to; /* watermark after the last step */

static uint64_t first_lost(void)
{
    uint64_t at = queue.acked_to;

    while (at < queue.next_offset && state[at] != LOST)
        at++;
    return at;
}

static uint64_t first_not_acked(void)
{
    uint64_t at = checked_acked_to;

    while (at < queue.end_offset && state[at] == ACKED)
        at++;
    return at;
}

static void append(struct input *in)
{
    uint8_t what = input_u8(in);
    uint32_t flags = what & MR_SEND_COPY;
    struct mr_view views[3];
    uint8_t scratch[MR_SEND_COPY_MAX];
    uint64_t end = queue.end_offset;
    uint32_t segments = segments_pool.used;
    bool was_closed = queue.has_fin || queue.is_closed;

    flags |= (what & 0xf8) == 0xf8 ? MR_SEND_FIN : 0u;
    flags |= (what & 0x30) == 0x30 ? MR_SEND_NOTIFY : 0u;
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t size = input_below(in, 160);
        size = (uint32_t)MR_MIN(size, STREAM_MAX - end);
        const uint8_t *source = memory[what & 1] + end;

        if ((flags & MR_SEND_COPY) != 0)
            source = memcpy(scratch + 300 * i, source, size);
        views[i] = (struct mr_view){.data = source, .size = size};
        end += size;
        what ^= (uint8_t)(i ^ 1);
    }

    enum mr_append_verdict verdict = mr_send_queue_append(&queue, &send_pools, views, 3, flags);
    memset(scratch, 0xee, sizeof(scratch)); /* copied means copied */
    MR_ASSERT((verdict == MR_APPEND_CLOSED) == was_closed);
    if (verdict == MR_APPEND_OK) {
        MR_ASSERT(queue.end_offset == end);
        if ((flags & MR_SEND_NOTIFY) != 0)
            notify_to = end;
        return;
    }
    MR_ASSERT(queue.end_offset < end || queue.end_offset == end);
    MR_ASSERT(segments_pool.used == segments);
    if (verdict == MR_APPEND_NO_MEMORY)
        MR_ASSERT(mr_pool_free_count(&segments_pool) < 3 || mr_pool_free_count(&chunks_pool) == 0);
}

static void check_pieces(const struct mr_send_frame *frame)
{
    uint64_t at = frame->span.offset;

    for (uint32_t i = 0; i < frame->piece_count; i++) {
        MR_ASSERT(frame->pieces[i].size > 0);
        for (uint32_t j = 0; j < frame->pieces[i].size; j++, at++)
            MR_ASSERT(frame->pieces[i].data[j] == stream_byte(at));
    }
    MR_ASSERT(at == frame->span.offset + frame->span.size);
}

/* Book a frame in the model, with properties 2 to 4. */
static void on_frame(const struct mr_send_frame *frame, uint64_t next_before, uint64_t flow_limit)
{
    uint64_t end = frame->span.offset + frame->span.size;

    MR_ASSERT(frame->span.offset >= queue.acked_to);
    if (!frame->is_retransmission) {
        MR_ASSERT(frame->span.offset == next_before && queue.next_offset == end);
        MR_ASSERT(frame->span.size == 0 || end <= flow_limit);
        MR_ASSERT(end <= queue.end_offset);
        MR_ASSERT(first_lost() >= next_before);
    } else {
        MR_ASSERT(end <= next_before && queue.next_offset == next_before);
    }
    for (uint64_t at = frame->span.offset; at < end; at++) {
        MR_ASSERT(ran_out || state[at] == (frame->is_retransmission ? LOST : QUEUED));
        if (state[at] != ACKED)
            state[at] = IN_FLIGHT;
    }
    MR_ASSERT(frame->span.has_fin == (queue.has_fin && end == queue.end_offset));
}

static void send(uint32_t room, uint64_t flow_limit)
{
    struct mr_send_frame frame;
    uint64_t next_before = queue.next_offset;
    uint64_t next_at = mr_send_queue_next_at(&queue, &send_pools);
    bool wants = mr_send_queue_wants(&queue, flow_limit);

    if (packet_count == PACKETS_MAX)
        return;
    if (!mr_send_queue_next(&queue, &send_pools, room, flow_limit, &frame)) {
        MR_ASSERT(room == 0 || !wants);
        MR_ASSERT(room == 0 || first_lost() == queue.next_offset);
        MR_ASSERT(queue.next_offset == next_before);
        return;
    }
    MR_ASSERT(wants);
    MR_ASSERT(frame.span.offset == next_at);
    MR_ASSERT(frame.span.size <= room);
    MR_ASSERT(frame.span.size > 0 || frame.span.has_fin);
    check_pieces(&frame);
    on_frame(&frame, next_before, flow_limit);
    packets[packet_count++] = frame.span;
}

/* Send part of a run, as one packet. */
static void send_run(uint32_t room, uint64_t flow_limit)
{
    struct mr_view run = mr_send_queue_run(&queue, &send_pools, flow_limit);
    struct mr_send_frame frame = {.span.offset = queue.next_offset, .piece_count = 1};

    MR_ASSERT(run.size == 0 || mr_send_queue_wants(&queue, flow_limit));
    if (run.size == 0 || room == 0 || packet_count == PACKETS_MAX)
        return;
    frame.span.size = (uint32_t)MR_MIN(run.size, room);
    frame.pieces[0] = (struct mr_send_piece){run.data, frame.span.size};
    mr_send_queue_take(&queue, &send_pools, frame.span.size);
    check_pieces(&frame);
    on_frame(&frame, frame.span.offset, flow_limit);
    packets[packet_count++] = frame.span;
}

/* Take a packet out of flight: mostly one of the oldest. */
static struct mr_send_span take_packet(struct input *in)
{
    uint32_t at = input_below(in, 256);

    at = (at & 0xc0) == 0 ? at % packet_count : MR_MIN((at & 0x3f) % 4, packet_count - 1);
    struct mr_send_span span = packets[at];
    packet_count--;
    memmove(&packets[at], &packets[at + 1], (packet_count - at) * sizeof(packets[0]));
    return span;
}

/* A byte that counts as lost: will it be sent again? */
static enum byte_state lost_at(uint64_t at)
{
    return at < queue.repeat_below ? LOST : IN_FLIGHT;
}

static void acknowledge(struct mr_send_span span)
{
    enum mr_send_ack verdict = mr_send_queue_acked(&queue, &send_pools, span);

    if (verdict == MR_SEND_ACK_DROPPED)
        MR_ASSERT(ran_out);
    for (uint64_t at = span.offset; at < span.offset + span.size; at++) {
        if (verdict != MR_SEND_ACK_DROPPED)
            state[at] = ACKED;
        else if (state[at] != ACKED)
            state[at] = (uint8_t)lost_at(at);
    }
}

static void lose(struct mr_send_span span)
{
    mr_send_queue_lost(&queue, &send_pools, span);
    for (uint64_t at = span.offset; at < span.offset + span.size; at++)
        if (state[at] != ACKED)
            state[at] = (uint8_t)lost_at(at);
    if (span.has_fin && !queue.is_fin_acked && queue.repeat_below == UINT64_MAX)
        MR_ASSERT(mr_send_queue_wants(&queue, 0));
}

static void rewind_all(void)
{
    mr_send_queue_rewind(&queue, &send_pools);
    packet_count = 0;
    for (uint64_t at = queue.acked_to; at < STREAM_MAX; at++)
        state[at] = QUEUED;
}

static void truncate_some(struct input *in)
{
    uint64_t most = MR_MIN(queue.end_offset, queue.repeat_below);
    uint64_t reliable = input_below(in, (uint32_t)most + 1);
    uint64_t end = MR_MAX(queue.next_offset, reliable);
    bool has_fin = queue.has_fin && queue.is_fin_sent;

    mr_send_queue_truncate(&queue, &send_pools, reliable);
    MR_ASSERT(queue.end_offset == end && queue.has_fin == has_fin);
    for (uint64_t at = reliable; at < queue.next_offset; at++)
        if (state[at] == LOST)
            state[at] = IN_FLIGHT;
    notify_to = MR_MIN(notify_to, end);
}

static void hoard_some(struct input *in)
{
    uint8_t what = input_u8(in);

    hoard_give_back(&ranges_hoard);
    hoard_give_back(&chunks_hoard);
    if ((what & 1) != 0) {
        hoard_all_but(&ranges_hoard, &ranges_pool, (what >> 4) % 4);
        ran_out = true;
    }
    if ((what & 2) != 0)
        hoard_all_but(&chunks_hoard, &chunks_pool, (what >> 6) % 2);
}

static void step(struct input *in)
{
    uint8_t op = input_u8(in);

    if (op < 60)
        append(in);
    else if (op < 90)
        send_run(input_below(in, 256), queue.next_offset + input_below(in, 256) * 2);
    else if (op < 150)
        send(input_below(in, 256), queue.next_offset + input_below(in, 256) * 2);
    else if (op < 210 && packet_count > 0)
        acknowledge(take_packet(in));
    else if (op < 245 && packet_count > 0)
        lose(take_packet(in));
    else if (op < 253)
        hoard_some(in);
    else if (op == 253 && (input_u8(in) & 7) == 0)
        rewind_all();
    else if (op == 254 && (input_u8(in) & 3) == 0)
        truncate_some(in);
}

static void check_all(void)
{
    uint64_t first = first_not_acked();

    mr_send_queue_check(&queue, &send_pools);
    MR_ASSERT(queue.acked_to == first);
    checked_acked_to = first;
    MR_ASSERT(mr_send_queue_is_notified(&queue) == (queue.next_offset >= notify_to));
    if (queue.next_offset >= queue.end_offset && queue.acked_to == queue.end_offset)
        MR_ASSERT(segments_pool.used == 0);
}

/* Whatever is left arrives now. */
static void finish(void)
{
    struct mr_view none = {0};

    hoard_give_back(&ranges_hoard);
    hoard_give_back(&chunks_hoard);
    if (!queue.is_closed && !queue.has_fin)
        MR_ASSERT(mr_send_queue_append(&queue, &send_pools, &none, 1, MR_SEND_FIN) == MR_APPEND_OK);
    while (queue.is_closed ? queue.acked_to < queue.repeat_below
                           : !mr_send_queue_is_all_acked(&queue)) {
        MR_ASSERT(packet_count > 0 || mr_send_queue_wants(&queue, UINT64_MAX));
        while (packet_count > 0)
            acknowledge(packets[--packet_count]);
        send(1200, UINT64_MAX);
        check_all();
    }
    if (queue.is_closed)
        mr_send_queue_reset(&queue, &send_pools);
    else
        MR_ASSERT(first_not_acked() == queue.end_offset);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};

    for (uint64_t at = 0; at < STREAM_MAX; at++)
        memory[0][at] = memory[1][at] = stream_byte(at);
    memset(state, QUEUED, sizeof(state));
    stream_pools_init(NODES, 1, 12);
    mr_send_queue_init(&queue);
    packet_count = 0;
    notify_to = 0;
    checked_acked_to = 0;
    ran_out = false;

    bool ends_in_reset = (input_u8(&in) & 7) == 0;
    while (in.left > 0) {
        step(&in);
        ran_out |= mr_pool_free_count(&ranges_pool) == 0;
        check_all();
    }
    if (ends_in_reset) {
        hoard_give_back(&ranges_hoard);
        hoard_give_back(&chunks_hoard);
        mr_send_queue_reset(&queue, &send_pools);
        mr_send_queue_check(&queue, &send_pools);
        for (; packet_count > 0; packet_count--) {
            mr_send_queue_lost(&queue, &send_pools, packets[packet_count - 1]);
            mr_send_queue_acked(&queue, &send_pools, packets[packet_count - 1]);
        }
        MR_ASSERT(!mr_send_queue_wants(&queue, UINT64_MAX));
    } else {
        finish();
    }
    MR_ASSERT(stream_pools_used() == 0);
    return 0;
}
