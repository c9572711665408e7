/*
 * control/group_orders.h - what is asked of running shards one at a time: their connections, a move
 * of one of them.
 *
 *     `millrace ctl conns 1`      --> LIST --> shard 1 --> JSON
 *     `millrace ctl move 1.5f 0`  --> MOVE --> shard 1 ... FIND until it is gone, or stays
 *     `millrace ctl renew all`    --> RENEW -> each shard --> JSON
 *
 * A connection is called by its shard and its handle there, "1.100000005", until it moves.
 *
 * Owner: the caller's.  Threads: the control thread's, which waits for a shard ORDER_PATIENCE at
 * most. Limits: ORDER_CONNS connections are listed; one order of all shards at a time.
 */
#ifndef MR_CONTROL_GROUP_ORDERS_H
#define MR_CONTROL_GROUP_ORDERS_H

#include <stdint.h>

#include "base/fault.h"
#include "control/group_datapath.h"
#include "dataplane/shard_order.h"

struct json_object; /* of json-c */

struct mr_group_orders;

/* Of the shards of `set`, which outlives it.  NULL: no memory. */
struct mr_group_orders *mr_group_orders_new(struct mr_group_set *set);

/* The shards must not run any more.  NULL is allowed. */
void mr_group_orders_free(struct mr_group_orders *orders);

/* Where the shard's thread runs, and how long it was busy in all: adds members. */
void mr_group_orders_describe(const struct mr_group_orders *orders, uint32_t shard,
                              struct json_object *object);

/* List connections of a shard.  0 with *result_out, the caller's; -ENOENT: no such shard;
 * -ETIMEDOUT: it does not answer; -EBUSY: an earlier order is out; -ENOMEM. */
int mr_group_orders_list(struct mr_group_orders *orders, uint32_t shard,
                         struct json_object **result_out, struct mr_fault *fault);

/* What a shard's connections hold, awake and asleep (quic/endpoint_memory.h).  As above. */
int mr_group_orders_memory(struct mr_group_orders *orders, uint32_t shard,
                           struct json_object **result_out, struct mr_fault *fault);

/* Give the connection to a shard of its port, and wait for it.  0 with *result_out; -EINVAL: that
 * is no connection's name; -ESTALE: there is none of it; others as above and as `move` of
 * millrace/transport.h. */
int mr_group_orders_move(struct mr_group_orders *orders, const char *conn, uint32_t to,
                         struct json_object **result_out, struct mr_fault *fault);

/* Ask the peer of the connection called `conn`, or with "all" each connection's, to go over to new
 * connection IDs.  0 with *result_out; -EBUSY, -ENOMEM: as mr_conn_renew_cids(), of one connection
 * only; others as above. */
int mr_group_orders_renew(struct mr_group_orders *orders, const char *conn,
                          struct json_object **result_out, struct mr_fault *fault);

/* What each path of the connection called `conn` is doing.  0 with *result_out; errors as above. */
int mr_group_orders_paths(struct mr_group_orders *orders, const char *conn,
                          struct json_object **result_out, struct mr_fault *fault);

/* Give an order TRACE to the shard of the connection called `conn`; `order->trace.conn` gets its
 * handle.  0 with what came of it in *order; -EINVAL, -ENOENT, -ETIMEDOUT, -EBUSY. */
int mr_group_orders_trace_conn(struct mr_group_orders *orders, const char *conn,
                               struct mr_shard_order *order, struct mr_fault *fault);

/* Give the same order to every shard.  0; -ETIMEDOUT, -EBUSY: those behind the one that is named
 * have not got it. */
int mr_group_orders_all(struct mr_group_orders *orders, const struct mr_shard_order *order,
                        struct mr_fault *fault);

#endif /* MR_CONTROL_GROUP_ORDERS_H */
