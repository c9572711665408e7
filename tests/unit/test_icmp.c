/* tests/unit/test_icmp.c - the contracts of dataplane/icmp.h, ndp.h and arp.h. */
#include "dataplane/icmp.h"

#include "dataplane/arp.h"
#include "dataplane/ndp.h"
#include "tests/unit/harness.h"
#include "tests/unit/net_frames.h"

/* Parse a frame that net_frames.h made. */
struct parsed {
    struct mr_net_packet packet;
    struct mr_path_addr path;
    struct mr_icmp_event event;
    enum mr_icmp_kind kind;
};

static struct parsed parse(struct test_frame *f, bool is_sum_good)
{
    struct mr_net_self self = test_self(0);
    struct mr_net_frame frame = {.data = f->bytes, .size = f->size, .sums = MR_NET_SUMS_UNKNOWN};
    struct parsed p = {0};
    enum mr_net_kind kind = mr_net_parse(&self, &frame, &p.packet, &p.path);

    CU_ASSERT_FATAL(kind == MR_NET_ICMP4 || kind == MR_NET_ICMP6);
    p.kind = mr_icmp_parse(f->bytes + p.packet.l4_offset, p.packet.payload_size, &p.path,
                           is_sum_good, &p.event);
    return p;
}

/* ---- echo ---- */

static void an_echo_request_becomes_its_reply(void)
{
    static const uint8_t bytes[3] = {1, 2, 3};

    for (int is_v4 = 0; is_v4 < 2; is_v4++) {
        struct test_frame f = icmp_frame(is_v4, is_v4 ? 8 : 128, 0, 0x12340001, bytes, 3);
        struct parsed p = parse(&f, false);
        struct mr_mac mac = {{2, 0, 0, 0, 0, 2}};
        struct mr_ip local;
        struct mr_net_self peer = test_self(0);
        struct mr_net_packet packet;
        struct mr_path_addr path;

        CU_ASSERT_EQUAL(p.kind, MR_ICMP_ECHO);
        memcpy(local.bytes, p.path.local.ip, 16);
        uint32_t size = mr_icmp_make_reply(f.bytes, &p.packet, &mac, &local);
        CU_ASSERT_EQUAL(size, f.size);
        CU_ASSERT_EQUAL(memcmp(f.bytes, (const uint8_t[]){2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}, 12),
                        0);
        CU_ASSERT_EQUAL(f.bytes[f.l3 + (is_v4 ? 8 : 7)], 64);
        if (is_v4)
            CU_ASSERT_EQUAL(mr_load_be16(f.bytes + f.l3 + 6), 0);
        CU_ASSERT_EQUAL(f.bytes[f.l4], is_v4 ? 0 : 129);
        CU_ASSERT_EQUAL(mr_load_be32(f.bytes + f.l4 + 4), 0x12340001);
        CU_ASSERT_EQUAL(memcmp(f.bytes + f.l4 + 8, bytes, 3), 0);

        /* Read as the peer: every sum is right, and it comes from us. */
        peer.mac.bytes[5] = 1;
        peer.address[0].ip.bytes[15] = 1;
        peer.address[1].ip.bytes[15] = 1;
        struct mr_net_frame frame = {.data = f.bytes, .size = size, .sums = MR_NET_SUMS_UNKNOWN};
        CU_ASSERT_EQUAL(mr_net_parse(&peer, &frame, &packet, &path),
                        is_v4 ? MR_NET_ICMP4 : MR_NET_ICMP6);
        CU_ASSERT_EQUAL(path.remote.ip[15], 2);
        CU_ASSERT_EQUAL(
            mr_icmp_parse(f.bytes + packet.l4_offset, packet.payload_size, &path, false, &p.event),
            MR_ICMP_OTHER);
    }
}

