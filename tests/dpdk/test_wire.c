/* tests/dpdk/test_wire.c - the contract of drivers/wire.h. */
#include <math.h>
#include <sched.h>
#include <string.h>

#include <rte_malloc.h>
#include <rte_mempool.h>
#include <rte_thash.h>

#include "base/bytes.h"
#include "base/random.h"
#include "drivers/port.h"
#include "drivers/wire.h"
#include "tests/dpdk/dpdk_harness.h"

enum {
    POOL = 4095,
    BURST = 32,
    FRAME = 1494,
    FRAMES = 20000 /* of an impaired run */
};

/* A wire and the pools of its ends. */
struct fixture {
    struct mr_wire_config config;
    struct rte_mempool *pool[2];
    struct mr_port *end[2];
    uint64_t clock_ns; /* of an impaired wire */
};

static uint64_t read_clock(void *argument)
{
    return *(uint64_t *)argument;
}

static void open_wire(struct fixture *f)
{
    static struct rte_mempool *pools[2];
    struct mr_fault fault = {0};

    if (pools[0] == NULL) {
        pools[0] = dpdk_pool("wire0", POOL);
        pools[1] = dpdk_pool("wire1", POOL);
    }
    for (int side = 0; side < 2; side++) {
        f->pool[side] = pools[side];
        if (f->config.side[side].queue_count == 0)
            f->config.side[side].queue_count = 1;
        if (f->config.is_copied)
            f->config.side[side].rx_pools = &pools[side];
    }
    f->config.clock = read_clock;
    f->config.clock_argument = &f->clock_ns;
    if (!mr_wire_open(&f->config, f->end, &fault)) {
        fprintf(stderr, "wire: %s\n", fault.text);
        CU_FAIL_FATAL("no wire");
    }
}

/* Every mbuf is back where it came from. */
static void close_wire(struct fixture *f)
{
    mr_port_close(f->end[0]);
    mr_port_close(f->end[1]);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(f->pool[0]), POOL);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(f->pool[1]), POOL);
}

/* A frame of `size` bytes with its number in front. */
static struct rte_mbuf *numbered(struct rte_mempool *pool, uint32_t number, uint16_t size)
{
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);

    CU_ASSERT_PTR_NOT_NULL_FATAL(mbuf);
    uint8_t *data = (uint8_t *)rte_pktmbuf_append(mbuf, size);
    memset(data, (int)number, size);
    mr_store_be32(data, number);
    return mbuf;
}

static uint32_t number_of(const struct rte_mbuf *mbuf)
{
    return mr_load_be32(rte_pktmbuf_mtod(mbuf, const void *));
}

/* Send frames first..first+n-1 from end 0; returns how many the wire took. */
static uint32_t send_numbered(struct fixture *f, uint32_t first, uint16_t n)
{
    struct rte_mbuf *mbufs[BURST];

    CU_ASSERT_FATAL(n <= BURST);
    for (uint16_t i = 0; i < n; i++)
        mbufs[i] = numbered(f->pool[0], first + i, FRAME);
    uint16_t sent = mr_port_tx_burst(f->end[0], 0, mbufs, n);
    if (sent < n)
        rte_pktmbuf_free_bulk(mbufs + sent, n - sent);
    return sent;
}

static void frames_arrive_in_order_by_reference(void)
{
    struct fixture f = {0};
    struct rte_mbuf *sent[BURST];
    struct rte_mbuf *got[BURST];

    open_wire(&f);
    for (uint16_t i = 0; i < BURST; i++)
        sent[i] = numbered(f.pool[0], i, FRAME);
    CU_ASSERT_EQUAL(mr_port_tx_burst(f.end[0], 0, sent, BURST), BURST);
    CU_ASSERT_EQUAL(mr_port_rx_burst(f.end[1], 0, got, BURST), BURST);
    for (uint16_t i = 0; i < BURST; i++)
        CU_ASSERT_PTR_EQUAL(got[i], sent[i]);
    CU_ASSERT_EQUAL(mr_port_rx_burst(f.end[1], 0, got + 1, BURST - 1), 0);
    CU_ASSERT_EQUAL(mr_port_rx_burst(f.end[0], 0, got + 1, BURST - 1), 0);
    rte_pktmbuf_free_bulk(sent, BURST);
    close_wire(&f);
}

