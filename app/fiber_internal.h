/*
 * app/fiber_internal.h - what the files of fibers share: hub, fiber, and the two steps of waiting.
 *
 *     spawn -> READY -> RUNNING -> ENDED
 *                ^         |
 *   mr_fiber_wake|         |mr_fiber_suspend
 *                +-WAITING-+
 *
 * A fiber is in at most one queue: the ready list or the one it waits in.  Each has one timer,
 * by its index in the hub's wheel, for the timeout of its wait.
 *
 * Threads: the hub's, but for what `inbound` holds.
 */
#ifndef MR_APP_FIBER_INTERNAL_H
#define MR_APP_FIBER_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "app/fiber_context.h"
#include "app/fiber_stack.h"
#include "base/assert.h"
#include "base/wheel.h"
#include "millrace/fiber.h"
#include "millrace/fiber_sync.h"

enum {
    MR_FIBER_CHUNK = 256,      /* fibers that are allocated together */
    MR_FIBER_STACK_SIZES = 8,  /* the hub's, times 2^0 to 2^7 */
    MR_FIBER_EXPIRE_BURST = 64 /* timers */
};

enum mr_fiber_state {
    MR_FIBER_FREE,
    MR_FIBER_READY,
    MR_FIBER_RUNNING,
    MR_FIBER_WAITING,
    MR_FIBER_ENDED
};

struct mr_fiber {
    /* written at each switch */
    struct mr_fiber *next; /* in its queue, or of the free ones */
    struct mr_fiber *prev;
    struct mr_fiber_queue *queue; /* the one it waits in; NULL: none, or the ready list */
    struct mr_hub *hub;
    int64_t value; /* what it was woken with */
    enum mr_fiber_state state;
    uint32_t index;
    struct mr_stack *stack; /* NULL once it has ended */
    bool is_cancelled;      /* its next switchpoint says so */
    bool is_shielded;       /* its wait is not to be cancelled */
    bool is_checked;        /* it has called mr_switchpoint_check() */
    bool is_detached;
    bool is_joined; /* somebody waits for its end */
    uint64_t limit; /* by the hub's clock: no wait lasts longer; MR_FOREVER: none */
    struct mr_context context;
    void *item; /* what it sends or receives, while it waits for a channel */

    /* its switchback */
    uint32_t generation; /* of the last one made */
    bool is_armed;       /* made, and not called yet */
    bool is_fired;       /* called, and not waited for yet */
    bool is_switched;    /* it waits in mr_hub_switch() */
    int64_t fired_value;

    mr_fiber_function function;
    void *argument;
    int64_t result;
    struct mr_fiber_queue joiners;
    struct mr_stack_pool *stack_pool;

    /* a call of its switchback by another thread; under the lock of the hub's seat */
    struct mr_fiber *inbound_next;
    uint64_t inbound_handle; /* 0: none */
    int64_t inbound_value;

    char name[MR_FIBER_NAME_SIZE];
};

/* What other threads leave for a hub; under the lock of the hub's seat. */
struct mr_hub_inbound {
    struct mr_hub_note *notes; /* first to last */
    struct mr_hub_note *notes_last;
    struct mr_fiber *fires;
    struct mr_fiber *fires_last;
};

struct mr_hub {
    struct mr_fiber_queue ready;
    uint32_t ready_count;
    uint32_t live_count; /* fibers that have not ended */
    uint32_t live_peak;
    uint32_t room; /* fibers that fit into `wheel` */
    uint32_t made; /* indexes in use or free; later ones were never used */
    struct mr_fiber *free_fibers;
    struct mr_fiber **chunks;
    struct mr_fiber *running;
    struct mr_context context; /* of mr_hub_run()'s caller */
    bool is_running;
    bool is_closing;
    uint32_t seat; /* of the process's hubs */
    uint32_t first_generation;
    int fd; /* eventfd */
    struct mr_wheel wheel;
    struct mr_wheel_node *nodes;
    struct mr_hub_options options; /* without zeros */
    struct mr_stack_pool stack_pools[MR_FIBER_STACK_SIZES];
    uint64_t switches;
    uint64_t spawned;
    uint64_t stale_fires;
    uint64_t polls;

    struct mr_offload *offload; /* NULL: not started */
    struct mr_fiber_semaphore offload_room;
    uint32_t offload_running; /* fibers that wait for the end of their function */

    _Atomic bool is_stopping;
    _Atomic bool is_signalled; /* something is inbound */
    struct mr_hub_inbound inbound;
};

/* ------------------------------------------------------------------ queues */

static inline void mr_fiber_queue_push(struct mr_fiber_queue *queue, struct mr_fiber *fiber)
{
    fiber->next = NULL;
    fiber->prev = queue->last;
    if (queue->last != NULL)
        queue->last->next = fiber;
    else
        queue->first = fiber;
    queue->last = fiber;
}

