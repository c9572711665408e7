/*
 * dataplane/net_internal.h - what net.c (datagrams) and net_own.c (ARP, NDP, ICMP) share.
 *
 * Owner: one shard.  Threads: the shard's only.
 */
#ifndef MR_DATAPLANE_NET_INTERNAL_H
#define MR_DATAPLANE_NET_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "dataplane/net.h"
#include "dataplane/net_build.h"

/* The prepared headers of a path.  Of use while generation is the neighbours' and it is not time to
 * look again. */
struct mr_net_path {
    struct mr_path_addr path;
    uint32_t generation;
    uint64_t recheck_ns; /* 0: never prepared */
    struct mr_net_header header;
} MR_ALIGNED(MR_CACHE_LINE);

/* `rate` things a second, and as many at once. */
struct mr_net_bucket {
    uint64_t rate;
    uint64_t tokens; /* in 1 / 10^9 */
    uint64_t at_ns;
};

struct mr_net {
    struct mr_net_config config; /* read-mostly */
    struct mr_net_self self;     /* without addresses that turned out to be another's */
    enum mr_net_sum_mode ip_mode;
    enum mr_net_sum_mode udp_mode;
    uint64_t tx_flags4; /* of mbufs sent */
    uint64_t tx_flags6;
    uint32_t chain_max; /* datagrams that the port makes of one frame; 0, 1: none are made */
    struct mr_neighbours *neighbours;
    struct mr_net_path *paths;
    struct mr_net_path *last_path; /* of the datagram sent last */
    uint64_t path_key[2];
    struct mr_ip last_source; /* learns_from_traffic: whom it learned last */
    struct mr_mac last_source_mac;
    struct mr_net_bucket answers;

    struct rte_mbuf *output[MR_NET_OUTPUT_MAX]; /* a ring; counts run freely */
    uint32_t output_begin;
    uint32_t output_end;
    struct mr_icmp_event events[MR_NET_EVENTS_MAX]; /* likewise */
    uint32_t events_begin;
    uint32_t events_end;

    uint64_t tentative_until_ns; /* own IPv6 addresses may still turn out to be another's; 0: no
                                    longer */
    uint64_t announce_at_ns;     /* IPv4 addresses, if no other host has them; 0: it is done */
    uint64_t open_ports[65536 / 64];
    struct mr_net_counters counters;
};

/* A frame that is not UDP, judged by mr_net_parse(). */
struct mr_net_visit {
    struct rte_mbuf *mbuf;
    uint8_t *data;
    uint32_t size;
    bool is_sum_good;
    enum mr_net_kind kind;
    struct mr_net_packet packet;
    struct mr_path_addr path;
};

/* Answer, learn, report.  True if the mbuf is used for the answer; else it is the caller's to free.
 */
bool mr_net_handle_own(struct mr_net *net, struct mr_net_visit *visit, uint64_t now);

/* Begin: look for others with our addresses. */
void mr_net_probe(struct mr_net *net, uint64_t now);

/* Nobody answered for our IPv4 addresses: announce them. */
void mr_net_announce(struct mr_net *net);

/* Write the solicitations that the neighbour cache wants sent to the output. */
void mr_net_solicit(struct mr_net *net);

/* Queue a frame of ours; true: the mbuf is taken, else it is still the caller's, and counted. */
bool mr_net_push_output(struct mr_net *net, struct rte_mbuf *mbuf);

#endif /* MR_DATAPLANE_NET_INTERNAL_H */