static void a_wire_that_vouches_marks_frames_as_checked(void)
{
    for (int needs = 0; needs < 2; needs++) {
        struct fixture f = {.config.needs_checksum = needs};
        struct rte_mbuf *got[1];

        open_wire(&f);
        CU_ASSERT_EQUAL(f.end[0]->traits.is_vouched, !needs);
        CU_ASSERT_EQUAL(send_numbered(&f, 1, 1), 1);
        CU_ASSERT_EQUAL_FATAL(mr_port_rx_burst(f.end[1], 0, got, 1), 1);
        uint64_t l4 = got[0]->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
        CU_ASSERT_EQUAL(l4, needs ? RTE_MBUF_F_RX_L4_CKSUM_UNKNOWN : RTE_MBUF_F_RX_L4_CKSUM_NONE);
        rte_pktmbuf_free(got[0]);
        close_wire(&f);
    }
}

static void a_full_ring_refuses_and_leaves_the_rest_to_the_caller(void)
{
    struct fixture f = {.config.ring_count = 40};
    struct mr_port_stats stats;

    open_wire(&f);
    CU_ASSERT_EQUAL(send_numbered(&f, 0, BURST), BURST);
    CU_ASSERT_EQUAL(send_numbered(&f, BURST, BURST), 40 - BURST);
    CU_ASSERT_EQUAL(send_numbered(&f, 64, 1), 0);
    mr_port_stats(f.end[0], &stats);
    CU_ASSERT_EQUAL(stats.tx_packets, 40);
    CU_ASSERT_EQUAL(stats.tx_bytes, 40 * FRAME);
    close_wire(&f); /* what is still in the ring goes back to its pool */
}

static void copy_mode_delivers_other_mbufs_with_the_same_bytes(void)
{
    struct fixture f = {.config.is_copied = true};
    struct rte_mbuf *got[BURST];

    open_wire(&f);
    for (uint32_t round = 0; round < 200; round++) {
        CU_ASSERT_EQUAL(send_numbered(&f, round * BURST, BURST), BURST);
        CU_ASSERT_EQUAL_FATAL(mr_port_rx_burst(f.end[1], 0, got, BURST), BURST);
        for (uint32_t i = 0; i < BURST; i++) {
            uint8_t expected[FRAME];

            memset(expected, (int)(round * BURST + i), sizeof(expected));
            mr_store_be32(expected, round * BURST + i);
            CU_ASSERT_PTR_EQUAL(got[i]->pool, f.pool[1]);
            CU_ASSERT_EQUAL(got[i]->pkt_len, FRAME);
            CU_ASSERT_EQUAL(memcmp(rte_pktmbuf_mtod(got[i], void *), expected, FRAME), 0);
        }
        rte_pktmbuf_free_bulk(got, BURST);
    }
    close_wire(&f);
}

/* The sender must not starve: originals come home when it sends and when it receives. */
static void copy_mode_returns_originals_to_the_sender(void)
{
    struct fixture f = {.config.is_copied = true};
    struct rte_mbuf *got[BURST];

    open_wire(&f);
    CU_ASSERT_EQUAL(send_numbered(&f, 0, BURST), BURST);
    CU_ASSERT_EQUAL(mr_port_rx_burst(f.end[1], 0, got, BURST), BURST);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(f.pool[0]), POOL - BURST);
    CU_ASSERT_EQUAL(mr_port_rx_burst(f.end[0], 0, got, 0), 0);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(f.pool[0]), POOL);
    rte_pktmbuf_free_bulk(got, BURST);
    close_wire(&f);
}

static void copy_mode_counts_frames_without_a_buffer(void)
{
    struct fixture f = {.config.is_copied = true};
    static struct rte_mbuf *hoard[POOL];
    struct rte_mbuf *got[BURST];
    struct mr_port_stats stats;

    open_wire(&f);
    CU_ASSERT_EQUAL(rte_pktmbuf_alloc_bulk(f.pool[1], hoard, POOL - 3), 0);
    CU_ASSERT_EQUAL(send_numbered(&f, 0, BURST), BURST);
    CU_ASSERT_EQUAL(mr_port_rx_burst(f.end[1], 0, got, BURST), 3);
    mr_port_stats(f.end[1], &stats);
    CU_ASSERT_EQUAL(stats.rx_no_buffer, BURST - 3);
    CU_ASSERT_EQUAL(stats.rx_packets, 3);
    rte_pktmbuf_free_bulk(got, 3);
    rte_pktmbuf_free_bulk(hoard, POOL - 3);
    close_wire(&f);
}

