/* tests/unit/test_net_parse.c - the contract of dataplane/net_parse.h: every malformed form, and
 * the good ones. */
#include "dataplane/net_parse.h"

#include "tests/unit/harness.h"
#include "tests/unit/net_frames.h"

static enum mr_net_kind parse_as(const struct mr_net_self *self, struct test_frame *f,
                                 enum mr_net_sums sums, struct mr_net_packet *packet,
                                 struct mr_path_addr *path)
{
    struct mr_net_frame frame = {.data = f->bytes, .size = f->size, .sums = sums};

    return mr_net_parse(self, &frame, packet, path);
}

static enum mr_net_kind judge(struct test_frame *f)
{
    struct mr_net_self self = test_self(0);
    struct mr_net_packet packet;
    struct mr_path_addr path;

    return parse_as(&self, f, MR_NET_SUMS_UNKNOWN, &packet, &path);
}

static void check_datagram(bool is_v4, uint16_t vlan, uint32_t payload)
{
    struct test_frame f = udp_frame(is_v4, vlan, payload);
    struct mr_net_self self = test_self(vlan);
    struct mr_net_packet packet;
    struct mr_path_addr path;

    f.bytes[f.l3 + 1] |= is_v4 ? 2 : 0x20; /* ECT(0) */
    if (is_v4)
        put_ip_sum(&f);
    CU_ASSERT_EQUAL_FATAL(parse_as(&self, &f, MR_NET_SUMS_UNKNOWN, &packet, &path), MR_NET_UDP);
    CU_ASSERT_EQUAL(packet.l3_offset, f.l3);
    CU_ASSERT_EQUAL(packet.l4_offset, f.l4);
    CU_ASSERT_EQUAL(packet.payload_offset, f.l4 + 8);
    CU_ASSERT_EQUAL(packet.payload_size, payload);
    CU_ASSERT_EQUAL(packet.ecn, MR_ECN_ECT0);
    CU_ASSERT_EQUAL(packet.hop_limit, 64);
    CU_ASSERT_EQUAL(path.remote.port, 40000);
    CU_ASSERT_EQUAL(path.local.port, 443);
    CU_ASSERT_EQUAL(mr_addr_is_ipv4(&path.remote), is_v4);
    CU_ASSERT_EQUAL(path.remote.ip[15], 1);
    CU_ASSERT_EQUAL(path.local.ip[15], 2);
    CU_ASSERT_EQUAL(path.local.zero, 0);
}

static void a_datagram_for_us_is_found(void)
{
    static const uint32_t sizes[] = {0, 1, 2, 3, 1200, 1452};

    for (int is_v4 = 0; is_v4 < 2; is_v4++)
        for (uint16_t vlan = 0; vlan < 200; vlan += 100)
            for (size_t i = 0; i < MR_COUNT_OF(sizes); i++)
                check_datagram(is_v4, vlan, sizes[i]);
}

static void padding_is_no_payload(void)
{
    struct test_frame f = udp_frame(true, 0, 4);
    struct mr_net_self self = test_self(0);
    struct mr_net_packet packet;
    struct mr_path_addr path;

    f.size = 60; /* Ethernet's minimum */
    CU_ASSERT_EQUAL_FATAL(parse_as(&self, &f, MR_NET_SUMS_UNKNOWN, &packet, &path), MR_NET_UDP);
    CU_ASSERT_EQUAL(packet.payload_size, 4);
}

/* An IP packet may be longer than its UDP datagram; never the other way round. */
static void bytes_behind_the_udp_length_are_no_payload(void)
{
    struct test_frame f = udp_frame(true, 0, 100);
    struct mr_net_self self = test_self(0);
    struct mr_net_packet packet;
    struct mr_path_addr path;

    mr_store_be16(f.bytes + f.l4 + 4, 8 + 90);
    mr_store_be16(f.bytes + f.l4 + 6, 0);
    CU_ASSERT_EQUAL_FATAL(parse_as(&self, &f, MR_NET_SUMS_UNKNOWN, &packet, &path), MR_NET_UDP);
    CU_ASSERT_EQUAL(packet.payload_size, 90);
}

/* ---- one field changed ---- */

enum fix {
    NO_FIX,
    FIX_IP,
    FIX_UDP,
    FIX_BOTH
};

/* Store `value` of `size` bytes at `offset`, from the frame's begin or its IP or UDP header, then
 * put right what `fix` says. */
struct change {
    bool is_v6;
    enum {
        FRAME,
        L3,
        L4
    } from;
    uint32_t offset;
    uint32_t size;
    uint64_t value;
    enum fix fix;
    enum mr_net_kind kind;
};

static void fix_sums(struct test_frame *f, enum fix fix)
{
    if (fix & FIX_IP)
        put_ip_sum(f);
    if (fix & FIX_UDP)
        put_l4_sum(f, 6, 17);
}

