/*
 * quic/cc_bbr.c - BBRv3 (draft-ietf-ccwg-bbr); see bbr.h.  Functions are in the draft's order:
 * model, control parameters, events; the state machine is bbr_probe.c.
 */
#include "base/assert.h"
#include "quic/bbr_internal.h"
#include "quic/pacer.h"

#define STARTUP_PACING_GAIN 2.77
#define PACING_MARGIN       0.99
#define FULL_GROWTH         1.25
#define STARTUP_LOSS_RANGES 6
#define FULL_ROUNDS         3
#define EXTRA_ROUNDS        10 /* twice half the filter's length, which is of two slots */
#define DRAIN_ROUNDS        3

/* ------------------------------------------------------------------ model */

static void update_round(struct mr_bbr *bbr, const struct mr_delivery_sample *rs)
{
    bbr->is_round_start = rs->has_data && rs->prior_delivered >= bbr->next_round_delivered;
    if (!bbr->is_round_start)
        return;
    mr_bbr_start_round(bbr);
    bbr->round_count++;
    bbr->rounds_since_probe++;
    bbr->was_cwnd_limited = bbr->is_cwnd_limited;
    bbr->is_cwnd_limited = false;
}

static void update_max_bw(struct mr_bbr *bbr, const struct mr_delivery_sample *rs)
{
    if (rs->rate > 0 && (rs->rate >= mr_bbr_max_bw(bbr) || !rs->is_app_limited))
        bbr->max_bw[0] = MR_MAX(bbr->max_bw[0], rs->rate);
}

/* AdaptLowerBoundsFromCongestion(), once per round, if more is lost than by chance. */
static void adapt_lower_bounds(struct mr_cc *cc)
{
    struct mr_bbr *bbr = mr_bbr_of(cc);

    if (mr_bbr_is_probing(bbr) || !bbr->is_loss_in_round || !bbr->is_round_lossy)
        return;
    if (bbr->bw_shortterm == HUGE_VAL)
        bbr->bw_shortterm = mr_bbr_max_bw(bbr);
    if (bbr->inflight_shortterm == MR_BBR_NO_BOUND)
        bbr->inflight_shortterm = cc->window;
    bbr->bw_shortterm = MR_MAX(bbr->bw_latest, MR_BBR_BETA * bbr->bw_shortterm);
    bbr->inflight_shortterm =
        MR_MAX(bbr->inflight_latest, mr_bbr_share(MR_BBR_BETA, bbr->inflight_shortterm));
}

/* UpdateLatestDeliverySignals() and UpdateCongestionSignals(). */
static void update_signals(struct mr_cc *cc, const struct mr_delivery_sample *rs)
{
    struct mr_bbr *bbr = mr_bbr_of(cc);

    bbr->bw_latest = MR_MAX(bbr->bw_latest, rs->rate);
    bbr->inflight_latest = MR_MAX(bbr->inflight_latest, rs->delivered);
    bbr->is_loss_round_start = rs->has_data && rs->prior_delivered >= bbr->loss_round_delivered;
    update_round(bbr, rs);
    update_max_bw(bbr, rs);
    if (!bbr->is_loss_round_start)
        return;
    uint64_t lost = bbr->delivery.lost - bbr->loss_round_lost;
    uint64_t sent = bbr->delivery.delivered - bbr->loss_round_delivered + lost;
    bbr->is_round_lossy = bbr->has_ce_in_round || mr_bbr_is_lossy(cc, lost, sent);
    bbr->has_ce_in_round = false;
    bbr->loss_round_delivered = bbr->delivery.delivered;
    bbr->loss_round_lost = bbr->delivery.lost;
}

static void update_aggregation(struct mr_cc *cc, const struct mr_delivery_sample *rs, uint64_t now)
{
    struct mr_bbr *bbr = mr_bbr_of(cc);
    double expected = bbr->bw * (double)(now - bbr->extra_from_ns);
    uint64_t rounds = bbr->is_full ? EXTRA_ROUNDS / 2 : 1;

    if ((double)bbr->extra_delivered <= expected) {
        bbr->extra_delivered = 0;
        bbr->extra_from_ns = now;
        expected = 0;
    }
    bbr->extra_delivered += rs->newly_acked;
    uint64_t extra = mr_bbr_to_bytes((double)bbr->extra_delivered - expected);
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
        mr_bbr_reset_full_bw(bbr);
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
    bbr->undo_state = MR_BBR_STARTUP;
    bbr->is_full = true;
    bbr->inflight_longterm =
        MR_MAX(mr_bbr_bdp_multiple(bbr, mr_bbr_max_bw(bbr), 1), bbr->inflight_latest);
}

