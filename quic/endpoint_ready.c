/*
 * quic/endpoint_ready.c - the lists of connections that may send; endpoint_send.c takes from them.
 */
#include "base/assert.h"
#include "quic/conn.h"

static struct mr_ready_list *list_of(struct mr_endpoint *ep, const struct mr_conn *conn)
{
    return conn->is_bulk ? &ep->bulk : &ep->few;
}

void mr_conn_wake(struct mr_endpoint *ep, struct mr_conn *conn)
{
    if (conn->is_ready)
        return;

    struct mr_ready_list *list = list_of(ep, conn);

    conn->is_ready = true;
    conn->ready_next = MR_NONE;
    conn->ready_previous = list->tail;
    if (list->tail == MR_NONE)
        list->head = conn->index;
    else
        mr_conn_at(ep, list->tail)->ready_next = conn->index;
    list->tail = conn->index;
}

void mr_conn_unready(struct mr_endpoint *ep, struct mr_conn *conn)
{
    if (!conn->is_ready)
        return;

    struct mr_ready_list *list = list_of(ep, conn);

    conn->is_ready = false;
    if (conn->ready_previous == MR_NONE)
        list->head = conn->ready_next;
    else
        mr_conn_at(ep, conn->ready_previous)->ready_next = conn->ready_next;
    if (conn->ready_next == MR_NONE)
        list->tail = conn->ready_previous;
    else
        mr_conn_at(ep, conn->ready_next)->ready_previous = conn->ready_previous;
}

void mr_conn_end_visit(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t built, bool goes_on)
{
    mr_conn_unready(ep, conn);
    conn->is_bulk = built >= MR_FEW_PACKETS || (conn->is_bulk && goes_on);
    if (goes_on)
        mr_conn_wake(ep, conn);
}

/* Would a visit with nothing to send change what the last one left: what held it back, that it was
 * much? */
static bool has_marks(const struct mr_conn *conn)
{
    return conn->is_bulk || conn->was_cwnd_limited || conn->pacing_until_ns != MR_NEVER ||
           conn->limited_by != MR_LIMITED_APPLICATION;
}

/* Other paths of a multipath connection may have something to send, and their visits set what is
 * due for them. */
void mr_conn_wake_if_wanted(struct mr_endpoint *ep, struct mr_conn *conn)
{
    if (conn->app.wants != 0 || conn->handshake != MR_NONE || conn->multipath != MR_NONE ||
        has_marks(conn))
        mr_conn_wake(ep, conn);
}

/* Returns how many there are. */
static uint32_t check_ready_list(const struct mr_endpoint *ep, const struct mr_ready_list *list)
{
    uint32_t previous = MR_NONE;
    uint32_t listed = 0;

    for (uint32_t i = list->head; i != MR_NONE; i = mr_conn_at(ep, i)->ready_next) {
        const struct mr_conn *conn = mr_conn_at(ep, i);

        MR_ASSERT(conn->is_ready && (conn->generation & 1) != 0);
        MR_ASSERT(conn->is_bulk == (list == &ep->bulk) && conn->ready_previous == previous);
        previous = i;
        listed++;
    }
    MR_ASSERT(list->tail == previous);
    return listed;
}

/* The send lists have every connection that says so, and no other. */
void mr_endpoint_check_ready(const struct mr_endpoint *ep)
{
    uint32_t listed = check_ready_list(ep, &ep->few) + check_ready_list(ep, &ep->bulk);
    uint32_t ready = 0;

    for (uint32_t i = 0; i < ep->conns.fresh; i++)
        ready += (mr_conn_at(ep, i)->generation & 1) != 0 && mr_conn_at(ep, i)->is_ready;
    MR_ASSERT(ready == listed);
}
