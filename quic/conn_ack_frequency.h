/*
 * quic/conn_ack_frequency.h - how often acknowledgments come (draft-ietf-quic-ack-frequency): what
 * the peer asks of ours, and what we ask of its.
 *
 *     their ACK_FREQUENCY --> struct mr_ack_policy  --> our ACKs        (conn_recv.c, decide_ack)
 *     our window, RTT     --> struct mr_ack_request --> our ACK_FREQUENCY, their max_ack_delay
 *
 * The rule by which we ask.  Once per round trip, with an ACK, the wish is looked at:
 *     in slow start    an ACK after 2 packets, as without the extension: the window grows by them;
 *     with Prague      the same: a rare ACK lets out many packets at once, which a queue of a
 *                      millisecond marks;
 *     beyond it        after an eighth of the window, 2 to MR_ACK_ASK_MAX packets, so that eight
 *                      come in a round trip at least;
 *     at the latest    a quarter of the smoothed round trip after a packet, not longer than the
 *                      peer's own max_ack_delay, not less than its min_ack_delay;
 *     reordering       MR_SENT_PACKET_THRESHOLD, at which our loss detection begins.
 * It is sent if a number of it has doubled or halved since the last, and no other is on its way: at
 * most one is in flight.  A probe of the PTO carries IMMEDIATE_ACK.
 *
 * Owner: the connection.  Threads: the shard's only.
 */
#ifndef MR_QUIC_CONN_ACK_FREQUENCY_H
#define MR_QUIC_CONN_ACK_FREQUENCY_H

#include "quic/conn.h"

/* Both structs as a connection begins; `conn` is in HANDSHAKE. */
void mr_ack_frequency_init(struct mr_conn *conn);

/* The peer's min_ack_delay is known: it takes the frames. */
void mr_ack_request_begin(struct mr_conn *conn, uint64_t min_delay_us);

/* The handlers of their frames. */
bool mr_on_ack_frequency(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_immediate_ack(struct mr_rx *rx, struct mr_reader *r, uint64_t type);

/* The ack-eliciting packet calls for an ACK at once: RFC 9000, Section 13.2.1, or as the peer asked
 * (the draft's Sections "Response to Out-of-Order Packets" and "Expediting ECN Signals").
 * `is_next`: its number follows the largest.  Before `space->was_ce` is brought up to date. */
bool mr_ack_wants_now(const struct mr_rx *rx, bool is_next);

/* A missing packet is so far behind that the peer could declare it lost, and was not told: with a
 * Reordering Threshold over 1. */
bool mr_ack_is_reordering_due(const struct mr_conn *conn);

/* An ACK has come: is there something else to ask for?  At most once per round trip. */
void mr_ack_request_review(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);

/* The ACK_FREQUENCY with `sequence` was acknowledged; or lost: true if another is to be sent. */
void mr_ack_request_on_acked(struct mr_conn *conn, uint64_t sequence);
bool mr_ack_request_on_lost(struct mr_conn *conn, uint64_t sequence);

#endif /* MR_QUIC_CONN_ACK_FREQUENCY_H */
