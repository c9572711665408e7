/*
 * app/fiber_sync.c - see millrace/fiber_sync.h: mutex, semaphore, condition.
 *
 * Who gives something gives it to the fiber that waits first, by changing the state for it; so a
 * fiber that was woken has what it waited for.
 */
#include "millrace/fiber_sync.h"

#include <errno.h>

#include "app/fiber_internal.h"

/* ------------------------------------------------------------------ mutex */

int mr_fiber_mutex_lock(struct mr_fiber_mutex *mutex, uint64_t timeout_ns)
{
    int result = mr_switchpoint_check("mr_fiber_mutex_lock");
    struct mr_fiber *fiber = mr_fiber_current();

    if (fiber == NULL)
        return -EPERM;
    if (result != 0)
        return result;
    if (mutex->owner == fiber)
        return -EDEADLK;
    if (mutex->owner != NULL)
        return (int)mr_fiber_suspend(&mutex->waiters, timeout_ns);
    mutex->owner = fiber;
    return 0;
}

void mr_fiber_mutex_unlock(struct mr_fiber_mutex *mutex)
{
    struct mr_fiber *next = mutex->waiters.first;

    MR_ASSERT(mutex->owner != NULL);
    MR_ASSERT(mutex->owner == mr_fiber_current());
    mutex->owner = next;
    if (next != NULL)
        mr_fiber_wake(next, 0);
}

/* ------------------------------------------------------------------ semaphore */

int mr_fiber_semaphore_take(struct mr_fiber_semaphore *semaphore, uint64_t timeout_ns)
{
    int result = mr_switchpoint_check("mr_fiber_semaphore_take");

    if (result != 0)
        return result;
    if (semaphore->count == 0)
        return (int)mr_fiber_suspend(&semaphore->waiters, timeout_ns);
    semaphore->count--;
    return 0;
}

void mr_fiber_semaphore_give(struct mr_fiber_semaphore *semaphore, uint64_t count)
{
    for (; count > 0 && semaphore->waiters.first != NULL; count--)
        mr_fiber_wake(semaphore->waiters.first, 0);
    semaphore->count += count;
}

/* ------------------------------------------------------------------ condition */

/* Lock without fail: who waits with a mutex held expects it to be held afterwards. */
static void relock(struct mr_fiber_mutex *mutex, struct mr_fiber *fiber)
{
    if (mutex->owner == NULL)
        mutex->owner = fiber;
    else
        mr_fiber_suspend_again(&mutex->waiters);
}

int mr_fiber_condition_wait(struct mr_fiber_condition *condition, struct mr_fiber_mutex *mutex,
                            uint64_t timeout_ns)
{
    int result = mr_switchpoint_check("mr_fiber_condition_wait");
    struct mr_fiber *fiber = mr_fiber_current();

    if (fiber == NULL)
        return -EPERM;
    if (result != 0 || timeout_ns == 0)
        return result != 0 ? result : -ETIMEDOUT;
    if (mutex != NULL)
        mr_fiber_mutex_unlock(mutex);
    result = (int)mr_fiber_suspend(&condition->waiters, timeout_ns);
    if (mutex != NULL)
        relock(mutex, fiber);
    return result;
}

uint32_t mr_fiber_condition_signal(struct mr_fiber_condition *condition)
{
    if (condition->waiters.first == NULL)
        return 0;
    mr_fiber_wake(condition->waiters.first, 0);
    return 1;
}

uint32_t mr_fiber_condition_broadcast(struct mr_fiber_condition *condition)
{
    uint32_t count = 0;

    while (mr_fiber_condition_signal(condition) != 0)
        count++;
    return count;
}