static void a_chain_of_buffers_is_copied_whole(void)
{
    struct fixture f = {.config.is_copied = true};
    struct rte_mbuf *got[1];

    open_wire(&f);
    struct rte_mbuf *head = numbered(f.pool[0], 7, 100);
    CU_ASSERT_EQUAL(rte_pktmbuf_chain(head, numbered(f.pool[0], 8, 50)), 0);
    CU_ASSERT_EQUAL(mr_port_tx_burst(f.end[0], 0, &head, 1), 1);
    CU_ASSERT_EQUAL_FATAL(mr_port_rx_burst(f.end[1], 0, got, 1), 1);
    CU_ASSERT_EQUAL(got[0]->nb_segs, 1);
    CU_ASSERT_EQUAL(got[0]->data_len, 150);
    CU_ASSERT_EQUAL(number_of(got[0]), 7);
    CU_ASSERT_EQUAL(mr_load_be32(rte_pktmbuf_mtod(got[0], uint8_t *) + 100), 8);
    rte_pktmbuf_free(got[0]);
    close_wire(&f);
}

/* ---- impairments ---- */

static void delay_holds_every_frame_as_long_as_asked(void)
{
    struct fixture f = {.config.side[0].impairment.delay_ns = 5000};
    struct rte_mbuf *got[BURST];

    f.clock_ns = 1000;
    open_wire(&f);
    CU_ASSERT_EQUAL(send_numbered(&f, 0, 10), 10);
    f.clock_ns = 5999;
    CU_ASSERT_EQUAL(mr_port_rx_burst(f.end[1], 0, got, BURST), 0);
    f.clock_ns = 6000;
    CU_ASSERT_EQUAL_FATAL(mr_port_rx_burst(f.end[1], 0, got, BURST), 10);
    for (uint32_t i = 0; i < 10; i++)
        CU_ASSERT_EQUAL(number_of(got[i]), i);
    rte_pktmbuf_free_bulk(got, 10);
    close_wire(&f);
}

/* The queue of a bad line is as full as a good one's: it refuses before it loses. */
static void an_impaired_ring_that_is_full_refuses(void)
{
    struct fixture f = {.config = {.ring_count = 40, .side[0].impairment.delay_ns = 1}};
    struct mr_port_stats stats;

    open_wire(&f);
    CU_ASSERT_EQUAL(send_numbered(&f, 0, BURST), BURST);
    CU_ASSERT_EQUAL(send_numbered(&f, BURST, BURST), 40 - BURST);
    mr_port_stats(f.end[1], &stats);
    CU_ASSERT_EQUAL(stats.rx_missed, 0);
    close_wire(&f);
}

static void a_full_delay_line_drops_and_counts(void)
{
    struct fixture f = {.config = {.held_max = 20, .side[0].impairment.delay_ns = 5000}};
    struct rte_mbuf *got[BURST];
    struct mr_port_stats stats;

    open_wire(&f);
    CU_ASSERT_EQUAL(send_numbered(&f, 0, BURST), BURST);
    f.clock_ns = 5000;
    CU_ASSERT_EQUAL(mr_port_rx_burst(f.end[1], 0, got, BURST), 20);
    rte_pktmbuf_free_bulk(got, 20);
    mr_port_stats(f.end[0], &stats);
    CU_ASSERT_EQUAL(stats.wire_overflowed, BURST - 20);
    close_wire(&f);
}

/* A frame and its overhead at 1 Gbit/s take 8 ns a byte; a queue of 10 frames takes 11 and drops
 * the rest. */
static void the_rate_limit_spaces_frames_and_bounds_its_queue(void)
{
    const uint64_t frame_ns = (FRAME + MR_WIRE_FRAME_OVERHEAD) * 8;
    struct fixture f = {.config.side[0].impairment = {
                            .rate_bps = 1000000000,
                            .queue_bytes = 10 * (FRAME + MR_WIRE_FRAME_OVERHEAD) - 1,
                        }};
    struct rte_mbuf *got[BURST];
    struct mr_port_stats stats;

    open_wire(&f);
    CU_ASSERT_EQUAL(send_numbered(&f, 0, BURST), BURST);
    for (uint32_t i = 1; i <= 10; i++) {
        f.clock_ns = i * frame_ns - 1;
        CU_ASSERT_EQUAL(mr_port_rx_burst(f.end[1], 0, got, BURST), 0);
        f.clock_ns = i * frame_ns;
        CU_ASSERT_EQUAL_FATAL(mr_port_rx_burst(f.end[1], 0, got, BURST), 1);
        rte_pktmbuf_free(got[0]);
    }
    f.clock_ns = 1000 * frame_ns;
    CU_ASSERT_EQUAL(mr_port_rx_burst(f.end[1], 0, got, BURST), 0);
    mr_port_stats(f.end[0], &stats);
    CU_ASSERT_EQUAL(stats.wire_overflowed, BURST - 10);
    close_wire(&f);
}

