/* dataplane/net_build.c - see net_build.h. */
#include "dataplane/net_build.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include "dataplane/net_wire.h"

enum {
    IPV4_VERSION_IHL = 0x45,
    IPV6_VERSION = 6,
    FLOW_LABEL_MASK = 0xfffff,
    IPV6_ECN_MASK = 0x30 /* in the second byte */
};

static void init_ethernet(uint8_t *bytes, const struct mr_net_link *link, uint16_t type)
{
    uint8_t *type_field = bytes + MR_ETHER_TYPE;

    memcpy(bytes + MR_ETHER_DESTINATION, link->destination.bytes, 6);
    memcpy(bytes + MR_ETHER_SOURCE, link->source.bytes, 6);
    if (link->vlan != 0) {
        mr_store_be16(bytes + MR_ETHER_TYPE, MR_TYPE_VLAN);
        mr_store_be16(bytes + MR_ETHER_SIZE, link->vlan & MR_VLAN_ID_MASK);
        type_field += MR_VLAN_SIZE;
    }
    mr_store_be16(type_field, type);
}

/* Where the template's frame begins. */
static uint8_t *frame_of(struct mr_net_header *header)
{
    return header->bytes + MR_NET_HEADER_MAX - header->size;
}

static void init_ipv4(struct mr_net_header *header, const struct mr_path_addr *path)
{
    uint8_t *ip = frame_of(header) + header->l3_offset;

    ip[0] = IPV4_VERSION_IHL;
    mr_store_be16(ip + MR_IPV4_FRAGMENT, MR_IPV4_DF);
    ip[MR_IPV4_TTL] = MR_NET_HOP_LIMIT;
    ip[MR_IPV4_PROTOCOL] = MR_PROTOCOL_UDP;
    memcpy(ip + MR_IPV4_SOURCE, path->local.ip + 12, 4);
    memcpy(ip + MR_IPV4_DESTINATION, path->remote.ip + 12, 4);
    header->ip_sum = mr_checksum_add(0, ip, MR_IPV4_SIZE);
    header->pseudo_sum =
        mr_checksum_pseudo4(ip + MR_IPV4_SOURCE, ip + MR_IPV4_DESTINATION, MR_PROTOCOL_UDP, 0);
}

static void init_ipv6(struct mr_net_header *header, const struct mr_path_addr *path,
                      uint32_t flow_label)
{
    uint8_t *ip = frame_of(header) + header->l3_offset;

    mr_store_be32(ip, (uint32_t)IPV6_VERSION << 28 | (flow_label & FLOW_LABEL_MASK));
    ip[MR_IPV6_NEXT] = MR_PROTOCOL_UDP;
    ip[MR_IPV6_HOP_LIMIT] = MR_NET_HOP_LIMIT;
    memcpy(ip + MR_IPV6_SOURCE, path->local.ip, 16);
    memcpy(ip + MR_IPV6_DESTINATION, path->remote.ip, 16);
    header->pseudo_sum =
        mr_checksum_pseudo6(ip + MR_IPV6_SOURCE, ip + MR_IPV6_DESTINATION, MR_PROTOCOL_UDP, 0);
}

void mr_net_header_init(struct mr_net_header *header, const struct mr_net_link *link,
                        const struct mr_path_addr *path, uint32_t flow_label)
{
    bool is_ipv4 = mr_addr_is_ipv4(&path->remote);

    MR_DASSERT(is_ipv4 == mr_addr_is_ipv4(&path->local));
    uint32_t link_size = MR_ETHER_SIZE + (link->vlan != 0 ? MR_VLAN_SIZE : 0);
    uint32_t ip_size = is_ipv4 ? MR_IPV4_SIZE : MR_IPV6_SIZE;

    *header = (struct mr_net_header){
        .size = (uint8_t)(link_size + ip_size + MR_UDP_SIZE),
        .l3_offset = (uint8_t)link_size,
        .l4_offset = (uint8_t)(link_size + ip_size),
        .is_ipv4 = is_ipv4,
        .ip_mode = MR_NET_SUM_SOFTWARE,
        .udp_mode = MR_NET_SUM_SOFTWARE,
    };
    init_ethernet(frame_of(header), link, is_ipv4 ? MR_TYPE_IPV4 : MR_TYPE_IPV6);
    if (is_ipv4)
        init_ipv4(header, path);
    else
        init_ipv6(header, path, flow_label);

    uint8_t *udp = frame_of(header) + header->l4_offset;
    mr_store_be16(udp + MR_UDP_SOURCE, path->local.port);
    mr_store_be16(udp + MR_UDP_DESTINATION, path->remote.port);
}

