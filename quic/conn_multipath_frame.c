/*
 * quic/conn_multipath_frame.c - frames of several paths from the peer, and what becomes of ours
 * (draft-ietf-quic-multipath, Section 4).
 *
 * Those of connection IDs are in quic/conn_multipath_cid.c.
 */
#include "quic/conn_multipath.h"

/* ------------------------------------------------------------------ ACK */

/* ACK, too: it is of path 0, whichever path brings it. */
bool mr_on_ack(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    struct mr_frame_ack frame;

    if (!mr_frame_decode_ack(r, type, &frame))
        return mr_conn_fail(rx->ep, rx->conn, MR_FRAME_ENCODING_ERROR, type, "malformed ACK",
                            rx->now);
    if (rx->conn->multipath == MR_NONE)
        return mr_ack_take(rx, &frame, type);
    uint32_t before = mr_multipath_zero(rx->ep, rx->conn); /* of path 0, whichever brought it */
    bool is_ok = mr_ack_take(rx, &frame, type);
    mr_multipath_back(rx->ep, rx->conn, before);
    return is_ok;
}

bool mr_on_path_ack(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    struct mr_frame_ack frame;
    uint64_t path;
    uint32_t record;

    if (!mr_frame_decode_path_ack(r, type, &path, &frame))
        return mr_conn_fail(rx->ep, rx->conn, MR_FRAME_ENCODING_ERROR, type, "malformed PATH_ACK",
                            rx->now);
    if (!mr_multipath_read_path(rx, path, type, &record))
        return false;
    if (record == MR_PATH_GONE)
        return true;
    uint32_t before = mr_multipath_hand(rx->ep, rx->conn, record);
    bool is_ok = mr_ack_take(rx, &frame, type);
    mr_multipath_hand(rx->ep, rx->conn, before);
    return is_ok;
}

/* ------------------------------------------------------------------ a path's life */

/* Section 3.4: "If a PATH_ABANDON frame is received for the only open path of a QUIC connection,
 * the receiving peer SHOULD send a CONNECTION_CLOSE frame and enter the closing state." */
static bool close_with_last(struct mr_rx *rx, uint64_t type)
{
    return mr_conn_fail(rx->ep, rx->conn, MR_NO_ERROR, type, "the last path was abandoned",
                        rx->now);
}

bool mr_on_path_abandon(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    struct mr_frame_path_value frame;
    uint32_t record;

    if (!mr_frame_decode_path_value(r, type, &frame))
        return mr_conn_fail(rx->ep, rx->conn, MR_FRAME_ENCODING_ERROR, type,
                            "malformed PATH_ABANDON", rx->now);
    if (!mr_multipath_read_path(rx, frame.path, type, &record))
        return false;
    if (record == MR_PATH_GONE)
        return true;
    struct mr_multipath *mp = mr_multipath(rx->ep, rx->conn);
    struct mr_path_life *life = mr_multipath_life(rx->ep, mp, record);
    if (life->has_peer_abandoned)
        return true;
    mr_count(&rx->ep->counters.paths_abandoned_received);
    bool is_live = life->state == MR_PATH_OPEN || life->state == MR_PATH_CHECKING;
    if (is_live && mr_multipath_live_count(rx->ep, mp) == 1)
        return close_with_last(rx, type);
    life->has_peer_abandoned = true;
    if (life->state != MR_PATH_ABANDONED)
        mr_multipath_abandon(rx->ep, rx->conn, record, MR_NO_ERROR, rx->now);
    life->until_ns = rx->now + 3 * mr_multipath_pto(rx->ep, rx->conn);
    return true;
}

bool mr_on_path_status(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    struct mr_frame_path_value frame;
    uint32_t record;

    if (!mr_frame_decode_path_value(r, type, &frame))
        return mr_conn_fail(rx->ep, rx->conn, MR_FRAME_ENCODING_ERROR, type,
                            "malformed PATH_STATUS", rx->now);
    if (!mr_multipath_read_path(rx, frame.path, type, &record))
        return false;
    if (record == MR_PATH_GONE)
        return true;
    struct mr_path_life *life = mr_multipath_life(rx->ep, mr_multipath(rx->ep, rx->conn), record);
    if (frame.value < life->peer_status_next || life->state == MR_PATH_ABANDONED)
        return true;
    life->peer_status_next = frame.value + 1;
    life->peer_status = type == MR_FRAME_PATH_STATUS_BACKUP ? MR_PATH_BACKUP : MR_PATH_AVAILABLE;
    mr_conn_event(rx->ep, rx->conn, MR_EVENT_PATHS_CHANGED);
    mr_conn_wake(rx->ep, rx->conn);
    return true;
}

/* ------------------------------------------------------------------ limits */

