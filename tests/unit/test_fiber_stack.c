/* Tests of app/fiber_stack.c, and of what an overflow does to a fiber. */
#include "app/fiber_stack.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>

#include "tests/unit/fiber_hub.h"

enum {
    SIZE = 32 * 1024,
    PAGE = 4096
};

static struct mr_stack_pool pool;

static bool has_memory(const uint8_t *page)
{
    unsigned char is_there = 0;

    CU_ASSERT_EQUAL(mincore((void *)(uintptr_t)page, PAGE, &is_there), 0);
    return (is_there & 1) != 0;
}

static void stacks_are_apart_and_come_back(void)
{
    struct mr_stack *stacks[200];

    for (int kind = 0; kind < 2; kind++) {
        mr_stack_pool_init(&pool, SIZE - 5, 10, kind == 0 ? 1000000 : 1);
        CU_ASSERT_EQUAL(pool.stack_size, SIZE);
        for (int i = 0; i < 200; i++) {
            stacks[i] = mr_stack_get(&pool);
            CU_ASSERT_PTR_NOT_NULL_FATAL(stacks[i]);
            CU_ASSERT_TRUE(stacks[i]->top - stacks[i]->low >= SIZE - MR_STACK_CANARY_SIZE);
            CU_ASSERT_EQUAL((uintptr_t)stacks[i]->top % 16, 0);
            memset(stacks[i]->low, i, (size_t)(stacks[i]->top - stacks[i]->low)); /* all of it */
        }
        mr_stack_pool_check(&pool);
        CU_ASSERT_EQUAL(pool.guarded_count, kind == 0 ? pool.count : 0);
        for (int i = 0; i < 200; i++)
            CU_ASSERT_TRUE(stacks[i]->low[0] == (uint8_t)i && stacks[i]->top[-1] == (uint8_t)i);
        for (int i = 0; i < 200; i += 3)
            mr_stack_put(&pool, stacks[i]);
        mr_stack_pool_check(&pool);
        CU_ASSERT_EQUAL(pool.warm_count, 10);
        for (int i = 0; i < 200; i += 3)
            stacks[i] = mr_stack_get(&pool);
        mr_stack_pool_check(&pool);
        for (int i = 0; i < 200; i++)
            mr_stack_put(&pool, stacks[i]);
        CU_ASSERT_EQUAL(pool.used_count, 0);
        CU_ASSERT_EQUAL(pool.count, 256);
        mr_stack_pool_check(&pool);
        mr_stack_pool_free(&pool);
    }
}

static void memory_of_unused_stacks_goes_back_to_the_kernel(void)
{
    struct mr_stack *stacks[4];

    for (int kind = 0; kind < 2; kind++) {
        mr_stack_pool_init(&pool, SIZE, 1, kind == 0 ? 1000000 : 1);
        for (int i = 0; i < 4; i++) {
            stacks[i] = mr_stack_get(&pool);
            memset(stacks[i]->low, 1, (size_t)(stacks[i]->top - stacks[i]->low));
        }
        mr_stack_put(&pool, stacks[3]); /* warm */
        CU_ASSERT_TRUE(has_memory(stacks[3]->low));
        mr_stack_put(&pool, stacks[1]); /* cold, but for the canary of the third */
        CU_ASSERT_FALSE(has_memory(stacks[1]->low));
        CU_ASSERT_EQUAL(has_memory(stacks[1]->page), kind == 1);
        CU_ASSERT_TRUE(mr_stack_is_intact(stacks[2]));
        mr_stack_put(&pool, stacks[2]);
        CU_ASSERT_FALSE(has_memory(stacks[2]->low));
        CU_ASSERT_FALSE(has_memory(stacks[1]->page));
        CU_ASSERT_TRUE(has_memory(stacks[0]->low));
        CU_ASSERT_TRUE(has_memory(stacks[0]->page));
        mr_stack_pool_check(&pool);
        CU_ASSERT_PTR_EQUAL(mr_stack_get(&pool), stacks[3]); /* warm ones first */
        mr_stack_pool_free(&pool);
    }
}

static void deepest_use_is_measured(void)
{
    mr_stack_pool_init(&pool, SIZE * 16, 1, 1000000);
    struct mr_stack *stack = mr_stack_get(&pool);

    CU_ASSERT_EQUAL(mr_stack_used(stack), 0);
    stack->top[-100] = 1;
    CU_ASSERT_EQUAL(mr_stack_used(stack), 104); /* in words */
    stack->top[-16 * SIZE] = 1;
    CU_ASSERT_EQUAL(mr_stack_used(stack), 16 * SIZE);
    mr_stack_pool_free(&pool);
}

