/*
 * tests/fuzz/fuzz_wheel.c - property test of base/wheel.h against a model.
 *
 * The input is a program of four-byte steps: set, clear, let time pass, expire.  Delays and
 * jumps of time are drawn over all powers of two, around the widths of the wheel's levels;
 * many timers share a deadline, so that slots move down in several calls.  The model is an
 * array of deadlines.  Properties:
 *   1. a timer that expires was set, and its deadline has passed (never early);
 *   2. when mr_wheel_next() is later than now, no timer is left whose deadline lies a tick
 *      or more behind (never lost, late by less than a tick);
 *   3. mr_wheel_next() is at most a tick later than the earliest deadline;
 *   4. one call returns at most as many as there is room for;
 *   5. the wheel's invariants hold after each step.
 */
#include <stdint.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "base/wheel.h"

enum {
    COUNT = 600, /* more than MR_WHEEL_MOVES_MAX */
    STEP = 4
};

_Static_assert(COUNT > 2 * MR_WHEEL_MOVES_MAX, "slots must move down in several calls");

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mr_wheel wheel;
static struct mr_wheel_node nodes[COUNT];
static uint64_t model[COUNT]; /* deadlines; UINT64_MAX: not set */
static uint64_t now;

/* 0, or about a power of two up to 2^limit ns; saturates with `from`. */
static uint64_t after(uint64_t from, uint8_t power, uint8_t detail, uint32_t limit)
{
    uint64_t delay = (UINT64_C(1) << power % limit) + detail * (UINT64_C(1) << power % limit >> 7);

    if (detail == 0)
        delay = 0;
    return delay > UINT64_MAX - from ? UINT64_MAX : from + delay;
}

static void set(uint32_t index, uint64_t deadline)
{
    mr_wheel_set(&wheel, index, deadline);
    model[index] = deadline > MR_WHEEL_DEADLINE_MAX ? UINT64_MAX : deadline;
}

static void expire(uint32_t room)
{
    uint32_t out[COUNT];
    uint32_t n = mr_wheel_expire(&wheel, out, room, now);

    MR_ASSERT(n <= room);
    for (uint32_t i = 0; i < n; i++) {
        MR_ASSERT(out[i] < COUNT);
        MR_ASSERT(model[out[i]] <= now); /* UINT64_MAX: it was not set */
        model[out[i]] = UINT64_MAX;
    }
}

static void check(void)
{
    uint64_t next = mr_wheel_next(&wheel);
    uint64_t earliest = UINT64_MAX;

    mr_wheel_check(&wheel);
    for (uint32_t i = 0; i < COUNT; i++) {
        MR_ASSERT(mr_wheel_deadline(&wheel, i) == model[i]);
        earliest = MR_MIN(earliest, model[i]);
    }
    if (earliest == UINT64_MAX) {
        MR_ASSERT(next == UINT64_MAX);
        return;
    }
    MR_ASSERT(next < earliest || next - earliest < MR_WHEEL_TICK_NS || next <= now);
    if (next > now)
        MR_ASSERT(earliest > now || now - earliest < MR_WHEEL_TICK_NS);
}

static void step(const uint8_t *data)
{
    uint32_t index = data[1] * 7u % COUNT;

    if (data[0] < 110) {
        set(index, after(now, data[2], data[3], data[0] < 80 ? 34 : 64));
    } else if (data[0] < 120) { /* many at one time */
        uint64_t deadline = after(now, data[2], data[3] | 1, 40);
        for (uint32_t i = 0; i < COUNT; i += 1 + data[1] % 4)
            set(i, deadline);
    } else if (data[0] < 130) {
        set(index, now - MR_MIN(now, (uint64_t)data[2] << 14)); /* in the past */
    } else if (data[0] < 160) {
        mr_wheel_clear(&wheel, index);
        model[index] = UINT64_MAX;
    } else if (data[0] < 200) {
        now = after(now, data[2], data[3], data[0] < 198 ? 30 : 62);
    } else if (data[0] < 215) { /* sleep exactly until there is something to do */
        uint64_t next = mr_wheel_next(&wheel);
        if (next != UINT64_MAX)
            now = MR_MAX(now, next);
    } else {
        expire(data[0] % 4 == 0 ? COUNT : data[1] % 40);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    now = size > 0 ? (uint64_t)data[0] << 37 | data[0] : 0;
    mr_wheel_init(&wheel, nodes, COUNT, now);
    for (uint32_t i = 0; i < COUNT; i++)
        model[i] = UINT64_MAX;

    for (; size >= STEP; data += STEP, size -= STEP) {
        step(data);
        if (data[3] % 32 == 0)
            check();
    }

    while (mr_wheel_next(&wheel) <=
           now) /* whatever is due comes out in a bounded number of calls */
        expire(32);
    check();
    return 0;
}