/* Send `frames` frames 1 us apart, collect all; counts how many came, came twice, were changed, or
 * overtook. */
struct tally {
    uint32_t came;
    uint32_t twice;
    uint32_t changed;
    uint32_t overtook;
    uint64_t digest; /* of order and content */
    struct mr_port_stats sent;
    struct mr_port_stats received;
};

static void collect(struct fixture *f, uint8_t *seen, uint32_t *last, struct tally *tally)
{
    struct rte_mbuf *got[BURST];
    uint16_t n;

    while ((n = mr_port_rx_burst(f->end[1], 0, got, BURST)) > 0)
        for (uint16_t i = 0; i < n; i++) {
            uint32_t number = got[i]->pkt_len == FRAME ? number_of(got[i]) : UINT32_MAX;
            const uint8_t *data = rte_pktmbuf_mtod(got[i], const uint8_t *);
            uint32_t wrong = 0;

            for (uint32_t b = 4; b < FRAME; b++)
                wrong += data[b] != (uint8_t)data[FRAME / 2];
            wrong += data[FRAME / 2] != (uint8_t)number || number >= FRAMES;
            tally->changed += wrong > 0;
            if (wrong == 0) {
                tally->overtook += number < *last;
                *last = number;
                tally->twice += seen[number]++ > 0;
            }
            tally->came++;
            tally->digest = (tally->digest ^ number) * 0x100000001b3;
            rte_pktmbuf_free(got[i]);
        }
}

static struct tally run_impaired(const struct mr_wire_impairment *what, uint64_t seed)
{
    static uint8_t seen[FRAMES];
    struct fixture f = {.config = {.seed = seed, .side[0].impairment = *what}};
    struct tally tally = {0};
    uint32_t last = 0;

    memset(seen, 0, sizeof(seen));
    open_wire(&f);
    for (uint32_t i = 0; i < FRAMES; i++) {
        f.clock_ns += 1000;
        CU_ASSERT_EQUAL_FATAL(send_numbered(&f, i, 1), 1);
        collect(&f, seen, &last, &tally);
    }
    f.clock_ns += 1000000000;
    collect(&f, seen, &last, &tally);
    mr_port_stats(f.end[0], &tally.sent);
    mr_port_stats(f.end[1], &tally.received);
    CU_ASSERT_EQUAL(tally.sent.tx_packets, FRAMES);
    CU_ASSERT_EQUAL(tally.sent.tx_bytes, (uint64_t)FRAMES * FRAME);
    CU_ASSERT_EQUAL(tally.received.rx_packets, tally.came);
    CU_ASSERT_EQUAL(tally.came, FRAMES - tally.sent.wire_lost - tally.sent.wire_overflowed +
                                    tally.sent.wire_duplicated);
    close_wire(&f);
    return tally;
}

/* 20,000 trials at 5 %: the count lies within 5 standard deviations (31 each) of 1,000. */
static bool is_about_1000(uint32_t n)
{
    return n > 845 && n < 1155;
}

static void loss_takes_the_share_asked_for(void)
{
    struct tally t = run_impaired(&(struct mr_wire_impairment){.loss = 0.05}, 1);

    CU_ASSERT(is_about_1000(FRAMES - t.came));
    CU_ASSERT_EQUAL(t.twice + t.changed + t.overtook, 0);
}

static void duplication_doubles_the_share_asked_for(void)
{
    struct tally t = run_impaired(&(struct mr_wire_impairment){.duplicate = 0.05}, 2);

    CU_ASSERT(is_about_1000(t.came - FRAMES));
    CU_ASSERT_EQUAL(t.twice, t.came - FRAMES);
    CU_ASSERT_EQUAL(t.sent.wire_duplicated, t.twice);
    CU_ASSERT_EQUAL(t.changed, 0);
}

static void corruption_flips_one_bit_in_the_share_asked_for(void)
{
    struct tally t = run_impaired(&(struct mr_wire_impairment){.corrupt = 0.05}, 3);

    CU_ASSERT(is_about_1000(t.changed));
    CU_ASSERT_EQUAL(t.sent.wire_corrupted, t.changed);
    CU_ASSERT_EQUAL(t.came, FRAMES);
}

