/*
 * drivers/port_loss.h - datagrams that a port drops on purpose, received or to be sent, for
 * measurements under loss.
 *
 *     driver --frames--> [one in so many is dropped] --> shard
 *     driver <---------- [one in so many is dropped] <-- shard, which is told that it was sent
 *
 * Each UDP datagram is dropped with the same probability, whatever became of the others, also out
 * of a chain that a card is to cut up; other frames (ARP, neighbour discovery) are let be.  The
 * losses are put before the port's own bursts when they are first asked for: a port that never had
 * any has the code path it always had.
 *
 * Owner: the port, until it is closed.  Threads: the control thread, while lcores poll or not.
 */
#ifndef MR_DRIVERS_PORT_LOSS_H
#define MR_DRIVERS_PORT_LOSS_H

#include <stdbool.h>
#include <stdint.h>

struct mr_fault;
struct mr_port;
struct mr_port_ops;

/* Parts of the datagrams, 0..1. */
struct mr_port_loss_rates {
    double received;
    double sent;
};

/* Since the first mr_port_lose(); the port's driver knows nothing of the lost sent ones, and has
 * counted the lost received ones as received. */
struct mr_port_losses {
    struct mr_port_loss_rates rates; /* of the last mr_port_lose() */
    uint64_t received;               /* datagrams that came by */
    uint64_t received_lost;
    uint64_t sent; /* likewise, the lost ones among them */
    uint64_t sent_lost;
};

/*
 * Drop such parts from now on; both 0: nothing, though datagrams are counted on.  False with
 * `fault` set: not enough memory.
 */
bool mr_port_lose(struct mr_port *port, const struct mr_port_loss_rates *rates,
                  struct mr_fault *fault);

/* All zero for a port that never had losses. */
void mr_port_losses(const struct mr_port *port, struct mr_port_losses *losses_out);

/* The table of the port's kind, which losses may stand before; NULL: an Ethernet device. */
const struct mr_port_ops *mr_port_own_ops(const struct mr_port *port);

#endif /* MR_DRIVERS_PORT_LOSS_H */
