/*
 * quic/resume.c - Careful Resume (RFC 9959); see resume.h.
 */
#include "quic/resume.h"

#include "base/compiler.h"

bool mr_resume_begin(struct mr_resume *resume, const struct mr_saved_path *saved)
{
    if (saved->window < MR_RESUME_WINDOW_MIN || saved->rtt_us == 0)
        return false;
    *resume = (struct mr_resume){.saved = *saved};
    resume->saved.window = MR_MIN(saved->window, MR_RESUME_WINDOW_MAX);
    return true;
}

/* The path has the round trip that it had. */
static bool is_round_trip_known(const struct mr_resume *resume, uint64_t rtt_ns)
{
    uint64_t saved_ns = resume->saved.rtt_us * MR_US;

    return rtt_ns > saved_ns / MR_RESUME_RTT_LOW && rtt_ns <= saved_ns * MR_RESUME_RTT_HIGH;
}

/* RFC 9959, Section 3.2. */
static enum mr_resume_step reconnoitre(struct mr_resume *resume, struct mr_cc *cc,
                                       const struct mr_resume_ack *ack, uint64_t now)
{
    uint64_t jump = resume->saved.window / MR_RESUME_SHARE;

    resume->pipe += ack->bytes;
    if (cc->has_recovery || cc->ssthresh != MR_CC_UNLIMITED || mr_cc_window(cc) >= jump)
        return MR_RESUME_OVER;
    if (ack->min_rtt_ns == 0)
        return MR_RESUME_STAYS;
    if (!is_round_trip_known(resume, ack->min_rtt_ns))
        return MR_RESUME_OVER;
    if (resume->pipe < MR_CC_INITIAL_BYTES || ack->is_app_limited)
        return MR_RESUME_STAYS;

    resume->phase = MR_RESUME_UNVALIDATED;
    cc->is_jumping = true;
    resume->pipe = cc->in_flight;
    resume->window = jump;
    resume->begin_ns = now;
    mr_cc_set_window(cc, jump);
    return MR_RESUME_JUMPED;
}

/* The window may have grown: take that back. */
static void hold_window(const struct mr_resume *resume, struct mr_cc *cc)
{
    mr_cc_set_window(cc, MR_MIN(mr_cc_window(cc), resume->window));
}

/* RFC 9959, Sections 3.3 and 3.4: with the first of it that arrived the window is what was sent. */
static void try_out(struct mr_resume *resume, struct mr_cc *cc, const struct mr_resume_ack *ack,
                    uint64_t now)
{
    uint64_t in_flight = MR_MAX(cc->in_flight + ack->bytes, MR_CC_INITIAL_BYTES);

    hold_window(resume, cc);
    if (ack->newest_sent_ns < resume->begin_ns)
        return;
    resume->phase = MR_RESUME_VALIDATING;
    cc->is_jumping = false;
    resume->end_ns = now;
    mr_cc_set_window(cc, MR_MIN(mr_cc_window(cc), in_flight));
}

/* All that is unvalidated was acknowledged, or lost. */
static bool is_all_known(const struct mr_resume *resume, const struct mr_cc *cc,
                         const struct mr_resume_ack *ack)
{
    return ack->newest_sent_ns > resume->end_ns || cc->in_flight == 0;
}

enum mr_resume_step mr_resume_on_acked(struct mr_resume *resume, struct mr_cc *cc,
                                       const struct mr_resume_ack *ack, uint64_t now)
{
    if (resume->phase == MR_RESUME_RECONNAISSANCE)
        return reconnoitre(resume, cc, ack, now);

    resume->pipe += ack->bytes;
    switch ((enum mr_resume_phase)resume->phase) {
    case MR_RESUME_UNVALIDATED:
        try_out(resume, cc, ack, now);
        return MR_RESUME_STAYS;
    case MR_RESUME_VALIDATING:
        return is_all_known(resume, cc, ack) ? MR_RESUME_VALIDATED : MR_RESUME_STAYS;
    default:
        hold_window(resume, cc);
        if (!is_all_known(resume, cc, ack))
            return MR_RESUME_STAYS;
        cc->ssthresh = MR_MAX(resume->pipe / 2, mr_cc_minimum(cc)); /* Section 3.5 */
        return MR_RESUME_OVER;
    }
}

enum mr_resume_step mr_resume_on_congestion(struct mr_resume *resume, struct mr_cc *cc,
                                            uint64_t now)
{
    if (resume->phase == MR_RESUME_RECONNAISSANCE)
        return MR_RESUME_OVER;
    if (resume->phase == MR_RESUME_RETREAT)
        return MR_RESUME_STAYS;
    if (resume->phase == MR_RESUME_UNVALIDATED)
        resume->end_ns = now;
    resume->phase = MR_RESUME_RETREAT;
    cc->is_jumping = false;
    mr_cc_forget(cc, resume->pipe / 2);
    resume->window = mr_cc_window(cc);
    return MR_RESUME_RETREATED;
}

void mr_resume_abandon(const struct mr_resume *resume, struct mr_cc *cc)
{
    if (resume->phase != MR_RESUME_UNVALIDATED)
        return;
    cc->is_jumping = false;
    mr_cc_set_window(cc, MR_MIN(mr_cc_window(cc), MR_MAX(cc->in_flight, MR_CC_INITIAL_BYTES)));
}
