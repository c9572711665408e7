/* Tests of the assertions on switchpoints: MR_ASSERT_NO_SWITCHPOINTS, mr_switchpoint_check(). */
#include <errno.h>
#include <signal.h>

#include "millrace/fiber_sync.h"
#include "tests/unit/fiber_hub.h"

/* ------------------------------------------------------------------ every switchpoint panics */

static struct mr_fiber_mutex mutex;
static struct mr_fiber_semaphore semaphore = {.count = 9};
static struct mr_fiber_condition condition;
static struct mr_fiber_channel *channel;
static struct mr_fiber *ended;

static int64_t end_at_once(void *argument)
{
    (void)argument;
    return 0;
}

static void join_ended(void)
{
    mr_fiber_join(ended, 0, NULL);
}

static void yield(void)
{
    mr_fiber_yield();
}

static void sleep_shortly(void)
{
    mr_fiber_sleep(0);
}

static void work(void)
{
    mr_fiber_work(end_at_once, NULL, NULL);
}

static void hub_switch(void)
{
    struct mr_switchback back = mr_fiber_switchback(); /* allowed: it does not switch */

    back.fn(back.arg, 1);
    mr_hub_switch(0, NULL);
}

static void lock(void)
{
    mr_fiber_mutex_lock(&mutex, 0);
}

static void take(void)
{
    mr_fiber_semaphore_take(&semaphore, 0);
}

static void wait_for_condition(void)
{
    mr_fiber_condition_wait(&condition, NULL, 0);
}

static void send(void)
{
    int item = 1;

    mr_fiber_channel_send(channel, &item, 0);
}

static void receive(void)
{
    int item;

    mr_fiber_channel_receive(channel, &item, 0);
}

/* All switchpoints (scripts/switchpoints sees to it), called so that they would not switch. */
static const struct call {
    const char *name;
    void (*call)(void);
} calls[] = {
    {"mr_fiber_join", join_ended},     {"mr_fiber_yield", yield},
    {"mr_fiber_sleep", sleep_shortly}, {"mr_fiber_work", work},
    {"mr_hub_switch", hub_switch},     {"mr_fiber_mutex_lock", lock},
    {"mr_fiber_semaphore_take", take}, {"mr_fiber_condition_wait", wait_for_condition},
    {"mr_fiber_channel_send", send},   {"mr_fiber_channel_receive", receive},
};

static int64_t call_in_scope(void *argument)
{
    const struct call *call = argument;
    int item = 1;

    channel = mr_fiber_channel_new(2, sizeof(int));
    mr_fiber_channel_send(channel, &item, 0);
    ended = spawn(end_at_once, NULL, "ended");
    mr_fiber_yield();
    MR_ASSERT_NO_SWITCHPOINTS("transfer")
    {
        call->call();
    }
    return 0;
}

static int64_t call_out_of_scope(void *argument)
{
    const struct call *call = argument;
    int item = 1;

    channel = mr_fiber_channel_new(2, sizeof(int));
    mr_fiber_channel_send(channel, &item, 0);
    ended = spawn(end_at_once, NULL, "ended");
    mr_fiber_yield();
    MR_ASSERT_NO_SWITCHPOINTS("transfer")
    {
        (void)mr_fiber_current();
    }
    call->call();
    return 0;
}

static void run_in_scope(void *argument)
{
    run_in_hub(call_in_scope, argument, NULL);
}

static void run_out_of_scope(void *argument)
{
    run_in_hub(call_out_of_scope, argument, NULL);
}

static void every_switchpoint_panics_in_a_scope_with_its_name(void)
{
    char text[2048];
    char expected[128];

    for (size_t i = 0; i < MR_COUNT_OF(calls); i++) {
        void *call = (void *)(uintptr_t)&calls[i];

        CU_ASSERT_TRUE(was_killed_by(run_child(run_in_scope, call, text, sizeof(text)), SIGABRT));
        snprintf(expected, sizeof(expected),
                 "fiber 'main' calls switchpoint %s() in scope 'transfer'", calls[i].name);
        CU_ASSERT_PTR_NOT_NULL(strstr(text, expected));
        CU_ASSERT_EQUAL(run_child(run_out_of_scope, call, text, sizeof(text)), 0);
        CU_ASSERT_STRING_EQUAL(text, "");
    }
}

/* ------------------------------------------------------------------ scopes */

static int leave_early(int how)
{
    MR_ASSERT_NO_SWITCHPOINTS("outer")
    {
        MR_ASSERT_NO_SWITCHPOINTS("inner")
        {
            if (how == 0)
                return 1;
            if (how == 1)
                goto out;
            if (how == 2)
                break;
        }
        if (how == 3)
            return 2;
        how = -1;
    }
    return how;
out:
    return 3;
}

