/* drivers/port_chain.c - see port_chain.h. */
#include "drivers/port_chain.h"

#include <string.h>

#include <rte_ip.h>
#include <rte_udp.h>

#include "base/assert.h"

static uint32_t headers_size(const struct rte_mbuf *frame)
{
    return (uint32_t)(frame->l2_len + frame->l3_len + frame->l4_len);
}

/* The headers and all that is said of the chain, in front of its second buffer; the first one,
 * which is freed, had room for them, and so has this. */
static struct rte_mbuf *drop_first(struct rte_mbuf *head)
{
    struct rte_mbuf *next = head->next;
    uint16_t size = (uint16_t)headers_size(head);
    uint32_t left = head->pkt_len - (head->data_len - size);
    char *to = rte_pktmbuf_prepend(next, size);

    MR_ASSERT(to != NULL);
    memcpy(to, rte_pktmbuf_mtod(head, const char *), size);
    memcpy(next->dynfield1, head->dynfield1, sizeof(next->dynfield1)); /* when it is to leave */
    next->ol_flags = head->ol_flags;
    next->tx_offload = head->tx_offload;
    next->nb_segs = (uint16_t)(head->nb_segs - 1);
    next->pkt_len = left;
    rte_pktmbuf_free_seg(head);
    return next;
}

static void drop_later(struct rte_mbuf *head, uint32_t index)
{
    struct rte_mbuf *before = head;

    while (--index > 0)
        before = before->next;
    struct rte_mbuf *lost = before->next;

    before->next = lost->next;
    head->nb_segs--;
    head->pkt_len -= lost->data_len;
    rte_pktmbuf_free_seg(lost);
}

/* A chain's sum of the pseudo-header has no length in it, and stays; that of a datagram alone has.
 */
static void write_lengths(struct rte_mbuf *frame)
{
    uint8_t *ip = rte_pktmbuf_mtod_offset(frame, uint8_t *, frame->l2_len);
    struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(void *)(ip + frame->l3_len);
    struct rte_ipv4_hdr *ip4 = (struct rte_ipv4_hdr *)(void *)ip;
    struct rte_ipv6_hdr *ip6 = (struct rte_ipv6_hdr *)(void *)ip;
    bool is_ip4 = (frame->ol_flags & RTE_MBUF_F_TX_IPV4) != 0;
    uint16_t udp_size = (uint16_t)(frame->pkt_len - frame->l2_len - frame->l3_len);

    udp->dgram_len = rte_cpu_to_be_16(udp_size);
    if (is_ip4)
        ip4->total_length = rte_cpu_to_be_16((uint16_t)(frame->l3_len + udp_size));
    else
        ip6->payload_len = rte_cpu_to_be_16(udp_size);
    if (frame->nb_segs > 1)
        return;
    frame->ol_flags = (frame->ol_flags & ~RTE_MBUF_F_TX_UDP_SEG) | RTE_MBUF_F_TX_UDP_CKSUM;
    frame->l4_len = 0;
    frame->tso_segsz = 0;
    udp->dgram_cksum = is_ip4 ? rte_ipv4_phdr_cksum(ip4, 0) : rte_ipv6_phdr_cksum(ip6, 0);
}

struct rte_mbuf *mr_port_chain_drop(struct rte_mbuf *frame, uint32_t index)
{
    MR_ASSERT(index < mr_port_chain_count(frame));
    if (mr_port_chain_count(frame) == 1) {
        rte_pktmbuf_free(frame);
        return NULL;
    }
    if (index == 0)
        frame = drop_first(frame);
    else
        drop_later(frame, index);
    write_lengths(frame);
    return frame;
}
