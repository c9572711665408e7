/* drivers/wire_burst.c - frames on and off a wire; see wire.h. */
#include <string.h>

#include <rte_cycles.h>

#include "drivers/mbuf_pool.h"
#include "drivers/wire_internal.h"

#define BATCH 64 /* frames handled together inside a burst */

/* One writer per counter. */
static void count(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static uint64_t wire_now(const struct mr_wire *wire)
{
    if (wire->clock != NULL)
        return wire->clock(wire->clock_argument);
    return (uint64_t)((double)rte_rdtsc() * wire->ns_per_tick);
}

/* ---- sending ---- */

/* Free the originals that came home to a sending queue; the pool sees frees of this core only. */
static void reclaim(struct mr_wire_lane *lane)
{
    struct rte_mbuf *home[BATCH];
    uint32_t n;

    if (lane->back == NULL)
        return;
    while ((n = rte_ring_sc_dequeue_burst(lane->back, (void **)home, BATCH, NULL)) > 0)
        rte_pktmbuf_free_bulk(home, n);
}

static void reclaim_all(const struct mr_wire_port *end, uint16_t queue)
{
    for (uint16_t r = 0; r < end->peer->port.traits.queue_count; r++)
        reclaim(&end->tx[queue].lanes[r]);
}

/* The common case: own lane, nothing happens on the way. */
static uint16_t tx_plain(struct mr_port *port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t n)
{
    struct mr_wire_port *end = (struct mr_wire_port *)port;
    struct mr_wire_tx *tx = &end->tx[queue];
    const uint64_t flags = end->wire->arrival_flags;
    uint64_t bytes = 0;

    reclaim(tx->own);
    for (uint16_t i = 0; i < n; i++) {
        mbufs[i]->ol_flags = flags;
        bytes += mbufs[i]->pkt_len;
    }
    uint32_t sent = rte_ring_sp_enqueue_burst(tx->own->forward, (void **)mbufs, n, NULL);
    for (uint32_t i = sent; i < n; i++)
        bytes -= mbufs[i]->pkt_len; /* refused; those before are the receiver's already */
    count(&tx->counters.packets, sent);
    count(&tx->counters.bytes, bytes);
    return (uint16_t)sent;
}

/* Frames gathered for one lane. */
struct batch {
    struct mr_wire_tx *tx;
    struct mr_wire_lane *lane;
    uint32_t count;
    struct rte_mbuf *mbufs[BATCH];
};

static void batch_flush(struct batch *batch)
{
    uint32_t sent;

    if (batch->count == 0)
        return;
    sent =
        rte_ring_sp_enqueue_burst(batch->lane->forward, (void **)batch->mbufs, batch->count, NULL);
    if (sent < batch->count) {
        count(&batch->tx->counters.missed, batch->count - sent);
        rte_pktmbuf_free_bulk(batch->mbufs + sent, batch->count - sent);
    }
    batch->count = 0;
}

static void batch_add(struct batch *batch, struct mr_wire_lane *lane, struct rte_mbuf *mbuf)
{
    if (lane != batch->lane || batch->count == BATCH)
        batch_flush(batch);
    batch->lane = lane;
    batch->mbufs[batch->count++] = mbuf;
}

static void flip_bit(struct rte_mbuf *mbuf, uint32_t bit)
{
    uint32_t bits = mbuf->data_len * 8u; /* of the first segment */

    if (bits > 0)
        rte_pktmbuf_mtod(mbuf, uint8_t *)[bit % bits / 8] ^= (uint8_t)(1u << bit % 8);
}

static void send_duplicate(struct batch *batch, struct mr_wire_lane *lane,
                           const struct rte_mbuf *mbuf, uint64_t due_ns)
{
    struct rte_mbuf *twin = rte_pktmbuf_copy(mbuf, mbuf->pool, 0, UINT32_MAX);

    if (twin == NULL)
        return;
    mr_mbuf_private(twin)->wire_due_ns = due_ns;
    count(&batch->tx->counters.duplicated, 1);
    batch_add(batch, lane, twin);
}

/* Send one frame down a bad line. */
static void send_impaired(struct batch *batch, struct mr_wire_lane *lane, struct rte_mbuf *mbuf,
                          uint64_t now)
{
    struct mr_wire_tx_counters *counters = &batch->tx->counters;
    struct mr_impair_fate fate;
    enum mr_impair_verdict verdict = mr_impair_next(batch->tx->impair, mbuf->pkt_len, now, &fate);

    if (verdict != MR_IMPAIR_DELIVER) {
        count(verdict == MR_IMPAIR_LOST ? &counters->lost : &counters->overflowed, 1);
        rte_pktmbuf_free(mbuf);
        return;
    }

    mr_mbuf_private(mbuf)->wire_due_ns = fate.due_ns;
    if (fate.is_reordered)
        count(&counters->reordered, 1);
    if (fate.has_duplicate)
        send_duplicate(batch, lane, mbuf, fate.duplicate_due_ns);
    if (fate.is_corrupted) {
        count(&counters->corrupted, 1);
        flip_bit(mbuf, fate.flipped_bit);
    }
    batch_add(batch, lane, mbuf);
}

/* The lane that RSS picks. */
static struct mr_wire_lane *scaled_lane(const struct mr_wire_port *end, struct mr_wire_tx *tx,
                                        struct rte_mbuf *mbuf)
{
    uint32_t hash =
        mr_rss_hash_frame(end->rss, rte_pktmbuf_mtod(mbuf, const uint8_t *), mbuf->data_len);

    mbuf->hash.rss = hash;
    mbuf->ol_flags |= RTE_MBUF_F_RX_RSS_HASH;
    return &tx->lanes[mr_rss_queue(end->rss, hash)];
}

/* How many of `n` frames fit.  The count grows while the receiver takes frames: it is read once. */
static uint16_t room_for(const struct rte_ring *ring, uint16_t n)
{
    uint32_t room = rte_ring_free_count(ring);

    return room < n ? (uint16_t)room : n;
}

/* Sending with RSS or impairments.  A lane that RSS finds full loses the frame, as a NIC's queue
 * does. */
static uint16_t tx_full(struct mr_port *port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t n)
{
    struct mr_wire_port *end = (struct mr_wire_port *)port;
    struct mr_wire_tx *tx = &end->tx[queue];
    struct batch batch = {.tx = tx};
    uint64_t now = tx->impair != NULL ? wire_now(end->wire) : 0;
    uint64_t bytes = 0;

    reclaim_all(end, queue);
    if (end->rss == NULL)
        n = room_for(tx->own->forward, n);

    for (uint16_t i = 0; i < n; i++) {
        struct rte_mbuf *mbuf = mbufs[i];

        bytes += mbuf->pkt_len;
        mbuf->ol_flags = end->wire->arrival_flags;
        struct mr_wire_lane *lane = end->rss != NULL ? scaled_lane(end, tx, mbuf) : tx->own;
        if (tx->impair != NULL)
            send_impaired(&batch, lane, mbuf, now);
        else
            batch_add(&batch, lane, mbuf);
    }
    batch_flush(&batch);
    count(&tx->counters.packets, n);
    count(&tx->counters.bytes, bytes);
    return n;
}

/* ---- receiving ---- */

/* Count what arrived, and start to fetch the headers that the caller will read. */
static void arrived(struct mr_wire_rx *rx, struct rte_mbuf **mbufs, uint32_t n)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < n; i++)
        __builtin_prefetch(mbufs[i]);
    for (uint32_t i = 0; i < n; i++) {
        bytes += mbufs[i]->pkt_len;
        __builtin_prefetch(rte_pktmbuf_mtod(mbufs[i], const void *));
    }
    count(&rx->counters.packets, n);
    count(&rx->counters.bytes, bytes);
}

