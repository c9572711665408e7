/*
 * quic/conn_path.h - what the files of the trunk call of each other for connection IDs and paths.
 *
 * As in quic/conn.h, which includes it.
 */
#ifndef MR_QUIC_CONN_PATH_H
#define MR_QUIC_CONN_PATH_H

#include "quic/conn_receive.h"

/* Issue one more CID: registered in the table, its frame wanted.  False: none may be issued. */
bool mr_cid_issue(struct mr_endpoint *ep, struct mr_conn *conn);
void mr_cid_issue_all(struct mr_endpoint *ep, struct mr_conn *conn);
/* The peer has retired all that it must. */
bool mr_cid_has_retired_all(const struct mr_conn *conn);
/* Ask the peer to go over to new connection IDs of ours, and to retire all others; nothing happens
 * while it has not yet done so since the last time. */
void mr_cid_renew(struct mr_endpoint *ep, struct mr_conn *conn);
void mr_cid_forget_all(struct mr_endpoint *ep, struct mr_conn *conn);
static inline struct mr_peer_cid *mr_cid_current(struct mr_conn *conn)
{
    return &conn->peer_cids[conn->peer_cid_current];
}
/* Use an unused CID of the peer's from now on, and retire the current one; false: there is none. */
bool mr_cid_rotate(struct mr_endpoint *ep, struct mr_conn *conn);
/* The current peer CID or its reset token has changed: keep the endpoint's table of tokens true. */
void mr_cid_track_token(struct mr_endpoint *ep, struct mr_conn *conn);
void mr_cid_untrack_token(struct mr_endpoint *ep, struct mr_conn *conn);
/* The NEW_CONNECTION_ID with `sequence` is acknowledged, or lost: true if it is to be sent again.
 */
void mr_cid_on_announce_acked(struct mr_conn *conn, uint64_t sequence);
bool mr_cid_on_announce_lost(struct mr_conn *conn, uint64_t sequence);
/* The RETIRE_CONNECTION_ID with `sequence` is acknowledged, or lost: true if it is to be sent
 * again. */
void mr_cid_on_retire_acked(struct mr_conn *conn, uint64_t sequence);
bool mr_cid_on_retire_lost(struct mr_conn *conn, uint64_t sequence);

/* A packet came from another address; RFC 9000, Section 9.3.  Call after the packet was processed.
 */
void mr_path_on_packet(struct mr_rx *rx);
void mr_path_validated(struct mr_endpoint *ep, struct mr_conn *conn);
/* Answer no challenge that has come so far. */
void mr_path_forget_responses(struct mr_endpoint *ep, struct mr_conn *conn);
void mr_path_expire(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);
/* Bytes that may be sent before the peer's address is validated. */
uint64_t mr_path_room(const struct mr_conn *conn);
/* What the packets of a path carry while it bears ECN: enum mr_ecn. */
static inline uint8_t mr_path_codepoint(const struct mr_endpoint *ep)
{
    uint8_t codepoint = ep->config.cc == MR_CC_PRAGUE ? MR_ECN_ECT1 : MR_ECN_ECT0;

    return ep->config.has_ecn ? codepoint : MR_ECN_NOT_ECT;
}
/* The search for the path's MTU begins.  A probe of `size` was acknowledged, or lost. */
void mr_mtu_begin(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);
void mr_mtu_on_acked(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t size, uint64_t now);
void mr_mtu_on_lost(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t size, uint64_t now);
/* Packet `pn`, larger than the base, was lost.  Nothing large passes any more. */
void mr_mtu_on_large_lost(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t pn, uint64_t now);
void mr_mtu_on_black_hole(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);
/* A probe waits for room in the window, or it is time to search again. */
MR_COLD void mr_mtu_resume(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);
static inline void mr_mtu_refresh(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    const struct mr_mtu_search *search = &conn->mtu_search;

    if (search->target != 0 ? !search->is_in_flight : now >= search->raise_ns)
        mr_mtu_resume(ep, conn, now);
}
/* A part of the connections is asked whether the oldest message of mr_endpoint_too_big() is for
 * them. */
void mr_endpoint_expire_too_big(struct mr_endpoint *ep, uint64_t now);
/*
 * Begin congestion control of a path, as configured; CUBIC if BBR finds no model (counted).  End it
 * before beginning anew, and before the path goes.
 */
void mr_path_begin_control(struct mr_endpoint *ep, struct mr_path *path, uint64_t now);
void mr_path_end_control(struct mr_endpoint *ep, struct mr_path *path);
void mr_pacer_refresh(struct mr_conn *conn, uint64_t now);
#endif /* MR_QUIC_CONN_PATH_H */
