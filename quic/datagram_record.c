/* quic/datagram_record.c - see datagram_record.h. */
#include "quic/datagram_record.h"

/* How the payloads begin. */
struct payloads {
    uint32_t count;
    uint32_t size; /* bytes in all, sizes included */
};

static const struct mr_datagram_chunk *chunk_at(const struct mr_pool *chunks, uint32_t index)
{
    return mr_pool_at(chunks, index);
}

static uint32_t size_of(const struct mr_datagram_queue *q, const struct mr_pool *chunks)
{
    uint32_t size = 0;

    for (uint32_t i = q->head; i != MR_NONE; i = chunk_at(chunks, i)->next)
        size += (uint32_t)(chunk_at(chunks, i)->end - chunk_at(chunks, i)->begin);
    return size;
}

void mr_datagram_record_write(struct mr_record_writer *w, const struct mr_datagram_queue *q,
                              const struct mr_pool *chunks)
{
    struct payloads head = {.count = q->count, .size = size_of(q, chunks)};

    mr_record_put(w, &head, sizeof(head));
    size_t at = w->used;
    w->used += mr_record_padded(head.size);
    if (w->bytes == NULL || w->used > w->room)
        return;
    for (uint32_t i = q->head; i != MR_NONE; i = chunk_at(chunks, i)->next) {
        const struct mr_datagram_chunk *chunk = chunk_at(chunks, i);
        size_t size = (size_t)chunk->end - chunk->begin;

        memcpy(w->bytes + at, chunk->bytes + chunk->begin, size);
        at += size;
    }
    memset(w->bytes + at, 0, w->used - at);
}

bool mr_datagram_record_read(struct mr_record_reader *r, struct mr_datagram_queue *q,
                             struct mr_pool *chunks)
{
    const struct payloads *head = mr_record_take(r, sizeof(*head));
    const uint8_t *at = head == NULL ? NULL : mr_record_take(r, head->size);
    if (at == NULL)
        return false;

    size_t left = head->size;
    for (uint32_t i = 0; i < head->count; i++) {
        uint16_t size;

        if (left < sizeof(size))
            return false;
        memcpy(&size, at, sizeof(size));
        left -= sizeof(size);
        if (left < size)
            return false;
        struct mr_view payload = {.data = at + sizeof(size), .size = size};
        if (mr_datagram_queue_push(q, chunks, &payload, 1, UINT32_MAX) != MR_DATAGRAM_QUEUED)
            return false;
        at += sizeof(size) + size;
        left -= size;
    }
    return left == 0;
}
