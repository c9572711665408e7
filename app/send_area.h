/*
 * app/send_area.h - which bytes of a ring's send area are in use.
 *
 * The area is cut into pages.  A page is free, or part of a run that one allocation has, or cut
 * into blocks of one class:
 *
 *     page      0        1          2        3        4        5   ...
 *           [ 256 B | run of 3 pages, one allocation    | 4 KiB | free run ...
 *             blocks]                                     blocks]
 *
 *     classes   256 B, 512 B, ... one page (64 KiB; smaller in an area below 1 MiB)
 *     larger    whole pages
 *
 * When no page is free, a block may be of a larger class than it has to be.
 *
 * Everything about the area is kept in memory of our own: the area itself is neither read nor
 * written.  A small block is found in constant time (a list of pages with free blocks per class, a
 * bitmap per page), a run by looking through the free runs of its size's power of two.
 *
 * Owner: a ring.  Threads: the owner's only.
 * Limits: what is behind the last whole page is not used; addresses are offsets in the area, each a
 * multiple of 256.
 */
#ifndef MR_APP_SEND_AREA_H
#define MR_APP_SEND_AREA_H

#include <stdbool.h>
#include <stdint.h>

#define MR_SEND_BLOCK_MIN 256u
#define MR_SEND_PAGE_MAX  65536u
#define MR_SEND_CLASSES   9          /* 256 B .. 64 KiB */
#define MR_SEND_BINS      25         /* powers of two of pages in a run */
#define MR_SEND_AREA_NONE UINT64_MAX /* nothing is free */
#define MR_SEND_PAGES_MAX (1u << 24)

/* Private. */
struct mr_send_page {
    uint64_t free_blocks[4]; /* bit: block is free; of a page that is cut */
    uint32_t prev;           /* in a list: of pages with free blocks, or of free runs */
    uint32_t next;
    uint32_t length;     /* pages; at a run's first and last page */
    uint16_t free_count; /* blocks */
    uint8_t kind;        /* enum of send_area.c */
    uint8_t size_class;
};

struct mr_send_area {
    struct mr_send_page *pages;
    uint32_t page_count;
    uint32_t page_shift;
    uint32_t partial[MR_SEND_CLASSES]; /* pages with free blocks; MR_NONE: none */
    uint32_t bins[MR_SEND_BINS];       /* free runs of 2^bin pages and more, below 2^(bin + 1) */
    uint32_t bin_map;                  /* bit: bin is not empty */
    uint64_t used;                     /* bytes in blocks and runs */
    uint64_t used_peak;
};

/* Manage `size` bytes.  0; -ENOMEM: no memory for the pages' records. */
int mr_send_area_init(struct mr_send_area *area, uint64_t size);
void mr_send_area_free(struct mr_send_area *area);

/* Take at least `size` bytes.  Their offset; MR_SEND_AREA_NONE: there are none together. */
uint64_t mr_send_area_take(struct mr_send_area *area, uint64_t size);

/* Give back what mr_send_area_take() returned; panics if that is not what `offset` is. */
void mr_send_area_give(struct mr_send_area *area, uint64_t offset);

/* Bytes that the allocation at `offset` really has. */
uint64_t mr_send_area_size_at(const struct mr_send_area *area, uint64_t offset);

/* Half of the bytes that nothing has, times the part that these are of all. */
static inline uint64_t mr_send_area_share(const struct mr_send_area *area)
{
    uint64_t total = (uint64_t)area->page_count << area->page_shift;
    uint64_t free = total - area->used;

    return total == 0 ? 0 : free / 2 * (free * 1024 / total) / 1024;
}

/* Panic if an invariant is broken.  O(pages). */
void mr_send_area_check(const struct mr_send_area *area);

#endif /* MR_APP_SEND_AREA_H */
