/*
 * quic/cc_bbr.c - BBRv3 (draft-ietf-ccwg-bbr); see bbr.h.  Functions are in the draft's order:
 * helpers, model, state machine, control parameters.
 */
#include <math.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "quic/bbr.h"
#include "quic/pacer.h"

#define STARTUP_PACING_GAIN 2.77
#define DRAIN_PACING_GAIN   0.5
#define DOWN_PACING_GAIN    0.9
#define UP_PACING_GAIN      1.25
#define CWND_GAIN           2.0
#define UP_CWND_GAIN        2.25
#define PROBE_RTT_CWND_GAIN 0.5
#define PACING_MARGIN       0.99
#define FULL_GROWTH         1.25
#define LOSS_THRESHOLD      0.02
#define BETA                0.7
#define HEADROOM            0.15
#define STARTUP_LOSS_RANGES 6
#define FULL_ROUNDS         3
#define EXTRA_ROUNDS        10 /* twice half the filter's length, which is of two slots */
#define DRAIN_ROUNDS        3
#define RENO_ROUNDS         63
#define MIN_PIPE_PACKETS    4
#define MIN_RTT_WINDOW_NS   (10 * MR_SECOND)
#define PROBE_RTT_EVERY_NS  (5 * MR_SECOND)
#define PROBE_RTT_TIME_NS   (200 * MR_MS)
#define PROBE_WAIT_NS       (2 * MR_SECOND) /* and up to a second more */
#define NO_BOUND            UINT64_MAX

/* ------------------------------------------------------------------ helpers */

static struct mr_bbr *model(const struct mr_cc *cc)
{
    return cc->bbr.model;
}

static uint64_t to_bytes(double bytes)
{
    return bytes >= (double)MR_CC_WINDOW_MAX ? MR_CC_WINDOW_MAX : (uint64_t)MR_MAX(bytes, 0.0);
}

/* `part` of a volume that may be without bound. */
static uint64_t share(double part, uint64_t bytes)
{
    return bytes == NO_BOUND ? NO_BOUND : to_bytes(part * (double)bytes);
}

static double max_bw(const struct mr_bbr *bbr)
{
    return MR_MAX(bbr->max_bw[0], bbr->max_bw[1]);
}

static uint64_t min_pipe(const struct mr_cc *cc)
{
    return (uint64_t)MIN_PIPE_PACKETS * cc->datagram_size;
}

static uint64_t bdp_multiple(const struct mr_bbr *bbr, double bw, double gain)
{
    if (bbr->min_rtt_ns == MR_NEVER)
        return bbr->initial_window;
    return to_bytes(gain * bw * (double)bbr->min_rtt_ns);
}

/* QuantizationBudget(): the pacer's quantum is two datagrams or 1 ms. */
static uint64_t quantize(const struct mr_cc *cc, uint64_t bytes)
{
    const struct mr_bbr *bbr = model(cc);
    uint64_t quantum = MR_MIN(to_bytes(bbr->pacing_rate * MR_MS), UINT64_C(65536));

    bytes = MR_MAX(bytes, MR_MAX(quantum, 2 * (uint64_t)cc->datagram_size));
    bytes = MR_MAX(bytes, min_pipe(cc));
    return bytes + (bbr->state == MR_BBR_UP ? 2 * (uint64_t)cc->datagram_size : 0);
}

static uint64_t inflight(const struct mr_cc *cc, double bw, double gain)
{
    return quantize(cc, bdp_multiple(model(cc), bw, gain));
}

/* More than LossThresh of `bytes`, and more than one packet, which says nothing. */
static bool is_lossy(const struct mr_cc *cc, uint64_t lost, uint64_t bytes)
{
    return (double)lost > LOSS_THRESHOLD * (double)bytes + cc->datagram_size;
}

static bool is_probe_bw(const struct mr_bbr *bbr)
{
    return bbr->state >= MR_BBR_DOWN && bbr->state <= MR_BBR_UP;
}

static bool is_probing(const struct mr_bbr *bbr)
{
    return bbr->state == MR_BBR_STARTUP || bbr->state == MR_BBR_REFILL || bbr->state == MR_BBR_UP;
}

