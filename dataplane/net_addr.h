/*
 * dataplane/net_addr.h - IP and Ethernet addresses as values: classes, prefixes, text.
 *
 * An IPv4 address is held mapped (::ffff:a.b.c.d), as in struct mr_addr.
 *
 * Owner: none, values only.  Threads: any.
 */
#ifndef MR_DATAPLANE_NET_ADDR_H
#define MR_DATAPLANE_NET_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MR_IP_TEXT  46 /* bytes of the longest text with its end */
#define MR_MAC_TEXT 18

struct mr_ip {
    uint8_t bytes[16];
};

struct mr_mac {
    uint8_t bytes[6];
};

/* An address and how many leading bits of it name the link; of a mapped IPv4 address 96..128. */
struct mr_prefix {
    struct mr_ip ip;
    uint8_t bits;
};

static inline bool mr_ip_equal(const struct mr_ip *a, const struct mr_ip *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static inline bool mr_mac_equal(const struct mr_mac *a, const struct mr_mac *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static inline bool mr_mac_is_multicast(const struct mr_mac *mac) /* broadcast included */
{
    return (mac->bytes[0] & 1) != 0;
}

bool mr_mac_is_zero(const struct mr_mac *mac);

/* The mapped form of four bytes in network order. */
static inline struct mr_ip mr_ip_from_v4(const uint8_t v4[4])
{
    struct mr_ip ip = {{[10] = 0xff, [11] = 0xff}};

    memcpy(ip.bytes + 12, v4, 4);
    return ip;
}

static inline bool mr_ip_is_v4(const struct mr_ip *ip)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    return memcmp(ip->bytes, mapped, sizeof(mapped)) == 0;
}

bool mr_ip_is_unspecified(const struct mr_ip *ip); /* 0.0.0.0 or :: */
bool mr_ip_is_multicast(const struct mr_ip *ip);
bool mr_ip_is_loopback(const struct mr_ip *ip);
bool mr_ip_is_link_local(const struct mr_ip *ip); /* 169.254/16 or fe80::/10 */

/* True if a packet may come from, or be sent to, `ip` as one host: not multicast, broadcast,
 * loopback or 0/8, not ::. */
bool mr_ip_is_unicast(const struct mr_ip *ip);

/* True if `ip` is on the link of `prefix`. */
bool mr_prefix_contains(const struct mr_prefix *prefix, const struct mr_ip *ip);

/* True if `ip` is the prefix's directed broadcast or network address (IPv4 with at least 2 host
 * bits). */
bool mr_prefix_is_broadcast(const struct mr_prefix *prefix, const struct mr_ip *ip);

/* ff02::1:ffXX:XXXX of an IPv6 address, RFC 4291, Section 2.7.1. */
struct mr_ip mr_ip_solicited_node(const struct mr_ip *ip);

/* The Ethernet address of a multicast address, RFC 1112, Section 6.4, and RFC 2464, Section 7. */
struct mr_mac mr_mac_of_multicast(const struct mr_ip *ip);

/* fe80::/64 with the modified EUI-64 of `mac`, RFC 4291, Appendix A. */
struct mr_ip mr_ip_link_local_of(const struct mr_mac *mac);

/* Parse "198.18.0.2" or "fd00::2".  False if malformed. */
bool mr_ip_parse(const char *text, struct mr_ip *ip_out);

/* Parse "198.18.0.2:443" or "[fd00::2]:443"; without a port the address alone, and *port_out stays
 * as it is.  False if malformed, or the port is 0. */
bool mr_ip_port_parse(const char *text, struct mr_ip *ip_out, uint16_t *port_out);

/* Parse "198.18.0.2/24"; without the slash all bits count.  False if malformed. */
bool mr_prefix_parse(const char *text, struct mr_prefix *prefix_out);

/* Parse "02:00:00:00:00:01".  False if malformed. */
bool mr_mac_parse(const char *text, struct mr_mac *mac_out);

/* Write as text; return `text`. */
const char *mr_ip_format(const struct mr_ip *ip, char text[MR_IP_TEXT]);
const char *mr_mac_format(const struct mr_mac *mac, char text[MR_MAC_TEXT]);

#endif /* MR_DATAPLANE_NET_ADDR_H */
