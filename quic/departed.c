/* quic/departed.c - see departed.h. */
#include "quic/departed.h"

#include <string.h>

_Static_assert((MR_DEPARTED_BITS & (MR_DEPARTED_BITS - 1)) == 0, "the hash is masked");

static uint32_t bit_of(const struct mr_departed *departed, uint64_t cid)
{
    return (uint32_t)mr_siphash13_word(&departed->key, cid) & (MR_DEPARTED_BITS - 1);
}

void mr_departed_add(struct mr_departed *departed, uint64_t cid, uint64_t until_ns, uint64_t now)
{
    struct mr_departed_half *other = &departed->half[departed->filled ^ 1];
    uint32_t bit = bit_of(departed, cid);

    if (other->until_ns <= now) {
        memset(other, 0, sizeof(*other));
        departed->filled ^= 1;
    }
    struct mr_departed_half *half = &departed->half[departed->filled];
    half->bits[bit / 64] |= UINT64_C(1) << (bit % 64);
    if (until_ns > half->until_ns)
        half->until_ns = until_ns;
}

bool mr_departed_may_have(const struct mr_departed *departed, uint64_t cid, uint64_t now)
{
    uint32_t bit = bit_of(departed, cid);

    for (int i = 0; i < 2; i++) {
        const struct mr_departed_half *half = &departed->half[i];

        if (now < half->until_ns && (half->bits[bit / 64] >> (bit % 64) & 1) != 0)
            return true;
    }
    return false;
}
