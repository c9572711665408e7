/* tests/dpdk/test_net.c - the contract of dataplane/net.h: datagrams, their routes, frames that are
 * none. */
#include "base/random.h"
#include "tests/dpdk/net_hosts.h"

/* ---- datagrams ---- */

static void a_datagram_waits_for_its_neighbour_and_arrives(void)
{
    for (int is_v4 = 0; is_v4 < 2; is_v4++) {
        struct fixture f = prepared();
        struct mr_path_addr path = path_to(is_v4, 0);
        struct mr_path_addr back = path_to(is_v4, 1);
        struct mr_datagram out[4];

        begin(&f);
        CU_ASSERT_EQUAL(send_on(&f, 0, &path, 7, MR_ECN_ECT0), 0);
        CU_ASSERT_EQUAL(flush(&f, 0), 1); /* who has ...? */
        CU_ASSERT_EQUAL(receive(&f, 1, out), 0);
        CU_ASSERT_EQUAL(flush(&f, 1), 1); /* I have */
        CU_ASSERT_EQUAL(receive(&f, 0, out), 0);
        CU_ASSERT_EQUAL(flush(&f, 0), 1); /* the datagram */
        CU_ASSERT_EQUAL_FATAL(receive(&f, 1, out), 1);
        CU_ASSERT_EQUAL(out[0].size, PAYLOAD);
        CU_ASSERT_EQUAL(out[0].ecn, MR_ECN_ECT0);
        CU_ASSERT_EQUAL(out[0].redirect, MR_STAY);
        CU_ASSERT_EQUAL(out[0].buf->references, 0);
        CU_ASSERT_EQUAL(out[0].data[PAYLOAD - 1], 7);
        CU_ASSERT(mr_path_addr_equal(&out[0].path, &back));

        CU_ASSERT_EQUAL(send_on(&f, 0, &path, 8, 0), 1); /* known now */
        CU_ASSERT_EQUAL(send_on(&f, 1, &back, 9, 0), 1); /* the question said who asked */
        CU_ASSERT_EQUAL(receive(&f, 1, out), 1);
        CU_ASSERT_EQUAL(receive(&f, 0, out), 1);
        CU_ASSERT_EQUAL(counters(&f, 0)->net_tx_udp, 2);
        CU_ASSERT_EQUAL(counters(&f, 1)->net_rx_udp, 2);
        end(&f);
    }
}

/* The same with sums computed and checked, and in a VLAN. */
static void datagrams_cross_with_checksums_and_tags(void)
{
    struct fixture f = prepared();
    struct mr_datagram out[64];
    struct mr_mac mac[2] = {{{2, 0, 0, 0, 0, 1}}, {{2, 0, 0, 0, 0, 2}}};

    f.wire.needs_checksum = true;
    f.config[0].self.vlan = 100;
    f.config[1].self.vlan = 100;
    begin(&f);
    for (int is_v4 = 0; is_v4 < 2; is_v4++) {
        struct mr_path_addr path = path_to(is_v4, 0);
        struct mr_ip ip;

        memcpy(ip.bytes, path.remote.ip, 16);
        CU_ASSERT(mr_net_set_neighbour(f.host[0].net, &ip, &mac[1]));
        for (uint8_t i = 0; i < 16; i++) {
            path.local.port = (uint16_t)(1000 + i);
            CU_ASSERT_EQUAL(send_on(&f, 0, &path, i, i % 4), 1);
        }
        CU_ASSERT_EQUAL_FATAL(receive(&f, 1, out), 16);
        for (uint8_t i = 0; i < 16; i++) {
            CU_ASSERT_EQUAL(out[i].path.remote.port, 1000 + i);
            CU_ASSERT_EQUAL(out[i].ecn, i % 4);
        }
    }
    end(&f);
}

/* The frame that host 0 sends on `path`, its neighbour being static; the caller frees it. */
static struct rte_mbuf *frame_on(struct fixture *f, const struct mr_path_addr *path)
{
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(f->pool);
    struct mr_mac mac = {{2, 0, 0, 0, 0, 2}};
    struct mr_ip ip;

    memcpy(ip.bytes, path->remote.ip, 16);
    CU_ASSERT(mr_net_set_neighbour(f->host[0].net, &ip, &mac));
    struct mr_outgoing outgoing = {
        .data = rte_pktmbuf_mtod(mbuf, uint8_t *), .size = PAYLOAD, .path = *path};
    memset(outgoing.data, 3, PAYLOAD);
    CU_ASSERT_EQUAL_FATAL(mr_net_send(f->host[0].net, &mbuf, &outgoing, 1, &mbuf, f->now), 1);
    return mbuf;
}

