/*
 * dataplane/net_counters.h - everything the network layer counts, one name each.
 *
 * The name is the counter's in millrace ctl, Prometheus and the documents.  Counted by one shard,
 * read by any thread (relaxed; a reader may be a packet behind).
 */
#ifndef MR_DATAPLANE_NET_COUNTERS_H
#define MR_DATAPLANE_NET_COUNTERS_H

#include <stdint.h>

/* X(name, what one count means) */
#define MR_NET_COUNTERS(X)                                                                         \
    X(net_rx_udp, "UDP datagrams for an open port of ours")                                        \
    X(net_rx_arp, "ARP packets")                                                                   \
    X(net_rx_icmp, "ICMP and ICMPv6 packets, neighbour discovery included")                        \
    X(net_rx_linearised, "frames in several buffers, copied together")                             \
    X(net_drop_runt, "dropped: shorter than its headers")                                          \
    X(net_drop_vlan, "dropped: another VLAN's, or tagged where we are untagged, or the reverse")   \
    X(net_drop_qinq, "dropped: two VLAN tags")                                                     \
    X(net_drop_ethertype, "dropped: neither IP nor ARP")                                           \
    X(net_drop_not_our_mac, "dropped: another station's frame")                                    \
    X(net_drop_source_mac, "dropped: sent from a group address or from our own")                   \
    X(net_drop_ip_version, "dropped: version field and Ethernet type disagree")                    \
    X(net_drop_ip_header, "dropped: IPv4 header length under 20 or past the packet")               \
    X(net_drop_ip_length, "dropped: IP length under its header or over the frame")                 \
    X(net_drop_ip_checksum, "dropped: wrong IPv4 header checksum")                                 \
    X(net_drop_fragment, "dropped: an IP fragment")                                                \
    X(net_drop_source_route, "dropped: IPv4 source route or IPv6 routing header")                  \
    X(net_drop_extension, "dropped: IPv6 extension headers unknown, too many, or past the packet") \
    X(net_drop_source_ip, "dropped: source address is ours, a group's, or nobody's")               \
    X(net_drop_not_our_ip, "dropped: another host's address")                                      \
    X(net_drop_broadcast, "dropped: UDP to a broadcast or multicast address")                      \
    X(net_drop_protocol, "dropped: neither UDP nor ICMP")                                          \
    X(net_drop_udp_length, "dropped: UDP length under 8 or over the IP packet")                    \
    X(net_drop_udp_checksum, "dropped: wrong UDP checksum, or none over IPv6")                     \
    X(net_drop_udp_port, "dropped: UDP to a port that is not open, or from port 0")                \
    X(net_drop_buffers, "dropped: in several buffers, too long or no room to copy together")       \
    X(net_drop_arp, "dropped: malformed or lying ARP packet")                                      \
    X(net_drop_icmp, "dropped: malformed, unwanted or lying ICMP packet")                          \
    X(net_drop_icmp_rate, "dropped: ICMP and ARP answers over the rate limit")                     \
    X(net_drop_no_mbuf, "dropped: no buffer for an ARP, NDP or ICMP packet of our own")            \
    X(net_drop_output_full, "dropped: the queue of packets of our own is full")                    \
    X(net_icmp_too_big, "ICMP packet too big that quotes a packet of ours")                        \
    X(net_icmp_unreachable, "ICMP unreachable that quotes a packet of ours")                       \
    X(net_icmp_event_full, "ICMP events forgotten: nobody took them")                              \
    X(net_tx_udp, "UDP datagrams given to the port's queue")                                       \
    X(net_tx_chains, "frames that the port cut into several UDP datagrams")                        \
    X(net_tx_chained, "UDP datagrams in these")                                                    \
    X(net_tx_arp, "ARP packets sent")                                                              \
    X(net_tx_ndp, "neighbour discovery packets sent")                                              \
    X(net_tx_echo, "echo replies sent")                                                            \
    X(net_tx_no_route, "not sent: no route to the address, or no address of ours for it")          \
    X(net_tx_waiting_full, "not sent: too many packets wait for that neighbour")                   \
    X(net_tx_unresolved, "not sent: the neighbour does not answer")                                \
    X(net_neighbour_learned, "neighbours that became known, or known anew")                        \
    X(net_neighbour_changed, "neighbours whose Ethernet address changed")                          \
    X(net_neighbour_refused,                                                                       \
      "Ethernet addresses not believed: unasked, for the gateway or static")                       \
    X(net_neighbour_evicted, "neighbours forgotten to make room")                                  \
    X(net_neighbour_full, "neighbours not entered: every entry is in use")                         \
    X(net_dad_conflict, "own addresses that another host already uses")

struct mr_net_counters {
#define X(name, help) uint64_t name;
    MR_NET_COUNTERS(X)
#undef X
};

/* Add to a counter of this thread's own; other threads may read it. */
static inline void mr_net_count(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

#endif /* MR_DATAPLANE_NET_COUNTERS_H */
