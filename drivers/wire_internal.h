/*
 * drivers/wire_internal.h - what wire.c (making and unmaking) and wire_burst.c (sending and
 * receiving) share.
 *
 * Owner: the wire.  Threads: a struct mr_wire_tx and the struct mr_wire_rx of the same index belong
 * to one lcore.
 */
#ifndef MR_DRIVERS_WIRE_INTERNAL_H
#define MR_DRIVERS_WIRE_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_ring.h>

#include "base/cache_line.h"
#include "base/compiler.h"
#include "drivers/wire.h"
#include "drivers/wire_impair.h"
#include "drivers/wire_rss.h"

/* From one sending queue to one receiving queue. */
struct mr_wire_lane {
    struct rte_ring *forward;
    struct rte_ring *back; /* copy mode: originals on their way home; else NULL */
};

struct mr_wire_tx_counters {
    uint64_t packets;
    uint64_t bytes;
    uint64_t missed; /* no room in the lane: the other side's rx_missed */
    uint64_t lost;
    uint64_t overflowed;
    uint64_t duplicated;
    uint64_t corrupted;
    uint64_t reordered;
};

struct mr_wire_rx_counters {
    uint64_t packets;
    uint64_t bytes;
    uint64_t no_buffer;
    uint64_t overflowed; /* of the delay line: the other side's wire_overflowed */
};

struct mr_wire_tx {
    struct mr_wire_lane *lanes; /* one per receiving queue; those never used have no rings */
    struct mr_wire_lane *own;   /* where frames go without RSS */
    struct mr_impair *impair;   /* NULL: nothing happens to frames */
    struct mr_wire_tx_counters counters;
} MR_ALIGNED(MR_CACHE_LINE);

struct mr_wire_rx {
    struct mr_wire_lane *feeder[MR_PORT_QUEUES_MAX];
    uint16_t feeder_count;
    uint16_t next;            /* feeder to begin with: none starves */
    struct rte_mempool *pool; /* copy mode */
    struct mr_delay delay;
    struct mr_wire_rx_counters counters;
} MR_ALIGNED(MR_CACHE_LINE);

MR_ASSERT_WHOLE_LINES(struct mr_wire_tx);
MR_ASSERT_WHOLE_LINES(struct mr_wire_rx);

struct mr_wire_port {
    struct mr_port port; /* first: a port is an end */
    struct mr_port_ops ops;
    struct mr_wire *wire;
    struct mr_wire_port *peer;
    struct mr_wire_tx *tx;
    struct mr_wire_rx *rx;
    struct mr_wire_lane *lanes; /* of what this end sends */
    struct mr_impair *impairs;
    struct mr_rss *rss; /* of what this end sends; NULL: none */
    bool is_open;
};

struct mr_wire {
    struct mr_wire_port end[MR_WIRE_ENDS];
    uint64_t arrival_flags; /* what received mbufs say of their checksums */
    bool is_copied;
    mr_wire_clock clock;
    void *clock_argument;
    double ns_per_tick;
};

/* The functions of a port that sends and receives as told. */
struct mr_wire_manner {
    bool sends_fully;    /* RSS or impairments */
    bool receives_badly; /* the other side's impairments */
    bool is_copied;
};

/* Set rx_burst and tx_burst. */
void mr_wire_choose_bursts(struct mr_port_ops *ops, const struct mr_wire_manner *manner);

#endif /* MR_DRIVERS_WIRE_INTERNAL_H */
