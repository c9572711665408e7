/*
 * fuzz/fuzz_resume.c - property test of quic/resume.h, over a controller and a path.
 *
 * The input is what is saved, and packets that are sent, arrive, or are lost.  Properties:
 *   1. phases follow each other as resume.h draws them;
 *   2. there is one jump at most, to half of what was saved, after an initial window arrived, on a
 *      path with that round trip, and before any congestion;
 *   3. the window is never above the jump before it is validated, and in RETREAT it does not grow;
 *   4. the controller jumps in UNVALIDATED, and only there; its invariants hold.
 */
#include "quic/resume.h"

#include "base/assert.h"
#include "base/compiler.h"
#include "quic/types.h"
#include "quic/wire_fields.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    DATAGRAM = 1200,
    QUEUE = 4096, /* packets under way */
    WINDOW_MAX = 64 << 20,
};

struct path {
    struct mr_cc cc;
    struct mr_resume resume;
    bool is_on;
    uint64_t now;
    uint64_t rtt_ns;
    uint64_t acked; /* bytes */
    uint32_t jumps;
    bool was_congested;
    uint32_t first; /* of sent_ns */
    uint32_t end;
    uint64_t sent_ns[QUEUE];
};

static void send(struct path *p, uint32_t count)
{
    for (; count > 0 && p->end < QUEUE && mr_cc_room(&p->cc) >= DATAGRAM; count--) {
        mr_cc_on_sent(&p->cc, DATAGRAM, p->now);
        p->sent_ns[p->end++] = p->now;
    }
}

static void check_step(struct path *p, uint8_t before, enum mr_resume_step step)
{
    uint64_t jump = p->resume.saved.window / MR_RESUME_SHARE;

    if (step == MR_RESUME_JUMPED) {
        MR_ASSERT(before == MR_RESUME_RECONNAISSANCE && ++p->jumps == 1);
        MR_ASSERT(p->acked >= MR_CC_INITIAL_BYTES && !p->was_congested);
        MR_ASSERT(p->rtt_ns * MR_RESUME_RTT_LOW > p->resume.saved.rtt_us * MR_US);
        MR_ASSERT(p->rtt_ns <= p->resume.saved.rtt_us * MR_US * MR_RESUME_RTT_HIGH);
        MR_ASSERT(mr_cc_window(&p->cc) == jump);
    }
    if (step == MR_RESUME_VALIDATED)
        MR_ASSERT(before == MR_RESUME_VALIDATING && p->jumps == 1);
    p->is_on = step != MR_RESUME_VALIDATED && step != MR_RESUME_OVER;
    MR_ASSERT(p->resume.phase >= before); /* in the order of their numbers */
    MR_ASSERT(p->cc.is_jumping == (p->is_on && p->resume.phase == MR_RESUME_UNVALIDATED));
    if (p->is_on && p->resume.phase == MR_RESUME_UNVALIDATED)
        MR_ASSERT(mr_cc_window(&p->cc) <= jump);
    if (p->is_on && p->resume.phase == MR_RESUME_RETREAT)
        MR_ASSERT(mr_cc_window(&p->cc) <= p->resume.window);
    mr_cc_check(&p->cc);
}

static void acknowledge(struct path *p, uint32_t count, bool is_app_limited)
{
    uint8_t before = p->resume.phase;

    count = MR_MIN(count, p->end - p->first);
    if (count == 0)
        return;
    p->first += count;
    p->acked += (uint64_t)count * DATAGRAM;
    const struct mr_cc_ack ack = {.bytes = (uint64_t)count * DATAGRAM,
                                  .newest_sent_ns = p->sent_ns[p->first - 1],
                                  .rtt_ns = p->rtt_ns,
                                  .smoothed_ns = p->rtt_ns,
                                  .is_app_limited = is_app_limited};
    mr_cc_on_acked(&p->cc, &ack, p->now);
    if (!p->is_on)
        return;
    const struct mr_resume_ack resumed = {.bytes = ack.bytes,
                                          .newest_sent_ns = ack.newest_sent_ns,
                                          .min_rtt_ns = p->rtt_ns,
                                          .is_app_limited = is_app_limited};
    check_step(p, before, mr_resume_on_acked(&p->resume, &p->cc, &resumed, p->now));
}

static void lose(struct path *p)
{
    uint8_t before = p->resume.phase;

    if (p->first == p->end)
        return;
    uint64_t sent_ns = p->sent_ns[p->first++];
    mr_cc_on_lost(&p->cc, DATAGRAM);
    if (!mr_cc_on_congestion(&p->cc, sent_ns, p->now))
        return;
    p->was_congested = true;
    if (p->is_on)
        check_step(p, before, mr_resume_on_congestion(&p->resume, &p->cc, p->now));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct path p;
    struct mr_reader input = mr_reader(data, size);
    uint8_t kind = mr_read_u8(&input);
    struct mr_saved_path saved = {.window = (uint32_t)mr_read_u16(&input) * 64,
                                  .rtt_us = (uint32_t)mr_read_u16(&input)};

    p = (struct path){.now = MR_SECOND};
    p.rtt_ns = (saved.rtt_us + 1) * MR_US * (kind < 200 ? 1 : kind % 16);
    p.rtt_ns = MR_MAX(p.rtt_ns, (uint64_t)MR_US);
    mr_cc_init(&p.cc, kind % 2 == 0 ? MR_CC_CUBIC : MR_CC_NEWRENO, DATAGRAM, WINDOW_MAX);
    p.is_on = mr_resume_begin(&p.resume, &saved);
    MR_ASSERT(p.is_on == (saved.window >= MR_RESUME_WINDOW_MIN && saved.rtt_us > 0));
    while (mr_reader_left(&input) >= 2) {
        uint8_t op = mr_read_u8(&input);
        uint8_t value = mr_read_u8(&input);

        p.now += (uint64_t)value * 100 * MR_US;
        if (op < 110)
            send(&p, 1 + value % 32);
        else if (op < 240)
            acknowledge(&p, 1 + value % 16, op < 120);
        else if (op < 246)
            lose(&p);
    }
    if (p.is_on)
        mr_resume_abandon(&p.resume, &p.cc);
    MR_ASSERT(!p.cc.is_jumping);
    return 0;
}
