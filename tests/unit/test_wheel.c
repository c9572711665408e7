/* Tests of base/wheel.h. */
#include "base/wheel.h"

#include "base/random.h"
#include "tests/unit/harness.h"

#define TICK  MR_WHEEL_TICK_NS
#define START (UINT64_C(1000000) * TICK + 12345) /* any time that is not round */

enum {
    COUNT = 5000,
    ROOM = 32
};

static struct mr_wheel wheel;
static struct mr_wheel_node nodes[COUNT];
static uint32_t out[COUNT];

static void start_wheel(void)
{
    mr_wheel_init(&wheel, nodes, COUNT, START);
}

/* All that expires at `now`, in bursts. */
static uint32_t expire_all(uint64_t now)
{
    uint32_t expired = 0;

    while (mr_wheel_next(&wheel) <= now) {
        expired += mr_wheel_expire(&wheel, out + expired, MR_MIN(ROOM, COUNT - expired), now);
        mr_wheel_check(&wheel);
    }
    return expired;
}

static void a_timer_expires_once_at_its_deadline_or_a_tick_later(void)
{
    static const uint64_t delays[] = {
        0,
        1,
        TICK - 1,
        TICK,
        63 * TICK,
        64 * TICK,
        65 * TICK + 1,
        4095 * TICK,
        4096 * TICK,
        UINT64_C(1) << 40,
        UINT64_C(1) << 50,
        UINT64_C(1) << 60,
    };

    for (size_t i = 0; i < MR_COUNT_OF(delays); i++) {
        uint64_t deadline = START + delays[i];

        start_wheel();
        mr_wheel_set(&wheel, 7, deadline);
        mr_wheel_check(&wheel);
        CU_ASSERT_TRUE(mr_wheel_is_set(&wheel, 7));
        CU_ASSERT_EQUAL(mr_wheel_deadline(&wheel, 7), deadline);

        CU_ASSERT_EQUAL(expire_all(deadline - 1), 0);
        CU_ASSERT_EQUAL(expire_all(deadline + TICK), 1);
        CU_ASSERT_EQUAL(out[0], 7);
        CU_ASSERT_FALSE(mr_wheel_is_set(&wheel, 7));
        CU_ASSERT_EQUAL(mr_wheel_deadline(&wheel, 7), UINT64_MAX);
        CU_ASSERT_EQUAL(expire_all(deadline + 100 * TICK), 0);
    }
}

static void time_in_one_jump_or_tick_by_tick_expires_the_same(void)
{
    for (uint64_t delay = 1; delay < 20000; delay = delay * 3 / 2 + 1) {
        uint64_t due = (START / TICK + delay) * TICK;
        uint64_t now = START;

        start_wheel();
        mr_wheel_set(&wheel, 0, due);
        while (mr_wheel_expire(&wheel, out, ROOM, now) == 0)
            now += TICK;
        CU_ASSERT_EQUAL(now, due + START % TICK);
    }
}

static void next_never_comes_after_a_deadline_and_is_exact_nearby(void)
{
    CU_ASSERT_EQUAL(mr_wheel_next(&wheel), UINT64_MAX);
    for (uint64_t delay = 1; delay < UINT64_C(1) << 60; delay = delay * 5 / 3 + 1) {
        start_wheel();
        mr_wheel_set(&wheel, 0, START + delay);
        uint64_t next = mr_wheel_next(&wheel);
        CU_ASSERT(next > START);
        CU_ASSERT(next < START + delay + TICK);
        if (START % (64 * TICK) + delay < 63 * TICK)
            CU_ASSERT(next >= START + delay);
    }
}

static void next_is_exact_after_a_time_without_timers(void)
{
    uint64_t later = START + 777777 * TICK; /* far from the end of its 64 ticks */

    CU_ASSERT_EQUAL(mr_wheel_expire(&wheel, out, ROOM, later), 0);
    mr_wheel_set(&wheel, 0, later + 10 * TICK);
    CU_ASSERT(mr_wheel_next(&wheel) >= later + 10 * TICK);
}

