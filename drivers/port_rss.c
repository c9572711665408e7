/* drivers/port_rss.c - see port_rss.h. */
#include "drivers/port_rss.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include <rte_flow.h>

#include "base/assert.h"
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
#define PERIOD    2  /* bytes, of a symmetric key */

/* What the driver counts with; 0: it cannot hash, or takes a key or table that we have no room for.
 */
static uint32_t key_size_of(const struct rte_eth_dev_info *info)
{
    uint32_t size = info->hash_key_size > 0 ? info->hash_key_size : KEY_USUAL;

    return size >= PERIOD && size <= MR_PORT_RSS_KEY ? size : 0;
}

/* ---- keys ---- */

static bool is_periodic(const uint8_t *key, uint32_t size)
{
    return size > PERIOD && memcmp(key, key + PERIOD, size - PERIOD) == 0;
}

/*
 * The hash of a periodic key is a linear function of 16 bits.  With an odd number of ones in the
 * period it is one to one, so that any of its bits spread over all slots alike: its matrix is a
 * circulant, and x^16 - 1 = (x - 1)^16 over bits, which a polynomial of odd weight has no factor
 * with.
 */
static void repeat(uint8_t *key, uint32_t size)
{
    if ((__builtin_popcount(key[0]) + __builtin_popcount(key[1])) % 2 == 0)
        key[0] ^= 1;
    for (uint32_t i = PERIOD; i < size; i++)
        key[i] = key[i - PERIOD];
}

bool mr_port_rss_draw(enum mr_port_rss_mode mode, uint8_t *key, uint32_t size)
{
    MR_ASSERT(size >= PERIOD);
    MR_ASSERT(size <= MR_PORT_RSS_KEY);
    if (getrandom(key, size, 0) != (ssize_t)size)
        return false;
    if (mode == MR_PORT_RSS_SYMMETRIC)
        repeat(key, size);
    return true;
}

/* ---- asking ---- */

void mr_port_rss_ask(struct mr_port_rss_request *request, const struct rte_eth_dev_info *info,
                     uint16_t queue_count, enum mr_port_rss_mode mode, struct rte_eth_conf *conf)
{
    uint64_t types = info->flow_type_rss_offloads & WANTED;
    uint32_t key_size = key_size_of(info);

    if (queue_count == 1 || types == 0 || key_size == 0 ||
        !mr_port_rss_draw(mode, request->key, key_size))
        return;
    conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf->rx_adv_conf.rss_conf = (struct rte_eth_rss_conf){
        .rss_key = request->key, .rss_key_len = (uint8_t)key_size, .rss_hf = types};
}

/* UDP over one of both: the card's symmetric function, with the port's key and table. */
static struct rte_flow *ask_for_function(uint16_t ethdev, enum rte_flow_item_type ip,
                                         uint64_t types)
{
    const struct rte_flow_attr attr = {.ingress = 1};
    const struct rte_flow_item items[] = {{.type = RTE_FLOW_ITEM_TYPE_ETH},
                                          {.type = ip},
                                          {.type = RTE_FLOW_ITEM_TYPE_UDP},
                                          {.type = RTE_FLOW_ITEM_TYPE_END}};
    const struct rte_flow_action_rss rss = {.func = RTE_ETH_HASH_FUNCTION_SYMMETRIC_TOEPLITZ,
                                            .types = types};
    const struct rte_flow_action actions[] = {{.type = RTE_FLOW_ACTION_TYPE_RSS, .conf = &rss},
                                              {.type = RTE_FLOW_ACTION_TYPE_END}};
    struct rte_flow_error error;

    if (rte_flow_validate(ethdev, &attr, items, actions, &error) != 0)
        return NULL;
    return rte_flow_create(ethdev, &attr, items, actions, &error);
}

bool mr_port_rss_take_function(uint16_t ethdev, const struct rte_eth_dev_info *info)
{
    uint8_t key[MR_PORT_RSS_KEY];
    struct rte_eth_rss_conf conf = {.rss_key = key,
                                    .rss_key_len = (uint8_t)key_size_of(info),
                                    .rss_hf = info->flow_type_rss_offloads & WANTED};

    if (conf.rss_hf == 0 || conf.rss_key_len == 0 ||
        !mr_port_rss_draw(MR_PORT_RSS_RANDOM, key, conf.rss_key_len))
        return false;
    struct rte_flow *over4 =
        ask_for_function(ethdev, RTE_FLOW_ITEM_TYPE_IPV4, RTE_ETH_RSS_NONFRAG_IPV4_UDP);
    struct rte_flow *over6 = over4 == NULL ? NULL
                                           : ask_for_function(ethdev, RTE_FLOW_ITEM_TYPE_IPV6,
                                                              RTE_ETH_RSS_NONFRAG_IPV6_UDP);

    if (over6 != NULL && rte_eth_dev_rss_hash_update(ethdev, &conf) == 0)
        return true;
    if (over6 != NULL)
        (void)rte_flow_destroy(ethdev, over6, NULL);
    if (over4 != NULL)
        (void)rte_flow_destroy(ethdev, over4, NULL);
    return false;
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
    rss->is_symmetric = port->has_symmetric_hash || is_periodic(rss->key, rss->key_size);
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
