/*
 * dataplane/arp.h - ARP packets over Ethernet for IPv4, RFC 826.
 *
 * Owner: none.  Threads: any.
 */
#ifndef MR_DATAPLANE_ARP_H
#define MR_DATAPLANE_ARP_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/net_addr.h"

#define MR_ARP_FRAME_SIZE 42 /* bytes without VLAN tag */

/* An ARP packet's meaning. */
struct mr_arp {
    bool is_reply;
    struct mr_mac sender_mac;
    struct mr_mac target_mac; /* zero in a request */
    struct mr_ip sender_ip;   /* 0.0.0.0: a probe, RFC 5227 */
    struct mr_ip target_ip;
};

/* Read the `size` bytes behind the Ethernet header.  False if it is none of Ethernet and IPv4, or
 * malformed. */
bool mr_arp_parse(const uint8_t *bytes, uint32_t size, struct mr_arp *arp_out);

/* Write a frame to `mac` in VLAN `vlan` (0: untagged); `frame` has 46 bytes.  Returns its size. */
uint32_t mr_arp_build(uint8_t *frame, const struct mr_mac *mac, uint16_t vlan,
                      const struct mr_arp *arp);

#endif /* MR_DATAPLANE_ARP_H */
