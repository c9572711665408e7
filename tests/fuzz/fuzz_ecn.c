/*
 * fuzz/fuzz_ecn.c - property test of quic/ecn.h.
 *
 * The input is packets, what becomes of them and of their marks, and ACK frames, of which some lie.
 * Properties:
 *   1. the invariants hold after every step, and what goes out has a mark only while TESTING or
 *      CAPABLE;
 *   2. states follow each other as ecn.h draws them; FAILED and OFF are for good;
 *   3. what was reported never falls, and is never more than was sent;
 *   4. of what an ACK frame brings, no more is CE than there is;
 *   5. CAPABLE is a path on which a mark has arrived as it was sent; FAILED for loss, one on which
 *      all were lost;
 *   6. an honest peer behind a path that takes no mark off never makes it FAILED, but by losing
 *      all, or by CE on all.
 */
#include "quic/ecn.h"

#include "base/assert.h"
#include "quic/wire_fields.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    struct mr_ecn_path ecn;
    struct mr_ecn_reports reports;
    uint64_t out;     /* marked packets under way */
    uint64_t ect, ce; /* as an honest peer counts them */
    bool has_lied;
    bool has_any_loss;
};

static bool may_follow(uint8_t before, uint8_t after)
{
    switch (before) {
    case MR_ECN_TESTING:
        return after == MR_ECN_UNKNOWN || after == MR_ECN_FAILED;
    case MR_ECN_UNKNOWN:
        return after == MR_ECN_CAPABLE || after == MR_ECN_FAILED;
    case MR_ECN_CAPABLE:
        return after == MR_ECN_FAILED;
    default:
        return false;
    }
}

static void check(const struct world *w, uint8_t before)
{
    mr_ecn_check(&w->ecn);
    MR_ASSERT(w->ecn.state == before || may_follow(before, w->ecn.state));
    MR_ASSERT(w->reports.ect + w->reports.ce <= w->reports.sent);
    if (w->ecn.state == MR_ECN_FAILED && !w->has_lied)
        MR_ASSERT(w->has_any_loss || (w->ect == 0 && w->ce > 0));
}

static void send(struct world *w, uint32_t count)
{
    if (w->ecn.mark == MR_ECN_NOT_ECT)
        return;
    w->reports.sent += count;
    w->out += count;
    if (w->ecn.state == MR_ECN_TESTING)
        mr_ecn_on_test_sent(&w->ecn, count, true);
}

/* `count` of those under way are acknowledged, `ce` of them with CE. */
static void acknowledge(struct world *w, uint64_t count, uint64_t ce, uint8_t lie)
{
    struct mr_ecn_reports before = w->reports;
    struct mr_ecn_counts counts = {0};
    struct mr_ecn_ack ack = {.counts = &counts, .is_largest_new = true};
    struct mr_ecn_arrived arrived;

    ack.marked = count = MR_MIN(count, w->out);
    ce = MR_MIN(ce, count);
    w->out -= count;
    w->ect += count - ce;
    w->ce += ce;
    *(w->ecn.codepoint == MR_ECN_ECT1 ? &counts.ect1 : &counts.ect0) = w->ect + (lie & 3);
    *(w->ecn.codepoint == MR_ECN_ECT1 ? &counts.ect0 : &counts.ect1) = lie >> 2 & 1;
    counts.ce = w->ce + (lie >> 3 & 3);
    if ((lie & 0x60) == 0x60)
        ack.counts = NULL;
    w->has_lied |= lie != 0;
    enum mr_ecn_verdict verdict = mr_ecn_on_ack(&w->ecn, &w->reports, &ack, &arrived);
    MR_ASSERT(arrived.ce <= arrived.packets);
    MR_ASSERT(w->reports.ect >= before.ect && w->reports.ce >= before.ce);
    MR_ASSERT((verdict == MR_ECN_NOW_FAILED) <= (w->ecn.state == MR_ECN_FAILED));
    if (verdict == MR_ECN_NOW_CAPABLE)
        MR_ASSERT(w->ecn.state == MR_ECN_CAPABLE && w->reports.ect > 0);
}

static void step(struct world *w, struct mr_reader *input)
{
    uint8_t op = mr_read_u8(input);
    uint8_t value = mr_read_u8(input);
    uint8_t other = mr_read_u8(input);
    uint8_t before = w->ecn.state;
    uint64_t lost = MR_MIN((uint64_t)value % 8, w->out);

    if (op < 100) {
        send(w, 1 + value % 6);
    } else if (op < 200) {
        acknowledge(w, value % 8, other % 16 < 12 ? 0 : other % 8, 0);
    } else if (op < 220) {
        acknowledge(w, value % 8, other % 4, op % 4 == 0 ? value : 0);
    } else if (op < 236) {
        mr_ecn_on_pto(&w->ecn, value % 4);
    } else if (lost > 0) {
        w->out -= lost;
        w->has_any_loss = true;
        bool is_end = mr_ecn_on_lost(&w->ecn, lost);
        MR_ASSERT(!is_end || (before == MR_ECN_UNKNOWN && w->ecn.state == MR_ECN_FAILED));
        MR_ASSERT(!is_end || w->out == 0); /* all of the test */
    }
    check(w, before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t codepoints[] = {MR_ECN_ECT0, MR_ECN_ECT1, MR_ECN_NOT_ECT};
    struct mr_reader input = mr_reader(data, size);
    struct world w = {.out = 0};

    mr_ecn_begin(&w.ecn, codepoints[mr_read_u8(&input) % sizeof(codepoints)], 0);
    while (mr_reader_left(&input) >= 3)
        step(&w, &input);
    return 0;
}
