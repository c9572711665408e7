/* dataplane/ndp.c - see ndp.h. */
#include "dataplane/ndp.h"

#include "base/bytes.h"
#include "base/checksum.h"
#include "dataplane/net_wire.h"

enum {
    FLAGS = 4,
    TARGET = 8,
    OPTIONS = 24,
    OPTION_SOURCE_MAC = 1,
    OPTION_TARGET_MAC = 2,
    OPTION_MAC_SIZE = 8,
    HOP_LIMIT = 255, /* proves that no router forwarded it */
    IPV6_FIRST_BYTE = 0x60
};

/* Find the link-layer address option; false if an option is malformed: its length is 0 or passes
 * the end. */
static bool read_options(const uint8_t *bytes, uint32_t size, uint8_t wanted, struct mr_ndp *ndp)
{
    for (uint32_t at = OPTIONS; at < size;) {
        uint32_t left = size - at;
        uint32_t option = left >= 2 ? bytes[at + 1] * 8u : 0;

        if (option == 0 || option > left)
            return false;
        if (bytes[at] == wanted) {
            if (option != OPTION_MAC_SIZE)
                return false;
            ndp->has_mac = true;
            memcpy(ndp->mac.bytes, bytes + at + 2, 6);
        }
        at += option;
    }
    return true;
}

/* RFC 4861, Section 7.1.1: from ::, it goes to a solicited-node group and names no link-layer
 * address. */
static bool is_valid_solicitation(const struct mr_ndp *ndp)
{
    struct mr_ip group = mr_ip_solicited_node(&ndp->target);

    return !mr_ip_is_unspecified(&ndp->source) ||
           (!ndp->has_mac && mr_ip_equal(&ndp->destination, &group));
}

/* Section 7.1.2: to a group it is not an answer. */
static bool is_valid_advertisement(const struct mr_ndp *ndp)
{
    bool is_answer = (ndp->flags & MR_NDP_SOLICITED) != 0;

    return !mr_ip_is_unspecified(&ndp->source) &&
           !(is_answer && mr_ip_is_multicast(&ndp->destination));
}

bool mr_ndp_parse(const uint8_t *bytes, uint32_t size, const struct mr_ip *source,
                  const struct mr_ip *destination, uint8_t hop_limit, struct mr_ndp *ndp_out)
{
    if (size < OPTIONS || hop_limit != HOP_LIMIT || bytes[MR_ICMP_CODE] != 0)
        return false;
    if (bytes[MR_ICMP_TYPE] != MR_ICMP6_SOLICITATION &&
        bytes[MR_ICMP_TYPE] != MR_ICMP6_ADVERTISEMENT)
        return false;

    *ndp_out = (struct mr_ndp){
        .is_advertisement = bytes[MR_ICMP_TYPE] == MR_ICMP6_ADVERTISEMENT,
        .source = *source,
        .destination = *destination,
    };
    memcpy(ndp_out->target.bytes, bytes + TARGET, sizeof(ndp_out->target));
    if (ndp_out->is_advertisement)
        ndp_out->flags = bytes[FLAGS] & (MR_NDP_ROUTER | MR_NDP_SOLICITED | MR_NDP_OVERRIDE);
    if (mr_ip_is_multicast(&ndp_out->target) || mr_ip_is_v4(&ndp_out->target))
        return false;
    if (!read_options(bytes, size,
                      ndp_out->is_advertisement ? OPTION_TARGET_MAC : OPTION_SOURCE_MAC, ndp_out))
        return false;
    return ndp_out->is_advertisement ? is_valid_advertisement(ndp_out)
                                     : is_valid_solicitation(ndp_out);
}

static uint8_t *build_ethernet(uint8_t *frame, const struct mr_mac *source,
                               const struct mr_mac *destination, uint16_t vlan)
{
    uint8_t *ip = frame + MR_ETHER_SIZE;

    memcpy(frame + MR_ETHER_DESTINATION, destination->bytes, 6);
    memcpy(frame + MR_ETHER_SOURCE, source->bytes, 6);
    if (vlan != 0) {
        mr_store_be16(frame + MR_ETHER_TYPE, MR_TYPE_VLAN);
        mr_store_be16(frame + MR_ETHER_SIZE, vlan);
        ip += MR_VLAN_SIZE;
    }
    mr_store_be16(ip - 2, MR_TYPE_IPV6);
    return ip;
}

uint32_t mr_ndp_build(uint8_t *frame, const struct mr_mac *source_mac, const struct mr_mac *mac,
                      uint16_t vlan, const struct mr_ndp *ndp)
{
    uint8_t *ip = build_ethernet(frame, source_mac, mac, vlan);
    uint8_t *icmp = ip + MR_IPV6_SIZE;
    uint16_t size = (uint16_t)(OPTIONS + (ndp->has_mac ? OPTION_MAC_SIZE : 0));

    memset(ip, 0, MR_IPV6_SIZE + (size_t)size);
    ip[0] = IPV6_FIRST_BYTE;
    mr_store_be16(ip + MR_IPV6_LENGTH, size);
    ip[MR_IPV6_NEXT] = MR_PROTOCOL_ICMP6;
    ip[MR_IPV6_HOP_LIMIT] = HOP_LIMIT;
    memcpy(ip + MR_IPV6_SOURCE, ndp->source.bytes, 16);
    memcpy(ip + MR_IPV6_DESTINATION, ndp->destination.bytes, 16);

    icmp[MR_ICMP_TYPE] = ndp->is_advertisement ? MR_ICMP6_ADVERTISEMENT : MR_ICMP6_SOLICITATION;
    icmp[FLAGS] = ndp->is_advertisement ? ndp->flags : 0;
    memcpy(icmp + TARGET, ndp->target.bytes, 16);
    if (ndp->has_mac) {
        icmp[OPTIONS] = ndp->is_advertisement ? OPTION_TARGET_MAC : OPTION_SOURCE_MAC;
        icmp[OPTIONS + 1] = 1; /* in units of 8 bytes */
        memcpy(icmp + OPTIONS + 2, ndp->mac.bytes, 6);
    }
    uint64_t sum =
        mr_checksum_pseudo6(ip + MR_IPV6_SOURCE, ip + MR_IPV6_DESTINATION, MR_PROTOCOL_ICMP6, size);
    mr_store_be16(icmp + MR_ICMP_CHECKSUM, mr_checksum_finish(mr_checksum_add(sum, icmp, size)));
    return (uint32_t)(icmp + size - frame);
}
