/* quic/datagram_queue.c - see datagram_queue.h. */
#include "quic/datagram_queue.h"

#include <string.h>

#include "base/assert.h"

#define PREFIX 2 /* bytes of a payload's size */

static struct mr_datagram_chunk *chunk_at(const struct mr_pool *chunks, uint32_t index)
{
    return mr_pool_at(chunks, index);
}

/* ------------------------------------------------------------------ in */

/* Bytes that the tail still takes; 0 if a size would be split. */
static size_t tail_room(const struct mr_datagram_queue *q, const struct mr_pool *chunks)
{
    if (q->tail == MR_NONE)
        return 0;
    size_t room = MR_DATAGRAM_CHUNK_BYTES - (size_t)chunk_at(chunks, q->tail)->end;

    return room < PREFIX ? 0 : room;
}

/* An empty chunk behind the tail.  The pool has one. */
static struct mr_datagram_chunk *add_chunk(struct mr_datagram_queue *q, struct mr_pool *chunks)
{
    uint32_t index = mr_pool_get(chunks);
    struct mr_datagram_chunk *chunk = chunk_at(chunks, index);

    chunk->next = MR_NONE;
    chunk->begin = chunk->end = 0;
    if (q->tail == MR_NONE)
        q->head = index;
    else
        chunk_at(chunks, q->tail)->next = index;
    q->tail = index;
    q->chunk_count++;
    return chunk;
}

static void append(struct mr_datagram_queue *q, struct mr_pool *chunks, const uint8_t *bytes,
                   size_t size)
{
    while (size > 0) {
        struct mr_datagram_chunk *chunk = chunk_at(chunks, q->tail);
        size_t room = MR_DATAGRAM_CHUNK_BYTES - (size_t)chunk->end;

        if (room == 0) {
            add_chunk(q, chunks);
            continue;
        }
        size_t part = size < room ? size : room;
        memcpy(chunk->bytes + chunk->end, bytes, part);
        chunk->end = (uint16_t)(chunk->end + part);
        bytes += part;
        size -= part;
    }
}

enum mr_datagram_push mr_datagram_queue_push(struct mr_datagram_queue *q, struct mr_pool *chunks,
                                             const struct mr_view *views, size_t count,
                                             uint32_t chunks_max)
{
    size_t size = 0;

    for (size_t i = 0; i < count; i++)
        size += views[i].size;
    MR_ASSERT(size <= MR_DATAGRAM_SIZE_MAX);

    size_t room = tail_room(q, chunks);
    size_t more = PREFIX + size > room ? PREFIX + size - room : 0;
    size_t needed = (more + MR_DATAGRAM_CHUNK_BYTES - 1) / MR_DATAGRAM_CHUNK_BYTES;
    if (q->count > 0 && (q->count == UINT16_MAX || q->chunk_count + needed > chunks_max))
        return MR_DATAGRAM_FULL;
    if (needed > mr_pool_free_count(chunks))
        return MR_DATAGRAM_NO_MEMORY;

    uint16_t prefix = (uint16_t)size;
    if (room == 0)
        add_chunk(q, chunks);
    append(q, chunks, (const uint8_t *)&prefix, PREFIX);
    for (size_t i = 0; i < count; i++)
        append(q, chunks, views[i].data, views[i].size);
    q->count++;
    return MR_DATAGRAM_QUEUED;
}

/* ------------------------------------------------------------------ out */

static void drop_head(struct mr_datagram_queue *q, struct mr_pool *chunks)
{
    uint32_t index = q->head;

    q->head = chunk_at(chunks, index)->next;
    if (q->head == MR_NONE)
        q->tail = MR_NONE;
    q->chunk_count--;
    mr_pool_put(chunks, index);
}