static void apply(struct test_frame *f, const struct change *c)
{
    uint32_t base = c->from == FRAME ? 0 : c->from == L3 ? f->l3 : f->l4;

    for (uint32_t i = 0; i < c->size; i++)
        f->bytes[base + c->offset + i] = (uint8_t)(c->value >> 8 * (c->size - 1 - i));
    fix_sums(f, c->fix);
}

static const struct change changes[] = {
    /* Ethernet */
    {false, FRAME, 0, 6, 0x020000000003, NO_FIX, MR_NET_DROP_NOT_OUR_MAC},
    {false, FRAME, 0, 6, 0xffffffffffff, NO_FIX,
     MR_NET_DROP_BROADCAST}, /* unicast IP in a broadcast frame */
    {false, FRAME, 0, 6, 0x01005e000001, NO_FIX, MR_NET_DROP_BROADCAST},
    {true, FRAME, 0, 6, 0x333300000001, NO_FIX, MR_NET_DROP_BROADCAST},
    {false, FRAME, 6, 6, 0x020000000002, NO_FIX, MR_NET_DROP_SOURCE_MAC},
    {false, FRAME, 6, 6, 0xffffffffffff, NO_FIX, MR_NET_DROP_SOURCE_MAC},
    {false, FRAME, 6, 6, 0x01005e000001, NO_FIX, MR_NET_DROP_SOURCE_MAC},
    {false, FRAME, 12, 2, 0x8847, NO_FIX, MR_NET_DROP_ETHERTYPE}, /* MPLS */
    {false, FRAME, 12, 2, 0x0000, NO_FIX, MR_NET_DROP_ETHERTYPE}, /* a length: LLC */
    {false, FRAME, 12, 2, 0x05dc, NO_FIX, MR_NET_DROP_ETHERTYPE},
    {false, FRAME, 12, 2, 0x88a8, NO_FIX, MR_NET_DROP_QINQ},
    {false, FRAME, 12, 2, 0x9100, NO_FIX, MR_NET_DROP_QINQ},
    {false, FRAME, 12, 2, 0x8100, NO_FIX, MR_NET_DROP_VLAN},
    {false, FRAME, 12, 6, 0x810000008100, NO_FIX, MR_NET_DROP_QINQ},
    {false, FRAME, 12, 2, 0x86dd, NO_FIX, MR_NET_DROP_IP_VERSION},
    {true, FRAME, 12, 2, 0x0800, NO_FIX, MR_NET_DROP_IP_VERSION},
    /* IPv4 */
    {false, L3, 0, 1, 0x55, FIX_IP, MR_NET_DROP_IP_VERSION},
    {false, L3, 0, 1, 0x40, NO_FIX, MR_NET_DROP_IP_HEADER},
    {false, L3, 0, 1, 0x41, NO_FIX, MR_NET_DROP_IP_HEADER},
    {false, L3, 0, 1, 0x42, NO_FIX, MR_NET_DROP_IP_HEADER},
    {false, L3, 0, 1, 0x43, NO_FIX, MR_NET_DROP_IP_HEADER},
    {false, L3, 0, 1, 0x44, NO_FIX, MR_NET_DROP_IP_HEADER},
    {false, L3, 2, 2, 0, FIX_IP, MR_NET_DROP_IP_LENGTH},
    {false, L3, 2, 2, 19, FIX_IP, MR_NET_DROP_IP_LENGTH},
    {false, L3, 2, 2, 129, FIX_IP, MR_NET_DROP_IP_LENGTH}, /* one more than the frame holds */
    {false, L3, 2, 2, 65535, FIX_IP, MR_NET_DROP_IP_LENGTH},
    {false, L3, 2, 2, 20, FIX_IP, MR_NET_DROP_UDP_LENGTH}, /* no UDP header left */
    {false, L3, 2, 2, 27, FIX_IP, MR_NET_DROP_UDP_LENGTH},
    {false, L3, 2, 2, 127, FIX_IP, MR_NET_DROP_UDP_LENGTH},  /* UDP longer than IP */
    {false, L3, 6, 2, 0x2000, FIX_IP, MR_NET_DROP_FRAGMENT}, /* first */
    {false, L3, 6, 2, 0x2001, FIX_IP, MR_NET_DROP_FRAGMENT}, /* middle */
    {false, L3, 6, 2, 0x0001, FIX_IP, MR_NET_DROP_FRAGMENT}, /* last */
    {false, L3, 6, 2, 0x1fff, FIX_IP, MR_NET_DROP_FRAGMENT}, /* ping of death */
    {false, L3, 6, 2, 0x8000, FIX_IP, MR_NET_UDP},           /* the evil bit is no fragment */
    {false, L3, 9, 1, 6, FIX_IP, MR_NET_DROP_PROTOCOL},
    {false, L3, 9, 1, 58, FIX_IP, MR_NET_DROP_PROTOCOL},
    {false, L3, 10, 2, 0x1234, NO_FIX, MR_NET_DROP_IP_CHECKSUM},
    {false, L3, 8, 1, 63, NO_FIX, MR_NET_DROP_IP_CHECKSUM},
    {false, L3, 12, 4, 0xc6120002, FIX_BOTH, MR_NET_DROP_SOURCE_IP}, /* land attack */
    {false, L3, 12, 4, 0x00000000, FIX_BOTH, MR_NET_DROP_SOURCE_IP},
    {false, L3, 12, 4, 0x7f000001, FIX_BOTH, MR_NET_DROP_SOURCE_IP},
    {false, L3, 12, 4, 0xe0000001, FIX_BOTH, MR_NET_DROP_SOURCE_IP},
    {false, L3, 12, 4, 0xf0000001, FIX_BOTH, MR_NET_DROP_SOURCE_IP},
    {false, L3, 12, 4, 0xffffffff, FIX_BOTH, MR_NET_DROP_SOURCE_IP},
    {false, L3, 12, 4, 0xc61200ff, FIX_BOTH, MR_NET_DROP_SOURCE_IP}, /* directed broadcast */
    {false, L3, 12, 4, 0xc6120000, FIX_BOTH, MR_NET_DROP_SOURCE_IP},
    {false, L3, 12, 4, 0xc61300ff, FIX_BOTH, MR_NET_UDP}, /* another network's: a host to us */
    {false, L3, 16, 4, 0xc6120003, FIX_BOTH, MR_NET_DROP_NOT_OUR_IP},
    {false, L3, 16, 4, 0xffffffff, FIX_BOTH, MR_NET_DROP_BROADCAST},
    {false, L3, 16, 4, 0xc61200ff, FIX_BOTH, MR_NET_DROP_BROADCAST},
    {false, L3, 16, 4, 0xe0000001, FIX_BOTH, MR_NET_DROP_BROADCAST},
    /* IPv6 */
    {true, L3, 0, 1, 0x40, NO_FIX, MR_NET_DROP_IP_VERSION},
    {true, L3, 4, 2, 109, NO_FIX, MR_NET_DROP_IP_LENGTH},
    {true, L3, 4, 2, 65535, NO_FIX, MR_NET_DROP_IP_LENGTH},
    {true, L3, 4, 2, 0, NO_FIX, MR_NET_DROP_UDP_LENGTH}, /* no jumbograms */
    {true, L3, 4, 2, 7, NO_FIX, MR_NET_DROP_UDP_LENGTH},
    {true, L3, 4, 2, 107, NO_FIX, MR_NET_DROP_UDP_LENGTH},
    {true, L3, 6, 1, 6, NO_FIX, MR_NET_DROP_PROTOCOL},
    {true, L3, 6, 1, 1, NO_FIX, MR_NET_DROP_PROTOCOL}, /* ICMPv4 */
    {true, L3, 6, 1, 59, NO_FIX, MR_NET_DROP_PROTOCOL},
    {true, L3, 6, 1, 44, NO_FIX, MR_NET_DROP_FRAGMENT},
    {true, L3, 6, 1, 43, NO_FIX, MR_NET_DROP_SOURCE_ROUTE},
    {true, L3, 23, 1, 2, FIX_UDP, MR_NET_DROP_SOURCE_IP}, /* ours */
    {true, L3, 8, 1, 0xff, FIX_UDP, MR_NET_DROP_SOURCE_IP},
    {true, L3, 8, 1, 0x00, FIX_UDP, MR_NET_DROP_SOURCE_IP}, /* ::1 */
    {true, L3, 39, 1, 3, FIX_UDP, MR_NET_DROP_NOT_OUR_IP},
    {true, L3, 24, 8, 0xff02000000000000, FIX_UDP, MR_NET_DROP_NOT_OUR_IP}, /* a group, not ours */
    /* UDP */
    {false, L4, 4, 2, 0, NO_FIX, MR_NET_DROP_UDP_LENGTH},
    {false, L4, 4, 2, 7, NO_FIX, MR_NET_DROP_UDP_LENGTH},
    {false, L4, 4, 2, 109, NO_FIX, MR_NET_DROP_UDP_LENGTH},
    {true, L4, 4, 2, 7, NO_FIX, MR_NET_DROP_UDP_LENGTH},
    {true, L4, 4, 2, 109, NO_FIX, MR_NET_DROP_UDP_LENGTH},
    {false, L4, 6, 2, 0x4242, NO_FIX, MR_NET_DROP_UDP_CHECKSUM},
    {true, L4, 6, 2, 0x4242, NO_FIX, MR_NET_DROP_UDP_CHECKSUM},
    {false, L4, 50, 1, 0xaa, NO_FIX, MR_NET_DROP_UDP_CHECKSUM},
    {false, L4, 6, 2, 0, NO_FIX, MR_NET_UDP},              /* RFC 768: none was computed */
    {true, L4, 6, 2, 0, NO_FIX, MR_NET_DROP_UDP_CHECKSUM}, /* RFC 8200, Section 8.1 */
};

