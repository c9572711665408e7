/*
 * tests/fuzz/fuzz_spsc.c - property test of base/spsc.h against a model, in one thread.
 *
 * The input is a program of two-byte steps: push or pop, and how many.  The first byte sizes
 * the ring and where its indexes start (near their wrap-around as well).  Words count up, so
 * the model is the number of words that went in and came out.  Properties:
 *   1. a push takes min(n, room), a pop gives min(room, count);
 *   2. words come out in order, none twice, none missing;
 *   3. nothing is written beyond what a push or pop reports;
 *   4. the ring's invariants hold after each step.
 * That two threads may do this at once is tests/unit/test_spsc.c's, under the thread sanitizer.
 */
#include <stdint.h>

#include "base/assert.h"
#include "base/spsc.h"

enum {
    CAPACITY_MAX = 64,
    BURST = 80,
    STEP = 2
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mr_spsc ring;
static uint64_t slots[CAPACITY_MAX + 1]; /* and a guard */
static uint64_t pushed, popped;
static uint32_t capacity;

static void start(uint8_t shape)
{
    uint32_t first = shape & 8 ? UINT32_MAX - shape : 0;

    capacity = 1u << shape % 7;
    mr_spsc_init(&ring, slots, capacity);
    atomic_store(&ring.head, first);
    atomic_store(&ring.tail, first);
    ring.head_seen = first;
    ring.tail_seen = first;
    slots[capacity] = 0x6775617264;
    pushed = 0;
    popped = 0;
}

static void push(uint32_t n)
{
    uint64_t words[BURST];
    uint32_t room = capacity - (uint32_t)(pushed - popped);

    for (uint32_t i = 0; i < n; i++)
        words[i] = pushed + i;
    MR_ASSERT(mr_spsc_push(&ring, words, n) == MR_MIN(n, room));
    pushed += MR_MIN(n, room);
    MR_ASSERT(slots[capacity] == 0x6775617264);
}

static void pop(uint32_t room)
{
    uint64_t words[BURST + 1];
    uint32_t count = (uint32_t)(pushed - popped);
    uint32_t n = MR_MIN(room, count);

    words[n] = UINT64_MAX;
    MR_ASSERT(mr_spsc_pop(&ring, words, room) == n);
    MR_ASSERT(words[n] == UINT64_MAX);
    for (uint32_t i = 0; i < n; i++)
        MR_ASSERT(words[i] == popped + i);
    popped += n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    start(size > 0 ? data[0] : 0);
    for (; size >= STEP; data += STEP, size -= STEP) {
        uint32_t n = data[1] % (data[1] & 128 ? BURST + 1u : 5u);

        if (data[0] & 1)
            push(n);
        else
            pop(n);
        if (data[0] & 2)
            MR_ASSERT(mr_spsc_room(&ring, BURST) == MR_MIN(BURST, capacity - (pushed - popped)));
        if (data[0] & 4)
            MR_ASSERT(mr_spsc_count(&ring, BURST) == MR_MIN(BURST, pushed - popped));
        mr_spsc_check(&ring);
    }
    return 0;
}
