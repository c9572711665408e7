/*
 * quic/bbr.h - BBRv3 (draft-ietf-ccwg-bbr): what a connection that uses it keeps beside its path.
 *
 *     STARTUP --pipe full--> DRAIN --queue gone--> DOWN -> CRUISE -> REFILL -> UP -> DOWN ...
 *                                                      (PROBE_RTT from anywhere, every 5 s)
 *
 * A model of the path - the most that it delivered, the least that a round trip took, what it bears
 * in flight - sets both the pacing rate and the window.  One object per connection, from a pool: a
 * connection that finds none uses CUBIC.
 *
 * Names and steps are the draft's; docs/quic.md says what differs from it, and why.
 *
 * Owner: a connection's struct mr_cc refers to it.  Threads: the shard's.
 */
#ifndef MR_QUIC_BBR_H
#define MR_QUIC_BBR_H

#include <stdbool.h>
#include <stdint.h>

#include "quic/cc.h"
#include "quic/delivery.h"

enum mr_bbr_state {
    MR_BBR_STARTUP,
    MR_BBR_DRAIN,
    MR_BBR_DOWN,
    MR_BBR_CRUISE,
    MR_BBR_REFILL,
    MR_BBR_UP,
    MR_BBR_PROBE_RTT,
    MR_BBR_STATES /* none of them */
};

/* What the acknowledgements of the moment tell of bandwidth probing. */
enum mr_bbr_acks {
    MR_BBR_ACKS_INIT,
    MR_BBR_ACKS_REFILLING,
    MR_BBR_ACKS_STARTING,
    MR_BBR_ACKS_FEEDBACK,
    MR_BBR_ACKS_STOPPING
};

/* Rates are bytes per ns, infinite ones and volumes are HUGE_VAL and UINT64_MAX. */
struct mr_bbr {
    uint8_t state;      /* enum mr_bbr_state */
    uint8_t acks;       /* enum mr_bbr_acks */
    uint8_t undo_state; /* that losses ended: STARTUP, UP, or MR_BBR_STATES */
    bool is_round_start;
    bool is_loss_round_start;
    bool is_loss_in_round;
    bool has_ce_in_round;
    bool is_round_lossy; /* more than LossThresh of it was lost */
    bool is_full_now;
    bool is_full; /* the pipe was full once */
    bool is_probe_sample;
    bool was_too_high;
    bool was_precautionary;
    bool is_idle_restart;
    bool is_rtt_expired;
    bool is_probe_rtt_round_done;
    bool is_cwnd_limited; /* in this round or the last */
    bool was_cwnd_limited;
    bool is_recovering; /* what is acknowledged was sent before the recovery period */
    uint32_t full_count;
    uint32_t loss_ranges; /* in the round */
    uint32_t probe_up_rounds;
    uint32_t rounds_since_probe;
    uint64_t round_count;
    uint64_t drain_start_round;
    uint64_t next_round_delivered;
    uint64_t loss_round_delivered;
    uint64_t loss_round_lost; /* bytes lost in all when the round began */
    double max_bw[2];         /* of this ProbeBW cycle and the one before */
    double bw;
    double bw_latest;
    double bw_shortterm;
    double full_bw;
    double pacing_gain;
    double cwnd_gain;
    double pacing_rate;
    uint64_t initial_window;
    uint64_t inflight_latest;
    uint64_t inflight_shortterm;
    uint64_t inflight_longterm;
    double undo_bw_shortterm; /* these three: as the recovery period began */
    uint64_t undo_inflight_shortterm;
    uint64_t undo_inflight_longterm;
    uint64_t probe_up_acked;
    uint64_t probe_up_per_inc;
    uint64_t cycle_ns; /* when the cycle began */
    uint64_t probe_wait_ns;
    uint64_t prior_window;
    uint64_t min_rtt_ns; /* MR_NEVER: unknown */
    uint64_t min_rtt_at_ns;
    uint64_t probe_min_ns; /* the least of the last 5 s; MR_NEVER */
    uint64_t probe_min_at_ns;
    uint64_t probe_rtt_done_ns; /* 0: not yet down to its window */
    uint64_t extra_from_ns;
    uint64_t extra_delivered;
    uint64_t extra[2]; /* highest excess of acknowledgements: these rounds, and those before */
    uint64_t extra_round;
    uint64_t random;
    struct mr_delivery delivery;
};

/*
 * Make `cc` a BBR controller whose model is `bbr`, both uninitialized, as mr_cc_init() does for the
 * others.  `seed`: so that flows do not probe together.
 */
void mr_cc_init_bbr(struct mr_cc *cc, struct mr_bbr *bbr, uint32_t datagram_size,
                    uint64_t window_max_bytes, uint64_t seed, uint64_t now);

#endif /* MR_QUIC_BBR_H */
