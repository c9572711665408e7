/*
 * quic/conn_early.h - what the files of the trunk call of each other for 0-RTT.
 *
 *     client  connect with a ticket -> remembered limits -> secret: streams may be opened
 *             -> handshake complete: accepted, or everything is sent again as 1-RTT data
 *     server  secret: 0-RTT packets are read; the application is told before the handshake is
 *             complete, and once more when it is
 *
 * RFC 9000, Section 7.4.1; RFC 9001, Section 4.6.  Threads: the shard's only.
 */
#ifndef MR_QUIC_CONN_EARLY_H
#define MR_QUIC_CONN_EARLY_H

#include "quic/conn.h"

/* What a 0-RTT packet may hold of what we send (RFC 9000, Section 12.5; RFC 9001, Section 4.1.4).
 */
#define MR_WANTS_EARLY                                                                             \
    ((uint32_t)(MR_WANT_MAX_DATA | MR_WANT_MAX_STREAMS_BIDI | MR_WANT_MAX_STREAMS_UNI |            \
                MR_WANT_DATA_BLOCKED | MR_WANT_STREAMS_BLOCKED_BIDI |                              \
                MR_WANT_STREAMS_BLOCKED_UNI | MR_WANT_STREAM_CONTROL | MR_WANT_STREAM |            \
                MR_WANT_PING | MR_WANT_DATAGRAM))

/* Server: what all that a client remembers from a ticket depends on, in one number. */
uint64_t mr_early_tag(const struct mr_endpoint *ep);

/* Client: remember the limits in the ticket, if it has some.  True: 0-RTT may be offered. */
bool mr_conn_early_remember(struct mr_handshake *hs, const struct mr_connect_options *options);

/* The 0-RTT secret is there.  False: no memory for keys. */
bool mr_conn_early_install(struct mr_endpoint *ep, struct mr_conn *conn,
                           const struct mr_secret *secret, bool is_write);

/* Client: the server's limits are known, which replace the remembered ones.  False: the connection
 * failed. */
bool mr_conn_early_params(struct mr_endpoint *ep, struct mr_conn *conn,
                          const struct mr_transport_params *params, uint64_t now);

/* Client: the handshake is complete; was 0-RTT accepted?  False: the connection failed. */
bool mr_conn_early_settle(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_tls_early early,
                          uint64_t now);

/* Server: its flight is out, and 0-RTT is accepted: tell the application. */
void mr_conn_early_accept(struct mr_endpoint *ep, struct mr_conn *conn);

/* Server: it is time to forget the keys of 0-RTT, perhaps. */
void mr_conn_early_expire(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);

/* Client: there will be no 0-RTT after all.  False: the connection failed. */
bool mr_conn_early_drop(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);

/* Nothing that was sent counts as sent any more: the streams begin again.  False: the connection
 * failed. */
bool mr_conn_early_rewind(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);

#endif /* MR_QUIC_CONN_EARLY_H */
