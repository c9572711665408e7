/* Tests of quic/compact.h. */
#include "quic/compact.h"

#include <string.h>

#include "tests/unit/harness.h"
#include "tests/unit/stream_pools.h"

static void pieces_lie_one_behind_the_other(void)
{
    stream_pools_init(1, 1, 1);
    struct mr_compact *block = mr_compact_get(&blocks_pool);
    const uint8_t *first = mr_compact_append(block, (const uint8_t *)"mill", 4);
    const uint8_t *second = mr_compact_append(block, (const uint8_t *)"race", 4);

    CU_ASSERT_PTR_EQUAL(second, first + 4);
    CU_ASSERT_EQUAL(memcmp(first, "millrace", 8), 0);
    CU_ASSERT_EQUAL(mr_compact_room(block), MR_COMPACT_BYTES - 8);
    CU_ASSERT_EQUAL(block->buf.references, 1);
}

static void an_empty_pool_gives_none(void)
{
    stream_pools_init(1, 1, 1);
    CU_ASSERT_PTR_NOT_NULL(mr_compact_get(&blocks_pool));
    CU_ASSERT_PTR_NULL(mr_compact_get(&blocks_pool));
}

static void reclaim_keeps_packet_buffers_in_order(void)
{
    struct mr_buf ports[3] = {{.references = 1}, {.references = 1}, {.references = 1}};
    struct mr_buf_list released;

    stream_pools_init(1, 2, 1);
    mr_buf_list_init(&released);
    mr_buf_drop(&ports[0], &released);
    mr_buf_drop(&mr_compact_get(&blocks_pool)->buf, &released);
    mr_buf_drop(&ports[1], &released);
    mr_buf_drop(&mr_compact_get(&blocks_pool)->buf, &released);
    mr_buf_drop(&ports[2], &released);

    struct mr_buf *left = mr_compact_reclaim(&blocks_pool, mr_buf_list_take(&released));
    for (int i = 0; i < 3; i++, left = left->next)
        CU_ASSERT_PTR_EQUAL(left, &ports[i]);
    CU_ASSERT_PTR_NULL(left);
    CU_ASSERT_EQUAL(blocks_pool.used, 0);
    CU_ASSERT_PTR_NULL(mr_compact_reclaim(&blocks_pool, NULL));
}

static CU_TestInfo tests[] = {
    {"pieces lie one behind the other", pieces_lie_one_behind_the_other},
    {"an empty pool gives none", an_empty_pool_gives_none},
    {"reclaim keeps packet buffers in order", reclaim_keeps_packet_buffers_in_order},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/compact", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
