/*
 * tests/dpdk/test_card.c - what a card does for what we send: drivers/port_offload.h,
 * dataplane/net_chain.h, dataplane/launch.h; alone, and under transfers of which every byte is
 * compared, over a card of the tests (card_port.h) that stands before each end of a wire.
 */
#include <math.h>
#include <string.h>

#include <rte_mbuf_dyn.h>

#include "control/group_ports.h"
#include "dataplane/launch.h"
#include "drivers/port_loss.h"
#include "drivers/port_offload.h"
#include "tests/dpdk/card_port.h"
#include "tests/dpdk/moving.h"
#include "tests/dpdk/net_hosts.h"

enum {
    SEGMENTS = 24, /* that the card takes: less than a burst */
    BURST = 32
};

/* ------------------------------------------------------------------ what is asked for */

#define OFFERED                                                                                    \
    (RTE_ETH_TX_OFFLOAD_UDP_TSO | RTE_ETH_TX_OFFLOAD_MULTI_SEGS | RTE_ETH_TX_OFFLOAD_IPV4_CKSUM |  \
     RTE_ETH_TX_OFFLOAD_UDP_CKSUM)

static struct rte_eth_dev_info card_info(const char *driver, uint64_t offered)
{
    return (struct rte_eth_dev_info){.driver_name = driver,
                                     .tx_offload_capa = offered,
                                     .tx_desc_lim = {.nb_seg_max = 40, .nb_mtu_seg_max = 8}};
}

