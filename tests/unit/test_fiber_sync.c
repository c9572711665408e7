/* Tests of app/fiber_sync.c and app/fiber_channel.c. */
#include "millrace/fiber_sync.h"

#include <errno.h>

#include "tests/unit/fiber_hub.h"

static char trace[256];

static void mark(const char *what)
{
    strncat(trace, what, sizeof(trace) - strlen(trace) - 1);
}

/* ------------------------------------------------------------------ mutex */

static struct mr_fiber_mutex mutex;
static int64_t account[2];

static int64_t transfer(void *argument)
{
    for (int i = 0; i < 50; i++) {
        CU_ASSERT_EQUAL(mr_fiber_mutex_lock(&mutex, MR_FOREVER), 0);
        CU_ASSERT_EQUAL(account[0] + account[1], 100);
        account[0]--;
        mr_fiber_yield(); /* the sum is wrong meanwhile */
        account[1]++;
        mr_fiber_mutex_unlock(&mutex);
    }
    mark(argument);
    return 0;
}

static int64_t transfer_together(void *argument)
{
    struct mr_fiber *fibers[4];

    (void)argument;
    for (int i = 0; i < 4; i++)
        fibers[i] = spawn(transfer, (void *)(uintptr_t) & "a\0b\0c\0d"[2 * i], "transfer");
    for (int i = 0; i < 4; i++)
        join(fibers[i]);
    CU_ASSERT_EQUAL(account[1], 200);
    CU_ASSERT_STRING_EQUAL(trace, "abcd"); /* fair */
    return 0;
}

static void a_mutex_keeps_others_out_across_switchpoints(void)
{
    trace[0] = '\0';
    account[0] = 100;
    account[1] = 0;
    run_in_hub(transfer_together, NULL, NULL);
}

static int64_t lock_for(void *argument)
{
    int result = mr_fiber_mutex_lock(&mutex, *(const uint64_t *)argument);

    if (result == 0) {
        mark("l");
        mr_fiber_mutex_unlock(&mutex);
    }
    return result;
}

static int64_t time_out_and_cancel_lock(void *argument)
{
    static const uint64_t soon = MR_MILLISECONDS(2);
    static const uint64_t never = MR_FOREVER;
    static const uint64_t at_once = 0;

    (void)argument;
    CU_ASSERT_EQUAL(mr_fiber_mutex_lock(&mutex, 0), 0);
    CU_ASSERT_EQUAL(mr_fiber_mutex_lock(&mutex, MR_FOREVER), -EDEADLK);
    struct mr_fiber *a = spawn(lock_for, (void *)(uintptr_t)&never, "a");
    struct mr_fiber *b = spawn(lock_for, (void *)(uintptr_t)&soon, "b");
    struct mr_fiber *c = spawn(lock_for, (void *)(uintptr_t)&never, "c");
    struct mr_fiber *d = spawn(lock_for, (void *)(uintptr_t)&at_once, "d");
    CU_ASSERT_EQUAL(join(d), -ETIMEDOUT);
    CU_ASSERT_EQUAL(join(b), -ETIMEDOUT);
    CU_ASSERT_EQUAL(mr_fiber_cancel(a), 0);
    CU_ASSERT_EQUAL(join(a), -ECANCELED);
    CU_ASSERT_STRING_EQUAL(trace, "");
    mr_fiber_mutex_unlock(&mutex); /* c has it now */
    CU_ASSERT_EQUAL(mr_fiber_mutex_lock(&mutex, 0), -ETIMEDOUT);
    CU_ASSERT_EQUAL(mr_fiber_cancel(c), 0); /* too late for the lock */
    CU_ASSERT_EQUAL(join(c), 0);
    CU_ASSERT_STRING_EQUAL(trace, "l");
    CU_ASSERT_EQUAL(mr_fiber_mutex_lock(&mutex, 0), 0);
    mr_fiber_mutex_unlock(&mutex);
    return 0;
}

static void a_lock_times_out_and_is_cancelled(void)
{
    trace[0] = '\0';
    CU_ASSERT_EQUAL(mr_fiber_mutex_lock(&mutex, MR_FOREVER), -EPERM);
    run_in_hub(time_out_and_cancel_lock, NULL, NULL);
}

/* ------------------------------------------------------------------ semaphore */

