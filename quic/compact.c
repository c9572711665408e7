/* quic/compact.c - see compact.h. */
#include "quic/compact.h"

#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"

struct mr_compact *mr_compact_get(struct mr_pool *blocks)
{
    uint32_t index = mr_pool_get(blocks);
    if (index == MR_NONE)
        return NULL;

    struct mr_compact *block = mr_pool_at(blocks, index);
    block->buf = (struct mr_buf){.references = 1, .flags = MR_BUF_COMPACT};
    block->used = 0;
    block->index = index;
    return block;
}

const uint8_t *mr_compact_append(struct mr_compact *block, const uint8_t *data, uint32_t size)
{
    MR_ASSERT(size <= mr_compact_room(block));

    uint8_t *at = block->bytes + block->used;
    memcpy(at, data, size);
    block->used += size;
    return at;
}

struct mr_buf *mr_compact_reclaim(struct mr_pool *blocks, struct mr_buf *released)
{
    struct mr_buf **link = &released;

    for (struct mr_buf *buf = released; buf != NULL; buf = *link) {
        MR_DASSERT(buf->references == 0);
        if ((buf->flags & MR_BUF_COMPACT) == 0) {
            link = &buf->next;
            continue;
        }
        *link = buf->next;
        mr_pool_put(blocks, MR_CONTAINER_OF(buf, struct mr_compact, buf)->index);
    }
    return released;
}