static int64_t use_scopes(void *argument)
{
    int count = 0;

    (void)argument;
    MR_ASSERT_NO_SWITCHPOINTS("once")
    count++;
    CU_ASSERT_EQUAL(count, 1);
    CU_ASSERT_EQUAL(mr_fiber_yield(), 0);
    CU_ASSERT_EQUAL(leave_early(0), 1);
    CU_ASSERT_EQUAL(mr_fiber_yield(), 0);
    CU_ASSERT_EQUAL(leave_early(1), 3);
    CU_ASSERT_EQUAL(mr_fiber_yield(), 0);
    CU_ASSERT_EQUAL(leave_early(2), -1);
    CU_ASSERT_EQUAL(mr_fiber_yield(), 0);
    CU_ASSERT_EQUAL(leave_early(3), 2);
    CU_ASSERT_EQUAL(mr_fiber_yield(), 0);
    return 0;
}

static void a_scope_ends_however_it_is_left(void)
{
    run_in_hub(use_scopes, NULL, NULL);
}

static int64_t nest(void *argument)
{
    MR_ASSERT_NO_SWITCHPOINTS("outer")
    {
        MR_ASSERT_NO_SWITCHPOINTS("inner")
        {
            if (argument != NULL)
                mr_fiber_yield();
        }
        mr_fiber_yield(); /* the outer one still holds */
    }
    return 0;
}

static void run_nested(void *argument)
{
    run_in_hub(nest, argument, NULL);
}

static void outside_fibers(void *argument)
{
    (void)argument;
    MR_ASSERT_NO_SWITCHPOINTS("alone")
    {
        mr_fiber_semaphore_take(&semaphore, 0);
    }
}

static void scopes_nest(void)
{
    char text[2048];
    int inner = 1;

    CU_ASSERT_TRUE(was_killed_by(run_child(run_nested, &inner, text, sizeof(text)), SIGABRT));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "scope 'inner'"));
    CU_ASSERT_TRUE(was_killed_by(run_child(run_nested, NULL, text, sizeof(text)), SIGABRT));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "scope 'outer'"));
    CU_ASSERT_TRUE(was_killed_by(run_child(outside_fibers, NULL, text, sizeof(text)), SIGABRT));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(text, "fiber 'none' calls switchpoint mr_fiber_semaphore_take()"));
}

/* An assertion, not a lock: others get in as soon as a switchpoint is called outside the scope. */
static int64_t enter_too(void *argument)
{
    MR_ASSERT_NO_SWITCHPOINTS("other")
    {
        ++*(int *)argument;
    }
    return 0;
}

static int64_t share(void *argument)
{
    int entered = 0;
    struct mr_fiber *fiber = spawn(enter_too, &entered, "other");

    (void)argument;
    MR_ASSERT_NO_SWITCHPOINTS("own")
    {
        struct mr_fiber *second = spawn(enter_too, &entered, "second"); /* does not switch */

        mr_fiber_cancel(second);
        CU_ASSERT_EQUAL(entered, 0);
        mr_fiber_detach(second);
    }
    join(fiber);
    mr_fiber_yield();
    CU_ASSERT_EQUAL(entered, 2);
    return 0;
}

static void a_scope_is_no_lock(void)
{
    run_in_hub(share, NULL, NULL);
}

/* ------------------------------------------------------------------ switchpoints of others */

static int own_switchpoint(void)
{
    int result = mr_switchpoint_check("own_switchpoint");

    return result != 0 ? result : mr_fiber_yield();
}

static int64_t call_own(void *argument)
{
    CU_ASSERT_EQUAL(own_switchpoint(), 0);
    mr_fiber_cancel(mr_fiber_current());
    CU_ASSERT_EQUAL(own_switchpoint(), -ECANCELED);
    if (argument != NULL)
        MR_ASSERT_NO_SWITCHPOINTS("transfer")
    own_switchpoint();
    return 0;
}

static void run_own(void *argument)
{
    run_in_hub(call_own, argument, NULL);
}

static void an_applications_own_switchpoint_is_checked_alike(void)
{
    char text[2048];
    int yes = 1;

    run_own(NULL);
    CU_ASSERT_TRUE(was_killed_by(run_child(run_own, &yes, text, sizeof(text)), SIGABRT));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "calls switchpoint own_switchpoint() in scope 'transfer'"));
}

static CU_TestInfo tests[] = {
    {"G15 G16 every switchpoint panics in a scope, with its name",
     every_switchpoint_panics_in_a_scope_with_its_name},
    {"G16 a scope ends however it is left", a_scope_ends_however_it_is_left},
    {"G16 scopes nest", scopes_nest},
    {"G16 G14 a scope is no lock", a_scope_is_no_lock},
    {"G15 an application's own switchpoint is checked alike",
     an_applications_own_switchpoint_is_checked_alike},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/fiber, switchpoints", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
