/* tests/dpdk/test_net_own.c - the contract of dataplane/net.h: ARP, neighbour discovery, ICMP, and
 * lies about them. */
#include "dataplane/arp.h"
#include "dataplane/ndp.h"
#include "tests/dpdk/net_hosts.h"

/* ---- packets of its own ---- */

static void an_echo_is_answered(void)
{
    for (int is_v4 = 0; is_v4 < 2; is_v4++) {
        struct fixture f = prepared();
        struct test_frame frame =
            icmp_frame(is_v4, is_v4 ? 8 : 128, 0, 0x00010002, (const uint8_t *)"hello", 5);
        struct rte_mbuf *mbufs[4];

        begin(&f);
        CU_ASSERT_FALSE(inject(&f, &frame));
        CU_ASSERT_EQUAL(mr_net_output(f.host[1].net, mbufs, 4), 1);
        CU_ASSERT_EQUAL(mbufs[0]->pkt_len, frame.size);
        CU_ASSERT_EQUAL(*rte_pktmbuf_mtod_offset(mbufs[0], uint8_t *, frame.l4), is_v4 ? 0 : 129);
        rte_pktmbuf_free(mbufs[0]);
        CU_ASSERT_EQUAL(counters(&f, 1)->net_tx_echo, 1);
        end(&f);
    }
}

/* To answer it would be to talk to ourselves. */
static void an_echo_from_our_own_address_is_not_answered(void)
{
    struct fixture f = prepared();
    struct test_frame frame = icmp_frame(false, 128, 0, 1, NULL, 0);

    begin(&f);
    frame.bytes[frame.l3 + 23] = 2;
    put_l4_sum(&frame, 2, 58);
    inject(&f, &frame);
    CU_ASSERT_EQUAL(counters(&f, 1)->net_tx_echo, 0);
    CU_ASSERT_EQUAL(counters(&f, 1)->net_drop_source_ip, 1);
    end(&f);
}

static void answers_have_a_rate(void)
{
    struct fixture f = prepared();
    struct test_frame frame = icmp_frame(true, 8, 0, 1, NULL, 0);

    f.config[1].answers_per_second = 10;
    begin(&f);
    for (int i = 0; i < 25; i++)
        inject(&f, &frame);
    CU_ASSERT_EQUAL(counters(&f, 1)->net_tx_echo, 10);
    CU_ASSERT_EQUAL(counters(&f, 1)->net_drop_icmp_rate, 15);
    f.now += SECOND / 2;
    for (int i = 0; i < 25; i++)
        inject(&f, &frame);
    CU_ASSERT_EQUAL(counters(&f, 1)->net_tx_echo, 15);
    end(&f);
}

static void a_full_output_drops_and_counts(void)
{
    struct fixture f = prepared();
    struct test_frame frame = icmp_frame(true, 8, 0, 1, NULL, 0);

    begin(&f);
    for (int i = 0; i < MR_NET_OUTPUT_MAX + 5; i++)
        inject(&f, &frame);
    CU_ASSERT_EQUAL(counters(&f, 1)->net_tx_echo, MR_NET_OUTPUT_MAX);
    CU_ASSERT_EQUAL(counters(&f, 1)->net_drop_output_full, 5);
    end(&f);
}

static void icmp_errors_become_events_with_a_limit(void)
{
    struct fixture f = prepared();
    struct test_frame quoted = udp_frame(true, 0, 100);
    struct mr_icmp_event event;
    uint32_t n = 0;

    quoted.bytes[quoted.l3 + 15] = 2; /* from us */
    quoted.bytes[quoted.l3 + 19] = 1;
    struct test_frame frame =
        icmp_frame(true, 3, 4, 1300, quoted.bytes + quoted.l3, quoted.size - quoted.l3);
    begin(&f);
    for (int i = 0; i < MR_NET_EVENTS_MAX + 2; i++)
        inject(&f, &frame);
    CU_ASSERT_EQUAL(counters(&f, 1)->net_icmp_too_big, MR_NET_EVENTS_MAX + 2);
    CU_ASSERT_EQUAL(counters(&f, 1)->net_icmp_event_full, 2);
    while (mr_net_take_icmp(f.host[1].net, &event)) {
        CU_ASSERT_EQUAL(event.mtu, 1300);
        n++;
    }
    CU_ASSERT_EQUAL(n, MR_NET_EVENTS_MAX);
    end(&f);
}

/* ---- own addresses ---- */