/* SplitMix64; a number below 2^32. */
static uint64_t draw(struct mr_bbr *bbr)
{
    uint64_t z = bbr->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (z ^ z >> 31) >> 32;
}

static void start_round(struct mr_bbr *bbr)
{
    bbr->next_round_delivered = bbr->delivery.delivered;
}

static void reset_congestion_signals(struct mr_bbr *bbr)
{
    bbr->is_loss_in_round = bbr->is_round_lossy = false;
    bbr->bw_latest = 0;
    bbr->inflight_latest = 0;
}

static void reset_short_term(struct mr_bbr *bbr)
{
    bbr->bw_shortterm = HUGE_VAL;
    bbr->inflight_shortterm = NO_BOUND;
}

static void reset_full_bw(struct mr_bbr *bbr)
{
    bbr->full_bw = 0;
    bbr->full_count = 0;
    bbr->is_full_now = false;
}

static void save_window(struct mr_cc *cc)
{
    struct mr_bbr *bbr = model(cc);
    bool is_modulated = cc->has_recovery || bbr->state == MR_BBR_PROBE_RTT;

    bbr->prior_window = is_modulated ? MR_MAX(bbr->prior_window, cc->window) : cc->window;
}

static void restore_window(struct mr_cc *cc)
{
    mr_cc_set_window(cc, MR_MAX(cc->window, model(cc)->prior_window));
}

/* ------------------------------------------------------------------ states */

static void set_state(struct mr_bbr *bbr, enum mr_bbr_state state)
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

static void start_down(struct mr_bbr *bbr, uint64_t now)
{
    reset_congestion_signals(bbr);
    bbr->probe_up_per_inc = NO_BOUND;
    bbr->rounds_since_probe = (uint32_t)draw(bbr) & 1; /* PickProbeWait() */
    bbr->probe_wait_ns = PROBE_WAIT_NS + (MR_SECOND * draw(bbr) >> 32);
    bbr->cycle_ns = now;
    bbr->acks = MR_BBR_ACKS_STOPPING;
    start_round(bbr);
    set_state(bbr, MR_BBR_DOWN);
}

static void start_refill(struct mr_bbr *bbr)
{
    reset_short_term(bbr);
    bbr->probe_up_rounds = 0;
    bbr->probe_up_acked = 0;
    bbr->was_precautionary = false;
    bbr->acks = MR_BBR_ACKS_REFILLING;
    start_round(bbr);
    set_state(bbr, MR_BBR_REFILL);
}

/* RaiseInflightLongtermSlope(). */
static void raise_slope(struct mr_cc *cc)
{
    struct mr_bbr *bbr = model(cc);

    bbr->probe_up_per_inc = MR_MAX(cc->window >> bbr->probe_up_rounds, (uint64_t)cc->datagram_size);
    bbr->probe_up_rounds = MR_MIN(bbr->probe_up_rounds + 1, 30u);
}

static void start_up(struct mr_cc *cc, double rate)
{
    struct mr_bbr *bbr = model(cc);

    bbr->acks = MR_BBR_ACKS_STARTING;
    start_round(bbr);
    reset_full_bw(bbr);
    bbr->full_bw = rate;
    set_state(bbr, MR_BBR_UP);
    raise_slope(cc);
}

/* ------------------------------------------------------------------ model */

static void update_round(struct mr_bbr *bbr, const struct mr_delivery_sample *rs)
{
    bbr->is_round_start = rs->has_data && rs->prior_delivered >= bbr->next_round_delivered;
    if (!bbr->is_round_start)
        return;
    start_round(bbr);
    bbr->round_count++;
    bbr->rounds_since_probe++;
    bbr->was_cwnd_limited = bbr->is_cwnd_limited;
    bbr->is_cwnd_limited = false;
}

static void update_max_bw(struct mr_bbr *bbr, const struct mr_delivery_sample *rs)
{
    if (rs->rate > 0 && (rs->rate >= max_bw(bbr) || !rs->is_app_limited))
        bbr->max_bw[0] = MR_MAX(bbr->max_bw[0], rs->rate);
}

