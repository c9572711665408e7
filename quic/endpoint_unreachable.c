/*
 * quic/endpoint_unreachable.c - the network says that nothing listens where a client knocks.
 *
 * Anybody can say so: it ends an attempt only if it quotes what only who saw our packets knows, and
 * only while nobody else has answered (RFC 9000, Sections 14.2.1 and 21.2).
 */
#include "quic/conn_multipath.h"

/* The connection IDs of a long header that may be cut behind them (RFC 8999, Section 5.1). */
static bool read_cids(const uint8_t *bytes, size_t size, struct mr_cid_view *dcid_out,
                      struct mr_cid_view *scid_out)
{
    struct mr_reader r = mr_reader(bytes, size);
    uint8_t first = mr_read_u8(&r);

    (void)mr_read_bytes(&r, 4); /* version */
    dcid_out->size = mr_read_u8(&r);
    dcid_out->bytes = mr_read_bytes(&r, dcid_out->size);
    scid_out->size = mr_read_u8(&r);
    scid_out->bytes = mr_read_bytes(&r, scid_out->size);
    return !r.failed && mr_packet_is_long(first);
}

static struct mr_conn *find(struct mr_endpoint *ep, struct mr_cid_view scid)
{
    uint64_t key;

    if (scid.size != sizeof(key))
        return NULL;
    memcpy(&key, scid.bytes, sizeof(key));
    uint32_t index = mr_table8_find(&ep->cids, key);
    return index >= MR_CID_OF_PATH ? NULL : mr_conn_at(ep, index);
}

bool mr_endpoint_unreachable(struct mr_endpoint *ep, const struct mr_path_addr *path,
                             const uint8_t *quoted, size_t size)
{
    struct mr_cid_view dcid;
    struct mr_cid_view scid;
    struct mr_conn *conn = read_cids(quoted, size, &dcid, &scid) ? find(ep, scid) : NULL;
    struct mr_handshake *hs = conn == NULL ? NULL : mr_conn_handshake(ep, conn);

    if (hs == NULL || conn->role != MR_CLIENT || conn->state != MR_CONN_HANDSHAKE ||
        hs->has_peer_scid || hs->has_retry || !mr_path_addr_equal(path, &conn->path.addr) ||
        !mr_cid_view_equal(dcid, &hs->original_dcid))
        return false;
    mr_conn_die(ep, conn, MR_CONNECTION_REFUSED, false, "port unreachable: nothing listens there");
    return true;
}