static void every_malformed_field_has_its_reason(void)
{
    for (size_t i = 0; i < MR_COUNT_OF(changes); i++) {
        struct test_frame f = udp_frame(!changes[i].is_v6, 0, 100);

        apply(&f, &changes[i]);
        enum mr_net_kind kind = judge(&f);
        CU_ASSERT_EQUAL(kind, changes[i].kind);
        if (kind != changes[i].kind)
            printf("# row %zu: %s instead of %s\n", i, mr_net_kind_name(kind),
                   mr_net_kind_name(changes[i].kind));
    }
}

/* The straight line of checked frames draws the same line. */
static void a_checked_frame_is_judged_as_strictly(void)
{
    struct mr_net_self self = test_self(0);

    for (size_t i = 0; i < MR_COUNT_OF(changes); i++) {
        struct test_frame f = udp_frame(!changes[i].is_v6, 0, 100);
        struct mr_net_packet packet;
        struct mr_path_addr path;
        bool is_sum = changes[i].kind == MR_NET_DROP_IP_CHECKSUM ||
                      changes[i].kind == MR_NET_DROP_UDP_CHECKSUM;

        apply(&f, &changes[i]);
        enum mr_net_kind kind = parse_as(&self, &f, MR_NET_SUMS_GOOD, &packet, &path);
        CU_ASSERT_EQUAL(kind, is_sum ? MR_NET_UDP : changes[i].kind);
    }
}