/* AdaptLowerBoundsFromCongestion(), once per round; see bbr.h for what is lossy. */
static void adapt_lower_bounds(struct mr_cc *cc)
{
    struct mr_bbr *bbr = model(cc);

    if (is_probing(bbr) || !bbr->is_loss_in_round || !bbr->is_round_lossy)
        return;
    if (bbr->bw_shortterm == HUGE_VAL)
        bbr->bw_shortterm = max_bw(bbr);
    if (bbr->inflight_shortterm == NO_BOUND)
        bbr->inflight_shortterm = cc->window;
    bbr->bw_shortterm = MR_MAX(bbr->bw_latest, BETA * bbr->bw_shortterm);
    bbr->inflight_shortterm = MR_MAX(bbr->inflight_latest, share(BETA, bbr->inflight_shortterm));
}

/* UpdateLatestDeliverySignals() and UpdateCongestionSignals(). */
static void update_signals(struct mr_cc *cc, const struct mr_delivery_sample *rs)
{
    struct mr_bbr *bbr = model(cc);

    bbr->bw_latest = MR_MAX(bbr->bw_latest, rs->rate);
    bbr->inflight_latest = MR_MAX(bbr->inflight_latest, rs->delivered);
    bbr->is_loss_round_start = rs->has_data && rs->prior_delivered >= bbr->loss_round_delivered;
    update_round(bbr, rs);
    update_max_bw(bbr, rs);
    if (!bbr->is_loss_round_start)
        return;
    uint64_t lost = bbr->delivery.lost - bbr->loss_round_lost;
    uint64_t sent = bbr->delivery.delivered - bbr->loss_round_delivered + lost;
    bbr->is_round_lossy = bbr->has_ce_in_round || is_lossy(cc, lost, sent);
    bbr->has_ce_in_round = false;
    bbr->loss_round_delivered = bbr->delivery.delivered;
    bbr->loss_round_lost = bbr->delivery.lost;
}

static void update_aggregation(struct mr_cc *cc, const struct mr_delivery_sample *rs, uint64_t now)
{
    struct mr_bbr *bbr = model(cc);
    double expected = bbr->bw * (double)(now - bbr->extra_from_ns);
    uint64_t rounds = bbr->is_full ? EXTRA_ROUNDS / 2 : 1;

    if ((double)bbr->extra_delivered <= expected) {
        bbr->extra_delivered = 0;
        bbr->extra_from_ns = now;
        expected = 0;
    }
    bbr->extra_delivered += rs->newly_acked;
    uint64_t extra = to_bytes((double)bbr->extra_delivered - expected);
    if (bbr->round_count >= bbr->extra_round + rounds) {
        bbr->extra[1] = bbr->extra[0];
        bbr->extra[0] = 0;
        bbr->extra_round = bbr->round_count;
    }
    bbr->extra[0] = MR_MAX(bbr->extra[0], MR_MIN(extra, cc->window));
}

static void check_full_bw(struct mr_bbr *bbr, const struct mr_delivery_sample *rs)
{
    if (bbr->is_full_now || !bbr->is_round_start || rs->is_app_limited || rs->rate <= 0)
        return;
    if (rs->rate >= bbr->full_bw * FULL_GROWTH) {
        reset_full_bw(bbr);
        bbr->full_bw = rs->rate;
        return;
    }
    bbr->is_full_now = ++bbr->full_count >= FULL_ROUNDS;
    bbr->is_full |= bbr->is_full_now;
}

/* CheckStartupHighLoss(): a round of loss, in at least six places, and of more than 2 %. */
static void check_startup_loss(struct mr_bbr *bbr)
{
    if (!bbr->is_loss_round_start || !bbr->is_loss_in_round || !bbr->is_round_lossy ||
        bbr->loss_ranges < STARTUP_LOSS_RANGES)
        return;
    bbr->is_full = true;
    bbr->inflight_longterm = MR_MAX(bdp_multiple(bbr, max_bw(bbr), 1), bbr->inflight_latest);
}

static void check_startup_and_drain(struct mr_cc *cc, uint64_t now)
{
    struct mr_bbr *bbr = model(cc);

    if (bbr->state == MR_BBR_STARTUP) {
        check_startup_loss(bbr);
        if (bbr->is_full) {
            set_state(bbr, MR_BBR_DRAIN);
            bbr->drain_start_round = bbr->round_count;
        }
    }
    if (bbr->state == MR_BBR_DRAIN && (cc->in_flight <= inflight(cc, bbr->bw, 1) ||
                                       bbr->round_count > bbr->drain_start_round + DRAIN_ROUNDS))
        start_down(bbr, now);
}