static void addresses_are_announced_and_probed_at_start(void)
{
    struct fixture f = prepared();
    struct mr_datagram out[1];

    f.config[0].detects_duplicates = true;
    begin(&f);
    CU_ASSERT_EQUAL(flush(&f, 0), 2);
    receive(&f, 1, out);
    CU_ASSERT_EQUAL(counters(&f, 1)->net_rx_arp, 1);
    CU_ASSERT_EQUAL(counters(&f, 1)->net_drop_not_our_ip, 1); /* the group of fd00::1 is not ours */
    CU_ASSERT_EQUAL(mr_net_deadline(f.host[0].net), f.now + SECOND / 4);
    f.now += SECOND / 4;
    mr_net_expire(f.host[0].net, f.now);
    CU_ASSERT_EQUAL(flush(&f, 0), 1); /* nobody has the IPv4 address: it is announced */
    receive(&f, 1, out);
    CU_ASSERT_EQUAL(counters(&f, 1)->net_rx_arp, 2);
    CU_ASSERT_EQUAL(mr_net_deadline(f.host[0].net), f.now + SECOND * 3 / 4);
    f.now += SECOND * 3 / 4;
    mr_net_expire(f.host[0].net, f.now);
    CU_ASSERT_EQUAL(mr_net_deadline(f.host[0].net), UINT64_MAX);
    CU_ASSERT_EQUAL(counters(&f, 0)->net_dad_conflict, 0);
    end(&f);
}

/* RFC 5227, Section 2.1.1: "The host MUST then examine all received ARP packets". */
static void an_ipv4_address_that_another_host_has_is_not_announced(void)
{
    struct fixture f = prepared();
    struct mr_datagram out[1];

    f.config[0].detects_duplicates = true;
    f.config[0].self.address[0].ip = ip_of("198.18.0.2");
    begin(&f);
    CU_ASSERT_EQUAL(flush(&f, 0), 2);
    receive(&f, 1, out);
    CU_ASSERT_EQUAL(counters(&f, 1)->net_dad_conflict, 0); /* a probe claims nothing */
    CU_ASSERT_EQUAL(flush(&f, 1), 1);
    receive(&f, 0, out);
    CU_ASSERT_EQUAL(counters(&f, 0)->net_dad_conflict, 1);
    f.now += SECOND / 4;
    mr_net_expire(f.host[0].net, f.now);
    CU_ASSERT_EQUAL(flush(&f, 0), 0);
    end(&f);
}

static void an_ipv6_address_that_another_host_has_is_given_up(void)
{
    struct fixture f = prepared();
    struct mr_datagram out[1];
    struct mr_ip ip = ip_of("fd00::2");

    f.config[0].detects_duplicates = true;
    f.config[0].self.address[1].ip = ip;
    begin(&f);
    CU_ASSERT(mr_net_self_has(mr_net_self(f.host[0].net), &ip));
    flush(&f, 0);
    receive(&f, 1, out);
    CU_ASSERT_EQUAL(flush(&f, 1), 1);
    receive(&f, 0, out);
    CU_ASSERT_EQUAL(counters(&f, 0)->net_dad_conflict, 1);
    CU_ASSERT_FALSE(mr_net_self_has(mr_net_self(f.host[0].net), &ip));
    CU_ASSERT_EQUAL(mr_net_self(f.host[0].net)->address_count, 1);
    end(&f);
}

/* ---- lies ---- */

static struct test_frame arp_frame(const char *sender, const char *target, bool is_reply)
{
    static const uint8_t head[8] = {0, 1, 8, 0, 6, 4, 0, 1};
    struct test_frame f = {0};
    struct mr_ip ip = ip_of(sender);

    put_ethernet(&f, 0, 0x0806);
    memcpy(f.bytes + 14, head, 8);
    f.bytes[21] = is_reply ? 2 : 1;
    memcpy(f.bytes + 22, f.bytes + 6, 6);
    memcpy(f.bytes + 28, ip.bytes + 12, 4);
    memcpy(f.bytes + 32, f.bytes, 6);
    ip = ip_of(target);
    memcpy(f.bytes + 38, ip.bytes + 12, 4);
    f.size = 42;
    return f;
}

