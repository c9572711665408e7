/* dataplane/arp.c - see arp.h. */
#include "dataplane/arp.h"

#include "base/bytes.h"
#include "dataplane/net_wire.h"

enum { /* RFC 826: fields behind the Ethernet header */
    HARDWARE = 0,
    PROTOCOL = 2,
    SIZES = 4,
    OPERATION = 6,
    SENDER_MAC = 8,
    SENDER_IP = 14,
    TARGET_MAC = 18,
    TARGET_IP = 24,
    SIZE = 28,
    HARDWARE_ETHERNET = 1,
    SIZES_ETHERNET_IPV4 = 0x0604,
    OPERATION_REQUEST = 1,
    OPERATION_REPLY = 2
};

bool mr_arp_parse(const uint8_t *bytes, uint32_t size, struct mr_arp *arp_out)
{
    if (size < SIZE || mr_load_be16(bytes + HARDWARE) != HARDWARE_ETHERNET ||
        mr_load_be16(bytes + PROTOCOL) != MR_TYPE_IPV4 ||
        mr_load_be16(bytes + SIZES) != SIZES_ETHERNET_IPV4)
        return false;

    uint16_t operation = mr_load_be16(bytes + OPERATION);
    arp_out->is_reply = operation == OPERATION_REPLY;
    memcpy(arp_out->sender_mac.bytes, bytes + SENDER_MAC, 6);
    memcpy(arp_out->target_mac.bytes, bytes + TARGET_MAC, 6);
    arp_out->sender_ip = mr_ip_from_v4(bytes + SENDER_IP);
    arp_out->target_ip = mr_ip_from_v4(bytes + TARGET_IP);
    return operation == OPERATION_REQUEST || operation == OPERATION_REPLY;
}

uint32_t mr_arp_build(uint8_t *frame, const struct mr_mac *mac, uint16_t vlan,
                      const struct mr_arp *arp)
{
    uint8_t *arp_bytes = frame + MR_ETHER_SIZE;

    memcpy(frame + MR_ETHER_DESTINATION, mac->bytes, 6);
    memcpy(frame + MR_ETHER_SOURCE, arp->sender_mac.bytes, 6);
    if (vlan != 0) {
        mr_store_be16(frame + MR_ETHER_TYPE, MR_TYPE_VLAN);
        mr_store_be16(frame + MR_ETHER_SIZE, vlan);
        arp_bytes += MR_VLAN_SIZE;
    }
    mr_store_be16(arp_bytes - 2, MR_TYPE_ARP);

    mr_store_be16(arp_bytes + HARDWARE, HARDWARE_ETHERNET);
    mr_store_be16(arp_bytes + PROTOCOL, MR_TYPE_IPV4);
    mr_store_be16(arp_bytes + SIZES, SIZES_ETHERNET_IPV4);
    mr_store_be16(arp_bytes + OPERATION, arp->is_reply ? OPERATION_REPLY : OPERATION_REQUEST);
    memcpy(arp_bytes + SENDER_MAC, arp->sender_mac.bytes, 6);
    memcpy(arp_bytes + SENDER_IP, arp->sender_ip.bytes + 12, 4);
    memcpy(arp_bytes + TARGET_MAC, arp->target_mac.bytes, 6);
    memcpy(arp_bytes + TARGET_IP, arp->target_ip.bytes + 12, 4);
    return (uint32_t)(arp_bytes + SIZE - frame);
}