static struct mr_fiber_semaphore semaphore;
static int in_use;

static int64_t use_one(void *argument)
{
    (void)argument;
    for (int i = 0; i < 20; i++) {
        CU_ASSERT_EQUAL(mr_fiber_semaphore_take(&semaphore, MR_FOREVER), 0);
        CU_ASSERT_TRUE(++in_use <= 3);
        mr_fiber_yield();
        in_use--;
        mr_fiber_semaphore_give(&semaphore, 1);
    }
    return 0;
}

static int64_t take_for(void *argument)
{
    return mr_fiber_semaphore_take(&semaphore, *(const uint64_t *)argument);
}

static int64_t use_together(void *argument)
{
    static const uint64_t soon = MR_MILLISECONDS(1);
    struct mr_fiber *fibers[10];

    (void)argument;
    semaphore.count = 3;
    for (int i = 0; i < 10; i++)
        fibers[i] = spawn(use_one, NULL, "user");
    for (int i = 0; i < 10; i++)
        join(fibers[i]);
    CU_ASSERT_EQUAL(semaphore.count, 3);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(mr_fiber_semaphore_take(&semaphore, 0), 0);
    CU_ASSERT_EQUAL(mr_fiber_semaphore_take(&semaphore, 0), -ETIMEDOUT);
    CU_ASSERT_EQUAL(join(spawn(take_for, (void *)(uintptr_t)&soon, "late")), -ETIMEDOUT);
    mr_fiber_semaphore_give(&semaphore, 2);
    CU_ASSERT_EQUAL(semaphore.count, 2); /* who timed out takes none */
    return 0;
}

static void a_semaphore_lets_so_many_in(void)
{
    run_in_hub(use_together, NULL, NULL);
}

/* ------------------------------------------------------------------ no hidden switch */

static struct mr_fiber_semaphore given;
static struct mr_fiber_condition told;

static int64_t take_given(void *argument)
{
    int result = mr_fiber_semaphore_take(&given, MR_FOREVER);

    mark(argument);
    return result;
}

static int64_t wait_to_be_told(void *argument)
{
    int result = mr_fiber_condition_wait(&told, NULL, MR_FOREVER);

    mark(argument);
    return result;
}

/* Who is woken runs at the waker's next switchpoint, not before. */
static int64_t wake_all(void *argument)
{
    struct mr_fiber *fibers[3] = {spawn(take_given, (void *)(uintptr_t) "g", "given"),
                                  spawn(wait_to_be_told, (void *)(uintptr_t) "t", "told"),
                                  spawn(wait_to_be_told, (void *)(uintptr_t) "t", "told")};

    (void)argument;
    mr_fiber_yield();
    mr_fiber_semaphore_give(&given, 1);
    CU_ASSERT_EQUAL(mr_fiber_condition_signal(&told), 1);
    CU_ASSERT_EQUAL(mr_fiber_condition_broadcast(&told), 1);
    mark("w");
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(join(fibers[i]), 0);
    CU_ASSERT_STRING_EQUAL(trace, "wgtt");
    return 0;
}

static void waking_is_no_switch(void)
{
    trace[0] = '\0';
    run_in_hub(wake_all, NULL, NULL);
}

/* ------------------------------------------------------------------ condition */

static struct mr_fiber_condition condition;

static int64_t wait_with_mutex(void *argument)
{
    CU_ASSERT_EQUAL(mr_fiber_mutex_lock(&mutex, MR_FOREVER), 0);
    int result = mr_fiber_condition_wait(&condition, &mutex, *(const uint64_t *)argument);
    CU_ASSERT_PTR_EQUAL(mutex.owner, mr_fiber_current());
    mr_fiber_yield();
    mr_fiber_mutex_unlock(&mutex);
    if (result == 0 && *(const uint64_t *)argument == MR_FOREVER)
        CU_ASSERT_EQUAL(mr_fiber_sleep(MR_SECONDS(50)), -ECANCELED); /* may be cancelled again */
    return result;
}

