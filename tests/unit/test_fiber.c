/* Tests of app/fiber.c and app/fiber_hub.c. */
#include "millrace/fiber.h"

#include <errno.h>
#include <fenv.h>
#include <time.h>

#include "millrace/fiber_sync.h"
#include "tests/unit/fiber_hub.h"

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

/* What happened, in order. */
static char trace[256];

static void mark(const char *what)
{
    strncat(trace, what, sizeof(trace) - strlen(trace) - 1);
}

/* ------------------------------------------------------------------ G4 */

static int64_t square(void *argument)
{
    int64_t value = *(const int64_t *)argument;

    mr_fiber_yield();
    return value * value;
}

static int64_t join_three(void *argument)
{
    int64_t values[3] = {3, 4, -5};
    struct mr_fiber *fibers[3];

    (void)argument;
    for (int i = 0; i < 3; i++)
        fibers[i] = spawn(square, &values[i], "square");
    CU_ASSERT_STRING_EQUAL(mr_fiber_name(fibers[0]), "square");
    CU_ASSERT_STRING_EQUAL(mr_fiber_name(mr_fiber_current()), "main");
    CU_ASSERT_FALSE(mr_fiber_has_ended(fibers[0]));
    CU_ASSERT_EQUAL(join(fibers[1]), 16);
    CU_ASSERT_TRUE(mr_fiber_has_ended(fibers[0])); /* its turn came before */
    CU_ASSERT_EQUAL(join(fibers[0]), 9);
    CU_ASSERT_EQUAL(join(fibers[2]), 25);
    return 0;
}

static void fibers_are_made_switch_and_are_joined(void)
{
    CU_ASSERT_PTR_NULL(mr_fiber_current());
    CU_ASSERT_PTR_NULL(mr_hub_current());
    run_in_hub(join_three, NULL, NULL);
    CU_ASSERT_PTR_NULL(mr_hub_current());
}

static int64_t write_letter(void *argument)
{
    mark(argument);
    mr_fiber_yield();
    mark(argument);
    return 0;
}

static int64_t spawn_letters(void *argument)
{
    (void)argument;
    struct mr_fiber *a = spawn(write_letter, "a", "a");
    struct mr_fiber *b = spawn(write_letter, "b", "b");
    struct mr_fiber *c = spawn(write_letter, "c", "c");
    mark("m");
    join(c);
    join(a);
    join(b);
    mark("m");
    return 0;
}

static void ready_fibers_run_first_come_first_served(void)
{
    trace[0] = '\0';
    run_in_hub(spawn_letters, NULL, NULL);
    CU_ASSERT_STRING_EQUAL(trace, "mabcabcm");
}

static int64_t wait_for_ever(void *argument)
{
    int result = mr_fiber_sleep(MR_FOREVER);

    mark(result == -ECANCELED ? "cancelled " : "woken ");
    result = mr_fiber_sleep(MR_MILLISECONDS(1)); /* a cancellation counts once */
    mark(result == 0 ? "slept " : "not slept ");
    *(bool *)argument = true; /* cleaned up */
    return -7;
}

static int64_t cancel_one(void *argument)
{
    bool is_clean = false;
    struct mr_fiber *fiber = spawn(wait_for_ever, &is_clean, "waiter");

    (void)argument;
    mr_fiber_yield();
    CU_ASSERT_EQUAL(mr_fiber_join(fiber, 0, NULL), -ETIMEDOUT);
    CU_ASSERT_EQUAL(mr_fiber_cancel(fiber), 0);
    CU_ASSERT_FALSE(is_clean); /* not a switchpoint */
    CU_ASSERT_EQUAL(mr_fiber_join(fiber, MR_FOREVER, NULL), 0);
    CU_ASSERT_TRUE(is_clean);

    /* before it waits */
    is_clean = false;
    fiber = spawn(wait_for_ever, &is_clean, "waiter");
    CU_ASSERT_EQUAL(mr_fiber_cancel(fiber), 0);
    CU_ASSERT_EQUAL(join(fiber), -7);
    CU_ASSERT_TRUE(is_clean);

    /* itself */
    CU_ASSERT_EQUAL(mr_fiber_cancel(mr_fiber_current()), 0);
    CU_ASSERT_EQUAL(mr_fiber_yield(), -ECANCELED);
    CU_ASSERT_EQUAL(mr_fiber_yield(), 0);
    return 0;
}

