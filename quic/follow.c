/* quic/follow.c - see follow.h. */
#include "quic/follow.h"

bool mr_follow_note(struct mr_follow *f, uint16_t shard, uint64_t largest_pn)
{
    if (f->count == 0 || f->shard != shard) {
        *f = (struct mr_follow){.since_pn = (uint32_t)largest_pn, .shard = shard, .count = 1};
        return false;
    }
    if (++f->count < MR_FOLLOW_DATAGRAMS)
        return false;
    /* Less than they are: a burst of them is noted when all of it was handled. */
    uint32_t grown = (uint32_t)largest_pn - f->since_pn;
    f->count = 0;
    return grown >= MR_FOLLOW_DATAGRAMS / 4 && grown <= 2 * MR_FOLLOW_DATAGRAMS;
}
