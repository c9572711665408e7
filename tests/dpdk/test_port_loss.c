/* Tests of drivers/port_loss.h, over a loopback and over a port that refuses. */
#include "drivers/port_loss.h"

#include <string.h>

#include <rte_ether.h>
#include <rte_mempool.h>

#include "base/bytes.h"
#include "drivers/port.h"
#include "tests/dpdk/dpdk_harness.h"

enum {
    POOL = 4095,
    BURST = 32,
    FRAME = 80,
    MANY = 40000,
    NUMBER_AT = 60 /* of a frame's number, in its payload */
};

/* What a frame is, by its number. */
enum what {
    UDP4,
    UDP6,
    TCP4,
    ARP,
    WHATS
};

static struct rte_mempool *pool_of_test(void)
{
    static struct rte_mempool *pool;

    if (pool == NULL)
        pool = dpdk_pool("loss", POOL);
    return pool;
}

static struct mr_port *open_loopback(void)
{
    struct rte_mempool *pool = pool_of_test();
    struct mr_fault fault = {0};
    struct mr_port_config config = {.spec = "loopback", .rx_pools = &pool, .queue_count = 1};
    struct mr_port *port = mr_port_open(&config, &fault);

    CU_ASSERT_PTR_NOT_NULL_FATAL(port);
    return port;
}

static struct rte_mbuf *make_frame(uint32_t number)
{
    static const uint16_t types[WHATS] = {RTE_ETHER_TYPE_IPV4, RTE_ETHER_TYPE_IPV6,
                                          RTE_ETHER_TYPE_IPV4, RTE_ETHER_TYPE_ARP};
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool_of_test());

    CU_ASSERT_PTR_NOT_NULL_FATAL(mbuf);
    uint8_t *frame = (uint8_t *)rte_pktmbuf_append(mbuf, FRAME);
    enum what what = (enum what)(number % WHATS);
    memset(frame, 0, FRAME);
    mr_store_be16(frame + 12, types[what]);
    frame[20] = what == UDP6 ? 17 : 0;
    frame[23] = what == UDP4 ? 17 : what == TCP4 ? 6 : 0;
    mr_store_be32(frame + NUMBER_AT, number);
    return mbuf;
}

static uint32_t number_of(const struct rte_mbuf *mbuf)
{
    return mr_load_be32(rte_pktmbuf_mtod(mbuf, const uint8_t *) + NUMBER_AT);
}

/* What has arrived: how many of each, in order. */
struct arrived {
    uint32_t count[WHATS];
    uint32_t next; /* no number below it comes any more */
};

static void take(struct mr_port *port, struct arrived *arrived)
{
    struct rte_mbuf *mbufs[BURST];
    uint16_t n = mr_port_rx_burst(port, 0, mbufs, BURST);

    for (uint16_t i = 0; i < n; i++) {
        uint32_t number = number_of(mbufs[i]);

        CU_ASSERT_TRUE(number >= arrived->next);
        arrived->next = number + 1;
        arrived->count[number % WHATS]++;
    }
    rte_pktmbuf_free_bulk(mbufs, n);
}

static void send_many(struct mr_port *port, uint32_t count, struct arrived *arrived)
{
    for (uint32_t number = 0; number < count;) {
        struct rte_mbuf *mbufs[BURST];
        uint16_t n = 0;

        while (n < BURST && number < count)
            mbufs[n++] = make_frame(number++);
        CU_ASSERT_EQUAL(mr_port_tx_burst(port, 0, mbufs, n), n);
        take(port, arrived);
    }
}

static void lose(struct mr_port *port, double sent, double received)
{
    const struct mr_port_loss_rates rates = {.received = received, .sent = sent};
    struct mr_fault fault = {0};

    CU_ASSERT_TRUE(mr_port_lose(port, &rates, &fault));
}

/* Five standard deviations of what is expected of n datagrams. */
static void expect_part(uint64_t lost, uint64_t n, double part)
{
    double expected = part * (double)n;
    double off = (double)lost - expected;

    CU_ASSERT_TRUE(off * off <= 25 * expected * (1 - part) + 1);
    if (off * off > 25 * expected * (1 - part) + 1)
        printf("# %llu of %llu lost\n", (unsigned long long)lost, (unsigned long long)n);
}

static void a_port_without_losses_is_as_it_was(void)
{
    struct mr_port *port = open_loopback();
    struct mr_port_losses losses;
    const struct mr_port_ops *ops = port->ops;
    struct arrived arrived = {0};

    send_many(port, 100, &arrived);
    mr_port_losses(port, &losses);
    CU_ASSERT_EQUAL(losses.sent + losses.received, 0);
    CU_ASSERT_EQUAL(arrived.count[UDP4] + arrived.count[UDP6], 50);
    CU_ASSERT_PTR_EQUAL(port->ops, ops);
    lose(port, 0.5, 0);
    CU_ASSERT_PTR_NOT_EQUAL(port->ops, ops);
    CU_ASSERT_PTR_EQUAL(mr_port_own_ops(port), ops);
    mr_port_close(port);
}

