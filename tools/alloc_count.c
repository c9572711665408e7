/* tools/alloc_count.c - see alloc_count.h: counting, in front of glibc's functions. */
#include "tools/alloc_count.h"

#include <errno.h>
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>

/* glibc's own, under the names that stay when the others are replaced. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

static _Atomic uint64_t allocations;
static _Thread_local bool is_joined;
static _Thread_local struct mr_alloc_bytes *weighed; /* NULL: no bytes are counted */

bool mr_alloc_count_is_available(void)
{
    return true;
}

void mr_alloc_count_join(struct mr_alloc_bytes *bytes)
{
    is_joined = true;
    weighed = bytes;
}

void mr_alloc_count_leave(void)
{
    is_joined = false;
    weighed = NULL;
}

uint64_t mr_alloc_count(void)
{
    return atomic_load_explicit(&allocations, memory_order_relaxed);
}

static void weigh(int64_t bytes)
{
    int64_t held = atomic_load_explicit(&weighed->held, memory_order_relaxed) + bytes;

    atomic_store_explicit(&weighed->held, held, memory_order_relaxed);
    if (held > atomic_load_explicit(&weighed->peak, memory_order_relaxed))
        atomic_store_explicit(&weighed->peak, held, memory_order_relaxed);
}

static int64_t size_of(void *block)
{
    return (int64_t)malloc_usable_size(block);
}

/* An allocation; `before`: bytes of the one that it takes the place of. */
static void *note(void *block, int64_t before)
{
    if (is_joined)
        atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    if (weighed != NULL && block != NULL)
        weigh(size_of(block) - before);
    return block;
}

/* ------------------------------------------------------------------ in front of the library */

void *malloc(size_t size)
{
    return note(__libc_malloc(size), 0);
}

void *calloc(size_t count, size_t size)
{
    return note(__libc_calloc(count, size), 0);
}

void *realloc(void *block, size_t size)
{
    int64_t before = weighed == NULL ? 0 : size_of(block);

    if (weighed != NULL && block != NULL && size == 0)
        weigh(-before); /* it is freed */
    return note(__libc_realloc(block, size), before);
}

void *memalign(size_t alignment, size_t size)
{
    return note(__libc_memalign(alignment, size), 0);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **block_out, size_t alignment, size_t size)
{
    if (alignment % sizeof(void *) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0)
        return EINVAL;

    void *block = memalign(alignment, size);
    if (block == NULL)
        return ENOMEM;
    *block_out = block;
    return 0;
}

void free(void *block)
{
    if (weighed != NULL)
        weigh(-size_of(block));
    __libc_free(block);
}
