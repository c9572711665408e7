/*
 * dataplane/net_wire.h - where the fields of Ethernet, IP, UDP and ICMP headers lie, in bytes.
 *
 * Owner: none.  Threads: any.
 */
#ifndef MR_DATAPLANE_NET_WIRE_H
#define MR_DATAPLANE_NET_WIRE_H

enum { /* Ethernet, IEEE 802.3 and 802.1Q */
    MR_ETHER_DESTINATION = 0,
    MR_ETHER_SOURCE = 6,
    MR_ETHER_TYPE = 12,
    MR_ETHER_SIZE = 14,
    MR_VLAN_SIZE = 4,
    MR_VLAN_ID_MASK = 0x0fff,
    MR_TYPE_IPV4 = 0x0800,
    MR_TYPE_ARP = 0x0806,
    MR_TYPE_VLAN = 0x8100,
    MR_TYPE_IPV6 = 0x86dd,
    MR_TYPE_QINQ = 0x88a8,
    MR_TYPE_QINQ_OLD = 0x9100
};

enum { /* IPv4, RFC 791 */
    MR_IPV4_TOS = 1,
    MR_IPV4_LENGTH = 2,
    MR_IPV4_FRAGMENT = 6,
    MR_IPV4_TTL = 8,
    MR_IPV4_PROTOCOL = 9,
    MR_IPV4_CHECKSUM = 10,
    MR_IPV4_SOURCE = 12,
    MR_IPV4_DESTINATION = 16,
    MR_IPV4_SIZE = 20,
    MR_IPV4_DF = 0x4000,
    MR_IPV4_IS_FRAGMENT = 0x3fff /* more fragments, or an offset */
};

enum { /* IPv6, RFC 8200 */
    MR_IPV6_LENGTH = 4,
    MR_IPV6_NEXT = 6,
    MR_IPV6_HOP_LIMIT = 7,
    MR_IPV6_SOURCE = 8,
    MR_IPV6_DESTINATION = 24,
    MR_IPV6_SIZE = 40
};

enum { /* protocol numbers and IPv6 extension headers */
    MR_PROTOCOL_HOP_BY_HOP = 0,
    MR_PROTOCOL_ICMP = 1,
    MR_PROTOCOL_UDP = 17,
    MR_PROTOCOL_ROUTING = 43,
    MR_PROTOCOL_FRAGMENT = 44,
    MR_PROTOCOL_ICMP6 = 58,
    MR_PROTOCOL_DESTINATION_OPTIONS = 60
};

enum { /* UDP, RFC 768 */
    MR_UDP_SOURCE = 0,
    MR_UDP_DESTINATION = 2,
    MR_UDP_LENGTH = 4,
    MR_UDP_CHECKSUM = 6,
    MR_UDP_SIZE = 8
};

enum { /* ICMP, RFC 792 and RFC 4443 */
    MR_ICMP_TYPE = 0,
    MR_ICMP_CODE = 1,
    MR_ICMP_CHECKSUM = 2,
    MR_ICMP_REST = 4, /* of the header; in TOO_BIG the MTU */
    MR_ICMP_SIZE = 8,
    MR_ICMP4_ECHO_REPLY = 0,
    MR_ICMP4_UNREACHABLE = 3,
    MR_ICMP4_PORT_CODE = 3,    /* of UNREACHABLE */
    MR_ICMP4_TOO_BIG_CODE = 4, /* of UNREACHABLE: fragmentation needed, RFC 1191 */
    MR_ICMP4_ECHO = 8,
    MR_ICMP6_UNREACHABLE = 1,
    MR_ICMP6_PORT_CODE = 4, /* of UNREACHABLE */
    MR_ICMP6_TOO_BIG = 2,
    MR_ICMP6_ECHO = 128,
    MR_ICMP6_ECHO_REPLY = 129,
    MR_ICMP6_SOLICITATION = 135,
    MR_ICMP6_ADVERTISEMENT = 136
};

#endif /* MR_DATAPLANE_NET_WIRE_H */
