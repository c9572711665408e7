/*
 * tests/unit/loop_backend.h - one set of tests over every way in which a loop can wait.
 *
 *     CU_SuiteInfo mr_suites[] = {
 *         {.pName = "app/x", .pSetUpFunc = loop_backend_epoll, .pTests = tests},
 *         {.pName = "app/x with io_uring", .pSetUpFunc = loop_backend_uring, .pTests = tests},
 *         CU_SUITE_INFO_NULL,
 *     };
 *
 * Tests make their loops with loop_backend_new().
 */
#ifndef MR_TESTS_UNIT_LOOP_BACKEND_H
#define MR_TESTS_UNIT_LOOP_BACKEND_H

#include <errno.h>

#include "millrace/loop.h"
#include "tests/unit/harness.h"

static enum mr_loop_backend loop_backend;

static inline void loop_backend_epoll(void)
{
    loop_backend = MR_LOOP_EPOLL;
}

/* Where io_uring is refused the test is reported as skipped, and goes on with epoll. */
static inline void loop_backend_uring(void)
{
    struct mr_loop_config config = {.is_detached = true, .backend = MR_LOOP_URING};
    struct mr_loop *loop = NULL;
    struct mr_error error = {""};
    int result = mr_loop_new(&config, &loop, &error);

    mr_loop_free(loop);
    loop_backend = MR_LOOP_URING;
    if (result != -ENOTSUP && result != -ENOSYS)
        return;
    mr_test_skip("%s", error.text);
    loop_backend = MR_LOOP_EPOLL;
}

/* mr_loop_new() with the suite's backend. */
static inline int loop_backend_new(const struct mr_loop_config *config, struct mr_loop **loop_out)
{
    struct mr_loop_config own = *config;

    own.backend = loop_backend;
    return mr_loop_new(&own, loop_out, NULL);
}

#endif /* MR_TESTS_UNIT_LOOP_BACKEND_H */
