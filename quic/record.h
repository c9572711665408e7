/*
 * quic/record.h - values one after the other in a block of memory: how a connection's record is
 * written and read.
 *
 *     | value | padding to 8 | value | padding to 8 | ...
 *
 * A writer without memory counts: the same steps say how much room a record needs.
 *
 * Owner: whoever holds the block.  Threads: the owner's.  Nothing allocates.
 */
#ifndef MR_QUIC_RECORD_H
#define MR_QUIC_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MR_RECORD_ALIGN 8 /* bytes */

static inline size_t mr_record_padded(size_t size)
{
    return (size + MR_RECORD_ALIGN - 1) & ~(size_t)(MR_RECORD_ALIGN - 1);
}

struct mr_record_writer {
    uint8_t *bytes; /* NULL: count only */
    size_t room;
    size_t used;         /* > room: it did not fit */
    bool has_references; /* an address of application memory was written */
};

struct mr_record_reader {
    const uint8_t *bytes;
    size_t size;
    size_t at;
};

/* Write `size` bytes from `source`. */
static inline void mr_record_put(struct mr_record_writer *w, const void *source, size_t size)
{
    size_t at = w->used;

    w->used += mr_record_padded(size);
    if (w->bytes == NULL || w->used > w->room || size == 0)
        return;
    memcpy(w->bytes + at, source, size);
    memset(w->bytes + at + size, 0, mr_record_padded(size) - size);
}

/* The next `size` bytes, where they lie; NULL: the record ends before. */
static inline const void *mr_record_take(struct mr_record_reader *r, size_t size)
{
    const uint8_t *at = r->bytes + r->at;

    if (size > r->size - r->at || mr_record_padded(size) > r->size - r->at)
        return NULL;
    r->at += mr_record_padded(size);
    return at;
}

#endif /* MR_QUIC_RECORD_H */
