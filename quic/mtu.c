/*
 * quic/mtu.c - see mtu.h.
 */
#include "quic/mtu.h"

#include "base/compiler.h"

/* Sizes worth a probe, largest first: jumbo frames, what IPv4 and IPv6 leave of Ethernet's 1,500
 * bytes, common tunnels, IPv6's least. */
static const uint16_t usual_sizes[] = {8972, 8952, 4052, 1472, 1452, 1432, 1400, 1350, 1280};

void mr_mtu_search_init(struct mr_mtu_search *search)
{
    *search = (struct mr_mtu_search){.raise_ns = MR_NEVER};
}

static uint16_t next_target(const struct mr_mtu_search *search, uint32_t mtu)
{
    if (search->high <= mtu + 1 || search->high - mtu <= mtu / MR_MTU_PART)
        return 0;
    if (!search->has_failed)
        return (uint16_t)(search->high - 1);
    for (size_t i = 0; i < MR_COUNT_OF(usual_sizes); i++) {
        if (usual_sizes[i] < search->high && usual_sizes[i] > mtu)
            return usual_sizes[i];
    }
    return (uint16_t)(mtu + (search->high - mtu) / 2);
}

/* Choose the next size; without one the search is complete. */
static bool go_on(struct mr_mtu_search *search, uint32_t mtu, uint64_t now)
{
    search->tries = 0;
    search->target = next_target(search, mtu);
    search->raise_ns = search->target != 0 ? MR_NEVER : now + MR_MTU_RAISE_NS;
    return search->target != 0;
}

bool mr_mtu_search_begin(struct mr_mtu_search *search, uint32_t mtu, uint32_t ceiling, uint64_t now)
{
    search->high = (uint16_t)(MR_MIN(ceiling, (uint32_t)UINT16_MAX - 1) + 1);
    search->has_failed = search->is_in_flight = false; /* a probe that is, was another search's */
    search->large_losses = 0;
    /* A ceiling just above what passes is worth its one probe. */
    search->tries = 0;
    search->target = search->high > mtu + 1 ? (uint16_t)(search->high - 1) : 0;
    search->raise_ns = search->target != 0 ? MR_NEVER : now + MR_MTU_RAISE_NS;
    return search->target != 0;
}

bool mr_mtu_search_acked(struct mr_mtu_search *search, uint32_t mtu, uint64_t now)
{
    search->is_in_flight = false;
    return go_on(search, mtu, now);
}

bool mr_mtu_search_lost(struct mr_mtu_search *search, uint32_t mtu, uint32_t size, uint64_t now)
{
    if (search->target != size)
        return false;
    search->is_in_flight = false;
    if (++search->tries < MR_MTU_PROBES)
        return true;
    search->has_failed = true;
    search->high = search->target;
    return go_on(search, mtu, now);
}

enum mr_mtu_verdict mr_mtu_search_too_big(struct mr_mtu_search *search, uint32_t mtu, uint32_t size,
                                          uint64_t now)
{
    bool is_probed = search->target != 0 && size < search->target;

    if (size < MR_INITIAL_MIN || (size >= mtu && !is_probed))
        return MR_MTU_IGNORED;
    search->high = (uint16_t)(size + 1);
    search->has_failed = false; /* what was said is tried itself */
    if (size < mtu)
        return MR_MTU_SHRUNK;
    go_on(search, mtu, now);
    return MR_MTU_LOWERED;
}

bool mr_mtu_search_large_lost(struct mr_mtu_search *search, uint64_t pn)
{
    if ((int32_t)((uint32_t)pn - search->large_pn) <= 0)
        return false;
    return ++search->large_losses >= MR_MTU_HOLE_LOSSES;
}
