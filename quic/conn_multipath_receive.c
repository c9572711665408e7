/*
 * quic/conn_multipath_receive.c - packets of further paths on their way to their frames.
 *
 * The connection ID of a packet says which path it is of (draft-ietf-quic-multipath, Section 1).
 * The path is taken in hand for all packets of it that follow each other in a burst.
 */
#include "quic/conn_multipath.h"

bool mr_multipath_classify(struct mr_endpoint *ep, struct mr_slot *slot, uint32_t record)
{
    const struct mr_path_record *r = mr_path_record_at(ep, record);
    struct mr_conn *conn = mr_conn_at(ep, r->conn);
    const struct mr_datagram *d = slot->datagram;

    slot->conn = r->conn;
    slot->path = record;
    if (conn->state == MR_CONN_HANDSHAKE || !conn->key_state.can_open)
        return false;
    const struct mr_conn_keys *keys = mr_keys_use(ep, conn);
    if (keys == NULL)
        return false;
    const struct mr_ack_ranges *received = &r->app.received;
    slot->job = ep->open_count;
    ep->open_jobs[ep->open_count++] =
        (struct mr_open_job){.key = &keys->open[conn->key_state.phase],
                             .hp = &keys->open_hp,
                             .packet = d->data,
                             .expected_pn = received->count == 0 ? 0 : received->range[0].hi + 1,
                             .path_id = r->id,
                             .pn_offset = 1 + MR_LOCAL_CID_SIZE,
                             .size = (uint16_t)d->size};
    return true;
}

/* What the burst has left to do at its end for each path. */
static void settle(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    if (mr_conn_is_alive(conn)) {
        if (mr_cid_is_due(ep, conn, now))
            mr_cid_renew(ep, conn, now);
        mr_conn_decide_ack(ep, conn, now);
    }
    mr_multipath_rest(ep, conn);
}

/* Does the next packet of the burst belong to the same path? */
static bool goes_on(const struct mr_endpoint *ep, const struct mr_slot *slot)
{
    const struct mr_slot *next = slot + 1;

    return next < &ep->slots[ep->slot_count] &&
           (next->kind == MR_SLOT_PATH || next->kind == MR_SLOT_PATH_FLIPPED) &&
           next->path == slot->path && next->conn == slot->conn;
}

void mr_multipath_receive(struct mr_endpoint *ep, struct mr_slot *slot, uint64_t now)
{
    struct mr_conn *conn = mr_conn_at(ep, slot->conn);

    if (conn->multipath == MR_NONE ||
        mr_path_record_at(ep, slot->path)->conn != slot->conn) { /* gone within the burst */
        mr_count(&ep->counters.dropped_unknown_cid);
        return;
    }
    mr_multipath_hand(ep, conn, slot->path);
    mr_receive_one(ep, slot, now);
    mr_conn_touch(ep, conn);
    if (!goes_on(ep, slot))
        settle(ep, conn, now);
}