/* Sleeping until mr_wheel_next() each time wakes at most once per level. */
static void following_next_reaches_the_deadline_in_few_steps(void)
{
    for (uint64_t delay = 1; delay < UINT64_C(1) << 60; delay = delay * 5 / 3 + 1) {
        uint32_t steps = 0;
        uint64_t now = START;

        start_wheel();
        mr_wheel_set(&wheel, 0, START + delay);
        do {
            now = mr_wheel_next(&wheel);
            steps++;
        } while (mr_wheel_expire(&wheel, out, ROOM, now) == 0);
        CU_ASSERT(now >= START + delay && now < START + delay + TICK);
        CU_ASSERT(steps <= MR_WHEEL_LEVELS);
    }
}

static void a_timer_set_again_counts_from_its_new_deadline(void)
{
    mr_wheel_set(&wheel, 1, START + 10 * TICK);
    mr_wheel_set(&wheel, 1, START + 5000 * TICK); /* later: stays where it is */
    mr_wheel_check(&wheel);
    CU_ASSERT_EQUAL(mr_wheel_deadline(&wheel, 1), START + 5000 * TICK);
    CU_ASSERT_EQUAL(expire_all(START + 4999 * TICK), 0);
    CU_ASSERT_EQUAL(expire_all(START + 5001 * TICK), 1);

    mr_wheel_set(&wheel, 1, START + 900000 * TICK);
    mr_wheel_set(&wheel, 1, START + 5010 * TICK); /* earlier */
    CU_ASSERT_EQUAL(expire_all(START + 5009 * TICK), 0);
    CU_ASSERT_EQUAL(expire_all(START + 5011 * TICK), 1);
    CU_ASSERT_EQUAL(expire_all(START + 1000000 * TICK), 0);
}

/* The cheap case: nothing but the timer's own deadline is written. */
static void a_timer_set_later_stays_where_it_is(void)
{
    for (uint32_t i = 0; i < 3; i++)
        mr_wheel_set(&wheel, i, START + 10 * TICK);
    struct mr_wheel_node before = nodes[1];

    mr_wheel_set(&wheel, 1, START + 10 * TICK + 1);
    mr_wheel_set(&wheel, 1, START + 99999 * TICK);
    CU_ASSERT(nodes[1].slot == before.slot && nodes[1].next == 2 && nodes[1].prev == 0);
    CU_ASSERT_EQUAL(expire_all(START + 12 * TICK), 2);
    CU_ASSERT_TRUE(mr_wheel_is_set(&wheel, 1));
}

static void a_cleared_timer_never_expires(void)
{
    mr_wheel_set(&wheel, 1, START + TICK);
    mr_wheel_set(&wheel, 2, START + TICK);
    mr_wheel_set(&wheel, 3, START + TICK);
    mr_wheel_clear(&wheel, 2);
    mr_wheel_clear(&wheel, 2);
    mr_wheel_check(&wheel);
    CU_ASSERT_EQUAL(expire_all(START + 10 * TICK), 2);
    CU_ASSERT(out[0] == 1 && out[1] == 3);
    CU_ASSERT_EQUAL(wheel.set_count, 0);
}

static void no_deadline_clears_the_timer(void)
{
    mr_wheel_set(&wheel, 1, START + TICK);
    mr_wheel_set(&wheel, 1, UINT64_MAX);
    CU_ASSERT_FALSE(mr_wheel_is_set(&wheel, 1));
    mr_wheel_set(&wheel, 1, MR_WHEEL_DEADLINE_MAX + 1);
    CU_ASSERT_FALSE(mr_wheel_is_set(&wheel, 1));
    mr_wheel_check(&wheel);

    mr_wheel_set(&wheel, 1, MR_WHEEL_DEADLINE_MAX);
    mr_wheel_check(&wheel);
    CU_ASSERT_EQUAL(expire_all(MR_WHEEL_DEADLINE_MAX - 1), 0);
    CU_ASSERT_EQUAL(expire_all(UINT64_MAX - 1), 1);
}

