/* Tests of base/buf.h. */
#include "base/buf.h"

#include "tests/unit/harness.h"

static void a_buffer_is_released_with_its_last_reference(void)
{
    struct mr_buf buf = {.references = 1};
    struct mr_buf_list released;

    mr_buf_list_init(&released);
    mr_buf_hold(&buf);
    mr_buf_drop(&buf, &released);
    CU_ASSERT_EQUAL(released.count, 0);
    CU_ASSERT_PTR_NULL(released.head);
    mr_buf_drop(&buf, &released);
    CU_ASSERT_EQUAL(released.count, 1);
    CU_ASSERT_PTR_EQUAL(released.head, &buf);
}

static void a_list_gives_its_buffers_in_order_and_is_empty_then(void)
{
    struct mr_buf bufs[3] = {{.references = 1}, {.references = 1}, {.references = 1}};
    struct mr_buf_list released;

    mr_buf_list_init(&released);
    CU_ASSERT_PTR_NULL(mr_buf_list_take(&released));
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3; i++)
            mr_buf_list_push(&released, &bufs[i]);
        CU_ASSERT_EQUAL(released.count, 3);

        struct mr_buf *head = mr_buf_list_take(&released);
        CU_ASSERT_EQUAL(released.count, 0);
        for (int i = 0; i < 3; i++, head = head->next)
            CU_ASSERT_PTR_EQUAL_FATAL(head, &bufs[i]);
        CU_ASSERT_PTR_NULL(head);
    }
}

static CU_TestInfo tests[] = {
    {"a buffer is released with its last reference", a_buffer_is_released_with_its_last_reference},
    {"a list gives its buffers in order and is empty then",
     a_list_gives_its_buffers_in_order_and_is_empty_then},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "base/buf", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
