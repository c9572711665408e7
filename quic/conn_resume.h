/*
 * quic/conn_resume.h - a server's connections begin with what it knew of the path: Careful Resume
 * (RFC 9959; quic/resume.h).
 *
 * What is known travels in the NEW_TOKEN tokens that the client is given, encrypted and bound to
 * its address: one as the handshake is over, another whenever the path has carried twice as much as
 * the last one says, or congestion left less than half of it.
 *
 * Owner: the connection.  Threads: the shard's only.
 */
#ifndef MR_QUIC_CONN_RESUME_H
#define MR_QUIC_CONN_RESUME_H

#include "quic/conn.h"

/* A server's new connection, of whose path `saved` is known; all zero: nothing. */
void mr_conn_resume_begin(struct mr_endpoint *ep, struct mr_conn *conn,
                          const struct mr_saved_path *saved);

/* An ACK frame, after mr_cc_on_acked(): it may be due to jump, or to tell the client. */
void mr_conn_resume_on_acked(struct mr_endpoint *ep, struct mr_conn *conn,
                             const struct mr_cc_ack *ack, uint64_t now);

/* The window was reduced for congestion. */
void mr_conn_resume_on_congestion(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);

/* The path in use is about to be left: what was learned of it is not the next one's. */
void mr_conn_resume_leave_path(struct mr_endpoint *ep, struct mr_conn *conn);

/* What a token for the client is to say of the path in use. */
struct mr_saved_path mr_conn_saved_path(const struct mr_endpoint *ep, const struct mr_conn *conn);

/* True if mr_conn_resume_on_acked() may have something to do. */
static inline bool mr_conn_resume_is_due(const struct mr_conn *conn)
{
    return conn->extra != MR_NONE || mr_cc_window(&conn->path.cc) >= conn->tell_window;
}

#endif /* MR_QUIC_CONN_RESUME_H */
