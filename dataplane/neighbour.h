/*
 * dataplane/neighbour.h - which Ethernet address has this IP address on our link?
 *
 * One cache for ARP and neighbour discovery, RFC 4861, Section 7.3, simplified:
 *
 *     (none) --used--> INCOMPLETE --answer--> REACHABLE --30 s--> STALE --used--> PROBE
 *                       |                         ^                 ^               | |
 *                       |                         +---- answer -----|---------------+ |
 *                       +--3 unanswered--> FAILED (3 s)   heard of -+   3 unanswered: forgotten
 *
 * The cache sends nothing: it names solicitations to send (mr_neighbour_take_solicit()) and
 * packets whose wait is over (mr_neighbour_take_released()).
 *
 * What is believed.  An answer while a solicitation of ours is out, by all but static entries.
 * Anything else (a request to us, a claim, the sender of a packet, an answer that nobody asked for)
 * makes an address that is INCOMPLETE, STALE or FAILED STALE with what it says; it never changes
 * the address of REACHABLE and PROBE, nor of gateways.  But when it contradicts REACHABLE, unless
 * it is a mere packet, that becomes PROBE and everybody on the link is asked, so that a host that
 * got another Ethernet address is found at once and a liar is not believed for it.  Requests and
 * packets also enter unknown addresses, as STALE.
 *
 * Owner: one shard.  Threads: the shard's only.
 * Limits: all in struct mr_neighbour_limits.  A full cache evicts the failed or else least
 * recently used entry that is neither static, gateway nor waited for, among the MR_NEIGHBOUR_WAYS
 * in which its address may lie; none: MR_NEIGHBOUR_FULL.
 */
#ifndef MR_DATAPLANE_NEIGHBOUR_H
#define MR_DATAPLANE_NEIGHBOUR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/net_addr.h"
#include "dataplane/net_counters.h"

#define MR_NEIGHBOUR_WAITING_MAX  8 /* packets that wait for one neighbour */
#define MR_NEIGHBOUR_PROBES_MAX   3 /* solicitations without answer */
#define MR_NEIGHBOUR_RETRANS_NS   UINT64_C(1000000000)
#define MR_NEIGHBOUR_REACHABLE_NS UINT64_C(30000000000)
#define MR_NEIGHBOUR_FAILED_NS    UINT64_C(3000000000)
#define MR_NEIGHBOUR_WAYS         8                  /* entries that one address may lie in */
#define MR_NEIGHBOUR_UPDATES_MAX  32                 /* not taken yet; more are forgotten */
#define MR_NEIGHBOUR_TICK_NS      UINT64_C(10000000) /* timers are this late at most */

enum mr_neighbour_state {
    MR_NEIGHBOUR_NONE,
    MR_NEIGHBOUR_INCOMPLETE,
    MR_NEIGHBOUR_REACHABLE,
    MR_NEIGHBOUR_STALE,
    MR_NEIGHBOUR_PROBE,
    MR_NEIGHBOUR_FAILED
};

enum mr_neighbour_answer {
    MR_NEIGHBOUR_KNOWN,  /* *mac_out is set */
    MR_NEIGHBOUR_WAIT,   /* being resolved: queue the packet with mr_neighbour_wait(), or drop it */
    MR_NEIGHBOUR_FULL,   /* no entry free, or over the rate of new resolutions */
    MR_NEIGHBOUR_UNKNOWN /* did not answer lately */
};

/* How somebody's Ethernet address came to be known. */
enum mr_neighbour_source {
    MR_NEIGHBOUR_ANSWER,  /* ARP reply or neighbour advertisement to us */
    MR_NEIGHBOUR_REQUEST, /* its own request for an address of ours */
    MR_NEIGHBOUR_CLAIM,   /* gratuitous ARP, unsolicited advertisement */
    MR_NEIGHBOUR_TRAFFIC, /* seen as the sender of a packet */
    MR_NEIGHBOUR_SHARED   /* another shard of this process learned it by an answer */
};

