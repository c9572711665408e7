/* Tests of quic/replay.h. */
#include "quic/replay.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "tests/unit/harness.h"

#define W MR_REPLAY_WINDOW_NS

static const struct mr_siphash_key key = {.k0 = 11, .k1 = 22};
static struct mr_replay replay;
static void *memory;

static void with_register(void)
{
    size_t size = mr_replay_footprint(1);

    memory = aligned_alloc(MR_CACHE_LINE, size);
    CU_ASSERT_PTR_NOT_NULL_FATAL(memory);
    memset(memory, 0, size);
    mr_replay_init(&replay, memory, 1, &key);
}

static void without_register(void)
{
    free(memory);
}

static void fill_random(uint8_t random[MR_REPLAY_RANDOM], uint64_t number)
{
    memset(random, 0, MR_REPLAY_RANDOM);
    memcpy(random + 24, &number, sizeof(number));
}

/* A ClientHello with a ticket of our own. */
static enum mr_replay_verdict check(uint64_t number, uint64_t now)
{
    uint8_t random[MR_REPLAY_RANDOM];

    fill_random(random, number);
    return mr_replay_check(&replay, random, mr_replay_instance(&replay), now);
}

/* RFC 8446, Section 8: "The server MUST ensure that any instance of it (be it a machine, a thread,
 * or any other entity within the relevant serving infrastructure) would accept 0-RTT for the same
 * 0-RTT handshake at most once; this limits the number of replays to the number of server instances
 * in the deployment."  Section 8.2: "When implementations are freshly started, they SHOULD reject
 * 0-RTT as long as any portion of their recording window overlaps the startup time."  What came
 * before the start came with tickets of others. */
static void another_instances_ticket_gives_none(void)
{
    static const uint64_t times[] = {0, 1, W, 7 * W, 1000 * W};
    struct mr_replay other;
    size_t size = mr_replay_footprint(1);
    void *mem = aligned_alloc(MR_CACHE_LINE, size);

    CU_ASSERT_PTR_NOT_NULL_FATAL(mem);
    memset(mem, 0, size);
    mr_replay_init(&other, mem, 1, &(struct mr_siphash_key){.k0 = 11, .k1 = 23});
    CU_ASSERT_NOT_EQUAL(mr_replay_instance(&other), mr_replay_instance(&replay));
    for (uint64_t i = 0; i < MR_COUNT_OF(times); i++) {
        uint64_t ours = mr_replay_instance(&replay);
        uint8_t random[MR_REPLAY_RANDOM];

        fill_random(random, i);
        CU_ASSERT_EQUAL(mr_replay_check(&other, random, ours, times[i]), MR_REPLAY_FOREIGN);
        CU_ASSERT_EQUAL(mr_replay_check(&replay, random, ours, times[i]), MR_REPLAY_FIRST);
        CU_ASSERT_EQUAL(mr_replay_check(&other, random, ours, times[i]), MR_REPLAY_FOREIGN);
        CU_ASSERT_EQUAL(mr_replay_check(&replay, random, ours, times[i]), MR_REPLAY_SEEN);
        CU_ASSERT_EQUAL(mr_replay_check(&replay, random, 0, times[i]), MR_REPLAY_FOREIGN);
    }
    CU_ASSERT_EQUAL(mr_replay_count(&other, MR_REPLAY_FOREIGN), 2 * MR_COUNT_OF(times));
    free(mem);
}

static void a_copy_is_seen_for_a_window(void)
{
    static const uint64_t starts[] = {7 * W,     7 * W + 1,     7 * W + W / 2,    8 * W - 1,
                                      65534 * W, 65535 * W + 3, 65536 * W + W / 3};

    for (uint64_t i = 0; i < MR_COUNT_OF(starts); i++) {
        CU_ASSERT_EQUAL(check(i, starts[i]), MR_REPLAY_FIRST);
        CU_ASSERT_EQUAL(check(i, starts[i]), MR_REPLAY_SEEN);
        CU_ASSERT_EQUAL(check(i, starts[i] + W / 2), MR_REPLAY_SEEN);
        CU_ASSERT_EQUAL(check(i, starts[i] + W - 1), MR_REPLAY_SEEN);
        CU_ASSERT_EQUAL(check(i, starts[i] - W), MR_REPLAY_SEEN);      /* a clock read earlier */
        CU_ASSERT_EQUAL(check(i, starts[i] + 2 * W), MR_REPLAY_FIRST); /* too old for TLS by then */
    }
}

