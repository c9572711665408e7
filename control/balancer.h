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
 * It *watches* until the same shard was ahead for MR_BALANCE_PERIODS periods in a row, by more than
 * `gap_percent` of a period, and busy for more than `busy_percent` of it: shards that are not busy
 * gain nothing, and no connection is worth less than its move.  Then it *levels*, in rounds, until
 * MR_BALANCE_SURE means in a row say that the busiest and the least busy differ by MR_BALANCE_EVEN
 * per cent of theirs, which is less than what made it begin: so it ends near even, and small
 * differences begin nothing.
 *
 *     gap        begins here                   what it sees before a round is the mean of
 *     ------------+------------ gap_percent    MR_BALANCE_PERIODS periods
 *                  \ round
 *                   \ round
 *     ----------------+-------- MR_BALANCE_EVEN
 *                      ends here
 *
 * It never asks for more than what makes the two even, so that they do not change places.  Where
 * noise makes them, some is given back MR_BALANCE_RETURNS times, then levelling is over, too.
 * After a round in which none went it waits, each time for twice as long; if none could, levelling
 * is over.
 *
 * Owner: the control thread.  Threads: its.
 */
#ifndef MR_CONTROL_BALANCER_H
#define MR_CONTROL_BALANCER_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/shard_order.h"

#define MR_BALANCE_PERIODS    3
#define MR_BALANCE_WHOLE      1000 /* all of a shard's work */
#define MR_BALANCE_EVEN       10 /* per cent of their mean that two may differ by when it is over */
#define MR_BALANCE_LEAST      2  /* per cent of a period: less than that is no difference */
#define MR_BALANCE_SURE       2  /* means in a row that say so */
#define MR_BALANCE_REST       1  /* periods after a round, in which the last connections arrive */
#define MR_BALANCE_RETURNS    2  /* rounds that take something back */
#define MR_BALANCE_VAIN_MAX   4  /* rounds in vain that each double the wait */
#define MR_BALANCE_SHARDS_MAX 64

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
    bool is_levelling;
    uint32_t candidate;                      /* watching: the shard that was ahead last */
    uint32_t rest;                           /* periods to wait */
    uint32_t vain;                           /* rounds in a row in which none went */
    uint32_t seen;                           /* periods that are looked at together: */
    uint64_t seen_ns;                        /* their length, */
    uint64_t busy_ns[MR_BALANCE_SHARDS_MAX]; /* and how busy each shard was in them */
    uint32_t returns;                        /* levelling: so many rounds took something back, */
    uint32_t even;                           /* so many means in a row said that it is over, */
    uint64_t gave[MR_BALANCE_SHARDS_MAX];    /* that was given to these, as a bit mask */
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
 * A period of `period_ns` > 0 has passed.  True: a round, *move_out is worth it.  False: nothing,
 * or not yet.  A shard with fewer than two connections gives none.  O(shards).
 */
bool mr_balancer_decide(struct mr_balancer *balancer, const struct mr_shard_load *loads,
                        uint32_t shard_count, uint64_t period_ns, struct mr_balance_move *move_out);

/* What came of a round. */
enum mr_balance_result {
    MR_BALANCE_WENT, /* connections go, or as many as are allowed did */
    MR_BALANCE_HELD, /* those that fit have just come, or are not ready */
    MR_BALANCE_VAIN  /* none fits, or may go */
};

void mr_balancer_done(struct mr_balancer *balancer, enum mr_balance_result result);

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