static void a_cancelled_fiber_gets_ecanceled_and_cleans_up(void)
{
    trace[0] = '\0';
    run_in_hub(cancel_one, NULL, NULL);
    CU_ASSERT_STRING_EQUAL(trace, "cancelled slept cancelled slept ");
}

static int64_t end_at_once(void *argument)
{
    (void)argument;
    return 11;
}

static void stacks_that_are_too_large_are_refused(void)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX / 2, (size_t)1 << 58, ((size_t)1 << 40) + 1};
    struct mr_error error;

    for (size_t i = 0; i < MR_COUNT_OF(sizes); i++) {
        struct mr_hub_options options = {.stack_size = sizes[i]};

        error.text[0] = '\0';
        CU_ASSERT_PTR_NULL(mr_hub_new(&options, &error));
        CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "stack_size"));
    }
}

static int64_t join_from_other(void *argument)
{
    return mr_fiber_join(argument, MR_FOREVER, NULL);
}

static int64_t misuse(void *argument)
{
    struct mr_fiber *fiber = spawn(end_at_once, NULL, "short");
    struct mr_fiber_options detached = {.is_detached = true};
    struct mr_fiber_options large = {.stack_size = (size_t)1 << 40};
    struct mr_fiber *never = NULL;

    (void)argument;
    CU_ASSERT_EQUAL(mr_fiber_join(mr_fiber_current(), MR_FOREVER, NULL), -EINVAL); /* detached */
    CU_ASSERT_EQUAL(mr_fiber_spawn(end_at_once, NULL, "x", &large, &never), -EINVAL);
    CU_ASSERT_EQUAL(mr_fiber_spawn(end_at_once, NULL, "x", NULL, NULL), -EINVAL);
    CU_ASSERT_EQUAL(mr_fiber_spawn(end_at_once, NULL, "x", &detached, NULL), 0);
    mr_fiber_yield();
    CU_ASSERT_TRUE(mr_fiber_has_ended(fiber));
    CU_ASSERT_EQUAL(mr_fiber_cancel(fiber), -ESRCH);
    CU_ASSERT_EQUAL(mr_fiber_stack_used(fiber), 0);
    CU_ASSERT_EQUAL(join(fiber), 11);

    /* two that join one */
    bool is_clean = false;
    struct mr_fiber *waiter = spawn(wait_for_ever, &is_clean, "waiter");
    struct mr_fiber *joiner = spawn(join_from_other, waiter, "joiner");
    mr_fiber_yield();
    CU_ASSERT_EQUAL(mr_fiber_join(waiter, MR_FOREVER, NULL), -EBUSY);
    CU_ASSERT_EQUAL(mr_fiber_cancel(joiner), 0);
    CU_ASSERT_EQUAL(join(joiner), -ECANCELED);
    mr_fiber_cancel(waiter);
    CU_ASSERT_EQUAL(join(waiter), -7);
    CU_ASSERT_EQUAL(mr_hub_run(mr_hub_current()), -EDEADLK);
    CU_ASSERT_EQUAL(mr_hub_close(mr_hub_current(), NULL), -EDEADLK);
    return 0;
}

static int64_t join_itself(void *argument)
{
    (void)argument;
    return mr_fiber_join(mr_fiber_current(), MR_FOREVER, NULL);
}

static void misuse_is_answered_with_an_error(void)
{
    struct mr_fiber *fiber = NULL;
    int64_t result = 0;

    CU_ASSERT_EQUAL(mr_fiber_spawn(end_at_once, NULL, "x", NULL, &fiber), -EINVAL); /* no hub */
    CU_ASSERT_EQUAL(mr_fiber_yield(), -EPERM);
    CU_ASSERT_EQUAL(mr_fiber_sleep(1), -EPERM);
    CU_ASSERT_EQUAL(mr_hub_switch(1, NULL), -EPERM);
    trace[0] = '\0';
    run_in_hub(misuse, NULL, NULL);

    struct mr_hub *hub = mr_hub_new(NULL, NULL);
    fiber = spawn(join_itself, NULL, "self");
    CU_ASSERT_EQUAL(mr_fiber_join(fiber, MR_FOREVER, NULL), -EPERM);
    CU_ASSERT_EQUAL(mr_hub_run(hub), 0);
    CU_ASSERT_EQUAL(mr_fiber_join(fiber, MR_FOREVER, &result), 0); /* ended: outside fibers, too */
    CU_ASSERT_EQUAL(result, -EDEADLK);
    mr_hub_close(hub, NULL);
}

