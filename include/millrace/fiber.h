/*
 * millrace/fiber.h - straight-line code for many connections on one thread.
 *
 * A fiber is a function with a stack of its own.  A hub runs the fibers of one thread in turn,
 * exactly one at a time, and calls an event source when none is ready:
 *
 *     mr_hub_run:   ready fibers, first come first served --> event source --> timers --> ...
 *                       |    ^
 *          continues    |    |  switchpoint: sleep, join, lock, mr_hub_switch, ...
 *                       v    |
 *                      fiber function
 *
 * A fiber goes on until it calls a switchpoint, and continues just after it.  Only functions
 * marked MR_SWITCHPOINT switch, and blocking calls on sockets (millrace/fiber_socket.h);
 * docs/switchpoints.md lists all of them.  So what a fiber does between two of them needs no lock.
 * To wait for anything that has a callback: take a switchback, give it to the callback API, and
 * switch to the hub:
 *
 *     struct mr_switchback back = mr_fiber_switchback();
 *     resolve(name, back.fn, back.arg);
 *     int error = mr_hub_switch(MR_SECONDS(5), &answer);
 *
 * Owner: the caller, for hubs until mr_hub_close(), for fibers until they are joined or detached.
 * Threads: a hub belongs to the thread that made it, with its fibers; calls are made on it, but
 * for those that say "any thread".
 * Errors: 0 or a count on success, else -errno as listed at each call.  Every switchpoint returns
 * -ECANCELED to a fiber that was cancelled.  errno itself does not survive a switchpoint.
 * Limits: fibers_max of struct mr_hub_options; MR_HUBS_MAX hubs in a process.
 * Memory: an idle fiber costs about 4.5 KiB (docs/fibers.md).
 */
#ifndef MILLRACE_FIBER_H
#define MILLRACE_FIBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Marks the functions that may switch to another fiber, and no others.  scripts/switchpoints
 * holds the marks against the sources. */
#define MR_SWITCHPOINT

#define MR_HUBS_MAX        256
#define MR_FIBER_NAME_SIZE 32 /* bytes, with the end; longer names are cut */

/* Timeouts are ns from now.  0: do not wait; what would have to gives -ETIMEDOUT. */
#define MR_FOREVER          UINT64_MAX
#define MR_MICROSECONDS(us) ((uint64_t)(us)*UINT64_C(1000))
#define MR_MILLISECONDS(ms) ((uint64_t)(ms)*UINT64_C(1000000))
#define MR_SECONDS(s)       ((uint64_t)(s)*UINT64_C(1000000000))

struct mr_hub;
struct mr_fiber;

typedef int64_t (*mr_fiber_function)(void *argument);

/* ------------------------------------------------------------------ the hub */

/* Where events come from while no fiber is ready.  Its callbacks run on the hub, outside fibers. */
struct mr_event_source {
    /*
     * Handle what has happened; if nothing has, wait for it at most `timeout_ns` (MR_FOREVER: no
     * limit; 0: do not wait), or until wake().  >= 0, or -errno, with which mr_hub_run() returns.
     */
    int (*run_once)(void *context, uint64_t timeout_ns);
    /* Any thread: let run_once() return soon, this one or the next.  It must call nothing of
     * this header.  NULL: run_once() watches mr_hub_fd() for reading. */
    void (*wake)(void *context);
    void *context;
};

/* 0 or NULL stands for the default everywhere. */
struct mr_hub_options {
    struct mr_event_source source; /* default: sleep until a timer or another thread's wake-up */
    uint64_t (*clock)(void);       /* ns, monotonic; default: CLOCK_MONOTONIC */
    size_t stack_size;        /* bytes, at most 2^40, rounded up to whole pages; default: 32 KiB */
    uint32_t fibers_max;      /* default: 1,048,576; at most 16,777,216 */
    uint32_t warm_stacks_max; /* unused stacks that keep their memory; default: 1024 per size */
    uint32_t guards_max;      /* guard pages in this process; default: from vm.max_map_count */
    uint32_t work_threads;    /* of mr_fiber_work(), started by its first call; default: 2 */
    uint32_t work_queue_max;  /* jobs that wait for one of these; default: 1024 */
};

/*
 * Make the hub of the calling thread.  `options` (NULL: defaults) is copied.  NULL with `error`
 * set: the thread has a hub, stack_size is too large, or memory or descriptors are short.
 */
