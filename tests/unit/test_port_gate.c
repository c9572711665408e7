/* tests/unit/test_port_gate.c - the contract of drivers/port_gate.h. */
#include "drivers/port_gate.h"

#include <pthread.h>

#include "tests/unit/harness.h"

enum {
    QUEUES = 2,
    ROUNDS = 200
};

static struct mr_port_gate gate;

static void it_is_closed_until_it_is_opened(void)
{
    gate = (struct mr_port_gate){0};
    CU_ASSERT_FALSE(mr_port_gate_is_open(&gate));
    CU_ASSERT_FALSE(mr_port_gate_enter(&gate, 0));
    mr_port_gate_open(&gate);
    CU_ASSERT_TRUE(mr_port_gate_is_open(&gate));
    CU_ASSERT_TRUE(mr_port_gate_enter(&gate, 0));
    CU_ASSERT_TRUE(mr_port_gate_enter(&gate, MR_PORT_GATE_QUEUES - 1));
    mr_port_gate_leave(&gate, 0);
    mr_port_gate_leave(&gate, MR_PORT_GATE_QUEUES - 1);
    mr_port_gate_close(&gate);
    CU_ASSERT_FALSE(mr_port_gate_is_open(&gate));
    CU_ASSERT_FALSE(mr_port_gate_enter(&gate, 0));
}

/* ---- threads ---- */

static struct {
    uint64_t memory[QUEUES]; /* not atomic: the gate guards it, and ThreadSanitizer looks */
    bool is_there;
    atomic_bool is_over;
    atomic_uint bursts[QUEUES];
    atomic_uint in_vain[QUEUES];
} shared;

static void *poll_queue(void *argument)
{
    uint16_t queue = *(const uint16_t *)argument;

    while (!atomic_load_explicit(&shared.is_over, memory_order_relaxed)) {
        if (!mr_port_gate_enter(&gate, queue))
            continue;
        if (!shared.is_there)
            atomic_fetch_add_explicit(&shared.in_vain[queue], 1, memory_order_relaxed);
        shared.memory[queue]++;
        atomic_fetch_add_explicit(&shared.bursts[queue], 1, memory_order_relaxed);
        mr_port_gate_leave(&gate, queue);
    }
    return NULL;
}

/* Let both queues have a burst, or more. */
static void let_in(void)
{
    uint32_t before[QUEUES];

    for (int q = 0; q < QUEUES; q++)
        before[q] = atomic_load_explicit(&shared.bursts[q], memory_order_relaxed);
    shared.is_there = true;
    mr_port_gate_open(&gate);
    for (int q = 0; q < QUEUES; q++)
        while (atomic_load_explicit(&shared.bursts[q], memory_order_relaxed) == before[q])
            (void)nanosleep(&(struct timespec){.tv_nsec = 1000}, NULL);
}

static void nobody_is_inside_when_it_is_closed(void)
{
    static uint16_t queues[QUEUES] = {0, 1};
    pthread_t threads[QUEUES];

    gate = (struct mr_port_gate){0};
    for (int q = 0; q < QUEUES; q++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[q], NULL, poll_queue, &queues[q]), 0);
    for (int round = 0; round < ROUNDS; round++) {
        let_in();
        mr_port_gate_close(&gate);
        shared.is_there = false;
        for (int q = 0; q < QUEUES; q++)
            shared.memory[q] = 0;
    }
    atomic_store_explicit(&shared.is_over, true, memory_order_relaxed);
    for (int q = 0; q < QUEUES; q++) {
        pthread_join(threads[q], NULL);
        CU_ASSERT_EQUAL(shared.in_vain[q], 0);
        CU_ASSERT_EQUAL(shared.memory[q], 0);
        CU_ASSERT_TRUE(shared.bursts[q] >= ROUNDS);
    }
}

static void *close_gate(void *is_closed)
{
    mr_port_gate_close(&gate);
    atomic_store_explicit((atomic_bool *)is_closed, true, memory_order_release);
    return NULL;
}

static void closing_waits_for_who_is_inside(void)
{
    atomic_bool is_closed = false;
    pthread_t closer;

    gate = (struct mr_port_gate){0};
    mr_port_gate_open(&gate);
    CU_ASSERT_TRUE(mr_port_gate_enter(&gate, 5));
    CU_ASSERT_EQUAL_FATAL(pthread_create(&closer, NULL, close_gate, &is_closed), 0);
    while (mr_port_gate_is_open(&gate))
        (void)nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    (void)nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    CU_ASSERT_FALSE(atomic_load_explicit(&is_closed, memory_order_acquire));
    CU_ASSERT_FALSE(mr_port_gate_enter(&gate, 4));
    mr_port_gate_leave(&gate, 5);
    pthread_join(closer, NULL);
    CU_ASSERT_TRUE(is_closed);
}

static CU_TestInfo tests[] = {
    {"it is closed until it is opened", it_is_closed_until_it_is_opened},
    {"nobody is inside when it is closed", nobody_is_inside_when_it_is_closed},
    {"closing waits for who is inside", closing_waits_for_who_is_inside},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "drivers/port_gate", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