static void reordering_delays_the_share_asked_for(void)
{
    struct tally t =
        run_impaired(&(struct mr_wire_impairment){.reorder = 0.05, .reorder_ns = 50000}, 4);

    CU_ASSERT(is_about_1000(t.overtook));
    CU_ASSERT(is_about_1000((uint32_t)t.sent.wire_reordered));
    CU_ASSERT_EQUAL(t.came, FRAMES);
    CU_ASSERT_EQUAL(t.twice + t.changed, 0);
}

static void jitter_makes_frames_overtake_and_loses_none(void)
{
    struct tally t =
        run_impaired(&(struct mr_wire_impairment){.delay_ns = 10000, .jitter_ns = 20000}, 5);

    CU_ASSERT(t.overtook > 5000);
    CU_ASSERT_EQUAL(t.came, FRAMES);
}

static void a_seed_makes_a_run_repeatable(void)
{
    struct mr_wire_impairment all = {.rate_bps = 20000000000,
                                     .delay_ns = 3000,
                                     .jitter_ns = 9000,
                                     .loss = 0.03,
                                     .duplicate = 0.02,
                                     .corrupt = 0.02,
                                     .reorder = 0.04};
    struct tally a = run_impaired(&all, 77);
    struct tally b = run_impaired(&all, 77);
    struct tally c = run_impaired(&all, 78);

    CU_ASSERT_EQUAL(memcmp(&a, &b, sizeof(a)), 0);
    CU_ASSERT_NOT_EQUAL(a.digest, c.digest);
}

static void impairments_work_in_copy_mode_too(void)
{
    struct fixture f = {.config = {.is_copied = true, .side[0].impairment.delay_ns = 10}};
    struct rte_mbuf *got[BURST];

    open_wire(&f);
    CU_ASSERT_EQUAL(send_numbered(&f, 5, BURST), BURST);
    f.clock_ns = 10;
    CU_ASSERT_EQUAL_FATAL(mr_port_rx_burst(f.end[1], 0, got, BURST), BURST);
    CU_ASSERT_EQUAL(number_of(got[3]), 8);
    CU_ASSERT_PTR_EQUAL(got[0]->pool, f.pool[1]);
    rte_pktmbuf_free_bulk(got, BURST);
    close_wire(&f);
}

/* ---- queues and RSS ---- */

static void without_rss_a_sending_queue_feeds_one_receiving_queue(void)
{
    struct fixture f = {.config.side = {{.queue_count = 4}, {.queue_count = 2}}};
    struct rte_mbuf *got[BURST];

    open_wire(&f);
    for (uint16_t t = 0; t < 4; t++) {
        struct rte_mbuf *mbuf = numbered(f.pool[0], t, FRAME);
        CU_ASSERT_EQUAL(mr_port_tx_burst(f.end[0], t, &mbuf, 1), 1);
    }
    for (uint16_t r = 0; r < 2; r++) {
        CU_ASSERT_EQUAL_FATAL(mr_port_rx_burst(f.end[1], r, got, BURST), 2);
        CU_ASSERT_EQUAL(number_of(got[0]) % 2, r);
        CU_ASSERT_EQUAL(number_of(got[1]) % 2, r);
        rte_pktmbuf_free_bulk(got, 2);
    }
    close_wire(&f);
}

/* Header of an IPv4 or IPv6 UDP frame of a flow. */
static void write_flow(uint8_t *frame, bool is_ipv6, struct mr_random *random)
{
    memset(frame, 0, 100);
    mr_store_be16(frame + 12, is_ipv6 ? 0x86dd : 0x0800);
    if (is_ipv6) {
        frame[14] = 0x60;
        frame[20] = 17;
        mr_random_fill(random, frame + 22, 32 + 4);
    } else {
        frame[14] = 0x45;
        frame[23] = 17;
        mr_random_fill(random, frame + 26, 8 + 4);
    }
}

/* The queue by DPDK's own Toeplitz code, which reads words of the machine's order. */
static uint16_t expected_queue(const uint8_t *frame, bool is_ipv6, const uint8_t *key,
                               uint16_t queues)
{
    uint32_t tuple[9];
    uint32_t aligned_key[10]; /* it reads words */
    uint32_t words = is_ipv6 ? 9 : 3;

    memcpy(aligned_key, key, sizeof(aligned_key));
    for (uint32_t i = 0; i < words; i++)
        tuple[i] = mr_load_be32(frame + (is_ipv6 ? 22 : 26) + 4 * i);
    return (uint16_t)(rte_softrss(tuple, words, (const uint8_t *)aligned_key) % MR_WIRE_RETA_COUNT %
                      queues);
}