static struct mr_wire_lane *next_feeder(struct mr_wire_rx *rx)
{
    struct mr_wire_lane *lane = rx->feeder[rx->next];

    rx->next = (uint16_t)(rx->next + 1 == rx->feeder_count ? 0 : rx->next + 1);
    return lane;
}

/* Take frames from the queue's lanes, each once at most, beginning with another one each time. */
static uint32_t take(struct mr_wire_rx *rx, struct rte_mbuf **mbufs, uint32_t room)
{
    uint32_t n = 0;

    for (uint16_t i = 0; i < rx->feeder_count && n < room; i++)
        n +=
            rte_ring_sc_dequeue_burst(next_feeder(rx)->forward, (void **)mbufs + n, room - n, NULL);
    return n;
}

static uint16_t rx_reference(struct mr_port *port, uint16_t queue, struct rte_mbuf **mbufs,
                             uint16_t room)
{
    struct mr_wire_rx *rx = &((struct mr_wire_port *)port)->rx[queue];
    uint32_t n = take(rx, mbufs, room);

    if (n > 0)
        arrived(rx, mbufs, n);
    return (uint16_t)n;
}

/* Copy a frame into an mbuf of the receiving queue's pool; NULL: no buffer, or too small a one. */
static struct rte_mbuf *copy_frame(struct mr_wire_rx *rx, const struct rte_mbuf *from)
{
    struct rte_mbuf *to = mr_mbuf_copy_frame(rx->pool, from);

