/* Tests of app/send_area.h; tests/fuzz/fuzz_send_area.c compares it with a model. */
#include "app/send_area.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/harness.h"

static struct mr_send_area area;

static void sizes_go_to_their_class(void)
{
    static const struct {
        uint64_t wanted;
        uint64_t given;
    } cases[] = {{0, 256},         {1, 256},         {256, 256},        {257, 512},
                 {512, 512},       {513, 1024},      {1025, 2048},      {5000, 8192},
                 {32768, 32768},   {32769, 65536},   {65536, 65536},    {65537, 131072},
                 {131072, 131072}, {131073, 196608}, {1000000, 1048576}};

    CU_ASSERT_EQUAL(mr_send_area_init(&area, 4 << 20), 0);
    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        uint64_t offset = mr_send_area_take(&area, cases[i].wanted);
        CU_ASSERT_NOT_EQUAL_FATAL(offset, MR_SEND_AREA_NONE);
        CU_ASSERT_EQUAL(mr_send_area_size_at(&area, offset), cases[i].given);
        CU_ASSERT_EQUAL(offset % 256, 0);
        mr_send_area_check(&area);
    }
    mr_send_area_free(&area);
}

static void all_of_it_can_be_had_in_small_blocks(void)
{
    uint64_t total = 0;

    CU_ASSERT_EQUAL(mr_send_area_init(&area, 1 << 20), 0);
    while (mr_send_area_take(&area, 256) != MR_SEND_AREA_NONE)
        total += 256;
    CU_ASSERT_EQUAL(total, 1 << 20);
    CU_ASSERT_EQUAL(area.used, 1 << 20);
    mr_send_area_check(&area);
    mr_send_area_free(&area);
}

static void an_empty_page_serves_any_class(void)
{
    uint64_t blocks[256];

    CU_ASSERT_EQUAL(mr_send_area_init(&area, 65536), 0); /* 16 pages of 4 KiB */
    for (int i = 0; i < 256; i++)
        blocks[i] = mr_send_area_take(&area, 256);
    CU_ASSERT_EQUAL(mr_send_area_take(&area, 1), MR_SEND_AREA_NONE);
    CU_ASSERT_EQUAL(mr_send_area_take(&area, 4096), MR_SEND_AREA_NONE);
    for (int i = 32; i < 48; i++) /* the third page */
        mr_send_area_give(&area, blocks[i]);
    CU_ASSERT_EQUAL(mr_send_area_take(&area, 4096), 8192);
    mr_send_area_check(&area);
    mr_send_area_free(&area);
}

static void a_larger_block_serves_when_no_page_is_free(void)
{
    uint64_t blocks[32];

    CU_ASSERT_EQUAL(mr_send_area_init(&area, 65536), 0); /* 16 pages of 4 KiB */
    for (int i = 0; i < 32; i++)
        blocks[i] = mr_send_area_take(&area, 2048);
    CU_ASSERT_EQUAL(mr_send_area_take(&area, 256), MR_SEND_AREA_NONE);
    mr_send_area_give(&area, blocks[7]);
    CU_ASSERT_EQUAL(mr_send_area_take(&area, 4096), MR_SEND_AREA_NONE);
    CU_ASSERT_EQUAL(mr_send_area_take(&area, 256), blocks[7]);
    CU_ASSERT_EQUAL(mr_send_area_size_at(&area, blocks[7]), 2048);
    CU_ASSERT_EQUAL(mr_send_area_take(&area, 256), MR_SEND_AREA_NONE);
    mr_send_area_give(&area, blocks[7]);
    CU_ASSERT_EQUAL(mr_send_area_take(&area, 2048), blocks[7]);
    mr_send_area_check(&area);
    mr_send_area_free(&area);
}

static void the_share_falls_as_the_area_fills_up(void)
{
    CU_ASSERT_EQUAL(mr_send_area_init(&area, 4 << 20), 0);
    CU_ASSERT_EQUAL(mr_send_area_share(&area), 2 << 20);
    (void)mr_send_area_take(&area, 2 << 20);
    CU_ASSERT_EQUAL(mr_send_area_share(&area), 512 << 10);
    (void)mr_send_area_take(&area, 2 << 20);
    CU_ASSERT_EQUAL(mr_send_area_share(&area), 0);
    mr_send_area_free(&area);
    CU_ASSERT_EQUAL(mr_send_area_init(&area, 0), 0);
    CU_ASSERT_EQUAL(mr_send_area_share(&area), 0);
    mr_send_area_free(&area);
}

