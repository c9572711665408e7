/* Where the CPU family has no registers that base/copy_x86.c knows. */
#include "base/copy_ahead.h"

mr_copy_ahead mr_copy_ahead_of(uint32_t bits)
{
    (void)bits;
    return NULL;
}
