/*
 * tests/unit/net_frames.h - frames to try the network layer with, built byte by byte and apart from
 * the code under test.
 *
 *     198.18.0.1 / fd00::1 at 02:00:00:00:00:01   the peer
 *     198.18.0.2 / fd00::2 at 02:00:00:00:00:02   us
 *
 * Owner: the test.  Threads: the test's.
 */
#ifndef MR_TESTS_UNIT_NET_FRAMES_H
#define MR_TESTS_UNIT_NET_FRAMES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"
#include "dataplane/net_parse.h"

#define FRAME_ROOM 2048

struct test_frame {
    uint8_t bytes[FRAME_ROOM];
    uint32_t size;
    uint32_t l3; /* offsets */
    uint32_t l4;
};

/* The ones' complement sum of RFC 1071, in its plainest form. */
static inline uint32_t plain_sum(uint32_t sum, const uint8_t *bytes, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        sum += i % 2 == 0 ? (uint32_t)bytes[i] << 8 : bytes[i];
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static inline void put_ip_sum(struct test_frame *f)
{
    uint8_t *ip = f->bytes + f->l3;

    mr_store_be16(ip + 10, 0);
    mr_store_be16(ip + 10, (uint16_t)~plain_sum(0, ip, (ip[0] & 15u) * 4));
}

/* Set the checksum at `at` behind the IP headers, over the rest of the frame and a pseudo-header
 * unless for ICMPv4. */
static inline void put_l4_sum(struct test_frame *f, uint32_t at, uint8_t protocol)
{
    const uint8_t *ip = f->bytes + f->l3;
    bool is_v4 = ip[0] >> 4 == 4;
    uint32_t size = f->size - f->l4;
    uint8_t tail[4] = {(uint8_t)(size >> 8), (uint8_t)size, 0, protocol};
    uint32_t sum = plain_sum(0, tail, 4);

    sum = is_v4 ? plain_sum(sum, ip + 12, 8) : plain_sum(sum, ip + 8, 32);
    if (protocol == 1)
        sum = 0;
    mr_store_be16(f->bytes + f->l4 + at, 0);
    sum = plain_sum(sum, f->bytes + f->l4, size);
    mr_store_be16(f->bytes + f->l4 + at, sum == 0xffff ? 0xffff : (uint16_t)~sum);
}

static inline void put_ethernet(struct test_frame *f, uint16_t vlan, uint16_t type)
{
    static const uint8_t macs[12] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1};

    memcpy(f->bytes, macs, sizeof(macs));
    f->l3 = 14;
    if (vlan != 0) {
        mr_store_be16(f->bytes + 12, 0x8100);
        mr_store_be16(f->bytes + 14, vlan);
        f->l3 = 18;
    }
    mr_store_be16(f->bytes + f->l3 - 2, type);
}

/* Headers of IPv4 or IPv6 for `payload` bytes of `protocol` behind them. */
static inline void put_ip(struct test_frame *f, bool is_v4, uint8_t protocol, uint32_t payload)
{
    static const uint8_t v4[8] = {198, 18, 0, 1, 198, 18, 0, 2};
    static const uint8_t v6[32] = {0xfd, [15] = 1, [16] = 0xfd, [31] = 2};
    uint8_t *ip = f->bytes + f->l3;

    f->l4 = f->l3 + (is_v4 ? 20 : 40);
    f->size = f->l4 + payload;
    if (is_v4) {
        ip[0] = 0x45;
        mr_store_be16(ip + 2, (uint16_t)(20 + payload));
        mr_store_be16(ip + 6, 0x4000);
        ip[8] = 64;
        ip[9] = protocol;
        memcpy(ip + 12, v4, 8);
        put_ip_sum(f);
    } else {
        ip[0] = 0x60;
        mr_store_be16(ip + 4, (uint16_t)payload);
        ip[6] = protocol;
        ip[7] = protocol == 58 ? 255 : 64;
        memcpy(ip + 8, v6, 32);
    }
}

/* A UDP datagram of `payload` bytes from port 40000 to port 443. */
static inline struct test_frame udp_frame(bool is_v4, uint16_t vlan, uint32_t payload)
{
    struct test_frame f = {0};

    put_ethernet(&f, vlan, is_v4 ? 0x0800 : 0x86dd);
    put_ip(&f, is_v4, 17, 8 + payload);
    mr_store_be16(f.bytes + f.l4, 40000);
    mr_store_be16(f.bytes + f.l4 + 2, 443);
    mr_store_be16(f.bytes + f.l4 + 4, (uint16_t)(8 + payload));
    for (uint32_t i = 0; i < payload; i++)
        f.bytes[f.l4 + 8 + i] = (uint8_t)(i * 7 + 1);
    put_l4_sum(&f, 6, 17);
    return f;
}

/* An ICMP message: type, code, the rest of the header and `size` bytes behind it. */
static inline struct test_frame icmp_frame(bool is_v4, uint8_t type, uint8_t code, uint32_t rest,
                                           const uint8_t *bytes, uint32_t size)
{
    struct test_frame f = {0};

    put_ethernet(&f, 0, is_v4 ? 0x0800 : 0x86dd);
    put_ip(&f, is_v4, is_v4 ? 1 : 58, 8 + size);
    f.bytes[f.l4] = type;
    f.bytes[f.l4 + 1] = code;
    mr_store_be32(f.bytes + f.l4 + 4, rest);
    if (size > 0)
        memcpy(f.bytes + f.l4 + 8, bytes, size);
    put_l4_sum(&f, 2, is_v4 ? 1 : 58);
    return f;
}

static inline struct mr_net_self test_self(uint16_t vlan)
{
    static const uint8_t v4[4] = {198, 18, 0, 2};
    struct mr_net_self self = {.mac = {{2, 0, 0, 0, 0, 2}}, .vlan = vlan, .address_count = 2};

    self.address[0] = (struct mr_prefix){.ip = mr_ip_from_v4(v4), .bits = 96 + 24};
    self.address[1] = (struct mr_prefix){.ip = {{0xfd, [15] = 2}}, .bits = 64};
    return self;
}

#endif /* MR_TESTS_UNIT_NET_FRAMES_H */
