/* drivers/port.c - ports that are DPDK devices; see port.h. */
#include "drivers/port.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_ethdev.h>

#include "base/fault.h"
#include "drivers/dpdk_log.h"
#include "drivers/memif.h"
#include "drivers/port_kind.h"
#include "drivers/port_loss.h"
#include "drivers/port_offload.h"
#include "drivers/port_rss.h"

#define PEER_WAIT_MS 3000 /* for a memif server to finish the handshake */

/* The words of DPDK's log that say why the last step failed. */
static int fail(struct mr_fault *fault, int error, const char *step)
{
    const char *said = mr_dpdk_log_last();

    return mr_fault_set(fault, -error, "DPDK cannot %s: %s%s%s%s", step, strerror(-error),
                        said[0] != '\0' ? " (" : "", said, said[0] != '\0' ? ")" : "");
}

/* ---- the device ---- */

static uint16_t descriptors(uint16_t configured)
{
    return configured > 0 ? configured : MR_PORT_DESCRIPTORS;
}

struct queue {
    uint16_t port;
    uint16_t index;
    uint16_t rx_count; /* descriptors */
    uint16_t tx_count;
    struct rte_mempool *pool;
};

static int set_queue_up(const struct queue *q, int32_t node)
{
    int error = rte_eth_tx_queue_setup(q->port, q->index, q->tx_count, (unsigned)node, NULL);

    if (error == 0)
        error =
            rte_eth_rx_queue_setup(q->port, q->index, q->rx_count, (unsigned)node, NULL, q->pool);
    return error;
}

/* Configure as was asked for, and set the queues up. */
static int configure_queues(struct mr_port *port, const struct mr_port_config *config,
                            enum mr_port_rss_mode mode, const struct rte_eth_dev_info *info,
                            struct rte_eth_conf *conf)
{
    struct mr_port_rss_request rss;
    uint16_t rx_count = descriptors(config->rx_descriptors);
    uint16_t tx_count = descriptors(config->tx_descriptors);
    int error;

    if (port->is_card)
        mr_port_rss_ask(&rss, info, config->queue_count, mode, conf);
    error = rte_eth_dev_configure(port->ethdev, config->queue_count, config->queue_count, conf);
    if (error == 0)
        error = rte_eth_dev_adjust_nb_rx_tx_desc(port->ethdev, &rx_count, &tx_count);
    for (uint16_t q = 0; q < config->queue_count && error == 0; q++) {
        const struct queue queue = {.port = port->ethdev,
                                    .index = q,
                                    .rx_count = rx_count,
                                    .tx_count = tx_count,
                                    .pool = config->rx_pools[q]};
        int32_t node = config->queue_nodes != NULL ? config->queue_nodes[q] : SOCKET_ID_ANY;

        error = set_queue_up(&queue, node);
        if (error == -ENOMEM && node != SOCKET_ID_ANY) /* wanted, not needed */
            error = set_queue_up(&queue, SOCKET_ID_ANY);
    }
    return error;
}

/* A memif client is of use once the server has answered. */
static bool wait_for_peer(const struct mr_port *port, uint16_t queues, struct mr_fault *fault)
{
    const char *refusal = NULL;

    for (int ms = 0; ms < PEER_WAIT_MS && refusal == NULL; ms++) {
        if (mr_port_is_up(port))
            return true;
        usleep(1000);
        refusal = mr_memif_refusal(port);
    }
    if (refusal != NULL)
        mr_fault_set(fault, ECONNREFUSED,
                     "no connection to the memif server: %s; both need as many queues, and we have "
                     "%u: one for each shard, or I/O lcore",
                     refusal[0] != '\0' ? refusal : "it hung up", queues);
    else
        mr_fault_set(fault, ETIMEDOUT,
                     "the memif server does not answer within %d ms: is its id= and secret= the "
                     "same, has it no other client, and as many queues as we (%u: one for each "
                     "shard, or I/O lcore)?",
                     PEER_WAIT_MS, queues);
    return false;
}

static void set_mac(struct mr_port *port, const struct mr_port_kind *kind,
                    const struct mr_port_plan *plan)
{
    struct rte_ether_addr mac = {0};

    rte_eth_macaddr_get(port->ethdev, &mac);
    memcpy(port->traits.mac, plan->has_mac ? plan->mac : mac.addr_bytes, sizeof(port->traits.mac));
    if (kind->shares_mac && !plan->has_mac) {
        port->traits.mac[0] = (uint8_t)((port->traits.mac[0] | 0x02) & 0xfe);
        port->traits.mac[5] ^= 1;
    }
}

