/*
 * control/spread.h - do all queues of a port receive?  A card whose table leaves queues out, or a
 * driver that spreads over fewer than it says, makes shards idle that nobody misses.
 *
 * Judged once connections have come that would have hit every queue: that 16 for each, all from
 * ports of their own, leave out one of 2 to 64 queues by chance happens once in 150,000 starts or
 * less.  Shards that read queues of their own are asked, not I/O lcores.
 *
 * Owner: the group's.  Threads: the control thread.
 */
#ifndef MR_CONTROL_SPREAD_H
#define MR_CONTROL_SPREAD_H

#include <stdbool.h>
#include <stdint.h>

#define MR_SPREAD_CONNECTIONS 16u /* for each queue, before it is judged */

enum mr_spread_state {
    MR_SPREAD_UNKNOWN, /* too few connections yet */
    MR_SPREAD_GOOD,    /* every queue receives */
    MR_SPREAD_BAD      /* `queue` had received nothing when it was judged, and has not since */
};

struct mr_spread {
    enum mr_spread_state state;
    uint32_t queue;
};

/* What is known: `received` datagrams at each of `queues` queues, `connections` accepted. */
struct mr_spread mr_spread_judge(const uint64_t *received, uint32_t queues, uint64_t connections);

/* In words, for a table: "all", "none at 3". */
void mr_spread_describe(const struct mr_spread *spread, uint32_t queues, char *text_out,
                        uint32_t size);

#endif /* MR_CONTROL_SPREAD_H */
