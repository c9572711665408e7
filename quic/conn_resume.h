/*
 * quic/conn_resume.h - connections begin with what an earlier one knew of the path: Careful Resume
 * (RFC 9959; quic/resume.h).
 *
 * What a server knows travels in the NEW_TOKEN tokens that the client is given, encrypted and bound
 * to its address: one as the handshake is over, another whenever the path has carried twice as much
 * as the last one says, or congestion left less than half of it.
 *
 * What a client knows is in its ticket, of which it is told as often: the past, bound to both
 * addresses by their bytes.  The peer cannot write it, and the application's file is the client's
 * own; what it says is bounded by quic/resume.h whoever wrote it.
 *
 *     window (4) | round trip, us (4) | wall clock, s (8) | local IP (16) | remote IP (16)
 *
 * Owner: the connection.  Threads: the shard's only.
 */
#ifndef MR_QUIC_CONN_RESUME_H
#define MR_QUIC_CONN_RESUME_H

#include "quic/conn.h"
#include "quic/tls_ticket.h"

/* A new connection, of whose path `saved` is known; all zero: nothing. */
void mr_conn_resume_begin(struct mr_endpoint *ep, struct mr_conn *conn,
                          const struct mr_saved_path *saved);

/* An ACK frame, after mr_cc_on_acked(): it may be due to jump, or to tell the client, or the
 * application of one. */
void mr_conn_resume_on_acked(struct mr_endpoint *ep, struct mr_conn *conn,
                             const struct mr_cc_ack *ack, uint64_t now);

/* The window was reduced for congestion. */
void mr_conn_resume_on_congestion(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);

/* The path in use is about to be left: what was learned of it is not the next one's. */
void mr_conn_resume_leave_path(struct mr_endpoint *ep, struct mr_conn *conn);

/* What a client that connects has in its ticket, which may be NULL: all zero if that is of another
 * path, or older than MR_RESUME_LIFETIME_S. */
struct mr_saved_path mr_conn_past_read(const struct mr_endpoint *ep, const struct mr_conn *conn,
                                       const uint8_t *past, uint64_t now);

/* What a client's ticket is to say of the path in use.  False: nothing, all zero. */
bool mr_conn_past_write(const struct mr_endpoint *ep, const struct mr_conn *conn, uint64_t now,
                        uint8_t past[MR_TICKET_PAST_SIZE]);

/* What a token or ticket for the client is to say of the path in use. */
struct mr_saved_path mr_conn_saved_path(const struct mr_endpoint *ep, const struct mr_conn *conn);

/* True if mr_conn_resume_on_acked() may have something to do. */
static inline bool mr_conn_resume_is_due(const struct mr_conn *conn)
{
    return conn->extra != MR_NONE || mr_cc_window(&conn->path.cc) >= conn->tell_window;
}

#endif /* MR_QUIC_CONN_RESUME_H */
