/*
 * drivers/port_kind.h - what the kinds of ports that are DPDK devices differ in.
 *
 * A kind checks all that can be checked before DPDK is asked (permission, names, addresses), so
 * that errors name their cause and remedy, and writes the device's arguments.
 *
 * Owner: none.  Threads: the control thread.
 */
#ifndef MR_DRIVERS_PORT_KIND_H
#define MR_DRIVERS_PORT_KIND_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/memif.h"
#include "drivers/pci.h"
#include "drivers/port_offload.h"
#include "drivers/port_rss.h"

struct mr_fault;
struct mr_port;
struct mr_port_config;

/* How to make the device. */
struct mr_port_plan {
    char arguments[256];
    char device[MR_PCI_ADDRESS]; /* of a card: its address; "": a device is made */
    uint8_t mac[6];              /* of ours, if has_mac; else derived from the device's */
    uint16_t mtu;                /* bytes of an IP packet */
    struct mr_memif_sockets memif;
    struct mr_port_wishes wishes; /* of a card */
    enum mr_port_rss_mode rss;    /* likewise */
    uint16_t ring_frames; /* of each queue's ring, where `arguments` say it; 0: the driver does, or
                             there is none */
    bool has_mac;
    bool waits_for_peer; /* the other side must answer before the port is of use */
    int held_fd;         /* to be closed with the port, or -1 */
};

struct mr_port_kind {
    const char *name;   /* in the spec */
    const char *shape;  /* of the spec, for messages */
    const char *driver; /* DPDK's, the device's name begins with it; NULL: no DPDK device, or a
                           card, whose driver is DPDK's choice */
    /* Of a kind that is none: make the port.  NULL with `fault` set. */
    struct mr_port *(*open)(const struct mr_port_config *config, struct mr_fault *fault);
    /* `rest` is the spec behind the colon; can it be meant so?  False with `fault` set. */
    bool (*check)(const char *rest, struct mr_fault *fault);
    /* Look at the machine as well, and write the plan.  False with `fault` set. */
    bool (*plan)(const struct mr_port_config *config, const char *rest,
                 struct mr_port_plan *plan_out, struct mr_fault *fault);
    bool is_card;          /* hardware: drivers/port_offload.h says what it is to do */
    bool sets_mtu;         /* the device is to be told the MTU */
    bool shares_mac;       /* the kernel's interface has the device's MAC: ours is another */
    bool has_partial_sums; /* the local kernel's frames may carry the pseudo-header sum only */
    bool is_memory;        /* see struct mr_port_traits */
    bool has_rx_fd;
};

/* The kind that `spec` begins with; `*rest_out` is what follows the colon.  NULL with `fault` set:
 * unknown. */
const struct mr_port_kind *mr_port_kind_find(const char *spec, const char **rest_out,
                                             struct mr_fault *fault);

#endif /* MR_DRIVERS_PORT_KIND_H */