static void others_are_first(void)
{
    for (uint64_t i = 0; i < 1000; i++)
        CU_ASSERT_EQUAL(check(i, 7 * W), MR_REPLAY_FIRST);
    for (uint64_t i = 0; i < 1000; i++)
        CU_ASSERT_EQUAL(check(i, 7 * W), MR_REPLAY_SEEN);
    CU_ASSERT_EQUAL(mr_replay_count(&replay, MR_REPLAY_FIRST), 1000);
    CU_ASSERT_EQUAL(mr_replay_count(&replay, MR_REPLAY_SEEN), 1000);
}

/* Full buckets refuse what is new, still know what they hold, and have room again later. */
static void a_full_register_refuses(void)
{
    uint64_t taken = 0;
    uint64_t full = 0;

    for (uint64_t i = 0; i < 20000; i++) {
        enum mr_replay_verdict verdict = check(i, 7 * W);

        taken += verdict == MR_REPLAY_FIRST;
        full += verdict == MR_REPLAY_FULL;
    }
    CU_ASSERT_EQUAL(taken + full, 20000);
    CU_ASSERT_TRUE(taken <= MR_REPLAY_SIZE_LEAST);
    CU_ASSERT_TRUE(taken > MR_REPLAY_SIZE_LEAST / 2);
    for (uint64_t i = 0; i < 20000; i++)
        CU_ASSERT_NOT_EQUAL(check(i, 7 * W + 1), MR_REPLAY_FIRST);
    CU_ASSERT_EQUAL(check(1, 9 * W), MR_REPLAY_FIRST);
}

/* The same ClientHellos on many threads: each is first once. */
static void *all_of_them(void *argument)
{
    uint64_t *firsts = argument;

    for (uint64_t i = 0; i < 2000; i++)
        *firsts += check(i, 7 * W + (i & 1) * W / 3) == MR_REPLAY_FIRST;
    return NULL;
}

/* "The server MUST ensure that any instance of it (be it a machine, a thread, or ..." (RFC 8446,
 * Section 8) */
static void each_is_first_once_whatever_thread_asks(void)
{
    pthread_t threads[4];
    uint64_t firsts[MR_COUNT_OF(threads)] = {0};
    uint64_t sum = 0;

    for (size_t i = 0; i < MR_COUNT_OF(threads); i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, all_of_them, &firsts[i]), 0);
    for (size_t i = 0; i < MR_COUNT_OF(threads); i++) {
        pthread_join(threads[i], NULL);
        sum += firsts[i];
    }
    CU_ASSERT_TRUE(sum <= 2000);
    CU_ASSERT_TRUE(sum + mr_replay_count(&replay, MR_REPLAY_FULL) / MR_COUNT_OF(threads) >= 1990);
}

static void sizes_are_powers_of_two(void)
{
    CU_ASSERT_EQUAL(mr_replay_footprint(0), MR_REPLAY_SIZE_LEAST * 8);
    CU_ASSERT_EQUAL(mr_replay_footprint(MR_REPLAY_SIZE_LEAST + 1), MR_REPLAY_SIZE_LEAST * 16);
    CU_ASSERT_EQUAL(mr_replay_footprint(1 << 20), 8 << 20);
}

static CU_TestInfo tests[] = {
    {"another instance's ticket gives none", another_instances_ticket_gives_none},
    {"a copy is seen for a window", a_copy_is_seen_for_a_window},
    {"others are first", others_are_first},
    {"a full register refuses", a_full_register_refuses},
    {"each is first once, whatever thread asks", each_is_first_once_whatever_thread_asks},
    {"sizes are powers of two", sizes_are_powers_of_two},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/replay",
     .pSetUpFunc = with_register,
     .pTearDownFunc = without_register,
     .pTests = tests},
    CU_SUITE_INFO_NULL,
};