static void guards_are_for_the_first_stacks_only(void)
{
    uint32_t guards = mr_stack_guards_default();

    CU_ASSERT_TRUE(guards > 1000);
    mr_stack_pool_init(&pool, SIZE, 1, 2 * MR_STACK_SLAB);
    for (int i = 0; i < 3 * MR_STACK_SLAB; i++) {
        const struct mr_stack *stack = mr_stack_get(&pool);

        CU_ASSERT_TRUE(stack->canary == NULL || i > 2 * MR_STACK_SLAB);
        CU_ASSERT_TRUE(stack->canary != NULL || i <= 2 * MR_STACK_SLAB); /* a slab's first, too */
    }
    CU_ASSERT_EQUAL(pool.guarded_count, 2 * MR_STACK_SLAB);
    mr_stack_pool_free(&pool);

    mr_stack_pool_init(&pool, SIZE, 1, 2 * MR_STACK_SLAB); /* the guards came back */
    mr_stack_get(&pool);
    CU_ASSERT_EQUAL(pool.guarded_count, MR_STACK_SLAB);
    mr_stack_pool_free(&pool);
}

/* ------------------------------------------------------------------ overflow of a fiber */

/* Write the word just below this fiber's stack. */
static int64_t write_at(void *argument)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0); /* in the highest page */
    uint8_t *low = (uint8_t *)((here & ~(uintptr_t)(PAGE - 1)) + PAGE);

    (void)argument;
    low -= mr_fiber_stack_size(mr_fiber_current()) / PAGE * PAGE;
    if (mr_fiber_stack_size(mr_fiber_current()) % PAGE != 0)
        low -= PAGE; /* the top of its last page is the next one's canary */
    *(volatile uint64_t *)(void *)(low - 8) = 0;
    mr_fiber_yield();
    return 0;
}

static int64_t spawn_overflowing(void *argument)
{
    struct mr_fiber *fiber = spawn(write_at, argument, "greedy");

    return mr_fiber_join(fiber, MR_FOREVER, NULL);
}

static void overflow(void *argument)
{
    struct mr_hub_options options = {.guards_max = *(const uint32_t *)argument,
                                     .stack_size = SIZE * 8};

    signal(SIGSEGV, SIG_DFL);
    run_in_hub(spawn_overflowing, NULL, &options);
}

static void an_overflow_into_a_guard_page_faults(void)
{
    uint32_t guards = 1000000;
    char text[2048];

    CU_ASSERT_TRUE(was_killed_by(run_child(overflow, &guards, text, sizeof(text)), SIGSEGV));
}

static void an_overflow_over_a_canary_panics_with_the_fibers_name(void)
{
    uint32_t guards = 1;
    char text[2048];

    CU_ASSERT_TRUE(was_killed_by(run_child(overflow, &guards, text, sizeof(text)), SIGABRT));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "fiber 'greedy': its stack has overflowed"));
}

/* ------------------------------------------------------------------ sizes */

static int64_t print_much(void *argument)
{
    char text[512];

    snprintf(text, sizeof(text), "%s %d %f %Lg %s", "text", 7, 1e300, 1e-300L, strerror(ENOENT));
    *(size_t *)argument = mr_fiber_stack_used(mr_fiber_current());
    return (int64_t)mr_fiber_stack_size(mr_fiber_current());
}

static int64_t use_sizes(void *argument)
{
    struct mr_fiber_options options = {.stack_size = 0};
    struct mr_fiber *fiber = NULL;
    size_t used = 0;
    int64_t sizes[2];

    (void)argument;
    sizes[0] = join(spawn(print_much, &used, "printer"));
    printf("# printf with floating point uses %zu of %ld bytes of stack\n", used, (long)sizes[0]);
    CU_ASSERT_TRUE(used > 256);
    CU_ASSERT_TRUE(used < (size_t)sizes[0] / 2);
    options.stack_size = (size_t)sizes[0] * 3;
    CU_ASSERT_EQUAL(mr_fiber_spawn(print_much, &used, "large", &options, &fiber), 0);
    sizes[1] = join(fiber);
    CU_ASSERT_EQUAL(sizes[1], 4 * sizes[0]);
    return 0;
}

static void a_default_stack_is_comfortable_and_larger_ones_are_there(void)
{
    run_in_hub(use_sizes, NULL, NULL);
}

static CU_TestInfo tests[] = {
    {"G4 stacks are apart and come back", stacks_are_apart_and_come_back},
    {"G6 memory of unused stacks goes back to the kernel",
     memory_of_unused_stacks_goes_back_to_the_kernel},
    {"G6 the deepest use of a stack is measured", deepest_use_is_measured},
    {"G6 guards are for the first stacks only", guards_are_for_the_first_stacks_only},
    {"G6 an overflow into a guard page faults", an_overflow_into_a_guard_page_faults},
    {"G6 an overflow over a canary panics with the fiber's name",
     an_overflow_over_a_canary_panics_with_the_fibers_name},
    {"G6 a default stack is comfortable, and larger ones are there",
     a_default_stack_is_comfortable_and_larger_ones_are_there},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/fiber_stack", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