static void segmentation_is_asked_for_where_it_is_known_or_wanted(void)
{
    static const struct {
        const char *driver;
        uint64_t offered;
        enum mr_port_wish wish;
        bool is_refused;
        uint16_t segments;
    } rows[] = {
        {"net_igc", OFFERED, MR_PORT_AUTO, false, 40},
        {"net_igc", OFFERED, MR_PORT_NO, false, 0},
        {"net_ice", OFFERED, MR_PORT_AUTO, false, 0},
        {"net_txgbe", OFFERED, MR_PORT_AUTO, false, 0},
        {"net_txgbe", OFFERED, MR_PORT_YES, false, 40},
        {NULL, OFFERED, MR_PORT_AUTO, false, 0},
        {"net_igc", OFFERED & ~RTE_ETH_TX_OFFLOAD_UDP_TSO, MR_PORT_AUTO, false, 0},
        {"net_igc", OFFERED & ~RTE_ETH_TX_OFFLOAD_UDP_TSO, MR_PORT_YES, true, 0},
        {"net_igc", OFFERED & ~RTE_ETH_TX_OFFLOAD_MULTI_SEGS, MR_PORT_YES, true, 0},
        {"net_igc", OFFERED & ~RTE_ETH_TX_OFFLOAD_UDP_CKSUM, MR_PORT_YES, true, 0},
        {"net_igc", OFFERED & ~RTE_ETH_TX_OFFLOAD_IPV4_CKSUM, MR_PORT_YES, true, 0},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct rte_eth_dev_info info = card_info(rows[i].driver, rows[i].offered);
        struct mr_port_wishes wishes = {.segments = rows[i].wish};
        struct rte_eth_conf conf = {0};
        struct mr_port_traits traits = {0};
        struct mr_fault fault = {0};

        CU_ASSERT_EQUAL(mr_port_offload_ask(&wishes, &info, 1024, &conf, &traits, &fault),
                        !rows[i].is_refused);
        CU_ASSERT_EQUAL(traits.segments_max, rows[i].segments);
        CU_ASSERT_EQUAL(strstr(fault.text, "leave tso=yes out") != NULL, rows[i].is_refused);
        uint64_t asked = conf.txmode.offloads;
        CU_ASSERT_EQUAL((asked & RTE_ETH_TX_OFFLOAD_UDP_TSO) != 0, rows[i].segments > 0);
        CU_ASSERT_EQUAL((asked & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0, rows[i].segments > 0);
        CU_ASSERT_EQUAL(asked & ~rows[i].offered, 0);
    }
}

/* Segments of a chain, descriptors of a queue, buffers of a frame on the wire. */
static void chains_are_no_longer_than_card_and_queue_take(void)
{
    static const struct {
        uint16_t seg_max;
        uint16_t mtu_seg_max;
        uint16_t descriptors;
        uint16_t segments;
    } rows[] = {
        {UINT16_MAX, UINT16_MAX, 1024, MR_PORT_SEGMENTS_MAX},
        {40, 2, 1024, 40},
        {40, 1, 1024, 0},
        {40, 8, 128, 16},
        {1, 8, 1024, 0},
        {0, 8, 1024, 0},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct rte_eth_dev_info info = card_info("net_igc", OFFERED);
        struct mr_port_wishes wishes = {.segments = MR_PORT_AUTO};
        struct rte_eth_conf conf = {0};
        struct mr_port_traits traits = {0};
        struct mr_fault fault = {0};

        info.tx_desc_lim.nb_seg_max = rows[i].seg_max;
        info.tx_desc_lim.nb_mtu_seg_max = rows[i].mtu_seg_max;
        CU_ASSERT(mr_port_offload_ask(&wishes, &info, rows[i].descriptors, &conf, &traits, &fault));
        CU_ASSERT_EQUAL(traits.segments_max, rows[i].segments);
    }
}

static void launch_times_are_asked_for_where_they_are_wanted(void)
{
    for (int is_wanted = 0; is_wanted < 2; is_wanted++)
        for (int is_offered = 0; is_offered < 2; is_offered++) {
            uint64_t offered = is_offered ? RTE_ETH_TX_OFFLOAD_SEND_ON_TIMESTAMP : 0;
            struct rte_eth_dev_info info = card_info("net_mlx5", offered);
            struct mr_port_wishes wishes = {.wants_launch = is_wanted};
            struct rte_eth_conf conf = {0};
            struct mr_port_traits traits = {0};
            struct mr_fault fault = {0};
            bool is_right = mr_port_offload_ask(&wishes, &info, 1024, &conf, &traits, &fault);

            CU_ASSERT_EQUAL(is_right, is_offered || !is_wanted);
            CU_ASSERT_EQUAL(strstr(fault.text, "leave launch=yes out") != NULL, !is_right);
            CU_ASSERT_EQUAL(conf.txmode.offloads, is_wanted && is_offered ? offered : 0);
            CU_ASSERT_EQUAL(traits.launch_flag != 0, is_wanted && is_offered);
        }
}

/* ------------------------------------------------------------------ chains */

struct shape {
    uint16_t size;
    uint8_t ecn;
    uint8_t path;
    uint32_t hold_ns;
};

struct burst {
    const char *what;
    struct shape shapes[BURST]; /* up to the first of size 0 */
    uint8_t frames[BURST];      /* datagrams in each frame that comes of them */
};

static const struct burst bursts[] = {
    {"alike", {{1200}, {1200}, {1200}}, {3}},
    {"alone", {{1200}}, {1}},
    {"the last is shorter", {{1200}, {1200}, {300}, {300}, {300}}, {3, 2}},
    {"a longer one", {{1200}, {1201}, {1201}}, {1, 2}},
    {"small ones", {{255}, {255}, {256}, {256}, {40}}, {1, 1, 3}},
    {"marks", {{1200, 1}, {1200, 1}, {1200, 2}, {1200, 1}}, {2, 1, 1}},
    {"paths", {{1200, 0, 0}, {1200, 0, 1}, {1200, 0, 1}, {1200, 0, 0}}, {1, 2, 1}},
    {"times", {{1200}, {1200, .hold_ns = 1024}, {1200, .hold_ns = 1024}}, {1, 2}},
};

/* Host 0 has the card; both its neighbours' addresses are known. */
static void begin_with_card(struct fixture *f, const struct card_config *config)
{
    static struct rte_mempool *pool;
    struct mr_mac mac = {{2, 0, 0, 0, 0, 2}};

    if (pool == NULL)
        pool = dpdk_pool("card", 4095);
    f->wire.needs_checksum = true;
    begin(f);
    mr_net_fini(f->host[0].net);
    f->host[0].port = card_open(f->host[0].port, config, pool);
    f->config[0].port = &f->host[0].port->traits;
    f->host[0].net = mr_net_init(f->host[0].mem, &f->config[0], f->now);
    mr_net_use_chains(f->host[0].net, true);
    for (int is_v4 = 0; is_v4 < 2; is_v4++) {
        struct mr_path_addr path = path_to(is_v4, 0);
        struct mr_ip ip;

        memcpy(ip.bytes, path.remote.ip, sizeof(ip));
        CU_ASSERT(mr_net_set_neighbour(f->host[0].net, &ip, &mac));
    }
}

static struct mr_path_addr path_of(bool is_v4, const struct shape *shape)
{
    struct mr_path_addr path = path_to(is_v4, 0);

    path.local.port = (uint16_t)(40000 + shape->path);
    return path;
}

/* Give host 0 a burst to send, byte j of datagram i being i + j. */
static uint32_t make_frames(struct fixture *f, bool is_v4, const struct shape *shapes,
                            uint32_t count, struct rte_mbuf **frames_out)
{
    struct mr_outgoing outgoing[BURST] = {0};
    struct rte_mbuf *mbufs[BURST];

    CU_ASSERT_EQUAL_FATAL(mr_mbuf_take(f->pool, mbufs, count), 0);
    for (uint32_t i = 0; i < count; i++) {
        outgoing[i] = (struct mr_outgoing){.data = mr_mbuf_data(mbufs[i]),
                                           .size = shapes[i].size,
                                           .ecn = shapes[i].ecn,
                                           .hold_ns = shapes[i].hold_ns,
                                           .path = path_of(is_v4, &shapes[i])};
        for (uint32_t j = 0; j < shapes[i].size; j++)
            outgoing[i].data[j] = (uint8_t)(i + j);
    }
    return mr_net_send(f->host[0].net, mbufs, outgoing, count, frames_out, f->now);
}

/* All of them arrive at host 1, in order, as they were. */
static void check_arrival(struct fixture *f, bool is_v4, const struct shape *shapes, uint32_t count)
{
    struct mr_datagram out[64];
    struct rte_mbuf *mbufs[64];
    uint16_t got = mr_port_rx_burst(f->host[1].port, 0, mbufs, 64);
    uint32_t n = mr_net_receive(f->host[1].net, mbufs, got, out, f->now);

    CU_ASSERT_EQUAL_FATAL(n, count);
    for (uint32_t i = 0; i < n; i++) {
        struct mr_path_addr path = path_of(is_v4, &shapes[i]);
        bool is_same = out[i].size == shapes[i].size && out[i].ecn == shapes[i].ecn &&
                       out[i].path.remote.port == path.local.port;

        for (uint32_t j = 0; is_same && j < out[i].size; j++)
            is_same = out[i].data[j] == (uint8_t)(i + j);
        CU_ASSERT(is_same);
        rte_pktmbuf_free(mr_mbuf_of_buf(out[i].buf));
    }
}

static void check_burst(struct fixture *f, bool is_v4, const struct burst *burst)
{
    struct rte_mbuf *frames[BURST];
    uint32_t count = 0;
    uint32_t expected = 0;

    while (count < BURST && burst->shapes[count].size > 0)
        count++;
    while (expected < BURST && burst->frames[expected] > 0)
        expected++;
    uint32_t n = make_frames(f, is_v4, burst->shapes, count, frames);
    if (n != expected)
        printf("# %s: %u frames\n", burst->what, n);
    CU_ASSERT_EQUAL(n, expected);
    for (uint32_t i = 0; i < n; i++)
        CU_ASSERT_EQUAL(frames[i]->nb_segs, burst->frames[i]);
    CU_ASSERT_EQUAL(mr_port_tx_burst(f->host[0].port, 0, frames, (uint16_t)n), n);
    check_arrival(f, is_v4, burst->shapes, count);
}

static void datagrams_that_go_the_same_way_become_one_frame(void)
{
    static const struct card_config card = {.segments_max = SEGMENTS};

    for (int is_v4 = 0; is_v4 < 2; is_v4++)
        for (size_t i = 0; i < MR_COUNT_OF(bursts); i++) {
            struct fixture f = prepared();

            begin_with_card(&f, &card);
            check_burst(&f, is_v4, &bursts[i]);
            end(&f);
        }
}

static void a_chain_ends_where_the_card_does(void)
{
    static const struct card_config card = {.segments_max = SEGMENTS};
    struct burst burst = {.what = "many", .frames = {SEGMENTS, BURST - SEGMENTS}};
    struct fixture f = prepared();

    for (int i = 0; i < BURST; i++)
        burst.shapes[i].size = 1000;
    begin_with_card(&f, &card);
    check_burst(&f, true, &burst);
    CU_ASSERT_EQUAL(counters(&f, 0)->net_tx_chains, 2);
    CU_ASSERT_EQUAL(counters(&f, 0)->net_tx_chained, BURST);
    CU_ASSERT_EQUAL(counters(&f, 0)->net_tx_udp, BURST);
    end(&f);
}

/* 65,535 bytes of an IPv4 packet, and of an IPv6 packet with its header. */
static void a_chain_ends_where_ip_does(void)
{
    static const struct card_config card = {.segments_max = MR_PORT_SEGMENTS_MAX};

    for (int is_v4 = 0; is_v4 < 2; is_v4++) {
        const uint16_t most = (uint16_t)(65535 - (is_v4 ? 28 : 48));
        struct rte_mbuf *frames[BURST];
        struct shape shapes[BURST];
        struct fixture f = prepared();

        begin_with_card(&f, &card);
        for (int is_over = 0; is_over < 2; is_over++) {
            for (int i = 0; i < BURST; i++)
                shapes[i] = (struct shape){.size = 2100};
            shapes[31].size = (uint16_t)(most - 31 * 2100 + is_over);
            uint32_t n = make_frames(&f, is_v4, shapes, BURST, frames);
            CU_ASSERT_EQUAL(n, is_over ? 2 : 1);
            CU_ASSERT_EQUAL(frames[0]->pkt_len,
                            is_over ? 31 * 2100 + 14 + 65535 - most : 14 + 65535);
            rte_pktmbuf_free_bulk(frames, n);
        }
        end(&f);
    }
}

/* ------------------------------------------------------------------ losses before a card */

enum {
    LOSSY_BURSTS = 1500,
    LAST_SIZE = 700 /* of a burst, so that chains end with a shorter one */
};

static const double loss_rates[] = {0.02, 0.5, 0.97};

struct arrivals {
    uint32_t of[BURST]; /* by their place in the burst */
    uint32_t whole;     /* bursts that lost nothing */
    uint32_t none;      /* that lost all */
};

/* Off by more than five standard deviations of what is expected of n? */
static bool is_near(uint32_t count, double part, uint32_t n)
{
    double off = count - part * n;

    return off * off <= 25 * n * part * (1 - part) + 1;
}

/* What of a burst has arrived: whole datagrams, each as it was, in their order. */
static void take_burst(struct fixture *f, bool is_v4, struct arrivals *arrivals)
{
    struct mr_datagram out[64];
    struct rte_mbuf *mbufs[64];
    uint16_t got = mr_port_rx_burst(f->host[1].port, 0, mbufs, 64);
    uint32_t n = mr_net_receive(f->host[1].net, mbufs, got, out, f->now);
    uint32_t next = 0;

    CU_ASSERT_EQUAL(n, got);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t number = out[i].data[0];
        bool is_same = number >= next && number < BURST &&
                       out[i].size == (number == BURST - 1 ? LAST_SIZE : 1000);

        for (uint32_t j = 0; is_same && j < out[i].size; j++)
            is_same = out[i].data[j] == (uint8_t)(number + j);
        CU_ASSERT_FATAL(is_same);
        CU_ASSERT(out[i].path.local.port == path_to(is_v4, 0).remote.port);
        arrivals->of[number]++;
        next = number + 1;
        rte_pktmbuf_free(mr_mbuf_of_buf(out[i].buf));
    }
    arrivals->whole += n == BURST;
    arrivals->none += n == 0;
}