static void lying_arp_is_dropped(void)
{
    struct fixture f = prepared();
    struct test_frame frame = arp_frame("198.18.0.1", "198.18.0.2", false);

    begin(&f);
    inject(&f, &frame);
    CU_ASSERT_EQUAL(counters(&f, 1)->net_tx_arp, 1);
    CU_ASSERT_EQUAL(counters(&f, 1)->net_neighbour_learned, 1);

    frame.bytes[27] ^= 1; /* speaks for another station */
    inject(&f, &frame);
    CU_ASSERT_EQUAL(counters(&f, 1)->net_drop_arp, 1);
    frame = arp_frame("198.18.0.2", "198.18.0.2", false); /* says it is us */
    inject(&f, &frame);
    CU_ASSERT_EQUAL(counters(&f, 1)->net_drop_arp, 2);
    CU_ASSERT_EQUAL(counters(&f, 1)->net_dad_conflict, 1);
    frame = arp_frame("203.0.113.1", "198.18.0.2", false); /* is not on our link */
    inject(&f, &frame);
    CU_ASSERT_EQUAL(counters(&f, 1)->net_drop_arp, 3);
    frame =
        arp_frame("198.18.0.9", "198.18.0.9", false); /* gratuitous, unknown: nothing to learn */
    inject(&f, &frame);
    CU_ASSERT_EQUAL(counters(&f, 1)->net_neighbour_learned, 1);
    frame = arp_frame("0.0.0.0", "198.18.0.2", false); /* a probe is answered */
    inject(&f, &frame);
    CU_ASSERT_EQUAL(counters(&f, 1)->net_tx_arp, 2);
    end(&f);
}

static void a_gratuitous_arp_does_not_steal_the_gateway(void)
{
    struct fixture f = prepared();
    struct mr_path_addr path = path_to(true, 1);
    struct mr_ip far = ip_of("203.0.113.9");
    struct test_frame frame = arp_frame("198.18.0.1", "198.18.0.2", false);
    struct rte_mbuf *mbuf;

    f.config[1].gateway4 = ip_of("198.18.0.1");
    memcpy(path.remote.ip, far.bytes, 16);
    begin(&f);
    inject(&f, &frame); /* a request, not an answer */
    CU_ASSERT_EQUAL(send_on(&f, 1, &path, 1, 0), 0);
    frame = arp_frame("198.18.0.1", "198.18.0.2", true);
    inject(&f, &frame);
    CU_ASSERT_EQUAL(send_on(&f, 1, &path, 1, 0), 1);

    frame.bytes[11] = 0x66; /* a thief */
    frame.bytes[27] = 0x66;
    inject(&f, &frame);
    frame = arp_frame("198.18.0.1", "198.18.0.1", false);
    frame.bytes[11] = 0x66;
    frame.bytes[27] = 0x66;
    inject(&f, &frame);
    while (mr_port_rx_burst(f.host[0].port, 0, &mbuf, 1) > 0)
        rte_pktmbuf_free(mbuf);
    CU_ASSERT_EQUAL(send_on(&f, 1, &path, 1, 0), 1);
    CU_ASSERT_EQUAL_FATAL(mr_port_rx_burst(f.host[0].port, 0, &mbuf, 1), 1);
    CU_ASSERT_EQUAL(rte_pktmbuf_mtod(mbuf, uint8_t *)[5], 1);
    rte_pktmbuf_free(mbuf);
    CU_ASSERT_EQUAL(counters(&f, 1)->net_neighbour_refused >= 2, true);
    end(&f);
}

/* An advertisement of `target` by the station with last byte `mac`. */
static struct test_frame advertisement(const char *target, uint8_t mac, uint8_t flags)
{
    struct mr_mac us = {{2, 0, 0, 0, 0, 2}};
    struct mr_mac from = {{2, 0, 0, 0, 0, mac}};
    struct mr_ndp ndp = {.is_advertisement = true, .has_mac = true, .flags = flags, .mac = from};
    struct test_frame f = {0};

    ndp.source = ip_of("fd00::1");
    ndp.destination = ip_of("fd00::2");
    ndp.target = ip_of(target);
    f.size = mr_ndp_build(f.bytes, &from, &us, 0, &ndp);
    return f;
}

static void an_unasked_advertisement_does_not_steal_the_gateway(void)
{
    struct fixture f = prepared();
    struct mr_path_addr path = path_to(false, 1);
    struct mr_ip far = ip_of("2001:db8::9");
    struct test_frame frame = advertisement("fd00::1", 0x66, MR_NDP_OVERRIDE);

    f.config[1].gateway6 = ip_of("fd00::1");
    memcpy(path.remote.ip, far.bytes, 16);
    begin(&f);
    CU_ASSERT_EQUAL(send_on(&f, 1, &path, 1, 0), 0);
    inject(&f, &frame);
    CU_ASSERT_EQUAL(counters(&f, 1)->net_neighbour_refused, 1);
    CU_ASSERT_EQUAL(send_on(&f, 1, &path, 1, 0), 0);
    frame = advertisement("fd00::1", 1, MR_NDP_OVERRIDE | MR_NDP_SOLICITED);
    inject(&f, &frame);
    CU_ASSERT_EQUAL(send_on(&f, 1, &path, 1, 0), 1);
    frame = advertisement("2001:db8::1", 1, MR_NDP_SOLICITED); /* not on our link */
    inject(&f, &frame);
    CU_ASSERT_EQUAL(counters(&f, 1)->net_drop_icmp, 1);
    end(&f);
}