struct mr_hub *mr_hub_new(const struct mr_hub_options *options, struct mr_error *error);

/* The calling thread's hub; NULL: none. */
struct mr_hub *mr_hub_current(void);

/*
 * Run fibers and events until no fiber is left or mr_hub_stop().  Fibers not ended: 0: none is
 * left; -errno: of the event source; -EDEADLK: called by a fiber.
 */
int64_t mr_hub_run(struct mr_hub *hub);

/* Let mr_hub_run() return once the fibers that are ready now had their turn.  Any thread. */
void mr_hub_stop(struct mr_hub *hub);

/*
 * End all fibers, and free the hub.  Waiting fibers are cancelled, round by round: those that
 * have not ended after MR_HUB_CLOSE_ROUNDS are given up where they stand, and named in `error`
 * (and the log).  Work under way is waited for.  Fibers given up; -EDEADLK: called by a fiber.
 */
int64_t mr_hub_close(struct mr_hub *hub, struct mr_error *error);

#define MR_HUB_CLOSE_ROUNDS 16

/* Becomes readable when another thread has something for the hub (struct mr_event_source). */
int mr_hub_fd(const struct mr_hub *hub);

/* A function for the hub to call, in memory of the caller's. */
struct mr_hub_note {
    void (*fn)(void *arg);
    void *arg;
    struct mr_hub_note *next; /* the hub's while it is posted */
};

/* Call note->fn(note->arg) on the hub, outside fibers.  Any thread, while the hub exists.  `note`
 * is the caller's again when fn is called; notes that are left at mr_hub_close() are called then.
 */
void mr_hub_post(struct mr_hub *hub, struct mr_hub_note *note);

struct mr_hub_stats {
    uint64_t switches; /* times that a fiber was continued */
    uint64_t spawned;
    uint64_t stale_fires; /* switchbacks called twice or too late */
    uint64_t polls;       /* of the event source */
    uint32_t fibers;      /* not ended */
    uint32_t fibers_peak;
    uint32_t stacks; /* that exist */
    uint32_t stacks_guarded;
    uint32_t stacks_warm; /* unused, with memory */
};

/* Copy the hub's counters. */
void mr_hub_stats_get(const struct mr_hub *hub, struct mr_hub_stats *stats_out);

/* Panic if an invariant is broken.  O(fibers). */
void mr_hub_check(const struct mr_hub *hub);

/* ------------------------------------------------------------------ fibers */

struct mr_fiber_options {
    size_t stack_size; /* 0: the hub's; else rounded up to the hub's times a power of two <= 128 */
    bool is_detached;  /* nobody joins it: it is freed when it ends */
};

/*
 * Make a fiber on this thread's hub; it runs when its turn comes, in the order of spawning.
 * `name` is copied.  *fiber_out (NULL: allowed for detached ones) is valid until it was joined, or
 * ended if detached.  0; -EINVAL: no hub, stack too large; -ENFILE: fibers_max are there; -ENOMEM;
 * -ESHUTDOWN: the hub is closing.
 */
int mr_fiber_spawn(mr_fiber_function function, void *argument, const char *name,
                   const struct mr_fiber_options *options, struct mr_fiber **fiber_out);

/*
 * Wait until the fiber has ended, take its result and free it.  0; -ETIMEDOUT: still joinable;
 * -ECANCELED; -EDEADLK: itself; -EINVAL: detached; -EBUSY: another fiber joins it; -EPERM: not
 * ended, and called outside fibers.
 */
MR_SWITCHPOINT int mr_fiber_join(struct mr_fiber *fiber, uint64_t timeout_ns, int64_t *result_out);

/* Let nobody join it: it is freed when it ends, now if it has. */
void mr_fiber_detach(struct mr_fiber *fiber);

/*
 * Let the switchpoint in which the fiber waits, else the next it calls, return -ECANCELED, once.
 * A switchpoint whose wait is over already keeps its result.  0; -ESRCH: it has ended.
 */
int mr_fiber_cancel(struct mr_fiber *fiber);

/* Let the other ready fibers run first.  0; -ECANCELED; -EPERM: outside fibers. */
MR_SWITCHPOINT int mr_fiber_yield(void);

/* Wait at least `duration_ns`; also for 0 others run first.  0; -ECANCELED; -EPERM: outside fibers.
 */
MR_SWITCHPOINT int mr_fiber_sleep(uint64_t duration_ns);

