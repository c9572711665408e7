/*
 * tests/fuzz/fuzz_net_parse.c - property test of dataplane/net_parse.h, net_build.h, icmp.h, arp.h
 * and ndp.h.
 *
 * The first bytes choose: take the rest as a frame as it is, or as changes to a well-formed one
 * (real attacks are nearly well-formed), or as the parameters of a datagram to build.  The frame
 * lies at the very end of its memory, so that the sanitizers see every byte read behind it.
 * Properties:
 *   1. nothing outside the frame is read or written;
 *   2. of every kind that is not a drop the packet's parts lie in the frame, in order, and end with
 * it or before;
 *   3. what calls itself UDP is for an address of ours, from a unicast address that is not ours;
 *   4. judging the same bytes twice gives the same, and with checksums known to be good (the
 * straight line) the same as when they are computed and right;
 *   5. a datagram that is built and then judged comes out as it went in: path, payload, ECN;
 *   6. an echo request's reply is as long as the frame at most, and a well-formed frame that is
 * none;
 *   7. what ARP and NDP say is written and read back the same.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/compiler.h"
#include "dataplane/arp.h"
#include "dataplane/icmp.h"
#include "dataplane/ndp.h"
#include "dataplane/net_build.h"
#include "dataplane/net_parse.h"

enum {
    CHANGE = 3, /* bytes of one change to a well-formed frame */
    FRAME_MAX = 2048
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mr_net_self self_of(uint16_t vlan)
{
    struct mr_net_self self = {.mac = {{2, 0, 0, 0, 0, 2}}, .vlan = vlan, .address_count = 2};

    self.address[0] =
        (struct mr_prefix){.ip = mr_ip_from_v4((const uint8_t[]){198, 18, 0, 2}), .bits = 96 + 24};
    self.address[1] = (struct mr_prefix){.ip = {{0xfd, [15] = 2}}, .bits = 64};
    return self;
}

static struct mr_path_addr path_of(bool is_v4, uint16_t local, uint16_t remote)
{
    struct mr_path_addr path = {.local.port = local, .remote.port = remote};
    struct mr_net_self self = self_of(0);

    memcpy(path.local.ip, self.address[is_v4 ? 0 : 1].ip.bytes, 16);
    memcpy(path.remote.ip, path.local.ip, 16);
    path.remote.ip[15] = 1;
    return path;
}

/* ---- properties of one frame ---- */

static void check_icmp(struct mr_net_frame *frame, const struct mr_net_packet *packet,
                       const struct mr_path_addr *path)
{
    const struct mr_mac mac = {{2, 0, 0, 0, 0, 2}};
    struct mr_icmp_event event;
    struct mr_ip local;
    struct mr_ip remote;
    struct mr_ndp ndp;
    const uint8_t *icmp = frame->data + packet->l4_offset;

    memcpy(local.bytes, path->local.ip, 16);
    memcpy(remote.bytes, path->remote.ip, 16);
    enum mr_icmp_kind kind =
        mr_icmp_parse(icmp, packet->payload_size, path, frame->size & 1, &event);
    if (kind == MR_ICMP_NDP &&
        mr_ndp_parse(icmp, packet->payload_size, &remote, &local, packet->hop_limit, &ndp))
        MR_ASSERT(!mr_ip_is_multicast(&ndp.target));
    if (kind == MR_ICMP_TOO_BIG || kind == MR_ICMP_UNREACHABLE) {
        MR_ASSERT(event.quoted_size <= sizeof(event.quoted));
        MR_ASSERT(memcmp(event.path.local.ip, path->local.ip, 16) == 0);
    }
    if (kind == MR_ICMP_ECHO) {
        uint32_t size = mr_icmp_make_reply(frame->data, packet, &mac, &local);

        MR_ASSERT(size <= frame->size);
        MR_ASSERT(mr_icmp_parse(frame->data + (size - packet->payload_size), packet->payload_size,
                                path, true, &event) != MR_ICMP_ECHO);
    }
}

static void check_udp(const struct mr_net_self *self, const struct mr_path_addr *path)
{
    struct mr_ip local;
    struct mr_ip remote;

    memcpy(local.bytes, path->local.ip, 16);
    memcpy(remote.bytes, path->remote.ip, 16);
    MR_ASSERT(mr_net_self_has(self, &local));
    MR_ASSERT(!mr_net_self_has(self, &remote));
    MR_ASSERT(mr_ip_is_unicast(&remote));
    MR_ASSERT(mr_ip_is_v4(&local) == mr_ip_is_v4(&remote));
    MR_ASSERT(path->local.zero == 0 && path->remote.zero == 0);
}

/* Field by field: what lies between them is nobody's. */
static void check_same(const struct mr_net_packet *a, const struct mr_net_packet *b)
{
    MR_ASSERT(a->l3_offset == b->l3_offset);
    MR_ASSERT(a->l4_offset == b->l4_offset);
    MR_ASSERT(a->payload_offset == b->payload_offset);
    MR_ASSERT(a->payload_size == b->payload_size);
    MR_ASSERT(a->ecn == b->ecn);
    MR_ASSERT(a->hop_limit == b->hop_limit);
    MR_ASSERT(a->is_group == b->is_group);
}