static int64_t signal_waiters(void *argument)
{
    static const uint64_t soon = MR_MILLISECONDS(1);
    static const uint64_t never = MR_FOREVER;
    struct mr_fiber *fibers[5];

    (void)argument;
    for (int i = 0; i < 5; i++)
        fibers[i] = spawn(wait_with_mutex, (void *)(uintptr_t)(i == 4 ? &soon : &never), "waiter");
    mr_fiber_yield();
    CU_ASSERT_EQUAL(mr_fiber_mutex_lock(&mutex, 0), 0);
    CU_ASSERT_EQUAL(join(spawn(lock_for, (void *)(uintptr_t)&soon, "late")), -ETIMEDOUT);
    CU_ASSERT_EQUAL(mr_fiber_condition_signal(&condition), 1);
    mr_fiber_yield();
    CU_ASSERT_FALSE(mr_fiber_has_ended(fibers[0])); /* it waits for the mutex */
    CU_ASSERT_EQUAL(mr_fiber_cancel(fibers[0]), 0); /* and does not give up */
    mr_fiber_yield();
    CU_ASSERT_FALSE(mr_fiber_has_ended(fibers[0]));
    CU_ASSERT_EQUAL(mr_fiber_cancel(fibers[1]), 0);
    mr_fiber_sleep(MR_MILLISECONDS(3));
    mr_fiber_mutex_unlock(&mutex);
    CU_ASSERT_EQUAL(join(fibers[1]), -ECANCELED);
    CU_ASSERT_EQUAL(join(fibers[4]), -ETIMEDOUT);
    CU_ASSERT_EQUAL(mr_fiber_condition_broadcast(&condition), 2);
    mr_fiber_sleep(MR_MILLISECONDS(2)); /* all have had the mutex */
    for (int i = 0; i < 4; i++) {
        if (i == 1)
            continue;
        CU_ASSERT_EQUAL(mr_fiber_cancel(fibers[i]), 0);
        CU_ASSERT_EQUAL(join(fibers[i]), 0);
    }
    CU_ASSERT_EQUAL(mr_fiber_condition_signal(&condition), 0);
    CU_ASSERT_EQUAL(mr_fiber_condition_wait(&condition, NULL, 0), -ETIMEDOUT);
    CU_ASSERT_PTR_NULL(mutex.owner);
    return 0;
}

static void a_condition_returns_with_the_mutex_locked(void)
{
    run_in_hub(signal_waiters, NULL, NULL);
}

/* ------------------------------------------------------------------ channel */

struct item {
    uint32_t number;
    uint8_t rest[13];
};

static struct mr_fiber_channel *channel;

static int64_t send_many(void *argument)
{
    struct item item = {.number = *(const uint32_t *)argument};

    for (int i = 0; i < 100; i++, item.number++) {
        memset(item.rest, (int)item.number, sizeof(item.rest));
        CU_ASSERT_EQUAL(mr_fiber_channel_send(channel, &item, MR_FOREVER), 0);
        if (i % 9 == 0)
            mr_fiber_yield();
    }
    return 0;
}

static int64_t receive_all(void *argument)
{
    uint64_t *sum = argument;
    struct item item;
    int64_t count = 0;
    int result;

    for (; (result = mr_fiber_channel_receive(channel, &item, MR_FOREVER)) == 0; count++) {
        CU_ASSERT_EQUAL(item.rest[12], (uint8_t)item.number);
        *sum += item.number;
        if (count % 4 == 0)
            mr_fiber_yield();
    }
    CU_ASSERT_EQUAL(result, -EPIPE);
    return count;
}

static int64_t pass_through(void *argument)
{
    static const uint32_t starts[3] = {0, 100, 200};
    struct mr_fiber *senders[3];
    struct mr_fiber *receivers[2];
    uint64_t sum = 0;

    channel = mr_fiber_channel_new(*(const uint32_t *)argument, sizeof(struct item));
    for (int i = 0; i < 3; i++)
        senders[i] = spawn(send_many, (void *)(uintptr_t)&starts[i], "sender");
    for (int i = 0; i < 2; i++)
        receivers[i] = spawn(receive_all, &sum, "receiver");
    for (int i = 0; i < 3; i++)
        join(senders[i]);
    mr_fiber_channel_close(channel);
    int64_t count = join(receivers[0]);
    CU_ASSERT_TRUE(count > 0);
    count += join(receivers[1]);
    CU_ASSERT_EQUAL(count, 300);
    CU_ASSERT_EQUAL(sum, 300 * 299 / 2);
    mr_fiber_channel_free(channel);
    return 0;
}

