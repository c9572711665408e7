/*
 * drivers/xdp_rules.h - what the XDP program and the process that loads it agree on: the layout of
 * its maps, and the outcomes that it counts.
 *
 *     xsks_map       queue -> socket           mr_addresses   address -> MR_XDP_OWN, MR_XDP_SHARED
 *     mr_self        MAC, VLAN                 mr_ports       64 UDP ports a word, open or not
 *     mr_counts      outcome -> frames, per CPU
 *
 * Compiled for BPF as well: the kernel's types, no libc.
 *
 * Owner: the program's maps.  Threads: the control thread writes, the kernel reads.
 */
#ifndef MR_DRIVERS_XDP_RULES_H
#define MR_DRIVERS_XDP_RULES_H

#include <linux/types.h>

#define MR_XDP_ADDRESSES_MAX  32
#define MR_XDP_QUEUES_MAX     64
#define MR_XDP_PORT_WORDS     1024 /* of 64 ports */
#define MR_XDP_EXTENSIONS_MAX 8 /* IPv6 extension headers walked, as dataplane/net_parse.h does */

enum mr_xdp_standing {
    MR_XDP_OWN = 1, /* nobody else's: ARP, neighbour discovery and ICMP for it are ours */
    MR_XDP_SHARED   /* the kernel's as well, which answers them */
};

/* Who we are; addresses have a map of their own. */
struct mr_xdp_self {
    __u8 mac[6];
    __u16 vlan;       /* 0: untagged */
    __u32 asks_aside; /* our ARP requests come from 0.0.0.0, and answers to it are ours */
    __u32 unused;
};

/* X(name, what one count means).  Up to `taken_icmp` the frame goes to a socket of ours, with all
 * others to the kernel's stack. */
#define MR_XDP_OUTCOMES(X)                                                                         \
    X(taken_udp, "UDP to an address and an open port of ours")                                     \
    X(taken_arp, "ARP for an address of ours")                                                     \
    X(taken_ndp, "neighbour discovery for an address of ours")                                     \
    X(taken_icmp, "ICMP to an address of ours, or that quotes a datagram of ours")                 \
    X(passed_port, "UDP to an address of ours, another port")                                      \
    X(passed_fragment, "IP fragment for an address of ours")                                       \
    X(passed_extension, "IPv6 routing header, or too many extension headers, to one of ours")      \
    X(passed_vlan, "another VLAN's, or tagged where we are untagged, or the reverse")              \
    X(passed_no_socket, "ours, at a queue that no shard reads")                                    \
    X(passed_other, "not ours")

enum mr_xdp_outcome {
#define X(name, what) MR_XDP_##name,
    MR_XDP_OUTCOMES(X)
#undef X
    MR_XDP_OUTCOME_COUNT
};

#endif /* MR_DRIVERS_XDP_RULES_H */
