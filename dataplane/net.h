/*
 * dataplane/net.h - one shard's network layer: frames to datagrams, datagrams to frames, and all
 * that lies below UDP.
 *
 *     port --mbufs--> mr_net_receive() --datagrams--> endpoint
 *                        | ARP, NDP, ICMP: answered, learned, counted
 *                        v
 *     port <--mbufs-- mr_net_output()   packets of our own, datagrams whose neighbour was found
 *     port <--mbufs-- mr_net_send() <--datagrams-- endpoint
 *
 * Every mbuf that is given in is given on or freed; every frame that goes nowhere is counted by its
 * reason.
 *
 * Owner: one shard.  Threads: the shard's only; counters may be read by any.
 * Limits: MR_NET_OUTPUT_MAX packets of our own wait for output, MR_NET_EVENTS_MAX ICMP events to be
 * taken (more: counted, forgotten); waiting datagrams and neighbours as in struct
 * mr_neighbour_limits.
 */
#ifndef MR_DATAPLANE_NET_H
#define MR_DATAPLANE_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "dataplane/icmp.h"
#include "dataplane/neighbour.h"
#include "dataplane/net_addr.h"
#include "dataplane/net_counters.h"
#include "dataplane/net_parse.h"

struct mr_datagram;    /* quic/endpoint.h */
struct mr_outgoing;    /* quic/endpoint.h */
struct mr_port_traits; /* drivers/port.h */
struct mr_net;

#define MR_NET_BURST      64 /* most mbufs in one call */
#define MR_NET_OUTPUT_MAX 64 /* packets of our own, a power of two */
#define MR_NET_EVENTS_MAX 32 /* ICMP events, a power of two */

struct mr_net_config {
    struct mr_net_self self; /* a zero MAC: the port's */
    struct mr_ip gateway4;   /* unspecified (all zero): none */
    struct mr_ip gateway6;   /* unspecified: none */
    uint8_t key[16];         /* of keyed hashes and flow labels; random per start */
    struct mr_neighbour_limits neighbours;
    uint32_t path_count;         /* prepared headers, a power of two; more paths share places */
    uint32_t answers_per_second; /* ARP, NDP and ICMP answers; more are dropped and counted */
    bool learns_from_traffic;    /* a datagram's sender enters the cache without being asked: reply
                                    path caching */
    bool detects_duplicates; /* DAD for own IPv6 addresses, an ARP probe and then gratuitous ARP for
                                IPv4: in one shard of a port only */
    const struct mr_port_traits *port; /* borrowed; checksum offloads, MAC */
    struct rte_mempool *pool;          /* for packets of our own; borrowed */
};

/* Sensible limits, rates and no addresses. */
struct mr_net_config mr_net_config_default(void);

/* Memory: one block of mr_net_footprint() bytes, aligned to 64. */
size_t mr_net_footprint(const struct mr_net_config *config);
struct mr_net *mr_net_init(void *mem, const struct mr_net_config *config, uint64_t now);

/* Free every mbuf it holds. */
void mr_net_fini(struct mr_net *net);

/* Let datagrams to UDP port `port` in, or no longer.  None is open at first. */
void mr_net_open_port(struct mr_net *net, uint16_t port);
void mr_net_close_port(struct mr_net *net, uint16_t port);
bool mr_net_has_port(const struct mr_net *net, uint16_t port); /* is it open? */

/*
 * Judge `count` <= MR_NET_BURST received frames; write the UDP datagrams for open ports of ours to
 * `out` in order of arrival and return how many.  Their mbufs are the caller's, through
 * datagram->buf (references 0); all others are freed.
 */
uint32_t mr_net_receive(struct mr_net *net, struct rte_mbuf **mbufs, uint32_t count,
                        struct mr_datagram *out, uint64_t now);

/*
 * Put headers in front of `count` <= MR_NET_BURST datagrams: mbufs[i] holds outgoing[i], whose data
 * is rte_pktmbuf_mtod() of it with at least MR_NET_HEADER_MAX bytes of headroom.  Writes the frames
 * to `ready_out` (may be `mbufs`) and returns how many; the others wait for their neighbour, or
 * have nowhere to go and were freed and counted.  To a port that segments, datagrams that go the
 * same way become one frame in several mbufs (dataplane/net_chain.h).
 */
uint32_t mr_net_send(struct mr_net *net, struct rte_mbuf **mbufs,
                     const struct mr_outgoing *outgoing, uint32_t count,
                     struct rte_mbuf **ready_out, uint64_t now);

/* From now on such frames, if the port segments and computes sums; or none, as at first. */
void mr_net_use_chains(struct mr_net *net, bool is_used);

/* Take at most `room` frames that the network layer itself wants sent.  Cheap when there are none.
 */
uint32_t mr_net_output(struct mr_net *net, struct rte_mbuf **mbufs_out, uint32_t room);

/* Let time pass; when that must happen at the latest, UINT64_MAX: not at all. */
void mr_net_expire(struct mr_net *net, uint64_t now);
uint64_t mr_net_deadline(const struct mr_net *net);

/* Take one ICMP error about a datagram of ours; false: none. */
bool mr_net_take_icmp(struct mr_net *net, struct mr_icmp_event *event_out);

/* Take what was learned of neighbours, for the other shards of the port, which are told with
 * mr_net_learn().  False: nothing. */
bool mr_net_take_update(struct mr_net *net, struct mr_neighbour_update *update_out);
void mr_net_learn(struct mr_net *net, const struct mr_neighbour_update *update, uint64_t now);

/* Enter `ip` at `mac` for ever; false if there is no room. */
bool mr_net_set_neighbour(struct mr_net *net, const struct mr_ip *ip, const struct mr_mac *mac);

/* The own address to reach `remote` from; false: there is none of its family, or no route. */
bool mr_net_source_for(const struct mr_net *net, const struct mr_ip *remote,
                       struct mr_ip *local_out);

const struct mr_net_counters *mr_net_counters(const struct mr_net *net);

/* Who we are now: an IPv6 address that another host turned out to have is gone. */
const struct mr_net_self *mr_net_self(const struct mr_net *net);

#endif /* MR_DATAPLANE_NET_H */