/* ------------------------------------------------------------------ ProbeBW */

static void handle_too_high(struct mr_cc *cc, const struct mr_delivery_sample *rs, uint64_t now)
{
    struct mr_bbr *bbr = model(cc);
    uint64_t target = MR_MIN(bdp_multiple(bbr, bbr->bw, 1), cc->window);

    bbr->was_too_high = true;
    bbr->is_probe_sample = false;
    if (!rs->is_app_limited)
        bbr->inflight_longterm = MR_MAX(rs->in_flight, share(BETA, target));
    if (bbr->state == MR_BBR_UP)
        start_down(bbr, now);
}

static uint64_t with_headroom(const struct mr_cc *cc)
{
    const struct mr_bbr *bbr = model(cc);

    if (bbr->inflight_longterm == NO_BOUND)
        return NO_BOUND;
    uint64_t headroom =
        MR_MAX((uint64_t)cc->datagram_size, share(HEADROOM, bbr->inflight_longterm));
    return MR_MAX(bbr->inflight_longterm - MR_MIN(headroom, bbr->inflight_longterm), min_pipe(cc));
}

/* ProbeInflightLongtermUpward(). */
static void probe_upward(struct mr_cc *cc, const struct mr_delivery_sample *rs)
{
    struct mr_bbr *bbr = model(cc);
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
    struct mr_bbr *bbr = model(cc);

    if (bbr->acks == MR_BBR_ACKS_STARTING && bbr->is_round_start)
        bbr->acks = MR_BBR_ACKS_FEEDBACK;
    if (bbr->acks == MR_BBR_ACKS_STOPPING && bbr->is_round_start) {
        bbr->is_probe_sample = false;
        bbr->acks = MR_BBR_ACKS_INIT;
        if (is_probe_bw(bbr) && !rs->is_app_limited) { /* AdvanceMaxBwFilter() */
            bbr->max_bw[1] = bbr->max_bw[0];
            bbr->max_bw[0] = 0;
        }
        if (is_probe_bw(bbr) && bbr->was_precautionary && !bbr->was_too_high) {
            start_refill(bbr);
            return true;
        }
    }
    if (is_lossy(cc, rs->lost, rs->in_flight) || bbr->inflight_longterm == NO_BOUND)
        return false;
    bbr->inflight_longterm = MR_MAX(bbr->inflight_longterm, rs->in_flight);
    if (bbr->state == MR_BBR_UP)
        probe_upward(cc, rs);
    return false;
}

static bool is_time_to_probe(const struct mr_cc *cc, uint64_t now)
{
    const struct mr_bbr *bbr = model(cc);
    uint64_t target = MR_MIN(bdp_multiple(bbr, bbr->bw, 1), cc->window);
    uint64_t rounds = MR_MIN(target / cc->datagram_size, (uint64_t)RENO_ROUNDS);

    return now > bbr->cycle_ns + bbr->probe_wait_ns || bbr->rounds_since_probe >= rounds;
}

static bool is_time_to_cruise(const struct mr_cc *cc)
{
    return cc->in_flight <= with_headroom(cc) &&
           cc->in_flight <= inflight(cc, max_bw(model(cc)), 1);
}

static bool is_time_to_go_down(struct mr_cc *cc, const struct mr_delivery_sample *rs)
{
    struct mr_bbr *bbr = model(cc);
    bool is_limited = bbr->is_cwnd_limited || bbr->was_cwnd_limited;

    if (bbr->was_too_high && cc->in_flight >= bbr->inflight_longterm) {
        bbr->was_precautionary = true;
        return true;
    }
    if (is_limited && cc->window >= bbr->inflight_longterm) {
        reset_full_bw(bbr);
        bbr->full_bw = rs->rate;
        return false;
    }
    return bbr->is_full_now;
}

