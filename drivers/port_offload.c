/* drivers/port_offload.c - see port_offload.h. */
#define ALLOW_EXPERIMENTAL_API /* of DPDK: rte_eth_read_clock(), which is there since 19.08 */
#include "drivers/port_offload.h"

#include <errno.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_mbuf_dyn.h>

#include "base/compiler.h"
#include "base/fault.h"
#include "drivers/port.h"
#include "drivers/port_loss.h"

#define SUMS     (RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM)
#define SEGMENTS (RTE_ETH_TX_OFFLOAD_UDP_TSO | RTE_ETH_TX_OFFLOAD_MULTI_SEGS | SUMS)
#define RX_SUMS  (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM)

/* Drivers that write a UDP header for each segment, and have no faster way of sending to lose. */
static bool is_good_at_segments(const char *driver)
{
    static const char *const names[] = {"net_igc", "net_i40e", "net_bnxt"};

    for (size_t i = 0; i < MR_COUNT_OF(names); i++) {
        if (driver != NULL && strcmp(driver, names[i]) == 0)
            return true;
    }
    return false;
}

static void ask_sums(const struct rte_eth_dev_info *info, struct rte_eth_conf *conf,
                     struct mr_port_traits *traits)
{
    if ((info->rx_offload_capa & RX_SUMS) == RX_SUMS)
        conf->rxmode.offloads |= RX_SUMS;
    conf->txmode.offloads |= info->tx_offload_capa & SUMS;
    traits->rx_checksum = (conf->rxmode.offloads & RTE_ETH_RX_OFFLOAD_UDP_CKSUM) != 0;
    traits->tx_ipv4_checksum = (conf->txmode.offloads & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) != 0;
    traits->tx_udp_checksum = (conf->txmode.offloads & RTE_ETH_TX_OFFLOAD_UDP_CKSUM) != 0;
}

/* Datagrams in a chain: a queue has room for several such chains, with a descriptor or two more for
 * each.  0: the card cannot. */
static uint16_t segments_most(const struct rte_eth_dev_info *info, uint16_t tx_count)
{
    const struct rte_eth_desc_lim *limits = &info->tx_desc_lim;
    uint32_t most = MR_MIN((uint32_t)limits->nb_seg_max, tx_count / 8u);

    if ((info->tx_offload_capa & SEGMENTS) != SEGMENTS ||
        limits->nb_mtu_seg_max < MR_PORT_SEGMENT_BUFFERS || most < 2)
        return 0;
    return (uint16_t)MR_MIN(most, (uint32_t)MR_PORT_SEGMENTS_MAX);
}

static bool ask_segments(enum mr_port_wish wish, const struct rte_eth_dev_info *info,
                         uint16_t tx_count, struct rte_eth_conf *conf,
                         struct mr_port_traits *traits, struct mr_fault *fault)
{
    uint16_t most = segments_most(info, tx_count);

    if (wish == MR_PORT_YES && most == 0) {
        mr_fault_set(fault, ENOTSUP,
                     "the card's driver (%s) does not offer UDP segmentation: leave tso=yes out",
                     info->driver_name);
        return false;
    }
    if (most == 0 || wish == MR_PORT_NO ||
        (wish == MR_PORT_AUTO && !is_good_at_segments(info->driver_name)))
        return true;
    conf->txmode.offloads |= SEGMENTS;
    traits->segments_max = most;
    return true;
}

/* The field and flag are the process's: drivers find them by their names when queues are set up. */
static bool ask_launch(const struct rte_eth_dev_info *info, struct rte_eth_conf *conf,
                       struct mr_port_traits *traits, struct mr_fault *fault)
{
    int offset = 0;

    if ((info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_SEND_ON_TIMESTAMP) == 0) {
        mr_fault_set(fault, ENOTSUP,
                     "the card's driver (%s) does not offer launch times: leave launch=yes out, or "
                     "give the card what they need (mlx5: tx_pp=500)",
                     info->driver_name);
        return false;
    }
    if (rte_mbuf_dyn_tx_timestamp_register(&offset, &traits->launch_flag) != 0) {
        mr_fault_set(fault, rte_errno, "there is no room in mbufs for launch times: %s",
                     rte_strerror(rte_errno));
        return false;
    }
    traits->launch_offset = (uint32_t)offset;
    conf->txmode.offloads |= RTE_ETH_TX_OFFLOAD_SEND_ON_TIMESTAMP;
    return true;
}

bool mr_port_offload_ask(const struct mr_port_wishes *wishes, const struct rte_eth_dev_info *info,
                         uint16_t tx_count, struct rte_eth_conf *conf,
                         struct mr_port_traits *traits, struct mr_fault *fault)
{
    ask_sums(info, conf, traits);
    return ask_segments(wishes->segments, info, tx_count, conf, traits, fault) &&
           (!wishes->wants_launch || ask_launch(info, conf, traits, fault));
}

int mr_port_read_clock(const struct mr_port *port, uint64_t *ticks_out)
{
    const struct mr_port_ops *ops = mr_port_own_ops(port);

    if (ops == NULL)
        return rte_eth_read_clock(port->ethdev, ticks_out);
    return ops->read_clock != NULL ? ops->read_clock(port, ticks_out) : -ENOTSUP;
}
