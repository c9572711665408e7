/*
 * quic/conn_timer.h - what quic/conn_timer.c does for one path.  As in quic/conn.h.
 */
#ifndef MR_QUIC_CONN_TIMER_H
#define MR_QUIC_CONN_TIMER_H

#include "quic/conn.h"

/* Do what is due for the path in hand: losses, probes, pacing, ACKs, validation. */
void mr_conn_expire_path(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);

#endif /* MR_QUIC_CONN_TIMER_H */
