/*
 * drivers/port_chain.h - a chain of datagrams that a port is to cut up (drivers/port_offload.h),
 * and how one of them is taken out of it before.
 *
 *     headers | 0 --> 1 --> 2 --> 3        headers | 0 --> 2 --> 3        headers | 2 --> 3
 *                                          without 1                      without 0 and 1
 *
 * Owner: whoever holds the frame.  Threads: that one's.
 */
#ifndef MR_DRIVERS_PORT_CHAIN_H
#define MR_DRIVERS_PORT_CHAIN_H

#include <stdint.h>

#include <rte_mbuf.h>

/* Datagrams that the port makes of a frame of UDP. */
static inline uint32_t mr_port_chain_count(const struct rte_mbuf *frame)
{
    return (frame->ol_flags & RTE_MBUF_F_TX_UDP_SEG) != 0 ? frame->nb_segs : 1;
}

/*
 * Take datagram `index` < mr_port_chain_count(frame) out and free it.  Returns the frame without
 * it: another mbuf, with the same headers, if it was the first; an ordinary frame, with its sums
 * left to the port as before, if only one is left; NULL if there was only one.  Lengths in the
 * headers are those of what is left.  O(index).
 */
struct rte_mbuf *mr_port_chain_drop(struct rte_mbuf *frame, uint32_t index);

#endif /* MR_DRIVERS_PORT_CHAIN_H */
