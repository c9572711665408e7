/*
 * tests/unit/harness.h - what a test file and the runner (main.c) share.
 *
 * A test program is one test_<file>.c and main.c.  The test file defines
 * mr_suites[]; main.c runs every test of it and prints TAP (Test Anything
 * Protocol, version 12), which meson reads.
 *
 *     static void the_sum_is_right(void)
 *     {
 *         CU_ASSERT_EQUAL(1 + 1, 2);
 *     }
 *
 *     static CU_TestInfo tests[] = {
 *         {"the sum is right", the_sum_is_right},
 *         CU_TEST_INFO_NULL,
 *     };
 *
 *     CU_SuiteInfo mr_suites[] = {
 *         {.pName = "base/sum", .pTests = tests},
 *         CU_SUITE_INFO_NULL,
 *     };
 *
 * Threads: CUnit's assertions belong to the thread that runs the test.
 */
#ifndef MR_TESTS_UNIT_HARNESS_H
#define MR_TESTS_UNIT_HARNESS_H

#include <CUnit/CUnit.h>
#include <CUnit/TestDB.h>
#include <CUnit/TestRun.h>

#include "base/compiler.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The suites of this program, ended by CU_SUITE_INFO_NULL.  Defined by the test file. */
extern CU_SuiteInfo mr_suites[];

/*
 * Report the running test as skipped, with the reason (printf-style, one line)
 * for which this machine cannot run it.  The test must return afterwards; an
 * assertion that failed before still makes it a failure.
 */
void mr_test_skip(const char *fmt, ...) MR_PRINTF(1, 2);

#ifdef __cplusplus
}
#endif

#endif /* MR_TESTS_UNIT_HARNESS_H */
