/*
 * quic/bbr_probe.c - the states of BBR, and when one follows another; see bbr.h.
 */
#include "quic/bbr_internal.h"

#define STARTUP_PACING_GAIN 2.77
#define DRAIN_PACING_GAIN   0.5
#define DOWN_PACING_GAIN    0.9
#define UP_PACING_GAIN      1.25
#define CWND_GAIN           2.0
#define UP_CWND_GAIN        2.25
#define PROBE_RTT_CWND_GAIN 0.5
#define HEADROOM            0.15
#define RENO_ROUNDS         63
#define MIN_RTT_WINDOW_NS   (10 * MR_SECOND)
#define PROBE_RTT_EVERY_NS  (5 * MR_SECOND)
#define PROBE_RTT_TIME_NS   (200 * MR_MS)
#define PROBE_WAIT_NS       (2 * MR_SECOND) /* and up to a second more */

/* SplitMix64; a number below 2^32. */
static uint64_t draw(struct mr_bbr *bbr)
{
    uint64_t z = bbr->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (z ^ z >> 31) >> 32;
}

/* ------------------------------------------------------------------ states */

void mr_bbr_set_state(struct mr_bbr *bbr, enum mr_bbr_state state)
{
    static const double gains[][2] = {
        [MR_BBR_STARTUP] = {STARTUP_PACING_GAIN, CWND_GAIN},
        [MR_BBR_DRAIN] = {DRAIN_PACING_GAIN, CWND_GAIN},
        [MR_BBR_DOWN] = {DOWN_PACING_GAIN, CWND_GAIN},
        [MR_BBR_CRUISE] = {1, CWND_GAIN},
        [MR_BBR_REFILL] = {1, CWND_GAIN},
        [MR_BBR_UP] = {UP_PACING_GAIN, UP_CWND_GAIN},
        [MR_BBR_PROBE_RTT] = {1, PROBE_RTT_CWND_GAIN},
    };

    bbr->state = (uint8_t)state;
    bbr->pacing_gain = gains[state][0];
    bbr->cwnd_gain = gains[state][1];
}

void mr_bbr_start_down(struct mr_bbr *bbr, uint64_t now)
{
    mr_bbr_reset_congestion_signals(bbr);
    bbr->probe_up_per_inc = MR_BBR_NO_BOUND;
    bbr->rounds_since_probe = (uint32_t)draw(bbr) & 1; /* PickProbeWait() */
    bbr->probe_wait_ns = PROBE_WAIT_NS + (MR_SECOND * draw(bbr) >> 32);
    bbr->cycle_ns = now;
    bbr->acks = MR_BBR_ACKS_STOPPING;
    mr_bbr_start_round(bbr);
    mr_bbr_set_state(bbr, MR_BBR_DOWN);
}

void mr_bbr_start_refill(struct mr_bbr *bbr)
{
    mr_bbr_reset_short_term(bbr);
    bbr->probe_up_rounds = 0;
    bbr->probe_up_acked = 0;
    bbr->was_precautionary = false;
    bbr->acks = MR_BBR_ACKS_REFILLING;
    mr_bbr_start_round(bbr);
    mr_bbr_set_state(bbr, MR_BBR_REFILL);
}

/* RaiseInflightLongtermSlope(). */
static void raise_slope(struct mr_cc *cc)
{
    struct mr_bbr *bbr = mr_bbr_of(cc);

    bbr->probe_up_per_inc = MR_MAX(cc->window >> bbr->probe_up_rounds, (uint64_t)cc->datagram_size);
    bbr->probe_up_rounds = MR_MIN(bbr->probe_up_rounds + 1, 30u);
}

static void start_up(struct mr_cc *cc, double rate)
{
    struct mr_bbr *bbr = mr_bbr_of(cc);

    bbr->acks = MR_BBR_ACKS_STARTING;
    mr_bbr_start_round(bbr);
    mr_bbr_reset_full_bw(bbr);
    bbr->full_bw = rate;
    mr_bbr_set_state(bbr, MR_BBR_UP);
    raise_slope(cc);
}

/* ------------------------------------------------------------------ ProbeBW */

void mr_bbr_handle_too_high(struct mr_cc *cc, const struct mr_delivery_sample *rs, uint64_t now)
{
    struct mr_bbr *bbr = mr_bbr_of(cc);
    uint64_t target = MR_MIN(mr_bbr_bdp_multiple(bbr, bbr->bw, 1), cc->window);

    bbr->was_too_high = true;
    bbr->is_probe_sample = false;
    if (!rs->is_app_limited)
        bbr->inflight_longterm = MR_MAX(rs->in_flight, mr_bbr_share(MR_BBR_BETA, target));
    if (bbr->state == MR_BBR_UP) {
        bbr->undo_state = MR_BBR_UP;
        mr_bbr_start_down(bbr, now);
    }
}

