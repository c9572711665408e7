/*
 * base/mailbox.h - a bounded queue of 64-byte entries in memory that two processes share and do not
 * trust each other with.
 *
 *     one process                       shared memory                      the other
 *     struct mr_outbox                  entries, two indexes               struct mr_inbox
 *       next, published   --tail-->     [ | x | x | x |   |   ]   <--head--  next
 *       head_seen         <--head--                               --tail-->  tail_seen
 *
 * What a side relies on (where its own entries are, how far it got) it keeps for itself; from the
 * other it takes one index, and checks it.  An index that cannot be says `is_broken`, for good.
 * Entries are written in place by the producer and copied out by the consumer before it looks.
 *
 * Sleeping.  A consumer that wants to sleep says so in a word of shared memory, looks once more,
 * and only then waits; a producer that has published looks at that word, and wakes.  Both exchange
 * the word: whoever comes second sees what the other did before (tests/model/mailbox.pml checks the
 * protocol).
 *
 *     consumer                                   producer
 *       sleeps <-> 1                               tail = ...
 *       tail moved? -> sleeps <-> 0, go on         sleeps <-> 0; was it 1? wake
 *       wait for the wake-up
 *
 * The exchange waits for everything that the producer has written to reach the other side, so it
 * may put it off until that has happened by itself: to mr_outbox_wakes() at any later time, before
 * it waits for anything.
 *
 * Owner: each side its own struct; the memory is whoever's made it.
 * Threads: an outbox and an inbox belong to one thread each.
 */
#ifndef MR_BASE_MAILBOX_H
#define MR_BASE_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "base/crossing.h"

#define MR_MAILBOX_ENTRY 64 /* bytes */
#define MR_MAILBOX_AHEAD                                                                           \
    16 /* entries fetched: about as many lines as a core asks for at a time                        \
        */

/* Where a queue is in shared memory. */
struct mr_mailbox {
    void *entries;          /* `count` of them, aligned to 64 */
    _Atomic uint32_t *tail; /* written by the producer */
    _Atomic uint32_t *head; /* written by the consumer */
    uint32_t count;         /* a power of two */
};

struct mr_outbox {
    struct mr_mailbox box;
    uint32_t mask;
    uint32_t next;      /* where the next entry goes */
    uint32_t published; /* entries below are the consumer's */
    uint32_t head_seen;
    bool is_broken; /* the consumer's index was impossible */
};

struct mr_inbox {
    struct mr_mailbox box;
    uint32_t mask;
    uint32_t next; /* the next entry to take */
    uint32_t tail_seen;
    bool is_broken; /* the producer's index was impossible */
};

static inline void mr_mailbox_check_place(const struct mr_mailbox *box)
{
    MR_ASSERT(box->count > 0);
    MR_ASSERT((box->count & (box->count - 1)) == 0);
    MR_ASSERT(((uintptr_t)box->entries & (MR_MAILBOX_ENTRY - 1)) == 0);
}

/* Begin at index 0; the memory's indexes must be 0, too. */
static inline void mr_outbox_init(struct mr_outbox *out, const struct mr_mailbox *box)
{
    mr_mailbox_check_place(box);
    *out = (struct mr_outbox){.box = *box, .mask = box->count - 1};
}

static inline void mr_inbox_init(struct mr_inbox *in, const struct mr_mailbox *box)
{
    mr_mailbox_check_place(box);
    *in = (struct mr_inbox){.box = *box, .mask = box->count - 1};
}

/* ------------------------------------------------------------------ producing */

/* The consumer's index as it is now; false: it cannot be that. */
static inline bool mr_outbox_look(struct mr_outbox *out)
{
    /* acquire: pairs with the release in mr_inbox_done; the consumer has copied what it passed */
    uint32_t head = atomic_load_explicit(out->box.head, memory_order_acquire);
    MR_CROSSING(ring_looks, 1);

    /* Never behind what it was, never beyond what was published. */
    if (out->is_broken || head - out->head_seen > out->published - out->head_seen) {
        out->is_broken = true;
        return false;
    }
    out->head_seen = head;
    return true;
}

/* How many of `wanted` entries fit now, at most `wanted`; 0 when broken. */
static inline uint32_t mr_outbox_room(struct mr_outbox *out, uint32_t wanted)
{
    uint32_t room = out->box.count - (out->next - out->head_seen);

    if (room < wanted) {
        if (!mr_outbox_look(out))
            return 0;
        room = out->box.count - (out->next - out->head_seen);
    }
    return MR_MIN(room, wanted);
}

static inline void *mr_outbox_place(const struct mr_outbox *out, uint32_t at)
{
    return (uint8_t *)out->box.entries + (size_t)(at & out->mask) * MR_MAILBOX_ENTRY;
}

/* The place of the next entry, to be written whole, or NULL: no room.  Seen by the consumer after
 * mr_outbox_publish(). */
static inline void *mr_outbox_next(struct mr_outbox *out)
{
    if (mr_outbox_room(out, 1) == 0)
        return NULL;
    MR_PREFETCH_WRITE(mr_outbox_place(out, out->next + 1)); /* the consumer's core has read it */
    return mr_outbox_place(out, out->next++);
}

/* Hand over everything since the last time, to a consumer that never sleeps.  True: there was
 * something. */
static inline bool mr_outbox_publish(struct mr_outbox *out)
{
    if (out->published == out->next)
        return false;
    MR_CROSSING(ring_entries, out->next - out->published);
    out->published = out->next;
    /* release: pairs with the acquire in mr_inbox_count; the entries are written */
    atomic_store_explicit(out->box.tail, out->next, memory_order_release);
    return true;
}