/* A card that refuses a part of each third burst is given that until it takes it. */
static void send_lossy_burst(struct fixture *f, bool is_v4)
{
    struct shape shapes[BURST];
    struct rte_mbuf *frames[BURST];
    uint32_t done = 0;

    for (int i = 0; i < BURST; i++)
        shapes[i] = (struct shape){.size = i == BURST - 1 ? LAST_SIZE : 1000};
    uint32_t n = make_frames(f, is_v4, shapes, BURST, frames);
    while (done < n)
        done += mr_port_tx_burst(f->host[0].port, 0, frames + done, (uint16_t)(n - done));
}

static void lose_single_ones(bool is_v4, double rate)
{
    static const struct card_config card = {.segments_max = SEGMENTS, .refuses_each = 3};
    const struct mr_port_loss_rates rates = {.sent = rate};
    struct arrivals arrivals = {0};
    struct mr_port_losses losses;
    struct mr_fault fault = {0};
    struct fixture f = prepared();
    uint32_t arrived = 0;

    begin_with_card(&f, &card);
    CU_ASSERT_FATAL(mr_port_lose(f.host[0].port, &rates, &fault));
    for (int i = 0; i < LOSSY_BURSTS; i++) {
        send_lossy_burst(&f, is_v4);
        take_burst(&f, is_v4, &arrivals);
    }
    mr_port_losses(f.host[0].port, &losses);
    for (int i = 0; i < BURST; i++) {
        CU_ASSERT(is_near(arrivals.of[i], 1 - rate, LOSSY_BURSTS));
        arrived += arrivals.of[i];
    }
    CU_ASSERT(is_near(arrivals.whole, pow(1 - rate, BURST), LOSSY_BURSTS));
    CU_ASSERT(is_near(arrivals.none, pow(rate, BURST), LOSSY_BURSTS));
    CU_ASSERT_EQUAL(losses.sent, LOSSY_BURSTS * BURST);
    CU_ASSERT_EQUAL(losses.sent - losses.sent_lost, arrived);
    CU_ASSERT_EQUAL(counters(&f, 0)->net_tx_chained, LOSSY_BURSTS * BURST);
    end(&f);
}

