/* Tests of tools/status.h. */
#include "tools/status.h"

#include <stdbool.h>
#include <string.h>

#include "tests/unit/harness.h"

static void the_path_is_blamed_only_where_it_may_be_wrong(void)
{
    for (uint32_t status = 0; status < 1000; status++) {
        bool blames_path = strstr(mr_status_advice(status), "check the path") != NULL;

        CU_ASSERT_EQUAL(blames_path, status == 404 || status == 405);
    }
}

static void a_failure_of_the_server_is_told_from_a_wrong_request(void)
{
    CU_ASSERT_PTR_NOT_NULL(strstr(mr_status_advice(400), "does not understand the request"));
    CU_ASSERT_PTR_NOT_NULL(strstr(mr_status_advice(403), "permissions"));
    CU_ASSERT_PTR_NOT_NULL(strstr(mr_status_advice(500), "the server failed"));
    CU_ASSERT_PTR_NOT_NULL(strstr(mr_status_advice(503), "try again"));
    CU_ASSERT_PTR_NOT_NULL(strstr(mr_status_advice(599), "the server failed"));
    CU_ASSERT_PTR_NOT_NULL(strstr(mr_status_advice(499), "refuses"));
    CU_ASSERT_PTR_NOT_NULL(strstr(mr_status_advice(206), "not asked for"));
}

static CU_TestInfo tests[] = {
    {"the path is blamed only where it may be wrong",
     the_path_is_blamed_only_where_it_may_be_wrong},
    {"a failure of the server is told from a wrong request",
     a_failure_of_the_server_is_told_from_a_wrong_request},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "tools/status", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
