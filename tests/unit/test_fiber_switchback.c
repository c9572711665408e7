/* Tests of switchbacks: app/fiber_seat.c, on one thread. */
#include <errno.h>

#include "tests/unit/fiber_hub.h"

static void call(struct mr_switchback back, int64_t value)
{
    back.fn(back.arg, value);
}

static uint64_t stale_fires(void)
{
    struct mr_hub_stats stats;

    mr_hub_stats_get(mr_hub_current(), &stats);
    return stats.stale_fires;
}

/* ------------------------------------------------------------------ once, in any order */

static struct mr_switchback shared;

static int64_t call_shared(void *argument)
{
    call(shared, *(const int64_t *)argument);
    return 0;
}

static int64_t wait_for_shared(void *argument)
{
    int64_t sent = 42;
    int64_t value = 0;

    (void)argument;
    shared = mr_fiber_switchback();
    struct mr_fiber *caller = spawn(call_shared, &sent, "caller");
    CU_ASSERT_EQUAL(mr_hub_switch(MR_FOREVER, &value), 0);
    CU_ASSERT_EQUAL(value, 42);
    CU_ASSERT_EQUAL(mr_hub_switch(MR_FOREVER, &value), -EINVAL); /* one shot */
    join(caller);

    shared = mr_fiber_switchback();
    call(shared, -1); /* an error is a value, too */
    CU_ASSERT_EQUAL(mr_hub_switch(MR_FOREVER, &value), 0);
    CU_ASSERT_EQUAL(value, -1);
    shared = mr_fiber_switchback();
    call(shared, 3);
    CU_ASSERT_EQUAL(mr_hub_switch(0, NULL), 0); /* nothing to wait for */
    CU_ASSERT_EQUAL(stale_fires(), 0);
    return 0;
}

static void a_switchback_continues_its_fiber_with_a_value(void)
{
    run_in_hub(wait_for_shared, NULL, NULL);
}

static int64_t call_twice(void *argument)
{
    call(shared, 1);
    call(shared, 2);
    CU_ASSERT_EQUAL(stale_fires(), *(const uint64_t *)argument + 1);
    return 0;
}

static int64_t be_called_twice(void *argument)
{
    int64_t value = 0;
    uint64_t stale = 0;

    (void)argument;
    shared = mr_fiber_switchback();
    struct mr_fiber *caller = spawn(call_twice, &stale, "caller");
    CU_ASSERT_EQUAL(mr_hub_switch(MR_FOREVER, &value), 0);
    CU_ASSERT_EQUAL(value, 1);
    call(shared, 3);
    CU_ASSERT_EQUAL(stale_fires(), 2);
    join(caller);

    shared = mr_fiber_switchback(); /* both before the switch */
    call(shared, 4);
    call(shared, 5);
    CU_ASSERT_EQUAL(mr_hub_switch(MR_FOREVER, &value), 0);
    CU_ASSERT_EQUAL(value, 4);
    CU_ASSERT_EQUAL(stale_fires(), 3);

    struct mr_switchback old = mr_fiber_switchback(); /* an older one does not disturb a newer */
    struct mr_switchback new = mr_fiber_switchback();
    call(old, 6);
    call(new, 7);
    CU_ASSERT_EQUAL(mr_hub_switch(MR_FOREVER, &value), 0);
    CU_ASSERT_EQUAL(value, 7);
    CU_ASSERT_EQUAL(stale_fires(), 4);

    old = mr_fiber_switchback(); /* nor does its call, when nobody has waited for it */
    call(old, 8);
    new = mr_fiber_switchback();
    CU_ASSERT_EQUAL(mr_hub_switch(0, &value), -ETIMEDOUT);
    return 0;
}

static void a_second_call_has_no_effect(void)
{
    run_in_hub(be_called_twice, NULL, NULL);
}

/* ------------------------------------------------------------------ too late */

static int64_t call_in_the_same_turn(void *argument)
{
    mr_fiber_cancel(argument);
    call(shared, 9); /* its wait is over, though its turn has not come */
    return 0;
}

