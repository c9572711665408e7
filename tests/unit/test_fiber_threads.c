/* Tests of fibers and other threads: wake-ups, notes, work; run under the thread sanitizer, too. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "base/compiler.h"
#include "tests/unit/fiber_hub.h"

enum {
    ROUNDS = 300,
    FIBERS = 20
};

static void sleep_us(long us)
{
    struct timespec ts = {.tv_nsec = us * 1000};

    nanosleep(&ts, NULL);
}

/* ------------------------------------------------------------------ switchbacks called elsewhere
 */

/* Switchbacks on their way to another thread, which calls them in any order, some twice. */
static struct {
    pthread_mutex_t lock;
    struct mr_switchback backs[64];
    int64_t values[64];
    uint32_t count;
    bool is_over;
} post = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *call_posted(void *argument)
{
    uint32_t calls = 0;

    (void)argument;
    for (;;) {
        struct mr_switchback back = {NULL, NULL};
        int64_t value = 0;

        pthread_mutex_lock(&post.lock);
        bool is_over = post.is_over;
        if (post.count > 0) {
            uint32_t i = ++calls % post.count;

            back = post.backs[i];
            value = post.values[i];
            post.backs[i] = post.backs[--post.count];
            post.values[i] = post.values[post.count];
        }
        pthread_mutex_unlock(&post.lock);
        if (back.fn != NULL) {
            back.fn(back.arg, value);
            if (calls % 3 == 0)
                back.fn(back.arg, -1); /* never seen */
            if (calls % 50 == 0)
                sleep_us(200);
        } else if (is_over) {
            return NULL;
        } else {
            sleep_us(20);
        }
    }
}

static int64_t wait_for_other_thread(void *argument)
{
    int64_t base = *(const int64_t *)argument;
    int64_t answered = 0;

    for (int64_t i = 0; i < ROUNDS; i++) {
        struct mr_switchback back = mr_fiber_switchback();
        int64_t value = 0;
        uint64_t timeout = i % 10 == 0 ? MR_MICROSECONDS(100) : MR_SECONDS(60);

        pthread_mutex_lock(&post.lock);
        post.backs[post.count] = back;
        post.values[post.count++] = base + i;
        pthread_mutex_unlock(&post.lock);
        int result = mr_hub_switch(timeout, &value);
        CU_ASSERT_TRUE(result == 0 || (result == -ETIMEDOUT && i % 10 == 0));
        if (result == 0) {
            CU_ASSERT_EQUAL(value, base + i);
            answered++;
        } else {
            mr_fiber_sleep(MR_MILLISECONDS(1)); /* so that the queue has room */
        }
    }
    return answered;
}

static int64_t wait_with_many(void *argument)
{
    struct mr_fiber *fibers[FIBERS];
    int64_t bases[FIBERS];

    (void)argument;
    for (int i = 0; i < FIBERS; i++) {
        bases[i] = (i + 1) * 1000000;
        fibers[i] = spawn(wait_for_other_thread, &bases[i], "waiter");
    }
    for (int i = 0; i < FIBERS; i++)
        CU_ASSERT_TRUE(join(fibers[i]) >= ROUNDS / 10 * 9);
    return 0;
}

static void other_threads_continue_fibers(void)
{
    pthread_t threads[2];

    post.is_over = false;
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, call_posted, NULL);
    run_in_hub(wait_with_many, NULL, NULL);
    pthread_mutex_lock(&post.lock);
    post.is_over = true; /* what is left is called when the hub is gone */
    pthread_mutex_unlock(&post.lock);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

/* ------------------------------------------------------------------ notes, stop, several hubs */

struct counted_note {
    struct mr_hub_note note;
    uint32_t *counter;
};

static void count_note(void *arg)
{
    struct counted_note *note = arg;

    CU_ASSERT_PTR_NULL(mr_fiber_current());
    ++*note->counter; /* on the hub's thread: no lock */
}

struct poster {
    struct mr_hub *hub;
    struct counted_note notes[500];
    bool stops;
};

static void *post_notes(void *argument)
{
    struct poster *poster = argument;

    for (size_t i = 0; i < MR_COUNT_OF(poster->notes); i++) {
        mr_hub_post(poster->hub, &poster->notes[i].note);
        if (i % 100 == 0)
            sleep_us(100);
    }
    if (poster->stops)
        mr_hub_stop(poster->hub);
    return NULL;
}

static int64_t sleep_until_cancelled(void *argument)
{
    (void)argument;
    return mr_fiber_sleep(MR_FOREVER);
}

/* Also with a source that is woken by a function of its own. */
static _Atomic uint32_t wakes;

static int run_own(void *context, uint64_t timeout_ns)
{
    (void)context;
    for (int i = 0; timeout_ns > 0 && i < 1000 && atomic_load(&wakes) == 0; i++)
        sleep_us(50);
    atomic_store(&wakes, 0);
    return 0;
}