/* Property 4, second half. */
static void check_known_good(const struct mr_net_self *self, struct mr_net_frame frame)
{
    struct mr_net_packet packet[2];
    struct mr_path_addr path[2];

    memset(packet, 0, sizeof(packet));
    memset(path, 0, sizeof(path));
    frame.sums = MR_NET_SUMS_UNKNOWN;
    enum mr_net_kind computed = mr_net_parse(self, &frame, &packet[0], &path[0]);
    frame.sums = MR_NET_SUMS_GOOD;
    enum mr_net_kind known = mr_net_parse(self, &frame, &packet[1], &path[1]);
    if (computed == MR_NET_DROP_IP_CHECKSUM || computed == MR_NET_DROP_UDP_CHECKSUM)
        return;
    MR_ASSERT(known == computed);
    if (known != MR_NET_UDP)
        return;
    check_same(&packet[0], &packet[1]);
    MR_ASSERT(mr_path_addr_equal(&path[0], &path[1]));
}

/* Judge `size` bytes that lie at the end of their memory. */
static void check_frame(const struct mr_net_self *self, const uint8_t *bytes, uint32_t size,
                        enum mr_net_sums sums)
{
    uint8_t *data = malloc(size > 0 ? size : 1);
    struct mr_net_frame frame = {.data = data, .size = size, .sums = sums};
    struct mr_net_packet packet[2];
    struct mr_path_addr path[2];

    MR_ASSERT(data != NULL);
    memcpy(data, bytes, size);
    memset(packet, 0, sizeof(packet));
    memset(path, 0, sizeof(path));
    enum mr_net_kind kind = mr_net_parse(self, &frame, &packet[0], &path[0]);
    MR_ASSERT(kind == mr_net_parse(self, &frame, &packet[1], &path[1]));
    check_known_good(self, frame);
    MR_ASSERT(memcmp(data, bytes, size) == 0);
    MR_ASSERT(kind < MR_NET_KINDS && mr_net_kind_name(kind) != NULL);
    if (kind <= MR_NET_ICMP6) {
        check_same(&packet[0], &packet[1]);
        MR_ASSERT(packet[0].l3_offset == (self->vlan != 0 || bytes[12] == 0x81 ? 18 : 14));
    }
    if (kind == MR_NET_ARP) {
        struct mr_arp arp;
        mr_arp_parse(data + packet[0].l3_offset, size - packet[0].l3_offset, &arp);
    } else if (kind <= MR_NET_ICMP6) {
        MR_ASSERT(mr_path_addr_equal(&path[0], &path[1]));
        MR_ASSERT(packet[0].l3_offset + 20 <= packet[0].l4_offset);
        MR_ASSERT(packet[0].l4_offset <= packet[0].payload_offset);
        MR_ASSERT((uint32_t)packet[0].payload_offset + packet[0].payload_size <= size);
    }
    if (kind == MR_NET_UDP) {
        MR_ASSERT(packet[0].payload_offset == packet[0].l4_offset + 8);
        check_udp(self, &path[0]);
    } else if (kind == MR_NET_ICMP4 || kind == MR_NET_ICMP6) {
        check_icmp(&frame, &packet[0], &path[0]);
    }
    free(data);
}

/* ---- well-formed frames ---- */

/* A datagram from the peer to us; returns the frame's size, which begins at buffer +
 * MR_NET_HEADER_MAX - *header_out. */
static uint32_t build(uint8_t *buffer, bool is_v4, uint16_t vlan, uint32_t payload, uint8_t ecn,
                      uint32_t *header_out)
{
    struct mr_net_link link = {
        .source = {{2, 0, 0, 0, 0, 1}}, .destination = {{2, 0, 0, 0, 0, 2}}, .vlan = vlan};
    struct mr_path_addr there = path_of(is_v4, 443, 40000);
    struct mr_path_addr path = {.local = there.remote, .remote = there.local};
    struct mr_net_header header;

    mr_net_header_init(&header, &link, &path, 99);
    mr_net_header_write(&header, buffer + MR_NET_HEADER_MAX, payload, ecn);
    *header_out = header.size;
    return header.size + payload;
}