/* UpdateProbeBWCyclePhase(). */
static void update_cycle(struct mr_cc *cc, const struct mr_delivery_sample *rs, uint64_t now)
{
    struct mr_bbr *bbr = model(cc);

    if (!bbr->is_full || adapt_long_term(cc, rs))
        return;
    switch ((enum mr_bbr_state)bbr->state) {
    case MR_BBR_DOWN:
        if (is_time_to_probe(cc, now))
            start_refill(bbr);
        else if (is_time_to_cruise(cc))
            set_state(bbr, MR_BBR_CRUISE);
        return;
    case MR_BBR_CRUISE:
        if (is_time_to_probe(cc, now))
            start_refill(bbr);
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
            start_down(bbr, now);
        }
        return;
    default:
        return;
    }
}

/* ------------------------------------------------------------------ ProbeRTT */

static uint64_t probe_rtt_window(const struct mr_cc *cc)
{
    const struct mr_bbr *bbr = model(cc);

    return MR_MAX(bdp_multiple(bbr, bbr->bw, PROBE_RTT_CWND_GAIN), min_pipe(cc));
}

static void update_min_rtt(struct mr_bbr *bbr, uint64_t rtt_ns, uint64_t now)
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

static void check_probe_rtt_done(struct mr_cc *cc, uint64_t now)
{
    struct mr_bbr *bbr = model(cc);

    if (bbr->probe_rtt_done_ns == 0 || now <= bbr->probe_rtt_done_ns)
        return;
    bbr->probe_min_at_ns = now;
    restore_window(cc);
    reset_short_term(bbr);
    if (bbr->is_full) {
        start_down(bbr, now);
        set_state(bbr, MR_BBR_CRUISE);
    } else {
        set_state(bbr, MR_BBR_STARTUP);
    }
}

static void handle_probe_rtt(struct mr_cc *cc, uint64_t now)
{
    struct mr_bbr *bbr = model(cc);

    mr_delivery_limit(&bbr->delivery, cc->in_flight);
    if (bbr->probe_rtt_done_ns == 0) {
        if (cc->in_flight > probe_rtt_window(cc))
            return;
        bbr->probe_rtt_done_ns = now + PROBE_RTT_TIME_NS;
        bbr->is_probe_rtt_round_done = false;
        start_round(bbr);
        return;
    }
    bbr->is_probe_rtt_round_done |= bbr->is_round_start;
    if (bbr->is_probe_rtt_round_done)
        check_probe_rtt_done(cc, now);
}

static void check_probe_rtt(struct mr_cc *cc, const struct mr_delivery_sample *rs, uint64_t now)
{
    struct mr_bbr *bbr = model(cc);

    if (bbr->state != MR_BBR_PROBE_RTT && bbr->is_rtt_expired && !bbr->is_idle_restart) {
        save_window(cc);
        set_state(bbr, MR_BBR_PROBE_RTT);
        bbr->probe_rtt_done_ns = 0;
        bbr->acks = MR_BBR_ACKS_STOPPING;
        start_round(bbr);
    }
    if (bbr->state == MR_BBR_PROBE_RTT)
        handle_probe_rtt(cc, now);
    if (rs->delivered > 0)
        bbr->is_idle_restart = false;
}

/* ------------------------------------------------------------------ control parameters */

static void set_pacing_rate(struct mr_bbr *bbr, double gain)
{
    double rate = gain * bbr->bw * PACING_MARGIN;

    if (rate > 0 && (bbr->is_full || rate > bbr->pacing_rate))
        bbr->pacing_rate = rate;
}

/* BoundCwndForModel(). */
static uint64_t bound_window(const struct mr_cc *cc, uint64_t window)
{
    const struct mr_bbr *bbr = model(cc);
    uint64_t cap = NO_BOUND;

    if (bbr->state == MR_BBR_PROBE_RTT || bbr->state == MR_BBR_CRUISE)
        cap = with_headroom(cc);
    else if (is_probe_bw(bbr))
        cap = bbr->inflight_longterm;
    cap = MR_MAX(MR_MIN(cap, bbr->inflight_shortterm), min_pipe(cc));
    return MR_MIN(window, cap);
}

