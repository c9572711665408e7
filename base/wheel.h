/*
 * base/wheel.h - when each of many objects has to be looked at again.
 *
 * A hierarchical timer wheel.  Time is cut into ticks of 2^16 ns (65.5 us); a tick's number
 * has 48 bits, eight groups of six, one per level:
 *
 *     tick       = | g7 | g6 | g5 | g4 | g3 | g2 | g1 | g0 |
 *     level 0      64 slots of one tick      65 us   (4.2 ms in all)
 *     level 1      64 slots of 64 ticks      4.2 ms  (268 ms)
 *     level 2      64 slots of 4096 ticks    268 ms  (17 s)
 *     level 3      ...                       17 s    (18 min)   ... level 7
 *
 * A timer lies on the level of the highest group in which its tick differs from the
 * current one.  When time enters a slot of level 0 its timers expire; when it enters one of
 * a higher level its timers move down.  A bitmap per level finds the next slot.
 *
 * A timer never expires before its deadline and at most one tick after it, given calls of
 * mr_wheel_expire() that keep up.  Setting a timer later leaves it where it is (one node is
 * written, no neighbour); it moves on when its old slot comes: idle timers that every packet
 * postpones cost one store.
 *
 * Objects are named by index < count, each has at most one timer, in a node that the caller
 * provides.  Owner: one shard.  Threads: the owner's only.
 */
#ifndef MR_BASE_WHEEL_H
#define MR_BASE_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/pool.h"

enum {
    MR_WHEEL_TICK_SHIFT = 16, /* 2^16 ns per tick */
    MR_WHEEL_SLOT_BITS = 6,
    MR_WHEEL_SLOTS = 1 << MR_WHEEL_SLOT_BITS,
    MR_WHEEL_LEVELS = 8,
    MR_WHEEL_MOVES_MAX = 256, /* timers that one mr_wheel_expire() moves without returning them */
};

#define MR_WHEEL_TICK_NS      (UINT64_C(1) << MR_WHEEL_TICK_SHIFT)
#define MR_WHEEL_DEADLINE_MAX (UINT64_MAX - (MR_WHEEL_TICK_NS - 1)) /* a later one never comes */

_Static_assert(MR_WHEEL_TICK_SHIFT + MR_WHEEL_LEVELS * MR_WHEEL_SLOT_BITS == 64,
               "the levels cover every deadline");

/* An object's timer.  The wheel's, in memory of the caller's. */
struct mr_wheel_node {
    uint64_t deadline; /* ns */
    uint32_t prev;     /* in the slot's list; MR_NONE: first */
    uint32_t next;     /* MR_NONE: last */
    uint32_t slot;     /* level * MR_WHEEL_SLOTS + slot; MR_NONE: not set */
};

struct mr_wheel {
    struct mr_wheel_node *nodes;
    uint32_t count;     /* nodes */
    uint32_t set_count; /* timers that are set */
    uint32_t cascading; /* the slot of a higher level that time has entered; MR_NONE: none */
    uint64_t tick;      /* timers before it have expired; those of it are expiring */
    uint64_t occupied[MR_WHEEL_LEVELS]; /* bit: slot is not empty */
    uint32_t first[MR_WHEEL_LEVELS * MR_WHEEL_SLOTS];
    uint32_t last[MR_WHEEL_LEVELS * MR_WHEEL_SLOTS];
};

/*
 * Start at `now` (ns) with no timer set.  nodes[0..count) stays borrowed.  O(count).
 */
void mr_wheel_init(struct mr_wheel *wheel, struct mr_wheel_node *nodes, uint32_t count,
                   uint64_t now);

/*
 * Go on with `count` nodes, at least as many as before, in `nodes`, into which the caller has
 * copied the old ones.  O(new nodes).
 */
void mr_wheel_grow(struct mr_wheel *wheel, struct mr_wheel_node *nodes, uint32_t count);

/*
 * Set the timer of object `index` to `deadline` (ns), whether or not it is set.  One that has
 * passed expires in the next mr_wheel_expire(); one above MR_WHEEL_DEADLINE_MAX (UINT64_MAX:
 * "no deadline") clears the timer.  O(1).
 */
void mr_wheel_set(struct mr_wheel *wheel, uint32_t index, uint64_t deadline);

/* Clear the timer of object `index`; no effect if it is not set.  O(1). */
void mr_wheel_clear(struct mr_wheel *wheel, uint32_t index);

static inline bool mr_wheel_is_set(const struct mr_wheel *wheel, uint32_t index)
{
    MR_DASSERT(index < wheel->count);
    return wheel->nodes[index].slot != MR_NONE;
}

/* Ask for the timer of object `index`, which among many is in no cache. */
MR_INLINE void mr_wheel_ask(const struct mr_wheel *wheel, uint32_t index)
{
    MR_PREFETCH_WRITE(&wheel->nodes[index]);
}

/* Some time later, for those that setting it writes as well: its neighbours in its slot. */
MR_INLINE void mr_wheel_ask_beside(const struct mr_wheel *wheel, uint32_t index)
{
    const struct mr_wheel_node *node = &wheel->nodes[index];

    if (node->slot == MR_NONE)
        return;
    if (node->prev != MR_NONE)
        MR_PREFETCH_WRITE(&wheel->nodes[node->prev]);
    if (node->next != MR_NONE)
        MR_PREFETCH_WRITE(&wheel->nodes[node->next]);
}

/* The deadline of object `index` (ns); UINT64_MAX if its timer is not set. */
static inline uint64_t mr_wheel_deadline(const struct mr_wheel *wheel, uint32_t index)
{
    return mr_wheel_is_set(wheel, index) ? wheel->nodes[index].deadline : UINT64_MAX;
}

/*
 * Clear timers whose deadline has passed at `now` (ns) and put their objects' indexes into
 * indexes_out[0..room), in the order of their ticks; within
 * a tick, in the order in which they came to it.  Returns how many.
 *
 * Handles at most `room` + MR_WHEEL_MOVES_MAX timers; when more work is left
 * mr_wheel_next() <= now, and the next call goes on.  A `now` before that of an earlier call
 * counts as that one.
 */
uint32_t mr_wheel_expire(struct mr_wheel *wheel, uint32_t *indexes_out, uint32_t room,
                         uint64_t now);

/*
 * A time (ns) before which mr_wheel_expire() has nothing to do; UINT64_MAX if no timer is set.
 * Exact to a tick for timers of level 0, for later ones the time at which they move down.
 * O(levels).
 */
uint64_t mr_wheel_next(const struct mr_wheel *wheel);

/* Panic if an invariant is broken.  O(count). */
void mr_wheel_check(const struct mr_wheel *wheel);

#endif /* MR_BASE_WHEEL_H */