static void checksums_are_computed_by_whom_the_port_says(void)
{
    static const struct {
        bool vouches;
        bool does_ip;
        bool does_udp;
        uint64_t flags4;
        uint64_t flags6;
    } rows[] = {
        {false, false, false, 0, 0},
        {true, false, false, 0, 0},
        {false, true, true, RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_UDP_CKSUM,
         RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_UDP_CKSUM},
        {false, true, false, RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM, 0},
        {false, false, true, RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_UDP_CKSUM,
         RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_UDP_CKSUM},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++)
        for (int is_v4 = 0; is_v4 < 2; is_v4++) {
            struct fixture f = prepared();
            struct mr_path_addr path = path_to(is_v4, 0);

            begin(&f);
            struct mr_port_traits traits = f.host[0].port->traits;
            traits.is_vouched = rows[i].vouches;
            traits.tx_ipv4_checksum = rows[i].does_ip;
            traits.tx_udp_checksum = rows[i].does_udp;
            f.config[0].port = &traits;
            f.host[0].net = mr_net_init(f.host[0].mem, &f.config[0], f.now);
            struct rte_mbuf *mbuf = frame_on(&f, &path);
            const uint8_t *udp = rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, is_v4 ? 34 : 54);
            CU_ASSERT_EQUAL(mbuf->ol_flags, is_v4 ? rows[i].flags4 : rows[i].flags6);
            CU_ASSERT_EQUAL(mr_load_be16(udp + 6) == 0, rows[i].vouches);
            if (mbuf->ol_flags != 0) {
                CU_ASSERT_EQUAL(mbuf->l2_len, 14);
                CU_ASSERT_EQUAL(mbuf->l3_len, is_v4 ? 20 : 40);
            }
            if (is_v4)
                CU_ASSERT_EQUAL(mr_load_be16(udp - 10) == 0, rows[i].does_ip);
            rte_pktmbuf_free(mbuf);
            end(&f);
        }
}

static void what_the_port_says_of_checksums_is_believed(void)
{
    enum {
        INTACT,
        WRONG_IP,
        WRONG_UDP
    };
    static const struct {
        uint64_t flags;
        bool takes[3];
        bool is_memory;
    } rows[] = {
        {0, {true, false, false}},
        {0, {true, true, true}, .is_memory = true},
        {RTE_MBUF_F_RX_IP_CKSUM_BAD, {false, false, false}, .is_memory = true},
        {RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD, {true, true, true}},
        {RTE_MBUF_F_RX_IP_CKSUM_NONE | RTE_MBUF_F_RX_L4_CKSUM_NONE, {true, true, true}},
        {RTE_MBUF_F_RX_L4_CKSUM_NONE,
         {true, false, true}}, /* virtio: the IP header is not covered */
        {RTE_MBUF_F_RX_L4_CKSUM_GOOD, {true, false, true}},
        {RTE_MBUF_F_RX_IP_CKSUM_BAD | RTE_MBUF_F_RX_L4_CKSUM_GOOD, {false, false, false}},
        {RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_BAD, {false, false, false}},
        {RTE_MBUF_F_RX_IP_CKSUM_BAD, {false, false, false}},
    };
    struct fixture f = prepared();

    begin(&f);
    for (size_t i = 0; i < MR_COUNT_OF(rows); i++)
        for (int damage = INTACT; damage <= WRONG_UDP; damage++) {
            struct test_frame frame = udp_frame(true, 0, 100);
            struct rte_mbuf *mbuf = rte_pktmbuf_alloc(f.pool);
            struct mr_datagram out;

            if (damage != INTACT)
                frame.bytes[damage == WRONG_IP ? frame.l3 + 8 : frame.l4 + 20] ^= 1;
            memcpy(rte_pktmbuf_append(mbuf, (uint16_t)frame.size), frame.bytes, frame.size);
            mbuf->ol_flags = rows[i].flags;
            f.host[1].port->traits.is_memory = rows[i].is_memory;
            uint32_t n = mr_net_receive(f.host[1].net, &mbuf, 1, &out, f.now);
            CU_ASSERT_EQUAL(n, rows[i].takes[damage]);
            if (n > 0)
                rte_pktmbuf_free(mr_mbuf_of_buf(out.buf));
        }
    end(&f);
}

