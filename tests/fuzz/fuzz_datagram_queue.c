/*
 * fuzz/fuzz_datagram_queue.c - property test of quic/datagram_queue.h against a model.
 *
 * The input is operations on two queues that share a pool.  Properties:
 *   1. payloads come out in order, whole, with the bytes that went in;
 *   2. a refused payload changes nothing; an empty queue refuses for want of memory alone;
 *   3. an empty queue holds no chunk, and nothing is lost of the pool;
 *   4. the invariants hold after every step.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "quic/datagram_queue.h"
#include "quic/wire_fields.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    QUEUES = 2,
    CHUNKS = 24,
    CHUNKS_MAX = 8,  /* of a queue */
    MODEL = 4096,    /* payloads */
    STEPS_MAX = 120, /* of an input: each is checked against everything */
    SIZE_MAX_TAKEN = 4 * MR_DATAGRAM_CHUNK_BYTES,
};

/* The sizes that wait, and what the first byte of each is. */
struct model {
    uint32_t first;
    uint32_t end;
    uint16_t size[MODEL];
    uint8_t mark[MODEL];
};

static struct mr_pool chunks;
static struct mr_datagram_queue queue[QUEUES];
static struct model model[QUEUES];
static uint8_t bytes[SIZE_MAX_TAKEN];

static void push(uint32_t i, uint32_t size, uint8_t mark)
{
    struct model *m = &model[i];
    struct mr_datagram_queue before = queue[i];
    size_t cut = size > 0 ? mark % size : 0; /* in two views */

    if (m->end == MODEL)
        return;
    for (uint32_t k = 0; k < size; k++)
        bytes[k] = (uint8_t)(mark + k);
    const struct mr_view views[2] = {{bytes, cut}, {bytes + cut, size - cut}};
    enum mr_datagram_push answer =
        mr_datagram_queue_push(&queue[i], &chunks, views, size == 0 ? 0 : 2, CHUNKS_MAX);
    if (answer != MR_DATAGRAM_QUEUED) {
        MR_ASSERT(memcmp(&before, &queue[i], sizeof(before)) == 0);
        MR_ASSERT(answer == MR_DATAGRAM_NO_MEMORY || before.count > 0);
        return;
    }
    m->size[m->end] = (uint16_t)size;
    m->mark[m->end++] = mark;
}

static void pop(uint32_t i, bool is_read)
{
    struct model *m = &model[i];

    if (m->first == m->end) {
        MR_ASSERT(queue[i].count == 0);
        return;
    }
    uint32_t size = mr_datagram_queue_first_size(&queue[i], &chunks);
    MR_ASSERT(size == m->size[m->first]);
    uint8_t *dst = malloc(size + 1);
    MR_ASSERT(dst != NULL);
    mr_datagram_queue_pop(&queue[i], &chunks, is_read ? dst : NULL);
    for (uint32_t k = 0; is_read && k < size; k++)
        MR_ASSERT(dst[k] == (uint8_t)(m->mark[m->first] + k));
    free(dst);
    m->first++;
}

static void check(void)
{
    uint32_t used = 0;

    for (int i = 0; i < QUEUES; i++) {
        mr_datagram_queue_check(&queue[i], &chunks);
        MR_ASSERT(queue[i].count == model[i].end - model[i].first);
        MR_ASSERT(queue[i].count > 0 || queue[i].chunk_count == 0);
        used += queue[i].chunk_count;
    }
    MR_ASSERT(chunks.used == used);
}

static void step(struct mr_reader *input)
{
    uint8_t op = mr_read_u8(input);
    uint16_t size = mr_read_u16(input);
    uint32_t i = op & 1;

    if (op >= 0xfc) {
        mr_datagram_queue_clear(&queue[i], &chunks);
        model[i].first = model[i].end;
    } else if ((op & 6) != 0) {
        push(i, (op & 8) != 0 ? size % 64 : size % SIZE_MAX_TAKEN, (uint8_t)(op ^ size));
    } else {
        pop(i, (op & 8) != 0);
    }
    check();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct mr_datagram_chunk memory[CHUNKS];
    struct mr_reader input = mr_reader(data, size);

    mr_pool_init(&chunks, memory, CHUNKS, sizeof(memory[0]), 8);
    for (int i = 0; i < QUEUES; i++) {
        mr_datagram_queue_init(&queue[i]);
        model[i].first = model[i].end = 0;
    }
    for (int i = 0; i < STEPS_MAX && mr_reader_left(&input) >= 3; i++)
        step(&input);
    for (uint32_t i = 0; i < QUEUES; i++)
        mr_datagram_queue_clear(&queue[i], &chunks);
    MR_ASSERT(chunks.used == 0);
    return 0;
}
