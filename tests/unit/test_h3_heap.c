/* Tests of http3/heap.h. */
#include "http3/heap.h"

#include <string.h>

#include "tests/unit/harness.h"

enum {
    SIZE = 1 << 20,
    SLOTS = 500,
};

static _Alignas(16) uint8_t memory[SIZE];

static void gives_aligned_blocks_of_at_least_the_size_asked_for(void)
{
    struct mr_heap heap;

    mr_heap_init(&heap, memory + 3, SIZE - 3);
    for (size_t size = 0; size < 3000; size += 1 + size / 7) {
        uint8_t *block = mr_heap_alloc(&heap, size);
        CU_ASSERT_PTR_NOT_NULL_FATAL(block);
        CU_ASSERT_EQUAL((uintptr_t)block % MR_HEAP_ALIGN, 0);
        CU_ASSERT_TRUE(mr_heap_size_of(block) >= size);
        CU_ASSERT_TRUE(mr_heap_size_of(block) < size + 64);
        memset(block, 0xff, mr_heap_size_of(block));
        mr_heap_check(&heap);
    }
}

static void a_full_heap_answers_null_and_recovers(void)
{
    struct mr_heap heap;
    void *blocks[SIZE / 1024];
    size_t count = 0;

    mr_heap_init(&heap, memory, SIZE);
    while ((blocks[count] = mr_heap_alloc(&heap, 1008)) != NULL)
        count++;
    CU_ASSERT_EQUAL(count, (SIZE - 32) / 1024);
    CU_ASSERT_PTR_NULL(mr_heap_alloc(&heap, SIZE));
    CU_ASSERT_PTR_NULL(mr_heap_alloc(&heap, SIZE_MAX));
    CU_ASSERT_PTR_NULL(mr_heap_alloc(&heap, SIZE_MAX - 8));
    for (size_t i = 0; i < count; i += 2)
        mr_heap_free(&heap, blocks[i]);
    CU_ASSERT_PTR_NULL(mr_heap_alloc(&heap, 2000)); /* no two neighbours are free */
    for (size_t i = 1; i < count; i += 2)
        mr_heap_free(&heap, blocks[i]);
    mr_heap_check(&heap);
    CU_ASSERT_EQUAL(heap.live, 0);
    CU_ASSERT_EQUAL(heap.used_bytes, 0);
    void *all = mr_heap_alloc(&heap, SIZE - SIZE / 16); /* joined again */
    CU_ASSERT_PTR_NOT_NULL(all);
    mr_heap_free(&heap, all);
    mr_heap_free(&heap, NULL);
}

static void blocks_never_overlap_and_keep_their_bytes(void)
{
    static struct {
        uint8_t *block;
        size_t size;
    } slots[SLOTS];
    struct mr_heap heap;
    uint64_t random = 42;

    memset(slots, 0, sizeof(slots));
    mr_heap_init(&heap, memory, SIZE);
    for (int step = 0; step < 60000; step++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        size_t i = (size_t)(random >> 33) % SLOTS;
        if (slots[i].block != NULL) {
            for (size_t b = 0; b < slots[i].size; b++)
                CU_ASSERT_EQUAL_FATAL(slots[i].block[b], (uint8_t)i);
            mr_heap_free(&heap, slots[i].block);
            slots[i].block = NULL;
            continue;
        }
        slots[i].size = (size_t)(random >> 20) % (step % 5 == 0 ? 20000 : 300);
        slots[i].block = mr_heap_alloc(&heap, slots[i].size);
        if (slots[i].block != NULL)
            memset(slots[i].block, (uint8_t)i, slots[i].size);
        if (step % 100 == 0)
            mr_heap_check(&heap);
    }
    for (size_t i = 0; i < SLOTS; i++)
        mr_heap_free(&heap, slots[i].block);
    mr_heap_check(&heap);
    CU_ASSERT_EQUAL(heap.used_bytes, 0);
    CU_ASSERT_TRUE(heap.used_peak > SIZE / 2);
}

CU_TestInfo h3_heap_tests[] = {
    {"gives aligned blocks of at least the size asked for",
     gives_aligned_blocks_of_at_least_the_size_asked_for},
    {"a full heap answers null and recovers", a_full_heap_answers_null_and_recovers},
    {"blocks never overlap and keep their bytes", blocks_never_overlap_and_keep_their_bytes},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "http3/heap", .pTests = h3_heap_tests},
    CU_SUITE_INFO_NULL,
};
