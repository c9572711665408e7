/* tests/dpdk/card_port.c - see card_port.h. */
#include "tests/dpdk/card_port.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ip.h>
#include <rte_mbuf_dyn.h>
#include <rte_udp.h>

#include "base/compiler.h"
#include "dataplane/clock.h"
#include "dataplane/launch.h"

enum {
    SEGMENT_LEAST = 256,  /* bytes: one card's least; others take less */
    BUFFERS_OF_FRAME = 2, /* that a frame on the wire may be read from */
    IP_MOST = 65535,
    ETHER = RTE_ETHER_HDR_LEN,
};

#define BACK_NS 50000.0  /* that a look at the card's clock may correct */
#define LATE_NS 100000.0 /* a thread may get no core between its clock's reading and here */

struct card {
    struct mr_port port; /* first */
    struct mr_port *inner;
    struct rte_mempool *pool;
    struct card_config config;
    struct card_stats stats;
    struct mr_clock clock;
    const struct rte_mbuf *refused; /* what it did not take: the next burst begins with it */
    uint64_t bursts;
    uint64_t last_launch; /* ticks */
};

static void refuse(const char *why)
{
    fprintf(stderr, "# the card: %s\n", why);
    abort();
}

static void need(bool is_right, const char *what)
{
    if (!is_right)
        refuse(what);
}

/* ------------------------------------------------------------------ what a frame says of itself */

struct headers {
    uint8_t *frame;
    struct rte_ipv4_hdr *ip4; /* one of the two */
    struct rte_ipv6_hdr *ip6;
    struct rte_udp_hdr *udp;
    uint32_t size;
};

static struct headers headers_of(struct rte_mbuf *mbuf)
{
    struct headers h = {.frame = rte_pktmbuf_mtod(mbuf, uint8_t *)};
    const struct rte_ether_hdr *ether = (const void *)h.frame;
    bool is_ip4 = ether->ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);

    need(mbuf->l2_len == ETHER, "l2_len is not Ethernet's");
    need(is_ip4 || ether->ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV6), "no IP behind l2");
    need(mbuf->l3_len == (is_ip4 ? sizeof(*h.ip4) : sizeof(*h.ip6)), "l3_len is not IP's");
    if (is_ip4)
        h.ip4 = (void *)(h.frame + ETHER);
    else
        h.ip6 = (void *)(h.frame + ETHER);
    h.udp = (void *)(h.frame + ETHER + mbuf->l3_len);
    h.size = ETHER + mbuf->l3_len + (uint32_t)sizeof(*h.udp);
    need(mbuf->data_len >= h.size, "headers are not in the first buffer");
    return h;
}

static void check_lengths(const struct rte_mbuf *mbuf, const struct headers *h)
{
    uint32_t udp_size = mbuf->pkt_len - ETHER - mbuf->l3_len;

    need(rte_be_to_cpu_16(h->udp->dgram_len) == udp_size, "UDP's length is not the packet's");
    if (h->ip4 == NULL) {
        need(rte_be_to_cpu_16(h->ip6->payload_len) == udp_size,
             "IPv6's length is not the packet's");
        need(h->ip6->proto == IPPROTO_UDP, "no UDP behind IPv6");
        return;
    }
    need(rte_be_to_cpu_16(h->ip4->total_length) == udp_size + sizeof(*h->ip4),
         "IPv4's length is not the packet's");
    need(h->ip4->next_proto_id == IPPROTO_UDP, "no UDP behind IPv4");
    need(h->ip4->hdr_checksum == 0, "IPv4's checksum is not the card's to add to");
}

/* The card adds the rest to what stands in the field. */
static void check_pseudo_sum(const struct headers *h, bool has_length)
{
    uint64_t flags = has_length ? 0 : RTE_MBUF_F_TX_TCP_SEG;
    uint16_t sum =
        h->ip4 != NULL ? rte_ipv4_phdr_cksum(h->ip4, flags) : rte_ipv6_phdr_cksum(h->ip6, flags);

    need(h->udp->dgram_cksum == sum, "UDP's field does not hold the pseudo-header's sum");
}

static void check_flags(const struct card *card, const struct rte_mbuf *mbuf)
{
    uint64_t flags = mbuf->ol_flags & ~card->port.traits.launch_flag;
    uint64_t version = flags & (RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6);
    uint64_t known = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_IP_CKSUM |
                     RTE_MBUF_F_TX_UDP_CKSUM | RTE_MBUF_F_TX_UDP_SEG;

    need((flags & ~known) == 0, "flags that were not asked for");
    need(version == RTE_MBUF_F_TX_IPV4 || version == RTE_MBUF_F_TX_IPV6, "which version of IP?");
    need((version == RTE_MBUF_F_TX_IPV4) == ((flags & RTE_MBUF_F_TX_IP_CKSUM) != 0),
         "IPv4's checksum, and only that, is to be computed");
    need(rte_validate_tx_offload(mbuf) == 0, "flags that contradict each other");
}