static void a_checked_datagram_is_found_whole(void)
{
    struct test_frame f = udp_frame(true, 0, 100);
    struct mr_net_self self = test_self(0);
    struct mr_net_packet packet[2];
    struct mr_path_addr path[2];

    f.bytes[f.l3 + 1] = MR_ECN_CE;
    put_ip_sum(&f);
    f.size += 18; /* padding */
    memset(packet, 0, sizeof(packet));
    CU_ASSERT_EQUAL(parse_as(&self, &f, MR_NET_SUMS_GOOD, &packet[0], &path[0]), MR_NET_UDP);
    CU_ASSERT_EQUAL(parse_as(&self, &f, MR_NET_SUMS_UNKNOWN, &packet[1], &path[1]), MR_NET_UDP);
    CU_ASSERT_EQUAL(memcmp(&packet[0], &packet[1], sizeof(packet[0])), 0);
    CU_ASSERT(mr_path_addr_equal(&path[0], &path[1]));
    CU_ASSERT_EQUAL(packet[0].ecn, MR_ECN_CE);
    CU_ASSERT_EQUAL(packet[0].payload_size, 100);
}

/* A frame that ends anywhere is never read behind its end (the sanitizers watch) nor taken for a
 * datagram. */
static void a_frame_cut_anywhere_is_dropped(void)
{
    for (int is_v4 = 0; is_v4 < 2; is_v4++) {
        struct test_frame whole = udp_frame(is_v4, 0, 40);

        for (uint32_t size = 0; size < whole.size; size++) {
            struct test_frame f = whole;

            f.size = size;
            CU_ASSERT(judge(&f) > MR_NET_ICMP6);
        }
    }
}

static void a_runt_is_dropped(void)
{
    struct test_frame f = udp_frame(true, 0, 40);

    f.size = 13;
    CU_ASSERT_EQUAL(judge(&f), MR_NET_DROP_RUNT);
    f.size = 33;
    CU_ASSERT_EQUAL(judge(&f), MR_NET_DROP_RUNT);
    f = udp_frame(false, 0, 40);
    f.size = 53;
    CU_ASSERT_EQUAL(judge(&f), MR_NET_DROP_RUNT);
}

static void vlan_tags_must_be_ours(void)
{
    static const struct {
        uint16_t ours;
        uint16_t tag; /* with priority bits; 0: untagged */
        enum mr_net_kind kind;
    } rows[] = {
        {0, 0, MR_NET_UDP},      {0, 7, MR_NET_DROP_VLAN},      {7, 7, MR_NET_UDP},
        {7, 0xe007, MR_NET_UDP}, {7, 8, MR_NET_DROP_VLAN},      {7, 0, MR_NET_DROP_VLAN},
        {0, 0xe000, MR_NET_UDP}, {7, 0xe000, MR_NET_DROP_VLAN}, {4095, 0xffff, MR_NET_UDP},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct test_frame f = udp_frame(true, rows[i].tag, 40);
        struct mr_net_self self = test_self(rows[i].ours);
        struct mr_net_packet packet;
        struct mr_path_addr path;

        CU_ASSERT_EQUAL(parse_as(&self, &f, MR_NET_SUMS_UNKNOWN, &packet, &path), rows[i].kind);
    }
}

