/*
 * drivers/port_rules.h - rules in a card's hardware: UDP payloads that begin in a certain way
 * arrive at a certain queue, whatever RSS says (rte_flow, item RAW behind UDP).
 *
 * Cards differ in what they can compare, and drivers in what they admit: a set of rules is made
 * whole, or not at all and with the driver's reason.
 *
 * Owner: whoever makes them; dropped before the port is closed.  Threads: the control thread.
 * Limits: MR_PORT_MATCH bytes compared, MR_PORT_QUEUES_MAX queues, each for IPv4 and IPv6.
 */
#ifndef MR_DRIVERS_PORT_RULES_H
#define MR_DRIVERS_PORT_RULES_H

#include <stdint.h>

#include "drivers/port.h"

struct mr_fault;
struct rte_flow;

#define MR_PORT_MATCH 16 /* bytes */

/* A payload matches if (payload[i] & mask[i]) == bytes[i] for all i < size. */
struct mr_port_match {
    uint8_t bytes[MR_PORT_MATCH]; /* 0 where the mask is */
    uint8_t mask[MR_PORT_MATCH];
    uint16_t size;
    uint16_t queue;
};

struct mr_port_rules {
    uint32_t count;
    struct rte_flow *flows[2 * MR_PORT_QUEUES_MAX];
};

/* Make rules of `count` matches, at most MR_PORT_QUEUES_MAX.  0; -errno with the driver's reason in
 * `fault`, and none is left: EOPNOTSUPP, the port is no card; what the driver says. */
int mr_port_rules_make(const struct mr_port *port, const struct mr_port_match *matches,
                       uint32_t count, struct mr_port_rules *rules_out, struct mr_fault *fault);

/* Take them away; RSS chooses again.  Nothing where there are none. */
void mr_port_rules_drop(const struct mr_port *port, struct mr_port_rules *rules);

#endif /* MR_DRIVERS_PORT_RULES_H */
