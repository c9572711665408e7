/*
 * drivers/memif.h - what a memif port has beside DPDK's device: a relay for its socket, and a gate
 * for its lcores (drivers/memif_relay.h).
 *
 * Owner: the port.  Threads: the control thread, but for the port's bursts.
 */
#ifndef MR_DRIVERS_MEMIF_H
#define MR_DRIVERS_MEMIF_H

#include <stdbool.h>

#include <stdint.h>

#include "drivers/unix_socket.h"

struct mr_fault;
struct mr_port;
struct rte_eth_stats;
struct rte_eth_xstat;

/* Where both speak. */
struct mr_memif_sockets {
    char peer[MR_UNIX_NAME_MAX];   /* of the spec; "": the port is no memif */
    char driver[MR_UNIX_NAME_MAX]; /* in a folder that nobody else may enter */
    bool is_server;
};

/* Name a socket for the driver, and make the folder for it.  False with `fault` set. */
bool mr_memif_name_driver(struct mr_memif_sockets *sockets, struct mr_fault *fault);

/*
 * Begin to relay for `port`, whose device is made and not started yet, with so many queues, and put
 * the gate before its bursts.  False with `fault` set.
 */
bool mr_memif_start(struct mr_port *port, const struct mr_memif_sockets *sockets,
                    uint16_t queue_count, struct mr_fault *fault);

/* Part from the other side; the device can be stopped then, and has no bursts any more.  Nothing
 * happens to a port that is no memif, or not started. */
void mr_memif_stop(struct mr_port *port);

/* Remove the drivers' folder unless there is something in it: after a device is closed, or has
 * connected as a client. */
void mr_memif_leave_folder(void);

/* Do lcores get through?  `port` is a started memif. */
bool mr_memif_is_up(const struct mr_port *port);

/* As mr_memif_relay_refusal(). */
const char *mr_memif_refusal(const struct mr_port *port);

/* As rte_eth_stats_get() and rte_eth_xstats_get(), since the port was opened and not only since the
 * other side has come. */
void mr_memif_stats(const struct mr_port *port, struct rte_eth_stats *stats_out);
int mr_memif_values(const struct mr_port *port, struct rte_eth_xstat *values_out, unsigned room);

#endif /* MR_DRIVERS_MEMIF_H */
