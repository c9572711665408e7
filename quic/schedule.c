/* quic/schedule.c - see schedule.h. */
#include "quic/schedule.h"

#include "base/assert.h"
#include "base/compiler.h"

_Static_assert(MR_URGENCIES <= 8, "a bit each in mr_schedule.rings");
_Static_assert(sizeof(struct mr_schedule) <= 48, "a connection has one");

static struct mr_stream *at(const struct mr_pool *streams, uint32_t index)
{
    return mr_pool_at(streams, index);
}

/* ------------------------------------------------------------------ the ordered ones: a heap */

/* A node's first child is send_child; its siblings follow through send_next; send_previous is the
 * sibling before it, or of a first child the parent, or MR_NONE of the root. */

static bool goes_before(const struct mr_stream *a, const struct mr_stream *b)
{
    return a->urgency != b->urgency ? a->urgency < b->urgency : a->id < b->id;
}

/* One heap of two roots, MR_NONE: empty. */
static uint32_t meld(const struct mr_pool *streams, uint32_t one, uint32_t other)
{
    if (one == MR_NONE || other == MR_NONE)
        return one == MR_NONE ? other : one;
    if (goes_before(at(streams, other), at(streams, one))) {
        uint32_t swapped = one;
        one = other;
        other = swapped;
    }
    struct mr_stream *parent = at(streams, one);
    struct mr_stream *child = at(streams, other);

    child->send_next = parent->send_child;
    if (child->send_next != MR_NONE)
        at(streams, child->send_next)->send_previous = other;
    child->send_previous = one;
    parent->send_child = other;
    return one;
}

/* Take the first sibling off a list of them: a root of its own. */
static uint32_t take_sibling(const struct mr_pool *streams, uint32_t *list)
{
    uint32_t index = *list;

    if (index != MR_NONE) {
        *list = at(streams, index)->send_next;
        at(streams, index)->send_next = at(streams, index)->send_previous = MR_NONE;
    }
    return index;
}

/* One heap of a list of siblings: in pairs from the first on, then those from the last on. */
static uint32_t meld_siblings(const struct mr_pool *streams, uint32_t list)
{
    uint32_t pairs = MR_NONE;
    uint32_t root = MR_NONE;

    while (list != MR_NONE) {
        uint32_t first = take_sibling(streams, &list);
        uint32_t pair = meld(streams, first, take_sibling(streams, &list));

        at(streams, pair)->send_next = pairs;
        pairs = pair;
    }
    while (pairs != MR_NONE)
        root = meld(streams, root, take_sibling(streams, &pairs));
    return root;
}

static void heap_remove(struct mr_schedule *s, const struct mr_pool *streams,
                        struct mr_stream *stream)
{
    uint32_t children = meld_siblings(streams, stream->send_child);

    if (s->ordered == stream->index) {
        s->ordered = children;
        return;
    }
    struct mr_stream *before = at(streams, stream->send_previous);
    if (before->send_child == stream->index)
        before->send_child = stream->send_next;
    else
        before->send_next = stream->send_next;
    if (stream->send_next != MR_NONE)
        at(streams, stream->send_next)->send_previous = stream->send_previous;
    s->ordered = meld(streams, s->ordered, children);
}

/* ------------------------------------------------------------------ the incremental ones: rings */

static void ring_add(struct mr_schedule *s, const struct mr_pool *streams, struct mr_stream *stream)
{
    uint32_t *last = &s->ring[stream->urgency];
    uint8_t bit = (uint8_t)(1u << stream->urgency);

    stream->send_next = stream->send_previous = stream->index;
    if ((s->rings & bit) != 0) {
        struct mr_stream *before = at(streams, *last);

        stream->send_next = before->send_next;
        stream->send_previous = before->index;
        at(streams, before->send_next)->send_previous = stream->index;
        before->send_next = stream->index;
    }
    s->rings |= bit;
    *last = stream->index;
}

static void ring_remove(struct mr_schedule *s, const struct mr_pool *streams,
                        struct mr_stream *stream)
{
    uint32_t *last = &s->ring[stream->urgency];

    if (stream->send_next == stream->index) {
        s->rings &= (uint8_t) ~(1u << stream->urgency);
        return;
    }
    at(streams, stream->send_previous)->send_next = stream->send_next;
    at(streams, stream->send_next)->send_previous = stream->send_previous;
    if (*last == stream->index)
        *last = stream->send_previous;
}

/* ------------------------------------------------------------------ both */

