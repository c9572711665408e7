/*
 * quic/crypto_stream.c - see crypto_stream.h.
 *
 * Order in this file: life cycle, sending, inserting, reading, invariants.
 */
#include "quic/crypto_stream.h"

#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"

#define WORD_BITS 64u

/* A pool object of at most MR_CHUNK_SIZE bytes, aligned to 8. */
struct recv_chunk {
    uint32_t next;
    uint32_t reserved;
    uint64_t arrived[MR_CRYPTO_CHUNK_BYTES / WORD_BITS]; /* a bit per byte */
    uint8_t bytes[MR_CRYPTO_CHUNK_BYTES];
};

_Static_assert(sizeof(struct recv_chunk) <= MR_CHUNK_SIZE,
               "receive chunks come from the chunk pool");
_Static_assert(MR_CRYPTO_CHUNK_BYTES % WORD_BITS == 0, "the bitmap has whole words");

static bool extend_chain(struct mr_crypto_recv *recv, struct mr_pool *chunks, uint64_t end);
static uint32_t fill_chunk(struct recv_chunk *chunk, uint32_t at, const uint8_t *data,
                           uint32_t size);
static void advance_ready(struct mr_crypto_recv *recv, const struct mr_pool *chunks);
static void free_head(struct mr_crypto_recv *recv, struct mr_pool *chunks);
static void free_all(struct mr_crypto_recv *recv, struct mr_pool *chunks);

static struct recv_chunk *chunk_at(const struct mr_pool *chunks, uint32_t index)
{
    return mr_pool_at(chunks, index);
}

/* -------------------------------------------------------------- life cycle */

void mr_crypto_stream_init(struct mr_crypto_stream *stream, uint32_t recv_limit)
{
    MR_ASSERT(recv_limit >= MR_CRYPTO_RECV_MIN);
    mr_send_queue_init(&stream->send);
    stream->recv = (struct mr_crypto_recv){.head = MR_NONE, .tail = MR_NONE, .limit = recv_limit};
}

void mr_crypto_stream_clear(struct mr_crypto_stream *stream, const struct mr_send_pools *pools)
{
    struct mr_crypto_recv *recv = &stream->recv;

    mr_send_queue_reset(&stream->send, pools);
    recv->read_offset = recv->ready_to;
    recv->unread_bytes = 0;
    free_all(recv, pools->chunks);
}

/* ----------------------------------------------------------------- sending */

bool mr_crypto_stream_write(struct mr_crypto_stream *stream, const struct mr_send_pools *pools,
                            const uint8_t *data, size_t size)
{
    if (size > MR_CRYPTO_SEND_MAX - mr_send_queue_queued_bytes(&stream->send))
        return false;
    return mr_send_queue_append_copy(&stream->send, pools, data, size) == MR_APPEND_OK;
}

/* --------------------------------------------------------------- inserting */

enum mr_crypto_verdict mr_crypto_stream_insert(struct mr_crypto_stream *stream,
                                               struct mr_pool *chunks, uint64_t offset,
                                               const uint8_t *data, size_t size)
{
    struct mr_crypto_recv *recv = &stream->recv;
    uint64_t end = offset + size;

    if (end > recv->read_offset + recv->limit)
        return MR_CRYPTO_EXCEEDED;
    if (end <= recv->ready_to || size == 0)
        return MR_CRYPTO_DUPLICATE;
    if (!extend_chain(recv, chunks, end))
        return MR_CRYPTO_NO_ROOM;

    uint64_t begin = MR_MAX(offset, recv->ready_to);
    uint64_t chunk_offset = recv->chunk_offset;
    uint32_t new_bytes = 0;
    for (uint32_t i = recv->head; begin < end; i = chunk_at(chunks, i)->next) {
        uint64_t chunk_end = chunk_offset + MR_CRYPTO_CHUNK_BYTES;

        if (begin < chunk_end) {
            uint32_t take = (uint32_t)(MR_MIN(end, chunk_end) - begin);
            new_bytes += fill_chunk(chunk_at(chunks, i), (uint32_t)(begin - chunk_offset),
                                    data + (begin - offset), take);
            begin += take;
        }
        chunk_offset = chunk_end;
    }
    if (new_bytes == 0)
        return MR_CRYPTO_DUPLICATE;
    recv->unread_bytes += new_bytes;
    advance_ready(recv, chunks);
    return MR_CRYPTO_OK;
}

