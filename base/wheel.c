/*
 * base/wheel.c - see wheel.h.
 *
 * What always holds (mr_wheel_check): a timer that lies on level L, slot s agrees with the
 * current tick in all groups above L, and s is above group L of the current tick; except for
 * the slot of level 0 that is the current tick (expiring), and for `cascading`, the one slot
 * of a higher level that time has entered.  So the lowest occupied level has the next slot,
 * and time can jump to the start of it without touching any other timer.
 *
 * Order in this file: places, lists, set and clear, time, invariants.
 */
#include "base/wheel.h"

#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"

#define TICK_MAX   ((UINT64_C(1) << MR_WHEEL_LEVELS * MR_WHEEL_SLOT_BITS) - 1)
#define GROUP_MASK (MR_WHEEL_SLOTS - 1)

/* The first tick that begins at or after `deadline`: a timer is late by less than a tick, never
 * early. */
static uint64_t tick_after(uint64_t deadline)
{
    return (deadline >> MR_WHEEL_TICK_SHIFT) + ((deadline & (MR_WHEEL_TICK_NS - 1)) != 0);
}

static uint32_t group_of(uint64_t tick, uint32_t level)
{
    return (uint32_t)(tick >> level * MR_WHEEL_SLOT_BITS) & GROUP_MASK;
}

/* The slot for a timer of `tick`; a tick that has passed expires with the current one. */
static uint32_t slot_for(const struct mr_wheel *wheel, uint64_t tick)
{
    tick = MR_MAX(tick, wheel->tick);

    uint64_t differs = (tick ^ wheel->tick) | 1; /* | 1: no difference is level 0 as well */
    uint32_t level = (63 - (uint32_t)__builtin_clzll(differs)) / MR_WHEEL_SLOT_BITS;
    return level * MR_WHEEL_SLOTS + group_of(tick, level);
}

/* The first tick of `slot`. */
static uint64_t start_of(const struct mr_wheel *wheel, uint32_t slot)
{
    uint32_t shift = slot / MR_WHEEL_SLOTS * MR_WHEEL_SLOT_BITS;
    uint64_t above = wheel->tick >> shift >> MR_WHEEL_SLOT_BITS << MR_WHEEL_SLOT_BITS;

    return (above | (slot & GROUP_MASK)) << shift;
}

/* Append, so that timers of one tick expire in the order in which they were set: none starves. */
static void link_node(struct mr_wheel *wheel, uint32_t index, uint32_t slot)
{
    struct mr_wheel_node *node = &wheel->nodes[index];

    node->slot = slot;
    node->prev = wheel->last[slot];
    node->next = MR_NONE;
    if (node->prev != MR_NONE)
        wheel->nodes[node->prev].next = index;
    else
        wheel->first[slot] = index;
    wheel->last[slot] = index;
    wheel->occupied[slot / MR_WHEEL_SLOTS] |= UINT64_C(1) << (slot & GROUP_MASK);
    wheel->set_count++;
}

static void on_slot_empty(struct mr_wheel *wheel, uint32_t slot)
{
    wheel->occupied[slot / MR_WHEEL_SLOTS] &= ~(UINT64_C(1) << (slot & GROUP_MASK));
    if (wheel->cascading == slot)
        wheel->cascading = MR_NONE;
}

static void unlink_node(struct mr_wheel *wheel, uint32_t index)
{
    struct mr_wheel_node *node = &wheel->nodes[index];
    uint32_t slot = node->slot;

    if (node->next != MR_NONE)
        wheel->nodes[node->next].prev = node->prev;
    else
        wheel->last[slot] = node->prev;
    if (node->prev != MR_NONE)
        wheel->nodes[node->prev].next = node->next;
    else
        wheel->first[slot] = node->next;
    if (wheel->first[slot] == MR_NONE)
        on_slot_empty(wheel, slot);
    node->slot = MR_NONE;
    wheel->set_count--;
}

void mr_wheel_init(struct mr_wheel *wheel, struct mr_wheel_node *nodes, uint32_t count,
                   uint64_t now)
{
    *wheel = (struct mr_wheel){
        .nodes = nodes,
        .count = count,
        .cascading = MR_NONE,
        .tick = now >> MR_WHEEL_TICK_SHIFT,
    };
    for (uint32_t i = 0; i < MR_COUNT_OF(wheel->first); i++)
        wheel->first[i] = wheel->last[i] = MR_NONE;
    for (uint32_t i = 0; i < count; i++)
        nodes[i].slot = MR_NONE;
}

void mr_wheel_grow(struct mr_wheel *wheel, struct mr_wheel_node *nodes, uint32_t count)
{
    MR_ASSERT(count >= wheel->count);
    for (uint32_t i = wheel->count; i < count; i++)
        nodes[i].slot = MR_NONE;
    wheel->nodes = nodes;
    wheel->count = count;
}

void mr_wheel_set(struct mr_wheel *wheel, uint32_t index, uint64_t deadline)
{
    MR_ASSERT(index < wheel->count);
    struct mr_wheel_node *node = &wheel->nodes[index];

    if (deadline > MR_WHEEL_DEADLINE_MAX) {
        mr_wheel_clear(wheel, index);
        return;
    }
    node->deadline = deadline;

    /* Where it lies it will be looked at in time: leave it there, its neighbours are not in the
     * cache. */
    uint64_t tick = tick_after(deadline);
    if (node->slot != MR_NONE) {
        if (tick >= start_of(wheel, node->slot))
            return;
        unlink_node(wheel, index);
    }
    link_node(wheel, index, slot_for(wheel, tick));
}