struct mr_neighbour_limits {
    uint32_t entries_max;    /* a power of two >= MR_NEIGHBOUR_WAYS */
    uint32_t waiting_max;    /* packets that wait in all, a power of two */
    uint32_t new_per_second; /* resolutions and doubts begun; more: MR_NEIGHBOUR_FULL, ignored */
};

/* A solicitation to send. */
struct mr_neighbour_solicit {
    struct mr_ip ip;
    struct mr_mac mac; /* of the last known address; used if `is_unicast` */
    bool is_unicast;
};

/* A packet whose wait is over. */
struct mr_neighbour_released {
    void *packet;
    struct mr_mac mac; /* of the neighbour, if `is_resolved` */
    bool is_resolved;  /* else it did not answer: drop the packet */
};

/* Something learned by an answer, for the other shards: give it to each as MR_NEIGHBOUR_SHARED. */
struct mr_neighbour_update {
    struct mr_ip ip;
    struct mr_mac mac;
};

struct mr_neighbours;

/* Memory: one block, laid out from the limits.  `key` seeds the keyed hash of addresses. */
size_t mr_neighbours_footprint(const struct mr_neighbour_limits *limits);
struct mr_neighbours *mr_neighbours_init(void *mem, const struct mr_neighbour_limits *limits,
                                         const uint8_t key[16], struct mr_net_counters *counters);

/* Look `ip` up (an on-link unicast address); begins a resolution or probe where one is needed. */
enum mr_neighbour_answer mr_neighbour_resolve(struct mr_neighbours *table, const struct mr_ip *ip,
                                              struct mr_mac *mac_out, uint64_t now);

/* Let `packet` wait for `ip`, which was just answered with MR_NEIGHBOUR_WAIT.  False: too many
 * wait; it stays the caller's. */
bool mr_neighbour_wait(struct mr_neighbours *table, const struct mr_ip *ip, void *packet);

/* `ip` is said to be at `mac`.  Believed or not as the head of this file says. */
void mr_neighbour_learn(struct mr_neighbours *table, const struct mr_ip *ip,
                        const struct mr_mac *mac, enum mr_neighbour_source source, uint64_t now);

/* Enter a static address; false if its ways are full of such. */
bool mr_neighbour_set_static(struct mr_neighbours *table, const struct mr_ip *ip,
                             const struct mr_mac *mac);

/* Enter a gateway: never evicted, believes only answers; false as above. */
bool mr_neighbour_set_gateway(struct mr_neighbours *table, const struct mr_ip *ip);

/* Let time pass: retransmit, fail, age. */
void mr_neighbour_expire(struct mr_neighbours *table, uint64_t now);

/* When mr_neighbour_expire() has something to do; UINT64_MAX: nothing. */
uint64_t mr_neighbour_deadline(const struct mr_neighbours *table);

/* Take one of each; false: none. */
bool mr_neighbour_take_solicit(struct mr_neighbours *table,
                               struct mr_neighbour_solicit *solicit_out);
bool mr_neighbour_take_released(struct mr_neighbours *table,
                                struct mr_neighbour_released *released_out);
bool mr_neighbour_take_update(struct mr_neighbours *table, struct mr_neighbour_update *update_out);

/* End every wait as unresolved, so that mr_neighbour_take_released() gives all packets back. */
void mr_neighbour_release_all(struct mr_neighbours *table);

/* A number that changes whenever an Ethernet address that was given out may have become wrong. */
uint32_t mr_neighbour_generation(const struct mr_neighbours *table);

enum mr_neighbour_state mr_neighbour_state(const struct mr_neighbours *table,
                                           const struct mr_ip *ip);
uint32_t mr_neighbour_count(const struct mr_neighbours *table);
uint32_t mr_neighbour_waiting_count(const struct mr_neighbours *table);

/* Panic unless every invariant holds. */
void mr_neighbour_check(const struct mr_neighbours *table);

#endif /* MR_DATAPLANE_NEIGHBOUR_H */
