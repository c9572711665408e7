/*
 * http3/h3_drain.c - how connections end in order (RFC 9114, Section 5.2); see h3_conn.h.
 *
 *     GOAWAY -> what was accepted is answered, to its end -> the client closes
 *                                                         -> nobody has: the server does
 *
 * Acknowledged is not read: what lies in the peer's buffers when CONNECTION_CLOSE comes is lost to
 * its application (RFC 9000, Section 10.2).  The client knows when it has read everything, so the
 * server leaves the closing to it, and does it itself only when a while has passed.
 */
#include "base/compiler.h"
#include "http3/h3_internal.h"

enum {
    LINGER_LOOK_NS = 100000000 /* at least, between two looks at those that linger */
};

void mr_h3_drain(struct mr_h3 *h3)
{
    h3->is_draining = true;
    for (struct mr_h3_conn *conn = h3->all; conn != NULL; conn = conn->next) {
        conn->is_draining = true;
        mr_h3_mark_dirty(h3, conn);
    }
}

void mr_h3_conn_quiet(struct mr_h3 *h3, struct mr_h3_conn *conn)
{
    conn->quiet_ns = h3->transport->ops->now(h3->transport);
}

/* Look again when `left_ns` have passed.  False: there is no timer. */
static bool look_later(struct mr_h3 *h3, uint64_t left_ns)
{
    struct mr_transport *t = h3->transport;
    uint64_t delay = MR_MAX(left_ns, (uint64_t)LINGER_LOOK_NS);

    if (!h3->is_linger_armed)
        h3->is_linger_armed = t->ops->timer(t, delay, mr_h3_tagged(MR_H3_TAG_LINGER, 0)) == 0;
    return h3->is_linger_armed;
}

void mr_h3_end_if_drained(struct mr_h3 *h3, struct mr_h3_conn *conn)
{
    bool was_told = !h3->is_server && conn->peer_goaway_id != UINT64_MAX;
    bool has_gone_away = conn->has_sent_goaway || was_told;

    if (conn->is_closing || !conn->is_connected || !has_gone_away || conn->request_count > 0)
        return;
    uint64_t quiet = h3->transport->ops->now(h3->transport) - conn->quiet_ns;
    bool lingers = h3->is_server && quiet < MR_H3_LINGER_NS;
    if (!lingers || !look_later(h3, MR_H3_LINGER_NS - quiet))
        mr_h3_close(h3, conn, MR_H3_NO_ERROR, "drained");
}

void mr_h3_on_linger(struct mr_h3 *h3)
{
    h3->is_linger_armed = false;
    for (struct mr_h3_conn *conn = h3->all; conn != NULL; conn = conn->next)
        mr_h3_end_if_drained(h3, conn);
}
