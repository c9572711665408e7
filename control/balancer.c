/* control/balancer.c - see balancer.h. */
#include "control/balancer.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"

_Static_assert(MR_BALANCE_SHARDS_MAX <= 64, "a bit of `gave` for each");

struct ends {
    uint32_t most;
    uint32_t least;
    uint64_t busy_ns; /* of `most` */
    uint64_t gap_ns;
    uint64_t period_ns;
};

/* ------------------------------------------------------------------ periods */

/* Busiest and least busy; the lower number wins a tie. */
static struct ends find_ends(const uint64_t *busy_ns, uint32_t count, uint64_t period_ns)
{
    struct ends ends = {.period_ns = period_ns};

    for (uint32_t i = 1; i < count; i++) {
        if (busy_ns[i] > busy_ns[ends.most])
            ends.most = i;
        if (busy_ns[i] < busy_ns[ends.least])
            ends.least = i;
    }
    ends.busy_ns = busy_ns[ends.most];
    ends.gap_ns = ends.busy_ns - busy_ns[ends.least];
    return ends;
}

static void look_anew(struct mr_balancer *b)
{
    b->seen = 0;
    b->seen_ns = 0;
    memset(b->busy_ns, 0, sizeof(b->busy_ns));
}

static void see(struct mr_balancer *b, const uint64_t *busy_ns, uint32_t count, uint64_t period_ns)
{
    b->seen++;
    b->seen_ns += period_ns;
    for (uint32_t i = 0; i < count; i++)
        b->busy_ns[i] += busy_ns[i];
}

static bool is_skewed(const struct mr_balance_rule *rule, const struct ends *ends)
{
    return ends->busy_ns * 100 > ends->period_ns * rule->busy_percent &&
           ends->gap_ns * 100 > ends->period_ns * rule->gap_percent;
}

/* Far enough apart for one more round? */
static bool is_uneven(const struct ends *ends)
{
    uint64_t mean_ns = ends->busy_ns - ends->gap_ns / 2;

    return ends->gap_ns * 100 > mean_ns * MR_BALANCE_EVEN &&
           ends->gap_ns * 100 > ends->period_ns * MR_BALANCE_LEAST;
}

/* ------------------------------------------------------------------ deciding */

static void watch(struct mr_balancer *b)
{
    b->is_levelling = false;
    b->returns = 0;
    b->even = 0;
    memset(b->gave, 0, sizeof(b->gave));
}

/* Does this period go on with what was seen before?  Else what was seen is forgotten. */
static bool goes_on(struct mr_balancer *b, const uint64_t *busy_ns, uint32_t count,
                    uint64_t period_ns)
{
    struct ends ends = find_ends(busy_ns, count, period_ns);

    if (b->is_levelling) /* the mean counts */
        return true;
    if (!is_skewed(&b->rule, &ends)) {
        look_anew(b);
        return false;
    }
    if (ends.most != b->candidate)
        look_anew(b);
    b->candidate = ends.most;
    return true;
}

/* Enough was seen: is there to be a round? */
static bool wants_round(struct mr_balancer *b, const struct ends *ends, uint32_t conn_count)
{
    bool is_even = !is_uneven(ends);

    b->even = is_even ? b->even + 1 : 0;
    if (!is_even)
        b->returns += (uint32_t)(b->gave[ends->least] >> ends->most & 1);
    if (conn_count < 2 || b->returns > MR_BALANCE_RETURNS || b->even == MR_BALANCE_SURE)
        watch(b);
    else if (!is_even)
        return true;
    return false;
}

/* What makes them even, as a share of what the busiest does. */
static struct mr_balance_move begin_round(struct mr_balancer *b, const struct ends *ends)
{
    double share = (double)ends->gap_ns / 2 / (double)ends->busy_ns * MR_BALANCE_WHOLE;

    b->is_levelling = true;
    b->gave[ends->most] |= UINT64_C(1) << ends->least;
    b->rest = MR_BALANCE_REST;
    return (struct mr_balance_move){
        .from = ends->most, .to = ends->least, .share = (uint32_t)share};
}

bool mr_balancer_decide(struct mr_balancer *b, const struct mr_shard_load *loads,
                        uint32_t shard_count, uint64_t period_ns, struct mr_balance_move *move_out)
{
    uint64_t busy_ns[MR_BALANCE_SHARDS_MAX];

    MR_ASSERT(shard_count > 0 && shard_count <= MR_BALANCE_SHARDS_MAX && period_ns > 0);
    if (b->rest > 0) {
        b->rest--;
        look_anew(b);
        return false;
    }
    for (uint32_t i = 0; i < shard_count; i++)
        busy_ns[i] = loads[i].busy_ns;
    if (!goes_on(b, busy_ns, shard_count, period_ns))
        return false;
    see(b, busy_ns, shard_count, period_ns);
    if (b->seen < MR_BALANCE_PERIODS)
        return false;

    struct ends ends = find_ends(b->busy_ns, shard_count, b->seen_ns);
    look_anew(b);
    if (!wants_round(b, &ends, loads[ends.most].conn_count))
        return false;
    *move_out = begin_round(b, &ends);
    return true;
}

void mr_balancer_done(struct mr_balancer *b, enum mr_balance_result result)
{
    if (result == MR_BALANCE_WENT) {
        b->vain = 0;
        return;
    }
    if (result == MR_BALANCE_VAIN)
        watch(b);
    b->vain = MR_MIN(b->vain + 1, (uint32_t)MR_BALANCE_VAIN_MAX);
    b->rest = (uint32_t)MR_BALANCE_PERIODS << b->vain;
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
