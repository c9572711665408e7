/* drivers/port_loss.c - see port_loss.h. */
#include "drivers/port_loss.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <rte_ether.h>
#include <rte_ip.h>

#include "base/cache_line.h"
#include "base/fault.h"
#include "base/random.h"
#include "drivers/port.h"
#include "drivers/port_chain.h"

#define NEVER UINT64_MAX

/* One direction of a queue.  Instead of a die for each datagram there is one for each loss: how
 * many pass before it, which is geometrically distributed. */
struct lane {
    double scale;     /* that `to_pass` was drawn for */
    uint64_t to_pass; /* datagrams before the next one is lost */
    uint64_t seen;    /* relaxed, one writer */
    uint64_t lost;
};

struct lossy_queue {
    MR_ALIGNED(MR_CACHE_LINE) struct mr_random random;
    struct lane rx;
    struct lane tx;
};

struct mr_port_loss {
    struct mr_port_ops ops;          /* the port's bursts go here */
    const struct mr_port_ops *below; /* and from here there; NULL: an Ethernet device */
    struct mr_port_loss_rates rates; /* the control thread's */
    _Atomic double rx_scale;         /* 1 / log(1 - rate) */
    _Atomic double tx_scale;
    struct lossy_queue queues[];
};

/* ------------------------------------------------------------------ dice */

/* The number u in (0, 1) is at or below (1 - rate)^n for log(u) / log(1 - rate) = n datagrams. */
static double scale_of(double rate)
{
    return 1 / log1p(-rate);
}

static uint64_t draw(struct mr_random *random, double scale)
{
    double u = ((double)(mr_random_u64(random) >> 11) + 0.5) * 0x1p-53;
    double pass = log(u) * scale;

    return pass < 0x1p62 ? (uint64_t)pass : NEVER;
}

/* What was drawn for another rate counts no more. */
static void follow(struct lane *lane, _Atomic double *scale, struct mr_random *random)
{
    double wanted = atomic_load_explicit(scale, memory_order_relaxed);

    if (wanted == lane->scale)
        return;
    lane->scale = wanted;
    lane->to_pass = draw(random, wanted);
}

static void count(uint64_t *field, uint64_t n)
{
    __atomic_store_n(field, *field + n, __ATOMIC_RELAXED);
}

static void pass(struct lane *lane, uint64_t datagrams)
{
    lane->to_pass -= lane->to_pass == NEVER ? 0 : datagrams;
    count(&lane->seen, datagrams);
}

/* Lose the next one, which is in this frame.  Returns what is left of that: what comes before the
 * lost one in it has yet to pass. */
static struct rte_mbuf *lose(struct lane *lane, struct mr_random *random, struct rte_mbuf *frame)
{
    uint64_t more = draw(random, lane->scale);
    struct rte_mbuf *left = mr_port_chain_drop(frame, (uint32_t)lane->to_pass);

    count(&lane->seen, 1);
    count(&lane->lost, 1);
    lane->to_pass = more == NEVER ? NEVER : lane->to_pass + more;
    return left;
}

/* ------------------------------------------------------------------ frames */

/* UDP in IPv4 or IPv6, without extension headers: what millrace's peers and itself send. */
static bool is_datagram(const struct rte_mbuf *mbuf)
{
    const struct {
        struct rte_ether_hdr ether;
        struct rte_ipv4_hdr ipv4;
    } *v4 = rte_pktmbuf_mtod(mbuf, const void *);
    const struct {
        struct rte_ether_hdr ether;
        struct rte_ipv6_hdr ipv6;
    } *v6 = rte_pktmbuf_mtod(mbuf, const void *);
    uint32_t size = rte_pktmbuf_data_len(mbuf);

    if (size >= sizeof(*v4) && v4->ether.ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV4))
        return v4->ipv4.next_proto_id == IPPROTO_UDP;
    return size >= sizeof(*v6) && v6->ether.ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV6) &&
           v6->ipv6.proto == IPPROTO_UDP;
}

/* Of a frame: those of a chain (drivers/port_chain.h), one, or none. */
static uint32_t datagrams_of(const struct rte_mbuf *frame)
{
    return is_datagram(frame) ? mr_port_chain_count(frame) : 0;
}

static uint16_t burst_rx(struct mr_port *port, uint16_t queue, struct rte_mbuf **mbufs,
                         uint16_t room)
{
    const struct mr_port_ops *below = port->loss->below;

    return below == NULL ? rte_eth_rx_burst(port->ethdev, queue, mbufs, room)
                         : below->rx_burst(port, queue, mbufs, room);
}

static uint16_t burst_tx(struct mr_port *port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t n)
{
    const struct mr_port_ops *below = port->loss->below;

    return below == NULL ? rte_eth_tx_burst(port->ethdev, queue, mbufs, n)
                         : below->tx_burst(port, queue, mbufs, n);
}