static void check_startup_and_drain(struct mr_cc *cc, uint64_t now)
{
    struct mr_bbr *bbr = mr_bbr_of(cc);

    if (bbr->state == MR_BBR_STARTUP) {
        check_startup_loss(bbr);
        if (bbr->is_full) {
            mr_bbr_set_state(bbr, MR_BBR_DRAIN);
            bbr->drain_start_round = bbr->round_count;
        }
    }
    if (bbr->state == MR_BBR_DRAIN && (cc->in_flight <= mr_bbr_inflight(cc, bbr->bw, 1) ||
                                       bbr->round_count > bbr->drain_start_round + DRAIN_ROUNDS))
        mr_bbr_start_down(bbr, now);
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
    const struct mr_bbr *bbr = mr_bbr_of(cc);
    uint64_t cap = MR_BBR_NO_BOUND;

    if (bbr->state == MR_BBR_PROBE_RTT || bbr->state == MR_BBR_CRUISE)
        cap = mr_bbr_with_headroom(cc);
    else if (mr_bbr_is_probe_bw(bbr))
        cap = bbr->inflight_longterm;
    cap = MR_MAX(MR_MIN(cap, bbr->inflight_shortterm), mr_bbr_min_pipe(cc));
    return MR_MIN(window, cap);
}

static void set_window(struct mr_cc *cc, uint64_t newly_acked)
{
    struct mr_bbr *bbr = mr_bbr_of(cc);
    uint64_t volume =
        mr_bbr_bdp_multiple(bbr, bbr->bw, bbr->cwnd_gain) + MR_MAX(bbr->extra[0], bbr->extra[1]);
    uint64_t most = mr_bbr_quantize(cc, volume);
    uint64_t window = cc->window;

    if (bbr->is_full)
        window = MR_MIN(window + newly_acked, most);
    else if (window < most || bbr->delivery.delivered < bbr->initial_window)
        window += newly_acked;
    window = MR_MAX(window, mr_bbr_min_pipe(cc));
    if (bbr->state == MR_BBR_PROBE_RTT)
        window = MR_MIN(window, mr_bbr_probe_rtt_window(cc));
    mr_cc_set_window(cc, bound_window(cc, window));
}

/* ------------------------------------------------------------------ events */

static void on_restart(struct mr_cc *cc, uint64_t now)
{
    struct mr_bbr *bbr = mr_bbr_of(cc);

    if (bbr->delivery.app_limited == 0)
        return;
    bbr->is_idle_restart = true;
    bbr->extra_from_ns = now;
    if (mr_bbr_is_probe_bw(bbr))
        set_pacing_rate(bbr, 1);
    else if (bbr->state == MR_BBR_PROBE_RTT)
        mr_bbr_check_probe_rtt_done(cc, now);
}

static void on_sent(struct mr_cc *cc, uint64_t bytes, uint64_t now)
{
    struct mr_bbr *bbr = mr_bbr_of(cc);

    bbr->is_cwnd_limited |= cc->in_flight + cc->datagram_size > cc->window;
    mr_delivery_on_sent(&bbr->delivery, cc->in_flight, cc->in_flight == bytes, now);
}

static void on_drained(struct mr_cc *cc)
{
    if (cc->in_flight < cc->window)
        mr_delivery_limit(&mr_bbr_of(cc)->delivery, cc->in_flight);
}

static void on_every_ack(struct mr_cc *cc, const struct mr_cc_ack *ack, uint64_t now)
{
    struct mr_bbr *bbr = mr_bbr_of(cc);
    uint64_t min_rtt = bbr->min_rtt_ns == MR_NEVER ? 0 : bbr->min_rtt_ns;
    struct mr_delivery_sample rs;

    bbr->is_recovering = cc->has_recovery && ack->newest_sent_ns <= cc->recovery_start_ns;
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
    mr_bbr_update_cycle(cc, &rs, now);
    mr_bbr_update_min_rtt(bbr, ack->rtt_ns, now);
    mr_bbr_check_probe_rtt(cc, &rs, now);
    if (bbr->is_loss_round_start) { /* AdvanceLatestDeliverySignals() */
        bbr->bw_latest = rs.rate;
        bbr->inflight_latest = rs.delivered;
    }
    bbr->bw = MR_MIN(mr_bbr_max_bw(bbr), bbr->bw_shortterm);
    set_pacing_rate(bbr, bbr->pacing_gain);
    set_window(cc, ack->bytes);
}

/* InflightAtLoss(): what was in flight when the losses passed the threshold. */
static uint64_t inflight_at_loss(const struct mr_delivery_sample *rs, uint64_t bytes)
{
    double before = (double)(rs->in_flight - MR_MIN(bytes, rs->in_flight));
    double lost = (double)(rs->lost - MR_MIN(bytes, rs->lost));
    double prefix = (MR_BBR_LOSS_THRESHOLD * before - lost) / (1 - MR_BBR_LOSS_THRESHOLD);

    return mr_bbr_to_bytes(before + MR_MAX(prefix, 0.0));
}

