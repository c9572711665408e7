/* control/balancer.c - see balancer.h. */
#include "control/balancer.h"

#include <stdlib.h>

#include "base/assert.h"

/* Busiest and least busy; the lower number wins a tie. */
static void find_ends(const struct mr_shard_load *loads, uint32_t count, uint32_t *most,
                      uint32_t *least)
{
    *most = *least = 0;
    for (uint32_t i = 1; i < count; i++) {
        if (loads[i].busy_ns > loads[*most].busy_ns)
            *most = i;
        if (loads[i].busy_ns < loads[*least].busy_ns)
            *least = i;
    }
}

/* What makes them even, as a share of what `busy` is. */
static uint32_t even_share(uint64_t busy, uint64_t gap)
{
    return (uint32_t)((double)gap / 2 / (double)busy * MR_BALANCE_WHOLE);
}

static bool is_skewed(const struct mr_balance_rule *rule, const struct mr_shard_load *most,
                      uint64_t gap, uint64_t period_ns)
{
    return most->busy_ns * 100 > period_ns * rule->busy_percent &&
           gap * 100 > period_ns * rule->gap_percent && most->conn_count > 1;
}

bool mr_balancer_decide(struct mr_balancer *balancer, const struct mr_shard_load *loads,
                        uint32_t shard_count, uint64_t period_ns, struct mr_balance_move *move_out)
{
    uint32_t most;
    uint32_t least;

    MR_ASSERT(shard_count > 0 && period_ns > 0);
    find_ends(loads, shard_count, &most, &least);
    uint64_t busy = loads[most].busy_ns;
    uint64_t gap = busy - loads[least].busy_ns;
    if (!is_skewed(&balancer->rule, &loads[most], gap, period_ns)) {
        balancer->streak = 0;
        balancer->rest = balancer->rest > 0 ? balancer->rest - 1 : 0;
        return false;
    }
    balancer->streak = balancer->candidate == most ? balancer->streak + 1 : 1;
    balancer->candidate = most;
    if (balancer->rest > 0) {
        balancer->rest--;
        return false;
    }
    if (balancer->streak < MR_BALANCE_PERIODS)
        return false;

    *move_out = (struct mr_balance_move){.from = most, .to = least, .share = even_share(busy, gap)};
    balancer->rest = MR_BALANCE_PERIODS;
    return move_out->share > 0;
}

/* ------------------------------------------------------------------ what connections do */

static int compare_work(const void *left, const void *right)
{
    const struct mr_conn_work *a = left;
    const struct mr_conn_work *b = right;

    return a->work > b->work ? -1 : a->work < b->work;
}

uint64_t mr_balancer_weigh(const struct mr_work_list *before, struct mr_work_list *now)
{
    uint64_t total = 0;
    uint32_t at = 0;
    uint32_t left = 0;

    for (uint32_t i = 0; i < now->count; i++) {
        struct mr_conn_work one = now->works[i];

        while (at < before->count && (uint32_t)before->works[at].conn < (uint32_t)one.conn)
            at++;
        if (at == before->count || before->works[at].conn != one.conn)
            continue;
        one.work -= before->works[at].work;
        total += one.work;
        if (one.work > 0)
            now->works[left++] = one;
    }
    now->count = left;
    qsort(now->works, left, sizeof(now->works[0]), compare_work);
    return total;
}