/* Find out whose turn it is. */
static void choose(struct mr_schedule *s, const struct mr_pool *streams)
{
    uint32_t of_rings = s->rings == 0 ? MR_URGENCIES : (uint32_t)__builtin_ctz(s->rings);
    uint32_t of_ordered = s->ordered == MR_NONE ? MR_URGENCIES : at(streams, s->ordered)->urgency;
    bool is_ring = of_rings == of_ordered ? s->is_rings_turn : of_rings < of_ordered;

    if (of_rings == MR_URGENCIES || !is_ring)
        s->head = s->ordered;
    else
        s->head = at(streams, s->ring[of_rings])->send_next;
}

void mr_schedule_init(struct mr_schedule *schedule)
{
    *schedule = (struct mr_schedule){.head = MR_NONE, .ordered = MR_NONE};
}

void mr_schedule_add(struct mr_schedule *schedule, const struct mr_pool *streams,
                     struct mr_stream *stream)
{
    MR_DASSERT(!stream->is_sendable);
    stream->is_sendable = true;
    stream->send_child = MR_NONE;
    if (stream->is_incremental) {
        ring_add(schedule, streams, stream);
    } else {
        stream->send_next = stream->send_previous = MR_NONE;
        schedule->ordered = meld(streams, schedule->ordered, stream->index);
    }
    choose(schedule, streams);
}

void mr_schedule_remove(struct mr_schedule *schedule, const struct mr_pool *streams,
                        struct mr_stream *stream)
{
    MR_DASSERT(stream->is_sendable);
    stream->is_sendable = false;
    if (stream->is_incremental)
        ring_remove(schedule, streams, stream);
    else
        heap_remove(schedule, streams, stream);
    stream->send_next = stream->send_previous = stream->send_child = MR_NONE;
    choose(schedule, streams);
}

void mr_schedule_next(struct mr_schedule *schedule, const struct mr_pool *streams,
                      struct mr_stream *stream)
{
    if (schedule->head != stream->index)
        return;
    if (stream->is_incremental)
        schedule->ring[stream->urgency] = stream->index;
    schedule->is_rings_turn = !stream->is_incremental;
    choose(schedule, streams);
}

void mr_schedule_set_priority(struct mr_schedule *schedule, const struct mr_pool *streams,
                              struct mr_stream *stream, struct mr_priority priority)
{
    bool was_in = stream->is_sendable;

    MR_ASSERT(priority.urgency < MR_URGENCIES);
    if (stream->urgency == priority.urgency && stream->is_incremental == priority.is_incremental)
        return;
    if (was_in)
        mr_schedule_remove(schedule, streams, stream);
    stream->urgency = priority.urgency;
    stream->is_incremental = priority.is_incremental;
    if (was_in)
        mr_schedule_add(schedule, streams, stream);
}

/* ------------------------------------------------------------------ invariants */

static void check_ring(const struct mr_schedule *s, const struct mr_pool *streams, uint8_t urgency)
{
    uint32_t index = s->ring[urgency];
    uint32_t count = 0;

    do {
        const struct mr_stream *stream = at(streams, index);
        MR_ASSERT(stream->is_sendable);
        MR_ASSERT(stream->is_incremental);
        MR_ASSERT(stream->urgency == urgency);
        MR_ASSERT(at(streams, stream->send_next)->send_previous == index);
        MR_ASSERT(++count <= streams->used);
        index = stream->send_next;
    } while (index != s->ring[urgency]);
}

/* The next node, parents first; MR_NONE: that was the last. */
static uint32_t next_node(const struct mr_pool *streams, uint32_t index)
{
    const struct mr_stream *node = at(streams, index);

    if (node->send_child != MR_NONE)
        return node->send_child;
    while (node->send_next == MR_NONE) { /* up: along the siblings to the first, then its parent */
        uint32_t below = node->index;
        if (node->send_previous == MR_NONE)
            return MR_NONE;
        node = at(streams, node->send_previous);
        while (node->send_child != below) {
            below = node->index;
            node = at(streams, node->send_previous);
        }
    }
    return node->send_next;
}

void mr_schedule_check(const struct mr_schedule *schedule, const struct mr_pool *streams)
{
    struct mr_schedule chosen = *schedule;
    uint32_t count = 0;

    for (uint8_t u = 0; u < MR_URGENCIES; u++) {
        if ((schedule->rings & 1u << u) != 0)
            check_ring(schedule, streams, u);
    }
    for (uint32_t i = schedule->ordered; i != MR_NONE; i = next_node(streams, i)) {
        const struct mr_stream *node = at(streams, i);
        MR_ASSERT(node->is_sendable);
        MR_ASSERT(!node->is_incremental);
        MR_ASSERT(++count <= streams->used);
        for (uint32_t c = node->send_child; c != MR_NONE; c = at(streams, c)->send_next)
            MR_ASSERT(goes_before(node, at(streams, c)));
    }
    choose(&chosen, streams);
    MR_ASSERT(chosen.head == schedule->head);
}