static void check_chain(const struct card *card, const struct rte_mbuf *mbuf,
                        const struct headers *h)
{
    uint32_t payload = mbuf->pkt_len - h->size;
    uint32_t buffers = 0;
    uint32_t at = 0; /* in the payload */

    need(card->config.segments_max > 1, "nobody said that it segments");
    need((mbuf->ol_flags & RTE_MBUF_F_TX_L4_MASK) == 0, "segmentation computes sums by itself");
    need(mbuf->nb_segs <= card->config.segments_max, "more buffers than it takes");
    need(mbuf->l4_len == sizeof(*h->udp), "l4_len is not UDP's");
    need(mbuf->tso_segsz >= SEGMENT_LEAST, "segments too small");
    need(mbuf->tso_segsz + h->size - ETHER <= card->port.traits.mtu, "segments over the MTU");
    need(payload > mbuf->tso_segsz, "nothing to segment");
    need(mbuf->pkt_len - ETHER <= IP_MOST, "more than an IP packet holds");
    for (const struct rte_mbuf *m = mbuf; m != NULL; m = m->next, buffers++) {
        uint32_t size = m == mbuf ? m->data_len - h->size : m->data_len;

        need(size > 0, "an empty buffer");
        need(at % mbuf->tso_segsz == 0 && size <= mbuf->tso_segsz,
             "a segment begins inside a buffer: some are of more than two");
        need(m == mbuf || m->ol_flags == 0, "flags behind the first buffer");
        at += size;
    }
    need(at == payload && buffers == mbuf->nb_segs, "the chain is not as long as it says");
}

static void check_launch(struct card *card, const struct rte_mbuf *mbuf)
{
    uint64_t launch = *RTE_MBUF_DYNFIELD(mbuf, card->port.traits.launch_offset, const uint64_t *);
    double now = (double)mr_clock_now(&card->clock) * card->config.ticks_per_ns +
                 (double)card->config.ticks_off;
    double behind = ((double)launch - now) / card->config.ticks_per_ns;

    if (launch <= card->last_launch)
        atomic_fetch_add(&card->stats.back, 1);
    need((double)launch > (double)card->last_launch - BACK_NS * card->config.ticks_per_ns,
         "a launch time before the one before");
    need(behind <= MR_LAUNCH_AHEAD_MAX, "a launch time far ahead");
    if (behind < -LATE_NS)
        atomic_fetch_add(&card->stats.late, 1);
    card->last_launch = launch;
    atomic_fetch_add(&card->stats.stamped, 1);
}

/* ------------------------------------------------------------------ doing it */

static void compute_sums(struct headers *h)
{
    h->udp->dgram_cksum = 0;
    if (h->ip4 != NULL) {
        h->ip4->hdr_checksum = 0;
        h->ip4->hdr_checksum = rte_ipv4_cksum(h->ip4);
        h->udp->dgram_cksum = rte_ipv4_udptcp_cksum(h->ip4, h->udp);
    } else {
        h->udp->dgram_cksum = rte_ipv6_udptcp_cksum(h->ip6, h->udp);
    }
}

static void send_frame(struct card *card, struct rte_mbuf *mbuf)
{
    mbuf->ol_flags = 0;
    if (mr_port_tx_burst(card->inner, 0, &mbuf, 1) == 1)
        return;
    rte_pktmbuf_free(mbuf);
    atomic_fetch_add(&card->stats.lost, 1);
}

/* One datagram of a chain: headers as they stand, lengths and sums its own. */
static void send_segment(struct card *card, struct rte_mbuf *chain, const struct headers *of,
                         uint32_t from, uint32_t size)
{
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(card->pool);
    uint16_t udp_size = (uint16_t)(sizeof(struct rte_udp_hdr) + size);

    if (mbuf == NULL) {
        atomic_fetch_add(&card->stats.lost, 1);
        return;
    }
    uint8_t *to = (void *)rte_pktmbuf_append(mbuf, (uint16_t)(of->size + size));
    need(to != NULL, "a datagram does not fit a buffer");
    memcpy(to, of->frame, of->size);
    const void *data = rte_pktmbuf_read(chain, of->size + from, size, to + of->size);
    if (data != to + of->size)
        memcpy(to + of->size, data, size);
    mbuf->l2_len = ETHER;
    mbuf->l3_len = chain->l3_len;
    struct headers h = headers_of(mbuf);
    h.udp->dgram_len = rte_cpu_to_be_16(udp_size);
    if (h.ip4 != NULL)
        h.ip4->total_length = rte_cpu_to_be_16((uint16_t)(udp_size + sizeof(*h.ip4)));
    else
        h.ip6->payload_len = rte_cpu_to_be_16(udp_size);
    compute_sums(&h);
    send_frame(card, mbuf);
}

