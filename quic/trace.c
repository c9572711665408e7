/* quic/trace.c - see trace.h. */
#include "quic/trace.h"

#include <string.h>

#include "base/crossing.h"

#define NUMBER_SHIFT 40 /* a tracer's own count of traces is below */

/* What every other record leaves free, so that each trace can end, and others be refused. */
#define ENDS    ((uint32_t)MR_TRACED_MAX * MR_TRACE_END_WORDS)
#define RESERVE (ENDS + (uint32_t)MR_TRACE_REFUSALS * MR_TRACE_ARRIVAL_WORDS)

_Static_assert(RESERVE + 2 * MR_TRACE_RECORD_MAX < MR_TRACE_RING_WORDS,
               "the largest record fits an empty ring");
_Static_assert(MR_TRACE_BODY_MAX <= UINT16_MAX, "its size is 16 bits");
_Static_assert(sizeof(struct mr_trace_head) + sizeof(uint64_t) <= MR_TRACE_END_WORDS * 8,
               "an end has room");
_Static_assert(sizeof(struct mr_trace_head) + sizeof(struct mr_trace_ticket) ==
                   MR_TRACE_ARRIVAL_WORDS * 8,
               "an arrival has room");

void mr_tracer_init(struct mr_tracer *tracer, uint64_t number)
{
    memset(tracer, 0, offsetof(struct mr_tracer, slots));
    tracer->number = number;
    mr_spsc_init(&tracer->ring, tracer->slots, MR_TRACE_RING_WORDS);
}

/* ------------------------------------------------------------------ which connections */

static bool is_in(const uint8_t *ip, const uint8_t *prefix, uint32_t bits)
{
    uint32_t bytes = bits / 8;
    uint8_t rest = (uint8_t)(0xff00u >> bits % 8);

    return memcmp(ip, prefix, bytes) == 0 &&
           (bits % 8 == 0 || ((ip[bytes] ^ prefix[bytes]) & rest) == 0);
}

/* One of those that are counted; relaxed: the count orders nothing. */
static bool count_down(_Atomic uint32_t *next)
{
    uint32_t left = atomic_load_explicit(next, memory_order_relaxed);

    while (left > 0) {
        MR_CROSSING(exchanges, 1);
        if (atomic_compare_exchange_weak_explicit(next, &left, left - 1, memory_order_relaxed,
                                                  memory_order_relaxed))
            return true;
    }
    return false;
}

uint32_t mr_tracer_wants(struct mr_tracer *tracer, const struct mr_addr *peer)
{
    const struct mr_trace_rule *rule = &tracer->rule;

    if (rule->what == 0 ||
        (rule->has_peer && !is_in(peer->ip, rule->peer_ip, MR_MIN(rule->peer_bits, 128))))
        return 0;
    if (rule->next == NULL)
        return rule->what;
    bool is_wanted = tracer->count == MR_TRACED_MAX
                         ? atomic_load_explicit(rule->next, memory_order_relaxed) > 0
                         : count_down(rule->next);
    return is_wanted ? rule->what : 0;
}

uint32_t mr_tracer_begin(struct mr_tracer *tracer, uint32_t what, uint64_t number)
{
    if (mr_spsc_room(&tracer->ring, RESERVE) < RESERVE)
        return MR_NONE;
    for (uint32_t i = 0; i < MR_TRACED_MAX; i++) {
        struct mr_traced *traced = &tracer->traced[i];

        if (traced->what != 0)
            continue;
        *traced = (struct mr_traced){.what = (uint8_t)what, .number = number};
        if (number == 0)
            traced->number = tracer->number << NUMBER_SHIFT | ++tracer->started;
        tracer->count++;
        return i;
    }
    return MR_NONE;
}

/* ------------------------------------------------------------------ writing */

/* Put a record into the ring if `spare` words stay free behind it. */
static bool push(struct mr_tracer *tracer, const struct mr_traced *traced, enum mr_trace_kind kind,
                 struct mr_trace_bytes body, struct mr_trace_bytes more, uint32_t spare)
{
    size_t size = body.size + more.size;
    uint32_t words = (uint32_t)(sizeof(struct mr_trace_head) + size + 7) / 8;
    uint8_t *bytes = (uint8_t *)tracer->record;

    MR_ASSERT(size <= MR_TRACE_BODY_MAX);
    if (mr_spsc_room(&tracer->ring, words + spare) < words + spare)
        return false;
    struct mr_trace_head head = {.words = words,
                                 .kind = (uint16_t)kind,
                                 .size = (uint16_t)size,
                                 .time_ns = tracer->now_ns,
                                 .trace = traced->number};
    tracer->record[words - 1] = 0; /* bytes that nobody writes */
    memcpy(bytes, &head, sizeof(head));
    if (body.size > 0)
        memcpy(bytes + sizeof(head), body.at, body.size);
    if (more.size > 0)
        memcpy(bytes + sizeof(head) + body.size, more.at, more.size);
    return mr_spsc_push(&tracer->ring, tracer->record, words) == words;
}

static const struct mr_trace_bytes nothing = {.size = 0};

bool mr_tracer_write(struct mr_tracer *tracer, uint32_t place, enum mr_trace_kind kind,
                     struct mr_trace_bytes body, struct mr_trace_bytes more)
{
    struct mr_traced *traced = &tracer->traced[place];
    struct mr_trace_bytes lost = {.at = &traced->lost, .size = sizeof(traced->lost)};

    if (traced->lost > 0 && push(tracer, traced, MR_TRACE_LOST, lost, nothing, RESERVE))
        traced->lost = 0;
    if (traced->lost == 0 && push(tracer, traced, kind, body, more, RESERVE))
        return true;
    traced->lost++;
    traced->lost_all++;
    return false;
}

void mr_tracer_end(struct mr_tracer *tracer, uint32_t place, enum mr_trace_end end)
{
    struct mr_traced *traced = &tracer->traced[place];
    uint64_t how = end;
    bool is_told = push(tracer, traced, MR_TRACE_END,
                        (struct mr_trace_bytes){.at = &how, .size = sizeof(how)}, nothing, 0);

    MR_ASSERT(is_told); /* every other record left room */
    traced->what = 0;
    tracer->count--;
}

bool mr_tracer_refuse(struct mr_tracer *tracer, const struct mr_trace_ticket *ticket)
{
    const struct mr_traced gone = {.number = ticket->number};
    struct mr_trace_ticket told = *ticket;

    told.what = 0;
    return push(tracer, &gone, MR_TRACE_ARRIVAL,
                (struct mr_trace_bytes){.at = &told, .size = sizeof(told)}, nothing, ENDS);
}

/* ------------------------------------------------------------------ reading */

bool mr_tracer_read(struct mr_tracer *tracer, uint64_t *record)
{
    struct mr_trace_head head;

    if (mr_spsc_pop(&tracer->ring, record, 1) == 0)
        return false;
    memcpy(&head, record, sizeof(uint64_t)); /* a record is pushed whole */
    MR_ASSERT(head.words >= 3 && head.words <= MR_TRACE_RECORD_MAX);
    uint32_t left = head.words - 1;
    uint32_t popped = mr_spsc_pop(&tracer->ring, record + 1, left);
    MR_ASSERT(popped == left);
    return true;
}