static void rss_follows_toeplitz_and_spreads_flows(void)
{
    struct fixture f = {
        .config = {.has_rss = true, .side = {{.queue_count = 2}, {.queue_count = 4}}}};
    uint32_t per_queue[4] = {0};
    struct rte_mbuf *got[BURST];
    struct mr_random random;

    mr_random_init_number(&random, 9);
    mr_random_fill(&random, f.config.rss_key, sizeof(f.config.rss_key));
    open_wire(&f);
    for (uint32_t i = 0; i < 4000; i++) {
        struct rte_mbuf *mbuf = numbered(f.pool[0], i, FRAME);
        uint8_t *frame = rte_pktmbuf_mtod(mbuf, uint8_t *);
        uint16_t queue;

        write_flow(frame, i % 2 == 1, &random);
        queue = expected_queue(frame, i % 2 == 1, f.config.rss_key, 4);
        CU_ASSERT_EQUAL(mr_wire_rss_queue(f.end[1], frame, FRAME), queue);
        CU_ASSERT_EQUAL(mr_port_tx_burst(f.end[0], (uint16_t)(i % 2), &mbuf, 1), 1);
        CU_ASSERT_EQUAL_FATAL(mr_port_rx_burst(f.end[1], queue, got, BURST), 1);
        per_queue[queue]++;
        rte_pktmbuf_free(got[0]);
    }
    double chi_square = 0;
    for (int q = 0; q < 4; q++)
        chi_square += (per_queue[q] - 1000.0) * (per_queue[q] - 1000.0) / 1000;
    printf("# chi-square over 4 queues: %.2f\n", chi_square);
    CU_ASSERT(chi_square < 16.3); /* one in a thousand, with three degrees of freedom */
    close_wire(&f);
}

/* One burst for all queues: every frame arrives once, where it belongs, in its flow's order. */
static void rss_sorts_a_burst(void)
{
    struct fixture f = {
        .config = {.has_rss = true, .side = {{.queue_count = 1}, {.queue_count = 4}}}};
    struct rte_mbuf *mbufs[BURST];
    struct mr_random random;
    uint32_t arrived = 0;

    mr_random_init_number(&random, 11);
    open_wire(&f);
    for (uint32_t i = 0; i < BURST; i++) {
        mbufs[i] = numbered(f.pool[0], i, FRAME);
        write_flow(rte_pktmbuf_mtod(mbufs[i], uint8_t *), i % 3 == 0, &random);
        mr_store_be32(rte_pktmbuf_mtod(mbufs[i], uint8_t *), i);
    }
    CU_ASSERT_EQUAL(mr_port_tx_burst(f.end[0], 0, mbufs, BURST), BURST);
    for (uint16_t q = 0; q < 4; q++) {
        uint16_t n = mr_port_rx_burst(f.end[1], q, mbufs, BURST);
        uint32_t last = 0;

        for (uint16_t i = 0; i < n; i++) {
            uint32_t number = number_of(mbufs[i]);

            CU_ASSERT(i == 0 || number > last);
            last = number;
            CU_ASSERT_EQUAL(
                mr_wire_rss_queue(f.end[1], rte_pktmbuf_mtod(mbufs[i], uint8_t *), FRAME), q);
            arrived |= 1u << number;
        }
        rte_pktmbuf_free_bulk(mbufs, n);
    }
    CU_ASSERT_EQUAL(arrived, UINT32_MAX);
    close_wire(&f);
}

static void rss_obeys_a_changed_table(void)
{
    struct fixture f = {
        .config = {.has_rss = true, .side = {{.queue_count = 1}, {.queue_count = 4}}}};
    uint16_t reta[MR_WIRE_RETA_COUNT];
    struct rte_mbuf *got[BURST];
    struct mr_random random;

    mr_random_init_number(&random, 10);
    open_wire(&f);
    mr_wire_reta(f.end[1], reta);
    CU_ASSERT_EQUAL(reta[5], 1);
    for (uint32_t i = 0; i < MR_WIRE_RETA_COUNT; i++)
        reta[i] = 3;
    mr_wire_set_reta(f.end[1], reta);
    for (uint32_t i = 0; i < 20; i++) {
        struct rte_mbuf *mbuf = numbered(f.pool[0], i, FRAME);

        write_flow(rte_pktmbuf_mtod(mbuf, uint8_t *), false, &random);
        CU_ASSERT_EQUAL(mr_port_tx_burst(f.end[0], 0, &mbuf, 1), 1);
    }
    CU_ASSERT_EQUAL_FATAL(mr_port_rx_burst(f.end[1], 3, got, BURST), 20);
    rte_pktmbuf_free_bulk(got, 20);
    close_wire(&f);
}