/* RFC 6437: the label is the flow's, and nobody else can guess it. */
static void flow_labels_follow_the_4_tuple_and_the_key(void)
{
    struct mr_path_addr path = path_to(false, 0);
    uint32_t label[5];

    for (int i = 0; i < 5; i++) {
        struct fixture f = prepared();

        f.config[0].key[i == 4 ? 8 : 0] =
            i >= 3 ? 2 : 0; /* 0: as it is, 1: again, 2: another port, 3, 4: another key */
        path.local.port = i == 2 ? 40001 : 40000;
        begin(&f);
        struct rte_mbuf *mbuf = frame_on(&f, &path);
        label[i] = mr_load_be32(rte_pktmbuf_mtod_offset(mbuf, uint8_t *, 14)) & 0xfffff;
        rte_pktmbuf_free(mbuf);
        end(&f);
    }
    CU_ASSERT_EQUAL(label[0], label[1]);
    CU_ASSERT_NOT_EQUAL(label[0], label[2]);
    CU_ASSERT_NOT_EQUAL(label[0], label[3]);
    CU_ASSERT_NOT_EQUAL(label[0], label[4]);
}

static void a_datagram_to_a_closed_port_is_dropped(void)
{
    struct fixture f = prepared();
    struct test_frame frame = udp_frame(true, 0, 100);

    begin(&f);
    CU_ASSERT(inject(&f, &frame));
    mr_net_close_port(f.host[1].net, 443);
    CU_ASSERT_FALSE(inject(&f, &frame));
    mr_net_open_port(f.host[1].net, 443);
    mr_store_be16(frame.bytes + frame.l4, 0); /* from port 0: no answer could reach it */
    mr_store_be16(frame.bytes + frame.l4 + 6, 0);
    CU_ASSERT_FALSE(inject(&f, &frame));
    CU_ASSERT_EQUAL(counters(&f, 1)->net_drop_udp_port, 2);
    end(&f);
}

static void a_silent_neighbour_costs_the_datagram(void)
{
    struct fixture f = prepared();
    struct mr_path_addr path = path_to(true, 0);

    begin(&f);
    CU_ASSERT_EQUAL(send_on(&f, 0, &path, 7, 0), 0);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(flush(&f, 0), 1);
        f.now += SECOND;
        CU_ASSERT(mr_net_deadline(f.host[0].net) <= f.now);
        mr_net_expire(f.host[0].net, f.now);
    }
    CU_ASSERT_EQUAL(flush(&f, 0), 0);
    CU_ASSERT_EQUAL(counters(&f, 0)->net_tx_unresolved, 1);
    CU_ASSERT_EQUAL(send_on(&f, 0, &path, 7, 0), 0);
    CU_ASSERT_EQUAL(counters(&f, 0)->net_tx_unresolved, 2);
    end(&f);
}

static void too_many_waiting_datagrams_are_dropped(void)
{
    struct fixture f = prepared();
    struct mr_path_addr path = path_to(true, 0);

    begin(&f);
    for (int i = 0; i < MR_NEIGHBOUR_WAITING_MAX + 3; i++)
        CU_ASSERT_EQUAL(send_on(&f, 0, &path, 7, 0), 0);
    CU_ASSERT_EQUAL(counters(&f, 0)->net_tx_waiting_full, 3);
    end(&f); /* the waiting ones are freed */
}

/* ---- routes ---- */

static void other_networks_are_reached_through_the_gateway(void)
{
    struct fixture f = prepared();
    struct mr_path_addr path = path_to(true, 0);
    struct mr_ip far = ip_of("203.0.113.9");
    struct mr_ip local;

    memcpy(path.remote.ip, far.bytes, 16);
    begin(&f);
    CU_ASSERT_EQUAL(send_on(&f, 0, &path, 1, 0), 0);
    CU_ASSERT_EQUAL(counters(&f, 0)->net_tx_no_route, 1);
    CU_ASSERT_FALSE(mr_net_source_for(f.host[0].net, &far, &local));
    end(&f);

    f.config[0].gateway4 = ip_of("198.18.0.2");
    begin(&f);
    CU_ASSERT(mr_net_source_for(f.host[0].net, &far, &local));
    CU_ASSERT_EQUAL(local.bytes[15], 1);
    CU_ASSERT_EQUAL(send_on(&f, 0, &path, 1, 0), 0);
    flush(&f, 0);
    struct mr_datagram out[1];
    receive(&f, 1, out);
    flush(&f, 1);
    receive(&f, 0, out);
    CU_ASSERT_EQUAL(flush(&f, 0), 1);
    receive(&f, 1, out); /* at the gateway, but not for it */
    CU_ASSERT_EQUAL(counters(&f, 1)->net_drop_not_our_ip, 1);
    end(&f);
}

