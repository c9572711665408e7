/* dataplane/icmp.c - see icmp.h. */
#include "dataplane/icmp.h"

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/compiler.h"
#include "dataplane/net_wire.h"

enum {
    HOP_LIMIT = 64
};

/* ---- received errors ---- */

/* Read the UDP datagram that an error quotes, from its IP header's end on. */
static bool read_quoted_udp(const uint8_t *udp, uint32_t size, struct mr_icmp_event *event)
{
    if (size < MR_UDP_SIZE)
        return false;
    event->path.local.port = mr_load_be16(udp + MR_UDP_SOURCE);
    event->path.remote.port = mr_load_be16(udp + MR_UDP_DESTINATION);
    event->quoted_size = (uint8_t)MR_MIN(size - MR_UDP_SIZE, (uint32_t)sizeof(event->quoted));
    memcpy(event->quoted, udp + MR_UDP_SIZE, event->quoted_size);
    return true;
}

static bool read_quoted4(const uint8_t *ip, uint32_t size, struct mr_icmp_event *event)
{
    if (size < MR_IPV4_SIZE || ip[0] >> 4 != 4)
        return false;

    uint32_t header = (ip[0] & 0x0fu) * 4;
    if (header < MR_IPV4_SIZE || header > size || ip[MR_IPV4_PROTOCOL] != MR_PROTOCOL_UDP)
        return false;
    struct mr_ip local = mr_ip_from_v4(ip + MR_IPV4_SOURCE);
    struct mr_ip remote = mr_ip_from_v4(ip + MR_IPV4_DESTINATION);
    memcpy(event->path.local.ip, local.bytes, sizeof(local));
    memcpy(event->path.remote.ip, remote.bytes, sizeof(remote));
    return read_quoted_udp(ip + header, size - header, event);
}

static bool read_quoted6(const uint8_t *ip, uint32_t size, struct mr_icmp_event *event)
{
    if (size < MR_IPV6_SIZE || ip[0] >> 4 != 6 || ip[MR_IPV6_NEXT] != MR_PROTOCOL_UDP)
        return false;
    memcpy(event->path.local.ip, ip + MR_IPV6_SOURCE, 16);
    memcpy(event->path.remote.ip, ip + MR_IPV6_DESTINATION, 16);
    return read_quoted_udp(ip + MR_IPV6_SIZE, size - MR_IPV6_SIZE, event);
}

/* An error about a packet of ours names the address it was sent to as its source's. */
static enum mr_icmp_kind parse_error(const uint8_t *bytes, uint32_t size,
                                     const struct mr_path_addr *path, enum mr_icmp_kind kind,
                                     struct mr_icmp_event *event)
{
    const uint8_t *quoted = bytes + MR_ICMP_SIZE;
    uint32_t quoted_size = size - MR_ICMP_SIZE;
    bool is_ipv4 = mr_addr_is_ipv4(&path->local);

    uint8_t port_code = is_ipv4 ? MR_ICMP4_PORT_CODE : MR_ICMP6_PORT_CODE;

    *event = (struct mr_icmp_event){
        .kind = kind, .is_port = kind == MR_ICMP_UNREACHABLE && bytes[MR_ICMP_CODE] == port_code};
    if (kind == MR_ICMP_TOO_BIG)
        event->mtu =
            is_ipv4 ? mr_load_be16(bytes + MR_ICMP_REST + 2) : mr_load_be32(bytes + MR_ICMP_REST);
    if (!(is_ipv4 ? read_quoted4(quoted, quoted_size, event)
                  : read_quoted6(quoted, quoted_size, event)))
        return MR_ICMP_BAD;
    return memcmp(event->path.local.ip, path->local.ip, 16) == 0 ? kind : MR_ICMP_BAD;
}

static enum mr_icmp_kind kind_of4(uint8_t type, uint8_t code)
{
    if (type == MR_ICMP4_ECHO)
        return MR_ICMP_ECHO;
    if (type == MR_ICMP4_UNREACHABLE)
        return code == MR_ICMP4_TOO_BIG_CODE ? MR_ICMP_TOO_BIG : MR_ICMP_UNREACHABLE;
    return MR_ICMP_OTHER;
}

static enum mr_icmp_kind kind_of6(uint8_t type)
{
    switch (type) {
    case MR_ICMP6_ECHO:
        return MR_ICMP_ECHO;
    case MR_ICMP6_SOLICITATION:
    case MR_ICMP6_ADVERTISEMENT:
        return MR_ICMP_NDP;
    case MR_ICMP6_TOO_BIG:
        return MR_ICMP_TOO_BIG;
    case MR_ICMP6_UNREACHABLE:
        return MR_ICMP_UNREACHABLE;
    default:
        return MR_ICMP_OTHER;
    }
}

