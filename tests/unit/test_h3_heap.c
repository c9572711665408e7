/* Tests of http3/heap.h. */
#include "http3/heap.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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

static void small_blocks_that_are_given_back_serve_the_next(void)
{
    struct mr_heap heap;
    void *blocks[MR_HEAP_KEPT_MAX + 2];

    mr_heap_init(&heap, memory, SIZE);
    for (size_t i = 0; i < MR_COUNT_OF(blocks); i++)
        blocks[i] = mr_heap_alloc(&heap, 100);
    for (size_t i = 0; i < MR_COUNT_OF(blocks); i++)
        mr_heap_free(&heap, blocks[i]);
    mr_heap_check(&heap);
    CU_ASSERT_EQUAL(heap.kept_count[112 / 16], MR_HEAP_KEPT_MAX); /* and no more */
    CU_ASSERT_EQUAL(heap.used_bytes, 0);
    CU_ASSERT_PTR_NOT_EQUAL(mr_heap_alloc(&heap, 113), blocks[MR_HEAP_KEPT_MAX - 1]);
    for (size_t i = MR_HEAP_KEPT_MAX; i-- > 0;)
        CU_ASSERT_PTR_EQUAL(mr_heap_alloc(&heap, 112), blocks[i]);
    CU_ASSERT_EQUAL(heap.kept_count[112 / 16], 0);
    CU_ASSERT_EQUAL(heap.live, 1 + MR_HEAP_KEPT_MAX);
    mr_heap_check(&heap);
}

static void large_blocks_are_joined_at_once(void)
{
    struct mr_heap heap;

    mr_heap_init(&heap, memory, SIZE);
    mr_heap_free(&heap, mr_heap_alloc(&heap, MR_HEAP_KEPT_CLASSES * 16));
    mr_heap_check(&heap);
    for (size_t i = 0; i < MR_HEAP_KEPT_CLASSES; i++)
        CU_ASSERT_EQUAL(heap.kept_count[i], 0);
    mr_heap_free(&heap, mr_heap_alloc(&heap, MR_HEAP_KEPT_CLASSES * 16 - 16));
    mr_heap_check(&heap);
    CU_ASSERT_EQUAL(heap.kept_count[MR_HEAP_KEPT_CLASSES - 1], 1);
}

static void what_is_kept_is_joined_when_nothing_else_is_free(void)
{
    struct mr_heap heap;
    void *blocks[4096 / 80 + 1];
    size_t count = 0;

    mr_heap_init(&heap, memory, 4096);
    while ((blocks[count] = mr_heap_alloc(&heap, 64)) != NULL)
        count++;
    CU_ASSERT_EQUAL_FATAL(count, (4096 - 16) / 80);
    for (size_t i = 0; i < MR_HEAP_KEPT_MAX; i++)
        mr_heap_free(&heap, blocks[i]);
    CU_ASSERT_EQUAL(heap.kept_count[64 / 16], MR_HEAP_KEPT_MAX);
    CU_ASSERT_PTR_NULL(mr_heap_alloc(&heap, MR_HEAP_KEPT_MAX * 80 + 64)); /* joined in vain */
    CU_ASSERT_PTR_EQUAL(mr_heap_alloc(&heap, MR_HEAP_KEPT_MAX * 80 - 16), blocks[0]);
    mr_heap_check(&heap);
}

static void a_block_that_is_given_back_twice_ends_the_program(void)
{
    struct mr_heap heap;
    int status = 0;

    mr_heap_init(&heap, memory, SIZE);
    for (size_t size = 64; size <= 1024; size += 960) { /* kept, and joined */
        void *block = mr_heap_alloc(&heap, size);
        pid_t child = fork();
        CU_ASSERT_FATAL(child >= 0);
        if (child == 0) {
            close(STDERR_FILENO);
            mr_heap_free(&heap, block);
            mr_heap_free(&heap, block);
            _exit(0);
        }
        CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
        CU_ASSERT_TRUE(WIFSIGNALED(status));
    }
}

CU_TestInfo h3_heap_tests[] = {
    {"gives aligned blocks of at least the size asked for",
     gives_aligned_blocks_of_at_least_the_size_asked_for},
    {"a full heap answers null and recovers", a_full_heap_answers_null_and_recovers},
    {"blocks never overlap and keep their bytes", blocks_never_overlap_and_keep_their_bytes},
    {"small blocks that are given back serve the next",
     small_blocks_that_are_given_back_serve_the_next},
    {"large blocks are joined at once", large_blocks_are_joined_at_once},
    {"what is kept is joined when nothing else is free",
     what_is_kept_is_joined_when_nothing_else_is_free},
    {"a block that is given back twice ends the program",
     a_block_that_is_given_back_twice_ends_the_program},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "http3/heap", .pTests = h3_heap_tests},
    CU_SUITE_INFO_NULL,
};
