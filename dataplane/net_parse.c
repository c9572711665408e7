/* dataplane/net_parse.c - see net_parse.h. */
#include "dataplane/net_parse.h"

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/compiler.h"
#include "dataplane/net_wire.h"

enum {
    ARP_SIZE = 28,
    OPTION_END = 0,
    OPTION_NOP = 1,
    OPTION_LOOSE_ROUTE = 131,
    OPTION_STRICT_ROUTE = 137
};

/* One frame being judged. */
struct parse {
    const struct mr_net_self *self;
    const uint8_t *data;
    uint32_t size; /* of the frame, later of the IP packet's end: nothing behind it is read */
    enum mr_net_sums sums;
    bool is_group; /* its Ethernet destination is */
    struct mr_net_packet *packet;
    struct mr_path_addr *path;
};

bool mr_net_self_has(const struct mr_net_self *self, const struct mr_ip *ip)
{
    for (uint32_t i = 0; i < self->address_count; i++)
        if (mr_ip_equal(&self->address[i].ip, ip))
            return true;
    return false;
}

/* ---- UDP ---- */

/* Is the UDP checksum right?  `pseudo` is the sum of the pseudo-header with the IP packet's idea of
 * the length. */
static inline bool is_udp_sum_good(enum mr_net_sums sums, const uint8_t *udp, uint32_t udp_size,
                                   uint64_t pseudo)
{
    /* The local kernel leaves the complement to a device: the field holds the folded pseudo-header
     * sum. */
    if (sums == MR_NET_SUMS_PARTIAL &&
        mr_load_be16(udp + MR_UDP_CHECKSUM) + mr_checksum_finish(pseudo) == 0xffff)
        return true;
    return mr_checksum_finish(mr_checksum_add(pseudo, udp, udp_size)) == 0;
}

static uint64_t pseudo_sum(const struct parse *p, bool is_ipv4, uint32_t udp_size)
{
    const uint8_t *ip = p->data + p->packet->l3_offset;

    if (is_ipv4)
        return mr_checksum_pseudo4(ip + MR_IPV4_SOURCE, ip + MR_IPV4_DESTINATION, MR_PROTOCOL_UDP,
                                   (uint16_t)udp_size);
    return mr_checksum_pseudo6(ip + MR_IPV6_SOURCE, ip + MR_IPV6_DESTINATION, MR_PROTOCOL_UDP,
                               udp_size);
}

static bool check_udp_sum(const struct parse *p, const uint8_t *udp, uint32_t udp_size,
                          bool is_ipv4)
{
    if (p->sums == MR_NET_SUMS_GOOD || p->sums == MR_NET_SUMS_GOOD_L4)
        return true;
    if (p->sums == MR_NET_SUMS_BAD_L4)
        return false;
    if (mr_load_be16(udp + MR_UDP_CHECKSUM) == 0)
        return is_ipv4; /* RFC 768: none was computed; RFC 8200, Section 8.1: never over IPv6 */
    return is_udp_sum_good(p->sums, udp, udp_size, pseudo_sum(p, is_ipv4, udp_size));
}

static inline enum mr_net_kind parse_udp(struct parse *p, uint32_t l4_offset, bool is_ipv4)
{
    const uint8_t *udp = p->data + l4_offset;
    uint32_t room = p->size - l4_offset;

    if (room < MR_UDP_SIZE)
        return MR_NET_DROP_UDP_LENGTH;
    uint32_t udp_size = mr_load_be16(udp + MR_UDP_LENGTH);
    if (udp_size < MR_UDP_SIZE || udp_size > room)
        return MR_NET_DROP_UDP_LENGTH;
    if (!check_udp_sum(p, udp, udp_size, is_ipv4))
        return MR_NET_DROP_UDP_CHECKSUM;

    p->packet->payload_offset = (uint16_t)(l4_offset + MR_UDP_SIZE);
    p->packet->payload_size = (uint16_t)(udp_size - MR_UDP_SIZE);
    p->path->remote.port = mr_load_be16(udp + MR_UDP_SOURCE);
    p->path->local.port = mr_load_be16(udp + MR_UDP_DESTINATION);
    return MR_NET_UDP;
}