static void send_chain(struct card *card, struct rte_mbuf *mbuf, const struct headers *h)
{
    uint32_t payload = mbuf->pkt_len - h->size;

    for (uint32_t at = 0; at < payload && !card->config.is_liar; at += mbuf->tso_segsz)
        send_segment(card, mbuf, h, at, MR_MIN((uint32_t)mbuf->tso_segsz, payload - at));
    atomic_fetch_add(&card->stats.chains, 1);
    if (mbuf->nb_segs > atomic_load(&card->stats.longest))
        atomic_store(&card->stats.longest, mbuf->nb_segs);
    rte_pktmbuf_free(mbuf);
}

static void take(struct card *card, struct rte_mbuf *mbuf)
{
    const char *reason = "";
    uint64_t launch = mbuf->ol_flags & card->port.traits.launch_flag;

    need(rte_mbuf_check(mbuf, 1, &reason) == 0, reason);
    atomic_fetch_add(&card->stats.frames, 1);
    if (launch != 0)
        check_launch(card, mbuf);
    if (mbuf->ol_flags == launch) { /* ARP and such */
        need(mbuf->nb_segs == 1, "several buffers");
        send_frame(card, mbuf);
        return;
    }
    struct headers h = headers_of(mbuf);
    bool is_chain = (mbuf->ol_flags & RTE_MBUF_F_TX_UDP_SEG) != 0;

    check_flags(card, mbuf);
    check_lengths(mbuf, &h);
    check_pseudo_sum(&h, !is_chain);
    if (is_chain) {
        check_chain(card, mbuf, &h);
        send_chain(card, mbuf, &h);
        return;
    }
    need(mbuf->nb_segs == 1, "several buffers without segmentation");
    need((mbuf->ol_flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_UDP_CKSUM, "no sum is wanted");
    compute_sums(&h);
    send_frame(card, mbuf);
}

/* ------------------------------------------------------------------ a port */

static struct card *card_of(const struct mr_port *port)
{
    return (struct card *)(uintptr_t)port;
}

static uint16_t card_rx(struct mr_port *port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t n)
{
    return mr_port_rx_burst(card_of(port)->inner, queue, mbufs, n);
}

static uint16_t card_tx(struct mr_port *port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t n)
{
    struct card *card = card_of(port);
    uint16_t taken = n;

    need(queue == 0, "one queue is what it has");
    if (n == 0)
        return 0;
    need(card->refused == NULL || mbufs[0] == card->refused, "what it refused does not come first");
    card->refused = NULL;
    if (card->config.refuses_each > 0 && ++card->bursts % card->config.refuses_each == 0) {
        taken = n / 2;
        card->refused = mbufs[taken];
        atomic_fetch_add(&card->stats.refused, 1);
    }
    for (uint16_t i = 0; i < taken; i++)
        take(card, mbufs[i]);
    return taken;
}

static void card_port_stats(const struct mr_port *port, struct mr_port_stats *out)
{
    mr_port_stats(card_of(port)->inner, out);
}

static bool card_is_up(const struct mr_port *port)
{
    return mr_port_is_up(card_of(port)->inner);
}

static int card_read_clock(const struct mr_port *port, uint64_t *ticks)
{
    const struct card *card = card_of(port);

    *ticks = (uint64_t)((double)mr_clock_now(&card->clock) * card->config.ticks_per_ns) +
             card->config.ticks_off;
    return 0;
}

static void card_close(struct mr_port *port)
{
    mr_port_close(card_of(port)->inner);
    free(port);
}

struct mr_port *card_open(struct mr_port *inner, const struct card_config *config,
                          struct rte_mempool *pool)
{
    static const struct mr_port_ops ops = {.rx_burst = card_rx,
                                           .tx_burst = card_tx,
                                           .stats = card_port_stats,
                                           .is_up = card_is_up,
                                           .read_clock = card_read_clock,
                                           .close = card_close};
    struct card *card = calloc(1, sizeof(*card));
    int offset = 0;

    need(card != NULL && !inner->traits.is_vouched, "no memory, or a wire that vouches");
    card->port = *inner;
    card->port.ops = &ops;
    card->port.traits.tx_ipv4_checksum = true;
    card->port.traits.tx_udp_checksum = true;
    card->port.traits.segments_max = config->segments_max;
    if (config->launches)
        need(rte_mbuf_dyn_tx_timestamp_register(&offset, &card->port.traits.launch_flag) == 0,
             "no room for launch times");
    card->port.traits.launch_offset = (uint32_t)offset;
    card->inner = inner;
    card->pool = pool;
    card->config = *config;
    card->clock = mr_clock_init();
    return &card->port;
}

const struct card_stats *card_stats(const struct mr_port *card)
{
    return &card_of(card)->stats;
}
