/* tests/interop/link_frame.c - see link_frame.h. */
#include "tests/interop/link_frame.h"

#include <string.h>

#include "base/checksum.h"

enum {
    ETHERNET = 14,
    TYPE_V4 = 0x0800,
    TYPE_V6 = 0x86dd,
    TYPE_ARP = 0x0806,
    V4_HEADER = 20,
    V4_FRAGMENT = 0x3fff, /* offset, or more to come */
    V4_ADDRESSES = 12,
    V6_HEADER = 40,
    V6_ADDRESSES = 8,
    UDP_PROTOCOL = 17,
    UDP_HEADER = 8,
    ARP_SIZE = 28,
    ARP_REQUEST = 1,
    ARP_REPLY = 2,
};

static bool parse_v4(struct link_frame *f, size_t size)
{
    if (size < V4_HEADER + UDP_HEADER || f->ip[0] != 0x45 || f->ip[9] != UDP_PROTOCOL ||
        (mr_load_be16(f->ip + 6) & V4_FRAGMENT) != 0)
        return false;
    f->udp = f->ip + V4_HEADER;
    return true;
}

static bool parse_v6(struct link_frame *f, size_t size)
{
    if (size < V6_HEADER + UDP_HEADER || f->ip[6] != UDP_PROTOCOL)
        return false;
    f->udp = f->ip + V6_HEADER;
    return true;
}

bool link_frame_parse(struct link_frame *f, uint8_t *bytes, size_t size)
{
    *f = (struct link_frame){.bytes = bytes, .size = size};
    if (size < ETHERNET)
        return false;
    uint16_t type = mr_load_be16(bytes + 12);
    f->ip = bytes + ETHERNET;
    f->is_v4 = type == TYPE_V4;
    if (type == TYPE_V4 ? !parse_v4(f, size - ETHERNET)
                        : type != TYPE_V6 || !parse_v6(f, size - ETHERNET))
        return false;
    size_t udp_size = mr_load_be16(f->udp + 4);
    if (udp_size < UDP_HEADER || f->udp + udp_size > bytes + size)
        return false;
    f->payload = f->udp + UDP_HEADER;
    f->payload_size = udp_size - UDP_HEADER;
    return true;
}

uint16_t link_frame_port(const struct link_frame *f, bool is_source)
{
    return mr_load_be16(f->udp + (is_source ? 0 : 2));
}

void link_frame_set_port(struct link_frame *f, bool is_source, uint16_t port)
{
    mr_store_be16(f->udp + (is_source ? 0 : 2), port);
}

static uint8_t *host_byte(const struct link_frame *f, bool is_source)
{
    return f->ip + V4_ADDRESSES + (is_source ? 3 : 7);
}

uint8_t link_frame_host(const struct link_frame *f, bool is_source)
{
    return f->is_v4 ? *host_byte(f, is_source) : 0;
}

void link_frame_set_host(struct link_frame *f, bool is_source, uint8_t host)
{
    if (f->is_v4)
        *host_byte(f, is_source) = host;
}

void link_frame_seal(struct link_frame *f)
{
    uint16_t udp_size = (uint16_t)(UDP_HEADER + f->payload_size);
    uint64_t sum;

    mr_store_be16(f->udp + 6, 0);
    if (f->is_v4) {
        mr_store_be16(f->ip + 10, 0);
        mr_store_be16(f->ip + 10, mr_checksum_finish(mr_checksum_add(0, f->ip, V4_HEADER)));
        sum = mr_checksum_pseudo4(f->ip + V4_ADDRESSES, f->ip + V4_ADDRESSES + 4, MR_CHECKSUM_UDP,
                                  udp_size);
    } else {
        sum = mr_checksum_pseudo6(f->ip + V6_ADDRESSES, f->ip + V6_ADDRESSES + 16, MR_CHECKSUM_UDP,
                                  udp_size);
    }
    mr_store_be16(f->udp + 6, mr_checksum_finish_udp(mr_checksum_add(sum, f->udp, udp_size)));
}

bool link_frame_is_version_negotiation(const struct link_frame *f)
{
    return f->payload_size >= 5 && (f->payload[0] & 0x80) != 0 &&
           memcmp(f->payload + 1, "\0\0\0\0", 4) == 0;
}

int link_arp_wanted(const uint8_t *bytes, size_t size)
{
    const uint8_t *arp = bytes + ETHERNET;

    if (size < ETHERNET + ARP_SIZE || mr_load_be16(bytes + 12) != TYPE_ARP ||
        mr_load_be16(arp + 6) != ARP_REQUEST)
        return -1;
    return arp[27];
}

void link_arp_answer(uint8_t *bytes, const uint8_t mac[LINK_MAC])
{
    uint8_t *arp = bytes + ETHERNET;
    uint8_t wanted[4];

    memcpy(wanted, arp + 24, sizeof(wanted));
    memcpy(arp + 18, arp + 8, 10); /* the sender is the target now */
    memcpy(arp + 8, mac, LINK_MAC);
    memcpy(arp + 14, wanted, sizeof(wanted));
    mr_store_be16(arp + 6, ARP_REPLY);
    memcpy(bytes, bytes + LINK_MAC, LINK_MAC);
    memcpy(bytes + LINK_MAC, mac, LINK_MAC);
}
