/* Tests of quic/schedule.h. */
#include "quic/schedule.h"

#include <stdlib.h>

#include "base/random.h"
#include "tests/unit/harness.h"

enum {
    STREAMS = 64,
    STEPS = 20000
};

static struct mr_pool pool;
static struct mr_schedule schedule;
static void *memory;

static int set_up(void)
{
    memory = calloc(1, mr_pool_footprint(STREAMS, sizeof(struct mr_stream), MR_CACHE_LINE));
    return memory == NULL;
}

static int tear_down(void)
{
    free(memory);
    return 0;
}

static struct mr_stream *stream_at(uint32_t index)
{
    return mr_pool_at(&pool, index);
}

/* `count` streams with IDs 0, 4, 8, ... */
static void begin(uint32_t count)
{
    mr_pool_init(&pool, memory, STREAMS, sizeof(struct mr_stream), MR_CACHE_LINE);
    mr_schedule_init(&schedule);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = mr_pool_get(&pool);
        *stream_at(index) = (struct mr_stream){.id = 4 * (uint64_t)index,
                                               .index = index,
                                               .urgency = MR_URGENCY_DEFAULT,
                                               .is_incremental = true};
    }
}

static void add(uint32_t index, uint8_t urgency, bool is_incremental)
{
    mr_schedule_set_priority(&schedule, &pool, stream_at(index),
                             (struct mr_priority){urgency, is_incremental});
    mr_schedule_add(&schedule, &pool, stream_at(index));
    mr_schedule_check(&schedule, &pool);
}

/* Whose turn it is; it has more. */
static uint32_t turn(void)
{
    uint32_t index = schedule.head;

    mr_schedule_turn(&schedule, &pool, stream_at(index));
    mr_schedule_check(&schedule, &pool);
    return index;
}

/* Whose turn it is; it has nothing more. */
static uint32_t last_turn(void)
{
    uint32_t index = schedule.head;

    mr_schedule_remove(&schedule, &pool, stream_at(index));
    mr_schedule_check(&schedule, &pool);
    return index;
}

static void incremental_streams_take_turns(void)
{
    begin(3);
    add(2, 3, true);
    add(0, 3, true);
    add(1, 3, true);
    CU_ASSERT_EQUAL(turn(), 2);
    CU_ASSERT_EQUAL(turn(), 0);
    CU_ASSERT_EQUAL(last_turn(), 1);
    CU_ASSERT_EQUAL(turn(), 2);
    CU_ASSERT_EQUAL(turn(), 0);
    CU_ASSERT_EQUAL(turn(), 2);
    CU_ASSERT_EQUAL(last_turn(), 0);
    CU_ASSERT_EQUAL(turn(), 2);
    CU_ASSERT_EQUAL(turn(), 2);
    CU_ASSERT_EQUAL(last_turn(), 2);
    CU_ASSERT_EQUAL(schedule.head, MR_NONE);
}

static void the_others_go_in_the_order_of_their_ids(void)
{
    begin(5);
    add(3, 3, false);
    add(1, 3, false);
    add(4, 3, false);
    CU_ASSERT_EQUAL(turn(), 1);
    CU_ASSERT_EQUAL(turn(), 1);
    add(0, 3, false);
    CU_ASSERT_EQUAL(turn(), 0);
    CU_ASSERT_EQUAL(last_turn(), 0);
    CU_ASSERT_EQUAL(last_turn(), 1);
    add(2, 3, false);
    CU_ASSERT_EQUAL(last_turn(), 2);
    CU_ASSERT_EQUAL(last_turn(), 3);
    CU_ASSERT_EQUAL(last_turn(), 4);
    CU_ASSERT_EQUAL(schedule.head, MR_NONE);
}

static void the_lowest_urgency_is_served_alone(void)
{
    begin(4);
    add(0, 7, false);
    add(1, 5, true);
    add(2, 0, false);
    add(3, 5, true);
    for (int i = 0; i < 10; i++)
        CU_ASSERT_EQUAL(turn(), 2);
    CU_ASSERT_EQUAL(last_turn(), 2);
    CU_ASSERT_EQUAL(turn(), 1);
    CU_ASSERT_EQUAL(turn(), 3);
    CU_ASSERT_EQUAL(last_turn(), 1);
    CU_ASSERT_EQUAL(last_turn(), 3);
    CU_ASSERT_EQUAL(last_turn(), 0);
}

/* RFC 9218, Section 10: "It is RECOMMENDED that servers avoid such starvation where possible." */
static void of_both_kinds_neither_starves(void)
{
    begin(4);
    add(0, 3, false);
    add(1, 3, false);
    add(2, 3, true);
    add(3, 3, true);
    CU_ASSERT_EQUAL(turn(), 0);
    CU_ASSERT_EQUAL(turn(), 2);
    CU_ASSERT_EQUAL(turn(), 0);
    CU_ASSERT_EQUAL(turn(), 3);
    CU_ASSERT_EQUAL(turn(), 0);
    CU_ASSERT_EQUAL(turn(), 2);
    CU_ASSERT_EQUAL(last_turn(), 0);
    CU_ASSERT_EQUAL(turn(), 1);
}