void mr_wheel_clear(struct mr_wheel *wheel, uint32_t index)
{
    MR_ASSERT(index < wheel->count);
    if (wheel->nodes[index].slot != MR_NONE)
        unlink_node(wheel, index);
}

/* The slot that needs work next: what is under way, else the lowest level's first.  MR_NONE if all
 * are empty. */
static uint32_t next_slot(const struct mr_wheel *wheel)
{
    if (wheel->cascading != MR_NONE)
        return wheel->cascading;
    for (uint32_t level = 0; level < MR_WHEEL_LEVELS; level++)
        if (wheel->occupied[level] != 0)
            return level * MR_WHEEL_SLOTS + (uint32_t)__builtin_ctzll(wheel->occupied[level]);
    return MR_NONE;
}

uint64_t mr_wheel_next(const struct mr_wheel *wheel)
{
    uint32_t slot = next_slot(wheel);

    return slot == MR_NONE ? UINT64_MAX : start_of(wheel, slot) << MR_WHEEL_TICK_SHIFT;
}

/*
 * Take the first timer out of `slot`, which time has reached.  True if it has expired;
 * if not (higher level, or set later meanwhile), it is put into the slot of its deadline.
 */
static bool take_first(struct mr_wheel *wheel, uint32_t slot)
{
    uint32_t index = wheel->first[slot];
    uint64_t tick = tick_after(wheel->nodes[index].deadline);

    unlink_node(wheel, index);
    if (tick > wheel->tick) {
        link_node(wheel, index, slot_for(wheel, tick));
        return false;
    }
    return true;
}

/* Move time on to the first tick of `slot`. */
static void enter(struct mr_wheel *wheel, uint32_t slot)
{
    wheel->tick = start_of(wheel, slot);
    if (slot >= MR_WHEEL_SLOTS)
        wheel->cascading = slot;
}

uint32_t mr_wheel_expire(struct mr_wheel *wheel, uint32_t *indexes_out, uint32_t room, uint64_t now)
{
    uint64_t until = now >> MR_WHEEL_TICK_SHIFT;
    uint32_t expired = 0;
    uint32_t moved = 0;

    for (;;) {
        uint32_t slot = next_slot(wheel);
        if (slot == MR_NONE || start_of(wheel, slot) > until)
            break;
        if (expired == room || moved == MR_WHEEL_MOVES_MAX)
            return expired;

        enter(wheel, slot);
        uint32_t index = wheel->first[slot];
        if (take_first(wheel, slot))
            indexes_out[expired++] = index;
        else
            moved++;
    }
    wheel->tick = MR_MAX(wheel->tick, until);
    return expired;
}

/* Panic if a timer lies in a slot that time has passed, or cannot have reached yet. */
MR_UNCOUNTED static void check_place(const struct mr_wheel *wheel, uint32_t slot)
{
    uint32_t level = slot / MR_WHEEL_SLOTS;
    uint32_t current = group_of(wheel->tick, level);

    if (level == 0)
        MR_ASSERT((slot & GROUP_MASK) >= current);
    else if (slot == wheel->cascading)
        MR_ASSERT((slot & GROUP_MASK) == current);
    else
        MR_ASSERT((slot & GROUP_MASK) > current);
}

/* Panic if the list of `slot` is broken, or a timer in it is due before the slot.  Returns its
 * length. */
MR_UNCOUNTED static uint32_t check_list(const struct mr_wheel *wheel, uint32_t slot)
{
    uint64_t start = start_of(wheel, slot);
    uint32_t prev = MR_NONE;
    uint32_t length = 0;

    for (uint32_t i = wheel->first[slot]; i != MR_NONE; prev = i, i = wheel->nodes[i].next) {
        MR_ASSERT(i < wheel->count);
        MR_ASSERT(wheel->nodes[i].prev == prev);
        MR_ASSERT(wheel->nodes[i].slot == slot);
        MR_ASSERT(wheel->nodes[i].deadline <= MR_WHEEL_DEADLINE_MAX);
        if (start > wheel->tick)
            MR_ASSERT(tick_after(wheel->nodes[i].deadline) >= start);
        length++;
    }
    MR_ASSERT(wheel->last[slot] == prev);
    return length;
}

MR_UNCOUNTED void mr_wheel_check(const struct mr_wheel *wheel)
{
    uint32_t listed = 0;
    uint32_t set = 0;

    MR_ASSERT(wheel->tick <= TICK_MAX);
    for (uint32_t slot = 0; slot < MR_COUNT_OF(wheel->first); slot++) {
        uint64_t bit = wheel->occupied[slot / MR_WHEEL_SLOTS] >> (slot & GROUP_MASK) & 1;

        MR_ASSERT((wheel->first[slot] != MR_NONE) == (bit != 0));
        MR_ASSERT((wheel->last[slot] != MR_NONE) == (bit != 0));
        if (bit == 0)
            continue;
        check_place(wheel, slot);
        listed += check_list(wheel, slot);
    }
    for (uint32_t i = 0; i < wheel->count; i++)
        set += wheel->nodes[i].slot != MR_NONE;
    MR_ASSERT(listed == wheel->set_count);
    MR_ASSERT(set == wheel->set_count);
    if (wheel->cascading != MR_NONE) {
        MR_ASSERT(wheel->first[wheel->cascading] != MR_NONE);
        MR_ASSERT(start_of(wheel, wheel->cascading) == wheel->tick);
    }
}
