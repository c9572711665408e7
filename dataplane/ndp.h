/*
 * dataplane/ndp.h - neighbour solicitations and advertisements, RFC 4861, Sections 4.3, 4.4
 * and 7.1.
 *
 * Owner: none.  Threads: any.
 */
#ifndef MR_DATAPLANE_NDP_H
#define MR_DATAPLANE_NDP_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/net_addr.h"

#define MR_NDP_FRAME_MAX 90 /* bytes: Ethernet, VLAN, IPv6, message, one option */

enum mr_ndp_flags {
    MR_NDP_OVERRIDE = 1 << 5,
    MR_NDP_SOLICITED = 1 << 6,
    MR_NDP_ROUTER = 1 << 7
};

struct mr_ndp {
    bool is_advertisement; /* else a solicitation */
    bool has_mac;  /* source (solicitation) or target (advertisement) link-layer address option */
    uint8_t flags; /* enum mr_ndp_flags, of an advertisement */
    struct mr_ip source; /* :: in a solicitation: duplicate address detection */
    struct mr_ip destination;
    struct mr_ip target;
    struct mr_mac mac;
};

/*
 * Read an ICMPv6 message of `size` bytes whose checksum was verified; `source`, `destination` and
 * `hop_limit` are the IPv6 header's.  False unless it is a solicitation or advertisement that RFC
 * 4861, Section 7.1, calls valid.
 */
bool mr_ndp_parse(const uint8_t *bytes, uint32_t size, const struct mr_ip *source,
                  const struct mr_ip *destination, uint8_t hop_limit, struct mr_ndp *ndp_out);

/* Write a frame from `source_mac` to `mac` in VLAN `vlan` (0: untagged); `frame` has
 * MR_NDP_FRAME_MAX bytes.  Returns its size. */
uint32_t mr_ndp_build(uint8_t *frame, const struct mr_mac *source_mac, const struct mr_mac *mac,
                      uint16_t vlan, const struct mr_ndp *ndp);

#endif /* MR_DATAPLANE_NDP_H */