    if (to == NULL)
        count(&rx->counters.no_buffer, 1);
    return to;
}

/* Copy `n` frames of `from` to `to`, without those for which there is no buffer; `from` is still to
 * be freed. */
static uint32_t copy_frames(struct mr_wire_rx *rx, struct rte_mbuf **from, uint32_t n,
                            struct rte_mbuf **to)
{
    uint32_t copied = 0;

    for (uint32_t i = 0; i < n; i++)
        __builtin_prefetch(from[i]);
    for (uint32_t i = 0; i < n; i++) {
        struct rte_mbuf *twin = copy_frame(rx, from[i]);

        if (twin != NULL)
            to[copied++] = twin;
    }
    return copied;
}

static uint16_t rx_copied(struct mr_port *port, uint16_t queue, struct rte_mbuf **mbufs,
                          uint16_t room)
{
    struct mr_wire_port *end = (struct mr_wire_port *)port;
    struct mr_wire_rx *rx = &end->rx[queue];
    uint32_t n = 0;

    reclaim_all(end, queue);
    for (uint16_t i = 0; i < rx->feeder_count && n < room; i++) {
        struct rte_mbuf *originals[BATCH];
        struct mr_wire_lane *lane = next_feeder(rx);
        uint32_t got = rte_ring_sc_dequeue_burst(lane->forward, (void **)originals,
                                                 MR_MIN((uint32_t)BATCH, room - n), NULL);

        if (got == 0)
            continue;
        n += copy_frames(rx, originals, got, mbufs + n);
        uint32_t returned = rte_ring_sp_enqueue_burst(lane->back, (void **)originals, got, NULL);
        if (returned < got)
            rte_pktmbuf_free_bulk(originals + returned, got - returned);
    }
    if (n > 0)
        arrived(rx, mbufs, n);
    return (uint16_t)n;
}

/* Move all that the lanes hold to the delay line. */
static void fill_delay_line(struct mr_wire_rx *rx)
{
    struct rte_mbuf *mbufs[BATCH];
    uint32_t n;

    while ((n = take(rx, mbufs, BATCH)) > 0)
        for (uint32_t i = 0; i < n; i++)
            if (!mr_delay_push(&rx->delay, mbufs[i], mr_mbuf_private(mbufs[i])->wire_due_ns)) {
                count(&rx->counters.overflowed, 1);
                rte_pktmbuf_free(mbufs[i]);
            }
}

static uint16_t rx_impaired(struct mr_port *port, uint16_t queue, struct rte_mbuf **mbufs,
                            uint16_t room)
{
    struct mr_wire_port *end = (struct mr_wire_port *)port;
    struct mr_wire_rx *rx = &end->rx[queue];
    uint64_t now = wire_now(end->wire);
    uint16_t n = 0;

    fill_delay_line(rx);
    while (n < room && (mbufs[n] = mr_delay_pop(&rx->delay, now)) != NULL) {
        struct rte_mbuf *frame = mbufs[n];

        if (end->wire->is_copied) {
            mbufs[n] = copy_frame(rx, frame);
            rte_pktmbuf_free(frame);
        }
        n = (uint16_t)(n + (mbufs[n] != NULL));
    }
    if (n > 0)
        arrived(rx, mbufs, n);
    return n;
}

void mr_wire_choose_bursts(struct mr_port_ops *ops, const struct mr_wire_manner *manner)
{
    ops->tx_burst = manner->sends_fully ? tx_full : tx_plain;
    ops->rx_burst = manner->receives_badly ? rx_impaired
                    : manner->is_copied    ? rx_copied
                                           : rx_reference;
}
