/* Where the CPU family has no registers that quic/copy_avx2.c knows. */
#include "quic/copy_ahead.h"

mr_copy_ahead mr_copy_ahead_best(void)
{
    return mr_copy_ahead_narrow;
}