/* What lies behind the IP headers. */
static inline enum mr_net_kind parse_transport(struct parse *p, uint32_t l4_offset,
                                               uint8_t protocol, bool is_ipv4)
{
    p->packet->l4_offset = (uint16_t)l4_offset;
    p->packet->is_group = p->is_group;
    if (protocol == MR_PROTOCOL_UDP)
        return p->is_group ? MR_NET_DROP_BROADCAST : parse_udp(p, l4_offset, is_ipv4);

    if (protocol != (is_ipv4 ? MR_PROTOCOL_ICMP : MR_PROTOCOL_ICMP6))
        return MR_NET_DROP_PROTOCOL;
    p->packet->payload_offset = (uint16_t)l4_offset;
    p->packet->payload_size = (uint16_t)(p->size - l4_offset);
    return is_ipv4 ? MR_NET_ICMP4 : MR_NET_ICMP6;
}

/* ---- IPv4 ---- */

/* Options are skipped, but for those that tell routers the way. */
static MR_COLD bool has_source_route(const uint8_t *options, uint32_t size)
{
    for (uint32_t at = 0; at < size && options[at] != OPTION_END;) {
        if (options[at] == OPTION_LOOSE_ROUTE || options[at] == OPTION_STRICT_ROUTE)
            return true;
        if (options[at] == OPTION_NOP)
            at++;
        else if (at + 1 < size && options[at + 1] >= 2)
            at += options[at + 1];
        else
            break; /* malformed: nobody follows it */
    }
    return false;
}

static uint32_t host_mask(const struct mr_prefix *prefix)
{
    return (uint32_t)(UINT64_C(0xffffffff) >> (prefix->bits - 96));
}

/* What an IPv4 address is to us. */
enum standing {
    STRANGER,
    OURS,
    OUR_BROADCAST /* a network's own address or its directed broadcast: there is neither in /31 and
                     /32 */
};

static inline enum standing standing_of(const struct mr_net_self *self, uint32_t v4)
{
    for (uint32_t i = 0; i < self->address_count; i++) {
        const struct mr_prefix *prefix = &self->address[i];

        if (!mr_ip_is_v4(&prefix->ip))
            continue;
        uint32_t own = mr_load_be32(prefix->ip.bytes + 12);
        if (v4 == own)
            return OURS;
        if (prefix->bits < 96 || prefix->bits > 126)
            continue;
        uint32_t host = host_mask(prefix);
        if (((own ^ v4) & ~host) == 0 && ((v4 & host) == 0 || (v4 & host) == host))
            return OUR_BROADCAST;
    }
    return STRANGER;
}

/* 0/8, loopback, multicast, reserved, broadcast. */
static inline bool is_unicast4(uint32_t v4)
{
    uint32_t top = v4 >> 24;

    return top != 0 && top != 127 && top < 224;
}

static MR_COLD enum mr_net_kind refuse_destination4(const struct mr_net_self *self, uint32_t v4)
{
    bool is_group = v4 >> 28 == 0xe || v4 == 0xffffffff || standing_of(self, v4) == OUR_BROADCAST;

    return is_group ? MR_NET_DROP_BROADCAST : MR_NET_DROP_NOT_OUR_IP;
}

/* In two stores: reading back what was stored in pieces would stall. */
static inline void write_mapped(uint8_t ip[16], const uint8_t v4[4])
{
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};

    memcpy(ip, prefix, sizeof(prefix));
    memcpy(ip + sizeof(prefix), v4, 4);
}

static inline enum mr_net_kind check_addresses4(struct parse *p, const uint8_t *ip)
{
    uint32_t source = mr_load_be32(ip + MR_IPV4_SOURCE);
    uint32_t destination = mr_load_be32(ip + MR_IPV4_DESTINATION);

    enum standing standing = standing_of(p->self, source);

    if (!is_unicast4(source) ||
        (standing != STRANGER && !(standing == OURS && p->self->is_loopback)))
        return MR_NET_DROP_SOURCE_IP;
    if (standing_of(p->self, destination) != OURS)
        return refuse_destination4(p->self, destination);
    if (p->is_group)
        return MR_NET_DROP_BROADCAST; /* RFC 1122, Section 3.3.6 */

    write_mapped(p->path->remote.ip, ip + MR_IPV4_SOURCE);
    write_mapped(p->path->local.ip, ip + MR_IPV4_DESTINATION);
    return MR_NET_UDP;
}

