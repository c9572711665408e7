/*
 * quic/departed.h - may the connection of this connection ID live in another shard?
 *
 * A connection that moves away leaves connection IDs behind that its peer may go on using for an
 * idle timeout, and a stateless reset in answer to one would end it.  They are remembered as one
 * bit each, in two halves that take turns:
 *
 *     half 0   [ filled ------------ | kept ------ over ]                     [ filled ..
 *     half 1                         [ filled ------------ | kept ------ over ]
 *
 * A half is emptied and filled anew when its last entry is over, so that each holds what left
 * within at most two lifetimes, however often connections move.  The answer is sometimes yes for a
 * connection ID that never left, as often as bits are set: no reset is sent, and its peer finds out
 * by its own timeout.  It is never no for one that did.
 *
 * Owner: the endpoint; empty when it is all zero but for the key.  Threads: its shard's only.
 * Limits: MR_DEPARTED_BITS; at a thousand moves per idle timeout, each with six connection IDs, at
 * most one in six of all others is taken for departed.
 */
#ifndef MR_QUIC_DEPARTED_H
#define MR_QUIC_DEPARTED_H

#include <stdbool.h>

#include "base/siphash.h"

#define MR_DEPARTED_BITS 65536 /* in each half: 8 KiB */

struct mr_departed_half {
    uint64_t until_ns; /* all of its entries are over; 0: none was ever made */
    uint64_t bits[MR_DEPARTED_BITS / 64];
};

struct mr_departed {
    struct mr_siphash_key key;
    uint32_t filled; /* the half that takes entries */
    struct mr_departed_half half[2];
};

/* Remember `cid`, the first eight bytes of a connection ID, until `until_ns`. */
void mr_departed_add(struct mr_departed *departed, uint64_t cid, uint64_t until_ns, uint64_t now);

/* May `cid` have departed, not longer ago than it is remembered? */
bool mr_departed_may_have(const struct mr_departed *departed, uint64_t cid, uint64_t now);

#endif /* MR_QUIC_DEPARTED_H */
