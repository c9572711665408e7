/*
 * drivers/memif_relay.h - stands between DPDK's memif driver and its other side, as far as words
 * go, and keeps lcores out of the driver while it maps or unmaps what they share.
 *
 *     other side <--- the socket of the spec ---> relay <--- a socket of ours ---> driver
 *                                                   |
 *     other side <============ shared memory =======|==== gate ==== lcores
 *                                               open, closed
 *
 * DPDK's driver unmaps the memory of a connection in its interrupt thread as soon as its socket
 * says that the other side is gone, without a lock against lcores that copy out of it, or against
 * the thread that closes the device (memif_disconnect(), the same in DPDK 22.11 and 26.07).  So the
 * socket says that when the relay has closed the gate, which is open between the driver's two
 * words CONNECTED and the end.  The driver closes its end of the socket after all else: then the
 * relay knows that it has finished.
 *
 * A server's driver is killed by one who connects and leaves before it was greeted (it forgets an
 * interrupt handler): the relay leaves when it was.
 *
 * The driver does not notice a client with fewer queues than it has: it polls rings that lead to
 * nowhere, or where an earlier client had some.  So the relay counts, and refuses who has another
 * number of them, with a reason that the other side hears and that a server logs.  A client that a
 * server refuses knows why.
 *
 * Owner: the port.  Threads: one of its own; start and stop are the control thread's.  Limits:
 * LINKS connections at a time; others wait for one of them to end.
 */
#ifndef MR_DRIVERS_MEMIF_RELAY_H
#define MR_DRIVERS_MEMIF_RELAY_H

#include <stdbool.h>
#include <stdint.h>

struct mr_fault;
struct mr_memif_relay;
struct mr_port_gate;

struct mr_memif_relay_config {
    const char *peer;   /* the socket of the spec: a path, or '@' and an abstract name; shorter than
                           MR_UNIX_NAME_MAX */
    const char *driver; /* the driver's socket, likewise, that nobody else can connect to */
    bool is_server;     /* the other side connects to us, and we to the driver; else both the other
                           way round */
    uint16_t queue_count;      /* of the driver, each way; at most MR_PORT_GATE_QUEUES */
    struct mr_port_gate *gate; /* closed; borrowed until the stop, and closed by it */
    /* Does the driver have its memory mapped?  Called by the relay's thread. */
    bool (*is_mapped)(const void *context);
    /* The gate is about to open, or was closed and the driver does not know it yet: it has all that
     * it has counted.  Called by the relay's thread. */
    void (*turn)(void *context, bool opens);
    void *context;
};

/*
 * Listen, and begin to relay.  A client's driver connects afterwards; a server's listens already.
 * The texts are copied.  NULL with `fault` set.
 */
struct mr_memif_relay *mr_memif_relay_start(const struct mr_memif_relay_config *config,
                                            struct mr_fault *fault);

/* Why there is no connection, in a client: what the server has said, or what we have against it.
 * NULL: nothing is known; else valid until the stop. */
const char *mr_memif_relay_refusal(const struct mr_memif_relay *relay);

/* Part the two sides.  When it returns the driver is done with the other side, unless it has hung
 * for 5 s, and hears of it no more.  NULL is allowed. */
void mr_memif_relay_stop(struct mr_memif_relay *relay);

#endif /* MR_DRIVERS_MEMIF_RELAY_H */