static inline enum mr_net_kind parse_ipv4(struct parse *p, uint32_t l3_offset)
{
    const uint8_t *ip = p->data + l3_offset;
    uint32_t room = p->size - l3_offset;

    if (room < MR_IPV4_SIZE)
        return MR_NET_DROP_RUNT;
    if (ip[0] >> 4 != 4)
        return MR_NET_DROP_IP_VERSION;
    uint32_t header = (ip[0] & 0x0fu) * 4;
    if (header < MR_IPV4_SIZE || header > room)
        return MR_NET_DROP_IP_HEADER;
    uint32_t total = mr_load_be16(ip + MR_IPV4_LENGTH);
    if (total < header || total > room)
        return MR_NET_DROP_IP_LENGTH;
    if (p->sums == MR_NET_SUMS_BAD_IP ||
        (p->sums != MR_NET_SUMS_GOOD && mr_checksum_finish(mr_checksum_add(0, ip, header)) != 0))
        return MR_NET_DROP_IP_CHECKSUM;
    if (mr_load_be16(ip + MR_IPV4_FRAGMENT) & MR_IPV4_IS_FRAGMENT)
        return MR_NET_DROP_FRAGMENT;
    if (header > MR_IPV4_SIZE && has_source_route(ip + MR_IPV4_SIZE, header - MR_IPV4_SIZE))
        return MR_NET_DROP_SOURCE_ROUTE;
    enum mr_net_kind kind = check_addresses4(p, ip);
    if (kind != MR_NET_UDP)
        return kind;

    p->size = l3_offset + total; /* padding ends here */
    p->packet->ecn = ip[MR_IPV4_TOS] & 3;
    p->packet->hop_limit = ip[MR_IPV4_TTL];
    return parse_transport(p, l3_offset + header, ip[MR_IPV4_PROTOCOL], true);
}

/* ---- IPv6 ---- */

/* ff02::1, and the solicited-node groups of our addresses. */
static bool is_our_group(const struct mr_net_self *self, const struct mr_ip *ip)
{
    static const struct mr_ip all_nodes = {.bytes = {0xff, 0x02, [15] = 1}};

    if (mr_ip_equal(ip, &all_nodes))
        return true;
    for (uint32_t i = 0; i < self->address_count; i++) {
        struct mr_ip group = mr_ip_solicited_node(&self->address[i].ip);

        if (!mr_ip_is_v4(&self->address[i].ip) && mr_ip_equal(ip, &group))
            return true;
    }
    return false;
}

static enum mr_net_kind check_addresses6(struct parse *p, const uint8_t *ip)
{
    struct mr_ip source;
    struct mr_ip destination;

    memcpy(source.bytes, ip + MR_IPV6_SOURCE, sizeof(source));
    memcpy(destination.bytes, ip + MR_IPV6_DESTINATION, sizeof(destination));

    /* A mapped address in an IPv6 header would pass for an IPv4 one.  :: is for neighbour
     * discovery, and so is our own: another host says that it has it. */
    bool is_ndp = ip[MR_IPV6_NEXT] == MR_PROTOCOL_ICMP6 && ip[MR_IPV6_HOP_LIMIT] == 255;
    if ((!mr_ip_is_unicast(&source) && !mr_ip_is_unspecified(&source)) || mr_ip_is_v4(&source) ||
        (mr_net_self_has(p->self, &source) && !is_ndp && !p->self->is_loopback))
        return MR_NET_DROP_SOURCE_IP;

    if (mr_ip_is_multicast(&destination)) {
        if (!is_our_group(p->self, &destination))
            return MR_NET_DROP_NOT_OUR_IP;
        p->is_group = true;
    } else if (mr_ip_is_v4(&destination) || !mr_net_self_has(p->self, &destination)) {
        return MR_NET_DROP_NOT_OUR_IP;
    } else if (p->is_group) {
        return MR_NET_DROP_BROADCAST;
    }
    memcpy(p->path->remote.ip, source.bytes, sizeof(source));
    memcpy(p->path->local.ip, destination.bytes, sizeof(destination));
    return MR_NET_UDP;
}