/* Options come back, extension headers do not. */
static void a_reply_to_an_extended_echo_is_well_formed(void)
{
    struct test_frame f = icmp_frame(false, 128, 0, 7, NULL, 0);
    struct mr_mac mac = {{2, 0, 0, 0, 0, 2}};
    struct mr_ip local;

    memmove(f.bytes + f.l4 + 8, f.bytes + f.l4, 8);
    memset(f.bytes + f.l4, 0, 8);
    f.bytes[f.l4] = 58;
    f.bytes[f.l3 + 6] = 60;
    mr_store_be16(f.bytes + f.l3 + 4, 16);
    f.size += 8;
    struct parsed p = parse(&f, false);
    CU_ASSERT_EQUAL(p.kind, MR_ICMP_ECHO);
    memcpy(local.bytes, p.path.local.ip, 16);
    CU_ASSERT_EQUAL(mr_icmp_make_reply(f.bytes, &p.packet, &mac, &local), f.size - 8);
    CU_ASSERT_EQUAL(f.bytes[f.l3 + 6], 58);
    CU_ASSERT_EQUAL(f.bytes[f.l4], 129);
    CU_ASSERT_EQUAL(mr_load_be16(f.bytes + f.l3 + 4), 8);
}

static void a_wrong_checksum_is_bad_unless_known_good(void)
{
    for (int is_v4 = 0; is_v4 < 2; is_v4++) {
        struct test_frame f = icmp_frame(is_v4, is_v4 ? 8 : 128, 0, 1, NULL, 0);

        f.bytes[f.l4 + 7] ^= 1;
        CU_ASSERT_EQUAL(parse(&f, false).kind, MR_ICMP_BAD);
        CU_ASSERT_EQUAL(parse(&f, true).kind, MR_ICMP_ECHO);
    }
}

static void a_short_message_is_bad(void)
{
    struct test_frame f = icmp_frame(true, 8, 0, 1, NULL, 0);

    mr_store_be16(f.bytes + f.l3 + 2, 27);
    put_ip_sum(&f);
    CU_ASSERT_EQUAL(parse(&f, true).kind, MR_ICMP_BAD);
}

/* ---- errors ---- */

/* A packet of ours, as an error quotes it: from us to the peer. */
static struct test_frame quoted(bool is_v4)
{
    struct test_frame f = udp_frame(is_v4, 0, 100);
    uint8_t *ip = f.bytes + f.l3;

    ip[is_v4 ? 15 : 23] = 2;
    ip[is_v4 ? 19 : 39] = 1;
    mr_store_be16(f.bytes + f.l4, 443);
    mr_store_be16(f.bytes + f.l4 + 2, 40000);
    return f;
}

static void errors_about_our_datagrams_are_reported(void)
{
    static const struct {
        bool is_v4;
        uint8_t type;
        uint8_t code;
        enum mr_icmp_kind kind;
        uint32_t rest;
        uint32_t mtu;
    } rows[] = {
        {true, 3, 4, MR_ICMP_TOO_BIG, 1300, 1300},  {true, 3, 4, MR_ICMP_TOO_BIG, 0, 0},
        {true, 3, 3, MR_ICMP_UNREACHABLE, 0, 0},    {true, 3, 1, MR_ICMP_UNREACHABLE, 0, 0},
        {false, 2, 0, MR_ICMP_TOO_BIG, 1280, 1280}, {false, 2, 0, MR_ICMP_TOO_BIG, 70000, 70000},
        {false, 1, 4, MR_ICMP_UNREACHABLE, 0, 0},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct test_frame q = quoted(rows[i].is_v4);
        struct test_frame f = icmp_frame(rows[i].is_v4, rows[i].type, rows[i].code, rows[i].rest,
                                         q.bytes + q.l3, q.size - q.l3);
        struct parsed p = parse(&f, false);

        CU_ASSERT_EQUAL_FATAL(p.kind, rows[i].kind);
        CU_ASSERT_EQUAL(p.event.kind, rows[i].kind);
        CU_ASSERT_EQUAL(p.event.mtu, rows[i].mtu);
        CU_ASSERT_EQUAL(p.event.is_port, rows[i].kind == MR_ICMP_UNREACHABLE &&
                                             rows[i].code == (rows[i].is_v4 ? 3 : 4));
        CU_ASSERT_EQUAL(p.event.path.local.port, 443);
        CU_ASSERT_EQUAL(p.event.path.remote.port, 40000);
        CU_ASSERT_EQUAL(p.event.path.local.ip[15], 2);
        CU_ASSERT_EQUAL(p.event.path.remote.ip[15], 1);
        CU_ASSERT_EQUAL(p.event.quoted_size, 64);
        CU_ASSERT_EQUAL(memcmp(p.event.quoted, q.bytes + q.l4 + 8, 64), 0);
    }
}

