/*
 * tests/fuzz/fuzz_send_area.c - property test of app/send_area.h against a model.
 *
 * The input is a program of four-byte steps: take a size (small ones, ones near a class's edge,
 * runs), or give one of those taken back.  The first two bytes choose the area's size.  The model
 * is a map of the area in units of the smallest block.  Properties:
 *   1. what is taken lies in the area, is aligned to 256, as large as asked for, and overlaps
 * nothing;
 *   2. the size that is told is what the model sees as used, in sum;
 *   3. NONE is only said if no free hole of the model could hold a block of that class, or a run;
 *   4. the invariants hold after each step;
 *   5. when all is given back, one allocation gets the whole area.
 */
#include <stdint.h>
#include <string.h>

#include "app/send_area.h"
#include "base/assert.h"
#include "base/compiler.h"

enum {
    UNITS_MAX = 1 << 14, /* 4 MiB */
    TAKEN_MAX = 512,
    STEP = 4
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mr_send_area area;
static uint8_t map[UNITS_MAX]; /* 1: used */
static uint64_t taken[TAKEN_MAX];
static uint32_t taken_count;
static uint64_t used;

static uint64_t page_bytes(void)
{
    return UINT64_C(1) << area.page_shift;
}

static uint64_t area_bytes(void)
{
    return area.page_count * page_bytes();
}

static void mark(uint64_t offset, uint64_t bytes, uint8_t value)
{
    for (uint64_t i = offset / MR_SEND_BLOCK_MIN; i < (offset + bytes) / MR_SEND_BLOCK_MIN; i++) {
        MR_ASSERT(map[i] != value);
        map[i] = value;
    }
    used = value == 1 ? used + bytes : used - bytes;
}

/* Is there a hole of `pages` whole free pages? */
static bool has_pages(uint64_t pages)
{
    uint64_t per_page = page_bytes() / MR_SEND_BLOCK_MIN;
    uint64_t run = 0;

    for (uint64_t page = 0; page < area.page_count && run < pages; page++)
        run = memchr(map + page * per_page, 1, per_page) == NULL ? run + 1 : 0;
    return run >= pages;
}

static uint64_t size_of(const uint8_t *step)
{
    uint64_t any = (uint64_t)step[1] << 8 | step[2];

    switch (step[0] >> 4 & 3) {
    case 0:
        return any % 1025;
    case 1: /* around the edge of a class */
        return (UINT64_C(128) << (step[1] % 11)) + step[2] % 3 - 1;
    case 2:
        return any;
    default:
        return any * 16;
    }
}

static void take(const uint8_t *step)
{
    uint64_t size = size_of(step);
    uint64_t pages = MR_MAX((size + page_bytes() - 1) / page_bytes(), UINT64_C(1));
    uint64_t offset = taken_count == TAKEN_MAX ? 0 : mr_send_area_take(&area, size);

    if (taken_count == TAKEN_MAX)
        return;
    if (offset == MR_SEND_AREA_NONE) {
        MR_ASSERT(!has_pages(pages));
        return;
    }
    uint64_t really = mr_send_area_size_at(&area, offset);
    MR_ASSERT(offset % MR_SEND_BLOCK_MIN == 0);
    MR_ASSERT(really >= size);
    MR_ASSERT(really < 2 * MR_MAX(size, (uint64_t)MR_SEND_BLOCK_MIN) ||
              really < size + page_bytes());
    MR_ASSERT(offset + really <= area_bytes());
    mark(offset, really, 1);
    taken[taken_count++] = offset;
}

static void give(const uint8_t *step)
{
    if (taken_count == 0)
        return;
    uint32_t which = (uint32_t)((step[1] << 8 | step[2]) % (int)taken_count);
    mark(taken[which], mr_send_area_size_at(&area, taken[which]), 0);
    mr_send_area_give(&area, taken[which]);
    taken[which] = taken[--taken_count];
}

static void give_all(void)
{
    while (taken_count > 0)
        give((const uint8_t[STEP]){0});
    mr_send_area_check(&area);
    MR_ASSERT(area.used == 0);
    if (area.page_count == 0)
        return;
    uint64_t offset = mr_send_area_take(&area, area_bytes());
    MR_ASSERT(offset == 0);
    mr_send_area_give(&area, offset);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    memset(map, 0, sizeof(map));
    used = 0;
    MR_ASSERT(mr_send_area_init(&area, (uint64_t)(data[0] << 8 | data[1]) % 1025 * 4096) == 0);
    for (size_t at = 2; at + STEP <= size; at += STEP) {
        /* phases of growth and of shrinking, so that it fills up and empties */
        bool grows = (at / 256 & 1) == 0;
        if (data[at] % 16 < (grows ? 11 : 6))
            take(data + at);
        else
            give(data + at);
        MR_ASSERT(area.used == used);
        mr_send_area_check(&area);
    }
    give_all();
    mr_send_area_free(&area);
    return 0;
}
