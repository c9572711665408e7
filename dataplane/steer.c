/* dataplane/steer.c - see steer.h. */
#include "dataplane/steer.h"

#include "base/bytes.h"

enum {
    ETHERNET_SIZE = 14,
    VLAN_SIZE = 4,
    IPV4_MIN = 20,
    IPV6_SIZE = 40,
    UDP_SIZE = 8,
    TYPE_IPV4 = 0x0800,
    TYPE_IPV6 = 0x86dd,
    TYPE_VLAN = 0x8100,
    PROTOCOL_UDP = 17,
    LONG_HEADER = 0x80,
    LONG_CID_AT = 6 /* of a long header: first byte, version, the connection ID's size */
};

void mr_steer_init(struct mr_steer *steer, const struct mr_cid_format *cid, uint32_t shard_count,
                   const uint8_t key[MR_RSS_KEY_SIZE])
{
    steer->cid = *cid;
    steer->shard_count = shard_count;
    mr_rss_init(&steer->rss, key, (uint16_t)shard_count);
}

/* Where the UDP payload begins; 0: this is no whole UDP datagram.  IPv6 extension headers are not
 * walked: by addresses and ports, then. */
static uint32_t payload_at(const uint8_t *frame, uint32_t size)
{
    uint32_t at = ETHERNET_SIZE;
    uint32_t ip_size;

    if (size < ETHERNET_SIZE + VLAN_SIZE)
        return 0;
    at += mr_load_be16(frame + 12) == TYPE_VLAN ? VLAN_SIZE : 0;
    uint16_t type = mr_load_be16(frame + at - 2);
    if (type == TYPE_IPV4 && size >= at + IPV4_MIN && frame[at + 9] == PROTOCOL_UDP &&
        (mr_load_be16(frame + at + 6) & 0x3fff) == 0)
        ip_size = (frame[at] & 0x0fu) * 4;
    else if (type == TYPE_IPV6 && size >= at + IPV6_SIZE && frame[at + 6] == PROTOCOL_UDP)
        ip_size = IPV6_SIZE;
    else
        return 0;
    return size > at + ip_size + UDP_SIZE ? at + ip_size + UDP_SIZE : 0;
}

/* The shard that issued the destination connection ID of `packet`, or MR_CID_FOREIGN. */
static uint32_t owner_of(const struct mr_cid_format *cid, const uint8_t *packet, uint32_t size)
{
    uint32_t at = 1;
    uint32_t cid_size = MR_LOCAL_CID_SIZE;

    if ((packet[0] & LONG_HEADER) != 0) {
        if (size < LONG_CID_AT)
            return MR_CID_FOREIGN;
        cid_size = packet[LONG_CID_AT - 1];
        at = LONG_CID_AT;
    }
    return size < at + cid_size ? MR_CID_FOREIGN : mr_cid_owner(packet + at, cid_size, cid);
}

uint32_t mr_steer_frame(const struct mr_steer *steer, const uint8_t *frame, uint32_t size)
{
    uint32_t at = payload_at(frame, size);
    uint32_t owner = at == 0 ? MR_CID_FOREIGN : owner_of(&steer->cid, frame + at, size - at);

    if (owner < steer->shard_count)
        return owner;
    return at == 0 ? 0 : mr_rss_queue(&steer->rss, mr_rss_hash_frame(&steer->rss, frame, size));
}