/* Make the chain reach `end`, with all bits clear in new chunks.  False: too few chunks are free,
 * nothing has changed. */
static bool extend_chain(struct mr_crypto_recv *recv, struct mr_pool *chunks, uint64_t end)
{
    uint64_t reach = recv->chunk_offset + (uint64_t)recv->chunk_count * MR_CRYPTO_CHUNK_BYTES;
    if (end <= reach)
        return true;
    uint64_t needed = (end - reach + MR_CRYPTO_CHUNK_BYTES - 1) / MR_CRYPTO_CHUNK_BYTES;
    if (needed > mr_pool_free_count(chunks))
        return false;

    for (; needed > 0; needed--) {
        uint32_t index = mr_pool_get(chunks);
        struct recv_chunk *chunk = chunk_at(chunks, index);

        chunk->next = MR_NONE;
        memset(chunk->arrived, 0, sizeof(chunk->arrived));
        if (recv->head == MR_NONE)
            recv->head = index;
        else
            chunk_at(chunks, recv->tail)->next = index;
        recv->tail = index;
        recv->chunk_count++;
    }
    return true;
}

/* Bits [at, at + count) of a word; count is 1..64. */
static uint64_t bit_mask(uint32_t at, uint32_t count)
{
    return (UINT64_MAX >> (WORD_BITS - count)) << at;
}

/* Copy what has not arrived before to bytes[at] and on.  Returns how many bytes that were. */
static uint32_t fill_chunk(struct recv_chunk *chunk, uint32_t at, const uint8_t *data,
                           uint32_t size)
{
    uint32_t new_bytes = 0;

    while (size > 0) {
        uint64_t *word = &chunk->arrived[at / WORD_BITS];
        uint32_t bit = at % WORD_BITS;
        uint32_t count = MR_MIN(size, WORD_BITS - bit);
        uint64_t missing = bit_mask(bit, count) & ~*word;

        if (missing == bit_mask(bit, count))
            memcpy(chunk->bytes + at, data, count);
        else
            for (uint32_t i = 0; i < count; i++)
                if ((missing >> (bit + i) & 1) != 0)
                    chunk->bytes[at + i] = data[i];
        *word |= missing;
        new_bytes += (uint32_t)__builtin_popcountll(missing);
        at += count;
        data += count;
        size -= count;
    }
    return new_bytes;
}

/* Bytes that have arrived from bytes[at] on, up to the first gap or the chunk's end. */
static uint32_t arrived_from(const struct recv_chunk *chunk, uint32_t at)
{
    uint32_t end = at;

    while (end < MR_CRYPTO_CHUNK_BYTES) {
        uint32_t bit = end % WORD_BITS;
        uint64_t missing = ~chunk->arrived[end / WORD_BITS] >> bit;

        if (missing != 0)
            return end - at + (uint32_t)__builtin_ctzll(missing);
        end += WORD_BITS - bit;
    }
    return end - at;
}

static void advance_ready(struct mr_crypto_recv *recv, const struct mr_pool *chunks)
{
    uint64_t chunk_offset = recv->chunk_offset;

    for (uint32_t i = recv->head; i != MR_NONE; i = chunk_at(chunks, i)->next) {
        uint64_t chunk_end = chunk_offset + MR_CRYPTO_CHUNK_BYTES;

        if (recv->ready_to < chunk_end) {
            recv->ready_to +=
                arrived_from(chunk_at(chunks, i), (uint32_t)(recv->ready_to - chunk_offset));
            if (recv->ready_to < chunk_end)
                return;
        }
        chunk_offset = chunk_end;
    }
}

/* ----------------------------------------------------------------- reading */

static void free_head(struct mr_crypto_recv *recv, struct mr_pool *chunks)
{
    uint32_t index = recv->head;

    recv->head = chunk_at(chunks, index)->next;
    if (recv->head == MR_NONE)
        recv->tail = MR_NONE;
    recv->chunk_offset += MR_CRYPTO_CHUNK_BYTES;
    recv->chunk_count--;
    mr_pool_put(chunks, index);
}

