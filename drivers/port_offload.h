/*
 * drivers/port_offload.h - what a card is asked to do for what we send, of what its driver offers.
 *
 *     checksums        of IPv4 and UDP                      where offered
 *     segments         one chain of buffers becomes         tso=auto|yes|no
 *                      datagrams of a size (UDP_TSO)
 *     launch times     a packet leaves when its time has    launch=yes|no
 *                      come (SEND_ON_TIMESTAMP)
 *
 *     headers | datagram --> datagram --> datagram     a chain, nb_segs 3, tso_segsz the first's
 *                                                      size; the last may be shorter
 *
 * `auto` takes segmentation where the driver's source was read and does it, and where nothing is
 * lost by it: DPDK calls the flag UDP fragmentation as well, some drivers offer it and send the
 * chain as one frame, and those of ice and iavf give up their vectorised sending for it.
 *
 * Owner: the port's.  Threads: the control thread, before the device is configured.
 * Limits: MR_PORT_SEGMENTS_MAX datagrams in a chain.
 */
#ifndef MR_DRIVERS_PORT_OFFLOAD_H
#define MR_DRIVERS_PORT_OFFLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_ethdev.h>

struct mr_fault;
struct mr_port_traits;

#define MR_PORT_SEGMENTS_MAX    64 /* datagrams in a chain */
#define MR_PORT_SEGMENT_BUFFERS 2  /* that one frame on the wire is read from: headers, data */

enum mr_port_wish {
    MR_PORT_AUTO,
    MR_PORT_YES,
    MR_PORT_NO
};

/* What the port's spec says. */
struct mr_port_wishes {
    enum mr_port_wish segments;
    bool wants_launch;
};

/*
 * Ask for all of it in `conf`, of a device that is not configured yet and has `tx_count`
 * descriptors in a queue, and note in `traits` what it will do.  False with `fault` set: something
 * is wanted that is not offered.
 */
bool mr_port_offload_ask(const struct mr_port_wishes *wishes, const struct rte_eth_dev_info *info,
                         uint16_t tx_count, struct rte_eth_conf *conf,
                         struct mr_port_traits *traits, struct mr_fault *fault);

#endif /* MR_DRIVERS_PORT_OFFLOAD_H */
