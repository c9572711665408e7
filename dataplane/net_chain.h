/*
 * dataplane/net_chain.h - datagrams of a burst that go the same way become one frame, which the
 * port cuts up again (UDP_TSO).
 *
 *     | headers | datagram | --next--> | datagram | --next--> | shorter |     tso_segsz = the
 * first's written once, for all of it      as they are, without headers
 *
 * A chain goes on while the path, the ECN mark and the time of leaving are the same and datagrams
 * are as long as its first; a shorter one ends it.  Nothing is copied, and order stays: a chain is
 * one frame to the port, which takes it whole or not at all.
 *
 * Owner: who embeds it, for a burst.  Threads: the owner's.
 * Limits: the port's number of datagrams; 64 KiB of an IP packet.
 */
#ifndef MR_DATAPLANE_NET_CHAIN_H
#define MR_DATAPLANE_NET_CHAIN_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "dataplane/net_build.h"
#include "quic/endpoint.h"

#define MR_NET_CHAIN_LEAST                                                                         \
    256                          /* bytes of a chain's first datagram: cards refuse small segments \
                                  */
#define MR_NET_CHAIN_BYTES 65535 /* of an IP packet */

struct mr_net_chain {
    struct rte_mbuf *head; /* NULL: there is none */
    struct rte_mbuf *tail;
    const struct mr_outgoing *first;
    const struct mr_net_header *header; /* prepared; of the first's path */
    uint32_t count;                     /* datagrams */
    uint32_t room;                      /* bytes left */
    bool is_ended;                      /* by a shorter one */
};

/* Begin a chain with `mbuf`, which has its headers: they are its path's, at `header`, until the
 * chain is closed. */
static inline void mr_net_chain_begin(struct mr_net_chain *chain, struct rte_mbuf *mbuf,
                                      const struct mr_outgoing *first,
                                      const struct mr_net_header *header)
{
    *chain = (struct mr_net_chain){.head = mbuf,
                                   .tail = mbuf,
                                   .first = first,
                                   .header = header,
                                   .count = 1,
                                   .room = MR_NET_CHAIN_BYTES + header->l3_offset - mbuf->pkt_len,
                                   .is_ended = first->size < MR_NET_CHAIN_LEAST};
}

/* Add `mbuf`, which holds `next` and no headers, if it may belong to the chain of at most `most`
 * datagrams. */
static inline bool mr_net_chain_add(struct mr_net_chain *chain, struct rte_mbuf *mbuf,
                                    const struct mr_outgoing *next, uint32_t most)
{
    if (chain->head == NULL || chain->is_ended || chain->count >= most ||
        next->size > chain->first->size || next->size > chain->room ||
        next->ecn != chain->first->ecn || next->hold_ns != chain->first->hold_ns ||
        !mr_path_addr_equal(&next->path, &chain->first->path))
        return false;
    mbuf->data_len = (uint16_t)next->size;
    chain->tail->next = mbuf;
    chain->tail = mbuf;
    chain->count++;
    chain->room -= next->size;
    chain->is_ended = next->size < chain->first->size;
    return true;
}

/* The chain is as long as it gets: say so in its first mbuf.  Returns how many datagrams it has. */
static inline uint32_t mr_net_chain_close(struct mr_net_chain *chain)
{
    struct rte_mbuf *head = chain->head;
    const struct mr_net_header *header = chain->header;
    uint32_t count = chain->count;

    chain->head = NULL;
    chain->count = 0;
    if (count < 2)
        return count;
    uint32_t headers = header->size;
    head->pkt_len = MR_NET_CHAIN_BYTES + header->l3_offset - chain->room;
    head->nb_segs = (uint16_t)count;
    head->ol_flags = (head->ol_flags & ~RTE_MBUF_F_TX_L4_MASK) | RTE_MBUF_F_TX_UDP_SEG;
    head->tx_offload =
        rte_mbuf_tx_offload(header->l3_offset, (uint64_t)(header->l4_offset - header->l3_offset),
                            headers - header->l4_offset, chain->first->size, 0, 0, 0);
    mr_net_header_cover(header, rte_pktmbuf_mtod(head, uint8_t *), head->pkt_len - headers);
    return count;
}

#endif /* MR_DATAPLANE_NET_CHAIN_H */
