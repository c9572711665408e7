/* tools/alloc_count_none.c - see alloc_count.h: nothing is counted in this build. */
#include "tools/alloc_count.h"

bool mr_alloc_count_is_available(void)
{
    return false;
}

void mr_alloc_count_join(struct mr_alloc_bytes *bytes)
{
    (void)bytes;
}

void mr_alloc_count_leave(void)
{
}

uint64_t mr_alloc_count(void)
{
    return 0;
}
