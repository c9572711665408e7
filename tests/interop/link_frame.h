/*
 * tests/interop/link_frame.h - Ethernet frames with UDP in them, as a link looks at them and
 * changes them.
 *
 * Owner: the link; a frame points into its caller's bytes.  Threads: one.
 */
#ifndef MR_TESTS_INTEROP_LINK_FRAME_H
#define MR_TESTS_INTEROP_LINK_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINK_MAC 6

struct link_frame {
    uint8_t *bytes;
    size_t size;
    bool is_v4;
    uint8_t *ip;
    uint8_t *udp;
    uint8_t *payload;
    size_t payload_size;
};

/* Find UDP in a frame, over IPv4 without fragments or IPv6 without extensions.  False: it is
 * something else. */
bool link_frame_parse(struct link_frame *frame_out, uint8_t *bytes, size_t size);

/* Source and destination: the ports, and the last byte of the IPv4 addresses. */
uint16_t link_frame_port(const struct link_frame *frame, bool is_source);
void link_frame_set_port(struct link_frame *frame, bool is_source, uint16_t port);
uint8_t link_frame_host(const struct link_frame *frame, bool is_source);
void link_frame_set_host(struct link_frame *frame, bool is_source, uint8_t host);

/* Make both checksums right again. */
void link_frame_seal(struct link_frame *frame);

/* A Version Negotiation packet (RFC 9000, Section 17.2.1)? */
bool link_frame_is_version_negotiation(const struct link_frame *frame);

/* The host byte that an ARP request asks for; -1: the frame is none. */
int link_arp_wanted(const uint8_t *bytes, size_t size);

/* Turn an ARP request into the answer that `mac` is there. */
void link_arp_answer(uint8_t *bytes, const uint8_t mac[LINK_MAC]);

#endif /* MR_TESTS_INTEROP_LINK_FRAME_H */