/* Read `size` bytes; NULL: pass over them. */
static void take(struct mr_datagram_queue *q, struct mr_pool *chunks, uint8_t *dst, size_t size)
{
    while (size > 0) {
        struct mr_datagram_chunk *chunk = chunk_at(chunks, q->head);
        size_t left = (size_t)chunk->end - chunk->begin;

        if (left == 0) {
            drop_head(q, chunks);
            continue;
        }
        size_t part = size < left ? size : left;
        if (dst != NULL) {
            memcpy(dst, chunk->bytes + chunk->begin, part);
            dst += part;
        }
        chunk->begin = (uint16_t)(chunk->begin + part);
        size -= part;
    }
}

uint32_t mr_datagram_queue_first_size(const struct mr_datagram_queue *q,
                                      const struct mr_pool *chunks)
{
    uint16_t size;

    MR_ASSERT(q->count > 0);
    const struct mr_datagram_chunk *chunk = chunk_at(chunks, q->head);
    memcpy(&size, chunk->bytes + chunk->begin, PREFIX);
    return size;
}

void mr_datagram_queue_pop(struct mr_datagram_queue *q, struct mr_pool *chunks, uint8_t *dst)
{
    uint32_t size = mr_datagram_queue_first_size(q, chunks);

    take(q, chunks, NULL, PREFIX);
    take(q, chunks, dst, size);
    q->count--;

    const struct mr_datagram_chunk *chunk = chunk_at(chunks, q->head);
    if (chunk->begin == chunk->end)
        drop_head(q, chunks);
}

void mr_datagram_queue_clear(struct mr_datagram_queue *q, struct mr_pool *chunks)
{
    while (q->head != MR_NONE)
        drop_head(q, chunks);
    q->count = 0;
}

/* ------------------------------------------------------------------ invariants */

/* Where a walk over the payloads is. */
struct position {
    const struct mr_datagram_chunk *chunk;
    size_t at;
};

/* Go on by `size` bytes, all of which must be there. */
static void skip(struct position *p, const struct mr_pool *chunks, size_t size)
{
    while (size > 0) {
        size_t left = p->chunk->end - p->at;
        size_t part = size < left ? size : left;

        p->at += part;
        size -= part;
        if (size == 0)
            return;
        MR_ASSERT(p->chunk->next != MR_NONE);
        p->chunk = chunk_at(chunks, p->chunk->next);
        p->at = 0;
    }
}

/* The sizes lead from payload to payload, to the end. */
static void check_payloads(const struct mr_datagram_queue *q, const struct mr_pool *chunks)
{
    struct position p = {.chunk = chunk_at(chunks, q->head)};

    p.at = p.chunk->begin;
    for (uint32_t i = 0; i < q->count; i++) {
        uint16_t size;

        if (p.at == p.chunk->end) {
            MR_ASSERT(p.chunk->next != MR_NONE);
            p = (struct position){.chunk = chunk_at(chunks, p.chunk->next)};
        }
        MR_ASSERT(p.at + PREFIX <= p.chunk->end);
        memcpy(&size, p.chunk->bytes + p.at, PREFIX);
        skip(&p, chunks, PREFIX + (size_t)size);
    }
    MR_ASSERT(p.chunk->next == MR_NONE);
    MR_ASSERT(p.at == p.chunk->end);
}

void mr_datagram_queue_check(const struct mr_datagram_queue *q, const struct mr_pool *chunks)
{
    uint32_t chunk_count = 0;
    uint32_t last = MR_NONE;

    for (uint32_t i = q->head; i != MR_NONE; i = chunk_at(chunks, i)->next) {
        const struct mr_datagram_chunk *chunk = chunk_at(chunks, i);

        MR_ASSERT(chunk->begin < chunk->end);
        MR_ASSERT(chunk->end <= MR_DATAGRAM_CHUNK_BYTES);
        MR_ASSERT(i == q->head || chunk->begin == 0);
        last = i;
        chunk_count++;
    }
    MR_ASSERT(last == q->tail);
    MR_ASSERT(chunk_count == q->chunk_count);
    MR_ASSERT((q->count == 0) == (q->head == MR_NONE));
    if (q->count > 0)
        check_payloads(q, chunks);
}