/* Of the four addresses of a /30 the first and the last are nobody's; a /31 has two hosts. */
static void small_networks_have_their_broadcasts(void)
{
    static const struct {
        uint8_t bits;
        uint8_t last;
        enum mr_net_kind kind;
    } rows[] = {
        {30, 0, MR_NET_DROP_SOURCE_IP},
        {30, 1, MR_NET_UDP},
        {30, 3, MR_NET_DROP_SOURCE_IP},
        {31, 3, MR_NET_UDP},
        {32, 3, MR_NET_UDP},
        {32, 0, MR_NET_UDP},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++)
        for (int is_checked = 0; is_checked < 2; is_checked++) {
            struct test_frame f = udp_frame(true, 0, 40);
            struct mr_net_self self = test_self(0);
            struct mr_net_packet packet;
            struct mr_path_addr path;

            self.address[0].bits = (uint8_t)(96 + rows[i].bits);
            f.bytes[f.l3 + 15] = rows[i].last;
            put_ip_sum(&f);
            put_l4_sum(&f, 6, 17);
            CU_ASSERT_EQUAL(parse_as(&self, &f, is_checked ? MR_NET_SUMS_GOOD : MR_NET_SUMS_UNKNOWN,
                                     &packet, &path),
                            rows[i].kind);
        }
}

/* ---- IPv4 options ---- */

/* Put `size` bytes of options, a multiple of 4, behind the IPv4 header. */
static struct test_frame with_options(const uint8_t *options, uint32_t size)
{
    struct test_frame f = udp_frame(true, 0, 40);

    memmove(f.bytes + f.l4 + size, f.bytes + f.l4, f.size - f.l4);
    memcpy(f.bytes + f.l4, options, size);
    f.l4 += size;
    f.size += size;
    f.bytes[f.l3] = (uint8_t)(0x45 + size / 4);
    mr_store_be16(f.bytes + f.l3 + 2, (uint16_t)(f.size - f.l3));
    put_ip_sum(&f);
    return f;
}

static void options_are_skipped_but_source_routes_refused(void)
{
    static const struct {
        uint8_t bytes[40];
        uint32_t size;
        enum mr_net_kind kind;
    } rows[] = {
        {{1, 1, 1, 0}, 4, MR_NET_UDP},
        {{148, 4, 0, 0}, 4, MR_NET_UDP}, /* router alert */
        {{7, 39, 4}, 40, MR_NET_UDP},    /* record route */
        {{131, 4, 4, 0}, 4, MR_NET_DROP_SOURCE_ROUTE},
        {{137, 4, 4, 0}, 4, MR_NET_DROP_SOURCE_ROUTE},
        {{1, 131, 3, 4}, 4, MR_NET_DROP_SOURCE_ROUTE},
        {{148, 4, 0, 0, 131, 3, 4, 0}, 8, MR_NET_DROP_SOURCE_ROUTE},
        {{0, 131, 3, 4}, 4, MR_NET_UDP}, /* behind the end of options */
        {{148, 0, 0, 0}, 4, MR_NET_UDP}, /* an option of no length: nobody reads on */
        {{148, 1, 131, 0}, 4, MR_NET_UDP},
        {{1, 1, 1, 148}, 4, MR_NET_UDP}, /* its length is missing */
        {{148, 255, 0, 0}, 4, MR_NET_UDP},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct test_frame f = with_options(rows[i].bytes, rows[i].size);
        CU_ASSERT_EQUAL(judge(&f), rows[i].kind);
    }
}

/* What follows the options is no option, though it looks like a source route. */
static void options_end_with_the_header(void)
{
    static const uint8_t nops[4] = {1, 1, 1, 1};
    struct test_frame f = with_options(nops, sizeof(nops));

    mr_store_be16(f.bytes + f.l4, 0x8303); /* the source port */
    mr_store_be16(f.bytes + f.l4 + 6, 0);
    CU_ASSERT_EQUAL(judge(&f), MR_NET_UDP);
}

static void an_option_header_longer_than_the_packet_is_refused(void)
{
    struct test_frame f = udp_frame(true, 0, 0);

    f.bytes[f.l3] = 0x4f;
    CU_ASSERT_EQUAL(judge(&f), MR_NET_DROP_IP_HEADER);
    f = udp_frame(true, 0, 40);
    f.bytes[f.l3] = 0x4f;
    mr_store_be16(f.bytes + f.l3 + 2, 59);
    put_ip_sum(&f);
    CU_ASSERT_EQUAL(judge(&f), MR_NET_DROP_IP_LENGTH);
}

/* ---- IPv6 extension headers ---- */

/* Put `count` extension headers of 8 bytes behind the IPv6 header, of the types given. */
static struct test_frame with_extensions(const uint8_t *types, uint32_t count)
{
    struct test_frame f = udp_frame(false, 0, 40);
    uint32_t size = count * 8;

    memmove(f.bytes + f.l4 + size, f.bytes + f.l4, f.size - f.l4);
    memset(f.bytes + f.l4, 0, size);
    for (uint32_t i = 0; i < count; i++)
        f.bytes[f.l4 + 8 * i] = i + 1 < count ? types[i + 1] : 17;
    f.bytes[f.l3 + 6] = types[0];
    f.l4 += size;
    f.size += size;
    mr_store_be16(f.bytes + f.l3 + 4, (uint16_t)(f.size - f.l3 - 40));
    return f;
}