static void a_channel_loses_and_repeats_nothing(void)
{
    static const uint32_t rooms[] = {0, 1, 2, 7, 1000};

    for (size_t i = 0; i < MR_COUNT_OF(rooms); i++)
        run_in_hub(pass_through, (void *)(uintptr_t)&rooms[i], NULL);
}

static int64_t send_one(void *argument)
{
    return mr_fiber_channel_send(channel, argument, MR_FOREVER);
}

static int64_t receive_one(void *argument)
{
    return mr_fiber_channel_receive(channel, argument, MR_FOREVER);
}

static int64_t limits_of_a_channel(void *argument)
{
    int64_t values[5] = {1, 2, 3, 4, 5};
    int64_t value = 0;

    (void)argument;
    channel = mr_fiber_channel_new(2, sizeof(int64_t));
    CU_ASSERT_EQUAL(mr_fiber_channel_receive(channel, &value, 0), -ETIMEDOUT);
    CU_ASSERT_EQUAL(mr_fiber_channel_receive(channel, &value, MR_MICROSECONDS(100)), -ETIMEDOUT);
    CU_ASSERT_EQUAL(mr_fiber_channel_send(channel, &values[0], 0), 0);
    CU_ASSERT_EQUAL(mr_fiber_channel_send(channel, &values[1], 0), 0);
    CU_ASSERT_EQUAL(mr_fiber_channel_send(channel, &values[2], 0), -ETIMEDOUT); /* bounded */
    struct mr_fiber *third = spawn(send_one, &values[2], "third");
    struct mr_fiber *fourth = spawn(send_one, &values[3], "fourth");
    struct mr_fiber *fifth = spawn(send_one, &values[4], "fifth");
    mr_fiber_yield();
    CU_ASSERT_EQUAL(mr_fiber_channel_count(channel), 2);
    mr_fiber_cancel(fourth);
    CU_ASSERT_EQUAL(join(fourth), -ECANCELED);
    CU_ASSERT_EQUAL(mr_fiber_channel_receive(channel, &value, 0), 0);
    CU_ASSERT_EQUAL(value, 1);
    CU_ASSERT_EQUAL(join(third), 0);
    mr_fiber_channel_close(channel);
    CU_ASSERT_EQUAL(join(fifth), -EPIPE);
    CU_ASSERT_EQUAL(mr_fiber_channel_send(channel, &values[0], 0), -EPIPE);
    CU_ASSERT_EQUAL(mr_fiber_channel_receive(channel, &value, 0), 0);
    CU_ASSERT_EQUAL(value, 2);
    CU_ASSERT_EQUAL(mr_fiber_channel_receive(channel, &value, 0), 0);
    CU_ASSERT_EQUAL(value, 3);
    CU_ASSERT_EQUAL(mr_fiber_channel_receive(channel, &value, MR_FOREVER), -EPIPE);
    mr_fiber_channel_free(channel);

    channel = mr_fiber_channel_new(1, sizeof(int64_t)); /* a cancelled receiver takes nothing */
    struct mr_fiber *receiver = spawn(receive_one, &value, "receiver");
    mr_fiber_yield();
    mr_fiber_cancel(receiver);
    CU_ASSERT_EQUAL(mr_fiber_channel_send(channel, &values[4], 0), 0);
    CU_ASSERT_EQUAL(join(receiver), -ECANCELED);
    CU_ASSERT_EQUAL(mr_fiber_channel_count(channel), 1);
    mr_fiber_channel_free(channel);
    return 0;
}

static void a_channel_is_bounded_times_out_and_closes(void)
{
    run_in_hub(limits_of_a_channel, NULL, NULL);
}

static CU_TestInfo tests[] = {
    {"G4 a mutex keeps others out across switchpoints",
     a_mutex_keeps_others_out_across_switchpoints},
    {"G26 a lock times out and is cancelled", a_lock_times_out_and_is_cancelled},
    {"G26 a semaphore lets so many in", a_semaphore_lets_so_many_in},
    {"G14 G5 waking is no switch", waking_is_no_switch},
    {"G26 a condition returns with the mutex locked", a_condition_returns_with_the_mutex_locked},
    {"B10 a channel loses and repeats nothing", a_channel_loses_and_repeats_nothing},
    {"G26 a channel is bounded, times out and closes", a_channel_is_bounded_times_out_and_closes},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/fiber_sync", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
