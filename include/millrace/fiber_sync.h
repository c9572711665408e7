/*
 * millrace/fiber_sync.h - what fibers of one hub wait on: mutex, semaphore, condition, channel.
 *
 * All are fair: who waits first is served first, and is served directly, so that nothing is
 * lost or taken away between a wake-up and the fiber's turn.  A fiber that is cancelled or times
 * out leaves the others as they are.
 *
 * Between two switchpoints nothing needs a lock (fiber.h): a mutex is for what must stay whole
 * across a switchpoint.
 *
 * Owner: the caller, for the structs that {0} initialises; they hold no memory of their own, and
 * must not move or end while fibers wait.
 * Threads: the hub's.  Fields belong to the functions.
 */
#ifndef MILLRACE_FIBER_SYNC_H
#define MILLRACE_FIBER_SYNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/fiber.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Fibers that wait, first to last. */
struct mr_fiber_queue {
    struct mr_fiber *first;
    struct mr_fiber *last;
};

/* ------------------------------------------------------------------ mutex */

struct mr_fiber_mutex {
    struct mr_fiber *owner; /* NULL: not locked */
    struct mr_fiber_queue waiters;
};

/* Lock it.  0; -ETIMEDOUT; -ECANCELED; -EDEADLK: the caller has it; -EPERM: outside fibers. */
MR_SWITCHPOINT int mr_fiber_mutex_lock(struct mr_fiber_mutex *mutex, uint64_t timeout_ns);

/* Give it to who waits first.  Panics unless the caller has it. */
void mr_fiber_mutex_unlock(struct mr_fiber_mutex *mutex);

/* ------------------------------------------------------------------ semaphore */

struct mr_fiber_semaphore {
    uint64_t count; /* may be initialised to any number */
    struct mr_fiber_queue waiters;
};

/* Take one.  0; -ETIMEDOUT; -ECANCELED; -EPERM: it would wait outside fibers. */
MR_SWITCHPOINT int mr_fiber_semaphore_take(struct mr_fiber_semaphore *semaphore,
                                           uint64_t timeout_ns);

/* Give `count`.  Also outside fibers. */
void mr_fiber_semaphore_give(struct mr_fiber_semaphore *semaphore, uint64_t count);

/* ------------------------------------------------------------------ condition */

struct mr_fiber_condition {
    struct mr_fiber_queue waiters;
};

/*
 * Unlock `mutex` (NULL: none is needed where no switchpoint lies between the test and this),
 * wait for a signal, and lock it again.  In any case but -EPERM the mutex is locked again.
 * 0: signalled; -ETIMEDOUT; -ECANCELED; -EPERM: outside fibers.
 */
MR_SWITCHPOINT int mr_fiber_condition_wait(struct mr_fiber_condition *condition,
                                           struct mr_fiber_mutex *mutex, uint64_t timeout_ns);

/* Continue the fiber that waits first, or all that wait now.  How many.  Also outside fibers. */
uint32_t mr_fiber_condition_signal(struct mr_fiber_condition *condition);
uint32_t mr_fiber_condition_broadcast(struct mr_fiber_condition *condition);

/* ------------------------------------------------------------------ channel */

struct mr_fiber_channel;

/* A channel that holds `count` items of `item_size` bytes; 0 items: a sender waits for its
 * receiver.  NULL: no memory. */
struct mr_fiber_channel *mr_fiber_channel_new(uint32_t count, uint32_t item_size);

/* Free the channel; no fiber may wait in it. */
void mr_fiber_channel_free(struct mr_fiber_channel *channel);

/*
 * Send a copy of *item; waits while the channel is full.  0; -EPIPE: closed; -ETIMEDOUT;
 * -ECANCELED; -EPERM: it would wait outside fibers.  On failure nothing was sent.
 */
MR_SWITCHPOINT int mr_fiber_channel_send(struct mr_fiber_channel *channel, const void *item,
                                         uint64_t timeout_ns);

/*
 * Take the oldest item; waits while there is none.  0; -EPIPE: closed and empty; -ETIMEDOUT;
 * -ECANCELED; -EPERM: it would wait outside fibers.
 */
MR_SWITCHPOINT int mr_fiber_channel_receive(struct mr_fiber_channel *channel, void *item_out,
                                            uint64_t timeout_ns);

/* Nothing more is sent: waiting senders get -EPIPE, receivers what is left and then -EPIPE. */
void mr_fiber_channel_close(struct mr_fiber_channel *channel);

/* Items in it. */
uint32_t mr_fiber_channel_count(const struct mr_fiber_channel *channel);

#ifdef __cplusplus
}
#endif

#endif /* MILLRACE_FIBER_SYNC_H */
