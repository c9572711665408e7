/*
 * fuzz/fuzz_schedule.c - property test of quic/schedule.h against plain rules.
 *
 * The input is a program of two-byte steps: streams get something to send, send a turn, run out of
 * data at their turn or anywhere, and change their priority.  Properties:
 *   1. the schedule's invariants hold after every step;
 *   2. the head is of the lowest urgency that has a stream, and none only if there is no stream;
 *   3. a head that is not incremental has the lowest ID of its kind and urgency;
 *   4. between two turns of an incremental stream every other one that was there all the time, of
 *      its urgency and incremental, has one;
 *   5. where both kinds wait, no kind has two turns in a row.
 */
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "quic/schedule.h"

enum {
    STREAMS = 32
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static _Alignas(MR_CACHE_LINE) uint8_t memory[STREAMS * (sizeof(struct mr_stream) + MR_CACHE_LINE)];

struct world {
    struct mr_pool pool;
    struct mr_schedule schedule;
    uint32_t waits[STREAMS]; /* bit s: s has had a turn since this stream's last, or came since */
    int last_kind[MR_URGENCIES]; /* of the turn before, where both kinds waited; -1: none */
};

static struct mr_stream *stream_at(struct world *w, uint32_t index)
{
    return mr_pool_at(&w->pool, index);
}

static bool has_kind(struct world *w, uint8_t urgency, bool is_incremental)
{
    for (uint32_t i = 0; i < STREAMS; i++) {
        const struct mr_stream *s = stream_at(w, i);
        if (s->is_sendable && s->urgency == urgency && s->is_incremental == is_incremental)
            return true;
    }
    return false;
}

static void check_head(struct world *w)
{
    const struct mr_stream *head =
        w->schedule.head == MR_NONE ? NULL : stream_at(w, w->schedule.head);

    mr_schedule_check(&w->schedule, &w->pool);
    MR_ASSERT(head == NULL || head->is_sendable);
    for (uint32_t i = 0; i < STREAMS; i++) {
        const struct mr_stream *s = stream_at(w, i);
        if (!s->is_sendable)
            continue;
        MR_ASSERT(head != NULL);
        MR_ASSERT(head->urgency <= s->urgency);
        if (!head->is_incremental && !s->is_incremental && head->urgency == s->urgency)
            MR_ASSERT(head->id <= s->id);
    }
}

/* A stream comes or goes: nobody owes it a turn, and it owes none. */
static void forget(struct world *w, uint32_t index)
{
    for (uint32_t i = 0; i < STREAMS; i++)
        w->waits[i] |= UINT32_C(1) << index;
    w->waits[index] = UINT32_MAX;
    for (int u = 0; u < MR_URGENCIES; u++)
        w->last_kind[u] = -1;
}

static void turn(struct world *w)
{
    struct mr_stream *head = stream_at(w, w->schedule.head);
    uint8_t u = head->urgency;

    if (has_kind(w, u, true) && has_kind(w, u, false)) {
        MR_ASSERT(w->last_kind[u] != head->is_incremental);
        w->last_kind[u] = head->is_incremental;
    }
    if (head->is_incremental) {
        for (uint32_t i = 0; i < STREAMS; i++) {
            const struct mr_stream *s = stream_at(w, i);
            if (i != head->index && s->is_sendable && s->is_incremental && s->urgency == u)
                MR_ASSERT((w->waits[head->index] & UINT32_C(1) << i) != 0);
            w->waits[i] |= UINT32_C(1) << head->index;
        }
        w->waits[head->index] = 0;
    }
    mr_schedule_turn(&w->schedule, &w->pool, head);
}

static void step(struct world *w, uint8_t op, uint8_t argument)
{
    struct mr_stream *s = stream_at(w, argument % STREAMS);
    struct mr_priority priority = {.urgency = op / 8 % 4, .is_incremental = argument >= 128};

    switch (op % 8) {
    case 0:
    case 1:
    case 2:
        if (w->schedule.head != MR_NONE)
            turn(w);
        break;
    case 3:
        if (w->schedule.head == MR_NONE)
            break;
        s = stream_at(w, w->schedule.head);
        mr_schedule_remove(&w->schedule, &w->pool, s);
        forget(w, s->index);
        break;
    case 4:
        mr_schedule_set_priority(&w->schedule, &w->pool, s, priority);
        forget(w, s->index);
        break;
    case 5:
        if (s->is_sendable)
            mr_schedule_remove(&w->schedule, &w->pool, s);
        forget(w, s->index);
        break;
    default:
        if (!s->is_sendable)
            mr_schedule_add(&w->schedule, &w->pool, s);
        forget(w, s->index);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = {0};

    mr_pool_init(&w.pool, memory, STREAMS, sizeof(struct mr_stream), MR_CACHE_LINE);
    mr_schedule_init(&w.schedule);
    for (uint32_t i = 0; i < STREAMS; i++) {
        uint32_t index = mr_pool_get(&w.pool);
        *stream_at(&w, index) = (struct mr_stream){.id = (uint64_t)(index * 7 % STREAMS) * 4,
                                                   .index = index,
                                                   .urgency = MR_URGENCY_DEFAULT,
                                                   .is_incremental = true};
        forget(&w, index);
    }
    for (size_t i = 0; i + 2 <= size; i += 2) {
        step(&w, data[i], data[i + 1]);
        check_head(&w);
    }
    return 0;
}