static void losses_on_purpose_take_single_datagrams_out_of_chains(void)
{
    for (int is_v4 = 0; is_v4 < 2; is_v4++)
        for (size_t i = 0; i < MR_COUNT_OF(loss_rates); i++)
            lose_single_ones(is_v4, loss_rates[i]);
}

/* ------------------------------------------------------------------ launch times */

#define PERIOD_NS 5000000 /* what the clocks have said before the first moment */

static struct mr_launch_moment moment(double seconds, double ticks_per_ns, double ticks_off)
{
    double ns = seconds * 1e9 + PERIOD_NS;

    return (struct mr_launch_moment){.ns = (uint64_t)ns,
                                     .ticks = (uint64_t)(ns * ticks_per_ns + ticks_off)};
}

static struct mr_launch launch_of(const struct mr_launch_clock *clock)
{
    struct mr_launch launch = {.clock = clock};
    int offset = 0;

    CU_ASSERT_FATAL(rte_mbuf_dyn_tx_timestamp_register(&offset, &launch.flag) == 0);
    launch.offset = (uint32_t)offset;
    return launch;
}

static struct rte_mempool *pool_of_launches(void)
{
    static struct rte_mempool *pool;

    if (pool == NULL)
        pool = dpdk_pool("launch", 63);
    return pool;
}

