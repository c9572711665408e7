/*
 * dataplane/steer.h - which shard is a received frame for?  Asked by who receives for all of them
 * (dataplane/io_port.h), as a NIC's steering would be.
 *
 *     connection ID of ours    the shard that is written into it (quic/cid.h)
 *     any other                by a keyed hash of addresses and ports: whoever gets the first
 *                              Initial of a connection gets what is sent again
 *     no QUIC (ARP, ICMP)      shard 0, which tells the others what they need
 *
 * A guess, from a few bytes: nothing is verified.  The shard judges the frame, and passes on what
 * is another's after all.
 *
 * Owner: whoever made it.  Threads: any, after mr_steer_init().
 */
#ifndef MR_DATAPLANE_STEER_H
#define MR_DATAPLANE_STEER_H

#include <stdint.h>

#include "drivers/wire_rss.h"
#include "quic/cid.h"

struct mr_steer {
    struct mr_cid_format cid; /* of any shard */
    uint32_t shard_count;
    struct mr_rss rss;
};

/* `key`: nobody outside knows it. */
void mr_steer_init(struct mr_steer *steer, const struct mr_cid_format *cid, uint32_t shard_count,
                   const uint8_t key[MR_RSS_KEY_SIZE]);

/* The shard, < shard_count, of a frame of `size` bytes from its destination address on. */
uint32_t mr_steer_frame(const struct mr_steer *steer, const uint8_t *frame, uint32_t size);

#endif /* MR_DATAPLANE_STEER_H */
