/*
 * tests/fuzz/fuzz_crypto_stream.c - property test of quic/crypto_stream.h.
 *
 * Receiving: pieces in any order, overlapping, every copy different, chunks
 * running out; reading in between.  Sending: writes, frames that are lost or
 * acknowledged at once or later.  Properties:
 *   1. what is read are the first accepted copies of the bytes, in order;
 *   2. readable ends at the first byte that has not arrived;
 *   3. EXCEEDED is said exactly for ends beyond read_offset + limit; NO_ROOM
 *      changes nothing and is said only when too few chunks are free;
 *   4. a stream that holds no unread byte holds no chunk for receiving;
 *   5. what is sent and acknowledged are the bytes written; a write is refused
 *      only over the limit or without chunks; nothing is held at the end.
 */
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "quic/crypto_stream.h"
#include "tests/unit/stream_pools.h"

enum {
    STREAM_MAX = 1 << 15,
    LIMIT = 4096,
    FRAME_MAX = 700,
    SPANS = 16,
    CHUNKS = 9
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mr_crypto_stream stream;
static uint8_t value[STREAM_MAX + LIMIT + FRAME_MAX];
static bool has[STREAM_MAX + LIMIT + FRAME_MAX];
static uint64_t model_ready; /* the first byte that has not arrived */
static uint8_t copy_number;
static struct mr_send_span spans[SPANS];
static uint32_t span_count;
static struct hoard hoard;

static void insert(uint64_t offset, uint32_t size)
{
    uint8_t bytes[FRAME_MAX];
    uint64_t end = offset + size;
    uint32_t new_bytes = 0;

    copy_number++;
    for (uint32_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(stream_byte(offset + i) + copy_number);
        new_bytes += !has[offset + i];
    }

    struct mr_crypto_stream before = stream;
    uint32_t free_count = mr_pool_free_count(&chunks_pool);
    enum mr_crypto_verdict verdict =
        mr_crypto_stream_insert(&stream, &chunks_pool, offset, bytes, size);
    MR_ASSERT((verdict == MR_CRYPTO_EXCEEDED) == (end > before.recv.read_offset + LIMIT));
    if (verdict == MR_CRYPTO_OK) {
        MR_ASSERT(new_bytes > 0);
        for (uint64_t at = offset; at < end; at++) {
            if (!has[at])
                value[at] = bytes[at - offset];
            has[at] = true;
        }
        return;
    }
    MR_ASSERT(memcmp(&before, &stream, sizeof(stream)) == 0);
    if (verdict == MR_CRYPTO_DUPLICATE)
        MR_ASSERT(new_bytes == 0);
    if (verdict == MR_CRYPTO_NO_ROOM)
        MR_ASSERT(free_count <= LIMIT / MR_CRYPTO_CHUNK_BYTES + 1);
}

static void read_some(uint32_t room)
{
    uint8_t bytes[FRAME_MAX];
    uint64_t at = stream.recv.read_offset;
    size_t readable = mr_crypto_stream_readable(&stream);
    size_t size = mr_crypto_stream_read(&stream, &chunks_pool, bytes, room);

    MR_ASSERT(size == MR_MIN(room, readable));
    for (size_t i = 0; i < size; i++)
        MR_ASSERT(bytes[i] == value[at + i]);
}

static void write_some(uint32_t size)
{
    uint8_t bytes[FRAME_MAX];
    uint64_t offset = stream.send.end_offset;

    if (offset + size > STREAM_MAX)
        return;
    for (uint32_t i = 0; i < size; i++)
        bytes[i] = stream_byte(offset + i);
    bool had_room = mr_pool_free_count(&chunks_pool) >= 2;
    if (mr_crypto_stream_write(&stream, &send_pools, bytes, size))
        MR_ASSERT(stream.send.end_offset == offset + size);
    else
        MR_ASSERT(!had_room && stream.send.end_offset == offset);
}

static void send(uint32_t room)
{
    struct mr_send_frame frame;

    if (span_count == SPANS ||
        !mr_send_queue_next(&stream.send, &send_pools, room, UINT64_MAX, &frame))
        return;
    uint64_t at = frame.span.offset;
    for (uint32_t i = 0; i < frame.piece_count; i++)
        for (uint32_t j = 0; j < frame.pieces[i].size; j++)
            MR_ASSERT(frame.pieces[i].data[j] == stream_byte(at++));
    spans[span_count++] = frame.span;
}

/* A random frame in flight meets its end. */
static void settle(uint32_t which, bool is_lost)
{
    if (span_count == 0)
        return;
    which %= span_count;
    struct mr_send_span span = spans[which];
    spans[which] = spans[--span_count];
    if (is_lost)
        mr_send_queue_lost(&stream.send, &send_pools, span);
    else
        mr_send_queue_acked(&stream.send, &send_pools, span);
}

static void receive(struct input *in, uint8_t op)
{
    uint32_t size = (op & 12) == 0 ? input_below(in, FRAME_MAX) : input_below(in, 4);
    uint64_t offset = stream.recv.ready_to;

    if ((op & 2) != 0)
        offset = stream.recv.read_offset + input_below(in, LIMIT + 64);
    if (offset + size <= STREAM_MAX)
        insert(offset, size);
}

static void step(struct input *in)
{
    uint8_t op = input_u8(in);

    if (op < 120)
        receive(in, op);
    else if (op < 150)
        read_some(input_below(in, FRAME_MAX));
    else if (op < 170)
        write_some(input_below(in, FRAME_MAX));
    else if (op < 205)
        send(input_below(in, FRAME_MAX));
    else if (op < 240)
        settle(input_u8(in), (op & 1) != 0);
    else if (op < 248)
        hoard_give_back(&hoard);
    else
        hoard_all_but(&hoard, &chunks_pool, op & 3);
}

static void check_all(void)
{
    mr_crypto_stream_check(&stream, &send_pools);
    while (has[model_ready])
        model_ready++;
    MR_ASSERT(stream.recv.ready_to == model_ready);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};

    memset(has, 0, sizeof(has));
    stream_pools_init(64, 1, CHUNKS);
    mr_crypto_stream_init(&stream, LIMIT);
    model_ready = 0;
    copy_number = 0;
    span_count = 0;
    while (in.left > 0) {
        step(&in);
        check_all();
    }
    hoard_give_back(&hoard);
    if ((size & 1) != 0) {
        for (;;) {
            while (span_count > 0)
                settle(0, false);
            if (!mr_send_queue_wants(&stream.send, UINT64_MAX))
                break;
            send(FRAME_MAX);
        }
        MR_ASSERT(stream.send.acked_to == stream.send.end_offset && segments_pool.used == 0);
    }
    mr_crypto_stream_clear(&stream, &send_pools);
    MR_ASSERT(!mr_crypto_stream_has_unread(&stream));
    mr_crypto_stream_check(&stream, &send_pools);
    MR_ASSERT(stream_pools_used() == 0);
    return 0;
}