/* A link-local gateway is on the link whatever the prefixes say. */
static void a_gateway_may_be_link_local(void)
{
    struct fixture f = prepared();
    struct mr_path_addr path = path_to(false, 1);
    struct mr_ip far = ip_of("2001:db8::9");
    struct mr_ip local;
    struct test_frame frame = advertisement("fe80::1", 1, MR_NDP_OVERRIDE | MR_NDP_SOLICITED);

    f.config[1].gateway6 = ip_of("fe80::1");
    memcpy(path.remote.ip, far.bytes, 16);
    begin(&f);
    CU_ASSERT(mr_net_source_for(f.host[1].net, &far, &local));
    CU_ASSERT_EQUAL(local.bytes[0], 0xfd);
    CU_ASSERT_EQUAL(send_on(&f, 1, &path, 1, 0), 0);
    CU_ASSERT_EQUAL(flush(&f, 1), 1); /* asked for, from an address of another prefix */
    inject(&f, &frame);
    CU_ASSERT_EQUAL(send_on(&f, 1, &path, 1, 0), 1);
    end(&f);
}

static void our_advertisement_says_who_we_are(void)
{
    struct fixture f = prepared();
    struct mr_mac peer = {{2, 0, 0, 0, 0, 1}};
    struct mr_ndp ask = {.has_mac = true, .mac = peer};
    struct test_frame frame = {0};
    struct rte_mbuf *mbuf;
    struct mr_ndp answer;

    ask.source = ip_of("fd00::1");
    ask.target = ip_of("fd00::2");
    ask.destination = mr_ip_solicited_node(&ask.target);
    struct mr_mac group = mr_mac_of_multicast(&ask.destination);
    frame.size = mr_ndp_build(frame.bytes, &peer, &group, 0, &ask);
    begin(&f);
    inject(&f, &frame);
    CU_ASSERT_EQUAL_FATAL(mr_net_output(f.host[1].net, &mbuf, 1), 1);
    const uint8_t *data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
    CU_ASSERT_EQUAL(memcmp(data, peer.bytes, 6), 0);
    CU_ASSERT(mr_ndp_parse(data + 54, mbuf->pkt_len - 54, &ask.target, &ask.source, 255, &answer));
    CU_ASSERT(answer.is_advertisement && answer.has_mac && answer.mac.bytes[5] == 2);
    CU_ASSERT_EQUAL(answer.flags, MR_NDP_SOLICITED | MR_NDP_OVERRIDE);
    CU_ASSERT(mr_ip_equal(&answer.target, &ask.target));
    rte_pktmbuf_free(mbuf);
    end(&f);
}

/* The answers to questions from its own addresses would be the kernel's, which has them, too. */
static void one_that_shares_its_addresses_asks_aside(void)
{
    for (int is_v4 = 0; is_v4 < 2; is_v4++) {
        struct fixture f = prepared();
        struct mr_path_addr path = path_to(is_v4, 0);
        struct mr_net_self *self = &f.config[0].self;
        struct mr_datagram out[4];
        struct rte_mbuf *question;
        struct mr_arp arp;

        self->is_shared = true;
        CU_ASSERT_FATAL(mr_prefix_parse("fe80::7/64", &self->address[self->address_count++]));
        CU_ASSERT_FATAL(mr_prefix_parse("fe80::77/64", &self->address[self->address_count++]));
        begin(&f);
        CU_ASSERT_EQUAL(send_on(&f, 0, &path, 7, 0), 0);
        CU_ASSERT_EQUAL_FATAL(mr_net_output(f.host[0].net, &question, 1), 1);
        const uint8_t *data = rte_pktmbuf_mtod(question, const uint8_t *);
        if (is_v4) {
            CU_ASSERT_FATAL(mr_arp_parse(data + 14, question->pkt_len - 14, &arp));
            CU_ASSERT(mr_ip_is_unspecified(&arp.sender_ip));
        } else {
            CU_ASSERT_EQUAL(data[14 + 8], 0xfe);
            CU_ASSERT_EQUAL(data[14 + 23], 0x77); /* the last one: made for it */
        }
        CU_ASSERT_EQUAL(mr_port_tx_burst(f.host[0].port, 0, &question, 1), 1);
        CU_ASSERT_EQUAL(receive(&f, 1, out), 0);
        CU_ASSERT_EQUAL(flush(&f, 1), 1); /* it is answered, though from nobody */
        CU_ASSERT_EQUAL(receive(&f, 0, out), 0);
        CU_ASSERT_EQUAL(flush(&f, 0), 1); /* the datagram, from our own address */
        CU_ASSERT_EQUAL(receive(&f, 1, out), 1);
        CU_ASSERT_EQUAL(send_on(&f, 0, &path, 8, 0), 1);
        end(&f);
    }
}

