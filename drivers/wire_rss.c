/* drivers/wire_rss.c - see wire_rss.h. */
#include "drivers/wire_rss.h"

#include <stdbool.h>

#include "base/assert.h"
#include "base/bytes.h"

enum {
    ETHERNET_SIZE = 14,
    VLAN_SIZE = 4,
    IPV4_SIZE = 20,
    IPV6_SIZE = 40,
    PORTS_SIZE = 4,
    TYPE_IPV4 = 0x0800,
    TYPE_IPV6 = 0x86dd,
    TYPE_VLAN = 0x8100,
    PROTOCOL_TCP = 6,
    PROTOCOL_UDP = 17
};

/* The 32 bits of `key` from bit `first` on. */
static uint32_t key_window(const uint8_t *key, uint32_t first)
{
    uint64_t window = 0;

    for (uint32_t i = 0; i < 5; i++)
        window = window << 8 | key[(first / 8 + i) % MR_RSS_KEY_SIZE];
    return (uint32_t)(window >> (8 - first % 8));
}

void mr_rss_init(struct mr_rss *rss, const uint8_t key[MR_RSS_KEY_SIZE], uint16_t queue_count)
{
    for (uint32_t i = 0; i < MR_RSS_RETA_COUNT; i++)
        rss->reta[i] = (uint16_t)(i % queue_count);

    for (uint32_t at = 0; at < MR_RSS_TUPLE_MAX; at++)
        for (uint32_t value = 0; value < 256; value++) {
            uint32_t hash = 0;

            for (uint32_t bit = 0; bit < 8; bit++)
                if (value & (0x80u >> bit))
                    hash ^= key_window(key, at * 8 + bit);
            rss->byte[at][value] = hash;
        }
}

uint32_t mr_rss_hash_bytes(const struct mr_rss *rss, const uint8_t *bytes, uint32_t size)
{
    uint32_t hash = 0;

    MR_DASSERT(size <= MR_RSS_TUPLE_MAX);
    for (uint32_t i = 0; i < size; i++)
        hash ^= rss->byte[i][bytes[i]];
    return hash;
}

static bool has_ports(uint8_t protocol)
{
    return protocol == PROTOCOL_UDP || protocol == PROTOCOL_TCP;
}

/* Addresses lie at `addresses`, the rest of the tuple at `ports`: not side by side when IPv4 has
 * options. */
static uint32_t hash_tuple(const struct mr_rss *rss, const uint8_t *addresses, uint32_t size,
                           const uint8_t *ports)
{
    uint32_t hash = mr_rss_hash_bytes(rss, addresses, size);

    for (uint32_t i = 0; i < PORTS_SIZE; i++)
        hash ^= rss->byte[size + i][ports[i]];
    return hash;
}

static uint32_t hash_ipv4(const struct mr_rss *rss, const uint8_t *ip, uint32_t size)
{
    if (size < IPV4_SIZE)
        return 0;

    uint32_t header = (ip[0] & 0x0fu) * 4;
    bool is_fragment = (mr_load_be16(ip + 6) & 0x3fff) != 0;
    if (is_fragment || !has_ports(ip[9]) || header < IPV4_SIZE || size < header + PORTS_SIZE)
        return mr_rss_hash_bytes(rss, ip + 12, 8);
    return hash_tuple(rss, ip + 12, 8, ip + header);
}

static uint32_t hash_ipv6(const struct mr_rss *rss, const uint8_t *ip, uint32_t size)
{
    if (size < IPV6_SIZE)
        return 0;
    if (!has_ports(ip[6]) || size < IPV6_SIZE + PORTS_SIZE)
        return mr_rss_hash_bytes(rss, ip + 8, 32);
    return hash_tuple(rss, ip + 8, 32, ip + IPV6_SIZE);
}

uint32_t mr_rss_hash_frame(const struct mr_rss *rss, const uint8_t *frame, uint32_t size)
{
    uint32_t l3 = ETHERNET_SIZE;

    if (size < ETHERNET_SIZE + VLAN_SIZE)
        return 0;
    if (mr_load_be16(frame + 12) == TYPE_VLAN)
        l3 += VLAN_SIZE;

    switch (mr_load_be16(frame + l3 - 2)) {
    case TYPE_IPV4:
        return hash_ipv4(rss, frame + l3, size - l3);
    case TYPE_IPV6:
        return hash_ipv6(rss, frame + l3, size - l3);
    default:
        return 0;
    }
}
