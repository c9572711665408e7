/*
 * quic/follow.h - do a connection's datagrams arrive at another shard, so that it should be there?
 *
 *     arrivals    2 2 2 2 ... 2        MR_FOLLOW_DATAGRAMS in a row at shard 2: go there
 *                 2 2 3 2 2 ...        now here, now there: stay
 *     numbers     101 ... 160          and the peer sent about as many: most came that way,
 *                                      and they were no forgeries, which count no packet number
 *
 * Only datagrams that another shard passed on are noted: one that arrives where its connection is
 * costs nothing.
 *
 * Owner: one in each connection; empty when it is all zero.  Threads: the connection's shard.
 */
#ifndef MR_QUIC_FOLLOW_H
#define MR_QUIC_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

#define MR_FOLLOW_DATAGRAMS 64

struct mr_follow {
    uint32_t since_pn; /* low half of the largest packet number when the first of them had come */
    uint16_t shard;    /* where they arrived */
    uint16_t count;    /* in a row */
};

/*
 * A datagram of the connection arrived at `shard` and was passed on; `largest_pn` is the largest
 * packet number that came from the peer.  True: that is where the connection should be, and
 * counting begins anew.
 */
bool mr_follow_note(struct mr_follow *follow, uint16_t shard, uint64_t largest_pn);

#endif /* MR_QUIC_FOLLOW_H */
