/* drivers/port_rss.c - see port_rss.h. */
#include "drivers/port_rss.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/compiler.h"
#include "base/fault.h"
#include "drivers/port.h"

#define PORTS4 RTE_ETH_RSS_NONFRAG_IPV4_UDP
#define PORTS6 (RTE_ETH_RSS_NONFRAG_IPV6_UDP | RTE_ETH_RSS_IPV6_UDP_EX)
#define WANTED (RTE_ETH_RSS_IP | PORTS4 | PORTS6)
#define GROUP  RTE_ETH_RETA_GROUP_SIZE
#define GROUPS (MR_PORT_RSS_SLOTS / GROUP)

_Static_assert(MR_PORT_RSS_SLOTS % GROUP == 0, "tables come in groups");

#define KEY_USUAL 40 /* bytes, where the driver does not say */

/* What the driver counts with; 0: it cannot hash, or takes a key or table that we have no room for.
 */
static uint32_t key_size_of(const struct rte_eth_dev_info *info)
{
    uint32_t size = info->hash_key_size > 0 ? info->hash_key_size : KEY_USUAL;

    return size <= MR_PORT_RSS_KEY ? size : 0;
}

void mr_port_rss_ask(struct mr_port_rss_request *request, const struct rte_eth_dev_info *info,
                     uint16_t queue_count, struct rte_eth_conf *conf)
{
    uint64_t types = info->flow_type_rss_offloads & WANTED;
    uint32_t key_size = key_size_of(info);

    if (queue_count == 1 || types == 0 || key_size == 0 ||
        getrandom(request->key, key_size, 0) != (ssize_t)key_size)
        return;
    conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf->rx_adv_conf.rss_conf = (struct rte_eth_rss_conf){
        .rss_key = request->key, .rss_key_len = (uint8_t)key_size, .rss_hf = types};
}

/* ---- reading ---- */

static int read_table(uint16_t ethdev, struct mr_port_rss *rss)
{
    struct rte_eth_rss_reta_entry64 groups[GROUPS];

    memset(groups, 0, sizeof(groups));
    for (uint32_t i = 0; i < rss->slot_count; i++)
        groups[i / GROUP].mask |= UINT64_C(1) << i % GROUP;
    if (rte_eth_dev_rss_reta_query(ethdev, groups, (uint16_t)rss->slot_count) != 0)
        return -EOPNOTSUPP;
    for (uint32_t i = 0; i < rss->slot_count; i++)
        rss->queue[i] = groups[i / GROUP].reta[i % GROUP];
    return 0;
}

int mr_port_rss_read(const struct mr_port *port, struct mr_port_rss *rss)
{
    struct rte_eth_rss_conf conf = {.rss_key = rss->key};
    struct rte_eth_dev_info info;

    memset(rss, 0, sizeof(*rss));
    if (!port->is_card || port->traits.queue_count == 1 ||
        rte_eth_dev_info_get(port->ethdev, &info) != 0)
        return -EOPNOTSUPP;
    rss->key_size = key_size_of(&info);
    rss->slot_count = info.reta_size;
    conf.rss_key_len = (uint8_t)rss->key_size;
    if (rss->key_size == 0 || rss->slot_count == 0 || rss->slot_count > MR_PORT_RSS_SLOTS ||
        rte_eth_dev_rss_hash_conf_get(port->ethdev, &conf) != 0 || conf.rss_hf == 0)
        return -EOPNOTSUPP;
    rss->hashes_ports4 = (conf.rss_hf & PORTS4) != 0;
    rss->hashes_ports6 = (conf.rss_hf & PORTS6) != 0;
    return read_table(port->ethdev, rss);
}

/* ---- changing ---- */

static int check_change(const struct mr_port *port, const struct mr_port_rss *rss,
                        const struct mr_port_rss_change *change, struct mr_fault *fault)
{
    if (change->lo > change->hi || change->hi >= rss->slot_count)
        return mr_fault_set(fault, EINVAL, "there are no slots %u to %u: the table has 0 to %u",
                            change->lo, change->hi, rss->slot_count - 1);
    if (change->queue >= port->traits.queue_count)
        return mr_fault_set(fault, EINVAL, "there is no queue %u: the port has 0 to %u",
                            change->queue, port->traits.queue_count - 1);
    return 0;
}

/* Is the table as it was, but for the change? */
static int compare(const struct mr_port *port, const struct mr_port_rss *before,
                   const struct mr_port_rss_change *change, struct mr_fault *fault)
{
    struct mr_port_rss now;

    if (mr_port_rss_read(port, &now) != 0)
        return mr_fault_set(fault, EIO, "the card's table cannot be read back");
    for (uint32_t i = 0; i < now.slot_count; i++) {
        bool is_changed = i >= change->lo && i <= change->hi;
        uint16_t queue = is_changed ? change->queue : before->queue[i];

        if (now.queue[i] != queue)
            return mr_fault_set(fault, EIO, "slot %u of the card's table leads to queue %u, not %u",
                                i, now.queue[i], queue);
    }
    return 0;
}

int mr_port_rss_change(const struct mr_port *port, const struct mr_port_rss_change *change,
                       struct mr_fault *fault)
{
    struct rte_eth_rss_reta_entry64 groups[GROUPS];
    struct mr_port_rss rss;

    if (mr_port_rss_read(port, &rss) != 0)
        return mr_fault_set(fault, EOPNOTSUPP,
                            "the port has no table of queues: only cards (pci:ADDRESS) of several "
                            "queues have, and not all of them");
    int error = check_change(port, &rss, change, fault);
    if (error != 0)
        return error;
    memset(groups, 0, sizeof(groups));
    for (uint32_t i = change->lo; i <= change->hi; i++) {
        groups[i / GROUP].mask |= UINT64_C(1) << i % GROUP;
        groups[i / GROUP].reta[i % GROUP] = change->queue;
    }
    error = rte_eth_dev_rss_reta_update(port->ethdev, groups, (uint16_t)rss.slot_count);
    if (error != 0)
        return mr_fault_set(fault, -error, "the driver does not change the card's table: %s",
                            strerror(-error));
    return compare(port, &rss, change, fault);
}
