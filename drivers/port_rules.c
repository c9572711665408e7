/* drivers/port_rules.c - see port_rules.h. */
#include "drivers/port_rules.h"

#include <errno.h>
#include <string.h>

#include <rte_flow.h>

#include "base/assert.h"
#include "base/fault.h"

/* One rule, in the terms of rte_flow. */
struct rule {
    struct rte_flow_item_raw raw;
    struct rte_flow_item_raw raw_mask;
    struct rte_flow_action_queue queue;
    struct rte_flow_item items[5];
    struct rte_flow_action actions[2];
};

/* Ethernet, IP and UDP, whatever is in them; then the bytes. */
static void write_rule(struct rule *rule, const struct mr_port_match *match,
                       enum rte_flow_item_type ip)
{
    memset(rule, 0, sizeof(*rule));
    rule->raw =
        (struct rte_flow_item_raw){.relative = 1, .length = match->size, .pattern = match->bytes};
    rule->raw_mask = rte_flow_item_raw_mask;
    rule->raw_mask.pattern = match->mask;
    rule->queue.index = match->queue;
    rule->items[0].type = RTE_FLOW_ITEM_TYPE_ETH;
    rule->items[1].type = ip;
    rule->items[2].type = RTE_FLOW_ITEM_TYPE_UDP;
    rule->items[3] = (struct rte_flow_item){
        .type = RTE_FLOW_ITEM_TYPE_RAW, .spec = &rule->raw, .mask = &rule->raw_mask};
    rule->items[4].type = RTE_FLOW_ITEM_TYPE_END;
    rule->actions[0] =
        (struct rte_flow_action){.type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &rule->queue};
    rule->actions[1].type = RTE_FLOW_ACTION_TYPE_END;
}

static int make_rule(const struct mr_port *port, const struct mr_port_match *match,
                     enum rte_flow_item_type ip, struct mr_port_rules *rules,
                     struct mr_fault *fault)
{
    const struct rte_flow_attr attr = {.ingress = 1};
    struct rte_flow_error error = {.message = NULL};
    struct rule rule;

    write_rule(&rule, match, ip);
    int result = rte_flow_validate(port->ethdev, &attr, rule.items, rule.actions, &error);
    struct rte_flow *flow =
        result == 0 ? rte_flow_create(port->ethdev, &attr, rule.items, rule.actions, &error) : NULL;
    if (flow != NULL) {
        rules->flows[rules->count++] = flow;
        return 0;
    }
    if (result == 0)
        result = rte_errno != 0 ? -rte_errno : -EIO;
    return mr_fault_set(fault, -result, "%s",
                        error.message != NULL ? error.message : strerror(-result));
}

int mr_port_rules_make(const struct mr_port *port, const struct mr_port_match *matches,
                       uint32_t count, struct mr_port_rules *rules, struct mr_fault *fault)
{
    int result = 0;

    MR_ASSERT(count <= MR_PORT_QUEUES_MAX);
    rules->count = 0;
    if (!port->is_card)
        return mr_fault_set(fault, EOPNOTSUPP, "the port is no card");
    for (uint32_t i = 0; i < count && result == 0; i++) {
        result = make_rule(port, &matches[i], RTE_FLOW_ITEM_TYPE_IPV4, rules, fault);
        if (result == 0)
            result = make_rule(port, &matches[i], RTE_FLOW_ITEM_TYPE_IPV6, rules, fault);
    }
    if (result != 0)
        mr_port_rules_drop(port, rules);
    return result;
}

void mr_port_rules_drop(const struct mr_port *port, struct mr_port_rules *rules)
{
    while (rules->count > 0)
        (void)rte_flow_destroy(port->ethdev, rules->flows[--rules->count], NULL);
}