static void nothing_is_sent_to_groups_or_from_addresses_not_ours(void)
{
    static const char *const remotes[] = {"224.0.0.1", "255.255.255.255", "127.0.0.1", "0.0.0.0"};
    struct fixture f = prepared();

    begin(&f);
    for (size_t i = 0; i < MR_COUNT_OF(remotes); i++) {
        struct mr_path_addr path = path_to(true, 0);
        struct mr_ip ip = ip_of(remotes[i]);

        memcpy(path.remote.ip, ip.bytes, 16);
        CU_ASSERT_EQUAL(send_on(&f, 0, &path, 1, 0), 0);
    }
    struct mr_path_addr path = path_to(true, 0);
    path.local.ip[15] = 77;
    CU_ASSERT_EQUAL(send_on(&f, 0, &path, 1, 0), 0);
    CU_ASSERT_EQUAL(counters(&f, 0)->net_tx_no_route, 5);
    end(&f);
}

static void the_source_address_is_on_the_link_of_the_remote(void)
{
    struct fixture f = prepared();
    struct mr_ip local;
    struct mr_ip remote = ip_of("fd00::99");

    begin(&f);
    CU_ASSERT(mr_net_source_for(f.host[0].net, &remote, &local));
    CU_ASSERT_EQUAL(local.bytes[0], 0xfd);
    remote = ip_of("198.18.0.99");
    CU_ASSERT(mr_net_source_for(f.host[0].net, &remote, &local));
    CU_ASSERT(mr_ip_is_v4(&local));
    end(&f);
}

static void replies_follow_the_path_back_where_that_is_asked_for(void)
{
    struct fixture f = prepared();
    struct test_frame frame = udp_frame(true, 0, 100);
    struct mr_path_addr path = path_to(true, 1);
    struct mr_ip far = ip_of("203.0.113.9");

    f.config[1].learns_from_traffic = true;
    begin(&f);
    memcpy(frame.bytes + frame.l3 + 12, far.bytes + 12, 4);
    put_ip_sum(&frame);
    put_l4_sum(&frame, 6, 17);
    CU_ASSERT(inject(&f, &frame));
    memcpy(path.remote.ip, far.bytes, 16);
    CU_ASSERT_EQUAL(send_on(&f, 1, &path, 1, 0), 1);
    end(&f);
}

static void what_one_shard_learns_serves_another(void)
{
    struct fixture f = prepared();
    struct mr_path_addr path = path_to(true, 0);
    struct mr_neighbour_update update = {.ip = ip_of("198.18.0.2"), .mac = {{2, 0, 0, 0, 0, 2}}};

    begin(&f);
    CU_ASSERT_EQUAL(send_on(&f, 0, &path, 7, 0), 0);
    CU_ASSERT_EQUAL(flush(&f, 0), 1);
    mr_net_learn(f.host[0].net, &update, f.now); /* the answer reached another queue of the port */
    CU_ASSERT_EQUAL(flush(&f, 0), 1);
    CU_ASSERT_FALSE(mr_net_take_update(f.host[0].net, &update));
    end(&f);
}

/* ---- bad frames ---- */

