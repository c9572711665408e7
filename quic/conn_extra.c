/*
 * quic/conn_extra.c - what few connections need, and those for a while: struct mr_conn_extra.
 */
#include "quic/conn.h"

struct mr_conn_extra *mr_conn_extra_use(struct mr_endpoint *ep, struct mr_conn *conn,
                                        enum mr_extra_use use)
{
    struct mr_conn_extra *extra = mr_conn_extra(ep, conn);

    if (extra == NULL) {
        uint32_t index = mr_pool_get(&ep->extras);

        if (index == MR_NONE) {
            mr_count(&ep->counters.limit_extras);
            return NULL;
        }
        conn->extra = index;
        extra = mr_pool_at(&ep->extras, index);
        memset(extra, 0, sizeof(*extra));
    }
    extra->uses |= use;
    return extra;
}

void mr_conn_extra_end(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_extra_use use)
{
    struct mr_conn_extra *extra = mr_conn_extra(ep, conn);

    if (extra == NULL)
        return;
    extra->uses &= ~(uint32_t)use;
    if (extra->uses == 0)
        mr_conn_extra_drop(ep, conn);
}

void mr_conn_extra_drop(struct mr_endpoint *ep, struct mr_conn *conn)
{
    if (conn->extra == MR_NONE)
        return;
    if (mr_side_has_control(ep, conn))
        mr_path_end_control(ep, &mr_conn_extra(ep, conn)->kept);
    mr_pool_put(&ep->extras, conn->extra);
    conn->extra = MR_NONE;
}
