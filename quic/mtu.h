/*
 * quic/mtu.h - the search for the largest datagram that a path lets through (RFC 8899: DPLPMTUD;
 * RFC 9000, Section 14.3), as a value.
 *
 *     BASE 1200 --handshake--> SEARCHING --nothing worth a probe is left--> COMPLETE
 *       ^                        |  ^                                          |
 *       |    black hole          |  +-------------- 10 minutes ----------------+
 *       +------------------------+---------------- black hole, too big --------+
 *
 * The base is what a handshake has proved (RFC 9000, Section 14.1: its Initials have 1,200 bytes).
 * Sizes are bytes of UDP payload.  Known are `mtu`, which passes, and `high`, which does not, or is
 * above what either end takes.  The largest is tried first, then what Ethernet and common tunnels
 * let through, then the middle, until the two are within a part in 32.  A size is given up after
 * MR_MTU_PROBES losses.
 *
 * Values only: nothing allocates or fails.
 * Owner: the connection that embeds it.  Threads: the shard's only.
 */
#ifndef MR_QUIC_MTU_H
#define MR_QUIC_MTU_H

#include <stdbool.h>
#include <stdint.h>

#include "quic/types.h"

#define MR_MTU_PROBES      3                 /* MAX_PROBES, RFC 8899, Section 5.1.2 */
#define MR_MTU_RAISE_NS    (600 * MR_SECOND) /* PMTU_RAISE_TIMER, Section 5.1.1 */
#define MR_MTU_HOLE_PTOS   2                 /* in a row: a black hole, or all is lost */
#define MR_MTU_HOLE_LOSSES 10                /* large packets in a row, while small ones arrive */
#define MR_MTU_PART        32                /* the search ends within such a part of the size */

struct mr_mtu_search {
    uint64_t raise_ns;    /* search again then; MR_NEVER: while a search runs */
    uint32_t large_pn;    /* low bits of the newest large packet that was acknowledged */
    uint16_t target;      /* size being probed; 0: none */
    uint16_t high;        /* this size and more do not pass */
    uint8_t tries;        /* probes of `target` that were lost */
    uint8_t large_losses; /* large packets newer than large_pn that were lost */
    bool has_failed;      /* a size was given up in this search */
    bool is_in_flight;    /* a probe is */
};

_Static_assert(sizeof(struct mr_mtu_search) <= 24, "one per connection");

/* Nothing is searched for. */
void mr_mtu_search_init(struct mr_mtu_search *search);

/* Begin a search above `mtu` up to `ceiling`, both included.  True: `target` is to be probed. */
bool mr_mtu_search_begin(struct mr_mtu_search *search, uint32_t mtu, uint32_t ceiling,
                         uint64_t now);

/* A probe of `size`, which is `mtu` now, was acknowledged.  True: probe `target`. */
bool mr_mtu_search_acked(struct mr_mtu_search *search, uint32_t mtu, uint64_t now);

/* A probe of `size` was lost.  True: probe `target`. */
bool mr_mtu_search_lost(struct mr_mtu_search *search, uint32_t mtu, uint32_t size, uint64_t now);

/* What the network says about a packet being too big means. */
enum mr_mtu_verdict {
    MR_MTU_IGNORED, /* impossible, or known */
    MR_MTU_LOWERED, /* the search goes on below: probe `target`, if it is not 0 */
    MR_MTU_SHRUNK   /* not even `mtu` passes: fall to the base, and search up to what was said */
};

/*
 * The network says that nothing above `size` passes (RFC 8899, Section 4.6.2).  Below
 * MR_INITIAL_MIN it is ignored (RFC 9000, Section 14.2.1).
 */
enum mr_mtu_verdict mr_mtu_search_too_big(struct mr_mtu_search *search, uint32_t mtu, uint32_t size,
                                          uint64_t now);

/* A packet above the base, number `pn`, was acknowledged, or lost.  The latter true: a black hole.
 */
static inline void mr_mtu_search_large_acked(struct mr_mtu_search *search, uint64_t pn)
{
    if ((int32_t)((uint32_t)pn - search->large_pn) > 0)
        search->large_pn = (uint32_t)pn;
    search->large_losses = 0;
}
bool mr_mtu_search_large_lost(struct mr_mtu_search *search, uint64_t pn);

#endif /* MR_QUIC_MTU_H */
