/*
 * drivers/port.h - ports: where frames come from and go to, behind one small table.
 *
 *     spec                                      the port
 *     tap:NAME[,mac=M]                          a TAP interface, which millrace creates (root)
 *     af_packet:IFACE[,mac=M]                   an existing interface, shared with the kernel
 *                                               (root)
 *     af_xdp:IFACE[,mac=M][,busy_budget=N]      of an existing interface what is ours: the rest
 *         [,zero-copy=yes|no]                   stays the kernel's (root; drivers/xdp_port.h)
 *     memif:role=server|client,socket=PATH      memory shared with another process
 *         [,id=N][,zero-copy=yes|no][,secret=S][,mac=M]
 *     pci:ADDRESS[,mac=M][,tso=auto|yes|no]     a network card, which is ours alone
 *         [,launch=yes|no]                      (drivers/pci.h), and what it is to do
 *         [,rss=random|symmetric]               (drivers/port_offload.h, drivers/port_rss.h)
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

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "base/compiler.h"

struct mr_fault;
struct mr_memif;
struct mr_port;
struct mr_port_loss;
struct mr_port_counter; /* drivers/port_facts.h */

#define MR_PORT_QUEUES_MAX  64
#define MR_PORT_DESCRIPTORS 1024 /* of a queue, when the configuration says 0 */
#define MR_PORT_MTU         1500 /* bytes, when the configuration says 0 */
#define MR_PORT_ADDRESSES   16   /* of a port */
#define MR_PORT_NOTE        160  /* bytes of a text */

