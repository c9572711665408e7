/*
 * quic/bbr_internal.h - what cc_bbr.c (model, control parameters, events) and bbr_probe.c (states,
 * and when they change) share of BBR; see bbr.h.  Nobody else includes it.
 *
 * Owner, threads: struct mr_bbr's.
 */
#ifndef MR_QUIC_BBR_INTERNAL_H
#define MR_QUIC_BBR_INTERNAL_H

#include <math.h>

#include "base/compiler.h"
#include "quic/bbr.h"

#define MR_BBR_LOSS_THRESHOLD   0.02 /* LossThresh */
#define MR_BBR_BETA             0.7
#define MR_BBR_MIN_PIPE_PACKETS 4 /* MinPipeCwnd */
#define MR_BBR_NO_BOUND         UINT64_MAX

static inline struct mr_bbr *mr_bbr_of(const struct mr_cc *cc)
{
    return cc->bbr.model;
}

static inline uint64_t mr_bbr_to_bytes(double bytes)
{
    return bytes >= (double)MR_CC_WINDOW_MAX ? MR_CC_WINDOW_MAX : (uint64_t)MR_MAX(bytes, 0.0);
}

/* `part` of a volume that may be without bound. */
static inline uint64_t mr_bbr_share(double part, uint64_t bytes)
{
    return bytes == MR_BBR_NO_BOUND ? MR_BBR_NO_BOUND : mr_bbr_to_bytes(part * (double)bytes);
}

static inline double mr_bbr_max_bw(const struct mr_bbr *bbr)
{
    return MR_MAX(bbr->max_bw[0], bbr->max_bw[1]);
}

static inline uint64_t mr_bbr_min_pipe(const struct mr_cc *cc)
{
    return (uint64_t)MR_BBR_MIN_PIPE_PACKETS * cc->datagram_size;
}

static inline uint64_t mr_bbr_bdp_multiple(const struct mr_bbr *bbr, double bw, double gain)
{
    if (bbr->min_rtt_ns == MR_NEVER)
        return bbr->initial_window;
    return mr_bbr_to_bytes(gain * bw * (double)bbr->min_rtt_ns);
}

/* QuantizationBudget(): the pacer's quantum is two datagrams or 1 ms. */
static inline uint64_t mr_bbr_quantize(const struct mr_cc *cc, uint64_t bytes)
{
    const struct mr_bbr *bbr = mr_bbr_of(cc);
    uint64_t quantum = MR_MIN(mr_bbr_to_bytes(bbr->pacing_rate * MR_MS), UINT64_C(65536));

    bytes = MR_MAX(bytes, MR_MAX(quantum, 2 * (uint64_t)cc->datagram_size));
    bytes = MR_MAX(bytes, mr_bbr_min_pipe(cc));
    return bytes + (bbr->state == MR_BBR_UP ? 2 * (uint64_t)cc->datagram_size : 0);
}

static inline uint64_t mr_bbr_inflight(const struct mr_cc *cc, double bw, double gain)
{
    return mr_bbr_quantize(cc, mr_bbr_bdp_multiple(mr_bbr_of(cc), bw, gain));
}

/*
 * More than LossThresh of `bytes`, and by more than chance makes of it: two standard deviations of
 * what a path would lose that loses LossThresh at random.
 */
static inline bool mr_bbr_is_lossy(const struct mr_cc *cc, uint64_t lost, uint64_t bytes)
{
    double limit = MR_BBR_LOSS_THRESHOLD * (double)bytes;
    double excess = (double)lost - limit;

    return excess > 0 && excess * excess > 4 * limit * cc->datagram_size;
}

static inline bool mr_bbr_is_probe_bw(const struct mr_bbr *bbr)
{
    return bbr->state >= MR_BBR_DOWN && bbr->state <= MR_BBR_UP;
}

static inline bool mr_bbr_is_probing(const struct mr_bbr *bbr)
{
    return bbr->state == MR_BBR_STARTUP || bbr->state == MR_BBR_REFILL || bbr->state == MR_BBR_UP;
}

static inline void mr_bbr_start_round(struct mr_bbr *bbr)
{
    bbr->next_round_delivered = bbr->delivery.delivered;
}

static inline void mr_bbr_reset_congestion_signals(struct mr_bbr *bbr)
{
    bbr->is_loss_in_round = bbr->is_round_lossy = false;
    bbr->bw_latest = 0;
    bbr->inflight_latest = 0;
}

static inline void mr_bbr_reset_short_term(struct mr_bbr *bbr)
{
    bbr->bw_shortterm = HUGE_VAL;
    bbr->inflight_shortterm = MR_BBR_NO_BOUND;
}

static inline void mr_bbr_reset_full_bw(struct mr_bbr *bbr)
{
    bbr->full_bw = 0;
    bbr->full_count = 0;
    bbr->is_full_now = false;
}

static inline void mr_bbr_save_window(const struct mr_cc *cc)
{
    struct mr_bbr *bbr = mr_bbr_of(cc);
    bool is_modulated = bbr->is_recovering || bbr->state == MR_BBR_PROBE_RTT;

    bbr->prior_window = is_modulated ? MR_MAX(bbr->prior_window, cc->window) : cc->window;
}

static inline void mr_bbr_restore_window(struct mr_cc *cc)
{
    mr_cc_set_window(cc, MR_MAX(cc->window, mr_bbr_of(cc)->prior_window));
}

void mr_bbr_set_state(struct mr_bbr *bbr, enum mr_bbr_state state);
void mr_bbr_start_down(struct mr_bbr *bbr, uint64_t now);
void mr_bbr_start_refill(struct mr_bbr *bbr);
void mr_bbr_handle_too_high(struct mr_cc *cc, const struct mr_delivery_sample *rs, uint64_t now);
uint64_t mr_bbr_with_headroom(const struct mr_cc *cc);
void mr_bbr_update_cycle(struct mr_cc *cc, const struct mr_delivery_sample *rs, uint64_t now);
uint64_t mr_bbr_probe_rtt_window(const struct mr_cc *cc);
void mr_bbr_update_min_rtt(struct mr_bbr *bbr, uint64_t rtt_ns, uint64_t now);
void mr_bbr_check_probe_rtt(struct mr_cc *cc, const struct mr_delivery_sample *rs, uint64_t now);
void mr_bbr_check_probe_rtt_done(struct mr_cc *cc, uint64_t now);

#endif /* MR_QUIC_BBR_INTERNAL_H */
