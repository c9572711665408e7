/*
 * dataplane/app_chain.h - doubly linked lists of the objects of a pool, by index.
 *
 *     chain {head, tail}     object 7 {link}  <-->  object 3 {link}  <-->  object 9 {link}
 *
 * An object is in as many chains at once as it has links; which link a chain goes through is said
 * by the link's offset in the object.  Everything is O(1).
 *
 * Owner: the pool's.  Threads: the owner's only.
 */
#ifndef MR_DATAPLANE_APP_CHAIN_H
#define MR_DATAPLANE_APP_CHAIN_H

#include "base/pool.h"

struct mr_app_link {
    uint32_t prev; /* MR_NONE: first */
    uint32_t next; /* MR_NONE: last */
};

struct mr_app_chain {
    uint32_t head; /* MR_NONE: empty */
    uint32_t tail;
};

#define MR_APP_CHAIN_EMPTY ((struct mr_app_chain){MR_NONE, MR_NONE})

static inline struct mr_app_link *mr_app_link_at(const struct mr_pool *pool, size_t offset,
                                                 uint32_t index)
{
    return (struct mr_app_link *)(void *)((uint8_t *)mr_pool_at(pool, index) + offset);
}

/* Put object `index` at the end; it must not be in the chain. */
static inline void mr_app_chain_push(struct mr_app_chain *chain, const struct mr_pool *pool,
                                     size_t offset, uint32_t index)
{
    *mr_app_link_at(pool, offset, index) = (struct mr_app_link){chain->tail, MR_NONE};
    if (chain->tail == MR_NONE)
        chain->head = index;
    else
        mr_app_link_at(pool, offset, chain->tail)->next = index;
    chain->tail = index;
}

/* Take object `index` out, from wherever it stands in the chain. */
static inline void mr_app_chain_remove(struct mr_app_chain *chain, const struct mr_pool *pool,
                                       size_t offset, uint32_t index)
{
    struct mr_app_link link = *mr_app_link_at(pool, offset, index);

    if (link.prev == MR_NONE)
        chain->head = link.next;
    else
        mr_app_link_at(pool, offset, link.prev)->next = link.next;
    if (link.next == MR_NONE)
        chain->tail = link.prev;
    else
        mr_app_link_at(pool, offset, link.next)->prev = link.prev;
}

/* How many are in it, each of whose neighbours agrees; panics otherwise.  O(that). */
static inline uint32_t mr_app_chain_check(const struct mr_app_chain *chain,
                                          const struct mr_pool *pool, size_t offset)
{
    uint32_t count = 0;
    uint32_t last = MR_NONE;

    for (uint32_t i = chain->head; i != MR_NONE; count++) {
        MR_ASSERT(mr_app_link_at(pool, offset, i)->prev == last);
        MR_ASSERT(count < pool->fresh); /* else the chain is a circle */
        last = i;
        i = mr_app_link_at(pool, offset, i)->next;
    }
    MR_ASSERT(chain->tail == last);
    return count;
}

#endif /* MR_DATAPLANE_APP_CHAIN_H */
