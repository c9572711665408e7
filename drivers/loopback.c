/* drivers/loopback.c - see loopback.h. */
#include "drivers/loopback.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_malloc.h>

#include "base/fault.h"
#include "drivers/mbuf_pool.h"

#define MASK (MR_LOOPBACK_FRAMES - 1)

_Static_assert((MR_LOOPBACK_FRAMES & MASK) == 0, "positions wrap by a mask");

struct loop_queue {
    struct rte_mempool *pool; /* received frames come from it */
    uint32_t head;            /* next to receive */
    uint32_t tail;            /* next to send */
    struct mr_port_stats stats;
    struct rte_mbuf *frames[MR_LOOPBACK_FRAMES];
} MR_ALIGNED(MR_CACHE_LINE);

struct loopback {
    struct mr_port port; /* first */
    struct loop_queue queues[];
};

static void count(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static struct loop_queue *queue_of(struct mr_port *port, uint16_t queue)
{
    return &((struct loopback *)port)->queues[queue];
}

static uint16_t loopback_tx(struct mr_port *port, uint16_t queue, struct rte_mbuf **mbufs,
                            uint16_t n)
{
    struct loop_queue *q = queue_of(port, queue);
    uint16_t room = (uint16_t)(MR_LOOPBACK_FRAMES - (q->tail - q->head));
    uint64_t bytes = 0;

    n = MR_MIN(n, room);
    for (uint16_t i = 0; i < n; i++) {
        bytes += mbufs[i]->pkt_len;
        mbufs[i]->ol_flags = RTE_MBUF_F_RX_IP_CKSUM_NONE | RTE_MBUF_F_RX_L4_CKSUM_NONE;
        q->frames[q->tail++ & MASK] = mbufs[i];
    }
    count(&q->stats.tx_packets, n);
    count(&q->stats.tx_bytes, bytes);
    return n;
}

static uint16_t loopback_rx(struct mr_port *port, uint16_t queue, struct rte_mbuf **mbufs,
                            uint16_t room)
{
    struct loop_queue *q = queue_of(port, queue);
    uint64_t bytes = 0;
    uint16_t n = 0;

    while (n < room && q->head != q->tail) {
        struct rte_mbuf *from = q->frames[q->head++ & MASK];

        mbufs[n] = mr_mbuf_copy_frame(q->pool, from);
        rte_pktmbuf_free(from);
        if (mbufs[n] == NULL) {
            count(&q->stats.rx_no_buffer, 1);
            continue;
        }
        bytes += mbufs[n++]->pkt_len;
    }
    count(&q->stats.rx_packets, n);
    count(&q->stats.rx_bytes, bytes);
    return n;
}

static void loopback_stats(const struct mr_port *port, struct mr_port_stats *out)
{
    const struct loopback *l = (const struct loopback *)port;

    for (uint16_t i = 0; i < port->traits.queue_count; i++) {
        const struct mr_port_stats *from = &l->queues[i].stats;

        out->tx_packets += __atomic_load_n(&from->tx_packets, __ATOMIC_RELAXED);
        out->tx_bytes += __atomic_load_n(&from->tx_bytes, __ATOMIC_RELAXED);
        out->rx_packets += __atomic_load_n(&from->rx_packets, __ATOMIC_RELAXED);
        out->rx_bytes += __atomic_load_n(&from->rx_bytes, __ATOMIC_RELAXED);
        out->rx_no_buffer += __atomic_load_n(&from->rx_no_buffer, __ATOMIC_RELAXED);
    }
}

static bool loopback_is_up(const struct mr_port *port)
{
    (void)port;
    return true;
}

static void loopback_close(struct mr_port *port)
{
    for (uint16_t i = 0; i < port->traits.queue_count; i++) {
        struct loop_queue *q = queue_of(port, i);

        while (q->head != q->tail)
            rte_pktmbuf_free(q->frames[q->head++ & MASK]);
    }
    rte_free(port);
}

struct mr_port *mr_loopback_open(const struct mr_port_config *config, struct mr_fault *fault)
{
    static const struct mr_port_ops ops = {.rx_burst = loopback_rx,
                                           .tx_burst = loopback_tx,
                                           .stats = loopback_stats,
                                           .is_up = loopback_is_up,
                                           .close = loopback_close};
    struct loopback *l = rte_zmalloc(
        "loopback", sizeof(*l) + config->queue_count * sizeof(l->queues[0]), MR_CACHE_LINE);

    if (l == NULL) {
        mr_fault_set(fault, ENOMEM,
                     "not enough memory for a loopback's queues: give DPDK more, or use fewer");
        return NULL;
    }
    l->port.ops = &ops;
    l->port.held_fd = -1;
    l->port.traits = (struct mr_port_traits){.kind = "loopback",
                                             .mac = {0x02, 0, 0, 0, 0, 1},
                                             .mtu = config->mtu > 0 ? config->mtu : MR_PORT_MTU,
                                             .queue_count = config->queue_count,
                                             .rx_checksum = true,
                                             .is_loopback = true,
                                             .is_vouched = true};
    snprintf(l->port.spec, sizeof(l->port.spec), "%s", config->spec);
    for (uint16_t i = 0; i < config->queue_count; i++)
        l->queues[i].pool = config->rx_pools[i];
    return &l->port;
}