static void wake_own(void *context)
{
    (void)context;
    atomic_fetch_add(&wakes, 1);
}

static void notes_and_stops_of_other_threads_reach_the_hub(void)
{
    static struct poster posters[3];
    struct mr_hub_options own = {.source = {.run_once = run_own, .wake = wake_own}};
    pthread_t threads[3];

    for (int kind = 0; kind < 2; kind++) {
        struct mr_hub *hub = mr_hub_new(kind == 0 ? NULL : &own, NULL);
        uint32_t counter = 0;

        struct mr_fiber *fiber = spawn(sleep_until_cancelled, NULL, "sleeper");
        for (int i = 0; i < 3; i++) {
            posters[i].hub = hub;
            posters[i].stops = i == 0;
            for (size_t k = 0; k < MR_COUNT_OF(posters[i].notes); k++) {
                struct counted_note *note = &posters[i].notes[k];

                *note = (struct counted_note){.counter = &counter};
                note->note = (struct mr_hub_note){.fn = count_note, .arg = note};
            }
            pthread_create(&threads[i], NULL, post_notes, &posters[i]);
        }
        CU_ASSERT_EQUAL(mr_hub_run(hub), 1); /* until it is stopped */
        for (int i = 0; i < 3; i++)
            pthread_join(threads[i], NULL);
        CU_ASSERT_FALSE(mr_fiber_has_ended(fiber));
        CU_ASSERT_EQUAL(mr_hub_close(hub, NULL), 0); /* with the rest */
        CU_ASSERT_EQUAL(counter, 3 * MR_COUNT_OF(posters[0].notes));
    }
}

/* Once another thread has woken the hub, it sleeps again. */
static void *call_one(void *argument)
{
    const struct mr_switchback *back = argument;

    sleep_us(1000);
    back->fn(back->arg, 1);
    return NULL;
}

static int64_t sleep_after_wake(void *argument)
{
    struct mr_switchback back = mr_fiber_switchback();
    struct mr_hub_stats before;
    struct mr_hub_stats after;
    pthread_t thread;

    (void)argument;
    pthread_create(&thread, NULL, call_one, &back);
    CU_ASSERT_EQUAL(mr_hub_switch(MR_FOREVER, NULL), 0);
    pthread_join(thread, NULL);
    mr_hub_stats_get(mr_hub_current(), &before);
    CU_ASSERT_EQUAL(mr_fiber_sleep(MR_MILLISECONDS(20)), 0);
    mr_hub_stats_get(mr_hub_current(), &after);
    CU_ASSERT_TRUE(after.polls - before.polls < 50);
    return 0;
}

static void a_hub_that_was_woken_sleeps_again(void)
{
    run_in_hub(sleep_after_wake, NULL, NULL);
}

static int64_t ping(void *argument)
{
    int64_t value = 0;
    struct mr_switchback *ends = argument;

    for (int i = 0; i < 100; i++) {
        struct mr_switchback back = mr_fiber_switchback();

        pthread_mutex_lock(&post.lock);
        struct mr_switchback other = ends[1];
        ends[0] = back;
        pthread_mutex_unlock(&post.lock);
        if (other.fn != NULL)
            other.fn(other.arg, i);
        if (mr_hub_switch(MR_MILLISECONDS(2), &value) == -ETIMEDOUT)
            continue;
    }
    return 0;
}

static int64_t pong(void *argument)
{
    struct mr_switchback *ends = argument;
    int64_t value = 0;

    for (int i = 0; i < 100; i++) {
        struct mr_switchback back = mr_fiber_switchback();

        pthread_mutex_lock(&post.lock);
        struct mr_switchback other = ends[0];
        ends[1] = back;
        pthread_mutex_unlock(&post.lock);
        if (other.fn != NULL)
            other.fn(other.arg, i);
        (void)mr_hub_switch(MR_MILLISECONDS(2), &value);
    }
    return 0;
}

static void *run_second_hub(void *argument)
{
    struct mr_hub *hub = mr_hub_new(NULL, NULL);
    struct mr_fiber_options detached = {.is_detached = true};

    mr_fiber_spawn(pong, argument, "pong", &detached, NULL);
    mr_hub_run(hub);
    mr_hub_close(hub, NULL);
    return NULL;
}

static void each_thread_has_a_hub_of_its_own(void)
{
    struct mr_switchback ends[2] = {{NULL, NULL}, {NULL, NULL}};
    pthread_t thread;

    pthread_create(&thread, NULL, run_second_hub, ends);
    run_in_hub(ping, ends, NULL);
    pthread_join(thread, NULL);
}

/* ------------------------------------------------------------------ G25 */

static pthread_t hub_thread;
static _Atomic int gate; /* what the helpers wait for */