/* HandleLostPacket(), for what one detection found. */
static void on_lost(struct mr_cc *cc, const struct mr_cc_loss *loss, uint64_t now)
{
    struct mr_bbr *bbr = mr_bbr_of(cc);
    const struct mr_delivery_snapshot *sent =
        mr_delivery_find(&bbr->delivery, loss->newest_sent_ns);

    bbr->delivery.lost += loss->bytes;
    if (!bbr->is_loss_in_round) {
        mr_bbr_save_window(cc);
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
    if (!mr_bbr_is_lossy(cc, rs.lost, rs.in_flight))
        return;
    rs.in_flight = inflight_at_loss(&rs, loss->bytes);
    mr_bbr_handle_too_high(cc, &rs, now);
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
    mr_bbr_of(cc)->has_ce_in_round = true;
    return mr_cc_on_congestion(cc, ecn->sent_ns, now);
}

/* The model answers losses; the common recovery period is only told. */
static void on_congestion(struct mr_cc *cc)
{
    (void)cc;
}

/* SaveStateUponLoss(). */
static void on_save(const struct mr_cc *cc, struct mr_cc_saved *saved)
{
    struct mr_bbr *bbr = mr_bbr_of(cc);

    mr_bbr_save_window(cc);
    saved->before = bbr->prior_window;
    bbr->undo_state = MR_BBR_STATES;
    bbr->undo_bw_shortterm = bbr->bw_shortterm;
    bbr->undo_inflight_shortterm = bbr->inflight_shortterm;
    bbr->undo_inflight_longterm = bbr->inflight_longterm;
}

/* HandleSpuriousLossDetection(). */
static void on_undo(struct mr_cc *cc, const struct mr_cc_saved *saved)
{
    struct mr_bbr *bbr = mr_bbr_of(cc);
    bool is_elsewhere = bbr->state != bbr->undo_state && bbr->state != MR_BBR_PROBE_RTT;

    bbr->prior_window = MR_MAX(bbr->prior_window, saved->before); /* an RTO took it: OnEnterRTO() */
    mr_bbr_restore_window(cc);
    bbr->is_loss_in_round = bbr->is_recovering = false;
    mr_bbr_reset_full_bw(bbr);
    bbr->bw_shortterm = MR_MAX(bbr->bw_shortterm, bbr->undo_bw_shortterm);
    bbr->inflight_shortterm = MR_MAX(bbr->inflight_shortterm, bbr->undo_inflight_shortterm);
    bbr->inflight_longterm = MR_MAX(bbr->inflight_longterm, bbr->undo_inflight_longterm);
    if (bbr->undo_state == MR_BBR_STARTUP) {
        bbr->is_full = false;
        if (is_elsewhere)
            mr_bbr_set_state(bbr, MR_BBR_STARTUP);
    } else if (bbr->undo_state == MR_BBR_UP && is_elsewhere) {
        mr_bbr_start_refill(bbr);
    }
    bbr->undo_state = MR_BBR_STATES;
}

/* OnEnterRTO(): the window was set to its minimum, and grows from there (RFC 9002, Section 7.6.2).
 */
static void on_persistent_congestion(struct mr_cc *cc)
{
    mr_bbr_of(cc)->prior_window = cc->window;
}

static uint64_t pacing_window(const struct mr_cc *cc, uint64_t smoothed_ns)
{
    double window = mr_bbr_of(cc)->pacing_rate * (double)smoothed_ns / MR_PACER_GAIN;

    return MR_MAX(mr_bbr_to_bytes(window), UINT64_C(1));
}

static void check(const struct mr_cc *cc)
{
    const struct mr_bbr *bbr = mr_bbr_of(cc);

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
        .undo_state = MR_BBR_STATES,
        .min_rtt_ns = MR_NEVER,
        .probe_min_ns = MR_NEVER,
        .min_rtt_at_ns = now,
        .probe_min_at_ns = now,
        .extra_from_ns = now,
        .inflight_longterm = MR_BBR_NO_BOUND,
        .probe_up_per_inc = MR_BBR_NO_BOUND,
        .initial_window = cc->window,
        .pacing_rate = STARTUP_PACING_GAIN * (double)cc->window / (double)MR_MS,
        .random = seed,
    };
    mr_delivery_init(&bbr->delivery, now);
    mr_bbr_reset_short_term(bbr);
    mr_bbr_set_state(bbr, MR_BBR_STARTUP);
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
    .on_save = on_save,
    .on_undo = on_undo,
    .pacing_window = pacing_window,
    .check = check,
};