/* Nothing is unread: the next chunk begins where reading goes on. */
static void free_all(struct mr_crypto_recv *recv, struct mr_pool *chunks)
{
    while (recv->head != MR_NONE)
        free_head(recv, chunks);
    recv->chunk_offset = recv->read_offset;
}

size_t mr_crypto_stream_read(struct mr_crypto_stream *stream, struct mr_pool *chunks, uint8_t *dst,
                             size_t room)
{
    struct mr_crypto_recv *recv = &stream->recv;
    size_t total = MR_MIN(room, mr_crypto_stream_readable(stream));

    for (size_t left = total; left > 0;) {
        uint32_t at = (uint32_t)(recv->read_offset - recv->chunk_offset);
        uint32_t take = (uint32_t)MR_MIN(left, MR_CRYPTO_CHUNK_BYTES - at);

        memcpy(dst, chunk_at(chunks, recv->head)->bytes + at, take);
        dst += take;
        left -= take;
        recv->read_offset += take;
        if (at + take == MR_CRYPTO_CHUNK_BYTES)
            free_head(recv, chunks);
    }
    recv->unread_bytes -= (uint32_t)total;
    if (recv->unread_bytes == 0) /* an idle stream holds no chunk */
        free_all(recv, chunks);
    return total;
}

/* -------------------------------------------------------------- invariants */

/* Bytes of a chunk that have arrived, from bytes[at] on. */
static uint32_t count_arrived(const struct recv_chunk *chunk, uint32_t at)
{
    uint32_t count = 0;

    for (uint32_t w = at / WORD_BITS; w < MR_COUNT_OF(chunk->arrived); w++) {
        uint64_t word = chunk->arrived[w];

        if (w == at / WORD_BITS)
            word &= UINT64_MAX << at % WORD_BITS;
        count += (uint32_t)__builtin_popcountll(word);
    }
    return count;
}

static void check_recv(const struct mr_crypto_recv *recv, const struct mr_pool *chunks)
{
    uint64_t chunk_offset = recv->chunk_offset;
    uint64_t ready_to = recv->read_offset;
    uint32_t chunk_count = 0;
    uint32_t last = MR_NONE;
    uint32_t unread = 0;

    for (uint32_t i = recv->head; i != MR_NONE; i = chunk_at(chunks, i)->next) {
        const struct recv_chunk *chunk = chunk_at(chunks, i);
        uint64_t chunk_end = chunk_offset + MR_CRYPTO_CHUNK_BYTES;
        uint32_t at = (uint32_t)(MR_MAX(chunk_offset, recv->read_offset) - chunk_offset);

        MR_ASSERT(at < MR_CRYPTO_CHUNK_BYTES);
        unread += count_arrived(chunk, at);
        if (ready_to == chunk_offset + at)
            ready_to += arrived_from(chunk, at);
        chunk_offset = chunk_end;
        chunk_count++;
        last = i;
    }
    MR_ASSERT(ready_to == recv->ready_to);
    MR_ASSERT(chunk_count == recv->chunk_count);
    MR_ASSERT(last == recv->tail);
    MR_ASSERT(unread == recv->unread_bytes);
}

void mr_crypto_stream_check(const struct mr_crypto_stream *stream,
                            const struct mr_send_pools *pools)
{
    const struct mr_crypto_recv *recv = &stream->recv;

    mr_send_queue_check(&stream->send, pools);
    MR_ASSERT(mr_send_queue_queued_bytes(&stream->send) <= MR_CRYPTO_SEND_MAX);
    MR_ASSERT(recv->read_offset <= recv->ready_to);
    MR_ASSERT(recv->ready_to <= recv->read_offset + recv->limit);
    check_recv(recv, pools->chunks);
    MR_ASSERT((recv->unread_bytes == 0) == (recv->head == MR_NONE));
    MR_ASSERT(recv->head != MR_NONE || recv->chunk_offset == recv->read_offset);
}
