/*
 * dataplane/io_port.h - a port whose queues are served by threads of its own: the datapath (frames)
 * and QUIC (shards) on separate lcores.
 *
 *     on one lcore (usual)       port <--> shard
 *     on separate ones           port <--> I/O lcore --ring--> shard
 *                                                    <--ring--
 *
 * To shards it is a port with a queue for each of them.  An I/O lcore receives, picks the shard
 * (dataplane/steer.h) and passes the mbuf on, and gives the port what shards send; so what driver
 * and kernel cost is not a shard's time, and a shard need not be where the NIC sends its packets.
 * The price is a hand-over each way.
 *
 *     port queue 0 <--> I/O lcore 0 <==> shard 0, 1, 2, ...      each <==> is two rings
 *     port queue 1 <--> I/O lcore 1 <==> shard 0, 1, 2, ...      shard s sends through s % lcores
 *
 * Owner: as any port's (drivers/port.h).  Threads: queue s is shard s's; lane k's main is one
 * thread's.
 * Limits: MR_IO_RING frames in each ring.  One that a full ring has no room for is dropped, counted
 * as rx_missed; to a full sending ring a shard gives its frames later, as to a port.
 */
#ifndef MR_DATAPLANE_IO_PORT_H
#define MR_DATAPLANE_IO_PORT_H

#include "base/fault.h"
#include "dataplane/shard.h"
#include "drivers/port.h"
#include "quic/cid.h"

#define MR_IO_LCORES_MAX 8
#define MR_IO_RING       1024 /* frames */

struct mr_io_port_config {
    struct mr_port *port; /* becomes the new port's; its queues are the I/O lcores */
    uint32_t shard_count;
    struct mr_cid_format cid; /* of any shard */
    enum mr_polling polling;
};

/* NULL with `fault` set, and `port` still the caller's: not enough memory. */
struct mr_port *mr_io_port_open(const struct mr_io_port_config *config, struct mr_fault *fault);

/* Move frames until mr_io_port_stop(); `lane` is of mr_io_port_lane().  For mr_eal_launch().
 * Returns 0. */
int mr_io_lane_main(void *lane);
/* One turn of it, for a thread that has other work: at most a burst each way.  Afterwards, once the
 * port was stopped, the same thread or a later one calls mr_io_lane_main() for what is left. */
void mr_io_lane_turn(void *lane);
void *mr_io_port_lane(struct mr_port *io_port, uint32_t index);

/* Once the shards send no more: what they sent goes out, then the lanes' mains return. */
void mr_io_port_stop(struct mr_port *io_port);

/* Written by I/O lcores, read by anyone, relaxed. */
struct mr_io_stats {
    uint64_t loops;
    uint64_t busy_loops;  /* that moved something */
    uint64_t busy_cycles; /* TSC cycles of those */
    uint64_t frames_in;   /* passed on to shards */
    uint64_t frames_out;  /* given to the port */
    uint64_t dropped;     /* a shard's ring was full */
    uint64_t tx_refused;  /* bursts that the port did not take whole */
    uint64_t sleeps;
};

/* Sums over the I/O lcores. */
void mr_io_port_stats(const struct mr_port *io_port, struct mr_io_stats *stats_out);

#endif /* MR_DATAPLANE_IO_PORT_H */