static void a_deadline_in_the_past_expires_at_once(void)
{
    mr_wheel_set(&wheel, 1, 0);
    mr_wheel_set(&wheel, 2, START - 1000 * TICK);
    mr_wheel_check(&wheel);
    CU_ASSERT(mr_wheel_next(&wheel) <= START);
    CU_ASSERT_EQUAL(expire_all(START), 2);
}

static void expires_in_bursts_in_order_and_loses_none(void)
{
    for (uint32_t i = 0; i < COUNT; i++)
        mr_wheel_set(&wheel, i, START + (uint64_t)(i % 100) * 700 * TICK);

    uint64_t now = START + 200000 * TICK;
    uint64_t last = 0;
    uint32_t expired = 0;
    while (wheel.set_count > 0) {
        uint32_t n = mr_wheel_expire(&wheel, out, ROOM, now);
        CU_ASSERT_FATAL(n <= ROOM);
        for (uint32_t i = 0; i < n; i++) {
            CU_ASSERT(nodes[out[i]].deadline >= last);
            last = nodes[out[i]].deadline;
        }
        expired += n;
    }
    CU_ASSERT_EQUAL(expired, COUNT);
}

static void no_room_expires_nothing_and_loses_nothing(void)
{
    mr_wheel_set(&wheel, 1, START);
    CU_ASSERT_EQUAL(mr_wheel_expire(&wheel, out, 0, START + 10 * TICK), 0);
    CU_ASSERT(mr_wheel_next(&wheel) <= START + 10 * TICK);
    CU_ASSERT_EQUAL(expire_all(START + 10 * TICK), 1);
}

/* A slot of a high level moves down in several calls, and may change meanwhile. */
static void one_call_moves_a_bounded_number_of_timers(void)
{
    uint64_t later = START + 300000 * TICK;

    for (uint32_t i = 0; i < COUNT; i++)
        mr_wheel_set(&wheel, i, later + i % 8 * TICK);

    uint64_t slot_begins = mr_wheel_next(&wheel);
    CU_ASSERT_EQUAL(mr_wheel_expire(&wheel, out, ROOM, slot_begins), 0);
    mr_wheel_check(&wheel);
    CU_ASSERT(mr_wheel_next(&wheel) <= slot_begins); /* not done */

    for (uint32_t i = 0; i < COUNT; i += 2) {
        if (i % 4 == 0)
            mr_wheel_clear(&wheel, i);
        else
            mr_wheel_set(&wheel, i, slot_begins);
    }
    mr_wheel_check(&wheel);
    CU_ASSERT_EQUAL(expire_all(slot_begins + TICK), COUNT / 4);
    CU_ASSERT_EQUAL(expire_all(later + 8 * TICK), COUNT / 2);
    CU_ASSERT_EQUAL(wheel.set_count, 0);
}

/* The slot that is moving down becomes empty because its timers are cleared. */
static void clearing_all_of_a_moving_slot_is_fine(void)
{
    uint64_t later = START + 300000 * TICK;

    for (uint32_t i = 0; i < COUNT; i++)
        mr_wheel_set(&wheel, i, later);
    mr_wheel_expire(&wheel, out, ROOM, mr_wheel_next(&wheel));
    for (uint32_t i = 0; i < COUNT; i++) {
        mr_wheel_clear(&wheel, i);
        if (i % 500 == 0)
            mr_wheel_check(&wheel);
    }
    CU_ASSERT_EQUAL(mr_wheel_next(&wheel), UINT64_MAX);
    CU_ASSERT_EQUAL(expire_all(later + 10 * TICK), 0);
    mr_wheel_check(&wheel);
}