static void every_bad_frame_is_counted_once_and_freed(void)
{
    static const struct {
        uint32_t offset;
        uint32_t size;
        uint64_t value;
        size_t counter;
    } rows[] = {
        {0, 6, 0x020000000099, offsetof(struct mr_net_counters, net_drop_not_our_mac)},
        {6, 6, 0x020000000002, offsetof(struct mr_net_counters, net_drop_source_mac)},
        {12, 2, 0x8100, offsetof(struct mr_net_counters, net_drop_vlan)},
        {12, 2, 0x88a8, offsetof(struct mr_net_counters, net_drop_qinq)},
        {12, 2, 0x8847, offsetof(struct mr_net_counters, net_drop_ethertype)},
        {14, 1, 0x65, offsetof(struct mr_net_counters, net_drop_ip_version)},
        {14, 1, 0x44, offsetof(struct mr_net_counters, net_drop_ip_header)},
        {16, 2, 9999, offsetof(struct mr_net_counters, net_drop_ip_length)},
        {24, 2, 1, offsetof(struct mr_net_counters, net_drop_ip_checksum)},
        {38, 2, 7, offsetof(struct mr_net_counters, net_drop_udp_length)},
        {40, 2, 1, offsetof(struct mr_net_counters, net_drop_udp_checksum)},
    };
    struct fixture f = prepared();
    uint64_t before[sizeof(struct mr_net_counters) / sizeof(uint64_t)];
    uint64_t after[sizeof(struct mr_net_counters) / sizeof(uint64_t)];

    f.wire.needs_checksum = true;
    begin(&f);
    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct test_frame frame = udp_frame(true, 0, 100);
        uint64_t sum = 0;

        for (uint32_t b = 0; b < rows[i].size; b++)
            frame.bytes[rows[i].offset + b] =
                (uint8_t)(rows[i].value >> 8 * (rows[i].size - 1 - b));
        memcpy(before, counters(&f, 1), sizeof(before));
        CU_ASSERT_FALSE(inject(&f, &frame));
        memcpy(after, counters(&f, 1), sizeof(after));
        CU_ASSERT_EQUAL(after[rows[i].counter / 8], before[rows[i].counter / 8] + 1);
        for (size_t c = 0; c < MR_COUNT_OF(after); c++)
            sum += after[c] - before[c];
        CU_ASSERT_EQUAL(sum, 1);
    }
    end(&f);
}

static void a_frame_in_pieces_is_put_together(void)
{
    struct fixture f = prepared();
    struct test_frame frame = udp_frame(true, 0, 100);

    begin(&f);
    for (uint16_t cut = 1; cut < frame.size; cut = (uint16_t)(cut + 13)) {
        struct rte_mbuf *head = rte_pktmbuf_alloc(f.pool);
        struct rte_mbuf *tail = rte_pktmbuf_alloc(f.pool);
        struct mr_datagram out;

        memcpy(rte_pktmbuf_append(head, cut), frame.bytes, cut);
        memcpy(rte_pktmbuf_append(tail, (uint16_t)(frame.size - cut)), frame.bytes + cut,
               frame.size - cut);
        CU_ASSERT_EQUAL(rte_pktmbuf_chain(head, tail), 0);
        CU_ASSERT_EQUAL_FATAL(mr_net_receive(f.host[1].net, &head, 1, &out, f.now), 1);
        CU_ASSERT_EQUAL(out.size, 100);
        CU_ASSERT_EQUAL(memcmp(out.data, frame.bytes + frame.l4 + 8, 100), 0);
        rte_pktmbuf_free(mr_mbuf_of_buf(out.buf));
    }
    CU_ASSERT_EQUAL(counters(&f, 1)->net_rx_linearised, 11);
    end(&f);
}

static void a_frame_in_pieces_that_fits_no_buffer_is_dropped(void)
{
    struct fixture f = prepared();
    struct rte_mbuf *head;
    struct mr_datagram out;

    begin(&f);
    head = rte_pktmbuf_alloc(f.pool);
    CU_ASSERT_PTR_NOT_NULL(rte_pktmbuf_append(head, 2000));
    for (int i = 0; i < 3; i++) {
        struct rte_mbuf *tail = rte_pktmbuf_alloc(f.pool);

        CU_ASSERT_PTR_NOT_NULL(rte_pktmbuf_append(tail, 2000));
        CU_ASSERT_EQUAL(rte_pktmbuf_chain(head, tail), 0);
    }
    CU_ASSERT_EQUAL(mr_net_receive(f.host[1].net, &head, 1, &out, f.now), 0);
    CU_ASSERT_EQUAL(counters(&f, 1)->net_drop_buffers, 1);
    end(&f);
}

/* A mixed burst: datagrams keep their order, everything else leaves no trace in them. */
static void a_burst_is_sorted_out(void)
{
    struct fixture f = prepared();
    struct rte_mbuf *mbufs[MR_NET_BURST];
    struct mr_datagram out[MR_NET_BURST];

    begin(&f);
    for (uint32_t i = 0; i < MR_NET_BURST; i++) {
        struct test_frame frame =
            i % 3 == 1 ? icmp_frame(true, 8, 0, i, NULL, 0) : udp_frame(i % 2, 0, i);

        if (i % 5 == 4)
            frame.bytes[0] = 0x66;
        mbufs[i] = rte_pktmbuf_alloc(f.pool);
        memcpy(rte_pktmbuf_append(mbufs[i], (uint16_t)frame.size), frame.bytes, frame.size);
    }
    uint32_t n = mr_net_receive(f.host[1].net, mbufs, MR_NET_BURST, out, f.now);
    uint32_t at = 0;
    for (uint32_t i = 0; i < MR_NET_BURST; i++)
        if (i % 3 != 1 && i % 5 != 4) {
            CU_ASSERT_EQUAL(out[at].size, i);
            rte_pktmbuf_free(mr_mbuf_of_buf(out[at++].buf));
        }
    CU_ASSERT_EQUAL(at, n);
    end(&f);
}