/* `sum` with a 16-bit word in network order more. */
static uint64_t add_word(uint64_t sum, uint16_t word)
{
    uint8_t bytes[2];

    mr_store_be16(bytes, word);
    return mr_checksum_add(sum, bytes, sizeof(bytes));
}

static void fill_ipv4(const struct mr_net_header *header, uint8_t *ip, uint16_t total, uint8_t ecn)
{
    ip[MR_IPV4_TOS] = ecn;
    mr_store_be16(ip + MR_IPV4_LENGTH, total);
    if (header->ip_mode != MR_NET_SUM_OFFLOAD)
        mr_store_be16(ip + MR_IPV4_CHECKSUM,
                      mr_checksum_finish(add_word(add_word(header->ip_sum, total), ecn)));
}

static void fill_ipv6(uint8_t *ip, uint16_t payload_size, uint8_t ecn)
{
    ip[1] = (uint8_t)((ip[1] & ~IPV6_ECN_MASK) | ecn << 4);
    mr_store_be16(ip + MR_IPV6_LENGTH, payload_size);
}

/* Put what depends on size and ECN into the template. */
static void fill(struct mr_net_header *header, uint16_t udp_size, uint8_t ecn)
{
    uint8_t *ip = frame_of(header) + header->l3_offset;
    uint8_t *udp = frame_of(header) + header->l4_offset;

    if (header->is_ipv4)
        fill_ipv4(header, ip, (uint16_t)(MR_IPV4_SIZE + udp_size), ecn);
    else
        fill_ipv6(ip, udp_size, ecn);
    mr_store_be16(udp + MR_UDP_LENGTH, udp_size);
    if (header->udp_mode == MR_NET_SUM_OFFLOAD)
        mr_store_be16(
            udp + MR_UDP_CHECKSUM,
            (uint16_t)(0xffff - mr_checksum_finish(add_word(header->pseudo_sum, udp_size))));
    header->filled_size = udp_size;
    header->filled_ecn = ecn;
}

uint8_t *mr_net_header_write(struct mr_net_header *header, uint8_t *payload, uint32_t size,
                             uint8_t ecn)
{
    uint8_t *frame = payload - header->size;
    uint8_t *udp = frame + header->l4_offset;
    uint16_t udp_size = (uint16_t)(MR_UDP_SIZE + size);

    if (udp_size != header->filled_size || ecn != header->filled_ecn)
        fill(header, udp_size, ecn);
    memcpy(payload - MR_NET_HEADER_MAX, header->bytes, MR_NET_HEADER_MAX);
    if (header->udp_mode == MR_NET_SUM_SOFTWARE)
        mr_store_be16(udp + MR_UDP_CHECKSUM,
                      mr_checksum_finish_udp(
                          mr_checksum_add(add_word(header->pseudo_sum, udp_size), udp, udp_size)));
    return frame;
}

void mr_net_header_cover(const struct mr_net_header *header, uint8_t *frame, uint32_t size)
{
    uint8_t *ip = frame + header->l3_offset;
    uint8_t *udp = frame + header->l4_offset;
    uint16_t udp_size = (uint16_t)(MR_UDP_SIZE + size);

    MR_DASSERT(header->udp_mode == MR_NET_SUM_OFFLOAD);
    if (header->is_ipv4)
        mr_store_be16(ip + MR_IPV4_LENGTH, (uint16_t)(MR_IPV4_SIZE + udp_size));
    else
        mr_store_be16(ip + MR_IPV6_LENGTH, udp_size);
    mr_store_be16(udp + MR_UDP_LENGTH, udp_size);
    mr_store_be16(udp + MR_UDP_CHECKSUM,
                  (uint16_t)(0xffff - mr_checksum_finish(header->pseudo_sum)));
}
