/*
 * quic/conn_multipath.h - what the files of the trunk call of each other for several paths of a
 * connection (draft-ietf-quic-multipath).  As in quic/conn.h.
 *
 *     conn_multipath.c         memory, the path in hand, timers
 *     conn_multipath_cid.c     connection IDs of each path
 *     conn_multipath_frame.c   frames from the peer
 *     conn_multipath_send.c    which path sends; frames to the peer
 *     conn_multipath_open.c    opening, abandoning, status: the application's side
 */
#ifndef MR_QUIC_CONN_MULTIPATH_H
#define MR_QUIC_CONN_MULTIPATH_H

#include "quic/conn_build.h"
#include "quic/frame_multipath.h"
#include "quic/multipath_path.h"

/* ------------------------------------------------------------------ memory, negotiation */

static inline struct mr_multipath *mr_multipath(const struct mr_endpoint *ep,
                                                const struct mr_conn *conn)
{
    return conn->multipath == MR_NONE ? NULL : mr_pool_at(&ep->multipaths, conn->multipath);
}

/* The same if both sides have agreed; NULL. */
static inline struct mr_multipath *mr_multipath_agreed(const struct mr_endpoint *ep,
                                                       const struct mr_conn *conn)
{
    struct mr_multipath *mp = mr_multipath(ep, conn);

    return mp != NULL && mp->is_agreed ? mp : NULL;
}

static inline struct mr_path_record *mr_path_record_at(const struct mr_endpoint *ep, uint32_t index)
{
    return mr_pool_at(&ep->path_records, index);
}

/* What our transport parameter says, for a new connection: takes its struct mr_multipath.
 * MR_PARAM_NO_PATHS: nothing, multipath is off or no memory is left (counted). */
uint64_t mr_multipath_offer(struct mr_endpoint *ep, struct mr_conn *conn);

/* The peer's transport parameter.  False: the connection failed. */
bool mr_multipath_take_offer(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t max_path_id,
                             uint64_t now);

/* The handshake is confirmed: connection IDs for further paths go out. */
void mr_multipath_begin(struct mr_endpoint *ep, struct mr_conn *conn);

/* Give all of it back. */
void mr_multipath_drop(struct mr_endpoint *ep, struct mr_conn *conn);

/* ------------------------------------------------------------------ the path in hand */

/* Take the path of `record`, MR_PATH_ZERO: path 0, in hand.  Returns which one was. */
uint32_t mr_multipath_hand(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t record);

/* Path 0, as it must be whenever the connection is left; and its deadline is that of all. */
void mr_multipath_rest(struct mr_endpoint *ep, struct mr_conn *conn);

/* The same, of a connection that may have no other; and that one back. */
static inline uint32_t mr_multipath_zero(struct mr_endpoint *ep, struct mr_conn *conn)
{
    return conn->multipath == MR_NONE ? MR_PATH_ZERO : mr_multipath_hand(ep, conn, MR_PATH_ZERO);
}
static inline void mr_multipath_back(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t record)
{
    if (record != MR_PATH_ZERO)
        mr_multipath_hand(ep, conn, record);
}

/* The connection IDs alone of `record` change places with those in hand; once more: back. */
void mr_multipath_exchange_cids(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t record);

/* The path ID in hand; of a record. */
uint32_t mr_multipath_hand_id(const struct mr_endpoint *ep, const struct mr_multipath *mp);
uint32_t mr_multipath_id(const struct mr_endpoint *ep, uint32_t record);

/* The record of a path ID; MR_PATH_ZERO, MR_PATH_GONE. */
uint32_t mr_multipath_find(const struct mr_endpoint *ep, const struct mr_multipath *mp,
                           uint64_t path);
struct mr_path_life *mr_multipath_life(const struct mr_endpoint *ep, struct mr_multipath *mp,
                                       uint32_t record);

/* Where the packet number space of `record` is now. */
struct mr_pn_space *mr_multipath_space(const struct mr_endpoint *ep, struct mr_conn *conn,
                                       uint32_t record);

/* The same of its path, where nothing is known of multipath, too: path 0 is all there is. */
const struct mr_path *mr_multipath_path(const struct mr_endpoint *ep, const struct mr_conn *conn,
                                        uint32_t record);

/* The path that stands for the connection where only one is asked for: path 0 unless it is over. */
const struct mr_path *mr_multipath_shown(const struct mr_endpoint *ep, const struct mr_conn *conn);

/* How many of its paths are not abandoned and were used. */
uint32_t mr_multipath_live_count(const struct mr_endpoint *ep, struct mr_multipath *mp);

/* ------------------------------------------------------------------ connection IDs */

