/*
 * app/fiber_stack.c - see fiber_stack.h.
 *
 * Huge pages are turned off for slabs: one touched byte must not cost 2 MiB.
 *
 * Order in this file: guards, slabs, get and put, measuring, invariants.
 */
#include "app/fiber_stack.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/compiler.h"

#define MAPS_PER_GUARD  2
#define MAP_COUNT_USUAL 65530 /* vm.max_map_count, where it cannot be read */
#define VECTOR_PAGES    64

struct mr_stack_slab {
    uint8_t *memory;
    size_t size;
    struct mr_stack_slab *next;
    bool is_guarded; /* each stack has a guard page */
    struct mr_stack stacks[MR_STACK_SLAB];
};

static _Atomic uint32_t guards_used; /* in this process */

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* ------------------------------------------------------------------ guards */

uint32_t mr_stack_guards_default(void)
{
    unsigned count = MAP_COUNT_USUAL;
    FILE *file = fopen("/proc/sys/vm/max_map_count", "re");

    if (file != NULL) {
        if (fscanf(file, "%u", &count) != 1)
            count = MAP_COUNT_USUAL;
        fclose(file);
    }
    return count / 4 * 3 / MAPS_PER_GUARD; /* a quarter for everything else */
}

/* May a slab with guards be made?  Counts it if so. */
static bool take_guards(uint32_t guards_max)
{
    uint32_t used = atomic_load_explicit(&guards_used, memory_order_relaxed);

    do {
        if (guards_max < MR_STACK_SLAB || used > guards_max - MR_STACK_SLAB)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&guards_used, &used, used + MR_STACK_SLAB,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

static void give_guards_back(void)
{
    atomic_fetch_sub_explicit(&guards_used, MR_STACK_SLAB, memory_order_relaxed);
}

/* ------------------------------------------------------------------ slabs */

/* Make the pages below each stack (`stride` apart) inaccessible.  False: the kernel refuses. */
static bool protect(const struct mr_stack_slab *slab, size_t stride)
{
    for (uint32_t i = 0; i < (slab->is_guarded ? MR_STACK_SLAB : 1); i++)
        if (mprotect(slab->memory + i * stride, page_size(), PROT_NONE) != 0)
            return false;
    return true;
}

static bool map_slab(struct mr_stack_slab *slab, size_t stack_size)
{
    size_t page = page_size();
    size_t stride = stack_size + (slab->is_guarded ? page : 0);

    slab->size = MR_STACK_SLAB * stride + (slab->is_guarded ? 0 : page);
    slab->memory = mmap(NULL, slab->size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (slab->memory == MAP_FAILED)
        return false;
    madvise(slab->memory, slab->size, MADV_NOHUGEPAGE); /* refused: a kernel without huge pages */
    if (!protect(slab, stride)) {
        munmap(slab->memory, slab->size);
        return false;
    }
    return true;
}

static void init_stack(struct mr_stack_slab *slab, uint32_t index, size_t stack_size)
{
    struct mr_stack *stack = &slab->stacks[index];
    size_t page = page_size();
    size_t stride = stack_size + (slab->is_guarded ? page : 0);
    uint8_t *end = slab->memory + page + index * stride + stack_size;

    *stack = (struct mr_stack){
        .low = end - stack_size,
        .top = slab->is_guarded ? end : end - MR_STACK_CANARY_SIZE,
        .page = end - page,
        .slab = slab,
        .index = index,
        .state = MR_STACK_COLD,
    };
    if (!slab->is_guarded && index > 0)
        stack->canary = (uint64_t *)(void *)(stack->low - MR_STACK_CANARY_SIZE);
}

/* A mapping with guards if there are some left, else without.  NULL: no memory. */
static struct mr_stack_slab *new_slab(const struct mr_stack_pool *pool)
{
    struct mr_stack_slab *slab = malloc(sizeof(*slab));

    if (slab == NULL)
        return NULL;
    slab->is_guarded = take_guards(pool->guards_max);
    if (slab->is_guarded && !map_slab(slab, pool->stack_size)) {
        give_guards_back();
        slab->is_guarded = false;
        slab->memory = NULL;
    } else if (slab->is_guarded) {
        return slab;
    }
    if (!map_slab(slab, pool->stack_size)) {
        free(slab);
        return NULL;
    }
    return slab;
}

static bool grow(struct mr_stack_pool *pool)
{
    struct mr_stack_slab *slab = new_slab(pool);

    if (slab == NULL)
        return false;
    slab->next = pool->slabs;
    pool->slabs = slab;
    for (uint32_t i = MR_STACK_SLAB; i-- > 0;) {
        init_stack(slab, i, pool->stack_size);
        slab->stacks[i].next = pool->cold;
        pool->cold = &slab->stacks[i];
    }
    pool->count += MR_STACK_SLAB;
    pool->guarded_count += slab->is_guarded ? MR_STACK_SLAB : 0;
    return true;
}

void mr_stack_pool_init(struct mr_stack_pool *pool, size_t stack_size, uint32_t warm_max,
                        uint32_t guards_max)
{
    size_t page = page_size();

    *pool = (struct mr_stack_pool){
        .stack_size = (stack_size + page - 1) & ~(page - 1),
        .warm_max = warm_max,
        .guards_max = guards_max,
    };
}

void mr_stack_pool_free(struct mr_stack_pool *pool)
{
    while (pool->slabs != NULL) {
        struct mr_stack_slab *slab = pool->slabs;

        pool->slabs = slab->next;
        munmap(slab->memory, slab->size);
        if (slab->is_guarded)
            give_guards_back();
        free(slab);
    }
    *pool = (struct mr_stack_pool){.stack_size = pool->stack_size};
}

/* ------------------------------------------------------------------ get and put */

static void write_canary(struct mr_stack *stack)
{
    if (stack->canary == NULL)
        return;
    for (uint32_t i = 0; i < MR_STACK_CANARY_WORDS; i++)
        stack->canary[i] = mr_stack_canary_word(stack, i);
}

struct mr_stack *mr_stack_get(struct mr_stack_pool *pool)
{
    struct mr_stack *stack = pool->warm;

    if (stack != NULL) {
        pool->warm = stack->next;
        pool->warm_count--;
    } else {
        if (pool->cold == NULL && !grow(pool))
            return NULL;
        stack = pool->cold;
        pool->cold = stack->next;
    }
    stack->state = MR_STACK_USED;
    stack->next = NULL;
    pool->used_count++;
    write_canary(stack);
    return stack;
}

static void drop(uint8_t *begin, const uint8_t *end)
{
    if (begin < end)
        madvise(begin, (size_t)(end - begin), MADV_DONTNEED);
}

/* Give a stack's memory back, but for a canary of its upper neighbour; and what was left of its
 * lower neighbour's for the sake of its own canary. */
static void discard(struct mr_stack *stack)
{
    struct mr_stack *stacks = stack->slab->stacks;
    bool holds_canary = !stack->slab->is_guarded && stack->index + 1 < MR_STACK_SLAB &&
                        stacks[stack->index + 1].state == MR_STACK_USED;

    stack->state = MR_STACK_COLD;
    drop(stack->low, holds_canary ? stack->page : stack->page + page_size());
    if (stack->canary != NULL && stacks[stack->index - 1].state == MR_STACK_COLD)
        drop(stacks[stack->index - 1].page, stack->low);
}

void mr_stack_put(struct mr_stack_pool *pool, struct mr_stack *stack)
{
    MR_ASSERT(stack->state == MR_STACK_USED);
    pool->used_count--;
    if (pool->warm_count < pool->warm_max) {
        stack->state = MR_STACK_WARM;
        stack->next = pool->warm;
        pool->warm = stack;
        pool->warm_count++;
        return;
    }
    discard(stack);
    stack->next = pool->cold;
    pool->cold = stack;
}

/* ------------------------------------------------------------------ measuring */

/* The lowest page of [low, top) that has memory; `top` if none has. */
static const uint8_t *lowest_page(uint8_t *low, const uint8_t *top)
{
    size_t page = page_size();
    unsigned char vector[VECTOR_PAGES];

    while (low < top) {
        size_t pages = MR_MIN(((size_t)(top - low) + page - 1) / page, (size_t)VECTOR_PAGES);

        if (mincore(low, pages * page, vector) != 0)
            return top;
        for (size_t i = 0; i < pages; i++)
            if ((vector[i] & 1) != 0)
                return low + i * page;
        low += pages * page;
    }
    return top;
}

size_t mr_stack_used(const struct mr_stack *stack)
{
    const uint64_t *word = (const uint64_t *)(const void *)lowest_page(stack->low, stack->top);

    while ((const uint8_t *)word < stack->top && *word == 0)
        word++;
    return (size_t)(stack->top - (const uint8_t *)word);
}

/* ------------------------------------------------------------------ invariants */

static uint32_t check_list(const struct mr_stack *stack, enum mr_stack_state state)
{
    uint32_t count = 0;

    for (; stack != NULL; stack = stack->next, count++)
        MR_ASSERT(stack->state == state);
    return count;
}

void mr_stack_pool_check(const struct mr_stack_pool *pool)
{
    uint32_t used = 0;
    uint32_t count = 0;

    MR_ASSERT(pool->warm_count <= pool->warm_max);
    MR_ASSERT(check_list(pool->warm, MR_STACK_WARM) == pool->warm_count);
    for (const struct mr_stack_slab *slab = pool->slabs; slab != NULL; slab = slab->next) {
        for (uint32_t i = 0; i < MR_STACK_SLAB; i++) {
            if (slab->stacks[i].state == MR_STACK_USED) {
                MR_ASSERT(mr_stack_is_intact(&slab->stacks[i]));
                used++;
            }
        }
        count += MR_STACK_SLAB;
    }
    MR_ASSERT(used == pool->used_count);
    MR_ASSERT(count == pool->count);
    MR_ASSERT(check_list(pool->cold, MR_STACK_COLD) == count - used - pool->warm_count);
}