static void the_number_of_fibers_is_limited(void)
{
    struct mr_hub_options options = {.fibers_max = 300};
    struct mr_hub *hub = mr_hub_new(&options, NULL);
    struct mr_fiber *fiber = NULL;
    struct mr_fiber_options detached = {.is_detached = true};
    struct mr_hub_stats stats;
    int count = 0;

    while (mr_fiber_spawn(end_at_once, NULL, "one", NULL, &fiber) == 0)
        count++;
    CU_ASSERT_EQUAL(count, 300);
    CU_ASSERT_EQUAL(mr_fiber_spawn(end_at_once, NULL, "one", NULL, &fiber), -ENFILE);
    mr_hub_check(hub);
    CU_ASSERT_EQUAL(mr_hub_run(hub), 0);
    mr_hub_check(hub);
    mr_fiber_join(fiber, 0, NULL);
    CU_ASSERT_EQUAL(mr_fiber_spawn(end_at_once, NULL, "one", NULL, &fiber), 0);
    CU_ASSERT_EQUAL(mr_hub_run(hub), 0);
    mr_fiber_detach(fiber);
    CU_ASSERT_EQUAL(mr_fiber_spawn(end_at_once, NULL, "one", NULL, &fiber), 0);
    mr_fiber_detach(fiber);
    CU_ASSERT_EQUAL(mr_hub_run(hub), 0);
    for (int i = 0; i < 5; i++) { /* the last place, again and again: detached ones give it back */
        CU_ASSERT_EQUAL(mr_fiber_spawn(end_at_once, NULL, "one", &detached, NULL), 0);
        CU_ASSERT_EQUAL(mr_hub_run(hub), 0);
    }
    CU_ASSERT_EQUAL(mr_fiber_spawn(end_at_once, NULL, "one", &detached, NULL), 0);
    mr_hub_stats_get(hub, &stats);
    CU_ASSERT_EQUAL(stats.fibers, 1);
    CU_ASSERT_EQUAL(stats.fibers_peak, 300);
    CU_ASSERT_EQUAL(stats.spawned, 308);
    CU_ASSERT_EQUAL(mr_hub_close(hub, NULL), 0);
}

/* The stack switch keeps what a call keeps: floating point control included. */
static int64_t compute(void *argument)
{
    double sum = *(const double *)argument;
    uint64_t words[6] = {1, 2, 3, 4, 5, 6};

    for (int i = 0; i < 1000; i++) {
        sum += 0.5;
        for (int k = 0; k < 6; k++)
            words[k] = words[k] * 3 + (uint64_t)i;
        if (i % 10 == 0)
            mr_fiber_yield();
    }
    CU_ASSERT_EQUAL(sum, *(const double *)argument + 500);
    uint64_t check = 0;
    for (int k = 0; k < 6; k++)
        check ^= words[k];
    return (int64_t)(check >> 1);
}

static int64_t compute_many(void *argument)
{
    struct mr_fiber *fibers[10];
    double starts[10];
    int64_t first;

    (void)argument;
    for (int i = 0; i < 10; i++) {
        starts[i] = i;
        fibers[i] = spawn(compute, &starts[i], "compute");
    }
    first = join(fibers[0]);
    for (int i = 1; i < 10; i++)
        CU_ASSERT_EQUAL(join(fibers[i]), first);
    return 0;
}

static void registers_survive_switches(void)
{
    run_in_hub(compute_many, NULL, NULL);
}

/* Sum of thirds, rounded as `argument` says, in both floating-point units where there are two. */
static int64_t round_thirds(void *argument)
{
    volatile double one = 1;
    volatile double sum = 0;
    volatile long double long_sum = 0;

    fesetround(*(const int *)argument);
    for (int i = 0; i < 100; i++) {
        sum = sum + one / 3;
        long_sum = long_sum + (long double)one / 3;
        mr_fiber_yield();
    }
    fesetround(FE_TONEAREST);
    int64_t bits;
    memcpy(&bits, (const void *)&sum, sizeof(bits));
    return bits + (long_sum > 100 / 3.0L) * 2 - (long_sum < 100 / 3.0L);
}