/* An answer to nobody is nobody's, but of who asks so. */
static void an_answer_to_nobody_is_for_who_asks_aside(void)
{
    for (int is_shared = 0; is_shared < 2; is_shared++) {
        struct fixture f = prepared();
        struct mr_path_addr path = path_to(true, 1);
        struct mr_mac ours = {{2, 0, 0, 0, 0, 2}};
        struct mr_mac liar = {{2, 0, 0, 0, 0, 9}};
        struct mr_arp arp = {.is_reply = true, .sender_mac = liar, .target_mac = ours};
        struct test_frame frame = {0};

        f.config[1].self.is_shared = is_shared != 0;
        f.config[1].gateway4 = ip_of("198.18.0.1");
        arp.sender_ip = ip_of("198.18.0.1");
        arp.target_ip = ip_of("0.0.0.0");
        frame.size = mr_arp_build(frame.bytes, &ours, 0, &arp);
        begin(&f);
        CU_ASSERT_EQUAL(send_on(&f, 1, &path, 1, 0), 0); /* asks for its gateway */
        inject(&f, &frame);
        CU_ASSERT_EQUAL(send_on(&f, 1, &path, 1, 0), (uint32_t)is_shared);
        end(&f);
    }
}

static void without_a_buffer_a_question_is_asked_later(void)
{
    struct fixture f = prepared();
    struct mr_path_addr path = path_to(true, 0);
    static struct rte_mbuf *hoard[POOL];

    begin(&f);
    CU_ASSERT_EQUAL(send_on(&f, 0, &path, 1, 0), 0);
    CU_ASSERT_EQUAL(rte_pktmbuf_alloc_bulk(f.pool, hoard, POOL - 1), 0);
    CU_ASSERT_EQUAL(flush(&f, 0), 0);
    CU_ASSERT_EQUAL(counters(&f, 0)->net_drop_no_mbuf, 1);
    rte_pktmbuf_free_bulk(hoard, POOL - 1);
    f.now += SECOND;
    mr_net_expire(f.host[0].net, f.now);
    CU_ASSERT_EQUAL(flush(&f, 0), 1);
    end(&f);
}

static CU_TestInfo own[] = {
    {"an echo is answered", an_echo_is_answered},
    {"an echo from our own address is not answered", an_echo_from_our_own_address_is_not_answered},
    {"answers have a rate", answers_have_a_rate},
    {"a full output drops and counts", a_full_output_drops_and_counts},
    {"ICMP errors become events with a limit", icmp_errors_become_events_with_a_limit},
    {"an IPv4 address that another host has is not announced",
     an_ipv4_address_that_another_host_has_is_not_announced},
    {"addresses are announced and probed at start", addresses_are_announced_and_probed_at_start},
    {"an IPv6 address that another host has is given up",
     an_ipv6_address_that_another_host_has_is_given_up},
    {"lying ARP is dropped", lying_arp_is_dropped},
    {"an unasked advertisement does not steal the gateway",
     an_unasked_advertisement_does_not_steal_the_gateway},
    {"a gateway may be link-local", a_gateway_may_be_link_local},
    {"our advertisement says who we are", our_advertisement_says_who_we_are},
    {"one that shares its addresses asks aside", one_that_shares_its_addresses_asks_aside},
    {"an answer to nobody is for who asks aside", an_answer_to_nobody_is_for_who_asks_aside},
    {"without a buffer a question is asked later", without_a_buffer_a_question_is_asked_later},
    {"a gratuitous ARP does not steal the gateway", a_gratuitous_arp_does_not_steal_the_gateway},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "dataplane/net own", .pInitFunc = dpdk_start, .pTests = own},
    CU_SUITE_INFO_NULL,
};
