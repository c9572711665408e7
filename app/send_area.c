/* app/send_area.c - see send_area.h. */
#include "app/send_area.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "base/pool.h"

#define BLOCK_SHIFT    8u /* of the smallest class */
#define PAGE_SHIFT_MIN 12u
#define PAGE_SHIFT_MAX 16u
#define PAGES_WANTED   16u /* at least, if pages of 4 KiB can give them */

enum page_kind {
    PAGE_FREE, /* of a free run */
    PAGE_RUN,  /* the first of an allocation of whole pages */
    PAGE_REST, /* the others */
    PAGE_CUT   /* into blocks */
};

_Static_assert(1u << BLOCK_SHIFT == MR_SEND_BLOCK_MIN, "one says what the other does");
_Static_assert(1u << PAGE_SHIFT_MAX == MR_SEND_PAGE_MAX, "one says what the other does");
_Static_assert(PAGE_SHIFT_MAX - BLOCK_SHIFT + 1 == MR_SEND_CLASSES, "the last class is a page");
_Static_assert(MR_SEND_PAGE_MAX / MR_SEND_BLOCK_MIN <= 256, "a page's blocks have a bit each");

static uint32_t log2_of(uint32_t n)
{
    return 31u - (uint32_t)__builtin_clz(n);
}

static uint32_t blocks_of(const struct mr_send_area *area, uint32_t size_class)
{
    return 1u << (area->page_shift - BLOCK_SHIFT - size_class);
}

static uint64_t block_bytes(uint32_t size_class)
{
    return UINT64_C(1) << (BLOCK_SHIFT + size_class);
}

/* ------------------------------------------------------------------ lists of pages */

static void link_page(struct mr_send_area *area, uint32_t *head, uint32_t index)
{
    struct mr_send_page *page = &area->pages[index];

    page->prev = MR_NONE;
    page->next = *head;
    if (*head != MR_NONE)
        area->pages[*head].prev = index;
    *head = index;
}

static void unlink_page(struct mr_send_area *area, uint32_t *head, uint32_t index)
{
    const struct mr_send_page *page = &area->pages[index];

    if (page->prev == MR_NONE)
        *head = page->next;
    else
        area->pages[page->prev].next = page->next;
    if (page->next != MR_NONE)
        area->pages[page->next].prev = page->prev;
}

/* ------------------------------------------------------------------ runs */

static void add_free(struct mr_send_area *area, uint32_t index, uint32_t length)
{
    uint32_t bin = log2_of(length);

    area->pages[index].length = area->pages[index + length - 1].length = length;
    area->pages[index].kind = area->pages[index + length - 1].kind = PAGE_FREE;
    link_page(area, &area->bins[bin], index);
    area->bin_map |= 1u << bin;
}

static void remove_free(struct mr_send_area *area, uint32_t index)
{
    uint32_t bin = log2_of(area->pages[index].length);

    unlink_page(area, &area->bins[bin], index);
    if (area->bins[bin] == MR_NONE)
        area->bin_map &= ~(1u << bin);
}

/* A free run of at least `length` pages; MR_NONE: there is none. */
static uint32_t find_run(const struct mr_send_area *area, uint32_t length)
{
    uint32_t bin = log2_of(length);

    for (uint32_t i = area->bins[bin]; i != MR_NONE; i = area->pages[i].next)
        if (area->pages[i].length >= length)
            return i;
    uint32_t above = area->bin_map & ~((2u << bin) - 1); /* there any run is long enough */
    return above == 0 ? MR_NONE : area->bins[__builtin_ctz(above)];
}

static uint32_t take_run(struct mr_send_area *area, uint32_t length)
{
    uint32_t index = find_run(area, length);

    if (index == MR_NONE)
        return MR_NONE;
    uint32_t rest = area->pages[index].length - length;
    remove_free(area, index);
    if (rest > 0)
        add_free(area, index + length, rest);
    area->pages[index].length = length;
    area->pages[index].kind = PAGE_RUN;
    for (uint32_t i = 1; i < length; i++)
        area->pages[index + i].kind = PAGE_REST;
    return index;
}

