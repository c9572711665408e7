/*
 * dataplane/net_build.h - the headers in front of a UDP payload, prepared once per path.
 *
 * A template holds Ethernet, VLAN, IP and UDP headers of a path.  Lengths, ECN and what follows
 * from them are filled in again only when they change, which in a burst of full packets they do
 * not; writing is then a copy in front of the payload (and a UDP checksum, where software computes
 * it).
 *
 *     template  | Ethernet | VLAN | IPv4 or IPv6 | UDP |       size: 42, 46, 62 or 66 bytes
 *
 * IPv4: DF is set, the identification is 0 (RFC 6864, Section 4.1: atomic datagrams).  IPv6: the
 * flow label is a keyed hash of the 4-tuple (RFC 6437).
 *
 * Owner: who embeds it.  Threads: the owner's.
 */
#ifndef MR_DATAPLANE_NET_BUILD_H
#define MR_DATAPLANE_NET_BUILD_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/net_addr.h"
#include "quic/types.h"

#define MR_NET_HEADER_MAX 66 /* bytes: Ethernet 14, VLAN 4, IPv6 40, UDP 8 */
#define MR_NET_HOP_LIMIT  64

/* Who computes a checksum. */
enum mr_net_sum_mode {
    MR_NET_SUM_SOFTWARE, /* written here */
    MR_NET_SUM_OFFLOAD,  /* the port; here the pseudo-header sum is written (UDP), or zero (IPv4
                            header) */
    MR_NET_SUM_NONE /* nobody: the medium vouches.  The UDP field is 0; the IPv4 header's is written
                       all the same */
};

struct mr_net_header {
    uint8_t bytes[MR_NET_HEADER_MAX]; /* the header is its last `size` bytes */
    uint8_t size;                     /* of the header in all */
    uint8_t l3_offset;                /* 14 or 18 */
    uint8_t l4_offset;                /* of UDP */
    bool is_ipv4;
    uint8_t ip_mode;      /* enum mr_net_sum_mode of the IPv4 header's checksum */
    uint8_t udp_mode;     /* enum mr_net_sum_mode */
    uint8_t filled_ecn;   /* what the template is filled in for */
    uint16_t filled_size; /* UDP header and payload; 0: nothing yet */
    uint64_t ip_sum;      /* IPv4: of the header without length and ECN; base/checksum.h */
    uint64_t pseudo_sum;  /* of the pseudo-header without length */
};

/* The addresses of the next hop. */
struct mr_net_link {
    struct mr_mac source;
    struct mr_mac destination;
    uint16_t vlan; /* 0: untagged */
};

/*
 * Prepare the headers for `path`, whose two addresses are of one family.  `flow_label` is cut to 20
 * bits.  Checksums are computed in software; set ip_mode and udp_mode before the first write to
 * change that.
 */
void mr_net_header_init(struct mr_net_header *header, const struct mr_net_link *link,
                        const struct mr_path_addr *path, uint32_t flow_label);

/*
 * Write the headers in front of `payload`, for `size` bytes of it with ECN bits `ecn`;
 * size + header->size <= 65535.  All MR_NET_HEADER_MAX bytes in front of `payload` are overwritten
 * (a copy of fixed size is some stores, not a call).  Returns where the frame begins.
 * Cost: O(1), but with MR_NET_SUM_SOFTWARE O(size).
 */
uint8_t *mr_net_header_write(struct mr_net_header *header, uint8_t *payload, uint32_t size,
                             uint8_t ecn);

/*
 * The headers that mr_net_header_write() has just put at `frame` become those of `size` bytes of
 * payload that the port is to cut into datagrams (RTE_MBUF_F_TX_UDP_SEG): lengths of all of it, and
 * a pseudo-header sum without length, to which the port adds each datagram's.  The port must
 * compute both sums.
 */
void mr_net_header_cover(const struct mr_net_header *header, uint8_t *frame, uint32_t size);

#endif /* MR_DATAPLANE_NET_BUILD_H */