static void extension_headers_are_walked_within_a_limit(void)
{
    static const struct {
        uint8_t types[10];
        uint32_t count;
        enum mr_net_kind kind;
    } rows[] = {
        {{0}, 1, MR_NET_UDP},
        {{60}, 1, MR_NET_UDP},
        {{0, 60}, 2, MR_NET_UDP},
        {{60, 60, 60, 60, 60, 60, 60, 60}, 8, MR_NET_UDP},
        {{60, 60, 60, 60, 60, 60, 60, 60, 60}, 9, MR_NET_DROP_EXTENSION},
        {{60, 0}, 2, MR_NET_DROP_EXTENSION}, /* RFC 8200, Section 4.1: hop-by-hop comes first */
        {{0, 0}, 2, MR_NET_DROP_EXTENSION},
        {{0, 44}, 2, MR_NET_DROP_FRAGMENT},
        {{60, 43}, 2, MR_NET_DROP_SOURCE_ROUTE},
        {{60, 50}, 2, MR_NET_DROP_PROTOCOL}, /* ESP */
        {{51}, 1, MR_NET_DROP_PROTOCOL},
        {{135}, 1, MR_NET_DROP_PROTOCOL},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct test_frame f = with_extensions(rows[i].types, rows[i].count);
        CU_ASSERT_EQUAL(judge(&f), rows[i].kind);
    }
}

static void an_extension_header_ends_inside_the_packet(void)
{
    struct test_frame f = with_extensions((const uint8_t[]){60}, 1);

    f.bytes[f.l4 - 7] = 255; /* 2,048 bytes */
    CU_ASSERT_EQUAL(judge(&f), MR_NET_DROP_EXTENSION);
    f = with_extensions((const uint8_t[]){60}, 1);
    f.size = f.l4 - 4;
    mr_store_be16(f.bytes + f.l3 + 4, 4);
    CU_ASSERT_EQUAL(judge(&f), MR_NET_DROP_EXTENSION);
}

static void a_datagram_behind_extension_headers_is_found(void)
{
    struct test_frame f = with_extensions((const uint8_t[]){0, 60}, 2);
    struct mr_net_self self = test_self(0);
    struct mr_net_packet packet;
    struct mr_path_addr path;

    CU_ASSERT_EQUAL_FATAL(parse_as(&self, &f, MR_NET_SUMS_UNKNOWN, &packet, &path), MR_NET_UDP);
    CU_ASSERT_EQUAL(packet.payload_offset, f.l4 + 8);
    CU_ASSERT_EQUAL(packet.payload_size, 40);
}

/* ---- checksums ---- */

static void known_checksums_are_trusted(void)
{
    static const struct {
        enum mr_net_sums sums;
        enum mr_net_kind intact;
        enum mr_net_kind wrong_udp;
        enum mr_net_kind wrong_ip;
    } rows[] = {
        {MR_NET_SUMS_UNKNOWN, MR_NET_UDP, MR_NET_DROP_UDP_CHECKSUM, MR_NET_DROP_IP_CHECKSUM},
        {MR_NET_SUMS_GOOD, MR_NET_UDP, MR_NET_UDP, MR_NET_UDP},
        {MR_NET_SUMS_GOOD_L4, MR_NET_UDP, MR_NET_UDP, MR_NET_DROP_IP_CHECKSUM},
        {MR_NET_SUMS_BAD_IP, MR_NET_DROP_IP_CHECKSUM, MR_NET_DROP_IP_CHECKSUM,
         MR_NET_DROP_IP_CHECKSUM},
        {MR_NET_SUMS_BAD_L4, MR_NET_DROP_UDP_CHECKSUM, MR_NET_DROP_UDP_CHECKSUM,
         MR_NET_DROP_IP_CHECKSUM},
        {MR_NET_SUMS_PARTIAL, MR_NET_UDP, MR_NET_DROP_UDP_CHECKSUM, MR_NET_DROP_IP_CHECKSUM},
    };
    struct mr_net_self self = test_self(0);
    struct mr_net_packet packet;
    struct mr_path_addr path;

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct test_frame f = udp_frame(true, 0, 100);
        CU_ASSERT_EQUAL(parse_as(&self, &f, rows[i].sums, &packet, &path), rows[i].intact);
        f.bytes[f.l4 + 20] ^= 1;
        CU_ASSERT_EQUAL(parse_as(&self, &f, rows[i].sums, &packet, &path), rows[i].wrong_udp);
        f.bytes[f.l3 + 8] ^= 1;
        CU_ASSERT_EQUAL(parse_as(&self, &f, rows[i].sums, &packet, &path), rows[i].wrong_ip);
    }
}

