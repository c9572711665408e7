/*
 * control/balance.h - the balance of a group's running shards: measures them, and has connections
 * moved.
 *
 *     each period   how long was every shard busy?   control/balancer.h: a share of shard F's work
 *                                                    should be shard T's
 *     then          LIST to F, a period, LIST to F   what each of its connections had to do
 *                   SPREAD to F                      those that fit into the share, the busiest
 *                                                    first; what does not go is counted there
 *
 * It never waits for a shard: it gives an order (dataplane/shard_order.h) and looks in later calls
 * whether it is done.
 *
 * Owner: the control thread.  Threads: its.
 * Limits: BALANCE_CONNS of a shard's connections are looked at for one decision, further ones for
 * the next.
 */
#ifndef MR_CONTROL_BALANCE_H
#define MR_CONTROL_BALANCE_H

#include <stdint.h>

#include "control/balancer.h"

struct mr_balance;
struct mr_group;

/* Of the shards of `group`, which outlives it.  NULL: not enough memory. */
struct mr_balance *mr_balance_new(struct mr_group *group, const struct mr_balance_rule *rule);

/* The shards must not run any more.  NULL is allowed. */
void mr_balance_free(struct mr_balance *balance);

/* Do what is due.  Returns for how many nanoseconds nothing is. */
uint64_t mr_balance_poll(struct mr_balance *balance);

#endif /* MR_CONTROL_BALANCE_H */
