/*
 * control/balancer.h - when shards are unevenly busy: which one gives how much of its work to
 * which.
 *
 *     share of a period that each shard was busy
 *        |  ##             from: the busiest
 *        |  ##      ..
 *        |  ##  ##  ..     to: the least busy
 *        +---0---1---2--
 *
 * Decisions over numbers: no clock, no shard.  control/balance.h measures periods, asks, and has
 * the connections moved that have as much to do.
 *
 * It answers only when the same shard was ahead for MR_BALANCE_PERIODS periods in a row, by more
 * than `gap_percent` of a period, and busy for more than `busy_percent` of it: shards that are not
 * busy gain nothing, and no connection is worth less than its move.  After a move it waits for as
 * many periods again, until the effect is seen.  It never asks for more than what makes the two
 * even, so that they do not change places.
 *
 * Owner: the control thread.  Threads: its.
 */
#ifndef MR_CONTROL_BALANCER_H
#define MR_CONTROL_BALANCER_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/shard_order.h"

#define MR_BALANCE_PERIODS 3
#define MR_BALANCE_WHOLE   1000 /* all of a shard's work */

/* Of a period. */
struct mr_balance_rule {
    uint32_t gap_percent;
    uint32_t busy_percent;
};

/* A shard over one period. */
struct mr_shard_load {
    uint64_t busy_ns;    /* of the period */
    uint32_t conn_count; /* now */
};

struct mr_balancer {
    struct mr_balance_rule rule;
    uint32_t candidate; /* the shard that was ahead last */
    uint32_t streak;    /* periods in a row */
    uint32_t rest;      /* periods to wait */
};

struct mr_balance_move {
    uint32_t from;
    uint32_t to;
    uint32_t share; /* of `from`'s work, 1..MR_BALANCE_WHOLE */
};

static inline struct mr_balancer mr_balancer_make(const struct mr_balance_rule *rule)
{
    return (struct mr_balancer){.rule = *rule, .candidate = UINT32_MAX};
}

/*
 * A period of `period_ns` > 0 has passed.  True: *move_out is worth it.  False: nothing, or not
 * yet.  A shard with fewer than two connections gives none.  O(shards).
 */
bool mr_balancer_decide(struct mr_balancer *balancer, const struct mr_shard_load *loads,
                        uint32_t shard_count, uint64_t period_ns, struct mr_balance_move *move_out);

struct mr_work_list {
    struct mr_conn_work *works; /* by place, the low half of the handle */
    uint32_t count;
};

/*
 * Turn what connections have done in all into what they have done since `before`: left in `now` are
 * those that are in both and have done something, the busiest first.  Returns what they did
 * together.  O(n log n).
 */
uint64_t mr_balancer_weigh(const struct mr_work_list *before, struct mr_work_list *now);

#endif /* MR_CONTROL_BALANCER_H */
