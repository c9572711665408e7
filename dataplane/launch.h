/*
 * dataplane/launch.h - when packets leave, told to a port that looks at the time in an mbuf
 * (SEND_ON_TIMESTAMP).
 *
 *     engine: hold_ns behind now --> in order of departure --> the card's ticks --> mbuf, flag
 *
 * A card has a clock of its own, which counts in ticks of its own and drifts.  The control thread
 * reads both clocks now and then and says how one follows from the other; shards convert.  A card
 * sends a queue's packets in the order in which it got them, so those of a burst are sorted, and
 * one without a time leaves behind those before it.
 *
 * Owner: struct mr_launch_clock, the port's group; struct mr_launch, one shard.  Threads: the
 * clock's writer is the control thread, its readers are shards.
 * Limits: no packet leaves later than MR_LAUNCH_AHEAD_MAX after it was built.
 */
#ifndef MR_DATAPLANE_LAUNCH_H
#define MR_DATAPLANE_LAUNCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "base/fault.h"
#include "dataplane/clock.h"
#include "quic/types.h"

struct mr_outgoing;
struct mr_port;

#define MR_LAUNCH_AHEAD_MAX (200 * MR_US) /* beyond what a pacer asks for */
#define MR_LAUNCH_TRIES     8             /* readings of a clock, of which the quickest counts */
#define MR_LAUNCH_DRIFT_MAX 1000          /* ppm; a clock that is off by more was set */

/* One moment by both clocks. */
struct mr_launch_moment {
    uint64_t ns;
    uint64_t ticks;
};

/* ticks = at.ticks + (ns - at.ns) * rate. */
struct mr_launch_clock {
    _Atomic uint32_t version; /* odd while it is written */
    _Atomic uint64_t at_ns;
    _Atomic uint64_t at_ticks;
    _Atomic uint64_t rate; /* ticks << 32 per ns */
    uint64_t nominal_rate; /* of the first time, the writer's */
    struct mr_launch_moment first;
};

/* Read both clocks.  0; -errno: the port does not tell its own. */
int mr_launch_read(const struct mr_port *port, const struct mr_clock *clock,
                   struct mr_launch_moment *moment_out);

/* Begin, with two moments some ms apart.  False: the port's clock stands, or runs backwards. */
bool mr_launch_clock_init(struct mr_launch_clock *launch, const struct mr_launch_moment *first,
                          const struct mr_launch_moment *second);

/* Follow the port's clock, as it is at `moment`. */
void mr_launch_clock_follow(struct mr_launch_clock *launch, const struct mr_launch_moment *moment);

/* Of a shard. */
struct mr_launch {
    const struct mr_launch_clock *clock; /* borrowed; NULL: packets leave at once */
    uint64_t flag;                       /* of the port's traits */
    uint32_t offset;
    uint64_t last_ns; /* latest departure so far */
};

/* Note in each mbuf when its datagram is to leave; before they become frames. */
void mr_launch_note(const struct mr_launch *launch, struct rte_mbuf **mbufs,
                    const struct mr_outgoing *outgoing, uint32_t count);

/* Sort `count` frames of these by departure, those of a path staying in order, and tell the port
 * when they leave. */
void mr_launch_stamp(struct mr_launch *launch, struct rte_mbuf **frames, uint32_t count,
                     uint64_t now);

#endif /* MR_DATAPLANE_LAUNCH_H */