static uint64_t ticks_of(const struct mr_launch *launch, struct rte_mbuf *mbuf)
{
    return *RTE_MBUF_DYNFIELD(mbuf, launch->offset, uint64_t *);
}

/* What a card is told of a packet that was built `ns` after the beginning, to leave 1,024 ns
 * later; from the ticks that it should be. */
static double off_by(const struct mr_launch_clock *clock, double seconds, double rate, double off)
{
    struct mr_launch launch = launch_of(clock);
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool_of_launches());
    struct mr_outgoing outgoing = {.hold_ns = 1024};
    struct mr_launch_moment at = moment(seconds, rate, off + 1024 * rate);

    mr_launch_note(&launch, &mbuf, &outgoing, 1);
    mr_launch_stamp(&launch, &mbuf, 1, at.ns);
    CU_ASSERT(mbuf->ol_flags == launch.flag);
    double ticks = (double)(int64_t)(ticks_of(&launch, mbuf) - at.ticks);
    rte_pktmbuf_free(mbuf);
    return ticks < 0 ? -ticks : ticks;
}

static void a_cards_clock_is_followed_whatever_its_ticks_are(void)
{
    static const struct {
        double rate;
        double off;
    } rows[] = {{1.0, 1.7e18}, {0.15625, 0}, {1.0, 0}, {4.0, 1e12}};

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        const double rate = rows[i].rate;
        const double off = rows[i].off;
        const double slack = off > 1e15 ? 512 : 8; /* of a double */
        struct mr_launch_clock clock = {0};
        struct mr_launch_moment first = moment(0, rate, off);
        struct mr_launch_moment second = moment(0.05, rate, off);

        CU_ASSERT_FATAL(mr_launch_clock_init(&clock, &first, &second));
        CU_ASSERT(off_by(&clock, 0.06, rate, off) <= slack);
        CU_ASSERT(off_by(&clock, 0.04, rate, off) <= slack);   /* before the last look */
        CU_ASSERT(off_by(&clock, 1, rate, off) <= 20 * slack); /* the rate is of 50 ms */
    }
}

