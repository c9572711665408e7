/*
 * app/fiber_stack.h - stacks for many fibers: address space is plenty, memory and mappings are not.
 *
 * A slab is one mapping of MR_STACK_SLAB stacks; memory comes page by page as stacks use it.  What
 * runs over the low end of a stack is found in one of two ways.  A guard page faults at once, but
 * splits the mapping, and the kernel limits their number (vm.max_map_count).  So there are guards
 * for the first stacks, about 24,500 with the kernel's default, and a canary for later ones:
 *
 *     guarded   | guard | stack 0     | guard | stack 1     | ...
 *     canaried  | guard | stack 0   c | stack 1   c | ...        c: 64 bytes, canary of the next
 *
 * The canary of stack 1 lies at the top of stack 0, in a page that is in use anyway, and is
 * checked by mr_stack_is_intact().
 *
 * Stacks that come back stay warm, up to a number, and are used again first; the memory of others
 * goes back to the kernel, their addresses stay.
 *
 * Owner: a hub.  Threads: the owner's; the number of guards is the process's.
 */
#ifndef MR_APP_FIBER_STACK_H
#define MR_APP_FIBER_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MR_STACK_SLAB = 64,        /* stacks */
    MR_STACK_CANARY_WORDS = 8, /* of 64 bits */
    MR_STACK_CANARY_SIZE = MR_STACK_CANARY_WORDS * 8,
};

enum mr_stack_state {
    MR_STACK_COLD, /* unused, without memory but for a neighbour's canary */
    MR_STACK_WARM, /* unused, with memory */
    MR_STACK_USED,
};

struct mr_stack {
    uint8_t *low;          /* page aligned */
    uint8_t *top;          /* 16-byte aligned; the first byte after it */
    uint8_t *page;         /* the page that holds `top` - 1 */
    uint64_t *canary;      /* NULL: a guard page is below */
    struct mr_stack *next; /* in a list of unused ones */
    struct mr_stack_slab *slab;
    uint32_t index; /* in the slab */
    enum mr_stack_state state;
};

struct mr_stack_pool {
    size_t stack_size; /* whole pages */
    uint32_t warm_max;
    uint32_t guards_max; /* of the process */
    struct mr_stack *warm;
    struct mr_stack *cold;
    struct mr_stack_slab *slabs;
    uint32_t count; /* in all */
    uint32_t used_count;
    uint32_t warm_count;
    uint32_t guarded_count; /* in all */
};

/* How many guard pages the kernel's limit leaves room for: the default of `guards_max`. */
uint32_t mr_stack_guards_default(void);

/* Start with no stack.  `stack_size` is rounded up to whole pages. */
void mr_stack_pool_init(struct mr_stack_pool *pool, size_t stack_size, uint32_t warm_max,
                        uint32_t guards_max);

/* Unmap all stacks, used ones too. */
void mr_stack_pool_free(struct mr_stack_pool *pool);

/* Take a stack.  NULL: no memory or mapping. */
struct mr_stack *mr_stack_get(struct mr_stack_pool *pool);

/* Give it back; not from itself. */
void mr_stack_put(struct mr_stack_pool *pool, struct mr_stack *stack);

/* False: something was written over its low end. */
static inline bool mr_stack_is_intact(const struct mr_stack *stack);

/* The deepest use so far, bytes.  System calls. */
size_t mr_stack_used(const struct mr_stack *stack);

/* Panic if an invariant is broken.  O(stacks). */
void mr_stack_pool_check(const struct mr_stack_pool *pool);

/* What each word of a canary holds. */
static inline uint64_t mr_stack_canary_word(const struct mr_stack *stack, uint32_t i)
{
    return ((uint64_t)(uintptr_t)stack->low + i) * UINT64_C(0x9e3779b97f4a7c15) | 1;
}

static inline bool mr_stack_is_intact(const struct mr_stack *stack)
{
    uint64_t difference = 0;

    if (stack->canary == NULL)
        return true;
    for (uint32_t i = 0; i < MR_STACK_CANARY_WORDS; i++)
        difference |= stack->canary[i] ^ mr_stack_canary_word(stack, i);
    return difference == 0;
}

#endif /* MR_APP_FIBER_STACK_H */
