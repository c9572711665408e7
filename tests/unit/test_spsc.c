/* Tests of base/spsc.h; the last ones are for the thread sanitizer as well. */
#include "base/spsc.h"

#include <pthread.h>
#include <sched.h>

#include "base/random.h"
#include "tests/unit/harness.h"

enum {
    CAPACITY = 8,
    TRANSFERS = 200000
};

static struct mr_spsc ring;
static uint64_t slots[CAPACITY];

static void init_ring(void)
{
    CU_ASSERT_EQUAL(mr_spsc_footprint(CAPACITY), sizeof(slots));
    mr_spsc_init(&ring, slots, CAPACITY);
}

static void words_come_out_in_the_order_they_went_in(void)
{
    uint64_t words[CAPACITY] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint64_t taken[CAPACITY] = {0};

    for (int round = 0; round < 20; round++) { /* every position of the wrap */
        CU_ASSERT_EQUAL(mr_spsc_push(&ring, words, 5), 5);
        mr_spsc_check(&ring);
        CU_ASSERT_EQUAL(mr_spsc_pop(&ring, taken, 2), 2);
        CU_ASSERT_EQUAL(mr_spsc_pop(&ring, taken + 2, 8), 3);
        mr_spsc_check(&ring);
        CU_ASSERT_EQUAL(memcmp(taken, words, 5 * sizeof(words[0])), 0);
    }
}

static void a_full_ring_takes_what_fits(void)
{
    uint64_t words[CAPACITY + 2] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    uint64_t taken[CAPACITY + 2] = {0};

    CU_ASSERT_EQUAL(mr_spsc_room(&ring, 100), CAPACITY);
    CU_ASSERT_EQUAL(mr_spsc_push(&ring, words, 10), CAPACITY);
    CU_ASSERT_EQUAL(mr_spsc_room(&ring, 100), 0);
    CU_ASSERT_EQUAL(mr_spsc_push(&ring, words, 1), 0);

    CU_ASSERT_EQUAL(mr_spsc_pop(&ring, taken, 3), 3);
    CU_ASSERT_EQUAL(mr_spsc_push(&ring, words + 8, 2), 2);
    CU_ASSERT_EQUAL(mr_spsc_pop(&ring, taken + 3, 10), 7);
    CU_ASSERT_EQUAL(memcmp(taken, words, sizeof(words)), 0);
}

static void an_empty_ring_gives_nothing(void)
{
    uint64_t word = 99;

    CU_ASSERT_EQUAL(mr_spsc_pop(&ring, &word, 1), 0);
    CU_ASSERT_EQUAL(mr_spsc_count(&ring, 5), 0);
    CU_ASSERT_EQUAL(mr_spsc_push(&ring, &word, 0), 0);
    CU_ASSERT_EQUAL(mr_spsc_pop(&ring, &word, 1), 0);
    CU_ASSERT_EQUAL(word, 99);
}

static void pointers_are_words(void)
{
    int a, b;
    void *in[2] = {&a, &b};
    void *out[2] = {NULL, NULL};

    CU_ASSERT_EQUAL(mr_spsc_push_pointers(&ring, in, 2), 2);
    CU_ASSERT_EQUAL(mr_spsc_pop_pointers(&ring, out, 2), 2);
    CU_ASSERT(out[0] == &a && out[1] == &b);
}

/* The indexes count up for ever; only their low bits name a slot. */
static void indexes_may_wrap_around(void)
{
    uint64_t words[3] = {0, 0, 0};

    atomic_store(&ring.head, UINT32_MAX - 4);
    atomic_store(&ring.tail, UINT32_MAX - 4);
    ring.head_seen = ring.tail_seen = UINT32_MAX - 4;
    for (uint64_t i = 0; i < 10; i++) {
        words[0] = i;
        CU_ASSERT_EQUAL(mr_spsc_push(&ring, words, 3), 3);
        mr_spsc_check(&ring);
        CU_ASSERT_EQUAL(mr_spsc_pop(&ring, words, 3), 3);
        mr_spsc_check(&ring);
        CU_ASSERT_EQUAL(words[0], i);
    }
}

/* Bursts of 1..12 words 0, 1, 2, ...; payload[] is written before its index is pushed. */
static uint64_t payload[TRANSFERS];

static void *produce(void *unused)
{
    struct mr_random random;
    uint64_t next = 0;

    (void)unused;
    mr_random_init_number(&random, 1);
    while (next < TRANSFERS) {
        uint64_t words[12];
        uint64_t wanted = 1 + mr_random_below(&random, 12);
        uint32_t n = (uint32_t)MR_MIN(wanted, TRANSFERS - next);

        n = mr_spsc_room(&ring, n);
        for (uint32_t i = 0; i < n; i++) {
            words[i] = next + i;
            payload[next + i] = ~(next + i);
        }
        next += mr_spsc_push(&ring, words, n);
        if (n == 0)
            sched_yield();
    }
    return NULL;
}

static void another_thread_gets_every_word_and_what_was_written_before_it(void)
{
    struct mr_random random;
    pthread_t producer;
    uint64_t expected = 0, wrong = 0;

    mr_random_init_number(&random, 2);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&producer, NULL, produce, NULL), 0);
    while (expected < TRANSFERS) {
        uint64_t words[12];
        uint32_t n = mr_spsc_pop(&ring, words, 1 + (uint32_t)mr_random_below(&random, 12));

        for (uint32_t i = 0; i < n; i++, expected++)
            wrong += words[i] != expected || payload[expected] != ~expected;
        if (n == 0)
            sched_yield();
    }
    pthread_join(producer, NULL);
    CU_ASSERT_EQUAL(wrong, 0);
    mr_spsc_check(&ring);
    CU_ASSERT_EQUAL(mr_spsc_count(&ring, 1), 0);
}

static CU_TestInfo tests[] = {
    {"words come out in the order they went in", words_come_out_in_the_order_they_went_in},
    {"a full ring takes what fits", a_full_ring_takes_what_fits},
    {"an empty ring gives nothing", an_empty_ring_gives_nothing},
    {"pointers are words", pointers_are_words},
    {"indexes may wrap around", indexes_may_wrap_around},
    {"another thread gets every word, and what was written before it",
     another_thread_gets_every_word_and_what_was_written_before_it},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "base/spsc", .pSetUpFunc = init_ring, .pTests = tests},
    CU_SUITE_INFO_NULL,
};