/* 20 ppm, of which the first two looks saw nothing: after a second it is known. */
static void drift_is_learned(void)
{
    struct mr_launch_clock clock = {0};
    struct mr_launch_moment first = moment(0, 1, 0);
    struct mr_launch_moment second = moment(0.05, 1, 0);

    CU_ASSERT_FATAL(mr_launch_clock_init(&clock, &first, &second));
    CU_ASSERT(off_by(&clock, 1, 1.00002, 0) > 15000);
    for (int i = 1; i <= 100; i++) {
        struct mr_launch_moment look = moment(i * 0.1, 1.00002, 0);

        mr_launch_clock_follow(&clock, &look);
        CU_ASSERT(off_by(&clock, i * 0.1 + 0.1, 1.00002, 0) <= 200);
    }
}

/* By somebody who sets the time of day, forwards and back. */
static void a_clock_that_was_set_is_followed_at_its_old_rate(void)
{
    struct mr_launch_clock clock = {0};
    struct mr_launch_moment first = moment(0, 1, 0);
    struct mr_launch_moment second = moment(0.05, 1, 0);

    CU_ASSERT_FATAL(mr_launch_clock_init(&clock, &first, &second));
    for (int i = 0; i < 2; i++) {
        double off = i == 0 ? 3e9 : -4e6;
        struct mr_launch_moment look = moment(1 + i, 1, off);

        mr_launch_clock_follow(&clock, &look);
        CU_ASSERT(off_by(&clock, 1.5 + i, 1, off) <= 8);
        look = moment(1.9 + i, 1, off);
        mr_launch_clock_follow(&clock, &look);
        CU_ASSERT(off_by(&clock, 1.95 + i, 1, off) <= 8);
    }
}

static void a_clock_that_stands_is_none(void)
{
    struct mr_launch_clock clock = {0};
    struct mr_launch_moment first = moment(0, 1, 0);
    struct mr_launch_moment second = moment(0.05, 0, (double)first.ticks);

    CU_ASSERT_FALSE(mr_launch_clock_init(&clock, &first, &second));
}

/* Two connections in a burst, and a burst behind it. */
static void frames_leave_in_the_order_of_their_times(void)
{
    static const uint32_t holds[] = {0, 20480, 40960, 0, 10240, 20480, 30720, UINT32_MAX};
    static const uint8_t order[] = {0, 3, 4, 1, 5, 6, 2, 7};
    static const uint32_t leaves[] = {0, 0, 10240, 20480, 0, 30720, 40960, MR_LAUNCH_AHEAD_MAX};
    const uint64_t now = 1000000000;
    const uint32_t count = MR_COUNT_OF(holds);
    struct mr_launch_clock clock = {0};
    struct mr_launch_moment first = {.ns = 1, .ticks = 1};
    struct mr_launch_moment second = {.ns = now, .ticks = now};
    struct mr_launch launch = launch_of(&clock);
    struct mr_outgoing outgoing[MR_COUNT_OF(holds)] = {0};
    struct rte_mbuf *built[MR_COUNT_OF(holds)];
    struct rte_mbuf *frames[MR_COUNT_OF(holds)];

    CU_ASSERT_FATAL(mr_launch_clock_init(&clock, &first, &second));
    CU_ASSERT_FATAL(rte_pktmbuf_alloc_bulk(pool_of_launches(), built, count) == 0);
    memcpy(frames, built, sizeof(built));
    for (uint32_t i = 0; i < count; i++)
        outgoing[i].hold_ns = holds[i];
    mr_launch_note(&launch, frames, outgoing, count);
    mr_launch_stamp(&launch, frames, count, now);
    for (uint32_t i = 0; i < count; i++) {
        CU_ASSERT_PTR_EQUAL(frames[i], built[order[i]]);
        CU_ASSERT_EQUAL(frames[i]->ol_flags != 0, leaves[i] > 0); /* one for each time */
        if (leaves[i] > 0)
            CU_ASSERT_EQUAL(ticks_of(&launch, frames[i]), now + leaves[i]);
        frames[i]->ol_flags = 0;
    }
    outgoing[1].hold_ns = MR_LAUNCH_AHEAD_MAX - 1000; /* nothing is told to leave before those */
    mr_launch_note(&launch, frames, outgoing, 2);
    mr_launch_stamp(&launch, frames, 2, now + 500);
    CU_ASSERT_EQUAL(frames[0]->ol_flags | frames[1]->ol_flags, 0);
    mr_launch_note(&launch, frames, outgoing, 2);
    mr_launch_stamp(&launch, frames, 2, now + 1500);
    CU_ASSERT_EQUAL(frames[0]->ol_flags, 0);
    CU_ASSERT_EQUAL(frames[1]->ol_flags, launch.flag);
    CU_ASSERT_EQUAL(ticks_of(&launch, frames[1]), now + MR_LAUNCH_AHEAD_MAX + 500);
    rte_pktmbuf_free_bulk(built, count);
}