static void set_window(struct mr_cc *cc, uint64_t newly_acked)
{
    struct mr_bbr *bbr = model(cc);
    uint64_t volume =
        bdp_multiple(bbr, bbr->bw, bbr->cwnd_gain) + MR_MAX(bbr->extra[0], bbr->extra[1]);
    uint64_t most = quantize(cc, volume);
    uint64_t window = cc->window;

    if (bbr->is_full)
        window = MR_MIN(window + newly_acked, most);
    else if (window < most || bbr->delivery.delivered < bbr->initial_window)
        window += newly_acked;
    window = MR_MAX(window, min_pipe(cc));
    if (bbr->state == MR_BBR_PROBE_RTT)
        window = MR_MIN(window, probe_rtt_window(cc));
    mr_cc_set_window(cc, bound_window(cc, window));
}

/* ------------------------------------------------------------------ events */

static void on_restart(struct mr_cc *cc, uint64_t now)
{
    struct mr_bbr *bbr = model(cc);

    if (bbr->delivery.app_limited == 0)
        return;
    bbr->is_idle_restart = true;
    bbr->extra_from_ns = now;
    if (is_probe_bw(bbr))
        set_pacing_rate(bbr, 1);
    else if (bbr->state == MR_BBR_PROBE_RTT)
        check_probe_rtt_done(cc, now);
}

static void on_sent(struct mr_cc *cc, uint64_t bytes, uint64_t now)
{
    struct mr_bbr *bbr = model(cc);

    bbr->is_cwnd_limited |= cc->in_flight + cc->datagram_size > cc->window;
    mr_delivery_on_sent(&bbr->delivery, cc->in_flight, cc->in_flight == bytes, now);
}

static void on_drained(struct mr_cc *cc)
{
    if (cc->in_flight < cc->window)
        mr_delivery_limit(&model(cc)->delivery, cc->in_flight);
}

static void on_every_ack(struct mr_cc *cc, const struct mr_cc_ack *ack, uint64_t now)
{
    struct mr_bbr *bbr = model(cc);
    uint64_t min_rtt = bbr->min_rtt_ns == MR_NEVER ? 0 : bbr->min_rtt_ns;
    struct mr_delivery_sample rs;

    mr_delivery_set_rtt(&bbr->delivery, ack->smoothed_ns);
    mr_delivery_on_acked(&bbr->delivery, ack->bytes, ack->newest_sent_ns, min_rtt, now, &rs);
    if (bbr->min_rtt_ns == MR_NEVER && ack->rtt_ns > 0) /* InitPacingRate() with a real RTT */
        bbr->pacing_rate =
            STARTUP_PACING_GAIN * (double)bbr->initial_window / (double)ack->smoothed_ns;
    update_signals(cc, &rs);
    if (bbr->is_loss_round_start)
        adapt_lower_bounds(cc);
    update_aggregation(cc, &rs, now);
    check_full_bw(bbr, &rs);
    check_startup_and_drain(cc, now);
    if (bbr->is_loss_round_start) {
        bbr->is_loss_in_round = false;
        bbr->loss_ranges = 0;
    }
    update_cycle(cc, &rs, now);
    update_min_rtt(bbr, ack->rtt_ns, now);
    check_probe_rtt(cc, &rs, now);
    if (bbr->is_loss_round_start) { /* AdvanceLatestDeliverySignals() */
        bbr->bw_latest = rs.rate;
        bbr->inflight_latest = rs.delivered;
    }
    bbr->bw = MR_MIN(max_bw(bbr), bbr->bw_shortterm);
    set_pacing_rate(bbr, bbr->pacing_gain);
    set_window(cc, ack->bytes);
}

/* InflightAtLoss(): what was in flight when the losses passed the threshold. */
static uint64_t inflight_at_loss(const struct mr_delivery_sample *rs, uint64_t bytes)
{
    double before = (double)(rs->in_flight - MR_MIN(bytes, rs->in_flight));
    double lost = (double)(rs->lost - MR_MIN(bytes, rs->lost));
    double prefix = (LOSS_THRESHOLD * before - lost) / (1 - LOSS_THRESHOLD);

    return to_bytes(before + MR_MAX(prefix, 0.0));
}

