/* drivers/wire_impair.c - see wire_impair.h. */
#include "drivers/wire_impair.h"

#include <stddef.h>

#include "base/assert.h"
#include "base/compiler.h"

#define NS_PER_SECOND      1e9
#define QUEUE_DEFAULT_NS   100e6 /* of rate */
#define QUEUE_MIN_BYTES    65536.0
#define REORDER_DEFAULT_NS UINT64_C(1000000)
#define ONE                4294967296.0 /* certainty, in 2^-32 */

bool mr_impairment_is_any(const struct mr_wire_impairment *what)
{
    return what->rate_bps > 0 || what->delay_ns > 0 || what->jitter_ns > 0 || what->loss > 0 ||
           what->duplicate > 0 || what->corrupt > 0 || what->reorder > 0;
}

static double backlog_max(const struct mr_wire_impairment *what, double ns_per_byte)
{
    if (what->queue_bytes > 0)
        return what->queue_bytes * ns_per_byte;
    return MR_MAX(QUEUE_DEFAULT_NS, QUEUE_MIN_BYTES * ns_per_byte);
}

void mr_impair_init(struct mr_impair *impair, const struct mr_wire_impairment *what, uint32_t share,
                    uint64_t seed)
{
    *impair = (struct mr_impair){
        .delay_ns = what->delay_ns,
        .jitter_ns = what->jitter_ns,
        .reorder_ns = what->reorder_ns > 0 ? what->reorder_ns : REORDER_DEFAULT_NS,
        .loss = (uint64_t)(what->loss * ONE),
        .duplicate = (uint64_t)(what->duplicate * ONE),
        .corrupt = (uint64_t)(what->corrupt * ONE),
        .reorder = (uint64_t)(what->reorder * ONE),
    };
    mr_random_init_number(&impair->random, seed);
    if (what->rate_bps > 0) {
        double ns_per_byte = 8 * NS_PER_SECOND / (double)what->rate_bps;

        impair->backlog_max_ns =
            backlog_max(what, ns_per_byte); /* share of queue at share of rate: the same time */
        impair->ns_per_byte = ns_per_byte * share;
    }
}

/* Draws only where a probability asks for it, so that one impairment does not move another's dice.
 */
static bool happens(struct mr_impair *impair, uint64_t probability)
{
    return probability > 0 && mr_random_u64(&impair->random) >> 32 < probability;
}

/* When the frame has left the sender, behind all that waits; false: no room to wait. */
static bool transmit(struct mr_impair *impair, uint32_t size, uint64_t now, uint64_t *left_out)
{
    double start = MR_MAX(impair->free_at_ns, (double)now);

    *left_out = now;
    if (impair->ns_per_byte == 0)
        return true;
    if (start - (double)now > impair->backlog_max_ns)
        return false;
    impair->free_at_ns = start + (size + MR_WIRE_FRAME_OVERHEAD) * impair->ns_per_byte;
    *left_out = (uint64_t)impair->free_at_ns;
    return true;
}

static uint64_t travel_ns(struct mr_impair *impair)
{
    uint64_t jitter =
        impair->jitter_ns > 0 ? mr_random_below(&impair->random, impair->jitter_ns + 1) : 0;

    return impair->delay_ns + jitter;
}

enum mr_impair_verdict mr_impair_next(struct mr_impair *impair, uint32_t size, uint64_t now,
                                      struct mr_impair_fate *fate_out)
{
    uint64_t left;

    if (!transmit(impair, size, now, &left))
        return MR_IMPAIR_OVERFLOWED;
    if (happens(impair, impair->loss))
        return MR_IMPAIR_LOST;

    *fate_out = (struct mr_impair_fate){.due_ns = left + travel_ns(impair)};
    if (happens(impair, impair->reorder)) {
        fate_out->is_reordered = true;
        fate_out->due_ns += impair->reorder_ns;
    }
    if (happens(impair, impair->duplicate)) {
        fate_out->has_duplicate = true;
        fate_out->duplicate_due_ns = left + travel_ns(impair);
    }
    if (happens(impair, impair->corrupt)) {
        fate_out->is_corrupted = true;
        fate_out->flipped_bit = (uint32_t)mr_random_below(&impair->random, (uint64_t)size * 8);
    }
    return MR_IMPAIR_DELIVER;
}

static bool is_earlier(const struct mr_delayed *a, const struct mr_delayed *b)
{
    return a->due_ns < b->due_ns || (a->due_ns == b->due_ns && a->order < b->order);
}

bool mr_delay_push(struct mr_delay *delay, void *frame, uint64_t due_ns)
{
    struct mr_delayed late = {.due_ns = due_ns, .order = delay->pushed, .frame = frame};

    if (delay->count == delay->count_max)
        return false;
    delay->pushed++;

    uint32_t at = delay->count++;
    while (at > 0 && is_earlier(&late, &delay->heap[(at - 1) / 2])) {
        delay->heap[at] = delay->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    delay->heap[at] = late;
    return true;
}

/* Fill the hole on top with `last`, moving earlier children up. */
static void sift_down(struct mr_delay *delay, struct mr_delayed last)
{
    uint32_t at = 0;

    for (;;) {
        uint32_t child = 2 * at + 1;

        if (child + 1 < delay->count && is_earlier(&delay->heap[child + 1], &delay->heap[child]))
            child++;
        if (child >= delay->count || !is_earlier(&delay->heap[child], &last))
            break;
        delay->heap[at] = delay->heap[child];
        at = child;
    }
    delay->heap[at] = last;
}

void *mr_delay_pop(struct mr_delay *delay, uint64_t now)
{
    if (delay->count == 0 || delay->heap[0].due_ns > now)
        return NULL;

    void *frame = delay->heap[0].frame;
    delay->count--;
    if (delay->count > 0)
        sift_down(delay, delay->heap[delay->count]);
    return frame;
}

void mr_delay_check(const struct mr_delay *delay)
{
    MR_ASSERT(delay->count <= delay->count_max);
    for (uint32_t i = 1; i < delay->count; i++)
        MR_ASSERT(!is_earlier(&delay->heap[i], &delay->heap[(i - 1) / 2]));
}