/* A router may quote no more than the IP header and 8 bytes. */
static void an_error_that_quotes_little_is_reported_and_one_that_quotes_less_is_bad(void)
{
    for (int is_v4 = 0; is_v4 < 2; is_v4++) {
        struct test_frame q = quoted(is_v4);
        uint32_t least = (is_v4 ? 20 : 40) + 8;

        for (uint32_t size = 0; size <= least; size++) {
            struct test_frame f =
                icmp_frame(is_v4, is_v4 ? 3 : 2, is_v4 ? 4 : 0, 1300, q.bytes + q.l3, size);
            struct parsed p = parse(&f, false);

            CU_ASSERT_EQUAL(p.kind, size < least ? MR_ICMP_BAD : MR_ICMP_TOO_BIG);
            CU_ASSERT_EQUAL(p.event.quoted_size, 0);
        }
    }
}

static void an_error_about_somebody_elses_packet_is_bad(void)
{
    struct test_frame q = quoted(true);
    struct test_frame f;

    q.bytes[q.l3 + 15] = 9; /* its source is not who the error was sent to */
    f = icmp_frame(true, 3, 4, 1300, q.bytes + q.l3, 28);
    CU_ASSERT_EQUAL(parse(&f, false).kind, MR_ICMP_BAD);
    q = quoted(true);
    q.bytes[q.l3 + 9] = 6; /* TCP */
    f = icmp_frame(true, 3, 4, 1300, q.bytes + q.l3, 28);
    CU_ASSERT_EQUAL(parse(&f, false).kind, MR_ICMP_BAD);
    q = quoted(true);
    q.bytes[q.l3] = 0x4f; /* a header longer than what is quoted */
    f = icmp_frame(true, 3, 4, 1300, q.bytes + q.l3, 28);
    CU_ASSERT_EQUAL(parse(&f, false).kind, MR_ICMP_BAD);
}

static void other_messages_do_not_concern_us(void)
{
    struct test_frame f = icmp_frame(true, 5, 0, 0, NULL, 0); /* redirect */

    CU_ASSERT_EQUAL(parse(&f, false).kind, MR_ICMP_OTHER);
    f = icmp_frame(false, 134, 0, 0, NULL, 0); /* router advertisement */
    CU_ASSERT_EQUAL(parse(&f, false).kind, MR_ICMP_OTHER);
    f = icmp_frame(false, 135, 0, 0, NULL, 0);
    CU_ASSERT_EQUAL(parse(&f, false).kind, MR_ICMP_NDP);
}

/* ---- ARP ---- */

static void an_arp_packet_is_read_as_it_was_written(void)
{
    for (int is_reply = 0; is_reply < 2; is_reply++)
        for (uint16_t vlan = 0; vlan < 20; vlan += 10) {
            struct mr_mac to = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
            struct mr_arp arp = {.is_reply = is_reply, .sender_mac = {{2, 0, 0, 0, 0, 2}}};
            struct mr_arp read;
            uint8_t frame[MR_ARP_FRAME_SIZE + 4];

            arp.sender_ip = mr_ip_from_v4((const uint8_t[]){198, 18, 0, 2});
            arp.target_ip = mr_ip_from_v4((const uint8_t[]){198, 18, 0, 1});
            uint32_t size = mr_arp_build(frame, &to, vlan, &arp);
            uint32_t l3 = vlan == 0 ? 14 : 18;
            CU_ASSERT_EQUAL(size, l3 + 28);
            CU_ASSERT_EQUAL(mr_load_be16(frame + l3 - 2), 0x0806);
            CU_ASSERT_EQUAL(memcmp(frame, to.bytes, 6), 0);
            CU_ASSERT_EQUAL(memcmp(frame + 6, arp.sender_mac.bytes, 6), 0);
            CU_ASSERT(mr_arp_parse(frame + l3, 28, &read));
            CU_ASSERT_EQUAL(memcmp(&read, &arp, sizeof(arp)), 0);
        }
}

static void malformed_arp_is_refused(void)
{
    struct mr_arp arp = {0};
    uint8_t frame[MR_ARP_FRAME_SIZE + 4];

    mr_arp_build(frame, &arp.sender_mac, 0, &arp);
    CU_ASSERT(mr_arp_parse(frame + 14, 28, &arp));
    CU_ASSERT_FALSE(mr_arp_parse(frame + 14, 27, &arp));
    for (uint32_t at = 0; at < 8; at++) { /* hardware, protocol, sizes, operation */
        uint8_t changed[MR_ARP_FRAME_SIZE];

        memcpy(changed, frame, sizeof(changed));
        changed[14 + at] ^= 0x10;
        CU_ASSERT_FALSE(mr_arp_parse(changed + 14, 28, &arp));
    }
}