struct mr_port_config {
    const char *spec; /* borrowed during the call */
    struct rte_mempool *const
        *rx_pools; /* queue_count of them, borrowed until close; may be one and the same */
    const int32_t *queue_nodes; /* NUMA node of each queue's lcore, -1: unknown; borrowed during the
                                   call; NULL: any */
    uint16_t queue_count;    /* 1..MR_PORT_QUEUES_MAX receive queues and as many transmit queues */
    uint16_t mtu;            /* bytes of an IP packet; 0: MR_PORT_MTU */
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
    bool tx_ipv4_checksum;  /* writes it where RTE_MBUF_F_TX_IP_CKSUM asks */
    bool tx_udp_checksum;   /* writes it where RTE_MBUF_F_TX_UDP_CKSUM asks and the field holds the
                               pseudo-header sum */
    bool rx_checksum;       /* received mbufs carry GOOD, BAD or NONE; else UNKNOWN */
    uint16_t segments_max;  /* buffers of a chain that it makes a datagram of each, where
                               RTE_MBUF_F_TX_UDP_SEG asks; 0: it does not (drivers/port_offload.h) */
    uint64_t launch_flag;   /* of mbufs that leave at a time; 0: it does not look at one */
    uint32_t launch_offset; /* of the time in an mbuf: ticks of mr_port_read_clock(), 64 bits */
    bool is_loopback;       /* what it sends, it receives */
    bool is_vouched;       /* the medium vouches for the data: nobody needs to compute a checksum */
    bool is_memory;        /* the medium is memory, but frames may go on to another: checksums are
                              written, and those received not looked at */
    bool has_partial_sums; /* frames of the local kernel may carry the pseudo-header sum only */
    bool takes_admitted;   /* nothing is ours until mr_port_admit() says so */
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

/* An address that a port takes datagrams for; IPv4 as ::ffff:a.b.c.d. */
struct mr_port_address {
    uint8_t ip[16];
    bool is_shared; /* the kernel has it as well, and answers ARP, neighbour discovery and ping */
};

/* What is ours of the frames of an interface that we share with the kernel. */
struct mr_port_admission {
    uint32_t address_count;
    struct mr_port_address address[MR_PORT_ADDRESSES];
    uint16_t vlan;   /* 0: untagged */
    bool asks_aside; /* our ARP requests come from 0.0.0.0: net_parse.h, is_shared */
    uint64_t open_ports[65536 / 64]; /* UDP: bit p % 64 of word p / 64 */
};

/* How a port that is no Ethernet device does what rte_ethdev does for the others. */
struct mr_port_ops {
    uint16_t (*rx_burst)(struct mr_port *port, uint16_t queue, struct rte_mbuf **mbufs,
                         uint16_t count);
    uint16_t (*tx_burst)(struct mr_port *port, uint16_t queue, struct rte_mbuf **mbufs,
                         uint16_t count);
    void (*stats)(const struct mr_port *port, struct mr_port_stats *stats_out);
    bool (*is_up)(const struct mr_port *port);
    int (*read_clock)(const struct mr_port *port, uint64_t *ticks_out); /* NULL: it has none */
    void (*close)(struct mr_port *port);
    /* NULL: all that arrives is ours. */
    int (*admit)(struct mr_port *port, const struct mr_port_admission *admission,
                 struct mr_fault *fault);
    /* NULL: there is none. */
    int (*rx_fd)(const struct mr_port *port, uint16_t queue);
    /* Counters beside mr_port_stats(), as mr_port_counters() gives them.  NULL: there are none. */
    uint32_t (*counters)(const struct mr_port *port, struct mr_port_counter *counters_out,
                         uint32_t room);
    /* What the port has come to use, for people.  NULL: nothing to say. */
    void (*note)(const struct mr_port *port, char text_out[MR_PORT_NOTE]);
};

struct mr_port {
    const struct mr_port_ops *_Atomic ops; /* of bursts; NULL: an Ethernet device's */
    struct mr_memif *memif;                /* drivers/memif.h; NULL: the port is none */
    struct mr_port_loss *loss; /* datagrams are dropped on purpose (port_loss.h); NULL: they never
                                  were.  The control thread's */
    uint16_t ethdev;           /* DPDK's port id, if it is one */
    int held_fd;               /* kept open while the port is, or -1 */
    struct mr_port_traits traits;
    uint16_t ring_frames;    /* of each queue's ring, if its driver does not say; 0: not known */
    char spec[128];          /* as given, for messages */
    char device[32];         /* DPDK's name of the device, or the interface of a driver of ours */
    bool is_card;            /* hardware, not a device that is made */
    bool has_symmetric_hash; /* of the card's own: port_rss.h */
};

/*
 * Open the port that `config->spec` names; EAL must be running.  NULL with `fault` set: unknown
 * kind, no permission, no such interface, address in use, malformed option.
 */
struct mr_port *mr_port_open(const struct mr_port_config *config, struct mr_fault *fault);

/* Stop the port, free its mbufs and the port.  No lcore may use it any more.  NULL is allowed. */
void mr_port_close(struct mr_port *port);

/* The NUMA node that a card is at; -1: it is none, or the system does not tell. */
int mr_port_node(const struct mr_port *port);

/* Read the counters.  A system call or two; not for an lcore. */
void mr_port_stats(const struct mr_port *port, struct mr_port_stats *stats_out);

/* True if the other side is there: a memif is connected, an interface has a carrier. */
bool mr_port_is_up(const struct mr_port *port);

/* What the port's own clock says, in ticks of whatever length, from whenever on.  0; -errno: it has
 * none. */
int mr_port_read_clock(const struct mr_port *port, uint64_t *ticks_out);

/* A file descriptor that is readable when `queue` may have frames, or -1: it can only be polled. */
int mr_port_rx_fd(const struct mr_port *port, uint16_t queue);

/*
 * Say what is ours of what arrives, from now on; the last call counts.  Nothing is, until the first
 * call, where a port shares its interface with the kernel frame by frame (af_xdp); others take what
 * they get.  0; -errno with `fault` set, and then nothing is ours: E2BIG, too many addresses; what
 * the kernel says.  Control thread.
 */
int mr_port_admit(struct mr_port *port, const struct mr_port_admission *admission,
                  struct mr_fault *fault);

/* Take at most `count` frames; the mbufs are the caller's. */
MR_INLINE uint16_t mr_port_rx_burst(struct mr_port *port, uint16_t queue, struct rte_mbuf **mbufs,
                                    uint16_t count)
{
    /* acquire: pairs with the release in mr_port_lose() */
    const struct mr_port_ops *ops = atomic_load_explicit(&port->ops, memory_order_acquire);

    if (ops == NULL)
        return rte_eth_rx_burst(port->ethdev, queue, mbufs, count);
    return ops->rx_burst(port, queue, mbufs, count);
}

/* Give frames to the port.  Returns how many it took, from the first on; the others stay the
 * caller's, as `mbufs` has them now: losses on purpose may have taken one's first buffer away. */
MR_INLINE uint16_t mr_port_tx_burst(struct mr_port *port, uint16_t queue, struct rte_mbuf **mbufs,
                                    uint16_t count)
{
    /* acquire: pairs with the release in mr_port_lose() */
    const struct mr_port_ops *ops = atomic_load_explicit(&port->ops, memory_order_acquire);

    if (ops == NULL)
        return rte_eth_tx_burst(port->ethdev, queue, mbufs, count);
    return ops->tx_burst(port, queue, mbufs, count);
}

#endif /* MR_DRIVERS_PORT_H */