/* Property 5. */
static void check_round_trip(const uint8_t *data, size_t size)
{
    uint8_t buffer[MR_NET_HEADER_MAX + FRAME_MAX];
    uint8_t *payload = buffer + MR_NET_HEADER_MAX;
    bool is_v4 = size > 0 && data[0] & 1;
    uint16_t vlan = size > 1 ? data[1] & 1 : 0;
    uint8_t ecn = size > 2 ? data[2] & 3 : 0;
    uint32_t count = (uint32_t)MR_MIN(size, (size_t)1500);
    struct mr_net_self self = self_of(vlan);
    struct mr_net_packet packet;
    struct mr_path_addr path;
    uint32_t header;

    memcpy(payload, data, count);
    uint32_t frame_size = build(buffer, is_v4, vlan, count, ecn, &header);
    struct mr_net_frame frame = {
        .data = payload - header, .size = frame_size, .sums = MR_NET_SUMS_UNKNOWN};
    struct mr_path_addr expected = path_of(is_v4, 443, 40000);
    MR_ASSERT(mr_net_parse(&self, &frame, &packet, &path) == MR_NET_UDP);
    MR_ASSERT(mr_path_addr_equal(&path, &expected));
    MR_ASSERT(frame.data + packet.payload_offset == payload);
    MR_ASSERT(packet.payload_size == count);
    MR_ASSERT(packet.ecn == ecn);
    MR_ASSERT(memcmp(payload, data, count) == 0);
}

/* A well-formed frame of some kind to change. */
static uint32_t base_frame(uint8_t *frame, uint8_t kind)
{
    uint8_t buffer[MR_NET_HEADER_MAX + FRAME_MAX];
    uint32_t payload = 60u + kind;
    uint32_t header;

    memset(buffer, 0x60, sizeof(buffer)); /* as payload: next header hop-by-hop-like bytes */
    uint32_t size = build(buffer, kind & 1, kind >> 1 & 1, payload, kind >> 2 & 3, &header);
    memcpy(frame, buffer + MR_NET_HEADER_MAX - header, size);
    if (kind & 0x10) /* ICMP, or an extension header */
        frame[header - 8u - (kind & 1 ? 20 - 9 : 40 - 6)] = kind & 1 ? 1 : kind & 0x20 ? 60 : 58;
    return size;
}

static void check_changed(const struct mr_net_self *self, const uint8_t *data, size_t size,
                          uint8_t kind, enum mr_net_sums sums)
{
    uint8_t frame[MR_NET_HEADER_MAX + FRAME_MAX];
    uint32_t frame_size = base_frame(frame, kind);

    for (; size >= CHANGE; data += CHANGE, size -= CHANGE) {
        uint32_t at = data[0] < 200 ? data[0] % 80u : mr_load_be16(data) % frame_size;

        frame[at % frame_size] = data[2];
        check_frame(self, frame, frame_size, sums);
        if (data[0] == 255)
            frame_size = base_frame(frame, data[1]);
        if (data[0] == 254)
            check_frame(self, frame, data[1] % (frame_size + 1), sums);
    }
}

/* Property 7. */
static void check_arp_ndp(const uint8_t *data, size_t size)
{
    uint8_t frame[MR_NDP_FRAME_MAX];
    struct mr_mac mac = {{2, 0, 0, 0, 0, 9}};
    struct mr_arp arp = {0};
    struct mr_arp read;

    if (size < 20)
        return;
    arp.is_reply = data[0] & 1;
    memcpy(arp.sender_mac.bytes, data, 6);
    memcpy(arp.target_mac.bytes, data + 6, 6);
    arp.sender_ip = mr_ip_from_v4(data + 12);
    arp.target_ip = mr_ip_from_v4(data + 16);
    uint32_t frame_size = mr_arp_build(frame, &mac, data[1] & 1, &arp);
    MR_ASSERT(mr_arp_parse(frame + frame_size - 28, 28, &read));
    MR_ASSERT(memcmp(&arp, &read, sizeof(arp)) == 0);

    struct mr_ndp ndp = {
        .is_advertisement = data[0] & 2, .has_mac = data[0] & 4, .source = {{0xfd}}};
    struct mr_ndp ndp_read;
    memcpy(ndp.target.bytes, data, 16);
    ndp.target.bytes[0] = 0xfd;
    ndp.destination = mr_ip_solicited_node(&ndp.target);
    if (ndp.has_mac)
        memcpy(ndp.mac.bytes, data + 10, 6);
    if (ndp.is_advertisement)
        ndp.flags = data[3] & MR_NDP_OVERRIDE;
    frame_size = mr_ndp_build(frame, &mac, &mac, data[1] & 1, &ndp);
    uint32_t l4 = (data[1] & 1 ? 18 : 14) + 40;
    MR_ASSERT(
        mr_ndp_parse(frame + l4, frame_size - l4, &ndp.source, &ndp.destination, 255, &ndp_read));
    MR_ASSERT(memcmp(&ndp, &ndp_read, sizeof(ndp)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4)
        return 0;

    struct mr_net_self self = self_of(data[1] & 1);
    enum mr_net_sums sums = (enum mr_net_sums)(data[2] % (MR_NET_SUMS_PARTIAL + 1));
    uint8_t kind = data[3];
    uint8_t choice = data[0] % 8;

    data += 4;
    size -= 4;
    if (choice == 0)
        check_frame(&self, data, (uint32_t)size, sums);
    else if (choice == 1)
        check_round_trip(data, size);
    else if (choice == 2)
        check_arp_ndp(data, size);
    else
        check_changed(&self, data, size, kind, sums);
    return 0;
}
