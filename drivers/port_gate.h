/*
 * drivers/port_gate.h - keeps lcores out of a driver while what it polls is put together or taken
 * apart.
 *
 *     lcore, queue q                          another thread
 *         busy[q] = 1                             open = 0
 *         open?  no -> busy[q] = 0, leave         wait until no busy[] is 1
 *         ... burst ...                           ... nobody is inside, nobody comes in ...
 *         busy[q] = 0                             open = 1
 *
 * One of the two sees the other, for both orders are of sequential consistency.
 *
 * Owner: the port's driver.  Threads: each queue is one lcore's; one thread opens and closes.
 */
#ifndef MR_DRIVERS_PORT_GATE_H
#define MR_DRIVERS_PORT_GATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/cache_line.h"
#include "base/compiler.h"

#define MR_PORT_GATE_QUEUES 64

struct mr_port_gate_queue {
    MR_ALIGNED(MR_CACHE_LINE) atomic_bool is_busy; /* written by the queue's lcore */
};
MR_ASSERT_WHOLE_LINES(struct mr_port_gate_queue);

/* All zero: closed. */
struct mr_port_gate {
    MR_ALIGNED(MR_CACHE_LINE) atomic_bool is_open;
    struct mr_port_gate_queue queues[MR_PORT_GATE_QUEUES];
};

/* May `queue`'s lcore use the driver?  If so, it leaves again soon. */
MR_INLINE bool mr_port_gate_enter(struct mr_port_gate *gate, uint16_t queue)
{
    /* A closed gate is not knocked at, lest who closes it find somebody busy again and again. */
    if (!atomic_load_explicit(&gate->is_open, memory_order_relaxed))
        return false;
    atomic_store_explicit(&gate->queues[queue].is_busy, true, memory_order_seq_cst);
    if (atomic_load_explicit(&gate->is_open, memory_order_seq_cst))
        return true;
    atomic_store_explicit(&gate->queues[queue].is_busy, false, memory_order_relaxed);
    return false;
}

MR_INLINE void mr_port_gate_leave(struct mr_port_gate *gate, uint16_t queue)
{
    /* release: pairs with the acquire in mr_port_gate_close() */
    atomic_store_explicit(&gate->queues[queue].is_busy, false, memory_order_release);
}

MR_INLINE bool mr_port_gate_is_open(const struct mr_port_gate *gate)
{
    /* acquire: pairs with the release in mr_port_gate_open() */
    return atomic_load_explicit(&gate->is_open, memory_order_acquire);
}

/* What the driver needs has been written: let them in. */
MR_INLINE void mr_port_gate_open(struct mr_port_gate *gate)
{
    /* release: pairs with the loads of lcores; that in mr_port_gate_enter() is sequentially
     * consistent, and so an acquire as well */
    atomic_store_explicit(&gate->is_open, true, memory_order_release);
}

/* Nobody comes in any more, and all are out when it returns: after a burst or, when an lcore has to
 * share its CPU, a time slice. */
MR_INLINE void mr_port_gate_close(struct mr_port_gate *gate)
{
    static const struct timespec pause = {.tv_nsec = 20000};

    atomic_store_explicit(&gate->is_open, false, memory_order_seq_cst);
    for (uint16_t i = 0; i < MR_PORT_GATE_QUEUES; i++)
        /* sequentially consistent: after the store above; and an acquire: pairs with the release in
         * mr_port_gate_leave() */
        while (atomic_load_explicit(&gate->queues[i].is_busy, memory_order_seq_cst))
            (void)nanosleep(&pause, NULL);
}

#endif /* MR_DRIVERS_PORT_GATE_H */