/* Walk the extension headers at `*offset`; MR_NET_UDP when `*next` is what follows them. */
static MR_COLD enum mr_net_kind skip_extensions(const struct parse *p, uint32_t *offset,
                                                uint8_t *next)
{
    for (uint32_t count = 0;; count++) {
        bool is_first_hop = *next == MR_PROTOCOL_HOP_BY_HOP;

        if (*next == MR_PROTOCOL_FRAGMENT)
            return MR_NET_DROP_FRAGMENT;
        if (*next == MR_PROTOCOL_ROUTING)
            return MR_NET_DROP_SOURCE_ROUTE;
        if (!is_first_hop && *next != MR_PROTOCOL_DESTINATION_OPTIONS)
            return MR_NET_UDP;
        if (count == MR_NET_EXTENSIONS_MAX || (is_first_hop && count > 0) || p->size - *offset < 8)
            return MR_NET_DROP_EXTENSION;

        uint32_t size = (p->data[*offset + 1] + 1u) * 8;
        if (size > p->size - *offset)
            return MR_NET_DROP_EXTENSION;
        *next = p->data[*offset];
        *offset += size;
    }
}

static enum mr_net_kind parse_ipv6(struct parse *p, uint32_t l3_offset)
{
    const uint8_t *ip = p->data + l3_offset;
    uint32_t room = p->size - l3_offset;

    if (room < MR_IPV6_SIZE)
        return MR_NET_DROP_RUNT;
    if (ip[0] >> 4 != 6)
        return MR_NET_DROP_IP_VERSION;
    uint32_t payload = mr_load_be16(ip + MR_IPV6_LENGTH);
    if (payload > room - MR_IPV6_SIZE)
        return MR_NET_DROP_IP_LENGTH;
    enum mr_net_kind kind = check_addresses6(p, ip);
    if (kind != MR_NET_UDP)
        return kind;

    p->size = l3_offset + MR_IPV6_SIZE + payload;
    p->packet->ecn = ip[1] >> 4 & 3;
    p->packet->hop_limit = ip[MR_IPV6_HOP_LIMIT];
    uint32_t offset = l3_offset + MR_IPV6_SIZE;
    uint8_t next = ip[MR_IPV6_NEXT];
    if (next != MR_PROTOCOL_UDP && next != MR_PROTOCOL_ICMP6) {
        kind = skip_extensions(p, &offset, &next);
        if (kind != MR_NET_UDP)
            return kind;
    }
    /* :: sends nothing but neighbour discovery. */
    if (next != MR_PROTOCOL_ICMP6 && mr_ip_is_unspecified((const struct mr_ip *)p->path->remote.ip))
        return MR_NET_DROP_SOURCE_IP;
    return parse_transport(p, offset, next, false);
}

/* ---- Ethernet ---- */

/* Tags: ours, none, or not for us.  MR_NET_UDP when `*type` and `*offset` are of what follows. */
static MR_COLD enum mr_net_kind check_vlan(const struct parse *p, uint32_t *offset, uint16_t *type)
{
    if (*type == MR_TYPE_QINQ || *type == MR_TYPE_QINQ_OLD)
        return MR_NET_DROP_QINQ;
    if (*type != MR_TYPE_VLAN)
        return MR_NET_DROP_VLAN; /* untagged, but we are in a VLAN */
    if (p->size < MR_ETHER_SIZE + MR_VLAN_SIZE)
        return MR_NET_DROP_RUNT;

    uint16_t id = mr_load_be16(p->data + MR_ETHER_SIZE) & MR_VLAN_ID_MASK; /* 0: priority only */
    *type = mr_load_be16(p->data + MR_ETHER_SIZE + 2);
    *offset += MR_VLAN_SIZE;
    if (*type == MR_TYPE_VLAN || *type == MR_TYPE_QINQ || *type == MR_TYPE_QINQ_OLD)
        return MR_NET_DROP_QINQ;
    return id == p->self->vlan ? MR_NET_UDP : MR_NET_DROP_VLAN;
}

static bool is_tag(uint16_t type)
{
    return type == MR_TYPE_VLAN || type == MR_TYPE_QINQ || type == MR_TYPE_QINQ_OLD;
}

static inline enum mr_net_kind check_macs(struct parse *p)
{
    struct mr_mac destination;
    struct mr_mac source;

    memcpy(destination.bytes, p->data + MR_ETHER_DESTINATION, sizeof(destination));
    memcpy(source.bytes, p->data + MR_ETHER_SOURCE, sizeof(source));
    p->is_group = mr_mac_is_multicast(&destination);
    if (!p->is_group && !mr_mac_equal(&destination, &p->self->mac))
        return MR_NET_DROP_NOT_OUR_MAC;
    if (mr_mac_is_multicast(&source) ||
        (mr_mac_equal(&source, &p->self->mac) && !p->self->is_loopback))
        return MR_NET_DROP_SOURCE_MAC;
    return MR_NET_UDP;
}

