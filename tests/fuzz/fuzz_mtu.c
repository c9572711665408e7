/*
 * fuzz/fuzz_mtu.c - property test of quic/mtu.h against a path.
 *
 * The input is a path's MTU, what both ends take, changes and messages that may lie.  Properties:
 *   1. a size that is probed is above what passes, below what does not, and within the ceiling;
 *   2. a search runs, or a time is set for the next;
 *   3. what a message says never raises anything, and below 1,200 bytes changes nothing;
 *   4. a search that nobody disturbs ends, within a part in MR_MTU_PART of the path, and finds the
 *      ceiling if it passes;
 *   5. large packets that are lost in a row are a black hole, and only they.
 */
#include "quic/mtu.h"

#include "base/assert.h"
#include "base/compiler.h"
#include "quic/wire_fields.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    STEPS_MAX = 400, /* of a search */
    BASE = MR_INITIAL_MIN,
    TOP = 9000,
};

struct path {
    struct mr_mtu_search search;
    uint32_t mtu; /* that was found */
    uint32_t ceiling;
    uint32_t truth; /* what passes */
    uint32_t losses;
    uint64_t pn;
    uint64_t now;
};

static void check(const struct path *p)
{
    const struct mr_mtu_search *s = &p->search;

    MR_ASSERT(s->target == 0 || (s->target > p->mtu && s->target < s->high));
    MR_ASSERT(s->high <= p->ceiling + 1);
    MR_ASSERT((s->target != 0) == (s->raise_ns == MR_NEVER));
    MR_ASSERT(s->tries < MR_MTU_PROBES);
}

static void begin(struct path *p)
{
    mr_mtu_search_begin(&p->search, p->mtu, p->ceiling, p->now);
    p->losses = 0;
    check(p);
}

static void probe(struct path *p)
{
    uint32_t size = p->search.target;
    bool goes_on;

    p->search.is_in_flight = true;
    if (size <= p->truth) {
        p->mtu = size;
        goes_on = mr_mtu_search_acked(&p->search, p->mtu, p->now);
    } else {
        goes_on = mr_mtu_search_lost(&p->search, p->mtu, size, p->now);
    }
    MR_ASSERT(goes_on == (p->search.target != 0));
    check(p);
}

static void tell(struct path *p, uint32_t size)
{
    struct mr_mtu_search before = p->search;
    enum mr_mtu_verdict verdict = mr_mtu_search_too_big(&p->search, p->mtu, size, p->now);

    MR_ASSERT(size >= BASE || verdict == MR_MTU_IGNORED);
    MR_ASSERT(p->search.high <= before.high);
    if (verdict == MR_MTU_IGNORED)
        MR_ASSERT(p->search.high == before.high && p->search.target == before.target);
    if (verdict == MR_MTU_SHRUNK) {
        MR_ASSERT(size < p->mtu);
        p->mtu = BASE;
        p->ceiling = MR_MAX(size, (uint32_t)BASE);
        begin(p);
    }
    check(p);
}

static void lose_large(struct path *p)
{
    bool is_hole = mr_mtu_search_large_lost(&p->search, ++p->pn);

    MR_ASSERT(is_hole == (++p->losses >= MR_MTU_HOLE_LOSSES));
    if (!is_hole)
        return;
    p->mtu = BASE;
    begin(p);
}

static void pass_large(struct path *p)
{
    mr_mtu_search_large_acked(&p->search, ++p->pn);
    p->losses = 0;
    MR_ASSERT(!mr_mtu_search_large_lost(&p->search, p->pn - 1)); /* an old one */
}

/* Property 4. */
static void finish(struct path *p)
{
    uint32_t steps = 0;

    p->truth = MR_MAX(p->truth, p->mtu);
    begin(p);
    while (p->search.target != 0) {
        probe(p);
        MR_ASSERT(++steps < STEPS_MAX);
    }
    uint32_t best = MR_MIN(p->truth, p->ceiling);
    MR_ASSERT(p->mtu <= best);
    MR_ASSERT(best - p->mtu <= p->mtu / MR_MTU_PART);
    MR_ASSERT(p->truth < p->ceiling || p->mtu == best);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mr_reader input = mr_reader(data, size);
    struct path p = {.mtu = BASE, .now = MR_SECOND};

    p.ceiling = BASE + mr_read_u16(&input) % (TOP - BASE);
    p.truth = BASE + mr_read_u16(&input) % (TOP - BASE);
    mr_mtu_search_init(&p.search);
    begin(&p);
    while (mr_reader_left(&input) >= 3) {
        uint8_t op = mr_read_u8(&input);
        uint16_t value = mr_read_u16(&input);

        p.now += MR_MS;
        if (op < 160 && p.search.target != 0)
            probe(&p);
        else if (op < 180)
            lose_large(&p);
        else if (op < 200)
            pass_large(&p);
        else if (op < 220)
            tell(&p, value % (TOP + 500));
        else if (op < 230)
            p.truth = BASE + value % (TOP - BASE);
        else
            begin(&p);
        check(&p);
    }
    finish(&p);
    return 0;
}
