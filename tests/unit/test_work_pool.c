/* Tests of dataplane/work_pool.h. */
#include "dataplane/work_pool.h"

#include <stdatomic.h>
#include <time.h>

#include "tests/unit/harness.h"

enum {
    JOBS = 400,
    PATIENCE = 100000 /* naps */
};

static _Atomic bool is_open;

static void rest(void)
{
    struct timespec ts = {.tv_nsec = 50000};

    nanosleep(&ts, NULL);
}

static int64_t add_one(void *argument)
{
    return *(int *)argument + 1;
}

static int64_t wait_for_gate(void *argument)
{
    (void)argument;
    while (!atomic_load(&is_open))
        rest();
    return 0;
}

static bool submit(struct mr_work_pool *pool, int64_t (*function)(void *), int *argument,
                   uint64_t user_data)
{
    const struct mr_work_job job = {
        .function = function, .argument = argument, .user_data = user_data};

    return mr_work_submit(pool, 0, &job);
}

/* The next job that is done; false: none comes. */
static bool take(struct mr_work_pool *pool, struct mr_work_job *job_out)
{
    for (int i = 0; i < PATIENCE; i++) {
        if (mr_work_take(pool, 0, job_out, 1) == 1)
            return true;
        rest();
    }
    return false;
}

static void every_job_comes_back_with_its_result(void)
{
    static int numbers[JOBS];
    struct mr_work_pool *pool = mr_work_pool_start(3, 1, NULL);
    uint64_t sum = 0;

    CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
    for (int i = 0; i < JOBS; i++) {
        numbers[i] = i;
        CU_ASSERT_TRUE(submit(pool, add_one, &numbers[i], (uint64_t)i));
    }
    for (int i = 0; i < JOBS; i++) {
        struct mr_work_job job = {.result = -1};

        CU_ASSERT_TRUE_FATAL(take(pool, &job));
        CU_ASSERT_EQUAL(job.result, (int64_t)job.user_data + 1);
        sum += job.user_data;
    }
    CU_ASSERT_EQUAL(sum, (uint64_t)JOBS * (JOBS - 1) / 2);
    mr_work_pool_stop(pool);
}

static void a_helper_that_is_held_up_gets_no_more_jobs_than_the_others_have(void)
{
    struct mr_work_pool *pool = mr_work_pool_start(2, 1, NULL);
    struct mr_work_job job;
    int number = 7;

    CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
    atomic_store(&is_open, false);
    CU_ASSERT_TRUE(submit(pool, wait_for_gate, &number, JOBS));
    for (uint64_t i = 0; i < JOBS; i++) { /* one at a time: the other helper has them all */
        CU_ASSERT_TRUE(submit(pool, add_one, &number, i));
        bool is_done = take(pool, &job);
        CU_ASSERT_TRUE(is_done);
        if (!is_done)
            break;
        CU_ASSERT_TRUE(job.user_data == i && job.result == 8);
    }
    atomic_store(&is_open, true);
    CU_ASSERT_TRUE(take(pool, &job));
    CU_ASSERT_EQUAL(job.user_data, JOBS);
    mr_work_pool_stop(pool);
}

static void more_jobs_than_rings_hold_are_refused(void)
{
    struct mr_work_pool *pool = mr_work_pool_start(2, 1, NULL);
    struct mr_work_job job;
    int number = 1;
    uint32_t count = 0;

    CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
    atomic_store(&is_open, false);
    while (submit(pool, wait_for_gate, &number, count))
        count++;
    CU_ASSERT_EQUAL(count, 2 * MR_WORK_RING);
    atomic_store(&is_open, true);
    for (uint32_t i = 0; i < count; i++)
        CU_ASSERT_TRUE(take(pool, &job));
    CU_ASSERT_TRUE(submit(pool, add_one, &number, 0));
    CU_ASSERT_TRUE(take(pool, &job));
    mr_work_pool_stop(pool);
}

static CU_TestInfo tests[] = {
    {"every job comes back with its result", every_job_comes_back_with_its_result},
    {"a helper that is held up gets no more jobs than the others have",
     a_helper_that_is_held_up_gets_no_more_jobs_than_the_others_have},
    {"more jobs than rings hold are refused", more_jobs_than_rings_hold_are_refused},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "dataplane/work_pool", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