/* The fiber that calls; NULL: outside fibers. */
struct mr_fiber *mr_fiber_current(void);

/* Its name, as it was cut; valid as long as the fiber. */
const char *mr_fiber_name(const struct mr_fiber *fiber);

/* True once its function has returned. */
bool mr_fiber_has_ended(const struct mr_fiber *fiber);

/*
 * The deepest use of its stack so far, bytes (of an earlier fiber's too, if the stack is reused
 * warm); 0 once it has ended.  A system call per 64 pages.
 */
size_t mr_fiber_stack_used(const struct mr_fiber *fiber);

/* Bytes of stack in all; 0 once it has ended. */
size_t mr_fiber_stack_size(const struct mr_fiber *fiber);

/*
 * Run function(argument) on a helper thread, and let other fibers run meanwhile: for number
 * crunching and system calls that block.  A cancelled job that has not begun is taken back; one
 * that has begun is waited for, its result counts, and the next switchpoint returns -ECANCELED.
 * 0; -ECANCELED: not run; -ENOMEM; -EPERM: outside fibers.
 */
MR_SWITCHPOINT int mr_fiber_work(mr_fiber_function function, void *argument, int64_t *result_out);

/* ------------------------------------------------------------------ switchbacks */

/*
 * A callback that continues the fiber which made it.  Call fn(arg, value) on any thread, at any
 * time: the first call counts; one that comes twice, after the timeout, after a cancellation, or
 * after the fiber or the hub is gone has no effect but a counter.
 */
struct mr_switchback {
    void (*fn)(void *arg, int64_t value);
    void *arg; /* a number, not an address */
};

/* Make the calling fiber's switchback; one that it made before and did not wait for becomes stale.
 * Outside fibers: one that has no effect. */
struct mr_switchback mr_fiber_switchback(void);

/*
 * Wait until the fiber's last switchback is called, also if it was called before.  0 with the
 * value it was called with; -ETIMEDOUT; -ECANCELED; -EINVAL: there is no switchback; -EPERM:
 * outside fibers.
 */
MR_SWITCHPOINT int mr_hub_switch(uint64_t timeout_ns, int64_t *value_out);

/* ------------------------------------------------------------------ assertions on switchpoints */

/*
 * Called first by every switchpoint, with its own name; whoever writes a function that calls
 * switchpoints marks it and does the same.  0; -ECANCELED: the fiber was cancelled, to be
 * returned.  Panics, with the name, within MR_ASSERT_NO_SWITCHPOINTS.
 */
int mr_switchpoint_check(const char *name);

/*
 * Assert that the block which follows calls no switchpoint, so that what it changes is seen by
 * other fibers only as a whole:
 *
 *     MR_ASSERT_NO_SWITCHPOINTS("transfer")
 *     {
 *         from->balance -= amount;
 *         to->balance += amount;
 *     }
 *
 * A switchpoint in it panics, even if it would not have switched.  An assertion, not a lock:
 * it keeps nobody out.  Nests.  The block may be left by return or goto; break leaves the block.
 */
#define MR_ASSERT_NO_SWITCHPOINTS(scope_name) MR_ASSERT_NO_SWITCHPOINTS_IN(scope_name, __LINE__)

/* The macro's. */
#define MR_ASSERT_NO_SWITCHPOINTS_IN(name, line) MR_ASSERT_NO_SWITCHPOINTS_AT(name, line)
#define MR_ASSERT_NO_SWITCHPOINTS_AT(scope_name, line)                                             \
    MR_ASSERT_NO_SWITCHPOINTS_AS(scope_name, mr_scope_##line)
#define MR_ASSERT_NO_SWITCHPOINTS_AS(scope_name, scope)                                            \
    for (struct mr_no_switchpoints __attribute__((cleanup(mr_no_switchpoints_end)))                \
         scope = mr_no_switchpoints_begin(scope_name);                                             \
         !scope.is_over; scope.is_over = true)

struct mr_no_switchpoints {
    const char *outer; /* the scope around it; NULL: none */
    bool is_over;
};

/* Begin and end a scope of MR_ASSERT_NO_SWITCHPOINTS, which calls them. */
struct mr_no_switchpoints mr_no_switchpoints_begin(const char *scope_name);
void mr_no_switchpoints_end(struct mr_no_switchpoints *scope);

#ifdef __cplusplus
}
#endif

#endif /* MILLRACE_FIBER_H */
