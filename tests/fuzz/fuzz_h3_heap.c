/*
 * tests/fuzz/fuzz_h3_heap.c - property test of http3/heap.h against a model.
 *
 * The input is a program of four-byte steps: take a size (a few small ones again and again, as a
 * decoder does, any small one, large ones), or give one of those taken back.  The first byte
 * chooses the heap's size.  Properties:
 *   1. what is taken lies in the heap, is aligned, at least as large as asked for, overlaps
 * nothing, and keeps its bytes;
 *   2. NULL is only said if no hole of the model is large enough, whatever is kept;
 *   3. what the heap counts as used is what is taken;
 *   4. the invariants hold after each step;
 *   5. when all is given back, one block gets nearly all of it.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "http3/heap.h"

enum {
    TAKEN_MAX = 256,
    STEP = 4,
    HEAD = 16,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mr_heap heap;

/* By address. */
static struct taken {
    uint8_t *payload;
    size_t size;
    uint8_t filled_with;
} taken[TAKEN_MAX];
static uint32_t taken_count;

static size_t size_of(const uint8_t *step)
{
    static const uint16_t usual[] = {40, 64, 88, 300};

    switch (step[0] >> 4 & 3) {
    case 0:
    case 1:
        return usual[step[1] % MR_COUNT_OF(usual)];
    case 2:
        return (size_t)(step[1] << 8 | step[2]) % 600;
    default:
        return (size_t)(step[1] << 8 | step[2]) % 20000;
    }
}

/* The bytes between two that are taken, or the ends: the largest. */
static size_t largest_hole(void)
{
    const uint8_t *begin = heap.base;
    size_t largest = 0;

    for (uint32_t i = 0; i < taken_count; i++) {
        largest = MR_MAX(largest, (size_t)(taken[i].payload - HEAD - begin));
        begin = taken[i].payload + taken[i].size;
    }
    return MR_MAX(largest, (size_t)(heap.base + heap.size - HEAD - begin));
}

static void note(uint8_t *payload, uint8_t fill)
{
    uint32_t at = 0;

    while (at < taken_count && taken[at].payload < payload)
        at++;
    memmove(&taken[at + 1], &taken[at], (taken_count - at) * sizeof(taken[0]));
    taken[at] = (struct taken){payload, mr_heap_size_of(payload), fill};
    taken_count++;
    memset(payload, fill, taken[at].size);
    MR_ASSERT(at == 0 || taken[at - 1].payload + taken[at - 1].size <= payload - HEAD);
    MR_ASSERT(at + 1 == taken_count || payload + taken[at].size <= taken[at + 1].payload - HEAD);
    MR_ASSERT(payload - HEAD >= heap.base && payload + taken[at].size <= heap.base + heap.size);
}

static void take(const uint8_t *step)
{
    size_t size = size_of(step);

    if (taken_count == TAKEN_MAX)
        return;
    uint8_t *payload = mr_heap_alloc(&heap, size);
    if (payload == NULL) {
        MR_ASSERT(largest_hole() < size + size / 16 + 3 * MR_HEAP_ALIGN + HEAD);
        return;
    }
    MR_ASSERT((uintptr_t)payload % MR_HEAP_ALIGN == 0);
    MR_ASSERT(mr_heap_size_of(payload) >= size);
    note(payload, step[3]);
}

static void give(size_t which)
{
    const struct taken *t = &taken[which];

    for (size_t i = 0; i < t->size; i++)
        MR_ASSERT(t->payload[i] == t->filled_with);
    mr_heap_free(&heap, t->payload);
    taken_count--;
    memmove(&taken[which], &taken[which + 1], (taken_count - which) * sizeof(taken[0]));
}

static void check(void)
{
    size_t used = 0;

    for (uint32_t i = 0; i < taken_count; i++)
        used += taken[i].size + HEAD;
    MR_ASSERT(heap.used_bytes == used);
    MR_ASSERT(heap.live == taken_count);
    mr_heap_check(&heap);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    size_t bytes = 1024 + (size_t)data[0] * data[0];
    uint8_t *memory = malloc(bytes);

    mr_heap_init(&heap, memory, bytes);
    for (size_t at = 1; at + STEP <= size; at += STEP) {
        const uint8_t *step = data + at;

        if ((step[0] & 1) == 0)
            take(step);
        else if (taken_count > 0)
            give((size_t)(step[1] << 8 | step[2]) % taken_count);
        check();
    }
    while (taken_count > 0)
        give(0);
    check();
    MR_ASSERT(mr_heap_alloc(&heap, heap.size - heap.size / 16 - 6 * MR_HEAP_ALIGN) != NULL);
    free(memory);
    return 0;
}
