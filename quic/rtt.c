/*
 * quic/rtt.c - see rtt.h.
 */
#include "quic/rtt.h"

#include "base/assert.h"
#include "base/compiler.h"

void mr_rtt_init(struct mr_rtt *rtt, uint64_t initial_ns)
{
    MR_ASSERT(initial_ns > 0);

    *rtt = (struct mr_rtt){
        .smoothed_ns = initial_ns,
        .var_ns = initial_ns / 2,
        .first_sample_ns = MR_NEVER,
    };
}

/* The acknowledgment delay that may be taken off the sample (RFC 9002, Section 5.3). */
static uint64_t adjust(const struct mr_rtt *rtt, uint64_t latest_ns,
                       const struct mr_rtt_sample *sample)
{
    uint64_t delay = sample->ack_delay_ns;

    if (sample->handshake_confirmed)
        delay = MR_MIN(delay, rtt->max_ack_delay_ns);
    if (delay > latest_ns || latest_ns - delay < rtt->min_ns)
        return latest_ns;
    return latest_ns - delay;
}

void mr_rtt_add(struct mr_rtt *rtt, const struct mr_rtt_sample *sample, uint64_t now)
{
    uint64_t latest = MR_MIN(MR_MAX(sample->latest_ns, 1), MR_RTT_SAMPLE_MAX);

    rtt->latest_ns = latest;
    if (!mr_rtt_has_sample(rtt)) {
        rtt->min_ns = latest;
        rtt->smoothed_ns = latest;
        rtt->var_ns = latest / 2;
        rtt->first_sample_ns = now;
        return;
    }
    rtt->min_ns = MR_MIN(rtt->min_ns, latest);

    /* The variation is taken from the old average, as in Appendix A.7 and in RFC 6298. */
    uint64_t adjusted = adjust(rtt, latest, sample);
    uint64_t deviation =
        rtt->smoothed_ns > adjusted ? rtt->smoothed_ns - adjusted : adjusted - rtt->smoothed_ns;
    rtt->var_ns = (3 * rtt->var_ns + deviation) / 4;
    rtt->smoothed_ns = MR_MAX((7 * rtt->smoothed_ns + adjusted) / 8, 1);
}

void mr_rtt_restart_min(struct mr_rtt *rtt)
{
    rtt->min_ns = rtt->latest_ns;
}

uint64_t mr_rtt_pto(const struct mr_rtt *rtt, enum mr_space space)
{
    uint64_t period = rtt->smoothed_ns + MR_MAX(4 * rtt->var_ns, MR_RTT_GRANULARITY);

    return space == MR_SPACE_APP ? period + rtt->max_ack_delay_ns : period;
}

uint64_t mr_rtt_backoff(uint64_t period_ns, uint32_t count)
{
    uint32_t doublings = MR_MIN(count, MR_RTT_BACKOFF_MAX);

    return period_ns > MR_NEVER >> doublings ? MR_NEVER : period_ns << doublings;
}

uint64_t mr_rtt_loss_delay(const struct mr_rtt *rtt)
{
    uint64_t longer = MR_MAX(rtt->smoothed_ns, rtt->latest_ns);

    return MR_MAX(longer + longer / 8, MR_RTT_GRANULARITY);
}

uint64_t mr_rtt_persistent_duration(const struct mr_rtt *rtt)
{
    return MR_RTT_PERSISTENT_THRESHOLD * mr_rtt_pto(rtt, MR_SPACE_APP);
}
