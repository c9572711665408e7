/* quic/endpoint_memory.c - see endpoint_memory.h. */
#include "quic/endpoint_memory.h"

#include <stddef.h>

#include "quic/endpoint_internal.h"

/* The pools that no word of their own is for. */
static const size_t others[] = {
#define POOL(member) offsetof(struct mr_endpoint, member)
    POOL(segments), POOL(ranges),     POOL(chunks),       POOL(frame_blocks), POOL(blocks),
    POOL(extras),   POOL(multipaths), POOL(path_records), POOL(models),       POOL(datagram_chunks),
#undef POOL
};

enum {
    NAMED = 6, /* conns, sleepers, handshakes, streams, keys, names */
    FIRST = offsetof(struct mr_endpoint, conns),
    LAST = offsetof(struct mr_endpoint, names)
};
_Static_assert((LAST - FIRST) / sizeof(struct mr_pool) + 1 == NAMED + MR_COUNT_OF(others),
               "every pool is counted: those from conns to datagram_chunks, and that of names");

uint32_t mr_endpoint_object_bytes(void)
{
    return (sizeof(struct mr_conn) + MR_CACHE_LINE - 1) & ~(uint32_t)(MR_CACHE_LINE - 1);
}

static uint64_t bytes_of(const struct mr_pool *pool)
{
    return (uint64_t)pool->used * pool->stride;
}

void mr_endpoint_memory(const struct mr_endpoint *ep, struct mr_endpoint_memory *out)
{
    *out = (struct mr_endpoint_memory){
        .conns = ep->conns.used,
        .conn_bytes = bytes_of(&ep->conns),
        .asleep = ep->numbers.used - ep->conns.used,
        .sleepers = ep->sleepers.used,
        .sleeper_bytes = bytes_of(&ep->sleepers),
        .handshakes = ep->handshakes.used,
        .handshakes_peak = ep->handshakes.used_peak,
        .handshakes_max = ep->handshakes.count,
        .handshake_bytes = bytes_of(&ep->handshakes),
        .handshake_bytes_each = ep->handshakes.stride,
        .streams = ep->streams.used,
        .streams_asleep = ep->stream_numbers.used - ep->streams.used,
        .stream_bytes = bytes_of(&ep->streams) + bytes_of(&ep->stream_numbers),
        .key_bytes = bytes_of(&ep->keys),
        .name_bytes = bytes_of(&ep->names.pool),
        .table_entries = (uint64_t)ep->cids.core.count + ep->initial_cids.core.count +
                         ep->reset_tokens.core.count + ep->stream_ids.core.count +
                         ep->names.table.core.count,
        .timers = ep->wheel.set_count,
    };
    for (size_t i = 0; i < MR_COUNT_OF(others); i++) {
        const struct mr_pool *pool =
            (const struct mr_pool *)(const void *)((const uint8_t *)ep + others[i]);

        out->other_bytes += bytes_of(pool);
        out->other_bytes_peak += (uint64_t)pool->used_peak * pool->stride;
    }
}
