/* tools/perf_buffer.c - see perf_buffer.h. */
#include "tools/perf_buffer.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/compiler.h"
#include "base/random.h"

#define HUGE_PAGE ((size_t)2 << 20)

bool mr_perf_buffer_make(struct mr_perf_buffer *buffer, size_t size)
{
    struct mr_random random;
    uint8_t *bytes = aligned_alloc(HUGE_PAGE, size);

    if (bytes == NULL)
        return false;
    madvise(bytes, size, MADV_HUGEPAGE);
    mr_random_init_number(&random, 1);
    mr_random_fill(&random, bytes, size);
    *buffer = (struct mr_perf_buffer){.bytes = bytes, .size = size};
    return true;
}

void mr_perf_buffer_free(struct mr_perf_buffer *buffer)
{
    free(buffer->bytes);
    buffer->bytes = NULL;
}

struct mr_view mr_perf_buffer_piece(const struct mr_perf_buffer *buffer, uint64_t offset,
                                    uint64_t size)
{
    size_t at = (size_t)(offset & (buffer->size - 1));
    uint64_t left = MR_MIN(size - offset, MR_PERF_PIECE_BYTES);

    return (struct mr_view){.data = buffer->bytes + at, .size = MR_MIN(left, buffer->size - at)};
}