/* A slow queue must not stop the others: its frames are lost, as in a NIC. */
static void rss_loses_frames_for_a_full_queue_and_counts_them(void)
{
    struct fixture f = {.config = {.has_rss = true,
                                   .ring_count = 8,
                                   .side = {{.queue_count = 1}, {.queue_count = 2}}}};
    struct mr_port_stats stats;

    open_wire(&f);
    CU_ASSERT_EQUAL(send_numbered(&f, 0, BURST), BURST); /* no IP: all for queue 0 */
    mr_port_stats(f.end[1], &stats);
    CU_ASSERT_EQUAL(stats.rx_missed, BURST - 8);
    close_wire(&f);
}

/* ---- two lcores ---- */

enum {
    CROSSING = 200000
};

struct crossing {
    struct fixture *f;
    uint64_t errors;
};

static int send_crossing(void *argument)
{
    struct crossing *c = argument;
    struct rte_mbuf *mbufs[BURST];
    uint32_t next = 0;

    while (next < CROSSING) {
        uint32_t n = MR_MIN((uint32_t)BURST, CROSSING - next);

        if (rte_pktmbuf_alloc_bulk(c->f->pool[0], mbufs, n) != 0)
            continue;
        for (uint32_t i = 0; i < n; i++)
            mr_store_be32(rte_pktmbuf_append(mbufs[i], 64), next + i);
        uint16_t sent = mr_port_tx_burst(c->f->end[0], 0, mbufs, (uint16_t)n);
        rte_pktmbuf_free_bulk(mbufs + sent, n - sent);
        next += sent;
        if (sent == 0)
            sched_yield(); /* the receiver may have the same core */
    }
    return 0;
}

static int receive_crossing(void *argument)
{
    struct crossing *c = argument;
    struct rte_mbuf *mbufs[BURST];
    uint32_t next = 0;

    while (next < CROSSING) {
        uint16_t n = mr_port_rx_burst(c->f->end[1], 0, mbufs, BURST);

        for (uint16_t i = 0; i < n; i++)
            c->errors += number_of(mbufs[i]) != next++ || mbufs[i]->pkt_len != 64;
        rte_pktmbuf_free_bulk(mbufs, n);
        if (n == 0)
            sched_yield();
    }
    return 0;
}

static void frames_cross_between_two_lcores_in_order(void)
{
    for (int is_copied = 0; is_copied < 2; is_copied++) {
        /* A small ring is often full, and its room changes while the sender looks. */
        struct fixture f = {.config = {.is_copied = is_copied, .ring_count = BURST + 1}};
        struct crossing crossing = {.f = &f};

        open_wire(&f);
        mr_eal_launch(0, send_crossing, &crossing);
        mr_eal_launch(1, receive_crossing, &crossing);
        mr_eal_join(0);
        mr_eal_join(1);
        CU_ASSERT_EQUAL(crossing.errors, 0);
        close_wire(&f);
    }
}

/* ---- options ---- */

static void options_are_read_and_errors_name_the_option(void)
{
    struct mr_wire_config config = {0};
    struct mr_fault fault = {0};

    CU_ASSERT(
        mr_wire_config_parse("mode=copy,checksum=software,rss=on,ring=64,seed=9,mtu=9000,rate=2.5G,"
                             "queue=64k,delay=10ms,jitter=5us,loss=0.1,dup=1,corrupt=2,reorder=50%",
                             &config, &fault));
    const struct mr_wire_impairment *i = &config.side[1].impairment;
    CU_ASSERT(config.is_copied && config.needs_checksum && config.has_rss);
    CU_ASSERT(config.ring_count == 64 && config.seed == 9 && config.mtu == 9000);
    CU_ASSERT(i->rate_bps == 2500000000 && i->queue_bytes == 64000);
    CU_ASSERT(i->delay_ns == 10000000 && i->jitter_ns == 5000);
    CU_ASSERT(fabs(i->loss - 0.001) < 1e-12 && i->duplicate > 0.0099 && i->reorder > 0.499);
    CU_ASSERT_EQUAL(memcmp(i, &config.side[0].impairment, sizeof(*i)), 0);
    CU_ASSERT(mr_wire_config_parse("", &config, &fault));

    static const char *const bad[] = {"mode=fast",  "loss=101",   "loss=-1",    "delay=10",
                                      "ring=0",     "ring=1x",    "rate=",      "rate=10T",
                                      "mtu=100",    "nonsense=1", "loss=1,,x=", "jitter=1e9",
                                      "checksum=no"};
    for (size_t n = 0; n < MR_COUNT_OF(bad); n++) {
        fault.text[0] = '\0';
        CU_ASSERT_FALSE(mr_wire_config_parse(bad[n], &config, &fault));
        CU_ASSERT_NOT_EQUAL(fault.text[0], '\0');
    }
}

