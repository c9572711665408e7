/* dataplane/shard_order.c - see shard_order.h. */
#include "dataplane/shard_order.h"

#include <errno.h>

#include "dataplane/shard_internal.h"

static uint32_t count_paths(const struct mr_shard *s, mr_handle conn)
{
    struct mr_path_info paths[MR_PATHS_LIST_MAX];
    int64_t count = mr_conn_paths(s->ep, conn, paths, MR_COUNT_OF(paths));
    uint32_t there = 0;

    for (int64_t i = 0; i < count; i++)
        there += paths[i].state != MR_PATH_INFO_ABANDONED;
    return there;
}

/* Fill in what there is about the connection. */
static void describe(const struct mr_shard *s, mr_handle conn, struct mr_shard_conn *out)
{
    const struct mr_move_hooks *hooks = s->config.move_hooks;

    *out = (struct mr_shard_conn){
        .conn = conn, .paths = count_paths(s, conn), .can_move = mr_conn_has_target(s, conn)};
    mr_conn_describe(s->ep, conn, &out->state, &out->streams);
    if (mr_conn_info(s->ep, conn, &out->info) != 0)
        out->info.limited_by = "";
    if (hooks != NULL && hooks->owner != NULL)
        out->owner = hooks->owner(hooks->context, conn);
}

/* Some more of the list.  True: that was all. */
static bool list_some(const struct mr_shard *s, struct mr_shard_order *order)
{
    for (uint32_t i = 0; i < MR_ORDER_LOOKS; i++) {
        mr_handle conn = mr_endpoint_next_conn(s->ep, &order->hand);

        if (conn == MR_HANDLE_NONE)
            return true;
        if (order->count < order->room)
            describe(s, conn, &order->conns[order->count++]);
        order->total++;
    }
    return false;
}

/* Some more of those that fit; in the next iteration the one that has to wait. */
static bool spread_some(struct mr_shard *s, struct mr_shard_order *order)
{
    for (uint32_t i = 0; i < MR_ORDER_LOOKS && order->hand < order->work_count; i++) {
        const struct mr_conn_work *one = &order->works[order->hand];
        int answer = one->work > order->budget ? -ENOSPC : mr_conn_balance(s, one->conn, order->to);

        if (answer == -EAGAIN)
            return false;
        if (answer == -EDQUOT)
            return true;
        if (answer >= 0) {
            order->budget -= one->work;
            order->moved++;
        }
        order->unready += answer == -EBUSY;
        order->hand++;
    }
    return order->hand == order->work_count;
}

static bool spread(struct mr_shard *s, struct mr_shard_order *order)
{
    if (!spread_some(s, order))
        return false;
    mr_shard_count(&s->stats.balance_rounds, 1);
    mr_shard_count(&s->stats.balance_vain, order->moved == 0);
    return true;
}

static int trace(struct mr_shard *s, const struct mr_shard_trace *trace)
{
    if (trace->stops)
        mr_endpoint_trace_stop(s->ep, s->now);
    else if (trace->has_rule)
        mr_endpoint_trace_new(s->ep, &trace->rule);
    else
        return mr_conn_trace(s->ep, trace->conn, trace->what, s->now);
    return 0;
}

static int list_paths(const struct mr_shard *s, struct mr_shard_order *order)
{
    int64_t count = mr_conn_paths(s->ep, order->conn, order->paths, MR_COUNT_OF(order->paths));

    order->count = (uint32_t)MR_MAX(count, 0);
    return (int)MR_MIN(count, 0);
}

/* Some more connections; the peers of those whose handshake goes on, or that have others to retire,
 * are not asked.  True: that was all. */
static bool renew_some(struct mr_shard *s, struct mr_shard_order *order)
{
    if (order->conn != MR_HANDLE_NONE) {
        order->answer = mr_conn_renew_cids(s->ep, order->conn, s->now);
        return true;
    }
    for (uint32_t i = 0; i < MR_ORDER_LOOKS; i++) {
        mr_handle conn = mr_endpoint_next_conn(s->ep, &order->hand);

        if (conn == MR_HANDLE_NONE)
            return true;
        order->count += mr_conn_renew_cids(s->ep, conn, s->now) == 0;
        order->total++;
    }
    return false;
}

static bool carry_out(struct mr_shard *s, struct mr_shard_order *order)
{
    switch (order->kind) {
    case MR_ORDER_LIST:
        return list_some(s, order);
    case MR_ORDER_MOVE:
        order->answer = mr_conn_order_move(s, order->conn, order->to);
        if (order->answer == -EBUSY && mr_conn_has_paths(s->ep, order->conn))
            order->answer = -EMLINK; /* not only now */
        return true;
    case MR_ORDER_FIND:
        order->answer = mr_conn_is_leaving(s, order->conn);
        if (order->answer != 1 && mr_conn_can_move(s->ep, order->conn, s->now) == -ESTALE)
            order->answer = -ESTALE;
        return true;
    case MR_ORDER_SPREAD:
        return spread(s, order);
    case MR_ORDER_TRACE:
        order->answer = trace(s, &order->trace);
        return true;
    case MR_ORDER_RENEW:
        return renew_some(s, order);
    case MR_ORDER_PATHS:
        order->answer = list_paths(s, order);
        return true;
    case MR_ORDER_MEMORY:
        mr_endpoint_memory(s->ep, &order->memory);
        return true;
    }
    return true;
}

void mr_shard_follow_order(struct mr_shard *s)
{
    /* acquire: pairs with the release in mr_shard_give_order() */
    struct mr_shard_order *order = atomic_load_explicit(&s->order, memory_order_acquire);

    if (order == NULL || !carry_out(s, order))
        return;
    /* release: pairs with the acquire in mr_shard_order_is_done() */
    atomic_store_explicit(&s->order, NULL, memory_order_release);
}

void mr_shard_give_order(struct mr_shard *s, struct mr_shard_order *order)
{
    MR_ASSERT(mr_shard_order_is_done(s));
    /* release: pairs with the acquire in mr_shard_follow_order() */
    atomic_store_explicit(&s->order, order, memory_order_release);
}

bool mr_shard_order_is_done(const struct mr_shard *s)
{
    /* acquire: pairs with the release in mr_shard_follow_order() */
    return atomic_load_explicit(&s->order, memory_order_acquire) == NULL;
}