static void neighbours_are_joined(void)
{
    uint64_t runs[4];

    CU_ASSERT_EQUAL(mr_send_area_init(&area, 4 << 20), 0);
    for (int i = 0; i < 4; i++)
        runs[i] = mr_send_area_take(&area, 1 << 20);
    CU_ASSERT_EQUAL(mr_send_area_take(&area, 1), MR_SEND_AREA_NONE);
    mr_send_area_give(&area, runs[0]);
    mr_send_area_give(&area, runs[2]);
    CU_ASSERT_EQUAL(mr_send_area_take(&area, 2 << 20), MR_SEND_AREA_NONE);
    mr_send_area_give(&area, runs[1]);
    CU_ASSERT_EQUAL(mr_send_area_take(&area, 3 << 20), runs[0]);
    mr_send_area_check(&area);
    mr_send_area_free(&area);
}

static void a_tiny_area_works(void)
{
    CU_ASSERT_EQUAL(mr_send_area_init(&area, 0), 0);
    CU_ASSERT_EQUAL(mr_send_area_take(&area, 1), MR_SEND_AREA_NONE);
    mr_send_area_check(&area);
    mr_send_area_free(&area);
    CU_ASSERT_EQUAL(mr_send_area_init(&area, 4096), 0);
    CU_ASSERT_EQUAL(mr_send_area_take(&area, 4097), MR_SEND_AREA_NONE);
    CU_ASSERT_EQUAL(mr_send_area_take(&area, UINT64_MAX), MR_SEND_AREA_NONE);
    CU_ASSERT_EQUAL(mr_send_area_take(&area, 4096), 0);
    mr_send_area_give(&area, 0);
    CU_ASSERT_EQUAL(area.used, 0);
    CU_ASSERT_EQUAL(area.used_peak, 4096);
    mr_send_area_free(&area);
}

/* True if giving `offset` back ends the process. */
static bool dies(uint64_t offset)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        (void)!freopen("/dev/null", "w", stderr);
        signal(SIGABRT, SIG_DFL);
        mr_send_area_give(&area, offset);
        _exit(0);
    }
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) || WEXITSTATUS(status) != 0;
}

static void what_was_not_taken_cannot_be_given_back(void)
{
    CU_ASSERT_EQUAL(mr_send_area_init(&area, 4 << 20), 0);
    uint64_t first = mr_send_area_take(&area, 200000);
    uint64_t run = mr_send_area_take(&area, 200000);
    uint64_t block = mr_send_area_take(&area, 1000);
    CU_ASSERT(!dies(run));
    CU_ASSERT(!dies(block));
    CU_ASSERT(dies(run + 256));
    CU_ASSERT(dies(run + 65536));
    CU_ASSERT(dies(block + 256));
    CU_ASSERT(dies(block + 1024));
    CU_ASSERT(dies(4 << 20));
    CU_ASSERT(dies(UINT64_MAX));
    mr_send_area_give(&area, first);
    mr_send_area_give(&area, run);
    CU_ASSERT(dies(run)); /* joined with what is free before it */
    CU_ASSERT(dies(first));
    mr_send_area_give(&area, block);
    CU_ASSERT(dies(block));
    mr_send_area_free(&area);
}

static CU_TestInfo tests[] = {
    {"sizes go to their class", sizes_go_to_their_class},
    {"all of it can be had in small blocks", all_of_it_can_be_had_in_small_blocks},
    {"an empty page serves any class", an_empty_page_serves_any_class},
    {"the share falls as the area fills up", the_share_falls_as_the_area_fills_up},
    {"a larger block serves when no page is free", a_larger_block_serves_when_no_page_is_free},
    {"neighbours are joined", neighbours_are_joined},
    {"a tiny area works", a_tiny_area_works},
    {"what was not taken cannot be given back", what_was_not_taken_cannot_be_given_back},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/send_area", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