static void a_priority_changes_at_any_time(void)
{
    begin(3);
    add(0, 3, true);
    add(1, 3, true);
    add(2, 3, true);
    mr_schedule_set_priority(&schedule, &pool, stream_at(2), (struct mr_priority){2, false});
    mr_schedule_check(&schedule, &pool);
    CU_ASSERT_EQUAL(turn(), 2);
    CU_ASSERT_EQUAL(turn(), 2);
    mr_schedule_set_priority(&schedule, &pool, stream_at(2), (struct mr_priority){7, true});
    mr_schedule_check(&schedule, &pool);
    CU_ASSERT_EQUAL(turn(), 0);
    CU_ASSERT_EQUAL(turn(), 1);
    CU_ASSERT_EQUAL(turn(), 0);
}

/* A stream that is not at its turn may go, and one that was sent out of turn stays where it is. */
static void streams_leave_from_anywhere(void)
{
    begin(6);
    for (uint32_t i = 0; i < 3; i++)
        add(i, 3, true);
    for (uint32_t i = 3; i < 6; i++)
        add(i, 4, false);
    mr_schedule_turn(&schedule, &pool, stream_at(1));
    CU_ASSERT_EQUAL(schedule.head, 0);
    mr_schedule_remove(&schedule, &pool, stream_at(2));
    mr_schedule_remove(&schedule, &pool, stream_at(4));
    mr_schedule_check(&schedule, &pool);
    CU_ASSERT_EQUAL(turn(), 0);
    CU_ASSERT_EQUAL(turn(), 1);
    CU_ASSERT_EQUAL(last_turn(), 0);
    CU_ASSERT_EQUAL(last_turn(), 1);
    CU_ASSERT_EQUAL(last_turn(), 3);
    CU_ASSERT_EQUAL(last_turn(), 5);
}

/* ------------------------------------------------------------------ at random */

/* What the schedule's head may be: of the lowest urgency, and of the others the lowest ID. */
static void check_head(void)
{
    const struct mr_stream *head = schedule.head == MR_NONE ? NULL : stream_at(schedule.head);

    for (uint32_t i = 0; i < STREAMS; i++) {
        const struct mr_stream *s = stream_at(i);
        if (!s->is_sendable)
            continue;
        CU_ASSERT_PTR_NOT_NULL_FATAL(head);
        CU_ASSERT(head->is_sendable);
        CU_ASSERT(head->urgency <= s->urgency);
        CU_ASSERT(head->is_incremental || s->is_incremental || head->urgency < s->urgency ||
                  head->id <= s->id);
    }
    if (head == NULL)
        CU_ASSERT_EQUAL(schedule.rings, 0);
}

static void whatever_happens_the_head_is_right(void)
{
    struct mr_random random;

    mr_random_init_number(&random, 4);
    begin(STREAMS);
    for (int i = 0; i < STEPS; i++) {
        struct mr_stream *s = stream_at((uint32_t)mr_random_below(&random, STREAMS));
        uint64_t op = mr_random_below(&random, 8);

        if (op < 3 && schedule.head != MR_NONE)
            mr_schedule_turn(&schedule, &pool, stream_at(schedule.head));
        else if (op == 3 && schedule.head != MR_NONE)
            mr_schedule_remove(&schedule, &pool, stream_at(schedule.head));
        else if (op == 4)
            mr_schedule_set_priority(&schedule, &pool, s,
                                     (struct mr_priority){(uint8_t)mr_random_below(&random, 8),
                                                          mr_random_below(&random, 2) == 0});
        else if (s->is_sendable && op == 5)
            mr_schedule_remove(&schedule, &pool, s);
        else if (!s->is_sendable && op > 5)
            mr_schedule_add(&schedule, &pool, s);
        mr_schedule_check(&schedule, &pool);
        check_head();
    }
}

static CU_TestInfo tests[] = {
    {"incremental streams take turns", incremental_streams_take_turns},
    {"the others go in the order of their IDs", the_others_go_in_the_order_of_their_ids},
    {"the lowest urgency is served alone", the_lowest_urgency_is_served_alone},
    {"of both kinds neither starves", of_both_kinds_neither_starves},
    {"a priority changes at any time", a_priority_changes_at_any_time},
    {"streams leave from anywhere", streams_leave_from_anywhere},
    {"whatever happens, the head is right", whatever_happens_the_head_is_right},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/schedule", .pInitFunc = set_up, .pCleanupFunc = tear_down, .pTests = tests},
    CU_SUITE_INFO_NULL,
};
