/* http3/heap.c - see heap.h. */
#include "http3/heap.h"

#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"

enum {
    HEAD_BYTES = 16,
    PAYLOAD_MIN = 16, /* the links of a free block */
    SMALL_MAX = 256,  /* below: classes of 16 bytes each */
};

/* In `size`: sizes are multiples of 16. */
#define FREE_BIT ((size_t)1)
#define KEPT_BIT ((size_t)2)

struct mr_heap_block {
    struct mr_heap_block *previous;  /* the block before it in memory; NULL: the first */
    size_t size;                     /* of the payload, and a bit */
    struct mr_heap_block *next_free; /* from here on: payload, while in use */
    struct mr_heap_block *previous_free;
};

_Static_assert(offsetof(struct mr_heap_block, next_free) == HEAD_BYTES, "payload follows the head");
_Static_assert(sizeof(struct mr_heap_block) == HEAD_BYTES + PAYLOAD_MIN, "links fit a payload");

struct size_class {
    unsigned power;
    unsigned index;
};

static size_t payload_size(const struct mr_heap_block *block)
{
    return block->size & ~(FREE_BIT | KEPT_BIT);
}

static bool is_free(const struct mr_heap_block *block)
{
    return (block->size & FREE_BIT) != 0;
}

static struct mr_heap_block *next_of(const struct mr_heap_block *block)
{
    return (struct mr_heap_block *)((uintptr_t)block + HEAD_BYTES + payload_size(block));
}

static unsigned log2_of(size_t n)
{
    return 63u - (unsigned)__builtin_clzll((unsigned long long)n);
}

/* The class whose blocks are `size` up to the next class's smallest. */
static struct size_class class_of(size_t size)
{
    if (size < SMALL_MAX)
        return (struct size_class){0, (unsigned)(size / 16)};

    unsigned log2 = log2_of(size);
    return (struct size_class){log2 - 7, (unsigned)(size >> (log2 - 4)) & 15};
}

/* The smallest class all of whose blocks hold `size`. */
static struct size_class class_above(size_t size)
{
    if (size >= SMALL_MAX)
        size += ((size_t)1 << (log2_of(size) - 4)) - 1;
    return class_of(size);
}

static void list_insert(struct mr_heap *heap, struct mr_heap_block *block)
{
    struct size_class c = class_of(payload_size(block));
    struct mr_heap_block **head = &heap->free[c.power][c.index];

    block->size |= FREE_BIT;
    block->previous_free = NULL;
    block->next_free = *head;
    if (*head != NULL)
        (*head)->previous_free = block;
    *head = block;
    heap->classes[c.power] |= 1u << c.index;
    heap->powers |= UINT64_C(1) << c.power;
}

static void list_remove(struct mr_heap *heap, struct mr_heap_block *block)
{
    struct size_class c = class_of(payload_size(block));

    if (block->next_free != NULL)
        block->next_free->previous_free = block->previous_free;
    if (block->previous_free != NULL)
        block->previous_free->next_free = block->next_free;
    else
        heap->free[c.power][c.index] = block->next_free;
    if (heap->free[c.power][c.index] == NULL) {
        heap->classes[c.power] &= ~(1u << c.index);
        if (heap->classes[c.power] == 0)
            heap->powers &= ~(UINT64_C(1) << c.power);
    }
    block->size &= ~FREE_BIT;
}

void mr_heap_init(struct mr_heap *heap, void *mem, size_t size)
{
    uintptr_t begin = ((uintptr_t)mem + MR_HEAP_ALIGN - 1) & ~(uintptr_t)(MR_HEAP_ALIGN - 1);
    uintptr_t end = ((uintptr_t)mem + size) & ~(uintptr_t)(MR_HEAP_ALIGN - 1);

    MR_ASSERT(size >= 1024);
    memset(heap, 0, sizeof(*heap));
    heap->base = (uint8_t *)begin;
    heap->size = end - begin;

    struct mr_heap_block *block = (struct mr_heap_block *)begin;
    block->previous = NULL;
    block->size = heap->size - 2 * HEAD_BYTES;
    struct mr_heap_block *last = next_of(block); /* a used block of no size ends the heap */
    last->previous = block;
    last->size = 0;
    list_insert(heap, block);
}