static inline void mr_fiber_queue_remove(struct mr_fiber_queue *queue, struct mr_fiber *fiber)
{
    if (fiber->prev != NULL)
        fiber->prev->next = fiber->next;
    else
        queue->first = fiber->next;
    if (fiber->next != NULL)
        fiber->next->prev = fiber->prev;
    else
        queue->last = fiber->prev;
    fiber->next = fiber->prev = NULL;
}

/* ------------------------------------------------------------------ waiting */

/* Leave the running fiber, which is in the ready list or waits; it continues here.  Nothing else
 * switches away from a fiber (scripts/switchpoints starts from it). */
void mr_fiber_leave(struct mr_fiber *fiber);

/*
 * Wait in `queue` (NULL: in none) until mr_fiber_wake().  The value given to it; -ETIMEDOUT;
 * -ECANCELED; -EPERM: outside fibers.  One call for each mr_switchpoint_check(), else
 * mr_fiber_suspend_again().
 */
int64_t mr_fiber_suspend(struct mr_fiber_queue *queue, uint64_t timeout_ns);

/* The same, once more in one switchpoint and for as long as it takes: a cancellation is kept for
 * the next. */
int64_t mr_fiber_suspend_again(struct mr_fiber_queue *queue);

/* Let `fiber`, which is WAITING, return `value` from mr_fiber_suspend() when its turn comes. */
void mr_fiber_wake(struct mr_fiber *fiber, int64_t value);

/* End the wait of `fiber` (NULL: none) with -ECANCELED, if it waits, and may be cancelled: unlike
 * mr_fiber_cancel() without effect on what it calls next. */
void mr_fiber_interrupt(struct mr_fiber *fiber);

/*
 * Let no wait of the running fiber last longer than until then: it returns -ETIMEDOUT.  A limit
 * that was set before counts as well.  Returns that one, for mr_fiber_limit_end().
 */
uint64_t mr_fiber_limit_begin(uint64_t timeout_ns);
void mr_fiber_limit_end(uint64_t outer);

/* ------------------------------------------------------------------ fiber.c and fiber_hub.c */

/* Put a fiber at the end of the ready list. */
void mr_hub_make_ready(struct mr_hub *hub, struct mr_fiber *fiber);

/* Continue `fiber` until it switches; frees what is over. */
void mr_hub_continue(struct mr_hub *hub, struct mr_fiber *fiber);

/* ns by the hub's clock. */
static inline uint64_t mr_hub_now(const struct mr_hub *hub)
{
    return hub->options.clock();
}

/* `timeout_ns` from now, by the hub's clock. */
static inline uint64_t mr_hub_deadline(const struct mr_hub *hub, uint64_t timeout_ns)
{
    if (timeout_ns == MR_FOREVER)
        return MR_FOREVER;
    uint64_t now = mr_hub_now(hub);
    return timeout_ns < MR_FOREVER - now ? now + timeout_ns : MR_FOREVER;
}

/* What is left until then. */
static inline uint64_t mr_hub_time_left(const struct mr_hub *hub, uint64_t deadline)
{
    if (deadline == MR_FOREVER)
        return MR_FOREVER;
    uint64_t now = mr_hub_now(hub);
    return deadline > now ? deadline - now : 0;
}

/* The fiber at `index` < hub->made. */
static inline struct mr_fiber *mr_hub_fiber(const struct mr_hub *hub, uint32_t index)
{
    return &hub->chunks[index / MR_FIBER_CHUNK][index % MR_FIBER_CHUNK];
}

/* Take an unused fiber; its index, hub and generation are set, the rest is zero but for what
 * belongs to `inbound`.  NULL with `error_out` -ENFILE or -ENOMEM. */
struct mr_fiber *mr_hub_fiber_get(struct mr_hub *hub, int *error_out);

void mr_hub_fiber_put(struct mr_hub *hub, struct mr_fiber *fiber);

/* ------------------------------------------------------------------ fiber_seat.c */

/* Give `hub` a seat, by which other threads find it.  False: MR_HUBS_MAX are taken. */
bool mr_hub_seat_take(struct mr_hub *hub);

/* Leave it: calls that come later find nobody.  `generation` is above all of the hub's fibers. */
void mr_hub_seat_leave(struct mr_hub *hub, uint32_t generation);

/* Do what other threads have left: notes, and calls of switchbacks. */
void mr_hub_take_inbound(struct mr_hub *hub);

/* Publish a chunk of fibers to mr_hub_fiber() of other threads. */
void mr_hub_chunk_publish(struct mr_hub *hub, uint32_t chunk, struct mr_fiber *fibers);

/* A switchback was called, on the hub's thread. */
void mr_hub_fire(struct mr_hub *hub, uint64_t handle, int64_t value);

#endif /* MR_APP_FIBER_INTERNAL_H */