static int64_t crunch(void *argument)
{
    int64_t sum = 0;

    if (pthread_equal(pthread_self(), hub_thread))
        return -1;
    for (int64_t i = 1; i <= *(const int64_t *)argument; i++)
        sum += i;
    return sum;
}

static int64_t crunch_elsewhere(void *argument)
{
    int64_t result = 0;

    CU_ASSERT_EQUAL(mr_fiber_work(crunch, argument, &result), 0);
    return result;
}

static int64_t wait_at_gate(void *argument)
{
    atomic_fetch_add(&gate, 1);
    while (atomic_load(&gate) < 100)
        sleep_us(50);
    return (int64_t)(uintptr_t)argument;
}

static int64_t block_elsewhere(void *argument)
{
    int64_t result = 0;
    int error = mr_fiber_work(wait_at_gate, argument, &result);

    if (error != 0)
        return error;
    return mr_fiber_yield() == -ECANCELED ? result : -EINVAL; /* told afterwards */
}

static int64_t offload(void *argument)
{
    struct mr_fiber *fibers[50];
    int64_t counts[50];
    int yields = 0;

    (void)argument;
    for (int i = 0; i < 50; i++) {
        counts[i] = i * 100;
        fibers[i] = spawn(crunch_elsewhere, &counts[i], "cruncher");
    }
    for (int i = 0; i < 50; i++)
        CU_ASSERT_EQUAL(join(fibers[i]), counts[i] * (counts[i] + 1) / 2);

    atomic_store(&gate, 0);
    for (int i = 0; i < 6; i++)
        fibers[i] = spawn(block_elsewhere, (void *)(uintptr_t)(i + 1), "blocker");
    while (atomic_load(&gate) < 2) /* both helpers are busy; others run meanwhile */
        mr_fiber_sleep(MR_MICROSECONDS(100));
    for (; yields < 100; yields++)
        CU_ASSERT_EQUAL(mr_fiber_yield(), 0);
    for (int i = 0; i < 6; i++)
        CU_ASSERT_EQUAL(mr_fiber_cancel(fibers[i]), 0);
    for (int i = 2; i < 6; i++) /* two wait in the queue, two for room in it */
        CU_ASSERT_EQUAL(join(fibers[i]), -ECANCELED);
    CU_ASSERT_EQUAL(mr_fiber_join(fibers[0], MR_MILLISECONDS(2), NULL), -ETIMEDOUT);
    atomic_store(&gate, 100);
    CU_ASSERT_EQUAL(join(fibers[0]), 1);
    CU_ASSERT_EQUAL(join(fibers[1]), 2);
    return 0;
}

static void work_runs_on_other_threads_while_fibers_go_on(void)
{
    struct mr_hub_options options = {.work_threads = 2, .work_queue_max = 4};
    int64_t result = 0;

    hub_thread = pthread_self();
    CU_ASSERT_EQUAL(mr_fiber_work(crunch, &result, &result), -EPERM);
    run_in_hub(offload, NULL, &options);
}

static void *open_gate(void *argument)
{
    (void)argument;
    for (int i = 0; i < 40; i++) /* longer than all rounds of closing */
        sleep_us(10000);
    atomic_store(&gate, 100);
    return NULL;
}

static int64_t work_and_tell(void *argument)
{
    int64_t result = 0;

    if (mr_fiber_work(wait_at_gate, argument, &result) == 0)
        *(int64_t *)argument = 1;
    return 0;
}

static void closing_waits_for_work_under_way(void)
{
    struct mr_hub *hub = mr_hub_new(NULL, NULL);
    int64_t told = 0;
    pthread_t thread;

    atomic_store(&gate, 0);
    spawn(work_and_tell, &told, "worker");
    mr_hub_stop(hub);
    CU_ASSERT_EQUAL(mr_hub_run(hub), 1);
    while (atomic_load(&gate) == 0) /* it has begun */
        sleep_us(50);
    pthread_create(&thread, NULL, open_gate, NULL);
    CU_ASSERT_EQUAL(mr_hub_close(hub, NULL), 0);
    CU_ASSERT_EQUAL(told, 1);
    pthread_join(thread, NULL);
}

static CU_TestInfo tests[] = {
    {"G11 G12 other threads continue fibers", other_threads_continue_fibers},
    {"G11 notes and stops of other threads reach the hub",
     notes_and_stops_of_other_threads_reach_the_hub},
    {"G11 a hub that was woken sleeps again", a_hub_that_was_woken_sleeps_again},
    {"G11 each thread has a hub of its own", each_thread_has_a_hub_of_its_own},
    {"G25 work runs on other threads while fibers go on",
     work_runs_on_other_threads_while_fibers_go_on},
    {"G25 closing waits for work under way", closing_waits_for_work_under_way},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/fiber, threads", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