uint64_t mr_bbr_with_headroom(const struct mr_cc *cc)
{
    const struct mr_bbr *bbr = mr_bbr_of(cc);

    if (bbr->inflight_longterm == MR_BBR_NO_BOUND)
        return MR_BBR_NO_BOUND;
    uint64_t headroom =
        MR_MAX((uint64_t)cc->datagram_size, mr_bbr_share(HEADROOM, bbr->inflight_longterm));
    return MR_MAX(bbr->inflight_longterm - MR_MIN(headroom, bbr->inflight_longterm),
                  mr_bbr_min_pipe(cc));
}

/* ProbeInflightLongtermUpward(). */
static void probe_upward(struct mr_cc *cc, const struct mr_delivery_sample *rs)
{
    struct mr_bbr *bbr = mr_bbr_of(cc);
    bool is_limited = bbr->is_cwnd_limited || bbr->was_cwnd_limited;

    if (!is_limited || cc->window < bbr->inflight_longterm)
        return;
    bbr->probe_up_acked += rs->newly_acked;
    uint64_t steps = bbr->probe_up_acked / bbr->probe_up_per_inc;
    bbr->probe_up_acked -= steps * bbr->probe_up_per_inc;
    bbr->inflight_longterm =
        MR_MIN(bbr->inflight_longterm + steps * cc->datagram_size, (uint64_t)MR_CC_WINDOW_MAX);
    if (bbr->is_round_start)
        raise_slope(cc);
}

/* AdaptLongTermModel().  True: it decided on the state. */
static bool adapt_long_term(struct mr_cc *cc, const struct mr_delivery_sample *rs)
{
    struct mr_bbr *bbr = mr_bbr_of(cc);

    if (bbr->acks == MR_BBR_ACKS_STARTING && bbr->is_round_start)
        bbr->acks = MR_BBR_ACKS_FEEDBACK;
    if (bbr->acks == MR_BBR_ACKS_STOPPING && bbr->is_round_start) {
        bbr->is_probe_sample = false;
        bbr->acks = MR_BBR_ACKS_INIT;
        if (mr_bbr_is_probe_bw(bbr) && !rs->is_app_limited) { /* AdvanceMaxBwFilter() */
            bbr->max_bw[1] = bbr->max_bw[0];
            bbr->max_bw[0] = 0;
        }
        if (mr_bbr_is_probe_bw(bbr) && bbr->was_precautionary && !bbr->was_too_high) {
            mr_bbr_start_refill(bbr);
            return true;
        }
    }
    if (mr_bbr_is_lossy(cc, rs->lost, rs->in_flight) || bbr->inflight_longterm == MR_BBR_NO_BOUND)
        return false;
    bbr->inflight_longterm = MR_MAX(bbr->inflight_longterm, rs->in_flight);
    if (bbr->state == MR_BBR_UP)
        probe_upward(cc, rs);
    return false;
}

static bool is_time_to_probe(const struct mr_cc *cc, uint64_t now)
{
    const struct mr_bbr *bbr = mr_bbr_of(cc);
    uint64_t target = MR_MIN(mr_bbr_bdp_multiple(bbr, bbr->bw, 1), cc->window);
    uint64_t rounds = MR_MIN(target / cc->datagram_size, (uint64_t)RENO_ROUNDS);

    return now > bbr->cycle_ns + bbr->probe_wait_ns || bbr->rounds_since_probe >= rounds;
}

static bool is_time_to_cruise(const struct mr_cc *cc)
{
    return cc->in_flight <= mr_bbr_with_headroom(cc) &&
           cc->in_flight <= mr_bbr_inflight(cc, mr_bbr_max_bw(mr_bbr_of(cc)), 1);
}

static bool is_time_to_go_down(struct mr_cc *cc, const struct mr_delivery_sample *rs)
{
    struct mr_bbr *bbr = mr_bbr_of(cc);
    bool is_limited = bbr->is_cwnd_limited || bbr->was_cwnd_limited;

    if (bbr->was_too_high && cc->in_flight >= bbr->inflight_longterm) {
        bbr->was_precautionary = true;
        return true;
    }
    if (is_limited && cc->window >= bbr->inflight_longterm) {
        mr_bbr_reset_full_bw(bbr);
        bbr->full_bw = rs->rate;
        return false;
    }
    return bbr->is_full_now;
}

