/* Tests of base/ring_region.h. */
#include "base/ring_region.h"

#include <errno.h>
#include <stdlib.h>

#include "tests/unit/harness.h"

static struct mr_fault fault;
static struct mr_ring_region made;
static struct mr_ring_region opened;
static void *memory;

static void make(void)
{
    struct mr_ring_sizes sizes = {.submit_count = 64,
                                  .complete_count = 128,
                                  .slot_size = 2048,
                                  .slot_count = 10,
                                  .send_bytes = 8192,
                                  .flags = MR_RING_BY_REFERENCE,
                                  .alias_count = 5,
                                  .sends_max = 6,
                                  .objects_max = 7};
    uint64_t size = mr_ring_region_size(&sizes);

    memory = aligned_alloc(4096, size);
    memset(memory, 0, size);
    mr_ring_region_make(&made, memory, &sizes, 3);
}

static void what_is_made_opens_with_the_same_positions(void)
{
    make();
    CU_ASSERT_EQUAL(mr_ring_region_open(&opened, memory, made.size, &fault), 0);
    CU_ASSERT_EQUAL(opened.size, made.size);
    CU_ASSERT_EQUAL(opened.shard, 3);
    CU_ASSERT_EQUAL(opened.send_at, made.send_at);
    CU_ASSERT_EQUAL(opened.receive_at, made.receive_at);
    CU_ASSERT_PTR_EQUAL(mr_ring_submissions(&opened).tail, mr_ring_submissions(&made).tail);
    CU_ASSERT_PTR_EQUAL(mr_ring_completions(&opened).entries, mr_ring_completions(&made).entries);
    CU_ASSERT_EQUAL(mr_ring_completions(&opened).count, 128);
    CU_ASSERT_EQUAL(opened.sizes.flags, MR_RING_BY_REFERENCE);
    CU_ASSERT_EQUAL(opened.sizes.alias_count, 5);
    CU_ASSERT_EQUAL(opened.sizes.sends_max, 6);
    CU_ASSERT_EQUAL(opened.sizes.objects_max, 7);
    free(memory);
}

/* No two parts share a byte, and all lie inside. */
static void the_parts_lie_apart(void)
{
    make();
    CU_ASSERT(made.submit_at >= sizeof(struct mr_ring_header));
    CU_ASSERT(made.complete_at >= made.submit_at + 64u * MR_RING_ENTRY);
    CU_ASSERT(made.send_at >= made.complete_at + 128u * MR_RING_ENTRY);
    CU_ASSERT_EQUAL(made.receive_at, made.send_at + 8192);
    CU_ASSERT(made.size >= made.receive_at + 10u * 2048);
    CU_ASSERT_EQUAL(made.size % 4096, 0);
    free(memory);
}

static void each_byte_of_the_header_that_is_wrong_is_noticed(void)
{
    make();
    uint8_t *bytes = memory;
    size_t end = offsetof(struct mr_ring_header, alias_count); /* from there on any will do */
    size_t shard = offsetof(struct mr_ring_header, shard);

    for (size_t i = 0; i < end; i++) {
        if (i >= shard && i < shard + 4)
            continue; /* any shard will do */
        bytes[i] ^= 0x40;
        CU_ASSERT_EQUAL(mr_ring_region_open(&opened, memory, made.size, &fault), -EPROTO);
        bytes[i] ^= 0x40;
    }
    CU_ASSERT_EQUAL(mr_ring_region_open(&opened, memory, made.size, &fault), 0);
    free(memory);
}

static void a_region_cut_short_is_refused(void)
{
    make();
    CU_ASSERT_EQUAL(mr_ring_region_open(&opened, memory, made.size - 1, &fault), -EPROTO);
    CU_ASSERT_EQUAL(mr_ring_region_open(&opened, memory, 100, &fault), -EPROTO);
    free(memory);
}

static void another_version_is_named(void)
{
    make();
    ((struct mr_ring_header *)memory)->version = 9;
    CU_ASSERT_EQUAL(mr_ring_region_open(&opened, memory, made.size, &fault), -EPROTO);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "version 9"));
    free(memory);
}

static void sizes_out_of_range_are_refused(void)
{
    static const struct mr_ring_sizes wrong[] = {
        {8, 64, 64, 1, 4096},
        {100, 64, 64, 1, 4096},
        {64, 131072, 64, 1, 4096},
        {64, 64, 0, 1, 4096},
        {64, 64, 100, 1, 4096},
        {64, 64, 65600, 1, 4096},
        {64, 64, 64, 0, 4096},
        {64, 64, 64, 65537, 4096},
        {64, 64, 64, 1, 100},
        {64, 0, 64, 1, 4096},
        {64, 64, 64, 1, UINT64_MAX},
        {0, 64, 64, 1, 4096},
        {64, 64, 64, 1, 4096, .flags = 8},
        {64, 64, 64, 1, 4096, .alias_count = MR_RING_ALIASES_MAX + 1},
    };
    struct mr_ring_sizes right = mr_ring_sizes_default();

    CU_ASSERT_EQUAL(mr_ring_sizes_check(&right, &fault), 0);
    for (size_t i = 0; i < MR_COUNT_OF(wrong); i++)
        CU_ASSERT_EQUAL(mr_ring_sizes_check(&wrong[i], &fault), -EINVAL);
}

static void only_the_send_area_is_the_send_area(void)
{
    make();
    uint64_t at = made.send_at;

    CU_ASSERT(mr_ring_in_send_area(&made, at, 8192));
    CU_ASSERT(mr_ring_in_send_area(&made, at + 8191, 1));
    CU_ASSERT(mr_ring_in_send_area(&made, at + 8192, 0));
    CU_ASSERT_FALSE(mr_ring_in_send_area(&made, at - 1, 1));
    CU_ASSERT_FALSE(mr_ring_in_send_area(&made, at + 1, 8192));
    CU_ASSERT_FALSE(mr_ring_in_send_area(&made, at + 8193, 0));
    CU_ASSERT_FALSE(mr_ring_in_send_area(&made, UINT64_MAX, 2));
    CU_ASSERT_FALSE(mr_ring_in_send_area(&made, at, UINT64_MAX));
    free(memory);
}

static CU_TestInfo tests[] = {
    {"what is made opens with the same positions", what_is_made_opens_with_the_same_positions},
    {"the parts lie apart", the_parts_lie_apart},
    {"each byte of the header that is wrong is noticed",
     each_byte_of_the_header_that_is_wrong_is_noticed},
    {"a region cut short is refused", a_region_cut_short_is_refused},
    {"another version is named", another_version_is_named},
    {"sizes out of range are refused", sizes_out_of_range_are_refused},
    {"only the send area is the send area", only_the_send_area_is_the_send_area},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "base/ring_region", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
