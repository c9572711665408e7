/* tests/unit/test_net_build.c - the contract of dataplane/net_build.h. */
#include "dataplane/net_build.h"

#include "dataplane/net_parse.h"
#include "tests/unit/harness.h"
#include "tests/unit/net_frames.h"

/* Us to the peer: the frames of net_frames.h the other way round. */
static struct mr_path_addr path_of(bool is_v4)
{
    struct test_frame f = udp_frame(is_v4, 0, 0);
    struct mr_path_addr path = {.local.port = 40000, .remote.port = 443};
    struct mr_ip ip;

    if (is_v4) {
        ip = mr_ip_from_v4(f.bytes + f.l3 + 12);
        memcpy(path.local.ip, ip.bytes, 16);
        ip = mr_ip_from_v4(f.bytes + f.l3 + 16);
        memcpy(path.remote.ip, ip.bytes, 16);
    } else {
        memcpy(path.local.ip, f.bytes + f.l3 + 8, 16);
        memcpy(path.remote.ip, f.bytes + f.l3 + 24, 16);
    }
    return path;
}

static struct mr_net_header header_of(bool is_v4, uint16_t vlan)
{
    struct mr_net_link link = {
        .source = {{2, 0, 0, 0, 0, 1}}, .destination = {{2, 0, 0, 0, 0, 2}}, .vlan = vlan};
    struct mr_path_addr path = path_of(is_v4);
    struct mr_net_header header;

    mr_net_header_init(&header, &link, &path, 0);
    return header;
}

/* Write headers for the payload of `f` and compare with `f` byte for byte. */
static void check_equal(struct mr_net_header *header, const struct test_frame *f, uint8_t ecn)
{
    uint8_t buffer[FRAME_ROOM + MR_NET_HEADER_MAX];
    uint8_t *payload = buffer + MR_NET_HEADER_MAX;
    uint32_t size = f->size - f->l4 - 8;

    memset(buffer, 0xee, sizeof(buffer));
    memcpy(payload, f->bytes + f->l4 + 8, size);
    uint8_t *frame = mr_net_header_write(header, payload, size, ecn);
    CU_ASSERT_PTR_EQUAL(frame, payload - header->size);
    CU_ASSERT_EQUAL(header->size + size, f->size);
    CU_ASSERT_EQUAL(memcmp(frame, f->bytes, f->size), 0);
    CU_ASSERT_EQUAL(payload[size], 0xee);
}

/* "In IPv4, a probe packet MUST be sent with the Don't Fragment (DF) bit set in the IP header and
 * without network layer endpoint fragmentation." (RFC 8899, Section 3)  "A PL implementing this
 * specification MUST suspend network layer processing of outgoing packets that enforces a PMTU
 * [RFC1191][RFC8201] for ..." (RFC 8899, Section 4.5)
 * RFC 9000, Section 14: "UDP datagrams MUST NOT be fragmented at the IP layer."
 * RFC 9000, Section 14: "In IPv4 [IPv4], the Don't Fragment (DF) bit MUST be set if possible, to
 * prevent fragmentation on the path." */
static void headers_are_those_built_by_hand(void)
{
    static const uint32_t sizes[] = {0, 1, 2, 33, 1200, 1451, 1452};

    for (int is_v4 = 0; is_v4 < 2; is_v4++)
        for (uint16_t vlan = 0; vlan < 200; vlan += 100)
            for (size_t i = 0; i < MR_COUNT_OF(sizes); i++) {
                struct test_frame f = udp_frame(is_v4, vlan, sizes[i]);
                struct mr_net_header header = header_of(is_v4, vlan);

                check_equal(&header, &f, 0);
            }
}

static void one_header_serves_all_sizes_and_ecn_bits(void)
{
    for (int is_v4 = 0; is_v4 < 2; is_v4++) {
        struct mr_net_header header = header_of(is_v4, 0);

        for (uint32_t i = 0; i < 12; i++) {
            uint8_t ecn = (uint8_t)(i % 4);
            struct test_frame f = udp_frame(is_v4, 0, 100 + i / 3 * 50);

            f.bytes[f.l3 + 1] = (uint8_t)(is_v4 ? ecn : ecn << 4);
            if (is_v4)
                put_ip_sum(&f);
            check_equal(&header, &f, ecn);
        }
    }
}

