/*
 * quic/sent_late.h - packets that were declared lost, and are acknowledged after all.
 *
 * Lost packets are remembered for a while (mr_sent_release()), as bits of their chunks. That one of
 * them is acknowledged says two things: nothing was lost, and the path reorders. From then on
 * packets count as lost by what came later only if more of it came than this time, at most
 * MR_SENT_THRESHOLD_MAX packets (RFC 9002, Section 6.1.1); the time threshold stays. Losses in
 * earnest lead back.
 *
 * Owner, threads: struct mr_sent's.  Nothing allocates or fails.
 */
#ifndef MR_QUIC_SENT_LATE_H
#define MR_QUIC_SENT_LATE_H

#include "quic/sent.h"

/* A walk over the packets of one ACK range that were declared lost. */
struct mr_sent_late {
    struct mr_sent *sent;
    struct mr_sent_range known; /* what of the range is remembered */
    uint64_t pn;                /* of the chunk looked at; above known.hi: the end */
    uint32_t bits;              /* of it: LOST, in the range, and not told yet */
};

/* Begin: for each range before mr_sent_ack_begin(), if there are LOST records at all. */
void mr_sent_late_begin(struct mr_sent_late *late, struct mr_sent *sent,
                        struct mr_sent_range range);

/* The next packet: LOST becomes ACKED, ascending, and the threshold may rise; NULL: the end. */
struct mr_sent_packet *mr_sent_late_next(struct mr_sent_late *late, uint64_t *pn_out);

/* Packets were lost in earnest: an eighth of what reordering has added to the threshold goes. */
void mr_sent_relax_threshold(struct mr_sent *sent);

#endif /* MR_QUIC_SENT_LATE_H */
