/*
 * drivers/xdp_queue.h - one queue of an interface as an AF_XDP socket: frames in, frames out.
 *
 *     kernel --> rx ring --> mbufs (copied)            mbufs (copied) --> tx ring --> kernel
 *       ^                      |                          ^                             |
 *       +---- fill ring <------+ at once                  +---- free frames <- completion ring
 *
 * The frames lie in memory of the queue's own, so that neither the place nor the pools of mbufs
 * matter to the kernel.
 *
 * Owner: the port.  Threads: open, close, statistics on the control thread; bursts on one lcore.
 * They make system calls: one for each burst that is sent, and with busy polling one for each burst
 * that is asked for and finds nothing, in which the kernel polls the device.
 * Limits: rings of MR_XDP_RING_MAX frames of at most a page.
 */
#ifndef MR_DRIVERS_XDP_QUEUE_H
#define MR_DRIVERS_XDP_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "base/compiler.h"

struct mr_fault;
struct mr_port_stats;

#define MR_XDP_RING_MAX 8192u
#define MR_XDP_FRAME_MAX                                                                           \
    3840u /* bytes of the largest frame: a page without the kernel's headroom */
#define MR_XDP_FRAME_MTU  (MR_XDP_FRAME_MAX - 18u) /* without Ethernet header and VLAN tag */
#define MR_XDP_BUSY_MAX   1024u                    /* frames of busy polling at a time */
#define MR_XDP_BUSY_MICRO 20 /* as DPDK's driver has it: SO_BUSY_POLL, microseconds */

enum mr_xdp_copies {
    MR_XDP_COPY_AS_DRIVER, /* the device uses our memory where its driver can */
    MR_XDP_COPY_ALWAYS,
    MR_XDP_COPY_NEVER
};

struct mr_xdp_queue_config {
    const char *interface; /* for messages */
    unsigned index;        /* of the interface */
    uint32_t queue;
    uint32_t rx_count; /* frames; rounded up to a power of two, at most MR_XDP_RING_MAX */
    uint32_t tx_count;
    uint32_t frame_max;   /* bytes, <= MR_XDP_FRAME_MAX */
    uint32_t busy_budget; /* frames a busy poll takes at most; 0: none */
    enum mr_xdp_copies copies;
    struct rte_mempool *pool; /* of received frames; borrowed */
};

/* A ring that is shared with the kernel: one side produces, the other consumes. */
struct mr_xdp_ring {
    uint32_t *producer;
    uint32_t *consumer;
    uint32_t *flags;
    void *entries; /* struct xdp_desc, or uint64_t */
    uint32_t mask;
    uint32_t at; /* our side's position */
    void *map;
    size_t map_size;
};

struct mr_xdp_queue {
    int fd;
    bool is_busy_polled;
    bool is_zero_copy;
    int busy_error; /* why the kernel does not poll; 0 */
    uint8_t *frames;
    size_t frames_size;
    uint32_t chunk; /* bytes of a frame's place */
    uint32_t frame_max;
    struct rte_mempool *pool;
    struct mr_xdp_ring rx;
    struct mr_xdp_ring fill;
    struct mr_xdp_ring tx;
    struct mr_xdp_ring completion;
    uint64_t *tx_free; /* places of frames, a stack */
    uint32_t tx_free_count;
    uint64_t rx_packets; /* the lcore's, relaxed */
    uint64_t rx_bytes;
    uint64_t rx_no_buffer;
    uint64_t tx_packets;
    uint64_t tx_bytes;
    uint64_t tx_errors; /* longer than a frame's place */
} MR_ALIGNED(MR_CACHE_LINE);

/* Open a socket on the queue; `queue` is all zero.  False with `fault` set, and nothing held. */
bool mr_xdp_queue_open(struct mr_xdp_queue *queue, const struct mr_xdp_queue_config *config,
                       struct mr_fault *fault);

/* One that was not opened, all zero, is left alone. */
void mr_xdp_queue_close(struct mr_xdp_queue *queue);

/* Take at most `room` frames; the mbufs are the caller's. */
uint16_t mr_xdp_queue_receive(struct mr_xdp_queue *queue, struct rte_mbuf **mbufs_out,
                              uint16_t room);

/* Send frames.  Returns how many were taken, from the first on: those were freed. */
uint16_t mr_xdp_queue_send(struct mr_xdp_queue *queue, struct rte_mbuf **mbufs, uint16_t count);

/* Add what the queue has counted. */
void mr_xdp_queue_add_stats(const struct mr_xdp_queue *queue, struct mr_port_stats *stats);

#endif /* MR_DRIVERS_XDP_QUEUE_H */
