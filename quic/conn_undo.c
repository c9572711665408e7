/*
 * quic/conn_undo.c - losses that were none; see conn_undo.h.
 */
#include "quic/conn_undo.h"

#include "quic/sent_late.h"

static struct mr_undo *undo_of(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    return conn->app.undo == MR_NONE ? NULL : mr_pool_at(&ep->frame_blocks, conn->app.undo);
}

void mr_conn_undo_drop(struct mr_endpoint *ep, struct mr_conn *conn)
{
    if (conn->app.undo == MR_NONE)
        return;
    mr_pool_put(&ep->frame_blocks, conn->app.undo);
    conn->app.undo = MR_NONE;
}

/* A recovery period begins: what the last one took is final. */
static void begin(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t first_pn)
{
    struct mr_undo *undo;

    if (conn->app.undo == MR_NONE)
        conn->app.undo = mr_pool_get(&ep->frame_blocks);
    if (conn->app.undo == MR_NONE) {
        mr_count(&ep->counters.limit_undos);
        return;
    }
    undo = undo_of(ep, conn);
    *undo = (struct mr_undo){.first_pn = first_pn};
    mr_cc_save(&conn->path.cc, &undo->saved);
}

void mr_conn_undo_on_lost(struct mr_endpoint *ep, struct mr_conn *conn,
                          const struct mr_undo_losses *losses)
{
    bool is_news = mr_cc_is_news(&conn->path.cc, losses->newest_sent_ns);

    if (is_news && losses->space != MR_SPACE_APP) {
        mr_conn_undo_drop(ep, conn);
        return;
    }
    if (losses->space != MR_SPACE_APP)
        return;
    if (is_news) {
        mr_sent_relax_threshold(&conn->app.sent);
        begin(ep, conn, losses->first_pn);
    }
    if (conn->app.undo != MR_NONE)
        undo_of(ep, conn)->saved.lost += losses->count;
}

void mr_conn_undo_on_late(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t pn)
{
    struct mr_undo *undo = undo_of(ep, conn);

    if (undo == NULL || pn < undo->first_pn)
        return;
    MR_DASSERT(undo->saved.lost > 0);
    if (--undo->saved.lost > 0)
        return;
    mr_count(&ep->counters.congestion_undone);
    mr_cc_undo(&conn->path.cc, &undo->saved);
    mr_conn_undo_drop(ep, conn);
    if (mr_conn_is_traced(conn))
        mr_trace_metrics(ep, conn, 0);
    mr_conn_wake(ep, conn);
}

/* Records are forgotten in the order of their numbers: the period's after all older ones. */
void mr_conn_undo_on_released(struct mr_endpoint *ep, struct mr_conn *conn)
{
    if (conn->app.sent.lost_count < undo_of(ep, conn)->saved.lost)
        mr_conn_undo_drop(ep, conn);
}
