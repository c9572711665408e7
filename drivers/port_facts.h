/*
 * drivers/port_facts.h - what a port is made of, and all that its driver counts: for reports that
 * somebody else has to be able to repeat.
 *
 * Owner: the caller, of the copies.  Threads: the control thread; system calls, device registers.
 */
#ifndef MR_DRIVERS_PORT_FACTS_H
#define MR_DRIVERS_PORT_FACTS_H

#include <stdint.h>

#include "drivers/port.h"

#define MR_PORT_FACT         64   /* bytes of a text */
#define MR_PORT_COUNTERS_MAX 1024 /* of a driver; more are left out */

struct mr_port_facts {
    char driver[MR_PORT_FACT];   /* "net_ixgbe"; of a port that is no device: its kind's name */
    char device[MR_PORT_FACT];   /* DPDK's name of it, a PCI address; an interface; "": none */
    char firmware[MR_PORT_FACT]; /* "": it has none, or does not say */
    uint32_t link_mbps;          /* 0: not known */
    uint32_t rx_queues;
    uint32_t tx_queues;
    uint32_t rx_descriptors; /* of the first queue; 0: not known */
    uint32_t tx_descriptors;
    uint32_t pcie_lanes;           /* in use; 0: no PCI device, or not known */
    char pcie_speed[MR_PORT_FACT]; /* of each: "8.0 GT/s PCIe"; "" likewise */
    char note[MR_PORT_NOTE];       /* what the port has come to use, for people; "": nothing */
};

void mr_port_facts(const struct mr_port *port, struct mr_port_facts *facts_out);

/* A counter of the driver ("rx_q0_packets", "rx_missed_errors"). */
struct mr_port_counter {
    char name[MR_PORT_FACT];
    uint64_t value;
};

/* All of them (rte_ethdev's extended statistics; an af_xdp port's outcomes), per queue and per
 * reason.  How many, at most `room`; 0 for a port that has none. */
uint32_t mr_port_counters(const struct mr_port *port, struct mr_port_counter *counters_out,
                          uint32_t room);

#endif /* MR_DRIVERS_PORT_FACTS_H */