/* UpdateProbeBWCyclePhase(). */
void mr_bbr_update_cycle(struct mr_cc *cc, const struct mr_delivery_sample *rs, uint64_t now)
{
    struct mr_bbr *bbr = mr_bbr_of(cc);

    if (!bbr->is_full || adapt_long_term(cc, rs))
        return;
    switch ((enum mr_bbr_state)bbr->state) {
    case MR_BBR_DOWN:
        if (is_time_to_probe(cc, now))
            mr_bbr_start_refill(bbr);
        else if (is_time_to_cruise(cc))
            mr_bbr_set_state(bbr, MR_BBR_CRUISE);
        return;
    case MR_BBR_CRUISE:
        if (is_time_to_probe(cc, now))
            mr_bbr_start_refill(bbr);
        return;
    case MR_BBR_REFILL:
        if (bbr->is_round_start) {
            bbr->is_probe_sample = true;
            start_up(cc, rs->rate);
        }
        return;
    case MR_BBR_UP:
        if (is_time_to_go_down(cc, rs)) {
            bbr->was_too_high = false;
            mr_bbr_start_down(bbr, now);
        }
        return;
    default:
        return;
    }
}

/* ------------------------------------------------------------------ ProbeRTT */

uint64_t mr_bbr_probe_rtt_window(const struct mr_cc *cc)
{
    const struct mr_bbr *bbr = mr_bbr_of(cc);

    return MR_MAX(mr_bbr_bdp_multiple(bbr, bbr->bw, PROBE_RTT_CWND_GAIN), mr_bbr_min_pipe(cc));
}

void mr_bbr_update_min_rtt(struct mr_bbr *bbr, uint64_t rtt_ns, uint64_t now)
{
    bbr->is_rtt_expired = now > bbr->probe_min_at_ns + PROBE_RTT_EVERY_NS;
    if (rtt_ns > 0 && (rtt_ns < bbr->probe_min_ns || bbr->is_rtt_expired)) {
        bbr->probe_min_ns = rtt_ns;
        bbr->probe_min_at_ns = now;
    }
    bool is_expired = now > bbr->min_rtt_at_ns + MIN_RTT_WINDOW_NS;
    if (bbr->probe_min_ns < bbr->min_rtt_ns || is_expired) {
        bbr->min_rtt_ns = bbr->probe_min_ns;
        bbr->min_rtt_at_ns = bbr->probe_min_at_ns;
    }
}

void mr_bbr_check_probe_rtt_done(struct mr_cc *cc, uint64_t now)
{
    struct mr_bbr *bbr = mr_bbr_of(cc);

    if (bbr->probe_rtt_done_ns == 0 || now <= bbr->probe_rtt_done_ns)
        return;
    bbr->probe_min_at_ns = now;
    mr_bbr_restore_window(cc);
    mr_bbr_reset_short_term(bbr);
    if (bbr->is_full) {
        mr_bbr_start_down(bbr, now);
        mr_bbr_set_state(bbr, MR_BBR_CRUISE);
    } else {
        mr_bbr_set_state(bbr, MR_BBR_STARTUP);
    }
}

static void handle_probe_rtt(struct mr_cc *cc, uint64_t now)
{
    struct mr_bbr *bbr = mr_bbr_of(cc);

    mr_delivery_limit(&bbr->delivery, cc->in_flight);
    if (bbr->probe_rtt_done_ns == 0) {
        if (cc->in_flight > mr_bbr_probe_rtt_window(cc))
            return;
        bbr->probe_rtt_done_ns = now + PROBE_RTT_TIME_NS;
        bbr->is_probe_rtt_round_done = false;
        mr_bbr_start_round(bbr);
        return;
    }
    bbr->is_probe_rtt_round_done |= bbr->is_round_start;
    if (bbr->is_probe_rtt_round_done)
        mr_bbr_check_probe_rtt_done(cc, now);
}

void mr_bbr_check_probe_rtt(struct mr_cc *cc, const struct mr_delivery_sample *rs, uint64_t now)
{
    struct mr_bbr *bbr = mr_bbr_of(cc);

    if (bbr->state != MR_BBR_PROBE_RTT && bbr->is_rtt_expired && !bbr->is_idle_restart) {
        mr_bbr_save_window(cc);
        mr_bbr_set_state(bbr, MR_BBR_PROBE_RTT);
        bbr->probe_rtt_done_ns = 0;
        bbr->acks = MR_BBR_ACKS_STOPPING;
        mr_bbr_start_round(bbr);
    }
    if (bbr->state == MR_BBR_PROBE_RTT)
        handle_probe_rtt(cc, now);
    if (rs->delivered > 0)
        bbr->is_idle_restart = false;
}
