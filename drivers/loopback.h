/*
 * drivers/loopback.h - a port that receives what it sends: QUIC between applications of one
 * datapath, without a network.
 *
 *     queue i:  tx burst --> FIFO --copied, as by a NIC--> rx burst of the same queue
 *
 * Frames are copied into the receiving queue's pool when they are received, so that the sender's
 * buffers come home at once.
 *
 * Owner: whoever opened it.  Threads: as of any port: a queue belongs to one lcore.
 * Limits: MR_LOOPBACK_FRAMES frames in a queue; more are refused, as by any full transmit queue.
 */
#ifndef MR_DRIVERS_LOOPBACK_H
#define MR_DRIVERS_LOOPBACK_H

#include "drivers/port.h"

#define MR_LOOPBACK_FRAMES 1024 /* a power of two */

/* Make one; for mr_port_open().  NULL with `fault` set: out of memory. */
struct mr_port *mr_loopback_open(const struct mr_port_config *config, struct mr_fault *fault);

#endif /* MR_DRIVERS_LOOPBACK_H */
