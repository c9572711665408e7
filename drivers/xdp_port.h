/*
 * drivers/xdp_port.h - the port kind af_xdp: of an interface that stays the kernel's, what is ours.
 *
 *     af_xdp:IFACE[,mac=M][,busy_budget=N][,zero-copy=yes|no]
 *
 *     interface -- XDP program -- ours? --> AF_XDP socket of the queue --> shard
 *                       |
 *                       +-- else --> the kernel's stack: ssh, TCP, other UDP ports, its ARP
 *
 * What is ours is said with mr_port_admit().  One socket for each receive queue of the interface:
 * there must be as many of both.  It needs Linux 5.9, and CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF.
 *
 * Owner: whoever opened the port.  Threads: as drivers/port.h says.
 */
#ifndef MR_DRIVERS_XDP_PORT_H
#define MR_DRIVERS_XDP_PORT_H

#include <stdbool.h>

struct mr_fault;
struct mr_port;
struct mr_port_config;

/* `rest` is the spec behind "af_xdp:"; can it be meant so?  False with `fault` set: also where this
 * build was made without it. */
bool mr_xdp_port_check(const char *rest, struct mr_fault *fault);

/* NULL with `fault` set. */
struct mr_port *mr_xdp_port_open(const struct mr_port_config *config, struct mr_fault *fault);

#endif /* MR_DRIVERS_XDP_PORT_H */
