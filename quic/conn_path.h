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
/* When those that are issued now are too old. */
static inline uint64_t mr_cid_due(const struct mr_endpoint *ep, uint64_t now)
{
    return ep->config.cid_renew_ns == 0 ? MR_NEVER : now + ep->config.cid_renew_ns;
}
/* They are, or of an earlier configuration. */
static inline bool mr_cid_is_due(const struct mr_endpoint *ep, const struct mr_conn *conn,
                                 uint64_t now)
{
    return ((conn->cid_config != ep->config.cid.config) | (now >= conn->cids_due_ns)) != 0;
}
/* Ask the peer to go over to new connection IDs of ours, and to retire all others; nothing happens
 * while it has not yet done so since the last time. */
void mr_cid_renew(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);
void mr_cid_forget_all(struct mr_endpoint *ep, struct mr_conn *conn);
void mr_cid_forget_hand(struct mr_endpoint *ep, struct mr_conn *conn); /* of the path in hand */
/* The NEW_CONNECTION_ID of the one in `slot`.  False: it is sent, or there is none. */
bool mr_cid_next_new(struct mr_endpoint *ep, const struct mr_conn *conn, uint32_t slot,
                     struct mr_frame_new_connection_id *out);
/* What the two frames say of the path in hand.  False: the connection failed. */
bool mr_cid_take_new(struct mr_rx *rx, const struct mr_frame_new_connection_id *frame,
                     uint64_t type);
bool mr_cid_take_retired(struct mr_rx *rx, uint64_t sequence, uint64_t type);
static inline struct mr_peer_cid *mr_cid_current(struct mr_conn *conn)
{
    return &conn->peer_cids[conn->peer_cid_current];
}
/* A CID of the peer's that no path was used with; MR_NONE: there is none. */
uint32_t mr_cid_unused(const struct mr_endpoint *ep, const struct mr_conn *conn);
/* Use the CID in `slot` on the path in use from now on. */
void mr_cid_switch(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t slot);
/* No path needs the CID in `slot` any more, unless one does: it is retired. */
void mr_cid_release(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t slot);
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

/* ---- the path in use, conn_path.c ---- */

/* Congestion control, round trip, pacer and MTU as at the beginning. */
void mr_path_start(struct mr_endpoint *ep, struct mr_path *path, uint64_t now);
/* Only ports differ, if anything. */
static inline bool mr_path_is_same_network(const struct mr_path_addr *a,
                                           const struct mr_path_addr *b)
{
    return memcmp(a->remote.ip, b->remote.ip, sizeof(a->remote.ip)) == 0 &&
           memcmp(a->local.ip, b->local.ip, sizeof(a->local.ip)) == 0;
}
/* The CID of the peer's to answer a packet with that came by another path: the one in use where
 * only a NAT can have changed the address, else one of its own (RFC 9000, Section 9.5); MR_NONE:
 * there is none left (counted). */
uint32_t mr_path_choose_cid(const struct mr_rx *rx);
/* A packet is about to be handled that came by another path than the one in use.  False: it must be
 * dropped (counted). */
bool mr_path_admits(const struct mr_rx *rx);
/* The same packet was handled; RFC 9000, Section 9.3. */
void mr_path_on_packet(struct mr_rx *rx);
void mr_path_validated(struct mr_endpoint *ep, struct mr_conn *conn);

/* A datagram came, whatever it holds, and the path in use is not validated: three times its bytes
 * may be sent there.  For a connection that is touched. */
MR_COLD void mr_path_heard(struct mr_endpoint *ep, struct mr_conn *conn,
                           const struct mr_datagram *datagram);
/* The path in use was validated after a migration: a server gives its client a token for the IP
 * address, if it is another one than before (RFC 9000, Section 8.1.3).  So there are no more of
 * them than addresses from which a challenge was answered. */
void mr_path_give_token(struct mr_endpoint *ep, struct mr_conn *conn);
/* Validate the path in use. */
void mr_path_check_in_use(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);
/* Go on by the path `to` with the CID in `slot`; the extra holds MR_EXTRA_PATH_KEPT.  The path that
 * is left is kept if it was validated.  Whether `to` is validated, and what may be sent there, is
 * the caller's to say. */
void mr_path_switch(struct mr_endpoint *ep, struct mr_conn *conn, const struct mr_path_addr *to,
                    uint32_t slot, uint64_t now);
