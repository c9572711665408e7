/*
 * quic/range_list.h - a sorted set of half-open ranges of stream offsets, in nodes of a shard's
 * pool.
 *
 * Answers "which bytes": lost and to be sent again, acknowledged out of order.
 * Ranges are disjoint and never touch each other; touching ranges are one range.
 *
 *     head                           tail
 *     [begin, end)   [begin, end)    [begin, end)  --> offset
 *
 * Owner: whoever embeds the list.  Threads: the shard's only.
 * Limit: the pool's nodes; a change that needs one more is refused and changes
 * nothing.  A list gives its nodes back with mr_range_list_clear().
 */
#ifndef MR_QUIC_RANGE_LIST_H
#define MR_QUIC_RANGE_LIST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/pool.h"

/* Bytes of [begin, end).  begin < end, except where a function says that empty is allowed. */
struct mr_range {
    uint64_t begin;
    uint64_t end;
};

/* A pool object. */
struct mr_range_node {
    struct mr_range range;
    uint32_t previous; /* pool index, MR_NONE at the ends */
    uint32_t next;
};

struct mr_range_list {
    uint32_t head; /* lowest range; MR_NONE: the list is empty */
    uint32_t tail;
    uint32_t count;
};

static inline void mr_range_list_init(struct mr_range_list *list)
{
    *list = (struct mr_range_list){.head = MR_NONE, .tail = MR_NONE};
}

static inline bool mr_range_list_is_empty(const struct mr_range_list *list)
{
    return list->head == MR_NONE;
}

/* The lowest range.  The list must not be empty. */
static inline struct mr_range mr_range_list_first(const struct mr_range_list *list,
                                                  const struct mr_pool *nodes)
{
    return ((const struct mr_range_node *)mr_pool_at(nodes, list->head))->range;
}

/*
 * Add every byte of `range` (may be empty), joining what it overlaps or touches.
 * False: a node was needed and none is free; nothing has changed.
 * Cost: O(1) at or beyond the tail, else a walk from the tail down to `range`.
 */
bool mr_range_list_add(struct mr_range_list *list, struct mr_pool *nodes, struct mr_range range);

/*
 * Remove every byte of `range` (may be empty).
 * False: a hole in the middle of one range needs a node and none is free; nothing has changed.
 * Cost: O(1) at either end of the list, else a walk from the tail down to `range`.
 */
bool mr_range_list_subtract(struct mr_range_list *list, struct mr_pool *nodes,
                            struct mr_range range);

/* Remove every byte below `watermark`.  Cost: O(1) per range removed. */
void mr_range_list_remove_below(struct mr_range_list *list, struct mr_pool *nodes,
                                uint64_t watermark);

/* Remove the lowest range.  The list must not be empty. */
void mr_range_list_remove_first(struct mr_range_list *list, struct mr_pool *nodes);

/* True if every byte of `range` is in the list.  Cost: as subtract. */
bool mr_range_list_contains(const struct mr_range_list *list, const struct mr_pool *nodes,
                            struct mr_range range);

/*
 * The first part of `range` that is not in the list; empty, at range.end, if all of it is.
 * Walks the holes: go on with {result.end, range.end}.  Cost: as subtract.
 */
struct mr_range mr_range_list_first_missing(const struct mr_range_list *list,
                                            const struct mr_pool *nodes, struct mr_range range);

/* Give all nodes back; the list is empty afterwards. */
void mr_range_list_clear(struct mr_range_list *list, struct mr_pool *nodes);

/* Panic unless every invariant above holds.  For tests, fuzzers and MR_DEBUG. */
void mr_range_list_check(const struct mr_range_list *list, const struct mr_pool *nodes);

#endif /* MR_QUIC_RANGE_LIST_H */