/* The first free block of a class that surely holds `size`; NULL: none. */
static struct mr_heap_block *find(const struct mr_heap *heap, size_t size)
{
    struct size_class c = class_above(size);
    if (c.power >= MR_HEAP_POWERS)
        return NULL;

    uint32_t classes = heap->classes[c.power] & (UINT32_MAX << c.index);
    if (classes == 0) {
        uint64_t powers = heap->powers & (UINT64_MAX << 1 << c.power);
        if (powers == 0)
            return NULL;
        c.power = (unsigned)__builtin_ctzll(powers);
        classes = heap->classes[c.power];
    }
    return heap->free[c.power][__builtin_ctz(classes)];
}

/* Cut `block` (in no list) to `size` and free the rest, if it is worth a block. */
static void split(struct mr_heap *heap, struct mr_heap_block *block, size_t size)
{
    if (block->size < size + HEAD_BYTES + PAYLOAD_MIN)
        return;

    struct mr_heap_block *after = next_of(block);
    size_t rest = block->size - size - HEAD_BYTES;
    block->size = size;
    struct mr_heap_block *remainder = next_of(block);
    remainder->previous = block;
    remainder->size = rest;
    after->previous = remainder;
    list_insert(heap, remainder);
}

/* Make `left` (in no list) of itself and its right neighbour `right`, likewise. */
static void join(struct mr_heap_block *left, const struct mr_heap_block *right)
{
    left->size += HEAD_BYTES + right->size;
    next_of(left)->previous = left;
}

/* A block that nobody has: join it with its neighbours, and let others have it. */
static void put(struct mr_heap *heap, struct mr_heap_block *block)
{
    struct mr_heap_block *right = next_of(block);
    struct mr_heap_block *left = block->previous;

    if (is_free(right)) {
        list_remove(heap, right);
        join(block, right);
    }
    if (left != NULL && is_free(left)) {
        list_remove(heap, left);
        join(left, block);
        block = left;
    }
    list_insert(heap, block);
}

/* ---- blocks that are kept ---- */

/* One of just this size; NULL: none is kept. */
static struct mr_heap_block *take_kept(struct mr_heap *heap, size_t size)
{
    size_t class = size / 16;

    if (class >= MR_HEAP_KEPT_CLASSES || heap->kept[class] == NULL)
        return NULL;
    struct mr_heap_block *block = heap->kept[class];
    heap->kept[class] = block->next_free;
    heap->kept_count[class]--;
    block->size = size;
    return block;
}

/* False: it is too large, or there are enough. */
static bool keep(struct mr_heap *heap, struct mr_heap_block *block)
{
    size_t class = block->size / 16;

    if (class >= MR_HEAP_KEPT_CLASSES || heap->kept_count[class] == MR_HEAP_KEPT_MAX)
        return false;
    block->size |= KEPT_BIT;
    block->next_free = heap->kept[class];
    heap->kept[class] = block;
    heap->kept_count[class]++;
    return true;
}

/* Nothing else is free.  False: nothing is kept. */
MR_COLD static bool put_all_kept(struct mr_heap *heap)
{
    bool has_put = false;

    for (size_t class = 0; class < MR_HEAP_KEPT_CLASSES; class ++) {
        struct mr_heap_block *block;

        while ((block = take_kept(heap, class * 16)) != NULL) {
            put(heap, block);
            has_put = true;
        }
    }
    return has_put;
}

/* ---- taking and giving back ---- */

/* A block out of the lists, cut to its size; NULL: none is large enough. */
static struct mr_heap_block *take(struct mr_heap *heap, size_t size)
{
    struct mr_heap_block *block = find(heap, size);

    if (block == NULL && put_all_kept(heap))
        block = find(heap, size);
    if (block == NULL)
        return NULL;
    list_remove(heap, block);
    split(heap, block, size);
    return block;
}

