/*
 * dataplane/net_parse.h - what is this Ethernet frame to us?
 *
 *     | Ethernet | VLAN | IPv4 (options) or IPv6 (extension headers) | UDP | payload | padding |
 *                       ^ l3_offset                                  ^ l4_offset
 *
 * Every length is the smallest of what the headers say and what the frame holds.  Nothing is
 * asserted on, nothing is allocated, nothing is kept: a frame is judged by itself.
 *
 * Owner: none.  Threads: any, on different frames.
 */
#ifndef MR_DATAPLANE_NET_PARSE_H
#define MR_DATAPLANE_NET_PARSE_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/net_addr.h"
#include "quic/types.h"

#define MR_NET_ADDRESSES_MAX  8 /* own addresses */
#define MR_NET_EXTENSIONS_MAX 8 /* IPv6 extension headers walked */

/* What a frame is; after MR_NET_ICMP6 the reasons for which one is dropped. */
enum mr_net_kind {
    MR_NET_UDP, /* for an address of ours, from a unicast address; the port is not looked at */
    MR_NET_ARP, /* l3_offset: the ARP packet, at least 28 bytes */
    MR_NET_ICMP4,
    MR_NET_ICMP6, /* also to a multicast address of ours; with hop limit 255 even from our own */
    MR_NET_DROP_RUNT,
    MR_NET_DROP_VLAN,
    MR_NET_DROP_QINQ,
    MR_NET_DROP_ETHERTYPE,
    MR_NET_DROP_NOT_OUR_MAC,
    MR_NET_DROP_SOURCE_MAC,
    MR_NET_DROP_IP_VERSION,
    MR_NET_DROP_IP_HEADER,
    MR_NET_DROP_IP_LENGTH,
    MR_NET_DROP_IP_CHECKSUM,
    MR_NET_DROP_FRAGMENT,
    MR_NET_DROP_SOURCE_ROUTE,
    MR_NET_DROP_EXTENSION,
    MR_NET_DROP_SOURCE_IP,
    MR_NET_DROP_NOT_OUR_IP,
    MR_NET_DROP_BROADCAST,
    MR_NET_DROP_PROTOCOL,
    MR_NET_DROP_UDP_LENGTH,
    MR_NET_DROP_UDP_CHECKSUM,
    MR_NET_KINDS
};

/* What is already known of a frame's checksums. */
enum mr_net_sums {
    MR_NET_SUMS_UNKNOWN, /* compute them */
    MR_NET_SUMS_GOOD,    /* the port checked them, or its medium vouches for the data */
    MR_NET_SUMS_GOOD_L4, /* likewise, but the IPv4 header's is unknown */
    MR_NET_SUMS_BAD_IP,  /* the port checked them */
    MR_NET_SUMS_BAD_L4,
    MR_NET_SUMS_PARTIAL /* compute them; a field with the pseudo-header sum alone is good as well
                           (the local kernel's) */
};

/* Who we are. */
struct mr_net_self {
    struct mr_mac mac;
    uint16_t vlan;    /* 0: untagged */
    bool is_loopback; /* our own frames come back to us: they are no strangers' forgeries */
    bool is_shared;   /* the kernel has our addresses as well, or some: we ask for neighbours from
                         0.0.0.0 and from link-local addresses, so that answers are told apart */
    uint8_t address_count;
    struct mr_prefix address[MR_NET_ADDRESSES_MAX];
};

struct mr_net_frame {
    uint8_t *data; /* from the destination address on, without FCS */
    uint32_t size;
    enum mr_net_sums sums;
};

/* What was found.  Offsets count from the frame's first byte. */
struct mr_net_packet {
    uint16_t l3_offset;
    uint16_t l4_offset;      /* UDP or ICMP header */
    uint16_t payload_offset; /* UDP: the datagram's bytes; ICMP: as l4_offset */
    uint16_t payload_size;   /* UDP: may be 0 */
    uint8_t ecn;             /* enum mr_ecn */
    uint8_t hop_limit;
    bool is_group; /* ICMP to a multicast or broadcast address */
};

/*
 * Judge a frame.  `packet_out` and `path_out` (local, remote; ports 0 for ICMP) are set when an IP
 * kind is returned, of `packet_out` only l3_offset for MR_NET_ARP, else undefined.
 */
enum mr_net_kind mr_net_parse(const struct mr_net_self *self, const struct mr_net_frame *frame,
                              struct mr_net_packet *packet_out, struct mr_path_addr *path_out);

/* True if `ip` is one of our addresses. */
bool mr_net_self_has(const struct mr_net_self *self, const struct mr_ip *ip);

/* The kind's name, as in its counter. */
const char *mr_net_kind_name(enum mr_net_kind kind);

#endif /* MR_DATAPLANE_NET_PARSE_H */