static int64_t round_both_ways(void *argument)
{
    int ways[2] = {FE_UPWARD, FE_DOWNWARD};
    int64_t alone[2];
    struct mr_fiber *fibers[2];

    (void)argument;
    for (int i = 0; i < 2; i++)
        alone[i] = join(spawn(round_thirds, &ways[i], "alone"));
    CU_ASSERT_NOT_EQUAL(alone[0], alone[1]);
    for (int i = 0; i < 2; i++)
        fibers[i] = spawn(round_thirds, &ways[i], "together");
    for (int i = 0; i < 2; i++)
        CU_ASSERT_EQUAL(join(fibers[i]), alone[i]);
    CU_ASSERT_EQUAL(fegetround(), FE_TONEAREST);
    return 0;
}

static void each_fiber_has_its_own_rounding(void)
{
    run_in_hub(round_both_ways, NULL, NULL);
}

/* ------------------------------------------------------------------ G5, G14 */

static uint32_t counter;
static uint32_t inside;

static int64_t count_up(void *argument)
{
    (void)argument;
    for (int i = 0; i < 100; i++) {
        CU_ASSERT_EQUAL(++inside, 1);
        uint32_t seen = counter;

        for (volatile int k = 0; k < 20; k++)
            ;
        counter = seen + 1; /* no lock */
        inside--;
        if (i % 7 == 0)
            mr_fiber_yield();
        else if (i % 31 == 0)
            mr_fiber_sleep(1);
    }
    return 0;
}

static int64_t count_together(void *argument)
{
    struct mr_fiber *fibers[200];

    (void)argument;
    for (int i = 0; i < 200; i++)
        fibers[i] = spawn(count_up, NULL, "counter");
    for (int i = 0; i < 200; i++)
        join(fibers[i]);
    CU_ASSERT_EQUAL(counter, 200 * 100);
    return 0;
}

static void shared_state_needs_no_lock_between_switchpoints(void)
{
    counter = 0;
    run_in_hub(count_together, NULL, NULL);
}

/* ------------------------------------------------------------------ G11, G13 */

struct counting_source {
    int calls;
    int fail_at;
    uint64_t last_timeout;
    struct mr_switchback back; /* called at the third call */
};

static int count_call(void *context, uint64_t timeout_ns)
{
    struct counting_source *source = context;

    mark("e");
    source->calls++;
    source->last_timeout = timeout_ns;
    CU_ASSERT_PTR_NULL(mr_fiber_current()); /* events are handled outside fibers */
    if (source->calls == 3 && source->back.fn != NULL)
        source->back.fn(source->back.arg, 33);
    return source->calls == source->fail_at ? -EIO : 0;
}

static int64_t wait_for_event(void *argument)
{
    struct counting_source *source = argument;
    int64_t value = 0;

    mark("<");
    source->back = mr_fiber_switchback();
    CU_ASSERT_EQUAL(mr_hub_switch(MR_FOREVER, &value), 0);
    CU_ASSERT_EQUAL(value, 33);
    mark(">"); /* just after the switch */
    return 0;
}

static void the_hub_calls_its_event_source_until_a_fiber_is_ready(void)
{
    struct counting_source source = {0};
    struct mr_hub_options options = {.source = {.run_once = count_call, .context = &source}};

    trace[0] = '\0';
    run_in_hub(wait_for_event, &source, &options);
    CU_ASSERT_STRING_EQUAL(trace, "<eee>e");
    CU_ASSERT_EQUAL(source.calls, 4);
}

static void a_failing_event_source_ends_the_run(void)
{
    struct counting_source source = {.fail_at = 2};
    struct mr_hub_options options = {.source = {.run_once = count_call, .context = &source}};
    struct mr_hub *hub = mr_hub_new(&options, NULL);
    bool is_clean = false;

    trace[0] = '\0';
    struct mr_fiber *fiber = spawn(wait_for_ever, &is_clean, "waiter");
    mr_fiber_detach(fiber);
    CU_ASSERT_EQUAL(mr_hub_run(hub), -EIO);
    CU_ASSERT_EQUAL(source.last_timeout, MR_FOREVER);
    CU_ASSERT_EQUAL(mr_hub_close(hub, NULL), 0);
    CU_ASSERT_TRUE(is_clean);
}

