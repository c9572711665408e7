/*
 * quic/delivery.h - how fast the path delivers: one rate sample per ACK frame (draft-ietf-ccwg-bbr,
 * Section "Delivery Rate Samples").
 *
 * The draft keeps six numbers with every packet in flight.  The record of a sent packet
 * (quic/sent_packet.h) has no room for them, and packets that leave within a small part of a round
 * trip would have the same; so they are kept here, once for each such group, in a ring:
 *
 *     snapshot[i]     sent_ns   delivered, lost, in flight, ... as they were then
 *       oldest ------------------------------------------> newest      gap: srtt / 32
 *
 * A packet's snapshot is the newest that is not newer than the packet, found by the time of sending
 * that its record has.  128 snapshots reach back four round trips; a packet older than all gives no
 * sample.
 *
 * Owner: who embeds it.  Threads: the connection's shard.  Nothing allocates or fails.
 */
#ifndef MR_QUIC_DELIVERY_H
#define MR_QUIC_DELIVERY_H

#include <stdbool.h>
#include <stdint.h>

#define MR_DELIVERY_SNAPSHOTS 128 /* a power of two */
#define MR_DELIVERY_PER_RTT   32

struct mr_delivery_snapshot {
    uint64_t sent_ns;       /* of the first packet of the group */
    uint64_t delivered;     /* bytes in all, when it was sent; also the two below */
    uint64_t delivered_ns;  /* when that was brought up to date */
    uint64_t first_sent_ns; /* sending of the packet that was delivered last */
    uint64_t in_flight;     /* bytes, once the group was sent */
    uint64_t lost;          /* bytes in all, when it was sent */
    bool is_app_limited;
};

struct mr_delivery {
    uint64_t delivered; /* bytes, in all */
    uint64_t delivered_ns;
    uint64_t first_sent_ns;
    uint64_t lost;        /* bytes, in all */
    uint64_t app_limited; /* until `delivered` is above it; 0: not limited */
    uint64_t gap_ns;      /* between snapshots, at least */
    uint32_t oldest;      /* snapshots are numbered; those from `oldest` to `next` are there */
    uint32_t next;
    struct mr_delivery_snapshot snapshots[MR_DELIVERY_SNAPSHOTS];
};

/* What one ACK frame says. */
struct mr_delivery_sample {
    double rate;              /* bytes per ns; 0: none */
    uint64_t rtt_ns;          /* 0: none */
    uint64_t newly_acked;     /* bytes */
    uint64_t delivered;       /* bytes, over the sample's interval */
    uint64_t prior_delivered; /* bytes, when the packet was sent */
    uint64_t in_flight;       /* bytes, when it had been sent */
    uint64_t lost;            /* bytes lost since */
    bool has_data;            /* the packet's snapshot was there */
    bool is_app_limited;
};

void mr_delivery_init(struct mr_delivery *delivery, uint64_t now);

/* Snapshots are to be so close that a round trip has MR_DELIVERY_PER_RTT of them. */
static inline void mr_delivery_set_rtt(struct mr_delivery *delivery, uint64_t smoothed_ns)
{
    delivery->gap_ns = smoothed_ns / MR_DELIVERY_PER_RTT;
}

/* Packets were sent; `in_flight` has them already, `was_idle`: nothing was before. */
void mr_delivery_on_sent(struct mr_delivery *delivery, uint64_t in_flight, bool was_idle,
                         uint64_t now);

/* What was known when the packet sent at `sent_ns` went out; NULL: too long ago.  O(log). */
const struct mr_delivery_snapshot *mr_delivery_find(const struct mr_delivery *delivery,
                                                    uint64_t sent_ns);

/*
 * `bytes` were newly acknowledged, the newest of them sent at `sent_ns`; a sample over less than
 * `min_rtt_ns` has no rate.
 */
void mr_delivery_on_acked(struct mr_delivery *delivery, uint64_t bytes, uint64_t sent_ns,
                          uint64_t min_rtt_ns, uint64_t now, struct mr_delivery_sample *out);

/* There is nothing to send, and the window has room: what is in flight shows no limit. */
static inline void mr_delivery_limit(struct mr_delivery *delivery, uint64_t in_flight)
{
    uint64_t until = delivery->delivered + in_flight;

    delivery->app_limited = until > 0 ? until : 1;
}

/* Panic unless every invariant holds. */
void mr_delivery_check(const struct mr_delivery *delivery);

#endif /* MR_QUIC_DELIVERY_H */