/* The largest MTU that the device takes: its frames have an Ethernet header and a checksum. */
static uint16_t most_mtu(const struct rte_eth_dev_info *info)
{
    uint32_t frame = MR_MAX(info->max_rx_pktlen, RTE_ETHER_MIN_LEN);

    return (uint16_t)MR_MIN(frame - RTE_ETHER_HDR_LEN - RTE_ETHER_CRC_LEN, (uint32_t)info->max_mtu);
}

/* Let a card take the frames of our MAC and, for neighbour discovery, of groups; one that cannot
 * tell groups apart takes everything. */
static int admit_frames(const struct mr_port *port, const struct mr_port_plan *plan)
{
    struct rte_ether_addr mac;
    int error = 0;

    if (plan->has_mac) {
        memcpy(mac.addr_bytes, plan->mac, sizeof(mac.addr_bytes));
        error = rte_eth_dev_default_mac_addr_set(port->ethdev, &mac);
    }
    if (error == 0 && rte_eth_allmulticast_enable(port->ethdev) != 0)
        error = rte_eth_promiscuous_enable(port->ethdev);
    return error;
}

/* Bring the device that was made into service. */
static bool start_device(struct mr_port *port, const struct mr_port_config *config,
                         const struct mr_port_kind *kind, const struct mr_port_plan *plan,
                         struct mr_fault *fault)
{
    struct rte_eth_dev_info info;
    struct rte_eth_conf conf = {0};
    int error = rte_eth_dev_info_get(port->ethdev, &info);

    if (error == 0 && config->queue_count > MR_MIN(info.max_rx_queues, info.max_tx_queues)) {
        mr_fault_set(fault, EINVAL, "%u queues are too many: at most %u", config->queue_count,
                     MR_MIN(info.max_rx_queues, info.max_tx_queues));
        return false;
    }
    uint16_t mtu = kind->sets_mtu ? MR_MIN(plan->mtu, most_mtu(&info)) : plan->mtu;
    bool has_rx_fd = kind->has_rx_fd && config->wants_rx_fd;
    conf.intr_conf.rxq = has_rx_fd;
    if (kind->is_card) /* the others' drivers offer more than they do */
        conf.rxmode.mtu = mtu;
    if (error == 0 && kind->is_card &&
        !mr_port_offload_ask(&plan->wishes, &info, descriptors(config->tx_descriptors), &conf,
                             &port->traits, fault))
        return false;
    if (error == 0)
        error = configure_queues(port, config, plan->rss, &info, &conf);
    if (error == 0 && kind->sets_mtu)
        error = rte_eth_dev_set_mtu(port->ethdev, mtu);
    if (error == 0 && kind->is_card)
        error = admit_frames(port, plan);
    if (error == 0)
        error = rte_eth_dev_start(port->ethdev);
    if (error != 0) {
        fail(fault, error, "start the port");
        return false;
    }

    if (plan->rss == MR_PORT_RSS_SYMMETRIC && conf.rxmode.mq_mode == RTE_ETH_MQ_RX_RSS)
        port->has_symmetric_hash = mr_port_rss_take_function(port->ethdev, &info);
    port->traits.kind = kind->name;
    port->traits.mtu = mtu;
    port->traits.queue_count = config->queue_count;
    port->traits.has_partial_sums = kind->has_partial_sums;
    port->traits.is_memory = kind->is_memory;
    port->traits.has_rx_fd = has_rx_fd;
    set_mac(port, kind, plan);
    return !plan->waits_for_peer || wait_for_peer(port, config->queue_count, fault);
}

static const char *bus_of(const struct mr_port *port)
{
    return port->is_card ? "pci" : "vdev";
}

static bool make_device(struct mr_port *port, const struct mr_port_kind *kind,
                        const struct mr_port_plan *plan, struct mr_fault *fault)
{
    static unsigned serial; /* device names are unique in the process */
    int error = 0;

    port->is_card = kind->is_card;
    if (kind->is_card)
        snprintf(port->device, sizeof(port->device), "%s", plan->device);
    else
        snprintf(port->device, sizeof(port->device), "%s%u", kind->driver, serial++);
    mr_dpdk_log_clear();
    /* EAL has found cards at its start, but not one that was closed since. */
    if (!kind->is_card || rte_eth_dev_get_port_by_name(port->device, &port->ethdev) != 0)
        error = rte_eal_hotplug_add(bus_of(port), port->device, plan->arguments);
    if (error == 0)
        error = rte_eth_dev_get_port_by_name(port->device, &port->ethdev);
    if (error != 0) {
        fail(fault, error, kind->is_card ? "take the card" : "make the port");
        port->device[0] = '\0';
    }
    return error == 0;
}

