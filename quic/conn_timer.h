/*
 * quic/conn_timer.h - what quic/conn_timer.c and conn_keep_alive.c do for one path.  As in
 * quic/conn.h.
 */
#ifndef MR_QUIC_CONN_TIMER_H
#define MR_QUIC_CONN_TIMER_H

#include "quic/conn.h"

/* Set the timer to just the deadline, earlier or later: for when what it was set for is over. */
void mr_conn_timer_exact(struct mr_endpoint *ep, struct mr_conn *conn);

/* mr_conn_timer_update() or the above, after a burst or a visit: the latter where the connection
 * has come to rest, or `is_over`, what the timer was set for. */
void mr_conn_timer_settle(struct mr_endpoint *ep, struct mr_conn *conn, bool is_over);

/* Do what is due for the path in hand: losses, probes, pacing, ACKs, validation. */
void mr_conn_expire_path(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);

#define MR_KEEP_ALIVE_MAX     32u /* PINGs without stream data in between; then no more */
#define MR_KEEP_ALIVE_DOUBLED 10u /* the silence before each doubles so often */

/* When a client's path in hand has been silent for too long; may be past, or for nothing; MR_NEVER:
 * no answer is awaited, or config.keep_alive_ns is 0. */
uint64_t mr_keep_alive_due(const struct mr_endpoint *ep, const struct mr_conn *conn);

/* A stream was opened: set its deadline. */
void mr_keep_alive_begin(struct mr_endpoint *ep, struct mr_conn *conn);

/* Send the PING if it is due.  Returns when to look again, later than `now`; MR_NEVER. */
uint64_t mr_keep_alive_expire(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);

#endif /* MR_QUIC_CONN_TIMER_H */
