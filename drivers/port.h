/*
 * drivers/port.h - ports: where frames come from and go to, behind one small table.
 *
 *     spec                                      the port
 *     tap:NAME[,mac=M]                          a TAP interface, which millrace creates (root)
 *     af_packet:IFACE[,mac=M]                   an existing interface, shared with the kernel
 *                                               (root)
 *     memif:role=server|client,socket=PATH      memory shared with another process
 *         [,id=N][,zero-copy=yes|no][,secret=S][,mac=M]
 *     pci:ADDRESS[,mac=M]                       a network card, which is ours alone (drivers/pci.h)
 *     loopback                                  what is sent comes back: applications of one
 *                                               machine
 *     -                                         rings to a port in this process: drivers/wire.h
 *
 * A port is a DPDK Ethernet device, called directly, or a wire's end, called through its table.
 * The mbufs come from pools made by mr_mbuf_pool_create() (drivers/mbuf_pool.h).
 *
 * Owner: whoever opened it.  Threads: open, close and statistics on one control thread; queue i's
 * bursts, receiving and sending, on one lcore; queues of a port are independent of each other.
 * Limits: MR_PORT_QUEUES_MAX queues.
 */
#ifndef MR_DRIVERS_PORT_H
#define MR_DRIVERS_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "base/compiler.h"

struct mr_fault;
struct mr_port;

#define MR_PORT_QUEUES_MAX  64
#define MR_PORT_DESCRIPTORS 1024 /* of a queue, when the configuration says 0 */
#define MR_PORT_MTU         1500 /* bytes, when the configuration says 0 */

struct mr_port_config {
    const char *spec; /* borrowed during the call */
    struct rte_mempool *const
        *rx_pools;        /* queue_count of them, borrowed until close; may be one and the same */
    uint16_t queue_count; /* 1..MR_PORT_QUEUES_MAX receive queues and as many transmit queues */
    uint16_t mtu;         /* bytes of an IP packet; 0: MR_PORT_MTU */
    uint16_t rx_descriptors; /* per queue; 0: MR_PORT_DESCRIPTORS */
    uint16_t tx_descriptors;
    bool wants_rx_fd; /* make mr_port_rx_fd() work where the kind can */
};

/* What a port is and can do; constant while it is open. */
struct mr_port_traits {
    const char *kind; /* "tap", "af_packet", ... */
    uint8_t mac[6];
    uint16_t mtu; /* bytes of the largest IP packet */
    uint16_t queue_count;
    bool tx_ipv4_checksum; /* writes it where RTE_MBUF_F_TX_IP_CKSUM asks */
    bool tx_udp_checksum;  /* writes it where RTE_MBUF_F_TX_UDP_CKSUM asks and the field holds the
                              pseudo-header sum */
    bool rx_checksum;      /* received mbufs carry GOOD, BAD or NONE; else UNKNOWN */
    bool is_loopback;      /* what it sends, it receives */
    bool is_vouched;       /* the medium vouches for the data: nobody needs to compute a checksum */
    bool has_partial_sums; /* frames of the local kernel may carry the pseudo-header sum only */
    bool polls_without_call; /* polling an idle queue makes no system call */
    bool has_rx_fd;
};

/* Counted since open.  Frames and their bytes without FCS. */
struct mr_port_stats {
    uint64_t rx_packets;
    uint64_t rx_bytes;
    uint64_t rx_missed;    /* no room in the receive queue */
    uint64_t rx_no_buffer; /* no mbuf to receive into */
    uint64_t rx_errors;
    uint64_t tx_packets;
    uint64_t tx_bytes;
    uint64_t tx_errors;
    uint64_t wire_lost;       /* by the impairments of a wire, in this port's sending direction */
    uint64_t wire_overflowed; /* its rate limiter's queue, or its delay line, was full */
    uint64_t wire_duplicated;
    uint64_t wire_corrupted;
    uint64_t wire_reordered;
};

/* How a port that is no Ethernet device does what rte_ethdev does for the others. */
struct mr_port_ops {
    uint16_t (*rx_burst)(struct mr_port *port, uint16_t queue, struct rte_mbuf **mbufs,
                         uint16_t count);
    uint16_t (*tx_burst)(struct mr_port *port, uint16_t queue, struct rte_mbuf **mbufs,
                         uint16_t count);
    void (*stats)(const struct mr_port *port, struct mr_port_stats *stats_out);
    bool (*is_up)(const struct mr_port *port);
    void (*close)(struct mr_port *port);
};

struct mr_port {
    const struct mr_port_ops *ops; /* NULL: an Ethernet device */
    uint16_t ethdev;               /* DPDK's port id, if it is one */
    int held_fd;                   /* kept open while the port is, or -1 */
    struct mr_port_traits traits;
    char spec[128];  /* as given, for messages */
    char device[32]; /* DPDK's name of the device */
    bool is_card;    /* hardware, not a device that is made */
};

/*
 * Open the port that `config->spec` names; EAL must be running.  NULL with `fault` set: unknown
 * kind, no permission, no such interface, address in use, malformed option.
 */
struct mr_port *mr_port_open(const struct mr_port_config *config, struct mr_fault *fault);

/* Stop the port, free its mbufs and the port.  No lcore may use it any more.  NULL is allowed. */
void mr_port_close(struct mr_port *port);

/* Read the counters.  A system call or two; not for an lcore. */
void mr_port_stats(const struct mr_port *port, struct mr_port_stats *stats_out);

/* True if the other side is there: a memif is connected, an interface has a carrier. */
bool mr_port_is_up(const struct mr_port *port);

/* A file descriptor that is readable when `queue` may have frames, or -1: it can only be polled. */
int mr_port_rx_fd(const struct mr_port *port, uint16_t queue);

/* Take at most `count` frames; the mbufs are the caller's. */
MR_INLINE uint16_t mr_port_rx_burst(struct mr_port *port, uint16_t queue, struct rte_mbuf **mbufs,
                                    uint16_t count)
{
    if (port->ops == NULL)
        return rte_eth_rx_burst(port->ethdev, queue, mbufs, count);
    return port->ops->rx_burst(port, queue, mbufs, count);
}

/* Give frames to the port.  Returns how many it took, from the first on; the others stay the
 * caller's. */
MR_INLINE uint16_t mr_port_tx_burst(struct mr_port *port, uint16_t queue, struct rte_mbuf **mbufs,
                                    uint16_t count)
{
    if (port->ops == NULL)
        return rte_eth_tx_burst(port->ethdev, queue, mbufs, count);
    return port->ops->tx_burst(port, queue, mbufs, count);
}

#endif /* MR_DRIVERS_PORT_H */