static int64_t stop_hub(void *argument)
{
    mr_hub_stop(mr_hub_current());
    mark("1");
    mr_fiber_yield();
    mark("2");
    return *(int *)argument;
}

static void a_stopped_hub_can_run_again(void)
{
    struct mr_error error = {""};
    struct mr_hub *hub = mr_hub_new(NULL, NULL);
    int value = 5;
    int64_t result = 0;

    CU_ASSERT_PTR_NULL(mr_hub_new(NULL, &error)); /* one for each thread */
    CU_ASSERT_STRING_EQUAL(error.text, "hub: this thread has one already; one hub per thread");
    CU_ASSERT_PTR_EQUAL(mr_hub_current(), hub);
    trace[0] = '\0';
    struct mr_fiber *fiber = spawn(stop_hub, &value, "stopper");
    CU_ASSERT_EQUAL(mr_hub_run(hub), 1);
    CU_ASSERT_STRING_EQUAL(trace, "1");
    mr_hub_check(hub);
    CU_ASSERT_EQUAL(mr_hub_run(hub), 0);
    CU_ASSERT_STRING_EQUAL(trace, "12");
    CU_ASSERT_EQUAL(mr_fiber_join(fiber, 0, &result), 0);
    CU_ASSERT_EQUAL(result, 5);
    CU_ASSERT_EQUAL(mr_hub_run(hub), 0); /* nothing to do */
    CU_ASSERT_EQUAL(mr_hub_close(hub, NULL), 0);
    CU_ASSERT_EQUAL(mr_hub_close(NULL, NULL), 0);
}

/* ------------------------------------------------------------------ closing */

static int64_t join_child_when_closed(void *argument)
{
    bool is_clean = false;
    struct mr_fiber *child = spawn(wait_for_ever, &is_clean, "child");
    struct mr_fiber *late = NULL;

    CU_ASSERT_EQUAL(mr_fiber_sleep(MR_FOREVER), -ECANCELED);
    CU_ASSERT_EQUAL(mr_fiber_spawn(end_at_once, NULL, "late", NULL, &late), -ESHUTDOWN);
    while (mr_fiber_join(child, MR_FOREVER, NULL) != 0)
        ;
    CU_ASSERT_TRUE(is_clean);
    *(bool *)argument = is_clean;
    return 0;
}

static int64_t yield_until_cancelled(void *argument)
{
    while (mr_fiber_yield() == 0)
        ;
    *(bool *)argument = true;
    return 0;
}

static int64_t yield_for_ever(void *argument)
{
    while (argument == NULL)
        mr_fiber_yield();
    return 0;
}

static int64_t sleep_for_ever(void *argument)
{
    while (argument == NULL)
        mr_fiber_sleep(MR_SECONDS(1000));
    return 0;
}

static void closing_ends_all_fibers_that_clean_up(void)
{
    struct mr_hub *hub = mr_hub_new(NULL, NULL);
    bool is_clean = false;
    bool is_parent_clean = false;
    bool is_fresh_clean = false;
    bool is_ready_clean = false;

    trace[0] = '\0';
    spawn(wait_for_ever, &is_clean, "waiter");
    spawn(join_child_when_closed, &is_parent_clean, "parent");
    mr_hub_stop(hub);
    spawn(yield_until_cancelled, &is_ready_clean, "ready");
    CU_ASSERT_EQUAL(mr_hub_run(hub), 4);
    spawn(wait_for_ever, &is_fresh_clean, "fresh"); /* never had a turn */
    CU_ASSERT_EQUAL(mr_hub_close(hub, NULL), 0);
    CU_ASSERT_TRUE(is_clean);
    CU_ASSERT_TRUE(is_parent_clean);
    CU_ASSERT_TRUE(is_fresh_clean);
    CU_ASSERT_TRUE(is_ready_clean);
}

