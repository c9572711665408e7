/*
 * tests/fuzz/fuzz_datagram_queue.c - property test of quic/datagram_queue.h.
 *
 * The input is a program: payloads of any size go in, in several views, and come out or are
 * dropped, with a pool of 1 to 32 chunks and a queue that may have 1 to 16 of them.  A list of
 * sizes and first bytes is the model.  Properties:
 *   1. what comes out is what went in, whole and in order;
 *   2. what does not go in changes nothing: chunks are missing, or the queue has its share, which
 *      only a single payload exceeds;
 *   3. an empty queue takes any payload that the pool has room for, and holds no chunk.
 */
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "quic/datagram_queue.h"

#define CHUNKS_MAX 32
#define MODEL_MAX  4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static _Alignas(64) uint8_t memory[(CHUNKS_MAX + 1) * MR_CHUNK_SIZE];
static uint8_t content[MR_DATAGRAM_SIZE_MAX + 256]; /* byte i is i, about */
static uint8_t out[MR_DATAGRAM_SIZE_MAX];
static struct mr_pool chunks;
static struct mr_datagram_queue queue;
static uint32_t chunks_max;
static struct entry {
    uint32_t size;
    uint8_t first; /* where in `content` */
} model[MODEL_MAX];
static uint32_t model_head;
static uint32_t model_tail;

static void push(uint32_t size, uint8_t first, uint8_t cut)
{
    size_t front = size * cut / 256;
    struct mr_view views[2] = {{content + first, front}, {content + first + front, size - front}};
    uint32_t free_before = mr_pool_free_count(&chunks);
    struct mr_datagram_queue before = queue;

    if (model_tail == MODEL_MAX)
        return;
    enum mr_datagram_push answer = mr_datagram_queue_push(&queue, &chunks, views, 2, chunks_max);
    if (answer == MR_DATAGRAM_QUEUED) {
        model[model_tail++] = (struct entry){size, first};
        return;
    }
    MR_ASSERT(mr_pool_free_count(&chunks) == free_before);
    MR_ASSERT(queue.count == before.count);
    MR_ASSERT(queue.chunk_count == before.chunk_count);
    uint32_t tail = before.count == 0 ? 0 : MR_DATAGRAM_CHUNK_BYTES - 1; /* at most, of room */
    if (answer == MR_DATAGRAM_FULL)
        MR_ASSERT(before.count > 0);
    else
        MR_ASSERT(free_before * MR_DATAGRAM_CHUNK_BYTES < size + 2 + tail);
}

static void pop(bool is_dropped)
{
    if (model_head == model_tail)
        return;
    const struct entry *entry = &model[model_head++];
    MR_ASSERT(mr_datagram_queue_first_size(&queue, &chunks) == entry->size);
    mr_datagram_queue_pop(&queue, &chunks, is_dropped ? NULL : out);
    if (!is_dropped && entry->size > 0)
        MR_ASSERT(memcmp(out, content + entry->first, entry->size) == 0);
}

static void check(void)
{
    mr_datagram_queue_check(&queue, &chunks);
    MR_ASSERT(queue.count == model_tail - model_head);
    MR_ASSERT(queue.chunk_count == chunks.used);
    MR_ASSERT(queue.chunk_count <= chunks_max || queue.count == 1);
    MR_ASSERT((queue.count == 0) == (queue.head == MR_NONE));
    if (model_head == model_tail)
        model_head = model_tail = 0;
}

static void fill_content(void)
{
    if (content[1] != 0)
        return;
    for (size_t i = 0; i < sizeof(content); i++)
        content[i] = (uint8_t)(i ^ i >> 8);
}

/* Mostly small payloads, as applications send them. */
static uint32_t size_of(const uint8_t *step)
{
    uint32_t size = step[1];

    if (step[0] >= 128)
        size = size * 6;
    return step[0] >= 250 ? (uint32_t)step[1] << 8 | step[2] : size;
}

static void run(const uint8_t *step)
{
    uint8_t op = step[0] % 8;

    if (op < 5)
        push(size_of(step), step[2], step[3]);
    else if (op < 7)
        pop(step[0] % 16 == 6);
    else if (step[0] % 32 == 7) {
        mr_datagram_queue_clear(&queue, &chunks);
        model_head = model_tail;
    }
    check();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    fill_content();
    mr_pool_init(&chunks, memory, 1 + data[0] % CHUNKS_MAX, MR_CHUNK_SIZE, MR_CACHE_LINE);
    chunks_max = 1 + data[1] % 16;
    mr_datagram_queue_init(&queue);
    model_head = model_tail = 0;
    for (size_t at = 2; at + 4 <= size; at += 4)
        run(data + at);
    mr_datagram_queue_clear(&queue, &chunks);
    MR_ASSERT(chunks.used == 0);
    return 0;
}
