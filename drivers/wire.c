/* drivers/wire.c - making and unmaking a wire; see wire.h. */
#include "drivers/wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_malloc.h>

#include "base/assert.h"
#include "base/fault.h"
#include "base/random.h"
#include "drivers/wire_internal.h"

static uint64_t read_counter(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* ---- statistics, state ---- */

static void wire_stats(const struct mr_port *port, struct mr_port_stats *out)
{
    const struct mr_wire_port *end = (const struct mr_wire_port *)port;

    for (uint16_t q = 0; q < port->traits.queue_count; q++) {
        const struct mr_wire_tx_counters *tx = &end->tx[q].counters;
        const struct mr_wire_rx_counters *rx = &end->rx[q].counters;

        out->tx_packets += read_counter(&tx->packets);
        out->tx_bytes += read_counter(&tx->bytes);
        out->wire_lost += read_counter(&tx->lost);
        out->wire_overflowed += read_counter(&tx->overflowed);
        out->wire_duplicated += read_counter(&tx->duplicated);
        out->wire_corrupted += read_counter(&tx->corrupted);
        out->wire_reordered += read_counter(&tx->reordered);
        out->rx_packets += read_counter(&rx->packets);
        out->rx_bytes += read_counter(&rx->bytes);
        out->rx_no_buffer += read_counter(&rx->no_buffer);
    }
    for (uint16_t q = 0; q < end->peer->port.traits.queue_count; q++) {
        out->rx_missed += read_counter(&end->peer->tx[q].counters.missed);
        out->wire_overflowed += read_counter(&end->peer->rx[q].counters.overflowed);
    }
}

static bool wire_is_up(const struct mr_port *port)
{
    return ((const struct mr_wire_port *)port)->peer->is_open;
}

/* ---- making and unmaking ---- */

static void drain_ring(struct rte_ring *ring)
{
    struct rte_mbuf *mbuf;

    while (ring != NULL && rte_ring_sc_dequeue(ring, (void **)&mbuf) == 0)
        rte_pktmbuf_free(mbuf);
    rte_free(ring);
}

static void end_free(struct mr_wire_port *end)
{
    uint32_t lanes = (uint32_t)end->port.traits.queue_count * end->peer->port.traits.queue_count;
    struct rte_mbuf *mbuf;

    for (uint32_t i = 0; end->lanes != NULL && i < lanes; i++) {
        drain_ring(end->lanes[i].forward);
        drain_ring(end->lanes[i].back);
    }
    for (uint16_t q = 0; end->rx != NULL && q < end->port.traits.queue_count; q++) {
        while ((mbuf = mr_delay_pop(&end->rx[q].delay, UINT64_MAX)) != NULL)
            rte_pktmbuf_free(mbuf);
        rte_free(end->rx[q].delay.heap);
    }
    rte_free(end->lanes);
    rte_free(end->tx);
    rte_free(end->rx);
    rte_free(end->impairs);
    rte_free(end->rss);
}

static void wire_free(struct mr_wire *wire)
{
    end_free(&wire->end[0]);
    end_free(&wire->end[1]);
    rte_free(wire);
}

static void wire_close(struct mr_port *port)
{
    struct mr_wire_port *end = (struct mr_wire_port *)port;

    MR_ASSERT(end->is_open);
    end->is_open = false;
    if (!end->peer->is_open)
        wire_free(end->wire);
}

static struct rte_ring *ring_new(uint32_t frames)
{
    uint32_t slots = rte_align32pow2(frames + 1);
    ssize_t size = rte_ring_get_memsize(slots);
    struct rte_ring *ring = size < 0 ? NULL : rte_zmalloc("wire ring", (size_t)size, MR_CACHE_LINE);

    if (ring != NULL &&
        rte_ring_init(ring, "wire", frames, RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ) != 0) {
        rte_free(ring);
        return NULL;
    }
    return ring;
}

/* Join a sending to a receiving queue. */
static bool lane_open(struct mr_wire_lane *lane, struct mr_wire_rx *rx,
                      const struct mr_wire_config *config)
{
    uint32_t frames = config->ring_count > 0 ? config->ring_count : MR_WIRE_RING_COUNT;

    lane->forward = ring_new(frames);
    /* Twice the frames: those in the forward ring, and those sent since the sender last reclaimed.
     */
    lane->back = config->is_copied ? ring_new(2 * frames) : NULL;
    rx->feeder[rx->feeder_count++] = lane;
    return lane->forward != NULL && (lane->back != NULL || !config->is_copied);
}

static bool lanes_open(struct mr_wire_port *end, const struct mr_wire_config *config)
{
    uint16_t senders = end->port.traits.queue_count;
    uint16_t receivers = end->peer->port.traits.queue_count;

    for (uint16_t t = 0; t < senders; t++) {
        struct mr_wire_tx *tx = &end->tx[t];

        tx->lanes = &end->lanes[(uint32_t)t * receivers];
        tx->own = &tx->lanes[t % receivers];
        for (uint16_t r = 0; r < receivers; r++)
            if ((config->has_rss || r == t % receivers) &&
                !lane_open(&tx->lanes[r], &end->peer->rx[r], config))
                return false;
    }
    return true;
}

static bool impairs_open(struct mr_wire_port *end, const struct mr_wire_config *config,
                         uint32_t side)
{
    uint16_t senders = end->port.traits.queue_count;
    uint16_t receivers = end->peer->port.traits.queue_count;
    uint32_t held = config->held_max > 0 ? config->held_max : MR_WIRE_HELD_MAX;
    const struct mr_wire_impairment *what = &config->side[side].impairment;

    if (!mr_impairment_is_any(what))
        return true;
    end->impairs = rte_zmalloc("wire impair", senders * sizeof(*end->impairs), MR_CACHE_LINE);
    if (end->impairs == NULL)
        return false;
    for (uint16_t t = 0; t < senders; t++) {
        end->tx[t].impair = &end->impairs[t];
        mr_impair_init(&end->impairs[t], what, senders, config->seed + ((uint64_t)side << 32) + t);
    }
    for (uint16_t r = 0; r < receivers; r++) {
        struct mr_delayed *heap = rte_malloc("wire delay", held * sizeof(*heap), MR_CACHE_LINE);

        if (heap == NULL)
            return false;
        mr_delay_init(&end->peer->rx[r].delay, heap, held);
    }
    return true;
}

static bool rss_open(struct mr_wire_port *end, const struct mr_wire_config *config)
{
    static const uint8_t none[MR_RSS_KEY_SIZE];
    uint8_t key[MR_RSS_KEY_SIZE];
    struct mr_random random;

    if (!config->has_rss)
        return true;
    end->rss = rte_zmalloc("wire rss", sizeof(*end->rss), MR_CACHE_LINE);
    if (end->rss == NULL)
        return false;
    memcpy(key, config->rss_key, sizeof(key));
    if (memcmp(key, none, sizeof(key)) == 0) {
        mr_random_init_number(&random, config->seed);
        mr_random_fill(&random, key, sizeof(key));
    }
    mr_rss_init(end->rss, key, end->peer->port.traits.queue_count);
    return true;
}

/* No more is done per frame than this end and its peer ask for. */
static void choose_ops(struct mr_wire_port *end, const struct mr_wire_config *config, uint32_t side)
{
    struct mr_wire_manner manner = {
        .sends_fully = config->has_rss || mr_impairment_is_any(&config->side[side].impairment),
        .receives_badly = mr_impairment_is_any(&config->side[1 - side].impairment),
        .is_copied = config->is_copied,
    };

    end->ops = (struct mr_port_ops){.stats = wire_stats, .is_up = wire_is_up, .close = wire_close};
    mr_wire_choose_bursts(&end->ops, &manner);
    end->port.ops = &end->ops;
}

static void end_init(struct mr_wire *wire, const struct mr_wire_config *config, uint32_t side)
{
    static const uint8_t none[6];
    const struct mr_wire_side *from = &config->side[side];
    struct mr_wire_port *end = &wire->end[side];
    struct mr_port_traits *traits = &end->port.traits;

    end->wire = wire;
    end->peer = &wire->end[1 - side];
    *traits = (struct mr_port_traits){
        .kind = "wire",
        .mac = {0x02, 0, 0, 0, 0, (uint8_t)(side + 1)},
        .mtu = config->mtu > 0 ? config->mtu : MR_PORT_MTU,
        .queue_count = from->queue_count,
        .rx_checksum = !config->needs_checksum,
        .is_vouched = !config->needs_checksum,
    };
    if (memcmp(from->mac, none, sizeof(none)) != 0)
        memcpy(traits->mac, from->mac, sizeof(traits->mac));
    snprintf(end->port.spec, sizeof(end->port.spec), "wire (end %u)", side);
    choose_ops(end, config, side);
}

static bool end_alloc(struct mr_wire_port *end, const struct mr_wire_config *config, uint32_t side)
{
    uint16_t queues = end->port.traits.queue_count;
    uint32_t lanes = (uint32_t)queues * end->peer->port.traits.queue_count;

    end->tx = rte_zmalloc("wire tx", queues * sizeof(*end->tx), MR_CACHE_LINE);
    end->rx = rte_zmalloc("wire rx", queues * sizeof(*end->rx), MR_CACHE_LINE);
    end->lanes = rte_zmalloc("wire lanes", lanes * sizeof(*end->lanes), MR_CACHE_LINE);
    if (end->tx == NULL || end->rx == NULL || end->lanes == NULL)
        return false;
    for (uint16_t q = 0; q < queues; q++)
        end->rx[q].pool = config->is_copied ? config->side[side].rx_pools[q] : NULL;
    return true;
}

static bool config_check(const struct mr_wire_config *config, struct mr_fault *fault)
{
    for (uint32_t side = 0; side < MR_WIRE_ENDS; side++) {
        const struct mr_wire_side *end = &config->side[side];

        if (end->queue_count == 0 || end->queue_count > MR_PORT_QUEUES_MAX) {
            mr_fault_set(fault, EINVAL, "a wire's end has 1 to %d queues, not %u",
                         MR_PORT_QUEUES_MAX, end->queue_count);
            return false;
        }
        if (config->is_copied && end->rx_pools == NULL) {
            mr_fault_set(fault, EINVAL, "a wire that copies needs pools of buffers to copy into");
            return false;
        }
    }
    return true;
}

static bool wire_build(struct mr_wire *wire, const struct mr_wire_config *config)
{
    struct mr_wire_port *a = &wire->end[0];
    struct mr_wire_port *b = &wire->end[1];

    return end_alloc(a, config, 0) && end_alloc(b, config, 1) && lanes_open(a, config) &&
           lanes_open(b, config) && impairs_open(a, config, 0) && impairs_open(b, config, 1) &&
           rss_open(a, config) && rss_open(b, config);
}

bool mr_wire_open(const struct mr_wire_config *config, struct mr_port *ends_out[MR_WIRE_ENDS],
                  struct mr_fault *fault)
{
    struct mr_wire *wire;

    if (!config_check(config, fault))
        return false;
    wire = rte_zmalloc("wire", sizeof(*wire), MR_CACHE_LINE);
    if (wire != NULL) {
        wire->arrival_flags =
            config->needs_checksum ? 0 : RTE_MBUF_F_RX_IP_CKSUM_NONE | RTE_MBUF_F_RX_L4_CKSUM_NONE;
        wire->is_copied = config->is_copied;
        wire->clock = config->clock;
        wire->clock_argument = config->clock_argument;
        wire->ns_per_tick = 1e9 / (double)rte_get_tsc_hz();
        end_init(wire, config, 0);
        end_init(wire, config, 1);
    }
    if (wire == NULL || !wire_build(wire, config)) {
        if (wire != NULL)
            wire_free(wire);
        mr_fault_set(
            fault, ENOMEM,
            "not enough memory for a wire's rings: give DPDK more memory, or use fewer queues");
        return false;
    }
    for (uint32_t side = 0; side < MR_WIRE_ENDS; side++) {
        wire->end[side].is_open = true;
        ends_out[side] = &wire->end[side].port;
    }
    return true;
}

/* ---- RSS as seen by the receiving port: its peer's tables ---- */

uint16_t mr_wire_rss_queue(const struct mr_port *port, const uint8_t *frame, uint32_t size)
{
    const struct mr_rss *rss = ((const struct mr_wire_port *)port)->peer->rss;

    return rss == NULL ? 0 : mr_rss_queue(rss, mr_rss_hash_frame(rss, frame, size));
}

void mr_wire_reta(const struct mr_port *port, uint16_t reta_out[MR_WIRE_RETA_COUNT])
{
    const struct mr_rss *rss = ((const struct mr_wire_port *)port)->peer->rss;

    MR_ASSERT(rss != NULL);
    memcpy(reta_out, rss->reta, sizeof(rss->reta));
}

void mr_wire_set_reta(struct mr_port *port, const uint16_t reta[MR_WIRE_RETA_COUNT])
{
    struct mr_rss *rss = ((struct mr_wire_port *)port)->peer->rss;

    MR_ASSERT(rss != NULL);
    for (uint32_t i = 0; i < MR_WIRE_RETA_COUNT; i++) {
        MR_ASSERT(reta[i] < port->traits.queue_count);
        __atomic_store_n(&rss->reta[i], reta[i], __ATOMIC_RELAXED);
    }
}