static void closing_names_fibers_that_do_not_end(void)
{
    struct mr_hub *hub = mr_hub_new(NULL, NULL);
    struct mr_error error = {""};
    bool is_clean = false;

    spawn(sleep_for_ever, NULL, "sleeper");
    spawn(wait_for_ever, &is_clean, "waiter");
    spawn(yield_for_ever, NULL, "looper");
    mr_hub_stop(hub);
    mr_hub_run(hub);
    CU_ASSERT_EQUAL(mr_hub_close(hub, &error), 2);
    CU_ASSERT_STRING_EQUAL(error.text, "fibers that did not end: sleeper, looper");
    CU_ASSERT_TRUE(is_clean);
}

/* ------------------------------------------------------------------ G26 */

/* Virtual time: it passes only while the hub waits. */
static uint64_t virtual_now;

static uint64_t virtual_clock(void)
{
    return virtual_now;
}

static int pass_time(void *context, uint64_t timeout_ns)
{
    (void)context;
    CU_ASSERT_NOT_EQUAL(timeout_ns, MR_FOREVER);
    virtual_now += timeout_ns;
    return 0;
}

static int64_t sleep_and_tell(void *argument)
{
    const char *name = argument;
    uint64_t ms = (uint64_t)(name[0] - '0') * 3;
    uint64_t begin = virtual_now;

    CU_ASSERT_EQUAL(mr_fiber_sleep(MR_MILLISECONDS(ms)), 0);
    CU_ASSERT_TRUE(virtual_now - begin >= MR_MILLISECONDS(ms));
    CU_ASSERT_TRUE(virtual_now - begin < MR_MILLISECONDS(ms) + MR_MICROSECONDS(66));
    mark(name);
    return 0;
}

static int64_t time_out_in_order(void *argument)
{
    bool is_clean = false;
    struct mr_fiber *waiter = spawn(wait_for_ever, &is_clean, "waiter");
    struct mr_fiber *sleepers[3] = {spawn(sleep_and_tell, "3", "3"),
                                    spawn(sleep_and_tell, "1", "1"),
                                    spawn(sleep_and_tell, "2", "2")};
    uint64_t begin = virtual_now;

    (void)argument;
    CU_ASSERT_EQUAL(mr_fiber_join(waiter, MR_MILLISECONDS(8), NULL), -ETIMEDOUT);
    CU_ASSERT_TRUE(virtual_now - begin >= MR_MILLISECONDS(8));
    CU_ASSERT_STRING_EQUAL(trace, "12");
    for (int i = 0; i < 3; i++)
        join(sleepers[i]);
    CU_ASSERT_STRING_EQUAL(trace, "123");
    CU_ASSERT_FALSE(mr_fiber_has_ended(waiter)); /* still joinable */
    mr_fiber_cancel(waiter);
    CU_ASSERT_EQUAL(mr_fiber_join(waiter, MR_SECONDS(100), NULL), 0);

    struct mr_fiber *other = spawn(end_at_once, NULL, "other");
    CU_ASSERT_EQUAL(mr_fiber_sleep(0), 0); /* others run first */
    CU_ASSERT_TRUE(mr_fiber_has_ended(other));
    join(other);
    return 0;
}

static void timeouts_come_in_time_and_order_in_the_fiber(void)
{
    struct mr_hub_options options = {.source = {.run_once = pass_time}, .clock = virtual_clock};

    virtual_now = MR_SECONDS(1);
    trace[0] = '\0';
    run_in_hub(time_out_in_order, NULL, &options);
}

static int64_t sleep_in_real_time(void *argument)
{
    uint64_t begin = now_ns();

    (void)argument;
    CU_ASSERT_EQUAL(mr_fiber_sleep(MR_MILLISECONDS(5)), 0);
    CU_ASSERT_TRUE(now_ns() - begin >= MR_MILLISECONDS(5));
    return 0;
}

static void a_sleep_is_never_short(void)
{
    run_in_hub(sleep_in_real_time, NULL, NULL);
}

/* ------------------------------------------------------------------ M12, B10, B11 */

/* The example of the I/O model: callbacks that continue one another, as a straight line. */
struct stream {
    char bytes[32];
    struct mr_switchback reader;
};

