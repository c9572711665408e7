/*
 * quic/hystart.c - see hystart.h.
 */
#include "quic/hystart.h"

#include "base/compiler.h"

#define NO_RTT UINT32_MAX

void mr_hystart_init(struct mr_hystart *hystart)
{
    *hystart = (struct mr_hystart){
        .last_min_us = NO_RTT,
        .current_min_us = NO_RTT,
        .baseline_min_us = NO_RTT,
        .state = MR_HYSTART_SLOW_START,
    };
}

/* A packet sent in the current round was acknowledged: the next round begins. */
static void begin_round(struct mr_hystart *hystart, uint64_t now)
{
    hystart->round_start_ns = now;
    hystart->last_min_us = hystart->current_min_us;
    hystart->current_min_us = NO_RTT;
    hystart->sample_count = 0;
    if (hystart->state == MR_HYSTART_CONSERVATIVE && ++hystart->round_count == MR_HYSTART_ROUNDS)
        hystart->state = MR_HYSTART_DONE;
}

static void add_sample(struct mr_hystart *hystart, uint64_t rtt_ns)
{
    uint32_t rtt_us = (uint32_t)MR_MIN(rtt_ns / MR_US, NO_RTT - 1);

    hystart->current_min_us = MR_MIN(hystart->current_min_us, rtt_us);
    if (hystart->sample_count < MR_HYSTART_SAMPLES)
        hystart->sample_count++;
}

/*
 * True if the round trip became so much longer than in the last round that a queue must be growing.
 */
static bool delay_rose(const struct mr_hystart *hystart)
{
    if (hystart->last_min_us == NO_RTT)
        return false;

    uint64_t threshold = hystart->last_min_us / MR_HYSTART_RTT_DIVISOR;

    threshold = MR_MAX(threshold, MR_HYSTART_RTT_THRESHOLD_MIN / MR_US);
    threshold = MR_MIN(threshold, MR_HYSTART_RTT_THRESHOLD_MAX / MR_US);
    return hystart->current_min_us >= hystart->last_min_us + threshold;
}

static void judge_delay(struct mr_hystart *hystart)
{
    if (hystart->sample_count < MR_HYSTART_SAMPLES)
        return;

    if (hystart->state == MR_HYSTART_SLOW_START && delay_rose(hystart)) {
        hystart->state = MR_HYSTART_CONSERVATIVE;
        hystart->baseline_min_us = hystart->current_min_us;
        hystart->round_count = 0;
    } else if (hystart->state == MR_HYSTART_CONSERVATIVE &&
               hystart->current_min_us < hystart->baseline_min_us) {
        hystart->state = MR_HYSTART_SLOW_START;
        hystart->baseline_min_us = NO_RTT;
    }
}

enum mr_hystart_state mr_hystart_on_acked(struct mr_hystart *hystart,
                                          const struct mr_hystart_ack *ack, uint64_t now)
{
    if (ack->newest_sent_ns >= hystart->round_start_ns)
        begin_round(hystart, now);
    if (ack->rtt_ns != 0) {
        add_sample(hystart, ack->rtt_ns);
        judge_delay(hystart);
    }
    return (enum mr_hystart_state)hystart->state;
}