static void the_flow_label_has_20_bits(void)
{
    struct mr_net_link link = {0};
    struct mr_path_addr path = path_of(false);
    struct mr_net_header header;
    uint8_t buffer[MR_NET_HEADER_MAX];

    mr_net_header_init(&header, &link, &path, 0xfff12345);
    uint8_t *frame = mr_net_header_write(&header, buffer + sizeof(buffer), 0, 3);
    CU_ASSERT_EQUAL(mr_load_be32(frame + 14), 0x60312345);
}

static void offloaded_checksums_are_left_to_the_port(void)
{
    struct mr_net_self self = test_self(0);
    uint8_t buffer[MR_NET_HEADER_MAX + 100] = {0};

    for (int is_v4 = 0; is_v4 < 2; is_v4++) {
        struct mr_net_header header = header_of(is_v4, 0);
        struct mr_net_packet packet;
        struct mr_path_addr path;

        header.ip_mode = MR_NET_SUM_OFFLOAD;
        header.udp_mode = MR_NET_SUM_OFFLOAD;
        uint8_t *data = mr_net_header_write(&header, buffer + MR_NET_HEADER_MAX, 100, 0);
        if (is_v4) {
            struct test_frame ip = {.l3 = 14};

            CU_ASSERT_EQUAL(mr_load_be16(data + 14 + 10), 0);
            memcpy(ip.bytes, data, 60);
            put_ip_sum(&ip);
            memcpy(data, ip.bytes, 60);
        }
        /* The UDP field holds what a local kernel leaves there too. */
        struct mr_net_frame frame = {
            .data = data, .size = header.size + 100u, .sums = MR_NET_SUMS_PARTIAL};
        CU_ASSERT_EQUAL(mr_net_parse(&self, &frame, &packet, &path), MR_NET_UDP);
        frame.sums = MR_NET_SUMS_UNKNOWN;
        CU_ASSERT_EQUAL(mr_net_parse(&self, &frame, &packet, &path), MR_NET_DROP_UDP_CHECKSUM);
    }
}

static void a_vouched_frame_has_no_udp_checksum(void)
{
    uint8_t buffer[MR_NET_HEADER_MAX + 100] = {0};

    for (int is_v4 = 0; is_v4 < 2; is_v4++) {
        struct mr_net_header header = header_of(is_v4, 0);

        header.ip_mode = MR_NET_SUM_NONE;
        header.udp_mode = MR_NET_SUM_NONE;
        uint8_t *data = mr_net_header_write(&header, buffer + MR_NET_HEADER_MAX, 100, 0);
        CU_ASSERT_EQUAL(mr_load_be16(data + header.l4_offset + 6), 0);
        if (is_v4)
            CU_ASSERT_EQUAL(plain_sum(0, data + 14, 20), 0xffff);
    }
}

/* A sum of 0 is sent as 0xffff: 0 says that none was computed. */
static void a_udp_checksum_of_zero_is_sent_as_ones(void)
{
    struct mr_net_header header = header_of(true, 0);
    uint8_t buffer[MR_NET_HEADER_MAX + 2] = {0};
    uint8_t *payload = buffer + MR_NET_HEADER_MAX;

    uint8_t *frame = mr_net_header_write(&header, payload, 2, 0);
    uint16_t sum = mr_load_be16(frame + header.l4_offset + 6);
    mr_store_be16(payload, sum); /* makes the sum of all words 0xffff, so its complement 0 */
    frame = mr_net_header_write(&header, payload, 2, 0);
    CU_ASSERT_EQUAL(mr_load_be16(frame + header.l4_offset + 6), 0xffff);
}

static CU_TestInfo tests[] = {
    {"headers are those built by hand", headers_are_those_built_by_hand},
    {"one header serves all sizes and ECN bits", one_header_serves_all_sizes_and_ecn_bits},
    {"the flow label has 20 bits", the_flow_label_has_20_bits},
    {"offloaded checksums are left to the port", offloaded_checksums_are_left_to_the_port},
    {"a vouched frame has no UDP checksum", a_vouched_frame_has_no_udp_checksum},
    {"a UDP checksum of zero is sent as ones", a_udp_checksum_of_zero_is_sent_as_ones},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "dataplane/net_build", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