static int64_t be_called_too_late(void *argument)
{
    int64_t value = 77;

    (void)argument;
    shared = mr_fiber_switchback();
    CU_ASSERT_EQUAL(mr_hub_switch(MR_MICROSECONDS(200), &value), -ETIMEDOUT);
    call(shared, 1);
    CU_ASSERT_EQUAL(value, 77);
    CU_ASSERT_EQUAL(stale_fires(), 1);
    CU_ASSERT_EQUAL(mr_hub_switch(MR_FOREVER, &value), -EINVAL);
    struct mr_switchback later = mr_fiber_switchback();
    call(shared, 2);
    CU_ASSERT_EQUAL(mr_hub_switch(0, &value), -ETIMEDOUT); /* the old call is not the new one's */
    call(later, 3);
    CU_ASSERT_EQUAL(stale_fires(), 3);

    shared = mr_fiber_switchback();
    struct mr_fiber *caller = spawn(call_in_the_same_turn, mr_fiber_current(), "canceller");
    CU_ASSERT_EQUAL(mr_hub_switch(MR_FOREVER, &value), -ECANCELED);
    CU_ASSERT_EQUAL(value, 77);
    CU_ASSERT_EQUAL(stale_fires(), 4);
    call(shared, 4);
    CU_ASSERT_EQUAL(stale_fires(), 5);
    CU_ASSERT_EQUAL(mr_fiber_yield(), 0);
    join(caller);

    shared = mr_fiber_switchback(); /* cancelled first, then called, then waited for */
    mr_fiber_cancel(mr_fiber_current());
    CU_ASSERT_EQUAL(mr_hub_switch(MR_FOREVER, &value), -ECANCELED);
    call(shared, 5);
    CU_ASSERT_EQUAL(stale_fires(), 6);

    shared = mr_fiber_switchback(); /* called first: the value is not lost */
    call(shared, 6);
    mr_fiber_cancel(mr_fiber_current());
    CU_ASSERT_EQUAL(mr_hub_switch(MR_FOREVER, &value), -ECANCELED);
    CU_ASSERT_EQUAL(mr_hub_switch(MR_FOREVER, &value), 0);
    CU_ASSERT_EQUAL(value, 6);
    return 0;
}

static void a_call_after_timeout_or_cancellation_has_no_effect(void)
{
    run_in_hub(be_called_too_late, NULL, NULL);
}

static int64_t leave_one_behind(void *argument)
{
    *(struct mr_switchback *)argument = mr_fiber_switchback();
    return 0;
}

static int64_t call_what_is_left(void *argument)
{
    struct mr_switchback left = {0};
    int64_t value = 0;

    (void)argument;
    join(spawn(leave_one_behind, &left, "first"));
    call(left, 1); /* the fiber is gone */
    CU_ASSERT_EQUAL(stale_fires(), 1);
    struct mr_fiber *second = spawn(leave_one_behind, &shared, "second"); /* takes its place */
    join(second);
    CU_ASSERT_NOT_EQUAL(left.arg, shared.arg);
    call(left, 2);
    call(shared, 3);
    CU_ASSERT_EQUAL(stale_fires(), 3);

    shared = mr_fiber_switchback(); /* for the next hub */
    CU_ASSERT_EQUAL(mr_hub_switch(0, &value), -ETIMEDOUT);
    return 0;
}

static int64_t meet_an_old_hub(void *argument)
{
    int64_t value = 0;
    struct mr_switchback own = {0};

    (void)argument;
    for (int i = 0; i < 8; i++) {
        own = mr_fiber_switchback();
        CU_ASSERT_NOT_EQUAL(own.arg, shared.arg);
        call(shared, 1);
        CU_ASSERT_EQUAL(mr_hub_switch(0, &value), -ETIMEDOUT);
    }
    shared = own;
    return 0;
}

