/*
 * http3/heap.h - a bounded allocator: variable sizes out of one fixed block of memory.
 *
 *     | head | payload ... | head | free ... | head | payload ... | end |
 *
 * Two-level segregated fit: free blocks hang in lists by size class (16 classes per power of two),
 * two bitmaps find the first list that surely fits, neighbours that are free are joined at once.
 * But of small blocks that are given back a few of each size are kept as they are, for the next
 * that wants one: who decodes a field section takes and gives back the same sizes each time.  They
 * are joined, too, when nothing else is free.  Taking and giving back are O(1), but for that.  A
 * full heap answers NULL, which is the caller's to count.
 *
 * Owner: one HTTP/3 server or client (for nghttp3, and for cached files).  Threads: the owner's
 * only. Limits: the memory given at init; 16 bytes of each block are its head; payloads are 16-byte
 * aligned.
 */
#ifndef MR_HTTP3_HEAP_H
#define MR_HTTP3_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MR_HEAP_CLASSES = 16, /* size classes per power of two */
    MR_HEAP_POWERS = 40,  /* powers of two from 256 bytes on; below: one class per 16 bytes */
    MR_HEAP_ALIGN = 16,
    MR_HEAP_KEPT_CLASSES = 32, /* kept are payloads below 512 bytes, one class per 16 bytes */
    MR_HEAP_KEPT_MAX = 4,      /* of a class: 33 KiB in all, heads included */
};

struct mr_heap_block;

struct mr_heap {
    uint8_t *base;
    size_t size;       /* bytes managed */
    size_t used_bytes; /* in live blocks, heads included */
    size_t used_peak;
    uint32_t live;   /* blocks given out */
    uint64_t powers; /* bit p: some class of power p has a free block */
    uint32_t classes[MR_HEAP_POWERS];
    struct mr_heap_block *free[MR_HEAP_POWERS][MR_HEAP_CLASSES];
    struct mr_heap_block *kept[MR_HEAP_KEPT_CLASSES]; /* by next_free; not free, not used either */
    uint8_t kept_count[MR_HEAP_KEPT_CLASSES];
};

/* Manage the `size` >= 1024 bytes at `mem`, which stay borrowed. */
void mr_heap_init(struct mr_heap *heap, void *mem, size_t size);

/* A block of at least `size` bytes, undefined content; NULL: none is free.  `size` 0 counts as 1.
 */
void *mr_heap_alloc(struct mr_heap *heap, size_t size);

/* Give a block back.  NULL is nothing. */
void mr_heap_free(struct mr_heap *heap, void *payload);

/* Bytes that may be used at `payload`, at least what was asked for. */
size_t mr_heap_size_of(const void *payload);

/* Panic unless every invariant holds.  O(blocks).  For tests and fuzzers. */
void mr_heap_check(const struct mr_heap *heap);

#endif /* MR_HTTP3_HEAP_H */
