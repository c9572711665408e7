/*
 * drivers/wire_rss.h - receive side scaling in software, as a NIC does it: Toeplitz hash, then a
 * table of queues.
 *
 * The hash of the 4-tuple is the sum (XOR) of one table entry per byte, so it costs 12 or 36 loads,
 * not a loop over bits.
 *
 * Owner: a wire's sending direction.  Threads: read by any while nobody changes the table of
 * queues.
 */
#ifndef MR_DRIVERS_WIRE_RSS_H
#define MR_DRIVERS_WIRE_RSS_H

#include <stdint.h>

#define MR_RSS_KEY_SIZE   40 /* bytes */
#define MR_RSS_TUPLE_MAX  36 /* bytes hashed: two IPv6 addresses, two ports */
#define MR_RSS_RETA_COUNT 128

struct mr_rss {
    uint16_t reta[MR_RSS_RETA_COUNT]; /* the queue of a hash */
    uint32_t byte[MR_RSS_TUPLE_MAX][256];
};

/* Prepare the tables for `key`; queues 0..queue_count-1 in turn. */
void mr_rss_init(struct mr_rss *rss, const uint8_t key[MR_RSS_KEY_SIZE], uint16_t queue_count);

/* The Toeplitz hash of `size` <= MR_RSS_TUPLE_MAX bytes. */
uint32_t mr_rss_hash_bytes(const struct mr_rss *rss, const uint8_t *bytes, uint32_t size);

/*
 * The hash of an Ethernet frame of which `size` bytes are at hand: over addresses and ports of UDP
 * and TCP that is not fragmented, over addresses of other IP, 0 of all else.  One VLAN tag is
 * skipped.
 */
uint32_t mr_rss_hash_frame(const struct mr_rss *rss, const uint8_t *frame, uint32_t size);

static inline uint16_t mr_rss_queue(const struct mr_rss *rss, uint32_t hash)
{
    return rss->reta[hash % MR_RSS_RETA_COUNT];
}

#endif /* MR_DRIVERS_WIRE_RSS_H */