/* Datagrams, each way, in the part asked for; everything else arrives, in order. */
static void so_many_datagrams_are_lost(double sent, double received)
{
    struct mr_port *port = open_loopback();
    struct mr_port_losses l;
    struct mr_port_stats stats;
    struct arrived arrived = {0};

    lose(port, sent, received);
    send_many(port, MANY, &arrived);
    mr_port_losses(port, &l);
    mr_port_stats(port, &stats);
    CU_ASSERT_EQUAL(arrived.count[TCP4], MANY / WHATS);
    CU_ASSERT_EQUAL(arrived.count[ARP], MANY / WHATS);
    CU_ASSERT_EQUAL(l.sent, MANY / 2);
    CU_ASSERT_EQUAL(l.received, l.sent - l.sent_lost);
    CU_ASSERT_EQUAL(arrived.count[UDP4] + arrived.count[UDP6], l.received - l.received_lost);
    CU_ASSERT_EQUAL(stats.tx_packets, MANY - l.sent_lost);
    CU_ASSERT_EQUAL(stats.rx_packets, stats.tx_packets);
    CU_ASSERT_DOUBLE_EQUAL(l.rates.sent, sent, 0);
    CU_ASSERT_DOUBLE_EQUAL(l.rates.received, received, 0);
    expect_part(l.sent_lost, l.sent, sent);
    expect_part(l.received_lost, l.received, received);
    expect_part(MANY / WHATS - arrived.count[UDP6], MANY / WHATS, 1 - (1 - sent) * (1 - received));
    mr_port_close(port);
    CU_ASSERT_EQUAL(rte_mempool_in_use_count(pool_of_test()), 0);
}

static void the_part_that_is_asked_for_is_lost(void)
{
    so_many_datagrams_are_lost(0.1, 0);
    so_many_datagrams_are_lost(0, 0.1);
    so_many_datagrams_are_lost(0.01, 0.5);
    so_many_datagrams_are_lost(0.9, 0.3);
    so_many_datagrams_are_lost(1, 0);
    so_many_datagrams_are_lost(0, 1);
}

static void rates_change_while_frames_go(void)
{
    struct mr_port *port = open_loopback();
    struct arrived arrived = {0};

    lose(port, 1, 0);
    send_many(port, 400, &arrived);
    CU_ASSERT_EQUAL(arrived.count[UDP4] + arrived.count[UDP6], 0);
    lose(port, 0, 0);
    arrived = (struct arrived){0};
    send_many(port, 400, &arrived);
    CU_ASSERT_EQUAL(arrived.count[UDP4] + arrived.count[UDP6], 200);
    lose(port, 0.5, 0);
    lose(port, 0, 1);
    arrived = (struct arrived){0};
    send_many(port, 400, &arrived);
    CU_ASSERT_EQUAL(arrived.count[UDP4] + arrived.count[UDP6], 0);
    CU_ASSERT_EQUAL(arrived.count[ARP], 100);
    mr_port_close(port);
}

/* ---- a port that takes one frame of ten bursts ---- */

static uint32_t asked;
static uint32_t taken;

static uint16_t reluctant_tx(struct mr_port *port, uint16_t queue, struct rte_mbuf **mbufs,
                             uint16_t n)
{
    (void)port;
    (void)queue;
    (void)n;
    if (++asked % 10 != 0)
        return 0;
    rte_pktmbuf_free(mbufs[0]);
    taken++;
    return 1;
}

static void reluctant_close(struct mr_port *port)
{
    (void)port;
}

/* What is refused is neither freed nor given another die. */
static void a_refused_datagram_keeps_its_fate(void)
{
    static const struct mr_port_ops ops = {.tx_burst = reluctant_tx, .close = reluctant_close};
    struct mr_port port = {.ops = &ops, .traits.queue_count = 1};
    struct rte_mbuf *mbufs[4];
    struct mr_port_losses l;
    uint32_t number = 0;
    uint32_t count = 0;

    asked = taken = 0;
    lose(&port, 0.1, 0);
    while (number < MANY / 4 || count > 0) {
        while (count < MR_COUNT_OF(mbufs) && number < MANY / 4)
            mbufs[count++] = make_frame(WHATS * number++);
        uint16_t done = mr_port_tx_burst(&port, 0, mbufs, (uint16_t)count);
        count -= done;
        memmove(mbufs, &mbufs[done], count * sizeof(mbufs[0]));
        for (uint32_t i = 0; i < count; i++) { /* the following ones, whole */
            CU_ASSERT_EQUAL(rte_mbuf_refcnt_read(mbufs[i]), 1);
            CU_ASSERT_EQUAL(number_of(mbufs[i]), WHATS * (number - count + i));
        }
    }
    mr_port_losses(&port, &l);
    CU_ASSERT_EQUAL(l.sent, MANY / 4);
    CU_ASSERT_EQUAL(l.sent_lost + taken, MANY / 4);
    expect_part(l.sent_lost, l.sent, 0.1);
    mr_port_close(&port);
    CU_ASSERT_EQUAL(rte_mempool_in_use_count(pool_of_test()), 0);
}

static CU_TestInfo tests[] = {
    {"a port without losses is as it was", a_port_without_losses_is_as_it_was},
    {"the part that is asked for is lost", the_part_that_is_asked_for_is_lost},
    {"rates change while frames go", rates_change_while_frames_go},
    {"a refused datagram keeps its fate", a_refused_datagram_keeps_its_fate},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "drivers/port_loss", .pInitFunc = dpdk_start, .pTests = tests},
    CU_SUITE_INFO_NULL,
};