/* ---- neighbour discovery ---- */

static struct mr_ndp solicitation(void)
{
    struct mr_ndp ndp = {.has_mac = true,
                         .source = {{0xfd, [15] = 1}},
                         .target = {{0xfd, [15] = 2}},
                         .mac = {{2, 0, 0, 0, 0, 1}}};

    ndp.destination = mr_ip_solicited_node(&ndp.target);
    return ndp;
}

static struct mr_ndp advertisement(void)
{
    return (struct mr_ndp){.is_advertisement = true,
                           .has_mac = true,
                           .flags = MR_NDP_SOLICITED | MR_NDP_OVERRIDE,
                           .source = {{0xfd, [15] = 1}},
                           .destination = {{0xfd, [15] = 2}},
                           .target = {{0xfd, [15] = 1}},
                           .mac = {{2, 0, 0, 0, 0, 1}}};
}

/* Build and read it again, as a receiver does. */
static bool round_trip(const struct mr_ndp *ndp, uint8_t hop_limit, struct mr_ndp *read)
{
    struct mr_mac source = {{2, 0, 0, 0, 0, 1}};
    struct mr_mac to = mr_mac_of_multicast(&ndp->destination);
    uint8_t frame[MR_NDP_FRAME_MAX];
    uint32_t size = mr_ndp_build(frame, &source, &to, 0, ndp);
    struct mr_path_addr path = {0};
    struct mr_icmp_event event;

    memcpy(path.remote.ip, ndp->source.bytes, 16);
    memcpy(path.local.ip, ndp->destination.bytes, 16);
    CU_ASSERT_EQUAL(mr_icmp_parse(frame + 54, size - 54, &path, false, &event), MR_ICMP_NDP);
    CU_ASSERT_EQUAL(frame[14 + 7], 255);
    CU_ASSERT_EQUAL(mr_load_be16(frame + 14 + 4), size - 54);
    return mr_ndp_parse(frame + 54, size - 54, &ndp->source, &ndp->destination, hop_limit, read);
}

static void ndp_is_read_as_it_was_written(void)
{
    struct mr_ndp rows[2] = {solicitation(), advertisement()};

    for (int i = 0; i < 2; i++)
        for (int has_mac = 0; has_mac < 2; has_mac++) {
            struct mr_ndp read;

            rows[i].has_mac = has_mac;
            if (!has_mac)
                rows[i].mac = (struct mr_mac){0};
            else
                rows[i].mac = (struct mr_mac){{2, 0, 0, 0, 0, 1}};
            CU_ASSERT(round_trip(&rows[i], 255, &read));
            CU_ASSERT_EQUAL(memcmp(&read, &rows[i], sizeof(read)), 0);
        }
}

/* What we write is what we would let in, tagged or not. */
static void frames_of_ours_are_well_formed(void)
{
    static const struct mr_mac peer = {{2, 0, 0, 0, 0, 1}};
    static const struct mr_mac everybody = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

    for (uint16_t vlan = 0; vlan < 200; vlan += 100) {
        uint8_t bytes[MR_NDP_FRAME_MAX + 4];
        struct mr_net_self self = test_self(vlan);
        struct mr_net_frame frame = {.data = bytes, .sums = MR_NET_SUMS_UNKNOWN};
        struct mr_ndp ndp = solicitation();
        struct mr_mac group = mr_mac_of_multicast(&ndp.destination);
        struct mr_arp arp = {.sender_mac = peer};
        struct mr_net_packet packet;
        struct mr_path_addr path;

        frame.size = mr_ndp_build(bytes, &peer, &group, vlan, &ndp);
        CU_ASSERT_EQUAL(mr_net_parse(&self, &frame, &packet, &path), MR_NET_ICMP6);
        CU_ASSERT_EQUAL(memcmp(bytes, group.bytes, 6), 0);
        CU_ASSERT_EQUAL(memcmp(bytes + 6, peer.bytes, 6), 0);
        frame.size = mr_arp_build(bytes, &everybody, vlan, &arp);
        CU_ASSERT_EQUAL(mr_net_parse(&self, &frame, &packet, &path), MR_NET_ARP);
    }
}