/* Handlers that set their timer to "now" again must not keep others from their turn. */
static void a_busy_timer_does_not_starve_others_of_its_tick(void)
{
    bool has_expired = false;

    mr_wheel_set(&wheel, 1, START - TICK);
    mr_wheel_set(&wheel, 2, START - TICK);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(mr_wheel_expire(&wheel, out, 1, START), 1);
        has_expired |= out[0] == 2;
        mr_wheel_set(&wheel, out[0], START - TICK);
    }
    CU_ASSERT_TRUE(has_expired);
}

static void time_that_goes_back_changes_nothing(void)
{
    mr_wheel_set(&wheel, 1, START + 100 * TICK);
    CU_ASSERT_EQUAL(mr_wheel_expire(&wheel, out, ROOM, START + 70 * TICK), 0);
    mr_wheel_set(&wheel, 2, START + 75 * TICK);
    CU_ASSERT_EQUAL(mr_wheel_expire(&wheel, out, ROOM, START), 0);
    mr_wheel_check(&wheel);
    CU_ASSERT_EQUAL(expire_all(START + 74 * TICK), 0);
    CU_ASSERT_EQUAL(expire_all(START + 101 * TICK), 2);
}

static void a_wheel_that_grows_keeps_its_timers(void)
{
    static struct mr_wheel_node few[2];

    mr_wheel_init(&wheel, few, 2, START);
    mr_wheel_set(&wheel, 1, START + 100 * TICK);
    memset(nodes, 0, sizeof(nodes));
    memcpy(nodes, few, sizeof(few));
    mr_wheel_grow(&wheel, nodes, COUNT);
    mr_wheel_check(&wheel);
    CU_ASSERT_FALSE(mr_wheel_is_set(&wheel, 2));
    mr_wheel_set(&wheel, COUNT - 1, START + 50 * TICK);
    mr_wheel_check(&wheel);
    CU_ASSERT_EQUAL(expire_all(START + 101 * TICK), 2);
    CU_ASSERT_EQUAL(out[0], COUNT - 1);
    CU_ASSERT_EQUAL(out[1], 1);
}

static CU_TestInfo tests[] = {
    {"a timer expires once, at its deadline or a tick later",
     a_timer_expires_once_at_its_deadline_or_a_tick_later},
    {"time in one jump or tick by tick expires the same",
     time_in_one_jump_or_tick_by_tick_expires_the_same},
    {"next never comes after a deadline and is exact nearby",
     next_never_comes_after_a_deadline_and_is_exact_nearby},
    {"next is exact after a time without timers", next_is_exact_after_a_time_without_timers},
    {"following next reaches the deadline in few steps",
     following_next_reaches_the_deadline_in_few_steps},
    {"a timer set again counts from its new deadline",
     a_timer_set_again_counts_from_its_new_deadline},
    {"a timer set later stays where it is", a_timer_set_later_stays_where_it_is},
    {"a cleared timer never expires", a_cleared_timer_never_expires},
    {"no deadline clears the timer", no_deadline_clears_the_timer},
    {"a deadline in the past expires at once", a_deadline_in_the_past_expires_at_once},
    {"expires in bursts, in order, and loses none", expires_in_bursts_in_order_and_loses_none},
    {"no room expires nothing and loses nothing", no_room_expires_nothing_and_loses_nothing},
    {"one call moves a bounded number of timers", one_call_moves_a_bounded_number_of_timers},
    {"clearing all of a moving slot is fine", clearing_all_of_a_moving_slot_is_fine},
    {"a busy timer does not starve others of its tick",
     a_busy_timer_does_not_starve_others_of_its_tick},
    {"time that goes back changes nothing", time_that_goes_back_changes_nothing},
    {"a wheel that grows keeps its timers", a_wheel_that_grows_keeps_its_timers},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "base/wheel", .pSetUpFunc = start_wheel, .pTests = tests},
    CU_SUITE_INFO_NULL,
};
