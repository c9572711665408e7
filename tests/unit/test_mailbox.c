/* Tests of base/mailbox.h. */
#include "base/mailbox.h"

#include <pthread.h>
#include <stdlib.h>

#include "tests/unit/harness.h"

enum {
    COUNT = 8
};

struct entry {
    uint64_t word[8];
};

_Static_assert(sizeof(struct entry) == MR_MAILBOX_ENTRY, "an entry");

static struct memory {
    _Alignas(64) struct entry entries[COUNT];
    _Atomic uint32_t tail MR_ALIGNED(64);
    _Atomic uint32_t head MR_ALIGNED(64);
    _Atomic uint32_t sleeps MR_ALIGNED(64);
} memory;

static struct mr_outbox outbox;
static struct mr_inbox inbox;

static void start(void)
{
    struct mr_mailbox box = {
        .entries = memory.entries, .tail = &memory.tail, .head = &memory.head, .count = COUNT};

    memset(&memory, 0, sizeof(memory));
    mr_outbox_init(&outbox, &box);
    mr_inbox_init(&inbox, &box);
}

static bool put(uint64_t value)
{
    struct entry *entry = mr_outbox_next(&outbox);

    if (entry == NULL)
        return false;
    *entry = (struct entry){.word = {value, ~value}};
    mr_outbox_check(&outbox);
    return true;
}

static uint64_t get(void)
{
    struct entry entry;

    if (!mr_inbox_take(&inbox, &entry))
        return UINT64_MAX;
    mr_inbox_check(&inbox);
    CU_ASSERT_EQUAL(entry.word[1], ~entry.word[0]);
    return entry.word[0];
}

static void entries_come_out_in_order_once_published(void)
{
    start();
    CU_ASSERT(put(1));
    CU_ASSERT(put(2));
    CU_ASSERT_EQUAL(get(), UINT64_MAX);
    CU_ASSERT(mr_outbox_publish(&outbox));
    CU_ASSERT_FALSE(mr_outbox_publish(&outbox));
    CU_ASSERT_EQUAL(get(), 1);
    CU_ASSERT_EQUAL(get(), 2);
    CU_ASSERT_EQUAL(get(), UINT64_MAX);
}

static void a_full_queue_gives_no_place(void)
{
    start();
    for (uint64_t i = 0; i < COUNT; i++)
        CU_ASSERT(put(i));
    CU_ASSERT_FALSE(put(9));
    mr_outbox_publish(&outbox);
    CU_ASSERT_EQUAL(get(), 0);
    CU_ASSERT_FALSE(put(9)); /* not given back yet */
    mr_inbox_done(&inbox);
    CU_ASSERT(put(9));
    CU_ASSERT_FALSE(put(10));
}

static void indexes_wrap_around_for_ever(void)
{
    start();
    atomic_store(&memory.tail, UINT32_MAX - 5);
    atomic_store(&memory.head, UINT32_MAX - 5);
    outbox.next = outbox.published = outbox.head_seen = UINT32_MAX - 5;
    inbox.next = inbox.tail_seen = UINT32_MAX - 5;
    for (uint64_t i = 0; i < 100; i++) {
        CU_ASSERT(put(i));
        mr_outbox_publish(&outbox);
        CU_ASSERT_EQUAL(get(), i);
        mr_inbox_done(&inbox);
    }
    CU_ASSERT_FALSE(outbox.is_broken);
    CU_ASSERT_FALSE(inbox.is_broken);
}

static void a_tail_that_cannot_be_breaks_the_inbox(void)
{
    static const uint32_t tails[] = {COUNT + 1, UINT32_MAX, 1u << 31};

    for (size_t i = 0; i < MR_COUNT_OF(tails); i++) {
        start();
        atomic_store(&memory.tail, tails[i]);
        CU_ASSERT_EQUAL(get(), UINT64_MAX);
        CU_ASSERT(inbox.is_broken);
        atomic_store(&memory.tail, 1);
        CU_ASSERT_EQUAL(get(), UINT64_MAX); /* for good */
    }
}

static void a_tail_that_goes_back_breaks_the_inbox(void)
{
    start();
    put(1);
    put(2);
    mr_outbox_publish(&outbox);
    CU_ASSERT_EQUAL(mr_inbox_count(&inbox, 2), 2);
    atomic_store(&memory.tail, 1);
    CU_ASSERT_EQUAL(mr_inbox_count(&inbox, 3), 0);
    CU_ASSERT(inbox.is_broken);
}

static void a_head_that_cannot_be_breaks_the_outbox(void)
{
    start();
    for (uint64_t i = 0; i < COUNT; i++)
        put(i);
    mr_outbox_publish(&outbox);
    atomic_store(&memory.head, COUNT + 1); /* beyond what was published */
    CU_ASSERT_FALSE(put(9));
    CU_ASSERT(outbox.is_broken);
    atomic_store(&memory.head, 3);
    CU_ASSERT_FALSE(put(9));

    start();
    for (uint64_t i = 0; i < COUNT; i++)
        put(i);
    mr_outbox_publish(&outbox);
    atomic_store(&memory.head, 4);
    CU_ASSERT(put(9));
    for (uint64_t i = 0; i < 3; i++)
        CU_ASSERT(put(i));
    atomic_store(&memory.head, 2); /* back */
    CU_ASSERT_FALSE(put(9));
    CU_ASSERT(outbox.is_broken);
}