static uint16_t lossy_rx(struct mr_port *port, uint16_t queue, struct rte_mbuf **mbufs,
                         uint16_t room)
{
    struct lossy_queue *q = &port->loss->queues[queue];
    uint16_t n = burst_rx(port, queue, mbufs, room);
    uint16_t kept = 0;

    follow(&q->rx, &port->loss->rx_scale, &q->random);
    for (uint16_t i = 0; i < n; i++) {
        bool counts = is_datagram(mbufs[i]);

        if (counts && q->rx.to_pass == 0) {
            (void)lose(&q->rx, &q->random, mbufs[i]);
            continue;
        }
        pass(&q->rx, counts);
        mbufs[kept++] = mbufs[i];
    }
    return kept;
}

/* How many of `n` frames, at least 0, come before the one in which the next loss is. */
static uint16_t run_of(const struct lane *lane, struct rte_mbuf *const *mbufs, uint16_t n)
{
    uint64_t datagrams = 0;
    uint16_t run = 0;

    while (run < n) {
        uint32_t more = datagrams_of(mbufs[run]);

        if (lane->to_pass - datagrams < more)
            break;
        datagrams += more;
        run++;
    }
    return run;
}

static uint64_t datagrams_in(struct rte_mbuf *const *mbufs, uint16_t n)
{
    uint64_t sum = 0;

    for (uint16_t i = 0; i < n; i++)
        sum += datagrams_of(mbufs[i]);
    return sum;
}

/* Frames that are refused stay the caller's, without what was lost of them: their fate is the same
 * when they come again. */
static uint16_t lossy_tx(struct mr_port *port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t n)
{
    struct lossy_queue *q = &port->loss->queues[queue];
    uint16_t done = 0;

    follow(&q->tx, &port->loss->tx_scale, &q->random);
    while (done < n) {
        uint16_t run = run_of(&q->tx, &mbufs[done], (uint16_t)(n - done));
        uint64_t datagrams = datagrams_in(&mbufs[done], run); /* the driver may free them */
        uint16_t taken = run > 0 ? burst_tx(port, queue, &mbufs[done], run) : 0;

        if (taken < run)
            datagrams -= datagrams_in(&mbufs[done + taken], (uint16_t)(run - taken));
        pass(&q->tx, datagrams);
        done += taken;
        if (taken < run)
            break;
        if (done < n) {
            struct rte_mbuf *left = lose(&q->tx, &q->random, mbufs[done]);

            if (left != NULL)
                mbufs[done] = left;
            else
                done++;
        }
    }
    return done;
}

/* ------------------------------------------------------------------ the control thread */

static struct mr_port_loss *make(const struct mr_port *port)
{
    size_t size =
        sizeof(struct mr_port_loss) + port->traits.queue_count * sizeof(struct lossy_queue);
    struct mr_port_loss *loss =
        aligned_alloc(MR_CACHE_LINE, (size + MR_CACHE_LINE - 1) / MR_CACHE_LINE * MR_CACHE_LINE);
    uint64_t seed[4];

    if (loss == NULL)
        return NULL;
    memset(loss, 0, size);
    loss->below = port->ops;
    loss->ops = (struct mr_port_ops){.rx_burst = lossy_rx, .tx_burst = lossy_tx};
    for (uint16_t i = 0; i < port->traits.queue_count; i++) {
        (void)getrandom(seed, sizeof(seed), 0);
        mr_random_init(&loss->queues[i].random, seed);
    }
    return loss;
}

bool mr_port_lose(struct mr_port *port, const struct mr_port_loss_rates *rates,
                  struct mr_fault *fault)
{
    bool is_first = port->loss == NULL;

    if (is_first)
        port->loss = make(port);
    if (port->loss == NULL) {
        mr_fault_set(fault, ENOMEM, "port %s: not enough memory for losses", port->spec);
        return false;
    }
    port->loss->rates = *rates;
    atomic_store_explicit(&port->loss->rx_scale, scale_of(rates->received), memory_order_relaxed);
    atomic_store_explicit(&port->loss->tx_scale, scale_of(rates->sent), memory_order_relaxed);
    if (is_first) /* release: pairs with the acquire in mr_port_rx_burst() and mr_port_tx_burst() */
        atomic_store_explicit(&port->ops, &port->loss->ops, memory_order_release);
    return true;
}

void mr_port_losses(const struct mr_port *port, struct mr_port_losses *out)
{
    *out = (struct mr_port_losses){0};
    if (port->loss != NULL)
        out->rates = port->loss->rates;
    for (uint16_t i = 0; port->loss != NULL && i < port->traits.queue_count; i++) {
        const struct lossy_queue *q = &port->loss->queues[i];

        out->received += __atomic_load_n(&q->rx.seen, __ATOMIC_RELAXED);
        out->received_lost += __atomic_load_n(&q->rx.lost, __ATOMIC_RELAXED);
        out->sent += __atomic_load_n(&q->tx.seen, __ATOMIC_RELAXED);
        out->sent_lost += __atomic_load_n(&q->tx.lost, __ATOMIC_RELAXED);
    }
}

const struct mr_port_ops *mr_port_own_ops(const struct mr_port *port)
{
    if (port->memif != NULL) /* has bursts of its own, and is a device else */
        return NULL;
    return port->loss != NULL ? port->loss->below : port->ops;
}