static void a_wire_without_queues_or_pools_is_refused(void)
{
    struct mr_wire_config config = {.side = {{.queue_count = 1}, {.queue_count = 0}}};
    struct mr_port *ends[MR_WIRE_ENDS];
    struct mr_fault fault = {0};

    CU_ASSERT_FALSE(mr_wire_open(&config, ends, &fault));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "queues"));
    config.side[1].queue_count = 1;
    config.is_copied = true;
    CU_ASSERT_FALSE(mr_wire_open(&config, ends, &fault));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "pools"));
}

static CU_TestInfo transfer[] = {
    {"frames arrive in order by reference", frames_arrive_in_order_by_reference},
    {"a wire that vouches marks frames as checked", a_wire_that_vouches_marks_frames_as_checked},
    {"a full ring refuses and leaves the rest to the caller",
     a_full_ring_refuses_and_leaves_the_rest_to_the_caller},
    {"copy mode delivers other mbufs with the same bytes",
     copy_mode_delivers_other_mbufs_with_the_same_bytes},
    {"copy mode returns originals to the sender", copy_mode_returns_originals_to_the_sender},
    {"copy mode counts frames without a buffer", copy_mode_counts_frames_without_a_buffer},
    {"a chain of buffers is copied whole", a_chain_of_buffers_is_copied_whole},
    {"frames cross between two lcores in order", frames_cross_between_two_lcores_in_order},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo impaired[] = {
    {"delay holds every frame as long as asked", delay_holds_every_frame_as_long_as_asked},
    {"an impaired ring that is full refuses", an_impaired_ring_that_is_full_refuses},
    {"a full delay line drops and counts", a_full_delay_line_drops_and_counts},
    {"the rate limit spaces frames and bounds its queue",
     the_rate_limit_spaces_frames_and_bounds_its_queue},
    {"loss takes the share asked for", loss_takes_the_share_asked_for},
    {"duplication doubles the share asked for", duplication_doubles_the_share_asked_for},
    {"corruption flips one bit in the share asked for",
     corruption_flips_one_bit_in_the_share_asked_for},
    {"reordering delays the share asked for", reordering_delays_the_share_asked_for},
    {"jitter makes frames overtake and loses none", jitter_makes_frames_overtake_and_loses_none},
    {"a seed makes a run repeatable", a_seed_makes_a_run_repeatable},
    {"impairments work in copy mode too", impairments_work_in_copy_mode_too},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo queues[] = {
    {"without RSS a sending queue feeds one receiving queue",
     without_rss_a_sending_queue_feeds_one_receiving_queue},
    {"Q16 RSS follows Toeplitz and spreads flows", rss_follows_toeplitz_and_spreads_flows},
    {"RSS sorts a burst", rss_sorts_a_burst},
    {"RSS obeys a changed table", rss_obeys_a_changed_table},
    {"RSS loses frames for a full queue and counts them",
     rss_loses_frames_for_a_full_queue_and_counts_them},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo options[] = {
    {"options are read and errors name the option", options_are_read_and_errors_name_the_option},
    {"a wire without queues or pools is refused", a_wire_without_queues_or_pools_is_refused},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "drivers/wire", .pInitFunc = dpdk_start, .pTests = transfer},
    {.pName = "drivers/wire impaired", .pInitFunc = dpdk_start, .pTests = impaired},
    {.pName = "drivers/wire queues", .pInitFunc = dpdk_start, .pTests = queues},
    {.pName = "drivers/wire options", .pInitFunc = dpdk_start, .pTests = options},
    CU_SUITE_INFO_NULL,
};