/* Answer no challenge that has come so far. */
void mr_path_forget_responses(struct mr_endpoint *ep, struct mr_conn *conn);
void mr_path_expire(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);
/* Set path_due_ns from the validations that run, and the keep-alive. */
void mr_path_update_due(struct mr_endpoint *ep, struct mr_conn *conn);
/* A packet that was sent by another path than the one in use is acknowledged or lost. */
void mr_path_gone_elsewhere(struct mr_endpoint *ep, struct mr_conn *conn,
                            const struct mr_sent_packet *packet);

/* ---- paths beside it, conn_side.c ---- */

struct mr_side_path *mr_side(const struct mr_endpoint *ep, const struct mr_conn *conn,
                             enum mr_side which); /* NULL: there is none */
/* The one with this address; NULL. */
struct mr_side_path *mr_side_find(const struct mr_endpoint *ep, const struct mr_conn *conn,
                                  const struct mr_path_addr *addr);
/* The kept path has congestion control of its own, in the extra's `kept`: it differs from the path
 * in use in more than a port. */
bool mr_side_has_control(const struct mr_endpoint *ep, const struct mr_conn *conn);
bool mr_side_uses_cid(const struct mr_endpoint *ep, const struct mr_conn *conn, uint32_t slot);
/* The peer wants the CID in `slot` retired. */
void mr_side_lost_cid(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t slot);
/* Take a CID from a side path, which is given up; MR_NONE. */
uint32_t mr_side_take_cid(struct mr_endpoint *ep, struct mr_conn *conn);
/* It has a connection ID: one that was retired may have given way to another.  False: there is
 * none.
 */
bool mr_side_has_cid(const struct mr_endpoint *ep, const struct mr_conn *conn,
                     struct mr_side_path *side);
/* Begin to probe `addr` with the CID in `slot`; NULL: no extra is free (counted). */
struct mr_side_path *mr_side_open(struct mr_endpoint *ep, struct mr_conn *conn,
                                  const struct mr_path_addr *addr, uint32_t slot, uint64_t now);
/* The same, of the path that the packet came by. */
struct mr_side_path *mr_side_open_to(struct mr_rx *rx);
/* The newest packet shows that only a NAT has changed the address of the candidate: it is probed
 * there, with its connection ID (RFC 9000, Section 9.5).  NULL: it shows no such thing. */
struct mr_side_path *mr_side_rebound(struct mr_rx *rx);
/* A challenge came by another path than the one in use: may it be answered there?  One that nobody
 * knew becomes the candidate. */
bool mr_side_on_challenge(struct mr_rx *rx);
/* A packet of the candidate's or the kept path's came: bytes to answer with. */
void mr_side_on_packet(struct mr_rx *rx);
/* PATH_RESPONSE: true if it was for one of them. */
bool mr_side_on_response(struct mr_rx *rx, const uint8_t data[MR_PATH_DATA]);
/* Validate it (again), or for a kept one: hear whether it still lives. */
void mr_side_probe(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_side_path *side,
                   uint64_t now);
void mr_side_expire(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);
void mr_side_close(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_side which);
/* Bytes that may be sent there now. */
uint64_t mr_side_room(const struct mr_side_path *side);
/* The side that wants to send a challenge; NULL. */
struct mr_side_path *mr_side_next(const struct mr_endpoint *ep, const struct mr_conn *conn);

/* ---- a client that goes elsewhere, conn_migrate.c ---- */

/* The handshake is confirmed: to the server's preferred address, if it has one. */
void mr_migrate_to_preferred(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);
/* The candidate is validated: go there. */
void mr_migrate_finish(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);
/* Is it a preferred address of ours, of a server? */
bool mr_migrate_is_preferred(const struct mr_endpoint *ep, const struct mr_addr *local);
/* The newest non-probing packet came to another address of ours; `side`: by that path, NULL.  It is
 * followed if it is the preferred one, and the path is validated (RFC 9000, Section 9.6.2). */
void mr_preferred_on_packet(struct mr_rx *rx, struct mr_side_path *side);
void mr_preferred_finish(struct mr_rx *rx);

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
/* How many of `count` packets like `packet`, the last with number `last_pn`, carried the ECN mark
 * of the path in use. */
static inline uint64_t mr_path_count_marked(const struct mr_conn *conn,
                                            const struct mr_sent_packet *packet, uint64_t last_pn,
                                            uint32_t count)
{
    uint64_t first_pn = conn->path.ecn.first_pn;

    if ((packet->flags & MR_SENT_ECT) == 0 || last_pn < first_pn)
        return 0;
    return MR_MIN((uint64_t)count, last_pn - first_pn + 1);
}

#endif /* MR_QUIC_CONN_PATH_H */