/* RFC 4861, Sections 7.1.1 and 7.1.2. */
static void ndp_that_is_not_valid_is_refused(void)
{
    struct mr_ndp ndp = solicitation();
    struct mr_ndp read;

    CU_ASSERT_FALSE(round_trip(&ndp, 254, &read)); /* a router forwarded it */
    ndp.target.bytes[0] = 0xff;
    CU_ASSERT_FALSE(round_trip(&ndp, 255, &read));
    ndp = solicitation();
    memset(&ndp.source, 0, sizeof(ndp.source)); /* from :: with an address of its sender */
    CU_ASSERT_FALSE(round_trip(&ndp, 255, &read));
    ndp.has_mac = false;
    CU_ASSERT(round_trip(&ndp, 255, &read));
    ndp.destination = ndp.target; /* from :: to one host */
    CU_ASSERT_FALSE(round_trip(&ndp, 255, &read));
    ndp = advertisement();
    ndp.destination = (struct mr_ip){{0xff, 2, [15] = 1}}; /* an answer to everybody */
    CU_ASSERT_FALSE(round_trip(&ndp, 255, &read));
    ndp.flags = MR_NDP_OVERRIDE;
    CU_ASSERT(round_trip(&ndp, 255, &read));
}

static void ndp_options_end_inside_the_message(void)
{
    struct mr_ndp ndp = solicitation();
    struct mr_mac mac = {{2, 0, 0, 0, 0, 1}};
    uint8_t frame[MR_NDP_FRAME_MAX + 8];
    uint32_t size = mr_ndp_build(frame, &mac, &mac, 0, &ndp) - 54;
    uint8_t *icmp = frame + 54;
    struct mr_ndp read;

    for (uint32_t cut = 0; cut < size; cut++)
        CU_ASSERT_EQUAL(mr_ndp_parse(icmp, cut, &ndp.source, &ndp.destination, 255, &read),
                        cut == 24);
    icmp[25] = 0; /* an option of no length */
    CU_ASSERT_FALSE(mr_ndp_parse(icmp, size, &ndp.source, &ndp.destination, 255, &read));
    icmp[25] = 2; /* longer than the message */
    CU_ASSERT_FALSE(mr_ndp_parse(icmp, size, &ndp.source, &ndp.destination, 255, &read));
    icmp[24] = 14; /* another option is skipped */
    icmp[25] = 1;
    CU_ASSERT(mr_ndp_parse(icmp, size, &ndp.source, &ndp.destination, 255, &read));
    CU_ASSERT_FALSE(read.has_mac);
    icmp[1] = 1; /* a code */
    CU_ASSERT_FALSE(mr_ndp_parse(icmp, size, &ndp.source, &ndp.destination, 255, &read));
}

static CU_TestInfo echo[] = {
    {"an echo request becomes its reply", an_echo_request_becomes_its_reply},
    {"a reply to an extended echo is well formed", a_reply_to_an_extended_echo_is_well_formed},
    {"a wrong checksum is bad unless known good", a_wrong_checksum_is_bad_unless_known_good},
    {"a short message is bad", a_short_message_is_bad},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo errors[] = {
    {"errors about our datagrams are reported", errors_about_our_datagrams_are_reported},
    {"an error that quotes little is reported and one that quotes less is bad",
     an_error_that_quotes_little_is_reported_and_one_that_quotes_less_is_bad},
    {"an error about somebody else's packet is bad", an_error_about_somebody_elses_packet_is_bad},
    {"other messages do not concern us", other_messages_do_not_concern_us},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo arp[] = {
    {"an ARP packet is read as it was written", an_arp_packet_is_read_as_it_was_written},
    {"malformed ARP is refused", malformed_arp_is_refused},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo ndp[] = {
    {"NDP is read as it was written", ndp_is_read_as_it_was_written},
    {"frames of ours are well formed", frames_of_ours_are_well_formed},
    {"NDP that is not valid is refused", ndp_that_is_not_valid_is_refused},
    {"NDP options end inside the message", ndp_options_end_inside_the_message},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "dataplane/icmp echo", .pTests = echo},
    {.pName = "dataplane/icmp errors", .pTests = errors},
    {.pName = "dataplane/arp", .pTests = arp},
    {.pName = "dataplane/ndp", .pTests = ndp},
    CU_SUITE_INFO_NULL,
};