static void a_call_after_the_fiber_or_the_hub_is_gone_has_no_effect(void)
{
    run_in_hub(call_what_is_left, NULL, NULL);
    call(shared, 1); /* no hub */
    run_in_hub(meet_an_old_hub, NULL, NULL);
    run_in_hub(meet_an_old_hub, NULL, NULL);
    call(mr_fiber_switchback(), 1); /* outside fibers */
}

/* ------------------------------------------------------------------ in any interleaving */

enum {
    ROUNDS = 2000,
    SLOTS = 8
};

static uint32_t random_state;

static uint32_t draw(uint32_t below)
{
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % below;
}

struct waiter {
    struct mr_switchback back;
    int64_t expected; /* value of the first call since `back` was made; 0: none */
    bool is_waiting;
    bool is_over; /* cancelled since */
    uint32_t done;
    struct mr_fiber *fiber;
};

static struct waiter waiters[SLOTS];
static uint32_t waiters_left;

static int64_t wait_again_and_again(void *argument)
{
    struct waiter *own = argument;

    for (own->done = 0; own->done < ROUNDS; own->done++) {
        int64_t value = 0;
        uint64_t timeout = draw(4) == 0 ? MR_MICROSECONDS(draw(300)) : MR_FOREVER;

        own->expected = 0;
        own->is_over = false;
        own->back = mr_fiber_switchback();
        if (draw(3) == 0)
            mr_fiber_yield();
        own->is_waiting = true;
        int result = mr_hub_switch(timeout, &value);
        own->is_waiting = false;
        if (result == 0) {
            CU_ASSERT_NOT_EQUAL(own->expected, 0);
            CU_ASSERT_EQUAL(value, own->expected);
        }
    }
    waiters_left--;
    return 0;
}

static int64_t disturb(void *argument)
{
    static struct mr_switchback old[64];
    int64_t next = 1;

    (void)argument;
    for (uint32_t i = 0; waiters_left > 0; i++) {
        struct waiter *waiter = &waiters[draw(SLOTS)];
        uint32_t what = draw(10);

        if (what < 5 && waiter->back.fn != NULL) {
            if (waiter->expected == 0)
                waiter->expected = next;
            call(waiter->back, next++);
            old[draw(64)] = waiter->back;
        } else if (what < 8 && old[i % 64].fn != NULL && old[i % 64].arg != waiter->back.arg) {
            bool is_current = false;

            for (int k = 0; k < SLOTS; k++)
                is_current |= waiters[k].back.arg == old[i % 64].arg;
            if (!is_current)
                call(old[i % 64], -1); /* never seen */
        } else if (what == 8 && waiter->is_waiting) {
            mr_fiber_cancel(waiter->fiber);
        }
        if (i % 3 == 0)
            mr_fiber_yield();
        if (i % 1000 == 0)
            mr_hub_check(mr_hub_current());
    }
    return 0;
}

static int64_t disturb_waiters(void *argument)
{
    (void)argument;
    waiters_left = SLOTS;
    for (int i = 0; i < SLOTS; i++) {
        waiters[i] = (struct waiter){.expected = 0};
        waiters[i].fiber = spawn(wait_again_and_again, &waiters[i], "waiter");
    }
    disturb(NULL);
    for (int i = 0; i < SLOTS; i++)
        join(waiters[i].fiber);
    return 0;
}

static void any_order_of_calls_timeouts_and_cancellations_is_safe(void)
{
    random_state = 4711;
    run_in_hub(disturb_waiters, NULL, NULL);
}

static CU_TestInfo tests[] = {
    {"G12 a switchback continues its fiber with a value",
     a_switchback_continues_its_fiber_with_a_value},
    {"G12 a second call has no effect", a_second_call_has_no_effect},
    {"G12 G26 a call after timeout or cancellation has no effect",
     a_call_after_timeout_or_cancellation_has_no_effect},
    {"G12 a call after the fiber or the hub is gone has no effect",
     a_call_after_the_fiber_or_the_hub_is_gone_has_no_effect},
    {"G12 any order of calls, timeouts and cancellations is safe",
     any_order_of_calls_timeouts_and_cancellations_is_safe},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/fiber_seat", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