/* A frame of some kind, and some of its first 90 bytes changed. */
static struct test_frame mutated_frame(struct mr_random *random)
{
    uint64_t kind = mr_random_below(random, 8);
    bool is_v4 = kind & 1;
    struct test_frame frame =
        kind < 4 ? udp_frame(is_v4, 0, (uint32_t)mr_random_below(random, 1400))
                 : icmp_frame(is_v4, is_v4 ? 8 : 128, 0, 1, (const uint8_t *)"12345678", 8);

    if (kind >= 6)
        frame.bytes[frame.l4] = is_v4 ? 3 : (uint8_t)(134 + kind % 3);
    for (uint64_t n = mr_random_below(random, 4); n > 0; n--)
        frame.bytes[mr_random_below(random, 90)] = (uint8_t)mr_random_u64(random);
    if (mr_random_below(random, 10) == 0)
        frame.size = (uint32_t)mr_random_below(random, frame.size + 1);
    return frame;
}

static void mutated_frames_leave_every_buffer_in_its_pool(void)
{
    struct fixture f = prepared();
    struct mr_random random;
    struct test_frame intact = udp_frame(true, 0, 100);

    f.wire.needs_checksum = true;
    mr_random_init_number(&random, 5);
    begin(&f);
    for (uint32_t i = 0; i < 200000; i++) {
        struct test_frame frame = mutated_frame(&random);
        struct rte_mbuf *mbufs[16];

        inject(&f, &frame);
        f.now += 10000;
        if (i % 16 == 0) {
            mr_net_expire(f.host[1].net, f.now);
            uint32_t n = mr_net_output(f.host[1].net, mbufs, 16);
            rte_pktmbuf_free_bulk(mbufs, n);
        }
    }
    CU_ASSERT(inject(&f, &intact)); /* it still serves */
    CU_ASSERT(counters(&f, 1)->net_tx_echo > 1000);
    CU_ASSERT(counters(&f, 1)->net_drop_udp_checksum > 1000);
    end(&f);
}

static CU_TestInfo datagrams[] = {
    {"a datagram waits for its neighbour and arrives",
     a_datagram_waits_for_its_neighbour_and_arrives},
    {"datagrams cross with checksums and tags", datagrams_cross_with_checksums_and_tags},
    {"checksums are computed by whom the port says", checksums_are_computed_by_whom_the_port_says},
    {"what the port says of checksums is believed", what_the_port_says_of_checksums_is_believed},
    {"flow labels follow the 4-tuple and the key", flow_labels_follow_the_4_tuple_and_the_key},
    {"a datagram to a closed port is dropped", a_datagram_to_a_closed_port_is_dropped},
    {"a silent neighbour costs the datagram", a_silent_neighbour_costs_the_datagram},
    {"too many waiting datagrams are dropped", too_many_waiting_datagrams_are_dropped},
    {"a burst is sorted out", a_burst_is_sorted_out},
    {"a frame in pieces is put together", a_frame_in_pieces_is_put_together},
    {"a frame in pieces that fits no buffer is dropped",
     a_frame_in_pieces_that_fits_no_buffer_is_dropped},
    {"mutated frames leave every buffer in its pool",
     mutated_frames_leave_every_buffer_in_its_pool},
    {"every bad frame is counted once and freed", every_bad_frame_is_counted_once_and_freed},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo routes[] = {
    {"other networks are reached through the gateway",
     other_networks_are_reached_through_the_gateway},
    {"nothing is sent to groups or from addresses not ours",
     nothing_is_sent_to_groups_or_from_addresses_not_ours},
    {"the source address is on the link of the remote",
     the_source_address_is_on_the_link_of_the_remote},
    {"replies follow the path back where that is asked for",
     replies_follow_the_path_back_where_that_is_asked_for},
    {"what one shard learns serves another", what_one_shard_learns_serves_another},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "dataplane/net datagrams", .pInitFunc = dpdk_start, .pTests = datagrams},
    {.pName = "dataplane/net routes", .pInitFunc = dpdk_start, .pTests = routes},
    CU_SUITE_INFO_NULL,
};
