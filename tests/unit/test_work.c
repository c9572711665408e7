/* Tests of app/work.c. */
#include "app/work.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "tests/unit/harness.h"

enum {
    JOBS = 200
};

static _Atomic uint32_t done_count;
static _Atomic uint32_t cancelled_count;
static _Atomic uint32_t begun_count;
static _Atomic bool is_open;
static char order[JOBS + 1];
static _Atomic uint32_t order_size;

static void rest(void)
{
    struct timespec ts = {.tv_nsec = 50000};

    nanosleep(&ts, NULL);
}

static void on_done(struct mr_offload_job *job)
{
    if (job->result == -ECANCELED)
        atomic_fetch_add(&cancelled_count, 1);
    atomic_fetch_add(&done_count, 1);
}

static int64_t pass_gate(void *argument)
{
    atomic_fetch_add(&begun_count, 1);
    while (!atomic_load(&is_open))
        rest();
    order[atomic_fetch_add(&order_size, 1)] = *(const char *)argument;
    return 5;
}

static void start(void)
{
    done_count = cancelled_count = begun_count = order_size = 0;
    is_open = false;
    for (int i = 0; i <= JOBS; i++)
        order[i] = '\0';
}

static struct mr_offload_job job_of(const char *name)
{
    return (struct mr_offload_job){
        .function = pass_gate, .argument = (void *)(uintptr_t)name, .done = on_done};
}

static void jobs_run_in_order_and_report_their_results(void)
{
    static struct mr_offload_job jobs[JOBS];
    struct mr_fault fault = {""};

    start();
    is_open = true;
    struct mr_offload *offload = mr_offload_new(1, JOBS, &fault);
    CU_ASSERT_PTR_NOT_NULL_FATAL(offload);
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = job_of(&"abcdefghij"[i % 10]);
        CU_ASSERT_EQUAL(mr_offload_submit(offload, &jobs[i]), 0);
    }
    while (atomic_load(&done_count) < JOBS)
        rest();
    mr_offload_free(offload);
    for (int i = 0; i < JOBS; i++)
        CU_ASSERT_TRUE(order[i] == "abcdefghij"[i % 10] && jobs[i].result == 5);
}

static void the_queue_is_bounded_and_jobs_are_taken_back(void)
{
    struct mr_offload_job jobs[5] = {job_of("a"), job_of("b"), job_of("c"), job_of("d"),
                                     job_of("e")};

    start();
    struct mr_offload *offload = mr_offload_new(1, 3, NULL);
    CU_ASSERT_EQUAL(mr_offload_submit(offload, &jobs[0]), 0);
    while (atomic_load(&begun_count) == 0)
        rest();
    CU_ASSERT_FALSE(mr_offload_cancel(offload, &jobs[0])); /* has begun */
    for (int i = 1; i < 4; i++)
        CU_ASSERT_EQUAL(mr_offload_submit(offload, &jobs[i]), 0);
    CU_ASSERT_EQUAL(mr_offload_submit(offload, &jobs[4]), -EAGAIN);
    CU_ASSERT_TRUE(mr_offload_cancel(offload, &jobs[3])); /* the last, */
    CU_ASSERT_EQUAL(mr_offload_submit(offload, &jobs[4]), 0);
    CU_ASSERT_TRUE(mr_offload_cancel(offload, &jobs[2])); /* one between, */
    CU_ASSERT_TRUE(mr_offload_cancel(offload, &jobs[1])); /* and the first */
    CU_ASSERT_FALSE(mr_offload_cancel(offload, &jobs[1]));
    is_open = true;
    while (atomic_load(&done_count) < 2)
        rest();
    CU_ASSERT_STRING_EQUAL(order, "ae");
    CU_ASSERT_FALSE(mr_offload_cancel(offload, &jobs[4])); /* is over */
    mr_offload_free(offload);
    CU_ASSERT_EQUAL(atomic_load(&done_count), 2);
}

static void *open_later(void *argument)
{
    (void)argument;
    for (int i = 0; i < 40; i++)
        rest();
    is_open = true;
    return NULL;
}

static void stopping_finishes_what_has_begun_and_cancels_the_rest(void)
{
    struct mr_offload_job jobs[6];
    pthread_t thread;

    start();
    struct mr_offload *offload = mr_offload_new(2, 10, NULL);
    for (int i = 0; i < 6; i++) {
        jobs[i] = job_of("x");
        CU_ASSERT_EQUAL(mr_offload_submit(offload, &jobs[i]), 0);
    }
    while (atomic_load(&begun_count) < 2)
        rest();
    pthread_create(&thread, NULL, open_later, NULL);
    mr_offload_free(offload);
    pthread_join(thread, NULL);
    CU_ASSERT_EQUAL(atomic_load(&done_count), 6);
    CU_ASSERT_EQUAL(atomic_load(&cancelled_count), 4);
    CU_ASSERT_EQUAL(atomic_load(&begun_count), 2);
    mr_offload_free(NULL);
}

static CU_TestInfo tests[] = {
    {"T19 G25 jobs run in order and report their results",
     jobs_run_in_order_and_report_their_results},
    {"T19 G25 the queue is bounded and jobs are taken back",
     the_queue_is_bounded_and_jobs_are_taken_back},
    {"T19 G25 stopping finishes what has begun and cancels the rest",
     stopping_finishes_what_has_begun_and_cancels_the_rest},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/work", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
