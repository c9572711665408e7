/*
 * tests/fuzz/fuzz_mtu.c - property test of quic/mtu.h.
 *
 * The input chooses what the path lets through and what either end takes; the rest are steps: a
 * probe's end, time, packets of the full size, what the network says.  The path is honest at
 * first, then changes, then whoever acknowledges and sends ICMP lies.  Properties:
 *   1. what is probed is above what passes, at most the ceiling, and below what does not pass;
 *   2. a search waits for its timer when and only when nothing is probed;
 *   3. on an honest path a search ends within PROBES_MAX, and what it found passes, and is within a
 *      part in MR_MTU_PART of what does;
 *   4. what passes stays between the base and the ceiling, whatever is said.
 */
#include <stddef.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "quic/mtu.h"

#define PROBES_MAX 100
#define LARGEST    9000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *data;
    size_t size;
};

static struct mr_mtu_search search;
static uint32_t mtu;
static uint32_t ceiling;
static uint64_t now;

static uint32_t take(struct input *in)
{
    if (in->size == 0)
        return 0;
    in->size--;
    return *in->data++;
}

static uint32_t take_size(struct input *in)
{
    uint32_t high = take(in);

    return MR_INITIAL_MIN + (high << 8 | take(in)) % (LARGEST - MR_INITIAL_MIN + 1);
}

static void check(void)
{
    MR_ASSERT(mtu >= MR_INITIAL_MIN);
    MR_ASSERT(mtu <= ceiling);
    MR_ASSERT((search.target == 0) == (search.raise_ns != MR_NEVER));
    if (search.target == 0)
        return;
    MR_ASSERT(search.target > mtu);
    MR_ASSERT(search.target <= ceiling);
    MR_ASSERT(search.target < search.high);
    MR_ASSERT(search.tries < MR_MTU_PROBES);
}

/* A search from the base on, as a connection begins one. */
static void fall_to_base(uint32_t up_to)
{
    mtu = MR_INITIAL_MIN;
    mr_mtu_search_begin(&search, mtu, MR_MIN(up_to, ceiling), now);
    check();
}

static void end_probe(bool is_acked)
{
    uint32_t target = search.target;

    if (target == 0)
        return;
    search.is_in_flight = true;
    if (is_acked) {
        mtu = target;
        mr_mtu_search_acked(&search, mtu, now);
    } else {
        mr_mtu_search_lost(&search, mtu, target, now);
    }
    check();
}

static void search_honestly(uint32_t passes)
{
    uint32_t probes = 0;

    while (search.target != 0) {
        end_probe(search.target <= passes);
        MR_ASSERT(++probes <= PROBES_MAX);
    }
    uint32_t best = MR_MIN(passes, ceiling);
    MR_ASSERT(mtu <= best);
    MR_ASSERT(best - mtu <= mtu / MR_MTU_PART);
}

static void raise_if_due(void)
{
    if (search.raise_ns <= now)
        mr_mtu_search_begin(&search, mtu, ceiling, now);
}

static void too_big(uint32_t size)
{
    enum mr_mtu_verdict verdict = mr_mtu_search_too_big(&search, mtu, size, now);

    if (verdict == MR_MTU_SHRUNK)
        fall_to_base(size);
    MR_ASSERT(verdict == MR_MTU_IGNORED || size >= MR_INITIAL_MIN);
}

static void step(struct input *in)
{
    uint32_t op = take(in);

    now += op * MR_SECOND;
    switch (op % 8) {
    case 0:
    case 1:
    case 2:
        end_probe(op >= 128);
        break;
    case 3:
        too_big(MR_MIN(take(in) << 8 | take(in), ceiling));
        break;
    case 4: /* a probe of an earlier search */
        mr_mtu_search_lost(&search, mtu, take_size(in), now);
        break;
    case 5:
        mr_mtu_search_large_acked(&search, take(in));
        break;
    case 6:
        if (mr_mtu_search_large_lost(&search, take(in)))
            fall_to_base(mtu - 1 > MR_INITIAL_MIN ? mtu - 1 : MR_INITIAL_MIN);
        break;
    default:
        raise_if_due();
        break;
    }
    check();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    uint32_t passes = take_size(&in);

    ceiling = take_size(&in);
    now = MR_SECOND;
    mr_mtu_search_init(&search);
    fall_to_base(ceiling);
    search_honestly(passes);
    uint32_t now_passes = take_size(&in);
    if (mtu > now_passes)
        fall_to_base(mtu - 1);
    now = MR_MAX(now, search.raise_ns);
    raise_if_due();
    search_honestly(MR_MAX(now_passes, mtu));
    while (in.size > 0)
        step(&in);
    return 0;
}