/* What a local kernel leaves to a device: the sum of the pseudo-header, not complemented. */
static void a_partial_checksum_is_good_from_the_local_kernel_only(void)
{
    struct mr_net_self self = test_self(0);
    struct mr_net_packet packet;
    struct mr_path_addr path;

    for (int is_v4 = 0; is_v4 < 2; is_v4++) {
        struct test_frame f = udp_frame(is_v4, 0, 100);
        uint8_t tail[4] = {0, 17, 0, 108};
        uint32_t sum = plain_sum(0, tail, 4);

        sum =
            is_v4 ? plain_sum(sum, f.bytes + f.l3 + 12, 8) : plain_sum(sum, f.bytes + f.l3 + 8, 32);
        mr_store_be16(f.bytes + f.l4 + 6, (uint16_t)sum);
        CU_ASSERT_EQUAL(parse_as(&self, &f, MR_NET_SUMS_PARTIAL, &packet, &path), MR_NET_UDP);
        CU_ASSERT_EQUAL(parse_as(&self, &f, MR_NET_SUMS_UNKNOWN, &packet, &path),
                        MR_NET_DROP_UDP_CHECKSUM);
    }
}

/* ---- not UDP ---- */

static void arp_and_icmp_are_told_apart(void)
{
    struct test_frame f = udp_frame(true, 0, 100);
    struct mr_net_self self = test_self(0);
    struct mr_net_packet packet;
    struct mr_path_addr path;

    mr_store_be16(f.bytes + 12, 0x0806);
    f.size = 42;
    CU_ASSERT_EQUAL(judge(&f), MR_NET_ARP);
    f.size = 41;
    CU_ASSERT_EQUAL(judge(&f), MR_NET_DROP_RUNT);

    for (int is_v4 = 0; is_v4 < 2; is_v4++) {
        f = icmp_frame(is_v4, 8, 0, 0, NULL, 0);
        CU_ASSERT_EQUAL(parse_as(&self, &f, MR_NET_SUMS_UNKNOWN, &packet, &path),
                        is_v4 ? MR_NET_ICMP4 : MR_NET_ICMP6);
        CU_ASSERT_EQUAL(packet.payload_offset, f.l4);
        CU_ASSERT_EQUAL(packet.payload_size, 8);
        CU_ASSERT_EQUAL(path.local.port, 0);
        CU_ASSERT_EQUAL(path.remote.port, 0);
        CU_ASSERT_FALSE(packet.is_group);
    }
}

static void icmp6_to_our_groups_is_let_in(void)
{
    static const struct {
        uint8_t last[3];
        uint8_t scope;
        enum mr_net_kind kind;
    } rows[] = {
        {{0, 0, 1}, 2, MR_NET_ICMP6},           /* all nodes */
        {{0, 0, 2}, 2, MR_NET_DROP_NOT_OUR_IP}, /* all routers */
        {{0, 0, 1}, 5, MR_NET_DROP_NOT_OUR_IP},
    };
    struct mr_net_self self = test_self(0);
    struct mr_net_packet packet;
    struct mr_path_addr path;

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct test_frame f = icmp_frame(false, 135, 0, 0, NULL, 0);
        uint8_t *destination = f.bytes + f.l3 + 24;

        memset(destination, 0, 16);
        destination[0] = 0xff;
        destination[1] = rows[i].scope;
        memcpy(destination + 13, rows[i].last, 3);
        memcpy(f.bytes, (const uint8_t[]){0x33, 0x33, 0, 0, 0, 1}, 6);
        CU_ASSERT_EQUAL(parse_as(&self, &f, MR_NET_SUMS_UNKNOWN, &packet, &path), rows[i].kind);
    }

    struct test_frame f = icmp_frame(false, 135, 0, 0, NULL, 0);
    struct mr_ip group = mr_ip_solicited_node(&self.address[1].ip);
    memcpy(f.bytes + f.l3 + 24, group.bytes, 16);
    CU_ASSERT_EQUAL(parse_as(&self, &f, MR_NET_SUMS_UNKNOWN, &packet, &path), MR_NET_ICMP6);
    CU_ASSERT(packet.is_group);
    memset(f.bytes + f.l3 + 8, 0, 16); /* from ::, as duplicate address detection does */
    CU_ASSERT_EQUAL(parse_as(&self, &f, MR_NET_SUMS_UNKNOWN, &packet, &path), MR_NET_ICMP6);
}

/* Another host that has our address says so from it: duplicate address detection. */
static void our_own_address_is_a_source_for_neighbour_discovery_only(void)
{
    struct test_frame f = icmp_frame(false, 136, 0, 0, NULL, 0);

    f.bytes[f.l3 + 23] = 2;
    CU_ASSERT_EQUAL(judge(&f), MR_NET_ICMP6);
    f.bytes[f.l3 + 7] = 64;
    CU_ASSERT_EQUAL(judge(&f), MR_NET_DROP_SOURCE_IP);
    f = icmp_frame(true, 8, 0, 0, NULL, 0);
    f.bytes[f.l3 + 15] = 2;
    f.bytes[f.l3 + 8] = 255;
    put_ip_sum(&f);
    CU_ASSERT_EQUAL(judge(&f), MR_NET_DROP_SOURCE_IP);
}

