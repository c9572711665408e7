/*
 * quic/range_list.c - see range_list.h.
 *
 * Order in this file: adding, removing, queries, life cycle, invariants.
 */
#include "quic/range_list.h"

#include "base/assert.h"
#include "base/compiler.h"

/* MR_COLD: inlined, it makes the tail path of mr_range_list_add save registers. */
MR_COLD static bool add_below_tail(struct mr_range_list *list, struct mr_pool *nodes,
                                   struct mr_range range);
static bool insert_after(struct mr_range_list *list, struct mr_pool *nodes, uint32_t at,
                         struct mr_range range);
static void unlink_node(struct mr_range_list *list, struct mr_pool *nodes, uint32_t at);

static struct mr_range_node *node_at(const struct mr_pool *nodes, uint32_t index)
{
    return mr_pool_at(nodes, index);
}

bool mr_range_list_add(struct mr_range_list *list, struct mr_pool *nodes, struct mr_range range)
{
    MR_DASSERT(range.begin <= range.end);
    if (range.begin == range.end)
        return true;
    if (list->tail == MR_NONE)
        return insert_after(list, nodes, MR_NONE, range);

    struct mr_range *tail = &node_at(nodes, list->tail)->range;
    if (range.begin > tail->end)
        return insert_after(list, nodes, list->tail, range);
    if (range.begin >= tail->begin) {
        tail->end = MR_MAX(tail->end, range.end);
        return true;
    }
    return add_below_tail(list, nodes, range);
}

static bool add_below_tail(struct mr_range_list *list, struct mr_pool *nodes, struct mr_range range)
{
    /* The highest node that begins at or below range.end: the one to join, or to insert after. */
    uint32_t at = list->tail;
    while (at != MR_NONE && node_at(nodes, at)->range.begin > range.end)
        at = node_at(nodes, at)->previous;

    if (at == MR_NONE || node_at(nodes, at)->range.end < range.begin)
        return insert_after(list, nodes, at, range);

    struct mr_range_node *node = node_at(nodes, at);
    node->range.begin = MR_MIN(node->range.begin, range.begin);
    node->range.end = MR_MAX(node->range.end, range.end);
    while (node->previous != MR_NONE) {
        const struct mr_range *below = &node_at(nodes, node->previous)->range;

        if (below->end < node->range.begin)
            break;
        node->range.begin = MR_MIN(node->range.begin, below->begin);
        unlink_node(list, nodes, node->previous);
    }
    return true;
}

/* Put a new node behind `at`, or at the front if that is MR_NONE. */
static bool insert_after(struct mr_range_list *list, struct mr_pool *nodes, uint32_t at,
                         struct mr_range range)
{
    uint32_t index = mr_pool_get(nodes);
    if (index == MR_NONE)
        return false;

    uint32_t next = at == MR_NONE ? list->head : node_at(nodes, at)->next;
    *node_at(nodes, index) = (struct mr_range_node){.range = range, .previous = at, .next = next};
    if (at == MR_NONE)
        list->head = index;
    else
        node_at(nodes, at)->next = index;
    if (next == MR_NONE)
        list->tail = index;
    else
        node_at(nodes, next)->previous = index;
    list->count++;
    return true;
}

static void unlink_node(struct mr_range_list *list, struct mr_pool *nodes, uint32_t at)
{
    const struct mr_range_node *node = node_at(nodes, at);

    if (node->previous == MR_NONE)
        list->head = node->next;
    else
        node_at(nodes, node->previous)->next = node->next;
    if (node->next == MR_NONE)
        list->tail = node->previous;
    else
        node_at(nodes, node->next)->previous = node->previous;
    list->count--;
    mr_pool_put(nodes, at);
}

/* The lowest node that ends above `offset`; MR_NONE if none does.  Traffic asks at either end of
 * the list. */
static uint32_t find_ending_above(const struct mr_range_list *list, const struct mr_pool *nodes,
                                  uint64_t offset)
{
    if (list->head == MR_NONE || node_at(nodes, list->head)->range.end > offset)
        return list->head;

    uint32_t above = MR_NONE;
    for (uint32_t at = list->tail; node_at(nodes, at)->range.end > offset;) {
        above = at;
        at = node_at(nodes, at)->previous;
    }
    return above;
}

bool mr_range_list_subtract(struct mr_range_list *list, struct mr_pool *nodes,
                            struct mr_range range)
{
    MR_DASSERT(range.begin <= range.end);
    if (range.begin == range.end)
        return true;

    uint32_t at = find_ending_above(list, nodes, range.begin);
    while (at != MR_NONE && node_at(nodes, at)->range.begin < range.end) {
        struct mr_range *have = &node_at(nodes, at)->range;
        uint32_t next = node_at(nodes, at)->next;
        bool keeps_low = have->begin < range.begin;
        bool keeps_high = have->end > range.end;

        if (keeps_low && keeps_high) {
            if (!insert_after(list, nodes, at, (struct mr_range){range.end, have->end}))
                return false;
            have->end = range.begin;
            return true;
        }
        if (keeps_low)
            have->end = range.begin;
        else if (keeps_high)
            have->begin = range.end;
        else
            unlink_node(list, nodes, at);
        at = next;
    }
    return true;
}

void mr_range_list_remove_below(struct mr_range_list *list, struct mr_pool *nodes,
                                uint64_t watermark)
{
    while (list->head != MR_NONE) {
        struct mr_range *lowest = &node_at(nodes, list->head)->range;

        if (lowest->end > watermark) {
            lowest->begin = MR_MAX(lowest->begin, watermark);
            return;
        }
        unlink_node(list, nodes, list->head);
    }
}

void mr_range_list_remove_first(struct mr_range_list *list, struct mr_pool *nodes)
{
    MR_ASSERT(list->head != MR_NONE);
    unlink_node(list, nodes, list->head);
}

bool mr_range_list_contains(const struct mr_range_list *list, const struct mr_pool *nodes,
                            struct mr_range range)
{
    struct mr_range missing = mr_range_list_first_missing(list, nodes, range);

    return missing.begin == missing.end;
}

struct mr_range mr_range_list_first_missing(const struct mr_range_list *list,
                                            const struct mr_pool *nodes, struct mr_range range)
{
    uint32_t at = find_ending_above(list, nodes, range.begin);

    if (at != MR_NONE && node_at(nodes, at)->range.begin <= range.begin) {
        range.begin = MR_MIN(range.end, node_at(nodes, at)->range.end);
        at = node_at(nodes, at)->next; /* begins above: there is a hole before it */
    }
    if (at != MR_NONE)
        range.end = MR_MIN(range.end, node_at(nodes, at)->range.begin);
    return range;
}

void mr_range_list_clear(struct mr_range_list *list, struct mr_pool *nodes)
{
    while (list->head != MR_NONE)
        unlink_node(list, nodes, list->head);
}

void mr_range_list_check(const struct mr_range_list *list, const struct mr_pool *nodes)
{
    uint32_t count = 0;
    uint32_t previous = MR_NONE;

    for (uint32_t at = list->head; at != MR_NONE; at = node_at(nodes, at)->next) {
        const struct mr_range_node *node = node_at(nodes, at);

        MR_ASSERT(node->range.begin < node->range.end);
        MR_ASSERT(node->previous == previous);
        if (previous != MR_NONE)
            MR_ASSERT(node_at(nodes, previous)->range.end < node->range.begin);
        previous = at;
        count++;
    }
    MR_ASSERT(list->tail == previous);
    MR_ASSERT(list->count == count);
}