/* HandleLostPacket(), for what one detection found. */
static void on_lost(struct mr_cc *cc, const struct mr_cc_loss *loss, uint64_t now)
{
    struct mr_bbr *bbr = model(cc);
    const struct mr_delivery_snapshot *sent =
        mr_delivery_find(&bbr->delivery, loss->newest_sent_ns);

    bbr->delivery.lost += loss->bytes;
    if (!bbr->is_loss_in_round) {
        save_window(cc);
        bbr->loss_round_delivered = bbr->delivery.delivered;
        bbr->loss_round_lost = bbr->delivery.lost - loss->bytes;
        bbr->loss_ranges = 0;
    }
    bbr->is_loss_in_round = true;
    bbr->loss_ranges += loss->ranges;
    if (!bbr->is_probe_sample || sent == NULL)
        return;
    struct mr_delivery_sample rs = {.in_flight = sent->in_flight,
                                    .lost = bbr->delivery.lost - sent->lost,
                                    .is_app_limited = sent->is_app_limited};
    if (!is_lossy(cc, rs.lost, rs.in_flight))
        return;
    rs.in_flight = inflight_at_loss(&rs, loss->bytes);
    handle_too_high(cc, &rs, now);
}

/*
 * "The congestion controller response MUST treat any CE marks as congestion" (Section "ECN"): as if
 * these packets had been lost, however few they are.
 */
static bool on_ecn(struct mr_cc *cc, const struct mr_cc_ecn *ecn, uint64_t now)
{
    struct mr_cc_loss loss = {.bytes = ecn->ce * cc->datagram_size,
                              .newest_sent_ns = ecn->sent_ns,
                              .ranges = (uint32_t)MR_MIN(ecn->ce, (uint64_t)STARTUP_LOSS_RANGES)};

    if (ecn->ce == 0)
        return false;
    on_lost(cc, &loss, now);
    model(cc)->has_ce_in_round = true;
    return mr_cc_on_congestion(cc, ecn->sent_ns, now);
}

/* The model answers losses; the common recovery period is only told. */
static void on_congestion(struct mr_cc *cc)
{
    (void)cc;
}

/* OnEnterRTO(): the window was set to its minimum. */
static void on_persistent_congestion(struct mr_cc *cc)
{
    struct mr_bbr *bbr = model(cc);

    reset_short_term(bbr);
    bbr->prior_window = cc->window;
}

static uint64_t pacing_window(const struct mr_cc *cc, uint64_t smoothed_ns)
{
    double window = model(cc)->pacing_rate * (double)smoothed_ns / MR_PACER_GAIN;

    return MR_MAX(to_bytes(window), UINT64_C(1));
}

static void check(const struct mr_cc *cc)
{
    const struct mr_bbr *bbr = model(cc);

    MR_ASSERT(isfinite(bbr->bw) && bbr->bw >= 0);
    MR_ASSERT(isfinite(bbr->pacing_rate) && bbr->pacing_rate > 0);
    MR_ASSERT(bbr->state <= MR_BBR_PROBE_RTT);
    mr_delivery_check(&bbr->delivery);
}

void mr_cc_init_bbr(struct mr_cc *cc, struct mr_bbr *bbr, uint32_t datagram_size,
                    uint64_t window_max_bytes, uint64_t seed, uint64_t now)
{
    mr_cc_init(cc, MR_CC_CUBIC, datagram_size, window_max_bytes); /* all that is common */
    *bbr = (struct mr_bbr){
        .min_rtt_ns = MR_NEVER,
        .probe_min_ns = MR_NEVER,
        .min_rtt_at_ns = now,
        .probe_min_at_ns = now,
        .extra_from_ns = now,
        .inflight_longterm = NO_BOUND,
        .probe_up_per_inc = NO_BOUND,
        .initial_window = cc->window,
        .pacing_rate = STARTUP_PACING_GAIN * (double)cc->window / (double)MR_MS,
        .random = seed,
    };
    mr_delivery_init(&bbr->delivery, now);
    reset_short_term(bbr);
    set_state(bbr, MR_BBR_STARTUP);
    cc->ops = &mr_cc_bbr_ops;
    cc->bbr = (struct mr_cc_bbr){.model = bbr};
}

const struct mr_cc_ops mr_cc_bbr_ops = {
    .name = "bbr",
    .on_restart = on_restart,
    .on_sent = on_sent,
    .on_drained = on_drained,
    .on_every_ack = on_every_ack,
    .on_lost = on_lost,
    .on_ecn = on_ecn,
    .on_congestion = on_congestion,
    .on_persistent_congestion = on_persistent_congestion,
    .pacing_window = pacing_window,
    .check = check,
};