/* Joined with the free runs on both sides. */
static void give_run(struct mr_send_area *area, uint32_t index, uint32_t length)
{
    uint32_t end = index + length;

    area->pages[index].kind = PAGE_FREE; /* who gives it back twice is found out */
    if (end < area->page_count && area->pages[end].kind == PAGE_FREE) {
        length += area->pages[end].length;
        remove_free(area, end);
    }
    if (index > 0 && area->pages[index - 1].kind == PAGE_FREE) {
        uint32_t before = area->pages[index - 1].length;

        index -= before;
        length += before;
        remove_free(area, index);
    }
    add_free(area, index, length);
}

/* ------------------------------------------------------------------ blocks */

/* Cut a free page into blocks of a class; false: no page is free. */
static bool cut_page(struct mr_send_area *area, uint32_t size_class)
{
    uint32_t index = take_run(area, 1);

    if (index == MR_NONE)
        return false;
    struct mr_send_page *page = &area->pages[index];
    uint32_t count = blocks_of(area, size_class);
    page->kind = PAGE_CUT;
    page->size_class = (uint8_t)size_class;
    page->free_count = (uint16_t)count;
    for (uint32_t i = 0; i < MR_COUNT_OF(page->free_blocks); i++, count -= MR_MIN(count, 64u))
        page->free_blocks[i] = count >= 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
    link_page(area, &area->partial[size_class], index);
    return true;
}

static uint64_t take_block(struct mr_send_area *area, uint32_t size_class)
{
    bool may_cut = area->partial[size_class] == MR_NONE;

    /* Where no page is free, a larger block does. */
    while (area->partial[size_class] == MR_NONE && !(may_cut && cut_page(area, size_class))) {
        may_cut = false;
        if (++size_class == MR_SEND_CLASSES)
            return MR_SEND_AREA_NONE;
    }
    uint32_t index = area->partial[size_class];
    struct mr_send_page *page = &area->pages[index];
    uint32_t word = 0;

    while (page->free_blocks[word] == 0)
        word++;
    uint32_t bit = (uint32_t)__builtin_ctzll(page->free_blocks[word]);
    page->free_blocks[word] &= page->free_blocks[word] - 1;
    if (--page->free_count == 0)
        unlink_page(area, &area->partial[size_class], index);
    area->used += block_bytes(size_class);
    return ((uint64_t)index << area->page_shift) + (word * 64 + bit) * block_bytes(size_class);
}

static void give_block(struct mr_send_area *area, uint32_t index, uint64_t inside)
{
    struct mr_send_page *page = &area->pages[index];
    uint32_t size_class = page->size_class;
    uint64_t block = inside / block_bytes(size_class);
    uint64_t bit = UINT64_C(1) << (block % 64);

    MR_ASSERT(inside % block_bytes(size_class) == 0);
    MR_ASSERT((page->free_blocks[block / 64] & bit) == 0);
    page->free_blocks[block / 64] |= bit;
    area->used -= block_bytes(size_class);
    if (page->free_count++ == 0)
        link_page(area, &area->partial[size_class], index);
    if (page->free_count < blocks_of(area, size_class))
        return;
    unlink_page(area, &area->partial[size_class], index);
    give_run(area, index, 1);
}

/* ------------------------------------------------------------------ both */

uint64_t mr_send_area_take(struct mr_send_area *area, uint64_t size)
{
    uint64_t page_bytes = UINT64_C(1) << area->page_shift;
    uint64_t offset;

    if (size <= page_bytes) {
        uint32_t last = size <= MR_SEND_BLOCK_MIN ? 0 : (uint32_t)(size - 1) >> BLOCK_SHIFT;

        offset = take_block(area, last == 0 ? 0 : log2_of(last) + 1);
    } else {
        if (size > (uint64_t)area->page_count << area->page_shift)
            return MR_SEND_AREA_NONE;
        uint32_t length = (uint32_t)((size + page_bytes - 1) >> area->page_shift);
        uint32_t index = take_run(area, length);
        if (index == MR_NONE)
            return MR_SEND_AREA_NONE;
        area->used += (uint64_t)length << area->page_shift;
        offset = (uint64_t)index << area->page_shift;
    }
    area->used_peak = MR_MAX(area->used_peak, area->used);
    return offset;
}

void mr_send_area_give(struct mr_send_area *area, uint64_t offset)
{
    uint64_t inside = offset & ((UINT64_C(1) << area->page_shift) - 1);

    MR_ASSERT(offset >> area->page_shift < area->page_count);
    uint32_t index = (uint32_t)(offset >> area->page_shift);
    const struct mr_send_page *page = &area->pages[index];
    if (page->kind == PAGE_CUT) {
        give_block(area, index, inside);
        return;
    }
    MR_ASSERT(page->kind == PAGE_RUN);
    MR_ASSERT(inside == 0);
    uint32_t length = page->length;
    area->used -= (uint64_t)length << area->page_shift;
    give_run(area, index, length);
}