enum mr_icmp_kind mr_icmp_parse(const uint8_t *bytes, uint32_t size,
                                const struct mr_path_addr *path, bool is_sum_good,
                                struct mr_icmp_event *event_out)
{
    bool is_ipv4 = mr_addr_is_ipv4(&path->local);

    if (size < MR_ICMP_SIZE)
        return MR_ICMP_BAD;
    /* Unlike ICMP's, ICMPv6's sum covers a pseudo-header: RFC 4443, Section 2.3. */
    uint64_t sum =
        is_ipv4 ? 0 : mr_checksum_pseudo6(path->remote.ip, path->local.ip, MR_PROTOCOL_ICMP6, size);
    if (!is_sum_good && mr_checksum_finish(mr_checksum_add(sum, bytes, size)) != 0)
        return MR_ICMP_BAD;

    enum mr_icmp_kind kind = is_ipv4 ? kind_of4(bytes[MR_ICMP_TYPE], bytes[MR_ICMP_CODE])
                                     : kind_of6(bytes[MR_ICMP_TYPE]);
    if (kind == MR_ICMP_TOO_BIG || kind == MR_ICMP_UNREACHABLE)
        return parse_error(bytes, size, path, kind, event_out);
    return kind;
}

/* ---- echo ---- */

static void swap_macs(uint8_t *frame, const struct mr_mac *mac)
{
    memcpy(frame + MR_ETHER_DESTINATION, frame + MR_ETHER_SOURCE, 6);
    memcpy(frame + MR_ETHER_SOURCE, mac->bytes, 6);
}

static void make_ipv4(uint8_t *ip, uint32_t header, uint16_t total, const struct mr_ip *local)
{
    ip[MR_IPV4_TTL] = HOP_LIMIT;
    mr_store_be16(ip + MR_IPV4_FRAGMENT, 0);
    mr_store_be16(ip + MR_IPV4_LENGTH, total);
    memcpy(ip + MR_IPV4_DESTINATION, ip + MR_IPV4_SOURCE, 4);
    memcpy(ip + MR_IPV4_SOURCE, local->bytes + 12, 4);
    mr_store_be16(ip + MR_IPV4_CHECKSUM, 0);
    mr_store_be16(ip + MR_IPV4_CHECKSUM, mr_checksum_finish(mr_checksum_add(0, ip, header)));
}

static void make_ipv6(uint8_t *ip, uint16_t payload, const struct mr_ip *local)
{
    ip[MR_IPV6_NEXT] = MR_PROTOCOL_ICMP6;
    ip[MR_IPV6_HOP_LIMIT] = HOP_LIMIT;
    mr_store_be16(ip + MR_IPV6_LENGTH, payload);
    memcpy(ip + MR_IPV6_DESTINATION, ip + MR_IPV6_SOURCE, 16);
    memcpy(ip + MR_IPV6_SOURCE, local->bytes, 16);
}

static void finish_icmp(uint8_t *icmp, uint32_t size, uint8_t type, uint64_t pseudo)
{
    icmp[MR_ICMP_TYPE] = type;
    mr_store_be16(icmp + MR_ICMP_CHECKSUM, 0);
    mr_store_be16(icmp + MR_ICMP_CHECKSUM, mr_checksum_finish(mr_checksum_add(pseudo, icmp, size)));
}

uint32_t mr_icmp_make_reply(uint8_t *frame, const struct mr_net_packet *packet,
                            const struct mr_mac *mac, const struct mr_ip *local)
{
    uint8_t *ip = frame + packet->l3_offset;
    uint32_t size = packet->payload_size;

    swap_macs(frame, mac);
    if (mr_ip_is_v4(local)) {
        uint32_t header = (uint32_t)packet->l4_offset -
                          packet->l3_offset; /* options come back, RFC 1122, 3.2.2.6 */

        make_ipv4(ip, header, (uint16_t)(header + size), local);
        finish_icmp(frame + packet->l4_offset, size, MR_ICMP4_ECHO_REPLY, 0);
        return packet->l4_offset + size;
    }
    /* Extension headers do not come back: the message moves up to the IPv6 header. */
    uint8_t *icmp = ip + MR_IPV6_SIZE;
    memmove(icmp, frame + packet->l4_offset, size);
    make_ipv6(ip, (uint16_t)size, local);
    finish_icmp(icmp, size, MR_ICMP6_ECHO_REPLY,
                mr_checksum_pseudo6(ip + MR_IPV6_SOURCE, ip + MR_IPV6_DESTINATION,
                                    MR_PROTOCOL_ICMP6, size));
    return (uint32_t)(icmp - frame) + size;
}