/* After mr_outbox_publish(), to a consumer that may sleep.  True, at most once per sleep: wake it
 * now. */
static inline bool mr_outbox_wakes(_Atomic uint32_t *sleeps)
{
    /* acq_rel: pairs with those in mr_inbox_may_sleep and _woke, all of which exchange; what was
     * published is seen by a consumer that sets the word afterwards */
    MR_CROSSING(exchanges, 1);
    return atomic_exchange_explicit(sleeps, 0, memory_order_acq_rel) != 0;
}

/* Both together. */
static inline bool mr_outbox_publish_waking(struct mr_outbox *out, _Atomic uint32_t *sleeps)
{
    return mr_outbox_publish(out) && mr_outbox_wakes(sleeps);
}

/* ------------------------------------------------------------------ consuming */

/* The producer's index is `tail` now; false: it cannot be that. */
static inline bool mr_inbox_see(struct mr_inbox *in, uint32_t tail)
{
    MR_CROSSING(ring_looks, 1);
    /* Never behind what it was, never more than there is room for. */
    if (tail - in->next > in->box.count || tail - in->next < in->tail_seen - in->next)
        in->is_broken = true;
    else
        in->tail_seen = tail;
    return !in->is_broken;
}

static inline const void *mr_inbox_place(const struct mr_inbox *in, uint32_t at)
{
    return (const uint8_t *)in->box.entries + (size_t)(at & in->mask) * MR_MAILBOX_ENTRY;
}

/* How many of `wanted` entries are there now, at most `wanted`; 0 when broken. */
static inline uint32_t mr_inbox_count(struct mr_inbox *in, uint32_t wanted)
{
    if (in->is_broken)
        return 0;
    /* acquire: pairs with the release in mr_outbox_publish; the entries are written */
    if (in->tail_seen - in->next < wanted &&
        !mr_inbox_see(in, atomic_load_explicit(in->box.tail, memory_order_acquire)))
        return 0;
    return MR_MIN(in->tail_seen - in->next, wanted);
}

/* How many of `wanted` entries are there now; the first of them are fetched from the producer's
 * core together, mr_inbox_take_ahead() fetches the others in time. */
static inline uint32_t mr_inbox_count_ahead(struct mr_inbox *in, uint32_t wanted)
{
    uint32_t count = mr_inbox_count(in, wanted);

    for (uint32_t i = 0; i < MR_MIN(count, (uint32_t)MR_MAILBOX_AHEAD); i++)
        __builtin_prefetch(mr_inbox_place(in, in->next + i));
    return count;
}

/* Copy the next entry into `entry_out`; false: there is none.  Its place is the producer's again
 * after mr_inbox_done(). */
static inline bool mr_inbox_take(struct mr_inbox *in, void *entry_out)
{
    if (mr_inbox_count(in, 1) == 0)
        return false;
    MR_CROSSING(ring_entries, 1);
    memcpy(entry_out, mr_inbox_place(in, in->next++), MR_MAILBOX_ENTRY);
    return true;
}

/* The same, after mr_inbox_count_ahead(). */
static inline bool mr_inbox_take_ahead(struct mr_inbox *in, void *entry_out)
{
    if (in->tail_seen - in->next > MR_MAILBOX_AHEAD)
        __builtin_prefetch(mr_inbox_place(in, in->next + MR_MAILBOX_AHEAD));
    return mr_inbox_take(in, entry_out);
}

/* Give back the places of all entries taken so far. */
static inline void mr_inbox_done(struct mr_inbox *in)
{
    /* release: pairs with the acquire in mr_outbox_look; the entries are copied */
    atomic_store_explicit(in->box.head, in->next, memory_order_release);
}

/*
 * Before sleeping: tell the producer, and look once more.  True: nothing is there, wait for the
 * wake-up.  False: go on; the word is taken back.
 */
static inline bool mr_inbox_may_sleep(struct mr_inbox *in, _Atomic uint32_t *sleeps)
{
    if (in->is_broken || in->tail_seen != in->next)
        return false;
    /* acq_rel: pairs with the one in mr_outbox_wakes; what was published before that is seen here,
     * and what is published after it is told by the word */
    MR_CROSSING(exchanges, 1);
    (void)atomic_exchange_explicit(sleeps, 1, memory_order_acq_rel);
    /* acquire: pairs with the release in mr_outbox_publish */
    uint32_t tail = atomic_load_explicit(in->box.tail, memory_order_acquire);
    if (mr_inbox_see(in, tail) && tail == in->next)
        return true;
    MR_CROSSING(exchanges, 1);
    (void)atomic_exchange_explicit(sleeps, 0, memory_order_acq_rel);
    return false;
}

/* After the wait, whatever ended it. */
static inline void mr_inbox_woke(_Atomic uint32_t *sleeps)
{
    MR_CROSSING(exchanges, 1);
    (void)atomic_exchange_explicit(sleeps, 0, memory_order_acq_rel); /* as in may_sleep */
}

/* ------------------------------------------------------------------ invariants */

static inline void mr_outbox_check(const struct mr_outbox *out)
{
    MR_ASSERT(out->mask == out->box.count - 1);
    MR_ASSERT(out->next - out->head_seen <= out->box.count);
    MR_ASSERT(out->published - out->head_seen <= out->next - out->head_seen);
}

static inline void mr_inbox_check(const struct mr_inbox *in)
{
    MR_ASSERT(in->mask == in->box.count - 1);
    MR_ASSERT(in->tail_seen - in->next <= in->box.count);
}

#endif /* MR_BASE_MAILBOX_H */