static MR_COLD enum mr_net_kind parse_any(const struct mr_net_self *self,
                                          const struct mr_net_frame *frame,
                                          struct mr_net_packet *packet_out,
                                          struct mr_path_addr *path_out)
{
    struct parse p = {
        .self = self,
        .data = frame->data,
        .size = MR_MIN(frame->size, (uint32_t)UINT16_MAX), /* offsets have 16 bits */
        .sums = frame->sums,
        .packet = packet_out,
        .path = path_out,
    };
    uint32_t offset = MR_ETHER_SIZE;

    if (p.size < MR_ETHER_SIZE)
        return MR_NET_DROP_RUNT;
    enum mr_net_kind kind = check_macs(&p);
    if (kind != MR_NET_UDP)
        return kind;

    uint16_t type = mr_load_be16(p.data + MR_ETHER_TYPE);
    if (self->vlan != 0 || is_tag(type)) {
        kind = check_vlan(&p, &offset, &type);
        if (kind != MR_NET_UDP)
            return kind;
    }
    packet_out->l3_offset = (uint16_t)offset;
    path_out->local.zero = 0;
    path_out->remote.zero = 0;
    path_out->local.port = 0;
    path_out->remote.port = 0;

    if (type == MR_TYPE_IPV4)
        return parse_ipv4(&p, offset);
    if (type == MR_TYPE_IPV6)
        return parse_ipv6(&p, offset);
    if (type == MR_TYPE_ARP)
        return p.size - offset < ARP_SIZE ? MR_NET_DROP_RUNT : MR_NET_ARP;
    return MR_NET_DROP_ETHERTYPE;
}

/* ---- the common case ---- */

enum { /* of an untagged IPv4 datagram without options */
    PLAIN_IP = MR_ETHER_SIZE,
    PLAIN_UDP = PLAIN_IP + MR_IPV4_SIZE,
    PLAIN_PAYLOAD = PLAIN_UDP + MR_UDP_SIZE,
    PLAIN_START =
        0x08004500 /* Ethernet type, version and header length; then the type of service */
};

/* Is it an untagged IPv4 datagram without options, whole, whose lengths agree? */
static inline bool is_plain(const struct mr_net_self *self, const uint8_t *f, uint32_t size)
{
    if (size < PLAIN_PAYLOAD || size > UINT16_MAX || self->vlan != 0 ||
        (mr_load_be32(f + MR_ETHER_TYPE) & 0xffffff00) != PLAIN_START)
        return false;

    const uint8_t *ip = f + PLAIN_IP;
    uint32_t total = mr_load_be16(ip + MR_IPV4_LENGTH);
    uint32_t udp_size = mr_load_be16(f + PLAIN_UDP + MR_UDP_LENGTH);
    return (mr_load_be16(ip + MR_IPV4_FRAGMENT) & MR_IPV4_IS_FRAGMENT) == 0 &&
           ip[MR_IPV4_PROTOCOL] == MR_PROTOCOL_UDP && total <= size - PLAIN_IP &&
           udp_size >= MR_UDP_SIZE && udp_size + MR_IPV4_SIZE <= total;
}

/* Is it from a stranger's station and address to ours? */
static inline bool is_for_us(const struct mr_net_self *self, const uint8_t *f)
{
    uint32_t source = mr_load_be32(f + PLAIN_IP + MR_IPV4_SOURCE);
    uint32_t destination = mr_load_be32(f + PLAIN_IP + MR_IPV4_DESTINATION);

    return memcmp(f + MR_ETHER_DESTINATION, self->mac.bytes, 6) == 0 &&
           memcmp(f + MR_ETHER_SOURCE, self->mac.bytes, 6) != 0 && (f[MR_ETHER_SOURCE] & 1) == 0 &&
           is_unicast4(source) && standing_of(self, source) == STRANGER &&
           standing_of(self, destination) == OURS;
}