static void close_device(struct mr_port *port)
{
    mr_memif_stop(port);
    if (port->device[0] != '\0') {
        rte_eth_dev_stop(port->ethdev);
        rte_eal_hotplug_remove(bus_of(port), port->device);
    }
    mr_memif_leave_folder();
    if (port->held_fd >= 0)
        close(port->held_fd);
    free(port);
}

/* ---- public ---- */

static struct mr_port *open_kind(const struct mr_port_config *config, struct mr_fault *fault)
{
    struct mr_port_plan plan = {.held_fd = -1};
    const char *rest;
    const struct mr_port_kind *kind = mr_port_kind_find(config->spec, &rest, fault);

    if (kind == NULL)
        return NULL;
    if (kind->open != NULL)
        return kind->check(rest, fault) ? kind->open(config, fault) : NULL;
    if (!kind->plan(config, rest, &plan, fault))
        return NULL;

    struct mr_port *port = calloc(1, sizeof(*port));
    if (port == NULL) {
        mr_fault_set(fault, ENOMEM, "not enough memory");
        if (plan.held_fd >= 0)
            close(plan.held_fd);
        return NULL;
    }
    port->held_fd = plan.held_fd;
    port->ring_frames = plan.ring_frames;
    snprintf(port->spec, sizeof(port->spec), "%s", config->spec);
    if (!make_device(port, kind, &plan, fault) ||
        (plan.memif.peer[0] != '\0' &&
         !mr_memif_start(port, &plan.memif, config->queue_count, fault)) ||
        !start_device(port, config, kind, &plan, fault)) {
        close_device(port);
        return NULL;
    }
    if (plan.waits_for_peer)
        mr_memif_leave_folder();
    return port;
}

struct mr_port *mr_port_open(const struct mr_port_config *config, struct mr_fault *fault)
{
    struct mr_port *port = NULL;

    if (config->queue_count == 0 || config->queue_count > MR_PORT_QUEUES_MAX)
        mr_fault_set(fault, EINVAL, "a port has 1 to %d queues, not %u", MR_PORT_QUEUES_MAX,
                     config->queue_count);
    else
        port = open_kind(config, fault);
    if (port == NULL)
        mr_fault_add_context(fault, 0, "port %s", config->spec);
    return port;
}

void mr_port_close(struct mr_port *port)
{
    if (port == NULL)
        return;
    const struct mr_port_ops *ops = mr_port_own_ops(port);
    free(port->loss);
    if (ops != NULL)
        ops->close(port);
    else
        close_device(port);
}

int mr_port_node(const struct mr_port *port)
{
    return port->is_card ? rte_eth_dev_socket_id(port->ethdev) : SOCKET_ID_ANY;
}

void mr_port_stats(const struct mr_port *port, struct mr_port_stats *stats_out)
{
    const struct mr_port_ops *ops = mr_port_own_ops(port);
    struct rte_eth_stats stats = {0};

    *stats_out = (struct mr_port_stats){0};
    if (ops != NULL) {
        ops->stats(port, stats_out);
        return;
    }
    if (port->memif != NULL)
        mr_memif_stats(port, &stats);
    else
        rte_eth_stats_get(port->ethdev, &stats);
    *stats_out = (struct mr_port_stats){
        .rx_packets = stats.ipackets,
        .rx_bytes = stats.ibytes,
        .rx_missed = stats.imissed,
        .rx_no_buffer = stats.rx_nombuf,
        .rx_errors = stats.ierrors,
        .tx_packets = stats.opackets,
        .tx_bytes = stats.obytes,
        .tx_errors = stats.oerrors,
    };
}

bool mr_port_is_up(const struct mr_port *port)
{
    const struct mr_port_ops *ops = mr_port_own_ops(port);
    struct rte_eth_link link = {0};

    if (ops != NULL)
        return ops->is_up(port);
    if (port->memif != NULL)
        return mr_memif_is_up(port);
    return rte_eth_link_get_nowait(port->ethdev, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

int mr_port_rx_fd(const struct mr_port *port, uint16_t queue)
{
    const struct mr_port_ops *ops = mr_port_own_ops(port);

    if (!port->traits.has_rx_fd)
        return -1;
    return ops != NULL ? ops->rx_fd(port, queue)
                       : rte_eth_dev_rx_intr_ctl_q_get_fd(port->ethdev, queue);
}

int mr_port_admit(struct mr_port *port, const struct mr_port_admission *admission,
                  struct mr_fault *fault)
{
    const struct mr_port_ops *ops = mr_port_own_ops(port);
    int result = ops != NULL && ops->admit != NULL ? ops->admit(port, admission, fault) : 0;

    return result == 0 ? 0 : mr_fault_add_context(fault, result, "port %s", port->spec);
}
