/* tools/alloc_count.c - see alloc_count.h: counting, in front of glibc's functions. */
#include "tools/alloc_count.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

/* glibc's own, under the names that stay when the others are replaced. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *block, size_t size);
void *memalign(size_t alignment, size_t size);
void *aligned_alloc(size_t alignment, size_t size);
int posix_memalign(void **block_out, size_t alignment, size_t size);

static _Atomic uint64_t allocations;
static _Thread_local bool is_joined;

bool mr_alloc_count_is_available(void)
{
    return true;
}

void mr_alloc_count_join(void)
{
    is_joined = true;
}

void mr_alloc_count_leave(void)
{
    is_joined = false;
}

uint64_t mr_alloc_count(void)
{
    return atomic_load_explicit(&allocations, memory_order_relaxed);
}

static void note(void)
{
    if (is_joined)
        atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
}

/* ------------------------------------------------------------------ in front of the library */

void *malloc(size_t size)
{
    note();
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    note();
    return __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
    note();
    return __libc_realloc(block, size);
}

void *memalign(size_t alignment, size_t size)
{
    note();
    return __libc_memalign(alignment, size);
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
