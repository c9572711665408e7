/*
 * quic/cc_newreno.c - NewReno as RFC 9002, Section 7, describes it; see cc.h.
 */
#include "base/compiler.h"
#include "quic/cc.h"

static void init(struct mr_cc *cc)
{
    cc->newreno = (struct mr_cc_newreno){0};
}

/* Time has no part in NewReno. */
static void ignore_time(struct mr_cc *cc, uint64_t now)
{
    (void)cc;
    (void)now;
}

/*
 * One datagram for each window acknowledged (RFC 9002, Section 7.3.3), counted as in RFC 3465,
 * Section 2.1.
 */
static void avoid_congestion(struct mr_cc *cc, uint64_t bytes)
{
    cc->newreno.acked += bytes;
    if (cc->newreno.acked < cc->window)
        return;
    cc->newreno.acked = MR_MIN(cc->newreno.acked - cc->window, cc->window);
    mr_cc_set_window(cc, cc->window + cc->datagram_size);
}

static void on_acked(struct mr_cc *cc, const struct mr_cc_ack *ack, uint64_t now)
{
    (void)now;
    if (mr_cc_in_slow_start(cc))
        mr_cc_grow_slow_start(cc, ack->bytes);
    else
        avoid_congestion(cc, ack->bytes);
}

static void on_congestion(struct mr_cc *cc)
{
    mr_cc_set_window(cc, cc->window / 2); /* kLossReductionFactor */
    cc->ssthresh = cc->window;
    cc->newreno.acked = 0;
}

static void on_save(const struct mr_cc *cc, struct mr_cc_saved *saved)
{
    saved->acked = cc->newreno.acked;
}

static void on_undo(struct mr_cc *cc, const struct mr_cc_saved *saved)
{
    if (cc->window < saved->window)
        cc->newreno.acked = saved->acked;
}

static void on_persistent_congestion(struct mr_cc *cc)
{
    cc->newreno.acked = 0;
}

const struct mr_cc_ops mr_cc_newreno_ops = {
    .name = "newreno",
    .init = init,
    .on_restart = ignore_time,
    .on_acked = on_acked,
    .on_app_limited = ignore_time,
    .on_congestion = on_congestion,
    .on_persistent_congestion = on_persistent_congestion,
    .on_save = on_save,
    .on_undo = on_undo,
};
