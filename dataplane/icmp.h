/*
 * dataplane/icmp.h - echo, and errors that quote a packet of ours: RFC 792, RFC 4443.
 *
 * Owner: none.  Threads: any.
 */
#ifndef MR_DATAPLANE_ICMP_H
#define MR_DATAPLANE_ICMP_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/net_parse.h"
#include "quic/types.h"

enum mr_icmp_kind {
    MR_ICMP_ECHO,        /* a request: answer it with mr_icmp_make_reply() */
    MR_ICMP_NDP,         /* solicitation or advertisement: mr_ndp_parse() */
    MR_ICMP_TOO_BIG,     /* an event */
    MR_ICMP_UNREACHABLE, /* an event */
    MR_ICMP_BAD,         /* malformed or wrong checksum */
    MR_ICMP_OTHER        /* nothing that concerns us */
};

/* An ICMP error about a UDP datagram of ours.  Unauthenticated: a hint, RFC 9000, Section 14.2.1.
 */
struct mr_icmp_event {
    enum mr_icmp_kind kind; /* MR_ICMP_TOO_BIG or MR_ICMP_UNREACHABLE */
    uint32_t mtu; /* TOO_BIG: bytes of an IP packet; IPv4 routers older than RFC 1191 say 0 */
    bool is_port; /* UNREACHABLE: the host is there, and nothing listens on the port */
    struct mr_path_addr path; /* of the quoted packet: local is its source */
    uint8_t quoted_size;      /* bytes of the quoted UDP payload, at most 64: enough for a CID */
    uint8_t quoted[64];
};

/*
 * Judge an ICMP packet that mr_net_parse() found: `bytes` is the ICMP header, `size` reaches to the
 * end of the IP packet.
 * `*event_out` is set for TOO_BIG and UNREACHABLE.  Checks the checksum unless `is_sum_good`.
 */
enum mr_icmp_kind mr_icmp_parse(const uint8_t *bytes, uint32_t size,
                                const struct mr_path_addr *path, bool is_sum_good,
                                struct mr_icmp_event *event_out);

/*
 * Turn the frame of an echo request into its reply, in place: addresses exchanged, types and
 * checksums rewritten. `mac` is ours; `local` is the address the answer comes from.  `size` is the
 * frame's; returns the reply's frame size.
 */
uint32_t mr_icmp_make_reply(uint8_t *frame, const struct mr_net_packet *packet,
                            const struct mr_mac *mac, const struct mr_ip *local);

#endif /* MR_DATAPLANE_ICMP_H */