static void an_entry_that_changes_after_it_was_taken_changes_nothing(void)
{
    struct entry entry;

    start();
    put(7);
    mr_outbox_publish(&outbox);
    CU_ASSERT(mr_inbox_take(&inbox, &entry));
    memory.entries[0].word[0] = 666;
    CU_ASSERT_EQUAL(entry.word[0], 7);
}

static void who_sleeps_is_woken_once(void)
{
    start();
    CU_ASSERT(mr_inbox_may_sleep(&inbox, &memory.sleeps));
    put(1);
    CU_ASSERT(mr_outbox_publish_waking(&outbox, &memory.sleeps));
    CU_ASSERT_FALSE(mr_outbox_publish_waking(&outbox, &memory.sleeps));
    CU_ASSERT_FALSE(mr_inbox_may_sleep(&inbox, &memory.sleeps)); /* something is there */
    put(2);
    CU_ASSERT_FALSE(mr_outbox_publish_waking(&outbox, &memory.sleeps));
    CU_ASSERT_EQUAL(get(), 1);
    CU_ASSERT_EQUAL(get(), 2);
    CU_ASSERT(mr_inbox_may_sleep(&inbox, &memory.sleeps));
    mr_inbox_woke(&memory.sleeps);
    put(3);
    CU_ASSERT_FALSE(mr_outbox_publish_waking(&outbox, &memory.sleeps));
}

static void a_producer_may_ask_later_and_once_for_several(void)
{
    start();
    put(1);
    CU_ASSERT(mr_outbox_publish(&outbox));
    CU_ASSERT_FALSE(mr_inbox_may_sleep(&inbox, &memory.sleeps)); /* nobody asked, and it is seen */
    CU_ASSERT_FALSE(mr_outbox_wakes(&memory.sleeps));
    CU_ASSERT_EQUAL(get(), 1);
    CU_ASSERT(mr_inbox_may_sleep(&inbox, &memory.sleeps));
    put(2);
    CU_ASSERT(mr_outbox_publish(&outbox));
    put(3);
    CU_ASSERT(mr_outbox_publish(&outbox));
    CU_ASSERT(mr_outbox_wakes(&memory.sleeps));
    CU_ASSERT_FALSE(mr_outbox_wakes(&memory.sleeps));
}

/* ------------------------------------------------------------------ two threads */

enum {
    MANY = 400000
};

static _Atomic uint32_t wakes; /* stands for the eventfd: a count of wake-ups to take */

/* Sleeps whenever nothing is there; a lost wake-up would hang it. */
static void *consume(void *argument)
{
    uint64_t *wrong = argument;
    uint64_t expected = 0;
    struct entry entry;

    while (expected < MANY) {
        while (mr_inbox_take(&inbox, &entry))
            *wrong += entry.word[0] != expected++;
        mr_inbox_done(&inbox);
        if (expected == MANY || !mr_inbox_may_sleep(&inbox, &memory.sleeps))
            continue;
        while (atomic_load_explicit(&wakes, memory_order_acquire) == 0)
            sched_yield();
        atomic_store_explicit(&wakes, 0, memory_order_relaxed);
        mr_inbox_woke(&memory.sleeps);
    }
    return NULL;
}

static void no_entry_and_no_wake_up_is_lost_between_two_threads(void)
{
    pthread_t consumer;
    uint64_t wrong = 0;
    uint32_t asks_in = 0; /* turns; 0: nothing was published since it asked */

    start();
    atomic_store(&wakes, 0);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&consumer, NULL, consume, &wrong), 0);
    for (uint64_t i = 0; i < MANY;) {
        if (put(i)) {
            i++;
            if (i % 3 != 0 && i < MANY)
                continue;
        }
        if (mr_outbox_publish(&outbox) && asks_in == 0)
            asks_in = 1 + (uint32_t)(i / 3 % 3);
        if (asks_in > 0 && (--asks_in == 0 || i == MANY || mr_outbox_room(&outbox, 1) == 0)) {
            asks_in = 0;
            if (mr_outbox_wakes(&memory.sleeps))
                atomic_store_explicit(&wakes, 1, memory_order_release);
        }
        if (mr_outbox_room(&outbox, 1) == 0)
            sched_yield();
    }
    pthread_join(consumer, NULL);
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT_FALSE(inbox.is_broken);
    CU_ASSERT_FALSE(outbox.is_broken);
}

static CU_TestInfo tests[] = {
    {"entries come out in order, once published", entries_come_out_in_order_once_published},
    {"a full queue gives no place", a_full_queue_gives_no_place},
    {"indexes wrap around for ever", indexes_wrap_around_for_ever},
    {"a tail that cannot be breaks the inbox", a_tail_that_cannot_be_breaks_the_inbox},
    {"a tail that goes back breaks the inbox", a_tail_that_goes_back_breaks_the_inbox},
    {"a head that cannot be breaks the outbox", a_head_that_cannot_be_breaks_the_outbox},
    {"an entry that changes after it was taken changes nothing",
     an_entry_that_changes_after_it_was_taken_changes_nothing},
    {"who sleeps is woken once", who_sleeps_is_woken_once},
    {"a producer may ask later, and once for several",
     a_producer_may_ask_later_and_once_for_several},
    {"no entry and no wake-up is lost between two threads",
     no_entry_and_no_wake_up_is_lost_between_two_threads},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "base/mailbox", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
