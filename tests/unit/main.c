/*
 * tests/unit/main.c - run the suites of one test program and print TAP.
 *
 *     1..3
 *     ok 1 - quic/varint: reads the RFC vectors
 *     not ok 2 - quic/varint: writes the shortest form at every boundary
 *     # tests/unit/test_varint.c:48: CU_ASSERT_EQUAL(mr_varint_put(wire, value),size)
 *     ok 3 - quic/varint: uses the big lookup table # SKIP only 1 GiB of memory
 *
 * Exit status: 0 if no test failed, 1 if one did, 2 if the suites are unusable.
 */
#include "tests/unit/harness.h"

#include <stdarg.h>
#include <stdio.h>

static struct {
    unsigned number;   /* of the test that was reported last */
    char skipped[256]; /* why the running test is skipped; "" = it is not */
} run;

void mr_test_skip(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(run.skipped, sizeof(run.skipped), fmt, args);
    va_end(args);
}

static unsigned count_tests(const CU_SuiteInfo *suite)
{
    unsigned count = 0;

    for (; suite->pName != NULL; suite++)
        for (const CU_TestInfo *test = suite->pTests; test->pName != NULL; test++)
            count++;
    return count;
}

/* Print text that TAP would take for the start of a directive, or of a new line, as spaces. */
static void print_plain(const char *text)
{
    for (; *text != '\0'; text++)
        putchar(*text == '#' || *text == '\n' ? ' ' : *text);
}

static void print_result(const char *verdict, const char *suite, const char *test)
{
    printf("%s %u - ", verdict, ++run.number);
    print_plain(suite);
    printf(": ");
    print_plain(test);
}

static void on_test_start(const CU_pTest test, const CU_pSuite suite)
{
    (void)test;
    (void)suite;
    run.skipped[0] = '\0';
}

static void on_test_complete(const CU_pTest test, const CU_pSuite suite,
                             const CU_pFailureRecord failures)
{
    print_result(failures == NULL ? "ok" : "not ok", suite->pName, test->pName);
    if (failures == NULL && run.skipped[0] != '\0') {
        printf(" # SKIP ");
        print_plain(run.skipped);
    }
    printf("\n");
    for (const CU_FailureRecord *f = failures; f != NULL; f = f->pNext) {
        printf("# %s:%u: ", f->strFileName, f->uiLineNumber);
        print_plain(f->strCondition);
        printf("\n");
    }
}

/* None of the suite's tests run, so each of them has failed. */
static void on_suite_init_failure(const CU_pSuite suite)
{
    for (const CU_Test *test = suite->pTest; test != NULL; test = test->pNext) {
        print_result("not ok", suite->pName, test->pName);
        printf("\n# the suite's initialisation failed\n");
    }
}

static void on_suite_cleanup_failure(const CU_pSuite suite)
{
    printf("# %s: the suite's cleanup failed\n", suite->pName);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ); /* a crash must not swallow the tests before it */
    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(mr_suites) != CUE_SUCCESS) {
        printf("Bail out! CUnit refuses the suites: %s\n", CU_get_error_msg());
        return 2;
    }

    CU_set_test_start_handler(on_test_start);
    CU_set_test_complete_handler(on_test_complete);
    CU_set_suite_init_failure_handler(on_suite_init_failure);
    CU_set_suite_cleanup_failure_handler(on_suite_cleanup_failure);

    printf("1..%u\n", count_tests(mr_suites));
    CU_run_all_tests();

    unsigned failures = CU_get_number_of_failure_records(); /* suites that did not start included */
    CU_cleanup_registry();
    return failures == 0 ? 0 : 1;
}