bool mr_on_max_path_id(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    struct mr_multipath *mp = mr_multipath_agreed(rx->ep, rx->conn);
    struct mr_frame_path_value frame;

    if (!mr_frame_decode_path_value(r, type, &frame))
        return mr_conn_fail(rx->ep, rx->conn, MR_FRAME_ENCODING_ERROR, type,
                            "malformed MAX_PATH_ID", rx->now);
    if (mp == NULL)
        return mr_conn_fail(rx->ep, rx->conn, MR_FRAME_ENCODING_ERROR, type,
                            "multipath was not negotiated", rx->now);
    if (frame.path > MR_PATH_ID_MAX || frame.path < mp->peer_initial)
        return mr_conn_fail(rx->ep, rx->conn, MR_PROTOCOL_VIOLATION, type,
                            "MAX_PATH_ID over 2^32 - 1, or below the transport parameter", rx->now);
    if (frame.path <= mp->peer_max)
        return true;
    mp->peer_max = frame.path;
    mp->blocked_at = MR_NEVER;
    if (rx->conn->is_confirmed)
        mr_multipath_provide(rx->ep, rx->conn);
    mr_conn_event(rx->ep, rx->conn, MR_EVENT_PATHS_CHANGED);
    return true;
}

bool mr_on_paths_blocked(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    struct mr_frame_path_value frame;
    uint32_t record;

    if (!mr_frame_decode_path_value(r, type, &frame))
        return mr_conn_fail(rx->ep, rx->conn, MR_FRAME_ENCODING_ERROR, type,
                            "malformed PATHS_BLOCKED", rx->now);
    if (!mr_multipath_read_path(rx, frame.path, type, &record))
        return false;
    mr_count(&rx->ep->counters.paths_blocked_received); /* the limit rises when a path has gone */
    return true;
}

/* ------------------------------------------------------------------ our frames */

/* Connection IDs of the frame's path in hand while `act` is. */
static bool with_cids(struct mr_endpoint *ep, struct mr_conn *conn,
                      const struct mr_sent_frame *frame, bool is_lost)
{
    const struct mr_multipath *mp = mr_multipath(ep, conn);
    uint32_t record = mr_multipath_find(ep, mp, frame->object);
    bool is_new = frame->kind == MR_SENT_PATH_NEW_CID;
    bool is_again = false;

    if (record == MR_PATH_GONE)
        return false;
    mr_multipath_exchange_cids(ep, conn, record);
    if (is_lost)
        is_again = is_new ? mr_cid_on_announce_lost(conn, frame->offset)
                          : mr_cid_on_retire_lost(conn, frame->offset);
    else if (is_new)
        mr_cid_on_announce_acked(conn, frame->offset);
    else
        mr_cid_on_retire_acked(conn, frame->offset);
    mr_multipath_exchange_cids(ep, conn, record);
    return is_again;
}

void mr_multipath_on_frame_acked(struct mr_endpoint *ep, struct mr_conn *conn,
                                 const struct mr_sent_frame *frame)
{
    const struct mr_multipath *mp = mr_multipath(ep, conn);
    uint32_t record = mp == NULL ? MR_PATH_GONE : mr_multipath_find(ep, mp, frame->object);

    if (record == MR_PATH_GONE)
        return;
    if (frame->kind == MR_SENT_PATH_ACK)
        mr_ack_ranges_forget(&mr_multipath_space(ep, conn, record)->received, frame->offset);
    else if (frame->kind == MR_SENT_PATH_NEW_CID || frame->kind == MR_SENT_PATH_RETIRE_CID)
        with_cids(ep, conn, frame, false);
}

/* A frame that a path owes, or the connection does: is it to be sent again? */
static bool owe_again(struct mr_multipath *mp, struct mr_path_life *life,
                      const struct mr_sent_frame *frame)
{
    switch ((enum mr_sent_kind)frame->kind) {
    case MR_SENT_PATH_ABANDON:
        return life->owes_abandon = true;
    case MR_SENT_PATH_STATUS: /* "only if it contains the last status sent for that path" */
        if (frame->offset + 1 != life->status_next || life->state == MR_PATH_ABANDONED)
            return false;
        return life->owes_status = true;
    case MR_SENT_MAX_PATH_ID:
        if (frame->offset != mp->our_max)
            return false;
        return mp->owes_max_path_id = true;
    default: /* PATH_ACK is out of date; who is blocked says so when it is again */
        return false;
    }
}

bool mr_multipath_on_frame_lost(struct mr_endpoint *ep, struct mr_conn *conn,
                                const struct mr_sent_frame *frame)
{
    struct mr_multipath *mp = mr_multipath(ep, conn);
    uint32_t record = mp == NULL ? MR_PATH_GONE : mr_multipath_find(ep, mp, frame->object);

    if (record == MR_PATH_GONE)
        return false;
    if (frame->kind == MR_SENT_PATH_NEW_CID || frame->kind == MR_SENT_PATH_RETIRE_CID) {
        bool is_new = frame->kind == MR_SENT_PATH_NEW_CID;

        if (!with_cids(ep, conn, frame, true))
            return false;
        mr_conn_want(ep, conn, &conn->app, is_new ? MR_WANT_NEW_CID : MR_WANT_RETIRE_CID);
        return true;
    }
    if (!owe_again(mp, mr_multipath_life(ep, mp, record), frame))
        return false;
    mp->owes_any = true;
    mr_conn_wake(ep, conn);
    return true;
}