/* ------------------------------------------------------------------ transfers */

static struct {
    struct card_config config;
    double loss; /* before each card, of what is sent */
    const struct card_stats *stats[2];
} cards;

bool __real_mr_wire_open(const struct mr_wire_config *config, struct mr_port *ends_out[2],
                         struct mr_fault *fault);
bool __wrap_mr_wire_open(const struct mr_wire_config *config, struct mr_port *ends_out[2],
                         struct mr_fault *fault);

/* Worlds are made over the wire; with a segments_max, over cards before it. */
bool __wrap_mr_wire_open(const struct mr_wire_config *config, struct mr_port *ends_out[2],
                         struct mr_fault *fault)
{
    static struct rte_mempool *pools[2];
    const struct mr_port_loss_rates rates = {.sent = cards.loss};

    if (!__real_mr_wire_open(config, ends_out, fault) || cards.config.ticks_per_ns == 0)
        return ends_out[0] != NULL;
    for (int i = 0; i < 2; i++) {
        if (pools[i] == NULL)
            pools[i] = dpdk_pool(i == 0 ? "card0" : "card1", 8191);
        ends_out[i] = card_open(ends_out[i], &cards.config, pools[i]);
        cards.stats[i] = card_stats(ends_out[i]);
        if (cards.loss > 0 && !mr_port_lose(ends_out[i], &rates, fault))
            return false;
    }
    return true;
}

enum {
    STREAMS_LEAST = 40, /* that must end */
    PATIENCE_MS = 20000
};

/* Transfers for `ms`, over cards like that. */
static struct mr_shard_stats transfer(const struct card_config *config, long ms,
                                      struct card_stats stats_out[2])
{
    struct mr_world_config world_config = moving_config();
    struct mr_clock clock = mr_clock_init();
    struct mr_world w;

    moving_forget();
    moving.shares_thread = true;
    world_config.server_shards = 1;
    world_config.wire.needs_checksum = true;
    cards.config = *config;
    moving_launch(&w, &world_config);
    /* What was lost is repeated ever later: a first stream may take longer than all others. */
    for (long i = 0;
         i < ms || (atomic_load(&moving.streams_done) < STREAMS_LEAST && i < PATIENCE_MS);
         i += 50) {
        moving_pause_ms(50);
        (void)mr_group_look_at_port(&w.server, mr_clock_now(&clock));
        (void)mr_group_look_at_port(&w.client, mr_clock_now(&clock));
    }
    struct mr_shard_stats stats = moving_stats(&w);
    for (int i = 0; i < 2; i++)
        memcpy(&stats_out[i], cards.stats[i], sizeof(stats_out[i]));
    CU_ASSERT(atomic_load(&moving.streams_done) >= STREAMS_LEAST);
    moving_end(&w);
    cards.config.ticks_per_ns = 0;
    cards.loss = 0;
    return stats;
}

static void print(const char *what, const struct card_stats *stats)
{
    printf("# %s: %lu frames, %lu chains, longest %lu, %lu stamped (%lu late), %lu times refused, "
           "%lu lost\n",
           what, (unsigned long)stats->frames, (unsigned long)stats->chains,
           (unsigned long)stats->longest, (unsigned long)stats->stamped, (unsigned long)stats->late,
           (unsigned long)stats->refused, (unsigned long)stats->lost);
}

static void transfers_cross_cards_that_segment(void)
{
    static const struct card_config config = {.segments_max = SEGMENTS, .ticks_per_ns = 1};
    struct card_stats stats[2];
    struct mr_shard_stats shards = transfer(&config, 1500, stats);

    for (int i = 0; i < 2; i++) {
        print("segments", &stats[i]);
        CU_ASSERT(stats[i].chains > 100);
        CU_ASSERT(stats[i].longest > 4);
        CU_ASSERT_EQUAL(stats[i].stamped, 0);
    }
    CU_ASSERT_EQUAL(shards.chains_withdrawn, 0);
}

