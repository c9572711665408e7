/* drivers/memif_count.c - see memif_count.h. */
#include "drivers/memif_count.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "drivers/port_facts.h"

#define STATS (sizeof(struct rte_eth_stats) / sizeof(uint64_t))

_Static_assert(STATS * sizeof(uint64_t) == sizeof(struct rte_eth_stats), "it is numbers only");

/* All that the driver counts; what it has not is 0. */
struct numbers {
    uint64_t stats[STATS]; /* struct rte_eth_stats */
    uint64_t values[MR_PORT_COUNTERS_MAX];
};

struct mr_memif_count {
    pthread_mutex_t mutex; /* of all below, and of the driver's counters */
    uint16_t ethdev;
    bool is_counting;
    int value_count;
    struct numbers begin; /* of the connection */
    struct numbers kept;  /* of connections before it */
    struct numbers now;
    struct rte_eth_xstat values[MR_PORT_COUNTERS_MAX];
};

struct mr_memif_count *mr_memif_count_new(uint16_t ethdev)
{
    struct mr_memif_count *count = calloc(1, sizeof(*count));

    if (count == NULL)
        return NULL;
    count->ethdev = ethdev;
    pthread_mutex_init(&count->mutex, NULL);
    return count;
}

void mr_memif_count_free(struct mr_memif_count *count)
{
    if (count == NULL)
        return;
    pthread_mutex_destroy(&count->mutex);
    free(count);
}

static void read_driver(struct mr_memif_count *count, struct numbers *to)
{
    struct rte_eth_stats stats = {0};

    memset(to, 0, sizeof(*to));
    (void)rte_eth_stats_get(count->ethdev, &stats);
    memcpy(to->stats, &stats, sizeof(stats));
    int given = rte_eth_xstats_get(count->ethdev, count->values, MR_PORT_COUNTERS_MAX);
    count->value_count = given < 0 || given > MR_PORT_COUNTERS_MAX ? 0 : given;
    for (int i = 0; i < count->value_count; i++)
        to->values[i] = count->values[i].value;
}

/* Add what was counted from `begin` to `end`. */
static void add(struct numbers *to, const struct numbers *begin, const struct numbers *end)
{
    for (size_t i = 0; i < STATS; i++)
        to->stats[i] += end->stats[i] - begin->stats[i];
    for (size_t i = 0; i < MR_COUNT_OF(to->values); i++)
        to->values[i] += end->values[i] - begin->values[i];
}

void mr_memif_count_turn(struct mr_memif_count *count, bool begins)
{
    pthread_mutex_lock(&count->mutex);
    if (begins) {
        read_driver(count, &count->begin);
    } else {
        read_driver(count, &count->now);
        add(&count->kept, &count->begin, &count->now);
    }
    count->is_counting = begins;
    pthread_mutex_unlock(&count->mutex);
}

/* Up to now, into count->now.  The mutex is locked. */
static void add_up(struct mr_memif_count *count)
{
    read_driver(count, &count->now);
    if (!count->is_counting)
        count->now = count->begin; /* what the driver says is of no connection, or in `kept` */
    add(&count->now, &count->begin, &count->kept);
}

void mr_memif_count_stats(struct mr_memif_count *count, struct rte_eth_stats *stats_out)
{
    pthread_mutex_lock(&count->mutex);
    add_up(count);
    memcpy(stats_out, count->now.stats, sizeof(*stats_out));
    pthread_mutex_unlock(&count->mutex);
}

int mr_memif_count_values(struct mr_memif_count *count, struct rte_eth_xstat *values_out,
                          unsigned room)
{
    pthread_mutex_lock(&count->mutex);
    add_up(count);
    int given = MR_MIN(count->value_count, (int)room);
    for (int i = 0; i < given; i++)
        values_out[i] =
            (struct rte_eth_xstat){.id = count->values[i].id, .value = count->now.values[i]};
    pthread_mutex_unlock(&count->mutex);
    return given;
}