uint64_t mr_send_area_size_at(const struct mr_send_area *area, uint64_t offset)
{
    MR_ASSERT(offset >> area->page_shift < area->page_count);
    const struct mr_send_page *page = &area->pages[offset >> area->page_shift];

    return page->kind == PAGE_CUT ? block_bytes(page->size_class)
                                  : (uint64_t)page->length << area->page_shift;
}

/* ------------------------------------------------------------------ life */

int mr_send_area_init(struct mr_send_area *area, uint64_t size)
{
    uint32_t shift = PAGE_SHIFT_MAX;

    while (shift > PAGE_SHIFT_MIN && size >> shift < PAGES_WANTED)
        shift--;
    *area = (struct mr_send_area){.page_shift = shift};
    area->page_count = (uint32_t)MR_MIN(size >> shift, (uint64_t)MR_SEND_PAGES_MAX);
    for (uint32_t i = 0; i < MR_SEND_CLASSES; i++)
        area->partial[i] = MR_NONE;
    for (uint32_t i = 0; i < MR_SEND_BINS; i++)
        area->bins[i] = MR_NONE;
    if (area->page_count == 0)
        return 0;
    area->pages = calloc(area->page_count, sizeof(*area->pages));
    if (area->pages == NULL) {
        area->page_count = 0;
        return -ENOMEM;
    }
    add_free(area, 0, area->page_count);
    return 0;
}

void mr_send_area_free(struct mr_send_area *area)
{
    free(area->pages);
    *area = (struct mr_send_area){0};
}

/* ------------------------------------------------------------------ invariants */

static bool is_listed(const struct mr_send_area *area, uint32_t head, uint32_t index)
{
    const struct mr_send_page *page = &area->pages[index];

    if (page->prev == MR_NONE ? head != index : area->pages[page->prev].next != index)
        return false;
    return page->next == MR_NONE || area->pages[page->next].prev == index;
}

/* Bytes that the cut page's blocks have in use. */
static uint64_t check_cut(const struct mr_send_area *area, uint32_t index)
{
    const struct mr_send_page *page = &area->pages[index];
    uint32_t count = blocks_of(area, page->size_class);
    uint32_t free_count = 0;

    for (uint32_t i = 0; i < MR_COUNT_OF(page->free_blocks); i++)
        free_count += (uint32_t)__builtin_popcountll(page->free_blocks[i]);
    MR_ASSERT(free_count == page->free_count);
    MR_ASSERT(free_count < count); /* else the page would be free */
    if (free_count > 0)
        MR_ASSERT(is_listed(area, area->partial[page->size_class], index));
    return (count - free_count) * block_bytes(page->size_class);
}

void mr_send_area_check(const struct mr_send_area *area)
{
    uint64_t used = 0;
    bool was_free = false;

    for (uint32_t i = 0; i < area->page_count;) {
        const struct mr_send_page *page = &area->pages[i];
        uint32_t length = page->kind == PAGE_CUT ? 1 : page->length;

        MR_ASSERT(length > 0);
        MR_ASSERT(length <= area->page_count - i);
        MR_ASSERT(page->kind != PAGE_REST);
        if (page->kind == PAGE_RUN && length > 1)
            MR_ASSERT(area->pages[i + length - 1].kind == PAGE_REST);
        if (page->kind == PAGE_FREE) {
            MR_ASSERT(!was_free); /* neighbours are joined */
            MR_ASSERT((area->bin_map >> log2_of(length) & 1) == 1);
            MR_ASSERT(is_listed(area, area->bins[log2_of(length)], i));
            MR_ASSERT(area->pages[i + length - 1].kind == PAGE_FREE);
            MR_ASSERT(area->pages[i + length - 1].length == length);
        } else {
            used +=
                page->kind == PAGE_CUT ? check_cut(area, i) : (uint64_t)length << area->page_shift;
        }
        was_free = page->kind == PAGE_FREE;
        i += length;
    }
    MR_ASSERT(used == area->used);
    MR_ASSERT(used <= area->used_peak);
}