/* Launch times go with what is left of a chain. */
static void transfers_cross_cards_with_losses_before_them(void)
{
    static const struct card_config config = {
        .segments_max = SEGMENTS, .launches = true, .ticks_per_ns = 1, .refuses_each = 5};
    struct card_stats stats[2];

    cards.loss = 0.02;
    struct mr_shard_stats shards = transfer(&config, 1500, stats);
    for (int i = 0; i < 2; i++) {
        print("losses", &stats[i]);
        CU_ASSERT(stats[i].chains > 20);
        CU_ASSERT(stats[i].stamped > 20);
    }
    CU_ASSERT_EQUAL(shards.chains_withdrawn, 0);
}

static void what_a_card_refuses_goes_first_when_it_takes_again(void)
{
    static const struct card_config config = {
        .segments_max = SEGMENTS, .ticks_per_ns = 1, .refuses_each = 3};
    struct card_stats stats[2];

    (void)transfer(&config, 1500, stats);
    print("refuses", &stats[0]);
    CU_ASSERT(stats[0].refused > 100);
    CU_ASSERT(stats[0].chains > 100);
}

static void a_card_that_only_says_that_it_segments_is_found_out(void)
{
    static const struct card_config config = {
        .segments_max = SEGMENTS, .ticks_per_ns = 1, .is_liar = true};
    struct card_stats stats[2];
    struct mr_shard_stats shards = transfer(&config, 1500, stats);

    print("lies", &stats[0]);
    CU_ASSERT_EQUAL(shards.chains_withdrawn, 1);
    CU_ASSERT(stats[0].frames > 10 * stats[0].chains);
}

/* Its clock counts 156.25 MHz, from some day on. */
static void transfers_cross_cards_with_launch_times(void)
{
    static const struct card_config config = {.segments_max = SEGMENTS,
                                              .launches = true,
                                              .ticks_per_ns = 0.15625,
                                              .ticks_off = 123456789012};
    struct card_stats stats[2];

    (void)transfer(&config, 1500, stats);
    for (int i = 0; i < 2; i++) {
        print("launch times", &stats[i]);
        CU_ASSERT(stats[i].stamped > 100);
        CU_ASSERT(stats[i].late < stats[i].stamped - stats[i].stamped / 10); /* a slow build */
        CU_ASSERT(stats[i].back < 100); /* the clock is looked at ten times a second */
        CU_ASSERT(stats[i].chains > 0);
    }
}

static CU_TestInfo asked[] = {
    {"segmentation is asked for where it is known or wanted",
     segmentation_is_asked_for_where_it_is_known_or_wanted},
    {"chains are no longer than card and queue take",
     chains_are_no_longer_than_card_and_queue_take},
    {"launch times are asked for where they are wanted",
     launch_times_are_asked_for_where_they_are_wanted},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo chains[] = {
    {"datagrams that go the same way become one frame",
     datagrams_that_go_the_same_way_become_one_frame},
    {"a chain ends where the card does", a_chain_ends_where_the_card_does},
    {"a chain ends where IP does", a_chain_ends_where_ip_does},
    {"losses on purpose take single datagrams out of chains",
     losses_on_purpose_take_single_datagrams_out_of_chains},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo times[] = {
    {"a card's clock is followed, whatever its ticks are",
     a_cards_clock_is_followed_whatever_its_ticks_are},
    {"drift is learned", drift_is_learned},
    {"a clock that was set is followed at its old rate",
     a_clock_that_was_set_is_followed_at_its_old_rate},
    {"a clock that stands is none", a_clock_that_stands_is_none},
    {"frames leave in the order of their times", frames_leave_in_the_order_of_their_times},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo transfers[] = {
    {"transfers cross cards that segment", transfers_cross_cards_that_segment},
    {"transfers cross cards with losses before them",
     transfers_cross_cards_with_losses_before_them},
    {"what a card refuses goes first when it takes again",
     what_a_card_refuses_goes_first_when_it_takes_again},
    {"a card that only says that it segments is found out",
     a_card_that_only_says_that_it_segments_is_found_out},
    {"transfers cross cards with launch times", transfers_cross_cards_with_launch_times},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "drivers/port_offload", .pInitFunc = dpdk_start, .pTests = asked},
    {.pName = "dataplane/net_chain", .pInitFunc = dpdk_start, .pTests = chains},
    {.pName = "dataplane/launch", .pInitFunc = dpdk_start, .pTests = times},
    {.pName = "transfers", .pInitFunc = dpdk_start, .pTests = transfers},
    CU_SUITE_INFO_NULL,
};
