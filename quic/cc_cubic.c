/*
 * quic/cc_cubic.c - CUBIC (RFC 9438) with HyStart++ (RFC 9406); see cc.h.
 *
 * Windows are bytes here, where the RFC counts segments: C is multiplied by the
 * datagram size.  Floating point is used once per ACK frame, never per packet.
 */
#include <math.h>

#include "base/compiler.h"
#include "quic/cc.h"

#define C            0.4 /* segments per s^3 */
#define BETA         0.7 /* beta_cubic: what remains of the window after congestion */
#define ALPHA        (3 * (1 - BETA) / (1 + BETA)) /* alpha_cubic */
#define TARGET_LIMIT 1.5                           /* the target is at most this many windows */

static double seconds(uint64_t ns)
{
    return (double)ns * 1e-9;
}

static void init(struct mr_cc *cc)
{
    cc->cubic = (struct mr_cc_cubic){.epoch_ns = MR_NEVER};
    mr_hystart_init(&cc->cubic.hystart);
}

/* The time since the last ACK must not count as growth time (RFC 9438, Section 4.2). */
static void stop_clock(struct mr_cc *cc, uint64_t now)
{
    struct mr_cc_cubic *cubic = &cc->cubic;

    if (cubic->epoch_ns == MR_NEVER || now <= cubic->last_ack_ns)
        return;
    cubic->epoch_ns += now - cubic->last_ack_ns;
    cubic->last_ack_ns = now;
}

/*
 * A congestion avoidance stage begins.  Without a window to return to - slow start ended by delay,
 * or after persistent congestion - the curve starts at its plateau: K is 0 (RFC 9438, Sections 4.8
 * and 4.10).
 */
static void begin_stage(struct mr_cc *cc, uint64_t now)
{
    struct mr_cc_cubic *cubic = &cc->cubic;
    double window = (double)cc->window;

    cubic->epoch_ns = now;
    cubic->last_ack_ns = now;
    cubic->estimate = window;
    cubic->fraction = 0;
    cubic->max = MR_MAX(cubic->max, window);
    cubic->k_s = (float)cbrt((cubic->max - window) / (C * cc->datagram_size));
}

/* W_cubic(t): the window `t` seconds after the stage began (RFC 9438, Section 4.2). */
static double window_at(const struct mr_cc *cc, double t)
{
    double offset = t - (double)cc->cubic.k_s;

    return C * cc->datagram_size * offset * offset * offset + cc->cubic.max;
}

/* W_est: what Reno's window would be (RFC 9438, Section 4.3). */
static double grow_estimate(struct mr_cc *cc, double windows_acked)
{
    struct mr_cc_cubic *cubic = &cc->cubic;
    double alpha = cubic->estimate < cubic->prior ? ALPHA : 1;

    cubic->estimate += alpha * cc->datagram_size * windows_acked;
    cubic->estimate = MR_MIN(cubic->estimate, (double)cc->window_max);
    return cubic->estimate;
}

static void set_exact_window(struct mr_cc *cc, double window)
{
    double bounded = MR_MIN(window, (double)cc->window_max);
    uint64_t bytes = (uint64_t)bounded;

    mr_cc_set_window(cc, bytes);
    cc->cubic.fraction = cc->window == bytes ? (float)(bounded - (double)bytes) : 0;
}

static void avoid_congestion(struct mr_cc *cc, const struct mr_cc_ack *ack, uint64_t now)
{
    struct mr_cc_cubic *cubic = &cc->cubic;

    if (cubic->epoch_ns == MR_NEVER)
        begin_stage(cc, now);
    cubic->last_ack_ns = now;

    double window = (double)cc->window + (double)cubic->fraction;
    double windows_acked = MR_MIN((double)ack->bytes / window, 1);
    double t = seconds(now - cubic->epoch_ns);
    double estimate = grow_estimate(cc, windows_acked);

    if (window_at(cc, t) < estimate) {
        set_exact_window(cc, MR_MAX(window, estimate)); /* Reno-friendly region */
        return;
    }
    double target = window_at(cc, t + seconds(ack->smoothed_ns));
    target = MR_MIN(MR_MAX(target, window), TARGET_LIMIT * window);
    set_exact_window(cc, window + (target - window) * windows_acked);
}

/* HyStart++ in the first slow start only (RFC 9406, Section 4.3). */
static void start_slowly(struct mr_cc *cc, const struct mr_cc_ack *ack, uint64_t now)
{
    struct mr_hystart *hystart = &cc->cubic.hystart;

    if (cc->ssthresh != MR_CC_UNLIMITED) {
        mr_cc_grow_slow_start(cc, ack->bytes);
        return;
    }
    mr_cc_grow_slow_start(cc, mr_hystart_growth(hystart, ack->bytes));

    struct mr_hystart_ack round = {.newest_sent_ns = ack->newest_sent_ns, .rtt_ns = ack->rtt_ns};
    if (mr_hystart_on_acked(hystart, &round, now) == MR_HYSTART_DONE) {
        cc->ssthresh = cc->window;
        cc->cubic.prior = (double)cc->window;
    }
}

static void on_acked(struct mr_cc *cc, const struct mr_cc_ack *ack, uint64_t now)
{
    if (mr_cc_in_slow_start(cc))
        start_slowly(cc, ack, now);
    else
        avoid_congestion(cc, ack, now);
}

/* Multiplicative decrease with fast convergence (RFC 9438, Sections 4.6 and 4.7). */
static void on_congestion(struct mr_cc *cc)
{
    struct mr_cc_cubic *cubic = &cc->cubic;
    double window = (double)cc->window;

    cubic->prior = window;
    cubic->max = window < cubic->max ? window * (1 + BETA) / 2 : window;
    cubic->epoch_ns = MR_NEVER;
    cubic->fraction = 0;
    mr_cc_set_window(cc, (uint64_t)(window * BETA));
    cc->ssthresh = cc->window;
}

/* RFC 9438, Section 4.9.2. */
static void on_save(const struct mr_cc *cc, struct mr_cc_saved *saved)
{
    const struct mr_cc_cubic *cubic = &cc->cubic;

    saved->prior = cubic->prior;
    saved->max = cubic->max;
    saved->k_s = cubic->k_s;
    saved->epoch_ns = cubic->epoch_ns;
    saved->estimate = cubic->estimate;
}

static void on_undo(struct mr_cc *cc, const struct mr_cc_saved *saved)
{
    struct mr_cc_cubic *cubic = &cc->cubic;

    if (cc->window >= saved->window)
        return;
    cubic->prior = saved->prior;
    cubic->max = saved->max;
    cubic->k_s = saved->k_s;
    cubic->epoch_ns = saved->epoch_ns;
    cubic->estimate = saved->estimate;
}

static void on_persistent_congestion(struct mr_cc *cc)
{
    cc->cubic.max = 0;
    cc->cubic.epoch_ns = MR_NEVER;
    cc->cubic.fraction = 0;
}

const struct mr_cc_ops mr_cc_cubic_ops = {
    .name = "cubic",
    .init = init,
    .on_restart = stop_clock,
    .on_acked = on_acked,
    .on_app_limited = stop_clock,
    .on_congestion = on_congestion,
    .on_persistent_congestion = on_persistent_congestion,
    .on_save = on_save,
    .on_undo = on_undo,
};