static void nobody_sends_udp_from_the_unspecified_address(void)
{
    struct test_frame f = udp_frame(false, 0, 40);

    memset(f.bytes + f.l3 + 8, 0, 16);
    put_l4_sum(&f, 6, 17);
    CU_ASSERT_EQUAL(judge(&f), MR_NET_DROP_SOURCE_IP);
}

/* ::ffff:198.18.0.1 in an IPv6 header would pass for 198.18.0.1, which was never asked. */
static void a_mapped_address_in_an_ipv6_header_is_refused(void)
{
    struct test_frame f = udp_frame(false, 0, 40);

    memset(f.bytes + f.l3 + 8, 0, 16);
    memcpy(f.bytes + f.l3 + 18, (const uint8_t[]){0xff, 0xff, 198, 18, 0, 1}, 6);
    put_l4_sum(&f, 6, 17);
    CU_ASSERT_EQUAL(judge(&f), MR_NET_DROP_SOURCE_IP);

    f = udp_frame(false, 0, 40);
    memset(f.bytes + f.l3 + 24, 0, 16);
    memcpy(f.bytes + f.l3 + 34, (const uint8_t[]){0xff, 0xff, 198, 18, 0, 2}, 6);
    put_l4_sum(&f, 6, 17);
    CU_ASSERT_EQUAL(judge(&f), MR_NET_DROP_NOT_OUR_IP);
}

static void a_jumbo_datagram_is_found(void)
{
    static uint8_t bytes[9100];
    struct test_frame head = udp_frame(true, 0, 0);
    struct mr_net_self self = test_self(0);
    struct mr_net_frame frame = {.data = bytes, .size = 14 + 9000, .sums = MR_NET_SUMS_UNKNOWN};
    struct mr_net_packet packet;
    struct mr_path_addr path;

    mr_store_be16(head.bytes + head.l3 + 2, 9000);
    put_ip_sum(&head);
    mr_store_be16(head.bytes + head.l4 + 4, 8980);
    mr_store_be16(head.bytes + head.l4 + 6, 0);
    memcpy(bytes, head.bytes, head.size);
    CU_ASSERT_EQUAL(mr_net_parse(&self, &frame, &packet, &path), MR_NET_UDP);
    CU_ASSERT_EQUAL(packet.payload_size, 8972);
}

static CU_TestInfo good[] = {
    {"a datagram for us is found", a_datagram_for_us_is_found},
    {"a checked datagram is found whole", a_checked_datagram_is_found_whole},
    {"padding is no payload", padding_is_no_payload},
    {"bytes behind the UDP length are no payload", bytes_behind_the_udp_length_are_no_payload},
    {"a datagram behind extension headers is found", a_datagram_behind_extension_headers_is_found},
    {"a jumbo datagram is found", a_jumbo_datagram_is_found},
    {"ARP and ICMP are told apart", arp_and_icmp_are_told_apart},
    {"ICMPv6 to our groups is let in", icmp6_to_our_groups_is_let_in},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo malformed[] = {
    {"every malformed field has its reason", every_malformed_field_has_its_reason},
    {"a checked frame is judged as strictly", a_checked_frame_is_judged_as_strictly},
    {"a frame cut anywhere is dropped", a_frame_cut_anywhere_is_dropped},
    {"a runt is dropped", a_runt_is_dropped},
    {"VLAN tags must be ours", vlan_tags_must_be_ours},
    {"small networks have their broadcasts", small_networks_have_their_broadcasts},
    {"options are skipped but source routes refused",
     options_are_skipped_but_source_routes_refused},
    {"options end with the header", options_end_with_the_header},
    {"an option header longer than the packet is refused",
     an_option_header_longer_than_the_packet_is_refused},
    {"extension headers are walked within a limit", extension_headers_are_walked_within_a_limit},
    {"an extension header ends inside the packet", an_extension_header_ends_inside_the_packet},
    {"our own address is a source for neighbour discovery only",
     our_own_address_is_a_source_for_neighbour_discovery_only},
    {"nobody sends UDP from the unspecified address",
     nobody_sends_udp_from_the_unspecified_address},
    {"a mapped address in an IPv6 header is refused",
     a_mapped_address_in_an_ipv6_header_is_refused},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo sums[] = {
    {"known checksums are trusted", known_checksums_are_trusted},
    {"a partial checksum is good from the local kernel only",
     a_partial_checksum_is_good_from_the_local_kernel_only},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "dataplane/net_parse good", .pTests = good},
    {.pName = "dataplane/net_parse malformed", .pTests = malformed},
    {.pName = "dataplane/net_parse checksums", .pTests = sums},
    CU_SUITE_INFO_NULL,
};