/* Are both sums of such a datagram right?  Those that the port knows to be wrong are not. */
static bool are_sums_good(enum mr_net_sums sums, const uint8_t *ip)
{
    const uint8_t *udp = ip + MR_IPV4_SIZE;
    uint16_t udp_size = mr_load_be16(udp + MR_UDP_LENGTH);

    if (sums == MR_NET_SUMS_BAD_IP || sums == MR_NET_SUMS_BAD_L4 ||
        mr_checksum_finish(mr_checksum_add(0, ip, MR_IPV4_SIZE)) != 0)
        return false;
    if (sums == MR_NET_SUMS_GOOD_L4 || mr_load_be16(udp + MR_UDP_CHECKSUM) == 0)
        return true;
    return is_udp_sum_good(sums, udp, udp_size,
                           mr_checksum_pseudo4(ip + MR_IPV4_SOURCE, ip + MR_IPV4_DESTINATION,
                                               MR_PROTOCOL_UDP, udp_size));
}

/* In a straight line what parse_any() finds step by step.  False: something is unusual, ask that.
 */
static inline bool parse_plain(const struct mr_net_self *self, const struct mr_net_frame *frame,
                               struct mr_net_packet *packet, struct mr_path_addr *path)
{
    const uint8_t *f = frame->data;
    const uint8_t *ip = f + PLAIN_IP;

    if (!is_plain(self, f, frame->size) || !is_for_us(self, f) ||
        (frame->sums != MR_NET_SUMS_GOOD && !are_sums_good(frame->sums, ip)))
        return false;
    *packet = (struct mr_net_packet){
        .l3_offset = PLAIN_IP,
        .l4_offset = PLAIN_UDP,
        .payload_offset = PLAIN_PAYLOAD,
        .payload_size = (uint16_t)(mr_load_be16(f + PLAIN_UDP + MR_UDP_LENGTH) - MR_UDP_SIZE),
        .ecn = ip[MR_IPV4_TOS] & 3,
        .hop_limit = ip[MR_IPV4_TTL],
    };
    write_mapped(path->local.ip, ip + MR_IPV4_DESTINATION);
    path->local.port = mr_load_be16(f + PLAIN_UDP + MR_UDP_DESTINATION);
    path->local.zero = 0;
    write_mapped(path->remote.ip, ip + MR_IPV4_SOURCE);
    path->remote.port = mr_load_be16(f + PLAIN_UDP + MR_UDP_SOURCE);
    path->remote.zero = 0;
    return true;
}

enum mr_net_kind mr_net_parse(const struct mr_net_self *self, const struct mr_net_frame *frame,
                              struct mr_net_packet *packet_out, struct mr_path_addr *path_out)
{
    if (parse_plain(self, frame, packet_out, path_out))
        return MR_NET_UDP;
    return parse_any(self, frame, packet_out, path_out);
}

const char *mr_net_kind_name(enum mr_net_kind kind)
{
    static const char *const names[MR_NET_KINDS] = {
        [MR_NET_UDP] = "udp",
        [MR_NET_ARP] = "arp",
        [MR_NET_ICMP4] = "icmp4",
        [MR_NET_ICMP6] = "icmp6",
        [MR_NET_DROP_RUNT] = "runt",
        [MR_NET_DROP_VLAN] = "vlan",
        [MR_NET_DROP_QINQ] = "qinq",
        [MR_NET_DROP_ETHERTYPE] = "ethertype",
        [MR_NET_DROP_NOT_OUR_MAC] = "not_our_mac",
        [MR_NET_DROP_SOURCE_MAC] = "source_mac",
        [MR_NET_DROP_IP_VERSION] = "ip_version",
        [MR_NET_DROP_IP_HEADER] = "ip_header",
        [MR_NET_DROP_IP_LENGTH] = "ip_length",
        [MR_NET_DROP_IP_CHECKSUM] = "ip_checksum",
        [MR_NET_DROP_FRAGMENT] = "fragment",
        [MR_NET_DROP_SOURCE_ROUTE] = "source_route",
        [MR_NET_DROP_EXTENSION] = "extension",
        [MR_NET_DROP_SOURCE_IP] = "source_ip",
        [MR_NET_DROP_NOT_OUR_IP] = "not_our_ip",
        [MR_NET_DROP_BROADCAST] = "broadcast",
        [MR_NET_DROP_PROTOCOL] = "protocol",
        [MR_NET_DROP_UDP_LENGTH] = "udp_length",
        [MR_NET_DROP_UDP_CHECKSUM] = "udp_checksum",
    };

    return names[kind];
}
