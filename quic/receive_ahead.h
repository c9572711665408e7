/*
 * quic/receive_ahead.h - what the packets of a burst touch beyond their connections, asked for
 * while there is something else to do.  Of more connections than caches hold, each packet finds all
 * of it cold, one miss behind the other:
 *
 *     connection -> record of its oldest packet in flight -> further frames -> stream
 *                -> timer -> its neighbours in the wheel
 *     stream     -> segment, place in the table, number
 *
 * Each step is done for a whole burst, so that the misses of its packets overlap.
 *
 * Owner, threads: the endpoint's.
 */
#ifndef MR_QUIC_RECEIVE_AHEAD_H
#define MR_QUIC_RECEIVE_AHEAD_H

#include "quic/conn.h"

/* Before it is looked at: the lines of a connection that a burst touches.  `index`: as the table of
 * connection IDs says, nothing is asked for unless it is a connection's that is awake. */
void mr_receive_ask_conn(const struct mr_endpoint *ep, uint32_t index);
/* Before the packets are opened: records and timers. */
void mr_receive_ask_records(const struct mr_endpoint *ep);
/* When they are: what the records name, and what that names. */
void mr_receive_ask_streams(const struct mr_endpoint *ep);

#endif /* MR_QUIC_RECEIVE_AHEAD_H */