/* Whose the connection IDs in hand are, for the endpoint's table. */
uint32_t mr_multipath_cid_owner(const struct mr_endpoint *ep, const struct mr_conn *conn);

/* Sequence number of the connection ID that the peer gives next for the path of `record`. */
uint64_t mr_multipath_peer_cid_next(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t record);

/* Connection IDs for all path IDs that both sides allow. */
void mr_multipath_provide(struct mr_endpoint *ep, struct mr_conn *conn);
void mr_multipath_forget_cids(struct mr_endpoint *ep, struct mr_conn *conn);
void mr_multipath_produce_new_cids(struct mr_build *b);
void mr_multipath_produce_retired_cids(struct mr_build *b);

/* ------------------------------------------------------------------ receiving */

/* The path of a frame that names one; MR_PATH_GONE: ignore it.  False: the connection failed. */
bool mr_multipath_read_path(struct mr_rx *rx, uint64_t path, uint64_t type, uint32_t *record_out);

/* A packet with a short header for a connection ID of `record`.  False: it is not opened. */
bool mr_multipath_classify(struct mr_endpoint *ep, struct mr_slot *slot, uint32_t record);

/* A packet of the path of `slot` was opened with the burst, or could not be. */
void mr_multipath_receive(struct mr_endpoint *ep, struct mr_slot *slot, uint64_t now);

/* quic/endpoint_receive.c: a packet of the path in hand that was opened with its burst, or alone.
 */
void mr_receive_one(struct mr_endpoint *ep, struct mr_slot *slot, uint64_t now);

/* A packet of the path in hand is about to be handled: a client has opened it.  False: drop it. */
bool mr_multipath_on_packet(struct mr_endpoint *ep, struct mr_conn *conn,
                            const struct mr_datagram *datagram, uint64_t now);

bool mr_on_path_ack(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_path_abandon(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_path_status(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_path_new_connection_id(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_path_retire_connection_id(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_max_path_id(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_paths_blocked(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_path_cids_blocked(struct mr_rx *rx, struct mr_reader *r, uint64_t type);

/* A frame of draft-ietf-quic-multipath was acknowledged; or lost: true if it is sent again. */
void mr_multipath_on_frame_acked(struct mr_endpoint *ep, struct mr_conn *conn,
                                 const struct mr_sent_frame *frame);
bool mr_multipath_on_frame_lost(struct mr_endpoint *ep, struct mr_conn *conn,
                                const struct mr_sent_frame *frame);

/* ------------------------------------------------------------------ sending */

/* As mr_conn_send(), by as many paths as it needs. */
uint32_t mr_multipath_send(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_outgoing *out,
                           uint32_t count, uint64_t now);

/* The path in hand is sending, and data goes by others. */
static inline bool mr_multipath_is_data_elsewhere(const struct mr_endpoint *ep,
                                                  const struct mr_conn *conn)
{
    const struct mr_multipath *mp = mr_multipath(ep, conn);

    return mp != NULL && mp->is_data_elsewhere;
}

/* MR_WANT_MULTIPATH. */
void mr_multipath_produce(struct mr_build *b);

/* PATH_ACK of a further path in hand, in place of ACK, which is of path 0 (conn_send.c asks for it
 * behind mr_multipath_produce(), too).  False: path 0 is in hand. */
bool mr_multipath_produce_ack(struct mr_build *b);

/* ------------------------------------------------------------------ a path's life */

/* The path in hand was validated.  True: it is one beside path 0, and that was all. */
bool mr_multipath_on_validated(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);

/* The path in hand could not be validated.  False: it is the only one. */
bool mr_multipath_on_failed(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);

/* A probe timeout of the path in hand. */
void mr_multipath_on_pto(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);

/* Nothing more is sent by the path of `record`, and the peer is told why. */
void mr_multipath_abandon(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t record,
                          uint64_t error, uint64_t now);

/* The connection's keys have changed: no path has sent or opened anything with the new ones. */
void mr_multipath_on_key_update(struct mr_endpoint *ep, struct mr_conn *conn);

/* The largest probe timeout of all paths. */
uint64_t mr_multipath_pto(const struct mr_endpoint *ep, const struct mr_conn *conn);

/* When mr_multipath_expire() must be called; MR_NEVER. */
uint64_t mr_multipath_due(const struct mr_endpoint *ep, const struct mr_conn *conn);
void mr_multipath_expire(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);

/* Panic unless path 0 is in hand, and every record is right. */
void mr_multipath_check(const struct mr_endpoint *ep, const struct mr_conn *conn);

#endif /* MR_QUIC_CONN_MULTIPATH_H */
