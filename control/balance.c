/* control/balance.c - see balance.h. */
#include "control/balance.h"

#include <stdlib.h>

#include "control/group.h"
#include "dataplane/clock.h"
#include "dataplane/shard_order.h"

#define PERIOD_NS     (200 * MR_MS)
#define LOOK_NS       MR_MS /* while an order is out */
#define BALANCE_CONNS 1000
#define FULL_PACKET   1200 /* bytes; received data counts as packets of so many */

_Static_assert(MR_BALANCE_SHARDS_MAX == MR_SHARDS_MAX, "as many as there may be");

enum stage {
    WATCHING,  /* periods go by */
    LISTING,   /* LIST is out: what its connections have done in all */
    LISTED,    /* a period goes by */
    WEIGHING,  /* LIST is out again */
    SPREADING, /* SPREAD is out */
};

struct mr_balance {
    struct mr_group *group;
    struct mr_clock clock;
    struct mr_balancer balancer;
    enum stage stage;
    uint64_t began_ns;                   /* the period */
    uint64_t busy_cycles[MR_SHARDS_MAX]; /* until then */
    struct mr_balance_move move;
    uint32_t hand;              /* where the next list begins */
    bool has_found;             /* since it began at the front: something to move */
    struct mr_work_list before; /* in before_works */
    struct mr_shard_order order;
    struct mr_conn_work before_works[BALANCE_CONNS];
    struct mr_conn_work works[BALANCE_CONNS];
    struct mr_shard_conn conns[BALANCE_CONNS];
};

static struct mr_shard *giver(const struct mr_balance *b)
{
    return b->group->shards[b->move.from];
}

/* ------------------------------------------------------------------ how busy shards are */

static void begin_period(struct mr_balance *b, uint64_t now)
{
    b->began_ns = now;
    for (uint32_t i = 0; i < b->group->config.shard_count; i++) {
        struct mr_shard_stats stats;

        mr_shard_read_stats(b->group->shards[i], &stats);
        b->busy_cycles[i] = stats.busy_cycles;
    }
}

/* The period is over: is one too busy? */
static bool end_period(struct mr_balance *b, uint64_t now)
{
    struct mr_shard_load loads[MR_SHARDS_MAX];
    uint32_t count = b->group->config.shard_count;

    for (uint32_t i = 0; i < count; i++) {
        struct mr_shard_stats stats;

        mr_shard_read_stats(b->group->shards[i], &stats);
        loads[i] = (struct mr_shard_load){
            .busy_ns = mr_clock_ns(&b->clock, stats.busy_cycles - b->busy_cycles[i]),
            .conn_count = mr_shard_conn_count(b->group->shards[i])};
    }
    return mr_balancer_decide(&b->balancer, loads, count, now - b->began_ns, &b->move);
}

static void watch(struct mr_balance *b, uint64_t now)
{
    b->stage = WATCHING;
    begin_period(b, now);
}

/* ------------------------------------------------------------------ orders */

/* Give it, unless the last one of a command's is out still. */
static void give(struct mr_balance *b, const struct mr_shard_order *order, enum stage stage)
{
    if (!mr_shard_order_is_done(giver(b)))
        return;
    b->order = *order;
    b->stage = stage;
    mr_shard_give_order(giver(b), &b->order);
}

static void list(struct mr_balance *b, enum stage stage)
{
    give(b,
         &(struct mr_shard_order){
             .kind = MR_ORDER_LIST, .conns = b->conns, .room = BALANCE_CONNS, .hand = b->hand},
         stage);
}

/* ------------------------------------------------------------------ what connections do */

/* What those that were listed have done in all. */
static struct mr_work_list read_list(const struct mr_balance *b, struct mr_conn_work *works)
{
    for (uint32_t i = 0; i < b->order.count; i++) {
        const struct mr_conn_info *info = &b->conns[i].info;

        works[i].conn = b->conns[i].conn;
        works[i].work = info->packets_sent + info->bytes_received / FULL_PACKET;
    }
    return (struct mr_work_list){.works = works, .count = b->order.count};
}

/* Where the next list is to begin: behind this one, if that was not all. */
static uint32_t next_hand(const struct mr_balance *b)
{
    return b->order.total > b->order.count ? (uint32_t)b->conns[b->order.count - 1].conn + 1 : 0;
}

static enum mr_balance_result result_of(const struct mr_shard_order *spread)
{
    if (spread->moved > 0 || spread->hand < spread->work_count)
        return MR_BALANCE_WENT;
    return spread->unready > 0 ? MR_BALANCE_HELD : MR_BALANCE_VAIN;
}

/* In vain is only what found nothing in all lists of the shard's connections. */
static void end_round(struct mr_balance *b, enum mr_balance_result result)
{
    bool is_vain = result == MR_BALANCE_VAIN;

    b->has_found |= !is_vain;
    if (!is_vain || (b->hand == 0 && !b->has_found))
        mr_balancer_done(&b->balancer, result);
    if (b->hand == 0)
        b->has_found = false;
}

static void spread(struct mr_balance *b, uint64_t now)
{
    struct mr_work_list list = read_list(b, b->works);
    uint64_t total = mr_balancer_weigh(&b->before, &list);

    b->hand = next_hand(b);
    watch(b, now);
    if (list.count == 0)
        end_round(b, MR_BALANCE_VAIN);
    else
        give(b,
             &(struct mr_shard_order){.kind = MR_ORDER_SPREAD,
                                      .works = list.works,
                                      .work_count = list.count,
                                      .to = b->move.to,
                                      .budget = total * b->move.share / MR_BALANCE_WHOLE},
             SPREADING);
}

/* ------------------------------------------------------------------ steps */

static bool is_order_out(const struct mr_balance *b)
{
    return b->stage != WATCHING && b->stage != LISTED && !mr_shard_order_is_done(giver(b));
}

static void step(struct mr_balance *b, uint64_t now)
{
    bool is_over = now - b->began_ns >= PERIOD_NS;

    switch (b->stage) {
    case WATCHING:
        if (is_over && end_period(b, now))
            list(b, LISTING);
        if (is_over)
            begin_period(b, now);
        break;
    case LISTING:
        b->before = read_list(b, b->before_works);
        b->stage = LISTED;
        b->began_ns = now;
        break;
    case LISTED:
        if (is_over)
            list(b, WEIGHING);
        break;
    case WEIGHING:
        spread(b, now);
        break;
    case SPREADING:
        end_round(b, result_of(&b->order));
        watch(b, now);
        break;
    }
}

uint64_t mr_balance_poll(struct mr_balance *b)
{
    uint64_t now = mr_clock_now(&b->clock);

    if (is_order_out(b))
        return LOOK_NS;
    step(b, now);
    if (is_order_out(b))
        return LOOK_NS;
    uint64_t passed = now - b->began_ns;
    return passed < PERIOD_NS ? PERIOD_NS - passed : LOOK_NS;
}

/* ------------------------------------------------------------------ life */

struct mr_balance *mr_balance_new(struct mr_group *group, const struct mr_balance_rule *rule)
{
    struct mr_balance *b = calloc(1, sizeof(*b));

    if (b == NULL)
        return NULL;
    b->group = group;
    b->clock = mr_clock_init();
    b->balancer = mr_balancer_make(rule);
    watch(b, mr_clock_now(&b->clock));
    return b;
}

void mr_balance_free(struct mr_balance *b)
{
    free(b);
}