void *mr_heap_alloc(struct mr_heap *heap, size_t size)
{
    if (size > heap->size)
        return NULL;
    size = MR_MAX((size + 15) & ~(size_t)15, (size_t)PAYLOAD_MIN);

    struct mr_heap_block *block = take_kept(heap, size);
    if (block == NULL)
        block = take(heap, size);
    if (block == NULL)
        return NULL;

    heap->live++;
    heap->used_bytes += block->size + HEAD_BYTES;
    heap->used_peak = MR_MAX(heap->used_peak, heap->used_bytes);
    return (uint8_t *)block + HEAD_BYTES;
}

static struct mr_heap_block *block_of(const void *payload)
{
    return (struct mr_heap_block *)((uintptr_t)payload - HEAD_BYTES);
}

void mr_heap_free(struct mr_heap *heap, void *payload)
{
    if (payload == NULL)
        return;

    struct mr_heap_block *block = block_of(payload);
    MR_ASSERT((uint8_t *)block >= heap->base && (uint8_t *)block < heap->base + heap->size);
    MR_ASSERT((block->size & (FREE_BIT | KEPT_BIT)) == 0);
    heap->live--;
    heap->used_bytes -= block->size + HEAD_BYTES;
    if (!keep(heap, block))
        put(heap, block);
}

size_t mr_heap_size_of(const void *payload)
{
    return payload_size(block_of(payload));
}

/* Free blocks in the lists; each in its class's list, lists and bitmaps in step. */
static uint32_t check_lists(const struct mr_heap *heap)
{
    uint32_t count = 0;

    for (unsigned p = 0; p < MR_HEAP_POWERS; p++) {
        MR_ASSERT((heap->classes[p] != 0) == ((heap->powers >> p & 1) != 0));
        for (unsigned i = 0; i < MR_HEAP_CLASSES; i++) {
            const struct mr_heap_block *block = heap->free[p][i];
            MR_ASSERT((block != NULL) == ((heap->classes[p] >> i & 1) != 0));
            for (; block != NULL; block = block->next_free) {
                struct size_class c = class_of(payload_size(block));
                MR_ASSERT(is_free(block) && c.power == p && c.index == i);
                count++;
            }
        }
    }
    return count;
}

/* Blocks that are kept; each in its class's list, and counted there. */
static uint32_t check_kept(const struct mr_heap *heap)
{
    uint32_t count = 0;

    for (size_t class = 0; class < MR_HEAP_KEPT_CLASSES; class ++) {
        uint32_t of_class = 0;

        for (const struct mr_heap_block *b = heap->kept[class]; b != NULL; b = b->next_free) {
            MR_ASSERT(b->size == (class * 16 | KEPT_BIT));
            of_class++;
        }
        MR_ASSERT(of_class == heap->kept_count[class]);
        MR_ASSERT(of_class <= MR_HEAP_KEPT_MAX);
        count += of_class;
    }
    return count;
}

void mr_heap_check(const struct mr_heap *heap)
{
    const struct mr_heap_block *block = (const struct mr_heap_block *)(const void *)heap->base;
    const struct mr_heap_block *previous = NULL;
    uint32_t live = 0;
    uint32_t free_count = 0;
    uint32_t kept_count = 0;
    size_t used = 0;

    for (; payload_size(block) != 0; previous = block, block = next_of(block)) {
        MR_ASSERT(block->previous == previous);
        if (is_free(block)) {
            MR_ASSERT(previous == NULL || !is_free(previous)); /* neighbours are joined */
            free_count++;
        } else if ((block->size & KEPT_BIT) != 0) {
            kept_count++;
        } else {
            live++;
            used += payload_size(block) + HEAD_BYTES;
        }
    }
    MR_ASSERT(block->previous == previous);
    MR_ASSERT((const uint8_t *)block + HEAD_BYTES == heap->base + heap->size);
    MR_ASSERT(live == heap->live);
    MR_ASSERT(used == heap->used_bytes);
    MR_ASSERT(check_lists(heap) == free_count);
    MR_ASSERT(check_kept(heap) == kept_count);
}