static int64_t peer(void *argument)
{
    struct stream *stream = argument;

    mr_fiber_sleep(MR_MICROSECONDS(100));
    snprintf(stream->bytes, sizeof(stream->bytes), "hello");
    stream->reader.fn(stream->reader.arg, 5);
    return 0;
}

static int64_t read_stream(void *argument)
{
    struct stream stream = {{0}};
    int64_t size = 0;

    (void)argument;
    stream.reader = mr_fiber_switchback();
    struct mr_fiber *other = spawn(peer, &stream, "peer");
    CU_ASSERT_EQUAL(mr_hub_switch(MR_SECONDS(5), &size), 0);
    CU_ASSERT_EQUAL(size, 5);
    CU_ASSERT_STRING_EQUAL(stream.bytes, "hello");
    join(other);
    return 0;
}

static void a_continuation_is_written_as_a_straight_line(void)
{
    run_in_hub(read_stream, NULL, NULL);
}

enum {
    WAITERS = 10000
};

static int64_t wait_for_one(void *argument)
{
    struct mr_fiber_condition *condition = argument;

    return mr_fiber_condition_wait(condition, NULL, MR_FOREVER);
}

static int64_t work_while_others_wait(void *argument)
{
    static struct mr_fiber *fibers[WAITERS];
    struct mr_fiber_condition condition = {{NULL, NULL}};
    struct mr_hub_stats stats;
    int64_t sum = 0;

    (void)argument;
    for (int i = 0; i < WAITERS; i++)
        fibers[i] = spawn(wait_for_one, &condition, "waiter");
    for (int i = 0; i < 1000; i++) { /* the thread's other work */
        sum += i;
        CU_ASSERT_EQUAL(mr_fiber_yield(), 0);
    }
    mr_hub_stats_get(mr_hub_current(), &stats);
    CU_ASSERT_EQUAL(stats.fibers, WAITERS + 1);
    CU_ASSERT_EQUAL(stats.switches, WAITERS + 1001); /* those who wait cost no switch */
    CU_ASSERT_EQUAL(sum, 499500);
    mr_hub_check(mr_hub_current());
    CU_ASSERT_EQUAL(mr_fiber_condition_broadcast(&condition), WAITERS);
    for (int i = 0; i < WAITERS; i++)
        CU_ASSERT_EQUAL(join(fibers[i]), 0);
    return 0;
}

static void ten_thousand_fibers_wait_while_their_thread_works(void)
{
    run_in_hub(work_while_others_wait, NULL, NULL);
}

static CU_TestInfo tests[] = {
    {"G4 fibers are made, switch and are joined", fibers_are_made_switch_and_are_joined},
    {"G4 ready fibers run first come first served", ready_fibers_run_first_come_first_served},
    {"G4 B10 a cancelled fiber gets -ECANCELED and cleans up",
     a_cancelled_fiber_gets_ecanceled_and_cleans_up},
    {"G4 misuse is answered with an error", misuse_is_answered_with_an_error},
    {"G4 the number of fibers is limited", the_number_of_fibers_is_limited},
    {"G4 stacks that are too large are refused", stacks_that_are_too_large_are_refused},
    {"G4 registers survive switches", registers_survive_switches},
    {"G4 each fiber has its own rounding", each_fiber_has_its_own_rounding},
    {"G5 G14 shared state needs no lock between switchpoints",
     shared_state_needs_no_lock_between_switchpoints},
    {"G11 G13 the hub calls its event source until a fiber is ready",
     the_hub_calls_its_event_source_until_a_fiber_is_ready},
    {"G11 a failing event source ends the run", a_failing_event_source_ends_the_run},
    {"G11 a stopped hub can run again", a_stopped_hub_can_run_again},
    {"G11 G4 closing ends all fibers that clean up", closing_ends_all_fibers_that_clean_up},
    {"G11 G4 closing names fibers that do not end", closing_names_fibers_that_do_not_end},
    {"G26 timeouts come in time and order, in the fiber",
     timeouts_come_in_time_and_order_in_the_fiber},
    {"G26 a sleep is never short", a_sleep_is_never_short},
    {"M12 B10 a continuation is written as a straight line",
     a_continuation_is_written_as_a_straight_line},
    {"B11 ten thousand fibers wait while their thread works",
     ten_thousand_fibers_wait_while_their_thread_works},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/fiber", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
